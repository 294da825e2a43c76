//! The host's own time: when it is served, and which of several such hosts is followed.

use super::world::*;
use crate::settings::{LocalTime, ServerSettings, SourceSettings};
use crate::status::{SourceReason, SystemReason};
use ipc::units::Span;
use std::boxed::Box;
use std::vec::Vec;

const STRATUM: u8 = 10;

/// A host at this address, with these sources and its own time.
fn host(servers: Vec<Server>, own: &str, local: LocalTime) -> World {
    host_with(servers, own, local, |_| ())
}

/// The same, with other settings of its sources.
fn host_with(
    servers: Vec<Server>,
    own: &str,
    local: LocalTime,
    alter: impl Fn(&mut SourceSettings),
) -> World {
    let mut setup = Setup::of(servers);
    setup.settings.sources.iter_mut().for_each(alter);
    setup.settings.server =
        Some(ServerSettings { local: Some(local), listen: std::vec![], nts: false, version5: false });
    let mut world = setup.start();
    world.local = address(&std::format!("{own}:0"));
    world
}

/// An orphan that waits half a minute for better sources.
fn orphan() -> LocalTime {
    LocalTime { orphan: true, wait_unsynchronised: Span::from_secs(30), ..LocalTime::of(STRATUM) }
}

/// Serves its own time from now on.
fn serve_own(server: &mut Server, stratum: u8) {
    server.edit = Some(Box::new(move |header| {
        header.stratum = stratum;
        header.reference_id = 0x7f7f_0101;
        header.root_dispersion = 655;
    }));
}

fn served(world: &World) -> u8 {
    world.served.last().unwrap().stratum
}

/// The place of the source that is followed.
fn followed(world: &World) -> Option<usize> {
    let sources = world.status().sources;
    sources.iter().position(|source| matches!(source.reason, SourceReason::Reference { .. }))
}

#[test]
fn of_several_orphans_the_one_with_the_smallest_reference_id_is_followed_after_the_wait() {
    // lan() gives 192.0.2.1, 192.0.2.2, ...
    let fleet = || {
        let mut servers = lan(2);
        servers.iter_mut().for_each(|server| serve_own(server, STRATUM));
        // Seconds apart: they contradict each other, and no majority is asked for.
        (servers[0].error, servers[1].error) = (4.0, -3.0);
        servers
    };
    let mut world = host(fleet(), "192.0.2.9", orphan());
    world.run(25.0);
    assert_eq!((followed(&world), served(&world)), (None, 16), "better sources are awaited");
    assert_eq!(world.status().sources[0].reason, SourceReason::Orphan);
    world.run(60.0);
    assert_eq!((followed(&world), served(&world)), (Some(0), STRATUM + 1));
    assert_eq!(world.status().sources[1].reason, SourceReason::Orphan);
    world.run(600.0);
    assert!((world.error() - 4.0).abs() < 1e-3, "{}", world.error());
    // It is gone: the other one, which has followed it, leads.
    world.servers[1].error = 4.0;
    world.run(100.0);
    world.servers[0].up = false;
    world.run(2_000.0);
    assert_eq!((followed(&world), served(&world)), (Some(1), STRATUM + 1), "{:#?}", world.status());
    // This host is the smallest.
    let mut world = host(fleet(), "192.0.1.9", orphan());
    world.run(120.0);
    assert_eq!((followed(&world), served(&world)), (None, STRATUM));
    assert_eq!(world.status().system.reason, SystemReason::Local { stratum: STRATUM, leads: true });
    assert!(world.error().abs() < 0.5, "nobody moves the clock of the first: {}", world.error());
}

#[test]
fn a_source_with_real_time_takes_the_place_of_orphans_at_once_and_they_have_no_vote_against_it() {
    let mut servers = lan(4);
    servers[..3].iter_mut().for_each(|server| {
        serve_own(server, STRATUM);
        server.error = 0.4;
    });
    servers[3].up = false;
    let mut world = host(servers, "192.0.2.200", orphan());
    world.run(120.0);
    assert_eq!((followed(&world), served(&world)), (Some(0), STRATUM + 1));
    world.servers[3].up = true;
    world.run(600.0);
    assert_eq!(followed(&world), Some(3), "{:#?}", world.status().sources);
    assert!(served(&world) < STRATUM);
    // Followers of an orphan are no better.
    world.servers[..3].iter_mut().for_each(|server| serve_own(server, STRATUM + 1));
    world.servers[3].up = false;
    world.run(4_000.0);
    assert_ne!(followed(&world), Some(0));
    assert_eq!(world.status().sources[0].reason, SourceReason::Orphan);
}

#[test]
fn without_orphan_sources_of_any_stratum_have_their_votes() {
    let mut servers = lan(2);
    servers.iter_mut().for_each(|server| serve_own(server, STRATUM));
    let mut world = host(servers, "192.0.2.200", LocalTime::of(STRATUM));
    world.run(120.0);
    assert_eq!(served(&world), STRATUM + 1);
    assert!(followed(&world).is_some());
}

#[test]
fn the_own_time_is_served_where_the_clock_is_no_longer_as_near_as_is_wanted() {
    let near = LocalTime { distance: Some(Span::from_millis(20)), ..LocalTime::of(STRATUM) };
    let mut stratum = Vec::new();
    for local in [near, LocalTime::of(STRATUM)] {
        let mut world = host(lan(2), "192.0.2.200", local);
        world.run(1_800.0);
        assert!(served(&world) < STRATUM, "its sources answer");
        world.servers.iter_mut().for_each(|server| server.up = false);
        world.run(4.0 * 3_600.0);
        stratum.push(served(&world));
        world.servers.iter_mut().for_each(|server| server.up = true);
        world.run(3_600.0);
        assert!(served(&world) < STRATUM, "they answer again");
    }
    assert_eq!(stratum[0], STRATUM);
    assert!(stratum[1] < STRATUM, "the clock is still synchronised");
}

#[test]
fn the_own_time_waits_and_is_not_served_before_the_clock_was_known_once() {
    let silent = || {
        let mut servers = lan(2);
        servers.iter_mut().for_each(|server| server.up = false);
        servers
    };
    let late = LocalTime { wait_unsynchronised: Span::from_secs(100), ..LocalTime::of(STRATUM) };
    let mut world = host(silent(), "192.0.2.200", late);
    world.run(95.0);
    assert_eq!(served(&world), 16);
    world.run(10.0);
    assert_eq!(served(&world), STRATUM);

    let proven = LocalTime { activate: Some(Span::from_millis(100)), ..LocalTime::of(STRATUM) };
    let mut world = host(silent(), "192.0.2.200", proven);
    world.run(4_000.0);
    assert_eq!(served(&world), 16, "its clock was never known");
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.run(4_000.0);
    assert!(served(&world) < STRATUM);
    // Another program takes it away again: then its own time may be served, after the wait.
    let waits = LocalTime {
        wait_synchronised: Span::from_secs(3_600),
        distance: Some(Span::from_millis(1)),
        ..proven
    };
    world.alter(|engine, now| engine.change_local_time(now, Some(waits)));
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run(1_200.0);
    assert_ne!(served(&world), STRATUM, "it waits");
    world.run(6.0 * 3_600.0);
    assert_eq!(served(&world), STRATUM);
}

/// An orphan that would be followed where nothing speaks against it.
fn tempting() -> Server {
    let mut server = lan(1).remove(0);
    serve_own(&mut server, STRATUM);
    server.error = 4.0;
    server
}

#[test]
fn a_plain_orphan_is_not_followed_where_authenticated_or_trusted_sources_decide() {
    let silent = || {
        let mut server = lan(2).remove(1);
        server.up = false;
        server
    };
    let nts = |server: Server| server.with_nts("nts.example");
    let keyed = |server: Server| server.with_key(1);
    for real in [nts(silent()), keyed(silent())] {
        let mut world = host(std::vec![tempting(), real], "192.0.2.9", orphan());
        world.run(4_000.0);
        assert_eq!((followed(&world), served(&world)), (None, STRATUM), "{:#?}", world.status());
        assert!(world.error().abs() < 0.5, "{}", world.error());
    }
    let trust = |settings: &mut SourceSettings| settings.trust = settings.name.contains("192.0.2.2");
    let mut world = host_with(std::vec![tempting(), silent()], "192.0.2.9", orphan(), trust);
    assert_eq!(world.engine.status(world.now()).sources.iter().filter(|it| it.marks.trust).count(), 1);
    world.run(4_000.0);
    assert_eq!(followed(&world), None, "{:#?}", world.status());
    // An authenticated one of a fleet is followed.
    let mut world = host(std::vec![tempting().with_key(1), keyed(silent())], "192.0.2.9", orphan());
    world.run(4_000.0);
    assert_eq!(followed(&world), Some(0), "{:#?}", world.status());
}

#[test]
fn no_orphan_is_followed_while_sources_with_real_time_answer_but_contradict_each_other() {
    let mut servers = lan(3);
    servers[0] = tempting();
    (servers[1].error, servers[2].error) = (0.3, -0.3);
    let mut world = host(servers, "192.0.2.9", orphan());
    world.run(2_000.0);
    assert_eq!(followed(&world), None, "{:#?}", world.status());
    assert!(world.error().abs() < 0.5, "{}", world.error());
}

#[test]
fn no_orphan_is_followed_that_the_configuration_does_not_name() {
    let pool = |settings: &mut SourceSettings| settings.members = 4;
    let lease = |settings: &mut SourceSettings| settings.offered = true;
    let mut found = Vec::new();
    found.push(host_with(std::vec![tempting()], "192.0.2.9", orphan(), pool));
    found.push(host_with(std::vec![tempting()], "192.0.2.9", orphan(), lease));
    for mut world in found {
        world.run(2_000.0);
        assert_eq!(followed(&world), None, "{:#?}", world.status());
        assert!(world.error().abs() < 0.5, "{}", world.error());
    }
}

#[test]
fn nobody_is_told_that_the_clock_of_a_follower_shows_true_time() {
    let mut servers = lan(2);
    servers[0] = tempting();
    // Little enough to be slewed away in time.
    servers[0].error = 0.4;
    servers[1].up = false;
    let mut world = host(servers, "192.0.2.9", orphan());
    world.run(1_000.0);
    assert_eq!((followed(&world), served(&world)), (Some(0), STRATUM + 1), "clients are served");
    let system = world.status().system;
    assert_eq!(system.reason, SystemReason::FollowingOrphan { stratum: STRATUM + 1 });
    assert!(!system.synchronised && system.error_bound_s >= 16.0, "{system:?}");
    assert!(world.pages.iter().all(|(_, page)| page.state == truechimer_time::State::Unknown));
    assert!(!world.statuses.is_empty() && world.statuses.iter().all(|status| !status.synchronised));
    assert!(world.statuses.iter().all(|status| status.maxerror >= Span::from_secs(16)));
    assert!(world.saved.is_empty(), "its frequency is not true");
    // Real time comes back: all are told.
    world.servers[1].up = true;
    world.run(2_000.0);
    assert_eq!(followed(&world), Some(1), "{:#?}", world.status().sources);
    assert!(world.status().system.synchronised);
    let (_, page) = world.pages.last().unwrap();
    assert_eq!(page.state, truechimer_time::State::Synchronised);
    assert!(world.statuses.last().unwrap().synchronised);
    // And gone again: what was known of true time is not known any more once the orphan is followed.
    world.servers[1].up = false;
    let near = LocalTime { distance: Some(Span::from_millis(20)), ..orphan() };
    world.alter(|engine, now| engine.change_local_time(now, Some(near)));
    world.run(10.0 * 3_600.0);
    assert_eq!(followed(&world), Some(0), "{:#?}", world.status());
    assert_eq!(world.pages.last().unwrap().1.state, truechimer_time::State::Unknown);
    assert!(!world.statuses.last().unwrap().synchronised);
}
