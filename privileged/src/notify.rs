//! The service manager: ready, alive, stopping. One connected datagram socket, opened before the lock-down
//! and only written to.

use nix::unistd::write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The connection, where a service manager asked for one.
#[derive(Debug)]
pub struct Notify(Option<UnixDatagram>);

impl Notify {
    /// Connects to what NOTIFY_SOCKET names; a failure is as if it named nothing.
    pub fn from_environment() -> Self {
        let connect = || {
            let name = std::env::var_os("NOTIFY_SOCKET")?;
            let address = match name.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name).ok()?,
                None => SocketAddr::from_pathname(&name).ok()?,
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.connect_addr(&address).ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        };
        Self(connect())
    }

    /// Says it; nobody waits for the service manager.
    pub fn say(&self, state: &str) {
        if let Some(socket) = &self.0 {
            let _ = write(socket, state.as_bytes());
        }
    }
}
