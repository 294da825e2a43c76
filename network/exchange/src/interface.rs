//! The index of a network interface, asked over a socket of its own.

use network::interface;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The index of the interface that has this name now.
pub(super) fn index(name: &str) -> Option<u32> {
    let asked = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    interface::index(&asked, name)
}
