//! Directives of chrony.conf about serving time.

use super::{Found, at, number, only, replace};
use crate::access::{self, Network};
use crate::plan::{Part, Plan, number as toml, quoted};
use crate::serving::{KeyExchange, LEAST_OF_ORPHANS, is_interface, sign, too_low};
use crate::words::{Line, Words};
use ipc::file_path::FilePath;
use ipc::message::exchange::HostName;
use std::net::IpAddr;

/// Reads one of them; `false`: it is another directive.
pub fn read(plan: &mut Plan, found: &mut Found, line: &Line, directive: &str, words: &mut Words) -> bool {
    let part = match directive {
        "ntsport" | "ntsserverkey" | "ntsservercert" | "ntsprocesses" | "maxntsconnections"
        | "ntsntpserver" | "ntsrotate" => Part::ServerNts,
        "allow" | "deny" | "port" | "bindaddress" | "binddevice" | "local" | "ratelimit" | "smoothtime"
        | "dscp" | "ntpsigndsocket" => Part::Server,
        _ => return false,
    };
    let item = at(plan, part, line);
    found.is_limited |= directive == "ratelimit";
    match directive {
        "allow" | "deny" => rule(plan, found, item, directive == "allow", words),
        "port" => match number(plan, item, (directive, words), 0..=65_535u16) {
            Some(port) => replace(plan, &mut found.port, port, item),
            None => plan.serving.block("the number of port cannot be read, and may be 0"),
        },
        "bindaddress" => bindaddress(plan, found, item, words),
        "binddevice" => {
            let device = only(plan, item, words).unwrap_or_default();
            match is_interface(&device) {
                true => replace(plan, &mut found.device, device, item),
                false => {
                    plan.serving.block("the interface of binddevice cannot be named here");
                    plan.loss(item, "", "no name of an interface that can be used");
                }
            }
        }
        "local" => local(plan, item, words),
        "ratelimit" => ratelimit(plan, item, words),
        "smoothtime" => smoothtime(plan, found, item, words),
        "dscp" => {
            if let Some(point) = number(plan, item, (directive, words), 0..=63u8) {
                plan.set(Part::Server, "dscp", point.to_string(), item);
                replace(plan, &mut found.dscp, point, item);
            }
        }
        "ntpsigndsocket" => {
            if let Some(folder) = only(plan, item, words) {
                sign(plan, item, &folder);
            }
        }
        "ntsport" => {
            if let Some(port) = number(plan, item, (directive, words), 1..=65_535) {
                replace(plan, &mut found.nts_port, port, item);
            }
        }
        "ntsserverkey" => pair(plan, found, item, 1, words),
        "ntsservercert" => pair(plan, found, item, 0, words),
        "ntsprocesses" => {
            if let Some(count) = number(plan, item, (directive, words), 0..=1000u32) {
                let threads = count.clamp(1, 16);
                if threads != count {
                    plan.note(item, "", &format!("{threads} here, which is the limit"));
                }
                plan.set(Part::ServerNts, "threads", threads.to_string(), item);
            }
        }
        "maxntsconnections" => {
            if let Some(count) = number(plan, item, (directive, words), 1..=1_000_000u32) {
                if count > 512 {
                    plan.note(item, "", "512 here, which is the limit");
                }
                plan.set(Part::ServerNts, "connections", count.min(512).to_string(), item);
            }
        }
        "ntsntpserver" => {
            if let Some(host) = only(plan, item, words) {
                match HostName::parse(&host) {
                    Ok(_) => plan.set(Part::ServerNts, "ntp-server", quoted(&host), item),
                    Err(_) => plan.loss(item, "", "not carried: no host name and no IPv4 address"),
                }
            }
        }
        _ => {
            let interval = words.take().unwrap_or_default();
            let why = foreign::instead_of(directive).unwrap_or_default();
            match interval.as_str() {
                "0" => plan.loss(item, "", why),
                _ => plan.note(item, "", why),
            }
            words.rest();
        }
    }
    plan.leftover(item, words);
    true
}

fn rule(plan: &mut Plan, found: &mut Found, item: usize, allow: bool, words: &mut Words) {
    let all = words.peek().is_some_and(|word| word.eq_ignore_ascii_case("all"));
    if all {
        words.take();
    }
    let networks = match words.take() {
        None => vec![Network::all(false), Network::all(true)],
        Some(text) => match access::parse(&text) {
            Ok(Some(network)) if network.is_mapped() => {
                return plan.note(item, &text, "no client has such an address");
            }
            Ok(Some(network)) => vec![network],
            Ok(None) if allow => {
                found.lost_rule = true;
                return plan.loss(
                    item,
                    &text,
                    "not carried: rules are of networks and addresses, not of names",
                );
            }
            Err(()) if allow => {
                found.lost_rule = true;
                return plan.loss(item, &text, "not carried: no network");
            }
            _ => {
                plan.serving.block("somebody is denied who cannot be denied here");
                return plan.loss(
                    item,
                    &text,
                    "rules are of networks and addresses; without it more clients would be answered, so none is: write its \
                     address into deny, and remove the signs # of [server]",
                );
            }
        },
    };
    networks.into_iter().for_each(|network| found.rules.set(network, allow, all));
}

fn bindaddress(plan: &mut Plan, found: &mut Found, item: usize, words: &mut Words) {
    let address = only(plan, item, words).unwrap_or_default();
    match address.parse::<IpAddr>() {
        Ok(ip) if !ip.is_multicast() && !is_of_link(ip) && ip.to_canonical() == ip => {
            if let Some(bound) = found.bound.get_mut(usize::from(ip.is_ipv6())) {
                replace(plan, bound, ip.to_string(), item);
            }
        }
        _ => {
            plan.serving.block("an address of bindaddress cannot be served on here");
            plan.loss(
                item,
                "",
                "no address that can be served on; without it more addresses would be served, so none is",
            );
        }
    }
}

fn is_of_link(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn local(plan: &mut Plan, item: usize, words: &mut Words) {
    let (mut stratum, mut orphan) = (10, false);
    while let Some(word) = words.take() {
        match word.to_ascii_lowercase().as_str() {
            "stratum" => stratum = number(plan, item, ("stratum", words), 1..=15u8).unwrap_or(stratum),
            "orphan" => {
                orphan = true;
                plan.set(Part::Server, "local-orphan", "true".to_owned(), item);
            }
            word @ ("distance" | "activate" | "waitsynced" | "waitunsynced") => {
                let (key, most) = match word {
                    "distance" => ("local-distance", 16.0),
                    "activate" => ("local-activate", 16.0),
                    "waitsynced" => ("local-wait-synchronised", 1e6),
                    _ => ("local-wait-unsynchronised", 1e6),
                };
                if let Some(value) = number(plan, item, (word, words), 0.0..=1e9f64) {
                    if value > most {
                        plan.note(
                            item,
                            &format!("{word} {value}"),
                            &format!("{most} here, which is the limit"),
                        );
                    }
                    plan.set(Part::Server, key, toml(value.min(most)), item);
                }
            }
            _ => plan.loss(item, &word, "no option that is known here, and not carried"),
        }
    }
    if orphan && stratum < LEAST_OF_ORPHANS {
        plan.loss(item, &format!("stratum {stratum}"), &too_low(LEAST_OF_ORPHANS));
        stratum = LEAST_OF_ORPHANS;
    }
    plan.set(Part::Server, "local-stratum", stratum.to_string(), item);
}

fn ratelimit(plan: &mut Plan, item: usize, words: &mut Words) {
    let (mut interval, mut kiss) = (3, false);
    while let Some(word) = words.take() {
        match word.to_ascii_lowercase().as_str() {
            "interval" => interval = number(plan, item, ("interval", words), -19..=12i32).unwrap_or(interval),
            word @ ("burst" | "leak") => {
                let value = words.take().unwrap_or_default();
                plan.note(
                    item,
                    format!("{word} {value}").trim_end(),
                    "fixed here, see [server] in truechimer.toml(5)",
                );
            }
            "kod" => kiss = number(plan, item, ("kod", words), 0..=4u8).is_some_and(|rate| rate > 0),
            _ => plan.loss(item, &word, "no option that is known here, and not carried"),
        }
    }
    let rate = if interval < 0 { 1u32 << interval.unsigned_abs() } else { 1 };
    if rate > 10_000 {
        plan.note(item, "", "10000 answers a second here, which is the limit");
    }
    if interval > 0 {
        plan.note(item, "", "one answer a second to an address here, which is the lowest limit");
    }
    plan.set(Part::Server, "address-rate", rate.min(10_000).to_string(), item);
    plan.note(
        item,
        "",
        "on an average of eight seconds; a network has the same limit here, see network-rate",
    );
    if !kiss {
        plan.set(Part::Server, "kiss", "false".to_owned(), item);
    }
}

fn smoothtime(plan: &mut Plan, found: &mut Found, item: usize, words: &mut Words) {
    let values = [words.take(), words.take()].map(Option::unwrap_or_default).join(" ");
    let why = foreign::instead_of("smoothtime").unwrap_or_default();
    match words.take() {
        Some(word) if word.eq_ignore_ascii_case("leaponly") => {
            found.leap[1] = Some(item);
            plan.set(Part::Server, "leap-smear", quoted("cosine"), item);
            plan.loss(
                item,
                &format!("{values} {word}"),
                "the curve is another one here, from noon to noon (UTC) around the leap second: clients must use servers of \
                 one kind alone",
            );
        }
        other => {
            plan.loss(item, &[Some(values), other].into_iter().flatten().collect::<Vec<_>>().join(" "), why)
        }
    }
}

/// A certificate (0) or a key (1).
fn pair(plan: &mut Plan, found: &mut Found, item: usize, which: usize, words: &mut Words) {
    let Some(file) = only(plan, item, words) else { return };
    if FilePath::parse(&file).is_err() {
        return plan.loss(item, "", "not carried: no whole path of a file that can be used");
    }
    if let Some(files) = found.pairs.get_mut(which) {
        files.push((file, item));
    }
}

/// What the directives say together.
pub fn settle(plan: &mut Plan, found: &mut Found) {
    plan.serving.rules = found.rules.rules();
    plan.serving.listen = addresses(found);
    plan.serving.port = found.port.map(|(port, _)| port);
    if plan.serving.port == Some(0) {
        (plan.serving.port, plan.serving.blocked) = (None, None);
        plan.serving.unwanted = Some("as before, because port is 0".to_owned());
        plan.calm(Part::Server);
        plan.calm(Part::ServerNts);
    } else if !plan.serving.rules.allow_any() && plan.serving.blocked.is_none() {
        match found.lost_rule {
            true => plan.serving.unwanted = Some("no rule of access could be carried".to_owned()),
            false => {
                plan.serving.unwanted = Some("as before, because no client is allowed".to_owned());
                plan.calm(Part::Server);
                plan.calm(Part::ServerNts);
            }
        }
    }
    if plan.serving.blocked.is_none() && plan.serving.unwanted.is_none() && !found.is_limited {
        plan.remark(
            Part::Server,
            "chronyd limits no rates without ratelimit; here a client has 16 answers a second, see address-rate and rate-limit.",
        );
    }
    if let (Some(slew), Some(_)) = (found.leap[0], found.leap[1])
        && plan.serving.unwanted.is_none()
    {
        plan.set(Part::Clock, "leap-seconds", "true".to_owned(), slew);
        plan.loss(
            slew,
            "",
            "a server that smears leap seconds for its clients needs leap-seconds = true here: the kernel steps this host's own \
             clock",
        );
    }
    let [certificates, keys] = std::mem::take(&mut found.pairs);
    let count = certificates.len().min(keys.len());
    for (_, item) in certificates.iter().skip(count).chain(keys.iter().skip(count)) {
        plan.note(*item, "", "not carried: certificate and key are needed both, as by chronyd");
    }
    let mut pairs = certificates.into_iter().zip(keys);
    let Some(((certificate, certificate_item), (key, item))) = pairs.next() else { return };
    plan.set(Part::ServerNts, "certificate", quoted(&certificate), certificate_item);
    plan.set(Part::ServerNts, "key", quoted(&key), item);
    plan.serving.nts = Some(KeyExchange {
        listen: plan.serving.listen.clone(),
        port: found.nts_port.map(|(port, _)| port),
        further: pairs.map(|((certificate, _), (key, item))| (certificate, key, item)).collect(),
    });
}

/// Where chronyd listens: on one address of each family, or on all.
fn addresses(found: &Found) -> Vec<String> {
    let usual = ["0.0.0.0", "::"];
    let bound =
        found.bound.iter().zip(usual).map(|(bound, all)| bound.as_ref().map_or(all, |(address, _)| address));
    let device = found.device.as_ref();
    bound
        .map(|address| device.map_or(address.to_owned(), |(device, _)| format!("{address}%{device}")))
        .collect()
}
