//! NTS sources in the closed loop: keys and cookies, and when they are exchanged anew.

use super::world::*;
use crate::io::{Command, Input};
use crate::notice::{EntryNotice, Impasse, KeyExchangeFailure, NoSelection, Notice};
use crate::settings::Place;
use crate::status::{AssociationStatus, SourceReason, SystemReason};
use ipc::aead::{Aead, AeadOffer};
use ipc::message::exchange::*;
use ipc::message::exchange::{Addresses, AssociationKeys, Validity};
use ipc::packet::CookieOctets;
use ipc::units::RawInstant;
use protocol::kiss::KissCode;
use std::collections::BTreeSet;
use std::vec::Vec;

const DAY: f64 = 86_400.0;

pub(super) fn started(servers: Vec<Server>) -> World {
    let mut world = Setup::of(servers).start();
    world.run(1800.0);
    assert_eq!(world.status().system.state().name(), "synchronised", "{:?}", world.status().system.reason);
    world
}

pub(super) fn nts(world: &World, source: usize) -> AssociationStatus {
    world.status().sources[source].nts.clone().unwrap()
}

/// That a key exchange failed for this reason.
fn failed(reason: ExchangeFailure) -> Option<Result<(), KeyExchangeFailure>> {
    Some(Err(KeyExchangeFailure::Failed(reason)))
}

/// How often the log has that a key exchange failed for this reason.
pub(super) fn failures(world: &World, reason: ExchangeFailure) -> usize {
    let expected = KeyExchangeFailure::Failed(reason);
    let is_it = |notice: &&Notice| matches!(notice, Notice::Entry(_, EntryNotice::NoKeys { failure, .. }) if *failure == expected);
    world.notices.iter().filter(is_it).count()
}

/// The cookie, the unique identifier and the nonce of a request.
pub(super) fn parts(packet: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let length = usize::from(u16::from_be_bytes([packet[86], packet[87]]));
    (packet[88..84 + length].to_vec(), packet[52..84].to_vec(), packet[40..48].to_vec())
}

#[test]
fn an_nts_source_is_exchanged_polled_and_followed() {
    let world = started(nts_lan(3));
    assert!(world.error().abs() < 50e-6, "{}", world.error());
    assert_eq!(world.exchanges.len(), 3);
    for source in &world.status().sources {
        let nts = source.nts.as_ref().unwrap();
        assert!(
            source.authenticated && matches!(source.state().name(), "selected" | "combined"),
            "{source:?}"
        );
        assert_eq!((nts.state.name(), nts.cookies, nts.aead, nts.exchanges), ("ready", 8, Some(30), 1));
        assert_eq!(nts.last_exchange, Some(Ok(())));
    }
    assert!(world.queries.iter().all(|(_, query)| query.protected));
}

#[test]
fn a024_three_plain_liars_do_not_outvote_one_nts_source() {
    let mut servers = lan(4);
    servers[..3].iter_mut().for_each(|server| server.error = 1.0);
    let last = servers.pop().unwrap().with_nts("nts.example");
    servers.push(last);
    let mut world = started(servers);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert_eq!(world.status().sources[0].state().name(), "outvoted");
    world.servers[3].up = false;
    world.run(4.0 * 3600.0);
    assert_eq!(world.status().system.state().name(), "holdover");
    assert!(world.error().abs() < 0.01);
}

#[test]
fn with_require_nts_the_clock_is_not_moved_by_plain_sources() {
    let mut servers = nts_lan(1);
    servers.extend((1..4).map(|n| server(n, 90e-6, 10e-6)));
    let mut setup = Setup::of(servers);
    setup.settings.clock.require_nts = true;
    let mut world = setup.start();
    world.run(1800.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    world.servers[0].up = false;
    // Until it counts as unreachable.
    world.run(3600.0);
    let adjusts = world.adjusts.len();
    world.run(2.0 * 3600.0);
    let report = world.status();
    assert_eq!(report.system.state().name(), "holdover");
    assert!(
        matches!(
            report.system.reason,
            SystemReason::Holdover(NoSelection { impasse: Impasse::Unauthenticated, .. })
        ),
        "{:?}",
        report.system.reason
    );
    assert_eq!(world.adjusts.len(), adjusts);
}

#[test]
fn a068_no_two_requests_share_a_cookie_an_identifier_or_a_nonce_and_all_headers_are_alike() {
    let mut world = started(nts_lan(2));
    world.run(20.0 * 3600.0);
    let mut seen: [BTreeSet<Vec<u8>>; 3] = Default::default();
    for (_, query) in &world.queries {
        let octets = query.packet.octets();
        assert!(octets.len() <= 1232);
        let mut header = [0u8; 40];
        (header[0], header[3]) = (0x23, 0x20);
        assert_eq!(octets[..40], header, "a minimal header");
        let (cookie, identifier, nonce) = parts(octets);
        assert!(seen[0].insert(cookie) && seen[1].insert(identifier) && seen[2].insert(nonce));
    }
    assert!(world.queries.len() > 300 && world.exchanges.len() == 2);
}

#[test]
fn a068_cookies_of_another_address_are_not_used_under_a_new_one() {
    let mut world = Setup::of(nts_lan(1)).start();
    world.local = address("198.51.100.7:40000");
    world.run(1800.0);
    let old: Vec<Vec<u8>> = world.kept[0].cookies.iter().map(|cookie| cookie.octets().to_vec()).collect();
    assert!(old.len() >= 7);
    let (before, exchanges) = (world.queries.len(), world.exchanges.len());
    world.local = address("203.0.113.7:40000");
    world.run(3600.0);
    assert_eq!(world.exchanges.len(), exchanges + 1);
    let late = world.queries[before..].iter().map(|(_, query)| parts(query.packet.octets()).0);
    // The one that showed the new address had left by then.
    assert!(late.skip(1).all(|cookie| !old.contains(&cookie)));
    assert_eq!(world.status().system.state().name(), "synchronised");
    // The administrator's word that the address is gone does the same.
    let exchanges = world.exchanges.len();
    world.give(Input::OwnAddresses(std::vec!["198.51.100.9".parse().unwrap()]));
    assert_eq!(nts(&world, 0).cookies, 0);
    assert!(world.kept[0].cookies.is_empty(), "in the file too");
    world.run(600.0);
    assert_eq!(world.exchanges.len(), exchanges + 1);
}

#[test]
fn a066_replies_without_cookies_lead_to_new_keys_and_no_cookie_is_used_twice() {
    let mut world = started(nts_lan(2));
    world.servers[0].nts().starves = true;
    world.run(12.0 * 3600.0);
    assert!((15..40).contains(&world.exchanges.len()), "{}", world.exchanges.len());
    let mut cookies = BTreeSet::new();
    assert!(world.queries.iter().all(|(_, query)| cookies.insert(parts(query.packet.octets()).0)));
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert!(world.status().sources[0].reach != 0);
    // Requests ask for as many as are missing.
    let asks = |octets: &[u8]| octets.windows(2).filter(|pair| *pair == [3, 4]).count();
    assert!(world.queries.iter().any(|(_, query)| asks(query.packet.octets()) >= 5));
}

#[test]
fn a062_a_nak_is_believed_only_where_no_reply_comes_and_exchanges_back_off() {
    let mut world = started(nts_lan(2));
    let begun = world.time;
    world.servers[0].nts().forgot = true;
    world.run(4.0 * 3600.0);
    let late = |world: &World| world.exchanges.iter().filter(|(at, _)| *at > begun).count();
    let gaps: Vec<i64> = world
        .exchanges
        .iter()
        .filter(|(at, _)| *at > begun)
        .collect::<Vec<_>>()
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0) / SECOND)
        .collect();
    assert!((5..20).contains(&late(&world)), "{}", late(&world));
    // As soon as the wait is longer than the poll interval, each is half as long again as the one before.
    let last = &gaps[gaps.len() - 5..];
    assert!(last.windows(2).all(|pair| (1.4..1.6).contains(&(pair[1] as f64 / pair[0] as f64))), "{gaps:?}");
    assert!(nts(&world, 0).naks >= 8 && nts(&world, 1).naks == 0);
    assert_eq!(world.status().system.state().name(), "synchronised", "the other one is still there");
    // The server has its keys again.
    world.servers[0].nts().forgot = false;
    world.run(8.0 * 3600.0);
    assert!(matches!(world.status().sources[0].state().name(), "selected" | "combined"));
}

#[test]
fn a_nak_is_waited_out_until_the_query_ends() {
    let mut world = started(nts_lan(1));
    world.servers[0].nts().forgot = true;
    let (before, exchanges) = (world.queries.len(), world.exchanges.len());
    while world.queries.len() == before {
        world.run(0.5);
    }
    world.run(1.0);
    assert_eq!((nts(&world, 0).naks, world.exchanges.len()), (1, exchanges));
    world.run(4.0);
    assert_eq!(world.exchanges.len(), exchanges + 1);
}

#[test]
fn a070_the_other_keys_are_tried_once_after_a_nak_and_then_keys_are_exchanged() {
    let mut servers = nts_lan(1);
    servers[0].nts().legacy = true;
    let world = started(servers);
    assert_eq!((world.exchanges.len(), nts(&world, 0).state.name()), (1, "ready"));
    assert!(nts(&world, 0).naks >= 1);
    let mut servers = nts_lan(1);
    (servers[0].nts().legacy, servers[0].nts().forgot) = (true, true);
    let mut world = Setup::of(servers).start();
    world.run(9.0);
    assert_eq!((world.exchanges.len(), nts(&world, 0).naks > 1), (1, true), "both were tried");
    world.run(5.0);
    assert_eq!(world.exchanges.len(), 2);
}

#[test]
fn a071_an_authenticated_denial_is_respected_for_a_day() {
    let mut world = started(nts_lan(2));
    world.servers[0].edit = Some(std::boxed::Box::new(|header| {
        (header.stratum, header.reference_id) = (0, u32::from_be_bytes(*b"DENY"));
    }));
    world.run(600.0);
    let asked = |world: &World| {
        let there = world.servers[0].address;
        world.queries.iter().filter(|(_, query)| query.destination == there).count()
    };
    let before = asked(&world);
    let source = world.status().sources[0].clone();
    assert_eq!(source.state().name(), "denied");
    assert!(
        matches!(source.reason, SourceReason::Denied { code: KissCode::Deny, retry_s: Some(left) } if left > 3600.0),
        "{:?}",
        source.reason
    );
    world.run(23.0 * 3600.0);
    assert_eq!(asked(&world), before);
    world.servers[0].edit = None;
    world.run(2.0 * 3600.0);
    assert!(asked(&world) > before);
    assert!(matches!(world.status().sources[0].state().name(), "selected" | "combined"));
    assert_eq!(world.exchanges.len(), 2, "its keys are good");
}

#[test]
fn keys_are_renewed_after_four_weeks_and_stay_in_use_where_that_fails() {
    let mut world = started(nts_lan(1));
    world.run(27.0 * DAY);
    assert_eq!(world.exchanges.len(), 1);
    assert_eq!(world.status().system.state().name(), "synchronised");
    world.servers[0].nts().valid.1 = BEGIN + 5 * 86_400 * SECOND;
    world.run(1.0 * DAY);
    assert!(world.exchanges.len() > 1, "four weeks are over");
    let found = nts(&world, 0);
    assert!(
        found.last_exchange == failed(ExchangeFailure::Expired) && found.state.name() == "ready",
        "{found:?}"
    );
    assert_eq!(world.status().system.state().name(), "synchronised", "the old keys stay in use");
    world.servers[0].nts().valid.1 = i64::MAX >> 1;
    world.run(2.0 * DAY);
    assert_eq!(nts(&world, 0).last_exchange, Some(Ok(())));
}

#[test]
fn a195_keys_for_gcm_are_exchanged_again_before_the_server_refuses_them() {
    let mut setup = Setup::of(nts_lan(1));
    setup.settings.sources[0].nts.as_mut().unwrap().offer = AeadOffer::only(Aead::Aes256Gcm);
    setup.servers[0].nts().algorithm = Aead::Aes256Gcm;
    let mut world = setup.start();
    world.run(19.5 * 3600.0);
    assert_eq!((world.exchanges.len(), nts(&world, 0).aead), (1, Some(2)));
    for exchanges in 2..5 {
        world.run(20.0 * 3600.0);
        assert_eq!(world.exchanges.len(), exchanges);
    }
    assert_eq!((nts(&world, 0).naks, world.status().system.state().name()), (0, "synchronised"));
}

#[test]
fn a060_failed_exchanges_back_off_say_why_and_never_lead_to_plain_queries() {
    let mut servers = nts_lan(2);
    servers[0].nts().failure = Some(ExchangeFailure::UnknownIssuer);
    let mut world = Setup::of(servers).start();
    world.run(3600.0);
    let source = world.status().sources[0].clone();
    assert_eq!(source.state().name(), "waiting");
    assert!(
        matches!(source.reason, SourceReason::AwaitingKeys(keys) if Some(keys.failure.map_or(Ok(()), Err)) == failed(ExchangeFailure::UnknownIssuer)),
        "{:?}",
        source.reason
    );
    let to_first = world.exchanges.iter().filter(|(_, e)| e.server == server_of("nts0.example"));
    let times: Vec<i64> = to_first.map(|(at, _)| (at - BEGIN) / SECOND).collect();
    assert_eq!(times[..5], [0, 10, 25, 47, 81]);
    assert!(world.queries.iter().all(|(_, query)| query.protected));
    assert!(failures(&world, ExchangeFailure::UnknownIssuer) == 1, "told once");
    // An administrator who has put it right need not wait.
    world.servers[0].nts().failure = None;
    world.give(Input::Command(Command::Burst(None)));
    world.run(1.0);
    assert_eq!(nts(&world, 0).state.name(), "ready");
}

fn server_of(name: &str) -> KeyServer {
    KeyServer::Name(HostName::parse(name).unwrap())
}

#[test]
fn a056_names_that_lead_to_one_time_server_have_one_vote() {
    let mut servers = nts_lan(5);
    let liar = servers[0].address;
    servers[0].error = 1.0;
    servers[1..3].iter_mut().for_each(|server| server.nts().addresses = std::vec![liar]);
    share_keys(&mut servers[..3]);
    let world = started(servers);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    let report = world.status();
    assert!(report.sources[..3].iter().all(|source| source.state().name() == "falseticker"), "{report:?}");
    assert!(report.sources[1].nts.as_ref().unwrap().redirected);
}

#[test]
fn a056_one_key_exchange_server_has_one_vote_whatever_its_ports() {
    let mut servers = nts_lan(5);
    for (n, server) in servers[..3].iter_mut().enumerate() {
        let name = ["ke.example", "KE.example", "ke.example."][n];
        server.error = 1.0;
        server.nts().place = Place::Name(HostName::parse(name).unwrap(), 4460 + n as u16);
    }
    let world = started(servers);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    let mut setup = Setup::of(nts_lan(2));
    setup.settings.sources.push(setup.settings.sources[0].clone());
    let mut world = setup.start();
    world.run(600.0);
    assert_eq!(world.exchanges.len(), 2, "the same one twice is one");
    assert_eq!(world.status().sources[2].reason, SourceReason::SameKeyServer);
}

#[test]
fn a055_a_redirect_to_an_address_in_use_is_avoided_and_one_to_nowhere_is_a_failure() {
    let mut servers = nts_lan(2);
    let (first, second) = (servers[0].address, servers[1].address);
    servers[1].nts().addresses = std::vec![first, second];
    let world = started(servers);
    assert_eq!(world.status().sources[1].address, Some("192.0.2.2:123".parse().unwrap()));
    for bad in ["127.0.0.1:123", "169.254.1.1:123", "[fe80::1]:123"] {
        let mut servers = nts_lan(2);
        servers[1].nts().addresses = std::vec![address(bad)];
        let world = started(servers);
        let found = nts(&world, 1);
        assert!(found.last_exchange == Some(Err(KeyExchangeFailure::NoAddress)), "{bad}: {found:?}");
        assert_eq!(found.state.name(), "none");
    }
}

#[test]
fn one_that_moves_is_followed_and_a_dead_address_is_left_for_another() {
    let mut servers = nts_lan(2);
    share_keys(&mut servers);
    let (first, second) = (servers[0].address, servers[1].address);
    servers[0].nts().addresses = std::vec![first, second];
    let mut setup = Setup::of(servers);
    setup.settings.sources.truncate(1);
    let mut world = setup.start();
    world.run(1800.0);
    world.servers[0].up = false;
    world.run(3600.0);
    assert_eq!(world.status().sources[0].address, Some("192.0.2.2:123".parse().unwrap()));
}

/// That they cannot come is the rule of their link; nothing hangs on it here.
#[test]
fn records_of_no_open_key_exchange_change_nothing() {
    let mut servers = nts_lan(1);
    servers[0].nts().failure = Some(ExchangeFailure::Deadline);
    let mut world = Setup::of(servers).start();
    let id = world.exchanges[0].1.id;
    let other = ExchangeId(id.0 + 1);
    let octets = CookieOctets::from_octets(&[1; 68]).unwrap();
    world.give(Input::Cookie(Cookie { id: other, octets }));
    world.give(Input::Exchanged(exchanged(other, 1)));
    world.give(Input::ExchangeFailed(ExchangeFailed { id: other, reason: ExchangeFailure::Tls }));
    let begun = nts(&world, 0);
    assert_eq!((begun.exchanges, begun.failures, begun.cookies, begun.state.name()), (0, 0, 0, "exchanging"));
    (0..9).for_each(|_| world.give(Input::Cookie(Cookie { id, octets })));
    world.give(Input::Exchanged(exchanged(id, 9)));
    let ended = nts(&world, 0);
    // Of the eight that fit, one is on its way.
    assert_eq!((ended.exchanges, ended.cookies, world.distrust), (1, 7, None));
}

/// A lawful end of a key exchange.
pub(super) fn exchanged(id: ExchangeId, cookies: u8) -> Exchanged {
    let secret = || ipc::secret::Secret::of(&[5; 32]).unwrap();
    let pair = ipc::secret::KeyPair { client_to_server: secret(), server_to_client: secret() };
    let at = |nanos| ipc::units::WallTime::saturating(nanos);
    Exchanged {
        id,
        keys: AssociationKeys::new(Aead::AesSivCmac256, pair, None).unwrap(),
        cookies,
        addresses: Addresses::new([address("192.0.2.1:123")]).unwrap(),
        redirected: false,
        named: None,
        validity: Validity::new(at(BEGIN - SECOND), at(BEGIN + 86_400 * SECOND)).unwrap(),
        deferred: false,
        operator: ipc::message::exchange::Operator::NONE,
    }
}

#[test]
fn look_ups_and_key_exchanges_share_the_eight_children() {
    let mut servers = nts_lan(12);
    servers.iter_mut().for_each(|server| server.nts().failure = Some(ExchangeFailure::Refused));
    let mut setup = Setup::of(servers);
    setup.settings.sources[6..].iter_mut().for_each(|source| source.nts = None);
    let world = setup.start();
    assert_eq!(world.exchanges.len() + world.resolves.len(), 8);
    let mut ids: Vec<u64> = world.exchanges.iter().map(|(_, exchange)| exchange.id.0).collect();
    ids.extend(world.resolves.iter().map(|resolve| resolve.id.0));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 8, "no id twice");
    assert!(world.engine.poll_timeout() != Some(RawInstant::MIN));
}
