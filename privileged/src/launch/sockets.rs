//! The sockets of the server role and of the key exchange service, bound here so that they need no right to.
//! Each thread of the server role has a socket of its own for each address; the kernel deals the senders out.

use crate::ending::Ending;
use ipc::address::Address;
use ipc::message::privileged::{LaunchPlan, MAX_KEY_THREADS, MAX_THREADS};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind as bind_socket, listen, setsockopt,
    socket, sockopt,
};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

/// Receive buffer in octets (the kernel doubles it): beside a flood at half the line's load, the kernel's
/// default loses honest requests.
const RECEIVE_BUFFER: usize = 2 << 20;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Threads where the plan leaves their number open: at most.
const MOST_BY_DEFAULT: usize = 4;

/// Bound sockets.
#[derive(Debug)]
pub struct Sockets {
    /// UDP, for the server role: for the first thread one to each address, then the same for the next thread.
    pub server: Vec<OwnedFd>,
    /// TCP, listening, for the key exchange service: one to each address, shared by its threads.
    pub key_service: Vec<OwnedFd>,
    /// Threads of the key exchange service; 0: there is none.
    pub key_threads: usize,
}

impl Sockets {
    /// Binds what the plan asks for.
    ///
    /// # Errors
    /// The address with the reason: in use, not of this host, not allowed. A plan of more addresses than it
    /// has room for is the engine's fault.
    pub fn bind(plan: &LaunchPlan) -> Result<Self, Ending> {
        let addresses = counted(&plan.listen, plan.listen_count)?;
        let server = for_each_thread(addresses, count(plan.threads, MAX_THREADS), |address, shared| {
            bind_datagrams(address, shared, plan.dscp)
        })?;
        let Some(service) = &plan.key_service else {
            return Ok(Self { server, key_service: Vec::new(), key_threads: 0 });
        };
        let key_threads = count(service.threads, MAX_KEY_THREADS);
        let addresses = counted(&service.listen, service.listen_count)?;
        let key_service = addresses.iter().map(bind_stream).collect::<Result<_, _>>()?;
        Ok(Self { server, key_service, key_threads })
    }
}

fn counted(addresses: &[Address], count: u8) -> Result<&[Address], Ending> {
    let most = addresses.len();
    addresses
        .get(..usize::from(count))
        .ok_or_else(|| Ending::Engine(format!("its plan binds more than {most} addresses")))
}

fn count(asked: u8, most: u8) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_BY_DEFAULT)),
        asked => usize::from(asked.min(most)),
    }
}

fn for_each_thread(
    addresses: &[Address],
    threads: usize,
    bind: impl Fn(&Address, bool) -> Result<OwnedFd, Ending>,
) -> Result<Vec<OwnedFd>, Ending> {
    if threads > 1 {
        // Sockets that share an address would share it with another server of ours too: one without the
        // option shows that nobody else is there.
        addresses.iter().try_for_each(|address| bind(address, false).map(drop))?;
    }
    (0..threads).flat_map(|_| addresses).map(|address| bind(address, threads > 1)).collect()
}

fn bind_datagrams(address: &Address, shared: bool, dscp: u8) -> Result<OwnedFd, Ending> {
    let address = address.socket_address();
    let bound = || -> Result<OwnedFd, Errno> {
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
        bind_socket(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        Ok(fd)
    };
    bound().map_err(|errno| refused(address, errno, "time server uses it (ss -ulpn shows which)"))
}

fn bind_stream(address: &Address) -> Result<OwnedFd, Ending> {
    let address = address.socket_address();
    let bound = || -> Result<OwnedFd, Errno> {
        let fd = open(address, SockType::Stream, false)?;
        // After a restart connections of the last run may still be in their last two minutes.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        bind_socket(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
        listen(&fd, Backlog::new(BACKLOG)?)?;
        Ok(fd)
    };
    bound().map_err(|errno| refused(address, errno, "key exchange server uses it (ss -tlpn shows which)"))
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

fn refused(address: SocketAddr, errno: Errno, other: &str) -> Ending {
    let remedy = match errno {
        Errno::EADDRINUSE => format!("another {other}"),
        Errno::EACCES => "ports below 1024 need root or CAP_NET_BIND_SERVICE".into(),
        Errno::EADDRNOTAVAIL => "no interface of this host has it".into(),
        _ => "see `listen` in the configuration".into(),
    };
    Ending::Bind(format!("{address}: {}; {remedy}", errno.desc()))
}
