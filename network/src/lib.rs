//! The processes that hear the network: one program, started once for each role.
//!
//! ```text
//!   ending           why a role ends, and with which exit code
//!   clock            CLOCK_MONOTONIC_RAW, CLOCK_REALTIME, and the kernel's stamps from the one to the other
//!   datagram         one datagram out of a socket, with what the kernel says about it
//!   socket_options   the options that nix has no name for
//!   outbox           an end of a link to the engine that never blocks
//!   progress         whether threads get on with their work
//!
//!   client           sends the queries that the engine built, and passes replies on
//!     query            one query and its socket
//!     reply            which datagrams are replies, and why others are not
//!     silence          what an error of the kernel means for a query
//!
//!   server           answers strangers on the sockets that it was given
//!     listener         one bound socket
//!     worker           one thread: a batch in, a batch out; sealing: those under NTS, in small groups
//!     mmsg             the two unsafe calls that receive and send many datagrams
//!     control_message  what the kernel says about a datagram, and what it is told about a reply
//!     source           who sent it
//!     respond          a request becomes a reply, or a reason to keep silent
//!     protected        the same under NTS: opened first, answered later
//!     access           who is answered
//!     limit            how often
//!     interleave       when earlier replies left
//!     outgoing         replies, put together for sending
//!     wall             the time that replies carry
//!     smear            a leap second spread over a day
//!     snapshot         what the engine said last, for all threads
//!     shared           all else that threads share
//!
//!   validity         when a certificate is valid
//!
//!   exchange         looks names up and exchanges keys, each in a child of its own
//!     fork             the one call that is unsafe
//!     child            what the parent knows of a child
//!     lawful           what a child may say
//!     lookup           a child's work: a name
//!     key_exchange     the other: keys and cookies of a server
//!       connect          to the first address that takes a connection
//!       roots            who vouches for servers
//!       verify           whether the server is who it was asked to be
//!       session          TLS, the request, the answer, the keys
//!
//!   key_service      exchanges keys with strangers
//!     worker           one thread: connections and their deadlines
//!     places           its connections, and who has to go
//!     connection       one socket
//!     talk             one exchange, as octets in and octets out
//!     answer           a request becomes a response
//!     limit            how many at a time, how many a second
//!     certificate      read and understood
//!     signing          signatures, asked of the key holder
//!     reload           how a new certificate comes into use
//!     shared           what its threads share
//!   key_holder       has the private key, and signs for the service
//!     key              read, and used for one thing
//!     pem              its text form
//!     rate             how often
//!   certificate_verify  the one content that is signed
//!   small_file       a small file, whole
//!   tls              which library's cryptography
//! ```
//!
//! No role holds a key of another or decides anything about time: the client role stamps and
//! forwards, the server role repeats what the engine told it. What they read comes from anybody; what they
//! write goes to the engine, which checks it again.
#![deny(unsafe_code)]

pub mod certificate_verify;
pub mod client;
pub mod clock;
mod datagram;
pub mod ending;
pub mod exchange;
pub mod key_holder;
pub mod key_service;
mod outbox;
mod progress;
pub mod server;
mod small_file;
mod socket_options;
mod tls;
mod validity;
