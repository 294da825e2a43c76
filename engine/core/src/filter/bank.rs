//! The bank: one filter for each pair of hypotheses (of the oscillator, of the network), weighted by likelihood.
//!
//! Each filter ([`super::belief`]) estimates offset, frequency, and the minimum delay of each direction. A measurement gives two bounds
//! ([`super::edge`]): the delay of each direction cannot be below its minimum. This uses all the information of a sample: a
//! packet that was delayed in one direction is still useful in the other, jitter in one direction causes no error, and the
//! fastest packets count most.

use super::Estimate;
use super::belief::{Belief, Bounds, LAWS, Law, Matrix, STATES, Vector};
use crate::measurement::Measurement;
use alloc::boxed::Box;
use ipc::units::RawInstant;

/// Wander of the oscillator's frequency, s/s/√s, half a decade apart.
const WANDERS: [f64; 11] = [1e-11, 3.2e-11, 1e-10, 3.2e-10, 1e-9, 3.2e-9, 1e-8, 3.2e-8, 1e-7, 3.2e-7, 1e-6];

const SIZE: usize = WANDERS.len() * LAWS.len();

/// The least weight of a hypothesis: none is ever excluded for good.
const LEAST_WEIGHT: f64 = 1e-6;

/// A hypothesis below this weight is ruled out in upper estimates.
const LIKELY: f64 = 1e-3;

/// About this many samples of jitter are averaged; the first one is a guess with this weight.
const JITTER_MEMORY: f64 = 200.0;
const GUESS_WORTH: f64 = 1.5;

/// How far a frequency may have jumped, s/s, in turn over the wanders; and how far the offset may be off
/// because the jump is noticed late, in scales.
const JUMPS: [f64; 3] = [0.5e-6, 3e-6, 20e-6];
const OFF: f64 = 1.0;

/// So many measurements make a path known.
const NEW: u32 = 8;

/// A path that a way had for fewer measurements than this is not remembered.
const ESTABLISHED: u32 = 16;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bank {
    at: RawInstant,
    /// The last measurement that was used.
    fitted: RawInstant,
    base: i64,
    /// Half of the round trip that it began with, seconds: the shortest times are counted from here.
    half: f64,
    learnt: f64,
    /// What the jitter of each way is, as a share of their mean, where they are apart and it is not learnt yet.
    leaning: [f64; 2],
    /// For how many measurements each way has had its path.
    ages: [u32; 2],
    /// Whether each way had another one before, which is remembered.
    remembered: [bool; 2],
    beliefs: Box<[Belief; SIZE]>,
}

/// How a measurement agrees with the prediction. Seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// The delay of each direction above its minimum; negative: below it.
    pub(super) rests: [f64; 2],
    /// Standard deviations of these.
    pub(super) deviations: [f64; 2],
    /// And of their sum, which does not depend on the offset.
    pub(super) trip_deviation: f64,
    /// Mean residuals so far.
    pub(super) scales: [f64; 2],
    /// Residual and deviation, had each direction the path again that it had before; `None`: none is remembered.
    pub(super) before: [Option<(f64, f64)>; 2],
}

impl Bank {
    /// Heap memory of the filters, in octets.
    #[cfg(test)]
    pub(super) const SIZE: usize = core::mem::size_of::<[Belief; SIZE]>();

    /// Starts from one measurement and a prior (mean, standard deviation) of the frequency.
    pub(super) fn new(measurement: &Measurement, prior: (f64, f64)) -> Self {
        // A single delay tells nothing of the jitter: a fortieth of it then. Without a round trip its noise says all.
        Self::again(measurement.at, measurement, prior, measurement.delay / 40.0, [1.0; 2])
    }

    /// Starts at `at` from what a later measurement says, where `jitter` is known.
    pub(super) fn again(
        at: RawInstant,
        measurement: &Measurement,
        prior: (f64, f64),
        jitter: f64,
        leaning: [f64; 2],
    ) -> Self {
        let guess = jitter + 1e-6 + measurement.noise;
        let since = measurement.at.since(at).nanos() as f64 * 1e-9;
        let beliefs = core::array::from_fn(|index| {
            let mut covariance = [[0.0; STATES]; STATES];
            covariance[1][1] = prior.1 * prior.1;
            covariance[0][1] = -since * covariance[1][1];
            covariance[1][0] = covariance[0][1];
            covariance[0][0] =
                guess * guess + measurement.noise * measurement.noise + since * since * covariance[1][1];
            for (i, j) in [(2, 2), (2, 3), (3, 2), (3, 3)] {
                covariance[i][j] = 9.0 * guess * guess;
            }
            let law = LAWS[index % LAWS.len()];
            Belief {
                wander: WANDERS[index / LAWS.len()],
                law,
                weight: 1.0 / SIZE as f64,
                state: [-since * prior.0, prior.0, -2.0 * guess, -2.0 * guess, 0.0, 0.0],
                covariance,
                scales: law.shares(leaning).map(|share| share * guess),
            }
        });
        Self {
            at,
            fitted: at,
            base: measurement.offset,
            half: measurement.delay / 2.0,
            learnt: GUESS_WORTH,
            leaning,
            ages: [0; 2],
            remembered: [false; 2],
            beliefs: Box::new(beliefs),
        }
    }

    pub(super) fn at(&self) -> RawInstant {
        self.at
    }

    /// Predicts up to `at`; replies of one burst may come out of order, then nothing is predicted.
    pub(super) fn advance(&mut self, at: RawInstant) {
        let ahead = at.since(self.at).nanos();
        if ahead > 0 {
            for belief in self.beliefs.iter_mut() {
                (belief.state, belief.covariance) = belief.predict(ahead as f64 * 1e-9);
            }
            self.at = at;
        }
    }

    fn bounds(&self, measurement: &Measurement) -> Bounds {
        let offset = (i128::from(measurement.offset) - i128::from(self.base)) as f64 * 1e-9;
        let half = measurement.delay / 2.0 - self.half;
        Bounds { upper: offset + half, lower: offset - half, noise: measurement.noise }
    }

    pub(super) fn fit(&self, measurement: &Measurement) -> Fit {
        let bounds = self.bounds(measurement);
        let mut fit = Fit {
            rests: [0.0; 2],
            deviations: [0.0; 2],
            trip_deviation: 0.0,
            scales: [0.0; 2],
            before: [None; 2],
        };
        let (mut squares, mut trip, mut before) = ([0.0; 2], 0.0, [(0.0, 0.0); 2]);
        for belief in self.beliefs.iter() {
            let (rests, variances) = (belief.rests(&bounds), belief.variances(bounds.noise));
            let together = rests[0] + rests[1];
            trip += belief.weight * (belief.trip_variance(bounds.noise) + together * together);
            let (longer, variances_before) = (belief.before(), belief.variances_before(bounds.noise));
            for way in 0..2 {
                fit.rests[way] += belief.weight * rests[way];
                squares[way] += belief.weight * (variances[way] + rests[way] * rests[way]);
                fit.scales[way] += belief.weight * belief.scales[way];
                let rest = rests[way] - longer[way];
                before[way].0 += belief.weight * rest;
                before[way].1 += belief.weight * (variances_before[way] + rest * rest);
            }
        }
        let together = fit.rests[0] + fit.rests[1];
        // Without a round trip there is nothing to say of it.
        fit.trip_deviation = match measurement.is_one_way() {
            true => f64::INFINITY,
            false => libm::sqrt((trip - together * together).max(0.0)),
        };
        for way in 0..2 {
            fit.deviations[way] = libm::sqrt((squares[way] - fit.rests[way] * fit.rests[way]).max(0.0));
            let (rest, square) = before[way];
            fit.before[way] =
                self.remembered[way].then(|| (rest, libm::sqrt((square - rest * rest).max(0.0))));
        }
        fit
    }

    /// Learns; returns the log of the measurement's likelihood under all hypotheses before it.
    pub(super) fn learn(&mut self, measurement: &Measurement, jitter: f64) -> f64 {
        let bounds = self.bounds(measurement);
        self.fitted = measurement.at;
        self.learnt = (self.learnt + 1.0).min(JITTER_MEMORY);
        self.ages = self.ages.map(|age| age.saturating_add(1));
        let mut logs = [0.0; SIZE];
        for (log, belief) in logs.iter_mut().zip(self.beliefs.iter_mut()) {
            *log = libm::log(belief.weight) + belief.learn(&bounds, self.learnt, jitter, self.leaning);
        }
        let best = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| libm::exp(log - best)).sum();
        for (log, belief) in logs.iter().zip(self.beliefs.iter_mut()) {
            belief.weight = (libm::exp(log - best) / sum).max(LEAST_WEIGHT);
        }
        let total: f64 = self.beliefs.iter().map(|belief| belief.weight).sum();
        self.beliefs.iter_mut().for_each(|belief| belief.weight /= total);
        self.revive();
        best + libm::log(sum)
    }

    /// The same bank, had the oscillator's frequency jumped after the last measurement that was learnt from.
    pub(super) fn had_it_jumped(&self) -> Self {
        let mut bank = self.clone();
        bank.suppose_a_jump();
        bank
    }

    /// Becomes that of `other`, without an allocation.
    pub(super) fn follow_a_jump_of(&mut self, other: &Self) {
        *self.beliefs = *other.beliefs;
        (self.at, self.fitted, self.base) = (other.at, other.fitted, other.base);
        (self.half, self.learnt, self.leaning) = (other.half, other.learnt, other.leaning);
        (self.ages, self.remembered) = (other.ages, other.remembered);
        self.suppose_a_jump();
    }

    fn suppose_a_jump(&mut self) {
        let elapsed = self.at.since(self.fitted).nanos().max(0) as f64 * 1e-9;
        for (index, belief) in self.beliefs.iter_mut().enumerate() {
            let jump = JUMPS[index / LAWS.len() % JUMPS.len()];
            let scale = OFF * 0.5 * (belief.scales[0] + belief.scales[1]);
            let square = jump * jump;
            belief.covariance[0][0] += scale * scale + square * elapsed * elapsed;
            belief.covariance[0][1] += square * elapsed;
            belief.covariance[1][0] += square * elapsed;
            belief.covariance[1][1] += square;
        }
    }

    /// A filter that no other agrees with has diverged; it is reset to what the others know, so that it
    /// is ready when the data turn towards it.
    fn revive(&mut self) {
        let (state, covariance) = self.moments(0.0);
        let mut scales = [0.0; 2];
        for belief in self.beliefs.iter() {
            scales[0] += belief.weight * belief.scales[0];
            scales[1] += belief.weight * belief.scales[1];
        }
        for belief in self.beliefs.iter_mut().filter(|belief| belief.weight < 2.0 * LEAST_WEIGHT) {
            belief.state = state;
            belief.covariance = covariance;
            belief.scales = match belief.law {
                Law::Apart => scales,
                Law::Alike | Law::Soft => [0.5 * (scales[0] + scales[1]); 2],
            };
        }
    }

    /// Mean and covariance of the mixture, `ahead` seconds from now.
    fn moments(&self, ahead: f64) -> (Vector, Matrix) {
        let mut mean = [0.0; STATES];
        for belief in self.beliefs.iter() {
            for i in 0..STATES {
                mean[i] += belief.weight * belief.state[i];
            }
            mean[0] += belief.weight * belief.state[1] * ahead;
        }
        let mut covariance = [[0.0; STATES]; STATES];
        for belief in self.beliefs.iter() {
            let (state, own) = belief.predict(ahead);
            for i in 0..STATES {
                for j in 0..STATES {
                    covariance[i][j] +=
                        belief.weight * (own[i][j] + (state[i] - mean[i]) * (state[j] - mean[j]));
                }
            }
        }
        (mean, covariance)
    }

    /// Starts again at the measurement: it may be that the server was stepped or that the oscillator
    /// changed, so offset and frequency are both opened as far as the surprise can explain.
    pub(super) fn doubt(&mut self, residual: f64, measurement: &Measurement) {
        let offset = (i128::from(measurement.offset) - i128::from(self.base)) as f64 * 1e-9;
        // The change came since the last measurement that fitted.
        let elapsed = measurement.at.since(self.fitted).nanos() as f64 * 1e-9;
        let frequency = (residual / elapsed.max(16.0)).clamp(-20e-6, 20e-6);
        for belief in self.beliefs.iter_mut() {
            let excess = (measurement.delay - 2.0 * self.half - belief.state[2] - belief.state[3]).max(0.0);
            belief.state[0] = offset + 0.5 * (belief.state[3] - belief.state[2]);
            let wide = excess + belief.scales[0] + belief.scales[1];
            let p = &mut belief.covariance;
            for i in 0..STATES {
                for j in 0..STATES {
                    if i != j && (i < 2 || j < 2) {
                        p[i][j] = 0.0;
                    }
                }
            }
            p[0][0] = wide * wide / 4.0 + measurement.noise * measurement.noise;
            p[1][1] += frequency * frequency;
        }
        self.fitted = measurement.at;
    }

    /// The path of one way (0: there, 1: back) became longer or shorter; the offset stays where it was
    /// predicted, and the other way holds it there.
    pub(super) fn reroute(&mut self, way: usize, longer: f64) {
        let remembered = self.ages[way] >= ESTABLISHED;
        for belief in self.beliefs.iter_mut() {
            belief.reroute(way, longer, remembered);
        }
        self.remembered[way] |= remembered;
        self.ages[way] = 0;
    }

    /// The path became longer by so much in all; how much of it each way is not known.
    pub(super) fn reroute_together(&mut self, longer: f64) {
        let remembered = self.ages.map(|age| age >= ESTABLISHED);
        for belief in self.beliefs.iter_mut() {
            belief.reroute_together(longer, remembered);
        }
        for way in 0..2 {
            self.remembered[way] |= remembered[way];
        }
        self.ages = [0; 2];
    }

    /// Whether both ways got another path so lately that nothing holds the offset: no measurement is evidence against the
    /// oscillator then.
    pub(super) fn has_a_new_path(&self) -> bool {
        (0..2).all(|way| self.remembered[way] && self.ages[way] < NEW)
    }

    /// This way has the path again that it had before.
    pub(super) fn restore(&mut self, way: usize) {
        for belief in self.beliefs.iter_mut() {
            belief.swap(way);
        }
        self.ages[way] = ESTABLISHED;
    }

    pub(super) fn shift(&mut self, nanos: i64) {
        self.base = self.base.saturating_add(nanos);
    }

    pub(super) fn estimate(&self, at: RawInstant) -> Estimate {
        let ahead = at.since(self.at).nanos().max(0) as f64 * 1e-9;
        let (state, covariance) = self.moments(ahead);
        let wander: f64 = self.beliefs.iter().map(|belief| belief.weight * libm::log(belief.wander)).sum();
        let likely = self.beliefs.iter().filter(|belief| belief.weight > LIKELY);
        let most_wander = likely.map(|belief| belief.wander).fold(0.0, f64::max);
        Estimate {
            at,
            base: self.base,
            rest: state[0],
            variance: covariance[0][0],
            frequency: state[1],
            frequency_variance: covariance[1][1],
            covariance: covariance[0][1],
            wander: libm::exp(wander),
            most_wander,
            beforehand: 0.0,
        }
    }
}
