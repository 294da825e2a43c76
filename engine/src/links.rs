//! One link to each process but the key holder: records in become facts for the engine, effects of the engine become records out.
//!
//! The order of messages is checked here (hello first and once, answers only to requests, counters that only grow); the
//! contents of replies to queries are judged by the engine core. The first violation ends the daemon.

mod asked;
mod breach;
mod clients;
mod counting;
mod interfaces;
mod key_service;
mod liveness;
mod orders;
mod queued_link;
mod refclock;
mod samba;
mod serving;

pub use breach::Breach;
pub use clients::ClientList;
pub use key_service::KeyServiceLink;
pub use queued_link::Taken;

use crate::links::asked::Unended;
use crate::links::clients::AskedClients;
use crate::links::counting::{Counting, Pace};
use crate::links::interfaces::Interfaces;
use crate::links::liveness::Liveness;
use crate::links::orders::Orders;
use crate::links::queued_link::{AnyLink, PingedLink, QueuedLink};
use crate::links::refclock::RefclockLink;
use crate::links::samba::SambaLink;
use engine_core::io::{Input, OrderKind};
use ipc::audit_line::End;
use ipc::message::Shortfall;
use ipc::message::client::{FromClient, OwnAddresses, Query, QueryId, ToClient};
use ipc::message::exchange::{Asked, Exchange, FromExchange, Measure, Resolve, ToExchange};
use ipc::message::key_service::{KeyCounters, Loaded};
use ipc::message::launch::{FromLaunch, LaunchPlan, ToLaunch};
use ipc::message::privileged::{
    Adjust, Condition, FromPrivileged, HistoryNoted, SetTai, Status, Step, ToPrivileged, Welcome,
};
use ipc::message::samba::Contact;
use ipc::message::server::{CookieKeys, Counters, FromServer, ServerPolicy, ServerState, ToServer};
use ipc::process::{Parting, PerProcess, Process};
use ipc::served_at::{InterfaceName, ServedAt, Service};
use ipc::units::RawInstant;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Records that are read from one link before the others have their turn (A108).
pub const BURST: usize = 64;

/// How many counts [`Counters`] has.
const COUNTS: usize = Counters::ZERO.list().len();

/// Orders that may wait for their answer at a time.
const MAX_OPEN: usize = 64;

/// What a record from outside means.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "lives for one turn of the loop, on the stack")]
pub enum Fact {
    /// A process is confined; it claims this.
    Hello(Process, Shortfall),
    /// Something for the engine.
    Input(Input),
    /// Counts of the server.
    Counters(Counters),
    /// Clients of the server, once all that were asked for are told.
    Clients(Option<ClientList>),
    /// An interface that `listen` names for this is missing, or is there again.
    Interface(Service, InterfaceName, bool),
    /// What became of reading the certificate.
    Certificate(u8, Loaded),
    /// Counts of the key exchange service.
    KeyCounters(KeyCounters),
    /// This process answered a ping.
    Alive(Process),
    /// The network of this host has changed; its addresses now.
    Network(OwnAddresses),
    /// The configuration is to be read again.
    Reload,
    /// The audit log has it where the history ends.
    HistoryNoted(HistoryNoted),
    /// Whether Samba can be asked.
    Samba(Contact),
}

/// All ends that this process holds.
#[derive(Debug)]
pub struct Links {
    /// None once everything has been said on it.
    launch: Option<QueuedLink<ToLaunch, FromLaunch>>,
    privileged: QueuedLink<ToPrivileged, FromPrivileged>,
    client: QueuedLink<ToClient, FromClient>,
    exchange: QueuedLink<ToExchange, FromExchange>,
    server: QueuedLink<ToServer, FromServer>,
    /// To the key exchange service.
    pub key_service: KeyServiceLink,
    samba: SambaLink,
    refclock: RefclockLink,
    orders: Orders,
    unended: Unended,
    liveness: Liveness,
    welcomed: bool,
    epoch: u32,
    counting: Counting<COUNTS>,
    clients: AskedClients,
    /// How often the client has told of the network.
    changes: Pace,
    /// What the server has said of the interfaces that entries of its `listen` name.
    interfaces: Interfaces,
    /// None before the plan: only the two that no plan leaves out are there then.
    plan: Option<LaunchPlan>,
}

/// The descriptors, as they were inherited.
pub struct Ends {
    /// To truechimerd, for as long as it launches.
    pub launch: OwnedFd,
    /// To each process that has its link to this one.
    pub links: PerProcess<Option<OwnedFd>>,
}

impl Links {
    /// Takes the ends; none of them blocks from here on.
    ///
    /// # Errors
    /// The kernel's error if an end cannot be made non-blocking; EBADF if one is missing.
    pub fn new(Ends { launch, mut links }: Ends) -> Result<Self, nix::Error> {
        let mut end = |process| links[process].take().ok_or(nix::Error::EBADF);
        Ok(Self {
            launch: Some(QueuedLink::new(Process::Privileged, launch)?),
            privileged: QueuedLink::new(Process::Privileged, end(Process::Privileged)?)?,
            client: QueuedLink::new(Process::Client, end(Process::Client)?)?,
            exchange: QueuedLink::new(Process::Exchange, end(Process::Exchange)?)?,
            server: QueuedLink::new(Process::Server, end(Process::Server)?)?,
            key_service: KeyServiceLink::new(end(Process::KeyService)?)?,
            samba: SambaLink::new(end(Process::Samba)?)?,
            refclock: RefclockLink::new(end(Process::Refclock)?)?,
            orders: Orders::default(),
            unended: Unended::default(),
            liveness: Liveness::default(),
            welcomed: false,
            epoch: 0,
            counting: Counting::of(Process::Server),
            clients: AskedClients::default(),
            changes: Pace::default(),
            interfaces: Interfaces::of(Process::Server),
            plan: None,
        })
    }

    /// Sends the launch plan, and remembers which processes will be there.
    ///
    /// # Errors
    /// [`Breach`] as everywhere here: the process at the other end is gone or doesn't read.
    pub fn send_plan(&mut self, now: RawInstant, plan: LaunchPlan) -> Result<(), Breach> {
        self.plan = Some(plan);
        self.key_service.expect_pairs(plan.key_service.map_or(1, |service| service.pairs().count()));
        self.send_launch(now, ToLaunch::Plan(plan))
    }

    fn any(&self) -> [(Process, &dyn AnyLink); 7] {
        [
            (Process::Privileged, &self.privileged),
            (Process::Client, &self.client),
            (Process::Exchange, &self.exchange),
            (Process::Server, &self.server),
            (Process::KeyService, &self.key_service.link),
            (Process::Samba, &self.samba.link),
            (Process::Refclock, &self.refclock.link),
        ]
    }

    fn any_mut(&mut self) -> [&mut dyn AnyLink; 7] {
        let (key_service, samba) = (&mut self.key_service.link, &mut self.samba.link);
        let refclock = &mut self.refclock.link;
        [
            &mut self.privileged,
            &mut self.client,
            &mut self.exchange,
            &mut self.server,
            key_service,
            samba,
            refclock,
        ]
    }

    fn pinged(&mut self) -> [(Process, &mut dyn PingedLink); 6] {
        [
            (Process::Client, &mut self.client),
            (Process::Exchange, &mut self.exchange),
            (Process::Server, &mut self.server),
            (Process::KeyService, &mut self.key_service.link),
            (Process::Samba, &mut self.samba.link),
            (Process::Refclock, &mut self.refclock.link),
        ]
    }

    /// Whether a process is part of this run.
    pub fn expects(&self, process: Process) -> bool {
        match &self.plan {
            Some(plan) => process != Process::Engine && process.is_wanted(plan),
            None => matches!(process, Process::Privileged | Process::Client),
        }
    }

    /// The entries of each `listen` whose interface is missing, as the process that answers there has said.
    pub fn unserved(&self) -> Vec<(Service, ServedAt)> {
        let time = self.interfaces.unserved(listen(self.plan.as_ref(), Service::Time));
        let keys = self.key_service.interfaces.unserved(listen(self.plan.as_ref(), Service::Keys));
        let of = |service| move |entry: &ServedAt| (service, *entry);
        time.map(of(Service::Time)).chain(keys.map(of(Service::Keys))).collect()
    }

    /// Sends the hello, the last word to the launch.
    pub fn send_hello(&mut self, now: RawInstant) -> Result<(), Breach> {
        self.send_launch(now, ToLaunch::Hello)?;
        self.launch = None;
        Ok(())
    }

    fn send_launch(&mut self, now: RawInstant, message: ToLaunch) -> Result<(), Breach> {
        self.launch.as_mut().map_or(Ok(()), |launch| launch.send_surely(now, message))
    }

    /// Sends a sign of life.
    pub fn send_heartbeat(&mut self, now: RawInstant) -> Result<(), Breach> {
        self.privileged.send_surely(now, ToPrivileged::Heartbeat)
    }

    /// Says what the daemon is about.
    pub fn send_condition(&mut self, now: RawInstant, condition: Condition) -> Result<(), Breach> {
        self.privileged.send_surely(now, ToPrivileged::Condition(condition))
    }

    /// Has it written into the audit log where the history ends.
    pub fn send_history(&mut self, now: RawInstant, end: End) -> Result<(), Breach> {
        self.privileged.send_surely(now, ToPrivileged::NoteHistory(end))
    }

    /// Sends the goodbye, to the launch or the keeper that follows it; if it cannot be sent, the closed link has the same effect.
    pub fn send_goodbye(&mut self, now: RawInstant, goodbye: Parting) {
        if let Some(launch) = &mut self.launch {
            let _ = launch.send(now, ToLaunch::Goodbye(goodbye));
        }
        let _ = self.privileged.send(now, ToPrivileged::Goodbye(goodbye));
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

    /// Sends an order and opens its number.
    pub fn send_tai(&mut self, now: RawInstant, tai: SetTai) -> Result<(), Breach> {
        self.send_order(now, OrderKind::Tai, ToPrivileged::SetTai(tai))
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

    /// Sends a query, or skips it if the client does not read its link.
    pub fn send_query(&mut self, now: RawInstant, query: Query) -> Result<Taken, Breach> {
        self.client.send(now, ToClient::Query(query))
    }

    /// Sends a cancellation, or skips it if the client does not read its link.
    pub fn send_cancel(&mut self, now: RawInstant, id: QueryId) -> Result<Taken, Breach> {
        self.client.send(now, ToClient::Cancel(id))
    }

    /// Sends a look-up, or skips it if the exchange process does not read its link.
    pub fn send_resolve(&mut self, now: RawInstant, resolve: Resolve) -> Result<Taken, Breach> {
        self.send_asked(now, ToExchange::Resolve(resolve))
    }

    fn send_asked(&mut self, now: RawInstant, asked: ToExchange) -> Result<Taken, Breach> {
        let open = Asked::of(&asked);
        let taken = self.exchange.send(now, asked)?;
        if taken == Taken::Yes {
            self.unended.begin(open, now);
        }
        Ok(taken)
    }

    /// Looks whether look-ups and key exchanges end. Harmless at any time.
    pub fn check_endless(&mut self, now: RawInstant) -> Result<(), Breach> {
        self.unended.check(now).map_err(|violation| Breach::new(Process::Exchange, violation))
    }

    /// Asks each process for a sign of life; one that left two of these without an answer is no longer trusted.
    pub fn ping(&mut self, now: RawInstant) -> Result<(), Breach> {
        let expected = PerProcess::from_fn(|process| self.expects(process));
        let mut liveness = std::mem::take(&mut self.liveness);
        for (process, link) in self.pinged().into_iter().filter(|(process, _)| expected[*process]) {
            // It passes the ping on to those that are linked to it, whose answers come the same way.
            for asked in [process].into_iter().chain(process.with_link_to()) {
                liveness.ask(asked).map_err(|violation| Breach::new(asked, violation))?;
            }
            link.ping(now)?;
        }
        self.liveness = liveness;
        Ok(())
    }

    /// Sends a key exchange, or skips it if the exchange process does not read its link or is at its limit.
    pub fn send_exchange(&mut self, now: RawInstant, exchange: Exchange) -> Result<Taken, Breach> {
        if !self.unended.has_room() {
            return Ok(Taken::Skipped);
        }
        self.send_asked(now, ToExchange::Exchange(exchange))
    }

    /// Sends a round of Roughtime, or skips it if the exchange process does not read its link.
    pub fn send_measure(&mut self, now: RawInstant, measure: Measure) -> Result<Taken, Breach> {
        self.send_asked(now, ToExchange::Measure(measure))
    }

    /// Publishes the system variables; a state that still waits is replaced.
    pub fn send_state(&mut self, now: RawInstant, state: ServerState) -> Result<(), Breach> {
        self.server.replace_waiting(|waiting| matches!(waiting, ToServer::State(_)));
        self.server.send_surely(now, ToServer::State(state))
    }

    /// Sends how the server answers.
    pub fn send_policy(&mut self, now: RawInstant, policy: ServerPolicy) -> Result<(), Breach> {
        self.server.send_surely(now, ToServer::Policy(policy))
    }

    /// Sends the cookie keys to the processes that use them.
    pub fn send_cookie_keys(&mut self, now: RawInstant, keys: &CookieKeys) -> Result<(), Breach> {
        if self.expects(Process::Server) {
            self.server.replace_waiting(|waiting| matches!(waiting, ToServer::CookieKeys(_)));
            self.server.send_surely(now, ToServer::CookieKeys(keys.clone()))?;
        }
        if self.expects(Process::KeyService) {
            self.key_service.send_cookie_keys(now, keys.clone())?;
        }
        Ok(())
    }

    /// Tries again to send what waits.
    ///
    /// # Errors
    /// A process that is gone, or hasn't read for a minute.
    pub fn flush(&mut self, now: RawInstant) -> Result<(), Breach> {
        self.any_mut().into_iter().try_for_each(|link| link.flush(now))
    }

    /// When a process that does not read its link is given up.
    pub fn deadline(&self) -> Option<RawInstant> {
        self.any().into_iter().filter_map(|(_, link)| link.deadline()).min()
    }

    /// The ends to wait for: the process, its descriptor, and whether something waits to be sent there.
    pub fn waits(&self) -> impl Iterator<Item = (Process, BorrowedFd<'_>, bool)> {
        let expected = self.any().into_iter().filter(|(process, _)| self.expects(*process));
        expected.map(|(process, link)| (process, link.as_fd(), link.is_waiting()))
    }

    /// One validated record from this process, or `None` if none is waiting.
    ///
    /// # Errors
    /// Any breach of the link's rules.
    pub fn receive(&mut self, now: RawInstant, process: Process) -> Result<Option<Fact>, Breach> {
        match process {
            Process::Privileged => self.receive_privileged(),
            Process::Client => self.receive_client(now),
            Process::Exchange => self.receive_exchange(),
            Process::Server => self.receive_server(now),
            Process::KeyService => self.key_service.receive(now, listen(self.plan.as_ref(), Service::Keys)),
            Process::Samba => self.samba.receive(now),
            Process::Refclock => self.refclock.receive(self.plan.as_ref()),
            // The key holder's words come through the key exchange service.
            Process::Engine | Process::KeyHolder => Ok(None),
        }
        .and_then(|fact| match fact {
            Some(Fact::Alive(living)) => {
                self.liveness.answer(living).map_err(|violation| Breach::new(process, violation))?;
                Ok(fact)
            }
            fact => Ok(fact),
        })
    }

    fn receive_privileged(&mut self) -> Result<Option<Fact>, Breach> {
        let breach = |violation: &str| Breach::new(Process::Privileged, violation);
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
            FromPrivileged::Reload => return Ok(Some(Fact::Reload)),
            FromPrivileged::HistoryNoted(noted) => return Ok(Some(Fact::HistoryNoted(noted))),
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

    fn receive_client(&mut self, now: RawInstant) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.client.receive_greeted()? else { return Ok(None) };
        let breach = |violation: &str| Breach::new(Process::Client, violation);
        Ok(Some(match message {
            FromClient::Hello(shortfall) => Fact::Hello(Process::Client, shortfall),
            FromClient::Sent(sent) => Fact::Input(Input::Sent(sent)),
            FromClient::PlainReply(reply) => {
                if !(1..=7).contains(&reply.header.version) || reply.header.mode > 7 {
                    return Err(breach("sent a version or mode that no packet can have"));
                }
                Fact::Input(Input::Reply(reply))
            }
            FromClient::Version5Reply(reply) => Fact::Input(Input::Version5(reply)),
            FromClient::ProtectedReply(candidate) => Fact::Input(Input::Protected(candidate)),
            FromClient::Pong => Fact::Alive(Process::Client),
            FromClient::Network(_) if !self.changes.keeps(now) => {
                return Err(breach("told of the network more than once a second"));
            }
            FromClient::Network(addresses) => Fact::Network(addresses),
            FromClient::Unanswered(unanswered) => Fact::Input(Input::Unanswered(unanswered)),
        }))
    }

    fn receive_exchange(&mut self) -> Result<Option<Fact>, Breach> {
        let Some(message) = self.exchange.receive_greeted()? else { return Ok(None) };
        self.unended.judge(&message).map_err(|violation| Breach::new(Process::Exchange, violation))?;
        Ok(Some(match message {
            FromExchange::Hello(shortfall) => Fact::Hello(Process::Exchange, shortfall),
            FromExchange::Pong => Fact::Alive(Process::Exchange),
            FromExchange::Resolved(resolved) => Fact::Input(Input::Resolved(resolved)),
            FromExchange::Failed(failed) => Fact::Input(Input::LookupFailed(failed)),
            FromExchange::Cookie(cookie) => Fact::Input(Input::Cookie(cookie)),
            FromExchange::Exchanged(ended) => Fact::Input(Input::Exchanged(ended)),
            FromExchange::ExchangeFailed(failed) => Fact::Input(Input::ExchangeFailed(failed)),
            FromExchange::Signed(signed) => Fact::Input(Input::Signed(signed)),
            FromExchange::Measured(ended) => Fact::Input(Input::Measured(ended)),
            FromExchange::MeasureFailed(failed) => Fact::Input(Input::MeasureFailed(failed)),
        }))
    }
}

/// The entries of one `listen`; none before the plan.
fn listen(plan: Option<&LaunchPlan>, service: Service) -> &[ServedAt] {
    match (plan, service) {
        (None, _) => &[],
        (Some(plan), Service::Time) => &plan.listen,
        (Some(plan), Service::Keys) => plan.key_service.as_ref().map_or(&[], |service| &service.listen),
    }
}

#[cfg(test)]
mod tests;
