//! Pauses of the machine, as the battery-backed clock (RTC) shows them.
//!
//! A virtual machine that is paused, migrated or restored from a saved state has clocks that stood still, and none of them
//! knows. Only its RTC ran on. So what the RTC has gained is compared, look by look, with what CLOCK_BOOTTIME has, which counts
//! a suspend and which nobody can set. What the RTC has gained beyond that is evidence of a pause, unless
//! - it then shows what the steered clock shows: the kernel (every 11 minutes while the clock is synchronised), or
//!   `hwclock --systohc`, has set it, perhaps to a time that the engine has brought about;
//! - it does not run on as it should: it is looked at twice more before it counts.
//!
//! An RTC that goes back shows nothing. One in local time is not given to this process: the kernel sets it to a time that is
//! not the steered clock's, which could not be told from a pause.

use super::limits::{self, HOUR};
use super::{Governor, Moment, SECOND, refused};
use ipc::message::privileged::{Refusal, Refused};
use ipc::units::{BootInstant, Offset, Span};

/// The least that the RTC must have gained. It tells whole seconds: two of its readings are off by one at most.
const LEAST: i64 = 3_000_000_000;

/// An RTC that is no farther than this from the steered clock was set to it. The kernel sets it half a second off.
const AS_SET: i64 = 1_500_000_000;

/// An RTC that runs as it should is off by no more than this from one look to the next.
const IN_ORDER: i64 = 1_100_000_000;

/// Looks after which an RTC that has jumped is believed.
const CONFIRMED: u8 = 2;

/// Looks are no closer than this, so that rounding does not count.
const BETWEEN: Span = Span::from_millis(1_900);

/// What the RTC showed, and when.
#[derive(Clone, Copy, Debug)]
struct Look {
    rtc: i64,
    boot: BootInstant,
}

/// Evidence of a pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    size: Span,
    at: BootInstant,
    /// Looks since the jump at which the RTC ran as it should.
    looks: u8,
    /// The look before the first pause that is part of it: the rounding of the RTC counts once.
    anchor: Look,
}

/// What the RTC has shown in this run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtc {
    last: Option<Look>,
    pub(super) pause: Option<Pause>,
}

impl Governor {
    /// Whether a reading of the RTC would say anything now.
    pub fn is_rtc_due(&self, now: &Moment) -> bool {
        self.rtc.last.is_none_or(|last| now.boot.elapsed_since(last.boot) >= BETWEEN)
    }

    /// Takes a reading of the RTC, in seconds since 1970. Returns the size of a pause that has just been confirmed.
    pub fn look_at_rtc(&mut self, seconds: i64, now: &Moment) -> Option<Span> {
        let rtc = seconds.saturating_mul(SECOND.nanos());
        if !self.is_rtc_due(now) {
            return None;
        }
        let last = self.rtc.last.replace(Look { rtc, boot: now.boot })?;
        let elapsed = now.boot.elapsed_since(last.boot);
        self.keep_evidence(now);
        let more = rtc.saturating_sub(last.rtc).saturating_sub(elapsed.nanos());
        let is_set = rtc.saturating_sub(now.clock.wall.nanos()).saturating_abs() <= AS_SET;
        let unconfirmed = self.rtc.pause.filter(|pause| pause.looks < CONFIRMED);
        if more >= LEAST && !is_set {
            let before =
                self.rtc.pause.filter(|_| unconfirmed.is_some() || self.evident_pause(now).is_some());
            let known = before.map_or(Span::ZERO, |pause| pause.size);
            let anchor = before.map_or(last, |pause| pause.anchor);
            let since = now.boot.elapsed_since(anchor.boot).nanos();
            let in_all = rtc.saturating_sub(anchor.rtc).saturating_sub(since);
            let size = known.plus(Span::saturating(more.min(in_all.saturating_sub(known.nanos()))));
            self.rtc.pause = Some(Pause { size, at: now.boot, looks: 0, anchor });
            return None;
        }
        let pause = unconfirmed?;
        if more.abs() > IN_ORDER || is_set {
            self.rtc.pause = None;
            return None;
        }
        let looks = pause.looks + 1;
        self.rtc.pause = Some(Pause { looks, ..pause });
        if looks < CONFIRMED {
            return None;
        }
        self.epoch = self.epoch.wrapping_add(1);
        Some(pause.size)
    }

    /// Whether the RTC is to be looked at soon, because it has jumped.
    pub fn awaits_rtc(&self) -> bool {
        self.rtc.pause.is_some_and(|pause| pause.looks < CONFIRMED)
    }

    /// The clock was moved by an order: what the RTC is compared with next begins after it.
    fn forget_rtc(&mut self) {
        self.rtc.last = None;
    }

    /// While the steps of a day are used up, the evidence gets no older: its step is made when there may be one again, and
    /// pauses until then add to it.
    fn keep_evidence(&mut self, now: &Moment) {
        if self.are_pause_steps_used_up()
            && self.evident_pause(now).is_some()
            && let Some(pause) = &mut self.rtc.pause
        {
            pause.at = now.boot;
        }
    }

    /// The size of the pause for which there is evidence now.
    fn evident_pause(&self, now: &Moment) -> Option<Span> {
        let pause = self.rtc.pause.filter(|pause| pause.looks >= CONFIRMED)?;
        (now.boot.elapsed_since(pause.at) <= limits::PAUSE_KNOWN).then_some(pause.size)
    }

    /// A step forward by what the machine was paused for, or by up to [`limits::PAUSE_WITHIN`] more; where only vmclock shows
    /// that it was, by up to the profile's row for that. Returns what is charged, and whether vmclock is the evidence.
    pub(super) fn judge_pause_step(&mut self, delta: Offset, now: &Moment) -> Result<(Span, bool), Refused> {
        // From the governor's own line: what others moved in the meantime is part of it.
        let from_line = now.clock.wall.minus(self.expected_wall(now)).plus(delta);
        let (charged, by_vmclock) = match (self.beside_pause(from_line, now), self.disrupted(now)) {
            // The RTC is read to a second; more than that is a movement like another.
            (Ok(beside), _) => (beside.max(Offset::ZERO).magnitude().less(SECOND), false),
            (Err(_), true) => {
                self.judge_disruption(from_line)?;
                (Span::ZERO, true)
            }
            (Err(refused), false) => return Err(refused),
        };
        within_day(&self.record.pauses, self.limits.pause_steps, self.record.age)?;
        self.within_budget(charged)?;
        count(&mut self.record.pauses, self.record.age);
        if !by_vmclock {
            self.rtc.pause = None;
        }
        self.use_disruption_up();
        Ok((charged, by_vmclock))
    }

    /// By how much a clock that is moved to `from_line` ahead of the governor's line would be beside what the RTC shows.
    fn beside_pause(&self, from_line: Offset, now: &Moment) -> Result<Offset, Refused> {
        let pause = self.evident_pause(now).ok_or(refused(Refusal::Evidence, 0, 0))?;
        let beside = from_line.minus(pause.forward());
        // Less is lawful: slews may have made up for a part of it while the step was awaited.
        // So may be more than what others moved it by: an agent that has set it too far ahead.
        if beside > limits::PAUSE_WITHIN.forward() || from_line <= Offset::ZERO {
            return Err(refused(Refusal::Evidence, limits::PAUSE_WITHIN.nanos(), beside.nanos()));
        }
        Ok(beside)
    }

    /// Whether there may be no further step after a pause now.
    pub(super) fn are_pause_steps_used_up(&self) -> bool {
        within_day(&self.record.pauses, self.limits.pause_steps, self.record.age).is_err()
    }

    /// A step forward of which nothing but the engine's word says that it is right, and which the operator allows; returns
    /// what is charged.
    pub(super) fn judge_forward_step(&mut self, delta: Offset) -> Result<Span, Refused> {
        let most = self.terms.forward_step;
        if delta <= Offset::ZERO || delta.magnitude() > most {
            return Err(refused(Refusal::Forward, most.nanos(), delta.nanos()));
        }
        within_day(&self.record.forwards, self.limits.forward_steps, self.record.age)?;
        count(&mut self.record.forwards, self.record.age);
        // Whatever the RTC shows of the time before it was made up for.
        self.rtc.pause = None;
        Ok(Span::ZERO)
    }

    /// The clock goes on from a time that is `moved` ahead of the governor's line, by a step or because what another program
    /// did is accepted: if that is forward it has made up for a pause, whether the RTC has shown it yet or not.
    pub(super) fn make_up_for_pause(&mut self, moved: Offset) {
        if moved == Offset::ZERO {
            return;
        }
        self.forget_rtc();
        if moved > SECOND.forward() {
            self.use_disruption_up();
        }
        if let Some(pause) = &mut self.rtc.pause
            && moved > Offset::ZERO
        {
            pause.size = pause.size.less(moved.magnitude());
            pause.anchor.rtc = pause.anchor.rtc.saturating_add(moved.nanos());
            if pause.size.nanos() < LEAST {
                self.rtc.pause = None;
            }
        }
    }
}

/// Refuses one more step than there may be in 24 hours. `made`: in each of the last 25 hours of `age`.
fn within_day(made: &[u8; 25], most: u8, age: Span) -> Result<(), Refused> {
    let made: u32 = made.iter().map(|hour| u32::from(*hour)).sum();
    if made < u32::from(most) {
        return Ok(());
    }
    let left = HOUR.nanos() - age.nanos() % HOUR.nanos();
    Err(refused(Refusal::TooSoon, HOUR.nanos(), left))
}

fn count(made: &mut [u8; 25], age: Span) {
    let hour = (age.nanos() / HOUR.nanos()) as usize % made.len();
    made[hour] = made[hour].saturating_add(1);
}
