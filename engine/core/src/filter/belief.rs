//! One filter: what one pair of hypotheses (of the oscillator, of the network) makes of the measurements.
//!
//! Its states are offset, frequency, the minimum delay of each direction, and that of the path which each direction had before
//! its last change. No measurement is about the latter, but its covariance with the other three is kept: if the route changes
//! back, what was known of the offset by that path is known again, however the estimate has moved meanwhile.

use super::edge::bounded_above;

/// The models of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Law {
    /// Both directions alike.
    Alike,
    /// Each direction has its own jitter.
    Apart,
    /// Both directions alike, and the minimum delay is not sharp.
    Soft,
}

pub(super) const LAWS: [Law; 3] = [Law::Alike, Law::Apart, Law::Soft];

impl Law {
    pub(super) fn shares(self, leaning: [f64; 2]) -> [f64; 2] {
        if self == Self::Apart { leaning } else { [1.0; 2] }
    }
}

/// How soft the edge is under [`Law::Soft`], in scales.
const SOFTNESS: f64 = 0.5;

/// Logarithm of the density of strays of one way, in scales: a hundredth, spread over a hundred.
pub(super) const STRAY: f64 = -9.210_340_371_976_182;

/// The logarithm of the sum of two densities, of which these are the logarithms.
pub(super) fn either(one: f64, other: f64) -> f64 {
    one.max(other) + libm::log1p(libm::exp(-(one - other).abs()))
}

/// With fewer samples than this, the jitter is estimated from the round trips.
const TRUSTED: f64 = 10.0;

/// A residual longer than this many scales counts as this many: a tail is not jitter.
const LONGEST_REST: f64 = 4.0;

/// How well an edge can be known at best, in scales by number of samples.
const EDGE: f64 = 1.0;

/// No jitter is taken to be less than this, seconds.
const LEAST_SCALE: f64 = 50e-9;

/// How the shortest times change by themselves, in scales for each √s.
const PATH_WANDER: f64 = 5e-4;

/// Offset, frequency, minimum delay there and back, and the same of the paths before.
pub(super) const STATES: usize = 6;
pub(super) type Vector = [f64; STATES];
pub(super) type Matrix = [Vector; STATES];

/// Those that are delays.
const DELAYS: core::ops::Range<usize> = 2..STATES;

/// Offset plus the time there, offset minus the time back: what the two bounds are about.
const THERE: Vector = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
const BACK: Vector = [1.0, 0.0, 0.0, -1.0, 0.0, 0.0];

/// The round trip, which no offset changes.
const TRIP: Vector = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0];

/// What is known of how much one way has of a path that became longer: a half, with the deviation of one of nothing, half, and
/// all.
const SHARE: f64 = 0.41;

/// The same, had each direction the path before.
const THERE_BEFORE: Vector = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
const BACK_BEFORE: Vector = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Belief {
    pub(super) wander: f64,
    pub(super) law: Law,
    pub(super) weight: f64,
    pub(super) state: Vector,
    pub(super) covariance: Matrix,
    /// Mean residual of each direction, in seconds.
    pub(super) scales: [f64; 2],
}

/// Measured, relative to the bank's base and half.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) upper: f64,
    pub(super) lower: f64,
    pub(super) noise: f64,
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
    pub(super) fn predict(&self, ahead: f64) -> (Vector, Matrix) {
        let mut state = self.state;
        state[0] += state[1] * ahead;
        let mut p = self.covariance;
        p[0][0] += ahead * (2.0 * p[0][1] + ahead * p[1][1]);
        p[0][1] += ahead * p[1][1];
        for way in DELAYS {
            p[0][way] += ahead * p[1][way];
        }
        let q = self.wander * self.wander * ahead.max(0.0);
        p[0][0] += q * ahead * ahead / 3.0;
        p[0][1] += q * ahead / 2.0;
        p[1][1] += q;
        // Both ways change together here: what changes one of them alone is a change of path.
        let scale = 0.5 * (self.scales[0] + self.scales[1]) * PATH_WANDER;
        let drift = scale * scale * ahead.max(0.0);
        for i in DELAYS {
            for j in i..STATES {
                p[i][j] += drift;
            }
        }
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

    pub(super) fn rests(&self, bounds: &Bounds) -> [f64; 2] {
        [bounds.upper - self.state[0] - self.state[2], self.state[0] - self.state[3] - bounds.lower]
    }

    /// Standard deviations of the residuals' edges.
    pub(super) fn variances(&self, noise: f64) -> [f64; 2] {
        let soft = self.softness(noise);
        [THERE, BACK].map(|h| dot(&self.covariance, &h).1.max(0.0) + soft * soft)
    }

    /// Variance of the sum of both residuals' edges.
    pub(super) fn trip_variance(&self, noise: f64) -> f64 {
        let soft = self.softness(noise);
        dot(&self.covariance, &TRIP).1.max(0.0) + 2.0 * soft * soft
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
    pub(super) fn learn(&mut self, bounds: &Bounds, memory: f64, jitter: f64, leaning: [f64; 2]) -> f64 {
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
        let log = either(log, stray);
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
        for i in DELAYS {
            for j in DELAYS {
                self.covariance[i][j] += lacking;
            }
        }
        if self.law != Law::Apart {
            self.scales = [0.5 * (self.scales[0] + self.scales[1]); 2];
        }
        log
    }

    /// The path of this way (0: there, 1: back) became longer or shorter; the offset stays where it was predicted, and the other
    /// way holds it there. `remembered`: what is known of the path that it had takes the place of the one before.
    pub(super) fn reroute(&mut self, way: usize, longer: f64, remembered: bool) {
        let state = 2 + way;
        let delay = self.state[state];
        if remembered {
            self.swap(way);
        }
        self.state[state] = delay + longer;
        for other in 0..STATES {
            self.covariance[state][other] = 0.0;
            self.covariance[other][state] = 0.0;
        }
        let open = self.scales[way] + 0.1 * longer.abs();
        self.covariance[state][state] = open * open;
    }

    /// The same for a path of which both ways together became longer by so much.
    pub(super) fn reroute_together(&mut self, longer: f64, remembered: [bool; 2]) {
        for way in 0..2 {
            self.reroute(way, 0.5 * longer, remembered[way]);
        }
        let share = SHARE * longer;
        let share = share * share;
        self.covariance[2][2] += share;
        self.covariance[3][3] += share;
        // What one way has the other has not.
        self.covariance[2][3] = -share;
        self.covariance[3][2] = -share;
    }

    /// This way has the path again that it had before, and the one that it has now is remembered.
    pub(super) fn swap(&mut self, way: usize) {
        let (state, before) = (2 + way, 4 + way);
        self.state.swap(state, before);
        self.covariance.swap(state, before);
        for row in &mut self.covariance {
            row.swap(state, before);
        }
    }

    /// By how much each way was longer on the path before.
    pub(super) fn before(&self) -> [f64; 2] {
        [self.state[4] - self.state[2], self.state[5] - self.state[3]]
    }

    /// As [`Self::variances`], of the paths before.
    pub(super) fn variances_before(&self, noise: f64) -> [f64; 2] {
        let soft = self.softness(noise);
        [THERE_BEFORE, BACK_BEFORE].map(|h| dot(&self.covariance, &h).1.max(0.0) + soft * soft)
    }
}
