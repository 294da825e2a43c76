//! The history of minutes as it is written ([`ipc::history`]): a ring of records in one file, which an earlier run has left or not.
//!
//! Each record is written when its minute is known, and what was written is synchronised once an hour, before the keeper is told
//! where the history ends: what the audit log says of it is on the disk. A power cut may take what was written since, in any order
//! of its blocks; a start goes on behind the last record that follows from the one before it, and says how many it has thrown away.

use crate::ending::Ending;
use crate::log::{Event, Log, Severity};
use crate::r#loop::Running;
use crate::reload::InForce;
use engine_core::io::Now;
use engine_core::minutes::Lasting;
use ipc::history::{
    BODY, End, MOST_DAYS, NAME, NUMBERS, OF_A_DAY, PART, RECORD, Record, Run, Said, Source, TORN, chain,
};
use ipc::message::privileged::{HistoryNoted, NOTE_SPACING};
use ipc::units::{RawInstant, Span};
use nix::sys::stat::fstat;
use policies::Inherited;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// Between two notes in the audit log.
const NOTED: Span = Span::from_secs(3_600);

/// After the start, the first one comes so soon.
const FIRST: Span = Span::from_secs(60);

/// What a new file has room for where the configuration says nothing, in days.
pub const DAYS: u16 = 400;

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
    file: File,
    /// How many records it has room for.
    places: u64,
    /// No place of it is unwritten: it keeps its size.
    is_full: bool,
    end: End,
    configuration: [u8; 32],
    /// Something could not be written.
    is_failing: bool,
    /// A minute was lost: the next one follows a gap.
    has_lost: bool,
    begun: RawInstant,
    note_sent: Option<(RawInstant, End)>,
    /// What the audit log has of it.
    noted: Option<HistoryNoted>,
}

/// The history of minutes, if one is kept and can be.
pub fn begin(
    words: &Inherited,
    given: Result<Option<Given>, String>,
    in_force: &InForce,
    now: Now,
    log: &mut Log,
) -> Option<History> {
    let (days, configuration) = in_force.history();
    let boot = words.text("boot").and_then(|text| u128::from_str_radix(text, 16).ok()).unwrap_or(0);
    let identity = Identity { boot: boot.to_be_bytes(), version: env!("CARGO_PKG_VERSION"), configuration };
    if days > 0 && matches!(given, Ok(None)) {
        let text = "no history of minutes is kept in this run: the state directory cannot be written";
        log.write(Severity::WARNING, Event::StateUnwritten.says(text));
    }
    let begun = given.and_then(|given| {
        let begin = |given| History::begin(given, days, now, identity).map_err(|error| error.to_string());
        given.filter(|_| days > 0).map(begin).transpose()
    });
    begun.unwrap_or_else(|error| {
        let text =
            format!("no history of minutes is kept in this run, engine.history cannot be used: {error}");
        log.write(Severity::WARNING, Event::StateUnwritten.says(&text));
        None
    })
}

impl Running {
    /// Writes what the engine has for the history, and has the end of it noted where that is due.
    pub(crate) fn write_history(&mut self) -> Result<(), Ending> {
        if self.engine.has_history() {
            let lasting = self.engine.take_history(false);
            let told = self.history.as_mut().and_then(|history| history.write(lasting));
            self.tell_of_history(told);
        }
        let now = self.clock.now()?;
        self.configure_history(now);
        let raw = now.raw;
        match self.history.as_mut().and_then(|history| history.note_due(raw)) {
            Some(end) => Ok(self.links.send_history(raw, end)?),
            None => Ok(()),
        }
    }

    /// Another configuration is in force, or the same.
    fn configure_history(&mut self, now: Now) {
        let (days, configuration) = self.in_force.history();
        let Some(history) = &mut self.history else { return };
        history.give_room(days);
        let told = history.configure(now, configuration);
        self.tell_of_history(told);
    }

    /// The run ends.
    pub(crate) fn end_history(&mut self) {
        let Some(mut history) = self.history.take() else { return };
        let _ = history.write(self.engine.take_history(true));
        if let Ok(now) = self.clock.now() {
            history.finish(now);
        }
    }

    fn tell_of_history(&mut self, told: Option<String>) {
        if let Some(text) = told {
            let text = Event::StateUnwritten.says(&text);
            self.log.write_fault(ipc_clock::raw(), Severity::WARNING, text);
        }
    }
}

/// Where a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    end: End,
    /// Records that were thrown away behind it.
    torn: u8,
    /// Of the record at the first place.
    first: u64,
}

impl History {
    /// Goes on in this file, which is to have room for so many days.
    ///
    /// # Errors
    /// The file cannot be read or written; it is as it was.
    pub fn begin(given: Given, days: u16, now: Now, identity: Identity<'_>) -> io::Result<Self> {
        let Given { file, length } = given;
        let there = length / RECORD as u64;
        let found = find_end(&file, there)?;
        let mut history = Self {
            file,
            places: there,
            is_full: found.first > 0,
            end: found.end,
            configuration: identity.configuration,
            is_failing: false,
            has_lost: false,
            begun: now.raw,
            note_sent: None,
            noted: None,
        };
        history.give_room(days);
        let run = Run {
            configuration: identity.configuration,
            boot: identity.boot,
            version: identity.version.chars().take(BODY - 80).collect(),
            torn: found.torn,
        };
        history.append(now, Said::Run(run))?;
        history.file.sync_data()?;
        Ok(history)
    }

    /// The file is to have room for so many days. One that is full keeps the room that it has, and none gets smaller.
    pub fn give_room(&mut self, days: u16) {
        if !self.is_full {
            let wanted = u64::from(days.min(MOST_DAYS)) * OF_A_DAY;
            self.places = self.places.max(wanted);
        }
    }

    /// This configuration is in force.
    pub fn configure(&mut self, now: Now, configuration: [u8; 32]) -> Option<String> {
        if self.configuration == configuration {
            return None;
        }
        self.configuration = configuration;
        let written = self.append(now, Said::Configuration { configuration });
        self.judge(written)
    }

    /// Writes what the engine has; returns what is to be said about it.
    pub fn write(&mut self, all: impl IntoIterator<Item = Lasting>) -> Option<String> {
        let mut told = None;
        for lasting in all {
            let written = match lasting {
                Lasting::Minute(at, minute) => {
                    let mut minute = minute;
                    minute.gap |= self.has_lost;
                    let written = self.append(at, Said::Minute(minute));
                    self.has_lost = written.is_err();
                    written
                }
                Lasting::Numbered { at, number, name, authenticated } => {
                    self.name(at, number, &name, authenticated)
                }
            };
            told = self.judge(written).or(told);
        }
        told
    }

    /// The run ends in order.
    pub fn finish(&mut self, now: Now) {
        // A service manager that loses patience with the disk loses this alone.
        let _ = self.append(now, Said::Ended).and_then(|()| self.file.sync_data());
    }

    /// Whether it is time to have the end of it noted, and which end that is: everything before it is on the disk.
    pub fn note_due(&mut self, now: RawInstant) -> Option<End> {
        let due = match self.note_sent {
            None => self.begun.after(FIRST),
            // The log could not be written, or the keeper was asked shortly before.
            Some((last, end)) if self.noted.is_none_or(|noted| noted.history != end) => {
                last.after(NOTE_SPACING)
            }
            Some((last, _)) => last.after(NOTED),
        };
        if now < due {
            return None;
        }
        // Not more often where the disk fails.
        self.note_sent = Some((now, self.end));
        self.file.sync_data().is_ok().then_some(self.end)
    }

    /// The audit log has it.
    pub fn note(&mut self, noted: HistoryNoted) {
        self.noted = Some(noted);
    }

    fn name(&mut self, at: Now, number: u8, name: &str, authenticated: bool) -> io::Result<()> {
        // Of names, and of addresses in any notation.
        let text: String = name.chars().filter(|it| matches!(it, ' '..='~')).take(NAME).collect();
        let parts = text.len().div_ceil(PART).max(1);
        for (part, from) in (0..parts).zip((0..).step_by(PART)) {
            let text = text.get(from..text.len().min(from + PART)).unwrap_or_default().to_owned();
            // Few.
            let (part, parts) = (part as u8, parts as u8);
            self.append(at, Said::Source(Source { number, authenticated, part, parts, text }))?;
        }
        Ok(())
    }

    fn append(&mut self, at: Now, said: Said) -> io::Result<()> {
        let sequence = self.end.lines;
        let record = Record { sequence, wall: at.wall, raw: at.raw, said };
        let (octets, hash) = record.encode(&self.end.hash);
        if !self.is_full && sequence >= self.places {
            // After a power cut the file must not be shorter than the round in whose first places the next one stands.
            self.file.sync_data()?;
            self.is_full = true;
        }
        let place = sequence % self.places.max(1);
        self.file.write_all_at(&octets, place * RECORD as u64)?;
        self.end = End { lines: sequence.saturating_add(1), hash };
        Ok(())
    }

    fn judge(&mut self, written: io::Result<()>) -> Option<String> {
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        match written {
            Err(error) if !was_failing => Some(format!(
                "the history of minutes (engine.history) cannot be written ({error}); time is kept, but what is not written is \
                 missing there for good: free some space on its disk"
            )),
            Ok(()) if was_failing => Some("the history of minutes is written again, behind a gap".to_owned()),
            Ok(()) | Err(_) => None,
        }
    }
}

/// The number of a record, its octets and its hash.
type Stored = (u64, [u8; RECORD], [u8; 32]);

/// The record at this place, if it is one.
fn read(file: &File, place: u64) -> io::Result<Option<Stored>> {
    let mut octets = [0; RECORD];
    match file.read_exact_at(&mut octets, place * RECORD as u64) {
        Ok(()) => {
            let found = Record::decode(&octets).filter(|(record, _)| record.sequence < NUMBERS);
            Ok(found.map(|(record, hash)| (record.sequence, octets, hash)))
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the history in a file of so many places ends. What a power cut has left behind that is overwritten with zeros.
fn find_end(file: &File, there: u64) -> io::Result<Found> {
    let empty = Found { end: End::NONE, torn: 0, first: 0 };
    let Some(first) = find_first(file, there)? else { return Ok(empty) };
    let stands = |sequence: u64| -> io::Result<bool> {
        Ok(read(file, sequence % there)?.is_some_and(|(found, ..)| found == sequence))
    };
    // One that cannot be read, or a block that is missing, is not the end: what follows it may stand.
    let stands_about = |sequence: u64| -> io::Result<bool> {
        for later in sequence..sequence.saturating_add(TORN.min(there)) {
            if stands(later)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let (mut low, mut high) = (0, there);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if stands_about(first.saturating_add(middle))? { low = middle } else { high = middle }
    }
    let newest = first.saturating_add(low);
    // A block in the middle may be missing, also where the ring begins again; and one may have come to the disk behind a missing one.
    let oldest = newest.saturating_sub(TORN.min(there - 1));
    let mut end = newest;
    for sequence in (oldest..newest).rev() {
        if !stands(sequence)? {
            end = sequence.saturating_sub(1).max(oldest);
        }
    }
    let before = |sequence: u64| -> io::Result<[u8; 32]> {
        match sequence.checked_sub(1) {
            None => Ok([0; 32]),
            Some(before) => Ok(read(file, before % there)?.map_or([0; 32], |(.., hash)| hash)),
        }
    };
    // The last ones may be torn themselves.
    let whole = end;
    let mut follows = false;
    while !follows && whole - end < TORN {
        let Some((_, octets, hash)) = read(file, end % there)? else { break };
        follows = chain(&before(end)?, &octets[..BODY]) == hash;
        match follows {
            false if end == 0 => break,
            false => end -= 1,
            true => {}
        }
    }
    if !follows {
        // That is no power cut. What is there stays there, for who looks into it.
        end = whole;
    }
    let Some((sequence, _, hash)) = read(file, end % there)? else { return Ok(empty) };
    let mut torn = 0;
    let reach = newest.saturating_add(TORN).min(end.saturating_add(there));
    for sequence in end.saturating_add(1)..reach {
        if stands(sequence)? {
            torn = sequence - end;
            file.write_all_at(&[0; RECORD], sequence % there * RECORD as u64)?;
        }
    }
    let torn = u8::try_from(torn).unwrap_or(u8::MAX);
    // Of the round in which the first place was written.
    let first = first / there * there;
    Ok(Found { end: End { lines: sequence.saturating_add(1), hash }, torn, first })
}

/// The number of the first record in the file: that of its first place, or where that cannot be read, as after a power cut where the ring
/// begins again, of one of the next places. None: nothing was ever written.
///
/// # Errors
/// The kernel's; or there is something, and no history.
fn find_first(file: &File, there: u64) -> io::Result<Option<u64>> {
    for place in 0..(2 * TORN).min(there) {
        if let Some((sequence, ..)) = read(file, place)?.filter(|(sequence, ..)| sequence % there == place) {
            return Ok(Some(sequence));
        }
    }
    let mut at = 0;
    let mut octets = [0; 1 << 14];
    loop {
        match file.read_at(&mut octets, at)? {
            0 => return Ok(None),
            count if octets[..count].iter().all(|octet| *octet == 0) => at += count as u64,
            _ => break,
        }
    }
    Err(io::Error::other("it is no history, or its beginning is lost; move it away to begin another one"))
}

#[cfg(test)]
mod tests;
