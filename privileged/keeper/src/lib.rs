//! The keeper: the daemon's first process after the launch. It receives orders from the engine, judges them, records
//! them, carries them out and answers.
//!
//! ```text
//!   start      takes over from the launch, and the last lock-down
//!   keeper     the loop
//!   governor   what may be done to a clock: limits, band, budget, judgement (pure)
//!   vmclock    the markers in the page by which a hypervisor tells that it has migrated or restored the machine
//!   clock      the interface of a clock, and the kernel's
//!   audit      each change and each refusal, in a chain of lines
//!   signals    requests by signal, and which process has ended
//!   notify     the service manager; condition: the sentence for it
//!   ending     one sentence and one exit code for each cause
//!   kernel     the calls that the standard library has no safe form of
//! ```
//!
//! It holds CAP_SYS_TIME and the system calls of `policies/rules/privileged.toml`. It reads one link, signals and a
//! timer, and writes record, audit log, service manager socket and standard error. It opens nothing and parses no
//! configuration, packet or text; the frames that it reads have fixed sizes and ranges.
//!
//! The launch (truechimerd) shares endings, signals and the service manager with it. The simulator
//! uses the governor alone.

pub mod audit;
pub mod clock;
pub mod condition;
pub mod ending;
pub mod governor;
mod keeper;
pub mod kernel;
pub mod notify;
pub mod signals;
pub mod start;
mod vmclock;

pub use keeper::{GRACE, PARTING};
