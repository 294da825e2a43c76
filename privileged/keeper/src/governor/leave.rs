//! The operator's leave for one step, given while the daemon runs (`chimerctl step --approve`). It holds for a minute, so that
//! what nobody used lies about for nobody.

use super::{Governor, Moment, limits};
use ipc::units::{BootInstant, Span};

/// One step of at most `most`, until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    pub(super) most: Span,
    until: BootInstant,
}

impl Governor {
    /// Takes the operator's leave, which replaces one before it; a size of zero takes it back.
    pub fn permit(&mut self, most: Span, now: BootInstant) {
        let until = BootInstant::saturating(now.nanos().saturating_add(limits::LEAVE.nanos()));
        self.leave = (most > Span::ZERO).then_some(Leave { most, until });
    }

    /// Ends a leave whose time is over.
    pub(super) fn expire_leave(&mut self, now: &Moment) {
        self.leave = self.leave.filter(|leave| now.boot <= leave.until);
    }

    /// Whether an operator permitted a step that was not made: at the start, or now.
    pub(super) fn has_leave(&self) -> bool {
        self.terms.approved_step.is_some() || self.leave.is_some()
    }
}
