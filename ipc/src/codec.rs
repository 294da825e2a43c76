//! Messages as octets. The only file that knows bincode.
//!
//! Configuration: little-endian, fixed-size integers, so that each value has exactly one encoding. A
//! datagram must be consumed to its last octet.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use core::fmt;

pub(crate) use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder, read::Reader},
    enc::{Encoder, write::Writer},
    error::{DecodeError, EncodeError},
};

/// The longest frame in octets: the launch plan, which has at most 5,750 octets with all its paths, interfaces and pairs of certificate and
/// key, with room to spare.
pub const MAX_FRAME: usize = 6144;

/// First octets of each record; grows when a message changes, so that processes of two builds never talk.
pub(crate) const VERSION: u16 = 0x7435;

const CONFIGURATION: Configuration<LittleEndian, Fixint, Limit<MAX_FRAME>> =
    bincode::config::standard().with_little_endian().with_fixed_int_encoding().with_limit::<MAX_FRAME>();

/// Marks the enums that may be a record's body; only this crate can add one.
pub trait Message: Encode + Decode<()> + sealed::Sealed {}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// One datagram on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<M> {
    /// Position in this direction of this link: 0, 1, 2, …
    pub sequence: u32,
    /// The message.
    pub body: M,
}

/// Why octets are not a record. Their sender is no longer trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecError {
    /// Not the version that this build speaks.
    Version,
    /// Shorter than the record that it starts.
    Short,
    /// Octets after the record's end.
    Trailing,
    /// An unknown kind, a boolean that is neither 0 nor 1, or a value out of its range.
    Value,
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CodecError::Version => "record of another version",
            CodecError::Short => "record cut short",
            CodecError::Trailing => "octets after the record",
            CodecError::Value => "value out of range in a record",
        })
    }
}

impl core::error::Error for CodecError {}

/// Writes a record into `frame` and returns its length in octets.
///
/// Every message of this crate fits [`MAX_FRAME`] (tested), so this cannot fail.
pub fn encode<M: Message>(sequence: u32, body: &M, frame: &mut [u8; MAX_FRAME]) -> usize {
    put((VERSION, sequence, body), frame)
}

/// Writes a value of limited length to the start of `octets`, and returns its length in octets. The caller has made
/// sure (by a test) that each value fits.
pub(crate) fn put(value: impl Encode, octets: &mut [u8]) -> usize {
    // The limit of CONFIGURATION binds decoding only; the slice's own length binds encoding.
    match bincode::encode_into_slice(value, octets, CONFIGURATION) {
        Ok(length) => length,
        Err(_) => unreachable!("a value is longer than its place"),
    }
}

/// Reads exactly one record from `datagram`.
///
/// # Errors
/// Any octet that isn't part of exactly one well-formed record of this version.
pub fn decode<M: Message>(datagram: &[u8]) -> Result<Record<M>, CodecError> {
    if datagram.len() > MAX_FRAME {
        return Err(CodecError::Trailing);
    }
    let (version, head) = one::<u16>(datagram)?;
    if version != VERSION {
        return Err(CodecError::Version);
    }
    let (sequence, kind) = one::<u32>(&datagram[head..])?;
    let (body, rest) = one::<M>(&datagram[head + kind..])?;
    if head + kind + rest != datagram.len() {
        return Err(CodecError::Trailing);
    }
    Ok(Record { sequence, body })
}

/// Reads one value from the start of `octets`, and returns it with its length in octets.
///
/// # Errors
/// If they end within it, or if it is out of range.
pub(crate) fn one<T: Decode<()>>(octets: &[u8]) -> Result<(T, usize), CodecError> {
    bincode::decode_from_slice(octets, CONFIGURATION).map_err(|error| match error {
        DecodeError::UnexpectedEnd { .. } => CodecError::Short,
        _ => CodecError::Value,
    })
}

/// Decoding for a newtype with a checked constructor: what `try_new` refuses, decoding refuses.
macro_rules! decode_checked {
    ($name:ident, $inner:ty) => {
        impl<C> $crate::codec::Decode<C> for $name {
            fn decode<D: $crate::codec::Decoder<Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, $crate::codec::DecodeError> {
                let value = <$inner as $crate::codec::Decode<C>>::decode(decoder)?;
                $name::try_new(value).map_err(|_| $crate::codec::DecodeError::Other("out of range"))
            }
        }

        impl<'de, C> $crate::codec::BorrowDecode<'de, C> for $name {
            fn borrow_decode<D: $crate::codec::BorrowDecoder<'de, Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, $crate::codec::DecodeError> {
                <Self as $crate::codec::Decode<C>>::decode(decoder)
            }
        }
    };
}
