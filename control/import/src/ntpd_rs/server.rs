//! [[server]] and [[nts-ke-server]] of ntp.toml.

use super::{Reading, amount, explain, text};
use crate::access::{Network, Rules, parse};
use crate::plan::{Part, Plan, quoted};
use crate::serving::KeyExchange;
use ipc::file_path::FilePath;
use std::net::{IpAddr, SocketAddr};
use toml::Spanned;
use toml::de::{DeArray, DeValue};

/// Who is let in by one server.
#[derive(Clone, Debug, PartialEq)]
struct Lists {
    allow: Vec<Network>,
    deny: Vec<Network>,
}

/// All `[[server]]`: one here, with the rules of the first.
pub fn read<'t>(plan: &mut Plan, reading: &Reading<'t>, list: &'t DeArray<'t>) {
    let mut first: Option<(Lists, u16)> = None;
    let mut is_open = false;
    for one in list.iter() {
        let Some(table) = one.get_ref().as_table() else {
            explain(plan, reading, "server", one, None);
            continue;
        };
        let mut lists = Lists { allow: vec![Network::all(false), Network::all(true)], deny: Vec::new() };
        let (mut listen, mut is_out) = (None, None);
        for (key, value) in reading.entries(table) {
            let item = plan.item(Part::Server, &reading.line(key, value));
            match key {
                "listen" => match text(value).and_then(|text| text.parse::<SocketAddr>().ok()) {
                    Some(address) if is_served(address) => listen = Some((address, item)),
                    _ => {
                        is_out = Some("it has no address that can be served on");
                        plan.loss(item, "", "not carried: no address that can be served on");
                    }
                },
                "allowlist" | "denylist" => {
                    let networks = filter(plan, reading, item, value, &mut is_out);
                    match key {
                        "allowlist" => lists.allow = networks,
                        _ => lists.deny = networks,
                    }
                }
                "require-nts" if value.get_ref().as_bool() == Some(false) => plan.note(item, "", "as here"),
                "require-nts" => {
                    is_out = Some("it answers with NTS alone, which cannot be written here");
                    plan.loss(
                        item,
                        "",
                        "there is nothing like it: plain requests would be answered, so none is",
                    );
                }
                "accept-ntp-versions"
                | "rate-limiting-cache-size"
                | "rate-limiting-cutoff-ms"
                | "rate-limiting-cutoff" => {
                    plan.note(item, "", foreign::instead_of(key).unwrap_or_default());
                }
                _ => plan.loss(item, "", "no key that is known here, and not carried"),
            }
        }
        let Some((address, item)) = listen else { continue };
        if let Some(why) = is_out {
            plan.loss(item, "", &format!("this address is not served on: {why}"));
            continue;
        }
        let known = first.get_or_insert_with(|| (lists.clone(), address.port()));
        if *known != (lists, address.port()) {
            plan.loss(item, "", "this address is not served on: there is one [server] here, with one port and one list of clients");
            continue;
        }
        is_open |= !table.contains_key("allowlist");
        add(&mut plan.serving.listen, address.ip());
    }
    if let Some((lists, port)) = first {
        plan.serving.port = Some(port).filter(|port| *port != 123);
        plan.serving.rules = rules(&lists);
        plan.serving.open = is_open.then_some("ntpd-rs");
    }
}

fn is_served(address: SocketAddr) -> bool {
    let is_of_link = matches!(address.ip(), IpAddr::V6(v6) if v6.is_unicast_link_local());
    !address.ip().is_multicast() && !is_of_link && address.port() > 0
}

/// Adds an address, unless all of its family are there; where it is all of them, the others go.
fn add(listen: &mut Vec<String>, ip: IpAddr) {
    let of_family = |entry: &String| entry.contains(':') == ip.is_ipv6();
    if listen
        .iter()
        .any(|entry| of_family(entry) && (entry == "::" || entry == "0.0.0.0" || *entry == ip.to_string()))
    {
        return;
    }
    if ip.is_unspecified() {
        listen.retain(|entry| !of_family(entry));
    }
    listen.push(ip.to_string());
}

/// Who is on the first list and not on the second, as the longest prefix decides.
fn rules(lists: &Lists) -> Rules {
    let mut rules = Rules::default();
    let is_denied = |network: &&Network| !lists.deny.iter().any(|deny| deny.contains(network));
    lists.allow.iter().filter(is_denied).for_each(|network| {
        rules.0.insert(*network, true);
    });
    lists.deny.iter().for_each(|network| {
        rules.0.insert(*network, false);
    });
    rules.simplify();
    rules
}

/// `filter` and `action` of a list.
fn filter<'t>(
    plan: &mut Plan,
    reading: &Reading<'t>,
    item: usize,
    value: &'t Spanned<DeValue<'t>>,
    is_out: &mut Option<&'static str>,
) -> Vec<Network> {
    let mut networks = Vec::new();
    let Some(table) = value.get_ref().as_table() else {
        *is_out = Some("a list of clients is not understood");
        plan.loss(item, "", "no table with filter and action");
        return networks;
    };
    for (key, value) in reading.entries(table) {
        match (key, value.get_ref().as_array(), text(value)) {
            ("filter", Some(list), _) => {
                for one in list.iter() {
                    match text(one).map(parse) {
                        Some(Ok(Some(network))) => networks.push(network),
                        _ => {
                            *is_out = Some("a list of clients is not understood");
                            plan.loss(item, reading.text.get(one.span()).unwrap_or_default(), "no network");
                        }
                    }
                }
            }
            ("action", _, Some("ignore")) => {}
            ("action", ..) => {
                plan.note(item, "action", "not carried: who is not let in gets no answer; DENY is never sent")
            }
            _ => {
                *is_out = Some("a list of clients is not understood");
                plan.loss(item, key, "no key that is known here");
            }
        }
    }
    networks
}

/// All `[[nts-ke-server]]`: one here.
pub fn key_exchange<'t>(plan: &mut Plan, reading: &Reading<'t>, list: &'t DeArray<'t>) {
    let mut is_first = true;
    for one in list.iter() {
        let Some(table) = one.get_ref().as_table() else {
            explain(plan, reading, "nts-ke-server", one, None);
            continue;
        };
        let mut exchange = KeyExchange::default();
        for (key, value) in reading.entries(table) {
            let item = plan.item(Part::ServerNts, &reading.line(key, value));
            if !is_first {
                plan.loss(item, "", "not carried: there is one [server.nts] here");
                continue;
            }
            let path = text(value).filter(|file| FilePath::parse(file).is_ok());
            match key {
                "listen" => match text(value).and_then(|text| text.parse::<SocketAddr>().ok()) {
                    Some(address) if is_served(address) => {
                        add(&mut exchange.listen, address.ip());
                        exchange.port = Some(address.port());
                    }
                    _ => plan.loss(item, "", "not carried: no address that can be served on"),
                },
                "certificate-chain-path" if path.is_some() => {
                    plan.set(Part::ServerNts, "certificate", quoted(path.unwrap_or_default()), item);
                }
                "private-key-path" if path.is_some() => {
                    plan.set(Part::ServerNts, "key", quoted(path.unwrap_or_default()), item);
                }
                "concurrent-connections" => match amount(value).filter(|count| *count >= 1.0) {
                    Some(count) => {
                        plan.set(
                            Part::ServerNts,
                            "connections",
                            format!("{}", count.min(512.0) as u16),
                            item,
                        );
                        if count > 512.0 {
                            plan.note(item, "", "512 here, which is the limit");
                        }
                    }
                    None => plan.loss(item, "", "not carried: no number that can be used"),
                },
                "ntp-server" => {
                    match text(value).filter(|host| ipc::message::exchange::HostName::parse(host).is_ok()) {
                        Some(host) => plan.set(Part::ServerNts, "ntp-server", quoted(host), item),
                        None => plan.loss(item, "", "not carried: no host name and no IPv4 address"),
                    }
                }
                "ntp-port" => match amount(value).filter(|port| (1.0..=65_535.0).contains(port)) {
                    Some(port) => plan.set(Part::ServerNts, "ntp-port", format!("{}", port as u16), item),
                    None => plan.loss(item, "", "not carried: no port"),
                },
                _ => match foreign::instead_of(key).filter(|why| why.starts_with("nothing")) {
                    Some(why) => plan.note(item, "", why),
                    None => plan.loss(
                        item,
                        "",
                        "no key that is known here, or no value that can be used: not carried",
                    ),
                },
            }
        }
        if is_first && !exchange.listen.is_empty() {
            plan.serving.nts = Some(exchange);
        }
        is_first = false;
    }
}

/// Without a server nobody is answered.
pub fn settle(plan: &mut Plan) {
    if plan.serving.listen.is_empty() && plan.serving.blocked.is_none() {
        plan.serving.unwanted = Some("there is no [[server]] that can be".to_owned());
        if plan.serving.rules.allow_any() {
            plan.serving.rules = Rules::default();
        }
    }
}
