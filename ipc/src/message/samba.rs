//! The links of the process that has replies signed by Samba: one to the engine, for its state, and one to the server, for
//! the replies.
//!
//! On the second one the server sends a `Sign`, and nothing more before that is answered. No octet of a reply comes back on it
//! but the digest, so that neither Samba nor the process that asks it can change what a client is told.

use super::Shortfall;
use crate::codec::{Decode, Encode};

/// Engine to the process that asks Samba.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToSamba {
    /// Answer with `Pong`; sent only if the service manager's watchdog is on.
    Ping,
}

/// The process that asks Samba, to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromSamba {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// Answers `Ping`: the loop still turns.
    Pong,
    /// Whether Samba can be asked, when that has changed; at most one a second.
    Contact(Contact),
}

/// Whether Samba can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Contact {
    /// There is a connection to its socket, or the last one has answered.
    Made,
    /// The kernel refuses a connection: the errno.
    Refused(u16),
    /// Others than its owner may replace the socket: permission bits of the folder, which is not used.
    Exposed(u16),
    /// It did not answer in time.
    Silent,
    /// It answered with something else than the signature of what was sent.
    Wrong,
    /// It has ended each of many connections without an answer.
    Ended,
}

/// Server to the process that asks Samba.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToSigner {
    /// Have this signed; answered by one message, with which the next one may be sent.
    Sign(Unsigned),
}

/// A reply to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Unsigned {
    /// The account whose password makes the key: its relative identifier, with the mark of the password before in the highest bit
    /// (MS-SNTP section 2.2.1).
    pub account: u32,
    /// The reply, a bare header of 48 octets, in three parts.
    pub header: [[u8; 16]; 3],
}

/// The process that asks Samba, to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromSigner {
    /// Samba has signed it, with this digest.
    Signed([u8; 16]),
    /// Samba will not sign for this account.
    Refused,
    /// Samba cannot be asked, was too slow, or answered with something else.
    Failed,
}
