//! The ways in which this process ends.

use crate::clock::ClockError;
use crate::links::Breach;
use ipc::process::{Parting, Process};
use nix::errno::Errno;
use std::fmt;

/// Exit code for every cause except an invalid configuration.
pub const ENGINE: i32 = 81;

/// Exit code for an invalid configuration.
pub const CONFIGURATION: i32 = 78;

/// Why this process ends. It never ends without a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Another process violated its protocol or has ended.
    Breach(Breach),
    /// The clocks cannot be read.
    Clock(ClockError),
    /// The kernel refused a call that must not fail.
    Kernel(Errno),
    /// The state directory can be written again: the next start takes its files back.
    Return,
}

impl Ending {
    /// What the privileged process is told; `None` if that process is itself gone.
    pub fn goodbye(&self) -> Option<Parting> {
        match self {
            Self::Breach(breach) => {
                Some(breach.process).filter(|process| *process != Process::Privileged).map(Parting::Lost)
            }
            Self::Clock(_) | Self::Kernel(_) => Some(Parting::Lost(Process::Engine)),
            Self::Return => Some(Parting::Restart),
        }
    }

    /// Whether this is how an orderly stop looks from here: truechimerd ended, and this process follows.
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Breach(breach) if breach.process == Process::Privileged && breach.is_gone())
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breach(_) if self.is_orderly() => {
                f.write_str("truechimerd has ended; this process follows")
            }
            Self::Breach(breach) => breach.fmt(f),
            Self::Clock(error) => error.fmt(f),
            Self::Return => f.write_str(
                "the state directory can be written again: the daemon ends, and its next start takes back what is in the \
                 run directory",
            ),
            Self::Kernel(errno) => {
                write!(f, "the kernel refused a call that it should not: {}", errno.desc())
            }
        }
    }
}

impl std::error::Error for Ending {}

impl From<Breach> for Ending {
    fn from(breach: Breach) -> Self {
        Self::Breach(breach)
    }
}

impl From<ClockError> for Ending {
    fn from(error: ClockError) -> Self {
        Self::Clock(error)
    }
}
