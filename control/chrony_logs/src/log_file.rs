//! One file: whole lines or none, a banner now and then, and never more than is allowed.

use crate::folder::{Folder, Identity};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// How far back the end of the last whole line is looked for: no line is longer.
const LONGEST_LINE: u64 = 4096;

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Lines between two banners; 0: there is none.
    pub banner: u32,
    /// The most octets of a file. Before there are more, it is given another name, which its predecessor loses.
    pub most: u64,
}

/// A file of lines.
#[derive(Debug)]
pub struct LogFile {
    name: String,
    old_name: String,
    banner: String,
    form: Form,
    open: Option<(File, Identity)>,
    /// Lines since the file was opened.
    written: u32,
    /// Why lines are lost, and how many have been.
    trouble: Option<(String, u64)>,
}

impl LogFile {
    /// `NAME.log`, with this text as its banner.
    pub fn new(name: &str, banner: &str, form: Form) -> Self {
        let rule = "=".repeat(banner.len());
        Self {
            name: format!("{name}.log"),
            old_name: format!("{name}.log.old"),
            banner: format!("{rule}\n{banner}\n{rule}\n"),
            form,
            open: None,
            written: 0,
            trouble: None,
        }
    }

    /// Writes a line, or nothing. Returns what is to be said about it: that lines are lost, once, and that they no longer are.
    pub fn write(&mut self, folder: &Folder, line: &str) -> Option<String> {
        match (self.try_to_write(folder, line), self.trouble.take()) {
            (Ok(()), None) => None,
            (Ok(()), Some((_, lost))) => {
                Some(format!("{} is written again; {lost} lines are lost", self.name))
            }
            (Err(error), Some((why, lost))) => {
                self.open = None;
                let now = error.to_string();
                let said = (now != why).then(|| format!("{} still cannot be written: {now}", self.name));
                self.trouble = Some((now, lost.saturating_add(1)));
                said
            }
            (Err(error), None) => {
                self.open = None;
                let why = error.to_string();
                let said = format!("{} cannot be written, and its lines are lost: {why}", self.name);
                self.trouble = Some((why, 1));
                Some(said)
            }
        }
    }

    fn try_to_write(&mut self, folder: &Folder, line: &str) -> io::Result<()> {
        let mut file = self.current(folder)?;
        let mut text = self.with_banner(line);
        let mut before = file.metadata()?.len();
        if before > 0 && before.saturating_add(text.len() as u64) > self.form.most {
            folder.rename(&self.name, &self.old_name)?;
            file = self.current(folder)?;
            text = self.with_banner(line);
            before = file.metadata()?.len();
        }
        let wrote = (&file).write(text.as_bytes());
        if wrote.as_ref().is_ok_and(|length| *length == text.len()) {
            self.written = self.written.wrapping_add(1);
            return Ok(());
        }
        // Less than the line fitted: what did is taken away again.
        file.set_len(before)?;
        Err(wrote.err().unwrap_or_else(|| io::Error::from_raw_os_error(nix::libc::ENOSPC)))
    }

    /// The line, behind the banner where that is due.
    fn with_banner(&self, line: &str) -> String {
        let is_due = self.written.checked_rem(self.form.banner) == Some(0);
        format!("{}{line}\n", if is_due { &self.banner } else { "" })
    }

    /// The file that has the name, opened anew if another one has it, or none.
    fn current(&mut self, folder: &Folder) -> io::Result<File> {
        let named = folder.identity(&self.name)?;
        if let Some((file, identity)) = &self.open
            && named == Some(*identity)
        {
            return file.try_clone();
        }
        let file = folder.append(&self.name)?;
        cut_torn_line(&file)?;
        let identity = Identity::of_file(&file)?;
        self.written = 0;
        self.open = Some((file.try_clone()?, identity));
        Ok(file)
    }
}

/// Removes what a power failure or another program has left behind the last whole line.
fn cut_torn_line(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(LONGEST_LINE);
    let mut end = vec![0; usize::try_from(length - from).unwrap_or(0)];
    file.read_exact_at(&mut end, from)?;
    match end.iter().rposition(|octet| *octet == b'\n') {
        Some(at) if at + 1 == end.len() => Ok(()),
        Some(at) => file.set_len(from + at as u64 + 1),
        // No line of ours is that long.
        None if from > 0 => { file }.write_all(b"\n"),
        None => file.set_len(0),
    }
}

#[cfg(test)]
mod tests;
