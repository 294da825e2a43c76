//! The audit log as it is written: one line for each change and each refusal. Its form is in [`ipc::audit_line`]; the
//! launch has checked what was written before.

use core::fmt::{self, Write};
use ipc::audit_line::{End, LINE, ORDERS, Ring, STEPS, TEXT, finish};
use ipc::calendar::Rfc3339;
use ipc::units::{RawInstant, WallTime};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The open log.
#[derive(Debug)]
pub struct Audit {
    file: File,
    orders: End,
    steps: End,
    /// Lines that a power cut could take.
    is_unsynchronised: bool,
}

impl Audit {
    /// Continues after these ends of the two rings.
    pub fn after(file: File, orders: End, steps: End) -> Self {
        Self { file, orders, steps, is_unsynchronised: false }
    }

    /// Appends one line. Text beyond its width is cut.
    ///
    /// # Errors
    /// The file's error; the chain continues from the last written line.
    pub fn append(&mut self, wall: WallTime, raw: RawInstant, words: fmt::Arguments<'_>) -> io::Result<()> {
        self.orders = write(&self.file, ORDERS, self.orders, (wall, raw), words)?;
        self.is_unsynchronised = true;
        Ok(())
    }

    /// Appends one line, and the same to the ring of the steps.
    ///
    /// # Errors
    /// As there; the line may then be in the ring of the steps only.
    pub fn append_step(
        &mut self,
        wall: WallTime,
        raw: RawInstant,
        words: fmt::Arguments<'_>,
    ) -> io::Result<()> {
        self.steps = write(&self.file, STEPS, self.steps, (wall, raw), words)?;
        self.append(wall, raw, words)
    }

    /// Synchronises to disk what is not there yet.
    ///
    /// # Errors
    /// The file's error; it is tried again at the next call.
    pub fn synchronise(&mut self) -> io::Result<()> {
        if self.is_unsynchronised {
            self.file.sync_data()?;
            self.is_unsynchronised = false;
        }
        Ok(())
    }

    /// For the governor's record: of all lines, and of the steps.
    pub fn ends(&self) -> (End, End) {
        (self.orders, self.steps)
    }
}

fn write(
    file: &File,
    ring: Ring,
    end: End,
    (wall, raw): (WallTime, RawInstant),
    words: fmt::Arguments<'_>,
) -> io::Result<End> {
    let mut line = Line { octets: [b' '; LINE], used: 0 };
    let _ = write!(line, "sequence={} at={} raw={} {words}", end.lines, Rfc3339(wall), raw.nanos());
    let hash = finish(&mut line.octets, &end.hash);
    file.write_all_at(&line.octets, ring.place(end.lines))?;
    Ok(End { lines: end.lines + 1, hash })
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
