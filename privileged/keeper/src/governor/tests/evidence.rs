//! What the governor has seen itself: suspends, and steps by others.

use super::*;

#[test]
fn a_sleep_is_nobodys_step_and_can_not_be_restored_away() {
    for millis in [500, 5_000, 8 * 3_600_000] {
        let (mut world, nanos) = (World::standard(), millis * 1_000_000);
        world.adjust(0.0, 0, 0).unwrap();
        world.pass(SECOND);
        world.now.boot = booted(world.now.boot, nanos);
        world.now.asleep = world.now.asleep.plus(Span::saturating(nanos));
        world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + nanos).unwrap();
        let event = world.pass(SECOND);
        assert_eq!(event, (millis >= 1_000).then_some(ClockEventKind::Resume));
        assert_eq!(world.step(StepReason::Restore, -nanos).err(), Some(Refusal::Evidence));
    }
}

#[test]
fn a135_a_claimed_suspend_or_foreign_step_needs_the_governors_own_evidence() {
    let mut world = World::standard();
    assert_eq!(world.step(StepReason::Resume, SECOND).err(), Some(Refusal::Evidence));
    assert_eq!(world.step(StepReason::Restore, SECOND).err(), Some(Refusal::Evidence));
}

#[test]
fn a160_a_foreign_step_is_seen_and_undone_towards_the_governors_own_line() {
    let mut world = World::standard();
    world.adjust(20.0, 0, 0).unwrap();
    world.pass(60 * SECOND);
    world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + HOUR).unwrap();
    assert_eq!(world.pass(SECOND), Some(ClockEventKind::ForeignStep));
    assert_eq!(world.governor.epoch(), 2);
    assert_eq!(world.pass(SECOND), None, "said once: orders that follow must not be stale");
    assert_eq!(world.governor.epoch(), 2);
    world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + HOUR).unwrap();
    assert_eq!(world.pass(SECOND), Some(ClockEventKind::ForeignStep), "a second one is another");
    world.pass(10 * SECOND);
    for beside in [-HOUR, -2 * HOUR - SECOND / 2 - 1, -2 * HOUR + SECOND / 2 + 1] {
        assert_eq!(world.step(StepReason::Restore, beside).err(), Some(Refusal::Evidence), "{beside}");
    }
    assert_eq!(world.step(StepReason::Restore, -2 * HOUR).err(), OK);
    assert_eq!(world.pass(SECOND), None);
    assert_eq!(world.step(StepReason::Restore, SECOND / 10).err(), Some(Refusal::Evidence), "once");
}

#[test]
fn a161_a_suspend_is_seen_and_its_step_is_judged_at_its_limits() {
    for (profile, limit, count) in [(Profile::Standard, 10 * SECOND, 4), (Profile::Strict, 2 * SECOND, 2)] {
        let mut world = World::of(profile);
        let nap = |world: &mut World, millis: i64| {
            let nanos = millis * 1_000_000;
            world.now.boot = booted(world.now.boot, nanos);
            world.now.asleep = world.now.asleep.plus(Span::saturating(nanos));
            world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + nanos).unwrap();
            world.pass(SECOND)
        };
        let sleep = |world: &mut World, seconds: i64| nap(world, seconds * 1_000);
        assert_eq!(nap(&mut world, 900), None);
        assert_eq!(world.step(StepReason::Resume, SECOND).err(), Some(Refusal::Evidence));
        assert_eq!(sleep(&mut world, 1), Some(ClockEventKind::Resume));
        assert_eq!(world.step(StepReason::Resume, limit + 1).err(), Some(Refusal::RunStep));
        assert_eq!(world.step(StepReason::Resume, limit).err(), OK);
        assert_eq!(world.step(StepReason::Resume, 1).err(), Some(Refusal::Evidence), "one for each");
        for _ in 1..count {
            sleep(&mut world, 100);
            world.step(StepReason::Resume, limit).unwrap();
        }
        sleep(&mut world, 100);
        assert_eq!(world.step(StepReason::Resume, limit).err(), Some(Refusal::TooSoon));
        assert_eq!(world.step(StepReason::Resume, 1_000).err(), Some(Refusal::TooSoon), "all together");
        // It comes back, and many small ones are as lawful as few large ones.
        world.pass_under_orders(25 * HOUR, 0.0);
        let most = limit * count;
        for _ in 0..40 {
            sleep(&mut world, 2);
            world.step(StepReason::Resume, most / 40).unwrap();
            world.pass(SECOND);
        }
        sleep(&mut world, 2);
        world.pass(SECOND);
        assert_eq!(world.step(StepReason::Resume, 1_000).err(), Some(Refusal::TooSoon));
        world.restart(BOOT, profile);
        sleep(&mut world, 2);
        assert_eq!(
            world.step(StepReason::Resume, 1_000).err(),
            Some(Refusal::TooSoon),
            "a restart refills nothing"
        );
    }
}
