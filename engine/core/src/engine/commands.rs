//! The administrator's commands to a running engine: which entries are polled, and when.

use super::Engine;
use crate::entries::{Entry, EntryId};
use crate::io::{Command, Now};

impl Engine {
    /// Carries out a command.
    pub(super) fn command(&mut self, now: Now, command: Command) {
        match command {
            Command::Burst(of) => {
                self.hurry(now.raw);
                for source in self.commanded(of).flat_map(|entry| &mut entry.members) {
                    source.poll_process.stopped_until = None;
                    source.poll_process.start_burst(now.raw);
                }
            }
            Command::Offline(of) => self.commanded(of).for_each(|entry| entry.offline = true),
            Command::Online(of) => {
                // A script of the network manager says so whether or not it said the opposite before.
                self.commanded(of).for_each(|entry| entry.offline = false);
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
        self.entries.iter_mut().filter(move |entry| of.is_none_or(|of| entry.id == of))
    }

    /// Whether the administrator wants nothing asked.
    pub(super) fn is_offline(&self) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|entry| entry.offline)
    }
}
