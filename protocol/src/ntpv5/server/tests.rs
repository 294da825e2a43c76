extern crate std;
use super::*;
use crate::ntpv5::ReferenceId;
use crate::ntpv5::client::{self, Wanted};
use crate::ntpv5::field::put;
use crate::timestamp::Timestamp;
use std::vec::Vec;

const COOKIE: u64 = 77;
const RECEIVED: i64 = 2_085_978_496_000_000_000;

const SYSTEM: SystemVariables = SystemVariables {
    leap: 1,
    stratum: 2,
    precision: -23,
    root_delay: 0x100,
    root_dispersion: 0x80,
    reference_id: 0xc000_0201,
    reference_timestamp: Timestamp::from_bits(0xe500_0000_0000_0000),
};

fn told(filter: &Filter) -> Told<'_> {
    Told {
        timescale: Timescale::Utc,
        filter: Some(filter),
        reference_timestamp: 0xe500_0000_0000_0000,
        received: RECEIVED,
        receive_timestamp: 0x11,
    }
}

fn filter() -> Filter {
    let mut filter = Filter::EMPTY;
    filter.add(&ReferenceId::of_address("192.0.2.1".parse().unwrap()));
    filter
}

/// A request with these fields behind its draft.
fn request(fields: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = std::vec![0; 2048];
    let mut end =
        client::put_request(&mut out, COOKIE, Wanted { reference_ids: false, correction: false }).unwrap();
    for (kind, value) in fields {
        let (place, next) = put(&mut out, end, *kind, value.len()).unwrap();
        place.copy_from_slice(value);
        end = next;
    }
    out.truncate(end);
    out
}

/// The reply to a request with these fields, without its header and its draft.
fn answered(fields: &[(u16, &[u8])], told: Option<&Told<'_>>) -> Vec<u8> {
    let mut packet = request(fields);
    assert!(read(&packet).is_ok());
    let before = packet.len();
    answer_fields(&mut packet[LENGTH..], told);
    assert_eq!(packet.len(), before);
    assert_eq!(packet[52..75], DRAFT[..]);
    packet.split_off(76)
}

#[test]
fn a_client_reads_the_reply() {
    let wanted = Wanted { reference_ids: true, correction: true };
    let mut packet = [0; 1232];
    let length = client::put_request(&mut packet, COOKIE, wanted).unwrap();
    let packet = &mut packet[..length];
    let request = read(packet).unwrap();
    assert!(!request.is_protected);
    let filter = filter();
    let header = time(&request.header, &SYSTEM, &told(&filter));
    packet[..LENGTH].copy_from_slice(&header.encode());
    answer_fields(&mut packet[LENGTH..], Some(&told(&filter)));
    let reply = client::read(packet, COOKIE).unwrap();
    assert_eq!(reply.filter, Some(filter));
    assert_eq!(reply.correction, Some(Correction::default()));
    let header = reply.header;
    assert!(header.flags.is_synchronised() && !header.flags.is_interleaved());
    assert_eq!((header.leap, header.stratum, header.precision, header.poll), (1, 2, -23, 0));
    assert_eq!((header.root_delay, header.root_dispersion), (0x0010_0000, 0x0008_0000));
    assert_eq!((header.era, header.receive_timestamp, header.timescale), (1, 0x11, 0));
}

#[test]
fn each_field_is_answered_in_its_place_or_becomes_padding() {
    let filter = filter();
    let told = told(&filter);
    let of = |kind, value: &[u8]| answered(&[(kind, value)], Some(&told));
    assert_eq!(of(0xf505, &[0; 4]), [0xf5, 5, 0, 8, 0, 0x1f, 0, 0]);
    assert_eq!(of(0xf507, &[0; 8]), [0xf5, 7, 0, 12, 0xe5, 0, 0, 0, 0, 0, 0, 0]);
    let secondary = [0xf5, 9, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11];
    assert_eq!(of(0xf509, &[0; 12]), secondary);
    let mut padding = [0; 16];
    padding[..4].copy_from_slice(&[0xf5, 1, 0, 16]);
    for timescale in [1, 2, 3, 200] {
        assert_eq!(of(0xf509, &[timescale, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), padding, "{timescale}");
    }
    assert_eq!(of(0xf508, &[0; 12]), padding);
    assert_eq!(of(0x1234, &[7; 12]), padding);
    assert_eq!(of(0xf501, &[7; 12]), padding);
    assert_eq!(of(0x0104, &[7; 12])[..4], [1, 4, 0, 16], "a unique identifier is echoed");
    assert_eq!(of(0x1234, &[7; 3]), [0xf5, 1, 0, 7, 0, 0, 0, 0]);
}

#[test]
fn a_part_of_the_filter_is_what_was_asked_for() {
    let filter = filter();
    let told = told(&filter);
    let mut asked = [0; 16];
    asked[1] = 128;
    let reply = answered(&[(0xf503, &asked)], Some(&told));
    assert_eq!(reply[..4], [0xf5, 4, 0, 20]);
    assert_eq!(reply[4..], filter.octets()[128..144]);
    // Beyond the end, and before a filter is known.
    asked[..2].copy_from_slice(&497u16.to_be_bytes());
    assert_eq!(answered(&[(0xf503, &asked)], Some(&told))[..4], [0xf5, 1, 0, 20]);
    let unknown = Told { filter: None, ..told };
    assert_eq!(answered(&[(0xf503, &[0; 16])], Some(&unknown))[..4], [0xf5, 1, 0, 20]);
}

#[test]
fn what_the_path_said_of_the_request_is_returned() {
    let mut said = [0; 24];
    said[12..20].copy_from_slice(&(5i64 << 16).to_be_bytes());
    said[21] = 3;
    let filter = filter();
    let reply = answered(&[(0xf506, &said)], Some(&told(&filter)));
    let octets: [u8; 24] = reply[4..].try_into().unwrap();
    let returned = Correction::from_octets(&octets);
    assert_eq!(returned, Correction { origin: 5 << 16, origin_path: 3, delay: 0, delay_path: 0 });
}

#[test]
fn a_reply_without_a_time_tells_nothing() {
    let reply = answered(&[(0xf503, &[0; 16]), (0xf505, &[0; 4]), (0xf507, &[0; 8])], None);
    let kinds: Vec<_> = walk(&reply).map(|item| item.unwrap().field).collect();
    assert_eq!(kinds, [Field::Padding; 3]);
    let slower = slower(&client::header(COOKIE), Timescale::Utc);
    assert_eq!((slower.stratum, slower.poll, slower.flags.bits()), (0, 6, 0));
    assert_eq!((slower.client_cookie, slower.receive_timestamp), (COOKIE, 0));
}

#[test]
fn a_server_that_is_not_synchronised_never_looks_good() {
    for system in [
        SystemVariables::unsynchronised(-20),
        SystemVariables { stratum: 16, ..SYSTEM },
        SystemVariables { stratum: 0, ..SYSTEM },
        SystemVariables { leap: 3, ..SYSTEM },
    ] {
        let reply = time(&client::header(COOKIE), &system, &told(&filter()));
        assert!(!reply.flags.is_synchronised() && reply.stratum == 0, "{system:?}");
    }
}

#[test]
fn requests_of_another_kind_are_not_answered() {
    let good = request(&[]);
    assert!(read(&good).is_ok());
    for first in 0..=255u8 {
        let mut packet = good.clone();
        packet[0] = first;
        assert_eq!(read(&packet).is_ok(), first & 0x3f == 0x2b, "{first:x}");
    }
    assert_eq!(read(&good[..48]), Err(RequestError::Draft));
    assert_eq!(read(&request(&[(0xf5ff, DRAFT)])), Err(RequestError::Malformed));
    assert_eq!(read(&request(&[(0xf502, &[0; 20])])), Err(RequestError::Mac));
    let mut other = good.clone();
    other[74] = b'8';
    assert_eq!(read(&other), Err(RequestError::Draft));
    assert!(read(&request(&[(0x0204, &[0; 100])])).unwrap().is_protected);
}
