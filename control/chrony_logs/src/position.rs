//! How far the measurements of which run of the daemon have been written, kept over restarts of this program.
//!
//! It is kept after the lines are written, in place, and so that its length never changes: a full disk cannot hinder it. If this
//! program is killed between the two, [`Written`] finds the lines that are there.

use crate::folder::Folder;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Its file, beside the others.
const NAME: &str = "position";

/// The longest name of a run.
const LONGEST_RUN: usize = 64;

/// As much of a file's end as may be of one question and not yet counted as written.
const TAIL: u64 = 256 * 1024;

/// The last measurement that was dealt with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The run of the daemon; empty: none yet.
    pub run: String,
    /// The measurement's number.
    pub number: u64,
}

impl Position {
    /// The one that was kept last; none: there is none, or it is no longer whole.
    pub fn read(folder: &Folder) -> Option<Self> {
        let octets = folder.tail(NAME, 2 * LONGEST_RUN as u64)?;
        let text = String::from_utf8(octets).ok()?;
        let (run, number) = text.strip_suffix('\n')?.split_once(' ')?;
        let run = run.to_owned();
        let number = number.trim_start().parse().ok()?;
        is_run(&run).then_some(Self { run, number })
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn keep(&self, folder: &Folder, file: &mut Option<File>) -> io::Result<()> {
        let kept = match file.take() {
            Some(kept) => kept,
            None => folder.keep(NAME)?,
        };
        let width = LONGEST_RUN + 24 - self.run.len();
        let line = format!("{} {:>width$}\n", self.run, self.number);
        kept.write_all_at(line.as_bytes(), 0)?;
        *file = Some(kept);
        Ok(())
    }
}

/// Whether this is how a run can be called.
pub fn is_run(name: &str) -> bool {
    (1..=LONGEST_RUN).contains(&name.len())
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// The lines at the ends of the files when this program began.
#[derive(Debug, Default)]
pub struct Written {
    /// Lines of measurements, and how often each is there.
    measurements: BTreeMap<String, u32>,
    /// Date, time and address of the lines of the other files, by their name.
    others: BTreeSet<(&'static str, String)>,
}

impl Written {
    /// Reads the ends of the files, and of those whose place they have taken.
    pub fn read(folder: &Folder) -> Self {
        let mut written = Self::default();
        let lines = |name: &str| {
            // By logrotate, and by ourselves.
            let files = ["log.1", "log.old", "log"].map(|end| format!("{name}.{end}"));
            let texts = files.map(|file| folder.tail(&file, TAIL).unwrap_or_default());
            let text = texts.map(|octets| String::from_utf8_lossy(&octets).into_owned()).concat();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        for line in lines("measurements") {
            *written.measurements.entry(line).or_default() += 1;
        }
        for name in ["statistics", "tracking"] {
            written.others.extend(lines(name).iter().map(|line| (name, beginning(line))));
        }
        written
    }

    /// Whether this line of measurements is there; each of them counts once.
    pub fn has_measurement(&mut self, line: &str) -> bool {
        match self.measurements.get_mut(line) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }

    /// Whether a line of the same date, time and address is in the file of this name.
    pub fn has_other(&self, name: &'static str, line: &str) -> bool {
        self.others.contains(&(name, beginning(line)))
    }
}

/// Date, time and address.
fn beginning(line: &str) -> String {
    line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn folder(name: &str) -> (PathBuf, Folder) {
        let path = std::env::temp_dir().join(format!("chrony-logs-position-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        let folder = Folder::open(&path).unwrap();
        (path, folder)
    }

    #[test]
    fn what_is_kept_is_read_and_its_length_stays() {
        let (path, folder) = folder("kept");
        assert_eq!(Position::read(&folder), None);
        let mut file = None;
        let mut lengths = BTreeSet::new();
        for (run, number) in [("1f-18c", 1), ("a", u64::MAX), (&"f".repeat(64), 7)] {
            let position = Position { run: run.to_owned(), number };
            position.keep(&folder, &mut file).unwrap();
            assert_eq!(Position::read(&folder), Some(position));
            lengths.insert(std::fs::metadata(path.join(NAME)).unwrap().len());
        }
        assert_eq!(lengths.len(), 1);
        for broken in ["", "a\n", "a 7", "a x\n", "/ 7\n", " 7\n"] {
            std::fs::write(path.join(NAME), broken).unwrap();
            assert_eq!(Position::read(&folder), None, "{broken:?}");
        }
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_line_that_is_there_twice_is_found_twice() {
        let (path, folder) = folder("written");
        std::fs::write(path.join("measurements.log"), "a\nb\n").unwrap();
        std::fs::write(path.join("measurements.log.1"), "a\n").unwrap();
        std::fs::write(path.join("tracking.log"), "2026-01-02 03:04:05 192.0.2.1   2 x\n").unwrap();
        let mut written = Written::read(&folder);
        let found = ["a", "a", "a", "b", "b"].map(|line| written.has_measurement(line));
        assert_eq!(found, [true, true, false, true, false]);
        assert!(written.has_other("tracking", "2026-01-02 03:04:05 192.0.2.1 y"));
        assert!(!written.has_other("tracking", "2026-01-02 03:04:06 192.0.2.1 y"));
        assert!(!written.has_other("statistics", "2026-01-02 03:04:05 192.0.2.1 y"));
        std::fs::remove_dir_all(path).unwrap();
    }
}
