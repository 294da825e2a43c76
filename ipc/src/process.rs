//! The processes of the daemon, each with what others have to know of it. What a new one needs besides its entry here is
//! in docs/architecture.md, "To add something".

use crate::codec::{Decode, Encode};
use crate::plan::LaunchPlan;
use core::ops::{Index, IndexMut};

/// The processes with their facts: the enum, and the table behind its methods.
macro_rules! processes {
    ($($(#[$doc:meta])* $process:ident {
        name: $name:literal, title: $title:literal, program: $program:literal,
        user: $user:literal, does: $does:literal, exit_code: $code:literal,
        linked_to: $linked_to:expr, is_wanted: $is_wanted:expr, given: $given:expr,
    })*) => {
        /// A process of the daemon.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
        pub enum Process { $($(#[$doc])* $process),* }

        impl Process {
            /// All of them.
            pub const ALL: [Self; FACTS.len()] = [$(Self::$process),*];
        }

        static FACTS: [Facts; [$(Process::$process),*].len()] = [$(Facts {
            name: $name, title: $title, program: $program, user: $user, does: $does, exit_code: $code,
            linked_to: $linked_to, is_wanted: $is_wanted, given: $given,
        }),*];
    };
}

struct Facts {
    name: &'static str,
    title: &'static str,
    program: &'static str,
    user: &'static str,
    does: &'static str,
    exit_code: u8,
    linked_to: Option<Process>,
    is_wanted: fn(&LaunchPlan) -> bool,
    given: &'static [Given],
}

processes! {
    /// truechimerd: starts the others and keeps the clock.
    Privileged {
        name: "privileged", title: "truechimerd", program: "truechimerd",
        user: "truechimer-clock", does: "holds the clock", exit_code: 70,
        linked_to: Some(Process::Engine), is_wanted: |_| true, given: &[],
    }
    /// truechimer-engine: decides.
    Engine {
        name: "engine", title: "the engine", program: "truechimer-engine",
        user: "truechimer-engine", does: "decides", exit_code: 81,
        linked_to: None, is_wanted: |_| true, given: &[],
    }
    /// truechimer-client: queries sources.
    Client {
        name: "client", title: "the client", program: "truechimer-client",
        user: "truechimer-net", does: "queries our sources", exit_code: 82,
        linked_to: Some(Process::Engine), is_wanted: |_| true, given: &[Given::Network],
    }
    /// truechimer-server: answers queries.
    Server {
        name: "server", title: "the server", program: "truechimer-server",
        user: "truechimer-serve", does: "answers strangers", exit_code: 83,
        linked_to: Some(Process::Engine), is_wanted: |plan| !plan.listen.is_empty(),
        given: &[Given::Sockets, Given::Served, Given::Interfaces, Given::Clock, Given::Signer],
    }
    /// truechimer-exchange: resolves names and exchanges keys with sources, each in a separate child process.
    Exchange {
        name: "exchange", title: "the exchange process", program: "truechimer-exchange",
        user: "truechimer-kex", does: "key exchange and names", exit_code: 84,
        linked_to: Some(Process::Engine), is_wanted: |plan| plan.exchange, given: &[Given::Roots],
    }
    /// truechimer-key-service: exchanges keys with clients of the server.
    KeyService {
        name: "key service", title: "the key exchange service", program: "truechimer-key-service",
        user: "truechimer-ntske", does: "key exchange service", exit_code: 83,
        linked_to: Some(Process::Engine), is_wanted: |plan| plan.key_service.is_some(),
        given: &[Given::Listeners, Given::Served, Given::Certificate, Given::Signatures],
    }
    /// truechimer-key-holder: signs for the key exchange service, to which alone it speaks.
    KeyHolder {
        name: "key holder", title: "the key holder", program: "truechimer-key-holder",
        user: "truechimer-key", does: "holds the private key", exit_code: 83,
        linked_to: Some(Process::KeyService), is_wanted: |plan| plan.key_service.is_some(),
        given: &[Given::Key, Given::Signing],
    }
    /// truechimer-samba: has the server's replies to clients of an Active Directory domain signed by Samba.
    Samba {
        name: "samba", title: "the process that asks Samba", program: "truechimer-samba",
        user: "truechimer-samba", does: "has replies signed by Samba", exit_code: 83,
        linked_to: Some(Process::Engine), is_wanted: |plan| plan.samba.is_some() && !plan.listen.is_empty(),
        given: &[Given::SignsFor, Given::SambaFolder],
    }
    /// truechimer-refclock: reads the reference clocks of this host.
    Refclock {
        name: "refclock", title: "the process that reads reference clocks", program: "truechimer-refclock",
        user: "truechimer-refclock", does: "reads reference clocks", exit_code: 82,
        linked_to: Some(Process::Engine), is_wanted: |plan| plan.has_refclocks(),
        given: &[Given::Refclocks],
    }
}

/// What the launch gives a process beside its links, and under which word of its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// `network=FD`: a routing socket (rtnetlink), if there is one, on which the kernel tells of changes of the network.
    Network,
    /// `sockets=FD,…`: bound to the addresses that are served.
    Sockets,
    /// `served=ADDRESS%INTERFACE:PORT,…`: which of the requests or connections that reach its sockets are answered ([`ServedAt`](crate::served_at::ServedAt)).
    Served,
    /// `interfaces=FD`: a routing socket, if one is needed and there is one, on which the kernel tells of changes of interfaces.
    Interfaces,
    /// `clock=FD`: the file of a virtual clock, if there is one, to read.
    Clock,
    /// `system-roots=PATH`, `roots-1=PATH`, …: files of root certificates ([`ROOT_WORDS`](crate::plan::ROOT_WORDS)).
    Roots,
    /// `listeners=FD,…`: of the key exchange service.
    Listeners,
    /// `certificate=PATH`: the chain of the key exchange service.
    Certificate,
    /// `key=PATH`: the private key of the key exchange service.
    Key,
    /// `signing=FD,…`: links to the signing process, one for each thread that asks.
    Signatures,
    /// `signing=FD,…`: the other ends of them.
    Signing,
    /// `signer=FD`: a link to the process that asks Samba, if there is one.
    Signer,
    /// `server=FD`: the other end of it.
    SignsFor,
    /// `clocks=FD,…`: one for each reference clock, in the order of the plan.
    Refclocks,
    /// `socket=PATH`: Samba's socket; and `folder=PATH` if its folder is not there yet.
    SambaFolder,
}

/// The engine's last word to truechimerd: why the daemon ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Parting {
    /// This process is gone, cannot continue or broke a rule: its exit code. Never [`Process::Privileged`], with whose end the
    /// link ends too.
    Lost(Process),
    /// Nothing is wrong: the files of the state directory can be taken back, which only a start does. Exit code 75.
    Restart,
}

/// The programs that truechimerd becomes once everything runs: the keeper of the kernel's clock, and that of a virtual clock
/// or of none. In reports and messages the process is `privileged`, with the title `truechimerd`.
pub const KEEPERS: [&str; 2] = ["truechimer-keeper", "truechimer-keeper-virtual"];

impl Process {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    fn facts(self) -> &'static Facts {
        &FACTS[self as usize]
    }

    /// In reports: one or two words.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// In sentences for administrators.
    pub fn title(self) -> &'static str {
        self.facts().title
    }

    /// The packaged user that it runs as.
    pub fn user(self) -> &'static str {
        self.facts().user
    }

    /// What it does, in a few words, for the comment of its user.
    pub fn does(self) -> &'static str {
        self.facts().does
    }

    /// The program that it is.
    pub fn program(self) -> &'static str {
        self.facts().program
    }

    /// Its name on command lines, where it names a link to it.
    pub fn word(self) -> &'static str {
        self.program().strip_prefix("truechimer-").unwrap_or(self.name())
    }

    /// The process that it has its link to; none for the engine, to which all others lead.
    pub fn linked_to(self) -> Option<Self> {
        self.facts().linked_to
    }

    /// Those that have their link to this one.
    pub fn with_link_to(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |process| process.linked_to() == Some(self))
    }

    /// Whether it is part of a run with this plan.
    pub fn is_wanted(self, plan: &LaunchPlan) -> bool {
        (self.facts().is_wanted)(plan)
    }

    /// What the launch gives it beside its links.
    pub fn given(self) -> &'static [Given] {
        self.facts().given
    }

    /// The exit code of `truechimerd` when this process is gone or broke a rule; for [`Process::Privileged`] that of an internal
    /// error of its own.
    pub fn exit_code(self) -> i32 {
        i32::from(self.facts().exit_code)
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
        for of in
            [Process::name, Process::title, Process::user, Process::does, Process::program, Process::word]
        {
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
