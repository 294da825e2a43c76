//! The network comes, or returns, after the engine has begun to ask.

use super::Engine;
use crate::entries::Group;
use crate::need::{BETWEEN_SIGNS, Need};
use crate::nonce::Nonces;
use crate::select::Impasse;
use crate::source::Source;
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

    /// The same of a source of this group: on one that decides nothing, nothing depends.
    pub(super) fn need_of(&self, group: Group) -> Need {
        match group {
            Group::Deciding => self.need(),
            Group::Observed => Need::Little,
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
        self.signed.try_again(now);
        self.forgive_addresses();
        self.entries
            .all_associations_mut()
            .for_each(|association| association.schedule.retry_unanswered(now));
        self.ask_each(|source, nonces| source.poll_process.retry(now, nonces));
    }

    /// Has each source asked, with random numbers of its group, unless its last kiss wants fewer queries.
    pub(super) fn ask_each(&mut self, ask: impl Fn(&mut Source, &mut Nonces)) {
        for entry in self.entries.all_mut() {
            let nonces = self.nonces.of(entry.group());
            entry.members.iter_mut().filter(|it| !it.wants_fewer()).for_each(|source| ask(source, nonces));
        }
    }
}
