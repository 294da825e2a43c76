//! The control socket: `chimerctl` and other programs ask, the engine answers.
//!
//! One connection carries one request and one reply, and lives five seconds at most. Sixteen are open at a
//! time; the rest wait in the kernel's queue until one of them ends. Nothing here ever waits for a peer.

mod connection;
mod request;

pub use request::{Change, Reload, Verb};

use crate::control::connection::{Connection, Progress};
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::socket::{SockFlag, accept4, getsockopt, sockopt};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 16;

/// How long a connection may live.
pub const LIFETIME: Span = Span::from_secs(5);

/// The longest request in octets, line end included.
pub const MAX_REQUEST: usize = 4096;

/// The longest request of a user who may change the daemon: a configuration file as JSON.
pub const MAX_CHANGE: usize = 1024 * 1024;

/// The longest reply in octets, line end included.
pub const MAX_REPLY: usize = 256 * 1024;

/// The overflow uid, which stands for every user that this process's user namespace does not map.
const UNKNOWN_USER: u32 = 65534;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This reply.
    Reply(String),
    /// Another process has to be asked first: the same request comes again at each turn, for a few seconds.
    Later(Verb),
}

/// The listener and its connections.
#[derive(Debug)]
pub struct Control {
    listener: OwnedFd,
    connections: Vec<Connection>,
    owner: u32,
}

impl Control {
    /// Takes the listening socket. Only root and `owner`, the user who started the daemon, may change anything.
    ///
    /// # Errors
    /// The kernel's error if the socket cannot be made non-blocking.
    pub fn new(listener: OwnedFd, owner: u32) -> Result<Self, Errno> {
        let flags = OFlag::from_bits_retain(fcntl(&listener, FcntlArg::F_GETFL)?);
        fcntl(&listener, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self { listener, connections: Vec::new(), owner })
    }

    /// What to wait for: the listener only while there is room for another connection.
    pub fn waits(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let listener = self.has_room().then(|| (self.listener.as_fd(), PollFlags::POLLIN));
        listener.into_iter().chain(self.connections.iter().filter_map(Connection::waits))
    }

    /// When a connection has something to do at the latest.
    pub fn deadline(&self) -> Option<RawInstant> {
        self.connections.iter().map(Connection::deadline).min()
    }

    /// Accepts, reads, answers and writes as far as possible without blocking; `answer` makes one reply.
    pub fn serve(&mut self, now: RawInstant, answer: &mut dyn FnMut(Verb) -> Answer) {
        self.connections.retain_mut(|connection| connection.may_live(now));
        while self.has_room() {
            match accept4(&self.listener, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC) {
                Ok(socket) => {
                    let may_change = self.may_change(&socket);
                    self.connections.push(Connection::new(socket, now, may_change));
                }
                // A peer that hung up before it was accepted is no reason to stop.
                Err(Errno::ECONNABORTED | Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        self.connections.retain_mut(|connection| connection.advance(now, answer) == Progress::Open);
    }

    fn has_room(&self) -> bool {
        self.connections.len() < MAX_CONNECTIONS
    }

    fn may_change(&self, socket: &OwnedFd) -> bool {
        peer_uid(socket).is_ok_and(|uid| is_trusted(uid, self.owner))
    }
}

fn is_trusted(uid: u32, owner: u32) -> bool {
    uid != UNKNOWN_USER && (uid == 0 || uid == owner)
}

/// The user who holds, or created, the other end of a local socket.
///
/// # Errors
/// Where the kernel does not know.
pub fn peer_uid(socket: &impl AsFd) -> Result<u32, Errno> {
    Ok(getsockopt(socket, sockopt::PeerCredentials)?.uid())
}

#[cfg(test)]
mod tests;
