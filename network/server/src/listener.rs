//! One bound socket.

use network::ending::Ending;
use network::interfaces::Served;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{SockaddrStorage, TimestampingFlag, getsockname, getsockopt, setsockopt, sockopt};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Receive buffer of the server's sockets in octets (the kernel doubles it, and caps it at net.core.rmem_max): during a
/// flood at half the line rate, the default buffer loses legitimate requests. The process that bound them may have set
/// it higher.
const RECEIVE_BUFFER: usize = 2 << 20;

/// A bound UDP socket.
#[derive(Debug)]
pub struct Listener {
    socket: Arc<OwnedFd>,
    address: SocketAddr,
    is_judged: bool,
}

/// Takes ownership of bound UDP sockets. Call this before the filter is in force: it sets socket options.
///
/// # Errors
/// [`Ending::Kernel`] if a descriptor is not a bound UDP socket.
pub fn listen(sockets: Vec<OwnedFd>) -> Result<Vec<Listener>, Ending> {
    sockets.into_iter().map(Listener::new).collect()
}

/// Distributes sockets among threads: those that share an address belong to as many threads.
pub(super) fn deal(listeners: Vec<Listener>) -> Vec<Vec<Listener>> {
    let mut threads: Vec<Vec<Listener>> = Vec::new();
    for listener in listeners {
        let is_free = |thread: &&mut Vec<Listener>| {
            thread.iter().all(|other: &Listener| other.address != listener.address)
        };
        match threads.iter_mut().find(is_free) {
            Some(thread) => thread.push(listener),
            None => threads.push(vec![listener]),
        }
    }
    threads
}

impl Listener {
    fn new(socket: OwnedFd) -> Result<Self, Ending> {
        let refused = |errno| Ending::Kernel("a server socket", errno);
        let bound: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(refused)?;
        let address = match (bound.as_sockaddr_in(), bound.as_sockaddr_in6()) {
            (Some(v4), _) => SocketAddr::from((v4.ip(), v4.port())),
            (None, Some(v6)) => SocketAddr::from((v6.ip(), v6.port())),
            (None, None) => return Err(refused(Errno::EAFNOSUPPORT)),
        };
        let is_single = !address.ip().is_unspecified();
        prepare(&socket, address.is_ipv6(), is_single).map_err(refused)?;
        // A thread with one socket waits in the receiving call.
        let flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL).map_err(refused)?);
        fcntl(&socket, FcntlArg::F_SETFL(flags & !OFlag::O_NONBLOCK)).map_err(refused)?;
        Ok(Self { socket: Arc::new(socket), address, is_judged: false })
    }

    pub(super) fn judge_by(&mut self, served: &Served) {
        self.is_judged = served.is_judged(self.address);
    }

    /// Whether [`Served`] decides which of its requests are answered.
    pub(super) fn is_judged(&self) -> bool {
        self.is_judged
    }

    /// The socket, for replies that leave later.
    pub(super) fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// Its local address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Options of a bound socket: arrival timestamps, a larger buffer, and, if bound to more than one address, the
/// destination address.
fn prepare(socket: &impl AsFd, is_ipv6: bool, is_single: bool) -> Result<(), Errno> {
    let stamps = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE;
    let _ = setsockopt(socket, sockopt::Timestamping, &stamps);
    if getsockopt(socket, sockopt::RcvBuf).is_ok_and(|octets| octets < 2 * RECEIVE_BUFFER) {
        let _ = setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
    if is_single {
        // No other destination is possible: a socket bound to an address receives no multicast or broadcast.
        Ok(())
    } else if is_ipv6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, bind, socket};

    fn shared(address: SocketAddr) -> OwnedFd {
        let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).unwrap();
        setsockopt(&fd, sockopt::ReusePort, &true).unwrap();
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
        fd
    }

    #[test]
    fn each_thread_gets_one_socket_of_each_address() {
        let first = listen(vec![shared("127.0.0.1:0".parse().unwrap())]).unwrap();
        let one = first[0].address;
        let other = SocketAddr::new([127, 0, 0, 2].into(), one.port());
        let more = [other, one, other].map(shared);
        let all = first.into_iter().chain(listen(more.into()).unwrap()).collect();
        let threads = deal(all);
        assert_eq!(threads.len(), 2);
        for thread in threads {
            let ips: Vec<_> = thread.iter().map(|listener| listener.address.ip()).collect();
            assert_eq!(ips, [one.ip(), other.ip()]);
        }
    }
}
