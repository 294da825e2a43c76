//! Round trip, hostile octets, and the proof that another crate reads the same bytes.

use super::Shortfall;
use super::client::{FromClient, Query, ToClient};
use super::launch::{FromLaunch, ToLaunch};
use super::privileged::{Adjust, ToPrivileged};
use crate::codec::{CodecError, MAX_FRAME, Message, decode, encode};
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

fn frame<M: Message>(sequence: u32, body: &M) -> Vec<u8> {
    let mut frame = [0; MAX_FRAME];
    let length = encode(sequence, body, &mut frame);
    frame[..length].to_vec()
}

/// Octets that are one record must be the only encoding of that record; anything else is an error.
fn canonical_or_refused<M: Message + PartialEq + std::fmt::Debug>(octets: &[u8]) {
    if let Ok(record) = decode::<M>(octets) {
        assert_eq!(frame(record.sequence, &record.body), octets);
    }
}

macro_rules! each_message {
    ([$($to_link:ident::$to:ident, $from_link:ident::$from:ident;)*] $($link:ident::$name:ident)*) => {
        each_message! { $($to_link::$to $from_link::$from)* $($link::$name)* }
    };
    ($($link:ident::$name:ident)*) => { $( #[allow(non_snake_case, reason = "named as the message is")] mod $name {
        use crate::message::$link::$name;
        use super::*;

        proptest! {
            #[test]
            fn round_trips_and_has_one_encoding(sequence: u32, body: $name) {
                let octets = frame(sequence, &body);
                let record = decode::<$name>(&octets).unwrap();
                prop_assert_eq!(record.sequence, sequence);
                prop_assert_eq!(record.body, body);
            }

            #[test]
            fn wincode_reads_and_writes_the_same_octets(sequence: u32, body: $name) {
                let octets = frame(sequence, &body);
                let mut theirs = [0u8; MAX_FRAME];
                let room = theirs.len();
                let mut rest = &mut theirs[..];
                wincode::serialize_into(&mut rest, &body).unwrap();
                let length = room - rest.len();
                prop_assert_eq!(&theirs[..length], &octets[6..]);
                prop_assert_eq!(wincode::deserialize_exact::<$name>(&octets[6..]).unwrap(), body);
            }

            #[test]
            fn a096_short_long_and_altered_frames_are_refused(sequence: u32, body: $name, cut in 1usize..64, extra in 1usize..64, at: prop::sample::Index, flip in 1u8..) {
                let octets = frame(sequence, &body);
                let cut = cut.min(octets.len());
                prop_assert_eq!(decode::<$name>(&octets[..octets.len() - cut]), Err(CodecError::Short));
                let mut long = octets.clone();
                long.resize(octets.len() + extra, 0);
                prop_assert_eq!(decode::<$name>(&long), Err(CodecError::Trailing));
                let mut altered = octets.clone();
                altered[at.index(octets.len())] ^= flip;
                canonical_or_refused::<$name>(&altered);
                let mut other = octets.clone();
                other[at.index(2)] ^= flip;
                prop_assert_eq!(decode::<$name>(&other), Err(CodecError::Version));
            }

            #[test]
            fn a097_no_octets_panic_or_are_taken_loosely(octets in prop::collection::vec(any::<u8>(), 0..MAX_FRAME + 8), kind in 0u8..8) {
                canonical_or_refused::<$name>(&octets);
                // The same behind a valid header, so that the decoder reaches the fields.
                let mut headed = frame(0, &sample::<$name>())[..6].to_vec();
                headed.extend([kind, 0, 0, 0]);
                headed.extend(&octets);
                headed.truncate(MAX_FRAME);
                canonical_or_refused::<$name>(&headed);
            }
        }
    } )* };
}

fn sample<M: Arbitrary>() -> M {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    any::<M>().new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

/// A module for each, apart from the types of the same names.
mod each {
    use super::*;

    messages!(each_message);
}

/// The octets of many values of every message, as one checksum.
fn layouts() -> u64 {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut all = hmac_sha256::Hash::new();
    macro_rules! add {
        ([$($to_link:ident::$to:ident, $from_link:ident::$from:ident;)*] $($link:ident::$name:ident)*) => {
            add! { $($to_link::$to $from_link::$from)* $($link::$name)* }
        };
        ($($link:ident::$name:ident)*) => { $(
            let mut runner = TestRunner::deterministic();
            for _ in 0..64 {
                let body = any::<crate::message::$link::$name>().new_tree(&mut runner).unwrap().current();
                all.update(frame(0, &body));
            }
        )* };
    }
    messages!(add);
    u64::from_le_bytes(all.finalize()[..8].try_into().unwrap())
}

/// Programs of two builds may meet during an upgrade: the number keeps them apart, if it is a new one.
#[test]
fn a_changed_layout_of_a_message_has_a_new_number() {
    let known = (crate::codec::VERSION, layouts());
    assert_eq!(
        known,
        (0x7435, 4_344_603_154_035_727_295),
        "raise VERSION in ipc/src/codec.rs, then note both numbers here"
    );
}

#[test]
fn a096_a_frame_of_no_octets_or_of_64_kib_is_refused() {
    assert_eq!(decode::<ToPrivileged>(&[]), Err(CodecError::Short));
    assert_eq!(decode::<ToPrivileged>(&[0; 65_536]), Err(CodecError::Trailing));
}

#[test]
fn a096_a_boolean_of_two_and_an_unknown_kind_are_refused() {
    let hello = frame(0, &FromClient::Hello(super::Shortfall::NONE));
    let mut two = hello.clone();
    *two.last_mut().unwrap() = 2;
    assert_eq!(decode::<FromClient>(&two), Err(CodecError::Value));
    let mut kind = hello;
    kind[6] = 77;
    assert_eq!(decode::<FromClient>(&kind), Err(CodecError::Value));
}

#[test]
fn a139_out_of_range_numbers_never_become_an_order() {
    let adjust = sample::<Adjust>();
    let octets = frame(0, &ToPrivileged::Adjust(adjust));
    // head 6, kind 4, epoch 4, then frequency (i32) and slew (i64).
    for extreme in [i32::MIN, i32::MAX, 327_680_001, -327_680_001] {
        let mut bad = octets.clone();
        bad[14..18].copy_from_slice(&extreme.to_le_bytes());
        assert_eq!(decode::<ToPrivileged>(&bad), Err(CodecError::Value), "{extreme}");
    }
    for extreme in [i64::MIN, i64::MAX] {
        let mut bad = octets.clone();
        bad[18..26].copy_from_slice(&extreme.to_le_bytes());
        assert_eq!(decode::<ToPrivileged>(&bad), Err(CodecError::Value), "{extreme}");
    }
}

#[test]
fn a_packet_of_other_than_zero_behind_its_length_is_refused() {
    let query = Query { packet: crate::packet::Packet::from_octets(&[7; 48]).unwrap(), ..sample::<Query>() };
    let mut octets = frame(0, &ToClient::Query(query));
    *octets.last_mut().unwrap() = 1;
    assert_eq!(decode::<ToClient>(&octets), Err(CodecError::Value));
}

#[test]
fn the_link_of_the_launch_carries_nothing_back() {
    // After the head of a record no octets are a message.
    let head = &frame(0, &ToLaunch::Hello)[..6];
    assert_eq!(decode::<FromLaunch>(head), Err(CodecError::Value));
    for kind in 0..=255 {
        let record = [head, &[kind, 0, 0, 0]].concat();
        assert_eq!(decode::<FromLaunch>(&record), Err(CodecError::Value));
    }
}

#[test]
fn what_is_missing_of_a_confinement_is_said_in_words() {
    assert_eq!(Shortfall::NONE.to_string(), "");
    let some = Shortfall { namespaces: true, landlock: true, ..Shortfall::NONE };
    assert_eq!(some.to_string(), "no namespaces of its own, no Landlock");
}
