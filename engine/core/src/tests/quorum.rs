//! Fewer than half of the configured servers answer.

use super::world::*;
use crate::notice::{Impasse, Missing, NoSelection, SystemNotice};
use crate::settings::Place;
use crate::status::SystemReason;
use ipc::message::client::Silence;
use ipc::message::exchange::{ExchangeFailure, Failed, HostName, LookupFailure};
use ipc::units::Span;

/// A host that is 3.7 s ahead, of whose plain servers the first `answer`; the others are silent for this reason.
fn partly_dead(all: usize, answer: usize, why: Silence) -> Setup {
    let mut setup = Setup { error: 3.7, ..Setup::of(lan(all)) };
    for server in &mut setup.servers[answer..] {
        server.up = false;
        server.obstacle = Some(why).filter(|why| *why != Silence::Deadline);
    }
    setup
}

/// Seconds until the clock follows; none: not within `most`.
fn followed_after(world: &mut World, most: f64) -> Option<f64> {
    while world.age() < most {
        world.run(0.5);
        if world.status().system.synchronised {
            assert!(world.error().abs() < 1e-3, "{}", world.error());
            return Some(world.age());
        }
        assert!(world.steps.is_empty() && world.adjusts.is_empty(), "nothing is moved before");
    }
    None
}

fn assert_within(found: Option<f64>, least: f64, most: f64) {
    assert!(found.is_some_and(|found| (least..=most).contains(&found)), "{found:?}: {least} to {most}");
}

#[test]
fn two_plain_servers_of_five_are_followed_after_a_quarter_of_a_minute_and_one_of_three_after_a_minute() {
    for (all, answer, least, most) in [(5, 2, 16.0, 18.0), (3, 1, 60.0, 66.0), (9, 2, 16.0, 18.0)] {
        let mut world = partly_dead(all, answer, Silence::Deadline).start();
        let found = followed_after(&mut world, 400.0);
        assert_within(found, least, most);
        let absent = all - answer;
        assert!(tells(&world, |notice| matches!(
            notice,
            SystemNotice::Excused(Missing { heard, absent: missing, .. }) if (*heard, *missing) == (answer, absent)
        )));
        let reason = world.status().system.reason;
        assert_eq!(
            reason,
            SystemReason::Following { used: answer, of: all, missing: absent, slewing: None, silent: None }
        );
    }
}

#[test]
fn servers_that_are_known_to_be_gone_hold_up_the_others_for_seconds() {
    for why in [Silence::PortUnreachable, Silence::Unreachable, Silence::Prohibited] {
        assert_within(followed_after(&mut partly_dead(5, 2, why).start(), 400.0), 8.0, 10.0);
        assert_within(followed_after(&mut partly_dead(3, 1, why).start(), 400.0), 8.0, 10.0);
    }
    // No socket on this host says nothing about the server.
    assert_within(followed_after(&mut partly_dead(3, 1, Silence::Local).start(), 400.0), 60.0, 66.0);
}

#[test]
fn a_server_that_says_that_it_is_unusable_is_known_to_be() {
    let mut setup = partly_dead(3, 3, Silence::Deadline);
    for server in &mut setup.servers[1..] {
        server.edit = Some(std::boxed::Box::new(|header| header.stratum = 16));
    }
    assert_within(followed_after(&mut setup.start(), 400.0), 8.0, 10.0);
}

#[test]
fn names_that_do_not_exist_count_as_known_and_a_resolver_that_is_away_as_silence() {
    for (why, least, most) in [
        (LookupFailure::NoSuchName, 8.0, 10.0),
        (LookupFailure::NoAddress, 8.0, 10.0),
        (LookupFailure::TryAgain, 60.0, 66.0),
    ] {
        let mut setup = partly_dead(3, 3, Silence::Deadline);
        for n in 1..3 {
            let name = HostName::parse(&std::format!("gone{n}.example")).unwrap();
            setup.settings.sources[n].place = Place::Name(name, 123);
        }
        let mut world = setup.start();
        let mut answered = 0;
        let mut found = None;
        while world.age() < 400.0 && found.is_none() {
            while answered < world.resolves.len() {
                let id = world.resolves[answered].id;
                answered += 1;
                world.give(crate::io::Input::LookupFailed(Failed { id, reason: why }));
            }
            world.run(0.5);
            found = Some(world.age()).filter(|_| world.status().system.synchronised);
        }
        assert_within(found, least, most);
    }
}

#[test]
fn one_authenticated_server_of_three_is_believed_sooner_than_a_plain_one() {
    let dead = |failure: Option<ExchangeFailure>| {
        let mut setup = Setup { error: 3.7, ..Setup::of(nts_lan(3)) };
        for server in &mut setup.servers[1..] {
            server.up = false;
            server.nts().failure = failure;
        }
        setup
    };
    // Keys, and then silence.
    assert_within(followed_after(&mut dead(None).start(), 400.0), 60.0, 66.0);
    // The key exchange server refuses, or its name is gone.
    let gone = ExchangeFailure::Lookup(LookupFailure::NoSuchName);
    for failure in [ExchangeFailure::Refused, ExchangeFailure::Expired, ExchangeFailure::Unreachable, gone] {
        assert_within(followed_after(&mut dead(Some(failure)).start(), 400.0), 8.0, 10.0);
    }
    assert_within(followed_after(&mut dead(Some(ExchangeFailure::Deadline)).start(), 400.0), 60.0, 66.0);
    // In the strict profile it takes ten minutes, and plain ones are never followed so.
    let mut strict = dead(Some(ExchangeFailure::Refused));
    strict.settings.strict_quorum = true;
    assert_within(followed_after(&mut strict.start(), 1000.0), 600.0, 610.0);
    let mut strict = partly_dead(5, 2, Silence::PortUnreachable);
    strict.settings.strict_quorum = true;
    let mut world = strict.start();
    assert_eq!(followed_after(&mut world, 7200.0), None);
    let SystemReason::NoMajority(NoSelection { impasse: Impasse::NoQuorum, missing, .. }) =
        world.status().system.reason
    else {
        panic!("{:?}", world.status().system.reason)
    };
    assert_eq!(missing, Missing { heard: 2, absent: 3, left: None, strict: true });
}

#[test]
fn what_is_configured_to_be_hard_stays_hard_however_long_the_others_are_silent() {
    let hard = |change: fn(&mut Setup)| {
        let mut setup = partly_dead(5, 2, Silence::PortUnreachable);
        change(&mut setup);
        let mut world = setup.start();
        assert_eq!(followed_after(&mut world, 7200.0), None);
        world.status().system.reason
    };
    let reason = hard(|setup| setup.settings.clock.minimum_sources = 3);
    assert!(matches!(reason, SystemReason::Gathering { minimum: 3, .. }), "{reason:?}");
    hard(|setup| setup.settings.sources[4].require = true);
    hard(|setup| setup.settings.sources[4].trust = true);
    // Plain ones do not stand in for an authenticated one.
    let mut servers = lan(3);
    servers.push(server(3, 90e-6, 10e-6).with_nts("nts.example"));
    servers[3].nts().failure = Some(ExchangeFailure::Refused);
    let mut world = Setup { error: 3.7, ..Setup::of(servers) }.start();
    assert_eq!(followed_after(&mut world, 7200.0), None);
    let SystemReason::NoMajority(NoSelection { missing, .. }) = world.status().system.reason else {
        panic!("{:?}", world.status().system.reason)
    };
    assert_eq!((missing.heard, missing.absent), (0, 1));
}

#[test]
fn until_then_the_reason_says_how_long_the_missing_count() {
    let mut world = partly_dead(3, 1, Silence::Deadline).start();
    world.run(20.0);
    let SystemReason::NoMajority(NoSelection { missing, .. }) = world.status().system.reason else {
        panic!("{:?}", world.status().system.reason)
    };
    let left = missing.left.unwrap();
    assert!((Span::from_secs(39)..Span::from_secs(42)).contains(&left), "{left:?}");
    assert_eq!((missing.heard, missing.absent), (1, 2));
}

#[test]
fn a025_liars_that_got_their_way_by_silence_lose_it_when_the_honest_are_heard() {
    // Two of five lie by 0.2 s, and the three honest ones are silenced for ten minutes.
    let mut setup = partly_dead(5, 5, Silence::Deadline);
    setup.servers[..3].iter_mut().for_each(|server| server.up = false);
    setup.servers[3..].iter_mut().for_each(|server| server.error = 0.2);
    let mut world = setup.start();
    world.run(14.0);
    assert!(world.steps.is_empty(), "not within the first quarter of a minute");
    world.run(586.0);
    assert!((world.error() - 0.2).abs() < 1e-3, "{}", world.error());
    world.servers[..3].iter_mut().for_each(|server| server.up = true);
    world.run(4.0 * 3600.0);
    let reason = world.status().system.reason;
    assert_eq!(reason, SystemReason::Following { used: 3, of: 5, missing: 0, slewing: None, silent: None });
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn when_all_but_one_die_after_the_start_the_last_one_is_followed_and_after_a_sleep_too() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    world.servers[1..].iter_mut().for_each(|server| server.up = false);
    world.run(6.0 * 3600.0);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3);
    // They have been dead for long: the last one need not wait for them again.
    world.sleep(3600);
    world.run(30.0);
    assert!(world.status().system.synchronised, "{:?}", world.status().system.reason);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

/// Three servers were followed when the host went to sleep. When it wakes up, the first one lies by 100 s.
fn asleep() -> (World, usize) {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    world.servers[0].error = 100.0;
    let steps = world.steps.len();
    (world, steps)
}

#[test]
fn a025_who_is_silenced_across_a_sleep_counts_against_a_single_plain_one_for_a_minute() {
    let (mut world, steps) = asleep();
    world.servers[1..].iter_mut().for_each(|server| server.up = false);
    world.sleep(3600);
    world.run(25.0);
    world.servers[1..].iter_mut().for_each(|server| server.up = true);
    world.run(630.0);
    assert_eq!(world.steps.len(), steps + 1, "one, by the sleep: {:?}", world.steps);
    assert!(world.error().abs() < 1.0, "{}", world.error());
    assert!(world.status().system.synchronised, "{:?}", world.status().system.reason);
}

#[test]
fn a025_time_in_which_the_network_was_away_after_a_sleep_counts_against_nobody() {
    for why in [Silence::Unreachable, Silence::Deadline] {
        let (mut world, steps) = asleep();
        for server in &mut world.servers {
            server.up = false;
            server.obstacle = Some(why).filter(|why| *why != Silence::Deadline);
        }
        // A second sleep, before anything was heard, changes nothing.
        world.sleep(3600);
        world.run(400.0);
        world.sleep(60);
        world.run(200.0);
        let answers = |server: &mut Server| (server.up, server.obstacle) = (true, None);
        answers(&mut world.servers[0]);
        world.run(6.0);
        world.servers[1..].iter_mut().for_each(answers);
        world.run(120.0);
        assert!(world.error().abs() < 1.0, "{why:?} {} {:?}", world.error(), world.status().system.reason);
        assert_eq!(world.steps.len(), steps + 1, "one, by both sleeps: {why:?} {:?}", world.steps);
        assert!(world.status().system.synchronised, "{why:?} {:?}", world.status().system.reason);
    }
}

/// Runs until the next query goes to this server.
fn until_asked(world: &mut World, at: usize) {
    let (address, from) = (world.servers[at].address, world.queries.len());
    while !world.queries[from..].iter().any(|(_, query)| query.destination == address) {
        world.run(0.1);
    }
}

#[test]
fn a025_after_a_sleep_as_at_a_start_the_nearest_liars_wait_for_the_honest() {
    for (liars, honest) in [(1, 1), (2, 2)] {
        let mut servers = lan(liars + honest);
        servers[liars..].iter_mut().for_each(|server| server.fixed = 30e-3);
        let mut world = Setup::of(servers).start();
        world.run(1800.0);
        world.servers[..liars].iter_mut().for_each(|server| server.error = 100.0);
        world.sleep(3600);
        world.run(600.0);
        assert!(world.error().abs() < 50.0 || world.error() < -3000.0, "{liars}: {}", world.error());
    }
}

#[test]
fn a025_servers_that_the_network_reaches_seconds_after_a_sleep_are_asked_before_they_are_given_up() {
    // Two of five lie, or the one of three that has keys first.
    for (servers, liars) in [(lan(5), 2), (nts_lan(3), 1)] {
        let mut world = Setup::of(servers).start();
        world.run(1800.0);
        world.servers[..liars].iter_mut().for_each(|server| server.error = 100.0);
        world.servers.iter_mut().for_each(|server| server.up = false);
        world.sleep(3600);
        // All of them are silent, and are asked twice a minute.
        world.run(150.0);
        world.servers[..liars].iter_mut().for_each(|server| server.up = true);
        let steps = world.steps.len();
        until_asked(&mut world, 0);
        world.run(5.0);
        world.servers[liars..].iter_mut().for_each(|server| server.up = true);
        world.run(60.0);
        assert_eq!(world.steps.len(), steps + 1, "{liars}: {:?}", world.steps);
        assert!(world.error().abs() < 1.0, "{liars}: {}", world.error());
    }
}

#[test]
fn servers_that_died_during_a_sleep_hold_up_later_ones_no_more() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    world.servers[1..].iter_mut().for_each(|server| server.up = false);
    world.sleep(3600);
    world.run(300.0);
    assert!(world.status().system.synchronised, "{:?}", world.status().system.reason);
    for _ in 0..3 {
        world.sleep(3600);
        world.run(2.0);
        assert!(world.status().system.synchronised, "{:?}", world.status().system.reason);
        world.run(300.0);
    }
}

#[test]
fn a_machine_that_sleeps_every_half_minute_follows_the_one_that_is_left() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    world.servers[1..].iter_mut().for_each(|server| server.up = false);
    for _ in 0..4 {
        world.sleep(30);
        world.run(20.0);
    }
    assert!(world.status().system.synchronised, "{:?}", world.status().system.reason);
}

#[test]
fn a025_an_outage_before_a_sleep_makes_the_first_answer_after_it_no_majority() {
    let (mut world, steps) = asleep();
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run(3.0 * 3600.0);
    world.sleep(3600);
    world.servers[0].up = true;
    world.run(6.0);
    world.servers[1..].iter_mut().for_each(|server| server.up = true);
    world.run(300.0);
    assert_eq!(world.steps.len(), steps + 1, "{:?}", world.steps);
    assert!(world.error().abs() < 1.0, "{}", world.error());
}

#[test]
fn a025_a_plain_answer_begins_no_time_for_authenticated_votes() {
    let mut servers = nts_lan(3);
    servers.push(server(3, 90e-6, 10e-6));
    servers[0].error = 100.0;
    servers[..3].iter_mut().for_each(|server| server.up = false);
    let mut world = Setup { error: 3.7, ..Setup::of(servers) }.start();
    world.run(120.0);
    world.servers[0].up = true;
    until_asked(&mut world, 0);
    world.run(5.0);
    assert!(world.steps.is_empty(), "{:?}", world.steps);
    world.servers[1..3].iter_mut().for_each(|server| server.up = true);
    world.run(120.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a_trusted_entry_that_is_this_host_keeps_no_other_from_being_followed() {
    let mut servers = lan(4);
    servers[1..3].iter_mut().for_each(|server| server.up = false);
    let mut setup = Setup::of(servers);
    let own = setup.servers[3].address;
    setup.settings.sources[3].trust = true;
    let mut world = setup.start();
    world.give(crate::io::Input::OwnAddresses(std::vec![own.ip()]));
    world.run(120.0);
    assert!(world.status().system.synchronised, "{:?}", world.status().system.reason);
}

#[test]
fn two_dead_servers_that_are_added_stop_nothing_for_ever() {
    let mut setup = Setup::of(lan(3));
    setup.settings.sources.truncate(1);
    let mut world = setup.start();
    world.run(600.0);
    assert!(world.status().system.synchronised);
    world.servers[1..].iter_mut().for_each(|server| server.up = false);
    for n in 1..3 {
        let settings = source(world.servers[n].address);
        world.alter(|engine, now| engine.add_entry(now, settings)).unwrap();
    }
    world.run(310.0);
    assert!(world.status().system.synchronised, "{:?}", world.status().system.reason);
}

#[test]
fn a051_dead_nts_servers_do_not_keep_a_clock_of_1970_for_ever() {
    let in_1970 = |dead: usize| {
        let mut servers = nts_lan(5);
        servers[5 - dead..]
            .iter_mut()
            .for_each(|server| server.nts().failure = Some(ExchangeFailure::Refused));
        Setup { error: -(BEGIN as f64 * 1e-9) + 60.0, ..Setup::of(servers) }
    };
    let mut world = in_1970(3).start();
    world.run(590.0);
    assert!(world.steps.is_empty());
    world.run(60.0);
    assert!(world.status().system.synchronised && world.error().abs() < 1e-3, "{}", world.error());
    // One alone never sets it, and in the strict profile two of five do not.
    for (dead, strict) in [(4, false), (3, true)] {
        let mut setup = in_1970(dead);
        setup.settings.strict_quorum = strict;
        let mut world = setup.start();
        world.run(3600.0);
        assert!(world.steps.is_empty() && world.adjusts.is_empty(), "{dead} {strict}");
        assert_eq!(world.status().system.reason, SystemReason::AwaitingQuorum);
    }
}

/// As where the process that asks them is stopped: the clock runs on, and how long nothing has answered is said.
#[test]
fn a_clock_whose_sources_fall_silent_says_so_after_four_queries_of_each_however_long_its_interval() {
    for poll in [4, 8] {
        let mut setup = Setup::of(lan(2));
        setup
            .settings
            .sources
            .iter_mut()
            .for_each(|source| (source.min_poll, source.max_poll) = (poll, poll));
        let mut world = setup.start();
        world.run(20_000.0);
        let silent = |world: &World| match world.status().system.reason {
            SystemReason::Following { silent, .. } => silent,
            other => panic!("2^{poll} s: {other:?}"),
        };
        assert_eq!(silent(&world), None);
        let interval = f64::from(1_u32 << poll);
        world.servers.iter_mut().for_each(|server| server.up = false);
        world.run(2.0 * interval);
        assert_eq!(silent(&world), None, "two queries may be lost");
        world.run(3.0 * interval);
        let status = world.status().system;
        assert!(status.synchronised, "its error bound is good");
        assert_within(silent(&world), 3.5 * interval, 6.5 * interval);
        world.servers[0].up = true;
        world.run(2.0 * interval);
        assert_eq!(silent(&world), None);
    }
}
