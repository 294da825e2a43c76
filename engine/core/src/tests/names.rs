//! What an answer for one name may do to the sources of another.

use super::world::*;
use crate::io::Input;
use ipc::message::exchange::{HostName, MAX_ADDRESSES, Resolved};

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
        let answer = |count: u8| {
            let mut addresses = [ipc::address::Address::NONE; MAX_ADDRESSES];
            for (number, place) in (1..=count).zip(addresses.iter_mut()) {
                *place = address(&std::format!("192.0.2.{number}:123"));
            }
            addresses
        };
        let (theirs, ours) = (world.resolves[0].id, world.resolves[1].id);
        let four = Input::Resolved(Resolved { id: theirs, count: 4, addresses: answer(4) });
        let one = Input::Resolved(Resolved { id: ours, count: 1, addresses: answer(1) });
        let order = if attacker_first { [four, one] } else { [one, four] };
        order.into_iter().for_each(|input| world.give(input));
        world.run(120.0);
        assert!(world.error().abs() < 0.001, "attacker first: {attacker_first}: {}", world.error());
    }
}
