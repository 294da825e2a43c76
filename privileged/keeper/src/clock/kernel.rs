//! CLOCK_REALTIME by clock_adjtime. A fence file.
//!
//! The slew is the kernel's own phase-locked loop with its frequency held: each second it corrects 2^-(2 + time
//! constant) of what is left, and completes the slew, but no more, even if this process dies.

use super::{Clock, read_pair};
use crate::kernel::Errno;
use ipc::message::privileged::{ClockKind, ClockReading, Status};
use ipc::units::{Frequency, Leap, Offset, TimeConstant};
use libc::{
    ADJ_ESTERROR, ADJ_FREQUENCY, ADJ_MAXERROR, ADJ_NANO, ADJ_OFFSET, ADJ_SETOFFSET, ADJ_STATUS, ADJ_TAI,
    ADJ_TICK, ADJ_TIMECONST, STA_DEL, STA_FREQHOLD, STA_INS, STA_NANO, STA_PLL, STA_UNSYNC, timex,
};

const MODE: i32 = STA_PLL | STA_FREQHOLD;
const NOMINAL_TICK: i64 = 10_000;

/// The kernel's clock; needs CAP_SYS_TIME in the initial user namespace.
#[derive(Debug)]
pub struct KernelClock {
    base: Frequency,
    status: i32,
}

/// What a call changes; everything else in struct timex is zero. `timex.time` is an output of every call,
/// so no struct is ever used twice: [`call`] makes its own.
#[derive(Default)]
struct Change {
    modes: u32,
    frequency: i32,
    offset: i64,
    constant: u8,
    status: i32,
    maxerror: i64,
    esterror: i64,
    step: Option<(i64, i64)>,
}

fn call(change: &Change) -> Result<timex, Errno> {
    // SAFETY: struct timex is plain integers, for which all zeroes are a valid value.
    let mut timex: timex = unsafe { core::mem::zeroed() };
    timex.modes = change.modes;
    timex.freq = change.frequency.into();
    timex.offset = change.offset;
    timex.constant = change.constant.into();
    timex.status = change.status;
    timex.maxerror = change.maxerror;
    timex.esterror = change.esterror;
    if change.modes & ADJ_TICK != 0 {
        timex.tick = NOMINAL_TICK;
    }
    if let Some((seconds, nanos)) = change.step {
        timex.time.tv_sec = seconds;
        timex.time.tv_usec = nanos;
    }
    // By number: musl's clock_adjtime would use adjtimex, which the filter denies.
    // SAFETY: `timex` is a valid struct timex for the whole call, which reads and writes only it.
    let state = unsafe { libc::syscall(libc::SYS_clock_adjtime, libc::CLOCK_REALTIME, &mut timex) };
    if state < 0 { Err(std::io::Error::last_os_error().into()) } else { Ok(timex) }
}

impl KernelClock {
    /// Whether this process may set the clock: it sets the frequency that it has.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_TIME.
    pub fn may_be_set() -> Result<(), Errno> {
        let found = call(&Change::default())?;
        let frequency = i32::try_from(found.freq).unwrap_or(0);
        call(&Change { modes: ADJ_FREQUENCY, frequency, ..Change::default() }).map(drop)
    }

    /// Takes over the clock: nominal tick, the current frequency (if it is in range), no slew.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_TIME.
    pub fn take() -> Result<Self, Errno> {
        let found = call(&Change::default())?;
        let base = Frequency::saturating(i32::try_from(found.freq).unwrap_or(0));
        let status = (found.status & (STA_UNSYNC | STA_INS | STA_DEL)) | MODE;
        let clock = Self { base, status };
        call(&Change {
            modes: ADJ_STATUS | ADJ_NANO | ADJ_FREQUENCY | ADJ_OFFSET | ADJ_TIMECONST | ADJ_TICK,
            frequency: base.scaled(),
            status,
            ..Change::default()
        })?;
        Ok(clock)
    }
}

impl Clock for KernelClock {
    fn kind(&self) -> ClockKind {
        ClockKind::Kernel
    }

    fn read(&self) -> Result<ClockReading, Errno> {
        let timex = call(&Change::default())?;
        let nano = timex.status & STA_NANO != 0;
        let (wall, raw) = read_pair();
        Ok(ClockReading {
            wall,
            raw,
            frequency: Frequency::saturating(i32::try_from(timex.freq).unwrap_or(0)),
            slew_left: Offset::saturating(if nano {
                timex.offset
            } else {
                timex.offset.saturating_mul(1_000)
            }),
        })
    }

    fn adjust(&mut self, base: Frequency, slew: Offset, pace: TimeConstant) -> Result<(), Errno> {
        call(&Change {
            modes: ADJ_STATUS | ADJ_NANO | ADJ_FREQUENCY | ADJ_OFFSET | ADJ_TIMECONST,
            frequency: base.scaled(),
            offset: slew.nanos(),
            constant: pace.exponent(),
            status: self.status,
            ..Change::default()
        })?;
        self.base = base;
        Ok(())
    }

    fn step(&mut self, delta: Offset) -> Result<(), Errno> {
        // The kernel wants the part below a second positive: −0.3 s is −1 s + 0.7 s.
        let (seconds, nanos) =
            (delta.nanos().div_euclid(1_000_000_000), delta.nanos().rem_euclid(1_000_000_000));
        call(&Change { modes: ADJ_SETOFFSET | ADJ_NANO, step: Some((seconds, nanos)), ..Change::default() })?;
        // A step clears the loop, the leap second and the error fields, and says "unsynchronised".
        self.status = (self.status & !(STA_INS | STA_DEL)) | STA_UNSYNC;
        self.adjust(self.base, Offset::ZERO, TimeConstant::MIN)
    }

    fn set_status(&mut self, status: &Status) -> Result<(), Errno> {
        let unsynchronised = if status.synchronised { 0 } else { STA_UNSYNC };
        let leap = match status.leap {
            Leap::Insert => STA_INS,
            Leap::Delete => STA_DEL,
            Leap::None | Leap::Unknown => 0,
        };
        let change = Change {
            modes: ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR,
            status: MODE | unsynchronised | leap,
            // In µs whatever STA_NANO says; rounded up, so as not to understate the error.
            maxerror: (status.maxerror.nanos() / 1_000 + 1).min(16_000_000),
            esterror: (status.esterror.nanos() / 1_000 + 1).min(16_000_000),
            ..Change::default()
        };
        call(&change)?;
        self.status = change.status;
        if status.tai != 0 {
            call(&Change { modes: ADJ_TAI, constant: status.tai, ..Change::default() })?;
        }
        Ok(())
    }

    fn reclaim(&mut self) -> Result<bool, Errno> {
        let timex = call(&Change::default())?;
        // The kernel's rounding of the frequency may differ by one.
        let frequency = (timex.freq - i64::from(self.base.scaled())).abs() <= 1;
        if frequency && timex.tick == NOMINAL_TICK && timex.status & MODE == MODE {
            return Ok(false);
        }
        call(&Change {
            modes: ADJ_STATUS | ADJ_NANO | ADJ_FREQUENCY | ADJ_TICK,
            frequency: self.base.scaled(),
            status: self.status,
            ..Change::default()
        })?;
        Ok(true)
    }

    fn release(&mut self) -> Result<(), Errno> {
        self.adjust(self.base, Offset::ZERO, TimeConstant::MIN)?;
        call(&Change { modes: ADJ_STATUS, status: self.status & !MODE, ..Change::default() })?;
        Ok(())
    }
}
