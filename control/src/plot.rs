//! `chimerctl plot`: the course of the clock as a picture.
//!
//! ```text
//!   course  the points of the daemon's answer, on one line of time
//!   svg     the picture
//!   page    the same as a page for a browser
//! ```

mod course;
mod page;
mod svg;

pub use course::{Course, Spot};
pub use drawing::axis::moment;

use crate::file::Modes;
use crate::screen::{Form, Screen};
use crate::status::{bound, offset};
use crate::text::{json, plain};
use crate::{Failure, exit, file};
use command_line::{PlotArguments, word};
use control_socket::{ask, history, read};
use report::read::{HistoryReply, StatusReply, SystemReport};
use std::path::Path;
use svg::Picture;

/// Of the picture alone, in pixels.
const WIDTH: f64 = 960.0;

/// Asks the engine, and draws.
pub fn show(socket: &Path, asked: &PlotArguments, form: Form) -> Result<String, Failure> {
    let span = word(&asked.span);
    let answer = history(socket, &span)?;
    let text = match form {
        Form::Json => json(&answer),
        Form::Text(_) => {
            let status: StatusReply = read(&ask(socket, "status")?)?;
            let host = host_name();
            let drawing = Drawing::of(&read(&answer)?, &status, &span, host.as_deref());
            if asked.html { drawing.page() } else { drawing.picture() }
        }
    };
    let Some(place) = &asked.output else { return Ok(text) };
    let unwritten = |error| Failure { text: format!("{}: {error}", place.display()), code: exit::UNWRITTEN };
    file::write(place, Modes::OPEN, text.as_bytes()).map_err(unwritten)?;
    Ok(String::new())
}

/// A picture of another course, with a title and what is said below it.
pub fn drawn(title: &str, said: &[String], course: &Course) -> String {
    let screen = Screen { width: (WIDTH / 7.0) as usize, is_utf8: true };
    let wrapped = said.iter().map(|text| screen.wrap(&screen.show(text), 0, 0));
    let lines: Vec<String> =
        wrapped.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    Picture { width: WIDTH, id: "history", title: Some(title), lines: &lines, course }.draw()
}

/// The name of this host, as its kernel has it.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().chars().take(64).collect()).filter(|name: &String| !name.is_empty())
}

/// What is drawn, and said beside it.
struct Drawing {
    title: String,
    sentence: String,
    since: String,
    course: Course,
    clock: SystemReport,
}

impl Drawing {
    fn of(reply: &HistoryReply, status: &StatusReply, span: &str, host: Option<&str>) -> Self {
        let course = Course::of(reply);
        let clock = status.report.clone().unwrap_or_default();
        let version = plain(status.version.as_ref());
        let since = match course.period() {
            Some((begin, end)) => {
                format!("from {} to {} UTC", moment(begin), moment(end))
            }
            None => "no history yet".to_owned(),
        };
        Self {
            title: format!("The clock of {}, last {span}", host.unwrap_or("this host")),
            sentence: sentence(&clock),
            since: format!("{since}; truechimer {version}"),
            course,
            clock,
        }
    }

    fn picture(&self) -> String {
        let lines = self.lines(WIDTH);
        Picture { width: WIDTH, id: "plot", title: Some(&self.title), lines: &lines, course: &self.course }
            .draw()
    }

    /// What is said below the title, in lines of this width.
    fn lines(&self, width: f64) -> Vec<String> {
        let screen = Screen { width: (width / 7.0) as usize, is_utf8: true };
        let wrapped = |text: &str| screen.wrap(&screen.show(text), 0, 0);
        [&self.sentence, &self.since]
            .into_iter()
            .flat_map(|text| wrapped(text).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

/// State and bound, in the words of `chimerctl status`.
pub fn sentence(clock: &SystemReport) -> String {
    let (state, reason) = (plain(clock.state.as_ref()), plain(clock.reason.as_ref()));
    match clock.last_update_s {
        None => format!("{state}: {reason}"),
        Some(_) => {
            format!("{state}: {reason}; offset {}, error bound {}", offset(clock.offset_s), bound(clock))
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
