use super::*;
use history::History;
use history::testing::{BEGIN, Writer};
use ipc::history::Run;

const MINUTE: i64 = 60 * SECOND;

fn at(minutes: i64) -> WallTime {
    WallTime::saturating(BEGIN + minutes * MINUTE)
}

fn course(writer: &Writer, from: i64, to: i64) -> Course {
    let history = History::read(writer.octets());
    Course::of(history.walk(), Period { from: at(from), to: at(to) }, &["192.0.2.1".to_owned()])
}

fn minutes(writer: &mut Writer, count: u64) {
    for _ in 0..count {
        writer.pass(MINUTE);
        let minute = writer.minute();
        writer.append(Said::Minute(minute));
    }
}

/// The daemon begins in this boot, and nothing of the clocks is changed.
fn begin(writer: &mut Writer, boot: u8) {
    let version = "0.1.0".to_owned();
    writer.append(Said::Run(Run { configuration: [7; 32], boot: [boot; 16], version, torn: 0 }));
}

#[test]
fn a_history_without_a_gap_has_each_minute_of_the_period_and_no_other() {
    let mut writer = Writer::new(1_000, 1);
    writer.start(0);
    minutes(&mut writer, 100);
    let course = course(&writer, 10, 50);
    assert_eq!(course.minutes.len(), 40);
    assert_eq!((course.minutes[0].begin, course.minutes[39].end), (at(10), at(50)));
    assert_eq!((course.holes.len(), course.breaks, course.steps.len()), (0, 0, 0));
    assert_eq!(course.kept, Some((at(0), at(100))));
    assert_eq!(
        (course.starts.len(), course.configurations.len()),
        (1, 1),
        "those before the period are in force"
    );
    let names: Vec<_> =
        course.sources.iter().map(|one| (one.authenticated, one.authorised, one.minutes)).collect();
    assert_eq!(names, [(false, Some(true), 40), (true, Some(false), 40)]);
    assert!(course.minutes.iter().all(|kept| kept.sources == Whose::Other));
}

#[test]
fn times_without_a_minute_have_their_reason() {
    let mut writer = Writer::new(1_000, 1);
    begin(&mut writer, 1);
    minutes(&mut writer, 10);
    writer.append(Said::Ended);
    writer.pass(3 * MINUTE);
    begin(&mut writer, 1);
    minutes(&mut writer, 5);
    writer.append(Said::Ended);
    writer.pass(2 * MINUTE);
    begin(&mut writer, 2);
    minutes(&mut writer, 5);
    let course = course(&writer, -2, 30);
    let holes: Vec<_> = course.holes.iter().map(|hole| (hole.from, hole.to, hole.what)).collect();
    assert_eq!(
        holes,
        [
            (at(-2), at(0), Absence::Before),
            (at(10), at(13), Absence::Restart),
            (at(18), at(20), Absence::Reboot),
            (at(25), at(30), Absence::After)
        ]
    );
    assert_eq!(course.starts.len(), 3);
    assert!(course.starts.iter().all(|start| !start.unexpected));
}

#[test]
fn a_run_that_did_not_end_and_a_sleep_and_lost_records_are_told_apart() {
    let mut writer = Writer::new(1_000, 1);
    begin(&mut writer, 1);
    minutes(&mut writer, 5);
    writer.pass(2 * MINUTE);
    begin(&mut writer, 1);
    minutes(&mut writer, 5);
    // Suspended for 4 minutes: the clock that nobody steers stood still, and the other one was set by the hardware's.
    writer.step(4 * MINUTE);
    writer.pass(MINUTE);
    let minute = Minute { gap: true, ..writer.minute() };
    writer.append(Said::Minute(minute));
    minutes(&mut writer, 5);
    let sequence = writer.end().lines - 3;
    let place = usize::try_from(sequence).unwrap() * ipc::history::RECORD;
    writer.octets_mut()[place + 40] ^= 1;
    let course = course(&writer, 0, 22);
    let holes: Vec<_> = course.holes.iter().map(|hole| (hole.from, hole.to, hole.what)).collect();
    assert_eq!(
        holes,
        [
            (at(5), at(7), Absence::Crash),
            (at(12), at(16), Absence::Standstill),
            (at(19), at(20), Absence::Broken)
        ],
        "{course:?}"
    );
    assert_eq!((course.breaks, course.starts.iter().filter(|start| start.unexpected).count()), (1, 1));
    assert_eq!(course.missing(MINUTE).count(), 2, "one that is as long as an outage may be does not count");
}

#[test]
fn a_minute_of_a_clock_that_was_an_hour_off_is_where_it_belongs() {
    let mut writer = Writer::new(1_000, 1);
    writer.start(0);
    minutes(&mut writer, 5);
    let hour = 3_600 * SECOND;
    // Another program sets the clock back by an hour; the daemon finds that, and sets it right.
    writer.step(-hour);
    writer.pass(MINUTE);
    let wrong = (Some((0, hour)), -hour);
    let minute = Minute { stepped_by_another: true, offset: wrong.0, steps: wrong.1, ..writer.minute() };
    writer.append(Said::Minute(minute));
    writer.step(hour);
    writer.pass(MINUTE);
    let minute = Minute { stepped: true, offset: wrong.0, steps: hour, ..writer.minute() };
    writer.append(Said::Minute(minute));
    minutes(&mut writer, 5);
    let course = course(&writer, 0, 12);
    assert_eq!(course.minutes.len(), 12);
    let ends: Vec<_> = course.minutes.iter().map(|kept| kept.end).collect();
    assert_eq!(ends, (1..=12).map(at).collect::<Vec<_>>());
    assert_eq!(course.holes, []);
    let steps: Vec<_> =
        course.steps.iter().map(|step| (step.nanos, step.by_daemon, step.by_another)).collect();
    assert_eq!(steps, [(-hour, false, true), (hour, true, false)]);
}

#[test]
fn a_source_without_a_name_is_neither_authorised_nor_not() {
    let mut writer = Writer::new(40, 1);
    writer.start(0);
    minutes(&mut writer, 100);
    let course = course(&writer, 70, 100);
    assert_eq!(course.minutes.len(), 30);
    assert!(course.sources.iter().all(|one| one.name.is_none() && one.authorised.is_none()));
    assert!(course.minutes.iter().all(|kept| kept.sources == Whose::Unknown));
    assert_eq!(
        (course.starts.len(), course.configurations.len()),
        (0, 0),
        "newer records have taken their place"
    );
}

#[test]
fn no_more_than_4096_sources_are_told_apart_and_the_others_have_no_name() {
    let mut writer = Writer::new(20_000, 7);
    begin(&mut writer, 1);
    for number in 0..5_000 {
        writer.source(0, false, &format!("192.0.2.1 x{number}"));
        minutes(&mut writer, 1);
    }
    let course = course(&writer, 0, 10_000);
    let used: u64 = course.sources.iter().map(|source| source.minutes).sum();
    assert!((4_096..=4_098).contains(&course.sources.len()), "{}", course.sources.len());
    assert!(used >= 5_000, "{used}");
    let nameless: Vec<&Used> = course.sources.iter().filter(|source| source.name.is_none()).collect();
    assert!(
        nameless.iter().any(|source| source.minutes > 800 && source.authorised.is_none()),
        "{nameless:?}"
    );
}

#[test]
fn a_history_that_says_anything_at_all_is_read_and_reported() {
    use crate::judge::{Figure, Terms};
    use ipc::units::Span;
    let mut writer = Writer::new(3_000, 7);
    let any = |writer: &mut Writer| {
        let edges = [0, 1, -1, i64::MIN, i64::MAX, 1 << 62];
        let choice = writer.random(12) as usize;
        edges.get(choice).copied().unwrap_or_else(|| (writer.random(u64::MAX) as i64).wrapping_mul(3))
    };
    for _ in 0..2_000 {
        let (wall, far) = (any(&mut writer), any(&mut writer));
        // Somewhere around the period; an offset leads anywhere.
        if writer.random(3) == 0 {
            let target = BEGIN + MINUTE * (writer.random(6_000) as i64 - 500);
            writer.step(target - writer.now().0);
        }
        let minute = Minute {
            length_ms: far as u32,
            gap: far & 1 == 0,
            stepped: wall & 1 == 0,
            stepped_by_another: wall & 2 == 0,
            leap: far & 2 == 0,
            offset: (wall & 8 == 0).then_some((wall, far)),
            bound: Some(far as u64),
            likely: (wall & 4 == 0).then_some(wall as u64),
            steps: far,
            used_at_least: far as u8,
            authenticated_at_least: wall as u8,
            used: wall as u32,
            falsetickers: far as u32,
            ..writer.minute()
        };
        match writer.random(9) {
            0 => writer.append(Said::Ended),
            1 => begin(&mut writer, far as u8),
            2 => writer.source(far as u8 % 32, wall & 1 == 0, "<script>alert('x')</script>"),
            _ => writer.append(Said::Minute(minute)),
        }
    }
    let history = History::read(writer.octets());
    let period = Period { from: at(0), to: at(5_000) };
    let course = Course::of(history.walk(), period, &["x".to_owned()]);
    assert!(course.minutes.len() > 50, "{}", course.minutes.len());
    let terms = Terms {
        limit: Span::from_millis(1),
        figure: Figure::Likely,
        outage: Span::from_secs(60),
        has_authorised: true,
    };
    for rule in crate::rules::ALL {
        let (report, _) = crate::report::tests::report(rule, course.clone(), terms);
        let page = report.page();
        assert!(!page.contains("<script") && !page.contains("alert('"), "nothing in a name is markup");
        assert!(!page.contains("NaN") && !page.contains("inf"), "{}", rule.name);
        let read: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(read["sentences"].as_array().unwrap().len(), rule.sentences.len());
    }
}
