//! A child's work for a look-up: it asks the C library's resolver, once, for addresses of both families or of one.

use super::connect::interleave;
use super::interface;
use dns_lookup::{AddrFamily, AddrInfoHints, SockType, getaddrinfo};
use ipc::address::Address;
use ipc::message::exchange::{
    Addresses, Failed, Families, FromExchange, HostName, LookupFailure, Resolve, Resolved,
};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// Ends of the messages with which glibc and musl explain why a name has no address. Their numbers differ, and no locale is
/// ever set here.
const SENTENCES: [(&str, LookupFailure); 7] = [
    ("Name or service not known", LookupFailure::NoSuchName),
    ("Name does not resolve", LookupFailure::NoSuchName),
    ("No address associated with hostname", LookupFailure::NoAddress),
    ("Address family for hostname not supported", LookupFailure::NoAddress),
    ("Name has no usable address", LookupFailure::NoAddress),
    ("Non-recoverable failure in name resolution", LookupFailure::Refused),
    ("Non-recoverable error", LookupFailure::Refused),
];

/// Where the C library finds its name servers.
const RESOLVER_FILE: &str = "/etc/resolv.conf";

/// Most addresses of an answer that are looked at.
const MOST_FOUND: usize = 1024;

/// The most octets that are read of it.
const MAX_RESOLVER_FILE: usize = 64 * 1024;

/// Looks a name up.
pub(super) fn look_up(resolve: &Resolve, families: Families) -> FromExchange {
    let id = resolve.id;
    match addresses_of(&resolve.name, resolve.port, families) {
        Ok(addresses) => FromExchange::Resolved(Resolved { id, addresses }),
        Err(reason) => FromExchange::Failed(Failed { id, reason }),
    }
}

/// The addresses of a configured name, or the one that it is, on the interface that has its name now.
///
/// # Errors
/// Why there is none.
fn addresses_of(name: &HostName, port: u16, families: Families) -> Result<Addresses, LookupFailure> {
    let Some((address, interface)) = name.scoped() else {
        return addresses(name.as_str(), port, families, |_| true);
    };
    let scope = interface::index(interface).ok_or(LookupFailure::NoInterface)?;
    let address = Address::from(SocketAddr::V6(SocketAddrV6::new(address, port, 0, scope)));
    Addresses::new([address]).map_err(|_| LookupFailure::NoAddress)
}

/// The first 64 addresses of a name, families in turn, that can belong to a host and that `may_be_asked`.
///
/// # Errors
/// Why there is none.
pub(super) fn addresses(
    name: &str,
    port: u16,
    families: Families,
    may_be_asked: impl Fn(IpAddr) -> bool,
) -> Result<Addresses, LookupFailure> {
    let address = match families {
        // Any.
        Families::Both => 0,
        Families::V4 => AddrFamily::Inet.into(),
        Families::V6 => AddrFamily::Inet6.into(),
    };
    // Of each address one, not one for each kind of socket.
    let hints = AddrInfoHints { address, socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let found = getaddrinfo(Some(name), None, Some(hints))
        .map_err(|error| failure(&io::Error::from(error), is_resolver_configured))?;
    let found = found.flatten().map(|mut found| {
        found.sockaddr.set_port(port);
        found.sockaddr
    });
    collect(found, |ip| families.admits(ip) && may_be_asked(ip))
}

/// The engine has its own rules for these addresses.
fn collect(
    found: impl Iterator<Item = SocketAddr>,
    may_be_asked: impl Fn(IpAddr) -> bool,
) -> Result<Addresses, LookupFailure> {
    let usable = found.filter(|address| {
        let address = Address::from(*address);
        address.is_unicast() && may_be_asked(address.ip())
    });
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in usable.take(MOST_FOUND) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    // No family may keep the other one out of what is taken.
    Addresses::new(interleave(&all).into_iter().map(Address::from)).map_err(|_| LookupFailure::NoAddress)
}

fn failure(error: &io::Error, is_resolver_configured: impl Fn() -> bool) -> LookupFailure {
    let text = error.to_string();
    let known = SENTENCES.iter().find(|(end, _)| text.ends_with(end)).map(|(_, failure)| *failure);
    known.unwrap_or_else(|| match is_resolver_configured() {
        true => LookupFailure::TryAgain,
        false => LookupFailure::NoResolver,
    })
}

/// The C library reports the same error for a missing resolver configuration as for a resolver that does not answer:
/// without a configuration it queries this host.
fn is_resolver_configured() -> bool {
    let text = read_resolver_file().unwrap_or_default();
    !name_servers(&String::from_utf8_lossy(&text)).is_empty()
}

/// Not `std::fs::read`: it requests the size with a system call that this process's filter does not allow.
fn read_resolver_file() -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(MAX_RESOLVER_FILE);
    File::open(RESOLVER_FILE)?.take(MAX_RESOLVER_FILE as u64).read_to_end(&mut text)?;
    Ok(text)
}

/// The addresses on `nameserver` lines, without a zone.
fn name_servers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    lines.filter_map(|word| word.split('%').next()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::exchange::{ExchangeId, MAX_ADDRESSES};

    fn resolve(name: &str) -> Resolve {
        Resolve {
            id: ExchangeId(3),
            name: HostName::parse(name).unwrap(),
            port: 123,
            families: Families::Both,
        }
    }

    #[test]
    fn a_literal_address_is_its_own_answer() {
        match look_up(&resolve("192.0.2.7"), Families::Both) {
            FromExchange::Resolved(resolved) => {
                assert_eq!((resolved.id, resolved.addresses.len()), (ExchangeId(3), 1));
                assert_eq!(resolved.addresses[0].socket_address(), "192.0.2.7:123".parse().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_name_has_only_addresses_of_the_family_that_is_asked_for() {
        let of = |families| match look_up(&resolve("localhost"), families) {
            FromExchange::Resolved(resolved) => resolved.addresses.iter().map(Address::ip).collect(),
            _ => Vec::new(),
        };
        let (v4, v6) = (of(Families::V4), of(Families::V6));
        assert!(!v4.is_empty() && v4.iter().all(IpAddr::is_ipv4), "{v4:?}");
        assert!(v6.iter().all(IpAddr::is_ipv6), "{v6:?}");
        assert!(of(Families::Both).len() >= v4.len());
    }

    #[test]
    fn an_address_on_an_interface_has_the_number_of_its_name() {
        let scoped = |text: &str| Resolve { name: HostName::parse_scoped(text).unwrap(), ..resolve("x") };
        match look_up(&scoped("fe80::1%lo"), Families::Both) {
            FromExchange::Resolved(resolved) => {
                assert_eq!(resolved.addresses.len(), 1);
                assert_eq!(resolved.addresses[0].socket_address(), "[fe80::1%1]:123".parse().unwrap());
            }
            other => panic!("{other:?}"),
        }
        let failed = Failed { id: ExchangeId(3), reason: LookupFailure::NoInterface };
        assert_eq!(look_up(&scoped("fe80::1%absent0"), Families::Both), FromExchange::Failed(failed));
    }

    #[test]
    fn a039_a_long_answer_is_cut_and_a040_addresses_of_no_host_are_left_out() {
        let many = (0..500u16).map(|n| SocketAddr::from(([192, 0, 2, n as u8], 123)));
        assert_eq!(collect(many, |_| true).unwrap().len(), MAX_ADDRESSES);
        let one_family = (0..500u16).map(|n| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], 123)));
        let last = SocketAddr::from(([192, 0, 2, 1], 123));
        let taken = collect(one_family.chain([last]), |_| true).unwrap();
        assert!(taken.contains(&Address::from(last)), "the other family has its place");
        let bad = ["0.0.0.0:123", "224.0.0.1:123", "255.255.255.255:123", "[::]:123", "[ff02::1]:123"];
        let bad = bad.map(|text| text.parse().unwrap());
        assert_eq!(collect(bad.into_iter(), |_| true), Err(LookupFailure::NoAddress));
        assert_eq!(collect(std::iter::empty(), |_| true), Err(LookupFailure::NoAddress));
    }

    #[test]
    fn the_resolvers_sentences_are_told_apart() {
        let said = |text: &str, configured| {
            let text = format!("failed to lookup address information: {text}");
            failure(&io::Error::other(text), || configured)
        };
        for (text, reason) in SENTENCES {
            assert_eq!(said(text, true), reason);
        }
        for text in ["Temporary failure in name resolution", "Try again", "System error"] {
            assert_eq!(said(text, true), LookupFailure::TryAgain);
            assert_eq!(said(text, false), LookupFailure::NoResolver);
        }
    }

    #[test]
    fn name_servers_are_found_as_the_c_library_finds_them() {
        let text = "# nameserver 192.0.2.9\nsearch example.org\n nameserver 127.0.0.53\nnameserver\tfe80::1%eth0 x\n\
                    nameservers 192.0.2.8\nnameserver\nnameserver x\n";
        let expected: [IpAddr; 2] = ["127.0.0.53".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(name_servers(text), expected);
        assert!(name_servers("").is_empty());
    }
}
