//! One listening socket.

use network::interface;
use network::interfaces::Served;
use nix::errno::Errno;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// [`Served`] decides which connections are accepted.
    is_judged: bool,
}

impl Listener {
    pub(super) fn new(fd: OwnedFd, served: &Served) -> Result<Self, Errno> {
        let socket = TcpListener::from(fd);
        let address = socket.local_addr();
        let address = address.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
        Ok(Self { socket, address, is_judged: served.is_judged(address) })
    }

    /// The next connection and the address of its client.
    ///
    /// # Errors
    /// Those of accept(2).
    pub(super) fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.socket.accept()
    }

    /// Whether a connection that was accepted here has come where an entry of `listen` expects it.
    pub(super) fn admits(&self, connection: &TcpStream, served: &Served) -> bool {
        let admitted = || {
            let local = connection.local_addr().ok()?.ip();
            let interface = interface::of_connection(connection, self.address.is_ipv6()).unwrap_or(0);
            served.admits(self.address, local, interface)
        };
        !self.is_judged || admitted().is_some()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
