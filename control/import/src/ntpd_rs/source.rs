//! [[source]] and [source-defaults] of ntp.toml.

use super::{Reading, amount, explain, text};
use crate::place;
use crate::plan::{Part, Plan, Source};
use ipc::file_path::FilePath;
use toml::Spanned;
use toml::de::DeValue;

/// What is said of a server that shares its clients out among others.
const NTS_POOL: &str = "as a pool with experimental-nts-pool";

/// The poll interval's limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    least: Option<i32>,
    most: Option<i32>,
}

/// `[source-defaults]`.
pub fn defaults<'t>(plan: &mut Plan, reading: &Reading<'t>, value: &'t Spanned<DeValue<'t>>) -> Defaults {
    let mut defaults = Defaults::default();
    let Some(table) = value.get_ref().as_table() else {
        explain(plan, reading, "source-defaults", value, None);
        return defaults;
    };
    for (key, value) in reading.entries(table) {
        match key {
            "poll-interval-limits" => {
                let item = plan.item(Part::Rest, &reading.line(key, value));
                limits(plan, reading, item, value, &mut defaults);
                plan.note(item, "", "as min-poll and max-poll at each source that says nothing else");
            }
            _ => explain(plan, reading, key, value, said(key)),
        }
    }
    defaults
}

/// What is said of a key without anything like it here.
fn said(key: &str) -> Option<&'static str> {
    match key {
        "initial-poll-interval" => Some("not carried: after a burst at the start, min-poll"),
        "ntp-version" => foreign::instead_of(key),
        _ => None,
    }
}

fn limits<'t>(
    plan: &mut Plan,
    reading: &Reading<'t>,
    item: usize,
    value: &'t Spanned<DeValue<'t>>,
    into: &mut Defaults,
) {
    let Some(table) = value.get_ref().as_table() else {
        return plan.loss(item, "", "not carried: no table with min and max");
    };
    for (key, value) in reading.entries(table) {
        let exponent = amount(value).filter(|number| number.abs() <= 32.0).map(|number| number as i32);
        match (key, exponent) {
            ("min", Some(exponent)) => into.least = Some(exponent),
            ("max", Some(exponent)) => into.most = Some(exponent),
            _ => plan.loss(item, key, "not understood, and not carried"),
        }
    }
}

/// One `[[source]]`.
pub fn read<'t>(
    plan: &mut Plan,
    reading: &Reading<'t>,
    value: &'t Spanned<DeValue<'t>>,
    defaults: &Defaults,
) {
    let Some(table) = value.get_ref().as_table() else {
        plan.lost_source = true;
        return explain(plan, reading, "source", value, None);
    };
    let get = |name: &str| reading.entries(table).find(|(key, _)| *key == name).map(|(_, value)| value);
    let mode = get("mode").and_then(text).unwrap_or("server");
    let Some((key, address)) = reading.entries(table).find(|(key, _)| matches!(*key, "address" | "path"))
    else {
        plan.lost_source = true;
        for (key, value) in reading.entries(table) {
            explain(plan, reading, key, value, None);
        }
        return;
    };
    let item = plan.item(Part::Source, &reading.line(key, address));
    if key == "path" || !matches!(mode, "server" | "pool" | "nts" | "nts-pool") {
        for (key, value) in reading.entries(table) {
            if key != "path" && key != "address" {
                explain(plan, reading, key, value, Some("there are no reference clocks"));
            }
        }
        return plan.lose_source(item, "", &format!("not carried: there are no sources of mode {mode}"));
    }
    let (host, port) = split(text(address).unwrap_or_default());
    let mut source = Source::of(item, host);
    (source.port, source.nts) = (port, mode.starts_with("nts"));
    source.members = (matches!(mode, "pool" | "nts-pool") && !place::is_address(host)).then_some(4);
    if mode == "nts-pool" && source.members.is_some() {
        source.keys.push(("experimental-nts-pool", "true".to_owned()));
    }
    let mut limit = *defaults;
    for (key, value) in reading.entries(table) {
        let line = reading.line(key, value);
        let words = line.text.as_str();
        match key {
            "address" => {}
            "mode" if mode == "nts-pool" => plan.note(item, words, NTS_POOL),
            "mode" => plan.note(
                item,
                words,
                if mode == "server" { "as mode = \"ntp\", the default" } else { "carried" },
            ),
            "count" => match amount(value).filter(|count| (1.0..=1e6).contains(count)) {
                Some(count) if source.members.is_some() => {
                    source.members = Some(count.min(16.0) as u8);
                    plan.note(
                        item,
                        words,
                        if count > 16.0 { "members = 16, which is the limit" } else { "as members" },
                    );
                }
                _ => plan.note(item, words, "not carried: only a pool has members"),
            },
            "certificate-authority" => match text(value).filter(|file| FilePath::parse(file).is_ok()) {
                Some(file) if source.nts => {
                    source.roots = Some(file.to_owned());
                    plan.note(item, words, "as roots, which takes the place of the system's certificates, and is not added to them");
                }
                Some(_) => plan.note(item, words, "not carried: without NTS nothing is verified with it"),
                None => {
                    plan.loss(item, words, "no whole path of a file that can be used");
                    source.out = Some("without these certificates others would vouch for it".to_owned());
                }
            },
            "poll-interval-limits" => {
                limits(plan, reading, item, value, &mut limit);
                plan.note(item, words, "as min-poll and max-poll");
            }
            "ignore" => plan.loss(item, words, foreign::instead_of(key).unwrap_or_default()),
            _ => match said(key) {
                Some(why) => plan.note(item, words, why),
                None => plan.loss(item, words, "no key that is known here, and not carried"),
            },
        }
    }
    crate::chrony::polls(plan, item, &mut source, limit.least, limit.most);
    if let Some(fault) = place::fault(&source.host) {
        source.out = Some(format!("{} {fault}", source.host));
    }
    plan.sources.push(source);
}

/// Host and port.
fn split(address: &str) -> (&str, Option<u16>) {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    if let Some((inner, rest)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (inner, rest.strip_prefix(':').and_then(port));
    }
    match address.split_once(':') {
        Some((host, rest)) if port(rest).is_some() => (host, port(rest)),
        _ => (address, None),
    }
}
