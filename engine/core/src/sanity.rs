//! The tests that a reply must pass, each with a name.
//!
//! A *silent* reason means: as if the reply had never come, but for one count. An *unusable* one means: the
//! source answers (it is reachable), but its time isn't used. No test looks at anything but the reply, the
//! query it belongs to and what is configured; nothing is changed by a test.

use crate::measurement::{Measurement, Times};
use ipc::message::client::ReplyHeader;
use ipc::units::Leap;
use protocol::header::MODE_SERVER;
use protocol::kiss::KissCode;
use protocol::timestamp::{Timestamp, short_to_nanos};

/// Why a reply isn't used. RFC 5905 section 8 and figure 22.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum RejectReason {
    /// Silent: the origin timestamp isn't the nonce that was sent.
    Origin,
    /// Silent: neither version 4 nor 3.
    Version,
    /// Silent: not from a server (mode 4).
    Mode,
    /// Silent: T2 or T3 is zero, T2 after T3, or the server took longer than 4 s.
    BadInterval,
    /// Silent: the server took longer than the exchange itself.
    NegativeDelay,
    /// Silent: a date before the earliest or after the latest plausible time.
    Date,
    /// Silent: the clock was stepped, a leap second or a suspend fell between T1 and T4.
    Discontinuity,
    /// Silent: T1 or T4 slightly outside the engine's own readings.
    Readings,
    /// Silent, seen by the client role: not an NTP packet.
    Malformed,
    /// Silent, seen by the client role: from another address.
    Source,
    /// Silent, seen by the client role: a MAC or crypto-NAK where no key is shared.
    UnexpectedMac,
    /// Silent: no authentication, where it is asked for.
    Unprotected,
    /// Silent: the authentication tag is wrong.
    Forged,
    /// Silent: another request's unique identifier, or none.
    Identifier,
    /// Silent: NTS fields that make no sense.
    NtsFields,
    /// Silent: the server can't open our cookie, says somebody who saw the query.
    NtsNak,
    /// Unusable: a precision that no clock has.
    Precision,
    /// Unusable: the server says that it isn't synchronised (leap indicator 3).
    LeapUnknown,
    /// Unusable: a kiss-o'-death.
    Kiss,
    /// Unusable: stratum above 15.
    Unsynchronised,
    /// Unusable: stratum above the configured limit.
    StratumLimit,
    /// Unusable: root delay and root dispersion beyond 16 s.
    RootDistance,
    /// Unusable: the round trip is longer than the configured limit.
    DelayLimit,
    /// Unusable: the server follows this host.
    Loop,
    /// Unusable: the server is this host.
    Itself,
    /// Unusable: a time outside the validity of the certificates that vouched for the server.
    Certificate,
}

impl RejectReason {
    /// How many there are.
    pub const COUNT: usize = 26;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Origin,
        Self::Version,
        Self::Mode,
        Self::BadInterval,
        Self::NegativeDelay,
        Self::Date,
        Self::Discontinuity,
        Self::Readings,
        Self::Malformed,
        Self::Source,
        Self::UnexpectedMac,
        Self::Unprotected,
        Self::Forged,
        Self::Identifier,
        Self::NtsFields,
        Self::NtsNak,
        Self::Precision,
        Self::LeapUnknown,
        Self::Kiss,
        Self::Unsynchronised,
        Self::StratumLimit,
        Self::RootDistance,
        Self::DelayLimit,
        Self::Loop,
        Self::Itself,
        Self::Certificate,
    ];

    /// The name in reports; stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Origin => "bad_origin",
            Self::Version => "bad_version",
            Self::Mode => "bad_mode",
            Self::BadInterval => "bad_interval",
            Self::NegativeDelay => "negative_delay",
            Self::Date => "bad_date",
            Self::Discontinuity => "discontinuity",
            Self::Readings => "outside_readings",
            Self::Malformed => "malformed",
            Self::Source => "bad_source",
            Self::UnexpectedMac => "unexpected_mac",
            Self::Unprotected => "unprotected",
            Self::Forged => "forged",
            Self::Identifier => "bad_identifier",
            Self::NtsFields => "bad_nts_fields",
            Self::NtsNak => "nts_nak",
            Self::Precision => "bad_precision",
            Self::LeapUnknown => "leap_unknown",
            Self::Kiss => "kiss",
            Self::Unsynchronised => "unsynchronised",
            Self::StratumLimit => "stratum_limit",
            Self::RootDistance => "root_distance",
            Self::DelayLimit => "delay_limit",
            Self::Loop => "loop",
            Self::Itself => "self",
            Self::Certificate => "outside_certificate",
        }
    }

    /// Whether the reply counts as none at all.
    pub const fn is_silent(self) -> bool {
        (self as usize) < Self::Precision as usize
    }

    /// For a person: what it means and, where there is something, what to do.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Origin => "its replies do not belong to our queries; somebody may be forging them",
            Self::Version => "it answers in another protocol version",
            Self::Mode => "it does not answer as a server",
            Self::BadInterval => "its receive and transmit times are impossible",
            Self::NegativeDelay => "its replies claim a negative delay",
            Self::Date => "its date is before this program was built or absurdly late",
            Self::Discontinuity => "the last exchange was cut by a change of the clock; the next one will do",
            Self::Readings => {
                "the last exchange was stamped outside its own limits; the machine may be overloaded"
            }
            Self::Malformed => "its replies are not NTP packets",
            Self::Source => "replies come from another address",
            Self::UnexpectedMac => "its replies are signed with a key that is not shared with us",
            Self::Unprotected => {
                "its replies carry no authentication; somebody on the path may be stripping it"
            }
            Self::Forged => "the authentication tags of its replies are wrong; somebody may be forging them",
            Self::Identifier => "its replies do not carry our queries' identifiers",
            Self::NtsFields => "the NTS fields of its replies make no sense",
            Self::NtsNak => "it does not know our cookies any more; keys will be exchanged anew",
            Self::Precision => "it claims a precision that no clock has",
            Self::LeapUnknown => "it says itself that it is not synchronised",
            Self::Kiss => "it refuses to tell the time (kiss-o'-death)",
            Self::Unsynchronised => "it says itself that it is not synchronised (its stratum is 0 or 16)",
            Self::StratumLimit => "its stratum is above the configured limit",
            Self::RootDistance => "it is too far from its reference clock",
            Self::DelayLimit => "the round trip to it is longer than the configured limit",
            Self::Loop => "it gets its time from this host",
            Self::Itself => "it is this host",
            Self::Certificate => "its time lies outside the validity of its own certificate",
        }
    }
}

/// What a server said about itself in its last usable reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) leap: Leap,
    pub(crate) stratum: u8,
    pub(crate) reference_id: u32,
    /// Seconds.
    pub(crate) root_delay: f64,
    /// Seconds, the server's precision included.
    pub(crate) root_dispersion: f64,
}

impl Facts {
    pub(crate) fn of(header: &ReplyHeader) -> Self {
        Self {
            leap: header.leap,
            stratum: header.stratum,
            reference_id: header.reference_id,
            root_delay: short_to_nanos(header.root_delay) as f64 * 1e-9,
            root_dispersion: short_to_nanos(header.root_dispersion) as f64 * 1e-9
                + log2_seconds(header.precision),
        }
    }
}

/// 2^`exponent` seconds, for exponents of −32 to 0; outside, the nearer end.
pub(crate) fn log2_seconds(exponent: i8) -> f64 {
    libm::ldexp(1.0, i32::from(exponent.clamp(-32, 0)))
}

/// What a reply is tested against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expectations<'a> {
    /// The nonce of the query.
    pub(crate) nonce: u64,
    /// Local precision, log2 s.
    pub(crate) precision: i8,
    /// Earliest plausible time, nanoseconds since 1970.
    pub(crate) floor: i64,
    /// Latest plausible time.
    pub(crate) latest: i64,
    /// Longest usable round trip, seconds.
    pub(crate) max_delay: f64,
    /// Highest usable stratum.
    pub(crate) max_stratum: u8,
    /// Reference ids of our own addresses.
    pub(crate) own_ids: &'a [u32],
    /// What we serve: stratum, reference id, root delay in 2^-16 s, reference time in 2^-32 s.
    pub(crate) served: Option<(u8, u32, u32, u64)>,
    /// Nanoseconds, see [`crate::measurement`].
    pub(crate) slack: i64,
}

/// What a reply turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// A measurement, and what the server says of itself.
    Usable(Measurement, Facts),
    /// The server is there, but its time is not to be used.
    Unusable(RejectReason, Facts),
    /// A kiss-o'-death that answers our query.
    Kiss(KissCode),
}

/// Seconds before the floor at which the era window starts: far enough that a date before the floor is
/// read as what it is.
const PIVOT_BACK: i64 = 50 * 365 * 86_400;

/// Nanoseconds since 1970 of a timestamp on the wire, in the era around the build's date.
pub(crate) fn unix_nanos(bits: u64, floor: i64) -> i64 {
    Timestamp::from_bits(bits).unix_nanos(floor / 1_000_000_000 - PIVOT_BACK)
}

/// The tests, in order. `times` gives T2 and T3 their meaning from the header.
///
/// # Errors
/// A silent [`RejectReason`].
pub(crate) fn examine(
    header: &ReplyHeader,
    times: impl FnOnce(i64, i64) -> Times,
    expected: &Expectations<'_>,
) -> Result<Verdict, RejectReason> {
    if header.origin_timestamp != expected.nonce || expected.nonce == 0 {
        return Err(RejectReason::Origin);
    }
    if !matches!(header.version, 3 | 4) {
        return Err(RejectReason::Version);
    }
    if header.mode != MODE_SERVER {
        return Err(RejectReason::Mode);
    }
    // Times in a kiss-o'-death mean nothing, and are not looked at.
    if header.stratum == 0 && header.reference_id == 0 {
        // Not a kiss: a server that has nothing to say yet.
        return Ok(Verdict::Unusable(RejectReason::Unsynchronised, Facts::of(header)));
    }
    if header.stratum == 0 {
        return Ok(Verdict::Kiss(KissCode::from_reference_id(header.reference_id)));
    }
    if header.receive_timestamp == 0 || header.transmit_timestamp == 0 {
        return Err(RejectReason::BadInterval);
    }
    let facts = Facts::of(header);
    if let Some(reason) = unusable(header, &facts, expected) {
        return Ok(Verdict::Unusable(reason, facts));
    }
    let t2 = unix_nanos(header.receive_timestamp, expected.floor);
    let t3 = unix_nanos(header.transmit_timestamp, expected.floor);
    let precision = log2_seconds(expected.precision.max(header.precision));
    let measurement = Measurement::try_new(&times(t2, t3), precision, expected.slack)?;
    if t2 < expected.floor || t3 > expected.latest {
        return Err(RejectReason::Date);
    }
    if measurement.delay > expected.max_delay {
        return Ok(Verdict::Unusable(RejectReason::DelayLimit, facts));
    }
    Ok(Verdict::Usable(measurement, facts))
}

fn unusable(header: &ReplyHeader, facts: &Facts, expected: &Expectations<'_>) -> Option<RejectReason> {
    let served = (header.stratum, header.reference_id, header.root_delay, header.reference_timestamp);
    if !(-32..=0).contains(&header.precision) {
        Some(RejectReason::Precision)
    } else if header.leap == Leap::Unknown {
        Some(RejectReason::LeapUnknown)
    } else if header.stratum > 15 {
        Some(RejectReason::Unsynchronised)
    } else if header.stratum > expected.max_stratum {
        Some(RejectReason::StratumLimit)
    } else if facts.root_delay / 2.0 + facts.root_dispersion >= 16.0 {
        Some(RejectReason::RootDistance)
    } else if expected.served == Some(served) {
        Some(RejectReason::Itself)
    } else if header.stratum > 1 && expected.own_ids.contains(&header.reference_id) {
        Some(RejectReason::Loop)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
