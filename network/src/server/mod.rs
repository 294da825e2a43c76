//! The server role: answers strangers on the sockets that it was given.
//!
//! Each datagram takes the same path: read with its arrival stamp, [`respond`](respond::respond) makes a
//! reply or a reason to keep silent, the transmit timestamp is written last, sent from the address that was
//! asked. The engine says what replies carry and who gets one; nothing but counts goes back to it, and only
//! while there is traffic: an idle server never wakes up.

mod access;
mod limit;
mod listener;
mod respond;
mod wall;

pub use access::{AccessList, RuleError};
pub use limit::{Limiter, Limits};
pub use listener::{Listener, listen};
pub use respond::{Asked, Refusal, respond};

use crate::clock::{self, Pair};
use crate::datagram::Arrival;
use crate::ending::Ending;
use crate::outbox::Outbox;
use ipc::link::Link;
use ipc::message::Shortfall;
use ipc::message::server::{Counters, FromServer, ServerState, ToServer};
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use protocol::header::{LENGTH, TRANSMIT_AT};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use wall::Wall;

/// Datagrams that are read from one socket before the others have their turn.
const BATCH: usize = 32;

/// Records that are read from the link before the sockets have their turn.
const BURST: usize = 16;

/// Least time between two reports of counters; a little more than the second that the engine allows.
const REPORTS: Span = Span::from_millis(1_050);

/// The longest datagram that is read whole. A longer request is no NTP packet; that it was cut shows.
const BUFFER: usize = 2048;

/// Runs until the link ends; sends the hello first. `clock` is the virtual clock's file, where there is one.
pub fn run(
    link: Link<FromServer, ToServer>,
    shortfall: Shortfall,
    listeners: Vec<Listener>,
    clock: Option<OwnedFd>,
) -> Ending {
    let mut server = Server {
        engine: Outbox::new(link),
        listeners,
        state: None,
        access: AccessList::nobody(),
        limiter: Limiter::new(Limits::DEFAULT),
        wall: Wall::new(clock),
        counters: NO_COUNTS,
        reported: (NO_COUNTS, None),
    };
    match server.serve(shortfall) {
        Ok(never) => match never {},
        Err(ending) => ending,
    }
}

const NO_COUNTS: Counters =
    Counters { received: 0, answered: 0, malformed: 0, control: 0, denied: 0, limited: 0, failed: 0 };

struct Server {
    engine: Outbox<FromServer, ToServer>,
    listeners: Vec<Listener>,
    state: Option<ServerState>,
    access: AccessList,
    limiter: Limiter,
    wall: Wall,
    counters: Counters,
    /// What the engine was told last, and when.
    reported: (Counters, Option<RawInstant>),
}

impl Server {
    fn serve(&mut self, shortfall: Shortfall) -> Result<std::convert::Infallible, Ending> {
        self.engine.push(FromServer::Hello(shortfall))?;
        loop {
            let ready = self.wait()?;
            if ready.first().is_some_and(|events| !events.is_empty()) {
                self.engine.flush()?;
                self.read_link()?;
            }
            let mut is_busy = false;
            for (at, events) in ready.iter().enumerate().skip(1) {
                if !events.is_empty() {
                    is_busy = true;
                    self.attend(at - 1)?;
                }
            }
            if is_busy {
                self.report()?;
            }
        }
    }

    /// What is ready: the link first, then the sockets in their order. Without a time limit.
    fn wait(&self) -> Result<Vec<PollFlags>, Ending> {
        let mut places = Vec::with_capacity(1 + self.listeners.len());
        places.push(PollFd::new(self.engine.as_fd(), self.engine.interest()));
        places.extend(self.listeners.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        match ppoll(&mut places, None, None) {
            Ok(_) => Ok(places.iter().map(|place| place.revents().unwrap_or(PollFlags::POLLERR)).collect()),
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(errno) => Err(Ending::Kernel("to wait for sockets", errno)),
        }
    }

    fn read_link(&mut self) -> Result<(), Ending> {
        for _ in 0..BURST {
            match self.engine.receive()? {
                Some(ToServer::State(state)) => self.state = Some(state),
                Some(ToServer::Access(access)) => {
                    self.access = AccessList::new(&access)
                        .map_err(|_| Ending::Rule("access rules with impossible numbers"))?;
                }
                None => break,
            }
        }
        Ok(())
    }

    fn attend(&mut self, at: usize) -> Result<(), Ending> {
        // Once for all that is read now: it costs a system call where the clock is virtual.
        self.wall.refresh();
        let mut buffer = [0; BUFFER];
        for _ in 0..BATCH {
            let Some(listener) = self.listeners.get(at) else { break };
            match listener.receive(&mut buffer) {
                Ok((arrival, source)) => self.answer(at, &buffer, arrival, source),
                Err(Errno::EAGAIN) => break,
                Err(errno @ (Errno::EBADF | Errno::ENOTSOCK | Errno::EFAULT | Errno::EINVAL)) => {
                    return Err(Ending::Kernel("to read a server socket", errno));
                }
                // An error of some earlier reply's way; reading it took it off the socket.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn answer(&mut self, at: usize, buffer: &[u8], arrival: Arrival, source: Option<SocketAddr>) {
        add(&mut self.counters.received);
        let pair = Pair::read();
        let request = buffer.get(..arrival.length).filter(|_| !arrival.is_truncated).unwrap_or_default();
        let (Some(listener), Some(source)) = (self.listeners.get(at), source) else {
            add(&mut self.counters.malformed);
            return;
        };
        let asked = Asked {
            source,
            target: arrival.target.map(|target| SocketAddr::new(target.local, listener.port())),
            is_unicast: arrival.target.is_none_or(|target| target.is_unicast),
        };
        let state = self.state.as_ref();
        let Some(receive) = self.wall.at_arrival(arrival.stamp, pair) else {
            add(&mut self.counters.failed);
            return;
        };
        let reply = respond(request, &asked, state, receive, pair.raw, &self.access, &mut self.limiter);
        match reply {
            Ok(mut reply) => {
                let outcome = match self.wall.now() {
                    Some(transmit) => {
                        reply[TRANSMIT_AT..LENGTH].copy_from_slice(&transmit.bits().to_be_bytes());
                        listener.send(&reply, source, arrival.target)
                    }
                    None => Err(Errno::ENODATA),
                };
                add(if outcome.is_ok() { &mut self.counters.answered } else { &mut self.counters.failed });
            }
            Err(refusal) => add(match refusal {
                Refusal::Malformed => &mut self.counters.malformed,
                Refusal::Control => &mut self.counters.control,
                Refusal::Denied => &mut self.counters.denied,
                Refusal::Limited => &mut self.counters.limited,
            }),
        }
    }

    /// Tells the engine what was counted, where that is due; where it doesn't read, another time.
    fn report(&mut self) -> Result<(), Ending> {
        let now = clock::raw();
        let (told, at) = self.reported;
        let is_due = at.is_none_or(|at| now.since(at).nanos() >= REPORTS.nanos());
        if is_due && told != self.counters && self.engine.offer(&FromServer::Counters(self.counters))? {
            self.reported = (self.counters, Some(now));
        }
        Ok(())
    }
}

fn add(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
