//! The report as a page for a browser and for paper: nothing is loaded from anywhere, and no script.

use crate::figure::{length, moment};
use crate::judge::{Figure, Judgement, Verdict};
use crate::picture::{self, picture};
use crate::report::{Chain, Records, Report, Witness};
use drawing::shape::xml;
use ipc::text::Hex;
use std::fmt::Write as _;

/// Rows of a list that are printed; report.json has all of them.
const ROWS: usize = 40;

const STYLE: &str = "\
@page{size:A4;margin:14mm 12mm}:root{color-scheme:light}\
body{margin:0 auto;padding:12px;max-width:960px;font:14px/1.4 system-ui,'DejaVu Sans',sans-serif;background:#fff;color:#1b1b1b}\
h1{font-size:1.45em;margin:.1em 0 .4em}h2{font-size:1.1em;margin:1.3em 0 .4em;break-after:avoid}p{margin:.3em 0}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3em .6em .3em 0}\
thead th{border-bottom:1.5px solid #1b1b1b;font-weight:600}tbody tr{break-inside:avoid}tbody td,tbody th{border-bottom:1px solid #ccc}\
tbody th{font-weight:normal;color:#444}.facts th{width:11em}.facts td,.facts th{border:0;padding:.1em .6em .1em 0}\
.verdict{white-space:nowrap;font-weight:600}.sign{display:inline-block;min-width:6.2em;padding:.1em .4em;border:1.5px solid;text-align:center}\
.pass .sign{color:#00563b;background:#e3f4ec}.fail .sign{color:#fff;background:#b00020;border-color:#b00020}\
.not_shown .sign{color:#444;background:#fff;border-style:dashed}.why{display:block;font-weight:normal;font-size:.86em;color:#444}\
.section{min-width:4em;max-width:12em;color:#444}.reason{color:#333;font-size:.93em;margin:.15em 0 0}\
.note{break-after:avoid}thead{break-after:avoid}.warning{border:2px solid #b00020;padding:.4em .7em;margin:.7em 0}code{font:.88em ui-monospace,'DejaVu Sans Mono',monospace;word-break:break-all}\
figure{margin:.6em 0;break-inside:avoid}svg{display:block;width:100%;height:auto}li{margin:.15em 0}ul{margin:.3em 0;padding-left:1.3em}\
@media print{body{padding:0;max-width:none;font-size:10px}h2{margin:1em 0 .3em}svg{max-height:82mm}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}";

/// The page.
pub(crate) fn page(report: &Report) -> String {
    let rule = report.asked.rule;
    let title = format!("Evidence on time: {}", rule.title);
    let title = xml(&title);
    let body = [
        head(report),
        warnings(report),
        sentences(report),
        figure(report),
        absences(report),
        steps(report),
        sources(report),
        configurations(report),
        records(report),
        silent(report),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
         <title>{title}</title>\n<style>\n{STYLE}\n{}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n{}</body>\n</html>\n",
        picture::STYLE,
        body.concat()
    )
}

/// A table of names and what they are.
fn facts(rows: &[(&str, String)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(name, value)| {
            format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", xml(name), xml(value))
        })
        .collect();
    format!("<table class=\"facts\"><tbody>\n{rows}</tbody></table>\n")
}

/// A list with its heading; nothing, where it has no row and nothing is said for that.
fn list(heading: &str, note: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = format!("<h2>{}</h2>\n", xml(heading));
    if !note.is_empty() {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", xml(note));
    }
    if rows.is_empty() {
        return out;
    }
    let cells = |cells: &[String], tag: &str| -> String {
        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", xml(cell))).collect()
    };
    let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    let _ = writeln!(out, "<table><thead><tr>{}</tr></thead><tbody>", cells(&columns, "th"));
    for row in rows.iter().take(ROWS) {
        let _ = writeln!(out, "<tr>{}</tr>", cells(row, "td"));
    }
    out.push_str("</tbody></table>\n");
    if rows.len() > ROWS {
        let _ = writeln!(out, "<p>and {} more, in report.json</p>", rows.len() - ROWS);
    }
    out
}

fn sign(verdict: Verdict, why: &str) -> String {
    let why = if why.is_empty() { String::new() } else { format!("<span class=\"why\">{}</span>", xml(why)) };
    format!("<span class=\"sign\">{}</span>{why}", verdict.sign())
}

fn head(report: &Report) -> String {
    let (asked, origin) = (&report.asked, &report.origin);
    let period = asked.period;
    let figure = match asked.terms.figure {
        Figure::Bound => "the bound of the clock's error",
        Figure::Likely => "the likely error of the clock (above it with a probability of 1e-6, by the model)",
    };
    let limit = format!("{}, by {figure}", length(asked.terms.limit.nanos()));
    let mut rows = vec![
        ("host", origin.host.clone().unwrap_or_else(|| "not known".to_owned())),
        ("period", format!("{} to {} UTC", moment(period.from), moment(period.to))),
        ("limit", limit),
    ];
    if let Some(activity) = asked.activity {
        rows.push(("activity", format!("{}: {}", activity.name, activity.means)));
    }
    if !asked.authorised.is_empty() {
        rows.push(("authorised sources", asked.authorised.join(", ")));
    }
    let outage = length(asked.terms.outage.nanos());
    rows.push((
        "outages",
        format!("restarts, and other times without a record, of up to {outage} keep nothing from being met"),
    ));
    rows.push((
        "made",
        format!("{} UTC by the clock of this host, truechimer {}", moment(origin.made), origin.program),
    ));
    rows.push(("numbers of sections", asked.rule.edition.split_whitespace().collect::<Vec<_>>().join(" ")));
    let count = |verdict, of_the_history| report.count(verdict, of_the_history);
    let mut parts = vec![
        format!("{} met", count(Verdict::Pass, true)),
        format!("{} not met", count(Verdict::Fail, true)),
    ];
    let lacking = count(Verdict::NotShown, true);
    if lacking > 0 {
        parts.push(format!("{lacking} not shown for lack of history"));
    }
    parts.push(format!("{} that a history does not show", count(Verdict::NotShown, false)));
    let verdict = report.verdict();
    format!(
        "<p class=\"verdict {}\">{} {} sentences: {}</p>\n{}",
        verdict.word(),
        sign(verdict, ""),
        report.lines.len(),
        parts.join(", "),
        facts(&rows)
    )
}

fn warnings(report: &Report) -> String {
    if !report.is_broken() {
        return String::new();
    }
    "<p class=\"warning\">The records on which this report rests were altered, or are incomplete in a way that no power cut explains: see the \
     part on records. What follows is what they say now.</p>\n"
        .to_owned()
}

fn sentences(report: &Report) -> String {
    let mut rows = String::new();
    for (sentence, line) in &report.lines {
        let Judgement { verdict, because, .. } = line;
        let why = if *verdict == Verdict::NotShown { because.words() } else { "" };
        let _ = writeln!(
            rows,
            "<tr><td class=\"verdict {}\">{}</td><td class=\"section\">{}</td><td>{}<p class=\"reason\">{}</p></td></tr>",
            verdict.word(),
            sign(*verdict, why),
            xml(sentence.section),
            xml(sentence.asks),
            xml(&line.reason)
        );
    }
    format!(
        "<h2>What the rule asks, in our words, and what the history has of it</h2>\n<table><thead><tr><th></th><th>section</th><th>asked, and \
         found</th></tr></thead><tbody>\n{rows}</tbody></table>\n<p>A minute is called by the second in which it ended, in UTC as the clock showed it; \
         where the clock is known to have been off by a second or more, without that error.</p>\n"
    )
}

fn figure(report: &Report) -> String {
    format!(
        "<h2>The clock in the period</h2>\n<figure>\n{}</figure>\n",
        picture(&report.course, &report.asked.terms)
    )
}

fn absences(report: &Report) -> String {
    let outage = report.asked.terms.outage.nanos();
    let holes = &report.course.holes;
    let rows: Vec<Vec<String>> = holes
        .iter()
        .map(|hole| {
            let counts = if hole.length() > outage { "" } else { " (an outage that does not count)" };
            let what = format!("{}{counts}", hole.what.words());
            vec![moment(hole.from), moment(hole.to), length(hole.length()), what]
        })
        .collect();
    let kept = report.course.minutes.len();
    let note = match holes.is_empty() {
        true => format!("None: {kept} minutes were kept, without a gap."),
        false => format!("{kept} minutes were kept."),
    };
    list("Times without a minute", &note, &["from", "to", "length", "why"], &rows)
}

fn steps(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .course
        .steps
        .iter()
        .map(|step| {
            let who = match (step.by_daemon, step.by_another) {
                (true, true) => "the daemon and another program",
                (_, true) => "another program",
                _ => "the daemon",
            };
            let sign = if step.nanos > 0 { "+" } else { "" };
            vec![moment(step.at), format!("{sign}{}", length(step.nanos)), who.to_owned()]
        })
        .collect();
    let note = if rows.is_empty() { "None." } else { "" };
    let steps = list("Steps of the clock", note, &["minute to", "sum (positive: forward)", "by"], &rows);
    let rows: Vec<Vec<String>> = report
        .course
        .starts
        .iter()
        .map(|start| {
            let how = if start.unexpected { "the run before had not ended in order" } else { "" };
            vec![moment(start.at), start.version.clone(), Hex(&start.boot).to_string(), how.to_owned()]
        })
        .collect();
    let note = match rows.is_empty() {
        true => "The history has no start any more that was before or in the period.",
        false => "The first one may lie before the period.",
    };
    steps
        + &list(
            "Runs of the daemon, and their versions",
            note,
            &["since", "version", "boot of the machine", ""],
            &rows,
        )
}

fn sources(report: &Report) -> String {
    let second = |at: Option<_>| at.map_or("-".to_owned(), moment);
    let rows: Vec<Vec<String>> = report
        .course
        .sources
        .iter()
        .map(|source| {
            let authorised = match source.authorised {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not named",
            };
            vec![
                source.name.clone().unwrap_or_else(|| "(its name is not in the history any more)".to_owned()),
                if source.authenticated { "yes" } else { "no" }.to_owned(),
                authorised.to_owned(),
                source.minutes.to_string(),
                source.false_minutes.to_string(),
                second(source.seen.map(|(first, _)| first)),
                second(source.seen.map(|(_, last)| last)),
            ]
        })
        .collect();
    let columns = ["source", "authenticated", "authorised", "minutes used", "minutes false", "first", "last"];
    list("Sources", if rows.is_empty() { "None was used." } else { "" }, &columns, &rows)
}

fn configurations(report: &Report) -> String {
    let all = report.course.configurations.iter();
    let rows: Vec<Vec<String>> = all.map(|one| vec![moment(one.since), Hex(&one.hash).to_string()]).collect();
    let note = match rows.is_empty() {
        true => "The history does not have them any more.",
        false => {
            "SHA-256 of the text of the configuration. The first one may have come into force before the period."
        }
    };
    list("Configurations in force", note, &["since", "SHA-256"], &rows)
}

fn records(report: &Report) -> String {
    let origin = &report.origin;
    let mut out = "<h2>Records on which this rests</h2>\n".to_owned();
    out += &records_of("history", &origin.history);
    match &origin.witness {
        None => out.push_str(
            "<p>The audit log was not read (--audit): that the history is the one whose heads it has each hour was not verified.</p>\n",
        ),
        Some(witness) => {
            out += &records_of("audit log", &witness.log);
            out += &said_by(witness);
        }
    }
    out.push_str(
        "<p>The heads prove nothing by themselves: they are what to compare with those that were kept elsewhere (the journal of \
         another host, anchors, an earlier report).</p>\n",
    );
    out
}

fn records_of(name: &str, records: &Records) -> String {
    let chain = match &records.chain {
        Chain::Whole => "verified: each record follows from the one before it".to_owned(),
        Chain::Torn(findings) => {
            format!("verified, but for what a power cut can have left: {}", findings.join("; "))
        }
        Chain::Broken(findings) => format!("BROKEN: {}", findings.join("; ")),
    };
    let last = records.end.lines.saturating_sub(1);
    let range = match records.end.lines {
        0 => "none".to_owned(),
        _ => format!("{} to {last}", records.first),
    };
    facts(&[
        (name, records.file.clone()),
        ("SHA-256 of the file", Hex(&records.sha256).to_string()),
        ("records", range),
        ("head", format!("records={} hash={}", records.end.lines, Hex(&records.end.hash))),
        ("chain", chain),
    ])
}

fn said_by(witness: &Witness) -> String {
    let paragraph = |text: &str| format!("<p>{}</p>\n", xml(text));
    let mut out = match witness.ends.is_empty() {
        true => paragraph(
            "Nothing says that the history did not go on: records may have been cut off at its end.",
        ),
        false => paragraph(&format!(
            "That the history does not end earlier is said by {}.",
            witness.ends.join("; by ")
        )),
    };
    out += &match &witness.proven {
        Some(proven) => paragraph(&format!("By signed answers of others: {proven}.")),
        None => paragraph("Nothing was proven by signed answers of others (--anchors, --keys)."),
    };
    for doubt in witness.doubts.iter().take(ROWS) {
        out += &paragraph(&format!("Not as it should be, without harm to the history: {doubt}."));
    }
    out
}

fn silent(report: &Report) -> String {
    let items: String = report.silent().map(|item| format!("<li>{}</li>\n", xml(item))).collect();
    format!("<h2>What this report does not show</h2>\n<ul>\n{items}</ul>\n")
}
