//! The metrics, each with its kind and its help: docs/monitoring.md has the same list, and a test compares them.

/// What a metric's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A number that only grows, from 0 at a start. Its name ends in `_total`.
    Counter,
    /// Always 1: what it says is in its labels. Its name ends in `_info`.
    Info,
}

macro_rules! metrics {
    ($($metric:ident = $name:literal, $kind:ident, $help:literal;)+) => {
        /// A metric. The order is that of the page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the help says it")]
        pub enum Metric {
            $($metric,)+
        }

        impl Metric {
            /// All of them.
            #[cfg(test)]
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$metric),+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$metric => $name,)+
                }
            }

            /// Its kind.
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$metric => Kind::$kind,)+
                }
            }

            /// What it says, in one sentence without a full stop, a backslash or a quotation mark.
            pub const fn help(self) -> &'static str {
                match self {
                    $(Self::$metric => $help,)+
                }
            }
        }
    };
}

metrics! {
    Up = "truechimer_up", Gauge, "Whether the daemon answered: 1 or 0";
    Down = "truechimer_down_info", Info, "Why the daemon did not answer (reason)";
    Exporter = "truechimer_exporter_build_info", Info, "The version of this exporter";
    Build = "truechimer_build_info", Info, "The version of the daemon";
    AnswerSeconds = "truechimer_answer_duration_seconds", Gauge, "How long the daemon took to answer the questions of this page";

    Synchronised = "truechimer_synchronised", Gauge, "Whether the clock follows its sources: 1 or 0";
    State = "truechimer_clock_state", Gauge, "1 for the state of the clock (state)";
    Clock = "truechimer_clock_info", Info, "The clock that is steered (clock): kernel, virtual or none";
    Stratum = "truechimer_stratum", Gauge, "Stratum of this host; 16: unsynchronised";
    Leap = "truechimer_leap_indicator", Gauge, "Leap indicator: 0 none, 1 a second is inserted, 2 a second is deleted, 3 unsynchronised";
    Reference = "truechimer_reference_info", Info, "The source that is followed (name), and the reference id (reference_id)";
    Offset = "truechimer_offset_seconds", Gauge, "Estimated offset of the clock now; positive: the clock is behind";
    EstimatedError = "truechimer_estimated_error_seconds", Gauge, "Standard deviation of the offset";
    ErrorBound = "truechimer_error_bound_seconds", Gauge, "The clock is off by no more than this if the selected sources are honest";
    LikelyError = "truechimer_likely_error_seconds", Gauge, "By the model the clock is off by more than this with a probability of 1e-6; absent where nothing is likely yet";
    SlewLeft = "truechimer_slew_remaining_seconds", Gauge, "What is still to be slewed";
    Frequency = "truechimer_frequency_ratio", Gauge, "Correction of the oscillator that is in force; positive: the clock is made faster";
    FrequencyError = "truechimer_frequency_error_ratio", Gauge, "Standard deviation of the frequency (chrony: skew)";
    RootDelay = "truechimer_root_delay_seconds", Gauge, "Delay to the primary source";
    RootDispersion = "truechimer_root_dispersion_seconds", Gauge, "Dispersion to the primary source";
    LastUpdate = "truechimer_last_update_age_seconds", Gauge, "Time since the last correction";
    FirstUpdate = "truechimer_first_update_delay_seconds", Gauge, "Time from the start of the engine to the first correction";
    Discontinuities = "truechimer_discontinuities_total", Counter, "Epochs of the clock: one more with each discontinuity, as a step of this daemon or another program, or a suspend";
    Steps = "truechimer_steps_total", Counter, "Steps that the daemon made";
    Refusals = "truechimer_governor_refusals_total", Counter, "Orders that the governor refused";
    LastRefusal = "truechimer_governor_last_refusal", Gauge, "1 for the last refusal of the governor (refusal)";
    PauseEvidence = "truechimer_pause_evidence", Gauge, "Whether this (by) can show that the machine was paused: 1 or 0";
    StateDirectory = "truechimer_state_directory_usable", Gauge, "Whether the state directory can be written: 1 or 0";
    HistoryWritten = "truechimer_history_written", Gauge, "Whether the history of minutes is written: 1 or 0";
    HistoryWaiting = "truechimer_history_waiting_records", Gauge, "Records of the history that wait in memory until it can be written";
    HistoryNoted = "truechimer_history_noted_timestamp_seconds", Gauge, "When the audit log named the end of the history last, in seconds since 1970; absent: not in this run";
    RoughtimeServers = "truechimer_roughtime_servers", Gauge, "Roughtime servers that are configured; absent: none";
    RoughtimeAnswered = "truechimer_roughtime_answered", Gauge, "Of them, those that gave valid answers in the last round";
    RoughtimeAge = "truechimer_roughtime_last_round_age_seconds", Gauge, "Time since the last round ended";
    RoughtimeWidth = "truechimer_roughtime_interval_seconds", Gauge, "Width of the interval that most of them have signed, now; absent: none is in force";
    RoughtimeLying = "truechimer_roughtime_lying", Gauge, "Roughtime servers that have signed a wrong time";
    AnchorTime = "truechimer_anchor_timestamp_seconds", Gauge, "When the last anchor of audit log and history was made, in seconds since 1970";
    Unserved = "truechimer_unserved_listeners", Gauge, "Entries of listen whose interface is missing";

    Processes = "truechimer_processes", Gauge, "Processes of the daemon that run";
    Confined = "truechimer_process_confined", Gauge, "Whether nothing is missing of the confinement of a process: 1 or 0; absent until it has reported";
    Unconfined = "truechimer_process_confinement_missing", Gauge, "1 for each part of the confinement of a process that is missing (missing)";

    Sources = "truechimer_sources", Gauge, "Sources, members of pools counted";
    SourcesUsed = "truechimer_sources_used", Gauge, "Sources whose time is used";
    OneOperator = "truechimer_sources_of_one_operator", Gauge, "Sources whose certificates show the operator of another source";
    SourceState = "truechimer_source_state", Gauge, "1 for the state of the source (state)";
    SourceAuthenticated = "truechimer_source_authenticated", Gauge, "Whether replies of the source are authenticated: 1 or 0";
    SourceStratum = "truechimer_source_stratum", Gauge, "Stratum of the last valid reply";
    SourceReach = "truechimer_source_reach", Gauge, "Reach register: the last eight polls, the newest in the lowest bit; absent before the first query";
    SourceReachRatio = "truechimer_source_reach_ratio", Gauge, "Share of the last eight polls that were answered; absent before the first query";
    SourcePoll = "truechimer_source_poll_interval_seconds", Gauge, "Poll interval";
    SourceNextPoll = "truechimer_source_next_poll_seconds", Gauge, "Time until the next query; absent: none is scheduled";
    SourceOffset = "truechimer_source_offset_seconds", Gauge, "Estimated offset of the clock against the source; positive: the clock is behind";
    SourceOffsetError = "truechimer_source_offset_error_seconds", Gauge, "Standard deviation of that offset";
    SourceDelay = "truechimer_source_delay_seconds", Gauge, "Delay of the best recent sample";
    SourceJitter = "truechimer_source_jitter_seconds", Gauge, "Jitter of the samples";
    SourceDeviation = "truechimer_source_deviation_seconds", Gauge, "Standard deviation of a single measurement";
    SourceFrequency = "truechimer_source_frequency_ratio", Gauge, "How much faster the time of the source runs than the estimate that the clock follows; absent before the second measurement";
    SourceFrequencyError = "truechimer_source_frequency_error_ratio", Gauge, "Standard deviation of that frequency; before ten measurements an upper estimate";
    SourceSamples = "truechimer_source_samples", Gauge, "Measurements on which the estimate rests";
    SourceSpan = "truechimer_source_span_seconds", Gauge, "From the first measurement by which the frequency is known to the last one";
    SourceDistance = "truechimer_source_root_distance_seconds", Gauge, "Root distance";
    SourceAge = "truechimer_source_last_reply_age_seconds", Gauge, "Time since the last valid reply";
    SourceQueries = "truechimer_source_queries_total", Counter, "Queries sent to the source";
    SourceReplies = "truechimer_source_replies_total", Counter, "Valid replies of the source";
    SourceRejected = "truechimer_source_rejected_total", Counter, "Replies that were discarded or not used (reason)";

    NtsState = "truechimer_source_nts_state", Gauge, "1 for the state of the association with an NTS source (state)";
    NtsCookies = "truechimer_source_nts_cookies", Gauge, "Unused cookies";
    NtsAead = "truechimer_source_nts_aead_info", Info, "The algorithm in use (aead), by its number in the IANA registry";
    NtsKeyAge = "truechimer_source_nts_key_age_seconds", Gauge, "Age of the keys";
    NtsNext = "truechimer_source_nts_next_key_exchange_seconds", Gauge, "Time until the next key exchange; absent: none is scheduled";
    NtsExchanges = "truechimer_source_nts_key_exchanges_total", Counter, "Successful key exchanges with the source";
    NtsFailures = "truechimer_source_nts_key_exchange_failures_total", Counter, "Failed key exchanges with the source";
    NtsNaks = "truechimer_source_nts_naks_total", Counter, "NTS NAKs received, authentic or not";
    NtsCertificate = "truechimer_source_nts_certificate_expiry_timestamp_seconds", Gauge, "When the certificates of the source end that brought the keys, in seconds since 1970";

    ServerRequests = "truechimer_server_requests_total", Counter, "Datagrams that the server read";
    ServerReplies = "truechimer_server_replies_total", Counter, "Replies that the server sent";
    ServerDropped = "truechimer_server_dropped_total", Counter, "Requests that the server did not answer (reason)";
    ServerFailed = "truechimer_server_send_failures_total", Counter, "Replies that the kernel refused to send";
    ServerSpared = "truechimer_server_spared_total", Counter, "Of the replies: requests beyond the rate limit that were answered all the same";
    ServerInterleaved = "truechimer_server_interleaved_total", Counter, "Of the replies: interleaved";
    ServerKisses = "truechimer_server_kisses_total", Counter, "Requests that were answered by RATE, counted as dropped (limited) too";
    ServerNtsReplies = "truechimer_server_nts_replies_total", Counter, "Of the replies: protected by NTS";
    ServerKeyedReplies = "truechimer_server_keyed_replies_total", Counter, "Of the replies: authenticated by a symmetric key";
    ServerSignedReplies = "truechimer_server_signed_replies_total", Counter, "Of the replies: signed by Samba";
    ServerNtsNaks = "truechimer_server_nts_naks_total", Counter, "NTS NAKs sent: cookies that cannot be opened";

    KeConnections = "truechimer_server_key_exchange_connections_total", Counter, "Connections that the key exchange service accepted";
    KeExchanges = "truechimer_server_key_exchanges_total", Counter, "Key exchanges that ended with cookies";
    KeFailures = "truechimer_server_key_exchange_failures_total", Counter, "Connections that ended without cookies (reason)";
    CertificateState = "truechimer_server_certificate_state", Gauge, "1 for how the last reading of the certificate ended (state)";
    CertificateBegin = "truechimer_server_certificate_begin_timestamp_seconds", Gauge, "Since when the certificate in use is valid, in seconds since 1970; of further ones with their file as `certificate`";
    CertificateEnd = "truechimer_server_certificate_expiry_timestamp_seconds", Gauge, "When the certificate in use ends, in seconds since 1970; of further ones with their file as `certificate`";
    CertificateReadings = "truechimer_server_certificate_readings_total", Counter, "How often the certificate was read";
    CookieKeys = "truechimer_server_cookie_keys", Gauge, "Keys that open cookies";
    CookieKeysSettled = "truechimer_server_cookie_keys_settled", Gauge, "Whether the keys of cookies change each day, which they do once the clock was synchronised: 1 or 0";
    CookieKeysTrouble = "truechimer_server_cookie_keys_trouble", Gauge, "Whether something is wrong with the keys of cookies: 1 or 0; chimerctl keys says what";
}

/// Units that a name may end in, before `_total`.
const UNITS: [&str; 2] = ["seconds", "ratio"];

impl Metric {
    /// The unit, as its name has it.
    pub fn unit(self) -> Option<&'static str> {
        UNITS
            .into_iter()
            .find(|unit| self.family().strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }

    /// The name of the family in OpenMetrics: without the suffix that its samples have.
    pub fn family(self) -> &'static str {
        let suffix = match self.kind() {
            Kind::Gauge => "",
            Kind::Counter => "_total",
            Kind::Info => "_info",
        };
        self.name().strip_suffix(suffix).unwrap_or(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_name_says_kind_and_unit_and_no_two_are_alike() {
        let families: BTreeSet<&str> = Metric::ALL.into_iter().map(Metric::family).collect();
        assert_eq!(families.len(), Metric::ALL.len());
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(name.starts_with("truechimer_"), "{name}");
            assert!(name.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind() == Kind::Counter, "{name}");
            assert_eq!(name.ends_with("_info"), metric.kind() == Kind::Info, "{name}");
            let help = metric.help();
            assert!(
                !help.is_empty() && !help.contains(['\\', '"', '\n', '|']) && !help.ends_with('.'),
                "{name}"
            );
        }
        assert_eq!(Metric::Offset.unit(), Some("seconds"));
        assert_eq!(Metric::Frequency.unit(), Some("ratio"));
        assert_eq!((Metric::Steps.unit(), Metric::Steps.family()), (None, "truechimer_steps"));
    }

    /// The rows of the table in docs/monitoring.md: name, kind, help.
    #[test]
    fn the_page_of_the_documentation_lists_each_metric_with_its_kind_and_help_and_no_other() {
        let page = include_str!("../../../docs/monitoring.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `truechimer_")).collect();
        let expected = Metric::ALL.map(|metric| {
            let kind = format!("{:?}", metric.kind()).to_lowercase();
            format!("| `{}` | {kind} | {} |", metric.name(), metric.help())
        });
        assert_eq!(rows, expected);
    }
}
