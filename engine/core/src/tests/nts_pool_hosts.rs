//! Pools with NTS: where members exchange keys once the name has changed, after a restart, and when the pool grows.

use super::nts_pools::*;
use super::world::*;
use crate::entries::EntryId;
use crate::io::{Command, Input};
use crate::settings::Place;
use ipc::address::Address;
use ipc::message::exchange::{Addresses, Resolved};
use std::collections::BTreeSet;
use std::vec::Vec;

#[test]
fn after_a_restart_each_member_goes_on_with_its_own_keys_and_no_exchange() {
    let before = started(servers(4), 3);
    assert_eq!(before.kept.len(), 3);
    let mut setup = setup(before.servers, 3);
    setup.kept = before.kept;
    let mut world = setup.start();
    resolve(&mut world, (0..4).rev());
    world.run(600.0);
    assert_eq!(asked(&world), [1, 2, 3]);
    assert!(world.exchanges.is_empty() && is_synchronised(&world));
    // One of them has gone meanwhile: its keys lead nowhere, and another address takes its place.
    world.servers[1].up = false;
    world.run(6.0 * HOUR);
    assert_eq!(asked(&world), [1, 4, 3]);
}

#[test]
fn after_a_restart_a_member_that_was_sent_to_another_server_exchanges_keys_where_it_did_before() {
    let mut all = servers(3);
    share_keys(&mut all);
    // Keys are exchanged at the first, and the time is asked for at the third.
    all[0].nts().addresses = std::vec![all[2].address];
    let before = {
        let mut world = setup(all, 2).start();
        resolve(&mut world, 0..2);
        world.run(600.0);
        assert_eq!(asked(&world), [3, 2]);
        world
    };
    let mut setup = setup(before.servers, 2);
    setup.kept = before.kept;
    let mut world = setup.start();
    resolve(&mut world, 0..2);
    world.run(60.0);
    assert_eq!(asked(&world), [3, 2]);
    assert!(world.exchanges.is_empty());
    // Once it needs other keys.
    world.servers.iter_mut().for_each(|server| server.nts().forgot = true);
    world.run(60.0);
    world.servers.iter_mut().for_each(|server| server.nts().forgot = false);
    world.run(600.0);
    let exchanged_at: BTreeSet<u8> = world.exchanges.iter().map(|(_, exchange)| at(exchange)).collect();
    assert_eq!(exchanged_at, BTreeSet::from([1, 2]), "at the addresses of the name");
    assert_eq!(asked(&world), [3, 2]);
}

#[test]
fn members_that_are_at_an_address_which_the_name_no_longer_has_serve_and_leave_it_when_they_fail() {
    let mut world = started(servers(6), 3);
    world.run(26.0 * HOUR);
    assert!(world.resolves.len() > 1, "a name is looked up again each day");
    // The first and the second have gone from it, and two new ones have come.
    resolve(&mut world, 2..5);
    world.run(2.0 * HOUR);
    assert_eq!(
        (asked(&world), world.exchanges.len()),
        (std::vec![1, 2, 3], 3),
        "while they answer they stay"
    );
    // A name server moves no member that works, also when it needs other keys.
    world.servers[..2].iter_mut().for_each(|server| server.nts().forgot = true);
    world.run(1200.0);
    world.servers[..2].iter_mut().for_each(|server| server.nts().forgot = false);
    world.run(6.0 * HOUR);
    assert_eq!(asked(&world), [1, 2, 3]);
    assert!(world.exchanges.len() > 3);
    world.servers[..2].iter_mut().for_each(|server| server.up = false);
    world.run(6.0 * HOUR);
    let found: BTreeSet<u8> = asked(&world).into_iter().collect();
    assert_eq!(found, BTreeSet::from([3, 4, 5]));
    assert!(is_synchronised(&world) && sources(&world).iter().all(|source| source.state().is_used()));
}

#[test]
fn where_the_name_has_become_shorter_members_without_an_address_go_when_they_fail_the_first_one_too() {
    for failing in [0, 1, 2] {
        let mut world = started(servers(6), 3);
        world.run(26.0 * HOUR);
        let left: BTreeSet<usize> = (0..3).filter(|at| *at != failing).collect();
        resolve(&mut world, left.iter().copied());
        world.run(60.0);
        assert_eq!(asked(&world).len(), 3, "{failing}");
        world.servers[failing].up = false;
        world.run(6.0 * HOUR);
        let expected: BTreeSet<u8> = left.iter().map(|at| *at as u8 + 1).collect();
        assert_eq!(asked(&world).into_iter().collect::<BTreeSet<u8>>(), expected, "{failing}");
        assert_eq!(sources(&world).len(), 2, "{failing}: nobody misses it");
        assert!(is_synchronised(&world) && world.kept.len() == 2, "{failing}: and its keys are gone");
        let of_others = world.exchanges.iter().filter(|(_, it)| usize::from(at(it)) != failing + 1);
        assert_eq!(of_others.count(), 2, "{failing}: the others keep theirs");
        // The name has more again.
        assert!(
            world.resolves.len() > 2,
            "{failing}: one that has too few is looked up again within the hour"
        );
        resolve(&mut world, left.iter().copied().chain([3, 4]));
        world.run(600.0);
        assert_eq!(asked(&world).len(), 3, "{failing}");
        assert!(is_synchronised(&world));
    }
}

#[test]
fn a_pool_that_grows_while_it_is_offline_asks_nobody() {
    let mut world = started(servers(5), 2);
    let id = first(&world);
    world.give(Input::Command(Command::Offline(Some(id))));
    let (before, exchanged) = (world.queries.len(), world.exchanges.len());
    let grown = pool(&world.servers[0], 5);
    world.alter(|engine, now| engine.change_entry(now, id, grown)).unwrap();
    world.run(1.0);
    resolve(&mut world, 0..5);
    world.run(HOUR);
    assert_eq!((world.queries.len(), world.exchanges.len()), (before, exchanged));
    world.give(Input::Command(Command::Online(Some(id))));
    world.run(120.0);
    assert_eq!(asked(&world), [1, 2, 3, 4, 5]);
}

#[test]
fn a_pool_for_whose_members_there_was_no_room_gets_them_once_there_is() {
    let mut all = servers(16);
    all.extend((16..32).map(|n| server(n, 90e-6, 10e-6).with_nts("other.example")));
    let both = [pool(&all[0], 8), pool(&all[16], 16)];
    let (grown, shrunk) = (pool(&all[0], 16), pool(&all[16], 4));
    let mut setup = Setup::of(all);
    setup.settings.sources = both.to_vec();
    // And eight that fill it.
    setup.settings.sources.extend((40..48).map(|n| source(server(n, 0.0, 0.0).address)));
    let mut world = setup.start();
    let ids: Vec<EntryId> = world.engine.entries().map(|(id, _)| id).collect();
    let of_pool = |world: &World| {
        sources(world).iter().filter(|it| it.name == "pool.example" && it.address.is_some()).count()
    };
    world.run(1.0);
    resolve_all(&mut world);
    world.run(60.0);
    assert_eq!(of_pool(&world), 8);
    world.alter(|engine, now| engine.change_entry(now, ids[0], grown)).unwrap();
    world.run(60.0);
    resolve_all(&mut world);
    world.run(60.0);
    assert_eq!(of_pool(&world), 8, "there is no room");
    world.alter(|engine, now| engine.change_entry(now, ids[1], shrunk)).unwrap();
    world.run(60.0);
    resolve_all(&mut world);
    world.run(60.0);
    assert_eq!(of_pool(&world), 16);
}

/// Each name has the addresses of its servers.
fn resolve_all(world: &mut World) {
    for resolve in world.resolves.clone() {
        let is_there = |server: &Server| {
            server.nts.as_ref().is_some_and(|nts| nts.place == Place::Name(resolve.name, resolve.port))
        };
        let at_port = |server: &Server| {
            let mut socket = server.address.socket_address();
            socket.set_port(resolve.port);
            Address::from(socket)
        };
        let addresses: Vec<Address> = world.servers.iter().filter(|it| is_there(it)).map(at_port).collect();
        let addresses = Addresses::new(addresses).unwrap();
        world.give(Input::Resolved(Resolved { id: resolve.id, addresses }));
    }
}
