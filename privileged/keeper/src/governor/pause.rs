//! Pauses of the machine, as the battery-backed clock (RTC) shows them.
//!
//! A virtual machine that is paused, migrated or restored from a saved state has clocks that stood still, and none of them
//! knows. Only its RTC ran on. So what the RTC has gained is compared, look by look, with what CLOCK_BOOTTIME has, which counts
//! a suspend and which nobody can set. What the RTC has gained beyond that is evidence of a pause, unless
//! - it then shows what the steered clock shows: the kernel (every 11 minutes while the clock is synchronised), or
//!   `hwclock --systohc`, has set it, perhaps to a time that the engine has brought about;
//! - it does not run on as it should: it is looked at twice more before it counts.
//!
//! The RTC tells whole seconds, so a look shows within a second by how much it is ahead of CLOCK_BOOTTIME: its *lead*. Looks at
//! different parts of a second narrow that down, and each is made where it says most.
//!
//! An RTC that goes back shows nothing. One in local time is not given to this process: the kernel sets it to a time that is
//! not the steered clock's, which could not be told from a pause.

use super::limits::{self, HOUR};
use super::{Governor, Moment, SECOND, refused};
use ipc::message::privileged::{Refusal, Refused};
use ipc::units::{BootInstant, Offset, Span};

/// The least that the RTC must have gained for certain. A clock that is set to the steered one, half a second off, gains less.
const LEAST: i64 = 750_000_000;

/// An RTC that may be no farther than this from the steered clock was set to it. The kernel sets it half a second off.
const AS_SET: i64 = 600_000_000;

/// By how much the RTC runs faster or slower than CLOCK_BOOTTIME, which is slewed with the steered clock; ns in a second.
const DRIFT: i64 = 600_000;

/// Looks after which an RTC that has jumped is believed.
const CONFIRMED: u8 = 2;

/// A lead that is known to within this needs no further looks in quick succession; nor is it made so many.
const NARROW: i64 = 100_000_000;
const QUICK_LOOKS: u8 = 6;

/// What the clock has shown is noted again once it differs by this: by a step. (CLOCK_BOOTTIME is slewed with the clock.)
const OTHER: i64 = 20_000_000;

/// How far beside the RTC's second it is looked at: a timer is late, and never early.
const BESIDE: i64 = 2_000_000;

/// Looks are no closer than this.
const BETWEEN: Span = Span::from_millis(1_900);

/// About how often the RTC is looked at (some 50 µs, and as long as it updates itself).
const LOOK: Span = Span::from_secs(15);

/// The same while it is to be confirmed that it was right.
const LOOK_AGAIN: Span = Span::from_secs(2);

/// RTC − CLOCK_BOOTTIME lies in [low, high], ns, at `at`.
#[derive(Clone, Copy, Debug)]
struct Lead {
    low: i64,
    high: i64,
    at: BootInstant,
}

impl Lead {
    /// From a reading, in seconds, that was made between two moments.
    fn read(seconds: i64, before: BootInstant, after: BootInstant) -> Self {
        let rtc = seconds.saturating_mul(SECOND.nanos());
        Self {
            low: rtc.saturating_sub(after.nanos()),
            high: rtc.saturating_add(SECOND.nanos()).saturating_sub(before.nanos()),
            at: before,
        }
    }

    fn moved(self, by: i64) -> Self {
        Self { low: self.low.saturating_add(by), high: self.high.saturating_add(by), ..self }
    }

    fn widened(self, by: i64) -> Self {
        Self { low: self.low.saturating_sub(by), high: self.high.saturating_add(by), ..self }
    }

    fn aged(self, at: BootInstant) -> Self {
        let by = at.elapsed_since(self.at).nanos() / SECOND.nanos() * DRIFT + DRIFT;
        Self { at, ..self.widened(by) }
    }

    /// What both say; none: they exclude each other.
    fn cut(self, newer: Self) -> Option<Self> {
        let both = Self { low: self.low.max(newer.low), high: self.high.min(newer.high), ..newer };
        (both.low <= both.high).then_some(both)
    }

    fn width(self) -> i64 {
        self.high.saturating_sub(self.low)
    }

    fn middle(self) -> i64 {
        self.low.saturating_add(self.width() / 2)
    }
}

/// Evidence of a pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause {
    size: Span,
    at: BootInstant,
    /// The lead before the first pause that is part of it: that it is not known better counts once.
    anchor: Lead,
}

/// How far CLOCK_BOOTTIME was ahead of the clock once, ns.
#[derive(Clone, Copy, Debug)]
struct Shown {
    behind: i64,
    /// The clock was where it had been ordered to be, and not where another program had set it.
    is_own: bool,
}

/// What the RTC has shown in this run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rtc {
    lead: Option<Lead>,
    /// The lead before a jump that is not believed yet.
    jumped_from: Option<Lead>,
    /// How far CLOCK_BOOTTIME was ahead of the clock, ns, at all that this one has shown since the last look at which the RTC ran
    /// as it should: whatever the clock was moved to, the kernel may have set the RTC to it, and no step since makes evidence of that.
    shown: [Option<Shown>; 8],
    /// Looks since the jump, or since there is a lead, at which the RTC ran as it should.
    looks: u8,
    /// When the RTC is looked at next; none: as soon as something wakes the keeper.
    next: Option<BootInstant>,
    pub(super) pause: Option<Pause>,
}

impl Rtc {
    /// The clock and the RTC have parted, or may have, by what is no pause: a suspend, which the kernel adds rounded, or a leap
    /// second. Had the kernel set the RTC before, that would no longer show.
    pub(super) fn begin_anew(&mut self) {
        self.compare_anew();
        (self.jumped_from, self.shown) = (None, [None; 8]);
    }

    /// What the next look shows is compared with nothing before it.
    fn compare_anew(&mut self) {
        (self.lead, self.looks, self.next) = (None, 0, None);
    }

    /// Whether an RTC with this lead may have been set to what the clock has shown.
    fn may_be_set(&self, lead: Lead) -> bool {
        self.shown.iter().flatten().any(|shown| {
            let beside = lead.moved(shown.behind);
            beside.low <= AS_SET && beside.high >= -AS_SET
        })
    }

    /// At most this much of what an RTC with this lead has gained is a pause: it may have been set to what the clock has shown
    /// before the machine was paused. (Where another program has made up for a part of the pause, the rest counts all the same.)
    fn most_paused(&self, lead: Lead) -> i64 {
        let own = self.shown.iter().flatten().filter(|shown| shown.is_own);
        let ahead = own.map(|shown| lead.middle().saturating_add(shown.behind)).filter(|ahead| *ahead > 0);
        ahead.min().map_or(i64::MAX, |least| least.saturating_add(AS_SET))
    }
}

impl Governor {
    /// Notes what the clock shows. More steps between two looks than there is room for end the comparison.
    pub(super) fn note_shown(&mut self, now: &Moment) {
        let behind = now.boot.nanos().saturating_sub(now.clock.wall.nanos());
        let is_own = self.displaced.is_none();
        let shown = &mut self.rtc.shown;
        let mut known = shown.iter_mut().flatten();
        if let Some(known) = known.find(|known| known.behind.abs_diff(behind) <= OTHER.unsigned_abs()) {
            known.is_own |= is_own;
            return;
        }
        match shown.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(Shown { behind, is_own }),
            None => self.rtc.begin_anew(),
        }
    }

    /// Whether the RTC is to be looked at now. A look at another moment, because something else woke the keeper, would say less
    /// than the one that is planned, and put it off.
    pub fn is_rtc_due(&self, now: BootInstant) -> bool {
        self.rtc.next.is_none_or(|next| now >= next)
    }

    /// The RTC could not be read: it is not tried again at once.
    pub fn rtc_missed(&mut self, now: BootInstant) {
        self.rtc.next = Some(BootInstant::saturating(now.nanos().saturating_add(LOOK.nanos())));
    }

    /// In how long the RTC is to be looked at.
    pub fn rtc_look_in(&self, now: BootInstant) -> Span {
        self.rtc.next.map_or(LOOK, |next| next.elapsed_since(now))
    }

    /// When the RTC is best looked at, some time from now: where its next second halves what is not known of its lead,
    /// or, once that is little, in turn right before the second begins and right after it, where it has begun already if the
    /// RTC has jumped ahead, and has not if it has jumped back.
    fn best_look(&self, lead: Lead, now: BootInstant) -> BootInstant {
        let wait = if self.awaits_rtc() { LOOK_AGAIN } else { LOOK };
        let then = now.nanos().saturating_add(wait.nanos());
        let aged = lead.aged(BootInstant::saturating(then.saturating_add(SECOND.nanos())));
        let at = match self.rtc.looks % 2 {
            _ if lead.width() > NARROW => lead.middle(),
            0 => aged.high.saturating_add(BESIDE),
            _ => aged.low.saturating_sub(BESIDE),
        };
        let shown = then.saturating_add(at);
        BootInstant::saturating(then.saturating_add(shown.saturating_neg().rem_euclid(SECOND.nanos())))
    }

    /// Takes a reading of the RTC, in seconds since 1970, that was made between `now` and `after`. Returns the size of a pause
    /// that has just been confirmed.
    pub fn look_at_rtc(&mut self, seconds: i64, now: &Moment, after: BootInstant) -> Option<Span> {
        if self.rtc.lead.is_some_and(|last| now.boot.elapsed_since(last.at) < BETWEEN) {
            return None;
        }
        self.keep_evidence(now);
        let found = self.take_reading(Lead::read(seconds, now.boot, after), now);
        self.rtc.next = self.rtc.lead.map(|lead| self.best_look(lead, now.boot));
        found
    }

    fn take_reading(&mut self, read: Lead, now: &Moment) -> Option<Span> {
        self.note_shown(now);
        let rtc = &mut self.rtc;
        let Some(expected) = rtc.lead.map(|last| last.aged(now.boot)) else {
            rtc.lead = Some(read);
            return None;
        };
        let Some(lead) = expected.cut(read) else {
            // One that jumps back does not run as it should; ahead once more may have been another pause.
            let from = rtc.jumped_from.unwrap_or(expected);
            rtc.jumped_from = (read.low > expected.high).then_some(from);
            (rtc.lead, rtc.looks) = (Some(read), 0);
            return None;
        };
        rtc.lead = Some(lead);
        // They alternate for good.
        rtc.looks = rtc.looks.checked_add(1).unwrap_or(u8::MAX - 1);
        let Some(from) = rtc.jumped_from else {
            rtc.shown = [None; 8];
            self.note_shown(now);
            return None;
        };
        if rtc.looks < CONFIRMED {
            return None;
        }
        let from = from.aged(now.boot);
        let most = rtc.most_paused(lead);
        if lead.low.saturating_sub(from.high).min(most) < LEAST || rtc.may_be_set(lead) {
            if !self.awaits_rtc() {
                self.rtc.jumped_from = None;
            }
            return None;
        }
        self.rtc.jumped_from = None;
        let before = self.rtc.pause.filter(|_| self.evident_pause(now).is_some());
        let known = before.map_or(Span::ZERO, |pause| pause.size);
        let anchor = before.map_or(from, |pause| pause.anchor);
        let more = lead.middle().saturating_sub(from.middle()).min(most);
        let in_all = lead.middle().saturating_sub(anchor.middle());
        let size = known.plus(Span::saturating(more.min(in_all.saturating_sub(known.nanos()))));
        self.rtc.pause = Some(Pause { size, at: now.boot, anchor });
        self.epoch = self.epoch.wrapping_add(1);
        Some(size)
    }

    /// Whether the RTC is to be looked at soon, because it has jumped, or because its lead is not known well yet.
    pub(super) fn awaits_rtc(&self) -> bool {
        let is_wide = self.rtc.lead.is_some_and(|lead| lead.width() > NARROW);
        let is_young = self.rtc.jumped_from.is_some() && self.rtc.looks < CONFIRMED;
        is_young || (is_wide && self.rtc.looks < QUICK_LOOKS)
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
    pub(super) fn evident_pause(&self, now: &Moment) -> Option<Span> {
        let pause = self.rtc.pause.filter(|_| self.rtc.jumped_from.is_none())?;
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
        self.rtc.compare_anew();
        if moved > SECOND.forward() {
            self.use_disruption_up();
        }
        if moved < Offset::ZERO {
            self.rtc.jumped_from = None;
            return;
        }
        self.rtc.jumped_from = self.rtc.jumped_from.map(|lead| lead.moved(moved.nanos()));
        if let Some(pause) = &mut self.rtc.pause {
            pause.size = pause.size.less(moved.magnitude());
            pause.anchor = pause.anchor.moved(moved.nanos());
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
    Err(until_next_hour(age))
}

/// Refused until the next hour of the record's age begins.
pub(super) fn until_next_hour(age: Span) -> Refused {
    let left = HOUR.nanos() - age.nanos() % HOUR.nanos();
    refused(Refusal::TooSoon, HOUR.nanos(), left)
}

fn count(made: &mut [u8; 25], age: Span) {
    let hour = (age.nanos() / HOUR.nanos()) as usize % made.len();
    made[hour] = made[hour].saturating_add(1);
}
