//! CLOCK_REALTIME by clock_adjtime. A fence file.
//!
//! The base frequency is the kernel's tick and frequency, always set in one call. The slew is the kernel's own phase-locked
//! loop with its frequency held: each second it corrects 2^-(2 + time constant) of what is left, and completes the slew, but
//! no more, even if this process dies.

use super::{Clock, read_pair};
use crate::kernel::Errno;
use ipc::message::privileged::{ClockKind, ClockReading, Status};
use ipc::units::{Frequency, Leap, Offset, TimeConstant};
use libc::{
    ADJ_ESTERROR, ADJ_FREQUENCY, ADJ_MAXERROR, ADJ_NANO, ADJ_OFFSET, ADJ_OFFSET_SINGLESHOT,
    ADJ_OFFSET_SS_READ, ADJ_SETOFFSET, ADJ_STATUS, ADJ_TAI, ADJ_TICK, ADJ_TIMECONST, STA_DEL, STA_FREQHOLD,
    STA_INS, STA_NANO, STA_PLL, STA_UNSYNC, timex,
};

const MODE: i32 = STA_PLL | STA_FREQHOLD;
const NOMINAL_TICK: i64 = 10_000;

/// A microsecond of the tick, 2^-16 ppm: 100 ppm.
const OF_TICK: i64 = 100 * Frequency::PER_PPM as i64;

/// Where the kernel clamps what is beside the tick, 2^-16 ppm: 500 ppm.
const BESIDE_TICK: i64 = 500 * Frequency::PER_PPM as i64;

/// A base frequency as the kernel has it: the tick in µs (of USER_HZ, a hundred a second), and `freq`. The tick stays as other
/// programs expect it where `freq` alone is enough.
fn split(base: Frequency) -> (i64, i64) {
    let scaled = i64::from(base.scaled());
    let ticks = if scaled.abs() <= BESIDE_TICK { 0 } else { (scaled + OF_TICK / 2).div_euclid(OF_TICK) };
    (NOMINAL_TICK + ticks, scaled - ticks * OF_TICK)
}

/// Both together; the nearest frequency if there is none so large.
fn base_of(timex: &timex) -> Frequency {
    let scaled = timex.tick.saturating_sub(NOMINAL_TICK).saturating_mul(OF_TICK).saturating_add(timex.freq);
    Frequency::saturating(scaled.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
}

/// The kernel's clock; needs CAP_SYS_TIME in the initial user namespace.
#[derive(Debug)]
pub struct KernelClock {
    base: Frequency,
    status: i32,
}

/// What a call changes; everything else in struct timex is zero. `timex.time` is an output of every call,
/// so no struct is ever used twice: [`call`] makes its own.
struct Change {
    modes: u32,
    frequency: Frequency,
    offset: i64,
    constant: u8,
    status: i32,
    maxerror: i64,
    esterror: i64,
    step: Option<(i64, i64)>,
}

impl Change {
    const NONE: Self = Self {
        modes: 0,
        frequency: Frequency::ZERO,
        offset: 0,
        constant: 0,
        status: 0,
        maxerror: 0,
        esterror: 0,
        step: None,
    };
}

fn call(change: &Change) -> Result<timex, Errno> {
    // SAFETY: struct timex is plain integers, for which all zeroes are a valid value.
    let mut timex: timex = unsafe { core::mem::zeroed() };
    timex.modes = change.modes;
    (timex.tick, timex.freq) = split(change.frequency);
    timex.offset = change.offset;
    timex.constant = change.constant.into();
    timex.status = change.status;
    timex.maxerror = change.maxerror;
    timex.esterror = change.esterror;
    if let Some((seconds, nanos)) = change.step {
        timex.time.tv_sec = seconds;
        timex.time.tv_usec = nanos;
    }
    // By number: musl's clock_adjtime would use adjtimex, which the filter denies.
    // SAFETY: `timex` is a valid struct timex for the whole call, which reads and writes only it.
    let state = unsafe { libc::syscall(libc::SYS_clock_adjtime, libc::CLOCK_REALTIME, &mut timex) };
    if state < 0 { Err(std::io::Error::last_os_error().into()) } else { Ok(timex) }
}

/// Ends what adjtime(3) of another program has left to slew: the kernel does that beside its loop, by up to 500 ppm and also
/// when that program is gone, and no other call shows it. Returns whether there was any.
fn end_adjtime() -> Result<bool, Errno> {
    if call(&Change { modes: ADJ_OFFSET_SS_READ, ..Change::NONE })?.offset == 0 {
        return Ok(false);
    }
    call(&Change { modes: ADJ_OFFSET_SINGLESHOT, ..Change::NONE })?;
    Ok(true)
}

impl KernelClock {
    /// Whether this process may set the clock: it sets the status that it has, which changes nothing.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_TIME.
    pub fn may_be_set() -> Result<(), Errno> {
        let found = call(&Change::NONE)?;
        call(&Change { modes: ADJ_STATUS, status: found.status, ..Change::NONE }).map(drop)
    }

    /// Takes over the clock: the current frequency, of tick and frequency together, and no slew, neither of the loop nor of
    /// adjtime(3).
    ///
    /// # Errors
    /// EPERM without CAP_SYS_TIME.
    pub fn take() -> Result<Self, Errno> {
        let found = call(&Change::NONE)?;
        let base = base_of(&found);
        let status = (found.status & (STA_UNSYNC | STA_INS | STA_DEL)) | MODE;
        let mut clock = Self { base, status };
        clock.adjust(base, Offset::ZERO, TimeConstant::MIN)?;
        end_adjtime()?;
        Ok(clock)
    }
}

impl Clock for KernelClock {
    fn kind(&self) -> ClockKind {
        ClockKind::Kernel
    }

    fn read(&self) -> Result<ClockReading, Errno> {
        let timex = call(&Change::NONE)?;
        let nano = timex.status & STA_NANO != 0;
        let (wall, raw) = read_pair();
        Ok(ClockReading {
            wall,
            raw,
            frequency: base_of(&timex),
            slew_left: Offset::saturating(if nano {
                timex.offset
            } else {
                timex.offset.saturating_mul(1_000)
            }),
            tai: timex.tai.clamp(0, 255) as u8,
        })
    }

    fn adjust(&mut self, base: Frequency, slew: Offset, pace: TimeConstant) -> Result<(), Errno> {
        call(&Change {
            modes: ADJ_STATUS | ADJ_NANO | ADJ_FREQUENCY | ADJ_TICK | ADJ_OFFSET | ADJ_TIMECONST,
            frequency: base,
            offset: slew.nanos(),
            constant: pace.exponent(),
            status: self.status,
            ..Change::NONE
        })?;
        self.base = base;
        Ok(())
    }

    fn step(&mut self, delta: Offset) -> Result<(), Errno> {
        // The kernel wants the part below a second positive: −0.3 s is −1 s + 0.7 s.
        let (seconds, nanos) =
            (delta.nanos().div_euclid(1_000_000_000), delta.nanos().rem_euclid(1_000_000_000));
        call(&Change { modes: ADJ_SETOFFSET | ADJ_NANO, step: Some((seconds, nanos)), ..Change::NONE })?;
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
            ..Change::NONE
        };
        call(&change)?;
        self.status = change.status;
        Ok(())
    }

    fn set_tai(&mut self, seconds: u8) -> Result<(), Errno> {
        // A call of its own: ADJ_TIMECONST would read the same field.
        call(&Change { modes: ADJ_TAI, constant: seconds, ..Change::NONE }).map(drop)
    }

    fn reclaim(&mut self) -> Result<bool, Errno> {
        let is_slewed = end_adjtime()?;
        let timex = call(&Change::NONE)?;
        // The kernel's rounding of the frequency may differ by one.
        let (tick, frequency) = split(self.base);
        if (timex.freq - frequency).abs() <= 1 && timex.tick == tick && timex.status & MODE == MODE {
            return Ok(is_slewed);
        }
        call(&Change {
            modes: ADJ_STATUS | ADJ_NANO | ADJ_FREQUENCY | ADJ_TICK,
            frequency: self.base,
            status: self.status,
            ..Change::NONE
        })?;
        Ok(true)
    }

    fn release(&mut self) -> Result<(), Errno> {
        self.adjust(self.base, Offset::ZERO, TimeConstant::MIN)?;
        call(&Change { modes: ADJ_STATUS, status: self.status & !MODE, ..Change::NONE })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_frequency_is_tick_and_frequency_and_comes_back_as_it_was() {
        for (ppm, tick, beside) in [
            (0, 10_000, 0),
            (499, 10_000, 499),
            (500, 10_000, 500),
            (-500, 10_000, -500),
            (501, 10_005, 1),
            (-501, 9_995, -1),
            (749, 10_007, 49),
            (-749, 9_993, -49),
            (750, 10_008, -50),
            (5_000, 10_050, 0),
            (-5_000, 9_950, 0),
        ] {
            let base = Frequency::saturating(ppm * Frequency::PER_PPM);
            assert_eq!(split(base), (tick, i64::from(beside * Frequency::PER_PPM)), "{ppm}");
        }
        // SAFETY: struct timex is plain integers, for which all zeroes are a valid value.
        let mut timex: timex = unsafe { core::mem::zeroed() };
        for scaled in (-327_680_000..=327_680_000).step_by(6_553) {
            (timex.tick, timex.freq) = split(Frequency::saturating(scaled));
            assert!(timex.freq.abs() <= BESIDE_TICK);
            assert_eq!(base_of(&timex).scaled(), scaled);
        }
        (timex.tick, timex.freq) = (9_000, -32_768_000);
        assert_eq!(base_of(&timex), Frequency::MIN);
        (timex.tick, timex.freq) = (i64::MAX, i64::MAX);
        assert_eq!(base_of(&timex), Frequency::MAX);
    }
}
