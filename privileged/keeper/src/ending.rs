//! How the daemon ends, before and after the lock-down: one message and one exit code for each cause.

use crate::kernel;
use ipc::process::{Parting, Process};
use ipc::text::escape;
use ipc::units::Span;
use std::fmt;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::OnceLock;

/// Why the daemon ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM or SIGINT; with `--check`: the configuration is valid.
    Asked,
    /// Something that should not happen.
    Internal(String),
    /// The engine is gone, cannot continue, or violated the protocol.
    Engine(String),
    /// Another process is gone or broke the protocol, according to the engine.
    Lost(Process),
    /// An address cannot be bound.
    Bind(String),
    /// A program, a user or a sandbox is missing.
    Launch(String),
    /// The clock cannot be steered.
    NoClockControl(String),
    /// Configuration, state directory or command line; the message is empty if it has been printed already.
    Configuration(String),
    /// A condition that may pass without intervention: a full or failing disk, a lack of memory, another instance.
    Trouble(String),
    /// The clock did something else than it was told.
    Governor(String),
}

impl Ending {
    /// The exit code; the service unit restarts on all but 77, 78 and 79.
    pub fn code(&self) -> i32 {
        match self {
            Ending::Asked => 0,
            Ending::Internal(_) => 70,
            Ending::Engine(_) => Process::Engine.exit_code(),
            Ending::Lost(process) => process.exit_code(),
            Ending::Bind(_) => 85,
            Ending::Launch(_) => 86,
            Ending::NoClockControl(_) => 77,
            Ending::Configuration(_) => 78,
            Ending::Trouble(_) => 75,
            Ending::Governor(_) => 79,
        }
    }
}

/// What the engine's goodbye means.
impl From<Parting> for Ending {
    fn from(parting: Parting) -> Self {
        match parting {
            Parting::Restart => {
                Ending::Trouble("a start is to take back the files of the state directory".into())
            }
            Parting::Lost(Process::Engine) => Ending::Engine("it reports that it cannot continue".into()),
            Parting::Lost(Process::Privileged) => {
                Ending::Engine("it reports of this process what it cannot know".into())
            }
            Parting::Lost(process) => Ending::Lost(process),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Asked => f.write_str("asked to stop; the clock runs on at its base frequency"),
            Ending::Engine(why) => {
                write!(
                    f,
                    "the engine is gone or broke its protocol ({why}); the clock runs on at its base frequency"
                )
            }
            Ending::Lost(process) => {
                let title = process.title();
                write!(f, "{title} is gone or broke its protocol; the clock runs on at its base frequency")
            }
            Ending::Internal(why)
            | Ending::Bind(why)
            | Ending::Launch(why)
            | Ending::NoClockControl(why)
            | Ending::Configuration(why)
            | Ending::Trouble(why)
            | Ending::Governor(why) => f.write_str(why),
        }
    }
}

/// Whether lines begin with a severity in angle brackets, as the journal takes it (sd-daemon(3)).
static FOR_THE_JOURNAL: OnceLock<bool> = OnceLock::new();

/// Says, once, whether the journal reads standard error.
pub fn for_the_journal(is_reader: bool) {
    let _ = FOR_THE_JOURNAL.set(is_reader);
}

/// As [`say`], of at most 300 octets and not escaped, without an allocation: the allocator may be what failed.
pub fn say_at_once(severity: u8, text: fmt::Arguments<'_>) {
    let mut line = [b' '; 300];
    let mut left = &mut line[..299];
    let is_reader = FOR_THE_JOURNAL.get().is_some_and(|is_reader| *is_reader);
    let _ = if is_reader { write!(left, "<{severity}>") } else { Ok(()) };
    let _ = write!(left, "truechimerd: {text}");
    let used = 299 - left.len();
    line[used] = b'\n';
    let _ = std::io::stderr().write(&line[..=used]);
}

/// One line on standard error, with a severity prefix if it is connected to the journal. It is escaped, since file
/// names may hold anything. The stream is shared with other processes and may be full, blocked or closed: the line is
/// then lost, without further effect.
pub fn say(severity: u8, text: &dyn fmt::Display) {
    let is_reader = FOR_THE_JOURNAL.get().is_some_and(|is_reader| *is_reader);
    let priority = if is_reader { format!("<{severity}>") } else { String::new() };
    let line = format!("{priority}truechimerd: {}\n", escape(&text.to_string()));
    let mut stderr = std::io::stderr();
    if kernel::wait([(stderr.as_fd(), libc::POLLOUT)], Span::ZERO).is_ok_and(|[has_room]| has_room) {
        let _ = stderr.write(line.as_bytes());
    }
}
