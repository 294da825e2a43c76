//! The draft of NTP version 5: from a request to a reply, or to a reason for silence. Only where the policy has it; requests
//! of other versions never come here.
//!
//! A reply is written over its request and has its length. Interleaved mode shares the table of version 4: the server cookie
//! is the receive timestamp of the reply that it names.

use super::interleave::Name;
use super::limit::{SplitMix64, Verdict};
use super::respond::{Asked, Refusal, ReplyKind, RequestContext};
use ipc::message::server::Smear;
use protocol::header::LENGTH;
use protocol::ntpv5::server::{RequestError, Told, answer_fields, read, slower, time};
use protocol::ntpv5::{Filter, Flags, Timescale, VERSION};
use protocol::timestamp::Timestamp;

/// What replies say beside the system variables.
#[derive(Clone, Copy, Debug)]
pub struct Version5<'a> {
    /// The reference ids of all servers that our time comes from; none: the engine has not told them yet.
    pub filter: Option<&'a Filter>,
    /// How leap seconds are served.
    pub smear: Smear,
}

impl Version5<'_> {
    /// UTC, or one that is said to be smeared, also on days without a smear: who asks for UTC must not average both.
    const fn timescale(&self) -> Timescale {
        match self.smear {
            Smear::Off => Timescale::Utc,
            Smear::Linear | Smear::Cosine => Timescale::Smeared,
        }
    }
}

/// Whether a datagram says that it is of this version.
pub(super) fn is_version5(request: &[u8]) -> bool {
    request.first().is_some_and(|first| first >> 3 & 7 == VERSION)
}

/// A reply that was written over its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its kind.
    pub kind: ReplyKind,
    /// Sent although the client asks too often.
    pub is_spared: bool,
    /// The key under which the departure time must be stored.
    pub departure: Option<Name>,
}

/// Writes the reply over a request that arrived at `received` (nanoseconds since 1970), with the timestamp `receive` for it.
/// The source was judged before.
///
/// # Errors
/// [`Refusal`]: the request stays as it is.
pub fn write(
    packet: &mut [u8],
    asked: &Asked,
    (received, receive): (i64, Timestamp),
    version5: &Version5<'_>,
    context: &RequestContext<'_>,
    rng: &mut SplitMix64,
) -> Result<Written, Refusal> {
    let request = match read(packet) {
        Ok(request) if request.is_protected => return Err(Refusal::Malformed),
        Ok(request) => request.header,
        Err(RequestError::Mac) => return Err(Refusal::Unauthenticated),
        Err(RequestError::Malformed | RequestError::Draft) => return Err(Refusal::Malformed),
    };
    if context.is_silent && (context.system.leap == 3 || !(1..=15).contains(&context.system.stratum)) {
        return Err(Refusal::Unsynchronised);
    }
    let verdict =
        context.limiter.map_or(Verdict::Within, |limiter| limiter.judge(&asked.source, context.now, rng));
    let (header, fields) = packet.split_first_chunk_mut::<LENGTH>().ok_or(Refusal::Malformed)?;
    match verdict {
        Verdict::Within | Verdict::Spared => {}
        Verdict::Over => return Err(Refusal::Limited),
        Verdict::Kiss => {
            *header = slower(&request, version5.timescale()).encode();
            answer_fields(fields, None);
            return Ok(Written { kind: ReplyKind::Kiss, is_spared: false, departure: None });
        }
    }
    let told = Told {
        timescale: version5.timescale(),
        filter: version5.filter,
        reference_timestamp: context.system.reference_timestamp.bits(),
        received,
        receive_timestamp: receive.bits(),
    };
    let mut reply = time(&request, &context.system, &told);
    let (mut kind, mut departure) = (ReplyKind::Basic, None);
    if let Some(departures) = context.departures.filter(|_| request.flags.is_interleaved()) {
        let source = asked.source.ip;
        if let Some(left) = departures.find(departures.name(request.server_cookie, source)) {
            reply.flags = Flags::of_reply(reply.flags.is_synchronised(), true);
            reply.transmit_timestamp = left;
            kind = ReplyKind::Interleaved;
        }
        reply.server_cookie = receive.bits();
        departure = Some(departures.name(receive.bits(), source));
    }
    *header = reply.encode();
    answer_fields(fields, Some(&told));
    Ok(Written { kind, is_spared: verdict == Verdict::Spared, departure })
}

#[cfg(test)]
mod tests;
