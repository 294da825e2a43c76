//! ntpd.conf of OpenNTPD.

use crate::access::Network;
use crate::drift::{self, Sign};
use crate::files::{FileError, Reader, joined};
use crate::place;
use crate::plan::{Part, Plan, Source};
use crate::words::{Line, Words};
use std::net::IpAddr;

/// Where its packages keep the frequency.
const DRIFTS: [&str; 3] =
    ["/var/lib/openntpd/db/ntpd.drift", "/var/lib/openntpd/ntpd.drift", "/var/db/ntpd.drift"];

/// Reads a file.
pub fn read(plan: &mut Plan, reader: &mut Reader<'_>, path: &str, text: &str) {
    for line in joined(path, text, |_| false) {
        let bare = uncommented(&line.text);
        if bare.trim().is_empty() {
            continue;
        }
        if let Some(why) = line.damage() {
            plan.lost_source = true;
            plan.explain(&line, why, true);
            continue;
        }
        let mut words =
            Words::from_list(bare.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect());
        let directive = words.take().unwrap_or_default();
        match directive.as_str() {
            "server" | "servers" => source(plan, &line, directive == "servers", words),
            "listen" => listen(plan, &line, words),
            "sensor" => {
                // On Linux its portable version has no sensors.
                let is_any = words.peek() == Some("*");
                plan.lost_source |= !is_any;
                plan.explain(&line, foreign::instead_of("sensor").unwrap_or_default(), !is_any);
            }
            "constraint" | "constraints" => {
                plan.explain(&line, foreign::instead_of(&directive).unwrap_or_default(), true);
            }
            _ => match foreign::instead_of(&directive) {
                // What a firewall may let out alone.
                Some(why) => plan.explain(&line, why, directive == "query"),
                None => plan.explain(&line, "no keyword that is known here, and not carried", true),
            },
        }
    }
    if plan.serving.listen.is_empty() && plan.serving.blocked.is_none() {
        plan.serving.unwanted = Some("as before, because nothing says where".to_owned());
    }
    for path in DRIFTS {
        if !matches!(reader.learned(path), Err(FileError::Absent)) {
            // Nothing of it is copied: whoever writes it may have put another file in its place.
            let line = Line { file: path.to_owned(), number: 1, text: "(the frequency)".to_owned() };
            let item = plan.item(Part::Clock, &line);
            return drift::take(plan, reader, path, item, Sign::Correction);
        }
    }
}

/// Without the comment, which begins with # outside of quotation marks.
fn uncommented(text: &str) -> &str {
    let mut is_open = false;
    let end = text.find(|letter| {
        is_open ^= letter == '"';
        letter == '#' && !is_open
    });
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

fn source(plan: &mut Plan, line: &Line, is_pool: bool, mut words: Words) {
    let item = plan.item(Part::Source, line);
    let Some(host) = words.take() else { return plan.lose_source(item, "", "not carried: there is no host") };
    let mut source = Source::of(item, &host);
    while let Some(word) = words.take() {
        match word.as_str() {
            "weight" => {
                let weight = words.take().unwrap_or_default();
                let said = format!("weight {weight}");
                plan.note(
                    item,
                    said.trim_end(),
                    "not carried: sources weigh by what is measured of them; see prefer",
                );
            }
            "trusted" => {
                plan.note(item, "trusted", "not carried: it is about constraints, of which there are none")
            }
            _ => plan.loss(item, &word, "no option that is known here, and not carried"),
        }
    }
    if is_pool && place::is_address(&host) {
        plan.note(item, "servers", "an address is one server here");
    } else if is_pool {
        source.members = Some(4);
    }
    if let Some(fault) = place::fault(&host) {
        source.out = Some(format!("{host} {fault}"));
    }
    plan.sources.push(source);
}

/// `listen on`: everybody is answered there.
fn listen(plan: &mut Plan, line: &Line, mut words: Words) {
    let item = plan.item(Part::Server, line);
    if words.peek() == Some("on") {
        words.take();
    }
    let address = words.take().unwrap_or_default();
    if words.peek() == Some("rtable") {
        words.take();
        let table = words.take().unwrap_or_default();
        plan.loss(
            item,
            format!("rtable {table}").trim_end(),
            "there is nothing like it: this address is not served on",
        );
        return;
    }
    plan.leftover(item, &mut words);
    let all = ["0.0.0.0".to_owned(), "::".to_owned()];
    let added: Vec<String> = match address.parse::<IpAddr>() {
        _ if address == "*" => all.to_vec(),
        Ok(ip) if !ip.is_multicast() && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()) => {
            vec![ip.to_canonical().to_string()]
        }
        _ => return plan.loss(item, &address, "not carried: no address that can be served on"),
    };
    plan.note(
        item,
        "",
        "everybody is answered, as by ntpd; if only some are to be, write their networks into allow",
    );
    plan.serving.open = Some("ntpd");
    for ipv6 in [false, true] {
        plan.serving.rules.0.insert(Network::all(ipv6), true);
    }
    let listen = &mut plan.serving.listen;
    listen.extend(added.into_iter().filter(|entry| !listen.contains(entry)).collect::<Vec<_>>());
    let wide: Vec<String> = listen.iter().filter(|entry| all.contains(entry)).cloned().collect();
    listen.retain(|entry| {
        wide.contains(entry) || !wide.iter().any(|wide| wide.contains(':') == entry.contains(':'))
    });
}
