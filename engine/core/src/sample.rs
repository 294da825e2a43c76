//! What a track is fed with: one measurement, and what its source says of itself.

use crate::measurement::Measurement;
use crate::sanity::Facts;
use ipc::units::RawInstant;

/// So many standard deviations are taken for a bound.
const CERTAIN: f64 = 3.0;

/// No bound is taken to be less than this, seconds.
const LEAST_BOUND: f64 = 50e-9;

/// One sample, of whatever origin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) measurement: Measurement,
    pub(crate) facts: Facts,
}

impl Sample {
    /// From an exchange with a server.
    pub(crate) fn of_exchange(measurement: Measurement, facts: Facts) -> Self {
        Self { measurement, facts }
    }

    /// From a source that is not queried, such as a reference clock. At `at` true time was `offset`
    /// nanoseconds ahead of CLOCK_MONOTONIC_RAW, give or take `bound` seconds. `facts`: of the reference clock itself,
    /// to whose root dispersion the bound is added.
    pub(crate) fn one_way(at: RawInstant, offset: i64, bound: f64, facts: Facts) -> Self {
        let bound = bound.max(LEAST_BOUND);
        Self {
            measurement: Measurement {
                at,
                offset,
                low: offset,
                high: offset,
                received: at,
                delay: 0.0,
                // It stands for both ways, which a filter takes for two witnesses.
                noise: bound / CERTAIN * core::f64::consts::SQRT_2,
            },
            facts: Facts { root_dispersion: facts.root_dispersion + bound, ..facts },
        }
    }
}
