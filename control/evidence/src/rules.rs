//! The rules, a file of each: what it asks, in our words, with its numbers of sections.

mod bsi_ops_1_2_6;
mod csbr;
mod etsi_319_421;
mod mifid_ii;
mod nist_800_53;
mod pci_dss;
mod stig;

use crate::rule::Rule;

/// All of them, by their names.
pub const ALL: [&Rule; 7] = [
    &bsi_ops_1_2_6::RULE,
    &csbr::RULE,
    &etsi_319_421::RULE,
    &mifid_ii::RULE,
    &nist_800_53::RULE,
    &pci_dss::RULE,
    &stig::RULE,
];

/// For rules by which the clock is compared once a day.
pub(crate) const POLL: &str = "How far apart the answers of a source were that was used: at most 2^max-poll s, 17 minutes unless the configuration says \
                               otherwise, but more than a day with 17. Its hash is listed above.";

/// What no history shows, whatever the rule.
pub const SILENT: [&str; 8] = [
    "Whether the sources are themselves traceable to UTC, and who operates them. The history has their names and whether their packets \
     were authenticated.",
    "Whether the selected sources, and the paths to them, are honest: the bound and the likely error hold if they are. A majority that \
     lies alike is selected.",
    "The hardware: its oscillator, its network interface, and what happens below the operating system. A virtual machine may be stopped \
     and copied.",
    "Who administers this host, who has its root password, and who may enter the room.",
    "At which point an application reads the clock, how fine the times are that it writes, and in which time zone.",
    "Times for which no minute was kept. They are listed above, and count as met nowhere.",
    "That the history is that of this host and not of another one, or that it was not written anew as a whole: compare the heads \
     above with those that were kept elsewhere, or with the anchors.",
    "That the rule is met. This is a computation by the program whose clock it is about; the judgement is the auditor's.",
];

/// The rule with this name.
pub fn named(name: &str) -> Option<&'static Rule> {
    ALL.into_iter().find(|rule| rule.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Limit, Test};
    use ipc::units::Span;

    #[test]
    fn rules_are_in_the_order_of_their_names_and_each_asks_something_that_a_history_shows() {
        let names = ALL.map(|rule| rule.name);
        assert!(names.is_sorted(), "{names:?}");
        for rule in ALL {
            let shown = rule.sentences.iter().filter(|one| !matches!(one.test, Test::Elsewhere(_)));
            assert!(shown.count() >= 3, "{}", rule.name);
            let is_within = rule.sentences.iter().any(|one| one.test == Test::Within);
            assert!(is_within, "{}: its limit would be for nothing", rule.name);
            for sentence in rule.sentences {
                assert!(sentence.asks.ends_with('.') && !sentence.section.is_empty(), "{sentence:?}");
            }
            assert_eq!(named(rule.name).map(|found| found.name), Some(rule.name));
        }
        assert!(named("csbr ").is_none());
    }

    #[test]
    fn a_limit_is_never_wider_than_the_rule_permits_and_an_activity_is_named_where_there_are_several() {
        let (ms, us) = (Span::from_millis(1), Span::try_new(100_000).unwrap());
        let limit = |name, limit, activity| named(name).unwrap().limit(limit, activity);
        assert_eq!(limit("etsi-319-421", None, None), Ok(Span::from_secs(1)));
        assert_eq!(limit("etsi-319-421", Some(ms), None), Ok(ms));
        assert!(
            limit("etsi-319-421", Some(Span::from_millis(1_001)), None).unwrap_err().contains("at most 1 s")
        );
        assert_eq!(limit("mifid-ii", None, Some("hft")), Ok(us));
        assert_eq!(limit("mifid-ii", Some(us), Some("other")), Ok(us));
        assert!(limit("mifid-ii", Some(ms), Some("hft")).unwrap_err().contains("at most 100 µs for hft"));
        assert!(limit("mifid-ii", None, None).unwrap_err().contains("--activity"));
        assert!(limit("mifid-ii", None, Some("day-trading")).unwrap_err().contains("voice"));
        assert!(limit("pci-dss", None, Some("hft")).unwrap_err().contains("leave --activity out"));
        assert!(limit("pci-dss", Some(Span::from_secs(0)), None).is_err());
        assert_eq!(limit("pci-dss", Some(Span::from_secs(5)), None), Ok(Span::from_secs(5)));
        for rule in ALL {
            if let Limit::ByActivity(all) = rule.limit {
                assert!(all.len() > 1 && all.iter().all(|one| !one.means.is_empty()), "{}", rule.name);
            }
        }
    }
}
