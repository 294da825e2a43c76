//! timesyncd.conf, with its drop-ins.

use crate::files::{FileError, Reader, joined};
use crate::place;
use crate::plan::{Part, Plan, Source, number};
use crate::words::Line;

/// Where drop-ins of /etc/systemd/timesyncd.conf are; of two with one name that of the first folder counts.
const FOLDERS: [&str; 4] = ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// The servers that a key names, each with the line that does.
type Servers = Vec<(String, usize)>;

/// What is known of all files together.
#[derive(Debug, Default)]
struct Found {
    servers: [Servers; 2],
    polls: [Option<(f64, usize)>; 2],
}

/// Reads a file, and its drop-ins.
pub fn read(plan: &mut Plan, reader: &mut Reader<'_>, path: &str, text: &str) {
    let mut found = Found::default();
    file(plan, &mut found, path, text);
    let mut drop_ins: Vec<(String, String)> = Vec::new();
    let own = path.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
    let folders: Vec<&str> = if FOLDERS.contains(&own) { FOLDERS.to_vec() } else { vec![own] };
    for folder in folders {
        let folder = format!("{folder}/timesyncd.conf.d");
        match reader.names(&folder, ".conf") {
            Ok(names) => {
                for name in names {
                    if !drop_ins.iter().any(|(known, _)| *known == name) {
                        drop_ins.push((name.clone(), format!("{folder}/{name}")));
                    }
                }
            }
            Err(FileError::Absent) => {}
            Err(FileError::Other(why)) => plan.lose(&format!("{folder}: {why}")),
        }
    }
    drop_ins.sort();
    for (_, path) in drop_ins {
        match reader.text(&path) {
            Ok(text) => file(plan, &mut found, &path, &text),
            Err(FileError::Absent) => {}
            Err(FileError::Other(why)) => plan.lose(&format!("{path}: {why}")),
        }
    }
    settle(plan, &found);
}

fn file(plan: &mut Plan, found: &mut Found, path: &str, text: &str) {
    let mut section = String::new();
    for line in joined(path, text, |line| line.trim_start().starts_with(['#', ';'])) {
        let trimmed = line.text.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(why) = line.damage() {
            plan.explain(&line, why, true);
        } else if trimmed.starts_with('[') && trimmed.ends_with(']') {
            section = trimmed.to_owned();
            if section != "[Time]" {
                plan.explain(&line, "not carried: timesyncd reads [Time] alone", false);
            }
        } else if section != "[Time]" {
            plan.explain(&line, "not carried: timesyncd reads [Time] alone", false);
        } else {
            key(plan, found, &line);
        }
    }
}

fn key(plan: &mut Plan, found: &mut Found, line: &Line) {
    let (key, value) = line.text.split_once('=').unwrap_or((&line.text, ""));
    let (key, value) = (key.trim(), value.trim());
    match key {
        "NTP" | "FallbackNTP" => {
            let item = plan.item(Part::Source, line);
            let Some(servers) = found.servers.get_mut(usize::from(key == "FallbackNTP")) else { return };
            if value.is_empty() {
                let before = std::mem::take(servers);
                for (server, item) in before {
                    plan.note(item, &server, "not carried: a later line begins the list anew");
                }
            }
            servers.extend(value.split_whitespace().map(|server| (server.to_owned(), item)));
        }
        "RootDistanceMaxSec" => {
            let item = plan.item(Part::Clock, line);
            match seconds(value) {
                Some(distance) if distance > 0.0 => {
                    let used = distance.clamp(0.01, 16.0);
                    if used != distance {
                        plan.note(item, "", &format!("{used} here, which is the limit"));
                    }
                    plan.set(Part::Clock, "max-distance", number(used), item);
                }
                _ => plan.loss(item, "", "not carried: no time span that can be used"),
            }
        }
        "PollIntervalMinSec" | "PollIntervalMaxSec" => {
            let item = plan.item(Part::Rest, line);
            match seconds(value).filter(|span| *span >= 1.0) {
                Some(span) => {
                    if let Some(place) = found.polls.get_mut(usize::from(key == "PollIntervalMaxSec"))
                        && let Some((_, old)) = place.replace((span, item))
                    {
                        plan.superseded(old, item);
                    }
                }
                None => plan.loss(item, "", "not carried: no time span that can be used"),
            }
        }
        _ => match foreign::instead_of(key).filter(|_| key.ends_with("Sec")) {
            Some(why) => plan.explain(line, why, false),
            None => plan.explain(line, "no key that is known here, and not carried", true),
        },
    }
}

/// A time span as systemd writes it: `32`, `34min 8s`, `1h`, `500ms`.
fn seconds(text: &str) -> Option<f64> {
    let (mut total, mut rest) = (0.0, text.trim());
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (value, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        let end = behind.find(|letter: char| !letter.is_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let unit = match unit {
            "" | "s" | "sec" | "second" | "seconds" => 1.0,
            "us" | "usec" | "µs" => 1e-6,
            "ms" | "msec" => 1e-3,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return None,
        };
        total += value.parse::<f64>().ok()? * unit;
        rest = behind.trim_start();
    }
    Some(total).filter(|total: &f64| total.is_finite())
}

fn settle(plan: &mut Plan, found: &Found) {
    // Never more often, and never more seldom, than it was.
    let [least, most] = found.polls;
    let least_poll = least.map(|(span, _)| span.log2().ceil().clamp(0.0, 17.0) as i32);
    let most_poll = most.map(|(span, _)| span.log2().floor().clamp(0.0, 17.0) as i32);
    let most_poll = match (least_poll, most_poll) {
        (Some(least), Some(most)) => Some(most.max(least)),
        (_, most) => most,
    };
    for (limit, exponent, name) in [(least, least_poll, "min-poll"), (most, most_poll, "max-poll")] {
        if let (Some((_, item)), Some(exponent)) = (limit, exponent) {
            plan.note(
                item,
                "",
                &format!("as {name} = {exponent} at each source: {} s", 1u32 << exponent.unsigned_abs()),
            );
        }
    }
    for (servers, is_fallback) in found.servers.iter().zip([false, true]) {
        for (host, item) in servers {
            let mut source = Source::of(*item, host);
            if let Some(least) = least_poll {
                source.keys.push(("min-poll", least.to_string()));
            }
            if let Some(most) = most_poll {
                source.keys.push(("max-poll", most.to_string()));
            }
            if is_fallback {
                plan.note(*item, host, "asked beside the others, not after them");
            }
            if let Some(fault) = place::fault(host) {
                source.out = Some(format!("{host} {fault}"));
            }
            plan.sources.push(source);
        }
    }
    if found.servers.iter().all(Vec::is_empty) {
        plan.lose(
            "timesyncd.conf names no server: timesyncd asked those that its vendor has compiled in, or those of DHCP; \
             a server is asked here only if it is named, or with use = true under [dhcp]",
        );
    }
}
