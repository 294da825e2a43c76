//! A link that never blocks: what its peer does not read waits in a bounded queue, for a bounded time.

use super::Breach;
use super::breach::GONE;
use ipc::Message;
use ipc::message::{Greeting, Pinged};
use ipc::process::Process;
use ipc::units::{RawInstant, Span};
use ipc_link::{Link, LinkError};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Records that may wait.
const QUEUE: usize = 64;

/// How long a peer may leave its link unread.
const TIMEOUT: Span = Span::from_secs(60);

/// Whether a record will reach its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Sent, or waiting in the queue.
    Yes,
    /// The queue is full: the record is gone.
    Skipped,
}

/// One link with its queue and its hello.
#[derive(Debug)]
pub struct QueuedLink<Out, In> {
    process: Process,
    link: Link<Out, In>,
    waiting: VecDeque<Out>,
    full_since: Option<RawInstant>,
    accepted: u32,
    greeted: bool,
}

impl<Out: Message, In: Message> QueuedLink<Out, In> {
    /// Takes an end and makes it non-blocking.
    pub fn new(process: Process, fd: OwnedFd) -> Result<Self, nix::Error> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self {
            process,
            link: Link::new(fd),
            waiting: VecDeque::new(),
            full_since: None,
            accepted: 0,
            greeted: false,
        })
    }

    /// The number that the next accepted record will have: the queue keeps its order and loses nothing.
    pub fn next_sequence(&self) -> u32 {
        self.accepted
    }

    /// Sends or queues a record.
    pub fn send(&mut self, now: RawInstant, body: Out) -> Result<Taken, Breach> {
        self.flush(now)?;
        if self.waiting.is_empty() {
            match self.link.send(&body) {
                Ok(_) => {
                    self.accepted = self.accepted.wrapping_add(1);
                    return Ok(Taken::Yes);
                }
                Err(LinkError::Full) => self.full_since = Some(now),
                Err(error) => return Err(self.breach(error)),
            }
        }
        if self.waiting.len() >= QUEUE {
            return Ok(Taken::Skipped);
        }
        self.waiting.push_back(body);
        self.accepted = self.accepted.wrapping_add(1);
        Ok(Taken::Yes)
    }

    /// Sends or queues a record that cannot be left out: a full queue is a violation.
    pub fn send_surely(&mut self, now: RawInstant, body: Out) -> Result<(), Breach> {
        match self.send(now, body)? {
            Taken::Yes => Ok(()),
            Taken::Skipped => Err(Breach::new(self.process, "does not read its link")),
        }
    }

    /// Drops queued records that a newer one replaces. Only for links on which nothing is answered.
    pub fn replace_waiting(&mut self, is_replaced: impl Fn(&Out) -> bool) {
        let before = self.waiting.len();
        self.waiting.retain(|body| !is_replaced(body));
        let dropped = u32::try_from(before.saturating_sub(self.waiting.len())).unwrap_or(0);
        self.accepted = self.accepted.wrapping_sub(dropped);
    }

    /// Sends queued records, as far as the peer reads.
    pub fn flush(&mut self, now: RawInstant) -> Result<(), Breach> {
        while let Some(body) = self.waiting.front() {
            match self.link.send(body) {
                Ok(_) => {
                    self.waiting.pop_front();
                    self.full_since = Some(now);
                }
                Err(LinkError::Full) => {
                    let since = *self.full_since.get_or_insert(now);
                    if now.since(since).nanos() >= TIMEOUT.nanos() {
                        return Err(Breach::new(self.process, "has not read its link for a minute"));
                    }
                    return Ok(());
                }
                Err(error) => return Err(self.breach(error)),
            }
        }
        self.full_since = None;
        Ok(())
    }

    /// One record.
    pub fn receive(&mut self) -> Result<Option<In>, Breach> {
        match self.link.receive() {
            Ok(record) => Ok(record.map(|(_, body)| body)),
            Err(error) => Err(self.breach(error)),
        }
    }

    fn breach(&self, error: LinkError) -> Breach {
        let violation = match error {
            LinkError::Closed => GONE.to_owned(),
            LinkError::Malformed(error) => format!("broke the protocol: {error}"),
            LinkError::OutOfOrder { expected, found } => {
                format!("broke the protocol: record {found} where {expected} was due")
            }
            LinkError::Full => "does not read its link".to_owned(),
            LinkError::Kernel(number) => format!("cannot be reached: {}", Errno::from_raw(number).desc()),
        };
        Breach::new(self.process, violation)
    }
}

impl<Out: Message, In: Greeting> QueuedLink<Out, In> {
    /// One record of a process that begins with a hello, which is the first record and no other.
    pub fn receive_greeted(&mut self) -> Result<Option<In>, Breach> {
        let Some(message) = self.receive()? else { return Ok(None) };
        match (self.greeted, message.is_hello()) {
            (false, false) => Err(Breach::new(self.process, "sent something else before its hello")),
            (true, true) => Err(Breach::new(self.process, "said hello twice")),
            _ => {
                self.greeted = true;
                Ok(Some(message))
            }
        }
    }
}

/// A link, whatever is said on it.
pub trait AnyLink: AsFd {
    /// As [`QueuedLink::flush`].
    fn flush(&mut self, now: RawInstant) -> Result<(), Breach>;
    /// Whether records wait.
    fn is_waiting(&self) -> bool;
    /// When a peer that does not read its link is given up.
    fn deadline(&self) -> Option<RawInstant>;
}

impl<Out: Message, In: Message> AnyLink for QueuedLink<Out, In> {
    fn flush(&mut self, now: RawInstant) -> Result<(), Breach> {
        Self::flush(self, now)
    }

    fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn deadline(&self) -> Option<RawInstant> {
        self.full_since.filter(|_| self.is_waiting()).map(|since| since.after(TIMEOUT))
    }
}

/// A link to a process that is asked for signs of life.
pub trait PingedLink {
    /// Asks for one.
    fn ping(&mut self, now: RawInstant) -> Result<(), Breach>;
}

impl<Out: Pinged, In: Message> PingedLink for QueuedLink<Out, In> {
    fn ping(&mut self, now: RawInstant) -> Result<(), Breach> {
        self.send_surely(now, Out::PING)
    }
}

impl<Out, In> AsFd for QueuedLink<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
