//! A step that an administrator asks for: ordered where there is a time to step to, and granted or refused by the governor's
//! rows as any other.

use super::Engine;
use crate::hand_step::{HandStep, NoStep};
use crate::io::{Now, OrderKind, Output};
use ipc::message::privileged::{Refusal, Step, StepReason};
use ipc::units::{Offset, RawInstant, Span};

/// A smaller offset is gone in seconds, and a step would cost the stamps of all that is under way; seconds.
const WORTH_IT: f64 = 0.001;

/// How long a step is wanted that cannot be ordered at once: whoever asked has gone then, and is not surprised later.
const WANTED: Span = Span::from_secs(3);

/// What became of the last such wish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wish {
    /// Not ordered; until then it is wanted.
    Wanted { until: RawInstant },
    /// Ordered, by this offset.
    Ordered { until: RawInstant, offset: f64 },
    /// It is decided.
    Decided(HandStep),
}

impl Engine {
    /// Takes the wish, unless one is open.
    pub(super) fn want_step(&mut self, now: Now) {
        if !self.is_step_open(now) {
            self.system.wish = Some(match self.no_step(now) {
                Some(why) => Wish::Decided(HandStep::Impossible(why)),
                None => Wish::Wanted { until: now.raw.after(WANTED) },
            });
        }
    }

    /// What became of the last step that was asked for; none: there was none, or it is not decided.
    pub fn hand_step(&self) -> Option<HandStep> {
        match self.system.wish? {
            Wish::Decided(outcome) => Some(outcome),
            Wish::Wanted { .. } | Wish::Ordered { .. } => None,
        }
    }

    /// Whether one is asked for and not decided.
    fn is_step_open(&self, now: Now) -> bool {
        match self.system.wish {
            Some(Wish::Wanted { until } | Wish::Ordered { until, .. }) => now.raw < until,
            Some(Wish::Decided(_)) | None => false,
        }
    }

    /// Why no step can be ordered now.
    fn no_step(&self, now: Now) -> Option<NoStep> {
        if !self.steers() {
            return Some(NoStep::NoClock);
        }
        // Where the first step was refused, this is the way to it.
        let is_first = self.system.first_update.is_none() && self.system.step_refusal.is_none();
        if is_first || self.answer_awaited(now.raw).is_some() {
            return Some(NoStep::Early);
        }
        if self.system.foreign.is_some() {
            return Some(NoStep::Foreign);
        }
        let line = self.system.line.as_ref().filter(|_| self.system.impasse.is_none());
        let Some(line) = line else { return Some(NoStep::NoTime) };
        let offset_s = line.offset(now);
        (offset_s.abs() < WORTH_IT).then_some(NoStep::Near { offset_s })
    }

    /// Orders the step that is wanted; true: it is on its way.
    pub(super) fn step_by_hand(&mut self, offset: Option<f64>, now: Now) -> bool {
        let (Some(Wish::Wanted { until }), Some(offset)) = (self.system.wish, offset) else { return false };
        if now.raw >= until {
            self.system.wish = None;
            return false;
        }
        if let Some(why) = self.no_step(now) {
            self.system.wish = Some(Wish::Decided(HandStep::Impossible(why)));
            return false;
        }
        let Some(basis) = &self.basis else { return false };
        let epoch = basis.epoch;
        // The row that is open, if one is. What an operator permitted passes with any reason.
        let reason = if self.system.start.steps > 0 { StepReason::Start } else { StepReason::Run };
        self.system.asked_step = reason;
        self.system.wish = Some(Wish::Ordered { until, offset });
        let delta = Offset::saturating(libm::round(offset * 1e9) as i64);
        self.order(OrderKind::Step, Output::Step(Step { epoch, delta, reason, asked_at: now.raw }), now);
        true
    }

    /// A step was made.
    pub(super) fn hand_step_made(&mut self, moved_s: f64) {
        if matches!(self.system.wish, Some(Wish::Ordered { .. })) {
            self.system.wish = Some(Wish::Decided(HandStep::Made { moved_s }));
        }
    }

    /// A step was refused; true: it was one by hand, from which nothing else follows.
    pub(super) fn hand_step_refused(&mut self, code: Refusal) -> bool {
        let Some(Wish::Ordered { until, offset }) = self.system.wish else { return false };
        // What passes by itself is ordered again.
        let is_again = matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch);
        self.system.wish = Some(match is_again {
            true => Wish::Wanted { until },
            false => Wish::Decided(HandStep::Refused { code, offset_s: offset }),
        });
        self.system.dirty = true;
        true
    }
}
