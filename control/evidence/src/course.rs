//! What a history has of a period: its minutes on one line of time, and what lies between them.

mod sources;

pub use sources::Used;

use history::{Entry, Finding};
use ipc::history::{Minute, Said};
use ipc::units::{RawInstant, WallTime};
use sources::Roll;

const SECOND: i64 = 1_000_000_000;
/// What is shorter lies between any two minutes: a start, a step that was rounded.
const NOTHING: i64 = 2 * SECOND;

/// A period, from its first moment to the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub from: WallTime,
    /// The moment behind its last.
    pub to: WallTime,
}

/// A minute that was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// When it began: UTC as the clock showed it, without the error of the clock where that is known and above a second.
    pub begin: WallTime,
    /// When it ended; it is called by this second.
    pub end: WallTime,
    /// What was true in it.
    pub minute: Minute,
    /// Whose time was used.
    pub sources: Whose,
    /// How long ago at its end, in nanoseconds, the minute before the last start of the daemon had ended, while no minute since was
    /// synchronised all the time; none: one was.
    pub starting: Option<i64>,
}

/// Whether the sources of a minute are among those that were named as authorised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All of them, or none was used.
    Authorised,
    /// One is not.
    Other,
    /// The history does not have the name of one.
    Unknown,
}

/// A time of which there is no minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Its first moment.
    pub from: WallTime,
    /// The moment behind its last.
    pub to: WallTime,
    /// Why.
    pub what: Absence,
}

/// Why there is no minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The history begins later, or has lost what was before.
    Before,
    /// The history ends earlier.
    After,
    /// The daemon ended in order and was started again.
    Restart,
    /// The machine was started anew, and the daemon with it.
    Reboot,
    /// The daemon was started again, and had not ended in order.
    Crash,
    /// The daemon ran, and nothing is known: the machine was suspended or stood still.
    Standstill,
    /// Records are missing or were altered.
    Broken,
}

impl Hole {
    /// Nanoseconds.
    pub const fn length(&self) -> i64 {
        self.to.nanos() - self.from.nanos()
    }
}

/// A start of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// When.
    pub at: WallTime,
    /// The version of the program.
    pub version: String,
    /// Which boot of the machine.
    pub boot: [u8; 16],
    /// The run before had not ended in order; of the first one that is kept it is not known.
    pub unexpected: bool,
}

/// A configuration that came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Since when; before the period, if it was in force when that began.
    pub since: WallTime,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
}

/// The steps of a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// The end of the minute.
    pub at: WallTime,
    /// Their sum in nanoseconds; positive: forward.
    pub nanos: i64,
    /// The daemon made one.
    pub by_daemon: bool,
    /// Another program made one.
    pub by_another: bool,
}

/// The history of a period.
#[derive(Clone, Debug)]
pub struct Course {
    /// Which one.
    pub period: Period,
    /// Its minutes, in the order in which they were written.
    pub minutes: Vec<Kept>,
    /// What lies between them.
    pub holes: Vec<Hole>,
    /// Starts of the daemon, and before them the last one before the period.
    pub starts: Vec<Start>,
    /// Configurations, likewise.
    pub configurations: Vec<InForce>,
    /// The sources that were used.
    pub sources: Vec<Used>,
    /// Minutes with steps.
    pub steps: Vec<Stepped>,
    /// Breaks of the chain in the period.
    pub breaks: u64,
    /// The first and the last minute of the whole history.
    pub kept: Option<(WallTime, WallTime)>,
}

/// Where the minute before ended.
#[derive(Clone, Copy)]
struct Before {
    end: WallTime,
    wall: WallTime,
    raw: RawInstant,
}

impl Course {
    /// What the history has of this period. `authorised`: names of sources.
    pub fn of(
        walk: impl Iterator<Item = Result<Entry, Finding>>,
        period: Period,
        authorised: &[String],
    ) -> Self {
        let mut reader = Reader::new(period, authorised);
        walk.for_each(|item| match item {
            Ok(entry) => reader.take(&entry),
            Err(finding) => reader.broken(&finding),
        });
        reader.finish()
    }

    /// Whether a time without a minute is one that counts, where those up to `outage` nanoseconds do not.
    pub fn missing(&self, outage: i64) -> impl Iterator<Item = &Hole> {
        self.holes.iter().filter(move |hole| hole.length() > outage)
    }
}

struct Reader {
    course: Course,
    roll: Roll,
    before: Option<Before>,
    /// What happened since the minute before.
    between: Option<Absence>,
    boot: Option<[u8; 16]>,
    has_ended: bool,
    /// When the daemon ended whose successor has not been synchronised yet.
    interrupted: Option<WallTime>,
}

impl Reader {
    fn new(period: Period, authorised: &[String]) -> Self {
        let course = Course {
            period,
            minutes: Vec::new(),
            holes: Vec::new(),
            starts: Vec::new(),
            configurations: Vec::new(),
            sources: Vec::new(),
            steps: Vec::new(),
            breaks: 0,
            kept: None,
        };
        let roll = Roll::new(authorised);
        Self { course, roll, before: None, between: None, boot: None, has_ended: true, interrupted: None }
    }

    fn take(&mut self, entry: &Entry) {
        let at = entry.record.wall;
        match &entry.record.said {
            Said::Minute(minute) => self.minute(entry, minute),
            Said::Source(_) => {}
            Said::Run(run) => {
                let is_first = self.boot.is_none();
                let unexpected = !is_first && !self.has_ended;
                self.between = Some(match self.boot == Some(run.boot) {
                    false if !is_first => Absence::Reboot,
                    _ if unexpected => Absence::Crash,
                    _ => Absence::Restart,
                });
                (self.boot, self.has_ended) = (Some(run.boot), false);
                let start = Start { at, version: run.version.clone(), boot: run.boot, unexpected };
                self.keep_from(at, |course| &mut course.starts, start);
                self.configured(at, run.configuration);
            }
            Said::Configuration { configuration } => self.configured(at, *configuration),
            Said::Ended => self.has_ended = true,
        }
    }

    /// Of what came before the period, the last one stays.
    fn keep_from<T>(&mut self, at: WallTime, list: impl Fn(&mut Course) -> &mut Vec<T>, one: T) {
        let Period { from, to } = self.course.period;
        if at <= from && self.course.minutes.is_empty() {
            list(&mut self.course).clear();
        }
        if at < to {
            list(&mut self.course).push(one);
        }
    }

    fn configured(&mut self, since: WallTime, hash: [u8; 32]) {
        if self.course.configurations.last().is_none_or(|last| last.hash != hash) {
            self.keep_from(since, |course| &mut course.configurations, InForce { since, hash });
        }
    }

    fn broken(&mut self, finding: &Finding) {
        let at = finding.wall.unwrap_or(self.course.period.from);
        if at >= self.course.period.from && at < self.course.period.to {
            self.course.breaks += 1;
        }
        self.between = Some(Absence::Broken);
    }

    fn minute(&mut self, entry: &Entry, minute: &Minute) {
        let record = &entry.record;
        let length = i64::from(minute.length_ms) * 1_000_000;
        let end = moved(record.wall, error(minute));
        let mut begin = moved(end, -length);
        let mut hole = None;
        if let Some(before) = self.before {
            let what = match self.between {
                None => {
                    let unseen = record.raw.nanos() - length - before.raw.nanos();
                    // Another program's steps are among these too.
                    let advanced = record.wall.nanos() - before.wall.nanos() - length;
                    let advanced = advanced.saturating_sub(minute.steps);
                    let slept = if minute.gap { advanced } else { 0 };
                    (unseen.max(slept) > NOTHING).then_some(Absence::Standstill)
                }
                some => some,
            };
            match what {
                Some(what) if begin.nanos() - before.end.nanos() > NOTHING => {
                    hole = Some(Hole { from: before.end, to: begin, what });
                }
                _ => begin = before.end.min(end),
            }
        }
        let is_start = matches!(self.between, Some(Absence::Restart | Absence::Reboot | Absence::Crash));
        if is_start {
            self.interrupted = self.before.map(|before| before.end).or(Some(begin));
        }
        if minute.synchronised {
            self.interrupted = None;
        }
        let starting = self.interrupted.map(|since| end.nanos().saturating_sub(since.nanos()));
        (self.before, self.between) = (Some(Before { end, wall: record.wall, raw: record.raw }), None);
        let first = self.course.kept.map_or(begin, |(first, _)| first);
        self.course.kept = Some((first, end));
        let Period { from, to } = self.course.period;
        if let Some(hole) = hole {
            let hole = Hole { from: hole.from.max(from), to: hole.to.min(to), ..hole };
            if hole.from < hole.to {
                self.course.holes.push(hole);
            }
        }
        if end <= from || end > to {
            return;
        }
        if minute.steps != 0 || minute.stepped || minute.stepped_by_another {
            let (by_daemon, by_another) = (minute.stepped, minute.stepped_by_another);
            self.course.steps.push(Stepped { at: end, nanos: minute.step(), by_daemon, by_another });
        }
        let sources = self.roll.take(entry, minute, end);
        self.course.minutes.push(Kept { begin, end, minute: *minute, sources, starting });
    }

    fn finish(self) -> Course {
        let Self { mut course, roll, between, .. } = self;
        course.sources = roll.finish();
        let Period { from, to } = course.period;
        let edge = |from: WallTime, to: WallTime, what| {
            (to.nanos() - from.nanos() > NOTHING).then_some(Hole { from, to, what })
        };
        let (mut before, mut after) = (None, None);
        if let (Some(first), Some(last)) = (course.minutes.first(), course.minutes.last()) {
            let end = last.end.max(from);
            // What lies between two minutes is known already.
            let first = course.holes.first().map_or(first.begin, |hole| hole.from.min(first.begin));
            before = edge(from, first, Absence::Before);
            let end = course.holes.last().map_or(end, |hole| hole.to.max(end));
            let what = if between == Some(Absence::Broken) { Absence::Broken } else { Absence::After };
            after = edge(end, to, what);
        }
        course.holes.splice(0..0, before);
        course.holes.extend(after);
        course
    }
}

/// How far the clock was from UTC at the end of a minute, in nanoseconds, if that is known and above a second; else 0.
fn error(minute: &Minute) -> i64 {
    let Some((least, largest)) = minute.offset else { return 0 };
    let (near, far) =
        if least.unsigned_abs() < largest.unsigned_abs() { (least, largest) } else { (largest, least) };
    // What the daemon has corrected in it, it was not at its end.
    let error = if minute.stepped && !minute.stepped_by_another { near } else { far };
    if error.unsigned_abs() >= SECOND.unsigned_abs() { error } else { 0 }
}

fn moved(at: WallTime, nanos: i64) -> WallTime {
    WallTime::saturating(at.nanos().saturating_add(nanos))
}

#[cfg(test)]
mod tests;
