//! The documents on the control socket and of a replay, as types: the engine writes them, chimerctl reads them.
//!
//! ```text
//!   schema   one list of fields, two structs: what is written is complete, what is read may lack anything
//!   system   the clock
//!   source   a source, and the association with it
//!   keys     reply to `keys`, the key exchange service
//!   status   replies to `status`, `sources`, `server`, a reload, a change, and to what can't be done
//!   replay   what a replay found
//! ```
//!
//! Field names are the JSON names, and their order is the order on the socket: both are stable. A writer must fill in
//! every field. A reader ([`read`]) accepts a daemon of another version: it ignores unknown fields, and a missing field
//! is `None`, like one that is null.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[macro_use]
mod schema;
mod keys;
mod replay;
mod source;
mod status;
mod system;

pub use keys::{CertificateReply, CookieKeysReply, KeyExchangeReply, KeysReply, SourceKeys};
pub use replay::Replay;
pub use schema::{Counts, Written};
pub use source::{NtsReport, SourceReport};
pub use status::{Done, ProcessReply, RefusedReply, ReloadedReply, ServerReply, SourcesReply, StatusReply};
pub use system::{Report, SystemReport};

/// The same documents as they are read.
pub mod read {
    pub use crate::keys::ReadSourceKeys as SourceKeys;
    pub use crate::keys::read::*;
    pub use crate::replay::read::*;
    pub use crate::source::read::*;
    pub use crate::status::read::*;
    pub use crate::system::read::*;
}
