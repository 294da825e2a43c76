//! Arbitrary untrusted octets; and round trips.

extern crate std;
use super::MAX_PACKET;
use super::aead::Offer;
use super::aead::{Algorithm, Key, TAG};
use super::client::{self, Awaited, Reply, read_reply};
use super::ke_request;
use super::ke_response::{Answer, Response};
use super::record::{Boundary, records};
use super::server::{MAX_NONCES, Request, read_request};
use super::server_name::ServerName;
use super::vectors::{ORIGIN, cookie_keys, session};
use crate::header::Header;
use crate::request::minimal;
use core::net::{IpAddr, Ipv4Addr};
use proptest::collection::vec;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const TODAY: u32 = 20_500;

fn algorithm() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

/// Records of known types, with bodies that may be valid.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0u16..9, Just(1024), 0x8000u16..0x8009, Just(0x8400), any::<u16>()];
    let body = prop_oneof![
        Just(Vec::from([0, 0])),
        Just(Vec::from([0, 15])),
        Just(Vec::from([0, 30])),
        vec(any::<u8>(), 0..40)
    ];
    vec((kind, body), 0..12).prop_map(|records| {
        let mut octets = Vec::new();
        for (kind, body) in records {
            octets.extend(kind.to_be_bytes());
            octets.extend((body.len() as u16).to_be_bytes());
            octets.extend(body);
        }
        octets
    })
}

/// A header and fields of known types, with lengths that may be valid.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![Just(0x104u16), Just(0x204), Just(0x304), Just(0x404), any::<u16>()];
    let value = prop_oneof![Just(32usize), Just(36), Just(68), Just(100), 0usize..120];
    let fields = vec((kind, value, any::<[u8; 4]>(), any::<u8>()), 0..8);
    (prop_oneof![Just(0x23u8), Just(0x24), any::<u8>()], fields, any::<bool>()).prop_map(
        |(first, fields, is_nak)| {
            let mut octets = minimal(ORIGIN).encode().to_vec();
            octets[0] = first;
            if is_nak {
                octets[12..16].copy_from_slice(b"NTSN");
            }
            for (kind, length, lengths, octet) in fields {
                octets.extend(kind.to_be_bytes());
                octets.extend((length as u16 + 4).to_be_bytes());
                let mut value = std::vec![octet; length];
                if let Some(place) = value.first_chunk_mut() {
                    *place = [lengths[0] % 2, lengths[1] % 64, lengths[2] % 2, lengths[3] % 64];
                }
                octets.extend(value);
            }
            octets
        },
    )
}

fn read_everything(octets: &[u8]) -> Result<(), TestCaseError> {
    for mut boundary in [Boundary::of_request(), Boundary::of_response()] {
        if let Ok(Some(length)) = boundary.find(octets) {
            prop_assert_eq!(length, octets.len());
            prop_assert!(records(octets).all(|record| record.is_ok()));
        }
    }
    match ke_request::Request::decode(octets) {
        Ok(request) => drop(request.agree(Offer::RESISTANT)),
        Err(error) => prop_assert!(!error.to_string().is_empty()),
    }
    for offer in [Offer::GCM_SIV_FIRST, Offer::only(Algorithm::AesSivCmac256)] {
        match Response::decode(octets, offer, PEER) {
            Ok(response) => {
                prop_assert!(offer.contains(response.algorithm));
                prop_assert!((1..=8).contains(&response.cookies().count()));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
    if let Ok(ServerName::Host(name)) = ServerName::decode(octets, PEER) {
        prop_assert!(!name.is_empty() && name.len() <= 253 && name.is_ascii());
    }
    let keys = cookie_keys(1, TODAY);
    prop_assert!(keys.open(octets).is_none());
    let mut out = [0; MAX_PACKET];
    match read_request(&mut octets.to_vec(), &keys) {
        Ok(Request::Protected(_)) => prop_assert!(false, "no client has a valid cookie"),
        Ok(Request::Refused(refused)) => {
            prop_assert!(refused.write_nak(&mut out).is_ok_and(|length| length < octets.len()));
        }
        Ok(Request::Plain) => {}
        Err(error) => prop_assert!(!error.to_string().is_empty()),
    }
    for algorithm in Algorithm::ALL {
        let session = session(algorithm);
        let awaited = Awaited { unique_identifier: &[0; 32], origin: 0, key: &session.server_to_client };
        match read_reply(&mut octets.to_vec(), &awaited) {
            Ok(Reply::Protected(_)) => prop_assert!(false, "no server has the key"),
            Ok(Reply::Nak) => {}
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a057_a058_a089_any_octets_are_read_without_panic(octets in vec(any::<u8>(), 0..300)) {
        read_everything(&octets)?;
    }

    #[test]
    fn a054_a058_a089_any_records_are_read_without_panic(octets in message(), is_ended in any::<bool>()) {
        let mut octets = octets;
        if is_ended {
            octets.extend([0x80, 0, 0, 0]);
        }
        read_everything(&octets)?;
    }

    #[test]
    fn a064_a081_a082_a084_any_fields_are_read_without_panic(octets in packet()) {
        read_everything(&octets)?;
    }

    #[test]
    fn a_boundary_does_not_depend_on_the_pieces(octets in message(), pieces in vec(1usize..30, 1..60)) {
        let octets = [&octets[..], &[0x80, 0, 0, 0]].concat();
        let whole = Boundary::of_response().find(&octets);
        let mut boundary = Boundary::of_response();
        let mut arrived = 0usize;
        let mut found = Ok(None);
        for piece in pieces.into_iter().chain([usize::MAX]) {
            arrived = arrived.saturating_add(piece).min(octets.len());
            found = boundary.find(&octets[..arrived]);
            if found != Ok(None) {
                break;
            }
        }
        // An end with octets behind it is valid as long as they have not arrived.
        match (whole, found) {
            (Err(_), Ok(Some(length))) => prop_assert!(length < octets.len()),
            (whole, found) => prop_assert_eq!(whole, found),
        }
    }

    #[test]
    fn what_is_sealed_is_opened(
        algorithm in algorithm(),
        secret in any::<[u8; 64]>(),
        nonce in any::<[u8; 16]>(),
        associated in vec(any::<u8>(), 0..200),
        plain in vec(any::<u8>(), 0..200),
    ) {
        let key = Key::from_octets(algorithm, &secret[..algorithm.key_length()]).unwrap();
        let nonce = &nonce[..algorithm.nonce_length()];
        let mut text = std::vec![0; plain.len() + TAG];
        let place = algorithm.plaintext(text.len());
        text[place].copy_from_slice(&plain);
        key.seal(&mut nonce.to_vec(), &associated, &mut text).unwrap();
        prop_assert_eq!(key.open(nonce, &associated, &mut text).unwrap(), plain);
    }

    #[test]
    fn an_answer_says_what_was_put_into_it(
        algorithm in algorithm(),
        says_compliant_exporter in any::<bool>(),
        port in prop::option::of(1u16..),
        cookies in vec(vec(any::<u8>(), 1..120), 1..9),
    ) {
        let cookies: Vec<&[u8]> = cookies.iter().map(Vec::as_slice).collect();
        let answer = Answer {
            algorithm,
            says_compliant_exporter,
            server: Some("ntp.example.net"),
            port,
            cookies: &cookies,
        };
        let mut out = [0; 2048];
        let length = answer.encode(&mut out).unwrap();
        let response = Response::decode(&out[..length], Offer::only(algorithm), PEER).unwrap();
        prop_assert_eq!(response.algorithm, algorithm);
        prop_assert_eq!(response.port, port.unwrap_or(123));
        prop_assert_eq!(response.server, Some(ServerName::Host("ntp.example.net")));
        prop_assert_eq!(response.cookies().collect::<Vec<_>>(), cookies);
    }

    #[test]
    fn a073_a_client_and_a_server_understand_each_other(
        algorithm in algorithm(),
        identifier in any::<[u8; 32]>(),
        nonce in any::<[u8; 16]>(),
        nonces in vec(any::<u8>(), MAX_NONCES),
        placeholders in 0usize..12,
        origin in any::<u64>(),
    ) {
        let (keys, session) = (cookie_keys(1, TODAY), session(algorithm));
        let mut packet = [0; MAX_PACKET];
        let cookie = keys.seal(&session, &[9; 12]).unwrap();
        let request = client::ProtectedRequest {
            header: minimal(origin),
            unique_identifier: &identifier,
            cookie: cookie.octets(),
            placeholders,
            key: &session.client_to_server,
            nonce: &nonce,
        };
        let length = request.encode(&mut packet).unwrap();
        let Ok(Request::Protected(request)) = read_request(&mut packet[..length], &keys) else {
            panic!()
        };
        let header = Header { mode: 4, origin_timestamp: origin, ..minimal(7) };
        let mut out = [0; MAX_PACKET];
        let replied = request.write_reply(&keys, &nonces, || header, &mut out).unwrap();
        prop_assert!(replied <= length);
        let awaited =
            Awaited { unique_identifier: &identifier, origin, key: &session.server_to_client };
        let Ok(Reply::Protected(reply)) = read_reply(&mut out[..replied], &awaited) else { panic!() };
        prop_assert_eq!(reply.header, header);
        // Of the longest cookies, those of AEAD 17, six fit into a packet.
        let room = if algorithm == Algorithm::AesSivCmac512 { 6 } else { 8 };
        prop_assert_eq!(reply.cookies().count(), (placeholders + 1).min(room));
        for cookie in reply.cookies() {
            let opened = keys.open(cookie).unwrap();
            prop_assert_eq!(opened.keys.server_to_client.octets(), session.server_to_client.octets());
        }
    }
}
