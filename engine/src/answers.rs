//! Replies on the control socket, as JSON. Field names are stable.

mod keys;

pub use keys::keys;

use crate::answers::keys::KeyExchangeReply;
use crate::key_exchange::KeyExchange;
use crate::reload::Reloaded;
use engine_core::report::{Report, SourceReport, SystemReport};
use ipc::message::Shortfall;
use ipc::message::privileged::ClockKind;
use ipc::message::server::Counters;
use ipc::process::{PerProcess, Process};
use ipc::units::WallTime;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// What this process knows beside the engine's own report.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// What is steered.
    pub clock: ClockKind,
    /// Process ids; 0: not started.
    pub processes: PerProcess<u32>,
    /// What each process says is missing of its confinement; none: not heard.
    pub shortfalls: PerProcess<Option<Shortfall>>,
    /// Counts of the server role; none: no server, or nothing counted yet.
    pub counters: Option<Counters>,
    /// What is known of the key exchange service; none: there is none.
    pub key_exchange: Option<KeyExchange>,
}

#[derive(Serialize)]
struct StatusReply<'a> {
    version: &'static str,
    clock: &'static str,
    report: &'a SystemReport,
    processes: Vec<ProcessReply>,
    shortfalls: BTreeMap<&'static str, Vec<&'static str>>,
    server: Option<CountersReply>,
    key_exchange: Option<KeyExchangeReply>,
}

#[derive(Serialize)]
struct ProcessReply {
    name: &'static str,
    pid: u32,
}

#[derive(Serialize)]
struct SourcesReply<'a> {
    sources: &'a [SourceReport],
}

#[derive(Serialize)]
struct ServerReply {
    /// Whether there is a server role at all.
    configured: bool,
    server: Option<CountersReply>,
}

/// Each counter by its name.
struct CountersReply(Counters);

impl Serialize for CountersReply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Counters::NAMES.into_iter().zip(self.0.list()))
    }
}

/// Reply to `status`.
pub fn status(report: &Report, surroundings: &Surroundings, now: WallTime) -> String {
    let started = surroundings.processes.iter().filter(|(_, pid)| **pid != 0);
    let heard = surroundings.shortfalls.iter();
    write(&StatusReply {
        version: env!("CARGO_PKG_VERSION"),
        clock: clock_name(surroundings.clock),
        report: &report.system,
        processes: started.map(|(process, pid)| ProcessReply { name: process.name(), pid: *pid }).collect(),
        shortfalls: heard.filter_map(|(process, heard)| Some((process.name(), names((*heard)?)))).collect(),
        server: surroundings.counters.map(CountersReply),
        key_exchange: surroundings.key_exchange.map(|known| KeyExchangeReply::of(&known, now)),
    })
}

/// Reply to `sources`.
pub fn sources(report: &Report) -> String {
    write(&SourcesReply { sources: &report.sources })
}

/// Reply to `server`.
pub fn server(surroundings: &Surroundings) -> String {
    let configured = surroundings.processes[Process::Server] != 0;
    write(&ServerReply { configured, server: surroundings.counters.map(CountersReply) })
}

/// Reply to a change that was passed on.
pub fn done() -> String {
    "{\"done\":true}".to_owned()
}

/// Reply to a reload. `readings`: how often the certificate was read before.
pub fn reloaded(reloaded: &Reloaded, readings: u32) -> String {
    let Reloaded { rules, changed, needs_restart, new_section, reads_certificate } = *reloaded;
    serde_json::json!({
        "done": true,
        "rules": rules,
        "changed": changed,
        "needs_restart": needs_restart,
        "new_section": new_section,
        "reads_certificate": reads_certificate,
        "readings": readings,
    })
    .to_string()
}

/// Reply to what can't be done.
pub fn refused(why: &impl std::fmt::Display) -> String {
    serde_json::json!({ "error": why.to_string() }).to_string()
}

fn write(reply: &impl Serialize) -> String {
    serde_json::to_string(reply).unwrap_or_else(|_| "{\"error\":\"the reply cannot be written\"}".to_owned())
}

/// `kernel`, `virtual` or `none`.
pub fn clock_name(clock: ClockKind) -> &'static str {
    match clock {
        ClockKind::Kernel => "kernel",
        ClockKind::Virtual => "virtual",
        ClockKind::None => "none",
    }
}

/// The names of what is missing.
pub fn names(shortfall: Shortfall) -> Vec<&'static str> {
    shortfall.missing().map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn report() -> Report {
        Report {
            system: SystemReport {
                clock: "virtual",
                synchronised: false,
                state: "starting",
                reason: "no reply \u{1b}[31m so far".to_owned(),
                leap: "unknown",
                stratum: 16,
                reference_id: "00000000".to_owned(),
                reference: String::new(),
                offset_s: f64::NAN,
                estimated_error_s: 0.0,
                error_bound_s: f64::INFINITY,
                slew_left_s: 0.0,
                frequency_ppm: 0.0,
                frequency_error_ppm: 0.0,
                root_delay_s: 0.0,
                root_dispersion_s: 0.0,
                last_update_s: None,
                first_update_s: None,
                epoch: 1,
                steps: 0,
                refusals: 0,
                last_refusal: String::new(),
            },
            sources: Vec::new(),
        }
    }

    #[test]
    fn a_status_names_the_processes_that_run_and_what_they_miss() {
        let shortfall = Shortfall { landlock: true, insecure: true, ..Shortfall::NONE };
        let surroundings = Surroundings {
            clock: ClockKind::Virtual,
            processes: PerProcess::from_fn(|process| match process {
                Process::Privileged => 10,
                Process::Engine => 11,
                Process::Client => 12,
                _ => 0,
            }),
            shortfalls: PerProcess::from_fn(|process| match process {
                Process::Engine => Some(Shortfall::NONE),
                Process::Client => Some(shortfall),
                _ => None,
            }),
            counters: None,
            key_exchange: None,
        };
        let reply: Value = serde_json::from_str(&status(&report(), &surroundings, WallTime::MIN)).unwrap();
        assert_eq!(reply["processes"][2]["name"], "client");
        assert_eq!(reply["processes"][2]["pid"], 12);
        assert_eq!(reply["processes"].as_array().unwrap().len(), 3);
        assert_eq!(reply["shortfalls"]["client"], serde_json::json!(["landlock", "syscall-filter"]));
        assert_eq!(reply["shortfalls"]["engine"], serde_json::json!([]));
        assert!(reply["shortfalls"].get("privileged").is_none());
        assert_eq!(reply["server"], Value::Null);
        assert_eq!(
            (&reply["clock"], &reply["version"]),
            (&"virtual".into(), &env!("CARGO_PKG_VERSION").into())
        );
    }

    #[test]
    fn what_is_not_a_number_is_null_and_a_reply_is_one_line() {
        let surroundings = Surroundings {
            clock: ClockKind::Kernel,
            processes: PerProcess::default(),
            shortfalls: PerProcess::default(),
            counters: None,
            key_exchange: None,
        };
        let text = status(&report(), &surroundings, WallTime::MIN);
        assert!(!text.contains('\u{1b}') && !text.contains('\n'));
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(reply["report"]["offset_s"], Value::Null);
        assert_eq!(reply["report"]["state"], "starting");
    }
}
