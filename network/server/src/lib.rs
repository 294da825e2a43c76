//! The server: answers NTP clients on the sockets that it was given.
//!
//! One thread reads the link to the engine; the others serve the network, each with its own sockets. A request takes
//! the same path in each: it is read in a batch with its arrival timestamp, [`respond`] makes a reply or a reason for
//! silence, the transmit timestamp is written last, and the reply is sent from the address that was queried. The engine
//! decides what replies contain and which clients get one. Only counters go back to it, and only while there is
//! traffic: an idle server never wakes up. On request it is told which clients ask how often.
//!
//! ```text
//!   listener         one bound socket
//!   worker           one thread: a batch in, a batch out; sealing: those under NTS, in small groups
//!   mmsg             the two unsafe calls that receive and send many datagrams
//!   control_message  what the kernel says about a datagram, and what it is told about a reply
//!   source           who sent it
//!   respond          a request becomes a reply, or a reason to keep silent
//!   version5         the same in the draft of version 5
//!   protected        the same under NTS: opened first, answered later
//!   access           who is answered
//!   key_ring         symmetric keys: who authenticated a request, and the MAC of its reply
//!   limit            how often clients are answered
//!   clients          who asks how often
//!   interleave       when earlier replies left
//!   outgoing         replies, arranged for sending
//!   served_clock     the time that replies carry
//!   unsigned         replies that are to be signed by Samba wait there
//!   signing          they are signed and sent
//!   smear            a leap second spread over a day
//!   snapshot         the latest state from the engine, for all threads
//!   shared           the other state that threads share
//! ```
#![deny(unsafe_code)]

mod access;
mod clients;
mod control_message;
mod interleave;
mod key_ring;
mod limit;
mod listener;
mod mmsg;
mod outgoing;
mod parts;
mod protected;
mod respond;
mod served_clock;
mod shared;
mod signing;
mod smear;
mod snapshot;
mod source;
mod unsigned;
mod version5;
mod worker;

pub use access::{AccessList, RuleError};
pub use interleave::{Departures, Name};
pub use key_ring::{KeyPlace, KeyRing};
pub use limit::{Limiter, SplitMix64, Verdict};
pub use listener::{Listener, listen};
pub use protected::{Opened, open};
pub use respond::{
    Asked, Question, Refusal, Reply, ReplyKind, RequestContext, admit, answer, read, variables,
};
pub use source::Source;
pub use version5::{Version5, Written, write as write_version5};

use ipc::message::Shortfall;
use ipc::message::server::{
    Access, ClientsWanted, Counters, FromServer, MAX_KEY_RING, MAX_LIST, MAX_RATE, MAX_TOTAL, MAX_WANTED,
    Rule, ServerPolicy, SymmetricKeys, ToServer,
};
use ipc::symmetric_key::SymmetricKey;
use ipc_link::Link;
use network::clock;
use network::ending::Ending;
use network::interfaces::{Interfaces, Served};
use network::outbox::Outbox;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use parts::Parts;
use protocol::ntpv5::Filter;
use protocol::nts::cookie::CookieKeys;
use protocol::nts::ratchet::EpochKey;
use protocol::primitives;
use shared::{KINDS, Shared};
use signing::{Signer, Signing};
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use threads::{Gate, Reports, Watch};
use worker::Worker;

/// The most records read from the link before other work.
const BURST: usize = 16;

/// Stack size of a serving thread, octets; its batches are on the heap.
const STACK: usize = 128 * 1024;

/// The serving threads, waiting at a gate for the first message of the engine.
#[derive(Debug)]
pub struct WorkerThreads {
    shared: Arc<Shared>,
    gate: Gate,
    interfaces: Option<Interfaces>,
    signer: Option<Signer>,
}

/// Starts a thread for each group of sockets that share no address. They wait at the gate. Call this before the seccomp
/// filter is installed, which allows no new threads. `served`: which requests are answered, with the routing socket that
/// tells of interfaces. `clock` is the virtual clock's file, if there is one, and `signer` the link to the process that asks Samba.
///
/// # Errors
/// [`Ending::Kernel`] if no thread or descriptor is available.
pub fn start_threads(
    mut listeners: Vec<Listener>,
    (served, news): (Served, Option<OwnedFd>),
    clock: Option<&OwnedFd>,
    signer: Option<OwnedFd>,
) -> Result<WorkerThreads, Ending> {
    let refused = |errno| Ending::Kernel("threads that answer", errno);
    let interfaces = match listeners.first() {
        Some(first) => Interfaces::new(&served, first.as_fd(), news)?,
        None => None,
    };
    listeners.iter_mut().for_each(|listener| listener.judge_by(&served));
    let groups = listener::deal(listeners);
    let shared = Arc::new(Shared::new(groups.len(), served, signer.is_some()).map_err(refused)?);
    let io = |error: std::io::Error| refused(Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    let signer = match signer {
        Some(link) => {
            let clock = clock.map(OwnedFd::try_clone).transpose().map_err(io)?;
            Some(Signer { link: Link::new(link), clock, number: groups.len() })
        }
        None => None,
    };
    let mut bodies = Vec::with_capacity(groups.len());
    for (number, group) in groups.into_iter().enumerate() {
        let clock = clock.map(OwnedFd::try_clone).transpose().map_err(io)?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| {
            Ending::Kernel("random numbers", Errno::from_raw(error.raw_os_error().unwrap_or(0)))
        })?;
        let shared = Arc::clone(&shared);
        bodies.push(move || {
            let mut worker = Worker::new(shared, number, group, clock, seed);
            primitives::start().expect("the cryptographic module works");
            move || worker.work()
        });
    }
    let gate =
        threads::start(("answers", STACK), &shared, |shared| &shared.workers, bodies).map_err(refused)?;
    Ok(WorkerThreads { shared, gate, interfaces, signer })
}

/// Runs until the link ends; sends the hello first.
pub fn run(link: Link<FromServer, ToServer>, shortfall: Shortfall, threads: WorkerThreads) -> Ending {
    let WorkerThreads { shared, gate, interfaces, signer } = threads;
    let mut server = Server {
        engine: Outbox::new(link),
        shared: &shared,
        list: Parts::default(),
        key_ring: Parts::default(),
        watch: Watch::default(),
        reports: Reports::default(),
        interfaces,
        signing: signer.map(Signing::new),
    };
    match server.serve(shortfall, gate) {
        Ok(never) => match never {},
        Err(ending) => {
            if ending == Ending::EngineGone {
                shared.workers.drain();
            }
            ending
        }
    }
}

struct Server<'s> {
    engine: Outbox<FromServer, ToServer>,
    shared: &'s Shared,
    /// Parts of an incomplete access list.
    list: Parts<Rule>,
    /// Parts of incomplete symmetric keys.
    key_ring: Parts<SymmetricKey>,
    /// Tracks the threads' progress, to answer pings.
    watch: Watch,
    reports: Reports<KINDS>,
    interfaces: Option<Interfaces>,
    signing: Option<Signing>,
}

impl Server<'_> {
    fn serve(&mut self, shortfall: Shortfall, gate: Gate) -> Result<Infallible, Ending> {
        self.engine.push(FromServer::Hello(shortfall))?;
        self.look()?;
        gate.open();
        loop {
            let is_word = self.wait()?;
            // After each wake-up: a message of the kernel may have been lost, and a report may not have found room.
            self.look()?;
            if let Some(ending) = self.shared.workers.failure() {
                return Err(ending);
            }
            if is_word {
                self.engine.flush()?;
                self.read_link()?;
            }
            if let Some(signing) = &mut self.signing {
                signing.attend(self.shared)?;
            }
            self.report()?;
        }
    }

    /// Waits for the engine, for traffic after a silence, or until a report is due; returns whether the link is
    /// readable or writable.
    fn wait(&mut self) -> Result<bool, Ending> {
        let bell = self.shared.workers.wakeup().as_fd();
        let news = self.interfaces.as_ref().and_then(Interfaces::news);
        let signed = self.signing.as_ref().and_then(Signing::news);
        let mut places = [
            PollFd::new(self.engine.as_fd(), self.engine.interest()),
            PollFd::new(bell, PollFlags::POLLIN),
            PollFd::new(news.unwrap_or(bell), PollFlags::POLLIN),
            PollFd::new(signed.unwrap_or(bell), PollFlags::POLLIN),
        ];
        let due = [self.reports.timeout(), self.interfaces.as_ref().and_then(Interfaces::timeout)];
        match ppoll(&mut places, due.into_iter().flatten().min(), None) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(Ending::Kernel("to wait for the engine", errno)),
        }
        let [is_word, is_bell] =
            [0, 1].map(|at| places.get(at).is_some_and(|place| place.any().unwrap_or(true)));
        if is_bell {
            self.reports.wake(&self.shared.workers);
        }
        Ok(is_word)
    }

    /// Looks for the interfaces that entries of `listen` name.
    fn look(&mut self) -> Result<(), Ending> {
        let Some(interfaces) = &mut self.interfaces else { return Ok(()) };
        let engine = &mut self.engine;
        interfaces.look(clock::raw(), &self.shared.served, |interface| {
            engine.offer(&FromServer::Interface(interface))
        })
    }

    fn read_link(&mut self) -> Result<(), Ending> {
        for _ in 0..BURST {
            match self.engine.receive()? {
                Some(ToServer::State(state)) => self.shared.state.write(&state),
                Some(ToServer::Access(part)) => self.collect(&part)?,
                Some(ToServer::Policy(policy)) => self.follow(&policy)?,
                Some(ToServer::CookieKeys(keys)) => self.change_keys(&keys)?,
                Some(ToServer::SymmetricKeys(part)) => self.collect_keys(&part)?,
                Some(ToServer::ReferenceIds(filter)) => {
                    let filter = Some(Arc::new(Filter::from_octets(*filter.array())));
                    self.shared.change_rules(|rules| rules.filter = filter);
                }
                Some(ToServer::Clients(wanted)) => self.tell_clients(wanted)?,
                Some(ToServer::Ping) => {
                    for _ in 0..self.watch.answers(self.shared.workers.progress()) {
                        self.engine.push(FromServer::Pong)?;
                    }
                }
                None => break,
            }
        }
        Ok(())
    }

    fn collect(&mut self, part: &Access) -> Result<(), Ending> {
        const IMPOSSIBLE: Ending = Ending::Rule("access rules with impossible numbers");
        let most = (MAX_LIST, Ending::Rule("a part of no list of access rules"), IMPOSSIBLE);
        let Some(list) = self.list.take((part.begins, part.ends), part.rules.iter().copied(), most)? else {
            return Ok(());
        };
        let access = AccessList::new(&list).map_err(|_| IMPOSSIBLE)?;
        self.shared.change_rules(|rules| {
            rules.access = access;
            if rules.departures.is_none() && rules.limiter.is_none() {
                equip(rules);
            }
        });
        Ok(())
    }

    fn follow(&mut self, policy: &ServerPolicy) -> Result<(), Ending> {
        let rates = [policy.address_rate, policy.network_rate];
        if rates.iter().any(|rate| !(1..=MAX_RATE).contains(rate))
            || !(1..=MAX_TOTAL).contains(&policy.total_rate)
        {
            return Err(Ending::Rule("a rate limit that is impossible"));
        }
        self.shared.change_rules(|rules| {
            rules.policy = *policy;
            equip(rules);
        });
        Ok(())
    }

    fn change_keys(&self, keys: &ipc::message::server::CookieKeys) -> Result<(), Ending> {
        const IMPOSSIBLE: Ending = Ending::Rule("cookie keys that make no set");
        let each = keys.keys.iter().map(|key| EpochKey::from_octets(key.epoch, key.key.octets()));
        let keys = Arc::new(CookieKeys::new(keys.current, each).map_err(|_| IMPOSSIBLE)?);
        self.shared.change_rules(|rules| rules.cookie_keys = Some(keys));
        Ok(())
    }

    fn collect_keys(&mut self, part: &SymmetricKeys) -> Result<(), Ending> {
        const IMPOSSIBLE: Ending = Ending::Rule("symmetric keys that make no set");
        let most = (MAX_KEY_RING, Ending::Rule("a part of no symmetric keys"), IMPOSSIBLE);
        let keys = self.key_ring.take((part.begins, part.ends), part.keys.iter().cloned(), most)?;
        if let Some(keys) = keys {
            let ring = Arc::new(KeyRing::new(&keys).ok_or(IMPOSSIBLE)?);
            self.shared.change_rules(|rules| rules.key_ring = Some(ring));
        }
        Ok(())
    }

    fn tell_clients(&mut self, wanted: ClientsWanted) -> Result<(), Ending> {
        if !(1..=MAX_WANTED).contains(&wanted.most) {
            return Err(Ending::Rule("a question for no client, or for too many"));
        }
        let engine = &mut self.engine;
        self.shared.clients.tell(wanted, clock::raw(), |part| engine.push(FromServer::Clients(part)))
    }

    fn report(&mut self) -> Result<(), Ending> {
        let engine = &mut self.engine;
        let offer = |counts| engine.offer(&FromServer::Counters(Counters::from_list(counts)));
        self.reports.report(&self.shared.workers, offer)
    }
}

/// Creates the tables that a policy needs.
fn equip(rules: &mut shared::Rules) {
    rules.limiter = Limiter::new(&rules.policy).map(Arc::new);
    rules.departures = rules.policy.interleaved.then(|| Arc::new(Departures::new()));
}
