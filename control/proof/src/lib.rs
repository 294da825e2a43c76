//! What the files of a host prove together: audit log, governor's record, history and anchors, on another machine too. Pure over
//! octets; who reads the files reads them in the order in which [`Files`] has them.
//!
//! ```text
//!   log      a ring of the audit log: its lines, its order, its end
//!   judged   what is not in order in a ring, with what a power cut explains taken out
//!   words    the words of a line: heads of the history, starts
//!   anchors  the slots of anchors, the signatures, and what they prove of both logs
//!   times    by when an anchor was there, by a majority of those who signed it
//!   report   findings, claims, and what is proven up to when
//!   verify   all of it together
//!   testing  for tests: a host that writes these files
//! ```
//!
//! A chain of hashes shows only that something was altered and not all behind it was computed anew. That it was not all computed anew,
//! and where it ended at a time, takes a witness: the governor's record (of the same machine: against accidents and those who do
//! not know of it), and anchors, whose signatures no machine of the host can make.
#![forbid(unsafe_code)]

mod anchors;
mod judged;
mod log;
mod report;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod times;
mod verify;
mod words;

pub use anchors::{Claim, Key, Signature, are_anchors};
pub use log::{Fault, Line, Log};
pub use report::{Chain, Finding, Of, Report, Weight};
pub use times::Doubt;
pub use verify::{Files, is_governor, verify};
pub use words::word;
