//! What moves the clock: orders, as far as the governor allows them; somebody else; sleep.

use super::*;

impl World {
    pub(super) fn obey(&mut self, order: Output) {
        let kind = match &order {
            Output::Adjust(_) => OrderKind::Adjust,
            Output::Step(_) => OrderKind::Step,
            Output::SetTai(_) => OrderKind::Tai,
            _ => OrderKind::Status,
        };
        let before = self.reading();
        let verdict = self.judge(&order);
        let fact = match verdict {
            Ok(()) => Input::Applied(kind, Applied { answers: 0, before, after: self.reading() }),
            Err(code) => {
                self.refused.push(code);
                Input::Refused(kind, Refused { answers: 0, code, limit: 0, remaining: 0 })
            }
        };
        self.plan(self.time + 20_000, Happening::Fact(fact));
    }

    /// What the governor says; the clock is moved when it is content.
    fn judge(&mut self, order: &Output) -> Result<(), Refusal> {
        self.tokens = (self.tokens + (self.time - self.refilled) as f64 * 1e-9).min(8.0);
        self.refilled = self.time;
        if self.tokens < 1.0 {
            return Err(Refusal::Rate);
        }
        self.tokens -= 1.0;
        let now = self.now();
        let fresh = |epoch: u32, asked: RawInstant| {
            if epoch != self.epoch {
                Err(Refusal::StaleEpoch)
            } else if !(0..2 * SECOND).contains(&now.raw.since(asked).nanos()) {
                Err(Refusal::Stale)
            } else {
                Ok(())
            }
        };
        let advanced = self.page.advanced_to(now.raw);
        match order {
            Output::Adjust(adjust) => {
                fresh(adjust.epoch, adjust.asked_at)?;
                self.adjust_refusal.map_or(Ok(()), Err)?;
                let rate = adjust.slew.nanos().abs() >> (2 + adjust.time_constant.exponent());
                let along =
                    f64::from(adjust.frequency.scaled()) / 65_536e6 * adjust.slew.nanos().signum() as f64;
                let beside = rate as f64 * 1e-9;
                if (beside > 200e-6 && along + beside > 500e-6) || adjust.slew.nanos().abs() > SECOND / 2 {
                    return Err(Refusal::Total);
                }
                self.page = advanced.adjusted(adjust.frequency, adjust.slew, adjust.time_constant);
                self.adjusts.push(*adjust);
            }
            Output::Step(step) => {
                fresh(step.epoch, step.asked_at)?;
                // This machine has no battery-backed clock, and the operator allows nothing.
                match step.reason {
                    _ if self.permits => {}
                    StepReason::Pause => return Err(Refusal::Evidence),
                    StepReason::Forward => return Err(Refusal::Forward),
                    _ => self.step_refusal.map_or(Ok(()), Err)?,
                }
                let to = now.wall.nanos() + step.delta.nanos();
                if to < FLOOR {
                    return Err(Refusal::Floor);
                }
                if to > LATEST {
                    return Err(Refusal::Latest);
                }
                if self.permits {
                    // No row but the plausible times.
                } else if step.reason == StepReason::Start {
                    if self.start_steps == 0 {
                        return Err(Refusal::StartWindow);
                    }
                    let row = if now.wall.nanos() < FLOOR {
                        Some(Refusal::StartWindow)
                    } else if step.delta.nanos() < -1000 * SECOND {
                        Some(Refusal::StartBack)
                    } else if step.delta.nanos() > 86_400 * SECOND {
                        Some(Refusal::StartForward)
                    } else {
                        None
                    };
                    if let Some(row) = row {
                        if !self.any_start {
                            return Err(row);
                        }
                        self.any_start = false;
                    }
                    self.start_steps -= 1;
                } else if step.reason == StepReason::Run && step.delta.nanos().abs() > SECOND {
                    return Err(Refusal::RunStep);
                }
                self.page = advanced.set_to(WallTime::saturating(to));
                self.steps.push(*step);
            }
            Output::SetStatus(status) => {
                if status.epoch != self.epoch {
                    return Err(Refusal::StaleEpoch);
                }
                let is_leap = matches!(status.leap, Leap::Insert | Leap::Delete);
                match self.status_refusal {
                    Some(Refusal::LeapDate | Refusal::LeapTooSoon) if !is_leap => {}
                    other => other.map_or(Ok(()), Err)?,
                }
                self.statuses.push(*status);
                self.told_at = Some(self.time);
            }
            Output::SetTai(tai) => {
                fresh(tai.epoch, tai.asked_at)?;
                self.page = advanced.with_tai(tai.seconds);
                self.tais.push(tai.seconds);
            }
            _ => {}
        }
        Ok(())
    }

    /// Somebody else moves the clock by `seconds`; the governor notices at once.
    pub fn meddle(&mut self, seconds: f64) {
        let advanced = self.page.advanced_to(self.now().raw);
        let moved = Offset::saturating((seconds * 1e9) as i64);
        self.page = advanced.set_to(advanced.wall.checked_add(moved).unwrap());
        self.epoch += 1;
        let now = self.reading();
        let kind = ClockEventKind::ForeignStep;
        self.give(Input::ClockEvent(ClockEvent { epoch: self.epoch, kind, moved, now, marker: None }));
    }

    /// The machine sleeps: RAW and the steered clock stand still.
    pub fn sleep(&mut self, seconds: i64) {
        let raw = self.raw_at(self.time);
        self.time += seconds * SECOND;
        self.segment = (self.time, raw.nanos() as f64);
        // Whatever was under way is lost.
        let late: Vec<_> = self.queue.drain(..).collect();
        for (_, _, happening) in late {
            if let Happening::Fact(Input::Reply(reply)) = happening {
                let (reason, rejected) = (Silence::Deadline, Rejected::NONE);
                let lost = Unanswered { id: reply.id, reason, rejected };
                self.plan(self.time + LINK, Happening::Fact(Input::Unanswered(lost)));
            } else {
                self.plan(self.time + LINK, happening);
            }
        }
        self.epoch += 1;
        let now = self.reading();
        let (kind, moved) = (ClockEventKind::Resume, Offset::ZERO);
        self.give(Input::ClockEvent(ClockEvent { epoch: self.epoch, kind, moved, now, marker: None }));
    }
}
