//! Threads of the server and the key exchange service: one thread reads the link to the engine, the others serve the
//! network. A serving thread blocks here only at the gate, before it begins, and briefly while settings are replaced.
//!
//! ```text
//!   start     threads are made, and wait at a gate
//!   workers      the shared state of each: counts, progress, failures; how the thread at the link sleeps
//!   wakeup      how a thread is woken that waits for descriptors
//!   version   settings, each change of them another version
//!   report    when the engine is told what was counted
//!   progress  whether threads get on with their work
//! ```
#![forbid(unsafe_code)]

mod progress;
mod report;
mod start;
mod version;
mod wakeup;
mod workers;

pub use progress::Watch;
pub use report::Reports;
pub use start::{Gate, start};
pub use version::{Version, Versions};
pub use wakeup::Wakeup;
pub use workers::Workers;
