//! The two AEADs, their keys, and the TLS exporter's parameters for those keys (RFC 8915 sections 4.1.5 and 5.1).
//!
//! A sealed text is in one buffer: ciphertext and tag together, [`TAG`] octets longer than its plaintext.
//! The tag comes first with AEAD 15 and last with AEAD 30, so the position of the plaintext depends on the
//! algorithm: [`Algorithm::plaintext`].

use aes_gcm_siv::{AeadInOut, Aes128GcmSiv};
use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;
use core::fmt;
use core::ops::Range;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Octets that sealing adds.
pub const TAG: usize = 16;

/// Longest key in octets.
pub use ipc::secret::MAX_KEY;

/// Longest nonce in octets that is used here.
pub const MAX_NONCE: usize = 16;

/// The label for the TLS exporter (RFC 8915 section 5.1).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-network-time-security";

/// An AEAD algorithm that this implementation supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// AEAD_AES_SIV_CMAC_256, id 15: mandatory.
    AesSivCmac256,
    /// AEAD_AES_128_GCM_SIV, id 30: shorter cookies, and about half the work.
    Aes128GcmSiv,
}

impl Algorithm {
    /// From its number in the registry of AEAD algorithms; `None` if it is not supported.
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            15 => Some(Algorithm::AesSivCmac256),
            30 => Some(Algorithm::Aes128GcmSiv),
            _ => None,
        }
    }

    /// Its number in the registry.
    pub const fn id(self) -> u16 {
        match self {
            Algorithm::AesSivCmac256 => 15,
            Algorithm::Aes128GcmSiv => 30,
        }
    }

    /// Octets of a key.
    pub const fn key_length(self) -> usize {
        match self {
            Algorithm::AesSivCmac256 => 32,
            Algorithm::Aes128GcmSiv => 16,
        }
    }

    /// Octets of the nonces that are sent; also the least space that a request must provide for nonce and
    /// padding (RFC 8915 section 5.6, `N_REQ`).
    pub const fn nonce_length(self) -> usize {
        match self {
            Algorithm::AesSivCmac256 => 16,
            Algorithm::Aes128GcmSiv => 12,
        }
    }

    /// Whether the algorithm accepts a nonce of that many octets.
    pub const fn takes_nonce(self, length: usize) -> bool {
        match self {
            Algorithm::AesSivCmac256 => length >= 1,
            Algorithm::Aes128GcmSiv => length == 12,
        }
    }

    /// Where in a sealed text of `length` octets the plaintext is (empty for a text that is too short
    /// to be sealed).
    pub const fn plaintext(self, length: usize) -> Range<usize> {
        match self {
            Algorithm::AesSivCmac256 if length >= TAG => TAG..length,
            Algorithm::AesSivCmac256 => 0..0,
            Algorithm::Aes128GcmSiv => 0..length.saturating_sub(TAG),
        }
    }
}

/// The direction that a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The client seals with it.
    ClientToServer,
    /// The server seals with it.
    ServerToClient,
}

/// How the exporter's context names AEAD 30. It has no effect for AEAD 15.
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
    let named = match exporter {
        Exporter::Standard => algorithm,
        Exporter::Legacy => Algorithm::AesSivCmac256,
    };
    let [high, low] = named.id().to_be_bytes();
    let direction = match direction {
        Direction::ClientToServer => 0,
        Direction::ServerToClient => 1,
    };
    [0, 0, high, low, direction]
}

/// A key and its algorithm. It is wiped when dropped, never printed, and cannot be cloned by accident. A move leaves
/// a copy behind, as with any value, so keep it in one place.
pub struct Key(Secret);

enum Secret {
    AesSivCmac256([u8; 32]),
    Aes128GcmSiv([u8; 16]),
}

impl Key {
    /// Copies a key; `None` for a length that the algorithm does not have. The caller wipes `octets`.
    pub fn from_octets(algorithm: Algorithm, octets: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Algorithm::AesSivCmac256 => Secret::AesSivCmac256(octets.try_into().ok()?),
            Algorithm::Aes128GcmSiv => Secret::Aes128GcmSiv(octets.try_into().ok()?),
        }))
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Secret::AesSivCmac256(_) => Algorithm::AesSivCmac256,
            Secret::Aes128GcmSiv(_) => Algorithm::Aes128GcmSiv,
        }
    }

    /// The secret itself, to be stored or passed on.
    pub const fn octets(&self) -> &[u8] {
        match &self.0 {
            Secret::AesSivCmac256(octets) => octets,
            Secret::Aes128GcmSiv(octets) => octets,
        }
    }

    /// Seals in place: `text` holds the plaintext where [`Algorithm::plaintext`] says, and arbitrary octets in
    /// place of the tag.
    ///
    /// # Errors
    /// [`SealError`]: a nonce that the algorithm does not accept, or no room for the tag.
    pub fn seal(&self, nonce: &[u8], associated: &[u8], text: &mut [u8]) -> Result<(), SealError> {
        match &self.0 {
            Secret::AesSivCmac256(octets) => {
                if nonce.is_empty() {
                    return Err(SealError::NonceLength);
                }
                let (tag, plain) = text.split_first_chunk_mut::<TAG>().ok_or(SealError::NoRoom)?;
                let sealed = Aes128Siv::new(octets.into())
                    .encrypt_inout_detached([associated, nonce], plain.into())
                    .map_err(|_| SealError::NoRoom)?;
                *tag = sealed.into();
            }
            Secret::Aes128GcmSiv(octets) => {
                let nonce: &[u8; 12] = nonce.try_into().map_err(|_| SealError::NonceLength)?;
                let (plain, tag) = text.split_last_chunk_mut::<TAG>().ok_or(SealError::NoRoom)?;
                let sealed = Aes128GcmSiv::new(octets.into())
                    .encrypt_inout_detached(nonce.into(), associated, plain.into())
                    .map_err(|_| SealError::NoRoom)?;
                *tag = sealed.into();
            }
        }
        Ok(())
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
        match &self.0 {
            Secret::AesSivCmac256(octets) => {
                if nonce.is_empty() {
                    return Err(Forged);
                }
                let (tag, cipher) = text.split_first_chunk_mut::<TAG>().ok_or(Forged)?;
                Aes128Siv::new(octets.into())
                    .decrypt_inout_detached([associated, nonce], (&mut *cipher).into(), (&*tag).into())
                    .map_err(|_| Forged)?;
                Ok(cipher)
            }
            Secret::Aes128GcmSiv(octets) => {
                let nonce: &[u8; 12] = nonce.try_into().map_err(|_| Forged)?;
                let (cipher, tag) = text.split_last_chunk_mut::<TAG>().ok_or(Forged)?;
                Aes128GcmSiv::new(octets.into())
                    .decrypt_inout_detached(nonce.into(), associated, (&mut *cipher).into(), (&*tag).into())
                    .map_err(|_| Forged)?;
                Ok(cipher)
            }
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        match &mut self.0 {
            Secret::AesSivCmac256(octets) => octets.zeroize(),
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
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SealError::NonceLength => "nonce of a length that the algorithm does not take",
            SealError::NoRoom => "no room for the tag",
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

#[cfg(test)]
mod tests;
