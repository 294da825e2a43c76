//! The service manager: ready, alive, stopping. One connected datagram socket, opened before the lock-down
//! and only written to.

use nix::unistd::write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;

/// The longest reason of an end, in characters.
const LONGEST: usize = 400;

/// The connection, where a service manager asked for one.
#[derive(Clone, Debug)]
pub struct Notify(Option<Arc<UnixDatagram>>);

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
        Self(connect().map(Arc::new))
    }

    /// Nobody to tell.
    pub fn none() -> Self {
        Self(None)
    }

    /// Over a socket that is connected already.
    #[cfg(test)]
    pub fn to(socket: UnixDatagram) -> Self {
        Self(Some(Arc::new(socket)))
    }

    /// How often the service manager wants a sign of life, in milliseconds, where it watches this process.
    pub fn watchdog() -> Option<u64> {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = std::env::var_os("WATCHDOG_PID").is_none()
            || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
        number("WATCHDOG_USEC").filter(|interval| is_ours && *interval > 0).map(|interval| interval / 1_000)
    }

    /// Says why this program ends, in one line that `systemctl status` has room for.
    pub fn say_end(&self, why: &str) {
        let line = why.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        let mut line: String = line.take(LONGEST + 1).collect();
        if let Some((end, _)) = line.char_indices().nth(LONGEST) {
            line.replace_range(end.., "…");
        }
        self.say(&format!("STATUS={line}"));
    }

    /// Says it; nobody waits for the service manager.
    pub fn say(&self, state: &str) {
        if let Some(socket) = &self.0 {
            let _ = write(&**socket, state.as_bytes());
        }
    }
}
