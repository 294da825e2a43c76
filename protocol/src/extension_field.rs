//! What follows the header: extension fields (RFC 7822) and, last, perhaps a MAC.
//!
//! Version 4 is walked field by field: 20 to 24 octets left are a MAC, 4 zero octets a crypto-NAK, anything
//! else must be a field. Versions 1 to 3 have no fields: everything left is a MAC.

use core::fmt;

/// Shortest field, its own four octets included (RFC 7822 section 3).
pub const MIN_FIELD: usize = 16;

/// Shortest last field of a packet without a MAC: anything shorter could be taken for one.
pub const MIN_LAST_FIELD: usize = 28;

/// Unique Identifier (RFC 8915 section 5.3).
pub const UNIQUE_IDENTIFIER: u16 = 0x0104;
/// NTS Cookie (RFC 8915 section 5.4).
pub const NTS_COOKIE: u16 = 0x0204;
/// NTS Cookie Placeholder (RFC 8915 section 5.5).
pub const NTS_COOKIE_PLACEHOLDER: u16 = 0x0304;
/// NTS Authenticator and Encrypted Extension Fields (RFC 8915 section 5.6).
pub const NTS_AUTHENTICATOR: u16 = 0x0404;

/// One thing after the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An extension field.
    Field {
        /// Its type.
        kind: u16,
        /// Its value, padding included.
        value: &'a [u8],
        /// Where it starts, in octets after the header.
        at: usize,
    },
    /// Key id and digest; always the last item. The digest is not verified.
    Mac(&'a [u8]),
    /// A crypto-NAK, "your MAC was wrong"; always the last item.
    CryptoNak,
}

/// Why the octets after a header are malformed; no part of the packet may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkError {
    /// Octets after the header in a version that is not 1 to 4.
    Version,
    /// A field's length is below 16, not a multiple of 4, or beyond the packet.
    Length,
    /// The last field is shorter than 28 octets and no MAC follows.
    LastTooShort,
    /// Versions 1 to 3: a length that no MAC can have.
    Mac,
}

impl fmt::Display for WalkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WalkError::Version => "octets after the header in an unknown version",
            WalkError::Length => "extension field with an impossible length",
            WalkError::LastTooShort => "last extension field shorter than 28 octets",
            WalkError::Mac => "octets after the header that are no MAC",
        })
    }
}

impl core::error::Error for WalkError {}

/// The items of one packet, in order; ends after the first error.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    octets: &'a [u8],
    version: u8,
    at: usize,
}

/// Walks `after_header`, the octets from 48 on, of a packet of this version.
pub fn walk(after_header: &[u8], version: u8) -> Walk<'_> {
    Walk { octets: after_header, version, at: 0 }
}

impl<'a> Walk<'a> {
    fn item(&mut self, rest: &'a [u8]) -> Result<Item<'a>, WalkError> {
        self.at = self.octets.len();
        match (self.version, rest.len()) {
            (1..=4, 4) if rest == [0; 4] => Ok(Item::CryptoNak),
            (1..=4, 20..=24) if rest.len().is_multiple_of(4) => Ok(Item::Mac(rest)),
            // RFC 1305 appendix C, digests of SHA-256 to SHA-512 that are not cut, and the extended authenticator of Windows domains.
            (1..=3, 12 | 36 | 52 | 68 | 72) => Ok(Item::Mac(rest)),
            (1..=3, _) => Err(WalkError::Mac),
            (4, _) => self.field(rest),
            _ => Err(WalkError::Version),
        }
    }

    fn field(&mut self, rest: &'a [u8]) -> Result<Item<'a>, WalkError> {
        let head: &[u8; 4] = rest.first_chunk().ok_or(WalkError::Length)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(4..length).ok_or(WalkError::Length)?;
        if length < MIN_FIELD || !length.is_multiple_of(4) {
            return Err(WalkError::Length);
        }
        if length == rest.len() && length < MIN_LAST_FIELD {
            return Err(WalkError::LastTooShort);
        }
        let at = self.octets.len() - rest.len();
        self.at = at + length;
        Ok(Item::Field { kind, value, at })
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Item<'a>, WalkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.octets.get(self.at..)?;
        if rest.is_empty() {
            return None;
        }
        Some(self.item(rest))
    }
}

impl core::iter::FusedIterator for Walk<'_> {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn field(kind: u16, length: u16) -> Vec<u8> {
        let mut octets = std::vec![7; usize::from(length).max(4)];
        octets[..2].copy_from_slice(&kind.to_be_bytes());
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        octets
    }

    fn items(octets: &[u8], version: u8) -> Vec<Result<Item<'_>, WalkError>> {
        walk(octets, version).collect()
    }

    #[test]
    fn nothing_after_the_header_is_no_item_in_any_version() {
        for version in 0..8 {
            assert!(items(&[], version).is_empty());
        }
    }

    #[test]
    fn fields_are_found_in_order_and_then_the_mac() {
        let octets = [field(0x104, 36), field(0xF323, 16), std::vec![9; 20]].concat();
        let found = items(&octets, 4);
        assert_eq!(
            found,
            [
                Ok(Item::Field { kind: 0x104, value: &octets[4..36], at: 0 }),
                Ok(Item::Field { kind: 0xF323, value: &octets[40..52], at: 36 }),
                Ok(Item::Mac(&octets[52..])),
            ]
        );
    }

    #[test]
    fn a012_a_crypto_nak_and_a_mac_are_told_apart_from_fields() {
        assert_eq!(items(&[0; 4], 4), [Ok(Item::CryptoNak)]);
        for length in [20, 24] {
            assert_eq!(items(&std::vec![0; length], 4), [Ok(Item::Mac(&std::vec![0; length]))]);
        }
        assert_eq!(items(&[0, 0, 0, 1], 4), [Err(WalkError::Length)]);
    }

    #[test]
    fn a015_impossible_lengths_end_the_walk() {
        for length in [0u16, 1, 3, 4, 12, 15, 17, 30, 33, 40, 65_535] {
            let mut octets = field(0x104, 32);
            octets[2..4].copy_from_slice(&length.to_be_bytes());
            let found = items(&octets, 4);
            assert!(found.last().unwrap().is_err(), "{length}: {found:?}");
            assert_eq!(found.iter().filter(|item| item.is_err()).count(), 1, "{length}");
        }
    }

    #[test]
    fn a_lone_field_must_be_longer_than_any_mac() {
        assert_eq!(items(&field(0x104, 16), 4), [Err(WalkError::LastTooShort)]);
        assert!(items(&field(0x104, 28), 4)[0].is_ok());
    }

    #[test]
    fn before_version_4_all_of_it_is_a_mac() {
        for version in 1..4 {
            for length in [12, 20, 24, 36, 52, 68, 72] {
                assert!(matches!(items(&std::vec![1; length], version)[..], [Ok(Item::Mac(_))]), "{length}");
            }
            assert_eq!(items(&field(0x104, 28), version), [Err(WalkError::Mac)]);
        }
        for version in [0, 5, 7] {
            assert_eq!(items(&field(0x104, 28), version), [Err(WalkError::Version)]);
        }
    }
}
