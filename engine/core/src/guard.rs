//! A hard interval that no estimate may leave.
//!
//! After each exchange with a truechimer, the true offset lies between T3 − (when the engine got the
//! reply) and T2 − (when the engine handed the query out), plus or minus the root distance of the server.
//! The interval moves with the frequency, widens with age, and is cut by each newer one.

use crate::measurement::Measurement;
use ipc::units::RawInstant;

/// PHI of RFC 5905: the frequency tolerance of an oscillator that has not been measured.
pub(crate) const TOLERANCE: f64 = 15e-6;

/// By how much a measured frequency may be off beyond what the filter says: a jump since the last
/// measurement. In minutes no crystal moves farther; after so many seconds without one it may be anywhere
/// in [`TOLERANCE`].
const JUMP: f64 = 2e-6;
pub(crate) const ANYWHERE: f64 = 7200.0;

/// How many standard deviations count as certain.
const CERTAIN: f64 = 6.0;

/// True time minus CLOCK_MONOTONIC_RAW lies in [low, high], nanoseconds, at `at`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Guard {
    at: RawInstant,
    low: i64,
    high: i64,
}

impl Guard {
    /// From one measurement of a server that may be off by `root` seconds.
    pub(crate) fn of(measurement: &Measurement, root: f64) -> Self {
        let root = (root * 1e9) as i64;
        Self {
            at: measurement.received,
            low: measurement.low.saturating_sub(root),
            high: measurement.high.saturating_add(root),
        }
    }

    /// From the bounds of an offset, in seconds, of a clock that shows `wall` at `at`.
    pub(crate) fn of_offsets(at: RawInstant, wall: i64, low: f64, high: f64) -> Self {
        let bound = |offset: f64| (wall - at.nanos()).saturating_add((offset * 1e9) as i64);
        Self { at, low: bound(low), high: bound(high) }
    }

    /// The same interval later: moved by `frequency` (s/s), widened by a jump of it and by what is
    /// not certain (`deviation` is its standard deviation).
    pub(crate) fn aged(&self, at: RawInstant, frequency: f64, deviation: f64) -> Self {
        let elapsed = at.since(self.at).nanos() as f64;
        let moved = elapsed * frequency;
        let share = (elapsed * 1e-9 / ANYWHERE).clamp(0.0, 1.0);
        let wider = elapsed.max(0.0) * (JUMP + share * (TOLERANCE - JUMP) + CERTAIN * deviation);
        Self {
            at,
            low: self.low.saturating_add(libm::floor(moved - wider) as i64),
            high: self.high.saturating_add(libm::ceil(moved + wider) as i64),
        }
    }

    /// When the interval holds.
    pub(crate) fn at(&self) -> RawInstant {
        self.at
    }

    /// True time at the guard's instant, nanoseconds since 1970.
    pub(crate) fn utc(&self) -> (i64, i64) {
        let at = |bound: i64| bound.saturating_add(self.at.nanos());
        (at(self.low), at(self.high))
    }

    /// True time minus CLOCK_MONOTONIC_RAW, nanoseconds.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        (self.low, self.high)
    }

    /// Both intervals at once; where they exclude each other, the newer one alone, and false.
    pub(crate) fn cut(&self, newer: &Self) -> (Self, bool) {
        let both = Self { at: newer.at, low: self.low.max(newer.low), high: self.high.min(newer.high) };
        if both.low <= both.high { (both, true) } else { (*newer, false) }
    }

    /// All that either of two intervals of one instant contains.
    pub(crate) fn hull(&self, other: &Self) -> Self {
        Self { at: other.at, low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// How far the two intervals are apart, seconds, positive where the other one is ahead; 0: they touch.
    pub(crate) fn gap(&self, other: &Self) -> f64 {
        let apart = |left: i64, right: i64| (i128::from(left) - i128::from(right)).max(0);
        (apart(other.low, self.high) - apart(self.low, other.high)) as f64 * 1e-9
    }

    /// Bounds of a clock's offset that shows `wall` at the guard's instant, seconds.
    pub(crate) fn offsets(&self, wall: i64) -> (f64, f64) {
        let offset =
            |bound: i64| (i128::from(bound) + i128::from(self.at.nanos()) - i128::from(wall)) as f64 * 1e-9;
        (offset(self.low), offset(self.high))
    }

    /// UTC itself moved by `nanos` (a leap second).
    pub(crate) fn shift(&mut self, nanos: i64) {
        self.low = self.low.saturating_add(nanos);
        self.high = self.high.saturating_add(nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(at: i64, low: i64, high: i64) -> Guard {
        Guard { at: RawInstant::saturating(at * 1_000_000_000), low, high }
    }

    #[test]
    fn an_interval_widens_with_age_and_moves_with_the_frequency() {
        let later = guard(0, -1000, 1000).aged(RawInstant::saturating(100_000_000_000), 10e-6, 0.0);
        assert!(later.low.abs_diff(780_944) <= 2 && later.high.abs_diff(1_219_056) <= 2, "{later:?}");
        let much_later = guard(0, -1000, 1000).aged(RawInstant::saturating(10_000_000_000_000), 0.0, 1e-6);
        assert!(much_later.high.abs_diff(10_000 * (15_000 + 6_000) + 1000) <= 2, "{much_later:?}");
    }

    #[test]
    fn a_newer_interval_cuts_and_a_contradiction_replaces() {
        let old = guard(0, -1000, 1000);
        assert_eq!(old.cut(&guard(0, 500, 5000)), (guard(0, 500, 1000), true));
        assert_eq!(old.cut(&guard(0, 2000, 5000)), (guard(0, 2000, 5000), false));
    }

    #[test]
    fn a_gap_is_between_the_nearer_ends() {
        let (low, high) = (guard(0, -5_000_000_000, 0), guard(0, 2_000_000_000, 3_000_000_000));
        assert!((low.gap(&high) - 2.0).abs() < 1e-9 && (high.gap(&low) + 2.0).abs() < 1e-9);
        assert!(low.gap(&guard(0, -1, 1)).abs() < 1e-9);
    }

    #[test]
    fn bounds_are_those_of_a_clock_that_is_behind_when_positive() {
        let (low, high) = guard(5, 10_000_000_000, 11_000_000_000).offsets(14_000_000_000);
        assert!((low - 1.0).abs() < 1e-9 && (high - 2.0).abs() < 1e-9);
    }
}
