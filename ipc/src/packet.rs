//! Octets of one datagram, and of one cookie.

use crate::codec::{Decode, Encode};
use crate::units::OutOfRange;
use core::fmt;

/// The longest NTP datagram that is sent or read: what fits every path without fragments (IPv6 minimum
/// MTU less headers).
pub const MAX_PACKET: usize = 1232;

/// The longest cookie that is taken from a key exchange: it has to fit a packet with all else.
pub const MAX_COOKIE: usize = 1024;

bounded! {
    /// One datagram of at most [`MAX_PACKET`] octets. Unused octets are zero (also when decoded).
    Packet, RawPacket, PacketOctets, MAX_PACKET, |_| true,
    proptest::collection::vec(any::<u8>(), 0..=MAX_PACKET)
}

bounded! {
    /// One cookie of 1 to [`MAX_COOKIE`] octets (RFC 8915 section 6): opaque to all but the server that made it.
    CookieOctets, RawCookie, CookieArray, MAX_COOKIE, |octets| !octets.is_empty(),
    proptest::collection::vec(any::<u8>(), 1..=MAX_COOKIE)
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Packet").field(&self.octets()).finish()
    }
}

impl fmt::Debug for CookieOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookieOctets({})", self.octets().len())
    }
}
