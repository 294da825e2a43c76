//! A client process that says which addresses are this host's, and may lie.

use super::world::*;
use crate::io::Input;
use crate::settings::ServerSettings;
use crate::status::SourceReason;
use std::vec::Vec;

/// `nts` sources with NTS, and `plain` ones, on a host that serves at each of its addresses, with NTS or without.
fn host(nts: usize, plain: usize, serves_nts: bool, strict: bool) -> Setup {
    let mut servers = lan(nts + plain);
    let with_nts = nts_lan(nts);
    servers.splice(..nts, with_nts);
    let mut setup = Setup::of(servers);
    setup.settings.strict_quorum = strict;
    let listen = std::vec![address("0.0.0.0:123"), address("[::]:123")];
    setup.settings.server = Some(ServerSettings { local: None, listen, nts: serves_nts, version5: false });
    setup
}

/// The client claims the addresses of these servers, in both ways that it has.
fn claim(world: &mut World, servers: core::ops::Range<usize>) {
    let all: Vec<_> = world.servers[servers.clone()].iter().map(|server| server.address.ip()).collect();
    world.give(Input::OwnAddresses(all));
    world.local = world.servers[servers.start].address;
}

fn is_synchronised(world: &World) -> bool {
    world.status().system.state().name() == "synchronised"
}

/// Each way to run: whether this host serves NTS, whether the profile is strict, and whether the client lies from the start on.
fn ways() -> impl Iterator<Item = (bool, bool, bool)> {
    (0..8).map(|n| (n & 1 != 0, n & 2 != 0, n & 4 != 0))
}

/// The honest sources are followed, or where the claim is plausible, nobody is.
fn assert_undeceived(world: &World, way: (bool, bool, bool)) {
    let (serves_nts, _, early) = way;
    let reason = world.status().sources[0].reason;
    assert_eq!(reason == SourceReason::Oneself, serves_nts, "{way:?}: {reason:?}");
    if serves_nts && early {
        assert!(world.steps.is_empty() && world.adjusts.is_empty(), "{way:?}: {}", world.error());
    } else {
        assert!(world.error().abs() < 0.02, "{way:?}: {}", world.error());
    }
    assert!(serves_nts || is_synchronised(world), "{way:?}");
}

#[test]
fn a036_a_client_that_claims_the_addresses_of_all_sources_with_nts_does_not_let_plain_ones_decide() {
    for way @ (serves_nts, strict, early) in ways() {
        let mut setup = host(3, 3, serves_nts, strict);
        setup.servers[3..].iter_mut().for_each(|server| server.error = 0.4);
        let mut world = setup.start();
        if !early {
            world.run(300.0);
            assert!(is_synchronised(&world), "{way:?}");
        }
        claim(&mut world, 0..3);
        world.run(3.0 * 3600.0);
        assert_undeceived(&world, way);
    }
}

#[test]
fn a036_a_client_that_claims_the_addresses_of_two_of_three_sources_with_nts_does_not_let_the_third_decide() {
    for way @ (serves_nts, strict, early) in ways() {
        let mut world = host(3, 0, serves_nts, strict).start();
        if !early {
            world.run(300.0);
            assert!(is_synchronised(&world), "{way:?}");
        }
        world.servers[2].error = 0.4;
        claim(&mut world, 0..2);
        world.run(3.0 * 3600.0);
        assert_undeceived(&world, way);
    }
}

#[test]
fn a036_a_host_that_is_one_of_its_own_sources_with_nts_follows_the_others() {
    for (all, strict) in [(2, false), (3, false), (2, true), (3, true)] {
        let mut setup = host(all, 0, true, strict);
        setup.servers[0].error = 0.4;
        let mut world = setup.start();
        claim(&mut world, 0..1);
        world.run(600.0);
        assert_eq!(world.status().sources[0].reason, SourceReason::Oneself, "{all}");
        assert!(is_synchronised(&world) && world.error().abs() < 1e-3, "{all}: {}", world.error());
    }
}
