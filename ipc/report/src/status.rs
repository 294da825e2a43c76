//! The replies as a whole.

use crate::keys::KeyExchangeReply;
use crate::schema::Counts;
use crate::source::SourceReport;
use crate::system::SystemReport;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

documents! {
    /// Reply to `status`.
    StatusReply {
        /// The engine's.
        version: &'static str,
        /// `kernel`, `virtual` or `none`.
        clock: &'static str,
        /// The clock.
        report: SystemReport,
        /// The processes that run.
        processes: Vec<ProcessReply>,
        /// The shortfalls of each process's confinement; only processes that have reported.
        shortfalls: BTreeMap<&'static str, Vec<&'static str>>,
        /// Counts of the server role; none: no server, or nothing counted yet.
        server: Option<Counts>,
        /// The key exchange service; none: there is none.
        key_exchange: Option<KeyExchangeReply>,
    }

    /// One process.
    ProcessReply {
        /// Its role.
        name: &'static str,
        /// Its pid.
        pid: u32,
    }

    /// Reply to `sources`.
    SourcesReply {
        /// In the order of the configuration.
        sources: Vec<SourceReport>,
    }

    /// Reply to `server`.
    ServerReply {
        /// Whether there is a server role at all.
        configured: bool,
        /// What it did, by name; none: no server, or nothing counted yet.
        server: Option<Counts>,
    }

    /// Reply to a change that was passed on.
    Done {
        /// Always true.
        done: bool,
    }

    /// Reply to a reload. The order of its names is that of the alphabet.
    ReloadedReply {
        /// Whether the server's rules, limits or keys are other ones now.
        changed: bool,
        /// Always true.
        done: bool,
        /// Whether something else in the file is new, which takes a restart.
        needs_restart: bool,
        /// A section that is new and takes a restart; none: there is none.
        new_section: Option<&'static str>,
        /// How often the certificate was read before.
        readings: u32,
        /// Whether certificate and key are being read anew.
        reads_certificate: bool,
        /// How many access rules are in force.
        rules: u64,
    }

    /// Reply to a request that cannot be carried out.
    RefusedReply {
        /// One sentence: why.
        error: String,
    }
}
