//! The packet tests: why a reply is discarded or not used, in a word and in a sentence.

/// What becomes of a reply that fails a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The reply is discarded, as if none had come.
    Discarded,
    /// The server is reachable, but its time is not used.
    Unused,
}

impl Effect {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discarded => "discarded",
            Self::Unused => "not used",
        }
    }
}

// One row for each test: its name here, its word in the documents, its effect, and what it means for people.
macro_rules! rejections {
    ($($(#[$doc:meta])* $test:ident = $word:literal, $effect:ident, $sentence:literal;)+) => {
        words! {
            /// Why a reply is not used. RFC 5905 section 8 and figure 22.
            RejectReason {
                $($(#[$doc])* $test = $word,)+
            }
        }

        impl RejectReason {
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// What becomes of the reply.
            pub const fn effect(self) -> Effect {
                match self {
                    $(Self::$test => Effect::$effect,)+
                }
            }

            /// What it means that replies of a source fail it, without a full stop.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$test => $sentence,)+
                }
            }
        }
    };
}

rejections! {
    /// The origin timestamp is not the nonce of the query.
    Origin = "bad_origin", Discarded,
        "its replies do not belong to our queries; they may be forged";
    /// Neither version 4 nor version 3.
    Version = "bad_version", Discarded,
        "it answers in another protocol version";
    /// Not the mode of a server (4).
    Mode = "bad_mode", Discarded,
        "it does not answer as a server";
    /// T2 or T3 is zero, T2 is after T3, or the server took longer than 4 s.
    BadInterval = "bad_interval", Discarded,
        "its receive and transmit times are impossible";
    /// The server took longer than the exchange.
    NegativeDelay = "negative_delay", Discarded,
        "its replies claim a negative delay";
    /// Before the earliest or after the latest plausible time.
    Date = "bad_date", Discarded,
        "its date is before this program was built or absurdly late";
    /// The clock was stepped, a leap second occurred or the host was suspended between T1 and T4.
    Discontinuity = "discontinuity", Discarded,
        "the clock changed during the last exchange; the next exchange is not affected";
    /// T1 or T4 is slightly outside the engine's own clock readings.
    Readings = "outside_readings", Discarded,
        "the timestamps of the last exchange are outside its duration; the host may be overloaded";
    /// Found by the client: not an NTP packet.
    Malformed = "malformed", Discarded,
        "its replies are not NTP packets";
    /// Found by the client: from another address.
    Source = "bad_source", Discarded,
        "replies come from another address";
    /// Found by the client: a MAC or crypto-NAK, although no key is shared.
    UnexpectedMac = "unexpected_mac", Discarded,
        "its replies are signed with a key that is not shared with us";
    /// Not authenticated, although authentication is required.
    Unprotected = "unprotected", Discarded,
        "its replies carry no authentication; it may have been removed on the path";
    /// The authentication tag is wrong.
    Forged = "forged", Discarded,
        "the authentication tags of its replies are wrong; they may be forged";
    /// The unique identifier is missing or belongs to another request.
    Identifier = "bad_identifier", Discarded,
        "its replies do not carry our queries' identifiers";
    /// The NTS extension fields are malformed.
    NtsFields = "bad_nts_fields", Discarded,
        "the NTS fields of its replies are malformed";
    /// The server cannot open the cookie. The claim is not authenticated.
    NtsNak = "nts_nak", Discarded,
        "it does not accept our cookies any more; keys will be exchanged anew";
    /// The server says that it could not verify the request: it has another key, or none of that number. Not authenticated.
    CryptoNak = "crypto_nak", Discarded,
        "it does not accept our symmetric key (crypto-NAK)";
    /// A precision that no clock has.
    Precision = "bad_precision", Unused,
        "it claims a precision that no clock has";
    /// The server is not synchronised (leap indicator 3).
    LeapUnknown = "leap_unknown", Unused,
        "it reports that it is not synchronised";
    /// A kiss-o'-death.
    Kiss = "kiss", Unused,
        "it refuses to tell the time (kiss-o'-death)";
    /// Stratum 0 or above 15.
    Unsynchronised = "unsynchronised", Unused,
        "it reports that it is not synchronised (its stratum is 0 or 16)";
    /// The stratum is above the configured limit.
    StratumLimit = "stratum_limit", Unused,
        "its stratum is above the configured limit";
    /// The root distance is above 16 s.
    RootDistance = "root_distance", Unused,
        "it is too far from its reference clock";
    /// The round trip is longer than the configured limit.
    DelayLimit = "delay_limit", Unused,
        "the round trip to it is longer than the configured limit";
    /// The server follows this host.
    Loop = "loop", Unused,
        "it gets its time from this host";
    /// The server is this host.
    Itself = "self", Unused,
        "it is this host";
    /// It tells the time in another timescale than UTC.
    Timescale = "other_timescale", Unused,
        "it serves another timescale than UTC, such as TAI or a smeared UTC";
    /// It does not say of which servers its time comes, or of so many that it could be any.
    ReferenceIds = "bad_reference_ids", Unused,
        "it does not say which servers its time comes from, or names so many that a loop cannot be ruled out";
    /// A time outside the validity of the certificates of the server.
    Certificate = "outside_certificate", Unused,
        "its time lies outside the validity of its own certificate";
}
