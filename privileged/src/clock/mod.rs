//! The clock is an interface: the kernel's, or a virtual one for everything that must not touch it.

pub mod kernel;
pub mod virtual_file;

use ipc::message::privileged::{ClockKind, ClockReading, Status};
use ipc::units::{Frequency, Offset, RawInstant, TimeConstant, WallTime};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

/// What the process may do to a clock. Each call is one act; none reads the governor.
pub trait Clock {
    /// Which kind it is.
    fn kind(&self) -> ClockKind;

    /// The clock now, with CLOCK_MONOTONIC_RAW read next to it.
    ///
    /// # Errors
    /// The kernel's.
    fn read(&self) -> Result<ClockReading, Errno>;

    /// Sets the base frequency, and replaces the slew in progress by this one; it ends by itself, also when
    /// this process is killed.
    ///
    /// # Errors
    /// The kernel's; the clock is as before.
    fn adjust(&mut self, base: Frequency, slew: Offset, pace: TimeConstant) -> Result<(), Errno>;

    /// Moves the clock at once; a slew in progress is forgotten.
    ///
    /// # Errors
    /// The kernel's; the clock is as before.
    fn step(&mut self, delta: Offset) -> Result<(), Errno>;

    /// What the kernel tells programs.
    ///
    /// # Errors
    /// The kernel's.
    fn set_status(&mut self, status: &Status) -> Result<(), Errno>;

    /// Whether frequency and mode are still as we left them; sets them back where they are not.
    ///
    /// # Errors
    /// The kernel's.
    fn reclaim(&mut self) -> Result<bool, Errno>;

    /// Ends a slew and leaves the clock at its base frequency, in the mode in which others expect it.
    ///
    /// # Errors
    /// The kernel's.
    fn release(&mut self) -> Result<(), Errno>;
}

/// A clock that is only looked at.
#[derive(Debug)]
pub struct Untouched;

impl Clock for Untouched {
    fn kind(&self) -> ClockKind {
        ClockKind::None
    }

    fn read(&self) -> Result<ClockReading, Errno> {
        let (wall, raw) = read_pair();
        Ok(ClockReading { wall, raw, frequency: Frequency::ZERO, slew_left: Offset::ZERO })
    }

    fn adjust(&mut self, _: Frequency, _: Offset, _: TimeConstant) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn step(&mut self, _: Offset) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn set_status(&mut self, _: &Status) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    fn reclaim(&mut self) -> Result<bool, Errno> {
        Ok(false)
    }

    fn release(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}

/// One of the kernel's clocks, ns. A clock that can't be read stands at 0: everything is then refused.
pub fn nanos(clock: ClockId) -> i64 {
    clock_gettime(clock)
        .map_or(0, |time| time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec()))
}

/// CLOCK_MONOTONIC_RAW.
pub fn raw_now() -> RawInstant {
    RawInstant::saturating(nanos(ClockId::CLOCK_MONOTONIC_RAW))
}

/// CLOCK_REALTIME and CLOCK_MONOTONIC_RAW next to each other: the tightest of three tries.
pub fn read_pair() -> (WallTime, RawInstant) {
    let mut best = (i64::MAX, WallTime::MIN, RawInstant::MIN);
    for _ in 0..3 {
        let before = nanos(ClockId::CLOCK_MONOTONIC_RAW);
        let wall = nanos(ClockId::CLOCK_REALTIME);
        let width = nanos(ClockId::CLOCK_MONOTONIC_RAW) - before;
        if width < best.0 {
            best = (width, WallTime::saturating(wall), RawInstant::saturating(before + width / 2));
        }
    }
    (best.1, best.2)
}
