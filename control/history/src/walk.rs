//! The records in their order, and what is not in order.

use crate::file::{History, Place};
use crate::finding::{Finding, What};
use crate::names::Names;
use ipc::history::{Record, Said};
use ipc::units::WallTime;
use std::rc::Rc;

/// A record that follows from the one before it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// Its hash.
    pub hash: [u8; 32],
    /// The names in force. A record of a source's name or of a start counts already.
    pub names: Rc<Names>,
}

/// What remains of a walk: each record in its order, or what is found in place of records. A record whose hash does not
/// follow is a finding and no entry; of one that was altered together with its own hash, the next one is. Behind a finding,
/// no number has a name until one is given.
#[derive(Debug)]
pub struct Walk<'a> {
    history: &'a History<'a>,
    next: u64,
    names: Rc<Names>,
    wall: Option<WallTime>,
    has_begun: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(history: &'a History<'a>) -> Self {
        Self { history, next: history.numbers().start, names: Rc::default(), wall: None, has_begun: false }
    }

    fn found(&mut self, sequence: u64, what: What) -> Finding {
        self.names = Rc::default();
        Finding { sequence, wall: self.wall, what }
    }

    fn entry(&mut self, record: Record, hash: [u8; 32]) -> Entry {
        self.wall = Some(record.wall);
        match &record.said {
            Said::Run(_) => Rc::make_mut(&mut self.names).clear(),
            Said::Source(part) => Rc::make_mut(&mut self.names).take(part),
            Said::Minute(_) | Said::Configuration { .. } | Said::Ended => {}
        }
        Entry { record, hash, names: Rc::clone(&self.names) }
    }

    /// How many places from this one on have no record of this round.
    fn absent(&self, from: u64) -> u64 {
        let is_absent = |number: &u64| matches!(self.history.place(*number), Place::Zero | Place::Older);
        (from..self.history.numbers().end).take_while(is_absent).count() as u64
    }

    fn look(&mut self, at: u64) -> Option<Result<Entry, Finding>> {
        let numbers = self.history.numbers();
        self.next = at.saturating_add(1);
        if at >= numbers.end {
            // Behind the end of a ring that is not full yet nothing was written.
            let Place::Other(what) = self.history.place(at) else { return None };
            let is_unfinished = at == numbers.end && what == What::Unreadable;
            let what = if is_unfinished { What::Torn(1) } else { what };
            return Some(Err(self.found(at, what)));
        }
        if at == self.history.end().lines {
            self.next = numbers.end;
            return Some(Err(self.found(at, What::Torn(numbers.end - at))));
        }
        match self.history.place(at) {
            Place::Record(record, hash) => {
                let follows = self.history.hash_of(at).is_none_or(|follows| follows == hash);
                if follows {
                    return Some(Ok(self.entry(record, hash)));
                }
                let finding = self.found(at, What::Chain);
                Some(Err(Finding { wall: Some(record.wall), ..finding }))
            }
            Place::Zero | Place::Older => {
                let count = self.absent(at);
                self.next = at.saturating_add(count);
                match at == numbers.start {
                    _ if self.history.was_cleared(self.next - 1) => {
                        self.names = Rc::default();
                        None
                    }
                    true => Some(Err(self.found(at, What::Beginning(count)))),
                    false => Some(Err(self.found(at, What::Missing(count)))),
                }
            }
            Place::Other(what) => Some(Err(self.found(at, what))),
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, Finding>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.has_begun {
            self.has_begun = true;
            let surplus = self.history.surplus();
            if surplus > 0 {
                return Some(Err(self.found(self.history.numbers().end, What::Length(surplus))));
            }
        }
        let numbers = self.history.numbers();
        let until = if numbers.start == 0 { self.history.room().max(numbers.end) } else { numbers.end };
        while self.next < until {
            if let Some(found) = self.look(self.next) {
                return Some(found);
            }
        }
        None
    }
}

/// A whole walk in brief.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many records are in order.
    pub records: u64,
    /// Number and wall time of the oldest of them.
    pub first: Option<(u64, WallTime)>,
    /// Of the newest.
    pub last: Option<(u64, WallTime)>,
    /// What is not in order, at most [`Survey::FINDINGS`] of them.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: u64,
}

impl Survey {
    /// The most findings that are kept.
    pub const FINDINGS: usize = 200;

    pub(crate) fn of(history: &History<'_>) -> Self {
        let mut survey = Self::default();
        for item in history.walk() {
            match item {
                Ok(entry) => {
                    let at = (entry.record.sequence, entry.record.wall);
                    survey.records += 1;
                    survey.first = survey.first.or(Some(at));
                    survey.last = Some(at);
                }
                Err(finding) if survey.findings.len() < Self::FINDINGS => survey.findings.push(finding),
                Err(_) => survey.more += 1,
            }
        }
        survey
    }
}
