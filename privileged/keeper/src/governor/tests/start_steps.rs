//! Steps at a start: their limits, their window, and the one of any size.

use super::*;

#[test]
fn a143_start_steps_are_judged_at_their_limits() {
    for (profile, delta, refusal) in [
        (Profile::Standard, -1000 * SECOND + 1, OK),
        (Profile::Standard, 86_400 * SECOND - 1, OK),
        (Profile::Standard, 86_400 * SECOND, OK),
        (Profile::Standard, -90_000 * SECOND, Some(Refusal::StartBack)),
        (Profile::Standard, 86_400 * SECOND + 1, Some(Refusal::StartForward)),
        (Profile::Standard, -1000 * SECOND, OK),
        (Profile::Standard, -1000 * SECOND - 1, Some(Refusal::StartBack)),
        (Profile::Strict, 16 * SECOND, OK),
        (Profile::Strict, 16 * SECOND + 1, Some(Refusal::StartForward)),
        (Profile::Strict, -16 * SECOND, OK),
        (Profile::Strict, -16 * SECOND - 1, Some(Refusal::StartBack)),
    ] {
        let mut world = World::of(profile);
        world.pass(10 * DAY);
        // Without the one of any size.
        if profile == Profile::Standard {
            assert!(world.step(StepReason::Start, 86_401 * SECOND).unwrap().any_size);
        }
        assert_eq!(world.step(StepReason::Start, delta).err(), refusal, "{profile:?} {delta}");
    }
}

/// The first boot of a machine whose clock is at `wall`.
fn found_at(wall: i64, profile: Profile) -> World {
    let now = moment(100 * SECOND, wall);
    let record = Record::born(BOOT, now.boot);
    World { governor: Governor::new(terms(profile), record, BOOT, now), now, base: Frequency::ZERO }
}

#[test]
fn one_start_step_in_a_boot_brings_a_clock_right_from_anywhere() {
    let true_time = today() + 100 * DAY;
    for (name, wall) in [
        ("an RTC in local time, east", true_time + 14 * HOUR),
        ("an RTC in local time, west", true_time - 12 * HOUR),
        ("five weeks behind", true_time - 35 * DAY),
        ("1970", 0),
        ("2038", (1 << 31) * SECOND + HOUR),
        ("2106", (1 << 32) * SECOND + HOUR),
        ("the last that a clock can show", WallTime::MAX.nanos() - DAY),
    ] {
        let mut world = found_at(wall, Profile::Standard);
        world.pass(60 * SECOND);
        // The small steps of a cold start do not use it up.
        let before = world.step(StepReason::Start, SECOND);
        if (limits::BUILD_TIME.nanos()..world.governor.latest().nanos()).contains(&wall) {
            assert!(!before.unwrap().any_size, "{name}");
        }
        let delta = true_time - world.now.clock.wall.nanos();
        let grant = world.step(StepReason::Start, delta).unwrap_or_else(|row| panic!("{name}: {row:?}"));
        assert_eq!(grant.any_size, wall < true_time - DAY || wall > true_time, "{name}");
        assert_eq!(world.step(StepReason::Start, SECOND).err(), OK, "{name}");
        let mut strict = found_at(wall, Profile::Strict);
        strict.pass(60 * SECOND);
        let delta = true_time - strict.now.clock.wall.nanos();
        assert!(strict.step(StepReason::Start, delta).is_err(), "{name}: strict");
    }
}

#[test]
fn a130_a_hostile_engine_makes_one_start_step_of_any_size_in_a_boot() {
    let mut world = found_at(today() + 100 * DAY, Profile::Standard);
    assert!(world.step(StepReason::Start, 300 * DAY).unwrap().any_size);
    for _ in 0..20 {
        world.pass(10 * SECOND);
        world.restart(BOOT, Profile::Standard);
        assert_eq!(world.step(StepReason::Start, -300 * DAY).err(), Some(Refusal::StartBack));
        assert_eq!(world.step(StepReason::Start, 2 * DAY).err(), Some(Refusal::StartForward));
    }
    world.step(StepReason::Start, DAY).unwrap();
    world.step(StepReason::Start, DAY).unwrap();
    assert_eq!(world.step(StepReason::Start, DAY).err(), Some(Refusal::StartWindow));
    world.restart([2; 16], Profile::Standard);
    assert!(world.step(StepReason::Start, -100 * DAY).unwrap().any_size, "in the next boot");
}

#[test]
fn a143_the_start_window_closes_after_its_time_and_its_steps() {
    for (wait, refusal) in [(899, OK), (900, OK), (901, Some(Refusal::StartWindow))] {
        for by_step in [false, true] {
            let mut world = World::standard();
            world.pass(10 * HOUR);
            let first = match by_step {
                true => world.step(StepReason::Start, SECOND).err(),
                false => world.adjust(0.0, 0, 0).err(),
            };
            assert_eq!(first, OK);
            world.pass(wait * SECOND);
            assert_eq!(world.step(StepReason::Start, SECOND).err(), refusal, "{wait} s after {first:?}");
        }
    }
    for (profile, steps) in [(Profile::Standard, 3), (Profile::Strict, 1)] {
        let mut world = World::of(profile);
        for _ in 0..steps {
            world.step(StepReason::Start, SECOND).unwrap();
            world.pass(2 * SECOND);
        }
        assert_eq!(world.step(StepReason::Start, SECOND).err(), Some(Refusal::StartWindow));
    }
}

#[test]
fn the_start_window_is_open_until_something_is_granted_and_no_restart_opens_it_again() {
    let mut world = World::standard();
    // A network that comes after a day, with restarts and refused orders meanwhile.
    for _ in 0..24 {
        world.pass(HOUR);
        world.restart(BOOT, Profile::Standard);
        assert_eq!(world.step(StepReason::Run, 2 * SECOND).err(), Some(Refusal::RunStep));
        assert_eq!(world.governor.start_steps(&world.now), 3);
    }
    assert!(!world.governor.is_unwritten());
    assert_eq!(world.step(StepReason::Start, 1_000 * SECOND).err(), OK);
    assert!(world.governor.is_unwritten(), "a kill after it must not open the window again");
    world.pass(900 * SECOND);
    world.restart(BOOT, Profile::Standard);
    assert_eq!(world.governor.start_steps(&world.now), 2);
    world.pass(1);
    world.restart(BOOT, Profile::Standard);
    assert_eq!(world.governor.start_steps(&world.now), 0);
    assert_eq!(world.step(StepReason::Start, SECOND).err(), Some(Refusal::StartWindow));
    world.restart([2; 16], Profile::Standard);
    assert_eq!(world.governor.start_steps(&world.now), 3, "in the next boot");
}

#[test]
fn a130_a_restart_neither_refills_the_start_window_nor_the_budget() {
    let mut world = World::standard();
    let mut steps = 0;
    let mut slewed = 0;
    for _ in 0..1000 {
        world.restart(BOOT, Profile::Standard);
        world.pass(2 * SECOND);
        steps += i64::from(world.step(StepReason::Start, SECOND / 10).is_ok());
        world.pass(2 * SECOND);
        slewed += world.adjust(0.0, SECOND / 10, 6).map_or(0, |grant| grant.charged.nanos());
        world.pass(400 * SECOND / 1000);
    }
    assert_eq!(steps, 3);
    assert!(slewed <= 2 * SECOND, "{slewed}");
}

#[test]
fn a124_no_step_leads_before_the_floor_or_after_the_latest_time() {
    let mut world = World::standard();
    let floor = world.governor.floor().nanos();
    let latest = world.governor.latest().nanos();
    let to = |world: &World, target: i64| target - world.now.clock.wall.nanos();
    for target in [0, floor - 1, 0x8000_0000 * SECOND + SECOND * 8, 9_214_646_400 * SECOND / 2] {
        let refusal = if target < floor { Refusal::Floor } else { Refusal::Latest };
        for reason in [StepReason::Start, StepReason::Run, StepReason::Restore, StepReason::Resume] {
            world.pass(2 * SECOND);
            let delta = to(&world, target);
            assert_eq!(world.step(reason, delta).err(), Some(refusal), "{target} {reason:?}");
        }
    }
    // With the size of the step out of the way, the limits are the nanosecond.
    for (target, refusal) in
        [(floor - 1, Some(Refusal::Floor)), (floor, OK), (latest, OK), (latest + 1, Some(Refusal::Latest))]
    {
        let mut world = World::standard();
        world.governor.terms.approved_step = Some(Span::MAX);
        let delta = to(&world, target);
        assert_eq!(world.step(StepReason::Run, delta).err(), refusal, "{target}");
    }
    let mut world = World::standard();
    assert_eq!(world.step(StepReason::Start, i64::MIN).err(), Some(Refusal::Floor));
}

#[test]
fn a173_a_clock_below_the_floor_is_set_once_in_a_boot() {
    let wrong = moment(100 * SECOND, 86_400 * SECOND);
    let record = Record::born(BOOT, wrong.boot);
    let mut world = World {
        governor: Governor::new(terms(Profile::Standard), record, BOOT, wrong),
        now: wrong,
        base: Frequency::ZERO,
    };
    let delta = today() - wrong.clock.wall.nanos();
    world.step(StepReason::Start, delta).unwrap();
    // Set there once more by another program, it is not set again without an operator.
    world.pass(2 * SECOND);
    world.now.clock.wall = wrong.clock.wall;
    world.governor.observe(&world.now, false);
    assert_eq!(world.step(StepReason::Start, delta).err(), Some(Refusal::StartWindow));
    let record = Record::born(BOOT, wrong.boot);
    let strict = Governor::new(terms(Profile::Strict), record, BOOT, wrong);
    let mut world = World { governor: strict, now: wrong, base: Frequency::ZERO };
    assert_eq!(
        world.step(StepReason::Start, delta).err(),
        Some(Refusal::StartWindow),
        "strict: launch flag only"
    );
    world.governor.terms.approved_step = Some(Span::saturating(delta));
    world.step(StepReason::Start, delta).unwrap();
}

#[test]
fn an_operators_leave_counts_once_in_a_boot_and_never_before_the_build() {
    let mut world = World::standard();
    world.pass(10 * DAY);
    world.adjust(0.0, 0, 0).unwrap();
    world.status(Leap::None, true).unwrap();
    world.pass_under_orders(DAY + HOUR, 0.0);
    let approve = |world: &mut World, boot: [u8; 16]| {
        let record = Record::from_octets(&world.governor.record().to_octets()).unwrap();
        world.governor = Governor::new(
            Terms { approved_step: Some(Span::saturating(2 * DAY)), ..terms(Profile::Standard) },
            record,
            boot,
            world.now,
        );
    };
    // The last good time was a lie: two days back is below its floor, and the operator says so.
    assert_eq!(world.step(StepReason::Start, -2 * DAY).err(), Some(Refusal::Floor));
    approve(&mut world, BOOT);
    assert_eq!(world.governor.floor(), limits::BUILD_TIME);
    assert_eq!(world.governor.start_steps(&world.now), 1, "the window is long closed");
    let before_the_build = limits::BUILD_TIME.nanos() - 1 - world.now.clock.wall.nanos();
    assert_eq!(world.step(StepReason::Run, before_the_build).err(), Some(Refusal::Floor));
    assert_eq!(world.step(StepReason::Run, -2 * DAY).err(), OK);
    assert!(world.governor.floor() < world.now.clock.wall, "the floor has followed");
    world.pass(HOUR);
    assert_eq!(world.step(StepReason::Run, -2 * DAY).err(), Some(Refusal::Floor));
    // Restarted with the same words by a service manager: that was the one use.
    approve(&mut world, BOOT);
    assert_eq!(world.step(StepReason::Run, -2 * DAY).err(), Some(Refusal::Floor));
    approve(&mut world, [9; 16]);
    world.pass(HOUR);
    assert_eq!(world.step(StepReason::Run, -2 * DAY).err(), OK, "another boot, another word");
}
