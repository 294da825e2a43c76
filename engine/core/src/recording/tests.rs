//! What is recorded is replayed; what was changed is found; what is secret is not there.

use super::frame::{Frames, Kind, Next};
use super::octets::{Reader, Writer};
use super::redaction::Redaction;
use super::replay::{Comparison, ReplayError, Replayed, replay, replay_with};
use super::{BUILD, Call, ENTROPY, MAX_OCTETS, Recorder, RecordingEnd, Tape, facts, frame, start};
use crate::Engine;
use crate::entries::EntryError;
use crate::io::{Command, Input, KeptAddresses, Now, Output, Saved, SavedAssociation, Start};
use crate::notice::{Notice, RecordingFailure, SystemNotice};
use crate::settings::{LocalTime, NtsSettings, Place, SourceSettings};
use crate::tests::world::{BEGIN, SECOND, Setup, World, address, lan, nts_lan, settings, wan};
use core::net::IpAddr;
use ipc::address::Address;
use ipc::aead::{Aead, AeadOffer};
use ipc::message::client::{ProtectedReply, QueryId, Stamp};
use ipc::message::exchange::{
    Addresses, AssociationKeys, CertifiedNames, Cookie, ExchangeId, Exchanged, HostName, Operator,
    Organisation, Validity,
};
use ipc::packet::{CookieOctets, Packet};
use ipc::secret::{KeyPair, MAX_KEY, Secret};
use ipc::units::{Frequency, RawInstant, WallTime};
use proptest::collection::vec;
use proptest::prelude::*;
use std::borrow::Cow;
use std::boxed::Box;
use std::cell::RefCell;
use std::rc::Rc;
use std::string::ToString;
use std::vec::Vec;

/// Some tests change the engine without recording it. They do not replay.
impl core::ops::DerefMut for Recorder {
    fn deref_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }
}

/// A tape in memory.
#[derive(Clone, Default)]
struct Memory {
    octets: Rc<RefCell<Vec<u8>>>,
    drawn: u64,
    room: usize,
}

impl Tape for Memory {
    fn write(&mut self, octets: &[u8]) -> bool {
        let fits = self.octets.borrow().len() + octets.len() <= self.room;
        if fits {
            self.octets.borrow_mut().extend_from_slice(octets);
        }
        fits
    }

    fn entropy(&mut self) -> Option<[u8; ENTROPY]> {
        self.drawn += 1;
        let mut entropy = [0x5a; ENTROPY];
        entropy[..8].copy_from_slice(&self.drawn.to_le_bytes());
        Some(entropy)
    }
}

fn memory() -> Memory {
    Memory { room: usize::MAX, ..Memory::default() }
}

/// A world that is recorded for so long, with something of all that can happen, and its recording.
fn recorded(setup: Setup, seconds: f64) -> (World, Vec<u8>) {
    let tape = memory();
    let octets = Rc::clone(&tape.octets);
    let mut world = setup.start_on(Some(Box::new(tape)));
    world
        .give(Input::OwnAddresses(std::vec!["192.0.2.200".parse().unwrap(), "2001:db8::1".parse().unwrap()]));
    world.run(seconds / 2.0);
    world.servers[0].up = false;
    world.give(Input::Command(Command::Burst(None)));
    world.run(seconds / 4.0);
    world.give(Input::Command(Command::Offline(None)));
    world.servers[0].up = true;
    world.run(seconds / 8.0);
    world.give(Input::Command(Command::Online(None)));
    world.give(Input::Command(Command::Step));
    let _ = [Some(LocalTime::of(9)), None].map(|it| world.alter(|e, now| e.change_local_time(now, it)));
    world.alter(|engine, now| (engine.change_version5(now, true), engine.change_leap_list(now, None)));
    world.run(seconds / 8.0);
    world.engine.finish();
    let octets = octets.borrow().clone();
    (world, octets)
}

fn short() -> Vec<u8> {
    recorded(Setup::of(lan(3)), 600.0).1
}

fn replayed(octets: &[u8]) -> Replayed {
    replay(octets).expect("a recording")
}

#[test]
fn a_recorded_day_replays_to_the_last_bit() {
    let (world, octets) = recorded(Setup::of(wan(4)), 86_400.0);
    let again = replayed(&octets);
    assert_eq!(
        (&again.comparison, again.end),
        (&Comparison::Equal, Some(RecordingEnd::Orderly)),
        "{again:#?}"
    );
    let report = world.status().system;
    assert_eq!(again.system.as_ref().map(|system| system.state()), Some(report.state()));
    assert_eq!(
        again.inputs["reply"],
        world.queries.len() as u64 - again.inputs.get("unanswered").copied().unwrap_or(0) - pending(&world)
    );
    assert_eq!(again.outputs["query"], world.queries.len() as u64);
    assert_eq!(again.outputs["adjust"], world.adjusts.len() as u64);
    let (begun, ended) = again.period.unwrap();
    let seconds = ended.raw.since(begun.raw).nanos() as f64 * 1e-9;
    assert!((seconds - 86_400.0).abs() < 120.0, "{seconds}");
    // A day of four sources stays far below what a recording may have.
    assert!(octets.len() < MAX_OCTETS / 20, "{} octets", octets.len());
    assert_eq!(replayed(&octets).digest, again.digest);
}

/// Queries whose end the world's own end cut off.
fn pending(world: &World) -> u64 {
    world.engine.open_exchanges() as u64
}

#[test]
fn each_input_of_a_day_reads_back_as_it_was_written() {
    let octets = short();
    let mut count = 0;
    replay_with(&octets, &mut |number, now, call, _| {
        let mut out = Writer::default();
        facts::write(&mut out, *now, &[3; ENTROPY], call, &mut Redaction::new([1; 32]));
        let fact = facts::read(&out.0).expect("what was written is in order");
        assert_eq!((fact.now, &fact.call, fact.entropy), (*now, call, [3; ENTROPY]));
        count = number;
    })
    .expect("a recording");
    assert!(count > 50, "{count} inputs");
}

#[test]
fn an_engine_that_is_recorded_is_given_fresh_chance_with_each_input() {
    // Otherwise the recording of a running daemon would tell the nonce of its next query.
    let octets = short();
    let (mut frames, _) = Frames::open(&octets).unwrap();
    let mut seen = Vec::new();
    while let Next::Frame(kind, octets) = frames.next() {
        if kind == Kind::Fact {
            seen.push(facts::read(octets).unwrap().entropy);
        }
    }
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert!(all > 50 && seen.len() == all);
}

#[test]
fn one_flipped_octet_is_found_and_its_place_is_named() {
    let octets = short();
    let whole = replayed(&octets);
    let inputs: u64 = whole.inputs.values().sum();
    for part in 1..40 {
        let at = octets.len() * part / 40;
        let mut bad = octets.clone();
        bad[at] ^= 0x10;
        match replay(&bad) {
            Ok(found) => {
                // A length that was made longer than the file looks like a file that was cut.
                assert!(
                    matches!(found.comparison, Comparison::Damaged { .. }) || found.end.is_none(),
                    "octet {at}: {found:?}"
                );
                let replayed: u64 = found.inputs.values().sum();
                assert!(replayed < inputs, "octet {at}: nothing was missing");
            }
            Err(error) => assert_eq!(error, ReplayError::NoStart, "octet {at}"),
        }
    }
}

/// The same recording with one input changed by a person who knows the format.
fn edited(octets: &[u8], which: usize) -> Vec<u8> {
    let (mut frames, build) = Frames::open(octets).unwrap();
    let mut out = Writer::default();
    frame::head(&mut out, &build);
    let mut number = 0;
    while let Next::Frame(kind, content) = frames.next() {
        let mut content = content.to_vec();
        if kind == Kind::Fact {
            number += 1;
            if number == which {
                // The lowest octet of the steered clock's reading.
                content[8] ^= 1;
            }
        }
        frame::put(&mut out, kind, &content);
    }
    out.0
}

#[test]
fn an_edited_input_makes_a_difference_at_its_number() {
    let octets = short();
    assert_eq!(edited(&octets, usize::MAX), octets);
    for which in [1, 17, 40] {
        let found = replayed(&edited(&octets, which));
        assert!(matches!(found.comparison, Comparison::Different { .. }), "{found:?}");
        assert_eq!(found.calls, which as u64, "{found:?}");
    }
}

#[test]
fn a_recording_that_was_cut_replays_up_to_the_cut() {
    let octets = short();
    for cut in [octets.len() - 1, octets.len() / 2, octets.len() / 3] {
        let found = replayed(&octets[..cut]);
        assert_eq!((found.comparison, found.end), (Comparison::Equal, None), "{cut}");
    }
}

#[test]
fn a_recording_that_is_full_or_cannot_be_written_ends_with_one_line_and_the_engine_goes_on() {
    let tape = Memory { room: 20_000, ..Memory::default() };
    let octets = Rc::clone(&tape.octets);
    let mut world = Setup::of(lan(3)).start_on(Some(Box::new(tape)));
    world.run(3_000.0);
    let ended = Notice::System(SystemNotice::RecordingEnded(RecordingFailure::Unwritable));
    assert_eq!(world.notices.iter().filter(|notice| **notice == ended).count(), 1, "{:?}", world.notices);
    assert!(octets.borrow().len() <= 20_000);
    assert!(world.status().system.synchronised);
    assert_eq!(replayed(&octets.borrow()).comparison, Comparison::Equal);
}

#[test]
fn another_build_another_format_and_other_files_are_refused_by_name() {
    let with_build = |build: &str| {
        let mut out = Writer::default();
        frame::head(&mut out, build);
        out.0
    };
    assert_eq!(replay(&with_build(BUILD)), Err(ReplayError::NoStart));
    assert_eq!(replay(&with_build("9.9.9")), Err(ReplayError::Build("9.9.9".to_string())));
    let mut other = with_build(BUILD);
    other[8] = 77;
    assert_eq!(replay(&other), Err(ReplayError::Format(77)));
    for nothing in [&b""[..], b"chimere", b"{\"verb\":\"status\"}"] {
        assert_eq!(replay(nothing), Err(ReplayError::NotARecording));
    }
}

fn key(octet: u8, length: usize) -> Secret {
    Secret::of(&[octet; MAX_KEY][..length]).unwrap()
}

fn pair(octet: u8, length: usize) -> KeyPair {
    KeyPair { client_to_server: key(octet, length), server_to_client: key(octet + 1, length) }
}

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

fn operator() -> Operator {
    let names = CertifiedNames::of([&b"*.example.org"[..]].into_iter());
    Operator { organisation: Organisation::of("Example Ltd"), names, fingerprint: [5; 32] }
}

#[test]
fn a_start_reads_back_with_substitutes_for_its_secrets() {
    let mut settings = settings(&lan(2));
    settings.sources[0].place = Place::Name(name("time.example.org"), 4460);
    settings.sources[0].nts = Some(NtsSettings { roots: 2, offer: AeadOffer::RESISTANT, shares_out: true });
    settings.clock.require_nts = true;
    let association = SavedAssociation {
        server: settings.sources[0].place.clone(),
        roots: 2,
        address: address("[2001:db8::7]:123"),
        at: Some(address("[2001:db8::8]:4460")),
        named: Some(name("t1.example.org")),
        algorithm: Aead::Aes128GcmSiv,
        keys: pair(0xa0, 16),
        cookies: std::vec![CookieOctets::from_octets(&[0xc0; 100]).unwrap()],
        made: WallTime::saturating(BEGIN),
        valid_until: WallTime::saturating(BEGIN + 1),
        operator: operator(),
    };
    let at = WallTime::saturating(BEGIN);
    let saved = Saved { frequency: Frequency::saturating(-7), frequency_error_ppm: 0.125, at };
    let first = Start {
        settings,
        saved: Some(saved),
        associations: std::vec![association],
        addresses: std::vec![KeptAddresses {
            name: HostName::parse("pool.example").unwrap(),
            addresses: std::vec![address("192.0.2.7:123")],
            at: WallTime::saturating(1),
        }],
        seed: [9; 32],
        precision: -23,
    };
    let mut out = Writer::default();
    start::write(&mut out, &first, &mut Redaction::new([4; 32]));
    let again = start::read(&out.0).unwrap();
    assert_eq!((&again.settings, again.saved, again.precision), (&first.settings, first.saved, -23));
    let (was, is) = (&first.associations[0], &again.associations[0]);
    assert_eq!(
        (&is.server, is.address, is.at, is.named, is.algorithm, is.made, is.valid_until),
        (&was.server, was.address, was.at, was.named, was.algorithm, was.made, was.valid_until)
    );
    assert_ne!(is.keys, was.keys);
    assert_ne!(is.cookies, was.cookies);
    assert_eq!(is.cookies[0].octets().len(), 100);
    // A key of 16 octets stays one.
    assert_eq!(is.keys.client_to_server.octets()[16..], [0; MAX_KEY - 16]);
    for cut in 0..out.0.len() {
        assert!(start::read(&out.0[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_recording_holds_substitutes_for_exchanged_keys_and_cookies() {
    let tape = memory();
    let octets = Rc::clone(&tape.octets);
    let mut world = Setup::of(lan(1)).start_on(Some(Box::new(tape)));
    let id = ExchangeId(1);
    let cookie = CookieOctets::from_octets(&[0xc7; 64]).unwrap();
    let at = WallTime::saturating;
    let exchanged = Exchanged {
        id,
        keys: AssociationKeys::new(Aead::Aes128GcmSiv, pair(0xa1, 16), Some(pair(0xb1, 16))).unwrap(),
        cookies: 1,
        addresses: Addresses::new([lan(1)[0].address]).unwrap(),
        redirected: false,
        named: None,
        validity: Validity::new(at(BEGIN), at(BEGIN + 86_400 * SECOND)).unwrap(),
        deferred: false,
        operator: operator(),
    };
    world.give(Input::Cookie(Cookie { id, octets: cookie }));
    world.give(Input::Exchanged(exchanged));
    world.engine.finish();
    let octets = octets.borrow();
    for secret in [0xa1, 0xa2, 0xb1, 0xb2, 0xc7] {
        assert!(!octets.windows(8).any(|window| window == [secret; 8]), "{secret:x} is in the recording");
    }
    assert_eq!(replayed(&octets).comparison, Comparison::Equal);
}

#[test]
fn recorded_hours_with_nts_replay_with_substitutes_alone() {
    let (world, octets) = recorded(Setup::of(nts_lan(3)), 14_400.0);
    let again = replayed(&octets);
    assert_eq!(
        (&again.comparison, again.end),
        (&Comparison::Equal, Some(RecordingEnd::Orderly)),
        "{again:#?}"
    );
    // With their stand-ins the replies are verified again: else nothing would be in step for hours.
    assert_eq!(again.system.as_ref().map(|system| system.state()), Some(world.status().system.state()));
    assert!(again.inputs["protected reply"] > 100 && again.inputs["cookie"] >= 24, "{again:#?}");
    assert_eq!(again.outputs["query"], world.queries.len() as u64);
    let holds = |secret: &[u8]| octets.windows(secret.len()).any(|window| window == secret);
    assert!(world.kept.len() == 3 && holds(b"192.0.2.1") | holds(b"nts"), "the search finds what is there");
    for kept in &world.kept {
        for key in [&kept.keys.client_to_server, &kept.keys.server_to_client] {
            assert!(!holds(&key.octets()[..16]), "a key is in the recording");
        }
        for cookie in &kept.cookies {
            assert!(!holds(&cookie.octets()[..16]), "a cookie is in the recording");
        }
    }
}

#[test]
fn entries_that_are_added_changed_and_removed_while_running_replay_to_the_same_effects() {
    let tape = memory();
    let octets = Rc::clone(&tape.octets);
    let mut setup = Setup::of(lan(4));
    let mut added = setup.settings.sources.split_off(3);
    let mut world = setup.start_on(Some(Box::new(tape)));
    world.run(600.0);
    let settings = added.pop().unwrap();
    let id = world.alter(|engine, now| engine.add_entry(now, settings.clone())).unwrap();
    world.run(600.0);
    let queried = |world: &World| {
        world.queries.iter().filter(|(_, query)| query.destination == world.servers[3].address).count()
    };
    let before = queried(&world);
    assert!(before > 0, "the added source is queried");
    let changed = SourceSettings { place: Place::Name(name("time.example.org"), 123), ..settings };
    world.alter(|engine, now| engine.change_entry(now, id, changed)).unwrap();
    world.run(60.0);
    assert!(!world.resolves.is_empty(), "the changed source is looked up");
    world.alter(|engine, now| engine.remove_entry(now, id)).unwrap();
    assert_eq!(world.alter(|engine, now| engine.remove_entry(now, id)), Err(EntryError::NoSuchEntry));
    world.run(600.0);
    world.engine.finish();
    let again = replayed(&octets.borrow());
    assert_eq!(
        (&again.comparison, again.end),
        (&Comparison::Equal, Some(RecordingEnd::Orderly)),
        "{again:#?}"
    );
    for (kind, count) in [("entry added", 1), ("entry changed", 1), ("entry removed", 2)] {
        assert_eq!(again.inputs[kind], count, "{kind}");
    }
    assert_eq!(again.outputs["query"], world.queries.len() as u64);
    assert_eq!(again.outputs["resolve"], world.resolves.len() as u64);
}

#[test]
fn a_packet_that_no_known_key_sealed_is_recorded_as_it_came() {
    let mut redaction = Redaction::new([8; 32]);
    redaction.pair(Aead::AesSivCmac256, &pair(1, 32));
    let packet = Packet::from_octets(&[0x24; 300]).unwrap();
    assert_eq!(redaction.packet(&packet), packet);
    let reply = ProtectedReply {
        id: QueryId(4),
        source: Address::NONE,
        t4: RawInstant::MIN,
        stamp: Stamp::Kernel,
        packet,
    };
    let now = Now { raw: RawInstant::MIN, wall: WallTime::MIN };
    let call = Call::Input(Cow::Owned(Input::Protected(reply)));
    let mut out = Writer::default();
    facts::write(&mut out, now, &[0; ENTROPY], &call, &mut redaction);
    assert_eq!(facts::read(&out.0).unwrap().call, call);
}

/// Effects that the fuzz never gets to see whole.
fn look(_: u64, _: &Now, _: &Call<'_>, outputs: &[Output]) {
    assert!(outputs.len() < 1_000);
}

proptest! {
    #[test]
    fn no_octets_make_a_replay_panic(tail in vec(any::<u8>(), 0..600)) {
        let mut out = Writer::default();
        frame::head(&mut out, BUILD);
        let _ = replay_with(&[&out.0[..], &tail].concat(), &mut look);
        let _ = replay(&tail);
        let _ = facts::read(&tail);
        let _ = start::read(&tail);
        let _ = Reader::new(&tail).text();
    }

    #[test]
    fn no_content_of_a_whole_frame_makes_a_replay_panic(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), which in 0usize..60
    ) {
        let octets = RECORD.with(Clone::clone);
        let (mut frames, build) = Frames::open(&octets).unwrap();
        let mut out = Writer::default();
        frame::head(&mut out, &build);
        let mut number = 0;
        while let Next::Frame(kind, content) = frames.next() {
            let mut content = content.to_vec();
            if number == which {
                for (at, octet) in &changes {
                    let at = at.index(content.len());
                    content[at] = *octet;
                }
            }
            number += 1;
            frame::put(&mut out, kind, &content);
        }
        let _ = replay_with(&out.0, &mut look);
    }

    #[test]
    fn values_read_back(
        text in ".{0,40}", number in any::<i64>(), float in any::<f64>(), ip in any::<IpAddr>(), flag in any::<bool>()
    ) {
        let mut out = Writer::default();
        out.text(&text);
        out.i64(number);
        out.f64(float);
        out.ip(ip);
        out.option(flag.then_some(7), Writer::u8);
        let mut from = Reader::new(&out.0);
        prop_assert_eq!(from.text().unwrap(), text);
        prop_assert_eq!(from.i64().unwrap(), number);
        prop_assert_eq!(from.f64().unwrap().to_bits(), float.to_bits());
        prop_assert_eq!(from.ip().unwrap(), ip);
        prop_assert_eq!(from.option(Reader::u8).unwrap(), flag.then_some(7));
        prop_assert!(from.end().is_ok());
    }
}

std::thread_local! {
    static RECORD: Vec<u8> = recorded(Setup::of(lan(2)), 60.0).1;
}
