//! `chimerctl keys`, and what `reload` waits for. No key is ever among what the engine says.

use crate::Failure;
use crate::socket::ask;
use crate::text::{day, json, length, list, plain, table};
use serde_json::Value;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How often, and how far apart, it is asked what became of a certificate that is read anew.
const LOOKS: u32 = 300;
const BETWEEN: Duration = Duration::from_millis(100);

/// Asks for all that is known of keys.
pub fn show(socket: &Path, as_json: bool) -> Result<String, Failure> {
    let reply = ask(socket, "keys")?;
    Ok(if as_json { json(&reply) } else { page(&reply) })
}

/// What became of the certificate that is being read anew: a sentence, and whether it is in use. `readings`: how
/// often it was read before.
pub fn await_certificate(socket: &Path, readings: u64) -> Result<(String, bool), Failure> {
    for _ in 0..LOOKS {
        let reply = ask(socket, "keys")?;
        let certificate = at(at(&reply, "key_exchange"), "certificate");
        if at(certificate, "readings").as_u64().is_some_and(|read| read > readings) {
            let is_in_use = at(certificate, "state").as_str() == Some("in-use");
            return Ok((describe(certificate), is_in_use));
        }
        thread::sleep(BETWEEN);
    }
    Ok(("the certificate was not read within 30 s; see chimerctl keys and the log".to_owned(), false))
}

/// One line on the certificate; nothing where there is no key exchange service.
pub fn certificate_line(reply: &Value) -> Option<String> {
    let certificate = reply.get("key_exchange")?.get("certificate")?;
    certificate.is_object().then(|| describe(certificate))
}

fn describe(certificate: &Value) -> String {
    let until = at(certificate, "not_after").as_i64().map(|until| {
        let days = at(certificate, "days_left");
        format!("in use until {} ({} days left)", day(until), plain(days))
    });
    let warning = at(certificate, "warning").as_str();
    match (until, warning) {
        (None, None) => "not read yet".to_owned(),
        (Some(until), None) => until,
        (None, Some(warning)) => warning.to_owned(),
        (Some(until), Some(warning)) => format!("{until}; {warning}"),
    }
}

fn page(reply: &Value) -> String {
    let mut text = sources(reply);
    if let Some(keys) = reply.get("cookie_keys").filter(|keys| keys.is_object()) {
        text.push('\n');
        text.push_str(&cookie_keys(keys));
    }
    if let Some(service) = reply.get("key_exchange").filter(|service| service.is_object()) {
        text.push('\n');
        text.push_str(&list(&[("certificate", describe(at(service, "certificate")))]));
        text.push_str(&counters(at(service, "counters")));
    }
    text
}

fn sources(reply: &Value) -> String {
    let sources = reply.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = sources.iter().map(row).collect();
    match rows.is_empty() {
        true => "no source has mode = \"nts\"\n".to_owned(),
        false => table(
            &[
                "NAME",
                "ADDRESS",
                "KEYS",
                "AEAD",
                "KEY AGE",
                "COOKIES",
                "NAKS",
                "NEXT EXCHANGE",
                "LAST EXCHANGE",
            ],
            &rows,
        ),
    }
}

fn row(source: &Value) -> Vec<String> {
    let restored = if at(source, "restored").as_bool() == Some(true) { " (kept)" } else { "" };
    vec![
        plain(at(source, "name")),
        plain(at(source, "address")),
        format!("{}{restored}", plain(at(source, "state"))),
        aead(at(source, "aead")),
        length(at(source, "key_age_s")),
        plain(at(source, "cookies")),
        plain(at(source, "naks")),
        length(at(source, "next_exchange_s")),
        plain(at(source, "last_exchange")),
    ]
}

/// The algorithm by the name that people know, and its number.
fn aead(number: &Value) -> String {
    match number.as_u64() {
        Some(15) => "AES-SIV-CMAC-256 (15)".to_owned(),
        Some(30) => "AES-128-GCM-SIV (30)".to_owned(),
        _ => plain(number),
    }
}

fn cookie_keys(keys: &Value) -> String {
    let date =
        |number: &Value| number.as_i64().map_or("-".to_owned(), |number| day(number.saturating_mul(86_400)));
    let open: Vec<String> = at(keys, "epochs").as_array().into_iter().flatten().take(8).map(date).collect();
    let origin = match at(keys, "origin").as_str() {
        Some("fleet") => "of a fleet's secret".to_owned(),
        Some("own") => "of this server's own secret".to_owned(),
        _ => plain(at(keys, "origin")),
    };
    let mut rows = vec![
        ("cookie keys", origin),
        ("seal with that of", date(at(keys, "current"))),
        ("open with those of", if open.is_empty() { "-".to_owned() } else { open.join(", ") }),
    ];
    if at(keys, "settled").as_bool() == Some(false) {
        rows.push(("not turned", "until the clock is synchronised".to_owned()));
    }
    if at(keys, "trouble").is_string() {
        rows.push(("trouble", plain(at(keys, "trouble"))));
    }
    list(&rows)
}

fn counters(counters: &Value) -> String {
    let counts = [
        ("accepted", "connections"),
        ("exchanged", "ended with cookies"),
        ("limited", "closed at once: too many, in all or from there"),
        ("tls", "TLS failed"),
        ("refused", "answered with an error, or nothing in common"),
        ("late", "took too long"),
        ("gone", "the client went away"),
    ];
    if !counters.is_object() {
        return "nobody has asked for keys yet\n".to_owned();
    }
    let rows = counts
        .iter()
        .map(|(key, means)| vec![(*key).to_owned(), plain(at(counters, key)), (*means).to_owned()]);
    table(&["KEY EXCHANGES", "SINCE START", "MEANING"], &rows.collect::<Vec<_>>())
}

/// Rows for the page of one source; none for a plain one.
pub fn detail(source: &Value) -> Vec<(&'static str, String)> {
    let Some(nts) = source.get("nts").filter(|nts| nts.is_object()) else { return Vec::new() };
    let restored = if at(nts, "restored").as_bool() == Some(true) { ", kept over a restart" } else { "" };
    let until = at(nts, "certificate_until").as_i64().map_or("-".to_owned(), day);
    let redirected =
        if at(nts, "redirected").as_bool() == Some(true) { "named by the key exchange" } else { "no" };
    vec![
        ("keys", format!("{}{restored}", plain(at(nts, "state")))),
        ("last exchange", plain(at(nts, "last_exchange"))),
        ("next exchange", length(at(nts, "next_exchange_s"))),
        ("exchanges", format!("{}, failed: {}", plain(at(nts, "exchanges")), plain(at(nts, "failures")))),
        ("AEAD", aead(at(nts, "aead"))),
        ("key age", length(at(nts, "key_age_s"))),
        ("cookies", plain(at(nts, "cookies"))),
        ("NTS NAKs", plain(at(nts, "naks"))),
        ("certificate until", until),
        ("another server", redirected.to_owned()),
    ]
}

/// How replies are authenticated, for a table: with NTS, and how many cookies are left.
pub fn short(source: &Value) -> Option<String> {
    let nts = source.get("nts").filter(|nts| nts.is_object())?;
    Some(match at(nts, "state").as_str() {
        Some("ready") => format!("NTS {}", plain(at(nts, "cookies"))),
        _ => format!("NTS {}", plain(at(nts, "state"))),
    })
}

fn at<'v>(value: &'v Value, key: &str) -> &'v Value {
    value.get(key).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source() -> Value {
        json!({
            "name": "a.example", "address": "192.0.2.1:123", "state": "ready", "last_exchange": "done \u{1b}[2J",
            "next_exchange_s": 2_419_200.0, "exchanges": 1, "failures": 2, "aead": 30, "key_age_s": 90_000.0,
            "restored": true, "cookies": 8, "redirected": true, "naks": 3, "certificate_until": 1_800_000_000,
        })
    }

    fn reply() -> Value {
        json!({
            "sources": [source()],
            "cookie_keys": {
                "origin": "fleet", "current": 20_758, "epochs": [20_757, 20_758, 20_759], "settled": false,
                "trouble": null,
            },
            "key_exchange": {
                "certificate": {
                    "state": "in-use", "readings": 2, "not_before": 0, "not_after": 1_800_000_000, "days_left": 9,
                    "warning": "the certificate of [server.nts] expires in 9 days: renew it",
                },
                "counters": { "accepted": 5, "exchanged": 4, "limited": 0, "tls": 1, "refused": 0, "late": 0, "gone": 0 },
            },
        })
    }

    #[test]
    fn the_page_has_sources_cookie_keys_certificate_and_counts() {
        let page = page(&reply());
        for part in [
            "a.example",
            "ready (kept)",
            "AES-128-GCM-SIV (30)",
            "25 h",
            "28 d",
            "of a fleet's secret",
            "2026-11-01",
            "2026-10-31, 2026-11-01, 2026-11-02",
            "until the clock is synchronised",
            "in use until 2027-01-15 (9 days left); the certificate of [server.nts] expires in 9 days",
            "ended with cookies",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        assert!(!page.contains('\u{1b}'));
    }

    #[test]
    fn a_host_without_nts_has_a_page_too() {
        assert_eq!(page(&json!({})), "no source has mode = \"nts\"\n");
        let without = page(&json!({ "sources": [], "cookie_keys": null, "key_exchange": {} }));
        assert!(
            without.contains("not read yet") && without.contains("nobody has asked for keys yet"),
            "{without}"
        );
        assert_eq!(certificate_line(&json!({ "key_exchange": null })), None);
    }

    #[test]
    fn a141_any_json_makes_a_page() {
        for value in [json!(1), json!([]), json!("x"), json!({ "a": {} })] {
            let reply =
                json!({ "sources": [value], "cookie_keys": { "epochs": value }, "key_exchange": value });
            assert!(page(&reply).lines().count() > 1);
            detail(&json!({ "nts": value }));
        }
    }

    #[test]
    fn a_source_says_in_short_how_it_is_authenticated() {
        let nts = |state: &str| short(&json!({ "nts": { "state": state, "cookies": 7 } }));
        assert_eq!(nts("ready"), Some("NTS 7".to_owned()));
        assert_eq!(nts("exchanging"), Some("NTS exchanging".to_owned()));
        assert_eq!(short(&json!({ "nts": null })), None);
        let rows = detail(&json!({ "nts": source() }));
        assert!(rows.iter().any(|(name, value)| *name == "certificate until" && value == "2027-01-15"));
        assert_eq!(detail(&json!({})), []);
    }
}
