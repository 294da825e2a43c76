extern crate std;
use super::*;
use crate::nts::ratchet::Ratchet;
use crate::nts::vectors::{cookie_keys, session};
use std::format;

const BOTH: [Algorithm; 2] = [Algorithm::AesSivCmac256, Algorithm::Aes128GcmSiv];
const TODAY: u32 = 20_500;

fn holds(opened: Option<SessionKeys>, algorithm: Algorithm) -> bool {
    let expected = session(algorithm);
    opened.is_some_and(|keys| {
        keys.algorithm() == algorithm
            && keys.client_to_server.octets() == expected.client_to_server.octets()
            && keys.server_to_client.octets() == expected.server_to_client.octets()
    })
}

#[test]
fn a_cookie_gives_back_what_was_sealed() {
    let keys = cookie_keys(1, TODAY);
    for (algorithm, length) in BOTH.into_iter().zip([100, 68]) {
        let cookie = keys.seal(&session(algorithm), &[9; NONCE]);
        assert_eq!(cookie.octets().len(), length);
        assert!(holds(keys.open(cookie.octets()), algorithm));
        let other = keys.seal(&session(algorithm), &[8; NONCE]);
        let same = cookie.octets().iter().zip(other.octets()).filter(|(one, other)| one == other).count();
        assert!(same < 20, "two cookies of one client look alike");
    }
}

#[test]
fn a082_every_flipped_bit_is_refused() {
    let keys = cookie_keys(1, TODAY);
    for algorithm in BOTH {
        let cookie = keys.seal(&session(algorithm), &[9; NONCE]);
        for bit in 0..8 * cookie.octets().len() {
            let mut flipped = cookie.octets().to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(&flipped).is_none(), "{bit}");
        }
    }
}

#[test]
fn a082_a_cookie_of_any_other_length_is_refused() {
    let keys = cookie_keys(1, TODAY);
    for algorithm in BOTH {
        let cookie = keys.seal(&session(algorithm), &[9; NONCE]);
        let long = [cookie.octets(), &[0; 1000]].concat();
        for length in (0..=200).chain([1000]).filter(|length| *length != cookie.octets().len()) {
            assert!(keys.open(&long[..length]).is_none(), "{length}");
        }
    }
}

#[test]
fn a082_a_cookie_of_another_server_is_refused() {
    let cookie = cookie_keys(1, TODAY).seal(&session(Algorithm::AesSivCmac256), &[9; NONCE]);
    assert!(cookie_keys(2, TODAY).open(cookie.octets()).is_none());
}

#[test]
fn a085_cookies_of_two_generations_back_are_opened_and_older_ones_not() {
    let mut ratchet = Ratchet::from_random(&[7; 32], TODAY);
    let mut cookies = std::vec![];
    for epoch in TODAY..TODAY + 6 {
        ratchet.turn(epoch).unwrap();
        let keys = CookieKeys::new(epoch, ratchet.keys()).unwrap();
        assert_eq!(keys.epoch(), epoch);
        cookies.push(keys.seal(&session(Algorithm::AesSivCmac256), &[epoch as u8; NONCE]));
        let opened = cookies.iter().rev().map(|cookie| keys.open(cookie.octets()).is_some());
        assert!(opened.enumerate().all(|(age, opened)| opened == (age <= 2)), "{epoch}");
    }
    // The clock of one server of the fleet is a little behind.
    let ahead = CookieKeys::new(ratchet.epoch(), ratchet.keys()).unwrap();
    let mut behind = Ratchet::from_random(&[7; 32], TODAY);
    behind.turn(ratchet.epoch() - 1).unwrap();
    let behind = CookieKeys::new(behind.epoch(), behind.keys()).unwrap();
    let cookie = ahead.seal(&session(Algorithm::Aes128GcmSiv), &[9; NONCE]);
    assert!(holds(behind.open(cookie.octets()), Algorithm::Aes128GcmSiv));
    let cookie = behind.seal(&session(Algorithm::Aes128GcmSiv), &[9; NONCE]);
    assert!(holds(ahead.open(cookie.octets()), Algorithm::Aes128GcmSiv));
}

#[test]
fn a082_an_epoch_that_is_not_there_is_refused_though_the_tag_would_fit() {
    let key = |epoch| EpochKey::from_octets(epoch, &[3; 32]);
    let old = CookieKeys::new(1, [key(1)]).unwrap();
    let new = CookieKeys::new(2, [key(2)]).unwrap();
    let cookie = old.seal(&session(Algorithm::AesSivCmac256), &[9; NONCE]);
    assert!(old.open(cookie.octets()).is_some());
    assert!(new.open(cookie.octets()).is_none());
}

#[test]
fn a_set_of_keys_has_a_current_one_and_none_twice() {
    let key = |epoch| EpochKey::from_octets(epoch, &[3; 32]);
    assert!(CookieKeys::new(5, [key(3), key(4), key(5), key(6)]).is_ok());
    assert_eq!(CookieKeys::new(5, [key(3), key(4)]).unwrap_err(), KeysError::NoCurrent);
    assert_eq!(CookieKeys::new(5, []).unwrap_err(), KeysError::NoCurrent);
    assert_eq!(CookieKeys::new(5, [key(5), key(5)]).unwrap_err(), KeysError::TooMany);
    assert_eq!(CookieKeys::new(5, [key(4), key(4), key(5)]).unwrap_err(), KeysError::TooMany);
    assert_eq!(CookieKeys::new(5, [key(2), key(3), key(4), key(5), key(6)]).unwrap_err(), KeysError::TooMany);
}

#[test]
fn a_cookie_is_only_sealed_into_its_exact_place() {
    let keys = cookie_keys(1, TODAY);
    for algorithm in BOTH {
        for size in 0..=101 {
            let sealed = keys.seal_into(&session(algorithm), &[9; NONCE], &mut std::vec![0; size]);
            assert_eq!(sealed.is_ok(), size == length(algorithm));
        }
    }
}

#[test]
fn no_key_is_printed() {
    let printed = format!("{:?} {:?}", cookie_keys(0xab, TODAY), session(Algorithm::AesSivCmac256));
    assert!(!printed.contains('[') && printed.contains("20500"), "{printed}");
}
