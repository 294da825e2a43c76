//! The source address of a datagram, from a kernel socket address.

use nix::libc::{AF_INET, AF_INET6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A sender's address and port. An IPv4-mapped IPv6 address counts as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
}

impl Source {
    /// Reads a socket address; `None` unless it is an IPv4 or IPv6 address.
    pub(super) fn read(name: &[u8]) -> Option<Self> {
        let family = i32::from(u16::from_ne_bytes(*name.first_chunk()?));
        let port = u16::from_be_bytes(*name.get(2..)?.first_chunk()?);
        let ip = match family {
            AF_INET => IpAddr::V4(Ipv4Addr::from(*name.get(4..)?.first_chunk::<4>()?)),
            AF_INET6 => IpAddr::V6(Ipv6Addr::from(*name.get(8..)?.first_chunk::<16>()?)).to_canonical(),
            _ => return None,
        };
        Some(Self { ip, port })
    }
}

impl From<std::net::SocketAddr> for Source {
    fn from(address: std::net::SocketAddr) -> Self {
        Self { ip: address.ip().to_canonical(), port: address.port() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_forms_are_read_and_others_are_not() {
        let mut v4 = vec![0u8; 16];
        v4[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
        v4[2..8].copy_from_slice(&[0x11, 0x5c, 192, 0, 2, 7]);
        assert_eq!(Source::read(&v4), Some(Source { ip: [192, 0, 2, 7].into(), port: 4444 }));
        let mut v6 = vec![0u8; 28];
        v6[..2].copy_from_slice(&(AF_INET6 as u16).to_ne_bytes());
        v6[18..24].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 7]);
        assert_eq!(Source::read(&v6), Some(Source { ip: [192, 0, 2, 7].into(), port: 0 }));
        for length in 0..16 {
            assert_eq!(Source::read(&v4[..length.min(7)]), None);
        }
        assert_eq!(Source::read(&[0; 28]), None);
    }
}
