//! The history of minutes as it is read: its form is [`ipc::history`], the engine writes it. Pure over the octets of a
//! whole file, on the machine that wrote it or on another one.
//!
//! ```text
//!   file      which round of the ring the file holds, and where it ends
//!   walk      the records from the oldest to the newest, each break in between
//!   finding   a break, with its sentence
//!   names     which source a number means
//!   testing   for tests: simulated months, power cuts
//! ```
//!
//! [`History::read`] looks at every place once and keeps eight octets for each; [`History::walk`] goes over the records in
//! their order and keeps the names of the sources. Nothing else grows with the file.
//!
//! What a power cut leaves is told apart from what an edit leaves, as far as the octets can show it: a power cut takes
//! whole sectors, only at the end, and not more than [`TORN`] records back. Whoever takes out just that leaves the same octets:
//! that records were there is shown by a head of the history elsewhere (audit log, anchors), to which [`History::head`] is the
//! other half.
#![forbid(unsafe_code)]

mod file;
mod finding;
mod names;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod walk;

pub use file::{Head, History, newest};
pub use finding::{Finding, What};
pub use ipc::history::{NUMBERS, TORN};
pub use names::{Name, Names};
pub use walk::{Entry, Survey, Walk};

/// Octets that a disk writes at once.
const SECTOR: u64 = 512;
