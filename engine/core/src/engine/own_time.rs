//! The host's own time, which is served where no source is followed: from when on, and of several such hosts which one leads.
//!
//! Hosts that ask each other and have lost all others would each serve a clock of their own. As orphans they agree on one: a
//! source whose stratum is that of the own time has no better time, and has no vote. Where this host serves its own time, it
//! follows the one of them with the smallest reference id, if that is smaller than its own; the smallest of all finds none, and
//! leads. As all others then have a higher stratum, nobody follows a follower.

use super::Engine;
use crate::entries::Entry;
use crate::io::Now;
use crate::settings::LocalTime;
use crate::source::Source;
use crate::source_id::SourceId;
use ipc::units::{RawInstant, Span};
use protocol::reference_id::of_address;

/// While no source answers, the distance is looked at so often.
const LOOKED_AT: Span = Span::from_secs(16);

/// What is known of the own time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct OwnTime {
    /// The clock was known as well as is demanded before its time is served.
    activated: bool,
    /// When it was synchronised last, to sources that are no orphans.
    synchronised: Option<RawInstant>,
    /// An orphan was followed last.
    follows: bool,
    /// It was served at the last look.
    is_served: bool,
}

impl Engine {
    /// What the configuration says; none: it is not served.
    pub(super) fn local_time(&self) -> Option<LocalTime> {
        self.settings.server.as_ref().and_then(|server| server.local)
    }

    /// Whether a source has no time but its own, or that of another orphan.
    pub(super) fn is_orphan(&self, source: &Source) -> bool {
        let stratum = self.local_time().filter(|local| local.orphan).map(|local| local.stratum);
        stratum.zip(source.facts).is_some_and(|(own, facts)| facts.stratum >= own)
    }

    /// From when on it may be served; none: not before the clock was known well enough.
    fn own_time_begins(&self) -> Option<RawInstant> {
        let (local, basis) = (self.local_time()?, self.basis.as_ref()?);
        let own = &self.system.own_time;
        if local.activate.is_some() && !own.activated {
            return None;
        }
        Some(match own.synchronised {
            Some(last) => last.after(local.wait_synchronised),
            None => basis.at.after(local.wait_unsynchronised),
        })
    }

    /// At which stratum it may be served now; none: it may not.
    pub(super) fn own_stratum(&self, now: Now) -> Option<u8> {
        self.own_time_begins().filter(|begin| *begin <= now.raw)?;
        self.local_time().map(|local| local.stratum)
    }

    /// Whether the time of sources is served: the clock is synchronised to them, and known well enough. That of an orphan only while
    /// it answers: how well it was known says nothing of true time.
    pub(super) fn is_of_sources(&self, now: Now) -> bool {
        let is_lost = self.system.own_time.follows && self.system.impasse.is_some();
        let distance =
            self.local_time().and_then(|local| local.distance).filter(|_| self.own_stratum(now).is_some());
        let is_near = distance.is_none_or(|most| self.most_error(now) <= most.nanos() as f64 * 1e-9);
        self.is_at_its_line(now) && !is_lost && is_near
    }

    /// At which stratum the own time is served to a fleet of orphans: no other source answers, and none of them is followed.
    pub(super) fn leads(&self, now: Now) -> Option<u8> {
        self.local_time().filter(|local| local.orphan)?;
        let stratum = self.own_stratum(now).filter(|_| !self.is_of_sources(now))?;
        self.own_error(now)?;
        self.is_among_orphans().then_some(stratum)
    }

    /// To be called with each turn. True: a selection may have another outcome.
    pub(super) fn note_own_time(&mut self, now: Now) -> bool {
        let Some(local) = self.local_time() else { return false };
        if self.is_synchronised(now) && self.system.impasse.is_none() {
            let most = self.most_error(now);
            let own = &mut self.system.own_time;
            own.synchronised = Some(now.raw);
            own.activated |= local.activate.is_none_or(|least| most < least.nanos() as f64 * 1e-9);
        }
        let is_served = self.own_stratum(now).is_some() && !self.is_of_sources(now);
        core::mem::replace(&mut self.system.own_time.is_served, is_served) != is_served && local.orphan
    }

    /// When the next look is due, if nothing else happens before.
    pub(super) fn own_time_due(&self, now: Now) -> Option<RawInstant> {
        let local = self.local_time()?;
        let begins = self.own_time_begins().filter(|begin| *begin > now.raw && !self.is_of_sources(now));
        let is_open = local.distance.is_some() && self.system.line.is_some() && self.is_of_sources(now);
        let is_silent = || !self.entries.sources().any(Source::is_live);
        let look = (is_open && is_silent()).then(|| now.raw.after(LOOKED_AT));
        begins.into_iter().chain(look).min()
    }

    /// Whether no source answers that could have real time.
    fn is_among_orphans(&self) -> bool {
        let mut live = self.entries.sources().filter(|source| source.is_live());
        live.all(|source| self.is_orphan(source))
    }

    /// The orphan to be followed, if no other source can be, nor answers. It needs no majority, so only sources are eligible that
    /// the configuration itself names, and that may decide beside those which are authenticated or trusted: whoever keeps the
    /// replies of these away is not to be followed instead.
    pub(super) fn leader(&self, now: Now) -> Option<SourceId> {
        let local = self.local_time().filter(|local| local.orphan)?;
        if !(self.system.own_time.follows || (self.own_stratum(now).is_some() && !self.is_of_sources(now)))
            || !self.is_among_orphans()
        {
            return None;
        }
        let electorate = self.electorate();
        let is_eligible = |entry: &Entry, source: &Source| {
            let settings = &entry.settings;
            let is_named = settings.members == 1 && !settings.offered;
            is_named && electorate.includes(entry.is_authenticated(Some(source)), settings.trust)
        };
        let may_lead = |(entry, source): &(&Entry, &Source)| {
            let stratum = source.facts.map(|facts| facts.stratum);
            let answers = source.is_live() && source.has_vote() && !self.is_excused(entry);
            stratum == Some(local.stratum) && answers && is_eligible(entry, source)
        };
        let ids = self.entries.members().filter(may_lead).filter_map(|(_, source)| {
            let (own, its) = (source.last_reply?.local?, of_address(source.address().ip()));
            (its < of_address(own)).then_some((its, source.id))
        });
        ids.min_by_key(|(id, _)| *id).map(|(_, source)| source)
    }

    /// Whether an orphan was followed last: nothing is known of true time then, however well the orphan's is known.
    pub(super) const fn follows_orphan(&self) -> bool {
        self.system.own_time.follows
    }

    /// Whether the selection has followed an orphan.
    pub(super) fn note_leader(&mut self, follows: bool) {
        self.system.own_time.follows = follows;
    }
}
