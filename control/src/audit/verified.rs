//! `chimerctl audit --verify`: what audit log, governor's record, history and anchors prove together, from the daemon's files or
//! copies of them.

use super::read;
use crate::daemon_paths::{ANCHORS, GOVERNOR, HISTORY};
use crate::minutes::hex;
use crate::screen::{Form, print};
use crate::text::json;
use crate::{Failure, exit, file, minutes};
use command_line::AuditArguments;
use history::History;
use ipc::anchor::SLOT;
use ipc::governor_record;
use ipc::text::escape;
use proof::{Chain, Claim, Files, Key, Report, Weight};
use report::FORMAT;
use roughtime::{MAX_LIST, read_list};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Octets of the longest file of anchors that is read: an hourly one for two years.
const MOST_ANCHORS: u64 = 20_000 * SLOT as u64;

/// What is said of a file that is named and is no record of the governor,
const NO_GOVERNOR: &str = "is no governor's record that this version knows; name the file governor of the state directory, or a copy of it";

/// or holds no anchors.
const NO_ANCHORS: &str =
    "is no file of anchors; name engine.anchors of the state directory, or a copy of it, with --anchors";

/// A file that may not be there: its place, and its octets.
type Found = (PathBuf, Option<Vec<u8>>);

/// Files that are named, in the place of those beside the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    /// The governor's record.
    pub governor: Option<&'a PathBuf>,
    /// The anchors.
    pub anchors: Option<&'a PathBuf>,
    /// The history.
    pub history: Option<&'a PathBuf>,
    /// Servers whose signatures are believed.
    pub keys: Option<&'a PathBuf>,
}

/// The files of a host, as far as they are there.
pub struct Gathered {
    /// The audit log.
    pub log: Vec<u8>,
    history: Found,
    governor: Found,
    anchors: Found,
    keys: Option<Vec<Key>>,
}

impl Gathered {
    /// Reads the files beside this log, or those that are named. `option`: what of the command line names another log.
    ///
    /// # Errors
    /// A file that was named cannot be read, or is none of its kind; or one beside the log cannot be read.
    pub fn read(log: &Path, option: &str, named: Named<'_>) -> Result<Self, Failure> {
        // In this order: what one names is in those after it, also while a daemon writes them.
        let governor = beside(log, named.governor, GOVERNOR, governor_record::LENGTH)?;
        let anchors = beside(log, named.anchors, ANCHORS, MOST_ANCHORS)?;
        let octets = read(log, option)?;
        super::refuse_foreign(log, &octets, option)?;
        let history = beside(log, named.history, HISTORY, minutes::LARGEST)?;
        refuse_others(named, [&governor, &anchors, &history])?;
        let keys = named.keys.map(|keys| read_keys(keys)).transpose()?;
        Ok(Self { log: octets, history, governor, anchors, keys })
    }

    /// The history; empty: it is not there.
    pub fn history(&self) -> &[u8] {
        self.history.1.as_deref().unwrap_or_default()
    }

    /// What they prove.
    pub fn report(&self) -> Report {
        proof::verify(&Files {
            governor: self.governor.1.as_deref(),
            anchors: self.anchors.1.as_deref(),
            log: &self.log,
            history: self.history.1.as_deref(),
            keys: self.keys.as_deref(),
        })
    }
}

/// Reads the files, and says what they prove.
///
/// # Errors
/// A file that was named cannot be read, the list of keys is none; or, once it is printed what was found: something was altered.
pub fn verify(log: &Path, asked: &AuditArguments, form: Form) -> Result<String, Failure> {
    let named = Named {
        governor: asked.governor.as_ref(),
        anchors: asked.anchors.as_ref(),
        history: asked.history.as_ref(),
        keys: asked.keys.as_ref(),
    };
    let files = Gathered::read(log, super::OPTION, named)?;
    let report = files.report();
    let places = [&files.governor, &files.anchors, &files.history];
    let text = match form {
        Form::Json => json(&document(log, places, &report)),
        Form::Text(_) => lines(log, places, &report),
    };
    if !report.is_altered {
        return Ok(text);
    }
    print(&text)?;
    let altered = report.findings.iter().find(|finding| finding.weight == Weight::Altered);
    let text = altered.map_or_else(|| "it was altered".to_owned(), ToString::to_string);
    Err(Failure { text: format!("{}: {text}", log.display()), code: exit::NO })
}

/// A file that is named, or the one beside the log, which need not be there.
fn beside(log: &Path, named: Option<&PathBuf>, usual: &str, most: u64) -> Result<Found, Failure> {
    let path = named.cloned().unwrap_or_else(|| log.with_file_name(usual));
    match bounded(&path, most) {
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Ok((path, None)),
        Ok(octets) => Ok((path, Some(octets))),
        Err(error) => Err(unread(&path, &error.to_string())),
    }
}

/// Refuses a file that is named and is another one: what is said of it would be said of a mistake. What lies beside the log in the place of
/// such a file was put there, and is judged.
fn refuse_others(named: Named<'_>, [governor, anchors, history]: [&Found; 3]) -> Result<(), Failure> {
    let is_other = |is_named: bool, found: &Found, is_one: fn(&[u8]) -> bool| {
        is_named && !found.1.as_deref().is_none_or(is_one)
    };
    if is_other(named.governor.is_some(), governor, proof::is_governor) {
        return Err(unread(&governor.0, NO_GOVERNOR));
    }
    if is_other(named.anchors.is_some(), anchors, proof::are_anchors) {
        return Err(unread(&anchors.0, NO_ANCHORS));
    }
    let is_history = |octets: &[u8]| !minutes::is_foreign(&History::read(octets).survey(), octets);
    if is_other(named.history.is_some(), history, is_history) {
        return Err(unread(&history.0, minutes::FOREIGN));
    }
    Ok(())
}

fn unread(path: &Path, why: &str) -> Failure {
    Failure { text: format!("{}: {why}", path.display()), code: exit::UNABLE }
}

fn bounded(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let length = file::open(path)?.take(most + 1).read_to_end(&mut octets)?;
    match length as u64 <= most {
        true => Ok(octets),
        false => Err(std::io::Error::new(
            ErrorKind::InvalidData,
            "is longer than such a file can be; name another one",
        )),
    }
}

fn read_keys(path: &Path) -> Result<Vec<Key>, Failure> {
    let text = bounded(path, MAX_LIST as u64).map_err(|error| unread(path, &error.to_string()))?;
    let list = read_list(&text).map_err(|fault| unread(path, &format!("{fault}")))?;
    Ok(list.into_iter().map(|server| Key { name: server.name, public_key: server.public_key }).collect())
}

fn name(path: &Path) -> String {
    escape(&path.display().to_string())
}

fn records(first: u64, until: u64) -> String {
    match until.saturating_sub(first) {
        0 => "no record".to_owned(),
        1 => format!("record {first}"),
        _ => format!("records {first} to {}", until - 1),
    }
}

fn lines(log: &Path, [governor, anchors, history]: [&Found; 3], report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let weight = match finding.weight {
            Weight::Altered => "ALTERED",
            Weight::Doubtful => "doubtful",
            Weight::PowerCut => "power cut",
        };
        let _ = writeln!(text, "{weight}: {}", escape(&finding.to_string()));
    }
    if report.more > 0 {
        let _ = writeln!(text, "and {} findings more", report.more);
    }
    let is_altered = |of: proof::Of| {
        report.findings.iter().any(|finding| finding.of == of && finding.weight == Weight::Altered)
    };
    let mut chain = |what: &str, of: proof::Of, path: &Path, chain: &Chain| {
        let order = if is_altered(of) { "is NOT in order" } else { "is in order" };
        let wrapped = if chain.first > 0 { "; older ones were overwritten" } else { "" };
        let held = records(chain.first, chain.end.lines);
        let _ = writeln!(text, "{}: the {what} {order}: {held}{wrapped}", name(path));
        if chain.ends.is_empty() && chain.end.lines > 0 {
            let _ = writeln!(
                text,
                "  where it ended is not proven: no file says that nothing came behind record {}",
                chain.end.lines - 1
            );
        }
        for end in &chain.ends {
            let _ = writeln!(text, "  its end, by {end}");
        }
    };
    chain("audit log", proof::Of::Log, log, &report.log);
    chain("ring of steps", proof::Of::Steps, log, &report.steps);
    if let Some(read) = &report.history {
        chain("history", proof::Of::History, &history.0, read);
    }
    for (what, (path, octets)) in [("governor's record", governor), ("history", history), ("anchor", anchors)]
    {
        if octets.is_none() {
            let _ = writeln!(text, "{}: is not there; no {what} was looked at", name(path));
        }
    }
    if let Some(count) = report.anchors {
        let known = match report.has_keys {
            true => format!("{} signed by servers of --keys", report.claims.len()),
            false => "none was judged: name the servers' public keys with --keys".to_owned(),
        };
        let _ = writeln!(text, "{}: {count} anchors, {known}", name(&anchors.0));
    }
    for claim in &report.claims {
        let _ = writeln!(text, "  anchor {}: {}", claim.anchor, escape(&claim.to_string()));
    }
    let proven = report.proven();
    text.push_str(&match proven {
        Some(claim) => format!("proven: {}\n", escape(&claim.to_string())),
        None => {
            "proven: nothing; who could write these files could have computed all of them anew\n".to_owned()
        }
    });
    let (in_log, in_history) = unproven(report, proven);
    if let Some(held) = in_log {
        let _ = writeln!(text, "in order, and not proven: {held} of the audit log");
    }
    if let Some(held) = in_history {
        let _ = writeln!(text, "in order, and not proven: {held} of the history");
    }
    text
}

/// What is behind the last anchor: of the log, and of the history.
fn unproven(report: &Report, proven: Option<&Claim>) -> (Option<String>, Option<String>) {
    let behind = |chain: &Chain, until: Option<u64>| {
        let from = until.unwrap_or(0).max(chain.first);
        (from < chain.end.lines).then(|| records(from, chain.end.lines))
    };
    let log = proven.filter(|claim| claim.log_from.is_some()).map(|claim| claim.log.lines);
    let history = proven.filter(|claim| claim.history_from.is_some()).map(|claim| claim.history.lines);
    (behind(&report.log, log), report.history.as_ref().and_then(|chain| behind(chain, history)))
}

fn document(log: &Path, [governor, anchors, history]: [&Found; 3], report: &Report) -> Value {
    let path = |(path, octets): &Found| octets.as_ref().map(|_| path.display().to_string());
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "file": finding.of.word(),
                "weight": finding.weight.word(),
                "record": finding.record,
                "text": finding.text,
            })
        })
        .collect();
    json!({
        "format": FORMAT,
        "whole": !report.is_altered,
        "file": log.display().to_string(),
        "records": report.log.records,
        "first": report.log.first,
        "governor_file": path(governor),
        "history_file": path(history),
        "anchors_file": path(anchors),
        "log": of_chain(&report.log),
        "steps": of_chain(&report.steps),
        "history": report.history.as_ref().map(of_chain),
        "anchors": report.anchors,
        "keys": report.has_keys,
        "findings": findings,
        "more_findings": report.more,
        "claims": report.claims.iter().map(of_claim).collect::<Vec<_>>(),
        "proven": report.proven().map(of_claim),
    })
}

fn of_chain(chain: &Chain) -> Value {
    json!({
        "first": chain.first,
        "records": chain.records,
        "end": { "records": chain.end.lines, "hash": hex(&chain.end.hash) },
        "end_by": chain.ends,
    })
}

fn of_claim(claim: &Claim) -> Value {
    let signatures: Vec<Value> = claim
        .signatures
        .iter()
        .map(|signature| {
            json!({
                "name": signature.name,
                "midpoint_unix_s": signature.midpoint,
                "radius_s": signature.radius,
            })
        })
        .collect();
    json!({
        "anchor": claim.anchor,
        "log": { "records": claim.log.lines, "hash": hex(&claim.log.hash) },
        "history": { "records": claim.history.lines, "hash": hex(&claim.history.hash) },
        "log_from": claim.log_from,
        "history_from": claim.history_from,
        "latest_unix_s": claim.latest(),
        "signatures": signatures,
        "text": claim.to_string(),
    })
}

#[cfg(test)]
mod tests;
