//! The framing of the messages of a key exchange (RFC 8915 section 4), and the numbers in them.
//!
//! A message is a sequence of records, the last of which is End of Message. [`Boundary`] determines while octets
//! arrive whether the message is complete; [`records`] reads a complete one.

use core::fmt;

/// TCP port of the key exchange (RFC 8915 section 7.1).
pub const PORT: u16 = 4460;

/// The application protocol that both sides must select in TLS (RFC 8915 section 4).
pub const ALPN: &[u8] = b"ntske/1";

/// The longest response that is read: a client should accept as much (RFC 8915 section 4).
pub const MAX_RESPONSE: usize = 65_536;

/// The longest request that is read; a server must accept 1024 octets.
pub const MAX_REQUEST: usize = 4096;

/// NTPv4 in a list of protocols.
pub const NTPV4: u16 = 0;

/// Octets of a record before its body.
pub const HEAD: usize = 4;

/// End of Message.
pub const END: u16 = 0;
/// NTS Next Protocol Negotiation.
pub const NEXT_PROTOCOL: u16 = 1;
/// Error.
pub const ERROR: u16 = 2;
/// Warning.
pub const WARNING: u16 = 3;
/// AEAD Algorithm Negotiation.
pub const AEAD: u16 = 4;
/// New Cookie for NTPv4.
pub const COOKIE: u16 = 5;
/// NTPv4 Server Negotiation.
pub const SERVER: u16 = 6;
/// NTPv4 Port Negotiation.
pub const NTP_PORT: u16 = 7;
/// NTP Server Deny (draft-venhoek-nts-pool), by the number that the registry keeps for it.
pub const SERVER_DENY: u16 = 13;
/// "My exporter names AEAD 30 by its own number": see [`super::aead::Exporter`].
pub const COMPLIANT_EXPORTER: u16 = 1024;

/// The error code in a server's Error record (RFC 8915 section 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// 0: a critical record of an unknown type.
    UnrecognizedCriticalRecord,
    /// 1: an invalid request, or one that did not arrive in time.
    BadRequest,
    /// 2: an internal error; a later attempt may succeed.
    InternalServerError,
    /// Any other.
    Other(u16),
}

impl ErrorCode {
    /// From the wire.
    pub const fn from_number(number: u16) -> Self {
        match number {
            0 => ErrorCode::UnrecognizedCriticalRecord,
            1 => ErrorCode::BadRequest,
            2 => ErrorCode::InternalServerError,
            other => ErrorCode::Other(other),
        }
    }

    /// To the wire.
    pub const fn number(self) -> u16 {
        match self {
            ErrorCode::UnrecognizedCriticalRecord => 0,
            ErrorCode::BadRequest => 1,
            ErrorCode::InternalServerError => 2,
            ErrorCode::Other(other) => other,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorCode::UnrecognizedCriticalRecord => f.write_str("0 (unrecognized critical record)"),
            ErrorCode::BadRequest => f.write_str("1 (bad request)"),
            ErrorCode::InternalServerError => f.write_str("2 (internal server error)"),
            ErrorCode::Other(number) => write!(f, "{number}"),
        }
    }
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// A receiver that does not know its type must reject the message.
    pub critical: bool,
    /// Its type, 0 to 32,767.
    pub kind: u16,
    /// Its body.
    pub body: &'a [u8],
}

impl Record<'_> {
    /// The numbers of a list; `None` for a body of an odd length.
    pub(super) fn numbers(&self) -> Option<impl Iterator<Item = u16>> {
        let (pairs, rest) = self.body.as_chunks::<2>();
        rest.is_empty().then(|| pairs.iter().copied().map(u16::from_be_bytes))
    }

    /// The number, if the body consists of exactly one.
    pub(super) fn number(&self) -> Option<u16> {
        Some(u16::from_be_bytes(self.body.try_into().ok()?))
    }
}

/// Why octets are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// A record that extends beyond the last octet, or no End of Message.
    Unfinished,
    /// An End of Message that is not critical, or has a body.
    End,
    /// Octets after End of Message.
    AfterEnd,
    /// Longer than permitted.
    TooLong,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MessageError::Unfinished => "the message breaks off before its end",
            MessageError::End => "the End of Message record is malformed",
            MessageError::AfterEnd => "octets follow the end of the message",
            MessageError::TooLong => "the message is longer than permitted",
        })
    }
}

impl core::error::Error for MessageError {}

/// The record at the start of `octets`, and the octets after it; `None` if it is incomplete.
fn split_record(octets: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let ([kind_high, kind_low, length_high, length_low], rest) = octets.split_first_chunk::<HEAD>()?;
    let length = u16::from_be_bytes([*length_high, *length_low]);
    let (body, rest) = rest.split_at_checked(usize::from(length))?;
    let kind = u16::from_be_bytes([kind_high & 0x7f, *kind_low]);
    Some((Record { critical: kind_high & 0x80 != 0, kind, body }, rest))
}

/// The records of a message without its End of Message; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: Option<&'a [u8]>,
}

/// Reads a complete message. The caller limits its length ([`Boundary`]).
pub const fn records(message: &[u8]) -> Records<'_> {
    Records { rest: Some(message) }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Taken, so that the iteration also ends after an error.
        let octets = self.rest.take()?;
        let Some((record, rest)) = split_record(octets) else { return Some(Err(MessageError::Unfinished)) };
        if record.kind != END {
            self.rest = Some(rest);
            return Some(Ok(record));
        }
        if !record.critical || !record.body.is_empty() {
            return Some(Err(MessageError::End));
        }
        if !rest.is_empty() {
            return Some(Err(MessageError::AfterEnd));
        }
        None
    }
}

impl core::iter::FusedIterator for Records<'_> {}

/// Finds the end of a message while it arrives, reading each record once, however small the pieces are.
#[derive(Clone, Copy, Debug)]
pub struct Boundary {
    at: usize,
    limit: usize,
}

impl Boundary {
    /// For a request: at most [`MAX_REQUEST`] octets.
    pub const fn of_request() -> Self {
        Self { at: 0, limit: MAX_REQUEST }
    }

    /// For a response: at most [`MAX_RESPONSE`] octets.
    pub const fn of_response() -> Self {
        Self { at: 0, limit: MAX_RESPONSE }
    }

    /// Examines everything that has arrived so far: returns the message's length once it is complete, `None` before.
    ///
    /// # Errors
    /// [`MessageError`] as soon as no further octets can complete the message.
    pub fn find(&mut self, arrived: &[u8]) -> Result<Option<usize>, MessageError> {
        loop {
            let rest = arrived.get(self.at..).unwrap_or_default();
            let Some(head) = rest.first_chunk::<HEAD>() else {
                let least = self.at.saturating_add(HEAD);
                return if least > self.limit { Err(MessageError::TooLong) } else { Ok(None) };
            };
            let body = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let end = self.at.saturating_add(HEAD).saturating_add(body);
            let kind = u16::from_be_bytes([head[0] & 0x7f, head[1]]);
            if end > self.limit {
                return Err(MessageError::TooLong);
            }
            if kind == END {
                return match (head[0] & 0x80 != 0, body, arrived.len() == end) {
                    (true, 0, true) => Ok(Some(end)),
                    (true, 0, false) => Err(MessageError::AfterEnd),
                    _ => Err(MessageError::End),
                };
            }
            if end > arrived.len() {
                return Ok(None);
            }
            self.at = end;
        }
    }
}

/// The buffer for a message is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is too small for the message")
    }
}

impl core::error::Error for NoRoom {}

/// Writes records one after the other.
pub(super) struct Writer<'o> {
    octets: &'o mut [u8],
    at: usize,
}

impl<'o> Writer<'o> {
    pub(super) fn new(octets: &'o mut [u8]) -> Self {
        Self { octets, at: 0 }
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), NoRoom> {
        let rest = self.octets.get_mut(self.at..).ok_or(NoRoom)?;
        rest.get_mut(..octets.len()).ok_or(NoRoom)?.copy_from_slice(octets);
        self.at += octets.len();
        Ok(())
    }

    pub(super) fn record(&mut self, critical: bool, kind: u16, body: &[u8]) -> Result<(), NoRoom> {
        let length = u16::try_from(body.len()).map_err(|_| NoRoom)?;
        self.put(&(kind | u16::from(critical) << 15).to_be_bytes())?;
        self.put(&length.to_be_bytes())?;
        self.put(body)
    }

    /// Writes End of Message and returns the message's length.
    pub(super) fn end(mut self) -> Result<usize, NoRoom> {
        self.record(true, END, &[])?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests;
