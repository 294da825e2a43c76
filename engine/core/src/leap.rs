//! Leap seconds: accepted if most usable sources announce the same one, on a day on which one can occur.

use ipc::calendar::Date;
use ipc::units::{Leap, WallTime};

const DAY: i64 = 86_400;
const SECOND: i64 = 1_000_000_000;

/// Samples this close to a leap second (nanoseconds) are not used.
const CLOSE: i64 = 5 * SECOND;

/// The warning in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    leap: Leap,
    /// End of the day, nanoseconds since 1970.
    end: i64,
    /// The end of the last day on which one occurred: the second before it is repeated, and earlier announcements no longer
    /// count.
    passed: i64,
}

impl Warning {
    pub(crate) const NONE: Self = Self { leap: Leap::None, end: 0, passed: 0 };

    pub(crate) fn leap(&self) -> Leap {
        self.leap
    }

    /// The vote of the usable sources at `now`. Only the last UTC day of June or December counts.
    pub(crate) fn vote(&mut self, announced: impl Iterator<Item = Leap>, now: WallTime) {
        let (mut all, mut insert, mut delete) = (0, 0, 0);
        for leap in announced {
            all += 1;
            insert += u32::from(leap == Leap::Insert);
            delete += u32::from(leap == Leap::Delete);
        }
        let leap = match end_of_leap_day(now).filter(|end| *end != self.passed) {
            Some(_) if 2 * insert > all => Leap::Insert,
            Some(_) if 2 * delete > all => Leap::Delete,
            _ => Leap::None,
        };
        // The warning remains while the sources are silent.
        if all > 0 {
            *self = Self { leap, end: end_of_leap_day(now).unwrap_or(0), passed: self.passed };
        }
    }

    /// By how many nanoseconds UTC moved, once, when `now` has passed the end of the day.
    pub(crate) fn pass(&mut self, now: WallTime) -> Option<i64> {
        if self.leap == Leap::None || now.nanos() < self.end {
            return None;
        }
        let moved = if self.leap == Leap::Insert { -SECOND } else { SECOND };
        *self = Self { passed: self.end, ..Self::NONE };
        Some(moved)
    }

    /// The end of the announced day, in nanoseconds since 1970.
    pub(crate) fn end(&self) -> Option<i64> {
        (self.leap != Leap::None).then_some(self.end)
    }

    /// Whether a leap second is so close that no sample is used.
    pub(crate) fn is_close(&self, time: i64) -> bool {
        self.leap != Leap::None && time.abs_diff(self.end) < CLOSE.unsigned_abs()
    }
}

/// The end of `now`'s UTC day, if that is 30 June or 31 December.
fn end_of_leap_day(now: WallTime) -> Option<i64> {
    let day = now.nanos() / SECOND / DAY;
    Date::of_day(day).may_end_with_leap_second().then(|| (day + 1) * DAY * SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> WallTime {
        WallTime::saturating(seconds * SECOND)
    }

    /// 2027-06-30 12:00:00 UTC.
    const JUNE: i64 = 1_814_356_800;
    /// 2027-03-31 12:00:00 UTC.
    const MARCH: i64 = 1_806_494_400;

    fn vote(announced: [Leap; 4], now: i64) -> Leap {
        let mut warning = Warning::NONE;
        warning.vote(announced.into_iter(), at(now));
        warning.leap()
    }

    #[test]
    fn a033_a_majority_on_the_right_day_arms_and_nothing_else_does() {
        use Leap::{Insert, None};
        assert_eq!(vote([Insert, None, None, None], JUNE), None);
        assert_eq!(vote([Insert, Insert, None, None], JUNE), None);
        assert_eq!(vote([Insert, Insert, Insert, None], MARCH), None);
        assert_eq!(vote([Insert, Insert, Insert, None], JUNE - DAY), None);
        assert_eq!(vote([Insert, Insert, Insert, None], JUNE + DAY), None);
        assert_eq!(vote([Insert, Insert, Insert, None], JUNE), Insert);
    }

    #[test]
    fn a034_opposite_halves_arm_nothing() {
        use Leap::{Delete, Insert};
        assert_eq!(vote([Insert, Insert, Delete, Delete], JUNE), Leap::None);
    }

    #[test]
    fn a_leap_second_passes_once_at_midnight() {
        let mut warning = Warning::NONE;
        warning.vote([Leap::Insert].into_iter(), at(JUNE));
        let midnight = JUNE + DAY / 2;
        assert_eq!(warning.pass(at(midnight - 1)), None);
        assert!(warning.is_close((midnight - 4) * SECOND) && !warning.is_close((midnight - 6) * SECOND));
        assert_eq!(warning.pass(at(midnight)), Some(-SECOND));
        assert_eq!(warning.pass(at(midnight + 1)), None);
    }

    #[test]
    fn a163_what_was_heard_before_arms_nothing_in_the_second_that_comes_twice() {
        let mut warning = Warning::NONE;
        let midnight = JUNE + DAY / 2;
        warning.vote([Leap::Insert].into_iter(), at(midnight - 1));
        assert_eq!(warning.pass(at(midnight)), Some(-SECOND));
        warning.vote([Leap::Insert].into_iter(), at(midnight - 1));
        assert_eq!((warning.leap(), warning.pass(at(midnight))), (Leap::None, None));
        // The next one, half a year later.
        warning.vote([Leap::Insert].into_iter(), at(JUNE + 184 * DAY));
        assert_eq!(warning.leap(), Leap::Insert);
    }
}
