//! How this program ends: one sentence and one exit code for each cause.

use ipc::process::Process;
use ipc::text::escape;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::fmt;
use std::os::fd::AsFd;

/// Why the daemon ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM or SIGINT; with `--check`: the configuration is in order.
    Asked,
    /// Something that should not happen.
    Internal(String),
    /// The engine is gone, can't go on, or broke the protocol.
    Engine(String),
    /// Another process is gone or broke the protocol, says the engine.
    Lost(Process),
    /// An address can't be bound.
    Bind(String),
    /// A program, a user or a sandbox is missing.
    Launch(String),
    /// The clock can't be steered.
    NoClockControl(String),
    /// Configuration, state directory or command line; the sentence is empty where it has been printed.
    Configuration(String),
    /// What may pass without anybody's doing: a full or failing disk, a lack of memory, another instance.
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

    /// For a file or directory that the kernel refused, with the sentence for the administrator. Only what stays
    /// so until somebody changes a path, an owner, a mode or a kind may keep the service down; all else is tried again.
    pub fn refused(errno: Errno, sentence: String) -> Self {
        match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::EISDIR | Errno::ELOOP | Errno::ENAMETOOLONG => {
                Ending::Configuration(sentence)
            }
            Errno::EACCES | Errno::EPERM => Ending::Configuration(sentence),
            Errno::EBUSY | Errno::EEXIST | Errno::ENOTEMPTY | Errno::ETXTBSY => {
                Ending::Configuration(sentence)
            }
            Errno::EINVAL | Errno::ENXIO | Errno::ENODEV | Errno::EOPNOTSUPP | Errno::ENOSYS => {
                Ending::Configuration(sentence)
            }
            _ => Ending::Trouble(sentence),
        }
    }
}

/// The kernel's number of an error of the standard library; EIO where it has none.
pub fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// What the engine's goodbye means.
impl From<Process> for Ending {
    fn from(lost: Process) -> Self {
        match lost {
            Process::Engine => Ending::Engine("it says that it can't go on".into()),
            Process::Privileged => Ending::Engine("it says that this process is gone".into()),
            process => Ending::Lost(process),
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

/// One line on standard error, with the journal's prefix where the journal reads it; escaped, for names of files may hold
/// anything, and their owners be anybody. The stream is shared with other processes and may be full, blocked or gone: the
/// line is then lost, and nothing else happens.
pub fn say(severity: u8, text: &dyn fmt::Display) {
    let priority = if crate::journal::reads_stderr() { format!("<{severity}>") } else { String::new() };
    let line = format!("{priority}truechimerd: {}\n", escape(&text.to_string()));
    let stderr = std::io::stderr();
    let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    let now = TimeSpec::new(0, 0);
    if ppoll(&mut room, Some(now), None).is_ok_and(|ready| ready > 0) {
        let _ = nix::unistd::write(stderr.as_fd(), line.as_bytes());
    }
}
