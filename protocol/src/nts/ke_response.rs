//! A server's response in a key exchange, and how a client reads it (RFC 8915 section 4).

use super::MAX_COOKIES;
use super::aead::{Algorithm, Exporter, Offer};
use super::record::{
    AEAD, COMPLIANT_EXPORTER, COOKIE, ERROR, ErrorCode, MessageError, NEXT_PROTOCOL, NTP_PORT, NTPV4, NoRoom,
    Record, SERVER, WARNING, Writer, records,
};
use super::server_name::{NameError, ServerName};
use core::fmt;
use core::net::IpAddr;
use ipc::packet::MAX_COOKIE;

/// Port of the NTP server if the response names none.
pub const DEFAULT_NTP_PORT: u16 = 123;

/// A server's response. Having one proves that it chose from what was offered and that it is well-formed;
/// only TLS proves that it comes from the right server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The algorithm, one of those offered.
    pub algorithm: Algorithm,
    /// The context with which to export keys. [`Exporter::Legacy`] is what chrony 4.4 to 4.6 does; a server that
    /// does not know record 1024 may mean the other one, so keep the keys for both, begin with these, and
    /// change once if the first reply is an NTS NAK.
    pub exporter: Exporter,
    /// The NTP server. `None`: the address of the key exchange server.
    pub server: Option<ServerName<'a>>,
    /// Its UDP port, not 0.
    pub port: u16,
    cookies: [&'a [u8]; MAX_COOKIES],
    count: usize,
}

/// Why a response cannot be used. The keys of that connection must be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The framing is malformed.
    Message(MessageError),
    /// The server reports an error.
    Refused(ErrorCode),
    /// The server sends a warning; no standard defines any.
    Warned(u16),
    /// A critical record of an unknown type.
    UnknownCritical(u16),
    /// Two records of a type that may occur only once.
    Duplicate(u16),
    /// A body of this type of record that has an impossible length.
    Body(u16),
    /// A Next Protocol record that is not critical.
    ProtocolNotCritical,
    /// No Next Protocol record.
    NoProtocolRecord,
    /// The server does not support NTPv4.
    NoProtocol,
    /// A protocol that was not offered.
    ProtocolNotOffered(u16),
    /// No AEAD record.
    NoAlgorithmRecord,
    /// The server supports none of the offered algorithms.
    NoAlgorithm,
    /// More than one algorithm.
    SeveralAlgorithms,
    /// An algorithm that was not offered.
    AlgorithmNotOffered(u16),
    /// No cookie.
    NoCookie,
    /// A cookie of this many octets: none, or more than [`MAX_COOKIE`].
    CookieLength(usize),
    /// An NTP server name that is impossible.
    Server(NameError),
    /// Port 0.
    Port,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SOFTWARE: &str = "the server's software is at fault: tell its operator, or use another server";
        match self {
            ResponseError::Refused(ErrorCode::InternalServerError) => {
                f.write_str("the server has an internal error: it is asked again later, with growing pauses")
            }
            ResponseError::Refused(code) => write!(
                f,
                "the server refuses the request with error {code}: check that the address is that of an \
                 NTS-KE server, or use another server"
            ),
            ResponseError::NoProtocol | ResponseError::ProtocolNotOffered(_) => {
                f.write_str("the server offers NTS, but not for NTPv4: use another server")
            }
            ResponseError::NoAlgorithm => f.write_str(
                "the server has none of the AEAD algorithms that are offered: leave out aead at this source, or use \
                 another server",
            ),
            ResponseError::AlgorithmNotOffered(id) => write!(
                f,
                "the server chose AEAD algorithm {id}, which was not offered: an attack, or {SOFTWARE}"
            ),
            ResponseError::Server(error) => write!(
                f,
                "the server sends its clients to an NTP server that is {error}: tell its operator, or use \
                 another server"
            ),
            ResponseError::Port => write!(f, "the server sends its clients to UDP port 0: {SOFTWARE}"),
            ResponseError::NoCookie => {
                f.write_str("the server gave no cookie: try later, or use another server")
            }
            ResponseError::CookieLength(length) => {
                write!(f, "a cookie of {length} octets, where 1 to {MAX_COOKIE} are lawful: {SOFTWARE}")
            }
            ResponseError::Message(error) => write!(f, "malformed answer ({error}): {SOFTWARE}"),
            ResponseError::Warned(code) => {
                write!(f, "the server sends warning {code}, which no standard knows: {SOFTWARE}")
            }
            ResponseError::UnknownCritical(kind) => write!(
                f,
                "critical record {kind} is not known here: update this software, or use another server"
            ),
            ResponseError::Duplicate(kind) => write!(f, "two records of type {kind}: {SOFTWARE}"),
            ResponseError::Body(kind) => write!(f, "malformed record of type {kind}: {SOFTWARE}"),
            ResponseError::ProtocolNotCritical => {
                write!(f, "the Next Protocol record is not critical: {SOFTWARE}")
            }
            ResponseError::NoProtocolRecord => write!(f, "no Next Protocol record: {SOFTWARE}"),
            ResponseError::NoAlgorithmRecord => write!(f, "no AEAD record: {SOFTWARE}"),
            ResponseError::SeveralAlgorithms => {
                write!(f, "more than one AEAD algorithm chosen: {SOFTWARE}")
            }
        }
    }
}

impl core::error::Error for ResponseError {}

impl From<MessageError> for ResponseError {
    fn from(error: MessageError) -> Self {
        ResponseError::Message(error)
    }
}

impl<'a> Response<'a> {
    /// Reads a complete message, the response to `offer`; `peer` is the address that it came from.
    ///
    /// # Errors
    /// [`ResponseError`], the first that is found.
    pub fn decode(message: &'a [u8], offer: Offer, peer: IpAddr) -> Result<Self, ResponseError> {
        let mut protocol = None;
        let mut algorithm = None;
        let mut server = None;
        let mut port = None;
        let mut compliant_exporter = None;
        let mut cookies: [&[u8]; MAX_COOKIES] = [&[]; MAX_COOKIES];
        let mut count = 0;
        for record in records(message) {
            let record = record?;
            match record.kind {
                NEXT_PROTOCOL => once(&mut protocol, &record, read_protocol)?,
                ERROR => {
                    let code = record.number().ok_or(ResponseError::Body(ERROR))?;
                    return Err(ResponseError::Refused(ErrorCode::from_number(code)));
                }
                WARNING => {
                    let code = record.number().ok_or(ResponseError::Body(WARNING))?;
                    return Err(ResponseError::Warned(code));
                }
                AEAD => once(&mut algorithm, &record, |record| read_algorithm(record, offer))?,
                COOKIE => {
                    if !(1..=MAX_COOKIE).contains(&record.body.len()) {
                        return Err(ResponseError::CookieLength(record.body.len()));
                    }
                    if let Some(place) = cookies.get_mut(count) {
                        *place = record.body;
                        count += 1;
                    }
                }
                SERVER => once(&mut server, &record, |record| {
                    ServerName::decode(record.body, peer).map_err(ResponseError::Server)
                })?,
                NTP_PORT => once(&mut port, &record, |record| {
                    match record.number().ok_or(ResponseError::Body(NTP_PORT))? {
                        0 => Err(ResponseError::Port),
                        port => Ok(port),
                    }
                })?,
                COMPLIANT_EXPORTER => once(&mut compliant_exporter, &record, |record| {
                    if record.body.is_empty() { Ok(()) } else { Err(ResponseError::Body(COMPLIANT_EXPORTER)) }
                })?,
                unknown if record.critical => return Err(ResponseError::UnknownCritical(unknown)),
                _ => {}
            }
        }
        let () = protocol.ok_or(ResponseError::NoProtocolRecord)?;
        let algorithm = algorithm.ok_or(ResponseError::NoAlgorithmRecord)?;
        if count == 0 {
            return Err(ResponseError::NoCookie);
        }
        let exporter = match (algorithm, compliant_exporter) {
            (Algorithm::Aes128GcmSiv, None) => Exporter::Legacy,
            _ => Exporter::Standard,
        };
        Ok(Self { algorithm, exporter, server, port: port.unwrap_or(DEFAULT_NTP_PORT), cookies, count })
    }

    /// The cookies, 1 to 8 of 1 to 1024 octets; any beyond 8 were ignored.
    pub fn cookies(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.cookies.iter().take(self.count).copied()
    }
}

fn read_protocol(record: &Record<'_>) -> Result<(), ResponseError> {
    if !record.critical {
        return Err(ResponseError::ProtocolNotCritical);
    }
    let mut protocols = record.numbers().ok_or(ResponseError::Body(NEXT_PROTOCOL))?;
    match (protocols.next(), protocols.next()) {
        (None, _) => Err(ResponseError::NoProtocol),
        (Some(NTPV4), None) => Ok(()),
        (Some(NTPV4), Some(NTPV4)) => Err(ResponseError::Body(NEXT_PROTOCOL)),
        (Some(NTPV4), Some(other)) | (Some(other), _) => Err(ResponseError::ProtocolNotOffered(other)),
    }
}

fn read_algorithm(record: &Record<'_>, offer: Offer) -> Result<Algorithm, ResponseError> {
    let mut ids = record.numbers().ok_or(ResponseError::Body(AEAD))?;
    let id = ids.next().ok_or(ResponseError::NoAlgorithm)?;
    if ids.next().is_some() {
        return Err(ResponseError::SeveralAlgorithms);
    }
    Algorithm::from_id(id)
        .filter(|algorithm| offer.contains(*algorithm))
        .ok_or(ResponseError::AlgorithmNotOffered(id))
}

fn once<'a, T>(
    place: &mut Option<T>,
    record: &Record<'a>,
    read: impl FnOnce(&Record<'a>) -> Result<T, ResponseError>,
) -> Result<(), ResponseError> {
    if place.is_some() {
        return Err(ResponseError::Duplicate(record.kind));
    }
    *place = Some(read(record)?);
    Ok(())
}

/// A server's response after keys were exported.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The algorithm, from [`super::ke_request::Request::agree`].
    pub algorithm: Algorithm,
    /// Whether to send record 1024, from the same.
    pub says_compliant_exporter: bool,
    /// The NTP server to use, an address or a host name in ASCII; `None`: the same address.
    pub server: Option<&'a str>,
    /// Its UDP port; `None`: 123.
    pub port: Option<u16>,
    /// The cookies, usually eight.
    pub cookies: &'a [&'a [u8]],
}

impl Answer<'_> {
    /// Writes the response and returns its length.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        let mut writer = Writer::new(out);
        writer.record(true, NEXT_PROTOCOL, &NTPV4.to_be_bytes())?;
        writer.record(true, AEAD, &self.algorithm.id().to_be_bytes())?;
        if self.says_compliant_exporter {
            writer.record(false, COMPLIANT_EXPORTER, &[])?;
        }
        if let Some(server) = self.server {
            writer.record(false, SERVER, server.as_bytes())?;
        }
        if let Some(port) = self.port {
            writer.record(false, NTP_PORT, &port.to_be_bytes())?;
        }
        for cookie in self.cookies {
            writer.record(false, COOKIE, cookie)?;
        }
        writer.end()
    }
}

/// The response to [`super::ke_request::Agreement::NoProtocol`].
///
/// # Errors
/// [`NoRoom`] below 8 octets.
pub fn encode_no_protocol(out: &mut [u8]) -> Result<usize, NoRoom> {
    let mut writer = Writer::new(out);
    writer.record(true, NEXT_PROTOCOL, &[])?;
    writer.end()
}

/// The response to [`super::ke_request::Agreement::NoAlgorithm`].
///
/// # Errors
/// [`NoRoom`] below 14 octets.
pub fn encode_no_algorithm(out: &mut [u8]) -> Result<usize, NoRoom> {
    let mut writer = Writer::new(out);
    writer.record(true, NEXT_PROTOCOL, &NTPV4.to_be_bytes())?;
    writer.record(true, AEAD, &[])?;
    writer.end()
}

/// The response that reports an error.
///
/// # Errors
/// [`NoRoom`] below 10 octets.
pub fn encode_error(code: ErrorCode, out: &mut [u8]) -> Result<usize, NoRoom> {
    let mut writer = Writer::new(out);
    writer.record(true, ERROR, &code.number().to_be_bytes())?;
    writer.end()
}

#[cfg(test)]
mod tests;
