//! The missing votes of configured sources: how long each counts against those that answer.
//!
//! A vote that is missing may be that of a server that was switched off years ago, or that of an honest one whose packets
//! somebody drops so that fewer than half of the configured sources decide. What tells them apart is little: a reason
//! (its port is closed, its name does not exist), and time. So such a vote counts fully at first, then not against two
//! that agree, and at last not at all; that of an authenticated source needs no second one, since those that answer are
//! authenticated too ([`crate::select::electorate`]). Nothing else is waived: `minimum-sources`, `require` and
//! `require-nts` hold for ever, and plain sources never stand in for authenticated ones.

use super::{Engine, UNHEARD_TIMEOUT};
use crate::entries::Entry;
use crate::io::Now;
use crate::names::Lookup;
use crate::need::Reached;
use crate::notice::{KeyExchangeFailure, Missing};
use crate::nts::Association;
use crate::select::{Absence, Electorate};
use crate::source::Source;
use ipc::message::exchange::LookupFailure;
use ipc::units::{RawInstant, Span};

/// Silence without a reason: after this time it no longer counts against two plain ones that agree. A slow
/// name server has answered by then, and a network that came up in parts is whole.
const SILENT: Span = Span::from_secs(16);

/// After this time not against a single plain one either, where it is silent without a reason, nor against authenticated ones.
const ALONE: Span = Span::from_secs(60);

/// In the strict profile: after this time it no longer counts against authenticated ones.
const STRICT: Span = Span::from_secs(600);

/// The moments from which a missing vote is doubted, and excused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moments {
    doubted: RawInstant,
    excused: RawInstant,
}

impl Engine {
    /// How much the vote counts of an entry, or of one of its sources, that has no opinion.
    pub(super) fn absence(
        &self,
        entry: &Entry,
        source: Option<&Source>,
        electorate: Electorate,
        now: RawInstant,
    ) -> Absence {
        if self.is_excused(entry) {
            return Absence::Excused;
        }
        match self.moments(entry, source, electorate) {
            Some(moments) if was_tried(entry, source) => match now {
                now if now >= moments.excused => Absence::Excused,
                now if now >= moments.doubted => Absence::Doubted,
                _ => Absence::Counted,
            },
            _ => Absence::Counted,
        }
    }

    /// None: it counts for ever.
    fn moments(&self, entry: &Entry, source: Option<&Source>, electorate: Electorate) -> Option<Moments> {
        let is_authenticated = entry.is_authenticated(source);
        // That it is this host is what the client says, which must not excuse the votes against it.
        if is_authenticated && source.is_some_and(|it| it.oneself) {
            return None;
        }
        let (doubted, excused) =
            match (self.settings.strict_quorum, is_authenticated, has_reason(entry, source)) {
                (true, false, _) => return None,
                (true, true, _) => (STRICT, STRICT),
                (false, _, true) => (UNHEARD_TIMEOUT, UNHEARD_TIMEOUT),
                // Its key exchange may have to be repeated first, after 15 s at the earliest.
                (false, true, false) => (ALONE, ALONE),
                (false, false, false) => (SILENT, ALONE),
            };
        let is_forgotten = source.map_or(entry.forgotten, |source| source.forgotten);
        let heard = self.system.heard.among(electorate, is_forgotten)?;
        let since = [entry.begun, entry.asked].into_iter().flatten().fold(heard, Ord::max);
        Some(Moments { doubted: since.after(doubted), excused: since.after(excused) })
    }

    /// The entries and sources without an opinion that take part in the selection, with their marks.
    fn absent(&self, now: Now) -> impl Iterator<Item = (&Entry, Option<&Source>)> {
        let without = move |source: &Source| !source.has_vote() || source.opinion(now).is_none();
        let sources = self.entries.members().filter(|(_, source)| source.takes_part());
        let silent = sources.filter(move |(_, source)| without(source));
        let nameless = self.entries.iter().filter(|entry| entry.is_nameless()).map(|entry| (entry, None));
        let all = silent.map(|(entry, source)| (entry, Some(source))).chain(nameless);
        all.filter(|(entry, _)| !self.is_excused(entry))
    }

    /// How many missing votes are doubted, and excused.
    pub(super) fn absences(&self, now: Now) -> (usize, usize) {
        let electorate = self.electorate();
        self.absent(now).fold((0, 0), |(doubted, excused), (entry, source)| {
            match self.absence(entry, source, electorate, now.raw) {
                Absence::Counted => (doubted, excused),
                Absence::Doubted => (doubted + 1, excused),
                Absence::Excused => (doubted, excused + 1),
            }
        })
    }

    /// When the next missing vote will count for less, if nothing else happens.
    pub(super) fn absences_change(&self, now: Now) -> Option<RawInstant> {
        let electorate = self.electorate();
        self.absent(now)
            .filter(|(entry, source)| was_tried(entry, *source))
            .filter_map(|(entry, source)| self.moments(entry, source, electorate))
            .flat_map(|moments| [moments.doubted, moments.excused])
            .filter(|moment| *moment > now.raw)
            .min()
    }

    /// The votes, and how long the missing ones count at most.
    pub(super) fn missing(&self, now: Now) -> Missing {
        let voters = self.voters(now);
        let electorate = Electorate::of(voters.iter().map(|voter| (voter.authenticated, voter.trust)));
        let votes = voters.iter().filter(|voter| electorate.includes(voter.authenticated, voter.trust));
        let heard = votes.clone().filter(|voter| voter.opinion.is_some()).count();
        let absent = votes.count() - heard;
        let moments = self.absent(now).filter(|(entry, source)| {
            electorate.includes(entry.is_authenticated(*source), entry.settings.trust)
        });
        let all = self.electorate();
        // None is the least: one that counts for ever decides.
        let ends: Option<alloc::vec::Vec<Moments>> =
            moments.map(|(entry, source)| self.moments(entry, source, all)).collect();
        let end = ends
            .filter(|_| heard > 0)
            .and_then(|ends| ends.iter().map(|it| if heard > 1 { it.doubted } else { it.excused }).max());
        let left = end.map(|end| Span::saturating(end.since(now.raw).nanos().max(0)));
        Missing { heard, absent, left, strict: self.settings.strict_quorum }
    }
}

/// Whether its answer was asked for often enough that its silence says something.
fn was_tried(entry: &Entry, source: Option<&Source>) -> bool {
    match (source, entry.association()) {
        (Some(source), _) => {
            source.provisional
                || source.brings_no_time()
                || source.poll_process.is_silent()
                || has_obstacle(source)
                || entry.candidates.failures(source.address()) > 0
        }
        (None, Some(_)) if entry.is_hostless() => entry.lookup.as_ref().is_none_or(Lookup::has_ended),
        (None, Some(association)) => association.schedule.was_tried(),
        (None, None) => entry.lookup.as_ref().is_none_or(Lookup::has_ended),
    }
}

/// Whether more is known of it than that it is silent.
fn has_reason(entry: &Entry, source: Option<&Source>) -> bool {
    let of_name = |failure| matches!(failure, LookupFailure::NoSuchName | LookupFailure::NoAddress);
    let of_keys = |association: &Association| match association.last.and_then(Result::err) {
        Some(failure) => {
            failure.reached() == Reached::Server
                || failure.of_name().is_some_and(of_name)
                || is_routeless(failure)
        }
        None => false,
    };
    match (source, entry.association()) {
        (Some(source), _) => source.brings_no_time() || has_obstacle(source),
        (None, Some(association)) if !entry.is_hostless() => of_keys(association),
        (None, _) => entry.lookup.as_ref().and_then(|lookup| lookup.last).is_some_and(of_name),
    }
}

fn has_obstacle(source: &Source) -> bool {
    use ipc::message::client::Silence;
    matches!(source.obstacle, Some(Silence::PortUnreachable | Silence::Unreachable | Silence::Prohibited))
}

fn is_routeless(failure: KeyExchangeFailure) -> bool {
    use ipc::message::exchange::ExchangeFailure as Why;
    let KeyExchangeFailure::Failed(why) = failure else { return false };
    matches!(why, Why::Unreachable | Why::NoInterface | Why::NoOwnAddress)
}
