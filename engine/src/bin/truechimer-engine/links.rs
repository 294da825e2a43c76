//! The four links: records in become facts for the engine, effects of the engine become records out.
//!
//! Whatever a record says is checked here as far as the order of messages goes (hello first and once,
//! answers only to what was asked, counts that only grow); what a query's reply may say is for the engine
//! to judge. The first breach ends the daemon.

mod orders;
mod outlet;

pub use outlet::Taken;

use crate::links::orders::Orders;
use crate::links::outlet::Outlet;
use engine::io::{Input, OrderKind};
use ipc::message::Shortfall;
use ipc::message::client::{FromClient, Query, QueryId, ToClient};
use ipc::message::exchange::{FromExchange, MAX_ADDRESSES, Resolve, ToExchange};
use ipc::message::privileged::{
    Adjust, Farewell, FromPrivileged, LaunchPlan, Status, Step, ToPrivileged, Welcome,
};
use ipc::message::server::{
    Access, Counters, FromServer, MAX_RULES, Rule, ServerPolicy, ServerState, ToServer,
};
use ipc::units::RawInstant;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Records that are read from one link before the others have their turn (A108).
pub const BURST: usize = 64;

/// Counters come at most once a second; as many more may have queued up while this process didn't run.
const COUNTERS_QUEUED: i64 = 16;

/// Orders that may wait for their answer at a time.
const MAX_OPEN: usize = 64;

/// What a process did whose link is closed.
const GONE: &str = "is gone";

/// Our processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// truechimerd.
    Privileged,
    /// This one.
    Engine,
    /// truechimer-network, client role.
    Client,
    /// truechimer-network, server role.
    Server,
    /// truechimer-network, exchange role.
    Exchange,
}

impl Process {
    /// In the order of `Welcome::processes`.
    pub const ALL: [Self; 5] = [Self::Privileged, Self::Engine, Self::Client, Self::Server, Self::Exchange];

    /// As in status replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Engine => "engine",
            Self::Client => "client",
            Self::Server => "server",
            Self::Exchange => "exchange",
        }
    }

    fn of(farewell: Farewell) -> Self {
        match farewell {
            Farewell::Engine => Self::Engine,
            Farewell::Client => Self::Client,
            Farewell::Server => Self::Server,
            Farewell::Exchange => Self::Exchange,
        }
    }
}

/// A process that is no longer trusted, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Who.
    pub process: Process,
    /// What, as the rest of a sentence that starts with the process.
    pub deed: String,
}

impl Breach {
    /// A process did this.
    pub fn new(process: Process, deed: impl fmt::Display) -> Self {
        Self { process, deed: deed.to_string() }
    }

    /// What the engine found by its own checks.
    pub fn found(farewell: Farewell, deed: &str) -> Self {
        Self::new(Process::of(farewell), deed)
    }

    /// Whether the process merely ended.
    pub fn is_gone(&self) -> bool {
        self.deed == GONE
    }

    /// What privileged is told; nothing where it is privileged itself that can't be trusted.
    pub fn farewell(&self) -> Option<Farewell> {
        match self.process {
            Process::Privileged => None,
            Process::Engine => Some(Farewell::Engine),
            Process::Client => Some(Farewell::Client),
            Process::Server => Some(Farewell::Server),
            Process::Exchange => Some(Farewell::Exchange),
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} process {}; the daemon ends", self.process.name(), self.deed)
    }
}

impl std::error::Error for Breach {}

/// What a record from outside means.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "lives for one turn of the loop, on the stack")]
pub enum Fact {
    /// A process is confined; it claims this.
    Hello(Process, Shortfall),
    /// Something for the engine.
    Input(Input),
    /// Counts of the server role.
    Counters(Counters),
}

/// All ends that this process holds.
#[derive(Debug)]
pub struct Links {
    privileged: Outlet<ToPrivileged, FromPrivileged>,
    client: Outlet<ToClient, FromClient>,
    exchange: Outlet<ToExchange, FromExchange>,
    server: Outlet<ToServer, FromServer>,
    orders: Orders,
    welcomed: bool,
    epoch: u32,
    counters: Option<(Counters, RawInstant, i64)>,
    expected: [bool; 5],
}

/// The descriptors, as they were inherited.
pub struct Ends {
    /// To truechimerd.
    pub privileged: OwnedFd,
    /// To the client role.
    pub client: OwnedFd,
    /// To the exchange role.
    pub exchange: OwnedFd,
    /// To the server role.
    pub server: OwnedFd,
}

impl Links {
    /// Takes the ends; none of them blocks from here on.
    ///
    /// # Errors
    /// What the kernel says where an end can't be made non-blocking.
    pub fn new(ends: Ends) -> Result<Self, nix::Error> {
        Ok(Self {
            privileged: Outlet::new(Process::Privileged, ends.privileged)?,
            client: Outlet::new(Process::Client, ends.client)?,
            exchange: Outlet::new(Process::Exchange, ends.exchange)?,
            server: Outlet::new(Process::Server, ends.server)?,
            orders: Orders::default(),
            welcomed: false,
            epoch: 0,
            counters: None,
            // The exchange and server roles are there only where the plan asks for them.
            expected: [true, false, true, false, false],
        })
    }

    /// Sends the launch plan, and remembers which processes will be there.
    ///
    /// # Errors
    /// [`Breach`] as everywhere here: the process at the other end is gone or doesn't read.
    pub fn send_plan(&mut self, now: RawInstant, plan: LaunchPlan) -> Result<(), Breach> {
        self.expected = [true, false, true, plan.listen_count > 0, plan.exchange];
        self.privileged.send_surely(now, ToPrivileged::Plan(plan))
    }

    /// Whether a process is part of this run.
    pub fn expects(&self, process: Process) -> bool {
        Process::ALL.iter().zip(self.expected).any(|(other, expected)| *other == process && expected)
    }

    /// Sends the hello to privileged.
    pub fn send_hello(&mut self, now: RawInstant) -> Result<(), Breach> {
        self.privileged.send_surely(now, ToPrivileged::Hello)
    }

    /// Sends a sign of life.
    pub fn send_heartbeat(&mut self, now: RawInstant) -> Result<(), Breach> {
        self.privileged.send_surely(now, ToPrivileged::Heartbeat)
    }

    /// Sends the farewell; if it can't be sent, the closed link says as much.
    pub fn send_goodbye(&mut self, now: RawInstant, farewell: Farewell) {
        let _ = self.privileged.send(now, ToPrivileged::Goodbye(farewell));
    }

    /// Sends an order and opens its number.
    pub fn send_adjust(&mut self, now: RawInstant, adjust: Adjust) -> Result<(), Breach> {
        self.send_order(now, OrderKind::Adjust, ToPrivileged::Adjust(adjust))
    }

    /// Sends an order and opens its number.
    pub fn send_step(&mut self, now: RawInstant, step: Step) -> Result<(), Breach> {
        self.send_order(now, OrderKind::Step, ToPrivileged::Step(step))
    }

    /// Sends an order and opens its number.
    pub fn send_status(&mut self, now: RawInstant, status: Status) -> Result<(), Breach> {
        self.send_order(now, OrderKind::Status, ToPrivileged::SetStatus(status))
    }

    fn send_order(&mut self, now: RawInstant, kind: OrderKind, order: ToPrivileged) -> Result<(), Breach> {
        if self.orders.len() >= MAX_OPEN {
            return Err(Breach::new(Process::Privileged, "leaves orders without an answer"));
        }
        let sequence = self.privileged.next_sequence();
        self.privileged.send_surely(now, order)?;
        self.orders.open(sequence, kind);
        Ok(())
    }

    /// Sends a query, or skips it where the client role doesn't read.
    pub fn send_query(&mut self, now: RawInstant, query: Query) -> Result<Taken, Breach> {
        self.client.send(now, ToClient::Query(query))
    }

    /// Sends a cancellation, or skips it where the client role doesn't read.
    pub fn send_cancel(&mut self, now: RawInstant, id: QueryId) -> Result<Taken, Breach> {
        self.client.send(now, ToClient::Cancel(id))
    }

    /// Sends a look-up, or skips it where the exchange role doesn't read.
    pub fn send_resolve(&mut self, now: RawInstant, resolve: Resolve) -> Result<Taken, Breach> {
        self.exchange.send(now, ToExchange::Resolve(resolve))
    }

    /// Publishes the system variables; a state that still waits is replaced.
    pub fn send_state(&mut self, now: RawInstant, state: ServerState) -> Result<(), Breach> {
        self.server.replace_waiting(|waiting| matches!(waiting, ToServer::State(_)));
        self.server.send_surely(now, ToServer::State(state))
    }

    /// Sends the access rules, in as many records as they need; none of them is one that allows nobody.
    pub fn send_access(&mut self, now: RawInstant, rules: &[Rule]) -> Result<(), Breach> {
        let parts = rules.chunks(MAX_RULES).map(Some).chain(rules.is_empty().then_some(None));
        let last = rules.len().div_ceil(MAX_RULES).saturating_sub(1);
        for (at, part) in parts.enumerate() {
            let part = part.unwrap_or_default();
            let count = u8::try_from(part.len()).unwrap_or(0);
            let mut access =
                Access { begins: at == 0, ends: at == last, count, rules: [Rule::NONE; MAX_RULES] };
            for (place, rule) in access.rules.iter_mut().zip(part) {
                *place = *rule;
            }
            self.server.send_surely(now, ToServer::Access(access))?;
        }
        Ok(())
    }

    /// Sends how the server role answers.
    pub fn send_policy(&mut self, now: RawInstant, policy: ServerPolicy) -> Result<(), Breach> {
        self.server.send_surely(now, ToServer::Policy(policy))
    }

    /// Tries again to send what waits.
    ///
    /// # Errors
    /// A process that is gone, or hasn't read for a minute.
    pub fn flush(&mut self, now: RawInstant) -> Result<(), Breach> {
        self.privileged.flush(now)?;
        self.client.flush(now)?;
        self.exchange.flush(now)?;
        self.server.flush(now)
    }

    /// When patience with a process that doesn't read ends.
    pub fn deadline(&self) -> Option<RawInstant> {
        let deadlines = [
            self.privileged.deadline(),
            self.client.deadline(),
            self.exchange.deadline(),
            self.server.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The ends to wait for: the process, its descriptor, and whether something waits to be sent there.
    pub fn waits(&self) -> impl Iterator<Item = (Process, BorrowedFd<'_>, bool)> {
        let all = [
            (Process::Privileged, self.privileged.as_fd(), self.privileged.is_waiting()),
            (Process::Client, self.client.as_fd(), self.client.is_waiting()),
            (Process::Exchange, self.exchange.as_fd(), self.exchange.is_waiting()),
            (Process::Server, self.server.as_fd(), self.server.is_waiting()),
        ];
        all.into_iter().filter(|(process, ..)| self.expects(*process))
    }

    /// One record from this process, checked, or nothing where none is waiting.
    ///
    /// # Errors
    /// Any breach of the link's rules.
    pub fn receive(&mut self, now: RawInstant, process: Process) -> Result<Option<Fact>, Breach> {
        match process {
            Process::Privileged => self.receive_privileged(),
            Process::Client => self.receive_client(),
            Process::Exchange => self.receive_exchange(),
            Process::Server => self.receive_server(now),
            Process::Engine => Ok(None),
        }
    }

    fn receive_privileged(&mut self) -> Result<Option<Fact>, Breach> {
        let breach = |deed: &str| Breach::new(Process::Privileged, deed);
        let Some(message) = self.privileged.receive()? else { return Ok(None) };
        if let FromPrivileged::Welcome(welcome) = message {
            return self.take_welcome(welcome).map(Some);
        }
        if !self.welcomed {
            return Err(breach("answered before its welcome"));
        }
        let answered = |orders: &mut Orders, sequence| {
            orders.close(sequence).ok_or_else(|| breach("answered an order that is not open"))
        };
        let input = match message {
            FromPrivileged::Applied(applied) => {
                Input::Applied(answered(&mut self.orders, applied.answers)?, applied)
            }
            FromPrivileged::Refused(refused) => {
                Input::Refused(answered(&mut self.orders, refused.answers)?, refused)
            }
            FromPrivileged::ClockEvent(event) => {
                if event.epoch <= self.epoch {
                    return Err(breach("went back to an earlier epoch"));
                }
                self.epoch = event.epoch;
                Input::ClockEvent(event)
            }
            FromPrivileged::Welcome(_) => return Err(breach("said welcome twice")),
        };
        Ok(Some(Fact::Input(input)))
    }

    fn take_welcome(&mut self, welcome: Welcome) -> Result<Fact, Breach> {
        if self.welcomed {
            return Err(Breach::new(Process::Privileged, "said welcome twice"));
        }
        self.welcomed = true;
        self.epoch = welcome.epoch;
        Ok(Fact::Input(Input::Welcome(welcome)))
    }

    fn receive_client(&mut self) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.client.receive()? else { return Ok(None) };
        let hello = match message {
            FromClient::Hello(shortfall) => Some(shortfall),
            _ => None,
        };
        self.client.greet(hello)?;
        Ok(Some(match message {
            FromClient::Hello(shortfall) => Fact::Hello(Process::Client, shortfall),
            FromClient::Sent(sent) => Fact::Input(Input::Sent(sent)),
            FromClient::PlainReply(reply) => {
                if !(1..=7).contains(&reply.header.version) || reply.header.mode > 7 {
                    return Err(Breach::new(
                        Process::Client,
                        "sent a version or mode that no packet can have",
                    ));
                }
                Fact::Input(Input::Reply(reply))
            }
            FromClient::ProtectedReply(_) => {
                return Err(Breach::new(Process::Client, "answered a protected query that nobody sent"));
            }
            FromClient::Unanswered(unanswered) => Fact::Input(Input::Unanswered(unanswered)),
        }))
    }

    fn receive_exchange(&mut self) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.exchange.receive()? else { return Ok(None) };
        let hello = match message {
            FromExchange::Hello(shortfall) => Some(shortfall),
            _ => None,
        };
        self.exchange.greet(hello)?;
        Ok(Some(match message {
            FromExchange::Hello(shortfall) => Fact::Hello(Process::Exchange, shortfall),
            FromExchange::Resolved(resolved) => {
                if !(1..=MAX_ADDRESSES).contains(&usize::from(resolved.count)) {
                    return Err(Breach::new(Process::Exchange, "sent a number of addresses that can't be"));
                }
                Fact::Input(Input::Resolved(resolved))
            }
            FromExchange::Failed(failed) => Fact::Input(Input::LookupFailed(failed)),
            FromExchange::Cookie(_) | FromExchange::Exchanged(_) | FromExchange::ExchangeFailed(_) => {
                return Err(Breach::new(Process::Exchange, "answered a key exchange that nobody asked for"));
            }
        }))
    }

    fn receive_server(&mut self, now: RawInstant) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.server.receive()? else { return Ok(None) };
        let hello = match message {
            FromServer::Hello(shortfall) => Some(shortfall),
            FromServer::Counters(_) => None,
        };
        self.server.greet(hello)?;
        Ok(Some(match message {
            FromServer::Hello(shortfall) => Fact::Hello(Process::Server, shortfall),
            FromServer::Counters(counters) => {
                self.count(now, counters)?;
                Fact::Counters(counters)
            }
        }))
    }

    fn count(&mut self, now: RawInstant, counters: Counters) -> Result<(), Breach> {
        let (since, records) = match self.counters {
            None => (now, 1),
            Some((before, since, records)) => {
                if fell(&before, &counters) {
                    return Err(Breach::new(Process::Server, "sent counters that fell"));
                }
                (since, records + 1)
            }
        };
        if records > now.since(since).nanos() / 1_000_000_000 + COUNTERS_QUEUED {
            return Err(Breach::new(Process::Server, "sent counters more than once a second"));
        }
        self.counters = Some((counters, since, records));
        Ok(())
    }
}

fn fell(before: &Counters, after: &Counters) -> bool {
    before.list().iter().zip(after.list()).any(|(before, after)| after < *before)
}

#[cfg(test)]
mod tests;
