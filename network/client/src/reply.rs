//! Which datagrams are replies to a query, and why others are not.
//!
//! Only form and origin are judged here; the engine judges the contents, kiss codes included. A datagram that fails a
//! test only increments a counter.

use core::num::NonZeroU64;
use ipc::message::client::Rejected;
use ipc::packet::MAX_PACKET;
use protocol::extension_field::{Item, walk};
use protocol::header::{Header, LENGTH, MODE_SERVER};
use protocol::ntpv5;
use protocol::ntpv5::client::{Reply, ReplyError, Wanted};

/// Lowest version of a reply to a request of a higher one.
const LOWEST_VERSION: u8 = 3;

/// What a reply has to have of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The request's transmit timestamp; of version 5 its client cookie.
    pub nonce: u64,
    /// Its second random number, which a reply in interleaved mode returns (RFC 9769); none: it asks for basic mode alone.
    pub second: Option<NonZeroU64>,
    /// The request's version.
    pub version: u8,
    /// The request has a MAC: then a MAC, or its absence, is judged by the engine, which has the key.
    pub has_mac: bool,
    /// The request asks for the draft of version 5, and for this.
    pub version5: Option<Wanted>,
}

/// Why a datagram is not the reply; the names are those of `ipc::message::client::Rejected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Shorter than 48 octets, longer than 1232, not a multiple of 4, or broken extension fields.
    Malformed,
    /// A mode other than 4.
    Mode,
    /// A version that was not asked for.
    Version,
    /// Not the nonce of the query.
    Origin,
    /// A MAC or crypto-NAK where no key is shared.
    UnexpectedMac,
}

impl Expected {
    /// Of the octets of a request; `None` if they are not an NTP packet.
    pub fn of_request(octets: &[u8]) -> Option<Self> {
        let header = Header::decode(octets).ok()?;
        if header.version == ntpv5::VERSION {
            let (nonce, wanted) = ntpv5::client::asked(octets)?;
            let version = header.version;
            return Some(Self { nonce, second: None, version, has_mac: false, version5: Some(wanted) });
        }
        let has_mac = walk(octets.get(LENGTH..).unwrap_or_default(), header.version)
            .any(|item| matches!(item, Ok(Item::Mac(_))));
        Some(Self {
            nonce: header.transmit_timestamp,
            second: NonZeroU64::new(header.receive_timestamp),
            version: header.version,
            has_mac,
            version5: None,
        })
    }

    fn allows_origin(self, origin: u64) -> bool {
        // Zero means "unknown" and is never a valid origin, even if a request used it.
        origin != 0 && (origin == self.nonce || self.second.is_some_and(|second| second.get() == origin))
    }

    fn allows_version(self, version: u8) -> bool {
        // What version 5 is asked is not answered in another one.
        version == self.version
            || (self.version5.is_none() && (LOWEST_VERSION..self.version).contains(&version))
    }
}

impl Rejection {
    /// Adds one, at most up to what the counter holds.
    pub fn count(self, rejected: &mut Rejected) {
        let counter = match self {
            Rejection::Malformed => &mut rejected.malformed,
            Rejection::Mode => &mut rejected.mode,
            Rejection::Version => &mut rejected.version,
            Rejection::Origin => &mut rejected.origin,
            Rejection::UnexpectedMac => &mut rejected.unexpected_mac,
        };
        *counter = counter.saturating_add(1);
    }
}

/// A datagram that passed.
#[allow(clippy::large_enum_variant, reason = "lives on the stack for a moment")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Of the versions up to 4.
    Version4(Header),
    /// Of the draft of version 5, with no more than was asked for.
    Version5(Reply),
}

/// Whether a whole datagram is the reply to a request of version 5.
fn check_version5(datagram: &[u8], nonce: u64, wanted: Wanted) -> Result<Checked, Rejection> {
    match ntpv5::client::read(datagram, nonce) {
        Ok(mut reply) => {
            reply.filter = reply.filter.filter(|_| wanted.reference_ids);
            reply.correction = reply.correction.filter(|_| wanted.correction);
            Ok(Checked::Version5(reply))
        }
        Err(ReplyError::Version) => Err(Rejection::Version),
        Err(ReplyError::Mode) => Err(Rejection::Mode),
        Err(ReplyError::Cookie) => Err(Rejection::Origin),
        Err(ReplyError::Mac) => Err(Rejection::UnexpectedMac),
        Err(ReplyError::Header(_) | ReplyError::Field(_) | ReplyError::Draft | ReplyError::Unasked) => {
            Err(Rejection::Malformed)
        }
    }
}

/// Whether a whole datagram is the reply (RFC 5905 section 9.2, the tests of origin and form).
///
/// # Errors
/// The first test that it fails.
pub fn check(datagram: &[u8], expected: Expected) -> Result<Checked, Rejection> {
    if datagram.len() > MAX_PACKET {
        return Err(Rejection::Malformed);
    }
    if let Some(wanted) = expected.version5 {
        return check_version5(datagram, expected.nonce, wanted);
    }
    let header = Header::decode(datagram).map_err(|_| Rejection::Malformed)?;
    if !expected.allows_version(header.version) {
        return Err(Rejection::Version);
    }
    if header.mode != MODE_SERVER {
        return Err(Rejection::Mode);
    }
    if !expected.allows_origin(header.origin_timestamp) {
        return Err(Rejection::Origin);
    }
    for item in walk(datagram.get(LENGTH..).unwrap_or_default(), header.version) {
        match item {
            Ok(Item::Field { .. }) => {}
            Ok(Item::Mac(_) | Item::CryptoNak) if expected.has_mac => {}
            Ok(Item::Mac(_) | Item::CryptoNak) => return Err(Rejection::UnexpectedMac),
            Err(_) => return Err(Rejection::Malformed),
        }
    }
    Ok(Checked::Version4(header))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: u64 = 0x0123_4567_89ab_cdef;
    const EXPECTED: Expected =
        Expected { nonce: NONCE, second: None, version: 4, has_mac: false, version5: None };

    fn honest() -> Header {
        Header {
            version: 4,
            mode: MODE_SERVER,
            stratum: 2,
            origin_timestamp: NONCE,
            receive_timestamp: 1,
            transmit_timestamp: 2,
            ..Header::default()
        }
    }

    fn version4(outcome: Result<Checked, Rejection>) -> Result<Header, Rejection> {
        match outcome? {
            Checked::Version4(header) => Ok(header),
            Checked::Version5(reply) => panic!("{reply:?}"),
        }
    }

    fn checked(header: Header) -> Result<Header, Rejection> {
        version4(check(&header.encode(), EXPECTED))
    }

    fn with_tail(tail: &[u8]) -> Result<Header, Rejection> {
        version4(check(&[&honest().encode()[..], tail].concat(), EXPECTED))
    }

    #[test]
    fn an_honest_reply_and_a_kiss_pass() {
        assert_eq!(checked(honest()), Ok(honest()));
        let kiss = Header { stratum: 0, leap: 3, reference_id: 0x4445_4e59, ..honest() };
        assert_eq!(checked(kiss), Ok(kiss));
    }

    #[test]
    fn a002_an_origin_of_zero_or_of_another_query_is_silent() {
        for origin in [0, 1, NONCE ^ 1, NONCE.swap_bytes(), u64::MAX] {
            assert_eq!(checked(Header { origin_timestamp: origin, ..honest() }), Err(Rejection::Origin));
        }
        let careless = Expected { nonce: 0, ..EXPECTED };
        let zero = Header { origin_timestamp: 0, ..honest() }.encode();
        assert_eq!(check(&zero, careless), Err(Rejection::Origin));
    }

    #[test]
    fn a047_a_reply_in_interleaved_mode_has_the_second_number_of_a_query_that_asks_for_it() {
        let second = 0xfedc_ba98_7654_3210;
        let asks = protocol::request::interleaved(NONCE, 77, second).encode();
        let asks = Expected::of_request(&asks).unwrap();
        let basic = Expected::of_request(&protocol::request::minimal(NONCE).encode()).unwrap();
        let reply = |origin_timestamp| Header { origin_timestamp, ..honest() }.encode();
        assert_eq!(
            check(&reply(second), asks),
            Ok(Checked::Version4(Header::decode(&reply(second)).unwrap()))
        );
        assert_eq!(check(&reply(second), basic), Err(Rejection::Origin));
        for asked in [asks, basic] {
            assert!(check(&reply(NONCE), asked).is_ok());
            // 77 is what anybody knows who has seen the server's earlier reply.
            for origin in [0, 77, second ^ 1, NONCE ^ second] {
                assert_eq!(check(&reply(origin), asked), Err(Rejection::Origin), "{origin:x}");
            }
        }
    }

    #[test]
    fn a012_a_mac_or_a_crypto_nak_without_a_key_is_silent() {
        for tail in [&[0; 4][..], &[7; 20], &[7; 24]] {
            assert_eq!(with_tail(tail), Err(Rejection::UnexpectedMac));
        }
        let mut field_and_mac = vec![0u8; 28 + 20];
        field_and_mac[..4].copy_from_slice(&[1, 4, 0, 28]);
        assert_eq!(with_tail(&field_and_mac), Err(Rejection::UnexpectedMac));
        assert_eq!(with_tail(&field_and_mac[..28]), Ok(honest()));
    }

    #[test]
    fn behind_the_reply_to_a_request_with_a_mac_one_is_left_to_the_engine() {
        let request = [&protocol::request::minimal(NONCE).encode()[..], &[9; 20]].concat();
        let expected = Expected::of_request(&request).unwrap();
        assert_eq!(expected, Expected { has_mac: true, ..EXPECTED });
        for tail in [&[][..], &[0; 4], &[7; 20], &[7; 24]] {
            assert_eq!(version4(check(&[&honest().encode()[..], tail].concat(), expected)), Ok(honest()));
        }
        for tail in [&[0; 8][..], &[7; 12], &[7; 28]] {
            let reply = [&honest().encode()[..], tail].concat();
            assert_eq!(check(&reply, expected), Err(Rejection::Malformed));
        }
    }

    #[test]
    fn a013_only_the_mode_of_a_server_passes() {
        for mode in (0..8).filter(|mode| *mode != MODE_SERVER) {
            assert_eq!(checked(Header { mode, ..honest() }), Err(Rejection::Mode), "{mode}");
        }
    }

    #[test]
    fn a014_only_the_asked_version_or_a_lower_one_from_3_on_passes() {
        for asked in 1..=4 {
            for version in 0..8 {
                let expected = Expected { version: asked, ..EXPECTED };
                let outcome = check(&Header { version, ..honest() }.encode(), expected);
                let passes = version == asked || (version == 3 && asked == 4);
                assert_eq!(outcome.is_ok(), passes, "{version} for {asked}");
                assert!(passes || outcome == Err(Rejection::Version));
            }
        }
    }

    #[test]
    fn a015_lengths_that_no_reply_has_are_silent() {
        let long = [&honest().encode()[..], &[0; 65_507 - 48]].concat();
        for length in (0..48).chain([49, 50, 51, 1233, 1236, 65_507]) {
            assert_eq!(check(&long[..length], EXPECTED), Err(Rejection::Malformed), "{length}");
        }
        for length in [0u16, 1, 3, 15, 17, 32, 65_535] {
            let mut field = [0; 28];
            field[2..4].copy_from_slice(&length.to_be_bytes());
            assert_eq!(with_tail(&field), Err(Rejection::Malformed), "{length}");
        }
    }

    #[test]
    fn a_request_that_is_no_packet_expects_nothing() {
        assert_eq!(Expected::of_request(&[0; 47]), None);
        assert_eq!(Expected::of_request(&[0; 50]), None);
        let request = protocol::request::minimal(NONCE).encode();
        assert_eq!(Expected::of_request(&request), Some(EXPECTED));
    }

    /// A request of version 5 and the reply to it.
    fn version5(wanted: Wanted) -> (Vec<u8>, Vec<u8>) {
        let mut request = vec![0; MAX_PACKET];
        let length = ntpv5::client::put_request(&mut request, NONCE, wanted).unwrap();
        request.truncate(length);
        let mut reply = request.clone();
        reply[0] = 0x2c;
        reply[1] = 1;
        let filter = ntpv5::Filter::from_octets([3; 512]);
        let told = ntpv5::server::Told {
            timescale: ntpv5::Timescale::Utc,
            filter: Some(&filter),
            reference_timestamp: 1,
            received: 1,
            receive_timestamp: 1,
        };
        ntpv5::server::answer_fields(&mut reply[LENGTH..], Some(&told));
        (request, reply)
    }

    #[test]
    fn a215_a_reply_of_version_5_has_the_cookie_of_its_request_and_is_in_no_other_version() {
        let (request, reply) = version5(Wanted { reference_ids: true, correction: true });
        let expected = Expected::of_request(&request).unwrap();
        let Ok(Checked::Version5(read)) = check(&reply, expected) else { panic!() };
        assert!(read.filter.is_some() && read.correction.is_some());
        for (at, rejection) in [(24, Rejection::Origin), (31, Rejection::Origin), (52, Rejection::Malformed)]
        {
            let mut wrong = reply.clone();
            wrong[at] ^= 1;
            assert_eq!(check(&wrong, expected), Err(rejection), "{at}");
        }
        assert_eq!(check(&honest().encode(), expected), Err(Rejection::Version), "a reply of version 4");
        assert_eq!(check(&request, expected), Err(Rejection::Mode));
        assert_eq!(check(&reply, EXPECTED), Err(Rejection::Version), "to a request of version 4");
    }

    #[test]
    fn a219_a_reply_of_an_older_query_moves_nothing() {
        let wanted = Wanted { reference_ids: true, correction: true };
        let (_, recorded) = version5(wanted);
        let mut request = vec![0; MAX_PACKET];
        let length = ntpv5::client::put_request(&mut request, NONCE ^ 0x10, wanted).unwrap();
        let expected = Expected::of_request(&request[..length]).unwrap();
        assert_eq!(check(&recorded, expected), Err(Rejection::Origin));
    }

    #[test]
    fn a214_what_was_not_asked_for_is_not_passed_on() {
        let (_, full) = version5(Wanted { reference_ids: true, correction: true });
        let (request, _) = version5(Wanted { reference_ids: false, correction: false });
        let expected = Expected::of_request(&request).unwrap();
        let Ok(Checked::Version5(read)) = check(&full, expected) else { panic!() };
        assert_eq!((read.filter, read.correction), (None, None));
    }

    #[test]
    fn counters_stop_where_they_end() {
        let mut rejected = Rejected { origin: u32::MAX - 1, ..Rejected::NONE };
        (0..3).for_each(|_| Rejection::Origin.count(&mut rejected));
        assert_eq!(rejected, Rejected { origin: u32::MAX, ..Rejected::NONE });
    }

    proptest! {
        #[test]
        fn no_octets_panic_and_none_pass_without_the_nonce(octets in prop::collection::vec(any::<u8>(), 0..1400)) {
            if let Ok(Checked::Version4(header)) = check(&octets, EXPECTED) {
                prop_assert_eq!(header.origin_timestamp, NONCE);
            }
        }

        #[test]
        fn no_octets_after_an_honest_header_panic(tail in prop::collection::vec(any::<u8>(), 0..1300)) {
            let _ = with_tail(&tail);
        }
    }
}
