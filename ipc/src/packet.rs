//! Octets of one datagram, and of one cookie.

use crate::codec::{Decode, Encode};
use crate::units::OutOfRange;
use core::fmt;

/// The longest NTP datagram that is sent or read: what fits every path without fragments (IPv6 minimum
/// MTU less headers).
pub const MAX_PACKET: usize = 1232;

/// The longest cookie that is taken from a key exchange: it has to fit a packet with all else.
pub const MAX_COOKIE: usize = 1024;

/// Octets of a filter of reference ids (draft-ietf-ntp-ntpv5 section 7).
pub const FILTER: usize = 512;

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

bounded! {
    /// The 512 octets of a filter of reference ids of NTP version 5.
    FilterOctets, RawFilter, FilterArray, FILTER, |octets| octets.len() == FILTER,
    proptest::collection::vec(any::<u8>(), FILTER)
}

impl FilterOctets {
    /// The octets as an array.
    pub const fn array(&self) -> &[u8; FILTER] {
        &self.0.octets.0
    }
}

impl From<&[u8; FILTER]> for FilterOctets {
    fn from(octets: &[u8; FILTER]) -> Self {
        Self(RawFilter { length: FILTER as u16, octets: FilterArray(*octets) })
    }
}

impl fmt::Debug for FilterOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits: u32 = self.octets().iter().map(|octet| octet.count_ones()).sum();
        write!(f, "FilterOctets({bits} bits)")
    }
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
