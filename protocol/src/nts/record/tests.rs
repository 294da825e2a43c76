extern crate std;
use super::*;
use crate::nts::hex::hex;
use std::vec::Vec;

fn read(octets: &[u8]) -> Result<Vec<Record<'_>>, MessageError> {
    records(octets).collect()
}

#[test]
fn records_are_read_up_to_the_end() {
    let message = hex("80010002000084000001ff0007000080000000");
    assert_eq!(
        read(&message).unwrap(),
        [
            Record { critical: true, kind: 1, body: &[0, 0] },
            Record { critical: true, kind: 1024, body: &[0xff] },
            Record { critical: false, kind: 7, body: &[] },
        ]
    );
}

#[test]
fn a058_a_message_ends_once_and_at_its_end() {
    for (message, error) in [
        ("", MessageError::Unfinished),
        ("800100020000", MessageError::Unfinished),
        ("80010003000080000000", MessageError::Unfinished),
        ("8001000200008000", MessageError::Unfinished),
        ("8001ffff000080000000", MessageError::Unfinished),
        ("8001000200008000000000", MessageError::AfterEnd),
        ("80010002000080000000800100020000", MessageError::AfterEnd),
        ("8001000200008000000080000000", MessageError::AfterEnd),
        ("80010002000000000000", MessageError::End),
        ("800100020000800000020000", MessageError::End),
    ] {
        assert_eq!(read(&hex(message)), Err(error), "{message}");
    }
}

#[test]
fn the_boundary_is_found_however_the_octets_arrive() {
    let message = hex("80010002000080040002000f80000000");
    let mut boundary = Boundary::of_request();
    for length in 0..message.len() {
        assert_eq!(boundary.find(&message[..length]), Ok(None), "{length}");
    }
    assert_eq!(boundary.find(&message), Ok(Some(message.len())));
    assert_eq!(Boundary::of_response().find(&message), Ok(Some(message.len())));
}

#[test]
fn a058_a_boundary_says_at_once_that_the_end_is_wrong() {
    for (message, error) in [
        ("00000000", MessageError::End),
        ("80000001", MessageError::End),
        ("8000000000", MessageError::AfterEnd),
        ("80010002000080000000ff", MessageError::AfterEnd),
    ] {
        assert_eq!(Boundary::of_response().find(&hex(message)), Err(error), "{message}");
    }
}

#[test]
fn a089_a_request_beyond_4096_octets_is_refused_before_it_has_arrived() {
    assert_eq!(Boundary::of_request().find(&hex("8001ffff")), Err(MessageError::TooLong));
    // 4096 octets exactly: a record of 4088 and the end.
    let mut message = hex("00ff0ff8");
    message.resize(4092, 0);
    message.extend(hex("80000000"));
    assert_eq!(Boundary::of_request().find(&message), Ok(Some(MAX_REQUEST)));
    message.splice(2..4, [0x0f, 0xf9]);
    message.insert(10, 0);
    let mut boundary = Boundary::of_request();
    assert_eq!(boundary.find(&message[..4093]), Err(MessageError::TooLong));
}

#[test]
fn a059_a_response_may_be_long_but_not_endless() {
    let mut message = hex("00fffff8");
    message.resize(4 + 0xfff8, 0);
    let mut boundary = Boundary::of_response();
    assert_eq!(boundary.find(&message), Ok(None));
    message.extend(hex("80000000"));
    assert_eq!(boundary.find(&message), Ok(Some(MAX_RESPONSE)));
    let mut drip = hex("00fe0000").repeat(MAX_RESPONSE / 4);
    assert_eq!(Boundary::of_response().find(&drip), Err(MessageError::TooLong));
    drip.truncate(MAX_RESPONSE - 8);
    assert_eq!(Boundary::of_response().find(&drip), Ok(None));
}
