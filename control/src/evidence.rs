//! `chimerctl evidence`: what the history shows of the sentences of a rule. The computation is the library's (`control/evidence`); here
//! are the files that are read, and the folder that is written.

use crate::audit::{Gathered, Named};
use crate::daemon_paths::Wanted;
use crate::plot::host_name;
use crate::screen::{Form, Screen, complain, print};
use crate::{Failure, exit, file, minutes, named, text};
use command_line::{ErrorFigure, EvidenceArguments, RuleName, word};
use evidence::course::{Course, Period};
use evidence::judge::{Figure, Terms, Verdict};
use evidence::rule::{Limit, Rule};
use evidence::{Asked, Chain, Origin, Records, Report, Witness, rules};
use history::{History, Survey};
use ipc::history::digest;
use ipc::units::{Span, WallTime};
use proof::{Of, Weight};
use report::FORMAT;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The name of the audit log.
const AUDIT: &str = "audit.log";

/// Computes it, shows it, and writes it where that is asked for.
pub fn show(socket: &Path, asked: &EvidenceArguments, form: Form) -> Result<String, Failure> {
    if asked.rule == RuleName::List {
        return Ok(list(form));
    }
    let rule = rules::named(&word(&asked.rule)).ok_or_else(|| unable("there is no such rule".to_owned()))?;
    let path = named(asked.history.as_ref(), Wanted::History, socket)?;
    let files = Read::of(&path, asked).map_err(|failure| unable(failure.text))?;
    complain(&format!("read {}", path.display()));
    let history = History::read(files.history());
    let survey = history.survey();
    if minutes::is_foreign(&survey, files.history()) {
        return Err(unable(format!("{}: {}", path.display(), minutes::FOREIGN)));
    }
    let asked_for = asked_for(rule, asked, &survey)?;
    let course = Course::of(history.walk(), asked_for.period, &asked_for.authorised);
    if course.minutes.is_empty() {
        return Err(unable(nothing_of(&path, &course)));
    }
    let proof = match &files {
        Read::All(_, gathered) => Some(gathered.report()),
        Read::History(_) => None,
    };
    let records = Records {
        file: path.display().to_string(),
        sha256: digest([files.history()]),
        first: survey.first.map_or(0, |(number, _)| number),
        end: history.end(),
        chain: match &proof {
            Some(proof) => chain(proof, |of| of == Of::History),
            None => chain_alone(&survey),
        },
    };
    let witness = match (&files, &proof) {
        (Read::All(log, gathered), Some(proof)) => Some(witness(log, gathered, proof)),
        _ => None,
    };
    let host = match (&asked.host, &asked.history) {
        (Some(name), _) => Some(name.clone()),
        (None, None) => host_name(),
        // Whose it is, a copy does not say.
        (None, Some(_)) => None,
    };
    let program = env!("CARGO_PKG_VERSION").to_owned();
    let origin = Origin { host, made: now(), program, history: records, witness };
    let report = Report::new(asked_for, origin, course);
    print(&match form {
        Form::Json => report.json(),
        Form::Text(screen) => lines(&report, screen),
    })?;
    if let Some(folder) = &asked.out {
        let unwritten =
            |error| Failure { text: format!("{}: {error}", folder.display()), code: exit::UNWRITTEN };
        file::write_folder(folder, &report.files()).map_err(unwritten)?;
    }
    ending(&report)
}

fn unable(text: String) -> Failure {
    Failure { text, code: exit::UNABLE }
}

/// What is asked for, judged.
fn asked_for(rule: &'static Rule, asked: &EvidenceArguments, survey: &Survey) -> Result<Asked, Failure> {
    let (Some(from), Some(to)) = (asked.from, asked.to) else {
        return Err(unable("--from and --to say of which time the report is to be".to_owned()));
    };
    let end = survey.last.map_or(WallTime::MIN, |(_, wall)| wall);
    let period = Period { from: minutes::moment(from, end)?, to: minutes::moment(to, end)? };
    if period.from >= period.to {
        return Err(unable("--from must be before --to".to_owned()));
    }
    let span = |seconds: f64| Span::saturating((seconds * 1e9).round() as i64);
    let activity = asked.activity.map(|activity| word(&activity));
    let limit = rule.limit(asked.limit.map(span), activity.as_deref()).map_err(unable)?;
    let figure = match asked.by {
        ErrorFigure::Bound => Figure::Bound,
        ErrorFigure::Likely => Figure::Likely,
    };
    let has_authorised = !asked.authorised.is_empty();
    let terms = Terms { limit, figure, outage: span(asked.outage), has_authorised };
    let activity = Asked::activity(rule, activity.as_deref());
    Ok(Asked { rule, activity, period, terms, authorised: asked.authorised.clone() })
}

fn nothing_of(path: &Path, course: &Course) -> String {
    let name = path.display();
    match course.kept {
        None => format!("{name}: the history has no minute, and nothing was written"),
        Some((first, last)) => format!(
            "{name}: the history has no minute of this period, and nothing was written; it is from {} to {} UTC",
            evidence::figure::moment(first),
            evidence::figure::moment(last)
        ),
    }
}

/// What is read.
enum Read {
    /// The audit log, with what lies beside it.
    All(PathBuf, Gathered),
    /// There is no audit log.
    History(Vec<u8>),
}

impl Read {
    fn of(path: &PathBuf, asked: &EvidenceArguments) -> Result<Self, Failure> {
        let log = asked.audit.clone().unwrap_or_else(|| path.with_file_name(AUDIT));
        if asked.audit.is_none() && asked.keys.is_none() && !log.exists() {
            return minutes::read(path).map(Self::History);
        }
        let named = Named { history: Some(path), keys: asked.keys.as_ref(), ..Named::default() };
        Ok(Self::All(log.clone(), Gathered::read(&log, "--audit", named)?))
    }

    fn history(&self) -> &[u8] {
        match self {
            Self::All(_, gathered) => gathered.history(),
            Self::History(octets) => octets,
        }
    }
}

/// The chain of some files, by what is not in order in them.
fn chain(proof: &proof::Report, of: impl Fn(Of) -> bool) -> Chain {
    let findings = |weight: Weight| -> Vec<String> {
        let all = proof.findings.iter().filter(|finding| of(finding.of) && finding.weight == weight);
        all.map(ToString::to_string).collect()
    };
    let (altered, torn) = (findings(Weight::Altered), findings(Weight::PowerCut));
    match (altered.is_empty(), torn.is_empty()) {
        (false, _) => Chain::Broken(altered),
        (true, false) => Chain::Torn(torn),
        (true, true) => Chain::Whole,
    }
}

/// The same of a history without an audit log.
fn chain_alone(survey: &Survey) -> Chain {
    let mut findings: Vec<String> = survey.findings.iter().map(ToString::to_string).collect();
    if survey.more > 0 {
        findings.push(format!("and {} more", survey.more));
    }
    match survey.findings.iter().all(|finding| finding.may_be_a_power_cut()) && survey.more == 0 {
        true if findings.is_empty() => Chain::Whole,
        true => Chain::Torn(findings),
        false => Chain::Broken(findings),
    }
}

fn witness(path: &Path, gathered: &Gathered, proof: &proof::Report) -> Witness {
    let doubts = proof.findings.iter().filter(|finding| finding.weight == Weight::Doubtful);
    Witness {
        log: Records {
            file: path.display().to_string(),
            sha256: digest([&gathered.log]),
            first: proof.log.first,
            end: proof.log.end,
            chain: chain(proof, |of| of != Of::History),
        },
        ends: proof.history.as_ref().map(|chain| chain.ends.clone()).unwrap_or_default(),
        proven: proof.proven().map(ToString::to_string),
        doubts: doubts.map(ToString::to_string).collect(),
    }
}

fn now() -> WallTime {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime::saturating(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
}

/// Each line, for a terminal.
fn lines(report: &Report, screen: Screen) -> String {
    const WIDE: usize = 11;
    let mut out = String::new();
    for (sentence, line) in &report.lines {
        let why = match (line.verdict, line.because) {
            (Verdict::NotShown, because) => format!(" ({})", because.words()),
            _ => String::new(),
        };
        let asked = screen.show(&format!("[{}]{why} {}", sentence.section, sentence.asks));
        let head = format!("{:WIDE$}", line.verdict.sign());
        out.push_str(&head);
        out.push_str(&screen.wrap(&asked, WIDE, WIDE));
        let _ = write!(out, "\n{:WIDE$}", "");
        out.push_str(&screen.wrap(&screen.show(&line.reason), WIDE, WIDE));
        out.push('\n');
    }
    out
}

/// How it ends.
fn ending(report: &Report) -> Result<String, Failure> {
    let of = |verdict| report.count(verdict, true);
    let (failed, lacking) = (of(Verdict::Fail), of(Verdict::NotShown));
    let rule = report.asked.rule.name;
    let text = match report.verdict() {
        Verdict::Pass => return Ok(String::new()),
        _ if report.is_broken() => format!(
            "{rule}: the records on which this rests were altered; chimerctl audit --verify says which (docs/audit.md)"
        ),
        Verdict::Fail if lacking > 0 => {
            format!("{rule}: {failed} not met, and {lacking} not shown for lack of history")
        }
        Verdict::Fail => format!("{rule}: {failed} not met"),
        Verdict::NotShown => format!("{rule}: {lacking} not shown for lack of history"),
    };
    Err(Failure { text, code: exit::NO })
}

/// The rules.
fn list(form: Form) -> String {
    let Form::Text(screen) = form else {
        let rules: Vec<Value> = rules::ALL.into_iter().map(rule_document).collect();
        return text::json(&json!({ "format": FORMAT, "rules": rules }));
    };
    let mut out = String::new();
    for rule in rules::ALL {
        let limit = match rule.limit {
            Limit::AtMost(most) => format!("limit {}", evidence::figure::length(most.nanos())),
            Limit::Chosen(usual) => {
                format!("limit {} unless --limit says another", evidence::figure::length(usual.nanos()))
            }
            Limit::ByActivity(all) => {
                let all = all.iter().map(|one| {
                    format!("--activity {}: {}", one.name, evidence::figure::length(one.limit.nanos()))
                });
                all.collect::<Vec<_>>().join(", ")
            }
        };
        let head = format!("{:15}", rule.name);
        out.push_str(&head);
        out.push_str(&screen.wrap(&screen.show(&format!("{}; {limit}", rule.title)), 15, 15));
        out.push('\n');
    }
    out
}

fn rule_document(rule: &Rule) -> Value {
    let (limit, activities) = match rule.limit {
        Limit::AtMost(limit) | Limit::Chosen(limit) => (Some(limit.nanos()), &[][..]),
        Limit::ByActivity(all) => (None, all),
    };
    let activities: Vec<Value> = activities
        .iter()
        .map(|one| json!({ "name": one.name, "means": one.means, "limit_ns": one.limit.nanos() }))
        .collect();
    let sentences: Vec<Value> =
        rule.sentences.iter().map(|one| json!({ "section": one.section, "asks": one.asks })).collect();
    json!({
        "name": rule.name, "title": rule.title, "edition": rule.edition, "limit_ns": limit, "activities": activities,
        "sentences": sentences,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use command_line::Activity;

    #[test]
    fn the_command_line_has_the_names_of_the_rules_and_of_their_activities() {
        let values = |of: &str| -> Vec<String> {
            let definition = command_line::definition();
            let command = definition.find_subcommand("evidence").unwrap();
            let argument = command.get_arguments().find(|argument| argument.get_id() == of).unwrap();
            argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
        };
        let names: Vec<&str> = rules::ALL.into_iter().map(|rule| rule.name).collect();
        assert_eq!(values("rule"), [&["list"][..], &names].concat());
        let activities = rules::ALL.into_iter().filter_map(|rule| match rule.limit {
            Limit::ByActivity(all) => Some(all.iter().map(|one| one.name)),
            _ => None,
        });
        assert_eq!(values("activity"), activities.flatten().collect::<Vec<_>>());
        assert_eq!(word(&Activity::VenueFast), "venue-fast");
    }
}
