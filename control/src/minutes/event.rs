//! What happened between two minutes, or in one.

use super::row::moment;
use crate::text::seconds;
use history::Finding;
use ipc::history::Run;
use ipc::text::{Hex, escape};
use ipc::units::WallTime;
use std::fmt;

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The steered clock; none: before the oldest record.
    pub at: Option<WallTime>,
    /// The number of the record.
    pub record: u64,
    /// What it was.
    pub what: What,
}

/// Kinds of events.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The engine began.
    Start(Run),
    /// It ended in order.
    End,
    /// It ended otherwise, after this: it was killed, or the machine went down.
    Unended {
        /// The next one began in the same boot of the machine.
        is_same_boot: bool,
    },
    /// Another configuration is in force, with this hash.
    Configuration([u8; 32]),
    /// A source that had no number before.
    Source(String),
    /// The daemon stepped the clock; ns, positive: forward.
    Step(i64),
    /// Another program did.
    OthersStep(i64),
    /// A leap second passed.
    Leap,
    /// The clock was synchronised all the time again, or not any more.
    Synchronised(bool),
    /// The file is not as the engine wrote it.
    Finding(Finding),
}

impl What {
    /// Its word for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::End => "end",
            Self::Unended { .. } => "unended",
            Self::Configuration(_) => "configuration",
            Self::Source(_) => "source",
            Self::Step(_) => "step",
            Self::OthersStep(_) => "foreign-step",
            Self::Leap => "leap",
            Self::Synchronised(true) => "synchronised",
            Self::Synchronised(false) => "unsynchronised",
            Self::Finding(finding) if finding.may_be_a_power_cut() => "power-cut",
            Self::Finding(_) => "finding",
        }
    }
}

/// As hexadecimal digits.
pub fn hex(octets: &[u8]) -> String {
    Hex(octets).to_string()
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = |nanos: i64| seconds(Some(nanos as f64 / 1e9), true);
        match self {
            Self::Start(run) => {
                let (configuration, boot) = (hex(&run.configuration), hex(&run.boot));
                write!(
                    f,
                    "start of version {}, boot {boot}, configuration {configuration}",
                    escape(&run.version)
                )?;
                match run.torn {
                    0 => Ok(()),
                    torn => write!(f, "; after a power cut: {torn} records or more were lost"),
                }
            }
            Self::End => f.write_str("the engine ended in order"),
            Self::Unended { is_same_boot: true } => {
                f.write_str("the run ended after this, and not in order: it was killed, or ended by a fault")
            }
            Self::Unended { is_same_boot: false } => f.write_str(
                "the run ended after this, and not in order: the machine went down, or it was killed",
            ),
            Self::Configuration(hash) => write!(f, "another configuration: {}", hex(hash)),
            Self::Source(name) => write!(f, "source {}", escape(name)),
            Self::Step(nanos) => write!(f, "the clock was stepped by {}", step(*nanos)),
            Self::OthersStep(nanos) => {
                write!(f, "another program stepped the clock; largest step of this minute: {}", step(*nanos))
            }
            Self::Leap => f.write_str("a leap second passed"),
            Self::Synchronised(true) => f.write_str("synchronised"),
            Self::Synchronised(false) => f.write_str("not synchronised all the time any more"),
            Self::Finding(finding) if finding.may_be_a_power_cut() => finding.fmt(f),
            Self::Finding(finding) => write!(f, "FINDING: {finding}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.map_or_else(|| format!("{:20}", "-"), moment);
        write!(f, "{at}  {}", self.what)
    }
}
