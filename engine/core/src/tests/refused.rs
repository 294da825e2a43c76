//! Orders that are refused for a reason that passes: nothing that was to be done is forgotten.

use super::agreement::contradiction;
use super::world::*;
use crate::notice::{AfterRefusal, ClockNotice, Notice};
use crate::status::SystemReason;
use ipc::message::privileged::{Condition, ForwardSteps, Pauses, Refusal, StepReason};
use ipc::units::{Leap, Span};
use std::vec::Vec;

/// What passes: the row, and within how many seconds after it is over everything must be right.
const PASSING: [(Refusal, f64); 6] = [
    (Refusal::Rate, 10.0),
    (Refusal::Stale, 3.0),
    (Refusal::StaleEpoch, 3.0),
    (Refusal::NoPersist, 65.0),
    (Refusal::Clock, 65.0),
    // The world's governor does not say how long.
    (Refusal::TooSoon, 905.0),
];

fn synchronised() -> World {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    assert!(world.status().system.synchronised);
    world
}

/// Until just after this row has refused an order.
fn run_until_refused(world: &mut World, refusal: Refusal) {
    while !world.refused.contains(&refusal) {
        world.run(10e-6);
    }
}

#[test]
fn a_step_of_another_program_is_undone_as_soon_as_what_forbids_it_has_passed() {
    for (refusal, within) in PASSING {
        let mut world = synchronised();
        world.step_refusal = Some(refusal);
        world.meddle(2.0);
        world.run(30.0);
        assert!(
            (world.error() - 2.0).abs() < 1e-3,
            "{refusal:?}: nothing else is ordered: {}",
            world.error()
        );
        assert!(!world.status().system.synchronised, "{refusal:?}");
        world.step_refusal = None;
        world.run(within);
        assert_eq!(world.steps.last().unwrap().reason, StepReason::Restore, "{refusal:?}");
        assert!(world.error().abs() < 1e-3, "{refusal:?}: {}", world.error());
        assert!(world.status().system.synchronised, "{refusal:?}");
    }
}

#[test]
fn a_first_setting_is_made_as_soon_as_what_forbids_it_has_passed() {
    for (refusal, within) in PASSING.into_iter().filter(|(row, _)| *row != Refusal::TooSoon) {
        let mut world = Setup { error: 500.0, ..Setup::of(lan(3)) }.start();
        world.step_refusal = Some(refusal);
        world.run(30.0);
        assert!(world.steps.is_empty());
        world.step_refusal = None;
        world.run(within);
        assert!(world.error().abs() < 1e-3, "{refusal:?}: {}", world.error());
        assert!(world.status().system.synchronised, "{refusal:?}");
    }
}

#[test]
fn after_sleep_the_clock_is_set_as_soon_as_what_forbids_it_has_passed() {
    for (refusal, within) in PASSING {
        let mut world = synchronised();
        world.step_refusal = Some(refusal);
        world.sleep(8);
        world.run(30.0);
        world.step_refusal = None;
        world.run(within);
        assert_eq!(world.steps.last().unwrap().reason, StepReason::Resume, "{refusal:?}");
        assert!(world.error().abs() < 1e-3, "{refusal:?}: {}", world.error());
    }
}

#[test]
fn a_small_offset_is_slewed_while_the_record_cannot_be_written() {
    let mut world = synchronised();
    world.step_refusal = Some(Refusal::NoPersist);
    let slews = world.adjusts.len();
    world.meddle(0.3);
    world.run(60.0);
    assert!(world.adjusts.len() > slews && world.error() < 0.299, "{}", world.error());
}

#[test]
fn a_restoring_step_to_a_time_that_is_not_the_governors_is_followed_by_one_that_undoes_and_no_more() {
    for refusal in [Refusal::Evidence, Refusal::Budget] {
        let mut world = synchronised();
        world.step_refusal = Some(refusal);
        world.meddle(2.0);
        world.meddle(1.5);
        run_until_refused(&mut world, refusal);
        world.step_refusal = None;
        world.run(5.0);
        let step = world.steps.last().unwrap();
        assert_eq!((step.reason, step.delta.nanos()), (StepReason::Restore, -3_500_000_000));
        assert!(world.error().abs() < 1e-3, "{}", world.error());
    }
}

#[test]
fn a_slew_is_ordered_again_a_minute_after_disk_or_kernel_refused_it() {
    for refusal in [Refusal::NoPersist, Refusal::Clock] {
        let mut world = synchronised();
        world.adjust_refusal = Some(refusal);
        world.meddle(0.005);
        world.run(10.0);
        assert!(world.refused.contains(&refusal) && world.error() > 0.0049);
        let asked = world.refused.len();
        world.adjust_refusal = None;
        let adjusts = world.adjusts.len();
        world.run(60.0);
        assert!(world.adjusts.len() > adjusts, "{refusal:?}");
        assert!(asked < 4, "not over and over: {asked}");
    }
}

#[test]
fn a_gentle_slew_is_ordered_at_once_where_the_budget_is_used_up() {
    let mut world = synchronised();
    world.adjust_refusal = Some(Refusal::Budget);
    world.meddle(0.005);
    run_until_refused(&mut world, Refusal::Budget);
    world.adjust_refusal = None;
    let adjusts = world.adjusts.len();
    world.run(2.0);
    assert!(world.adjusts.len() > adjusts);
}

#[test]
fn what_the_kernel_was_to_be_told_is_told_when_it_may_be() {
    for refusal in [
        Refusal::Rate,
        Refusal::Stale,
        Refusal::StaleEpoch,
        Refusal::NoPersist,
        Refusal::Clock,
        Refusal::Unproven,
    ] {
        let mut world = synchronised();
        let told = world.statuses.len();
        world.status_refusal = Some(refusal);
        world.servers.iter_mut().for_each(|server| server.error = 0.2);
        world.meddle(-0.2);
        world.run(120.0);
        assert_eq!(world.statuses.len(), told);
        let asked = world.refused.len();
        world.status_refusal = None;
        world.run(70.0);
        assert!(world.statuses.len() > told, "{refusal:?}");
        assert!(asked < 150, "{refusal:?}: {asked}");
    }
}

#[test]
fn a_leap_second_that_is_refused_leaves_the_rest_of_the_status_and_is_asked_for_again() {
    // Noon of 30 June.
    let noon = 1_814_356_800 * SECOND - BEGIN;
    for refusal in [Refusal::LeapDate, Refusal::LeapTooSoon] {
        let mut setup = Setup { error: noon as f64 * 1e-9, ..Setup::of(lan(3)) };
        for server in &mut setup.servers {
            server.error = noon as f64 * 1e-9;
            server.edit = Some(std::boxed::Box::new(|header| header.leap = Leap::Insert));
        }
        let mut world = setup.start();
        world.status_refusal = Some(refusal);
        world.run(600.0);
        let last = world.statuses.last().unwrap();
        assert!(world.refused.contains(&refusal), "{:?}", world.refused);
        assert!(last.synchronised && last.leap == Leap::None, "{last:?}");
        world.status_refusal = None;
        world.run(5_000.0);
        assert_eq!(world.statuses.last().unwrap().leap, Leap::Insert);
    }
}

#[test]
fn a_refusal_that_passes_is_told_once_with_the_time_until_the_next_order() {
    let mut world = synchronised();
    world.step_refusal = Some(Refusal::NoPersist);
    world.meddle(2.0);
    world.run(400.0);
    let told: Vec<i64> = world
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Clock(ClockNotice::Refused(_, _, AfterRefusal::StepAwaited(after))) => {
                Some(after.seconds())
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [60], "{:?}", world.notices);
    assert!((5..9).contains(&world.refused.len()), "{}", world.refused.len());
}

#[test]
fn a_clock_that_no_order_reaches_is_said_to_be_refused_and_not_to_be_measured() {
    let is_told = |world: &World, row: Refusal| {
        let status = world.status();
        assert_eq!(status.system.reason, SystemReason::Obstructed(row));
        assert_eq!(world.condition(), Condition::Held(Some(row)));
        assert_eq!(contradiction(&status, &world.condition()), None);
    };
    for row in [Refusal::NoPersist, Refusal::Clock] {
        // A first setting by a step, one by a slew, and what another program did.
        for (error, by) in [(500.0, 0.0), (0.01, 0.0), (0.0, 2.0)] {
            let mut world = Setup { error, ..Setup::of(lan(3)) }.start();
            if by != 0.0 {
                world.run(1800.0);
                assert!(world.status().system.synchronised);
                world.meddle(by);
            }
            (world.step_refusal, world.adjust_refusal) = (Some(row), Some(row));
            world.run(100.0);
            is_told(&world, row);
            (world.step_refusal, world.adjust_refusal) = (None, None);
            world.run(120.0);
            assert!(world.status().system.synchronised, "{row:?} {error} {by}: {:?}", world.status());
        }
    }
}

#[test]
fn the_status_says_whether_steps_forward_are_allowed_that_nothing_shows() {
    let allowed = Some(Span::from_secs(60));
    for (strict, leave, forward) in [
        (false, None, ForwardSteps::Closed),
        (false, allowed, ForwardSteps::Allowed),
        (true, None, ForwardSteps::None),
        (true, allowed, ForwardSteps::None),
    ] {
        let mut setup = Setup::of(lan(1));
        setup.settings.strict_quorum = strict;
        setup.settings.forward_step = leave;
        let system = setup.start().status().system;
        assert_eq!(
            (system.forward_steps, system.pauses),
            (forward, Some(Pauses::default())),
            "{strict} {leave:?}"
        );
    }
}
