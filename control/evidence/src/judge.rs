//! What the minutes of a period say of a sentence.
//!
//! ```text
//!   minutes    sentences that hold in each minute, or do not
//!   stretches  sentences of how long something may last
//!   events     sentences of what must be recorded
//! ```

mod events;
mod minutes;
mod stretches;

use crate::course::{Course, Kept};
use crate::rule::{Sentence, Test};
use ipc::units::{Span, WallTime};

/// What the error of the clock is taken to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// The bound: it holds if the selected sources are honest.
    Bound,
    /// The likely error: by the model it is above that with a probability of 1e-6.
    Likely,
}

/// What is asked of all sentences alike.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How far the clock may be from UTC.
    pub limit: Span,
    /// By which figure.
    pub figure: Figure,
    /// A time without a minute up to this is listed, and keeps nothing from being met.
    pub outage: Span,
    /// Sources were named as authorised.
    pub has_authorised: bool,
}

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Met.
    Pass,
    /// Not met.
    Fail,
    /// Neither is shown.
    NotShown,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It is so in all of the period.
    Met,
    /// It is not so in some of it.
    Failed,
    /// No minutes were kept of some of it.
    NotKept,
    /// They were, and do not tell: the error was not known, or the bound was too wide.
    Unknown,
    /// What it is about did not occur.
    DidNotOccur,
    /// Something was not said on the command line.
    NotNamed,
    /// No history shows it.
    Elsewhere,
}

impl Because {
    /// In documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Failed => "failed",
            Self::NotKept => "not_kept",
            Self::Unknown => "unknown",
            Self::DidNotOccur => "did_not_occur",
            Self::NotNamed => "not_named",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Whether a history of the whole period would have shown it.
    pub const fn is_of_the_history(self) -> bool {
        matches!(self, Self::Met | Self::Failed | Self::NotKept | Self::Unknown)
    }
}

/// Some minutes, by the seconds in which they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub minutes: u64,
    /// The first.
    pub first: Option<WallTime>,
    /// The last.
    pub last: Option<WallTime>,
}

impl Tally {
    fn count(&mut self, kept: &Kept) {
        self.minutes += 1;
        self.first = self.first.or(Some(kept.end));
        self.last = Some(kept.end);
    }
}

/// The computed line of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What came out.
    pub verdict: Verdict,
    /// Why.
    pub because: Because,
    /// The worst of the clock in nanoseconds, where the sentence is about that: the largest error, or the largest step.
    pub worst_ns: Option<i64>,
    /// The longest time in seconds, where it is about that.
    pub longest_s: Option<i64>,
    /// How many of what it is about: events, or the smallest number of sources.
    pub count: Option<u64>,
    /// The second in which the worst minute ended.
    pub worst: Option<WallTime>,
    /// Minutes in which it is not so.
    pub failed: Tally,
    /// Minutes that were kept and do not tell.
    pub unknown: Tally,
    /// In words.
    pub reason: String,
}

impl Judgement {
    fn of(verdict: Verdict, because: Because, reason: String) -> Self {
        let (failed, unknown) = (Tally::default(), Tally::default());
        Self {
            verdict,
            because,
            worst_ns: None,
            longest_s: None,
            count: None,
            worst: None,
            failed,
            unknown,
            reason,
        }
    }
}

/// Computes the line of a sentence.
pub fn judge(sentence: &Sentence, course: &Course, terms: &Terms) -> Judgement {
    match sentence.test {
        Test::Within => minutes::within(course, terms),
        Test::Synchronised => minutes::synchronised(course, terms),
        Test::Authenticated => minutes::authenticated(course, terms),
        Test::Sources(least) => minutes::sources(course, terms, least),
        Test::Authorised => minutes::authorised(course, terms),
        Test::NobodyElse => minutes::nobody_else(course, terms),
        Test::Compared(most) => stretches::compared(course, terms, most),
        Test::Corrected(above) => stretches::corrected(course, terms, above),
        Test::Watched => events::watched(course, terms),
        Test::Steps(least) => events::steps(course, terms, least),
        Test::Leap => events::leap(course, terms),
        Test::Starts => events::starts(course, terms),
        Test::Configured => events::configured(course, terms),
        Test::Elsewhere(why) => Judgement::of(Verdict::NotShown, Because::Elsewhere, why.to_owned()),
    }
}

/// So many of something, in words.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn minutes_of(count: u64) -> String {
    counted(count, "minute", "minutes")
}

/// What is missing of the period, in words; none: nothing.
fn missing(course: &Course, terms: &Terms) -> Option<String> {
    let (mut length, mut count) = (0_i64, 0_u64);
    for hole in course.missing(terms.outage.nanos()) {
        length = length.saturating_add(hole.length());
        count += 1;
    }
    let gaps = counted(count, "gap", "gaps");
    (count > 0).then(|| format!("no minute was kept of {} ({gaps})", crate::figure::length(length)))
}

#[cfg(test)]
mod tests;
