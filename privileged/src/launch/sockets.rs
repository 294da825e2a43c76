//! The sockets of the server and of the key exchange service, and the routing sockets of client and server, bound here so
//! that they need no privilege to do so. Each thread of the server has its own socket for each address (SO_REUSEPORT); the
//! kernel distributes the senders.
//!
//! An address that this host does not have yet, or not any more, keeps its socket: the kernel delivers to it as soon as
//! an interface has the address (IP_FREEBIND), and nothing has to be bound under the filter. A socket cannot be bound to an
//! interface that is yet to come: where an entry of `listen` names one, its socket is bound to all addresses of the family, and
//! the process that has it answers what arrived where it should.

pub mod refclock;
mod refusal;

use ipc::departure::Departure;
use ipc::message::launch::{LaunchPlan, MAX_KEY_THREADS, MAX_THREADS};
use ipc::served_at::{Missing, ServedAt, Service};
use keeper::ending::{Ending, say};
use nix::errno::Errno;
use nix::net::if_::{if_indextoname, if_nametoindex};
use nix::poll::ppoll;
use nix::sys::socket::{
    AddressFamily, Backlog, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage,
    bind as bind_socket, listen, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use refusal::{Place, Refusal};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

/// Receive buffer in octets (the kernel doubles it): beside a flood at half the line's load, the kernel's
/// default loses honest requests.
const RECEIVE_BUFFER: usize = 2 << 20;

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
    /// The routing socket of the server, if entries of `listen` name interfaces. The key exchange service, which has no network
    /// but these sockets, looks by itself: on a routing socket it could ask for all of the host's network.
    pub interfaces: Option<OwnedFd>,
    /// TCP, listening, for the key exchange service: one to each address, shared by its threads.
    pub key_service: Vec<OwnedFd>,
    /// Threads of the key exchange service; 0: there is none.
    pub key_threads: usize,
    /// The routing socket of the client.
    pub network: Option<OwnedFd>,
    /// One for each reference clock.
    pub refclocks: Vec<OwnedFd>,
}

impl Sockets {
    /// Binds the planned addresses, as far as possible; logs a line for each address that is not available.
    ///
    /// # Errors
    /// If no address can be served and an administrator must act: the addresses with the reasons. If the kernel is out
    /// of resources.
    pub fn bind(plan: &LaunchPlan) -> Result<Self, Ending> {
        let server = bind_datagrams(&bound(&plan.listen), count(plan.threads, MAX_THREADS), plan.dscp)?;
        warn(&plan.listen, Service::Time);
        let names_interface = plan.listen.iter().any(|entry| entry.interface.is_some());
        let interfaces = names_interface.then(|| routing(libc::RTMGRP_LINK)).and_then(Result::ok);
        let network = network();
        let refclocks = refclock::open(plan)?;
        let Some(service) = &plan.key_service else {
            return Ok(Self {
                server,
                interfaces,
                key_service: Vec::new(),
                key_threads: 0,
                network,
                refclocks,
            });
        };
        let key_threads = count(service.threads, MAX_KEY_THREADS);
        let places = bound(&service.listen);
        let listener = |address| stream(address, ServedAt::any_names_interface(&*service.listen, address));
        let key_service = bind_each(&places, Service::Keys, listener)?;
        let key_service = key_service.into_iter().map(|(_, fd)| fd).collect();
        warn(&service.listen, Service::Keys);
        Ok(Self { server, interfaces, key_service, key_threads, network, refclocks })
    }
}

/// Warns of what this host does not have now, but for interfaces that are named, of which the process tells that answers
/// there.
fn warn(entries: &[ServedAt], service: Service) {
    let others = entries.iter().filter(|entry| entry.interface.is_none());
    others.for_each(|entry| warn_of_interface(entry, service));
    warn_of_addresses(entries, service);
}

/// What sockets are bound to.
fn bound(entries: &[ServedAt]) -> Vec<Place> {
    let mut found: Vec<(SocketAddr, Vec<&ServedAt>)> = Vec::new();
    for entry in entries {
        let address = bound_to(entry, entries);
        match found.iter_mut().find(|(other, _)| *other == address) {
            Some((_, others)) => others.push(entry),
            None => found.push((address, vec![entry])),
        }
    }
    found.into_iter().map(|(address, entries)| Place::of(address, &entries)).collect()
}

/// The address of the socket that serves an entry: all of a family where an entry with this family and port names an interface.
fn bound_to(entry: &ServedAt, entries: &[ServedAt]) -> SocketAddr {
    let address = entry.address.socket_address();
    if !ServedAt::any_names_interface(entries, address) {
        return address;
    }
    let any = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(any, address.port())
}

/// Warns of addresses of which this host has none now, where the bind of a socket to all addresses does not show it.
fn warn_of_addresses(entries: &[ServedAt], service: Service) {
    for entry in entries {
        if bound_to(entry, entries) != entry.address.socket_address() && is_absent(entry) {
            say(4, &refusal::late(&entry.to_string(), service));
        }
    }
}

/// Whether no interface has the address of this entry now. Where the interface that it names is missing, that is told.
fn is_absent(entry: &ServedAt) -> bool {
    let mut address = entry.address.socket_address();
    address.set_port(0);
    if let (Some(name), SocketAddr::V6(v6)) = (&entry.interface, &mut address)
        && v6.ip().is_unicast_link_local()
    {
        v6.set_scope_id(if_nametoindex(name.as_str()).unwrap_or(0));
    }
    let bind = |fd: OwnedFd| bind_socket(fd.as_raw_fd(), &SockaddrStorage::from(address));
    open(address, SockType::Datagram, false).and_then(bind) == Err(Errno::EADDRNOTAVAIL)
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
    let keys = plan.key_service.iter().flat_map(|service| service.listen.iter());
    plan.listen.iter().for_each(|entry| warn_of_interface(entry, Service::Time));
    keys.for_each(|entry| warn_of_interface(entry, Service::Keys));
}

/// Warns, for `--check`, of what a source is to be asked over or from and is not there now. It may come later.
pub fn warn_of_departure(departure: &Departure) {
    if let Some(name) = &departure.interface
        && if_nametoindex(name.as_str()).is_err()
    {
        let name = name.as_str();
        let text = "there is no such interface now (ip link shows which there are); until it is there the source is not asked";
        say(4, &format_args!("send-over: {name}: {text}"));
    }
    for address in departure.from.iter().flatten() {
        let ip = address.ip();
        let bound = UdpSocket::bind((ip, 0)).map(drop);
        if bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable) {
            let text = "no interface has this address now (ip address shows which there are); until one has it the source is not asked";
            say(4, &format_args!("send-from: {ip}: {text}"));
        }
    }
}

fn warn_of_interface(entry: &ServedAt, service: Service) {
    let missing = match (&entry.interface, entry.scope()) {
        (Some(name), _) if if_nametoindex(name.as_str()).is_err() => {
            Missing(name.as_str(), service).to_string()
        }
        (None, index) if index != 0 && !has_interface(index) => {
            Missing(&format!("with the index {index}"), service).to_string()
        }
        _ => return,
    };
    let key = match service {
        Service::Time => "listen",
        Service::Keys => "[server.nts] listen",
    };
    say(4, &format_args!("{key}: {entry}: {missing}"));
}

/// nix takes the null pointer of a failed call for a success.
fn has_interface(index: u32) -> bool {
    if_indextoname(index).is_ok_and(|name| !name.is_empty())
}

fn count(asked: u8, most: u8) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_BY_DEFAULT)),
        asked => usize::from(asked.min(most)),
    }
}

fn bind_datagrams(places: &[Place], threads: usize, dscp: u8) -> Result<Vec<OwnedFd>, Ending> {
    // SO_REUSEPORT sockets would also share an address with another instance: binding one without the option first
    // shows that the address is free.
    let bound = bind_each(places, Service::Time, |address| datagrams(address, false, dscp))?;
    if threads <= 1 {
        return Ok(bound.into_iter().map(|(_, fd)| fd).collect());
    }
    let places: Vec<&Place> = bound.into_iter().map(|(place, _)| place).collect();
    let shared = |place: &&Place| {
        let bound = datagrams(place.address, true, dscp);
        bound.map(|(fd, _)| fd).map_err(|errno| Refusal::of(errno).ending(place, errno, Service::Time))
    };
    (0..threads).flat_map(|_| &places).map(shared).collect()
}

/// Binds each available address.
fn bind_each(
    places: &[Place],
    service: Service,
    bind: impl Fn(SocketAddr) -> Result<(OwnedFd, bool), Errno>,
) -> Result<Vec<(&Place, OwnedFd)>, Ending> {
    let mut bound = Vec::new();
    let mut mistakes = Vec::new();
    let mut tries = TRIES;
    for place in places {
        let mut outcome = bind(place.address);
        while tries > 1 && matches!(outcome, Err(Errno::EADDRINUSE)) {
            tries -= 1;
            let _ = ppoll(&mut [], Some(PAUSE), None);
            outcome = bind(place.address);
        }
        match outcome {
            Ok((fd, is_here)) => {
                if !is_here {
                    say(4, &refusal::late(&place.name, service));
                }
                bound.push((place, fd));
            }
            Err(errno) => match Refusal::of(errno) {
                Refusal::Absent => say(4, &Refusal::Absent.message(place, errno, service)),
                Refusal::Mistake => mistakes.push(Refusal::Mistake.message(place, errno, service)),
                Refusal::Passing => return Err(Refusal::Passing.ending(place, errno, service)),
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

/// A TCP socket that listens, and whether this host has its address now. `is_judged`: it matters over which interface a client
/// came.
fn stream(address: SocketAddr, is_judged: bool) -> Result<(OwnedFd, bool), Errno> {
    let fd = open(address, SockType::Stream, false)?;
    // After a restart connections of the last run may still be in their last two minutes.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    // Each connection has this from its listening socket, from the first one on: then the kernel says over which interface a
    // client came, which costs it memory for each of them.
    match (is_judged, address.is_ipv6()) {
        (false, _) => {}
        (true, false) => setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?,
        (true, true) => setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    let is_here = bind_sooner_or_later(&fd, address)?;
    // As many connections wait to be accepted as net.core.somaxconn permits: the C libraries differ in the most that they name.
    listen(&fd, Backlog::MAXALLOWABLE)?;
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
        let found: Vec<SocketAddr> = found.into_iter().map(|place| place.address).collect();
        let expected = ["0.0.0.0:123", "192.0.2.1:124", "[2001:db8::1]:123", "[::]:125"];
        assert_eq!(found, expected.map(|text| text.parse().unwrap()));
    }

    #[test]
    fn a_socket_of_an_address_that_comes_late_can_take_no_other_source_address() {
        let fd = open("192.0.2.77:0".parse().unwrap(), SockType::Datagram, false).unwrap();
        assert_eq!(bind_sooner_or_later(&fd, "192.0.2.77:0".parse().unwrap()), Ok(false));
        assert!(!getsockopt(&fd, sockopt::IpFreebind).unwrap());
    }

    #[test]
    fn of_an_entry_that_is_served_by_a_socket_of_all_addresses_it_is_known_whether_this_host_has_it() {
        for (entry, absent) in [
            ("192.0.2.77:123", true),
            ("192.0.2.77%none0:123", true),
            ("127.0.0.1%lo:123", false),
            ("0.0.0.0%lo:123", false),
            ("[fe80::77%lo]:123", true),
            ("[fe80::77%none0]:123", false),
        ] {
            assert_eq!(is_absent(&ServedAt::parse(entry).unwrap()), absent, "{entry}");
        }
    }
}
