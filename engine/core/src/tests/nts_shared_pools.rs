//! Pools whose key exchange server shares its clients out among time servers (`experimental-nts-pool`).

use super::nts_pools::*;
use super::world::*;
use crate::notice::{EntryNotice, KeyExchangeFailure, Notice};
use crate::settings::SourceSettings;
use ipc::message::exchange::{Exchange, ExchangeFailure, HostName};
use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::vec::Vec;

/// A pool whose key exchange server, the first of these, shares its clients out among all of them.
fn shared_out(count: usize, members: u8) -> World {
    let mut all: Vec<Server> = servers(count);
    share_keys(&mut all);
    names(&mut all);
    let mut setup = setup(all, members);
    setup.settings.sources = std::vec![shared(&setup.servers[0], members)];
    setup.start()
}

/// The key exchange server knows them by these.
fn names(servers: &mut [Server]) {
    for (n, server) in servers.iter_mut().enumerate() {
        server.nts().shares_as = Some(HostName::parse(&std::format!("t{n}.example")).unwrap());
    }
}

fn shared(server: &Server, members: u8) -> SourceSettings {
    let mut settings = pool(server, members);
    settings.nts.iter_mut().for_each(|nts| nts.shares_out = true);
    settings
}

fn denied(exchange: &Exchange) -> Vec<String> {
    exchange.denied.iter().map(str::to_string).collect()
}

#[test]
fn a_key_exchange_server_that_shares_its_clients_out_is_asked_for_another_one_each_time() {
    let mut world = shared_out(5, 3);
    world.run(1800.0);
    assert!(world.resolves.is_empty(), "the name is that of one server");
    let asked_for: Vec<Vec<String>> = world.exchanges.iter().map(|(_, exchange)| denied(exchange)).collect();
    assert_eq!(asked_for, [&[][..], &["t0.example"], &["t0.example", "t1.example"]]);
    assert!(world.exchanges.iter().all(|(_, exchange)| exchange.at.is_none()));
    assert_eq!(asked(&world), [1, 2, 3]);
    assert!(is_synchronised(&world));
    // One that dies is not asked for again, and those of the others neither.
    world.servers[1].up = false;
    world.run(6.0 * HOUR);
    assert_eq!(asked(&world), [1, 4, 3]);
    for (at, e) in &world.exchanges {
        std::println!("{} {:?}", (at - BEGIN) as f64 / 1e9, denied(e));
    }
    let last = denied(&world.exchanges.last().unwrap().1);
    assert_eq!(last, ["t1.example", "t0.example", "t2.example"]);
    assert_eq!(world.exchanges.len(), 4);
    assert!(is_synchronised(&world));
}

/// What a lying one could do: it names the same server again, whatever it is asked not to name.
#[test]
fn a209_one_that_names_the_same_time_servers_again_is_one_source_for_each() {
    let mut world = shared_out(2, 4);
    world.run(2.0 * HOUR);
    assert_eq!(asked(&world), [1, 2]);
    assert!(is_synchronised(&world));
    let taken = world.notices.iter().any(|notice| {
        matches!(notice, Notice::Entry(_, EntryNotice::NoKeys { failure: KeyExchangeFailure::Taken, .. }))
    });
    assert!(taken);
    // They are asked for as seldom as RFC 8915 section 4.2 has it.
    assert!(world.exchanges.len() < 40, "{}", world.exchanges.len());
    // Where it has more later, they are used.
    world.servers.push(server(2, 90e-6, 10e-6).with_nts("pool.example"));
    share_keys(&mut world.servers);
    world.servers[2].nts().shares_as = HostName::parse("t2.example").ok();
    world.run(12.0 * HOUR);
    assert_eq!(asked(&world), [1, 2, 3]);
}

#[test]
fn a210_members_of_such_a_pool_have_one_vote_whoever_operates_them() {
    let mut all = servers(4);
    all.iter_mut().for_each(|server| server.error = 1.0);
    share_keys(&mut all);
    names(&mut all);
    all.extend((4..6).map(|n| server(n, 90e-6, 10e-6).with_nts(["a.example", "b.example"][n - 4])));
    let sources_of = std::vec![shared(&all[0], 4), nts_source(&all[4]), nts_source(&all[5])];
    let mut setup = Setup::of(all);
    setup.settings.sources = sources_of;
    let mut world = setup.start();
    world.run(1800.0);
    assert_eq!(asked(&world).len(), 6);
    assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a211_one_that_names_the_servers_of_others_takes_them_from_nobody() {
    // Its own keys, which the others do not know: nothing from there is ever proven.
    let mut all = servers(1);
    all.extend((1..4).map(|n| {
        server(n, 90e-6, 10e-6).with_nts(["", "other.example", "other.example", "other.example"][n])
    }));
    let victims = all[1..].iter().map(|server| server.address).collect::<Vec<_>>();
    all[0].nts().addresses = victims;
    let sources_of = std::vec![shared(&all[0], 3), pool(&all[1], 3)];
    let mut setup = Setup::of(all);
    setup.settings.sources = sources_of;
    let mut world = setup.start();
    // It is first.
    world.run(1.0);
    resolve(&mut world, 1..4);
    world.run(1800.0);
    let used = sources(&world).into_iter().filter(|source| source.state().is_used());
    let used: BTreeSet<u8> = used.filter_map(|source| last_octet(source.address?.ip())).collect();
    assert_eq!(used, BTreeSet::from([2, 3, 4]));
    assert!(is_synchronised(&world));
}

#[test]
fn a212_addresses_where_no_server_can_be_are_asked_by_no_member_and_others_serve() {
    let mut all = servers(3);
    share_keys(&mut all);
    names(&mut all);
    all[1].address = address("127.0.0.1:123");
    all[2].address = address("169.254.0.7:123");
    let mut setup = Setup::of(all);
    setup.settings.sources = std::vec![shared(&setup.servers[0], 3)];
    let mut world = setup.start();
    world.run(2.0 * HOUR);
    assert_eq!(asked(&world), [1]);
    assert!(is_synchronised(&world));
    assert!(
        world.queries.iter().all(|(_, query)| last_octet(query.destination.ip()) == Some(1)
            && !query.destination.ip().is_loopback())
    );
    let refused = world.notices.iter().any(|notice| {
        matches!(notice, Notice::Entry(_, EntryNotice::NoKeys { failure: KeyExchangeFailure::NoAddress, .. }))
    });
    assert!(refused);
    assert!(world.exchanges.len() < 40, "{}", world.exchanges.len());
}

#[test]
fn after_a_restart_members_are_still_asked_for_apart() {
    let mut before = shared_out(5, 3);
    before.run(600.0);
    assert_eq!(before.kept.len(), 3);
    let mut setup = setup(before.servers, 4);
    setup.settings.sources[0].nts.as_mut().unwrap().shares_out = true;
    setup.kept = before.kept;
    let mut world = setup.start();
    world.run(600.0);
    assert_eq!(asked(&world), [1, 2, 3, 4]);
    let asked_for: Vec<Vec<String>> = world.exchanges.iter().map(|(_, exchange)| denied(exchange)).collect();
    assert_eq!(asked_for, [["t0.example", "t1.example", "t2.example"]], "by the names that were kept");
}

#[test]
fn a_pool_that_grows_asks_for_more_and_one_that_shrinks_keeps_the_others() {
    let mut world = shared_out(5, 2);
    world.run(600.0);
    let id = first(&world);
    for (members, expected) in [(4, std::vec![1, 2, 3, 4]), (2, std::vec![1, 2]), (3, std::vec![1, 2, 3])] {
        let settings = shared(&world.servers[0], members);
        world.alter(|engine, now| engine.change_entry(now, id, settings)).unwrap();
        world.run(600.0);
        assert_eq!(asked(&world), expected);
        assert!(is_synchronised(&world));
    }
}

#[test]
fn a213_one_that_keeps_each_key_exchange_waiting_keeps_no_other_source_waiting() {
    let mut all = servers(1);
    all[0].nts().failure = Some(ExchangeFailure::Deadline);
    all.extend((1..3).map(|n| server(n, 90e-6, 10e-6).with_nts(["", "a.example", "b.example"][n])));
    let sources_of = std::vec![shared(&all[0], 16), nts_source(&all[1]), nts_source(&all[2])];
    let mut setup = Setup::of(all);
    setup.settings.sources = sources_of;
    let mut world = setup.start();
    world.run(2.0);
    let first: Vec<_> = world.exchanges.iter().map(|(_, exchange)| exchange.server).take(3).collect();
    assert!(first[0] != first[1] && first[1] != first[2], "one of the pool at a time: {first:?}");
    world.run(600.0);
    assert!(is_synchronised(&world));
}
