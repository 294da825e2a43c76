//! Which round of the ring a file holds, and where it ends.

use crate::finding::What;
use crate::walk::{Survey, Walk};
use crate::{NUMBERS, SECTOR, TORN};
use ipc::history::{BODY, End, RECORD, Record, Said, chain};
use std::ops::Range;

/// Records that a disk writes at once.
const IN_A_SECTOR: u64 = SECTOR / RECORD as u64;

/// The octets of a whole file.
#[derive(Clone, Debug)]
pub struct History<'a> {
    octets: &'a [u8],
    /// How many records the file has room for.
    room: u64,
    /// The numbers of the round that it holds.
    numbers: Range<u64>,
    /// The first number that no record has any more that follows from the one before it, at the end.
    end: u64,
    /// The hash before that.
    hash: [u8; 32],
    /// The newest start that threw records away.
    torn_start: Option<u64>,
    /// The number behind the last one whose place a start has cleared, and the number of that start.
    cleared: Option<(u64, u64)>,
}

/// What a file has of a record whose hash is known from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It is there with this hash, which follows from the record before it where that one is there.
    Held([u8; 32]),
    /// Of a history without a record.
    None,
    /// Newer records have taken its place.
    Overwritten,
    /// The history ends before it.
    Beyond,
    /// It belongs to what the file should hold, and is not there or was altered.
    Broken,
}

/// What a place holds.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The record that belongs there, with the hash that stands in it.
    Record(Record, [u8; 32]),
    /// Nothing was written.
    Zero,
    /// The record of the round before.
    Older,
    /// Something else.
    Other(What),
}

impl<'a> History<'a> {
    /// Takes the octets of a file, and finds what it holds.
    ///
    /// Which round: that of which most records are there; a few with other numbers are findings of [`Self::walk`].
    pub fn read(octets: &'a [u8]) -> Self {
        let room = (octets.len() / RECORD) as u64;
        let mut history =
            Self { octets, room, numbers: 0..0, end: 0, hash: [0; 32], torn_start: None, cleared: None };
        let mut all: Vec<u64> = history.in_place().map(|record| record.sequence).collect();
        all.sort_unstable();
        let Some(last) = newest(&all, room, TORN) else { return history };
        history.numbers = last.saturating_add(1).saturating_sub(room)..last.saturating_add(1);
        let starts = history.in_place().filter(|record| history.numbers.contains(&record.sequence));
        let torn: Vec<(u64, u64)> =
            starts.filter_map(|record| Some((cleared_by(&record)?, record.sequence))).collect();
        history.torn_start = torn.iter().map(|(_, start)| *start).max();
        // Of one start the places may be empty behind those of the next one.
        history.cleared = torn.into_iter().max();
        (history.end, history.hash) = history.find_end();
        history
    }

    /// How many records the file has room for.
    pub const fn room(&self) -> u64 {
        self.room
    }

    /// The end of what follows from one record to the next, and what a new record would be chained to. What a power cut
    /// left behind it does not count.
    pub const fn end(&self) -> End {
        End { lines: self.end, hash: self.hash }
    }

    /// The records from the oldest to the newest one.
    pub fn walk(&self) -> Walk<'_> {
        Walk::new(self)
    }

    /// Walks over all of it.
    pub fn survey(&self) -> Survey {
        Survey::of(self)
    }

    /// What there is of the record before `end.lines`, whose hash is known from elsewhere.
    pub fn head(&self, lines: u64) -> Head {
        let Some(last) = lines.checked_sub(1) else { return Head::None };
        if last < self.numbers.start {
            return Head::Overwritten;
        }
        if last >= self.end {
            return Head::Beyond;
        }
        match self.place(last) {
            Place::Record(_, hash) if self.hash_of(last).is_none_or(|follows| follows == hash) => {
                Head::Held(hash)
            }
            Place::Zero | Place::Older if self.was_cleared(last) => Head::Overwritten,
            _ => Head::Broken,
        }
    }

    /// Octets behind the last place of a record.
    pub(crate) const fn surplus(&self) -> u64 {
        (self.octets.len() % RECORD) as u64
    }

    pub(crate) fn numbers(&self) -> Range<u64> {
        self.numbers.clone()
    }

    /// A start that threw records away has cleared the place of this record, which is among the oldest of a full ring, or of one that
    /// had begun its next round: as many places as it says that it threw away, and none of them has been written again.
    pub(crate) fn was_cleared(&self, sequence: u64) -> bool {
        self.cleared.is_some_and(|(until, _)| sequence.saturating_add(self.room) < until)
    }

    /// The oldest records that are not there because a start has cleared their places, and the number of that start, which says that
    /// it did so after a power cut.
    pub fn cleared(&self) -> Option<(Range<u64>, u64)> {
        let (until, start) = self.cleared?;
        let is_absent = |number: &u64| matches!(self.place(*number), Place::Zero | Place::Older);
        let until = until.saturating_sub(self.room).min(self.numbers.end);
        let mut absent = (self.numbers.start..until).filter(is_absent);
        let first = absent.next()?;
        Some((first..absent.next_back().unwrap_or(first).saturating_add(1), start))
    }

    fn octets_of(&self, sequence: u64) -> Option<&'a [u8; RECORD]> {
        let place = usize::try_from(sequence.checked_rem(self.room)?).ok()?;
        self.octets.get(place.checked_mul(RECORD)?..)?.first_chunk()
    }

    /// What is in the place of this record.
    pub(crate) fn place(&self, sequence: u64) -> Place {
        let Some(octets) = self.octets_of(sequence) else { return Place::Zero };
        match Record::decode(octets) {
            Some((record, hash)) if record.sequence == sequence => Place::Record(record, hash),
            Some((record, _)) if record.sequence.checked_add(self.room) == Some(sequence) => Place::Older,
            Some((record, _)) if record.sequence < NUMBERS => Place::Other(What::Misplaced(record.sequence)),
            None if octets.iter().all(|octet| *octet == 0) => Place::Zero,
            _ => Place::Other(What::Unreadable),
        }
    }

    /// The hash that follows for this record from the one that stands in the record before it; none: one of them is not
    /// there. Of the oldest one of a full ring, the one that stands in it.
    pub(crate) fn hash_of(&self, sequence: u64) -> Option<[u8; 32]> {
        let octets = self.octets_of(sequence)?;
        let Place::Record(_, own) = self.place(sequence) else { return None };
        let before = match sequence.checked_sub(1) {
            None => [0; 32],
            Some(before) if self.numbers.contains(&before) => match self.place(before) {
                Place::Record(_, hash) => hash,
                _ => return None,
            },
            Some(_) => return Some(own),
        };
        Some(chain(&before, &octets[..BODY]))
    }

    /// It is there, and its hash follows from the one before it.
    pub(crate) fn follows(&self, sequence: u64) -> bool {
        matches!(self.place(sequence), Place::Record(_, hash) if self.hash_of(sequence) == Some(hash))
    }

    /// All records that are in a place of theirs, whatever their round.
    fn in_place(&self) -> impl Iterator<Item = Record> {
        let places = self.octets.chunks_exact(RECORD).zip(0..self.room);
        places.filter_map(move |(octets, place)| {
            let (record, _) = Record::decode(octets.first_chunk()?)?;
            (record.sequence % self.room == place && record.sequence < NUMBERS).then_some(record)
        })
    }

    /// The first break near the end that a power cut can have left, or else behind the last record.
    fn find_end(&self) -> (u64, [u8; 32]) {
        let Range { start, end } = self.numbers.clone();
        let is_written = |number: &u64| matches!(self.place(*number), Place::Record(..));
        let near = end.saturating_sub(TORN).max(start);
        // A history that is younger may lack its first records.
        let from = if near == 0 { 0 } else { (near..end).find(is_written).unwrap_or(end) };
        let at = (from..end).find(|number| self.is_torn_at(*number)).unwrap_or(end);
        match at.checked_sub(1).map(|last| self.place(last)) {
            Some(Place::Record(_, hash)) => (at, hash),
            _ => (at, [0; 32]),
        }
    }

    /// A power cut can have left what begins with this number: no records up to the end of a sector, records of before a
    /// start that threw records away, or a newest one that was never finished.
    fn is_torn_at(&self, sequence: u64) -> bool {
        let is_absent = |number: &u64| matches!(self.place(*number), Place::Zero | Place::Older);
        let absent = (sequence..self.numbers.end).take_while(is_absent).count() as u64;
        if absent > 0 {
            let next = sequence.saturating_add(absent);
            return matches!(self.place(next), Place::Record(..))
                && (next % self.room).is_multiple_of(IN_A_SECTOR);
        }
        let is_behind = |run: u64| run < sequence && sequence - run <= TORN;
        let is_newest = sequence.saturating_add(1) == self.numbers.end;
        (is_newest || self.torn_start.is_some_and(is_behind))
            && matches!(self.place(sequence), Place::Record(..))
            && !self.follows(sequence)
    }
}

/// The number behind the last one whose place this start has cleared; none: it is no start, or has thrown nothing away. What it has
/// thrown away is counted up to 255, which stands for all that a power cut takes.
fn cleared_by(record: &Record) -> Option<u64> {
    let Said::Run(run) = &record.said else { return None };
    let places = match run.torn {
        0 => return None,
        u8::MAX => TORN,
        torn => u64::from(torn),
    };
    Some(record.sequence.saturating_add(places))
}

/// The last number of the round of a ring with room for `room` numbers of which most are there, of these sorted ones; what goes on
/// behind it by at most `reach` belongs to it.
pub fn newest(sorted: &[u64], room: u64, reach: u64) -> Option<u64> {
    let mut from = 0;
    let (mut most, mut last) = (0, None);
    for (at, number) in sorted.iter().enumerate() {
        while sorted.get(from).is_some_and(|first| number - first >= room) {
            from += 1;
        }
        if at - from >= most {
            (most, last) = (at - from, Some(*number));
        }
    }
    let last = last?;
    let reach = last.saturating_add(reach.min(room.saturating_sub(1)));
    sorted.iter().rev().find(|number| **number <= reach).copied()
}
