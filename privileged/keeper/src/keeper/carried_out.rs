//! An order on its way: judged, recorded, carried out, checked.

use super::asked::Asked;
use super::quota::{self, Kind, Unwritten};
use super::{Keeper, Told, moment};
use crate::clock::Clock;
use crate::ending::{Ending, say};
use crate::governor::{Grant, Moment, WRITE, limits};
use crate::kernel::Errno;
use ipc::calendar::Rfc3339;
use ipc::message::privileged::{
    Adjust, Applied, ClockKind, ClockReading, FromPrivileged, Refusal, Refused, Step, StepReason,
    ToPrivileged,
};
use ipc::units::{Leap, Offset, Span};
use ipc_clock::raw;

/// The largest accepted error of a step.
const STEP_TOLERANCE: Span = Span::from_millis(20);
/// How long charged slews continue while the record cannot be written, and no start would mend that.
pub(super) const UNWRITTEN: Span = Span::from_secs(86_400);
/// How long the record may remain unwritten before the daemon ends for a start that keeps it elsewhere: while an order waits for
/// it (less than the minute after which the engine repeats one), and while none does.
pub(super) const AWAITED: Span = Span::from_secs(50);
pub(super) const UNAWAITED: Span = WRITE;
/// The same while there is evidence for a step, which a start would forget: for as long as that of a pause counts.
pub(super) const EVIDENT: Span = limits::PAUSE_KNOWN;

/// Why an order was not carried out.
enum NotDone {
    Refused(Refused),
    Ends(Ending),
}

impl From<Refused> for NotDone {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Refusal> for NotDone {
    fn from(code: Refusal) -> Self {
        Self::Refused(Refused { answers: 0, code, limit: limits::BURST.into(), remaining: 0 })
    }
}

impl From<Ending> for NotDone {
    fn from(ending: Ending) -> Self {
        Self::Ends(ending)
    }
}

impl<C: Clock> Keeper<C> {
    /// Carries out an order, and returns the answer.
    pub(super) fn answer_to(
        &mut self,
        sequence: u32,
        order: &ToPrivileged,
    ) -> Result<FromPrivileged, Ending> {
        match self.carry_out(sequence, order) {
            Ok(applied) => Ok(FromPrivileged::Applied(applied)),
            Err(NotDone::Refused(refused)) => {
                self.note_refusal(order, &refused, raw());
                Ok(FromPrivileged::Refused(Refused { answers: sequence, ..refused }))
            }
            Err(NotDone::Ends(ending)) => Err(ending),
        }
    }

    /// Judges an order, records it and carries it out.
    fn carry_out(&mut self, sequence: u32, order: &ToPrivileged) -> Result<Applied, NotDone> {
        let now = moment(&self.clock)?;
        if self.clock.kind() == ClockKind::None {
            return Err(Refusal::NoClock.into());
        }
        let (grant, permitted) = match order {
            ToPrivileged::Adjust(adjust) => (self.governor.judge_adjust(adjust, &now)?, *order),
            ToPrivileged::Step(step) => (self.governor.judge_step(step, &now)?, *order),
            ToPrivileged::SetStatus(status) => {
                let status = self.governor.judge_status(status, &now)?;
                (Grant::FREE, ToPrivileged::SetStatus(status))
            }
            ToPrivileged::SetTai(tai) => {
                self.governor.judge_tai(tai, &now)?;
                (Grant::FREE, *order)
            }
            _ => return Err(Refusal::Range.into()),
        };
        let Grant { charged, any_size, .. } = grant;
        self.may_act(order, charged, &now)?;
        if matches!(order, ToPrivileged::Step(_)) {
            self.write_step_down(format_args!(
                "event=permitted {} any_size={any_size} by_leave={}",
                Asked(order),
                grant.by_leave
            ));
        }
        // Writing the record may have taken time: a step is measured from the clock right before it.
        let before = self.clock.read().unwrap_or(now.clock);
        if let Err(refused) = self.governor.replaced(&before) {
            self.governor.not_done();
            return Err(refused.into());
        }
        let done = match &permitted {
            ToPrivileged::Adjust(adjust) => {
                self.clock.adjust(adjust.frequency, adjust.slew, adjust.time_constant)
            }
            ToPrivileged::Step(step) => self.clock.step(step.delta),
            ToPrivileged::SetStatus(status) => self.clock.set_status(status),
            ToPrivileged::SetTai(tai) => self.clock.set_tai(tai.seconds),
            _ => Ok(()),
        };
        if let Err(errno) = done {
            self.governor.not_done();
            say(3, &format_args!("the kernel refused an order: {errno}"));
            return Err(Refusal::Clock.into());
        }
        let then = moment(&self.clock)?;
        let after = then.clock;
        let unwritten = match order {
            ToPrivileged::SetStatus(status) => {
                let told = Told { leap: status.leap, synchronised: status.synchronised };
                let is_news = self.course.told.replace(told) != Some(told);
                is_news.then(|| self.may_write(Kind::Status)).flatten()
            }
            ToPrivileged::Step(step) => {
                self.check_step(step, &grant, &before, &after)?;
                self.governor.applied(&then);
                Some(Unwritten(0))
            }
            ToPrivileged::Adjust(adjust) => {
                self.governor.applied(&then);
                self.may_write_adjustment(adjust, charged).then_some(Unwritten(0))
            }
            // There are a few in a boot.
            ToPrivileged::SetTai(_) => Some(Unwritten(0)),
            _ => None,
        };
        if let Some(unwritten) = unwritten {
            self.write_down(format_args!(
                "event=applied {} charged_ns={}{unwritten} any_size={any_size} before={} after={} left_before_ns={} left_after_ns={} was={} is={}",
                Asked(order),
                charged.nanos(),
                Rfc3339(before.wall),
                Rfc3339(after.wall),
                before.slew_left.nanos(),
                after.slew_left.nanos(),
                before.frequency.scaled(),
                after.frequency.scaled(),
            ));
        }
        Ok(Applied { answers: sequence, before, after })
    }

    /// Takes a line for an adjustment, and writes the sum of those that had none before it.
    fn may_write_adjustment(&mut self, adjust: &Adjust, charged: Span) -> bool {
        let record = self.governor.record();
        let order = (adjust.frequency, adjust.slew);
        let Some(sum) = quota::adjustment(&mut record.lines, record.age, order, charged) else {
            return false;
        };
        if let Some(sum) = sum {
            self.write_down(format_args!("{sum}"));
        }
        true
    }

    /// Records the charge. If that fails, whatever must be on the disk before it is done is refused, and the daemon soon ends for a
    /// start that keeps the record elsewhere. Where no start would, a step is refused, and charged slews continue for a day
    /// from the budget in memory.
    fn may_act(&mut self, order: &ToPrivileged, charged: Span, moment: &Moment) -> Result<(), NotDone> {
        let now = moment.clock.raw;
        let is_step = matches!(order, ToPrivileged::Step(_));
        let costs = match order {
            ToPrivileged::SetStatus(status) => matches!(status.leap, Leap::Insert | Leap::Delete),
            ToPrivileged::SetTai(_) => true,
            _ => is_step || charged != Span::ZERO,
        };
        let written = self.course.written;
        if !costs && !self.governor.is_unwritten() && written.is_some_and(|at| now.elapsed_since(at) < WRITE)
        {
            return Ok(());
        }
        let Err(errno) = self.persist() else { return Ok(()) };
        let since = *self.course.unwritten_since.get_or_insert_with(|| {
            say(
                3,
                &"the state directory cannot be written: no steps until it can; free some space or remount it",
            );
            now
        });
        let lasted = now.elapsed_since(since);
        // The start has written it as this process does: one that never could gains nothing by another.
        let is_lost = matches!(errno.0, libc::EROFS | libc::ENOSPC | libc::EDQUOT | libc::EIO);
        if self.has_refuge && is_lost && written.is_some() {
            let is_awaited = costs || self.governor.is_unwritten();
            if is_awaited {
                self.governor.not_done();
            }
            let patience = match is_awaited {
                _ if self.governor.has_evidence(moment) => EVIDENT,
                true => AWAITED,
                false => UNAWAITED,
            };
            if lasted < patience {
                return if is_awaited { Err(Refusal::NoPersist.into()) } else { Ok(()) };
            }
            self.governor.not_done();
            // Nothing was done that had to be on the disk before, so the start that follows refills nothing.
            return Err(Ending::Trouble(format!(
                "the state directory cannot be written ({errno}): the daemon ends, for a start that keeps in the run directory \
                 what is to be remembered"
            ))
            .into());
        }
        // Only if this run has written the record before: otherwise a restart would forget the charge.
        // The file has its full length from the start and does not grow: another process has lowered the limit.
        let is_honest = errno != Errno(libc::EFBIG);
        let remembered = is_honest && written.is_some() && lasted < UNWRITTEN;
        if !is_step && (!costs || remembered) {
            return Ok(());
        }
        self.governor.not_done();
        Err(Refusal::NoPersist.into())
    }

    /// Checks that a step reached its target; otherwise it is undone and the daemon ends.
    fn check_step(
        &mut self,
        step: &Step,
        grant: &Grant,
        before: &ClockReading,
        after: &ClockReading,
    ) -> Result<(), Ending> {
        let (delta, elapsed) = (step.delta, after.raw.elapsed_since(before.raw));
        let moved = after.wall.minus(before.wall).minus(elapsed.forward());
        let beside = moved.minus(delta);
        let tolerance = STEP_TOLERANCE.plus(Span::saturating(elapsed.nanos() / 1_000));
        if beside.magnitude() <= tolerance {
            let why = match step.reason {
                _ if grant.by_leave => "an operator permitted it",
                StepReason::Start if grant.any_size => "the one start step of any size in this boot",
                StepReason::Start => "first setting after the start",
                StepReason::Run => "while running",
                StepReason::Restore => "another program had set it",
                StepReason::Resume => "after a suspend",
                StepReason::Pause if grant.by_vmclock => {
                    "the machine was migrated or restored, as its hypervisor says (vmclock); its sources say by how much"
                }
                StepReason::Pause => "the machine was paused, as its battery-backed clock shows",
                StepReason::Forward => {
                    "allow-forward-steps: nothing but its sources shows that it was behind"
                }
            };
            // Also stored where the ring of the audit log cannot overwrite it.
            let sign = if delta < Offset::ZERO { '-' } else { '+' };
            let (seconds, nanos) = (delta.magnitude().seconds(), delta.magnitude().nanos() % 1_000_000_000);
            say(5, &format_args!("stepped the clock by {sign}{seconds}.{nanos:09} s: {why}"));
            return Ok(());
        }
        let undone = self.clock.step(Offset::ZERO.minus(moved)).is_ok();
        self.write_down(format_args!("event=panic beside_ns={} undone={undone}", beside.nanos()));
        let _ = self.persist();
        Err(Ending::Governor(format!(
            "a step of {} ns moved the clock {} ns beside its mark ({}); not restarting: look at the kernel's clock source",
            delta.nanos(),
            beside.nanos(),
            if undone { "undone" } else { "and could not be undone" },
        )))
    }
}
