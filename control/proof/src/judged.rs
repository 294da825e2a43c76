//! What is not in order in a ring of the audit log, with what a power cut explains taken out.

use crate::log::{Fault, Log};
use crate::words::found;
use ipc::audit_line::{LINE, UNSYNCHRONISED};
use ipc::message::handover::LogIntegrity;
use std::collections::BTreeSet;
use std::ops::Range;

/// So many lines of a full ring, the oldest, may be mixed with newer ones that a power cut took.
pub(crate) const MIXED: u64 = 64;
/// Octets that a disk writes at once.
const SECTOR: usize = 512;

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What no power cut explains.
    pub faults: Vec<Fault>,
    /// The number behind the last line that follows from the one before it; what stands behind that does not count.
    pub end: u64,
    /// Something stands behind the end, as a power cut leaves it.
    pub is_torn: bool,
    /// Numbers between which each line follows from the one before it.
    pub segments: Vec<Range<u64>>,
}

impl Judged {
    /// `durable`: lines before this number were on the disk for certain; none: nothing is known of that, and only a last line that was
    /// never finished may be a power cut's.
    pub fn of(log: &Log<'_>, durable: Option<u64>) -> Self {
        let numbers = log.numbers();
        let room = log.ring.lines;
        // Where a place has octets that are no line of it: the number that it should have, behind the end in a ring that is not full.
        let number_of = |slot: usize| {
            let place = slot.saturating_sub(log.first_slot()) as u64;
            let round = numbers.start / room * room + place;
            if round < numbers.start { round + room } else { round }
        };
        let placed: BTreeSet<u64> = log
            .faults
            .iter()
            .filter_map(|fault| match fault {
                Fault::Line(slot) | Fault::Misplaced(_, slot) => Some(number_of(*slot)),
                _ => None,
            })
            .collect();
        let is_whole = |number: u64| log.line(number).is_some_and(|line| log.follows(line));
        let mut end = numbers.end;
        if let Some(durable) = durable {
            let from = durable.max(numbers.start).max(numbers.end.saturating_sub(UNSYNCHRONISED));
            end = (from..numbers.end).find(|number| !is_whole(*number)).unwrap_or(end);
        }
        // A place as far behind the end as a power cut reaches; in a full ring it was that of one of the oldest lines.
        let reach = match durable {
            Some(durable) => durable.saturating_add(UNSYNCHRONISED).saturating_sub(end).min(room),
            None => 1,
        };
        let is_behind = |number: u64| {
            let (ahead, reach) = match number >= end {
                true => (number - end, reach),
                false => ((number + room).saturating_sub(end), reach.min(numbers.end - end + MIXED)),
            };
            ahead < reach && durable.is_none_or(|durable| end >= durable)
        };
        let mut faults: Vec<Fault> = log
            .faults
            .iter()
            .filter(|fault| match fault {
                Fault::Line(slot) | Fault::Misplaced(_, slot) => !is_behind(number_of(*slot)),
                _ => true,
            })
            .copied()
            .collect();
        let mut is_torn = end < numbers.end || faults.len() < log.faults.len();
        let lines =
            || log.lines.iter().filter(|line| numbers.contains(&line.sequence) && line.sequence < end);
        for line in log.lines.iter().filter(|line| !numbers.contains(&line.sequence)) {
            let is_older = line.sequence + room >= numbers.start && line.sequence < numbers.start;
            if !is_older || !is_behind(line.sequence + room) {
                faults.push(Fault::Misplaced(line.sequence, line.slot));
            }
        }
        if let Some(first) = lines().next().map(|line| line.sequence) {
            let cleared = |start: u64| start > first && first + room <= start + UNSYNCHRONISED + 1;
            let is_torn_start = |text: &[u8]| found(text) == Some(LogIntegrity::Torn);
            let is_explained = (numbers.start..first).all(|number| placed.contains(&number))
                || numbers.start > 0
                    && lines().any(|line| cleared(line.sequence) && is_torn_start(line.text));
            if first > numbers.start && !is_explained {
                faults.push(Fault::Beginning(first));
            }
        }
        // One of the oldest lines of a full ring, of which a newer one had only its second sector on the disk.
        let is_mixture = |number: u64| {
            let ahead = (number + room).saturating_sub(end);
            let place = usize::try_from(log.ring.place(number)).unwrap_or(usize::MAX);
            durable.is_some()
                && number >= numbers.start
                && ahead < MIXED
                && place / SECTOR < (place + LINE - 1) / SECTOR
        };
        let mut segments: Vec<Range<u64>> = Vec::new();
        for line in lines() {
            let next = line.sequence + 1;
            match segments.last_mut() {
                Some(segment) if segment.end == line.sequence && log.follows(line) => segment.end = next,
                last => {
                    let before = last.map(|segment| segment.end);
                    match before {
                        Some(before) if before < line.sequence => {
                            let is_missing = (before..line.sequence).any(|number| !placed.contains(&number));
                            let gap = Fault::Gap(before.saturating_sub(1), line.sequence);
                            faults.extend(is_missing.then_some(gap));
                        }
                        Some(_) if [line.sequence, line.sequence - 1].into_iter().any(is_mixture) => {
                            is_torn = true
                        }
                        Some(_) => faults.push(Fault::Hash(line.sequence)),
                        None if !log.follows(line) => faults.push(Fault::Hash(line.sequence)),
                        None => {}
                    }
                    segments.push(line.sequence..next);
                }
            }
        }
        Self { faults, end, is_torn, segments }
    }

    /// The first line of those from which the one before `lines` follows without a break.
    pub fn unbroken_to(&self, lines: u64) -> Option<u64> {
        let last = lines.checked_sub(1)?;
        self.segments.iter().find(|segment| segment.contains(&last)).map(|segment| segment.start)
    }
}
