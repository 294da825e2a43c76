//! Names become sources.

use super::Engine;
use super::key_exchanges::MOST_OPEN;
use crate::io::{Now, Output};
use crate::names::usable;
use crate::notice::EntryNews;
use crate::settings::Place;
use ipc::address::Address;
use ipc::message::exchange::{ExchangeId, Failed, LookupFailure, Resolve, Resolved};
use ipc::units::RawInstant;

/// Most addresses of one name that are queried at once, whatever is configured.
const MOST_MEMBERS: usize = 16;

impl Engine {
    /// Asks for the look-ups that are due.
    pub(super) fn look_up(&mut self, now: RawInstant) {
        if self.offline {
            return;
        }
        let mut open = self.open_children();
        for (lookup, settings) in self.lookups.iter_mut().zip(&self.settings.sources) {
            let (Some(lookup), Place::Name(name, port)) = (lookup, &settings.place) else { continue };
            if open < MOST_OPEN && lookup.is_due(now) {
                let id = ExchangeId(self.next_lookup);
                self.next_lookup += 1;
                lookup.open = Some(id);
                open += 1;
                self.outputs.push_back(Output::Resolve(Resolve { id, name: *name, port: *port }));
            }
        }
    }

    /// Something has changed, or is wanted: what failed before is tried again at once.
    pub(super) fn hurry(&mut self, now: RawInstant) {
        self.hurry_keys(now);
        self.hurry_names(now);
    }

    /// Names that are not resolved are looked up again at once.
    pub(super) fn hurry_names(&mut self, now: RawInstant) {
        self.lookups.iter_mut().flatten().for_each(|lookup| lookup.retry(now));
    }

    pub(super) fn next_look_up(&self) -> Option<RawInstant> {
        if self.offline || self.open_children() >= MOST_OPEN {
            return None;
        }
        self.lookups.iter().flatten().filter(|lookup| lookup.open.is_none()).map(|lookup| lookup.next).min()
    }

    fn entry_of(&self, id: ExchangeId) -> Option<usize> {
        self.lookups.iter().position(|lookup| lookup.as_ref().is_some_and(|lookup| lookup.open == Some(id)))
    }

    pub(super) fn resolved(&mut self, now: Now, resolved: &Resolved) {
        let Some(entry) = self.entry_of(resolved.id) else { return };
        let settings = &self.settings.sources[entry];
        let wanted = usize::from(settings.members).clamp(1, MOST_MEMBERS);
        let offered = usable(&resolved.addresses, &self.own);
        let refused = offered.is_empty();
        for address in offered {
            self.take(entry, address, wanted, now.raw);
        }
        let members = self.sources.iter().filter(|source| source.entry == entry);
        // A pool gives other addresses the next time; a name that has fewer is asked once an hour.
        let enough = members.clone().count() >= wanted && !members.clone().any(|source| source.is_dead());
        if let Some(lookup) = self.lookups[entry].as_mut() {
            if enough {
                lookup.succeeded(now.raw)
            } else {
                lookup.failed(now.raw)
            }
            lookup.last = refused.then_some(LookupFailure::NoAddress);
        }
        if refused {
            self.tell_of_entry(entry, EntryNews::NoServers);
        }
    }

    /// Adds an address where there is room, or in place of one that is dead. One that is in use already,
    /// here or elsewhere, would only vote twice.
    fn take(&mut self, entry: usize, address: Address, wanted: usize, now: RawInstant) {
        if let Some(at) = self.sources.iter().position(|source| source.address == address) {
            // Whoever answers for one name must not take the address of a better one away from it.
            let owner = self.sources[at].entry;
            if owner == entry || self.standing(owner) >= self.standing(entry) {
                return;
            }
            self.sources.remove(at);
            let by = self.settings.sources[entry].name.clone();
            self.tell_of_entry(owner, EntryNews::Taken(address.socket_address(), by));
        }
        if self.sources.iter().filter(|source| source.entry == entry).count() >= wanted {
            let dead = self.sources.iter().position(|source| source.entry == entry && source.is_dead());
            let Some(dead) = dead else { return };
            let gone = self.sources.remove(dead);
            let replaced = EntryNews::Replaced(gone.address.socket_address(), address.socket_address());
            self.tell_of_entry(entry, replaced);
        }
        self.add_source(entry, address, now);
        // Whoever poisons a name after the start gets no vote by that alone.
        if self.system.first_update.is_some()
            && let Some(newest) = self.sources.last_mut()
        {
            newest.newcomer = true;
        }
    }

    /// What the configuration gives an entry over another one for the same address: authenticated, written
    /// out, trusted, required, preferred.
    fn standing(&self, entry: usize) -> (bool, bool, bool, bool, bool) {
        let settings = &self.settings.sources[entry];
        (
            settings.nts.is_some(),
            matches!(settings.place, Place::Address(_)),
            settings.trust,
            settings.require,
            settings.prefer,
        )
    }

    pub(super) fn lookup_failed(&mut self, now: Now, failed: &Failed) {
        let Some(entry) = self.entry_of(failed.id) else { return };
        if let Some(lookup) = self.lookups[entry].as_mut() {
            lookup.unanswered(now.raw, failed.reason);
        }
        self.tell_of_entry(entry, EntryNews::Unresolved(failed.reason));
    }
}
