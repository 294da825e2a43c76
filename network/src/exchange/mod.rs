//! The exchange role: looks names up, each in a child of its own.
//!
//! The resolver's answer comes from strangers, and the code that reads it is large. So it runs in a process
//! that is forked for one name, narrows its own filter, may speak once, and is killed at its deadline. This
//! parent reads nothing from outside; of what a child says it takes a record of the right form, for the name
//! that this child was started for.

mod child;
mod fork;
mod lookup;

pub use child::Work;

use crate::clock;
use crate::ending::Ending;
use crate::outbox::Outbox;
use child::Child;
use ipc::link::Link;
use ipc::message::Shortfall;
use ipc::message::exchange::{ExchangeFailed, ExchangeFailure, ExchangeId, Failed, FromExchange, LookupFailure, Resolve, ToExchange};
use ipc::units::Span;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;
use std::os::fd::AsFd;

/// Most look-ups that may be open (the engine's own limit too).
const MOST: usize = 8;

/// Most children that were killed and are not gone yet, before no more are started.
const MOST_DYING: usize = 16;

/// How often a killed child is asked after.
const REAPING: Span = Span::from_millis(20);

/// How often they are asked after when the role ends.
const FAREWELLS: usize = 10;

/// Records that are read from the link before the children have their turn.
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
    open: Vec<Child>,
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
            for (at, events) in ready.iter().enumerate().skip(1).rev() {
                if !events.is_empty()
                    && let Some(outcome) = self.open[at - 1].result()
                {
                    self.end(at - 1, outcome)?;
                }
            }
            self.expire()?;
            self.dying.retain(|pid| child::is_alive(*pid));
            // After the children: their indices are those of before.
            if ready.first().is_some_and(|events| !events.is_empty()) {
                self.read_link()?;
            }
        }
    }

    /// What is ready: the link first, then the children in their order.
    fn wait(&self) -> Result<Vec<PollFlags>, Ending> {
        let mut places = Vec::with_capacity(1 + self.open.len());
        places.push(PollFd::new(self.engine.as_fd(), self.engine.interest()));
        places.extend(self.open.iter().map(|child| PollFd::new(child.as_fd(), PollFlags::POLLIN)));
        let now = clock::raw();
        let deadlines = self.open.iter().map(|child| child.deadline().since(now).nanos().max(0));
        let reaping = (!self.dying.is_empty()).then_some(REAPING.nanos());
        let patience = deadlines.chain(reaping).min();
        let patience = patience.map(|nanos| TimeSpec::new(nanos / 1_000_000_000, nanos % 1_000_000_000));
        match ppoll(&mut places, patience, None) {
            Ok(_) => Ok(places.iter().map(|place| place.revents().unwrap_or(PollFlags::POLLERR)).collect()),
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(errno) => Err(Ending::Kernel("to wait for children", errno)),
        }
    }

    fn read_link(&mut self) -> Result<(), Ending> {
        for _ in 0..BURST {
            if self.engine.is_congested() {
                break;
            }
            match self.engine.receive()? {
                Some(ToExchange::Resolve(resolve)) => self.begin(&resolve)?,
                Some(ToExchange::Exchange(exchange)) => {
                    let reason = ExchangeFailure::TryAgain;
                    let failed = ExchangeFailed { id: exchange.id, reason };
                    self.engine.push(FromExchange::ExchangeFailed(failed))?;
                }
                None => break,
            }
        }
        Ok(())
    }

    fn begin(&mut self, resolve: &Resolve) -> Result<(), Ending> {
        if self.last.is_some_and(|last| resolve.id.0 <= last.0) {
            return Err(Ending::Rule("a look-up's id is not above the one before"));
        }
        self.last = Some(resolve.id);
        if self.open.len() >= MOST {
            return Err(Ending::Rule("more than 8 look-ups at once"));
        }
        let started = if self.dying.len() < MOST_DYING {
            Child::start(resolve, &self.work)
        } else {
            Err(Errno::EAGAIN)
        };
        match started {
            Ok(child) => {
                self.open.push(child);
                Ok(())
            }
            Err(_) => {
                let failed = Failed { id: resolve.id, reason: LookupFailure::TryAgain };
                self.engine.push(FromExchange::Failed(failed))
            }
        }
    }

    /// Kills what still runs, and waits for it for a moment: a killed process needs little more.
    fn leave_no_child(&mut self) {
        self.dying.extend(self.open.drain(..).map(Child::kill));
        for _ in 0..FAREWELLS {
            self.dying.retain(|pid| child::is_alive(*pid));
            if self.dying.is_empty() {
                break;
            }
            let _ = ppoll(&mut [], Some(TimeSpec::new(0, REAPING.nanos())), None);
        }
    }

    /// Passes a look-up's end on. Whatever the child still does, it is killed.
    fn end(&mut self, at: usize, outcome: FromExchange) -> Result<(), Ending> {
        self.dying.push(self.open.swap_remove(at).kill());
        self.engine.push(outcome)
    }

    fn expire(&mut self) -> Result<(), Ending> {
        let now = clock::raw();
        for at in (0..self.open.len()).rev() {
            if self.open[at].deadline() <= now {
                let failed = Failed { id: self.open[at].id(), reason: LookupFailure::Deadline };
                self.end(at, FromExchange::Failed(failed))?;
            }
        }
        Ok(())
    }
}
