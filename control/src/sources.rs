//! `chimerctl sources`, `source NAME` and `server`.

use crate::Failure;
use crate::keys;
use crate::text::{UNKNOWN, counts, json, known, plain, seconds, table};
use control_socket::{ask, read};
use report::SourceState;
use report::read::{ServerReply, SourceReport, SourcesReply};
use serde_json::{Value, json};
use std::path::Path;

/// The longest reason in a table, in characters.
const MAX_REASON: usize = 72;

/// One line for each source.
fn list_page(reply: &SourcesReply) -> String {
    let rows: Vec<Vec<String>> = reply.sources.iter().flatten().map(row).collect();
    if rows.is_empty() {
        return "no source is configured\n".to_owned();
    }
    let head = [
        "STATE", "NAME", "ADDRESS", "AUTH", "STRATUM", "REACH", "POLL", "OFFSET", "± ERROR", "DELAY", "LAST",
        "WHY",
    ];
    let sources = reply.sources.as_deref().unwrap_or_default();
    table(&head, &rows) + &one_operator(sources) + &offered(sources)
}

/// A line for each source that a program has left.
fn offered(sources: &[SourceReport]) -> String {
    let shown = sources.iter().filter_map(|source| {
        let file = source.offered_by.as_ref()?;
        Some(("from a program:", format!("{} (sources.d/{file})", plain(source.name.as_ref()))))
    });
    crate::text::list(&shown.collect::<Vec<_>>())
}

/// A line for each source whose certificate shows the operator of others.
fn one_operator(sources: &[SourceReport]) -> String {
    let shown = sources.iter().filter_map(|source| {
        let others = source.nts.as_ref()?.one_operator.as_deref().filter(|others| !others.is_empty())?;
        let name = plain(source.name.as_ref());
        Some(("one operator:", format!("{name} and {}, as certificates show", others.join(", "))))
    });
    crate::text::list(&shown.collect::<Vec<_>>())
}

/// Requests all sources.
pub fn list(socket: &Path, as_json: bool) -> Result<String, Failure> {
    let answer = ask(socket, "sources")?;
    Ok(if as_json { json(&answer) } else { list_page(&read(&answer)?) })
}

/// Requests all sources and shows those that have this name or address.
pub fn show(socket: &Path, name: &str, as_json: bool) -> Result<String, Failure> {
    find(&ask(socket, "sources")?, name, as_json)
}

fn find(answer: &Value, name: &str, as_json: bool) -> Result<String, Failure> {
    let sources = read::<SourcesReply>(answer)?.sources.unwrap_or_default();
    let said = answer.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let called = sources.iter().zip(said).filter(|(source, _)| is_called(source, name));
    let (found, said): (Vec<&SourceReport>, Vec<&Value>) = called.unzip();
    if found.is_empty() {
        let names: Vec<String> = sources.iter().map(|source| plain(source.name.as_ref())).collect();
        let text = format!("no source is called {name}; there are: {}", names.join(", "));
        return Err(Failure { text, code: 1 });
    }
    Ok(match as_json {
        true => json(&json!({ "sources": said })),
        false => found.into_iter().map(detail).collect::<Vec<_>>().join("\n"),
    })
}

/// Requests the counters of the server.
pub fn server(socket: &Path, as_json: bool) -> Result<String, Failure> {
    let answer = ask(socket, "server")?;
    Ok(if as_json { json(&answer) } else { server_page(&read(&answer)?) })
}

fn server_page(reply: &ServerReply) -> String {
    let meanings = [
        ("received", "datagrams read"),
        ("answered", "replies sent"),
        ("limited", "silent: too many requests from there"),
        ("denied", "silent: denied by the access rules"),
        ("malformed", "silent: not a request"),
        ("control", "silent: mode 6 or 7"),
        ("unsynchronised", "silent: the clock is not synchronised"),
        ("failed", "replies that the kernel refused to send"),
        ("spared", "of the answered: too many, answered all the same"),
        ("interleaved", "of the answered: interleaved"),
        ("kissed", "asked to poll less often (RATE)"),
        ("protected", "of the answered: protected by NTS"),
        ("nak", "told that their cookies cannot be opened (NTS NAK)"),
    ];
    match &reply.server {
        None if reply.configured == Some(true) => "the server runs; it has counted nothing yet\n".to_owned(),
        None => "the server is off: there is no [server] in the configuration, so no client is answered\n"
            .to_owned(),
        Some(server) => counts("COUNT", server, &meanings),
    }
}

fn is_called(source: &SourceReport, name: &str) -> bool {
    let address = source.address.as_deref().unwrap_or("");
    // Also without its port, as people name it.
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host.trim_matches(['[', ']']));
    !name.is_empty() && (source.name.as_deref() == Some(name) || address == name || host == name)
}

fn reach(source: &SourceReport) -> String {
    source.reach.map_or(UNKNOWN.to_owned(), |reach| format!("{reach:o}"))
}

fn authenticated(source: &SourceReport) -> String {
    keys::short(source).unwrap_or_else(|| match source.authenticated {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => UNKNOWN.to_owned(),
    })
}

fn row(source: &SourceReport) -> Vec<String> {
    vec![
        plain(source.state.as_ref()),
        plain(source.name.as_ref()),
        plain(source.address.as_ref()),
        authenticated(source),
        plain(source.stratum.as_ref()),
        reach(source),
        plain(source.poll.as_ref()),
        seconds(source.offset_s, true),
        seconds(source.offset_error_s, false),
        seconds(source.delay_s, false),
        seconds(source.last_valid_s, false),
        short_reason(source),
    ]
}

/// Why a source is not used, without the details and the remedy; `None` for one that is used.
fn short_reason(source: &SourceReport) -> String {
    let is_used = matches!(known(source.state.as_ref()), Some(SourceState::Selected | SourceState::Combined));
    let reason = source.reason.as_deref().filter(|_| !is_used);
    let reason = reason.unwrap_or("").split("; ").next().unwrap_or("");
    match reason.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", reason.get(..end).unwrap_or("")),
        None => reason.to_owned(),
    }
}

fn detail(source: &SourceReport) -> String {
    let mut rows = vec![
        ("name", plain(source.name.as_ref())),
        ("address", plain(source.address.as_ref())),
        ("state", plain(source.state.as_ref())),
        ("why", plain(source.reason.as_ref())),
        ("authenticated", authenticated(source)),
        ("stratum", plain(source.stratum.as_ref())),
        ("reference id", plain(source.reference_id.as_ref())),
        ("reach", format!("{} (octal; the last eight polls)", reach(source))),
        ("poll", format!("{} (log2 s)", plain(source.poll.as_ref()))),
        ("next poll", seconds(source.next_poll_s, false)),
        ("offset", seconds(source.offset_s, true)),
        ("offset error", seconds(source.offset_error_s, false)),
        ("delay", seconds(source.delay_s, false)),
        ("jitter", seconds(source.jitter_s, false)),
        ("root distance", seconds(source.root_distance_s, false)),
        ("queries sent", plain(source.sent.as_ref())),
        ("valid replies", plain(source.valid.as_ref())),
        ("last valid", seconds(source.last_valid_s, false)),
    ];
    if let Some(file) = &source.offered_by {
        rows.push(("offered by", format!("sources.d/{file}")));
    }
    rows.extend(keys::detail(source));
    if let Some(rejected) = &source.rejected {
        let reasons = rejected.iter().map(|(reason, count)| format!("{reason} {count}"));
        rows.push((
            "thrown away",
            match rejected.is_empty() {
                true => "nothing".to_owned(),
                false => reasons.collect::<Vec<_>>().join(", "),
            },
        ));
    }
    crate::text::list(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Value {
        json!({ "sources": [
            {
                "name": "ntp.example.org", "address": "192.0.2.1:123", "state": "selected", "reason": "best",
                "authenticated": false, "stratum": 2, "reach": 255, "poll": 6, "offset_s": -2e-6,
                "rejected": { "bad_origin": 3 }, "colour": "blue",
            },
            {
                "name": "[2001:db8::1]:1123", "address": "[2001:db8::1]:1123", "state": "\u{1b}c",
                "offset_s": null, "delay_s": null, "rejected": {},
            },
        ] })
    }

    fn sources(answer: &Value) -> Vec<SourceReport> {
        read::<SourcesReply>(answer).unwrap().sources.unwrap()
    }

    #[test]
    fn sources_of_one_operator_are_named_below_the_table_and_on_their_pages() {
        let nts = json!({ "organisation": "Example\u{1b} Ltd", "one_operator": ["b.example", "c.example"] });
        let other = json!({ "name": "b.example", "nts": { "organisation": "", "one_operator": [] } });
        let answer =
            json!({ "sources": [{ "name": "a.example", "nts": nts }, other, { "name": "d.example" }] });
        let page = list_page(&read(&answer).unwrap());
        let lines: Vec<&str> = page.lines().skip(4).collect();
        assert_eq!(lines, ["one operator:  a.example and b.example, c.example, as certificates show"]);
        let detail = find(&answer, "a.example", false).ok().unwrap();
        assert!(detail.contains("Example\\u{1b} Ltd") && detail.contains("b.example, c.example"), "{detail}");
        let row = |begin: &str| {
            let page = find(&answer, "b.example", false).ok().unwrap();
            let line = page.lines().find(|line| line.starts_with(begin)).unwrap().to_owned();
            line.split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!((row("organisation"), row("one operator with")), ("-".to_owned(), "-".to_owned()));
    }

    #[test]
    fn each_source_is_one_line() {
        let page = list_page(&read(&answer()).unwrap());
        assert_eq!(page.lines().count(), 3);
        let line = page.lines().nth(1).unwrap();
        for part in ["selected", "ntp.example.org", "192.0.2.1:123", "377", "-2.000 µs"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!page.contains('\u{1b}'));
        assert_eq!(list_page(&SourcesReply::default()), "no source is configured\n");
    }

    #[test]
    fn a_source_that_is_not_used_says_why_on_its_line_and_others_do_not() {
        let said = |state: &str, reason: &str| SourceReport {
            state: Some(state.into()),
            reason: Some(reason.to_owned()),
            ..SourceReport::default()
        };
        let reason = |state: &str, reason: &str| short_reason(&said(state, reason));
        let never = "it has never answered; check its address and the firewall (UDP port 123)";
        assert_eq!(reason("unreachable", never), "it has never answered");
        for used in ["selected", "combined"] {
            assert_eq!(reason(used, never), "");
        }
        let long = "é".repeat(MAX_REASON + 1);
        assert_eq!(reason("x", &long), "é".repeat(MAX_REASON) + "…");
        assert_eq!(reason("x", &long[2..]), long[2..]);
        assert_eq!(short_reason(&SourceReport::default()), "");

        let unreachable = SourceReport { last_valid_s: Some(9.0), ..said("unreachable", never) };
        let page = list_page(&SourcesReply { sources: Some(vec![unreachable]) });
        assert!(page.lines().next().unwrap().ends_with("LAST     WHY"), "{page}");
        assert!(page.lines().nth(1).unwrap().ends_with("9.000 s  it has never answered"), "{page}");
    }

    #[test]
    fn a_source_is_found_by_name_by_address_and_without_its_port() {
        let sources = sources(&answer());
        let found = |name: &str| sources.iter().filter(|source| is_called(source, name)).count();
        for name in ["ntp.example.org", "192.0.2.1:123", "192.0.2.1", "2001:db8::1", "[2001:db8::1]:1123"] {
            assert_eq!(found(name), 1, "{name}");
        }
        assert_eq!((found("192.0.2"), found("")), (0, 0));
    }

    #[test]
    fn json_of_one_source_is_what_the_daemon_says_of_it_and_of_no_other() {
        let Ok(text) = find(&answer(), "192.0.2.1", true) else { panic!("it is there") };
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(said, json!({ "sources": [answer()["sources"][0]] }), "a newer daemon's fields too");
    }

    #[test]
    fn the_detail_says_what_was_thrown_away() {
        let sources = sources(&answer());
        assert!(detail(&sources[0]).contains("thrown away    bad_origin 3"));
        assert!(detail(&sources[1]).contains("thrown away    nothing"));
        assert!(detail(&SourceReport::default()).contains("name"));
    }

    /// `engine/src/answers/tests.rs` checks that the engine writes the same.
    #[test]
    fn the_golden_documents_are_read_to_the_last_field() {
        let answer: Value =
            serde_json::from_str(include_str!("../../ipc/report/tests/sources.json")).unwrap();
        let expected = "name               a.example\n\
            address            [2001:db8::1]:123\n\
            state              selected\n\
            why                it agrees with the majority and is the nearest to true time\n\
            authenticated      NTS 8\n\
            stratum            2\n\
            reference id       c0000201\n\
            reach              377 (octal; the last eight polls)\n\
            poll               -2 (log2 s)\n\
            next poll          12.500 s\n\
            offset             -2.000 µs\n\
            offset error       100.000 ns\n\
            delay              10.000 ms\n\
            jitter             25.000 µs\n\
            root distance      6.000 ms\n\
            queries sent       20\n\
            valid replies      19\n\
            last valid         51.500 s\n\
            keys               ready, kept over a restart\n\
            last exchange      keys were exchanged\n\
            next exchange      28 d\n\
            exchanges          1, failed: 2\n\
            AEAD               AES-128-GCM-SIV (30)\n\
            key age            3 s\n\
            cookies            8\n\
            NTS NAKs           4\n\
            certificate until  2027-01-15\n\
            another server     named by the key exchange\n\
            organisation       Example Ltd\n\
            one operator with  c.example\n\
            thrown away        bad_origin 3, nts_nak 4\n";
        assert_eq!(detail(&sources(&answer)[0]), expected);
        let unheard = detail(&sources(&answer)[1]);
        assert!(
            unheard.contains("authenticated  no\n") && unheard.contains("offset         -\n"),
            "{unheard}"
        );
        assert!(unheard.contains("offered by     sources.d/dhcp-eth0.toml\n"), "{unheard}");
        let page = list_page(&read(&answer).unwrap());
        assert!(page.ends_with("from a program:  b.example (sources.d/dhcp-eth0.toml)\n"), "{page}");

        let answer: Value = serde_json::from_str(include_str!("../../ipc/report/tests/server.json")).unwrap();
        let page = server_page(&read(&answer).unwrap());
        let counted: u64 = page
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
            .sum();
        assert_eq!((page.lines().count(), counted), (14, (1..=13).sum()), "{page}");
    }

    #[test]
    fn a_server_without_counts_is_said_so() {
        let page =
            |configured: bool| server_page(&ServerReply { configured: Some(configured), server: None });
        assert!(page(false).contains("the server is off"));
        assert!(page(true).contains("it has counted nothing yet"));
        let page = server_page(&read(&json!({ "server": { "answered": 7 } })).unwrap());
        let line = |name: &str| page.lines().find(|line| line.starts_with(name)).unwrap();
        assert_eq!(line("answered").split_whitespace().nth(1), Some("7"));
        assert_eq!(line("nak").split_whitespace().nth(1), Some("-"), "an older daemon counts no such thing");
    }
}
