//! The frames of which a recording consists, each with a checksum, so that damage is distinguished from a difference.
//!
//! ```text
//!   recording = "chimerec", format (2 octets), build (length, text), frame …
//!   frame     = kind (1), length (4), octets, the first four octets of the SHA-256 of all before
//! ```

use super::octets::{Malformed, Reader, Writer};
use alloc::string::String;
use hmac_sha256::Hash;

const MAGIC: &[u8; 8] = b"chimerec";

/// The format of the frames' content. No other format can be read.
const FORMAT: u16 = 17;

/// No frame is longer: a start with 32 sources and their cookies.
const LONGEST: usize = 1 << 20;

const CHECK: usize = 4;

/// The content of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// How the engine was created; the first frame.
    Start,
    /// A call, written before it was carried out.
    Fact,
    /// The effects of the call before it.
    Outcome,
    /// The last one.
    End,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Start, Self::Fact, Self::Outcome, Self::End];

    const fn number(self) -> u8 {
        match self {
            Self::Start => b'S',
            Self::Fact => b'F',
            Self::Outcome => b'O',
            Self::End => b'E',
        }
    }
}

/// What stands before the frames.
pub(super) fn head(out: &mut Writer, build: &str) {
    out.octets(MAGIC);
    out.u16(FORMAT);
    out.text(build);
}

/// A frame around `octets`.
pub(super) fn put(out: &mut Writer, kind: Kind, octets: &[u8]) {
    let mut framed = Writer::default();
    framed.u8(kind.number());
    framed.octets(&(octets.len() as u32).to_le_bytes());
    framed.octets(octets);
    let check = Hash::hash(&framed.0);
    out.octets(&framed.0);
    out.octets(check.get(..CHECK).unwrap_or_default());
}

/// Why octets are not a recording of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    Magic,
    Format(u16),
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A whole frame.
    Frame(Kind, &'a [u8]),
    /// The recording ends here, in the middle of a frame or not.
    End {
        /// Whether in the middle of one.
        torn: bool,
    },
    /// The octets here were changed.
    Damaged,
}

/// Reads frames.
#[derive(Clone, Debug)]
pub(super) struct Frames<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    /// Behind the head; gives the build too.
    pub(super) fn open(octets: &'a [u8]) -> Result<(Self, String), HeadError> {
        let mut from = Reader::new(octets);
        if from.array() != Ok(*MAGIC) {
            return Err(HeadError::Magic);
        }
        let format = from.u16().map_err(|Malformed| HeadError::Magic)?;
        if format != FORMAT {
            return Err(HeadError::Format(format));
        }
        let build = from.text().map_err(|Malformed| HeadError::Magic)?;
        let at = MAGIC.len() + 4 + build.len();
        Ok((Self { octets, at }, build))
    }

    /// Where the next frame begins, in octets from the beginning of the recording.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) fn next(&mut self) -> Next<'a> {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let mut from = Reader::new(rest);
        let (Ok(kind), Ok(length)) = (from.u8(), from.array().map(u32::from_le_bytes)) else {
            return Next::End { torn: !rest.is_empty() };
        };
        let length = length as usize;
        let kind = Kind::ALL.into_iter().find(|known| known.number() == kind);
        let (Some(kind), true) = (kind, length <= LONGEST) else { return Next::Damaged };
        let (Ok(octets), Ok(check)) = (from.octets(length), from.array::<CHECK>()) else {
            return Next::End { torn: true };
        };
        let whole = 5 + length;
        let right = Hash::hash(rest.get(..whole).unwrap_or_default());
        if !right.starts_with(&check) {
            return Next::Damaged;
        }
        self.at += whole + CHECK;
        Next::Frame(kind, octets)
    }
}
