//! The clock is an interface: the kernel's clock or, in a separate program, a virtual one. No program links both.

pub mod kernel;

use crate::kernel::{Errno, nanos};
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

    /// Whether frequency and mode are still as we set them; restores them if not.
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

/// CLOCK_MONOTONIC_RAW.
pub fn raw_now() -> RawInstant {
    RawInstant::saturating(nanos(libc::CLOCK_MONOTONIC_RAW))
}

/// CLOCK_REALTIME and CLOCK_MONOTONIC_RAW next to each other: the tightest of three tries.
pub fn read_pair() -> (WallTime, RawInstant) {
    let mut best = (i64::MAX, WallTime::MIN, RawInstant::MIN);
    for _ in 0..3 {
        let before = nanos(libc::CLOCK_MONOTONIC_RAW);
        let wall = nanos(libc::CLOCK_REALTIME);
        let width = nanos(libc::CLOCK_MONOTONIC_RAW) - before;
        if width < best.0 {
            best = (width, WallTime::saturating(wall), RawInstant::saturating(before + width / 2));
        }
    }
    (best.1, best.2)
}
