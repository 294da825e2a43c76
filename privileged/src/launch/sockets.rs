//! The server role's sockets, bound here so that the role itself needs no right to. Each of its threads has a
//! socket of its own for each address; the kernel deals the senders out to them.

use crate::ending::Ending;
use ipc::address::Address;
use ipc::message::privileged::MAX_THREADS;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind as bind_socket, setsockopt, socket, sockopt,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// Receive buffer in octets (the kernel doubles it): beside a flood at half the line's load, the kernel's
/// default loses honest requests.
const RECEIVE_BUFFER: usize = 2 << 20;

/// Threads where the plan leaves their number open: at most.
const MOST_BY_DEFAULT: usize = 4;

/// Binds UDP sockets: for the first thread one to each address, then the same for the next thread.
///
/// # Errors
/// The address with the reason: in use, not of this host, not allowed.
pub fn bind(addresses: &[Address], threads: u8, dscp: u8) -> Result<Vec<OwnedFd>, Ending> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_BY_DEFAULT)),
        asked => usize::from(asked.min(MAX_THREADS)),
    };
    if threads > 1 {
        // Sockets that share an address would share it with another server of ours too: one without the
        // option shows that nobody else is there.
        addresses.iter().try_for_each(|address| bind_one(address, false, 0).map(drop))?;
    }
    let each = (0..threads).flat_map(|_| addresses);
    each.map(|address| bind_one(address, threads > 1, dscp)).collect()
}

fn bind_one(address: &Address, shared: bool, dscp: u8) -> Result<OwnedFd, Ending> {
    let address = address.socket_address();
    let bound = || -> Result<OwnedFd, Errno> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
        if address.is_ipv6() {
            // "[::]" and "0.0.0.0" side by side are two sockets.
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        }
        if shared {
            setsockopt(&fd, sockopt::ReusePort, &true)?;
        }
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
    bound().map_err(|errno| {
        Ending::Bind(format!(
            "{address}: {}; {}",
            errno.desc(),
            match errno {
                Errno::EADDRINUSE => "another time server uses it (ss -ulpn shows which)",
                Errno::EACCES => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
                Errno::EADDRNOTAVAIL => "no interface of this host has it",
                _ => "see `listen` in the configuration",
            }
        ))
    })
}
