//! The kernel's own clock from a test's point of view: what steers it, and how a test that moves it puts it back.

use crate::clock::pair;
use ipc::units::Frequency;
use libc::timex;

/// Beyond this nothing is put back, nanoseconds: then something other than a test moved the clock.
pub const MOST: i64 = 50_000_000;

/// One call of clock_adjtime. `timex.time` is an output of every call: a struct used twice would add the
/// date to the clock. So each call makes a new one, all zero, and sets only what `change` sets.
///
/// # Panics
/// If the kernel refuses.
pub fn adjust(change: impl FnOnce(&mut timex)) -> timex {
    // SAFETY: struct timex is plain integers, for which all zeroes are a valid value.
    let mut timex: timex = unsafe { std::mem::zeroed() };
    change(&mut timex);
    // SAFETY: `timex` is a valid struct timex for the whole call, which reads and writes only it.
    let state = unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &mut timex) };
    assert!(state >= 0, "clock_adjtime: {}", std::io::Error::last_os_error());
    timex
}

/// The frequency of CLOCK_REALTIME against CLOCK_MONOTONIC_RAW, ppm, as far as base frequency and tick are concerned.
pub fn frequency_ppm() -> f64 {
    let timex = adjust(|_| ());
    // A tick more each hundredth of a second is 100 ppm.
    (timex.tick - 10_000) as f64 * 100.0 + timex.freq as f64 / f64::from(Frequency::PER_PPM)
}

/// The clock as a test finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// CLOCK_MONOTONIC_RAW, nanoseconds.
    pub raw: i64,
    /// CLOCK_REALTIME at that instant, nanoseconds.
    pub wall: i64,
    /// Status, maxerror, esterror, constant.
    numbers: [i64; 4],
}

impl Found {
    /// As it is now; `None` if another program steers it, whose work a test would disturb.
    pub fn now() -> Option<Self> {
        let found = adjust(|_| ());
        let (raw, wall) = pair();
        let numbers = [i64::from(found.status), found.maxerror, found.esterror, found.constant];
        ((found.tick, found.freq) == (10_000, 0)).then_some(Self { raw, wall, numbers })
    }

    /// The clock now, minus its value without the test, nanoseconds.
    pub fn moved(&self) -> i64 {
        let (raw, wall) = pair();
        (wall - self.wall) - (raw - self.raw)
    }

    /// As words, for the guard's command line.
    pub fn words(&self) -> Vec<String> {
        [self.raw, self.wall].iter().chain(&self.numbers).map(ToString::to_string).collect()
    }

    /// From words.
    pub fn from_words(words: &[String]) -> Option<Self> {
        let numbers: Vec<i64> = words.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let (&[raw, wall], rest) = numbers.split_first_chunk()?;
        Some(Self { raw, wall, numbers: rest.try_into().ok()? })
    }

    /// Whether frequency and tick are as found, and nothing is being slewed.
    pub fn is_back(&self) -> bool {
        let timex = adjust(|_| ());
        (timex.tick, timex.freq, timex.offset) == (10_000, 0, 0)
    }

    /// Puts it back: frequency, tick, status and the time.
    pub fn put_back(&self) {
        let [status, maxerror, esterror, constant] = self.numbers;
        let status = status as i32;
        // The rest of a slew ends only with the loop on.
        adjust(|timex| {
            timex.modes =
                libc::ADJ_STATUS | libc::ADJ_NANO | libc::ADJ_OFFSET | libc::ADJ_FREQUENCY | libc::ADJ_TICK;
            timex.status = libc::STA_PLL | libc::STA_FREQHOLD | libc::STA_UNSYNC;
            timex.tick = 10_000;
        });
        let back = -self.moved();
        if back.abs() > MOST {
            eprintln!(
                "the clock is {back} ns from where it would be: too far for a test to have done it; left so"
            );
        } else {
            adjust(|timex| {
                timex.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
                timex.time.tv_sec = back.div_euclid(1_000_000_000);
                timex.time.tv_usec = back.rem_euclid(1_000_000_000);
            });
        }
        let read_only = libc::STA_PPSSIGNAL | libc::STA_PPSJITTER | libc::STA_PPSWANDER | libc::STA_PPSERROR;
        let computed = libc::STA_CLOCKERR | libc::STA_NANO | libc::STA_MODE | libc::STA_CLK;
        let nano = status & libc::STA_NANO != 0;
        adjust(|timex| {
            timex.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR | libc::ADJ_TIMECONST;
            timex.modes |= if nano { libc::ADJ_NANO } else { libc::ADJ_MICRO };
            timex.status = status & !(read_only | computed);
            timex.maxerror = maxerror;
            timex.esterror = esterror;
            // The kernel adds 4 where the unit is not the nanosecond.
            timex.constant = (constant - if nano { 0 } else { 4 }).max(0);
        });
    }
}
