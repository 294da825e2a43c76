//! Sources that are asked in interleaved mode, in the closed loop.

use super::world::*;
use crate::io::Input;
use protocol::header::Header;
use report::RejectReason;
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
        assert!(told(&interleaved) + 9 >= asked, "{kind}: {} of {asked}", told(&interleaved));
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
    for request in requests.iter().skip(1) {
        let known = protocol::request::interleaved(
            request.transmit_timestamp,
            request.origin_timestamp,
            request.receive_timestamp,
        );
        assert_eq!(*request, known);
    }
    assert_eq!((requests[0].origin_timestamp, requests[0].receive_timestamp), (0, 0));
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
