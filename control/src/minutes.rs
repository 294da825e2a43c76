//! `chimerctl history`: what was true of the clock in each minute, from the file that the engine writes, or a copy of it.
//!
//! ```text
//!   row       an hour, or a minute, in brief
//!   event     what happened: starts, steps, sources that came and went, breaks of the chain
//!   course    the rows and events of a walk, one after the other
//!   document  the same as JSON
//!   picture   the same as an SVG
//! ```

mod course;
mod document;
mod event;
mod picture;
mod row;
#[cfg(test)]
mod tests;

pub use event::hex;

use crate::daemon_paths::Wanted;
use crate::screen::{Form, complain};
use crate::{Failure, exit, file, named};
use command_line::{HistoryArguments, Time};
use course::{Course, Line};
use history::{History, Survey};
use ipc::calendar::Date;
pub use ipc::history::LARGEST;
use ipc::units::{Span, WallTime};
use std::io::{self, Read};
use std::path::Path;

/// How much is shown minute by minute where nothing else is asked for.
const MINUTES: Span = Span::from_secs(86_400);

/// What is shown: from when to when.
#[derive(Clone, Copy, Debug)]
struct Period {
    since: WallTime,
    until: WallTime,
}

/// Reads the file, and shows it.
pub fn show(socket: &Path, asked: &HistoryArguments, form: Form) -> Result<String, Failure> {
    let path = named(asked.file.as_ref(), Wanted::History, socket)?;
    let octets = read(&path)?;
    // Not among the lines, which programs read.
    complain(&format!("read {}", path.display()));
    shown(&path.display().to_string(), &octets, asked, form)
}

fn shown(path: &str, octets: &[u8], asked: &HistoryArguments, form: Form) -> Result<String, Failure> {
    let history = History::read(octets);
    let survey = history.survey();
    if is_foreign(&survey, octets) {
        return Err(unread(Path::new(path), FOREIGN));
    }
    let end = survey.last.map_or(WallTime::MIN, |(_, wall)| wall);
    let period = period(asked, end)?;
    let course = || Course::of(&history, period, asked.minutes);
    if asked.svg {
        return Ok(picture::draw(&history, period));
    }
    if form == Form::Json {
        return document::document(path, &history, &survey, course(), asked.minutes);
    }
    let (mut text, mut named) = (String::new(), Named::default());
    for line in course() {
        let line = match line {
            Line::Row(row) => {
                named.take(&row)?;
                row.to_string()
            }
            Line::Event(event) => event.to_string(),
        };
        text.push_str(line.trim_end());
        text.push('\n');
    }
    match (survey.records, text.is_empty()) {
        (0, _) => text.push_str("the history has no record\n"),
        (_, true) => text.push_str("nothing is known of this time\n"),
        (_, false) => text.insert_str(0, row::HEAD),
    }
    if let Some(finding) = survey.findings.iter().find(|finding| !finding.may_be_a_power_cut()) {
        text.push_str(&format!("warning: {finding}; see chimerctl audit --verify\n"));
    }
    Ok(text)
}

/// What is said of a file that is no history.
pub const FOREIGN: &str = "is no history; name engine.history of the state directory, or a copy of it";

/// Whether there is something in a file, and no record of a history.
pub fn is_foreign(survey: &Survey, octets: &[u8]) -> bool {
    survey.records == 0 && octets.iter().any(|octet| *octet != 0)
}

/// Octets of the names of all rows so far. A file of hostile names would have each of them in each row.
#[derive(Debug, Default)]
struct Named(usize);

impl Named {
    /// The most, which months of minutes of ordinary names do not reach.
    const MOST: usize = 256 << 20;

    fn take(&mut self, row: &row::Row) -> Result<(), Failure> {
        self.0 = self.0.saturating_add(row.octets_of_names());
        if self.0 <= Self::MOST {
            return Ok(());
        }
        let text = "the names of the sources alone take more than 256 MiB: ask for less with --since, --until or without --minutes";
        Err(Failure { text: text.to_owned(), code: exit::UNABLE })
    }
}

fn period(asked: &HistoryArguments, end: WallTime) -> Result<Period, Failure> {
    let usual = if asked.minutes { end.before(MINUTES) } else { WallTime::MIN };
    let since = asked.since.map_or(Ok(usual), |time| moment(time, end))?;
    Ok(Period { since, until: asked.until.map_or(Ok(WallTime::MAX), |time| moment(time, end))? })
}

/// What a time on the command line means, where what is shown ends at `end`.
pub fn moment(time: Time, end: WallTime) -> Result<WallTime, Failure> {
    match time {
        Time::Before(seconds) => Ok(end.before(Span::from_secs(i64::from(seconds)))),
        Time::At(year, month, day, seconds) => {
            let date = Date::try_new(year, month, day).ok_or_else(|| Failure {
                text: format!("{year:04}-{month:02}-{day:02}: there is no such day"),
                code: exit::UNABLE,
            })?;
            let seconds = date.number().saturating_mul(86_400).saturating_add(i64::from(seconds));
            Ok(WallTime::saturating(seconds.saturating_mul(1_000_000_000)))
        }
    }
}

/// The whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let outcome = file::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut octets));
    let remedy = match outcome {
        Ok(length) if length as u64 <= LARGEST => return Ok(octets),
        Ok(_) => return Err(unread(path, "is longer than a history can be; name the history")),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "root reads the history, and who root gives a copy: use sudo"
                }
                io::ErrorKind::NotFound => {
                    "has the daemon run on this host, and is a history kept? Name the file"
                }
                _ => "name the history",
            };
            format!("{error}; {remedy}")
        }
    };
    Err(unread(path, &remedy))
}

fn unread(path: &Path, why: &str) -> Failure {
    Failure { text: format!("{}: {why}", path.display()), code: exit::UNABLE }
}
