//! What people and programs are told. Field names are the JSON names: they are stable.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// The whole engine at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The clock.
    pub system: SystemReport,
    /// Sources, in the order of the configuration.
    pub sources: Vec<SourceReport>,
}

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

/// The clock.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SystemReport {
    /// `kernel`, `virtual` or `none`.
    pub clock: &'static str,
    /// Whether the clock follows its sources.
    pub synchronised: bool,
    /// One word: `starting`, `synchronised`, `holdover`, `no-majority`, `no-sources`, `refused`, ….
    pub state: &'static str,
    /// A sentence that says why the state is what it is and what to do about it.
    pub reason: String,
    /// `none`, `insert`, `delete` or `unknown`.
    pub leap: &'static str,
    /// Stratum of this host, 16: unsynchronised.
    pub stratum: u8,
    /// Reference id, eight hexadecimal digits.
    pub reference_id: String,
    /// Name of the source that the reference id stands for; empty: none.
    pub reference: String,
    /// Estimated offset of the clock now, in seconds; positive: it is behind.
    pub offset_s: f64,
    /// Standard deviation of that estimate.
    pub estimated_error_s: f64,
    /// The true offset is nearer than this, provided the selected sources are honest.
    pub error_bound_s: f64,
    /// What is left of the slew, seconds.
    pub slew_left_s: f64,
    /// Base frequency in force, ppm; positive: the clock is made faster.
    pub frequency_ppm: f64,
    /// Standard deviation of the frequency.
    pub frequency_error_ppm: f64,
    /// Round trip to the reference clock, seconds.
    pub root_delay_s: f64,
    /// Error bound to the reference clock, seconds.
    pub root_dispersion_s: f64,
    /// Seconds since the last correction; none: never.
    pub last_update_s: Option<f64>,
    /// Seconds from the start of the engine to the first correction; none: not yet.
    pub first_update_s: Option<f64>,
    /// Discontinuities of the clock so far.
    pub epoch: u32,
    /// Steps made.
    pub steps: u32,
    /// Orders refused by the governor.
    pub refusals: u32,
    /// The last refusal, by name; empty: none.
    pub last_refusal: String,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceReport {
    /// As configured.
    pub name: String,
    /// Address and port; empty while it isn't known.
    pub address: String,
    /// One word: `selected`, `combined`, `falseticker`, `unreachable`, `unusable`, `waiting`, `probation`, `outvoted`, ….
    pub state: &'static str,
    /// One sentence: why.
    pub reason: String,
    /// Whether replies are authenticated.
    pub authenticated: bool,
    /// The key exchange; none for a plain source.
    pub nts: Option<NtsReport>,
    /// Stratum of the last valid reply; 16: none yet.
    pub stratum: u8,
    /// Reference id of the last valid reply, eight hexadecimal digits.
    pub reference_id: String,
    /// Last eight polls, newest in the lowest bit.
    pub reach: u8,
    /// Poll exponent, log2 s.
    pub poll: i8,
    /// Seconds until the next query; none: none planned.
    pub next_poll_s: Option<f64>,
    /// Estimated offset of the clock against this source, seconds; positive: the clock is behind. None, as the four
    /// that follow: it was never heard.
    pub offset_s: Option<f64>,
    /// Standard deviation of it.
    pub offset_error_s: Option<f64>,
    /// Round trip of the best recent sample, seconds.
    pub delay_s: Option<f64>,
    /// Scatter of the samples, seconds.
    pub jitter_s: Option<f64>,
    /// Root distance, seconds.
    pub root_distance_s: Option<f64>,
    /// Queries sent.
    pub sent: u64,
    /// Valid replies.
    pub valid: u64,
    /// Seconds since the last valid reply; none: never.
    pub last_valid_s: Option<f64>,
    /// What was thrown away, by reason; only reasons that occurred.
    pub rejected: BTreeMap<&'static str, u64>,
}

/// The association with an NTS source. No secrets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NtsReport {
    /// One word: `none` (no keys yet), `exchanging`, `ready`, `provisional` (the certificate could not be judged,
    /// because the clock is wrong).
    pub state: &'static str,
    /// How the last key exchange ended, in one sentence; empty: there was none in this run.
    pub last_exchange: String,
    /// Seconds until the next key exchange; none: none planned.
    pub next_exchange_s: Option<f64>,
    /// Key exchanges that succeeded, in this run.
    pub exchanges: u64,
    /// Key exchanges that failed, in this run.
    pub failures: u64,
    /// Number of the AEAD algorithm in the registry (15 or 30); none: no keys.
    pub aead: Option<u16>,
    /// Seconds since the keys were exchanged; none: no keys.
    pub key_age_s: Option<f64>,
    /// Whether the keys were kept over a restart.
    pub restored: bool,
    /// Cookies left.
    pub cookies: u8,
    /// Whether the key exchange named another server for the time.
    pub redirected: bool,
    /// NTS NAKs that came, believed or not.
    pub naks: u64,
    /// End of validity of the certificates of the last key exchange, in seconds since 1970; none: no exchange in
    /// this run.
    pub certificate_until: Option<i64>,
}
