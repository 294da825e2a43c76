//! Changes of this host's network: when the kernel has told of one, its addresses are asked for, and the engine is told.
//!
//! However much changes, the engine is told at most once a second. What the kernel had no room to tell counts as a
//! change.

use crate::rtnetlink::{News, read, request};
use ipc::address::Address;
use ipc::message::client::{MAX_OWN, OwnAddresses};
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, recvmsg, send};
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Datagrams that are read before the queries have their turn.
const DATAGRAMS: usize = 64;

/// Octets of a datagram that are read: as many as the kernel puts into one of an answer; of a longer one the beginning.
const DATAGRAM: usize = 32_768;

/// Between two requests: the engine ends the trust in a client that sends more than one a second.
const PAUSE: Span = Span::from_millis(1_050);

/// So long an answer may take.
const PATIENCE: Span = Span::from_secs(5);

/// Addresses of an answer that are looked at.
const MOST_READ: usize = 4096;

/// Interfaces whose state is remembered.
const MOST_LINKS: usize = 256;

/// The routing socket, and what is known.
pub(crate) struct Changes {
    socket: OwnedFd,
    buffer: Vec<u8>,
    /// Addresses may be other ones.
    stale: bool,
    /// Something else has changed.
    changed: bool,
    number: u32,
    asked: Option<RawInstant>,
    answer: Option<Vec<IpAddr>>,
    told: Option<Vec<IpAddr>>,
    links: Vec<(u32, bool)>,
}

impl Changes {
    /// Asks for the addresses as soon as it is driven.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            buffer: vec![0; DATAGRAM],
            stale: true,
            changed: false,
            number: 0,
            asked: None,
            answer: None,
            told: None,
            links: Vec::new(),
        }
    }

    /// When [`Self::drive`] has something to do, if nothing is read before.
    pub(crate) fn deadline(&self) -> Option<RawInstant> {
        let asked = self.asked.unwrap_or(RawInstant::MIN);
        match &self.answer {
            Some(_) => Some(asked.after(PATIENCE)),
            None => (self.stale || self.changed).then(|| asked.after(PAUSE)),
        }
    }

    /// Reads what the kernel tells, and asks it for the addresses if they may have changed. The addresses are returned if they
    /// have, or if something else has.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub(crate) fn drive(&mut self, is_ready: bool, now: RawInstant) -> Result<Option<OwnAddresses>, Errno> {
        let mut found = None;
        if is_ready {
            for _ in 0..DATAGRAMS {
                match self.receive() {
                    Ok(Some(addresses)) => found = Some(addresses),
                    Ok(None) | Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => break,
                    // The kernel had more to tell than the socket holds.
                    Err(Errno::ENOBUFS | Errno::ENOMEM) => self.stale = true,
                    Err(errno) => return Err(errno),
                }
            }
        }
        if self.deadline().is_some_and(|due| due <= now) {
            self.ask(now);
        }
        Ok(found)
    }

    fn ask(&mut self, now: RawInstant) {
        self.asked = Some(now);
        self.number = self.number.wrapping_add(1).max(1);
        let sent = send(self.socket.as_raw_fd(), &request(self.number), MsgFlags::MSG_NOSIGNAL);
        self.stale = sent.is_err();
        self.answer = sent.is_ok().then(Vec::new);
    }

    fn receive(&mut self) -> Result<Option<OwnAddresses>, Errno> {
        let mut slices = [IoSliceMut::new(&mut self.buffer)];
        let message =
            recvmsg::<NetlinkAddr>(self.socket.as_raw_fd(), &mut slices, None, MsgFlags::MSG_DONTWAIT)?;
        // Other programs have port numbers.
        let is_kernels = message.address.is_some_and(|from| from.pid() == 0);
        let length = if is_kernels { message.bytes } else { 0 };
        let mut found = None;
        let buffer = std::mem::take(&mut self.buffer);
        for news in read(buffer.get(..length).unwrap_or_default()) {
            found = self.take(news).or(found);
        }
        self.buffer = buffer;
        Ok(found)
    }

    fn take(&mut self, news: News) -> Option<OwnAddresses> {
        match news {
            News::Own(number, address) => {
                if let (Some(answer), true) = (&mut self.answer, number == self.number)
                    && answer.len() < MOST_READ
                {
                    answer.extend(address);
                }
            }
            News::End(number, is_complete) if number == self.number => {
                let answer = self.answer.take()?;
                if !is_complete {
                    self.stale = true;
                    return None;
                }
                return self.tell(answer);
            }
            News::End(..) => {}
            News::Address => self.stale = true,
            News::Route => self.changed = true,
            News::Link(index, runs) => self.changed |= self.note_link(index, runs),
        }
        None
    }

    /// Whether an interface has come up or gone down.
    fn note_link(&mut self, index: u32, runs: bool) -> bool {
        let known = self.links.iter().position(|(known, _)| *known == index);
        match known {
            Some(at) if !runs => self.links.swap_remove(at).1,
            Some(_) => false,
            None if runs && self.links.len() < MOST_LINKS => {
                self.links.push((index, true));
                true
            }
            None => false,
        }
    }

    fn tell(&mut self, mut answer: Vec<IpAddr>) -> Option<OwnAddresses> {
        answer.sort_unstable_by_key(|ip| (is_of_a_link(*ip), *ip));
        answer.dedup();
        let is_news = std::mem::take(&mut self.changed) || self.told.as_ref() != Some(&answer);
        let told = answer.iter().take(MAX_OWN).map(|ip| Address::from(SocketAddr::new(*ip, 0)));
        let told = OwnAddresses::new(told).ok().filter(|_| is_news);
        self.told = Some(answer);
        told
    }
}

/// Every interface has one of these; they come last.
fn is_of_a_link(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
