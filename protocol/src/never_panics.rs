//! Arbitrary untrusted octets.

extern crate std;
use crate::extension_field::{Item, walk};
use crate::header::{Header, LENGTH};
use crate::kiss::KissCode;
use crate::reply::{SystemVariables, kiss, to_request};
use crate::timestamp::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use std::string::ToString;

proptest! {
    #[test]
    fn a015_any_octets_are_read_without_panic(octets in vec(any::<u8>(), 0..200)) {
        if let Ok(header) = Header::decode(&octets) {
            prop_assert_eq!(&header.encode()[..], &octets[..LENGTH]);
            prop_assert!(KissCode::from_reference_id(header.reference_id).to_string().is_ascii());
            for item in walk(&octets[LENGTH..], header.version) {
                let _ = item;
            }
        }
    }

    #[test]
    fn a_walk_covers_each_octet_once_or_says_what_is_wrong(
        octets in vec(any::<u8>(), 0..40).prop_map(|words| words.into_iter().flat_map(|w| [0, w % 5, 0, w]).collect::<std::vec::Vec<u8>>()),
        version in 0u8..8,
    ) {
        let mut covered = 0;
        let mut failed = false;
        for item in walk(&octets, version) {
            prop_assert!(!failed);
            match item {
                Ok(Item::Field { value, at, .. }) => {
                    prop_assert_eq!(at, covered);
                    covered += value.len() + 4;
                }
                Ok(Item::Mac(mac)) => covered += mac.len(),
                Ok(Item::CryptoNak) => covered += 4,
                Err(_) => failed = true,
            }
        }
        prop_assert!(failed || covered == octets.len());
    }

    #[test]
    fn a073_a_reply_is_never_longer_than_its_request(octets in vec(any::<u8>(), 0..120)) {
        if let Ok(request) = Header::decode(&octets) {
            let system = SystemVariables::unsynchronised(-20);
            for reply in [
                to_request(&request, &system, Timestamp::UNKNOWN, Timestamp::UNKNOWN),
                kiss(&request, *b"RATE"),
            ].into_iter().flatten() {
                prop_assert!(reply.encode().len() <= octets.len());
            }
        }
    }
}
