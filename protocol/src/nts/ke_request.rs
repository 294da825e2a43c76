//! A client's request in a key exchange, and how a server answers it (RFC 8915 section 4).

use super::aead::{Algorithm, Exporter, Offer};
use super::record::{
    AEAD, COMPLIANT_EXPORTER, COOKIE, ERROR, ErrorCode, HEAD, MessageError, NEXT_PROTOCOL, NTP_PORT, NTPV4,
    NoRoom, Record, SERVER, SERVER_DENY, WARNING, Writer, records,
};
use core::fmt;
use ipc::aead::MAX_OFFERED;

/// Octets of the longest request that is written here: each server has to take as many (RFC 8915 section 4).
pub const MAX_ENCODED: usize = 1024;

/// Octets of all but the records that deny servers, at most.
const LONGEST_REST: usize = 32;

/// Writes a client's request, at most [`MAX_ENCODED`] octets, and returns its length. With AEAD 30 it also states that
/// this side's exporter follows the standard (record 1024).
///
/// # Errors
/// [`NoRoom`].
pub fn encode_request(offer: Offer, out: &mut [u8]) -> Result<usize, NoRoom> {
    encode_request_denying(offer, core::iter::empty(), out)
}

/// The same to a server that shares its clients out among time servers (draft-venhoek-nts-pool): it is asked not to name these, as
/// far as there is room. Servers that know nothing of it ignore that.
///
/// # Errors
/// [`NoRoom`].
pub fn encode_request_denying<'n>(
    offer: Offer,
    denied: impl Iterator<Item = &'n str>,
    out: &mut [u8],
) -> Result<usize, NoRoom> {
    let mut room = out.len().min(MAX_ENCODED).saturating_sub(LONGEST_REST);
    let mut writer = Writer::new(out);
    writer.record(true, NEXT_PROTOCOL, &NTPV4.to_be_bytes())?;
    let mut list = [0; 2 * MAX_OFFERED];
    let mut length = 0;
    for (place, algorithm) in list.as_chunks_mut::<2>().0.iter_mut().zip(offer.algorithms()) {
        *place = algorithm.id().to_be_bytes();
        length += place.len();
    }
    writer.record(true, AEAD, list.get(..length).ok_or(NoRoom)?)?;
    if offer.contains(Algorithm::Aes128GcmSiv) {
        writer.record(false, COMPLIANT_EXPORTER, &[])?;
    }
    for name in denied {
        let Some(left) = room.checked_sub(HEAD + name.len()) else { break };
        room = left;
        writer.record(false, SERVER_DENY, name.as_bytes())?;
    }
    writer.end()
}

/// A client's request. Having one proves that it follows every rule of RFC 8915 section 4 for requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    speaks_ntpv4: bool,
    /// The supported algorithms, in the client's order.
    offered: [Option<Algorithm>; MAX_OFFERED],
    knows_compliant_exporter: bool,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// The client does not want NTPv4.
    NoProtocol,
    /// The client offers no supported algorithm.
    NoAlgorithm,
    /// Keys are to be exported, and cookies made.
    Agreed {
        /// The algorithm.
        algorithm: Algorithm,
        /// The exporter's context.
        exporter: Exporter,
        /// Whether the response contains record 1024.
        says_compliant_exporter: bool,
    },
}

/// Why a request is invalid. [`RequestError::code`] is sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The framing is malformed.
    Message(MessageError),
    /// A critical record of an unknown type.
    UnknownCritical(u16),
    /// Two records of a type that may occur only once.
    Duplicate(u16),
    /// A record that only servers send: Error, Warning, New Cookie.
    ServerRecord(u16),
    /// No Next Protocol record.
    NoProtocolRecord,
    /// A Next Protocol record that is not critical.
    ProtocolNotCritical,
    /// NTPv4 without an AEAD record.
    NoAlgorithmRecord,
    /// A list that is empty or of an odd length.
    List(u16),
    /// A body of this type of record that has an impossible length or impossible octets.
    Body(u16),
}

impl RequestError {
    /// The content of the Error record in the response.
    pub const fn code(self) -> ErrorCode {
        match self {
            RequestError::UnknownCritical(_) => ErrorCode::UnrecognizedCriticalRecord,
            _ => ErrorCode::BadRequest,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client's key exchange request is not in order (nothing to do here; ")?;
        match self {
            RequestError::Message(error) => write!(f, "{error})"),
            RequestError::UnknownCritical(kind) => write!(f, "unknown critical record {kind})"),
            RequestError::Duplicate(kind) => write!(f, "two records of type {kind})"),
            RequestError::ServerRecord(kind) => write!(f, "record {kind}, which only servers send)"),
            RequestError::NoProtocolRecord => f.write_str("no Next Protocol record)"),
            RequestError::ProtocolNotCritical => f.write_str("Next Protocol record is not critical)"),
            RequestError::NoAlgorithmRecord => f.write_str("NTPv4 without an AEAD record)"),
            RequestError::List(kind) => write!(f, "record {kind} with an empty or broken list)"),
            RequestError::Body(kind) => write!(f, "record {kind} with an impossible body)"),
        }
    }
}

impl core::error::Error for RequestError {}

impl From<MessageError> for RequestError {
    fn from(error: MessageError) -> Self {
        RequestError::Message(error)
    }
}

impl Request {
    /// Reads a complete message.
    ///
    /// # Errors
    /// [`RequestError`], the first that is found.
    pub fn decode(message: &[u8]) -> Result<Self, RequestError> {
        let mut protocol = None;
        let mut algorithms = None;
        let (mut has_server, mut has_port, mut knows_compliant_exporter) = (false, false, false);
        for record in records(message) {
            let record = record?;
            let kind = record.kind;
            match kind {
                NEXT_PROTOCOL if protocol.is_some() => return Err(RequestError::Duplicate(kind)),
                NEXT_PROTOCOL if !record.critical => return Err(RequestError::ProtocolNotCritical),
                NEXT_PROTOCOL => protocol = Some(list(&record)?.any(|id| id == NTPV4)),
                AEAD if algorithms.is_some() => return Err(RequestError::Duplicate(kind)),
                AEAD => algorithms = Some(preference(list(&record)?)),
                ERROR | WARNING | COOKIE => return Err(RequestError::ServerRecord(kind)),
                // The client's preference. The server may ignore it, so only the form is checked.
                SERVER => once(&mut has_server, &record, !record.body.is_empty() && record.body.is_ascii())?,
                NTP_PORT => once(&mut has_port, &record, record.number().is_some())?,
                COMPLIANT_EXPORTER => {
                    once(&mut knows_compliant_exporter, &record, record.body.is_empty())?;
                }
                unknown if record.critical => return Err(RequestError::UnknownCritical(unknown)),
                _ => {}
            }
        }
        let speaks_ntpv4 = protocol.ok_or(RequestError::NoProtocolRecord)?;
        if speaks_ntpv4 && algorithms.is_none() {
            return Err(RequestError::NoAlgorithmRecord);
        }
        Ok(Self { speaks_ntpv4, offered: algorithms.unwrap_or_default(), knows_compliant_exporter })
    }

    /// The algorithm for the client: the first of its list that this server agrees to. A client that offers AEAD 30
    /// without record 1024 may mean either of two keys, so it gets the next of its list if there is one.
    pub fn agree(&self, agreed: Offer) -> Agreement {
        if !self.speaks_ntpv4 {
            return Agreement::NoProtocol;
        }
        let is_doubtful =
            |algorithm: Algorithm| algorithm == Algorithm::Aes128GcmSiv && !self.knows_compliant_exporter;
        let common =
            || self.offered.iter().copied().flatten().filter(|algorithm| agreed.contains(*algorithm));
        let first = common().next();
        let second = common().nth(1).filter(|_| first.is_some_and(is_doubtful));
        let Some(algorithm) = second.or(first) else { return Agreement::NoAlgorithm };
        let is_gcm_siv = algorithm == Algorithm::Aes128GcmSiv;
        let exporter =
            if is_gcm_siv && !self.knows_compliant_exporter { Exporter::Legacy } else { Exporter::Standard };
        let says_compliant_exporter = is_gcm_siv && self.knows_compliant_exporter;
        Agreement::Agreed { algorithm, exporter, says_compliant_exporter }
    }
}

/// The numbers of a list, which must not be empty.
fn list(record: &Record<'_>) -> Result<impl Iterator<Item = u16>, RequestError> {
    let error = RequestError::List(record.kind);
    if record.body.is_empty() {
        return Err(error);
    }
    record.numbers().ok_or(error)
}

/// The supported algorithms of a client's list, in its order.
fn preference(ids: impl Iterator<Item = u16>) -> [Option<Algorithm>; MAX_OFFERED] {
    let mut known = [None; MAX_OFFERED];
    for algorithm in ids.filter_map(Algorithm::from_id) {
        // There are as many places as algorithms.
        if !known.contains(&Some(algorithm))
            && let Some(place) = known.iter_mut().find(|place| place.is_none())
        {
            *place = Some(algorithm);
        }
    }
    known
}

fn once(seen: &mut bool, record: &Record<'_>, is_lawful: bool) -> Result<(), RequestError> {
    if core::mem::replace(seen, true) {
        return Err(RequestError::Duplicate(record.kind));
    }
    if is_lawful { Ok(()) } else { Err(RequestError::Body(record.kind)) }
}

#[cfg(test)]
mod tests;
