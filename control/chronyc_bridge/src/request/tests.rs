use super::*;
use proptest::prelude::*;

/// A request of this version, with this body, padded to a length.
fn datagram(version: u8, command: u16, body: &[u8], length: usize) -> Vec<u8> {
    let [high, low] = command.to_be_bytes();
    let mut octets = vec![version, 1, 0, 0, high, low, 0, 2, 9, 8, 7, 6];
    octets.extend([0; 8]);
    octets.extend(body);
    octets.resize(length, 0);
    octets
}

fn asked(command: u16, body: &[u8]) -> Result<Question, Refusal> {
    match read(&datagram(6, command, body, 520)) {
        Heard::Asked(head, question) => {
            assert_eq!(head, Head { command, sequence: [9, 8, 7, 6], length: 520 });
            Ok(question)
        }
        Heard::Refused(_, refusal) => Err(refusal),
        Heard::Noise => panic!("a request is none"),
    }
}

#[test]
fn questions_are_read_from_their_layouts() {
    let index = [0, 0, 1, 2];
    assert_eq!(asked(14, &[]), Ok(Question::SourceCount));
    assert_eq!(asked(15, &index), Ok(Question::Source(258)));
    assert_eq!(asked(33, &[]), Ok(Question::Tracking));
    assert_eq!(asked(34, &index), Ok(Question::Statistics(258)));
    assert_eq!(asked(69, &index), Ok(Question::Selection(258)));
    assert_eq!(asked(44, &[]), Ok(Question::Activity));
    assert_eq!(asked(54, &[]), Ok(Question::Server));
    let page = [0, 0, 0, 16, 0, 0, 0, 8, 0, 0, 1, 0, 0, 0, 0, 0];
    let expected = Page { first: 16, most: 8, least_hits: 256 };
    assert_eq!(asked(68, &page), Ok(Question::Clients(expected)));
    let four = [&[192, 0, 2, 1][..], &[0; 12], &[0, 1, 0, 0]].concat();
    assert_eq!(asked(57, &four), Ok(Question::LastReply(Which::Address("192.0.2.1".parse().unwrap()))));
    let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9, 0, 2, 0, 0]].concat();
    assert_eq!(asked(65, &six), Ok(Question::Name(Which::Address("2001:db8::9".parse().unwrap()))));
    let number = [&[0, 0, 0, 3][..], &[0; 12], &[0, 3, 0, 0]].concat();
    assert_eq!(asked(67, &number), Ok(Question::Authentication(Which::Number(3))));
    assert_eq!(asked(67, &[0; 20]), Ok(Question::Authentication(Which::None)));
}

#[test]
fn a185_whatever_would_change_something_is_not_authorised() {
    let reads = [14, 15, 33, 34, 35, 44, 51, 54, 57, 65, 67, 68, 69];
    for command in (1..=LAST).filter(|command| !reads.contains(command)) {
        assert_eq!(asked(command, &[0; 400]), Err(Refusal::NotAuthorised), "{command}");
    }
    // To begin the counts of clients anew.
    assert_eq!(asked(68, &[[0; 15].as_slice(), &[1]].concat()), Err(Refusal::NotAuthorised));
    for command in [0, 75, 1000, u16::MAX] {
        assert_eq!(asked(command, &[]), Err(Refusal::Invalid), "{command}");
    }
}

#[test]
fn a185_what_is_no_request_of_a_lawful_length_is_not_answered() {
    assert_ne!(read(&datagram(6, 33, &[], SHORTEST)), Heard::Noise);
    assert_ne!(read(&datagram(6, 33, &[], LONGEST)), Heard::Noise);
    assert_eq!(read(&datagram(6, 33, &[], SHORTEST - 1)), Heard::Noise);
    assert_eq!(read(&datagram(6, 33, &[], LONGEST + 1)), Heard::Noise);
    assert_eq!(read(&[]), Heard::Noise);
    for (at, value) in [(1, 2), (1, 0), (2, 1), (3, 1)] {
        let mut octets = datagram(6, 33, &[], 104);
        octets[at] = value;
        assert_eq!(read(&octets), Heard::Noise, "octet {at} is {value}");
    }
}

#[test]
fn another_version_is_told_where_that_is_understood() {
    for version in [5, 7, 255] {
        let heard = read(&datagram(version, 33, &[], 104));
        assert!(matches!(heard, Heard::Refused(_, Refusal::Version)), "{version}");
    }
    for version in 0..5 {
        assert_eq!(read(&datagram(version, 33, &[], 104)), Heard::Noise, "{version}");
    }
}

proptest! {
    #[test]
    fn a185_no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..900)) {
        let _ = read(&octets);
    }

    #[test]
    fn a185_no_body_panics(
        command in 0..80_u16,
        body in proptest::collection::vec(any::<u8>(), 0..840),
        length in SHORTEST..LONGEST,
    ) {
        let _ = read(&datagram(6, command, &body, length));
    }
}
