//! The keeper: what the daemon's first process is once everything runs. It hears orders from the engine, judges them,
//! writes them down, carries them out and answers.
//!
//! ```text
//!   start      what the launch left, and the last lock-down
//!   keeper     the loop
//!   governor   what may be done to a clock: limits, record, budget, judgement (pure)
//!   clock      what a clock can do, and the kernel's
//!   audit      each change and each refusal, in a chain of lines
//!   signals    what it is asked to do, and which process has ended
//!   notify     the service manager; condition: the sentence for it
//!   ending     one sentence and one exit code for each cause
//!   kernel     the calls that the standard library has no safe form of
//! ```
//!
//! It holds CAP_SYS_TIME and the system calls of `policies/rules/privileged.toml`. To read: one link, signals and a timer;
//! to write: record, audit log, service manager, standard error. It opens nothing, and it parses no configuration, no packet
//! and no text; the frames that it reads are of fixed size and range.
//!
//! The launch (truechimerd) uses what both need: endings, signals, the service manager, the form of the record. The
//! simulator drives the governor by itself.

pub mod audit;
pub mod clock;
mod condition;
pub mod ending;
pub mod governor;
mod keeper;
pub mod kernel;
pub mod notify;
pub mod signals;
pub mod start;

pub use keeper::GRACE;
