//! The state of a source.

use super::packet_test::{hint, silence};
use super::{Sentence, Text};
use engine_core::notice::Chosen;
use engine_core::status::{KeyStatus, PathDoubt, SourceReason};
use ipc::units::Span;
use protocol::kiss::KissCode;

const ASYMMETRY: &str = "; its path became longer, perhaps in one direction only (asymmetry)";

fn doubt(doubt: PathDoubt) -> String {
    match doubt {
        PathDoubt::None => String::new(),
        PathDoubt::Longer => ASYMMETRY.to_owned(),
        PathDoubt::Chosen(chosen) => format!("; {}", chosen.sentence()),
    }
}

impl Sentence for Chosen {
    fn sentence(&self) -> Text {
        let Self { is_larger, replies, queries, spread } = *self;
        let (arrive, seconds) = (if is_larger { "larger" } else { "smaller" }, spread.nanos() as f64 * 1e-9);
        format!(
            "its replies seem to be chosen on the path: {replies} came for its last {queries} queries, and only those with \
             the {arrive} offsets; it is taken to be wrong by up to {seconds:.6} s more"
        )
        .into()
    }
}

const SMEAR: &str = " (smear suspected: it may be spreading a leap second)";

impl Sentence for SourceReason {
    fn sentence(&self) -> Text {
        match *self {
            Self::Starting => "the daemon is starting".into(),
            Self::SameAddress => "another entry of the configuration has the same address".into(),
            Self::SameKeyServer => {
                "another entry of the configuration has the same key exchange server".into()
            }
            Self::AddressesTaken => "the addresses of its name are those of other entries".into(),
            Self::Unresolved(Some(why)) => {
                format!("its name is not resolved yet: {}", super::key_exchange::lookup(why)).into()
            }
            Self::Unresolved(None) => "its name is not resolved yet; it is being looked up".into(),
            Self::AwaitingKeys(keys) | Self::NoCookies(keys) => keys.sentence(),
            Self::UnderAttack => {
                "its last replies had wrong authentication tags: they are being forged on the path, to no effect".into()
            }
            Self::Provisional => {
                "our clock, which may be wrong, cannot judge its certificate: it is used only together with another NTS \
                 source that agrees, once, to set the clock; add a second NTS source, or set the clock by hand"
                    .into()
            }
            Self::Denied { code, retry_s: Some(left) } => format!(
                "it refuses to serve us (kiss code {code}, authenticated); asked again in {:.1} h",
                left / 3600.0
            )
            .into(),
            Self::Denied { code, retry_s: None } => {
                format!("it refuses to serve us (kiss code {code}); asked again at the longest poll interval").into()
            }
            Self::Kissed(code) => kiss(code),
            Self::Oneself => {
                "its address is one of this host: it has no vote, and is replaced if its name has another; name another \
                 server"
                    .into()
            }
            Self::Unused(reason) => reason.sentence(),
            Self::NoReplyYet(None) => "it has not answered yet".into(),
            Self::NoReplyYet(Some(why)) => format!("it has not answered yet: {}", why.sentence()).into(),
            Self::NeverReplied { obstacle, cause } => {
                format!("it has never answered{}", silence(obstacle, cause)).into()
            }
            Self::Silent { obstacle, has_estimate } => {
                let why = obstacle.map_or(String::new(), |why| format!(" ({})", why.sentence()));
                let estimate = if has_estimate { "; its last estimate still counts" } else { "" };
                format!("it has not answered its last eight queries{why}{estimate}").into()
            }
            Self::NoUsableReply(cause) => format!("no usable reply yet{}", hint(cause)).into(),
            Self::TooDistant { distance, most } => too_distant(distance, most),
            Self::Unsteady { jitter, most } => {
                let most = most.nanos() as f64 / 1e9;
                format!("its measurements differ by {jitter:.6} s, which is more than max-jitter = {most}").into()
            }
            Self::Contradictory { offset } => format!(
                "its last reply contradicts its earlier ones: it is {offset:+.6} s from our clock; the next replies decide"
            )
            .into(),
            Self::Doubtful { offset } => format!(
                "its last reply differs from what was expected: it is {offset:+.6} s from our clock; the next replies decide"
            )
            .into(),
            Self::Noselect { offset } => {
                format!("it is measured and decides nothing (noselect); it is {offset:+.6} s from our clock").into()
            }
            Self::Orphan => {
                "its stratum says that it has no time but its own, or that of another such server; it has no vote".into()
            }
            Self::NotCompared => "not compared with the others yet".into(),
            Self::Reference { doubt: against } => {
                format!("it agrees with the majority and is the nearest to true time{}", doubt(against)).into()
            }
            Self::Survivor { doubt: against } => {
                format!("it agrees with the majority and is averaged in{}", doubt(against)).into()
            }
            Self::Spare => "it agrees, but a source marked `prefer` is used instead".into(),
            Self::NotFollowed => {
                "it agrees with the majority, but no source is followed now: chimerctl status says what is missing".into()
            }
            Self::NotReachable => "it agrees, but cannot be used at the moment".into(),
            Self::Falseticker { offset, distance, smears } => {
                let smear = if smears { SMEAR } else { "" };
                format!(
                    "the majority contradicts its time; it differs by {offset:+.6} s from our clock, and its own bound \
                     is {distance:.6} s{smear}"
                )
                .into()
            }
            Self::Refuted { offset } => format!(
                "signed answers of most Roughtime servers exclude its time, which differs by {offset:+.3} s from our clock"
            )
            .into(),
            Self::Drifting { ppm, smears } => {
                let smear = if smears { SMEAR } else { "" };
                format!("its clock runs {ppm:+.3} ppm beside those of all others{smear}").into()
            }
            Self::Probation => {
                "it is new, or was begun anew after a change; it is used after its eighth reply".into()
            }
            Self::OutvotedByAuthenticated => {
                "it does not agree with the authenticated sources, and is not authenticated".into()
            }
            Self::OutvotedByTrusted => "it does not agree with the sources marked `trust`".into(),
            Self::NoMajority { offset } => {
                format!("its offset is {offset:+.6} s, and no more than half of the sources with a vote agree on any time").into()
            }
        }
    }
}

fn too_distant(distance: f64, most: Span) -> Text {
    let most = most.nanos() as f64 * 1e-9;
    let remedy = match distance {
        _ if distance < 16.0 => format!(
            "if you trust it all the same (for example a domain controller), write max-distance = {:.1} under [clock], and this host may \
             be as far off",
            // With a margin for what is added between two replies.
            (distance * 1.2 + 0.5).ceil().min(16.0)
        ),
        _ => "use another source".to_owned(),
    };
    format!(
        "its root distance of {} s (by so much it may be off by its own account) is more than max-distance \
         ({most} s); {remedy}",
        above(distance, most)
    )
    .into()
}

/// A number that is larger than `least`, with as many digits as show that.
fn above(number: f64, least: f64) -> String {
    (1..=9)
        .map(|digits| format!("{number:.digits$}"))
        .find(|text| text.parse::<f64>().is_ok_and(|shown| shown > least))
        .unwrap_or_else(|| number.to_string())
}

/// What a server says instead of the time.
fn kiss(code: KissCode) -> Text {
    let meaning = match code {
        KissCode::Deny | KissCode::Restricted => "it refuses to serve us",
        KissCode::Rate => {
            "it finds that it is asked too often, and is asked less often now; other hosts behind the same address may \
             ask it too (min-poll sets the shortest interval)"
        }
        KissCode::NtsNak => "it takes our queries for NTS ones, which they are not",
        KissCode::Other(code) if matches!(&code, b"INIT" | b"STEP") => {
            "it is not synchronised yet; if that lasts, its own sources have to be checked"
        }
        KissCode::Other(_) => "it tells no time, and is asked again; its operator knows why",
    };
    format!("it answers with kiss code {code} instead of the time: {meaning}").into()
}

impl Sentence for KeyStatus {
    fn sentence(&self) -> Text {
        let next = match self.next_s {
            None => "keys are being exchanged with it".to_owned(),
            Some(left) => format!("keys are exchanged in {left:.0} s"),
        };
        match self.failure {
            Some(failure) => format!("{}; {next}", failure.sentence()).into(),
            None => next.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_distance_is_shown_as_more_than_what_it_is_more_than() {
        for (distance, most, shown) in [
            (0.0104, 10, "its root distance of 0.0104 s "),
            (0.02, 10, "its root distance of 0.02 s "),
            (3.04, 3_000, "its root distance of 3.04 s "),
            (3.000_2, 3_000, "its root distance of 3.0002 s "),
            (10.03, 3_000, "its root distance of 10.0 s "),
            (16.000_04, 16_000, "its root distance of 16.00004 s "),
        ] {
            let text = SourceReason::TooDistant { distance, most: Span::from_millis(most) }.sentence();
            assert!(text.starts_with(shown), "{text}");
            assert_eq!(text.contains("for example a domain controller"), distance < 16.0, "{text}");
        }
    }
}
