//! From a request to a reply, or to a reason for silence. Pure, except for the state of limiter and departure table.
//!
//! Only requests of clients and of symmetric peers are answered. A peer (mode 1: Windows in its default configuration)
//! gets what a client gets, in mode 2: there is no association, so nothing is kept of it and nothing is sent unasked.

use super::access::AccessList;
use super::interleave::{Departures, Name};
use super::key_ring::{KeyPlace, KeyRing};
use super::limit::{Limiter, SplitMix64, Verdict};
use super::smear::reference_id;
use super::source::Source;
use super::version5::Version5;
use ipc::message::server::ServerState;
use ipc::units::{Leap, RawInstant};
use protocol::extension_field::{Item, NTS_AUTHENTICATOR, NTS_COOKIE, walk};
use protocol::header::{Header, LENGTH, MODE_CLIENT, MODE_SYMMETRIC_ACTIVE};
use protocol::ms_sntp;
use protocol::ntpv5::UPGRADE;
use protocol::reply::{SystemVariables, kiss, to_request};
use protocol::timestamp::{Timestamp, short_from_nanos};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// Versions that are answered, each in its own version.
const VERSIONS: RangeInclusive<u8> = 1..=4;

/// NTP control messages (RFC 9327) and ntpd's former private mode: never answered.
const CONTROL_MODES: RangeInclusive<u8> = 6..=7;

/// The port of servers and symmetric peers.
const NTP_PORT: u16 = 123;

/// Growth rate of the root dispersion (RFC 5905 PHI): 15 ppm.
const PPM_OF_DISPERSION: i128 = 15;

/// Precision of a server without a state, log2 s.
const UNKNOWN_PRECISION: i8 = -18;

/// A second in nanoseconds.
const SECOND: i64 = 1_000_000_000;

/// The source and destination of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The sender.
    pub source: Source,
    /// The destination address and port, if the kernel reports them.
    pub target: Option<SocketAddr>,
    /// Whether it was sent by unicast, not by multicast or broadcast.
    pub is_unicast: bool,
}

/// The state that all requests of one batch share.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The system variables for replies.
    pub system: SystemVariables,
    /// No client is answered while `system` is not synchronised.
    pub is_silent: bool,
    /// Which clients are answered.
    pub access: &'a AccessList,
    /// The rate limiter; `None`: no limits.
    pub limiter: Option<&'a Limiter>,
    /// The symmetric keys that clients may use; without them no request with a MAC is answered.
    pub keys: Option<&'a KeyRing>,
    /// Replies can be signed for clients of an Active Directory domain.
    pub signs: bool,
    /// The departure times of earlier replies; without them no reply is interleaved.
    pub departures: Option<&'a Departures>,
    /// The draft of version 5 is spoken.
    pub version5: Option<Version5<'a>>,
    /// The clock readings.
    pub now: RawInstant,
}

/// A reply, and how it must be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// A bare header, behind which a MAC or signature is as long as that of its request: so it is never longer than its request.
    pub octets: [u8; LENGTH],
    /// The key of its MAC, which is written right before sending.
    pub key: Option<KeyPlace>,
    /// The account with whose password it is to be signed; unsigned it is not sent.
    pub account: Option<u32>,
    /// Its kind.
    pub kind: ReplyKind,
    /// Sent although the client asks too often.
    pub is_spared: bool,
    /// The key under which the departure time must be stored.
    pub departure: Option<Name>,
}

/// Kinds of replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// The transmit timestamp is still zero: it is written right before sending.
    Basic,
    /// The transmit timestamp is that of the reply before.
    Interleaved,
    /// Kiss-o'-death: "ask less often"; without a time.
    Kiss,
    /// NTS NAK: the cookie cannot be opened; without timestamps.
    Nak,
}

/// A valid request, as far as that can be determined without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its header.
    pub header: Header,
    /// It has NTS fields, so it is answered with NTS or not at all.
    pub is_protected: bool,
    /// The symmetric key that has authenticated it, and that authenticates the reply.
    pub key: Option<KeyPlace>,
    /// The account with whose password the reply is to be signed (MS-SNTP).
    pub account: Option<u32>,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a request of a client or a symmetric peer, one that cannot be answered, or one with invalid NTS fields.
    Malformed,
    /// Mode 6 or 7.
    Control,
    /// The access rules deny it.
    Denied,
    /// A MAC of an unknown key, or a wrong one.
    Unauthenticated,
    /// The client or its network sends too many requests.
    Limited,
    /// The clock is not synchronised, and the policy is to be silent then.
    Unsynchronised,
}

/// Checks the source of a request, and that it is none of the modes that are never answered.
///
/// # Errors
/// [`Refusal`], the first that applies.
#[inline]
pub fn admit(request: &[u8], asked: &Asked, context: &RequestContext<'_>) -> Result<(), Refusal> {
    let Source { ip: source, port } = asked.source;
    let is_own =
        asked.target.is_some_and(|target| target.port() == port && target.ip().to_canonical() == source);
    if port == 0 || source.is_multicast() || source.is_unspecified() || is_own || !asked.is_unicast {
        return Err(Refusal::Malformed);
    }
    if !context.access.allows(source) {
        return Err(Refusal::Denied);
    }
    if request.first().is_some_and(|first| CONTROL_MODES.contains(&(first & 7))) {
        return Err(Refusal::Control);
    }
    Ok(())
}

/// Parses a request, checks its source, and verifies its MAC where it has one. Nothing is counted but a MAC that is not right.
///
/// # Errors
/// [`Refusal`], the first that applies; [`Refusal::Limited`] only where a MAC may not be tried.
pub fn read(request: &[u8], asked: &Asked, context: &RequestContext<'_>) -> Result<Question, Refusal> {
    admit(request, asked, context)?;
    let port = asked.source.port;
    let mut header = Header::decode(request).map_err(|_| Refusal::Malformed)?;
    if header.version == 1 && header.mode == 0 && port != NTP_PORT {
        // Version 1 had no modes (RFC 1059); from another port it is a client.
        header.mode = MODE_CLIENT;
    }
    if !matches!(header.mode, MODE_CLIENT | MODE_SYMMETRIC_ACTIVE) || !VERSIONS.contains(&header.version) {
        return Err(Refusal::Malformed);
    }
    let (mut is_protected, mut has_mac) = (false, false);
    for item in walk(request.get(LENGTH..).unwrap_or_default(), header.version) {
        let item = item.map_err(|_| Refusal::Malformed)?;
        is_protected |= matches!(item, Item::Field { kind: NTS_COOKIE | NTS_AUTHENTICATOR, .. });
        has_mac |= matches!(item, Item::Mac(_) | Item::CryptoNak);
    }
    if is_protected && header.mode != MODE_CLIENT {
        return Err(Refusal::Malformed);
    }
    if context.is_silent && (context.system.leap == 3 || !(1..=15).contains(&context.system.stratum)) {
        return Err(Refusal::Unsynchronised);
    }
    // With NTS fields it is judged, and refused, with these.
    let mut key = None;
    let account = if has_mac && context.signs { ms_sntp::account(request) } else { None };
    if has_mac && !is_protected && account.is_none() {
        let keys = context.keys.ok_or(Refusal::Unauthenticated)?;
        if context.limiter.is_some_and(|limiter| !limiter.tries_digest(&asked.source, context.now)) {
            return Err(Refusal::Limited);
        }
        key = keys.verify(request, header.version);
        if key.is_none() {
            context.limiter.inspect(|limiter| limiter.note_failure(&asked.source, context.now));
            return Err(Refusal::Unauthenticated);
        }
    }
    Ok(Question { header, is_protected, key, account })
}

/// The reply to a request without NTS that arrived at `receive`. A client with a key is limited by key and address together, since an
/// attacker can forge an address alone, and its network by key and network.
///
/// # Errors
/// [`Refusal::Limited`].
pub fn answer(
    question: &Question,
    asked: &Asked,
    receive: Timestamp,
    context: &RequestContext<'_>,
    rng: &mut SplitMix64,
) -> Result<Reply, Refusal> {
    let Question { header: request, key, account, .. } = question;
    let number = key.and_then(|key| context.keys?.number(key));
    let verdict = match (context.limiter, number) {
        (None, _) => Verdict::Within,
        (Some(limiter), None) => limiter.judge(&asked.source, context.now, rng),
        (Some(limiter), Some(number)) => limiter.judge_keyed(number, &asked.source, context.now, rng),
    };
    match verdict {
        Verdict::Within | Verdict::Spared => {}
        Verdict::Over => return Err(Refusal::Limited),
        Verdict::Kiss => {
            let octets = kiss(request, *b"RATE").ok_or(Refusal::Malformed)?.encode();
            let kind = ReplyKind::Kiss;
            return Ok(Reply { octets, key: *key, account: None, kind, is_spared: false, departure: None });
        }
    }
    // What leaves later than its batch is not interleaved.
    let without = account.map(|_| RequestContext { departures: None, ..*context });
    let of_time = without.as_ref().unwrap_or(context);
    let (mut reply, kind, departure) = time(request, asked, receive, of_time).ok_or(Refusal::Malformed)?;
    // A client with a key would lose what the key proves, and so would one whose reply is signed.
    let is_plain = key.is_none() && account.is_none();
    if request.reference_timestamp == UPGRADE && context.version5.is_some() && is_plain {
        reply.reference_timestamp = UPGRADE;
    }
    let (octets, is_spared) = (reply.encode(), verdict == Verdict::Spared);
    Ok(Reply { octets, key: *key, account: *account, kind, is_spared, departure })
}

/// The header of a reply with a time: the transmit timestamp is that of the previous reply, or still to be
/// written; and the key under which this reply's is to be stored.
pub(super) fn time(
    request: &Header,
    asked: &Asked,
    receive: Timestamp,
    context: &RequestContext<'_>,
) -> Option<(Header, ReplyKind, Option<Name>)> {
    let mut reply = to_request(request, &context.system, receive, Timestamp::UNKNOWN)?;
    let Some(departures) = context.departures.filter(|_| wants_interleaved(request)) else {
        return Some((reply, ReplyKind::Basic, None));
    };
    let mut kind = ReplyKind::Basic;
    // The origin timestamp must be a receive timestamp that we sent to this address (RFC 9769 section 2).
    let source = asked.source.ip;
    if let Some(left) = departures.find(departures.name(request.origin_timestamp, source)) {
        reply.origin_timestamp = request.receive_timestamp;
        reply.transmit_timestamp = left;
        kind = ReplyKind::Interleaved;
    }
    Some((reply, kind, Some(departures.name(receive.bits(), source))))
}

/// Whether the origin timestamp is one of our receive timestamps, by its last bit, and the other fields are as
/// required.
fn wants_interleaved(request: &Header) -> bool {
    request.mode == MODE_CLIENT
        && request.origin_timestamp & 1 == 1
        && request.receive_timestamp != 0
        && request.receive_timestamp != request.transmit_timestamp
}

/// The state from the engine, extrapolated to `now`; unsynchronised if there is none or it is too old. With a smear the
/// reference id says so, and no leap second is announced.
pub fn variables(state: Option<&ServerState>, now: RawInstant, smear: Option<i64>) -> SystemVariables {
    let Some(state) = state else { return SystemVariables::unsynchronised(UNKNOWN_PRECISION) };
    if now > state.valid_until {
        return SystemVariables::unsynchronised(state.precision);
    }
    let age = i128::from(now.since(state.as_of).nanos().max(0));
    let growth = (age * PPM_OF_DISPERSION + 999_999) / 1_000_000;
    let growth = i64::try_from(growth).unwrap_or(i64::MAX);
    SystemVariables {
        leap: match state.leap {
            Leap::Unknown => 3,
            _ if smear.is_some() => 0,
            Leap::None => 0,
            Leap::Insert => 1,
            Leap::Delete => 2,
        },
        stratum: state.stratum,
        precision: state.precision,
        root_delay: short_from_nanos(state.root_delay.nanos()),
        root_dispersion: short_from_nanos(state.root_dispersion.nanos().saturating_add(growth)),
        reference_id: smear.map_or(state.reference_id, reference_id),
        // Whole seconds: the exact moment of a correction would tell strangers about our queries (A091).
        reference_timestamp: match state.reference_time.nanos() / SECOND {
            0 => Timestamp::UNKNOWN,
            seconds => Timestamp::from_unix_nanos(seconds.saturating_mul(SECOND)),
        },
    }
}

#[cfg(test)]
mod tests;
