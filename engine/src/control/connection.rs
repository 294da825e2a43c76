//! One connection: reads a line, then writes a reply, then ends. In between it waits for the reply where another process has
//! to be asked.

use super::request::{RequestError, parse, refusal};
use super::{Answer, LIFETIME, MAX_CHANGE, MAX_REPLY, MAX_REQUEST, Verb};
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::{read, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zeroize::Zeroizing;

/// How a request starts that may be long.
const CHANGE: &[u8] = b"{\"verb\":\"reload\"";

/// How long a reply may wait for another process; the peer can still read for a while what is said then.
const PATIENCE: Span = Span::from_secs(3);
const REST: Span = Span::from_secs(1);

/// What is said then.
const fn unanswered(verb: &Verb) -> &'static str {
    match verb {
        Verb::Step(_) => {
            "it is not known yet whether the step is made: orders to the clock are not answered; see chimerctl status and chimerctl audit"
        }
        _ => "the server did not answer in time: it is busy, or hangs; ask again, and see chimerctl status",
    }
}

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
    /// It may have keys in it.
    request: Zeroizing<Vec<u8>>,
    /// What is asked, and until when the reply may wait.
    waiting: Option<(Verb, RawInstant)>,
    reply: Option<Vec<u8>>,
    written: usize,
}

impl Connection {
    /// Takes an accepted, non-blocking socket.
    pub fn new(socket: OwnedFd, now: RawInstant, may_change: bool) -> Self {
        let ends = now.after(LIFETIME);
        let request = Zeroizing::new(Vec::new());
        Self { socket, ends, may_change, request, waiting: None, reply: None, written: 0 }
    }

    /// When there is something to do at the latest.
    pub fn deadline(&self) -> RawInstant {
        self.waiting.as_ref().map_or(self.ends, |(_, until)| self.ends.min(*until))
    }

    /// Whether its time is not over.
    pub fn may_live(&self, now: RawInstant) -> bool {
        self.ends > now
    }

    /// What to wait for. Nothing of its peer while another process is asked: whether that is still there is seen then.
    pub fn waits(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let flags = if self.reply.is_some() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        self.waiting.is_none().then(|| (self.socket.as_fd(), flags))
    }

    /// Proceeds as far as possible without blocking.
    pub fn advance(&mut self, now: RawInstant, answer: &mut dyn FnMut(Verb) -> Answer) -> Progress {
        if self.reply.is_none() {
            let asked = match self.waiting.take() {
                Some(waiting) => Ok(waiting),
                None => match self.read_request() {
                    Ok(None) => return Progress::Open,
                    Ok(Some(line)) => line
                        .and_then(|line| parse(&line, self.may_change))
                        .map(|verb| (verb, self.patience(now))),
                    Err(_) => return Progress::Over,
                },
            };
            let reply = match asked.map(|(verb, until)| (answer(verb), until)) {
                Ok((Answer::Reply(reply), _)) => reply,
                Ok((Answer::Later(verb), until)) if until <= now => {
                    crate::answers::refused(&unanswered(&verb))
                }
                Ok((Answer::Later(verb), until)) => {
                    self.waiting = Some((verb, until));
                    return Progress::Open;
                }
                Err(error) => refusal(error),
            };
            self.reply = Some(finish(reply));
        }
        self.write_reply()
    }

    /// Until when a reply may wait.
    fn patience(&self, now: RawInstant) -> RawInstant {
        let latest = self.ends.nanos().saturating_sub(REST.nanos());
        now.after(PATIENCE).min(RawInstant::saturating(latest))
    }

    /// The request's line when it is whole, or why it never will be.
    #[allow(clippy::type_complexity, reason = "read once, here")]
    fn read_request(&mut self) -> Result<Option<Result<Zeroizing<Vec<u8>>, RequestError>>, Errno> {
        loop {
            let is_change = self.may_change && self.request.starts_with(CHANGE);
            let limit = if is_change { MAX_CHANGE } else { MAX_REQUEST };
            let mut octets = Zeroizing::new([0; MAX_REQUEST]);
            let known = self.request.len();
            let room = limit.saturating_sub(known).min(MAX_REQUEST);
            match read(&self.socket, octets.get_mut(..room).unwrap_or_default()) {
                // The peer ended its half without a line end.
                Ok(0) => return Err(Errno::EPIPE),
                Ok(count) => append(&mut self.request, octets.get(..count).unwrap_or_default()),
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

/// Adds octets, without a copy that stays behind where the old ones were.
fn append(request: &mut Zeroizing<Vec<u8>>, octets: &[u8]) {
    let needed = request.len().saturating_add(octets.len());
    if needed > request.capacity() {
        let mut longer = Zeroizing::new(Vec::with_capacity(needed.max(request.capacity().saturating_mul(2))));
        longer.extend_from_slice(request);
        *request = longer;
    }
    request.extend_from_slice(octets);
}

fn finish(reply: String) -> Vec<u8> {
    let mut octets = reply.into_bytes();
    if octets.len() >= MAX_REPLY {
        octets = crate::answers::refused(&"the reply would be too long").into_bytes();
    }
    octets.push(b'\n');
    octets
}
