//! Replies on the control socket, as JSON in the form of `ipc/report`.

mod clients;
mod keys;
pub mod lasting;
mod measured;

pub use clients::{access, clients};
pub use keys::keys;
pub use measured::measured;

use crate::documents::{self, clock_name};
use crate::key_exchange::KeyExchange;
use crate::reload::Reloaded;
use engine_core::chronicle::HistoryPoint;
use engine_core::hand_step::{HandStep, NoStep};
use engine_core::io::Now;
use ipc::file_path::FilePath;
use ipc::message::Shortfall;
use ipc::message::privileged::{ClockKind, Refusal};
use ipc::message::server::Counters;
use ipc::process::{PerProcess, Process};
use ipc::served_at::{ServedAt, Service};
use ipc::units::{Span, WallTime};
use protocol::primitives;
use report::{
    Counts, Done, FORMAT, HistoryFileReply, HistoryReply, HistorySpan, MeasurementsReply, ProcessReply,
    RefusedReply, ReloadedReply, Report, RoughtimeReply, ServerReply, SourceMeasurements, SourceReport,
    SourcesReply, StatusReply, StepReply, UnservedReply,
};
use serde::Serialize;

/// What this process knows besides the state of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// What is steered.
    pub clock: ClockKind,
    /// Process ids; 0: not started.
    pub processes: PerProcess<u32>,
    /// The shortfalls of each process's confinement; `None`: not reported yet.
    pub shortfalls: PerProcess<Option<Shortfall>>,
    /// Counts of the server; none: no server, or nothing counted yet.
    pub counters: Option<Counters>,
    /// The key exchange service; none: none is configured.
    pub key_exchange: Option<KeyExchange>,
}

/// What a reply to `status` says beside.
#[derive(Clone, Debug)]
pub struct Besides<'a> {
    /// Why the state directory is not used.
    pub elsewhere: Option<&'a str>,
    /// Entries of `listen` whose interface is missing.
    pub unserved: &'a [(Service, ServedAt)],
    /// The history of minutes.
    pub history: HistoryFileReply,
    /// What is known of Roughtime.
    pub roughtime: Option<RoughtimeReply>,
}

/// Reply to `status`.
pub fn status(report: Report, surroundings: &Surroundings, besides: Besides<'_>, now: WallTime) -> String {
    let started = surroundings.processes.iter().filter(|(_, pid)| **pid != 0);
    let heard = surroundings.shortfalls.iter();
    write(&StatusReply {
        version: env!("CARGO_PKG_VERSION"),
        clock: clock_name(surroundings.clock),
        report: report.system,
        processes: started.map(|(process, pid)| ProcessReply { name: process.name(), pid: *pid }).collect(),
        shortfalls: heard.filter_map(|(process, heard)| Some((process.name(), names((*heard)?)))).collect(),
        fips_module: primitives::name().map(str::to_owned),
        state_elsewhere: besides.elsewhere.map(str::to_owned),
        server: surroundings.counters.map(counts),
        key_exchange: surroundings.key_exchange.map(|known| keys::service(&known, now)),
        unserved: besides.unserved.iter().filter_map(unserved_reply).collect(),
        history: besides.history,
        roughtime: besides.roughtime,
        format: FORMAT,
    })
}

fn unserved_reply((service, entry): &(Service, ServedAt)) -> Option<UnservedReply> {
    let reason = sentence::served_interface(entry.interface.as_ref()?.as_str(), *service, false);
    Some(UnservedReply { listen: entry.to_string(), reason })
}

/// Reply to `sources`; `offered_by`: the file of the program that a source comes from.
pub fn sources<'f>(report: Report, offered_by: impl Fn(&str) -> Option<&'f str>) -> String {
    let sources = report.sources.into_iter().map(|source| {
        let offered_by = offered_by(&source.name).map(str::to_owned);
        SourceReport { offered_by, ..source }
    });
    write(&SourcesReply { sources: sources.collect(), format: FORMAT })
}

/// Reply to `measurements`.
pub fn measurements(sources: Vec<SourceMeasurements>) -> String {
    write(&MeasurementsReply { sources, format: FORMAT })
}

/// Reply to `history`.
pub fn history(span: HistorySpan, (length, points): (Span, Vec<HistoryPoint>), now: Now) -> String {
    write(&HistoryReply {
        span,
        resolution_s: u32::try_from(length.seconds()).unwrap_or(u32::MAX),
        now_unix_s: documents::unix(now.wall),
        points: points.into_iter().map(|point| documents::history(point, now)).collect(),
        format: FORMAT,
    })
}

/// Reply to `server`.
pub fn server(surroundings: &Surroundings) -> String {
    let configured = surroundings.processes[Process::Server] != 0;
    write(&ServerReply { configured, server: surroundings.counters.map(counts), format: FORMAT })
}

/// Reply to a command that was accepted.
pub fn done() -> String {
    write(&Done { done: true, format: FORMAT })
}

/// Reply to a step that was asked for.
pub fn stepped(outcome: HandStep) -> String {
    let (moved_s, offset_s, refused) = match outcome {
        HandStep::Made { moved_s } => (Some(moved_s), None, None),
        HandStep::Refused { code, offset_s } => (None, Some(offset_s), Some(code)),
        HandStep::Impossible(NoStep::Near { offset_s }) => (None, Some(offset_s), None),
        HandStep::Impossible(_) => (None, None, None),
    };
    let offset = offset_s.unwrap_or_default();
    write(&StepReply {
        moved_s,
        offset_s,
        refused: refused.map(Refusal::name),
        reason: sentence::hand_step(&outcome).map(Into::into),
        approve_s: refused
            .filter(|code| sentence::may_be_permitted(*code))
            .map(|_| sentence::leave_for(offset)),
        format: FORMAT,
    })
}

/// Reply to a reload. `readings`: how often the certificate was read before.
pub fn reloaded(reloaded: &Reloaded, readings: u32) -> String {
    let Reloaded { rules, changed, sources, clock, reads, other_files, waiting, .. } = reloaded;
    let file = |path: FilePath| path.as_str().to_owned();
    write(&ReloadedReply {
        added_sources: sources.added.clone(),
        certificate_file: reads.map(|pair| file(pair.certificate)),
        changed: *changed,
        changed_clock: clock.iter().map(|key| (*key).to_owned()).collect(),
        changed_sources: sources.changed.clone(),
        done: true,
        format: FORMAT,
        key_file: reads.map(|pair| file(pair.key)),
        left_out: reloaded.first_left_out(),
        needs_restart: !waiting.is_empty(),
        other_files: *other_files,
        readings,
        reads_certificate: reads.is_some(),
        removed_sources: sources.removed.clone(),
        rules: *rules as u64,
        waiting: waiting.clone(),
    })
}

/// Reply to a request that cannot be carried out.
pub fn refused(why: &impl std::fmt::Display) -> String {
    write(&RefusedReply { error: why.to_string(), format: FORMAT })
}

fn counts(counters: Counters) -> Counts {
    Counts(Counters::NAMES.into_iter().zip(counters.list()).collect())
}

fn write(reply: &impl Serialize) -> String {
    serde_json::to_string(reply).unwrap_or_else(|_| "{\"error\":\"the reply cannot be written\"}".to_owned())
}

/// The names of what is missing.
pub fn names(shortfall: Shortfall) -> Vec<&'static str> {
    shortfall.missing().map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests;
