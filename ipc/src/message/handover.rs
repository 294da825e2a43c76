//! What the launch leaves to the keeper, which takes its place by an exec: one record on the keeper's standard input.
//! Everything else that the launch knew ends with it.

use super::privileged::{ClockKind, Profile};
use crate::codec::{Decode, Encode};
use crate::process::PerProcess;
use crate::units::Span;

/// What the launch leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Handover {
    /// What is steered.
    pub clock: ClockKind,
    /// Which column of the governor's table is in force.
    pub profile: Profile,
    /// Whether leap seconds may be armed.
    pub leap_seconds: bool,
    /// Largest run-time step asked for in the configuration.
    pub run_step: Span,
    /// `--approve-step`: one step of at most this size, ns; 0: none.
    pub approved_step: i64,
    /// The number of this boot.
    pub boot_id: [u8; 16],
    /// Which record of the governor this run begins with.
    pub memory: Memory,
    /// Whether the audit log is what was written.
    pub integrity: LogIntegrity,
    /// How many lines the audit log has had, and the hash of the last one.
    pub audit: (u64, [u8; 32]),
    /// Process ids; 0: not started.
    pub processes: PerProcess<u32>,
    /// `--insecure`: no filter.
    pub insecure: bool,
    /// The journal reads standard error.
    pub journal: bool,
    /// Open descriptors.
    pub descriptors: Descriptors,
}

/// Numbers of descriptors that survive the exec, 3 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Descriptors {
    /// The link of the orders.
    pub link: i32,
    /// A signalfd for SIGTERM, SIGINT, SIGHUP and SIGCHLD, which are blocked.
    pub signals: i32,
    /// The governor's record, two slots.
    pub record: i32,
    /// The audit log.
    pub audit: i32,
    /// A datagram socket that is connected to the service manager.
    pub notify: Option<i32>,
    /// The file of a virtual clock.
    pub clock: Option<i32>,
}

/// Where the governor's record of this run comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Memory {
    /// There was none, and nothing was ever granted.
    FirstStart,
    /// It was kept.
    Resumed,
    /// It is gone, and something may have been granted before.
    Lost,
    /// Neither slot is in order.
    Damaged,
    /// An operator gave `--new-record`.
    NewByOperator,
}

impl Memory {
    /// The word for the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::FirstStart => "first-start",
            Self::Resumed => "resumed",
            Self::Lost => "lost",
            Self::Damaged => "damaged",
            Self::NewByOperator => "new-by-operator",
        }
    }
}

/// Whether the audit log is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum LogIntegrity {
    /// As far back as it reaches, or to the last start that said otherwise.
    Whole,
    /// It ends before the line that the governor remembers, or with another one.
    Cut,
    /// It ends as it should, and before that a line is missing or changed.
    Altered,
}

impl LogIntegrity {
    /// The word for the log itself.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Cut => "CUT",
            Self::Altered => "ALTERED",
        }
    }
}
