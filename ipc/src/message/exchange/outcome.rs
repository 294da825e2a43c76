//! The results of a look-up or key exchange. A value of these types is one that an honest child could have sent:
//! decoding refuses everything else.

use super::MAX_ADDRESSES;
use crate::address::Address;
use crate::aead::Aead;
use crate::codec::{Decode, Encode};
use crate::list::Bounded;
use crate::secret::{KeyPair, MAX_KEY, Secret};
use crate::units::{OutOfRange, WallTime};
use core::ops::Deref;
use zeroize::Zeroizing;

/// 1 to 64 unicast addresses with one port, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Addresses(Bounded<Address, MAX_ADDRESSES>);

decode_checked!(Addresses, Bounded<Address, MAX_ADDRESSES>);

impl Addresses {
    fn try_new(all: Bounded<Address, MAX_ADDRESSES>) -> Result<Self, OutOfRange> {
        let port = all.first().ok_or(OutOfRange)?.port();
        let is_lawful = all.iter().all(|one| one.is_unicast() && one.port() == port);
        if is_lawful { Ok(Self(all)) } else { Err(OutOfRange) }
    }

    /// The first 64 of these.
    ///
    /// # Errors
    /// [`OutOfRange`]: there is none, one is no address of a server, or their ports differ.
    pub fn new(addresses: impl IntoIterator<Item = Address>) -> Result<Self, OutOfRange> {
        Self::try_new(Bounded::new(addresses.into_iter().take(MAX_ADDRESSES))?)
    }
}

impl Deref for Addresses {
    type Target = [Address];

    fn deref(&self) -> &[Address] {
        &self.0
    }
}

/// The keys of a new association: each as long as its algorithm's (RFC 8915 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct AssociationKeys(RawKeys);

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
struct RawKeys {
    algorithm: Aead,
    pair: KeyPair,
    alternate: Option<KeyPair>,
}

decode_checked!(AssociationKeys, RawKeys);

impl AssociationKeys {
    fn try_new(raw: RawKeys) -> Result<Self, OutOfRange> {
        let ends = |pair: &KeyPair| {
            let rest = |secret: &Secret| {
                let rest = secret.octets().iter().skip(raw.algorithm.key_length());
                rest.fold(0, |all, octet| all | octet) == 0
            };
            rest(&pair.client_to_server) && rest(&pair.server_to_client)
        };
        let has_one_kind = raw.algorithm != Aead::Aes128GcmSiv;
        let is_lawful = ends(&raw.pair)
            && raw.alternate.as_ref().is_none_or(|alternate| !has_one_kind && ends(alternate));
        if is_lawful { Ok(Self(raw)) } else { Err(OutOfRange) }
    }

    /// With alternative keys, to be tried once if the first answer is an NTS NAK (AEAD 30, a server without record
    /// 1024).
    ///
    /// # Errors
    /// [`OutOfRange`]: a key is longer than the algorithm's, or there are other keys for an algorithm that has one kind.
    pub fn new(algorithm: Aead, pair: KeyPair, alternate: Option<KeyPair>) -> Result<Self, OutOfRange> {
        Self::try_new(RawKeys { algorithm, pair, alternate })
    }

    /// The same, whatever is given: what a key has beyond its algorithm's length is cut off, and other keys for an
    /// algorithm that has one kind are left out.
    pub fn cut(algorithm: Aead, pair: KeyPair, alternate: Option<KeyPair>) -> Self {
        let cut = |secret: &Secret| {
            let mut octets = Zeroizing::new([0; MAX_KEY]);
            let own = secret.octets().iter().take(algorithm.key_length());
            octets.iter_mut().zip(own).for_each(|(place, octet)| *place = *octet);
            Secret::new(&octets)
        };
        let cut = |pair: KeyPair| KeyPair {
            client_to_server: cut(&pair.client_to_server),
            server_to_client: cut(&pair.server_to_client),
        };
        let alternate = alternate.filter(|_| algorithm == Aead::Aes128GcmSiv).map(cut);
        Self(RawKeys { algorithm, pair: cut(pair), alternate })
    }

    /// The algorithm, one of the offered.
    pub const fn algorithm(&self) -> Aead {
        self.0.algorithm
    }

    /// The keys.
    pub const fn pair(&self) -> &KeyPair {
        &self.0.pair
    }

    /// Keys to be tried once if the first answer is an NTS NAK.
    pub const fn alternate(&self) -> Option<&KeyPair> {
        self.0.alternate.as_ref()
    }
}

/// From when until when a whole chain of certificates is valid; it never ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct Validity(RawValidity);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
struct RawValidity {
    from: WallTime,
    until: WallTime,
}

decode_checked!(Validity, RawValidity);

impl Validity {
    fn try_new(raw: RawValidity) -> Result<Self, OutOfRange> {
        if raw.from <= raw.until { Ok(Self(raw)) } else { Err(OutOfRange) }
    }

    /// Both instants belong to it.
    ///
    /// # Errors
    /// [`OutOfRange`]: it would end before it begins.
    pub fn new(from: WallTime, until: WallTime) -> Result<Self, OutOfRange> {
        Self::try_new(RawValidity { from, until })
    }

    /// Its first instant.
    pub const fn from(&self) -> WallTime {
        self.0.from
    }

    /// Its last instant.
    pub const fn until(&self) -> WallTime {
        self.0.until
    }

    /// Whether it holds then.
    pub fn holds_at(&self, instant: WallTime) -> bool {
        (self.0.from..=self.0.until).contains(&instant)
    }
}

#[cfg(test)]
mod arbitrary {
    use super::*;
    use proptest::arbitrary::Arbitrary;
    use proptest::collection::vec;
    use proptest::prelude::*;

    impl Arbitrary for Addresses {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            let one = (1u8..224, any::<[u8; 3]>());
            let list = (vec(one, 1..=MAX_ADDRESSES), 1u16..);
            list.prop_map(|(list, port)| {
                let address =
                    |(a, [b, c, d]): (u8, [u8; 3])| core::net::SocketAddr::from(([a, b, c, d], port)).into();
                Addresses::new(list.into_iter().map(address)).unwrap()
            })
            .boxed()
        }
    }

    impl Arbitrary for AssociationKeys {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            let short = any::<[u8; 16]>().prop_map(|octets| {
                let mut all = [0; MAX_KEY];
                all[..16].copy_from_slice(&octets);
                Secret::new(&all)
            });
            let pair = (short.clone(), short).prop_map(|(client_to_server, server_to_client)| KeyPair {
                client_to_server,
                server_to_client,
            });
            let gcm = (pair.clone(), proptest::option::of(pair))
                .prop_map(|(pair, alternate)| Self::new(Aead::Aes128GcmSiv, pair, alternate).unwrap());
            let others =
                (any::<KeyPair>(), any::<Aead>()).prop_map(|(pair, aead)| Self::cut(aead, pair, None));
            prop_oneof![gcm, others].boxed()
        }
    }

    impl Arbitrary for Validity {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;
        fn arbitrary_with((): ()) -> Self::Strategy {
            any::<(WallTime, WallTime)>()
                .prop_map(|(one, other)| Self::new(one.min(other), one.max(other)).unwrap())
                .boxed()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{CodecError, Record, decode, encode};
    use crate::message::exchange::{ExchangeId, FromExchange, Resolved};

    fn address(text: &str) -> Address {
        text.parse::<core::net::SocketAddr>().unwrap().into()
    }

    #[test]
    fn a121_addresses_are_one_to_sixty_four_that_a_server_can_have_with_one_port() {
        let new = |texts: &[&str]| Addresses::new(texts.iter().map(|text| address(text)));
        let two = new(&["192.0.2.1:123", "[2001:db8::1]:123"]).unwrap();
        assert_eq!((two.len(), two[1]), (2, address("[2001:db8::1]:123")));
        assert_eq!(new(&["192.0.2.1:123"; 70]).unwrap().len(), 64);
        for bad in [
            &[][..],
            &["192.0.2.1:123", "224.0.1.1:123"],
            &["192.0.2.1:123", "192.0.2.1:0"],
            &["0.0.0.0:123"],
            &["[::]:123"],
            &["[ff02::101]:123"],
            &["255.255.255.255:123"],
            &["192.0.2.1:123", "192.0.2.2:124"],
        ] {
            assert!(new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a096_a121_a_record_with_no_address_too_many_or_one_too_few_is_refused() {
        let addresses = Addresses::new([address("192.0.2.1:123"), address("192.0.2.2:123")]).unwrap();
        let resolved = FromExchange::Resolved(Resolved { id: ExchangeId(1), addresses });
        let mut frame = [0; crate::codec::MAX_FRAME];
        let length = encode(0, &resolved, &mut frame);
        let good: Record<FromExchange> = decode(&frame[..length]).unwrap();
        assert_eq!(good.body, resolved);
        // Behind head, kind and id.
        let count = 6 + 4 + 8;
        assert_eq!(frame[count], 2);
        for wrong in [0, 1, 3, 17, 255] {
            frame[count] = wrong;
            assert_eq!(decode::<FromExchange>(&frame[..length]), Err(CodecError::Value), "{wrong}");
        }
    }

    #[test]
    fn a120_a121_keys_are_as_long_as_their_algorithms() {
        let keys = |octets: usize| {
            let mut key = [0; MAX_KEY];
            key[..octets].fill(7);
            KeyPair { client_to_server: Secret::new(&key), server_to_client: Secret::new(&key) }
        };
        let half = KeyPair { server_to_client: keys(17).server_to_client, ..keys(16) };
        for (algorithm, pair, alternate, is_lawful) in [
            (Aead::AesSivCmac256, keys(32), None, true),
            (Aead::Aes128GcmSiv, keys(16), None, true),
            (Aead::Aes128GcmSiv, keys(16), Some(keys(16)), true),
            (Aead::AesSivCmac256, keys(32), Some(keys(32)), false),
            (Aead::AesSivCmac256, keys(33), None, false),
            (Aead::AesSivCmac512, keys(64), None, true),
            (Aead::AesSivCmac512, keys(64), Some(keys(64)), false),
            (Aead::Aes256Gcm, keys(32), None, true),
            (Aead::Aes256Gcm, keys(33), None, false),
            (Aead::Aes256Gcm, keys(32), Some(keys(32)), false),
            (Aead::Aes128GcmSiv, keys(17), None, false),
            (Aead::Aes128GcmSiv, half.clone(), None, false),
            (Aead::Aes128GcmSiv, keys(16), Some(half), false),
        ] {
            let cut = AssociationKeys::cut(algorithm, pair.clone(), alternate.clone());
            assert!(AssociationKeys::try_new(cut.0.clone()).is_ok());
            let taken = AssociationKeys::new(algorithm, pair, alternate);
            assert_eq!((taken.is_ok(), taken.is_ok_and(|taken| taken == cut)), (is_lawful, is_lawful));
        }
    }

    #[test]
    fn a_validity_has_both_of_its_ends_and_never_ends_before_it_begins() {
        let at = |seconds: i64| WallTime::saturating(seconds * 1_000_000_000);
        let validity = Validity::new(at(5), at(7)).unwrap();
        let holds = |seconds| validity.holds_at(at(seconds));
        assert_eq!([4, 5, 7, 8].map(holds), [false, true, true, false]);
        assert!(Validity::new(at(5), at(5)).is_ok() && Validity::new(at(6), at(5)).is_err());
    }
}
