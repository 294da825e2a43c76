//! What is printed: a row for each class and profile, and the states that need an operator.

use super::{Class, Found, Outcome, kind};
use ipc::message::privileged::Profile;
use std::collections::BTreeMap;

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was varied.
    pub class: Class,
    /// The profile.
    pub profile: Profile,
    /// All worlds, in the order in which they were tried.
    pub found: Vec<Found>,
}

/// The head of the table.
pub const HEAD: &str = "\
| class | profile | worlds | right by itself | median | 95 % | worst | slewed for longer (longest) | operator | not right, said why | not said |
|---|---|---|---|---|---|---|---|---|---|---|";

/// A time for people.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

impl Row {
    fn of(&self, outcome: Outcome) -> Vec<&Found> {
        self.found.iter().filter(|found| found.outcome == outcome).collect()
    }

    /// In the form of the table.
    pub fn line(&self) -> String {
        let mut times: Vec<f64> = self.of(Outcome::Right).iter().map(|found| found.seconds).collect();
        times.sort_by(f64::total_cmp);
        let part = |share: f64| {
            let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
            times.get(at).map_or("-".to_owned(), |seconds| duration(*seconds))
        };
        let slewed = self.of(Outcome::Slewed);
        let longest = slewed.iter().map(|found| found.seconds).fold(0.0, f64::max);
        let slewed = match slewed.len() {
            0 => "0".to_owned(),
            count => format!("{count} ({})", duration(longest)),
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {slewed} | {} | {} | {} |",
            self.class.name(),
            match self.profile {
                Profile::Standard => "standard",
                Profile::Strict => "strict",
            },
            self.found.len(),
            times.len(),
            part(0.5),
            part(0.95),
            part(1.0),
            self.of(Outcome::Operator).len(),
            self.of(Outcome::Explained).len(),
            self.of(Outcome::Unsaid).len(),
        )
    }

    /// The worlds that did not come right and of which nothing says so.
    pub fn unsaid(&self) -> Vec<&Found> {
        self.of(Outcome::Unsaid)
    }

    /// The world that took longest to come right.
    pub fn slowest(&self) -> Option<&Found> {
        self.of(Outcome::Right).into_iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))
    }
}

/// The states that did not come right within the horizon, a paragraph for each sentence that the administrator reads.
pub fn needs(rows: &[Row]) -> String {
    let mut kinds: BTreeMap<(Outcome, String), (usize, &Found)> = BTreeMap::new();
    for found in rows.iter().flat_map(|row| &row.found).filter(|found| found.outcome > Outcome::Right) {
        let one = kinds.entry((found.outcome, kind(&found.sentence))).or_insert((0, found));
        one.0 += 1;
    }
    let mut text = String::new();
    for ((outcome, _), (count, found)) in kinds {
        let profile = if found.case.profile == Profile::Strict { "strict" } else { "standard" };
        let word = match outcome {
            Outcome::Right => "right",
            Outcome::Slewed => "slewed for longer than the horizon",
            Outcome::Operator => "an operator is needed",
            Outcome::Explained => "not right within the horizon",
            Outcome::Unsaid => "NOT SAID",
        };
        text += &format!(
            "{count} x {word}: \"{}\"\n    last line of the log: \"{}\"\n    for example ({profile}, {:+.3} s off at the end): {}\n",
            found.sentence,
            found.last_line,
            found.error,
            found.case.describe()
        );
    }
    text
}
