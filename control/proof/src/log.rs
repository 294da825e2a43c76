//! A ring of the audit log: its lines, its order, its end.

use history::{Head, NUMBERS, newest};
use ipc::audit_line::{End, LENGTH, LINE, Ring, TEXT, UNSYNCHRONISED, chain, parse};
use std::fmt;
use std::ops::Range;

/// A line in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number.
    pub sequence: u64,
    /// Its place among the lines of the whole file, from 0.
    pub slot: usize,
    /// What its hash is of.
    pub text: &'a [u8],
    /// The hash that stands in it.
    pub hash: [u8; 32],
}

/// What is not in order in a ring; of a place of the file, from 0, or of the number of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file is shorter or longer than a log.
    Length(usize),
    /// A line is malformed.
    Line(usize),
    /// A record is stored in another record's place.
    Misplaced(u64, usize),
    /// Records are missing between these two.
    Gap(u64, u64),
    /// Records before this one are missing although the ring is not full.
    Beginning(u64),
    /// This record, or the one before it, was changed.
    Hash(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "the file has {length} octets, an audit log has {LENGTH}")
            }
            Self::Line(slot) => write!(f, "line {} was altered or never finished", slot + 1),
            Self::Misplaced(sequence, slot) => {
                write!(f, "record {sequence} stands on line {}, where it does not belong", slot + 1)
            }
            Self::Gap(before, after) => {
                write!(
                    f,
                    "record {} is missing: after record {before} comes {after}",
                    before.saturating_add(1)
                )
            }
            Self::Beginning(first) => write!(f, "records 0 to {} are missing", first.saturating_sub(1)),
            Self::Hash(sequence) => {
                write!(f, "record {sequence} was altered, or the record before it: the chain breaks there")
            }
        }
    }
}

/// The lines of a ring, as far as they are lines.
#[derive(Clone, Debug)]
pub struct Log<'a> {
    /// In their order; two have the same number only in octets that were altered.
    pub lines: Vec<Line<'a>>,
    /// Octets that are no line, or one in another one's place.
    pub faults: Vec<Fault>,
    pub(crate) ring: Ring,
}

impl<'a> Log<'a> {
    /// Takes the octets of a whole file.
    pub fn read(octets: &'a [u8], ring: Ring) -> Self {
        let mut log = Self { lines: Vec::new(), faults: Vec::new(), ring };
        if octets.len() != LENGTH as usize {
            log.faults.push(Fault::Length(octets.len()));
        }
        let first = log.first_slot();
        let room = usize::try_from(ring.lines).unwrap_or(usize::MAX);
        for (slot, line) in octets.chunks(LINE).enumerate().skip(first).take(room) {
            if line.iter().all(|octet| *octet == 0) {
                continue;
            }
            match parse(line).filter(|(sequence, _)| *sequence < NUMBERS).zip(line.get(..TEXT)) {
                Some(((sequence, _), _)) if sequence % ring.lines != (slot - first) as u64 => {
                    log.faults.push(Fault::Misplaced(sequence, slot));
                }
                Some(((sequence, hash), text)) => log.lines.push(Line { sequence, slot, text, hash }),
                None => log.faults.push(Fault::Line(slot)),
            }
        }
        log.lines.sort_by_key(|line| line.sequence);
        log
    }

    pub(crate) fn first_slot(&self) -> usize {
        usize::try_from(self.ring.slot(0)).unwrap_or(usize::MAX) / LINE
    }

    /// The numbers of the round that it holds: that of which most lines are there.
    pub fn numbers(&self) -> Range<u64> {
        let all: Vec<u64> = self.lines.iter().map(|line| line.sequence).collect();
        match newest(&all, self.ring.lines, UNSYNCHRONISED) {
            Some(last) => last.saturating_add(1).saturating_sub(self.ring.lines)..last.saturating_add(1),
            None => 0..0,
        }
    }

    /// The line with this number.
    pub fn line(&self, sequence: u64) -> Option<&Line<'a>> {
        let at = self.lines.binary_search_by_key(&sequence, |line| line.sequence).ok()?;
        self.lines.get(at)
    }

    /// Its hash follows from the line before it, or that one is not there to tell.
    pub(crate) fn follows(&self, line: &Line<'_>) -> bool {
        match line.sequence.checked_sub(1) {
            None => line.hash == chain(&[0; 32], line.text),
            Some(before) => {
                self.line(before).is_none_or(|before| line.hash == chain(&before.hash, line.text))
            }
        }
    }

    /// What there is of the line before `lines`, whose hash is known from elsewhere, in a log that ends at `end`.
    pub(crate) fn head(&self, lines: u64, end: u64) -> Head {
        let Some(last) = lines.checked_sub(1) else { return Head::None };
        if last >= end {
            return Head::Beyond;
        }
        match self.line(last) {
            Some(line) if self.follows(line) => Head::Held(line.hash),
            Some(_) => Head::Broken,
            None if last < self.lines.first().map_or(0, |line| line.sequence) && end > self.ring.lines => {
                Head::Overwritten
            }
            None => Head::Broken,
        }
    }

    /// The end behind this many lines.
    pub(crate) fn end(&self, lines: u64) -> End {
        let last = lines.checked_sub(1).and_then(|last| self.line(last));
        last.map_or(End { lines, hash: [0; 32] }, |last| End { lines, hash: last.hash })
    }
}
