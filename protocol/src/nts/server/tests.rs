extern crate std;
use super::*;
use crate::extension_field::NTS_AUTHENTICATOR;
use crate::nts::aead::{Algorithm, TAG};
use crate::nts::client::{self, Awaited, Reply, read_reply};
use crate::nts::vectors::{ORIGIN, cookie_keys, counted, session};
use crate::request::minimal;
use std::vec::Vec;

const BOTH: [Algorithm; 2] = [Algorithm::AesSivCmac256, Algorithm::Aes128GcmSiv];
const TODAY: u32 = 20_500;
const ID: [u8; 32] = [0x80; 32];

fn keys() -> CookieKeys {
    cookie_keys(1, TODAY)
}

fn request(algorithm: Algorithm, placeholders: usize) -> Vec<u8> {
    let session = session(algorithm);
    let mut packet = [0; MAX_PACKET];
    let cookie = keys().seal(&session, &[9; NONCE]).unwrap();
    let request = client::ProtectedRequest {
        header: minimal(ORIGIN),
        unique_identifier: &ID,
        cookie: cookie.octets(),
        placeholders,
        key: &session.client_to_server,
        nonce: &counted(0xc0),
    };
    let length = request.encode(&mut packet).unwrap();
    packet[..length].to_vec()
}

/// A request by hand: these fields in the clear, those encrypted, a nonce, and padding behind the text.
fn by_hand(
    algorithm: Algorithm,
    clear: &[(u16, &[u8])],
    hidden: &[(u16, &[u8])],
    nonce: &[u8],
    padding: usize,
) -> Vec<u8> {
    let put = |out: &mut Vec<u8>, fields: &[(u16, &[u8])]| {
        for (kind, value) in fields {
            out.extend(kind.to_be_bytes());
            out.extend(u16::try_from(value.len() + 4).unwrap().to_be_bytes());
            out.extend(*value);
        }
    };
    let mut packet = minimal(ORIGIN).encode().to_vec();
    put(&mut packet, clear);
    let mut plain = std::vec![];
    put(&mut plain, hidden);
    let mut text = std::vec![0; plain.len() + TAG];
    text[algorithm.plaintext(plain.len() + TAG)].copy_from_slice(&plain);
    // Where the algorithm does not take the nonce, any text will do.
    let _ = session(algorithm).client_to_server.seal(&mut nonce.to_vec(), &packet, &mut text);
    let mut value = std::vec![0, nonce.len() as u8, (text.len() >> 8) as u8, text.len() as u8];
    value.extend(nonce);
    value.resize(value.len().next_multiple_of(4), 0);
    value.extend(&text);
    value.resize(value.len() + padding, 0);
    put(&mut packet, &[(NTS_AUTHENTICATOR, &value)]);
    packet
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Plain,
    Silent(RequestError),
    Nak(Vec<u8>),
    Time(Vec<u8>),
}

fn answer(packet: &[u8]) -> Answer {
    let mut out = [0xaa; MAX_PACKET];
    let keys = keys();
    let mut packet = packet.to_vec();
    let answer = match read_request(&mut packet, &keys) {
        Ok(Request::Plain) => Answer::Plain,
        Ok(Request::Refused(refused)) => {
            let length = refused.write_nak(&mut out).unwrap();
            Answer::Nak(out[..length].to_vec())
        }
        Ok(Request::Protected(request)) => {
            let nonces: [u8; MAX_NONCES] = counted(1);
            let header = Header {
                mode: 4,
                stratum: 2,
                origin_timestamp: request.header().transmit_timestamp,
                ..minimal(5)
            };
            let length =
                request.write_reply(&keys, &nonces[..request.nonces()], || header, &mut out).unwrap();
            assert_eq!(length, request.reply_length());
            Answer::Time(out[..length].to_vec())
        }
        Err(error) => Answer::Silent(error),
    };
    if let Answer::Nak(reply) | Answer::Time(reply) = &answer {
        assert!(reply.len() <= packet.len(), "a073: {} after {}", reply.len(), packet.len());
    }
    answer
}

/// The cookies of a reply, after a client has verified it.
fn cookies(reply: Answer, algorithm: Algorithm) -> Vec<Vec<u8>> {
    let Answer::Time(mut reply) = reply else { panic!("{reply:?}") };
    let session = session(algorithm);
    let awaited = Awaited { unique_identifier: &ID, origin: ORIGIN, key: &session.server_to_client };
    let Ok(Reply::Protected(reply)) = read_reply(&mut reply, &awaited) else { panic!() };
    assert_eq!((reply.header.stratum, reply.header.transmit_timestamp), (2, 5));
    reply.cookies().map(<[u8]>::to_vec).collect()
}

#[test]
fn a_reply_brings_one_cookie_and_one_for_each_placeholder() {
    for algorithm in BOTH {
        for placeholders in 0..=7 {
            let packet = request(algorithm, placeholders);
            let reply = answer(&packet);
            if let Answer::Time(reply) = &reply {
                assert_eq!(reply.len(), packet.len());
            }
            let found = cookies(reply, algorithm);
            assert_eq!(found.len(), placeholders + 1);
            for cookie in &found {
                let opened = keys().open(cookie).unwrap();
                assert_eq!(opened.keys.algorithm(), algorithm);
                assert_eq!(
                    opened.keys.client_to_server.octets(),
                    session(algorithm).client_to_server.octets()
                );
                assert_eq!(found.iter().filter(|other| *other == cookie).count(), 1);
            }
        }
    }
}

#[test]
fn a074_only_clients_of_version_4_get_protected_time() {
    let with = |first: u8| {
        let mut packet = request(Algorithm::AesSivCmac256, 0);
        packet[0] = first;
        answer(&packet)
    };
    for mode in [0, 1, 2, 4, 5, 6, 7] {
        assert_eq!(with(4 << 3 | mode), Answer::Silent(RequestError::Mode));
    }
    for version in [1, 2, 3, 5] {
        assert_eq!(with(version << 3 | 3), Answer::Plain);
    }
}

#[test]
fn a_request_without_nts_is_plain() {
    let header = minimal(ORIGIN).encode();
    assert_eq!(answer(&header), Answer::Plain);
    let with_identifier = [&header[..], &[1, 4, 0, 36], &ID].concat();
    assert_eq!(answer(&with_identifier), Answer::Plain);
    assert_eq!(answer(&[&header[..], &[1; 20]].concat()), Answer::Plain);
    assert_eq!(answer(&header[..47]), Answer::Silent(RequestError::Header(HeaderError::Short)));
}

#[test]
fn a_request_with_half_of_its_fields_is_silent() {
    let cookie = keys().seal(&session(BOTH[0]), &[9; NONCE]).unwrap();
    let (id, cookie) = ((UNIQUE_IDENTIFIER, &ID[..]), (NTS_COOKIE, cookie.octets()));
    for clear in [&[id][..], &[cookie], &[]] {
        let packet = by_hand(BOTH[0], clear, &[], &[1; 16], 0);
        assert_eq!(answer(&packet), Answer::Silent(RequestError::Missing));
    }
    let whole = by_hand(BOTH[0], &[id, cookie], &[], &[1; 16], 0);
    assert_eq!(cookies(answer(&whole), BOTH[0]).len(), 1);
    assert_eq!(answer(&whole[..whole.len() - 40]), Answer::Silent(RequestError::Missing));
}

#[test]
fn a081_placeholders_never_buy_more_than_eight_cookies() {
    let sealed = keys().seal(&session(BOTH[1]), &[9; NONCE]).unwrap();
    let cookie = sealed.octets();
    let zeros = [0; 68];
    let placeholder = (NTS_COOKIE_PLACEHOLDER, &zeros[..]);
    let id = (UNIQUE_IDENTIFIER, &ID[..]);
    for (clear_ones, hidden_ones, expected) in
        [(7, 0, 8), (0, 7, 8), (3, 2, 6), (8, 0, 8), (14, 0, 8), (0, 14, 8)]
    {
        let mut clear = std::vec![id, (NTS_COOKIE, cookie)];
        clear.extend(std::vec![placeholder; clear_ones]);
        let packet = by_hand(BOTH[1], &clear, &std::vec![placeholder; hidden_ones], &[1; 12], 0);
        assert_eq!(cookies(answer(&packet), BOTH[1]).len(), expected);
    }
    let mut clear = std::vec![id, (NTS_COOKIE, cookie)];
    clear.extend(std::vec![placeholder; 600]);
    assert_eq!(answer(&by_hand(BOTH[1], &clear, &[], &[1; 12], 0)), Answer::Silent(RequestError::TooLong));
}

#[test]
fn a081_placeholders_unlike_the_cookie_are_silent() {
    let sealed = keys().seal(&session(BOTH[0]), &[9; NONCE]).unwrap();
    let clear = [(UNIQUE_IDENTIFIER, &ID[..]), (NTS_COOKIE, sealed.octets())];
    for length in [0, 12, 96, 104] {
        let zeros = std::vec![0; length];
        let placeholder = (NTS_COOKIE_PLACEHOLDER, &zeros[..]);
        let hidden = by_hand(BOTH[0], &clear, &[placeholder], &[1; 16], 0);
        assert_eq!(answer(&hidden), Answer::Silent(RequestError::EncryptedFields), "{length}");
        if length >= 12 {
            let open = by_hand(BOTH[0], &[clear[0], clear[1], placeholder], &[], &[1; 16], 0);
            assert_eq!(answer(&open), Answer::Silent(RequestError::Fields(FieldError::Placeholder)));
        }
    }
}

#[test]
fn a081_what_follows_the_authenticator_buys_nothing() {
    let packet = request(Algorithm::AesSivCmac256, 1);
    let mut placeholder = std::vec![3, 4, 0, 104];
    placeholder.extend([0; 100]);
    let followed = [&packet[..], &placeholder, &placeholder].concat();
    assert_eq!(cookies(answer(&followed), Algorithm::AesSivCmac256).len(), 2);
}

#[test]
fn a082_a_cookie_that_can_not_be_opened_is_answered_with_a_nak() {
    let id = (UNIQUE_IDENTIFIER, &ID[..]);
    let own = keys().seal(&session(BOTH[0]), &[9; NONCE]).unwrap();
    let foreign = cookie_keys(2, TODAY).seal(&session(BOTH[0]), &[9; NONCE]).unwrap();
    let old = cookie_keys(1, TODAY - 3).seal(&session(BOTH[0]), &[9; NONCE]).unwrap();
    let mut flipped = own.octets().to_vec();
    flipped[50] ^= 1;
    let (short, other, long) = ([0; 12], [7; 104], [7; 1500]);
    let unlike: [&[u8]; 6] = [foreign.octets(), old.octets(), &flipped, &short, &other, &long];
    for cookie in unlike {
        let packet = by_hand(BOTH[0], &[id, (NTS_COOKIE, cookie)], &[], &[1; 16], 0);
        let Answer::Nak(mut nak) = answer(&packet) else { panic!("{cookie:?}") };
        assert_eq!(nak.len(), 84);
        let session = session(BOTH[0]);
        let awaited = Awaited { unique_identifier: &ID, origin: ORIGIN, key: &session.server_to_client };
        assert_eq!(read_reply(&mut nak, &awaited), Ok(Reply::Nak));
    }
    // A field of less than 12 octets is no field (RFC 7822), so a cookie of 0 to 3 octets is silent.
    for length in 0..4 {
        let packet = by_hand(BOTH[0], &[id, (NTS_COOKIE, &[0; 3][..length])], &[], &[1; 16], 0);
        assert!(matches!(answer(&packet), Answer::Silent(_)), "{length}");
    }
}

#[test]
fn a082_every_flipped_bit_is_refused() {
    for algorithm in BOTH {
        let packet = request(algorithm, 1);
        for bit in 0..8 * packet.len() {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match answer(&flipped) {
                Answer::Time(_) => panic!("{bit}"),
                // Another version: as if there were no NTS fields.
                Answer::Plain => assert!((3..6).contains(&bit), "{bit}"),
                Answer::Nak(_) | Answer::Silent(_) => {}
            }
        }
    }
}

#[test]
fn a084_a_nonce_needs_its_room() {
    let clear = |algorithm| {
        let sealed = keys().seal(&session(algorithm), &[9; NONCE]).unwrap();
        (sealed, algorithm)
    };
    for (algorithm, nonce, padding, is_lawful) in [
        (BOTH[0], 16, 0, true),
        (BOTH[0], 8, 8, true),
        (BOTH[0], 13, 0, true),
        (BOTH[0], 1, 12, true),
        (BOTH[0], 20, 0, true),
        (BOTH[0], 100, 0, true),
        (BOTH[0], 8, 4, false),
        (BOTH[0], 12, 0, false),
        (BOTH[0], 1, 8, false),
        (BOTH[1], 12, 0, true),
        (BOTH[1], 12, 4, true),
        (BOTH[1], 8, 4, false),
        (BOTH[1], 8, 0, false),
        (BOTH[1], 11, 0, false),
        (BOTH[1], 16, 0, false),
    ] {
        let (sealed, algorithm) = clear(algorithm);
        let fields = [(UNIQUE_IDENTIFIER, &ID[..]), (NTS_COOKIE, sealed.octets())];
        let found = answer(&by_hand(algorithm, &fields, &[], &std::vec![7; nonce], padding));
        if is_lawful {
            assert_eq!(cookies(found, algorithm).len(), 1, "{nonce} {padding}");
        } else {
            assert_eq!(found, Answer::Silent(RequestError::Nonce), "{algorithm:?} {nonce} {padding}");
        }
    }
    let (sealed, algorithm) = clear(BOTH[0]);
    let fields = [(UNIQUE_IDENTIFIER, &ID[..]), (NTS_COOKIE, sealed.octets())];
    let none = by_hand(algorithm, &fields, &[], &[], 16);
    assert_eq!(answer(&none), Answer::Silent(RequestError::Fields(FieldError::Authenticator)));
}

#[test]
fn the_identifier_comes_back_whole_however_long_it_is() {
    let sealed = keys().seal(&session(BOTH[0]), &[9; NONCE]).unwrap();
    for length in [32, 36, 64, 500] {
        let id = std::vec![0x42; length];
        let fields = [(UNIQUE_IDENTIFIER, &id[..]), (NTS_COOKIE, sealed.octets())];
        let Answer::Time(reply) = answer(&by_hand(BOTH[0], &fields, &[], &[7; 16], 0)) else { panic!() };
        assert_eq!(reply[52..52 + length], id);
    }
}

#[test]
fn a_reply_needs_its_nonces_and_its_room() {
    let keys = keys();
    let mut packet = request(Algorithm::AesSivCmac256, 3);
    let Ok(Request::Protected(request)) = read_request(&mut packet, &keys) else { panic!() };
    assert_eq!((request.cookies(), request.nonces()), (4, 16 + 4 * 12));
    let nonces = [0; MAX_NONCES];
    let mut out = [0; MAX_PACKET];
    for length in 0..request.nonces() {
        let written = request.write_reply(&keys, &nonces[..length], Header::default, &mut out);
        assert_eq!(written, Err(SealError::NonceLength));
    }
    for length in 0..request.reply_length() {
        let written = request.write_reply(&keys, &nonces, Header::default, &mut out[..length]);
        assert_eq!(written, Err(SealError::NoRoom));
    }
}
