//! What becomes of an order that the governor refused, and what an administrator is told.

use super::Engine;
use crate::io::{Now, OrderKind};
use alloc::format;
use alloc::string::String;
use ipc::message::privileged::{ClockKind, RUN_STEP_SPACING, Refusal, Refused};
use ipc::units::{Frequency, Span};

/// After "budget" or "total" slews stay small for this long.
const GENTLE_PAUSE: Span = Span::from_secs(3600);

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
            // The event that explains it is on its way, or the next selection decides anew.
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
                    // What may not be stepped must not be crept to either.
                    self.system.slew_limit = self.system.slew_limit.min(line.offset(now).abs() / 2.0);
                }
                self.system.dirty = true;
            }
            (_, Refusal::Budget | Refusal::Total) => {
                self.system.gentle_until = now.raw.after(GENTLE_PAUSE);
            }
            (_, Refusal::Band) => {
                // The band has narrowed since the welcome: the refusal says to what.
                let saturating = |wide: i64| Frequency::saturating(wide.clamp(-1 << 30, 1 << 30) as i32);
                let centre = saturating(i64::from(basis.asked.scaled()).saturating_sub(refused.remaining));
                let told = (centre, saturating(refused.limit));
                let known = (&mut basis.welcome.band_centre, &mut basis.welcome.band);
                if told == (*known.0, *known.1) {
                    self.system.frozen_until = now.raw.after(GENTLE_PAUSE);
                } else {
                    (*known.0, *known.1) = told;
                    self.system.dirty = true;
                }
            }
            _ => {}
        }
        if is_news {
            let what = match kind {
                OrderKind::Adjust => "a slew",
                OrderKind::Step => "a step",
                OrderKind::Status => "a status",
            };
            let then = if kind == OrderKind::Step { self.what_follows(code, now) } else { String::new() };
            let line = format!("the governor refused {what} ({}): {}{then}", code.name(), remedy(code));
            self.announce_clock(4, line);
        }
    }

    /// What becomes of the clock after a step was refused, where the next line doesn't say it.
    fn what_follows(&self, code: Refusal, now: Now) -> String {
        if matches!(code, Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch | Refusal::NoClock) {
            return String::new();
        }
        let Some(line) = &self.system.line else { return String::new() };
        let size = line.offset(now).abs();
        let threshold = self.settings.run_step_threshold.map(|span| span.nanos() as f64 * 1e-9);
        if self.system.first_update.is_some() && threshold.is_some_and(|threshold| size > threshold) {
            let minutes = RUN_STEP_SPACING.nanos() / 60_000_000_000;
            format!("; a step is asked for again in {minutes} min, if it is still needed then")
        } else if size <= self.system.slew_limit {
            "; it is slewed instead".into()
        } else {
            String::new()
        }
    }

    /// That the clock may neither be stepped nor slewed by `offset` seconds, why, and what lifts it.
    pub(super) fn describe_hold(&self, offset: f64) -> String {
        let size = offset.abs();
        let way = if offset > 0.0 { "slow" } else { "fast" };
        format!("the clock is {size:.0} s {way} and stays so: {}", self.what_lifts_it(size))
    }

    fn what_lifts_it(&self, size: f64) -> String {
        // With room for what it drifts until then.
        let approve =
            format!("restart with --approve-step {:.0} to allow one step", libm::ceil(size * 1.01 + 1.0));
        match self.system.step_refusal {
            None => format!("that is too much to slew, and no step is due; {approve}"),
            Some(Refusal::Latest) => {
                format!("the governor refused to set it (latest), because {}", remedy(Refusal::Latest))
            }
            Some(Refusal::Floor) => format!(
                "the governor refused to set it (floor), because {}; if only that last time was wrong, {approve}",
                remedy(Refusal::Floor)
            ),
            Some(row) => format!(
                "the governor refused to set it ({}), and it is too far off to slew; {approve}",
                row.name()
            ),
        }
    }
}

/// What an administrator can do about a refusal; where nothing, what happens by itself.
fn remedy(code: Refusal) -> &'static str {
    match code {
        Refusal::Floor => {
            "the sources say a time before this program was built or long before the last good time; check them"
        }
        Refusal::Latest => {
            "the sources say a time too far ahead for this build; check them, or install a newer build"
        }
        Refusal::StartBack | Refusal::StartForward | Refusal::StartWindow => {
            "too large, or too late, for a first setting; if the sources are right, restart with --approve-step SECONDS"
        }
        Refusal::RunStep => {
            "larger than a step may be while running; if the sources are right, restart with --approve-step SECONDS"
        }
        Refusal::TooSoon => "the last such step was made too short a time ago",
        Refusal::Evidence => "nothing shows that somebody else moved the clock or that the machine slept",
        Refusal::Budget => "the day's allowance is used up; slews stay gentle until some is earned back",
        Refusal::Band => {
            "the oscillator runs outside the band that it was commissioned in; check the sources, then see truechimerd(8) about the governor's record"
        }
        Refusal::Total => "the oscillator is too far off for this clock; the slew will be gentler",
        Refusal::Rate | Refusal::Stale | Refusal::StaleEpoch => "what to do is decided anew at once",
        Refusal::Range => "this is a fault of the program; please report it",
        Refusal::LeapDate | Refusal::LeapTooSoon => "a leap second can't be now; check the sources",
        Refusal::Tai => "the sources' TAI offset is impossible; check them",
        Refusal::NoPersist => "the state directory can't be written; free some space or remount it",
        Refusal::Clock => "the kernel refused; see the daemon's log",
        Refusal::NoClock => "there is no clock to steer here",
        Refusal::Unproven => "no correction was applied of late; it will be asked again after one",
    }
}
