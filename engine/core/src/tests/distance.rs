//! Sources that are far from true time by their own account, as domain controllers are.

use super::world::*;
use crate::status::{SourceReason, SystemReason};
use ipc::message::privileged::Condition;
use ipc::units::Span;
use std::vec::Vec;

/// 10 s in the unit of the header, 2^-16 s.
const TEN: u32 = 10 << 16;

/// `count` servers that are right, and claim a root dispersion of 10 s, as Windows does.
fn controllers(count: usize) -> Vec<Server> {
    let mut servers = lan(count);
    for server in &mut servers {
        server.edit = Some(std::boxed::Box::new(|header| {
            (header.stratum, header.root_dispersion, header.precision) = (2, TEN, -23);
        }));
    }
    servers
}

fn allowing(servers: Vec<Server>, seconds: i64) -> World {
    let mut setup = Setup { error: 3.7, ..Setup::of(servers) };
    setup.settings.clock.max_distance = Span::from_secs(seconds);
    setup.start()
}

#[test]
fn a_source_whose_root_distance_is_too_large_is_refused_with_both_numbers_and_moves_nothing() {
    let mut world = allowing(controllers(1), 3);
    world.run(3600.0);
    let status = world.status();
    let SourceReason::TooDistant { distance, most } = status.sources[0].reason else {
        panic!("{:?}", status.sources[0].reason)
    };
    assert!((10.0..10.2).contains(&distance) && most == Span::from_secs(3), "{distance}");
    assert_eq!(status.sources[0].state().name(), "unusable");
    assert_eq!(status.system.reason, SystemReason::Unusable { of: 1 });
    assert_eq!(world.condition(), Condition::Unusable { corrected: None });
    assert!(world.steps.is_empty() && world.adjusts.is_empty() && !status.system.synchronised);
}

#[test]
fn where_no_source_that_was_heard_can_be_followed_the_state_says_so_and_not_that_more_are_awaited() {
    // Beside the source that is too far: a silent one, one without the time, another that is too far.
    for strict in [false, true] {
        for other in 0..3 {
            let mut servers = controllers(2);
            match other {
                0 => servers[1].up = false,
                1 => servers[1].edit = Some(std::boxed::Box::new(|header| header.stratum = 16)),
                _ => {}
            }
            let mut setup = Setup::of(servers);
            setup.settings.strict_quorum = strict;
            let mut world = setup.start();
            world.run(3600.0);
            let reason = world.status().system.reason;
            assert_eq!(reason, SystemReason::Unusable { of: 2 }, "{other} {strict}");
            assert_eq!(world.condition(), Condition::Unusable { corrected: None }, "{other} {strict}");
            assert!(world.steps.is_empty() && world.adjusts.is_empty());
            // The way back: one that can be followed is awaited again, and followed.
            world.servers[0].edit = None;
            world.servers[1].edit = None;
            world.servers[1].up = true;
            world.run(3600.0);
            assert!(
                matches!(world.status().system.reason, SystemReason::Following { .. }),
                "{other} {strict}"
            );
        }
    }
}

#[test]
fn a_domain_controller_that_is_allowed_keeps_the_host_right_for_days_and_everybody_is_told_the_bound() {
    for count in [1, 3] {
        let mut world = allowing(controllers(count), 12);
        world.run(3600.0);
        for day in 0..2 {
            world.run(86_400.0);
            let status = world.status();
            assert!(
                matches!(status.system.reason, SystemReason::Following { .. }),
                "{:?}",
                status.system.reason
            );
            assert!(
                status.system.synchronised && (10.0..12.0).contains(&status.system.error_bound_s),
                "{day}"
            );
            let told = world.statuses.last().unwrap();
            assert!(told.synchronised && (10..12).contains(&(told.maxerror.nanos() / SECOND)), "{told:?}");
            let served = world.served.last().unwrap();
            assert!(served.stratum == 3 && served.root_dispersion.nanos() >= 10 * SECOND, "{served:?}");
        }
        assert!(world.worst(3600.0) < 0.001, "{count}: {}", world.worst(3600.0));
    }
}

#[test]
fn sources_that_are_better_bound_the_error_whatever_is_allowed() {
    let mut servers = controllers(3);
    servers[1].edit = None;
    let mut world = allowing(servers, 12);
    world.run(4.0 * 3600.0);
    let system = world.status().system;
    assert!(system.synchronised && system.error_bound_s < 1e-3, "{}", system.error_bound_s);
    assert!(world.served.last().unwrap().root_dispersion.nanos() < SECOND);
}

#[test]
fn what_a_server_of_sixteen_seconds_says_is_never_used() {
    let mut servers = lan(1);
    servers[0].edit = Some(std::boxed::Box::new(|header| header.root_dispersion = 16 << 16));
    let mut world = allowing(servers, 16);
    world.run(3600.0);
    assert_eq!(world.status().sources[0].reason, SourceReason::Unused(report::RejectReason::RootDistance));
}

#[test]
fn a_source_that_is_less_steady_than_is_wanted_is_not_used() {
    let setup = |most| {
        let mut setup = Setup::of(std::vec![server(0, 90e-6, 10e-6), server(1, 90e-6, 30e-3)]);
        setup.settings.clock.max_jitter = most;
        let mut world = setup.start();
        world.run(3_600.0);
        let status = world.status();
        assert!(status.system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
        status.sources[1].reason
    };
    let reason = setup(Some(Span::from_millis(1)));
    let SourceReason::Unsteady { jitter, most } = reason else { panic!("{reason:?}") };
    assert!(jitter > 1e-3 && most == Span::from_millis(1));
    assert!(!matches!(setup(None), SourceReason::Unsteady { .. }));
}
