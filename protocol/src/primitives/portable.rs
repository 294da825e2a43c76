//! RustCrypto's crates.

use crate::nts::aead::{Forged, SealError, Secret, TAG};
use aes::{Aes128, Aes256};
use aes_gcm::Aes256Gcm;
use aes_gcm_siv::{AeadInOut, Aes128GcmSiv, Aes256GcmSiv};
use aes_siv::KeyInit;
use aes_siv::aead::consts::{U12, U16};
use aes_siv::siv::{Aes128Siv, Aes256Siv};
use cmac::{Cmac, Mac};
use hkdf::Hkdf;
use sha2::Sha256;

/// What does the cryptography, as the status names it; `None`: no validated module.
pub const fn name() -> Option<&'static str> {
    None
}

/// Whether GCM's nonces are drawn here, and not by whoever seals.
pub(crate) const DRAWS_NONCES: bool = false;

/// There is no module to be tested.
///
/// # Errors
/// None here.
pub const fn test() -> Result<(), SealError> {
    Ok(())
}

/// Nothing has to be drawn before the first use.
///
/// # Errors
/// None here.
pub const fn start() -> Result<(), SealError> {
    Ok(())
}

/// There is no generator here: take the kernel's.
pub const fn random(_: &mut [u8; 32]) -> Option<Result<(), SealError>> {
    None
}

/// As [`crate::nts::aead::Key::seal`], with a nonce that the algorithm takes.
pub(crate) fn seal(
    secret: &Secret,
    nonce: &[u8],
    associated: &[u8],
    text: &mut [u8],
) -> Result<(), SealError> {
    match secret {
        Secret::AesSivCmac256(key) => seal_siv(
            |headers, plain| {
                Aes128Siv::new(key.into()).encrypt_inout_detached(headers, plain.into()).map(Into::into).ok()
            },
            [associated, nonce],
            text,
        ),
        Secret::AesSivCmac512(key) => seal_siv(
            |headers, plain| {
                Aes256Siv::new(key.into()).encrypt_inout_detached(headers, plain.into()).map(Into::into).ok()
            },
            [associated, nonce],
            text,
        ),
        Secret::Aes128GcmSiv(key) => seal_gcm(&Aes128GcmSiv::new(key.into()), nonce, associated, text),
        Secret::Aes256Gcm(key) => seal_gcm(&Aes256Gcm::new(key.into()), nonce, associated, text),
    }
}

/// As [`crate::nts::aead::Key::open`], with a nonce that the algorithm takes.
pub(crate) fn open<'t>(
    secret: &Secret,
    nonce: &[u8],
    associated: &[u8],
    text: &'t mut [u8],
) -> Result<&'t mut [u8], Forged> {
    match secret {
        Secret::AesSivCmac256(key) => open_siv(
            |headers, cipher, tag| {
                Aes128Siv::new(key.into()).decrypt_inout_detached(headers, cipher.into(), tag.into()).ok()
            },
            [associated, nonce],
            text,
        ),
        Secret::AesSivCmac512(key) => open_siv(
            |headers, cipher, tag| {
                Aes256Siv::new(key.into()).decrypt_inout_detached(headers, cipher.into(), tag.into()).ok()
            },
            [associated, nonce],
            text,
        ),
        Secret::Aes128GcmSiv(key) => open_gcm(&Aes128GcmSiv::new(key.into()), nonce, associated, text),
        Secret::Aes256Gcm(key) => open_gcm(&Aes256Gcm::new(key.into()), nonce, associated, text),
    }
}

/// The tag first.
fn seal_siv(
    encrypt: impl FnOnce([&[u8]; 2], &mut [u8]) -> Option<[u8; TAG]>,
    headers: [&[u8]; 2],
    text: &mut [u8],
) -> Result<(), SealError> {
    let (tag, plain) = text.split_first_chunk_mut::<TAG>().ok_or(SealError::NoRoom)?;
    *tag = encrypt(headers, plain).ok_or(SealError::NoRoom)?;
    Ok(())
}

fn open_siv<'t>(
    decrypt: impl FnOnce([&[u8]; 2], &mut [u8], &[u8; TAG]) -> Option<()>,
    headers: [&[u8]; 2],
    text: &'t mut [u8],
) -> Result<&'t mut [u8], Forged> {
    let (tag, cipher) = text.split_first_chunk_mut::<TAG>().ok_or(Forged)?;
    decrypt(headers, cipher, tag).ok_or(Forged)?;
    Ok(cipher)
}

/// The tag last.
fn seal_gcm<C>(cipher: &C, nonce: &[u8], associated: &[u8], text: &mut [u8]) -> Result<(), SealError>
where
    C: AeadInOut<NonceSize = U12, TagSize = U16>,
{
    let nonce: &[u8; 12] = nonce.try_into().map_err(|_| SealError::NonceLength)?;
    let (plain, tag) = text.split_last_chunk_mut::<TAG>().ok_or(SealError::NoRoom)?;
    let sealed = cipher.encrypt_inout_detached(nonce.into(), associated, plain.into());
    *tag = sealed.map_err(|_| SealError::NoRoom)?.into();
    Ok(())
}

fn open_gcm<'t, C>(
    cipher: &C,
    nonce: &[u8],
    associated: &[u8],
    text: &'t mut [u8],
) -> Result<&'t mut [u8], Forged>
where
    C: AeadInOut<NonceSize = U12, TagSize = U16>,
{
    let nonce: &[u8; 12] = nonce.try_into().map_err(|_| Forged)?;
    let (sealed, tag) = text.split_last_chunk_mut::<TAG>().ok_or(Forged)?;
    cipher
        .decrypt_inout_detached(nonce.into(), associated, (&mut *sealed).into(), (&*tag).into())
        .map_err(|_| Forged)?;
    Ok(sealed)
}

/// Seals the cookies of one epoch: AES-256-GCM-SIV, so a nonce that comes twice costs nothing.
pub(crate) struct CookieCipher(Aes256GcmSiv);

impl CookieCipher {
    /// Octets before the ciphertext: the nonce.
    pub(crate) const HEAD: usize = 12;

    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256GcmSiv::new(key.into()))
    }

    /// `random` becomes the nonce. `text` is the plaintext, and room for the tag behind it.
    pub(crate) fn seal(&self, random: &[u8; 12], head: &mut [u8; Self::HEAD], text: &mut [u8]) -> Option<()> {
        *head = *random;
        seal_gcm(&self.0, random, &[], text).ok()
    }

    pub(crate) fn open<'t>(&self, head: &[u8; Self::HEAD], text: &'t mut [u8]) -> Option<&'t mut [u8]> {
        open_gcm(&self.0, head, &[], text).ok()
    }
}

/// A pseudorandom key of HKDF with SHA-256 (RFC 5869).
pub(crate) struct Prk(Hkdf<Sha256>);

impl Prk {
    /// From a secret of any length.
    pub(crate) fn extract(salt: &[u8], secret: &[u8]) -> Self {
        Self(Hkdf::new(Some(salt), secret))
    }

    /// One that is as long as the hash.
    pub(crate) fn from_octets(octets: &[u8; 32]) -> Self {
        Self(Hkdf::from_prk(octets).expect("a secret is as long as the hash"))
    }

    /// Expands it, with the parts of `info` as one.
    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8; 32]) {
        self.0.expand_multi_info(info, out).expect("one block");
    }
}

/// AES-CMAC (RFC 4493) under a key of 16 octets.
pub(crate) type Cmac128 = AesCmac<Cmac<Aes128>>;

/// The same under one of 32 octets.
pub(crate) type Cmac256 = AesCmac<Cmac<Aes256>>;

#[derive(Clone)]
pub(crate) struct AesCmac<M>(M);

impl<M: Mac<OutputSize = U16> + KeyInit + Clone> AesCmac<M> {
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        M::new_from_slice(key).ok().map(Self)
    }

    pub(crate) fn digest(&self, covered: &[u8]) -> [u8; 16] {
        self.0.clone().chain_update(covered).finalize().into_bytes().into()
    }
}
