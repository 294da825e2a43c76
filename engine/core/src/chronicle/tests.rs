use super::*;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;
const SPANS: [HistorySpan; 3] = HistorySpan::ALL;

fn now(seconds: f64) -> Now {
    let nanos = (seconds * 1e9) as i64;
    Now { raw: RawInstant::saturating(nanos), wall: WallTime::saturating(1_800_000_000 * SECOND + nanos) }
}

/// A clock that is right within `bound`, and off by `offset`.
fn moment(at: Now, offset: f64, bound: f64) -> Moment {
    let known = Some(Known { offset, bound, likely: bound / 2.0 });
    Moment { at, known, frequency: Some(-12.5), used: 3, who: Who::default(), synchronised: true }
}

/// The offset grows by 1 µs in each second, and so does its bound.
fn of_raw(raw: RawInstant) -> Moment {
    let seconds = raw.nanos() as f64 * 1e-9;
    moment(now(seconds), seconds * 1e-6, 1e-3 + seconds * 1e-6)
}

/// At each of these moments the engine is told something.
fn told_at(moments: impl IntoIterator<Item = f64>) -> Chronicle {
    let mut chronicle = Chronicle::new();
    for at in moments {
        chronicle.lapse(now(at).raw, of_raw);
        chronicle.note(of_raw(now(at).raw));
    }
    chronicle
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-9 + expected.abs() * 1e-5
}

#[test]
fn a_point_has_the_mean_the_extremes_and_the_worst_of_its_time() {
    let chronicle = told_at([0.0, 4.0, 20.0, 31.0]);
    let (length, points) = chronicle.report(HistorySpan::Hour);
    assert_eq!((length, points.len()), (Span::from_secs(15), 3));
    let (mean, least, largest) = points[0].offset.unwrap();
    assert!(near(mean, 7.5e-6) && near(least, 0.0) && near(largest, 15e-6), "{points:?}");
    let (mean, least, largest) = points[1].offset.unwrap();
    assert!(near(mean, 22.5e-6) && near(least, 15e-6) && near(largest, 30e-6), "{points:?}");
    assert!(near(points[1].bound.unwrap(), 1e-3 + 30e-6) && near(points[1].likely.unwrap(), 515e-6));
    assert_eq!(points[1].until, now(30.0));
    let last = points[2];
    assert!(near(last.offset.unwrap().0, 30.5e-6), "as far as it has come: {last:?}");
    assert_eq!((last.until, last.used, last.synchronised, last.gap), (now(31.0), 3, true, false));
    assert_eq!((last.frequency, last.stepped), (Some(-12.5), None));
    let (_, day) = chronicle.report(HistorySpan::Day);
    assert!(day.len() == 1 && near(day[0].offset.unwrap().0, 15.5e-6), "{day:?}");
}

#[test]
fn the_worst_of_the_states_in_a_point_is_told() {
    let mut chronicle = told_at([0.0]);
    let poor = Moment { used: 1, synchronised: false, ..moment(now(5.0), 0.25, f64::INFINITY) };
    chronicle.lapse(now(5.0).raw, of_raw);
    chronicle.note(poor);
    chronicle.note(moment(now(5.0), 0.0, 1e-3));
    let (_, points) = chronicle.report(HistorySpan::Week);
    assert_eq!((points[0].used, points[0].synchronised, points[0].likely), (1, false, None));
    assert!(near(points[0].offset.unwrap().2, 0.25), "{points:?}");
}

#[test]
fn a_time_in_which_no_offset_is_known_has_none() {
    let mut chronicle = Chronicle::new();
    let unknown = |at: f64| Moment { known: None, used: 0, synchronised: false, ..moment(now(at), 0.0, 0.0) };
    chronicle.note(unknown(0.0));
    chronicle.lapse(now(40.0).raw, |raw| unknown(raw.nanos() as f64 * 1e-9));
    chronicle.note(moment(now(40.0), 1e-6, 1e-3));
    let (_, points) = chronicle.report(HistorySpan::Hour);
    assert_eq!(points.iter().map(|point| point.offset.is_some()).collect::<Vec<_>>(), [false, false, true]);
    assert!(points.iter().all(|point| !point.synchronised && point.used == 0));
    assert!(near(points[2].offset.unwrap().0, 1e-6), "for no time at all, but known: {points:?}");
}

#[test]
fn steps_are_summed_and_a_standstill_is_a_gap() {
    let mut chronicle = told_at([0.0, 10.0]);
    chronicle.stepped(now(10.0), 0.5, true);
    chronicle.stepped(now(11.0), -0.125, true);
    chronicle.stood_still(now(20.0));
    for span in SPANS {
        let (_, points) = chronicle.report(span);
        assert_eq!(points[0].stepped, Some(0.375), "{points:?}");
        assert!(points.last().unwrap().gap);
        assert_eq!(points[0].gap, points.len() == 1);
    }
}

#[test]
fn silence_of_hours_leaves_out_what_nobody_saw() {
    let mut chronicle = told_at([0.0, 100.0]);
    assert!(!chronicle.report(HistorySpan::Day).1[0].gap);
    let after = 100.0 + 5.0 * 3600.0;
    chronicle.lapse(now(after).raw, |_| panic!("nothing is known of that time"));
    chronicle.note(of_raw(now(after).raw));
    let (_, hour) = chronicle.report(HistorySpan::Hour);
    assert_eq!(hour.len(), 1, "what is older than an hour is gone: {hour:?}");
    let (_, day) = chronicle.report(HistorySpan::Day);
    assert_eq!((day.len(), day[0].gap, day[1].gap), (2, true, true), "{day:?}");
    assert_eq!((day[0].until, day[1].until), (now(100.0), now(after)));
}

#[test]
fn ten_years_take_no_more_memory_than_a_week() {
    let capacity = |chronicle: &Chronicle| -> Vec<usize> {
        chronicle.rings.iter().map(|ring| ring.points.capacity()).collect()
    };
    let mut chronicle = told_at([0.0]);
    let begun = capacity(&chronicle);
    let octets: usize = begun.iter().map(|kept| kept * size_of::<Point>()).sum();
    assert!(octets + size_of::<Chronicle>() + 3 * size_of::<Ring>() <= 40_000, "{octets}");
    let mut at = 0.0;
    while at < 10.0 * 365.25 * 86_400.0 {
        at += 1_000.0;
        chronicle.lapse(now(at).raw, of_raw);
        chronicle.note(of_raw(now(at).raw));
        if (at as i64) % 864_000 == 0 {
            chronicle.stepped(now(at), 1e-3, true);
            at += 20_000.0;
        }
    }
    assert_eq!(capacity(&chronicle), begun);
    for (span, (length, kept)) in SPANS.into_iter().zip(RINGS) {
        let (_, points) = chronicle.report(span);
        assert!(points.len() <= kept + 1 && points.len() > kept / 2, "{span:?}: {}", points.len());
        let first = now(at).raw.since(points[0].until.raw).nanos();
        assert!(first <= length.nanos() * (kept as i64 + 1) + 20_000 * SECOND, "{span:?}: {first}");
    }
}

#[test]
fn what_the_model_of_the_clock_missed_is_spread_over_the_time_unless_it_was_moved() {
    let (from, half, to) = (now(0.0), now(50.0), now(100.0));
    let wall = between(half, 1_000, from.raw, to.raw);
    assert_eq!(wall.minus(half.wall).nanos(), 500);
    assert_eq!(between(half, 3 * SECOND, from.raw, to.raw), half.wall);
    assert_eq!(between(half, 1_000, from.raw, from.raw), half.wall);
}

proptest! {
    #[test]
    fn any_course_of_events_leaves_points_in_order(
        events in proptest::collection::vec((0..6u8, -1e6..1e9_f64, any::<f64>(), any::<f64>()), 1..80),
    ) {
        let mut chronicle = Chronicle::new();
        let mut at = 0.0;
        for (kind, passed, offset, bound) in events {
            at = if kind == 0 { passed } else { at + passed.abs() % 20_000.0 };
            let said = moment(now(at), offset, bound);
            match kind {
                1 => chronicle.stepped(now(at), offset, true),
                2 => chronicle.stood_still(now(at)),
                3 => chronicle.note(Moment { known: None, ..said }),
                _ => {
                    chronicle.lapse(now(at).raw, |raw| Moment { at: Now { raw, ..now(at) }, ..said });
                    chronicle.note(said);
                }
            }
            for (span, (_, kept)) in SPANS.into_iter().zip(RINGS) {
                let (_, points) = chronicle.report(span);
                prop_assert!(points.len() <= kept + 1);
                prop_assert!(points.windows(2).all(|two| two[0].until.raw <= two[1].until.raw), "{points:?}");
            }
        }
    }
}
