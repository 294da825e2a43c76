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

#[test]
fn what_comes_while_all_are_offline_is_not_asked_and_decides_nothing() {
    let mut world = Setup::of(lan(3)).start();
    let last = world.engine.entries().nth(2).map(|(id, it)| (id, it.clone())).unwrap();
    let now = world.now();
    world.engine.remove_entry(now, last.0).unwrap();
    world.run(100.0);
    world.give(Input::Command(Command::Offline(None)));
    let (now, before) = (world.now(), world.queries.len());
    let added = world.engine.add_entry(now, last.1).unwrap();
    world.run(5_000.0);
    assert_eq!(world.queries.len(), before);
    // Who is brought back alone is asked alone.
    world.give(Input::Command(Command::Online(Some(added))));
    world.run(1.0);
    let sent: std::vec::Vec<u64> =
        world.engine.status(world.now()).sources.iter().map(|it| it.sent).collect();
    assert_eq!((sent[2] > 0, world.queries.len() - before), (true, sent[2] as usize), "{sent:?}");
    world.give(Input::Command(Command::Online(None)));
    world.run(1.0);
    let now_sent: std::vec::Vec<u64> =
        world.engine.status(world.now()).sources.iter().map(|it| it.sent).collect();
    assert_eq!([now_sent[0] - sent[0], now_sent[1] - sent[1]], [4, 4]);
}
