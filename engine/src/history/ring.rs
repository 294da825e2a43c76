//! The ring of records in its file: where an earlier run has left it, and one record after the other.

use engine_core::io::Now;
use ipc::history::{BODY, End, MOST_DAYS, NUMBERS, OF_A_DAY, RECORD, Record, Said, TORN, chain};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Not more records than this are written between two synchronisations, so that a power cut takes no more than [`TORN`].
const UNSYNCHRONISED: u64 = TORN / 2;

/// See the module's head.
#[derive(Debug)]
pub struct Ring {
    pub(super) file: File,
    /// How many records the file had room for before this run.
    there: u64,
    /// How many records it has room for.
    pub(super) places: u64,
    /// No place of it is unwritten: it keeps its size.
    is_full: bool,
    pub(super) end: End,
    /// What was found in the file, which does not change by a second look.
    found: Option<Found>,
    /// What a power cut had left behind the end is cleared.
    is_resumed: bool,
    /// Records since the last synchronisation.
    unsynchronised: u64,
}

/// Where a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) end: End,
    /// How many places behind it have records that are thrown away.
    pub(super) torn: u64,
    /// Of the record at the first place.
    pub(super) first: u64,
    /// The last records do not follow from those before them, and no power cut explains that.
    pub(super) is_altered: bool,
}

impl Ring {
    /// Of a file of so many octets, which nobody has looked into.
    pub fn new(file: File, length: u64) -> Self {
        let there = length / RECORD as u64;
        Self {
            file,
            there,
            places: there,
            is_full: false,
            end: End::NONE,
            found: None,
            is_resumed: false,
            unsynchronised: 0,
        }
    }

    /// Goes on where the file ends; after an error, the next call does.
    ///
    /// # Errors
    /// The kernel's; of another kind ([`is_foreign`]) if the file is no history, which no waiting mends.
    pub(super) fn resume(&mut self) -> io::Result<Found> {
        let found = match self.found {
            Some(found) => found,
            None => find_end(&self.file, self.there)?,
        };
        self.found = Some(found);
        if !self.is_resumed {
            (self.end, self.is_full) = (found.end, found.first > 0);
            clear(&self.file, self.there, &found)?;
            self.is_resumed = true;
        }
        Ok(found)
    }

    /// The file is to have room for so many days. One that is full keeps the room that it has, and none gets smaller.
    pub fn give_room(&mut self, days: u16) {
        if self.is_resumed && !self.is_full {
            let wanted = u64::from(days.min(MOST_DAYS)) * OF_A_DAY;
            self.places = self.places.max(wanted);
        }
    }

    /// Appends one record.
    ///
    /// # Errors
    /// The kernel's; the next one is written in its place.
    pub fn append(&mut self, at: Now, said: Said) -> io::Result<()> {
        let sequence = self.end.lines;
        let record = Record { sequence, wall: at.wall, raw: at.raw, said };
        let (octets, hash) = record.encode(&self.end.hash);
        // After a power cut the file must not be shorter than the round in whose first places the next one stands.
        let is_round = !self.is_full && sequence >= self.places;
        if is_round || self.unsynchronised >= UNSYNCHRONISED {
            self.synchronise()?;
            self.is_full |= is_round;
        }
        let place = sequence % self.places.max(1);
        self.file.write_all_at(&octets, place * RECORD as u64)?;
        self.end = End { lines: sequence.saturating_add(1), hash };
        self.unsynchronised = self.unsynchronised.saturating_add(1);
        Ok(())
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// The kernel's.
    pub fn synchronise(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.unsynchronised = 0;
        Ok(())
    }

    /// How many records a power cut could take now.
    #[cfg(test)]
    pub fn unsynchronised(&self) -> u64 {
        self.unsynchronised
    }
}

/// The file is none of ours: it stays as it is.
pub fn is_foreign(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other
}

/// The number of a record, its octets and its hash.
type Stored = (u64, [u8; RECORD], [u8; 32]);

/// The record at this place, if it is one.
fn read(file: &File, place: u64) -> io::Result<Option<Stored>> {
    let mut octets = [0; RECORD];
    match file.read_exact_at(&mut octets, place * RECORD as u64) {
        Ok(()) => {
            let found = Record::decode(&octets).filter(|(record, _)| record.sequence < NUMBERS);
            Ok(found.map(|(record, hash)| (record.sequence, octets, hash)))
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the history in a file of so many places ends.
pub(super) fn find_end(file: &File, there: u64) -> io::Result<Found> {
    let empty = Found { end: End::NONE, torn: 0, first: 0, is_altered: false };
    let Some(first) = find_first(file, there)? else { return Ok(empty) };
    let stands = |sequence: u64| -> io::Result<bool> {
        Ok(read(file, sequence % there)?.is_some_and(|(found, ..)| found == sequence))
    };
    // One that cannot be read, or a block that is missing, is not the end: what follows it may stand.
    let stands_about = |sequence: u64| -> io::Result<bool> {
        for later in sequence..sequence.saturating_add(TORN.min(there)) {
            if stands(later)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let (mut low, mut high) = (0, there);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if stands_about(first.saturating_add(middle))? { low = middle } else { high = middle }
    }
    let newest = first.saturating_add(low);
    // A block in the middle may be missing, also where the ring begins again; and one may have come to the disk behind a missing one.
    let oldest = newest.saturating_sub(TORN.min(there - 1));
    let mut end = newest;
    for sequence in (oldest..newest).rev() {
        if !stands(sequence)? {
            end = sequence.saturating_sub(1).max(oldest);
        }
    }
    let before = |sequence: u64| -> io::Result<[u8; 32]> {
        match sequence.checked_sub(1) {
            None => Ok([0; 32]),
            Some(before) => Ok(read(file, before % there)?.map_or([0; 32], |(.., hash)| hash)),
        }
    };
    // The last ones may be torn themselves.
    let whole = end;
    let mut follows = false;
    while !follows && whole - end < TORN {
        let Some((_, octets, hash)) = read(file, end % there)? else { break };
        follows = chain(&before(end)?, &octets[..BODY]) == hash;
        match follows {
            false if end == 0 => break,
            false => end -= 1,
            true => {}
        }
    }
    if !follows {
        // That is no power cut. What is there stays there, for who looks into it.
        end = whole;
    }
    let Some((sequence, _, hash)) = read(file, end % there)? else { return Ok(empty) };
    let mut torn = 0;
    let reach = newest.saturating_add(TORN).min(end.saturating_add(there));
    for sequence in end.saturating_add(1)..reach {
        if stands(sequence)? {
            torn = sequence - end;
        }
    }
    // Of the round in which the first place was written.
    let first = first / there * there;
    Ok(Found { end: End { lines: sequence.saturating_add(1), hash }, torn, first, is_altered: !follows })
}

/// Overwrites with zeros what a power cut has left behind the end.
fn clear(file: &File, there: u64, found: &Found) -> io::Result<()> {
    for sequence in (found.end.lines..).take(found.torn as usize) {
        let place = sequence % there;
        if read(file, place)?.is_some_and(|(stands, ..)| stands == sequence) {
            file.write_all_at(&[0; RECORD], place * RECORD as u64)?;
        }
    }
    Ok(())
}

/// The number of the first record in the file: that of its first place, or where that cannot be read, as after a power cut where the ring
/// begins again, of one of the next places. None: nothing was ever written.
///
/// # Errors
/// The kernel's; or there is something, and no history.
fn find_first(file: &File, there: u64) -> io::Result<Option<u64>> {
    for place in 0..(2 * TORN).min(there) {
        if let Some((sequence, ..)) = read(file, place)?.filter(|(sequence, ..)| sequence % there == place) {
            return Ok(Some(sequence));
        }
    }
    let mut at = 0;
    let mut octets = [0; 1 << 14];
    loop {
        match file.read_at(&mut octets, at)? {
            0 => return Ok(None),
            count if octets[..count].iter().all(|octet| *octet == 0) => at += count as u64,
            _ => break,
        }
    }
    Err(io::Error::other("it is no history, or its beginning is lost; move it away to begin another one"))
}
