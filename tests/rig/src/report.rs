//! The table.

use crate::cases::{Case, Found};
use crate::debian::Release;
use crate::recipe::image::Daemon;
use std::fmt::Write;

/// What came of one case on one release with one daemon.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// As it should be.
    Right(Found),
    /// It failed unexpectedly.
    Failed(String),
    /// It failed, as listed.
    Known(&'static str, String),
    /// It is listed as failing, and does not fail any more.
    Mended(&'static str, Found),
}

impl Verdict {
    /// Judges an outcome by what is known to fail: the line that will mend it, and a part of what it says then.
    pub fn of(outcome: Result<Found, String>, known: Option<(&'static str, &'static str)>) -> Self {
        match (outcome, known) {
            (Ok(found), None) => Self::Right(found),
            (Ok(found), Some((line, _))) => Self::Mended(line, found),
            (Err(why), Some((line, says))) if why.contains(says) => Self::Known(line, why),
            (Err(why), _) => Self::Failed(why),
        }
    }

    /// Whether the run is in order as far as this goes. What chronyd does is shown, and is not for us to mend.
    pub fn is_in_order(&self, daemon: Daemon) -> bool {
        daemon == Daemon::Chrony || matches!(self, Self::Right(_) | Self::Known(..))
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The case.
    pub case: &'static str,
    /// The release.
    pub release: Release,
    /// The daemon.
    pub daemon: Daemon,
    /// What came of it.
    pub verdict: Verdict,
    /// How long the case took, in seconds.
    pub took: f64,
}

/// The table in Markdown: a case in each row, releases and daemons side by side.
pub fn table(cases: &[Case], rows: &[Row]) -> String {
    let mut text = String::new();
    let columns: Vec<(Release, Daemon)> = Release::ALL
        .into_iter()
        .flat_map(|release| [Daemon::Truechimer, Daemon::Chrony].map(|daemon| (release, daemon)))
        .filter(|column| rows.iter().any(|row| (row.release, row.daemon) == *column))
        .collect();
    text.push_str("| case |");
    for (release, daemon) in &columns {
        let _ = write!(text, " {} on Debian {} |", daemon.name(), release.number());
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    for case in cases {
        let _ = write!(text, "\n| {} |", case.name);
        for column in &columns {
            let row = rows.iter().find(|row| row.case == case.name && (row.release, row.daemon) == *column);
            let _ = write!(text, " {} |", row.map_or_else(String::new, |row| cell(&row.verdict)));
        }
    }
    text.push('\n');
    text
}

/// What is behind the table's cells: notes, failures, and the journal of each case.
pub fn details(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let _ = write!(
            text,
            "\n{} · {} · Debian {} · {:.0} s\n",
            row.case,
            row.daemon.name(),
            row.release.number(),
            row.took
        );
        match &row.verdict {
            Verdict::Right(found) | Verdict::Mended(_, found) => {
                let _ = writeln!(text, "  {}", found.note);
                for line in &found.journal {
                    let _ = writeln!(text, "  | {line}");
                }
            }
            Verdict::Failed(why) => {
                let _ = writeln!(text, "  FAILED: {why}");
            }
            Verdict::Known(line, why) => {
                let _ = writeln!(text, "  known to fail ({line}): {why}");
            }
        }
        if let Verdict::Mended(line, _) = &row.verdict {
            let _ = writeln!(text, "  IS MENDED, and still listed as known to fail ({line})");
        }
    }
    text
}

pub(crate) fn cell(verdict: &Verdict) -> String {
    let seconds = |found: &Found| found.seconds.map_or_else(|| "right".to_owned(), |s| format!("{s:.1} s"));
    match verdict {
        Verdict::Right(found) => seconds(found),
        Verdict::Failed(_) => "**FAILED**".into(),
        Verdict::Known(line, _) => format!("fails, known: {line}"),
        Verdict::Mended(_, found) => format!("**mended** {}", seconds(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_failure_that_passes_or_fails_otherwise_is_not_in_order() {
        let known = Some(("12.A5", "its clock is"));
        let ours = Daemon::Truechimer;
        assert!(!Verdict::of(Ok(Found::default()), known).is_in_order(ours), "it would stay on the list");
        assert!(Verdict::of(Err("its clock is +2 s off".into()), known).is_in_order(ours));
        assert!(!Verdict::of(Err("the guest does not answer".into()), known).is_in_order(ours));
        assert!(!Verdict::of(Err("its clock is +2 s off".into()), None).is_in_order(ours));
        assert!(Verdict::of(Ok(Found::default()), None).is_in_order(ours));
    }
}
