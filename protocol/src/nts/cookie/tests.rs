extern crate std;
use super::*;
use crate::nts::ratchet::Ratchet;
use crate::nts::vectors::{cookie_keys, session};
use std::format;

const TODAY: u32 = 20_500;

fn holds(opened: Option<Held>, algorithm: Algorithm) -> bool {
    let expected = session(algorithm);
    opened.is_some_and(|Held { keys, .. }| {
        keys.algorithm() == algorithm
            && keys.client_to_server.octets() == expected.client_to_server.octets()
            && keys.server_to_client.octets() == expected.server_to_client.octets()
    })
}

#[test]
fn a_cookie_gives_back_what_was_sealed() {
    let keys = cookie_keys(1, TODAY);
    for (algorithm, length) in Algorithm::ALL.into_iter().zip([100, 100, 164, 68]) {
        let cookie = keys.seal(&session(algorithm), &[9; NONCE]).unwrap();
        assert_eq!(cookie.octets().len(), length);
        assert!(holds(keys.open(cookie.octets()), algorithm));
        let other = keys.seal(&session(algorithm), &[8; NONCE]).unwrap();
        let same = cookie.octets().iter().zip(other.octets()).filter(|(one, other)| one == other).count();
        assert!(same < 20, "two cookies of one client look alike");
    }
}

#[test]
fn a082_every_flipped_bit_is_refused() {
    let keys = cookie_keys(1, TODAY);
    for algorithm in Algorithm::ALL {
        let cookie = keys.seal(&session(algorithm), &[9; NONCE]).unwrap();
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
    for algorithm in Algorithm::ALL {
        let cookie = keys.seal(&session(algorithm), &[9; NONCE]).unwrap();
        let long = [cookie.octets(), &[0; 1000]].concat();
        for length in (0..=200).chain([1000]).filter(|length| *length != cookie.octets().len()) {
            assert!(keys.open(&long[..length]).is_none(), "{length}");
        }
    }
}

#[test]
fn a082_a_cookie_of_another_server_is_refused() {
    let cookie = cookie_keys(1, TODAY).seal(&session(Algorithm::AesSivCmac256), &[9; NONCE]).unwrap();
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
        cookies.push(keys.seal(&session(Algorithm::AesSivCmac256), &[epoch as u8; NONCE]).unwrap());
        let opened = cookies.iter().rev().map(|cookie| keys.open(cookie.octets()).is_some());
        assert!(opened.enumerate().all(|(age, opened)| opened == (age <= 2)), "{epoch}");
    }
    // The clock of one server of the fleet is a little behind.
    let ahead = CookieKeys::new(ratchet.epoch(), ratchet.keys()).unwrap();
    let mut behind = Ratchet::from_random(&[7; 32], TODAY);
    behind.turn(ratchet.epoch() - 1).unwrap();
    let behind = CookieKeys::new(behind.epoch(), behind.keys()).unwrap();
    let cookie = ahead.seal(&session(Algorithm::Aes128GcmSiv), &[9; NONCE]).unwrap();
    assert!(holds(behind.open(cookie.octets()), Algorithm::Aes128GcmSiv));
    let cookie = behind.seal(&session(Algorithm::Aes128GcmSiv), &[9; NONCE]).unwrap();
    assert!(holds(ahead.open(cookie.octets()), Algorithm::Aes128GcmSiv));
}

#[test]
fn a082_an_epoch_that_is_not_there_is_refused_though_the_tag_would_fit() {
    let key = |epoch| EpochKey::from_octets(epoch, &[3; 32]);
    let old = CookieKeys::new(1, [key(1)]).unwrap();
    let new = CookieKeys::new(2, [key(2)]).unwrap();
    let cookie = old.seal(&session(Algorithm::AesSivCmac256), &[9; NONCE]).unwrap();
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
    for algorithm in Algorithm::ALL {
        let held = keys.open(keys.seal(&session(algorithm), &[8; NONCE]).unwrap().octets()).unwrap();
        for size in 0..=MAX_LENGTH + 1 {
            let sealed = keys.seal_into(&held, &[9; NONCE], &mut std::vec![0; size]);
            assert_eq!(sealed.is_ok(), size == length(algorithm));
        }
    }
}

#[test]
fn no_key_is_printed() {
    let printed = format!("{:?} {:?}", cookie_keys(0xab, TODAY), session(Algorithm::AesSivCmac256));
    assert!(!printed.contains('[') && printed.contains("20500"), "{printed}");
}

#[test]
fn a195_keys_that_need_unique_nonces_are_refused_a_day_after_that_of_the_exchange_however_often_cookies_are_renewed()
 {
    for (algorithm, lasts) in [(Algorithm::Aes256Gcm, Some(2)), (Algorithm::AesSivCmac512, None)] {
        let mut ratchet = Ratchet::from_random(&[7; 32], TODAY);
        let mut cookie =
            CookieKeys::new(TODAY, ratchet.keys()).unwrap().seal(&session(algorithm), &[9; NONCE]).unwrap();
        for days in 0..40 {
            ratchet.turn(TODAY + days).unwrap();
            let keys = CookieKeys::new(TODAY + days, ratchet.keys()).unwrap();
            let opened = keys.open(cookie.octets());
            assert_eq!(opened.is_some(), lasts.is_none_or(|lasts| days < lasts), "{algorithm:?} {days}");
            let Some(held) = opened else { break };
            cookie.length = length(algorithm);
            let octets = &mut cookie.octets[..length(algorithm)];
            keys.seal_into(&held, &[days as u8; NONCE], octets).unwrap();
        }
    }
}

#[test]
fn a195_a_server_of_the_fleet_whose_day_begins_later_or_whose_days_wrap_opens_such_a_cookie() {
    for today in [TODAY, 0xffff, 0x1_0000, 0x1_0001] {
        let mut ratchet = Ratchet::from_random(&[7; 32], today);
        ratchet.turn(today).unwrap();
        let behind = CookieKeys::new(today, ratchet.keys()).unwrap();
        ratchet.turn(today + 1).unwrap();
        let ahead = CookieKeys::new(today + 1, ratchet.keys()).unwrap();
        let gcm = session(Algorithm::Aes256Gcm);
        assert!(
            holds(behind.open(ahead.seal(&gcm, &[1; NONCE]).unwrap().octets()), Algorithm::Aes256Gcm),
            "{today}"
        );
        assert!(
            holds(ahead.open(behind.seal(&gcm, &[1; NONCE]).unwrap().octets()), Algorithm::Aes256Gcm),
            "{today}"
        );
    }
}
