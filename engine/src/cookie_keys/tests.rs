use super::*;

const TODAY: u32 = 20_800;

fn now(day: u32, raw: i64) -> Now {
    Now {
        raw: RawInstant::try_new(raw * 1_000_000_000).unwrap(),
        wall: WallTime::try_new(i64::from(day) * 86_400_000_000_000 + 5).unwrap(),
    }
}

fn floor() -> WallTime {
    now(20_000, 0).wall
}

fn random() -> Option<Zeroizing<[u8; SECRET]>> {
    Some(Zeroizing::new([7; SECRET]))
}

fn other() -> Option<Zeroizing<[u8; SECRET]>> {
    Some(Zeroizing::new([8; SECRET]))
}

fn fleet(since: u32) -> Option<Fleet> {
    Some(Fleet { secret: Zeroizing::new(vec![b'x'; 48]), since })
}

fn epochs(source: &CookieSource) -> (u32, Vec<u32>) {
    let keys = source.keys().unwrap();
    (keys.current, keys.keys.iter().map(|key| key.epoch).collect())
}

#[test]
fn the_first_secret_may_be_made_by_any_clock_and_is_turned_by_a_right_one_only() {
    let (mut source, complaint) = CookieSource::new(None, None);
    assert_eq!((source.keys(), complaint), (None, None));
    assert!(matches!(source.look(now(TODAY, 1), false, floor(), random), Turned::New(_)));
    assert_eq!(epochs(&source), (TODAY, vec![TODAY, TODAY + 1]));
    assert_eq!(source.look(now(TODAY + 9, 2), false, floor(), random), Turned::Same);
    assert_eq!(source.look(now(3, 3), false, floor(), random), Turned::Same);
    assert_eq!(epochs(&source).0, TODAY);
    assert!(matches!(source.look(now(TODAY + 1, 4), true, floor(), random), Turned::New(_)));
    assert_eq!(epochs(&source), (TODAY + 1, vec![TODAY, TODAY + 1, TODAY + 2]));
    assert_eq!(source.look(now(TODAY + 1, 5), true, floor(), random), Turned::Same);
    assert!(source.is_settled());
}

#[test]
fn a_first_secret_of_a_clock_in_1970_begins_at_the_floor_and_one_of_the_future_is_made_anew() {
    let (mut source, _) = CookieSource::new(None, None);
    source.look(now(0, 1), false, floor(), random);
    assert_eq!(epochs(&source).0, 20_000);
    source.look(now(TODAY, 2), true, floor(), random);
    assert_eq!(epochs(&source), (TODAY, vec![TODAY - 2, TODAY - 1, TODAY, TODAY + 1]));

    let (mut source, _) = CookieSource::new(None, None);
    source.look(now(TODAY + 900, 1), false, floor(), random);
    let before = source.keys();
    assert!(matches!(source.look(now(TODAY, 2), true, floor(), other), Turned::New(_)));
    assert_ne!(source.keys(), before);
    assert_eq!(epochs(&source), (TODAY, vec![TODAY, TODAY + 1]));
}

#[test]
fn a_step_back_over_midnight_changes_nothing() {
    let (mut source, _) = CookieSource::new(None, None);
    source.look(now(TODAY, 1), true, floor(), random);
    let before = source.keys();
    assert_eq!(source.look(now(TODAY - 1, 2), true, floor(), other), Turned::Same);
    assert_eq!(source.keys(), before);
}

#[test]
fn a085_a_restart_goes_on_with_the_same_keys_before_the_clock_is_right() {
    for fleet in [None, fleet(TODAY - 400)] {
        let (mut source, _) = CookieSource::new(fleet.clone(), None);
        source.look(now(TODAY - 5, 1), true, floor(), random);
        source.look(now(TODAY, 1), true, floor(), random);
        let (restarted, complaint) = CookieSource::new(fleet, source.state().as_ref());
        assert_eq!(complaint, None);
        assert_eq!(restarted.keys(), source.keys());
        assert!(restarted.keys().is_some() && !restarted.is_settled());
    }
}

#[test]
fn a_fleet_has_no_keys_before_the_clock_is_right_and_then_the_same_ones() {
    let (mut early, _) = CookieSource::new(fleet(TODAY - 400), None);
    assert_eq!(early.look(now(TODAY, 1), false, floor(), random), Turned::Same);
    assert_eq!(early.keys(), None);
    early.look(now(TODAY - 1, 1), true, floor(), random);
    early.look(now(TODAY, 1), true, floor(), random);
    let (mut late, _) = CookieSource::new(fleet(TODAY - 400), None);
    late.look(now(TODAY, 1), true, floor(), other);
    assert_eq!(early.keys(), late.keys());
    assert!(early.keys().is_some() && early.is_fleet());
}

#[test]
fn a_fleet_of_tomorrow_has_no_keys_today_and_says_why() {
    let (mut source, _) = CookieSource::new(fleet(TODAY + 1), None);
    let Turned::Trouble(why) = source.look(now(TODAY, 1), true, floor(), random) else { panic!() };
    assert!(why.contains("fleet-since lies in the future"), "{why}");
    assert_eq!((source.keys(), source.trouble()), (None, Some(why.as_str())));
    assert_eq!(source.look(now(TODAY, 1), true, floor(), random), Turned::Same, "it is said once");
    assert!(matches!(source.look(now(TODAY + 1, 2), true, floor(), random), Turned::New(_)));
    assert_eq!(source.trouble(), None);
}

#[test]
fn what_was_kept_for_another_origin_or_secret_is_not_used() {
    let (mut own, _) = CookieSource::new(None, None);
    own.look(now(TODAY, 1), true, floor(), random);
    let (mut theirs, _) = CookieSource::new(fleet(TODAY - 4), None);
    theirs.look(now(TODAY, 1), true, floor(), random);
    let mut damaged = [0; State::LENGTH];
    damaged[0] = 0xff;
    for (fleet, kept) in [
        (None, theirs.state()),
        (fleet(TODAY - 4), own.state()),
        (fleet(TODAY - 3), theirs.state()),
        (None, Some((Origin::Own, State::from_octets(&damaged)))),
    ] {
        let (source, complaint) = CookieSource::new(fleet, kept.as_ref());
        assert_eq!(source.keys(), None);
        assert!(complaint.is_some());
    }
}

#[test]
fn looks_are_a_minute_apart() {
    let (mut source, _) = CookieSource::new(None, None);
    assert!(source.is_due(now(TODAY, 0).raw));
    source.look(now(TODAY, 10), false, floor(), random);
    assert!(!source.is_due(now(TODAY, 69).raw));
    assert!(source.is_due(now(TODAY, 70).raw));
}
