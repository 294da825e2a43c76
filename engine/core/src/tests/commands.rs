//! The administrator's commands.

use super::world::*;
use crate::hand_step::{HandStep, NoStep};
use crate::io::{Command, Input};
use ipc::message::privileged::{Refusal, StepReason};

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

/// A clock that has run well for a while and is now behind by so many seconds, by its sources.
fn behind(seconds: f64) -> World {
    let mut world = Setup::of(lan(3)).start();
    world.run(300.0);
    world.servers.iter_mut().for_each(|server| server.error += seconds);
    world.step_refusal = Some(Refusal::RunStep);
    world.run(300.0);
    world
}

fn step_by_hand(world: &mut World) -> Option<HandStep> {
    world.give(Input::Command(Command::Step));
    world.run(0.5);
    world.engine.hand_step()
}

#[test]
fn a_step_by_hand_is_one_order_whose_outcome_is_told() {
    let mut world = behind(5.0);
    assert_eq!(world.engine.hand_step(), None);
    let (steps, refusals) = (world.steps.len(), world.refused.len());
    let outcome = step_by_hand(&mut world);
    let Some(HandStep::Refused { code: Refusal::RunStep, offset_s }) = outcome else { panic!("{outcome:?}") };
    assert!((4.5..5.5).contains(&offset_s), "{offset_s}");
    assert_eq!((world.steps.len(), world.refused.len()), (steps, refusals + 2), "once for each row");
    // Nothing else follows from that: it is slewed as before.
    let before = world.engine.status(world.now()).system.offset_s;
    world.run(600.0);
    let after = world.engine.status(world.now()).system.offset_s;
    assert!(after < before - 0.05, "{before} {after}");
    // The operator permits it.
    world.step_refusal = None;
    let outcome = step_by_hand(&mut world);
    let Some(HandStep::Made { moved_s }) = outcome else { panic!("{outcome:?}") };
    assert!((moved_s - after).abs() < 0.01, "{moved_s} {after}");
    assert_eq!(world.steps.len(), steps + 1);
    world.run(60.0);
    assert!(world.engine.status(world.now()).system.synchronised);
    let near = step_by_hand(&mut world);
    assert!(matches!(near, Some(HandStep::Impossible(NoStep::Near { .. }))), "{near:?}");
    assert_eq!(world.steps.len(), steps + 1);
}

#[test]
fn no_step_by_hand_is_ordered_where_there_is_no_time_to_step_to_and_none_comes_later() {
    // Before the first correction.
    let mut world = Setup::of(lan(3)).start();
    assert_eq!(step_by_hand(&mut world), Some(HandStep::Impossible(NoStep::Early)));
    // The sources part: there is no majority.
    let mut world = behind(5.0);
    let steps = world.steps.len();
    for (server, error) in world.servers.iter_mut().zip([0.0, 100.0, 200.0]) {
        server.error += error;
    }
    world.run(3_000.0);
    assert_eq!(step_by_hand(&mut world), Some(HandStep::Impossible(NoStep::NoTime)));
    for (server, error) in world.servers.iter_mut().zip([0.0, 100.0, 200.0]) {
        server.error -= error;
    }
    world.step_refusal = None;
    world.run(3_000.0);
    assert_eq!(world.steps.len(), steps, "what was asked for then is not remembered");
}

#[test]
fn a_clock_that_is_held_although_no_step_was_refused_is_stepped_by_hand() {
    let mut setup = Setup::of(lan(3));
    (setup.error, setup.start_steps) = (5_000.0, 0);
    let mut world = setup.start();
    world.run(60.0);
    assert!(world.refused.is_empty() && world.error().abs() > 4_900.0, "{:?}", world.refused);
    world.permits = true;
    let outcome = step_by_hand(&mut world);
    assert!(matches!(outcome, Some(HandStep::Made { .. })), "{outcome:?}");
}

#[test]
fn the_row_that_is_open_is_found_although_that_of_the_start_is_not() {
    let mut world = behind(0.4);
    // The engine counts start steps that the governor's window has ended.
    (world.start_steps, world.step_refusal) = (0, None);
    let outcome = step_by_hand(&mut world);
    assert!(matches!(outcome, Some(HandStep::Made { .. })), "{outcome:?} {:?}", world.refused);
    assert_eq!(world.refused.last(), Some(&Refusal::StartWindow));
    assert_eq!(world.steps.last().map(|step| step.reason), Some(StepReason::Run));
}

#[test]
fn a_clock_whose_first_step_was_refused_is_stepped_by_hand() {
    let mut setup = Setup::of(lan(3));
    setup.error = 5_000.0;
    let mut world = setup.start();
    world.step_refusal = Some(Refusal::StartForward);
    world.run(60.0);
    assert!(world.error().abs() > 4_900.0 && world.steps.is_empty(), "{}", world.error());
    let outcome = step_by_hand(&mut world);
    assert!(matches!(outcome, Some(HandStep::Refused { .. })), "{outcome:?}");
    world.permits = true;
    let outcome = step_by_hand(&mut world);
    assert!(matches!(outcome, Some(HandStep::Made { .. })), "{outcome:?}");
    world.run(60.0);
    assert!(world.error().abs() < 0.001 && world.engine.status(world.now()).system.synchronised);
}
