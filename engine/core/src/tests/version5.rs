//! Sources that are asked in the draft of version 5.

use super::world::*;
use crate::io::Input;
use crate::violation::Violation;
use ipc::message::client::{PlainReply, Rejected, ReplyHeader, Stamp};
use ipc::packet::FilterOctets;
use ipc::process::Process;
use ipc::units::Leap;
use protocol::header::Header;
use protocol::ntpv5::{Filter, ReferenceId, UPGRADE};
use report::RejectReason;

fn ids(of: &[u8]) -> Filter {
    let mut filter = Filter::EMPTY;
    of.iter().for_each(|n| filter.add(&ReferenceId::of_address([203, 0, 113, *n].into())));
    filter
}

/// Three servers that speak version 5, each with its own reference clock's id.
fn speakers() -> Setup {
    let mut setup = Setup::of(lan(3));
    for (n, server) in setup.servers.iter_mut().enumerate() {
        server.version5 = Some(Version5::of(ids(&[n as u8 + 1])));
    }
    setup.settings.sources.iter_mut().for_each(|source| source.version5 = true);
    setup.settings.server.iter_mut().for_each(|server| server.version5 = true);
    setup
}

fn version(world: &World, source: usize) -> Option<u8> {
    world.status().sources[source].last_reply.map(|reply| reply.version)
}

/// The versions of the queries to a server, and whether they had the sign.
fn asked(world: &World, server: usize) -> std::vec::Vec<(u8, bool)> {
    let destination = world.servers[server].address;
    let to_it = world.queries.iter().filter(|(_, query)| query.destination == destination);
    let header = to_it.map(|(_, query)| Header::decode(query.packet.octets()).unwrap());
    header.map(|it| (it.version, it.reference_timestamp == UPGRADE)).collect()
}

#[test]
fn servers_that_speak_version_5_are_followed_in_it() {
    let mut world = speakers().start();
    world.run(1800.0);
    for source in 0..3 {
        assert!(world.status().sources[source].state().is_used());
        assert!(world.status().sources[source].reference_id.is_some(), "as it said in version 4");
        let asked = asked(&world, source);
        assert_eq!(asked[0], (4, true));
        // One of seventeen is in version 4, for what only that says.
        let in_version5 = asked.iter().filter(|it| **it == (5, false)).count();
        assert!(in_version5 + 4 + asked.len() / 16 >= asked.len(), "{asked:?}");
    }
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    // What is served names all of them, and this host.
    let served = world.reference_ids.last().unwrap();
    assert!([1, 2, 3].iter().all(|n| served.has(&ReferenceId::of_address([203, 0, 113, *n].into()))));
    assert_eq!(served.count() as usize, 40 - collisions(served));
}

/// How many of 40 bits fall together.
fn collisions(of: &Filter) -> usize {
    let mut without = ids(&[1, 2, 3]);
    let three = without.count();
    without.join(of);
    (30 - three as usize) + (10 - (without.count() - three) as usize)
}

#[test]
fn a_source_that_is_not_to_be_asked_in_version_5_is_asked_as_ever() {
    let mut setup = speakers();
    setup.settings.sources[1].version5 = false;
    let mut world = setup.start();
    world.run(600.0);
    assert_eq!((version(&world, 0), version(&world, 1)), (Some(5), Some(4)));
    assert!(asked(&world, 1).iter().all(|it| *it == (4, false)));
}

#[test]
fn a220_who_drops_version_5_on_the_way_leaves_version_4_which_is_tried_again() {
    let mut setup = speakers();
    setup.servers[0].version5.as_mut().unwrap().answers = false;
    let mut world = setup.start();
    world.run(1800.0);
    assert_eq!(version(&world, 0), Some(4));
    assert!(world.status().sources[0].state().is_used(), "it costs two queries, not the source");
    assert!(asked(&world, 0).iter().filter(|it| it.0 == 5).count() <= 5, "{:?}", asked(&world, 0));
    world.servers[0].version5.as_mut().unwrap().answers = true;
    world.run(256.0 * 300.0);
    assert_eq!(version(&world, 0), Some(5), "and comes back by itself");
}

#[test]
fn a220_who_strips_the_sign_or_adds_it_gains_a_version_that_works() {
    let mut setup = speakers();
    // Stripped from the first; added to the replies of a server that speaks only version 4.
    setup.servers[0].version5.as_mut().unwrap().sign = false;
    setup.servers[1].version5.as_mut().unwrap().answers = false;
    let mut world = setup.start();
    world.run(3600.0);
    for source in 0..2 {
        assert_eq!(version(&world, source), Some(4));
        assert!(world.status().sources[source].state().is_used());
    }
    // A sign that was not asked for is a date.
    assert!(asked(&world, 0).iter().filter(|it| it.1).count() <= 8);
    assert!(world.error().abs() < 1e-3);
}

#[test]
fn a218_a_source_that_claims_our_id_or_all_ids_loses_version_5_and_nobody_loses_more() {
    let mut setup = speakers();
    setup.servers.extend([server(3, 90e-6, 10e-6), server(4, 90e-6, 10e-6)]);
    setup.settings.sources.extend([source(setup.servers[3].address), source(setup.servers[4].address)]);
    setup.settings.sources.iter_mut().for_each(|source| source.version5 = true);
    setup.settings.server.iter_mut().for_each(|server| server.version5 = true);
    let mut world = setup.start();
    // Its own id is in what it serves: anybody can ask for that.
    world.run(60.0);
    let own = *world.reference_ids.first().unwrap();
    let everything = Filter::from_octets([0xff; 512]);
    world.servers[3].version5 =
        Some(Version5 { edit: Some(std::boxed::Box::new(|it| it.stratum = 2)), ..Version5::of(own) });
    world.servers[4].version5 = Some(Version5::of(everything));
    world.run(90_000.0);
    let report = world.status();
    // What makes a server's filter so can be done by others: it is asked in version 4, which has a test of loops of its own.
    for (source, reason) in [(3, RejectReason::Loop), (4, RejectReason::ReferenceIds)] {
        let rejected = report.sources[source].rejected[&reason];
        assert!(rejected >= 2, "{source} {reason:?} {rejected}");
        let asked = asked(&world, source);
        let late = asked.iter().rev().take(60).filter(|(version, _)| *version == 5).count();
        assert!(late <= 2, "{source}: {late} of the last 60 in version 5");
    }
    assert!((0..5).all(|source| report.sources[source].state().is_used()));
    assert!(world.reference_ids.last().unwrap().count() <= Filter::HALF, "our clients can use what we serve");
    // The way back: as soon as they say something else.
    for (liar, filter) in [(3, ids(&[7])), (4, ids(&[8]))] {
        world.servers[liar].version5 = Some(Version5::of(filter));
    }
    world.run(3600.0);
    assert!((0..5).all(|source| world.status().sources[source].state().is_used()));
}

#[test]
fn a217_a_correction_on_the_path_moves_its_source_within_the_round_trip_and_no_further() {
    // 20 ms each way: a lie of 10 ms is the most that fits one way of what is claimed for both.
    let offset_with = |held_up| {
        let mut setup = speakers();
        setup.servers.truncate(1);
        setup.settings.sources.truncate(1);
        setup.servers[0] = Server { version5: setup.servers[0].version5.take(), ..server(0, 20e-3, 10e-6) };
        setup.servers[0].version5.as_mut().unwrap().held_up = held_up;
        let mut world = setup.start();
        world.run(1800.0);
        assert!(asked(&world, 0).iter().any(|(version, _)| *version == 5));
        let report = world.status();
        (world.error(), report.sources[0].delay_s.unwrap(), report.sources[0].root_distance_s.unwrap())
    };
    let (honest, delay, distance) = offset_with(None);
    assert!(honest.abs() < 1e-4, "{honest}");
    let (lied, lied_delay, lied_distance) = offset_with(Some((0, 10_000_000)));
    // At most half of what is claimed; what was measured without the claim weighs more.
    assert!((1e-3..5.2e-3).contains(&lied), "{lied}");
    assert!(lied_delay > delay - 1e-4, "it looks no better: {delay} {lied_delay}");
    assert!(lied.abs() < lied_distance, "inside of what is known: {lied_distance} {distance}");
    for huge in [Some((0, 41_000_000)), Some((i64::MAX, 0)), Some((-1, 1_000_000))] {
        let (error, ..) = offset_with(huge);
        assert!(error.abs() < 1e-4, "{huge:?}: {error}");
    }
}

#[test]
fn another_timescale_or_era_is_not_followed() {
    let mut setup = speakers();
    setup.servers[0].version5.as_mut().unwrap().edit = Some(std::boxed::Box::new(|it| it.timescale = 1));
    setup.servers[1].version5.as_mut().unwrap().edit = Some(std::boxed::Box::new(|it| it.era = 1));
    let mut world = setup.start();
    world.run(1800.0);
    let report = world.status();
    assert!(report.sources[0].rejected[&RejectReason::Timescale] >= 2, "{:?}", report.sources[0].rejected);
    // A server that does not know of eras is right in version 4.
    assert!(report.sources[1].rejected[&RejectReason::Date] >= 2, "{:?}", report.sources[1].rejected);
    assert!((0..3).all(|source| report.sources[source].state().is_used()));
}

#[test]
fn a_shortest_interval_that_the_server_asks_for_is_kept_up_to_what_is_configured() {
    let mut setup = speakers();
    setup.servers[0].version5.as_mut().unwrap().edit = Some(std::boxed::Box::new(|it| it.poll = 8));
    setup.servers[1].version5.as_mut().unwrap().edit = Some(std::boxed::Box::new(|it| it.poll = 120));
    let mut world = setup.start();
    world.run(7200.0);
    let report = world.status();
    assert_eq!((report.sources[0].poll, report.sources[1].poll), (8, 10));
    assert!(report.sources.iter().all(|source| source.state().is_used()));
    world.servers[1].version5.as_mut().unwrap().edit = None;
    world.run(86_400.0);
    assert!(
        world.status().sources[1].poll <= 8,
        "a lie lasts no longer than eight honest replies for each step"
    );
}

#[test]
fn a219_a_reply_in_version_5_counts_once_and_only_to_its_own_query() {
    let mut world = speakers().start();
    world.run(600.0);
    let valid = world.status().sources[0].valid;
    let (_, last) =
        *world.queries.iter().rev().find(|(_, query)| query.destination == world.servers[0].address).unwrap();
    let header = replayed(last.id.0);
    world.give(Input::Version5(ipc::message::client::Version5Reply {
        id: last.id,
        source: last.destination,
        t4: world.now().raw,
        stamp: Stamp::Kernel,
        header,
        filter: Some(FilterOctets::from(ids(&[1]).octets())),
        held_up: None,
        rejected: Rejected::NONE,
    }));
    assert_eq!(world.status().sources[0].valid, valid);
    assert_eq!(world.distrust, Some((Process::Client, Violation::EndedUnopened)));
}

fn replayed(cookie: u64) -> ipc::message::client::Version5Header {
    ipc::message::client::Version5Header {
        leap: Leap::None,
        stratum: 1,
        poll: 0,
        precision: -20,
        root_delay: 0,
        root_dispersion: 0,
        timescale: 0,
        era: 0,
        flags: 1,
        client_cookie: cookie,
        receive_timestamp: 1 << 63,
        transmit_timestamp: 1 << 63,
    }
}

#[test]
fn a220_a_reply_in_another_version_than_its_query_ends_the_trust_in_the_client() {
    let mut world = speakers().start();
    world.run(600.0);
    // The next query in version 5 is answered by the client process as if it were one of version 4.
    world.servers.iter_mut().for_each(|server| server.up = false);
    let before = world.queries.len();
    while world.queries.len() == before {
        world.run(1.0);
    }
    let (_, query) = *world.queries.last().unwrap();
    let cookie = protocol::ntpv5::client::asked(query.packet.octets()).unwrap().0;
    world.give(Input::Reply(PlainReply {
        id: query.id,
        source: query.destination,
        t4: world.now().raw,
        stamp: Stamp::Kernel,
        header: ReplyHeader {
            leap: Leap::None,
            version: 4,
            mode: 4,
            stratum: 1,
            poll: 6,
            precision: -20,
            root_delay: 0,
            root_dispersion: 0,
            reference_id: 1,
            reference_timestamp: 0,
            origin_timestamp: cookie,
            receive_timestamp: 1 << 63,
            transmit_timestamp: 1 << 63,
        },
        rejected: Rejected::NONE,
    }));
    assert_eq!(world.distrust, Some((Process::Client, Violation::OtherVersion)));
}
