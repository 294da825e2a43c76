//! The versions that are spoken here.

/// A version of the protocol. A client offers one at a time, and takes no answer of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 1 (RFC 10049).
    One,
    /// The number that the last drafts were tried with, 0x8000000c: what is signed begins with other words. Only where the
    /// configuration asks for it.
    Draft,
}

impl Version {
    /// The number in packets and lists.
    pub const fn number(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Draft => 0x8000_000c,
        }
    }

    /// The version with this number, if it is one of the two.
    pub const fn of(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            0x8000_000c => Some(Self::Draft),
            _ => None,
        }
    }

    /// What a signature of a response begins with (RFC 10049 section 5.2.1).
    pub(crate) const fn of_response(self) -> &'static [u8] {
        match self {
            Self::One => b"Roughtime v1 response signature\0",
            Self::Draft => b"RoughTime v1 response signature\0",
        }
    }

    /// What a signature of a delegation begins with (RFC 10049 section 5.2.6).
    pub(crate) const fn of_delegation(self) -> &'static [u8] {
        match self {
            Self::One => b"Roughtime v1 delegation signature\0",
            Self::Draft => b"RoughTime v1 delegation signature\0",
        }
    }
}
