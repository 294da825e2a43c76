//! What the packets after the first correction show to be far off.

use super::world::*;
use ipc::message::privileged::StepReason;

/// A host that is 3.7 s ahead, whose way to all three servers is 60 ms longer for the first half of a second.
fn hurried() -> World {
    let mut world = Setup { error: 3.7, ..Setup::of(wan(3)) };
    world.servers.iter_mut().for_each(|server| server.forward += 60e-3);
    let mut world = world.start();
    world.run(0.5);
    assert_eq!(world.steps.len(), 1);
    world.servers.iter_mut().for_each(|server| server.forward -= 60e-3);
    world
}

#[test]
fn a_first_correction_that_was_far_off_is_set_right_by_a_second_one_within_seconds() {
    let mut world = hurried();
    assert!(world.error().abs() > 10e-3, "{}", world.error());
    world.run(16.0);
    assert!(world.error().abs() < 3e-3, "{}", world.error());
    let reasons: std::vec::Vec<StepReason> = world.steps.iter().map(|step| step.reason).collect();
    assert_eq!(reasons, [StepReason::Start; 2]);
    world.run(900.0);
    assert_eq!(world.steps.len(), 2);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn where_the_governor_has_no_second_start_step_it_is_not_asked_for_one() {
    let mut setup = Setup { error: 3.7, start_steps: 1, ..Setup::of(wan(3)) };
    setup.servers.iter_mut().for_each(|server| server.forward += 60e-3);
    let mut world = setup.start();
    world.run(0.5);
    world.servers.iter_mut().for_each(|server| server.forward -= 60e-3);
    world.run(900.0);
    assert_eq!(world.steps.len(), 1);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn after_the_first_quarter_of_a_minute_nothing_is_stepped() {
    let mut world = Setup { error: 3.7, ..Setup::of(wan(3)) }.start();
    world.run(20.0);
    world.servers.iter_mut().for_each(|server| server.error = 0.05);
    world.run(3600.0);
    assert_eq!(world.steps.len(), 1);
}

#[test]
fn noise_is_not_stepped_after() {
    for (fixed, jitter) in [(20e-3, 20e-3), (19e-3, 1e-3), (5e-3, 30e-3)] {
        for seed in 1..=20 {
            let servers = (0..3).map(|n| server(n, fixed, jitter)).collect();
            let mut world = Setup { error: 3.7, seed, ..Setup::of(servers) }.start();
            world.run(17.0);
            assert_eq!(world.steps.len(), 1, "{fixed} {jitter} {seed}");
        }
    }
}

#[test]
fn what_the_sources_say_all_at_once_after_an_honest_start_is_not_stepped_after() {
    for lie in [0.2, 3.0, 500.0] {
        let mut world = Setup { error: 3.7, ..Setup::of(wan(3)) }.start();
        world.run(1.0);
        world.servers.iter_mut().for_each(|server| server.error = lie);
        world.run(3.0);
        world.servers.iter_mut().for_each(|server| server.error = 0.0);
        world.run(120.0);
        assert_eq!(world.steps.len(), 1, "{lie}: {:?}", world.steps);
        assert!(world.error().abs() < 20e-3, "{lie}: {}", world.error());
    }
}
