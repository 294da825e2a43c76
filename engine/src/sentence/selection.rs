//! No source can be followed: why, and what has become of the configured sources.

use super::notice::duration;
use super::{Sentence, Text, sources};
use engine_core::notice::{EntryCounts, Impasse, Missing, NoSelection};
use engine_core::status::{Authentication, Resilience};
use ipc::message::exchange::LookupFailure;
use ipc::units::Span;

impl Sentence for NoSelection {
    fn sentence(&self) -> Text {
        let Self { impasse, minimum, of, missing, answered } = *self;
        match impasse {
            Impasse::NoSources => "no source was usable yet".into(),
            Impasse::NoMajority => {
                "the sources do not agree, and no more than half of them agree on anything; the clock runs on as it is: \
                 find out which are wrong"
                    .into()
            }
            Impasse::NoQuorum => no_quorum(missing),
            Impasse::TooFew if usize::from(minimum) > of => {
                let configured = if of == 1 { "1 that is".to_owned() } else { format!("{of} that are") };
                format!(
                    "minimum-sources asks for {minimum} sources that agree, and no more were found for the {configured} \
                     configured; the clock runs on: add sources, or lower it"
                )
                .into()
            }
            Impasse::TooFew => format!(
                "fewer sources agree than the {minimum} that minimum-sources asks for (those of one operator count \
                 once); the clock runs on"
            )
            .into(),
            Impasse::Refuted => "signed answers of Roughtime servers exclude the time of sources, and the others are not enough; \
                                 chimerctl sources says which"
                .into(),
            Impasse::RequiredMissing => {
                "no source marked `require` agrees with the majority; the clock runs on".into()
            }
            Impasse::Unauthenticated => {
                "no authenticated source answers, and require-nts is set; the clock runs on at its last frequency".into()
            }
            Impasse::Silent if answered => format!(
                "{}: chimerctl sources says why; the clock runs on at its last frequency",
                match of {
                    1 => "the only source answers, but its time cannot be followed now",
                    _ => "sources answer, but the time of none of them can be followed now",
                }
            )
            .into(),
            Impasse::Silent if of == 1 => {
                "the only source does not answer now; the clock runs on at its last frequency".into()
            }
            Impasse::Silent => {
                "no source that has a vote and agrees with the majority answers now; the clock runs on at its last frequency".into()
            }
        }
    }
}

impl Sentence for Resilience {
    fn sentence(&self) -> Text {
        let Self { deciding, silent, lying } = *self;
        match (deciding, silent, lying) {
            (0, ..) => "no source answers that has a vote".into(),
            (1, _, 0) => "one source decides: without it the clock runs on at its last frequency, and nothing shows whether it is \
                          wrong"
                .into(),
            (1, ..) => "one source decides: without it the clock runs on at its last frequency".into(),
            (_, 0, _) => format!(
                "of the {deciding} sources that decide none may fall silent (minimum-sources, require): the clock then runs on at \
                 its last frequency"
            )
            .into(),
            (_, _, 0) => format!(
                "of the {deciding} sources that decide, any {silent} may fall silent, and the others are followed; if one of them is \
                 wrong, it may be that none can be followed"
            )
            .into(),
            _ => format!(
                "of the {deciding} sources that decide, any {silent} may fall silent, or any {lying} be wrong, and the others are \
                 followed"
            )
            .into(),
        }
    }
}

impl Sentence for Authentication {
    fn sentence(&self) -> Text {
        let Self { followed, authenticated, for_s } = *self;
        match (followed, authenticated) {
            (1, 0) => "the source that the clock follows is not authenticated".into(),
            (_, 0) => {
                format!("none of the {followed} sources that the clock follows is authenticated").into()
            }
            (_, 1) if followed > 1 => {
                format!("1 of the {followed} sources that the clock follows is authenticated").into()
            }
            _ if authenticated < followed => {
                format!("{authenticated} of the {followed} sources that the clock follows are authenticated")
                    .into()
            }
            _ => {
                let all = match followed {
                    1 => "the source that the clock follows is authenticated".to_owned(),
                    2 => "both sources that the clock follows are authenticated".to_owned(),
                    more => format!("all {more} sources that the clock follows are authenticated"),
                };
                let since = for_s.map(|seconds| Span::from_secs(seconds as i64));
                let lasted = since.map_or(String::new(), |span| {
                    format!(", and no other has corrected it for {}", duration(span))
                });
                (all + &lasted).into()
            }
        }
    }
}

fn no_quorum(missing: Missing) -> Text {
    let Missing { heard, absent, left, .. } = missing;
    if heard == 0 {
        let none = if absent == 1 { "the source that has" } else { "no source that has" };
        let not = if absent == 1 { " not" } else { "" };
        return format!(
            "{none} a vote has{not} answered (where any source is authenticated, only those have a vote; else, where any \
             is marked `trust`, only those); the clock runs on as it is: see why they do not answer, or take them out of \
             the configuration"
        )
        .into();
    }
    let (have, them) = (
        if heard == 1 { "has" } else { "have" },
        if absent == 1 { "one that has" } else { "ones that have" },
    );
    let then = match left {
        Some(left) if left.nanos() < 1_000_000_000 => {
            "soon a vote that is missing no longer counts".to_owned()
        }
        Some(left) => format!("in {} at most a vote that is missing no longer counts", duration(left)),
        None => "in the strict profile missing votes always count where the others are not authenticated"
            .to_owned(),
    };
    format!(
        "{heard} of {} with a vote {have} answered, too few against the {them} not; {then}; the clock runs on as it is: \
         chimerctl sources says why the others are silent; take those that are gone out of the configuration",
        sources(heard + absent)
    )
    .into()
}

impl Sentence for EntryCounts {
    fn sentence(&self) -> Text {
        let Self { of, queried, obstacle, obstructed, unusable, unresolved, why, keyless } = *self;
        let were = if queried == 1 { "was" } else { "were" };
        let mut text = match (queried, unusable) {
            (0, _) => format!("none of {} was asked", sources(of)),
            (1, 0) if of == 1 => "the only source was asked and did not answer".to_owned(),
            (_, 0) => format!("{queried} of {} {were} asked, and none answered", sources(of)),
            _ => format!("{queried} of {} {were} asked, and no answer can be used", sources(of)),
        };
        if let (Some(obstacle), 0) = (obstacle, unusable) {
            let whose = if obstructed < queried { &format!("{obstructed} of them: ") } else { "" };
            text += &format!(" ({whose}{})", obstacle.sentence());
        }
        if unresolved > 0 {
            let names = if unresolved == 1 { "1 name is" } else { &format!("{unresolved} names are") };
            // Where queries were sent too, the advice at the end covers both.
            let words = if queried > 0 { LookupFailure::cause } else { LookupFailure::sentence };
            let why = why.map_or("the look-up is in progress", words);
            text += &format!("; {names} not resolved: {why}");
        }
        if keyless > 0 {
            let have = if keyless == 1 { "1 NTS source has" } else { &format!("{keyless} NTS sources have") };
            text += &format!("; {have} no keys: chimerctl keys says why");
        }
        if unusable > 0 {
            text += "; chimerctl sources says what is wrong with the answers";
        } else if queried > 0 {
            let resolver = if unresolved > 0 { "/etc/resolv.conf, " } else { "" };
            text += &format!("; check the network, {resolver}the firewall (UDP port 123) and the addresses");
        }
        text.into()
    }
}
