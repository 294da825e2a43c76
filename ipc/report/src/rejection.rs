//! The packet tests: why a reply is discarded or not used.

/// What becomes of a reply that fails a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The reply is discarded, as if none had come.
    Discarded,
    /// The server is reachable, but its time is not used.
    Unused,
}

// One row for each test: its name here, its word in the documents, and its effect.
macro_rules! rejections {
    ($($(#[$doc:meta])* $test:ident = $word:literal, $effect:ident;)+) => {
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
        }
    };
}

rejections! {
    /// The origin timestamp is not the nonce of the query.
    Origin = "bad_origin", Discarded;
    /// Neither version 4 nor version 3.
    Version = "bad_version", Discarded;
    /// Not the mode of a server (4).
    Mode = "bad_mode", Discarded;
    /// T2 or T3 is zero, T2 is after T3, or the server took longer than 4 s.
    BadInterval = "bad_interval", Discarded;
    /// The server took longer than the exchange.
    NegativeDelay = "negative_delay", Discarded;
    /// Before the earliest or after the latest plausible time.
    Date = "bad_date", Discarded;
    /// The clock was stepped, a leap second occurred or the host was suspended between T1 and T4.
    Discontinuity = "discontinuity", Discarded;
    /// T1 or T4 is slightly outside the engine's own clock readings.
    Readings = "outside_readings", Discarded;
    /// Found by the client: not an NTP packet.
    Malformed = "malformed", Discarded;
    /// Found by the client: from another address.
    Source = "bad_source", Discarded;
    /// Found by the client: a MAC or crypto-NAK, although no key is shared.
    UnexpectedMac = "unexpected_mac", Discarded;
    /// Not authenticated, although authentication is required.
    Unprotected = "unprotected", Discarded;
    /// The authentication tag is wrong.
    Forged = "forged", Discarded;
    /// The unique identifier is missing or belongs to another request.
    Identifier = "bad_identifier", Discarded;
    /// The NTS extension fields are malformed.
    NtsFields = "bad_nts_fields", Discarded;
    /// The server cannot open the cookie. The claim is not authenticated.
    NtsNak = "nts_nak", Discarded;
    /// A precision that no clock has.
    Precision = "bad_precision", Unused;
    /// The server is not synchronised (leap indicator 3).
    LeapUnknown = "leap_unknown", Unused;
    /// A kiss-o'-death.
    Kiss = "kiss", Unused;
    /// Stratum 0 or above 15.
    Unsynchronised = "unsynchronised", Unused;
    /// The stratum is above the configured limit.
    StratumLimit = "stratum_limit", Unused;
    /// The root distance is above 16 s.
    RootDistance = "root_distance", Unused;
    /// The round trip is longer than the configured limit.
    DelayLimit = "delay_limit", Unused;
    /// The server follows this host.
    Loop = "loop", Unused;
    /// The server is this host.
    Itself = "self", Unused;
    /// A time outside the validity of the certificates of the server.
    Certificate = "outside_certificate", Unused;
}
