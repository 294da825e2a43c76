//! A clock that isn't the kernel's: an offset, a rate and a slew over CLOCK_MONOTONIC_RAW, in a small file that the
//! privileged process writes and the other processes read.
//!
//! It behaves as CLOCK_REALTIME does under the kernel's phase-locked loop with the frequency held (kernel/time/ntp.c:
//! `process_adjtimex_modes`, `ntp_update_offset`, `ntp_clear`, and `second_overflow` in its order):
//!
//! - The base frequency (tick and frequency together) is set at once. The part of a slew that is under way goes on.
//! - At each whole second *of this clock* first a leap second is made, if one is due; then the bound of the error grows by
//!   500 µs, up to 16 s, beyond which the clock is unsynchronised; then 2^-(2 + time constant) of what is left of the slew,
//!   rounded toward zero, is taken out of it. This part moves the clock during the second that begins, evenly. So what is
//!   reported as left does not contain the part that is under way.
//!   A second of a clock that is slewed ahead is shorter, so a slew at 500 ppm is completed to 0.05 %.
//! - A new slew replaces what is left, from the next whole second on; the part under way is completed.
//! - A step is immediate, ends both, forgets the leap second, and leaves the clock unsynchronised.
//!
//! Left out are the kernel's ticks. It notices a whole second at the end of the tick in which it falls (on an idle machine
//! of a longer time without ticks), so that each part of a slew begins, and ends, up to that much later: beside this page
//! the kernel's clock is off by at most one tick of the rate of the slew, 2 µs at 500 ppm and 250 Hz, and by nothing of it
//! once the slew is over, but for a tick of the difference of two parts (tests/tests/kernel_clock.rs measures it). Its
//! numbers are multiples of a number of ticks in a second, so that it may report a nanosecond less of a slew.
//!
//! The page also has what a test needs and a real clock hides: the oscillator's own error. Pure arithmetic in integers:
//! every reader computes the same nanosecond.

use crate::checksum::checksum;
use crate::message::privileged::Status;
use crate::units::{Frequency, Leap, Offset, RawInstant, Span, TimeConstant, WallTime};

/// Length of the file in octets.
pub const PAGE: usize = 112;

const MAGIC: u64 = 0x7472_7565_6368_0002;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// A leap second at the end of the day, as in `status` of struct timex: one is inserted.
const INSERT: u32 = 0x10;
/// One is left out.
const DELETE: u32 = 0x20;
/// Unsynchronised.
const UNSYNC: u32 = 0x40;

/// So much the bound of the error grows at each whole second, µs (MAXFREQ), and so much it is at most (NTP_PHASE_LIMIT).
const ERROR_GROWTH: u32 = 500;
const MOST_ERROR: u32 = 16_000_000;

/// A second in 2^-32 ns, the kernel's unit.
const FULL: i128 = (SECOND as i128) << 32;

/// The largest slew; the kernel clamps a larger one.
const MOST: Offset = Offset::saturating(500_000_000);

/// What the kernel has made of the leap second that it was told of (its `time_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeapState {
    /// Nothing yet; where one is announced, it is taken up at the next whole second.
    Idle,
    /// One is inserted when the clock comes to this second since 1970; `None`: a step has made it forget when.
    Insert(Option<i64>),
    /// One is left out, in the same way.
    Delete(Option<i64>),
    /// The inserted second is in progress.
    InProgress,
    /// It was made. There is no other before the announcement has been taken back.
    Made,
}

/// The clock's state since its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockPage {
    /// The instant of the last change.
    pub since: RawInstant,
    /// What the clock showed then.
    pub wall: WallTime,
    /// Base frequency, as the kernel's `freq`.
    pub frequency: Frequency,
    /// The simulated oscillator's error against CLOCK_MONOTONIC_RAW; the daemon is never told.
    pub oscillator: Frequency,
    /// What was left of the slew at `since`, without what is under way.
    pub slew: Offset,
    /// The part of a slew that the second in progress at `since` corrects, at this many ns a second until the clock's
    /// next whole second.
    pub under_way: Offset,
    /// How fast it goes.
    pub time_constant: TimeConstant,
    /// As `status` of struct timex.
    pub status: u32,
    /// As `maxerror` of struct timex, microseconds.
    pub maxerror: u32,
    /// As `esterror` of struct timex, microseconds.
    pub esterror: u32,
    /// TAI − UTC, seconds.
    pub tai: u32,
    /// The leap second.
    pub leap: LeapState,
    /// Grows with each write.
    pub generation: u64,
}

/// The octets are not a whole page (a write was under way, or the file is something else).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn;

impl core::fmt::Display for Torn {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("not a whole virtual-clock page")
    }
}

impl core::error::Error for Torn {}

impl ClockPage {
    /// A clock that shows `wall` at `since` and runs freely, as the kernel's does after a boot: no correction of its
    /// frequency, no slew, unsynchronised (status STA_UNSYNC, both errors 16 s), TAI − UTC unknown.
    pub const fn free_running(wall: WallTime, since: RawInstant) -> Self {
        Self {
            since,
            wall,
            frequency: Frequency::ZERO,
            oscillator: Frequency::ZERO,
            slew: Offset::ZERO,
            under_way: Offset::ZERO,
            time_constant: TimeConstant::MIN,
            status: UNSYNC,
            maxerror: MOST_ERROR,
            esterror: MOST_ERROR,
            tai: 0,
            leap: LeapState::Idle,
            generation: 0,
        }
    }

    /// The clock at `now`. Before `since` it is extrapolated backwards at the plain rate.
    pub fn wall_at(&self, now: RawInstant) -> WallTime {
        let elapsed = now.since(self.since).nanos();
        if elapsed < 0 {
            let drift = self.frequency.gain(elapsed) + self.oscillator.gain(elapsed);
            return WallTime::saturating(self.wall.nanos().saturating_add(elapsed).saturating_add(drift));
        }
        self.advanced_to(now).wall
    }

    /// What is left of the slew at `now`, as the kernel reports it: without what is under way.
    pub fn slew_left_at(&self, now: RawInstant) -> Offset {
        self.advanced_to(now).slew
    }

    /// The same clock, described from `now` on; the moment before a change.
    pub fn advanced_to(&self, now: RawInstant) -> Self {
        let mut elapsed = i128::from(now.since(self.since).nanos().max(0));
        let clamped = |slew: Offset| slew.clamp(Offset::ZERO.minus(MOST), MOST).nanos() << 32;
        let mut clock = Running {
            second: self.wall.nanos() / SECOND,
            phase: i128::from(self.wall.nanos() % SECOND) << 32,
            left: clamped(self.slew),
            under_way: clamped(self.under_way),
            shift: 2 + u32::from(self.time_constant.exponent()),
            status: self.status,
            maxerror: self.maxerror,
            tai: self.tai,
            leap: self.leap,
        };
        // What the clock gains in a second without a slew: 2^16 × 10^6 units of frequency are one second a second.
        let steady = (i64::from(self.frequency.scaled()) + i64::from(self.oscillator.scaled())) * 65_536_000;
        // The largest slew at the slowest rate shrinks below a unit in about 140,000 rounds, and a leap second takes five:
        // the work is bounded.
        loop {
            let rate = FULL + i128::from(steady + clock.under_way);
            let grown = |elapsed: i128| elapsed * rate / i128::from(SECOND);
            let until = clock.next_change().map(|next| {
                let lacks = i128::from(next - clock.second) * FULL - clock.phase;
                (lacks * i128::from(SECOND) + rate - 1) / rate
            });
            match until {
                Some(until) if until <= elapsed => {
                    clock.pass(grown(until));
                    clock.overflow();
                    elapsed -= until;
                }
                _ => break clock.pass(grown(elapsed)),
            }
        }
        let wall = i128::from(clock.second) * i128::from(SECOND) + (clock.phase >> 32);
        Self {
            since: if now > self.since { now } else { self.since },
            wall: WallTime::saturating(i64::try_from(wall).unwrap_or(i64::MAX)),
            slew: Offset::saturating(toward_zero(clock.left, 32)),
            under_way: Offset::saturating(toward_zero(clock.under_way, 32)),
            status: clock.status,
            maxerror: clock.maxerror,
            tai: clock.tai,
            leap: clock.leap,
            ..*self
        }
    }

    /// With this base frequency, at once, and this slew, from the next whole second on: what adjtimex does with
    /// ADJ_FREQUENCY, ADJ_OFFSET and ADJ_TIMECONST. The slew is clamped to ±0.5 s.
    pub fn adjusted(&self, frequency: Frequency, slew: Offset, time_constant: TimeConstant) -> Self {
        let slew = slew.clamp(Offset::ZERO.minus(MOST), MOST);
        Self { frequency, slew, time_constant, ..*self }
    }

    /// Set to another time, which ends the slew and what is under way of it, and leaves the clock unsynchronised: what
    /// adjtimex does with ADJ_SETOFFSET, and clock_settime. A leap second that is announced is not made any more.
    pub fn set_to(&self, wall: WallTime) -> Self {
        Self {
            wall,
            slew: Offset::ZERO,
            under_way: Offset::ZERO,
            status: self.status | UNSYNC,
            maxerror: MOST_ERROR,
            esterror: MOST_ERROR,
            leap: match self.leap {
                LeapState::Insert(_) => LeapState::Insert(None),
                LeapState::Delete(_) => LeapState::Delete(None),
                other => other,
            },
            ..*self
        }
    }

    /// With what programs are told of it: what adjtimex does with ADJ_STATUS, ADJ_MAXERROR and ADJ_ESTERROR. The errors are in whole microseconds, rounded up, so as not to understate them, and at most 16 s.
    pub fn told(&self, status: &Status) -> Self {
        let micros = |error: Span| (error.nanos() / 1_000 + 1).min(MOST_ERROR.into()) as u32;
        let leap = match status.leap {
            Leap::Insert => INSERT,
            Leap::Delete => DELETE,
            Leap::None | Leap::Unknown => 0,
        };
        Self {
            status: leap | if status.synchronised { 0 } else { UNSYNC },
            maxerror: micros(status.maxerror),
            esterror: micros(status.esterror),
            ..*self
        }
    }

    /// The leap second that is announced, and that this clock has not made yet.
    pub fn announced(&self) -> Leap {
        match self.leap {
            LeapState::InProgress | LeapState::Made => Leap::None,
            _ if self.status & INSERT != 0 => Leap::Insert,
            _ if self.status & DELETE != 0 => Leap::Delete,
            _ => Leap::None,
        }
    }

    /// With no leap second announced any more.
    pub fn without_leap(&self) -> Self {
        Self { status: self.status & !(INSERT | DELETE), ..*self }
    }

    /// With TAI − UTC set, as by ADJ_TAI; seconds.
    pub fn with_tai(&self, seconds: u8) -> Self {
        Self { tai: seconds.into(), ..*self }
    }

    /// As octets, with magic and checksum.
    pub fn to_octets(&self) -> [u8; PAGE] {
        let (leap, leap_at) = match self.leap {
            LeapState::Idle => (0, None),
            LeapState::Insert(at) => (1, at),
            LeapState::Delete(at) => (2, at),
            LeapState::InProgress => (3, None),
            LeapState::Made => (4, None),
        };
        let words: [u64; 13] = [
            MAGIC,
            self.generation,
            self.since.nanos() as u64,
            self.wall.nanos() as u64,
            self.frequency.scaled() as i64 as u64,
            self.oscillator.scaled() as i64 as u64,
            self.slew.nanos() as u64,
            u64::from(self.time_constant.exponent()),
            u64::from(self.status) << 32 | u64::from(self.tai),
            u64::from(self.maxerror) << 32 | u64::from(self.esterror),
            self.under_way.nanos() as u64,
            leap,
            leap_at.map_or(u64::MAX, |at: i64| at as u64),
        ];
        let mut octets = [0; PAGE];
        for (place, word) in octets.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let check = checksum(&octets[..PAGE - 8]);
        octets[PAGE - 8..].copy_from_slice(&check.to_le_bytes());
        octets
    }

    /// From octets.
    ///
    /// # Errors
    /// [`Torn`] when checksum, magic or a range is wrong. A reader tries again.
    pub fn from_octets(octets: &[u8; PAGE]) -> Result<Self, Torn> {
        let word = |index: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&octets[index * 8..index * 8 + 8]);
            u64::from_le_bytes(eight)
        };
        if word(0) != MAGIC || word(PAGE / 8 - 1) != checksum(&octets[..PAGE - 8]) {
            return Err(Torn);
        }
        let signed = |index| word(index) as i64;
        let frequency = |index| {
            i32::try_from(signed(index)).ok().and_then(|scaled| Frequency::try_new(scaled).ok()).ok_or(Torn)
        };
        Ok(Self {
            generation: word(1),
            since: RawInstant::try_new(signed(2)).map_err(|_| Torn)?,
            wall: WallTime::try_new(signed(3)).map_err(|_| Torn)?,
            frequency: frequency(4)?,
            oscillator: frequency(5)?,
            slew: Offset::try_new(signed(6)).map_err(|_| Torn)?,
            under_way: Offset::try_new(signed(10)).map_err(|_| Torn)?,
            time_constant: u8::try_from(word(7))
                .ok()
                .and_then(|t| TimeConstant::try_new(t).ok())
                .ok_or(Torn)?,
            status: (word(8) >> 32) as u32,
            tai: word(8) as u32,
            // Later than any clock shows there is none.
            leap: match (word(11), i64::try_from(word(12)).ok().filter(|at| *at < 1 << 33)) {
                (0, None) => LeapState::Idle,
                (1, at) => LeapState::Insert(at),
                (2, at) => LeapState::Delete(at),
                (3, None) => LeapState::InProgress,
                (4, None) => LeapState::Made,
                _ => return Err(Torn),
            },
            maxerror: (word(9) >> 32) as u32,
            esterror: word(9) as u32,
        })
    }
}

/// The clock on its way through its seconds. Times in 2^-32 ns.
struct Running {
    /// Seconds since 1970.
    second: i64,
    /// Elapsed of this second.
    phase: i128,
    /// Left of the slew.
    left: i64,
    /// What the slew moves in this second.
    under_way: i64,
    shift: u32,
    status: u32,
    maxerror: u32,
    tai: u32,
    leap: LeapState,
}

impl Running {
    /// The whole second at which more happens than that the bound of the error grows; none: there is none to come.
    fn next_change(&self) -> Option<i64> {
        let (next, announced) = (self.second.saturating_add(1), self.status & (INSERT | DELETE));
        if self.under_way != 0 || toward_zero(self.left, self.shift) != 0 {
            return Some(next);
        }
        let is_due = match self.leap {
            LeapState::Idle => announced != 0,
            LeapState::Insert(at) if announced & INSERT != 0 => return at.filter(|at| *at >= next),
            LeapState::Delete(at) if announced & DELETE != 0 => return at.filter(|at| *at >= next),
            LeapState::Insert(_) | LeapState::Delete(_) | LeapState::InProgress => true,
            LeapState::Made => announced == 0,
        };
        is_due.then_some(next)
    }

    /// The clock goes on by so much. At all seconds that become full the bound of its error grows.
    fn pass(&mut self, by: i128) {
        self.phase += by;
        let full = i64::try_from(self.phase / FULL).unwrap_or(i64::MAX);
        self.phase -= i128::from(full) * FULL;
        self.second = self.second.saturating_add(full);
        let growth = u32::try_from(full).unwrap_or(u32::MAX).saturating_mul(ERROR_GROWTH);
        let grown = self.maxerror.saturating_add(growth);
        if grown > MOST_ERROR && full > 0 {
            self.status |= UNSYNC;
        }
        self.maxerror = if full > 0 { grown.min(MOST_ERROR) } else { self.maxerror };
    }

    /// The rest of `second_overflow`: a second has just become full.
    fn overflow(&mut self) {
        let is = |flag| self.status & flag != 0;
        let until = |second: i64| Some(second.saturating_add(DAY - second.rem_euclid(DAY)));
        let (leap, by) = match self.leap {
            LeapState::Idle if is(INSERT) => (LeapState::Insert(until(self.second)), 0),
            LeapState::Idle if is(DELETE) => {
                (LeapState::Delete(until(self.second.saturating_add(1)).map(|at| at - 1)), 0)
            }
            LeapState::Insert(_) if !is(INSERT) => (LeapState::Idle, 0),
            LeapState::Delete(_) if !is(DELETE) => (LeapState::Idle, 0),
            LeapState::Insert(Some(at)) if at == self.second => (LeapState::InProgress, -1),
            LeapState::Delete(Some(at)) if at == self.second => (LeapState::Made, 1),
            LeapState::InProgress => (LeapState::Made, 0),
            LeapState::Made if !is(INSERT | DELETE) => (LeapState::Idle, 0),
            other => (other, 0),
        };
        self.leap = leap;
        self.second = self.second.saturating_add(by);
        self.tai = self.tai.saturating_add_signed(-(by as i32));
        self.under_way = toward_zero(self.left, self.shift);
        self.left -= self.under_way;
    }
}

/// The kernel's `shift_right`.
fn toward_zero(value: i64, shift: u32) -> i64 {
    if value < 0 { -(-value >> shift) } else { value >> shift }
}

#[cfg(test)]
mod tests;
