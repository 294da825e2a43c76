//! Sources that are measured and decide nothing: with the worst of them, every order is the one that is given without it.

use super::world::*;
use crate::io::{Command, Input};
use crate::settings::{Place, SourceSettings};
use crate::status::SourceReason;
use ipc::message::client::{Rejected, ReplyHeader, Silence};
use ipc::message::exchange::{ExchangeFailure, HostName, KeyServer};
use ipc::message::privileged::*;
use ipc::units::{Leap, Offset};
use std::boxed::Box;
use std::cell::Cell;
use std::string::String;
use std::vec::Vec;

/// A kind of start, with its name.
type Named = (&'static str, fn() -> Setup);

/// What is wrong with a source.
type Fault = fn(&mut Server);

fn edits(server: &mut Server, edit: impl Fn(&mut ReplyHeader) + 'static) {
    server.edit = Some(Box::new(edit));
}

fn shift(stamp: &mut u64, seconds: f64) {
    *stamp = stamp.wrapping_add((seconds * 4_294_967_296.0) as i64 as u64);
}

/// Each reply says another time.
fn wavers(server: &mut Server) {
    let count = Cell::new(0_u32);
    edits(server, move |header| {
        count.set(count.get() + 1);
        let by = f64::from(count.get() % 7) * 0.21 - 0.4;
        shift(&mut header.receive_timestamp, by);
        shift(&mut header.transmit_timestamp, by);
    });
}

const FAULTS: [(&str, Fault); 18] = [
    ("honest", |_| {}),
    ("ahead", |server| server.error = 0.3),
    ("behind by minutes", |server| server.error = -900.0),
    ("a year off", |server| server.error = 3.0e7),
    ("drifting", |server| server.drift = 40e-6),
    ("wavering", wavers),
    ("announcing a leap second", |server| edits(server, |header| header.leap = Leap::Insert)),
    ("unsynchronised", |server| {
        edits(server, |header| (header.leap, header.stratum) = (Leap::Unknown, 0));
    }),
    ("denying", |server| {
        edits(server, |header| (header.stratum, header.reference_id) = (0, u32::from_be_bytes(*b"DENY")));
    }),
    ("asking for fewer", |server| {
        edits(server, |header| (header.stratum, header.reference_id) = (0, u32::from_be_bytes(*b"RATE")));
    }),
    ("stratum 15", |server| edits(server, |header| header.stratum = 15)),
    ("far away", |server| {
        edits(server, |header| (header.root_delay, header.root_dispersion) = (0x20_000, 0x8_0000));
    }),
    ("far away, and lying within it", |server| {
        server.error = 5.0;
        edits(server, |header| header.root_dispersion = 0x8_0000);
    }),
    ("silent", |server| server.up = false),
    ("closed", |server| server.obstacle = Some(Silence::PortUnreachable)),
    ("without a way", |server| server.obstacle = Some(Silence::Unreachable)),
    ("on a slow path", |server| (server.fixed, server.forward) = (0.4, 0.1)),
    ("beside forged replies", |server| {
        server.forged = Rejected { origin: 900, malformed: 80, ..Rejected::NONE };
    }),
];

/// A source that decides nothing, at an address of its own.
fn aside(of: Server) -> Server {
    Server { address: address("198.51.100.77:123"), aside: true, ..of }
}

fn noselect(settings: SourceSettings) -> SourceSettings {
    // The other marks are nothing beside it.
    SourceSettings { noselect: true, trust: true, require: true, prefer: true, ..settings }
}

/// Puts it in a place of the configuration.
fn with(mut setup: Setup, server: Server, place: usize) -> Setup {
    let settings = match server.nts {
        Some(_) => nts_source(&server),
        None => source(server.address),
    };
    setup.settings.sources.insert(place, noselect(settings));
    setup.servers.push(server);
    setup
}

/// All that the engine has ordered, told the server and saved, and what it asked of whom among those that decide.
fn decisions(world: &World) -> String {
    let asked = world.queries.iter().filter(|(_, query)| {
        world.servers.iter().any(|server| !server.aside && server.address == query.destination)
    });
    let asked: Vec<_> = asked.map(|(at, query)| (at, query.destination, query.packet)).collect();
    let keys: Vec<_> = world
        .exchanges
        .iter()
        .filter(|(_, exchange)| {
            world.servers.iter().any(|server| {
                !server.aside
                    && server.nts.as_ref().is_some_and(|nts| match (&nts.place, exchange.server) {
                        (Place::Name(name, _), KeyServer::Name(asked)) => *name == asked,
                        _ => false,
                    })
            })
        })
        .map(|(at, exchange)| (at, exchange.now))
        .collect();
    std::format!(
        "{:#?}",
        (
            (&world.steps, &world.adjusts, &world.statuses, &world.served),
            (&world.saved, asked, keys, world.distrust),
            (&world.refused, world.status().system, world.condition(), world.engine.resilience(world.now())),
        )
    )
}

/// The first line in which two texts differ.
fn difference(one: &str, other: &str) -> Option<(usize, String, String)> {
    let at = one.lines().zip(other.lines()).position(|(one, other)| one != other);
    let at = at.or((one != other).then(|| one.lines().count().min(other.lines().count())))?;
    let line = |text: &str| text.lines().nth(at).unwrap_or_default().into();
    Some((at, line(one), line(other)))
}

/// Runs a world without such a source, and one with each of these, at the beginning of the configuration or at its end, and
/// compares. Gives back how many steps and adjustments there were.
fn compare(
    name: &str,
    make: fn() -> Setup,
    liar: fn() -> Server,
    faults: &[(&str, Fault)],
    run: fn(&mut World),
) -> (usize, usize) {
    let mut without = make().start();
    run(&mut without);
    let expected = decisions(&without);
    let last = without.status().sources.len();
    for (n, (fault, set)) in faults.iter().enumerate() {
        let place = if n % 2 == 0 { 0 } else { last };
        let mut server = liar();
        set(&mut server);
        let address = server.address;
        let mut world = with(make(), server, place).start();
        run(&mut world);
        assert_eq!(difference(&expected, &decisions(&world)), None, "{name}; {fault}, in place {place}");
        let status = world.status();
        assert_eq!(status.sources.len(), last + 1);
        let observed = &status.sources[place];
        assert!(observed.marks.noselect && !observed.state().is_used(), "{name}; {fault}: {observed:?}");
        assert_eq!(status.sources.iter().filter(|source| source.marks.noselect).count(), 1);
        let is_asked = world.queries.iter().any(|(_, query)| query.destination == address);
        assert_eq!(is_asked, *fault != "no keys" && *fault != "expired", "{name}; {fault}");
    }
    (without.steps.len(), without.adjusts.len())
}

/// Two hours from a cold start, with what may happen on a day.
fn two_hours(world: &mut World) {
    world.run(2_000.0);
    world.give(Input::Command(Command::Burst(None)));
    world.run(200.0);
    // The host is suspended.
    world.epoch += 1;
    let event = |world: &World, kind| ClockEvent {
        epoch: world.epoch,
        kind,
        moved: Offset::ZERO,
        now: world.reading(),
        marker: None,
    };
    world.give(Input::ClockEvent(event(world, ClockEventKind::Resume)));
    world.run(1_500.0);
    world.servers[0].up = false;
    world.run(1_500.0);
    world.servers[0].up = true;
    world.run(2_000.0);
}

fn plain_liar() -> Server {
    aside(server(0, 90e-6, 10e-6))
}

fn nts_liar() -> Server {
    plain_liar().with_nts("liar.example")
}

#[test]
fn a189_a_liar_that_is_noselect_changes_no_order() {
    let setups: [Named; 8] = [
        ("three", || Setup { error: 3.7, ..Setup::of(lan(3)) }),
        ("one", || Setup { error: 3.7, ..Setup::of(wan(1)) }),
        ("two of three must agree, and one is silent", || {
            let mut setup = Setup::of(lan(3));
            setup.settings.clock.minimum_sources = 2;
            setup.servers[2].up = false;
            setup
        }),
        ("two are wanted of one", || {
            let mut setup = Setup::of(lan(1));
            setup.settings.clock.minimum_sources = 2;
            setup
        }),
        ("they contradict each other", || {
            let mut setup = Setup::of(lan(2));
            setup.servers[1].error = 0.5;
            setup
        }),
        ("none answers, and the host serves its own time", || {
            let mut setup = Setup::of(lan(2));
            setup.servers.iter_mut().for_each(|server| server.up = false);
            setup.settings.server.as_mut().unwrap().local = Some(crate::settings::LocalTime::of(10));
            setup
        }),
        ("strict", || {
            let mut setup = Setup { error: 3.7, ..Setup::of(lan(3)) };
            setup.settings.strict_quorum = true;
            setup.servers[2].up = false;
            setup
        }),
        ("an authenticated one is wanted", || {
            let mut setup = Setup::of(lan(3));
            setup.settings.clock.require_nts = true;
            setup
        }),
    ];
    let followed = setups.map(|(name, make)| compare(name, make, plain_liar, &FAULTS, two_hours).1 > 20);
    assert_eq!(followed, [true, true, true, false, false, false, true, false]);
}

#[test]
fn a189_a_liar_with_nts_that_is_noselect_changes_no_order() {
    let mut faults: Vec<(&str, Fault)> = FAULTS.to_vec();
    faults.extend([
        ("no keys", (|server| server.nts().failure = Some(ExchangeFailure::Deadline)) as Fault),
        ("one cookie at a time", |server| server.nts().cookies = 1),
        ("forgetting its keys", |server| server.nts().forgot = true),
        ("expired", |server| server.nts().valid.1 = BEGIN - 86_400 * SECOND),
    ]);
    let setups: [Named; 3] = [
        ("three with NTS", || Setup { error: 3.7, ..Setup::of(nts_lan(3)) }),
        ("three plain ones", || Setup::of(lan(3))),
        ("two with NTS, from 1970", || Setup { error: -1.8e9, ..Setup::of(nts_lan(2)) }),
    ];
    for (name, make) in setups {
        let (steps, adjusts) = compare(name, make, nts_liar, &faults, two_hours);
        assert!(steps > 0 && adjusts > 20, "{name}: {steps} {adjusts}");
    }
}

#[test]
fn a189_a_day_with_a_lying_noselect_source_has_the_orders_of_the_day_without_it() {
    let make = || Setup { wander: 3e-9, ..Setup::of(wan(3)) };
    let faults: [(&str, Fault); 2] =
        [("wavering", wavers), ("ahead by little", |server| server.error = 0.02)];
    let (_, adjusts) = compare("a day", make, plain_liar, &faults, |world| world.run(86_400.0));
    assert!(adjusts > 300, "{adjusts}");
}

#[test]
fn a_source_that_is_noselect_is_measured_as_any_other() {
    let mut world =
        with(Setup::of(lan(2)), aside(Server { error: 0.3, ..server(0, 90e-6, 10e-6) }), 1).start();
    world.run(3_600.0);
    let status = world.status();
    let SourceReason::Noselect { offset } = status.sources[1].reason else { panic!("{status:#?}") };
    assert!((offset - 0.3).abs() < 1e-3, "{offset}");
    assert_eq!(status.sources[1].state().name(), "noselect");
    let [voter, observed] = [&status.sources[0], &status.sources[1]];
    assert!(observed.valid * 4 > voter.valid && observed.samples > 8, "{} {}", observed.valid, voter.valid);
    assert!(observed.frequency_ppm.is_some() && observed.root_distance_s.is_some());
    assert_eq!(world.engine.measurements(world.now())[1].measurements.len(), 16.min(observed.valid as usize));
    assert!(world.error().abs() < 1e-3);
}

#[test]
fn a_host_with_nothing_but_noselect_sources_measures_and_has_no_sources() {
    let mut setup = Setup { error: 0.2, ..Setup::of(Vec::new()) };
    setup = with(setup, aside(server(0, 90e-6, 10e-6)), 0);
    let mut world = with(setup, aside(server(0, 90e-6, 10e-6)).with_nts("seen.example"), 1).start();
    world.servers[1].address = address("198.51.100.78:123");
    world.run(3_600.0);
    let status = world.status();
    assert_eq!(status.system.state().name(), "no-sources");
    assert!(world.steps.is_empty() && world.adjusts.is_empty() && !status.system.synchronised);
    for source in &status.sources {
        assert_eq!(source.state().name(), "noselect", "{source:?}");
        assert!((source.offset_s.unwrap() + 0.2).abs() < 0.01 + 3_600.0 * 60e-6, "{source:?}");
    }
}

#[test]
fn noselect_is_turned_on_and_off_without_losing_what_was_measured() {
    let mut world = Setup::of(lan(2)).start();
    world.servers[1].error = 0.3;
    world.run(100.0);
    assert_eq!(world.status().system.state().name(), "no-majority");
    let (id, settings) = world.engine.entries().map(|(id, it)| (id, it.clone())).nth(1).unwrap();
    let change = |world: &mut World, noselect| {
        let settings = SourceSettings { noselect, ..settings.clone() };
        world.alter(|engine, now| engine.change_entry(now, id, settings)).unwrap();
    };
    let samples = world.status().sources[1].samples;
    assert!(samples >= 4);
    // The liar is asked no more, and the other is followed at once.
    change(&mut world, true);
    world.run(1.0);
    let status = world.status();
    assert_eq!((status.sources[1].state().name(), status.sources[1].samples), ("noselect", samples));
    world.run(300.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert!(world.error().abs() < 1e-3);
    // It is right again, and has a vote again, with its measurements.
    world.servers[1].error = 0.0;
    world.run(3_000.0);
    let samples = world.status().sources[1].samples;
    assert!(samples > 4);
    change(&mut world, false);
    world.run(2.0);
    let status = world.status();
    assert!(status.sources[1].state().is_used() && status.sources[1].samples >= samples, "{status:#?}");
    assert!(!status.sources[1].marks.noselect);
    // The reference becomes one that decides nothing: the other one is followed.
    let reference = status.sources.iter().position(|it| it.state().name() == "selected").unwrap();
    let (id, settings) = world.engine.entries().map(|(id, it)| (id, it.clone())).nth(reference).unwrap();
    let settings = SourceSettings { noselect: true, ..settings };
    world.alter(|engine, now| engine.change_entry(now, id, settings)).unwrap();
    world.run(1.0);
    let status = world.status();
    assert_eq!(status.sources[1 - reference].state().name(), "selected", "{status:#?}");
    assert_eq!(status.sources[reference].state().name(), "noselect");
}

#[test]
fn a_noselect_source_takes_no_address_and_no_place_from_one_that_decides() {
    // The same server twice: the one that decides is asked, wherever it stands.
    for first in [true, false] {
        let mut setup = Setup::of(lan(1));
        let observed = noselect(setup.settings.sources[0].clone());
        setup.settings.sources.insert(if first { 0 } else { 1 }, observed);
        let mut world = setup.start();
        world.run(100.0);
        let status = world.status();
        assert_eq!(status.system.state().name(), "synchronised");
        let observed = &status.sources[if first { 0 } else { 1 }];
        assert_eq!((observed.reason, observed.marks.noselect), (SourceReason::SameAddress, true));
        // It is asked where the other one has gone.
        let id = world.engine.entries().find(|(_, settings)| !settings.noselect).unwrap().0;
        world.alter(|engine, now| engine.remove_entry(now, id)).unwrap();
        world.run(100.0);
        let status = world.status();
        assert_eq!(status.sources[0].state().name(), "noselect");
        assert_eq!(status.system.state().name(), "no-sources");
    }
}

#[test]
fn a_noselect_name_keeps_no_address_from_one_that_decides() {
    let mut setup = Setup::of(lan(2));
    let named = |name: &str| SourceSettings {
        name: name.into(),
        place: Place::Name(HostName::parse(name).unwrap(), 123),
        members: 2,
        ..setup.settings.sources[0].clone()
    };
    setup.settings.sources = std::vec![noselect(named("seen.test")), named("time.test")];
    let mut world = setup.start();
    world.run(0.5);
    assert_eq!(world.resolves.len(), 2);
    // The one that decides nothing comes last, and is answered first.
    assert_eq!(world.resolves[1].name.as_str(), "seen.test");
    answer(&mut world, 0..2);
    world.resolves.pop();
    world.run(100.0);
    assert_eq!(world.status().sources.iter().filter(|source| source.state().name() == "noselect").count(), 2);
    answer(&mut world, 0..2);
    world.run(100.0);
    let used =
        |world: &World| world.status().sources.iter().filter(|source| source.state().is_used()).count();
    assert_eq!((used(&world), world.status().system.state().name()), (2, "synchronised"));
    // The other way round, it finds none that is free.
    let id = world.engine.entries().find(|(_, settings)| settings.noselect).unwrap();
    let (id, settings) = (id.0, id.1.clone());
    world.alter(|engine, now| engine.remove_entry(now, id)).unwrap();
    world.alter(|engine, now| engine.add_entry(now, settings)).unwrap();
    world.run(1.0);
    answer(&mut world, 0..2);
    world.run(0.1);
    let status = world.status();
    assert_eq!((used(&world), status.sources.last().unwrap().reason), (2, SourceReason::AddressesTaken));
}

#[test]
fn look_ups_that_decide_nothing_are_made_one_at_a_time() {
    let mut setup = Setup::of(lan(1));
    let named = |name: String, noselect| SourceSettings {
        place: Place::Name(HostName::parse(&name).unwrap(), 123),
        name,
        noselect,
        ..setup.settings.sources[0].clone()
    };
    setup.settings.sources = (0..7)
        .map(|n| named(std::format!("seen{n}.test"), true))
        .chain((0..7).map(|n| named(std::format!("time{n}.test"), false)))
        .collect();
    let mut world = setup.start();
    world.run(0.5);
    let asked: Vec<_> = world.resolves.iter().map(|it| it.name.as_str().starts_with("seen")).collect();
    assert_eq!(asked, [false, false, false, false, false, false, false, true]);
    // The end of one makes room for the next one of its kind.
    answer(&mut world, 0..1);
    assert_eq!(world.resolves.len(), 9);
}
