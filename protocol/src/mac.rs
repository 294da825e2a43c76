//! Message authentication by symmetric keys: key id and digest behind header and extension fields (RFC 5905 section 7.3,
//! RFC 7822 section 3, RFC 8573).
//!
//! ```text
//!   0        48                        covered by the digest
//!   | header | extension fields | key id (4) | digest (16 to 64) |
//! ```
//!
//! AES-CMAC (RFC 4493) has a digest of 16 octets. The others hash the key and then the packet; in version 4 their digest is cut to
//! its first 20 octets, because anything longer could be taken for an extension field. Such a hash without its cut can be continued by
//! whoever has seen one, so that nothing of extension fields is honoured here under any key: what is authentic is the header.

use crate::extension_field::{Item, WalkError, walk};
use crate::header::{Header, HeaderError, LENGTH, MODE_SERVER};
use crate::primitives::{Cmac128, Cmac256};
use core::fmt;
use ipc::symmetric_key::{MacKind, SymmetricKey};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// Octets of a key id.
const KEY_ID: usize = 4;

/// Octets of the longest digest that version 4 has room for (RFC 7822 section 3.1).
const MAX_V4_DIGEST: usize = 20;

/// Octets of the longest MAC of any version: SHA-512.
pub const MAX_MAC: usize = KEY_ID + 64;

/// Octets of the longest MAC of version 4.
pub const MAX_V4_MAC: usize = KEY_ID + MAX_V4_DIGEST;

/// Whether this build has a kind: with the feature `fips` only what FIPS 140 approves. A hash of key and packet is no MAC of it.
pub const fn is_available(kind: MacKind) -> bool {
    !cfg!(feature = "fips") || kind.is_approved()
}

/// A key that is ready to be used. It wipes itself when it is dropped, and is never printed.
#[derive(Clone)]
pub struct MacKey {
    number: u32,
    kind: MacKind,
    state: State,
}

/// What the key alone leads to: so a packet costs no more than its own octets. Each of them wipes itself.
#[derive(Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "kept in place: a box more would cost a cache line for each packet"
)]
enum State {
    Aes128(Cmac128),
    Aes256(Cmac256),
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

/// Why a packet is not authentic under a key. Nothing of it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacError {
    /// No header.
    Header(HeaderError),
    /// What follows the header is malformed.
    Walk(WalkError),
    /// There is no MAC.
    Missing,
    /// A crypto-NAK: the server says that it could not verify the request, which nobody has authenticated.
    CryptoNak,
    /// The MAC is of another key.
    OtherKey,
    /// The MAC has another length than this key gives in this version.
    Length,
    /// The digest is wrong.
    Forged,
    /// A reply in another mode than server.
    Mode,
    /// A reply to another request.
    Origin,
}

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MacError::Header(error) => write!(f, "{error}"),
            MacError::Walk(error) => write!(f, "{error}"),
            MacError::Missing => f.write_str("no message authentication code"),
            MacError::CryptoNak => f.write_str("a crypto-NAK"),
            MacError::OtherKey => f.write_str("a message authentication code of another key"),
            MacError::Length => f.write_str("a message authentication code of another length"),
            MacError::Forged => f.write_str("a wrong message authentication code"),
            MacError::Mode => f.write_str("a mode other than server"),
            MacError::Origin => f.write_str("the origin timestamp of another request"),
        }
    }
}

impl core::error::Error for MacError {}

impl MacKey {
    /// Prepares a key; none for one that no kind takes, which [`SymmetricKey`] excludes, and for a kind that this build does not
    /// have ([`is_available`]).
    pub fn new(key: &SymmetricKey) -> Option<Self> {
        if !is_available(key.kind()) {
            return None;
        }
        fn hash<H: Digest>(octets: &[u8]) -> H {
            H::new_with_prefix(octets)
        }
        let octets = key.octets();
        let state = match key.kind() {
            MacKind::Aes128 => State::Aes128(Cmac128::new(octets)?),
            MacKind::Aes256 => State::Aes256(Cmac256::new(octets)?),
            MacKind::Md5 => State::Md5(hash(octets)),
            MacKind::Sha1 => State::Sha1(hash(octets)),
            MacKind::Sha256 => State::Sha256(hash(octets)),
            MacKind::Sha384 => State::Sha384(hash(octets)),
            MacKind::Sha512 => State::Sha512(hash(octets)),
        };
        Some(Self { number: key.number(), kind: key.kind(), state })
    }

    /// The key id.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// What is done with it.
    pub const fn kind(&self) -> MacKind {
        self.kind
    }

    /// Octets of its MAC, key id included, in packets of this version: 20 to 24 in version 4.
    pub const fn mac_length(&self, version: u8) -> usize {
        let digest = match self.kind {
            MacKind::Aes128 | MacKind::Aes256 | MacKind::Md5 => 16,
            MacKind::Sha1 => 20,
            MacKind::Sha256 => 32,
            MacKind::Sha384 => 48,
            MacKind::Sha512 => 64,
        };
        KEY_ID + if version >= 4 && digest > MAX_V4_DIGEST { MAX_V4_DIGEST } else { digest }
    }

    /// The whole digest of these octets, followed by zeros.
    fn digest(&self, covered: &[u8]) -> Zeroizing<[u8; MAX_MAC - KEY_ID]> {
        fn hash<H: Digest + Clone>(state: &H, covered: &[u8], out: &mut [u8]) {
            put(&state.clone().chain_update(covered).finalize(), out);
        }
        fn put(digest: &[u8], out: &mut [u8]) {
            out.iter_mut().zip(digest).for_each(|(place, octet)| *place = *octet);
        }
        let mut out = Zeroizing::new([0; MAX_MAC - KEY_ID]);
        match &self.state {
            State::Aes128(state) => put(&state.digest(covered), &mut out[..]),
            State::Aes256(state) => put(&state.digest(covered), &mut out[..]),
            State::Md5(state) => hash(state, covered, &mut out[..]),
            State::Sha1(state) => hash(state, covered, &mut out[..]),
            State::Sha256(state) => hash(state, covered, &mut out[..]),
            State::Sha384(state) => hash(state, covered, &mut out[..]),
            State::Sha512(state) => hash(state, covered, &mut out[..]),
        }
        out
    }

    /// Writes the MAC behind the first `length` octets, over them, in a packet of this version. Returns the length of the whole; none
    /// if there is no room for it.
    pub fn put(&self, packet: &mut [u8], length: usize, version: u8) -> Option<usize> {
        let mac = self.mac_length(version);
        let (covered, rest) = packet.split_at_mut_checked(length)?;
        let (id, digest) = rest.get_mut(..mac)?.split_first_chunk_mut::<KEY_ID>()?;
        *id = self.number.to_be_bytes();
        let whole = self.digest(covered);
        digest.iter_mut().zip(whole.iter()).for_each(|(place, octet)| *place = *octet);
        Some(length + mac)
    }

    /// Whether the `mac` that ends a packet of this version is this key's, over all octets before it.
    ///
    /// # Errors
    /// [`MacError::OtherKey`], [`MacError::Length`] or [`MacError::Forged`].
    pub fn verify(&self, packet: &[u8], mac: &[u8], version: u8) -> Result<(), MacError> {
        if key_id(mac) != Some(self.number) {
            return Err(MacError::OtherKey);
        }
        if mac.len() != self.mac_length(version) {
            return Err(MacError::Length);
        }
        let covered = packet.len().checked_sub(mac.len()).and_then(|length| packet.get(..length));
        let digest = self.digest(covered.ok_or(MacError::Length)?);
        let came = mac.get(KEY_ID..).unwrap_or_default();
        // Every octet is looked at, whatever the ones before it are.
        let different =
            came.iter().zip(digest.iter()).fold(0, |different, (one, two)| different | (one ^ two));
        if core::hint::black_box(different) == 0 { Ok(()) } else { Err(MacError::Forged) }
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacKey({} {})", self.number, self.kind.name())
    }
}

/// The key id of a MAC.
pub fn key_id(mac: &[u8]) -> Option<u32> {
    mac.first_chunk().map(|id| u32::from_be_bytes(*id))
}

/// The octets of a packet's MAC, where it has one.
///
/// # Errors
/// [`MacError::Walk`], [`MacError::Missing`] or [`MacError::CryptoNak`].
pub fn find(packet: &[u8], version: u8) -> Result<&[u8], MacError> {
    for item in walk(packet.get(LENGTH..).unwrap_or_default(), version) {
        match item.map_err(MacError::Walk)? {
            Item::Mac(mac) => return Ok(mac),
            Item::CryptoNak => return Err(MacError::CryptoNak),
            Item::Field { .. } => {}
        }
    }
    Err(MacError::Missing)
}

/// The header of the reply to the request with this transmit timestamp, if it is authentic under `key` and no other. Nothing is said of
/// its contents: it may be a kiss.
///
/// # Errors
/// [`MacError`], of which [`MacError::Origin`] and [`MacError::Mode`] are said of authentic packets too.
pub fn read_reply(packet: &[u8], key: &MacKey, origin: u64) -> Result<Header, MacError> {
    let header = Header::decode(packet).map_err(MacError::Header)?;
    key.verify(packet, find(packet, header.version)?, header.version)?;
    if header.mode != MODE_SERVER {
        return Err(MacError::Mode);
    }
    if header.origin_timestamp == 0 || header.origin_timestamp != origin {
        return Err(MacError::Origin);
    }
    Ok(header)
}

/// The same packet under another key of the same kind: for a recording that contains no secret key. Returns whether `old` had
/// authenticated it; if not, it is unchanged.
pub fn authenticate_again(packet: &mut [u8], old: &MacKey, new: &MacKey) -> bool {
    let Ok(header) = Header::decode(packet) else { return false };
    let Ok(length) = find(packet, header.version).map(<[u8]>::len) else { return false };
    let covered = packet.len().saturating_sub(length);
    let is_own = packet.get(covered..).is_some_and(|mac| old.verify(packet, mac, header.version).is_ok());
    is_own && old.kind == new.kind && new.put(packet, covered, header.version).is_some()
}

#[cfg(all(test, not(feature = "fips")))]
mod tests;
