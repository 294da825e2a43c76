//! Samples of the reply to `status`: the clock, the processes, the server and its key exchange service.

use crate::metric::Metric;
use crate::page::Page;
use crate::server;
use ipc::message::privileged::Refusal;
use report::read::{StatusReply, SystemReport};
use report::{ClockName, LeapName, Word, Words};
use std::collections::BTreeMap;

/// Most processes whose confinement is shown, however many the engine names, and most parts of it.
const MAX_PARTS: usize = 16;

/// The value of a label for a word of another version: what the engine writes does not make new time series.
pub const OTHER: &str = "other";

/// A word of this version, or [`OTHER`].
pub fn known<T: Words>(word: &Word<T>) -> &'static str {
    word.known().map_or(OTHER, Words::name)
}

/// Adds what the reply says.
pub fn add(page: &mut Page, reply: &StatusReply) {
    if let Some(version) = &reply.version {
        page.says(Metric::Build, &[("version", version)]);
    }
    if let Some(clock) = &reply.report {
        add_clock(page, clock);
        add_corrections(page, clock);
    }
    // That key is always there, unless the daemon is older.
    if reply.report.is_some() {
        page.flag(Metric::StateDirectory, &[], Some(reply.state_elsewhere.is_none()));
    }
    add_lasting(page, reply);
    page.count(Metric::Unserved, &[], reply.unserved.as_ref().map(|entries| entries.len() as u64));
    page.count(Metric::Processes, &[], reply.processes.as_ref().map(|all| all.len() as u64));
    add_confinement(page, reply.shortfalls.as_ref());
    server::add_counts(page, reply.server.as_ref());
    server::add_key_exchange(page, reply.key_exchange.as_ref());
}

/// Where it stands, as far as it was measured.
fn add_clock(page: &mut Page, clock: &SystemReport) {
    page.flag(Metric::Synchronised, &[], clock.synchronised);
    if let Some(state) = &clock.state {
        page.says(Metric::State, &[("state", known(state))]);
    }
    if let Some(steered) = &clock.clock {
        page.says(Metric::Clock, &[("clock", known(steered))]);
    }
    page.count(Metric::Stratum, &[], clock.stratum.map(u64::from));
    page.count(Metric::Leap, &[], clock.leap.as_ref().and_then(|leap| Some(indicator(leap.known()?))));
    if let Some(id) = clock.reference_id.as_deref().filter(|id| id.bytes().any(|digit| digit != b'0')) {
        let name = clock.reference.as_deref().unwrap_or_default();
        page.says(Metric::Reference, &[("name", name), ("reference_id", id)]);
    }
    // Before the first correction, and after a suspend until the next, none of these is known. What stands in their place
    // is no measurement.
    let measured = |value: Option<f64>| clock.last_update_s.and(value);
    page.number(Metric::Offset, &[], measured(clock.offset_s));
    page.number(Metric::EstimatedError, &[], measured(clock.estimated_error_s));
    page.number(Metric::ErrorBound, &[], measured(clock.error_bound_s));
    page.number(Metric::LikelyError, &[], measured(clock.likely_error_s));
    page.number(Metric::FrequencyError, &[], measured(clock.frequency_error_ppm).map(ratio));
    page.number(Metric::RootDelay, &[], measured(clock.root_delay_s));
    page.number(Metric::RootDispersion, &[], measured(clock.root_dispersion_s));
    page.number(Metric::LastUpdate, &[], clock.last_update_s);
    page.number(Metric::FirstUpdate, &[], clock.first_update_s);
}

/// What was done to it.
fn add_corrections(page: &mut Page, clock: &SystemReport) {
    let is_steered = clock.clock.as_ref().is_some_and(|clock| clock.known() != Some(ClockName::None));
    let steered = |value: Option<f64>| value.filter(|_| is_steered);
    page.number(Metric::SlewLeft, &[], steered(clock.slew_left_s));
    page.number(Metric::Frequency, &[], steered(clock.frequency_ppm).map(ratio));
    page.count(Metric::Discontinuities, &[], clock.epoch.map(u64::from));
    page.count(Metric::Steps, &[], clock.steps.map(u64::from));
    page.count(Metric::Refusals, &[], clock.refusals.map(u64::from));
    if let Some(word) = clock.last_refusal.as_deref().filter(|word| !word.is_empty()) {
        let refusal = Refusal::ALL.iter().map(|refusal| refusal.name()).find(|name| *name == word);
        page.says(Metric::LastRefusal, &[("refusal", refusal.unwrap_or(OTHER))]);
    }
    page.count(Metric::OneOperator, &[], clock.one_operator.as_ref().map(|names| names.len() as u64));
    for by in ["rtc", "vmclock"] {
        let shown = clock.pauses_shown_by.as_ref().map(|shown| shown.iter().any(|word| word == by));
        page.flag(Metric::PauseEvidence, &[("by", by)], shown);
    }
}

/// What is kept for auditors.
fn add_lasting(page: &mut Page, reply: &StatusReply) {
    if let Some(history) = &reply.history {
        page.flag(Metric::HistoryWritten, &[], history.written);
        page.count(Metric::HistoryWaiting, &[], history.waiting.map(u64::from));
        page.number(Metric::HistoryNoted, &[], history.noted_unix_s.map(|at| at as f64));
    }
    if let Some(known) = &reply.roughtime {
        page.count(Metric::RoughtimeServers, &[], known.servers.map(u64::from));
        page.count(Metric::RoughtimeAnswered, &[], known.answered.map(u64::from));
        page.number(Metric::RoughtimeAge, &[], known.last_round_s);
        let width =
            known.latest_unix_s.zip(known.earliest_unix_s).map(|(latest, earliest)| latest - earliest);
        page.number(Metric::RoughtimeWidth, &[], width);
        page.count(Metric::RoughtimeLying, &[], known.lying.as_ref().map(|all| all.len() as u64));
        page.number(Metric::AnchorTime, &[], known.last_anchor_unix_s.map(|at| at as f64));
    }
}

/// What is missing of the confinement of each process that has reported.
fn add_confinement(page: &mut Page, shortfalls: Option<&BTreeMap<String, Vec<String>>>) {
    for (process, missing) in shortfalls.into_iter().flatten().take(MAX_PARTS) {
        page.flag(Metric::Confined, &[("process", process)], Some(missing.is_empty()));
        for part in missing.iter().take(MAX_PARTS) {
            page.says(Metric::Unconfined, &[("process", process), ("missing", part)]);
        }
    }
}

/// Its number in an NTP packet.
const fn indicator(leap: LeapName) -> u64 {
    match leap {
        LeapName::None => 0,
        LeapName::Insert => 1,
        LeapName::Delete => 2,
        LeapName::Unknown => 3,
    }
}

/// From parts per million. A division: its result is the nearest number, which is written in the fewest digits.
pub fn ratio(ppm: f64) -> f64 {
    ppm / 1e6
}
