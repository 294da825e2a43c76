//! What the child does: asks the C library's resolver, once.

use ipc::address::Address;
use ipc::message::exchange::{Failed, FromExchange, LookupFailure, MAX_ADDRESSES, Resolve, Resolved};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// Ends of the sentences with which glibc and musl say that a name has no address. The standard library keeps
/// nothing else of the resolver's answer, and no locale is ever set here.
const NO_SUCH_NAME: [&str; 4] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
];

/// Looks a name up.
pub(super) fn look_up(resolve: &Resolve) -> FromExchange {
    let id = resolve.id;
    match addresses(resolve.name.as_str(), resolve.port, |_| true) {
        Ok((count, addresses)) => FromExchange::Resolved(Resolved { id, count, addresses }),
        Err(reason) => FromExchange::Failed(Failed { id, reason }),
    }
}

/// The first 16 addresses of a name that can be a host's and that `may_be_asked`, and how many they are.
///
/// # Errors
/// `NoSuchName` where there is none, `TryAgain` where nobody can tell.
pub(super) fn addresses(
    name: &str,
    port: u16,
    may_be_asked: impl Fn(IpAddr) -> bool,
) -> Result<(u8, [Address; MAX_ADDRESSES]), LookupFailure> {
    let found = (name, port).to_socket_addrs().map_err(|error| failure(&error))?;
    collect(found, may_be_asked)
}

/// The engine has its own opinion of them.
fn collect(
    found: impl Iterator<Item = SocketAddr>,
    may_be_asked: impl Fn(IpAddr) -> bool,
) -> Result<(u8, [Address; MAX_ADDRESSES]), LookupFailure> {
    let mut addresses = [Address::NONE; MAX_ADDRESSES];
    let mut count = 0u8;
    let usable =
        found.map(Address::from).filter(|address| address.is_unicast() && may_be_asked(address.ip()));
    for (place, address) in addresses.iter_mut().zip(usable) {
        *place = address;
        count = count.saturating_add(1);
    }
    match count {
        0 => Err(LookupFailure::NoSuchName),
        _ => Ok((count, addresses)),
    }
}

fn failure(error: &io::Error) -> LookupFailure {
    let text = error.to_string();
    if NO_SUCH_NAME.iter().any(|end| text.ends_with(end)) {
        LookupFailure::NoSuchName
    } else {
        LookupFailure::TryAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::exchange::{ExchangeId, HostName};

    fn resolve(name: &str) -> Resolve {
        Resolve { id: ExchangeId(3), name: HostName::parse(name).unwrap(), port: 123 }
    }

    #[test]
    fn a_literal_address_is_its_own_answer() {
        match look_up(&resolve("192.0.2.7")) {
            FromExchange::Resolved(resolved) => {
                assert_eq!((resolved.id, resolved.count), (ExchangeId(3), 1));
                assert_eq!(resolved.addresses[0].socket_address(), "192.0.2.7:123".parse().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a039_a_long_answer_is_cut_and_a040_addresses_of_no_host_are_left_out() {
        let many = (0..500u16).map(|n| SocketAddr::from(([192, 0, 2, n as u8], 123)));
        let (count, _) = collect(many, |_| true).unwrap();
        assert_eq!(usize::from(count), MAX_ADDRESSES);
        let bad = ["0.0.0.0:123", "224.0.0.1:123", "255.255.255.255:123", "[::]:123", "[ff02::1]:123"];
        let bad = bad.map(|text| text.parse().unwrap());
        assert_eq!(collect(bad.into_iter(), |_| true), Err(LookupFailure::NoSuchName));
        assert_eq!(collect(std::iter::empty(), |_| true), Err(LookupFailure::NoSuchName));
    }

    #[test]
    fn the_resolvers_sentences_are_told_apart() {
        for text in NO_SUCH_NAME {
            let error = io::Error::other(format!("failed to lookup address information: {text}"));
            assert_eq!(failure(&error), LookupFailure::NoSuchName);
        }
        for text in ["Temporary failure in name resolution", "Try again", "System error"] {
            assert_eq!(failure(&io::Error::other(text)), LookupFailure::TryAgain);
        }
    }
}
