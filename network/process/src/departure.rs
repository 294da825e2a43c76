//! A socket from which packets to a source leave.

use ipc::departure::Departure;
use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, bind, setsockopt, sockopt};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

/// For a socket before it is connected to `destination`: it takes the interface, the code point and the address of a departure.
/// No right is needed for that.
///
/// # Errors
/// The kernel's: there is no such interface (`ENODEV`), no interface has the address (`EADDRNOTAVAIL`). A code point that it does not
/// set is none: the packet leaves without it.
pub fn prepare(
    socket: &(impl AsFd + AsRawFd),
    destination: SocketAddr,
    departure: &Departure,
) -> Result<(), Errno> {
    if let Some(interface) = departure.interface {
        setsockopt(socket, sockopt::BindToDevice, &OsString::from(interface.as_str()))?;
    }
    let class = departure.traffic_class();
    if class != 0 {
        let _ = match destination.is_ipv4() {
            true => setsockopt(socket, sockopt::Ipv4Tos, &class),
            false => setsockopt(socket, sockopt::Ipv6TClass, &class),
        };
    }
    match departure.from(destination) {
        Some(from) => bind(socket.as_raw_fd(), &SockaddrStorage::from(from)),
        None => Ok(()),
    }
}
