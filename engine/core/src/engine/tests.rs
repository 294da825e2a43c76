//! What only tests ask of an engine, or do to one.

use super::Engine;
use crate::chronicle::Chronicle;
use crate::timers::Timer;
use ipc::units::RawInstant;

impl Engine {
    /// For tests that compare engines: what was counted or only reported does not count.
    pub(crate) fn forget_counts(&mut self) {
        self.entries.all_sources_mut().for_each(crate::source::Source::forget_counts);
        self.chronicle = Chronicle::new();
    }

    /// All filters go wrong at once, the guards do not.
    pub(crate) fn corrupt_filters(&mut self, nanos: i64) {
        self.entries.sources_mut().for_each(|source| source.track.filter.shift(nanos));
        self.system.dirty = true;
        self.timers.advance(Timer::Steering, RawInstant::MIN);
    }

    /// Look-ups under way.
    pub(crate) fn open_look_ups(&self) -> usize {
        let lookups = self.entries.all().filter_map(|entry| entry.lookup.as_ref());
        lookups.filter(|lookup| lookup.open.is_some()).count()
    }

    /// Queries under way.
    pub(crate) fn open_exchanges(&self) -> usize {
        self.exchanges.count()
    }
}
