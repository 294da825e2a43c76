//! The address of a source, as the daemon takes it.

use ipc::address::Address;
use ipc::message::exchange::{HostName, is_one_name};
use std::net::{IpAddr, SocketAddr};

/// Where a source is.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    Name(String),
    Ip(IpAddr, Option<String>),
}

/// What is said of a family beside an address.
pub const HAS_FAMILY: &str = "not carried: the address is of one family";

/// What is wrong with a host, as the end of a sentence.
pub fn fault(host: &str) -> Option<&'static str> {
    match parse(host) {
        None if host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(is_address) => {
            Some("is an address: write it without brackets")
        }
        None => Some("is no host name and no address that the daemon takes"),
        Some(Place::Name(_)) => None,
        Some(Place::Ip(ip, scope)) => match ip {
            IpAddr::V4(v4) if v4.octets().starts_with(&[127, 127]) => {
                Some(foreign::of_clock(v4.octets().get(2) == Some(&1)))
            }
            IpAddr::V6(v6) if v6.is_unicast_link_local() && scope.is_none() => {
                Some("is a link-local address without its interface")
            }
            ip if !Address::from(SocketAddr::new(ip, 123)).is_unicast() => Some("is no address of one host"),
            _ => None,
        },
    }
}

fn parse(host: &str) -> Option<Place> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(Place::Ip(ip.to_canonical(), None));
    }
    if let Some((ip, scope)) = host.split_once('%') {
        let ip: IpAddr = ip.parse().ok()?;
        let is_of_link = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let is_index = scope.parse::<u32>().is_ok_and(|index| index > 0 && scope == index.to_string());
        let is_taken = is_of_link && (is_index || HostName::parse_scoped(host).is_ok());
        return is_taken.then(|| Place::Ip(ip, Some(scope.to_owned())));
    }
    let is_numeric = host.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    (!is_numeric && HostName::parse(host).is_ok()).then(|| Place::Name(host.to_owned()))
}

/// Whether it is written as an address.
pub fn is_address(host: &str) -> bool {
    matches!(parse(host), Some(Place::Ip(..)))
}

/// Whether it is an IPv4 address, if it is written as one.
pub fn family(host: &str) -> Option<bool> {
    match parse(host)? {
        Place::Ip(ip, _) => Some(ip.is_ipv4()),
        Place::Name(_) => None,
    }
}

/// Whether it is no address that packets can be sent from on every network.
pub fn is_of_link(ip: IpAddr) -> bool {
    let is_link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
    is_link_local || !Address::from(SocketAddr::new(ip, 123)).is_unicast()
}

/// Whether two hosts are one, or may be.
pub fn are_one(one: &str, other: &str) -> bool {
    match (parse(one), parse(other)) {
        (Some(Place::Name(one)), Some(Place::Name(other))) => is_one_name(&one, &other),
        (Some(Place::Ip(one, scope)), Some(Place::Ip(other, other_scope))) => {
            let is_index = |scope: &String| scope.parse::<u32>().is_ok();
            let parts = match (&scope, &other_scope) {
                (Some(scope), Some(other)) => scope != other && is_index(scope) == is_index(other),
                _ => false,
            };
            one == other && !parts
        }
        _ => false,
    }
}

/// As it stands in `address`.
pub fn written(host: &str, port: Option<u16>) -> String {
    match port {
        None => host.to_owned(),
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_takes_has_no_fault_and_the_rest_has_one() {
        for good in ["ntp.example.org", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "fe80::1%2", "127.0.0.1"]
        {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in [
            "",
            "127.127.1.0",
            "127.127.28.0",
            "fe80::1",
            "224.0.1.1",
            "1.2.3",
            "a b",
            "x%eth0",
            "192.0.2.1%eth0",
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_one_however_they_are_written() {
        assert!(are_one("A.example", "a.EXAMPLE."));
        assert!(are_one("2001:db8:0::1", "2001:db8::1"));
        assert!(are_one("fe80::1%eth0", "fe80::1%2"));
        assert!(!are_one("fe80::1%eth0", "fe80::1%eth1"));
        assert!(!are_one("a", "b"));
    }
}
