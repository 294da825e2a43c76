//! What an answer for one name may do to the sources of another.

use super::world::*;
use crate::io::{Command, Input};
use ipc::message::exchange::{Addresses, Failed, HostName, LookupFailure, Resolved};

#[test]
fn a041_an_answer_for_one_name_takes_no_address_away_from_a_trusted_one() {
    for attacker_first in [false, true] {
        let mut servers = lan(4);
        servers[1..].iter_mut().for_each(|server| server.error = 0.4);
        let mut setup = Setup::of(servers);
        let template = source(address("192.0.2.1:123"));
        let name = |text: &str| crate::settings::Place::Name(HostName::parse(text).unwrap(), 123);
        setup.settings.sources = std::vec![
            crate::settings::SourceSettings { place: name("pool.attacker"), members: 4, ..template.clone() },
            crate::settings::SourceSettings { place: name("ntp.trusted"), trust: true, ..template },
        ];
        let mut world = setup.start();
        let answer = |id, count: u8| {
            let addresses = (1..=count).map(|number| address(&std::format!("192.0.2.{number}:123")));
            Input::Resolved(Resolved { id, addresses: Addresses::new(addresses).unwrap() })
        };
        let (four, one) = (answer(world.resolves[0].id, 4), answer(world.resolves[1].id, 1));
        let order = if attacker_first { [four, one] } else { [one, four] };
        order.into_iter().for_each(|input| world.give(input));
        world.run(120.0);
        assert!(world.error().abs() < 0.001, "attacker first: {attacker_first}: {}", world.error());
    }
}

#[test]
fn an_address_that_a_program_has_left_stands_back_for_a_configured_name_and_is_asked_when_that_is_gone() {
    for name_first in [false, true] {
        let mut setup = Setup::of(lan(1));
        let template = source(address("192.0.2.1:123"));
        let place = crate::settings::Place::Name(HostName::parse("ntp.trusted").unwrap(), 123);
        let named = crate::settings::SourceSettings {
            name: "ntp.trusted".into(),
            place,
            trust: true,
            ..template.clone()
        };
        let offered = crate::settings::SourceSettings { offered: true, ..template };
        setup.settings.sources =
            if name_first { std::vec![named] } else { std::vec![offered.clone(), named] };
        let mut world = setup.start();
        let id = world.resolves[0].id;
        let addresses = Addresses::new([address("192.0.2.1:123")]).unwrap();
        world.run(5.0);
        let heard = world.engine.status(world.now()).sources[0].samples;
        world.give(Input::Resolved(Resolved { id, addresses }));
        world.run(1.0);
        let sources = world.engine.status(world.now()).sources;
        let named = sources.iter().find(|source| source.name == "ntp.trusted").unwrap();
        // It comes over with its vote: otherwise those that are left would decide alone meanwhile.
        assert!(named.samples >= heard && (name_first || heard > 2), "{name_first}: {heard}");
        world.run(5.0);
        if name_first {
            let now = world.now();
            world.engine.add_entry(now, offered).unwrap();
        }
        world.run(120.0);
        let asked = |world: &World| -> std::vec::Vec<(std::string::String, bool)> {
            let status = world.engine.status(world.now());
            status.sources.iter().map(|it| (it.name.clone(), it.address.is_some() && it.sent > 0)).collect()
        };
        assert!(asked(&world).contains(&("ntp.trusted".into(), true)), "{name_first}: {:?}", asked(&world));
        assert!(
            !asked(&world).contains(&("192.0.2.1:123".into(), true)),
            "{name_first}: {:?}",
            asked(&world)
        );
        let (id, _) = world.engine.entries().find(|(_, it)| it.trust).unwrap();
        let now = world.now();
        world.engine.remove_entry(now, id).unwrap();
        world.run(60.0);
        assert_eq!(asked(&world), [("192.0.2.1:123".into(), true)], "{name_first}");
    }
}

/// One source with a name whose look-up always fails with this reason, for 12 hours; what the world is then.
fn unresolved(reason: LookupFailure) -> World {
    let mut setup = Setup::of(lan(1));
    setup.settings.sources[0].place =
        crate::settings::Place::Name(HostName::parse("time.example").unwrap(), 123);
    let mut world = setup.start();
    let mut answered = 0;
    for _ in 0..12 * 720 {
        while let Some(resolve) = world.resolves.get(answered) {
            let id = resolve.id;
            answered += 1;
            world.give(Input::LookupFailed(Failed { id, reason }));
        }
        world.run(5.0);
    }
    world
}

#[test]
fn until_the_first_correction_a_name_is_looked_up_every_minute_and_every_15_s_if_no_name_server_was_reached()
{
    let hours = 12;
    for reason in [LookupFailure::TryAgain, LookupFailure::NoResolver, LookupFailure::Deadline] {
        let count = unresolved(reason).resolves.len();
        assert!((hours * 230..=hours * 240 + 10).contains(&count), "{reason:?}: {count}");
    }
    let count = unresolved(LookupFailure::NoSuchName).resolves.len();
    assert!((hours * 58..=hours * 60 + 10).contains(&count), "{count}");
}

#[test]
fn a_burst_a_return_to_the_network_and_other_addresses_of_our_own_hurry_a_look_up_that_failed() {
    let own = |last: u8| Input::OwnAddresses(std::vec![core::net::IpAddr::from([203, 0, 113, last])]);
    let hurries: [&[Input]; 3] = [
        &[Input::Command(Command::Burst(None))],
        &[Input::Command(Command::Offline(None)), Input::Command(Command::Online(None))],
        &[own(9)],
    ];
    for hurry in hurries {
        let mut world = unresolved(LookupFailure::NoSuchName);
        let before = world.resolves.len();
        hurry.iter().for_each(|input| world.give(input.clone()));
        world.run(0.1);
        assert_eq!(world.resolves.len(), before + 1, "{hurry:?}");
    }
}
