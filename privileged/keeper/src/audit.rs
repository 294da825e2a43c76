//! The audit log as it is written: one line for each change and each refusal. Its form is in [`ipc::audit_line`]; the
//! launch has checked what was written before.

use core::fmt::{self, Write};
use ipc::audit_line::{End, LINE, TEXT, finish, place};
use ipc::calendar::Rfc3339;
use ipc::units::{RawInstant, WallTime};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The open log.
#[derive(Debug)]
pub struct Audit {
    file: File,
    end: End,
}

impl Audit {
    /// Continues after this end.
    pub fn after(file: File, end: End) -> Self {
        Self { file, end }
    }

    /// Appends one line. Text beyond its width is cut.
    ///
    /// # Errors
    /// The file's error; the chain continues from the last written line.
    pub fn append(&mut self, wall: WallTime, raw: RawInstant, words: fmt::Arguments<'_>) -> io::Result<()> {
        let mut line = Line { octets: [b' '; LINE], used: 0 };
        let _ = write!(line, "sequence={} at={} raw={} {words}", self.end.lines, Rfc3339(wall), raw.nanos());
        let hash = finish(&mut line.octets, &self.end.hash);
        self.file.write_all_at(&line.octets, place(self.end.lines))?;
        self.end = End { lines: self.end.lines + 1, hash };
        Ok(())
    }

    /// For the governor's record.
    pub fn end(&self) -> End {
        self.end
    }
}

struct Line {
    octets: [u8; LINE],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.octets[self.used..TEXT];
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        self.used += length;
        Ok(())
    }
}
