//! The engine: what the time is, and what to do about it.
//!
//! Pure: it never reads a clock, a file or a socket, and allocates only what is bounded. Facts go in with
//! the moment they were learnt, effects come out as values ([`Engine`]); so the same engine runs in the
//! daemon, in a simulated day of a fraction of a second, and in a replay of a recorded one.
//!
//! It estimates *true time as a function of CLOCK_MONOTONIC_RAW*, which nobody steps and nobody steers, and
//! then steers the system's clock to it. The path of a measurement is the order of these files:
//!
//! ```text
//!   entries       the configured sources: settings, look-up, authentication, and the addresses that are asked
//!   abandoned     what is still under way for an entry that is gone
//!   source        one address: poll_process says when it is asked, track what its samples say of the time
//!   exchanges     what is under way, once each
//!   nts           keys and cookies of authenticated sources: a request sealed, a reply verified
//!   sanity        the tests that a reply must pass, each with a name
//!   measurement   four times -> offset, delay, hard bounds; what a lying network process can't gain
//!   sample        what a track is fed with, by one door
//!   filter        each source's estimator: a bank of filters (offset, frequency, shortest time of each way)
//!   independence  who may count twice
//!   select        the interval that a majority of all known sources shares; truechimers, falsetickers
//!   combine       the survivors' mean, by inverse variance
//!   system        the line along which true time runs, with its error
//!   discipline    how much slew and how fast; local_clock: what the clock did since the last order
//!   guard         the hard interval that no filter may leave
//!   engine/       the loop around it: entering; polling, lookups, key_exchanges; answers, protected; steering, deferred, refusals;
//!                 publishing, condition, reporting, wanting
//!   poll leap names orders nonce    the poll interval, leap seconds, look-ups, the orders' rate, chance
//!   timers        what the engine does by itself, and when
//!   record        all that an engine is told, written down and replayed
//!   io settings bounds              the shapes of what goes in and comes out; what people are told: notice, `ipc/report`
//! ```
//!
//! Offsets are positive where the local clock is behind; floats in seconds and s/s stay inside.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod abandoned;
pub mod bounds;
mod combine;
mod discipline;
mod engine;
mod entries;
mod exchanges;
mod filter;
mod guard;
mod independence;
pub mod io;
mod leap;
mod local_clock;
mod measurement;
mod names;
mod nonce;
pub mod notice;
mod nts;
mod orders;
mod poll;
mod poll_process;
pub mod record;
mod sample;
pub mod sanity;
mod select;
pub mod settings;
mod source;
mod system;
mod timers;
mod track;

#[cfg(test)]
mod tests;

pub use engine::Engine;
pub use entries::{EntryError, EntryId};
