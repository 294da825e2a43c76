use super::*;
use crate::screen::Screen;
use history::testing::{Writer, long_name};
use ipc::history::{OF_A_DAY, RECORD, Said};
use serde_json::Value;

const TEXT: Form = Form::Text(Screen::WIDE);

fn asked(minutes: bool) -> HistoryArguments {
    HistoryArguments { since: None, until: None, minutes, svg: false, file: None }
}

fn written() -> Writer {
    let mut writer = Writer::simulated(3, 4, 11);
    let mut minute = writer.minute();
    (minute.leap, minute.stepped_by_another, minute.steps, minute.falsetickers) =
        (true, true, -5_000_000, 0b100);
    writer.pass(60_000_000_000);
    writer.append(Said::Minute(minute));
    writer.append(Said::Configuration { configuration: [0xab; 32] });
    writer.append(Said::Ended);
    writer
}

fn text(octets: &[u8], asked: &HistoryArguments) -> String {
    shown("f", octets, asked, TEXT).ok().unwrap()
}

fn json(octets: &[u8], asked: &HistoryArguments) -> Value {
    serde_json::from_str(&shown("f", octets, asked, Form::Json).ok().unwrap()).unwrap()
}

#[test]
fn each_hour_and_each_change_has_a_line() {
    let writer = written();
    let text = text(writer.octets(), &asked(false));
    assert!(text.starts_with("BEGIN "), "{text}");
    let hours = text.lines().filter(|line| line.contains("T") && line.contains(" 60 ")).count();
    assert!((60..=72).contains(&hours), "{hours} of 72\n{text}");
    let first = text.lines().nth(4).unwrap();
    assert!(
        first.contains(&format!("2     1    192.0.2.1, {}", long_name(1))) || first.contains(&long_name(1)),
        "{first}"
    );
    for part in [
        "start of version 0.1.0, boot ",
        "source 192.0.2.1\n",
        ", authenticated\n",
        "another program stepped the clock; largest step of this minute: -5.000 ms",
        "a leap second passed",
        "falsetickers: source 2; stepped -5.000 ms",
        "another configuration: abab",
        "the engine ended in order",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("warning"), "{text}");
}

fn words(document: &Value) -> Vec<&str> {
    document["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn a_run_that_did_not_end_in_order_has_a_line_at_its_last_minute_and_one_that_did_has_none() {
    let mut writer = Writer::new(OF_A_DAY, 1);
    for ends in [false, true, true] {
        writer.start(0);
        for _ in 0..2 {
            let said = writer.minute();
            writer.pass(60_000_000_000);
            writer.append(Said::Minute(said));
        }
        if ends {
            writer.append(Said::Ended);
        }
    }
    let document = json(writer.octets(), &asked(true));
    let of_runs: Vec<&str> = words(&document).into_iter().filter(|word| *word != "source").collect();
    assert_eq!(of_runs, ["start", "unended", "start", "end", "start", "end"]);
    let text = text(writer.octets(), &asked(true));
    let line = text.lines().find(|line| line.contains("not in order")).unwrap();
    assert!(line.starts_with("2026-11-30T00:02:00Z") && line.contains("it was killed"), "{line}");
    // The run that is under way has not ended at all.
    let running = Writer::simulated(1, 2, 3);
    assert!(!words(&json(running.octets(), &asked(true))).contains(&"unended"));
}

#[test]
fn a_picture_begins_where_its_first_minute_does() {
    let mut writer = Writer::new(OF_A_DAY, 1);
    writer.start(0);
    for _ in 0..3 {
        let said = writer.minute();
        writer.pass(60_000_000_000);
        writer.append(Said::Minute(said));
    }
    let svg =
        shown("f", writer.octets(), &HistoryArguments { svg: true, ..asked(false) }, TEXT).ok().unwrap();
    assert!(svg.contains("from 2026-11-30 00:00:00 to 2026-11-30 00:03:00 UTC; a point is 1 min"), "{svg}");
}

#[test]
fn an_hour_has_the_worst_of_its_minutes_and_the_sum_of_its_steps() {
    let mut writer = Writer::new(OF_A_DAY, 1);
    writer.start(0);
    for minute in 0..60 {
        let mut said = writer.minute();
        said.offset = Some((-minute * 1_000, minute * 900));
        (said.bound, said.likely) = (Some(2_000_000 + minute as u64), Some(5));
        (said.stepped, said.steps, said.gap) =
            (minute < 2, if minute < 2 { 3_000_000 } else { 0 }, minute == 9);
        if minute == 30 {
            (said.synchronised, said.likely, said.used_at_least) = (false, None, 1);
        }
        writer.pass(60_000_000_000);
        writer.append(Said::Minute(said));
    }
    let document = json(writer.octets(), &asked(false));
    let row = &document["rows"][0];
    let expected = [
        ("begin", "2026-11-30T00:00:00.000000000Z".into()),
        ("end", "2026-11-30T01:00:00.000000000Z".into()),
        ("minutes", 60.into()),
        ("synchronised_minutes", 59.into()),
        ("gaps", 1.into()),
        ("offset_least_s", (-5.9e-5).into()),
        ("offset_largest_s", 5.31e-5.into()),
        ("error_bound_s", 0.002_000_059.into()),
        ("likely_error_s", Value::Null),
        ("stepped_s", 0.006.into()),
        ("steps", 2.into()),
        ("used_at_least", 1.into()),
    ];
    for (key, value) in expected {
        assert_eq!(row[key], value, "{key}");
    }
    let words = words(&document);
    assert_eq!(words, ["start", "source", "source", "step", "step", "unsynchronised", "synchronised"]);
    // Each as early as the row of its minute begins.
    let at: Vec<&str> = document["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["at"].as_str().unwrap()[11..16])
        .collect();
    assert_eq!(at[3..], ["00:00", "00:01", "00:30", "00:31"]);
    let text = text(writer.octets(), &asked(false));
    let line = text.lines().find(|line| line.contains("in 59")).unwrap();
    assert!(
        line.contains("-59.000 µs") && line.contains("2.000 ms") && line.contains("stepped +6.000 ms"),
        "{line}"
    );
    assert!(line.contains("; gaps in 1"), "{line}");
}

#[test]
fn minutes_are_those_of_the_last_day_unless_others_are_asked_for() {
    let writer = written();
    let rows = |asked: &HistoryArguments| json(writer.octets(), asked)["rows"].as_array().unwrap().len();
    let all = rows(&HistoryArguments { since: Some(Time::At(2026, 1, 1, 0)), ..asked(true) });
    assert!((4_200..=4_321).contains(&all), "{all}");
    assert!((1_400..=1_440).contains(&rows(&asked(true))));
    let hour = HistoryArguments {
        since: Some(Time::At(2026, 11, 30, 3_600)),
        until: Some(Time::At(2026, 11, 30, 7_200)),
        ..asked(true)
    };
    assert!(rows(&hour) <= 60 && rows(&hour) > 50);
    assert!((1..=2).contains(&rows(&HistoryArguments { minutes: false, ..hour })));
    let never = HistoryArguments { since: Some(Time::At(2026, 2, 30, 0)), ..asked(true) };
    let failure = shown("f", writer.octets(), &never, TEXT).err().unwrap();
    assert_eq!((failure.text.as_str(), failure.code), ("2026-02-30: there is no such day", exit::UNABLE));
    let later = HistoryArguments { since: Some(Time::At(2027, 1, 1, 0)), ..asked(false) };
    assert_eq!(text(writer.octets(), &later), "nothing is known of this time\n");
}

#[test]
fn a_break_has_a_line_of_its_own_and_a_warning_and_a_power_cut_has_no_warning() {
    let mut writer = written();
    writer.octets_mut()[2_000 * RECORD + 50] ^= 1;
    let broken = text(writer.octets(), &asked(false));
    assert!(broken.contains("Z  FINDING: record 2000 was altered, or the record before it"), "{broken}");
    assert!(broken.lines().last().unwrap().starts_with("warning: record 2000"), "{broken}");
    let document = json(writer.octets(), &asked(false));
    assert_eq!(document["findings"][0]["record"], 2_000);
    assert_eq!(document["findings"][0]["power_cut"], false);
    let mut torn = written();
    let before = torn.octets().to_vec();
    let synced = torn.end().lines;
    (0..2).for_each(|_| torn.hour());
    torn.cut_power(&before, synced);
    assert!(!text(torn.octets(), &asked(false)).contains("warning"));
    torn.recover();
    let recovered = text(torn.octets(), &asked(false));
    assert!(recovered.contains("after a power cut: ") && !recovered.contains("warning"), "{recovered}");
    assert_eq!(text(&[0; 4 * RECORD], &asked(false)), "the history has no record\n");
}

#[test]
fn a_picture_of_months_has_hundreds_of_points_and_what_happened() {
    let writer = Writer::simulated(60, 90, 5);
    let svg =
        shown("f", writer.octets(), &HistoryArguments { svg: true, ..asked(false) }, TEXT).ok().unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(
        svg.contains("The clock by its history of minutes") && svg.contains("a point is 217 min"),
        "{svg}"
    );
    assert!(svg.contains("class=\"step\"") && svg.contains("class=\"gap\""));
    assert!(svg.len() < 200_000, "{}", svg.len());
}

#[test]
fn a_line_names_eight_sources_and_names_without_end_are_refused() {
    let mut writer = Writer::new(20 * OF_A_DAY, 1);
    writer.start(0);
    for number in 0..12 {
        writer.source(number, false, &format!("{number:0>320}"));
    }
    let mut minute = writer.minute();
    (minute.used, minute.falsetickers) = (0xfff, 0b1_1111_1111);
    writer.pass(60_000_000_000);
    writer.append(Said::Minute(minute));
    let line = text(writer.octets(), &asked(true));
    assert!(line.contains("0007 and 4 more; falsetickers: ") && line.contains("0007 and 1 more\n"), "{line}");
    assert_eq!(json(writer.octets(), &asked(true))["rows"][0]["used"].as_array().unwrap().len(), 12);
    let row = || {
        let history = History::read(writer.octets());
        let period = Period { since: WallTime::MIN, until: WallTime::MAX };
        let rows = Course::of(&history, period, true).filter_map(|line| match line {
            Line::Row(row) => Some(row),
            Line::Event(_) => None,
        });
        rows.last().unwrap()
    };
    let (row, mut named) = (row(), Named::default());
    let rows = (1..).find_map(|rows| Some((rows, named.take(&row).err()?)));
    let (rows, failure) = rows.unwrap();
    assert_eq!((rows, failure.code), (Named::MOST / (21 * 320) + 1, exit::UNABLE));
    assert!(failure.text.contains("--since"), "{}", failure.text);
}

#[test]
fn what_cannot_be_read_is_said_with_the_remedy() {
    let failure = read(Path::new("/nonexistent/engine.history")).err().unwrap();
    assert!(failure.text.contains("is a history kept? Name the file") && failure.code == exit::UNABLE);
    assert!(read(Path::new("/dev/zero")).is_err());
}

#[test]
fn what_is_no_history_is_said_to_be_none() {
    let other = b"root:x:0:0:root:/root:/bin/sh\n".repeat(200);
    for form in [TEXT, Form::Json] {
        let failure = shown("f", &other, &asked(false), form).expect_err("it is no history");
        assert!(failure.text.starts_with("f: is no history; name engine.history"), "{}", failure.text);
        assert_eq!(failure.code, exit::UNABLE);
    }
    for nothing in [Vec::new(), vec![0; 3 * RECORD]] {
        assert_eq!(text(&nothing, &asked(false)), "the history has no record\n");
    }
}
