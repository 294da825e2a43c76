//! The wire formats of the standards. Nothing here sends, receives, reads a clock or allocates, and no untrusted
//! input makes it panic.
//!
//! ```text
//!   header           the 48 octets of RFC 5905 section 7.3, fields as on the wire
//!   timestamp        64-bit timestamps, the era, the 32-bit short format
//!   extension_field  what follows the header: extension fields, a MAC, or malformed octets (RFC 7822)
//!   mac              symmetric keys: message authentication codes (RFC 5905, RFC 8573)
//!   ms_sntp          requests of clients of an Active Directory domain, and signed replies (MS-SNTP)
//!   request          a client's request, which reveals as little as possible
//!   reply            a server's reply, from the request and the system variables
//!   primitives       who does the cryptography: RustCrypto, or a FIPS 140 module
//!   kiss             kiss codes, sent instead of the time
//!   leap_list        the list of leap seconds that the IERS publishes
//!   reference_id     how a host is named in replies, and how loops are detected
//!   nts              the same with NTS: key exchange, cookies, protected requests and replies (RFC 8915)
//!   ntpv5            the draft of version 5: its own header and fields
//! ```
//!
//! Client and server role use `header` and `extension_field` on everything that arrives; the engine builds
//! `request`s and reads `kiss` codes; the server role answers with `reply`. Versions 1 to 4, but for `ntpv5`.
#![no_std]
#![forbid(unsafe_code)]

pub mod extension_field;
pub mod header;
pub mod kiss;
pub mod leap_list;
pub mod mac;
pub mod ms_sntp;
pub mod ntpv5;
pub mod nts;
pub mod primitives;
pub mod reference_id;
pub mod reply;
pub mod request;
pub mod timestamp;

#[cfg(test)]
mod never_panics;
