//! The requests under NTS of one batch. They wait until the plain ones are answered, and are then handled in small
//! groups: first all of a group are opened, which takes longest. Then it is known which replies are sent together:
//! they are sealed with their predicted departure times, and sent. A delay of one reply of a group,
//! such as waking a client, makes the following ones leave later than stated: so a group is for one client
//! (whose replies are one message), as long as the server is not at its limit.

use super::{Worker, add};
use crate::clients::{Fate, Heard, Proof};
use crate::control_message::Target;
use crate::mmsg::{BATCH, ROOM};
use crate::outgoing::Addressed;
use crate::protected::{Opened, open};
use crate::respond::{Asked, Refusal, ReplyKind, RequestContext};
use crate::served_clock::transmit_stamp;
use crate::source::Source;
use protocol::nts::cookie::CookieKeys;
use protocol::timestamp::Timestamp;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use std::fmt;

/// Requests that are opened, sealed and sent together.
const GROUP: usize = 8;

/// NTS is there in this version alone.
const NTS_VERSION: u8 = 4;

/// Longest plausible time of a seal, nanoseconds: anything longer was an interruption.
const SLOWEST: i64 = 20_000;

/// A waiting request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub slot: usize,
    pub asked: Asked,
    pub target: Option<Target>,
    /// Its arrival.
    pub receive: Timestamp,
}

/// The state of one thread for sealed replies.
pub(super) struct Sealing {
    waiting: Vec<Waiting>,
    random: ChaCha12Rng,
    /// A separate buffer: replies cannot overwrite requests that are still needed.
    replies: Box<[[u8; ROOM]; GROUP]>,
    /// Duration of one seal, nanoseconds.
    pace: i64,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Sealing {
    /// Nonces come from a generator with this seed.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            waiting: Vec::with_capacity(BATCH),
            random: ChaCha12Rng::from_seed(seed),
            replies: Box::new([[0; ROOM]; GROUP]),
            pace: 0,
        }
    }

    /// Adds a request of this batch; in the order of the slots.
    pub(super) fn wait(&mut self, request: Waiting) {
        self.waiting.push(request);
    }
}

/// How many of these requests form the next group, which is for at most the given number of clients.
fn group(sources: impl Iterator<Item = Source>, clients: usize) -> usize {
    let mut known = [None; GROUP];
    let mut count = 0;
    let fits = |source: &Source| {
        if known.contains(&Some(*source)) {
            return true;
        }
        let Some(place) = known.iter_mut().take(clients).nth(count) else { return false };
        *place = Some(*source);
        count += 1;
        true
    };
    sources.take(GROUP).take_while(fits).count().max(1)
}

/// What is counted for the client of a request that was opened, or could not be.
fn heard(outcome: &Result<Opened<'_>, Refusal>) -> Option<Heard> {
    let (is_nts, fate) = match outcome.as_ref().map(Opened::kind) {
        Ok(ReplyKind::Kiss) => (true, Fate::Dropped),
        Ok(ReplyKind::Basic | ReplyKind::Interleaved) => (true, Fate::Answered),
        Ok(ReplyKind::Nak) => (false, Fate::Answered),
        Err(Refusal::Limited) => (false, Fate::Dropped),
        Err(_) => return None,
    };
    let proof = if is_nts { Proof::Nts } else { Proof::None };
    Some(Heard { version: NTS_VERSION, proof, fate })
}

impl Worker {
    /// Answers the waiting requests. If the batch was full (`is_full`), more are queued behind it, and larger
    /// groups are cheaper.
    pub(super) fn answer_protected(
        &mut self,
        at: usize,
        context: &RequestContext<'_>,
        keys: &CookieKeys,
        is_full: bool,
    ) {
        let mut begin = 0;
        let clients = if is_full { GROUP } else { 1 };
        while let Some(rest) = self.sealing.waiting.get(begin..).filter(|rest| !rest.is_empty()) {
            let end = begin + group(rest.iter().map(|request| request.asked.source), clients);
            self.seal_group(begin, end, context, keys);
            self.send_all(at);
            begin = end;
        }
        self.sealing.waiting.clear();
    }

    fn seal_group(&mut self, begin: usize, end: usize, context: &RequestContext<'_>, keys: &CookieKeys) {
        let Self { shared, sealing, batch, outgoing, rng, memo, counters, clock, .. } = self;
        let Sealing { waiting, random, replies, pace } = sealing;
        outgoing.clear();
        let mut group = waiting.get(begin..end).unwrap_or_default().iter();
        let mut opened: [Option<Opened<'_>>; GROUP] = [const { None }; GROUP];
        let mut slots = [0; GROUP];
        let mut places = opened.iter_mut().zip(&mut slots);
        let mut next = group.next();
        for (slot, packet) in batch.all_mut() {
            let Some(request) = next.filter(|request| request.slot == slot) else { continue };
            next = group.next();
            let outcome = open(packet, &request.asked, request.receive, context, rng, keys);
            if let Some(heard) = heard(&outcome) {
                shared.clients.note(memo, &request.asked.source, heard, context.now);
            }
            match outcome {
                Ok(reply) => {
                    outgoing.put(Addressed {
                        slot,
                        length: reply.reply_length(),
                        source: request.asked.source,
                        target: request.target,
                        needs_time: false,
                        is_kiss: matches!(reply.kind(), ReplyKind::Kiss | ReplyKind::Nak),
                        is_protected: true,
                        key: None,
                        departure: reply.departure(),
                    });
                    if let Some((place, of)) = places.next() {
                        (*place, *of) = (Some(reply), slot);
                    }
                }
                Err(refusal) => add(super::counter_of(counters, refusal), 1),
            }
        }
        outgoing.seal();
        let count = opened.iter().flatten().count();
        let messages = 0..outgoing.messages().len();
        let before = clock.now();
        let mut lengths = [0; GROUP];
        for (number, reply) in opened.iter().flatten().enumerate() {
            // The clock is read when about half of this reply's work is done.
            let rest = (2 * (count - number) as i64 - 1) * *pace / 2;
            let delay = outgoing.expected_delay(&messages, outgoing.message_of(number));
            let leaves = || Some(transmit_stamp(clock.now()?.saturating_add(rest + delay)));
            let (Some(out), Some(length)) = (replies.get_mut(number), lengths.get_mut(number)) else {
                continue;
            };
            let Ok(sealed) = reply.seal(keys, random, leaves, out) else {
                // A virtual clock that could never be read: without a time there is no reply.
                add(&mut counters.failed, count);
                outgoing.clear();
                return;
            };
            *length = sealed;
        }
        if let (Some(before), Some(after)) = (before, clock.now())
            && count > 0
        {
            let taken = (after.saturating_sub(before).max(0) / count as i64).min(SLOWEST);
            *pace += (taken - *pace) / if taken < *pace { 8 } else { 16 };
        }
        for reply in opened.iter().flatten() {
            match reply.kind() {
                ReplyKind::Basic => {}
                ReplyKind::Interleaved => add(&mut counters.interleaved, 1),
                ReplyKind::Kiss => {
                    add(&mut counters.kissed, 1);
                    add(&mut counters.limited, 1);
                }
                ReplyKind::Nak => add(&mut counters.nak, 1),
            }
            add(&mut counters.spared, usize::from(reply.is_spared()));
        }
        drop(opened);
        for ((slot, length), reply) in slots.iter().zip(lengths).zip(replies.iter()).take(count) {
            if let (Some(place), Some(reply)) =
                (batch.octets_mut(*slot).get_mut(..length), reply.get(..length))
            {
                place.copy_from_slice(reply);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(ports: &[u16], clients: usize) -> Vec<usize> {
        let mut rest = ports;
        let mut groups = Vec::new();
        while !rest.is_empty() {
            let sources = rest.iter().map(|port| Source { ip: [192, 0, 2, 1].into(), port: *port });
            let count = group(sources, clients);
            groups.push(count);
            rest = &rest[count..];
        }
        groups
    }

    #[test]
    fn a_group_is_for_so_many_clients_and_no_longer_than_eight() {
        assert_eq!(groups(&[1, 2, 2, 2, 3], 1), [1, 3, 1]);
        assert_eq!(groups(&[1, 1, 2, 1, 3, 3, 4, 4, 3], 2), [4, 5]);
        assert_eq!(groups(&[7; 20], 1), [8, 8, 4]);
        assert_eq!(groups(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], GROUP), [8, 2]);
        assert_eq!(groups(&[1, 2], 0), [1, 1]);
    }
}
