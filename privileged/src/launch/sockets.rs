//! The sockets of the server and of the key exchange service, and the routing sockets of client and server, bound here so
//! that they need no privilege to do so. Each thread of the server has its own socket for each address (SO_REUSEPORT); the
//! kernel distributes the senders.
//!
//! An address that this host does not have yet, or not any more, keeps its socket: the kernel delivers to it as soon as
//! an interface has the address (IP_FREEBIND), and nothing has to be bound under the filter. A socket cannot be bound to an
//! interface that is yet to come: where an entry of `listen` names one, its socket is bound to all addresses of the family, and
//! the server answers what arrived where it should.

mod refusal;

use ipc::address::Address;
use ipc::message::launch::{LaunchPlan, MAX_KEY_THREADS, MAX_THREADS};
use ipc::served_at::ServedAt;
use keeper::ending::{Ending, say};
use nix::errno::Errno;
use nix::net::if_::{if_indextoname, if_nametoindex};
use nix::poll::ppoll;
use nix::sys::socket::{
    AddressFamily, Backlog, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage,
    bind as bind_socket, listen, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use refusal::{Refusal, Service};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

/// Receive buffer in octets (the kernel doubles it): beside a flood at half the line's load, the kernel's
/// default loses honest requests.
const RECEIVE_BUFFER: usize = 2 << 20;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// The most threads, if the plan does not give their number.
const MOST_BY_DEFAULT: usize = 4;

/// How often, and at which interval, an address in use is tried again: a process of the previous run may still be
/// ending.
const TRIES: u32 = 10;
const PAUSE: TimeSpec = TimeSpec::new(0, 200_000_000);

/// Bound sockets.
#[derive(Debug)]
pub struct Sockets {
    /// UDP, for the server: for the first thread one to each address, then the same for the next thread.
    pub server: Vec<OwnedFd>,
    /// A routing socket for the server, where entries of `listen` name interfaces.
    pub interfaces: Option<OwnedFd>,
    /// TCP, listening, for the key exchange service: one to each address, shared by its threads.
    pub key_service: Vec<OwnedFd>,
    /// Threads of the key exchange service; 0: there is none.
    pub key_threads: usize,
    /// The routing socket of the client.
    pub network: Option<OwnedFd>,
}

impl Sockets {
    /// Binds the planned addresses, as far as possible; logs a line for each address that is not available.
    ///
    /// # Errors
    /// If no address can be served and an administrator must act: the addresses with the reasons. If the kernel is out
    /// of resources.
    pub fn bind(plan: &LaunchPlan) -> Result<Self, Ending> {
        let server = bind_datagrams(&bound(&plan.listen), count(plan.threads, MAX_THREADS), plan.dscp)?;
        plan.listen.iter().filter(|entry| entry.interface.is_none()).for_each(warn_of_interface);
        let names_interface = plan.listen.iter().any(|entry| entry.interface.is_some());
        let interfaces = names_interface.then(|| routing(libc::RTMGRP_LINK)).and_then(Result::ok);
        let network = network();
        let Some(service) = &plan.key_service else {
            return Ok(Self { server, interfaces, key_service: Vec::new(), key_threads: 0, network });
        };
        let key_threads = count(service.threads, MAX_KEY_THREADS);
        let addresses: Vec<SocketAddr> = service.listen.iter().map(Address::socket_address).collect();
        let bound = bind_each(&addresses, Service::KeyExchange, stream)?;
        let key_service = bound.into_iter().map(|(_, fd)| fd).collect();
        Ok(Self { server, interfaces, key_service, key_threads, network })
    }
}

/// The addresses that sockets are bound to: all of a family where an entry with this family and port names an interface.
fn bound(entries: &[ServedAt]) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for entry in entries {
        let address = entry.address.socket_address();
        let any = if address.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        let address = match entries.iter().any(|other| other.is_beside(address) && other.names_interface()) {
            true => SocketAddr::new(any, address.port()),
            false => address,
        };
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// A socket on which the kernel tells of interfaces, addresses and routes (rtnetlink); none where it is forbidden, as it may
/// be in a container.
fn network() -> Option<OwnedFd> {
    let groups = libc::RTMGRP_LINK
        | libc::RTMGRP_IPV4_IFADDR
        | libc::RTMGRP_IPV6_IFADDR
        | libc::RTMGRP_IPV4_ROUTE
        | libc::RTMGRP_IPV6_ROUTE;
    let report = |errno: &Errno| {
        let why = errno.desc();
        let text = format_args!(
            "no routing socket ({why}): a change of the network is only noticed by the next queries; permit \
             AF_NETLINK (in a unit of your own: RestrictAddressFamilies=)"
        );
        say(5, &text);
    };
    routing(groups).inspect_err(report).ok()
}

fn routing(groups: i32) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind_socket(fd.as_raw_fd(), &NetlinkAddr::new(0, groups as u32))?;
    Ok(fd)
}

/// Warns, for `--check`, of interfaces that are not there.
pub fn warn_of_interfaces(plan: &LaunchPlan) {
    plan.listen.iter().for_each(warn_of_interface);
}

/// While the daemon runs, the server tells of those that are named.
fn warn_of_interface(entry: &ServedAt) {
    let missing = match (&entry.interface, entry.scope()) {
        (Some(name), _) if if_nametoindex(name.as_str()).is_err() => name.as_str().to_owned(),
        (None, number) if number != 0 && !has_interface(number) => format!("with the number {number}"),
        _ => return,
    };
    let text = format_args!(
        "listen: {entry}: there is no interface {missing} now; time is served on it as soon as there is one (ip link \
         shows all)"
    );
    say(4, &text);
}

/// nix takes the null pointer of a failed call for a success.
fn has_interface(number: u32) -> bool {
    if_indextoname(number).is_ok_and(|name| !name.is_empty())
}

fn count(asked: u8, most: u8) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_BY_DEFAULT)),
        asked => usize::from(asked.min(most)),
    }
}

fn bind_datagrams(addresses: &[SocketAddr], threads: usize, dscp: u8) -> Result<Vec<OwnedFd>, Ending> {
    // SO_REUSEPORT sockets would also share an address with another instance: binding one without the option first
    // shows that the address is free.
    let bound = bind_each(addresses, Service::Time, |address| datagrams(address, false, dscp))?;
    if threads <= 1 {
        return Ok(bound.into_iter().map(|(_, fd)| fd).collect());
    }
    let addresses: Vec<SocketAddr> = bound.into_iter().map(|(address, _)| address).collect();
    let shared = |address: &SocketAddr| {
        let bound = datagrams(*address, true, dscp);
        bound.map(|(fd, _)| fd).map_err(|errno| Refusal::of(errno).ending(*address, errno, Service::Time))
    };
    (0..threads).flat_map(|_| &addresses).map(shared).collect()
}

/// Binds each available address.
fn bind_each(
    addresses: &[SocketAddr],
    service: Service,
    bind: impl Fn(SocketAddr) -> Result<(OwnedFd, bool), Errno>,
) -> Result<Vec<(SocketAddr, OwnedFd)>, Ending> {
    let mut bound = Vec::new();
    let mut mistakes = Vec::new();
    let mut tries = TRIES;
    for address in addresses.iter().copied() {
        let mut outcome = bind(address);
        while tries > 1 && matches!(outcome, Err(Errno::EADDRINUSE)) {
            tries -= 1;
            let _ = ppoll(&mut [], Some(PAUSE), None);
            outcome = bind(address);
        }
        match outcome {
            Ok((fd, is_here)) => {
                if !is_here {
                    say(4, &refusal::late(address, service));
                }
                bound.push((address, fd));
            }
            Err(errno) => match Refusal::of(errno) {
                Refusal::Absent => say(4, &Refusal::Absent.message(address, errno, service)),
                Refusal::Mistake => mistakes.push(Refusal::Mistake.message(address, errno, service)),
                Refusal::Passing => return Err(Refusal::Passing.ending(address, errno, service)),
            },
        }
    }
    // Any user may take a port above 1023, such as that of the key exchange: time is still disciplined and served.
    if bound.is_empty() && !mistakes.is_empty() && service == Service::Time {
        return Err(Ending::Bind(mistakes.join("; ")));
    }
    for mistake in mistakes {
        say(3, &format_args!("{mistake}; until then without this address"));
    }
    Ok(bound)
}

/// A UDP socket, and whether this host has its address now.
fn datagrams(address: SocketAddr, shared: bool, dscp: u8) -> Result<(OwnedFd, bool), Errno> {
    let fd = open(address, SockType::Datagram, shared)?;
    if setsockopt(&fd, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        // Without CAP_NET_ADMIN as much as net.core.rmem_max allows.
        let _ = setsockopt(&fd, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
    let class = i32::from(dscp & 0x3f) << 2;
    if class != 0 {
        if address.is_ipv6() {
            setsockopt(&fd, sockopt::Ipv6TClass, &class)?;
        } else {
            setsockopt(&fd, sockopt::Ipv4Tos, &class)?;
        }
    }
    let is_here = bind_sooner_or_later(&fd, address)?;
    Ok((fd, is_here))
}

/// A TCP socket that listens, and whether this host has its address now.
fn stream(address: SocketAddr) -> Result<(OwnedFd, bool), Errno> {
    let fd = open(address, SockType::Stream, false)?;
    // After a restart connections of the last run may still be in their last two minutes.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    let is_here = bind_sooner_or_later(&fd, address)?;
    listen(&fd, Backlog::new(BACKLOG)?)?;
    Ok((fd, is_here))
}

fn bind_sooner_or_later(fd: &OwnedFd, address: SocketAddr) -> Result<bool, Errno> {
    let bind = || bind_socket(fd.as_raw_fd(), &SockaddrStorage::from(address));
    match bind() {
        Err(Errno::EADDRNOTAVAIL) => {
            // Counts for IPv6 as well.
            setsockopt(fd, sockopt::IpFreebind, &true)?;
            let bound = bind();
            // The socket stays bound. With the option the kernel would accept any source address given for a reply.
            setsockopt(fd, sockopt::IpFreebind, &false)?;
            bound.map(|()| false)
        }
        done => done.map(|()| true),
    }
}

fn open(address: SocketAddr, kind: SockType, shared: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if address.is_ipv6() {
        // "[::]" and "0.0.0.0" side by side are two sockets.
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    if shared {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;

    #[test]
    fn an_entry_with_an_interface_is_bound_to_all_addresses_of_its_family_and_port_and_no_other_is() {
        let entries =
            ["0.0.0.0%eth0:123", "192.0.2.1:123", "192.0.2.1:124", "[2001:db8::1]:123", "[fe80::1%2]:125"];
        let found = bound(&entries.map(|text| ServedAt::parse(text).unwrap()));
        let expected = ["0.0.0.0:123", "192.0.2.1:124", "[2001:db8::1]:123", "[::]:125"];
        assert_eq!(found, expected.map(|text| text.parse().unwrap()));
    }

    #[test]
    fn a_socket_of_an_address_that_comes_late_can_take_no_other_source_address() {
        let fd = open("192.0.2.77:0".parse().unwrap(), SockType::Datagram, false).unwrap();
        assert_eq!(bind_sooner_or_later(&fd, "192.0.2.77:0".parse().unwrap()), Ok(false));
        assert!(!getsockopt(&fd, sockopt::IpFreebind).unwrap());
    }
}
