//! Leap seconds: accepted if most of the sources that have a vote and agree on the time announce the same one, on a day on which
//! one can occur. Sources of one group have one vote together, which is that of most of them, and those of one upstream too.

use crate::independence::{Allegiance, groups_of, independent};
use alloc::vec::Vec;
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

    /// The vote of those that have one, at `now`. Only the last UTC day of June or December counts. `listed`: what the list of
    /// leap seconds has for the end of this day, which prevails; none: it has no word.
    pub(crate) fn vote(&mut self, announced: &[(Leap, Allegiance)], listed: Option<Leap>, now: WallTime) {
        // The warning remains while the sources are silent.
        if announced.is_empty() && listed.is_none() {
            return;
        }
        let end = end_of_leap_day(now);
        let kinds = [Leap::Insert, Leap::Delete].into_iter();
        let leap = end.filter(|end| *end != self.passed).and_then(|_| match listed {
            Some(listed) => Some(listed),
            None => kinds.clone().find(|leap| is_carried(*leap, announced)),
        });
        *self = Self { leap: leap.unwrap_or(Leap::None), end: end.unwrap_or(0), passed: self.passed };
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

/// Whether most votes announce this leap second.
fn is_carried(leap: Leap, announced: &[(Leap, Allegiance)]) -> bool {
    let count = |group: usize, is_counted: &dyn Fn(Leap) -> bool| {
        announced.iter().filter(|(said, (other, _))| *other == group && is_counted(*said)).count()
    };
    let says = |(said, (group, _)): &&(Leap, Allegiance)| {
        *said == leap && 2 * count(*group, &|said| said == leap) > count(*group, &|_| true)
    };
    let all: Vec<Allegiance> = announced.iter().map(|(_, allegiance)| *allegiance).collect();
    let carrying: Vec<Allegiance> =
        announced.iter().filter(says).map(|(_, allegiance)| *allegiance).collect();
    // Groups, so that one of many that name one upstream is not all of them; and upstreams, so that many of one are not many.
    let is_most = |count: &dyn Fn(&[Allegiance]) -> usize| 2 * count(&carrying) > count(&all);
    is_most(&|some| groups_of(some).len()) && is_most(&independent)
}

/// The end of `now`'s UTC day, if that is 30 June or 31 December.
pub(crate) fn end_of_leap_day(now: WallTime) -> Option<i64> {
    let day = now.nanos() / SECOND / DAY;
    Date::of_day(day).may_end_with_leap_second().then(|| (day + 1) * DAY * SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::independence::Identity;

    fn at(seconds: i64) -> WallTime {
        WallTime::saturating(seconds * SECOND)
    }

    /// 2027-06-30 12:00:00 UTC.
    const JUNE: i64 = 1_814_356_800;
    /// 2027-03-31 12:00:00 UTC.
    const MARCH: i64 = 1_806_494_400;

    fn vote(announced: [Leap; 4], now: i64) -> Leap {
        let announced = announced.iter().enumerate();
        vote_of(&announced.map(|(group, leap)| (*leap, (group, None))).collect::<Vec<_>>(), now)
    }

    fn vote_of(announced: &[(Leap, Allegiance)], now: i64) -> Leap {
        let mut warning = Warning::NONE;
        warning.vote(announced, None, at(now));
        warning.leap()
    }

    #[test]
    fn a033_sources_of_one_group_have_one_vote_together_which_is_that_of_most_of_them() {
        use Leap::{Insert, None as Not};
        let of = |announced: &[(Leap, usize)]| {
            let all: Vec<_> = announced.iter().map(|(leap, group)| (*leap, (*group, None))).collect();
            vote_of(&all, JUNE)
        };
        let pool = |leap| [(leap, 0); 4];
        let others = |leap| [(leap, 1), (leap, 2), (leap, 3)];
        assert_eq!(of(&[&pool(Insert)[..], &others(Not)].concat()), Not);
        assert_eq!(of(&[&pool(Not)[..], &others(Insert)].concat()), Insert);
        assert_eq!(of(&[(Insert, 0), (Not, 0), (Not, 0), (Not, 0)]), Not);
        assert_eq!(of(&[(Insert, 0), (Insert, 0), (Insert, 0), (Not, 0)]), Insert);
        assert_eq!(of(&[(Insert, 0), (Insert, 0), (Not, 0), (Not, 0)]), Not);
    }

    #[test]
    fn a033_one_of_several_that_name_one_upstream_is_none_of_the_others() {
        use Leap::{Insert, None as Not};
        // All say that they follow one server, as in many a local network.
        let of_id = |reference_id| {
            let ip = core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED);
            Identity { name: "", ip, port: 123, stratum: 2, reference_id }.upstream()
        };
        let upstream = of_id(7);
        let of = |announced: &[Leap]| {
            let announced = announced.iter().enumerate();
            vote_of(&announced.map(|(group, leap)| (*leap, (group, upstream))).collect::<Vec<_>>(), JUNE)
        };
        assert_eq!(of(&[Not, Not, Insert]), Not);
        assert_eq!(of(&[Insert, Not, Not, Not, Not]), Not);
        assert_eq!(of(&[Insert, Insert, Not]), Insert);
        // Many of one upstream are one against two others.
        let mut mixed: Vec<_> = (0..5).map(|group| (Insert, (group, upstream))).collect();
        mixed.extend([(Not, (5, of_id(8))), (Not, (6, of_id(9)))]);
        assert_eq!(vote_of(&mixed, JUNE), Not);
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
        warning.vote(&[(Leap::Insert, (0, None))], None, at(JUNE));
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
        warning.vote(&[(Leap::Insert, (0, None))], None, at(midnight - 1));
        assert_eq!(warning.pass(at(midnight)), Some(-SECOND));
        warning.vote(&[(Leap::Insert, (0, None))], None, at(midnight - 1));
        assert_eq!((warning.leap(), warning.pass(at(midnight))), (Leap::None, None));
        // The next one, half a year later.
        warning.vote(&[(Leap::Insert, (0, None))], None, at(JUNE + 184 * DAY));
        assert_eq!(warning.leap(), Leap::Insert);
    }
}
