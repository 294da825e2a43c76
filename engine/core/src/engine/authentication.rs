//! How far the time that the clock follows is authenticated, and since when.

use super::Engine;
use crate::io::Now;
use crate::status::Authentication;
use ipc::units::RawInstant;

impl Engine {
    /// Notes since when all that the clock follows is authenticated.
    pub(super) fn note_authentication(&mut self, now: RawInstant) {
        let (all, authenticated) = self.followed();
        self.system.paging.rests_on = (all, authenticated);
        let is_all = all == authenticated;
        let since = self.system.authenticated_since.unwrap_or(now);
        self.system.authenticated_since = is_all.then_some(since);
    }

    /// How many survivors there are, and how many of them are authenticated.
    fn followed(&self) -> (usize, usize) {
        let survivors = self.entries.members().filter(|(_, source)| source.track.survives());
        survivors.fold((0, 0), |(all, authenticated), (entry, source)| {
            (all + 1, authenticated + usize::from(entry.is_authenticated(Some(source))))
        })
    }

    /// How far the time that is followed is authenticated.
    pub(super) fn authentication(&self, now: Now) -> Option<Authentication> {
        self.system.line.as_ref().filter(|_| self.system.impasse.is_none())?;
        let (followed, authenticated) = self.followed();
        (followed > 0).then(|| Authentication {
            followed,
            authenticated,
            for_s: self
                .system
                .authenticated_since
                .map(|since| now.raw.elapsed_since(since).nanos() as f64 * 1e-9),
        })
    }
}
