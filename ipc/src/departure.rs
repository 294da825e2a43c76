//! How packets to a source leave this host.

use crate::address::Address;
use crate::codec::{Decode, Encode};
use crate::served_at::InterfaceName;
use core::net::SocketAddr;

/// From which of this host's addresses, over which of its interfaces and with which code point packets to a source leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Departure {
    /// An IPv4 address for packets over IPv4, and an IPv6 address for those over IPv6, each with port 0 as the kernel chooses
    /// the port; none: the kernel chooses the address.
    pub from: [Option<Address>; 2],
    /// Over which alone packets leave and replies arrive; none: as the routing table says.
    pub interface: Option<InterfaceName>,
    /// Differentiated services code point (RFC 2474), 0 to 63.
    pub dscp: u8,
}

impl Departure {
    /// As the kernel has it by itself.
    pub const USUAL: Self = Self { from: [None; 2], interface: None, dscp: 0 };

    /// The address of this host for packets to `destination`; none: the kernel chooses it.
    pub fn from(&self, destination: SocketAddr) -> Option<SocketAddr> {
        let [v4, v6] = self.from;
        let from = if destination.is_ipv4() { v4 } else { v6 };
        from.map(|from| from.socket_address()).filter(|from| from.is_ipv4() == destination.is_ipv4())
    }

    /// The octet of the header that has the code point (RFC 2474 section 3).
    pub fn traffic_class(&self) -> i32 {
        i32::from(self.dscp & 0x3f) << 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_own_address_and_no_other() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (v4, v6) = (address("192.0.2.7:0"), address("[2001:db8::7]:0"));
        let all = Departure { from: [Some(v4.into()), Some(v6.into())], interface: None, dscp: 46 };
        assert_eq!(all.from(address("192.0.2.1:123")), Some(v4));
        assert_eq!(all.from(address("[2001:db8::1]:123")), Some(v6));
        assert_eq!(Departure::USUAL.from(v4), None);
        let wrong = Departure { from: [Some(v6.into()), Some(v4.into())], ..all };
        assert_eq!((wrong.from(v4), wrong.from(v6)), (None, None));
        assert_eq!((all.traffic_class(), Departure { dscp: 255, ..all }.traffic_class()), (0xb8, 0xfc));
    }
}
