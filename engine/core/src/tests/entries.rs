//! Configured sources that come, change and go while the others are followed.

use super::nts::exchanged;
use super::world::*;
use crate::entries::EntryError;
use crate::io::Input;
use crate::notice::{EntryNotice, Impasse, NoSelection, Notice, SystemNotice};
use crate::settings::{NtsSettings, Place};
use crate::{Engine, EntryId};
use ipc::message::client::{PlainReply, Query, Rejected, ReplyHeader, Sent, Stamp};
use ipc::message::exchange::*;
use ipc::process::Process;
use ipc::units::Leap;
use std::string::ToString;
use std::vec::Vec;

/// Synchronised with the first `count` of its servers.
fn followed(servers: Vec<Server>, count: usize) -> World {
    let mut setup = Setup::of(servers);
    setup.settings.sources.truncate(count);
    let mut world = setup.start();
    world.run(1800.0);
    assert_eq!(world.status().system.state().name(), "synchronised", "{:?}", world.status().system.reason);
    world.notices.clear();
    world
}

fn id_of(world: &World, n: usize) -> EntryId {
    world.engine.entries().nth(n).unwrap().0
}

fn add(world: &mut World, n: usize) -> EntryId {
    let new = match world.servers[n].nts {
        Some(_) => nts_source(&world.servers[n]),
        None => source(world.servers[n].address),
    };
    world.alter(|engine, now| engine.add_entry(now, new)).unwrap()
}

fn remove(world: &mut World, n: usize) {
    let id = id_of(world, n);
    world.alter(|engine, now| engine.remove_entry(now, id)).unwrap();
}

fn change(world: &mut World, n: usize, edit: impl FnOnce(&mut crate::settings::SourceSettings)) {
    let (id, mut settings) = world.engine.entries().nth(n).map(|(id, s)| (id, s.clone())).unwrap();
    edit(&mut settings);
    world.alter(|engine, now| engine.change_entry(now, id, settings)).unwrap();
}

fn states(world: &World) -> Vec<&'static str> {
    world.status().sources.iter().map(|source| source.state().name()).collect()
}

/// The server of which the reference id speaks.
fn system_peer(world: &World) -> usize {
    states(world).iter().position(|state| *state == "selected").unwrap()
}

fn is_quiet(world: &World) -> bool {
    world.notices.iter().all(|notice| notice.severity() > 4)
}

#[test]
fn an_entry_that_is_added_in_mid_run_is_asked_and_followed_with_the_others() {
    let mut world = followed(lan(4), 3);
    let begun = world.queries.len();
    add(&mut world, 3);
    assert_eq!(world.queries[begun].1.destination, world.servers[3].address, "it is asked at once");
    world.run(600.0);
    assert!(matches!(states(&world)[3], "selected" | "combined"), "{:?}", states(&world));
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert!(is_quiet(&world) && world.steps.len() <= 1, "{:?}", world.notices);
    assert!(world.worst(1200.0) < 50e-6);
}

#[test]
fn entries_that_are_added_and_never_answer_are_missed_only_after_some_seconds() {
    let mut world = followed(lan(3), 1);
    (1..3).for_each(|n| world.servers[n].up = false);
    for n in 1..3 {
        add(&mut world, n);
    }
    world.run(7.0);
    assert!(
        is_quiet(&world) && world.status().system.state().name() == "synchronised",
        "{:?}",
        world.notices
    );
    world.run(5.0);
    // One of three is no majority of what is configured, as after a start.
    assert_eq!(world.status().system.state().name(), "no-majority");
    remove(&mut world, 2);
    world.run(2.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
}

#[test]
fn a024_plain_liars_are_not_followed_while_the_authenticated_source_begins_anew() {
    let mut servers = lan(3);
    servers.iter_mut().for_each(|server| server.error = 1.0);
    servers.push(server(3, 90e-6, 10e-6).with_nts("nts.example"));
    let mut world = followed(servers, 4);
    assert_eq!(states(&world), ["outvoted", "outvoted", "outvoted", "selected"]);
    // Other keys are asked for, and for two minutes there are none.
    world.servers[3].nts().failure = Some(ExchangeFailure::Refused);
    change(&mut world, 3, |settings| settings.nts = settings.nts.map(|nts| NtsSettings { roots: 1, ..nts }));
    assert!(is_quiet(&world), "it may only be slow: {:?}", world.notices);
    world.run(120.0);
    assert!(tells(&world, |notice| matches!(
        notice,
        SystemNotice::NoSelection(NoSelection { impasse: Impasse::NoQuorum, .. })
    )));
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    world.servers[3].nts().failure = None;
    world.run(300.0);
    assert_eq!(states(&world), ["outvoted", "outvoted", "outvoted", "selected"]);
    assert!(world.worst(1200.0) < 1e-3, "{}", world.worst(1200.0));
}

#[test]
fn the_system_peer_is_removed_in_mid_run_and_the_clock_follows_another_one() {
    let mut world = followed(lan(3), 3);
    let peer = system_peer(&world);
    let address = world.servers[peer].address.socket_address();
    world.run(1.0);
    let steps = world.steps.len();
    remove(&mut world, peer);
    let report = world.status();
    assert_eq!(report.sources.len(), 2);
    assert!(report.sources.iter().all(|source| source.address != Some(address)));
    assert!(
        report.system.synchronised && report.system.reference != Some(address.to_string()),
        "{:?}",
        report.system
    );
    let asked = world.queries.len();
    world.run(1800.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert!(states(&world).contains(&"selected"));
    assert!(world.queries[asked..].iter().all(|(_, query)| query.destination != world.servers[peer].address));
    assert!(is_quiet(&world) && world.steps.len() == steps, "{:?}", world.notices);
    assert!(world.worst(1200.0) < 50e-6, "{}", world.worst(1200.0));
}

#[test]
fn the_last_entry_is_removed_and_the_clock_runs_on_until_one_is_added() {
    let mut world = followed(lan(2), 1);
    remove(&mut world, 0);
    world.run(3600.0);
    let report = world.status();
    assert_eq!((report.system.state().name(), report.sources.len()), ("no-sources", 0));
    assert!(world.error().abs() < 1e-3 && is_quiet(&world), "{:?}", world.notices);
    let asked = world.queries.len();
    add(&mut world, 1);
    world.run(600.0);
    assert!(world.queries.len() > asked);
    assert_eq!((world.status().system.state().name(), states(&world)[0]), ("synchronised", "selected"));
    assert!(world.error().abs() < 50e-6, "{}", world.error());
}

#[test]
fn a_change_of_poll_limits_and_marks_keeps_what_was_measured() {
    let mut world = followed(lan(3), 3);
    let before = world.status().sources[0].clone();
    change(&mut world, 0, |settings| {
        (settings.min_poll, settings.max_poll) = (4, 4);
        settings.prefer = true;
    });
    let after = world.status().sources[0].clone();
    assert_eq!((after.valid, after.poll), (before.valid, 4));
    assert!(after.next_poll_s.unwrap() <= 16.0);
    world.run(200.0);
    assert!(world.status().sources[0].valid > before.valid + 9, "asked each 16 s");
    assert_eq!(states(&world), ["selected", "spare", "spare"]);
    change(&mut world, 0, |settings| {
        (settings.min_poll, settings.max_poll) = (8, 10);
        settings.prefer = false;
    });
    world.run(30.0);
    assert_eq!(world.status().sources[0].poll, 8);
    assert!(states(&world).iter().all(|state| *state != "spare"));
    assert!(is_quiet(&world));
}

#[test]
fn a_change_to_another_server_begins_anew_in_the_same_place() {
    let mut world = followed(lan(3), 2);
    let (id, old, new) = (id_of(&world, 0), world.servers[0].address, world.servers[2].address);
    change(&mut world, 0, |settings| settings.place = Place::Address(new));
    assert_eq!(id_of(&world, 0), id);
    let source = world.status().sources[0].clone();
    assert_eq!((source.address, source.valid), (Some(new.socket_address()), 0));
    let asked = world.queries.len();
    world.run(600.0);
    assert!(world.queries[asked..].iter().all(|(_, query)| query.destination != old));
    assert!(states(&world).iter().all(|state| matches!(*state, "selected" | "combined")));
    assert!(is_quiet(&world));
}

#[test]
fn a_duplicate_takes_the_place_of_the_entry_that_it_stood_back_for() {
    let mut setup = Setup::of(lan(2));
    setup.settings.sources.push(source(setup.servers[0].address));
    let mut world = setup.start();
    world.run(600.0);
    assert_eq!(states(&world)[2], "waiting");
    remove(&mut world, 0);
    world.run(600.0);
    assert_eq!(world.status().sources.len(), 2);
    assert!(world.status().sources[1].valid > 0 && states(&world)[1] != "waiting");
    // The other way round: an address that is written out is taken from a name that leads there.
    let name = HostName::parse("pool.example").unwrap();
    change(&mut world, 1, |settings| settings.place = Place::Name(name, 123));
    answer(&mut world, 0..1);
    assert_eq!(world.status().sources[1].sent, 1);
    add(&mut world, 0);
    let taken =
        EntryNotice::AddressTaken(world.servers[0].address.socket_address(), "192.0.2.1:123".to_string());
    assert!(world.notices.iter().any(|notice| matches!(notice, Notice::Entry(_, found) if *found == taken)));
    let report = world.status();
    assert_eq!((report.sources[1].address, report.sources[2].sent), (None, 1));
}

#[test]
fn keys_of_a_removed_entry_are_gone_from_memory_and_from_the_file() {
    let mut world = followed(nts_lan(3), 3);
    assert_eq!(world.kept.len(), 3);
    let writes = world.writes;
    remove(&mut world, 1);
    assert!(world.writes > writes);
    let servers: Vec<_> = world.kept.iter().map(|kept| kept.server.clone()).collect();
    let others = [0, 2].map(|n| nts_source(&world.servers[n]).place);
    assert_eq!(servers, others);
    let exchanges = world.exchanges.len();
    // The same once more is another entry: it has to exchange keys.
    add(&mut world, 1);
    world.run(600.0);
    assert_eq!((world.exchanges.len(), world.kept.len()), (exchanges + 1, 3));
    assert!(matches!(states(&world)[2], "selected" | "combined"), "{:?}", states(&world));
}

#[test]
fn there_are_no_more_than_32_entries_and_none_that_is_gone_is_changed() {
    let mut world = followed(lan(1), 1);
    let settings = source(address("192.0.2.99:123"));
    let gone = add(&mut world, 0);
    world.alter(|engine, now| engine.remove_entry(now, gone)).unwrap();
    assert_eq!(world.alter(|engine, now| engine.remove_entry(now, gone)), Err(EntryError::NoSuchEntry));
    let late = settings.clone();
    assert_eq!(world.alter(|engine, now| engine.change_entry(now, gone, late)), Err(EntryError::NoSuchEntry));
    for n in 1..32u8 {
        let mut settings = settings.clone();
        settings.place = Place::Address(address(&std::format!("192.0.2.{}:123", n + 100)));
        let id = world.alter(|engine, now| engine.add_entry(now, settings)).unwrap();
        assert_ne!(id, gone, "an id is never used twice");
    }
    assert_eq!(world.alter(|engine, now| engine.add_entry(now, settings)), Err(EntryError::Full));
}

/// An engine of one entry; the world brings nothing by itself.
fn alone(place: Place, nts: bool) -> World {
    let servers = if nts { nts_lan(1) } else { lan(1) };
    let mut setup = Setup::of(servers);
    setup.settings.sources[0].place = place;
    setup.settings.sources[0].burst = false;
    setup.servers.clear();
    setup.start()
}

fn name() -> Place {
    Place::Name(HostName::parse("late.example").unwrap(), 123)
}

#[test]
fn a_reply_that_comes_late_for_a_removed_entry_is_ignored() {
    let mut world = alone(Place::Address(address("192.0.2.1:123")), false);
    let Query { id, destination, .. } = world.queries[0].1;
    remove(&mut world, 0);
    assert_eq!(world.engine.open_exchanges(), 0);
    let (t1, stamp) = (world.now().raw, Stamp::Kernel);
    world.give(Input::Sent(Sent { id, t1, stamp, local: ipc::address::Address::NONE }));
    let header = ReplyHeader {
        leap: Leap::None,
        version: 4,
        mode: 4,
        stratum: 1,
        poll: 6,
        precision: -20,
        root_delay: 0,
        root_dispersion: 0,
        reference_id: 1,
        reference_timestamp: 1,
        origin_timestamp: 1,
        receive_timestamp: 1,
        transmit_timestamp: 1,
    };
    let reply = PlainReply { id, source: destination, t4: t1, stamp, header, rejected: Rejected::NONE };
    world.give(Input::Reply(reply));
    assert_eq!((world.distrust, world.status().sources.len()), (None, 0));
    world.give(Input::Reply(reply));
    assert_eq!(world.distrust.map(|(who, _)| who), Some(Process::Client), "once, and no more");
}

#[test]
fn the_end_of_a_look_up_that_comes_late_for_a_removed_entry_is_ignored() {
    for fails in [false, true] {
        let mut world = alone(name(), false);
        let id = world.resolves[0].id;
        remove(&mut world, 0);
        let end = if fails {
            Input::LookupFailed(Failed { id, reason: LookupFailure::NoSuchName })
        } else {
            Input::Resolved(Resolved { id, addresses: Addresses::new([address("192.0.2.1:123")]).unwrap() })
        };
        world.notices.clear();
        world.give(end);
        assert_eq!((world.distrust, world.status().sources.len(), world.queries.len()), (None, 0, 0));
        assert!(world.notices.is_empty(), "{:?}", world.notices);
    }
}

#[test]
fn what_a_key_exchange_brings_for_a_removed_entry_is_ignored() {
    for (cookies, fails) in [(3, false), (8, true)] {
        let mut world = alone(name(), true);
        let id = world.exchanges[0].1.id;
        remove(&mut world, 0);
        let octets = ipc::packet::CookieOctets::from_octets(&[7; 100]).unwrap();
        (0..cookies).for_each(|_| world.give(Input::Cookie(Cookie { id, octets })));
        let reason = ExchangeFailure::Broken;
        world.give(match fails {
            true => Input::ExchangeFailed(ExchangeFailed { id, reason }),
            false => Input::Exchanged(exchanged(id, cookies)),
        });
        assert_eq!((world.distrust, world.status().sources.len()), (None, 0));
        assert!(world.engine.associations().is_empty() && world.queries.is_empty());
    }
}

#[test]
fn look_ups_and_key_exchanges_of_removed_entries_take_their_room_until_they_end() {
    for nts in [false, true] {
        let mut world = alone(name(), nts);
        let first = world.engine.entries().next().unwrap().1.clone();
        for n in 1..12 {
            let mut settings = first.clone();
            settings.place = Place::Name(HostName::parse(&std::format!("n{n}.example")).unwrap(), 123);
            world.alter(|engine, now| engine.add_entry(now, settings)).unwrap();
        }
        let begun = |world: &World| world.resolves.len() + world.exchanges.len();
        assert_eq!(begun(&world), 8);
        (0..8).for_each(|_| remove(&mut world, 0));
        assert_eq!(begun(&world), 8, "the exchange process has eight to do");
        let open: Vec<_> = match nts {
            false => world.resolves.iter().map(|resolve| resolve.id).collect(),
            true => world.exchanges.iter().map(|(_, exchange)| exchange.id).collect(),
        };
        let addresses = Addresses::new([address("192.0.2.1:123")]).unwrap();
        let ends = match nts {
            false => [
                Input::LookupFailed(Failed { id: open[0], reason: LookupFailure::NoSuchName }),
                Input::Resolved(Resolved { id: open[1], addresses }),
            ],
            true => [
                Input::ExchangeFailed(ExchangeFailed { id: open[0], reason: ExchangeFailure::Tls }),
                Input::Exchanged(exchanged(open[1], 1)),
            ],
        };
        for (end, count) in ends.into_iter().zip(9..) {
            world.give(end.clone());
            world.give(end);
            assert_eq!(begun(&world), count, "each makes room for one, once");
        }
    }
}

#[test]
fn entries_that_come_and_go_before_the_welcome_have_no_effect_before_it() {
    let start = crate::io::Start {
        settings: settings(&lan(2)),
        saved: None,
        associations: Vec::new(),
        addresses: Vec::new(),
        seed: [1; 32],
        precision: -24,
    };
    let mut engine = Engine::new(start);
    let now = Setup::of(lan(1)).start().now();
    let first = engine.entries().next().unwrap().0;
    engine.remove_entry(now, first).unwrap();
    engine.add_entry(now, source(address("192.0.2.7:123"))).unwrap();
    assert!(engine.poll_output().is_none() && engine.poll_timeout().is_none());
    let names: Vec<_> = engine.status(now).sources.into_iter().map(|source| source.name).collect();
    assert_eq!(names, ["192.0.2.2:123", "192.0.2.7:123"]);
}
