//! A source on an interface that is named: its index may change, and the interface may go.

use super::world::*;
use crate::io::Input;
use crate::settings::Place;
use crate::status::SourceReason;
use ipc::message::exchange::{Addresses, ExchangeId, Failed, HostName, LookupFailure, Resolved};
use std::net::SocketAddr;
use std::vec::Vec;

/// Follows `fe80::1%eth0`, whose interface is number 2.
fn followed() -> World {
    let mut setup = Setup::of(lan(1));
    setup.settings.sources[0].place = Place::Name(HostName::parse_scoped("fe80::1%eth0").unwrap(), 123);
    setup.servers[0].address = on_interface(2);
    let mut world = setup.start();
    world.run(1.0);
    answer(&mut world, 0..1);
    world.run(600.0);
    assert_eq!(world.status().sources[0].state().name(), "selected");
    world
}

fn on_interface(number: u32) -> ipc::address::Address {
    std::format!("[fe80::1%{number}]:123").parse::<SocketAddr>().unwrap().into()
}

/// The interfaces changed, and the number is looked up again, if that is not under way.
fn look_up(world: &mut World) -> ExchangeId {
    world.give(Input::OwnAddresses(Vec::new()));
    world.run(120.0);
    world.resolves.last().unwrap().id
}

#[test]
fn a_source_whose_interface_lost_its_name_is_not_asked_by_the_old_number_and_says_why() {
    // Whether it still answers there (the interface was renamed) or not (it was removed).
    for up in [true, false] {
        let mut world = followed();
        let id = look_up(&mut world);
        world.servers[0].up = up;
        let reason = LookupFailure::NoInterface;
        world.give(Input::LookupFailed(Failed { id, reason }));
        let sources = world.status().sources;
        assert_eq!((sources.len(), sources[0].address), (1, None), "{up}");
        assert_eq!(sources[0].reason, SourceReason::Unresolved(Some(reason)), "{up}");
        world.run(600.0);
        assert_eq!(world.status().sources[0].address, None, "{up}: it stays forgotten");
        // The way back: the interface has its name again, with another number.
        world.servers[0].address = on_interface(7);
        world.servers[0].up = true;
        let id = look_up(&mut world);
        let addresses = Addresses::new([world.servers[0].address]).unwrap();
        world.give(Input::Resolved(Resolved { id, addresses }));
        world.run(600.0);
        let sources = world.status().sources;
        assert_eq!(sources[0].address, Some(on_interface(7).socket_address()), "{up}");
        assert_eq!(sources[0].state().name(), "selected", "{up}");
    }
}

#[test]
fn a_look_up_of_an_interface_that_did_not_end_well_says_nothing_of_it() {
    let mut world = followed();
    let id = look_up(&mut world);
    world.give(Input::LookupFailed(Failed { id, reason: LookupFailure::TryAgain }));
    world.run(600.0);
    assert_eq!(world.status().sources[0].state().name(), "selected");
}
