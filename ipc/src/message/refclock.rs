//! The link of the process that reads reference clocks.
//!
//! It says what it read and when, and nothing that has been judged: whether a sample is used is decided in the engine, which
//! takes each field for what a stranger may have written.

use super::Shortfall;
use crate::codec::{Decode, Encode};
use crate::units::{Leap, RawInstant, Span, WallTime};

/// No sample of a device is read less than this after the one before it.
pub const LEAST_INTERVAL: Span = Span::from_millis(50);

/// No sample is older than this when it is read.
pub const LONGEST_AGE: Span = Span::from_secs(2);

/// No [`Discarded`] of a device comes sooner than this after the one before it.
pub const TOLD: Span = Span::from_secs(10);

/// Engine to the process that reads reference clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToRefclock {
    /// Answer with `Pong`; sent only if the service manager's watchdog is on.
    Ping,
}

/// The process that reads reference clocks, to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromRefclock {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// Answers `Ping`: the loop still turns.
    Pong,
    /// A sample. Of one device each was read at least [`LEAST_INTERVAL`] after the one before.
    Sample(ClockSample),
    /// What was read and is no sample; of one device each is at least [`TOLD`] after the one before.
    Discarded(Discarded),
}

/// What a reference clock said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ClockSample {
    /// Which one: its place in the plan.
    pub device: u8,
    /// When it was read.
    pub read: RawInstant,
    /// When it was taken; not after it was read, and at most [`LONGEST_AGE`] before.
    pub at: RawInstant,
    /// What true time was then, as it says.
    pub utc: WallTime,
    /// It tells the beginning of a second, and not of which one: whole seconds of `utc` mean nothing.
    pub is_pulse: bool,
    /// Which leap second it announces; never [`Leap::Unknown`].
    pub leap: Leap,
}

/// Counts of what was read of one device and is no sample, since the last such message. Not all of them are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Discarded {
    /// Which one: its place in the plan.
    pub device: u8,
    /// When this was counted.
    pub at: RawInstant,
    /// Of another form.
    pub malformed: u32,
    /// Taken too long before they were read, or after it, by the system's clock.
    pub untimely: u32,
    /// That the clock is not to be trusted now, as it says itself.
    pub unsynchronised: u32,
    /// More than are taken.
    pub excess: u32,
}
