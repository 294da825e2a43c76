//! How entries of the configuration begin, change and end, at the start and while the other sources are followed.

use super::lookups::wanted;
use super::{Engine, UNHEARD_TIMEOUT};
use crate::entries::{Authentication, Entry, EntryError, EntryId, Group, Phase};
use crate::io::{Now, SavedAssociation};
use crate::names::Lookup;
use crate::notice::EntryNotice;
use crate::nts::Association;
use crate::settings::{ClockSettings, LocalTime, Place, ServerSettings, SourceSettings};
use alloc::vec::Vec;
use ipc::address::Address;

impl Engine {
    /// The configured sources, in order.
    pub fn entries(&self) -> impl Iterator<Item = (EntryId, &SourceSettings)> {
        self.entries.all().filter(|entry| entry.pool.is_none()).map(|entry| (entry.id, &entry.settings))
    }

    /// Adds a configured source. It begins immediately, or with the others if the engine has not been welcomed yet. For the
    /// first seconds, its missing vote does not count, unless it is authenticated or marked `trust`. Outputs are fetched as
    /// after an input ([`Engine::poll_output`]).
    ///
    /// # Errors
    /// [`EntryError::Full`]; nothing has changed then.
    pub fn add_entry(&mut self, now: Now, settings: SourceSettings) -> Result<EntryId, EntryError> {
        let id = self.entries.add(settings).ok_or(EntryError::Full)?;
        self.settle_entries(now, Some(id));
        Ok(id)
    }

    /// Removes a configured source: it is no longer queried, its keys are dropped, and it has no vote. Late answers are
    /// ignored. The clock is not changed until the next selection, which is made as soon as possible.
    ///
    /// # Errors
    /// [`EntryError::NoSuchEntry`].
    pub fn remove_entry(&mut self, now: Now, id: EntryId) -> Result<(), EntryError> {
        let gone = self.entries.remove(id);
        if gone.is_empty() {
            return Err(EntryError::NoSuchEntry);
        }
        gone.iter().for_each(|gone| self.let_go(gone));
        self.settle_entries(now, None);
        Ok(())
    }

    /// Gives a configured source other settings, at the same place in the order. If they name another server, other roots,
    /// another offer, another key or another family of addresses, the source begins anew. Otherwise it keeps its measurements and its keys.
    ///
    /// # Errors
    /// [`EntryError::NoSuchEntry`].
    pub fn change_entry(
        &mut self,
        now: Now,
        id: EntryId,
        settings: SourceSettings,
    ) -> Result<(), EntryError> {
        let entry = self.entries.get(id).ok_or(EntryError::NoSuchEntry)?;
        let is_same = entry.settings.place == settings.place
            && entry.settings.nts == settings.nts
            && entry.settings.key == settings.key
            && entry.settings.families == settings.families
            && entry.settings.is_nts_pool() == settings.is_nts_pool();
        if is_same {
            for member in self.entries.members_of(id) {
                self.change_member(member, &settings, now);
            }
            if settings.is_nts_pool() {
                self.resize_pool(id).iter().for_each(|gone| self.let_go(gone));
                if let Some(lookup) = self.entries.get_mut(id).and_then(|entry| entry.lookup.as_mut()) {
                    lookup.repeat(now.raw);
                }
            }
            self.settle_entries(now, None);
        } else {
            self.entries.replace(id, settings).iter().for_each(|gone| self.let_go(gone));
            self.settle_entries(now, Some(id));
        }
        Ok(())
    }

    fn change_member(&mut self, id: EntryId, settings: &SourceSettings, now: Now) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let before = entry.group();
        // What was measured has the correction of its time.
        let shift = settings.correction.minus(entry.settings.correction).nanos();
        entry.members.iter_mut().filter(|_| shift != 0).for_each(|source| {
            source.track.shift(shift);
            source.feed.shift(shift);
        });
        if shift != 0 {
            // The mean moves by what the configuration says, and not by the clock.
            self.system.survivor_set = 0;
        }
        entry.settings = settings.clone();
        if entry.group() != before {
            self.change_group(id, now);
        }
        self.adapt(id, now);
    }

    /// Puts other settings of the clock in force. The clock is not changed until the next selection, which is made as soon as
    /// possible.
    pub fn change_clock(&mut self, now: Now, clock: &ClockSettings) {
        self.settings.clock = *clock;
        self.settle_entries(now, None);
    }

    /// How the host serves its own time from now on; none: not at all. Nothing happens where there is no server.
    pub fn change_local_time(&mut self, now: Now, local: Option<LocalTime>) {
        self.change_server(now, |server| server.local = local);
    }

    /// Whether our clients may ask in the draft of version 5 from now on. Nothing happens where there is no server.
    pub fn change_version5(&mut self, now: Now, is_served: bool) {
        self.change_server(now, |server| server.version5 = is_served);
    }

    fn change_server(&mut self, now: Now, change: impl FnOnce(&mut ServerSettings)) {
        let Some(server) = &mut self.settings.server else { return };
        change(server);
        // Told at once, whatever was told last.
        self.system.last_served = None;
        self.settle_entries(now, None);
    }

    /// Whether the replies of the source at this address count as authenticated: for a simulation that has no
    /// keys. Those of a source with NTS or a good key always do. False where there is no such source.
    pub fn set_authenticated(&mut self, address: Address, authenticated: bool) -> bool {
        let source = self.entries.all_sources_mut().find(|source| source.address() == address);
        source.map(|source| source.authenticated = authenticated).is_some()
    }

    /// The same server under other settings.
    fn adapt(&mut self, id: EntryId, now: Now) {
        let Some(Entry { settings, members, lookup, .. }) = self.entries.get_mut(id) else { return };
        members.iter_mut().for_each(|source| source.poll_process.change(settings, now.raw));
        let wanted = wanted(settings);
        if let Some(lookup) = lookup.as_mut().filter(|_| members.len() < wanted) {
            lookup.repeat(now.raw);
        }
        let mut gone = Vec::new();
        while members.len() > wanted {
            let dead = members.iter().position(|source| source.poll_process.is_dead());
            gone.push(members.remove(dead.unwrap_or(members.len() - 1)).id);
        }
        gone.into_iter().for_each(|source| self.abandon(source));
    }

    /// Abandons what is in progress for an entry that was removed.
    fn let_go(&mut self, gone: &Entry) {
        gone.members.iter().for_each(|source| self.abandon(source.id));
        if let Some(id) = gone.lookup.as_ref().and_then(|lookup| lookup.open) {
            self.abandoned.add(id);
        }
        if let Some(association) = gone.association() {
            if let Some(id) = association.schedule.open() {
                self.abandoned.add(id);
            }
            if association.session.is_some() {
                self.save_associations();
            }
        }
    }

    /// To be called after entries have changed. `new` begins.
    fn settle_entries(&mut self, now: Now, new: Option<EntryId>) {
        self.fill_pools(now);
        if self.basis.is_none() || self.distrusted {
            return;
        }
        self.pass_leap_second(now);
        for id in new.map(|id| self.entries.members_of(id)).into_iter().flatten() {
            self.begin_entry(id, &[], now);
            let follows = self.system.first_update.is_some();
            if let Some(entry) = self.entries.get_mut(id).filter(|_| follows) {
                entry.awaited_until = Some(now.raw.after(UNHEARD_TIMEOUT));
            }
        }
        for group in [Group::Deciding, Group::Observed] {
            self.end_standing_back(group, now);
        }
        // An address of the removed entry may now be used for a name.
        self.hurry_names(now.raw);
        self.system.dirty = true;
        self.act(now);
    }

    /// Whether another entry is running for the same server, or a better one has its address.
    pub(super) fn is_duplicate(&self, id: EntryId) -> bool {
        self.entries.get(id).is_some_and(|entry| {
            let is_held = |address| {
                let others = self.entries.members_before(entry.group());
                let plain = others.filter(|(owner, _)| owner.settings.nts.is_none());
                let mut holders = plain.filter(|(_, source)| source.address() == address);
                holders.any(|(owner, _)| owner.id != id && owner.rank() > entry.rank())
            };
            let stands_back = match entry.settings.place {
                Place::Address(address) => entry.settings.nts.is_none() && is_held(address),
                Place::Name(..) => false,
            };
            stands_back || self.entries.all().any(|other| is_same_server(other, entry))
        })
    }

    /// Begins an entry: it is queried, its name is looked up, or its keys are exchanged. With NTS, it begins with the keys of
    /// an earlier run, if there are any. An entry that names the same server as another one remains inactive.
    pub(super) fn begin_entry(&mut self, id: EntryId, kept: &[SavedAssociation], now: Now) {
        let is_duplicate = self.is_duplicate(id);
        let asked = self.asked_by_pool(id);
        let Some(entry) = self.entries.get_mut(id) else { return };
        if is_duplicate {
            entry.phase = Phase::Duplicate;
            return self.tell_of_entry(id, EntryNotice::Duplicate);
        }
        entry.phase = Phase::Running;
        entry.begun = Some(now.raw);
        let address = match (&mut entry.authentication, &entry.settings.place) {
            (Authentication::Nts(association), _) => {
                let is_pool = entry.settings.is_nts_pool();
                if is_pool && !entry.settings.is_shared_out() && entry.pool.is_none() {
                    entry.lookup = Some(Lookup::new(now.raw));
                }
                let left = kept.iter().filter(|saved| !asked.contains(&saved.address));
                let restored = left.into_iter().find_map(|saved| {
                    let restored = Association::restore(saved, &entry.settings, now)?;
                    Some((restored, saved))
                });
                let (begun, address, at) = match restored {
                    Some((restored, saved)) => {
                        entry.named = saved.named.filter(|_| entry.settings.is_shared_out());
                        (restored, Some(saved.address), saved.at)
                    }
                    None => (Association::new(now.raw), None, None),
                };
                **association = begun;
                if is_pool && !entry.settings.is_shared_out() {
                    // Where that is not known, keys are exchanged at the address at which the time is told.
                    entry.host = at.or(address).map(|address| at_port(address, &entry.settings.place));
                    if address.is_none() && entry.pool.is_some() {
                        entry.phase = Phase::Vacant;
                    }
                }
                address
            }
            (Authentication::Plain | Authentication::Key(_), Place::Address(address)) => {
                let address = *address;
                self.take_over(id, address);
                Some(address)
            }
            (Authentication::Plain | Authentication::Key(_), Place::Name(..)) => {
                entry.lookup = Some(Lookup::new(now.raw));
                None
            }
        };
        if let Some(address) = address {
            self.entries.add_source(id, address, now.raw);
            self.know_oneself();
        }
    }

    /// Which time servers other members of its pool ask.
    fn asked_by_pool(&self, id: EntryId) -> Vec<Address> {
        let Some(pool) = self.entries.get(id).map(Entry::configured) else { return Vec::new() };
        let others = self.entries.all_members().filter(|(owner, _)| owner.configured() == pool);
        others.map(|(_, source)| source.address()).collect()
    }

    /// An address that is written out belongs to its entry, even if a name of no higher rank resolves to it too.
    fn take_over(&mut self, id: EntryId, address: Address) {
        let Some(entry) = self.entries.get(id) else { return };
        let found = self.entries.all_members().find(|(owner, source)| {
            let is_plain = owner.settings.nts.is_none() && owner.group() == entry.group();
            is_plain && source.address() == address
        });
        if let Some((owner, source)) = found {
            let (owner, gone, by) = (owner.id, source.id, entry.settings.name.clone());
            self.drop_source(gone);
            self.tell_of_entry(owner, EntryNotice::AddressTaken(address.socket_address(), by));
        }
    }
}

/// The same address at the port of a place.
fn at_port(address: Address, place: &Place) -> Address {
    let mut socket = address.socket_address();
    socket.set_port(match place {
        Place::Name(_, port) => *port,
        Place::Address(other) => other.port(),
    });
    Address::from(socket)
}

/// Whether `running` makes another entry for the same server superfluous. Two names may resolve to some common addresses,
/// which is only known after their look-up.
fn is_same_server(running: &Entry, entry: &Entry) -> bool {
    let is_plain_name = entry.settings.nts.is_none() && matches!(entry.settings.place, Place::Name(..));
    let is_seen = entry.is_observed() || !running.is_observed();
    let is_other = running.configured() != entry.configured();
    let is_another = running.phase == Phase::Running && is_other && is_seen;
    is_another && !is_plain_name && running.settings.is_same_server(&entry.settings)
}
