//! The bank: one filter for each pair of hypotheses (of the oscillator, of the network), weighted by likelihood.
//!
//! Each filter has four states: offset, frequency, and the minimum delay of each direction. A measurement gives two bounds
//! ([`super::edge`]): the delay of each direction cannot be below its minimum. This uses all the information of a sample: a
//! packet that was delayed in one direction is still useful in the other, jitter in one direction causes no error, and the
//! fastest packets count most.

use super::Estimate;
use super::edge::bounded_above;
use crate::measurement::Measurement;
use alloc::boxed::Box;
use ipc::units::RawInstant;

/// Wander of the oscillator's frequency, s/s/√s, half a decade apart.
const WANDERS: [f64; 11] = [1e-11, 3.2e-11, 1e-10, 3.2e-10, 1e-9, 3.2e-9, 1e-8, 3.2e-8, 1e-7, 3.2e-7, 1e-6];

/// The models of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Law {
    /// Both directions alike.
    Alike,
    /// Each direction has its own jitter.
    Apart,
    /// Both directions alike, and the minimum delay is not sharp.
    Soft,
}

const LAWS: [Law; 3] = [Law::Alike, Law::Apart, Law::Soft];

impl Law {
    fn shares(self, leaning: [f64; 2]) -> [f64; 2] {
        if self == Self::Apart { leaning } else { [1.0; 2] }
    }
}

const SIZE: usize = WANDERS.len() * LAWS.len();

/// The least weight of a hypothesis: none is ever excluded for good.
const LEAST_WEIGHT: f64 = 1e-6;

/// A hypothesis below this weight is ruled out in upper estimates.
const LIKELY: f64 = 1e-3;

/// How soft the edge is under [`Law::Soft`], in scales.
const SOFTNESS: f64 = 0.5;

/// Logarithm of the density of strays of one way, in scales: a hundredth, spread over a hundred.
const STRAY: f64 = -9.210_340_371_976_182;

/// About this many samples of jitter are averaged; the first one is a guess with this weight.
const JITTER_MEMORY: f64 = 200.0;
const GUESS_WORTH: f64 = 1.5;

/// With fewer samples than this, the jitter is estimated from the round trips.
const TRUSTED: f64 = 10.0;

/// A residual longer than this many scales counts as this many: a tail is not jitter.
const LONGEST_REST: f64 = 4.0;

/// How well an edge can be known at best, in scales by number of samples.
const EDGE: f64 = 1.0;

/// No jitter is taken to be less than this, seconds.
const LEAST_SCALE: f64 = 50e-9;

/// How far a frequency may have jumped, s/s, in turn over the wanders; and how far the offset may be off
/// because the jump is noticed late, in scales.
const JUMPS: [f64; 3] = [0.5e-6, 3e-6, 20e-6];
const OFF: f64 = 1.0;

/// How the shortest times change by themselves, in scales for each √s.
const PATH_WANDER: f64 = 5e-4;

const STATES: usize = 4;
type Vector = [f64; STATES];
type Matrix = [Vector; STATES];

/// Offset plus the time there, offset minus the time back: what the two bounds are about.
const THERE: Vector = [1.0, 0.0, 1.0, 0.0];
const BACK: Vector = [1.0, 0.0, 0.0, -1.0];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Belief {
    wander: f64,
    law: Law,
    weight: f64,
    state: Vector,
    covariance: Matrix,
    /// Mean residual of each direction, in seconds.
    scales: [f64; 2],
}

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
    beliefs: Box<[Belief; SIZE]>,
}

/// How a measurement agrees with the prediction. Seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// The delay of each direction above its minimum; negative: below it.
    pub(super) rests: [f64; 2],
    /// Standard deviations of these.
    pub(super) deviations: [f64; 2],
    /// Mean residuals so far.
    pub(super) scales: [f64; 2],
}

/// Measured, relative to the bank's base and half.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    upper: f64,
    lower: f64,
    noise: f64,
}

fn dot(p: &Matrix, h: &Vector) -> (Vector, f64) {
    let mut cross = [0.0; STATES];
    for i in 0..STATES {
        for j in 0..STATES {
            cross[i] += p[i][j] * h[j];
        }
    }
    let variance = (0..STATES).map(|i| h[i] * cross[i]).sum();
    (cross, variance)
}

impl Belief {
    fn predict(&self, ahead: f64) -> (Vector, Matrix) {
        let mut state = self.state;
        state[0] += state[1] * ahead;
        let mut p = self.covariance;
        p[0][0] += ahead * (2.0 * p[0][1] + ahead * p[1][1]);
        p[0][1] += ahead * p[1][1];
        p[0][2] += ahead * p[1][2];
        p[0][3] += ahead * p[1][3];
        let q = self.wander * self.wander * ahead.max(0.0);
        p[0][0] += q * ahead * ahead / 3.0;
        p[0][1] += q * ahead / 2.0;
        p[1][1] += q;
        // Both ways change together here: what changes one of them alone is a change of path.
        let scale = 0.5 * (self.scales[0] + self.scales[1]) * PATH_WANDER;
        let drift = scale * scale * ahead.max(0.0);
        p[2][2] += drift;
        p[2][3] += drift;
        p[3][3] += drift;
        for i in 1..STATES {
            for j in 0..i {
                p[i][j] = p[j][i];
            }
        }
        (state, p)
    }

    fn softness(&self, noise: f64) -> f64 {
        match self.law {
            Law::Soft => libm::hypot(noise, SOFTNESS * 0.5 * (self.scales[0] + self.scales[1])),
            Law::Alike | Law::Apart => noise,
        }
    }

    fn rests(&self, bounds: &Bounds) -> [f64; 2] {
        [bounds.upper - self.state[0] - self.state[2], self.state[0] - self.state[3] - bounds.lower]
    }

    /// Standard deviations of the residuals' edges.
    fn variances(&self, noise: f64) -> [f64; 2] {
        let soft = self.softness(noise);
        [THERE, BACK].map(|h| dot(&self.covariance, &h).1.max(0.0) + soft * soft)
    }

    /// Learns one bound: `h`·state lies below (`sign` 1) or above (−1) it, at a mean distance of `scale`.
    fn learn_bound(&mut self, h: &Vector, rest: f64, sign: f64, scale: f64, noise: f64) -> f64 {
        let (cross, variance) = dot(&self.covariance, h);
        let variance = variance.max(0.0) + noise * noise + 1e-24;
        let lesson = bounded_above(rest, variance, scale);
        let shrunk = (lesson.left - 1.0) / variance;
        for i in 0..STATES {
            self.state[i] += cross[i] / variance * lesson.shift * sign;
            for j in 0..STATES {
                self.covariance[i][j] += cross[i] * cross[j] * shrunk;
            }
        }
        lesson.log
    }

    /// What was learnt counts with this share only; with the rest, it is as it was `before`.
    fn keep(&mut self, before: (Vector, Matrix), share: f64) {
        for i in 0..STATES {
            for j in 0..STATES {
                let moved = (self.state[i] - before.0[i]) * (self.state[j] - before.0[j]);
                self.covariance[i][j] = share * self.covariance[i][j]
                    + (1.0 - share) * before.1[i][j]
                    + share * (1.0 - share) * moved;
            }
            // What rounding takes away, a variance may not lose.
            self.covariance[i][i] = self.covariance[i][i].max(before.1[i][i] * 1e-12);
        }
        for (state, before) in self.state.iter_mut().zip(before.0) {
            *state = before + share * (*state - before);
        }
    }

    /// Learns both; returns the log of the likelihood. `memory`: how many samples the jitter is the mean of;
    /// `jitter`: what the round trips say it is; `leaning`: each way's share of it.
    fn learn(&mut self, bounds: &Bounds, memory: f64, jitter: f64, leaning: [f64; 2]) -> f64 {
        let before = (self.state, self.covariance);
        let noise = self.softness(bounds.noise);
        // The bound that says more comes first: a Gaussian keeps more of it.
        let rests = self.rests(bounds);
        let order = if rests[0] / self.scales[0] < rests[1] / self.scales[1] { [0, 1] } else { [1, 0] };
        let mut log = 0.0;
        for way in order {
            let rest = self.rests(bounds)[way];
            let (h, sign) = if way == 0 { (&THERE, 1.0) } else { (&BACK, -1.0) };
            log += self.learn_bound(h, rest, sign, self.scales[way], noise);
        }
        // The packet may also be an outlier that carries no information.
        let stray = 2.0 * STRAY - libm::log(self.scales[0]) - libm::log(self.scales[1]);
        self.keep(before, 1.0 / (1.0 + libm::exp((stray - log).clamp(-700.0, 700.0))));
        let log = log.max(stray) + libm::log1p(libm::exp(-(log - stray).abs()));
        let rests = self.rests(bounds);
        for (scale, rest) in self.scales.iter_mut().zip(rests) {
            let rest = rest.clamp(-LONGEST_REST * *scale, LONGEST_REST * *scale);
            *scale += (rest - *scale) / memory;
        }
        // Estimates from round trips do not depend on the offset, so they cannot diverge together with it.
        let [least, most] = if self.law == Law::Apart { [0.01, 2.2] } else { [0.5, 2.0] };
        for (scale, share) in self.scales.iter_mut().zip(self.law.shares(leaning)) {
            *scale =
                if memory < TRUSTED { share * jitter } else { scale.clamp(least * jitter, most * jitter) };
            *scale = scale.max(LEAST_SCALE);
        }
        // The least of n exponential rests is a scale / n above nothing: no edge is known better.
        let least = EDGE * self.scales[0].min(self.scales[1]) / memory;
        let lacking = (least * least - self.covariance[2][2].min(self.covariance[3][3])).max(0.0);
        for (i, j) in [(2, 2), (2, 3), (3, 2), (3, 3)] {
            self.covariance[i][j] += lacking;
        }
        if self.law != Law::Apart {
            self.scales = [0.5 * (self.scales[0] + self.scales[1]); 2];
        }
        log
    }
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
                state: [-since * prior.0, prior.0, -2.0 * guess, -2.0 * guess],
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
        let mut fit = Fit { rests: [0.0; 2], deviations: [0.0; 2], scales: [0.0; 2] };
        let mut squares = [0.0; 2];
        for belief in self.beliefs.iter() {
            let (rests, variances) = (belief.rests(&bounds), belief.variances(bounds.noise));
            for way in 0..2 {
                fit.rests[way] += belief.weight * rests[way];
                squares[way] += belief.weight * (variances[way] + rests[way] * rests[way]);
                fit.scales[way] += belief.weight * belief.scales[way];
            }
        }
        for way in 0..2 {
            fit.deviations[way] = libm::sqrt((squares[way] - fit.rests[way] * fit.rests[way]).max(0.0));
        }
        fit
    }

    /// Learns; returns the log of the measurement's likelihood under all hypotheses before it.
    pub(super) fn learn(&mut self, measurement: &Measurement, jitter: f64) -> f64 {
        let bounds = self.bounds(measurement);
        self.fitted = measurement.at;
        self.learnt = (self.learnt + 1.0).min(JITTER_MEMORY);
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
        let state = 2 + way;
        for belief in self.beliefs.iter_mut() {
            belief.state[state] += longer;
            for other in 0..STATES {
                belief.covariance[state][other] = 0.0;
                belief.covariance[other][state] = 0.0;
            }
            let open = belief.scales[way] + 0.1 * longer.abs();
            belief.covariance[state][state] = open * open;
        }
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
