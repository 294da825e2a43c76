//! Names become sources.

use super::Engine;
use crate::entries::{Entry, Group};
use crate::io::{Now, Output};
use crate::names::usable;
use crate::notice::EntryNotice;
use crate::settings::{Place, SourceSettings};
use crate::source::Source;
use crate::source_id::SourceId;
use alloc::vec::Vec;
use ipc::message::exchange::{ExchangeId, Failed, LookupFailure, Resolve, Resolved};
use ipc::units::RawInstant;

/// Most addresses of one name that are queried at once, whatever is configured.
const MOST_MEMBERS: usize = 16;

/// How many addresses of its name an entry is to have. Of an NTS pool each member is an entry of its own.
pub(super) fn wanted(settings: &SourceSettings) -> usize {
    if settings.is_nts_pool() { 1 } else { usize::from(settings.members).clamp(1, MOST_MEMBERS) }
}

impl Engine {
    /// Asks for the look-ups of a group that are due; says when the next one is.
    pub(super) fn look_up(&mut self, group: Group, now: RawInstant) -> Option<RawInstant> {
        if self.offline {
            return None;
        }
        let mut room = self.room_for(group);
        let mut next: Option<RawInstant> = None;
        for Entry { lookup, settings, .. } in self.entries.of_mut(group).filter(|it| !it.offline) {
            let (Some(lookup), Place::Name(name, port)) = (lookup, &settings.place) else { continue };
            if room > 0 && lookup.is_due(now) {
                let id = ExchangeId(self.next_lookup);
                self.next_lookup += 1;
                lookup.open = Some(id);
                room -= 1;
                self.outputs.push_back(Output::Resolve(Resolve {
                    id,
                    name: *name,
                    port: *port,
                    families: settings.families,
                }));
            } else if lookup.open.is_none() {
                next = next.into_iter().chain([lookup.next]).min();
            }
        }
        // The end of one that is under way makes room.
        next.filter(|_| room > 0)
    }

    /// Something has changed, or is wanted: what failed before is tried again at once.
    pub(super) fn hurry(&mut self, now: RawInstant) {
        self.hurry_keys(now);
        self.hurry_names(now);
        self.renew_names(now);
        self.forgive_addresses();
    }

    /// The network may be another one, in which a name that was resolved has other addresses.
    pub(super) fn renew_names(&mut self, now: RawInstant) {
        self.changes.meet(now);
        self.entries.all_mut().filter_map(|entry| entry.lookup.as_mut()).for_each(|lookup| lookup.renew(now));
    }

    /// Names that are not resolved are looked up again at once, and so are addresses on an interface that is named: its
    /// number may be another one, and to find that out costs no packet.
    pub(super) fn hurry_names(&mut self, now: RawInstant) {
        for Entry { lookup, settings, .. } in self.entries.all_mut() {
            let (Some(lookup), Place::Name(..)) = (lookup, &settings.place) else { continue };
            lookup.retry(now);
            if settings.place.is_scoped() {
                lookup.repeat(now);
            }
        }
    }

    /// The entry to which a look-up belongs.
    fn looking_up(&mut self, id: ExchangeId) -> Option<&mut Entry> {
        self.entries
            .all_mut()
            .find(|entry| entry.lookup.as_ref().is_some_and(|lookup| lookup.open == Some(id)))
    }

    pub(super) fn resolved(&mut self, now: Now, resolved: &Resolved) {
        self.abandoned.end(resolved.id);
        let Some(entry) = self.looking_up(resolved.id) else { return };
        let (id, group) = (entry.id, entry.group());
        if entry.settings.is_nts_pool() {
            return self.pool_resolved(id, &resolved.addresses, now.raw);
        }
        let (wanted, link_local) = (wanted(&entry.settings), entry.settings.allow_link_local);
        let is_scoped = entry.settings.place.is_scoped();
        let offered = usable(&resolved.addresses, link_local, &self.own);
        let refused = offered.is_empty();
        // Which number an interface has now is no answer of another host: there is nothing to wait for.
        if let Some(entry) = self.entries.get(id).filter(|_| is_scoped) {
            let is_gone = |source: &&Source| !offered.contains(&source.address());
            let gone: Vec<SourceId> = entry.members.iter().filter(is_gone).map(|source| source.id).collect();
            gone.into_iter().for_each(|source| self.drop_source(source));
        }
        if let Some(entry) = self.entries.get_mut(id) {
            // An answer without a server is none: what an earlier run left is used.
            if !(refused && entry.is_recalling()) {
                entry.candidates.learn(&offered, now.raw);
                entry.end_recall();
            }
            // The network may be there again: before another address takes its place, each is asked once more.
            let nonces = self.nonces.of(group);
            for source in entry.members.iter_mut().filter(|source| !source.wants_fewer()) {
                source.poll_process.retry(now.raw, nonces);
            }
        }
        // What waited for it is decided.
        if self.system.first_update.is_none() {
            self.unsettle(group);
        }
        self.tend_addresses(group, now);
        let need = self.need_of(group);
        let used = self.entries.get(id).map_or(0, Entry::staying);
        if let Some(Entry { members, lookup: Some(lookup), .. }) = self.entries.get_mut(id) {
            // A pool gives other addresses the next time; a name that has fewer is asked once an hour.
            let enough = used >= wanted && !members.iter().any(|source| source.fault.is_some());
            if enough {
                lookup.succeeded(now.raw)
            } else {
                lookup.failed(now.raw, need)
            }
            lookup.last = refused.then_some(LookupFailure::NoAddress);
        }
        if refused {
            self.tell_of_entry(id, EntryNotice::NoUsableAddress);
        }
    }

    pub(super) fn lookup_failed(&mut self, now: Now, failed: &Failed) {
        self.abandoned.end(failed.id);
        let group = self.looking_up(failed.id).map_or(Group::Deciding, |entry| entry.group());
        let need = self.need_of(group);
        let Some(entry) = self.looking_up(failed.id) else { return };
        let id = entry.id;
        let mut gone: Vec<SourceId> = Vec::new();
        if entry.settings.place.is_scoped() && failed.reason == LookupFailure::NoInterface {
            // The interface of that name is gone, or has another name now: the number that it had is not what is configured.
            entry.candidates.learn(&[], now.raw);
            gone.extend(entry.members.iter().map(|source| source.id));
        }
        if let Some(lookup) = entry.lookup.as_mut() {
            lookup.unanswered(now.raw, failed.reason, need);
        }
        gone.into_iter().for_each(|source| self.drop_source(source));
        if self.system.first_update.is_none() {
            self.unsettle(group);
        }
        self.tell_of_entry(id, EntryNotice::Unresolved(failed.reason));
    }
}
