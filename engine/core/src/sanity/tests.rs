use super::*;
use crate::measurement::Stamps;
use ipc::message::client::Stamp;
use ipc::units::RawInstant;
use proptest::prelude::*;

const FLOOR: i64 = 1_790_000_000_000_000_000;
const NONCE: u64 = 0x0123_4567_89ab_cdef;

fn expected() -> Expectations<'static> {
    Expectations {
        beyond: None,
        nonce: NONCE,
        precision: -24,
        floor: FLOOR,
        latest: FLOOR + 20 * 31_536_000_000_000_000,
        max_delay: 3.0,
        correction: 0,
        max_stratum: 15,
        own_ids: &[0xc000_0207, 0x39ab_9b37],
        served: Some((3, 0xc000_0201, 0x123, 0x55)),
        slack: 200_000,
    }
}

fn header() -> ReplyHeader {
    let t = Timestamp::from_unix_nanos(FLOOR + 86_400_000_000_000).bits();
    ReplyHeader {
        leap: Leap::None,
        version: 4,
        mode: 4,
        stratum: 2,
        poll: 6,
        precision: -23,
        root_delay: 0x100,
        root_dispersion: 0x80,
        reference_id: 0xc633_6401,
        reference_timestamp: t - (1 << 36),
        origin_timestamp: NONCE,
        receive_timestamp: t,
        transmit_timestamp: t + 1000,
    }
}

fn at(nanos: i64) -> RawInstant {
    RawInstant::saturating(nanos)
}

fn times(t2: i64, t3: i64) -> Times {
    Times {
        sent: at(5_000_000_000),
        t1: at(5_000_050_000),
        t2,
        t3,
        t4: at(5_001_000_000),
        received: at(5_001_050_000),
        stamps: Stamps { sent: Stamp::Kernel, received: Stamp::Kernel },
    }
}

fn judge(header: ReplyHeader) -> Result<Verdict, RejectReason> {
    examine(&header, times, &expected())
}

fn reason(header: ReplyHeader) -> RejectReason {
    match judge(header) {
        Err(reason) | Ok(Verdict::Unusable(reason, _)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_reply_is_a_measurement() {
    let Ok(Verdict::Usable(found, facts)) = judge(header()) else { panic!() };
    assert!((found.delay - 950e-6).abs() < 1e-6);
    assert_eq!(facts.stratum, 2);
    assert_eq!(facts.root_delay, 256.0 / 65_536.0);
}

#[test]
fn a002_an_origin_of_zero_is_silent() {
    assert_eq!(judge(ReplyHeader { origin_timestamp: 0, ..header() }), Err(RejectReason::Origin));
    assert_eq!(RejectReason::Origin.name(), "bad_origin");
    // Even where the query itself had none.
    let zero = Expectations { nonce: 0, ..expected() };
    let header = ReplyHeader { origin_timestamp: 0, ..header() };
    assert_eq!(examine(&header, times, &zero), Err(RejectReason::Origin));
}

#[test]
fn a004_a_reply_to_an_older_query_is_silent() {
    assert_eq!(judge(ReplyHeader { origin_timestamp: NONCE ^ 1, ..header() }), Err(RejectReason::Origin));
}

#[test]
fn a009_a_kiss_with_a_wrong_nonce_is_silent() {
    let kiss = ReplyHeader {
        stratum: 0,
        reference_id: u32::from_be_bytes(*b"DENY"),
        origin_timestamp: NONCE + 1,
        ..header()
    };
    assert_eq!(judge(kiss), Err(RejectReason::Origin));
    let answered = ReplyHeader { origin_timestamp: NONCE, ..kiss };
    assert_eq!(judge(answered), Ok(Verdict::Kiss(KissCode::Deny)));
}

#[test]
fn a011_a_kiss_of_unknown_code_and_poll_255_is_only_a_kiss() {
    let kiss = ReplyHeader { stratum: 0, reference_id: 0xff0a_1b00, poll: -1, ..header() };
    assert_eq!(judge(kiss), Ok(Verdict::Kiss(KissCode::Other([0xff, 0x0a, 0x1b, 0]))));
}

#[test]
fn a013_every_mode_but_server_is_silent() {
    for mode in [0, 1, 2, 3, 5, 6, 7] {
        assert_eq!(judge(ReplyHeader { mode, ..header() }), Err(RejectReason::Mode), "{mode}");
    }
}

#[test]
fn a014_every_version_but_3_and_4_is_silent() {
    for version in [0, 1, 2, 5, 6, 7] {
        assert_eq!(judge(ReplyHeader { version, ..header() }), Err(RejectReason::Version), "{version}");
    }
    assert!(matches!(judge(ReplyHeader { version: 3, ..header() }), Ok(Verdict::Usable(..))));
}

#[test]
fn a016_an_unsynchronised_server_is_there_but_not_usable() {
    for stratum in [16, 17, 255] {
        assert_eq!(reason(ReplyHeader { stratum, ..header() }), RejectReason::Unsynchronised);
    }
    assert_eq!(reason(ReplyHeader { leap: Leap::Unknown, ..header() }), RejectReason::LeapUnknown);
    for reason in [RejectReason::LeapUnknown, RejectReason::Unsynchronised] {
        assert_eq!(reason.effect(), report::Effect::Unused);
    }
    assert!(matches!(judge(ReplyHeader { stratum: 0, ..header() }), Ok(Verdict::Kiss(_))));
}

#[test]
fn a017_extreme_fields_are_unusable_and_overflow_nothing() {
    assert_eq!(reason(ReplyHeader { root_delay: u32::MAX, ..header() }), RejectReason::RootDistance);
    assert_eq!(reason(ReplyHeader { root_dispersion: u32::MAX, ..header() }), RejectReason::RootDistance);
    for precision in [127, 1, -33, -128] {
        assert_eq!(reason(ReplyHeader { precision, ..header() }), RejectReason::Precision, "{precision}");
    }
    // The poll exponent of a reply is of no interest.
    assert!(matches!(judge(ReplyHeader { poll: -128, ..header() }), Ok(Verdict::Usable(..))));
}

#[test]
fn a018_zero_and_backward_times_are_silent() {
    let t3 = header().transmit_timestamp;
    for bad in [
        ReplyHeader { receive_timestamp: 0, ..header() },
        ReplyHeader { transmit_timestamp: 0, ..header() },
        ReplyHeader { receive_timestamp: t3 + 5000, ..header() },
        ReplyHeader { receive_timestamp: t3 - (4 << 32) - 5000, ..header() },
    ] {
        assert_eq!(judge(bad), Err(RejectReason::BadInterval), "{bad:?}");
    }
    assert_eq!(RejectReason::BadInterval.name(), "bad_interval");
}

#[test]
fn a020_an_exchange_across_the_end_of_the_era_is_right_to_the_nanosecond() {
    let floor = 2_085_978_000_000_000_000;
    let expected = Expectations { floor, latest: floor + 31_536_000_000_000_000, ..expected() };
    let (t2, t3) = (2_085_978_495_999_990_000, 2_085_978_496_000_010_000);
    let header = ReplyHeader {
        receive_timestamp: Timestamp::from_unix_nanos(t2).bits(),
        transmit_timestamp: Timestamp::from_unix_nanos(t3).bits(),
        ..header()
    };
    let Ok(Verdict::Usable(found, _)) = examine(&header, times, &expected) else { panic!() };
    assert_eq!(found.offset, 2_085_978_496_000_000_000 - 5_000_525_000);
}

#[test]
fn a021_dates_before_the_floor_or_far_ahead_are_silent() {
    for seconds in [0, FLOOR / 1_000_000_000 - 1, 2_147_483_648 + 630_720_000, 4_233_462_144] {
        let t = Timestamp::from_unix_nanos(seconds * 1_000_000_000).bits();
        let header = ReplyHeader { receive_timestamp: t, transmit_timestamp: t, ..header() };
        assert_eq!(judge(header), Err(RejectReason::Date), "{seconds}");
    }
}

#[test]
fn a036_a_source_that_follows_us_is_a_loop() {
    for reference_id in [0xc000_0207, 0x39ab_9b37] {
        assert_eq!(reason(ReplyHeader { reference_id, ..header() }), RejectReason::Loop);
    }
    // A stratum 1 server's reference id is text, whatever it looks like.
    let primary = ReplyHeader { reference_id: 0xc000_0207, stratum: 1, ..header() };
    assert!(matches!(judge(primary), Ok(Verdict::Usable(..))));
}

#[test]
fn a037_a_source_that_says_exactly_what_we_say_is_ourselves() {
    let ourselves = ReplyHeader {
        stratum: 3,
        reference_id: 0xc000_0201,
        root_delay: 0x123,
        reference_timestamp: 0x55,
        ..header()
    };
    assert_eq!(reason(ourselves), RejectReason::Itself);
    let brother = ReplyHeader { reference_timestamp: 0x56, ..ourselves };
    assert!(matches!(judge(brother), Ok(Verdict::Usable(..))));
}

#[test]
fn a_long_round_trip_and_a_high_stratum_are_not_usable() {
    let slow = |t2, t3| Times { t4: at(8_100_000_000), received: at(8_100_000_000), ..times(t2, t3) };
    assert!(matches!(
        examine(&header(), slow, &expected()),
        Ok(Verdict::Unusable(RejectReason::DelayLimit, _))
    ));
    let strict = Expectations { max_stratum: 1, ..expected() };
    assert!(matches!(
        examine(&header(), times, &strict),
        Ok(Verdict::Unusable(RejectReason::StratumLimit, _))
    ));
}

#[test]
fn every_reason_has_its_own_name_and_place() {
    let names: std::collections::BTreeSet<_> = RejectReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), RejectReason::COUNT);
    for (index, reason) in RejectReason::ALL.iter().enumerate() {
        assert_eq!(*reason as usize, index);
    }
}

proptest! {
    #[test]
    fn any_header_gives_finite_numbers(
        (leap, version, mode, stratum, poll, precision) in (0u8..4, 0u8..8, 0u8..8, any::<u8>(), any::<i8>(), any::<i8>()),
        (root_delay, root_dispersion, reference_id) in any::<(u32, u32, u32)>(),
        (t2, t3) in any::<(u64, u64)>(),
    ) {
        let leap = [Leap::None, Leap::Insert, Leap::Delete, Leap::Unknown][usize::from(leap)];
        let header = ReplyHeader {
            leap, version, mode, stratum, poll, precision, root_delay, root_dispersion, reference_id,
            reference_timestamp: t2, origin_timestamp: NONCE, receive_timestamp: t2, transmit_timestamp: t3,
        };
        for header in [header, ReplyHeader { version: 4, mode: 4, stratum: 1, precision: -20, ..header }] {
            if let Ok(Verdict::Usable(found, facts)) = judge(header) {
                prop_assert!(found.delay.is_finite() && found.noise.is_finite());
                prop_assert!(facts.root_delay.is_finite() && facts.root_dispersion.is_finite());
            }
        }
    }
}

#[test]
fn stamps_that_are_multiples_of_a_coarse_unit_count_as_no_more_precise_whatever_is_claimed() {
    let second = (1u64 << 32) as f64;
    for (unit, seen) in [
        (1.0, 1.0),
        (0.1, 0.1),
        (1.0 / 64.0, 1.0 / 64.0),
        (0.01, 0.01),
        (1.0 / 1024.0, 1.0 / 1024.0),
        (0.001, 0.001),
        (1e-6, 1e-6),
        (1e-7, 0.0),
        (3.3e-8, 0.0),
    ] {
        let base = header().receive_timestamp & !0xffff_ffff;
        let stamp = |units: f64| base + (units * unit * second).round() as u64;
        let [receive_timestamp, transmit_timestamp] = [stamp(7.0), stamp(8.0)];
        let coarse = ReplyHeader { receive_timestamp, transmit_timestamp, precision: -26, ..header() };
        let wide = Expectations { max_delay: 10.0, ..expected() };
        let Ok(Verdict::Usable(found, facts)) = examine(&coarse, times, &wide) else { panic!("{unit}") };
        let claimed = f64::from(header().root_dispersion) / 65_536.0;
        assert!((facts.root_dispersion - claimed - seen).abs() < 1e-7 + 1e-3 * seen, "{unit}: {facts:?}");
        assert!(found.noise >= 0.3 * seen && found.delay >= seen, "{unit}: {found:?}");
    }
}
