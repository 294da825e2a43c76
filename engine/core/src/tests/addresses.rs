//! Each address of a name gets its turn, and one that is of no use is replaced.

use super::world::*;
use crate::io::{Command, Input};
use crate::notice::{EntryNotice, Notice};
use crate::settings::{Place, ServerSettings, SourceSettings};
use crate::status::SourceReason;
use ipc::message::client::Silence;
use ipc::message::exchange::{Addresses, Families, HostName, LookupFailure, Resolved};
use ipc::units::Leap;
use std::boxed::Box;
use std::vec::Vec;

/// One name with the addresses of all these servers.
fn named(servers: Vec<Server>, members: u8) -> World {
    let mut setup = Setup { error: 3.7, ..Setup::of(servers) };
    let place = Place::Name(HostName::parse("pool.example").unwrap(), 123);
    let template = source(address("192.0.2.1:123"));
    setup.settings.sources =
        std::vec![SourceSettings { name: "pool.example".into(), place, members, ..template }];
    setup.start()
}

/// Runs on; each look-up is answered with the addresses of `offered`. False: `until` has not become true.
fn run(
    world: &mut World,
    seconds: f64,
    offered: impl Fn(usize) -> bool,
    until: impl Fn(&World) -> bool,
) -> bool {
    let end = world.age() + seconds;
    let mut answered = 0;
    while world.age() < end {
        while let Some(resolve) = world.resolves.get(answered) {
            let id = resolve.id;
            answered += 1;
            let all = world.servers.iter().enumerate().filter(|(n, _)| offered(*n));
            let addresses = Addresses::new(all.map(|(_, server)| server.address)).unwrap();
            // Of a look-up that was answered before, nothing is learned.
            world.give(Input::Resolved(Resolved { id, addresses }));
        }
        if until(world) {
            return true;
        }
        world.run(0.25);
    }
    until(world)
}

fn is_synchronised(world: &World) -> bool {
    world.status().system.state().name() == "synchronised"
}

fn in_use(world: &World) -> Vec<usize> {
    let place = |address| world.servers.iter().position(|server| server.address.socket_address() == address);
    world.status().sources.iter().filter_map(|source| place(source.address?)).collect()
}

/// `count` dead servers and one that works at place `live`, the first half of them IPv6.
fn mostly_dead(count: usize, live: usize) -> Vec<Server> {
    let mut servers = lan(count);
    for (n, server) in servers.iter_mut().enumerate() {
        server.up = n == live;
        if n < count / 2 {
            server.address = address(&std::format!("[2001:db8::{n:x}]:123"));
        }
    }
    servers
}

#[test]
fn a_name_with_dead_addresses_of_one_family_comes_to_the_live_ones_within_ten_seconds() {
    for members in [1, 4] {
        let mut servers = mostly_dead(8, 7);
        servers[4..].iter_mut().for_each(|server| server.up = true);
        let mut world = named(servers, members);
        assert!(run(&mut world, 10.0, |_| true, is_synchronised), "{members}");
        run(&mut world, 60.0, |_| true, |_| false);
        let used = in_use(&world);
        assert!(used.len() == usize::from(members) && used.iter().all(|n| *n >= 4), "{members}: {used:?}");
    }
}

#[test]
fn a_name_with_sixty_three_dead_addresses_comes_to_the_live_one_within_about_a_minute_wherever_it_is() {
    for live in [0, 31, 63] {
        let mut world = named(mostly_dead(64, live), 1);
        assert!(run(&mut world, 64.0, |_| true, is_synchronised), "{live}");
        assert!(world.error().abs() < 1e-3);
    }
}

#[test]
fn a_name_whose_addresses_are_all_dead_is_reported_once_and_used_when_one_comes_to_life() {
    let mut world = named(mostly_dead(8, 8), 1);
    run(&mut world, 1800.0, |_| true, |_| false);
    let told = |notice: &&Notice| matches!(notice, Notice::Entry(_, EntryNotice::NoneAnswers(8)));
    assert_eq!(world.notices.iter().filter(told).count(), 1);
    // The load on each of the dead ones: two packets in half a minute at most.
    let sent = world.queries.len();
    assert!(sent <= 8 * 2 * 1800 / 30, "{sent}");
    world.servers[5].up = true;
    assert!(run(&mut world, 80.0, |_| true, is_synchronised));
}

#[test]
fn an_address_that_was_unsynchronised_is_tried_again_within_minutes_while_nothing_is_followed() {
    // The power of a site has come back: both have no time at first, and one never gets any.
    let mut servers = lan(2);
    for server in &mut servers {
        server.edit = Some(Box::new(|header| (header.leap, header.stratum) = (Leap::Unknown, 0)));
    }
    let mut world = named(servers, 1);
    run(&mut world, 180.0, |_| true, |_| false);
    // The load on each: eight packets a minute at most, bursts included.
    assert!(world.queries.len() <= 2 * 3 * 8, "{}", world.queries.len());
    world.servers[0].edit = None;
    assert!(run(&mut world, 120.0, |_| true, is_synchronised));
}

#[test]
fn a_network_that_has_no_route_at_first_does_not_spoil_the_addresses_of_a_name() {
    let mut world = named(mostly_dead(8, 6), 1);
    world.obstacle = Some(Silence::Unreachable);
    run(&mut world, 3600.0, |_| true, |_| false);
    let told = |notice: &Notice| matches!(notice, Notice::Entry(_, EntryNotice::NoneAnswers(_)));
    assert!(!world.notices.iter().any(told), "that is no fault of the addresses");
    world.obstacle = None;
    assert!(run(&mut world, 60.0, |_| true, is_synchronised));
}

#[test]
fn a_source_that_stops_answering_is_replaced_by_another_address_of_its_name() {
    let mut world = named(lan(4), 1);
    assert!(run(&mut world, 10.0, |_| true, is_synchronised));
    run(&mut world, 7200.0, |_| true, |_| false);
    for _ in 0..3 {
        let [used] = in_use(&world)[..] else { panic!() };
        world.servers[used].up = false;
        let is_other = |world: &World| in_use(world) != [used] && is_synchronised(world);
        assert!(run(&mut world, 4.0 * 3600.0, |_| true, is_other));
    }
}

type Spoil = fn(&mut Server);

/// What makes the answers of a server useless, and how long they may be.
const SPOILED: [(&str, Spoil, f64); 5] = [
    ("unsynchronised", |server| server.edit = Some(Box::new(|header| header.stratum = 16)), 2500.0),
    ("leap unknown", |server| server.edit = Some(Box::new(|header| header.leap = Leap::Unknown)), 2500.0),
    ("DENY", |server| server.edit = Some(Box::new(|header| kiss(header, b"DENY"))), 1100.0),
    ("RSTR", |server| server.edit = Some(Box::new(|header| kiss(header, b"RSTR"))), 1100.0),
    ("falseticker", |server| server.error = 0.3, 8000.0),
];

fn kiss(header: &mut ipc::message::client::ReplyHeader, code: &[u8; 4]) {
    (header.stratum, header.reference_id) = (0, u32::from_be_bytes(*code));
}

#[test]
fn a_pool_member_whose_answers_are_of_no_use_is_replaced_and_no_other_is() {
    for (what, spoil, seconds) in SPOILED {
        let mut world = named(lan(8), 4);
        assert!(run(&mut world, 10.0, |_| true, is_synchronised));
        run(&mut world, 600.0, |_| true, |_| false);
        let before = in_use(&world);
        spoil(&mut world.servers[before[1]]);
        let is_replaced = |world: &World| !in_use(world).contains(&before[1]);
        assert!(run(&mut world, seconds, |_| true, is_replaced), "{what}");
        let after = in_use(&world);
        assert!([0, 2, 3].iter().all(|n| after.contains(&before[*n])), "{what}: {before:?} {after:?}");
        run(&mut world, 600.0, |_| true, |_| false);
        assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{what}");
        let names: Vec<_> = world.status().sources.iter().map(|source| source.state().name()).collect();
        assert!(names.iter().all(|name| matches!(*name, "selected" | "combined")), "{what}: {names:?}");
    }
}

#[test]
fn a_source_that_is_useless_from_the_start_is_replaced_within_a_minute() {
    for (what, spoil, _) in &SPOILED[..4] {
        let mut servers = lan(4);
        servers[..3].iter_mut().for_each(spoil);
        let mut world = named(servers, 1);
        assert!(run(&mut world, 120.0, |_| true, is_synchronised), "{what}");
    }
}

#[test]
fn an_address_that_has_left_its_name_is_given_up_once_it_is_silent_and_not_before() {
    let mut world = named(lan(2), 1);
    assert!(run(&mut world, 10.0, |_| true, is_synchronised));
    // It has left the name, but works: it stays.
    run(&mut world, 3.0 * 86_400.0, |n| n == 1, |_| false);
    assert_eq!(in_use(&world), [0]);
    world.servers[0].up = false;
    assert!(run(&mut world, 4.0 * 3600.0 + 2048.0, |n| n == 1, |world| in_use(world) == [1]));
}

#[test]
fn a_name_that_moved_while_the_host_slept_is_followed_to_its_new_address_however_often_it_is_looked_up() {
    let mut world = named(lan(2), 1);
    assert!(run(&mut world, 60.0, |n| n == 0, is_synchronised));
    world.servers[0].up = false;
    world.sleep(100);
    let is_there = |world: &World| in_use(world) == [1] && is_synchronised(world);
    assert!(run(&mut world, 600.0, |n| n == 1, is_there), "{:?}", world.status().sources);
}

/// The network of the host is another one: it has another address there.
fn change_network(world: &mut World, last: u8) {
    world.give(Input::OwnAddresses(std::vec![core::net::IpAddr::from([203, 0, 113, last])]));
}

#[test]
fn a_name_that_has_another_address_in_another_network_is_asked_there_within_a_minute() {
    // `online` says the same as a change that the kernel tells of.
    let changes: [fn(&mut World); 2] =
        [|world| change_network(world, 9), |world| world.give(Input::Command(Command::Online(None)))];
    for change in changes {
        let mut world = named(lan(2), 1);
        assert!(run(&mut world, 4.0 * 3600.0, |n| n == 0, |world| world.age() > 4.0 * 3600.0 - 1.0));
        assert_eq!(in_use(&world), [0]);
        world.servers[0].up = false;
        let look_ups = world.resolves.len();
        change(&mut world);
        let is_there = |world: &World| in_use(world) == [1] && is_synchronised(world);
        assert!(run(&mut world, 60.0, |n| n == 1, is_there), "{:?}", world.status().sources);
        assert!(world.resolves.len() <= look_ups + 4, "{}", world.resolves.len() - look_ups);
    }
}

#[test]
fn a_network_that_never_comes_to_rest_costs_a_name_two_look_ups_a_minute_and_no_source_that_answers() {
    let mut world = named(lan(2), 1);
    assert!(run(&mut world, 3600.0, |n| n == 0, |world| world.age() > 3599.0));
    let (look_ups, queries) = (world.resolves.len(), world.queries.len());
    for second in 0..3600u32 {
        change_network(&mut world, second.to_be_bytes()[3]);
        // The old address has left the name, but works.
        run(&mut world, 1.0, |n| n == 1, |_| false);
    }
    let (look_ups, queries) = (world.resolves.len() - look_ups, world.queries.len() - queries);
    assert_eq!(in_use(&world), [0]);
    assert!((100..=125).contains(&look_ups), "{look_ups}");
    assert!(queries <= 240, "{queries}");
}

#[test]
fn a_change_of_the_network_that_takes_ntp_along_for_a_minute_replaces_no_address_that_its_name_still_has() {
    let mut world = named(lan(8), 4);
    assert!(run(&mut world, 4.0 * 3600.0, |_| true, |world| world.age() > 4.0 * 3600.0 - 1.0));
    let before = in_use(&world);
    world.servers.iter_mut().for_each(|server| server.up = false);
    change_network(&mut world, 9);
    run(&mut world, 60.0, |_| true, |_| false);
    world.servers.iter_mut().for_each(|server| server.up = true);
    assert!(run(&mut world, 300.0, |_| true, is_synchronised));
    assert_eq!(in_use(&world), before);
}

#[test]
fn a039_a_liar_in_the_name_service_replaces_no_source_that_works_and_no_two_at_once() {
    let mut servers = lan(12);
    servers[4..].iter_mut().for_each(|server| server.error = 0.4);
    let mut world = named(servers, 4);
    assert!(run(&mut world, 10.0, |n| n < 4, is_synchronised));
    run(&mut world, 2.0 * 86_400.0, |n| n >= 4, |_| false);
    assert_eq!(in_use(&world), [0, 1, 2, 3]);
    // Two die: the liar's come in their place, on probation first, and the other two outlast them.
    world.servers[..2].iter_mut().for_each(|server| server.up = false);
    let is_one = |world: &World| in_use(world).iter().any(|n| *n >= 4);
    assert!(run(&mut world, 4.0 * 3600.0, |n| n >= 4, is_one));
    assert_eq!(in_use(&world).iter().filter(|n| **n >= 4).count(), 1);
    run(&mut world, 86_400.0, |n| n >= 4, |_| false);
    let used = in_use(&world);
    assert!(used.contains(&2) && used.contains(&3), "{used:?}");
    // Two against two are no majority: the clock is held, and never follows the liar.
    assert!(world.error().abs() < 0.05, "{}", world.error());
}

#[test]
fn an_outage_of_the_network_replaces_no_source() {
    let mut world = named(lan(8), 4);
    assert!(run(&mut world, 10.0, |_| true, is_synchronised));
    run(&mut world, 3600.0, |_| true, |_| false);
    let before = in_use(&world);
    world.servers.iter_mut().for_each(|server| server.up = false);
    // The name server is out of reach too: no look-up is answered.
    world.run(12.0 * 3600.0);
    assert_eq!(in_use(&world), before);
    world.servers.iter_mut().for_each(|server| server.up = true);
    assert!(run(&mut world, 300.0, |_| true, is_synchronised));
    assert_eq!(in_use(&world), before);
}

/// A server with NTS that names these servers for the time.
fn redirected(servers: usize, is_up: impl Fn(usize) -> bool) -> World {
    let mut servers = nts_lan(servers);
    share_keys(&mut servers);
    let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
    servers[0].nts().addresses = addresses;
    servers.iter_mut().enumerate().for_each(|(n, server)| server.up = is_up(n));
    let mut setup = Setup { error: 3.7, ..Setup::of(servers) };
    setup.settings.sources.truncate(1);
    setup.start()
}

#[test]
fn each_address_of_the_time_server_that_a_key_exchange_names_gets_its_turn() {
    for live in [0, 3, 7] {
        let mut world = redirected(8, |n| n == live);
        assert!(run(&mut world, 64.0, |_| true, is_synchronised), "{live}");
        assert!(world.exchanges.len() <= 4, "{live}: {}", world.exchanges.len());
    }
}

#[test]
fn an_nts_source_whose_answers_are_of_no_use_is_replaced_by_another_address_with_the_same_keys() {
    let mut world = redirected(3, |_| true);
    assert!(run(&mut world, 10.0, |_| true, is_synchronised));
    let before = in_use(&world);
    world.servers[before[0]].edit = Some(Box::new(|header| header.stratum = 16));
    let is_other = |world: &World| in_use(world) != before && is_synchronised(world);
    assert!(run(&mut world, 2500.0, |_| true, is_other));
    assert_eq!(world.exchanges.len(), 1);
}

#[test]
fn a_useless_time_server_of_a_single_address_leads_to_few_key_exchanges_at_other_addresses_of_the_name() {
    let mut servers = nts_lan(1);
    servers[0].edit = Some(Box::new(|header| header.stratum = 16));
    let mut world = Setup::of(servers).start();
    world.run(86_400.0);
    let turns: Vec<_> = world.exchanges.iter().map(|(_, exchange)| exchange.turn).collect();
    assert!((10..40).contains(&turns.len()), "{turns:?}");
    assert!(turns.windows(2).all(|pair| pair[1] > pair[0]), "{turns:?}");
}

/// Queries leave from the address of this server, which so is this host.
fn is_this_host(world: &mut World, server: usize) {
    world.local = world.servers[server].address;
}

#[test]
fn a036_a_source_that_is_this_host_has_no_vote_and_is_missed_by_nobody() {
    for listen in ["0.0.0.0:123", "[::]:123", "192.0.2.1:123"] {
        let mut servers = lan(2);
        servers[0].error = 0.4;
        let mut setup = Setup { error: 3.7, ..Setup::of(servers) };
        let listen = std::vec![address(listen)];
        let listens_anywhere = listen[0].ip().is_unspecified();
        setup.settings.server = Some(ServerSettings { local: None, listen, nts: false, version5: false });
        let mut world = setup.start();
        is_this_host(&mut world, 0);
        world.run(30.0);
        let sources = world.status().sources;
        assert_eq!((sources[0].reason, sources[0].state().name()), (SourceReason::Oneself, "unusable"));
        assert_eq!(sources[1].state().name(), "selected");
        assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{}", world.error());
        // The address moves to another host: then it is a source like any other.
        world.local = address("192.0.2.99:123");
        world.servers[0].error = 0.0;
        world.give(Input::OwnAddresses(std::vec!["192.0.2.99".parse().unwrap()]));
        world.run(3600.0);
        let is_used = matches!(world.status().sources[0].state().name(), "selected" | "combined");
        // What is written under `listen` is ours as long as it stands there.
        assert_eq!(is_used, listens_anywhere);
    }
}

#[test]
fn addresses_whose_trial_ends_at_the_same_moment_are_replaced_at_that_moment() {
    let mut servers = lan(8);
    servers[..4].iter_mut().for_each(|server| server.up = false);
    let mut world = named(servers, 4);
    assert!(run(&mut world, 60.0, |_| true, |world| in_use(world) == [4, 5, 6, 7]));
    let first_query = |server: &Server| {
        let queries = world.queries.iter().filter(|(_, query)| query.destination == server.address);
        queries.map(|(time, _)| *time).min()
    };
    let begun: Vec<_> = world.servers[4..].iter().map(first_query).collect();
    assert!(begun.windows(2).all(|pair| pair[0] == pair[1]), "{begun:?}");
}

#[test]
fn a_loopback_address_is_this_host_only_at_a_port_that_it_serves() {
    for (port, is_own) in [(123, true), (11_123, false)] {
        let mut servers = lan(2);
        servers[0].address = address(&std::format!("127.0.0.1:{port}"));
        let mut setup = Setup::of(servers);
        let listen = std::vec![address("0.0.0.0:123")];
        setup.settings.server = Some(ServerSettings { local: None, listen, nts: false, version5: false });
        let mut world = setup.start();
        world.run(30.0);
        assert_eq!(world.status().sources[0].reason == SourceReason::Oneself, is_own, "{port}");
        assert!(is_synchronised(&world));
    }
}

#[test]
fn a_pool_that_contains_this_host_uses_its_other_addresses() {
    for own in 0..4 {
        let mut world = named(lan(5), 4);
        is_this_host(&mut world, own);
        world.servers[own].error = 0.4;
        assert!(run(&mut world, 30.0, |_| true, is_synchronised), "{own}");
        run(&mut world, 120.0, |_| true, |_| false);
        let used = in_use(&world);
        assert!(used.len() == 4 && !used.contains(&own), "{own}: {used:?}");
        assert!(world.error().abs() < 1e-3, "{own}: {}", world.error());
    }
}

#[test]
fn a_name_that_has_only_this_hosts_address_is_told_so_and_moves_nothing() {
    let mut world = named(lan(1), 1);
    is_this_host(&mut world, 0);
    run(&mut world, 600.0, |_| true, |_| false);
    assert!(matches!(
        world.status().sources[0].reason,
        SourceReason::Oneself | SourceReason::Unresolved(Some(LookupFailure::NoAddress))
    ));
    assert!(!is_synchronised(&world) && world.steps.is_empty());
}

#[test]
fn two_writings_of_one_name_are_one_server() {
    for other in ["NTS0.example", "nts0.example."] {
        let servers = nts_lan(1);
        let mut setup = Setup::of(servers);
        let mut twin = setup.settings.sources[0].clone();
        twin.place = Place::Name(HostName::parse(other).unwrap(), 4460);
        setup.settings.sources.push(twin);
        let mut world = setup.start();
        world.run(10.0);
        assert_eq!(world.exchanges.len(), 1, "{other}");
        assert_eq!(world.status().sources[1].reason, SourceReason::SameKeyServer);
    }
}

#[test]
fn online_tries_what_failed_at_once_even_where_nobody_said_offline() {
    let mut servers = lan(1);
    servers[0].up = false;
    let mut world = Setup::of(servers).start();
    world.run(3600.0);
    world.servers[0].up = true;
    world.give(Input::Command(Command::Online(None)));
    world.run(2.0);
    assert!(is_synchronised(&world));
}

#[test]
fn a_name_with_a_link_local_address_is_followed_where_that_is_permitted_and_nowhere_else() {
    for allow_link_local in [false, true] {
        let mut servers = lan(1);
        servers[0].address = address("169.254.169.123:123");
        let mut setup = Setup { error: 3.7, ..Setup::of(servers) };
        let place = Place::Name(HostName::parse("metadata.example").unwrap(), 123);
        let template = source(address("192.0.2.1:123"));
        setup.settings.sources = std::vec![SourceSettings { place, allow_link_local, ..template }];
        let mut world = setup.start();
        assert_eq!(run(&mut world, 60.0, |_| true, is_synchronised), allow_link_local);
        assert_eq!(world.queries.is_empty(), !allow_link_local);
    }
}

#[test]
fn a_source_of_another_family_begins_anew_and_asks_for_that_one_alone() {
    let mut servers = lan(2);
    servers[0].address = address("[2001:db8::1]:123");
    let mut world = named(servers, 1);
    assert!(run(&mut world, 10.0, |_| true, is_synchronised));
    assert!(world.resolves.iter().all(|resolve| resolve.families == Families::Both));
    assert_eq!(in_use(&world), [0]);
    let (id, settings) = world.engine.entries().map(|(id, it)| (id, it.clone())).next().unwrap();
    let settings = SourceSettings { families: Families::V4, ..settings };
    let answered = world.resolves.len();
    world.alter(|engine, now| engine.change_entry(now, id, settings)).unwrap();
    assert!(in_use(&world).is_empty(), "nothing of before is kept");
    run(&mut world, 10.0, |n| n == 1, |_| false);
    assert!(world.resolves.len() > answered);
    assert!(world.resolves[answered..].iter().all(|resolve| resolve.families == Families::V4));
    assert_eq!(in_use(&world), [1]);
    assert_eq!(world.status().sources[0].marks.families, Families::V4);
}
