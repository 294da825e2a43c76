//! Whether a measurement is consistent with the earlier paths: a route may have changed, or the server may have been stepped.
//!
//! A packet can be late, but never early. So an *early* packet is significant: if the round trip is below its minimum, a
//! path became shorter; otherwise the offset has changed. A *late* packet is not, but a run of packets of which none is on
//! time in one direction is: that n packets are all later than m, with a mean jitter of s, has a chance of e^(−nm/s). So the
//! path of this direction became longer as soon as nm/s is large enough, be it after few packets that are very late or after
//! many that are a little.
//!
//! What is late is so beside the estimate of the offset. Where that is not known better than by how much packets are late (both
//! ways became longer, and neither is on time), no direction is late beyond doubt, but their round trips are, which no offset
//! changes: the path became longer, and which way is not known.
//!
//! A route that changed often changes back. The path that a direction had before is remembered (`belief`), and against it
//! longer and shorter are judged by the same evidence: how much better it explains the last packets than the present one.

use super::bank::Fit;
use super::belief::{STRAY, either};
use super::edge::bounded_above;

/// Earlier than this is impossible. In standard deviations.
const GATE: f64 = 4.5;

/// What is later than this has been late beyond doubt. In standard deviations; it takes a run of them, not one.
const LATE_GATE: f64 = 3.5;

/// This many consecutive late packets at least mean a longer path,
const CONVINCED: usize = 8;

/// And at most so many are looked at.
const LONGEST_RUN: usize = 64;

/// The logarithm of the chance of a run beyond which it is no chance.
const EVIDENT: f64 = 20.0;

/// The same for a way while the other one is longer beyond doubt: a route that changes mostly changes both.
const AS_WELL: f64 = 8.0;

/// A packet that is later than this in one direction and early in the other does not say which of both has changed. In mean
/// rests.
const LATE: f64 = 4.0;

/// The logarithm of how much likelier a longer path has to be than more jitter, where only the round trips tell.
const PREFERRED: f64 = 5.0;

/// A way that was late by less than this share of a round trip has not become longer.
const ON_TIME: f64 = 0.2;

/// Where the round trips are found in the ring, beside the ways there and back.
const TRIP: usize = 2;

/// The logarithm of how much better the path before has to explain the measurements, and so many of them at least.
const BETTER: f64 = 10.0;
const LEAST_RETURN: usize = 2;

/// And how much better the round trips alone, which a step of the offset does not change.
const PLAUSIBLE: f64 = 2.0;

/// No edge is known better than this, seconds.
const LEAST_DEVIATION: f64 = 1e-9;

/// The result of a measurement for the paths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// No change.
    Fits,
    /// This way (0: there, 1: back) is shorter by so many seconds (negative).
    Shorter(usize, f64),
    /// So it is with the ways (there, back) that are longer.
    Longer([Option<Longer>; 2]),
    /// The round trip is longer, and no way by itself is seen to be.
    LongerTogether(Longer),
    /// The ways (there, back) that have the path again that they had before, for so many measurements, this one included.
    Restored([Option<usize>; 2]),
    /// The offset has changed, or this way is shorter by so many seconds (negative).
    Contradicts(usize, f64),
}

/// A way, or the round trip, that has been longer for so many measurements, this one included, by so many seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Longer {
    pub(super) run: usize,
    pub(super) by: f64,
}

/// What is remembered of a measurement, for one direction or the round trip. Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rest {
    rest: f64,
    /// By how much it was late beyond doubt.
    late: f64,
    /// Mean rest of one way before.
    scale: f64,
}

/// The newest measurements, of one direction or the round trip. Seconds.
struct Run {
    length: usize,
    least: f64,
    /// The least by which one of them was late beyond doubt.
    latest: f64,
    sum: f64,
    /// Mean rest of one way before the oldest of them.
    scale: f64,
}

/// The last residuals of each direction, and of the round trip.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Paths {
    ring: [[Rest; 3]; LONGEST_RUN],
    next: usize,
    /// So many of each.
    counts: [usize; 3],
    /// What speaks for it that each direction has the path before again.
    returns: [Return; 2],
}

/// What the last measurements of a direction say of the path before.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Return {
    /// How much better it explains them, a logarithm,
    lead: f64,
    /// And how many they are.
    run: usize,
    /// The same lead by the round trips alone, which no offset changes.
    trips: f64,
}

impl Return {
    const NONE: Self = Self { lead: 0.0, run: 0, trips: 0.0 };
}

impl Paths {
    pub(super) const fn new() -> Self {
        const NONE: Rest = Rest { rest: 0.0, late: 0.0, scale: 0.0 };
        Self { ring: [[NONE; 3]; LONGEST_RUN], next: 0, counts: [0; 3], returns: [Return::NONE; 2] }
    }

    pub(super) fn compare(&mut self, fit: &Fit) -> Verdict {
        let one =
            |rest: f64, deviation: f64, scale: f64| Rest { rest, late: rest - LATE_GATE * deviation, scale };
        let [there, back] = [0, 1].map(|way| one(fit.rests[way], fit.deviations[way], fit.scales[way]));
        let mean = 0.5 * (there.scale + back.scale);
        self.ring[self.next] = [there, back, one(there.rest + back.rest, fit.trip_deviation, mean)];
        self.next = (self.next + 1) % LONGEST_RUN;
        self.counts = self.counts.map(|count| (count + 1).min(LONGEST_RUN));
        let restored = [0, 1].map(|way| self.restored(way, fit));
        if restored.iter().any(Option::is_some) {
            // The offset moves with it, beside which the rests of the other way were measured, too.
            self.begin([true; 2]);
            return Verdict::Restored(restored);
        }
        for way in 0..2 {
            if is_early(fit, way) {
                if is_round_trip_short(fit) && fit.rests[1 - way] < LATE * fit.scales[1 - way] {
                    self.begin([true; 2]);
                    return Verdict::Shorter(way, fit.rests[way]);
                }
                return Verdict::Contradicts(way, fit.rests[way]);
            }
        }
        let mut longer = [0, 1].map(|way| self.longer(way, EVIDENT));
        if longer.iter().any(Option::is_some) {
            longer = [0, 1].map(|way| longer[way].or_else(|| self.longer(way, AS_WELL)));
        }
        self.begin(longer.map(|longer| longer.is_some()));
        if longer.iter().any(Option::is_some) {
            return Verdict::Longer(longer);
        }
        if let Some(longer) = self.longer_together() {
            self.begin([true; 2]);
            return Verdict::LongerTogether(longer);
        }
        Verdict::Fits
    }

    /// How much better a path before explains the last measurements than the present one; a logarithm, at most [`BETTER`].
    pub(super) fn lead(&self) -> f64 {
        self.returns.iter().map(|seen| seen.lead).fold(0.0, f64::max).min(BETTER)
    }

    /// These ways have another path from now on.
    fn begin(&mut self, ways: [bool; 2]) {
        for way in (0..2).filter(|way| ways[*way]) {
            (self.counts[way], self.returns[way]) = (0, Return::NONE);
            self.counts[TRIP] = 0;
        }
    }

    /// For how many measurements this way has had the path before again.
    fn restored(&mut self, way: usize, fit: &Fit) -> Option<usize> {
        let seen = &mut self.returns[way];
        let Some((rest, deviation)) = fit.before[way] else {
            *seen = Return::NONE;
            return None;
        };
        let other = 1 - way;
        let (scale, shorter) = (fit.scales[way], rest - fit.rests[way]);
        seen.lead +=
            likelihood(rest, deviation, scale) - likelihood(fit.rests[way], fit.deviations[way], scale);
        seen.run += 1;
        let together = fit.rests[0] + fit.rests[1];
        let noise = libm::hypot(fit.deviations[way], deviation);
        let both = 0.5 * (fit.scales[0] + fit.scales[1]);
        seen.trips +=
            likelihood_of_trip(together + shorter, noise, both) - likelihood_of_trip(together, noise, both);
        if seen.lead <= 0.0 {
            *seen = Return::NONE;
        }
        let found =
            (seen.lead > BETTER && seen.trips > PLAUSIBLE && seen.run >= LEAST_RETURN).then_some(seen.run);
        // A single packet that is too early for the present path is enough, if its round trip was too short as well. It may
        // have been late on the path before, by less than half of what that is shorter.
        let slack = |way: usize| (LATE * fit.scales[way]).max(0.5 * shorter);
        let is_shorter = is_early(fit, way) && is_round_trip_short(fit) && fit.rests[other] < slack(other);
        let fits = rest > -GATE * deviation && rest < slack(way);
        found.or((is_shorter && fits).then_some(1))
    }

    /// The run of late measurements of this way that is the least likely by chance, and the least of it.
    fn longer(&self, way: usize, evident: f64) -> Option<Longer> {
        self.likeliest_run(way, evident, |run, most| {
            let count = run.length as f64;
            // The jitter may have become larger as well.
            let jitter = (run.sum - count * run.least) / (count - 1.0);
            let evidence = count * run.latest / jitter.max(run.scale);
            (evidence > most).then_some((evidence, run.least))
        })
    }

    /// The same of the round trips. Their jitter is that of both ways, a sum: it is later than x mean excesses with a chance of
    /// (1 + x)e^−x. A way of which a packet was on time, or nearly, is not longer, and then neither are both. As the run was
    /// chosen among many, and its own jitter is little known, it must also be likelier by far than one of the same path with more
    /// jitter.
    fn longer_together(&self) -> Option<Longer> {
        self.likeliest_run(TRIP, EVIDENT, |run, most| {
            let count = run.length as f64;
            // What the least of them is late on the mean, in mean excesses of one way; all are by two.
            let lateness = libm::sqrt(core::f64::consts::FRAC_PI_2 / count);
            let jitter = ((run.sum / count - run.least) / (2.0 - lateness)).max(run.scale);
            let late = run.latest / jitter;
            let evidence = count * (late - libm::log1p(late));
            let is_late =
                |age: usize| [0, 1].iter().all(|way| self.aged(age, *way).rest > ON_TIME * run.least);
            let is_longer = evidence > most
                && (0..run.length).all(is_late)
                && self.preference(run.length, run.latest, jitter) > PREFERRED;
            is_longer.then_some((evidence, (run.least - lateness * jitter).max(run.latest)))
        })
    }

    /// Of the runs that end with the newest measurement, all of them late, the one with the most evidence beyond `evident`.
    /// `judge` gives the evidence of a run and by how much it is longer, if it is more than what was found so far.
    fn likeliest_run(
        &self,
        way: usize,
        evident: f64,
        judge: impl Fn(&Run, f64) -> Option<(f64, f64)>,
    ) -> Option<Longer> {
        let mut run = Run { length: 0, least: f64::INFINITY, latest: f64::INFINITY, sum: 0.0, scale: 0.0 };
        let (mut found, mut most) = (None, evident);
        for age in 0..self.counts[way] {
            let Rest { rest, late, scale } = self.aged(age, way);
            (run.least, run.latest, run.sum) = (run.least.min(rest), run.latest.min(late), run.sum + rest);
            (run.length, run.scale) = (age + 1, scale);
            if run.latest <= 0.0 {
                break;
            }
            if run.length < CONVINCED {
                continue;
            }
            if let Some((evidence, by)) = judge(&run, most) {
                most = evidence;
                found = Some(Longer { run: run.length, by });
            }
        }
        found
    }

    fn aged(&self, age: usize, way: usize) -> Rest {
        self.ring[(self.next + LONGEST_RUN - 1 - age) % LONGEST_RUN][way]
    }

    /// By how much likelier (a logarithm) the last `run` round trips are on a path that is longer by `late` with this jitter than on
    /// the present one with the jitter that fits them best.
    fn preference(&self, run: usize, late: f64, jitter: f64) -> f64 {
        let rests = || (0..run).map(|age| self.aged(age, TRIP).rest);
        let wide = 0.5 * rests().sum::<f64>() / run as f64;
        let of = |rest: f64| {
            let excess = (rest - late).max(0.1 * jitter);
            libm::log(excess / rest) - excess / jitter + rest / wide
        };
        rests().map(of).sum::<f64>() + 2.0 * run as f64 * libm::log(wide / jitter)
    }
}

/// Logarithm of the density of what a round trip is above its least, in scales: both ways have the same jitter, and it may be
/// a stray.
fn likelihood_of_trip(excess: f64, deviation: f64, scale: f64) -> f64 {
    // Below the least it falls as the edge is known.
    let above = excess.max(0.0).max(deviation) / scale;
    let below = (excess / deviation.max(LEAST_DEVIATION)).min(0.0);
    let log = libm::log(above) - above - 0.5 * below * below;
    either(log, STRAY)
}

/// Whether this way is earlier than possible.
fn is_early(fit: &Fit, way: usize) -> bool {
    -fit.rests[way] > GATE * fit.deviations[way]
}

/// Whether the round trip is shorter than possible, whatever the offset is.
fn is_round_trip_short(fit: &Fit) -> bool {
    fit.rests[0] + fit.rests[1] < -GATE * libm::hypot(fit.deviations[0], fit.deviations[1])
}

/// Logarithm of the density of a rest on a path, in scales; it may be a stray.
fn likelihood(rest: f64, deviation: f64, scale: f64) -> f64 {
    let deviation = deviation.max(LEAST_DEVIATION);
    let log = bounded_above(rest, deviation * deviation, scale).log + libm::log(scale);
    either(log, STRAY)
}

#[cfg(test)]
mod tests;
