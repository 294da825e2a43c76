//! The meaning of a failed bind, and the message for the administrator.

use ipc::served_at::{ServedAt, Service};
use keeper::ending::Ending;
use nix::errno::Errno;
use std::net::SocketAddr;

/// What a socket is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub address: SocketAddr,
    /// As an administrator knows it.
    pub name: String,
}

impl Place {
    /// For these entries of `listen`.
    pub fn of(address: SocketAddr, entries: &[&ServedAt]) -> Self {
        let names: Vec<String> = entries.iter().map(|entry| entry.to_string()).collect();
        let (names, own) = (names.join(", "), address.to_string());
        Self { address, name: if names == own { own } else { format!("{names} (bound to {own})") } }
    }
}

/// Why an address cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This host has no such family: all other addresses are served.
    Absent,
    /// The administrator must change something.
    Mistake,
    /// The kernel has no room now.
    Passing,
}

impl Refusal {
    pub fn of(errno: Errno) -> Self {
        match errno {
            Errno::EAFNOSUPPORT | Errno::EPFNOSUPPORT => Self::Absent,
            Errno::ENOBUFS | Errno::ENOMEM | Errno::ENFILE | Errno::EMFILE | Errno::EAGAIN => Self::Passing,
            _ => Self::Mistake,
        }
    }

    /// The ending, if the daemon cannot continue.
    pub fn ending(self, place: &Place, errno: Errno, service: Service) -> Ending {
        let message = self.message(place, errno, service);
        match self {
            Self::Passing => Ending::Trouble(message),
            Self::Absent | Self::Mistake => Ending::Bind(message),
        }
    }

    /// The address, the error, and the remedy.
    pub fn message(self, place: &Place, errno: Errno, service: Service) -> String {
        let remedy = match (self, errno, service) {
            (Self::Absent, ..) => {
                "this kernel or unit has no IPv6 (ipv6.disable=1, RestrictAddressFamilies=); without this address"
            }
            (Self::Passing, ..) => "the kernel has no room for a socket; tried again at the next start",
            (_, Errno::EADDRINUSE, Service::Time) => {
                "another time server uses it (ss -ulpn shows which): stop it (as: systemctl disable --now chrony \
                 ntpsec openntpd) and restart truechimer"
            }
            (_, Errno::EADDRINUSE, Service::Keys) => {
                "another key exchange server uses it (ss -tlpn shows which): stop it and restart truechimer"
            }
            (_, Errno::EACCES, _) => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
            (_, Errno::EPERM, _) => "a rule of the host forbids it (as: SocketBindDeny= of the unit)",
            (_, Errno::EINVAL, _) if is_link_local(place.address) => {
                "a link-local address needs the index of its interface (as: \"[fe80::1%2]:123\")"
            }
            _ => "see `listen` in the configuration",
        };
        format!("{}: {}; {remedy}", place.name, errno.desc())
    }
}

/// For an address that no interface has now.
pub fn late(name: &str, service: Service) -> String {
    let is_done = service.is_done();
    format!("{name}: no interface of this host has this address now; {is_done} there as soon as one has")
}

fn is_link_local(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Place {
        Place::of(address.parse().unwrap(), &[&ServedAt::parse(address).unwrap()])
    }

    #[test]
    fn each_refusal_is_of_its_kind_and_has_its_remedy() {
        let place = place("[2001:db8::1]:123");
        for (errno, kind, code, word) in [
            (Errno::EADDRINUSE, Refusal::Mistake, 85, "systemctl disable --now chrony"),
            (Errno::EACCES, Refusal::Mistake, 85, "CAP_NET_BIND_SERVICE"),
            (Errno::EPERM, Refusal::Mistake, 85, "SocketBindDeny="),
            (Errno::EINVAL, Refusal::Mistake, 85, "see `listen`"),
            (Errno::EAFNOSUPPORT, Refusal::Absent, 85, "ipv6.disable=1"),
            (Errno::ENOBUFS, Refusal::Passing, 75, "next start"),
            (Errno::ENOMEM, Refusal::Passing, 75, "next start"),
        ] {
            let refusal = Refusal::of(errno);
            let message = refusal.message(&place, errno, Service::Time);
            assert!(message.starts_with("[2001:db8::1]:123: ") && message.contains(word), "{message}");
            assert_eq!((refusal, refusal.ending(&place, errno, Service::Time).code()), (kind, code));
        }
    }

    #[test]
    fn a_link_local_address_without_an_interface_is_explained() {
        let message = Refusal::Mistake.message(&place("[fe80::1]:123"), Errno::EINVAL, Service::Time);
        assert!(message.contains("%2"), "{message}");
    }

    #[test]
    fn a_socket_of_all_addresses_goes_by_the_entries_that_it_is_for() {
        let entries = ["0.0.0.0%eth0:123", "192.0.2.1:123"].map(|text| ServedAt::parse(text).unwrap());
        let place = Place::of("0.0.0.0:123".parse().unwrap(), &entries.each_ref());
        let message = Refusal::Mistake.message(&place, Errno::EADDRINUSE, Service::Time);
        assert!(
            message.starts_with("0.0.0.0%eth0:123, 192.0.2.1:123 (bound to 0.0.0.0:123): Address already"),
            "{message}"
        );
    }
}
