//! The state of the clock.

use super::notice::duration;
use super::{Sentence, Text, refusal, sources};
use engine_core::status::SystemReason;
use ipc::units::Span;

/// The largest value of max-distance, seconds.
const LARGEST: f64 = 16.0;

impl Sentence for SystemReason {
    fn sentence(&self) -> Text {
        match *self {
            Self::Held(hold) => hold.sentence(),
            Self::Obstructed(row) => format!(
                "the clock cannot be corrected ({}): {}; that is tried again once a minute",
                row.name(),
                row.sentence()
            )
            .into(),
            Self::Local { stratum, leads: false } => {
                format!("no source is configured; this host serves its own time at stratum {stratum}").into()
            }
            Self::Local { stratum, leads: true } => format!(
                "no source has more than its own time; this host serves its own at stratum {stratum}, as the first of them"
            )
            .into(),
            Self::NoSources => "no source is configured; add a [[source]] to the configuration".into(),
            Self::Unsteered => "there is no clock to steer; sources are only watched".into(),
            Self::NoMajority(found) | Self::Holdover(found) => found.sentence(),
            Self::AwaitingQuorum => {
                "our clock is so far off that no certificate can be judged by it; two NTS sources of different \
                 operators (a pool counts as one), or one NTS source and what Roughtime servers sign, have to agree on the time before \
                 it is set (or set it by hand)"
                    .into()
            }
            Self::NoReplies(counts) if counts.unusable > 0 => {
                format!("no source can be used yet: {}", counts.sentence()).into()
            }
            Self::NoReplies(counts) => format!("no source has answered yet: {}", counts.sentence()).into(),
            Self::Unusable { of: 1 } => {
                "the only source answers, but its time cannot be followed: chimerctl sources says why".into()
            }
            Self::Unusable { .. } => {
                "sources answer, but the time of none can be followed: chimerctl sources says why".into()
            }
            Self::Gathering { heard, of, minimum } => gathering(heard, of, minimum),
            Self::Correcting { slewing: Some(slewing), .. } => slewing.sentence(),
            Self::Correcting { slewing: None, again: false } => {
                "the clock is being brought to the time of its sources".into()
            }
            Self::Correcting { slewing: None, again: true } => {
                "the clock is off and is being brought back to the time of its sources".into()
            }
            Self::Uncertain { most, limit } => {
                let allow = match most.max(limit) < LARGEST {
                    true => ", or allow more by max-distance under [clock] (more than 3, at most 16)",
                    false => "",
                };
                format!(
                    "the clock follows its sources, but may be off by up to {most:.1} s, as they or the paths to them are no \
                     better; it counts as synchronised below {limit} s: use nearer sources{allow}"
                )
                .into()
            }
            Self::FollowingOrphan { stratum } => format!(
                "no source has more than its own time; the clock follows the first of them (local-orphan), which does not make \
                 it synchronised: what true time is, is not known; clients are served at stratum {stratum}"
            )
            .into(),
            Self::Following { silent: Some(seconds), slewing, used, of, missing } => {
                let follows = Self::Following { silent: None, slewing, used, of, missing }.sentence();
                let last = duration(Span::from_secs(seconds as i64));
                format!("{follows}; nothing has answered for {last}, nor the last four queries to any of those that are followed")
                    .into()
            }
            Self::Following { slewing: Some(slewing), used, of, missing, silent } => {
                let follows = Self::Following { slewing: None, used, of, missing, silent }.sentence();
                let (off, course) = (refusal::off(slewing.offset), refusal::course(&slewing));
                format!("{follows}, but is still {off} and {course}").into()
            }
            Self::Following { used, of, missing, .. } if missing > 0 => {
                let (have, votes) = match missing {
                    1 => ("has", "its vote no longer counts"),
                    _ => ("have", "their votes no longer count"),
                };
                let all = sources(of);
                format!("the clock follows {used} of {all}; {missing} {have} not answered since the start, and {votes}")
                    .into()
            }
            Self::Following { of: 1, .. } => "the clock follows its only source".into(),
            Self::Following { used, of, .. } if used == of => {
                format!("the clock follows all of its {}", sources(of)).into()
            }
            Self::Following { used, of, .. } => format!("the clock follows {used} of {}", sources(of)).into(),
        }
    }
}

fn gathering(heard: usize, of: usize, minimum: u8) -> Text {
    let least = match minimum {
        0 | 1 => String::new(),
        _ => format!(", and at least {minimum} (minimum-sources)"),
    };
    match of {
        1 if minimum <= 1 => "the only source has answered, and its first replies are being measured".into(),
        1 => {
            format!("the only source has answered, but minimum-sources asks for {minimum} that agree").into()
        }
        _ if heard == of => {
            format!("all {} have answered; more than half of them have to agree{least}", sources(of)).into()
        }
        _ => {
            let have = if heard == 1 { "has" } else { "have" };
            format!("{heard} of {} {have} answered; more than half of them have to agree{least}", sources(of))
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_core::notice::{EntryCounts, Impasse, Missing, NoSelection};
    use ipc::units::Span;

    #[test]
    fn what_a_clock_of_1970_waits_for_names_pools_and_roughtime() {
        let said = SystemReason::AwaitingQuorum.sentence();
        assert!(said.contains("a pool counts as one") && said.contains("Roughtime"), "{said}");
        let taken = engine_core::notice::KeyExchangeFailure::Taken.sentence();
        assert!(taken.contains("of two sources with the same server, remove one"), "{taken}");
    }

    #[test]
    fn each_sentence_is_true_for_one_two_and_three_sources() {
        let unanswered =
            |of| SystemReason::NoReplies(EntryCounts { of, queried: of, ..EntryCounts::default() });
        let without_quorum = |missing| {
            SystemReason::NoMajority(NoSelection {
                impasse: Impasse::NoQuorum,
                minimum: 1,
                of: 5,
                missing,
                answered: false,
            })
        };
        for (text, reason) in [
            ("the only source was asked and did not answer", unanswered(1)),
            ("2 of 2 sources were asked, and none answered", unanswered(2)),
            (
                "the clock follows its only source",
                SystemReason::Following { used: 1, of: 1, missing: 0, slewing: None, silent: None },
            ),
            (
                "the clock follows its only source; nothing has answered for 5 min, nor the last four queries to any of those that are \
                 followed",
                SystemReason::Following { used: 1, of: 1, missing: 0, slewing: None, silent: Some(303.4) },
            ),
            (
                "the clock follows all of its 2 sources",
                SystemReason::Following { used: 2, of: 2, missing: 0, slewing: None, silent: None },
            ),
            (
                "the clock follows 2 of 3 sources",
                SystemReason::Following { used: 2, of: 3, missing: 0, slewing: None, silent: None },
            ),
            (
                "the clock follows 1 of 3 sources; 2 have not answered since the start, and their votes no longer count",
                SystemReason::Following { used: 1, of: 3, missing: 2, slewing: None, silent: None },
            ),
            (
                "1 of 3 sources with a vote has answered, too few against the ones that have not; in 45 s at most a vote \
                 that is missing no longer counts; the clock runs on as it is: ",
                without_quorum(Missing {
                    heard: 1,
                    absent: 2,
                    left: Some(Span::from_secs(45)),
                    strict: false,
                }),
            ),
            (
                "2 of 5 sources with a vote have answered, too few against the ones that have not; in the strict profile \
                 missing votes always count where the others are not authenticated; ",
                without_quorum(Missing { heard: 2, absent: 3, left: None, strict: true }),
            ),
            (
                "the source that has a vote has not answered (where any source is authenticated, ",
                without_quorum(Missing { heard: 0, absent: 1, left: None, strict: false }),
            ),
            (
                "the only source has answered, but minimum-sources asks for 2 that agree",
                SystemReason::Gathering { heard: 1, of: 1, minimum: 2 },
            ),
            (
                "1 of 2 sources has answered; more than half of them have to agree, and at least 2",
                SystemReason::Gathering { heard: 1, of: 2, minimum: 2 },
            ),
            (
                "2 of 3 sources have answered; more than half of them have to agree, and at least 3",
                SystemReason::Gathering { heard: 2, of: 3, minimum: 3 },
            ),
        ] {
            let found = reason.sentence();
            assert!(found.contains(text), "{found:?} is not {text:?}");
        }
    }

    #[test]
    fn more_is_allowed_only_by_values_that_are_heeded() {
        let advice =
            "use nearer sources, or allow more by max-distance under [clock] (more than 3, at most 16)";
        for (most, limit, is_advised) in
            [(1.5, 1.0, true), (13.0, 12.0, true), (16.5, 16.0, false), (17.0, 1.0, false)]
        {
            let text = SystemReason::Uncertain { most, limit }.sentence();
            assert!(text.contains(advice) == is_advised && text.contains("use nearer sources"), "{text}");
        }
    }

    #[test]
    fn what_was_asked_and_what_has_no_name_is_counted_apart() {
        let why = Some(ipc::message::exchange::LookupFailure::TryAgain);
        let text = |counts: EntryCounts| counts.sentence().into_owned();
        let found = text(EntryCounts { of: 4, queried: 2, unresolved: 2, why, ..EntryCounts::default() });
        let expected = "2 of 4 sources were asked, and none answered; 2 names are not resolved: ";
        assert!(
            found.starts_with(expected)
                && found.ends_with(
                    "check the network, /etc/resolv.conf, the firewall (UDP port 123) and the addresses"
                ),
            "{found}"
        );
        let found = text(EntryCounts { of: 1, unresolved: 1, why, ..EntryCounts::default() });
        assert!(found.starts_with("none of 1 source was asked; 1 name is not resolved: "), "{found}");
        assert!(!found.contains("firewall"), "nothing was asked: {found}");
        assert_eq!(
            text(EntryCounts { of: 4, queried: 2, unresolved: 2, why, ..EntryCounts::default() })
                .matches("check")
                .count(),
            1
        );
        let obstacle = Some(ipc::message::client::Silence::PortUnreachable);
        let found =
            text(EntryCounts { of: 3, queried: 3, obstacle, obstructed: 1, ..EntryCounts::default() });
        let expected =
            "3 of 3 sources were asked, and none answered (1 of them: no server listens on its port); check ";
        assert!(found.starts_with(expected), "{found}");
        let unusable = EntryCounts { of: 3, queried: 3, unusable: 1, ..EntryCounts::default() };
        let found = SystemReason::NoReplies(unusable).sentence();
        assert!(
            found.starts_with(
                "no source can be used yet: 3 of 3 sources were asked, and no answer can be used"
            ),
            "{found}"
        );
        for (of, words) in [(1, "the only source answers, but"), (3, "sources answer, but the time of none")]
        {
            let missing = Missing::default();
            let useless = NoSelection { impasse: Impasse::Silent, minimum: 1, of, missing, answered: true };
            let found = SystemReason::Holdover(useless).sentence();
            assert!(found.starts_with(words) && !found.contains("answers now"), "{found}");
        }
        let found =
            text(EntryCounts { of: 1, queried: 1, obstacle, obstructed: 1, ..EntryCounts::default() });
        let expected = "the only source was asked and did not answer (no server listens on its port); check ";
        assert!(found.starts_with(expected), "{found}");
        let held = NoSelection {
            impasse: Impasse::Unauthenticated,
            minimum: 1,
            of: 2,
            missing: Missing::default(),
            answered: false,
        };
        assert!(SystemReason::Holdover(held).sentence().contains("require-nts is set"));
    }
}
