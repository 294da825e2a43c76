//! The administrator's commands to a running engine: which entries are polled, and when.

use super::Engine;
use crate::entries::{Entry, EntryId, Phase};
use crate::io::{Command, Now};

impl Engine {
    /// Carries out a command.
    pub(super) fn command(&mut self, now: Now, command: Command) {
        match command {
            Command::Step => self.want_step(now),
            Command::Burst(of) => {
                self.hurry(now.raw);
                for source in self.commanded(of).flat_map(|entry| &mut entry.members) {
                    source.poll_process.stopped_until = None;
                    source.poll_process.start_burst(now.raw);
                }
            }
            Command::Offline(None) => self.offline = true,
            Command::Offline(of) => self.commanded(of).for_each(|entry| entry.offline = true),
            Command::Online(of) => {
                // A script of the network manager says so whether or not it said the opposite before.
                let was_offline = core::mem::replace(&mut self.offline, false);
                for entry in self.entries.all_mut() {
                    let is_meant = of.is_none_or(|of| entry.configured() == of);
                    entry.offline = !is_meant && (entry.offline || was_offline);
                }
                self.hurry(now.raw);
                let sources = self.commanded(of).flat_map(|entry| &mut entry.members);
                sources.for_each(|source| source.poll_process.start_burst(now.raw));
            }
        }
        // Whose vote is missed depends on it.
        self.system.dirty = true;
    }

    /// The entries that a command is about.
    fn commanded(&mut self, of: Option<EntryId>) -> impl Iterator<Item = &mut Entry> {
        self.entries.all_mut().filter(move |entry| of.is_none_or(|of| entry.configured() == of))
    }

    /// Whether the administrator wants nothing asked of all that there is.
    pub(super) fn is_offline(&self) -> bool {
        let mut all = self
            .entries
            .iter()
            .filter(|entry| !matches!(entry.phase, Phase::Duplicate | Phase::Vacant))
            .peekable();
        self.offline || (all.peek().is_some() && all.all(|entry| entry.offline))
    }

    /// Whether an entry has no vote, and nobody misses it, because the administrator has taken it offline, and not all. Who else
    /// has a vote, it decides as before.
    pub(super) fn is_excused(&self, entry: &Entry) -> bool {
        entry.offline && !self.is_offline()
    }
}
