//! Pools with NTS: each address of the name is a member with keys and cookies of its own.

use super::nts::failures;
use super::world::*;
use crate::entries::EntryId;
use crate::io::{Command, Input};
use crate::notice::{EntryNotice, KeyExchangeFailure, Notice};
use crate::settings::SourceSettings;
use crate::status::{SourceReason, SourceStatus};
use ipc::address::Address;
use ipc::message::exchange::*;
use ipc::message::exchange::{Addresses, Exchange};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::vec::Vec;

pub(super) const HOUR: f64 = 3_600.0;

/// `count` servers at the addresses of one name.
pub(super) fn servers(count: usize) -> Vec<Server> {
    lan(count).into_iter().map(|server| server.with_nts("pool.example")).collect()
}

pub(super) fn pool(server: &Server, members: u8) -> SourceSettings {
    SourceSettings { members, ..nts_source(server) }
}

pub(super) fn setup(servers: Vec<Server>, members: u8) -> Setup {
    let source = pool(&servers[0], members);
    let mut setup = Setup::of(servers);
    setup.settings.sources = std::vec![source];
    setup
}

/// The name has the addresses of these servers.
pub(super) fn resolve(world: &mut World, servers: impl Iterator<Item = usize>) {
    let at_port = |at: usize| {
        let mut socket = world.servers[at].address.socket_address();
        socket.set_port(4460);
        Address::from(socket)
    };
    let addresses = Addresses::new(servers.map(at_port)).unwrap();
    let id = world.resolves.last().unwrap().id;
    world.give(Input::Resolved(Resolved { id, addresses }));
}

pub(super) fn started(servers: Vec<Server>, members: u8) -> World {
    let count = servers.len();
    let mut world = setup(servers, members).start();
    resolve(&mut world, 0..count);
    world.run(1800.0);
    world
}

pub(super) fn sources(world: &World) -> Vec<SourceStatus> {
    world.status().sources
}

pub(super) fn last_octet(address: IpAddr) -> Option<u8> {
    match address {
        IpAddr::V4(v4) => Some(v4.octets()[3]),
        IpAddr::V6(_) => None,
    }
}

/// The last octets of the addresses that are asked, in the order of the members.
pub(super) fn asked(world: &World) -> Vec<u8> {
    sources(world).iter().filter_map(|source: &SourceStatus| last_octet(source.address?.ip())).collect()
}

pub(super) fn at(exchange: &Exchange) -> u8 {
    match exchange.at.unwrap().ip() {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

pub(super) fn is_synchronised(world: &World) -> bool {
    world.status().system.state().name() == "synchronised"
}

#[test]
fn each_member_exchanges_keys_at_an_address_of_its_own_with_the_name_of_the_pool() {
    let mut world = started(servers(5), 3);
    assert_eq!(world.resolves.len(), 1, "the name is looked up once for all");
    assert_eq!(world.exchanges.iter().map(|(_, exchange)| at(exchange)).collect::<Vec<_>>(), [1, 2, 3]);
    let name = KeyServer::Name(HostName::parse("pool.example").unwrap());
    assert!(world.exchanges.iter().all(|(_, exchange)| exchange.server == name && exchange.port == 4460));
    assert_eq!(asked(&world), [1, 2, 3]);
    for source in sources(&world) {
        let nts = source.nts.as_ref().unwrap();
        assert_eq!((source.name.as_str(), nts.state.name(), nts.cookies), ("pool.example", "ready", 8));
        assert!(source.state().is_used(), "{source:?}");
    }
    assert!(is_synchronised(&world) && world.error().abs() < 50e-6, "{}", world.error());
    let keys: BTreeSet<_> = world.kept.iter().map(|kept| *kept.keys.client_to_server.octets()).collect();
    assert_eq!(keys.len(), 3, "each has its own");
    world.run(20.0 * HOUR);
    assert_eq!((world.exchanges.len(), asked(&world).len()), (3, 3), "and nothing is asked for without need");
}

#[test]
fn a205_a_member_with_a_wrong_certificate_is_refused_alone_and_another_address_takes_its_place() {
    let mut all = servers(4);
    all[1].nts().failure = Some(ExchangeFailure::WrongName);
    let world = started(all, 3);
    assert_eq!(asked(&world), [1, 4, 3]);
    assert!(is_synchronised(&world));
    assert_eq!(failures(&world, ExchangeFailure::WrongName), 1);
    let told = world.notices.iter().any(|notice| {
        matches!(notice, Notice::Entry(_, EntryNotice::NoKeys { at: Some(at), .. }) if *at == IpAddr::from([192, 0, 2, 2]))
    });
    assert!(told, "at which address it was");
    // With no other address its member says what is wrong, and it is asked as seldom as RFC 8915 section 4.2 has it.
    let mut all = servers(3);
    all[1].nts().failure = Some(ExchangeFailure::WrongName);
    let mut world = started(all, 3);
    assert_eq!(asked(&world), [1, 3]);
    let found = sources(&world);
    let why = KeyExchangeFailure::Failed(ExchangeFailure::WrongName);
    assert!(
        matches!(found[1].reason, SourceReason::AwaitingKeys(keys) if keys.failure == Some(why)),
        "{:?}",
        found[1].reason
    );
    let attempts: Vec<i64> = world
        .exchanges
        .iter()
        .filter(|(_, exchange)| at(exchange) == 2)
        .map(|(at, _)| (at - BEGIN) / SECOND)
        .collect();
    assert_eq!(attempts[..5], [0, 10, 25, 47, 81]);
    assert!(is_synchronised(&world));
    // What is put right serves again.
    world.servers[1].nts().failure = None;
    world.give(Input::Command(Command::Burst(None)));
    world.run(600.0);
    assert_eq!(asked(&world), [1, 2, 3]);
}

#[test]
fn a_member_that_dies_is_replaced_and_the_others_keep_their_keys() {
    let mut world = started(servers(4), 3);
    world.servers[0].up = false;
    world.run(6.0 * HOUR);
    assert_eq!(asked(&world), [4, 2, 3]);
    assert!(is_synchronised(&world));
    let at_others = world.exchanges.iter().filter(|(_, exchange)| matches!(at(exchange), 2 | 3)).count();
    assert_eq!(at_others, 2);
    assert!(sources(&world).iter().all(|source| source.state().is_used()));
}

#[test]
fn members_that_are_all_dead_come_again_without_a_new_start() {
    for hours in [0.1, 1.0, 30.0] {
        let mut world = started(servers(4), 3);
        world.servers.iter_mut().for_each(|server| server.up = false);
        world.run(hours * HOUR);
        assert!(hours < 1.0 || !is_synchronised(&world), "{hours}");
        world.servers.iter_mut().for_each(|server| server.up = true);
        world.run(3.0 * HOUR);
        assert!(is_synchronised(&world), "{hours}: {:?}", world.status().system.reason);
        let used = sources(&world).iter().filter(|source| source.state().is_used()).count();
        assert_eq!(used, 3, "{hours}: {:?}", sources(&world).iter().map(|it| it.reason).collect::<Vec<_>>());
    }
}

#[test]
fn a_pool_that_is_dead_at_the_start_is_followed_soon_after_its_servers_come() {
    let mut all = servers(3);
    all.iter_mut().for_each(|server| server.up = false);
    let mut world = started(all, 3);
    assert!(!is_synchronised(&world));
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.run(180.0);
    assert!(is_synchronised(&world), "{:?}", world.status().system.reason);
    assert_eq!(asked(&world).len(), 3);
}

#[test]
fn where_there_are_fewer_addresses_than_members_the_others_are_missed_by_nobody() {
    let mut setup = setup(servers(2), 8);
    setup.settings.clock.minimum_sources = 2;
    setup.settings.strict_quorum = true;
    let mut world = setup.start();
    resolve(&mut world, [0, 1, 0, 0, 1].into_iter());
    world.run(60.0);
    assert!(is_synchronised(&world), "{:?}", world.status().system.reason);
    assert_eq!((asked(&world), world.exchanges.len()), (std::vec![1, 2], 2), "an address twice is one");
    assert_eq!(sources(&world).len(), 2, "and no row without anything");
    // When the name has more, they are asked.
    world.servers.extend((2..5).map(|n| server(n, 90e-6, 10e-6).with_nts("pool.example")));
    world.run(2.0 * HOUR);
    assert!(world.resolves.len() > 1, "a name with too few is looked up again within the hour");
    resolve(&mut world, 0..5);
    world.run(60.0);
    assert_eq!(asked(&world), [1, 2, 3, 4, 5]);
}

#[test]
fn a_pool_whose_name_has_no_address_says_so_and_is_one_source() {
    let mut world = setup(servers(2), 4).start();
    let found = sources(&world);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].reason, SourceReason::Unresolved(None));
    let id = world.resolves.last().unwrap().id;
    world.give(Input::LookupFailed(Failed { id, reason: LookupFailure::NoSuchName }));
    assert_eq!(sources(&world)[0].reason, SourceReason::Unresolved(Some(LookupFailure::NoSuchName)));
    assert!(world.exchanges.is_empty());
    world.run(600.0);
    assert!(world.resolves.len() > 1);
    resolve(&mut world, 0..2);
    world.run(60.0);
    assert!(is_synchronised(&world));
}

#[test]
fn a206_members_that_are_sent_to_one_time_server_do_not_count_twice() {
    let mut all = servers(3);
    share_keys(&mut all);
    let there = all[0].address;
    all[1..].iter_mut().for_each(|server| server.nts().addresses = std::vec![there]);
    let mut setup = setup(all, 3);
    setup.settings.clock.minimum_sources = 2;
    let mut world = setup.start();
    resolve(&mut world, 0..3);
    world.run(1800.0);
    assert_eq!(asked(&world), [1], "one server is one source");
    assert!(!is_synchronised(&world), "and not two");
    let taken = world.notices.iter().any(|notice| {
        matches!(notice, Notice::Entry(_, EntryNotice::NoKeys { failure: KeyExchangeFailure::Taken, .. }))
    });
    assert!(taken);
    // Those that lead to servers of their own are used as before.
    world.servers[1].nts().addresses.clear();
    world.run(2.0 * HOUR);
    assert_eq!(asked(&world), [1, 2]);
    assert!(is_synchronised(&world));
}

#[test]
fn a206_a_member_that_names_the_servers_of_others_takes_them_from_nobody() {
    for liar in 0..3 {
        for victim in (0..3).filter(|victim| *victim != liar) {
            // Keys that the victim does not know: nothing from there is ever proven.
            let own = |(n, server): (usize, Server)| server.with_nts(["a", "b", "c"][n]);
            let mut all: Vec<Server> = lan(3).into_iter().enumerate().map(own).collect();
            let place = servers(1)[0].nts().place.clone();
            all.iter_mut().for_each(|server| server.nts().place = place.clone());
            all[liar].nts().addresses = std::vec![all[victim].address];
            let mut world = started(all, 3);
            let served = |world: &World| -> BTreeSet<u8> {
                let used = sources(world).into_iter().filter(|source| source.state().is_used());
                used.filter_map(|source| last_octet(source.address?.ip())).collect()
            };
            let honest: BTreeSet<u8> = (0..3).filter(|at| *at != liar).map(|at| at as u8 + 1).collect();
            assert_eq!(served(&world), honest, "{liar} {victim}");
            assert!(is_synchronised(&world));
            world.servers[liar].nts().addresses.clear();
            world.run(6.0 * HOUR);
            assert_eq!(served(&world).len(), 3, "{liar} {victim}: the way back");
        }
    }
}

/// A name whose addresses say nothing does not keep those waiting that come after it.
#[test]
fn a208_sources_behind_a_pool_that_leads_nowhere_exchange_keys() {
    let mut all = servers(24);
    all.iter_mut().for_each(|server| server.up = false);
    all.extend((24..26).map(|n| server(n, 90e-6, 10e-6).with_nts(["a.example", "b.example"][n - 24])));
    // Their first attempts fail.
    all[24..].iter_mut().for_each(|server| server.nts().failure = Some(ExchangeFailure::Unreachable));
    let sources_of = std::vec![pool(&all[0], 8), nts_source(&all[24]), nts_source(&all[25])];
    let mut setup = Setup::of(all);
    setup.settings.sources = sources_of;
    setup.settings.clock.minimum_sources = 2;
    let mut world = setup.start();
    resolve(&mut world, 0..24);
    world.run(60.0);
    world.servers[24..].iter_mut().for_each(|server| server.nts().failure = None);
    world.run(600.0);
    assert!(is_synchronised(&world), "{:?}", world.status().system.reason);
    let named: BTreeSet<_> = world
        .exchanges
        .iter()
        .filter(|(_, it)| it.at.is_none())
        .map(|(_, it)| std::format!("{:?}", it.server))
        .collect();
    assert_eq!(named.len(), 2);
}

#[test]
fn a206_a_member_gives_way_to_a_source_with_nts_that_is_named_itself() {
    let mut all = servers(3);
    let own = all[0].address;
    all.push(server(9, 90e-6, 10e-6).with_nts("own.example"));
    all[3].nts().addresses = std::vec![own];
    share_keys(&mut all);
    let sources_of = std::vec![nts_source(&all[3]), pool(&all[0], 2)];
    let mut setup = Setup::of(all);
    setup.settings.sources = sources_of;
    let mut world = setup.start();
    world.run(1.0);
    resolve(&mut world, 0..3);
    world.run(600.0);
    let found = asked(&world);
    assert_eq!((found[0], found.iter().collect::<BTreeSet<_>>().len(), found.len()), (1, 3, 3), "{found:?}");
}

#[test]
fn liars_of_one_pool_have_one_vote_as_those_of_a_plain_one() {
    let mut all = servers(4);
    all.iter_mut().for_each(|server| server.error = 1.0);
    all.extend((4..6).map(|n| server(n, 90e-6, 10e-6).with_nts(["a.example", "b.example"][n - 4])));
    let sources_of = std::vec![pool(&all[0], 4), nts_source(&all[4]), nts_source(&all[5])];
    let mut setup = Setup::of(all);
    setup.settings.sources = sources_of;
    let mut world = setup.start();
    resolve(&mut world, 0..4);
    world.run(1800.0);
    assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{}", world.error());
}

pub(super) fn first(world: &World) -> EntryId {
    let mut all = world.engine.entries();
    let id = all.next().unwrap().0;
    assert_eq!(all.count(), 0, "it is one source of the configuration");
    id
}

#[test]
fn a_reload_adds_and_removes_members_and_leaves_the_others_as_they_are() {
    let mut world = started(servers(5), 3);
    let id = first(&world);
    let settings = |world: &World, members| pool(&world.servers[0], members);
    let change = |world: &mut World, members| {
        let settings = settings(world, members);
        world.alter(|engine, now| engine.change_entry(now, id, settings)).unwrap();
    };
    change(&mut world, 2);
    assert_eq!(asked(&world), [1, 2]);
    assert!(is_synchronised(&world));
    change(&mut world, 5);
    world.run(1.0);
    resolve(&mut world, 0..5);
    world.run(120.0);
    assert_eq!(asked(&world), [1, 2, 3, 4, 5]);
    assert_eq!(world.exchanges.len(), 6, "those that stayed keep their keys");
    // One server in its place, and a pool again.
    change(&mut world, 1);
    world.run(60.0);
    assert_eq!(asked(&world).len(), 1);
    assert_eq!(world.exchanges.last().unwrap().1.at, None);
    change(&mut world, 3);
    world.run(1.0);
    resolve(&mut world, 0..5);
    world.run(120.0);
    assert_eq!(asked(&world), [1, 2, 3]);
    world.alter(|engine, now| engine.remove_entry(now, id)).unwrap();
    assert!(sources(&world).is_empty());
    world.run(1.0);
    assert!(world.kept.is_empty(), "no key is left");
    assert!(world.alter(|engine, now| engine.remove_entry(now, id)).is_err());
}

#[test]
fn a_command_for_the_pool_is_for_each_member() {
    let mut world = started(servers(3), 3);
    let id = first(&world);
    let asked_so_far = |world: &World| world.queries.len();
    world.give(Input::Command(Command::Offline(Some(id))));
    let before = asked_so_far(&world);
    world.run(2.0 * HOUR);
    assert_eq!(asked_so_far(&world), before);
    assert!(sources(&world).iter().all(|source| source.activity == report::SourceActivity::Offline));
    world.give(Input::Command(Command::Online(Some(id))));
    world.run(10.0);
    let again: BTreeSet<_> =
        world.queries[before..].iter().map(|(_, query)| query.destination.ip()).collect();
    assert_eq!(again.len(), 3);
}

/// The vote of a pool that is not heard is one that is missing, however many members it has.
#[test]
fn a_pool_that_is_silent_misses_one_vote() {
    for strict in [false, true] {
        let mut all = servers(4);
        all.iter_mut().for_each(|server| server.up = false);
        all.extend((4..6).map(|n| server(n, 90e-6, 10e-6).with_nts(["a.example", "b.example"][n - 4])));
        let sources_of = std::vec![pool(&all[0], 4), nts_source(&all[4]), nts_source(&all[5])];
        let mut setup = Setup::of(all);
        setup.settings.sources = sources_of;
        setup.settings.strict_quorum = strict;
        let mut world = setup.start();
        resolve(&mut world, 0..4);
        world.run(40.0);
        assert!(is_synchronised(&world), "{strict}: {:?}", world.status().system.reason);
    }
}
