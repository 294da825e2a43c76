//! The kernel's messages about addresses, routes and interfaces (rtnetlink), as far as they matter here.
//!
//! All of them come from the kernel, on a socket that the launch has opened. Each is read within its own length, and
//! what is not understood is passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const DONE: u16 = 3;
const ERROR: u16 = 2;
const NEW_LINK: u16 = 16;
const DELETED_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const DELETED_ADDRESS: u16 = 21;
const GET_ADDRESSES: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETED_ROUTE: u16 = 25;

/// NLM_F_REQUEST and NLM_F_DUMP.
const REQUEST: u16 = 0x301;
/// NLM_F_DUMP_INTR: something has changed meanwhile.
const INTERRUPTED: u16 = 0x10;

const IFF_RUNNING: u32 = 0x40;
const RTM_F_CLONED: u32 = 0x200;
/// RTN_UNICAST, and the kinds that refuse: RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW. The others accompany an
/// address.
const KINDS: [u8; 5] = [1, 6, 7, 8, 9];

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const OPTIMISTIC: u32 = 0x04;
const DUPLICATE: u32 = 0x08;
const TENTATIVE: u32 = 0x40;

const HEAD: usize = 16;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Of the answer to the request with this number: an address, if it is one that can be used.
    Own(u32, Option<IpAddr>),
    /// The end of that answer, and whether it is complete.
    End(u32, bool),
    /// An address came, went, or got another lifetime.
    Address,
    /// A route came or went.
    Route,
    /// An interface, and whether packets can leave by it.
    Link(u32, bool),
}

/// The request for all addresses; `number` marks its answer, and is not 0.
pub(crate) fn request(number: u32) -> [u8; 24] {
    let mut octets = [0; 24];
    octets[..4].copy_from_slice(&24u32.to_ne_bytes());
    octets[4..6].copy_from_slice(&GET_ADDRESSES.to_ne_bytes());
    octets[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
    octets[8..12].copy_from_slice(&number.to_ne_bytes());
    octets
}

/// What a datagram says, each message in turn.
pub(crate) fn read(datagram: &[u8]) -> impl Iterator<Item = News> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let message = rest.get(..length).filter(|message| message.len() >= HEAD)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some(news(message))
    })
    .flatten()
}

fn news(message: &[u8]) -> Option<News> {
    let (kind, flags, number) = (u16_at(message, 4)?, u16_at(message, 6)?, u32_at(message, 8)?);
    let body = message.get(HEAD..)?;
    let is_complete = flags & INTERRUPTED == 0;
    match kind {
        DONE => Some(News::End(number, is_complete)),
        ERROR => Some(News::End(number, false)),
        // Messages that nobody asked for have the number 0, or that of another program's request.
        NEW_ADDRESS if flags & 2 != 0 => Some(News::Own(number, address(body))),
        NEW_ADDRESS | DELETED_ADDRESS => Some(News::Address),
        NEW_ROUTE | DELETED_ROUTE => {
            let (kind, flags) = (body.get(7)?, u32_at(body, 8)?);
            (KINDS.contains(kind) && flags & RTM_F_CLONED == 0).then_some(News::Route)
        }
        NEW_LINK | DELETED_LINK => {
            let (family, index, flags) = (body.first()?, u32_at(body, 4)?, u32_at(body, 8)?);
            // Bridges tell of their ports in the same way.
            (*family == 0).then_some(News::Link(index, kind == NEW_LINK && flags & IFF_RUNNING != 0))
        }
        _ => None,
    }
}

/// The address of an ifaddrmsg, unless it is loopback, or not known yet to be nobody else's.
fn address(body: &[u8]) -> Option<IpAddr> {
    let (family, mut flags) = (*body.first()?, u32::from(*body.get(2)?));
    let (mut own, mut with_peer) = (None, None);
    let mut rest = body.get(8..)?;
    while let Some(length) = u16_at(rest, 0).map(usize::from) {
        let Some(attribute) = rest.get(..length).filter(|attribute| attribute.len() >= 4) else { break };
        let value = attribute.get(4..).unwrap_or_default();
        match u16_at(attribute, 2) {
            Some(IFA_LOCAL) => own = ip(family, value),
            Some(IFA_ADDRESS) => with_peer = ip(family, value),
            Some(IFA_FLAGS) => flags = u32_at(value, 0).unwrap_or(flags),
            _ => {}
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    let is_known = flags & DUPLICATE == 0 && (flags & TENTATIVE == 0 || flags & OPTIMISTIC != 0);
    // Of a point-to-point interface the other one is the peer's.
    own.or(with_peer).filter(|ip| is_known && !ip.is_loopback() && !ip.is_unspecified())
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        2 => <[u8; 4]>::try_from(value).ok().map(|octets| Ipv4Addr::from(octets).into()),
        10 => {
            <[u8; 16]>::try_from(value).ok().map(|octets| IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u16, flags: u16, number: u32, body: &[u8]) -> Vec<u8> {
        let mut octets = ((HEAD + body.len()) as u32).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend(flags.to_ne_bytes());
        octets.extend(number.to_ne_bytes());
        octets.extend([0; 4]);
        octets.extend(body);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut octets = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        octets.extend(kind.to_ne_bytes());
        octets.extend(value);
        octets
    }

    fn of_address(family: u8, flags: u8, attributes: &[Vec<u8>]) -> Option<News> {
        let mut body = vec![family, 24, flags, 0, 2, 0, 0, 0];
        attributes.iter().for_each(|attribute| body.extend(attribute));
        read(&message(NEW_ADDRESS, 2, 7, &body)).next()
    }

    #[test]
    fn addresses_of_the_host_are_read_and_those_of_peers_and_doubtful_ones_are_not() {
        let (a, peer) = (attribute(IFA_LOCAL, &[192, 0, 2, 1]), attribute(IFA_ADDRESS, &[192, 0, 2, 9]));
        let own = |text: &str| Some(News::Own(7, Some(text.parse().unwrap())));
        assert_eq!(of_address(2, 0, &[peer.clone(), a.clone()]), own("192.0.2.1"));
        assert_eq!(of_address(2, 0, &[a.clone(), peer]), own("192.0.2.1"));
        let six: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let six = attribute(IFA_ADDRESS, &six.octets());
        assert_eq!(of_address(10, 0, std::slice::from_ref(&six)), own("2001:db8::1"));
        let flags = |flags: u32| attribute(IFA_FLAGS, &flags.to_ne_bytes());
        assert_eq!(of_address(10, 0x40, std::slice::from_ref(&six)), Some(News::Own(7, None)));
        assert_eq!(of_address(10, 0, &[six.clone(), flags(TENTATIVE)]), Some(News::Own(7, None)));
        assert_eq!(of_address(10, 0, &[six.clone(), flags(DUPLICATE)]), Some(News::Own(7, None)));
        assert_eq!(of_address(10, 0, &[six, flags(TENTATIVE | OPTIMISTIC)]), own("2001:db8::1"));
        assert_eq!(of_address(2, 0, &[attribute(IFA_LOCAL, &[127, 0, 0, 1])]), Some(News::Own(7, None)));
        assert_eq!(of_address(2, 0, &[attribute(IFA_LOCAL, &[127, 0, 0])]), Some(News::Own(7, None)));
    }

    #[test]
    fn several_messages_of_a_datagram_are_read_in_turn() {
        let route = |kind: u8, flags: u32| {
            let mut body = vec![2, 0, 0, 0, 254, 0, 0, kind];
            body.extend(flags.to_ne_bytes());
            message(NEW_ROUTE, 0, 0, &body)
        };
        let link = |kind, family: u8, flags: u32| {
            let mut body = vec![family, 0, 1, 0];
            body.extend(5u32.to_ne_bytes());
            body.extend(flags.to_ne_bytes());
            body.extend([0; 4]);
            message(kind, 0, 0, &body)
        };
        let datagram = [
            message(DELETED_ADDRESS, 0, 0, &[2; 8]),
            route(2, 0),
            route(1, RTM_F_CLONED),
            route(1, 0),
            route(7, 0),
            link(NEW_LINK, 0, IFF_RUNNING),
            link(NEW_LINK, 7, IFF_RUNNING),
            link(NEW_LINK, 0, 1),
            link(DELETED_LINK, 0, IFF_RUNNING),
            message(DONE, 2, 9, &[0; 4]),
            message(DONE, 2 | INTERRUPTED, 9, &[0; 4]),
            message(ERROR, 0, 9, &[0; 20]),
        ];
        let expected = [
            News::Address,
            News::Route,
            News::Route,
            News::Link(5, true),
            News::Link(5, false),
            News::Link(5, false),
            News::End(9, true),
            News::End(9, false),
            News::End(9, false),
        ];
        assert_eq!(read(&datagram.concat()).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn no_octets_panic_or_are_read_for_ever(octets: Vec<u8>, kind in 0u16..30, body: Vec<u8>) {
            prop_assert!(read(&octets).count() <= octets.len());
            let whole = message(kind, 2, 1, &body);
            prop_assert!(read(&whole).count() <= 1);
            prop_assert!(read(&whole[..whole.len().saturating_sub(5)]).count() <= 1);
        }
    }
}
