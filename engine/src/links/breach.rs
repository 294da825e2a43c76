//! What a process did that ends the daemon.

use ipc::process::Process;
use std::fmt;

/// What a process did whose link is closed.
pub(super) const GONE: &str = "is gone";

/// A process that is no longer trusted, and what it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Who.
    pub process: Process,
    /// What, as the rest of a sentence that starts with the process.
    pub violation: String,
}

impl Breach {
    /// A process did this.
    pub fn new(process: Process, violation: impl fmt::Display) -> Self {
        Self { process, violation: violation.to_string() }
    }

    /// Whether the process merely ended.
    pub fn is_gone(&self) -> bool {
        self.violation == GONE
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}; the daemon ends", self.process.title(), self.violation)
    }
}

impl std::error::Error for Breach {}
