//! One end of a SOCK_SEQPACKET pair between two of our processes.
//!
//! One message is one datagram. Reading is a plain `read`: descriptors that a peer tries to pass along are
//! never received. A peer that is gone, a zero-length datagram, an oversized one, a malformed one and one
//! out of sequence all end the link for good.

#![forbid(unsafe_code)]

use ipc::{CodecError, MAX_FRAME, Message, decode, encode};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zeroize::Zeroize;

/// An end that sends `Out` and receives `In`, and counts both.
#[derive(Debug)]
pub struct Link<Out, In> {
    socket: File,
    sent: u32,
    received: u32,
    /// What is sent does not arrive any more.
    is_deaf: bool,
    /// Nothing is received any more.
    broken: bool,
    kinds: PhantomData<fn(&Out) -> In>,
}

/// Why a link cannot be used (any more, except after `Full`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// The peer is gone, or sent nothing at all as a datagram.
    Closed,
    /// The peer sent octets that are not a record.
    Malformed(CodecError),
    /// The peer's record is not the next one.
    OutOfOrder {
        /// Sequence that was due.
        expected: u32,
        /// Sequence that came.
        found: u32,
    },
    /// The peer doesn't read; nothing was sent and the link is still good.
    Full,
    /// The kernel refused: its number for the error.
    Kernel(i32),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Closed => f.write_str("the process at the other end is gone"),
            LinkError::Malformed(error) => {
                write!(f, "the process at the other end broke the protocol: {error}")
            }
            LinkError::OutOfOrder { expected, found } => {
                write!(
                    f,
                    "the process at the other end broke the protocol: record {found} where {expected} was due"
                )
            }
            LinkError::Full => f.write_str("the process at the other end does not read"),
            LinkError::Kernel(number) => {
                write!(f, "the kernel refused: {}", io::Error::from_raw_os_error(*number))
            }
        }
    }
}

impl std::error::Error for LinkError {}

/// A record on its way. It may hold keys: nothing of it stays behind on the stack. What was never written is left
/// out, for wiping thousands of octets costs more than the rest of a message.
struct Frame<const SIZE: usize> {
    octets: [u8; SIZE],
    used: usize,
}

impl<const SIZE: usize> Frame<SIZE> {
    const EMPTY: Self = Self { octets: [0; SIZE], used: 0 };
}

impl<const SIZE: usize> Drop for Frame<SIZE> {
    fn drop(&mut self) {
        self.octets.get_mut(..self.used).unwrap_or_default().zeroize();
    }
}

impl<Out: Message, In: Message> Link<Out, In> {
    /// Takes an end of a SOCK_SEQPACKET pair. Whether it blocks is the descriptor's own property.
    pub fn new(fd: OwnedFd) -> Self {
        Self { socket: fd.into(), sent: 0, received: 0, is_deaf: false, broken: false, kinds: PhantomData }
    }

    /// Gives the descriptor back, for a link of other messages or another process.
    pub fn into_fd(self) -> OwnedFd {
        self.socket.into()
    }

    /// Sends one message and returns its sequence number.
    ///
    /// # Errors
    /// [`LinkError::Full`] if the descriptor is non-blocking and the peer doesn't read (nothing was sent); otherwise
    /// nothing is sent on it again. What the peer said before it closed can still be received.
    pub fn send(&mut self, body: &Out) -> Result<u32, LinkError> {
        if self.broken || self.is_deaf {
            return Err(LinkError::Closed);
        }
        let mut frame = Frame::EMPTY;
        frame.used = encode(self.sent, body, &mut frame.octets);
        loop {
            match (&self.socket).write(frame.octets.get(..frame.used).unwrap_or_default()) {
                Ok(_) => {
                    let sequence = self.sent;
                    self.sent = self.sent.wrapping_add(1);
                    return Ok(sequence);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(LinkError::Full),
                Err(error) => {
                    self.is_deaf = true;
                    return Err(broken(&error));
                }
            }
        }
    }

    /// Receives one message with its sequence number, or nothing if the descriptor is non-blocking and none is waiting.
    ///
    /// # Errors
    /// Any error breaks the link: nothing is received on it again.
    pub fn receive(&mut self) -> Result<Option<(u32, In)>, LinkError> {
        if self.broken {
            return Err(LinkError::Closed);
        }
        let outcome = self.receive_unchecked();
        self.broken = outcome.is_err();
        outcome
    }

    fn receive_unchecked(&mut self) -> Result<Option<(u32, In)>, LinkError> {
        // One octet more than the longest record shows an oversized one.
        let mut frame = Frame::<{ MAX_FRAME + 1 }>::EMPTY;
        // The kernel tells a peer that closed with something unread before what that peer said last.
        let mut is_reset = false;
        frame.used = loop {
            match (&self.socket).read(&mut frame.octets) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(length) => break length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::ConnectionReset && !is_reset => is_reset = true,
                Err(error) => return Err(broken(&error)),
            }
        };
        let octets = frame.octets.get(..frame.used).unwrap_or_default();
        let record = decode::<In>(octets).map_err(LinkError::Malformed)?;
        if record.sequence != self.received {
            return Err(LinkError::OutOfOrder { expected: self.received, found: record.sequence });
        }
        self.received = self.received.wrapping_add(1);
        Ok(Some((record.sequence, record.body)))
    }
}

impl<Out, In> AsFd for Link<Out, In> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What an error of the socket means.
fn broken(error: &io::Error) -> LinkError {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => LinkError::Closed,
        _ => LinkError::Kernel(error.raw_os_error().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::privileged::{FromPrivileged, ToPrivileged};
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use nix::unistd::write;

    fn pair() -> (OwnedFd, Link<FromPrivileged, ToPrivileged>) {
        let (left, right) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_NONBLOCK).unwrap();
        (left, Link::new(right))
    }

    fn heartbeat(sequence: u32) -> std::vec::Vec<u8> {
        let mut frame = [0; MAX_FRAME];
        let length = encode(sequence, &ToPrivileged::Heartbeat, &mut frame);
        frame[..length].to_vec()
    }

    #[test]
    fn a098_a_record_repeated_skipped_or_back_breaks_the_link() {
        for bad in [0u32, 2, u32::MAX] {
            let (peer, mut link) = pair();
            write(&peer, &heartbeat(0)).unwrap();
            write(&peer, &heartbeat(bad)).unwrap();
            write(&peer, &heartbeat(1)).unwrap();
            assert_eq!(link.receive(), Ok(Some((0, ToPrivileged::Heartbeat))));
            assert_eq!(link.receive(), Err(LinkError::OutOfOrder { expected: 1, found: bad }));
            assert_eq!(link.receive(), Err(LinkError::Closed), "nothing is read after a breach");
        }
    }

    #[test]
    fn a096_frames_that_are_not_records_break_the_link() {
        let oversized = std::vec![0u8; 65_536];
        for bad in [&b"x"[..], &heartbeat(0)[..9], &oversized] {
            let (peer, mut link) = pair();
            write(&peer, bad).unwrap();
            assert!(matches!(link.receive(), Err(LinkError::Malformed(_))));
            assert_eq!(link.receive(), Err(LinkError::Closed));
        }
    }

    #[test]
    fn an_empty_datagram_and_a_closed_peer_are_the_same() {
        let (peer, mut link) = pair();
        write(&peer, &[]).unwrap();
        assert_eq!(link.receive(), Err(LinkError::Closed));
        let (peer, mut link) = pair();
        drop(peer);
        assert_eq!(link.receive(), Err(LinkError::Closed));
        assert_eq!(
            link.send(&FromPrivileged::Refused(ipc::message::privileged::Refused {
                answers: 0,
                code: ipc::message::privileged::Refusal::Rate,
                limit: 0,
                remaining: 0
            })),
            Err(LinkError::Closed)
        );
    }

    #[test]
    fn what_a_peer_said_last_is_heard_also_where_it_left_something_unread() {
        let (peer, mut link) = pair();
        let mut theirs: Link<ToPrivileged, FromPrivileged> = Link::new(peer);
        link.send(&FromPrivileged::Reload).unwrap();
        let lost = ipc::process::Parting::Lost(ipc::process::Process::Client);
        theirs.send(&ToPrivileged::Goodbye(lost)).unwrap();
        drop(theirs);
        let goodbye = ToPrivileged::Goodbye(lost);
        assert_eq!(link.receive(), Ok(Some((0, goodbye))));
        assert_eq!(link.receive(), Err(LinkError::Closed));
    }

    #[test]
    fn a_peer_that_does_not_read_fills_the_link_and_nothing_breaks() {
        let (peer, mut link) = pair();
        let mut out: Link<ToPrivileged, FromPrivileged> = Link::new(peer);
        let mut sent = 0;
        while out.send(&ToPrivileged::Heartbeat).is_ok() {
            sent += 1;
        }
        assert!(sent > 0);
        assert_eq!(link.receive(), Ok(Some((0, ToPrivileged::Heartbeat))));
        assert_eq!(out.send(&ToPrivileged::Heartbeat), Ok(sent));
    }
}
