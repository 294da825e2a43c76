//! A request becomes a reply, or a reason to keep silent. Pure but for the limiter's memory.

use super::access::AccessList;
use super::limit::Limiter;
use ipc::message::server::ServerState;
use ipc::units::{Leap, RawInstant};
use protocol::extension_field::walk;
use protocol::header::{Header, LENGTH, MODE_CLIENT};
use protocol::reply::{SystemVariables, to_request};
use protocol::timestamp::{Timestamp, short_from_nanos};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Versions that are answered.
const VERSIONS: RangeInclusive<u8> = 1..=4;

/// NTP control messages (RFC 9327) and what ntpd's own tool once spoke: never answered.
const CONTROL_MODES: RangeInclusive<u8> = 6..=7;

/// Growth of the root dispersion, as the standard has it (RFC 5905 PHI): 15 ppm.
const PPM_OF_DISPERSION: i128 = 15;

/// Precision of a server that was told nothing yet, log2 s.
const UNKNOWN_PRECISION: i8 = -18;

/// Second, in nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// Who asked, and whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The sender.
    pub source: SocketAddr,
    /// The address and port of this host that it came to, where the kernel tells.
    pub target: Option<SocketAddr>,
    /// Whether it was sent to that address alone, not to a group or to everybody.
    pub is_unicast: bool,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not an NTP client request, or one that can't be answered.
    Malformed,
    /// Mode 6 or 7.
    Control,
    /// The access rules say so.
    Denied,
    /// Too many requests from there.
    Limited,
}

/// The reply's octets, the transmit timestamp still zero: it is written right before sending. A reply is a
/// bare header, so it is never longer than its request.
///
/// # Errors
/// [`Refusal`], the first reason that is found.
pub fn respond(
    request: &[u8],
    asked: &Asked,
    state: Option<&ServerState>,
    receive: Timestamp,
    now: RawInstant,
    access: &AccessList,
    limiter: &mut Limiter,
) -> Result<[u8; LENGTH], Refusal> {
    let source = asked.source.ip().to_canonical();
    let is_own = asked
        .target
        .is_some_and(|target| target.port() == asked.source.port() && target.ip().to_canonical() == source);
    if asked.source.port() == 0 || source.is_multicast() || source.is_unspecified() {
        return Err(Refusal::Malformed);
    }
    if is_own || !asked.is_unicast {
        return Err(Refusal::Malformed);
    }
    if !access.allows(source) {
        return Err(Refusal::Denied);
    }
    if request.first().is_some_and(|first| CONTROL_MODES.contains(&(first & 7))) {
        return Err(Refusal::Control);
    }
    let header = Header::decode(request).map_err(|_| Refusal::Malformed)?;
    let after = request.get(LENGTH..).unwrap_or_default();
    if header.mode != MODE_CLIENT
        || !VERSIONS.contains(&header.version)
        || walk(after, header.version).any(|item| item.is_err())
    {
        return Err(Refusal::Malformed);
    }
    if !limiter.admits(source, now) {
        return Err(Refusal::Limited);
    }
    let system = variables(state, now);
    let reply = to_request(&header, &system, receive, Timestamp::UNKNOWN).ok_or(Refusal::Malformed)?;
    Ok(reply.encode())
}

/// What the engine said, as it is at `now`; "unsynchronised" where it said nothing or too long ago.
fn variables(state: Option<&ServerState>, now: RawInstant) -> SystemVariables {
    let Some(state) = state else { return SystemVariables::unsynchronised(UNKNOWN_PRECISION) };
    if now > state.valid_until {
        return SystemVariables::unsynchronised(state.precision);
    }
    let age = i128::from(now.since(state.as_of).nanos().max(0));
    let growth = (age * PPM_OF_DISPERSION + 999_999) / 1_000_000;
    let growth = i64::try_from(growth).unwrap_or(i64::MAX);
    SystemVariables {
        leap: match state.leap {
            Leap::None => 0,
            Leap::Insert => 1,
            Leap::Delete => 2,
            Leap::Unknown => 3,
        },
        stratum: state.stratum,
        precision: state.precision,
        root_delay: short_from_nanos(state.root_delay.nanos()),
        root_dispersion: short_from_nanos(state.root_dispersion.nanos().saturating_add(growth)),
        reference_id: state.reference_id,
        // Whole seconds: the exact moment of a correction would tell strangers about our queries (A091).
        reference_timestamp: match state.reference_time.nanos() / SECOND {
            0 => Timestamp::UNKNOWN,
            seconds => Timestamp::from_unix_nanos(seconds.saturating_mul(SECOND)),
        },
    }
}

#[cfg(test)]
mod tests;
