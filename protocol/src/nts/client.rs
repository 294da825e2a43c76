//! A client's protected request, and what its reply proves (RFC 8915 sections 5.7 and 5.8).

use super::aead::{Key, SealError};
use super::field::{
    EncryptedFields, FIELD_HEAD, FieldError, Sealed, UNIQUE_IDENTIFIER_LENGTH, authenticator_length, locate,
    put_authenticator, put_field,
};
use super::{MAX_COOKIES, MAX_PACKET};
use crate::extension_field::{MIN_FIELD, NTS_COOKIE, NTS_COOKIE_PLACEHOLDER, UNIQUE_IDENTIFIER};
use crate::header::{Header, HeaderError, LENGTH, MODE_SERVER};
use crate::kiss::KissCode;
use core::fmt;

/// The number of placeholders to send, so that a client that still has `kept` cookies besides the one that it
/// sends has eight after the reply. A packet may have room for fewer.
pub const fn placeholders_wanted(kept: usize) -> usize {
    (MAX_COOKIES - 1).saturating_sub(kept)
}

/// The parts of a protected request.
#[derive(Clone, Copy, Debug)]
pub struct ProtectedRequest<'a> {
    /// The header; [`crate::request::minimal`] reveals nothing about this host.
    pub header: Header,
    /// Fresh random octets.
    pub unique_identifier: &'a [u8; UNIQUE_IDENTIFIER_LENGTH],
    /// A cookie that was never sent before.
    pub cookie: &'a [u8],
    /// How many more cookies to request, see [`placeholders_wanted`]; limited by what fits into a packet.
    pub placeholders: usize,
    /// The key from client to server.
    pub key: &'a Key,
    /// Fresh random octets, which are the nonce, or from which it is made.
    pub nonce: &'a [u8; super::aead::MAX_NONCE],
}

/// Why no request can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The cookie is empty, or so long that not even a request without placeholders fits into a packet.
    CookieLength,
    /// Sealing failed.
    Seal(SealError),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::CookieLength => {
                f.write_str("the server's cookies do not fit into a packet: use another server")
            }
            BuildError::Seal(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for BuildError {}

impl ProtectedRequest<'_> {
    /// Writes the packet, at most [`MAX_PACKET`] octets, and returns its length.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn encode(&self, out: &mut [u8; MAX_PACKET]) -> Result<usize, BuildError> {
        if self.cookie.is_empty() {
            return Err(BuildError::CookieLength);
        }
        let cookie_at = LENGTH + FIELD_HEAD + UNIQUE_IDENTIFIER_LENGTH;
        let cookie_length = self.cookie.len().next_multiple_of(4).max(MIN_FIELD - FIELD_HEAD);
        let room = MAX_PACKET - cookie_at - authenticator_length(self.key.algorithm(), 0);
        let cookies = (self.placeholders.min(MAX_COOKIES - 1) + 1).min(room / (FIELD_HEAD + cookie_length));
        if cookies == 0 {
            return Err(BuildError::CookieLength);
        }
        let no_room = BuildError::Seal(SealError::NoRoom);
        *out.first_chunk_mut().ok_or(no_room)? = self.header.encode();
        put_field(out, LENGTH, UNIQUE_IDENTIFIER, UNIQUE_IDENTIFIER_LENGTH)
            .ok_or(no_room)?
            .copy_from_slice(self.unique_identifier);
        let mut at = cookie_at;
        for index in 0..cookies {
            let kind = if index == 0 { NTS_COOKIE } else { NTS_COOKIE_PLACEHOLDER };
            let value = put_field(out, at, kind, cookie_length).ok_or(no_room)?;
            value.fill(0);
            if index == 0 {
                value.get_mut(..self.cookie.len()).ok_or(no_room)?.copy_from_slice(self.cookie);
            }
            at += FIELD_HEAD + cookie_length;
        }
        put_authenticator(out, at, self.key, self.nonce, 0).map_err(BuildError::Seal)
    }
}

/// What a client remembers of a request while it waits for the reply.
#[derive(Clone, Copy, Debug)]
pub struct Awaited<'a> {
    /// The request's unique identifier.
    pub unique_identifier: &'a [u8; UNIQUE_IDENTIFIER_LENGTH],
    /// The request's transmit timestamp.
    pub origin: u64,
    /// The key from server to client.
    pub key: &'a Key,
}

/// The reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'p> {
    /// The server has the key, and answers this request. It may still be a kiss-o'-death.
    Protected(ProtectedReply<'p>),
    /// A NAK: a host that saw the request claims that the server cannot open the cookie. Nothing about it is
    /// authenticated: wait for a protected reply until the next poll, and only then exchange keys again.
    Nak,
}

/// A reply whose tag was verified before any part of it was used, and which answers the request. Each
/// may be used only once; the caller must ensure this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedReply<'p> {
    /// The header, of mode 4 and version 4.
    pub header: Header,
    cookies: [&'p [u8]; MAX_COOKIES],
    count: usize,
}

impl<'p> ProtectedReply<'p> {
    /// The new cookies, 0 to 8, none of them empty; any beyond 8 were ignored.
    pub fn cookies(&self) -> impl Iterator<Item = &'p [u8]> + '_ {
        self.cookies.iter().take(self.count).copied()
    }
}

/// Why a packet is not the reply: it is silently dropped, and the client keeps waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// It has no valid header.
    Header(HeaderError),
    /// Not version 4 or not mode 4.
    Mode,
    /// Its fields are malformed.
    Fields(FieldError),
    /// Neither an authenticator nor an NTS NAK: an NTS source never accepts plain time.
    Unprotected,
    /// Something follows the authenticator.
    Followed,
    /// The authentication tag is wrong.
    Forged,
    /// Malformed encrypted fields, or an empty cookie.
    EncryptedFields,
    /// Another unique identifier, or none.
    UniqueIdentifier,
    /// Another origin timestamp.
    Origin,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyError::Header(error) => write!(f, "{error}"),
            ReplyError::Mode => f.write_str("not a server's reply of version 4"),
            ReplyError::Fields(error) => write!(f, "{error}"),
            ReplyError::Unprotected => f.write_str("a reply without authentication"),
            ReplyError::Followed => f.write_str("something follows the authenticator"),
            ReplyError::Forged => f.write_str("the authentication tag is wrong"),
            ReplyError::EncryptedFields => f.write_str("encrypted fields that make no sense"),
            ReplyError::UniqueIdentifier => f.write_str("another request's unique identifier"),
            ReplyError::Origin => f.write_str("another request's origin timestamp"),
        }
    }
}

impl core::error::Error for ReplyError {}

/// Reads a packet that may be the reply to `awaited`. If there is an authenticator, its tag is verified
/// over the octets as received before any field is used. Decrypts in place.
///
/// # Errors
/// [`ReplyError`]: the packet must be dropped.
pub fn read_reply<'p>(packet: &'p mut [u8], awaited: &Awaited<'_>) -> Result<Reply<'p>, ReplyError> {
    let header = Header::decode(packet).map_err(ReplyError::Header)?;
    if header.version != 4 || header.mode != MODE_SERVER {
        return Err(ReplyError::Mode);
    }
    let fields = locate(packet).map_err(ReplyError::Fields)?;
    if fields.is_followed {
        return Err(ReplyError::Followed);
    }
    let identifier = fields.unique_identifier.ok_or(ReplyError::UniqueIdentifier)?;
    let answers = |octets: &[u8]| {
        if octets.get(identifier) != Some(awaited.unique_identifier) {
            return Err(ReplyError::UniqueIdentifier);
        }
        if header.origin_timestamp == awaited.origin { Ok(()) } else { Err(ReplyError::Origin) }
    };
    let Some(authenticator) = fields.authenticator else {
        let kiss = KissCode::from_reference_id(header.reference_id);
        if header.stratum != 0 || kiss != KissCode::NtsNak {
            return Err(ReplyError::Unprotected);
        }
        answers(packet)?;
        return Ok(Reply::Nak);
    };
    let Sealed { associated, nonce, text } = authenticator.split(packet).ok_or(ReplyError::Forged)?;
    let plain: &'p [u8] = awaited.key.open(nonce, associated, text).map_err(|_| ReplyError::Forged)?;
    answers(associated)?;
    let mut reply = ProtectedReply { header, cookies: [&[]; MAX_COOKIES], count: 0 };
    for field in EncryptedFields::new(plain) {
        match field.map_err(|_| ReplyError::EncryptedFields)? {
            (NTS_COOKIE, []) => return Err(ReplyError::EncryptedFields),
            (NTS_COOKIE, cookie) => {
                if let Some(place) = reply.cookies.get_mut(reply.count) {
                    *place = cookie;
                    reply.count += 1;
                }
            }
            _ => {}
        }
    }
    Ok(Reply::Protected(reply))
}

#[cfg(all(test, not(feature = "fips")))]
mod tests;
