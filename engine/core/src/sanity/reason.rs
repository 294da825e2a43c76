//! Why a reply is thrown away, or can't be used: one table.

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident, $kind:ident, $name:literal, $sentence:literal;)+) => {
        /// Why a reply isn't used. RFC 5905 section 8 and figure 22.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum RejectReason {
            $($(#[$doc])* $reason,)+
        }

        impl RejectReason {
            /// All of them, in order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$reason),+];

            const fn row(self) -> (&'static str, Kind, &'static str) {
                match self {
                    $(Self::$reason => ($name, Kind::$kind, $sentence),)+
                }
            }
        }
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The reply counts as none at all.
    Silent,
    /// The server is there, but its time is not used.
    Unusable,
}

// The name in reports (stable), and for a person what it means and, where there is something, what to do.
reasons! {
    /// Silent: the origin timestamp isn't the nonce that was sent.
    Origin, Silent, "bad_origin",
        "its replies do not belong to our queries; somebody may be forging them";
    /// Silent: neither version 4 nor 3.
    Version, Silent, "bad_version",
        "it answers in another protocol version";
    /// Silent: not from a server (mode 4).
    Mode, Silent, "bad_mode",
        "it does not answer as a server";
    /// Silent: T2 or T3 is zero, T2 after T3, or the server took longer than 4 s.
    BadInterval, Silent, "bad_interval",
        "its receive and transmit times are impossible";
    /// Silent: the server took longer than the exchange itself.
    NegativeDelay, Silent, "negative_delay",
        "its replies claim a negative delay";
    /// Silent: a date before the earliest or after the latest plausible time.
    Date, Silent, "bad_date",
        "its date is before this program was built or absurdly late";
    /// Silent: the clock was stepped, a leap second or a suspend fell between T1 and T4.
    Discontinuity, Silent, "discontinuity",
        "the last exchange was cut by a change of the clock; the next one will do";
    /// Silent: T1 or T4 slightly outside the engine's own readings.
    Readings, Silent, "outside_readings",
        "the last exchange was stamped outside its own limits; the machine may be overloaded";
    /// Silent, seen by the client: not an NTP packet.
    Malformed, Silent, "malformed",
        "its replies are not NTP packets";
    /// Silent, seen by the client: from another address.
    Source, Silent, "bad_source",
        "replies come from another address";
    /// Silent, seen by the client: a MAC or crypto-NAK where no key is shared.
    UnexpectedMac, Silent, "unexpected_mac",
        "its replies are signed with a key that is not shared with us";
    /// Silent: no authentication, where it is asked for.
    Unprotected, Silent, "unprotected",
        "its replies carry no authentication; somebody on the path may be stripping it";
    /// Silent: the authentication tag is wrong.
    Forged, Silent, "forged",
        "the authentication tags of its replies are wrong; somebody may be forging them";
    /// Silent: another request's unique identifier, or none.
    Identifier, Silent, "bad_identifier",
        "its replies do not carry our queries' identifiers";
    /// Silent: NTS fields that make no sense.
    NtsFields, Silent, "bad_nts_fields",
        "the NTS fields of its replies make no sense";
    /// Silent: the server can't open our cookie, says somebody who saw the query.
    NtsNak, Silent, "nts_nak",
        "it does not know our cookies any more; keys will be exchanged anew";
    /// Unusable: a precision that no clock has.
    Precision, Unusable, "bad_precision",
        "it claims a precision that no clock has";
    /// Unusable: the server says that it isn't synchronised (leap indicator 3).
    LeapUnknown, Unusable, "leap_unknown",
        "it says itself that it is not synchronised";
    /// Unusable: a kiss-o'-death.
    Kiss, Unusable, "kiss",
        "it refuses to tell the time (kiss-o'-death)";
    /// Unusable: stratum above 15.
    Unsynchronised, Unusable, "unsynchronised",
        "it says itself that it is not synchronised (its stratum is 0 or 16)";
    /// Unusable: stratum above the configured limit.
    StratumLimit, Unusable, "stratum_limit",
        "its stratum is above the configured limit";
    /// Unusable: root delay and root dispersion beyond 16 s.
    RootDistance, Unusable, "root_distance",
        "it is too far from its reference clock";
    /// Unusable: the round trip is longer than the configured limit.
    DelayLimit, Unusable, "delay_limit",
        "the round trip to it is longer than the configured limit";
    /// Unusable: the server follows this host.
    Loop, Unusable, "loop",
        "it gets its time from this host";
    /// Unusable: the server is this host.
    Itself, Unusable, "self",
        "it is this host";
    /// Unusable: a time outside the validity of the certificates that vouched for the server.
    Certificate, Unusable, "outside_certificate",
        "its time lies outside the validity of its own certificate";
}

impl RejectReason {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The name in reports; stable.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Whether the reply counts as none at all.
    pub const fn is_silent(self) -> bool {
        matches!(self.row().1, Kind::Silent)
    }

    /// For a person: what it means and, where there is something, what to do.
    pub const fn sentence(self) -> &'static str {
        self.row().2
    }
}
