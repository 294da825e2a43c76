//! Sentences of how long something may last.

use super::{Because, Judgement, Tally, Terms, Verdict, missing};
use crate::course::{Course, Kept};
use crate::figure::{length, moment};
use crate::rule::CORRECTED_IN;
use ipc::units::{Span, WallTime};

/// A time in which something lasts without an end.
#[derive(Clone, Copy)]
struct Stretch {
    from: WallTime,
    to: WallTime,
    /// Its minutes, by their places.
    minutes: (usize, usize),
    /// No minute was kept of a part of it.
    has_hole: bool,
}

impl Stretch {
    const fn length(&self) -> i64 {
        self.to.nanos() - self.from.nanos()
    }
}

/// The stretches of minutes in which this holds. With `across`, what was not kept is a part of them, and one begins and ends at the
/// edges of what was kept.
fn stretches(course: &Course, terms: &Terms, across: bool, holds: impl Fn(&Kept) -> bool) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    let mut open: Option<Stretch> = None;
    let mut before: Option<WallTime> = None;
    let outage = terms.outage.nanos();
    for (at, kept) in course.minutes.iter().enumerate() {
        let is_next = before.is_none_or(|end| kept.begin.nanos() - end.nanos() <= outage);
        if !is_next && !across {
            all.extend(open.take());
        }
        if !is_next && across {
            let from = before.unwrap_or(kept.begin);
            let stretch = open.get_or_insert(Stretch { from, to: from, minutes: (at, at), has_hole: true });
            stretch.has_hole = true;
            stretch.to = kept.begin;
        }
        before = Some(kept.end);
        if !holds(kept) {
            all.extend(open.take());
            continue;
        }
        let stretch = open.get_or_insert(Stretch {
            from: kept.begin,
            to: kept.end,
            minutes: (at, at),
            has_hole: false,
        });
        (stretch.to, stretch.minutes.1) = (kept.end, at + 1);
    }
    all.extend(open);
    all
}

fn longest(all: &[Stretch]) -> Option<&Stretch> {
    all.iter().max_by_key(|stretch| stretch.length())
}

fn tally(course: &Course, all: &[&Stretch]) -> Tally {
    let mut tally = Tally::default();
    for stretch in all {
        let (from, to) = stretch.minutes;
        course.minutes.get(from..to).unwrap_or_default().iter().for_each(|kept| tally.count(kept));
    }
    tally
}

const fn seconds(stretch: &Stretch) -> i64 {
    stretch.length() / 1_000_000_000
}

/// Between two minutes in which a source was used there are at most so many nanoseconds.
pub(super) fn compared(course: &Course, terms: &Terms, most: Span) -> Judgement {
    let is_without = |kept: &Kept| kept.minute.used == 0 && kept.minute.used_at_least == 0;
    let kept = stretches(course, terms, false, is_without);
    let all = stretches(course, terms, true, is_without);
    let too_long: Vec<&Stretch> = kept.iter().filter(|one| one.length() > most.nanos()).collect();
    let is_unknown = longest(&all).is_some_and(|one| one.has_hole && one.length() > most.nanos());
    let (verdict, because) = match (too_long.is_empty(), is_unknown) {
        (false, _) => (Verdict::Fail, Because::Failed),
        (true, true) => (Verdict::NotShown, Because::NotKept),
        // Times at the edges are shorter than what may be, or else others are missing.
        (true, false) if edges(course) > most.nanos() => (Verdict::NotShown, Because::NotKept),
        (true, false) => (Verdict::Pass, Because::Met),
    };
    let longest = longest(&all);
    let limit = length(most.nanos());
    let mut reason = match longest {
        Some(one) if one.length() > 0 => {
            let since = moment(one.from);
            format!(
                "the longest time without a source that was used is {}, from {since} (the limit is {limit})",
                length(one.length())
            )
        }
        _ => format!("a source was used in each minute (the limit is {limit} without one)"),
    };
    if longest.is_some_and(|one| one.has_hole) {
        reason += "; of a part of it no minute was kept";
    }
    Judgement {
        longest_s: Some(longest.map_or(0, seconds)),
        worst: longest.filter(|one| one.length() > 0).map(|one| one.to),
        failed: tally(course, &too_long),
        ..Judgement::of(verdict, because, reason)
    }
}

/// The longer one of what is missing before the first minute and behind the last, in nanoseconds.
fn edges(course: &Course) -> i64 {
    let before = course.minutes.first().map_or(0, |first| first.begin.nanos() - course.period.from.nanos());
    let after = course.minutes.last().map_or(0, |last| course.period.to.nanos() - last.end.nanos());
    before.max(after)
}

/// A difference above this is gone within [`CORRECTED_IN`].
pub(super) fn corrected(course: &Course, terms: &Terms, above: Span) -> Judgement {
    let most = above.nanos().unsigned_abs();
    let is_off = |kept: &Kept| {
        let offset = kept.minute.offset;
        offset.is_some_and(|(least, largest)| least.unsigned_abs().max(largest.unsigned_abs()) > most)
    };
    let all = stretches(course, terms, false, is_off);
    let too_long: Vec<&Stretch> = all.iter().filter(|one| one.length() > CORRECTED_IN.nanos()).collect();
    let missing = missing(course, terms);
    let (verdict, because) = match (too_long.is_empty(), &missing) {
        (false, _) => (Verdict::Fail, Because::Failed),
        (true, Some(_)) => (Verdict::NotShown, Because::NotKept),
        (true, None) => (Verdict::Pass, Because::Met),
    };
    let longest = longest(&all);
    let limit = length(above.nanos());
    let mut parts = vec![match longest {
        Some(one) => format!(
            "the difference was above {limit} {}, for {} at most, from {}",
            super::counted(all.len() as u64, "time", "times"),
            length(one.length()),
            moment(one.from)
        ),
        None => format!("the difference was never above {limit}"),
    }];
    parts.extend(missing);
    Judgement {
        longest_s: Some(longest.map_or(0, seconds)),
        count: Some(all.len() as u64),
        worst: longest.map(|one| one.to),
        failed: tally(course, &too_long),
        ..Judgement::of(verdict, because, parts.join("; "))
    }
}
