//! A server's side of a protected request (RFC 8915 sections 5.7 and 6): opened, verified, answered with
//! new cookies. [`read_request`] first; then, as late as possible, [`ProtectedRequest::write_reply`]. No
//! allocation, and no state kept.

use super::aead::{MAX_NONCE, SealError};
use super::cookie::{self, CookieKeys, Held, NONCE};
use super::field::{
    EncryptedFields, FIELD_HEAD, FieldError, Sealed, authenticator_length, locate, plaintext_place,
    put_authenticator, put_field,
};
use super::{MAX_COOKIES, MAX_PACKET};
use crate::extension_field::{NTS_COOKIE, NTS_COOKIE_PLACEHOLDER, UNIQUE_IDENTIFIER};
use crate::header::{Header, HeaderError, LENGTH, MODE_CLIENT};
use crate::reply::kiss;
use core::fmt;

/// Random octets for the nonces of one reply.
pub const MAX_NONCES: usize = MAX_NONCE + MAX_COOKIES * NONCE;

/// What a client requests.
#[derive(Debug)]
pub enum Request<'p> {
    /// Plain time: neither cookie nor authenticator.
    Plain,
    /// Protected time, and the client has the key.
    Protected(ProtectedRequest<'p>),
    /// Protected time, with a cookie that cannot be opened or a tag that is wrong.
    Refused(RefusedRequest<'p>),
}

/// Why a request with NTS fields is silently dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// It has no valid header.
    Header(HeaderError),
    /// NTS fields in a packet that is not a client request of version 4.
    Mode,
    /// Its fields are malformed.
    Fields(FieldError),
    /// No unique identifier, no cookie, or no authenticator.
    Missing,
    /// Too little space for nonce and padding (RFC 8915 section 5.6), or a nonce that the algorithm does not
    /// accept.
    Nonce,
    /// Longer than any honest client's request.
    TooLong,
    /// Malformed encrypted fields, or placeholders among them that differ in length from the cookie.
    EncryptedFields,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Header(error) => write!(f, "{error}"),
            RequestError::Mode => f.write_str("NTS fields, but no client request of version 4"),
            RequestError::Fields(error) => write!(f, "{error}"),
            RequestError::Missing => f.write_str("some of the NTS fields are missing"),
            RequestError::Nonce => f.write_str("a nonce of the wrong length, or with too little padding"),
            RequestError::TooLong => write!(f, "longer than {MAX_PACKET} octets"),
            RequestError::EncryptedFields => f.write_str("encrypted fields that make no sense"),
        }
    }
}

impl core::error::Error for RequestError {}

/// A request whose sender has the key that is in its cookie.
#[derive(Debug)]
pub struct ProtectedRequest<'p> {
    header: Header,
    unique_identifier: &'p [u8],
    held: Held,
    cookies: usize,
}

/// A request that is to be answered with an NTS NAK.
#[derive(Debug)]
pub struct RefusedRequest<'p> {
    header: Header,
    unique_identifier: &'p [u8],
}

/// Reads a complete packet; decrypts in place.
///
/// The work is the same for every cookie that cannot be opened. It is less than for one that can be opened, even if the
/// tag is wrong then: the timing reveals whether a cookie is valid, which its owner knows anyway, and others
/// cannot make a valid one.
///
/// # Errors
/// [`RequestError`]: no answer is sent.
pub fn read_request<'p>(packet: &'p mut [u8], keys: &CookieKeys) -> Result<Request<'p>, RequestError> {
    let header = Header::decode(packet).map_err(RequestError::Header)?;
    if packet.len() == LENGTH || header.version != 4 {
        return Ok(Request::Plain);
    }
    let fields = locate(packet).map_err(RequestError::Fields)?;
    if fields.cookie.is_none() && fields.authenticator.is_none() {
        return Ok(Request::Plain);
    }
    if header.mode != MODE_CLIENT {
        return Err(RequestError::Mode);
    }
    let (Some(identifier), Some(cookie), Some(authenticator)) =
        (fields.unique_identifier, fields.cookie, fields.authenticator)
    else {
        return Err(RequestError::Missing);
    };
    let length = packet.len();
    let Sealed { associated, nonce, text } = authenticator.split(packet).ok_or(RequestError::Missing)?;
    let unique_identifier = associated.get(identifier).ok_or(RequestError::Missing)?;
    let cookie = associated.get(cookie).ok_or(RequestError::Missing)?;
    let refused = RefusedRequest { header, unique_identifier };
    let Some(held) = keys.open(cookie) else { return Ok(Request::Refused(refused)) };
    // Checked only now: cookies of another server may be longer, and their owner needs the NAK.
    if length > MAX_PACKET {
        return Err(RequestError::TooLong);
    }
    let algorithm = held.keys.algorithm();
    if authenticator.nonce_room < algorithm.nonce_length() || !algorithm.takes_nonce(nonce.len()) {
        return Err(RequestError::Nonce);
    }
    let Ok(plain) = held.keys.client_to_server.open(nonce, associated, text) else {
        return Ok(Request::Refused(refused));
    };
    let mut placeholders = fields.placeholders;
    for field in EncryptedFields::new(plain) {
        let (kind, value) = field.map_err(|_| RequestError::EncryptedFields)?;
        if kind == NTS_COOKIE_PLACEHOLDER {
            if value.len() != cookie.len() {
                return Err(RequestError::EncryptedFields);
            }
            placeholders += 1;
        }
    }
    // Each cookie of the reply has the length of one that was opened or of its placeholder, and the nonce
    // has at least the length of ours, so the reply cannot be longer than the request.
    let cookies = (placeholders + 1).min(MAX_COOKIES);
    Ok(Request::Protected(ProtectedRequest { header, unique_identifier, held, cookies }))
}

impl ProtectedRequest<'_> {
    /// The request's header, from which the header of the reply is made.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The number of cookies in the reply, 1 to 8: one, and one for each placeholder.
    pub const fn cookies(&self) -> usize {
        self.cookies
    }

    /// Octets of the reply: never more than the request.
    pub const fn reply_length(&self) -> usize {
        self.authenticator_at() + authenticator_length(self.held.keys.algorithm(), self.plain())
    }

    /// The same for all requests of one key exchange, and different for any other: a key, to be used only in a keyed
    /// hash.
    pub const fn association(&self) -> &[u8] {
        self.held.keys.client_to_server.octets()
    }

    /// The number of fresh random octets that the reply needs, at most [`MAX_NONCES`].
    pub const fn nonces(&self) -> usize {
        MAX_NONCE + self.cookies * NONCE
    }

    const fn authenticator_at(&self) -> usize {
        LENGTH + FIELD_HEAD + self.unique_identifier.len()
    }

    const fn plain(&self) -> usize {
        self.cookies * (FIELD_HEAD + cookie::length(self.held.keys.algorithm()))
    }

    /// Writes the reply and returns its length. Cookies are sealed first; then `header` is called,
    /// so that it reads the clock late; then the reply is sealed, which takes well below a microsecond.
    ///
    /// # Errors
    /// [`SealError`]: `nonces` or `out` is too short.
    pub fn write_reply(
        &self,
        keys: &CookieKeys,
        nonces: &[u8],
        header: impl FnOnce() -> Header,
        out: &mut [u8],
    ) -> Result<usize, SealError> {
        let (own, nonces) = nonces.split_first_chunk::<MAX_NONCE>().ok_or(SealError::NonceLength)?;
        let nonces = nonces.as_chunks::<NONCE>().0.get(..self.cookies).ok_or(SealError::NonceLength)?;
        let algorithm = self.held.keys.algorithm();
        let (at, plain) = (self.authenticator_at(), self.plain());
        let place = plaintext_place(algorithm, plain);
        let area = out.get_mut(at + place.start..at + place.end).ok_or(SealError::NoRoom)?;
        let length = cookie::length(algorithm);
        for (area, nonce) in area.chunks_exact_mut(FIELD_HEAD + length).zip(nonces) {
            let value = put_field(area, 0, NTS_COOKIE, length).ok_or(SealError::NoRoom)?;
            keys.seal_into(&self.held, nonce, value).map_err(|_| SealError::NoRoom)?;
        }
        put_head(out, &header(), self.unique_identifier).ok_or(SealError::NoRoom)?;
        put_authenticator(out, at, &self.held.keys.server_to_client, own, plain)
    }
}

impl RefusedRequest<'_> {
    /// The request's header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Octets of the NTS NAK.
    pub const fn reply_length(&self) -> usize {
        LENGTH + FIELD_HEAD + self.unique_identifier.len()
    }

    /// Writes the NTS NAK and returns its length, less than that of the request.
    ///
    /// # Errors
    /// [`SealError::NoRoom`]: `out` is too short.
    pub fn write_nak(&self, out: &mut [u8]) -> Result<usize, SealError> {
        let header = kiss(&self.header, *b"NTSN").ok_or(SealError::NoRoom)?;
        put_head(out, &header, self.unique_identifier).ok_or(SealError::NoRoom)
    }
}

/// Writes the header and the unique identifier, and returns their length.
fn put_head(out: &mut [u8], header: &Header, unique_identifier: &[u8]) -> Option<usize> {
    *out.first_chunk_mut()? = header.encode();
    put_field(out, LENGTH, UNIQUE_IDENTIFIER, unique_identifier.len())?.copy_from_slice(unique_identifier);
    Some(LENGTH + FIELD_HEAD + unique_identifier.len())
}

#[cfg(all(test, not(feature = "fips")))]
mod tests;
