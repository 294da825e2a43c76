//! The extension fields behind a header (section 6 of the draft).
//!
//! Unlike version 4's, a length is that of the field without its padding, and a field may be as short as its own four octets.
//! There is no MAC behind them.

use super::correction::Correction;
use super::reference_ids::{ChunkRequest, Filter};
use core::fmt;

/// Octets of a field before its value.
pub const HEAD: usize = 4;

/// Most fields of a packet: no honest one has half as many.
pub const MOST: usize = 32;

/// Draft Identification.
pub const DRAFT_IDENTIFICATION: u16 = 0xf5ff;
/// Padding.
pub const PADDING: u16 = 0xf501;
/// MAC.
pub const MAC: u16 = 0xf502;
/// Reference IDs Request.
pub const REFERENCE_IDS_REQUEST: u16 = 0xf503;
/// Reference IDs Response.
pub const REFERENCE_IDS_RESPONSE: u16 = 0xf504;
/// Server Information.
pub const SERVER_INFORMATION: u16 = 0xf505;
/// Correction.
pub const CORRECTION: u16 = 0xf506;
/// Reference Timestamp.
pub const REFERENCE_TIMESTAMP: u16 = 0xf507;
/// Monotonic Receive Timestamp.
pub const MONOTONIC_RECEIVE_TIMESTAMP: u16 = 0xf508;
/// Secondary Receive Timestamp.
pub const SECONDARY_RECEIVE_TIMESTAMP: u16 = 0xf509;

/// The content of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// The name of the draft that the packet follows.
    DraftIdentification(&'a [u8]),
    /// Nothing.
    Padding,
    /// A key number and a message authentication code.
    Mac(&'a [u8]),
    /// Asks for a part of the filter; none: for one that lies beyond its end.
    ReferenceIdsRequest(Option<ChunkRequest>),
    /// A part of the filter.
    ReferenceIdsResponse(&'a [u8]),
    /// Versions that the server speaks; the lowest bit is version 1.
    ServerInformation(u16),
    /// What devices on the path have added.
    Correction(Correction),
    /// When the server's clock was last corrected, 64-bit format.
    ReferenceTimestamp(u64),
    /// T2 by a clock that is never stepped.
    MonotonicReceiveTimestamp {
        /// Another number after a step.
        epoch: u32,
        /// 64-bit format.
        timestamp: u64,
    },
    /// T2 in another timescale.
    SecondaryReceiveTimestamp {
        /// Its number.
        timescale: u8,
        /// Era of the timestamp.
        era: u8,
        /// 64-bit format.
        timestamp: u64,
    },
    /// Any other field, such as those of NTS.
    Other(u16, &'a [u8]),
}

/// A field and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its content.
    pub field: Field<'a>,
    /// Where it starts, in octets after the header.
    pub at: usize,
    /// Octets without padding, its own head included.
    pub length: usize,
}

/// Why the octets after a header are malformed; no part of the packet may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldError {
    /// A length below 4, or beyond the packet.
    Length,
    /// A field of a known type whose content has not the length that the type has.
    Content,
    /// More than [`MOST`] fields.
    TooMany,
    /// A correction that is not the last field.
    NotLast,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "extension field with an impossible length",
            Self::Content => "extension field whose length does not suit its type",
            Self::TooMany => "too many extension fields",
            Self::NotLast => "extension fields behind a correction",
        })
    }
}

impl core::error::Error for FieldError {}

/// The fields of one packet, in order; ends after the first error.
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    octets: &'a [u8],
    at: usize,
    count: usize,
}

/// Walks `after_header`, the octets from 48 on.
pub const fn walk(after_header: &[u8]) -> Walk<'_> {
    Walk { octets: after_header, at: 0, count: 0 }
}

impl<'a> Walk<'a> {
    fn item(&mut self) -> Result<Item<'a>, FieldError> {
        let at = core::mem::replace(&mut self.at, self.octets.len());
        let rest = self.octets.get(at..).ok_or(FieldError::Length)?;
        let head: &[u8; HEAD] = rest.first_chunk().ok_or(FieldError::Length)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(HEAD..length).ok_or(FieldError::Length)?;
        let next = at + length.next_multiple_of(4);
        if next > self.octets.len() {
            return Err(FieldError::Length);
        }
        self.count += 1;
        if self.count > MOST {
            return Err(FieldError::TooMany);
        }
        let field = Field::read(kind, value).ok_or(FieldError::Content)?;
        if matches!(field, Field::Correction(_)) && next != self.octets.len() {
            return Err(FieldError::NotLast);
        }
        self.at = next;
        Ok(Item { field, at, length })
    }
}

impl<'a> Field<'a> {
    /// Of a type and a value; none: the value cannot be of that type.
    fn read(kind: u16, value: &'a [u8]) -> Option<Self> {
        Some(match kind {
            DRAFT_IDENTIFICATION => Self::DraftIdentification(value),
            PADDING => Self::Padding,
            // A key number, and at least something behind it.
            MAC if value.len() > 4 => Self::Mac(value),
            REFERENCE_IDS_REQUEST => {
                let (offset, _) = value.split_first_chunk::<2>()?;
                Self::ReferenceIdsRequest(ChunkRequest::try_new(u16::from_be_bytes(*offset), value.len()))
            }
            REFERENCE_IDS_RESPONSE if (1..=Filter::LENGTH).contains(&value.len()) => {
                Self::ReferenceIdsResponse(value)
            }
            SERVER_INFORMATION => {
                let [high, low, _, _] = exactly(value)?;
                Self::ServerInformation(u16::from_be_bytes([high, low]))
            }
            CORRECTION => Self::Correction(Correction::from_octets(&exactly(value)?)),
            REFERENCE_TIMESTAMP => Self::ReferenceTimestamp(u64::from_be_bytes(exactly(value)?)),
            MONOTONIC_RECEIVE_TIMESTAMP => {
                let (epoch, timestamp) = value.split_first_chunk::<4>()?;
                Self::MonotonicReceiveTimestamp {
                    epoch: u32::from_be_bytes(*epoch),
                    timestamp: u64::from_be_bytes(exactly(timestamp)?),
                }
            }
            SECONDARY_RECEIVE_TIMESTAMP => {
                let ([timescale, era, _, _], timestamp) = value.split_first_chunk::<4>()?;
                Self::SecondaryReceiveTimestamp {
                    timescale: *timescale,
                    era: *era,
                    timestamp: u64::from_be_bytes(exactly(timestamp)?),
                }
            }
            MAC | REFERENCE_IDS_RESPONSE => return None,
            other => Self::Other(other, value),
        })
    }
}

fn exactly<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Item<'a>, FieldError>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at < self.octets.len()).then(|| self.item())
    }
}

impl core::iter::FusedIterator for Walk<'_> {}

/// Writes a field whose value has `length` octets at `at`, with its padding, and returns the place of its value and the end.
pub fn put(out: &mut [u8], at: usize, kind: u16, length: usize) -> Option<(&mut [u8], usize)> {
    let whole = u16::try_from(length.checked_add(HEAD)?).ok()?;
    let end = at.checked_add(usize::from(whole).next_multiple_of(4))?;
    let field = out.get_mut(at..end)?;
    let (head, value) = field.split_first_chunk_mut::<HEAD>()?;
    let ([kind_high, kind_low], [high, low]) = (kind.to_be_bytes(), whole.to_be_bytes());
    *head = [kind_high, kind_low, high, low];
    value.fill(0);
    Some((value.get_mut(..length)?, end))
}

#[cfg(test)]
mod tests;
