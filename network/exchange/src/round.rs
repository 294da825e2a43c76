//! A child's work for a round of Roughtime (RFC 10049 section 8.2): it looks the servers up, asks them one after the other, all
//! twice in the same order, each with a nonce that depends on the answer before, and takes only answers that are valid.

use super::connect::interleave;
use super::lookup;
use ipc::address::Address;
use ipc::message::exchange::{
    Families, FromExchange, Heard, HeardOf, KeyServer, LookupFailure, Measure, Measured, PASSES, Response,
    RoundServer, Signed,
};
use ipc::units::{RawInstant, Span};
use network::clock;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, recv, send, socket,
};
use nix::sys::time::TimeSpec;
use roughtime::{Nonce, REQUEST, Rand, Version, next_nonce, rand, request, verify};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// After so long no further name is looked up: one look-up may take half a minute, and the whole has a deadline.
const LOOKUPS: Span = Span::from_secs(20);

/// How long the answer to each try is waited for (RFC 10049 section 8.5: the first second, then exponentially). It is also the
/// largest delay that an answer may have.
const PATIENCE: [Span; 2] = [Span::from_secs(1), Span::from_secs(2)];

/// Packets that are looked at for one request: who floods its port gets no further.
const MOST_PACKETS: usize = 16;

/// What came of a server so far.
type Place = Result<Vec<SocketAddr>, LookupFailure>;

/// The last answer, and how many random octets of the chain have been used.
struct Chain<'a> {
    round: &'a Measure,
    last: Option<Response>,
    used: u32,
}

/// Makes a round; returns all messages to be sent, in order.
pub(super) fn measure(round: &Measure) -> Vec<FromExchange> {
    let places = look_up(&round.servers);
    let mut chain = Chain { round, last: None, used: 0 };
    let mut heard: Vec<Heard> = places.iter().map(expected).collect();
    let mut answers = Vec::new();
    for pass in 0..PASSES {
        for (at, (server, place)) in (0u8..).zip(round.servers.iter().zip(&places)) {
            let Some(heard) = heard.get_mut(usize::from(at)) else { continue };
            // One that did not answer is not asked again: the others do not wait for it twice.
            if pass > 0 && *heard != Heard::Answer {
                continue;
            }
            let addresses = place.as_deref().unwrap_or_default();
            match chain.ask(at, server, addresses) {
                Ok(signed) => {
                    *heard = Heard::Answer;
                    answers.push(FromExchange::Signed(signed));
                }
                // The answer of the first pass counts.
                Err(reason) if pass == 0 && !addresses.is_empty() => *heard = reason,
                Err(_) => {}
            }
        }
    }
    let ended = Measured {
        id: round.id,
        answers: u8::try_from(answers.len()).unwrap_or(u8::MAX),
        heard: HeardOf::new(heard).unwrap_or_else(|_| HeardOf::none()),
    };
    answers.push(FromExchange::Measured(ended));
    answers
}

/// Where the servers are, all before the first is asked: their answers are to follow each other closely.
fn look_up(servers: &[RoundServer]) -> Vec<Place> {
    let begun = clock::raw();
    let place = |server: &RoundServer| match server.host {
        KeyServer::Address(address) => {
            let mut address = address.socket_address();
            address.set_port(server.port);
            Ok(vec![address])
        }
        KeyServer::Name(_) if clock::raw().elapsed_since(begun) > LOOKUPS => Err(LookupFailure::TryAgain),
        KeyServer::Name(name) => {
            let found = lookup::addresses(name.as_str(), server.port, Families::Both, |_| true)?;
            Ok(interleave(&found.iter().map(Address::socket_address).collect::<Vec<_>>()))
        }
    };
    servers.iter().map(place).collect()
}

/// What is said of a server that is not even asked.
fn expected(place: &Place) -> Heard {
    match place {
        Ok(_) => Heard::Nothing,
        Err(reason) => Heard::NoAddress(*reason),
    }
}

impl Chain<'_> {
    /// The next nonce, and what it is made of beside the last answer. Each try behind the first answer has its own: an answer to an earlier one comes too late.
    fn next(&mut self) -> (Nonce, Rand) {
        let Some(last) = &self.last else { return (self.round.first_nonce, [0; 32]) };
        let rand = rand(&self.round.seed, self.used);
        self.used = self.used.saturating_add(1);
        (next_nonce(last.octets(), &rand), rand)
    }

    /// Asks one server, at each try another one of its addresses.
    fn ask(&mut self, at: u8, server: &RoundServer, addresses: &[SocketAddr]) -> Result<Signed, Heard> {
        let version = Version::of(server.version).ok_or(Heard::Invalid)?;
        let mut reason = Heard::Unreachable;
        for (patience, address) in PATIENCE.iter().zip(addresses.iter().cycle()) {
            let (nonce, rand) = self.next();
            let packet = request(&nonce, &server.public_key, version);
            let is_valid = |answer: &[u8]| verify(answer, &nonce, &server.public_key, version).is_ok();
            match exchange(*address, &packet, *patience, is_valid) {
                Ok((sent, received, response)) => {
                    self.last = Some(response);
                    let id = self.round.id;
                    return Ok(Signed { id, server: at, rand, sent, received, response });
                }
                Err(other) => reason = other,
            }
        }
        Err(reason)
    }
}

/// Sends a request, and waits for a valid answer from there.
fn exchange(
    address: SocketAddr,
    request: &[u8; REQUEST],
    patience: Span,
    is_valid: impl Fn(&[u8]) -> bool,
) -> Result<(RawInstant, RawInstant, Response), Heard> {
    let socket = connected(address).map_err(|_| Heard::Unreachable)?;
    let sent = clock::raw();
    send(socket.as_raw_fd(), request, MsgFlags::empty()).map_err(|_| Heard::Unreachable)?;
    let until = sent.after(patience);
    let mut reason = Heard::Nothing;
    for _ in 0..MOST_PACKETS {
        if !wait(&socket, until) {
            break;
        }
        // One octet more than an answer may have: what is longer is seen to be.
        let mut packet = [0; REQUEST + 1];
        let length = match recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(Errno::ECONNREFUSED) => return Err(Heard::Refused),
            Err(_) => return Err(Heard::Unreachable),
        };
        let received = clock::raw();
        let packet = packet.get(..length).unwrap_or_default();
        match Response::from_octets(packet).ok().filter(|_| is_valid(packet)) {
            Some(response) => return Ok((sent, received, response)),
            None => reason = Heard::Invalid,
        }
    }
    Err(reason)
}

fn connected(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Datagram, flags, None)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

/// Whether something is there to be read before then.
fn wait(socket: &OwnedFd, until: RawInstant) -> bool {
    loop {
        let left = until.since(clock::raw()).nanos();
        if left <= 0 {
            return false;
        }
        let mut place = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut place, Some(TimeSpec::new(left / 1_000_000_000, left % 1_000_000_000)), None) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}
