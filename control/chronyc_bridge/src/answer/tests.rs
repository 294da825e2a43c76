use super::*;
use crate::number::decode;
use crate::request::Which;
use report::read::{ClientReport, LastReplyReport, NtsReport, SourceReport, StatusReply, SystemReport};
use report::{AssociationState, RejectReason, SourceActivity, SourceState, StampOrigin};

/// A minute and a bit after 2023-11-14 22:13:20 UTC.
const NOW: i64 = 1_700_000_064_250_000_000;

fn source(name: &str, address: &str, state: SourceState) -> SourceReport {
    SourceReport {
        name: Some(name.into()),
        address: Some(address.into()),
        state: Some(state.into()),
        authenticated: Some(false),
        stratum: Some(16),
        reach: Some(0),
        poll: Some(6),
        sent: Some(0),
        valid: Some(0),
        activity: Some(SourceActivity::Online.into()),
        ..SourceReport::default()
    }
}

/// A clock that is 3 ms behind and is made 12.5 ppm faster, by two sources of five.
fn followed() -> Snapshot {
    let selected = SourceReport {
        authenticated: Some(true),
        stratum: Some(2),
        reference_id: Some("c0000201".into()),
        reach: Some(0o377),
        offset_s: Some(0.004),
        offset_error_s: Some(0.0005),
        delay_s: Some(0.010),
        jitter_s: Some(0.0002),
        deviation_s: Some(0.0003),
        samples: Some(21),
        span_s: Some(1_200.7),
        frequency_ppm: Some(0.125),
        frequency_error_ppm: Some(0.5),
        root_distance_s: Some(0.020),
        sent: Some(30),
        valid: Some(25),
        last_valid_s: Some(64.25),
        rejected: Some([(RejectReason::Origin.into(), 3), (RejectReason::StratumLimit.into(), 2)].into()),
        nts: Some(NtsReport {
            state: Some(AssociationState::Ready.into()),
            exchanges: Some(2),
            failures: Some(7),
            aead: Some(15),
            key_age_s: Some(100.9),
            cookies: Some(8),
            naks: Some(1),
            ..NtsReport::default()
        }),
        ..source("time.example.net", "192.0.2.9:123", SourceState::Selected)
    };
    let selected = SourceReport {
        prefer: Some(true),
        require: Some(true),
        last_reply: Some(LastReplyReport {
            leap: Some(LeapName::Insert.into()),
            version: Some(3),
            precision: Some(-23),
            root_delay_s: Some(0.25),
            root_dispersion_s: Some(0.125),
            reference_time_unix_s: Some(1_700_000_000.5),
            response_s: Some(0.0001),
            departure_stamp: Some(StampOrigin::Kernel.into()),
            arrival_stamp: Some(StampOrigin::User.into()),
            interleaved: Some(true),
            local_address: Some("192.0.2.1".into()),
        }),
        ..selected
    };
    let combined = SourceReport {
        stratum: Some(3),
        offset_s: Some(-0.002),
        root_distance_s: Some(0.5),
        last_valid_s: Some(1.0),
        ..source("six", "[2001:db8::9]:1123", SourceState::Combined)
    };
    let never = source("never", "192.0.2.10:123", SourceState::Unreachable);
    let doing = |activity: SourceActivity, source| SourceReport { activity: Some(activity.into()), ..source };
    let offline = source("offline", "192.0.2.11:123", SourceState::Falseticker);
    let offline = doing(SourceActivity::Offline, offline);
    let nameless = source("pool.example.net", "", SourceState::Waiting);
    let nameless = doing(SourceActivity::Unresolved, nameless);
    let system = SystemReport {
        synchronised: Some(true),
        state: Some(SystemState::Synchronised.into()),
        leap: Some(LeapName::Insert.into()),
        stratum: Some(3),
        reference_id: Some("c0000209".into()),
        offset_s: Some(0.003),
        estimated_error_s: Some(0.004),
        frequency_ppm: Some(12.5),
        frequency_error_ppm: Some(0.25),
        root_delay_s: Some(0.015),
        root_dispersion_s: Some(0.002),
        last_update_s: Some(70.0),
        ..SystemReport::default()
    };
    let status = StatusReply { report: Some(system), ..StatusReply::default() };
    Snapshot::new(status, vec![selected, combined, never, offline, nameless])
}

/// What a request of this length is answered, after the header, with the status and the form.
fn asked_within(length: usize, known: &Snapshot, question: Question) -> (u16, u16, Vec<u8>) {
    let head = Head { command: 1, sequence: [1, 2, 3, 4], length };
    let reply = answer(&head, question, Moment { snapshot: Some(known), now: NOW, heard: 77 });
    assert!(reply.len() <= length);
    let short = |at: usize| u16::from_be_bytes([reply[at], reply[at + 1]]);
    (short(8), short(6), reply[28..].to_vec())
}

/// The same of a successful reply of this form and length.
fn asked(known: &Snapshot, question: Question, form: u16, length: usize) -> Fields {
    let (status, found, body) = asked_within(length, known, question);
    assert_eq!((status, found, body.len() + 28), (0, form, length));
    Fields(body)
}

fn refused(known: &Snapshot, question: Question) -> u16 {
    let (status, form, body) = asked_within(860, known, question);
    assert_eq!((form, body.len()), (1, 0));
    status
}

struct Fields(Vec<u8>);

impl Fields {
    fn short(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.0[at..at + 2].try_into().unwrap())
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.0[at..at + 4].try_into().unwrap())
    }

    fn long(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.0[at..at + 8].try_into().unwrap())
    }

    #[track_caller]
    fn number(&self, at: usize, expected: f64) {
        let found = decode(self.word(at));
        assert!((found - expected).abs() <= expected.abs() * 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn the_clock_is_told_with_the_signs_of_chrony() {
    let fields = asked(&followed(), Question::Tracking, 5, 104);
    assert_eq!(fields.word(0), 0xc000_0209);
    assert_eq!(fields.0[4..24], [192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!((fields.short(24), fields.short(26)), (3, 1));
    // The last reply of the source that is followed.
    assert_eq!((fields.long(28), fields.word(36)), (1_700_000_000, 0));
    // Behind: chronyd's correction is positive then, and its last offset negative. A clock that is made faster is slow:
    // negative.
    let numbers = [0.003, -0.003, 0.005, -12.5, 0.0, 0.25, 0.015, 0.002, 64.0];
    for (at, expected) in (40..).step_by(4).zip(numbers) {
        fields.number(at, expected);
    }
}

#[test]
fn a_clock_that_is_not_synchronised_looks_as_chronyds() {
    let mut known = followed();
    known.system.synchronised = Some(false);
    known.system.state = Some(SystemState::Holdover.into());
    let fields = asked(&known, Question::Tracking, 5, 104);
    assert_eq!((fields.word(0), &fields.0[4..24]), (0, &[0; 20][..]));
    assert_eq!((fields.short(24), fields.short(26)), (0, 3));
    assert_eq!((fields.long(28), fields.word(36)), (0, 0));
    for (at, expected) in (40..).step_by(4).zip([0.003, -0.003, 0.005, -12.5, 0.0, 0.0, 1.0, 1.0, 0.0]) {
        fields.number(at, expected);
    }
    known.system.state = Some(SystemState::Local.into());
    known.system.stratum = Some(10);
    let fields = asked(&known, Question::Tracking, 5, 104);
    assert_eq!((fields.word(0), fields.short(24), fields.short(26)), (LOCAL, 10, 0));
    assert_eq!((fields.word(64), fields.word(68)), (0, 0), "root delay, root dispersion");
    let empty = asked(&Snapshot::default(), Question::Tracking, 5, 104);
    assert!(empty.0[40..64].iter().all(|octet| *octet == 0), "nothing was measured");
}

#[test]
fn a_source_is_told_with_the_signs_of_chrony() {
    let known = followed();
    let fields = asked(&known, Question::Source(0), 3, 76);
    assert_eq!(fields.0[..20], [192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
    let shorts: Vec<u16> = (20..32).step_by(2).map(|at| fields.short(at)).collect();
    assert_eq!(shorts, [6, 2, 0, 0, 0, 0o377], "poll, stratum, state, mode, flags, reach");
    assert_eq!(fields.word(32), 64);
    for (at, expected) in (36..).step_by(4).zip([-0.004, -0.004, 0.020]) {
        fields.number(at, expected);
    }
    let never = asked(&known, Question::Source(2), 3, 76);
    assert_eq!((never.short(22), never.short(24), never.word(32)), (0, 1, NEVER));
    assert!(never.0[36..].iter().all(|octet| *octet == 0));
    let nameless = asked(&known, Question::Source(4), 3, 76);
    assert_eq!(nameless.0[..20], [0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0]);
    assert_eq!(asked(&known, Question::Source(1), 3, 76).short(24), 4);
    assert_eq!(asked(&known, Question::Source(3), 3, 76).short(24), 2);
    assert_eq!(refused(&known, Question::Source(5)), 4);
    assert_eq!(refused(&known, Question::Source(u32::MAX)), 4);
    let count = asked(&known, Question::SourceCount, 2, 32);
    assert_eq!(count.word(0), 5);
}

#[test]
fn statistics_of_a_source_are_those_that_are_known() {
    let known = followed();
    let fields = asked(&known, Question::Statistics(0), 6, 84);
    assert_eq!(fields.word(0), 0xc000_0209);
    assert_eq!((fields.word(24), fields.word(28), fields.word(32)), (21, 0, 1_200), "samples, runs, span");
    for (at, expected) in (36..).step_by(4).zip([0.0003, -0.125, 0.5, -0.004, 0.0205]) {
        fields.number(at, expected);
    }
    let never = asked(&known, Question::Statistics(2), 6, 84);
    never.number(36, 4.0);
    never.number(44, 2000.0);
    never.number(48, 0.0);
}

#[test]
fn a_selection_has_its_letter_and_its_interval() {
    let known = followed();
    let fields = asked(&known, Question::Selection(0), 23, 76);
    assert_eq!(fields.0[24..28], [b'*', 1, 1, 0]);
    assert_eq!((fields.word(28), fields.word(32)), (0x000a_000a, 64), "options, last sample");
    for (at, expected) in (36..).step_by(4).zip([1.0, -0.024, 0.016]) {
        fields.number(at, expected);
    }
    let never = asked(&known, Question::Selection(2), 23, 76);
    assert_eq!((&never.0[24..28], never.word(32)), (&[b's', 0, 3, 0][..], 0));
    let letters = |state: SourceState, has_estimate: bool, reason: Option<RejectReason>| {
        let mut known = followed();
        let report = &mut known.sources[0].report;
        report.state = Some(state.into());
        report.offset_s = has_estimate.then_some(0.0);
        report.rejected = reason.map(|reason| [(reason.into(), 2), (RejectReason::Forged.into(), 9)].into());
        char::from(asked(&known, Question::Selection(0), 23, 76).0[24])
    };
    for (state, has_estimate, reason, letter) in [
        (SourceState::Combined, true, None, '+'),
        (SourceState::Spare, true, None, 'P'),
        (SourceState::Waiting, false, None, 'M'),
        (SourceState::Waiting, true, None, 'w'),
        (SourceState::Probation, true, None, 'M'),
        (SourceState::Falseticker, true, None, 'x'),
        (SourceState::Outvoted, true, None, 'x'),
        (SourceState::NoMajority, true, None, 'x'),
        (SourceState::Unreachable, true, None, 'S'),
        (SourceState::Unreachable, false, None, 'M'),
        (SourceState::Unusable, true, None, 'd'),
        (SourceState::Unusable, false, Some(RejectReason::StratumLimit), 'r'),
        (SourceState::Unusable, false, Some(RejectReason::LeapUnknown), 's'),
        (SourceState::Unusable, false, Some(RejectReason::DelayLimit), 'd'),
        (SourceState::Unusable, false, Some(RejectReason::Loop), 'M'),
        (SourceState::Denied, false, None, 'M'),
        (SourceState::UnderAttack, true, None, 'M'),
        (SourceState::Provisional, true, None, 'w'),
    ] {
        assert_eq!(letters(state, has_estimate, reason), letter, "{state} {reason:?}");
    }
}

#[test]
fn a_source_that_is_noselect_says_so_in_whatever_state() {
    for state in [SourceState::Noselect, SourceState::Unreachable, SourceState::Waiting] {
        let mut known = followed();
        known.sources[0].report.state = Some(state.into());
        known.sources[0].report.noselect = Some(true);
        let fields = asked(&known, Question::Selection(0), 23, 76);
        assert_eq!((fields.0[24], fields.word(28)), (b'N', 0x000b_000b), "letter, both options: {state}");
        assert_eq!(asked(&known, Question::Source(0), 3, 76).short(24), 1, "?");
    }
}

#[test]
fn keys_of_a_source_are_counted_and_not_shown() {
    let known = followed();
    let which = |text: &str| Question::Authentication(Which::Address(text.parse().unwrap()));
    let fields = asked(&known, which("192.0.2.9"), 20, 52);
    assert_eq!((fields.short(0), fields.short(2), fields.word(4)), (2, 15, 2), "mode, algorithm, exchanges");
    assert_eq!((fields.short(8), fields.short(10), fields.word(12)), (256, 0, 100));
    assert_eq!(
        (fields.short(16), fields.short(18), fields.short(20)),
        (8, 0, 1),
        "cookies, their length, NAKs"
    );
    let plain = asked(&known, which("192.0.2.10"), 20, 52);
    assert_eq!((&plain.0[..12], plain.word(12), &plain.0[16..]), (&[0; 12][..], NEVER, &[0; 8][..]));
    assert_eq!(refused(&known, which("198.51.100.1")), 4);
}

#[test]
fn the_last_reply_of_a_source_comes_in_the_form_that_the_request_has_room_for() {
    let known = followed();
    let question = Question::LastReply(Which::Address("192.0.2.9".parse().unwrap()));
    for (form, length) in [(16, 152), (26, 172)] {
        let fields = asked(&known, question, form, length);
        assert_eq!((&fields.0[20..24], fields.short(36)), (&[192, 0, 2, 1][..], 1), "the address here");
        assert_eq!(fields.short(40), 123);
        assert_eq!(fields.0[42..48], [1, 3, 4, 2, 6, 233], "leap, version, mode, stratum, poll, precision");
        fields.number(48, 0.25);
        fields.number(52, 0.125);
        assert_eq!((fields.word(56), fields.word(60)), (0xc000_0201, 0));
        assert_eq!((fields.word(64), fields.word(68)), (1_700_000_000, 500_000_000), "reference time");
        // As in a packet: positive where the clock is behind.
        for (at, expected) in (72..).step_by(4).zip([0.004, 0.010, 0.0005, 0.0001, 0.0]) {
            fields.number(at, expected);
        }
        assert_eq!(
            (fields.short(92), fields.short(94)),
            (0xc3ff, u16::from_be_bytes(*b"KD")),
            "tests, mode, authentication; time stamps"
        );
        let counts: Vec<u32> = (96..112).step_by(4).map(|at| fields.word(at)).collect();
        assert_eq!(counts, [30, 28, 25, 23], "sent, received, valid, used");
    }
    let never = asked(&known, Question::LastReply(Which::Address("192.0.2.10".parse().unwrap())), 26, 172);
    assert!(never.0[42..112].iter().all(|octet| *octet == 0));
    assert_eq!(asked_within(151, &known, question).0, 19, "no room for either");
}

#[test]
fn a_source_is_found_by_its_address_or_the_number_that_stands_for_it() {
    let known = followed();
    let name = |which| {
        let fields = asked(&known, Question::Name(which), 19, 284);
        assert_eq!(fields.0[255], 0);
        String::from_utf8(fields.0).unwrap().trim_end_matches('\0').to_owned()
    };
    assert_eq!(name(Which::Address("192.0.2.9".parse().unwrap())), "time.example.net");
    assert_eq!(name(Which::Address("2001:db8::9".parse().unwrap())), "six");
    assert_eq!(name(Which::Number(5)), "pool.example.net");
    for nobody in
        [Which::Number(1), Which::Number(6), Which::None, Which::Address("0.0.0.0".parse().unwrap())]
    {
        assert_eq!(refused(&known, Question::Name(nobody)), 4, "{nobody:?}");
    }
    let mut long = followed();
    long.sources[0].report.name = Some("x".repeat(300));
    let fields = asked(&long, Question::Name(Which::Address("192.0.2.9".parse().unwrap())), 19, 284);
    assert_eq!(fields.0[..], [&[b'x'; 255][..], &[0]].concat());
}

#[test]
fn activity_counts_sources_by_whether_they_are_asked() {
    let counts = |known: &Snapshot| -> Vec<u32> {
        let fields = asked(known, Question::Activity, 12, 48);
        (0..20).step_by(4).map(|at| fields.word(at)).collect()
    };
    let mut known = followed();
    assert_eq!(counts(&known), [3, 1, 0, 0, 1]);
    known.sources[1].report.activity = Some(SourceActivity::Bursting.into());
    assert_eq!(counts(&known), [2, 1, 1, 0, 1]);
}

fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.map(|(name, count)| (name.to_owned(), count)).into()
}

#[test]
fn counters_of_the_server_come_in_the_form_that_the_request_has_room_for() {
    let mut known = followed();
    known.server =
        counts([("received", 1 << 33), ("limited", 5), ("protected", 4), ("keyed", 2), ("interleaved", 7)]);
    known.key_exchange = counts([("accepted", 8), ("limited", 9), ("denied", 10)]);
    let words = |form, length| {
        let fields = asked(&known, Question::Server, form, length);
        (0..length - 28).step_by(4).map(|at| fields.word(at)).collect::<Vec<_>>()
    };
    let most = NEVER - 1;
    assert_eq!(words(14, 48), [most, 77, 5, 0, 0]);
    assert_eq!(words(22, 60), [most, 8, 77, 5, 19, 0, 0, 6]);
    assert_eq!(words(24, 72), [most, 8, 77, 5, 19, 0, 0, 6, 7, 0, 0]);
    let fields = asked(&known, Question::Server, 25, 196);
    let longs: Vec<u64> = (0..168).step_by(8).map(|at| fields.long(at)).collect();
    assert_eq!(longs[..11], [1 << 33, 8, 77, 5, 19, 0, 0, 6, 7, 0, 0]);
    assert_eq!((&longs[11..17], &longs[17..]), (&[0; 6][..], &[u64::MAX; 4][..]));
    assert_eq!(asked_within(47, &known, Question::Server).0, 19);
}

#[test]
fn clients_of_the_server_come_eight_at_a_time_in_the_order_of_their_addresses() {
    let report = |number: u64| ClientReport {
        address: Some(if number == 20 {
            "2001:db8:0:1::/64".to_owned()
        } else {
            format!("192.0.2.{number}")
        }),
        requests: Some(number * 10),
        dropped: Some(number),
        interval_s: (number != 1).then_some(if number == 2 { 70.0 } else { 0.0 }),
        last_request_s: Some(9.75),
        ..ClientReport::default()
    };
    let nonsense = ClientReport { address: Some("a.example".to_owned()), ..ClientReport::default() };
    let reports = (1..=20).rev().map(report).chain([nonsense]).collect();
    let known = Snapshot { clients: Some(Client::list(reports)), ..followed() };
    let page = |first, most, least_hits| {
        let fields = asked(&known, Question::Clients(Page { first, most, least_hits }), 21, 520);
        let count = fields.word(8) as usize;
        let last: Vec<u8> = (0..count).map(|at| fields.0[12 + at * 60 + 3]).collect();
        assert!(fields.0[12 + count * 60..].iter().all(|octet| *octet == 0));
        (fields.word(0), fields.word(4), last, fields)
    };
    let (all, next, hosts, fields) = page(0, 8, 0);
    assert_eq!((all, next, &hosts[..]), (20, 8, &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    // The second: address, family, hits of NTP, of key exchanges and of commands, then drops, intervals, ages.
    let at = 12 + 60;
    assert_eq!(fields.0[at..at + 20], [&[192, 0, 2, 2][..], &[0; 12], &[0, 1, 0, 0]].concat());
    let counts: Vec<u32> = (0..6).map(|word| fields.word(at + 20 + word * 4)).collect();
    assert_eq!(counts, [20, 0, 0, 2, 0, 0]);
    assert_eq!(fields.0[at + 44..at + 48], [6, 127, 127, 127]);
    assert_eq!([fields.word(at + 48), fields.word(at + 52), fields.word(at + 56)], [9, NEVER, NEVER]);
    assert_eq!(fields.0[12 + 44], 127, "the first has asked once");
    assert_eq!(fields.0[12 + 2 * 60 + 44] as i8, -20, "the third at once");
    assert_eq!(page(8, 8, 0).2, [9, 10, 11, 12, 13, 14, 15, 16]);
    let (_, next, _, fields) = page(16, 8, 0);
    assert_eq!((next, fields.word(8)), (20, 4));
    assert_eq!(
        fields.0[12 + 3 * 60..][..20],
        [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 1][..], &[0; 8], &[0, 2, 0, 0]].concat()
    );
    // Only those with 150 requests, and positions beyond the end.
    assert_eq!((page(0, 3, 150).1, page(0, 3, 150).2), (17, vec![15, 16, 17]));
    assert_eq!((page(20, 8, 0).1, page(u32::MAX, 8, 0).1, page(0, 0, 0).1), (20, 20, 20));
    let none = Snapshot { clients: Some(Vec::new()), ..followed() };
    let empty = asked(&none, Question::Clients(Page { first: 0, most: 8, least_hits: 0 }), 21, 520);
    assert!(empty.0.iter().all(|octet| *octet == 0));
    assert_eq!(refused(&followed(), Question::Clients(Page { first: 0, most: 8, least_hits: 0 })), 1);
}

#[test]
fn what_is_not_here_is_said_as_chronyd_says_it() {
    let known = followed();
    assert_eq!(refused(&known, Question::HardwareClock), 13);
    assert_eq!(refused(&known, Question::Smoothing), 6);
    let head = Head { command: 33, sequence: [0; 4], length: 104 };
    let silent = Moment { snapshot: None, now: NOW, heard: 1 };
    assert_eq!(answer(&head, Question::Tracking, silent), Reply::refused(&head, Refusal::Failed));
}
