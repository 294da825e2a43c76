//! Octets from other sources: the standards' own vectors, and packets of an independent script.

extern crate std;
use super::MAX_PACKET;

use super::aead::{Algorithm, Direction, Exporter, Key, Offer, SessionKeys, TAG, exporter_context};
use super::client::{Awaited, ProtectedRequest, Reply, read_reply};
use super::cookie::CookieKeys;
use super::hex::hex;
use super::ke_request::encode_request;
use super::ke_response::{Answer, encode_error, encode_no_algorithm, encode_no_protocol};
use super::ratchet::Ratchet;
use super::record::ErrorCode;
use super::server::{Request, read_request};
use crate::request::minimal;
use hkdf::Hkdf;
use sha2::{Digest, Sha256, Sha384};
use std::vec::Vec;

/// Octets that count up from `first`.
pub(super) fn counted<const N: usize>(first: u8) -> [u8; N] {
    core::array::from_fn(|at| first.wrapping_add(at as u8))
}

/// A server's keys.
pub(super) fn cookie_keys(secret: u8, epoch: u32) -> CookieKeys {
    CookieKeys::new(epoch, Ratchet::from_random(&[secret; 32], epoch).keys()).unwrap()
}

/// Keys of an association: 00.. and 20..
pub(super) fn session(algorithm: Algorithm) -> SessionKeys {
    let (to_server, to_client) = (counted::<64>(0), counted::<64>(0x20));
    let length = algorithm.key_length();
    SessionKeys::from_octets(algorithm, &to_server[..length], &to_client[..length]).unwrap()
}

pub(super) const ORIGIN: u64 = 0x0123_4567_89ab_cdef;

fn siv(key: &str) -> Key {
    Key::from_octets(Algorithm::AesSivCmac256, &hex(key)).unwrap()
}

/// Seals, and opens again to verify.
fn seal(key: &Key, nonce: &[u8], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut text = std::vec![0; plain.len() + TAG];
    let place = key.algorithm().plaintext(text.len());
    text[place].copy_from_slice(plain);
    key.seal(&mut nonce.to_vec(), associated, &mut text).unwrap();
    assert_eq!(key.open(nonce, associated, &mut text.clone()).unwrap(), plain);
    text
}

#[test]
fn an_empty_header_is_a_component_of_aes_siv() {
    let key = siv("0123456789abcdeff0123456789abcdeef0123456789abcddef0123456789abc");
    let sealed = seal(&key, &counted::<16>(0x10), b"", b"");
    assert_eq!(sealed, hex("223eb594e0e0254b00258e219a1ca421"));
}

#[test]
fn rfc_5297_a1_and_a2_come_out_of_the_same_cipher() {
    use aes_siv::KeyInit;
    use aes_siv::siv::Aes128Siv;
    let run = |key: &str, headers: &[&str], plain: &str| {
        let key: [u8; 32] = hex(key).try_into().unwrap();
        let mut text = hex(plain);
        let tag = Aes128Siv::new(&key.into())
            .encrypt_inout_detached(headers.iter().map(|header| hex(header)), text.as_mut_slice().into())
            .unwrap();
        [tag.as_slice(), &text].concat()
    };
    assert_eq!(
        run(
            "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            &["101112131415161718191a1b1c1d1e1f2021222324252627"],
            "112233445566778899aabbccddee",
        ),
        hex("85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c")
    );
    assert_eq!(
        run(
            "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
            &[
                "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
                "102030405060708090a0",
                "09f911029d74e35bd84156c5635688c0",
            ],
            "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
        ),
        hex("7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17\
             dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d")
    );
}

#[test]
fn rfc_8452_c1_comes_out_of_aead_30() {
    let key = Key::from_octets(Algorithm::Aes128GcmSiv, &hex("01000000000000000000000000000000")).unwrap();
    let nonce = hex("030000000000000000000000");
    assert_eq!(seal(&key, &nonce, b"", b""), hex("dc20e2d83f25705bb49e439eca56de25"));
    assert_eq!(
        seal(&key, &nonce, b"", &hex("0100000000000000")),
        hex("b5d839330ac7b786578782fff6013b815b287c22493a364c")
    );
    assert_eq!(
        seal(&key, &nonce, &[1], &hex("0200000000000000")),
        hex("1e6daba35669f4273b0a1a2560969cdf790d99759abd1508")
    );
}

const REQUEST: &str = "230000200000000000000000000000000000000000000000000000000000000000000000000000000123456789abcdef\
    01040024808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f\
    02040068030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce3eaf1f8ff060d141b222930373e454c\
    535a61686f767d848b9299a0a7aeb5bcc3cad1d8dfe6edf4fb020910171e252c333a41484f565d646b727980878e959ca3aab1b8\
    0404002800100010c0c1c2c3c4c5c6c7c8c9cacbcccdcecf3bf4ed3e20f3eb83bc6f9d3d94e40066";

const RESPONSE: &str = "240200e80000010000000200c0000201e5000000000000000123456789abcdefe500000180000000e500000180100000\
    01040024808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f\
    0404009000100078d0d1d2d3d4d5d6d7d8d9dadbdcdddedf86cabdec71280037f7945bbbb918b805b9b91c9e2594ec5d20ba192e\
    f0e25b18a29d65498a50871d6512bbb8c36556c30237d4c365c521eba06d7a67ba20024724aed7c72bd697610fb7b9329e488132\
    ef1f76bd9dbb8c5cc4c78da991d72cd090de1c5fecddee1088a7eb38a78568093b1dcad383851e8c";

/// The cookie of the packets, made by a script: no server here could open it.
fn foreign_cookie(factor: u8, first: u8) -> [u8; 100] {
    core::array::from_fn(|at| (at as u8).wrapping_mul(factor).wrapping_add(first))
}

#[test]
fn the_request_comes_out_as_the_script_made_it() {
    let mut packet = [0xaa; MAX_PACKET];
    let request = ProtectedRequest {
        header: minimal(ORIGIN),
        unique_identifier: &counted(0x80),
        cookie: &foreign_cookie(7, 3),
        placeholders: 0,
        key: &Key::from_octets(Algorithm::AesSivCmac256, &counted::<32>(0)).unwrap(),
        nonce: &counted(0xc0),
    };
    let length = request.encode(&mut packet).unwrap();
    assert_eq!(packet[..length], hex(REQUEST));
    assert_eq!(
        Sha256::digest(&packet[..length]).as_slice(),
        hex("9cc16461da3370cd00e8373b187e59951b966ced963b15545178d27e3d6a85dc")
    );
}

#[test]
fn a_short_nonce_with_its_padding_verifies() {
    let packet = hex(REQUEST);
    let key = siv("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    let sealed = seal(&key, &counted::<8>(0xc0), &packet[..188], b"");
    assert_eq!(sealed, hex("77bd40721a08751cf04fb3971475afcd"));
}

#[test]
fn the_response_of_the_script_is_accepted_with_its_cookie() {
    let mut packet = hex(RESPONSE);
    assert_eq!(packet.len(), 228);
    assert_eq!(
        Sha256::digest(&packet).as_slice(),
        hex("5c453e98c85c2e0bfcd65658e4ccc182fc0646846cf9bd5be340f3aa2b5e6e38")
    );
    let key = Key::from_octets(Algorithm::AesSivCmac256, &counted::<32>(0x20)).unwrap();
    let awaited = Awaited { unique_identifier: &counted(0x80), origin: ORIGIN, key: &key };
    let Ok(Reply::Protected(reply)) = read_reply(&mut packet, &awaited) else { panic!() };
    assert_eq!(reply.cookies().collect::<Vec<_>>(), [foreign_cookie(5, 1)]);
    assert_eq!((reply.header.stratum, reply.header.reference_id), (2, 0xc000_0201));
}

#[test]
fn aead_30_seals_the_same_response_as_the_script() {
    let key = Key::from_octets(Algorithm::Aes128GcmSiv, &counted::<16>(0)).unwrap();
    let plain = [&hex("02040068")[..], &foreign_cookie(5, 1)].concat();
    assert_eq!(
        seal(&key, &counted::<12>(0xc0), &hex(RESPONSE)[..84], &plain),
        hex(
            "dcb19e3b1177edc0a0d8f58c03edb7a78048db2285f2df92ecab7a813df15087960889381b2670ff83bb4d5aa617389f\
             6570dda94408dd6017447319dd6ead52838eaf78b34e02efaf05a4654a9acc8f7890935a7887b382b9fb35ae70abad46\
             51dd19e26331b24397ade1fc6677784e66e9a02f0e46e554"
        )
    );
}

#[test]
fn the_nak_comes_out_as_the_script_made_it() {
    let keys = cookie_keys(1, 20_000);
    let mut packet = hex(REQUEST);
    let Ok(Request::Refused(refused)) = read_request(&mut packet, &keys) else { panic!() };
    let mut nak = [0xaa; 84];
    assert_eq!(refused.write_nak(&mut nak), Ok(84));
    assert_eq!(
        nak[..],
        hex(
            "e400000000000000000000004e54534e00000000000000000123456789abcdef00000000000000000000000000000000\
             01040024808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
        )
    );
    let key = Key::from_octets(Algorithm::AesSivCmac256, &[0; 32]).unwrap();
    let awaited = Awaited { unique_identifier: &counted(0x80), origin: ORIGIN, key: &key };
    assert_eq!(read_reply(&mut nak, &awaited), Ok(Reply::Nak));
}

#[test]
fn key_exchange_messages_come_out_as_the_script_made_them() {
    let mut out = [0; 200];
    let check = |length: usize, expected: &str, out: &[u8]| assert_eq!(out[..length], hex(expected));
    let length = encode_request(Offer::only(Algorithm::AesSivCmac256), &mut out).unwrap();
    check(length, "80010002000080040002000f80000000", &out);
    let length = encode_request(Offer::GCM_SIV_FIRST, &mut out).unwrap();
    check(length, "80010002000080040004001e000f0400000080000000", &out);
    let answer = Answer {
        algorithm: Algorithm::AesSivCmac256,
        says_compliant_exporter: false,
        server: Some("ntp.example.net"),
        port: Some(4123),
        cookies: &[&counted::<8>(0)],
    };
    let length = answer.encode(&mut out).unwrap();
    check(
        length,
        "80010002000080040002000f0006000f6e74702e6578616d706c652e6e657400070002101b0005000800010203040506078\
         0000000",
        &out,
    );
    let length = encode_error(ErrorCode::UnrecognizedCriticalRecord, &mut out).unwrap();
    check(length, "80020002000080000000", &out);
    let length = encode_error(ErrorCode::BadRequest, &mut out).unwrap();
    check(length, "80020002000180000000", &out);
    let length = encode_no_protocol(&mut out).unwrap();
    check(length, "8001000080000000", &out);
    let length = encode_no_algorithm(&mut out).unwrap();
    check(length, "8001000200008004000080000000", &out);
}

/// The exporter of TLS 1.3 (RFC 8446 section 7.5) for an exporter_master_secret.
macro_rules! export {
    ($hash:ty, $master:expr, $context:expr, $length:expr) => {{
        let expand = |secret: &[u8], label: &[u8], context: &[u8], length: usize| {
            let mut info = std::vec![0, length as u8, (6 + label.len()) as u8];
            info.extend_from_slice(b"tls13 ");
            info.extend_from_slice(label);
            info.push(context.len() as u8);
            info.extend_from_slice(context);
            let mut out = std::vec![0; length];
            Hkdf::<$hash>::from_prk(secret).unwrap().expand(&info, &mut out).unwrap();
            out
        };
        let empty = <$hash>::digest(b"");
        let derived = expand(&$master, super::aead::EXPORTER_LABEL, &empty, empty.len());
        expand(&derived, b"exporter", &<$hash>::digest($context), $length)
    }};
}

#[test]
fn exported_keys_are_those_of_the_script() {
    use Direction::{ClientToServer, ServerToClient};
    for (algorithm, direction, exporter, context, key) in [
        (
            Algorithm::AesSivCmac256,
            ClientToServer,
            Exporter::Standard,
            "0000000f00",
            "7ace59b64c903eae1cfc53ba4c438af62e5857ce9443b8c5a4f2bedec4be8c7d",
        ),
        (
            Algorithm::AesSivCmac256,
            ServerToClient,
            Exporter::Standard,
            "0000000f01",
            "e887fc4be1493ac9c7b64771d260007b2fd53b5b47eda991cf4073f9fa363ca5",
        ),
        (
            Algorithm::AesSivCmac256,
            ClientToServer,
            Exporter::Legacy,
            "0000000f00",
            "7ace59b64c903eae1cfc53ba4c438af62e5857ce9443b8c5a4f2bedec4be8c7d",
        ),
        (
            Algorithm::Aes128GcmSiv,
            ClientToServer,
            Exporter::Standard,
            "0000001e00",
            "3081916323676ebf2f7d0f1dd7c4dd11",
        ),
        (
            Algorithm::Aes128GcmSiv,
            ServerToClient,
            Exporter::Standard,
            "0000001e01",
            "50fafa49ad2f35af1b51785f9b183001",
        ),
        (
            Algorithm::Aes128GcmSiv,
            ClientToServer,
            Exporter::Legacy,
            "0000000f00",
            "63bb83659bfa8f478436c3b4900d4a6b",
        ),
    ] {
        let found = exporter_context(algorithm, direction, exporter);
        assert_eq!(found[..], hex(context));
        assert_eq!(export!(Sha256, counted::<32>(0), found, algorithm.key_length()), hex(key));
    }
    let context = exporter_context(Algorithm::AesSivCmac256, ClientToServer, Exporter::Standard);
    assert_eq!(
        export!(Sha384, counted::<48>(0), context, 32),
        hex("09684261c791566bf0382d65d4ad0bb840f4ce53b03bc97e96cc4810b8a3db81")
    );
}
