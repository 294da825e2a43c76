//! How far the time that is followed is authenticated, as a typed value.

/// How far the time that the clock follows is authenticated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Authentication {
    /// Sources that the clock follows.
    pub followed: usize,
    /// So many of them are authenticated.
    pub authenticated: usize,
    /// Since when nothing but authenticated sources has corrected the clock, in seconds; none: others do.
    pub for_s: Option<f64>,
}
