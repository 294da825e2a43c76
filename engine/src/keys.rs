//! Keys that survive a restart: those of the associations with NTS sources, and the secret from which the keys
//! of cookies are made. In two slots of bounded length, written in turn, so that a write that is cut short
//! destroys the older one only.
//!
//! ```text
//!   0 .. 16   "truechimer-keys4"
//!  16 .. 24   sequence: the slot with the larger one counts
//!  24 .. 32   number of the file's inode: in a copy of the file, on this host or another, nothing counts
//!  32 .. 36   length of the body
//!  36 ..      body (record.rs), then its checksum, 8 octets
//! ```
//!
//! Head and checksum are the same in all forms. A file with a slot of a later one is left alone: whoever goes back to an earlier build for
//! a while finds again what he had. The keys of such a run are in memory only.
//!
//! The privileged process opens the file (mode 0600, owned by root or by the user who started the daemon) and refuses
//! one that other users may read. The file is not synchronised when a cookie is used: after a system crash it may still
//! hold cookies that were sent once, which costs privacy and nothing else. A new secret is on disk, in both slots,
//! before it is used (`keeping.rs`).

mod record;

pub use record::Roots;

use engine_core::io::SavedAssociation;
use ipc::checksum::checksum;
use protocol::nts::ratchet::State;
use record::{Form, read_body, write_body};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use zeroize::Zeroizing;

/// Longest slot in octets; the file has two.
const SLOT: usize = 256 * 1024;

/// First octets of a slot; the digit grows when the form changes.
const MAGIC: [u8; 16] = *b"truechimer-keys4";

/// Those of the form before it, which is read: its associations say nothing of where their keys were exchanged.
const BEFORE: [u8; 16] = *b"truechimer-keys3";

/// Where a later form is found.
const LATER: &str = "the file of keys (engine.keys) was written by a later build of truechimer and stays as it is: keys are exchanged anew, \
                     and nothing of this run is kept in it; remove it if that build is not to come back";

/// Octets before the body.
const HEAD: usize = 36;

/// Octets of the checksum.
const CHECK: usize = 8;

/// Whose secret the keys of cookies come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This server made it.
    Own,
    /// The fleet's, from the configuration.
    Fleet,
}

/// What is kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// The secret of the cookies' keys; none: no server with NTS.
    pub ratchet: Option<(Origin, State)>,
    /// Associations with sources.
    pub associations: Vec<SavedAssociation>,
    /// How many more the file had, whose roots are no longer configured; never written.
    pub left_out: usize,
}

/// The file.
#[derive(Debug)]
pub struct KeyFile {
    file: File,
    inode: u64,
    roots: Roots,
    sequence: u64,
    /// Octets of each slot that may hold something.
    used: [usize; 2],
    /// A later build wrote it.
    is_left_alone: bool,
}

impl KeyFile {
    /// Takes the file; [`Self::load`] comes first. `inode` is the number of its inode, asked for before the
    /// filter was in force.
    pub fn new(fd: OwnedFd, inode: u64, roots: Roots) -> Self {
        Self { file: File::from(fd), inode, roots, sequence: 0, used: [0; 2], is_left_alone: false }
    }

    /// What was kept last, and a sentence where something in the file was ignored. Never reads more than the
    /// two slots.
    pub fn load(&mut self) -> (Kept, Option<String>) {
        let mut best: Option<(u64, Kept)> = None;
        let mut complaint = None;
        for place in 0..2 {
            match self.read_slot(place) {
                Ok(None) => {}
                Ok(Some((sequence, kept))) if best.as_ref().is_none_or(|(newest, _)| sequence > *newest) => {
                    best = Some((sequence, kept));
                }
                Ok(Some(_)) => {}
                Err(why) => {
                    // How far it reaches is unknown: it is overwritten to its end.
                    self.used[place] = SLOT;
                    complaint = Some(why);
                }
            }
        }
        self.sequence = best.as_ref().map_or(0, |(sequence, _)| *sequence);
        if self.is_left_alone {
            // Each start would send the cookies of an earlier slot again, and be recognised by them.
            let (ratchet, left_out) = best.map_or((None, 0), |(_, kept)| (kept.ratchet, kept.left_out));
            return (Kept { ratchet, associations: Vec::new(), left_out }, Some(LATER.to_owned()));
        }
        let complaint = complaint.map(|why| match &best {
            Some(_) => format!("one slot of the file of keys is ignored ({why}); the other one is used"),
            None => format!("the file of keys is ignored ({why}); keys are exchanged anew"),
        });
        (best.map(|(_, kept)| kept).unwrap_or_default(), complaint)
    }

    /// Whether it is never written, since a later build wrote it.
    pub fn is_left_alone(&self) -> bool {
        self.is_left_alone
    }

    /// Goes on from the file of the other directory if it was written later, and gives what it holds; later saves count
    /// on from there.
    pub fn continue_from(&mut self, aside: &mut Self) -> Option<Kept> {
        let (kept, _) = aside.load();
        if aside.sequence <= self.sequence {
            return None;
        }
        self.sequence = aside.sequence;
        Some(kept)
    }

    /// Overwrites what it is known to hold, as far as it can be written.
    pub fn void(self) {
        if self.is_left_alone {
            return;
        }
        for (place, used) in self.used.into_iter().enumerate() {
            let _ = self.file.write_all_at(&vec![0; used], (place * SLOT) as u64);
        }
    }

    fn read_slot(&mut self, place: usize) -> Result<Option<(u64, Kept)>, &'static str> {
        const TORN: &str = "cut short or altered";
        let start = (place * SLOT) as u64;
        let mut head = [0; HEAD];
        let length = read_up_to(&self.file, &mut head, start)?;
        if head.iter().take(length).all(|octet| *octet == 0) {
            return Ok(None);
        }
        let (magic, rest) = head.split_first_chunk().ok_or(TORN)?;
        let (sequence, rest) = rest.split_first_chunk().ok_or(TORN)?;
        let (inode, rest) = rest.split_first_chunk().ok_or(TORN)?;
        let body = u32::from_be_bytes(*rest.first_chunk().ok_or(TORN)?) as usize;
        let form = match *magic {
            MAGIC => Some(Form::Current),
            BEFORE => Some(Form::Before),
            later if is_later(later) => None,
            _ => return Err("of another version, or no file of keys"),
        };
        let total = body.checked_add(HEAD + CHECK).filter(|total| *total <= SLOT).ok_or(TORN)?;
        let mut slot = Zeroizing::new(vec![0; total]);
        if read_up_to(&self.file, &mut slot, start)? != total {
            return Err(TORN);
        }
        let (checked, check) = slot.split_last_chunk().ok_or(TORN)?;
        if checksum(checked) != u64::from_be_bytes(*check) {
            return Err(TORN);
        }
        if u64::from_be_bytes(*inode) != self.inode {
            return Err("a copy of another host's or of an older file");
        }
        let Some(form) = form else {
            self.is_left_alone = true;
            return Err("of a later build");
        };
        let body = checked.get(HEAD..).ok_or(TORN)?;
        let kept = read_body(body, &self.roots, form).ok_or("not understood")?;
        self.used[place] = total;
        Ok(Some((u64::from_be_bytes(*sequence), kept)))
    }

    /// Writes the older slot; it does not wait for the disk.
    ///
    /// # Errors
    /// Those of the file system; the newer slot is as it was.
    pub fn save(&mut self, kept: &Kept) -> std::io::Result<()> {
        if self.is_left_alone {
            return Err(std::io::Error::other("a later build wrote it"));
        }
        let sequence = self.sequence.saturating_add(1);
        let place = usize::from(sequence.is_multiple_of(2));
        let mut body = write_body(kept, &self.roots, SLOT - HEAD - CHECK);
        let total = body.len().saturating_add(HEAD + CHECK);
        let reserved = total.max(self.used[place]);
        let mut slot = Zeroizing::new(Vec::with_capacity(reserved));
        slot.extend_from_slice(&MAGIC);
        slot.extend_from_slice(&sequence.to_be_bytes());
        slot.extend_from_slice(&self.inode.to_be_bytes());
        slot.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        slot.append(&mut body);
        let check = checksum(&slot);
        slot.extend_from_slice(&check.to_be_bytes());
        // What was longer before is gone too.
        slot.resize(reserved, 0);
        self.file.write_all_at(&slot, (place * SLOT) as u64)?;
        self.used[place] = total;
        self.sequence = sequence;
        Ok(())
    }

    /// Writes both slots, so that neither holds what was there before, and waits until they are on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn replace(&mut self, kept: &Kept) -> std::io::Result<()> {
        self.save(kept)?;
        // Not both at once: one of them is whole at every moment.
        self.sync()?;
        self.save(kept)?;
        self.sync()
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }
}

/// Whether these are the first octets of a slot of a form after ours.
fn is_later(magic: [u8; 16]) -> bool {
    let ([name @ .., digit], [ours @ .., current]) = (magic, MAGIC);
    name == ours && digit.is_ascii_digit() && digit > current
}

/// Reads until the end of `room` or of the file; gives the number of octets.
fn read_up_to(file: &File, room: &mut [u8], from: u64) -> Result<usize, &'static str> {
    let mut length = 0;
    while let Some(rest) = room.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, from.saturating_add(length as u64)) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Err("it cannot be read"),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
