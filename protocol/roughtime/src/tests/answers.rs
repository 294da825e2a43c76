//! Whether an answer is taken.

use super::{NONCE, NOW, answered};
use crate::double::{Answer, Server, frame};
use crate::message::{HEADER, Message, Tag};
use crate::{Fault, REQUEST, Signed, Version, request, verify};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// roughenough-server 2.2.0, whose seed was zero: a request alone, and each of five that it answered together.
const REAL_KEY: [u8; 32] = [
    0x3b, 0x6a, 0x27, 0xbc, 0xce, 0xb6, 0xa4, 0x2d, 0x62, 0xa3, 0xa8, 0xd0, 0x2a, 0x6f, 0x0d, 0x73, 0x65,
    0x32, 0x15, 0x77, 0x1d, 0xe2, 0x43, 0xa6, 0x3a, 0xc0, 0x48, 0xa1, 0x8b, 0x59, 0xda, 0x29,
];
const REAL: [(u8, &[u8]); 6] = [
    (7, include_bytes!("../../tests/data/single.response")),
    (1, include_bytes!("../../tests/data/of-five-1.response")),
    (2, include_bytes!("../../tests/data/of-five-2.response")),
    (3, include_bytes!("../../tests/data/of-five-3.response")),
    (4, include_bytes!("../../tests/data/of-five-4.response")),
    (5, include_bytes!("../../tests/data/of-five-5.response")),
];

fn judge(packet: &[u8], server: &Server) -> Result<Signed, Fault> {
    verify(packet, &NONCE, &server.public_key(), Version::One)
}

#[test]
fn a_request_has_its_length_and_is_the_same_whenever_it_is_made() {
    let octets = request(&NONCE, &[1; 32], Version::Draft);
    assert!(octets == request(&NONCE, &[1; 32], Version::Draft) && octets.len() >= 1024 + HEADER);
    assert_eq!((&octets[..8], &octets[8..12]), (&b"ROUGHTIM"[..], &1024u32.to_le_bytes()[..]));
    let message = Message::read(&octets[HEADER..]).unwrap();
    assert_eq!(message.array(Tag::NONC), Some(NONCE));
    assert_eq!(message.array(Tag::VER), Some(0x8000_000cu32.to_le_bytes()));
    assert_eq!(message.array(Tag::TYPE), Some([0; 4]));
    assert!(message.array::<32>(Tag::SRV).is_some());
    assert!(message.value(Tag::ZZZZ).unwrap().iter().all(|octet| *octet == 0));
}

#[test]
fn answers_of_a_real_server_alone_and_together_are_valid() {
    for (nonce, packet) in REAL {
        let signed = verify(packet, &[nonce; 32], &REAL_KEY, Version::One);
        let signed = signed.unwrap_or_else(|fault| panic!("{nonce}: {fault}"));
        assert!((1_796_036_340..1_796_036_370).contains(&signed.midpoint), "{signed:?}");
        assert!((1..=10).contains(&signed.radius), "{signed:?}");
        // The same words, but for another version, are not what was signed.
        let draft = verify(packet, &[nonce; 32], &REAL_KEY, Version::Draft);
        assert_eq!(draft, Err(Fault::Version(1)));
    }
}

#[test]
fn every_single_octet_of_a_valid_answer_counts() {
    let (server, double) = answered(|answer| answer.others = (2, 1));
    let mut all: Vec<(Vec<u8>, [u8; 32], [u8; 32])> = vec![(double, NONCE, server.public_key())];
    all.extend(REAL[..2].iter().map(|(nonce, packet)| (packet.to_vec(), [*nonce; 32], REAL_KEY)));
    for (packet, nonce, key) in all {
        assert!(verify(&packet, &nonce, &key, Version::One).is_ok());
        for at in 0..packet.len() {
            for change in [1, 0x20, 0x80, 0xff] {
                let mut changed = packet.clone();
                changed[at] ^= change;
                let judged = verify(&changed, &nonce, &key, Version::One);
                assert!(judged.is_err(), "octet {at} ^ {change:#x}: {judged:?}");
            }
        }
        for length in 0..packet.len() {
            assert!(verify(&packet[..length], &nonce, &key, Version::One).is_err(), "{length} octets");
        }
        let longer = [&packet[..], &[0; 4]].concat();
        assert_eq!(verify(&longer, &nonce, &key, Version::One), Err(Fault::Frame));
    }
}

#[test]
fn both_versions_are_signed_with_their_own_words() {
    let server = Server::new(1);
    for version in [Version::One, Version::Draft] {
        let packet = server.answer(&NONCE, &Answer::of(NOW, version));
        assert_eq!(verify(&packet, &NONCE, &server.public_key(), version), Ok(NOW));
    }
    // One that says version 1 and signs with the draft's words.
    let (server, packet) = answered(|answer| {
        answer.version = Version::Draft;
        (answer.chosen, answer.versions) = (1, vec![1]);
    });
    assert_eq!(judge(&packet, &server), Err(Fault::Root));
}

#[test]
fn what_an_answer_must_not_say_is_refused_with_the_reason() {
    type Case = (&'static str, fn(&mut Answer), Fault);
    let cases: [Case; 10] = [
        ("a request's type", |answer| answer.kind = 0, Fault::Kind),
        ("another version", |answer| answer.chosen = 2, Fault::Version(2)),
        ("versions without its own", |answer| answer.versions = vec![2], Fault::Versions),
        ("no versions", |answer| answer.versions = vec![], Fault::Versions),
        ("versions that do not ascend", |answer| answer.versions = vec![1, 1], Fault::Versions),
        ("33 versions", |answer| answer.versions = (1..34).collect(), Fault::Versions),
        ("radius zero", |answer| answer.signed.radius = 0, Fault::Radius),
        ("before its delegation", |answer| answer.period.0 = NOW.midpoint + 1, Fault::Period),
        ("after its delegation", |answer| answer.period.1 = NOW.midpoint - 1, Fault::Period),
        ("a delegation that ends before it begins", |answer| answer.period = (9, 8), Fault::Period),
    ];
    for (what, change, fault) in cases {
        let (server, packet) = answered(change);
        assert_eq!(judge(&packet, &server), Err(fault), "{what}");
    }
    for (period, versions) in [((NOW.midpoint, NOW.midpoint), vec![1, 5]), ((0, u64::MAX), (1..33).collect())]
    {
        let (server, packet) = answered(|answer| (answer.period, answer.versions) = (period, versions));
        assert_eq!(judge(&packet, &server), Ok(NOW));
    }
}

#[test]
fn an_answer_is_of_one_request_to_one_server() {
    let (server, packet) = answered(|_| ());
    assert_eq!(verify(&packet, &[8; 32], &server.public_key(), Version::One), Err(Fault::Nonce));
    let other = Server::new(2);
    assert_eq!(verify(&packet, &NONCE, &other.public_key(), Version::One), Err(Fault::Root));
    // A server that answers the request to another one signs with its own keys.
    assert_eq!(verify(&packet, &NONCE, &[0; 32], Version::One), Err(Fault::Root));
}

#[test]
fn each_place_in_trees_of_each_size_is_found() {
    for size in 1..=9 {
        for before in 0..size {
            let (server, packet) = answered(|answer| answer.others = (before, size - 1 - before));
            assert_eq!(judge(&packet, &server), Ok(NOW), "{before} of {size}");
        }
    }
}

/// The message of a packet, with one value changed.
fn with(packet: &[u8], tag: Tag, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let tags = [Tag::SIG, Tag::NONC, Tag::TYPE, Tag::PATH, Tag::SREP, Tag::CERT, Tag::INDX];
    let message = Message::read(&packet[HEADER..]).unwrap();
    let mut values: Vec<(Tag, Vec<u8>)> =
        tags.iter().map(|tag| (*tag, message.value(*tag).unwrap().to_vec())).collect();
    values.iter_mut().filter(|(of, _)| *of == tag).for_each(|(_, value)| change(value));
    frame(&crate::double::message(&values))
}

#[test]
fn a_tree_has_no_bits_left_over_and_no_more_than_32_nodes_on_a_path() {
    let (server, packet) = answered(|answer| answer.others = (1, 0));
    assert_eq!(judge(&with(&packet, Tag::INDX, |_| ()), &server), Ok(NOW));
    let left_over = with(&packet, Tag::INDX, |index| index[3] = 0x80);
    assert_eq!(judge(&left_over, &server), Err(Fault::Root));
    let half = with(&packet, Tag::PATH, |path| path.truncate(28));
    assert_eq!(judge(&half, &server), Err(Fault::Lacks(Tag::PATH)));
    let (long, longest) = (with(&packet, Tag::PATH, |path| path.resize(32 * 33, 0)), REQUEST);
    assert!(long.len() > longest, "33 nodes are longer than a request");
    assert_eq!(judge(&long, &server), Err(Fault::TooLong));
}

#[test]
fn signatures_of_other_keys_are_refused_each_by_its_name() {
    let (server, packet) = answered(|_| ());
    let delegation =
        |packet: &[u8]| Message::read(&packet[HEADER..]).unwrap().value(Tag::CERT).unwrap().to_vec();
    let other = Server::new(2).answer(&NONCE, &Answer::of(NOW, Version::One));
    let foreign = delegation(&other);
    assert_eq!(
        judge(&with(&packet, Tag::CERT, |value| *value = foreign.clone()), &server),
        Err(Fault::Delegation)
    );
    let zero = with(&packet, Tag::SIG, |value| value.fill(0));
    assert_eq!(judge(&zero, &server), Err(Fault::Signature));
    // A weak key "signs" everything: the neutral element.
    let mut weak = [0; 32];
    weak[0] = 1;
    let packet = with(&packet, Tag::SIG, |value| {
        value.fill(0);
        value[0] = 1;
    });
    assert!(verify(&packet, &NONCE, &weak, Version::One).is_err());
}

#[test]
fn tags_that_are_not_known_are_passed_over() {
    let (server, packet) = answered(|_| ());
    let message = Message::read(&packet[HEADER..]).unwrap();
    let tags = [Tag::SIG, Tag::NONC, Tag::TYPE, Tag::PATH, Tag::SREP, Tag::CERT, Tag::INDX];
    let mut values: Vec<_> = tags.iter().map(|tag| (*tag, message.value(*tag).unwrap().to_vec())).collect();
    values.push((Tag::ZZZZ, vec![7; 16]));
    assert_eq!(judge(&frame(&crate::double::message(&values)), &server), Ok(NOW));
    for missing in tags {
        let fewer: Vec<_> = values.iter().filter(|(tag, _)| *tag != missing).cloned().collect();
        let judged = judge(&frame(&crate::double::message(&fewer)), &server);
        assert_eq!(judged, Err(Fault::Lacks(missing)));
    }
}

#[test]
fn messages_have_one_form() {
    let good = crate::double::message(&[(Tag::VER, vec![1; 4]), (Tag::NONC, vec![2; 8])]);
    assert!(Message::read(&good).is_some());
    // No tags, too many, tags that stand twice or the wrong way round, offsets beyond the end, odd, falling.
    let with = |at: usize, octet: u8| {
        let mut octets = good.clone();
        octets[at] = octet;
        octets
    };
    for bad in [with(0, 0), with(0, 33), with(3, 1), with(4, 13), with(4, 16), with(4, 2), with(7, 0x80)] {
        assert!(Message::read(&bad).is_none(), "{bad:?}");
    }
    let mut twice = good.clone();
    twice.copy_within(8..12, 12);
    let mut reversed = good.clone();
    reversed[8..16].rotate_left(4);
    assert!(Message::read(&twice).is_none() && Message::read(&reversed).is_none());
    assert!(Message::read(&good[..good.len() - 1]).is_none() && Message::read(&[]).is_none());
    let falling = crate::double::message(&[(Tag::VER, vec![1; 8]), (Tag::SRV, vec![]), (Tag::NONC, vec![])]);
    let mut falling_offsets = falling.clone();
    falling_offsets[8] = 4;
    assert!(Message::read(&falling).is_some() && Message::read(&falling_offsets).is_none());
}

proptest! {
    #[test]
    fn no_octets_panic_or_are_taken(octets in proptest::collection::vec(any::<u8>(), 0..1200), is_framed: bool) {
        let packet = if is_framed { frame(&octets) } else { octets };
        prop_assert!(verify(&packet, &NONCE, &Server::new(1).public_key(), Version::One).is_err());
    }

    #[test]
    fn a_valid_answer_with_octets_changed_anywhere_is_never_another_time(
        changes in proptest::collection::vec((0usize..416, any::<u8>()), 1..6),
    ) {
        let (server, packet) = answered(|_| ());
        let mut changed = packet.clone();
        for (at, octet) in changes {
            let length = changed.len();
            changed[at % length] = octet;
        }
        let judged = judge(&changed, &server);
        prop_assert!(judged.is_err() || changed == packet, "{:?}", judged);
    }

    #[test]
    fn words_that_lead_anywhere_panic_nowhere(
        at in 0usize..100,
        word in prop_oneof![any::<u32>(), (0u32..2000).prop_map(|near| near * 4)],
    ) {
        let (server, packet) = answered(|_| ());
        let mut changed = packet.clone();
        changed[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes());
        prop_assert!(judge(&changed, &server).is_err() || changed == packet);
    }
}
