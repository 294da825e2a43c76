//! The bench: what the tests, the demo and the benchmarks share to start real processes and to play the
//! other side.
//!
//! ```text
//!   programs   where the built programs are, temporary places, free ports
//!   clock      readings of the host's clocks; the virtual clock seen from outside
//!   process    what the kernel says of a process: uid, capabilities, filter, memory, wake-ups
//!   daemon     truechimerd with a configuration, its processes, its end
//!   packet     the 48 octets of NTP, written a second time, so that a double shares no flaw with us
//!   client     one SNTP query
//!   forger     a server that does what a test tells it
//!   load       a load generator for any NTP server
//!   peers      chronyd and ntpd as servers, without control of the clock
//!   skip       how a test says that it can't run here
//! ```
//!
//! Nothing here touches the host's clock, and all traffic stays on the loopback interface or in a network
//! namespace that a test made.

pub mod client;
pub mod clock;
pub mod daemon;
pub mod forger;
pub mod load;
pub mod packet;
pub mod peers;
pub mod process;
pub mod programs;
mod skip;

pub use skip::{is_root, lacks_clock_control, left_for_later, skip};
