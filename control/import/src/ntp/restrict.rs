//! restrict and unrestrict: ntpd answers everybody, and the most specific of these lines decides who is not.

use super::Found;
use crate::access::{Network, Rules, parse};
use crate::plan::{Part, Plan};
use crate::words::{Line, Words};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Flags with which a client gets no time, or here gets none.
const DENY: [&str; 3] = ["ignore", "noserve", "notrust"];

/// Flags about what is not there: control, peers, traps, and what is fixed.
const FIXED: [&str; 13] = [
    "nomodify",
    "noquery",
    "notrap",
    "nopeer",
    "noepeer",
    "epeer",
    "nomrulist",
    "lowpriotrap",
    "kod",
    "limited",
    "ntpport",
    "serverresponse",
    "fuzz",
];

/// Flags that have nothing like them here.
const ABSENT: [(&str, &str, bool); 2] = [
    ("version", "not carried: versions 1 to 4 are answered", false),
    ("flake", "not carried: no packets are dropped at random", false),
];

/// A line's network, and whether it is about clients with port 123 alone.
type Entry = (Network, bool);

/// The flags of each.
#[derive(Debug, Default)]
pub struct Restrictions(BTreeMap<Entry, BTreeSet<String>>);

impl Restrictions {
    /// As the longest prefix decides. A rule that lets clients with port 123 alone in lets none in here.
    pub fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        for ipv6 in [false, true] {
            rules.0.insert(Network::all(ipv6), true);
        }
        let denies = |flags: &BTreeSet<String>| DENY.iter().any(|flag| flags.contains(*flag));
        for ((network, of_port), flags) in &self.0 {
            match (denies(flags), *of_port) {
                (false, true) => {}
                (denied, false) => {
                    rules.0.insert(*network, !denied);
                }
                (true, true) => {
                    rules.0.insert(*network, false);
                }
            }
        }
        // The entry for one port comes after the other one of its network: where it denies, that stays.
        rules.simplify();
        rules
    }
}

/// A line.
pub fn read(plan: &mut Plan, found: &mut Found, line: &Line, adds: bool, mut words: Words) {
    let item = plan.item(Part::Server, line);
    let mut family = None;
    if let Some("-4" | "-6") = words.peek() {
        family = words.take().map(|word| word == "-6");
    }
    let Some(who) = words.take() else { return plan.loss(item, "", "not carried: there is no address") };
    let mask = match words.peek() {
        Some("mask") => {
            words.take();
            words.take()
        }
        _ => None,
    };
    let flags = flags(plan, found, item, &mut words, adds);
    let denies = flags.iter().any(|flag| DENY.contains(&flag.as_str()));
    let networks: Vec<Network> = match who.as_str() {
        "source" => {
            return plan.note(item, "source", "fixed: replies are taken only from addresses that were asked");
        }
        "default" => match family {
            Some(ipv6) => vec![Network::all(ipv6)],
            None => vec![Network::all(false), Network::all(true)],
        },
        _ => match network(&who, mask.as_deref()) {
            Ok(network) => vec![network],
            Err(why) => {
                if !denies && adds {
                    return plan.loss(item, &who, &format!("not carried: {why}"));
                }
                plan.serving.block("somebody is restricted who cannot be denied here");
                return plan.loss(
                    item,
                    &who,
                    &format!(
                        "{why}; without it more clients would be answered, so none is: write the addresses into deny, and \
                         remove the signs # of [server]"
                    ),
                );
            }
        },
    };
    let of_port = flags.contains("ntpport");
    if of_port {
        plan.loss(
            item,
            "ntpport",
            "a rule for clients with port 123 alone: here it denies all of them, or lets in none",
        );
    }
    if flags.contains("notrust") {
        plan.loss(
            item,
            "notrust",
            "clients are not let in by their keys here: these get no answer, with a key or without; who is to have one goes into allow",
        );
    }
    for network in networks {
        let entry = found.restrictions.0.entry((network, of_port));
        match adds {
            true => entry.or_default().extend(flags.iter().cloned()),
            false if flags.is_empty() => {
                found.restrictions.0.remove(&(network, of_port));
            }
            false => {
                let known = entry.or_default();
                flags.iter().for_each(|flag| {
                    known.remove(flag);
                });
            }
        }
    }
}

fn flags(plan: &mut Plan, found: &mut Found, item: usize, words: &mut Words, adds: bool) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    let mut fixed = Vec::new();
    while let Some(word) = words.take() {
        let absent = ABSENT.iter().find(|(flag, ..)| *flag == word);
        match word.as_str() {
            "ippeerlimit" => {
                let value = words.take().unwrap_or_default();
                plan.note(item, format!("ippeerlimit {value}").trim_end(), "fixed: there are no peers");
            }
            _ if let Some((_, why, matters)) = absent => match matters {
                true => plan.loss(item, &word, why),
                false => plan.note(item, &word, why),
            },
            "mssntp" => {
                if adds {
                    found.mssntp.get_or_insert(item);
                }
                plan.note(item, "mssntp", "signed is for all who are answered");
            }
            _ if FIXED.contains(&word.as_str()) => {
                found.is_limited |= adds && word == "limited";
                if word != "ntpport" {
                    fixed.push(word.clone());
                }
                flags.insert(word);
            }
            _ if DENY.contains(&word.as_str()) => {
                flags.insert(word);
            }
            _ => {
                // Whatever it restricts, more must not be answered for it.
                plan.loss(item, &word, "no flag that is known here: these clients get no answer");
                flags.insert("ignore".to_owned());
            }
        }
    }
    if !fixed.is_empty() {
        plan.note(item, &fixed.join(" "), "fixed: nothing can be modified or queried, and rates are limited");
    }
    flags
}

fn network(who: &str, mask: Option<&str>) -> Result<Network, &'static str> {
    const NAMES: &str = "rules are of networks and addresses, not of names";
    let Some(mask) = mask else {
        let known = parse(who).map_err(|()| "no network")?;
        // Without a mask the first numbers of an address are a name to ntpd.
        return known.filter(|_| who.contains(['/', ':']) || who.split('.').count() == 4).ok_or(NAMES);
    };
    let ip: IpAddr = who.parse().map_err(|_| NAMES)?;
    let mask: IpAddr = mask.parse().map_err(|_| "no mask")?;
    let bits = match (ip, mask) {
        (IpAddr::V4(_), IpAddr::V4(mask)) => {
            let mask = mask.to_bits();
            (mask.leading_ones() == mask.count_ones()).then(|| mask.leading_ones())
        }
        (IpAddr::V6(_), IpAddr::V6(mask)) => {
            let mask = mask.to_bits();
            (mask.leading_ones() == mask.count_ones()).then(|| mask.leading_ones())
        }
        _ => None,
    };
    let bits = bits.and_then(|bits| u8::try_from(bits).ok()).ok_or("the mask is no prefix")?;
    Network::new(ip, bits).ok_or("no network")
}
