//! Where a packet goes or came from.

use crate::codec::{Decode, Encode};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An IPv4 or IPv6 address with a port. IPv4 never stands as a mapped IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Address {
    ip: Ip,
    port: u16,
}

/// The address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Ip {
    /// Four octets in network order.
    V4([u8; 4]),
    /// Sixteen octets in network order, and the scope (interface index) of a link-local address, else 0.
    V6([u8; 16], u32),
}

impl Address {
    /// Filler of unused places in a list.
    pub const NONE: Self = Self { ip: Ip::V4([0; 4]), port: 0 };

    /// The UDP or TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Without the port; IPv4-mapped IPv6 comes out as IPv4.
    pub fn ip(&self) -> IpAddr {
        match self.ip {
            Ip::V4(octets) => IpAddr::V4(Ipv4Addr::from(octets)),
            Ip::V6(octets, _) => IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(),
        }
    }

    /// The index of its interface, for an address of one link; else 0.
    pub const fn scope(&self) -> u32 {
        match self.ip {
            Ip::V4(_) => 0,
            Ip::V6(_, scope) => scope,
        }
    }

    /// For the socket calls; the scope is kept.
    pub fn socket_address(&self) -> SocketAddr {
        match self.ip {
            Ip::V4(octets) => SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), self.port),
            Ip::V6(octets, scope) => {
                SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(octets), self.port, 0, scope))
            }
        }
    }

    /// Whether a time source may be queried there: a unicast address and a port other than 0. Multicast,
    /// broadcast and unspecified addresses are refused; loopback is allowed (the configuration decides).
    pub fn is_unicast(&self) -> bool {
        let ip = self.ip();
        let broadcast =
            matches!(ip, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0 || v4.octets()[0] >= 240);
        self.port != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip().to_canonical() {
            IpAddr::V4(v4) => Ip::V4(v4.octets()),
            IpAddr::V6(v6) => Ip::V6(
                v6.octets(),
                match address {
                    SocketAddr::V6(v6) => v6.scope_id(),
                    SocketAddr::V4(_) => 0,
                },
            ),
        };
        Self { ip, port: address.port() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<SocketAddr>().unwrap().into()
    }

    #[test]
    fn mapped_addresses_become_ipv4() {
        assert_eq!(address("[::ffff:192.0.2.1]:123"), address("192.0.2.1:123"));
    }

    #[test]
    fn only_unicast_with_a_port_can_be_queried() {
        for good in ["192.0.2.1:123", "127.0.0.1:11123", "[2001:db8::1]:123", "[::1]:123"] {
            assert!(address(good).is_unicast(), "{good}");
        }
        for bad in [
            "0.0.0.0:123",
            "0.1.2.3:123",
            "224.0.1.1:123",
            "255.255.255.255:123",
            "240.0.0.1:123",
            "[::]:123",
            "[ff02::101]:123",
            "192.0.2.1:0",
            "[::ffff:224.0.1.1]:123",
        ] {
            assert!(!address(bad).is_unicast(), "{bad}");
        }
    }
}
