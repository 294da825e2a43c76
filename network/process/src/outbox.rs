//! An end of a link to the engine that never blocks: messages that the engine does not read yet are queued here. The
//! loop bounds the queue: it stops reading new input while the queue is long.

use crate::ending::Ending;
use ipc::Message;
use ipc_link::{Link, LinkError};
use nix::poll::PollFlags;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

/// At this length a loop stops reading input that would make more records. One iteration can add no more than its own
/// open work, so the actual bound of the queue is this plus a few hundred.
const CONGESTED: usize = 64;

/// A link and its queue.
#[derive(Debug)]
pub struct Outbox<Out, In> {
    link: Link<Out, In>,
    waiting: VecDeque<Out>,
}

impl<Out: Message, In: Message> Outbox<Out, In> {
    /// With an empty queue.
    pub fn new(link: Link<Out, In>) -> Self {
        Self { link, waiting: VecDeque::new() }
    }

    /// Sends, or queues the message if the engine does not read its link.
    pub fn push(&mut self, body: Out) -> Result<(), Ending> {
        self.waiting.push_back(body);
        self.flush()
    }

    /// Whether messages are queued.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends queued messages, as far as the engine reads.
    pub fn flush(&mut self) -> Result<(), Ending> {
        while let Some(body) = self.waiting.front() {
            match self.link.send(body) {
                Ok(_) => drop(self.waiting.pop_front()),
                Err(LinkError::Full) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends if the engine reads its link; returns whether the message was sent.
    pub fn offer(&mut self, body: &Out) -> Result<bool, Ending> {
        match self.link.send(body) {
            Ok(_) => Ok(true),
            Err(LinkError::Full) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives one message, if there is one.
    pub fn receive(&mut self) -> Result<Option<In>, Ending> {
        Ok(self.link.receive()?.map(|(_, body)| body))
    }

    /// Whether the loop should read nothing new.
    pub fn is_congested(&self) -> bool {
        self.waiting.len() >= CONGESTED
    }

    /// What to wait for on the link.
    pub fn interest(&self) -> PollFlags {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::POLLIN, !self.is_congested());
        interest.set(PollFlags::POLLOUT, !self.waiting.is_empty());
        interest
    }
}

impl<Out, In> AsFd for Outbox<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
