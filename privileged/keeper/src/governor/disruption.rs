//! Disruptions of the machine's time, as its hypervisor tells them (vmclock).
//!
//! A hypervisor that offers vmclock changes a marker in its page whenever it has migrated the machine or restored it from a
//! saved state. The page is read-only to the machine, so nothing in it can bring the change about; whoever controls the
//! hypervisor can, and controls the machine as well. The marker says that the machine stood still, and not for how long: how
//! far the clock is behind, the sources say, and the row bounds it.
//!
//! The time that the page may contain is not used: it is the hypervisor's, and no source of ours.

use super::limits;
use super::{Governor, Moment, refused};
use ipc::message::privileged::{Refusal, Refused};
use ipc::units::{BootInstant, Offset, Span};

/// Disruptions that are told at once, if none was before.
const TOLD_AT_ONCE: i64 = 4;

/// What a hypervisor changes when the machine's time was disrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Changes when the machine is migrated or restored.
    pub disruption: u64,
    /// Changes when it is restored from a saved state; not all hypervisors have it.
    pub generation: Option<u64>,
}

impl Marker {
    /// Whether one of them says that the machine was disrupted since `before`.
    fn differs_from(self, before: Self) -> bool {
        let is_other = |now: u64| before.generation.is_some_and(|before| before != now);
        self.disruption != before.disruption || self.generation.is_some_and(is_other)
    }
}

/// What vmclock has shown in this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disruption {
    seen: Option<Marker>,
    /// The one that the engine knows.
    told: Option<Marker>,
    /// When the last change was seen, until a step has made up for it.
    at: Option<BootInstant>,
    /// How many may be told to the engine, in time: [`limits::DISRUPTION_TOLD`] each.
    credit: Span,
    credit_at: BootInstant,
}

impl Disruption {
    /// Nothing has been seen.
    pub(super) const fn new(now: BootInstant) -> Self {
        Self { seen: None, told: None, at: None, credit: Self::MOST, credit_at: now }
    }

    const MOST: Span = Span::saturating(limits::DISRUPTION_TOLD.nanos() * TOLD_AT_ONCE);
}

impl Governor {
    /// Takes the marker of vmclock; the first one in a run is what later ones are compared with. True: it has changed, and
    /// the engine is to be told.
    pub fn look_at_vmclock(&mut self, marker: Marker, now: &Moment) -> bool {
        // As with the RTC: while there is no step left, the evidence gets no older.
        if self.disrupted(now) && self.are_pause_steps_used_up() {
            self.disruption.at = Some(now.boot);
        }
        let state = &mut self.disruption;
        let Some(before) = state.seen.replace(marker) else {
            state.told = Some(marker);
            return false;
        };
        if marker.differs_from(before) {
            state.at = Some(now.boot);
        }
        if !state.told.is_some_and(|told| marker.differs_from(told)) {
            state.told = Some(marker);
            return false;
        }
        // Each one costs the engine all that it has measured: a marker that changes all the time must not keep the host
        // unsynchronised. What is not told at once is told later: until then who reads the page of the time knows nothing.
        let earned = now.boot.elapsed_since(state.credit_at);
        state.credit = state.credit.plus(earned).min(Disruption::MOST);
        state.credit_at = now.boot;
        if state.credit < limits::DISRUPTION_TOLD {
            return false;
        }
        state.credit = state.credit.less(limits::DISRUPTION_TOLD);
        state.told = Some(marker);
        self.epoch = self.epoch.wrapping_add(1);
        true
    }

    /// The marker of a disruption that the engine knows.
    pub fn marker(&self) -> Option<u64> {
        self.disruption.told.map(|told| told.disruption)
    }

    /// Whether there is evidence of a disruption for which no step has made up.
    pub(super) fn disrupted(&self, now: &Moment) -> bool {
        self.disruption.at.is_some_and(|at| now.boot.elapsed_since(at) <= limits::PAUSE_KNOWN)
    }

    /// Whether a disruption of unknown length allows the clock to be `from_line` ahead of where it was going.
    pub(super) fn judge_disruption(&self, from_line: Offset) -> Result<(), Refused> {
        let most = self.limits.disruption_step;
        if from_line <= Offset::ZERO || from_line > most.forward() {
            return Err(refused(Refusal::Evidence, most.nanos(), from_line.nanos()));
        }
        Ok(())
    }

    /// A step forward has made up for it, whoever made it.
    pub(super) fn use_disruption_up(&mut self) {
        self.disruption.at = None;
    }
}
