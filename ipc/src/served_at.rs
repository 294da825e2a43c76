//! Where a server answers: an address, and the interface on which a request has to arrive, if one is given.

use crate::address::Address;
use crate::codec::{Decode, Encode};
use crate::list::{Bounded, Empty};
use crate::units::OutOfRange;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// Longest name of an interface (IFNAMSIZ without its last octet).
pub const MAX_INTERFACE: usize = 15;

bounded! {
    /// The name of a network interface. Having one proves only its form, not that there is such an interface.
    InterfaceName, RawInterface, InterfaceOctets, MAX_INTERFACE, is_lawful, "[a-z][a-z0-9.@_+-]{0,14}"
}

fn is_lawful(octets: &[u8]) -> bool {
    let lawful = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.+@".contains(octet);
    !octets.is_empty() && octets.iter().all(lawful) && !matches!(octets, b"." | b"..")
}

impl InterfaceName {
    /// Checks the form.
    ///
    /// # Errors
    /// [`OutOfRange`] for what cannot be the name of an interface, or has octets that none has in practice.
    pub fn parse(name: &str) -> Result<Self, OutOfRange> {
        Self::from_octets(name.as_bytes())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        // ASCII was checked when it was built.
        core::str::from_utf8(self.octets()).unwrap_or("")
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InterfaceName").field(&self.as_str()).finish()
    }
}

/// An entry of `listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ServedAt {
    /// Unspecified: all addresses of the family. Its scope, if it has one, is the index of the interface.
    pub address: Address,
    /// The name of the interface on which requests have to arrive.
    pub interface: Option<InterfaceName>,
}

impl ServedAt {
    /// Filler of unused places in a list.
    pub const NONE: Self = Self { address: Address::NONE, interface: None };

    /// An address, on whichever interface requests for it arrive.
    pub const fn anywhere(address: Address) -> Self {
        Self { address, interface: None }
    }

    /// The index of the interface, if that is given; else 0.
    pub fn scope(&self) -> u32 {
        self.address.scope()
    }

    /// Whether it has the family and the port of `address`, so that one socket could serve both.
    pub fn is_beside(&self, address: SocketAddr) -> bool {
        let own = self.address.socket_address();
        own.is_ipv4() == address.is_ipv4() && own.port() == address.port()
    }

    /// Whether requests have to arrive on a certain interface.
    pub fn names_interface(&self) -> bool {
        self.interface.is_some() || self.scope() != 0
    }

    /// Whether any of these entries that one socket could serve beside `address` names an interface: then what reaches that
    /// socket has to be judged.
    pub fn any_names_interface<'e>(entries: impl IntoIterator<Item = &'e Self>, address: SocketAddr) -> bool {
        entries.into_iter().any(|entry| entry.is_beside(address) && entry.names_interface())
    }

    /// Reads what `Display` writes.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything else.
    pub fn parse(text: &str) -> Result<Self, OutOfRange> {
        let (inner, port) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:"),
            None => text.rsplit_once(':'),
        }
        .ok_or(OutOfRange)?;
        let port = port.parse().map_err(|_| OutOfRange)?;
        let (ip, zone) = inner.split_once('%').map_or((inner, None), |(ip, zone)| (ip, Some(zone)));
        let mut address = SocketAddr::new(ip.parse().map_err(|_| OutOfRange)?, port);
        let interface = match (zone, &mut address) {
            (None, _) => None,
            (Some(zone), SocketAddr::V6(v6)) if is_index(zone) => {
                v6.set_scope_id(zone.parse().map_err(|_| OutOfRange)?);
                None
            }
            (Some(zone), _) => Some(InterfaceName::parse(zone)?),
        };
        Ok(Self { address: address.into(), interface })
    }
}

/// Whether an interface is given by its index.
pub fn is_index(zone: &str) -> bool {
    !zone.is_empty() && zone.bytes().all(|octet| octet.is_ascii_digit())
}

/// What is done for those who come to an entry of `listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `[server]`: over UDP.
    Time,
    /// `[server.nts]`: over TCP.
    Keys,
}

impl Service {
    /// The beginning of a sentence that says where.
    pub fn is_done(self) -> &'static str {
        match self {
            Self::Time => "time is served",
            Self::Keys => "keys are exchanged",
        }
    }
}

/// What an administrator is told of an interface that an entry of `listen` gives and this host does not have: its name, or
/// `with the index 7`.
#[derive(Clone, Copy, Debug)]
pub struct Missing<'a>(pub &'a str, pub Service);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(interface, service) = self;
        let is_done = service.is_done();
        write!(
            f,
            "there is no interface {interface} now; {is_done} on it as soon as there is one (ip link shows all)"
        )
    }
}

/// As `ss` shows it: `0.0.0.0%eth0:123`, `[fe80::1%eth0]:123`.
impl fmt::Display for ServedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.interface, self.address.socket_address()) {
            (None, address) => address.fmt(f),
            (Some(interface), address) => match address.ip() {
                IpAddr::V4(ip) => write!(f, "{ip}%{}:{}", interface.as_str(), address.port()),
                IpAddr::V6(ip) => write!(f, "[{ip}%{}]:{}", interface.as_str(), address.port()),
            },
        }
    }
}

impl Empty for ServedAt {
    fn empty() -> Self {
        Self::NONE
    }
}

impl<const N: usize> Bounded<ServedAt, N> {
    /// Nowhere.
    pub const NOWHERE: Self = Self::filled(ServedAt::NONE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn what_is_shown_is_read_back() {
        for text in [
            "192.0.2.1:123",
            "[2001:db8::1]:1123",
            "[fe80::1%3]:123",
            "0.0.0.0%eth0:123",
            "[::%br-lan.7]:123",
            "[fe80::1%eth0]:123",
        ] {
            let served = ServedAt::parse(text).unwrap();
            assert_eq!(served.to_string(), text);
            assert_eq!(served.names_interface(), text.contains('%'), "{text}");
        }
        for text in
            ["", "eth0:123", "192.0.2.1", "[::1]", "192.0.2.1%:123", "[::1%a b]:1", "[::1%a/b]:1", "1%..:1"]
        {
            assert_eq!(ServedAt::parse(text), Err(OutOfRange), "{text}");
        }
        assert!(
            InterfaceName::parse("sixteen-octets-x").is_err()
                && InterfaceName::parse("fifteen-octets-").is_ok()
        );
    }
}
