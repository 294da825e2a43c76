//! What the kernel tells others of its clock: never that it is better than it is.

use super::world::*;
use ipc::message::privileged::Refusal;

/// Whether the kernel says that its clock is synchronised, and the bound that it gives for the error, in seconds. Without a
/// new status it lets the bound grow by 500 ppm.
fn kernel(world: &World) -> Option<(bool, f64)> {
    let (at, last) = (world.told_at?, world.statuses.last()?);
    Some((last.synchronised, last.maxerror.nanos() as f64 * 1e-9 + (world.time - at) as f64 * 500e-15))
}

fn synchronised(count: usize) -> World {
    let mut world = Setup::of(lan(count)).start();
    world.run(4.0 * 3600.0);
    assert!(kernel(&world).is_some_and(|(synchronised, bound)| synchronised && bound < 0.1));
    world
}

/// Runs until the kernel no longer says that its clock is synchronised; seconds, at most `most`.
fn until_unsynchronised(world: &mut World, most: f64) -> f64 {
    let begin = world.age();
    while kernel(world).is_none_or(|(synchronised, _)| synchronised) && world.age() - begin < most {
        world.run(1.0);
    }
    world.age() - begin
}

#[test]
fn a_correction_that_is_refused_makes_the_clock_unsynchronised_at_once() {
    let mut setup = Setup::of(lan(3));
    setup.servers.iter_mut().for_each(|server| server.error = 2.0 * 86_400.0);
    let mut world = setup.start();
    world.any_start = false;
    assert!(until_unsynchronised(&mut world, 60.0) <= 3.0, "at the start");
    assert_eq!(world.status().system.state().name(), "refused");
    // Of a clock that was right, it takes the first reply that contradicts all before.
    let mut world = synchronised(3);
    world.servers.iter_mut().for_each(|server| server.error = 2000.0);
    assert!(until_unsynchronised(&mut world, 3600.0) <= 256.0 + 10.0);
    world.run(5.0);
    assert_eq!(world.status().system.state().name(), "refused");
    assert!(kernel(&world).unwrap().1 >= 16.0);
    // And when it is right again, so is the kernel.
    world.servers.iter_mut().for_each(|server| server.error = 0.0);
    world.run(1024.0);
    assert!(kernel(&world).unwrap().0);
}

#[test]
fn a_step_of_another_program_that_may_not_be_undone_makes_the_clock_unsynchronised_at_once() {
    let mut world = synchronised(3);
    world.step_refusal = Some(Refusal::Budget);
    world.meddle(3600.0);
    assert!(until_unsynchronised(&mut world, 60.0) <= 2.0);
}

#[test]
fn after_sleep_without_a_network_the_clock_is_not_synchronised() {
    let mut world = synchronised(3);
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.sleep(8 * 3600);
    assert!(until_unsynchronised(&mut world, 60.0) <= 2.0);
}

#[test]
fn sources_that_are_divided_leave_the_kernel_no_bound_that_excludes_one_of_them() {
    for lie in [10.0, 0.2] {
        let mut world = synchronised(4);
        world.servers[..2].iter_mut().for_each(|server| server.error = lie);
        world.run(256.0 + 2.0 * 70.0);
        assert_eq!(world.status().system.state().name(), "no-majority");
        let (is_synchronised, bound) = kernel(&world).unwrap();
        assert_eq!(is_synchronised, lie < 1.0);
        assert!(bound >= lie, "{bound}");
        assert!(world.status().system.error_bound_s >= lie);
        let served = world.served.last().unwrap();
        assert!(served.stratum == 16 || served.root_dispersion.nanos() as f64 * 1e-9 >= lie, "{served:?}");
    }
    // From the start, where the kernel may have the status of an earlier run.
    let mut setup = Setup::of(lan(2));
    setup.servers[1].error = 10.0;
    let mut world = setup.start();
    assert!(until_unsynchronised(&mut world, 60.0) <= 12.0);
}

#[test]
fn while_no_source_answers_the_bound_is_true_and_a_large_one_is_not_synchronised() {
    for frequency_error in [0.0, 1.5e-6] {
        let mut world = synchronised(3);
        world.servers.iter_mut().for_each(|server| server.up = false);
        // What the oscillator does unseen.
        world.frequency += frequency_error;
        for _ in 0..400 {
            world.run(1000.0);
            let (synchronised, bound) = kernel(&world).unwrap();
            assert!(!synchronised || bound >= world.error().abs(), "{bound} {}", world.error());
            assert!(!synchronised || world.error().abs() < 1.0);
        }
        assert!(!kernel(&world).unwrap().0, "after 110 hours");
    }
}

#[test]
fn a_clock_that_is_right_costs_no_more_orders_than_before() {
    let mut world = synchronised(3);
    let before = world.statuses.len();
    world.run(4.0 * 3600.0);
    let orders = world.statuses.len() - before;
    assert!(orders <= 4 * 3600 / 64 + 4, "{orders}");
    assert!(world.statuses[before..].iter().all(|status| status.synchronised));
}

#[test]
fn while_the_frequency_is_uncertain_one_status_holds_until_the_next_measurement() {
    let mut world = Setup::of(lan(1)).start();
    world.run(30.0);
    let before = world.statuses.len();
    let (mut last, mut growth) = (world.status().system.error_bound_s, 0.0f64);
    for _ in 0..300 {
        world.run(1.0);
        let (synchronised, bound) = kernel(&world).unwrap();
        let own = world.status().system.error_bound_s;
        assert!(synchronised && bound > own - 1e-5, "{bound} {own} after {} s", world.age());
        growth = growth.max(own - last);
        last = own;
    }
    assert!(growth > 1e-3, "faster than the kernel lets its own grow: {growth}");
    let statuses = world.statuses.len() - before;
    assert!(statuses <= 12, "{statuses} in five minutes");
}
