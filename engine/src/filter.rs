//! The estimator of one source: where true time is, and how fast it runs, against CLOCK_MONOTONIC_RAW.
//!
//! A bank of Kalman filters sees the same measurements; they differ in what they believe of the oscillator
//! (how fast its frequency wanders) and of the network (how much of a delay's excess over the minimum is
//! error). Their likelihoods weigh them, so that the data choose the model. Each has three states: offset,
//! frequency, and *asymmetry*: which part of the excess delay is one way's alone (−½ to +½).
//!
//! A single measurement that contradicts everything before it (a popcorn spike) is held back; when three in
//! a row do, the server or the oscillator has changed, and the filter starts again with doubt about both.

mod bank;
mod delays;

use crate::measurement::Measurement;
use bank::Bank;
use delays::Delays;
use ipc::units::RawInstant;

/// Squared distance, in variances, from which on a measurement contradicts the filter.
const GATE: f64 = 20.0;

/// How many contradictions in a row are held back before they are believed.
const PATIENCE: u8 = 2;

/// What a filter knows of one instant. Seconds; frequency in s/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// The instant.
    pub(crate) at: RawInstant,
    /// True time minus CLOCK_MONOTONIC_RAW, whole nanoseconds; to it belongs `rest`.
    pub(crate) base: i64,
    /// Rest of the offset.
    pub(crate) rest: f64,
    /// Variance of the offset.
    pub(crate) variance: f64,
    /// How much faster true time runs than CLOCK_MONOTONIC_RAW.
    pub(crate) frequency: f64,
    /// Variance of it.
    pub(crate) frequency_variance: f64,
    /// Covariance of both.
    pub(crate) covariance: f64,
    /// Typical wander of the frequency, s/s/√s.
    pub(crate) wander: f64,
}

impl Estimate {
    /// Offset of a clock that shows `wall` at the estimate's instant, in seconds; positive: it is behind.
    pub(crate) fn offset_of(&self, wall: i64) -> f64 {
        let whole = i128::from(self.base) + i128::from(self.at.nanos()) - i128::from(wall);
        whole as f64 * 1e-9 + self.rest
    }

    /// Variance of the offset after `ahead` more seconds without a measurement.
    pub(crate) fn variance_after(&self, ahead: f64) -> f64 {
        self.variance
            + ahead * (2.0 * self.covariance + ahead * self.frequency_variance)
            + self.wander_growth(ahead)
    }

    /// The part of that which wander alone adds.
    pub(crate) fn wander_growth(&self, ahead: f64) -> f64 {
        self.wander * self.wander * ahead * ahead * ahead / 3.0
    }
}

/// What became of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was used.
    Used,
    /// It contradicts what is known; the next ones decide.
    Doubtful,
    /// The third contradiction in a row: the filter believes it and starts again.
    Restarted,
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Filter {
    prior: (f64, f64),
    bank: Option<Bank>,
    delays: Delays,
    doubts: u8,
    jitter: f64,
    samples: u32,
}

impl Filter {
    /// An empty filter. What is known of the frequency beforehand comes with [`Self::expect`].
    pub(crate) fn new() -> Self {
        Self { prior: (0.0, 60e-6), bank: None, delays: Delays::new(), doubts: 0, jitter: 0.0, samples: 0 }
    }

    /// Whether a measurement has been seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.bank.is_none()
    }

    /// Measurements used since the last start.
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    /// The frequency to start from and its standard deviation (s/s); of no effect once there are
    /// measurements.
    pub(crate) fn expect(&mut self, frequency: f64, deviation: f64) {
        self.prior = (frequency, deviation);
    }

    /// Takes a measurement.
    pub(crate) fn learn(&mut self, measurement: &Measurement) -> Outcome {
        self.delays.learn(measurement.delay);
        let noise = self.delays.noise(measurement.delay, measurement.noise);
        let Some(bank) = &mut self.bank else {
            self.bank = Some(Bank::new(measurement, &noise, self.prior));
            self.samples = 1;
            return Outcome::Used;
        };
        bank.advance(measurement.at);
        let distance = bank.distance(measurement, &noise);
        // Two samples say nothing of a frequency yet: early on everything is believed.
        if self.samples >= 4 && distance.squared > GATE {
            self.doubts += 1;
            if self.doubts <= PATIENCE {
                return Outcome::Doubtful;
            }
            bank.doubt(distance.residual, measurement, &noise);
            self.doubts = 0;
            self.samples = 1;
            return Outcome::Restarted;
        }
        self.doubts = 0;
        self.jitter += (distance.residual.abs() - self.jitter) / f64::from(self.samples.clamp(1, 8));
        bank.learn(measurement, &noise);
        self.samples = self.samples.saturating_add(1);
        Outcome::Used
    }

    /// The estimate at `at`; none before the first measurement.
    pub(crate) fn estimate(&self, at: RawInstant) -> Option<Estimate> {
        self.bank.as_ref().map(|bank| bank.estimate(at))
    }

    /// UTC itself moved by `nanos` against the counter (a leap second).
    pub(crate) fn shift(&mut self, nanos: i64) {
        if let Some(bank) = &mut self.bank {
            bank.shift(nanos);
        }
    }

    /// The counter stood still (the machine slept): the offset is forgotten, the frequency doubted.
    pub(crate) fn forget_offset(&mut self) {
        if let Some(bank) = self.bank.take() {
            let last = bank.estimate(bank.at());
            self.prior = (last.frequency, libm::sqrt(last.frequency_variance) + 0.5e-6);
            self.samples = 0;
            self.doubts = 0;
        }
    }

    /// Whether the last measurement contradicted the ones before.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubts > 0
    }

    /// Mean absolute surprise of the last measurements, seconds.
    pub(crate) fn jitter(&self) -> f64 {
        self.jitter
    }

    /// Shortest recent delay, seconds; none before the first measurement.
    pub(crate) fn minimum_delay(&self) -> Option<f64> {
        self.delays.minimum()
    }

    /// Variance that a typical measurement has by itself.
    pub(crate) fn typical_variance(&self) -> f64 {
        self.delays.typical_variance()
    }

    /// Whether the shortest delay jumped: the path has changed, perhaps in one direction only.
    pub(crate) fn path_changed(&self) -> bool {
        self.delays.path_changed()
    }
}

#[cfg(test)]
mod tests;
