//! The server role's sockets, bound here so that the role itself needs no right to.

use crate::ending::Ending;
use ipc::address::Address;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind as bind_socket, setsockopt, socket, sockopt,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// Binds a UDP socket to each address.
///
/// # Errors
/// The address with the reason: in use, not of this host, not allowed.
pub fn bind(addresses: &[Address]) -> Result<Vec<OwnedFd>, Ending> {
    addresses.iter().map(bind_one).collect()
}

fn bind_one(address: &Address) -> Result<OwnedFd, Ending> {
    let address = address.socket_address();
    let bound = || -> Result<OwnedFd, Errno> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
        if address.is_ipv6() {
            // "[::]" and "0.0.0.0" side by side are two sockets.
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
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
