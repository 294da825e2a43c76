//! Sources with a symmetric key in the closed loop.

use super::world::*;
use crate::io::Input;
use crate::notice::{Notice, SourceNotice};
use crate::settings::{Place, SourceSettings};
use ipc::message::exchange::{Addresses, HostName, Resolved};
use ipc::symmetric_key::{MacKind, SymmetricKey};
use protocol::header::Header;
use protocol::kiss::KissCode;
use protocol::mac::MacKey;
use std::vec::Vec;

fn keyed_lan(count: usize) -> Vec<Server> {
    lan(count).into_iter().zip(1..).map(|(server, number)| server.with_key(number)).collect()
}

fn key(number: u32, octet: u8) -> SymmetricKey {
    SymmetricKey::new(number, MacKind::Aes128, &[octet; 16]).unwrap()
}

fn sealed(mut header: Vec<u8>, key: &SymmetricKey) -> Vec<u8> {
    header.resize(100, 0);
    let length = MacKey::new(key).unwrap().put(&mut header, 48, 4).unwrap();
    header.truncate(length);
    header
}

fn started(servers: Vec<Server>) -> World {
    let mut world = Setup::of(servers).start();
    world.run(1800.0);
    world
}

fn state(world: &World) -> &'static str {
    world.status().system.state().name()
}

fn rejected(world: &World, source: usize, reason: report::RejectReason) -> u64 {
    world.status().sources[source].rejected.get(&reason).copied().unwrap_or(0)
}

#[test]
fn sources_with_keys_are_asked_with_a_mac_and_followed_as_authenticated() {
    let world = started(keyed_lan(3));
    assert_eq!(state(&world), "synchronised");
    assert!(world.error().abs() < 50e-6, "{}", world.error());
    let status = world.status();
    for (source, number) in status.sources.iter().zip(1..) {
        assert!(source.authenticated && source.nts.is_none(), "{source:?}");
        let key = source.key.unwrap();
        assert_eq!((key.number, key.kind, key.bits), (number, MacKind::Aes128, 128));
    }
    let authentication = status.system.authentication.unwrap();
    assert_eq!((authentication.followed, authentication.authenticated), (3, 3));
    assert!(world.queries.iter().all(|(_, query)| query.protected && query.packet.octets().len() == 68));
    let mut header = [0u8; 40];
    (header[0], header[3]) = (0x23, 0x20);
    assert!(world.queries.iter().all(|(_, query)| query.packet.octets()[..40] == header), "a minimal header");
}

#[test]
fn a196_a197_a198_replies_without_the_own_key_move_nothing_and_the_true_one_behind_them_is_taken() {
    let forgeries: [fn(Vec<u8>) -> Vec<u8>; 5] = [
        |honest| honest[..48].to_vec(),
        |honest| [&honest[..48], &[0; 4]].concat(),
        |honest| sealed(honest[..48].to_vec(), &key(1, 0x77)),
        |honest| sealed(honest[..48].to_vec(), &key(2, 2)),
        |honest| honest[..honest.len() - 4].to_vec(),
    ];
    for forge in forgeries {
        let mut servers = keyed_lan(1);
        servers[0].keyed().tamper = Some(std::boxed::Box::new(move |_, honest| {
            let mut early = Header::decode(&honest).unwrap();
            early.transmit_timestamp = early.transmit_timestamp.wrapping_add(5 << 32);
            early.receive_timestamp = early.receive_timestamp.wrapping_add(5 << 32);
            let mut lie = honest.clone();
            lie[..48].copy_from_slice(&early.encode());
            std::vec![forge(lie), honest]
        }));
        let world = started(servers);
        assert_eq!(state(&world), "synchronised");
        assert!(world.error().abs() < 1e-3, "{}", world.error());
    }
}

#[test]
fn a197_a_server_with_another_key_is_never_followed_and_what_it_sends_is_counted() {
    let mut servers = keyed_lan(1);
    // It knows our request by our key, and answers with another one of the same number.
    servers[0].keyed().tamper =
        Some(std::boxed::Box::new(|_, honest| std::vec![sealed(honest[..48].to_vec(), &key(1, 0x77))]));
    let world = started(servers);
    assert_ne!(state(&world), "synchronised");
    assert!(rejected(&world, 0, report::RejectReason::Forged) > 8);
    let is_attack = |notice: &Notice| matches!(notice, Notice::Source(_, _, SourceNotice::UnderAttack));
    assert_eq!(world.notices.iter().filter(|notice| is_attack(notice)).count(), 1, "said once");
}

#[test]
fn a_crypto_nak_is_counted_as_what_it_is() {
    let mut servers = keyed_lan(1);
    servers[0].keyed().tamper =
        Some(std::boxed::Box::new(|_, honest| std::vec![[&honest[..48], &[0; 4]].concat()]));
    let world = started(servers);
    assert!(rejected(&world, 0, report::RejectReason::CryptoNak) > 0);
    assert_ne!(state(&world), "synchronised");
}

#[test]
fn a200_a_kiss_is_believed_with_the_own_mac_alone() {
    for (with, kisses) in [(None, false), (Some(key(1, 0x77)), false), (Some(key(1, 1)), true)] {
        let mut servers = keyed_lan(1);
        servers[0].keyed().tamper = Some(std::boxed::Box::new(move |_, honest| {
            let header = Header::decode(&honest).unwrap();
            let kiss = Header { stratum: 0, leap: 3, reference_id: u32::from_be_bytes(*b"DENY"), ..header };
            let kiss = kiss.encode().to_vec();
            let kiss = match &with {
                Some(key) => sealed(kiss, key),
                None => kiss,
            };
            std::vec![kiss, honest]
        }));
        let world = started(servers);
        let is_kiss = |notice: &Notice| matches!(notice, Notice::Source(_, _, SourceNotice::Kissed(code)) if *code == KissCode::Deny);
        assert_eq!(world.notices.iter().any(is_kiss), kisses);
        assert_eq!(state(&world) == "synchronised", !kisses);
    }
}

#[test]
fn a201_three_liars_with_keys_do_not_outvote_one_nts_source_nor_plain_ones_a_key() {
    for last_has_nts in [true, false] {
        let mut servers = match last_has_nts {
            true => keyed_lan(4),
            false => lan(4),
        };
        servers[..3].iter_mut().for_each(|server| server.error = 1.0);
        let mut last = servers.pop().unwrap();
        last.keyed = None;
        servers.push(if last_has_nts { last.with_nts("nts.example") } else { last.with_key(4) });
        let world = started(servers);
        assert_eq!(state(&world), "synchronised", "{:?}", world.status().system.reason);
        assert!(world.error().abs() < 1e-3, "{}", world.error());
    }
}

#[test]
fn with_require_nts_the_clock_is_not_moved_by_keys_alone() {
    let mut setup = Setup::of(keyed_lan(3));
    setup.settings.clock.require_nts = true;
    let mut world = setup.start();
    world.run(1800.0);
    assert_ne!(state(&world), "synchronised");
    let adjusts = world.adjusts.len();
    world.run(1800.0);
    assert_ne!(state(&world), "synchronised", "{:?}", world.status().system.reason);
    assert_eq!(world.adjusts.len(), adjusts);
}

#[test]
fn a_change_of_the_key_begins_the_source_anew() {
    let mut world = started(keyed_lan(1));
    let (id, settings) = world.engine.entries().map(|(id, settings)| (id, settings.clone())).next().unwrap();
    let other = key(9, 0x55);
    world.servers[0].keyed().own = other.clone();
    let changed = crate::settings::SourceSettings { key: Some(other), ..settings };
    world.alter(|engine, now| engine.change_entry(now, id, changed)).unwrap();
    world.run(600.0);
    assert_eq!(world.status().sources[0].key.unwrap().number, 9);
    assert!(world.status().sources[0].valid > 0);
}

/// By the key of a name.
fn named(key: SymmetricKey) -> SourceSettings {
    let place = Place::Name(HostName::parse("ntp.example").unwrap(), 123);
    SourceSettings { key: Some(key), ..SourceSettings::of("ntp.example".into(), place) }
}

/// The look-up of that name ends with the address of the first server.
fn resolve(world: &mut World) {
    let addresses = Addresses::new([world.servers[0].address]).unwrap();
    let id = world.resolves[0].id;
    world.give(Input::Resolved(Resolved { id, addresses }));
}

#[test]
fn a198_what_was_measured_without_a_key_or_under_another_never_becomes_what_a_key_has_authenticated() {
    for before in [None, Some(key(2, 2)), Some(key(1, 1))] {
        let is_same = before == Some(key(1, 1));
        let mut servers = lan(1);
        servers[0].keyed = before.clone().map(|key| Keyed { own: key.clone(), key, tamper: None });
        let mut setup = Setup::of(servers);
        setup.settings.sources[0].offered = true;
        setup.settings.sources.push(named(key(1, 1)));
        let mut world = setup.start();
        world.run(600.0);
        // A query is open when the name turns out to lead to the same address.
        world.servers[0].up = false;
        let asked = world.queries.len();
        while world.queries.len() == asked {
            world.run(0.25);
        }
        let measured = world.status().sources[0].valid;
        assert!(measured > 4);
        resolve(&mut world);
        let status = world.status();
        assert_eq!(status.sources[0].state().name(), "waiting", "{before:?}");
        assert_eq!(status.sources[1].valid, if is_same { measured } else { 0 }, "{before:?}");
        let open = world.queries[asked].1.id;
        assert_eq!(world.cancelled.contains(&open), !is_same, "{before:?}");
        let own = key(1, 1);
        (world.servers[0].up, world.servers[0].keyed) =
            (true, Some(Keyed { key: own.clone(), own, tamper: None }));
        let asked = world.queries.len();
        world.run(1800.0);
        assert!(world.queries[asked..].iter().all(|(_, query)| query.protected), "{before:?}");
        assert!(world.status().sources[1].valid > 4 && state(&world) == "synchronised", "{before:?}");
    }
}

#[test]
fn a201_a_name_with_a_key_takes_no_address_away_from_a_source_with_nts() {
    let mut servers: Vec<_> = lan(2);
    let addresses: Vec<_> = servers.iter().rev().map(|server| server.address).collect();
    let first = servers.remove(0).with_nts("nts.example").with_key(9);
    servers.insert(0, first);
    servers[0].nts().addresses = addresses;
    servers[1].up = false;
    let mut setup = Setup::of(servers);
    setup.settings.sources[1] = named(key(1, 1));
    let mut world = setup.start();
    // A look-up is faster than a key exchange.
    resolve(&mut world);
    assert_eq!(world.status().sources[1].address, Some(world.servers[0].address.socket_address()));
    world.run(1800.0);
    let status = world.status();
    assert_eq!(status.sources[0].address, Some(world.servers[0].address.socket_address()));
    assert!(status.sources[0].valid > 4 && state(&world) == "synchronised", "{:?}", status.system.reason);
}

#[test]
fn a199_a_key_that_can_be_guessed_or_is_of_md5_makes_no_source_authenticated() {
    let keys = [
        (SymmetricKey::new(1, MacKind::Md5, &[1; 20]), false),
        (SymmetricKey::new(1, MacKind::Sha1, &[1; 9]), false),
        (SymmetricKey::new(1, MacKind::Sha512, &[1; 9]), false),
        (SymmetricKey::new(1, MacKind::Sha1, &[1; 10]), true),
    ];
    for (key, is_strong) in keys {
        let key = key.unwrap();
        let mut servers = lan(1);
        servers[0].keyed = Some(Keyed { own: key.clone(), key: key.clone(), tamper: None });
        let world = started(servers);
        let status = world.status();
        assert_eq!((status.sources[0].authenticated, state(&world)), (is_strong, "synchronised"), "{key:?}");
        assert_eq!(status.system.authentication.unwrap().authenticated, usize::from(is_strong));
        assert_eq!(world.pages.last().unwrap().1.mark.authenticated, is_strong);
        assert!(world.queries.iter().all(|(_, query)| query.protected));
        // Three of them that lie together do not decide beside a good one.
        let mut servers = lan(4);
        for liar in &mut servers[..3] {
            liar.error = 1.0;
            liar.keyed = Some(Keyed { own: key.clone(), key: key.clone(), tamper: None });
        }
        let good = servers.remove(3).with_key(4);
        servers.push(good);
        assert_eq!(started(servers).error().abs() < 1e-3, !is_strong, "{key:?}");
    }
}
