//! The key exchange service role: TLS with untrusted clients, which receive keys and cookies (RFC 8915 section 4).
//!
//! One thread reads the links to the engine and the key holder; the others serve the network. Each accepts connections
//! from shared sockets, handles many of them at a time, and requests signatures from the key holder over its own link.
//! A connection may last two seconds in total. It costs almost nothing until the client's first message is complete; a
//! network with too many connections loses its own first; and handshakes, the most expensive part, are counted before
//! anything is computed.
//!
//! The private key is not in this process. It holds the keys that seal cookies, shared with the server, and the
//! keys of each client for the duration of its exchange.
//!
//! ```text
//!   listener     one listening socket, and who may come in there
//!   worker       one thread: connections and their deadlines
//!   places       its connections, and which of them is closed first
//!   connection   one socket
//!   session         one exchange, as octets in and octets out
//!   answer       from a request to a response
//!   limit        how many connections at a time, how many handshakes a second
//!   certificate  read and parsed, and which of several a client is shown
//!   signing      signatures, requested from the key holder
//!   reload       how a new certificate comes into use
//!   shared       the state that threads share
//! ```
#![forbid(unsafe_code)]

mod answer;
mod certificate;
mod connection;
mod context;
mod limit;
mod listener;
mod places;
mod reload;
mod session;
mod shared;
mod signing;
mod worker;

pub use worker::DEADLINE;

use ipc::message::Shortfall;
use ipc::message::key_service::{
    FromKeyHolder, FromKeyService, KeyCounters, KeyPolicy, ToKeyHolder, ToKeyService,
};
use ipc::message::server::CookieKeys as GivenKeys;
use ipc_link::{Link, LinkError};
use listener::Listener;
use network::clock;
use network::ending::Ending;
use network::interfaces::{Interfaces, Served};
use network::outbox::Outbox;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use protocol::nts::cookie::CookieKeys;
use protocol::nts::ratchet::EpochKey;
use protocol::primitives;
use reload::Reload;
use shared::{KINDS, Shared};
use signing::Holder;
use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use threads::{Gate, Reports, Watch};
use worker::Worker;

/// Most messages that are read from a link before other work.
const BURST: usize = 16;

/// Stack size of a thread, octets: a handshake needs less than a quarter of it.
const STACK: usize = 512 * 1024;

/// How long a thread waits for a signature, microseconds.
const TIMEOUT: i64 = 1_000_000;

/// The serving threads, waiting at a gate.
#[derive(Debug)]
pub struct WorkerThreads {
    shared: Arc<Shared>,
    gate: Gate,
    interfaces: Option<Interfaces>,
}

/// Starts a thread for each link to the key holder. They wait at the gate. Call this before the seccomp filter is
/// installed, which allows no new threads. The sockets are bound, listen and do not block; the links do. `served`: which
/// connections are accepted. `pairs`: of certificate and key.
///
/// # Errors
/// [`Ending::Kernel`] if no thread or descriptor is available.
pub fn start_threads(
    listeners: Vec<OwnedFd>,
    served: Served,
    holders: Vec<Link<ToKeyHolder, FromKeyHolder>>,
    pairs: usize,
) -> Result<WorkerThreads, Ending> {
    let refused = |errno| Ending::Kernel("threads that exchange keys", errno);
    let listeners = listeners.into_iter().map(|fd| Listener::new(fd, &served));
    let listeners: Arc<[Listener]> = listeners.collect::<Result<_, _>>().map_err(refused)?;
    let interfaces = match listeners.first() {
        Some(first) => Interfaces::new(&served, first.as_fd(), None)?,
        None => None,
    };
    let shared = Arc::new(Shared::new(holders.len(), pairs, served).map_err(refused)?);
    let mut bodies = Vec::with_capacity(holders.len());
    for (number, link) in holders.into_iter().enumerate() {
        let timeout = TimeVal::new(TIMEOUT / 1_000_000, TIMEOUT % 1_000_000);
        setsockopt(&link, sockopt::ReceiveTimeout, &timeout).map_err(refused)?;
        setsockopt(&link, sockopt::SendTimeout, &timeout).map_err(refused)?;
        let worker = Worker::new(Arc::clone(&shared), number, Arc::clone(&listeners), Holder::new(link));
        let mut worker = worker.map_err(refused)?;
        bodies.push(move || {
            tls::warm_up();
            primitives::start().expect("the cryptographic module works");
            move || worker.work()
        });
    }
    let gate = threads::start(("keys", STACK), &shared, |shared| &shared.workers, bodies).map_err(refused)?;
    Ok(WorkerThreads { shared, gate, interfaces })
}

/// Runs until the engine's link ends; sends the hello first. `holder` is the link over which the key holder is asked to
/// read its keys, `certificates` the files.
pub fn run(
    engine: Link<FromKeyService, ToKeyService>,
    holder: Link<ToKeyHolder, FromKeyHolder>,
    certificates: Vec<PathBuf>,
    shortfall: Shortfall,
    threads: WorkerThreads,
) -> Ending {
    let WorkerThreads { shared, gate, interfaces } = threads;
    let mut service = Service {
        engine: Outbox::new(engine),
        holder: Outbox::new(holder),
        shared: &shared,
        reload: Reload::at_start(certificates),
        is_holder_known: false,
        watch: Watch::default(),
        reports: Reports::default(),
        interfaces,
    };
    match service.serve(shortfall, gate) {
        Ok(never) => match never {},
        Err(ending) => ending,
    }
}

struct Service<'s> {
    engine: Outbox<FromKeyService, ToKeyService>,
    holder: Outbox<ToKeyHolder, FromKeyHolder>,
    shared: &'s Shared,
    reload: Reload,
    is_holder_known: bool,
    /// Tracks the threads' progress, to answer pings.
    watch: Watch,
    reports: Reports<KINDS>,
    interfaces: Option<Interfaces>,
}

impl Service<'_> {
    fn serve(&mut self, shortfall: Shortfall, gate: Gate) -> Result<Infallible, Ending> {
        self.engine.push(FromKeyService::Hello(shortfall))?;
        self.look()?;
        gate.open();
        loop {
            let [is_engine, is_holder] = self.wait()?;
            // After each wake-up: a report may not have found room.
            self.look()?;
            if let Some(ending) = self.shared.workers.failure() {
                return Err(ending);
            }
            if is_engine {
                self.engine.flush()?;
                self.hear_engine()?;
            }
            if is_holder {
                self.holder.flush().map_err(of_holder)?;
                self.hear_holder()?;
            }
            self.reload()?;
            self.report()?;
        }
    }

    /// Waits for the links, for a thread, or until a report is due; returns which of the links to engine and key holder
    /// are ready.
    fn wait(&mut self) -> Result<[bool; 2], Ending> {
        let bell = self.shared.workers.wakeup().as_fd();
        let mut places = [
            PollFd::new(self.engine.as_fd(), self.engine.interest()),
            PollFd::new(self.holder.as_fd(), self.holder.interest()),
            PollFd::new(bell, PollFlags::POLLIN),
        ];
        let due = [self.reports.timeout(), self.interfaces.as_ref().and_then(Interfaces::timeout)];
        match ppoll(&mut places, due.into_iter().flatten().min(), None) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok([false; 2]),
            Err(errno) => return Err(Ending::Kernel("to wait for the engine", errno)),
        }
        let [is_engine, is_holder, is_bell] =
            [0, 1, 2].map(|at| places.get(at).is_some_and(|place| place.any().unwrap_or(true)));
        if is_bell {
            self.reports.wake(&self.shared.workers);
        }
        Ok([is_engine, is_holder])
    }

    /// Looks for the interfaces that entries of `listen` name.
    fn look(&mut self) -> Result<(), Ending> {
        let Some(interfaces) = &mut self.interfaces else { return Ok(()) };
        let engine = &mut self.engine;
        interfaces.look(clock::raw(), &self.shared.served, |interface| {
            engine.offer(&FromKeyService::Interface(interface))
        })
    }

    fn hear_engine(&mut self) -> Result<(), Ending> {
        for _ in 0..BURST {
            match self.engine.receive()? {
                Some(ToKeyService::CookieKeys(given)) => {
                    let keys = take_over(&given).ok_or(Ending::Rule("cookie keys that are impossible"))?;
                    self.shared.change(|settings| settings.cookies = Some(Arc::new(keys)));
                }
                Some(ToKeyService::Policy(policy)) => self.follow(policy)?,
                Some(ToKeyService::Reload(request)) => self.reload.order(request),
                Some(ToKeyService::Ping) => {
                    for _ in 0..self.watch.answers(self.shared.workers.progress()) {
                        self.engine.push(FromKeyService::Pong)?;
                    }
                    self.holder.push(ToKeyHolder::Ping).map_err(of_holder)?;
                }
                None => break,
            }
        }
        Ok(())
    }

    fn follow(&mut self, policy: KeyPolicy) -> Result<(), Ending> {
        if !limit::is_possible(&policy) {
            return Err(Ending::Rule("a limit of key exchanges that is impossible"));
        }
        self.shared.change(|settings| settings.policy = policy);
        Ok(())
    }

    fn hear_holder(&mut self) -> Result<(), Ending> {
        const OUT_OF_TURN: Ending = Ending::Rule("a word of the key holder that was not its turn");
        for _ in 0..BURST {
            match self.holder.receive().map_err(of_holder)? {
                Some(FromKeyHolder::Hello(shortfall)) if !self.is_holder_known => {
                    self.is_holder_known = true;
                    self.engine.push(FromKeyService::HolderHello(shortfall))?;
                }
                Some(FromKeyHolder::Key(read)) if self.is_holder_known => {
                    self.reload.hear(read, self.shared).ok_or(OUT_OF_TURN)?;
                }
                Some(FromKeyHolder::Pong) if self.is_holder_known => {
                    self.engine.push(FromKeyService::HolderPong)?;
                }
                Some(_) => return Err(OUT_OF_TURN),
                None => break,
            }
        }
        Ok(())
    }

    /// Starts reading certificate and key if a reload was requested, and reports the result once it is known.
    fn reload(&mut self) -> Result<(), Ending> {
        loop {
            if self.reload.is_due()
                && let Some(number) = self.reload.begin()
            {
                self.holder.push(ToKeyHolder::Reload(number)).map_err(of_holder)?;
            }
            let Some((number, loaded)) = self.reload.conclude(self.shared) else { return Ok(()) };
            self.engine.push(FromKeyService::Certificate(number, loaded))?;
        }
    }

    fn report(&mut self) -> Result<(), Ending> {
        let engine = &mut self.engine;
        let offer = |counts| engine.offer(&FromKeyService::Counters(KeyCounters::from_list(counts)));
        self.reports.report(&self.shared.workers, offer)
    }
}

/// The same error, on the other link.
fn of_holder(ending: Ending) -> Ending {
    match ending {
        Ending::EngineGone => Ending::Holder(LinkError::Closed),
        Ending::Link(error) => Ending::Holder(error),
        other => other,
    }
}

/// The keys that seal cookies, from a message; `None` if they are inconsistent.
fn take_over(given: &GivenKeys) -> Option<CookieKeys> {
    let keys = given.keys.iter().map(|key| EpochKey::from_octets(key.epoch, key.key.octets()));
    CookieKeys::new(given.current, keys).ok()
}
