//! Replies to `clients` and `access`.

use super::write;
use crate::links::ClientList;
use ipc::message::server::{Client, Rule, ServerPolicy};
use report::{AccessReply, ClientReport, ClientsReply, FORMAT};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reply to `clients`; none: no server is configured.
pub fn clients(told: Option<&ClientList>, policy: &ServerPolicy) -> String {
    let limit = (told.is_some() && policy.limited).then(|| 1.0 / f64::from(policy.address_rate.max(1)));
    write(&ClientsReply {
        configured: told.is_some(),
        known: told.map(|told| told.known),
        room: told.map(|told| told.room),
        replaced: told.map(|told| told.replaced),
        shortest_interval_s: limit,
        clients: told
            .map_or_else(Vec::new, |told| told.clients.iter().map(|client| report(client, limit)).collect()),
        format: FORMAT,
    })
}

fn report(client: &Client, limit: Option<f64>) -> ClientReport {
    // To the microsecond and the millisecond: more digits would say nothing.
    let interval_s = client.interval.map(|interval| (interval.nanos() / 1_000) as f64 / 1e6);
    let asks_more = interval_s.zip(limit).is_some_and(|(interval, limit)| interval < limit);
    ClientReport {
        address: name(client),
        requests: client.requests,
        dropped: client.dropped,
        denied: client.is_denied,
        too_often: asks_more && client.dropped > 0 && !client.is_denied,
        interval_s,
        last_request_s: (client.age.nanos() / 1_000_000) as f64 / 1e3,
        authenticated: client.is_protected,
        version: Some(client.version).filter(|version| (1..=5).contains(version)),
        keyed: client.is_keyed,
    }
}

/// An IPv4 address, or an IPv6 network.
fn name(client: &Client) -> String {
    let [a, b, c, d, ..] = client.network;
    match client.ipv6 {
        false => Ipv4Addr::new(a, b, c, d).to_string(),
        true => {
            let upper = u128::from(u64::from_be_bytes(client.network));
            format!("{}/64", Ipv6Addr::from_bits(upper << 64))
        }
    }
}

/// Reply to `access`; `rules`: none: no server is configured.
pub fn access(ip: IpAddr, rules: Option<&[Rule]>, policy: &ServerPolicy) -> String {
    let rule = rules.and_then(|rules| deciding(rules, ip));
    let rate = |rate: u32| (rules.is_some() && policy.limited).then_some(rate);
    write(&AccessReply {
        configured: rules.is_some(),
        address: ip.to_canonical().to_string(),
        allowed: rule.is_some_and(|rule| rule.allow),
        rule: rule.map(prefix),
        address_rate_per_s: rate(policy.address_rate),
        network_rate_per_s: rate(policy.network_rate),
        format: FORMAT,
    })
}

/// The rule that decides on this address, as the server has it (`network/server/src/access.rs`): the longest prefix; of
/// two with the same one, that which denies. None: the address is denied.
fn deciding(rules: &[Rule], ip: IpAddr) -> Option<&Rule> {
    let matching = rules.iter().filter_map(|rule| Some((matches(rule, ip)?, !rule.allow, rule)));
    matching.max_by_key(|(bits, denies, _)| (*bits, *denies)).map(|(.., rule)| rule)
}

/// The length of the prefix, if the address has it. A rule for mapped addresses is one for IPv4.
fn matches(rule: &Rule, ip: IpAddr) -> Option<u32> {
    let (bits, whole) = (u32::from(rule.bits), u128::from_be_bytes(rule.prefix));
    let is_mapped = rule.ipv6 && bits >= 96 && whole >> 32 == 0xffff;
    let (bits, differs) = match (ip.to_canonical(), rule.ipv6) {
        (IpAddr::V4(v4), false) => (bits, whole ^ u128::from(v4.to_bits()) << 96),
        (IpAddr::V4(v4), true) if is_mapped => (bits - 96, (whole ^ u128::from(v4.to_bits())) << 96),
        (IpAddr::V6(v6), true) if !is_mapped => (bits, whole ^ v6.to_bits()),
        _ => return None,
    };
    // By no bit at all, or in none of those that count.
    (bits == 0 || differs >> (128 - bits.min(128)) == 0).then_some(bits)
}

fn prefix(rule: &Rule) -> String {
    let [a, b, c, d, ..] = rule.prefix;
    match rule.ipv6 {
        false => format!("{}/{}", Ipv4Addr::new(a, b, c, d), rule.bits),
        true => format!("{}/{}", Ipv6Addr::from(rule.prefix), rule.bits),
    }
}

#[cfg(test)]
mod tests;
