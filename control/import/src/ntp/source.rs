//! server, pool, peer and fudge of ntp.conf.

use super::Found;
use super::options::aead;
use crate::chrony::{LINK_LOCAL, polls};
use crate::place;
use crate::plan::{Part, Plan, Source};
use crate::words::{Line, Words};
use ipc::file_path::FilePath;

/// Options with a value that have nothing like them here.
const WITH_VALUE: [&str; 15] = [
    "ttl",
    "mode",
    "bias",
    "version",
    "unit",
    "subtype",
    "path",
    "ppspath",
    "time1",
    "time2",
    "stratum",
    "refid",
    "flag1",
    "mdnstries",
    "minpoolclock",
];

/// Options without a value that have nothing like them here.
const BARE: [&str; 5] = ["preempt", "xleave", "xmtnonce", "autokey", "noval"];

/// A source.
pub fn read(plan: &mut Plan, found: &mut Found, line: &Line, directive: &str, mut words: Words) {
    let family = match words.peek() {
        Some("-4" | "-6") => words.take(),
        _ => None,
    };
    let host = words.take().unwrap_or_default();
    if host.starts_with("127.127.") {
        return clock(plan, found, line, &host, &mut words);
    }
    let item = plan.item(Part::Source, line);
    if host.is_empty() {
        return plan.lose_source(item, "", "not carried: there is no host");
    }
    let (host, port) = split_port(&host);
    let mut source = Source::of(item, host);
    source.port = port;
    match family {
        Some(family) if place::is_address(host) => plan.note(item, &family, place::HAS_FAMILY),
        Some(family) => {
            let family = if family == "-6" { "\"ipv6\"" } else { "\"ipv4\"" };
            source.keys.push(("family", family.to_owned()));
        }
        None => {}
    }
    if directive == "peer" {
        source.out =
            Some("there are no peers; as a server it would be asked, and not answered as a peer".to_owned());
    }
    let (mut is_burst, mut least, mut most) = (false, None, None);
    while let Some(word) = words.take() {
        match word.as_str() {
            "iburst" => is_burst = true,
            "burst" => source.keys.push(("burst", "\"always\"".to_owned())),
            "nts" => source.nts = true,
            "prefer" => source.keys.push(("prefer", "true".to_owned())),
            "noselect" => source.keys.push(("noselect", "true".to_owned())),
            "true" => {
                source.keys.push(("trust", "true".to_owned()));
                plan.note(item, "true", "as trust: sources that contradict it are not used");
            }
            "minpoll" => least = poll(plan, item, &word, &mut words),
            "maxpoll" => most = poll(plan, item, &word, &mut words),
            "key" => {
                let value = words.take().unwrap_or_default();
                source.key = value.parse().ok().filter(|number| *number != 0);
                if source.key.is_none() {
                    plan.loss(item, format!("key {value}").trim_end(), "not carried: no number of a key");
                    source.out =
                        Some("without its key it would be believed without authentication".to_owned());
                }
            }
            "autokey" => {
                plan.loss(item, "autokey", foreign::instead_of(&word).unwrap_or_default());
                source.out = Some(
                    "without its key it would be believed without authentication; remove the signs # if that is acceptable"
                        .to_owned(),
                );
            }
            "ca" => {
                let file = words.take().unwrap_or_default();
                match FilePath::parse(&file) {
                    Ok(_) => source.roots = Some(file),
                    Err(_) => {
                        plan.loss(
                            item,
                            format!("ca {file}").trim_end(),
                            "no whole path of a file that can be used",
                        );
                        source.out = Some("without these certificates others would vouch for it".to_owned());
                    }
                }
            }
            "ask" | "require" => {
                let value = words.take().unwrap_or_default();
                let what = format!("{word} {value}");
                plan.loss(
                    item,
                    what.trim_end(),
                    "not carried: the key exchange server chooses the NTP server",
                );
            }
            "cert" | "expire" | "aead" => {
                let value = words.take().unwrap_or_default();
                match aead(&value).filter(|_| word == "aead") {
                    Some(aead) => source.keys.push(("aead", aead)),
                    None => plan.loss(
                        item,
                        format!("{word} {value}").trim_end(),
                        "not carried: there is nothing like it here",
                    ),
                }
            }
            "noval" => plan.note(item, "noval", "not carried: a certificate is always checked"),
            word if BARE.contains(&word) => plan.note(item, word, of(word)),
            word if WITH_VALUE.contains(&word) => {
                let value = words.take().unwrap_or_default();
                plan.note(item, format!("{word} {value}").trim_end(), of(word));
            }
            word => plan.loss(item, word, "no option that is known here, and not carried"),
        }
    }
    settle(plan, item, directive, source, is_burst, (least, most));
}

fn settle(
    plan: &mut Plan,
    item: usize,
    directive: &str,
    mut source: Source,
    is_burst: bool,
    (least, most): (Option<i32>, Option<i32>),
) {
    if !is_burst && !source.keys.iter().any(|(name, _)| *name == "burst") {
        source.keys.push(("burst", "false".to_owned()));
    }
    polls(plan, item, &mut source, least, most);
    if !source.nts {
        if let Some(file) = source.roots.take() {
            plan.note(item, &format!("ca {file}"), "not carried: there is no nts beside it");
        }
        if source.keys.iter().any(|(name, _)| *name == "aead") {
            source.keys.retain(|(name, _)| *name != "aead");
            plan.note(item, "aead", "not carried: there is no nts beside it");
        }
    }
    if directive == "pool" {
        match place::is_address(&source.host) {
            true => plan.note(item, "pool", "an address is one server here"),
            false => source.members = Some(4),
        }
    }
    if LINK_LOCAL.iter().any(|name| place::are_one(name, &source.host)) {
        source.keys.push(("allow-link-local", "true".to_owned()));
    }
    if let Some(fault) = place::fault(&source.host) {
        source.out = Some(format!("{} {fault}", source.host));
    }
    plan.sources.push(source);
}

/// NTPsec takes a port behind a name, or behind brackets.
fn split_port(host: &str) -> (&str, Option<u16>) {
    let bare = |host: &'_ str| -> Option<(usize, usize)> {
        let inner = host.strip_prefix('[')?;
        Some((1, 1 + inner.find(']')?))
    };
    if let Some((from, to)) = bare(host) {
        let port =
            host.get(to + 1..).and_then(|rest| rest.strip_prefix(':')).and_then(|port| port.parse().ok());
        return (host.get(from..to).unwrap_or_default(), port.filter(|port| *port > 0));
    }
    match host.split_once(':') {
        Some((name, port)) => match port.parse::<u16>() {
            Ok(port) if port > 0 => (name, Some(port)),
            _ => (host, None),
        },
        None => (host, None),
    }
}

fn poll(plan: &mut Plan, item: usize, what: &str, words: &mut Words) -> Option<i32> {
    let value = words.take().unwrap_or_default();
    let exponent = value.parse().ok().filter(|exponent: &i32| (-32..=32).contains(exponent));
    if exponent.is_none() {
        plan.loss(item, format!("{what} {value}").trim_end(), "not carried: no number that can be used");
    }
    exponent
}

fn of(word: &str) -> &'static str {
    let said = foreign::instead_of(word).filter(|said| !said.contains("from-chrony"));
    said.unwrap_or("not carried: there is nothing like it here")
}

/// An address of a reference clock.
fn clock(plan: &mut Plan, found: &mut Found, line: &Line, host: &str, words: &mut Words) {
    let is_local = host.starts_with("127.127.1.");
    if is_local {
        let item = plan.item(Part::Server, line);
        found.local = Some(item);
        plan.note(item, "", "as local-stratum: this host's own time is served while no source is selected");
        let rest = words.rest();
        if !rest.is_empty() {
            plan.note(item, &rest.join(" "), "not carried: it is no source here");
        }
    } else {
        plan.lost_source = true;
        plan.explain(line, foreign::of_clock(false), true);
    }
}

/// `fudge`: only the stratum of the local clock is carried.
pub fn fudge(plan: &mut Plan, found: &mut Found, line: &Line, mut words: Words) {
    let host = words.take().unwrap_or_default();
    if !host.starts_with("127.127.1.") {
        // Of the clock itself its own line tells.
        let is_of_clock = host.starts_with("127.127.");
        let why = if is_of_clock { foreign::of_clock(false) } else { "there is no such reference clock" };
        return plan.explain(line, why, !is_of_clock);
    }
    let item = plan.item(Part::Server, line);
    while let Some(word) = words.take() {
        let value = words.take().unwrap_or_default();
        match (word.as_str(), value.parse::<u8>()) {
            ("stratum", Ok(stratum)) if stratum <= 15 => found.stratum = Some((stratum, item)),
            _ => plan.note(
                item,
                format!("{word} {value}").trim_end(),
                "not carried: there are no reference clocks",
            ),
        }
    }
}
