//! What a build for FIPS 140 has, that it is the same as everybody else's, and that it has nothing else.

extern crate std;
use super::*;
use crate::header::{Header, MODE_CLIENT, MODE_SERVER};
use crate::mac::{MacError, MacKey, read_reply as read_keyed_reply};
use crate::nts::aead::{Algorithm, Direction, Exporter, Key as AeadKey, SessionKeys, exporter_context};
use crate::nts::client::{Awaited, ProtectedRequest, Reply, ReplyError, read_reply};
use crate::nts::cookie::{self, CookieKeys};
use crate::nts::ratchet::{Ratchet, SECRET};
use crate::nts::reseal::reseal;
use crate::nts::server::{Request, read_request};
use crate::nts::{MAX_COOKIES, MAX_PACKET};
use crate::request::minimal;
use ::hkdf::Hkdf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use ipc::symmetric_key::{MacKind, SymmetricKey};
use sha2::Sha256;
use std::collections::HashSet;
use std::vec;
use std::vec::Vec;

const TODAY: u32 = 20_700;

fn gcm(octet: u8) -> AeadKey {
    AeadKey::from_octets(Algorithm::Aes256Gcm, &[octet; 32]).expect("the one that is approved")
}

fn session() -> SessionKeys {
    SessionKeys::from_octets(Algorithm::Aes256Gcm, &[1; 32], &[2; 32]).expect("the one that is approved")
}

fn cookie_keys(octet: u8) -> CookieKeys {
    CookieKeys::new(TODAY, Ratchet::from_random(&[octet; SECRET], TODAY).keys()).expect("a set")
}

#[test]
fn the_module_is_in_fips_mode() {
    assert_eq!(start(), Ok(()));
    assert_eq!(name(), Some("AWS-LC FIPS"));
}

#[test]
fn nothing_that_is_not_approved_has_a_key() {
    for algorithm in Algorithm::ALL {
        let key = AeadKey::from_octets(algorithm, &[1; 64][..algorithm.key_length()]);
        assert_eq!(key.is_some(), algorithm == Algorithm::Aes256Gcm, "{algorithm:?}");
    }
    for kind in MacKind::ALL {
        let octets = &[1; 32][..if kind == MacKind::Aes128 { 16 } else { 32 }];
        let key = MacKey::new(&SymmetricKey::new(1, kind, octets).expect("a length that it takes"));
        assert_eq!(key.is_some(), matches!(kind, MacKind::Aes128 | MacKind::Aes256), "{kind:?}");
    }
}

#[test]
fn gcm_is_that_of_rustcrypto_with_a_nonce_of_the_module() {
    let other = Aes256Gcm::new(&[1; 32].into());
    let mut nonces = HashSet::new();
    for length in [0, 1, 16, 300] {
        let plain: Vec<u8> = (0..length).map(|octet| octet as u8).collect();
        let mut text = plain.clone();
        text.resize(length + TAG, 0xee);
        let mut nonce = [7; NONCE];
        gcm(1).seal(&mut nonce, b"associated", &mut text).expect("it is in FIPS mode");
        assert!(nonce != [7; NONCE] && nonces.insert(nonce), "{nonce:?}");
        let mut copy = text.clone();
        let (sealed, tag) = copy.split_last_chunk_mut::<TAG>().expect("a tag");
        let opened = other.decrypt_inout_detached(
            (&nonce).into(),
            b"associated",
            (&mut *sealed).into(),
            (&*tag).into(),
        );
        assert!(opened.is_ok() && *sealed == plain[..], "{length}");
        assert_eq!(gcm(1).open(&nonce, b"associated", &mut text), Ok(&mut plain.clone()[..]), "{length}");
    }
}

#[test]
fn a082_every_flipped_bit_is_refused_and_the_text_stays_as_it_was() {
    let mut text = vec![3; 20 + TAG];
    let mut nonce = [0; NONCE];
    gcm(1).seal(&mut nonce, b"associated", &mut text).expect("it is in FIPS mode");
    let whole = text.clone();
    for bit in 0..8 * text.len() {
        text[bit / 8] ^= 1 << (bit % 8);
        let flipped = text.clone();
        assert_eq!(gcm(1).open(&nonce, b"associated", &mut text), Err(Forged), "bit {bit}");
        assert_eq!(text, flipped);
        text.clone_from(&whole);
    }
    for bit in 0..8 * NONCE {
        let mut other = nonce;
        other[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(gcm(1).open(&other, b"associated", &mut text), Err(Forged), "bit {bit} of the nonce");
    }
    assert_eq!(gcm(1).open(&nonce, b"assOciated", &mut text), Err(Forged));
    assert_eq!(gcm(2).open(&nonce, b"associated", &mut text), Err(Forged));
    assert_eq!(gcm(1).open(&nonce[1..], b"associated", &mut text), Err(Forged));
    assert_eq!(gcm(1).open(&nonce, b"associated", &mut [0; TAG - 1]), Err(Forged));
    assert!(gcm(1).open(&nonce, b"associated", &mut text).is_ok());
}

#[test]
fn hkdf_is_that_of_rustcrypto() {
    for (salt, secret) in [(&b"salt"[..], &[1_u8; 32][..]), (b"", &[2; 77])] {
        let (mut ours, mut theirs) = ([0; 32], [0; 32]);
        Prk::extract(salt, secret).expand(&[b"label", &[0, 1]], &mut ours);
        Hkdf::<Sha256>::new(Some(salt), secret).expand(b"label\0\x01", &mut theirs).expect("one block");
        assert_eq!(ours, theirs);
    }
    let (mut ours, mut theirs) = ([0; 32], [0; 32]);
    Prk::from_octets(&[9; 32]).expand(&[b"label"], &mut ours);
    Hkdf::<Sha256>::from_prk(&[9; 32])
        .expect("long enough")
        .expand(b"label", &mut theirs)
        .expect("one block");
    assert_eq!(ours, theirs);
}

#[test]
fn cmac_has_the_digests_of_rfc_4493_and_of_rustcrypto() {
    use cmac::{Cmac, Mac};
    let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
    let empty = 0xbb1d_6929_e959_3728_7fa3_7d12_9b75_6746_u128.to_be_bytes();
    assert_eq!(Cmac128::new(&key).expect("16 octets").digest(b""), empty);
    for length in [0, 1, 16, 47, 48, 100] {
        let covered = vec![0x5a; length];
        let theirs = Cmac::<aes::Aes128>::new_from_slice(&key).expect("16 octets").chain_update(&covered);
        let ours = Cmac128::new(&key).expect("16 octets").digest(&covered);
        assert_eq!(ours[..], theirs.finalize().into_bytes()[..], "{length}");
        let theirs = Cmac::<aes::Aes256>::new_from_slice(&[3; 32]).expect("32 octets").chain_update(&covered);
        let ours = Cmac256::new(&[3; 32]).expect("32 octets").digest(&covered);
        assert_eq!(ours[..], theirs.finalize().into_bytes()[..], "{length}");
    }
    assert!(Cmac128::new(&[0; 17]).is_none() && Cmac256::new(&[0; 16]).is_none());
}

#[test]
fn a196_a_reply_with_another_digest_is_refused_bit_by_bit() {
    let key = MacKey::new(&SymmetricKey::new(7, MacKind::Aes256, &[1; 32]).expect("32 octets"));
    let key = key.expect("it is approved");
    let header = Header { version: 4, mode: MODE_SERVER, stratum: 2, origin_timestamp: 9, ..minimal(0) };
    let mut packet = [0; 68];
    packet[..48].copy_from_slice(&header.encode());
    assert_eq!(key.put(&mut packet, 48, 4), Some(68));
    assert!(read_keyed_reply(&packet, &key, 9).is_ok());
    for bit in 0..8 * 16 {
        let mut other = packet;
        other[52 + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(read_keyed_reply(&other, &key, 9), Err(MacError::Forged), "bit {bit}");
    }
}

#[test]
fn a_cookie_has_a_key_of_its_own_and_opens_under_its_epoch_alone() {
    let keys = cookie_keys(1);
    let cookie = keys.seal(&session(), &[9; cookie::NONCE]).unwrap();
    assert_eq!(cookie.octets().len(), cookie::length(Algorithm::Aes256Gcm));
    assert_eq!(cookie.octets().len() % 4, 0);
    let held = keys.open(cookie.octets()).expect("it is ours");
    assert_eq!(held.keys.client_to_server.octets(), [1; 32]);
    assert_eq!(held.keys.server_to_client.octets(), [2; 32]);
    // Even where the random octets come twice.
    let again = keys.seal(&session(), &[9; cookie::NONCE]).unwrap();
    assert_ne!(again.octets(), cookie.octets());
    assert!(keys.open(again.octets()).is_some());
    assert!(cookie_keys(2).open(cookie.octets()).is_none());
    for bit in 0..8 * cookie.octets().len() {
        let mut other = cookie.octets().to_vec();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(keys.open(&other).is_none(), "bit {bit}");
    }
    for cut in 0..cookie.octets().len() {
        assert!(keys.open(&cookie.octets()[..cut]).is_none(), "{cut}");
    }
}

#[test]
fn a_request_is_opened_its_reply_read_and_resealed() {
    let keys = cookie_keys(1);
    let cookie = keys.seal(&session(), &[9; cookie::NONCE]).unwrap();
    let mut packet = [0; MAX_PACKET];
    let request = ProtectedRequest {
        header: Header { transmit_timestamp: 77, ..minimal(0) },
        unique_identifier: &[5; 32],
        cookie: cookie.octets(),
        placeholders: 3,
        key: &session().client_to_server,
        nonce: &[6; 16],
    };
    let length = request.encode(&mut packet).expect("it fits");
    let mut other = packet;
    other[length - 1] ^= 1;
    assert!(matches!(read_request(&mut other[..length], &keys), Ok(Request::Refused(_))));
    let Ok(Request::Protected(asked)) = read_request(&mut packet[..length], &keys) else {
        panic!("not opened");
    };
    assert_eq!((asked.header().mode, asked.cookies()), (MODE_CLIENT, 4));
    let mut reply = [0; MAX_PACKET];
    let header = Header { mode: MODE_SERVER, origin_timestamp: 77, ..*asked.header() };
    let random = [8; cookie::NONCE * MAX_COOKIES + 16];
    let end = asked.write_reply(&keys, &random[..asked.nonces()], || header, &mut reply).expect("it fits");
    assert!(end <= length && end == asked.reply_length());
    let reply = &mut reply[..end];
    let (old, new) = (session().server_to_client, gcm(3));
    let awaited = |key| Awaited { unique_identifier: &[5; 32], origin: 77, key };
    assert!(matches!(read_reply(&mut reply.to_vec(), &awaited(&old)), Ok(Reply::Protected(_))));
    assert_eq!(read_reply(&mut reply.to_vec(), &awaited(&new)).err(), Some(ReplyError::Forged));
    assert!(reseal(reply, &old, &new, &mut |_| ()));
    let Ok(Reply::Protected(read)) = read_reply(reply, &awaited(&new)) else { panic!("not opened") };
    assert!(read.cookies().count() == 4 && read.cookies().all(|cookie| keys.open(cookie).is_some()));
}

#[test]
fn keys_of_tls_are_those_of_number_2() {
    let context = exporter_context(Algorithm::Aes256Gcm, Direction::ClientToServer, Exporter::Standard);
    assert_eq!(context, [0, 0, 0, 2, 0]);
}
