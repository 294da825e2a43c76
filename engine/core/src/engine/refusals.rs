//! Orders that the governor refused: what follows, and what is reported.

use super::Engine;
use super::steering::REDUCED_RATE;
use crate::io::{Now, OrderKind};
use crate::notice::{AfterRefusal, ClockNotice, Hold, Notice, Slewing};
use ipc::message::privileged::{ClockKind, RUN_STEP_SPACING, Refusal, Refused};
use ipc::units::{Frequency, RawInstant, Span};

/// A clock that is farther off than this is not synchronised for long. Seconds.
const FAR: f64 = 1.0;

/// An allowance that is used up is tried again after the period below, and earned back far more slowly.
const REDUCED_RATE_KNOWN: Span = Span::from_secs(86_400);

/// After "budget" or "total" slews stay small for this long.
const REDUCED_RATE_PERIOD: Span = Span::from_secs(3600);

impl Engine {
    pub(super) fn refused(&mut self, now: Now, kind: OrderKind, refused: &Refused) {
        let Some(basis) = &mut self.basis else { return };
        if !basis.orders.answer(kind) {
            return;
        }
        let code = refused.code;
        let is_news = self.system.last_refusal != Some(code)
            || (kind == OrderKind::Step
                && !matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch));
        self.system.refusals = self.system.refusals.saturating_add(1);
        self.system.last_refusal = Some(code);
        if matches!(code, Refusal::Rate | Refusal::Clock | Refusal::NoPersist) {
            basis.orders.exhausted(now.raw);
        }
        match (kind, code) {
            (_, Refusal::NoClock) => basis.welcome.clock = ClockKind::None,
            (OrderKind::Status, _) => {
                self.system.status_wanted = matches!(code, Refusal::Rate | Refusal::Stale);
            }
            // The clock event that explains it will arrive, or the next selection decides anew.
            (_, Refusal::StaleEpoch | Refusal::Stale | Refusal::Rate) => {
                self.deferred_step_crossed(now);
                self.system.dirty = true;
            }
            (OrderKind::Step, _) => {
                self.deferred_step_refused(now);
                self.system.start_open = false;
                self.system.step_refusal = Some(code);
                self.system.no_step_before = now.raw.after(RUN_STEP_SPACING);
                let absolute = matches!(
                    code,
                    Refusal::Floor | Refusal::Latest | Refusal::StartBack | Refusal::StartForward
                );
                if absolute && let Some(line) = &self.system.line {
                    // An offset that may not be stepped must not be slewed in small parts either.
                    self.system.slew_limit = self.system.slew_limit.min(line.offset(now).abs() / 2.0);
                }
                self.system.dirty = true;
            }
            (_, Refusal::Budget | Refusal::Total) => {
                self.system.reduced_until = now.raw.after(REDUCED_RATE_PERIOD);
            }
            (_, Refusal::Band) => {
                // The band has moved since the welcome: the refusal says where it is.
                let saturating = |wide: i64| Frequency::saturating(wide.clamp(-1 << 30, 1 << 30) as i32);
                let centre = saturating(i64::from(basis.asked.scaled()).saturating_sub(refused.remaining));
                let told = (centre, saturating(refused.limit));
                // A frequency beyond the band is asked for again now and then, to learn whether it has followed.
                let was_known = basis.is_band_known(now.raw);
                basis.band_at = now.raw;
                let known = (&mut basis.welcome.band_centre, &mut basis.welcome.band);
                if told == (*known.0, *known.1) && was_known {
                    self.system.frozen_until = now.raw.after(REDUCED_RATE_PERIOD);
                } else {
                    (*known.0, *known.1) = told;
                    self.system.dirty = true;
                }
            }
            _ => {}
        }
        if is_news {
            let then =
                if kind == OrderKind::Step { self.what_follows(code, now) } else { AfterRefusal::Nothing };
            self.tell(Notice::Clock(ClockNotice::Refused(kind, code, then)));
            let is_slew = kind == OrderKind::Adjust && matches!(code, Refusal::Budget | Refusal::Total);
            if let Some(slewing) = self.slewing(now).filter(|_| is_slew) {
                self.tell(Notice::Clock(ClockNotice::Slewing(slewing)));
            }
        }
    }

    /// What follows a refused step, unless the next event reports it.
    fn what_follows(&self, code: Refusal, now: Now) -> AfterRefusal {
        if matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch | Refusal::NoClock) {
            return AfterRefusal::Nothing;
        }
        let Some(line) = &self.system.line else { return AfterRefusal::Nothing };
        let size = line.offset(now).abs();
        let threshold = self.settings.run_step_threshold.map(|span| span.nanos() as f64 * 1e-9);
        if self.system.first_update.is_some() && threshold.is_some_and(|threshold| size > threshold) {
            AfterRefusal::StepRetried
        } else if size <= self.system.slew_limit {
            AfterRefusal::Slewed
        } else {
            AfterRefusal::Nothing
        }
    }

    /// How the clock is slewed, where it is far off; none: it is near, or its offset is not known.
    pub(super) fn slewing(&self, now: Now) -> Option<Slewing> {
        let offset = self.system.line.as_ref()?.offset(now);
        if offset.abs() < FAR || !self.steers() {
            return None;
        }
        let reduced_until = self.system.reduced_until;
        let is_reduced =
            reduced_until != RawInstant::MIN && reduced_until.after(REDUCED_RATE_KNOWN) > now.raw;
        let most = self.settings.max_slew_ppm.clamp(1.0, 500.0) * 1e-6;
        let rate = if is_reduced { most.min(REDUCED_RATE) } else { most };
        Some(Slewing { offset, left: Span::saturating((offset.abs() / rate * 1e9) as i64), is_reduced })
    }

    /// The clock may be neither stepped nor slewed by `offset` seconds.
    pub(super) fn hold(&self, offset: f64) -> Hold {
        Hold { offset, refusal: self.system.step_refusal }
    }
}
