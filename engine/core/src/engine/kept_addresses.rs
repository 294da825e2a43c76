//! The addresses of names that worked in an earlier run: they are used while a name is not resolved.
//!
//! They come from a file and are believed no more than an answer of a name server: only for names that are configured, no more
//! of them, and with the same tests. An answer takes their place as soon as its addresses work.

use super::Engine;
use super::lookups::wanted;
use crate::entries::{Entry, EntryId, Recall};
use crate::io::{KeptAddresses, Now};
use crate::names::usable;
use crate::notice::EntryNotice;
use crate::select::Standing;
use crate::settings::Place;
use crate::source::Source;
use crate::source_id::SourceId;
use alloc::vec::Vec;
use core::net::SocketAddr;
use ipc::units::{RawInstant, Span};

/// A name server that answers at all does so within this time as a rule.
const LATE: Span = Span::from_secs(1);

impl Entry {
    /// When what an earlier run left is to be used; none: never, as things are.
    pub(super) fn recall_due(&self) -> Option<RawInstant> {
        let lookup = self.lookup.as_ref().filter(|_| self.kept.stage == Recall::Waiting)?;
        match lookup.was_answered() {
            true => Some(RawInstant::MIN),
            false => Some(self.begun?.after(LATE)),
        }
    }

    /// Whether addresses of an earlier run are used, or would be.
    pub(super) const fn is_recalling(&self) -> bool {
        matches!(self.kept.stage, Recall::Waiting | Recall::InUse)
    }

    /// An answer has come.
    pub(super) const fn end_recall(&mut self) {
        self.kept.stage = match self.kept.stage {
            Recall::InUse | Recall::Leaving => Recall::Leaving,
            Recall::Waiting | Recall::Over => Recall::Over,
        };
    }

    /// Whether a source of this entry is used only until another address works.
    fn is_leaving(&self, source: &Source) -> bool {
        self.kept.stage == Recall::Leaving && !self.candidates.is_offered(source.address())
    }

    /// How many of its sources are not about to leave.
    pub(super) fn staying(&self) -> usize {
        self.members.iter().filter(|source| !self.is_leaving(source)).count()
    }
}

/// Whether it may be relied upon in the next run, or now in the place of another one.
fn works(source: &Source) -> bool {
    source.is_live()
        && !source.oneself
        && !source.is_on_probation()
        && matches!(source.track.standing, Some(Standing::Survivor | Standing::Spare))
}

impl Engine {
    /// What is known of the addresses of names, for the next run: at most [`KeptAddresses::MOST`] of each name.
    pub fn kept_addresses(&self) -> Vec<KeptAddresses> {
        self.entries.iter().filter_map(|entry| entry.kept.known.clone()).collect()
    }

    /// Notes which addresses of names work.
    pub(super) fn remember_addresses(&mut self, now: Now) {
        for entry in self.entries.iter_mut() {
            let Place::Name(name, _) = &entry.settings.place else { continue };
            // Those that no name server has confirmed in this run keep their age.
            if entry.lookup.is_none() || entry.is_recalling() {
                continue;
            }
            let is_kept = |source: &&Source| {
                // The number of an interface may be another one's after a boot.
                let is_scoped =
                    matches!(source.address().socket_address(), SocketAddr::V6(v6) if v6.scope_id() != 0);
                works(source) && !is_scoped && entry.candidates.is_offered(source.address())
            };
            let working = entry.members.iter().filter(is_kept).map(Source::address);
            let addresses: Vec<_> = working.take(KeptAddresses::MOST).collect();
            if !addresses.is_empty() {
                entry.kept.known = Some(KeptAddresses { name: *name, addresses, at: now.wall });
            }
        }
    }

    /// Gives an entry what an earlier run left of its name.
    pub(super) fn recall(&mut self, id: EntryId, kept: &[KeptAddresses], now: Now) {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.lookup.is_some()) else { return };
        let Place::Name(_, port) = entry.settings.place else { return };
        let found = kept.iter().find(|kept| {
            Place::Name(kept.name, port).is_same(&entry.settings.place)
                && now.wall.minus(kept.at).nanos() <= KeptAddresses::LIFETIME.nanos()
        });
        let Some(found) = found else { return };
        let of_port = found.addresses.iter().filter(|address| address.port() == port);
        let addresses: Vec<_> = of_port.take(KeptAddresses::MOST).copied().collect();
        if !addresses.is_empty() {
            entry.kept.known = Some(KeptAddresses { name: found.name, addresses, at: found.at });
            entry.kept.stage = Recall::Waiting;
        }
    }

    /// Uses what an earlier run left where a name is not resolved.
    pub(super) fn use_kept(&mut self, now: RawInstant) {
        let is_due = |entry: &&mut Entry| entry.recall_due().is_some_and(|at| at <= now);
        let mut used = Vec::new();
        for entry in self.entries.iter_mut().filter(is_due) {
            let known = entry.kept.known.as_ref().map(|known| known.addresses.as_slice()).unwrap_or_default();
            let addresses = usable(known, entry.settings.allow_link_local, &self.own);
            entry.kept.stage = if addresses.is_empty() { Recall::Over } else { Recall::InUse };
            if !addresses.is_empty() {
                entry.candidates.learn(&addresses, now);
                used.push((entry.id, addresses.len()));
            }
        }
        for (id, count) in used {
            self.tell_of_entry(id, EntryNotice::KeptAddresses(count));
        }
    }

    /// Drops addresses of an earlier run for which others of the answer work.
    pub(super) fn retire_kept(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.kept.stage == Recall::Leaving) else {
            return;
        };
        let leaving: Vec<(SourceId, SocketAddr)> = entry
            .members
            .iter()
            .filter(|source| entry.is_leaving(source))
            .map(|source| (source.id, source.address().socket_address()))
            .collect();
        let stays: Vec<SocketAddr> = entry
            .members
            .iter()
            .filter(|source| !entry.is_leaving(source) && works(source))
            .map(|source| source.address().socket_address())
            .collect();
        let room = wanted(&entry.settings).saturating_sub(stays.len());
        let gone = leaving.len().saturating_sub(room);
        for ((source, before), by) in leaving.iter().zip(stays.iter().cycle()).take(gone) {
            self.drop_source(*source);
            self.system.dirty = true;
            self.tell_of_entry(id, EntryNotice::Replaced(*before, *by));
        }
        if let Some(entry) = self.entries.get_mut(id).filter(|_| gone == leaving.len()) {
            entry.kept.stage = Recall::Over;
        }
    }
}
