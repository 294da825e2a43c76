use super::*;
use report::Word;
use report::read::HistoryPoint;

/// The names of the elements of a document that is well-formed: every tag is closed in its order, every attribute is quoted,
/// every reference is one that XML has.
fn elements(text: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut names = Vec::new();
    let mut rest = text.strip_prefix("<!DOCTYPE html>").unwrap_or(text);
    while let Some(at) = rest.find('<') {
        content(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.find('>').expect("a tag ends");
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed in its order");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag.trim_end_matches('/'), ""));
        assert!(name.chars().all(|letter| letter.is_ascii_alphanumeric()), "{name}");
        let attributes = attributes.trim_end_matches('/');
        let quoted: Vec<&str> = attributes.split('"').collect();
        assert!(quoted.len() % 2 == 1, "{tag}");
        for (at, part) in quoted.iter().enumerate() {
            match at % 2 {
                0 if at + 1 < quoted.len() => {
                    assert!(part.trim().ends_with('=') && part.trim().len() > 1, "{tag}")
                }
                0 => assert_eq!(part.trim(), "", "{tag}"),
                _ => content(part),
            }
        }
        names.push(name.to_owned());
        if !tag.ends_with('/') {
            open.push(name.to_owned());
        }
    }
    content(rest);
    assert_eq!(open, Vec::<String>::new(), "all closed");
    names
}

fn content(text: &str) {
    for part in text.split('&').skip(1) {
        let reference = part.split(';').next().unwrap();
        assert!(["amp", "lt", "gt", "quot", "#39"].contains(&reference), "{reference}");
    }
    let is_shown = |letter: char| letter == '\n' || !letter.is_control();
    assert!(text.chars().all(is_shown), "{text:?}");
}

const NOW: f64 = 1_800_000_000.0;

/// An hour: a start with a step, a gap, and then all well.
pub fn hour() -> HistoryReply {
    let points = (0..240).filter(|at| !(100..120).contains(at)).map(|at| {
        let offset = (f64::from(at) / 9.0).sin() * 12e-6;
        let ago = f64::from(239 - at) * 15.0;
        let is_first = at == 0;
        HistoryPoint {
            ago_s: Some(ago),
            until_unix_s: Some(NOW - ago),
            offset_s: Some(if is_first { 1.9 } else { offset }),
            offset_least_s: Some(offset - 4e-6),
            offset_largest_s: Some(if is_first { 3.7 } else { offset + 5e-6 }),
            error_bound_s: Some(4e-3),
            likely_error_s: (at > 30).then_some(60e-6),
            frequency_ppm: Some(-12.5 + f64::from(at) * 1e-4),
            used: Some(if at < 40 { 2 } else { 3 }),
            synchronised: Some(!is_first),
            stepped_s: is_first.then_some(3.7),
            gap: Some(at == 120),
        }
    });
    HistoryReply { resolution_s: Some(15), points: Some(points.collect()), ..HistoryReply::default() }
}

fn status() -> StatusReply {
    let answer = serde_json::from_str(include_str!("../../../ipc/report/tests/status.json")).unwrap();
    read(&answer).unwrap()
}

fn count(names: &[String], name: &str) -> usize {
    names.iter().filter(|found| *found == name).count()
}

#[test]
fn a_picture_is_well_formed_and_has_what_happened() {
    let svg = Drawing::of(&hour(), &status(), "hour", Some("a.example")).picture();
    let names = elements(&svg);
    assert_eq!((count(&names, "svg"), count(&names, "style"), count(&names, "script")), (1, 1, 0));
    for part in [
        "The clock of a.example, last hour",
        "synchronised: the clock follows 1 of 2 sources; offset +15.000 µs (slow), error bound 6.100 ms; likely",
        "truechimer 0.1.0",
        "from 2027-01-15 07:00:00 to 2027-01-15 08:00:00 UTC",
        ">07:30<",
        "+50 µs",
        ">10 ms<",
        "step +3.700 s",
        "<title>nothing is known</title>",
        "cut off; it was from ",
        "<title>not synchronised</title>",
        "class=\"frequency\"",
    ] {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    assert!(svg.len() < 60_000, "{}", svg.len());
    // Two stretches, around the gap.
    let mean = svg.split("<path class=\"mean\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(mean.matches('M').count(), 2, "{mean}");
}

#[test]
fn a_page_is_well_formed_and_needs_nothing_from_elsewhere() {
    let page = Drawing::of(&hour(), &status(), "hour", Some("a.example")).page();
    let names = elements(&page);
    assert_eq!((count(&names, "svg"), count(&names, "script"), count(&names, "link")), (2, 0, 0));
    let without_namespace = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "src=", "href=", "@import", "url(http"] {
        assert!(!without_namespace.contains(word), "{word}");
    }
    assert!(page.contains("prefers-color-scheme:dark") && page.contains("default-src 'none'"));
    assert!(page.len() < 120_000, "{}", page.len());
}

#[test]
fn a141_what_the_daemon_says_is_no_markup() {
    let hostile = "</text><script>x</script>\u{1b}]0;\u{202e}&\"'".to_owned();
    let clock = SystemReport {
        state: Some(Word::Other(hostile.clone())),
        reason: Some(hostile.clone()),
        reference: Some(hostile.clone()),
        last_update_s: Some(1.0),
        ..SystemReport::default()
    };
    let status =
        StatusReply { version: Some(hostile.clone()), report: Some(clock), ..StatusReply::default() };
    let drawing = Drawing::of(&hour(), &status, "hour", Some(&hostile));
    for text in [drawing.picture(), drawing.page()] {
        assert_eq!(count(&elements(&text), "script"), 0);
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
    }
}

#[test]
fn whatever_the_daemon_says_is_a_picture() {
    let extreme = |value: f64| HistoryPoint {
        ago_s: Some(1.0),
        until_unix_s: Some(NOW),
        offset_s: Some(value),
        offset_least_s: Some(-value),
        error_bound_s: Some(value),
        likely_error_s: Some(0.0),
        frequency_ppm: Some(value),
        used: Some(255),
        stepped_s: Some(value),
        ..HistoryPoint::default()
    };
    for value in [0.0, 1e-300, 1e11, -1e11, f64::MAX, f64::INFINITY, f64::NAN] {
        let one = HistoryReply { points: Some(vec![extreme(value)]), resolution_s: Some(u32::MAX), ..hour() };
        let two = HistoryReply { points: Some(vec![extreme(value), extreme(1e-6)]), ..hour() };
        for reply in [one, two, HistoryReply::default()] {
            let drawing = Drawing::of(&reply, &StatusReply::default(), "week", None);
            for text in [drawing.picture(), drawing.page()] {
                elements(&text);
                assert!(!text.contains("NaN") && !text.contains("inf\"") && text.len() < 60_000);
            }
        }
    }
    let none = Drawing::of(&HistoryReply::default(), &StatusReply::default(), "day", None).picture();
    assert!(none.contains("no history yet") && none.contains("The clock of this host, last day"));
}
