//! The rows and events of a walk, one after the other.

use super::Period;
use super::event::{Event, What};
use super::row::Row;
use history::{Entry, Finding, History, Names, Walk};
use ipc::history::{Minute, Said};
use ipc::units::WallTime;
use std::collections::{BTreeSet, VecDeque};

/// Nanoseconds of an hour.
const HOUR: i64 = 3_600_000_000_000;

/// What is shown in one line.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// See there.
    Row(Row),
    /// See there.
    Event(Event),
}

/// See the module's head. Hours are rows unless minutes are asked for; what happened in an hour comes before its row.
#[derive(Debug)]
pub struct Course<'a> {
    walk: Walk<'a>,
    period: Period,
    is_by_minutes: bool,
    row: Option<Row>,
    is_synchronised: Option<bool>,
    /// The run that has begun and not ended: its last record so far, and its boot.
    running: Option<(WallTime, [u8; 16])>,
    ready: VecDeque<Line>,
}

impl<'a> Course<'a> {
    /// Of the whole history, as far as it is in the period.
    pub fn of(history: &'a History<'a>, period: Period, is_by_minutes: bool) -> Self {
        let (row, is_synchronised, running, ready) = (None, None, None, VecDeque::new());
        Self { walk: history.walk(), period, is_by_minutes, row, is_synchronised, running, ready }
    }

    fn is_in(&self, wall: WallTime) -> bool {
        self.period.since < wall && wall <= self.period.until
    }

    fn event(&mut self, at: Option<WallTime>, record: u64, what: What) {
        if at.is_none_or(|at| self.is_in(at)) {
            self.push(at, record, what);
        }
    }

    fn push(&mut self, at: Option<WallTime>, record: u64, what: What) {
        self.ready.push_back(Line::Event(Event { at, record, what }));
    }

    fn take(&mut self, entry: &Entry) {
        let (record, wall) = (&entry.record, entry.record.wall);
        let (sequence, at) = (record.sequence, Some(wall));
        match &record.said {
            Said::Run(run) => {
                self.end_row();
                self.is_synchronised = None;
                if let Some((last, boot)) = self.running {
                    self.event(Some(last), sequence, What::Unended { is_same_boot: boot == run.boot });
                }
                self.event(at, sequence, What::Start(run.clone()));
                self.running = Some((wall, run.boot));
            }
            Said::Ended => {
                self.end_row();
                self.event(at, sequence, What::End);
                self.running = None;
            }
            Said::Configuration { configuration } => {
                self.event(at, sequence, What::Configuration(*configuration));
            }
            Said::Source(part) => {
                // The last part of it.
                if let Some(name) = entry.names.name(part.number) {
                    let nts = if name.authenticated { ", authenticated" } else { "" };
                    self.event(at, sequence, What::Source(format!("{}{nts}", name.text)));
                }
            }
            Said::Minute(minute) => self.minute(minute, wall, sequence, &entry.names),
        }
        if let Some((last, _)) = &mut self.running {
            *last = wall;
        }
    }

    fn minute(&mut self, minute: &Minute, wall: WallTime, sequence: u64, names: &Names) {
        if !self.is_in(wall) {
            return;
        }
        let of = |mask: u32| -> BTreeSet<String> {
            let name = |(number, name): (u8, Option<&history::Name>)| {
                name.map_or_else(|| format!("source {number}"), |name| name.text.clone())
            };
            names.of(mask).map(name).collect()
        };
        let row = Row::of(minute, wall, of(minute.used), of(minute.falsetickers));
        let hour = |wall: WallTime| (wall.nanos() - 1).div_euclid(HOUR);
        if self.row.as_ref().is_some_and(|open| self.is_by_minutes || hour(open.end) != hour(wall)) {
            self.end_row();
        }
        // As the row has it that it happened in.
        let at = Some(row.begin);
        if self.is_synchronised.is_some_and(|before| before != minute.synchronised) {
            self.push(at, sequence, What::Synchronised(minute.synchronised));
        }
        self.is_synchronised = Some(minute.synchronised);
        if minute.stepped {
            self.push(at, sequence, What::Step(minute.step()));
        }
        if minute.stepped_by_another {
            self.push(at, sequence, What::OthersStep(minute.step()));
        }
        if minute.leap {
            self.push(at, sequence, What::Leap);
        }
        self.row = Some(match self.row.take() {
            Some(open) => open.and(row),
            None => row,
        });
    }

    fn found(&mut self, finding: Finding) {
        self.end_row();
        self.is_synchronised = None;
        // Whether the run ended in order may have been said there.
        self.running = None;
        self.event(finding.wall, finding.sequence, What::Finding(finding));
    }

    fn end_row(&mut self) {
        self.ready.extend(self.row.take().map(Line::Row));
    }
}

impl Iterator for Course<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        while self.ready.is_empty() {
            match self.walk.next() {
                Some(Ok(entry)) => self.take(&entry),
                Some(Err(finding)) => self.found(finding),
                None => {
                    self.end_row();
                    break;
                }
            }
        }
        self.ready.pop_front()
    }
}
