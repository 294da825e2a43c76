//! `send-from`, `send-over` and `dscp` of a `[[source]]`: how what is sent to it leaves this host.

use super::document::{Faults, Section};
use super::words::shorten;
use ipc::address::Address;
use ipc::departure::Departure;
use ipc::message::exchange::Families;
use ipc::served_at::{InterfaceName, is_index};
use std::net::{IpAddr, SocketAddr};

/// `families`: those in which the source can be asked.
pub fn read(section: &Section<'_>, families: Families, faults: &mut Faults<'_>) -> Departure {
    let dscp = section.whole("dscp", 0..=63, 46, faults).and_then(|dscp| u8::try_from(dscp).ok());
    Departure {
        from: read_addresses(section, families, faults),
        interface: read_interface(section, faults),
        dscp: dscp.unwrap_or(0),
    }
}

fn read_addresses(
    section: &Section<'_>,
    families: Families,
    faults: &mut Faults<'_>,
) -> [Option<Address>; 2] {
    let mut from = [None; 2];
    for (at, text) in section.texts("send-from", "192.0.2.7", faults).unwrap_or_default() {
        let found = text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let wrong = match found {
            None => "not an address; write one of this host, as \"192.0.2.7\", without a port",
            Some(ip) if !is_of_a_host(ip) => {
                "not an address that a packet can be sent from on every network; for a link-local one, name its interface alone"
            }
            Some(ip) if !families.admits(ip) => {
                "of another family than the source, which is never asked from it; leave it out"
            }
            Some(ip) => {
                let place = &mut from[usize::from(ip.is_ipv6())];
                if place.replace(Address::from(SocketAddr::new(ip, 0))).is_none() {
                    continue;
                }
                "the second address of its family; leave one of them out"
            }
        };
        faults.add(at, format!("send-from: \"{}\" is {wrong}", shorten(text)));
    }
    from
}

fn is_of_a_host(ip: IpAddr) -> bool {
    let is_of_link = match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    Address::from(SocketAddr::new(ip, 1)).is_unicast() && !is_of_link
}

fn read_interface(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<InterfaceName> {
    let (at, text) = section.text("send-over", "eth0", faults)?;
    match InterfaceName::parse(text) {
        Ok(name) if !is_index(text) => Some(name),
        _ => {
            let text = format!(
                "send-over: \"{}\" is no name of an interface; ip link shows their names; write send-over = \"eth0\"",
                shorten(text)
            );
            faults.add(at, text);
            None
        }
    }
}
