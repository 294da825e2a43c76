//! The minutes of a period in as many parts of it as a picture has room for. A part has the worst of its minutes: a single one that
//! was wrong is seen in a year.

use crate::course::{Course, Kept};

/// How many parts.
const PARTS: usize = 437;

/// A part of the period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bin {
    /// Seconds since 1970.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Least and largest offset, in seconds; none: it has no minute in which that was known.
    pub(super) offset: Option<(f64, f64)>,
    /// Largest bound in seconds, of the minutes that have one.
    pub(super) bound: Option<f64>,
    /// Likewise.
    pub(super) likely: Option<f64>,
    /// The smallest number of sources that were used, and of authenticated ones among them; none: it has no minute.
    pub(super) used: Option<(f64, f64)>,
    /// All minutes are.
    pub(super) synchronised: bool,
}

impl Bin {
    /// The largest offset without its sign.
    pub(super) fn far(&self) -> Option<f64> {
        self.offset.map(|(least, largest)| least.abs().max(largest.abs()))
    }

    fn add(&mut self, kept: &Kept) {
        let minute = &kept.minute;
        let seconds = |nanos: i64| nanos as f64 / 1e9;
        let largest = |before: Option<f64>, now: Option<u64>| match now.map(|now| now as f64 / 1e9) {
            Some(now) => Some(before.map_or(now, |before| before.max(now))),
            None => before,
        };
        if let Some((least, most)) = minute.offset.map(|(least, most)| (seconds(least), seconds(most))) {
            let (low, high) = self.offset.unwrap_or((least, most));
            self.offset = Some((low.min(least), high.max(most)));
        }
        self.bound = largest(self.bound, minute.bound);
        self.likely = largest(self.likely, minute.likely);
        let (used, with) = (f64::from(minute.used_at_least), f64::from(minute.authenticated_at_least));
        self.synchronised = minute.synchronised && (self.used.is_none() || self.synchronised);
        let (least, least_with) = self.used.unwrap_or((used, with));
        self.used = Some((least.min(used), least_with.min(with)));
    }
}

/// The parts of a period.
pub(super) fn bins(course: &Course) -> Vec<Bin> {
    let (from, to) = (course.period.from.nanos(), course.period.to.nanos());
    let length = (to - from) as f64 / 1e9 / PARTS as f64;
    let begin = from as f64 / 1e9;
    let edge = |part: usize| begin + length * part as f64;
    let mut all: Vec<Bin> =
        (0..PARTS).map(|part| Bin { from: edge(part), to: edge(part + 1), ..Bin::default() }).collect();
    let part = |nanos: i64| (((nanos - from) as f64 / 1e9 / length) as usize).min(PARTS - 1);
    for kept in &course.minutes {
        // Its last moment is still its own.
        let (first, last) = (part(kept.begin.nanos().max(from)), part(kept.end.nanos().max(from + 1) - 1));
        let bins = all.get_mut(first..=last.max(first)).unwrap_or_default();
        bins.iter_mut().for_each(|bin| bin.add(kept));
    }
    all
}
