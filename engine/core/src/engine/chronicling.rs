//! Fills the course of the clock, which is reported, whenever the engine is told something.

use super::Engine;
use crate::chronicle::{Chronicle, HistoryPoint, Known, Moment, between};
use crate::io::Now;
use crate::minutes::{Lasting, Who};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;
use ipc::units::{RawInstant, Span};
use report::{HistorySpan, SourceState};

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
            self.moment(Now { raw, wall }, last.used, last.who)
        });
        chronicle
    }

    /// What is true now, after an input.
    pub(super) fn note_now(&mut self, now: Now) {
        let (used, who) = self.who(now);
        let moment = self.moment(now, used, who);
        self.chronicle.note(moment);
    }

    /// The minutes of the history that are over and have not been taken yet, and the sources that are new in them. `is_last`: so is
    /// the one that is not over.
    pub fn take_history(&mut self, is_last: bool) -> VecDeque<Lasting> {
        if is_last {
            self.chronicle.minutes.end();
        }
        self.chronicle.minutes.take()
    }

    /// The process did not run between these, for longer than it waits for anything.
    pub fn was_away(&mut self, from: RawInstant, until: RawInstant) {
        self.chronicle.minutes.was_away(from, until);
    }

    /// Whether [`Self::take_history`] has something.
    pub fn has_history(&self) -> bool {
        self.chronicle.minutes.is_waiting()
    }

    /// How many sources are used, at most 254, and which ones they are.
    fn who(&mut self, now: Now) -> (u8, Who) {
        let is_followed = self.system.impasse.is_none();
        let (all, authenticated) = self.system.paging.rests_on;
        let mut who = Who {
            is_authenticated: is_followed && all > 0 && all == authenticated,
            is_signed: self.signed.is_known(),
            stratum: self
                .system
                .line
                .as_ref()
                .map_or(16, |line| line.reference.stratum.saturating_add(1).min(16)),
            ..Who::default()
        };
        let mut minutes = core::mem::take(&mut self.chronicle.minutes);
        let mut used = 0;
        for (entry, source) in self.entries.members() {
            let state = self.judge(entry, source, now).state();
            let is_used = is_followed && state.is_used();
            if !is_used && state != SourceState::Falseticker {
                continue;
            }
            let is_authenticated = entry.is_authenticated(Some(source));
            let name = || format!("{} {}", entry.settings.name, source.address().socket_address());
            let is_there = |id| self.entries.source(id).is_some();
            let number = minutes.number(now, (source.id, is_authenticated), name, is_there);
            let bit = number.map_or(0, |number| 1 << number);
            if is_used {
                used = (used + 1).min(u8::MAX - 1);
                who.used |= bit;
                if is_authenticated {
                    who.authenticated = who.authenticated.saturating_add(1);
                    who.used_authenticated |= bit;
                }
            } else {
                who.falsetickers |= bit;
            }
        }
        self.chronicle.minutes = minutes;
        (used, who)
    }

    fn moment(&self, at: Now, used: u8, who: Who) -> Moment {
        let steered = self.basis.as_ref().filter(|_| self.steers());
        Moment {
            at,
            known: self.system.line.as_ref().filter(|_| !self.follows_orphan()).map(|line| Known {
                offset: line.offset(at),
                bound: self.most_error(at),
                likely: self.likely_error(at),
            }),
            frequency: steered.map(|basis| basis.clock.frequency() * 1e6),
            used,
            who,
            synchronised: self.is_synchronised(at),
        }
    }
}
