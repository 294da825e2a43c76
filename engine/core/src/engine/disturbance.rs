//! Changes of the clock that were not ordered: what other programs did to it.

use super::Engine;
use ipc::units::Offset;

/// Another program has moved the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// By how much, as the governor has measured it; the sum, where it happened more than once.
    moved: Offset,
    /// The governor has refused a step to the sources' time: what was done is undone, and no more.
    pub(super) exact: bool,
}

impl Foreign {
    /// The step that undoes it, and no more.
    pub(super) const fn undone(&self) -> Offset {
        Offset::ZERO.minus(self.moved)
    }
}

impl Engine {
    /// Another program has moved the clock, perhaps once more.
    pub(super) fn add_foreign(&mut self, moved: Offset) {
        if self.system.line.is_none() {
            return;
        }
        let before = self.system.foreign.map_or(Offset::ZERO, |foreign| foreign.moved);
        self.system.foreign = Some(Foreign { moved: before.plus(moved), exact: false });
    }
}
