//! Fills the course of the clock, which is reported, whenever the engine is told something.

use super::Engine;
use crate::chronicle::{Chronicle, HistoryPoint, Known, Moment, between};
use crate::io::Now;
use alloc::vec::Vec;
use ipc::units::Span;
use report::HistorySpan;

impl Engine {
    /// The course of the clock over this span until now: the length of a point, and its points, the oldest first.
    pub fn history(&self, span: HistorySpan, now: Now) -> (Span, Vec<HistoryPoint>) {
        self.lapsed(self.chronicle.clone(), now).report(span)
    }

    /// What was true until now, by the state as the last input has left it.
    pub(super) fn note_lapse(&mut self, now: Now) {
        let chronicle = core::mem::take(&mut self.chronicle);
        self.chronicle = self.lapsed(chronicle, now);
    }

    /// The same, until now.
    fn lapsed(&self, mut chronicle: Chronicle, now: Now) -> Chronicle {
        let (Some(last), Some(basis)) = (chronicle.last(), &self.basis) else { return chronicle };
        // A leap second that is over moves the line too, and that is not done yet.
        let leap = self.leap_second().filter(|leap| *leap < now.raw);
        let end = leap.unwrap_or(now.raw);
        let missed = match leap {
            None => now.wall.minus(basis.clock.reading_at(last.at, now.raw).wall).nanos(),
            Some(_) => 0,
        };
        chronicle.lapse(end, |raw| {
            let predicted = basis.clock.reading_at(last.at, raw);
            let is_read = raw == now.raw;
            let wall = if is_read { now.wall } else { between(predicted, missed, last.at.raw, now.raw) };
            self.moment(Now { raw, wall }, last.used)
        });
        chronicle
    }

    /// What is true now, after an input.
    pub(super) fn note_now(&mut self, now: Now) {
        let used = match self.system.impasse {
            None => self.count_used(now),
            Some(_) => 0,
        };
        let moment = self.moment(now, u8::try_from(used).unwrap_or(u8::MAX - 1));
        self.chronicle.note(moment);
    }

    fn moment(&self, at: Now, used: u8) -> Moment {
        let steered = self.basis.as_ref().filter(|_| self.steers());
        Moment {
            at,
            known: self.system.line.as_ref().map(|line| Known {
                offset: line.offset(at),
                bound: self.most_error(at),
                likely: self.likely_error(at),
            }),
            frequency: steered.map(|basis| basis.clock.frequency() * 1e6),
            used,
            synchronised: self.is_synchronised(at),
        }
    }
}
