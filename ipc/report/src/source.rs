//! A source, and the association with it.

use alloc::collections::BTreeMap;
use alloc::string::String;

documents! {
    /// One source.
    SourceReport {
        /// As configured.
        name: String,
        /// Address and port; empty while it isn't known.
        address: String,
        /// One word: `selected`, `combined`, `falseticker`, `unreachable`, `unusable`, `waiting`, `probation`, `outvoted`, ….
        state: &'static str,
        /// One sentence: why.
        reason: String,
        /// Whether replies are authenticated.
        authenticated: bool,
        /// The key exchange; none for a plain source.
        nts: Option<NtsReport>,
        /// Stratum of the last valid reply; 16: none yet.
        stratum: u8,
        /// Reference id of the last valid reply, eight hexadecimal digits.
        reference_id: String,
        /// Last eight polls, newest in the lowest bit.
        reach: u8,
        /// Poll exponent, log2 s.
        poll: i8,
        /// Seconds until the next query; none: none planned.
        next_poll_s: Option<f64>,
        /// Estimated offset of the clock against this source, seconds; positive: the clock is behind. None, like the
        /// next four fields, if it has never replied.
        offset_s: Option<f64>,
        /// Standard deviation of it.
        offset_error_s: Option<f64>,
        /// Round trip of the best recent sample, seconds.
        delay_s: Option<f64>,
        /// Scatter of the samples, seconds.
        jitter_s: Option<f64>,
        /// Root distance, seconds.
        root_distance_s: Option<f64>,
        /// Queries sent.
        sent: u64,
        /// Valid replies.
        valid: u64,
        /// Seconds since the last valid reply; none: never.
        last_valid_s: Option<f64>,
        /// What was thrown away, by reason; only reasons that occurred.
        rejected: BTreeMap<&'static str, u64>,
    }

    /// The association with an NTS source. No secrets.
    NtsReport {
        /// One word: `none` (no keys yet), `exchanging`, `ready`, `provisional` (the certificate could not be judged,
        /// because the clock is wrong).
        state: &'static str,
        /// How the last key exchange ended, in one sentence; empty: there was none in this run.
        last_exchange: String,
        /// Seconds until the next key exchange; none: none planned.
        next_exchange_s: Option<f64>,
        /// Key exchanges that succeeded, in this run.
        exchanges: u64,
        /// Key exchanges that failed, in this run.
        failures: u64,
        /// Number of the AEAD algorithm in the registry (15 or 30); none: no keys.
        aead: Option<u16>,
        /// Seconds since the keys were exchanged; none: no keys.
        key_age_s: Option<f64>,
        /// Whether the keys were kept over a restart.
        restored: bool,
        /// Cookies left.
        cookies: u8,
        /// Whether the key exchange named another server for the time.
        redirected: bool,
        /// NTS NAKs that came, believed or not.
        naks: u64,
        /// End of validity of the certificates of the last key exchange, in seconds since 1970; none: no exchange in
        /// this run.
        certificate_until: Option<i64>,
    }
}
