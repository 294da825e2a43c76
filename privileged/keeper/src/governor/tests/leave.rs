//! The operator's leave for a step, given while the daemon runs.

use super::*;

const LEAVE: i64 = 60 * SECOND;

fn permit(world: &mut World, nanos: i64) {
    let until = booted(world.now.boot, LEAVE);
    world.governor.permit(Span::saturating(nanos), until, world.now.boot);
}

/// Long after the start window, where no row has a step.
fn settled(profile: Profile) -> World {
    let mut world = World::of(profile);
    world.adjust(0.0, 0, 0).unwrap();
    world.pass_under_orders(2 * HOUR, 0.0);
    world.governor.terms.run_step = Span::ZERO;
    world
}

#[test]
fn a_step_is_permitted_once_up_to_its_size_in_either_direction_and_for_a_minute() {
    for profile in [Profile::Standard, Profile::Strict] {
        for direction in [1, -1] {
            for (delta, wait, refusal) in [
                (10 * SECOND, 0, OK),
                (10 * SECOND + 1, 0, Some(Refusal::RunStep)),
                (10 * SECOND, LEAVE, OK),
                (10 * SECOND, LEAVE + 1, Some(Refusal::RunStep)),
            ] {
                let mut world = settled(profile);
                permit(&mut world, 10 * SECOND);
                world.pass(wait);
                let outcome = world.step(StepReason::Run, delta * direction);
                assert_eq!(outcome.as_ref().err().copied(), refusal, "{profile:?} {delta} {wait}");
                world.pass(2 * SECOND);
                let again = world.step(StepReason::Run, 10 * SECOND * direction).err();
                let is_left = refusal.is_some() && wait == 0;
                assert_eq!(again, if is_left { OK } else { Some(Refusal::RunStep) }, "{delta} {wait}");
            }
        }
    }
}

#[test]
fn what_was_not_used_is_taken_back_and_the_word_at_the_start_is_another() {
    let mut world = settled(Profile::Standard);
    permit(&mut world, 10 * SECOND);
    permit(&mut world, 0);
    assert_eq!(world.step(StepReason::Run, SECOND).err(), Some(Refusal::RunStep));
    world.governor.terms.approved_step = Some(Span::saturating(5 * SECOND));
    permit(&mut world, SECOND);
    world.pass(2 * SECOND);
    world.step(StepReason::Run, SECOND).unwrap();
    assert_eq!(
        world.governor.record().approved_used,
        None,
        "a restart with the same option has its own step"
    );
    world.pass(2 * SECOND);
    world.step(StepReason::Run, 5 * SECOND).unwrap();
    assert_eq!(world.governor.record().approved_used, Some(Span::saturating(5 * SECOND)));
}

#[test]
fn the_floor_is_lower_for_the_step_that_is_permitted_and_for_no_other() {
    let mut world = settled(Profile::Standard);
    world.governor.record().last_good = world.now.clock.wall;
    let back = |world: &World, below: i64| {
        world.governor.ordinary_floor().nanos() - below - world.now.clock.wall.nanos()
    };
    let allowed = back(&world, SECOND);
    permit(&mut world, allowed.abs());
    assert_eq!(world.governor.floor_of(Span::saturating(allowed.abs())), limits::BUILD_TIME);
    // A step that is larger by anything has the floor of all others.
    assert_eq!(world.step(StepReason::Start, allowed - 1).err(), Some(Refusal::Floor));
    world.pass(2 * SECOND);
    let allowed = back(&world, 0) - SECOND;
    assert_eq!(
        world.step(StepReason::Run, allowed).err(),
        Some(Refusal::Floor),
        "more than was permitted by then"
    );
    permit(&mut world, 365 * DAY);
    let before = limits::BUILD_TIME.nanos() - 1 - world.now.clock.wall.nanos();
    assert_eq!(world.step(StepReason::Run, before).err(), Some(Refusal::Floor));
    let after = world.governor.latest().nanos() + 1 - world.now.clock.wall.nanos();
    assert_eq!(world.step(StepReason::Run, after).err(), Some(Refusal::Latest));
    world.pass(LEAVE + 1);
    let late = back(&world, SECOND);
    assert_eq!(world.step(StepReason::Run, late).err(), Some(Refusal::Floor), "the minute is over");
    permit(&mut world, 365 * DAY);
    world.pass(2 * SECOND);
    let in_time = back(&world, SECOND);
    assert_eq!(world.step(StepReason::Run, in_time).err(), OK);
}

#[test]
fn a_leave_that_is_read_late_ends_when_it_would_have_and_none_holds_for_longer_than_a_minute() {
    let mut world = settled(Profile::Standard);
    let given = world.now.boot;
    world.pass(50 * SECOND);
    world.governor.permit(Span::saturating(SECOND), booted(given, LEAVE), world.now.boot);
    world.pass(10 * SECOND + 1);
    assert_eq!(world.step(StepReason::Run, SECOND).err(), Some(Refusal::RunStep));
    world.governor.permit(Span::saturating(SECOND), given, world.now.boot);
    assert_eq!(
        world.step(StepReason::Run, SECOND).err(),
        Some(Refusal::RunStep),
        "it was over when it was read"
    );
    world.governor.permit(Span::saturating(SECOND), booted(given, DAY), world.now.boot);
    world.pass(LEAVE + 1);
    assert_eq!(world.step(StepReason::Run, SECOND).err(), Some(Refusal::RunStep), "a day is a minute");
}

#[test]
fn a_step_that_was_not_made_leaves_it() {
    let mut world = settled(Profile::Standard);
    permit(&mut world, 10 * SECOND);
    let epoch = world.governor.epoch();
    let delta = Offset::saturating(5 * SECOND);
    let order = Step { epoch, delta, reason: StepReason::Run, asked_at: world.now.clock.raw };
    world.governor.judge_step(&order, &world.now).unwrap();
    world.governor.not_done();
    world.pass(2 * SECOND);
    assert_eq!(world.step(StepReason::Run, 5 * SECOND).err(), OK);
}
