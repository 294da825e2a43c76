//! The exchange process: resolves names, exchanges keys and asks Roughtime servers, each in a separate child process.
//!
//! The resolver's answer, certificates, signed times and the messages of a key exchange are untrusted input, and the code
//! that reads them is large. So it runs in a process that is forked for one name, one server or one round, narrows its
//! own filter, may fail only by itself, and is killed at its deadline. This parent reads no external input and
//! does no TLS; of a child's messages it accepts only those of the right form, about this child's
//! task.
//!
//! A child starts as a copy of this process, so keys from an earlier exchange must be gone by then: they are
//! wiped when they have been passed on, and no child is started while messages wait for the engine.
//!
//! ```text
//!   fork           an unsafe call
//!   job            a look-up or key exchange, and its children
//!   search         how a name is looked up: for both families, then for each
//!   child          a child from its parent's point of view
//!   lawful         which messages a child may send
//!   lookup         a child's work: resolve a name
//!     interface      the index of a network interface
//!   key_exchange   a child's work: keys and cookies of a server
//!     connect        to the first address that accepts a connection
//!     roots          the trusted certificate authorities
//!     verify         whether the server is the one that was requested
//!     session        TLS, the request, the answer, the keys
//!   round          a child's work: a round of Roughtime
//! ```
#![deny(unsafe_code)]

mod child;
mod connect;
mod fork;
mod interface;
mod job;
mod key_exchange;
mod lawful;
mod lookup;
mod roots;
mod round;
mod search;
mod session;
mod verify;

pub use child::Work;

use child::Trouble;
use ipc::message::Shortfall;
use ipc::message::exchange::{Asked, ExchangeId, FromExchange, MAX_OPEN, ToExchange};
use ipc::units::Span;
use ipc_link::Link;
use job::Job;
use network::clock;
use network::ending::Ending;
use network::outbox::Outbox;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;
use std::os::fd::AsFd;

/// With this many killed children that have not ended yet, no more are started.
const MOST_DYING: usize = 32;

/// How often a killed child is waited for.
const REAPING: Span = Span::from_millis(20);

/// How often they are waited for when the role ends.
const FAREWELLS: usize = 10;

/// Most messages that are read from the link before the children have their turn.
const BURST: usize = 16;

/// Runs until the link ends; sends the hello first.
pub fn run(link: Link<FromExchange, ToExchange>, shortfall: Shortfall, work: Work) -> Ending {
    let mut exchange =
        Exchange { engine: Outbox::new(link), open: Vec::new(), dying: Vec::new(), last: None, work };
    let Err(ending) = exchange.serve(shortfall);
    exchange.leave_no_child();
    ending
}

struct Exchange {
    engine: Outbox<FromExchange, ToExchange>,
    open: Vec<Job>,
    /// Killed, or done, but not waited for yet.
    dying: Vec<Pid>,
    last: Option<ExchangeId>,
    work: Work,
}

impl Exchange {
    fn serve(&mut self, shortfall: Shortfall) -> Result<std::convert::Infallible, Ending> {
        self.engine.push(FromExchange::Hello(shortfall))?;
        loop {
            let ready = self.wait()?;
            self.engine.flush()?;
            let (now, mut of_children) = (clock::raw(), ready.iter().copied().skip(1));
            for job in &mut self.open {
                job.hear(&mut of_children, &mut self.dying, now);
            }
            self.end_jobs()?;
            self.dying.retain(|pid| child::is_alive(*pid));
            if self.may_start() {
                self.open.iter_mut().for_each(|job| job.go_on(&self.work, now));
            }
            // After the children: their indices are those of before.
            if ready.first().is_some_and(|events| !events.is_empty()) {
                self.read_link()?;
            }
        }
    }

    /// Which descriptors are ready: the link first, then the children in their order.
    fn wait(&self) -> Result<Vec<PollFlags>, Ending> {
        let mut places = Vec::new();
        let interest = if self.engine.is_waiting() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        places.push(PollFd::new(self.engine.as_fd(), interest));
        places.extend(
            self.open.iter().flat_map(Job::places).map(|place| PollFd::new(place, PollFlags::POLLIN)),
        );
        let now = clock::raw();
        let deadlines = self.open.iter().filter_map(|job| job.due(now, self.may_start()));
        let deadlines = deadlines.map(|due| due.since(now).nanos().max(0));
        let reaping = (!self.dying.is_empty()).then_some(REAPING.nanos());
        let timeout = deadlines.chain(reaping).min();
        let timeout = timeout.map(|nanos| TimeSpec::new(nanos / 1_000_000_000, nanos % 1_000_000_000));
        match ppoll(&mut places, timeout, None) {
            Ok(_) => Ok(places.iter().map(|place| place.revents().unwrap_or(PollFlags::POLLERR)).collect()),
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(errno) => Err(Ending::Kernel("to wait for children", errno)),
        }
    }

    fn read_link(&mut self) -> Result<(), Ending> {
        for _ in 0..BURST {
            // Queued messages may contain keys, of which the next child would get a copy.
            if self.engine.is_waiting() {
                break;
            }
            match self.engine.receive()? {
                Some(task) => self.begin(&task)?,
                None => break,
            }
        }
        Ok(())
    }

    fn begin(&mut self, task: &ToExchange) -> Result<(), Ending> {
        let Some(asked) = Asked::of(task) else { return self.engine.push(FromExchange::Pong) };
        let id = asked.id();
        if self.last.is_some_and(|last| id.0 <= last.0) {
            return Err(Ending::Rule(
                "the id of a look-up, key exchange or round is not above the one before",
            ));
        }
        self.last = Some(id);
        if self.open.len() >= MAX_OPEN {
            return Err(Ending::Rule("more than 8 look-ups, key exchanges and rounds at once"));
        }
        let started = if self.dying.len() < MOST_DYING {
            Job::begin(task, &self.work, clock::raw())
        } else {
            Err(Errno::EAGAIN)
        };
        match started {
            Ok(job) => {
                self.open.push(job);
                Ok(())
            }
            Err(_) => self.engine.push(child::failed(task, Trouble::NotStarted)),
        }
    }

    /// Kills the children that still run, and waits briefly for them: a killed process ends soon.
    fn leave_no_child(&mut self) {
        self.dying.extend(self.open.drain(..).flat_map(Job::kill));
        for _ in 0..FAREWELLS {
            self.dying.retain(|pid| child::is_alive(*pid));
            if self.dying.is_empty() {
                break;
            }
            let _ = ppoll(&mut [], Some(TimeSpec::new(0, REAPING.nanos())), None);
        }
    }

    /// Whether a child may be started: it is a copy of this process, in which there must be no keys.
    fn may_start(&self) -> bool {
        !self.engine.is_waiting() && self.dying.len() < MOST_DYING
    }

    /// Passes on what came of those that have ended, or whose time is over.
    fn end_jobs(&mut self) -> Result<(), Ending> {
        let now = clock::raw();
        for at in (0..self.open.len()).rev() {
            if let Some(outcome) = self.open[at].end(now, &mut self.dying) {
                self.open.swap_remove(at);
                outcome.into_iter().try_for_each(|message| self.engine.push(message))?;
            }
        }
        Ok(())
    }
}
