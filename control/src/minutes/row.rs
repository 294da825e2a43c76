//! An hour, or a minute, in brief.

use crate::text::{UNKNOWN, seconds};
use ipc::calendar::Rfc3339;
use ipc::history::Minute;
use ipc::text::escape;
use ipc::units::{Span, WallTime};
use std::collections::BTreeSet;
use std::fmt;

/// Above the rows.
pub const HEAD: &str = "BEGIN                 MINUTES  SYNCHRONISED  LARGEST OFFSET  BOUND       LIKELY      USED  NTS  SOURCES\n";

/// The most sources that a line names.
const SHOWN: usize = 8;

/// One record, or those of an hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The steered clock at its beginning.
    pub begin: WallTime,
    /// At its end.
    pub end: WallTime,
    /// Records of minutes in it.
    pub minutes: u32,
    /// Those in which the clock was synchronised all the time.
    pub synchronised: u32,
    /// Those of which something is not known, or in which the clock stood still.
    pub gaps: u32,
    /// Corrections rested on authenticated sources alone, all the time.
    pub authenticated: bool,
    /// True time was limited by signed answers, all the time.
    pub signed: bool,
    /// Least and largest offset in ns (positive: the clock was behind); none: never known.
    pub offset: Option<(i64, i64)>,
    /// The largest in ns; none: at some time there was none.
    pub bound: Option<u64>,
    /// The largest in ns; none: at some time nothing was likely.
    pub likely: Option<u64>,
    /// Base frequency at the end, in ppm.
    pub frequency: Option<f64>,
    /// Sum of the steps in ns (positive: forward).
    pub steps: i64,
    /// Minutes with a step.
    pub stepped: u32,
    /// The smallest number of sources that were used at a time.
    pub used_at_least: u8,
    /// Of authenticated ones among them.
    pub authenticated_at_least: u8,
    /// Stratum at the end.
    pub stratum: u8,
    /// Sources that were used at any time; one whose name is not known by its number.
    pub used: BTreeSet<String>,
    /// Falsetickers at any time.
    pub falsetickers: BTreeSet<String>,
}

impl Row {
    /// Of one minute that ended then.
    pub fn of(
        minute: &Minute,
        end: WallTime,
        used: BTreeSet<String>,
        falsetickers: BTreeSet<String>,
    ) -> Self {
        Self {
            begin: begin_of(minute, end),
            end,
            minutes: 1,
            synchronised: u32::from(minute.synchronised),
            gaps: u32::from(minute.gap),
            authenticated: minute.authenticated,
            signed: minute.signed,
            offset: minute.offset,
            bound: minute.bound,
            likely: minute.likely,
            frequency: minute.frequency.map(|frequency| f64::from(frequency.scaled()) / 65_536.0),
            steps: minute.steps,
            stepped: u32::from(minute.stepped || minute.stepped_by_another),
            used_at_least: minute.used_at_least,
            authenticated_at_least: minute.authenticated_at_least,
            stratum: minute.stratum,
            used,
            falsetickers,
        }
    }

    /// With what follows it.
    pub fn and(mut self, next: Self) -> Self {
        let worst = |one: Option<u64>, other: Option<u64>| one.zip(other).map(|(one, other)| one.max(other));
        self.end = next.end;
        self.minutes += next.minutes;
        self.synchronised += next.synchronised;
        self.gaps += next.gaps;
        self.authenticated &= next.authenticated;
        self.signed &= next.signed;
        self.offset = match (self.offset, next.offset) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (one, other) => one.or(other),
        };
        self.bound = worst(self.bound, next.bound);
        self.likely = worst(self.likely, next.likely);
        self.frequency = next.frequency;
        self.steps = self.steps.saturating_add(next.steps);
        self.stepped += next.stepped;
        self.used_at_least = self.used_at_least.min(next.used_at_least);
        self.authenticated_at_least = self.authenticated_at_least.min(next.authenticated_at_least);
        self.stratum = next.stratum;
        self.used.extend(next.used);
        self.falsetickers.extend(next.falsetickers);
        self
    }

    /// Octets of all names in it.
    pub fn octets_of_names(&self) -> usize {
        self.used.iter().chain(&self.falsetickers).map(String::len).sum()
    }

    /// The offset that is farthest from zero, in seconds.
    pub fn largest_offset(&self) -> Option<f64> {
        let (least, largest) = self.offset?;
        let farthest = if least.unsigned_abs() > largest.unsigned_abs() { least } else { largest };
        Some(farthest as f64 / 1e9)
    }
}

/// The steered clock at the beginning of a minute that ended then.
pub fn begin_of(minute: &Minute, end: WallTime) -> WallTime {
    end.before(Span::from_millis(i64::from(minute.length_ms)))
}

/// Without fractions of a second.
pub fn moment(wall: WallTime) -> String {
    let text = Rfc3339(wall).to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(second, _)| format!("{second}Z"))
}

/// In seconds.
pub fn limit(nanos: Option<u64>) -> Option<f64> {
    nanos.map(|nanos| nanos as f64 / 1e9)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let synchronised = match self.synchronised {
            0 => "no".to_owned(),
            all if all == self.minutes => "yes".to_owned(),
            some => format!("in {some}"),
        };
        let names = |names: &BTreeSet<String>| {
            let first = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            match names.len().saturating_sub(SHOWN) {
                0 => escape(&first),
                more => format!("{} and {more} more", escape(&first)),
            }
        };
        let used = if self.used.is_empty() { UNKNOWN.to_owned() } else { names(&self.used) };
        write!(
            f,
            "{}  {:<7}  {synchronised:<12}  {:<14}  {:<10}  {:<10}  {:<4}  {:<3}  {used}",
            moment(self.begin),
            self.minutes,
            seconds(self.largest_offset(), true),
            seconds(limit(self.bound), false),
            seconds(limit(self.likely), false),
            self.used_at_least,
            self.authenticated_at_least,
        )?;
        if !self.falsetickers.is_empty() {
            write!(f, "; falsetickers: {}", names(&self.falsetickers))?;
        }
        if self.steps != 0 || self.stepped > 0 {
            write!(f, "; stepped {}", seconds(Some(self.steps as f64 / 1e9), true))?;
        }
        if self.gaps > 0 {
            write!(f, "; gaps in {}", self.gaps)?;
        }
        if self.signed {
            write!(f, "; limited by signed answers")?;
        }
        Ok(())
    }
}
