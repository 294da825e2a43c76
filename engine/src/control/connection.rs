//! One connection: reads a line, then writes a reply, then ends.

use super::request::{RequestError, parse, refusal};
use super::{LIFETIME, MAX_CHANGE, MAX_REPLY, MAX_REQUEST, Verb};
use ipc::units::RawInstant;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::{read, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How a request starts that may be long.
const CHANGE: &[u8] = b"{\"verb\":\"reload\"";

/// Whether a connection stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It waits for its peer.
    Open,
    /// It is over, one way or another.
    Over,
}

/// One peer.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    ends: RawInstant,
    may_change: bool,
    request: Vec<u8>,
    reply: Option<Vec<u8>>,
    written: usize,
}

impl Connection {
    /// Takes an accepted, non-blocking socket.
    pub fn new(socket: OwnedFd, now: RawInstant, may_change: bool) -> Self {
        Self { socket, ends: now.after(LIFETIME), may_change, request: Vec::new(), reply: None, written: 0 }
    }

    /// When it ends at the latest.
    pub fn deadline(&self) -> RawInstant {
        self.ends
    }

    /// What to wait for.
    pub fn waits(&self) -> (BorrowedFd<'_>, PollFlags) {
        let flags = if self.reply.is_some() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        (self.socket.as_fd(), flags)
    }

    /// Proceeds as far as possible without blocking.
    pub fn advance(&mut self, answer: &mut dyn FnMut(Verb) -> String) -> Progress {
        if self.reply.is_none() {
            match self.read_request() {
                Ok(None) => return Progress::Open,
                Ok(Some(line)) => {
                    let reply = match line.and_then(|line| parse(&line, self.may_change)) {
                        Ok(verb) => answer(verb),
                        Err(error) => refusal(error),
                    };
                    self.reply = Some(finish(reply));
                }
                Err(_) => return Progress::Over,
            }
        }
        self.write_reply()
    }

    /// The request's line when it is whole, or why it never will be.
    #[allow(clippy::type_complexity, reason = "read once, here")]
    fn read_request(&mut self) -> Result<Option<Result<Vec<u8>, RequestError>>, Errno> {
        loop {
            let is_change = self.may_change && self.request.starts_with(CHANGE);
            let limit = if is_change { MAX_CHANGE } else { MAX_REQUEST };
            let mut octets = [0; MAX_REQUEST];
            let known = self.request.len();
            let room = limit.saturating_sub(known).min(MAX_REQUEST);
            match read(&self.socket, octets.get_mut(..room).unwrap_or_default()) {
                // The peer ended its half without a line end.
                Ok(0) => return Err(Errno::EPIPE),
                Ok(count) => self.request.extend(octets.iter().take(count)),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(errno) => return Err(errno),
            }
            let new = self.request.iter().skip(known);
            if let Some(end) = new.enumerate().find(|(_, octet)| **octet == b'\n').map(|(at, _)| at) {
                self.request.truncate(known.saturating_add(end));
                return Ok(Some(Ok(std::mem::take(&mut self.request))));
            }
            let is_change = self.may_change && self.request.starts_with(CHANGE);
            if self.request.len() >= if is_change { MAX_CHANGE } else { MAX_REQUEST } {
                return Ok(Some(Err(RequestError::TooLong)));
            }
        }
    }

    fn write_reply(&mut self) -> Progress {
        let reply = self.reply.as_deref().unwrap_or_default();
        loop {
            let rest = reply.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                return Progress::Over;
            }
            match write(&self.socket, rest) {
                Ok(count) => self.written = self.written.saturating_add(count),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Progress::Open,
                Err(_) => return Progress::Over,
            }
        }
    }
}

fn finish(reply: String) -> Vec<u8> {
    let mut octets = reply.into_bytes();
    if octets.len() >= MAX_REPLY {
        octets = crate::answers::refused(&"the reply would be too long").into_bytes();
    }
    octets.push(b'\n');
    octets
}
