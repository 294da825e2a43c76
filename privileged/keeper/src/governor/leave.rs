//! The operator's leave for one step, given while the daemon runs (`chimerctl step --approve`). It holds for a minute from when
//! it was given, so that what nobody used lies about for nobody.

use super::{Governor, Moment, limits};
use ipc::units::{BootInstant, Span, WallTime};

/// One step of at most `most`, until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leave {
    pub(super) most: Span,
    until: BootInstant,
}

impl Governor {
    /// Takes the operator's leave, which replaces one before it and holds until `until`, but not for longer than its row says. A
    /// size of zero takes it back, and so does one whose time is over.
    pub fn permit(&mut self, most: Span, until: BootInstant, now: BootInstant) {
        let latest = BootInstant::saturating(now.nanos().saturating_add(limits::LEAVE.nanos()));
        let is_one = most > Span::ZERO && until >= now;
        self.leave = is_one.then_some(Leave { most, until: until.min(latest) });
    }

    /// Ends a leave whose time is over.
    pub(super) fn expire_leave(&mut self, now: &Moment) {
        self.leave = self.leave.filter(|leave| now.boot <= leave.until);
    }

    /// Whether an operator permitted a step of this size that was not made: at the start, or now.
    fn is_permitted(&self, size: Span) -> bool {
        let permitted = [self.terms.approved_step, self.leave.map(|leave| leave.most)];
        permitted.into_iter().flatten().any(|most| size <= most)
    }

    /// Uses up what permits a step of this size, if anything does: what was permitted now before what was at the start.
    pub(super) fn take_leave(&mut self, size: Span) -> bool {
        if self.leave.take_if(|leave| size <= leave.most).is_some() {
            return true;
        }
        let approved = self.terms.approved_step.take_if(|approved| size <= *approved);
        self.record.approved_used = approved.or(self.record.approved_used);
        approved.is_some()
    }

    /// The earliest target of a step of this size. One that an operator permitted may have to undo a wrong "good" time, so only
    /// the build date limits it; others are not helped by that.
    pub(super) fn floor_of(&self, size: Span) -> WallTime {
        if self.is_permitted(size) { self.built } else { self.ordinary_floor() }
    }
}
