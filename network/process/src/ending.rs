//! Why a role ends.

use ipc_link::LinkError;
use nix::errno::Errno;
use std::fmt;

/// Exit code for every abnormal end: a protocol violation, or a failed essential system call (EX_SOFTWARE).
pub const BROKEN: i32 = 70;

/// Why a role ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The engine is gone: so is the reason to run.
    EngineGone,
    /// The engine broke the rules of its link.
    Link(LinkError),
    /// The engine asked for something that its link's rules forbid; the rule that it broke.
    Rule(&'static str),
    /// The key holder is gone, or broke the rules of its link.
    Holder(LinkError),
    /// The process that asks Samba broke the rules of its link.
    Signer(LinkError),
    /// An essential system call failed.
    Kernel(&'static str, Errno),
}

impl Ending {
    /// The exit code: 0 for a quiet end.
    pub const fn code(&self) -> i32 {
        match self {
            Ending::EngineGone => 0,
            _ => BROKEN,
        }
    }
}

impl From<LinkError> for Ending {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Closed => Ending::EngineGone,
            other => Ending::Link(other),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::EngineGone => f.write_str("the engine is gone"),
            Ending::Link(error) => write!(f, "link to the engine: {error}"),
            Ending::Rule(rule) => write!(f, "the engine broke a rule of its link: {rule}"),
            Ending::Holder(error) => write!(f, "link to the key holder: {error}"),
            Ending::Signer(error) => write!(f, "link to the process that asks Samba: {error}"),
            Ending::Kernel(what, errno) => write!(f, "the kernel refuses {what}: {}", errno.desc()),
        }
    }
}

impl std::error::Error for Ending {}
