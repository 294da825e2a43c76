//! Bounds of the offset from true time.

/// The bounds of true time relative to the steered clock: offsets in seconds, positive if the clock is behind. True time
/// is in [clock + `low`, clock + `high`], provided that the survivors are truechimers. This is the hard interval;
/// `offset` ± `deviation` is the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
    /// The estimate.
    pub offset: f64,
    /// Standard deviation of the estimate.
    pub deviation: f64,
    /// The likely interval, inside of the hard one: by the model, true time is outside of it with a probability of 1e-6.
    pub likely: (f64, f64),
    /// What that would be if both ways to each survivor took equally long.
    pub symmetric: (f64, f64),
    /// The bound by root distance: half the root delay, the root dispersion, 1 ppm of drift, and the estimated offset and
    /// deviation.
    pub distance: f64,
}
