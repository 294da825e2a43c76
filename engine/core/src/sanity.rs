//! The packet tests (RFC 5905 section 8).
//!
//! A reply that fails a test is either *discarded*: it is counted, and otherwise treated as if it had not come; or it is
//! *not used*: the source is reachable, but its time is not used. The tests depend only on the reply, the query it belongs
//! to and the configuration, and they change nothing. [`RejectReason`] has their names and effects.

use crate::measurement::{Measurement, Times};
use ipc::message::client::ReplyHeader;
use ipc::units::Leap;
use protocol::header::MODE_SERVER;
use protocol::kiss::KissCode;
use protocol::timestamp::{Timestamp, short_to_nanos};
use report::{Effect, RejectReason};

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

    /// How far the server may be from true time by what it says, seconds.
    pub(crate) fn root_distance(&self) -> f64 {
        self.root_delay / 2.0 + self.root_dispersion
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
    /// What is added to a measured offset, nanoseconds.
    pub(crate) correction: i64,
    /// Highest usable stratum.
    pub(crate) max_stratum: u8,
    /// Reference ids of our own addresses.
    pub(crate) own_ids: &'a [u32],
    /// What we serve: stratum, reference id, root delay in 2^-16 s, reference time in 2^-32 s.
    pub(crate) served: Option<(u8, u32, u32, u64)>,
    /// Nanoseconds, see [`crate::measurement`].
    pub(crate) slack: i64,
    /// What a reply in version 5 says beyond its header; none: the query was of version 4.
    pub(crate) beyond: Option<Beyond>,
}

/// What a reply in version 5 says beyond what the header of version 4 can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// Why its time is not to be used.
    pub(crate) objection: Option<RejectReason>,
    /// How long query and reply were held up on the path, nanoseconds, as the path says.
    pub(crate) held_up: Option<(i64, i64)>,
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

/// The coarsest unit, at most a second, of which both stamps are multiples, in seconds; 0: none that is worth a microsecond.
/// A server may claim any precision. That stamps with a finer clock behind them look coarse is improbable: once in 2^24 for
/// a microsecond, less for more.
fn granularity(header: &ReplyHeader, t2: i64, t3: i64) -> f64 {
    /// Units of clocks that count in tens, nanoseconds.
    const DECIMAL: [i64; 7] = [1_000_000_000, 100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000];
    let zeros = (header.receive_timestamp | header.transmit_timestamp).trailing_zeros().min(32) as i32;
    let binary = if zeros >= 12 { libm::ldexp(1.0, zeros - 32) } else { 0.0 };
    // A stamp is rounded to 2^-32 s, and here to a nanosecond.
    let is_multiple = |time: i64, unit: i64| (time + 1).rem_euclid(unit) <= 2;
    let decimal = DECIMAL.into_iter().find(|unit| is_multiple(t2, *unit) && is_multiple(t3, *unit));
    decimal.map_or(binary, |unit| binary.max(unit as f64 * 1e-9))
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
    if !(matches!(header.version, 3 | 4) || expected.beyond.is_some()) {
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
    let mut facts = Facts::of(header);
    match expected.beyond.and_then(|beyond| beyond.objection) {
        Some(reason) if reason.effect() == Effect::Discarded => return Err(reason),
        Some(reason) => return Ok(Verdict::Unusable(reason, facts)),
        None => {}
    }
    if let Some(reason) = unusable(header, &facts, expected) {
        return Ok(Verdict::Unusable(reason, facts));
    }
    let t2 = unix_nanos(header.receive_timestamp, expected.floor);
    let t3 = unix_nanos(header.transmit_timestamp, expected.floor);
    let claimed = log2_seconds(header.precision);
    let shown = claimed.max(granularity(header, t2, t3));
    facts.root_dispersion += shown - claimed;
    let precision = log2_seconds(expected.precision).max(shown);
    let measurement = Measurement::try_new(&times(t2, t3), precision, expected.slack)?
        .held_up(expected.beyond.and_then(|beyond| beyond.held_up));
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
    } else if facts.root_distance() >= 16.0 {
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
