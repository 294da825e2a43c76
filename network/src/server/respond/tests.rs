//! The server's answers, case by case.

use super::*;
use crate::server::limit::Limits;
use ipc::message::server::{Access, MAX_RULES, Rule};
use ipc::units::{Span, WallTime};
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

fn everybody() -> AccessList {
    let mut rules = [Rule::NONE; MAX_RULES];
    rules[0] = Rule { allow: true, ..Rule::NONE };
    rules[1] = Rule { allow: true, ipv6: true, ..Rule::NONE };
    AccessList::new(&Access { count: 2, rules }).unwrap()
}

fn asked(source: &str) -> Asked {
    Asked { source: source.parse().unwrap(), target: "192.0.2.123:123".parse().ok(), is_unicast: true }
}

fn answer_to(request: &[u8], asked: &Asked) -> Result<[u8; LENGTH], Refusal> {
    let mut limiter = Limiter::new(Limits::DEFAULT);
    respond(request, asked, Some(&state()), RECEIVE, at(1_001), &everybody(), &mut limiter)
}

fn answer(header: Header) -> Result<Header, Refusal> {
    answer_to(&header.encode(), &asked("198.51.100.7:4444")).map(|octets| Header::decode(&octets).unwrap())
}

fn answer_at(state: Option<&ServerState>, now: RawInstant) -> Header {
    let request = minimal(NONCE).encode();
    let mut limiter = Limiter::new(Limits::DEFAULT);
    let asked = asked("198.51.100.7:4444");
    let octets = respond(&request, &asked, state, RECEIVE, now, &everybody(), &mut limiter).unwrap();
    Header::decode(&octets).unwrap()
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
fn a075_only_mode_3_of_versions_1_to_4_is_answered() {
    for version in 0..8 {
        for mode in 0..8 {
            let outcome = answer(Header { version, mode, ..minimal(NONCE) });
            match (version, mode) {
                (1..=4, 3) => assert_eq!(outcome.unwrap().version, version),
                (_, 6 | 7) => assert_eq!(outcome, Err(Refusal::Control)),
                _ => assert_eq!(outcome, Err(Refusal::Malformed), "{version} {mode}"),
            }
        }
    }
}

#[test]
fn a075_a_reply_is_not_answered() {
    let request = minimal(NONCE).encode();
    let reply = answer_to(&request, &asked("198.51.100.7:123")).unwrap();
    assert_eq!(answer_to(&reply, &asked("198.51.100.8:123")), Err(Refusal::Malformed));
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
    let to_everybody = Asked { is_unicast: false, ..asked("198.51.100.7:4444") };
    assert_eq!(answer_to(&request, &to_everybody), Err(Refusal::Malformed));
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
    let mut limiter = Limiter::new(Limits::DEFAULT);
    for request in [&minimal(NONCE).encode()[..], &[0x16], &[]] {
        let asked = asked("198.51.100.7:4444");
        let nobody = AccessList::nobody();
        let outcome = respond(request, &asked, Some(&state()), RECEIVE, at(1_001), &nobody, &mut limiter);
        assert_eq!(outcome, Err(Refusal::Denied));
    }
}

#[test]
fn too_many_requests_are_limited() {
    let mut limiter = Limiter::new(Limits::DEFAULT);
    let (asked, everybody) = (asked("198.51.100.7:4444"), everybody());
    let request = minimal(NONCE).encode();
    let outcomes: Vec<_> = (0..5_000)
        .map(|_| respond(&request, &asked, Some(&state()), RECEIVE, at(1_001), &everybody, &mut limiter))
        .collect();
    let limited = outcomes.iter().filter(|outcome| **outcome == Err(Refusal::Limited)).count();
    assert!((2_700..3_300).contains(&limited), "{limited}");
    assert!(outcomes[..1024].iter().all(Result::is_ok));
}

#[test]
fn a073_a_million_random_requests_get_no_reply_that_is_longer() {
    let mut limiter = Limiter::new(Limits::DEFAULT);
    let everybody = everybody();
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
        let asked = Asked { source, target: None, is_unicast: true };
        let request = &request[..length];
        let now = RawInstant::saturating(round as i64 * 1_000_000);
        if let Ok(reply) = respond(request, &asked, Some(&state()), RECEIVE, now, &everybody, &mut limiter) {
            assert!(reply.len() <= request.len());
            answered += 1;
        }
    }
    assert!(answered > 100_000, "{answered}");
}
