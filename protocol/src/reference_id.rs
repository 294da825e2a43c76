//! How a synchronised host names its source (RFC 5905 section 7.3, "Reference ID").

use core::net::IpAddr;
use md5::{Digest, Md5};

/// "My own clock": what is served at a configured stratum without any source (127.127.1.1).
pub const LOCAL: u32 = 0x7f7f_0101;

/// The reference id of a host that follows the source at `address`: the IPv4 address, or the first four
/// octets of the MD5 hash of the IPv6 address. It is a name, not a secret; collisions happen.
pub fn of_address(address: IpAddr) -> u32 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u32::from(v4),
        IpAddr::V6(v6) => {
            let hash = Md5::digest(v6.octets());
            u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a036_known_addresses_have_their_known_ids() {
        for (address, id) in [
            ("2001:db8::1", 0x39ab_9b37),
            ("::1", 0xcf40_4dc8),
            ("fe80::1", 0x89e5_301f),
            ("2a01:3f7:2:44::9", 0x199b_2238),
            ("192.0.2.1", 0xc000_0201),
            ("::ffff:192.0.2.1", 0xc000_0201),
        ] {
            assert_eq!(of_address(address.parse().unwrap()), id, "{address}");
        }
    }
}
