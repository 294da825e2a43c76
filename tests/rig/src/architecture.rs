//! The architecture of guests: this machine's, or another one that is emulated.

use std::ffi::OsStr;
use std::process::Command;

/// Of a guest's kernel and of all its programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Architecture {
    /// x86-64, as this machine.
    #[default]
    Amd64,
    /// aarch64. Each machine is a whole one, and emulated: slow.
    Arm64,
}

const FOREIGN: &str = include_str!("../host/foreign.sh");

impl Architecture {
    /// That of programs which are built for this target of the compiler; none: there are no such guests.
    pub fn of_target(triple: &str) -> Option<Self> {
        match triple.split('-').next() {
            Some("x86_64") => Some(Self::Amd64),
            Some("aarch64") => Some(Self::Arm64),
            _ => None,
        }
    }

    /// Debian's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// A part of names in the store.
    pub(crate) fn mark(self) -> &'static str {
        match self {
            Self::Amd64 => "",
            Self::Arm64 => "arm64-",
        }
    }

    /// A program of this machine that starts programs of a guest's.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Amd64 => Command::new(program),
            Self::Arm64 => {
                let mut command = Command::new("sh");
                command.args(["-ec", FOREIGN, "outside", FOREIGN]).arg(program);
                command
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_have_the_architecture_of_the_target() {
        assert_eq!(Architecture::of_target("x86_64-unknown-linux-musl"), Some(Architecture::Amd64));
        assert_eq!(Architecture::of_target("aarch64-unknown-linux-gnu"), Some(Architecture::Arm64));
        assert_eq!(Architecture::of_target("s390x-unknown-linux-gnu"), None);
    }
}
