extern crate std;
use super::*;
use std::format;
use std::vec::Vec;

const TODAY: u32 = 20_500;

fn keys(ratchet: &Ratchet) -> Vec<(u32, [u8; SECRET])> {
    ratchet.keys().map(|key| (key.epoch(), *key.octets())).collect()
}

#[test]
fn keys_of_two_epochs_back_and_one_ahead_are_good() {
    let mut ratchet = Ratchet::from_random(&[7; SECRET], TODAY);
    let mut known = keys(&ratchet);
    assert_eq!(known.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [TODAY, TODAY + 1]);
    for epoch in TODAY + 1..TODAY + 6 {
        ratchet.turn(epoch).unwrap();
        let now = keys(&ratchet);
        let first = epoch.saturating_sub(GENERATIONS).max(TODAY);
        assert_eq!(
            now.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(),
            (first..=epoch + 1).collect::<Vec<_>>()
        );
        assert!(now.len() <= MAX_EPOCH_KEYS);
        // The same key each time it is requested, and a new one for each epoch.
        known.extend(&now);
    }
    known.sort();
    known.dedup();
    assert_eq!(known.len(), 7);
    known.dedup_by_key(|(_, key)| *key);
    assert_eq!(known.len(), 7);
}

#[test]
fn what_is_old_can_not_be_made_again() {
    let mut ratchet = Ratchet::from_random(&[7; SECRET], TODAY);
    let first = keys(&ratchet)[0].1;
    ratchet.turn(TODAY + 3).unwrap();
    assert!(keys(&ratchet).iter().all(|(epoch, key)| *epoch > TODAY && *key != first));
    assert_ne!(ratchet.secret, [7; SECRET]);
    assert!(ratchet.state().octets().windows(SECRET).all(|window| window != [7; SECRET] && window != first));
}

#[test]
fn a_fleet_has_the_same_keys_whenever_its_members_began() {
    let secret = b"thirty-two octets, not guessable";
    let mut early = Ratchet::from_fleet_secret(secret, TODAY).unwrap();
    for epoch in TODAY..TODAY + 9 {
        early.turn(epoch).unwrap();
    }
    let mut late = Ratchet::from_fleet_secret(secret, TODAY).unwrap();
    late.turn(TODAY + 8).unwrap();
    assert_eq!(keys(&early), keys(&late));
    let other = Ratchet::from_fleet_secret(b"thirty-two octets, not guessablE", TODAY).unwrap();
    assert_ne!(keys(&other), keys(&Ratchet::from_fleet_secret(secret, TODAY).unwrap()));
    assert_ne!(
        keys(&Ratchet::from_fleet_secret(secret, TODAY + 1).unwrap())[0],
        keys(&Ratchet::from_fleet_secret(secret, TODAY).unwrap())[1]
    );
    assert_eq!(Ratchet::from_fleet_secret(&secret[..31], TODAY).unwrap_err(), WeakSecret);
}

#[test]
fn a085_keys_survive_a_restart() {
    let mut ratchet = Ratchet::from_random(&[7; SECRET], TODAY);
    for epoch in TODAY..TODAY + 4 {
        ratchet.turn(epoch).unwrap();
        let mut restored = Ratchet::from_state(&State::from_octets(ratchet.state().octets())).unwrap();
        assert_eq!(restored.epoch(), epoch);
        assert_eq!(keys(&restored), keys(&ratchet));
        restored.turn(epoch + 2).unwrap();
        let mut undisturbed = Ratchet::from_state(&ratchet.state()).unwrap();
        undisturbed.turn(epoch + 1).unwrap();
        undisturbed.turn(epoch + 2).unwrap();
        assert_eq!(keys(&restored), keys(&undisturbed));
    }
}

#[test]
fn the_ratchet_turns_forward_only_and_not_for_ever() {
    let mut ratchet = Ratchet::from_random(&[7; SECRET], TODAY);
    let before = keys(&ratchet);
    assert_eq!(ratchet.turn(TODAY - 1), Err(TurnError::Backward));
    assert_eq!(ratchet.turn(TODAY + MAX_TURN + 1), Err(TurnError::TooFar));
    assert_eq!(ratchet.turn(u32::MAX), Err(TurnError::TooFar));
    assert_eq!(keys(&ratchet), before);
    assert_eq!(ratchet.turn(TODAY), Ok(()));
    assert_eq!(keys(&ratchet), before);
}

#[test]
fn the_last_epoch_has_no_next_one() {
    let mut ratchet = Ratchet::from_random(&[7; SECRET], u32::MAX - 1);
    ratchet.turn(u32::MAX).unwrap();
    assert_eq!(keys(&ratchet).iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [u32::MAX - 1, u32::MAX]);
    assert_eq!(epoch_at(u64::MAX), u32::MAX);
    assert_eq!(epoch_at(86_399), 0);
    assert_eq!(epoch_at(86_400), 1);
}

#[test]
fn a_damaged_state_is_refused() {
    for (oldest, current) in [(5u32, 4u32), (5, 8), (0, u32::MAX), (u32::MAX, 0)] {
        let mut octets = [9; State::LENGTH];
        octets[..4].copy_from_slice(&oldest.to_be_bytes());
        octets[4..8].copy_from_slice(&current.to_be_bytes());
        assert_eq!(Ratchet::from_state(&State::from_octets(&octets)).unwrap_err(), StateError);
    }
}

#[test]
fn no_secret_is_printed() {
    let ratchet = Ratchet::from_random(&[0xab; SECRET], TODAY);
    let key = ratchet.keys().next().unwrap();
    for printed in [format!("{ratchet:?}"), format!("{key:?}"), format!("{:?}", ratchet.state())] {
        assert!(!printed.contains("171") && !printed.contains('['), "{printed}");
    }
}
