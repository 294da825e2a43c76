//! Steps, judged by their claimed reason and the governor's own evidence.

use super::disruption::Disruption;
use super::flight::InFlight;
use super::leave::Leave;
use super::limits;
use super::pause::{Rtc, until_next_hour};
use super::{Governor, Grant, Line, Moment, budget, refused};
use ipc::message::privileged::{Refusal, Refused, Step, StepReason};
use ipc::units::{BootInstant, Offset, RawInstant, Span, WallTime};

/// What a step uses up, apart from the budget. It is given back where the step was not made: a disk that is full for an
/// hour must not cost all start steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    first_change: Option<BootInstant>,
    start_steps: u8,
    any_start_used: bool,
    run_step_age: Option<Span>,
    resumed_micros: [u32; 25],
    pauses: [u8; 25],
    forwards: [u8; 25],
    approved_used: Option<Span>,
    approved_step: Option<Span>,
    leave: Option<Leave>,
    last_good: (WallTime, Option<WallTime>, Span),
    resumed: Option<BootInstant>,
    rtc: Rtc,
    disruption: Disruption,
    restored_at: Option<RawInstant>,
}

impl Governor {
    /// Start steps left, 0 after the start window; an approved step counts as one.
    pub(super) fn start_steps(&self, now: &Moment) -> u8 {
        self.window_steps(now).max(u8::from(self.terms.approved_step.is_some()))
    }

    pub(super) fn window_steps(&self, now: &Moment) -> u8 {
        // Sources may be heard for the first time hours after the boot: until something was granted it stays open.
        let open_for = self.record.first_change.map_or(Span::ZERO, |first| now.boot.elapsed_since(first));
        if open_for > limits::START_WINDOW {
            return 0;
        }
        self.limits.start_steps.saturating_sub(self.record.start_steps)
    }

    /// Whether there is evidence for a step that has not been made, which a restart of the daemon would forget.
    pub fn has_evidence(&self, now: &Moment) -> bool {
        // Of a suspend that left nothing to set the step may come for ever, but is not waited for so long.
        let resumed = self.resumed.is_some_and(|at| now.boot.elapsed_since(at) <= limits::PAUSE_KNOWN);
        self.displaced.is_some() || resumed || self.disrupted(now) || self.evident_pause(now).is_some()
    }

    fn rights(&self) -> Rights {
        let record = &self.record;
        Rights {
            first_change: record.first_change,
            start_steps: record.start_steps,
            any_start_used: record.any_start_used,
            run_step_age: record.run_step_age,
            resumed_micros: record.resumed,
            pauses: record.pauses,
            forwards: record.forwards,
            approved_used: record.approved_used,
            approved_step: self.terms.approved_step,
            leave: self.leave,
            last_good: (record.last_good, record.kept, record.kept_for),
            resumed: self.resumed,
            rtc: self.rtc,
            disruption: self.disruption,
            restored_at: self.restored_at,
        }
    }

    pub(super) fn give_back(&mut self, rights: Rights) {
        let record = &mut self.record;
        record.first_change = rights.first_change;
        record.start_steps = rights.start_steps;
        record.any_start_used = rights.any_start_used;
        record.run_step_age = rights.run_step_age;
        record.resumed = rights.resumed_micros;
        record.pauses = rights.pauses;
        record.forwards = rights.forwards;
        record.approved_used = rights.approved_used;
        (record.last_good, record.kept, record.kept_for) = rights.last_good;
        self.terms.approved_step = rights.approved_step;
        self.leave = rights.leave;
        self.resumed = rights.resumed;
        self.rtc = rights.rtc;
        self.disruption = rights.disruption;
        self.restored_at = rights.restored_at;
    }

    /// Judges a step.
    ///
    /// # Errors
    /// The row of the table that refuses it, with its limit and the remainder.
    pub fn judge_step(&mut self, order: &Step, now: &Moment) -> Result<Grant, Refused> {
        self.admit(order.epoch, order.asked_at, now)?;
        self.expire_leave(now);
        let (delta, size) = (order.delta, order.delta.magnitude());
        // A plain number: it may be outside the range of a time.
        let target = now.clock.wall.nanos().saturating_add(delta.nanos());
        let floor = self.floor_of(size);
        if target < floor.nanos() {
            return Err(refused(Refusal::Floor, floor.nanos(), target));
        }
        if target > self.latest().nanos() {
            return Err(refused(Refusal::Latest, self.latest().nanos(), target));
        }
        let target = now.clock.wall.moved_by(delta);
        // A step of zero would still mark the clock unsynchronised.
        if size == Span::ZERO {
            return Err(refused(Refusal::Range, 1, 0));
        }
        let rights = self.rights();
        let (mut any_size, mut by_vmclock) = (false, false);
        let by_leave = self.take_leave(size);
        let charged = if by_leave {
            self.record.last_good = target.min(self.record.last_good);
            self.record.kept = None;
            self.record.kept_for = Span::ZERO;
            Span::ZERO
        } else {
            match order.reason {
                StepReason::Start => {
                    any_size = self.judge_start_step(delta, now)?;
                    Span::ZERO
                }
                StepReason::Run => self.judge_run_step(delta)?,
                StepReason::Restore => self.judge_restoring_step(delta, now)?,
                StepReason::Resume => self.judge_resume_step(delta)?,
                StepReason::Pause => {
                    let charged;
                    (charged, by_vmclock) = self.judge_pause_step(delta, now)?;
                    charged
                }
                StepReason::Forward => self.judge_forward_step(delta)?,
            }
        };
        budget::charge(&mut self.record, charged);
        self.note_change(now);
        // The kernel forgets the slew, and what is under way of it.
        self.forfeit();
        self.remember();
        if let Some(before) = &mut self.before_grant {
            before.rights = Some(rights);
        }
        self.make_up_for_pause(target.minus(self.expected_wall(now)));
        self.displaced = None;
        // The kernel marks a clock that is stepped unsynchronised.
        self.synchronised = false;
        self.in_flight = InFlight::NONE;
        self.line = Line { raw: now.clock.raw, wall: target, slew: Offset::ZERO };
        self.record.wall = target;
        Ok(Grant { charged, any_size, by_vmclock, by_leave })
    }

    /// True: it is the one of any size.
    fn judge_start_step(&mut self, delta: Offset, now: &Moment) -> Result<bool, Refused> {
        if self.window_steps(now) == 0 {
            return Err(refused(Refusal::StartWindow, limits::START_WINDOW.nanos(), 0));
        }
        let (back, forward) = (self.limits.start_back.nanos(), self.limits.start_forward.nanos());
        let row = if now.clock.wall < self.ordinary_floor() {
            Some((Refusal::StartWindow, 1, 0))
        } else if delta.nanos() < -back {
            Some((Refusal::StartBack, back, delta.nanos()))
        } else if delta.nanos() > forward {
            Some((Refusal::StartForward, forward, delta.nanos()))
        } else {
            None
        };
        if let Some((row, limit, found)) = row {
            if self.record.any_start_used || !self.limits.any_start {
                return Err(refused(row, limit, found));
            }
            self.record.any_start_used = true;
        }
        self.record.start_steps += 1;
        Ok(row.is_some())
    }

    fn judge_run_step(&mut self, delta: Offset) -> Result<Span, Refused> {
        if delta.magnitude() > self.terms.run_step {
            return Err(refused(Refusal::RunStep, self.terms.run_step.nanos(), delta.nanos()));
        }
        if let Some(last) = self.record.run_step_age {
            spaced(self.record.age.less(last), limits::RUN_STEP_SPACING)?;
        }
        self.within_budget(delta.magnitude())?;
        self.record.run_step_age = Some(self.record.age);
        Ok(delta.magnitude())
    }

    fn judge_restoring_step(&mut self, delta: Offset, now: &Moment) -> Result<Span, Refused> {
        if self.displaced.is_none() {
            return Err(refused(Refusal::Evidence, 0, 0));
        }
        if let Some(last) = self.restored_at {
            spaced(now.clock.raw.elapsed_since(last), limits::RESTORE_SPACING)?;
        }
        let beside = now.clock.wall.minus(self.expected_wall(now)).plus(delta).magnitude();
        if beside > limits::RESTORE_WITHIN {
            return Err(refused(Refusal::Evidence, limits::RESTORE_WITHIN.nanos(), beside.nanos()));
        }
        // A step to anywhere but the predicted time counts as an ordinary movement from that time.
        let charged = if beside <= limits::RESTORE_FREE { Span::ZERO } else { beside };
        self.within_budget(charged)?;
        self.restored_at = Some(now.clock.raw);
        Ok(charged)
    }

    fn judge_resume_step(&mut self, delta: Offset) -> Result<Span, Refused> {
        if self.resumed.is_none() {
            return Err(refused(Refusal::Evidence, 0, 0));
        }
        if delta.magnitude() > self.limits.resume_step {
            return Err(refused(Refusal::RunStep, self.limits.resume_step.nanos(), delta.nanos()));
        }
        if delta.magnitude() > budget::resume_left(&self.record, self.limits) {
            return Err(until_next_hour(self.record.age));
        }
        self.resumed = None;
        budget::count_resume(&mut self.record, delta.magnitude());
        Ok(Span::ZERO)
    }

    pub(super) fn within_budget(&self, phase: Span) -> Result<(), Refused> {
        let left = self.budget_left();
        if phase <= left {
            return Ok(());
        }
        Err(refused(Refusal::Budget, self.limits.phase_day.nanos(), left.nanos()))
    }
}

/// Refuses what comes sooner than `spacing` after the last one.
pub(super) fn spaced(since: Span, spacing: Span) -> Result<(), Refused> {
    if since >= spacing {
        return Ok(());
    }
    Err(refused(Refusal::TooSoon, spacing.nanos(), spacing.less(since).nanos()))
}
