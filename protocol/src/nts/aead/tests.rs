extern crate std;
use super::*;
use std::format;

const BOTH: [Algorithm; 2] = [Algorithm::AesSivCmac256, Algorithm::Aes128GcmSiv];

fn key(algorithm: Algorithm) -> Key {
    Key::from_octets(algorithm, &[0x5a; MAX_KEY][..algorithm.key_length()]).unwrap()
}

#[test]
fn a_key_has_exactly_its_algorithms_length() {
    for algorithm in BOTH {
        assert_eq!(Algorithm::from_id(algorithm.id()), Some(algorithm));
        for length in 0..=33 {
            let made = Key::from_octets(algorithm, &std::vec![1; length]);
            assert_eq!(made.is_some(), length == algorithm.key_length(), "{algorithm:?} {length}");
        }
    }
}

#[test]
fn a_key_is_not_printed() {
    for algorithm in BOTH {
        let printed = format!("{:?}", key(algorithm));
        assert!(!printed.contains("90") && !printed.to_lowercase().contains("5a"), "{printed}");
    }
}

#[test]
fn a064_every_flipped_bit_is_refused_and_the_text_left_alone() {
    for algorithm in BOTH {
        let key = key(algorithm);
        let mut nonce = [7u8; MAX_NONCE];
        let nonce = &mut nonce[..algorithm.nonce_length()];
        let mut associated = [3u8; 20];
        let mut text = [9u8; 40];
        key.seal(nonce, &associated, &mut text).unwrap();
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
    for algorithm in BOTH {
        for length in 0..20 {
            let nonce = std::vec![1; length];
            let mut text = [0; 32];
            let sealed = key(algorithm).seal(&nonce, b"", &mut text);
            assert_eq!(sealed.is_ok(), algorithm.takes_nonce(length), "{algorithm:?} {length}");
            assert_eq!(key(algorithm).open(&nonce, b"", &mut text).is_ok(), sealed.is_ok());
        }
    }
}

#[test]
fn a064_a_text_shorter_than_a_tag_is_refused() {
    for algorithm in BOTH {
        let nonce = [1; MAX_NONCE];
        let nonce = &nonce[..algorithm.nonce_length()];
        for length in 0..TAG {
            let mut text = std::vec![0; length];
            assert_eq!(key(algorithm).seal(nonce, b"", &mut text), Err(SealError::NoRoom));
            assert_eq!(key(algorithm).open(nonce, b"", &mut text), Err(Forged));
            assert!(algorithm.plaintext(length).is_empty());
        }
    }
}
