//! The client: a pipe that timestamps.
//!
//! The engine sends a query as a complete packet. It is sent from a new socket used for this query only, and the first
//! datagram that can be its reply ends it. If replies are protected by NTS, the first few are passed on until the
//! engine has found the authentic one. Between queries no socket is open. A flood to a query's socket can at most cost
//! that query its reply: reading is bounded in each iteration of the loop.
//!
//! It also tells the engine when the network of this host has changed, and its addresses, which the kernel tells it on a
//! socket of the launch.
//!
//! ```text
//!   query           one query and its socket
//!   reply           which datagrams are replies, and why others are not
//!   silence         what an error of the kernel means for a query
//!   datagram        one datagram out of a socket, with what the kernel says about it
//!   socket_options  the options of a query's socket
//!   changes         what the engine is told of the network of this host
//!   rtnetlink       what the kernel says about it
//! ```
#![forbid(unsafe_code)]

mod changes;
mod datagram;
mod query;
mod reply;
mod rtnetlink;
mod silence;
mod socket_options;

pub use reply::{Checked, Expected, Rejection, check};

use changes::Changes;
use ipc::message::Shortfall;
use ipc::message::client::{FromClient, MAX_OPEN, Query, QueryId, ToClient, Unanswered};
use ipc::units::RawInstant;
use ipc_link::Link;
use network::clock;
use network::ending::Ending;
use network::outbox::Outbox;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use query::{Open, Step};
use std::os::fd::{AsFd, OwnedFd};

/// The most records read from the link before the sockets are served.
const BURST: usize = 16;

/// Runs until the link ends; sends the hello first. `network`: a routing socket, if the launch could open one.
pub fn run(link: Link<FromClient, ToClient>, shortfall: Shortfall, network: Option<OwnedFd>) -> Ending {
    let changes = network.map(Changes::new);
    let mut client = Client { engine: Outbox::new(link), open: Vec::new(), last: None, changes };
    match client.serve(shortfall) {
        Ok(never) => match never {},
        Err(ending) => ending,
    }
}

struct Client {
    engine: Outbox<FromClient, ToClient>,
    open: Vec<Open>,
    last: Option<QueryId>,
    /// None: the kernel does not tell.
    changes: Option<Changes>,
}

/// What is ready: the link, the routing socket, and the open queries in their order.
#[derive(Default)]
struct Ready {
    link: bool,
    network: bool,
    queries: Vec<bool>,
}

impl Client {
    fn serve(&mut self, shortfall: Shortfall) -> Result<std::convert::Infallible, Ending> {
        self.engine.push(FromClient::Hello(shortfall))?;
        loop {
            let ready = self.wait()?;
            self.engine.flush()?;
            for (at, is_ready) in ready.queries.iter().enumerate().rev() {
                if *is_ready {
                    self.attend(at)?;
                }
            }
            self.expire()?;
            self.tell_changes(ready.network)?;
            // After the sockets: their indices are those of before.
            if ready.link {
                self.read_link()?;
            }
        }
    }

    /// Waits for the link, a socket or the next deadline.
    fn wait(&self) -> Result<Ready, Ending> {
        let mut places = Vec::with_capacity(2 + self.open.len());
        places.push(PollFd::new(self.engine.as_fd(), self.engine.interest()));
        // A socket with an error is always ready: while nothing may be read, it must not be asked about.
        let is_congested = self.engine.is_congested();
        let changes = self.changes.as_ref().filter(|_| !is_congested);
        if !is_congested {
            places.extend(self.open.iter().map(|open| PollFd::new(open.as_fd(), open.interest())));
        }
        let queries = places.len() - 1;
        places.extend(changes.map(|changes| PollFd::new(changes.as_fd(), PollFlags::POLLIN)));
        let now = clock::raw();
        let deadlines = self.open.iter().map(Open::deadline).chain(changes.and_then(Changes::deadline));
        let timeout = deadlines.map(|deadline| deadline.since(now).nanos().max(0)).min();
        let timeout = timeout.map(|nanos| TimeSpec::new(nanos / 1_000_000_000, nanos % 1_000_000_000));
        match ppoll(&mut places, timeout, None) {
            Ok(_) => {
                let mut ready = places.iter().map(|place| place.any().unwrap_or(true));
                Ok(Ready {
                    link: ready.next().unwrap_or(false),
                    queries: ready.by_ref().take(queries).collect(),
                    network: ready.next().unwrap_or(false),
                })
            }
            Err(Errno::EINTR) => Ok(Ready::default()),
            Err(errno) => Err(Ending::Kernel("to wait for sockets", errno)),
        }
    }

    /// Tells the engine what has become of the network.
    fn tell_changes(&mut self, is_ready: bool) -> Result<(), Ending> {
        let Some(changes) = self.changes.as_mut().filter(|_| !self.engine.is_congested()) else {
            return Ok(());
        };
        match changes.drive(is_ready, clock::raw()) {
            Ok(Some(addresses)) => self.engine.push(FromClient::Network(addresses)),
            Ok(None) => Ok(()),
            // Without it a change is only found out by queries, as on a host that has no such socket.
            Err(_) => {
                self.changes = None;
                Ok(())
            }
        }
    }

    fn read_link(&mut self) -> Result<(), Ending> {
        for _ in 0..BURST {
            if self.engine.is_congested() {
                break;
            }
            match self.engine.receive()? {
                Some(ToClient::Query(query)) => self.begin(&query)?,
                Some(ToClient::Cancel(id)) => self.open.retain(|open| open.id() != id),
                Some(ToClient::Ping) => self.engine.push(FromClient::Pong)?,
                None => break,
            }
        }
        Ok(())
    }

    fn begin(&mut self, query: &Query) -> Result<(), Ending> {
        if self.last.is_some_and(|last| query.id.0 <= last.0) {
            return Err(Ending::Rule("a query's id is not above the one before"));
        }
        self.last = Some(query.id);
        if !query.destination.is_unicast() {
            return Err(Ending::Rule("a query to an address that is not a host's"));
        }
        let expected = Expected::of_request(query.packet.octets())
            .ok_or(Ending::Rule("a query that is not an NTP packet"))?;
        if self.open.len() >= MAX_OPEN {
            return Err(Ending::Rule("more than 60 queries at once"));
        }
        match Open::send(query, expected) {
            Ok(mut open) => {
                // T1 is told with the reply: the engine needs it then, and is not woken for it alone.
                open.take_reports();
                self.open.push(open);
                Ok(())
            }
            Err(reason) => {
                let rejected = ipc::message::client::Rejected::NONE;
                self.engine.push(FromClient::Unanswered(Unanswered { id: query.id, reason, rejected }))
            }
        }
    }

    /// Reads from one socket, and ends its query if the reply arrived.
    fn attend(&mut self, at: usize) -> Result<(), Ending> {
        let Some(open) = self.open.get_mut(at) else { return Ok(()) };
        let record = match open.read() {
            Step::Waiting => return Ok(()),
            Step::Replied(reply) => FromClient::PlainReply(reply),
            Step::Version5(reply) => FromClient::Version5Reply(reply),
            Step::Candidate(candidate) => FromClient::ProtectedReply(candidate),
        };
        if let Some(sent) = open.sent() {
            self.engine.push(FromClient::Sent(sent))?;
        }
        if matches!(record, FromClient::PlainReply(_) | FromClient::Version5Reply(_)) {
            self.open.swap_remove(at);
        }
        self.engine.push(record)
    }

    fn expire(&mut self) -> Result<(), Ending> {
        let now: RawInstant = clock::raw();
        for at in (0..self.open.len()).rev() {
            if self.open[at].deadline() > now {
                continue;
            }
            let mut open = self.open.swap_remove(at);
            open.take_reports();
            if let Some(sent) = open.sent() {
                self.engine.push(FromClient::Sent(sent))?;
            }
            self.engine.push(FromClient::Unanswered(open.give_up()))?;
        }
        Ok(())
    }
}
