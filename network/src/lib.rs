//! The processes that hear the network: one program, started once for each role.
//!
//! ```text
//!   ending           why a role ends, and with which exit code
//!   clock            CLOCK_MONOTONIC_RAW, CLOCK_REALTIME, and the kernel's stamps from the one to the other
//!   datagram         one datagram out of a socket, with what the kernel says about it
//!   socket_options   the options that nix has no name for
//!   outbox           an end of a link to the engine that never blocks
//!
//!   client           sends the queries that the engine built, and passes replies on
//!     query            one query and its socket
//!     reply            which datagrams are replies, and why others are not
//!     silence          what an error of the kernel means for a query
//!
//!   server           answers strangers on the sockets that it was given
//!     listener         one bound socket
//!     worker           one thread: a batch in, a batch out
//!     mmsg             the two unsafe calls that receive and send many datagrams
//!     control_message  what the kernel says about a datagram, and what it is told about a reply
//!     source           who sent it
//!     respond          a request becomes a reply, or a reason to keep silent
//!     access           who is answered
//!     limit            how often
//!     interleave       when earlier replies left
//!     outgoing         replies, put together for sending
//!     wall             the time that replies carry
//!     smear            a leap second spread over a day
//!     snapshot         what the engine said last, for all threads
//!     shared           all else that threads share
//!
//!   exchange         looks names up, each in a child of its own
//!     fork             the one call that is unsafe
//!     lookup           what the child does
//!     child            what the parent knows of a child
//! ```
//!
//! No role holds a key of another, reads a file, or decides anything about time: the client role stamps and
//! forwards, the server role repeats what the engine told it. What they read comes from anybody; what they
//! write goes to the engine, which checks it again.
#![deny(unsafe_code)]

pub mod client;
pub mod clock;
mod datagram;
pub mod ending;
pub mod exchange;
mod outbox;
pub mod server;
mod socket_options;
