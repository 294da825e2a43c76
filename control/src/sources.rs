//! `chimerctl sources`, `source NAME` and `server`.

use crate::Failure;
use crate::keys;
use crate::socket::ask;
use crate::text::{json, plain, seconds, table};
use serde_json::{Value, json};
use std::path::Path;

/// The longest reason in a table, in characters.
const MAX_REASON: usize = 72;

/// One line for each source.
pub fn list_page(reply: &Value) -> String {
    let rows: Vec<Vec<String>> = of(reply).iter().map(row).collect();
    if rows.is_empty() {
        return "no source is configured\n".to_owned();
    }
    let head = [
        "STATE", "NAME", "ADDRESS", "AUTH", "STRATUM", "REACH", "POLL", "OFFSET", "± ERROR", "DELAY", "LAST",
        "WHY",
    ];
    table(&head, &rows)
}

/// Asks for all sources.
pub fn list(socket: &Path, as_json: bool) -> Result<String, Failure> {
    let reply = ask(socket, "sources")?;
    Ok(if as_json { json(&reply) } else { list_page(&reply) })
}

/// Asks for all sources and shows those that have this name or address.
pub fn show(socket: &Path, name: &str, as_json: bool) -> Result<String, Failure> {
    let reply = ask(socket, "sources")?;
    let found: Vec<&Value> = of(&reply).iter().filter(|source| is_called(source, name)).collect();
    if found.is_empty() {
        let names: Vec<String> = of(&reply).iter().map(|source| plain(at(source, "name"))).collect();
        let text = format!("no source is called {name}; there are: {}", names.join(", "));
        return Err(Failure { text, code: 1 });
    }
    Ok(match as_json {
        true => json(&json!({ "sources": found })),
        false => found.into_iter().map(detail).collect::<Vec<_>>().join("\n"),
    })
}

/// Asks for the counts of the server role.
pub fn server(socket: &Path, as_json: bool) -> Result<String, Failure> {
    let reply = ask(socket, "server")?;
    Ok(if as_json { json(&reply) } else { server_page(&reply) })
}

fn server_page(reply: &Value) -> String {
    let counts = [
        ("received", "datagrams read"),
        ("answered", "replies sent"),
        ("limited", "silent: too many requests from there"),
        ("denied", "silent: not allowed to ask"),
        ("malformed", "silent: not a request"),
        ("control", "silent: mode 6 or 7"),
        ("unsynchronised", "silent: the clock is not synchronised"),
        ("failed", "replies that the kernel did not take"),
        ("spared", "of the answered: too many, answered all the same"),
        ("interleaved", "of the answered: interleaved"),
        ("kissed", "told to ask less often (RATE)"),
        ("protected", "of the answered: protected by NTS"),
        ("nak", "told that their cookies are of no use here (NTS NAK)"),
    ];
    match reply.get("server").filter(|server| server.is_object()) {
        None if at(reply, "configured").as_bool() == Some(true) => {
            "the server role runs; it has counted nothing yet\n".to_owned()
        }
        None => "the server role is off: there is no [server] in the configuration, so nobody is answered\n"
            .to_owned(),
        Some(server) => {
            let rows = counts
                .iter()
                .map(|(key, means)| vec![(*key).to_owned(), plain(at(server, key)), (*means).to_owned()]);
            table(&["COUNT", "SINCE START", "MEANING"], &rows.collect::<Vec<_>>())
        }
    }
}

fn of(reply: &Value) -> &[Value] {
    reply.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn at<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&Value::Null)
}

fn is_called(source: &Value, name: &str) -> bool {
    let address = at(source, "address").as_str().unwrap_or("");
    // Without its port, too, as people think of it.
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host.trim_matches(['[', ']']));
    !name.is_empty() && (at(source, "name").as_str() == Some(name) || address == name || host == name)
}

fn reach(source: &Value) -> String {
    at(source, "reach").as_u64().map_or("-".to_owned(), |reach| format!("{reach:o}"))
}

fn authenticated(source: &Value) -> String {
    keys::short(source).unwrap_or_else(|| match at(source, "authenticated").as_bool() {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => "-".to_owned(),
    })
}

fn row(source: &Value) -> Vec<String> {
    vec![
        plain(at(source, "state")),
        plain(at(source, "name")),
        plain(at(source, "address")),
        authenticated(source),
        plain(at(source, "stratum")),
        reach(source),
        plain(at(source, "poll")),
        seconds(at(source, "offset_s"), true),
        seconds(at(source, "offset_error_s"), false),
        seconds(at(source, "delay_s"), false),
        seconds(at(source, "last_valid_s"), false),
        short_reason(source),
    ]
}

/// Why a source isn't used, without the details and the remedy; nothing for one that is.
fn short_reason(source: &Value) -> String {
    let state = at(source, "state").as_str();
    let reason = at(source, "reason").as_str().filter(|_| !matches!(state, Some("selected" | "combined")));
    let reason = reason.unwrap_or("").split("; ").next().unwrap_or("");
    match reason.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", reason.get(..end).unwrap_or("")),
        None => reason.to_owned(),
    }
}

fn detail(source: &Value) -> String {
    let mut rows = vec![
        ("name", plain(at(source, "name"))),
        ("address", plain(at(source, "address"))),
        ("state", plain(at(source, "state"))),
        ("why", plain(at(source, "reason"))),
        ("authenticated", authenticated(source)),
        ("stratum", plain(at(source, "stratum"))),
        ("reference id", plain(at(source, "reference_id"))),
        ("reach", format!("{} (octal; the last eight polls)", reach(source))),
        ("poll", format!("{} (log2 s)", plain(at(source, "poll")))),
        ("next poll", seconds(at(source, "next_poll_s"), false)),
        ("offset", seconds(at(source, "offset_s"), true)),
        ("offset error", seconds(at(source, "offset_error_s"), false)),
        ("delay", seconds(at(source, "delay_s"), false)),
        ("jitter", seconds(at(source, "jitter_s"), false)),
        ("root distance", seconds(at(source, "root_distance_s"), false)),
        ("queries sent", plain(at(source, "sent"))),
        ("valid replies", plain(at(source, "valid"))),
        ("last valid", seconds(at(source, "last_valid_s"), false)),
    ];
    rows.extend(keys::detail(source));
    if let Some(rejected) = at(source, "rejected").as_object() {
        let reasons = rejected.iter().map(|(reason, count)| format!("{reason} {}", plain(count)));
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

    fn reply() -> Value {
        json!({ "sources": [
            {
                "name": "ntp.example.org", "address": "192.0.2.1:123", "state": "selected", "reason": "best",
                "authenticated": false, "stratum": 2, "reach": 255, "poll": 6, "offset_s": -2e-6,
                "rejected": { "origin": 3 },
            },
            {
                "name": "[2001:db8::1]:1123", "address": "[2001:db8::1]:1123", "state": "\u{1b}c",
                "offset_s": null, "delay_s": null, "rejected": {},
            },
        ] })
    }

    #[test]
    fn each_source_is_one_line() {
        let page = list_page(&reply());
        assert_eq!(page.lines().count(), 3);
        let line = page.lines().nth(1).unwrap();
        for part in ["selected", "ntp.example.org", "192.0.2.1:123", "377", "-2.000 µs"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!page.contains('\u{1b}'));
        assert_eq!(list_page(&json!({})), "no source is configured\n");
    }

    #[test]
    fn a_source_that_is_not_used_says_why_on_its_line_and_others_do_not() {
        let reason = |state: &str, reason: &str| short_reason(&json!({ "state": state, "reason": reason }));
        let never = "it has never answered; check its address and the firewall (UDP port 123)";
        assert_eq!(reason("unreachable", never), "it has never answered");
        for used in ["selected", "combined"] {
            assert_eq!(reason(used, never), "");
        }
        let long = "é".repeat(MAX_REASON + 1);
        assert_eq!(reason("x", &long), "é".repeat(MAX_REASON) + "…");
        assert_eq!(reason("x", &long[2..]), long[2..]);
        assert_eq!(short_reason(&json!({ "state": "waiting" })), "");

        let sources = json!({ "sources": [{ "state": "unreachable", "reason": never, "last_valid_s": 9 }] });
        let page = list_page(&sources);
        assert!(page.lines().next().unwrap().ends_with("LAST     WHY"), "{page}");
        assert!(page.lines().nth(1).unwrap().ends_with("9.000 s  it has never answered"), "{page}");
    }

    #[test]
    fn a_source_is_found_by_name_by_address_and_without_its_port() {
        let reply = reply();
        let found = |name: &str| of(&reply).iter().filter(|source| is_called(source, name)).count();
        for name in ["ntp.example.org", "192.0.2.1:123", "192.0.2.1", "2001:db8::1", "[2001:db8::1]:1123"] {
            assert_eq!(found(name), 1, "{name}");
        }
        assert_eq!((found("192.0.2"), found("")), (0, 0));
    }

    #[test]
    fn the_detail_says_what_was_thrown_away() {
        assert!(detail(&of(&reply())[0]).contains("thrown away    origin 3"));
        assert!(detail(&of(&reply())[1]).contains("thrown away    nothing"));
        assert!(detail(&json!(null)).contains("name"));
    }

    #[test]
    fn a_server_without_counts_is_said_so() {
        let page = |configured: bool| server_page(&json!({ "configured": configured, "server": null }));
        assert!(page(false).contains("the server role is off"));
        assert!(page(true).contains("it has counted nothing yet"));
        let page = server_page(&json!({ "server": { "answered": 7 } }));
        let line = page.lines().find(|line| line.starts_with("answered")).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some("7"));
    }
}
