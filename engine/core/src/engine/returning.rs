//! The network comes, or returns, after the engine has begun to ask.

use super::Engine;
use crate::need::{BETWEEN_SIGNS, Need};
use crate::select::Impasse;
use ipc::units::RawInstant;

impl Engine {
    /// How much depends on the answer of a source that is silent.
    pub(super) fn need(&self) -> Need {
        if self.system.line.is_none() {
            Need::First
        } else if self.system.impasse == Some(Impasse::Silent)
            || self.entries.members().all(|(entry, source)| entry.offline || source.poll_process.reach == 0)
        {
            Need::Lost
        } else {
            Need::Little
        }
    }

    /// There is a sign that the network is there: what failed before without an answer is tried again at once. `need`: as
    /// it was before the sign.
    pub(super) fn find_network(&mut self, need: Need, now: RawInstant) {
        let is_early = self.system.last_sign.is_some_and(|last| last.after(BETWEEN_SIGNS) > now);
        if need == Need::Little || is_early {
            return;
        }
        self.system.last_sign = Some(now);
        self.try_again(now);
    }

    /// Whatever failed without an answer may succeed now.
    pub(super) fn try_again(&mut self, now: RawInstant) {
        self.hurry_names(now);
        self.forgive_addresses();
        self.entries.associations_mut().for_each(|association| association.schedule.retry_unanswered(now));
        for source in self.entries.sources_mut().filter(|source| !source.wants_fewer()) {
            source.poll_process.retry(now, &mut self.nonces);
        }
    }
}
