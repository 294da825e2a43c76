//! From the selection to orders: a step, a slew, or neither.

use super::disturbance::WORTH_A_STEP;
use super::{Basis, Engine};
use crate::discipline::{Slew, slew};
use crate::io::{Now, OrderKind, Output};
use crate::local_clock::{from_scaled, to_scaled};
use crate::notice::{ClockNotice, Notice, SystemNotice};
use crate::resilience::resilience;
use crate::select::Impasse;
use crate::status::Resilience;
use crate::system::Rules;
use crate::timers::Timer;
use ipc::message::privileged::{Adjust, Applied, ClockEvent, ClockEventKind, Refusal, Step, StepReason};
use ipc::units::{Frequency, Offset, RawInstant, Span};

/// More than this is not slewed while a step is awaited that a slew could make impossible; seconds.
const SLEWED_MEANWHILE: f64 = 0.5;

/// A clock that is suddenly behind by more than this may have stood still; seconds.
pub(super) const PAUSED: f64 = 1.0;

/// An order that is refused until then is awaited.
const SHORT_WAIT: Span = Span::from_secs(62);

/// After a cold start the estimate moves by far more than the clock would by itself: so long it is followed as
/// fast as allowed, or the clock would lag behind what is known already.
const FINDING: Span = Span::from_secs(300);

/// A change of the mean by more than so many standard deviations is more than a disagreement of sources.
const DISAGREEMENT: f64 = 3.0;

/// Kept from the edge of the governor's frequency band, s/s.
const BAND_MARGIN: f64 = 0.1e-6;

/// The band follows the oscillator from day to day, and only refusals say where it is: after so long a frequency
/// that was outside it is asked for again.
const BAND_KNOWN: Span = Span::from_secs(6 * 3600);

/// How long after the first usable reply the first correction waits for the other sources.
const FIRST_UPDATE_WAIT: Span = Span::from_millis(900);

impl Engine {
    /// When the first correction may be made with the sources that have answered; none: it waits for an answer.
    fn first_update_due(&self, now: RawInstant) -> Option<RawInstant> {
        let is_over = self.system.first_update.is_some()
            || (self.unheard(now) == 0
                && self.entries.sources().all(|s| s.is_warm() || !s.is_heard() || s.is_left_out()));
        if is_over {
            return Some(RawInstant::MIN);
        }
        self.system.heard.first.map(|first| first.after(FIRST_UPDATE_WAIT))
    }

    /// When a selection is due; none: nothing has changed, or an order is unanswered.
    fn selection_due(&self, now: RawInstant) -> Option<RawInstant> {
        let basis = self.basis.as_ref().filter(|_| self.system.dirty)?;
        let allowed = basis.orders.ready_at()?;
        let ready = if self.steers() { allowed } else { RawInstant::MIN };
        let decided = self.foreign_due(now).max(self.signed_awaited(now)).unwrap_or(RawInstant::MIN);
        Some(self.first_update_due(now)?.max(ready).max(basis.at).max(decided))
    }

    /// Selects if something has changed, orders a correction, and returns when to call it again.
    pub(super) fn steer(&mut self, now: Now) -> Option<RawInstant> {
        if self.system.counted_unheard && self.unheard(now.raw) == 0 {
            // Sources that never answered no longer count: the same claims may now be a majority.
            self.system.dirty = true;
        }
        let lacks_quorum = self.system.impasse == Some(Impasse::NoQuorum);
        if lacks_quorum && self.absences(now) != self.system.absences {
            self.system.dirty = true;
        }
        if self.system.retry_at.take_if(|at| *at <= now.raw).is_some() {
            self.system.dirty = true;
        }
        self.system.dirty |= self.note_own_time(now);
        let added = self.end_waiting(now.raw);
        let asked = self.ask_about_foreign(now.raw);
        if self.selection_due(now.raw).is_some_and(|due| due <= now.raw) {
            self.system.dirty = false;
            self.select(now);
            if self.steers() {
                self.correct(now);
                self.settle_wish(now);
                self.tell_runaway(now);
            }
        }
        let status = self.send_status(now);
        self.follow_list(now);
        // There may be a majority once silent sources no longer count.
        let lacks_votes = matches!(self.system.impasse, Some(Impasse::NoMajority | Impasse::NoQuorum));
        let votes = self
            .unheard_until(now.raw)
            .filter(|_| lacks_votes && self.system.counted_unheard && !self.system.dirty);
        let quorum = self.absences_change(now).filter(|_| self.system.impasse == Some(Impasse::NoQuorum));
        // No timer is needed while an order is unanswered.
        let is_open = self.steers() && self.basis.as_ref().is_none_or(|basis| basis.orders.is_open());
        let wakes = [self.selection_due(now.raw), votes, quorum, status, added, asked, self.system.retry_at];
        wakes.into_iter().flatten().filter(|_| !is_open).min()
    }

    fn select(&mut self, now: Now) {
        let unheard = self.unheard(now.raw);
        let waited = core::mem::replace(&mut self.system.counted_unheard, unheard > 0) && unheard == 0;
        let finding = self.find_line(unheard > 0, now);
        self.system.absences = self.absences(now);
        let excused_before = self.system.excuses;
        self.system.excuses = if finding.line.is_ok() { finding.excuses } else { excused_before };
        if self.system.excuses && !excused_before {
            self.tell(Notice::System(SystemNotice::Excused(self.missing(now))));
        }
        self.tell_of_refuted(&finding.verdicts, now.raw);
        for source in self.entries.sources_mut() {
            source.stand(finding.verdicts.iter().find(|verdict| verdict.source == source.id));
        }
        let before = core::mem::replace(&mut self.system.impasse, finding.line.as_ref().err().copied());
        if finding.guard_violated && !self.system.guard_alarm {
            self.tell(Notice::System(SystemNotice::Bounded));
        }
        self.system.guard_alarm = finding.guard_violated;
        match finding.line {
            Ok(line) => {
                if core::mem::take(&mut self.system.impasse_told) && self.system.first_update.is_some() {
                    self.tell(Notice::System(SystemNotice::Agreed));
                }
                self.system.impasse_untold = false;
                self.note_break(&line, now.raw);
                self.system.line = Some(line);
                self.note_authentication(now.raw);
                self.settle_doubts(now.raw);
                self.note_correction(now);
                if self.settings.leap_seconds {
                    self.vote_leap(&finding.announced, now);
                }
            }
            Err(impasse) if before != Some(impasse) || waited || self.system.impasse_untold => {
                // While sources may still answer, there is nothing to report.
                let is_awaited = unheard > 0 || self.entries.iter().any(|e| e.awaited_until.is_some());
                let is_early = is_awaited && matches!(impasse, Impasse::NoMajority | Impasse::NoQuorum);
                self.system.impasse_untold = is_early;
                if impasse != Impasse::NoSources && !is_early {
                    self.tell(Notice::System(SystemNotice::NoSelection(self.no_selection(impasse, now))));
                    self.system.impasse_told = true;
                }
            }
            Err(_) => {}
        }
    }

    pub(super) fn rules(&self, awaits_unheard: bool) -> Rules {
        Rules {
            awaits_unheard,
            minimum: usize::from(self.settings.clock.minimum_sources.max(1)),
            require: self.entries.iter().any(|entry| entry.settings.require),
            require_nts: self.settings.clock.require_nts,
            attested: self.settings.clock.attested,
            max_distance: self.settings.clock.max_distance,
            max_jitter: self.settings.clock.max_jitter,
        }
    }

    /// What the selection would survive, if it were made now. The status leaves it out, as it is asked for often.
    pub fn resilience(&self, now: Now) -> Option<Resilience> {
        resilience(&self.voters(now), self.rules(self.unheard(now.raw) > 0))
    }

    /// The missing vote of an entry that was added some time ago counts from now on. Returns when the next one will.
    fn end_waiting(&mut self, now: RawInstant) -> Option<RawInstant> {
        let mut next: Option<RawInstant> = None;
        for entry in self.entries.iter_mut() {
            if entry.awaited_until.take_if(|until| *until <= now).is_some() {
                self.system.dirty = true;
            }
            next = next.into_iter().chain(entry.awaited_until).min();
        }
        next
    }

    /// Orders a step or a slew for the offset of the line.
    fn correct(&mut self, now: Now) {
        // Where nothing else shows that the clock is behind, the sources must agree now.
        let is_evident = self.system.standstill.is_some_and(|reason| reason != StepReason::Forward);
        let restoring = self.system.foreign.is_some() || is_evident;
        if self.system.impasse.is_some() && !restoring {
            return;
        }
        let offset = self.system.line.as_ref().map(|line| line.offset(now));
        if self.decide_foreign(offset, now.raw) || self.step_by_hand(offset, now) {
            return;
        }
        let (Some(line), Some(basis)) = (&self.system.line, &self.basis) else { return };
        let offset = line.offset(now);
        let kept = self.system.first_update.is_some();
        let run_step = self.settings.clock.run_step_threshold.map(seconds);
        let start_threshold = seconds(self.settings.clock.start_step_threshold);
        let size = offset.abs();
        let foreign = self.system.foreign;
        let is_start = !kept || self.looks_again(line, now);
        let reason = if foreign.is_some_and(|it| it.is_undone()) && size > WORTH_A_STEP {
            Some(StepReason::Restore)
        } else if is_evident && size > WORTH_A_STEP.max(start_threshold) {
            self.system.standstill
        } else if self.system.standstill == Some(StepReason::Forward) && self.is_allowed_forward(offset) {
            Some(StepReason::Forward)
        } else if self.system.start.steps > 0 && size > start_threshold && is_start {
            Some(StepReason::Start)
        } else if kept && offset > PAUSED && self.system.no_pause_before <= now.raw {
            // All sources are suddenly ahead: the machine may have been paused. The governor knows.
            Some(StepReason::Pause)
        } else if run_step.is_some_and(|threshold| size > threshold) && kept {
            Some(StepReason::Run)
        } else {
            None
        };
        let epoch = basis.epoch;
        // After a migration the clock may be right.
        let is_over = matches!(self.system.standstill, Some(StepReason::Forward | StepReason::Pause));
        if is_over && reason != self.system.standstill {
            self.system.standstill = None;
        }
        if let Some(reason) = reason {
            let awaited = self.answer_awaited(now.raw).filter(|_| reason != StepReason::Restore);
            if let Some(until) = awaited {
                return self.system.retry_at = self.system.retry_at.into_iter().chain([until]).min();
            }
            if self.system.no_step_before <= now.raw {
                let sources = Offset::saturating(libm::round(offset * 1e9) as i64);
                let delta = foreign.filter(|it| it.exact).map_or(sources, |it| it.undone());
                self.system.asked_step = reason;
                let step = Step { epoch, delta, reason, asked_at: now.raw };
                return self.order(OrderKind::Step, Output::Step(step), now);
            }
            if self.awaits_step(reason, size, now) {
                return;
            }
        }
        if size > self.system.slew_limit {
            if !self.system.held {
                self.tell(Notice::Clock(ClockNotice::Held(self.hold(offset))));
            }
            self.system.held = true;
            return;
        }
        self.system.held = false;
        let change = offset - basis.clock.slew_left(now.raw);
        let elapsed = self.system.silence.heard(line.heard, line.reference.interval);
        let is_same = self.system.survivor_set == line.survivor_set;
        // Where no sample was taken since, nothing shows how restless the estimate is.
        if kept && is_same && elapsed > 0.0 {
            let interval = crate::poll::span(line.reference.interval);
            let deviations = [now.raw, now.raw.after(interval)].map(|at| line.random_deviation(at));
            let variance = 0.5 * (deviations[0] * deviations[0] + deviations[1] * deviations[1]);
            self.system.residuals.learn(change, variance, elapsed);
        }
        // Where a source has joined or left, the mean has moved by what the sources disagree in, which says
        // nothing of the clock: that is slewed at the usual wanted_time_constant, as long as it is within what was claimed.
        self.system.survivor_set = line.survivor_set;
        let is_news = is_same || change.abs() > DISAGREEMENT * line.deviation(now.raw);
        let (frequency, slew) = self.plan(now, offset, if is_news { change } else { 0.0 });
        let Some(basis) = &self.basis else { return };
        // An order, however small, is what accepts a change by another program.
        if kept && foreign.is_none() && !self.is_worth_an_order(now, basis, offset, frequency) {
            self.system.status_wanted |= self.status_is_old(now.raw);
            return;
        }
        let Slew { amount, time_constant } = slew;
        if let Some(basis) = &mut self.basis {
            basis.time_constant = time_constant;
            basis.asked = frequency;
        }
        let adjust = Adjust { epoch, frequency, slew: amount, time_constant, asked_at: now.raw };
        self.order(OrderKind::Adjust, Output::Adjust(adjust), now);
        self.send_status_with(&adjust, now);
    }

    /// Whether nothing else is ordered until a step may be ordered again. A slew accepts the clock as it is, after which
    /// there is nothing to restore, and it begins to close the start window.
    fn awaits_step(&self, reason: StepReason, size: f64, now: Now) -> bool {
        let is_soon = self.system.no_step_before <= now.raw.after(SHORT_WAIT);
        let is_spaced = self.system.step_refusal == Some(Refusal::TooSoon);
        match reason {
            StepReason::Run => false,
            StepReason::Restore => is_spaced || size > SLEWED_MEANWHILE,
            StepReason::Start | StepReason::Resume | StepReason::Pause | StepReason::Forward => {
                is_soon && size > SLEWED_MEANWHILE
            }
        }
    }

    fn plan(&mut self, now: Now, offset: f64, change: f64) -> (Frequency, Slew) {
        let (Some(line), Some(basis)) = (&self.system.line, &self.basis) else {
            return (Frequency::ZERO, slew(0.0, 64.0, 0.0, 1e-6, false));
        };
        let (natural, _) = basis.clock.natural(now.raw, now.wall);
        let (centre, edge) = basis.band();
        let half = (edge - BAND_MARGIN).max(0.0);
        let wanted = if now.raw < self.system.frozen_until {
            basis.clock.frequency()
        } else {
            let wanted = line.frequency().0 - natural;
            match basis.is_band_known(now.raw) {
                true => wanted.clamp(centre - half, centre + half),
                false => wanted,
            }
        };
        let frequency = to_scaled(wanted);
        let most = self.most_rate(offset, wanted, self.system.allowance.is_reduced(now.raw));
        let finds = self.system.first_update.is_none_or(|first| first.after(FINDING) > now.raw);
        let usual = self.system.residuals.time_constant(change, line.reference.interval);
        let deviation = line.random_deviation(now.raw);
        let wanted_time_constant = self.system.silence.time_constant(offset, deviation, usual, now.raw);
        let largest = self.system.allowance.largest(now.raw);
        let offset = offset.clamp(-largest, largest);
        (frequency, slew(offset, wanted_time_constant, wanted, most, finds))
    }

    /// The fastest rate of a slew in the direction of `offset`, at this base frequency; all in s/s.
    pub(super) fn most_rate(&self, offset: f64, base: f64, is_reduced: bool) -> f64 {
        let most = self.settings.clock.max_slew_ppm.clamp(1.0, 500.0) * 1e-6;
        let Some(basis) = &self.basis else { return most };
        let (centre, edge) = basis.band();
        let inside = if offset > 0.0 { centre + edge - base } else { base - (centre - edge) };
        self.system.allowance.rate_for(offset, most, base * offset.signum(), inside, is_reduced)
    }

    /// A correction far below the noise would only cost a wake-up.
    fn is_worth_an_order(&self, now: Now, basis: &Basis, offset: f64, frequency: Frequency) -> bool {
        let Some(line) = &self.system.line else { return false };
        let change = (offset - basis.clock.slew_left(now.raw)).abs();
        let turn = (from_scaled(frequency) - basis.clock.frequency()).abs();
        change > 0.05 * line.random_deviation(now.raw)
            || turn > 0.05 * line.frequency().1
            || self.status_is_old(now.raw)
    }

    pub(super) fn order(&mut self, kind: OrderKind, output: Output, now: Now) {
        if let Some(basis) = &mut self.basis {
            basis.orders.send(kind, now.raw);
            self.outputs.push_back(output);
            // Nothing is steered until it is answered.
            self.timers.set(Timer::Steering, None);
        }
    }

    pub(super) fn applied(&mut self, now: Now, kind: OrderKind, applied: &Applied) {
        let Some(basis) = &mut self.basis else { return };
        if !basis.orders.answer(kind) {
            return;
        }
        self.system.listing.tai = Some(applied.after.tai);
        if kind == OrderKind::Tai {
            return;
        }
        if kind == OrderKind::Status {
            self.system.told = self.system.telling.take();
            return;
        }
        basis.orders.carried_out();
        // A step has undone what others did, and an order for the clock as it is has accepted it.
        self.system.foreign = None;
        if kind == OrderKind::Step {
            self.system.standstill = None;
        }
        let time_constant = (kind == OrderKind::Adjust).then_some(basis.time_constant);
        basis.clock.ordered(&applied.before, applied.after, time_constant);
        let deferred = kind == OrderKind::Step && self.deferred_step_made(now);
        if kind == OrderKind::Step {
            self.system.steps = self.system.steps.saturating_add(1);
            self.system.step_refusal = None;
            if self.system.asked_step == StepReason::Start {
                self.system.start.made();
            }
            // Stamps of the kernel's clock that were taken before it cannot be turned into RAW any more.
            self.exchanges.cut_all();
            let moved = applied.after.wall.minus(applied.before.wall).nanos() as f64 * 1e-9;
            self.chronicle.stepped(now, moved, true);
            self.hand_step_made(moved);
            self.tell(Notice::Clock(match self.system.asked_step {
                StepReason::Forward => ClockNotice::SteppedForward(moved),
                _ => ClockNotice::Stepped(moved),
            }));
            // What the step left over is slewed at once.
            self.system.dirty = true;
        }
        if self.system.first_update.is_none() && !deferred {
            self.system.first_update = Some(now.raw);
            self.system.start.look_again(now.raw);
            self.tell_slewing(now);
        }
        let is_close = self.system.first_update.is_some() && !self.is_far(now);
        self.system.behind_told &= !is_close;
        if is_close && !core::mem::replace(&mut self.system.following_told, true) {
            self.tell(Notice::System(SystemNotice::Following));
        }
        self.system.status_wanted |= self.basis.as_ref().is_some_and(|basis| !basis.orders.is_open());
    }

    pub(super) fn clock_event(&mut self, now: Now, event: &ClockEvent) {
        let Some(basis) = &mut self.basis else { return };
        (basis.epoch, basis.welcome.marker) = (event.epoch, event.marker);
        basis.clock.restart(event.now);
        self.system.listing.tai = Some(event.now.tai);
        self.exchanges.cut_all();
        let moved = event.moved.nanos() as f64 * 1e-9;
        match event.kind {
            ClockEventKind::ForeignStep => {
                self.add_foreign(now.raw, event.moved);
                self.chronicle.stepped(now, moved, false);
                self.tell(Notice::Clock(ClockNotice::SteppedByOther(moved)));
            }
            ClockEventKind::ForeignFrequency => {
                self.tell(Notice::Clock(ClockNotice::FrequencyChangedByOther));
            }
            ClockEventKind::Resume => {
                self.stood_still(now, StepReason::Resume);
                self.tell(Notice::System(SystemNotice::Suspended));
            }
            ClockEventKind::Pause => {
                self.stood_still(now, StepReason::Pause);
                self.tell(Notice::System(SystemNotice::Paused(event.moved.magnitude())));
            }
            ClockEventKind::Disruption => {
                self.stood_still(now, StepReason::Pause);
                self.tell(Notice::System(SystemNotice::Disrupted));
            }
            ClockEventKind::BandNarrowed => {
                // Where the band is now, the next refusal says.
                basis.band_at = RawInstant::saturating(now.raw.nanos() - BAND_KNOWN.nanos());
                self.tell(Notice::Clock(ClockNotice::BandNarrowed));
            }
            ClockEventKind::DeadMan => {
                self.tell(Notice::Clock(ClockNotice::NoOrders));
            }
        }
        // What another program did may have changed what the kernel says of the clock.
        self.system.status_wanted = true;
        self.system.dirty = true;
    }
}

impl Basis {
    /// The middle of the governor's band and half its width, s/s: as the last refusal said, or the welcome.
    pub(super) fn band(&self) -> (f64, f64) {
        (from_scaled(self.welcome.band_centre), from_scaled(self.welcome.band).abs())
    }

    pub(super) fn is_band_known(&self, now: RawInstant) -> bool {
        now.elapsed_since(self.band_at) < BAND_KNOWN
    }
}

pub(super) fn seconds(span: Span) -> f64 {
    span.nanos() as f64 * 1e-9
}
