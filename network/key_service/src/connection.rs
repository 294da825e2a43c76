//! One connection: a socket that never blocks, and a session over it.

use super::context::{Context, End};
use super::limit::Network;
use super::session::Session;
use ipc::units::RawInstant;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Octets that are read at once.
pub(super) const PIECE: usize = 16 * 1024;

/// Octets that are thrown away after the end before the connection is closed all the same.
const MAX_IGNORED: usize = 64 * 1024;

/// One client.
pub(super) struct Connection {
    stream: TcpStream,
    pub network: Network,
    /// When it was accepted.
    pub since: RawInstant,
    stage: Stage,
    /// What the client was too slow to read.
    unsent: Vec<u8>,
    /// Waiting for the client to read; nothing is read from it until then.
    is_blocked: bool,
}

enum Stage {
    /// Nothing has come yet: nothing is spent on it.
    Silent,
    Talking(Session),
    /// Everything was sent. Waits until the client has closed its side too, so that no answer is lost.
    Leaving {
        ignored: usize,
    },
}

/// How much is lost with a connection, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Priority {
    /// Everything was sent.
    Spent,
    /// Nothing was computed yet.
    Idle,
    /// A handshake.
    Invested,
}

/// How a connection continues after it was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It waits for the same event as before.
    Stays,
    /// From now on it waits until the client reads.
    Blocks,
    /// From now on it waits for input from the client.
    Unblocks,
    /// Close it.
    Closes,
}

/// The outcome, to be counted, and how the connection continues.
pub(super) type Attended = (Option<End>, Outcome);

impl Connection {
    pub(super) const fn new(stream: TcpStream, network: Network, since: RawInstant) -> Self {
        Self { stream, network, since, stage: Stage::Silent, unsent: Vec::new(), is_blocked: false }
    }

    pub(super) fn priority(&self) -> Priority {
        match &self.stage {
            Stage::Leaving { .. } => Priority::Spent,
            Stage::Talking(session) if session.is_secret() => Priority::Invested,
            Stage::Silent | Stage::Talking(_) => Priority::Idle,
        }
    }

    /// Reads once, and writes what there is to write. `has_closed`: the client sends nothing after what has arrived.
    /// `piece` and `out` are buffers to work in.
    pub(super) fn attend(
        &mut self,
        context: &Context,
        has_closed: bool,
        begins: impl FnOnce() -> bool,
        piece: &mut [u8; PIECE],
        out: &mut Vec<u8>,
    ) -> Attended {
        if !self.unsent.is_empty() && self.flush().is_err() {
            return (self.loss(), Outcome::Closes);
        }
        let length = match recv(self.stream.as_raw_fd(), piece, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return (self.loss(), Outcome::Closes),
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => return (None, self.outcome()),
            Err(_) => return (self.loss(), Outcome::Closes),
        };
        if let Stage::Leaving { ignored } = &mut self.stage {
            *ignored = ignored.saturating_add(length);
            let is_enough = *ignored > MAX_IGNORED || has_closed && length < PIECE && self.unsent.is_empty();
            return (None, if is_enough { Outcome::Closes } else { self.outcome() });
        }
        if matches!(self.stage, Stage::Silent) {
            self.stage = Stage::Talking(Session::new());
        }
        let Stage::Talking(session) = &mut self.stage else { return (None, Outcome::Closes) };
        out.clear();
        let end = session.hear(piece.get(..length).unwrap_or_default(), context, begins, out);
        if end == Some(End::Limited) {
            return (end, Outcome::Closes);
        }
        if end.is_some() {
            self.stage = Stage::Leaving { ignored: 0 };
        }
        // A client that has everything closes first, so no TIME-WAIT state is left here. A client whose exchange
        // failed may wait for the server to close.
        let is_said = self.say(out);
        let is_over = end.is_some_and(|end| end != End::Exchanged) && self.unsent.is_empty();
        match is_said.and_then(|()| if is_over { self.shut() } else { Ok(()) }) {
            Ok(()) => (end, self.outcome()),
            Err(_) => (end.or(Some(End::Gone)), Outcome::Closes),
        }
    }

    /// Tells the client that nothing more will follow.
    fn shut(&self) -> Result<(), Errno> {
        shutdown(self.stream.as_raw_fd(), Shutdown::Write)
    }

    /// The client's time is over; returns whether its exchange is lost.
    pub(super) fn run_out(&mut self, out: &mut Vec<u8>) -> bool {
        out.clear();
        match &mut self.stage {
            Stage::Silent => true,
            Stage::Talking(session) => {
                session.run_out(out);
                // It is closed next, whether this succeeds or not.
                let _ = self.say(out);
                true
            }
            Stage::Leaving { .. } => false,
        }
    }

    /// The outcome if the client is gone: none once everything was sent.
    fn loss(&self) -> Option<End> {
        (!matches!(self.stage, Stage::Leaving { .. })).then_some(End::Gone)
    }

    fn outcome(&mut self) -> Outcome {
        let was_blocked = std::mem::replace(&mut self.is_blocked, !self.unsent.is_empty());
        match (was_blocked, self.is_blocked) {
            (false, true) => Outcome::Blocks,
            (true, false) => Outcome::Unblocks,
            _ => Outcome::Stays,
        }
    }

    fn say(&mut self, octets: &[u8]) -> Result<(), Errno> {
        let sent = if self.unsent.is_empty() { self.send(octets)? } else { 0 };
        self.unsent.extend_from_slice(octets.get(sent..).unwrap_or_default());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Errno> {
        let sent = self.send(&self.unsent)?;
        self.unsent.drain(..sent);
        let is_over = matches!(self.stage, Stage::Leaving { .. }) && self.unsent.is_empty();
        if is_over { self.shut() } else { Ok(()) }
    }

    fn send(&self, octets: &[u8]) -> Result<usize, Errno> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let mut sent = 0;
        while let Some(rest) = octets.get(sent..).filter(|rest| !rest.is_empty()) {
            match send(self.stream.as_raw_fd(), rest, flags) {
                Ok(more) => sent += more,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(sent)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
