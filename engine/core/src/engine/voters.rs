//! Who takes part in a selection.

use super::Engine;
use super::lookups::wanted;
use crate::entries::Entry;
use crate::independence::Seat;
use crate::io::Now;
use crate::source::Source;
use crate::system::{Finding, Voter, find};
use alloc::vec::Vec;

impl Engine {
    /// Selects. Where no source can be followed, and this host would serve its own time, that may be another orphan.
    pub(super) fn find_line(&mut self, awaits_unheard: bool, now: Now) -> Finding {
        let finding = find(&self.voters(now), self.rules(awaits_unheard), now);
        if finding.line.is_ok() {
            self.note_leader(false);
            return finding;
        }
        let Some(leader) = self.leader(now) else { return finding };
        let mut voters = self.voters_among(now, |source| source.id == leader);
        voters.retain(|voter| voter.source == Some(leader));
        let followed = find(&voters, self.rules(false), now);
        if followed.line.is_err() {
            return finding;
        }
        self.note_leader(true);
        // It does not know either whether a leap second comes.
        let verdicts = finding.verdicts.into_iter().chain(followed.verdicts).collect();
        Finding { verdicts, announced: Vec::new(), ..followed }
    }

    /// All sources with a vote, and the entries whose vote is missing.
    pub(super) fn voters(&self, now: Now) -> Vec<Voter<'_>> {
        self.voters_among(now, |source| !self.is_orphan(source))
    }

    /// The same of those sources that `votes` names.
    fn voters_among<'a>(&'a self, now: Now, votes: impl Fn(&Source) -> bool) -> Vec<Voter<'a>> {
        let (electorate, signed) = (self.electorate(), self.signed_offsets(now));
        let voter = |entry: &'a Entry, source: Option<&'a Source>| Voter {
            source: source.map(|source| source.id),
            identity: entry.identify(source),
            seat: Seat {
                entry: entry.id.number(),
                seats: wanted(&entry.settings),
                leaving: source.is_some_and(|source| entry.is_leaving(source)),
            },
            opinion: source
                .filter(|source| source.has_vote() && !self.is_excused(entry))
                .and_then(|source| source.opinion(now)),
            absence: self.absence(entry, source, electorate, now.raw),
            authenticated: entry.is_authenticated(source),
            keyed: entry.settings.key.is_some(),
            kin: self.kin_of(entry),
            prefer: entry.settings.prefer,
            trust: entry.settings.trust,
            require: entry.settings.require,
            min_stratum: entry.settings.min_stratum,
            survived: source.is_some_and(|source| source.track.survives()),
            is_aside: source.is_some_and(|source| source.track.is_aside()),
            strays: source.map_or(0, |source| source.track.strays),
            signed,
            interval: source.map_or(f64::INFINITY, |source| source.poll_process.poll.interval()),
        };
        let known = self.entries.members().filter(|(_, source)| source.takes_part() && votes(source));
        let known = known.filter(|(entry, source)| !entry.is_superseded(source, now));
        let nameless = self.entries.iter().filter(|entry| entry.is_nameless()).map(|entry| (entry, None));
        known
            .map(|(entry, source)| (entry, Some(source)))
            .chain(nameless)
            .map(|(entry, source)| (entry, voter(entry, source)))
            // Sources that decide whether others have a vote are never left out, however new.
            .filter(|(entry, voter)| {
                let rules = voter.authenticated || voter.trust;
                voter.opinion.is_some() || rules || !(entry.awaited_until.is_some() || self.is_excused(entry))
            })
            .map(|(_, voter)| voter)
            .collect()
    }
}
