use super::*;
use crate::judge::Figure;
use crate::rule::Test;
use history::History;
use history::testing::{BEGIN, Writer};
use ipc::history::Said;
use ipc::units::Span;

/// A report of this, and the names of its files.
pub(crate) fn report(rule: &'static Rule, course: Course, terms: Terms) -> (Report, Vec<&'static str>) {
    let activity = match rule.limit {
        Limit::ByActivity(all) => all.first(),
        _ => None,
    };
    let asked = Asked { rule, activity, period: course.period, terms, authorised: vec!["x".to_owned()] };
    let records = Records {
        file: "/var/lib/truechimer/engine.history".to_owned(),
        sha256: [1; 32],
        first: 0,
        end: End { lines: 9, hash: [2; 32] },
        chain: Chain::Whole,
    };
    let made = WallTime::saturating(BEGIN);
    let program = "0.1.0".to_owned();
    let origin = Origin { host: Some("clock<1>".to_owned()), made, program, history: records, witness: None };
    let report = Report::new(asked, origin, course);
    let names = report.files().iter().map(|(name, _)| *name).collect();
    (report, names)
}

fn good() -> (Course, Terms) {
    let mut writer = Writer::new(2_000, 1);
    writer.start(0);
    for _ in 0..60 {
        writer.pass(60_000_000_000);
        let minute = writer.minute();
        writer.append(Said::Minute(minute));
    }
    let period =
        Period { from: WallTime::saturating(BEGIN), to: WallTime::saturating(BEGIN + 3_600_000_000_000) };
    let course = Course::of(History::read(writer.octets()).walk(), period, &[]);
    let (limit, outage) = (Span::from_secs(1), Span::from_secs(60));
    (course, Terms { limit, figure: Figure::Bound, outage, has_authorised: false })
}

#[test]
fn a_report_is_met_where_nothing_fails_and_nothing_lacks() {
    let rule = rules::named("csbr").unwrap();
    let (course, terms) = good();
    let (mut whole, names) = report(rule, course.clone(), terms);
    assert_eq!(names, ["report.json", "report.html", "SHA256SUMS"]);
    assert_eq!(whole.verdict(), Verdict::Pass);
    assert_eq!((whole.count(Verdict::Pass, true), whole.count(Verdict::NotShown, false)), (4, 3));
    whole.origin.history.chain = Chain::Torn(vec!["a power cut".to_owned()]);
    assert_eq!(whole.verdict(), Verdict::Pass);
    assert!(whole.page().contains("a power cut") && !whole.page().contains("class=\"warning\""));
    whole.origin.history.chain = Chain::Broken(vec!["record 5 was altered".to_owned()]);
    assert_eq!(whole.verdict(), Verdict::NotShown);
    assert!(
        whole.page().contains("BROKEN: record 5 was altered") && whole.page().contains("class=\"warning\"")
    );
    whole.origin.history.chain = Chain::Whole;
    let altered = Chain::Broken(vec!["record 7 is another one".to_owned()]);
    let log = Records { chain: altered, ..whole.origin.history.clone() };
    let (ends, doubts) = (vec!["record 5 of the audit log".to_owned()], vec!["anchor <3>".to_owned()]);
    whole.origin.witness = Some(Witness { log, ends, proven: None, doubts });
    assert_eq!(whole.verdict(), Verdict::NotShown);
    let page = whole.page();
    for part in
        ["BROKEN: record 7", "said by record 5 of the audit log", "Nothing was proven", "anchor &lt;3&gt;"]
    {
        assert!(page.contains(part), "{part}");
    }
    let mut lacking = course;
    lacking.minutes.truncate(50);
    lacking.holes.push(crate::course::Hole {
        from: lacking.minutes[49].end,
        to: lacking.period.to,
        what: crate::course::Absence::After,
    });
    assert_eq!(report(rule, lacking.clone(), terms).0.verdict(), Verdict::NotShown);
    lacking.minutes[0].minute.offset = Some((0, 1_000_000_001));
    let failed = report(rule, lacking, terms).0;
    assert_eq!(failed.verdict(), Verdict::Fail);
    let within = failed.lines.iter().find(|(sentence, _)| sentence.test == Test::Within).unwrap();
    assert_eq!((within.1.verdict, within.1.failed.minutes), (Verdict::Fail, 1));
}

#[test]
fn hashes_are_those_of_the_files_and_the_page_needs_nothing_else() {
    let (course, terms) = good();
    let (report, _) = report(rules::named("mifid-ii").unwrap(), course, terms);
    let [json, page, sums] = report.files();
    let expected =
        format!("{}  report.html\n{}  report.json\n", Hex(&digest([&page.1])), Hex(&digest([&json.1])));
    assert_eq!(String::from_utf8(sums.1).unwrap(), expected);
    let page = String::from_utf8(page.1).unwrap();
    for foreign in
        ["<script", "<img", "<link", "http-equiv=\"refresh\"", "@import", "src=", "href=", "url(http"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("clock&lt;1&gt;") && page.contains("default-src 'none'"));
    assert_eq!(page.matches("<svg").count(), 1);
}

#[test]
fn a_page_of_a_clock_that_was_never_left_alone_is_not_larger_for_it() {
    use crate::course::{Absence, Hole, Stepped};
    let (mut course, terms) = good();
    let at = |second: i64| WallTime::saturating(BEGIN + second * 10_000_000);
    let what = Absence::Reboot;
    course.holes = (0..100_000).map(|one| Hole { from: at(one), to: at(one + 7_000), what }).collect();
    let step = |one| Stepped { at: at(one), nanos: 1, by_daemon: true, by_another: false };
    course.steps = (0..100_000).map(step).collect();
    let (report, _) = report(rules::named("stig").unwrap(), course, terms);
    let length = report.page().len();
    assert!((50_000..1_500_000).contains(&length), "{length}");
}
