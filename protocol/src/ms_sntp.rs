//! What clients of an Active Directory domain put behind the header (MS-SNTP section 2.2.1): an account whose password makes
//! the key, and room for a digest. Their requests are not authenticated; only the reply is.
//!
//! ```text
//!   0        48              52
//!   | header | account (4) | digest (16) |    little-endian; the digest of a request is zero
//! ```
//!
//! The extended authenticator of 72 octets (section 2.2.2) is not known here: Samba does not sign for it.

use crate::header::LENGTH;

/// Octets of the digest.
const DIGEST: usize = 16;

/// Octets of a request and of its reply.
pub const SIGNED_LENGTH: usize = LENGTH + 4 + DIGEST;

/// The version that these clients speak.
const VERSION: u8 = 3;

/// The account that a request names: its relative identifier, with the mark of the password before in the highest bit. None: it
/// is not a request for a signature, by its length, its version, or its digest.
pub fn account(request: &[u8]) -> Option<u32> {
    let packet: &[u8; SIGNED_LENGTH] = request.try_into().ok()?;
    let (header, authenticator) = packet.split_at(LENGTH);
    let (account, digest) = authenticator.split_first_chunk()?;
    let is_of_version = header.first().is_some_and(|first| first >> 3 & 7 == VERSION);
    (is_of_version && digest == [0; DIGEST]).then(|| u32::from_le_bytes(*account))
}

/// A signed reply.
pub fn signed(header: &[u8; LENGTH], account: u32, digest: &[u8; DIGEST]) -> [u8; SIGNED_LENGTH] {
    let mut reply = [0; SIGNED_LENGTH];
    let account = account.to_le_bytes();
    let parts = header.iter().chain(&account).chain(digest).copied();
    reply.iter_mut().zip(parts).for_each(|(place, octet)| *place = octet);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> [u8; SIGNED_LENGTH] {
        let mut header = [0; LENGTH];
        header[0] = VERSION << 3 | 3;
        signed(&header, 1105, &[0; DIGEST])
    }

    #[test]
    fn an_account_is_read_from_68_octets_of_version_3_without_a_digest_and_from_nothing_else() {
        assert_eq!(account(&request()), Some(1105));
        let mut before = request();
        before[51] = 0x80;
        assert_eq!(account(&before), Some(0x8000_0451), "the password before");
        for version in [0u8, 1, 2, 4, 5, 6, 7] {
            let mut other = request();
            other[0] = version << 3 | 3;
            assert_eq!(account(&other), None, "{version}");
        }
        for at in 52..SIGNED_LENGTH {
            let mut with_digest = request();
            with_digest[at] = 1;
            assert_eq!(account(&with_digest), None, "{at}");
        }
        let long = [&request()[..], &[0; 60]].concat();
        for length in (0..long.len()).filter(|length| *length != SIGNED_LENGTH) {
            assert_eq!(account(&long[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_reply_is_as_long_as_its_request_with_the_account_and_the_digest_at_their_places() {
        let reply = signed(&[0x1c; LENGTH], 0x8000_0451, &[7; DIGEST]);
        assert_eq!(reply.len(), request().len());
        assert_eq!(
            (&reply[..48], &reply[48..52], &reply[52..]),
            (&[0x1c; 48][..], &[0x51, 4, 0, 0x80][..], &[7; 16][..])
        );
    }
}
