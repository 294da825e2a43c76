//! A server's side: which requests are answered, and the reply, which is written over its request (sections 5 to 7 of the
//! draft).
//!
//! Each field of the reply stands where one of the request stood and is as long; what is not answered becomes padding. So a
//! reply has the length of its request, whatever it says.

use super::correction::Correction;
use super::field::{
    CORRECTION, DRAFT_IDENTIFICATION, Field, HEAD, PADDING, REFERENCE_IDS_REQUEST, REFERENCE_IDS_RESPONSE,
    REFERENCE_TIMESTAMP, SECONDARY_RECEIVE_TIMESTAMP, SERVER_INFORMATION, walk,
};
use super::header::{NO_LEAP_INFORMATION, era_of, time32_from_short};
use super::reference_ids::ChunkRequest;
use super::{DRAFT, Filter, Flags, Header, Timescale, VERSION};
use crate::extension_field::{NTS_AUTHENTICATOR, NTS_COOKIE, UNIQUE_IDENTIFIER};
use crate::header::{LENGTH, MODE_CLIENT, MODE_SERVER};
use crate::reply::SystemVariables;
use core::fmt;

/// The shortest interval that is asked of clients, log2 s: a second, which is what the limits leave to each address.
const POLL: i8 = 0;

/// The same of a client that asks too often.
const SLOWER: i8 = 6;

/// The versions that are spoken, the lowest bit for version 1.
const VERSIONS: u16 = (1 << VERSION) - 1;

/// A request that is answered, as far as that can be said without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its header.
    pub header: Header,
    /// It has NTS fields.
    pub is_protected: bool,
}

/// Why a packet is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// No request of this version, or malformed.
    Malformed,
    /// Of no draft, or of another one.
    Draft,
    /// It has a MAC, and no key is shared for this version.
    Mac,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "no request of NTP version 5",
            Self::Draft => "a request of another draft of NTP version 5",
            Self::Mac => "a MAC for which there is no key",
        })
    }
}

impl core::error::Error for RequestError {}

/// Reads a complete packet.
///
/// # Errors
/// [`RequestError`]: it is not answered.
pub fn read(packet: &[u8]) -> Result<Request, RequestError> {
    let header = Header::decode(packet).ok().flatten().ok_or(RequestError::Malformed)?;
    if header.mode != MODE_CLIENT {
        return Err(RequestError::Malformed);
    }
    let (mut drafts, mut is_protected) = (0, false);
    for item in walk(packet.get(LENGTH..).unwrap_or_default()) {
        match item.map_err(|_| RequestError::Malformed)?.field {
            Field::DraftIdentification(name) if name == DRAFT => drafts += 1,
            Field::DraftIdentification(_) => return Err(RequestError::Draft),
            Field::Mac(_) => return Err(RequestError::Mac),
            Field::Other(NTS_COOKIE | NTS_AUTHENTICATOR, _) => is_protected = true,
            _ => {}
        }
    }
    match drafts {
        1 => Ok(Request { header, is_protected }),
        0 => Err(RequestError::Draft),
        _ => Err(RequestError::Malformed),
    }
}

/// What replies say of the server.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The timescale of all timestamps, the only one that is served.
    pub timescale: Timescale,
    /// The ids of all servers that its time comes from; none: not known yet.
    pub filter: Option<&'a Filter>,
    /// When the clock was last corrected, 64-bit format.
    pub reference_timestamp: u64,
    /// T2 in nanoseconds since 1970.
    pub received: i64,
    /// T2, 64-bit format.
    pub receive_timestamp: u64,
}

/// The header of a reply with a time, in basic mode; the transmit timestamp is still to be written.
pub const fn time(request: &Header, system: &SystemVariables, told: &Told<'_>) -> Header {
    let is_synchronised = matches!(system.stratum, 1..=15) && system.leap != NO_LEAP_INFORMATION;
    Header {
        leap: system.leap,
        mode: MODE_SERVER,
        stratum: if is_synchronised { system.stratum } else { 0 },
        poll: POLL,
        precision: system.precision,
        root_delay: time32_from_short(system.root_delay),
        root_dispersion: time32_from_short(system.root_dispersion),
        timescale: told.timescale.number(),
        era: era_of(told.received),
        flags: Flags::of_reply(is_synchronised, false),
        server_cookie: 0,
        client_cookie: request.client_cookie,
        receive_timestamp: told.receive_timestamp,
        transmit_timestamp: 0,
    }
}

/// The header of a reply without a time, which asks the client to ask less often.
pub const fn slower(request: &Header, timescale: Timescale) -> Header {
    Header {
        leap: NO_LEAP_INFORMATION,
        mode: MODE_SERVER,
        stratum: 0,
        poll: SLOWER,
        precision: 0,
        root_delay: 0,
        root_dispersion: 0,
        timescale: timescale.number(),
        era: 0,
        flags: Flags::of_reply(false, false),
        server_cookie: 0,
        client_cookie: request.client_cookie,
        receive_timestamp: 0,
        transmit_timestamp: 0,
    }
}

/// Turns the fields of a request, which [`read`] has found in order, into those of its reply. Of a reply without a time
/// (`told` is none) only the draft and the unique identifier stay.
pub fn answer_fields(after_header: &mut [u8], told: Option<&Told<'_>>) {
    let mut rest = after_header;
    while let Some([kind_high, kind_low, high, low]) = rest.first_chunk::<HEAD>().copied() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((field, behind)) = rest.split_at_mut_checked(length.next_multiple_of(4)) else { return };
        let Some((head, value)) = field.split_first_chunk_mut::<HEAD>() else { return };
        let kind = u16::from_be_bytes([kind_high, kind_low]);
        let length = length - HEAD;
        let answered = match told {
            _ if matches!(kind, DRAFT_IDENTIFICATION | UNIQUE_IDENTIFIER) => Some(kind),
            Some(told) => value.get_mut(..length).and_then(|value| answer(kind, value, told)),
            None => None,
        };
        let [kind_high, kind_low] = answered.unwrap_or(PADDING).to_be_bytes();
        *head = [kind_high, kind_low, high, low];
        if answered.is_none() {
            value.fill(0);
        }
        rest = behind;
    }
}

/// Answers a field in its place, and returns the type of the answer; none: there is none.
fn answer(kind: u16, value: &mut [u8], told: &Told<'_>) -> Option<u16> {
    match kind {
        REFERENCE_IDS_REQUEST => {
            let (offset, _) = value.split_first_chunk::<2>()?;
            let asked = ChunkRequest::try_new(u16::from_be_bytes(*offset), value.len())?;
            value.copy_from_slice(told.filter?.part(asked)?);
            Some(REFERENCE_IDS_RESPONSE)
        }
        SERVER_INFORMATION => {
            let [high, low] = VERSIONS.to_be_bytes();
            *value.first_chunk_mut()? = [high, low, 0, 0];
            Some(kind)
        }
        CORRECTION => {
            let place: &mut [u8; Correction::LENGTH] = value.first_chunk_mut()?;
            *place = Correction::from_octets(place).returned().to_octets();
            Some(kind)
        }
        REFERENCE_TIMESTAMP => {
            *value.first_chunk_mut()? = told.reference_timestamp.to_be_bytes();
            Some(kind)
        }
        // Another timescale than the one that is served is not known here.
        SECONDARY_RECEIVE_TIMESTAMP if value.first() == Some(&told.timescale.number()) => {
            let (head, timestamp) = value.split_first_chunk_mut::<4>()?;
            *head = [told.timescale.number(), era_of(told.received), 0, 0];
            *timestamp.first_chunk_mut()? = told.receive_timestamp.to_be_bytes();
            Some(kind)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
