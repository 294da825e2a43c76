//! Sources that are asked in interleaved mode, in the closed loop.

use super::world::*;
use crate::io::Input;
use protocol::header::Header;
use report::{MeasurementOutcome, RejectReason};
use std::vec::Vec;

/// Servers whose replies leave 200 µs after the time in them, on average.
fn late(servers: Vec<Server>, asks: bool) -> Setup {
    let mut setup = Setup::of(servers);
    for server in &mut setup.servers {
        server.interleaves = Some(Interleaves { late: 200e-6, ..Interleaves::default() });
    }
    setup.settings.sources.iter_mut().for_each(|source| source.interleaved = asks);
    setup
}

fn started(setup: Setup) -> World {
    let mut world = setup.start();
    world.run(3600.0);
    world
}

/// The largest error in the hour after the first, seconds.
fn worst(mut world: World) -> f64 {
    let mut worst = 0.0f64;
    for _ in 0..360 {
        world.run(10.0);
        worst = worst.max(world.error().abs());
    }
    worst
}

fn requests(world: &World) -> Vec<Header> {
    world.queries.iter().map(|(_, query)| Header::decode(query.packet.octets()).unwrap()).collect()
}

fn told(world: &World) -> usize {
    world.servers.iter().filter_map(|server| Some(server.interleaves.as_ref()?.told)).sum()
}

fn rejected(world: &World, reason: RejectReason) -> u64 {
    world.status().sources.iter().filter_map(|source| source.rejected.get(&reason)).sum()
}

fn of_all_kinds() -> [Vec<Server>; 3] {
    let keyed = lan(3).into_iter().zip(1..).map(|(server, number)| server.with_key(number)).collect();
    [lan(3), keyed, nts_lan(3)]
}

#[test]
fn the_true_departure_of_replies_is_learnt_with_and_without_authentication() {
    for (kind, (servers, again)) in of_all_kinds().into_iter().zip(of_all_kinds()).enumerate() {
        let basic = started(late(servers, false));
        let interleaved = started(late(again, true));
        assert_eq!(told(&basic), 0);
        let asked = interleaved.queries.len();
        // But for the start, when each reply is to tell of now.
        assert!(told(&interleaved) * 4 >= asked * 3, "{kind}: {} of {asked}", told(&interleaved));
        let status = interleaved.status();
        assert!(status.sources.iter().all(|source| source.last_reply.is_some_and(|reply| reply.interleaved)));
        let (basic, interleaved) = (worst(basic), worst(interleaved));
        assert!(interleaved < 0.3 * basic, "{kind}: {interleaved} {basic}");
    }
}

#[test]
fn a047_each_query_has_numbers_of_its_own_and_nothing_of_this_host() {
    let world = started(late(lan(1), true));
    let requests = requests(&world);
    let mut numbers: Vec<u64> =
        requests.iter().flat_map(|it| [it.transmit_timestamp, it.receive_timestamp]).collect();
    numbers.retain(|number| *number != 0);
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
    for request in requests.iter().filter(|request| request.receive_timestamp != 0) {
        let known = protocol::request::interleaved(
            request.transmit_timestamp,
            request.origin_timestamp,
            request.receive_timestamp,
        );
        assert_eq!(*request, known);
    }
    let basic =
        requests.iter().filter(|request| (request.origin_timestamp, request.receive_timestamp) == (0, 0));
    assert!(basic.count() * 2 < requests.len(), "no more than at the start");
}

/// Four replies of six are in that mode, and lost, or say of the reply itself what they should say of the one before.
fn troubled(trouble: fn(&mut Interleaves)) -> World {
    for servers in of_all_kinds() {
        let mut setup = late(servers, true);
        setup.servers.iter_mut().for_each(|server| trouble(server.interleaves.as_mut().unwrap()));
        let world = started(setup);
        assert_eq!(world.status().system.state().name(), "synchronised");
        assert!(world.error().abs() < 500e-6, "{}", world.error());
    }
    let mut setup = late(lan(3), true);
    setup.servers.iter_mut().for_each(|server| trouble(server.interleaves.as_mut().unwrap()));
    started(setup)
}

#[test]
fn a_server_without_this_mode_is_followed_as_before() {
    let world = troubled(|server| server.refuses = true);
    assert_eq!(told(&world), 0);
    assert!(world.status().sources.iter().all(|source| source.last_reply.is_some_and(|it| !it.interleaved)));
}

#[test]
fn a047_where_queries_of_this_mode_are_lost_basic_mode_is_used() {
    let world = troubled(|server| server.loses = true);
    let asked = requests(&world);
    let lost = asked.iter().filter(|request| request.receive_timestamp != 0).count();
    assert!(lost * 3 < asked.len(), "{lost} of {}", asked.len());
    assert!(world.status().sources.iter().all(|source| source.reach != 0));
}

#[test]
fn a047_what_a_server_tells_of_the_wrong_reply_is_no_sample() {
    let world = troubled(|server| server.confuses = true);
    let impossible =
        [RejectReason::BadInterval, RejectReason::NegativeDelay].map(|reason| rejected(&world, reason));
    let count = impossible.iter().sum::<u64>() as usize;
    assert!(count > 0 && count == told(&world), "{impossible:?} of {}", told(&world));
}

#[test]
fn a_server_that_begins_to_tell_is_believed_and_one_that_ends_is_too() {
    let mut setup = late(lan(3), true);
    setup.servers.iter_mut().for_each(|server| server.interleaves.as_mut().unwrap().loses = true);
    let mut world = started(setup);
    for refuses in [false, true, false] {
        let before = told(&world);
        for server in &mut world.servers {
            let known = server.interleaves.as_mut().unwrap();
            (known.loses, known.refuses) = (false, refuses);
        }
        // Longer than the longest rest.
        world.run(40_000.0);
        assert_eq!(told(&world) > before, !refuses);
        assert_eq!(world.status().system.state().name(), "synchronised");
        let is_told =
            |source: &crate::status::SourceStatus| source.last_reply.unwrap().interleaved != refuses;
        assert!(world.status().sources.iter().all(is_told));
    }
}

#[test]
fn a_host_that_has_lost_an_address_does_not_show_that_it_is_the_same() {
    let mut setup = late(lan(1), true);
    setup.settings.sources[0].max_poll = 6;
    let mut world = setup.start();
    let own = |ip: &str| Input::OwnAddresses(std::vec![ip.parse().unwrap()]);
    world.give(own("192.0.2.77"));
    world.run(1800.0);
    assert!(requests(&world).last().unwrap().receive_timestamp != 0);
    let before = world.queries.len();
    world.give(own("192.0.2.78"));
    while world.queries.len() == before {
        world.run(1.0);
    }
    let first = requests(&world)[before];
    assert_eq!((first.origin_timestamp, first.receive_timestamp), (0, 0));
}

/// The counter stood still for seven seconds, and nothing but the sources shows it.
fn paused(asks: bool) -> World {
    let mut world = started(late(lan(3), asks));
    world.servers.iter_mut().for_each(|server| server.error += 7.0);
    world
}

#[test]
fn a_pause_shows_in_the_first_reply_whatever_the_exchange_before_it_says() {
    let mut world = paused(true);
    let before: Vec<u64> = world.status().sources.iter().map(|source| source.valid).collect();
    while world.status().sources.iter().zip(&before).all(|(source, before)| source.valid == *before) {
        world.run(1.0);
    }
    let outcomes = world.engine.measurements(world.now());
    let newest: Vec<_> = outcomes.iter().map(|source| source.measurements[0].outcome).collect();
    // It is asked again at once, and what it says is new.
    let is_seen = |outcome: &MeasurementOutcome| {
        matches!(outcome, MeasurementOutcome::Doubtful | MeasurementOutcome::Restarted)
    };
    assert!(newest.iter().any(is_seen), "{newest:?}");
    let is_good = |world: &World| world.status().system.state().name() == "synchronised";
    world.run(600.0);
    assert!((world.error() - 7.0).abs() < 1e-3 || !is_good(&world), "{}", world.error());
}

#[test]
fn after_a_pause_the_step_of_somebody_who_knows_of_it_is_kept_in_either_mode() {
    for asks in [false, true] {
        let mut world = paused(asks);
        world.meddle(7.0);
        world.run(30.0);
        assert!((world.error() - 7.0).abs() < 1e-3, "interleaved {asks}: {}", world.error() - 7.0);
    }
}

#[test]
fn a047_a_server_that_tells_of_an_exchange_again_and_again_has_it_measured_once() {
    let mut setup = late((0..3).map(|n| server(n, 70e-3, 100e-6)).collect(), true);
    for (server, source) in setup.servers.iter_mut().zip(&mut setup.settings.sources) {
        server.interleaves.as_mut().unwrap().repeats = true;
        (source.burst, source.burst_always) = (true, true);
    }
    let mut world = started(setup);
    let measured: usize = world.status().sources.iter().map(|source| source.samples as usize).sum();
    assert!(told(&world) > 50 && measured < world.queries.len(), "{measured} of {}", world.queries.len());
    let outcomes = world.engine.measurements(world.now());
    let all = outcomes.iter().flat_map(|source| &source.measurements);
    assert!(all.clone().all(|it| it.outcome == MeasurementOutcome::Used), "{outcomes:?}");
    let offsets: Vec<u64> = all.filter_map(|it| it.delay_s.map(f64::to_bits)).collect();
    let mut distinct = offsets.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), offsets.len(), "each exchange has a round trip of its own");
    world.run(600.0);
    assert!(world.error().abs() < 1e-3);
}
