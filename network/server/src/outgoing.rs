//! Replies of one batch, arranged for sending: those to one client become one message of segments, which the
//! kernel cuts into datagrams at the end of its path instead of at the beginning (UDP_SEGMENT).
//!
//! Sending is most of a reply's cost, so each message learns from the previous ones how long after the
//! reading of the clock it will leave, and its transmit timestamp states that moment.

use super::control_message::Target;
use super::interleave::Name;
use super::key_ring::KeyPlace;
use super::mmsg::{BATCH, OutgoingMessage};
use super::source::Source;
use std::net::IpAddr;
use std::ops::Range;

/// Approximate number of replies between two readings of the clock.
const CHUNK: usize = 8;

/// Each segment of a message but the first takes this fraction of a message's time.
const SEGMENTS: usize = 6;

/// Longest plausible time of one message, nanoseconds: anything longer was an interruption.
const SLOWEST: i64 = 20_000;

/// Longest reply that is sent as a segment: it fits into each IPv6 path's packets (RFC 8200 section 5: 1280 octets less 48 of headers).
const MOST_SEGMENT: usize = 1232;

/// Octets of a message, which the kernel takes as one datagram of at most 65,507 before it cuts it.
const MOST_OCTETS: usize = 60_000;

/// Batches without segments after a route did not support them, the first time; it doubles, up to the most. A single client's route
/// must not cost the others more than that, and a device without segments must not cost replies for ever.
const REST: u32 = 4096;
const MOST_REST: u32 = REST << 12;

/// A reply in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addressed {
    pub slot: usize,
    /// Octets of the reply.
    pub length: usize,
    pub source: Source,
    /// The local address to send from; `None` if the socket is bound to it.
    pub target: Option<Target>,
    /// Its transmit timestamp must be written before sending.
    pub needs_time: bool,
    pub is_kiss: bool,
    pub is_protected: bool,
    /// The symmetric key of its MAC, which must be written before sending.
    pub key: Option<KeyPlace>,
    /// The kernel must timestamp it when it leaves.
    pub departure: Option<Name>,
}

impl Addressed {
    /// A number that replies to one client share; those to other clients usually differ.
    fn key(&self) -> u64 {
        let ip = match self.source.ip {
            IpAddr::V4(v4) => u64::from(u32::from(v4)),
            IpAddr::V6(v6) => {
                let v6 = u128::from(v6);
                (v6 >> 64) as u64 ^ (v6 as u64).rotate_left(32)
            }
        };
        ip << 16 ^ u64::from(self.source.port) ^ ip >> 48
    }

    fn goes_with(&self, other: &Self) -> bool {
        let alone = |reply: &Self| reply.departure.is_some() || reply.is_kiss;
        self.source == other.source
            && self.target == other.target
            && self.length == other.length
            && self.key.is_some() == other.key.is_some()
            && !alone(self)
            && !alone(other)
    }
}

/// A message costs less if several are sent in one call.
fn class(messages: usize) -> usize {
    match messages {
        0 | 1 => 0,
        2..=4 => 1,
        _ => 2,
    }
}

/// Replies, and the messages in which they are sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    replies: Vec<Addressed>,
    /// For each message its key, and its first reply.
    leaders: Vec<(u64, usize)>,
    /// For each reply the message that it is part of.
    member_of: Vec<usize>,
    messages: Vec<OutgoingMessage>,
    /// Slots, in the order of sending.
    order: Vec<u8>,
    /// Replies, in the order of sending.
    sequence: Vec<usize>,
    /// Batches until segments are used again.
    rest: u32,
    next_rest: u32,
    /// Duration of one message, nanoseconds: alone, in a short call, in a long one.
    paces: [i64; 3],
}

impl Outgoing {
    pub(super) fn new() -> Self {
        Self {
            replies: Vec::with_capacity(BATCH),
            leaders: Vec::with_capacity(BATCH),
            member_of: Vec::with_capacity(BATCH),
            messages: Vec::with_capacity(BATCH),
            order: vec![0; BATCH],
            sequence: vec![0; BATCH],
            rest: 0,
            next_rest: REST,
            paces: [0; 3],
        }
    }

    pub(super) fn clear(&mut self) {
        self.rest = self.rest.saturating_sub(1);
        self.replies.clear();
        self.leaders.clear();
        self.member_of.clear();
        self.messages.clear();
    }

    /// Adds a reply; at most as many as a batch has.
    pub(super) fn put(&mut self, reply: Addressed) {
        if self.replies.len() >= BATCH {
            return;
        }
        let key = reply.key();
        let replies = &self.replies;
        let goes = |&(other, first): &(u64, usize)| {
            other == key && replies.get(first).is_some_and(|first| first.goes_with(&reply))
        };
        let has_room = |at: usize| {
            self.messages.get(at).is_some_and(|message| (message.count + 1) * reply.length <= MOST_OCTETS)
        };
        let known = match reply.length {
            ..=MOST_SEGMENT if self.rest == 0 => {
                self.leaders.iter().enumerate().position(|(at, leader)| goes(leader) && has_room(at))
            }
            _ => None,
        };
        let message = known.unwrap_or(self.leaders.len());
        if known.is_none() {
            self.leaders.push((key, self.replies.len()));
            self.messages.push(OutgoingMessage { first: 0, count: 0, length: reply.length, control: 0 });
        }
        if let Some(message) = self.messages.get_mut(message) {
            message.count += 1;
        }
        self.member_of.push(message);
        self.replies.push(reply);
    }

    /// Sorts the replies into the order of sending.
    pub(super) fn seal(&mut self) {
        let mut next = 0;
        for message in &mut self.messages {
            message.first = next;
            next += message.count;
            message.count = 0;
        }
        for (at, (reply, message)) in self.replies.iter().zip(&self.member_of).enumerate() {
            let Some(message) = self.messages.get_mut(*message) else { continue };
            let place = message.first + message.count;
            message.count += 1;
            if let (Some(slot), Some(sequence)) = (self.order.get_mut(place), self.sequence.get_mut(place)) {
                *slot = reply.slot as u8;
                *sequence = at;
            }
        }
    }

    pub(super) fn messages(&self) -> &[OutgoingMessage] {
        &self.messages
    }

    pub(super) fn order(&self) -> &[u8] {
        &self.order
    }

    /// The first reply of a message, and how many it has.
    pub(super) fn message(&self, at: usize) -> Option<(Addressed, usize)> {
        let message = self.messages.get(at)?;
        let first = self.replies.get(*self.sequence.get(message.first)?)?;
        Some((*first, message.count))
    }

    /// The messages from `from` on, as [`Self::message`].
    pub(super) fn rest(&self, from: usize) -> impl Iterator<Item = (Addressed, usize)> + '_ {
        (from..self.messages.len()).filter_map(|at| self.message(at))
    }

    /// The positions of a message's replies, for [`Self::at`].
    pub(super) fn places(&self, message: usize) -> Range<usize> {
        self.messages.get(message).map_or(0..0, |message| message.first..message.first + message.count)
    }

    /// One reply.
    pub(super) fn at(&self, place: usize) -> Option<&Addressed> {
        self.replies.get(*self.sequence.get(place)?)
    }

    /// The message in which a reply leaves, given the reply's number in order of addition.
    pub(super) fn message_of(&self, reply: usize) -> usize {
        self.member_of.get(reply).copied().unwrap_or(0)
    }

    /// Records the octets of control data that were written for this message.
    pub(super) fn set_control(&mut self, message: usize, control: usize) {
        if let Some(message) = self.messages.get_mut(message) {
            message.control = control;
        }
    }

    /// How many messages to send with the next call.
    pub(super) fn chunk(&self, sent: usize) -> usize {
        let mut replies = 0;
        let rest = self.messages.get(sent..).unwrap_or_default().iter();
        let fits = |message: &&OutgoingMessage| {
            let fits = replies == 0 || replies + message.count <= CHUNK;
            replies += message.count;
            fits
        };
        rest.take_while(fits).count()
    }

    /// The cost of these messages, in units of one message.
    fn parts(&self, messages: Range<usize>) -> i64 {
        let all = self.messages.get(messages).unwrap_or_default().iter();
        all.map(|message| (SEGMENTS + message.count.saturating_sub(1)) as i64).sum()
    }

    /// The expected delay from reading the clock to sending the message at `place` among `messages`, in nanoseconds.
    /// About three eighths of a message's own time pass before the kernel would timestamp it.
    pub(super) fn expected_delay(&self, messages: &Range<usize>, place: usize) -> i64 {
        let pace = |at: usize| self.paces.get(at).copied().unwrap_or(0);
        let before = self.parts(messages.start..place);
        let own = pace(0) * 3 / 8;
        pace(class(messages.len())).saturating_mul(before) / SEGMENTS as i64 + own
    }

    /// A call that sent these messages took this long.
    pub(super) fn learn(&mut self, nanos: i64, messages: Range<usize>) {
        let (class, parts) = (class(messages.len()), self.parts(messages));
        let Some(pace) = self.paces.get_mut(class).filter(|_| parts > 0 && nanos >= 0) else { return };
        let taken = (nanos.min(1 << 40) * SEGMENTS as i64 / parts).min(SLOWEST);
        // Decreases are followed faster than increases: interruptions only ever lengthen a call.
        *pace += (taken - *pace) / if taken < *pace { 8 } else { 16 };
    }

    /// A route does not support segmentation: one message for each reply in the next batches.
    pub(super) fn without_segments(&mut self) {
        self.rest = self.next_rest;
        self.next_rest = self.next_rest.saturating_mul(2).min(MOST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(slot: usize, ip: [u8; 4], port: u16) -> Addressed {
        let source = Source { ip: ip.into(), port };
        Addressed {
            slot,
            length: 48,
            source,
            target: None,
            needs_time: true,
            is_kiss: false,
            is_protected: false,
            key: None,
            departure: None,
        }
    }

    fn sealed(replies: &[Addressed]) -> Outgoing {
        let mut outgoing = Outgoing::new();
        outgoing.clear();
        replies.iter().for_each(|reply| outgoing.put(*reply));
        outgoing.seal();
        outgoing
    }

    fn shape(outgoing: &Outgoing) -> Vec<Vec<u8>> {
        let messages = outgoing.messages().iter();
        messages
            .map(|message| outgoing.order()[message.first..message.first + message.count].to_vec())
            .collect()
    }

    #[test]
    fn replies_to_one_client_travel_together_in_their_order() {
        let (one, other) = ([192, 0, 2, 1], [192, 0, 2, 2]);
        let outgoing = sealed(&[
            reply(0, one, 5),
            reply(2, other, 5),
            reply(3, one, 5),
            reply(5, one, 6),
            reply(9, other, 5),
        ]);
        assert_eq!(shape(&outgoing), [vec![0, 3], vec![2, 9], vec![5]]);
        assert_eq!(outgoing.message(1).map(|(first, count)| (first.slot, count)), Some((2, 2)));
        assert_eq!(outgoing.rest(1).map(|(_, count)| count).sum::<usize>(), 3);
    }

    #[test]
    fn what_leaves_from_another_address_is_a_kiss_is_stamped_or_is_longer_travels_alone() {
        let plain = reply(0, [192, 0, 2, 1], 5);
        let target = Target { local: [127, 0, 0, 5].into(), interface: 1, is_held: false, is_unicast: true };
        let elsewhere = Addressed { slot: 1, target: Some(target), ..plain };
        let longer = Addressed { slot: 5, length: 52, ..plain };
        let kiss = Addressed { slot: 2, is_kiss: true, ..plain };
        let name = crate::interleave::Departures::new().name(1, plain.source.ip);
        let stamped = Addressed { slot: 3, departure: Some(name), ..plain };
        let last = Addressed { slot: 4, ..plain };
        let outgoing = sealed(&[plain, elsewhere, kiss, stamped, stamped, last, longer]);
        assert_eq!(shape(&outgoing), [vec![0, 4], vec![1], vec![2], vec![3], vec![3], vec![5]]);
        assert_eq!(outgoing.messages().last().map(|message| message.length), Some(52));
    }

    #[test]
    fn without_segments_each_reply_is_a_message() {
        let mut outgoing = Outgoing::new();
        outgoing.without_segments();
        for slot in 0..100 {
            outgoing.put(reply(slot, [192, 0, 2, 1], 5));
        }
        outgoing.seal();
        assert_eq!(outgoing.messages().len(), BATCH);
    }

    #[test]
    fn one_client_whose_route_takes_no_segments_costs_the_others_theirs_for_a_while_only() {
        let mut outgoing = Outgoing::new();
        outgoing.without_segments();
        let mut of_next_batch = || {
            outgoing.clear();
            (0..2).for_each(|slot| outgoing.put(reply(slot, [192, 0, 2, 1], 5)));
            outgoing.messages().len()
        };
        assert!((1..REST).all(|_| of_next_batch() == 2));
        assert_eq!(of_next_batch(), 1);
    }

    #[test]
    fn long_replies_to_one_client_stay_within_what_a_route_and_the_kernel_take() {
        let of = |length: usize| {
            let replies = (0..BATCH).map(|slot| Addressed { length, ..reply(slot, [192, 0, 2, 1], 5) });
            let outgoing = sealed(&replies.collect::<Vec<_>>());
            outgoing.messages().iter().map(|message| message.count).collect::<Vec<_>>()
        };
        assert_eq!(of(937), [64]);
        assert_eq!(of(1232), [48, 16]);
        assert_eq!(of(1233), [1; BATCH], "a path may take packets of 1280 octets and no longer ones");
    }

    fn strangers(count: u8) -> Outgoing {
        sealed(&(0..count).map(|n| reply(n.into(), [192, 0, 2, n], 5)).collect::<Vec<_>>())
    }

    #[test]
    fn the_pace_stays_near_what_is_usual_and_forgets_interruptions() {
        let mut outgoing = strangers(16);
        assert_eq!((outgoing.chunk(0), outgoing.chunk(8), outgoing.chunk(15)), (8, 8, 1));
        for round in 0..1_000 {
            let interruption = if round % 100 == 0 { 5_000_000 } else { 0 };
            outgoing.learn(8 * 4_000 + interruption, 0..8);
            outgoing.learn(8_000, 0..1);
        }
        let delay = outgoing.expected_delay(&(0..8), 5);
        assert!((22_000..=25_000).contains(&delay), "{delay}");
        let alone = outgoing.expected_delay(&(0..1), 0);
        assert!((2_900..=3_200).contains(&alone), "{alone}");
    }

    #[test]
    fn a_message_of_many_segments_goes_alone() {
        let one = [192, 0, 2, 1];
        let many: Vec<_> = (0..20).map(|slot| reply(slot, if slot < 12 { one } else { [9; 4] }, 5)).collect();
        let outgoing = sealed(&many);
        assert_eq!((outgoing.messages().len(), outgoing.chunk(0), outgoing.chunk(1)), (2, 1, 1));
    }

    #[test]
    fn no_time_that_a_call_can_take_leads_astray() {
        let mut outgoing = strangers(64);
        for nanos in [i64::MIN, -1, 0, i64::MAX] {
            for end in [0, 1, 2, 64] {
                outgoing.learn(nanos, 0..end);
            }
        }
        assert!((0..1_500_000).contains(&outgoing.expected_delay(&(0..64), 63)));
    }
}
