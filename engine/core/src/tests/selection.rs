//! Who is believed: attacks by sources, at the level of the whole engine.

use super::world::*;
use crate::notice::{Impasse, NoSelection, Notice, SourceNotice, SystemNotice};
use crate::status::{SourceReason, SystemReason};
use ipc::message::client::ReplyHeader;
use ipc::message::exchange::*;
use ipc::message::privileged::Refusal;
use ipc::units::Leap;
use report::{MeasurementOutcome, RejectReason, StampOrigin};

fn synchronised(servers: std::vec::Vec<Server>) -> World {
    let mut world = Setup::of(servers).start();
    world.run(1800.0);
    world
}

fn state(world: &World, source: usize) -> &'static str {
    world.status().sources[source].state().name()
}

fn reason(world: &World, source: usize) -> SourceReason {
    world.status().sources[source].reason
}

#[test]
fn a024_three_plain_liars_do_not_outvote_one_authenticated_source() {
    let mut servers = lan(4);
    servers[..3].iter_mut().for_each(|server| server.error = 1.0);
    let mut world = Setup::of(servers).start();
    let authenticated = world.servers[3].address;
    assert!(world.engine.set_authenticated(authenticated, true));
    assert!(!world.engine.set_authenticated(address("198.51.100.1:123"), true));
    world.run(3600.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    for liar in 0..3 {
        assert_eq!(state(&world, liar), "outvoted");
        assert_eq!(reason(&world, liar), SourceReason::OutvotedByAuthenticated);
    }
    assert_eq!(state(&world, 3), "selected");
    assert!(world.status().sources[3].authenticated);
    // It falls silent: the plain ones do not take over.
    world.servers[3].up = false;
    world.run(4.0 * 3600.0);
    assert_eq!(world.status().system.state().name(), "holdover");
    assert!(world.error().abs() < 0.01);
}

#[test]
fn a025_liars_that_are_alone_because_the_honest_are_silenced_move_nothing_in_the_strict_profile() {
    let mut setup = Setup { error: 3.7, ..Setup::of(lan(5)) };
    setup.settings.strict_quorum = true;
    setup.servers[..3].iter_mut().for_each(|server| server.up = false);
    setup.servers[3..].iter_mut().for_each(|server| server.error = 10.0);
    let mut world = setup.start();
    world.run(6.0 * 3600.0);
    assert!(world.steps.is_empty() && world.adjusts.is_empty());
    let report = world.status();
    assert_eq!((report.system.state().name(), report.system.synchronised), ("no-majority", false));
    assert!(
        matches!(
            report.system.reason,
            SystemReason::NoMajority(NoSelection { impasse: Impasse::NoQuorum, .. })
        ),
        "{:?}",
        report.system.reason
    );
    assert!(tells(&world, |notice| matches!(
        notice,
        SystemNotice::NoSelection(NoSelection { impasse: Impasse::NoQuorum, .. })
    )));
    // One honest source more, and the truth has its majority.
    world.servers[..3].iter_mut().for_each(|server| server.up = true);
    world.run(1100.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a025_authenticated_or_trusted_sources_that_never_answer_are_not_stood_in_for() {
    for trust in [false, true] {
        let mut setup = Setup { error: 3.7, ..Setup::of(lan(4)) };
        setup.servers[3].up = false;
        setup.servers[..3].iter_mut().for_each(|server| server.error = 10.0);
        setup.settings.sources[3].trust = trust;
        let mut world = setup.start();
        let absent = world.servers[3].address;
        world.engine.set_authenticated(absent, !trust);
        world.run(3600.0);
        assert!(world.steps.is_empty() && world.adjusts.is_empty(), "{trust}");
        assert_eq!(world.status().system.state().name(), "no-majority");
        world.servers[3].up = true;
        world.run(1100.0);
        assert_eq!(world.status().system.state().name(), "synchronised");
        assert!(world.error().abs() < 1e-3, "{}", world.error());
    }
}

#[test]
fn a029_a_minority_that_drifts_is_found_by_its_rate_long_before_its_offset_tells() {
    let mut world = Setup::of(wan(4)).start();
    world.run(4.0 * 3600.0);
    world.servers[3].drift = 1e-6;
    world.servers[3].error = -1e-6 * world.age();
    world.run(4.0 * 3600.0);
    assert_eq!(state(&world, 3), "falseticker");
    assert!(
        matches!(reason(&world, 3), SourceReason::Drifting { smears: false, .. }),
        "{:?}",
        reason(&world, 3)
    );
    assert!(world.worst(4.0 * 3600.0) < 0.004, "{}", world.worst(4.0 * 3600.0));
}

#[test]
fn the_frequency_of_a_source_is_shown_beside_the_estimate_that_is_followed_and_not_before_it_is_measured() {
    let mut world = Setup::of(wan(4)).start();
    let before = world.status().sources[3].clone();
    assert_eq!((before.samples, before.span_s, before.frequency_ppm), (0, None, None));
    world.servers[3].drift = 1e-6;
    world.run(4.0 * 3600.0);
    let status = world.status();
    let frequency = |source: usize| status.sources[source].frequency_ppm.expect("it was measured");
    let (fast, error) = frequency(3);
    assert!((fast - 1.0).abs() < 0.2 && (1e-6..0.5).contains(&error), "{:?}", status.sources[3]);
    for source in 0..3 {
        let (frequency, error) = frequency(source);
        assert!(frequency.abs() < 0.2 && error < 0.5, "{frequency} ± {error}");
        let source = &status.sources[source];
        assert!(
            source.samples > 8
                && source.deviation_s.is_some_and(|deviation| (1e-6..0.01).contains(&deviation))
        );
        assert!(
            source.span_s.is_some_and(|span| (3.0 * 3600.0..4.0 * 3600.0).contains(&span)),
            "{:?}",
            source.span_s
        );
    }
}

#[test]
fn the_last_measurements_of_a_source_have_its_offset_and_its_delay_and_the_test_that_a_reply_failed() {
    let mut world = Setup::of(wan(3)).start();
    world.run(1800.0);
    let all = world.engine.measurements(world.now());
    assert_eq!(all.len(), 3);
    for kept in &all {
        let kept = &kept.measurements;
        assert!((8..=16).contains(&kept.len()) && kept.is_sorted_by_key(|kept| kept.ago_s), "{kept:?}");
        for kept in kept.iter().take(8) {
            assert_eq!((kept.outcome, kept.test), (MeasurementOutcome::Used, None), "{kept:?}");
            let (offset, delay) = kept.offset_s.zip(kept.delay_s).expect("it was measured");
            assert!(offset.abs() < 0.05 && (0.001..0.5).contains(&delay), "{kept:?}");
            assert!(kept.root_distance_s.is_some_and(|distance| distance > delay / 2.0), "{kept:?}");
            assert_eq!(kept.stamps, Some(StampOrigin::Kernel));
        }
    }
    world.servers[2].edit = Some(std::boxed::Box::new(|header| header.leap = Leap::Unknown));
    world.run(3600.0);
    let failed = world.engine.measurements(world.now())[2].measurements[0].clone();
    assert_eq!((failed.outcome, failed.test), (MeasurementOutcome::Failed, Some(RejectReason::LeapUnknown)));
    assert_eq!((failed.offset_s, failed.stamps), (None, None), "its times were not looked at");
}

#[test]
fn a035_a_smearing_source_is_named_as_such() {
    let mut world = Setup::of(wan(4)).start();
    world.run(4.0 * 3600.0);
    // A second spread over 24 hours.
    world.servers[1].drift = -1.0 / 86_400.0;
    world.servers[1].error = world.age() / 86_400.0;
    world.run(3.0 * 3600.0);
    assert_eq!(state(&world, 1), "falseticker");
    assert!(
        matches!(
            reason(&world, 1),
            SourceReason::Falseticker { smears: true, .. } | SourceReason::Drifting { smears: true, .. }
        ),
        "{:?}",
        reason(&world, 1)
    );
    assert!(world.worst(4.0 * 3600.0) < 0.002);
}

#[test]
fn a038_three_of_one_network_have_one_vote() {
    let mut servers = lan(5);
    for (n, server) in servers.iter_mut().enumerate() {
        let text = if n < 3 { std::format!("5.9.7.{}:123", n + 1) } else { std::format!("5.{n}.1.1:123") };
        server.address = address(&text);
        server.error = if n < 3 { 1.0 } else { 0.0 };
    }
    let mut world = Setup::of(servers).start();
    world.run(1800.0);
    assert!(world.error().abs() < 1e-3);
    assert!((0..3).all(|n| state(&world, n) == "falseticker"));
}

#[test]
fn a041_members_that_come_after_the_start_have_no_vote_until_their_eighth_reply() {
    let mut setup = Setup::of(lan(8));
    setup.settings.sources.truncate(1);
    setup.settings.sources[0].place =
        crate::settings::Place::Name(HostName::parse("pool.example").unwrap(), 123);
    setup.settings.sources[0].members = 4;
    let mut world = setup.start();
    answer(&mut world, 0..4);
    world.run(1800.0);
    // Three die, and from now on the name leads to three liars.
    for n in 1..4 {
        world.servers[n].up = false;
        world.servers[n + 3].error = 3.0;
    }
    while world.status().sources.iter().all(|source| source.address != Some("192.0.2.5:123".parse().unwrap()))
    {
        world.run(600.0);
        answer_if_asked(&mut world, 4..7);
    }
    world.run(1.0);
    let newcomers = |world: &World| {
        let report = world.status();
        let new = report
            .sources
            .into_iter()
            .filter(|source| source.address > Some(address("192.0.2.4:65535").socket_address()));
        new.map(|source| source.state().name()).collect::<std::vec::Vec<_>>()
    };
    assert!(newcomers(&world).iter().all(|state| *state == "probation"), "{:?}", newcomers(&world));
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert!(world.error().abs() < 1e-3);
}

fn answer_if_asked(world: &mut World, servers: core::ops::Range<usize>) {
    if world.engine.open_look_ups() > 0 {
        answer(world, servers);
    }
}

#[test]
fn an_unsynchronised_server_without_a_kiss_code_is_no_kiss() {
    let mut world = synchronised(lan(1));
    world.servers[0].edit = Some(std::boxed::Box::new(|header| {
        (header.stratum, header.reference_id) = (0, 0);
    }));
    world.run(600.0);
    assert_eq!(state(&world, 0), "unusable");
    assert_eq!(reason(&world, 0), SourceReason::Unused(RejectReason::Unsynchronised));
    assert!(
        !world.notices.iter().any(|notice| matches!(notice, Notice::Source(_, _, SourceNotice::Kissed(_))))
    );
}

#[test]
fn a_host_that_serves_its_own_time_is_not_asked_to_add_a_source() {
    let mut setup = Setup::of(std::vec![]);
    setup.settings.server = Some(crate::settings::ServerSettings {
        local: Some(crate::settings::LocalTime::of(10)),
        listen: std::vec![],
        nts: false,
        version5: false,
    });
    let mut world = setup.start();
    world.run(10.0);
    let system = world.status().system;
    assert_eq!(system.state().name(), "local");
    assert_eq!(system.reason, SystemReason::Local { stratum: 10, leads: false });
}

#[test]
fn the_estimated_error_is_the_estimate_and_the_bound_is_the_bound() {
    let mut servers = lan(2);
    for server in &mut servers {
        // 10 ms of root dispersion, as a host says of its own time.
        server.edit = Some(std::boxed::Box::new(|header| header.root_dispersion = 655));
    }
    let mut world = synchronised(servers);
    world.run(4.0 * 3600.0);
    let system = world.status().system;
    assert!(system.estimated_error_s < 30e-6, "{}", system.estimated_error_s);
    assert!(system.error_bound_s > 0.009, "{}", system.error_bound_s);
    let status = world.statuses.last().unwrap();
    assert!(status.esterror.nanos() < 60_000 && status.maxerror.nanos() > 9_000_000, "{status:?}");
}

#[test]
fn the_likely_interval_is_as_wide_as_the_hard_one_until_ten_measurements_have_fitted_and_while_one_contradicts()
 {
    let mut world = Setup::of(wan(1)).start();
    let errors = |world: &World| {
        let system = world.status().system;
        // What is no narrower than the bound is not told.
        let is_told = system.likely_error_s.is_finite();
        assert!(!is_told || system.likely_error_s < system.error_bound_s, "{system:?}");
        (if is_told { system.likely_error_s } else { system.error_bound_s }, system.error_bound_s)
    };
    while world.status().sources[0].valid < 10 {
        let (likely, bound) = errors(&world);
        assert_eq!(likely.to_bits(), bound.to_bits(), "after {} replies", world.status().sources[0].valid);
        world.run(1.0);
        assert!(world.age() < 3600.0);
    }
    world.run(4.0 * 3600.0 - world.age());
    let (likely, bound) = errors(&world);
    assert!(world.error().abs() < likely && likely < 0.75 * bound, "{likely} of {bound}");
    // The server's clock is set by a minute. The first reply that says so makes all doubtful.
    world.servers[0].error = 60.0;
    let valid = world.status().sources[0].valid;
    while world.status().sources[0].valid == valid {
        let (likely, bound) = errors(&world);
        assert!(likely < 0.85 * bound, "{likely} of {bound}");
        // Two more that agree decide, within a second.
        world.run(0.02);
        assert!(world.age() < 5.0 * 3600.0);
    }
    let (likely, bound) = errors(&world);
    assert!(likely > 59.0 && likely.to_bits() == bound.to_bits(), "{likely} of {bound}");
}

#[test]
fn what_two_sources_disagree_in_is_part_of_the_estimated_error() {
    let mut servers = lan(2);
    for server in &mut servers {
        server.edit = Some(std::boxed::Box::new(|header| header.root_dispersion = 655));
    }
    servers[1].error = 1e-3;
    let mut world = synchronised(servers);
    world.run(4.0 * 3600.0);
    let system = world.status().system;
    // The mean is 0.5 ms from each of them, and one of them may be right.
    assert!((0.5e-3..1e-3).contains(&system.estimated_error_s), "{}", system.estimated_error_s);
    let status = world.statuses.last().unwrap();
    assert!((500_000..1_000_000).contains(&status.esterror.nanos()), "{status:?}");
}

#[test]
fn a048_a_source_that_returns_wrong_is_slewed_to_only_if_it_is_confirmed() {
    let mut world = synchronised(lan(4));
    world.servers[0].up = false;
    world.run(2.0 * 86_400.0);
    world.servers[0].up = true;
    world.servers[0].error = 5.0;
    world.run(7200.0);
    assert_eq!(state(&world, 0), "falseticker");
    assert!(world.steps.len() <= 1);
    assert!(world.error().abs() < 50e-6);
}

#[test]
fn refusals_of_the_governor_are_told_once_and_do_not_turn_into_a_flood() {
    let mut setup = Setup { error: 0.02, ..Setup::of(lan(2)) };
    setup.settings.clock.start_step_threshold = ipc::units::Span::from_millis(10);
    let mut world = setup.start();
    world.start_steps = 0;
    world.run(3600.0);
    assert_eq!(world.refused, [Refusal::StartWindow]);
    assert!(world.error().abs() < 1e-3, "slewed instead: {}", world.error());
    assert!(
        world.status().system.refusals == 1
            && world.status().system.last_refusal == Some(Refusal::StartWindow)
    );
}

type Disguise = fn(&mut ReplyHeader);

/// What a liar writes into its replies, and the name of it.
const DISGUISES: [(&str, Disguise); 6] = [
    ("says nothing special", |_| {}),
    ("copies an honest source", |header| (header.stratum, header.reference_id) = (2, 0x0a00_0001)),
    ("copies the last honest source", |header| (header.stratum, header.reference_id) = (2, 0x0a00_0000)),
    ("says that it follows an honest source", |header| {
        (header.stratum, header.reference_id) = (3, 0xc000_0202);
    }),
    ("says that it follows us", |header| (header.stratum, header.reference_id) = (3, 0xcb00_7109)),
    ("copies every field of an honest source", |header| {
        (header.stratum, header.reference_id) = (2, 0x0a00_0001);
        (header.root_delay, header.root_dispersion) = (0x0000_0100, 0x0000_0080);
    }),
];

/// One liar and `count` − 1 honest sources of stratum 2, each with an upstream of its own.
fn disguised(count: usize, disguise: Disguise) -> std::vec::Vec<Server> {
    let mut servers = lan(count);
    for (n, server) in servers.iter_mut().enumerate() {
        let upstream = 0x0a00_0000 + (n as u32 % (count as u32 - 1));
        server.edit = Some(std::boxed::Box::new(move |header| {
            (header.stratum, header.reference_id) = (2, upstream);
            (header.root_delay, header.root_dispersion) = (0x0000_0100, 0x0000_0080);
        }));
    }
    servers[0].edit = Some(std::boxed::Box::new(disguise));
    servers
}

#[test]
fn a038_a_liar_costs_no_honest_source_its_vote_whatever_it_says_of_itself() {
    for count in [3, 4] {
        for (name, disguise) in DISGUISES {
            for error in [10.0, 0.02] {
                // From the start, or later.
                for from_the_start in [true, false] {
                    let mut servers = disguised(count, disguise);
                    servers[0].error = if from_the_start { error } else { 0.0 };
                    let mut world = Setup { error: 3.7, ..Setup::of(servers) }.start();
                    world.give(crate::io::Input::OwnAddresses(std::vec!["203.0.113.9".parse().unwrap()]));
                    world.run(600.0);
                    world.servers[0].error = error;
                    world.run(1200.0);
                    let what = std::format!("{count} {name} {error} {from_the_start}");
                    assert_eq!(world.status().system.state().name(), "synchronised", "{what}");
                    assert!(world.error().abs() < 1e-3, "{what}: {}", world.error());
                    assert!(
                        (1..count).all(|n| matches!(state(&world, n), "selected" | "combined")),
                        "{what}"
                    );
                }
            }
        }
    }
}

#[test]
fn a038_three_that_say_they_follow_one_server_have_one_vote() {
    let mut servers = lan(5);
    for server in &mut servers[..3] {
        server.error = 1.0;
        server.edit = Some(std::boxed::Box::new(|header| (header.stratum, header.reference_id) = (2, 7)));
    }
    let mut world = Setup::of(servers).start();
    world.run(1800.0);
    assert!(world.error().abs() < 1e-3);
    assert!((0..3).all(|n| state(&world, n) == "falseticker"));
}

#[test]
fn what_has_no_vote_is_no_reference_and_does_not_stand_in_for_those_that_have_one() {
    // The plain ones are much nearer, and one is preferred.
    let mut servers = lan(4);
    servers[2] = Server { address: servers[2].address, ..server(2, 19e-3, 1e-3) };
    servers[3] = Server { address: servers[3].address, ..server(3, 19e-3, 1e-3) };
    for preferred in [false, true] {
        for trust in [false, true] {
            let again =
                servers.iter().map(|s| Server { address: s.address, ..server(0, s.fixed, s.forward) });
            let mut setup = Setup::of(again.collect());
            setup.settings.sources[0].prefer = preferred;
            setup.settings.sources[2..].iter_mut().for_each(|source| source.trust = trust);
            let mut world = setup.start();
            for n in 2..4 {
                let voter = world.servers[n].address;
                world.engine.set_authenticated(voter, !trust);
            }
            world.run(1800.0);
            let status = world.status();
            let voters = [&status.sources[2].name, &status.sources[3].name];
            let reference = status.system.reference.as_ref().unwrap();
            assert!(voters.contains(&reference), "{preferred} {trust}: {reference}");
            assert_eq!((state(&world, 0), state(&world, 1)), ("combined", "combined"), "they may refine");
            let ids = [0xc000_0203, 0xc000_0204];
            assert!(ids.contains(&world.served.last().unwrap().reference_id));
            // The voters fall silent: nobody stands in for them.
            world.servers[2..].iter_mut().for_each(|server| server.up = false);
            world.run(4.0 * 3600.0);
            assert_eq!(world.status().system.state().name(), "holdover", "{preferred} {trust}");
        }
    }
}

#[test]
fn since_when_the_time_is_authenticated_is_counted_anew_when_another_source_has_corrected_it() {
    let mut world = Setup::of(lan(3)).start();
    world.run(300.0);
    let told = |world: &World| {
        let it = world.status().system.authentication.expect("sources are followed");
        (it.followed, it.authenticated, it.for_s)
    };
    assert_eq!(told(&world), (3, 0, None));
    let addresses = [0, 1, 2].map(|n| world.servers[n].address);
    for address in addresses {
        assert!(world.engine.set_authenticated(address, true));
    }
    world.run(600.0);
    let (followed, authenticated, Some(since)) = told(&world) else { panic!("{:?}", told(&world)) };
    assert_eq!((followed, authenticated), (3, 3));
    assert!((400.0..=600.0).contains(&since), "{since}");
    // Where an authenticated one is followed, plain ones beside it correct the clock too.
    world.engine.set_authenticated(addresses[1], false);
    world.engine.set_authenticated(addresses[2], false);
    world.run(600.0);
    let (followed, authenticated, since) = told(&world);
    assert_eq!(since.is_some(), followed == authenticated, "{followed} {authenticated} {since:?}");
    for address in addresses {
        world.engine.set_authenticated(address, true);
    }
    world.run(200.0);
    let (_, _, Some(since)) = told(&world) else { panic!("{:?}", told(&world)) };
    assert!(since < 1_500.0, "{since}");
}
