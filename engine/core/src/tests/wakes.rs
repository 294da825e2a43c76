//! How often an engine is woken: never for nothing.

use super::world::*;
use ipc::message::privileged::ClockKind;
use ipc::units::Leap;
use std::vec::Vec;

#[test]
fn an_engine_without_a_clock_is_not_woken_over_and_over_by_an_announced_leap_second() {
    // Noon of 30 June, when one may be announced.
    let noon = (1_814_356_800 * SECOND - BEGIN) as f64 * 1e-9;
    let mut setup = Setup { kind: ClockKind::None, error: noon, ..Setup::of(lan(2)) };
    for server in &mut setup.servers {
        server.error = noon;
        server.edit = Some(std::boxed::Box::new(|header| header.leap = Leap::Insert));
    }
    let mut world = setup.start();
    // The world fails where a timeout is due again at once.
    world.run(600.0);
    assert!(world.statuses.is_empty());
    assert_eq!(world.status().system.leap, Leap::Insert);
}

/// The moments at which queries left in the last hour of four, with how many; ns.
fn queries_of_an_hour(mut setup: Setup, poll: i8) -> (World, Vec<(i64, usize)>) {
    for source in &mut setup.settings.sources {
        (source.min_poll, source.max_poll) = (poll, poll);
    }
    let mut world = setup.start();
    world.run(3.0 * 3600.0);
    world.queries.clear();
    world.adjusts.clear();
    world.statuses.clear();
    world.run(3600.0);
    let mut moments: Vec<(i64, usize)> = Vec::new();
    for (at, _) in &world.queries {
        match moments.last_mut() {
            Some((moment, count)) if moment == at => *count += 1,
            _ => moments.push((*at, 1)),
        }
    }
    (world, moments)
}

#[test]
fn one_order_and_one_status_do_for_a_reply_and_many_replies_need_none() {
    let (world, moments) = queries_of_an_hour(Setup::of(wan(4)), 6);
    assert!(world.adjusts.len() <= moments.len(), "{} {}", world.adjusts.len(), moments.len());
    assert!(world.statuses.len() <= moments.len() + 1, "{} {}", world.statuses.len(), moments.len());
    assert!(world.adjusts.len() >= moments.len() / 8, "it goes on being steered: {}", world.adjusts.len());
}

#[test]
fn a_status_leaves_with_its_adjustment() {
    let mut world = Setup::of(lan(1)).start();
    for _ in 0..10 {
        world.run(600.0);
        let asked = world.adjusts.last().unwrap().asked_at;
        // An order takes 20 µs, and so does its answer.
        let told = world.raw_at(world.told_at.unwrap()).since(asked).nanos();
        assert!((0..30_000).contains(&told), "{told} ns after the adjustment");
    }
}
