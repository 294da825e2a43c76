//! What the daemon and the kernel said last, and rates from two answers.

use crate::plot::Course;
use crate::process::cpu_seconds;
use crate::screen::{Form, Screen};
use crate::{sources, status};
use control_socket::{AskError, ask, history, read};
use report::read::{SourceReport, SourcesReply, StatusReply, SystemReport};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The course changes slowly, and is the longest of the answers.
const COURSE_EVERY: Duration = Duration::from_secs(10);

/// A process of the daemon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub name: String,
    pub pid: u32,
    pub user: Option<String>,
    /// Share of one processor since the last answer; none: not known yet, or not readable.
    pub cpu: Option<f64>,
    pub memory_kib: Option<u64>,
}

/// One answer of the daemon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Board {
    /// When it came, in seconds since 1970.
    pub at_unix: f64,
    pub version: Option<String>,
    pub clock: SystemReport,
    pub sources: Vec<SourceReport>,
    pub course: Course,
    pub processes: Vec<Usage>,
    /// What the server counted in a second; none: there is no server, or there was one answer only.
    pub rates: Option<BTreeMap<String, f64>>,
    pub has_server: bool,
    /// As the daemon gave them.
    pub answer: Value,
    pub measured: Value,
}

impl Board {
    /// The chosen source as `chimerctl source` has it.
    pub fn detail(&self, chosen: usize, screen: Screen) -> String {
        let Some(source) = self.sources.get(chosen) else { return String::new() };
        let name = source.address.as_deref().filter(|address| !address.is_empty()).or(source.name.as_deref());
        let found = sources::find(&self.answer, &self.measured, name.unwrap_or(""), Form::Text(screen));
        found.unwrap_or_else(|failure| screen.show(&failure.text))
    }

    /// How many lines that has, on a usual screen.
    pub fn detail_lines(&self, chosen: usize) -> usize {
        self.detail(chosen, Screen { width: 80, is_utf8: true }).lines().count()
    }
}

/// Who asks, and remembers what it takes to say how fast something changes.
#[derive(Debug)]
pub struct Asker {
    socket: PathBuf,
    course: Option<(Instant, Course)>,
    last: Option<Last>,
}

/// Of the last answer: when it was, the counts of the server, and the processor time of each process in seconds.
#[derive(Debug)]
struct Last {
    at: Instant,
    counts: BTreeMap<String, u64>,
    spent: BTreeMap<u32, f64>,
}

impl Asker {
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), course: None, last: None }
    }

    /// Asks everything once. The error is a sentence.
    pub fn ask(&mut self) -> Result<Board, String> {
        self.try_ask().map_err(|error| {
            // The next one is perhaps another daemon.
            (self.course, self.last) = (None, None);
            error.to_string()
        })
    }

    fn try_ask(&mut self) -> Result<Board, AskError> {
        let status: StatusReply = read(&ask(&self.socket, "status")?)?;
        let answer = ask(&self.socket, "sources")?;
        let sources: SourcesReply = read(&answer)?;
        let measured = older_has_none(ask(&self.socket, "measurements"))?;
        let course = match self.course.take().filter(|(at, _)| at.elapsed() < COURSE_EVERY) {
            Some(kept) => kept,
            None => {
                let told = older_has_none(history(&self.socket, "hour"))?;
                (Instant::now(), if told.is_null() { Course::default() } else { Course::of(&read(&told)?) })
            }
        };
        self.course = Some(course.clone());
        let now = Instant::now();
        let observed = status::observe(&status);
        let spent: BTreeMap<u32, f64> =
            observed.iter().filter_map(|process| Some((process.pid, cpu_seconds(process.pid)?))).collect();
        let counts = status.server.clone().unwrap_or_default();
        let last = self.last.take();
        let passed = last
            .as_ref()
            .map(|last| now.duration_since(last.at).as_secs_f64())
            .filter(|passed| *passed > 0.0);
        let usage = |process: crate::process::Process| Usage {
            cpu: (|| {
                let before = last.as_ref()?.spent.get(&process.pid)?;
                Some((spent.get(&process.pid)? - before).max(0.0) / passed?)
            })(),
            memory_kib: process.pss_kib.or(process.rss_kib),
            name: process.name,
            pid: process.pid,
            user: process.user,
        };
        let board = Board {
            at_unix: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
            version: status.version,
            clock: status.report.unwrap_or_default(),
            sources: sources.sources.unwrap_or_default(),
            course: course.1,
            processes: observed.into_iter().map(usage).collect(),
            rates: last.as_ref().and_then(|last| rates(&last.counts, &counts, passed?)),
            has_server: status.server.is_some(),
            answer,
            measured,
        };
        self.last = Some(Last { at: now, counts, spent });
        Ok(board)
    }
}

/// What a daemon of an older version does not know is null.
fn older_has_none(answer: Result<Value, AskError>) -> Result<Value, AskError> {
    match answer {
        Err(AskError::Refused(_)) => Ok(Value::Null),
        answer => answer,
    }
}

/// By how much each count has grown in a second; none where there are none. A count that has shrunk is that of a new server.
fn rates(
    before: &BTreeMap<String, u64>,
    now: &BTreeMap<String, u64>,
    passed: f64,
) -> Option<BTreeMap<String, f64>> {
    let rate = |(name, count): (&String, &u64)| {
        let grown = count.checked_sub(*before.get(name)?)?;
        Some((name.clone(), grown as f64 / passed))
    };
    Some(now.iter().filter_map(rate).collect::<BTreeMap<_, _>>()).filter(|rates| !rates.is_empty())
}

#[cfg(test)]
impl Board {
    /// The golden documents, with an hour and two processes.
    pub fn example() -> Self {
        let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let status: StatusReply = read(&json(include_str!("../../../ipc/report/tests/status.json"))).unwrap();
        let answer = json(include_str!("../../../ipc/report/tests/sources.json"));
        let process = |name: &str, pid, cpu| Usage {
            name: name.to_owned(),
            pid,
            user: Some(format!("truechimer-{name}")),
            cpu,
            memory_kib: Some(712),
        };
        Self {
            at_unix: 1_800_000_000.0,
            version: status.version,
            clock: status.report.unwrap(),
            sources: read::<SourcesReply>(&answer).unwrap().sources.unwrap(),
            course: Course::of(&crate::plot::tests::hour()),
            processes: vec![process("privileged", 70, Some(0.001)), process("engine", 71, None)],
            rates: Some(BTreeMap::from([("answered".to_owned(), 12.5), ("received".to_owned(), 13.0)])),
            has_server: true,
            answer,
            measured: json(include_str!("../../../ipc/report/tests/measurements.json")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_counts_that_grew_and_a_new_server_begins_anew() {
        let of = |all: &[(&str, u64)]| all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let before: BTreeMap<String, u64> = of(&[("answered", 10), ("received", 20)]);
        let now: BTreeMap<String, u64> = of(&[("answered", 15), ("received", 4), ("new", 7)]);
        assert_eq!(rates(&before, &now, 2.0), Some(BTreeMap::from([("answered".to_owned(), 2.5)])));
        assert_eq!(rates(&before, &BTreeMap::new(), 2.0), None);
    }

    #[test]
    fn without_a_daemon_there_is_a_sentence() {
        let why = Asker::new(Path::new("/nonexistent/socket")).ask().unwrap_err();
        assert!(why.starts_with("no truechimer daemon answers at /nonexistent/socket"), "{why}");
    }

    #[test]
    fn the_page_of_a_source_is_that_of_the_command() {
        let page = Board::example().detail(0, Screen::WIDE);
        assert!(
            page.starts_with("name                a.example\n") && page.contains("AGO  OFFSET"),
            "{page}"
        );
        assert_eq!(Board::example().detail(9, Screen::WIDE), "");
    }
}
