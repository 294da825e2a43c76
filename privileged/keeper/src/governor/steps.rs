//! Steps, judged by their claimed reason and the governor's own evidence.

use super::limits::{self, SECOND};
use super::{Governor, Grant, Line, Moment, budget, refused};
use ipc::message::privileged::{Refusal, Refused, Step, StepReason};
use ipc::units::{Offset, WallTime};

impl Governor {
    /// Judges a step.
    ///
    /// # Errors
    /// The row of the table that refuses it, with its limit and what is left of it.
    pub fn judge_step(&mut self, order: &Step, now: &Moment) -> Result<Grant, Refused> {
        self.admit(order.epoch, order.asked_at, now)?;
        let delta = order.delta.nanos();
        let result = now.wall.nanos().saturating_add(delta);
        if result < self.floor().nanos() {
            return Err(refused(Refusal::Floor, self.floor().nanos(), result));
        }
        if result > self.latest().nanos() {
            return Err(refused(Refusal::Latest, self.latest().nanos(), result));
        }
        // A step of zero would still mark the clock unsynchronised.
        if delta == 0 {
            return Err(refused(Refusal::Range, 1, 0));
        }
        let charged = if delta.abs() <= self.terms.approved_step {
            self.record.approved_used = self.terms.approved_step;
            self.terms.approved_step = 0;
            self.record.last_good = WallTime::saturating(result).min(self.record.last_good);
            0
        } else {
            match order.reason {
                StepReason::Start => self.judge_start_step(delta, now)?,
                StepReason::Run => self.judge_run_step(delta)?,
                StepReason::Restore => self.judge_restoring_step(delta, now)?,
                StepReason::Resume => self.judge_resume_step(delta)?,
            }
        };
        budget::charge(&mut self.record, charged);
        self.before_grant = Some((self.line, self.record.base, self.displaced, self.open_charge, 0));
        self.displaced = None;
        self.open_charge = 0;
        self.line = Line { raw: now.raw, wall: WallTime::saturating(result), slew: Offset::ZERO };
        self.record.wall = self.line.wall;
        Ok(Grant { charged })
    }

    fn judge_start_step(&mut self, delta: i64, now: &Moment) -> Result<i64, Refused> {
        let left = self.window_steps(now);
        if left == 0 {
            return Err(refused(Refusal::StartWindow, limits::START_WINDOW, 0));
        }
        if now.wall < self.floor() {
            if self.record.below_floor_used || !self.limits.below_floor {
                return Err(refused(Refusal::StartWindow, 1, 0));
            }
            self.record.below_floor_used = true;
        } else if delta < -self.limits.start_back {
            return Err(refused(Refusal::StartBack, self.limits.start_back, delta));
        } else if delta > self.limits.start_forward {
            return Err(refused(Refusal::StartForward, self.limits.start_forward, delta));
        }
        self.record.start_steps += 1;
        Ok(0)
    }

    fn judge_run_step(&mut self, delta: i64) -> Result<i64, Refused> {
        if delta.abs() > self.terms.run_step {
            return Err(refused(Refusal::RunStep, self.terms.run_step, delta));
        }
        let since = self.record.age - self.record.run_step_age;
        if self.record.run_step_age >= 0 && since < limits::RUN_STEP_SPACING {
            return Err(refused(
                Refusal::TooSoon,
                limits::RUN_STEP_SPACING,
                limits::RUN_STEP_SPACING - since,
            ));
        }
        self.within_budget(delta.abs())?;
        self.record.run_step_age = self.record.age;
        Ok(delta.abs())
    }

    fn judge_restoring_step(&mut self, delta: i64, now: &Moment) -> Result<i64, Refused> {
        if self.displaced.is_none() {
            return Err(refused(Refusal::Evidence, 0, 0));
        }
        if let Some(last) = self.restored_at {
            let since = now.raw.since(last).nanos();
            if since < limits::RESTORE_SPACING {
                return Err(refused(
                    Refusal::TooSoon,
                    limits::RESTORE_SPACING,
                    limits::RESTORE_SPACING - since,
                ));
            }
        }
        let line = self.expected_wall(now).nanos();
        let beside = (now.wall.nanos() + delta - line).abs();
        if beside > limits::RESTORE_WITHIN {
            return Err(refused(Refusal::Evidence, limits::RESTORE_WITHIN, beside));
        }
        // A step to anywhere but the predicted time counts as an ordinary movement from that time.
        let charged = if beside <= limits::RESTORE_FREE { 0 } else { beside };
        self.within_budget(charged)?;
        self.restored_at = Some(now.raw);
        Ok(charged)
    }

    fn judge_resume_step(&mut self, delta: i64) -> Result<i64, Refused> {
        if !self.resumed {
            return Err(refused(Refusal::Evidence, 0, 0));
        }
        if delta.abs() > self.limits.resume_step {
            return Err(refused(Refusal::RunStep, self.limits.resume_step, delta));
        }
        let day_ago = self.record.age - 86_400 * SECOND;
        let today = self.record.resume_ages.iter().filter(|age| **age >= 0 && **age > day_ago).count();
        if today >= usize::from(self.limits.resume_steps) {
            return Err(refused(Refusal::TooSoon, i64::from(self.limits.resume_steps), 0));
        }
        self.resumed = false;
        self.record.resume_ages.rotate_left(1);
        self.record.resume_ages[3] = self.record.age;
        Ok(0)
    }

    fn within_budget(&self, phase: i64) -> Result<(), Refused> {
        let left = self.budget_left();
        if phase > left { Err(refused(Refusal::Budget, self.limits.phase_day, left)) } else { Ok(()) }
    }
}
