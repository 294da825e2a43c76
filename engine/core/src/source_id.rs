//! The number of a source.

/// A source of one engine. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceId(u32);

impl SourceId {
    /// Differs from that of any other source.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    /// The source of this number.
    pub(crate) const fn of(number: u32) -> Self {
        Self(number)
    }
}
