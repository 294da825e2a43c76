//! Addresses, host names and prefixes as people write them.

use super::document::Faults;
use super::words::shorten;
use engine_core::settings::Place;
use ipc::address::Address;
use ipc::message::exchange::HostName;
use ipc::message::server::Rule;
use ipc::served_at::{InterfaceName, ServedAt, is_index};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The port of NTP (RFC 5905 section 7.2).
pub const NTP: u16 = 123;

/// The TCP port of a key exchange.
pub use protocol::nts::record::PORT as KEY_EXCHANGE;

/// What is wrong with a text, as the end of a sentence: expected, and the remedy.
pub type Wrong = &'static str;

/// `192.0.2.1`, `2001:db8::1`, `192.0.2.1:1123`, `[2001:db8::1]:1123`, `host` or `host:1123`; `usual` is the port if
/// none is given.
pub fn parse_place(text: &str, usual: u16) -> Result<Place, Wrong> {
    if text.contains("://") || text.contains('/') {
        return Err(
            "a URL or path; a source is a host name or an address alone, with a port where it isn't the usual \
                    one: write \"ntp.example.org\" or \"192.0.2.1:1123\" (and mode = \"nts\" for NTS)",
        );
    }
    if let Some((name, port)) = parse_scoped(text, usual) {
        return Ok(Place::Name(name, port?));
    }
    if let Some(address) = parse_numeric(text, usual)? {
        if let IpAddr::V4(v4) = address.ip().to_canonical()
            && let [127, 127, kind, _] = v4.octets()
        {
            return Err(foreign::of_clock(kind == 1));
        }
        return match address.is_unicast() {
            true => Ok(Place::Address(address)),
            false => Err("not an address that one host answers at; give the address of a time server"),
        };
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, parse_port(port)?),
        None => (text, usual),
    };
    let looks_numeric = name.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.');
    match HostName::parse(name) {
        Ok(_) if looks_numeric => Err("not an IPv4 address; it has four numbers from 0 to 255"),
        Ok(name) => Ok(Place::Name(name, port)),
        Err(_) => Err("neither an address nor a host name; write \"ntp.example.org\", \"192.0.2.1\" \
                       or \"[2001:db8::1]:123\""),
    }
}

/// `fe80::1%eth0`, `[fe80::1%eth0]` or `[fe80::1%eth0]:1123`.
fn parse_scoped(text: &str, usual: u16) -> Option<(HostName, Result<u16, Wrong>)> {
    let (inner, port) = match text.strip_prefix('[') {
        None => (text, Ok(usual)),
        Some(rest) => match rest.split_once(']')? {
            (inner, "") => (inner, Ok(usual)),
            (inner, rest) => (inner, parse_port(rest.strip_prefix(':')?)),
        },
    };
    let (_, interface) = inner.split_once('%')?;
    HostName::parse_scoped(inner).ok().filter(|_| !is_index(interface)).map(|name| (name, port))
}

/// An address to be served at, with the interface on which requests have to arrive if one is given; `usual` is the port
/// if none is given.
pub fn parse_listen(text: &str, usual: u16) -> Result<ServedAt, Wrong> {
    let named = split_interface(text)?;
    let (bare, interface) = named.as_ref().map_or((text, None), |(bare, name)| (bare.as_str(), Some(*name)));
    let address = match interface {
        Some(_) => parse_socket(bare, usual)?.map(Address::from),
        None => parse_numeric(text, usual)?,
    };
    let address = address.ok_or(
        "not an address of this host; write \"0.0.0.0\", \"::\" or one address of it, with or without a \
                port; for what arrives on one interface, \"0.0.0.0%eth0\" and \"::%eth0\"",
    )?;
    unicast(address).map(|address| ServedAt { address, interface })
}

fn unicast(address: Address) -> Result<Address, Wrong> {
    match address.ip().is_multicast() {
        true => Err("a multicast address; truechimer answers on unicast addresses only"),
        false => Ok(address),
    }
}

/// `0.0.0.0%eth0:123` as `0.0.0.0:123` and `eth0`; `None` without the name of an interface.
fn split_interface(text: &str) -> Result<Option<(String, InterfaceName)>, Wrong> {
    let Some((head, tail)) = text.split_once('%') else { return Ok(None) };
    let (name, rest) = tail.split_at(tail.find([']', ':']).unwrap_or(tail.len()));
    if head.contains(':') && (is_index(name) || (!head.starts_with('[') && !rest.is_empty())) {
        // An index is read with the address; a port needs brackets.
        return Ok(None);
    }
    match InterfaceName::parse(name) {
        Ok(name) if !is_index(name.as_str()) => Ok(Some((format!("{head}{rest}"), name))),
        _ => Err(WITH_INTERFACE),
    }
}

/// Addresses to be bound to, no two of which overlap: what is another's already is a fault.
pub fn parse_listen_list(texts: Vec<(usize, &str)>, usual: u16, faults: &mut Faults<'_>) -> Vec<ServedAt> {
    let mut listen: Vec<(ServedAt, &str)> = Vec::new();
    for (at, text) in texts {
        match parse_listen(text, usual) {
            Ok(address) => match listen.iter().find(|(other, _)| overlap(address, *other)) {
                Some((other, _)) if *other == address => {
                    faults.add(at, format!("listen: \"{text}\" is there twice; leave one out"));
                }
                Some((_, other)) => {
                    let text = format!(
                        "listen: \"{text}\" and \"{other}\" overlap: one of them includes the other; leave one out"
                    );
                    faults.add(at, text);
                }
                None => listen.push((address, text)),
            },
            Err(wrong) => faults.add(at, format!("listen: \"{}\" is {wrong}", shorten(text))),
        }
    }
    listen.into_iter().map(|(address, _)| address).collect()
}

/// Whether one of them is all addresses of the other's family, with its port.
fn overlap(one: ServedAt, other: ServedAt) -> bool {
    let covers = |all: &ServedAt, part: &ServedAt| {
        all.address.ip().is_unspecified()
            && (!all.names_interface() || (all.interface, all.scope()) == (part.interface, part.scope()))
    };
    one == other
        || (one.is_beside(other.address.socket_address()) && (covers(&one, &other) || covers(&other, &one)))
}

fn parse_numeric(text: &str, usual: u16) -> Result<Option<Address>, Wrong> {
    match parse_socket(text, usual)? {
        Some(SocketAddr::V6(v6)) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => Err(WITH_NAME),
        found => Ok(found.map(Address::from)),
    }
}

fn parse_socket(text: &str, usual: u16) -> Result<Option<SocketAddr>, Wrong> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = match bare.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, usual),
        // The standard library reads the index of an interface only with brackets and port.
        Err(_) if let Ok(scoped) = format!("[{bare}]:{usual}").parse::<SocketAddr>() => scoped,
        Err(_) => match text.parse::<SocketAddr>() {
            Ok(address) => address,
            Err(_) if lacks_brackets(text) => return Err(WITH_BRACKETS),
            Err(_) if text.contains('%') => return Err(WITH_NAME),
            Err(_) => return Ok(None),
        },
    };
    match address {
        _ if address.port() == 0 => Err("at port 0, which is none; leave it out for the usual one"),
        _ => Ok(Some(address)),
    }
}

/// Whether it is an IPv6 address with an interface and a port, but no brackets: `fe80::1%2:123`.
fn lacks_brackets(text: &str) -> bool {
    let parts = text.split_once('%').and_then(|(ip, rest)| Some((ip, rest.split_once(':')?.1)));
    parts.is_some_and(|(ip, port)| ip.parse::<Ipv6Addr>().is_ok() && parse_port(port).is_ok())
}

const WITH_BRACKETS: Wrong = "an IPv6 address with a port, but without brackets; put them around the address with its interface, as \
                              in \"[fe80::1%2]:123\", or leave the port out";

/// Neither a name nor an index of an interface behind the percent sign.
const WITH_INTERFACE: Wrong = "an address with what is no interface behind its percent sign; ip link shows their names; \
                               write \"0.0.0.0%eth0\", \"[::%eth0]:123\" or \"[fe80::1%eth0]:123\"";

/// An interface is missing, or is where none may be.
const WITH_NAME: Wrong = "a link-local address (fe80::) without its interface, or another address with one; \
                          ip link shows the names of interfaces; write \"fe80::1%eth0\" or \"[fe80::1%eth0]:123\"";

fn parse_port(text: &str) -> Result<u16, Wrong> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|octet| octet.is_ascii_digit()) => Ok(port),
        _ => Err("no port of 1 to 65535 after the colon; leave it out for the usual one, \
                  and write an IPv6 address with a port as \"[2001:db8::1]:123\""),
    }
}

/// `192.0.2.0/24`, `2001:db8::/32`, or one address.
pub fn parse_prefix(text: &str, allow: bool) -> Result<Rule, String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    if let Some((bare, _)) = address.split_once('%')
        && bare.parse::<Ipv6Addr>().is_ok()
    {
        let bits = bits.map_or(String::new(), |bits| format!("/{bits}"));
        return Err(format!(
            "names an interface; rules are about addresses on all of them: write \"{bare}{bits}\""
        ));
    }
    let wrong = || "is not a network; write \"192.0.2.0/24\", \"2001:db8::/32\" or one address".to_owned();
    let ip: IpAddr = address.parse().map_err(|_| wrong())?;
    let (octets, ipv6) = match ip {
        IpAddr::V4(v4) => {
            let mut octets = [0; 16];
            for (place, octet) in octets.iter_mut().zip(v4.octets()) {
                *place = octet;
            }
            (octets, false)
        }
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            return Err("is an IPv4 address in IPv6 form; write the IPv4 network itself".to_owned());
        }
        IpAddr::V6(v6) => (v6.octets(), true),
    };
    let most: u8 = if ipv6 { 128 } else { 32 };
    let bits = match bits {
        None => most,
        Some(bits) => {
            let number = bits.parse::<u8>().ok().filter(|number| *number <= most);
            number.ok_or_else(|| {
                format!("has a prefix length that is not from 0 to {most}; write /{most} for one host")
            })?
        }
    };
    let prefix = keep_bits(octets, bits);
    if prefix != octets {
        let base = match ipv6 {
            true => IpAddr::from(prefix),
            false => IpAddr::from([prefix[0], prefix[1], prefix[2], prefix[3]]),
        };
        return Err(format!(
            "has bits beyond its prefix; write \"{base}/{bits}\" for the network or \"{ip}\" for the host"
        ));
    }
    Ok(Rule { prefix, bits, ipv6, allow })
}

fn keep_bits(mut octets: [u8; 16], bits: u8) -> [u8; 16] {
    let mut left = bits;
    for octet in &mut octets {
        let kept = left.min(8);
        *octet &= !(0xff_u16 >> kept) as u8;
        left -= kept;
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ways_to_write_a_source_are_understood() {
        let address = |text: &str| Place::Address(text.parse::<SocketAddr>().unwrap().into());
        let name = |name: &str, port| Place::Name(HostName::parse(name).unwrap(), port);
        let scoped = |name: &str, port| Place::Name(HostName::parse_scoped(name).unwrap(), port);
        for (text, place) in [
            ("192.0.2.1", address("192.0.2.1:123")),
            ("192.0.2.1:1123", address("192.0.2.1:1123")),
            ("2001:db8::1", address("[2001:db8::1]:123")),
            ("[2001:db8::1]", address("[2001:db8::1]:123")),
            ("[2001:db8::1]:1123", address("[2001:db8::1]:1123")),
            ("127.0.0.1:11123", address("127.0.0.1:11123")),
            ("[fe80::1%3]:123", address("[fe80::1%3]:123")),
            ("[fe80::1%3]", address("[fe80::1%3]:123")),
            ("fe80::1%3", address("[fe80::1%3]:123")),
            ("ntp.example.org", name("ntp.example.org", 123)),
            ("ntp.example.org:1123", name("ntp.example.org", 1123)),
            ("localhost", name("localhost", 123)),
            ("fe80::1%eth0", scoped("fe80::1%eth0", 123)),
            ("[fe80::1%eth0]", scoped("fe80::1%eth0", 123)),
            ("[fe80::1%br-lan.7]:1123", scoped("fe80::1%br-lan.7", 1123)),
            ("FE80:0:0::1%wlp2s0f0u1i2", scoped("FE80:0:0::1%wlp2s0f0u1i2", 123)),
        ] {
            assert_eq!(parse_place(text, NTP), Ok(place), "{text}");
        }
    }

    #[test]
    fn a_key_exchange_has_a_port_of_its_own() {
        for (text, port) in [("192.0.2.1", 4460), ("a.example", 4460), ("[::1]:5", 5), ("a.example:5", 5)] {
            let found = match parse_place(text, KEY_EXCHANGE).unwrap() {
                Place::Address(address) => address.port(),
                Place::Name(_, port) => port,
            };
            assert_eq!(found, port, "{text}");
        }
        assert_eq!(parse_listen("::", KEY_EXCHANGE).unwrap().address.port(), 4460);
    }

    #[test]
    fn what_is_not_a_source_is_refused() {
        for text in [
            "",
            "192.0.2.300",
            "192.0.2",
            "1",
            "224.0.1.1",
            "0.0.0.0",
            "::",
            "ff02::101",
            "192.0.2.1:0",
            "host:0",
            "host:65536",
            "host:+1",
            "host:",
            ":123",
            "-host",
            "ntp example",
            "a\nb",
            "a\u{202e}b",
            "http://x/",
            "https://time.example.org",
            "ntp://192.0.2.1:123",
            "time.example.org/",
            "[2001:db8::1",
            "2001:db8::1:99999",
            "fe80::1",
            "[fe80::1]:123",
            "fe80::1%",
            "[fe80::1%eth0]:0",
            "[fe80::1%eth0]1",
            "[fe80::1%eth0",
            "fe80::1%sixteen-octets-x",
            "fe80::1%a b",
            "fe80::1%..",
            "2001:db8::1%eth0",
            "192.0.2.1%eth0",
            "ff02::101%eth0",
            "host%eth0",
        ] {
            assert!(parse_place(text, NTP).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_url_is_told_what_is_wanted_instead() {
        for text in ["https://time.example.org", "http://192.0.2.1/", "ntp://a:123", "time.example.org/x"] {
            let wrong = parse_place(text, NTP).unwrap_err();
            assert!(wrong.contains("URL") && wrong.contains("\"ntp.example.org\""), "{text}: {wrong}");
        }
    }

    #[test]
    fn an_address_of_one_link_is_asked_for_its_interface() {
        for text in
            ["fe80::1", "[fe80::1]:123", "fe80::1%", "10.0.0.1%1", "0.0.0.0%a b", "::%sixteen-octets-x"]
        {
            let wrong = parse_listen(text, NTP).unwrap_err();
            assert!(wrong.contains("ip link") && wrong.contains("fe80::1%eth0"), "{text}: {wrong}");
        }
        for text in ["fe80::1", "[fe80::1]:123", "fe80::1%", "2001:db8::1%eth0"] {
            let wrong = parse_place(text, NTP).unwrap_err();
            assert!(wrong.contains("ip link") && wrong.contains("\"fe80::1%eth0\""), "{text}: {wrong}");
        }
        for text in ["::%eth0:123", "fe80::1%eth0:123", "fe80::1%2:123"] {
            let of_source = parse_place(text, NTP).unwrap_err();
            for wrong in [of_source, parse_listen(text, NTP).unwrap_err()] {
                assert!(wrong.contains("without brackets"), "{text}: {wrong}");
            }
        }
        for (text, remedy) in [("fe80::1%eth0", "\"fe80::1\""), ("fe80::%2/10", "\"fe80::/10\"")] {
            let wrong = parse_prefix(text, true).unwrap_err();
            assert!(wrong.contains("names an interface") && wrong.contains(remedy), "{text}: {wrong}");
        }
        assert!(parse_listen("[fe80::1%2]:123", NTP).is_ok());
    }

    #[test]
    fn what_arrives_on_an_interface_is_served_where_its_name_stands_behind_an_address() {
        for (text, shown) in [
            ("0.0.0.0%eth0", "0.0.0.0%eth0:123"),
            ("0.0.0.0%eth0:1123", "0.0.0.0%eth0:1123"),
            ("::%eth0", "[::%eth0]:123"),
            ("[::%eth0]", "[::%eth0]:123"),
            ("[::%br-lan.7]:1123", "[::%br-lan.7]:1123"),
            ("fe80::1%eth0", "[fe80::1%eth0]:123"),
            ("[fe80::1%eth0]:123", "[fe80::1%eth0]:123"),
            ("[fe80::1%7]", "[fe80::1%7]:123"),
            ("192.0.2.1%veth0@if3", "192.0.2.1%veth0@if3:123"),
        ] {
            let served = parse_listen(text, NTP).unwrap();
            assert_eq!((&*served.to_string(), ServedAt::parse(shown)), (shown, Ok(served)), "{text}");
        }
        for text in
            ["eth0", "eth0:123", "%eth0", "::%eth0:123", "fe80::1%eth0:123", "ff02::101%eth0", "host%eth0"]
        {
            assert!(parse_listen(text, NTP).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_overlap_where_one_is_all_of_a_family_with_the_same_port() {
        let address = |text| parse_listen(text, NTP).unwrap();
        for (one, other, overlaps) in [
            ("0.0.0.0", "10.0.0.2", true),
            ("10.0.0.2", "0.0.0.0", true),
            ("::", "2001:db8::1", true),
            ("[::]:123", "[fe80::1%2]:123", true),
            ("10.0.0.2", "10.0.0.2:123", true),
            ("0.0.0.0", "::", false),
            ("::", "10.0.0.2", false),
            ("0.0.0.0", "10.0.0.2:1123", false),
            ("10.0.0.1", "10.0.0.2", false),
            ("[fe80::1%2]:123", "[fe80::1%3]:123", false),
            ("0.0.0.0%eth0", "0.0.0.0", true),
            ("0.0.0.0%eth0", "10.0.0.1%eth0", true),
            ("0.0.0.0%eth0", "0.0.0.0%eth0:123", true),
            ("0.0.0.0%eth0", "0.0.0.0%eth1", false),
            ("0.0.0.0%eth0", "10.0.0.1", false),
            ("0.0.0.0%eth0", "10.0.0.1%eth1", false),
        ] {
            assert_eq!(overlap(address(one), address(other)), overlaps, "{one} {other}");
        }
    }

    #[test]
    fn a_prefix_keeps_its_bits_and_no_others() {
        let rule = parse_prefix("192.0.2.128/25", true).unwrap();
        assert_eq!((rule.prefix[..4].to_vec(), rule.bits, rule.ipv6), (vec![192, 0, 2, 128], 25, false));
        assert_eq!(parse_prefix("0.0.0.0/0", false).unwrap().bits, 0);
        assert_eq!(parse_prefix("2001:db8::1", true).unwrap().bits, 128);
        assert!(parse_prefix("192.0.2.1/24", true).unwrap_err().contains("\"192.0.2.0/24\""));
        assert!(parse_prefix("2001:db8::1/32", true).unwrap_err().contains("\"2001:db8::/32\""));
        for text in
            ["192.0.2.0/33", "2001:db8::/129", "all", "", "/8", "10.0.0.0/", "10.0.0.0/-1", "::ffff:1.2.3.4"]
        {
            assert!(parse_prefix(text, true).is_err(), "{text}");
        }
    }
}
