//! truechimer-keeper-virtual: disciplines a virtual clock, or only reads the kernel's. truechimerd becomes it, by an
//! exec, if it is started with `--clock`.

use filters::Role;
use ipc::message::privileged::{ClockKind, ClockReading, Status};
use ipc::units::{Frequency, Offset, TimeConstant};
use keeper::clock::Clock;
use keeper::ending::Ending;
use keeper::kernel::Errno;
use keeper::start::keep;
use keeper_virtual::{Untouched, VirtualClock};

/// Either of the two.
enum Either {
    Virtual(VirtualClock),
    Untouched(Untouched),
}

impl Either {
    fn clock(&self) -> &dyn Clock {
        match self {
            Self::Virtual(clock) => clock,
            Self::Untouched(clock) => clock,
        }
    }

    fn clock_mut(&mut self) -> &mut dyn Clock {
        match self {
            Self::Virtual(clock) => clock,
            Self::Untouched(clock) => clock,
        }
    }
}

impl Clock for Either {
    fn kind(&self) -> ClockKind {
        self.clock().kind()
    }

    fn read(&self) -> Result<ClockReading, Errno> {
        self.clock().read()
    }

    fn adjust(&mut self, base: Frequency, slew: Offset, pace: TimeConstant) -> Result<(), Errno> {
        self.clock_mut().adjust(base, slew, pace)
    }

    fn step(&mut self, delta: Offset) -> Result<(), Errno> {
        self.clock_mut().step(delta)
    }

    fn set_status(&mut self, status: &Status) -> Result<(), Errno> {
        self.clock_mut().set_status(status)
    }

    fn set_tai(&mut self, seconds: u8) -> Result<(), Errno> {
        self.clock_mut().set_tai(seconds)
    }

    fn reclaim(&mut self) -> Result<bool, Errno> {
        self.clock_mut().reclaim()
    }

    fn release(&mut self) -> Result<(), Errno> {
        self.clock_mut().release()
    }
}

fn main() {
    keep(Role::PrivilegedVirtual, |kind, file| match (kind, file) {
        (ClockKind::None, _) => Ok(Either::Untouched(Untouched)),
        (ClockKind::Virtual, Some(file)) => VirtualClock::take(file)
            .map(Either::Virtual)
            .map_err(|errno| Ending::NoClockControl(format!("the virtual clock cannot be steered: {errno}"))),
        _ => Err(Ending::Internal("this program keeps no clock of that kind".into())),
    })
}
