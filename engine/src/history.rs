//! The history of minutes as it is written ([`ipc::history`]): a ring of records in one file, which an earlier run has left or not.
//!
//! Each record is written when its minute is known, and what was written is synchronised once an hour, before the keeper is told
//! where the history ends: what the audit log says of it is on the disk. A power cut may take what was written since, in any order
//! of its blocks; a start goes on behind the last record that follows from the one before it, and says how many it has thrown away.
//!
//! A file that cannot be written, at the start or later, is tried again with each minute. Until then records wait in memory, so many
//! that a disk which is full for four hours loses nothing; of what is lost then, the next minute says that there is a gap before it.

mod ring;

use crate::ending::Ending;
use crate::log::{Event, Log, Severity};
use crate::r#loop::Running;
use crate::reload::InForce;
use engine_core::io::Now;
use engine_core::minutes::Lasting;
use ipc::history::{BODY, End, NAME, PART, Run, Said, Source, TORN};
use ipc::message::privileged::{HistoryNoted, NOTE_SPACING};
use ipc::units::{RawInstant, Span, WallTime};
use nix::sys::stat::fstat;
use policies::Inherited;
use report::HistoryFileReply;
use ring::{Found, Ring};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// Between two notes in the audit log.
const NOTED: Span = Span::from_secs(3_600);

/// After the start, the first one comes so soon.
const FIRST: Span = Span::from_secs(60);

/// What a new file has room for where the configuration says nothing, in days.
pub const DAYS: u16 = 400;

/// The most records that wait for a file that cannot be written: the minutes of four hours, and some of sources.
const WAITING: usize = 256;

/// The file, with its length in octets, which can only be asked before the filter is in force.
#[derive(Debug)]
pub struct Given {
    file: File,
    length: u64,
}

impl Given {
    /// The one that the launch has given.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn take(words: &Inherited) -> Result<Option<Self>, String> {
        let fd: Option<OwnedFd> = words.optional_fd("history").map_err(|error| error.to_string())?;
        let Some(fd) = fd else { return Ok(None) };
        let facts = fstat(&fd).map_err(|errno| format!("the history: {}", errno.desc()))?;
        Ok(Some(Self { file: fd.into(), length: u64::try_from(facts.st_size).unwrap_or(0) }))
    }
}

/// What a run is known by.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The boot of the machine.
    pub boot: [u8; 16],
    /// The version of the program.
    pub version: &'a str,
    /// SHA-256 of the text of the configuration.
    pub configuration: [u8; 32],
}

/// See the module's head.
#[derive(Debug)]
pub struct History {
    ring: Ring,
    /// For so many days there is to be room.
    days: u16,
    /// The first record of this run, until it is written.
    run: Option<(Now, Run)>,
    /// What waits to be written, in order.
    waiting: VecDeque<(Now, Said)>,
    /// Of what waited too long, names and configuration: what follows is not understood without them.
    kept: Vec<(Now, Said)>,
    /// Minutes that waited too long, since one was written.
    lost: u64,
    configuration: [u8; 32],
    /// Why nothing can be written now.
    fault: Option<String>,
    /// The file is none of ours, and stays as it is.
    is_foreign: bool,
    /// So many records were in it when the state file was saved last.
    known: Option<u64>,
    /// What was missing in the file at the start.
    lack: Option<String>,
    is_lack_told: bool,
    begun: RawInstant,
    note_sent: Option<(RawInstant, End)>,
    /// What the audit log has of it, and since when by the steered clock.
    noted: Option<(HistoryNoted, WallTime)>,
}

/// Something to be said, with the event that it is.
type Told = (Event, String);

/// The history of minutes, or why none is kept in this run.
pub fn begin(
    words: &Inherited,
    given: Result<Option<Given>, String>,
    (in_force, known): (&InForce, Option<u64>),
    now: Now,
    log: &mut Log,
) -> Result<History, &'static str> {
    let (days, configuration) = in_force.history();
    let boot = words.text("boot").and_then(|text| u128::from_str_radix(text, 16).ok()).unwrap_or(0);
    let identity = Identity { boot: boot.to_be_bytes(), version: env!("CARGO_PKG_VERSION"), configuration };
    if days == 0 {
        return Err(UNWANTED);
    }
    match given {
        Ok(Some(given)) => {
            let mut history = History::new(given, days, now, (identity, known));
            let told = history.write([]);
            for (event, text) in told.into_iter().chain(history.take_lack()) {
                log.write(Severity::WARNING, event.says(&text));
            }
            Ok(history)
        }
        Ok(None) => {
            let text = format!("no history of minutes is kept in this run: {ELSEWHERE}");
            log.write(Severity::WARNING, Event::StateUnwritten.says(&text));
            Err(ELSEWHERE)
        }
        Err(error) => {
            let text = format!("no history of minutes is kept in this run, {UNGIVEN}: {error}");
            log.write(Severity::WARNING, Event::StateUnwritten.says(&text));
            Err(UNGIVEN)
        }
    }
}

/// Why none is kept.
const UNWANTED: &str = "the configuration wants none (days = 0 under [history])";
const ELSEWHERE: &str = "the state directory could not be written at the start";
const UNGIVEN: &str = "engine.history cannot be used";

impl Running {
    /// Writes what the engine has for the history, and has the end of it noted where that is due.
    pub(crate) fn write_history(&mut self) -> Result<(), Ending> {
        if self.engine.has_history() {
            let lasting = self.engine.take_history(false);
            let told = self.history.as_mut().ok().and_then(|history| history.write(lasting));
            self.tell_of_history(told);
            let lack = self.history.as_mut().ok().and_then(History::take_lack);
            self.tell_of_history(lack);
        }
        let now = self.clock.now()?;
        self.configure_history(now);
        let raw = now.raw;
        match self.history.as_mut().ok().and_then(|history| history.note_due(raw)) {
            Some(end) => Ok(self.links.send_history(raw, end)?),
            None => Ok(()),
        }
    }

    /// Another configuration is in force, or the same.
    fn configure_history(&mut self, now: Now) {
        let (days, configuration) = self.in_force.history();
        let Ok(history) = &mut self.history else { return };
        history.give_room(days);
        let told = history.configure(now, configuration);
        self.tell_of_history(told);
    }

    /// The run ends.
    pub(crate) fn end_history(&mut self) {
        let Ok(history) = &mut self.history else { return };
        let _ = history.write(self.engine.take_history(true));
        if let Ok(now) = self.clock.now() {
            history.finish(now);
        }
    }

    fn tell_of_history(&mut self, told: Option<Told>) {
        if let Some((event, text)) = told {
            self.log.write_fault(ipc_clock::raw(), Severity::WARNING, event.says(&text));
        }
    }
}

impl History {
    /// Goes on in this file, which is to have room for so many days, as soon as something is written. `known`: so many records were
    /// in it when that was last noted elsewhere.
    pub fn new(given: Given, days: u16, now: Now, (identity, known): (Identity<'_>, Option<u64>)) -> Self {
        let run = Run {
            configuration: identity.configuration,
            boot: identity.boot,
            version: identity.version.chars().take(BODY - 80).collect(),
            torn: 0,
        };
        Self {
            ring: Ring::new(given.file, given.length),
            days,
            run: Some((now, run)),
            waiting: VecDeque::new(),
            kept: Vec::new(),
            lost: 0,
            configuration: identity.configuration,
            fault: None,
            is_foreign: false,
            known,
            lack: None,
            is_lack_told: false,
            begun: now.raw,
            note_sent: None,
            noted: None,
        }
    }

    /// The file is to have room for so many days. One that is full keeps the room that it has, and none gets smaller.
    pub fn give_room(&mut self, days: u16) {
        self.days = days;
        self.ring.give_room(days);
    }

    /// This configuration is in force.
    pub fn configure(&mut self, now: Now, configuration: [u8; 32]) -> Option<Told> {
        if self.configuration == configuration {
            return None;
        }
        self.configuration = configuration;
        if self.is_foreign {
            return None;
        }
        self.push(now, Said::Configuration { configuration });
        self.write([])
    }

    /// Writes what the engine has, behind what waits; returns what is to be said about it.
    pub fn write(&mut self, all: impl IntoIterator<Item = Lasting>) -> Option<Told> {
        if self.is_foreign {
            return None;
        }
        let lost = self.lost;
        let mut written = self.write_waiting();
        for lasting in all {
            match lasting {
                Lasting::Minute(at, minute) => self.push(at, Said::Minute(minute)),
                Lasting::Numbered { at, number, name, authenticated } => {
                    self.name(at, number, &name, authenticated);
                }
            }
            // One that fails is not tried again in this turn.
            written = written.and_then(|()| self.write_waiting());
        }
        self.judge(written, lost)
    }

    /// What was found to be missing in the file, once.
    pub fn take_lack(&mut self) -> Option<Told> {
        let lack = self.lack.clone().filter(|_| !self.is_lack_told)?;
        self.is_lack_told = true;
        Some((Event::StateUnusable, lack))
    }

    /// For `chimerctl status`.
    pub fn report(&self) -> HistoryFileReply {
        let (ring, seconds) = (&self.ring, |wall: WallTime| wall.nanos().div_euclid(1_000_000_000));
        let is_known = self.run.is_none();
        HistoryFileReply {
            written: self.fault.is_none(),
            reason: self.fault.as_ref().map(|error| match self.is_foreign {
                true => format!("engine.history cannot be used: {error}"),
                false => {
                    format!("engine.history cannot be written: {error}; it is tried again with each minute")
                }
            }),
            records: self.records(),
            first_unix_s: ring.oldest().filter(|_| is_known).map(|(_, wall)| seconds(wall)),
            last_unix_s: ring.newest().filter(|_| is_known).map(|(_, wall)| seconds(wall)),
            waiting: u32::try_from(self.waiting.len() + self.kept.len()).unwrap_or(u32::MAX),
            noted_records: self.noted.map(|(noted, _)| noted.history.lines),
            noted_unix_s: self.noted.map(|(_, at)| seconds(at)),
            lack: self.lack.clone(),
        }
    }

    /// How many records there have been, as far as the file is known.
    pub fn records(&self) -> Option<u64> {
        self.run.is_none().then_some(self.ring.end.lines)
    }

    /// The run ends in order.
    pub fn finish(&mut self, now: Now) {
        self.push(now, Said::Ended);
        // A service manager that loses patience with the disk loses this alone.
        let _ = self.write([]);
        if self.fault.is_none() {
            let _ = self.ring.synchronise();
        }
    }

    /// Whether it is time to have the end of it noted, and which end that is: everything before it is on the disk.
    pub fn note_due(&mut self, now: RawInstant) -> Option<End> {
        let due = match self.note_sent {
            None => self.begun.after(FIRST),
            // The log could not be written, or the keeper was asked shortly before.
            Some((last, end)) if self.noted.is_none_or(|(noted, _)| noted.history != end) => {
                last.after(NOTE_SPACING)
            }
            Some((last, _)) => last.after(NOTED),
        };
        if now < due || self.run.is_some() {
            return None;
        }
        // Not more often where the disk fails.
        self.note_sent = Some((now, self.ring.end));
        self.ring.synchronise().is_ok().then_some(self.ring.end)
    }

    /// The audit log has it.
    pub fn note(&mut self, noted: HistoryNoted, at: WallTime) {
        self.noted = Some((noted, at));
    }

    fn name(&mut self, at: Now, number: u8, name: &str, authenticated: bool) {
        // Of names, and of addresses in any notation.
        let text: String = name.chars().filter(|it| matches!(it, ' '..='~')).take(NAME).collect();
        let parts = text.len().div_ceil(PART).max(1);
        for (part, from) in (0..parts).zip((0..).step_by(PART)) {
            let text = text.get(from..text.len().min(from + PART)).unwrap_or_default().to_owned();
            // Few.
            let (part, parts) = (part as u8, parts as u8);
            self.push(at, Said::Source(Source { number, authenticated, part, parts, text }));
        }
    }

    /// Puts a record behind those that wait; the oldest minute gives way.
    fn push(&mut self, at: Now, said: Said) {
        self.waiting.push_back((at, said));
        while self.waiting.len() > WAITING {
            match self.waiting.pop_front() {
                Some((_, Said::Minute(_))) => self.lost = self.lost.saturating_add(1),
                Some((at, said @ Said::Source(_))) => {
                    // One with this number has come in its place.
                    let Said::Source(later) = &said else { continue };
                    let is_older = |said: &Said| matches!(said, Said::Source(source) if source.number == later.number && later.part == 0);
                    self.kept.retain(|(_, said)| !is_older(said));
                    self.kept.push((at, said));
                }
                Some((at, said @ Said::Configuration { .. })) => {
                    self.kept.retain(|(_, said)| !matches!(said, Said::Configuration { .. }));
                    self.kept.push((at, said));
                }
                Some(_) | None => {}
            }
        }
    }

    /// Writes all that waits, up to the first record that cannot be written.
    fn write_waiting(&mut self) -> io::Result<()> {
        if let Some((at, run)) = &self.run {
            let found = self.ring.resume()?;
            self.ring.give_room(self.days);
            let torn = u8::try_from(found.torn).unwrap_or(u8::MAX);
            self.ring.append(*at, Said::Run(Run { torn, ..run.clone() }))?;
            self.run = None;
            self.lack = lack(&found, self.known);
            self.ring.synchronise()?;
        }
        while let Some((at, said)) = self.kept.first() {
            self.ring.append(*at, said.clone())?;
            self.kept.remove(0);
        }
        while let Some((at, said)) = self.waiting.front() {
            let mut said = said.clone();
            let is_minute = matches!(said, Said::Minute(_));
            if let Said::Minute(minute) = &mut said {
                minute.gap |= self.lost > 0;
            }
            self.ring.append(*at, said)?;
            if is_minute {
                self.lost = 0;
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// What is to be said: when it cannot be written any more, and when it is written again. `lost`: minutes, before that.
    fn judge(&mut self, written: io::Result<()>, lost: u64) -> Option<Told> {
        let was_failing = self.fault.is_some();
        self.fault = written.as_ref().err().map(ToString::to_string);
        match written {
            Err(error) if ring::is_foreign(&error) => {
                self.is_foreign = true;
                let text = format!("no history of minutes is kept in this run, {UNGIVEN}: {error}");
                Some((Event::StateUnusable, text))
            }
            Err(error) if !was_failing => Some((
                Event::StateUnwritten,
                format!(
                    "the history of minutes (engine.history) cannot be written ({error}); time is kept, the last four hours wait in \
                     memory, and it is tried again with each minute; what waits longer is missing there for good: free \
                     some space on its disk"
                ),
            )),
            Ok(()) if was_failing => Some((
                Event::StateBack,
                match lost {
                    0 => "the history of minutes is written again; nothing is missing".to_owned(),
                    lost => {
                        format!("the history of minutes is written again, behind a gap of {lost} minutes")
                    }
                },
            )),
            Ok(()) | Err(_) => None,
        }
    }
}

/// What is missing in a file, of which it was `known` that there had been so many records.
fn lack(found: &Found, known: Option<u64>) -> Option<String> {
    let there = found.end.lines;
    if let Some(known) = known.filter(|known| there.saturating_add(TORN) < *known) {
        let left = if there == 0 { "it is empty".to_owned() } else { format!("it ends after {there}") };
        return Some(format!(
            "engine.history has lost what was in it: {known} records had been written, and {left}; what was there before can be \
             shown only by copies"
        ));
    }
    found.is_altered.then(|| {
        "engine.history was altered: its last records do not follow from those before them; it goes on behind them, and chimerctl \
         audit --verify says which they are"
            .to_owned()
    })
}

#[cfg(test)]
mod tests;
