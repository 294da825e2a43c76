extern crate std;
use super::*;
use crate::nts::hex::hex;
use std::format;

fn key(algorithm: Algorithm) -> Key {
    Key::from_octets(algorithm, &[0x5a; MAX_KEY][..algorithm.key_length()]).unwrap()
}

#[test]
fn a_key_has_exactly_its_algorithms_length() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_id(algorithm.id()), Some(algorithm));
        for length in 0..=MAX_KEY + 1 {
            let made = Key::from_octets(algorithm, &std::vec![1; length]);
            assert_eq!(made.is_some(), length == algorithm.key_length(), "{algorithm:?} {length}");
        }
    }
}

#[test]
fn a_key_is_not_printed() {
    for algorithm in Algorithm::ALL {
        let printed = format!("{:?}", key(algorithm));
        assert!(!printed.contains("90") && !printed.to_lowercase().contains("5a"), "{printed}");
    }
}

#[test]
fn a064_every_flipped_bit_is_refused_and_the_text_left_alone() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        let mut nonce = [7u8; MAX_NONCE];
        let nonce = &mut nonce[..algorithm.nonce_length()];
        let mut associated = [3u8; 20];
        let mut text = [9u8; 40];
        key.seal(&mut nonce.to_vec(), &associated, &mut text).unwrap();
        for bit in 0..8 * nonce.len() {
            nonce[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(nonce, &associated, &mut text.clone()), Err(Forged));
            nonce[bit / 8] ^= 1 << (bit % 8);
        }
        for bit in 0..8 * associated.len() {
            associated[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(nonce, &associated, &mut text.clone()), Err(Forged));
            associated[bit / 8] ^= 1 << (bit % 8);
        }
        for bit in 0..8 * text.len() {
            let mut flipped = text;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let before = flipped;
            assert_eq!(key.open(nonce, &associated, &mut flipped), Err(Forged));
            assert_eq!(flipped, before);
        }
        assert_eq!(key.open(nonce, &associated, &mut text).unwrap(), [9; 24]);
    }
}

#[test]
fn a084_a_nonce_that_the_algorithm_does_not_take_is_refused() {
    for algorithm in Algorithm::ALL {
        for length in 0..20 {
            let nonce = std::vec![1; length];
            let mut text = [0; 32];
            let sealed = key(algorithm).seal(&mut nonce.to_vec(), b"", &mut text);
            assert_eq!(sealed.is_ok(), algorithm.takes_nonce(length), "{algorithm:?} {length}");
            assert_eq!(key(algorithm).open(&nonce, b"", &mut text).is_ok(), sealed.is_ok());
        }
    }
}

#[test]
fn a064_a_text_shorter_than_a_tag_is_refused() {
    for algorithm in Algorithm::ALL {
        let nonce = [1; MAX_NONCE];
        let nonce = &nonce[..algorithm.nonce_length()];
        for length in 0..TAG {
            let mut text = std::vec![0; length];
            assert_eq!(key(algorithm).seal(&mut nonce.to_vec(), b"", &mut text), Err(SealError::NoRoom));
            assert_eq!(key(algorithm).open(nonce, b"", &mut text), Err(Forged));
            assert!(algorithm.plaintext(length).is_empty());
        }
    }
}

/// NIST's test case 16 of GCM with AES-256: 60 octets of plaintext, 20 associated.
#[test]
fn gcm_is_that_of_the_standard() {
    let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    let key = Key::from_octets(Algorithm::Aes256Gcm, &key).unwrap();
    let plain = hex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    );
    let sealed = hex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662\
         76fc6ece0f4e1768cddf8853bb2d551b",
    );
    let (nonce, associated) =
        (hex("cafebabefacedbaddecaf888"), hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
    let mut text = [&plain[..], &[0; TAG]].concat();
    key.seal(&mut nonce.to_vec(), &associated, &mut text).unwrap();
    assert_eq!(text, sealed);
    assert_eq!(key.open(&nonce, &associated, &mut text).unwrap(), plain);
}

/// RFC 5297's vectors have keys of 256 bits only; this one was computed with OpenSSL 3's AES-256-SIV.
#[test]
fn siv_with_aes_256_is_that_of_openssl() {
    let key: [u8; 64] = core::array::from_fn(|at| at as u8);
    let key = Key::from_octets(Algorithm::AesSivCmac512, &key).unwrap();
    let nonce: [u8; 16] = core::array::from_fn(|at| 0xa0 + at as u8);
    let mut text = [&[0; TAG][..], b"truechimer"].concat();
    key.seal(&mut nonce.to_vec(), b"associated", &mut text).unwrap();
    assert_eq!(text, hex("5ef1ceb1185710d39cfd2db0fddefe2b3d89dd9298954874f7a9"));
    assert_eq!(key.open(&nonce, b"associated", &mut text).unwrap(), b"truechimer");
}

#[test]
fn a193_random_octets_that_come_twice_give_two_texts_two_nonces() {
    let nonce = unique_nonce(&[7; 16], b"header", b"cookies");
    assert_eq!(unique_nonce(&[7; 16], b"header", b"cookies"), nonce, "one text, one nonce");
    for (random, associated, plain) in [
        ([8; 16], &b"header"[..], &b"cookies"[..]),
        ([7; 16], b"headee", b"cookies"),
        ([7; 16], b"header", b"cookiet"),
        // What is associated and what is plain is not the same, wherever it is cut.
        ([7; 16], b"headerc", b"ookies"),
        ([7; 16], b"", b"headercookies"),
    ] {
        assert_ne!(unique_nonce(&random, associated, plain), nonce, "{random:?} {associated:?} {plain:?}");
    }
}
