//! A source, and the association with it.

use crate::reason::{AssociationState, LeapName, SourceActivity, SourceState, StampOrigin};
use crate::rejection::RejectReason;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

documents! {
    /// One source.
    SourceReport {
        /// The name as configured.
        name: String,
        /// Address and port; empty while it is not known.
        address: String,
        /// The state.
        state: SourceState,
        /// The reason for the state, in one sentence.
        reason: String,
        /// Whether replies are authenticated.
        authenticated: bool,
        /// The key exchange; none for a plain source.
        nts: Option<NtsReport>,
        /// Stratum of the last valid reply; none: none yet.
        stratum: Option<u8>,
        /// Reference id of the last valid reply, eight hexadecimal digits; none: none yet.
        reference_id: Option<String>,
        /// Last eight polls, newest in the lowest bit.
        reach: u8,
        /// Poll exponent, log2 s.
        poll: i8,
        /// Seconds until the next query; none: no query is scheduled.
        next_poll_s: Option<f64>,
        /// Estimated offset of the clock against this source, seconds; positive: the clock is behind. None, like the
        /// next four fields, if the source has never replied.
        offset_s: Option<f64>,
        /// Standard deviation of the offset, in seconds.
        offset_error_s: Option<f64>,
        /// Delay of the best recent sample, in seconds.
        delay_s: Option<f64>,
        /// Jitter of the samples, in seconds.
        jitter_s: Option<f64>,
        /// Root distance, in seconds.
        root_distance_s: Option<f64>,
        /// Number of queries sent.
        sent: u64,
        /// Number of valid replies.
        valid: u64,
        /// Seconds since the last valid reply; none: never.
        last_valid_s: Option<f64>,
        /// Number of replies that were discarded or not used, by reason. Only reasons that occurred.
        rejected: BTreeMap<RejectReason, u64>,
        /// What would change whether it is used, in one sentence.
        change: String,
        /// Whether it is asked.
        activity: SourceActivity,
        /// Measurements on which the estimate rests: since the first one, or since they contradicted earlier ones. 0: none.
        samples: u32,
        /// From the first measurement by which the frequency is known to the last one, in seconds; none: never measured.
        span_s: Option<f64>,
        /// Standard deviation of a single measurement, in seconds; none: never measured.
        deviation_s: Option<f64>,
        /// How much faster the time of this source runs than the estimate that the clock follows, in ppm. None: before the
        /// second measurement, or while no estimate is followed.
        frequency_ppm: Option<f64>,
        /// Standard deviation of that frequency, in ppm: before ten measurements an upper estimate. None: as there.
        frequency_error_ppm: Option<f64>,
        /// The file in `sources.d` that a program has left and that names this source; none: the administrator did.
        offered_by: Option<String>,
        /// Whether it is only measured, as configured (`noselect`): it has no vote, and changes no order.
        noselect: bool,
        /// Whether it is preferred among equals, as configured.
        prefer: bool,
        /// Whether sources without this mark must agree with it, as configured.
        trust: bool,
        /// Whether the clock is not moved without it, or another one so marked, as configured.
        require: bool,
        /// What its last valid reply was like; none: there was none.
        last_reply: Option<LastReplyReport>,
        /// What is added to each measured offset, as configured (`offset`), in seconds. Offsets are shown with it.
        correction_s: f64,
        /// A lower stratum of its replies counts as this, as configured.
        min_stratum: u8,
        /// The family of which alone its addresses are asked, as configured: `ipv4` or `ipv6`; none: both.
        family: Option<String>,
        /// The addresses of this host that it is asked from, as configured, at most one of each family; none of a family: the
        /// kernel chooses it.
        send_from: Vec<String>,
        /// The interface over which alone it is asked, as configured; none: as the routing table says.
        send_over: Option<String>,
        /// Differentiated services code point of queries, as configured.
        dscp: u8,
        /// The symmetric key that authenticates its replies; none: none does.
        key: Option<SymmetricKeyReport>,
    }

    /// A symmetric key, without its octets.
    SymmetricKeyReport {
        /// Its number, the key id.
        number: u32,
        /// Its type, as chrony names it: `AES128`, `SHA256`, …
        kind: String,
        /// Its length in bits.
        bits: u16,
    }

    /// What the last valid reply of a source was like, and how it came.
    LastReplyReport {
        /// Leap indicator.
        leap: LeapName,
        /// Version of NTP.
        version: u8,
        /// Precision of the server's clock, log2 s.
        precision: i8,
        /// Root delay of the server, in seconds.
        root_delay_s: f64,
        /// Root dispersion of the server, in seconds.
        root_dispersion_s: f64,
        /// When the server's clock was last corrected, seconds since 1970; none: the server says nothing of that.
        reference_time_unix_s: Option<f64>,
        /// From the arrival of the query at the server to the departure of the reply, by the server's clock, in seconds;
        /// none: the server says nothing of that.
        response_s: Option<f64>,
        /// Who took the time of departure of the query.
        departure_stamp: StampOrigin,
        /// Who took the time of arrival of the reply.
        arrival_stamp: StampOrigin,
        /// It came in interleaved mode (RFC 9769), and says when the reply before it left, of which `response_s` then is.
        interleaved: bool,
        /// The address of this host from which the query was sent; none: not known.
        local_address: Option<String>,
    }

    /// The association with an NTS source. It contains no secrets.
    NtsReport {
        /// The state.
        state: AssociationState,
        /// The result of the last key exchange, in one sentence; empty: there was none in this run.
        last_exchange: String,
        /// Seconds until the next key exchange; none: none is scheduled.
        next_exchange_s: Option<f64>,
        /// Number of successful key exchanges in this run.
        exchanges: u64,
        /// Number of failed key exchanges in this run.
        failures: u64,
        /// Number of the AEAD algorithm in the IANA registry (15 or 30); none: no keys.
        aead: Option<u16>,
        /// Seconds since the keys were exchanged; none: no keys.
        key_age_s: Option<f64>,
        /// Whether the keys are from before the last restart.
        restored: bool,
        /// Number of unused cookies.
        cookies: u8,
        /// Whether the key exchange named another NTP server.
        redirected: bool,
        /// Number of NTS NAKs received, authentic or not.
        naks: u64,
        /// End of validity of the certificates of the key exchange that brought the keys, in seconds since 1970; none:
        /// there are no keys.
        certificate_until: Option<i64>,
        /// The organisation that the certificate of the last key exchange names, at most 64 octets, escaped; empty: none.
        organisation: String,
        /// Names of other sources whose certificates show the same operator: the same organisation, or a certificate that
        /// is for the names of both. It changes no vote.
        one_operator: Vec<String>,
    }
}
