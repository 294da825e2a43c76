//! The documents on the control socket and of a replay, as types. The engine writes them and chimerctl reads them.
//!
//! ```text
//!   schema     one list of fields, two structs: writing requires every field, reading none
//!   words      enumerations whose values are written as words
//!   reason     the words of states
//!   rejection  the packet tests
//!   system     the clock
//!   source     a source, and the association with it
//!   measurements  the last measurements of each source
//!   measured   the measurements of all sources in their order, for logs
//!   history    the course of the clock
//!   keys       reply to `keys`, the key exchange service
//!   lasting    the history of minutes and Roughtime, as parts of the reply to `status`
//!   clients    replies to `clients`, `access`
//!   status     replies to `status`, `sources`, `server`, a reload, a command, and to an invalid request
//!   replay     the result of a replay
//! ```
//!
//! Field names are the JSON names, and their order is the order on the socket. Both are stable. A writer must fill in
//! every field. A reader ([`read`]) accepts a daemon of another version: it ignores unknown fields, a missing field is
//! `None`, like one that is null, and an unknown word is kept as text ([`Word`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

/// The version of the form of the documents, and of those that chimerctl makes from them. It changes when a field goes or comes to
/// mean something else, and not when one is added. packaging/schema/chimerctl.schema.json describes the form.
pub const FORMAT: u32 = 1;

#[macro_use]
mod schema;
#[macro_use]
mod words;
mod clients;
mod history;
mod keys;
mod lasting;
mod measured;
mod measurements;
mod reason;
mod rejection;
mod replay;
mod source;
mod status;
mod system;

pub use clients::{AccessReply, ClientReport, ClientsReply};
pub use history::{HistoryPoint, HistoryReply, HistorySpan};
pub use keys::{
    CertificateReply, CookieKeysReply, FurtherCertificateReply, KeyExchangeReply, KeysReply, SourceKeys,
};
pub use lasting::{HistoryFileReply, RoughtimeReply};
pub use measured::{CorrectionReport, MeasuredReply, MeasuredReport};
pub use measurements::{MeasurementReport, MeasurementsReply, SourceMeasurements};
pub use reason::{
    AssociationState, CertificateState, ClockName, CookieKeyOrigin, EndName, LeapName, MeasurementOutcome,
    SourceActivity, SourceState, StampOrigin, SystemState, Verdict,
};
pub use rejection::{Effect, RejectReason};
pub use replay::Replay;
pub use schema::{Counts, Written};
pub use source::{LastReplyReport, NtsReport, SourceReport, SymmetricKeyReport};
pub use status::{
    Done, ProcessReply, RefusedReply, ReloadedReply, ServerReply, SourcesReply, StatusReply, StepReply,
    UnservedReply,
};
pub use system::{Report, SystemReport};
pub use words::{Word, Words};

/// The same documents as they are read.
pub mod read {
    pub use crate::clients::read::*;
    pub use crate::history::read::*;
    pub use crate::keys::ReadSourceKeys as SourceKeys;
    pub use crate::keys::read::*;
    pub use crate::lasting::read::*;
    pub use crate::measured::read::*;
    pub use crate::measurements::read::*;
    pub use crate::replay::read::*;
    pub use crate::source::read::*;
    pub use crate::status::read::*;
    pub use crate::system::read::*;
}
