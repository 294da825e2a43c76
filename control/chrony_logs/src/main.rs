//! truechimer-chrony-logs: what truechimer measures, in the files and the format of chronyd's `log` directive.
//!
//! ```text
//!   main       the command line; asks, writes, waits
//!   daemon     what the daemon has measured since the last question
//!   line       a line of each file
//!   number     its numbers and times
//!   log_file   a file: whole lines, banner, size, a full disk
//!   folder     opens files and follows no links
//!   position   how far has been written, over restarts of either
//! ```
//!
//! A process of its own without any privilege: it opens the control socket as chimerctl does, and changes nothing there. It asks
//! shortly after a reply is due, and each eight seconds; the daemon keeps the last sixteen measurements of each source, and
//! corrections, more than it makes in that time. What the daemon says is not trusted: bounded in size and time by
//! `control_socket`, and no text of it but addresses, judged as such, reaches a file.
#![forbid(unsafe_code)]

mod daemon;
mod folder;
mod line;
mod log_file;
mod number;
mod position;

use clap::Parser;
use control_socket::AskError;
use daemon::{Daemon, News};
use folder::Folder;
use ipc::text::escape;
use log_file::{Form, LogFile};
use position::{Position, Written};
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Between two answers of which the first did not have all, and so many of them before the next question waits for longer.
const PAUSE: Duration = Duration::from_millis(20);
const IN_A_ROW: u32 = 32;

/// A reply to the next query is there so long after it.
const REPLIED: Duration = Duration::from_secs(1);

/// Between two questions, at least and at most. Whatever was to come next may be overtaken: a daemon starts anew, a source goes
/// online, an operator asks for a burst. In the longest time a source that is asked each second, after a burst, fills what is kept
/// of it and no more.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);

/// The same while the daemon does not answer.
const AWAY: Duration = Duration::from_secs(2);

/// The least that `--most` may be: a banner and a line fit.
const LEAST: u64 = 4096;

#[derive(Parser)]
#[command(
    name = "truechimer-chrony-logs",
    version,
    about = "Writes measurements.log, statistics.log and tracking.log in the format of chronyd"
)]
struct Cli {
    /// The daemon's control socket
    #[arg(long, value_name = "PATH", default_value = "/run/truechimer/control.sock")]
    socket: PathBuf,
    /// The folder of the files
    #[arg(long, value_name = "PATH", default_value = "/var/log/truechimer")]
    folder: PathBuf,
    /// Which of them
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "measurements,statistics,tracking"
    )]
    files: Vec<Name>,
    /// Replies that failed a packet test too (`log rawmeasurements`)
    #[arg(long)]
    raw: bool,
    /// Lines between two banners; 0: no banner
    #[arg(long, value_name = "LINES", default_value_t = 32)]
    banner: u32,
    /// The most octets of a file, with K, M or G; a fuller one becomes NAME.log.old
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    most: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    Measurements,
    Statistics,
    Tracking,
}

/// A number of octets.
fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&text[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let octets = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    octets
        .filter(|octets| *octets >= LEAST)
        .ok_or_else(|| format!("a size of at least {LEAST} is expected, as 64M"))
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match Folder::open(&cli.folder) {
        Ok(folder) => Writer::new(&cli, folder).run(),
        Err(error) => {
            say(&format!("{}: {error}; make it, or name another one with --folder", cli.folder.display()));
            ExitCode::FAILURE
        }
    }
}

fn say(what: &str) {
    // Also what an engine says.
    let what: String = escape(what).chars().take(300).collect();
    eprintln!("truechimer-chrony-logs: {what}");
}

/// All that it has.
struct Writer {
    daemon: Daemon,
    folder: Folder,
    raw: bool,
    measurements: Option<LogFile>,
    statistics: Option<LogFile>,
    tracking: Option<LogFile>,
    position: Position,
    position_file: Option<File>,
    /// What was there when it began, until all that the daemon had then is dealt with.
    written: Option<Written>,
    /// Why the daemon does not answer, and why the position is not kept, as they were said last.
    away: Option<String>,
    unkept: Option<String>,
    /// Answers one after the other that did not have all.
    in_a_row: u32,
}

impl Writer {
    fn new(cli: &Cli, folder: Folder) -> Self {
        let form = Form { banner: cli.banner, most: cli.most };
        let file = |which, name, banner| cli.files.contains(&which).then(|| LogFile::new(name, banner, form));
        Self {
            daemon: Daemon { socket: cli.socket.clone() },
            raw: cli.raw,
            measurements: file(Name::Measurements, "measurements", line::MEASUREMENTS),
            statistics: file(Name::Statistics, "statistics", line::STATISTICS),
            tracking: file(Name::Tracking, "tracking", line::TRACKING),
            position: Position::read(&folder).unwrap_or_default(),
            position_file: None,
            written: Some(Written::read(&folder)),
            away: None,
            unkept: None,
            in_a_row: 0,
            folder,
        }
    }

    /// Asks and writes for ever.
    fn run(mut self) -> ! {
        loop {
            let turn = self.turn();
            let trouble = turn.as_ref().err().map(ToString::to_string);
            if trouble != self.away {
                say(trouble.as_deref().unwrap_or("the daemon answers again"));
                self.away = trouble;
            }
            std::thread::sleep(turn.unwrap_or(AWAY));
        }
    }

    /// One question, and what follows from it; how long to wait for the next one.
    fn turn(&mut self) -> Result<Duration, AskError> {
        let news = self.daemon.news(&self.position)?;
        self.tell_what_is_missing(&news);
        for it in &news.measured {
            if let Some(line) = line::measurement(it, self.raw) {
                let is_there = self.written.as_mut().is_some_and(|written| written.has_measurement(&line));
                if !is_there {
                    write(&mut self.measurements, &self.folder, &line);
                }
            }
            if let Some(line) = line::statistics(it) {
                self.write_other("statistics", &line);
            }
        }
        for line in news.corrections.iter().filter_map(line::tracking) {
            self.write_other("tracking", &line);
        }
        if news.position != self.position {
            self.position = news.position;
            self.keep_position();
        }
        if news.has_more {
            // An engine that always has more is not asked without end.
            self.in_a_row = self.in_a_row.saturating_add(1);
            return Ok(if self.in_a_row < IN_A_ROW { PAUSE } else { AWAY });
        }
        self.in_a_row = 0;
        self.written = None;
        Ok(wait(news.next_query))
    }

    fn tell_what_is_missing(&self, news: &News) {
        if self.position.run.is_empty() {
            return;
        }
        if news.position.run != self.position.run {
            let last = self.position.number;
            say(&format!(
                "the daemon has started anew; what it measured after number {last} of its last run, if anything, is lost"
            ));
        }
        if news.lost > 0 {
            let lost = news.lost;
            say(&format!(
                "{lost} measurements or corrections are lost: they were no longer kept, or their source was removed"
            ));
        }
    }

    /// Writes a line that is no measurement, if it was not there at the start.
    fn write_other(&mut self, name: &'static str, line: &str) {
        if self.written.as_ref().is_some_and(|written| written.has_other(name, line)) {
            return;
        }
        let file = if name == "tracking" { &mut self.tracking } else { &mut self.statistics };
        write(file, &self.folder, line);
    }

    fn keep_position(&mut self) {
        let kept = self.position.keep(&self.folder, &mut self.position_file);
        let trouble = kept.err().map(|error| format!("the position cannot be kept: {error}"));
        if trouble != self.unkept {
            say(trouble.as_deref().unwrap_or("the position is kept again"));
            self.unkept = trouble;
        }
    }
}

/// How long to wait for the next question, if the next query leaves in so many seconds.
fn wait(next_query: Option<f64>) -> Duration {
    let next = next_query.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
    next.map_or(LONGEST, |next| next.saturating_add(REPLIED)).clamp(SHORTEST, LONGEST)
}

/// Writes a line of a file that is wanted, and says what there is to say about it.
fn write(file: &mut Option<LogFile>, folder: &Folder, line: &str) {
    if let Some(said) = file.as_mut().and_then(|file| file.write(folder, line)) {
        say(&said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_comes_a_second_after_the_next_query_or_after_eight_seconds() {
        for (next, wanted) in [
            (Some(0.25), 1.25),
            (Some(-7.0), 1.0),
            (Some(5.0), 6.0),
            (Some(64.0), 8.0),
            (Some(1e300), 8.0),
            (Some(f64::NAN), 1.0),
            (None, 8.0),
        ] {
            assert_eq!(wait(next), Duration::from_secs_f64(wanted), "{next:?}");
        }
    }

    #[test]
    fn sizes_have_units_and_a_least() {
        for (text, octets) in [("4096", 4096), ("4K", 4096), ("64M", 64 << 20), ("2g", 2 << 30)] {
            assert_eq!(size(text), Ok(octets));
        }
        for wrong in ["", "M", "4095", "-1", "1T", "99999999999G", "64MB", "4\u{fc}"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
