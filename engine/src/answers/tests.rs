use super::*;
use crate::configuration::Fleet;
use crate::cookie_keys::CookieSource;
use engine_core::io::Now;
use engine_core::notice::SignerNotice;
use engine_core::status::SignedStatus;
use ipc::message::key_service::{KeyCounters, Loaded};
use ipc::message::launch::{KeyService, Pair};
use ipc::units::RawInstant;
use report::{
    AssociationState, ClockName, LastReplyReport, LeapName, MeasurementOutcome, MeasurementReport, NtsReport,
    RejectReason, SourceActivity, SourceReport, SourceState, StampOrigin, SystemReport, SystemState,
};
use serde_json::Value;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

fn besides<'a>(elsewhere: Option<&'a str>, unserved: &'a [(Service, ServedAt)]) -> Besides<'a> {
    let history = HistoryFileReply {
        written: true,
        reason: None,
        records: Some(4_321),
        first_unix_s: Some(1_700_000_000),
        last_unix_s: Some(1_700_259_200),
        waiting: 0,
        noted_records: Some(4_300),
        noted_unix_s: Some(1_700_257_000),
        lack: None,
    };
    let signed = SignedStatus {
        servers: 5,
        last_round: Some((4, 12.5)),
        failures: 0,
        bounds: Some((1_700_259_198_500_000_000, 1_700_259_202_500_000_000)),
        findings: vec![("a.example".to_owned(), SignerNotice::Contradictory)],
    };
    let mut roughtime = lasting::roughtime(signed, None, None);
    (roughtime.anchors, roughtime.last_anchor_unix_s) = (Some(77), Some(1_700_257_003));
    Besides { elsewhere, unserved, history, roughtime: Some(roughtime) }
}

fn report() -> Report {
    Report {
        system: SystemReport {
            clock: ClockName::Virtual,
            synchronised: false,
            state: SystemState::Starting,
            reason: "no reply \u{1b}[31m so far".to_owned(),
            leap: LeapName::Unknown,
            stratum: 16,
            reference_id: None,
            reference: String::new(),
            offset_s: Some(f64::NAN),
            estimated_error_s: Some(0.0),
            error_bound_s: Some(f64::INFINITY),
            likely_error_s: Some(f64::INFINITY),
            slew_left_s: Some(0.0),
            frequency_ppm: Some(0.0),
            frequency_error_ppm: Some(0.0),
            root_delay_s: Some(0.0),
            root_dispersion_s: Some(0.0),
            last_update_s: None,
            first_update_s: None,
            epoch: 1,
            steps: 0,
            refusals: 0,
            last_refusal: String::new(),
            one_operator: Vec::new(),
            pauses_shown_by: None,
            pauses: None,
            deciding: None,
            may_fall_silent: None,
            may_be_wrong: None,
            losses: None,
            followed_sources: None,
            authenticated_sources: None,
            authenticated_for_s: None,
            authentication: None,
            tai_offset_s: None,
            leap_list: None,
            leap_list_expires_unix_s: None,
        },
        sources: Vec::new(),
    }
}

#[test]
fn a_status_names_the_processes_that_run_and_what_they_miss() {
    let shortfall = Shortfall { landlock: true, insecure: true, ..Shortfall::NONE };
    let surroundings = Surroundings {
        clock: ClockKind::Virtual,
        processes: PerProcess::from_fn(|process| match process {
            Process::Privileged => 10,
            Process::Engine => 11,
            Process::Client => 12,
            _ => 0,
        }),
        shortfalls: PerProcess::from_fn(|process| match process {
            Process::Engine => Some(Shortfall::NONE),
            Process::Client => Some(shortfall),
            _ => None,
        }),
        counters: None,
        key_exchange: None,
    };
    let reply: Value =
        serde_json::from_str(&status(report(), &surroundings, besides(Some("full"), &[]), WallTime::MIN))
            .unwrap();
    assert_eq!(reply["processes"][2]["name"], "client");
    assert_eq!(reply["processes"][2]["pid"], 12);
    assert_eq!(reply["processes"].as_array().unwrap().len(), 3);
    assert_eq!(reply["shortfalls"]["client"], serde_json::json!(["landlock", "syscall-filter"]));
    assert_eq!(reply["shortfalls"]["engine"], serde_json::json!([]));
    assert_eq!(reply["state_elsewhere"], "full");
    assert!(reply["shortfalls"].get("privileged").is_none());
    assert_eq!(reply["server"], Value::Null);
    assert_eq!((&reply["clock"], &reply["version"]), (&"virtual".into(), &env!("CARGO_PKG_VERSION").into()));
}

#[test]
fn what_is_not_a_number_is_null_and_a_reply_is_one_line() {
    let surroundings = Surroundings {
        clock: ClockKind::Kernel,
        processes: PerProcess::default(),
        shortfalls: PerProcess::default(),
        counters: None,
        key_exchange: None,
    };
    let text = status(report(), &surroundings, besides(None, &[]), WallTime::MIN);
    assert!(!text.contains('\u{1b}') && !text.contains('\n'));
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["report"]["offset_s"], Value::Null);
    assert_eq!(reply["report"]["state"], "starting");
}

/// The whole of what there can be, each value another one.
fn full() -> Report {
    let nts = NtsReport {
        state: AssociationState::Ready,
        last_exchange: "keys were exchanged".to_owned(),
        next_exchange_s: Some(2_419_200.5),
        exchanges: 1,
        failures: 2,
        aead: Some(30),
        key_age_s: Some(3.25),
        restored: true,
        cookies: 8,
        redirected: true,
        naks: 4,
        certificate_until: Some(1_800_000_000),
        organisation: "Example Ltd".to_owned(),
        one_operator: vec!["c.example".to_owned()],
    };
    let last_reply = LastReplyReport {
        leap: LeapName::Insert,
        version: 4,
        precision: -23,
        root_delay_s: 0.001,
        root_dispersion_s: 0.002,
        reference_time_unix_s: Some(1_800_000_000.5),
        response_s: Some(0.0001),
        departure_stamp: StampOrigin::Kernel,
        arrival_stamp: StampOrigin::Hardware,
        interleaved: true,
        local_address: Some("192.0.2.7".to_owned()),
    };
    let unheard = SourceReport {
        name: "b.example".to_owned(),
        address: String::new(),
        state: SourceState::Waiting,
        reason: "its name is not resolved yet; it is being looked up".to_owned(),
        authenticated: false,
        nts: None,
        stratum: None,
        reference_id: None,
        reach: 0,
        poll: 6,
        next_poll_s: None,
        offset_s: None,
        offset_error_s: None,
        delay_s: None,
        jitter_s: None,
        root_distance_s: None,
        sent: 0,
        valid: 0,
        last_valid_s: None,
        offered_by: None,
        rejected: BTreeMap::new(),
        change: "it is asked as soon as its name is resolved".to_owned(),
        activity: SourceActivity::Unresolved,
        samples: 0,
        span_s: None,
        deviation_s: None,
        frequency_ppm: None,
        frequency_error_ppm: None,
        noselect: true,
        prefer: false,
        trust: false,
        require: false,
        last_reply: None,
        correction_s: 0.0,
        min_stratum: 1,
        family: None,
        send_from: Vec::new(),
        send_over: None,
        dscp: 0,
        key: None,
    };
    let selected = SourceReport {
        name: "a.example".to_owned(),
        address: "[2001:db8::1]:123".to_owned(),
        state: SourceState::Selected,
        reason: "it agrees with the majority and is the nearest to true time".to_owned(),
        authenticated: true,
        nts: Some(nts),
        stratum: Some(2),
        reference_id: Some("c0000201".to_owned()),
        reach: 255,
        poll: -2,
        next_poll_s: Some(12.5),
        offset_s: Some(-2e-6),
        offset_error_s: Some(1e-7),
        delay_s: Some(0.01),
        jitter_s: Some(2.5e-5),
        root_distance_s: Some(0.006),
        sent: 20,
        valid: 19,
        last_valid_s: Some(51.5),
        noselect: false,
        prefer: true,
        trust: true,
        require: true,
        last_reply: Some(last_reply),
        correction_s: -0.25,
        min_stratum: 2,
        family: Some("ipv6".to_owned()),
        send_from: vec!["2001:db8::7".to_owned()],
        send_over: Some("eth0".to_owned()),
        dscp: 46,
        key: None,
        offered_by: None,
        rejected: BTreeMap::from([(RejectReason::NtsNak, 4), (RejectReason::Origin, 3)]),
        change: "it is used no longer if it falls silent".to_owned(),
        activity: SourceActivity::Bursting,
        samples: 18,
        span_s: Some(4_096.5),
        deviation_s: Some(3.5e-5),
        frequency_ppm: Some(-0.125),
        frequency_error_ppm: Some(0.0625),
    };
    let system = SystemReport {
        clock: ClockName::Kernel,
        synchronised: true,
        state: SystemState::Synchronised,
        reason: "the clock follows 1 of 2 sources".to_owned(),
        leap: LeapName::None,
        stratum: 3,
        reference_id: Some("c0000201".to_owned()),
        reference: "a.example".to_owned(),
        offset_s: Some(1.5e-5),
        estimated_error_s: Some(2e-6),
        error_bound_s: Some(0.0061),
        likely_error_s: Some(0.0037),
        slew_left_s: Some(-1e-5),
        frequency_ppm: Some(-12.5),
        frequency_error_ppm: Some(0.03),
        root_delay_s: Some(0.011),
        root_dispersion_s: Some(f64::INFINITY),
        last_update_s: Some(4.5),
        first_update_s: Some(0.5),
        epoch: 7,
        steps: 1,
        refusals: 2,
        last_refusal: "budget".to_owned(),
        one_operator: vec!["a.example".to_owned(), "c.example".to_owned()],
        pauses_shown_by: Some(vec!["rtc".to_owned(), "vmclock".to_owned()]),
        pauses: Some("shown by the hardware clock (RTC) and vmclock".to_owned()),
        deciding: Some(4),
        may_fall_silent: Some(3),
        may_be_wrong: Some(1),
        losses: Some(
            "of the 4 sources that decide, any 3 may fall silent, or any 1 be wrong, and the others are followed"
                .to_owned(),
        ),
        followed_sources: Some(3),
        authenticated_sources: Some(3),
        authenticated_for_s: Some(7_260.5),
        authentication: Some(
            "all 3 sources that the clock follows are authenticated, and no other has corrected it for 2 h".to_owned(),
        ),
        tai_offset_s: Some(37),
        leap_list: Some("in force until 2026-06-28".to_owned()),
        leap_list_expires_unix_s: Some(1_782_604_800),
    };
    Report { system, sources: vec![selected, unheard] }
}

fn some_measurements() -> Vec<SourceMeasurements> {
    let used = MeasurementReport {
        ago_s: 1.5,
        offset_s: Some(-2e-6),
        delay_s: Some(0.01),
        root_distance_s: Some(0.006),
        outcome: MeasurementOutcome::Used,
        test: None,
        stamps: Some(StampOrigin::Kernel),
    };
    let failed = MeasurementReport {
        ago_s: 3.5,
        offset_s: None,
        delay_s: None,
        root_distance_s: None,
        outcome: MeasurementOutcome::Failed,
        test: Some(RejectReason::LeapUnknown),
        stamps: None,
    };
    let of = |name: &str, address: &str, measurements| SourceMeasurements {
        name: name.to_owned(),
        address: address.to_owned(),
        measurements,
    };
    vec![of("a.example", "[2001:db8::1]:123", vec![used, failed]), of("b.example", "", Vec::new())]
}

/// Both clocks when the course is asked for.
fn course_now() -> Now {
    let (raw, wall) = (1_000_000_000_000, 1_800_000_000_500_000_000);
    Now { raw: RawInstant::saturating(raw), wall: WallTime::saturating(wall) }
}

fn some_course() -> Vec<HistoryPoint> {
    let until = |ago_ns: i64, wall_ns: i64| Now {
        raw: RawInstant::saturating(course_now().raw.nanos() - ago_ns),
        wall: WallTime::saturating(wall_ns),
    };
    let short = |value: f32| f64::from(value);
    let known = HistoryPoint {
        until: until(22_500_000_000, 1_799_999_978_250_000_000),
        offset: Some((short(15e-6), short(-3e-6), short(125e-6))),
        bound: Some(short(0.0061)),
        likely: Some(short(0.0037)),
        frequency: Some(-12.5),
        used: 3,
        synchronised: true,
        stepped: Some(-0.25),
        gap: false,
    };
    let unknown = HistoryPoint {
        until: until(7_500_000_000, 1_799_999_993_000_000_000),
        offset: None,
        bound: None,
        likely: None,
        frequency: None,
        used: 0,
        synchronised: false,
        stepped: None,
        gap: true,
    };
    vec![known, unknown]
}

/// The longest that there can be.
#[test]
fn the_longest_course_fits_into_a_reply() {
    let [point, _] = some_course().try_into().unwrap();
    let long = |value: f32| f64::from(value);
    let offset = Some((long(-1.234_567_8e-7), long(-1.234_567_8e-7), long(-1.234_567_8e-7)));
    let stepped = Some(-0.123_456_789_012_345_67);
    let frequency = Some(long(-123.456_78));
    let point = HistoryPoint {
        offset,
        stepped,
        frequency,
        bound: offset.map(|it| it.0),
        likely: offset.map(|it| it.0),
        ..point
    };
    let text = history(HistorySpan::Hour, (Span::from_secs(15), vec![point; 241]), course_now());
    assert!(text.len() < crate::control::MAX_REPLY / 2, "{}", text.len());
}

fn full_surroundings() -> Surroundings {
    let path = |text: &str| FilePath::parse(text).unwrap();
    let pair = |name: &str| Pair {
        certificate: path(&format!("/etc/truechimer/nts/{name}.pem")),
        key: path(&format!("/etc/truechimer/nts/{name}-key.pem")),
    };
    let mut known = KeyExchange::of(&KeyService {
        listen: ipc::list::Bounded::NOWHERE,
        threads: 1,
        first: pair("a"),
        further: [Some(pair("b")), None, None],
    });
    known.read(0, Loaded::InUse { not_before: 1_700_000_000, not_after: 1_800_000_000 });
    known.read(1, Loaded::Mismatch);
    known.count(KeyCounters::from_list(std::array::from_fn(|at| at as u64 + 1)));
    Surroundings {
        clock: ClockKind::Kernel,
        processes: PerProcess::from_fn(|process| process as u32 + 10),
        shortfalls: PerProcess::from_fn(|process| match process {
            Process::Privileged => None,
            Process::Client => Some(Shortfall { landlock: true, insecure: true, ..Shortfall::NONE }),
            _ => Some(Shortfall::NONE),
        }),
        counters: Some(Counters::from_list(std::array::from_fn(|at| at as u64 + 1))),
        key_exchange: Some(known),
    }
}

fn wall(seconds: i64) -> WallTime {
    WallTime::try_new(seconds * 1_000_000_000).unwrap()
}

/// People and programs rely on them; `ipc/report/tests` has the documents.
#[test]
fn the_replies_on_the_socket_are_those_of_the_golden_documents() {
    let (report, surroundings) = (full(), full_surroundings());
    let unserved = [(Service::Time, ServedAt::parse("0.0.0.0%eth0:123").unwrap())];
    let (mut cookies, _) = CookieSource::new(None::<Fleet>, None);
    let now = Now { raw: RawInstant::MIN, wall: wall(1_799_500_000) };
    let random = || Some(Zeroizing::new([7; 32]));
    assert!(matches!(cookies.look(now, true, WallTime::MIN, random), crate::cookie_keys::Turned::New(_)));
    let path = |text: &str| ipc::file_path::FilePath::parse(text).unwrap();
    let reload = Reloaded {
        rules: 4,
        changed: true,
        sources: crate::reload::Sources {
            added: vec!["192.0.2.9".to_owned()],
            changed: vec!["192.0.2.1".to_owned()],
            removed: vec!["192.0.2.2".to_owned()],
            waiting: Vec::new(),
            left_out: Vec::new(),
        },
        clock: vec!["max-slew-ppm"],
        reads: Some(Pair { certificate: path("/a/c.pem"), key: path("/a/k.pem") }),
        other_files: true,
        waiting: vec!["[server.nts] has changed: certificate".to_owned()],
        left_out: vec!["/run/truechimer/sources.d/x.toml:1: a fault; the file is left out".to_owned()],
        notes: Vec::new(),
        is_of_programs: false,
    };
    let known = surroundings.key_exchange;
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    for (name, written) in [
        (
            "status",
            status(report.clone(), &surroundings, besides(None, &unserved), now.wall)
                .replace(&version, "\"version\":\"0.1.0\""),
        ),
        ("sources", sources(report.clone(), |name| (name == "b.example").then_some("dhcp-eth0.toml"))),
        ("measurements", measurements(some_measurements())),
        ("history", history(HistorySpan::Hour, (Span::from_secs(15), some_course()), course_now())),
        ("server", server(&surroundings)),
        ("keys", keys(report, Some(&cookies), known.as_ref(), now.wall)),
        ("reload", reloaded(&reload, 6)),
        ("done", done()),
        ("refused", refused(&"\"no\"")),
    ] {
        let place = format!("{}/../ipc/report/tests/{name}.json", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(written + "\n", std::fs::read_to_string(&place).unwrap(), "{name}");
    }
}
