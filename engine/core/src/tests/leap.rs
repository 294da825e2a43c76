//! Whose word of a leap second counts.

use super::world::*;
use ipc::units::Leap;
use std::boxed::Box;
use std::vec::Vec;

fn synchronised(servers: Vec<Server>) -> World {
    let mut world = Setup::of(servers).start();
    world.run(1200.0);
    world
}

#[test]
fn a033_a_leap_bit_counts_by_majority_and_only_on_the_last_day() {
    // The world begins in January: whatever they say, nothing is armed.
    let mut world = synchronised(lan(4));
    for server in &mut world.servers {
        server.edit = Some(Box::new(|header| header.leap = Leap::Insert));
    }
    world.run(1200.0);
    assert!(world.statuses.iter().all(|status| status.leap == Leap::None));
    // On 30 June a majority arms it.
    let noon = 1_814_356_800 * SECOND - BEGIN;
    for (liars, expected) in [(2, Leap::None), (3, Leap::Insert)] {
        let mut setup = Setup::of(lan(4));
        setup.error = noon as f64 * 1e-9;
        for (n, server) in setup.servers.iter_mut().enumerate() {
            server.error = noon as f64 * 1e-9;
            if n < liars {
                server.edit = Some(Box::new(|header| header.leap = Leap::Insert));
            }
        }
        let mut world = setup.start();
        world.run(600.0);
        assert_eq!(world.statuses.last().unwrap().leap, expected, "{liars}");
        assert_eq!(world.served.last().unwrap().leap, expected, "{liars}");
    }
}

/// A world at noon of 30 June, in which servers with `true` announce a leap second.
fn on_leap_day(mut servers: Vec<Server>, announce: &[bool]) -> World {
    let noon = (1_814_356_800 * SECOND - BEGIN) as f64 * 1e-9;
    for (server, announces) in servers.iter_mut().zip(announce) {
        server.error += noon;
        if server.nts.is_some() {
            let (from, until) = server.nts().valid;
            server.nts().valid = (from, until + (noon * 1e9) as i64);
        }
        if *announces {
            server.edit = Some(Box::new(|header| header.leap = Leap::Insert));
        }
    }
    let mut world = Setup { error: noon, ..Setup::of(servers) }.start();
    world.run(1200.0);
    world
}

#[test]
fn a033_a_leap_second_is_announced_by_those_that_vote_and_agree_and_by_nobody_else() {
    let armed = |world: &World| {
        let (told, served) = (world.statuses.last().unwrap().leap, world.served.last().unwrap().leap);
        assert_eq!(told, served);
        told
    };
    let mixed = || {
        let mut servers = nts_lan(2);
        servers.extend(lan(5).into_iter().skip(2));
        servers
    };
    // Plain ones arm none beside authenticated ones, and prevent none.
    assert_eq!(armed(&on_leap_day(mixed(), &[false, false, true, true, true])), Leap::None);
    assert_eq!(armed(&on_leap_day(mixed(), &[true, true, false, false, false])), Leap::Insert);
    // Nor do falsetickers: three honest ones beside two with a false time, of which one honest one announces too.
    let mut servers = lan(5);
    servers[3].error = 50.0;
    servers[4].error = -50.0;
    assert_eq!(armed(&on_leap_day(servers, &[true, false, false, true, true])), Leap::None);
    let mut servers = lan(5);
    servers[3].error = 50.0;
    servers[4].error = -50.0;
    assert_eq!(armed(&on_leap_day(servers, &[true, true, false, false, false])), Leap::Insert);
}
