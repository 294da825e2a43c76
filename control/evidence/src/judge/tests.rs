use super::*;
use crate::course::{Absence, Hole, InForce, Period, Start, Stepped, Used, Whose};
use ipc::history::Minute;
use ipc::units::RawInstant;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
/// 2026-12-31T12:00:00Z.
const BEGIN: i64 = 1_798_718_400 * SECOND;

fn at(minutes: i64) -> WallTime {
    WallTime::saturating(BEGIN + minutes * MINUTE)
}

/// Fifteen hundred minutes of a clock that is within 2 ms; what is wrong is the test's.
fn course(change: impl Fn(i64, &mut Minute)) -> Course {
    let kept = (0..1_500).map(|number| {
        let mut minute = Minute {
            length_ms: 60_000,
            synchronised: true,
            authenticated: true,
            offset: Some((-5_000, 7_000)),
            bound: Some(2_000_000),
            likely: Some(900_000),
            used_at_least: 3,
            authenticated_at_least: 3,
            stratum: 2,
            used: 0b111,
            used_authenticated: 0b111,
            ..Minute::default()
        };
        change(number, &mut minute);
        Kept { begin: at(number), end: at(number + 1), minute, sources: Whose::Authorised, starting: None }
    });
    Course {
        period: Period { from: at(0), to: at(1_500) },
        minutes: kept.collect(),
        holes: Vec::new(),
        starts: vec![Start { at: at(-9), version: "0.1.0".to_owned(), boot: [1; 16], unexpected: false }],
        configurations: vec![InForce { since: at(-9), hash: [7; 32] }],
        sources: Vec::new(),
        steps: Vec::new(),
        breaks: 0,
        kept: Some((at(0), at(1_500))),
    }
}

fn terms() -> Terms {
    let (limit, outage) = (Span::from_secs(1), Span::from_secs(60));
    Terms { limit, figure: Figure::Bound, outage, has_authorised: true }
}

fn line(test: Test, course: &Course, terms: &Terms) -> Judgement {
    judge(&Sentence { section: "1", asks: "It is so.", test }, course, terms)
}

/// The same without the minutes from one to another one.
fn without(mut course: Course, from: i64, to: i64) -> Course {
    course.minutes.retain(|kept| kept.end <= at(from) || kept.begin >= at(to));
    course.holes.push(Hole { from: at(from), to: at(to), what: Absence::Reboot });
    course
}

fn outcome(judgement: &Judgement) -> (Verdict, Because, u64, u64) {
    (judgement.verdict, judgement.because, judgement.failed.minutes, judgement.unknown.minutes)
}

const MET: (Verdict, Because, u64, u64) = (Verdict::Pass, Because::Met, 0, 0);

#[test]
fn a_clock_is_within_a_limit_beyond_it_or_neither() {
    let limited = |nanos, figure| Terms { limit: Span::try_new(nanos).unwrap(), figure, ..terms() };
    let good = course(|_, _| {});
    assert_eq!(outcome(&line(Test::Within, &good, &limited(2_000_000, Figure::Bound))), MET);
    let narrow = line(Test::Within, &good, &limited(1_999_999, Figure::Bound));
    assert_eq!(outcome(&narrow), (Verdict::NotShown, Because::Unknown, 0, 1_500));
    assert_eq!((narrow.worst_ns, narrow.worst), (Some(2_000_000), Some(at(1_500))));
    assert_eq!(outcome(&line(Test::Within, &good, &limited(900_000, Figure::Likely))), MET);
    let measured = line(Test::Within, &good, &limited(6_999, Figure::Bound));
    assert_eq!(outcome(&measured), (Verdict::Fail, Because::Failed, 1_500, 0));
    let one = course(|number, minute| {
        if number == 700 {
            (minute.offset, minute.bound) = (Some((-1_200_000_000, 0)), None);
        }
    });
    let one = line(Test::Within, &one, &terms());
    assert_eq!(outcome(&one), (Verdict::Fail, Because::Failed, 1, 0));
    assert_eq!(
        (one.worst_ns, one.worst, one.failed.first),
        (Some(1_200_000_000), Some(at(701)), Some(at(701)))
    );
    assert!(one.reason.starts_with("1 minute of 1500: measured"), "{}", one.reason);
    let unknown = course(|number, minute| {
        if number > 1_489 {
            minute.bound = None
        }
    });
    let unknown = line(Test::Within, &unknown, &terms());
    assert_eq!(outcome(&unknown), (Verdict::NotShown, Because::Unknown, 0, 10));
    assert_eq!((unknown.unknown.first, unknown.unknown.last), (Some(at(1_491)), Some(at(1_500))));
}

#[test]
fn what_was_not_kept_is_not_met_and_an_outage_does_not_count() {
    for (to, expected) in [(11, MET), (12, (Verdict::NotShown, Because::NotKept, 0, 0))] {
        let course = without(course(|_, _| {}), 10, to);
        for test in [Test::Within, Test::Synchronised, Test::Authenticated, Test::Watched, Test::NobodyElse] {
            assert_eq!(outcome(&line(test, &course, &terms())), expected, "{test:?}");
        }
        let starts = line(Test::Starts, &course, &terms());
        assert_eq!(outcome(&starts), MET, "a start is recorded, whatever was before it: {}", starts.reason);
    }
}

#[test]
fn what_a_start_costs_is_a_part_of_an_outage_and_a_wrong_clock_or_source_never_is() {
    let mut course = course(|number, minute| {
        if number == 10 {
            (minute.synchronised, minute.authenticated, minute.used_at_least) = (false, false, 0);
            minute.bound = None;
        }
    });
    course.minutes[10].sources = Whose::Other;
    let tests = [Test::Within, Test::Synchronised, Test::Authenticated, Test::Sources(3)];
    for (since, is_forgiven) in [(60, true), (61, false)] {
        course.minutes[10].starting = Some(since * SECOND);
        for test in tests {
            let judgement = line(test, &course, &terms());
            assert_eq!(
                judgement.verdict == Verdict::Pass,
                is_forgiven,
                "{test:?} {since}: {}",
                judgement.reason
            );
            assert_eq!(judgement.reason.contains("behind starts"), is_forgiven, "{}", judgement.reason);
        }
        assert_eq!(line(Test::Authorised, &course, &terms()).failed.minutes, 1);
    }
    course.minutes[10].starting = Some(SECOND);
    course.minutes[10].minute.offset = Some((0, 1_000_000_001));
    assert_eq!(line(Test::Within, &course, &terms()).failed.minutes, 1);
}

#[test]
fn each_minute_is_synchronised_authenticated_and_has_its_sources() {
    let bad = course(|number, minute| {
        if (100..160).contains(&number) {
            (minute.synchronised, minute.authenticated, minute.used_at_least) = (false, false, 1);
        }
    });
    for test in [Test::Synchronised, Test::Authenticated, Test::Sources(2)] {
        let judgement = line(test, &bad, &terms());
        assert_eq!(outcome(&judgement), (Verdict::Fail, Because::Failed, 60, 0), "{test:?}");
        assert_eq!((judgement.failed.first, judgement.failed.last), (Some(at(101)), Some(at(160))));
    }
    assert_eq!(outcome(&line(Test::Sources(1), &bad, &terms())), MET);
    assert_eq!(line(Test::Sources(4), &bad, &terms()).count, Some(1));
}

#[test]
fn authorised_sources_are_those_that_were_named() {
    let used = |name: &str, authorised| Used {
        name: Some(name.to_owned()),
        authenticated: true,
        authorised: Some(authorised),
        minutes: 5,
        false_minutes: 0,
        seen: Some((at(0), at(5))),
    };
    let mut course = course(|_, _| {});
    course.sources = vec![used("a 192.0.2.1:123", true), used("b 192.0.2.2:123", false)];
    assert_eq!(outcome(&line(Test::Authorised, &course, &terms())), MET);
    course.minutes[3].sources = Whose::Unknown;
    assert_eq!(line(Test::Authorised, &course, &terms()).because, Because::Unknown);
    course.minutes[4].sources = Whose::Other;
    let judgement = line(Test::Authorised, &course, &terms());
    assert_eq!(outcome(&judgement), (Verdict::Fail, Because::Failed, 1, 1));
    assert!(judgement.reason.ends_with("not authorised: b 192.0.2.2:123"), "{}", judgement.reason);
    let nobody = Terms { has_authorised: false, ..terms() };
    let judgement = line(Test::Authorised, &course, &nobody);
    assert_eq!(
        (judgement.verdict, judgement.because, judgement.count),
        (Verdict::NotShown, Because::NotNamed, Some(2))
    );
}

#[test]
fn a_time_without_a_source_is_as_long_as_it_may_be_or_longer() {
    let silent = |from: i64, to: i64| {
        course(move |number, minute| {
            if (from..to).contains(&number) {
                (minute.used, minute.used_at_least) = (0, 0);
            }
        })
    };
    let day = Test::Compared(Span::from_secs(86_400));
    let judgement = line(day, &course(|_, _| {}), &terms());
    assert_eq!((outcome(&judgement), judgement.longest_s), (MET, Some(0)));
    assert_eq!(outcome(&line(day, &silent(30, 1_470), &terms())), MET);
    let judgement = line(day, &silent(30, 1_471), &terms());
    assert_eq!(outcome(&judgement), (Verdict::Fail, Because::Failed, 1_441, 0));
    assert_eq!((judgement.longest_s, judgement.worst), (Some(86_460), Some(at(1_471))));
    // Of a part of it nothing is known: a source may have been used then.
    let judgement = line(day, &without(silent(30, 1_471), 500, 600), &terms());
    assert_eq!(
        (judgement.verdict, judgement.because, judgement.longest_s),
        (Verdict::NotShown, Because::NotKept, Some(86_460))
    );
    assert_eq!(outcome(&line(day, &without(course(|_, _| {}), 30, 1_470), &terms())), MET);
}

#[test]
fn a_difference_is_gone_within_the_hour_or_was_not_corrected() {
    let off = |to: i64| {
        course(move |number, minute| {
            if (100..to).contains(&number) {
                minute.offset = Some((1_500_000_000, 1_500_000_000));
            }
        })
    };
    let second = Test::Corrected(Span::from_secs(1));
    let judgement = line(second, &off(160), &terms());
    assert_eq!((outcome(&judgement), judgement.longest_s, judgement.count), (MET, Some(3_600), Some(1)));
    let judgement = line(second, &off(161), &terms());
    assert_eq!(outcome(&judgement), (Verdict::Fail, Because::Failed, 61, 0));
    let judgement = line(second, &course(|_, _| {}), &terms());
    assert_eq!((outcome(&judgement), judgement.count), (MET, Some(0)));
}

#[test]
fn a_leap_second_is_at_the_end_of_its_day_and_the_clock_is_right_around_it() {
    // Midnight is after 720 minutes.
    let leap = |number: i64, offset: i64| {
        course(move |at, minute| {
            minute.leap = at == number;
            if at == number + 1 {
                minute.offset = Some((0, offset));
            }
        })
    };
    let judgement = line(Test::Leap, &course(|_, _| {}), &terms());
    assert_eq!((judgement.verdict, judgement.because), (Verdict::NotShown, Because::DidNotOccur));
    for number in [719, 720] {
        let judgement = line(Test::Leap, &leap(number, 0), &terms());
        assert_eq!((outcome(&judgement), judgement.count), (MET, Some(1)), "{}", judgement.reason);
    }
    for (number, offset) in [(718, 0), (721, 0), (719, 1_000_000_001)] {
        let judgement = line(Test::Leap, &leap(number, offset), &terms());
        assert_eq!(outcome(&judgement), (Verdict::Fail, Because::Failed, 1, 0), "{number} {offset}");
    }
}

#[test]
fn events_are_counted_and_a_break_of_the_chain_shows_none_of_them() {
    let mut course = course(|number, minute| minute.stepped_by_another = number == 40);
    course.steps = vec![
        Stepped { at: at(41), nanos: -1_500_000_000, by_daemon: false, by_another: true },
        Stepped { at: at(90), nanos: 999_999_999, by_daemon: true, by_another: false },
    ];
    course.starts.push(Start { at: at(5), version: "0.1.0".to_owned(), boot: [1; 16], unexpected: true });
    course.configurations.push(InForce { since: at(5), hash: [8; 32] });
    let of = |test: Test, course: &Course| {
        let judgement = line(test, course, &terms());
        (judgement.verdict, judgement.count, judgement.worst_ns)
    };
    let second = Test::Steps(Span::from_secs(1));
    assert_eq!(of(second, &course), (Verdict::Pass, Some(1), Some(-1_500_000_000)));
    assert_eq!(of(Test::Steps(Span::from_secs(0)), &course), (Verdict::Pass, Some(2), Some(-1_500_000_000)));
    assert_eq!(of(Test::NobodyElse, &course), (Verdict::Fail, Some(1), Some(-1_500_000_000)));
    assert_eq!(of(Test::Starts, &course), (Verdict::Pass, Some(1), None));
    assert_eq!(of(Test::Configured, &course), (Verdict::Pass, Some(1), None));
    course.breaks = 1;
    for test in [second, Test::Starts, Test::Configured, Test::Watched] {
        assert_eq!(line(test, &course, &terms()).because, Because::NotKept, "{test:?}");
    }
    course.breaks = 0;
    course.configurations.remove(0);
    let judgement = line(Test::Configured, &course, &terms());
    assert!(
        judgement.verdict == Verdict::NotShown && judgement.reason.contains("at the beginning"),
        "{}",
        judgement.reason
    );
}

#[test]
fn minutes_of_a_time_that_no_clock_has_shown_do_no_harm() {
    let far = WallTime::MAX;
    let minute = Minute {
        offset: Some((i64::MIN, i64::MAX)),
        bound: Some(u64::MAX - 1),
        steps: i64::MIN,
        ..Minute::default()
    };
    let kept =
        Kept { begin: WallTime::MIN, end: far, minute, sources: Whose::Unknown, starting: Some(i64::MIN) };
    let mut course = course(|_, _| {});
    course.minutes = vec![kept.clone(), kept];
    course.steps = vec![Stepped { at: far, nanos: i64::MIN, by_daemon: true, by_another: true }; 2];
    course.holes = vec![Hole { from: WallTime::MIN, to: far, what: Absence::Broken }; 3];
    for rule in crate::rules::ALL {
        for sentence in rule.sentences {
            assert!(!judge(sentence, &course, &terms()).reason.is_empty());
        }
    }
    assert_eq!(RawInstant::MIN.nanos(), 0);
}
