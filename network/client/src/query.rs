//! One query and the socket that exists for it alone.

use super::reply::{Checked, Expected, Rejection, check};
use super::silence::{of_lack, of_receiving, of_sending, of_trouble};
use crate::datagram::{Arrival, Report, receive, report};
use crate::socket_options::prepare_query;
use ipc::address::Address;
use ipc::departure::Departure;
use ipc::message::client::{
    MAX_CANDIDATES, PlainReply, ProtectedReply, Query, QueryId, Rejected, ReplyHeader, Sent, Silence, Stamp,
    Unanswered, Version5Header, Version5Reply,
};
use ipc::packet::{MAX_PACKET, Packet};
use ipc::units::{Leap, RawInstant, Span};
use network::clock::{self, Pair};
use network::departure::{self, Lack};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, getsockname, send, socket,
};
use protocol::ntpv5;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Datagrams that are read from one socket before the others have their turn.
const DATAGRAMS: usize = 64;

/// The same for its error queue.
const REPORTS: usize = 16;

/// How long a reply is still waited for after an ICMP error: an attacker who guesses the port can forge one.
const DOUBT: Span = Span::from_secs(1);

/// A query that has left and has no reply yet.
pub(super) struct Open {
    id: QueryId,
    socket: OwnedFd,
    destination: Address,
    deadline: RawInstant,
    expected: Expected,
    /// The address of this host that it left from.
    local: Address,
    /// Our own reading right before the packet left.
    own: RawInstant,
    /// T1 once it is known, and whether it was sent to the engine.
    t1: Option<(RawInstant, Stamp)>,
    is_told: bool,
    /// Where replies are protected: how many packets may still be passed on.
    candidates: Option<u8>,
    rejected: Rejected,
    trouble: Option<Silence>,
}

/// What reading a socket led to.
#[allow(clippy::large_enum_variant, reason = "lives on the stack for a moment")]
pub(super) enum Step {
    /// Nothing that ends the query.
    Waiting,
    /// The query's end.
    Replied(PlainReply),
    /// The same in version 5.
    Version5(Version5Reply),
    /// A packet that may be the reply; only the engine can tell, and cancels the query if it is.
    Candidate(ProtectedReply),
}

impl Open {
    /// Sends a query from a fresh socket.
    pub(super) fn send(query: &Query, expected: Expected) -> Result<Self, Silence> {
        if query.deadline <= clock::raw() {
            return Err(Silence::Deadline);
        }
        let destination = query.destination.socket_address();
        let socket = connected(destination, &query.departure).map_err(of_lack)?;
        let own = clock::raw();
        let octets = query.packet.octets();
        let mut outcome = send(socket.as_raw_fd(), octets, MsgFlags::MSG_NOSIGNAL);
        if outcome == Err(Errno::EINTR) {
            outcome = send(socket.as_raw_fd(), octets, MsgFlags::MSG_NOSIGNAL);
        }
        match outcome {
            Ok(length) if length == octets.len() => Ok(Self {
                id: query.id,
                destination: query.destination,
                deadline: query.deadline,
                expected,
                local: local_address(&socket),
                socket,
                own,
                t1: None,
                is_told: false,
                candidates: query.protected.then_some(MAX_CANDIDATES),
                rejected: Rejected::NONE,
                trouble: None,
            }),
            Ok(_) => Err(Silence::Local),
            Err(errno) => Err(of_sending(errno)),
        }
    }

    pub(super) fn id(&self) -> QueryId {
        self.id
    }

    pub(super) fn deadline(&self) -> RawInstant {
        self.deadline
    }

    /// Reads the error queue, up to the limit of one iteration: the transmit timestamp, and ICMP errors.
    pub(super) fn take_reports(&mut self) {
        for _ in 0..REPORTS {
            match report(&self.socket) {
                Ok(Report::Left(stamp)) if self.t1.is_none() => {
                    let pair = Pair::read();
                    let (t1, kind) = clock::settle(pair, Some(stamp), self.own, self.own, pair.raw);
                    self.t1 = Some((t1, kind));
                }
                Ok(Report::Trouble(trouble)) => self.doubt(of_trouble(trouble)),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
    }

    /// What to wait for: nothing further where enough packets were passed on.
    pub(super) fn interest(&self) -> PollFlags {
        if self.candidates == Some(0) { PollFlags::empty() } else { PollFlags::POLLIN }
    }

    /// Empties the error queue and reads datagrams until one is the reply, or may be.
    pub(super) fn read(&mut self) -> Step {
        self.take_reports();
        if self.candidates == Some(0) {
            return Step::Waiting;
        }
        // One octet more than the longest packet shows a longer one.
        let mut buffer = [0; MAX_PACKET + 1];
        for _ in 0..DATAGRAMS {
            match receive(&self.socket, &mut buffer) {
                Ok(arrival) => {
                    let own = clock::raw();
                    let datagram = &buffer[..arrival.length.min(buffer.len())];
                    let checked = if arrival.is_truncated {
                        Err(Rejection::Malformed)
                    } else {
                        check(datagram, self.expected)
                    };
                    match checked {
                        Ok(checked) => return self.accept(&checked, datagram, arrival, own),
                        Err(rejection) => rejection.count(&mut self.rejected),
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                // An error of the way: it is taken off the socket by being read.
                Err(errno) => self.doubt(of_receiving(errno)),
            }
        }
        Step::Waiting
    }

    fn accept(&mut self, checked: &Checked, datagram: &[u8], arrival: Arrival, own: RawInstant) -> Step {
        if self.t1.is_none() {
            self.take_reports();
        }
        let (t1, _) = *self.t1.get_or_insert((self.own, Stamp::User));
        let (t4, stamp) = clock::settle(Pair::read(), arrival.stamp, t1, own, own);
        let (id, source) = (self.id, self.destination);
        let Some(left) = &mut self.candidates else {
            let rejected = self.rejected;
            let header = match checked {
                Checked::Version4(header) => ReplyHeader::from(header),
                Checked::Version5(reply) => {
                    let (header, filter) =
                        (version5_header(&reply.header), reply.filter.map(|it| it.octets().into()));
                    let held_up = reply.correction.and_then(|it| it.held_up());
                    let told = Version5Reply { id, source, t4, stamp, header, filter, held_up, rejected };
                    return Step::Version5(told);
                }
            };
            return Step::Replied(PlainReply { id, source, t4, stamp, header, rejected });
        };
        *left = left.saturating_sub(1);
        // What passed the check is no longer than a packet.
        Packet::from_octets(datagram)
            .map_or(Step::Waiting, |packet| Step::Candidate(ProtectedReply { id, source, t4, stamp, packet }))
    }

    /// T1 for the engine, once: our own reading if the kernel gave none.
    pub(super) fn sent(&mut self) -> Option<Sent> {
        let (t1, stamp) = *self.t1.get_or_insert((self.own, Stamp::User));
        let is_told = std::mem::replace(&mut self.is_told, true);
        (!is_told).then_some(Sent { id: self.id, t1, stamp, local: self.local })
    }

    /// The end of a query whose time is up.
    pub(super) fn give_up(&self) -> Unanswered {
        let reason = self.trouble.unwrap_or(Silence::Deadline);
        Unanswered { id: self.id, reason, rejected: self.rejected }
    }

    fn doubt(&mut self, trouble: Option<Silence>) {
        if self.trouble.is_none() && trouble.is_some() {
            self.trouble = trouble;
            self.deadline = self.deadline.min(clock::raw().after(DOUBT));
        }
    }
}

/// The header's fields in the form in which the engine takes them.
fn version5_header(header: &ntpv5::Header) -> Version5Header {
    Version5Header {
        leap: match header.leap {
            0 => Leap::None,
            1 => Leap::Insert,
            2 => Leap::Delete,
            _ => Leap::Unknown,
        },
        stratum: header.stratum,
        poll: header.poll,
        precision: header.precision,
        root_delay: header.root_delay,
        root_dispersion: header.root_dispersion,
        timescale: header.timescale,
        era: header.era,
        flags: header.flags.bits(),
        client_cookie: header.client_cookie,
        receive_timestamp: header.receive_timestamp,
        transmit_timestamp: header.transmit_timestamp,
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the kernel chose when the socket was connected; [`Address::NONE`] if it does not tell.
fn local_address(socket: &OwnedFd) -> Address {
    let Ok(name) = getsockname::<SockaddrStorage>(socket.as_raw_fd()) else { return Address::NONE };
    let v4 = name.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    let v6 = name.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into()));
    v4.or(v6).map_or(Address::NONE, Address::from)
}

/// A socket that talks to `destination` only: the kernel chooses the port at random when it is connected,
/// and drops what comes from anywhere else.
fn connected(destination: SocketAddr, departure: &Departure) -> Result<OwnedFd, Lack> {
    let family = if destination.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Datagram, flags, None)?;
    prepare_query(&socket, destination.is_ipv6());
    departure::prepare(&socket, destination, departure)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(destination))?;
    Ok(socket)
}
