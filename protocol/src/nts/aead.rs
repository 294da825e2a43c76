//! The AEADs, their keys, and the TLS exporter's parameters for those keys (RFC 8915 sections 4.1.5 and 5.1).
//!
//! A sealed text is in one buffer: ciphertext and tag together, [`TAG`] octets longer than its plaintext.
//! The tag comes first with AEAD 15 and 17 and last with 2 and 30, so the position of the plaintext depends on the
//! algorithm: [`Algorithm::plaintext`].

use crate::primitives;
use core::fmt;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use ipc::aead::{Aead as Algorithm, AeadOffer as Offer, MAX_NONCE, TAG};

/// Longest key in octets.
pub use ipc::secret::MAX_KEY;

/// The label for the TLS exporter (RFC 8915 section 5.1).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-network-time-security";

/// The direction that a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client seals with it.
    ClientToServer,
    /// The server seals with it.
    ServerToClient,
}

/// How the exporter's context names AEAD 30. It has no effect for any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exporter {
    /// By its own number, as the standard requires.
    Standard,
    /// By the number 15, as chrony 4.4 to 4.6 does. Record 1024 of the key exchange distinguishes the two.
    Legacy,
}

/// The context for [`EXPORTER_LABEL`]: NTPv4, the AEAD's number, the direction (RFC 8915 section 5.1). The
/// exporter must return [`Algorithm::key_length`] octets.
pub const fn exporter_context(algorithm: Algorithm, direction: Direction, exporter: Exporter) -> [u8; 5] {
    let named = match (exporter, algorithm) {
        (Exporter::Legacy, Algorithm::Aes128GcmSiv) => Algorithm::AesSivCmac256,
        (Exporter::Legacy | Exporter::Standard, algorithm) => algorithm,
    };
    let [high, low] = named.id().to_be_bytes();
    let direction = match direction {
        Direction::ClientToServer => 0,
        Direction::ServerToClient => 1,
    };
    [0, 0, high, low, direction]
}

/// Whether this build seals and opens with an algorithm: with the feature `fips` only with what FIPS 140 approves.
pub const fn is_available(algorithm: Algorithm) -> bool {
    !cfg!(feature = "fips") || algorithm.is_approved()
}

/// A key and its algorithm. It is wiped when dropped, never printed, and cannot be cloned by accident. A move leaves
/// a copy behind, as with any value, so keep it in one place.
pub struct Key(Secret);

/// The octets of a key, by algorithm.
pub(crate) enum Secret {
    Aes256Gcm([u8; 32]),
    AesSivCmac256([u8; 32]),
    AesSivCmac512([u8; 64]),
    Aes128GcmSiv([u8; 16]),
}

impl Key {
    /// Copies a key; `None` for a length that the algorithm does not have, and for an algorithm that this build does not
    /// have ([`is_available`]). The caller wipes `octets`.
    pub fn from_octets(algorithm: Algorithm, octets: &[u8]) -> Option<Self> {
        if !is_available(algorithm) {
            return None;
        }
        Some(Self(match algorithm {
            Algorithm::Aes256Gcm => Secret::Aes256Gcm(octets.try_into().ok()?),
            Algorithm::AesSivCmac256 => Secret::AesSivCmac256(octets.try_into().ok()?),
            Algorithm::AesSivCmac512 => Secret::AesSivCmac512(octets.try_into().ok()?),
            Algorithm::Aes128GcmSiv => Secret::Aes128GcmSiv(octets.try_into().ok()?),
        }))
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Secret::Aes256Gcm(_) => Algorithm::Aes256Gcm,
            Secret::AesSivCmac256(_) => Algorithm::AesSivCmac256,
            Secret::AesSivCmac512(_) => Algorithm::AesSivCmac512,
            Secret::Aes128GcmSiv(_) => Algorithm::Aes128GcmSiv,
        }
    }

    /// The secret itself, to be stored or passed on.
    pub const fn octets(&self) -> &[u8] {
        match &self.0 {
            Secret::Aes256Gcm(octets) | Secret::AesSivCmac256(octets) => octets,
            Secret::AesSivCmac512(octets) => octets,
            Secret::Aes128GcmSiv(octets) => octets,
        }
    }

    /// Seals in place: `text` holds the plaintext where [`Algorithm::plaintext`] says, and arbitrary octets in
    /// place of the tag. For an algorithm that needs unique nonces, `nonce` must be one of [`unique_nonce`]; in a build with the
    /// feature `fips` the module draws its own and puts it in the place of that one.
    ///
    /// # Errors
    /// [`SealError`]: a nonce that the algorithm does not accept, no room for the tag, or a failure of the module.
    pub fn seal(&self, nonce: &mut [u8], associated: &[u8], text: &mut [u8]) -> Result<(), SealError> {
        if !self.algorithm().takes_nonce(nonce.len()) {
            return Err(SealError::NonceLength);
        }
        primitives::seal(&self.0, nonce, associated, text)
    }

    /// Opens in place and returns the plaintext. The tag is compared in constant time; if it is wrong,
    /// `text` remains unchanged.
    ///
    /// # Errors
    /// [`Forged`]: the text was not sealed with this key, this nonce and these associated octets.
    pub fn open<'t>(
        &self,
        nonce: &[u8],
        associated: &[u8],
        text: &'t mut [u8],
    ) -> Result<&'t mut [u8], Forged> {
        if !self.algorithm().takes_nonce(nonce.len()) {
            return Err(Forged);
        }
        primitives::open(&self.0, nonce, associated, text)
    }
}

/// A nonce that depends on all that it is used for: the first octets of SHA-256 over `random`, the associated octets and the
/// plaintext. While `random` (16 fresh octets) is unpredictable, it is as random as that. If two copies of a machine draw
/// the same random octets, two different texts still get different nonces, and two equal ones are equal when they are sealed
/// too; so no nonce ever serves two texts, which is what GCM must not be given.
pub fn unique_nonce(random: &[u8], associated: &[u8], plain: &[u8]) -> [u8; 12] {
    let mut hash = Sha256::new();
    for part in [b"truechimer nonce", random, associated, plain] {
        // Lengths first: no two lists of parts are the same octets.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut nonce = [0; 12];
    nonce.iter_mut().zip(digest).for_each(|(place, octet)| *place = octet);
    nonce
}

impl Drop for Key {
    fn drop(&mut self) {
        match &mut self.0 {
            Secret::Aes256Gcm(octets) | Secret::AesSivCmac256(octets) => octets.zeroize(),
            Secret::AesSivCmac512(octets) => octets.zeroize(),
            Secret::Aes128GcmSiv(octets) => octets.zeroize(),
        }
    }
}

impl ZeroizeOnDrop for Key {}

/// The algorithm only.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

/// Both keys of one association.
#[derive(Debug)]
pub struct SessionKeys {
    /// The client seals with it.
    pub client_to_server: Key,
    /// The server seals with it.
    pub server_to_client: Key,
}

impl SessionKeys {
    /// From the exporter's output for each direction; `None` if a length is wrong.
    pub fn from_octets(
        algorithm: Algorithm,
        client_to_server: &[u8],
        server_to_client: &[u8],
    ) -> Option<Self> {
        Some(Self {
            client_to_server: Key::from_octets(algorithm, client_to_server)?,
            server_to_client: Key::from_octets(algorithm, server_to_client)?,
        })
    }

    /// Their algorithm, which is the same for both.
    pub const fn algorithm(&self) -> Algorithm {
        self.client_to_server.algorithm()
    }
}

/// Why nothing was sealed: an error of the caller, which no untrusted input can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The algorithm does not accept a nonce of that length.
    NonceLength,
    /// No room for the tag.
    NoRoom,
    /// The cryptographic module refused.
    Module,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SealError::NonceLength => "nonce of a length that the algorithm does not take",
            SealError::NoRoom => "no room for the tag",
            SealError::Module => "the cryptographic module refused",
        })
    }
}

impl core::error::Error for SealError {}

/// The authentication tag is wrong: the text was altered, or sealed with another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the authentication tag is wrong")
    }
}

impl core::error::Error for Forged {}

#[cfg(all(test, not(feature = "fips")))]
mod tests;
