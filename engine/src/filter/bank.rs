//! The bank: one Kalman filter for each pair of beliefs, weighed by likelihood.

use super::Estimate;
use super::delays::Noise;
use crate::measurement::Measurement;
use alloc::boxed::Box;
use ipc::units::RawInstant;

/// Wander of the oscillator's frequency, s/s/√s, half a decade apart.
const WANDERS: [f64; 11] = [1e-11, 3.2e-11, 1e-10, 3.2e-10, 1e-9, 3.2e-9, 1e-8, 3.2e-8, 1e-7, 3.2e-7, 1e-6];

/// How much of one way's jitter the other one has, in variance; 1: both are alike.
const SHARES: [f64; 3] = [1.0, 0.1, 0.01];

const SIZE: usize = WANDERS.len() * SHARES.len();

/// No belief is ever given up for good.
const LEAST_WEIGHT: f64 = 1e-6;

/// Prior standard deviation of the asymmetry, and its wander in 1/√s (about 0.1 a day).
const ASYMMETRY: f64 = 0.15;
const ASYMMETRY_WANDER: f64 = 1e-4;

/// Offset, frequency, asymmetry.
type Vector = [f64; 3];
type Matrix = [Vector; 3];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Belief {
    wander: f64,
    share: f64,
    weight: f64,
    state: Vector,
    covariance: Matrix,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bank {
    at: RawInstant,
    base: i64,
    beliefs: Box<[Belief; SIZE]>,
}

/// How far a measurement is from what was predicted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Distance {
    /// Seconds.
    pub(super) residual: f64,
    /// In variances.
    pub(super) squared: f64,
}

impl Belief {
    fn predict(&self, ahead: f64) -> (Vector, Matrix) {
        let [x, y, a] = self.state;
        let mut p = self.covariance;
        p[0][0] += ahead * (2.0 * p[0][1] + ahead * p[1][1]);
        p[0][1] += ahead * p[1][1];
        p[0][2] += ahead * p[1][2];
        let q = self.wander * self.wander * ahead.max(0.0);
        p[0][0] += q * ahead * ahead / 3.0;
        p[0][1] += q * ahead / 2.0;
        p[1][1] += q;
        p[2][2] += ASYMMETRY_WANDER * ASYMMETRY_WANDER * ahead.max(0.0);
        p[1][0] = p[0][1];
        p[2][0] = p[0][2];
        ([x + y * ahead, y, a], p)
    }

    /// Residual and its variance.
    fn surprise(&self, measured: f64, noise: &Noise) -> (f64, f64) {
        let excess = noise.excess;
        let p = &self.covariance;
        let variance = p[0][0] + excess * (2.0 * p[0][2] + excess * p[2][2]) + noise.variance(self.share);
        (measured - self.state[0] - self.state[2] * excess, variance)
    }

    /// The Kalman update; returns the log of the likelihood.
    fn learn(&mut self, measured: f64, noise: &Noise) -> f64 {
        let (residual, variance) = self.surprise(measured, noise);
        let p = self.covariance;
        let cross: Vector = core::array::from_fn(|i| p[i][0] + noise.excess * p[i][2]);
        for i in 0..3 {
            self.state[i] += cross[i] / variance * residual;
            for j in 0..3 {
                self.covariance[i][j] = p[i][j] - cross[i] * cross[j] / variance;
            }
        }
        self.state[2] = self.state[2].clamp(-0.5, 0.5);
        for (i, row) in p.iter().enumerate() {
            // What rounding takes away, a variance may not lose.
            self.covariance[i][i] = self.covariance[i][i].max(row[i] * 1e-12);
        }
        // Beyond 5.5 standard deviations one measurement says no more against a belief.
        -0.5 * ((residual * residual / variance).min(30.0) + libm::log(variance))
    }
}

impl Bank {
    /// Starts from one measurement and a prior (mean, standard deviation) of the frequency.
    pub(super) fn new(measurement: &Measurement, noise: &Noise, prior: (f64, f64)) -> Self {
        let beliefs = core::array::from_fn(|index| {
            let share = SHARES[index % SHARES.len()];
            Belief {
                wander: WANDERS[index / SHARES.len()],
                share,
                weight: 1.0 / SIZE as f64,
                state: [0.0, prior.0, 0.0],
                covariance: [
                    [noise.variance(1.0), 0.0, 0.0],
                    [0.0, prior.1 * prior.1, 0.0],
                    [0.0, 0.0, ASYMMETRY * ASYMMETRY],
                ],
            }
        });
        Self { at: measurement.at, base: measurement.offset, beliefs: Box::new(beliefs) }
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

    fn measured(&self, measurement: &Measurement) -> f64 {
        (i128::from(measurement.offset) - i128::from(self.base)) as f64 * 1e-9
    }

    pub(super) fn distance(&self, measurement: &Measurement, noise: &Noise) -> Distance {
        let measured = self.measured(measurement);
        let surprises = || self.beliefs.iter().map(|b| (b.weight, b.surprise(measured, noise)));
        let residual: f64 = surprises().map(|(weight, (residual, _))| weight * residual).sum();
        let variance: f64 =
            surprises().map(|(weight, (r, v))| weight * (v + (r - residual) * (r - residual))).sum();
        Distance { residual, squared: residual * residual / variance }
    }

    pub(super) fn learn(&mut self, measurement: &Measurement, noise: &Noise) {
        let measured = self.measured(measurement);
        let mut logs = [0.0; SIZE];
        for (log, belief) in logs.iter_mut().zip(self.beliefs.iter_mut()) {
            *log = libm::log(belief.weight) + belief.learn(measured, noise);
        }
        let best = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| libm::exp(log - best)).sum();
        for (log, belief) in logs.iter().zip(self.beliefs.iter_mut()) {
            belief.weight = (libm::exp(log - best) / sum).max(LEAST_WEIGHT);
        }
        let sum: f64 = self.beliefs.iter().map(|belief| belief.weight).sum();
        self.beliefs.iter_mut().for_each(|belief| belief.weight /= sum);
        self.revive();
    }

    /// A belief that nobody shares has gone its own way; it comes back to what the others know, so that it
    /// is ready when the data turn towards it.
    fn revive(&mut self) {
        let (state, covariance) = self.moments(0.0);
        for belief in self.beliefs.iter_mut().filter(|belief| belief.weight < 2.0 * LEAST_WEIGHT) {
            belief.state = state;
            belief.covariance = covariance;
        }
    }

    /// Mean and covariance of the mixture, `ahead` seconds from now.
    fn moments(&self, ahead: f64) -> (Vector, Matrix) {
        let mut mean = [0.0; 3];
        for belief in self.beliefs.iter() {
            let (state, _) = belief.predict(ahead);
            for i in 0..3 {
                mean[i] += belief.weight * state[i];
            }
        }
        let mut covariance = [[0.0; 3]; 3];
        for belief in self.beliefs.iter() {
            let (state, own) = belief.predict(ahead);
            for i in 0..3 {
                for j in 0..3 {
                    covariance[i][j] +=
                        belief.weight * (own[i][j] + (state[i] - mean[i]) * (state[j] - mean[j]));
                }
            }
        }
        (mean, covariance)
    }

    /// Starts again at the measurement: it may be that the server was stepped or that the oscillator
    /// changed, so offset and frequency are both opened as far as the surprise can explain.
    pub(super) fn doubt(&mut self, residual: f64, measurement: &Measurement, noise: &Noise) {
        let measured = self.measured(measurement);
        // The change came since about the last poll, which is seldom nearer than 16 s.
        let frequency = (residual / 16.0).clamp(-20e-6, 20e-6);
        for belief in self.beliefs.iter_mut() {
            belief.state[0] = measured;
            belief.covariance = [
                [noise.variance(1.0), 0.0, 0.0],
                [0.0, belief.covariance[1][1] + frequency * frequency, 0.0],
                [0.0, 0.0, belief.covariance[2][2]],
            ];
        }
    }

    pub(super) fn shift(&mut self, nanos: i64) {
        self.base = self.base.saturating_add(nanos);
    }

    pub(super) fn estimate(&self, at: RawInstant) -> Estimate {
        let ahead = at.since(self.at).nanos().max(0) as f64 * 1e-9;
        let (state, covariance) = self.moments(ahead);
        let wander: f64 = self.beliefs.iter().map(|belief| belief.weight * libm::log(belief.wander)).sum();
        Estimate {
            at,
            base: self.base,
            rest: state[0],
            variance: covariance[0][0],
            frequency: state[1],
            frequency_variance: covariance[1][1],
            covariance: covariance[0][1],
            wander: libm::exp(wander),
        }
    }
}
