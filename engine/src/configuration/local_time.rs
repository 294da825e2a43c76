//! `local-stratum` of `[server]`, and the keys that say when the host's own time is served.

use super::document::{Faults, Section};
use super::source::span;
use engine_core::settings::LocalTime;
use ipc::units::Span;

/// The keys that need `local-stratum`.
const CONDITIONS: [&str; 5] = [
    "local-distance",
    "local-activate",
    "local-wait-synchronised",
    "local-wait-unsynchronised",
    "local-orphan",
];

/// An orphan waits so long after the start for sources that have more than their own time.
const ORPHANS_WAIT: f64 = 300.0;

/// With `local-orphan` no source of that stratum or above has a vote: below this one, many with real time would have none.
const LEAST_OF_ORPHANS: u8 = 5;

/// None: the host does not serve its own time.
pub fn read(section: &Section<'_>, faults: &mut Faults<'_>) -> Option<LocalTime> {
    let stratum = section.whole("local-stratum", 1..=15, 10, faults);
    for key in CONDITIONS {
        if section.has(key) && !section.has("local-stratum") {
            let text = format!(
                "{key}: it is about local-stratum, which is not there; add local-stratum = 10, or leave {key} out"
            );
            faults.add(section.place_of(key), text);
        }
    }
    let orphan = section.boolean("local-orphan", faults).unwrap_or(false);
    let stratum = stratum.and_then(|stratum| u8::try_from(stratum).ok());
    if let Some(stratum) = stratum.filter(|stratum| orphan && *stratum < LEAST_OF_ORPHANS) {
        let text = format!(
            "local-stratum: with local-orphan no source of stratum {stratum} or above has a vote, also with real time; write \
             {LEAST_OF_ORPHANS} or more, best 10, or leave local-orphan out"
        );
        faults.add(section.place_of("local-stratum"), text);
    }
    let mut number = |key: &str, most: f64, unit: &str, example: &str| {
        section.number(key, 0.0..=most, unit, example, faults)
    };
    let distance = number("local-distance", 16.0, "seconds", "1.0").map(span);
    let activate = number("local-activate", 16.0, "seconds", "0.1").map(span);
    let after = number("local-wait-synchronised", 1e6, "seconds", "60").map_or(Span::ZERO, span);
    let before = number("local-wait-unsynchronised", 1e6, "seconds", "300");
    let before = before.unwrap_or(if orphan { ORPHANS_WAIT } else { 0.0 });
    Some(LocalTime {
        stratum: stratum?,
        distance,
        activate: activate.filter(|least| *least > Span::ZERO),
        wait_synchronised: after,
        wait_unsynchronised: span(before),
        orphan,
    })
}
