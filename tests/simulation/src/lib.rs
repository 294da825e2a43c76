//! Simulated days: the engine and the governor of the daemon, over an oscillator and a network that don't
//! exist. The same seed gives the same day, to the nanosecond.
//!
//! ```text
//!   scenario     a day as a dozen lines of data; the catalogue; files of your own
//!   random       random numbers
//!   oscillator   what CLOCK_MONOTONIC_RAW does while true time passes
//!   network      a packet's way to a server and back, and what the server says
//!   keeper       the steered clock, with the governor that the daemon has before it
//!   world        the loop that closes all this around an engine
//!   figures      what a day was like: errors, packets, bounds
//!   table plot   for people
//! ```
//!
//! Errors here are *clock minus true time*: positive, the clock is ahead.

pub mod figures;
mod keeper;
pub mod network;
pub mod oscillator;
pub mod plot;
pub mod random;
pub mod scenario;
pub mod table;
pub mod world;
