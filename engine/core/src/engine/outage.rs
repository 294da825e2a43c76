//! Events while no source can be followed: none answers, or no majority agrees.
//!
//! A host whose firewall drops every reply looks like one that is starting. Therefore an event after a minute reports what
//! was queried and with which result. It is repeated at increasing intervals for as long as the outage lasts, and the end
//! of the outage is reported once.

use super::Engine;
use crate::io::Now;
use crate::notice::{EntryCounts, Missing, NoSelection, Notice, SourceNotice, SystemNotice};
use crate::select::Impasse;
use ipc::units::{RawInstant, Span};

/// When an outage is reported, counted from its beginning; after the last of these, once a day.
const MOMENTS: [Span; 4] =
    [Span::from_secs(60), Span::from_secs(600), Span::from_secs(3_600), Span::from_secs(6 * 3_600)];

const DAY: Span = Span::from_secs(86_400);

/// A period in which no source can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    kind: Kind,
    since: RawInstant,
    /// How many of the moments have passed.
    passed: u32,
    /// Whether it was reported.
    told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No source was ever heard.
    Silence,
    /// Sources were heard, but now there is no majority, or none of its members answers.
    Impasse,
}

impl Outage {
    fn due(&self) -> RawInstant {
        let after = match MOMENTS.get(self.passed as usize) {
            Some(moment) => *moment,
            None => {
                let days = i64::from(self.passed).saturating_sub(MOMENTS.len() as i64 - 1);
                Span::saturating(DAY.nanos().saturating_mul(days))
            }
        };
        self.since.after(after)
    }
}

impl Engine {
    /// The kind of outage; none: a source is followed.
    fn kind_of_outage(&self) -> Option<Kind> {
        if self.offline || self.entries.is_empty() || self.basis.is_none() {
            return None;
        }
        let heard = self.entries.sources().any(|source| source.is_heard());
        let is_stuck = self.system.impasse.is_some() && !self.system.counted_unheard;
        match heard {
            false if self.system.heard.first.is_none() => Some(Kind::Silence),
            _ => is_stuck.then_some(Kind::Impasse),
        }
    }

    /// Reports an outage if it is due, and returns when the next report is due.
    pub(super) fn report_outage(&mut self, now: Now) -> Option<RawInstant> {
        let kind = self.kind_of_outage();
        let before = self.system.outage.filter(|outage| Some(outage.kind) == kind);
        if let Some(over) = self.system.outage.filter(|outage| outage.told && Some(outage.kind) != kind) {
            self.tell_end(over, now);
        }
        self.system.outage = before.or_else(|| {
            // The beginning of an impasse is reported by the selection that finds it.
            kind.map(|kind| Outage {
                kind,
                since: now.raw,
                passed: u32::from(kind == Kind::Impasse),
                told: false,
            })
        });
        let mut outage = self.system.outage?;
        if outage.due() > now.raw {
            return Some(outage.due());
        }
        while outage.due() <= now.raw {
            outage.passed = outage.passed.saturating_add(1);
        }
        outage.told = true;
        self.system.outage = Some(outage);
        let age = length(outage.since, now);
        let news = match (outage.kind, self.system.impasse) {
            (Kind::Impasse, Some(impasse)) => {
                self.system.impasse_told = true;
                SystemNotice::StillNoSelection(age, self.no_selection(impasse, now))
            }
            _ => SystemNotice::NoReplies(age, self.entry_counts()),
        };
        self.tell(Notice::System(news));
        Some(outage.due())
    }

    fn tell_end(&mut self, over: Outage, now: Now) {
        let first = self.entries.members().find(|(_, source)| source.is_heard());
        if let (Kind::Silence, Some((entry, first))) = (over.kind, first) {
            let (name, address) = (entry.settings.name.clone(), first.address().socket_address());
            let news = SourceNotice::FirstHeard(length(over.since, now));
            self.tell(Notice::Source(name, address, news));
        }
    }

    /// Why no source can be followed.
    pub(super) fn no_selection(&self, impasse: Impasse, now: Now) -> NoSelection {
        let missing = match impasse {
            Impasse::NoQuorum => self.missing(now),
            _ => Missing::default(),
        };
        let answered = impasse == Impasse::Silent
            && self.entries.sources().any(|source| source.poll_process.brings_replies());
        NoSelection {
            impasse,
            minimum: self.settings.clock.minimum_sources,
            of: self.entries.len(),
            missing,
            answered,
        }
    }

    /// The configured sources, counted by what has become of them.
    pub(super) fn entry_counts(&self) -> EntryCounts {
        let mut all = EntryCounts { of: self.entries.len(), ..EntryCounts::default() };
        for entry in self.entries.iter() {
            let (members, association) = (&entry.members, entry.association());
            let failure = association.and_then(|association| association.last?.err());
            if members.iter().any(|source| source.counters.sent > 0) {
                all.queried += 1;
                let obstacle = members.iter().find_map(|source| source.obstacle);
                all.obstacle = all.obstacle.or(obstacle);
                all.obstructed += usize::from(obstacle.is_some() && obstacle == all.obstacle);
                all.unusable += usize::from(members.iter().any(crate::source::Source::brings_no_time));
            } else if let Some(why) = failure.and_then(crate::nts::KeyExchangeFailure::of_name) {
                all.unresolved += 1;
                all.why = all.why.or(Some(why));
            } else if association.is_some() && !entry.is_hostless() {
                all.keyless += 1;
            } else if let Some(lookup) = entry.lookup.as_ref().filter(|_| members.is_empty()) {
                all.unresolved += 1;
                all.why = all.why.or(lookup.last);
            }
        }
        all
    }
}

fn length(since: RawInstant, now: Now) -> Span {
    Span::saturating(now.raw.since(since).nanos())
}
