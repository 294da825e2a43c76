//! The processes of the daemon, each with what others have to know of it. What a new one needs besides a variant and a line
//! of [`FACTS`] is in docs/architecture.md, "To add something".

use crate::codec::{Decode, Encode};
use core::ops::{Index, IndexMut};

/// A process of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Process {
    /// truechimerd: starts the others and keeps the clock.
    Privileged,
    /// truechimer-engine: decides.
    Engine,
    /// truechimer-client: queries sources.
    Client,
    /// truechimer-server: answers queries.
    Server,
    /// truechimer-exchange: resolves names and exchanges keys with sources, each in a separate child process.
    Exchange,
    /// truechimer-key-service: exchanges keys with clients of the server.
    KeyService,
    /// truechimer-key-holder: signs for the key exchange service, to which alone it speaks.
    KeyHolder,
}

struct Facts {
    process: Process,
    name: &'static str,
    title: &'static str,
    user: &'static str,
    program: &'static str,
    role: Option<&'static str>,
    has_link: bool,
    exit_code: u8,
}

/// The programs that truechimerd becomes once everything runs: the keeper of the kernel's clock, and that of a virtual clock
/// or of none. In reports and messages the process is `privileged`, with the title `truechimerd`.
pub const KEEPERS: [&str; 2] = ["truechimer-keeper", "truechimer-keeper-virtual"];

/// In the order of [`Process`]. The exit code is that of `truechimerd` when this process is gone or no longer trusted;
/// that of `truechimerd` itself is its internal error.
#[rustfmt::skip]
const FACTS: [Facts; 7] = [
    Facts { process: Process::Privileged, name: "privileged", title: "truechimerd", user: "truechimer-clock", program: "truechimerd", role: None, has_link: true, exit_code: 70 },
    Facts { process: Process::Engine, name: "engine", title: "the engine", user: "truechimer-engine", program: "truechimer-engine", role: None, has_link: false, exit_code: 81 },
    Facts { process: Process::Client, name: "client", title: "the network process (client role)", user: "truechimer-net", program: "truechimer-client", role: Some("client"), has_link: true, exit_code: 82 },
    Facts { process: Process::Server, name: "server", title: "the network process (server role)", user: "truechimer-serve", program: "truechimer-server", role: Some("server"), has_link: true, exit_code: 83 },
    Facts { process: Process::Exchange, name: "exchange", title: "the network process (exchange role)", user: "truechimer-kex", program: "truechimer-exchange", role: Some("exchange"), has_link: true, exit_code: 84 },
    Facts { process: Process::KeyService, name: "key service", title: "the key exchange service", user: "truechimer-ntske", program: "truechimer-key-service", role: Some("key-service"), has_link: true, exit_code: 83 },
    Facts { process: Process::KeyHolder, name: "key holder", title: "the key holder", user: "truechimer-key", program: "truechimer-key-holder", role: Some("key-holder"), has_link: false, exit_code: 83 },
];

impl Process {
    /// How many there are.
    pub const COUNT: usize = FACTS.len();

    /// All of them.
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::Privileged; Self::COUNT];
        let mut at = 0;
        while at < all.len() {
            assert!(FACTS[at].process as usize == at, "the facts stand in the order of the processes");
            all[at] = FACTS[at].process;
            at += 1;
        }
        all
    };

    const fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// In reports: one or two words.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// In sentences for administrators.
    pub const fn title(self) -> &'static str {
        self.facts().title
    }

    /// The packaged user that it runs as.
    pub const fn user(self) -> &'static str {
        self.facts().user
    }

    /// The program that it is.
    pub const fn program(self) -> &'static str {
        self.facts().program
    }

    /// For roles that read from the network or hold the private key, the name of the role, which also names links on
    /// command lines.
    pub const fn role(self) -> Option<&'static str> {
        self.facts().role
    }

    /// Whether the engine has a link to it.
    pub const fn has_link(self) -> bool {
        self.facts().has_link
    }

    /// The exit code of `truechimerd` when this process is gone or broke a rule; for [`Process::Privileged`] that of an internal
    /// error.
    pub const fn exit_code(self) -> i32 {
        self.facts().exit_code as i32
    }
}

/// One value for each process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct PerProcess<T>([T; Process::COUNT]);

impl<T> PerProcess<T> {
    /// The value of each, made in their order.
    pub fn from_fn(mut make: impl FnMut(Process) -> T) -> Self {
        Self(Process::ALL.map(&mut make))
    }

    /// Each process with its value, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Process, &T)> {
        Process::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<Process> for PerProcess<T> {
    type Output = T;

    fn index(&self, process: Process) -> &T {
        &self.0[process as usize]
    }
}

impl<T> IndexMut<Process> for PerProcess<T> {
    fn index_mut(&mut self, process: Process) -> &mut T {
        &mut self.0[process as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_processes_share_a_name_a_user_or_a_program() {
        for of in [Process::name, Process::title, Process::user, Process::program] {
            assert_eq!(Process::ALL.map(of).into_iter().collect::<BTreeSet<_>>().len(), Process::COUNT);
        }
    }

    #[test]
    fn a_value_is_found_under_its_process() {
        let mut lengths = PerProcess::from_fn(|process| process.name().len());
        lengths[Process::KeyHolder] += 1;
        assert_eq!((lengths[Process::Engine], lengths[Process::KeyHolder]), (6, 11));
    }
}
