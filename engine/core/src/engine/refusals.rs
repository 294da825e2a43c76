//! Orders that the governor refused: what follows, and what is reported.

use super::Engine;
use crate::discipline::approach;
use crate::io::{Now, OrderKind};
use crate::local_clock::from_scaled;
use crate::notice::{AfterRefusal, ClockNotice, Hold, Notice, Short, Slewing};
use crate::poll::span;
use ipc::message::privileged::{ClockKind, RUN_STEP_SPACING, Refusal, Refused, StepReason};
use ipc::units::{Frequency, Span};

/// A clock that is farther off than this is not synchronised for long. Seconds.
const FAR: f64 = 1.0;

/// A clock that is nearer than this is as good as its sources for most. Seconds.
const NEAR: f64 = 0.010;

/// What takes no longer than this is not worth a word.
const SOON: Span = Span::from_secs(600);

/// A base frequency that is nearer to what is needed is no reason for anything, s/s; nor is one that is within so many
/// standard deviations.
const SHORT: (f64, f64) = (1e-6, 3.0);

/// A rate below this is none, s/s: a second takes more than half a year.
const NO_RATE: f64 = 0.05e-6;

/// A base frequency that was refused in spite of the band that the governor named is not ordered again for so long, nor is
/// a leap second.
const FROZEN: Span = Span::from_secs(3600);

/// When an order is repeated that was refused because of the disk or the kernel.
const RETRY: Span = Span::from_secs(60);

/// The governor's seconds and ours differ by little.
const MARGIN: Span = Span::from_millis(50);

/// Frequencies of a refusal may be wider than one can be.
fn saturating(wide: i64) -> Frequency {
    Frequency::saturating(wide.clamp(-1 << 30, 1 << 30) as i32)
}

/// Whether the same step may be granted later.
const fn passes(code: Refusal) -> bool {
    matches!(code, Refusal::TooSoon | Refusal::NoPersist | Refusal::Clock)
}

impl Engine {
    pub(super) fn refused(&mut self, now: Now, kind: OrderKind, refused: &Refused) {
        let Some(basis) = &mut self.basis else { return };
        if !basis.orders.answer(kind) {
            return;
        }
        let code = refused.code;
        let is_again = self.system.step_refusal == Some(code) && passes(code);
        // It was only asked whether there was a pause.
        let is_question = kind == OrderKind::Step
            && code == Refusal::Evidence
            && self.system.asked_step == StepReason::Pause
            && self.system.standstill.is_none();
        let is_news = self.system.last_refusal != Some(code)
            || (kind == OrderKind::Step
                && !is_again
                && !matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch));
        self.system.refusals = self.system.refusals.saturating_add(1);
        if !is_question {
            self.system.last_refusal = Some(code);
        }
        basis.orders.refused(kind, code, now.raw);
        let is_by_hand = kind == OrderKind::Step && self.hand_step_refused(code);
        let Some(basis) = &mut self.basis else { return };
        // The status that left with an adjustment counts on it.
        self.system.status_wanted |= kind == OrderKind::Adjust;
        match (kind, code) {
            (_, Refusal::NoClock) => basis.welcome.clock = ClockKind::None,
            (OrderKind::Status, _) => self.status_refused(now, code),
            (OrderKind::Tai, _) => self.tai_refused(now, code),
            // The clock event that explains it will arrive, or the next selection decides anew.
            (_, Refusal::StaleEpoch | Refusal::Stale | Refusal::Rate) => {
                self.deferred_step_crossed(now);
                self.system.dirty = true;
            }
            (OrderKind::Step, _) if is_by_hand => {}
            (OrderKind::Step, _) => self.step_refused(now, refused),
            (_, Refusal::NoPersist | Refusal::Clock) => self.system.retry_at = Some(now.raw.after(RETRY)),
            (_, Refusal::Budget) => {
                let left = refused.remaining as f64 * 1e-9;
                self.system.dirty |= self.system.allowance.exceed_budget(left, now.raw);
            }
            (_, Refusal::Total) => {
                let limit = from_scaled(saturating(refused.limit));
                self.system.dirty |= self.system.allowance.exceed_total(limit, now.raw);
            }
            (_, Refusal::Band) => {
                // The band has moved since the welcome: the refusal says where it is.
                let centre = saturating(i64::from(basis.asked.scaled()).saturating_sub(refused.remaining));
                let told = (centre, saturating(refused.limit));
                // A frequency beyond the band is asked for again now and then, to learn whether it has followed.
                let was_known = basis.is_band_known(now.raw);
                basis.band_at = now.raw;
                let known = (&mut basis.welcome.band_centre, &mut basis.welcome.band);
                if told == (*known.0, *known.1) && was_known {
                    self.system.frozen_until = now.raw.after(FROZEN);
                } else {
                    (*known.0, *known.1) = told;
                    self.system.dirty = true;
                }
            }
            _ => {}
        }
        // Where a step forward is allowed, the sources are being asked again.
        let fell_behind = is_question && self.system.standstill.is_none() && self.system.following_told;
        if fell_behind && !self.system.behind_told {
            self.system.behind_told = true;
            self.tell_slewing(now);
        }
        if is_news && !is_question {
            let then = if kind == OrderKind::Step && !is_by_hand {
                self.what_follows(code, now)
            } else {
                AfterRefusal::Nothing
            };
            self.tell(Notice::Clock(ClockNotice::Refused(kind, code, then)));
            let is_slew = kind == OrderKind::Adjust && matches!(code, Refusal::Budget | Refusal::Total);
            if is_slew {
                self.tell_slewing(now);
            }
        }
    }

    /// A refusal that passes leaves everything as it is, and the step is ordered again when it has passed.
    fn step_refused(&mut self, now: Now, refused: &Refused) {
        let code = refused.code;
        self.system.step_refusal = Some(code);
        self.system.dirty = true;
        if passes(code) {
            let left = match code {
                Refusal::TooSoon if refused.remaining > 0 => Span::saturating(refused.remaining).plus(MARGIN),
                Refusal::TooSoon => RUN_STEP_SPACING,
                _ => RETRY,
            };
            self.system.no_step_before = now.raw.after(left);
            self.system.retry_at = Some(self.system.no_step_before);
            self.deferred_step_crossed(now);
            return;
        }
        if let (StepReason::Restore, Some(foreign)) = (self.system.asked_step, &mut self.system.foreign)
            && matches!(code, Refusal::Evidence | Refusal::Budget)
            && !foreign.exact
        {
            // The clock was too far from its sources' time before: it goes back to where it was.
            foreign.exact = true;
            return;
        }
        self.deferred_step_refused(now);
        match self.system.asked_step {
            StepReason::Start => self.system.start.steps = 0,
            StepReason::Restore => self.system.foreign = None,
            StepReason::Resume => self.system.standstill = None,
            StepReason::Pause => {
                self.system.standstill = None;
                self.system.no_pause_before = now.raw.after(RUN_STEP_SPACING);
                // The operator allows to believe the sources: all of them are asked once more.
                let offset = self.system.line.as_ref().map_or(0.0, |line| line.offset(now));
                if code == Refusal::Evidence && self.is_allowed_forward(offset) {
                    self.stood_still(now, StepReason::Forward);
                }
            }
            StepReason::Forward => self.system.standstill = None,
            StepReason::Run => {
                self.system.no_step_before = now.raw.after(RUN_STEP_SPACING);
                self.system.retry_at = Some(self.system.no_step_before);
            }
        }
        let absolute =
            matches!(code, Refusal::Floor | Refusal::Latest | Refusal::StartBack | Refusal::StartForward);
        if absolute && let Some(line) = &self.system.line {
            // An offset that may not be stepped must not be slewed in small parts either.
            self.system.slew_limit = self.system.slew_limit.min(line.offset(now).abs() / 2.0);
        }
    }

    /// The kernel still says what it said before.
    fn status_refused(&mut self, now: Now, code: Refusal) {
        self.system.telling = None;
        self.system.status_wanted = true;
        match code {
            Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch => return,
            // All else of it is told without the leap second.
            Refusal::LeapDate | Refusal::LeapTooSoon => {
                self.system.no_leap_before = now.raw.after(FROZEN);
                return;
            }
            // An order must be applied first, however small.
            Refusal::Unproven => {
                self.system.last_status = None;
                self.system.dirty = true;
            }
            _ => {}
        }
        self.system.no_status_before = now.raw.after(RETRY);
    }

    /// What follows a refused step, unless the next event reports it.
    fn what_follows(&self, code: Refusal, now: Now) -> AfterRefusal {
        if matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch | Refusal::NoClock) {
            return AfterRefusal::Nothing;
        }
        let Some(line) = &self.system.line else { return AfterRefusal::Nothing };
        let size = line.offset(now).abs();
        let threshold = self.settings.clock.run_step_threshold.map(|span| span.nanos() as f64 * 1e-9);
        if passes(code) {
            return AfterRefusal::StepAwaited(self.system.no_step_before.elapsed_since(now.raw));
        }
        if self.system.first_update.is_some() && threshold.is_some_and(|threshold| size > threshold) {
            AfterRefusal::StepRetried
        } else if size <= self.system.slew_limit {
            AfterRefusal::Slewed
        } else {
            AfterRefusal::Nothing
        }
    }

    /// Reports that a clock that is off is slewed for long, unless it is too far off for that.
    pub(super) fn tell_slewing(&mut self, now: Now) {
        let limit = self.system.slew_limit;
        if let Some(slewing) = self.slewing(now).filter(|it| it.offset.abs() <= limit) {
            self.tell(Notice::Clock(ClockNotice::Slewing(slewing)));
        }
    }

    /// Whether the clock goes away from the time of its sources whatever is ordered: its oscillator needs a base frequency
    /// that the governor does not grant.
    pub(super) fn runs_away(&self, now: Now) -> bool {
        self.slewing(now).is_some_and(|slewing| slewing.is_runaway())
    }

    /// Reports that, once while it is so.
    pub(super) fn tell_runaway(&mut self, now: Now) {
        // Before that a step may be under way.
        let away = self.system.first_update.is_some() && self.runs_away(now);
        if away && !self.system.allowance.runaway_told {
            self.tell_slewing(now);
        }
        self.system.allowance.runaway_told = away;
    }

    /// Whether the clock is so far off that it cannot be synchronised for long.
    pub(super) fn is_far(&self, now: Now) -> bool {
        self.system.line.as_ref().is_some_and(|line| line.offset(now).abs() >= FAR) && self.steers()
    }

    /// How the clock is slewed, where that takes long; none: it is near, or its offset is not known.
    pub(super) fn slewing(&self, now: Now) -> Option<Slewing> {
        let line = self.system.line.as_ref()?;
        let basis = self.basis.as_ref().filter(|_| self.steers())?;
        let offset = line.offset(now);
        if offset.abs() < NEAR.max(SHORT.1 * line.deviation(now.raw)) {
            return None;
        }
        let (natural, _) = basis.clock.natural(now.raw, now.wall);
        let (frequency, deviation) = line.frequency();
        let needed = frequency - natural;
        let (centre, half) = basis.band();
        let granted = needed.clamp(centre - half, centre + half);
        let lacks = needed - granted;
        let is_short = lacks.abs() > SHORT.0.max(SHORT.1 * deviation);
        let short = is_short.then_some(Short {
            needed_ppm: needed * 1e6,
            granted_ppm: granted * 1e6,
            is_strict: self.settings.strict_quorum,
        });
        let is_reduced = self.system.allowance.is_scarce(now.raw);
        let slewed = self.most_rate(offset, granted, is_reduced);
        let rate = approach(slewed, if is_short { lacks } else { 0.0 }, offset);
        let left = (rate > NO_RATE).then(|| span(offset.abs() / rate));
        if offset.abs() < FAR && left.is_some_and(|left| left < SOON) {
            return None;
        }
        let is_unallowed = self.is_unallowed(offset);
        Some(Slewing { offset, rate_ppm: rate * 1e6, left, short, is_reduced, is_unallowed })
    }

    /// The clock may be neither stepped nor slewed by `offset` seconds.
    pub(super) fn hold(&self, offset: f64) -> Hold {
        let is_unallowed = self.system.step_refusal == Some(Refusal::Evidence) && self.is_unallowed(offset);
        Hold { offset, refusal: self.system.step_refusal, is_unallowed }
    }

    /// Whether the clock fell behind by so many seconds while running, and a step forward is not allowed that the
    /// configuration could allow.
    fn is_unallowed(&self, offset: f64) -> bool {
        offset > 0.0
            && self.system.behind_told
            && !self.settings.strict_quorum
            && !self.is_allowed_forward(offset)
    }
}
