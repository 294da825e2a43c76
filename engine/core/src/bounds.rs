//! What is known of the distance to true time.

/// Where true time can be, as seen from the steered clock: offsets in seconds, positive where the clock is
/// behind. True time is in [clock + `low`, clock + `high`], provided the selected sources are honest; that
/// is the hard interval, and `offset` ± `deviation` the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Earliest possible.
    pub low: f64,
    /// Latest possible.
    pub high: f64,
    /// Estimated.
    pub offset: f64,
    /// Standard deviation of the estimate.
    pub deviation: f64,
    /// What the rule of root distance says instead: half the round trip to the reference clock, its
    /// dispersion, 1 ppm of drift, and the estimated offset and deviation.
    pub distance: f64,
}
