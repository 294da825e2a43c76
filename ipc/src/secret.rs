//! Keys on their way from one process to another.

use crate::codec::{
    BorrowDecode, BorrowDecoder, Decode, DecodeError, Decoder, Encode, EncodeError, Encoder, Reader, Writer,
};
use alloc::boxed::Box;
use core::fmt;
use zeroize::Zeroize;

/// Octets of a field for a key of an association: the longest key there is (AEAD_AES_SIV_CMAC_512); shorter keys are stored
/// at its start, followed by zeros.
pub const MAX_KEY: usize = 64;

/// Secret octets. Wiped when dropped, never printed, compared in constant time. They stay at one address when the
/// message that holds them is moved, since a move would leave a copy behind.
#[derive(Clone)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Secret<const N: usize = MAX_KEY>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Copies octets. The caller wipes its own.
    pub fn new(octets: &[u8; N]) -> Self {
        let mut own = Box::new([0; N]);
        own.copy_from_slice(octets);
        Self(own)
    }

    /// Copies octets, and fills up with zeros; `None` if they are more than there is room for. The caller wipes its own.
    pub fn of(octets: &[u8]) -> Option<Self> {
        let mut own = Self(Box::new([0; N]));
        own.0.get_mut(..octets.len())?.copy_from_slice(octets);
        Some(own)
    }

    /// The octets themselves, for the cipher.
    pub fn octets(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Encode for Secret<N> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encoder.writer().write(&self.0[..])
    }
}

impl<C, const N: usize> Decode<C> for Secret<N> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        decoder.claim_bytes_read(N)?;
        // Read straight into their final place.
        let mut secret = Self(Box::new([0; N]));
        decoder.reader().read(&mut secret.0[..])?;
        Ok(secret)
    }
}

impl<'de, C, const N: usize> BorrowDecode<'de, C> for Secret<N> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0, |different, (one, two)| different | (one ^ two)) == 0
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_secret_is_followed_by_zeros_and_a_longer_one_has_no_place() {
        let secret: Secret<4> = Secret::of(&[1, 2]).unwrap();
        assert_eq!(secret.octets(), &[1, 2, 0, 0]);
        assert!(Secret::<4>::of(&[1; 4]).is_some() && Secret::<4>::of(&[1; 5]).is_none());
    }

    #[test]
    fn a_secret_is_never_printed() {
        let pair = KeyPair {
            client_to_server: Secret::new(&[0xab; MAX_KEY]),
            server_to_client: Secret::new(&[0xcd; MAX_KEY]),
        };
        let text = std::format!("{pair:?} {pair:#?}");
        assert!(!text.contains("171") && !text.contains("205") && !text.to_lowercase().contains("ab,"));
    }
}
