//! The number of a network interface, asked over a socket of its own.

use network::interface;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The number of the interface that has this name now.
pub(super) fn number(name: &str) -> Option<u32> {
    let asked = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).ok()?;
    interface::number(&asked, name)
}
