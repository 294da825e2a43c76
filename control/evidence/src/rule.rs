//! What a rule is: data. How its sentences are computed is [`crate::judge`]'s.

use ipc::units::Span;

/// A rule that somebody must show to meet.
#[derive(Debug)]
pub struct Rule {
    /// On the command line.
    pub name: &'static str,
    /// What it is called by those who made it.
    pub title: &'static str,
    /// Which edition the numbers of its sections are of, and what is not sure of them.
    pub edition: &'static str,
    /// How far the clock may be from UTC.
    pub limit: Limit,
    /// What it asks.
    pub sentences: &'static [Sentence],
    /// What no history shows of it, beyond what none shows of any rule.
    pub silent: &'static [&'static str],
}

/// How far the clock may be from UTC by a rule.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// This, unless a smaller one is named: the rule's own largest.
    AtMost(Span),
    /// Whoever follows the rule decides it; otherwise this.
    Chosen(Span),
    /// One for each type of activity, of which one is named.
    ByActivity(&'static [Activity]),
}

/// A type of activity, with its limit.
#[derive(Debug)]
pub struct Activity {
    /// On the command line.
    pub name: &'static str,
    /// In words.
    pub means: &'static str,
    /// How far the clock may be from UTC.
    pub limit: Span,
}

/// One thing that a rule asks.
#[derive(Debug)]
pub struct Sentence {
    /// Its place in the rule.
    pub section: &'static str,
    /// In our words.
    pub asks: &'static str,
    /// How it is computed.
    pub test: Test,
}

/// How a sentence is computed from the minutes of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// In each minute the clock is within the report's limit of UTC.
    Within,
    /// In each minute the clock is synchronised.
    Synchronised,
    /// The clock is compared with a source at least once in this time.
    Compared(Span),
    /// A difference from UTC above this does not last longer than [`CORRECTED_IN`].
    Corrected(Span),
    /// In each minute all that the clock follows is authenticated.
    Authenticated,
    /// In each minute at least so many sources are used.
    Sources(u8),
    /// In each minute no source is used that is not named as authorised.
    Authorised,
    /// Somebody looked at the clock in each minute, and wrote down what was wrong.
    Watched,
    /// Each adjustment of at least this is recorded with its time and size.
    Steps(Span),
    /// No other program sets the clock.
    NobodyElse,
    /// A leap second is inserted in the last minute of its day, and the clock is right around it.
    Leap,
    /// Each start of the daemon, and each one that was not expected, is recorded.
    Starts,
    /// Each change of the configuration is recorded.
    Configured,
    /// A history does not show it: why, or what does.
    Elsewhere(&'static str),
}

/// A difference that lasts longer than this was not corrected.
pub const CORRECTED_IN: Span = Span::from_secs(3_600);

/// A day.
pub const DAY: Span = Span::from_secs(86_400);

impl Rule {
    /// The limit of the report, for what was asked for on the command line.
    ///
    /// # Errors
    /// What is missing or too much, in a sentence that names the option.
    pub fn limit(&self, named: Option<Span>, activity: Option<&str>) -> Result<Span, String> {
        let name = self.name;
        let positive = |limit: Span| match limit.nanos() > 0 {
            true => Ok(limit),
            false => Err("--limit: a length of time above 0 is needed".to_owned()),
        };
        if let (Limit::AtMost(_) | Limit::Chosen(_), Some(_)) = (self.limit, activity) {
            return Err(format!("{name} has no types of activity; leave --activity out"));
        }
        match (self.limit, named) {
            (Limit::AtMost(most), Some(limit)) if limit.nanos() > most.nanos() => {
                let most = crate::figure::length(most.nanos());
                Err(format!("--limit: {name} permits at most {most}"))
            }
            (Limit::AtMost(usual) | Limit::Chosen(usual), named) => positive(named.unwrap_or(usual)),
            (Limit::ByActivity(all), named) => {
                let words = || all.iter().map(|one| one.name).collect::<Vec<_>>().join(", ");
                let asked = activity.ok_or_else(|| {
                    format!(
                        "{name} has a limit for each type of activity; name it with --activity: {}",
                        words()
                    )
                })?;
                let found = all.iter().find(|one| one.name == asked);
                let found =
                    found.ok_or_else(|| format!("--activity: {name} has no {asked}; it has {}", words()))?;
                match named {
                    Some(limit) if limit.nanos() > found.limit.nanos() => {
                        let most = crate::figure::length(found.limit.nanos());
                        Err(format!("--limit: {name} permits at most {most} for {asked}"))
                    }
                    named => positive(named.unwrap_or(found.limit)),
                }
            }
        }
    }
}
