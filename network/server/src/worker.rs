//! One thread at its sockets: receives a batch, writes replies over the requests, sends a batch.
//!
//! The path of a packet has no allocation, no lock that can block, no message to another process, and no
//! system call but the two that receive and send; interleaved clients cost one more per batch, and a virtual clock one.

mod outcome;
mod sealing;
mod signing;
mod version5;

use super::clients::{Heard, Memo, Proof};
use super::control_message::{ControlMessages, Target, Writer};
use super::interleave::Name;
use super::key_ring::KeyRing;
use super::limit::SplitMix64;
use super::listener::Listener;
use super::mmsg::{BATCH, Batch, ReceiveMode};
use super::outgoing::{Addressed, Outgoing};
use super::respond::{Asked, Refusal, Reply, ReplyKind, RequestContext, answer, read, variables};
use super::served_clock::{Moment, ServedClock, receive_stamp, transmit_stamp};
use super::shared::{Rules, Shared};
use super::smear::PendingLeap;
use super::snapshot;
use super::source::Source;
use super::version5::{Version5, Written, is_version5};
use ipc::message::launch::MAX_LISTEN;
use ipc::message::server::{Counters, Smear};
use network::ending::Ending;
use network::interfaces::Way;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use outcome::{counter_of, fate};
use protocol::header::{LENGTH, TRANSMIT_AT};
use protocol::timestamp::Timestamp;
use sealing::{Sealing, Waiting};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use threads::Version;

/// Most full batches that are read from one socket before the others have their turn.
const TURNS: usize = 4;

/// Most replies that wait for the kernel's transmit timestamp; the oldest is dropped for the next.
const AWAITED: usize = 64;

/// The offset of the receive timestamp in a reply.
const RECEIVE_AT: usize = 32;

/// The state of one thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    number: usize,
    listeners: Vec<Listener>,
    clock: ServedClock,
    batch: Batch,
    outgoing: Outgoing,
    rng: SplitMix64,
    memo: Memo,
    /// Rules in use while a batch is in progress.
    rules: Option<Arc<Version<Rules>>>,
    state: snapshot::Copy,
    pending_leap: PendingLeap,
    counters: Counters,
    awaited: Vec<Awaited>,
    departed: usize,
    sealing: Sealing,
}

/// A reply that waits for the kernel's transmit timestamp.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// Its receive timestamp.
    receive: u64,
    /// Its octets.
    length: usize,
    name: Name,
}

/// What to do with a request.
enum Outcome {
    Reply(Reply),
    Version5(Written),
    Protected(Waiting),
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        number: usize,
        listeners: Vec<Listener>,
        clock: Option<OwnedFd>,
        seed: [u8; 32],
    ) -> Self {
        Self {
            number,
            listeners,
            clock: ServedClock::new(clock),
            batch: Batch::new(),
            outgoing: Outgoing::new(),
            rng: SplitMix64::new(),
            memo: Memo::default(),
            rules: None,
            state: snapshot::Copy::default(),
            pending_leap: PendingLeap::default(),
            counters: Counters::ZERO,
            awaited: Vec::with_capacity(AWAITED),
            departed: 0,
            sealing: Sealing::new(seed),
            shared,
        }
    }

    /// Answers until an essential system call fails.
    pub(super) fn work(&mut self) -> Ending {
        loop {
            let outcome = match self.listeners.len() {
                // The receiving call itself waits: one system call less.
                1 => self.attend(0, ReceiveMode::Wait).map(drop),
                _ => self.attend_ready(),
            };
            if let Err(ending) = outcome {
                return ending;
            }
        }
    }

    fn attend_ready(&mut self) -> Result<(), Ending> {
        let mut ready = 0u64;
        let count = self.listeners.len().min(MAX_LISTEN);
        let Some(first) = self.listeners.first() else {
            return Err(Ending::Rule("a thread without a socket"));
        };
        // Places beyond the last one repeat the first and are not polled.
        let mut places: [PollFd<'_>; MAX_LISTEN] = std::array::from_fn(|at| {
            PollFd::new(self.listeners.get(at).unwrap_or(first).as_fd(), PollFlags::POLLIN)
        });
        let polled = places.get_mut(..count).unwrap_or_default();
        match ppoll(polled, None, None) {
            Ok(_) => {
                for (at, place) in polled.iter().enumerate() {
                    ready |= u64::from(place.any().unwrap_or(true)) << at;
                }
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Ending::Kernel("to wait for sockets", errno)),
        }
        for at in (0..count).filter(|at| ready >> at & 1 == 1) {
            for _ in 0..TURNS {
                if self.attend(at, ReceiveMode::None)? < BATCH {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Handles one batch of one socket; returns the number of datagrams.
    fn attend(&mut self, at: usize, mode: ReceiveMode) -> Result<usize, Ending> {
        let Some(listener) = self.listeners.get(at) else { return Ok(0) };
        let count = match self.batch.receive(listener, mode) {
            Ok(count) => count,
            Err(errno @ (Errno::EBADF | Errno::ENOTSOCK | Errno::EFAULT | Errno::EINVAL)) => {
                return Err(Ending::Kernel("to read a server socket", errno));
            }
            // No datagram, a signal, or an error caused by an earlier reply, which this call has cleared.
            Err(_) => 0,
        };
        if count == 0 {
            return Ok(0);
        }
        self.shared.workers.begin(self.number);
        let moment = self.clock.refresh();
        self.rules = Some(self.shared.take_rules(self.number));
        self.answer_all(at, count, &moment);
        self.note_departures(at, &moment);
        if let Some(rules) = self.rules.take() {
            self.shared.leave_rules(self.number, rules);
        }
        self.shared.workers.publish(self.number, self.counters.list());
        self.shared.workers.rest(self.number);
        Ok(count)
    }

    fn answer_all(&mut self, at: usize, count: usize, moment: &Moment) {
        let Some(listener) = self.listeners.get(at) else { return };
        let Some(rules) = self.rules.clone() else { return };
        let (bound, is_judged) = (listener.address(), listener.is_judged());
        let state = self.shared.state.read(&mut self.state);
        let mut smear = None;
        if rules.policy.smear != Smear::Off
            && let (Some(state), Some(now)) = (state, self.clock.unsmeared())
        {
            self.pending_leap = self.pending_leap.after(state.leap, now);
            smear = self.pending_leap.smear(rules.policy.smear, now);
        }
        self.clock.smear_by(smear.unwrap_or(0));
        let context = RequestContext {
            system: variables(state, moment.raw(), smear),
            is_silent: rules.policy.silent,
            access: &rules.access,
            limiter: rules.limiter.as_deref(),
            keys: rules.key_ring.as_deref(),
            signs: self.shared.unsigned.is_some(),
            departures: rules.departures.as_deref(),
            version5: rules
                .policy
                .version5
                .then(|| Version5 { filter: rules.filter.as_deref(), smear: rules.policy.smear }),
            now: moment.raw(),
        };
        add(&mut self.counters.received, count);
        self.outgoing.clear();
        let mut are_unsigned = false;
        for slot in 0..count {
            let (outcome, source, target) = self.look_at(slot, (bound, is_judged), &context, moment);
            match outcome {
                Ok(Outcome::Reply(Reply { account: Some(account), octets, is_spared, .. })) => {
                    add(&mut self.counters.spared, usize::from(is_spared));
                    let unsigned = (account, octets, context.now, smear.unwrap_or(0));
                    self.hand_over((at, slot), unsigned, source, target);
                    are_unsigned = true;
                }
                Ok(Outcome::Reply(reply)) => self.keep(slot, &reply, source, target, context.keys),
                Ok(Outcome::Version5(written)) => self.keep_written(slot, &written, source, target),
                Ok(Outcome::Protected(request)) if rules.cookie_keys.is_some() => self.sealing.wait(request),
                Ok(Outcome::Protected(_)) => add(&mut self.counters.malformed, 1),
                Err(refusal) => add(counter_of(&mut self.counters, refusal), 1),
            }
        }
        self.outgoing.seal();
        self.send_all(at);
        if are_unsigned {
            self.shared.workers.wakeup().wake();
        }
        if let Some(keys) = &rules.cookie_keys {
            self.answer_protected(at, &context, keys, count == BATCH);
        }
    }

    fn look_at(
        &mut self,
        slot: usize,
        (bound, is_judged): (SocketAddr, bool),
        context: &RequestContext<'_>,
        moment: &Moment,
    ) -> (Result<Outcome, Refusal>, Source, Option<Target>) {
        let nowhere = Source { ip: std::net::Ipv4Addr::UNSPECIFIED.into(), port: 0 };
        let Some(datagram) = self.batch.datagram(slot) else {
            return (Err(Refusal::Malformed), nowhere, None);
        };
        let Some(source) = Source::read(datagram.name) else {
            return (Err(Refusal::Malformed), nowhere, None);
        };
        let mut messages = ControlMessages::read(datagram.control);
        if is_judged {
            let served = &self.shared.served;
            messages.target = messages.target.and_then(|target| {
                let way = served.admits(bound, target.local, target.interface)?;
                Some(Target { is_held: way == Way::Back, ..target })
            });
            if messages.target.is_none() {
                return (Err(Refusal::Denied), source, None);
            }
        }
        let asked = Asked {
            source,
            target: match messages.target {
                Some(target) => Some(SocketAddr::new(target.local, bound.port())),
                None => Some(bound),
            },
            is_unicast: messages.target.is_none_or(|target| target.is_unicast),
        };
        let request = if datagram.is_truncated { &[] } else { datagram.octets };
        let version = request.first().map_or(0, |first| first >> 3 & 7);
        let outcome = match self.clock.at_arrival(messages.stamp, moment) {
            Some(received) if context.version5.is_some() && is_version5(request) => {
                self.write_version5(slot, &asked, received, context)
            }
            Some(received) => {
                let receive = receive_stamp(received);
                read(request, &asked, context).and_then(|question| match question.is_protected {
                    true => Ok(Outcome::Protected(Waiting { slot, asked, target: messages.target, receive })),
                    false => answer(&question, &asked, receive, context, &mut self.rng).map(Outcome::Reply),
                })
            }
            None => Err(Refusal::Unsynchronised),
        };
        if let Some(fate) = fate(&outcome) {
            let is_keyed = matches!(&outcome, Ok(Outcome::Reply(reply)) if reply.key.is_some());
            let proof = if is_keyed { Proof::Key } else { Proof::None };
            let heard = Heard { version, proof, fate };
            self.shared.clients.note(&mut self.memo, &source, heard, context.now);
        }
        (outcome, source, messages.target)
    }

    /// Counts a reply that will be sent.
    fn count_kept(&mut self, kind: ReplyKind, is_spared: bool) {
        match kind {
            ReplyKind::Basic => {}
            ReplyKind::Interleaved => add(&mut self.counters.interleaved, 1),
            ReplyKind::Nak => add(&mut self.counters.nak, 1),
            ReplyKind::Kiss => {
                add(&mut self.counters.kissed, 1);
                add(&mut self.counters.limited, 1);
            }
        }
        add(&mut self.counters.spared, usize::from(is_spared));
    }

    /// Writes a reply over its request, to be sent with the others.
    fn keep(
        &mut self,
        slot: usize,
        reply: &Reply,
        source: Source,
        target: Option<Target>,
        keys: Option<&KeyRing>,
    ) {
        if let Some(place) = self.batch.octets_mut(slot).first_chunk_mut::<LENGTH>() {
            *place = reply.octets;
        }
        self.count_kept(reply.kind, reply.is_spared);
        let needs_time = reply.kind == ReplyKind::Basic;
        let version = reply.octets.first().map_or(0, |first| first >> 3 & 7);
        let length = match reply.key.zip(keys) {
            Some((key, keys)) => keys.reply_length(key, LENGTH, version),
            None => LENGTH,
        };
        self.outgoing.put(Addressed {
            slot,
            length,
            source,
            target,
            needs_time,
            is_kiss: matches!(reply.kind, ReplyKind::Kiss | ReplyKind::Nak),
            is_protected: false,
            key: reply.key,
            departure: reply.departure,
        });
    }

    /// Sends the sorted replies in a few calls, writing the transmit timestamps right before each.
    fn send_all(&mut self, at: usize) {
        if self.outgoing.messages().is_empty() {
            return;
        }
        for message in 0..self.outgoing.messages().len() {
            let Some((first, count)) = self.outgoing.message(message) else { continue };
            let mut writer = Writer::new(self.batch.control_mut(message));
            if let Some(target) = first.target {
                writer = writer.from(&target);
            }
            if count > 1 {
                writer = writer.segments(first.length as u16);
            }
            if first.departure.is_some() {
                writer = writer.stamped();
            }
            let control = writer.length();
            self.outgoing.set_control(message, control);
        }
        let mut sent = 0;
        let mut begun = self.clock.now();
        while sent < self.outgoing.messages().len() {
            let Some(now) = begun else {
                // A virtual clock that could never be read: without a time there is no reply.
                let lost = self.outgoing.rest(sent).map(|(_, count)| count).sum();
                add(&mut self.counters.failed, lost);
                break;
            };
            let chunk = sent..sent + self.outgoing.chunk(sent);
            for message in chunk.clone() {
                let departs = now.saturating_add(self.outgoing.expected_delay(&chunk, message));
                self.write_time(message, transmit_stamp(departs));
            }
            let Some(listener) = self.listeners.get(at) else { return };
            let messages = self.outgoing.messages().get(chunk.clone()).unwrap_or_default();
            let (gone, refused) = self.batch.send(listener, (sent, messages), self.outgoing.order());
            begun = self.clock.now();
            if let Some(after) = begun {
                self.outgoing.learn(after.saturating_sub(now), sent..sent + gone);
            }
            for message in sent..sent + gone {
                self.count_sent(message);
            }
            sent += gone;
            if let Some(errno) = refused {
                let Some((_, count)) = self.outgoing.message(sent) else { break };
                if count > 1
                    && matches!(errno, Errno::EIO | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EMSGSIZE)
                {
                    // This route does not support segmentation: replies are sent one by one from now on. The affected
                    // clients retry.
                    self.outgoing.without_segments();
                }
                add(&mut self.counters.failed, count);
                sent += 1;
            } else if gone == 0 {
                break;
            }
        }
    }

    fn write_time(&mut self, message: usize, stamp: Timestamp) {
        for place in self.outgoing.places(message) {
            let Some(&Addressed { slot, length, needs_time, departure, key, .. }) = self.outgoing.at(place)
            else {
                continue;
            };
            let octets = self.batch.octets_mut(slot);
            if let Some(name) = departure
                && let Some(departures) = self.rules.as_ref().and_then(|rules| rules.departures.as_ref())
            {
                // Until the kernel's timestamp arrives.
                self.departed = self.departed.wrapping_add(1);
                departures.put(name, stamp.bits(), self.departed);
                if self.awaited.len() == AWAITED {
                    self.awaited.remove(0);
                }
                self.awaited.push(Awaited { receive: word(octets, RECEIVE_AT), length, name });
            }
            if needs_time {
                octets[TRANSMIT_AT..LENGTH].copy_from_slice(&stamp.bits().to_be_bytes());
            }
            // The request's own MAC is there until now: without the keys that verified it the reply is of no use.
            if let Some(key) = key
                && let Some(keys) = self.rules.as_ref().and_then(|rules| rules.key_ring.as_ref())
                && let Some(reply) = octets.get_mut(..length)
            {
                keys.put(key, reply, LENGTH);
            }
        }
    }

    fn count_sent(&mut self, message: usize) {
        let Some((first, count)) = self.outgoing.message(message) else { return };
        if !first.is_kiss {
            add(&mut self.counters.answered, count);
            add(&mut self.counters.protected, if first.is_protected { count } else { 0 });
            add(&mut self.counters.keyed, if first.key.is_some() { count } else { 0 });
        }
    }

    /// Takes the kernel's timestamps of sent replies, if any are expected.
    fn note_departures(&mut self, at: usize, moment: &Moment) {
        if self.awaited.is_empty() {
            return;
        }
        let Some(listener) = self.listeners.get(at) else { return };
        let count = self.batch.receive(listener, ReceiveMode::Errors).unwrap_or(0);
        for slot in 0..count {
            let Some(datagram) = self.batch.datagram(slot) else { continue };
            // The packet sent is at the end, after headers of any length.
            let is_it = |awaited: &Awaited| {
                let begin = datagram.octets.len().checked_sub(awaited.length);
                begin.is_some_and(|begin| word(datagram.octets, begin + RECEIVE_AT) == awaited.receive)
            };
            let Some(place) = self.awaited.iter().position(is_it) else { continue };
            let Awaited { name, .. } = self.awaited.swap_remove(place);
            if let Some(departures) = self.rules.as_ref().and_then(|rules| rules.departures.as_ref())
                && let Some(stamp) = ControlMessages::read(datagram.control).stamp
                && let Some(left) = self.clock.at_departure(stamp, moment)
            {
                departures.put(name, transmit_stamp(left).bits(), self.departed);
            }
        }
    }
}

fn word(octets: &[u8], at: usize) -> u64 {
    octets.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |eight| u64::from_be_bytes(*eight))
}

fn add(counter: &mut u64, count: usize) {
    *counter = counter.saturating_add(count as u64);
}
