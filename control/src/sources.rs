//! `chimerctl sources`, `source NAME` and `server`.

use crate::screen::{Form, Screen};
use crate::text::{UNKNOWN, json, known, length, plain, ppm, seconds, table};
use crate::{Failure, exit, keys};
use control_socket::{AskError, ask, read};
use report::read::{LastReplyReport, MeasurementReport, SourceReport, SourcesReply};
use report::{RejectReason, SourceState};
use serde_json::{Value, json};
use std::path::Path;

/// The version that is spoken as a draft says, and the name of that.
const DRAFT_VERSION: u8 = 5;
const DRAFT: &str = "draft-ietf-ntp-ntpv5-09";

/// The longest reason in a table, in characters.
const MAX_REASON: usize = 72;

/// One line for each source.
fn list_page(reply: &SourcesReply, is_verbose: bool, screen: Screen) -> String {
    let row = if is_verbose { long_row } else { row };
    let rows: Vec<Vec<String>> = reply.sources.iter().flatten().map(row).collect();
    if rows.is_empty() {
        return "no source is configured\n".to_owned();
    }
    let head = [
        "STATE", "NAME", "AUTH", "STRATUM", "REACH", "POLL", "OFFSET", "± ERROR", "DELAY", "LAST", "ADDRESS",
        "WHY",
    ];
    let more = ["ROOT DISTANCE", "SAMPLES", "SPAN", "DEVIATION", "FREQUENCY", "± ERROR", "WHY"];
    let head = match is_verbose {
        true => [head.split_last().map_or(&head[..], |(_, rest)| rest), &more[..]].concat(),
        false => head.to_vec(),
    };
    let sources = reply.sources.as_deref().unwrap_or_default();
    table(screen, &head, &rows) + &one_operator(sources, screen) + &offered(sources, screen)
}

/// A line for each source that a program has left.
fn offered(sources: &[SourceReport], screen: Screen) -> String {
    let shown = sources.iter().filter_map(|source| {
        let file = source.offered_by.as_ref()?;
        Some(("from a program:", format!("{} (sources.d/{file})", plain(source.name.as_ref()))))
    });
    crate::text::list(screen, &shown.collect::<Vec<_>>())
}

/// A line for each source whose certificate shows the operator of others.
fn one_operator(sources: &[SourceReport], screen: Screen) -> String {
    let shown = sources.iter().filter_map(|source| {
        let others = source.nts.as_ref()?.one_operator.as_deref().filter(|others| !others.is_empty())?;
        let name = plain(source.name.as_ref());
        Some(("one operator:", format!("{name} and {}, as certificates show", others.join(", "))))
    });
    crate::text::list(screen, &shown.collect::<Vec<_>>())
}

/// Requests all sources.
pub fn list(socket: &Path, is_verbose: bool, form: Form) -> Result<String, Failure> {
    let answer = ask(socket, "sources")?;
    Ok(match form {
        Form::Json => json(&answer),
        Form::Text(screen) => list_page(&read(&answer)?, is_verbose, screen),
    })
}

/// Requests all sources and shows those that have this name or address, with their last measurements.
pub fn show(socket: &Path, name: &str, form: Form) -> Result<String, Failure> {
    let answer = ask(socket, "sources")?;
    let measured = match ask(socket, "measurements") {
        Ok(measured) => measured,
        // An older daemon keeps none.
        Err(AskError::Refused(_)) => Value::Null,
        Err(error) => return Err(error.into()),
    };
    find(&answer, &measured, name, form)
}

/// Those of this name or address, with their last measurements.
pub fn find(answer: &Value, measured: &Value, name: &str, form: Form) -> Result<String, Failure> {
    let sources = read::<SourcesReply>(answer)?.sources.unwrap_or_default();
    let said = answer.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let called = sources.iter().zip(said).filter(|(source, _)| is_called(source, name));
    let (found, said): (Vec<&SourceReport>, Vec<&Value>) = called.unzip();
    if found.is_empty() {
        return Err(nobody(&sources, name));
    }
    let kept = measured.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of = |source: &SourceReport| {
        let has = |kept: &&Value, key: &str, value: &Option<String>| {
            kept.get(key).and_then(Value::as_str) == value.as_deref()
        };
        let is_its = |kept: &&Value| has(kept, "name", &source.name) && has(kept, "address", &source.address);
        kept.iter().find(is_its).and_then(|kept| kept.get("measurements"))
    };
    match form {
        Form::Json => {
            let with = |(source, said): (&SourceReport, &Value)| {
                let mut said = said.clone();
                if let Some(said) = said.as_object_mut() {
                    said.insert("measurements".to_owned(), of(source).cloned().unwrap_or_default());
                }
                said
            };
            let all: Vec<Value> = found.into_iter().zip(said).map(with).collect();
            Ok(json(&json!({ "format": answer.get("format"), "sources": all })))
        }
        Form::Text(screen) => {
            let page = |source| -> Result<String, Failure> {
                let kept: Option<Vec<MeasurementReport>> = of(source).map(read).transpose()?;
                Ok(detail(source, screen) + &measurements(&kept.unwrap_or_default(), screen))
            };
            Ok(found.into_iter().map(page).collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
    }
}

/// There is no source of this name or address.
pub fn nobody(sources: &[SourceReport], name: &str) -> Failure {
    let names: Vec<String> = sources.iter().map(|source| plain(source.name.as_ref())).collect();
    let text = format!("no source is called {name}; there are: {}", names.join(", "));
    Failure { text, code: exit::NO }
}

/// Whether this is its name, or its address with or without the port.
pub fn is_called(source: &SourceReport, name: &str) -> bool {
    let address = source.address.as_deref().unwrap_or("");
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

fn authenticated_in_full(source: &SourceReport) -> String {
    match &source.key {
        Some(key) => format!("{}, {} bits", authenticated(source), plain(key.bits.as_ref())),
        None => authenticated(source),
    }
}

fn row(source: &SourceReport) -> Vec<String> {
    vec![
        plain(source.state.as_ref()),
        plain(source.name.as_ref()),
        authenticated(source),
        plain(source.stratum.as_ref()),
        reach(source),
        plain(source.poll.as_ref()),
        seconds(source.offset_s, true),
        seconds(source.offset_error_s, false),
        seconds(source.delay_s, false),
        seconds(source.last_valid_s, false),
        plain(source.address.as_ref()),
        short_reason(source),
    ]
}

/// With everything that is measured.
fn long_row(source: &SourceReport) -> Vec<String> {
    let mut cells = row(source);
    cells.pop();
    cells.extend([
        seconds(source.root_distance_s, false),
        plain(source.samples.as_ref()),
        length(source.span_s),
        seconds(source.deviation_s, false),
        ppm(source.frequency_ppm, true),
        ppm(source.frequency_error_ppm, false),
        plain(source.reason.as_ref()),
    ]);
    cells
}

/// The last measurements of a source, with a blank line before them; empty if there is none.
fn measurements(kept: &[MeasurementReport], screen: Screen) -> String {
    if kept.is_empty() {
        return String::new();
    }
    let row = |kept: &MeasurementReport| {
        let test = kept.test.as_ref().map(|test| {
            format!("{test}: {}", known(Some(test)).map_or("of another version", RejectReason::meaning))
        });
        vec![
            length(kept.ago_s),
            seconds(kept.offset_s, true),
            seconds(kept.delay_s, false),
            seconds(kept.root_distance_s, false),
            plain(kept.stamps.as_ref()),
            test.unwrap_or_else(|| plain(kept.outcome.as_ref())),
        ]
    };
    let rows: Vec<Vec<String>> = kept.iter().map(row).collect();
    let head = ["AGO", "OFFSET", "DELAY", "ROOT DISTANCE", "STAMPS", "RESULT"];
    format!("\n{}", table(screen, &head, &rows))
}

/// Why a source is not used, without the details and the remedy; `None` for one that is used.
fn short_reason(source: &SourceReport) -> String {
    let is_used = known(source.state.as_ref()).is_some_and(SourceState::is_used);
    let reason = source.reason.as_deref().filter(|_| !is_used);
    let reason = reason.unwrap_or("").split("; ").next().unwrap_or("");
    match reason.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", reason.get(..end).unwrap_or("")),
        None => reason.to_owned(),
    }
}

/// What its server said of itself last.
fn last_reply(reply: &LastReplyReport) -> [(&'static str, String); 8] {
    let date = |seconds: f64| format!("{:.0} s since 1970", seconds.floor());
    [
        (
            "NTP version",
            match reply.version {
                Some(DRAFT_VERSION) => format!("{DRAFT_VERSION} ({DRAFT})"),
                version => plain(version.as_ref()),
            },
        ),
        ("server's leap", plain(reply.leap.as_ref())),
        ("server's precision", format!("{} (log2 s)", plain(reply.precision.as_ref()))),
        (
            "server's root",
            format!(
                "delay {}, dispersion {}",
                seconds(reply.root_delay_s, false),
                seconds(reply.root_dispersion_s, false)
            ),
        ),
        ("server's update", reply.reference_time_unix_s.map_or(UNKNOWN.to_owned(), date)),
        (
            "stamps",
            format!(
                "departure {}, arrival {}",
                plain(reply.departure_stamp.as_ref()),
                plain(reply.arrival_stamp.as_ref())
            ),
        ),
        ("mode", if reply.interleaved == Some(true) { "interleaved" } else { "basic" }.to_owned()),
        ("asked from", plain(reply.local_address.as_ref())),
    ]
}

fn detail(source: &SourceReport, screen: Screen) -> String {
    let mut rows = vec![
        ("name", plain(source.name.as_ref())),
        ("address", plain(source.address.as_ref())),
        ("state", plain(source.state.as_ref())),
        ("why", plain(source.reason.as_ref())),
        ("change", plain(source.change.as_ref())),
        ("authenticated", authenticated_in_full(source)),
        ("stratum", plain(source.stratum.as_ref())),
        ("reference id", plain(source.reference_id.as_ref())),
        ("activity", plain(source.activity.as_ref())),
        ("reach", format!("{} (octal; the last eight polls)", reach(source))),
        ("poll", format!("{} (log2 s)", plain(source.poll.as_ref()))),
        ("next poll", seconds(source.next_poll_s, false)),
        ("offset", seconds(source.offset_s, true)),
        ("offset error", seconds(source.offset_error_s, false)),
        ("delay", seconds(source.delay_s, false)),
        ("jitter", seconds(source.jitter_s, false)),
        ("root distance", seconds(source.root_distance_s, false)),
        ("samples", format!("{} in {}", plain(source.samples.as_ref()), length(source.span_s))),
        ("deviation", seconds(source.deviation_s, false)),
        (
            "frequency",
            format!("{} ± {}", ppm(source.frequency_ppm, true), ppm(source.frequency_error_ppm, false)),
        ),
        ("queries sent", plain(source.sent.as_ref())),
        ("valid replies", plain(source.valid.as_ref())),
        ("last valid", seconds(source.last_valid_s, false)),
    ];
    if let Some(reply) = &source.last_reply {
        rows.extend(last_reply(reply));
    }
    let marks = [
        ("noselect", source.noselect),
        ("prefer", source.prefer),
        ("trust", source.trust),
        ("require", source.require),
    ];
    let marks: Vec<&str> =
        marks.into_iter().filter(|(_, is_set)| *is_set == Some(true)).map(|(mark, _)| mark).collect();
    if source.correction_s.is_some_and(|correction| correction != 0.0) {
        rows.push(("correction", format!("{} (in the offset)", seconds(source.correction_s, true))));
    }
    if let Some(least) = source.min_stratum.filter(|least| *least > 1) {
        rows.push(("least stratum", format!("{least} (a lower one counts as this)")));
    }
    if let Some(family) = &source.family {
        rows.push(("family", format!("{} alone", plain(Some(family)))));
    }
    if let Some(from) = source.send_from.as_ref().filter(|from| !from.is_empty()) {
        rows.push(("sent from", plain(Some(&from.join(", ")))));
    }
    if let Some(interface) = &source.send_over {
        rows.push(("sent over", format!("{} alone", plain(Some(interface)))));
    }
    if let Some(dscp) = source.dscp.filter(|dscp| *dscp > 0) {
        rows.push(("DSCP", dscp.to_string()));
    }
    if !marks.is_empty() {
        rows.push(("marks", marks.join(", ")));
    }
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
    crate::text::list(screen, &rows)
}

#[cfg(test)]
mod tests;
