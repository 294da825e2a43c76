//! `[[source]]`.

use super::MAX_SOURCES;
use super::document::{Faults, Section, nearest, shorten};
use super::place::parse_place;
use engine::settings::{Place, SourceSettings};
use ipc::units::Span;

const KEYS: [&str; 12] = [
    "address",
    "mode",
    "pool",
    "members",
    "min-poll",
    "max-poll",
    "burst",
    "prefer",
    "trust",
    "require",
    "max-delay",
    "max-stratum",
];

const MIN_POLL: i64 = 6;
const MAX_POLL: i64 = 10;
const MEMBERS: i64 = 4;

/// All sources in the order of the file; those with a fault are left out.
pub fn read(root: &Section<'_>, faults: &mut Faults<'_>) -> Vec<SourceSettings> {
    let mut sources: Vec<SourceSettings> = Vec::new();
    let mut total = 0;
    for section in root.tables("source", "[[source]]", faults) {
        let Some(source) = read_source(&section, faults) else { continue };
        if let Some(twin) = sources.iter().find(|other| other.place == source.place) {
            let text =
                format!("address: the source \"{}\" is there already; leave one of them out", twin.name);
            faults.add(section.place_of("address"), text);
            continue;
        }
        let before = total;
        total += usize::from(source.members);
        if before <= MAX_SOURCES && total > MAX_SOURCES {
            let text =
                format!("[[source]]: more than {MAX_SOURCES} sources, pool members counted; leave some out");
            faults.add(section.at, text);
        }
        sources.push(source);
    }
    sources
}

fn read_source(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<SourceSettings> {
    section.refuse_unknown(&KEYS, faults);
    read_mode(section, faults);
    let place = read_address(section, faults);
    let pool = section.boolean("pool", faults).unwrap_or(false);
    let members = section.whole("members", 1..=16, MEMBERS, faults);
    if pool && matches!(place, Some((Place::Address(_), _))) {
        faults.add(
            section.place_of("pool"),
            "pool: an address is one server; leave pool out, or give the name of a pool as address",
        );
    }
    if members.is_some() && !pool {
        faults.add(
            section.place_of("members"),
            "members: only a pool has members; add pool = true, or leave members out",
        );
    }
    let min_poll = section.whole("min-poll", 0..=17, MIN_POLL, faults).unwrap_or(MIN_POLL);
    // Whoever asks only for a longer shortest interval means the longest to follow, and the reverse.
    let max_poll = section.whole("max-poll", 0..=17, MAX_POLL, faults).unwrap_or(MAX_POLL.max(min_poll));
    let min_poll = if section.has("min-poll") { min_poll } else { min_poll.min(max_poll) };
    if min_poll > max_poll {
        faults.add(
            section.place_of("min-poll"),
            format!("min-poll: {min_poll} is above max-poll = {max_poll}; exchange them, or leave one out"),
        );
    }
    let burst = section.boolean("burst", faults).unwrap_or(true);
    let prefer = section.boolean("prefer", faults).unwrap_or(false);
    let trust = section.boolean("trust", faults).unwrap_or(false);
    let require = section.boolean("require", faults).unwrap_or(false);
    let max_delay = section.number("max-delay", 0.000_01..=16.0, "seconds", "3.0", faults).unwrap_or(3.0);
    let max_stratum = section.whole("max-stratum", 1..=15, 15, faults).unwrap_or(15);
    let (place, name) = place?;
    Some(SourceSettings {
        name,
        place,
        nts: None,
        members: if pool { u8::try_from(members.unwrap_or(MEMBERS)).ok()? } else { 1 },
        min_poll: i8::try_from(min_poll).ok()?,
        max_poll: i8::try_from(max_poll).ok()?,
        burst,
        prefer,
        trust,
        require,
        max_delay: span(max_delay),
        max_stratum: u8::try_from(max_stratum).ok()?,
    })
}

fn read_mode(section: &Section<'_>, faults: &mut Faults<'_>) {
    let Some((at, mode)) = section.text("mode", "ntp", faults) else { return };
    match mode {
        "ntp" => {}
        "nts" => faults.add(at, "mode: \"nts\" is not available yet in this version: use mode = \"ntp\""),
        other => {
            let near = nearest(other, &["ntp", "nts"]).map_or("", |_| " (did you mean \"ntp\"?)");
            let text =
                format!("mode: expected \"ntp\", found \"{}\"{near}; write mode = \"ntp\"", shorten(other));
            faults.add(at, text);
        }
    }
}

fn read_address(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<(Place, String)> {
    if !section.has("address") && !section.misspells("address", &KEYS) {
        faults.add(
            section.at,
            "[[source]]: the address is missing; add address = \"ntp.example.org\" or an IP address",
        );
    }
    let (at, text) = section.text("address", "ntp.example.org", faults)?;
    match parse_place(text) {
        Ok(place) => Some((place, text.to_owned())),
        Err(wrong) => {
            faults.add(at, format!("address: \"{}\" is {wrong}", shorten(text)));
            None
        }
    }
}

/// A checked number of seconds; saturating, so that it can't panic whatever the range was.
pub fn span(seconds: f64) -> Span {
    // `as` saturates, and the ranges that are read stay far inside.
    Span::saturating((seconds * 1e9).round() as i64)
}
