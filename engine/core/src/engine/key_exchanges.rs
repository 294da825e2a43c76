//! Key exchanges: when keys are exchanged, and what follows from the outcome.

use super::Engine;
use crate::entries::{Entry, EntryId, Group};
use crate::io::{Now, Output, SavedAssociation};
use crate::names::may_serve;
use crate::notice::EntryNotice;
use crate::nts::{Deferral, KeyExchangeFailure};
use crate::source::Source;
use crate::source_id::SourceId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use ipc::address::Address;
use ipc::message::exchange::{Cookie, Exchange, ExchangeFailed, ExchangeId, Exchanged, MAX_OPEN};
use ipc::units::RawInstant;

impl Engine {
    /// How many more look-ups, key exchanges and rounds may be begun for a group. Of those that decide nothing, one at a time is in
    /// progress.
    pub(super) fn room_for(&self, group: Group) -> usize {
        let [deciding, observed] = [Group::Deciding, Group::Observed].map(|group| self.children_of(group));
        let rounds = usize::from(self.signed.is_open());
        let room = MAX_OPEN.saturating_sub(deciding + observed + self.abandoned.count() + rounds);
        match group {
            Group::Deciding => room,
            Group::Observed => room.min(1_usize.saturating_sub(observed)),
        }
    }

    /// Begins the key exchanges of a group that are due, and returns when the next one is due.
    pub(super) fn exchange_keys(&mut self, group: Group, now: Now) -> Option<RawInstant> {
        // With a certificate that could not be judged, the step is made by those that decide.
        let awaits_clock = group == Group::Observed && self.is_clock_unproven() && !self.entries.is_empty();
        if self.offline || awaits_clock {
            return None;
        }
        let more = self.give_hosts(group, now.raw);
        let mut room = self.room_for(group);
        let has_nts = self.entries.of(group).any(|entry| entry.association().is_some());
        let (floor, is_right) = (self.floor(), has_nts && self.is_synchronised(now));
        let mut next: Option<RawInstant> = more;
        let mut waiting = Vec::new();
        for entry in self.entries.of_mut(group).filter(|it| !it.offline) {
            // Where a member of a pool is to ask is not known yet.
            if entry.is_hostless() {
                continue;
            }
            let id = entry.id;
            let Some(association) = entry.association_mut() else { continue };
            association.renew_expired(is_right, now);
            waiting.extend(association.due().map(|due| (due, id)));
        }
        // Who has waited longest comes first: the members of a pool whose name leads nowhere are due again at once, at another address.
        waiting.sort_by_key(|(due, _)| *due);
        for (due, id) in waiting {
            // The end of the one in progress says when the next one is due.
            if self.is_pool_busy(id) {
                continue;
            }
            if room == 0 || due > now.raw {
                next = next.into_iter().chain([due]).min();
                continue;
            }
            let denied = self.denied(id);
            let Some(entry) = self.entries.get_mut(id) else { continue };
            let (place, nts, at) = (entry.settings.place.clone(), entry.settings.nts, entry.host);
            let (families, departure) = (entry.settings.families, entry.settings.departure);
            let (Some(association), Some(nts)) = (entry.association_mut(), nts) else { continue };
            let exchange = ExchangeId(self.next_lookup);
            self.next_lookup += 1;
            room -= 1;
            let exchange = association.begin(exchange, &place, at, nts, now.wall, floor);
            self.outputs.push_back(Output::Exchange(Exchange { families, departure, denied, ..exchange }));
        }
        // The end of one in progress makes room.
        next.filter(|_| room > 0)
    }

    /// The entry to which a key exchange belongs.
    fn exchanging(&mut self, id: ExchangeId) -> Option<&mut Entry> {
        let is_it = |entry: &&mut Entry| {
            entry.association().is_some_and(|association| association.schedule.open() == Some(id))
        };
        self.entries.all_mut().find(is_it)
    }

    pub(super) fn cookie(&mut self, cookie: &Cookie) {
        // Cookies of a removed entry are discarded.
        if let Some(association) = self.exchanging(cookie.id).and_then(Entry::association_mut) {
            association.take_cookie(cookie);
        }
    }

    pub(super) fn exchanged(&mut self, now: Now, exchanged: &Exchanged) {
        self.abandoned.end(exchanged.id);
        let Some(id) = self.exchanging(exchanged.id).map(|entry| entry.id) else { return };
        let is_provisional = self.is_unjudged(exchanged, now);
        let address = self.choose(id, exchanged, now.raw);
        let Some(association) = self.entries.get_mut(id).and_then(Entry::association_mut) else { return };
        if is_provisional && exchanged.deferred && association.deferral == Deferral::Strict {
            return association.begin_again(now.raw);
        }
        let Some(address) = address else {
            let is_taken = exchanged.addresses.iter().any(|address| self.is_asked_by_nts(id, *address));
            let failure = if is_taken { KeyExchangeFailure::Taken } else { KeyExchangeFailure::NoAddress };
            self.note_named(id, exchanged.named, false);
            return self.keys_failed(id, failure, now);
        };
        let was_provisional = association.is_provisional();
        let before = association.operator;
        association.succeed(exchanged, is_provisional, now);
        self.note_named(id, exchanged.named, true);
        self.tell_of_operator(id, before);
        self.give_source(id, address, is_provisional, was_provisional, now.raw);
        if is_provisional {
            self.tell_of_entry(id, EntryNotice::KeysProvisional);
        } else {
            self.tell_of_entry(id, EntryNotice::KeysExchanged);
            self.save_associations();
        }
    }

    /// Chooses the address to query from an outcome: the one in use, unless it does not answer, or not usefully;
    /// otherwise the next to be tried; otherwise the first.
    fn choose(&mut self, id: EntryId, exchanged: &Exchanged, now: RawInstant) -> Option<Address> {
        let group = self.entries.get(id)?.group();
        let need = self.need_of(group);
        let in_use = self.entries.get(id)?.members.first().map(Source::address);
        let is_others = in_use.is_some_and(|address| self.is_asked_by_nts(id, address));
        let entry = self.entries.get_mut(id)?;
        let (written, link_local) = (entry.written_address(), entry.settings.allow_link_local);
        let is_pool = entry.settings.is_nts_pool();
        let mut offered: Vec<Address> = exchanged.addresses.to_vec();
        // Which addresses are this host's is what the client says.
        offered.retain(|address| may_serve(address, written, link_local, &[]));
        entry.candidates.learn(&offered, now);
        let own = entry.members.first();
        let is_good = |own: &&Source| own.fault.is_none() && !own.poll_process.is_silent();
        // A member of a pool gives way to whoever is at its server by right.
        if let Some(own) = own.filter(|own| offered.contains(&own.address()) && !(is_pool && is_others))
            && (is_good(&own) || offered.len() == 1)
        {
            return Some(own.address());
        }
        // One that decides nothing asks nobody whom others ask, and no member of a pool does.
        let any = offered.first().copied().filter(|_| group == Group::Deciding && !is_pool);
        self.pick(id, need, true, now).or(any)
    }

    /// New keys for a source. If its address is the same, the source is kept.
    fn give_source(&mut self, id: EntryId, address: Address, provisional: bool, was: bool, now: RawInstant) {
        let source = self.entries.get_mut(id).and_then(|entry| entry.members.first_mut());
        match source {
            Some(source) if source.address() == address && provisional == was => {
                if source.poll_process.reach == 0 {
                    source.poll_process.start_burst(now);
                }
                // A reply to the old keys could not be verified any more.
                let source = source.id;
                self.abandon(source);
            }
            source => {
                if let Some(gone) = source.map(|source| source.id) {
                    self.drop_source(gone);
                }
                if let Some(newest) = self.entries.add_source(id, address, now) {
                    newest.provisional = provisional;
                }
                self.know_oneself();
            }
        }
    }

    /// Removes a source.
    pub(super) fn drop_source(&mut self, source: SourceId) {
        self.entries.remove_source(source);
        self.abandon(source);
    }

    /// Cancels the queries of a source that are in progress.
    pub(super) fn abandon(&mut self, source: SourceId) {
        for id in self.exchanges.abandon(source) {
            self.outputs.push_back(Output::Cancel(id));
        }
    }

    pub(super) fn exchange_failed(&mut self, now: Now, failed: &ExchangeFailed) {
        self.abandoned.end(failed.id);
        let Some(id) = self.exchanging(failed.id).map(|entry| entry.id) else { return };
        self.keys_failed(id, KeyExchangeFailure::Failed(failed.reason), now);
    }

    fn keys_failed(&mut self, id: EntryId, failure: KeyExchangeFailure, now: Now) {
        let Some(entry) = self.entries.get(id) else { return };
        let group = entry.group();
        let defers =
            group == Group::Deciding && entry.association().is_some_and(|it| self.may_defer(it, failure));
        let (after_setting, need) = (self.is_alarming(failure), self.need_of(group));
        let Some(association) = self.entries.get_mut(id).and_then(Entry::association_mut) else { return };
        if defers {
            return association.defer(now.raw);
        }
        let (is_news, keeps) = (association.fail(failure, need, now.raw), association.cookies() > 0);
        self.host_failed(id, failure, now.raw);
        if is_news {
            let at = self.entries.get(id).and_then(|entry| entry.host).map(|host| host.socket_address().ip());
            self.tell_of_entry(id, EntryNotice::NoKeys { failure, at, keeps, after_setting });
        }
    }

    /// Orders that the file of keys is written, before any later effect.
    pub(super) fn save_associations(&mut self) {
        order_save(&mut self.outputs);
    }

    pub(super) fn saved_associations(&self) -> Vec<SavedAssociation> {
        let kept = |entry: &Entry| {
            let source = entry.members.first()?;
            let saved = entry.association()?.save(&entry.settings, source.address())?;
            Some(SavedAssociation { at: entry.host, named: entry.named, ..saved })
        };
        self.entries.all().filter_map(kept).collect()
    }

    /// Ends the back-off after failed key exchanges.
    pub(super) fn hurry_keys(&mut self, now: RawInstant) {
        self.entries.all_associations_mut().for_each(|association| association.schedule.hurry(now));
    }
}

/// See [`Engine::save_associations`].
pub(super) fn order_save(outputs: &mut VecDeque<Output>) {
    if !outputs.contains(&Output::SaveAssociations) {
        outputs.push_back(Output::SaveAssociations);
    }
}
