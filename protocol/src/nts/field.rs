//! The positions of the NTS fields in a time packet (RFC 8915 section 5), and the layout of the authenticator:
//!
//! ```text
//!   0        48                                        authenticator.at
//!   | header | unique identifier | cookie | ... fields | type length | n c | nonce | ciphertext | padding |
//!   '------------------ associated octets ------------'                          sealed text
//! ```
//!
//! Nothing here uses keys; that a field is present does not prove who wrote it.

use super::aead::{Algorithm, Key, SealError, TAG, unique_nonce};
use crate::extension_field::{
    Item, NTS_AUTHENTICATOR, NTS_COOKIE, NTS_COOKIE_PLACEHOLDER, UNIQUE_IDENTIFIER, WalkError, walk,
};
use crate::header::LENGTH;
use crate::primitives;
use core::fmt;
use core::ops::Range;

/// Octets of the unique identifiers that are sent; also the minimum that is accepted.
pub const UNIQUE_IDENTIFIER_LENGTH: usize = 32;

/// Octets of a field before its value.
pub const FIELD_HEAD: usize = 4;

/// Octets of an authenticator before its nonce.
const AUTHENTICATOR_HEAD: usize = 8;

/// Why the fields of a packet must not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// They are malformed as extension fields.
    Walk(WalkError),
    /// A MAC or crypto-NAK: no symmetric key is shared.
    Mac,
    /// Two unique identifiers, cookies or authenticators.
    Twice,
    /// A unique identifier below 32 octets.
    ShortIdentifier,
    /// Placeholders without a cookie, or of another length than the cookie.
    Placeholder,
    /// Impossible lengths in an authenticator.
    Authenticator,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldError::Walk(error) => write!(f, "{error}"),
            FieldError::Mac => f.write_str("a MAC behind NTS fields"),
            FieldError::Twice => f.write_str("an NTS field that is there twice"),
            FieldError::ShortIdentifier => f.write_str("a unique identifier shorter than 32 octets"),
            FieldError::Placeholder => f.write_str("a cookie placeholder unlike the cookie"),
            FieldError::Authenticator => f.write_str("an authenticator with impossible lengths"),
        }
    }
}

impl core::error::Error for FieldError {}

/// The fields of a packet, each given as a range of octets of the packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) unique_identifier: Option<Range<usize>>,
    pub(super) cookie: Option<Range<usize>>,
    pub(super) placeholders: usize,
    pub(super) authenticator: Option<Authenticator>,
    /// Whether anything follows the authenticator; it was only searched for a second authenticator.
    pub(super) is_followed: bool,
}

/// The parts of an authenticator.
#[derive(Clone, Debug)]
pub(super) struct Authenticator {
    /// First octet of the field: all octets before it are associated data.
    pub(super) at: usize,
    nonce: Range<usize>,
    text: Range<usize>,
    /// Octets of nonce and padding together.
    pub(super) nonce_room: usize,
}

/// Finds the fields of a complete packet of version 4, which has a header. A MAC without NTS fields is
/// ignored.
pub(super) fn locate(packet: &[u8]) -> Result<Fields, FieldError> {
    let mut fields = Fields::default();
    let mut placeholder = None;
    for item in walk(packet.get(LENGTH..).unwrap_or_default(), 4) {
        let Item::Field { kind, value, at } = item.map_err(FieldError::Walk)? else {
            if fields.cookie.is_some() || fields.authenticator.is_some() {
                return Err(FieldError::Mac);
            }
            continue;
        };
        let at = LENGTH + at;
        let value_at = at + FIELD_HEAD;
        let place = value_at..value_at + value.len();
        if fields.authenticator.is_some() {
            if kind == NTS_AUTHENTICATOR {
                return Err(FieldError::Twice);
            }
            fields.is_followed = true;
            continue;
        }
        match kind {
            UNIQUE_IDENTIFIER if value.len() < UNIQUE_IDENTIFIER_LENGTH => {
                return Err(FieldError::ShortIdentifier);
            }
            UNIQUE_IDENTIFIER => set(&mut fields.unique_identifier, place)?,
            NTS_COOKIE => set(&mut fields.cookie, place)?,
            NTS_COOKIE_PLACEHOLDER => {
                fields.placeholders += 1;
                if *placeholder.get_or_insert(value.len()) != value.len() {
                    return Err(FieldError::Placeholder);
                }
            }
            NTS_AUTHENTICATOR => fields.authenticator = Some(Authenticator::parse(value, at)?),
            _ => {}
        }
    }
    let cookie = fields.cookie.as_ref().map(ExactSizeIterator::len);
    if placeholder.is_some() && placeholder != cookie {
        return Err(FieldError::Placeholder);
    }
    Ok(fields)
}

fn set(place: &mut Option<Range<usize>>, found: Range<usize>) -> Result<(), FieldError> {
    match place.replace(found) {
        None => Ok(()),
        Some(_) => Err(FieldError::Twice),
    }
}

impl Authenticator {
    /// Reads the lengths in `value`, the value of the field that starts at `at`.
    fn parse(value: &[u8], at: usize) -> Result<Self, FieldError> {
        let ([nonce_high, nonce_low, text_high, text_low], room) =
            value.split_first_chunk::<4>().ok_or(FieldError::Authenticator)?;
        let nonce = usize::from(u16::from_be_bytes([*nonce_high, *nonce_low]));
        let text = usize::from(u16::from_be_bytes([*text_high, *text_low]));
        let nonce_room = room.len().checked_sub(text.next_multiple_of(4)).ok_or(FieldError::Authenticator)?;
        if nonce == 0 || text < TAG || nonce.next_multiple_of(4) > nonce_room {
            return Err(FieldError::Authenticator);
        }
        let nonce_at = at + AUTHENTICATOR_HEAD;
        let text_at = nonce_at + nonce.next_multiple_of(4);
        Ok(Self { at, nonce: nonce_at..nonce_at + nonce, text: text_at..text_at + text, nonce_room })
    }

    /// Borrows the parts of the packet for [`Key::open`].
    pub(super) fn split<'p>(&self, packet: &'p mut [u8]) -> Option<Sealed<'p>> {
        let (before, rest) = packet.split_at_mut_checked(self.text.start)?;
        let (associated, field) = before.split_at_mut_checked(self.at)?;
        let nonce = self.nonce.start.checked_sub(self.at)?..self.nonce.end.checked_sub(self.at)?;
        Some(Sealed { associated, nonce: field.get_mut(nonce)?, text: rest.get_mut(..self.text.len())? })
    }
}

/// The parts of an authenticated packet.
pub(super) struct Sealed<'p> {
    pub(super) associated: &'p [u8],
    pub(super) nonce: &'p mut [u8],
    pub(super) text: &'p mut [u8],
}

/// The encrypted fields: types and values; ends after the first malformed one.
pub(super) struct EncryptedFields<'a>(&'a [u8]);

impl<'a> EncryptedFields<'a> {
    pub(super) const fn new(plain: &'a [u8]) -> Self {
        Self(plain)
    }
}

/// An encrypted field with an impossible length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrokenField;

impl<'a> Iterator for EncryptedFields<'a> {
    type Item = Result<(u16, &'a [u8]), BrokenField>;

    fn next(&mut self) -> Option<Self::Item> {
        let octets = core::mem::take(&mut self.0);
        if octets.is_empty() {
            return None;
        }
        let Some([kind_high, kind_low, length_high, length_low]) = octets.first_chunk::<FIELD_HEAD>() else {
            return Some(Err(BrokenField));
        };
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        match (octets.get(FIELD_HEAD..length), octets.get(length..)) {
            (Some(value), Some(rest)) if length.is_multiple_of(4) => {
                self.0 = rest;
                Some(Ok((u16::from_be_bytes([*kind_high, *kind_low]), value)))
            }
            _ => Some(Err(BrokenField)),
        }
    }
}

/// Writes the head of a field whose value has `length` octets, a multiple of 4, and returns the value's position.
pub(super) fn put_field(out: &mut [u8], at: usize, kind: u16, length: usize) -> Option<&mut [u8]> {
    let total = u16::try_from(length.checked_add(FIELD_HEAD)?).ok()?;
    let field = out.get_mut(at..)?.get_mut(..usize::from(total))?;
    let (head, value) = field.split_first_chunk_mut::<FIELD_HEAD>()?;
    let ([kind_high, kind_low], [total_high, total_low]) = (kind.to_be_bytes(), total.to_be_bytes());
    *head = [kind_high, kind_low, total_high, total_low];
    Some(value)
}

/// Octets of an authenticator that seals `plain` octets, a multiple of 4.
pub(super) const fn authenticator_length(algorithm: Algorithm, plain: usize) -> usize {
    AUTHENTICATOR_HEAD + algorithm.nonce_length() + TAG + plain
}

/// Position of the plaintext in such an authenticator, from its first octet.
pub(super) const fn plaintext_place(algorithm: Algorithm, plain: usize) -> Range<usize> {
    let text = AUTHENTICATOR_HEAD + algorithm.nonce_length();
    let place = algorithm.plaintext(plain + TAG);
    text + place.start..text + place.end
}

/// Writes an authenticator at `at` over the octets before it, around the `plain` octets that are already
/// in place. Returns the end of the authenticator. `random`: fresh octets, at least as many as a nonce has.
pub(super) fn put_authenticator(
    out: &mut [u8],
    at: usize,
    key: &Key,
    random: &[u8],
    plain: usize,
) -> Result<usize, SealError> {
    let algorithm = key.algorithm();
    let nonce = random.get(..algorithm.nonce_length()).ok_or(SealError::NonceLength)?;
    let length = authenticator_length(algorithm, plain) - FIELD_HEAD;
    let (associated, rest) = out.split_at_mut_checked(at).ok_or(SealError::NoRoom)?;
    let value = put_field(rest, 0, NTS_AUTHENTICATOR, length).ok_or(SealError::NoRoom)?;
    let (lengths, value) = value.split_first_chunk_mut::<4>().ok_or(SealError::NoRoom)?;
    let nonce_length = u16::try_from(nonce.len()).map_err(|_| SealError::NonceLength)?.to_be_bytes();
    let text_length = u16::try_from(plain + TAG).map_err(|_| SealError::NoRoom)?.to_be_bytes();
    *lengths = [nonce_length[0], nonce_length[1], text_length[0], text_length[1]];
    let (nonce_place, text) = value.split_at_mut_checked(nonce.len()).ok_or(SealError::NoRoom)?;
    let own;
    let nonce = if algorithm.needs_unique_nonces() && !primitives::DRAWS_NONCES {
        let plain = text.get(algorithm.plaintext(text.len())).ok_or(SealError::NoRoom)?;
        own = unique_nonce(random, associated, plain);
        &own[..]
    } else {
        nonce
    };
    nonce_place.copy_from_slice(nonce);
    key.seal(nonce_place, associated, text)?;
    Ok(at + FIELD_HEAD + length)
}

#[cfg(test)]
mod tests;
