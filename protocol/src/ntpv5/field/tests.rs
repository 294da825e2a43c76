extern crate std;
use super::*;
use crate::ntpv5::DRAFT;
use std::vec::Vec;

fn field(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut octets = std::vec![0; 2048];
    let (place, end) = put(&mut octets, 0, kind, value.len()).unwrap();
    place.copy_from_slice(value);
    octets.truncate(end);
    octets
}

fn fields(octets: &[u8]) -> Vec<Result<Item<'_>, FieldError>> {
    walk(octets).collect()
}

fn only(octets: &[u8]) -> Result<Field<'_>, FieldError> {
    let found = fields(octets);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].map(|item| item.field)
}

#[test]
fn a_draft_identification_is_written_as_others_write_it() {
    // 23 characters: a length of 27, padded to 28.
    let octets = field(0xf5ff, DRAFT);
    assert_eq!(octets[..4], [0xf5, 0xff, 0, 0x1b]);
    assert_eq!((octets.len(), octets[27]), (28, 0));
    assert_eq!(only(&octets), Ok(Field::DraftIdentification(DRAFT)));
}

#[test]
fn each_type_is_read_with_its_content() {
    assert_eq!(only(&field(0xf501, &[])), Ok(Field::Padding));
    assert_eq!(only(&field(0xf501, &[1, 2, 3])), Ok(Field::Padding));
    assert_eq!(only(&field(0xf502, &[0, 0, 0, 1, 9])), Ok(Field::Mac(&[0, 0, 0, 1, 9])));
    let asked = ChunkRequest::try_new(0x20, 16);
    assert!(asked.is_some());
    let mut value = [0; 16];
    value[1] = 0x20;
    assert_eq!(only(&field(0xf503, &value)), Ok(Field::ReferenceIdsRequest(asked)));
    value[0] = 2;
    assert_eq!(only(&field(0xf503, &value)), Ok(Field::ReferenceIdsRequest(None)), "beyond the end");
    assert_eq!(only(&field(0xf504, &[7; 512])), Ok(Field::ReferenceIdsResponse(&[7; 512])));
    assert_eq!(only(&field(0xf505, &[0, 0x1f, 0, 0])), Ok(Field::ServerInformation(0x1f)));
    assert_eq!(only(&field(0xf507, &[0, 0, 0, 1, 0, 0, 0, 2])), Ok(Field::ReferenceTimestamp(1 << 32 | 2)));
    assert_eq!(
        only(&field(0xf508, &[0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2])),
        Ok(Field::MonotonicReceiveTimestamp { epoch: 3, timestamp: 1 << 32 | 2 })
    );
    assert_eq!(
        only(&field(0xf509, &[1, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2])),
        Ok(Field::SecondaryReceiveTimestamp { timescale: 1, era: 4, timestamp: 1 << 32 | 2 })
    );
    assert_eq!(only(&field(0x0104, &[5; 32])), Ok(Field::Other(0x0104, &[5; 32])));
}

#[test]
fn a214_a_content_that_its_type_cannot_have_is_malformed() {
    for (kind, lengths) in [
        (0xf502, &[0, 4][..]),
        (0xf503, &[0, 1]),
        (0xf504, &[0, 513, 516]),
        (0xf505, &[0, 3, 5, 8]),
        (0xf506, &[0, 23, 25]),
        (0xf507, &[0, 7, 9]),
        (0xf508, &[0, 11, 13]),
        (0xf509, &[0, 11, 13]),
    ] {
        for length in lengths {
            let octets = field(kind, &std::vec![0; *length]);
            assert_eq!(only(&octets), Err(FieldError::Content), "{kind:x} {length}");
        }
    }
}

#[test]
fn a214_a_length_that_lies_ends_the_walk() {
    for length in [0u16, 1, 3, 37, 40, 65_535] {
        let mut octets = field(0xf501, &[0; 32]);
        octets[2..4].copy_from_slice(&length.to_be_bytes());
        assert_eq!(only(&octets), Err(FieldError::Length), "{length}");
    }
    // The padding belongs to the packet too.
    let octets = field(0xf5ff, DRAFT);
    assert_eq!(only(&octets[..27]), Err(FieldError::Length));
    assert_eq!(only(&[0xf5, 1]), Err(FieldError::Length));
    // What is said to be shorter is followed by what it had.
    let mut octets = field(0xf501, &[0; 8]);
    octets[3] = 5;
    assert_eq!(fields(&octets).last(), Some(&Err(FieldError::Length)));
}

#[test]
fn a214_there_are_no_more_fields_than_an_honest_packet_has() {
    let octets: Vec<u8> = (0..MOST).flat_map(|_| field(0xf501, &[])).collect();
    assert_eq!(fields(&octets).len(), MOST);
    assert!(fields(&octets).iter().all(Result::is_ok));
    let more = [octets, field(0xf501, &[])].concat();
    assert_eq!(fields(&more).last(), Some(&Err(FieldError::TooMany)));
}

#[test]
fn a_correction_is_the_last_field() {
    let correction = field(0xf506, &[0; 24]);
    assert!(matches!(only(&correction), Ok(Field::Correction(_))));
    let followed = [correction.clone(), field(0xf501, &[])].concat();
    assert_eq!(fields(&followed), [Err(FieldError::NotLast)]);
    assert!(fields(&[field(0xf501, &[]), correction].concat()).iter().all(Result::is_ok));
}
