//! Rules of access: chrony's and ntpd's, as the longest prefix decides here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: an address whose bits beyond the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    /// Of IPv6.
    pub ipv6: bool,
    /// The address, at the upper end of the 128 bits.
    prefix: u128,
    /// The length of the prefix.
    pub bits: u8,
}

impl Network {
    /// Of this address, cut to the prefix; none: it is longer than the address.
    pub fn new(ip: IpAddr, bits: u8) -> Option<Self> {
        let (ipv6, whole, most) = match ip {
            IpAddr::V4(v4) => (false, u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (true, v6.to_bits(), 128),
        };
        (bits <= most).then(|| Self { ipv6, prefix: whole & mask(bits), bits })
    }

    /// All addresses of a family.
    pub fn all(ipv6: bool) -> Self {
        Self { ipv6, prefix: 0, bits: 0 }
    }

    /// Whether it is of this host alone.
    pub fn is_loopback(&self) -> bool {
        match self.ipv6 {
            false => self.bits >= 8 && self.prefix >> 120 == 127,
            true => self.bits == 128 && self.prefix == 1,
        }
    }

    /// Whether it has all addresses of the other one.
    pub fn contains(&self, other: &Self) -> bool {
        self.ipv6 == other.ipv6 && self.bits <= other.bits && other.prefix & mask(self.bits) == self.prefix
    }

    /// Whether it is a network of IPv4 addresses in IPv6 form, of which no client has one.
    pub fn is_mapped(&self) -> bool {
        self.ipv6 && self.bits >= 96 && self.prefix >> 32 == 0xffff
    }

    /// The networks of `bits` more that it is made of.
    fn parts(self, more: u8) -> impl Iterator<Item = Self> {
        let bits = self.bits.saturating_add(more);
        let step = if bits == 0 { 0 } else { 1u128 << (128 - u32::from(bits)) };
        (0..1u128 << more).map(move |place| Self { prefix: self.prefix | (place * step), bits, ..self })
    }
}

fn mask(bits: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ipv6 {
            false => write!(f, "{}/{}", Ipv4Addr::from_bits((self.prefix >> 96) as u32), self.bits),
            true => write!(f, "{}/{}", Ipv6Addr::from_bits(self.prefix), self.bits),
        }
    }
}

/// A network as chrony.conf and ntp.conf have it: an address with or without a prefix, the first numbers of an IPv4 address, or,
/// as `None` within, a name.
pub fn parse(text: &str) -> Result<Option<Network>, ()> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| ())?)),
        None => (text, None),
    };
    if let Ok(ip) = address.parse::<IpAddr>() {
        let most = if ip.is_ipv6() { 128 } else { 32 };
        return Network::new(ip, bits.unwrap_or(most)).map(Some).ok_or(());
    }
    let parts: Vec<&str> = address.split('.').collect();
    let numbers: Option<Vec<u8>> = parts.iter().map(|part| part.parse().ok()).collect();
    match numbers {
        Some(numbers) if numbers.len() < 4 => {
            let mut octets = [0; 4];
            octets.iter_mut().zip(&numbers).for_each(|(octet, number)| *octet = *number);
            let usual = u8::try_from(8 * numbers.len()).unwrap_or(32);
            Network::new(Ipv4Addr::from(octets).into(), bits.unwrap_or(usual)).map(Some).ok_or(())
        }
        _ if bits.is_some() || address.contains(':') => Err(()),
        _ if address.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.') => Err(()),
        _ => Ok(None),
    }
}

/// Rules of which the longest prefix decides; an address without one has no answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub BTreeMap<Network, bool>);

impl Rules {
    /// Whether any address is answered.
    pub fn allow_any(&self) -> bool {
        self.0.values().any(|allow| *allow)
    }

    /// Whether an address of this family is answered.
    pub fn allow_family(&self, ipv6: bool) -> bool {
        self.0.iter().any(|(network, allow)| *allow && network.ipv6 == ipv6)
    }

    /// Those that allow, or those that deny.
    pub fn list(&self, allow: bool) -> impl Iterator<Item = &Network> {
        self.0.iter().filter(move |(_, allowed)| **allowed == allow).map(|(network, _)| network)
    }

    /// Takes out what changes no verdict: a rule that says what the one around it says, and one that denies where nothing else
    /// is said.
    pub fn simplify(&mut self) {
        // In this order a network comes before all that it contains.
        let mut around: Vec<(Network, bool)> = Vec::new();
        self.0.retain(|network, allow| {
            while around.last().is_some_and(|(outer, _)| !outer.contains(network)) {
                around.pop();
            }
            let said = around.last().is_some_and(|(_, said)| *said);
            around.push((*network, *allow));
            said != *allow && !network.is_mapped()
        });
    }
}

/// chronyd's rules: a tree of tables with one level for four bits. A rule writes into all entries of its level that it covers,
/// so that of two rules of one level the later one counts where they overlap, and of different levels the longer prefix.
#[derive(Clone, Debug, Default)]
pub struct ChronyRules(BTreeMap<Network, bool>);

impl ChronyRules {
    /// `allow` or `deny` of a network; with `all` the rules inside it are forgotten.
    pub fn set(&mut self, network: Network, allow: bool, all: bool) {
        let more = (4 - network.bits % 4) % 4;
        for part in network.parts(more) {
            if all {
                let last = Network { prefix: part.prefix | !mask(part.bits), bits: u8::MAX, ..part };
                let inside: Vec<Network> = self.0.range(part..=last).map(|(inside, _)| *inside).collect();
                inside.iter().for_each(|inside| {
                    self.0.remove(inside);
                });
            }
            self.0.insert(part, allow);
        }
    }

    /// The same with as few prefixes as there are on each level.
    pub fn rules(&self) -> Rules {
        let mut rules = self.0.clone();
        for _ in 0..3 {
            let mut merged = rules.clone();
            for (network, allow) in &rules {
                let Some(bits) = network.bits.checked_sub(1).filter(|bits| bits % 4 != 0) else { continue };
                let whole = Network { prefix: network.prefix & mask(bits), bits, ..*network };
                let halves: Vec<Network> = whole.parts(1).collect();
                if halves.iter().all(|half| rules.get(half) == Some(allow)) {
                    halves.iter().for_each(|half| {
                        merged.remove(half);
                    });
                    merged.insert(whole, *allow);
                }
            }
            rules = merged;
        }
        let mut rules = Rules(rules);
        rules.simplify();
        rules
    }
}

#[cfg(test)]
#[path = "access/tests.rs"]
mod tests;
