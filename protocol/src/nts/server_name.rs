//! The NTP server that a key exchange names (RFC 8915 section 4.1.7): an address, or a name to look up. It
//! never replaces the name that the certificate must have.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ipc::message::exchange::MAX_NAME;

/// Longest label of a host name in octets.
const MAX_LABEL: usize = 63;

/// A server's name or address. Having one proves its form: a unicast address, or letters, digits, `-`, `_`
/// and dots in permitted positions. It does not prove that the server exists or is the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerName<'a> {
    /// An address.
    Address(IpAddr),
    /// A fully qualified name, without the final dot.
    Host(&'a str),
}

/// Why octets are not a server's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Neither an address nor a host name.
    Form,
    /// An address that no server can have: unspecified, multicast, broadcast, link-local IPv6,
    /// IPv4 inside IPv6.
    Address,
    /// This host, named by another one.
    Loopback,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameError::Form => "neither an address nor a host name",
            NameError::Address => "an address at which no server can be asked",
            NameError::Loopback => "an address of this host itself",
        })
    }
}

impl core::error::Error for NameError {}

impl<'a> ServerName<'a> {
    /// Reads the body of the record. `peer` is the address of the key exchange server: only one on the
    /// loopback interface may refer us to it.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn decode(body: &'a [u8], peer: IpAddr) -> Result<Self, NameError> {
        let text = core::str::from_utf8(body).ok().filter(|text| text.is_ascii()).ok_or(NameError::Form)?;
        if text.contains(':') {
            let address: Ipv6Addr = text.parse().map_err(|_| NameError::Form)?;
            return Self::from_address(IpAddr::V6(address), peer);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let last = name.rsplit('.').next().unwrap_or_default();
        // No top-level domain is a number, and a name that looks like an address is an address or invalid.
        if last.bytes().all(|octet| octet.is_ascii_digit()) {
            let address: Ipv4Addr = text.parse().map_err(|_| NameError::Form)?;
            return Self::from_address(IpAddr::V4(address), peer);
        }
        if name.len() > MAX_NAME || !name.split('.').all(is_label) {
            return Err(NameError::Form);
        }
        Ok(ServerName::Host(name))
    }

    fn from_address(address: IpAddr, peer: IpAddr) -> Result<Self, NameError> {
        let is_usable = match address {
            IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => {
                !v6.is_unspecified()
                    && !v6.is_multicast()
                    && !v6.is_unicast_link_local()
                    && v6.to_ipv4_mapped().is_none()
            }
        };
        if !is_usable {
            return Err(NameError::Address);
        }
        if address.is_loopback() && !peer.to_canonical().is_loopback() {
            return Err(NameError::Loopback);
        }
        Ok(ServerName::Address(address))
    }
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn names_and_addresses_are_read() {
        for (text, expected) in [
            ("ntp.example.net", ServerName::Host("ntp.example.net")),
            ("ntp.example.net.", ServerName::Host("ntp.example.net")),
            ("xn--bcher-kva.example", ServerName::Host("xn--bcher-kva.example")),
            ("a", ServerName::Host("a")),
            ("198.51.100.7", ServerName::Address(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)))),
            ("2001:db8::1", ServerName::Address(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)))),
        ] {
            assert_eq!(ServerName::decode(text.as_bytes(), FAR), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a055_addresses_where_no_server_can_be_are_refused() {
        for text in [
            "0.0.0.0",
            "224.0.1.1",
            "255.255.255.255",
            "::",
            "ff02::101",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:192.0.2.1",
        ] {
            for peer in [FAR, HERE] {
                assert_eq!(ServerName::decode(text.as_bytes(), peer), Err(NameError::Address), "{text}");
            }
        }
    }

    #[test]
    fn a055_only_a_local_key_exchange_leads_to_this_host() {
        for text in ["127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(ServerName::decode(text.as_bytes(), FAR), Err(NameError::Loopback), "{text}");
            assert!(ServerName::decode(text.as_bytes(), HERE).is_ok(), "{text}");
        }
    }

    #[test]
    fn a055_what_is_no_name_is_refused() {
        let label = [b'a'; 64];
        let mut long = [b'a'; 255];
        long.iter_mut().skip(50).step_by(50).for_each(|octet| *octet = b'.');
        for body in [
            &b""[..],
            b".",
            b"..",
            b"a..b",
            b".a",
            b"-a.example",
            b"a.-b",
            b"a b",
            b"a\0b",
            b"a\nb",
            b"ntp.example.net:123",
            b"[2001:db8::1]",
            b"fe80::1%eth0",
            b"1.2.3",
            b"1.2.3.4.5",
            b"1.2.3.256",
            b"1.2.3.4.",
            b"0x7f.1",
            b"2130706433",
            b"a.7",
            "n\u{e4}me.example".as_bytes(),
            b"\xff\xfe",
            &label,
            &long,
        ] {
            assert_eq!(ServerName::decode(body, FAR), Err(NameError::Form), "{body:?}");
        }
    }
}
