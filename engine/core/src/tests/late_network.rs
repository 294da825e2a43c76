//! A network that is there only some time after the start, or that goes and returns.

use super::world::*;
use crate::io::Input;
use crate::settings::{Place, ServerSettings};
use ipc::message::client::Silence;
use ipc::message::exchange::{Addresses, Failed, HostName, LookupFailure, Resolved};
use ipc::message::privileged::ClockKind;
use protocol::kiss::KissCode;

/// Servers that do not answer at first.
fn down(count: usize) -> std::vec::Vec<Server> {
    lan(count).into_iter().map(|server| Server { up: false, ..server }).collect()
}

const AGES: [f64; 5] = [15.0, 36.0, 300.0, 3600.0, 86_400.0];

/// Seconds from now until the clock is followed for the first time, at most `most`.
fn until_followed(world: &mut World, most: f64) -> f64 {
    let begin = world.age();
    while world.status().system.first_update_s.is_none() && world.age() - begin < most {
        world.run(0.5);
    }
    world.age() - begin
}

#[test]
fn a_network_that_has_no_route_at_first_is_used_within_ten_seconds_however_late_it_comes() {
    for age in AGES {
        let mut world =
            Setup { error: 3.7, obstacle: Some(Silence::Unreachable), ..Setup::of(lan(3)) }.start();
        world.run(age);
        world.obstacle = None;
        let took = until_followed(&mut world, 1024.0);
        assert!(took <= 10.0, "{age}: {took}");
        world.run(2.0);
        assert!(world.error().abs() < 1e-3, "{age}: {}", world.error());
    }
}

#[test]
fn a_network_that_drops_everything_at_first_is_used_within_a_minute_however_late_it_comes() {
    for age in AGES {
        let mut world = Setup { error: 3.7, ..Setup::of(down(3)) }.start();
        world.run(age);
        world.servers.iter_mut().for_each(|server| server.up = true);
        let took = until_followed(&mut world, 1024.0);
        assert!(took <= 36.0, "{age}: {took}");
        world.run(2.0);
        assert!(world.error().abs() < 1e-3, "{age}: {}", world.error());
        let all = world.status().sources.iter().filter(|source| source.reach != 0).count();
        assert_eq!(all, 3, "the first answer hastens the other sources");
    }
}

#[test]
fn a_host_without_a_clock_of_its_own_to_steer_is_as_quick() {
    let mut setup = Setup { kind: ClockKind::None, error: 0.0, frequency: 0.0, ..Setup::of(down(2)) };
    setup.settings.server =
        Some(ServerSettings { local: None, listen: std::vec![], nts: false, version5: false });
    let mut world = setup.start();
    world.run(3600.0);
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.run(36.0);
    assert_eq!(world.served.last().unwrap().stratum, 2);
}

#[test]
fn a_name_that_resolves_only_an_hour_later_is_used_within_a_minute() {
    for (reason, longest) in [(LookupFailure::TryAgain, 17.0), (LookupFailure::NoSuchName, 62.0)] {
        let mut setup = Setup { error: 3.7, ..Setup::of(lan(1)) };
        setup.settings.sources[0].place = Place::Name(HostName::parse("time.example").unwrap(), 123);
        let mut world = setup.start();
        let (mut ended, mut back) = (0, f64::INFINITY);
        while world.status().system.first_update_s.is_none() && world.age() < 5000.0 {
            while let Some(resolve) = world.resolves.get(ended) {
                let id = resolve.id;
                ended += 1;
                if world.age() < 3600.0 {
                    world.give(Input::LookupFailed(Failed { id, reason }));
                } else {
                    let addresses = Addresses::new([world.servers[0].address]).unwrap();
                    world.give(Input::Resolved(Resolved { id, addresses }));
                }
            }
            if world.age() >= 3600.0 {
                back = back.min(world.age());
            }
            world.run(0.5);
        }
        assert!(world.age() - back <= longest, "{reason:?}: {}", world.age() - back);
    }
}

#[test]
fn the_first_answer_ends_the_wait_for_names_that_failed() {
    let mut setup = Setup::of(down(2));
    setup.settings.sources[1].place = Place::Name(HostName::parse("time.example").unwrap(), 123);
    let mut world = setup.start();
    let mut failed = 0;
    for _ in 0..120 {
        while let Some(resolve) = world.resolves.get(failed) {
            let (id, reason) = (resolve.id, LookupFailure::NoSuchName);
            failed += 1;
            world.give(Input::LookupFailed(Failed { id, reason }));
        }
        world.run(5.0);
    }
    world.servers[0].up = true;
    until_followed(&mut world, 60.0);
    assert_eq!(world.engine.open_look_ups(), 1);
}

#[test]
fn a_dead_server_gets_two_packets_a_minute_before_the_first_synchronisation_and_the_usual_few_after_it() {
    let mut world = Setup::of(down(4)).start();
    world.run(3600.0);
    let sent = world.status().sources[3].sent;
    world.run(36_000.0);
    let sent = world.status().sources[3].sent - sent;
    assert!((1100..=1150).contains(&sent), "{sent}: one in 32 s is 1125");
    world.servers[..3].iter_mut().for_each(|server| server.up = true);
    world.run(4.0 * 3600.0);
    let sent = world.status().sources[3].sent;
    world.run(36_000.0);
    let sent = world.status().sources[3].sent - sent;
    assert!((34..=37).contains(&sent), "{sent}: one in 1024 s is 35");
}

#[test]
fn where_bursts_are_not_wanted_the_shortest_interval_is_kept() {
    let mut setup = Setup { obstacle: Some(Silence::Unreachable), ..Setup::of(lan(1)) };
    (setup.settings.sources[0].burst, setup.settings.sources[0].min_poll) = (false, 7);
    let mut world = setup.start();
    world.run(3600.0);
    let sent = world.status().sources[0].sent;
    world.run(36_000.0);
    let sent = world.status().sources[0].sent - sent;
    assert!((276..=287).contains(&sent), "{sent}: one in 128 s is 281");
}

#[test]
fn a_server_that_refused_is_not_asked_more_often_because_nothing_else_answers() {
    let mut servers = lan(1);
    servers[0].edit = Some(std::boxed::Box::new(|header| {
        (header.stratum, header.reference_id) = (0, u32::from_be_bytes(*b"DENY"));
    }));
    let mut world = Setup::of(servers).start();
    world.run(1100.0);
    assert_eq!(KissCode::from_reference_id(u32::from_be_bytes(*b"DENY")), KissCode::Deny);
    let sent = world.status().sources[0].sent;
    world.servers[0].up = false;
    world.run(36_000.0);
    let sent = world.status().sources[0].sent - sent;
    assert!((34..=37).contains(&sent), "{sent}: one in 1024 s is 35");
}

#[test]
fn after_all_sources_were_lost_they_are_asked_no_more_rarely_than_before() {
    for (obstacle, longest) in [(None, 270.0), (Some(Silence::Unreachable), 70.0)] {
        let mut world = Setup::of(lan(3)).start();
        world.run(4.0 * 3600.0);
        // One dies first, and is asked ever more rarely.
        world.servers[0].up = false;
        world.run(6.0 * 3600.0);
        world.obstacle = obstacle;
        world.servers.iter_mut().for_each(|server| server.up = false);
        world.run(12.0 * 3600.0);
        world.obstacle = None;
        world.servers.iter_mut().for_each(|server| server.up = true);
        let begin = world.age();
        while world.status().system.state().name() != "synchronised" && world.age() - begin < 2000.0 {
            world.run(1.0);
        }
        assert!(world.age() - begin <= longest, "{obstacle:?}: {}", world.age() - begin);
        world.run(2.0);
        assert!(world.status().sources.iter().all(|source| source.reach != 0));
    }
}

#[test]
fn an_address_of_the_host_that_appears_hastens_what_waits_and_a_hundred_of_them_do_not_flood_a_server() {
    let mut world = Setup::of(down(1)).start();
    world.run(3600.0);
    world.servers[0].up = true;
    world.give(Input::OwnAddresses(std::vec!["203.0.113.9".parse().unwrap()]));
    assert!(until_followed(&mut world, 60.0) <= 2.0);
    // Without an answer, each such sign may cost one query in eight seconds.
    let mut world = Setup::of(down(1)).start();
    world.run(3600.0);
    let sent = world.status().sources[0].sent;
    for last in 0..100u8 {
        world.give(Input::OwnAddresses(std::vec![core::net::IpAddr::from([203, 0, 113, last])]));
        world.run(1.0);
    }
    let sent = world.status().sources[0].sent - sent;
    assert!(sent <= 100 / 8 + 5, "{sent}");
}

#[test]
fn a_start_with_a_network_that_is_there_sends_what_it_sent_before() {
    let mut world = Setup::of(wan(3)).start();
    world.run(60.0);
    // Four in a burst, then after 2, 4, 8 and 16 s.
    assert_eq!(world.queries.len(), 3 * 8);
    assert!(world.status().system.first_update_s.is_some_and(|first| first < 1.5));
}
