extern crate std;
use super::*;
use crate::extension_field::{Item, NTS_AUTHENTICATOR, walk};
use crate::nts::aead::{Algorithm, SessionKeys, TAG};
use crate::nts::field::plaintext_place;
use crate::nts::vectors::{ORIGIN, counted, session};
use crate::request::minimal;
use std::vec::Vec;

const BOTH: [Algorithm; 2] = [Algorithm::AesSivCmac256, Algorithm::Aes128GcmSiv];

fn build(keys: &SessionKeys, cookie: &[u8], placeholders: usize) -> Result<Vec<u8>, BuildError> {
    let mut packet = [0xaa; MAX_PACKET];
    let request = ProtectedRequest {
        header: minimal(ORIGIN),
        unique_identifier: &counted(0x80),
        cookie,
        placeholders,
        key: &keys.client_to_server,
        nonce: &counted(0xc0),
    };
    request.encode(&mut packet).map(|length| packet[..length].to_vec())
}

fn fields(packet: &[u8]) -> Vec<(u16, usize)> {
    walk(&packet[LENGTH..], 4)
        .map(|item| match item.unwrap() {
            Item::Field { kind, value, .. } => (kind, value.len()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_request_has_its_fields_in_order_and_eight_cookies_asked_for() {
    assert_eq!([0, 3, 7, 8, 100].map(placeholders_wanted), [7, 4, 0, 0, 0]);
    for (algorithm, size, authenticator) in [(BOTH[0], 956, 36), (BOTH[1], 952, 32)] {
        let packet = build(&session(algorithm), &[5; 100], 7).unwrap();
        assert_eq!(packet.len(), size);
        let mut expected = std::vec![(UNIQUE_IDENTIFIER, 32), (NTS_COOKIE, 100)];
        expected.extend([(NTS_COOKIE_PLACEHOLDER, 100); 7]);
        expected.push((NTS_AUTHENTICATOR, authenticator));
        assert_eq!(fields(&packet), expected);
        // Placeholders are zeros, whatever the buffer contained before.
        assert!(packet[48 + 36 + 104..][4..104].iter().all(|octet| *octet == 0));
    }
}

#[test]
fn a_request_is_never_longer_than_a_packet() {
    for algorithm in BOTH {
        let keys = session(algorithm);
        let mut most = 0;
        for length in 1..=1200 {
            let cookie = std::vec![5; length];
            let Ok(packet) = build(&keys, &cookie, 100) else {
                assert!(length > 1024, "{length}");
                continue;
            };
            assert!(packet.len() <= MAX_PACKET);
            let found = fields(&packet);
            let (_, size) = found[1];
            assert!(size >= length && size - length < 12 && size.is_multiple_of(4), "{length} {size}");
            let placeholders = found.len() - 3;
            assert!(placeholders <= 7);
            assert!(placeholders == 7 || packet.len() + 4 + size > MAX_PACKET, "{length}: {placeholders}");
            most = most.max(packet.len());
        }
        assert!(most > MAX_PACKET - 8);
    }
}

#[test]
fn a057_cookies_that_fit_no_packet_make_no_request() {
    let keys = session(Algorithm::AesSivCmac256);
    for length in [0, 1200, 65_535] {
        assert_eq!(build(&keys, &std::vec![1; length], 0), Err(BuildError::CookieLength));
    }
}

/// A reply as a server makes it: these fields encrypted, those in the clear before.
fn reply(keys: &SessionKeys, header: Header, clear: &[(u16, &[u8])], hidden: &[(u16, &[u8])]) -> Vec<u8> {
    let mut packet = header.encode().to_vec();
    let put = |out: &mut Vec<u8>, fields: &[(u16, &[u8])]| {
        for (kind, value) in fields {
            out.extend(kind.to_be_bytes());
            out.extend(u16::try_from(value.len() + 4).unwrap().to_be_bytes());
            out.extend(*value);
        }
    };
    put(&mut packet, clear);
    let at = packet.len();
    let mut plain = std::vec![];
    put(&mut plain, hidden);
    let key = &keys.server_to_client;
    let place = plaintext_place(key.algorithm(), plain.len());
    packet.resize(at + place.start, 0);
    packet.extend(&plain);
    packet.resize(at + 8 + 16 + plain.len() + TAG, 0);
    let end = put_authenticator(&mut packet, at, key, &counted::<16>(0xd0), plain.len()).unwrap();
    packet.truncate(end);
    packet
}

fn header() -> Header {
    Header { mode: MODE_SERVER, stratum: 2, origin_timestamp: ORIGIN, ..minimal(77) }
}

const ID: [u8; 32] = [0x80; 32];

fn read<'p>(packet: &'p mut [u8], keys: &SessionKeys) -> Result<Reply<'p>, ReplyError> {
    read_reply(packet, &Awaited { unique_identifier: &ID, origin: ORIGIN, key: &keys.server_to_client })
}

#[test]
fn a_protected_reply_brings_its_header_and_its_cookies() {
    for algorithm in BOTH {
        let keys = session(algorithm);
        for count in [0, 1, 8, 9] {
            let hidden = std::vec![(NTS_COOKIE, &[6u8; 68][..]); count];
            let mut packet = reply(&keys, header(), &[(UNIQUE_IDENTIFIER, &ID)], &hidden);
            let Ok(Reply::Protected(found)) = read(&mut packet, &keys) else { panic!("{count}") };
            assert_eq!(found.header, header());
            assert_eq!(found.cookies().collect::<Vec<_>>(), std::vec![[6u8; 68]; count.min(8)]);
        }
    }
}

#[test]
fn a064_every_flipped_bit_is_refused() {
    for algorithm in BOTH {
        let keys = session(algorithm);
        let packet = reply(&keys, header(), &[(UNIQUE_IDENTIFIER, &ID)], &[(NTS_COOKIE, &[6; 68])]);
        for bit in 0..8 * packet.len() {
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&mut flipped, &keys).is_err(), "{bit}");
        }
        assert!(read(&mut packet.clone(), &keys).is_ok());
        for length in 0..packet.len() {
            assert!(read(&mut packet[..length].to_vec(), &keys).is_err(), "{length}");
        }
    }
}

#[test]
fn a064_lengths_that_do_not_fit_and_fields_twice_are_silent() {
    let keys = session(Algorithm::AesSivCmac256);
    let id = (UNIQUE_IDENTIFIER, &ID[..]);
    let whole = reply(&keys, header(), &[id], &[(NTS_COOKIE, &[6; 68])]);
    let at = 48 + 36;
    for (offset, values) in [(4, [0u16, 1, 15, 17, 200, 65_535]), (6, [0, 15, 87, 89, 200, 65_535])] {
        for value in values {
            let mut packet = whole.clone();
            packet[at + offset..at + offset + 2].copy_from_slice(&value.to_be_bytes());
            let error = read(&mut packet, &keys).unwrap_err();
            assert!(matches!(error, ReplyError::Forged | ReplyError::Fields(_)), "{offset} {value} {error}");
        }
    }
    let mut twice = [&whole[..], &whole[at..]].concat();
    assert_eq!(read(&mut twice, &keys), Err(ReplyError::Fields(FieldError::Twice)));
    let mut two = reply(&keys, header(), &[id, id], &[]);
    assert_eq!(read(&mut two, &keys), Err(ReplyError::Fields(FieldError::Twice)));
}

#[test]
fn a064_a065_nothing_follows_the_authenticator_and_no_cookie_comes_from_there() {
    let keys = session(Algorithm::AesSivCmac256);
    let whole = reply(&keys, header(), &[(UNIQUE_IDENTIFIER, &ID)], &[(NTS_COOKIE, &[6; 68])]);
    let mut cookie = std::vec![2, 4, 0, 72];
    cookie.extend([7; 68]);
    assert_eq!(read(&mut [&whole[..], &cookie].concat(), &keys), Err(ReplyError::Followed));
    for mac in [4, 20, 24] {
        let mut packet = [&whole[..], &std::vec![0; mac]].concat();
        assert_eq!(read(&mut packet, &keys), Err(ReplyError::Fields(FieldError::Mac)));
    }
}

#[test]
fn a065_a_cookie_in_the_clear_is_not_taken() {
    let keys = session(Algorithm::AesSivCmac256);
    let clear = [(UNIQUE_IDENTIFIER, &ID[..]), (NTS_COOKIE, &[7; 68])];
    let mut packet = reply(&keys, header(), &clear, &[(NTS_COOKIE, &[6; 68])]);
    let Ok(Reply::Protected(found)) = read(&mut packet, &keys) else { panic!() };
    assert_eq!(found.cookies().collect::<Vec<_>>(), [[6; 68]]);
}

#[test]
fn a069_a_reply_to_another_request_is_silent() {
    let keys = session(Algorithm::AesSivCmac256);
    let mut packet = reply(&keys, header(), &[(UNIQUE_IDENTIFIER, &[0x81; 32])], &[]);
    assert_eq!(read(&mut packet, &keys), Err(ReplyError::UniqueIdentifier));
    let mut packet = reply(&keys, header(), &[(UNIQUE_IDENTIFIER, &[0x80; 36])], &[]);
    assert_eq!(read(&mut packet, &keys), Err(ReplyError::UniqueIdentifier));
    let mut packet = reply(&keys, header(), &[(NTS_COOKIE, &[0x80; 32])], &[]);
    assert_eq!(read(&mut packet, &keys), Err(ReplyError::UniqueIdentifier));
    let other = Header { origin_timestamp: ORIGIN + 1, ..header() };
    let mut packet = reply(&keys, other, &[(UNIQUE_IDENTIFIER, &ID)], &[]);
    assert_eq!(read(&mut packet, &keys), Err(ReplyError::Origin));
    for (version, mode) in [(3, 4), (5, 4), (4, 3), (4, 5), (4, 6)] {
        let mut packet = reply(&keys, Header { version, mode, ..header() }, &[(UNIQUE_IDENTIFIER, &ID)], &[]);
        assert_eq!(read(&mut packet, &keys), Err(ReplyError::Mode));
    }
    // The right octets, sealed with the key of the other direction.
    let swapped = SessionKeys {
        client_to_server: session(Algorithm::AesSivCmac256).server_to_client,
        server_to_client: session(Algorithm::AesSivCmac256).client_to_server,
    };
    let mut packet = reply(&swapped, header(), &[(UNIQUE_IDENTIFIER, &ID)], &[]);
    assert_eq!(read(&mut packet, &keys), Err(ReplyError::Forged));
}

#[test]
fn a063_plain_time_is_silent_with_and_without_the_identifier() {
    let keys = session(Algorithm::AesSivCmac256);
    let mut plain = header().encode();
    assert_eq!(read(&mut plain, &keys), Err(ReplyError::UniqueIdentifier));
    let with_identifier = |header: Header, id: [u8; 32]| {
        let mut packet = header.encode().to_vec();
        packet.extend([1, 4, 0, 36]);
        packet.extend(id);
        packet
    };
    assert_eq!(read(&mut with_identifier(header(), ID), &keys), Err(ReplyError::Unprotected));
    for code in [*b"DENY", *b"RSTR", *b"RATE", *b"NTSM"] {
        let kiss = Header { stratum: 0, reference_id: u32::from_be_bytes(code), ..header() };
        assert_eq!(read(&mut with_identifier(kiss, ID), &keys), Err(ReplyError::Unprotected));
    }
    let nak = Header { stratum: 0, reference_id: u32::from_be_bytes(*b"NTSN"), ..header() };
    assert_eq!(read(&mut with_identifier(nak, ID), &keys), Ok(Reply::Nak));
    let timely = Header { stratum: 1, ..nak };
    assert_eq!(read(&mut with_identifier(timely, ID), &keys), Err(ReplyError::Unprotected));
}

#[test]
fn a062_a_nak_for_another_request_is_silent() {
    let keys = session(Algorithm::AesSivCmac256);
    let nak = Header { stratum: 0, reference_id: u32::from_be_bytes(*b"NTSN"), ..header() };
    for (header, id, error) in [
        (nak, [0x81; 32], ReplyError::UniqueIdentifier),
        (Header { origin_timestamp: 1, ..nak }, ID, ReplyError::Origin),
    ] {
        let mut packet = header.encode().to_vec();
        packet.extend([1, 4, 0, 36]);
        packet.extend(id);
        assert_eq!(read(&mut packet, &keys), Err(error));
    }
}

#[test]
fn a064_encrypted_nonsense_is_silent_though_the_tag_is_right() {
    let keys = session(Algorithm::Aes128GcmSiv);
    let id = [(UNIQUE_IDENTIFIER, &ID[..])];
    let mut empty = reply(&keys, header(), &id, &[(NTS_COOKIE, &[])]);
    assert_eq!(read(&mut empty, &keys), Err(ReplyError::EncryptedFields));
    // A length that reaches beyond the plaintext.
    let mut broken = reply(&keys, header(), &id, &[(NTS_COOKIE, &[0; 8])]);
    broken.truncate(48 + 36);
    broken.resize(48 + 36 + 8 + 12, 0);
    broken.extend([2, 4, 0, 99]);
    broken.extend([0; 8 + TAG]);
    let key = &keys.server_to_client;
    put_authenticator(&mut broken, 84, key, &[1; 12], 12).unwrap();
    assert_eq!(read(&mut broken, &keys), Err(ReplyError::EncryptedFields));
}
