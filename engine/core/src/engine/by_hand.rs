//! A step that an administrator asks for: ordered where there is a time to step to, and granted or refused by the governor's
//! rows as any other.

use super::Engine;
use crate::discipline::PANIC_THRESHOLD;
use crate::hand_step::{HandStep, NoStep};
use crate::io::{Now, OrderKind, Output};
use ipc::message::privileged::{Refusal, Step, StepReason};
use ipc::units::{Offset, RawInstant, Span};

/// A smaller offset is gone in seconds, and a step would cost the stamps of all that is under way; seconds.
const WORTH_IT: f64 = 0.001;

/// How long a step is wanted that cannot be ordered at once: whoever asked has gone then, and is not surprised later.
const WANTED: Span = Span::from_secs(2);

/// What became of the last such wish.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wish {
    /// Not ordered, or refused for a row that others do not have; until then it is wanted.
    Wanted { until: RawInstant, refused: Option<StepReason> },
    /// Ordered for this reason, by this offset: the order that is unanswered is this one.
    Ordered { until: RawInstant, reason: StepReason, offset: f64 },
    /// It is decided.
    Decided(HandStep),
}

impl Engine {
    /// Takes the wish, unless one is open.
    pub(super) fn want_step(&mut self, now: Now) {
        self.settle_wish(now);
        if !matches!(self.system.wish, Some(Wish::Wanted { .. } | Wish::Ordered { .. })) {
            self.system.wish = Some(match self.no_step(now) {
                Some(why) => Wish::Decided(HandStep::Impossible(why)),
                None => Wish::Wanted { until: now.raw.after(WANTED), refused: None },
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

    /// Ends a wish that is too old, or that cannot be fulfilled any more.
    pub(super) fn settle_wish(&mut self, now: Now) {
        let Some(Wish::Wanted { until, .. }) = self.system.wish else { return };
        if now.raw >= until {
            self.system.wish = None;
        } else if let Some(why) = self.no_step(now) {
            self.system.wish = Some(Wish::Decided(HandStep::Impossible(why)));
        }
    }

    /// Why no step can be ordered now.
    fn no_step(&self, now: Now) -> Option<NoStep> {
        if !self.steers() {
            return Some(NoStep::NoClock);
        }
        if self.system.foreign.is_some() {
            return Some(NoStep::Foreign);
        }
        // Where the first step was refused, or is none, this is the way to it.
        let is_first =
            self.system.first_update.is_none() && self.system.step_refusal.is_none() && !self.system.held;
        match self.system.line.as_ref().filter(|_| self.system.impasse.is_none()) {
            None if is_first && self.system.impasse.is_none() => Some(NoStep::Early),
            None => Some(NoStep::NoTime),
            Some(_) if is_first || self.answer_awaited(now.raw).is_some() => Some(NoStep::Early),
            Some(line) => {
                let offset_s = line.offset(now);
                (offset_s.abs() < WORTH_IT).then_some(NoStep::Near { offset_s })
            }
        }
    }

    /// Orders the step that is wanted; true: it is on its way.
    pub(super) fn step_by_hand(&mut self, offset: Option<f64>, now: Now) -> bool {
        self.settle_wish(now);
        let (Some(Wish::Wanted { until, refused }), Some(offset)) = (self.system.wish, offset) else {
            return false;
        };
        let Some(basis) = &self.basis else { return false };
        let epoch = basis.epoch;
        let reason = self.reason_by_hand(refused);
        self.system.asked_step = reason;
        self.system.wish = Some(Wish::Ordered { until, reason, offset });
        let delta = Offset::saturating(libm::round(offset * 1e9) as i64);
        self.order(OrderKind::Step, Output::Step(Step { epoch, delta, reason, asked_at: now.raw }), now);
        true
    }

    /// The row that may be open: that of what is known to have happened, of the start, or of any time. What an operator permitted
    /// passes with any reason.
    fn reason_by_hand(&self, refused: Option<StepReason>) -> StepReason {
        let start = (self.system.start.steps > 0).then_some(StepReason::Start);
        let rows = [self.system.standstill, start, Some(StepReason::Run)];
        let mut rows = rows.into_iter().flatten();
        if let Some(refused) = refused {
            let _ = rows.by_ref().find(|reason| *reason == refused);
        }
        rows.next().unwrap_or(StepReason::Run)
    }

    /// A step was made.
    pub(super) fn hand_step_made(&mut self, moved_s: f64) {
        if matches!(self.system.wish, Some(Wish::Ordered { .. })) {
            self.system.wish = Some(Wish::Decided(HandStep::Made { moved_s }));
            // What was refused before was for the offset that is gone.
            self.system.slew_limit = PANIC_THRESHOLD;
        }
    }

    /// A step was refused; true: it was one by hand, from which nothing else follows.
    pub(super) fn hand_step_refused(&mut self, code: Refusal) -> bool {
        let Some(Wish::Ordered { until, reason, offset }) = self.system.wish else { return false };
        if code == Refusal::StartWindow && reason == StepReason::Start {
            self.system.start.steps = 0;
        }
        // What passes by itself is ordered again, and what another row may have.
        let passes = matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch);
        let is_of_row =
            !matches!(code, Refusal::Floor | Refusal::Latest | Refusal::NoPersist | Refusal::Clock);
        self.system.wish = Some(if passes {
            Wish::Wanted { until, refused: None }
        } else if is_of_row && reason != StepReason::Run {
            Wish::Wanted { until, refused: Some(reason) }
        } else {
            Wish::Decided(HandStep::Refused { code, offset_s: offset })
        });
        self.system.dirty = true;
        true
    }
}
