//! Simulated days: the daemon's engine and governor, on a virtual oscillator and
//! network. The same seed gives the same day, to the nanosecond.
//!
//! ```text
//!   scenario     a day as a dozen lines of data; the catalogue; files of your own
//!   random       random numbers
//!   oscillator   CLOCK_MONOTONIC_RAW as a function of true time
//!   network      a packet's way to a server and back, and the server's reply
//!   trace        ways that packets took on real networks, from data/
//!   keeper       the steered clock, with the daemon's governor in front of it
//!   reader       a program that computes the time from the engine's page
//!   world        the loop that closes all this around an engine
//!   figures      the results of a day: errors, packets, bounds
//!   table plot   output for people
//!   search       a hostile engine in front of the governor: the farthest that it can move the clock
//!   recovery     states that faults and lies leave behind: how long until the clock is right again
//! ```
//!
//! Errors here are *clock minus true time*: positive, the clock is ahead.

pub mod figures;
mod keeper;
pub mod network;
pub mod oscillator;
pub mod plot;
pub mod random;
mod reader;
pub mod recovery;
pub mod scenario;
pub mod search;
pub mod table;
pub mod trace;
pub mod world;
