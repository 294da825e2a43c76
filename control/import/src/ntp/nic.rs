//! interface and nic: on which addresses ntpd listens; of several lines the last one that matches decides.

use super::Found;
use crate::plan::{Part, Plan};
use crate::serving::is_interface;
use crate::words::{Line, Words};
use std::net::IpAddr;

/// The lines, in order.
#[derive(Debug, Default)]
pub struct Interfaces(Vec<(bool, What, usize)>);

/// What a line is about.
#[derive(Clone, Debug, PartialEq)]
enum What {
    All,
    Family(bool),
    Ip(IpAddr),
    Name(String),
}

/// A line.
pub fn read(plan: &mut Plan, found: &mut Found, line: &Line, mut words: Words) {
    let item = plan.item(Part::Server, line);
    let listens = match words.take().as_deref() {
        Some("listen") => true,
        Some("ignore" | "drop") => false,
        _ => {
            plan.serving.block("a line about interfaces is not understood");
            return plan.loss(item, "", "not carried: listen, ignore or drop is missing");
        }
    };
    let word = words.take().unwrap_or_default();
    plan.leftover(item, &mut words);
    let what = match word.as_str() {
        "all" => What::All,
        "wildcard" if !listens => {
            return plan.note(item, "", "about the wildcard sockets alone, on which ntpd answers nobody");
        }
        "wildcard" => What::All,
        "ipv4" => What::Family(false),
        "ipv6" => What::Family(true),
        word => match word.parse::<IpAddr>() {
            Ok(ip) => What::Ip(ip.to_canonical()),
            Err(_) if is_interface(word) => What::Name(word.to_owned()),
            Err(_) if listens => {
                return plan.loss(
                    item,
                    word,
                    "not carried: no address and no interface that can be served on",
                );
            }
            Err(_) => {
                plan.serving.block("an address is not served on that cannot be left out here");
                return plan.loss(
                    item,
                    word,
                    "no address and no interface that can be named here: nobody is answered",
                );
            }
        },
    };
    found.interfaces.0.push((listens, what, item));
}

impl Interfaces {
    /// The addresses of the plan.
    pub fn settle(&self, plan: &mut Plan) {
        if self.0.is_empty() {
            return;
        }
        let all = || ["0.0.0.0".to_owned(), "::".to_owned()];
        let is_v6 = |entry: &str| entry.contains(':');
        let has_listen = self.0.iter().any(|(listens, ..)| *listens);
        let mut listen: Vec<String> = if has_listen { Vec::new() } else { all().into() };
        for (listens, what, item) in &self.0 {
            let own: Vec<String> = match what {
                What::All => all().into(),
                What::Family(ipv6) => all().into_iter().filter(|entry| is_v6(entry) == *ipv6).collect(),
                What::Ip(ip) => vec![ip.to_string()],
                What::Name(name) => all().into_iter().map(|entry| format!("{entry}%{name}")).collect(),
            };
            if *listens {
                listen.extend(own.into_iter().filter(|entry| !listen.contains(entry)).collect::<Vec<_>>());
                continue;
            }
            match what {
                What::All => listen.clear(),
                What::Family(ipv6) => listen.retain(|entry| is_v6(entry) != *ipv6),
                What::Ip(_) | What::Name(_) => {
                    let before = listen.len();
                    listen.retain(|entry| !own.contains(entry));
                    let is_within = |entry: &String| {
                        own.iter().any(|own| is_v6(own) == is_v6(entry))
                            && (all().contains(entry) || matches!(what, What::Name(_)) || entry.contains('%'))
                    };
                    if before == listen.len() && listen.iter().any(is_within) {
                        plan.serving.block("an address is not served on that cannot be left out here");
                        plan.loss(
                            *item,
                            "",
                            "one of all addresses cannot be left out here: nobody is answered",
                        );
                    }
                }
            }
        }
        // What is everywhere needs no second entry.
        let covers = |entry: &str, wide: &str| {
            entry != wide && is_v6(entry) == is_v6(wide) && (wide == "::" || wide == "0.0.0.0")
        };
        let wide = listen.clone();
        listen.retain(|entry| {
            !wide.iter().any(|other| covers(entry, other))
                && entry.parse::<IpAddr>().map_or(true, |ip| {
                    !ip.is_multicast() && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
                })
        });
        if listen.is_empty() {
            plan.serving.block("no address is left that can be served on");
        } else if !listen.iter().any(|entry| all().contains(entry)) {
            plan.remark(
                Part::Server,
                "ntpd listens on the loopback interface too; here on what is in listen alone.",
            );
        }
        plan.serving.listen = listen;
    }
}
