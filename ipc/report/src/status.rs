//! The replies.

use crate::keys::KeyExchangeReply;
use crate::lasting::{HistoryFileReply, RoughtimeReply};
use crate::reason::ClockName;
use crate::schema::Counts;
use crate::source::SourceReport;
use crate::system::SystemReport;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

documents! {
    /// Reply to `status`.
    StatusReply {
        /// The version of the engine.
        version: &'static str,
        /// The clock that is steered.
        clock: ClockName,
        /// The clock.
        report: SystemReport,
        /// The processes that run.
        processes: Vec<ProcessReply>,
        /// The shortfalls of each process's confinement; only processes that have reported.
        shortfalls: BTreeMap<&'static str, Vec<&'static str>>,
        /// The FIPS 140 module that does the engine's cryptography, in its approved mode. None: no validated module does.
        fips_module: Option<String>,
        /// Why the state directory cannot be written, and what to do about it; what is remembered is then in the run directory.
        /// None: it can.
        state_elsewhere: Option<String>,
        /// Counters of the server; none: there is no server, or nothing has been counted yet.
        server: Option<Counts>,
        /// The key exchange service; none: none is configured.
        key_exchange: Option<KeyExchangeReply>,
        /// Entries of `listen` under [server] that name an interface which is not there.
        unserved: Vec<UnservedReply>,
        /// The history of minutes.
        history: HistoryFileReply,
        /// What is known of Roughtime; none: no server is configured.
        roughtime: Option<RoughtimeReply>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// An entry of `listen` that is not served now.
    UnservedReply {
        /// The entry.
        listen: String,
        /// Why not, and what to do about it, in one sentence.
        reason: String,
    }

    /// One process.
    ProcessReply {
        /// Name of the process.
        name: &'static str,
        /// Process id.
        pid: u32,
    }

    /// Reply to `sources`.
    SourcesReply {
        /// In the order of the configuration.
        sources: Vec<SourceReport>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// Reply to `server`.
    ServerReply {
        /// Whether a server is configured.
        configured: bool,
        /// Counters by name; none: there is no server, or nothing has been counted yet.
        server: Option<Counts>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// Reply to a command that was accepted.
    Done {
        /// Always true.
        done: bool,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// Reply to a step that was asked for.
    StepReply {
        /// How far the clock was moved, in seconds; positive: forward; none: it was not.
        moved_s: Option<f64>,
        /// The offset for which it was not, in seconds; positive: the clock is behind; none: it was moved, or is not known.
        offset_s: Option<f64>,
        /// The row of the governor's table that refused it; none: it was not refused.
        refused: Option<&'static str>,
        /// Why it was not moved, a sentence; none: it was.
        reason: Option<String>,
        /// The size, in whole seconds, that an operator may permit so that the step is made; none: that would not help.
        approve_s: Option<u32>,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }

    /// Reply to a reload. The fields are in alphabetical order.
    ReloadedReply {
        /// Names of the sources that are new, and asked from now on.
        added_sources: Vec<String>,
        /// The certificate that is being read again: that of the start; none: no keys are exchanged.
        certificate_file: Option<String>,
        /// Whether the server's rules or limits, or those of key exchanges, have changed.
        changed: bool,
        /// The keys of `[clock]` that have another value from now on.
        changed_clock: Vec<String>,
        /// Names of the sources that are asked in another way from now on.
        changed_sources: Vec<String>,
        /// Always true.
        done: bool,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
        /// The key that belongs to it.
        key_file: Option<String>,
        /// What programs have left in `sources.d` and is not used though they want it; a line each.
        left_out: Vec<String>,
        /// Whether another part of the file has changed that requires a restart: `waiting` is not empty.
        needs_restart: bool,
        /// Whether the file names another certificate or key than those that are read; a restart takes them up.
        other_files: bool,
        /// How often the certificate had been read before the reload.
        readings: u32,
        /// Whether certificate and key are being read again.
        reads_certificate: bool,
        /// Names of the sources that are no longer asked.
        removed_sources: Vec<String>,
        /// Number of access rules in force.
        rules: u64,
        /// What else has changed in the file, and requires a restart; one phrase for each section.
        waiting: Vec<String>,
    }

    /// Reply to a request that cannot be carried out.
    RefusedReply {
        /// The reason, in one sentence.
        error: String,
        /// The version of the form of this document ([`FORMAT`](crate::FORMAT)).
        format: u32,
    }
}
