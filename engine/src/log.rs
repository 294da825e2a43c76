//! One line for each event: severity, text, nothing from outside unescaped, nothing repeated without end.
//!
//! Lines go to standard error (with a severity prefix where the journal reads it) or to the syslog socket.
//! Writing never waits: a line that can't be taken now is lost and counted.

use ipc::units::{RawInstant, Span};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::write;
use policies::inherited::{InheritError, Inherited};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

/// As in syslog (RFC 5424 section 6.2.1); smaller is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(u8);

impl Severity {
    /// Something ended, or doesn't work.
    pub const ERROR: Self = Self(3);
    /// Something will not work, or looks like an attack.
    pub const WARNING: Self = Self(4);
    /// Worth knowing a year later.
    pub const NOTICE: Self = Self(5);
    /// Ordinary.
    pub const INFO: Self = Self(6);

    /// From the number of syslog; above 7 counts as 7.
    pub const fn from_number(number: u8) -> Self {
        Self(if number > 7 { 7 } else { number })
    }
}

/// The longest line in characters; what is longer is cut and ends in `…`.
const MAX_LINE: usize = 800;

/// Lines of one kind are this far apart; what comes between is counted.
const QUIET: Span = Span::from_secs(60);

/// Kinds that are remembered; beyond it the one that was silent longest is forgotten.
const MAX_KINDS: usize = 64;

/// Where lines go.
pub struct Log {
    sink: Sink,
    kinds: Vec<Kind>,
    lost: u64,
}

enum Sink {
    Plain,
    Journal,
    Syslog(Box<Logger<LoggerBackend, Formatter3164>>),
    #[cfg(test)]
    Kept(Vec<(Severity, String)>),
}

/// Lines that differ only in their numbers.
struct Kind {
    pattern: String,
    severity: Severity,
    printed: RawInstant,
    held_back: u64,
    last: String,
}

impl Log {
    /// As the words `journal` and `syslog=FD` say.
    ///
    /// # Errors
    /// A `syslog` word that names no descriptor.
    pub fn from_words(words: &Inherited) -> Result<Self, InheritError> {
        let sink = match words.optional_fd("syslog")? {
            Some(fd) => Sink::Syslog(Box::new(Logger::new(
                LoggerBackend::Unix(UnixDatagram::from(fd)),
                Formatter3164 {
                    facility: Facility::LOG_DAEMON,
                    hostname: None,
                    process: "truechimer-engine".to_owned(),
                    pid: std::process::id(),
                },
            ))),
            None if words.flag("journal") => Sink::Journal,
            None => Sink::Plain,
        };
        Ok(Self { sink, kinds: Vec::new(), lost: 0 })
    }

    /// Writes one line now, whatever was written before.
    pub fn write(&mut self, severity: Severity, text: &str) {
        let text = clip(escape(text));
        let Severity(number) = severity;
        let taken = match &mut self.sink {
            Sink::Plain => write_to_stderr(&format!("truechimer-engine: {text}\n")),
            Sink::Journal => write_to_stderr(&format!("<{number}>{text}\n")),
            Sink::Syslog(logger) => match number {
                0..=3 => logger.err(&text),
                4 => logger.warning(&text),
                5 => logger.notice(&text),
                6 => logger.info(&text),
                _ => logger.debug(&text),
            }
            .is_ok(),
            #[cfg(test)]
            Sink::Kept(lines) => {
                lines.push((severity, text));
                true
            }
        };
        if !taken {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Writes one line as it is to standard error, for whoever just started the daemon, and to the syslog too
    /// where that is the log.
    pub fn write_for_person(&mut self, severity: Severity, line: &str) {
        match self.sink {
            Sink::Plain | Sink::Syslog(_) => {
                write_to_stderr(&format!("{}\n", escape(line)));
            }
            _ => {}
        }
        if !matches!(self.sink, Sink::Plain) {
            self.write(severity, line);
        }
    }

    /// Writes a line, but of each kind at most one a minute; the others are counted, and the next one says
    /// how many.
    pub fn write_limited(&mut self, now: RawInstant, severity: Severity, text: &str) {
        let pattern = pattern(text);
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.pattern == pattern) {
            if now.since(kind.printed).nanos() < QUIET.nanos() {
                kind.held_back = kind.held_back.saturating_add(1);
                kind.severity = kind.severity.min(severity);
                kind.last.clear();
                kind.last.push_str(text);
                return;
            }
            let held_back = std::mem::take(&mut kind.held_back);
            kind.printed = now;
            match held_back {
                0 => self.write(severity, text),
                more => self.write(severity, &format!("{text} (and {more} more like this before)")),
            }
            return;
        }
        if self.kinds.len() >= MAX_KINDS {
            let oldest = self.kinds.iter().enumerate().min_by_key(|(_, kind)| kind.printed);
            if let Some((place, _)) = oldest {
                self.kinds.swap_remove(place);
            }
        }
        self.kinds.push(Kind { pattern, severity, printed: now, held_back: 0, last: String::new() });
        self.write(severity, text);
    }

    /// Says what was held back and is over; to be called now and then (it asks for no wake-up of its own).
    pub fn settle(&mut self, now: RawInstant) {
        let mut lines = Vec::new();
        for kind in &mut self.kinds {
            if kind.held_back > 0 && now.since(kind.printed).nanos() >= QUIET.nanos() {
                let more = std::mem::take(&mut kind.held_back).saturating_sub(1);
                kind.printed = now;
                let text = std::mem::take(&mut kind.last);
                lines.push((
                    kind.severity,
                    if more == 0 { text } else { format!("{text} (and {more} more like this before)") },
                ));
            }
        }
        for (severity, text) in lines {
            self.write(severity, &text);
        }
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            // If this one is lost too, `lost` counts it, and the next call says one more.
            self.write(Severity::WARNING, &format!("{lost} log lines were lost: their reader was too slow"));
        }
    }

    /// Lines with numbers that differ are still of one kind.
    #[cfg(test)]
    fn lines(&self) -> Vec<&str> {
        match &self.sink {
            Sink::Kept(lines) => lines.iter().map(|(_, text)| text.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// A log that keeps its lines.
    #[cfg(test)]
    pub fn kept() -> Self {
        Self { sink: Sink::Kept(Vec::new()), kinds: Vec::new(), lost: 0 }
    }
}

/// Writes to standard error without waiting for its reader; false where it can't take the line now.
pub fn write_to_stderr(line: &str) -> bool {
    let stderr = std::io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let can_take = matches!(ppoll(&mut ready, Some(TimeSpec::new(0, 0)), None), Ok(1));
    can_take && write(&stderr, line.as_bytes()).is_ok()
}

/// One line of printable characters: control characters, line ends, invisible and direction-changing
/// characters stand as escapes (A152).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => escaped.push(character),
            // A line ends a fault, and each is escaped by itself; everything else goes through escape_debug,
            // which lets only printable characters pass.
            _ => escaped.extend(character.escape_debug()),
        }
    }
    escaped
}

fn clip(text: String) -> String {
    match text.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or("")),
        None => text,
    }
}

/// The text without its numbers. Names and addresses stay: what is said of two sources is of two kinds.
fn pattern(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let bare = word.trim_matches(|character: char| !character.is_alphanumeric());
        if bare.parse::<f64>().is_ok() { "#" } else { word }
    });
    words.take(40).collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> RawInstant {
        RawInstant::try_new(seconds * 1_000_000_000).unwrap()
    }

    #[test]
    fn a152_nothing_that_moves_a_terminal_or_starts_a_line_passes() {
        let hostile = "a\nb\r\x1b[2Jc\0d\u{202e}e\u{200b}f\u{9b}g\u{7f}\u{2028}";
        let escaped = escape(hostile);
        assert!(escaped.chars().all(|character| character.is_ascii_graphic()), "{escaped}");
        assert_eq!(escape("ntp.example.org \"ü\" 'x' µs"), "ntp.example.org \"ü\" 'x' µs");
    }

    #[test]
    fn a152_a_line_has_an_end() {
        let mut log = Log::kept();
        log.write(Severity::INFO, &"x".repeat(100_000));
        assert_eq!(log.lines()[0].chars().count(), MAX_LINE + 1);
    }

    #[test]
    fn a095_a_hundred_thousand_lines_of_a_kind_are_one_a_minute_with_a_count() {
        let mut log = Log::kept();
        for number in 0..100_000 {
            log.write_limited(at(1), Severity::WARNING, &format!("reply {number} thrown away"));
        }
        assert_eq!(log.lines(), ["reply 0 thrown away"]);
        log.write_limited(at(62), Severity::WARNING, "reply 7 thrown away");
        assert_eq!(log.lines()[1], "reply 7 thrown away (and 99999 more like this before)");
    }

    #[test]
    fn what_is_said_of_two_sources_is_said_of_both() {
        let mut log = Log::kept();
        for source in ["192.0.2.1", "192.0.2.2", "ntp1.example.org", "ntp2.example.org"] {
            log.write_limited(at(1), Severity::INFO, &format!("source {source} (192.0.2.1:123) is heard"));
        }
        assert_eq!(log.lines().len(), 4);
        for offset in ["+0.001", "-0.2", "17"] {
            log.write_limited(at(1), Severity::INFO, &format!("the clock was stepped by {offset} s"));
        }
        assert_eq!(log.lines().len(), 5);
    }

    #[test]
    fn what_was_held_back_is_said_when_it_is_over() {
        let mut log = Log::kept();
        for number in 0..4 {
            log.write_limited(at(1), Severity::WARNING, &format!("refusal {number}"));
        }
        log.settle(at(30));
        assert_eq!(log.lines(), ["refusal 0"]);
        log.settle(at(61));
        assert_eq!(log.lines(), ["refusal 0", "refusal 3 (and 2 more like this before)"]);
        log.settle(at(200));
        assert_eq!(log.lines().len(), 2);
    }

    #[test]
    fn lines_of_other_kinds_are_not_held_back_and_kinds_are_bounded() {
        let mut log = Log::kept();
        for kind in 0..1000_u32 {
            let word: String =
                kind.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
            log.write_limited(at(i64::from(kind)), Severity::INFO, &word);
        }
        assert_eq!(log.lines().len(), 1000);
        assert!(log.kinds.len() <= MAX_KINDS);
    }
}
