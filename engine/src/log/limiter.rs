//! Decides which lines are written, and summarises those that are not.
//!
//! A line concerns the *clock* itself (a step, a change by another program, a refusal), a *change* (of the daemon's
//! overall state, which an administrator looks for later) or an ordinary line. An ordinary line is written if none of
//! its kind was written in the last minute. Further ones are counted; after the minute one line gives their number, and
//! the age and text of the last one. Of a fault that is found again and again while it lasts (a name server that is down
//! for days) the minute becomes two, four, and at last an hour; once there was none for two hours it is new again. Clock
//! lines and changes are written at once, in order.
//!
//! **The bound.** Clock lines, changes and ordinary lines each have an allowance of 100 lines, refilled at 10 a minute,
//! whatever their kind; beyond it they are only counted. An attacker that makes sources agree and disagree forever
//! therefore cannot hide a step. A summary stands for one kind (at most 128 are remembered) or for one of the three
//! allowances, and is written at most once a minute. A process that makes the engine log without end therefore causes
//! at most 300 lines at once and 97 a minute in the long run.

use super::Severity;
use engine_core::notice::Weight;
use ipc::units::{RawInstant, Span};

/// Lines of one kind are this far apart at first; what comes between is counted.
const QUIET: Span = Span::from_secs(60);

/// And this far at last, if they are of a fault and go on coming.
const QUIETEST: Span = Span::from_secs(3600);

/// A fault of which no line was written for so long is new again.
const NEW_AGAIN: Span = Span::from_secs(7200);

/// Kinds that are remembered; beyond it the one that was silent longest is forgotten.
const MAX_KINDS: usize = 128;

/// Lines that may come at once.
const BURST: u32 = 100;

/// So many lines of a search for a fault are written in a minute.
const VERBOSE: u32 = 600;

/// One more each.
const REFILL: Span = Span::from_secs(6);

/// Decides which lines are written.
pub(super) struct Limiter {
    kinds: Vec<Kind>,
    clock: Allowance,
    changes: Allowance,
    ordinary: Allowance,
    /// Lines of a search for a fault that may still be written, and since when.
    verbose: (u32, RawInstant),
    told: Vec<(Severity, String)>,
}

/// Lines that differ only in their numbers.
struct Kind {
    pattern: String,
    printed: RawInstant,
    /// How far apart they are now.
    quiet: Span,
    is_fault: bool,
    held: Held,
}

impl Kind {
    fn is_quiet(&self, now: RawInstant) -> bool {
        now.since(self.printed).nanos() < self.quiet.nanos()
    }

    /// One more line of it is written now.
    fn print(&mut self, now: RawInstant) {
        let lasts = self.is_fault && now.since(self.printed).nanos() < NEW_AGAIN.nanos();
        let longer = self.quiet.nanos().saturating_mul(2).min(QUIETEST.nanos());
        self.quiet = if lasts { Span::saturating(longer) } else { QUIET };
        self.printed = now;
    }
}

/// So many lines may still be written.
struct Allowance {
    left: u32,
    /// Since when it grows.
    since: Option<RawInstant>,
    /// When it was last said that lines are missing.
    told: Option<RawInstant>,
    held: Held,
}

/// Lines that were not written.
struct Held {
    count: u64,
    severity: Severity,
    /// The last one, and when.
    last: (RawInstant, String),
}

impl Held {
    const NONE: Self = Self { count: 0, severity: Severity::INFO, last: (RawInstant::MIN, String::new()) };

    fn add(&mut self, now: RawInstant, severity: Severity, text: &str) {
        self.severity = if self.count == 0 { severity } else { self.severity.min(severity) };
        self.count = self.count.saturating_add(1);
        self.last.0 = now;
        self.last.1.clear();
        self.last.1.push_str(text);
    }

    /// What there is to say of them, with the moment that it is about.
    fn take(&mut self, now: RawInstant, like_this: &str) -> Option<(RawInstant, Severity, String)> {
        let Self { count, severity, last: (at, text) } = std::mem::replace(self, Self::NONE);
        let ago = now.since(at).nanos().max(0) / 1_000_000_000;
        let line = match count {
            0 => return None,
            1 => format!("{ago} s ago: {text}"),
            _ => format!("{ago} s ago: {text} (the last of {count} lines{like_this} that were left out)"),
        };
        Some((at, severity, line))
    }
}

impl Allowance {
    const FULL: Self = Self { left: BURST, since: None, told: None, held: Held::NONE };

    /// Whether there is one line left; then it is taken.
    fn take(&mut self, now: RawInstant) -> bool {
        let since = *self.since.get_or_insert(now);
        let grown = now.since(since).nanos().max(0) / REFILL.nanos();
        self.left = self.left.saturating_add(u32::try_from(grown).unwrap_or(u32::MAX)).min(BURST);
        let whole = Span::saturating(grown.saturating_mul(REFILL.nanos()));
        self.since = Some(if self.left == BURST { now } else { since.after(whole) });
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }

    /// Whether a line is written now; else it is counted.
    fn admits(&mut self, now: RawInstant, severity: Severity, text: &str) -> bool {
        let is_written = self.take(now);
        if !is_written {
            self.held.add(now, severity, text);
        }
        is_written
    }
}

impl Limiter {
    pub(super) const fn new() -> Self {
        Self {
            kinds: Vec::new(),
            clock: Allowance::FULL,
            changes: Allowance::FULL,
            ordinary: Allowance::FULL,
            verbose: (VERBOSE, RawInstant::MIN),
            told: Vec::new(),
        }
    }

    /// Whether one more line of a search for a fault is written now. What is left out is not told: the next minute has others.
    pub(super) fn admits_verbose(&mut self, now: RawInstant) -> bool {
        let (left, since) = &mut self.verbose;
        if now.since(*since).nanos() >= QUIET.nanos() {
            (*left, *since) = (VERBOSE, now);
        }
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }

    /// Whether a line is written now.
    pub(super) fn admits(&mut self, now: RawInstant, severity: Severity, text: &str, weight: Weight) -> bool {
        match weight {
            Weight::Clock => self.clock.admits(now, severity, text),
            Weight::Change => self.changes.admits(now, severity, text),
            Weight::Fault => self.admits_kind(now, severity, text, true),
            Weight::Line => self.admits_kind(now, severity, text, false),
        }
    }

    fn admits_kind(&mut self, now: RawInstant, severity: Severity, text: &str, is_fault: bool) -> bool {
        let pattern = pattern(text);
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.pattern == pattern && kind.is_quiet(now)) {
            kind.held.add(now, severity, text);
            return false;
        }
        if !self.ordinary.admits(now, severity, text) {
            return false;
        }
        match self.kinds.iter().position(|kind| kind.pattern == pattern) {
            Some(place) => {
                if let Some(kind) = self.kinds.get_mut(place) {
                    kind.print(now);
                }
            }
            None => self.remember(now, pattern, is_fault),
        }
        true
    }

    fn remember(&mut self, now: RawInstant, pattern: String, is_fault: bool) {
        if self.kinds.len() >= MAX_KINDS {
            // Prefer an entry without anything left to report.
            let oldest =
                self.kinds.iter().enumerate().min_by_key(|(_, kind)| (kind.held.count > 0, kind.printed));
            if let Some((place, _)) = oldest {
                let mut forgotten = self.kinds.swap_remove(place);
                let line = forgotten.held.take(now, LIKE_THIS);
                self.told.extend(line.map(|(_, severity, line)| (severity, line)));
            }
        }
        self.kinds.push(Kind { pattern, printed: now, quiet: QUIET, is_fault, held: Held::NONE });
    }

    /// Sums up what is over, in the order in which it happened.
    pub(super) fn settle(&mut self, now: RawInstant) {
        self.sum_up(now, false);
    }

    /// Sums up all there is.
    pub(super) fn finish(&mut self, now: RawInstant) {
        self.sum_up(now, true);
    }

    fn sum_up(&mut self, now: RawInstant, all: bool) {
        let is_over = |since: RawInstant| all || now.since(since).nanos() >= QUIET.nanos();
        let mut lines = Vec::new();
        for kind in self.kinds.iter_mut().filter(|kind| kind.held.count > 0 && (all || !kind.is_quiet(now))) {
            kind.print(now);
            lines.extend(kind.held.take(now, LIKE_THIS));
        }
        for allowance in [&mut self.clock, &mut self.changes, &mut self.ordinary] {
            if allowance.held.count > 0 && allowance.told.is_none_or(is_over) {
                allowance.told = Some(now);
                lines.extend(allowance.held.take(now, ""));
            }
        }
        lines.sort_by_key(|(at, ..)| *at);
        self.told.extend(lines.into_iter().map(|(_, severity, line)| (severity, line)));
    }

    /// The summaries that are to be written.
    pub(super) fn told(&mut self) -> Vec<(Severity, String)> {
        std::mem::take(&mut self.told)
    }

    #[cfg(test)]
    pub(super) fn kinds(&self) -> usize {
        self.kinds.len()
    }
}

const LIKE_THIS: &str = " like this";

/// The text without its numbers. Names and addresses stay: lines about two sources are of two kinds.
fn pattern(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let bare = word.trim_matches(|character: char| !character.is_alphanumeric());
        if bare.parse::<f64>().is_ok() { "#" } else { word }
    });
    words.take(40).collect::<Vec<_>>().join(" ").chars().take(200).collect()
}
