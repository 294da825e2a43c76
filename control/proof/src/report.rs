//! Findings, claims, and what is proven up to when.

use crate::anchors::Claim;
use ipc::audit_line::End;
use std::fmt;

/// The most findings that are kept.
pub(crate) const FINDINGS: usize = 200;

/// Which file a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The audit log.
    Log,
    /// Its ring of steps.
    Steps,
    /// The history.
    History,
    /// The anchors.
    Anchors,
}

impl Of {
    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "audit log",
            Self::Steps => "steps",
            Self::History => "history",
            Self::Anchors => "anchors",
        }
    }

    /// Its word for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Steps => "steps",
            Self::History => "history",
            Self::Anchors => "anchors",
        }
    }
}

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The file is not what was written: something was altered, taken out, moved or put back.
    Altered,
    /// It need not be so, and takes nothing away from what is proven.
    Doubtful,
    /// A power cut can have left it, and took nothing that was on the disk for certain.
    PowerCut,
}

impl Weight {
    /// Its word for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Doubtful => "doubtful",
            Self::PowerCut => "power-cut",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub of: Of,
    /// See there.
    pub weight: Weight,
    /// The number of the record or of the anchor that it is about.
    pub record: Option<u64>,
    /// A sentence.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.of.name(), self.text)
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of the oldest record.
    pub first: u64,
    /// How many records it holds.
    pub records: u64,
    /// Where it ends.
    pub end: End,
    /// What says that it does not end earlier, a sentence each; empty: nothing does, and records may have been cut off at the end.
    pub ends: Vec<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The audit log.
    pub log: Chain,
    /// Its ring of steps.
    pub steps: Chain,
    /// The history, if it was there.
    pub history: Option<Chain>,
    /// Anchors that were there, whether they are believed or not; none: there is no such file.
    pub anchors: Option<u64>,
    /// Public keys were given.
    pub has_keys: bool,
    /// What each anchor proves that is signed by a known key, the oldest first; some prove nothing ([`Claim::doubt`]).
    pub claims: Vec<Claim>,
    /// At most 200 of them.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
    /// Whether one of all was [`Weight::Altered`].
    pub is_altered: bool,
}

impl Report {
    /// The last claim that is about what the files hold.
    pub fn proven(&self) -> Option<&Claim> {
        self.claims.iter().rev().find(|claim| claim.holds())
    }

    pub(crate) fn add(&mut self, of: Of, weight: Weight, record: Option<u64>, text: String) {
        self.is_altered |= weight == Weight::Altered;
        // One that matters is not pushed out by those that do not.
        if self.findings.len() >= FINDINGS && weight == Weight::Altered {
            let other = self.findings.iter().rposition(|finding| finding.weight != Weight::Altered);
            if let Some(other) = other {
                self.findings.remove(other);
                self.more += 1;
            }
        }
        match self.findings.len() < FINDINGS {
            true => self.findings.push(Finding { of, weight, record, text }),
            false => self.more += 1,
        }
    }
}
