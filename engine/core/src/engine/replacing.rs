//! Which of a name's addresses are queried: each gets its turn, and one that does not answer, or whose answers are of no
//! use, is replaced by the next.
//!
//! An address that never answered is replaced as soon as its trial has ended. One that did is replaced only if it is
//! proved that the network is there, and one at a time: an outage, or one false answer of a name server, costs no source
//! that works. Where the network has just become another one, the answer of a name server there is such a proof, for
//! addresses that it lacks.

use super::Engine;
use super::lookups::wanted;
use crate::candidates::Fault;
use crate::entries::{Authentication, Entry, EntryId, Group, Phase};
use crate::io::Now;
use crate::names::may_serve;
use crate::need::Need;
use crate::notice::EntryNotice;
use crate::select::Standing;
use crate::settings::Place;
use crate::source::Source;
use crate::source_id::SourceId;
use ipc::address::Address;
use ipc::message::client::Silence;
use ipc::units::{RawInstant, Span};
use report::RejectReason;

/// Most addresses of one answer that are in use at once: a false answer brings no more.
const MOST_OF_ONE: usize = 4;

/// Between two replacements of addresses of one name that had answered.
const BETWEEN: Span = Span::from_secs(16);

/// So long a family of addresses without a way comes after the other, and so long sources that were silent in an outage
/// have to answer after it.
const BLOCKED: Span = Span::from_secs(64);

/// So long after the network may have become another one an address has to be silent that the answer there lacks.
const GONE: Span = Span::from_secs(8);

/// An address that the last answer lacks is given up if it has not answered for this time, and in four queries.
const MOVED: Span = Span::from_secs(16);

/// How long answers may be of no use: a refusal, by a source that was never usable, by one that was, and while the
/// others contradict it.
const REFUSED: Span = Span::from_secs(8);
const NEVER_USABLE: Span = Span::from_secs(32);
const NO_LONGER_USABLE: Span = Span::from_secs(1024);
const CONTRADICTED: Span = Span::from_secs(4096);

/// What is found of an address.
enum Finding {
    Well,
    /// It is found out then, or by a reply.
    Open(Option<RawInstant>),
    Faulty(Fault),
}

/// The families that have no way, as the last queries found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blocked([Option<RawInstant>; 2]);

impl Blocked {
    pub(super) fn note(&mut self, address: Address, obstacle: Silence, now: RawInstant) {
        if obstacle.is_local() || matches!(obstacle, Silence::Unreachable | Silence::Prohibited) {
            self.0[usize::from(address.ip().is_ipv6())] = Some(now);
        }
    }

    pub(super) fn clear(&mut self, address: Address) {
        self.0[usize::from(address.ip().is_ipv6())] = None;
    }

    pub(super) fn is_blocked(&self, address: Address, now: RawInstant) -> bool {
        self.0[usize::from(address.ip().is_ipv6())].is_some_and(|at| at.after(BLOCKED) > now)
    }
}

impl Engine {
    /// Replaces addresses of a group that fail, and uses as many as are wanted. True: there are others to be queried.
    pub(super) fn tend_addresses(&mut self, group: Group, now: Now) -> bool {
        if self.is_offline() {
            return false;
        }
        // A deadline that has passed stays passed, whatever this fact's reading is.
        let now = match group {
            Group::Deciding => {
                self.tended = self.tended.max(now.raw);
                Now { raw: self.tended, ..now }
            }
            Group::Observed => now,
        };
        let need = self.need_of(group);
        // An address that one entry no longer uses may be wanted by one before it.
        let rounds = 0..=self.entries.of(group).count();
        let changes = rounds.take_while(|_| self.tend_each(group, need, now));
        changes.count() > 0
    }

    fn tend_each(&mut self, group: Group, need: Need, now: Now) -> bool {
        let asked = self.entries.of(group).filter(|entry| !entry.offline);
        let ids: alloc::vec::Vec<EntryId> = asked.map(|entry| entry.id).collect();
        let mut changed = false;
        self.use_kept(group, now.raw);
        for id in ids {
            self.judge_addresses(id, need, now);
            changed |= self.replace_faulty(id, need, now.raw) | self.fill(id, need, now.raw);
            self.retire_kept(id, now.raw);
        }
        changed | self.end_standing_back(group, now)
    }

    /// Entries that stood back for another begin anew where that one is gone, or asks elsewhere.
    pub(super) fn end_standing_back(&mut self, group: Group, now: Now) -> bool {
        let all = self.entries.of(group).filter(|entry| entry.phase == Phase::Duplicate && !entry.offline);
        let ids: alloc::vec::Vec<EntryId> = all.map(|entry| entry.id).collect();
        let mut changed = false;
        for id in ids {
            if !self.is_duplicate(id) {
                self.begin_entry(id, &[], now);
                changed = true;
            }
        }
        changed
    }

    /// When [`Self::tend_addresses`] may have something to do, if no fact comes before.
    pub(super) fn addresses_due(&self, group: Group, now: RawInstant) -> Option<RawInstant> {
        if self.is_offline() {
            return None;
        }
        let now = if group == Group::Deciding { now.max(self.tended) } else { now };
        let need = self.need_of(group);
        let asked = || self.entries.of(group).filter(|entry| !entry.offline);
        let recalls = asked().filter_map(Entry::recall_due).filter(|at| *at > now);
        let ends = asked().filter_map(Entry::overlap_ends).filter(|at| *at > now);
        let mut due: Option<RawInstant> = recalls.chain(ends).min();
        for entry in asked().filter(|entry| entry.candidates.offered() > 0) {
            let ends = entry.members.iter().filter_map(|source| match self.find(entry, source, now) {
                Finding::Open(end) => end,
                Finding::Well | Finding::Faulty(_) => None,
            });
            let is_short = self.is_short(entry) || entry.members.iter().any(|source| source.fault.is_some());
            let more = entry.candidates.next_at(now, need);
            let spaced = entry.candidates.replaced.map(|at| at.after(BETWEEN));
            let answer =
                entry.members.iter().filter_map(|it| it.resolved_since).map(|at| at.after(BLOCKED)).min();
            let gone = entry.members.iter().filter_map(|it| it.fault).map(|at| at.after(GONE));
            let turn = entry.association().map(|association| association.turn_at());
            let waits = more
                .into_iter()
                .chain(spaced)
                .chain(turn)
                .chain(self.settled_at())
                .chain(answer)
                .chain(gone)
                .filter(|_| is_short);
            due = due.into_iter().chain(ends).chain(waits).filter(|at| *at > now).min();
        }
        due
    }

    /// Whether further addresses of a name are to be used.
    fn is_short(&self, entry: &Entry) -> bool {
        let of_answer = entry.members.iter().filter(|source| entry.candidates.is_offered(source.address()));
        let is_plain = entry.lookup.is_some() && entry.settings.nts.is_none();
        is_plain && entry.staying() < wanted(&entry.settings) && of_answer.count() < MOST_OF_ONE
    }

    /// What there is to say of an address of a name.
    fn find(&self, entry: &Entry, source: &Source, now: RawInstant) -> Finding {
        let polls = &source.poll_process;
        let by = |since: RawInstant, most: Span, fault| match since.after(most) <= now {
            true => Finding::Faulty(fault),
            false => Finding::Open(Some(since.after(most))),
        };
        if source.oneself {
            // Of an authenticated one it may be a lie of the client's.
            let most = if source.authenticated { NO_LONGER_USABLE } else { Span::ZERO };
            return by(source.useless_since.unwrap_or(now), most, Fault::Useless);
        }
        if !polls.is_known() {
            return match (source.obstacle, polls.first_query) {
                (Some(Silence::PortUnreachable), _) => Finding::Faulty(Fault::Silent),
                (Some(_), _) => Finding::Faulty(Fault::Unsent),
                (None, Some(first)) => by(first, entry.candidates.patience(source.address()), Fault::Silent),
                (None, None) => Finding::Open(None),
            };
        }
        let is_offered = entry.candidates.is_offered(source.address());
        let is_late = source.last_valid.is_none_or(|last| last.after(MOVED) <= now);
        if polls.is_dead() || (polls.is_silent() && is_late && !is_offered) {
            return Finding::Faulty(Fault::Silent);
        }
        let Some(since) = source.useless_since else { return Finding::Well };
        if source.authenticated && source.denies() {
            // The name's owner refuses, not somebody on the path: no other address of it is asked.
            return Finding::Open(None);
        }
        let (most, fault) = match source.unused {
            Some(RejectReason::Itself) => (Span::ZERO, Fault::Useless),
            Some(RejectReason::Kiss) if source.denies() => (REFUSED, Fault::Useless),
            Some(_) if !source.is_heard() => (NEVER_USABLE, Fault::Unready),
            Some(_) => (NO_LONGER_USABLE, Fault::Unready),
            None => (CONTRADICTED, Fault::Useless),
        };
        by(since, most, fault)
    }

    /// Notes which addresses of an entry fail, and which have come right.
    fn judge_addresses(&mut self, id: EntryId, need: Need, now: Now) {
        let agrees = self.system.impasse.is_none() && self.system.line.is_some();
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.candidates.offered() > 0) else {
            return;
        };
        for source in &mut entry.members {
            let is_refuted = source.track.standing == Some(Standing::Refuted);
            let is_outvoted = is_refuted
                || agrees
                    && matches!(source.track.standing, Some(Standing::Falseticker | Standing::Drifting));
            let is_useless = source.unused.is_some() || source.oneself || is_outvoted;
            source.useless_since = source.useless_since.or(Some(now.raw)).filter(|_| is_useless);
        }
        let Some(entry) = self.entries.get(id) else { return };
        let findings: alloc::vec::Vec<Finding> =
            entry.members.iter().map(|source| self.find(entry, source, now.raw)).collect();
        let Some(Entry { settings, members, candidates, lookup, .. }) = self.entries.get_mut(id) else {
            return;
        };
        let mut is_well = false;
        for (source, finding) in members.iter_mut().zip(findings) {
            match finding {
                Finding::Faulty(fault) if source.fault.is_none() => {
                    source.fault = Some(now.raw);
                    candidates.fail(source.address(), fault, now.raw);
                }
                Finding::Faulty(_) => {}
                Finding::Open(_) => source.fault = None,
                Finding::Well => {
                    source.fault = None;
                    let votes = source.is_heard() && !source.is_on_probation();
                    candidates.heal(source.address(), votes);
                }
            }
            is_well |= source.fault.is_none() && source.poll_process.is_known();
            source.resolved_since = source
                .fault
                .and_then(|failed| source.resolved_since.or(candidates.learned.filter(|at| *at > failed)));
            if let (Some(lookup), Some(_)) = (&mut *lookup, source.fault) {
                lookup.hurry(now.raw, need);
            }
        }
        let is_dry = members.iter().all(|source| source.fault.is_some()) && candidates.all_failed();
        let count = candidates.offered();
        // Of an NTS pool it is what became of one member.
        let is_whole = !settings.is_nts_pool();
        if is_dry && is_whole && !members.is_empty() && !core::mem::replace(&mut candidates.told, true) {
            self.tell_of_entry(id, EntryNotice::NoneAnswers(count));
        }
        if is_well {
            self.heal_host(id);
        }
    }

    /// When, after the network has come back, each source has had time to answer again.
    fn settled_at(&self) -> Option<RawInstant> {
        self.system.last_sign.map(|sign| sign.after(BLOCKED))
    }

    /// Whether another source answered while this one was silent: then it is not the network that is silent.
    fn outlasts(&self, silent: &Source, failed: RawInstant, now: RawInstant) -> bool {
        if self.settled_at().is_some_and(|at| at > now) {
            return false;
        }
        let Some(last) = silent.last_valid else { return false };
        // In an outage, the last answers of two sources are at most one of eight poll intervals apart.
        let half = Span::saturating(failed.since(last).nanos() / 2);
        self.entries.sources().any(|other| other.last_valid.is_some_and(|at| at > last.after(half)))
    }

    /// Puts other addresses in the place of those that fail.
    fn replace_faulty(&mut self, id: EntryId, need: Need, now: RawInstant) -> bool {
        let mut changed = false;
        // One that takes the place of another comes last, and the others move up.
        let members = self.entries.get(id).map(|entry| entry.members.iter().map(|source| source.id));
        let members: alloc::vec::Vec<SourceId> = members.into_iter().flatten().collect();
        for gone in members {
            let Some(entry) = self.entries.get(id) else { break };
            let Some(source) = entry.members.iter().find(|source| source.id == gone) else { continue };
            let Some(failed) = source.fault else { continue };
            let was_known = source.poll_process.is_known();
            if was_known {
                let is_there = source.oneself
                    || source.poll_process.reach & 0xf != 0
                    || self.outlasts(source, failed, now);
                let is_new = source.resolved_since.is_some_and(|at| at.after(BLOCKED) <= now);
                let moving_since = self.changes.moving_since(now).filter(|_| failed.after(GONE) <= now);
                let has_moved = !entry.candidates.is_offered(source.address())
                    && moving_since.is_some_and(|since| entry.candidates.learned >= Some(since));
                let is_early = entry.candidates.replaced.is_some_and(|last| last.after(BETWEEN) > now);
                if is_early || !(is_there || is_new || has_moved) {
                    continue;
                }
            }
            match self.pick(id, need, false, now) {
                Some(address) => {
                    self.substitute(id, gone, address, now);
                    changed = true;
                    if let Some(entry) = self.entries.get_mut(id).filter(|_| was_known) {
                        entry.candidates.replaced = Some(now);
                    }
                }
                None => {
                    // Another address of the key exchange server may lead to another time server.
                    let association = self.entries.get_mut(id).and_then(Entry::association_mut);
                    if association.is_some_and(|association| association.turn_away(now)) {
                        self.leave_host(id, Fault::Silent, need, now);
                    }
                }
            }
        }
        changed
    }

    /// Uses further addresses of a name until there are as many as wanted.
    fn fill(&mut self, id: EntryId, need: Need, now: RawInstant) -> bool {
        let mut changed = false;
        while let Some(entry) = self.entries.get(id).filter(|entry| self.is_short(entry)) {
            let Some(address) = self.pick(id, need, entry.members.is_empty(), now) else { break };
            if !self.give_way(id, address, now) {
                self.add_address(id, address, now);
            }
            changed = true;
        }
        changed
    }

    /// The address of an entry that is to be tried next; none: each is in use, or rests. `anyway`: one that rests will do.
    pub(super) fn pick(&self, id: EntryId, need: Need, anyway: bool, now: RawInstant) -> Option<Address> {
        let entry = self.entries.get(id).filter(|entry| entry.phase == Phase::Running)?;
        let is_nts = entry.settings.nts.is_some();
        let (written, link_local) = (entry.written_address(), entry.settings.allow_link_local);
        // Which addresses are this host's is what the client says: it does not choose among those of authenticated ones.
        let own = if entry.settings.is_authenticated() { &[] } else { self.own.as_slice() };
        let is_free = |address: Address| {
            // One that is in use already, here or elsewhere, would only vote twice. Whoever answers for one name must not
            // take the address of a better one away from it.
            let others =
                || self.entries.members_before(entry.group()).filter(|(_, it)| it.address() == address);
            let is_taken = match is_nts {
                true if entry.group() == Group::Observed => others().next().is_some(),
                // A key and an answer of DNS take nothing from it: at one address both are asked, and have one vote together.
                true if entry.settings.is_nts_pool() => self.is_asked_by_nts(id, address),
                true => others().any(|(owner, _)| owner.settings.nts.is_some()),
                false => {
                    others().next().is_some_and(|(owner, _)| owner.id == id || owner.rank() >= entry.rank())
                }
            };
            !is_taken && may_serve(&address, written, link_local, own)
        };
        let is_blocked = |address| self.blocked.is_blocked(address, now);
        entry.candidates.next(now, need, anyway, is_free, is_blocked)
    }

    /// The source without NTS at this address, if it belongs to a lesser entry, makes room. True: it has come over, with all that was
    /// measured: it was the only one of an entry that stands back as long, and was measured under the same key, or likewise without
    /// one. What was measured otherwise is forgotten, and what is still on its way not awaited.
    fn give_way(&mut self, id: EntryId, address: Address, now: RawInstant) -> bool {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.settings.nts.is_none()) else {
            return false;
        };
        let (by, key) = (entry.settings.name.clone(), entry.settings.key.clone());
        let of_group = self.entries.all_members().filter(|(owner, _)| owner.group() == entry.group());
        let plain = of_group.filter(|(owner, _)| owner.id != id && owner.settings.nts.is_none());
        let found = plain
            .filter(|(_, source)| source.address() == address)
            .map(|(owner, it)| (owner.id, it.id))
            .next();
        let Some((owner, gone)) = found else { return false };
        let is_written =
            self.entries.get_mut(owner).filter(|it| it.settings.place == Place::Address(address));
        let is_alike = |owner: &mut Entry| {
            owner.phase = Phase::Duplicate;
            owner.settings.key == key
        };
        let comes_over = is_written.is_some_and(is_alike);
        if comes_over {
            let source = self.entries.remove_source(gone);
            if let (Some(mut source), Some(entry)) = (source, self.entries.get_mut(id)) {
                source.poll_process.change(&entry.settings, now);
                entry.members.push(source);
            }
        } else {
            self.drop_source(gone);
        }
        self.tell_of_entry(owner, EntryNotice::AddressTaken(address.socket_address(), by));
        comes_over
    }

    /// Replaces one address of an entry by another. Keys and cookies are those of the name, whatever its address.
    fn substitute(&mut self, id: EntryId, gone: SourceId, address: Address, now: RawInstant) {
        let has_come = self.give_way(id, address, now);
        let Some(before) = self.entries.remove_source(gone) else { return };
        self.abandon(gone);
        if before.is_heard() {
            self.unsettle(self.entries.get(id).map_or(Group::Deciding, Entry::group));
        }
        let was_known = before.poll_process.is_known();
        if !has_come {
            self.add_address(id, address, now);
        }
        if let Some(newest) = self.entries.get_mut(id).and_then(|entry| entry.members.last_mut()) {
            newest.provisional = before.provisional;
        }
        let is_nts = self.entries.get(id).is_some_and(|entry| entry.settings.nts.is_some());
        if is_nts {
            self.save_associations();
        }
        if was_known {
            let (before, after) = (before.address().socket_address(), address.socket_address());
            self.tell_of_entry(id, EntryNotice::Replaced(before, after));
        }
    }

    fn add_address(&mut self, id: EntryId, address: Address, now: RawInstant) {
        let follows = self.system.first_update.is_some();
        let Some(entry) = self.entries.get(id) else { return };
        // Cookies are few.
        let is_brief = entry.candidates.failures(address) > 0 || entry.settings.nts.is_some();
        // An address that a name server gave after the start has no vote at first.
        let newcomer = follows && !entry.candidates.is_proved(address) && !entry.settings.is_authenticated();
        if let Some(newest) = self.entries.add_source(id, address, now) {
            newest.newcomer = newcomer;
            if is_brief {
                newest.poll_process.shorten_burst();
            }
        }
        self.know_oneself();
    }

    /// What kept addresses from answering may be over.
    pub(super) fn forgive_addresses(&mut self) {
        for Entry { candidates, hosts, .. } in self.entries.all_mut() {
            candidates.forgive();
            hosts.forgive();
        }
    }
}

impl Entry {
    /// The address that the configuration names for the server, if any.
    pub(super) fn written_address(&self) -> Option<core::net::IpAddr> {
        match &self.settings.place {
            Place::Address(address) => Some(address.ip()),
            // That name always denotes loopback (RFC 6761 section 6.3).
            Place::Name(name, _)
                if matches!(self.authentication, Authentication::Nts(_)) && is_localhost(name.as_str()) =>
            {
                Some(core::net::IpAddr::from([127, 0, 0, 1]))
            }
            Place::Name(..) => None,
        }
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}
