//! Roughtime (RFC 10049): what a client sends, whether an answer is signed by whom it should be, and what the answers of several servers
//! prove together. Nothing here sends, receives or reads a clock, and no untrusted input makes it panic.
//!
//! ```text
//!   hash         SHA-512, cut to 32 octets
//!   version      version 1, and the last draft's, which differs in how the signed contexts are spelt
//!   message      tags and values, read strictly
//!   request      a request, made of nonce, key and version alone, so that it can be made again years later
//!   response     whether an answer is valid, or exactly why not; what it says of the time
//!   chain        each nonce depends on the answer before: which answers are an anchor's, and what they prove
//!   verdict      what true time is by a majority of the servers, who is outside of it, and who is caught in a contradiction
//!   report       the proof of a contradiction, for others (feature `json`)
//!   server_list  the servers of a list as the ecosystem publishes it (feature `json`)
//! ```
//!
//! The child of the exchange process asks and verifies, so that it knows whether to wait for another packet; the engine verifies
//! again, since it believes no process of the network; chimerctl verifies anchors years later, without a network.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod chain;
#[cfg(any(test, feature = "double"))]
pub mod double;
mod hash;
mod message;
#[cfg(feature = "json")]
mod report;
mod request;
mod response;
#[cfg(feature = "json")]
mod server_list;
mod verdict;
mod version;

#[cfg(test)]
mod tests;

pub use chain::{first_nonce, next_nonce, verify_anchor, verify_chain};
pub use message::Tag;
#[cfg(feature = "json")]
pub use report::report;
pub use request::{Nonce, PublicKey, REQUEST, Rand, request};
pub use response::{Fault, Signed, verify};
#[cfg(feature = "json")]
pub use server_list::{ListFault, Listed, MAX_LIST, read_list};
pub use verdict::{Claim, MAX_DRIFT_PPM, Standing, Verdict, contradictions, judge};
pub use version::Version;
