//! Arbitrary untrusted octets.

extern crate std;
use super::client::{self, Wanted};
use super::server::{self, Told};
use super::{DRAFT, Filter, Header, Timescale, field};
use crate::header::LENGTH;
use proptest::collection::vec;
use proptest::prelude::*;
use std::vec::Vec;

/// Fields of any kind, most of them in order.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0xf4ffu16..0xf50b, Just(0xf5ff), Just(0x0104), Just(0x0204), any::<u16>()];
    let one = (kind, vec(any::<u8>(), 0..40), any::<bool>(), any::<u16>());
    vec(one, 0..8).prop_map(|all| {
        let mut octets = std::vec![0; 1024];
        let mut end = 0;
        for (kind, value, is_lie, lie) in all {
            let at = end;
            let (place, next) = field::put(&mut octets, at, kind, value.len()).unwrap();
            place.copy_from_slice(&value);
            if is_lie && lie % 8 == 0 {
                octets[at + 2..at + 4].copy_from_slice(&lie.to_be_bytes());
            }
            end = next;
        }
        octets.truncate(end);
        octets
    })
}

fn packet(first: u8, fields: &[u8]) -> Vec<u8> {
    let mut packet = std::vec![0; LENGTH + 28];
    packet[0] = first;
    packet[24..32].copy_from_slice(&1u64.to_be_bytes());
    packet[48..52].copy_from_slice(&[0xf5, 0xff, 0, 0x1b]);
    packet[52..75].copy_from_slice(DRAFT);
    packet.extend(fields);
    packet
}

proptest! {
    #[test]
    fn a214_any_octets_are_read_without_panic(octets in vec(any::<u8>(), 0..300)) {
        if let Ok(Some(header)) = Header::decode(&octets) {
            prop_assert_eq!(&header.encode()[..], &octets[..LENGTH]);
        }
        let _ = (client::read(&octets, 1), client::asked(&octets), server::read(&octets));
        prop_assert!(field::walk(&octets).count() <= field::MOST + 1);
    }

    #[test]
    fn a216_a_reply_has_the_length_of_its_request_and_is_in_order(fields in fields()) {
        let mut packet = packet(0x2b, &fields);
        let length = packet.len();
        if server::read(&packet).is_ok() {
            let filter = Filter::from_octets([0x55; 512]);
            let told = Told {
                timescale: Timescale::Utc,
                filter: Some(&filter),
                reference_timestamp: 1,
                received: 1,
                receive_timestamp: 1,
            };
            server::answer_fields(&mut packet[LENGTH..], Some(&told));
            prop_assert_eq!(packet.len(), length);
            prop_assert!(field::walk(&packet[LENGTH..]).all(|item| item.is_ok()));
        }
    }

    #[test]
    fn a214_a_walk_covers_each_octet_once_or_says_what_is_wrong(fields in fields()) {
        let (mut covered, mut failed) = (0, false);
        for item in field::walk(&fields) {
            prop_assert!(!failed);
            match item {
                Ok(item) => {
                    prop_assert_eq!(item.at, covered);
                    covered += item.length.next_multiple_of(4);
                }
                Err(_) => failed = true,
            }
        }
        prop_assert!(failed || covered == fields.len());
    }

    #[test]
    fn a214_what_a_client_reads_has_its_cookie(fields in fields(), cookie: u64) {
        let packet = packet(0x2c, &fields);
        prop_assert!(client::read(&packet, cookie).is_err() || cookie == 1);
    }

    #[test]
    fn a_request_is_understood_by_a_server(cookie in 1u64.., reference_ids: bool, correction: bool) {
        let mut out = [0; 1232];
        let wanted = Wanted { reference_ids, correction };
        let length = client::put_request(&mut out, cookie, wanted).unwrap();
        prop_assert_eq!(server::read(&out[..length]).unwrap().header.client_cookie, cookie);
    }
}
