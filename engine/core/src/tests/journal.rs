//! Events while no source can be followed, and of steps that are refused.

use super::world::*;
use crate::io::{Command, Input, OrderKind};
use crate::notice::{
    AfterRefusal, ClockNotice, EntryCounts, EntryNotice, Impasse, Missing, NoSelection, Notice, SourceNotice,
    SystemNotice,
};
use crate::settings::Place;
use crate::status::{SourceReason, SystemReason};
use ipc::message::client::Silence;
use ipc::message::exchange::{Failed, HostName, LookupFailure};
use ipc::message::privileged::{Condition, Refusal};
use ipc::units::Span;
use std::string::ToString;
use std::vec::Vec;

/// The events of the system that this takes.
fn system<T>(world: &World, take: impl Fn(&SystemNotice) -> Option<T>) -> Vec<T> {
    let of_system = |notice: &Notice| if let Notice::System(found) = notice { take(found) } else { None };
    world.notices.iter().filter_map(of_system).collect()
}

/// After which time, and with what, it was reported that no source had answered.
fn no_replies(world: &World) -> Vec<(Span, EntryCounts)> {
    system(world, |notice| match notice {
        SystemNotice::NoReplies(age, counts) => Some((*age, *counts)),
        _ => None,
    })
}

/// How often it was reported that the sources agree again.
fn agreements(world: &World) -> usize {
    system(world, |notice| (*notice == SystemNotice::Agreed).then_some(())).len()
}

fn named(count: usize, names: &[&str]) -> Setup {
    let mut setup = Setup::of(lan(count + names.len()));
    for (settings, name) in setup.settings.sources[count..].iter_mut().zip(names) {
        settings.place = Place::Name(HostName::parse(name).unwrap(), 123);
        settings.name = (*name).to_string();
    }
    setup
}

#[test]
fn a_silence_is_told_after_a_minute_and_then_ever_more_seldom_until_the_first_answer() {
    let mut servers = lan(2);
    servers.iter_mut().for_each(|server| server.up = false);
    let mut world = Setup::of(servers).start();
    world.run(59.0);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
    let mut told = Vec::new();
    for (until, count) in
        [(70.0, 1), (599.0, 1), (610.0, 2), (3590.0, 2), (3610.0, 3), (21_590.0, 3), (21_610.0, 4)]
    {
        let left = until - world.age();
        world.run(left);
        told = no_replies(&world);
        assert_eq!(told.len(), count, "after {until} s: {told:?}");
    }
    assert_eq!(told[0].1, EntryCounts { of: 2, queried: 2, ..EntryCounts::default() });
    assert_eq!(told.iter().map(|(age, _)| minutes(*age)).collect::<Vec<_>>(), [1, 10, 60, 360]);
    world.run(86_400.0 - world.age() + 20.0);
    assert_eq!(no_replies(&world).len(), 5);
    world.run(86_400.0);
    assert_eq!(no_replies(&world).len(), 6);
    world.servers[0].up = true;
    world.run(4.0 * 3600.0);
    let first = |notice: &&Notice| matches!(notice, Notice::Source(_, _, SourceNotice::FirstHeard(_)));
    assert_eq!(world.notices.iter().filter(first).count(), 1, "{:?}", world.notices);
    assert!(no_replies(&world).len() <= 6);
}

#[test]
fn a_start_that_goes_well_reports_no_silence() {
    let mut world = Setup::of(lan(3)).start();
    world.run(7200.0);
    assert!(no_replies(&world).is_empty(), "{:?}", world.notices);
}

#[test]
fn sources_that_fall_silent_later_are_told_at_once_again_after_ten_minutes_and_when_they_are_back() {
    let mut world = Setup::of(lan(2)).start();
    world.run(1800.0);
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run(8.0 * 3600.0);
    let silent = NoSelection {
        impasse: Impasse::Silent,
        minimum: 1,
        of: 2,
        missing: Missing::default(),
        answered: false,
    };
    let at_once = system(&world, |notice| (*notice == SystemNotice::NoSelection(silent)).then_some(()));
    let again = system(&world, |notice| match notice {
        SystemNotice::StillNoSelection(age, found) if *found == silent => Some(minutes(*age)),
        _ => None,
    });
    assert!(at_once.len() == 1 && again.len() >= 2 && again[0] == 10, "{:?}", world.notices);
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.run(3600.0);
    assert_eq!(agreements(&world), 1, "{:?}", world.notices);
}

#[test]
fn a_name_that_is_not_resolved_is_reported_with_its_cause_and_not_as_a_silent_server() {
    let causes = [
        LookupFailure::NoSuchName,
        LookupFailure::NoAddress,
        LookupFailure::TryAgain,
        LookupFailure::NoResolver,
        LookupFailure::Refused,
        LookupFailure::NotStarted,
        LookupFailure::Deadline,
        LookupFailure::Broken,
    ];
    for why in causes {
        let mut world = named(0, &["ntp.example"]).start();
        assert_eq!(world.condition(), Condition::AwaitingNames { of: 1, why: None });
        assert_eq!(world.status().sources[0].reason, SourceReason::Unresolved(None));
        world.give(Input::LookupFailed(Failed { id: world.resolves[0].id, reason: why }));
        assert_eq!(world.condition(), Condition::AwaitingNames { of: 1, why: Some(why) });
        let status = world.status();
        let counts = EntryCounts { of: 1, unresolved: 1, why: Some(why), ..EntryCounts::default() };
        assert_eq!(status.system.reason, SystemReason::NoReplies(counts));
        assert_eq!(status.sources[0].reason, SourceReason::Unresolved(Some(why)));
        let unresolved = Notice::Entry("ntp.example".to_string(), EntryNotice::Unresolved(why));
        assert_eq!(world.notices, [unresolved]);
        world.run(61.0);
        assert_eq!(no_replies(&world)[0].1, counts);
    }
}

#[test]
fn each_report_of_a_silence_has_its_cause_also_after_hours() {
    for why in [
        Silence::PortUnreachable,
        Silence::Unreachable,
        Silence::Prohibited,
        Silence::Local,
        Silence::Deadline,
    ] {
        let mut world = Setup { obstacle: Some(why), ..Setup::of(lan(2)) }.start();
        world.run(6.0 * 3600.0 + 20.0);
        let (told, known) = (no_replies(&world), Some(why).filter(|why| *why != Silence::Deadline));
        assert_eq!(told.iter().map(|(age, _)| minutes(*age)).collect::<Vec<_>>(), [1, 10, 60, 360]);
        assert!(told.iter().all(|(_, counts)| counts.obstacle == known), "{told:?}");
        // What has come to be the cause since is what the next report says.
        world.obstacle = None;
        world.servers.iter_mut().for_each(|server| server.up = false);
        world.run(86_400.0 - world.age() + 20.0);
        assert_eq!(no_replies(&world).last().unwrap().1.obstacle, None);
    }
}

#[test]
fn what_was_asked_and_what_has_no_name_is_counted_apart() {
    let mut setup = named(2, &["a.example", "b.example"]);
    setup.servers.iter_mut().for_each(|server| server.up = false);
    let mut world = setup.start();
    world.run(61.0);
    assert!(
        world.status().sources.iter().all(|source| source.offset_s.is_none() && source.delay_s.is_none())
    );
    let told = no_replies(&world);
    assert_eq!(told[0].1, EntryCounts { of: 4, queried: 2, unresolved: 2, ..EntryCounts::default() });
}

#[test]
fn the_reason_of_the_state_is_true_for_one_two_and_three_sources() {
    let state = |count: usize, up: usize, seconds: f64, minimum: u8| {
        let mut setup = Setup::of(lan(count));
        setup.servers[up..].iter_mut().for_each(|server| server.up = false);
        setup.settings.clock.minimum_sources = minimum;
        let mut world = setup.start();
        world.run(seconds);
        world.status().system.reason
    };
    let unanswered =
        |of: usize| SystemReason::NoReplies(EntryCounts { of, queried: of, ..EntryCounts::default() });
    for (expected, count, up, seconds, minimum) in [
        (unanswered(1), 1, 0, 30.0, 1),
        (unanswered(2), 2, 0, 30.0, 1),
        (SystemReason::Following { used: 1, of: 1, missing: 0, slewing: None, silent: None }, 1, 1, 300.0, 1),
        (
            SystemReason::Following { used: 2, of: 2, missing: 0, slewing: None, silent: None },
            2,
            2,
            1800.0,
            1,
        ),
        (
            SystemReason::Following { used: 2, of: 3, missing: 0, slewing: None, silent: None },
            3,
            2,
            1800.0,
            1,
        ),
        (SystemReason::Gathering { heard: 1, of: 2, minimum: 2 }, 2, 1, 3.0, 2),
        (SystemReason::Gathering { heard: 2, of: 3, minimum: 3 }, 3, 2, 30.0, 3),
    ] {
        assert_eq!(state(count, up, seconds, minimum), expected, "{count} sources, {up} up");
    }
}

#[test]
fn a_refused_step_is_reported_with_what_follows() {
    // Half an hour wrong at a second start: the window is closed, and it is too much to slew.
    let mut setup = Setup { error: 1800.0, ..Setup::of(lan(3)) };
    setup.settings.clock.run_step_threshold = None;
    let mut world = setup.start();
    world.step_refusal = Some(Refusal::StartWindow);
    world.run(120.0);
    assert!(!world.refused.is_empty(), "{:?}", world.notices);
    let held = world.notices.iter().find_map(|notice| match notice {
        Notice::Clock(ClockNotice::Held(hold)) => Some(*hold),
        _ => None,
    });
    let hold = held.expect("it is reported");
    assert!(hold.refusal == Some(Refusal::StartWindow) && (hold.offset + 1800.0).abs() < 1.0, "{hold:?}");
    assert!(refusals(&world).iter().all(|then| *then == AfterRefusal::Nothing), "{:?}", world.notices);
    assert_eq!(world.condition(), Condition::Held(Some(Refusal::StartWindow)));

    // A twentieth of a second: it is slewed, and nobody has to do anything.
    let mut setup = Setup { error: 0.05, ..Setup::of(lan(3)) };
    setup.settings.clock.start_step_threshold = Span::from_millis(10);
    let mut world = setup.start();
    world.step_refusal = Some(Refusal::StartWindow);
    world.run(120.0);
    assert_eq!(refusals(&world), [AfterRefusal::Slewed], "{:?}", world.notices);
    let is_held = |notice: &Notice| matches!(notice, Notice::Clock(ClockNotice::Held(_)));
    assert!(!world.notices.iter().any(is_held), "{:?}", world.notices);
}

/// What followed each start step that was refused because it was too late.
fn refusals(world: &World) -> Vec<AfterRefusal> {
    let refusal = |notice: &Notice| match notice {
        Notice::Clock(ClockNotice::Refused(OrderKind::Step, Refusal::StartWindow, then)) => Some(*then),
        _ => None,
    };
    world.notices.iter().filter_map(refusal).collect()
}

fn minutes(span: Span) -> i64 {
    span.nanos() / 60_000_000_000
}

#[test]
fn sources_agree_again_only_if_a_disagreement_was_reported() {
    let mut servers = lan(3);
    servers[2].up = false;
    let mut world = Setup::of(servers).start();
    world.run(2.0);
    assert!(tells(&world, |notice| *notice == SystemNotice::Following), "{:?}", world.notices);
    // One of the two goes astray while the third may only be slow, which then makes a majority.
    world.servers[1].error = 0.4;
    for _ in 0..4 {
        world.give(Input::Command(Command::Burst(None)));
        world.run(1.0);
    }
    assert_eq!(world.status().system.state().name(), "holdover", "{:?}", world.status().system);
    world.servers[2].up = true;
    world.give(Input::Command(Command::Burst(None)));
    world.run(60.0);
    assert!(world.status().system.synchronised, "{:?}", world.status().system);
    assert_eq!(agreements(&world), 0, "{:?}", world.notices);
    assert!(!tells(&world, |notice| matches!(notice, SystemNotice::NoSelection(_))), "{:?}", world.notices);
}

#[test]
fn a_source_that_never_answers_is_named_once_with_the_reason_and_the_source_keeps_it() {
    for why in [Silence::PortUnreachable, Silence::Prohibited, Silence::Unreachable, Silence::Deadline] {
        let known = Some(why).filter(|why| *why != Silence::Deadline);
        let mut setup = Setup::of(lan(3));
        setup.servers[2].up = false;
        setup.servers[2].obstacle = known;
        let mut world = setup.start();
        world.run(4.0 * 3600.0);
        let never = |notice: &Notice| match notice {
            Notice::Source(_, at, SourceNotice::NeverHeard { obstacle, .. }) => Some((*at, *obstacle)),
            _ => None,
        };
        let told: Vec<_> = world.notices.iter().filter_map(never).collect();
        assert_eq!(told, [(world.servers[2].address.socket_address(), known)]);
        let reason = world.status().sources[2].reason;
        assert_eq!(reason, SourceReason::NeverReplied { obstacle: known, cause: None });
        // An error that is lost on its way does not hide the reason.
        world.servers[2].obstacle = None;
        world.run(1500.0);
        let kept = known.filter(|why| *why != Silence::Unreachable);
        assert_eq!(
            world.status().sources[2].reason,
            SourceReason::NeverReplied { obstacle: kept, cause: None }
        );
        // It comes, goes again, and is named again.
        world.servers[2].up = true;
        world.run(8.0 * 3600.0);
        world.servers[2].up = false;
        world.servers[2].obstacle = known;
        world.notices.clear();
        world.run(12.0 * 3600.0);
        let silent = |notice: &&Notice| matches!(notice, Notice::Source(_, _, SourceNotice::Silent(..)));
        assert_eq!(world.notices.iter().filter(silent).count(), 1, "{:?}", world.notices);
        let reason = world.status().sources[2].reason;
        assert_eq!(reason, SourceReason::Silent { obstacle: known, has_estimate: true });
    }
}

#[test]
fn a_clock_that_is_far_off_and_may_not_be_stepped_is_said_to_be_so_with_the_time_it_takes() {
    let mut world = Setup { error: -100.0, ..Setup::of(lan(3)) }.start();
    world.step_refusal = Some(Refusal::StartWindow);
    world.run(600.0);
    let slewing = |world: &World| match world.status().system.reason {
        SystemReason::Correcting { slewing: Some(slewing), .. } => slewing,
        other => panic!("{other:?}"),
    };
    let found = slewing(&world);
    assert!((99.0..100.1).contains(&found.offset) && !found.is_reduced, "{found:?}");
    // 200 ppm.
    let left = found.left.unwrap();
    assert!((Span::from_secs(495_000)..Span::from_secs(500_500)).contains(&left), "{found:?}");
    let told =
        |world: &World, is_it: fn(&Notice) -> bool| world.notices.iter().filter(|it| is_it(it)).count();
    let slews: fn(&Notice) -> bool = |notice| matches!(notice, Notice::Clock(ClockNotice::Slewing(_)));
    let follows: fn(&Notice) -> bool = |notice| *notice == Notice::System(SystemNotice::Following);
    assert_eq!((told(&world, slews), told(&world, follows)), (1, 0), "{:?}", world.notices);
    // Without an allowance it takes longer, for as long as it is not earned back.
    world.adjust_refusal = Some(Refusal::Budget);
    world.run(3600.0);
    world.adjust_refusal = None;
    world.run(2.0 * 3600.0);
    let found = slewing(&world);
    assert!(found.is_reduced && found.left > Some(Span::from_secs(2_000_000)), "{found:?}");
    assert_eq!((told(&world, slews), told(&world, follows)), (2, 0), "{:?}", world.notices);
    // It gets there in the end, and that is said once.
    world.run(14.0 * 86_400.0);
    assert!(world.status().system.synchronised, "{:?}", world.status().system.reason);
    assert_eq!(told(&world, follows), 1);
}

#[test]
fn a_clock_that_fell_too_far_behind_to_be_slewed_is_said_to_stay_so_and_what_would_allow_a_step() {
    for (behind, is_held) in [(1800.0, true), (100.0, false)] {
        let mut world = Setup::of(lan(3)).start();
        world.run(1800.0);
        world.servers.iter_mut().for_each(|server| server.error = behind);
        world.run(2.0 * 3600.0);
        let slewing = |notice: &&Notice| matches!(notice, Notice::Clock(ClockNotice::Slewing(_)));
        let slewings = world.notices.iter().filter(slewing).count();
        let holds = world.notices.iter().filter_map(|notice| match notice {
            Notice::Clock(ClockNotice::Held(hold)) => Some((hold.refusal, hold.is_unallowed)),
            _ => None,
        });
        let holds: Vec<_> = holds.collect();
        let expected = if is_held { std::vec![(Some(Refusal::Evidence), true)] } else { Vec::new() };
        assert_eq!((slewings, holds), (usize::from(!is_held), expected), "{behind}: {:?}", world.notices);
    }
}

#[test]
fn a_clock_that_fell_behind_while_running_is_not_said_to_be_starting() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    world.step_refusal = Some(Refusal::Evidence);
    world.servers.iter_mut().for_each(|server| server.error = 60.0);
    world.run(3600.0);
    let status = world.status().system;
    assert!(
        matches!(status.reason, SystemReason::Correcting { slewing: Some(_), again: true }),
        "{:?}",
        status.reason
    );
    assert_eq!((status.state().name(), status.synchronised), ("unsynchronised", false));
    let Condition::Correcting { offset } = world.condition() else { panic!("{:?}", world.condition()) };
    assert!(
        (offset.nanos() as f64 * 1e-9 - status.offset_s).abs() <= 0.5 && status.offset_s > 50.0,
        "{offset:?}"
    );
}

#[test]
fn a_source_that_jumps_is_told_with_the_offset_of_its_last_reply() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    // Back: forward it might be this host that stood still, which takes no time to decide.
    world.servers[0].error = -0.3;
    let end = world.age() + 2100.0;
    let jumped = loop {
        match world.status().sources[0].reason {
            SourceReason::Contradictory { offset } | SourceReason::Doubtful { offset } => break offset,
            _ if world.age() > end => panic!("{:?}", world.status().sources[0]),
            _ => world.run(1.0),
        }
    };
    assert!((jumped + 0.3).abs() < 0.01, "{jumped}");
}

#[test]
fn the_obstacle_of_one_source_is_not_told_of_all() {
    let mut servers = lan(3);
    servers.iter_mut().for_each(|server| server.up = false);
    servers[1].obstacle = Some(Silence::PortUnreachable);
    let mut world = Setup::of(servers).start();
    world.run(120.0);
    let SystemReason::NoReplies(counts) = world.status().system.reason else { panic!() };
    assert_eq!((counts.queried, counts.obstructed, counts.obstacle), (3, 1, Some(Silence::PortUnreachable)));
}
