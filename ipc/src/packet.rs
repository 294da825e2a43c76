//! Octets of one datagram, bounded, without allocation.

use crate::codec::{Decode, Encode};
use crate::units::OutOfRange;

/// The longest NTP datagram that is sent or read: what fits every path without fragments (IPv6 minimum
/// MTU less headers).
pub const MAX_PACKET: usize = 1232;

/// As it stands on the wire: the length, then all octets, those beyond the length zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub(crate) struct RawPacket {
    length: u16,
    octets: Octets,
}

/// The array, apart, so that its test strategy can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub(crate) struct Octets([u8; MAX_PACKET]);

/// One datagram of at most [`MAX_PACKET`] octets. Unused octets are zero (also when decoded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Packet(RawPacket);

decode_checked!(Packet, RawPacket);

impl Packet {
    fn try_new(raw: RawPacket) -> Result<Self, OutOfRange> {
        let length = usize::from(raw.length);
        if length > MAX_PACKET || raw.octets.0[length..].iter().any(|octet| *octet != 0) {
            return Err(OutOfRange);
        }
        Ok(Self(raw))
    }

    /// Copies `octets`.
    ///
    /// # Errors
    /// [`OutOfRange`] above [`MAX_PACKET`] octets.
    pub fn from_octets(octets: &[u8]) -> Result<Self, OutOfRange> {
        let mut all = [0; MAX_PACKET];
        all.get_mut(..octets.len()).ok_or(OutOfRange)?.copy_from_slice(octets);
        let length = u16::try_from(octets.len()).map_err(|_| OutOfRange)?;
        Ok(Self(RawPacket { length, octets: Octets(all) }))
    }

    /// The octets, 0 to [`MAX_PACKET`] of them.
    pub fn octets(&self) -> &[u8] {
        &self.0.octets.0[..usize::from(self.0.length)]
    }
}

#[cfg(test)]
mod arbitrary {
    use super::*;
    use proptest::{arbitrary::Arbitrary, collection::vec, prelude::*};

    impl Arbitrary for Octets {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            vec(any::<u8>(), MAX_PACKET).prop_map(|octets| Octets(octets.try_into().unwrap())).boxed()
        }
    }

    impl Arbitrary for Packet {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            vec(any::<u8>(), 0..=MAX_PACKET).prop_map(|octets| Packet::from_octets(&octets).unwrap()).boxed()
        }
    }
}
