//! The engine: estimates the time, and decides how to correct the clock.
//!
//! It is pure: it reads no clock, no file and no socket, and all its allocations are bounded. Facts go in together with
//! the time at which they were learned, and effects come out as values ([`Engine`]). So the same engine runs in the
//! daemon, in a simulated day that takes a fraction of a second, and in the replay of a recording.
//!
//! It estimates *true time as a function of CLOCK_MONOTONIC_RAW*, which is neither stepped nor slewed, and steers the
//! system's clock to it. The files, in the order in which a measurement passes them:
//!
//! ```text
//!   entries       the configured sources: settings, look-up, authentication, and the addresses that are queried
//!   candidates    the addresses of a name, and which is tried next
//!   abandoned     look-ups and key exchanges in progress for an entry that was removed
//!   source        one address: poll_process schedules its queries, track evaluates its samples
//!   exchanges     queries in progress; source_id: the source of each; violation: what ends the trust in the client
//!   nts           keys and cookies of authenticated sources: protects requests, verifies replies
//!   keyed         the same with a symmetric key
//!   sanity        the packet tests
//!   measurement   four timestamps -> offset, delay, hard bounds; limits what a malicious network process can gain
//!   sample        the input of a track, the same for samples of any origin
//!   filter        the estimator of each source: a bank of filters (offset, frequency, minimum delay of each direction)
//!   history       the last measurements, for reports; measured: all of them in their order, for logs
//!   chronicle     the course of the clock over an hour, a day and a week, for reports
//!   minutes       the same for each minute, as it is written down for auditors
//!   selective_loss  whether the replies that arrive were chosen by their offset
//!   independence  which sources share one vote
//!   select        the intersection of the correctness intervals; truechimers and falsetickers
//!   signed        rounds of Roughtime: coarse limits with signatures, outside of which no source can be right
//!   combine       the mean of the survivors, weighted by inverse variance
//!   system        true time as a line, with its error
//!   discipline    amount and rate of a slew; local_clock: what the clock did since the last order
//!   guard         the hard interval that no estimate may leave
//!   engine/       the engine around them: entering; polling, lookups, replacing, key_exchanges; answers, protected; steering,
//!                 signing, deferred, refusals; publishing, condition, reporting, chronicling, outage
//!   poll leap names orders nonce    poll interval, leap seconds, look-ups, rate of orders, random numbers
//!   timers        what the engine does without a fact, and when
//!   recording     everything that the engine is told, recorded and replayed
//!   io settings bounds              types of the inputs and outputs
//!   notice status                   events for the log, and the state, as typed values: the process makes the sentences
//! ```
//!
//! Offsets are positive if the local clock is behind. Floating-point values, in seconds and s/s, are used only inside.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod abandoned;
mod allowance;
mod authentication;
pub mod bounds;
mod candidates;
pub mod chronicle;
mod combine;
mod discipline;
mod engine;
mod entries;
mod exchanges;
mod filter;
mod guard;
pub mod hand_step;
mod history;
mod independence;
mod interleaved;
pub mod io;
mod keyed;
mod last_reply;
mod leap;
mod likely;
mod local_clock;
pub mod measured;
mod measurement;
pub mod minutes;
mod names;
mod need;
mod nonce;
pub mod notice;
mod nts;
mod orders;
mod poll;
mod poll_process;
pub mod recording;
mod reference_clock;
mod resilience;
mod sample;
mod sanity;
mod select;
mod selective_loss;
pub mod settings;
mod signed;
mod source;
mod source_id;
mod source_reason;
pub mod status;
mod system;
mod timers;
mod track;
mod version5;
mod violation;

#[cfg(test)]
mod tests;

pub use engine::Engine;
pub use engine::time_page;
pub use entries::{EntryError, EntryId};
pub use poll::SHORTEST as SHORTEST_POLL;
pub use violation::Violation;
