//! Changes of the clock that were not ordered: what other programs did to it, and that it stood still.
//!
//! A program that moves the clock may be wrong, or may have put right what this host cannot know: an agent of the
//! hypervisor after a pause, an administrator. So the sources are asked before anything is undone. Until they have answered
//! the clock is unsynchronised, and nothing is ordered. If they are nearer to the new time than to the old one it is kept;
//! if they are not, or do not answer in time, the clock goes back. Where they agree with neither, the governor's evidence of a
//! pause is waited for first.
//!
//! A counter that stood still shows in the first reply afterwards: true time is ahead of all that was measured, by more than
//! any frequency explains. All sources are asked at once whether it is so, and until a selection has decided, what is said
//! of true time covers both.

use super::Engine;
use super::steering::{PAUSED, seconds};
use crate::guard::Guard;
use crate::io::Now;
use crate::notice::{ClockNotice, Notice, SystemNotice};
use crate::system::Line;
use ipc::message::privileged::StepReason;
use ipc::units::{Offset, RawInstant, Span};

/// How long the sources may take to answer; without an answer the clock goes back.
const PATIENCE: Span = Span::from_secs(10);

/// After this the answers of most of them are enough.
const MOST_ENOUGH: Span = Span::from_secs(3);

/// How long it is waited for the governor's evidence of a pause, where the sources agree with neither time.
const EVIDENCE: Span = Span::from_secs(25);

/// The sources agree with a time that is no farther from theirs, seconds.
const AGREED: f64 = 1.0;

/// Between two rounds of questions: whoever moves the clock over and over must not flood the sources.
const BETWEEN_ROUNDS: Span = Span::from_secs(30);

/// A foreign step is undone by a step if it left more than this, else slewed; seconds.
pub(super) const WORTH_A_STEP: f64 = 0.010;

/// Another program has moved the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// By how much, as the governor has measured it; the sum, where it happened more than once.
    moved: Offset,
    /// When the sources are asked.
    ask_at: RawInstant,
    asked: bool,
    /// What is done about it; none: it is not decided.
    pub(super) is_kept: Option<bool>,
    /// The governor has refused a step to the sources' time: what was done is undone, and no more.
    pub(super) exact: bool,
}

impl Foreign {
    /// The step that undoes it, and no more.
    pub(super) const fn undone(&self) -> Offset {
        Offset::ZERO.minus(self.moved)
    }

    fn seconds(&self) -> f64 {
        self.moved.nanos() as f64 * 1e-9
    }

    /// It is to be undone, by a step.
    pub(super) fn is_undone(&self) -> bool {
        self.is_kept == Some(false)
    }
}

impl Engine {
    /// Whether the operator allows a step forward by `offset` seconds.
    pub(super) fn is_allowed_forward(&self, offset: f64) -> bool {
        self.settings.forward_step.is_some_and(|most| offset > PAUSED && offset <= seconds(most))
    }

    /// The clock stood still: nothing that was measured before says what time it is.
    pub(super) fn stood_still(&mut self, now: Now, reason: StepReason) {
        self.forget_what_was_heard(now.raw);
        self.system.line = None;
        self.signed.forget(now.raw);
        self.system.paging.break_off(now.raw);
        self.system.standstill = Some(reason);
        self.system.silence.stood_still(now.raw);
        self.hurry(now.raw);
        self.chronicle.stood_still(now);
    }

    /// A reply contradicts what was measured before. If the counter may have stood still, all sources are asked.
    pub(super) fn ask_about_standstill(&mut self, now: Now) {
        let is_early = self.system.asked_at.is_some_and(|last| last.after(BETWEEN_ROUNDS) > now.raw);
        if is_early || !self.entries.sources().any(|source| source.track.seems_to_have_stood_still(now)) {
            return;
        }
        self.system.asked_at = Some(now.raw);
        // Once the frequency is known for sure: a jump of the estimate that is none of the oscillator is no lesson for slews.
        self.system.survivor_set = 0;
        self.entries.sources_mut().for_each(|source| source.confirm(now.raw));
    }

    /// A selection has decided on what contradicted, if most of the survivors have confirmed since what they say now.
    pub(super) fn settle_doubts(&mut self, now: RawInstant) {
        let tracks = || self.entries.sources().map(|source| &source.track);
        let Some(since) = tracks().filter_map(|track| track.doubted).map(|doubted| doubted.at()).max() else {
            return;
        };
        let survivors = || tracks().filter(|track| track.survives());
        let confirmed = survivors().filter(|track| track.is_confirmed_after(since)).count();
        if 2 * confirmed > survivors().count() {
            self.system.paging.break_off(now);
            self.entries.sources_mut().for_each(|source| source.track.doubted = None);
        }
    }

    /// When the announced leap second occurs. The kernel inserts it at its own midnight, and the estimate of true time has to
    /// follow immediately. Slightly late, so that the kernel has inserted it.
    pub(super) fn leap_second(&self) -> Option<RawInstant> {
        let (end, line) = (self.system.leap.end()?, self.system.line.as_ref()?);
        Some(line.moment_of(end).after(Span::from_millis(20)))
    }

    /// Applies an announced leap second that has occurred: true time itself has moved.
    pub(super) fn pass_leap_second(&mut self, now: Now) {
        let Some(moved) = self.system.leap.pass(self.true_time(now)) else { return };
        self.exchanges.cut_all();
        self.signed.shift(moved);
        if let Some(basis) = self.basis.as_mut().filter(|basis| basis.clock.has_leapt(now, moved)) {
            basis.clock.shift(moved);
        }
        for source in self.entries.all_sources_mut() {
            source.track.shift(moved);
            source.interleaving.forget(now.raw);
            source.feed.break_off(now.raw);
        }
        // It was passed by the estimate: true time may be anywhere in the interval.
        let mut width = 0;
        if let Some(line) = &mut self.system.line {
            let (low, high) = line.guard_at(now.raw).bounds();
            width = high.saturating_sub(low);
            line.shift(moved);
        }
        self.system.paging.break_off(now.raw.after(Span::saturating(width)));
        self.chronicle.minutes.leapt(now);
        self.system.status_wanted = true;
        // Where the kernel took part it has changed its own; the next answer shows that.
        self.system.listing.tai = None;
        self.tell(Notice::System(SystemNotice::LeapSecond));
    }

    /// Whether something contradicts what is said of true time, and that is not decided.
    pub(super) fn is_doubted(&self) -> bool {
        self.entries.sources().any(|source| source.track.doubted.is_some())
    }

    /// What contradicts what is said of true time.
    pub(super) fn doubts(&self) -> impl Iterator<Item = Guard> {
        self.entries.sources().filter_map(|source| source.track.doubted)
    }

    /// The hard interval by this line, and by what contradicts it.
    pub(super) fn opened_guard(&self, line: &Line, at: RawInstant) -> Guard {
        let (frequency, deviation) = line.frequency();
        let doubted = self.doubts().map(|guard| guard.aged(at, frequency, deviation));
        doubted.fold(line.guard_at(at), |all, guard| all.hull(&guard))
    }

    /// The hard bounds of the offset by this line, seconds, and of what contradicts it.
    pub(super) fn opened_bounds(&self, line: &Line, now: Now) -> (f64, f64) {
        self.opened_guard(line, now.raw).offsets(now.wall.nanos())
    }

    /// Another program has moved the clock, perhaps once more.
    pub(super) fn add_foreign(&mut self, now: RawInstant, moved: Offset) {
        if self.system.line.is_none() {
            return;
        }
        let before = self.system.foreign.map_or(Offset::ZERO, |foreign| foreign.moved);
        let moved = before.plus(moved);
        let last = self.system.asked_at.map_or(RawInstant::MIN, |last| last.after(BETWEEN_ROUNDS));
        let foreign = Foreign { moved, ask_at: last.max(now), asked: false, is_kept: None, exact: false };
        // What is slewed in any case needs no question.
        let is_little = foreign.seconds().abs() <= WORTH_A_STEP;
        self.system.foreign = Some(Foreign { is_kept: is_little.then_some(false), ..foreign });
        self.ask_about_foreign(now);
    }

    /// Asks all sources where a change is undecided and they may be asked. Returns when they will be.
    pub(super) fn ask_about_foreign(&mut self, now: RawInstant) -> Option<RawInstant> {
        let foreign = self.system.foreign.as_mut().filter(|it| it.is_kept.is_none() && !it.asked)?;
        if foreign.ask_at > now {
            return Some(foreign.ask_at);
        }
        foreign.asked = true;
        self.system.asked_at = Some(now);
        self.entries.sources_mut().for_each(|source| source.ask_afresh(now));
        None
    }

    /// When a change that is not decided will be, at the latest; none: there is none, or it can be decided.
    pub(super) fn foreign_due(&self, now: RawInstant) -> Option<RawInstant> {
        let foreign = self.system.foreign.filter(|it| it.is_kept.is_none())?;
        let end = foreign.ask_at.after(PATIENCE);
        if !foreign.asked {
            return Some(end);
        }
        let (mut asked, mut answered) = (0, 0);
        for source in self.entries.sources().filter(|source| source.is_asked) {
            asked += 1;
            answered += usize::from(source.track.fresh > 0 && source.track.is_sure());
        }
        let enough = foreign.ask_at.after(MOST_ENOUGH);
        let due = match 2 * answered > asked {
            true if answered == asked => now,
            true => enough,
            false => end,
        };
        Some(due).filter(|due| *due > now)
    }

    /// Decides whether a change by another program is kept. `offset`: of the clock now, seconds; none: no line is known.
    /// True: it is not to be decided yet, and nothing is to be ordered until then.
    pub(super) fn decide_foreign(&mut self, offset: Option<f64>, now: RawInstant) -> bool {
        let Some(foreign) = self.system.foreign.as_mut().filter(|it| it.is_kept.is_none()) else {
            return false;
        };
        let moved = foreign.seconds();
        // What was known before the change says nothing while the sources begin anew, and a time that is neither the old
        // nor the new one may be that of a pause, of which the governor will know.
        let agrees = |offset: f64| offset.abs() < AGREED || (offset + moved).abs() < AGREED;
        let patience = match (self.system.impasse, offset) {
            (Some(_), _) => PATIENCE,
            (None, Some(offset)) if !agrees(offset) && self.system.standstill.is_none() => EVIDENCE,
            (None, _) => Span::ZERO,
        };
        let end = foreign.ask_at.after(patience);
        if end > now {
            self.system.retry_at = Some(self.system.retry_at.map_or(end, |at| at.min(end)));
            return true;
        }
        let Some(offset) = offset else { return false };
        let is_kept = offset.abs() < (offset + moved).abs();
        foreign.is_kept = Some(is_kept);
        if is_kept {
            let count = self.entries.sources().filter(|source| source.track.survives()).count();
            self.tell(Notice::Clock(ClockNotice::Kept(moved, count)));
        }
        false
    }
}
