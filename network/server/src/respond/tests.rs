//! The server's answers, case by case.

mod ms_sntp;
mod recorded;

use super::*;
use ipc::message::server::{Rule, ServerPolicy};
use ipc::symmetric_key::{MacKind, SymmetricKey};
use ipc::units::{Span, WallTime};
use protocol::mac::MacKey;
use protocol::request::minimal;
use std::hash::BuildHasher;

const NONCE: u64 = 0x0123_4567_89ab_cdef;
const RECEIVE: Timestamp = Timestamp::from_bits(0xee07_3ac0_8000_0000);

fn at(seconds: i64) -> RawInstant {
    RawInstant::saturating(seconds * SECOND)
}

fn state() -> ServerState {
    ServerState {
        leap: Leap::Insert,
        stratum: 3,
        precision: -24,
        root_delay: Span::from_millis(20),
        root_dispersion: Span::from_millis(5),
        as_of: at(1_000),
        reference_id: 0x7f00_0001,
        reference_time: WallTime::saturating(1_800_000_000_123_456_789),
        valid_until: at(2_000),
    }
}

fn every_address() -> AccessList {
    let v4 = Rule { allow: true, ..Rule::NONE };
    AccessList::new(&[v4, Rule { ipv6: true, ..v4 }]).unwrap()
}

/// What a request meets in these tests.
struct Bench {
    state: Option<ServerState>,
    now: RawInstant,
    access: AccessList,
    limiter: Option<Limiter>,
    keys: Option<KeyRing>,
    departures: Departures,
    is_silent: bool,
    signs: bool,
    smear: Option<i64>,
    rng: SplitMix64,
}

impl Bench {
    fn new() -> Self {
        Self {
            state: Some(state()),
            now: at(1_001),
            access: every_address(),
            limiter: None,
            keys: None,
            departures: Departures::new(),
            is_silent: false,
            signs: false,
            smear: None,
            rng: SplitMix64::new(),
        }
    }

    fn context(&self) -> RequestContext<'_> {
        RequestContext {
            version5: None,
            system: variables(self.state.as_ref(), self.now, self.smear),
            is_silent: self.is_silent,
            access: &self.access,
            limiter: self.limiter.as_ref(),
            keys: self.keys.as_ref(),
            signs: self.signs,
            departures: Some(&self.departures),
            now: self.now,
        }
    }

    fn respond(&mut self, request: &[u8], asked: &Asked, receive: Timestamp) -> Result<Reply, Refusal> {
        let mut rng = self.rng.clone();
        let context = self.context();
        let question = read(request, asked, &context)?;
        if question.is_protected {
            return Err(Refusal::Malformed);
        }
        let reply = super::answer(&question, asked, receive, &context, &mut rng);
        self.rng = rng;
        reply
    }

    fn header(&mut self) -> Header {
        let reply = self.respond(&minimal(NONCE).encode(), &asked(CLIENT), RECEIVE).unwrap();
        Header::decode(&reply.octets).unwrap()
    }
}

const CLIENT: &str = "198.51.100.7:4444";

fn asked(source: &str) -> Asked {
    Asked {
        source: source.parse::<SocketAddr>().unwrap().into(),
        target: "192.0.2.123:123".parse().ok(),
        is_unicast: true,
    }
}

fn answer_to(request: &[u8], asked: &Asked) -> Result<[u8; LENGTH], Refusal> {
    Bench::new().respond(request, asked, RECEIVE).map(|reply| reply.octets)
}

fn answer(header: Header) -> Result<Header, Refusal> {
    answer_to(&header.encode(), &asked(CLIENT)).map(|octets| Header::decode(&octets).unwrap())
}

fn answer_at(state: Option<&ServerState>, now: RawInstant) -> Header {
    Bench { state: state.copied(), now, ..Bench::new() }.header()
}

#[test]
fn a_client_is_answered_with_the_system_variables() {
    let reply = answer(Header { poll: 6, ..minimal(NONCE) }).unwrap();
    assert_eq!((reply.leap, reply.version, reply.mode, reply.stratum), (1, 4, 4, 3));
    assert_eq!((reply.poll, reply.precision, reply.reference_id), (6, -24, 0x7f00_0001));
    assert_eq!((reply.origin_timestamp, reply.receive_timestamp), (NONCE, RECEIVE.bits()));
    assert_eq!(reply.transmit_timestamp, 0, "written right before sending");
    assert_eq!(reply.root_delay, 1_311, "20 ms, rounded up");
}

#[test]
fn a091_the_reference_timestamp_is_in_whole_seconds() {
    let reply = answer(minimal(NONCE)).unwrap();
    let expected = Timestamp::from_unix_nanos(1_800_000_000 * SECOND);
    assert_eq!(reply.reference_timestamp, expected.bits());
}

#[test]
fn root_dispersion_grows_by_15_ppm_and_is_never_rounded_down() {
    assert_eq!(answer_at(Some(&state()), at(1_000)).root_dispersion, 328, "5 ms");
    assert_eq!(answer_at(Some(&state()), at(2_000)).root_dispersion, 1_311, "5 ms and 1000 s of 15 µs");
    assert_eq!(answer_at(Some(&state()), at(10)).root_dispersion, 328, "not smaller before its time");
}

#[test]
fn a092_without_a_state_that_is_valid_a_server_is_unsynchronised() {
    for (state, now) in [
        (None, at(1_000)),
        (Some(state()), RawInstant::saturating(2_000 * SECOND + 1)),
        (Some(ServerState { stratum: 16, ..state() }), at(1_001)),
        (Some(ServerState { leap: Leap::Unknown, ..state() }), at(1_001)),
    ] {
        let reply = answer_at(state.as_ref(), now);
        assert_eq!((reply.leap, reply.stratum, reply.reference_id), (3, 0, 0), "{state:?}");
    }
    assert_eq!(answer_at(Some(&state()), at(2_000)).leap, 1, "valid to the end");
}

#[test]
fn a074_modes_6_and_7_are_silent_whatever_their_length() {
    for first in [0x16u8, 0x17, 0x1e, 0x26, 0x27, 0xff] {
        for length in [1, 4, 8, 12, 48, 468] {
            let mut request = vec![0; length];
            request[0] = first;
            let outcome = answer_to(&request, &asked("198.51.100.7:4444"));
            assert_eq!(outcome, Err(Refusal::Control), "{first:#x} {length}");
        }
    }
}

#[test]
fn a075_only_clients_and_symmetric_peers_of_versions_1_to_4_are_answered() {
    for version in 0..8 {
        for mode in 0..8 {
            let outcome = answer(Header { version, mode, ..minimal(NONCE) });
            match (version, mode) {
                (1..=4, 3) | (1, 0) => {
                    let reply = outcome.unwrap();
                    assert_eq!((reply.version, reply.mode), (version, 4));
                }
                (1..=4, 1) => {
                    let reply = outcome.unwrap();
                    assert_eq!((reply.version, reply.mode, reply.origin_timestamp), (version, 2, NONCE));
                }
                (_, 6 | 7) => assert_eq!(outcome, Err(Refusal::Control)),
                _ => assert_eq!(outcome, Err(Refusal::Malformed), "{version} {mode}"),
            }
        }
    }
}

#[test]
fn a075_a_server_of_version_1_that_knows_no_modes_is_not_answered() {
    let request = Header { version: 1, mode: 0, ..minimal(NONCE) }.encode();
    assert_eq!(answer_to(&request, &asked("198.51.100.7:123")), Err(Refusal::Malformed));
}

#[test]
fn a075_a_reply_is_not_answered() {
    for mode in [1, 3] {
        let request = Header { mode, ..minimal(NONCE) }.encode();
        let reply = answer_to(&request, &asked("198.51.100.7:123")).unwrap();
        assert_eq!(answer_to(&reply, &asked("198.51.100.8:123")), Err(Refusal::Malformed), "to mode {mode}");
    }
}

#[test]
fn a_symmetric_peer_leaves_nothing_behind_and_has_no_nts() {
    // What a client would get interleaved.
    let peer = Header { mode: 1, origin_timestamp: 1, receive_timestamp: 2, ..minimal(NONCE) };
    assert!(wants_interleaved(&Header { mode: 3, ..peer }) && !wants_interleaved(&peer));
    let mut request = peer.encode().to_vec();
    request.extend_from_slice(&[0x02, 0x04, 0, 28]);
    request.resize(LENGTH + 28, 0);
    let bench = Bench::new();
    assert_eq!(read(&request, &asked(CLIENT), &bench.context()), Err(Refusal::Malformed));
    request[0] = request[0] & 0xf8 | 3;
    assert!(read(&request, &asked(CLIENT), &bench.context()).unwrap().is_protected, "of a client");
}

#[test]
fn a076_senders_that_cannot_be_answered_are_silent() {
    let request = minimal(NONCE).encode();
    for source in [
        "198.51.100.7:0",
        "0.0.0.0:123",
        "224.0.1.1:123",
        "[ff02::101]:123",
        "[::]:123",
        "[::ffff:224.0.1.1]:123",
        "192.0.2.123:123",
        "[::ffff:192.0.2.123]:123",
    ] {
        assert_eq!(answer_to(&request, &asked(source)), Err(Refusal::Malformed), "{source}");
    }
    assert!(answer_to(&request, &asked("192.0.2.123:4444")).is_ok(), "a client on this host");
    let to_a_group = Asked { is_unicast: false, ..asked("198.51.100.7:4444") };
    assert_eq!(answer_to(&request, &to_a_group), Err(Refusal::Malformed));
}

#[test]
fn a093_unknown_extension_fields_are_ignored_and_broken_ones_are_silent() {
    let request = minimal(NONCE).encode();
    for kind in [0x0005u16, 0x0108, 0x2005, 0xf323, 0xf501, 0xffff] {
        let mut octets = [&request[..], &[0; 32]].concat();
        octets[48..50].copy_from_slice(&kind.to_be_bytes());
        octets[50..52].copy_from_slice(&32u16.to_be_bytes());
        assert!(answer_to(&octets, &asked("198.51.100.7:4444")).is_ok(), "{kind:#x}");
        for length in [0u16, 1, 3, 15, 33, 36, 65_535] {
            octets[50..52].copy_from_slice(&length.to_be_bytes());
            let outcome = answer_to(&octets, &asked("198.51.100.7:4444"));
            assert_eq!(outcome, Err(Refusal::Malformed), "{kind:#x} {length}");
        }
    }
}

#[test]
fn a094_a_stranger_is_denied_before_anything_is_parsed() {
    let mut bench = Bench { access: AccessList::empty(), ..Bench::new() };
    for request in [&minimal(NONCE).encode()[..], &[0x16], &[]] {
        assert_eq!(bench.respond(request, &asked(CLIENT), RECEIVE), Err(Refusal::Denied));
    }
}

#[test]
fn a092_with_silence_configured_only_a_synchronised_server_answers() {
    let request = minimal(NONCE).encode();
    let mut bench = Bench { is_silent: true, ..Bench::new() };
    assert!(bench.respond(&request, &asked(CLIENT), RECEIVE).is_ok());
    for (state, now) in [
        (None, at(1_001)),
        (Some(state()), at(2_001)),
        (Some(ServerState { stratum: 16, ..state() }), at(1_001)),
        (Some(ServerState { leap: Leap::Unknown, ..state() }), at(1_001)),
    ] {
        (bench.state, bench.now) = (state, now);
        assert_eq!(
            bench.respond(&request, &asked(CLIENT), RECEIVE),
            Err(Refusal::Unsynchronised),
            "{state:?}"
        );
    }
}

#[test]
fn smeared_time_says_so_and_announces_no_leap_second() {
    let reply = Bench { smear: Some(250_000_000), ..Bench::new() }.header();
    assert_eq!((reply.leap, reply.reference_id), (0, 0xfe10_0000));
    let unsynchronised = Bench { smear: Some(1), now: at(2_001), ..Bench::new() }.header();
    assert_eq!((unsynchronised.leap, unsynchronised.stratum), (3, 0));
}

#[test]
fn too_many_requests_are_limited_and_some_are_told_so_without_a_time() {
    let mut bench = Bench { limiter: Limiter::new(&ServerPolicy::DEFAULT), ..Bench::new() };
    let request = Header { poll: 4, ..minimal(NONCE) }.encode();
    let outcomes: Vec<_> = (0..5_000).map(|_| bench.respond(&request, &asked(CLIENT), RECEIVE)).collect();
    assert!(outcomes[..128].iter().all(|outcome| outcome.is_ok_and(|reply| !reply.is_spared)));
    let spared = outcomes.iter().flatten().filter(|reply| reply.is_spared).count();
    assert!((900..=1_100).contains(&spared), "{spared}");
    let kisses: Vec<_> = outcomes.iter().flatten().filter(|reply| reply.kind == ReplyKind::Kiss).collect();
    assert!((30..=65).contains(&kisses.len()), "{}", kisses.len());
    let kiss = Header::decode(&kisses[0].octets).unwrap();
    assert_eq!((kiss.stratum, kiss.reference_id, kiss.leap), (0, 0x5241_5445, 3));
    assert_eq!((kiss.origin_timestamp, kiss.receive_timestamp, kiss.transmit_timestamp), (NONCE, 0, 0));
}

mod interleaved {
    use super::*;

    const FIRST: Timestamp = Timestamp::from_bits(0xee07_3ac0_8000_0001);
    const SECOND_ONE: Timestamp = Timestamp::from_bits(0xee07_3ac1_8000_0001);
    const LEFT: u64 = 0xee07_3ac0_9000_0000;

    fn next_request() -> Header {
        Header { origin_timestamp: FIRST.bits(), receive_timestamp: 77, ..minimal(NONCE) }
    }

    fn ask(bench: &mut Bench, request: Header, source: &str) -> (Header, Reply) {
        let reply = bench.respond(&request.encode(), &asked(source), SECOND_ONE).unwrap();
        (Header::decode(&reply.octets).unwrap(), reply)
    }

    #[test]
    fn the_next_reply_says_when_the_last_one_left() {
        let mut bench = Bench::new();
        // The first request that asks for it is answered in the basic mode, and remembered.
        let (header, reply) = ask(&mut bench, next_request(), CLIENT);
        assert_eq!((reply.kind, header.origin_timestamp), (ReplyKind::Basic, NONCE));
        let name = bench.departures.name(FIRST.bits(), "198.51.100.7".parse().unwrap());
        bench.departures.put(name, LEFT, 0);
        let (header, reply) = ask(&mut bench, next_request(), CLIENT);
        assert_eq!(reply.kind, ReplyKind::Interleaved);
        assert_eq!((header.origin_timestamp, header.transmit_timestamp), (77, LEFT));
        assert_eq!(header.receive_timestamp, SECOND_ONE.bits());
        assert_eq!(reply.departure, Some(bench.departures.name(SECOND_ONE.bits(), asked(CLIENT).source.ip)));
    }

    #[test]
    fn a090_a_spoofed_address_gets_nothing_of_another_ones_stamp() {
        let mut bench = Bench::new();
        let name = bench.departures.name(FIRST.bits(), "198.51.100.7".parse().unwrap());
        bench.departures.put(name, LEFT, 0);
        let (header, reply) = ask(&mut bench, next_request(), "198.51.100.8:4444");
        assert_eq!((reply.kind, header.origin_timestamp), (ReplyKind::Basic, NONCE));
    }

    #[test]
    fn a_client_that_returns_our_transmit_timestamp_or_nothing_costs_no_stamp() {
        let mut bench = Bench::new();
        for (origin, receive) in [(0, 0), (LEFT, 77), (FIRST.bits(), 0), (FIRST.bits(), NONCE)] {
            let request = Header { origin_timestamp: origin, receive_timestamp: receive, ..minimal(NONCE) };
            let (_, reply) = ask(&mut bench, request, CLIENT);
            assert_eq!((reply.kind, reply.departure), (ReplyKind::Basic, None), "{origin:#x}");
        }
    }
}

#[test]
fn a073_a_million_random_requests_get_no_reply_that_is_longer() {
    let mut bench = Bench { limiter: Limiter::new(&ServerPolicy::DEFAULT), ..Bench::new() };
    let hasher = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
    let mut request = [0u8; 1024];
    let mut answered = 0;
    for round in 0..1_000_000u64 {
        for (place, octets) in request.chunks_exact_mut(8).take(10).enumerate() {
            octets.copy_from_slice(&hasher.hash_one((round, place)).to_le_bytes());
        }
        let draw = hasher.hash_one(round);
        if round % 2 == 0 {
            // Half of them look like a request at first sight.
            request[0] = 0x23;
        }
        let length = match draw % 4 {
            0 => 48,
            1 => draw as usize / 4 % 1025,
            _ => draw as usize / 4 % 21 * 4,
        };
        let source = SocketAddr::from(((draw as u32).to_be_bytes(), (draw >> 32) as u16));
        let asked = Asked { source: source.into(), target: None, is_unicast: true };
        let request = &request[..length];
        bench.now = RawInstant::saturating(round as i64 * 1_000_000);
        if let Ok(reply) = bench.respond(request, &asked, RECEIVE) {
            assert!(reply.octets.len() <= request.len());
            answered += 1;
        }
    }
    assert!(answered > 100_000, "{answered}");
}

fn key(number: u32, kind: MacKind, octet: u8) -> SymmetricKey {
    let length = if kind == MacKind::Aes128 { 16 } else { 32 };
    SymmetricKey::new(number, kind, &[octet; 32][..length]).unwrap()
}

fn sealed(packet: &[u8], key: &SymmetricKey, version: u8) -> Vec<u8> {
    let mut out = [packet, &[0; 68]].concat();
    let length = MacKey::new(key).unwrap().put(&mut out, packet.len(), version).unwrap();
    out.truncate(length);
    out
}

#[test]
fn a202_a_request_with_a_mac_is_answered_by_its_key_or_not_at_all() {
    for kind in MacKind::ALL {
        for version in 1..=4 {
            let own = key(7, kind, 1);
            let keys = KeyRing::new(&[key(5, MacKind::Aes128, 9), own.clone()]);
            let mut bench = Bench { keys, ..Bench::new() };
            let mut ask = |request: &[u8]| bench.respond(request, &asked(CLIENT), RECEIVE);
            let header = Header { version, ..minimal(NONCE) }.encode();
            let good = sealed(&header, &own, version);
            let reply = ask(&good).unwrap();
            assert!(reply.key.is_some() && reply.kind == ReplyKind::Basic, "{kind:?} {version}");
            assert_eq!(ask(&header).unwrap().key, None, "without a MAC as ever");
            for bit in 0..good.len() * 8 {
                let mut other = good.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                let outcome = ask(&other);
                assert!(outcome.is_err(), "{kind:?} {version} {bit}: {outcome:?}");
            }
            let refused = Err(Refusal::Unauthenticated);
            assert_eq!(ask(&sealed(&header, &key(7, kind, 2), version)), refused);
            assert_eq!(ask(&sealed(&header, &key(8, kind, 1), version)), refused);
            assert_eq!(ask(&[&header[..], &[0; 4]].concat()), refused, "a crypto-NAK");
            let other = if kind == MacKind::Aes128 { MacKind::Aes256 } else { MacKind::Aes128 };
            assert!(ask(&sealed(&header, &key(7, other, 1), version)).is_err());
        }
    }
    let mut keyless = Bench::new();
    let request = sealed(&minimal(NONCE).encode(), &key(7, MacKind::Aes128, 1), 4);
    let outcome = keyless.respond(&request, &asked(CLIENT), RECEIVE);
    assert_eq!(outcome, Err(Refusal::Unauthenticated));
}

#[test]
fn a202_a_mac_is_made_over_extension_fields_which_are_not_answered() {
    let own = key(7, MacKind::Sha1, 1);
    let mut bench = Bench { keys: KeyRing::new(std::slice::from_ref(&own)), ..Bench::new() };
    let mut field = [0; 28];
    field[..4].copy_from_slice(&[0xf3, 0x23, 0, 28]);
    let request = [&minimal(NONCE).encode()[..], &field].concat();
    let mut good = sealed(&request, &own, 4);
    let reply = bench.respond(&good, &asked(CLIENT), RECEIVE).unwrap();
    let keys = bench.keys.as_ref().unwrap();
    assert!(keys.reply_length(reply.key.unwrap(), LENGTH, 4) < good.len());
    good[60] ^= 1;
    assert_eq!(bench.respond(&good, &asked(CLIENT), RECEIVE), Err(Refusal::Unauthenticated));
}

#[test]
fn a078_a203_a_client_with_a_key_is_limited_apart_from_what_is_sent_in_the_name_of_its_address() {
    let own = key(7, MacKind::Aes128, 1);
    let policy = ServerPolicy { address_rate: 1, network_rate: 1, kiss: false, ..ServerPolicy::DEFAULT };
    let mut bench = Bench {
        keys: KeyRing::new(std::slice::from_ref(&own)),
        limiter: Limiter::new(&policy),
        ..Bench::new()
    };
    let plain = minimal(NONCE).encode();
    let good = sealed(&plain, &own, 4);
    let wrong = sealed(&plain, &key(7, MacKind::Aes128, 2), 4);
    let mut limited = 0;
    for _ in 0..200 {
        limited += usize::from(bench.respond(&plain, &asked(CLIENT), RECEIVE) == Err(Refusal::Limited));
        assert_eq!(bench.respond(&wrong, &asked(CLIENT), RECEIVE), Err(Refusal::Unauthenticated));
    }
    assert!(limited > 100, "{limited}");
    assert!(bench.respond(&good, &asked(CLIENT), RECEIVE).is_ok(), "neither of them counts against it");
    let many = (0..200).filter(|_| bench.respond(&good, &asked(CLIENT), RECEIVE).is_ok()).count();
    assert!(many < 100, "its own do: {many}");
}
