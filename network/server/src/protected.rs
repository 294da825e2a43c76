//! Requests under NTS: opened first, answered later, so that the transmit timestamp of a sealed reply is as late as
//! possible. A request that cannot be opened is answered with an NTS NAK, within limits; an invalid one is not
//! answered.
//!
//! An authenticated client is limited by its association and not by its address, which an attacker can forge (A078). A
//! RATE kiss is sealed too: an honest client accepts no other.

use super::interleave::Name;
use super::limit::{SplitMix64, Verdict};
use super::respond::{Asked, Refusal, ReplyKind, RequestContext, time};
use protocol::header::Header;
use protocol::nts::cookie::CookieKeys;
use protocol::nts::server::{MAX_NONCES, ProtectedRequest, RefusedRequest, Request, read_request};
use protocol::reply::kiss;
use protocol::timestamp::Timestamp;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::Rng;

/// A request whose verdict is known and whose reply must still be written.
#[derive(Debug)]
pub struct Opened<'p> {
    answer: Answer<'p>,
    is_spared: bool,
}

#[derive(Debug)]
enum Answer<'p> {
    Time(ProtectedRequest<'p>, Header, ReplyKind, Option<Name>),
    Kiss(ProtectedRequest<'p>, Header),
    Nak(RefusedRequest<'p>),
}

/// Opens the cookie of a request that [`super::respond::read`] found to be protected and that arrived at `receive`,
/// verifies its tag, and decides on the reply. Decrypts in place.
///
/// # Errors
/// [`Refusal::Limited`] or [`Refusal::Malformed`].
pub fn open<'p>(
    packet: &'p mut [u8],
    asked: &Asked,
    receive: Timestamp,
    context: &RequestContext<'_>,
    rng: &mut SplitMix64,
    keys: &CookieKeys,
) -> Result<Opened<'p>, Refusal> {
    if context.limiter.is_some_and(|limiter| !limiter.tries(&asked.source, context.now)) {
        return Err(Refusal::Limited);
    }
    let is_told = || context.limiter.is_none_or(|limiter| limiter.refuses(&asked.source, context.now));
    let request = match read_request(packet, keys) {
        Ok(Request::Protected(request)) => request,
        Ok(Request::Refused(refused)) if is_told() => {
            return Ok(Opened { answer: Answer::Nak(refused), is_spared: false });
        }
        Ok(Request::Refused(_)) => return Err(Refusal::Limited),
        Ok(Request::Plain) | Err(_) => {
            is_told();
            return Err(Refusal::Malformed);
        }
    };
    let verdict = context.limiter.map_or(Verdict::Within, |limiter| {
        limiter.judge_association(request.association(), context.now, rng)
    });
    let header = request.header();
    let answer = match verdict {
        Verdict::Over => return Err(Refusal::Limited),
        Verdict::Kiss => {
            let header = kiss(header, *b"RATE").ok_or(Refusal::Malformed)?;
            Answer::Kiss(request, header)
        }
        Verdict::Within | Verdict::Spared => {
            let (header, kind, departure) =
                time(header, asked, receive, context).ok_or(Refusal::Malformed)?;
            Answer::Time(request, header, kind, departure)
        }
    };
    Ok(Opened { answer, is_spared: verdict == Verdict::Spared })
}

impl Opened<'_> {
    /// The kind of the reply.
    pub fn kind(&self) -> ReplyKind {
        match self.answer {
            Answer::Time(_, _, kind, _) => kind,
            Answer::Kiss(..) => ReplyKind::Kiss,
            Answer::Nak(_) => ReplyKind::Nak,
        }
    }

    /// Octets of the reply: never more than the request.
    pub fn reply_length(&self) -> usize {
        match &self.answer {
            Answer::Time(request, ..) | Answer::Kiss(request, _) => request.reply_length(),
            Answer::Nak(refused) => refused.reply_length(),
        }
    }

    /// Sent although the client asks too often.
    pub fn is_spared(&self) -> bool {
        self.is_spared
    }

    /// The key under which the departure time must be stored.
    pub fn departure(&self) -> Option<Name> {
        match self.answer {
            Answer::Time(.., departure) => departure,
            Answer::Kiss(..) | Answer::Nak(_) => None,
        }
    }

    /// Writes the reply and returns its length. `transmit` is asked for the predicted departure
    /// once all but the last seal is done; not for an interleaved reply, a kiss or a NAK.
    ///
    /// # Errors
    /// [`Refusal::Unsynchronised`] if `transmit` returns none; [`Refusal::Malformed`] if `out` is shorter
    /// than [`Self::reply_length`].
    pub fn seal(
        &self,
        keys: &CookieKeys,
        random: &mut ChaCha12Rng,
        transmit: impl FnOnce() -> Option<Timestamp>,
        out: &mut [u8],
    ) -> Result<usize, Refusal> {
        let (request, header, kind) = match &self.answer {
            Answer::Time(request, header, kind, _) => (request, header, *kind),
            Answer::Kiss(request, header) => (request, header, ReplyKind::Kiss),
            Answer::Nak(refused) => return refused.write_nak(out).map_err(|_| Refusal::Malformed),
        };
        let mut nonces = [0; MAX_NONCES];
        let nonces = nonces.get_mut(..request.nonces()).ok_or(Refusal::Malformed)?;
        random.fill_bytes(nonces);
        let mut is_known = true;
        let stamped = || {
            let mut header = *header;
            if kind == ReplyKind::Basic {
                match transmit() {
                    Some(stamp) => header.transmit_timestamp = stamp.bits(),
                    None => is_known = false,
                }
            }
            header
        };
        let length = request.write_reply(keys, nonces, stamped, out).map_err(|_| Refusal::Malformed)?;
        if is_known { Ok(length) } else { Err(Refusal::Unsynchronised) }
    }
}
