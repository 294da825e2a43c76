//! Network Time Security (RFC 8915), the formats only: no sockets, no TLS, no clock, and no
//! random numbers (nonces and unique identifiers are parameters).
//!
//! ```text
//!   key exchange, inside TLS
//!     record        the framing of messages; the numbers of the standard; the end of a message
//!     server_name   the NTP server that a response names
//!     ke_request    a client's request, and how a server answers it
//!     ke_response   a server's response, and how a client reads it
//!   keys
//!     aead          the AEADs, keys that are wiped when dropped, the context for the TLS exporter
//!     cookie        the state about a client that the client itself keeps
//!     ratchet       the source of cookie keys: one secret, which only moves forward
//!   time packets
//!     field         the positions of the NTS fields in a packet
//!     client        a protected request; what its reply proves
//!     server        opens a protected request and answers it
//!     reseal        a reply under another key, for a recording that contains no secret key
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

/// The longest time packet that is built: it fits every path without fragmentation (IPv6 minimum MTU less headers).
pub use ipc::packet::MAX_PACKET;

/// The number of cookies that a client keeps, and the most that one reply brings (RFC 8915 section 5.7).
pub const MAX_COOKIES: usize = ipc::message::exchange::MAX_COOKIES as usize;

/// Octets as tests write them.
#[cfg(test)]
mod hex {
    extern crate std;
    use std::vec::Vec;

    /// Hexadecimal digits as octets; blanks are ignored.
    pub(super) fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}
#[cfg(all(test, not(feature = "fips")))]
mod never_panics;
#[cfg(all(test, not(feature = "fips")))]
mod vectors;
