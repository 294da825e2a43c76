//! One line for each event: severity, text, nothing from outside unescaped, nothing repeated without end.
//!
//! Lines go to the journal, where standard error is connected to it: by its own protocol, with the fields of the event, and
//! where its socket does not take them by standard error, with a severity prefix. Otherwise they go to standard error or to
//! the syslog socket.
//! Writing never blocks: a line that cannot be written at once is lost and counted. `limiter` describes which lines are
//! held back and how they are summarised.

use engine_core::notice::{Notice, Weight};
use ipc::text::escape;
use ipc::units::RawInstant;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::write;
use policies::inherited::{InheritError, Inherited};
use sentence::{Field, Sentence, fields};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

mod event;
mod limiter;

pub use event::{Event, Line};
use limiter::Limiter;

/// As in syslog (RFC 5424 section 6.2.1); smaller is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(u8);

impl Severity {
    /// Something has ended, or does not work.
    pub const ERROR: Self = Self(3);
    /// Something will not work, or looks like an attack.
    pub const WARNING: Self = Self(4);
    /// Significant, but normal.
    pub const NOTICE: Self = Self(5);
    /// Ordinary.
    pub const INFO: Self = Self(6);

    /// What only a search for a fault needs.
    pub const DEBUG: Self = Self(7);

    const NAMES: [(&str, Self); 5] = [
        ("error", Self::ERROR),
        ("warning", Self::WARNING),
        ("notice", Self::NOTICE),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
    ];

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, severity)| severity)
    }

    /// Its name; of one worse than an error that of an error.
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, known)| *known >= self).map_or("debug", |(name, _)| name)
    }

    /// From the number of syslog; above 7 counts as 7.
    pub const fn from_number(number: u8) -> Self {
        Self(if number > 7 { 7 } else { number })
    }
}

/// The longest line in characters; what is longer is cut and ends in `…`.
const MAX_LINE: usize = 800;

/// Where lines go.
pub struct Log {
    sink: Sink,
    limiter: Limiter,
    /// What is less severe than this is not written.
    level: Severity,
    lost: u64,
}

enum Sink {
    Plain,
    Journal(Option<UnixDatagram>),
    Syslog(Box<Logger<LoggerBackend, Formatter3164>>),
    #[cfg(test)]
    Kept(Vec<(Severity, String)>),
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
            None if words.flag("journal") => {
                Sink::Journal(words.optional_fd("journal-socket")?.map(UnixDatagram::from))
            }
            None => Sink::Plain,
        };
        Ok(Self::to(sink))
    }

    fn to(sink: Sink) -> Self {
        Self { sink, limiter: Limiter::new(), level: Severity::INFO, lost: 0 }
    }

    /// What is written from now on: lines of this severity, and of a worse one. The change itself is told in any case.
    pub fn set_level(&mut self, now: RawInstant, level: Severity) {
        self.level = self.level.max(Severity::NOTICE);
        let text =
            format!("the log has lines of severity {} and worse from now on, until a restart", level.name());
        self.settle(now);
        self.write(Severity::NOTICE, Event::LogLevel.says(&text));
        self.level = level.max(Severity::ERROR);
    }

    /// Whether lines are written that only a search for a fault needs.
    pub fn is_verbose(&self) -> bool {
        self.level >= Severity::DEBUG
    }

    /// Writes a line that only a search for a fault needs: many, but not without bound, and none takes the place of another.
    pub fn write_verbose(&mut self, now: RawInstant, text: &str) {
        if self.is_verbose() && self.limiter.admits_verbose(now) {
            self.write(Severity::DEBUG, text);
        }
    }

    /// Writes one line now, whatever was written before.
    pub fn write<'t>(&mut self, severity: Severity, line: impl Into<Line<'t>>) {
        let line = line.into();
        self.write_with(severity, line.text, &line.fields());
    }

    fn write_with(&mut self, severity: Severity, text: &str, fields: &[Field]) {
        if severity > self.level {
            return;
        }
        let text = clip(escape(text));
        let Severity(number) = severity;
        let taken = match &mut self.sink {
            Sink::Plain => write_to_stderr(&format!("truechimer-engine: {text}\n")),
            Sink::Journal(socket) => {
                let entry = entry(number, &text, fields);
                socket.as_ref().is_some_and(|socket| socket.send(&entry).is_ok())
                    || write_to_stderr(&format!("<{number}>{text}\n"))
            }
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

    /// Writes one line unlimited to standard error, for the user who just started the daemon, and also to the syslog if
    /// that is the log.
    pub fn write_for_person<'t>(&mut self, severity: Severity, line: impl Into<Line<'t>>) {
        let line = line.into();
        match self.sink {
            Sink::Plain | Sink::Syslog(_) => {
                write_to_stderr(&format!("{}\n", escape(line.text)));
            }
            _ => {}
        }
        if !matches!(self.sink, Sink::Plain) {
            self.write(severity, line);
        }
    }

    /// Writes an event of the engine, subject to the limits of its weight.
    pub fn tell(&mut self, now: RawInstant, notice: &Notice) {
        let severity = Severity::from_number(notice.severity());
        self.admit(now, severity, (&notice.sentence(), &fields(notice)), notice.weight());
    }

    /// Writes a line that an administrator needs, in its place: a step, a change of state, a refusal. Held back
    /// only in a flood ([`limiter`]).
    pub fn write_change<'t>(&mut self, now: RawInstant, severity: Severity, line: impl Into<Line<'t>>) {
        let line = line.into();
        self.admit(now, severity, (line.text, &line.fields()), Weight::Change);
    }

    /// Writes a line, but of each kind at most one a minute; the others are counted, and one line says how many.
    pub fn write_limited<'t>(&mut self, now: RawInstant, severity: Severity, line: impl Into<Line<'t>>) {
        let line = line.into();
        self.admit(now, severity, (line.text, &line.fields()), Weight::Line);
    }

    /// The same of a fault that is found again and again while it lasts: ever more rarely, and at last once in an hour.
    pub fn write_fault<'t>(&mut self, now: RawInstant, severity: Severity, line: impl Into<Line<'t>>) {
        let line = line.into();
        self.admit(now, severity, (line.text, &line.fields()), Weight::Fault);
    }

    /// Writes a line of this weight, unless it is held back; what is not to be written displaces no other.
    fn admit(
        &mut self,
        now: RawInstant,
        severity: Severity,
        (text, fields): (&str, &[Field]),
        weight: Weight,
    ) {
        if severity > self.level {
            return;
        }
        self.settle(now);
        if self.limiter.admits(now, severity, text, weight) {
            self.write_with(severity, text, fields);
        }
        self.write_told();
    }

    /// Writes due summaries of held-back lines; to be called occasionally (it requests no wake-up itself).
    pub fn settle(&mut self, now: RawInstant) {
        self.limiter.settle(now);
        self.write_told();
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            let lines = if lost == 1 { "1 log line was" } else { &format!("{lost} log lines were") };
            // If this one is lost too, `lost` counts it, and the next call says one more.
            let text = format!("{lines} lost: their reader was too slow");
            self.write(Severity::WARNING, Event::LogLost.says(&text));
        }
    }

    /// Says all that was held back: nothing comes after it.
    pub fn finish(&mut self, now: RawInstant) {
        self.limiter.finish(now);
        self.settle(now);
    }

    fn write_told(&mut self) {
        for (severity, line) in self.limiter.told() {
            self.write(severity, &line);
        }
    }

    /// What was written.
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
        Self::to(Sink::Kept(Vec::new()))
    }
}

/// An entry as the journal takes it over its socket (systemd's "Native Journal Protocol"): each field a line.
fn entry(severity: u8, text: &str, fields: &[Field]) -> Vec<u8> {
    let mut entry = format!("PRIORITY={severity}\nSYSLOG_IDENTIFIER=truechimer-engine\nMESSAGE={text}\n");
    for (name, value) in fields {
        // A value with a line end would need another form; escaped it has none.
        entry.push_str(&format!("{name}={}\n", clip(escape(value))));
    }
    entry.into_bytes()
}

/// Writes to standard error without blocking; false if the line cannot be written now.
pub fn write_to_stderr(line: &str) -> bool {
    let stderr = std::io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let can_take = matches!(ppoll(&mut ready, Some(TimeSpec::new(0, 0)), None), Ok(1));
    can_take && write(&stderr, line.as_bytes()).is_ok()
}

fn clip(text: String) -> String {
    match text.char_indices().nth(MAX_LINE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or("")),
        None => text,
    }
}

#[cfg(test)]
mod tests;
