//! `chimerctl now`: true time with how wrong it can be, from the daemon's page in shared memory. Nobody is asked, so that it
//! answers while the daemon hangs or is stopped, for as long as what it wrote last holds.

use crate::screen::Form;
use crate::text::{json, list, seconds};
use crate::{Failure, exit};
use ipc::calendar::Rfc3339;
use ipc::units::WallTime;
use report::FORMAT;
use serde::Serialize;
use std::path::{Path, PathBuf};
use truechimer_time::{Interval, Mark, OpenError, TimePage};

/// ENOENT and EACCES.
const NO_SUCH_FILE: i32 = 2;
const NO_ACCESS: i32 = 13;

const SECOND: i64 = 1_000_000_000;

/// The document of `now`, and of an `assert` that holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Known {
    format: u32,
    earliest_unix_s: i64,
    earliest_ns: i64,
    latest_unix_s: i64,
    latest_ns: i64,
    estimate_unix_s: i64,
    estimate_ns: i64,
    most_error_s: f64,
    synchronised: bool,
    authenticated: bool,
    system_clock: bool,
    sources: u8,
    attested: bool,
}

impl Known {
    /// Of an interval.
    pub fn of(interval: &Interval) -> Self {
        let parts = |nanos: i64| (nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
        let (earliest_unix_s, earliest_ns) = parts(interval.earliest);
        let (latest_unix_s, latest_ns) = parts(interval.latest);
        let (estimate_unix_s, estimate_ns) = parts(interval.estimate);
        Self {
            format: FORMAT,
            earliest_unix_s,
            earliest_ns,
            latest_unix_s,
            latest_ns,
            estimate_unix_s,
            estimate_ns,
            most_error_s: most_error(interval),
            synchronised: interval.synchronised,
            authenticated: interval.mark.authenticated,
            system_clock: interval.mark.system_clock,
            sources: interval.mark.sources,
            attested: interval.mark.attested,
        }
    }
}

/// In seconds.
pub fn most_error(interval: &Interval) -> f64 {
    interval.most_error() as f64 * 1e-9
}

/// How far CLOCK_REALTIME can be from true time, seconds: to the farther end of the interval, which was read just before.
pub fn system_clock_error(interval: &Interval) -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let wall = since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
    let farthest = wall.abs_diff(interval.earliest).max(wall.abs_diff(interval.latest));
    farthest as f64 * 1e-9
}

/// The daemon's page: beside its control socket.
pub fn page_beside(socket: &Path) -> PathBuf {
    socket.with_file_name("time")
}

/// The interval now.
///
/// # Errors
/// 2: there is no page. 1: there is one, from which nothing is known now.
pub fn read(socket: &Path) -> Result<Interval, Failure> {
    let path = page_beside(socket);
    let unable = |error: OpenError| {
        let remedy = match error {
            OpenError::Refused(NO_SUCH_FILE) => {
                "start truechimer, or name its control socket with --socket: the page is beside it"
            }
            OpenError::Refused(NO_ACCESS) => {
                "the folder is to have the mode 755 and the page 644; restart truechimer"
            }
            _ => "restart truechimer, whose log says what is wrong with it",
        };
        Failure { text: format!("{}: {error}; {remedy}", path.display()), code: exit::UNABLE }
    };
    let mut page = TimePage::open_at(&path).map_err(unable)?;
    page.now().map_err(|why| Failure { text: format!("the time is not known: {why}"), code: exit::NO })
}

/// Shows it.
pub fn show(socket: &Path, form: Form) -> Result<String, Failure> {
    let interval = read(socket)?;
    Ok(match form {
        Form::Json => json(&serde_json::to_value(Known::of(&interval)).unwrap_or_default()),
        Form::Text(screen) => list(screen, &rows(&interval)),
    })
}

fn rows(interval: &Interval) -> Vec<(&'static str, String)> {
    let at = |nanos: i64| Rfc3339(WallTime::saturating(nanos)).to_string();
    vec![
        ("time", at(interval.estimate)),
        ("wrong by at most", seconds(Some(most_error(interval)), false)),
        ("not before", at(interval.earliest)),
        ("not after", at(interval.latest)),
        ("known from", origin(interval)),
        ("system clock", (if interval.mark.system_clock { "follows" } else { "does not follow" }).to_owned()),
    ]
}

fn origin(interval: &Interval) -> String {
    let mark = interval.mark;
    let sources = if mark.sources == 1 { "source" } else { "sources" };
    let authenticated = authentication(mark);
    let since = if interval.synchronised { "" } else { ", from their last answers" };
    format!("{} {sources}{authenticated}{since}", mark.sources)
}

/// What an interval rests on, behind other words.
pub fn authentication(mark: Mark) -> &'static str {
    match mark {
        Mark { attested: true, .. } => ", authenticated, attested",
        Mark { authenticated: true, .. } => ", authenticated",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Screen;

    fn interval() -> Interval {
        Interval {
            earliest: 1_800_000_000_000_000_000 - 1_500_000,
            latest: 1_800_000_000_000_000_000 + 2_500_000,
            estimate: 1_800_000_000_000_000_000,
            synchronised: false,
            mark: Mark { authenticated: true, attested: false, system_clock: true, sources: 3 },
        }
    }

    #[test]
    fn the_document_has_whole_nanoseconds_beside_whole_seconds() {
        let known = Known::of(&interval());
        assert_eq!((known.earliest_unix_s, known.earliest_ns), (1_799_999_999, 998_500_000));
        assert_eq!((known.latest_unix_s, known.latest_ns), (1_800_000_000, 2_500_000));
        assert!((known.most_error_s - 0.002_5).abs() < 1e-12);
    }

    #[test]
    fn the_page_names_both_ends_and_where_they_are_from() {
        let text = list(Screen::WIDE, &rows(&interval()));
        for wanted in [
            "2027-01-15T08:00:00.000000000Z",
            "2027-01-15T07:59:59.998500000Z",
            "2.500 ms",
            "3 sources, authenticated, from their last answers",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }

    #[test]
    fn without_a_page_it_is_code_two_and_says_what_to_do() {
        let failure = read(Path::new("/nonexistent/control.sock")).err().unwrap();
        assert_eq!(failure.code, 2);
        assert!(failure.text.starts_with("/nonexistent/time: No such file"), "{}", failure.text);
    }
}
