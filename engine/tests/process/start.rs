//! The circumstances of an engine.

use std::path::PathBuf;

/// How an engine is started.
#[derive(Default)]
pub struct Start {
    /// Check mode.
    pub check: bool,
    /// Under the real confinement, as another user where this is root.
    pub confined: bool,
    /// The log goes to a syslog socket.
    pub syslog: bool,
    /// What the state file holds before.
    pub state: Vec<u8>,
    /// Only its owner may read the configuration.
    pub private: bool,
    /// The file of keys, kept over the end of the process; none: a new one.
    pub keys: Option<PathBuf>,
}
