use super::*;
use alloc::vec;

const HEADER: Version5Header = Version5Header {
    leap: Leap::None,
    stratum: 2,
    poll: 0,
    precision: -20,
    root_delay: 1 << 20,
    root_dispersion: 1 << 20,
    timescale: 0,
    era: 0,
    flags: 1,
    client_cookie: 7,
    receive_timestamp: 0xee07_3ac0 << 32,
    transmit_timestamp: 0xee07_3ac0 << 32,
};

/// 2026-07-19.
const RECEIVED: i64 = 1_784_462_400_000_000_000;

fn id(n: u8) -> ReferenceId {
    ReferenceId::of_address([192, 0, 2, n].into())
}

fn filter(ids: &[u8]) -> Filter {
    let mut filter = Filter::EMPTY;
    ids.iter().for_each(|n| filter.add(&id(*n)));
    filter
}

/// With so many bits set from this one on.
fn full(from: usize, bits: usize) -> Filter {
    let mut octets = [0u8; 512];
    (from..from + bits).for_each(|bit| octets[bit / 8] |= 1 << (bit % 8));
    Filter::from_octets(octets)
}

#[test]
fn a_server_that_shows_the_sign_is_asked_in_version_5() {
    let mut with = Negotiation::new();
    assert_eq!(with.ask(), Speech::Offer);
    with.heard_version4(Speech::Offer, true, Some((2, 7)));
    assert_eq!(with.ask(), Speech::Version5);
    with.heard_version5(Some(filter(&[1])), Use::Measured, 2);
    assert_eq!(with.filter, Some(filter(&[1])));
    for n in 1..1_000 {
        if n % (u16::from(SPEAKS) + 1) == u16::from(SPEAKS) {
            assert_eq!(with.ask(), Speech::Offer, "it names its upstream in version 4 alone");
            with.heard_version4(Speech::Offer, true, Some((2, 9)));
            assert_eq!(with.upstream(2), 9);
            continue;
        }
        assert_eq!(with.ask(), Speech::Version5, "{n}");
        with.missed(Speech::Version5);
        with.heard_version5(None, Use::Measured, 2);
    }
}

#[test]
fn a220_version_5_is_given_up_after_two_misses_and_tried_again_after_256_queries() {
    let mut with = Negotiation::new();
    for round in 0..3 {
        assert_eq!(with.ask(), Speech::Offer, "{round}");
        with.heard_version4(Speech::Offer, true, Some((2, 7)));
        for _ in 0..MISSES {
            assert_eq!(with.ask(), Speech::Version5);
            with.missed(Speech::Version5);
        }
        for _ in 0..REST {
            assert_eq!(with.ask(), Speech::Version4);
            with.heard_version4(Speech::Version4, true, Some((2, 7)));
        }
    }
}

#[test]
fn a220_a_stripped_sign_is_asked_for_again_after_256_queries() {
    let mut with = Negotiation::new();
    for _ in 0..3 {
        for _ in 0..OFFERS {
            assert_eq!(with.ask(), Speech::Offer);
            with.heard_version4(Speech::Offer, false, Some((2, 7)));
        }
        for _ in 0..REST {
            assert_eq!(with.ask(), Speech::Version4);
            with.heard_version4(Speech::Version4, false, Some((2, 7)));
        }
    }
}

#[test]
fn an_outage_is_not_taken_for_a_server_without_version_5() {
    let mut with = Negotiation::new();
    with.ask();
    with.heard_version4(Speech::Offer, true, Some((2, 7)));
    (0..MISSES).for_each(|_| with.missed(Speech::Version5));
    assert_eq!(with.ask(), Speech::Version4);
    with.missed(Speech::Version4);
    assert_eq!(with.ask(), Speech::Offer);
    (0..1_000).for_each(|_| with.missed(Speech::Offer));
    assert_eq!(with.ask(), Speech::Offer);
    with.heard_version4(Speech::Offer, true, Some((2, 7)));
    assert_eq!(with.ask(), Speech::Version5);
}

#[test]
fn replies_while_version_5_is_not_configured_answer_nothing() {
    let mut with = Negotiation::new();
    (0..100).for_each(|_| with.heard_version4(Speech::Version4, true, Some((2, 7))));
    (0..100).for_each(|_| with.heard_version4(Speech::Version4, false, Some((2, 7))));
    assert_eq!(with.ask(), Speech::Offer, "as soon as it is");
}

#[test]
fn what_version_5_says_without_a_code_is_understood() {
    let header = translate(&HEADER, 6, 9);
    assert_eq!((header.version, header.stratum, header.leap, header.origin_timestamp), (5, 2, Leap::None, 7));
    assert_eq!((header.root_delay, header.root_dispersion, header.reference_id), (256, 256, 9));
    let of = |change: fn(&mut Version5Header)| {
        let mut header = HEADER;
        change(&mut header);
        let ReplyHeader { stratum, leap, reference_id, .. } = translate(&header, 6, 0);
        (stratum, leap, reference_id.to_be_bytes())
    };
    let silent = (0, Leap::Unknown, [0; 4]);
    assert_eq!(of(|it| it.flags = 0), silent, "not synchronised");
    assert_eq!(of(|it| it.stratum = 0), silent);
    assert_eq!(of(|it| it.leap = Leap::Unknown), (2, Leap::None, [0; 4]), "it knows nothing of leap seconds");
    assert_eq!(of(|it| it.flags = 0xfff9), (2, Leap::None, [0; 4]), "unknown flags");
    assert_eq!(of(|it| (it.stratum, it.poll) = (0, 127)), (0, Leap::Unknown, *b"DENY"));
    assert_eq!(of(|it| (it.stratum, it.poll) = (0, 7)), (0, Leap::Unknown, *b"RATE"));
    assert_eq!(
        of(|it| (it.stratum, it.poll, it.receive_timestamp) = (0, 1, 0)),
        (0, Leap::Unknown, *b"RATE")
    );
    assert_eq!(of(|it| it.poll = 127), (2, Leap::None, [0; 4]), "with a time it is an interval");
}

#[test]
fn another_timescale_and_another_era_are_refused() {
    let of = |header: Version5Header| objection(&header, None, RECEIVED, None, &[]);
    assert_eq!(of(HEADER), None);
    for timescale in 1..=255 {
        assert_eq!(of(Version5Header { timescale, ..HEADER }), Some(RejectReason::Timescale), "{timescale}");
    }
    for era in 1..=255 {
        assert_eq!(of(Version5Header { era, ..HEADER }), Some(RejectReason::Date), "{era}");
    }
    let later = RECEIVED + (1 << 32) * 1_000_000_000;
    assert_eq!(objection(&HEADER, None, later, None, &[]), Some(RejectReason::Date));
    assert_eq!(objection(&Version5Header { era: 1, ..HEADER }, None, later, None, &[]), None);
}

#[test]
fn a218_who_has_our_own_id_or_all_ids_is_not_followed() {
    let own = id(1);
    let of = |filter: Option<&Filter>, stratum| {
        objection(&Version5Header { stratum, ..HEADER }, filter, RECEIVED, Some(&own), &[])
    };
    assert_eq!(of(Some(&filter(&[2, 3])), 2), None);
    assert_eq!(of(Some(&filter(&[2, 1, 3])), 2), Some(RejectReason::Loop));
    assert_eq!(of(Some(&full(0, 4096)), 2), Some(RejectReason::ReferenceIds));
    assert_eq!(of(Some(&full(0, 2049)), 2), Some(RejectReason::ReferenceIds));
    assert_eq!(of(None, 2), Some(RejectReason::ReferenceIds), "it does not say where its time comes from");
    assert_eq!(of(None, 1), None, "a reference clock");
    // Who serves nobody cannot be part of a loop.
    assert_eq!(objection(&HEADER, Some(&full(0, 4096)), RECEIVED, None, &[]), None);
}

#[test]
fn a220_a_server_without_a_time_or_of_another_stratum_than_it_said_is_asked_for_its_upstream_first() {
    let mut with = Negotiation::new();
    for _ in 0..100 {
        assert_eq!(with.ask(), Speech::Offer, "it has no time yet, and so no upstream");
        with.heard_version4(Speech::Offer, true, None);
    }
    with.heard_version4(Speech::Offer, true, Some((1, 7)));
    assert_eq!(with.ask(), Speech::Version5);
    assert_eq!((with.upstream(1), with.upstream(2)), (7, UNKNOWN_UPSTREAM), "its antenna is gone");
    with.heard_version5(None, Use::Measured, 2);
    assert_eq!(with.ask(), Speech::Offer);
    with.heard_version4(Speech::Offer, true, Some((2, 9)));
    assert_eq!(with.upstream(2), 9);
}

#[test]
fn a218_a_loop_through_a_host_that_asks_in_version_4_is_found_by_an_address() {
    let addresses = [[192, 0, 2, 9].into(), [192, 0, 2, 1].into()];
    let of = |ids: &[u8], own: Option<&ReferenceId>| {
        objection(&HEADER, Some(&filter(ids)), RECEIVED, own, &addresses)
    };
    for own in [None, Some(&id(5))] {
        assert_eq!(of(&[2, 1, 3], own), Some(RejectReason::Loop));
        assert_eq!(of(&[2, 3], own), None);
    }
}

#[test]
fn a218_a_filter_that_somebody_else_has_filled_costs_an_honest_server_version_5_and_no_more() {
    let mut with = Negotiation::new();
    with.ask();
    with.heard_version4(Speech::Offer, true, Some((2, 7)));
    with.heard_version5(Some(filter(&[1])), Use::Measured, 2);
    for _ in 0..MISSES {
        assert_eq!(with.ask(), Speech::Version5);
        with.heard_version5(Some(full(0, 4096)), Use::Objected, 2);
        assert_eq!(with.filter, Some(filter(&[1])), "what is told to our own clients is of a measurement");
    }
    assert_eq!(with.ask(), Speech::Version4);
    // What version 4 could not do better ends nothing.
    let mut with = Negotiation::new();
    with.ask();
    with.heard_version4(Speech::Offer, true, Some((2, 7)));
    for _ in 0..SPEAKS {
        assert_eq!(with.ask(), Speech::Version5);
        with.heard_version5(None, Use::None, 2);
    }
    assert_eq!(with.ask(), Speech::Offer);
}

#[test]
fn a218_liars_among_the_sources_do_not_make_our_own_clients_refuse_us() {
    let own = id(1);
    let honest = filter(&[2, 3, 4]);
    // Two that are accepted each, and too full together.
    let all = union(&own, vec![full(0, 1800), full(2000, 1800), honest]);
    assert!(all.count() <= Filter::HALF, "{all:?}");
    assert!([1, 2, 3, 4].iter().all(|n| all.has(&id(*n))), "the honest ones are in it");
    assert!(all.count() > 1000, "and the liar that has room");
    assert_eq!(union(&own, vec![]), filter(&[1]));
}

#[test]
fn a217_what_the_path_says_moves_an_offset_within_the_round_trip_or_not_at_all() {
    for (held_up, correction) in [
        (None, 0),
        (Some((0, 0)), 0),
        (Some((2_000, 0)), -1_000),
        (Some((0, 2_000)), 1_000),
        (Some((4_000, 6_000)), 1_000),
        (Some((10_000, 0)), -5_000),
        (Some((10_001, 0)), 0),
        (Some((0, i64::MAX)), 0),
        (Some((i64::MAX, i64::MAX)), 0),
        (Some((-1, 0)), 0),
        (Some((0, i64::MIN)), 0),
    ] {
        assert_eq!(path_correction(held_up, 10_000), correction, "{held_up:?}");
    }
}
