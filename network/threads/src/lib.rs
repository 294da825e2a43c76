//! What the programs share that answer strangers with several threads: one thread listens to the engine, the others to
//! the network. The latter wait for nothing here but, before they begin, the gate, and, while settings change, the moment in
//! which a pointer is replaced.
//!
//! ```text
//!   start     threads are made, and wait at a gate
//!   crew      what each of them shows: counts, progress, why it can't go on; how the thread at the link sleeps
//!   bell      how a thread is woken that waits for descriptors
//!   edition   settings, each change of them another edition
//!   report    when the engine is told what was counted
//!   progress  whether threads get on with their work
//! ```
#![forbid(unsafe_code)]

mod bell;
mod crew;
mod edition;
mod progress;
mod report;
mod start;

pub use bell::Bell;
pub use crew::Crew;
pub use edition::{Edition, Editions};
pub use progress::Watch;
pub use report::Reports;
pub use start::{Gate, start};
