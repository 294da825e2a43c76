//! `chimerctl keys`, and the result that `reload` waits for. The engine's output never contains a key.

use crate::Failure;
use crate::screen::{Form, Screen};
use crate::text::{UNKNOWN, counts, day, json, known, length, list, plain, table};
use control_socket::{ask, read};
use report::read::{
    CertificateReply, CookieKeysReply, FurtherCertificateReply, KeyExchangeReply, KeysReply, ReloadedReply,
    SourceKeys, SourceReport, SourcesReply, SymmetricKeyReport,
};
use report::{AssociationState, CertificateState, CookieKeyOrigin, Word};
use serde_json::{Value, json};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How often, and at what interval, the result of a reload is requested.
const LOOKS: u32 = 300;
const BETWEEN: Duration = Duration::from_millis(100);

/// Requests everything that is known about keys.
pub fn show(socket: &Path, form: Form) -> Result<String, Failure> {
    let mut answer = ask(socket, "keys")?;
    let sources: SourcesReply = read(&ask(socket, "sources")?)?;
    let sources = sources.sources.as_deref().unwrap_or_default();
    Ok(match form {
        Form::Json => {
            if let Some(object) = answer.as_object_mut() {
                object.insert("symmetric".to_owned(), symmetric_list(sources));
            }
            json(&answer)
        }
        Form::Text(screen) => page(&read(&answer)?, sources, screen),
    })
}

/// The sources that are asked with a symmetric key.
fn symmetric_list(all: &[SourceReport]) -> Value {
    let keyed = all.iter().filter_map(|source| Some((source, source.key.as_ref()?)));
    let item = |(source, key): (&SourceReport, &SymmetricKeyReport)| {
        json!({
            "name": source.name,
            "address": source.address,
            "state": source.state.as_ref().map(Word::as_str),
            "key": { "number": key.number, "kind": key.kind, "bits": key.bits },
        })
    };
    keyed.map(item).collect()
}

/// The result of reading the certificate anew, as a reload's answer announced it: a sentence with the files that were
/// read, and whether the certificate that the configuration names is in use.
pub fn await_certificate(socket: &Path, reload: &ReloadedReply) -> Result<(String, bool), Failure> {
    let readings = reload.readings.unwrap_or(0);
    for _ in 0..LOOKS {
        let reply: KeysReply = read(&ask(socket, "keys")?)?;
        let service = reply.key_exchange.unwrap_or_default();
        let certificate = service.certificate.unwrap_or_default();
        if certificate.readings.is_some_and(|read| read > readings) {
            return Ok(judge(reload, &certificate, service.further.as_deref().unwrap_or_default()));
        }
        thread::sleep(BETWEEN);
    }
    Ok(("the certificate was not read within 30 s; see chimerctl keys and the log".to_owned(), false))
}

fn judge(
    reload: &ReloadedReply,
    certificate: &CertificateReply,
    further: &[FurtherCertificateReply],
) -> (String, bool) {
    let in_use = Some(CertificateState::InUse);
    let are_in_use = further.iter().all(|it| known(it.state.as_ref()) == in_use);
    let is_in_use = known(certificate.state.as_ref()) == in_use && are_in_use;
    let is_other = reload.other_files == Some(true);
    let files = match (&reload.certificate_file, &reload.key_file) {
        (Some(certificate), Some(key)) => format!("read {certificate} and its key {key}: "),
        _ => String::new(),
    };
    let rest = if is_other { "; the one that the file names is taken up by a restart" } else { "" };
    let further: String = further.iter().map(|it| format!("; {}", describe_further(it))).collect();
    (format!("{files}{}{further}{rest}", describe(certificate)), is_in_use && !is_other)
}

fn describe_further(further: &FurtherCertificateReply) -> String {
    let FurtherCertificateReply { state, not_before, not_after, days_left, warning, .. } = further.clone();
    let as_first =
        CertificateReply { state, not_before, not_after, days_left, warning, ..CertificateReply::default() };
    format!("{}: {}", plain(further.file.as_ref()), describe(&as_first))
}

/// One line about the certificate; empty if there is no key exchange service.
pub fn certificate_line(service: Option<&KeyExchangeReply>) -> Option<String> {
    let service = service?;
    let further = service.further.iter().flatten().filter(|it| it.warning.is_some());
    let further: String = further.map(|it| format!("; {}", describe_further(it))).collect();
    service.certificate.as_ref().map(|first| format!("{}{further}", describe(first)))
}

fn describe(certificate: &CertificateReply) -> String {
    let until = certificate.not_after.map(|until| match certificate.days_left {
        Some(..=-1) => format!("in use, and expired on {}", day(until)),
        Some(1) => format!("in use until {} (1 day left)", day(until)),
        days => format!("in use until {} ({} days left)", day(until), plain(days.as_ref())),
    });
    match (until, &certificate.warning) {
        (None, None) => "not read yet".to_owned(),
        (Some(until), None) => until,
        (None, Some(warning)) => warning.clone(),
        (Some(until), Some(warning)) => format!("{until}; {warning}"),
    }
}

fn page(reply: &KeysReply, all: &[SourceReport], screen: Screen) -> String {
    let mut text = sources(reply, screen);
    text.push_str(&symmetric(all, screen));
    if let Some(keys) = &reply.cookie_keys {
        text.push('\n');
        text.push_str(&cookie_keys(keys, screen));
    }
    if let Some(service) = &reply.key_exchange {
        let certificate = service.certificate.as_ref().map_or_else(|| UNKNOWN.to_owned(), describe);
        text.push('\n');
        let mut rows = vec![("certificate", certificate)];
        rows.extend(service.further.iter().flatten().map(|it| ("further", describe_further(it))));
        text.push_str(&list(screen, &rows));
        text.push_str(&counters(service, screen));
    }
    text
}

fn sources(reply: &KeysReply, screen: Screen) -> String {
    let rows: Vec<Vec<String>> = reply.sources.iter().flatten().map(row).collect();
    match rows.is_empty() {
        true => "no source has mode = \"nts\"\n".to_owned(),
        false => table(
            screen,
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

/// The sources that are asked with a symmetric key; empty: there is none.
fn symmetric(all: &[SourceReport], screen: Screen) -> String {
    let row = |source: &SourceReport| {
        let key = source.key.as_ref()?;
        Some(vec![
            plain(source.name.as_ref()),
            plain(source.address.as_ref()),
            plain(key.number.as_ref()),
            plain(key.kind.as_ref()),
            plain(key.bits.as_ref()),
            plain(source.state.as_ref()),
        ])
    };
    let rows: Vec<Vec<String>> = all.iter().filter_map(row).collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!(
            "\n{}",
            table(screen, &["NAME", "ADDRESS", "SYMMETRIC KEY", "TYPE", "BITS", "STATE"], &rows)
        ),
    }
}

fn row(source: &SourceKeys) -> Vec<String> {
    let nts = &source.nts;
    let restored = if nts.restored == Some(true) { " (kept)" } else { "" };
    vec![
        plain(source.name.as_ref()),
        plain(source.address.as_ref()),
        format!("{}{restored}", plain(nts.state.as_ref())),
        aead(nts.aead),
        length(nts.key_age_s),
        plain(nts.cookies.as_ref()),
        plain(nts.naks.as_ref()),
        length(nts.next_exchange_s),
        plain(nts.last_exchange.as_ref()),
    ]
}

/// The common name of the algorithm, and its number.
fn aead(number: Option<u16>) -> String {
    match number {
        Some(2) => "AES-256-GCM (2)".to_owned(),
        Some(15) => "AES-SIV-CMAC-256 (15)".to_owned(),
        Some(17) => "AES-SIV-CMAC-512 (17)".to_owned(),
        Some(30) => "AES-128-GCM-SIV (30)".to_owned(),
        other => plain(other.as_ref()),
    }
}

fn cookie_keys(keys: &CookieKeysReply, screen: Screen) -> String {
    let date = |epoch: &u32| day(i64::from(*epoch) * 86_400);
    let open: Vec<String> = keys.epochs.iter().flatten().take(8).map(date).collect();
    let origin = match known(keys.origin.as_ref()) {
        Some(CookieKeyOrigin::Fleet) => "of a fleet's secret".to_owned(),
        Some(CookieKeyOrigin::Own) => "of this server's own secret".to_owned(),
        None => plain(keys.origin.as_ref()),
    };
    let mut rows = vec![
        ("cookie keys", origin),
        ("seal with that of", keys.current.as_ref().map_or(UNKNOWN.to_owned(), date)),
        ("open with those of", if open.is_empty() { UNKNOWN.to_owned() } else { open.join(", ") }),
    ];
    if keys.settled == Some(false) {
        rows.push(("not turned", "until the clock is synchronised".to_owned()));
    }
    if let Some(trouble) = &keys.trouble {
        rows.push(("trouble", trouble.clone()));
    }
    list(screen, &rows)
}

fn counters(service: &KeyExchangeReply, screen: Screen) -> String {
    let meanings = [
        ("accepted", "connections"),
        ("exchanged", "ended with cookies"),
        ("limited", "closed at once: too many, in total or from the network"),
        ("denied", "closed at once: not over an interface that listen names"),
        ("tls", "TLS failed"),
        ("refused", "answered with an error, or without a common algorithm"),
        ("late", "took too long"),
        ("gone", "closed by the client"),
    ];
    match &service.counters {
        None => "no client has requested keys yet\n".to_owned(),
        Some(counted) => counts(screen, "KEY EXCHANGES", counted, &meanings),
    }
}

/// Rows for the page of one source; empty for a plain one.
pub fn detail(source: &SourceReport) -> Vec<(&'static str, String)> {
    let Some(nts) = &source.nts else { return Vec::new() };
    let restored = if nts.restored == Some(true) { ", kept over a restart" } else { "" };
    let until = nts.certificate_until.map_or(UNKNOWN.to_owned(), day);
    let redirected = if nts.redirected == Some(true) { "named by the key exchange" } else { "no" };
    let failures = plain(nts.failures.as_ref());
    vec![
        ("keys", format!("{}{restored}", plain(nts.state.as_ref()))),
        ("last exchange", plain(nts.last_exchange.as_ref())),
        ("next exchange", length(nts.next_exchange_s)),
        ("exchanges", format!("{}, failed: {failures}", plain(nts.exchanges.as_ref()))),
        ("AEAD", aead(nts.aead)),
        ("key age", length(nts.key_age_s)),
        ("cookies", plain(nts.cookies.as_ref())),
        ("NTS NAKs", plain(nts.naks.as_ref())),
        ("certificate until", until),
        ("another server", redirected.to_owned()),
        ("organisation", plain(nts.organisation.as_ref())),
        ("one operator with", plain(nts.one_operator.as_ref().map(|all| all.join(", ")).as_ref())),
    ]
}

/// How replies are authenticated, for a table: with NTS, and the number of cookies left; with a symmetric key (SK), and its number and
/// type.
pub fn short(source: &SourceReport) -> Option<String> {
    if let Some(key) = &source.key {
        return Some(format!("SK {} {}", plain(key.number.as_ref()), plain(key.kind.as_ref())));
    }
    let nts = source.nts.as_ref()?;
    Some(match known(nts.state.as_ref()) {
        Some(AssociationState::Ready) => format!("NTS {}", plain(nts.cookies.as_ref())),
        _ => format!("NTS {}", plain(nts.state.as_ref())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::read::NtsReport;
    use serde_json::{Value, json};

    fn source() -> Value {
        json!({
            "name": "a.example", "address": "192.0.2.1:123", "state": "ready", "last_exchange": "done \u{1b}[2J",
            "next_exchange_s": 2_419_200.0, "exchanges": 1, "failures": 2, "aead": 30, "key_age_s": 90_000.0,
            "restored": true, "cookies": 8, "redirected": true, "naks": 3, "certificate_until": 1_800_000_000,
        })
    }

    fn answer() -> Value {
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
                "counters": { "accepted": 5, "exchanged": 4, "limited": 0, "denied": 0, "tls": 1, "refused": 0, "late": 0, "gone": 0 },
            },
        })
    }

    #[test]
    fn the_page_has_sources_cookie_keys_certificate_and_counts() {
        let page = page(&read(&answer()).unwrap(), &[], Screen::WIDE);
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

    /// `engine/src/answers/tests.rs` checks that the engine writes the same.
    #[test]
    fn the_golden_document_is_read_to_the_last_field() {
        let answer: Value = serde_json::from_str(include_str!("../../ipc/report/tests/keys.json")).unwrap();
        let page = page(&read(&answer).unwrap(), &[], Screen::WIDE);
        let line = |begin: &str| {
            let line = page.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{page}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            line("a.example"),
            "a.example [2001:db8::1]:123 ready (kept) AES-128-GCM-SIV (30) 3 s 8 4 28 d keys were exchanged"
        );
        assert_eq!(line("cookie keys"), "cookie keys of this server's own secret");
        assert_eq!(line("seal with"), "seal with that of 2027-01-09");
        assert_eq!(line("open with"), "open with those of 2027-01-09, 2027-01-10");
        assert!(line("certificate").starts_with("certificate in use until 2027-01-15 (5 days left); the"));
        assert!(line("further").starts_with("further /etc/truechimer/nts/b.pem: the private key of"));
        for (at, name) in ["accepted", "exchanged", "limited", "denied", "tls", "refused", "late", "gone"]
            .iter()
            .enumerate()
        {
            assert!(line(name).starts_with(&format!("{name} {} ", at + 1)), "{page}");
        }
    }

    #[test]
    fn a_reload_names_the_files_that_were_read_and_fails_where_the_configuration_names_others() {
        let reload = |other: bool| -> ReloadedReply {
            read(&json!({ "certificate_file": "/a/c.pem", "key_file": "/a/k.pem", "other_files": other }))
                .unwrap()
        };
        let in_use = |state: &str| -> CertificateReply {
            read(&json!({ "state": state, "readings": 2, "not_after": 1_800_000_000, "days_left": 9 }))
                .unwrap()
        };
        let (said, is_done) = judge(&reload(false), &in_use("in-use"), &[]);
        assert_eq!(said, "read /a/c.pem and its key /a/k.pem: in use until 2027-01-15 (9 days left)");
        assert!(is_done && !judge(&reload(false), &in_use("mismatch"), &[]).1);
        for (days, expected) in
            [(-91, "in use, and expired on 2027-01-15"), (1, "in use until 2027-01-15 (1 day left)")]
        {
            let mut certificate = in_use("in-use");
            certificate.days_left = Some(days);
            assert!(judge(&reload(false), &certificate, &[]).0.ends_with(expected));
        }
        let further: FurtherCertificateReply =
            read(&json!({ "file": "/b.pem", "state": "no-key", "warning": "the key is not there" })).unwrap();
        let (said, is_done) = judge(&reload(false), &in_use("in-use"), &[further]);
        assert!(!is_done && said.ends_with("(9 days left); /b.pem: the key is not there"), "{said}");
        let (said, is_done) = judge(&reload(true), &in_use("in-use"), &[]);
        assert!(!is_done && said.starts_with("read /a/c.pem and"), "{said}");
        assert!(said.ends_with("the one that the file names is taken up by a restart"), "{said}");
    }

    #[test]
    fn a_host_without_nts_has_a_page_too() {
        assert_eq!(page(&KeysReply::default(), &[], Screen::WIDE), "no source has mode = \"nts\"\n");
        let keyed: SourceReport = read(&json!({
            "name": "b.example", "address": "192.0.2.2:123", "state": "unreachable",
            "key": { "number": 10, "kind": "AES128", "bits": 128 },
        }))
        .unwrap();
        let said = page(&KeysReply::default(), &[keyed, SourceReport::default()], Screen::WIDE);
        let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows.last().unwrap(),
            &["b.example", "192.0.2.2:123", "10", "AES128", "128", "unreachable"]
        );
        let without = json!({ "sources": [], "cookie_keys": null, "key_exchange": { "certificate": {} } });
        let without = page(&read(&without).unwrap(), &[], Screen::WIDE);
        assert!(
            without.contains("not read yet") && without.contains("no client has requested keys yet"),
            "{without}"
        );
        assert_eq!(certificate_line(None), None);
    }

    #[test]
    fn a141_a_daemon_of_another_version_has_a_page_or_makes_no_sense() {
        let read = |value: &Value| {
            let answer =
                json!({ "sources": [value], "cookie_keys": { "epochs": [value] }, "key_exchange": value });
            read::<KeysReply>(&answer)
        };
        for value in [json!([]), json!("x"), json!({ "a": {} })] {
            assert!(read(&value).is_err(), "{value}");
        }
        let unknown = json!({ "sources": [{ "a": {} }], "cookie_keys": {}, "key_exchange": { "b": [] } });
        let page = page(&super::read(&unknown).unwrap(), &[], Screen::WIDE);
        assert!(page.lines().count() > 5 && page.contains("certificate  -"), "{page}");
    }

    #[test]
    fn a_source_says_in_short_how_it_is_authenticated() {
        let with = |nts: NtsReport| SourceReport { nts: Some(nts), ..SourceReport::default() };
        let nts = |state: &str| {
            short(&with(NtsReport { state: Some(state.into()), cookies: Some(7), ..NtsReport::default() }))
        };
        assert_eq!(nts("ready"), Some("NTS 7".to_owned()));
        assert_eq!(nts("exchanging"), Some("NTS exchanging".to_owned()));
        assert_eq!(short(&SourceReport::default()), None);
        let rows = detail(&with(read(&source()).unwrap()));
        assert!(rows.iter().any(|(name, value)| *name == "certificate until" && value == "2027-01-15"));
        assert_eq!(detail(&SourceReport::default()), []);
    }
}
