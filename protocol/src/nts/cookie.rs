//! The server's cookies: all state about a client, sealed with a key of the server, so
//! that the server keeps no state for each client (RFC 8915 section 6).
//!
//! ```text
//!   octets   4       12      4 + 2 k                                              16
//!          | epoch | nonce | algorithm, 0, client to server, server to client | tag |    k = 32 or 16
//! ```
//!
//! AES-256-GCM-SIV under the key of the epoch. A cookie has 100 octets with AEAD 15 and 68 with AEAD 30, a
//! multiple of 4 and never changing, so that a reply is never longer than its request.

use super::aead::{Algorithm, SessionKeys, TAG};
use super::ratchet::{EpochKey, MAX_EPOCH_KEYS};
use aes_gcm_siv::{AeadInOut, Aes256GcmSiv};
use aes_siv::KeyInit;
use core::fmt;
use zeroize::Zeroize;

/// Octets of the longest cookie.
pub const MAX_LENGTH: usize = length(Algorithm::AesSivCmac256);

/// Octets of a cookie's nonce.
pub const NONCE: usize = 12;

const EPOCH: usize = 4;
const HEAD: usize = 4;
const MAX_TEXT: usize = MAX_LENGTH - EPOCH - NONCE;

/// Octets of a cookie for keys of this algorithm.
pub const fn length(algorithm: Algorithm) -> usize {
    EPOCH + NONCE + HEAD + 2 * algorithm.key_length() + TAG
}

/// A cookie for the response of a key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    octets: [u8; MAX_LENGTH],
    length: usize,
}

impl Cookie {
    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

/// Why nothing was sealed: an error of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for a cookie")
    }
}

impl core::error::Error for NoRoom {}

struct Place {
    epoch: u32,
    cipher: Aes256GcmSiv,
}

/// The keys that seal and open cookies: of the current epoch, of the two before it, and of the next one, which
/// another server of the same fleet may have begun already. Immutable: a new epoch is a new value, shared by
/// all threads, and the old one is wiped when dropped.
pub struct CookieKeys {
    current: Place,
    others: [Option<Place>; MAX_EPOCH_KEYS - 1],
}

/// The epochs only.
impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKeys").field("epoch", &self.current.epoch).finish_non_exhaustive()
    }
}

/// Why keys are not a valid set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysError {
    /// There is none for the current epoch.
    NoCurrent,
    /// There are more than four, or two of one epoch.
    TooMany,
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeysError::NoCurrent => "no cookie key for the current epoch",
            KeysError::TooMany => "more than four cookie keys, or two for one epoch",
        })
    }
}

impl core::error::Error for KeysError {}

impl CookieKeys {
    /// Copies keys from [`super::ratchet::Ratchet::keys`], in any order; new cookies are sealed with the
    /// key of epoch `current`.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn new(current: u32, keys: impl IntoIterator<Item = EpochKey>) -> Result<Self, KeysError> {
        let mut own = None;
        let mut others = [const { None }; MAX_EPOCH_KEYS - 1];
        for key in keys {
            let place = Place { epoch: key.epoch(), cipher: Aes256GcmSiv::new(key.octets().into()) };
            let twice = others.iter().flatten().any(|other: &Place| other.epoch == place.epoch);
            let room = if place.epoch == current {
                &mut own
            } else {
                others.iter_mut().find(|room| room.is_none()).ok_or(KeysError::TooMany)?
            };
            if twice || room.replace(place).is_some() {
                return Err(KeysError::TooMany);
            }
        }
        Ok(Self { current: own.ok_or(KeysError::NoCurrent)?, others })
    }

    /// The epoch whose key seals new cookies.
    pub const fn epoch(&self) -> u32 {
        self.current.epoch
    }

    /// Seals a cookie for these keys. `nonce`: fresh random octets.
    ///
    /// # Errors
    /// [`NoRoom`]: `out` does not have exactly [`length`] octets.
    pub fn seal_into(&self, keys: &SessionKeys, nonce: &[u8; NONCE], out: &mut [u8]) -> Result<(), NoRoom> {
        let algorithm = keys.algorithm();
        if out.len() != length(algorithm) {
            return Err(NoRoom);
        }
        let (epoch, rest) = out.split_first_chunk_mut::<EPOCH>().ok_or(NoRoom)?;
        let (nonce_place, rest) = rest.split_first_chunk_mut::<NONCE>().ok_or(NoRoom)?;
        let (plain, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(NoRoom)?;
        let (head, secrets) = plain.split_first_chunk_mut::<HEAD>().ok_or(NoRoom)?;
        *epoch = self.current.epoch.to_be_bytes();
        *nonce_place = *nonce;
        let [high, low] = algorithm.id().to_be_bytes();
        *head = [high, low, 0, 0];
        let (to_server, to_client) = secrets.split_at_mut_checked(algorithm.key_length()).ok_or(NoRoom)?;
        to_server.copy_from_slice(keys.client_to_server.octets());
        to_client.copy_from_slice(keys.server_to_client.octets());
        let sealed = self
            .current
            .cipher
            .encrypt_inout_detached(nonce.into(), &[], plain.into())
            .map_err(|_| NoRoom)?;
        *tag = sealed.into();
        Ok(())
    }

    /// Seals a cookie for a key exchange. `nonce`: fresh random octets.
    pub fn seal(&self, keys: &SessionKeys, nonce: &[u8; NONCE]) -> Cookie {
        let mut cookie = Cookie { octets: [0; MAX_LENGTH], length: length(keys.algorithm()) };
        let sealed = self.seal_into(keys, nonce, &mut cookie.octets[..cookie.length]);
        debug_assert!(sealed.is_ok());
        cookie
    }

    /// Opens a cookie; `None` if it was not sealed with one of these keys. The work does not depend on what is
    /// wrong with it, so that timing does not reveal it: a cookie of another length or of an unknown
    /// epoch is decrypted too, and the result is discarded.
    pub fn open(&self, cookie: &[u8]) -> Option<SessionKeys> {
        let algorithm = match cookie.len() {
            LENGTH_SIV => Some(Algorithm::AesSivCmac256),
            LENGTH_GCM_SIV => Some(Algorithm::Aes128GcmSiv),
            _ => None,
        };
        let mut octets = [0; MAX_LENGTH];
        let length = length(algorithm.unwrap_or(Algorithm::AesSivCmac256));
        let taken = cookie.len().min(length);
        octets.get_mut(..taken)?.copy_from_slice(cookie.get(..taken)?);
        let (epoch, rest) = octets.split_first_chunk::<EPOCH>()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE>()?;
        let mut text: [u8; MAX_TEXT] = *text.first_chunk()?;
        let (plain, tag) = text.get_mut(..length - EPOCH - NONCE)?.split_last_chunk_mut::<TAG>()?;

        let epoch = u32::from_be_bytes(*epoch);
        let mut place = &self.current;
        for other in self.others.iter().flatten() {
            place = if other.epoch == epoch { other } else { place };
        }
        let opened = place
            .cipher
            .decrypt_inout_detached(nonce.into(), &[], (&mut *plain).into(), (&*tag).into())
            .is_ok();
        let keys = algorithm
            .filter(|_| opened && place.epoch == epoch)
            .and_then(|algorithm| read_keys(plain, algorithm));
        plain.zeroize();
        keys
    }
}

const LENGTH_SIV: usize = length(Algorithm::AesSivCmac256);
const LENGTH_GCM_SIV: usize = length(Algorithm::Aes128GcmSiv);

fn read_keys(plain: &[u8], algorithm: Algorithm) -> Option<SessionKeys> {
    let (head, secrets) = plain.split_first_chunk::<HEAD>()?;
    let [high, low] = algorithm.id().to_be_bytes();
    if *head != [high, low, 0, 0] {
        return None;
    }
    let (to_server, to_client) = secrets.split_at_checked(algorithm.key_length())?;
    SessionKeys::from_octets(algorithm, to_server, to_client)
}

#[cfg(test)]
mod tests;
