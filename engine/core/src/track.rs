//! The time according to one source, and the verdict of the selection on it.
//!
//! All samples pass through [`Track::take`], and a track does not know their origin: whether a server answers, how often it
//! is queried and whether its answers are authenticated is decided before.

use crate::filter::{Estimate, Filter, Outcome};
use crate::guard::{Guard, TOLERANCE};
use crate::io::Now;
use crate::likely::Reach;
use crate::measurement::Times;
use crate::sample::Sample;
use crate::sanity::Facts;
use crate::select::{Claim, Standing, Verdict};
use ipc::units::{RawInstant, Span};

/// Hard bounds that are farther apart than this are explained by no stamp, however coarse; seconds.
const UNEXPLAINED: f64 = 1.0;

/// Hard bounds that part faster than this are explained by no jump of the oscillator's frequency, not even that of a
/// migration to another host; s/s.
const ANY_JUMP: f64 = 200e-6;

/// What hard bounds may be exceeded by, because all is rounded, nanoseconds.
const ROUNDED: f64 = 1e3;

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Track {
    pub(crate) filter: Filter,
    guard: Option<Guard>,
    /// That of the last sample alone.
    newest: Option<Guard>,
    /// From the last sample.
    pub(crate) facts: Option<Facts>,
    /// When the last sample came.
    last: Option<RawInstant>,
    /// Samples since it was asked afresh.
    pub(crate) fresh: u32,
    /// The last sample contradicts the earlier ones.
    pub(crate) contradicts: bool,
    pub(crate) standing: Option<Standing>,
    /// The hard bounds of a survivor's last sample, which contradicts its earlier ones, until a selection has decided.
    pub(crate) doubted: Option<Guard>,
    /// Consecutive selections in which its frequency differed from that of the others.
    pub(crate) strays: u8,
}

/// What a source claims at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Opinion {
    pub(crate) claim: Claim,
    /// Offset of the clock, seconds; positive: it is behind.
    pub(crate) offset: f64,
    /// The estimate of its filter for this instant.
    pub(crate) estimate: Estimate,
    /// Number of samples.
    pub(crate) samples: u32,
    /// When the last of them was taken.
    pub(crate) heard: RawInstant,
    pub(crate) guard: Option<Guard>,
    /// From the last sample.
    pub(crate) facts: Facts,
    /// Shortest recent round trip, seconds; 0 where samples are one-way.
    pub(crate) minimum_delay: f64,
    /// Half of the claim's width.
    pub(crate) distance: f64,
    /// What its measurements differ by, seconds.
    pub(crate) jitter: f64,
    /// Variance of its systematic error.
    pub(crate) systematic: f64,
    /// How far true time can be from the estimate; none: too little is known.
    pub(crate) reach: Option<Reach>,
}

impl Opinion {
    /// Whether its time may be used now.
    pub(crate) fn is_live(&self) -> bool {
        self.claim.middle.is_some()
    }

    /// It may be wrong by so many seconds more.
    pub(crate) fn widened(mut self, by: f64) -> Self {
        self.claim.low -= by;
        self.claim.high += by;
        self.distance += by;
        self.systematic += by * by;
        self.reach = self.reach.map(|reach| reach.widened(by));
        self
    }

    /// Whether its measurements differ by more than `most`.
    pub(crate) fn is_unsteady(&self, most: Option<Span>) -> bool {
        most.is_some_and(|most| self.jitter > most.nanos() as f64 * 1e-9)
    }

    /// Whether its root distance is larger than `most`.
    pub(crate) fn is_far(&self, most: Span) -> bool {
        self.distance > most.nanos() as f64 * 1e-9
    }
}

impl Track {
    pub(crate) fn new() -> Self {
        Self {
            filter: Filter::new(),
            guard: None,
            newest: None,
            facts: None,
            last: None,
            fresh: 0,
            contradicts: false,
            standing: None,
            doubted: None,
            strays: 0,
        }
    }

    /// Whether it has had a sample: then it has a vote.
    pub(crate) fn is_heard(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the last selection found it to be a survivor.
    pub(crate) fn survives(&self) -> bool {
        self.standing == Some(Standing::Survivor)
    }

    /// Whether the last selection found that it agrees, and left it out all the same.
    pub(crate) fn is_aside(&self) -> bool {
        matches!(self.standing, Some(Standing::Drifting | Standing::Probation))
    }

    /// Whether its last sample fits those before.
    pub(crate) fn is_sure(&self) -> bool {
        !self.filter.is_empty() && !self.filter.is_doubtful()
    }

    /// Takes a sample. `prior`: what is known of the frequency beforehand, with its standard deviation, s/s.
    pub(crate) fn take(&mut self, sample: &Sample, prior: (f64, f64), now: Now) -> Outcome {
        let Sample { measurement, facts } = sample;
        let root = facts.root_distance();
        self.filter.expect(prior.0, prior.1);
        let before = self.filter.estimate(now.raw);
        let newest = Guard::of(measurement, root);
        let (gap, elapsed) = self.gap(&newest, before.as_ref());
        let stood_still = self.filter.is_young() && gap.abs() > UNEXPLAINED;
        if stood_still {
            self.filter.forget_offset();
        }
        let outcome = match self.filter.take(measurement, gap.abs() > ANY_JUMP * elapsed) {
            _ if stood_still => Outcome::Restarted,
            outcome => outcome,
        };
        let (low, high) = newest.offsets(now.wall.nanos());
        self.newest = Some(newest);
        // Earlier and present hard bounds that exclude each other cannot be explained by noise.
        self.contradicts = outcome == Outcome::Doubtful
            && self.opinion(now, false).is_some_and(|old| old.claim.high < low || old.claim.low > high);
        match outcome {
            Outcome::Doubtful => {
                let survives = self.survives() || self.doubted.is_some();
                self.doubted = Some(newest).filter(|_| survives);
            }
            Outcome::Restarted => {
                self.guard = Some(newest);
                // It was compared as what it was before.
                self.standing = None;
            }
            Outcome::Used => {
                let aged = self.guard.zip(before).map(|(guard, estimate)| {
                    let elapsed = newest.at().since(guard.at()).nanos() as f64 * 1e-9;
                    guard.aged(newest.at(), estimate.frequency, estimate.frequency_deviation(elapsed))
                });
                self.guard = Some(aged.map_or(newest, |guard| guard.cut(&newest).0));
            }
        }
        self.facts = Some(*facts);
        // In interleaved mode an interval ago.
        self.last = Some(measurement.received);
        self.fresh = self.fresh.saturating_add(1);
        outcome
    }

    /// Whether the time at which a query reached its server, `t2`, fits what the source said before, as far as an exchange tells that
    /// without the departure of its reply. `correction`: what is added to its offsets, nanoseconds.
    pub(crate) fn fits(&self, times: &Times, correction: i64) -> bool {
        let Some(estimate) = self.filter.estimate(times.t4) else { return true };
        let offset = estimate.base as f64 + estimate.rest * 1e9 - correction as f64;
        let [low, high] = [times.received, times.sent].map(|at| times.t2.saturating_sub(at.nanos()) as f64);
        (low - ROUNDED..=high + ROUNDED).contains(&offset)
    }

    /// How far the newest hard bounds are from the earlier ones, seconds, positive where they are ahead; and how long ago
    /// these were. The counter stood still, or the server's clock was set.
    fn gap(&self, newest: &Guard, before: Option<&Estimate>) -> (f64, f64) {
        let Some((guard, estimate)) = self.guard.zip(before) else { return (0.0, 0.0) };
        let elapsed = newest.at().since(guard.at()).nanos().max(0) as f64 * 1e-9;
        let aged = guard.aged(newest.at(), estimate.frequency, estimate.frequency_deviation(elapsed));
        (aged.gap(newest), elapsed)
    }

    /// Whether its last sample contradicts the earlier ones as if the counter had stood still.
    pub(crate) fn seems_to_have_stood_still(&self, now: Now) -> bool {
        let Some((newest, estimate)) = self.newest.zip(self.filter.estimate(now.raw)) else { return false };
        let (gap, elapsed) = self.gap(&newest, Some(&estimate));
        self.doubted.is_some() && gap > ANY_JUMP * elapsed
    }

    /// Whether its last sample is newer than `since`, and fits those before.
    pub(crate) fn is_confirmed_after(&self, since: RawInstant) -> bool {
        self.is_sure() && self.last.is_some_and(|last| last > since)
    }

    /// Its claim now; none: it has had no sample. `live`: its time may be used.
    pub(crate) fn opinion(&self, now: Now, live: bool) -> Option<Opinion> {
        let estimate = self.filter.estimate(now.raw)?;
        let facts = self.facts?;
        let heard = self.last?;
        let age = now.raw.since(heard).nanos().max(0) as f64 * 1e-9;
        let offset = estimate.offset_of(now.wall.nanos());
        let minimum_delay = self.filter.minimum_delay().unwrap_or(0.0);
        let half = (facts.root_delay + minimum_delay) / 2.0;
        let path = half + facts.root_dispersion;
        let distance = path + TOLERANCE * age + self.filter.jitter() + 3.0 * libm::sqrt(estimate.variance);
        Some(Opinion {
            claim: Claim { low: offset - distance, middle: live.then_some(offset), high: offset + distance },
            offset,
            estimate,
            samples: self.filter.samples(),
            heard,
            guard: self.guard,
            facts,
            minimum_delay,
            jitter: self.filter.jitter(),
            distance,
            // The asymmetry of a path seldom exceeds an eighth of its maximum.
            systematic: (path / 8.0) * (path / 8.0),
            reach: self.filter.is_convinced().then(|| {
                let reach = Reach::of(&estimate, age, facts.root_dispersion);
                reach.by_asymmetry(half, self.filter.excess())
            }),
        })
    }

    /// The offset according to the last sample alone, seconds; 0 without one.
    pub(crate) fn newest_offset(&self, now: Now) -> f64 {
        let (Some(newest), Some(estimate)) = (self.newest, self.filter.estimate(now.raw)) else { return 0.0 };
        let (low, high) = newest.aged(now.raw, estimate.frequency, 0.0).offsets(now.wall.nanos());
        (low + high) / 2.0
    }

    /// Takes the verdict of a selection; none: it did not take part, and its standing is `otherwise`.
    pub(crate) fn stand(&mut self, verdict: Option<&Verdict>, otherwise: Option<Standing>) {
        self.standing = verdict.map(|verdict| verdict.standing).or(otherwise);
        self.strays = verdict.map_or(self.strays, |verdict| verdict.strays);
    }

    /// Drops everything that depends on a counter that did not stand still (the host was suspended).
    pub(crate) fn forget_time(&mut self) {
        self.filter.forget_offset();
        self.guard = None;
        self.newest = None;
        self.doubted = None;
        self.contradicts = false;
    }

    /// UTC itself moved by `nanos` (a leap second).
    pub(crate) fn shift(&mut self, nanos: i64) {
        self.filter.shift(nanos);
        for guard in [&mut self.guard, &mut self.newest, &mut self.doubted].into_iter().flatten() {
            guard.shift(nanos);
        }
    }
}

#[cfg(test)]
mod tests;
