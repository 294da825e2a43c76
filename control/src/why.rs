//! `chimerctl why`: the clock in one sentence, then each source in plain words: whether it is used, why, and what would
//! change that. The sentences are the daemon's, as in `status` and `sources`; those of the packet tests are the same that it
//! makes its own from.

use crate::Failure;
use crate::screen::{Form, Screen};
use crate::sources::{is_called, nobody};
use crate::text::{json, known, list, plain};
use control_socket::{ask, read};
use report::read::{SourceReport, SourcesReply, StatusReply, SystemReport};
use report::{FORMAT, RejectReason, SourceState, Word};
use serde_json::{Value, json};
use std::path::Path;

/// Requests the clock and the sources.
pub fn show(socket: &Path, name: Option<&str>, form: Form) -> Result<String, Failure> {
    let status: StatusReply = read(&ask(socket, "status")?)?;
    let reply: SourcesReply = read(&ask(socket, "sources")?)?;
    explain(&status.report.unwrap_or_default(), &reply.sources.unwrap_or_default(), name, form)
}

fn explain(
    clock: &SystemReport,
    sources: &[SourceReport],
    name: Option<&str>,
    form: Form,
) -> Result<String, Failure> {
    let is_meant = |source: &&SourceReport| name.is_none_or(|name| is_called(source, name));
    let meant: Vec<&SourceReport> = sources.iter().filter(is_meant).collect();
    if let Some(name) = name.filter(|_| meant.is_empty()) {
        return Err(nobody(sources, name));
    }
    Ok(match form {
        Form::Json => json(&document(clock, &meant)),
        Form::Text(screen) => {
            let pages = meant.into_iter().map(|source| page(source, screen));
            [first_line(clock, screen)].into_iter().chain(pages).collect::<Vec<_>>().join("\n")
        }
    })
}

fn first_line(clock: &SystemReport, screen: Screen) -> String {
    let text = format!("the clock ({}): {}", plain(clock.state.as_ref()), plain(clock.reason.as_ref()));
    screen.wrap(&screen.show(&text), 0, 0) + "\n"
}

fn is_used(source: &SourceReport) -> Option<bool> {
    known(source.state.as_ref()).map(SourceState::is_used)
}

fn page(source: &SourceReport, screen: Screen) -> String {
    let address = source.address.as_deref().filter(|address| Some(*address) != source.name.as_deref());
    let names = [source.name.as_deref(), address];
    let names: Vec<&str> = names.into_iter().flatten().filter(|name| !name.is_empty()).collect();
    let head = screen.show(&format!("{} ({})", names.join(", "), plain(source.state.as_ref())));
    let use_of_it = match is_used(source) {
        Some(true) => "used",
        Some(false) => "not used",
        None => "why",
    };
    let mut rows = vec![(use_of_it, plain(source.reason.as_ref()))];
    rows.extend(source.change.clone().map(|change| ("change", change)));
    for (test, count) in source.rejected.iter().flatten() {
        let (effect, meaning) = meaning(test);
        let replies = if *count == 1 { "reply" } else { "replies" };
        rows.push(("tests", format!("{count} {replies} {effect} ({test}): {meaning}")));
    }
    screen.wrap(&head, 0, 0) + "\n" + &list(screen, &rows)
}

/// What becomes of replies that fail this test, and what that means.
fn meaning(test: &Word<RejectReason>) -> (&'static str, &'static str) {
    match test.known() {
        Some(test) => (test.effect().name(), test.meaning()),
        None => ("rejected", "a test of another version of the daemon"),
    }
}

fn document(clock: &SystemReport, sources: &[&SourceReport]) -> Value {
    let of_test = |(test, count): (&Word<RejectReason>, &u64)| {
        let (effect, meaning) = meaning(test);
        json!({ "test": test.as_str(), "count": count, "effect": effect, "meaning": meaning })
    };
    let of_source = |source: &&SourceReport| {
        let rejected: Vec<Value> = source.rejected.iter().flatten().map(of_test).collect();
        json!({
            "name": source.name,
            "address": source.address,
            "state": source.state,
            "used": is_used(source),
            "reason": source.reason,
            "change": source.change,
            "rejected": rejected,
        })
    };
    json!({
        "format": FORMAT,
        "clock": { "state": clock.state, "synchronised": clock.synchronised, "reason": clock.reason },
        "sources": sources.iter().map(of_source).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> SystemReport {
        SystemReport {
            state: Some("synchronised".into()),
            reason: Some("the clock follows 1 of 2 sources".to_owned()),
            ..SystemReport::default()
        }
    }

    fn source(state: &str) -> SourceReport {
        SourceReport {
            name: Some("a.example".to_owned()),
            address: Some("192.0.2.1:123".to_owned()),
            state: Some(state.into()),
            reason: Some("reason".to_owned()),
            change: Some("change".to_owned()),
            ..SourceReport::default()
        }
    }

    const TEXT: Form = Form::Text(Screen::WIDE);

    fn said(sources: &[SourceReport], name: Option<&str>, form: Form) -> String {
        explain(&clock(), sources, name, form).ok().expect("there is one")
    }

    #[test]
    fn the_clock_comes_first_and_then_each_source_with_what_would_change_it() {
        let mut falseticker = source("falseticker");
        falseticker.address = Some(String::new());
        falseticker.rejected = Some([("bad_origin".into(), 3), ("kiss".into(), 1)].into());
        let expected = "the clock (synchronised): the clock follows 1 of 2 sources\n\
            \n\
            a.example, 192.0.2.1:123 (selected)\n\
            used    reason\n\
            change  change\n\
            \n\
            a.example (falseticker)\n\
            not used  reason\n\
            change    change\n\
            tests     3 replies discarded (bad_origin): its replies do not belong to our queries; they may be forged\n\
            tests     1 reply not used (kiss): it refuses to tell the time (kiss-o'-death)\n";
        assert_eq!(said(&[source("selected"), falseticker], None, TEXT), expected);
    }

    #[test]
    fn each_state_is_used_or_not_as_the_others_say_and_each_test_has_its_sentence() {
        for state in SourceState::ALL {
            let page = said(&[source(state.name())], None, TEXT);
            assert_eq!(page.contains("\nnot used  reason"), !state.is_used(), "{page}");
            assert_eq!(page.contains("\nused    reason"), state.is_used(), "{page}");
        }
        let mut all = source("unusable");
        all.rejected = Some(RejectReason::ALL.map(|test| (test.into(), 2)).into());
        let page = said(&[all], None, TEXT);
        for test in RejectReason::ALL {
            let row = format!("2 replies {} ({test}): {}", test.effect().name(), test.meaning());
            assert!(page.contains(&row), "{row}: {page}");
        }
    }

    #[test]
    fn one_source_is_found_by_name_and_by_address_and_another_name_is_an_error() {
        let mut other = source("waiting");
        other.name = Some("b.example".to_owned());
        let sources = [source("selected"), other];
        assert!(!said(&sources, Some("b.example"), TEXT).contains("a.example"));
        assert!(said(&sources, Some("192.0.2.1"), TEXT).contains("a.example"));
        let failure = explain(&clock(), &sources, Some("c.example"), TEXT).expect_err("there is none");
        assert!(
            failure.code == 1 && failure.text.ends_with("there are: a.example, b.example"),
            "{}",
            failure.text
        );
    }

    #[test]
    fn a141_words_of_another_version_are_shown_and_nothing_in_them_is_obeyed() {
        let mut newer = source("or\u{1b}biting");
        newer.rejected = Some([("of_tomorrow\u{7}".into(), 2)].into());
        newer.change = None;
        let page = said(&[newer.clone()], None, TEXT);
        assert!(page.contains("why    reason\ntests  2 replies rejected (of_tomorrow\\u{7})"), "{page}");
        assert!(!page.contains('\u{1b}'));
        let document: Value = serde_json::from_str(&said(&[newer], None, Form::Json)).expect("it is JSON");
        assert_eq!(document["sources"][0]["used"], Value::Null);
        assert_eq!(document["clock"]["reason"], "the clock follows 1 of 2 sources");
    }
}
