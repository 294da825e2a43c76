//! What the launch leaves to the keeper, which takes its place by an exec: one record on the keeper's standard input.
//! Everything else that the launch knew ends with it.

use super::privileged::{ClockKind, Profile};
use crate::codec::{Decode, Encode};
use crate::governor_record::Record;
use crate::process::PerProcess;
use crate::units::Span;

/// What the launch leaves.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Handover {
    /// What is steered.
    pub clock: ClockKind,
    /// What the configuration and the operator left open.
    pub terms: Terms,
    /// The number of this boot.
    pub boot_id: [u8; 16],
    /// What the governor begins with. The ends of the audit log in it are where the log ends now.
    pub record: Record,
    /// Where that comes from.
    pub memory: Memory,
    /// Whether the audit log is what was written.
    pub integrity: LogIntegrity,
    /// Process ids; 0: not started.
    pub processes: PerProcess<u32>,
    /// The record is in the state directory, and a start that could not write it there would keep it in the run directory.
    pub has_refuge: bool,
    /// The profile attested: the service manager is told that the daemon is ready when the clock follows its sources, and not before;
    /// and the clock is marked unsynchronised when the daemon ends.
    pub attested: bool,
    /// `--insecure`: no filter.
    pub insecure: bool,
    /// The journal reads standard error.
    pub journal: bool,
    /// Open descriptors.
    pub descriptors: Descriptors,
}

/// What the configuration and the operator left open to the governor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Terms {
    /// Which column of the governor's table is in force.
    pub profile: Profile,
    /// Whether leap seconds may be armed.
    pub leap_seconds: bool,
    /// Largest run-time step asked for in the configuration; the profile may allow less.
    pub run_step: Span,
    /// Largest step forward without evidence that the configuration allows; the profile may allow less.
    pub forward_step: Span,
    /// `--approve-step`: one step of at most this size.
    pub approved_step: Option<Span>,
}

/// Numbers of descriptors that survive the exec, 3 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Descriptors {
    /// The link of the orders.
    pub link: i32,
    /// A signalfd for SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD, which are blocked.
    pub signals: i32,
    /// The governor's record, two slots.
    pub record: i32,
    /// The audit log.
    pub audit: i32,
    /// A timer that becomes readable when CLOCK_REALTIME is set.
    pub set_clock: Option<i32>,
    /// A datagram socket that is connected to the service manager.
    pub notify: Option<i32>,
    /// What the service manager reads a line feed from when everything runs.
    pub ready: Option<i32>,
    /// What the battery-backed clock shows, in seconds since 1970, as text.
    pub rtc: Option<i32>,
    /// The page of the hypervisor's vmclock, as a file.
    pub vmclock: Option<i32>,
    /// The file of a virtual clock.
    pub clock: Option<i32>,
    /// Pipes in which each process leaves the number of the system call that its filter denied.
    pub denied: PerProcess<Option<i32>>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum LogIntegrity {
    /// As far back as it reaches, or to the last start that said otherwise.
    Whole,
    /// Lines after the one that the governor remembers are not there, but what came after them, or parts of it.
    Torn,
    /// It ends as it should, and before that a line is missing or changed.
    Altered,
    /// It ends before the line that the governor remembers, or with another one.
    Cut,
}

impl LogIntegrity {
    /// The word for the log itself.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Torn => "torn",
            Self::Cut => "CUT",
            Self::Altered => "ALTERED",
        }
    }
}
