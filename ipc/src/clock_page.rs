//! A clock that isn't the kernel's: an offset, a rate and a slew over CLOCK_MONOTONIC_RAW, in a small file that the
//! privileged process writes and the other processes read.
//!
//! It behaves as CLOCK_REALTIME does under the kernel's phase-locked loop with the frequency held (kernel/time/ntp.c,
//! `second_overflow` and `ntp_update_offset`):
//!
//! - The base frequency is set at once.
//! - At each whole second *of this clock* 2^-(2 + time constant) of what is left of the slew, rounded toward zero, is
//!   taken out of it. This part moves the clock during the second that begins, evenly. So what is reported as left does
//!   not contain the part that is under way.
//!   A second of a clock that is slewed ahead is shorter, so a slew at 500 ppm is completed to 0.05 %.
//! - A new slew replaces what is left, from the next whole second on; the part under way is completed.
//! - A step is immediate, and ends both.
//!
//! The kernel's ticks (it notices a whole second up to a tick late) are left out. The page also has what a test needs and
//! a real clock hides: the oscillator's own error. Pure arithmetic in integers: every reader computes the same nanosecond.

use crate::checksum::checksum;
use crate::units::{Frequency, Offset, RawInstant, TimeConstant, WallTime};

/// Length of the file in octets.
pub const PAGE: usize = 96;

const MAGIC: u64 = 0x7472_7565_6368_0001;
const SECOND: i64 = 1_000_000_000;

/// A second in 2^-32 ns, the kernel's unit.
const FULL: i64 = SECOND << 32;

/// The largest slew; the kernel clamps a larger one.
const MOST: Offset = Offset::saturating(500_000_000);

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
            status: 0x40,
            maxerror: 16_000_000,
            esterror: 16_000_000,
            tai: 0,
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
        let mut elapsed = now.since(self.since).nanos().max(0);
        let shift = 2 + u32::from(self.time_constant.exponent());
        let clamped = |slew: Offset| slew.clamp(Offset::ZERO.minus(MOST), MOST).nanos() << 32;
        // All in 2^-32 ns: left of the slew, under way in this second, and elapsed of this second.
        let (mut left, mut under_way) = (clamped(self.slew), clamped(self.under_way));
        let (mut second, mut phase) = (self.wall.nanos() / SECOND, (self.wall.nanos() % SECOND) << 32);
        // What the clock gains in a second without a slew: 2^16 × 10^6 units of frequency are one second a second.
        let steady = (i64::from(self.frequency.scaled()) + i64::from(self.oscillator.scaled())) * 65_536_000;
        // The largest slew at the slowest rate shrinks below a unit in about 140,000 rounds: the work is bounded.
        while under_way != 0 || chunk(left, shift) != 0 {
            let gain = steady + under_way;
            let (lacks, rate) = (i128::from(FULL - phase), i128::from(FULL + gain));
            let until_full = ((lacks * i128::from(SECOND) + rate - 1) / rate) as i64;
            if elapsed < until_full {
                phase += grown(elapsed, gain);
                elapsed = 0;
                break;
            }
            phase += grown(until_full, gain) - FULL;
            elapsed -= until_full;
            second += 1;
            under_way = chunk(left, shift);
            left -= under_way;
        }
        // The rest runs at the plain rate; it may be years.
        let rest =
            (i128::from(elapsed) << 32) + i128::from(elapsed) * i128::from(steady) / i128::from(SECOND);
        let wall = i128::from(second) * i128::from(SECOND) + ((i128::from(phase) + rest) >> 32);
        Self {
            since: if now > self.since { now } else { self.since },
            wall: WallTime::saturating(i64::try_from(wall).unwrap_or(i64::MAX)),
            slew: Offset::saturating(toward_zero(left, 32)),
            under_way: Offset::saturating(toward_zero(under_way, 32)),
            ..*self
        }
    }

    /// With this base frequency, at once, and this slew, from the next whole second on: what adjtimex does with
    /// ADJ_FREQUENCY, ADJ_OFFSET and ADJ_TIMECONST. The slew is clamped to ±0.5 s.
    pub fn adjusted(&self, frequency: Frequency, slew: Offset, time_constant: TimeConstant) -> Self {
        let slew = slew.clamp(Offset::ZERO.minus(MOST), MOST);
        Self { frequency, slew, time_constant, ..*self }
    }

    /// Set to another time, which ends the slew and what is under way of it: what adjtimex does with ADJ_SETOFFSET, and
    /// clock_settime.
    pub fn set_to(&self, wall: WallTime) -> Self {
        Self { wall, slew: Offset::ZERO, under_way: Offset::ZERO, ..*self }
    }

    /// As octets, with magic and checksum.
    pub fn to_octets(&self) -> [u8; PAGE] {
        let words: [u64; 11] = [
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
        if word(0) != MAGIC || word(11) != checksum(&octets[..PAGE - 8]) {
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
            maxerror: (word(9) >> 32) as u32,
            esterror: word(9) as u32,
        })
    }
}

/// What one second corrects of what is left of a slew.
fn chunk(left: i64, shift: u32) -> i64 {
    toward_zero(left, shift)
}

/// The kernel's `shift_right`.
fn toward_zero(value: i64, shift: u32) -> i64 {
    if value < 0 { -(-value >> shift) } else { value >> shift }
}

/// How far the clock moves in so many nanoseconds of CLOCK_MONOTONIC_RAW, at most about a second, if it gains `gain` a
/// second; 2^-32 ns.
fn grown(elapsed: i64, gain: i64) -> i64 {
    (elapsed << 32) + (i128::from(elapsed) * i128::from(gain) / i128::from(SECOND)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Span;

    fn page() -> ClockPage {
        ClockPage {
            since: RawInstant::try_new(5 * SECOND).unwrap(),
            wall: WallTime::try_new(1_800_000_000 * SECOND).unwrap(),
            frequency: Frequency::try_new(-40 * Frequency::PER_PPM).unwrap(),
            oscillator: Frequency::try_new(40 * Frequency::PER_PPM).unwrap(),
            slew: Offset::ZERO,
            under_way: Offset::ZERO,
            time_constant: TimeConstant::try_new(2).unwrap(),
            status: 0x40,
            maxerror: 16_000_000,
            esterror: 16_000_000,
            tai: 37,
            generation: 9,
        }
    }

    fn at(seconds: i64) -> RawInstant {
        RawInstant::try_new(seconds * SECOND).unwrap()
    }

    #[test]
    fn a_page_round_trips_and_any_flipped_octet_is_torn() {
        let octets = page().to_octets();
        assert_eq!(ClockPage::from_octets(&octets), Ok(page()));
        for at in 0..PAGE {
            let mut bad = octets;
            bad[at] ^= 1;
            assert_eq!(ClockPage::from_octets(&bad), Err(Torn), "octet {at}");
        }
    }

    #[test]
    fn opposite_frequencies_cancel() {
        assert_eq!(page().wall_at(at(105)).nanos() - page().wall.nanos(), 100 * SECOND);
    }

    fn slewing(slew: i64, wall: i64) -> ClockPage {
        ClockPage {
            slew: Offset::try_new(slew).unwrap(),
            wall: WallTime::try_new(wall).unwrap(),
            frequency: Frequency::ZERO,
            oscillator: Frequency::ZERO,
            ..page()
        }
    }

    /// How far the clock has moved beside CLOCK_MONOTONIC_RAW, ns.
    fn moved(clock: &ClockPage, now: RawInstant) -> i64 {
        clock.wall_at(now).nanos() - clock.wall.nanos() - now.since(clock.since).nanos()
    }

    #[test]
    fn a_slew_moves_exactly_what_was_ordered_and_ends() {
        for slew in [20_000_000i64, -20_000_000, 999, 1_000, -1_001, 500_000_000] {
            let clock = slewing(slew, page().wall.nanos());
            // The second in which it was ordered is not its first; then a sixteenth of it a second.
            assert_eq!(moved(&clock, at(6)), 0);
            let part = slew / 16;
            // A second of the clock is as much shorter as it moves ahead.
            let of_rate = |moved: i64| (moved.abs() as i128 * part.abs() as i128 / SECOND as i128) as i64 + 1;
            assert!((moved(&clock, at(7)) - part).abs() <= of_rate(part));
            // No more than ordered, at any instant, and all of it in the end.
            let mut last = 0;
            for second in 6..1000 {
                let moved = moved(&clock, at(second));
                assert!(moved.abs() >= last && moved.abs() <= slew.abs() + of_rate(slew));
                last = moved.abs();
            }
            assert!(slew.abs() - last <= of_rate(slew), "{last} of {slew}");
        }
    }

    #[test]
    fn what_is_left_lacks_the_part_under_way_and_changes_at_the_clocks_own_whole_seconds() {
        // 0.25 s before a whole second of the clock.
        let clock = slewing(16_000_000, 1_800_000_000 * SECOND + 750_000_000);
        let after = |millis: i64| clock.since.after(Span::from_millis(millis));
        assert_eq!(clock.slew_left_at(after(249)).nanos(), 16_000_000);
        assert_eq!(moved(&clock, after(249)), 0);
        let later = clock.advanced_to(after(250));
        assert_eq!((later.slew.nanos(), later.under_way.nanos()), (15_000_000, 1_000_000));
        assert_eq!(moved(&clock, after(750)), 500_000, "half of the part under way");
        assert_eq!(clock.slew_left_at(after(1_248)).nanos(), 15_000_000);
        // At 1000 ppm more the clock's second is 1 ms shorter.
        assert_eq!(clock.slew_left_at(after(1_250)).nanos(), 14_062_500);
    }

    #[test]
    fn a_replaced_slew_completes_the_part_under_way_and_no_more() {
        let clock = slewing(16_000_000, 1_800_000_000 * SECOND + 750_000_000);
        let after = |millis: i64| clock.since.after(Span::from_millis(millis));
        let base = Frequency::saturating(-100 * Frequency::PER_PPM);
        let begun = clock.advanced_to(after(500)).adjusted(base, Offset::ZERO, TimeConstant::MIN);
        // 0.25 ms had moved; the other 0.75 ms follow, on the new base frequency, until the clock's second is full.
        assert_eq!(moved(&begun, after(1_249)), 749_000 - 74_900);
        assert_eq!(moved(&begun, after(11_249)), 749_075 - 1_074_900);
        // A step ends it at once.
        let set = clock.advanced_to(after(500)).set_to(clock.wall);
        assert_eq!(
            (set.wall_at(after(1_500)).nanos(), set.slew),
            (clock.wall.nanos() + SECOND, Offset::ZERO)
        );
    }

    #[test]
    fn describing_the_clock_from_later_on_changes_nothing() {
        let clock = ClockPage { slew: Offset::try_new(20_000_000).unwrap(), ..page() };
        for millis in [1, 999, 1_000, 4_321] {
            let later = clock.advanced_to(clock.since.after(Span::from_millis(millis)));
            let (here, there) = (clock.wall_at(at(30)).nanos(), later.wall_at(at(30)).nanos());
            assert!((here - there).abs() <= 2, "{millis} ms: {here} {there}");
        }
    }

    #[test]
    fn a_clock_of_any_values_is_read_at_any_time() {
        for slew in [i64::MIN, -1, 1, i64::MAX].map(Offset::saturating) {
            for wall in [WallTime::MIN, WallTime::MAX] {
                for time_constant in [TimeConstant::MIN, TimeConstant::MAX] {
                    let clock = ClockPage { slew, under_way: slew, wall, time_constant, ..page() };
                    assert!(clock.wall_at(RawInstant::MAX) >= clock.wall_at(RawInstant::MIN));
                    assert!(clock.slew_left_at(RawInstant::MAX).magnitude() <= Span::saturating(1));
                }
            }
        }
    }
}
