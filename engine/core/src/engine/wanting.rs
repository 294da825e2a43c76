//! What is said while there is nobody to follow: no source that answers, or no majority of them.
//!
//! A host whose firewall drops every reply looks like one that is starting. So it is said after a minute what was asked,
//! what came of it and what to look at, and again ever more seldom, for as long as it lasts; and once when it is over.

use super::Engine;
use crate::io::Now;
use crate::select::Impasse;
use alloc::format;
use alloc::string::String;
use ipc::message::exchange::LookupFailure;
use ipc::units::{RawInstant, Span};

/// When it is said, counted from when it began; after the last of these, once a day.
const MOMENTS: [Span; 4] =
    [Span::from_secs(60), Span::from_secs(600), Span::from_secs(3_600), Span::from_secs(6 * 3_600)];

const DAY: Span = Span::from_secs(86_400);

/// Nobody to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    kind: Kind,
    since: RawInstant,
    /// How many of the moments are over.
    passed: u32,
    /// Whether anything was said of it.
    told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// No source was ever heard.
    Silence,
    /// They were heard, and now there is no majority, or nobody of it answers.
    Impasse,
}

/// The entries of the configuration, by what has become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) of: usize,
    /// A query was sent.
    pub(super) asked: usize,
    /// Of those: a reply came that can't be used.
    pub(super) unusable: usize,
    /// Their names have no address.
    pub(super) unresolved: usize,
    /// Why, of the first of them that was told.
    pub(super) why: Option<LookupFailure>,
    /// They have no keys, for other reasons.
    pub(super) keyless: usize,
}

impl Want {
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
    /// Whether there is nobody to follow, and since when it is so.
    fn kind_of_want(&self) -> Option<Kind> {
        if self.offline || self.entries.is_empty() || self.basis.is_none() {
            return None;
        }
        let heard = self.entries.sources().any(|source| source.is_heard());
        let is_stuck = self.system.impasse.is_some() && !self.system.counted_unheard;
        match heard {
            false if self.system.first_heard.is_none() => Some(Kind::Silence),
            _ => is_stuck.then_some(Kind::Impasse),
        }
    }

    /// Says so where it is time to; says when that is next.
    pub(super) fn complain_of_want(&mut self, now: Now) -> Option<RawInstant> {
        let kind = self.kind_of_want();
        let before = self.system.want.filter(|want| Some(want.kind) == kind);
        if let Some(over) = self.system.want.filter(|want| want.told && Some(want.kind) != kind) {
            self.tell_end(over, now);
        }
        self.system.want = before.or_else(|| {
            // An impasse is told when it begins, by whoever finds it.
            kind.map(|kind| Want {
                kind,
                since: now.raw,
                passed: u32::from(kind == Kind::Impasse),
                told: false,
            })
        });
        let mut want = self.system.want?;
        if want.due() > now.raw {
            return Some(want.due());
        }
        while want.due() <= now.raw {
            want.passed = want.passed.saturating_add(1);
        }
        want.told = true;
        self.system.want = Some(want);
        let age = length(want.since, now);
        let line = match (want.kind, self.system.impasse) {
            (Kind::Impasse, Some(impasse)) => {
                self.system.impasse_told = true;
                format!("for {age} no source could be followed: {}", self.explain(impasse))
            }
            _ => format!("no source has answered for {age}: {}", self.asked().sentence()),
        };
        self.announce(4, line);
        Some(want.due())
    }

    fn tell_end(&mut self, over: Want, now: Now) {
        let first = self.entries.members().find(|(_, source)| source.is_heard());
        if let (Kind::Silence, Some((entry, first))) = (over.kind, first) {
            let line = format!(
                "source {} ({}) is the first to answer, after {}",
                entry.settings.name,
                first.address().socket_address(),
                length(over.since, now)
            );
            self.announce(5, line);
        }
    }

    /// Why there is nobody to follow, as one sentence; it never names a number that it can't be sure of.
    pub(super) fn explain(&self, impasse: Impasse) -> String {
        let minimum = self.settings.minimum_sources;
        let of = self.entries.len();
        match impasse {
            Impasse::NoSources => "no source was usable yet".into(),
            Impasse::NoMajority => {
                "the sources do not agree, and no more than half of them agree on anything; the clock runs on as it is: \
                 find out which are wrong"
                    .into()
            }
            Impasse::NoQuorum => "fewer than half of the sources that have a vote agree, because some were never heard \
                 (where any source is authenticated, only those have a vote; else, where any is marked `trust`, \
                 only those); the clock runs on as it is: see why the silent ones don't answer, or take them out \
                 of the configuration"
                .into(),
            Impasse::TooFew if usize::from(minimum) > of => format!(
                "minimum-sources asks for {minimum} sources that agree, and no more were found for the {} configured; \
                 the clock runs on: add sources, or lower it",
                if of == 1 { "1 that is".into() } else { format!("{of} that are") }
            ),
            Impasse::TooFew => format!(
                "fewer sources agree than the {minimum} that minimum-sources asks for (those of one operator count \
                 once); the clock runs on"
            ),
            Impasse::RequiredMissing => {
                "no source marked `require` agrees with the majority; the clock runs on".into()
            }
            Impasse::Unauthenticated => {
                "no authenticated source answers, and require-nts is set; the clock runs on at its last frequency"
                    .into()
            }
            Impasse::Silent if of == 1 => {
                "the only source does not answer now; the clock runs on at its last frequency".into()
            }
            Impasse::Silent => {
                "no source that agrees with the majority answers now; the clock runs on at its last frequency".into()
            }
        }
    }

    /// What has become of the sources of the configuration.
    pub(super) fn asked(&self) -> Asked {
        let mut all = Asked { of: self.entries.len(), ..Asked::default() };
        for entry in self.entries.iter() {
            let (members, association) = (&entry.members, entry.association());
            let trouble = association.and_then(|association| association.last?.err());
            if members.iter().any(|source| source.counters.sent > 0) {
                all.asked += 1;
                all.unusable += usize::from(members.iter().any(|source| source.trouble.is_some()));
            } else if let Some(why) = trouble.and_then(crate::nts::Trouble::of_name) {
                all.unresolved += 1;
                all.why = all.why.or(Some(why));
            } else if association.is_some() {
                all.keyless += 1;
            } else if let Some(lookup) = entry.lookup.as_ref().filter(|_| members.is_empty()) {
                all.unresolved += 1;
                all.why = all.why.or(lookup.last);
            }
        }
        all
    }
}

impl Asked {
    /// What was asked, what came of it, and what to look at.
    pub(super) fn sentence(&self) -> String {
        let Self { of, asked, unusable, unresolved, why, keyless } = *self;
        let mut text = match (asked, unusable) {
            (0, _) => format!("none of {} was asked", sources(of)),
            (1, 0) if of == 1 => "the only source was asked and did not answer".into(),
            (_, 0) => format!("{asked} of {} {} asked, and none answered", sources(of), were(asked)),
            _ => format!("{asked} of {} {} asked, and no answer can be used", sources(of), were(asked)),
        };
        if unresolved > 0 {
            let names = if unresolved == 1 { "1 name is" } else { &format!("{unresolved} names are") };
            let why = why.map_or("the look-up is under way", LookupFailure::sentence);
            text += &format!("; {names} not resolved: {why}");
        }
        if keyless > 0 {
            let have = if keyless == 1 { "1 NTS source has" } else { &format!("{keyless} NTS sources have") };
            text += &format!("; {have} no keys: chimerctl keys says why");
        }
        if unusable > 0 {
            text += "; chimerctl sources says what is wrong with the answers";
        } else if asked > 0 {
            text += "; check the network, the firewall (UDP port 123) and the addresses";
        }
        text
    }
}

/// `no source`, `1 source`, `2 sources`.
pub(super) fn sources(count: usize) -> String {
    match count {
        0 => "no source".into(),
        1 => "1 source".into(),
        more => format!("{more} sources"),
    }
}

fn were(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// How long ago `since` was, in a unit that fits.
fn length(since: RawInstant, now: Now) -> String {
    match now.raw.since(since).nanos() / 1_000_000_000 {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7_200 => format!("{} min", seconds / 60),
        seconds if seconds < 172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
