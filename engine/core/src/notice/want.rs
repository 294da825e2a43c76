//! Nobody to follow: why, and what was tried.

use crate::select::Impasse;
use alloc::format;
use alloc::string::String;
use ipc::message::exchange::LookupFailure;
use ipc::units::Span;

/// Why there is nobody to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Why.
    pub impasse: Impasse,
    /// How many sources have to agree, by the configuration.
    pub minimum: u8,
    /// How many the configuration has.
    pub of: usize,
}

impl Stuck {
    /// One sentence; it never names a number that it can't be sure of.
    pub fn sentence(self) -> String {
        let Self { impasse, minimum, of } = self;
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
}

/// The entries of the configuration, by what has become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// How many there are.
    pub of: usize,
    /// A query was sent.
    pub asked: usize,
    /// Of those: a reply came that can't be used.
    pub unusable: usize,
    /// Their names have no address.
    pub unresolved: usize,
    /// Why, of the first of them that was told.
    pub why: Option<LookupFailure>,
    /// They have no keys, for other reasons.
    pub keyless: usize,
}

impl Asked {
    /// What was asked, what came of it, and what to look at.
    pub fn sentence(&self) -> String {
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
pub(crate) fn sources(count: usize) -> String {
    match count {
        0 => "no source".into(),
        1 => "1 source".into(),
        more => format!("{more} sources"),
    }
}

fn were(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}

/// In a unit that fits.
pub(super) fn length(span: Span) -> String {
    match span.nanos() / 1_000_000_000 {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 7_200 => format!("{} min", seconds / 60),
        seconds if seconds < 172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
