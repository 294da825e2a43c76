use super::*;

const WARNING: Severity = Severity::WARNING;

fn at(seconds: i64) -> RawInstant {
    RawInstant::try_new(seconds * 1_000_000_000).unwrap()
}

impl Log {
    fn write_of_the_clock(&mut self, now: RawInstant, severity: Severity, text: &str) {
        self.admit(now, severity, (text, &[]), Weight::Clock);
    }
}

/// Letters only, so that each is of a different kind.
fn word(number: u32) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

#[test]
fn a152_nothing_that_moves_a_terminal_or_starts_a_line_passes() {
    let hostile = "a\nb\r\x1b[2Jc\0d\u{202e}e\u{200b}f\u{9b}g\u{7f}\u{2028}";
    let escaped = escape(hostile);
    assert!(escaped.chars().all(|character| character.is_ascii_graphic()), "{escaped}");
    assert_eq!(escape("ntp.example.org \"ü\" 'x' µs"), "ntp.example.org \"ü\" 'x' µs");
}

#[test]
fn a152_a_line_has_an_end() {
    let mut log = Log::kept();
    log.write(Severity::INFO, &"x".repeat(100_000));
    assert_eq!(log.lines()[0].chars().count(), MAX_LINE + 1);
}

#[test]
fn a095_a_hundred_thousand_lines_of_a_kind_are_one_a_minute_with_a_count() {
    let mut log = Log::kept();
    for number in 0..100_000 {
        log.write_limited(at(1), WARNING, &format!("reply {number} thrown away"));
    }
    assert_eq!(log.lines(), ["reply 0 thrown away"]);
    log.write_limited(at(62), WARNING, "reply 7 thrown away");
    assert_eq!(
        log.lines()[1],
        "61 s ago: reply 99999 thrown away (the last of 99999 lines like this that were left out)"
    );
}

#[test]
fn a_fault_that_lasts_for_days_is_told_ever_more_rarely_and_the_next_one_at_once() {
    let names = ["a.example", "b.example", "c.example"];
    let mut log = Log::kept();
    // However often it is found: each minute, or each half an hour.
    let mut day = |from: i64, every: usize| {
        for second in (from..from + 86_400).step_by(every) {
            for name in names {
                log.write_fault(at(second), WARNING, &format!("source {name}: no name server answers"));
            }
        }
        log.lines().len()
    };
    // At 0 and after 1, 3, 7, 15, 31 and 63 minutes, and once in an hour from then on.
    let first = day(1, 64);
    assert!((3 * 24..=3 * 32).contains(&first), "{first}");
    let second = day(86_401, 256) - first;
    assert!((3 * 20..=3 * 24).contains(&second), "{second}");
    // It ends, and the next one is told as the first was, and after a minute again.
    log.settle(at(172_800 + 3_600));
    let again = 172_800 + 6 * 3_600;
    let before = log.lines().len();
    for second in [0, 30, 61, 62] {
        log.write_fault(at(again + second), WARNING, "source a.example: no name server answers");
    }
    log.settle(at(again + 182));
    let told: Vec<&str> = log.lines()[before..].iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(told, ["source", "31", "120"], "{:?}", &log.lines()[before..]);
}

#[test]
fn what_is_said_of_two_sources_is_said_of_both() {
    let mut log = Log::kept();
    for source in ["192.0.2.1", "192.0.2.2", "ntp1.example.org", "ntp2.example.org"] {
        log.write_limited(at(1), Severity::INFO, &format!("source {source} (192.0.2.1:123) is heard"));
    }
    assert_eq!(log.lines().len(), 4);
    for offset in ["+0.001", "-0.2", "17"] {
        log.write_limited(at(1), Severity::INFO, &format!("the offset is {offset} s"));
    }
    assert_eq!(log.lines().len(), 5);
}

#[test]
fn what_was_held_back_is_said_once_when_it_is_over_with_its_moment() {
    let mut log = Log::kept();
    for number in 0..4 {
        log.write_limited(at(1), WARNING, &format!("refusal {number}"));
    }
    log.settle(at(30));
    assert_eq!(log.lines(), ["refusal 0"]);
    log.settle(at(61));
    let summary = "60 s ago: refusal 3 (the last of 3 lines like this that were left out)";
    assert_eq!(log.lines(), ["refusal 0", summary]);
    log.settle(at(200));
    assert_eq!(log.lines().len(), 2);
}

#[test]
fn changes_are_written_at_once_and_in_their_place_however_alike_they_are() {
    let mut log = Log::kept();
    let ordinary = "source a (192.0.2.1:123) is heard";
    log.write_limited(at(1), Severity::INFO, ordinary);
    log.write_limited(at(2), Severity::INFO, ordinary);
    for number in 0..50 {
        log.write_change(at(3), Severity::NOTICE, &format!("the clock was stepped by +{number} s"));
        log.write_change(at(3), WARNING, &format!("somebody else moved the clock by -{number} s"));
    }
    assert_eq!(log.lines().len(), 101);
    assert!(log.lines()[1].contains("stepped") && log.lines()[2].contains("somebody else"));
    // A summary precedes later events, and gives the age of what it reports.
    log.write_change(at(70), Severity::NOTICE, "the sources agree again");
    assert_eq!(log.lines()[101..], [&format!("68 s ago: {ordinary}"), "the sources agree again"]);
}

#[test]
fn what_is_held_back_of_several_kinds_is_told_in_the_order_in_which_it_happened() {
    let mut log = Log::kept();
    for text in ["b", "a", "c", "c", "a", "b"] {
        log.write_limited(at(1), WARNING, text);
    }
    for (second, text) in [(5, "c"), (6, "a"), (7, "b")] {
        log.write_limited(at(second), WARNING, text);
    }
    log.settle(at(61));
    let told: Vec<_> =
        log.lines()[3..].iter().map(|line| line.split(' ').nth(3).unwrap().to_owned()).collect();
    assert_eq!(told, ["c", "a", "b"], "{:?}", log.lines());
}

#[test]
fn the_end_leaves_nothing_unsaid() {
    let mut log = Log::kept();
    for _ in 0..2 {
        log.write_limited(at(1), WARNING, "refusal");
    }
    log.finish(at(2));
    assert_eq!(log.lines(), ["refusal", "1 s ago: refusal"]);
}

#[test]
fn a095_whoever_makes_the_engine_talk_without_end_gets_97_lines_a_minute_and_300_at_once() {
    type Write = fn(&mut Log, RawInstant, Severity, &str);
    let write: [Write; 3] = [
        |log, now, severity, text| log.write_limited(now, severity, text),
        |log, now, severity, text| log.write_change(now, severity, text),
        Log::write_of_the_clock,
    ];
    for flood in [&write[..1], &write[1..2], &write[2..], &write] {
        let mut log = Log::kept();
        let mut number = 0;
        for second in 0..3600 {
            for _ in 0..200 {
                number += 1;
                flood.iter().for_each(|write| write(&mut log, at(second), WARNING, &word(number)));
            }
        }
        assert!(log.lines().len() <= 300 + 60 * 97, "{}", log.lines().len());
        assert!(log.lines().len() >= 500, "{}", log.lines().len());
        assert!(log.limiter.kinds() <= 128);
        assert!(log.lines().iter().any(|line| line.ends_with("lines that were left out)")));
        // One flood does not suppress other lines.
        for other in write.into_iter().filter(|_| flood.len() == 1) {
            let before = log.lines().len();
            other(&mut log, at(3600), WARNING, "another line");
            let is_heard = log.lines()[before..].contains(&"another line");
            assert!(is_heard || flood.iter().any(|write| std::ptr::fn_addr_eq(*write, other)));
        }
    }
}

#[test]
fn a095_a_majority_that_flaps_without_end_hides_no_step_and_a_clock_that_is_moved_without_end_has_a_bound() {
    let mut log = Log::kept();
    for second in 0..3600 {
        log.write_change(at(second), WARNING, "no majority of the sources agrees");
        log.write_change(at(second), Severity::NOTICE, "the sources agree again");
    }
    let step = "the clock was stepped by +0.500000 s";
    log.write_of_the_clock(at(3600), Severity::NOTICE, step);
    assert_eq!(log.lines().last(), Some(&step));
    let before = log.lines().len();
    for number in 0..7200 {
        log.write_of_the_clock(
            at(3600 + number / 2),
            WARNING,
            &format!("somebody else moved the clock by {number} s"),
        );
    }
    let moved = log.lines()[before..].iter().filter(|line| line.starts_with("somebody else moved")).count();
    assert!((100..=100 + 601).contains(&moved), "{moved}");
    log.write_change(at(7200), Severity::NOTICE, "the sources agree again");
    assert_eq!(log.lines().last(), Some(&"the sources agree again"), "one flood leaves the other its room");
}

/// Each kind once and again: the count of what was held back is never lost with a kind that is forgotten.
#[test]
fn a095_kinds_that_are_forgotten_say_first_what_they_held_back() {
    let mut log = Log::kept();
    for number in 0..80 {
        log.write_limited(at(1), WARNING, &word(number));
        log.write_limited(at(1), WARNING, &word(number));
    }
    log.finish(at(2));
    assert_eq!(log.lines().len(), 160);
}

#[test]
fn the_journal_gets_an_event_with_its_fields_and_nothing_that_begins_another_field() {
    let (journal, ours) = UnixDatagram::pair().unwrap();
    journal.set_nonblocking(true).unwrap();
    let mut log = Log::to(Sink::Journal(Some(ours)));
    let notice = Notice::Entry("a\nPRIORITY=0".to_owned(), engine_core::notice::EntryNotice::CookiesRejected);
    log.tell(at(1), &notice);
    let mut octets = [0; 4096];
    let length = journal.recv(&mut octets).unwrap();
    let entry = std::str::from_utf8(&octets[..length]).unwrap();
    let lines: Vec<&str> = entry.lines().collect();
    assert_eq!(lines[0], "PRIORITY=6");
    assert_eq!(lines[1], "SYSLOG_IDENTIFIER=truechimer-engine");
    assert!(lines[2].starts_with("MESSAGE=source a"), "{entry}");
    assert_eq!(lines[3..], ["TRUECHIMER_EVENT=nts-cookies-rejected", "TRUECHIMER_SOURCE=a\\nPRIORITY=0"]);
    // A line of the process itself has no event.
    log.write(Severity::NOTICE, "started");
    let length = journal.recv(&mut octets).unwrap();
    assert_eq!(&octets[..length], b"PRIORITY=5\nSYSLOG_IDENTIFIER=truechimer-engine\nMESSAGE=started\n");
}

#[test]
fn a_level_leaves_out_what_is_less_severe_and_its_change_is_told_in_any_case() {
    let mut log = Log::kept();
    log.write(Severity::DEBUG, "a query");
    assert!(log.lines().is_empty() && !log.is_verbose());
    log.set_level(at(1), Severity::ERROR);
    assert!(log.lines()[0].starts_with("the log has lines of severity error and worse"), "{:?}", log.lines());
    log.write_change(at(2), Severity::WARNING, "a warning");
    log.write_change(at(2), Severity::ERROR, "an error");
    assert_eq!(log.lines()[1..], ["an error"]);
    log.set_level(at(3), Severity::DEBUG);
    assert!(log.lines()[2].starts_with("the log has lines of severity debug and worse"));
    log.write(Severity::DEBUG, "a query");
    assert_eq!(log.lines().last(), Some(&"a query"));
    let before = log.lines().len();
    for number in 0..10_000 {
        log.write_verbose(at(10 + number / 1_000), "a query");
    }
    assert_eq!(log.lines().len() - before, 600, "in a minute");
    log.write_verbose(at(100), "a query");
    assert_eq!(log.lines().len() - before, 601);
    for (name, severity) in Severity::NAMES {
        assert_eq!((Severity::from_name(name), severity.name()), (Some(severity), name));
    }
    assert_eq!((Severity::from_name("all"), Severity::from_number(1).name()), (None, "error"));
}
