//! How far the time that the clock follows is authenticated, and since when.

use super::Engine;
use crate::entries::Entry;
use crate::io::Now;
use crate::source::Source;
use crate::status::Authentication;
use alloc::vec::Vec;
use ipc::units::RawInstant;

impl Engine {
    /// Notes since when all that the clock follows is authenticated.
    pub(super) fn note_authentication(&mut self, now: RawInstant) {
        let mut survivors = self.entries.members().filter(|(_, source)| source.track.survives());
        let is_all = survivors.all(|(entry, source)| entry.is_authenticated(Some(source)));
        let since = self.system.authenticated_since.unwrap_or(now);
        self.system.authenticated_since = is_all.then_some(since);
    }

    /// How far the time that is followed is authenticated.
    pub(super) fn authentication(&self, now: Now) -> Option<Authentication> {
        let survives = |(_, source): &(&Entry, &Source)| source.track.survives();
        self.system.line.as_ref().filter(|_| self.system.impasse.is_none())?;
        let survivors: Vec<_> = self.entries.members().filter(survives).collect();
        let authenticated =
            survivors.iter().filter(|(entry, source)| entry.is_authenticated(Some(source))).count();
        (!survivors.is_empty()).then(|| Authentication {
            followed: survivors.len(),
            authenticated,
            for_s: self
                .system
                .authenticated_since
                .map(|since| now.raw.elapsed_since(since).nanos() as f64 * 1e-9),
        })
    }
}
