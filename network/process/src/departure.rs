//! A socket from which packets to a source leave.

use ipc::departure::Departure;
use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

/// What of a departure this host lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// There is no such interface.
    Interface,
    /// No interface has the address, or not yet.
    Address,
    /// Something else, as the kernel says.
    Other(Errno),
}

impl From<Errno> for Lack {
    fn from(errno: Errno) -> Self {
        Self::Other(errno)
    }
}

/// For a socket before it is connected to `destination`: it takes the interface, the code point and the address of a departure.
/// No right is needed for that.
///
/// # Errors
/// [`Lack`]. A code point that the kernel does not set is none: the packet leaves without it.
pub fn prepare(
    socket: &(impl AsFd + AsRawFd),
    destination: SocketAddr,
    departure: &Departure,
) -> Result<(), Lack> {
    if let Some(interface) = departure.interface {
        let set = setsockopt(socket, sockopt::BindToDevice, &OsString::from(interface.as_str()));
        set.map_err(|errno| if errno == Errno::ENODEV { Lack::Interface } else { Lack::Other(errno) })?;
    }
    let class = departure.traffic_class();
    if class != 0 {
        let _ = match destination.is_ipv4() {
            true => setsockopt(socket, sockopt::Ipv4Tos, &class),
            false => setsockopt(socket, sockopt::Ipv6TClass, &class),
        };
    }
    match departure.from(destination) {
        Some(from) => bind(socket.as_raw_fd(), &SockaddrStorage::from(from))
            .map_err(|errno| if errno == Errno::EADDRNOTAVAIL { Lack::Address } else { Lack::Other(errno) }),
        None => Ok(()),
    }
}
