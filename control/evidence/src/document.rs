//! The report as JSON. Names end in their units; what is not known or does not belong to a line is null. The form is described by
//! packaging/schema/chimerctl.schema.json.

use crate::course::{Absence, Hole};
use crate::figure::unix;
use crate::judge::{Figure, Judgement, Tally};
use crate::report::{Records, Report};
use crate::rule::Sentence;
use ipc::text::Hex;
use ipc::units::WallTime;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Document<'a> {
    format: u32,
    rule: RuleDocument,
    activity: Option<&'static str>,
    period: PeriodDocument,
    limit_ns: i64,
    figure: &'static str,
    outage_s: f64,
    authorised: &'a [String],
    verdict: &'static str,
    host: Option<&'a str>,
    made_unix_s: i64,
    program: &'a str,
    sentences: Vec<SentenceDocument<'a>>,
    minutes: usize,
    missing_s: i64,
    holes: Vec<HoleDocument>,
    steps: Vec<StepDocument>,
    starts: Vec<StartDocument<'a>>,
    configurations: Vec<ConfigurationDocument>,
    sources: Vec<SourceDocument<'a>>,
    history: RecordsDocument<'a>,
    audit: Option<AuditDocument<'a>>,
    not_shown: Vec<&'static str>,
}

#[derive(Serialize)]
struct RuleDocument {
    name: &'static str,
    title: &'static str,
    edition: &'static str,
}

#[derive(Serialize)]
struct PeriodDocument {
    from_unix_s: i64,
    to_unix_s: i64,
}

#[derive(Serialize)]
struct SentenceDocument<'a> {
    section: &'static str,
    asks: &'static str,
    verdict: &'static str,
    because: &'static str,
    worst_ns: Option<i64>,
    longest_s: Option<i64>,
    count: Option<u64>,
    worst_unix_s: Option<i64>,
    failed: TallyDocument,
    unknown: TallyDocument,
    reason: &'a str,
}

#[derive(Serialize)]
struct TallyDocument {
    minutes: u64,
    first_unix_s: Option<i64>,
    last_unix_s: Option<i64>,
}

#[derive(Serialize)]
struct HoleDocument {
    from_unix_s: i64,
    to_unix_s: i64,
    why: &'static str,
    counts: bool,
}

#[derive(Serialize)]
struct StepDocument {
    end_unix_s: i64,
    step_ns: i64,
    by_daemon: bool,
    by_another: bool,
}

#[derive(Serialize)]
struct StartDocument<'a> {
    at_unix_s: i64,
    version: &'a str,
    boot: String,
    unexpected: bool,
}

#[derive(Serialize)]
struct ConfigurationDocument {
    since_unix_s: i64,
    sha256: String,
}

#[derive(Serialize)]
struct SourceDocument<'a> {
    name: Option<&'a str>,
    authenticated: bool,
    authorised: Option<bool>,
    minutes: u64,
    false_minutes: u64,
    first_unix_s: Option<i64>,
    last_unix_s: Option<i64>,
}

#[derive(Serialize)]
struct RecordsDocument<'a> {
    file: &'a str,
    sha256: String,
    first: u64,
    end: EndDocument,
    chain: &'static str,
    findings: &'a [String],
}

#[derive(Serialize)]
struct EndDocument {
    records: u64,
    hash: String,
}

#[derive(Serialize)]
struct AuditDocument<'a> {
    records: RecordsDocument<'a>,
    ends: &'a [String],
    proven: Option<&'a str>,
    doubts: &'a [String],
}

impl<'a> Document<'a> {
    pub(crate) fn of(report: &'a Report) -> Self {
        let (asked, course, origin) = (&report.asked, &report.course, &report.origin);
        let outage = asked.terms.outage.nanos();
        Self {
            format: report::FORMAT,
            rule: RuleDocument {
                name: asked.rule.name,
                title: asked.rule.title,
                edition: asked.rule.edition,
            },
            activity: asked.activity.map(|activity| activity.name),
            period: PeriodDocument { from_unix_s: unix(asked.period.from), to_unix_s: unix(asked.period.to) },
            limit_ns: asked.terms.limit.nanos(),
            figure: match asked.terms.figure {
                Figure::Bound => "bound",
                Figure::Likely => "likely",
            },
            outage_s: outage as f64 / 1e9,
            authorised: &asked.authorised,
            verdict: report.verdict().word(),
            host: origin.host.as_deref(),
            made_unix_s: unix(origin.made),
            program: &origin.program,
            sentences: report.lines.iter().map(|(sentence, line)| sentence_of(sentence, line)).collect(),
            minutes: course.minutes.len(),
            missing_s: course.missing(outage).map(Hole::length).fold(0, i64::saturating_add) / 1_000_000_000,
            holes: course.holes.iter().map(|hole| hole_of(hole, outage)).collect(),
            steps: course
                .steps
                .iter()
                .map(|step| StepDocument {
                    end_unix_s: unix(step.at),
                    step_ns: step.nanos,
                    by_daemon: step.by_daemon,
                    by_another: step.by_another,
                })
                .collect(),
            starts: course
                .starts
                .iter()
                .map(|start| StartDocument {
                    at_unix_s: unix(start.at),
                    version: &start.version,
                    boot: Hex(&start.boot).to_string(),
                    unexpected: start.unexpected,
                })
                .collect(),
            configurations: course
                .configurations
                .iter()
                .map(|one| ConfigurationDocument {
                    since_unix_s: unix(one.since),
                    sha256: Hex(&one.hash).to_string(),
                })
                .collect(),
            sources: course
                .sources
                .iter()
                .map(|source| SourceDocument {
                    name: source.name.as_deref(),
                    authenticated: source.authenticated,
                    authorised: source.authorised,
                    minutes: source.minutes,
                    false_minutes: source.false_minutes,
                    first_unix_s: source.seen.map(|(first, _)| unix(first)),
                    last_unix_s: source.seen.map(|(_, last)| unix(last)),
                })
                .collect(),
            history: records_of(&origin.history),
            audit: origin.witness.as_ref().map(|witness| AuditDocument {
                records: records_of(&witness.log),
                ends: &witness.ends,
                proven: witness.proven.as_deref(),
                doubts: &witness.doubts,
            }),
            not_shown: report.silent().collect(),
        }
    }
}

fn sentence_of<'a>(sentence: &Sentence, line: &'a Judgement) -> SentenceDocument<'a> {
    SentenceDocument {
        section: sentence.section,
        asks: sentence.asks,
        verdict: line.verdict.word(),
        because: line.because.word(),
        worst_ns: line.worst_ns,
        longest_s: line.longest_s,
        count: line.count,
        worst_unix_s: line.worst.map(unix),
        failed: tally_of(&line.failed),
        unknown: tally_of(&line.unknown),
        reason: &line.reason,
    }
}

fn tally_of(tally: &Tally) -> TallyDocument {
    let second = |at: Option<WallTime>| at.map(unix);
    let (first_unix_s, last_unix_s) = (second(tally.first), second(tally.last));
    TallyDocument { minutes: tally.minutes, first_unix_s, last_unix_s }
}

fn hole_of(hole: &Hole, outage: i64) -> HoleDocument {
    HoleDocument {
        from_unix_s: unix(hole.from),
        to_unix_s: unix(hole.to),
        why: hole.what.word(),
        counts: hole.length() > outage,
    }
}

fn records_of(records: &Records) -> RecordsDocument<'_> {
    RecordsDocument {
        file: &records.file,
        sha256: Hex(&records.sha256).to_string(),
        first: records.first,
        end: EndDocument { records: records.end.lines, hash: Hex(&records.end.hash).to_string() },
        chain: records.chain.word(),
        findings: records.chain.findings(),
    }
}

impl Absence {
    /// In documents.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Restart => "restart",
            Self::Reboot => "reboot",
            Self::Crash => "crash",
            Self::Standstill => "standstill",
            Self::Broken => "broken",
        }
    }

    /// On paper.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Before => "the history begins later",
            Self::After => "the history ends earlier",
            Self::Restart => "the daemon was ended and started again",
            Self::Reboot => "the machine was started anew",
            Self::Crash => "the daemon had ended without order, and was started again",
            Self::Standstill => "the machine was suspended or stood still",
            Self::Broken => "records are missing or were altered",
        }
    }
}
