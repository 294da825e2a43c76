//! A clock that isn't the kernel's: an offset, a rate and a slew over CLOCK_MONOTONIC_RAW, in a small file that the
//! privileged process writes and the other processes read.
//!
//! It behaves as CLOCK_REALTIME does under the kernel's phase-locked loop with the frequency held: the
//! base frequency is set at once, a slew moves by 2^-(2 + time constant) of what is left in each second,
//! a step is immediate. It also has what a test needs and a real clock hides: the oscillator's own error.
//! Pure arithmetic in integers: every reader computes the same nanosecond.

use crate::checksum::checksum;
use crate::units::{Frequency, Offset, RawInstant, TimeConstant, WallTime};

/// Length of the file in octets.
pub const PAGE: usize = 96;

const MAGIC: u64 = 0x7472_7565_6368_0001;
const SECOND: i64 = 1_000_000_000;

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
    /// What was left of the slew at `since`.
    pub slew: Offset,
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
        let drift = self.frequency.gain(elapsed) + self.oscillator.gain(elapsed);
        let slewed = self.slew.nanos() - self.slew_left_at(now).nanos();
        WallTime::saturating(
            self.wall.nanos().saturating_add(elapsed).saturating_add(drift).saturating_add(slewed),
        )
    }

    /// What is left of the slew at `now`.
    pub fn slew_left_at(&self, now: RawInstant) -> Offset {
        let elapsed = now.since(self.since).nanos().max(0);
        let shift = 2 + u32::from(self.time_constant.exponent());
        let mut left = self.slew.nanos();
        // A slew shrinks by at least 2^-12 a second and is gone below 1 µs: at most about 110,000 rounds
        // for the largest, so the work is bounded.
        let mut seconds = elapsed / SECOND;
        while seconds > 0 && left != 0 {
            left -= chunk(left, shift);
            seconds -= 1;
        }
        let part = (chunk(left, shift) as i128 * (elapsed % SECOND) as i128 / SECOND as i128) as i64;
        Offset::saturating(left - part)
    }

    /// The same clock, described from `now` on; the moment before a change.
    pub fn advanced_to(&self, now: RawInstant) -> Self {
        Self { wall: self.wall_at(now), slew: self.slew_left_at(now), since: now, ..*self }
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
            0,
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

/// What one second corrects of a slew, as the kernel's `shift_right` on a value in nanoseconds; the last
/// microsecond goes at once, so that a slew ends.
fn chunk(left: i64, shift: u32) -> i64 {
    if left.abs() < 1_000 {
        left
    } else if left < 0 {
        -((-left) >> shift).max(1)
    } else {
        (left >> shift).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> ClockPage {
        ClockPage {
            since: RawInstant::try_new(5 * SECOND).unwrap(),
            wall: WallTime::try_new(1_800_000_000 * SECOND).unwrap(),
            frequency: Frequency::try_new(-40 * Frequency::PER_PPM).unwrap(),
            oscillator: Frequency::try_new(40 * Frequency::PER_PPM).unwrap(),
            slew: Offset::ZERO,
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

    #[test]
    fn a_slew_moves_exactly_what_was_ordered_and_ends() {
        for slew in [20_000_000i64, -20_000_000, 999, 1_000, -1_001, 500_000_000] {
            let clock = ClockPage {
                slew: Offset::try_new(slew).unwrap(),
                frequency: Frequency::ZERO,
                oscillator: Frequency::ZERO,
                ..page()
            };
            // A sixteenth of it in the first second.
            let first = clock.wall_at(at(6)).nanos() - clock.wall.nanos() - SECOND;
            assert_eq!(first, chunk(slew, 4));
            // Never more than ordered, at any instant, and all of it in the end.
            let mut last = 0;
            for second in 6..1000 {
                let moved = clock.wall_at(at(second)).nanos() - clock.wall.nanos() - (second - 5) * SECOND;
                assert!(moved.abs() >= last && moved.abs() <= slew.abs());
                last = moved.abs();
            }
            assert_eq!(last, slew.abs());
        }
    }

    #[test]
    fn describing_the_clock_from_later_on_changes_nothing() {
        let clock = ClockPage { slew: Offset::try_new(20_000_000).unwrap(), ..page() };
        let later = clock.advanced_to(at(9));
        assert_eq!(later.wall_at(at(30)).nanos(), clock.wall_at(at(30)).nanos());
    }
}
