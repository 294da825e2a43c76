//! The server's cookies: all state about a client, sealed with a key of the server, so
//! that the server keeps no state for each client (RFC 8915 section 6).
//!
//! ```text
//!   octets   4       12      2           2       2 k                                 16
//!          | epoch | nonce | algorithm | begun | client to server, server to client | tag |    k = 16, 32 or 64
//! ```
//!
//! AES-256-GCM-SIV under the key of the epoch. In a build with the feature `fips` it is AES-256-GCM under a key that is expanded from
//! that of the epoch and 12 random octets, which stand before the nonce and make each of these lengths 12 longer. A cookie has 68 octets with AEAD 30, 100 with 15 and 2, and 164 with 17, a
//! multiple of 4 and never changing, so that a reply is never longer than its request.
//!
//! `begun` is, for an algorithm that needs unique nonces, the epoch of the key exchange (its low 16 bits), and otherwise 0.
//! A server counts no replies, so this is what bounds how many are sealed with one key: after [`MAX_AGE`] epochs no cookie
//! for it is opened any more, and its client exchanges keys.

use super::aead::{Algorithm, SessionKeys, TAG};
use super::ratchet::{EpochKey, MAX_EPOCH_KEYS};
use crate::primitives::CookieCipher;
use core::fmt;
use zeroize::Zeroize;

/// Octets of the longest cookie.
pub const MAX_LENGTH: usize = length(Algorithm::AesSivCmac512);

/// For how many epochs (days) after that of the key exchange keys of an algorithm that needs unique nonces are used.
pub const MAX_AGE: u16 = 1;

/// Random octets of a cookie.
pub const NONCE: usize = 12;

const EPOCH: usize = 4;
const HEAD: usize = 4;
const MAX_TEXT: usize = MAX_LENGTH - EPOCH - CookieCipher::HEAD;

/// Octets of a cookie for keys of this algorithm.
pub const fn length(algorithm: Algorithm) -> usize {
    EPOCH + CookieCipher::HEAD + HEAD + 2 * algorithm.key_length() + TAG
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

/// Why nothing was sealed: an error of the caller, or of the cryptographic module.
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
    cipher: CookieCipher,
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
            let place = Place { epoch: key.epoch(), cipher: CookieCipher::new(key.octets()) };
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

    /// Seals another cookie for what an earlier one held. `nonce`: fresh random octets.
    ///
    /// # Errors
    /// [`NoRoom`]: `out` does not have exactly [`length`] octets, or the cryptographic module refused; `out` holds no key then.
    pub fn seal_into(&self, held: &Held, nonce: &[u8; NONCE], out: &mut [u8]) -> Result<(), NoRoom> {
        self.put(&held.keys, held.begun, nonce, out)
    }

    fn put(&self, keys: &SessionKeys, begun: u16, nonce: &[u8; NONCE], out: &mut [u8]) -> Result<(), NoRoom> {
        let algorithm = keys.algorithm();
        if out.len() != length(algorithm) {
            return Err(NoRoom);
        }
        let (epoch, rest) = out.split_first_chunk_mut::<EPOCH>().ok_or(NoRoom)?;
        let (seen, text) = rest.split_first_chunk_mut::<{ CookieCipher::HEAD }>().ok_or(NoRoom)?;
        let plain = text.len().checked_sub(TAG).ok_or(NoRoom)?;
        let plain = text.get_mut(..plain).ok_or(NoRoom)?;
        let (head, secrets) = plain.split_first_chunk_mut::<HEAD>().ok_or(NoRoom)?;
        *epoch = self.current.epoch.to_be_bytes();
        *head = head_of(algorithm, begun);
        let (to_server, to_client) = secrets.split_at_mut_checked(algorithm.key_length()).ok_or(NoRoom)?;
        to_server.copy_from_slice(keys.client_to_server.octets());
        to_client.copy_from_slice(keys.server_to_client.octets());
        if self.current.cipher.seal(nonce, seen, text).is_none() {
            // The keys are still in it.
            out.zeroize();
            return Err(NoRoom);
        }
        Ok(())
    }

    /// Seals a cookie for a key exchange. `nonce`: fresh random octets. None: the cryptographic module refused.
    pub fn seal(&self, keys: &SessionKeys, nonce: &[u8; NONCE]) -> Option<Cookie> {
        let mut cookie = Cookie { octets: [0; MAX_LENGTH], length: length(keys.algorithm()) };
        let begun = match keys.algorithm().needs_unique_nonces() {
            true => self.today(),
            false => 0,
        };
        self.put(keys, begun, nonce, &mut cookie.octets[..cookie.length]).ok()?;
        Some(cookie)
    }

    /// The low bits of the current epoch.
    const fn today(&self) -> u16 {
        (self.current.epoch & 0xffff) as u16
    }

    /// Whether keys that were exchanged in that epoch may still be used. One epoch ahead is another server's of the fleet.
    fn is_young(&self, algorithm: Algorithm, begun: u16) -> bool {
        if !algorithm.needs_unique_nonces() {
            return begun == 0;
        }
        self.today().wrapping_add(1).wrapping_sub(begun) <= MAX_AGE + 1
    }

    /// Opens a cookie; `None` if it was not sealed with one of these keys, or is too old. The work does not depend on what is
    /// wrong with it, so that timing does not reveal it: a cookie of another length or of an unknown
    /// epoch is decrypted too, and the result is discarded.
    pub fn open(&self, cookie: &[u8]) -> Option<Held> {
        // For one of a length that none has, the work of the mandatory algorithm.
        let length = match cookie.len() {
            length if LENGTHS.contains(&length) => length,
            _ => length(Algorithm::AesSivCmac256),
        };
        let mut octets = [0; MAX_LENGTH];
        let taken = cookie.len().min(length);
        octets.get_mut(..taken)?.copy_from_slice(cookie.get(..taken)?);
        let (epoch, rest) = octets.split_first_chunk::<EPOCH>()?;
        let (seen, text) = rest.split_first_chunk::<{ CookieCipher::HEAD }>()?;
        let mut text: [u8; MAX_TEXT] = *text.first_chunk()?;
        let text = text.get_mut(..length - EPOCH - CookieCipher::HEAD)?;

        let epoch = u32::from_be_bytes(*epoch);
        let mut place = &self.current;
        for other in self.others.iter().flatten() {
            place = if other.epoch == epoch { other } else { place };
        }
        let opened = place.cipher.open(seen, text);
        let is_own = place.epoch == epoch && cookie.len() == length;
        let held = opened.filter(|_| is_own).and_then(|plain| read_held(plain));
        text.zeroize();
        held.filter(|held| self.is_young(held.keys.algorithm(), held.begun))
    }
}

/// What a cookie held.
#[derive(Debug)]
pub struct Held {
    /// The keys of the association.
    pub keys: SessionKeys,
    /// When they were exchanged, as the cookie says.
    begun: u16,
}

/// Those of all algorithms.
const LENGTHS: [usize; Algorithm::ALL.len()] = {
    let mut lengths = [0; Algorithm::ALL.len()];
    let mut at = 0;
    while at < lengths.len() {
        lengths[at] = length(Algorithm::ALL[at]);
        at += 1;
    }
    lengths
};

const fn head_of(algorithm: Algorithm, begun: u16) -> [u8; HEAD] {
    let ([high, low], [begun_high, begun_low]) = (algorithm.id().to_be_bytes(), begun.to_be_bytes());
    [high, low, begun_high, begun_low]
}

/// `None` unless the algorithm's keys take all of the rest.
fn read_held(plain: &[u8]) -> Option<Held> {
    let ([high, low, begun_high, begun_low], secrets) = plain.split_first_chunk::<HEAD>()?;
    let algorithm = Algorithm::from_id(u16::from_be_bytes([*high, *low]))?;
    let (to_server, to_client) = secrets.split_at_checked(algorithm.key_length())?;
    let keys = SessionKeys::from_octets(algorithm, to_server, to_client)?;
    Some(Held { keys, begun: u16::from_be_bytes([*begun_high, *begun_low]) })
}

#[cfg(all(test, not(feature = "fips")))]
mod tests;
