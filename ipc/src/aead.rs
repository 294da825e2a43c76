//! The AEAD algorithms of NTS that are done here, and the lists of them that a client offers (RFC 8915 section 4.1.5).

use crate::codec::{Decode, Encode};
use crate::secret::MAX_KEY;
use crate::units::OutOfRange;
use core::ops::Range;

/// Octets that sealing adds, with each of them.
pub const TAG: usize = 16;

/// Longest nonce in octets that is used here.
pub const MAX_NONCE: usize = 16;

/// An AEAD algorithm that is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Aead {
    /// 2: AEAD_AES_256_GCM, keys of 32 octets: the one that FIPS 140 approves. A nonce that is used twice with one key
    /// gives the key for its tags away, so its keys are short-lived.
    Aes256Gcm,
    /// 15: AEAD_AES_SIV_CMAC_256, keys of 32 octets: mandatory.
    AesSivCmac256,
    /// 17: AEAD_AES_SIV_CMAC_512, keys of 64 octets: the same with AES-256.
    AesSivCmac512,
    /// 30: AEAD_AES_128_GCM_SIV, keys of 16 octets: shorter cookies, and about half the work.
    Aes128GcmSiv,
}

impl Aead {
    /// All of them, by number.
    pub const ALL: [Self; MAX_OFFERED] =
        [Self::Aes256Gcm, Self::AesSivCmac256, Self::AesSivCmac512, Self::Aes128GcmSiv];

    /// Its number in the registry of AEAD algorithms.
    pub const fn id(self) -> u16 {
        match self {
            Self::Aes256Gcm => 2,
            Self::AesSivCmac256 => 15,
            Self::AesSivCmac512 => 17,
            Self::Aes128GcmSiv => 30,
        }
    }

    /// The algorithm with this number; `None` if it is not supported.
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            2 => Some(Self::Aes256Gcm),
            15 => Some(Self::AesSivCmac256),
            17 => Some(Self::AesSivCmac512),
            30 => Some(Self::Aes128GcmSiv),
            _ => None,
        }
    }

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "gcm",
            Self::AesSivCmac256 => "siv",
            Self::AesSivCmac512 => "siv-512",
            Self::Aes128GcmSiv => "gcm-siv",
        }
    }

    /// Octets of each of its keys.
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128GcmSiv => 16,
            Self::Aes256Gcm | Self::AesSivCmac256 => 32,
            Self::AesSivCmac512 => 64,
        }
    }

    /// Octets of the nonces that are sent; also the least space that a request must provide for nonce and
    /// padding (RFC 8915 section 5.6, `N_REQ`).
    pub const fn nonce_length(self) -> usize {
        match self {
            Self::AesSivCmac256 | Self::AesSivCmac512 => 16,
            Self::Aes256Gcm | Self::Aes128GcmSiv => 12,
        }
    }

    /// Whether the algorithm accepts a nonce of that many octets.
    pub const fn takes_nonce(self, length: usize) -> bool {
        match self {
            Self::AesSivCmac256 | Self::AesSivCmac512 => length >= 1,
            Self::Aes256Gcm | Self::Aes128GcmSiv => length == 12,
        }
    }

    /// Where in a sealed text of `length` octets the plaintext is (empty for a text that is too short
    /// to be sealed).
    pub const fn plaintext(self, length: usize) -> Range<usize> {
        match self {
            Self::AesSivCmac256 | Self::AesSivCmac512 if length >= TAG => TAG..length,
            Self::AesSivCmac256 | Self::AesSivCmac512 => 0..0,
            Self::Aes256Gcm | Self::Aes128GcmSiv => 0..length.saturating_sub(TAG),
        }
    }

    /// Whether FIPS 140 approves it.
    pub const fn is_approved(self) -> bool {
        matches!(self, Self::Aes256Gcm)
    }

    /// Whether two texts that are sealed with one key and one nonce lose more than that they are recognised as the same:
    /// with GCM they give away the key for tags, and with it every other text of that key (NIST SP 800-38D appendix A).
    pub const fn needs_unique_nonces(self) -> bool {
        matches!(self, Self::Aes256Gcm)
    }
}

// The longest key is a key of one of them.
const _: () = assert!(Aead::AesSivCmac512.key_length() == MAX_KEY);

/// How many algorithms there are to offer.
pub const MAX_OFFERED: usize = 4;

/// The algorithms that a client offers, or that a server agrees to, best first: at least one, and none twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
pub struct AeadOffer([Option<Aead>; MAX_OFFERED]);

decode_checked!(AeadOffer, [Option<Aead>; MAX_OFFERED]);

impl AeadOffer {
    /// AEAD 30, and 15 for servers that do not support it.
    pub const GCM_SIV_FIRST: Self = Self([Some(Aead::Aes128GcmSiv), Some(Aead::AesSivCmac256), None, None]);

    /// What a server agrees to unless told otherwise: all that stay safe if a random number comes twice.
    pub const RESISTANT: Self =
        Self([Some(Aead::Aes128GcmSiv), Some(Aead::AesSivCmac256), Some(Aead::AesSivCmac512), None]);

    /// One algorithm and no other.
    pub const fn only(algorithm: Aead) -> Self {
        Self([Some(algorithm), None, None, None])
    }

    /// A list of them.
    ///
    /// # Errors
    /// [`OutOfRange`]: it is empty, or has one of them twice.
    pub fn new(algorithms: impl IntoIterator<Item = Aead>) -> Result<Self, OutOfRange> {
        let mut list = [None; MAX_OFFERED];
        let mut places = list.iter_mut();
        for algorithm in algorithms {
            *places.next().ok_or(OutOfRange)? = Some(algorithm);
        }
        Self::try_new(list)
    }

    fn try_new(list: [Option<Aead>; MAX_OFFERED]) -> Result<Self, OutOfRange> {
        let count = list.iter().take_while(|place| place.is_some()).count();
        let (listed, rest) = list.split_at_checked(count).ok_or(OutOfRange)?;
        let is_once =
            |(at, algorithm)| listed.iter().skip(at).filter(|other| *other == algorithm).count() == 1;
        let is_lawful =
            count > 0 && rest.iter().all(Option::is_none) && listed.iter().enumerate().all(is_once);
        if is_lawful { Ok(Self(list)) } else { Err(OutOfRange) }
    }

    /// Whether this algorithm is in it.
    pub fn contains(self, algorithm: Aead) -> bool {
        self.0.contains(&Some(algorithm))
    }

    /// The algorithms, best first.
    pub fn algorithms(self) -> impl Iterator<Item = Aead> {
        self.0.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    impl Arbitrary for AeadOffer {
        type Parameters = ();
        type Strategy = BoxedStrategy<Self>;

        fn arbitrary_with((): ()) -> Self::Strategy {
            let list = proptest::sample::subsequence(Aead::ALL.to_vec(), 1..=MAX_OFFERED).prop_shuffle();
            list.prop_map(|list| Self::new(list).unwrap()).boxed()
        }
    }

    #[test]
    fn an_algorithm_is_found_by_its_number_and_no_other_is() {
        let found: Vec<_> = (0..=u16::MAX).filter_map(Aead::from_id).collect();
        assert_eq!(found, Aead::ALL);
        assert!(Aead::ALL.iter().all(|aead| Aead::from_id(aead.id()) == Some(*aead)));
        assert!(
            Aead::ALL.iter().all(|aead| aead.key_length() <= MAX_KEY && aead.nonce_length() <= MAX_NONCE)
        );
    }

    #[test]
    fn an_offer_names_at_least_one_algorithm_and_none_twice() {
        let lists = |length: u32| {
            (0..5_u32.pow(length)).map(move |number| {
                (0..length)
                    .map(|place| Aead::ALL.get((number / 5_u32.pow(place) % 5) as usize).copied())
                    .collect::<Vec<_>>()
            })
        };
        for list in lists(4) {
            let count = list.iter().take_while(|place| place.is_some()).count();
            let mut named: Vec<_> = list.iter().flatten().map(|aead| aead.id()).collect();
            named.sort_unstable();
            named.dedup();
            let is_lawful = count > 0 && list.iter().flatten().count() == count && named.len() == count;
            let raw: [Option<Aead>; MAX_OFFERED] = list.clone().try_into().unwrap();
            assert_eq!(AeadOffer::try_new(raw).is_ok(), is_lawful, "{list:?}");
        }
        assert_eq!(AeadOffer::new([]), Err(OutOfRange));
        assert_eq!(AeadOffer::new([Aead::Aes256Gcm; 5]), Err(OutOfRange));
        assert_eq!(AeadOffer::only(Aead::Aes256Gcm).algorithms().collect::<Vec<_>>(), [Aead::Aes256Gcm]);
    }
}
