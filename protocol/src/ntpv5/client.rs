//! A client's side: its request, which reveals nothing of its clock, and which packet is the reply to it (section 6 of the
//! draft).

use super::correction::Correction;
use super::field::{CORRECTION, DRAFT_IDENTIFICATION, Field, FieldError, REFERENCE_IDS_REQUEST, put, walk};
use super::reference_ids::ChunkRequest;
use super::{DRAFT, Filter, Flags, Header, Timescale};
use crate::header::{HeaderError, LENGTH, MODE_CLIENT, MODE_SERVER};
use core::fmt;

/// What is asked for beside the time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The ids of all servers that its time comes from, at once: parts of different replies need not go together.
    pub reference_ids: bool,
    /// What devices on the path say of it.
    pub correction: bool,
}

/// The header of a request in basic mode whose client cookie is `cookie`: 64 fresh random bits, never zero.
pub const fn header(cookie: u64) -> Header {
    Header {
        leap: 0,
        mode: MODE_CLIENT,
        stratum: 0,
        poll: 0,
        precision: 0,
        root_delay: 0,
        root_dispersion: 0,
        timescale: Timescale::Utc.number(),
        era: 0,
        flags: Flags::REQUEST,
        server_cookie: 0,
        client_cookie: cookie,
        receive_timestamp: 0,
        transmit_timestamp: 0,
    }
}

/// Writes a request and returns its length, which depends on `wanted` alone; none: `out` is too short.
pub fn put_request(out: &mut [u8], cookie: u64, wanted: Wanted) -> Option<usize> {
    *out.first_chunk_mut()? = header(cookie).encode();
    let (name, mut end) = put(out, LENGTH, DRAFT_IDENTIFICATION, DRAFT.len())?;
    name.copy_from_slice(DRAFT);
    if wanted.reference_ids {
        // From offset 0 on: all octets are zero.
        (_, end) = put(out, end, REFERENCE_IDS_REQUEST, Filter::LENGTH)?;
    }
    if wanted.correction {
        (_, end) = put(out, end, CORRECTION, Correction::LENGTH)?;
    }
    Some(end)
}

/// A reply. That it has the cookie of its request proves that its sender has seen that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its header.
    pub header: Header,
    /// The ids of all servers that its time comes from.
    pub filter: Option<Filter>,
    /// What devices on the path say of it.
    pub correction: Option<Correction>,
}

/// Why a packet is not the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// Malformed.
    Header(HeaderError),
    /// Another version.
    Version,
    /// Not the mode of a server.
    Mode,
    /// Not the cookie of the request.
    Cookie,
    /// Malformed.
    Field(FieldError),
    /// Of no draft, or of another one.
    Draft,
    /// A field of requests, one that is there twice, or a part of a filter that was not asked for.
    Unasked,
    /// It has a MAC, and no key is shared.
    Mac,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "{error}"),
            Self::Field(error) => write!(f, "{error}"),
            Self::Version => f.write_str("another version than 5"),
            Self::Mode => f.write_str("not the mode of a server"),
            Self::Cookie => f.write_str("not the cookie of the request"),
            Self::Draft => f.write_str("another draft of NTP version 5"),
            Self::Unasked => f.write_str("fields that were not asked for"),
            Self::Mac => f.write_str("a MAC for which there is no key"),
        }
    }
}

impl core::error::Error for ReplyError {}

/// Reads a complete packet as the reply to the request with this cookie.
///
/// # Errors
/// [`ReplyError`]: it is not.
pub fn read(packet: &[u8], cookie: u64) -> Result<Reply, ReplyError> {
    let header = Header::decode(packet).map_err(ReplyError::Header)?.ok_or(ReplyError::Version)?;
    if header.mode != MODE_SERVER {
        return Err(ReplyError::Mode);
    }
    // A server that only copies the version puts something else there, zero above all.
    if cookie == 0 || header.client_cookie != cookie {
        return Err(ReplyError::Cookie);
    }
    let (mut draft, mut filter, mut correction) = (None, None, None);
    for item in walk(packet.get(LENGTH..).unwrap_or_default()) {
        match item.map_err(ReplyError::Field)?.field {
            Field::DraftIdentification(name) => set(&mut draft, name)?,
            Field::ReferenceIdsResponse(octets) => {
                let whole = octets.try_into().map_err(|_| ReplyError::Unasked)?;
                set(&mut filter, Filter::from_octets(whole))?;
            }
            Field::Correction(said) => set(&mut correction, said)?,
            Field::ReferenceIdsRequest(_) => return Err(ReplyError::Unasked),
            Field::Mac(_) => return Err(ReplyError::Mac),
            Field::Padding
            | Field::ServerInformation(_)
            | Field::ReferenceTimestamp(_)
            | Field::MonotonicReceiveTimestamp { .. }
            | Field::SecondaryReceiveTimestamp { .. }
            | Field::Other(..) => {}
        }
    }
    if draft != Some(&DRAFT[..]) {
        return Err(ReplyError::Draft);
    }
    Ok(Reply { header, filter, correction })
}

fn set<T>(place: &mut Option<T>, found: T) -> Result<(), ReplyError> {
    match place.replace(found) {
        None => Ok(()),
        Some(_) => Err(ReplyError::Unasked),
    }
}

/// The cookie of a request of this version, and what it asks for; none: it is no such request.
pub fn asked(request: &[u8]) -> Option<(u64, Wanted)> {
    let header = Header::decode(request).ok()??;
    let mut wanted = Wanted { reference_ids: false, correction: false };
    for item in walk(request.get(LENGTH..)?) {
        match item.ok()?.field {
            Field::ReferenceIdsRequest(asked) => wanted.reference_ids = asked == Some(ChunkRequest::WHOLE),
            Field::Correction(_) => wanted.correction = true,
            _ => {}
        }
    }
    (header.mode == MODE_CLIENT).then_some((header.client_cookie, wanted))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::ntpv5::UPGRADE;
    use crate::ntpv5::field::PADDING;
    use std::vec::Vec;

    const COOKIE: u64 = 0x1122_3344_5566_7788;
    const ALL: Wanted = Wanted { reference_ids: true, correction: true };
    const NOTHING: Wanted = Wanted { reference_ids: false, correction: false };

    fn request(wanted: Wanted) -> Vec<u8> {
        let mut out = [0xee; 1232];
        let length = put_request(&mut out, COOKIE, wanted).unwrap();
        out[..length].to_vec()
    }

    fn reply(fields: &[(u16, &[u8])]) -> Vec<u8> {
        let header = Header { mode: MODE_SERVER, client_cookie: COOKIE, stratum: 1, ..Header::default() };
        let mut out = std::vec![0; 2048];
        out[..LENGTH].copy_from_slice(&header.encode());
        let mut end = LENGTH;
        for (kind, value) in fields {
            let (place, next) = put(&mut out, end, *kind, value.len()).unwrap();
            place.copy_from_slice(value);
            end = next;
        }
        out.truncate(end);
        out
    }

    #[test]
    fn a_request_is_what_the_draft_says_and_tells_nothing() {
        let octets = request(NOTHING);
        let mut expected = [0; 76];
        expected[0] = 0x2b;
        expected[24..32].copy_from_slice(&COOKIE.to_be_bytes());
        expected[48..52].copy_from_slice(&[0xf5, 0xff, 0, 0x1b]);
        expected[52..75].copy_from_slice(b"draft-ietf-ntp-ntpv5-09");
        assert_eq!(octets, expected);
        let all = request(ALL);
        assert_eq!(all.len(), 76 + 516 + 28);
        assert_eq!(all[76..82], [0xf5, 3, 2, 4, 0, 0]);
        assert_eq!(all[592..596], [0xf5, 6, 0, 28]);
        assert!(all[82..592].iter().chain(&all[596..]).all(|octet| *octet == 0));
        assert_eq!(asked(&octets), Some((COOKIE, NOTHING)));
        assert_eq!(asked(&all), Some((COOKIE, ALL)));
        assert_eq!(UPGRADE, 0x4e54_5035_4452_4654);
        assert_eq!(put_request(&mut [0; 75], COOKIE, NOTHING), None);
    }

    #[test]
    fn a_reply_is_read_with_what_it_tells() {
        let filter = [9; 512];
        let read = |fields: &[_]| super::read(&reply(fields), COOKIE);
        let bare = read(&[(0xf5ff, DRAFT)]).unwrap();
        assert_eq!((bare.filter, bare.correction), (None, None));
        let full = read(&[(0xf504, &filter), (0xf5ff, DRAFT), (0xf506, &[0; 24])]).unwrap();
        assert_eq!(full.filter, Some(Filter::from_octets(filter)));
        assert_eq!(full.correction, Some(Correction::default()));
        assert!(read(&[(0xf5ff, DRAFT), (PADDING, &[0; 100]), (0x1234, &[0; 3])]).is_ok());
    }

    #[test]
    fn a215_a_reply_with_another_cookie_is_none() {
        let octets = reply(&[(0xf5ff, DRAFT)]);
        assert!(read(&octets, COOKIE).is_ok());
        for cookie in [0, 1, COOKIE ^ 1, COOKIE.swap_bytes()] {
            assert_eq!(read(&octets, cookie), Err(ReplyError::Cookie));
        }
        // A server of version 4 that copies the version and answers in its own format: the origin timestamp is the request's
        // transmit timestamp, which is zero.
        let mut copied = octets;
        copied[24..32].fill(0);
        assert_eq!(read(&copied, 0), Err(ReplyError::Cookie));
    }

    #[test]
    fn a214_fields_that_nobody_asked_for_are_refused() {
        let read = |fields: &[_]| super::read(&reply(fields), COOKIE);
        assert_eq!(read(&[]), Err(ReplyError::Draft));
        for name in
            [&b"draft-ietf-ntp-ntpv5-08"[..], b"draft-ietf-ntp-ntpv5-0", b"draft-ietf-ntp-ntpv5-099", b""]
        {
            assert_eq!(read(&[(0xf5ff, name)]), Err(ReplyError::Draft));
        }
        let draft = (0xf5ff, &DRAFT[..]);
        assert_eq!(read(&[draft, draft]), Err(ReplyError::Unasked));
        assert_eq!(read(&[draft, (0xf503, &[0; 512])]), Err(ReplyError::Unasked));
        assert_eq!(read(&[draft, (0xf504, &[0; 508])]), Err(ReplyError::Unasked), "a part");
        assert_eq!(read(&[draft, (0xf504, &[0; 512]), (0xf504, &[0; 512])]), Err(ReplyError::Unasked));
        assert_eq!(read(&[draft, (0xf502, &[0; 20])]), Err(ReplyError::Mac));
        assert_eq!(read(&[draft, (0xf504, &[0; 516])]), Err(ReplyError::Field(FieldError::Content)));
    }

    #[test]
    fn only_a_server_of_this_version_answers() {
        let mut octets = reply(&[(0xf5ff, DRAFT)]);
        for first in 0..=255u8 {
            octets[0] = first;
            let outcome = read(&octets, COOKIE).map(|_| ());
            let expected = match (first >> 3 & 7, first & 7) {
                (5, 4) => Ok(()),
                (5, _) => Err(ReplyError::Mode),
                _ => Err(ReplyError::Version),
            };
            assert_eq!(outcome, expected, "{first:x}");
        }
    }
}
