//! The FIPS 140 module of AWS-LC. It tests itself when it is loaded and ends the process if a test fails; nothing that it does not
//! approve is asked of it.

use crate::nts::aead::{Forged, SealError, Secret, TAG};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::cmac::{AES_128, AES_256, Context, Key};
use aws_lc_rs::hkdf;
use ipc::packet::MAX_PACKET;
use zeroize::Zeroizing;

const NONCE: usize = 12;

/// Whether GCM's nonces are drawn here, and not by whoever seals.
pub(crate) const DRAWS_NONCES: bool = true;

/// What does the cryptography, as the status names it.
pub const fn name() -> Option<&'static str> {
    Some("AWS-LC FIPS")
}

/// All of its tests, once in a process, before the filter: otherwise each would run at the first use of what it tests. Needs the stack of
/// a main thread.
///
/// # Errors
/// [`SealError::Module`]: one could not be run. Where one fails, the module ends the process.
pub fn test() -> Result<(), SealError> {
    aws_lc_rs::try_fips_self_test().map_err(|_| SealError::Module)
}

/// Uses it for the first time in this thread: it gathers entropy and takes memory by system calls that are not allowed later.
///
/// # Errors
/// [`SealError::Module`]: it is not in FIPS mode, or refuses to work. Nothing may be sealed then.
pub fn start() -> Result<(), SealError> {
    aws_lc_rs::try_fips_mode().map_err(|_| SealError::Module)?;
    let secret = Secret::Aes256Gcm([0; 32]);
    seal(&secret, &mut [0; NONCE], &[], &mut [0; TAG + 1])?;
    random(&mut [0; 32]).ok_or(SealError::Module)??;
    let mac = Cmac256::new(&[0; 32]).ok_or(SealError::Module)?;
    mac.digest(&[0]);
    Prk::from_octets(&[0; 32]).expand(&[], &mut [0; 32]);
    Ok(())
}

/// Fills a secret by the module's generator; without a module there is none ([`SealError::Module`]: it refuses).
pub fn random(secret: &mut [u8; 32]) -> Option<Result<(), SealError>> {
    Some(aws_lc_rs::rand::fill(secret).map_err(|_| SealError::Module))
}

/// As [`crate::nts::aead::Key::seal`]: the module draws the nonce, as NIST SP 800-38D section 8.2.2 has it, and it replaces the given
/// one.
pub(crate) fn seal(
    secret: &Secret,
    nonce: &mut [u8],
    associated: &[u8],
    text: &mut [u8],
) -> Result<(), SealError> {
    let Secret::Aes256Gcm(key) = secret else { return Err(SealError::Module) };
    let nonce: &mut [u8; NONCE] = nonce.try_into().map_err(|_| SealError::NonceLength)?;
    seal_gcm(key, nonce, associated, text)
}

/// As [`crate::nts::aead::Key::open`].
pub(crate) fn open<'t>(
    secret: &Secret,
    nonce: &[u8],
    associated: &[u8],
    text: &'t mut [u8],
) -> Result<&'t mut [u8], Forged> {
    let Secret::Aes256Gcm(key) = secret else { return Err(Forged) };
    let nonce: &[u8; NONCE] = nonce.try_into().map_err(|_| Forged)?;
    // The module spoils what it cannot open.
    let mut copy = [0; MAX_PACKET];
    let copy = copy.get_mut(..text.len()).ok_or(Forged)?;
    copy.copy_from_slice(text);
    if open_gcm(key, nonce, associated, text).is_none() {
        text.copy_from_slice(copy);
        return Err(Forged);
    }
    let plain = text.len().saturating_sub(TAG);
    text.get_mut(..plain).ok_or(Forged)
}

fn seal_gcm(
    key: &[u8; 32],
    nonce: &mut [u8; NONCE],
    associated: &[u8],
    text: &mut [u8],
) -> Result<(), SealError> {
    let (plain, tag) = text.split_last_chunk_mut::<TAG>().ok_or(SealError::NoRoom)?;
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| SealError::Module)?;
    let (own, sealed) =
        key.seal_in_place_separate_tag(Aad::from(associated), plain).map_err(|_| SealError::Module)?;
    *nonce = *own.as_ref();
    *tag = sealed.as_ref().try_into().map_err(|_| SealError::Module)?;
    Ok(())
}

fn open_gcm(key: &[u8; 32], nonce: &[u8; NONCE], associated: &[u8], text: &mut [u8]) -> Option<()> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).ok()?;
    let nonce = Nonce::assume_unique_for_key(*nonce);
    key.open_in_place(nonce, Aad::from(associated), text).ok().map(|_| ())
}

/// Seals the cookies of one epoch. Random nonces allow 2^32 texts under one key (NIST SP 800-38D section 8.3), and a server that keeps
/// no state counts none; so each cookie has a key of its own, expanded from that of the epoch and 96 random bits in the cookie.
pub(crate) struct CookieCipher(Zeroizing<[u8; 32]>);

impl CookieCipher {
    /// Octets before the ciphertext: what its key is expanded from, and the nonce.
    pub(crate) const HEAD: usize = 12 + NONCE;

    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*key))
    }

    fn key(&self, salt: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Prk::from_octets(&self.0).expand(&[b"truechimer cookie", salt], &mut key);
        key
    }

    /// `random` becomes the first half of the head. `text` is the plaintext, and room for the tag behind it.
    pub(crate) fn seal(&self, random: &[u8; 12], head: &mut [u8; Self::HEAD], text: &mut [u8]) -> Option<()> {
        let (salt, nonce) = head.split_first_chunk_mut::<12>()?;
        *salt = *random;
        seal_gcm(&self.key(random), nonce.try_into().ok()?, &[], text).ok()
    }

    pub(crate) fn open<'t>(&self, head: &[u8; Self::HEAD], text: &'t mut [u8]) -> Option<&'t mut [u8]> {
        let (salt, nonce) = head.split_first_chunk::<12>()?;
        open_gcm(&self.key(salt), nonce.try_into().ok()?, &[], text)?;
        let plain = text.len().checked_sub(TAG)?;
        text.get_mut(..plain)
    }
}

/// A pseudorandom key of HKDF with SHA-256 (RFC 5869).
pub(crate) struct Prk(hkdf::Prk);

impl Prk {
    /// From a secret of any length.
    pub(crate) fn extract(salt: &[u8], secret: &[u8]) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret))
    }

    /// One that is as long as the hash.
    pub(crate) fn from_octets(octets: &[u8; 32]) -> Self {
        Self(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, octets))
    }

    /// Expands it, with the parts of `info` as one.
    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8; 32]) {
        let filled = self.0.expand(info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(out));
        filled.expect("one block");
    }
}

/// AES-CMAC (RFC 4493) under a key of 16 octets.
pub(crate) type Cmac128 = AesCmac<16>;

/// The same under one of 32 octets.
pub(crate) type Cmac256 = AesCmac<32>;

#[derive(Clone)]
pub(crate) struct AesCmac<const KEY: usize>(Key);

impl<const KEY: usize> AesCmac<KEY> {
    pub(crate) fn new(key: &[u8]) -> Option<Self> {
        let algorithm = if KEY == 16 { AES_128 } else { AES_256 };
        Key::new(algorithm, key).ok().map(Self)
    }

    pub(crate) fn digest(&self, covered: &[u8]) -> [u8; 16] {
        let mut context = Context::with_key(&self.0);
        // It fails for want of memory alone, which ends this process as it does everywhere.
        let tag = context.update(covered).and_then(|()| context.sign()).expect("a key that was taken");
        let mut out = [0; 16];
        out.iter_mut().zip(tag.as_ref()).for_each(|(place, octet)| *place = *octet);
        out
    }
}

#[cfg(test)]
mod tests;
