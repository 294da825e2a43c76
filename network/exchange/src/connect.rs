//! A connection to the first of a server's addresses that accepts one (RFC 8305, in simple form): both families
//! in turn, each with a head start over the next.

use ipc::departure::Departure;
use ipc::message::exchange::ExchangeFailure;
use ipc::units::{RawInstant, Span};
use network::clock;
use network::departure::{self, Lack};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Head start of an address before the next one is tried in parallel (RFC 8305 section 5).
const HEAD_START: Span = Span::from_millis(250);

/// Where there are many addresses, all of them are tried within this time.
const ALL: i64 = 8_000_000_000;

/// Most sockets that are open at the same time: the next address takes the place of the one that was tried first.
const MOST_OPEN: usize = 8;

/// A connection that is being made.
struct Attempt {
    socket: OwnedFd,
    address: SocketAddr,
}

/// Connects, beginning with the address of number `turn`; the stream is in blocking mode. Returns an error only if every address refuses: the process that ends
/// this one sets the time limit.
///
/// # Errors
/// `Refused` if one of the addresses refused; otherwise `NoInterface` or `NoOwnAddress` if this host lacks what it is to ask from, and
/// `Unreachable` else.
pub(super) fn connect_to_any(
    addresses: &[SocketAddr],
    turn: u8,
    departure: &Departure,
) -> Result<(TcpStream, SocketAddr), ExchangeFailure> {
    let mut left = ordered(addresses, turn).into_iter();
    let head_start = head_start(addresses.len());
    let mut open: Vec<Attempt> = Vec::new();
    let mut failure = ExchangeFailure::Unreachable;
    let mut next_start = RawInstant::MIN;
    loop {
        if (open.is_empty() || next_start <= clock::raw())
            && let Some(address) = left.next()
        {
            next_start = clock::raw().after(head_start);
            match start(address, departure) {
                Ok(attempt) => {
                    if open.len() >= MOST_OPEN {
                        open.remove(0);
                    }
                    open.push(attempt);
                }
                Err(lack) => note_lack(&mut failure, lack),
            }
            continue;
        }
        if open.is_empty() {
            return Err(failure);
        }
        let timeout = (left.len() > 0).then(|| next_start.since(clock::raw()).nanos().max(0));
        for at in wait(&open, timeout).into_iter().rev() {
            let attempt = open.remove(at);
            match getsockopt(&attempt.socket, sockopt::SocketError) {
                Ok(0) => return finish(attempt),
                Ok(error) => note(&mut failure, Errno::from_raw(error)),
                Err(errno) => note(&mut failure, errno),
            }
            // The next one does not have to wait for its turn.
            next_start = RawInstant::MIN;
        }
    }
}

/// The families in turn, beginning with that of the first address; each family keeps its order.
pub(super) fn interleave(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let leads =
        |address: &&SocketAddr| addresses.first().is_some_and(|first| first.is_ipv4() == address.is_ipv4());
    let (one, other): (Vec<&SocketAddr>, Vec<_>) = addresses.iter().partition(leads);
    let pairs = (0..addresses.len()).flat_map(|at| [one.get(at), other.get(at)]);
    pairs.flatten().map(|address| **address).collect()
}

/// The order in which addresses are tried; `turn`: with which it begins, counted from 0 and after the last from the first
/// again.
fn ordered(addresses: &[SocketAddr], turn: u8) -> Vec<SocketAddr> {
    let mut ordered = interleave(addresses);
    let first = usize::from(turn).checked_rem(ordered.len()).unwrap_or(0);
    ordered.rotate_left(first);
    ordered
}

fn head_start(addresses: usize) -> Span {
    let share = ALL / i64::try_from(addresses.max(1)).unwrap_or(i64::MAX);
    Span::saturating(share.min(HEAD_START.nanos()))
}

fn start(address: SocketAddr, departure: &Departure) -> Result<Attempt, Lack> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    departure::prepare(&socket, address, departure)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(Attempt { socket, address }),
        Err(errno) => Err(errno.into()),
    }
}

/// The attempts that have ended, in ascending order.
fn wait(open: &[Attempt], timeout: Option<i64>) -> Vec<usize> {
    let place = |attempt| PollFd::new(AsFd::as_fd(attempt), PollFlags::POLLOUT);
    let mut places: Vec<PollFd<'_>> = open.iter().map(|attempt| place(&attempt.socket)).collect();
    let timeout = timeout.map(|nanos| TimeSpec::new(nanos / 1_000_000_000, nanos % 1_000_000_000));
    if ppoll(&mut places, timeout, None).is_err() {
        return Vec::new();
    }
    let ended = |place: &PollFd<'_>| place.revents().is_some_and(|events| !events.is_empty());
    (0..open.len()).filter(|at| places.get(*at).is_some_and(ended)).collect()
}

fn finish(attempt: Attempt) -> Result<(TcpStream, SocketAddr), ExchangeFailure> {
    let stream = TcpStream::from(attempt.socket);
    stream.set_nonblocking(false).map_err(|_| ExchangeFailure::Unreachable)?;
    Ok((stream, attempt.address))
}

/// What this host lacks is said where no server has refused.
fn note_lack(failure: &mut ExchangeFailure, lack: Lack) {
    let lacks = match lack {
        Lack::Interface => ExchangeFailure::NoInterface,
        Lack::Address => ExchangeFailure::NoOwnAddress,
        Lack::Other(errno) => return note(failure, errno),
    };
    if *failure == ExchangeFailure::Unreachable {
        *failure = lacks;
    }
}

fn note(failure: &mut ExchangeFailure, errno: Errno) {
    if errno == Errno::ECONNREFUSED {
        *failure = ExchangeFailure::Refused;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A port of the loopback interface on which no process listens.
    fn deaf() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn families_take_turns() {
        let given = ["[::1]:1", "[::1]:2", "[::1]:3", "127.0.0.1:4", "127.0.0.1:5"].map(address);
        let expected = ["[::1]:1", "127.0.0.1:4", "[::1]:2", "127.0.0.1:5", "[::1]:3"].map(address);
        assert_eq!(interleave(&given), expected);
        assert_eq!(interleave(&[]), []);
    }

    #[test]
    fn a_deaf_address_leads_to_the_next_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let (stream, peer) = connect_to_any(&[deaf(), deaf(), there], 0, &Departure::USUAL).unwrap();
        assert_eq!((peer, stream.peer_addr().unwrap()), (there, there));
    }

    #[test]
    fn an_address_that_keeps_silent_delays_the_next_by_its_head_start_alone() {
        // A full accept queue: the kernel no longer answers.
        let full = TcpListener::bind("127.0.0.1:0").unwrap();
        nix::sys::socket::listen(&full, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let silent = full.local_addr().unwrap();
        let _waiting: Vec<Attempt> = (0..4).map(|_| start(silent, &Departure::USUAL).unwrap()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        assert_eq!(connect_to_any(&[silent, there], 0, &Departure::USUAL).unwrap().1, there);
    }

    /// Addresses whose accept queue is full: the kernel no longer answers.
    fn silent(count: usize) -> (Vec<SocketAddr>, Vec<TcpListener>, Vec<Attempt>) {
        let listeners: Vec<TcpListener> =
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut waiting = Vec::new();
        let full = listeners.iter().map(|listener| {
            nix::sys::socket::listen(listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
            let address = listener.local_addr().unwrap();
            waiting.extend((0..4).map(|_| start(address, &Departure::USUAL).unwrap()));
            address
        });
        let addresses = full.collect();
        (addresses, listeners, waiting)
    }

    #[test]
    fn after_any_number_of_silent_addresses_comes_the_one_that_accepts() {
        let (mut addresses, _listeners, _waiting) = silent(63);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        addresses.push(there);
        assert_eq!(connect_to_any(&addresses, 0, &Departure::USUAL).unwrap().1, there);
        // Beginning with the last but two, it is found after two.
        assert_eq!(ordered(&addresses, 61)[2], there);
        assert_eq!(head_start(64), Span::from_millis(125));
        assert_eq!(head_start(2), HEAD_START);
    }

    #[test]
    fn each_turn_begins_with_another_address() {
        let given = ["[::1]:1", "[::1]:2", "127.0.0.1:3"].map(address);
        let firsts: Vec<SocketAddr> = (0..4).map(|turn| ordered(&given, turn)[0]).collect();
        assert_eq!(firsts, ["[::1]:1", "127.0.0.1:3", "[::1]:2", "[::1]:1"].map(address));
    }

    #[test]
    fn a060_where_no_process_listens_the_connection_is_refused() {
        assert_eq!(
            connect_to_any(&[deaf(), deaf()], 0, &Departure::USUAL).unwrap_err(),
            ExchangeFailure::Refused
        );
        assert_eq!(connect_to_any(&[], 5, &Departure::USUAL).unwrap_err(), ExchangeFailure::Unreachable);
        // This address is not routed (RFC 5737), or nothing answers; only a host could refuse.
        let broadcast = address("255.255.255.255:4460");
        assert_eq!(
            connect_to_any(&[broadcast], 0, &Departure::USUAL).unwrap_err(),
            ExchangeFailure::Unreachable
        );
    }
}
