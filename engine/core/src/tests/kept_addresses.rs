//! Addresses that worked in an earlier run are used while their name is not resolved.

use super::world::*;
use crate::io::{Input, KeptAddresses};
use crate::notice::{EntryNotice, Notice};
use crate::settings::{Place, SourceSettings};
use ipc::address::Address;
use ipc::message::exchange::{Failed, HostName, LookupFailure};
use ipc::units::{RawInstant, WallTime};
use std::vec::Vec;

const DAY: i64 = 86_400 * SECOND;

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

/// What an earlier run left of a name, and how long before the beginning.
fn left(text: &str, addresses: impl IntoIterator<Item = Address>, age: i64) -> KeptAddresses {
    let at = WallTime::saturating(BEGIN - age);
    KeptAddresses { name: name(text), addresses: addresses.into_iter().collect(), at }
}

/// Eight servers, of which an earlier run knew the first four by the name of the only source.
fn pool(kept: Vec<KeptAddresses>) -> Setup {
    let mut setup = Setup { error: 3.7, addresses: kept, ..Setup::of(lan(8)) };
    let place = Place::Name(name("Pool.example"), 123);
    let template = source(address("192.0.2.1:123"));
    setup.settings.sources =
        std::vec![SourceSettings { name: "Pool.example".into(), place, members: 4, ..template }];
    setup
}

fn first_four() -> Vec<KeptAddresses> {
    let servers = lan(4);
    std::vec![left("pool.example.", servers.iter().map(|server| server.address), DAY)]
}

fn in_use(world: &World) -> Vec<usize> {
    let place = |address| world.servers.iter().position(|server| server.address.socket_address() == address);
    let mut used: Vec<usize> =
        world.status().sources.iter().filter_map(|source| place(source.address?)).collect();
    used.sort_unstable();
    used
}

fn fail(world: &mut World, reason: LookupFailure) {
    let id = world.resolves.last().unwrap().id;
    world.give(Input::LookupFailed(Failed { id, reason }));
}

/// Runs on; each look-up fails at once.
fn run_without_resolver(world: &mut World, seconds: f64, reason: LookupFailure) {
    let end = world.age() + seconds;
    let mut ended = 0;
    while world.age() < end {
        while let Some(id) = world.resolves.get(ended).map(|resolve| resolve.id) {
            ended += 1;
            world.give(Input::LookupFailed(Failed { id, reason }));
        }
        world.run(0.05);
    }
}

fn is_synchronised(world: &World) -> bool {
    world.status().system.state().name() == "synchronised"
}

fn recalls(world: &World) -> usize {
    let is_it = |notice: &&Notice| matches!(notice, Notice::Entry(_, EntryNotice::KeptAddresses(_)));
    world.notices.iter().filter(is_it).count()
}

#[test]
fn a_host_without_a_resolver_is_right_as_soon_with_the_addresses_that_worked_in_the_last_run() {
    for reason in [LookupFailure::TryAgain, LookupFailure::NoResolver] {
        let mut world = pool(first_four()).start();
        run_without_resolver(&mut world, 3.0, reason);
        assert!(
            is_synchronised(&world) && in_use(&world) == [0, 1, 2, 3],
            "{reason:?}: {:?}",
            world.status()
        );
        assert!(world.error().abs() < 1e-3 && recalls(&world) == 1, "{reason:?}: {}", world.error());
    }
    // Without them it waits.
    let mut world = pool(Vec::new()).start();
    fail(&mut world, LookupFailure::TryAgain);
    world.run(30.0);
    assert!(!is_synchronised(&world) && in_use(&world).is_empty());
}

#[test]
fn an_answer_takes_their_place_as_soon_as_its_addresses_work_and_the_clock_is_followed_all_the_time() {
    let mut world = pool(first_four()).start();
    fail(&mut world, LookupFailure::TryAgain);
    world.run(600.0);
    assert_eq!(in_use(&world), [0, 1, 2, 3]);
    // Those of the answer do not work yet.
    world.servers[4..].iter_mut().for_each(|server| server.up = false);
    world.run(60.0);
    answer(&mut world, 4..8);
    world.run(600.0);
    assert!((0..4).all(|n| in_use(&world).contains(&n)) && is_synchronised(&world), "{:?}", in_use(&world));
    world.servers[4..].iter_mut().for_each(|server| server.up = true);
    let end = world.age() + 4.0 * 3600.0;
    while world.age() < end && in_use(&world) != [4, 5, 6, 7] {
        world.run(10.0);
        assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{:?}", world.status());
    }
    assert_eq!(in_use(&world), [4, 5, 6, 7]);
    world.run(600.0);
    assert!(is_synchronised(&world));
    // These are kept for the next run.
    world.run(3600.0);
    let kept = world.engine.kept_addresses();
    let of_answer = |address: &Address| world.servers[4..].iter().any(|server| server.address == *address);
    assert!(
        kept.len() == 1 && kept[0].addresses.len() == 4 && kept[0].addresses.iter().all(of_answer),
        "{kept:?}"
    );
}

#[test]
fn where_the_name_is_resolved_in_time_none_of_them_is_asked() {
    let mut world = pool(first_four()).start();
    world.run(0.5);
    answer(&mut world, 4..8);
    world.run(3600.0);
    let first = world.servers[..4].iter().map(|server| server.address).collect::<Vec<_>>();
    assert!(world.queries.iter().all(|(_, query)| !first.contains(&query.destination)));
    assert!(is_synchronised(&world) && recalls(&world) == 0);
}

#[test]
fn only_those_of_a_configured_name_and_port_are_used_and_for_thirty_days() {
    let servers: Vec<Address> = lan(4).iter().map(|server| server.address).collect();
    let elsewhere = address("192.0.2.1:4123");
    for (kept, error, used) in [
        (left("other.example", servers.clone(), DAY), 0.0, 0),
        (left("pool.example", [elsewhere], DAY), 0.0, 0),
        (left("pool.example", servers.clone(), 31 * DAY), 0.0, 0),
        (left("pool.example", servers.clone(), 29 * DAY), 0.0, 4),
        // A clock that is behind cannot judge.
        (left("pool.example", servers.clone(), 0), -3600.0, 4),
        (left("pool.example", [], DAY), 0.0, 0),
    ] {
        let text = std::format!("{kept:?}");
        let mut world = Setup { error, ..pool(std::vec![kept]) }.start();
        fail(&mut world, LookupFailure::TryAgain);
        world.run(3.0);
        assert_eq!(in_use(&world).len(), used, "{text}");
    }
}

#[test]
fn a040_a_state_file_that_somebody_altered_can_do_no_more_than_an_answer_of_a_name_server() {
    let many = (1..=64).map(|n| address(&std::format!("198.51.100.{n}:123")));
    let mut world = pool(std::vec![left("pool.example", many, DAY)]).start();
    fail(&mut world, LookupFailure::TryAgain);
    world.run(5.0);
    assert_eq!(world.status().sources.len(), KeptAddresses::MOST);
    for bad in
        ["127.0.0.1:123", "0.0.0.0:123", "224.0.1.1:123", "[::1]:123", "169.254.1.1:123", "192.0.2.77:123"]
    {
        let mut world = pool(std::vec![left("pool.example", [address(bad)], DAY)]).start();
        world.give(Input::OwnAddresses(std::vec!["192.0.2.77".parse().unwrap()]));
        fail(&mut world, LookupFailure::TryAgain);
        world.run(60.0);
        assert!(world.queries.is_empty() && recalls(&world) == 0, "{bad}");
    }
}

#[test]
fn what_is_kept_answered_and_agreed() {
    let mut world = pool(Vec::new()).start();
    answer(&mut world, 0..4);
    world.servers[1].up = false;
    world.servers[2].error = 5.0;
    world.run(2.0 * 3600.0);
    let kept = world.engine.kept_addresses();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].addresses, [world.servers[0].address, world.servers[3].address]);
    assert!(world.saved.iter().any(|saved| saved.at == kept[0].at), "they are written with the frequency");
    assert!(world.engine.poll_timeout().is_some_and(|due| due > RawInstant::MIN));
}

/// `a.test`, whose address was that of the first server, and an address for each of `others`.
fn one_name(servers: Vec<Server>, others: core::ops::Range<usize>) -> Setup {
    let mut setup = Setup { error: 3.7, ..Setup::of(servers) };
    let first = setup.servers[0].address;
    setup.addresses = std::vec![left("a.test", [first], DAY)];
    let place = Place::Name(name("a.test"), 123);
    let named = SourceSettings { name: "a.test".into(), place, ..source(first) };
    let written = setup.servers[others].iter().map(|server| source(server.address));
    setup.settings.sources = [named].into_iter().chain(written).collect();
    setup
}

/// Three servers, of which those at these places are ahead by 900 s.
fn ahead(liars: &[usize]) -> Vec<Server> {
    let mut servers = lan(3);
    liars.iter().for_each(|n| servers[*n].error = 900.0);
    servers
}

#[test]
fn a184_an_address_of_the_last_run_and_one_of_the_answer_are_one_source_for_minimum_sources() {
    let mut setup = one_name(ahead(&[0, 1]), 2..3);
    (setup.error, setup.settings.clock.minimum_sources) = (0.0, 2);
    setup.servers[2].up = false;
    let mut world = setup.start();
    run_without_resolver(&mut world, 300.0, LookupFailure::TryAgain);
    world.run(130.0);
    assert!(world.steps.is_empty() && in_use(&world) == [0, 2], "{:?}", world.status());
    answer(&mut world, 1..2);
    assert_eq!(in_use(&world), [0, 1, 2]);
    world.run(1800.0);
    assert!(world.steps.is_empty() && world.worst(0.0) < 1.0, "{:?}", world.status());
    assert_eq!(in_use(&world), [1, 2]);
    // The honest one comes back: two contradict each other, and still nothing is moved.
    world.servers[2].up = true;
    world.run(1800.0);
    assert!(world.steps.is_empty() && world.worst(0.0) < 1.0, "{:?}", world.status());
    // The name has its honest server again.
    world.servers[1].error = 0.0;
    world.run(4.0 * 3600.0);
    assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{:?}", world.status());
}

#[test]
fn a184_a_false_address_of_the_last_run_sets_no_clock_before_a_slow_name_server_has_answered() {
    for late in [0.5, 2.0, 5.0, 9.5] {
        let mut world = one_name(ahead(&[0]), 0..0).start();
        world.run(late);
        assert!(world.steps.is_empty(), "{late}: {:?}", world.steps);
        answer(&mut world, 1..2);
        world.run(10.0);
        assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{late}: {:?}", world.status());
        assert!(world.worst(0.0) < 4.0, "{late}: {}", world.worst(0.0));
        world.run(80.0);
        assert_eq!(in_use(&world), [1], "{late}");
    }
}

#[test]
fn addresses_of_the_last_run_alone_set_the_clock_after_a_look_up_that_fails_or_after_seventeen_seconds() {
    // The look-up reaches its deadline, or never ends.
    for fails in [true, false] {
        let mut world = pool(first_four()).start();
        world.run(10.0);
        assert!(world.steps.is_empty() && in_use(&world) == [0, 1, 2, 3], "{:?}", world.status());
        if fails {
            fail(&mut world, LookupFailure::Deadline);
        }
        world.run(if fails { 1.0 } else { 9.0 });
        assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{fails}: {:?}", world.status());
    }
    // The address of the answer does not reply.
    let mut setup = one_name(lan(2), 0..0);
    setup.servers[1].up = false;
    let mut world = setup.start();
    world.run(2.0);
    answer(&mut world, 1..2);
    world.run(18.0);
    assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{:?}", world.status());
    world.run(3600.0);
    assert!(is_synchronised(&world) && in_use(&world).contains(&0), "{:?}", world.status());
    // A source that is no name's is enough.
    let mut world = one_name(lan(3), 1..3).start();
    world.run(4.0);
    assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{:?}", world.status());
}

#[test]
fn a184_an_address_of_the_last_run_that_contradicts_the_answer_has_no_vote_and_leaves() {
    let mut world = one_name(ahead(&[0]), 0..0).start();
    run_without_resolver(&mut world, 300.0, LookupFailure::TryAgain);
    world.run(300.0);
    assert!((world.error() - 900.0).abs() < 1e-3, "nothing contradicts it: {}", world.error());
    answer(&mut world, 1..2);
    let end = world.age() + 3600.0;
    let probation =
        |world: &World| {
            let of_answer = world.servers[1].address.socket_address();
            world.status().sources.iter().any(|source| {
                source.address == Some(of_answer) && source.reason.state().name() == "probation"
            })
        };
    world.run(5.0);
    while world.age() < end && probation(&world) {
        world.run(1.0);
    }
    world.run(66.0);
    assert_eq!(in_use(&world), [1], "{:?}", world.status());
    // The clock, which it set wrong, runs back as fast as it may.
    let before = world.error();
    world.run(600.0);
    let went = before - world.error();
    assert!((0.05..0.4).contains(&went), "{went}: {:?}", world.status());
}

#[test]
fn the_addresses_of_the_last_run_leave_a_minute_after_one_of_the_answer_has_a_vote_and_not_before() {
    let mut world = pool(first_four()).start();
    fail(&mut world, LookupFailure::TryAgain);
    world.run(600.0);
    world.servers[4..].iter_mut().for_each(|server| server.up = false);
    answer(&mut world, 4..8);
    world.run(1800.0);
    assert!((0..4).all(|n| in_use(&world).contains(&n)) && is_synchronised(&world), "{:?}", in_use(&world));
    // One of four.
    world.servers[6].up = true;
    let end = world.age() + 4.0 * 3600.0;
    while world.age() < end && in_use(&world).iter().any(|n| *n < 4) {
        world.run(10.0);
        assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{:?}", world.status());
    }
    world.run(1800.0);
    assert!(is_synchronised(&world) && in_use(&world).iter().all(|n| *n >= 4), "{:?}", in_use(&world));
}
