//! When sources were first heard: the times for which missing votes count begin there.
//!
//! A suspension makes all that was heard before void. From then on the votes of those that had answered are missing
//! as at a start, and time in which nobody was heard says nothing about any of them.

use super::{Engine, UNHEARD_TIMEOUT};
use crate::entries::Entry;
use crate::select::Electorate;
use crate::source::Source;
use crate::source_id::SourceId;
use ipc::units::RawInstant;

/// The first answers of voters, by their marks: authenticated or not, `trust` or not.
type First = [Option<RawInstant>; 4];

/// See the module's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Of any source, with a vote or without.
    pub(super) first: Option<RawInstant>,
    ever: First,
    /// Since the last suspension.
    again: First,
}

impl Heard {
    /// A voter with these marks has brought a usable answer. True: the first since the start, or the last suspension.
    fn note(&mut self, authenticated: bool, trust: bool, now: RawInstant) -> bool {
        let class = 2 * usize::from(authenticated) + usize::from(trust);
        self.ever[class].get_or_insert(now);
        let is_first = self.again[class].is_none();
        self.again[class].get_or_insert(now);
        is_first
    }

    /// All that was heard is void.
    pub(super) const fn forget(&mut self) {
        self.again = [None; 4];
    }

    /// Whether any voter was heard since the last suspension.
    pub(super) fn is_heard_again(&self) -> bool {
        self.again.iter().any(Option::is_some)
    }

    /// When the first of these voters was heard: since the start, or since the last suspension.
    pub(super) fn among(&self, electorate: Electorate, again: bool) -> Option<RawInstant> {
        let first = if again { self.again } else { self.ever };
        let of_voters = (0..first.len()).filter(|class| electorate.includes(class & 2 != 0, class & 1 != 0));
        of_voters.filter_map(|class| first[class]).min()
    }
}

impl Engine {
    /// Who has a vote, as things are.
    pub(super) fn electorate(&self) -> Electorate {
        let takes_part = |entry: &&Entry| entry.is_nameless() || entry.members.iter().any(Source::takes_part);
        Electorate::of(self.entries.iter().filter(takes_part).map(|entry| {
            let is_authenticated =
                entry.is_authenticated(None) || entry.members.iter().any(|source| source.authenticated);
            (is_authenticated, entry.settings.trust)
        }))
    }

    /// A source has brought a usable answer.
    pub(super) fn note_heard(&mut self, id: SourceId, now: RawInstant) {
        let found = self.entries.iter_mut().find_map(|entry| {
            let source = entry.members.iter_mut().find(|source| source.id == id && source.has_vote())?;
            (source.forgotten, entry.forgotten) = (false, false);
            Some((source.authenticated, entry.settings.trust))
        });
        if found.is_some_and(|(authenticated, trust)| self.system.heard.note(authenticated, trust, now)) {
            self.ask_the_silent(now);
        }
    }

    /// The votes that are missing are asked for, so that they are not given up while nobody asks.
    fn ask_the_silent(&mut self, now: RawInstant) {
        self.try_again(now);
        let is_silent = |source: &&mut Source| source.poll_process.is_silent() && !source.wants_fewer();
        for source in self.entries.sources_mut().filter(is_silent) {
            source.poll_process.ask_as_at_the_start(now, now);
        }
    }

    /// What was measured before is void. Those that answered, or might have if the network had been there, are missed.
    pub(super) fn forget_what_was_heard(&mut self, now: RawInstant) {
        let was_heard = self.system.heard.is_heard_again();
        // The register of one that nobody asks stands still.
        let asked = self.entries.members().filter(|(entry, _)| !entry.offline);
        let is_network = asked.map(|(_, source)| source).any(|source| source.poll_process.reach != 0);
        for entry in self.entries.all_mut() {
            entry.forgotten &= !was_heard;
            for source in &mut entry.members {
                let is_missed = source.is_heard() && (source.poll_process.reach != 0 || !is_network);
                source.forgotten = is_missed || (source.forgotten && !was_heard);
                source.forget_time(now);
            }
        }
        self.system.heard.forget();
    }

    /// When the votes that were never heard, or not since the last suspension, no longer count against a majority.
    fn unheard_ends(&self) -> [Option<RawInstant>; 2] {
        [self.system.heard.first, self.system.heard.among(self.electorate(), true)]
            .map(|first| first.map(|first| first.after(UNHEARD_TIMEOUT)))
    }

    /// The next of these moments.
    pub(super) fn unheard_until(&self, now: RawInstant) -> Option<RawInstant> {
        self.unheard_ends().into_iter().flatten().filter(|end| *end > now).min()
    }

    /// How many configured sources were never heard, or not since the last suspension, but may still answer.
    pub(super) fn unheard(&self, now: RawInstant) -> usize {
        let [never, again] = self.unheard_ends().map(|end| end.is_none_or(|end| now < end));
        if !never && !again {
            return 0;
        }
        let is_awaited = |source: &&Source| {
            !source.is_left_out() && (never && !source.is_heard() || again && source.forgotten)
        };
        let is_nameless = |entry: &&Entry| entry.is_nameless() && (never || again && entry.forgotten);
        self.entries.sources().filter(is_awaited).count() + self.entries.iter().filter(is_nameless).count()
    }
}
