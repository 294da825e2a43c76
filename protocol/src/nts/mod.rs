//! Network Time Security (RFC 8915), the part that is only octets: no sockets, no TLS, no clock, and no
//! random numbers of its own (nonces and unique identifiers are parameters).
//!
//! ```text
//!   key exchange, inside TLS
//!     record        how the messages are framed; the numbers of the standard; where a message ends
//!     server_name   the NTP server that an answer names
//!     ke_request    what a client asks, and what a server makes of it
//!     ke_response   what a server answers, and what a client makes of it
//!   keys
//!     aead          AEAD 15 and 30, keys that wipe themselves, the context that the TLS exporter wants
//!     cookie        what the server hands out so that it needn't remember anybody
//!     ratchet       where its keys come from: one secret, forward only
//!   time packets
//!     field         where in a packet the NTS fields stand
//!     client        a protected request; what its reply proves
//!     server        a protected request opened, and answered
//!     reseal        a reply under another key, for a record that holds none
//! ```
//!
//! An exchange child uses `ke_request`, `ke_response` and [`aead::exporter_context`]; the engine `client`
//! and `ratchet`; the server's threads `server` and `cookie`; its key exchange worker `ke_request`,
//! `ke_response` and `cookie`.

pub mod aead;
pub mod client;
pub mod cookie;
pub mod field;
pub mod ke_request;
pub mod ke_response;
pub mod ratchet;
pub mod record;
pub mod reseal;
pub mod server;
pub mod server_name;

#[cfg(test)]
mod never_panics;
#[cfg(test)]
mod vectors;

/// The longest time packet that is built.
pub use ipc::packet::MAX_PACKET;

/// Cookies that a client keeps, and the most that one reply brings (RFC 8915 section 5.7).
pub const MAX_COOKIES: usize = ipc::message::exchange::MAX_COOKIES as usize;
