//! NTP version 5, as draft-ietf-ntp-ntpv5-09 describes it. It is no standard yet: other drafts are other protocols, and
//! each packet names its draft.
//!
//! ```text
//!   header         the 48 octets of a packet; timescales; the format of root delay and root dispersion
//!   flags          what the bits of the flags mean
//!   field          the extension fields that follow, each with its own length
//!   reference_ids  how loops are detected: random ids in a Bloom filter
//!   correction     what devices on the path say of the time that a packet has spent in them
//!   client         a request, and which packet is its reply
//!   server         a reply, written over its request
//! ```
//!
//! The draft's working group has open changes that turn the first flag round and that replace the filter: neither
//! `flags` nor `reference_ids` is known in detail elsewhere.

pub mod client;
pub mod correction;
pub mod field;
pub mod flags;
pub mod header;
pub mod reference_ids;
pub mod server;

pub use flags::Flags;
pub use header::{Header, Timescale};
pub use reference_ids::{Filter, ReferenceId};

/// The version number.
pub const VERSION: u8 = 5;

/// What a packet of this draft says in its draft identification.
pub const DRAFT: &[u8; 23] = b"draft-ietf-ntp-ntpv5-09";

/// Reference timestamp of a request of version 4 whose sender also speaks this version, and of a reply to it if the
/// server does too (section 9; the value of implementations of a draft, "NTP5DRFT").
pub const UPGRADE: u64 = u64::from_be_bytes(*b"NTP5DRFT");

#[cfg(test)]
mod never_panics;
