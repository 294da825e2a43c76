//! Leap seconds.

use super::*;

#[test]
fn a133_leap_seconds_only_on_their_days_and_not_too_soon() {
    let at = |text: &str, seconds: i64| {
        let wall = seconds * SECOND;
        assert!(
            ipc::calendar::Rfc3339(WallTime::try_new(wall).unwrap()).to_string().starts_with(text),
            "{text}"
        );
        let mut world = World::standard();
        world.governor.built = WallTime::MIN;
        world.now.clock.wall = WallTime::try_new(wall).unwrap();
        world
    };
    for (text, seconds, refusal) in [
        ("2027-03-01", 1_803_900_000, Some(Refusal::LeapDate)),
        ("2027-06-29T23:59:59", 1_814_313_599, Some(Refusal::LeapDate)),
        ("2027-06-30T00:00:00", 1_814_313_600, OK),
        ("2027-06-30T23:59:59", 1_814_399_999, OK),
        ("2027-07-01T00:00:00", 1_814_400_000, Some(Refusal::LeapDate)),
        ("2027-12-31", 1_830_211_200, OK),
    ] {
        assert_eq!(at(text, seconds).status(Leap::Insert, false).err(), refusal, "{text}");
    }
    let mut world = at("2027-06-30", 1_814_313_600);
    world.status(Leap::Insert, false).unwrap();
    assert_eq!(world.status(Leap::Insert, false).err(), OK, "asked again on the same day");
    let armed = world.now.clock.wall.nanos();
    // A lie of ten years was followed on such a day, and armed one there: the true one now must not be refused until then.
    world.governor.record().leap_at = Some(WallTime::try_new(armed + 3_653 * DAY).unwrap());
    assert_eq!(world.status(Leap::Insert, false).err(), OK, "after a false future");
    // The next 30 June or 31 December is always 184 days away; a clock that was set back meets the rule.
    world.governor.record().leap_at = Some(WallTime::try_new(armed - 149 * DAY).unwrap());
    assert_eq!(world.status(Leap::Delete, false).err(), Some(Refusal::LeapTooSoon));
    world.governor.record().leap_at = Some(WallTime::try_new(armed - 150 * DAY).unwrap());
    assert_eq!(world.status(Leap::Delete, false).err(), OK);
    world.governor.terms.leap_seconds = false;
    assert_eq!(world.status(Leap::Delete, false).err(), Some(Refusal::LeapDate), "not configured");
}

#[test]
fn a163_the_kernels_own_leap_second_is_not_a_foreign_step() {
    // From 2027-06-30 23:59:30 on; the kernel inserts or deletes at midnight. Without an armed leap second it is a step
    // by another program.
    for (leap, moved, event) in [
        (Leap::Insert, -SECOND, None),
        (Leap::Delete, SECOND, None),
        (Leap::Insert, SECOND, Some(ClockEventKind::ForeignStep)),
        (Leap::None, -SECOND, Some(ClockEventKind::ForeignStep)),
    ] {
        let mut world = World::standard();
        world.now.clock.wall = WallTime::try_new(1_814_399_970 * SECOND).unwrap();
        world.adjust(0.0, 0, 0).unwrap();
        world.status(leap, true).unwrap();
        assert_eq!(world.pass(20 * SECOND), None);
        world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + moved).unwrap();
        assert_eq!(world.pass(20 * SECOND), event, "{leap:?} {moved}");
        assert_eq!(world.pass(20 * SECOND), None, "once: {leap:?} {moved}");
    }
}
