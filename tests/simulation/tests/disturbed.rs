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
