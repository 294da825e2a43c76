//! What is kept of NTS sources over a restart, and what is wiped.

use super::nts::{nts, parts, started};
use super::world::*;
use crate::settings::Place;
use ipc::aead::{Aead, AeadOffer};
use ipc::message::exchange::{ExchangeFailure, HostName};
use ipc::packet::CookieOctets;
use std::format;

#[test]
fn a072_what_was_kept_needs_no_exchange_and_what_does_not_fit_is_ignored() {
    let world = started(nts_lan(2));
    let kept = world.kept.clone();
    assert_eq!(kept.len(), 2);
    let again = |kept| {
        let mut setup = Setup::of(nts_lan(2));
        setup.kept = kept;
        let mut world = setup.start();
        world.run(60.0);
        assert_eq!(world.status().system.state().name(), "synchronised");
        world
    };
    let warm = again(kept.clone());
    assert_eq!(warm.exchanges.len(), 0);
    assert!(nts(&warm, 0).restored && nts(&warm, 0).state.name() == "ready");
    let foreign: [fn(&mut crate::io::SavedAssociation); 7] = [
        |saved| saved.server = Place::Name(HostName::parse("nts9.example").unwrap(), 4460),
        |saved| saved.server = Place::Name(HostName::parse("nts0.example").unwrap(), 4461),
        |saved| saved.roots = 1,
        |saved| saved.cookies.clear(),
        |saved| saved.cookies = std::vec![saved.cookies[0]; 9],
        |saved| saved.address = address("224.0.1.1:123"),
        |saved| saved.address = address("192.0.2.1:0"),
    ];
    for edit in foreign {
        let mut kept = kept.clone();
        edit(&mut kept[0]);
        let world = again(kept);
        assert_eq!(world.exchanges.len(), 1, "only for that one");
    }
    // Keys of another host are not told from ours before the server is asked.
    let mut stolen = kept.clone();
    let other = stolen[1].keys.clone();
    stolen[0].keys = other;
    let world = again(stolen);
    assert_eq!((world.exchanges.len(), nts(&world, 0).restored), (1, false));
}

#[test]
fn a072_keys_of_an_algorithm_that_is_not_offered_are_not_taken_up() {
    let world = started(nts_lan(1));
    let mut setup = Setup::of(nts_lan(1));
    setup.kept = world.kept.clone();
    setup.settings.sources[0].nts.as_mut().unwrap().offer = AeadOffer::only(Aead::AesSivCmac256);
    let mut world = setup.start();
    world.run(10.0);
    assert_eq!((world.exchanges.len(), nts(&world, 0).aead), (1, Some(15)));
    assert_eq!(world.kept[0].algorithm, Aead::AesSivCmac256);
}

#[test]
fn a_cookie_is_gone_from_the_file_before_its_query_leaves() {
    let mut world = Setup::of(nts_lan(2)).start();
    let (mut checked, mut moments, mut sent) = (0, 0, 0);
    let mut last = None;
    while world.age() < 900.0 {
        world.run(0.05);
        for (at, query) in &world.queries[sent..] {
            // Queries that leave together have one write before them.
            moments += u32::from(last.replace(*at) != Some(*at));
            let (cookie, ..) = parts(query.packet.octets());
            let cookie = CookieOctets::from_octets(&cookie).unwrap();
            assert!(world.kept.iter().all(|saved| !saved.cookies.contains(&cookie)));
            checked += 1;
        }
        sent = world.queries.len();
    }
    assert!(checked > 20 && world.writes >= moments);
}

#[test]
fn old_keys_and_cookies_are_gone_once_there_are_new_ones() {
    let mut world = started(nts_lan(1));
    let old = world.kept[0].clone();
    world.servers[0].nts().starves = true;
    while world.exchanges.len() < 2 {
        world.run(10.0);
    }
    world.run(1.0);
    let new = &world.kept[0];
    assert_ne!(old.keys, new.keys);
    assert!(new.cookies.iter().all(|cookie| !old.cookies.contains(cookie)));
}

#[test]
fn new_cookies_are_kept_whatever_address_the_queries_before_them_were_sent_from() {
    let mut world = Setup::of(nts_lan(1)).start();
    world.local = address("192.0.2.77:123");
    world.run(900.0);
    world.servers[0].nts().starves = true;
    while world.exchanges.len() < 2 {
        world.run(0.05);
    }
    let asked = world.queries.len();
    world.local = address("192.0.2.78:123");
    while nts(&world, 0).exchanges < 2 || world.queries.len() == asked {
        world.run(0.05);
    }
    assert_eq!(nts(&world, 0).cookies, 7, "one is on its way");
}

#[test]
fn the_file_is_never_without_cookies_where_the_association_has_some() {
    let mut world = Setup::of(nts_lan(1)).start();
    world.local = address("192.0.2.77:123");
    world.run(900.0);
    world.servers[0].nts().failure = Some(ExchangeFailure::Refused);
    world.local = address("192.0.2.78:123");
    let mut emptied = 0;
    while world.age() < 1800.0 {
        world.run(0.01);
        emptied += u32::from(nts(&world, 0).cookies == 0);
        assert_eq!(nts(&world, 0).cookies == 0, world.kept[0].cookies.is_empty());
    }
    assert!(emptied > 0 && nts(&world, 0).cookies > 0);
}

#[test]
fn keys_are_never_printed() {
    let mut servers = nts_lan(1);
    servers[0].nts().algorithm = Aead::AesSivCmac256;
    let world = started(servers);
    let key = world.kept[0].keys.server_to_client.octets();
    let listed = format!("{}, {}, {}, {}", key[0], key[1], key[2], key[3]);
    let hex: std::string::String = key[..4].iter().map(|octet| format!("{octet:02x}")).collect();
    let text = format!("{:?} {:?} {:?}", *world.engine, world.kept, world.status());
    assert!(text.contains("Session") && !text.contains(&listed) && !text.contains(&hex));
}

#[test]
fn keys_that_were_made_in_the_future_of_a_wrong_clock_are_renewed_no_later_than_others() {
    let mut setup = Setup::of(nts_lan(2));
    setup.kept = started(nts_lan(2)).kept;
    for saved in &mut setup.kept {
        saved.made = ipc::units::WallTime::saturating(saved.made.nanos() + 20 * 365 * 86_400 * SECOND);
    }
    let mut world = setup.start();
    world.run(60.0);
    assert!(world.exchanges.is_empty() && nts(&world, 0).restored);
    let next = nts(&world, 0).next_exchange_s.unwrap();
    assert!(next <= 28.0 * 86_400.0, "{next}");
}

const DAY: i64 = 86_400;

/// The certificates of the servers end after so many seconds, and those who renew theirs have another one an hour before.
fn ending(after: i64, renews: bool) -> World {
    let mut servers = nts_lan(2);
    servers.iter_mut().for_each(|server| server.nts().valid.1 = BEGIN + after * SECOND);
    let mut world = started(servers);
    world.run((after - 3600) as f64 - world.age());
    if renews {
        world.servers.iter_mut().for_each(|server| server.nts().valid.1 = BEGIN + 60 * DAY * SECOND);
    }
    world
}

#[test]
fn a181_keys_are_exchanged_anew_within_an_hour_after_their_certificate_has_ended_and_once() {
    let mut world = ending(DAY, true);
    world.run(DAY as f64 - 1.0 - world.age());
    assert_eq!(world.exchanges.len(), 2, "not before the end: {:?}", world.exchanges);
    world.run(3700.0);
    assert_eq!(world.exchanges.len(), 4, "{:?}", world.exchanges);
    assert!(world.exchanges.iter().all(|(_, exchange)| exchange.not_before.is_none()), "strictly");
    world.run(2.0 * DAY as f64);
    assert_eq!(world.exchanges.len(), 4, "the new certificate is good for long");
    assert!(world.kept.iter().all(|saved| saved.valid_until.nanos() == BEGIN + 60 * DAY * SECOND));
}

#[test]
fn a181_a_server_that_renews_no_certificate_is_told_of_and_asked_with_the_back_off_until_it_does() {
    let mut world = ending(DAY, false);
    world.run(3.0 * DAY as f64);
    let failed = world.exchanges.len() - 2;
    assert!((8..=60).contains(&failed), "{failed}");
    assert_eq!(super::nts::failures(&world, ExchangeFailure::Expired), 2, "each source once");
    assert_eq!(world.status().system.state().name(), "synchronised", "the keys still authenticate");
    world.servers.iter_mut().for_each(|server| server.nts().valid.1 = BEGIN + 60 * DAY * SECOND);
    world.run(5.0 * DAY as f64);
    assert!(world.exchanges.len() > 2 + failed);
    assert_eq!(nts(&world, 0).last_exchange, Some(Ok(())));
}

#[test]
fn a181_kept_keys_whose_certificate_ended_are_exchanged_anew_once_the_clock_is_right() {
    for days in [0, -20, 20] {
        let error = (days * DAY) as f64 + 0.1;
        let mut setup = Setup { error, ..Setup::of(nts_lan(2)) };
        setup.kept = started(nts_lan(2)).kept;
        let days_from_now = |days: i64| ipc::units::WallTime::saturating(BEGIN + days * DAY * SECOND);
        setup.kept[0].valid_until = days_from_now(-1);
        setup.kept[1].valid_until = days_from_now(10);
        let mut world = setup.start();
        world.run(0.5);
        assert!(world.exchanges.is_empty(), "{error}: by a clock that is not known to be right");
        world.run(1800.0);
        assert_eq!(world.status().system.state().name(), "synchronised", "{error}");
        // The other's are in order, by the right clock; a clock 20 days ahead found them ended.
        assert_eq!(world.exchanges.len(), 1, "{error}: {:?}", world.exchanges);
        assert!(!nts(&world, 0).restored && nts(&world, 1).restored, "{error}");
    }
}
