//! The administrator's commands.

use super::world::*;
use crate::io::{Command, Input};

#[test]
fn one_source_offline_is_not_asked_and_not_missed_and_the_others_go_on() {
    let mut world = Setup::of(lan(2)).start();
    world.run(100.0);
    let ids: std::vec::Vec<_> = world.engine.entries().map(|(id, _)| id).collect();
    let sent = |world: &World| -> std::vec::Vec<u64> {
        world.engine.status(world.now()).sources.iter().map(|source| source.sent).collect()
    };
    let is_offline = |world: &World, n: usize| {
        world.engine.status(world.now()).sources[n].activity == report::SourceActivity::Offline
    };
    world.give(Input::Command(Command::Offline(Some(ids[0]))));
    let before = sent(&world);
    world.run(40_000.0);
    let after = sent(&world);
    assert_eq!(after[0], before[0]);
    assert!(after[1] > before[1] + 30, "{after:?}");
    assert!(is_offline(&world, 0) && !is_offline(&world, 1));
    // One of two has no majority, unless nobody misses the other.
    let status = world.engine.status(world.now());
    assert!(status.system.synchronised, "{status:#?}");
    assert!(world.error().abs() < 0.001, "{}", world.error());
    // A burst for one is of one, and all go online together.
    world.give(Input::Command(Command::Burst(Some(ids[1]))));
    world.run(1.0);
    assert_eq!(sent(&world), [after[0], after[1] + 4]);
    world.give(Input::Command(Command::Online(None)));
    world.run(1.0);
    assert_eq!(sent(&world)[0], after[0] + 4);
    assert!(!is_offline(&world, 0));
    // The last one that is taken offline leaves nothing that is asked; the one that comes back is.
    world.give(Input::Command(Command::Offline(Some(ids[0]))));
    world.give(Input::Command(Command::Offline(Some(ids[1]))));
    let before = sent(&world);
    world.run(5_000.0);
    assert_eq!(sent(&world), before);
    world.give(Input::Command(Command::Online(Some(ids[1]))));
    world.run(1.0);
    assert_eq!(sent(&world), [before[0], before[1] + 4]);
}

#[test]
fn offline_asks_nobody_and_online_asks_at_once() {
    let mut world = Setup::of(lan(2)).start();
    world.run(100.0);
    world.give(Input::Command(Command::Offline(None)));
    let before = world.queries.len();
    world.run(2000.0);
    assert_eq!(world.queries.len(), before);
    world.give(Input::Command(Command::Online(None)));
    world.run(1.0);
    assert_eq!(world.queries.len(), before + 8);
    world.give(Input::Command(Command::Burst(None)));
    world.run(1.0);
    assert_eq!(world.queries.len(), before + 16);
}
