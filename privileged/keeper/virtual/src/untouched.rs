//! A clock that is only looked at.

use ipc::message::privileged::{ClockKind, ClockReading, Status};
use ipc::units::{Frequency, Offset, TimeConstant};
use keeper::clock::{Clock, read_pair};
use keeper::kernel::Errno;

/// EPERM.
const REFUSED: Errno = Errno(1);

/// A clock that is only looked at.
#[derive(Debug)]
pub struct Untouched;

impl Clock for Untouched {
    fn kind(&self) -> ClockKind {
        ClockKind::None
    }

    fn read(&self) -> Result<ClockReading, Errno> {
        let (wall, raw) = read_pair();
        Ok(ClockReading { wall, raw, frequency: Frequency::ZERO, slew_left: Offset::ZERO, tai: 0 })
    }

    fn adjust(&mut self, _: Frequency, _: Offset, _: TimeConstant) -> Result<(), Errno> {
        Err(REFUSED)
    }

    fn step(&mut self, _: Offset) -> Result<(), Errno> {
        Err(REFUSED)
    }

    fn set_status(&mut self, _: &Status) -> Result<(), Errno> {
        Err(REFUSED)
    }

    fn set_tai(&mut self, _: u8) -> Result<(), Errno> {
        Err(REFUSED)
    }

    fn reclaim(&mut self) -> Result<bool, Errno> {
        Ok(false)
    }

    fn release(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}
