//! A running truechimer-chrony-logs, and a reader of such files: written from chrony.conf(5), so that it shares no mistake with
//! the program.

use crate::daemon::spawn;
use crate::programs::{Place, copy_program, program};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A user that no package has, as which it runs where the tests are root's.
const USER: u32 = 61_391;

/// The columns of chrony.conf(5), as they stand in a banner of their file.
pub const COLUMNS: [(&str, &[&str]); 3] = [
    (
        "measurements",
        &[
            "date",
            "time",
            "address",
            "leap",
            "stratum",
            "tests 1-3",
            "tests 5-7",
            "tests A-D",
            "local poll",
            "remote poll",
            "score",
            "offset",
            "delay",
            "dispersion",
            "root delay",
            "root dispersion",
            "reference id",
            "mode",
            "sent by",
            "received by",
        ],
    ),
    (
        "statistics",
        &[
            "date",
            "time",
            "address",
            "deviation",
            "offset",
            "offset error",
            "frequency",
            "skew",
            "stress",
            "samples",
            "pruned",
            "runs",
            "asymmetry",
        ],
    ),
    (
        "tracking",
        &[
            "date",
            "time",
            "address",
            "stratum",
            "frequency",
            "skew",
            "offset",
            "leap",
            "combined",
            "offset error",
            "left",
            "root delay",
            "root dispersion",
            "most error",
        ],
    ),
];

/// A folder for the files, which the program may write.
///
/// # Panics
/// If it cannot be made.
pub fn folder(word: &str) -> Place {
    let place = Place::new(word);
    if crate::is_root() {
        chown(place.join("."), Some(USER), Some(USER)).expect("root may");
    }
    place
}

/// The group that may read this control socket; none: it is not there, or the tests are not root's.
pub fn group_of(control: &Path) -> Option<u32> {
    std::fs::metadata(control).ok().filter(|_| crate::is_root()).map(|facts| facts.gid())
}

/// A running program; killed when dropped.
pub struct ChronyLogs {
    child: Child,
    program: Place,
    folder: PathBuf,
}

impl ChronyLogs {
    /// Starts it for the daemon of this control socket, with these further words of its command line. It runs as a user who may
    /// read the socket, if that is there.
    ///
    /// # Panics
    /// If it was not built.
    pub fn start(control: &Path, folder: &Path, words: &[&str]) -> Self {
        Self::start_as(group_of(control), &[], control, folder, words)
    }

    /// The same as a user of this group, or as that of the test, by way of another program.
    ///
    /// # Panics
    /// If it was not built.
    pub fn start_as(
        group: Option<u32>,
        wrapper: &[&str],
        control: &Path,
        folder: &Path,
        words: &[&str],
    ) -> Self {
        let place = Place::new("chrony-logs");
        // Where any user can execute it.
        let copy = place.join("truechimer-chrony-logs");
        copy_program(&program("truechimer-chrony-logs"), &copy);
        let log = std::fs::File::create(place.join("log")).expect("a new folder can be written");
        let copy = copy.display().to_string();
        let line: Vec<&str> = wrapper.iter().copied().chain([copy.as_str()]).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).arg("--socket").arg(control).arg("--folder").arg(folder).args(words);
        if let Some(group) = group {
            command.uid(USER).gid(group);
        }
        let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log));
        Self { child, program: place, folder: folder.to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// If that cannot be found out.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.program.join("log")).unwrap_or_default()
    }

    /// The lines of a file without its banners; none where there is no file.
    pub fn lines(&self, file: &str) -> Vec<String> {
        lines(&self.folder.join(file))
    }
}

impl Drop for ChronyLogs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a file without its banners.
pub fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let is_banner = |line: &str| line.starts_with('=') || line.starts_with("   Date");
    text.lines().filter(|line| !is_banner(line)).map(str::to_owned).collect()
}

/// One line, read by its columns.
#[derive(Clone, Debug)]
pub struct Row {
    columns: &'static [&'static str],
    values: Vec<String>,
    /// Where each of them begins and ends.
    pub places: Vec<(usize, usize)>,
}

impl Row {
    /// Of the file of this name; none: another number of columns.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn read(name: &str, line: &str) -> Option<Self> {
        let (_, columns) = COLUMNS.iter().find(|(of, _)| *of == name).expect("one of the three files");
        let (mut values, mut places) = (Vec::new(), Vec::new());
        let mut at = 0;
        for value in line.split(' ') {
            if !value.is_empty() {
                values.push(value.to_owned());
                places.push((at, at + value.len()));
            }
            at += value.len() + 1;
        }
        (values.len() == columns.len()).then_some(Self { columns, values, places })
    }

    /// The value of a column.
    ///
    /// # Panics
    /// If there is none of this name.
    #[track_caller]
    pub fn text(&self, column: &str) -> &str {
        let at = self.columns.iter().position(|name| *name == column).expect("a column of this file");
        &self.values[at]
    }

    /// The same as a number.
    ///
    /// # Panics
    /// If it is none.
    #[track_caller]
    pub fn number(&self, column: &str) -> f64 {
        let text = self.text(column);
        text.parse().unwrap_or_else(|_| panic!("{column}: {text} is no number"))
    }
}
