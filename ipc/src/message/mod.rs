//! Every message that one process may send another.
//!
//! | link | enum out | enum back |
//! |---|---|---|
//! | engine → truechimerd | [`launch::ToLaunch`] | [`launch::FromLaunch`]: nothing |
//! | truechimerd → keeper | [`handover::Handover`] | |
//! | engine → keeper | [`privileged::ToPrivileged`] | [`privileged::FromPrivileged`] |
//! | engine → client | [`client::ToClient`] | [`client::FromClient`] |
//! | engine → server | [`server::ToServer`] | [`server::FromServer`] |
//! | engine → exchange | [`exchange::ToExchange`] | [`exchange::FromExchange`] |
//! | engine → key exchange service | [`key_service::ToKeyService`] | [`key_service::FromKeyService`] |
//! | key exchange service → key holder | [`key_service::ToKeyHolder`] | [`key_service::FromKeyHolder`] |
//! | engine → process that asks Samba | [`samba::ToSamba`] | [`samba::FromSamba`] |
//! | engine → process that reads reference clocks | [`refclock::ToRefclock`] | [`refclock::FromRefclock`] |
//! | server → process that asks Samba | [`samba::ToSigner`] | [`samba::FromSigner`] |
//!
//! The first breach of an invariant that is named here ends the daemon: a sender that broke one is no
//! longer the program that we started.

// Frames have a fixed size and live on the stack: boxing would put them on the heap for nothing.
#![allow(clippy::large_enum_variant)]

use crate::codec::{Decode, Encode, Message};
use core::fmt;

pub mod client;
mod counters;
pub mod exchange;
pub mod handover;
pub mod key_service;
pub mod launch;
pub mod privileged;
pub mod refclock;
mod refusal;
pub mod samba;
pub mod server;

/// What a process could not get of its confinement. All false: everything is in force. Sent once, by
/// each process that the engine talks to; a claim, shown as such (the kernel's own report is read from
/// outside by `chimerctl status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Shortfall {
    /// No separate namespaces.
    pub namespaces: bool,
    /// No empty or read-only view of the file system.
    pub file_view: bool,
    /// No Landlock.
    pub landlock: bool,
    /// Landlock of a kernel that cannot restrict TCP by port.
    pub ports: bool,
    /// No memory-deny-write-execute.
    pub write_execute: bool,
    /// Same uid as the process that started it.
    pub user: bool,
    /// Started with `--insecure`: no syscall filter either.
    pub insecure: bool,
}

impl Shortfall {
    /// Nothing is missing.
    pub const NONE: Self = Self {
        namespaces: false,
        file_view: false,
        landlock: false,
        ports: false,
        write_execute: false,
        user: false,
        insecure: false,
    };

    /// What is missing: its name in reports, and the words for people.
    pub fn missing(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let Self { namespaces, file_view, landlock, ports, write_execute, user, insecure } = self;
        let all = [
            (namespaces, "namespaces", "no namespaces of its own"),
            (file_view, "file-view", "no empty view of the file system"),
            (landlock, "landlock", "no Landlock"),
            (ports, "tcp-ports", "no limit of the ports that it connects to"),
            (write_execute, "write-execute", "no ban on memory that is written and executed"),
            (user, "user", "no user of its own"),
            (insecure, "syscall-filter", "no syscall filter (--insecure)"),
        ];
        all.into_iter().filter(|(is_missing, ..)| *is_missing).map(|(_, name, words)| (name, words))
    }
}

/// A description, separated by commas; `None` if nothing is missing.
impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (_, words) in self.missing() {
            write!(f, "{separator}{words}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// What the engine sends to a process that it asks for signs of life.
pub trait Pinged: Message {
    /// Asks for one.
    const PING: Self;
}

/// What a process sends to the engine that begins with a hello.
pub trait Greeting: Message {
    /// Whether it is the hello: the first message, and no other.
    fn is_hello(&self) -> bool;
}

/// All messages, each with its module, as `$then!` takes them: those of links that begin with a hello to the engine, in
/// pairs, and the others.
macro_rules! messages {
    ($then:ident) => {
        $then! {
            [
                client::ToClient, client::FromClient;
                server::ToServer, server::FromServer;
                exchange::ToExchange, exchange::FromExchange;
                key_service::ToKeyService, key_service::FromKeyService;
                samba::ToSamba, samba::FromSamba;
                refclock::ToRefclock, refclock::FromRefclock;
            ]
            launch::ToLaunch
            handover::Handover
            privileged::ToPrivileged
            privileged::FromPrivileged
            key_service::ToKeyHolder
            key_service::FromKeyHolder
            samba::ToSigner
            samba::FromSigner
        }
    };
}

macro_rules! implement {
    ([$($to_link:ident::$to:ident, $from_link:ident::$from:ident;)*] $($link:ident::$name:ident)*) => {
        $(
            impl Pinged for $to_link::$to {
                const PING: Self = Self::Ping;
            }

            impl Greeting for $from_link::$from {
                fn is_hello(&self) -> bool {
                    matches!(self, Self::Hello(_))
                }
            }
        )*
        implement! { $($to_link::$to $from_link::$from)* $($link::$name)* }
    };
    ($($link:ident::$name:ident)*) => { $(
        impl crate::codec::sealed::Sealed for $link::$name {}
        impl Message for $link::$name {}
    )* };
}

messages!(implement);
// It has no values, so the tests that are made for every message have nothing to begin with.
implement!(launch::FromLaunch);

#[cfg(test)]
mod tests;
