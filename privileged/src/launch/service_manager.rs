//! The connection to the service manager, as its environment variables describe it (sd_notify(3), sd_watchdog_enabled(3)).

use keeper::notify::Notify;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Connects to the socket named in NOTIFY_SOCKET; `None` if that fails or there is none.
pub fn connect() -> Notify {
    let connect = || {
        let name = std::env::var_os("NOTIFY_SOCKET")?;
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name).ok()?,
            None => SocketAddr::from_pathname(&name).ok()?,
        };
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect_addr(&address).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(socket.into())
    };
    Notify::to(connect())
}

/// The watchdog interval of the service manager in milliseconds, if it watches this process.
pub fn watchdog() -> Option<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = std::env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|interval| is_ours && *interval > 0).map(|interval| interval / 1_000)
}
