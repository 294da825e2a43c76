//! The states that administrators see, held against the lists of the manual.

use super::page;
use ipc::message::exchange::LookupFailure;
use ipc::message::privileged::{Condition, Refusal};
use ipc::units::{Offset, Span, WallTime};
use keeper::condition::StatusLine;
use report::SourceState;
use std::collections::BTreeSet;

/// Each condition, in each form that its line has. None is forgotten: see [`is_listed`].
fn conditions() -> Vec<Condition> {
    let corrected = WallTime::saturating(0);
    let of = 2;
    let all = vec![
        Condition::AwaitingReplies { of },
        Condition::AwaitingNames { of, why: Some(LookupFailure::TryAgain) },
        Condition::AwaitingKeys { of },
        Condition::AwaitingMajority { heard: 1, of: 1 },
        Condition::AwaitingMajority { heard: 1, of },
        Condition::AwaitingMajority { heard: 2, of },
        Condition::Disagreeing { heard: 1, of },
        Condition::Disagreeing { heard: 2, of },
        Condition::Setting,
        Condition::Correcting { offset: Offset::ZERO },
        Condition::Correcting { offset: Offset::saturating(61_000_000_000) },
        Condition::Uncertain { most: Span::from_secs(2) },
        Condition::Unusable { corrected: None },
        Condition::Unusable { corrected: Some(corrected) },
        Condition::Synchronised { stratum: 2, used: 1, of: 1 },
        Condition::Synchronised { stratum: 2, used: 1, of },
        Condition::Held(None),
        Condition::Held(Some(Refusal::Evidence)),
        Condition::Unreachable { corrected },
        Condition::Insufficient { corrected },
        Condition::Unsteered,
        Condition::Local(10),
        Condition::NoSources,
    ];
    all.iter().for_each(is_listed);
    all
}

/// Does not compile where a condition was added: then it belongs into the list above, and its line into the manual.
fn is_listed(condition: &Condition) {
    match condition {
        Condition::AwaitingReplies { .. }
        | Condition::AwaitingNames { .. }
        | Condition::AwaitingKeys { .. }
        | Condition::AwaitingMajority { .. }
        | Condition::Disagreeing { .. }
        | Condition::Setting
        | Condition::Correcting { .. }
        | Condition::Uncertain { .. }
        | Condition::Unusable { .. }
        | Condition::Synchronised { .. }
        | Condition::Held(_)
        | Condition::Unreachable { .. }
        | Condition::Insufficient { .. }
        | Condition::Unsteered
        | Condition::Local(_)
        | Condition::NoSources => {}
    }
}

#[test]
fn the_manual_has_each_line_of_the_service_manager_and_no_other() {
    let page = page("packaging/man/truechimerd.8");
    let (_, list) = page.split_once("\nshows it:\n").expect("the list begins");
    let (list, _) = list.split_once("\nAfter a failed start").expect("the list ends");
    let lines: Vec<&str> = list.lines().collect();
    let mut tags: BTreeSet<&str> = lines
        .windows(2)
        .filter(|pair| matches!(pair[0], ".TP" | ".TQ"))
        .filter_map(|pair| pair[1].strip_prefix(".I "))
        .collect();
    // Lines of the keeper itself, before and after the engine has a say.
    for own in ["starting: waiting for the engine to read the configuration", "stopping", "started"] {
        assert!(tags.remove(own), "{own}");
    }
    assert!(tags.remove("starting: waiting for the other processes"));
    let mut told = BTreeSet::new();
    for condition in conditions() {
        let line = StatusLine(condition).to_string();
        let tag = tags.iter().filter(|tag| line.starts_with(**tag)).max_by_key(|tag| tag.len());
        told.insert(*tag.unwrap_or_else(|| panic!("truechimerd.8 lacks: {line}")));
    }
    assert_eq!(tags, told, "truechimerd.8 has a line that is never shown");
}

#[test]
fn the_manual_has_each_state_of_a_source_and_no_other() {
    let page = page("packaging/man/chimerctl.1");
    let (_, list) = page.split_once("\n.B STATE\n").expect("the list begins");
    let (list, _) = list.split_once("\n.TP\n").expect("the list ends");
    let documented: BTreeSet<&str> =
        list.lines().filter_map(|line| line.strip_prefix(".I ")?.split([' ', ',']).next()).collect();
    let states: BTreeSet<&str> = SourceState::ALL.iter().map(|state| state.name()).collect();
    assert_eq!(documented, states);
}
