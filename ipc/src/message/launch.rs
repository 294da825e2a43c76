//! The link of the launch: what the configuration asks of truechimerd before the keeper takes its place.
//!
//! Order: the engine sends `Plan` (once); truechimerd starts the other processes; the engine receives the hello of each
//! and sends `Hello` (once), its last message here. Then truechimerd becomes the keeper, whose `Welcome` is sent on the
//! link for orders. The link ends with the launch.

use crate::codec::{Decode, Encode};
use crate::departure::Departure;
pub use crate::plan::{
    CERTIFICATE_WORDS, KEY_WORDS, KeyService, LaunchPlan, MAX_KEY_LISTEN, MAX_KEY_THREADS, MAX_LISTEN,
    MAX_PAIRS, MAX_ROOT_SETS, MAX_ROOTS, MAX_THREADS, Pair, ROOT_WORDS,
};
use crate::process::Parting;
use crate::units::Span;

/// How long a process may take from its start to its first message. A death is noticed at once, by the closed link:
/// this limit is only for a process that hangs, not a requirement on the speed of the machine.
pub const START_PATIENCE: Span = Span::from_secs(300);

/// Engine to truechimerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToLaunch {
    /// First message, once: what the configuration file asks of the launch.
    Plan(LaunchPlan),
    /// Of a check alone, after the plan, once for each source that does not leave it to the kernel: how packets to it leave.
    Leaves(Departure),
    /// Second message, once: every child has said its own hello.
    Hello,
    /// Last message, in place of what would come next: end the daemon, with the exit code that belongs to this cause.
    Goodbye(Parting),
}

/// truechimerd to engine: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FromLaunch {}
