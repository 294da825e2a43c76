//! Somebody on the path of an NTS source, or in the client: all octets, all times, but no keys.

use super::nts::nts;
use super::world::*;
use crate::io::Input;
use crate::notice::{Notice, SourceNotice};
use ipc::message::client::{
    MAX_CANDIDATES, PlainReply, ProtectedReply, Query, QueryId, Rejected, ReplyHeader, Stamp,
};
use ipc::message::exchange::{HostName, KeyServer};
use ipc::packet::Packet;
use ipc::process::Process;
use ipc::units::{Leap, RawInstant};
use proptest::prelude::*;
use report::RejectReason;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

/// A world of one NTS source and the reply to its last query, which nobody but us has got.
fn caught() -> (World, Query, Vec<u8>) {
    let mut world = Setup::of(nts_lan(2)).start();
    world.run(1800.0);
    let caught = Rc::new(RefCell::new(Vec::new()));
    let keep = caught.clone();
    world.servers[0].nts().tamper = Some(Box::new(move |_, octets| {
        *keep.borrow_mut() = octets;
        Vec::new()
    }));
    while caught.borrow().is_empty() {
        world.run(0.2);
    }
    let there = world.servers[0].address;
    let query = world.queries.iter().rev().find(|(_, query)| query.destination == there).unwrap().1;
    let octets = caught.borrow().clone();
    (world, query, octets)
}

fn reply(world: &World, query: &Query, octets: &[u8]) -> ProtectedReply {
    let packet = Packet::from_octets(octets).unwrap();
    let t4 = RawInstant::saturating(world.now().raw.nanos() - 1000);
    ProtectedReply { id: query.id, source: query.destination, t4, stamp: Stamp::Kernel, packet }
}

/// Gives a packet to a copy of the engine; whether it was taken for the reply, and the count of this reason.
fn judge(world: &World, query: &Query, octets: &[u8], reason: RejectReason) -> (bool, u64) {
    let mut engine = (*world.engine).clone();
    let now = world.now();
    let before = engine.status(now).sources[0].valid;
    engine.handle_input(now, Input::Protected(reply(world, query, octets)));
    let after = engine.status(now).sources[0].clone();
    (after.valid > before, after.rejected.get(&reason).copied().unwrap_or(0))
}

#[test]
fn a064_a_reply_with_any_one_bit_changed_is_silent() {
    let (world, query, honest) = caught();
    assert!(judge(&world, &query, &honest, RejectReason::Forged).0, "the true one is taken");
    for at in 0..honest.len() {
        for bit in [0, 3, 7] {
            let mut changed = honest.clone();
            changed[at] ^= 1 << bit;
            assert!(!judge(&world, &query, &changed, RejectReason::Forged).0, "octet {at} bit {bit}");
        }
    }
    let mut wrong_tag = honest.clone();
    *wrong_tag.last_mut().unwrap() ^= 1;
    assert_eq!(judge(&world, &query, &wrong_tag, RejectReason::Forged), (false, 1));
    for length in 0..honest.len() {
        assert!(!judge(&world, &query, &honest[..length], RejectReason::Forged).0, "cut at {length}");
    }
}

#[test]
fn a063_a_reply_without_its_authentication_is_silent_and_nothing_becomes_plain() {
    let (world, query, honest) = caught();
    assert_eq!(judge(&world, &query, &honest[..48], RejectReason::Identifier), (false, 1));
    assert_eq!(judge(&world, &query, &honest[..84], RejectReason::Unprotected), (false, 1));
    // For days: no plain query, no sample.
    let mut world = Setup::of(nts_lan(1)).start();
    world.run(600.0);
    world.servers[0].nts().tamper = Some(Box::new(|_, octets| std::vec![octets[..84].to_vec()]));
    world.servers[0].error = 2.0;
    let valid = world.status().sources[0].valid;
    world.run(86_400.0);
    assert_eq!(world.status().sources[0].valid, valid);
    assert!(world.queries.iter().all(|(_, query)| query.protected));
    assert!(world.error().abs() < 0.1);
    let source = &world.status().sources[0];
    assert!(
        source.rejected[&RejectReason::Unprotected] > 10 && source.state().name() == "unreachable",
        "{source:?}"
    );
}

#[test]
fn a065_what_follows_the_authenticator_spoils_the_reply_and_brings_no_cookie() {
    let (mut world, query, honest) = caught();
    let mut longer = honest.clone();
    longer.extend_from_slice(&[0x02, 0x04, 0, 72]);
    longer.extend_from_slice(&[0x66; 68]);
    assert_eq!(judge(&world, &query, &longer, RejectReason::NtsFields), (false, 1));
    let cookies = world.engine.associations()[0].cookies.len();
    world.give(Input::Protected(reply(&world, &query, &longer)));
    assert_eq!(world.engine.associations()[0].cookies.len(), cookies);
}

#[test]
fn a067_a_reply_counts_once() {
    let (mut world, query, honest) = caught();
    world.give(Input::Protected(reply(&world, &query, &honest)));
    let before = world.status();
    for _ in 0..9 {
        world.give(Input::Protected(reply(&world, &query, &honest)));
    }
    assert_eq!(world.status(), before);
    assert_eq!(world.distrust, None);
    // On the next query's wire it is another request's.
    let next = world.queries.len();
    while world.queries[next..].iter().all(|(_, other)| other.destination != query.destination) {
        world.run(0.2);
    }
    let later = world.queries.iter().rev().find(|(_, other)| other.destination == query.destination);
    let later = later.unwrap().1;
    assert_ne!(later.id, query.id);
    assert!(!judge(&world, &later, &honest, RejectReason::Forged).0);
}

#[test]
fn a069_a_sealed_reply_to_another_origin_is_silent() {
    let mut world = Setup::of(nts_lan(1)).start();
    world.run(600.0);
    let valid = world.status().sources[0].valid;
    world.servers[0].edit = Some(Box::new(|header| header.origin_timestamp ^= 1));
    world.run(600.0);
    let source = &world.status().sources[0];
    assert!(source.valid == valid && source.rejected[&RejectReason::Origin] > 0, "{source:?}");
}

#[test]
fn a062_a_nak_for_another_request_is_not_even_noted() {
    let (mut world, query, honest) = caught();
    let mut nak = honest[..84].to_vec();
    nak[0] = 0xe4;
    nak[1] = 0;
    nak[12..16].copy_from_slice(b"NTSN");
    assert_eq!(judge(&world, &query, &nak, RejectReason::NtsNak), (false, 1));
    let mut other = nak.clone();
    other[60] ^= 1;
    assert_eq!(judge(&world, &query, &other, RejectReason::Identifier), (false, 1));
    // The true reply still counts after it, and no keys are exchanged.
    let exchanges = world.exchanges.len();
    world.give(Input::Protected(reply(&world, &query, &nak)));
    let valid = world.status().sources[0].valid;
    world.give(Input::Protected(reply(&world, &query, &honest)));
    assert_eq!(world.status().sources[0].valid, valid + 1);
    world.servers[0].nts().tamper = None;
    world.run(600.0);
    assert_eq!(world.exchanges.len(), exchanges);
}

#[test]
fn a103_eight_wrong_tags_in_a_row_are_called_an_attack_and_move_nothing() {
    let mut world = Setup::of(nts_lan(2)).start();
    world.run(1800.0);
    world.servers[0].nts().tamper = Some(Box::new(|_, mut octets| {
        octets[44] ^= 0x40;
        std::vec![octets; 4]
    }));
    let valid = world.status().sources[0].valid;
    // New keys are another beginning, so the state is seen between two exchanges.
    let (exchanges, mut is_seen) = (world.exchanges.len(), false);
    for _ in 0..240 {
        world.run(5.0);
        let source = world.status().sources[0].clone();
        assert_eq!(source.valid, valid);
        is_seen |= source.state().name() == "under-attack";
    }
    assert!(is_seen && world.status().sources[0].rejected[&RejectReason::Forged] >= 8);
    let told = world
        .notices
        .iter()
        .filter(|notice| matches!(notice, Notice::Source(_, _, SourceNotice::UnderAttack)))
        .count();
    let exchanges = world.exchanges.len() - exchanges;
    assert!((1..=1 + exchanges).contains(&told), "{told} lines, {exchanges} exchanges");
    assert!(world.error().abs() < 50e-6);
    world.servers[0].nts().tamper = None;
    world.run(1200.0);
    assert_ne!(world.status().sources[0].state().name(), "under-attack");
}

#[test]
fn a099_a_client_role_that_mixes_plain_and_protected_replies_is_not_trusted() {
    let is_gone = |world: &World| world.distrust.is_some_and(|(who, _)| who == Process::Client);
    let (mut world, query, _) = caught();
    let header = ReplyHeader {
        leap: Leap::None,
        version: 4,
        mode: 4,
        stratum: 1,
        poll: 6,
        precision: -20,
        root_delay: 0,
        root_dispersion: 0,
        reference_id: 1,
        reference_timestamp: 1,
        origin_timestamp: u64::from_be_bytes(query.packet.octets()[40..48].try_into().unwrap()),
        receive_timestamp: 1,
        transmit_timestamp: 1,
    };
    let t4 = world.now().raw;
    let rejected = Rejected::NONE;
    let (id, source, stamp) = (query.id, query.destination, Stamp::Kernel);
    world.give(Input::Reply(PlainReply { id, source, t4, stamp, header, rejected }));
    assert!(is_gone(&world), "it judged a reply by itself");
    let (mut world, query, honest) = caught();
    let stranger = address("192.0.2.99:123");
    world.give(Input::Protected(ProtectedReply { source: stranger, ..reply(&world, &query, &honest) }));
    assert!(is_gone(&world), "from an address that was not asked");
    let (mut world, query, honest) = caught();
    let late = RawInstant::saturating(world.now().raw.nanos() + 5_000_000);
    world.give(Input::Protected(ProtectedReply { t4: late, ..reply(&world, &query, &honest) }));
    assert!(is_gone(&world), "T4 in the future");
    let (mut world, query, honest) = caught();
    let unknown = QueryId(query.id.0 + 1000);
    world.give(Input::Protected(ProtectedReply { id: unknown, ..reply(&world, &query, &honest) }));
    assert!(is_gone(&world), "of no query");
    let (mut world, query, honest) = caught();
    for _ in 0..=MAX_CANDIDATES {
        world.give(Input::Protected(reply(&world, &query, &honest[..84])));
    }
    assert!(is_gone(&world), "more than it may");
}

#[test]
fn a102_a_client_role_that_lies_about_times_gains_no_more_with_nts_than_without() {
    let worst = |servers: Vec<Server>| {
        let mut world = Setup::of(servers).start();
        world.run(4.0 * 3600.0);
        world.late_t1 = true;
        world.run(1500.0);
        assert_eq!(world.distrust, None);
        world.worst(4.0 * 3600.0)
    };
    let protected = worst(wan(1).into_iter().map(|server| server.with_nts("nts.example")).collect());
    let plain = worst(wan(1));
    assert!(protected < 0.003 && plain < 0.003, "{protected} {plain}");
}

/// Everything that somebody without keys can put together from all that ever passed: pieces of replies of this
/// source and of another one, of this query and of earlier ones, with octets of its own.
fn forge(pieces: &[Vec<u8>], picks: &[(usize, usize, usize, u8)], query: &Query) -> Vec<u8> {
    let mut octets = pieces[picks[0].0 % pieces.len()].clone();
    for (piece, from, length, value) in picks {
        let piece = &pieces[piece % pieces.len()];
        let from = from % octets.len();
        for at in from..(from + length).min(octets.len()) {
            octets[at] = match value {
                0..=127 => piece.get(at).copied().unwrap_or(*value),
                _ => *value,
            };
        }
    }
    // It has read the query: nonce and identifier are right.
    octets[24..32].copy_from_slice(&query.packet.octets()[40..48]);
    if octets.len() >= 84 {
        octets[48..84].copy_from_slice(&query.packet.octets()[48..84]);
    }
    octets
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a103_p1_no_packet_made_without_keys_is_taken_for_a_reply(
        all in proptest::collection::vec(
            proptest::collection::vec((0usize..64, 0usize..400, 0usize..80, any::<u8>()), 1..6),
            64,
        ),
    ) {
        let (world, query, honest) = caught();
        // Replies to other queries, by this server and by another one; and the requests.
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        let heard = Rc::new(RefCell::new(Vec::new()));
        let mut other = Setup { seed: 1, ..Setup::of(nts_lan(2)) }.start();
        for server in &mut other.servers {
            let heard = heard.clone();
            server.nts().tamper = Some(Box::new(move |_, octets| {
                heard.borrow_mut().push(octets.clone());
                std::vec![octets]
            }));
        }
        other.run(600.0);
        pieces.extend(heard.borrow().iter().cloned());
        pieces.extend(world.queries.iter().map(|(_, query)| query.packet.octets().to_vec()));
        prop_assert!(pieces.len() > 20);
        for picks in &all {
            let octets = forge(&pieces, picks, &query);
            prop_assume!(octets != honest);
            prop_assert!(!judge(&world, &query, &octets, RejectReason::Forged).0);
        }
        // Even with the true reply in hand: anything else in its place is nothing.
        let mut with_it = pieces.clone();
        with_it.push(honest.clone());
        for picks in &all {
            let octets = forge(&with_it, picks, &query);
            if octets != honest {
                prop_assert!(!judge(&world, &query, &octets, RejectReason::Forged).0);
            }
        }
    }
}

#[test]
fn a176_who_owns_one_exchange_forges_nothing_for_another_source() {
    // The keys of the second source are known to the attacker, who seals a reply of the first with them.
    let mut world = Setup::of(nts_lan(2)).start();
    world.run(1800.0);
    let kept = world.engine.associations();
    let theirs = kept[1].keys.clone();
    let valid = world.status().sources[0].valid;
    world.servers[0].nts().tamper = Some(Box::new(move |query, honest| {
        let key = protocol::nts::aead::Key::from_octets(
            protocol::nts::aead::Algorithm::Aes128GcmSiv,
            &theirs.server_to_client.octets()[..16],
        );
        let mut packet = honest[..48].to_vec();
        packet.extend_from_slice(&query.packet.octets()[48..84]);
        let mut tag = [0; 16];
        key.unwrap().seal(&mut [7; 12], &packet, &mut tag).unwrap();
        packet.extend_from_slice(&[4, 4, 0, 36, 0, 12, 0, 16]);
        packet.extend_from_slice(&[7; 12]);
        packet.extend_from_slice(&tag);
        std::vec![packet]
    }));
    world.run(1200.0);
    let source = world.status().sources[0].clone();
    assert!(source.valid == valid && source.rejected[&RejectReason::Forged] > 3, "{source:?}");
    // The same seal is good for the source whose key it is.
    let ours = kept[1].keys.clone();
    world.servers[1].nts().tamper = Some(Box::new(move |query, honest| {
        let key = protocol::nts::aead::Key::from_octets(
            protocol::nts::aead::Algorithm::Aes128GcmSiv,
            &ours.server_to_client.octets()[..16],
        );
        let mut packet = honest[..48].to_vec();
        packet.extend_from_slice(&query.packet.octets()[48..84]);
        let mut tag = [0; 16];
        key.unwrap().seal(&mut [7; 12], &packet, &mut tag).unwrap();
        packet.extend_from_slice(&[4, 4, 0, 36, 0, 12, 0, 16]);
        packet.extend_from_slice(&[7; 12]);
        packet.extend_from_slice(&tag);
        std::vec![packet]
    }));
    let valid = world.status().sources[1].valid;
    world.run(900.0);
    assert!(world.status().sources[1].valid > valid);
}

/// Every other query is answered with a forged NTS NAK, so that keys which were good are exchanged again.
fn forge_every_other(world: &mut World) {
    let count = Cell::new(0);
    world.servers[0].nts().tamper = Some(Box::new(move |_, honest| {
        count.set(count.get() + 1);
        if count.get() % 2 == 0 {
            return vec![honest];
        }
        let mut nak = honest[..84].to_vec();
        nak[0] = 0xe4;
        nak[1] = 0;
        nak[12..16].copy_from_slice(b"NTSN");
        vec![nak]
    }));
}

#[test]
fn a062_naks_after_each_good_reply_force_24_key_exchanges_a_day_and_a_restarted_server_is_right_within_a_minute()
 {
    let mut setup = Setup::of(nts_lan(2));
    for source in &mut setup.settings.sources {
        (source.min_poll, source.max_poll) = (4, 4);
    }
    let mut world = setup.start();
    world.run(1800.0);
    forge_every_other(&mut world);
    let count = |world: &World| {
        let first = KeyServer::Name(HostName::parse("nts0.example").unwrap());
        world.exchanges.iter().filter(|(_, exchange)| exchange.server == first).count()
    };
    let before = count(&world);
    world.run(86_400.0);
    let first_day = count(&world) - before;
    world.run(86_400.0);
    let second_day = count(&world) - before - first_day;
    assert!((20..=45).contains(&first_day) && (20..=26).contains(&second_day), "{first_day}, {second_day}");
    assert_eq!(world.status().system.state().name(), "synchronised");
    // The attacker is gone, and a day later the server loses its keys.
    world.servers[0].nts().tamper = None;
    world.run(86_400.0);
    let (calm, naks) = (count(&world), nts(&world, 0).naks);
    world.servers[0].nts().forgot = true;
    while nts(&world, 0).naks == naks {
        world.run(1.0);
    }
    world.servers[0].nts().forgot = false;
    world.run(60.0);
    assert_eq!((count(&world), nts(&world, 0).state.name()), (calm + 1, "ready"));
}
