//! One bound socket: a request comes in with the address that was asked, and the reply leaves from there.

use crate::datagram::{Arrival, Target, receive_from};
use crate::ending::Ending;
use crate::socket_options::prepare_listener;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, getsockname, sendmsg};
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A bound UDP socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    port: u16,
    /// Bound to one address: replies can only leave from there.
    is_single: bool,
}

/// Takes bound UDP sockets over. Before the filter: it sets socket options.
///
/// # Errors
/// [`Ending::Kernel`] where a descriptor is no bound UDP socket.
pub fn listen(sockets: Vec<OwnedFd>) -> Result<Vec<Listener>, Ending> {
    sockets.into_iter().map(Listener::new).collect()
}

impl Listener {
    fn new(socket: OwnedFd) -> Result<Self, Ending> {
        let refused = |errno| Ending::Kernel("a server socket", errno);
        let bound: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(refused)?;
        let (port, is_single, is_ipv6) = match (bound.as_sockaddr_in(), bound.as_sockaddr_in6()) {
            (Some(v4), _) => (v4.port(), !v4.ip().is_unspecified(), false),
            (None, Some(v6)) => (v6.port(), !v6.ip().is_unspecified(), true),
            (None, None) => return Err(refused(Errno::EAFNOSUPPORT)),
        };
        prepare_listener(&socket, is_ipv6).map_err(refused)?;
        Ok(Self { socket, port, is_single })
    }

    /// The port that it is bound to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// One datagram, and its sender where that has an IP address; never waits.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<(Arrival, Option<SocketAddr>), Errno> {
        receive_from(&self.socket, buffer)
    }

    /// Sends a reply from the address that was asked; never waits.
    pub(super) fn send(&self, reply: &[u8], to: SocketAddr, asked: Option<Target>) -> Result<(), Errno> {
        let slices = [IoSlice::new(reply)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let fd = self.socket.as_raw_fd();
        let to = SockaddrStorage::from(to);
        let sent = match asked.filter(|_| !self.is_single) {
            None => sendmsg(fd, &slices, &[], flags, Some(&to)),
            Some(Target { local: IpAddr::V4(local), .. }) => {
                let from = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(local.octets()) },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                sendmsg(fd, &slices, &[ControlMessage::Ipv4PacketInfo(&from)], flags, Some(&to))
            }
            Some(Target { local: IpAddr::V6(local), interface, .. }) => {
                // Elsewhere the routing table knows better which interface leads back.
                let needs_interface = local.is_unicast_link_local();
                let from = in6_pktinfo {
                    ipi6_addr: in6_addr { s6_addr: local.octets() },
                    ipi6_ifindex: if needs_interface { interface } else { 0 },
                };
                sendmsg(fd, &slices, &[ControlMessage::Ipv6PacketInfo(&from)], flags, Some(&to))
            }
        };
        match sent {
            Ok(length) if length == reply.len() => Ok(()),
            Ok(_) => Err(Errno::EMSGSIZE),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
