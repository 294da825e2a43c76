//! Keys on their way from one process to another.

use crate::codec::{
    BorrowDecode, BorrowDecoder, Decode, DecodeError, Decoder, Encode, EncodeError, Encoder, Reader, Writer,
};
use alloc::boxed::Box;
use core::fmt;
use zeroize::Zeroize;

/// Octets of a key field: the longest key there is (AEAD_AES_SIV_CMAC_256); shorter keys are stored at its start,
/// followed by zeros.
pub const MAX_KEY: usize = 32;

/// Secret octets. Wiped when dropped, never printed, compared in constant time. They stay at one address when the
/// message that holds them is moved, since a move would leave a copy behind.
#[derive(Clone)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Secret(Box<[u8; MAX_KEY]>);

impl Secret {
    /// Copies octets. The caller wipes its own.
    pub fn new(octets: &[u8; MAX_KEY]) -> Self {
        let mut own = Box::new([0; MAX_KEY]);
        own.copy_from_slice(octets);
        Self(own)
    }

    /// The octets themselves, for the cipher.
    pub fn octets(&self) -> &[u8; MAX_KEY] {
        &self.0
    }
}

impl Encode for Secret {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encoder.writer().write(&self.0[..])
    }
}

impl<C> Decode<C> for Secret {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        decoder.claim_bytes_read(MAX_KEY)?;
        // Read straight into their final place.
        let mut secret = Self(Box::new([0; MAX_KEY]));
        decoder.reader().read(&mut secret.0[..])?;
        Ok(secret)
    }
}

impl<'de, C> BorrowDecode<'de, C> for Secret {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0, |different, (one, two)| different | (one ^ two)) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// The two keys of an association (RFC 8915 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct KeyPair {
    /// Client to server.
    pub client_to_server: Secret,
    /// Server to client.
    pub server_to_client: Secret,
}

/// AEAD algorithms that are done here (RFC 8915 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Aead {
    /// 15: AEAD_AES_SIV_CMAC_256, keys of 32 octets.
    AesSivCmac256,
    /// 30: AEAD_AES_128_GCM_SIV, keys of 16 octets.
    Aes128GcmSiv,
}

impl Aead {
    /// Its number in the registry.
    pub const fn id(self) -> u8 {
        match self {
            Self::AesSivCmac256 => 15,
            Self::Aes128GcmSiv => 30,
        }
    }

    /// Octets of each of its keys.
    pub const fn key_length(self) -> usize {
        match self {
            Self::AesSivCmac256 => 32,
            Self::Aes128GcmSiv => 16,
        }
    }

    /// The algorithm with this number; `None` if it is not supported.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            15 => Some(Self::AesSivCmac256),
            30 => Some(Self::Aes128GcmSiv),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_found_by_its_number_and_no_other_is() {
        let found = (0..=u8::MAX).filter_map(|id| Aead::from_id(id).map(|aead| (id, aead)));
        assert!(found.eq([(15, Aead::AesSivCmac256), (30, Aead::Aes128GcmSiv)]));
        assert!((0..=u8::MAX).all(|id| Aead::from_id(id).is_none_or(|aead| aead.id() == id)));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let pair = KeyPair {
            client_to_server: Secret::new(&[0xab; 32]),
            server_to_client: Secret::new(&[0xcd; 32]),
        };
        let text = std::format!("{pair:?} {pair:#?}");
        assert!(!text.contains("171") && !text.contains("205") && !text.to_lowercase().contains("ab,"));
    }
}
