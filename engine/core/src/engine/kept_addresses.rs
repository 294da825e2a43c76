//! The addresses of names that worked in an earlier run: they are used while a name is not resolved.
//!
//! They come from a file and are believed no more than an answer of a name server: only for names that are configured, no more
//! of them, and with the same tests. An answer takes their place as soon as its addresses work, and whatever becomes of them,
//! an address that it lacks is gone some time after one of them has a vote. An address that was right once may be another
//! one's now: where such an address contradicts the answer it has no vote, beside the answer it counts for nothing more, and
//! a look-up that is under way is waited for before such addresses alone set the clock.

use super::Engine;
use super::lookups::wanted;
use crate::entries::{Entry, EntryId, Group, Recall};
use crate::io::{KeptAddresses, Now};
use crate::names::usable;
use crate::notice::EntryNotice;
use crate::select::{Claim, Electorate, Standing};
use crate::settings::Place;
use crate::source::Source;
use crate::source_id::SourceId;
use alloc::vec::Vec;
use core::net::SocketAddr;
use ipc::units::{RawInstant, Span};

/// A name server that answers at all does so within this time as a rule.
const LATE: Span = Span::from_secs(1);

/// So long after the first reply of a source, addresses of an earlier run alone do not set the clock at the start while their
/// name is being looked up, or the addresses of the answer have not replied. One whose name server is there
/// ends sooner, even if it answers for one family of addresses only.
const ANSWER_AWAITED: Span = Span::from_secs(16);

/// So long after an address of the answer has got a vote, those that the answer lacks leave at the latest.
const OVERLAP: Span = Span::from_secs(64);

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

    /// When the addresses that the answer lacks leave at the latest, if one of the answer remains live.
    pub(super) fn overlap_ends(&self) -> Option<RawInstant> {
        let since = self.kept.succeeded_since.filter(|_| self.kept.stage == Recall::Leaving)?;
        Some(since.after(OVERLAP))
    }

    /// Whether a source of this entry is used only until another address works.
    pub(super) fn is_leaving(&self, source: &Source) -> bool {
        self.kept.stage == Recall::Leaving && !self.candidates.is_offered(source.address())
    }

    /// Whether a source is about to leave and contradicts each address of the answer that has a vote.
    pub(super) fn is_superseded(&self, source: &Source, now: Now) -> bool {
        if !self.is_leaving(source) {
            return false;
        }
        let Some(own) = source.opinion(now) else { return false };
        let staying = self.members.iter().filter(|other| !self.is_leaving(other) && has_vote(other));
        let mut claims = staying.filter_map(|other| other.opinion(now)).map(|opinion| opinion.claim);
        let contradicts = |claim: Claim| claim.high < own.claim.low || claim.low > own.claim.high;
        claims.clone().next().is_some() && claims.all(contradicts)
    }

    /// How many of its sources are not about to leave.
    pub(super) fn staying(&self) -> usize {
        self.members.iter().filter(|source| !self.is_leaving(source)).count()
    }
}

/// Whether it has a vote, or would have one if it answered.
fn has_vote(source: &Source) -> bool {
    source.is_heard() && !source.oneself && !source.is_on_probation()
}

/// Whether it has a vote and answers.
fn stands_in(source: &Source) -> bool {
    source.is_live() && has_vote(source)
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
        self.entries.all().filter_map(|entry| entry.kept.known.clone()).collect()
    }

    /// Notes which addresses of names work.
    pub(super) fn remember_addresses(&mut self, now: Now) {
        for entry in self.entries.iter_mut() {
            let Place::Name(name, _) = &entry.settings.place else { continue };
            // Those that no name server has confirmed in this run keep their age.
            if entry.lookup.is_none() || entry.settings.nts.is_some() || entry.is_recalling() {
                continue;
            }
            let is_kept = |source: &&Source| {
                // The number of an interface may be another one's after a boot.
                let is_scoped = source.address().scope() != 0;
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
        // Of an NTS pool keys and cookies are kept.
        let is_plain = |entry: &&mut Entry| entry.lookup.is_some() && entry.settings.nts.is_none();
        let Some(entry) = self.entries.get_mut(id).filter(is_plain) else { return };
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
    pub(super) fn use_kept(&mut self, group: Group, now: RawInstant) {
        let is_due = |entry: &&mut Entry| entry.recall_due().is_some_and(|at| at <= now);
        let mut used = Vec::new();
        for entry in self.entries.of_mut(group).filter(is_due) {
            let known = entry.kept.known.as_ref().map(|known| known.addresses.as_slice()).unwrap_or_default();
            let mut addresses = usable(known, entry.settings.allow_link_local, &self.own);
            addresses.retain(|address| entry.settings.families.admits(address.ip()));
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

    /// Until when the first step is not made, because no more is known than what addresses of an earlier run say; none: it
    /// may be made.
    pub(super) fn answer_awaited(&self, now: RawInstant) -> Option<RawInstant> {
        let until = self.system.heard.first?.after(ANSWER_AWAITED);
        if self.system.first_update.is_some() || until <= now {
            return None;
        }
        let mark = |(entry, source): (&Entry, &Source)| (source.authenticated, entry.settings.trust);
        let marks: Vec<(bool, bool)> = self.entries.members().map(mark).collect();
        let electorate = Electorate::of(marks.into_iter());
        let is_awaited = |entry: &Entry, source: &Source| match entry.kept.stage {
            Recall::InUse => entry.lookup.as_ref().is_some_and(|lookup| !lookup.was_answered()),
            Recall::Leaving => entry.is_leaving(source),
            Recall::Waiting | Recall::Over => false,
        };
        let mut followed = self.entries.members().filter(|(entry, source)| {
            source.track.survives() && electorate.includes(source.authenticated, entry.settings.trust)
        });
        followed.all(|(entry, source)| is_awaited(entry, source)).then_some(until)
    }

    /// Drops addresses of an earlier run for which others of the answer work, and in time whatever these say.
    pub(super) fn retire_kept(&mut self, id: EntryId, now: RawInstant) {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.kept.stage == Recall::Leaving) else {
            return;
        };
        let group = entry.group();
        let stays = |is_one: fn(&Source) -> bool| -> Vec<SocketAddr> {
            let staying = entry.members.iter().filter(|source| !entry.is_leaving(source) && is_one(source));
            staying.map(|source| source.address().socket_address()).collect()
        };
        let (live, working) = (stays(stands_in), stays(works));
        let since = entry.kept.succeeded_since.or(Some(now)).filter(|_| !live.is_empty());
        entry.kept.succeeded_since = since;
        let is_over = since.is_some_and(|since| since.after(OVERLAP) <= now);
        let leaving: Vec<(SourceId, SocketAddr)> = entry
            .members
            .iter()
            .filter(|source| entry.is_leaving(source))
            .map(|source| (source.id, source.address().socket_address()))
            .collect();
        let room = if is_over { 0 } else { wanted(&entry.settings).saturating_sub(working.len()) };
        let stays = if is_over { live } else { working };
        let gone = leaving.len().saturating_sub(room);
        for ((source, before), by) in leaving.iter().zip(stays.iter().cycle()).take(gone) {
            self.drop_source(*source);
            self.unsettle(group);
            self.tell_of_entry(id, EntryNotice::Replaced(*before, *by));
        }
        if let Some(entry) = self.entries.get_mut(id).filter(|_| gone == leaving.len()) {
            entry.kept.stage = Recall::Over;
        }
    }
}
