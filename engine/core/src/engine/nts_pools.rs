//! Pools with NTS: each member is an entry with keys and cookies of its own.
//!
//! The name is looked up once for all of them, and each member exchanges keys at another one of its addresses, with a server whose
//! certificate names the pool. What fails costs its member alone: it goes on to an address that nobody uses, and where there is
//! none, it tries again where it is, as long as the name has that. Members for which there is no address are vacant.
//!
//! Of a pool whose key exchange server shares its clients out among time servers, all members exchange keys there, one after the other:
//! each asks not to be sent to those of the others, nor to one that was of no use.

use super::Engine;
use crate::candidates::Fault;
use crate::entries::{Entry, EntryId, Group, Phase};
use crate::io::Now;
use crate::names::usable;
use crate::need::Need;
use crate::notice::EntryNotice;
use crate::nts::KeyExchangeFailure;
use crate::source::Source;
use alloc::vec::Vec;
use core::net::IpAddr;
use ipc::address::Address;
use ipc::message::exchange::{Denied, HostName, LookupFailure};
use ipc::units::RawInstant;

/// How many time servers that were of no use a member remembers: those that it asked for before may be of use again.
const MOST_AVOIDED: usize = 4;

/// Whether a source is where a key exchange at another address said that time is served, and nothing from there has ever been proven. A
/// member that lies could name all servers that others have.
fn is_mere_word(owner: &Entry, source: &Source) -> bool {
    let is_elsewhere = owner.host.is_some_and(|host| host.ip() != source.address().ip());
    (is_elsewhere || owner.settings.is_shared_out()) && !source.poll_process.is_known()
}

/// Whether a member has no use of the address where it exchanges keys.
fn is_failing(entry: &Entry) -> bool {
    entry.association().is_some_and(|association| {
        let is_faulty = entry.members.iter().any(|source| source.fault.is_some());
        association.is_without_keys() || (association.has_failed() && is_faulty)
    })
}

impl Engine {
    /// The name of a pool has these addresses.
    pub(super) fn pool_resolved(&mut self, pool: EntryId, answer: &[Address], now: RawInstant) {
        let Some(entry) = self.entries.get(pool) else { return };
        let (group, wanted) = (entry.group(), usize::from(entry.settings.members));
        // Which addresses are this host's is what the client says.
        let offered = usable(answer, entry.settings.allow_link_local, &[]);
        let need = self.need_of(group);
        // Members that fail wait for other addresses, ever longer.
        let mut members = self.entries.all().filter(|entry| entry.configured() == pool);
        let is_lacking = members.any(|entry| entry.host.is_some() && is_failing(entry));
        let Some(entry) = self.entries.get_mut(pool) else { return };
        entry.hosts.learn(&offered, now);
        if let Some(lookup) = &mut entry.lookup {
            // A name that has fewer is looked up more often, once an hour at least.
            if offered.len() >= wanted && !is_lacking {
                lookup.succeeded(now)
            } else {
                lookup.failed(now, need)
            }
            lookup.last = offered.is_empty().then_some(LookupFailure::NoAddress);
        }
        if self.system.first_update.is_none() {
            self.unsettle(group);
        }
        if offered.is_empty() {
            self.tell_of_entry(pool, EntryNotice::NoUsableAddress);
        }
    }

    /// Gives each member of the pools of a group an address at which it is to exchange keys, as far as there are some. Says when
    /// there may be more.
    pub(super) fn give_hosts(&mut self, group: Group, now: RawInstant) -> Option<RawInstant> {
        let need = self.need_of(group);
        // What a name server says moves no member that works: its next keys come from where it is, if they do.
        let lacks = |entry: &Entry| entry.host.is_none() || is_failing(entry);
        let is_pool = |entry: &&Entry| entry.settings.is_nts_pool() && !entry.settings.is_shared_out();
        let pools = self.entries.of(group).filter(|entry| is_pool(entry) && !entry.offline);
        let lacking: Vec<EntryId> =
            pools.filter(|entry| entry.phase != Phase::Duplicate && lacks(entry)).map(|it| it.id).collect();
        let mut next: Option<RawInstant> = None;
        for id in lacking {
            if self.take_another_host(id, need, now) || self.leave_gone_host(id) {
                continue;
            }
            let Some(pool) = self.pool_of(id).and_then(|pool| self.entries.get_mut(pool)) else { continue };
            next = next.into_iter().chain(pool.hosts.next_at(now, need)).min();
            if let Some(lookup) = &mut pool.lookup {
                lookup.hurry(now, need);
            }
        }
        next
    }

    fn pool_of(&self, id: EntryId) -> Option<EntryId> {
        let entry = self.entries.get(id).filter(|entry| entry.settings.is_nts_pool())?;
        Some(entry.configured())
    }

    /// Has a member exchange keys at an address that no other one uses; false: there is none.
    fn take_another_host(&mut self, id: EntryId, need: Need, now: RawInstant) -> bool {
        let Some(host) = self.free_host(id, need, now) else { return false };
        let Some(entry) = self.entries.get_mut(id) else { return false };
        entry.host = Some(host);
        if entry.phase == Phase::Vacant {
            entry.phase = Phase::Running;
            entry.begun = Some(now);
        }
        if let Some(association) = entry.association_mut() {
            association.begin_elsewhere(now);
        }
        true
    }

    fn free_host(&self, id: EntryId, need: Need, now: RawInstant) -> Option<Address> {
        let pool = self.pool_of(id)?;
        let is_free = |address: Address| !self.is_host_used(pool, id, address.ip());
        let is_blocked = |address| self.blocked.is_blocked(address, now);
        self.entries.get(pool)?.hosts.next(now, need, false, is_free, is_blocked)
    }

    /// Whether a member of the pool exchanges keys at this address, or another one than this asks there for the time.
    fn is_host_used(&self, pool: EntryId, id: EntryId, ip: IpAddr) -> bool {
        self.entries.all().filter(|other| other.configured() == pool).any(|other| {
            let is_at = |source: &Source| source.address().ip() == ip && !is_mere_word(other, source);
            other.host.is_some_and(|host| host.ip() == ip)
                || (other.id != id && other.members.iter().any(is_at))
        })
    }

    /// Whether a member exchanges keys at an address that its pool's name no longer has.
    fn is_host_gone(&self, entry: &Entry) -> bool {
        let Some(pool) = self.entries.get(entry.configured()).filter(|pool| pool.hosts.offered() > 0) else {
            return false;
        };
        entry.host.is_some_and(|host| !pool.hosts.is_offered(host))
    }

    /// The name no longer has the address where a member exchanges keys, and others are at all that it has: that member is vacant.
    fn leave_gone_host(&mut self, id: EntryId) -> bool {
        let Some(entry) = self.entries.get(id).filter(|entry| self.is_host_gone(entry)) else { return false };
        let pool = entry.configured();
        let is_used = |address: &Address| self.is_host_used(pool, id, address.ip());
        let is_full = self.entries.get(pool).is_some_and(|first| first.hosts.all_offered(is_used));
        // The first one has what all have in common, and goes on as another of them.
        let mut others = self.entries.members_of(pool).into_iter().filter(|other| *other != pool);
        let runs = |other: &EntryId| {
            let other = self.entries.get(*other);
            other.is_some_and(|other| other.phase == Phase::Running && other.host.is_some())
        };
        let leaves = if id == pool { others.rfind(runs) } else { Some(id) };
        let Some(leaves) = leaves.filter(|_| is_full) else { return false };
        self.entries.swap(id, leaves);
        let Some(left) = self.entries.get_mut(leaves) else { return false };
        let open = left.association().and_then(|association| association.schedule.open());
        left.vacate();
        let gone: Vec<_> = left.members.iter().map(|source| source.id).collect();
        gone.into_iter().for_each(|source| self.drop_source(source));
        open.into_iter().for_each(|open| self.abandoned.add(open));
        self.save_associations();
        true
    }

    /// What a failed key exchange says of the address at which it was made.
    pub(super) fn host_failed(&mut self, id: EntryId, failure: KeyExchangeFailure, now: RawInstant) {
        self.note_of_host(id, |hosts, host| hosts.fail(host, failure.fault(), now));
    }

    /// The time server to which an address has led is of no use: the next key exchange is made at another one, if there is one.
    pub(super) fn leave_host(&mut self, id: EntryId, fault: Fault, need: Need, now: RawInstant) {
        let named = self.entries.get(id).and_then(|entry| entry.named);
        self.avoid(id, named);
        self.note_of_host(id, |hosts, host| hosts.fail(host, fault, now));
        let _ = self.take_another_host(id, need, now) || self.leave_gone_host(id);
    }

    /// The time server to which an address has led answers.
    pub(super) fn heal_host(&mut self, id: EntryId) {
        self.note_of_host(id, |hosts, host| hosts.heal(host, false));
    }

    fn note_of_host(&mut self, id: EntryId, note: impl FnOnce(&mut crate::candidates::Candidates, Address)) {
        let Some(host) = self.entries.get(id).and_then(|entry| entry.host) else { return };
        let Some(pool) = self.pool_of(id).and_then(|pool| self.entries.get_mut(pool)) else { return };
        note(&mut pool.hosts, host);
    }

    /// Whether an address is that of a source with NTS already, whatever the port, but for this entry's own.
    pub(super) fn is_asked_by_nts(&self, id: EntryId, address: Address) -> bool {
        let Some(entry) = self.entries.get(id) else { return false };
        let others = self.entries.members_before(entry.group());
        let mut others = others.filter(|(owner, _)| owner.id != id && owner.settings.nts.is_some());
        let is_own = entry.host.is_some_and(|host| host.ip() == address.ip());
        others.any(|(owner, source)| {
            if is_own && is_mere_word(owner, source) {
                return false;
            }
            let other = source.address();
            // The servers of a test have the same loopback address and different ports.
            other.ip() == address.ip() && (other.port() == address.port() || !other.ip().is_loopback())
        })
    }

    /// Which time servers the next key exchange of a member asks not to be sent to: what is or was of no use to it, and those of the
    /// others.
    pub(super) fn denied(&self, id: EntryId) -> Denied {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.settings.is_shared_out()) else {
            return Denied::NONE;
        };
        let is_silent = |source: &Source| source.fault.is_some() || source.poll_process.is_silent();
        let own = entry.named.iter().filter(|_| entry.members.iter().any(is_silent));
        let others = self.entries.all().filter(|other| other.configured() == entry.configured());
        let theirs = others.filter(|other| other.id != id).flat_map(|other| other.named.iter());
        Denied::of(own.chain(&entry.avoided).chain(theirs))
    }

    /// Whether a member of the same pool is exchanging keys: which time server it is sent to is not known yet.
    pub(super) fn is_pool_busy(&self, id: EntryId) -> bool {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.settings.is_shared_out()) else {
            return false;
        };
        let members = self.entries.all().filter(|other| other.configured() == entry.configured());
        members.filter_map(Entry::association).any(|association| association.schedule.open().is_some())
    }

    /// A key exchange has named a time server, which is used or not.
    pub(super) fn note_named(&mut self, id: EntryId, named: Option<HostName>, is_used: bool) {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.settings.is_shared_out()) else {
            return;
        };
        if is_used {
            entry.named = named;
            entry.avoided.retain(|avoided| Some(*avoided) != named);
        } else {
            self.avoid(id, named);
        }
    }

    /// A time server is of no use to a member of a pool whose key exchange server shares its clients out.
    fn avoid(&mut self, id: EntryId, named: Option<HostName>) {
        let (Some(entry), Some(named)) = (self.entries.get_mut(id), named) else { return };
        entry.avoided.retain(|avoided| *avoided != named);
        entry.avoided.insert(0, named);
        entry.avoided.truncate(MOST_AVOIDED);
    }

    /// The number of members has changed: those that go.
    pub(super) fn resize_pool(&mut self, pool: EntryId) -> Vec<Entry> {
        let Some(wanted) = self.entries.get(pool).map(|entry| usize::from(entry.settings.members)) else {
            return Vec::new();
        };
        let rank = |entry: &Entry| match entry.members.first() {
            None if entry.phase == Phase::Vacant => 0,
            None => 1,
            Some(source) if source.poll_process.is_dead() || source.fault.is_some() => 2,
            Some(_) => 3,
        };
        let mut gone = Vec::new();
        loop {
            let members = self.entries.members_of(pool);
            if members.len() <= wanted {
                break;
            }
            // The first one has what all have in common. Of equals the last one goes.
            let rest = members.iter().skip(1).rev();
            let ranked = rest.filter_map(|id| self.entries.get(*id).map(|entry| (rank(entry), *id)));
            let Some((_, id)) = ranked.min_by_key(|(rank, _)| *rank) else { break };
            gone.extend(self.entries.remove_member(id));
        }
        gone
    }

    /// Gives each pool the members that it lacks: it may have grown, or there was no room for them before.
    pub(super) fn fill_pools(&mut self, now: Now) {
        let pools = self.entries.all().filter(|entry| entry.pool.is_none() && entry.settings.is_nts_pool());
        let pools: Vec<(EntryId, Phase)> = pools.map(|entry| (entry.id, entry.phase)).collect();
        for (pool, phase) in pools.into_iter().filter(|(_, phase)| *phase != Phase::Duplicate) {
            for new in self.entries.add_members(pool) {
                // Before the welcome it begins with all others.
                if phase == Phase::Running {
                    self.begin_entry(new, &[], now);
                }
            }
        }
    }
}
