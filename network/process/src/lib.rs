//! Code shared by the programs that read from the network or hold the private key: one program for each role, which
//! links only what its role needs.
//!
//! ```text
//!   start     from the first instruction of a program until it is confined, and its end
//!   ending    why a role ends, and with which exit code
//!   departure  the interface, the address and the code point of what is sent to a source
//!   clock     CLOCK_MONOTONIC_RAW, CLOCK_REALTIME, and the kernel's stamps from the one to the other
//!   interface  the number of a network interface, of its name or of a connection: two unsafe calls
//!   interfaces  on which interfaces requests have to arrive, for the two that answer strangers
//!   outbox    an end of a link to the engine that never blocks
//!   small_file  a small file that the configuration names, whole
//! ```
//!
//! The programs: `client` sends the queries that the engine built, and passes replies on; `server` answers strangers on
//! the sockets that it was given; `exchange` resolves names and exchanges keys, each in a separate child process;
//! `key_service` exchanges keys with strangers; `key_holder` has the private key, and signs for that service. The last
//! three have `tls` beneath them; the two that have several threads, `threads`. This package knows neither TLS nor the
//! octets of NTP: whatever is here is in all of them.
//!
//! No process holds a key of another or decides anything about time: the client timestamps and forwards, the server
//! role repeats the engine's state. They read untrusted input; their output goes to the engine, which checks it again.
#![deny(unsafe_code)]

pub mod clock;
pub mod departure;
pub mod ending;
pub mod interface;
pub mod interfaces;
pub mod outbox;
pub mod small_file;
pub mod start;
