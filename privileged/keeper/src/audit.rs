//! The audit log as it is written: one line for each change and each refusal. Its form is in [`ipc::audit_line`]; whether
//! what stood in it before is whole the launch has looked at.

use core::fmt::{self, Write};
use ipc::audit_line::{LINE, TEXT, finish, place};
use ipc::calendar::Rfc3339;
use ipc::units::{RawInstant, WallTime};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The open log.
#[derive(Debug)]
pub struct Audit {
    file: File,
    next: u64,
    hash: [u8; 32],
}

impl Audit {
    /// Continues after this number of lines, the last of which has this hash.
    pub fn after(file: File, (next, hash): (u64, [u8; 32])) -> Self {
        Self { file, next, hash }
    }

    /// Appends one line. Text beyond its width is cut.
    ///
    /// # Errors
    /// The file's error; the chain continues from the last written line.
    pub fn append(&mut self, wall: WallTime, raw: RawInstant, words: fmt::Arguments<'_>) -> io::Result<()> {
        let mut line = Line { octets: [b' '; LINE], used: 0 };
        let _ = write!(line, "sequence={} at={} raw={} {words}", self.next, Rfc3339(wall), raw.nanos());
        let hash = finish(&mut line.octets, &self.hash);
        self.file.write_all_at(&line.octets, place(self.next))?;
        self.next += 1;
        self.hash = hash;
        Ok(())
    }

    /// For the governor's record: how many lines there are, and the last one's hash.
    pub fn end(&self) -> (u64, [u8; 32]) {
        (self.next, self.hash)
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
