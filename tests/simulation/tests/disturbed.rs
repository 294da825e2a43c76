//! Clocks that others move, with the real governor: what is undone, and when.

use engine_core::notice::{ClockNotice, Notice};
use ipc::message::privileged::Refusal;
use simulation::scenario::parse;
use simulation::world::World;

/// A synchronised host with these events.
fn world(events: &str) -> World {
    let text = format!(
        r#"
        [[scenario]]
        name = "disturbed"
        source = [{{ count = 3, kind = "lan" }}]
        event = [{events}]
        "#
    );
    let [scenario] = parse(&text).unwrap().try_into().unwrap();
    World::new(&scenario, 1)
}

fn is_right(world: &World) -> bool {
    world.error().abs() < 1e-3 && world.status().system.synchronised
}

#[test]
fn a160_a_clock_that_others_set_over_and_over_is_right_a_minute_after_the_last_time() {
    let events: Vec<String> =
        (0..7).map(|time| format!("{{ at = {}, meddle = 2.0 }}", 3_600 + 5 * time)).collect();
    let mut world = world(&events.join(", "));
    world.run_until(3_599.0);
    assert!(is_right(&world));
    world.run_until(3_630.0 + 62.0);
    assert!(world.refused().contains(&Refusal::TooSoon), "{:?}", world.refused());
    assert!(is_right(&world), "{}", world.error());
    let told = |notice: &Notice| matches!(notice, Notice::Clock(ClockNotice::Refused(..)));
    assert!(world.notices.iter().filter(|(_, notice)| told(notice)).count() <= 2, "{:?}", world.notices);
    // It cost nothing of the budget: the same is possible without end.
    world.run_until(86_400.0);
    assert!(is_right(&world));
}

fn count(world: &World, of: impl Fn(&ClockNotice) -> bool) -> usize {
    let fits = |notice: &Notice| matches!(notice, Notice::Clock(notice) if of(notice));
    world.notices.iter().filter(|(_, notice)| fits(notice)).count()
}

#[test]
fn a160_a_step_of_another_program_that_the_sources_confirm_is_kept() {
    // The machine was paused for a minute, and an agent sets its clock right.
    for (late, pause) in [(0.5, 60.0), (5.0, 60.0), (2.0, 3_600.0), (2.0, 3.0 * 86_400.0)] {
        let begin = 3_600.0 + pause;
        let at = begin + late;
        let mut world =
            world(&format!("{{ at = 3600, pause = {pause} }}, {{ at = {at}, meddle = {pause} }}"));
        world.run_until(at + 0.3);
        assert!(!world.status().system.synchronised, "until the sources have answered");
        world.run_until(at + 5.0);
        assert!(is_right(&world), "{pause}: {}", world.error());
        assert_eq!(
            count(&world, |notice| matches!(notice, ClockNotice::Kept(_, 3))),
            1,
            "{:?}",
            world.notices
        );
        let steps = world.steps();
        world.run_until(at + 1_800.0);
        assert!(is_right(&world) && world.steps() == steps, "{pause}: {}", world.error());
        // There is nothing to restore any more, and the next one that is wrong is undone.
    }
}

#[test]
fn a160_a_step_of_another_program_that_the_sources_do_not_confirm_is_undone_within_seconds() {
    for moved in [-3.0, 3_600.0, -86_400.0, 0.3] {
        let mut world = world(&format!("{{ at = 3600, meddle = {moved} }}"));
        world.run_until(3_599.0);
        world.run_until(3_605.0);
        assert!(is_right(&world), "{moved}: {}", world.error());
        assert_eq!(count(&world, |notice| matches!(notice, ClockNotice::Kept(..))), 0);
    }
}

#[test]
fn a160_a_step_of_another_program_is_undone_without_sources_as_well() {
    let mut world = world("{ at = 3599, up = false }, { at = 3600, meddle = 60.0 }");
    world.run_until(3_608.0);
    assert!(!world.status().system.synchronised);
    world.run_until(3_612.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert_eq!(count(&world, |notice| matches!(notice, ClockNotice::Stepped(_))), 2, "{:?}", world.notices);
}

#[test]
fn a160_one_of_three_that_confirms_a_false_step_keeps_nothing() {
    let mut world = world("{ at = 3599.9, source = 0, error = 60 }, { at = 3600, meddle = 60.0 }");
    world.run_until(3_615.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a160_whoever_moves_the_clock_without_end_does_not_flood_the_sources() {
    let events: Vec<String> =
        (0..120).map(|time| format!("{{ at = {}, meddle = 0.7 }}", 3_600 + time)).collect();
    let mut world = world(&events.join(", "));
    world.run_until(3_600.0);
    let before: u64 = world.status().sources.iter().map(|source| source.sent).sum();
    world.run_until(3_720.0);
    let after: u64 = world.status().sources.iter().map(|source| source.sent).sum();
    assert!(after - before <= 3 * 40, "{}", after - before);
    world.run_until(3_720.0 + 62.0);
    assert!(is_right(&world), "{}", world.error());
}
