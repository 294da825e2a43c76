//! server, pool and peer of chrony.conf, and what decides how their certificates are judged.

use super::{Found, number, only, replace};
use crate::place;
use crate::plan::{Part, Plan, Source, number as toml, quoted};
use crate::serving::is_interface;
use crate::words::{Line, Words};
use std::net::IpAddr;

/// Options with a value that have nothing like them here.
const WITH_VALUE: [&str; 12] = [
    "asymmetry",
    "extfield",
    "filter",
    "maxdelayratio",
    "maxdelaydevratio",
    "maxdelayquant",
    "maxsamples",
    "mindelay",
    "minsamples",
    "polltarget",
    "presend",
    "version",
];

/// Options without a value that have nothing like them here.
const BARE: [&str; 3] = ["auto_offline", "copy", "offline"];

/// Names whose addresses are link-local: those of time servers inside a cloud, by the word of its operator.
pub const LINK_LOCAL: [&str; 1] = ["metadata.google.internal"];

/// What the options say.
#[derive(Default)]
struct Options {
    iburst: bool,
    burst: bool,
    min_poll: Option<i32>,
    max_poll: Option<i32>,
    members: Option<(u8, String)>,
    port: Option<u16>,
    nts_port: Option<u16>,
    set: Option<u32>,
}

/// A source.
pub fn read(plan: &mut Plan, found: &mut Found, line: &Line, directive: &str, mut words: Words) {
    let item = plan.item(Part::Source, line);
    let Some(host) = words.take() else {
        return plan.lose_source(item, "", "not carried: there is no host");
    };
    let mut source = Source::of(item, &host);
    if directive == "peer" {
        source.out =
            Some("there are no peers; as a server it would be asked, and not answered as a peer".to_owned());
    }
    let mut options = Options::default();
    while let Some(word) = words.take() {
        option(plan, item, &mut source, &mut options, &word, &mut words);
    }
    settle_options(plan, item, directive, &mut source, &options);
    if let Some(fault) = place::fault(&host) {
        source.out = Some(format!("{host} {fault}"));
    }
    if source.nts {
        found.wanted.push((plan.sources.len(), options.set.unwrap_or(0)));
    }
    plan.sources.push(source);
}

fn option(
    plan: &mut Plan,
    item: usize,
    source: &mut Source,
    options: &mut Options,
    written: &str,
    words: &mut Words,
) {
    let word = written.to_ascii_lowercase();
    match word.as_str() {
        "iburst" => options.iburst = true,
        "burst" => options.burst = true,
        "nts" => source.nts = true,
        "prefer" => source.keys.push(("prefer", "true".to_owned())),
        "trust" => source.keys.push(("trust", "true".to_owned())),
        "require" => source.keys.push(("require", "true".to_owned())),
        "noselect" => source.keys.push(("noselect", "true".to_owned())),
        "xleave" => source.keys.push(("interleaved", "true".to_owned())),
        "minpoll" => options.min_poll = number(plan, item, (&word, words), -32..=32).or(options.min_poll),
        "maxpoll" => options.max_poll = number(plan, item, (&word, words), -32..=32).or(options.max_poll),
        "port" => options.port = number(plan, item, (&word, words), 1..=65_535),
        "ntsport" => options.nts_port = number(plan, item, (&word, words), 1..=65_535),
        "certset" => options.set = number(plan, item, (&word, words), 0..=u32::MAX),
        "minstratum" => match number(plan, item, (&word, words), 1..=15u8) {
            Some(15) => plan.note(
                item,
                "minstratum 15",
                "not carried: nothing would be served with it; the most is 14",
            ),
            Some(stratum) => source.keys.push(("min-stratum", stratum.to_string())),
            None => {}
        },
        "maxsources" => {
            if let Some(members) = number(plan, item, (&word, words), 1..=255u8) {
                options.members = Some((members, format!("{word} {members}")));
            }
        }
        "maxdelay" => {
            if let Some(delay) = number(plan, item, (&word, words), 0.0..=1e9f64) {
                let used = delay.clamp(0.000_01, 16.0);
                if used != delay {
                    plan.note(item, &format!("{word} {delay}"), &format!("{used} here, which is the limit"));
                }
                source.keys.push(("max-delay", toml(used)));
            }
        }
        "offset" => {
            if let Some(offset) = number(plan, item, (&word, words), -1e9..=1e9f64) {
                match (-1.0..=1.0).contains(&offset) {
                    true => source.keys.push(("offset", toml(offset))),
                    false => {
                        plan.loss(item, &format!("{word} {offset}"), "not carried: -1 to 1 s is the limit");
                        source.out = Some("without its correction it would be wrong".to_owned());
                    }
                }
            }
        }
        "key" => {
            source.key = number(plan, item, (&word, words), 1..=u32::MAX);
            if source.key.is_none() {
                source.out = Some("without its key it would be believed without authentication".to_owned());
            }
        }
        "ipv4" | "ipv6" if place::is_address(&source.host) => plan.note(item, &word, place::HAS_FAMILY),
        "ipv4" | "ipv6" => source.keys.push(("family", format!("\"{word}\""))),
        _ if BARE.contains(&word.as_str()) => explain(plan, item, &word, &word),
        _ if WITH_VALUE.contains(&word.as_str()) => {
            let value = words.take().unwrap_or_default();
            explain(plan, item, &word, format!("{word} {value}").trim_end());
        }
        _ => plan.loss(item, written, "no option that is known here, and not carried"),
    }
}

fn explain(plan: &mut Plan, item: usize, word: &str, words: &str) {
    plan.note(item, words, foreign::instead_of(word).unwrap_or("not carried"));
}

fn settle_options(plan: &mut Plan, item: usize, directive: &str, source: &mut Source, options: &Options) {
    match (options.iburst, options.burst) {
        (_, true) => source.keys.push(("burst", quoted("always"))),
        (false, false) => source.keys.push(("burst", "false".to_owned())),
        (true, false) => {}
    }
    polls(plan, item, source, options.min_poll, options.max_poll);
    match directive {
        "pool" if place::is_address(&source.host) => {
            plan.note(item, "pool", "an address is one server here");
        }
        "pool" => {
            let members = options.members.as_ref().map_or(4, |(members, _)| *members);
            if members > 16 {
                plan.note(item, &format!("maxsources {members}"), "16 here, which is the limit");
            }
            source.members = Some(members.min(16));
        }
        _ => {}
    }
    if let (Some((_, words)), None) = (&options.members, source.members) {
        plan.note(item, words, "not carried: only a pool has members");
    }
    source.port = if source.nts { options.nts_port } else { options.port };
    if let (true, Some(port)) = (source.nts, options.port) {
        plan.note(item, &format!("port {port}"), "not carried: the key exchange server names the port");
    }
    if let (false, Some(port)) = (source.nts, options.nts_port) {
        plan.note(item, &format!("ntsport {port}"), "not carried: there is no nts beside it");
    }
    if let (false, Some(set)) = (source.nts, options.set) {
        plan.note(item, &format!("certset {set}"), "not carried: there is no nts beside it");
    }
    if LINK_LOCAL.iter().any(|name| place::are_one(name, &source.host)) {
        source.keys.push(("allow-link-local", "true".to_owned()));
    }
}

/// The limits of the poll interval, as exponents of two.
pub fn polls(plan: &mut Plan, item: usize, source: &mut Source, min: Option<i32>, max: Option<i32>) {
    let mut limit = |what: &str, exponent: i32| {
        let used = exponent.clamp(-4, 17);
        if used != exponent {
            plan.note(item, &format!("{what} {exponent}"), &format!("{used} here, which is the limit"));
        }
        used
    };
    let least = min.map(|min| limit("minpoll", min));
    let most = max.map(|max| limit("maxpoll", max));
    let most = match (least, most) {
        (Some(least), Some(most)) if least > most => {
            plan.note(item, &format!("maxpoll {most}"), &format!("{least} here, not below minpoll"));
            Some(least)
        }
        _ => most,
    };
    if let Some(least) = least {
        source.keys.push(("min-poll", least.to_string()));
    }
    if let Some(most) = most {
        source.keys.push(("max-poll", most.to_string()));
    }
}

/// Reads what says how queries leave the host; `false`: it is another directive.
pub fn departure(
    plan: &mut Plan,
    found: &mut Found,
    line: &Line,
    directive: &str,
    words: &mut Words,
) -> bool {
    if !matches!(directive, "bindacqaddress" | "bindacqdevice") {
        return false;
    }
    let item = plan.item(Part::Source, line);
    let Some(value) = only(plan, item, words) else { return true };
    if directive == "bindacqdevice" {
        match is_interface(&value) {
            true => replace(plan, &mut found.asked_over, value, item),
            false => plan.loss(item, "", "no name of an interface that can be used"),
        }
        return true;
    }
    match value.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(ip) if ip.is_unspecified() => {
            plan.note(item, "", "nothing to write: the kernel chooses the address")
        }
        Ok(ip) if !place::is_of_link(ip) => {
            replace(plan, &mut found.asked_from[usize::from(ip.is_ipv6())], ip, item);
        }
        _ => plan.loss(
            item,
            "",
            "not carried: no address that can be used; see send-from in truechimer.toml(5)",
        ),
    }
    true
}

/// How queries leave the host, of each source.
fn settle_departures(plan: &mut Plan, found: &Found) {
    let from = found.asked_from.iter().flatten().map(|(ip, _)| *ip);
    let over = found.asked_over.as_ref().map(|(name, _)| name);
    for source in &mut plan.sources {
        let is_asked =
            |ip: &IpAddr| place::family(&source.host).is_none_or(|is_ipv4| is_ipv4 == ip.is_ipv4());
        let own =
            source.keys.iter().find(|(name, _)| *name == "family").map(|(_, family)| family.contains("ipv4"));
        let fits = |ip: &IpAddr| is_asked(ip) && own.is_none_or(|is_ipv4| is_ipv4 == ip.is_ipv4());
        let all: Vec<String> = from.clone().filter(fits).map(|ip| format!("\"{ip}\"")).collect();
        if !all.is_empty() {
            source.keys.push(("send-from", format!("[{}]", all.join(", "))));
        }
        if let Some(name) = over {
            source.keys.push(("send-over", quoted(name)));
        }
        if let Some((dscp, _)) = found.dscp {
            source.keys.push(("dscp", dscp.to_string()));
        }
    }
}

/// The certificates of each source with NTS, and whether plain sources may decide.
pub fn settle(plan: &mut Plan, found: &mut Found) {
    settle_departures(plan, found);
    for (place, set) in &found.wanted {
        let Some(source) = plan.sources.get_mut(*place) else { continue };
        match found.sets.get(set) {
            Some((file, _)) => source.roots = Some(file.clone()),
            None if *set == 0 && !found.no_system => {}
            None => {
                source.out.get_or_insert_with(|| {
                    format!("the set {set} has no certificates that could vouch for it")
                });
            }
        }
    }
    for (set, (_, item)) in &found.sets {
        if !found.wanted.iter().any(|(_, wanted)| wanted == set) {
            plan.note(*item, "", "no source with NTS uses it");
        } else if *set == 0 && !found.no_system {
            plan.loss(
                *item,
                "",
                "here these certificates take the place of the system's; of sources that the system's authorities vouch for, \
                 take roots out",
            );
        }
    }
    if let Some((mode, item)) = &found.mode
        && mode == "require"
    {
        plan.set(Part::Clock, "require-nts", "true".to_owned(), *item);
    }
}
