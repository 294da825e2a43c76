//! The private key from its text form (RFC 7468). Every copy of it is wiped.

use zeroize::Zeroizing;

/// The encoding of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// PKCS #8: a key of any type.
    Pkcs8,
    /// ECDSA.
    Sec1,
    /// RSA.
    Pkcs1,
}

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// The first private key of a text and its encoding; other blocks may precede it.
pub(super) fn first_key(text: &[u8]) -> Option<(Packing, Zeroizing<Vec<u8>>)> {
    let mut rest = text;
    loop {
        rest = rest.get(find(rest, BEGIN)?.checked_add(BEGIN.len())?..)?;
        let end = find(rest, DASHES)?;
        let label = rest.get(..end)?;
        rest = rest.get(end.checked_add(DASHES.len())?..)?;
        let packing = match label {
            b"PRIVATE KEY" => Packing::Pkcs8,
            b"EC PRIVATE KEY" => Packing::Sec1,
            b"RSA PRIVATE KEY" => Packing::Pkcs1,
            _ => continue,
        };
        let body = rest.get(..find(rest, DASHES)?)?;
        return Some((packing, decode(body)?));
    }
}

fn find(octets: &[u8], wanted: &[u8]) -> Option<usize> {
    octets.windows(wanted.len()).position(|window| window == wanted)
}

/// Base64, with spaces and line breaks anywhere.
fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // Never grows: growing would leave a copy behind.
    let mut octets = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut bits, mut count, mut padding) = (0u32, 0, 0);
    for character in text.iter().filter(|character| !character.is_ascii_whitespace()) {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if padding < 2 => {
                padding += 1;
                continue;
            }
            _ => return None,
        };
        if padding > 0 {
            return None;
        }
        bits = bits << 6 & 0xff_ffff | u32::from(value);
        count += 1;
        if count % 4 != 1 {
            let shift = [0, 0, 4, 2][count % 4];
            octets.push((bits >> shift & 0xff) as u8);
        }
    }
    (count > 0 && count % 4 != 1).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a097_no_text_panics(before in "[-A-Z a-z=\n]{0,40}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = [before.as_bytes(), b"-----BEGIN EC PRIVATE KEY-----", &body, b"-----END"].concat();
            for cut in [text.len(), text.len() / 2] {
                let _ = first_key(&text[..cut]);
            }
        }
    }

    #[test]
    fn keys_are_found_behind_other_blocks() {
        let text = b"words\n-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n\
            -----BEGIN EC PRIVATE KEY-----\nSGVs\r\nbG8=\n-----END EC PRIVATE KEY-----\n";
        let (packing, octets) = first_key(text).unwrap();
        assert_eq!((packing, &octets[..]), (Packing::Sec1, &b"Hello"[..]));
    }

    #[test]
    fn base_64_is_decoded_at_each_length() {
        for (text, octets) in [("QQ==", "A"), ("QUI=", "AB"), ("QUJD", "ABC"), ("QUJDRA==", "ABCD")] {
            assert_eq!(&decode(text.as_bytes()).unwrap()[..], octets.as_bytes());
        }
        for bad in ["", "A", "QUJDR", "Q=Q=", "QQ===", "QUJ\u{e9}", "QU-D"] {
            assert!(decode(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_text_that_breaks_off_or_is_noise_has_no_key() {
        let whole = b"-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n";
        for cut in 0..whole.len() {
            let found = first_key(&whole[..cut]);
            assert_eq!(found.is_some(), cut >= 38, "{cut}");
        }
        for noise in [&b"-----BEGIN "[..], b"-----BEGIN -----", b"-----BEGIN PRIVATE KEY----------", b""] {
            assert!(first_key(noise).is_none());
        }
    }
}
