//! The course of the clock over the last hour, day and week, as it is reported. Nothing is decided by it, and it is lost
//! with its engine.
//!
//! Three rings of points, each of a fixed length of time on CLOCK_MONOTONIC_RAW, of which every slot of the shorter ones lies
//! in one slot of the longer ones. They are filled when the engine is told something anyway: what was true since the last
//! time is asked for then, slot by slot, and a time of which nothing can be said leaves a gap.

use crate::io::Now;
use crate::minutes::{Minutes, Who};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use ipc::units::{RawInstant, Span, WallTime};
use report::HistorySpan;

/// Of each ring: the length of a point, and how many are kept.
const RINGS: [(Span, usize); 3] =
    [(Span::from_secs(15), 240), (Span::from_secs(360), 240), (Span::from_secs(3_600), 168)];

/// An engine that runs is told something more often than this (at least of its own repeated status): longer silence means
/// that it did not run, and nothing is known of that time.
const LONGEST: Span = Span::from_secs(2 * 3_600);

/// What is true at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    pub(crate) at: Now,
    /// None: no offset is known.
    pub(crate) known: Option<Known>,
    /// Base frequency in force, ppm; none: no clock is steered.
    pub(crate) frequency: Option<f64>,
    /// How many sources are used.
    pub(crate) used: u8,
    pub(crate) who: Who,
    pub(crate) synchronised: bool,
}

/// What is known of the offset, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) offset: f64,
    pub(crate) bound: f64,
    /// Infinite: nothing is likely.
    pub(crate) likely: f64,
}

/// One point of the course, for reports. Units and signs are those of [`report::HistoryPoint`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistoryPoint {
    /// Its end, by both clocks.
    pub until: Now,
    /// The mean offset, the least and the largest; none: not known at any time of it.
    pub offset: Option<(f64, f64, f64)>,
    /// The largest error bound; none as the offset.
    pub bound: Option<f64>,
    /// The largest likely error; none: at some time of it nothing was likely.
    pub likely: Option<f64>,
    /// Base frequency in force at its end, ppm; none: no clock is steered.
    pub frequency: Option<f64>,
    /// The smallest number of sources that were used.
    pub used: u8,
    /// Whether the clock was synchronised all the time.
    pub synchronised: bool,
    /// Sum of the steps, of the daemon's and of others'; none: there was none.
    pub stepped: Option<f64>,
    /// The clock stood still, or nothing is known of a part of it.
    pub gap: bool,
}

/// A point as it is kept: two words of time, the rest in small numbers. What is not known is zero, and a flag is missing.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    until: Now,
    stepped: f64,
    /// Its number since the beginning.
    slot: u32,
    mean: f32,
    least: f32,
    largest: f32,
    bound: f32,
    likely: f32,
    frequency: f32,
    used: u8,
    flags: u8,
}

/// The offset was known.
const KNOWN: u8 = 1;
/// It was known at some time that nothing was likely.
const UNLIKELY: u8 = 2;
const STEERED: u8 = 4;
const UNSYNCHRONISED: u8 = 8;
const STEPPED: u8 = 16;
const GAP: u8 = 32;

/// The point that is still open.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Open {
    point: Point,
    /// Integral of the offset, and the time over which it was known; seconds.
    sum: f64,
    time: f64,
}

#[derive(Clone, Debug, PartialEq)]
struct Ring {
    length: Span,
    kept: usize,
    /// The oldest first.
    points: VecDeque<Point>,
    open: Option<Open>,
}

/// See the module's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chronicle {
    begun: Option<RawInstant>,
    /// What was true after the last input.
    last: Option<Moment>,
    rings: Vec<Ring>,
    /// What is written down.
    pub(crate) minutes: Minutes,
}

impl Chronicle {
    pub(crate) fn new() -> Self {
        let ring = |(length, kept)| Ring { length, kept, points: VecDeque::with_capacity(kept), open: None };
        Self {
            begun: None,
            last: None,
            rings: RINGS.map(ring).into_iter().collect(),
            minutes: Minutes::default(),
        }
    }

    /// What was true after the last input; none: nothing is known since.
    pub(crate) fn last(&self) -> Option<Moment> {
        self.last
    }

    /// Time has passed until `now` in which nothing happened; `at` says what was true at a moment of it.
    pub(crate) fn lapse(&mut self, now: RawInstant, mut at: impl FnMut(RawInstant) -> Moment) {
        let (Some(begun), Some(mut from)) = (self.begun, self.last) else { return };
        if from.at.raw.after(LONGEST) < now {
            self.last = None;
            self.stood_still(from.at);
            return;
        }
        let (finest, _) = RINGS[0];
        while from.at.raw < now {
            let number = i64::from(slot(begun, from.at.raw, finest)).saturating_add(1);
            let end = begun.after(Span::saturating(finest.nanos().saturating_mul(number)));
            // The last slot that there is has no end.
            let end = if end > from.at.raw { end.min(now) } else { now };
            let to = at(end);
            for ring in &mut self.rings {
                ring.add(slot(begun, from.at.raw, ring.length), &from, &to);
            }
            self.minutes.add(&from, &to);
            from = to;
        }
        self.last = Some(from);
    }

    /// This is true now, after an input.
    pub(crate) fn note(&mut self, moment: Moment) {
        let begun = *self.begun.get_or_insert(moment.at.raw);
        let is_after_a_gap = self.last.is_none() && self.rings.iter().any(|ring| ring.open.is_some());
        for ring in &mut self.rings {
            ring.add(slot(begun, moment.at.raw, ring.length), &moment, &moment);
        }
        self.minutes.add(&moment, &moment);
        if is_after_a_gap {
            self.stood_still(moment.at);
        }
        self.last = Some(moment);
    }

    /// The clock was moved by so many seconds, by the daemon or by another program.
    pub(crate) fn stepped(&mut self, now: Now, seconds: f64, is_ours: bool) {
        self.flag(now, STEPPED, seconds);
        self.minutes.stepped(now, seconds, is_ours);
    }

    /// The clock stood still until now, or nothing is known of a time until now.
    pub(crate) fn stood_still(&mut self, now: Now) {
        self.flag(now, GAP, 0.0);
        self.minutes.has_gap(now);
    }

    fn flag(&mut self, now: Now, flag: u8, stepped: f64) {
        let Some(begun) = self.begun else { return };
        for ring in &mut self.rings {
            let point = &mut ring.open(slot(begun, now.raw, ring.length), now).point;
            point.flags |= flag;
            point.stepped += stepped;
        }
    }

    /// The length of a point of this span, and its points, the oldest first; the last one may be open still.
    pub(crate) fn report(&self, span: HistorySpan) -> (Span, Vec<HistoryPoint>) {
        let which = match span {
            HistorySpan::Hour => 0,
            HistorySpan::Day => 1,
            HistorySpan::Week => 2,
        };
        let Some(ring) = self.rings.get(which) else { return (Span::ZERO, Vec::new()) };
        let newest = ring.open.map(|open| open.point());
        let oldest = newest.map_or(0, |newest| newest.slot.saturating_sub(ring.kept as u32));
        let kept = ring.points.iter().copied().filter(|point| point.slot >= oldest);
        (ring.length, kept.chain(newest).map(Point::report).collect())
    }
}

/// Number of the slot that begins at this moment, or has begun before it.
fn slot(begun: RawInstant, at: RawInstant, length: Span) -> u32 {
    let since = at.since(begun).nanos().max(0);
    u32::try_from(since / length.nanos().max(1)).unwrap_or(u32::MAX)
}

impl Ring {
    /// The point of this slot, which is not before the one that is open.
    fn open(&mut self, slot: u32, now: Now) -> &mut Open {
        if let Some(before) = self.open.filter(|open| open.point.slot < slot) {
            while self.points.len() >= self.kept {
                self.points.pop_front();
            }
            self.points.push_back(before.point());
            self.open = None;
        }
        self.open.get_or_insert(Open { point: Point::empty(slot, now), sum: 0.0, time: 0.0 })
    }

    /// Adds a time that lies in this slot, by what was true at its beginning and at its end.
    fn add(&mut self, slot: u32, from: &Moment, to: &Moment) {
        let open = self.open(slot, from.at);
        let point = &mut open.point;
        for moment in [from, to] {
            point.used = point.used.min(moment.used);
            point.flags |= if moment.synchronised { 0 } else { UNSYNCHRONISED };
            let Some(Known { offset, bound, likely }) = moment.known else { continue };
            let is_first = point.flags & KNOWN == 0;
            let offset32 = offset as f32;
            point.least = if is_first { offset32 } else { point.least.min(offset32) };
            point.largest = if is_first { offset32 } else { point.largest.max(offset32) };
            point.bound = point.bound.max(bound as f32);
            match likely.is_finite() {
                true => point.likely = point.likely.max(likely as f32),
                false => point.flags |= UNLIKELY,
            }
            point.flags |= KNOWN;
            point.mean = offset32;
        }
        if let (Some(first), Some(last)) = (from.known, to.known) {
            let time = to.at.raw.since(from.at.raw).nanos() as f64 * 1e-9;
            open.sum += (first.offset + last.offset) / 2.0 * time;
            open.time += time;
        }
        if let Some(frequency) = to.frequency {
            point.frequency = frequency as f32;
            point.flags |= STEERED;
        }
        if to.at.raw > point.until.raw {
            point.until = to.at;
        }
    }
}

impl Open {
    /// As it is so far. Where the offset was known for no time at all, its mean is what it was last.
    fn point(&self) -> Point {
        let mean = if self.time > 0.0 { (self.sum / self.time) as f32 } else { self.point.mean };
        // Rounded apart from its limits.
        Point { mean: mean.max(self.point.least).min(self.point.largest), ..self.point }
    }
}

impl Point {
    fn empty(slot: u32, now: Now) -> Self {
        Self {
            until: now,
            stepped: 0.0,
            slot,
            mean: 0.0,
            least: 0.0,
            largest: 0.0,
            bound: 0.0,
            likely: 0.0,
            frequency: 0.0,
            used: u8::MAX,
            flags: 0,
        }
    }

    fn report(self) -> HistoryPoint {
        let has = |flag| self.flags & flag != 0;
        let known = |value: f32| has(KNOWN).then_some(f64::from(value));
        HistoryPoint {
            until: self.until,
            offset: has(KNOWN).then_some((
                f64::from(self.mean),
                f64::from(self.least),
                f64::from(self.largest),
            )),
            bound: known(self.bound),
            likely: known(self.likely).filter(|_| !has(UNLIKELY)),
            frequency: has(STEERED).then_some(f64::from(self.frequency)),
            used: if self.used == u8::MAX { 0 } else { self.used },
            synchronised: !has(UNSYNCHRONISED) && self.used != u8::MAX,
            stepped: has(STEPPED).then_some(self.stepped),
            gap: has(GAP),
        }
    }
}

/// The wall time of a reading at `raw` that lies between two others, where the clock was not moved in between: what
/// `predicted` says, and of what it missed until the later reading as much as has passed of the time.
pub(crate) fn between(predicted: Now, missed: i64, from: RawInstant, to: RawInstant) -> WallTime {
    let (part, whole) = (predicted.raw.since(from).nanos(), to.since(from).nanos());
    // More than this is no frequency: it was moved at a time that is not known.
    let is_moved = missed.unsigned_abs() > whole.unsigned_abs() / 1_000;
    if whole <= 0 || is_moved {
        return predicted.wall;
    }
    let share = (missed as f64 * (part as f64 / whole as f64)) as i64;
    WallTime::saturating(predicted.wall.nanos().saturating_add(share))
}

#[cfg(test)]
mod tests;
