//! A rule, a period, and what came out.

use crate::course::{Course, Period};
use crate::document::Document;
use crate::judge::{Because, Judgement, Terms, Verdict, judge};
use crate::rule::{Activity, Limit, Rule, Sentence};
use crate::{page, rules};
use ipc::history::{End, digest};
use ipc::text::Hex;
use ipc::units::WallTime;
use std::fmt::Write as _;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By which rule.
    pub rule: &'static Rule,
    /// The type of activity, where the rule has several.
    pub activity: Option<&'static Activity>,
    /// Of which time.
    pub period: Period,
    /// What is asked of all sentences alike.
    pub terms: Terms,
    /// The sources that were named as authorised.
    pub authorised: Vec<String>,
}

impl Asked {
    /// The type of activity of this name, if the rule has it.
    pub fn activity(rule: &Rule, name: Option<&str>) -> Option<&'static Activity> {
        let Limit::ByActivity(all) = rule.limit else { return None };
        all.iter().find(|one| Some(one.name) == name)
    }
}

/// Whether records follow from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// All of them do.
    Whole,
    /// All of them do but for what a power cut left: what that was.
    Torn(Vec<String>),
    /// Some do not: which.
    Broken(Vec<String>),
}

impl Chain {
    /// In documents.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Torn(_) => "torn",
            Self::Broken(_) => "broken",
        }
    }

    /// What was found.
    pub fn findings(&self) -> &[String] {
        match self {
            Self::Whole => &[],
            Self::Torn(findings) | Self::Broken(findings) => findings,
        }
    }
}

/// A file of chained records.
#[derive(Clone, Debug)]
pub struct Records {
    /// Its name on the command line.
    pub file: String,
    /// SHA-256 of the whole file.
    pub sha256: [u8; 32],
    /// Its oldest record.
    pub first: u64,
    /// Where it ends: its head.
    pub end: End,
    /// Whether its records follow from each other.
    pub chain: Chain,
}

/// What other files say of the history.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The audit log, which has the head of the history each hour.
    pub log: Records,
    /// What says that the history does not end earlier than it does, in sentences; none: its end may have been cut off.
    pub ends: Vec<String>,
    /// What the last signed answers prove of the history, in a sentence; none: nothing was proven, or it was not asked for.
    pub proven: Option<String>,
    /// What is not as it should be, and takes nothing away from the history, in sentences.
    pub doubts: Vec<String>,
}

/// Where a report is from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The name of the host on which it was made.
    pub host: Option<String>,
    /// When, by the clock of that host.
    pub made: WallTime,
    /// The version of the program that made it.
    pub program: String,
    /// The history.
    pub history: Records,
    /// What the audit log and the anchors say of it.
    pub witness: Option<Witness>,
}

/// The lines of a rule for a period.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub asked: Asked,
    /// Where it is from.
    pub origin: Origin,
    /// What the history has of the period.
    pub course: Course,
    /// Each sentence with what came out.
    pub lines: Vec<(&'static Sentence, Judgement)>,
}

impl Report {
    /// Computes each line.
    pub fn new(asked: Asked, origin: Origin, course: Course) -> Self {
        let lines = asked.rule.sentences.iter();
        let lines = lines.map(|sentence| (sentence, judge(sentence, &course, &asked.terms))).collect();
        Self { asked, origin, course, lines }
    }

    /// What came out in all: a failure if a line is one; not shown if the history lacks something of the period, or was altered.
    pub fn verdict(&self) -> Verdict {
        let of = |verdict| self.lines.iter().filter(move |(_, line)| line.verdict == verdict);
        if of(Verdict::Fail).next().is_some() {
            return Verdict::Fail;
        }
        let lacks = of(Verdict::NotShown).any(|(_, line)| line.because.is_of_the_history());
        match lacks || self.is_broken() {
            true => Verdict::NotShown,
            false => Verdict::Pass,
        }
    }

    /// Whether the records on which it rests were altered.
    pub fn is_broken(&self) -> bool {
        let is_broken = |records: &Records| matches!(records.chain, Chain::Broken(_));
        let log = self.origin.witness.as_ref().map(|witness| &witness.log);
        is_broken(&self.origin.history) || log.is_some_and(is_broken)
    }

    /// How many lines have this verdict; of those that are not shown, whether a history would show them.
    pub fn count(&self, verdict: Verdict, of_the_history: bool) -> usize {
        let is_it = |line: &Judgement| {
            line.verdict == verdict
                && (verdict != Verdict::NotShown || line.because.is_of_the_history() == of_the_history)
        };
        self.lines.iter().filter(|(_, line)| is_it(line)).count()
    }

    /// What no history shows of this rule, in sentences.
    pub fn silent(&self) -> impl Iterator<Item = &'static str> {
        self.asked.rule.silent.iter().copied().chain(rules::SILENT)
    }

    /// As JSON, on several lines.
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(&Document::of(self)).unwrap_or_default();
        text + "\n"
    }

    /// As a page.
    pub fn page(&self) -> String {
        page::page(self)
    }

    /// The files: names and octets. The last one has the hashes of the others, as `sha256sum --check` takes them.
    pub fn files(&self) -> [(&'static str, Vec<u8>); 3] {
        let (json, page) = (self.json().into_bytes(), self.page().into_bytes());
        let mut sums = String::new();
        for (name, octets) in [("report.html", &page), ("report.json", &json)] {
            let _ = writeln!(sums, "{}  {name}", Hex(&digest([octets])));
        }
        [("report.json", json), ("report.html", page), ("SHA256SUMS", sums.into_bytes())]
    }
}

impl Verdict {
    /// In documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotShown => "not_shown",
        }
    }

    /// On paper.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::NotShown => "NOT SHOWN",
        }
    }
}

impl Because {
    /// Why something is not shown, on paper.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Met | Self::Failed => "",
            Self::NotKept => "not kept",
            Self::Unknown => "not known",
            Self::DidNotOccur => "did not occur",
            Self::NotNamed => "not named",
            Self::Elsewhere => "elsewhere",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
