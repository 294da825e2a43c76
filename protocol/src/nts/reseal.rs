//! The same reply under another key: for a recording of a client's input that contains no secret key.

use super::aead::Key;
use super::field::{FIELD_HEAD, Sealed, locate};
use crate::extension_field::NTS_COOKIE;

/// Opens what `old` sealed and seals it again with `new`, a key of the same algorithm; header, fields, nonce
/// and lengths stay. `rename` may change the octets of each new cookie, not their number. Returns whether `old` had
/// sealed it; if not, the packet is unchanged.
pub fn reseal(packet: &mut [u8], old: &Key, new: &Key, rename: &mut dyn FnMut(&mut [u8])) -> bool {
    if old.algorithm() != new.algorithm() {
        return false;
    }
    let Some(authenticator) = locate(packet).ok().and_then(|fields| fields.authenticator) else {
        return false;
    };
    let Some(Sealed { associated, nonce, text }) = authenticator.split(packet) else { return false };
    let Ok(plain) = old.open(nonce, associated, text) else { return false };
    let mut rest = plain;
    while let Some(length) = field_length(rest) {
        let Some((field, others)) = rest.split_at_mut_checked(length) else { break };
        if let Some((kind, value)) = field.split_at_mut_checked(FIELD_HEAD)
            && kind.starts_with(&NTS_COOKIE.to_be_bytes())
        {
            rename(value);
        }
        rest = others;
    }
    new.seal(nonce, associated, text).is_ok()
}

/// Of the field that begins here.
fn field_length(octets: &[u8]) -> Option<usize> {
    let length = u16::from_be_bytes([*octets.get(2)?, *octets.get(3)?]);
    Some(usize::from(length)).filter(|length| *length >= FIELD_HEAD)
}

#[cfg(all(test, not(feature = "fips")))]
mod tests {
    use super::super::MAX_PACKET;
    use super::super::aead::{Algorithm, MAX_NONCE};
    use super::super::client::{Awaited, Reply, ReplyError, read_reply};
    use super::super::field::{plaintext_place, put_authenticator, put_field};
    use super::*;
    use crate::extension_field::UNIQUE_IDENTIFIER;
    use crate::header::{Header, LENGTH, MODE_SERVER};

    const COOKIE: usize = 64;

    fn key(algorithm: Algorithm, octet: u8) -> Key {
        Key::from_octets(algorithm, &[octet; 64][..algorithm.key_length()]).unwrap()
    }

    fn reply(key: &Key) -> ([u8; MAX_PACKET], usize) {
        let mut packet = [0; MAX_PACKET];
        let header = Header { version: 4, mode: MODE_SERVER, stratum: 1, origin_timestamp: 9, ..blank() };
        packet[..LENGTH].copy_from_slice(&header.encode());
        put_field(&mut packet, LENGTH, UNIQUE_IDENTIFIER, 32).unwrap().fill(0x55);
        let at = LENGTH + FIELD_HEAD + 32;
        let plain = 2 * (FIELD_HEAD + COOKIE);
        let place = plaintext_place(key.algorithm(), plain);
        for index in 0..2 {
            let start = at + place.start + index * (FIELD_HEAD + COOKIE);
            put_field(&mut packet, start, NTS_COOKIE, COOKIE).unwrap().fill(index as u8 + 1);
        }
        let end = put_authenticator(&mut packet, at, key, &[7; MAX_NONCE], plain).unwrap();
        (packet, end)
    }

    fn blank() -> Header {
        Header::decode(&[0; LENGTH]).unwrap()
    }

    #[test]
    fn the_other_key_opens_the_same_reply_with_renamed_cookies_and_the_first_one_does_not() {
        for algorithm in Algorithm::ALL {
            let (old, new) = (key(algorithm, 1), key(algorithm, 2));
            let (mut packet, length) = reply(&old);
            assert!(reseal(&mut packet[..length], &old, &new, &mut |cookie| cookie.fill(cookie[0] + 8)));
            let awaited = |key| Awaited { unique_identifier: &[0x55; 32], origin: 9, key };
            let mut again = packet;
            assert_eq!(read_reply(&mut again[..length], &awaited(&old)), Err(ReplyError::Forged));
            let Ok(Reply::Protected(opened)) = read_reply(&mut packet[..length], &awaited(&new)) else {
                panic!("not opened by the other key");
            };
            assert!(opened.cookies().eq([&[9; COOKIE][..], &[10; COOKIE][..]]));
        }
    }

    #[test]
    fn what_another_key_sealed_stays_as_it_is() {
        let algorithm = Algorithm::AesSivCmac256;
        let (packet, length) = reply(&key(algorithm, 3));
        let mut same = packet;
        assert!(!reseal(&mut same[..length], &key(algorithm, 1), &key(algorithm, 2), &mut |_| ()));
        assert_eq!(same, packet);
    }
}
