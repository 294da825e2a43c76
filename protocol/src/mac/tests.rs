//! Vectors of the standards, of a packet, and what each side must refuse.

extern crate std;
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

/// A request whose MACs are known.
fn packet() -> Vec<u8> {
    let mut packet = std::vec![0; LENGTH];
    packet[..4].copy_from_slice(&[0x23, 0, 6, 0xec]);
    packet[40..].copy_from_slice(&0x0123_4567_89ab_cdef_u64.to_be_bytes());
    packet
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key(number: u32, kind: MacKind, octets: &[u8]) -> MacKey {
    MacKey::new(&SymmetricKey::new(number, kind, octets).unwrap()).unwrap()
}

fn any_key(number: u32, kind: MacKind) -> MacKey {
    key(number, kind, &[0x5a; 32][..if kind == MacKind::Aes128 { 16 } else { 32 }])
}

fn with_mac(key: &MacKey, packet: &[u8], version: u8) -> Vec<u8> {
    let mut out = [packet, &[0; MAX_MAC]].concat();
    let length = key.put(&mut out, packet.len(), version).unwrap();
    out.truncate(length);
    out
}

fn reply(version: u8) -> Vec<u8> {
    Header { version, mode: MODE_SERVER, stratum: 2, origin_timestamp: 9, ..Header::default() }
        .encode()
        .to_vec()
}

#[test]
fn the_digests_of_rfc_4493_to_which_rfc_8573_points() {
    let key = key(1, MacKind::Aes128, &octets("2b7e151628aed2a6abf7158809cf4f3c"));
    let message = octets(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52ef\
         f69f2445df4f9b17ad2b417be66c3710",
    );
    for (length, tag) in [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ] {
        assert_eq!(key.digest(&message[..length])[..16], octets(tag), "{length}");
    }
}

#[test]
fn the_macs_of_a_request_are_known() {
    let ascii = b"secretkey0123456";
    let long: Vec<u8> = (0..32).collect();
    for (number, kind, secret, mac) in [
        (1, MacKind::Aes128, &ascii[..], "000000016d07362de723feb159c1659ef56da024"),
        (2, MacKind::Md5, ascii, "00000002cad33234602c58205f04032ff1a8d3dc"),
        (3, MacKind::Sha1, ascii, "00000003566c354e358b5fa01e3f68c592a15fc47059a29d"),
        (4, MacKind::Sha256, ascii, "000000040eb333930b4310a4b8d68dc51f3a8f5ea0a177b5"),
        (5, MacKind::Aes256, &long, "00000005ccb3a66d6fa442e513043bca65f21cbe"),
    ] {
        let key = key(number, kind, secret);
        let whole = with_mac(&key, &packet(), 4);
        assert_eq!(whole[LENGTH..], octets(mac), "{kind:?}");
        assert_eq!(key.verify(&whole, find(&whole, 4).unwrap(), 4), Ok(()));
    }
}

#[test]
fn a196_every_other_digest_is_refused_bit_by_bit() {
    for kind in MacKind::ALL {
        let key = any_key(7, kind);
        let whole = with_mac(&key, &reply(4), 4);
        assert_eq!(read_reply(&whole, &key, 9).unwrap().stratum, 2);
        for bit in 0..whole.len() * 8 {
            let mut other = whole.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(read_reply(&other, &key, 9).is_err(), "{kind:?} {bit}");
        }
    }
}

#[test]
fn a197_another_key_id_or_kind_or_secret_is_refused() {
    for kind in MacKind::ALL {
        let own = any_key(7, kind);
        let mut renamed = with_mac(&any_key(8, kind), &reply(4), 4);
        assert_eq!(read_reply(&renamed, &own, 9), Err(MacError::OtherKey));
        renamed[LENGTH + 3] = 7;
        // The key id is not covered by the digest: the key that it names is the whole difference.
        assert!(read_reply(&renamed, &own, 9).is_ok());
        let other = key(7, kind, &[0xa5; 32][..if kind == MacKind::Aes128 { 16 } else { 32 }]);
        assert_eq!(read_reply(&with_mac(&other, &reply(4), 4), &own, 9), Err(MacError::Forged));
        for other in MacKind::ALL.into_iter().filter(|other| *other != kind) {
            let outcome = read_reply(&with_mac(&any_key(7, other), &reply(4), 4), &own, 9);
            assert!(matches!(outcome, Err(MacError::Forged | MacError::Length)), "{kind:?} {other:?}");
        }
    }
}

#[test]
fn a198_a_mac_that_is_cut_or_not_there_is_refused() {
    for kind in MacKind::ALL {
        let key = any_key(7, kind);
        assert_eq!(read_reply(&reply(4), &key, 9), Err(MacError::Missing));
        assert_eq!(read_reply(&[&reply(4)[..], &[0; 4]].concat(), &key, 9), Err(MacError::CryptoNak));
        let whole = with_mac(&key, &reply(4), 4);
        for length in LENGTH..whole.len() {
            assert!(read_reply(&whole[..length], &key, 9).is_err(), "{kind:?} {length}");
        }
        let longer = [&whole[..], &[0; 4]].concat();
        assert!(read_reply(&longer, &key, 9).is_err(), "{kind:?}");
    }
}

#[test]
fn the_length_of_a_mac_follows_from_kind_and_version() {
    for (kind, four, three) in [
        (MacKind::Aes128, 20, 20),
        (MacKind::Aes256, 20, 20),
        (MacKind::Md5, 20, 20),
        (MacKind::Sha1, 24, 24),
        (MacKind::Sha256, 24, 36),
        (MacKind::Sha384, 24, 52),
        (MacKind::Sha512, 24, 68),
    ] {
        let key = any_key(7, kind);
        assert_eq!((key.mac_length(4), key.mac_length(3)), (four, three), "{kind:?}");
        for version in [3, 4] {
            let whole = with_mac(&key, &reply(version), version);
            assert!(read_reply(&whole, &key, 9).is_ok(), "{kind:?} {version}");
        }
        // Cut as in version 4, a digest proves nothing in version 3.
        if four != three {
            let cut = with_mac(&key, &reply(3), 4);
            assert_eq!(read_reply(&cut, &key, 9), Err(MacError::Length), "{kind:?}");
        }
    }
}

#[test]
fn a_reply_of_another_mode_or_origin_is_none_even_where_it_is_authentic() {
    let key = any_key(7, MacKind::Aes128);
    let request = Header { version: 4, mode: 3, origin_timestamp: 9, ..Header::default() }.encode();
    assert_eq!(read_reply(&with_mac(&key, &request, 4), &key, 9), Err(MacError::Mode));
    assert_eq!(read_reply(&with_mac(&key, &reply(4), 4), &key, 8), Err(MacError::Origin));
    let zero = Header { origin_timestamp: 0, version: 4, mode: MODE_SERVER, ..Header::default() }.encode();
    assert_eq!(read_reply(&with_mac(&key, &zero, 4), &key, 0), Err(MacError::Origin));
}

#[test]
fn extension_fields_are_covered() {
    for kind in MacKind::ALL {
        let key = any_key(7, kind);
        let mut field = [0; 28];
        field[..4].copy_from_slice(&[0xf3, 0x23, 0, 28]);
        let mut whole = with_mac(&key, &[&reply(4)[..], &field].concat(), 4);
        assert!(read_reply(&whole, &key, 9).is_ok(), "{kind:?}");
        whole[LENGTH + 9] ^= 1;
        assert_eq!(read_reply(&whole, &key, 9), Err(MacError::Forged), "{kind:?}");
    }
}

#[test]
fn a119_what_a_prepared_key_leads_to_wipes_itself() {
    fn wipes_itself<T: zeroize::ZeroizeOnDrop>() {}
    wipes_itself::<cmac::block_api::CmacCore<aes::Aes128>>();
    wipes_itself::<cmac::block_api::CmacCore<aes::Aes256>>();
    wipes_itself::<Md5>();
    wipes_itself::<Sha1>();
    wipes_itself::<Sha256>();
    wipes_itself::<Sha384>();
    wipes_itself::<Sha512>();
}

#[test]
fn a119_a_prepared_key_is_never_printed() {
    assert_eq!(std::format!("{:?}", any_key(7, MacKind::Sha512)), "MacKey(7 SHA512)");
}

#[test]
fn a_packet_is_authenticated_again_by_another_key_only_if_the_first_one_had_done_it() {
    for kind in MacKind::ALL {
        let (old, new) =
            (any_key(7, kind), key(7, kind, &[3; 32][..if kind == MacKind::Aes128 { 16 } else { 32 }]));
        let mut packet = with_mac(&old, &reply(4), 4);
        assert!(authenticate_again(&mut packet, &old, &new));
        assert!(read_reply(&packet, &new, 9).is_ok() && read_reply(&packet, &old, 9).is_err());
        let same = packet.clone();
        assert!(!authenticate_again(&mut packet, &old, &new));
        assert_eq!(packet, same);
    }
}

proptest! {
    #[test]
    fn a015_no_octets_panic_and_none_are_authentic(octets in prop::collection::vec(any::<u8>(), 0..200), kind in 0..7usize) {
        let key = any_key(7, MacKind::ALL[kind]);
        prop_assert!(read_reply(&octets, &key, 9).is_err());
        let mut same = octets.clone();
        prop_assert!(!authenticate_again(&mut same, &key, &key));
        prop_assert_eq!(same, octets);
    }

    #[test]
    fn no_tail_behind_a_reply_panics_or_is_authentic(tail in prop::collection::vec(any::<u8>(), 0..120), version in 0..8u8) {
        let key = any_key(7, MacKind::Sha1);
        prop_assert!(read_reply(&[&reply(version)[..], &tail].concat(), &key, 9).is_err());
    }
}
