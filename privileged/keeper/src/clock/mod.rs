//! The clock is an interface: the kernel's clock or, in a separate program, a virtual one. No program links both.

pub mod kernel;

use crate::kernel::Errno;
use ipc::message::privileged::{ClockKind, ClockReading, Status};
use ipc::units::{Frequency, Offset, RawInstant, TimeConstant, WallTime};

/// What the process may do to a clock. Each call is one act; none reads the governor.
pub trait Clock {
    /// Which kind it is.
    fn kind(&self) -> ClockKind;

    /// The clock now, with CLOCK_MONOTONIC_RAW read next to it.
    ///
    /// # Errors
    /// The error of the failed system call.
    fn read(&self) -> Result<ClockReading, Errno>;

    /// Sets the base frequency, and replaces the slew in progress by this one; it ends by itself, also when
    /// this process is killed.
    ///
    /// # Errors
    /// The error of the failed system call; the clock is as before.
    fn adjust(&mut self, base: Frequency, slew: Offset, pace: TimeConstant) -> Result<(), Errno>;

    /// Moves the clock at once; a slew in progress is forgotten.
    ///
    /// # Errors
    /// The error of the failed system call; the clock is as before.
    fn step(&mut self, delta: Offset) -> Result<(), Errno>;

    /// What the kernel tells programs.
    ///
    /// # Errors
    /// The error of the failed system call.
    fn set_status(&mut self, status: &Status) -> Result<(), Errno>;

    /// What the kernel adds to CLOCK_REALTIME for CLOCK_TAI, in seconds. The clock is not moved.
    ///
    /// # Errors
    /// The error of the failed system call; it is as before.
    fn set_tai(&mut self, seconds: u8) -> Result<(), Errno>;

    /// Whether frequency and mode are still as we set them, and nobody else slews; restores that if not.
    ///
    /// # Errors
    /// The error of the failed system call.
    fn reclaim(&mut self) -> Result<bool, Errno>;

    /// Ends a slew and leaves the clock at its base frequency, in the mode in which others expect it.
    ///
    /// # Errors
    /// The error of the failed system call.
    fn release(&mut self) -> Result<(), Errno>;
}

/// CLOCK_REALTIME and CLOCK_MONOTONIC_RAW at one moment.
pub fn read_pair() -> (WallTime, RawInstant) {
    let pair = ipc_clock::Pair::read();
    (WallTime::saturating(pair.realtime), pair.raw)
}
