//! All of it together.

use crate::anchors::{Claim, Key, Proof, SlotFault, moment, prove, slots};
use crate::judged::Judged;
use crate::log::{Fault, Log};
use crate::report::{Chain, Of, Report, Weight};
use crate::times::Time;
use crate::words::{found, head, is_event, is_synchronised, word};
use history::{Head, History, What};
use ipc::anchor::Anchor;
use ipc::audit_line::{End, ORDERS, STEPS};
use ipc::governor_record::{PLACES, Record, SLOT};
use ipc::message::handover::LogIntegrity;
use roughtime::Fault as AnswerFault;
use std::collections::BTreeSet;
use std::ops::Range;

/// An anchor is made of an end that is younger than this, in seconds, as a rule.
const LATE: u64 = 3_600;

/// The octets of whole files. Who copies them from a host that runs copies them in this order: what a file names is in those that
/// are copied after it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'a> {
    /// The governor's record, which names where the audit log ended.
    pub governor: Option<&'a [u8]>,
    /// Anchors.
    pub anchors: Option<&'a [u8]>,
    /// The audit log.
    pub log: &'a [u8],
    /// The history.
    pub history: Option<&'a [u8]>,
    /// Servers whose signatures are believed; none: no anchor is.
    pub keys: Option<&'a [Key]>,
}

/// Looks at all of it.
pub fn verify(files: &Files<'_>) -> Report {
    let (anchors, faults) = files.anchors.map(slots).unwrap_or_default();
    let keys = files.keys.unwrap_or_default();
    let proofs: Vec<(&Anchor, Proof)> = anchors.iter().map(|anchor| (anchor, prove(anchor, keys))).collect();
    let governor = files.governor.and_then(record);
    let log = Log::read(files.log, ORDERS);
    let none = || Chain { first: 0, records: 0, end: End::NONE, ends: Vec::new() };
    let mut report = Report {
        log: none(),
        steps: none(),
        history: None,
        anchors: files.anchors.map(|_| anchors.len() as u64),
        has_keys: files.keys.is_some(),
        claims: Vec::new(),
        findings: Vec::new(),
        more: 0,
        is_altered: false,
    };
    for fault in faults {
        let weight = match fault {
            SlotFault::Torn(number) => weight_of_torn(number, &anchors, &log),
            SlotFault::Unclear(number) => match weight_of_torn(number, &anchors, &log) {
                Weight::PowerCut => Weight::Doubtful,
                other => other,
            },
            _ => Weight::Altered,
        };
        report.add(Of::Anchors, weight, None, fault.to_string());
    }
    if files.governor.is_some() && governor.is_none() {
        let text = "the governor's record is damaged, or of another version: it says nothing of the end";
        report.add(Of::Log, Weight::Doubtful, None, text.to_owned());
    }
    let signed =
        || proofs.iter().filter(|(_, proof)| !proof.signatures.is_empty()).map(|(anchor, _)| *anchor);
    let judged =
        judge_log(&mut report, &log, governor.as_ref(), signed().map(|anchor| anchor.audit.lines).max());
    judge_steps(&mut report, files.log, (&log, &judged), governor.as_ref());
    let history = files.history.map(History::read);
    let heads: Vec<(u64, End)> =
        lines_of(&log, &judged).filter_map(|line| Some((line.sequence, head(line.text)?))).collect();
    let noted = heads.iter().map(|(_, head)| head.lines).max();
    let proven = signed().map(|anchor| anchor.history.lines).max();
    let segments = history.as_ref().map(|history| judge_history(&mut report, history, noted.max(proven)));
    judge_heads(&mut report, &heads, history.as_ref());
    judge_anchors(&mut report, &proofs, (&log, &judged), history.as_ref().zip(segments.as_deref()));
    let sure = report.claims.iter().rev().find(|claim| claim.doubt().is_none());
    let last = sure.map(|claim| (claim.anchor, claim.log.lines, claim.history.lines));
    if let Some((anchor, lines, records)) = last {
        if report.log.end.lines >= lines {
            report.log.ends.push(format!("anchor {anchor}: it had {lines} records at least"));
        }
        if let Some(chain) = report.history.as_mut().filter(|chain| chain.end.lines >= records) {
            chain.ends.push(format!("anchor {anchor}: it had {records} records at least"));
        }
    }
    report
}

/// A power cut, if the daemon has begun again between the anchors before this one and behind it, or has not begun again yet.
fn weight_of_torn(number: u64, anchors: &[Anchor], log: &Log<'_>) -> Weight {
    let lines = |anchor: &Anchor| anchor.audit.lines;
    let from = anchors.iter().rev().find(|anchor| anchor.sequence < number).map_or(0, lines);
    let Some(until) = anchors.iter().find(|anchor| anchor.sequence > number).map(lines) else {
        return Weight::PowerCut;
    };
    let is_held = log.lines.first().is_some_and(|first| first.sequence <= from);
    let between = || log.lines.iter().filter(|line| (from..until).contains(&line.sequence));
    match between().any(|line| is_event(line.text, "start")) {
        true => Weight::PowerCut,
        false if is_held => Weight::Altered,
        false => Weight::Doubtful,
    }
}

/// Whether this is a record of the governor, of this version, with one whole slot at least.
pub fn is_governor(octets: &[u8]) -> bool {
    record(octets).is_some()
}

fn record(octets: &[u8]) -> Option<Record> {
    let slot = |place: u64| -> [u8; SLOT] {
        let at = usize::try_from(place).unwrap_or(usize::MAX);
        octets.get(at..).and_then(|octets| octets.first_chunk().copied()).unwrap_or([0; SLOT])
    };
    Record::newest(&PLACES.map(slot))
}

fn lines_of<'a>(log: &'a Log<'a>, judged: &'a Judged) -> impl Iterator<Item = &'a crate::Line<'a>> {
    log.lines.iter().filter(|line| line.sequence < judged.end)
}

fn add_faults(report: &mut Report, of: Of, judged: &Judged) {
    for fault in &judged.faults {
        let record = match *fault {
            Fault::Misplaced(number, _) | Fault::Hash(number) => Some(number),
            Fault::Gap(before, _) => Some(before.saturating_add(1)),
            Fault::Beginning(_) => Some(0),
            Fault::Length(_) | Fault::Line(_) => None,
        };
        report.add(of, Weight::Altered, record, fault.to_string());
    }
}

fn chain(log: &Log<'_>, judged: &Judged) -> Chain {
    let mut lines = lines_of(log, judged);
    let first = lines.next().map(|line| line.sequence);
    let records = first.map_or(0, |_| 1 + lines.count() as u64);
    Chain { first: first.unwrap_or(0), records, end: log.end(judged.end), ends: Vec::new() }
}

/// What the governor's record says of the end of a ring. `is_open`: lines may have come behind it.
fn compare_end(
    report: &mut Report,
    of: Of,
    log: &Log<'_>,
    judged: &Judged,
    named: &End,
    is_open: bool,
) -> Option<String> {
    let End { lines, hash } = *named;
    match log.head(lines, judged.end) {
        Head::Held(held) if held == hash => Some(match !is_open && judged.end == lines {
            true => format!("the governor's record: it has exactly {lines} records"),
            false => format!("the governor's record: it had {lines} records at least"),
        }),
        Head::None => None,
        Head::Overwritten => Some(format!(
            "the governor's record: it had {lines} records at least, which newer ones have replaced"
        )),
        Head::Beyond => {
            let text = format!(
                "it ends before record {}, and the governor's record says that it had {lines} records: lines were cut off, or an older \
                 file was put in its place",
                judged.end
            );
            report.add(of, Weight::Altered, Some(judged.end), text);
            None
        }
        Head::Held(_) | Head::Broken => {
            let last = lines.saturating_sub(1);
            let text = format!(
                "record {last} is not the one that the governor's record names: it was altered, or the chain was computed anew"
            );
            report.add(of, Weight::Altered, Some(last), text);
            None
        }
    }
}

fn judge_log(report: &mut Report, log: &Log<'_>, governor: Option<&Record>, anchored: Option<u64>) -> Judged {
    let last = log.numbers().end.saturating_sub(1);
    // A line that was followed by another one had been synchronised before that was written.
    let synchronised = log.lines.iter().rev().filter(|line| line.sequence < last);
    let synchronised =
        synchronised.filter(|line| is_synchronised(line.text)).map(|line| line.sequence + 1).next();
    let durable = governor.map(|record| record.audit.lines).max(anchored).max(synchronised);
    let judged = Judged::of(log, durable);
    add_faults(report, Of::Log, &judged);
    report.log = chain(log, &judged);
    if judged.is_torn {
        let text = format!(
            "what stands behind record {} was lost or only partly written, as in a power cut: no file says that it was on the disk",
            judged.end.saturating_sub(1)
        );
        report.add(Of::Log, Weight::PowerCut, Some(judged.end), text);
    }
    if let Some(record) = governor {
        let ends = compare_end(report, Of::Log, log, &judged, &record.audit, record.lines.is_open);
        report.log.ends.extend(ends);
    }
    for line in lines_of(log, &judged) {
        let at = word(line.text, "at").unwrap_or("-").to_owned();
        let (weight, text) = match found(line.text) {
            Some(LogIntegrity::Torn) => (Weight::PowerCut, "had lost its last lines in a power cut"),
            Some(LogIntegrity::Cut) => {
                (Weight::Altered, "ended before the line that the governor's record named")
            }
            Some(LogIntegrity::Altered) => (Weight::Altered, "did not hold what had been written"),
            Some(LogIntegrity::Whole) | None => continue,
        };
        let text = format!("the start in record {} ({at}) found that it {text}", line.sequence);
        report.add(Of::Log, weight, Some(line.sequence), text);
    }
    judged
}

/// The ring of steps, which no anchor names: as far as the steps are in the other ring too, they must be the same.
fn judge_steps(
    report: &mut Report,
    octets: &[u8],
    (log, of_log): (&Log<'_>, &Judged),
    governor: Option<&Record>,
) {
    let steps = Log::read(octets, STEPS);
    // Each of them is synchronised before the next one.
    let durable = steps.numbers().end.saturating_sub(1);
    let judged = Judged::of(&steps, Some(durable.max(governor.map_or(0, |record| record.audit_steps.lines))));
    let length = |fault: &Fault| matches!(fault, Fault::Length(_));
    let own =
        Judged { faults: judged.faults.iter().filter(|fault| !length(fault)).copied().collect(), ..judged };
    add_faults(report, Of::Steps, &own);
    report.steps = chain(&steps, &own);
    if let Some(record) = governor {
        let ends = compare_end(report, Of::Steps, &steps, &own, &record.audit_steps, record.lines.is_open);
        report.steps.ends.extend(ends);
    }
    // Without their numbers, and what may be cut at the end of a line for the longer of two numbers.
    let words = |text: &[u8]| -> Vec<u8> {
        let words = text.splitn(2, |octet| *octet == b' ').nth(1).unwrap_or_default();
        words[..words.len().min(ipc::audit_line::TEXT - 40)].into()
    };
    let is_step = |text: &[u8]| {
        ["permitted", "approved", "approval-ended"].contains(&word(text, "event").unwrap_or(""))
    };
    let in_log: Vec<(u64, Vec<u8>)> = lines_of(log, of_log)
        .filter(|line| is_step(line.text))
        .map(|line| (line.sequence, words(line.text)))
        .collect();
    let in_steps: BTreeSet<Vec<u8>> = lines_of(&steps, &own).map(|line| words(line.text)).collect();
    let held = usize::try_from(report.steps.records).unwrap_or(usize::MAX);
    for (sequence, words) in
        in_log.iter().rev().take(held.max(usize::from(report.steps.end.lines == 0) * in_log.len())).rev()
    {
        if !in_steps.contains(words) {
            let text = format!(
                "the step in record {sequence} of the audit log is not in the ring of steps, or is another one there"
            );
            report.add(Of::Steps, Weight::Altered, Some(*sequence), text);
        }
    }
    let all: BTreeSet<&Vec<u8>> = in_log.iter().map(|(_, words)| words).collect();
    let is_complete = report.log.first == 0;
    let oldest = in_log.first().map(|(_, words)| words);
    let mut is_held = is_complete;
    for line in lines_of(&steps, &own) {
        let words = words(line.text);
        is_held |= Some(&words) == oldest;
        // The last one may have been lost in the other ring by a power cut.
        if is_held && !all.contains(&words) && line.sequence + 1 < own.end {
            let text = format!("the step in record {} is not in the audit log", line.sequence);
            report.add(Of::Steps, Weight::Doubtful, Some(line.sequence), text);
        }
    }
}

/// `durable`: so many records had been synchronised.
fn judge_history(report: &mut Report, history: &History<'_>, durable: Option<u64>) -> Vec<Range<u64>> {
    let mut segments: Vec<Range<u64>> = Vec::new();
    let (mut records, mut is_broken) = (0, true);
    for item in history.walk() {
        match item {
            Ok(entry) => {
                let number = entry.record.sequence;
                records += 1;
                // So many breaks are no history.
                let has_room = segments.len() < 10_000;
                match segments.last_mut() {
                    Some(segment) if !is_broken && segment.end == number => segment.end = number + 1,
                    _ if has_room => segments.push(number..number + 1),
                    _ => {}
                }
                is_broken = false;
            }
            Err(finding) => {
                is_broken = true;
                let is_safe = durable.is_some_and(|durable| finding.sequence < durable);
                let (weight, text) = match finding.may_be_a_power_cut() {
                    true if is_safe => (
                        Weight::Altered,
                        format!(
                            "{finding}; but records before {} were on the disk for certain",
                            durable.unwrap_or(0)
                        ),
                    ),
                    true => (Weight::PowerCut, finding.to_string()),
                    false => (Weight::Altered, finding.to_string()),
                };
                let record = Some(finding.sequence).filter(|_| !matches!(finding.what, What::Length(_)));
                report.add(Of::History, weight, record, text);
            }
        }
    }
    if let Some((cleared, start)) = history.cleared() {
        let text = format!(
            "records {} to {}, the oldest ones, are not there: the start in record {start}, after a power cut, says that it cleared so many \
             places",
            cleared.start,
            cleared.end - 1
        );
        report.add(Of::History, Weight::PowerCut, Some(cleared.start), text);
    }
    let first = segments.first().map_or(0, |segment| segment.start);
    report.history = Some(Chain { first, records, end: history.end(), ends: Vec::new() });
    segments
}

/// The ends of the history that the audit log names.
fn judge_heads(report: &mut Report, heads: &[(u64, End)], history: Option<&History<'_>>) {
    let mut most = 0;
    for (line, head) in heads {
        if head.lines < most {
            let text = format!(
                "record {line} of the audit log says that it had {} records, and one before it {most}: it was begun anew, or an older file was put \
                 in its place",
                head.lines
            );
            report.add(Of::History, Weight::Altered, Some(head.lines), text);
        }
        most = most.max(head.lines);
        if let Some(history) = history {
            let who = format!("record {line} of the audit log");
            compare_head(report, history, head, &who);
        }
    }
    let Some((line, head)) = heads.last() else { return };
    if let Some(chain) = report.history.as_mut().filter(|chain| chain.end.lines >= head.lines) {
        chain.ends.push(format!("record {line} of the audit log: it had {} records at least", head.lines));
    }
}

/// True: the history holds this end.
fn compare_head(report: &mut Report, history: &History<'_>, head: &End, who: &str) -> bool {
    let last = head.lines.saturating_sub(1);
    let text = match history.head(head.lines) {
        Head::Held(held) if held == head.hash => return true,
        Head::None => return head.hash == [0; 32],
        Head::Overwritten => return false,
        Head::Beyond => format!(
            "it ends before record {}, and {who} says that it had {} records: records were cut off, or an older file was put in its place",
            history.end().lines,
            head.lines
        ),
        Head::Held(_) | Head::Broken => {
            format!(
                "record {last} is not the one that {who} names: it was altered, or the chain was computed anew"
            )
        }
    };
    report.add(Of::History, Weight::Altered, Some(last), text);
    false
}

fn judge_anchors(
    report: &mut Report,
    proofs: &[(&Anchor, Proof)],
    (log, judged): (&Log<'_>, &Judged),
    history: Option<(&History<'_>, &[Range<u64>])>,
) {
    let mut before: Option<(u64, u64, u64)> = None;
    for (anchor, proof) in proofs {
        let number = anchor.sequence;
        let doubtful =
            |report: &mut Report, text: String| report.add(Of::Anchors, Weight::Doubtful, Some(number), text);
        if let Some((at, fault)) = &proof.fault {
            let answer = format!("answer {} of anchor {number} is not valid ({fault})", at + 1);
            // The daemon keeps only what it has verified, and a slot that was torn has no right checksum.
            let (weight, what) = match fault {
                AnswerFault::UnknownVersion(_) => (Weight::Doubtful, "a later version may know it"),
                _ => (Weight::Altered, "it was altered, or the anchor was made to name other ends"),
            };
            let text = format!("{answer}: {what}; it and those behind it prove nothing");
            report.add(Of::Anchors, weight, Some(number), text);
        }
        if proof.signatures.is_empty() {
            if report.has_keys && proof.fault.is_none() {
                let text = format!(
                    "none of the {} valid answers of anchor {number} is by a key that was given",
                    proof.unknown
                );
                doubtful(report, text);
            }
            continue;
        }
        if let Some((one, other)) = &proof.contradiction {
            doubtful(
                report,
                format!(
                    "in anchor {number}, {one} and {other} contradict each other: one of them signed a wrong time"
                ),
            );
        }
        let time = Time::of(&proof.signatures);
        if let Some(doubt) = time.doubt {
            doubtful(report, format!("anchor {number} proves nothing by itself: {doubt}"));
        }
        let now = (anchor.audit.lines, anchor.history.lines, time.latest);
        if let Some((lines, records, _)) = before.filter(|before| now.0 < before.0 || now.1 < before.1) {
            let text = format!(
                "anchor {number} names {} records of the audit log and {} of the history, and the one before it {lines} and {records}: \
                 one of them was begun anew, or replaced",
                now.0, now.1
            );
            report.add(Of::Anchors, Weight::Altered, Some(number), text);
        }
        before = Some(now);
        let who = format!("anchor {number}");
        let log_from = anchored_log(report, log, judged, &anchor.audit, &who, now.2);
        let history_from = history.and_then(|(history, segments)| {
            let holds = compare_head(report, history, &anchor.history, &who);
            let last = anchor.history.lines.checked_sub(1).filter(|_| holds)?;
            segments.iter().find(|segment| segment.contains(&last)).map(|segment| segment.start)
        });
        report.claims.push(Claim {
            anchor: number,
            log: anchor.audit,
            history: anchor.history,
            signatures: proof.signatures.clone(),
            log_from: log_from.filter(|_| time.doubt.is_none()),
            history_from: history_from.filter(|_| time.doubt.is_none()),
        });
    }
}

/// From which line on what this anchor names is proven.
fn anchored_log(
    report: &mut Report,
    log: &Log<'_>,
    judged: &Judged,
    end: &End,
    who: &str,
    latest: u64,
) -> Option<u64> {
    let last = end.lines.saturating_sub(1);
    let text = match log.head(end.lines, judged.end) {
        Head::Held(held) if held == end.hash => {
            let line = log.line(last)?;
            // What the clock showed is no proof, but as a rule it was right.
            let at = word(line.text, "at").unwrap_or_default();
            let is_late = at < moment(latest.saturating_sub(LATE)).trim_end_matches('Z');
            if is_late {
                let text = format!(
                    "record {last} of the audit log says that it is of {at}, and {who} was signed up to {} only: until then all up to it \
                     could be computed anew",
                    moment(latest)
                );
                report.add(Of::Anchors, Weight::Doubtful, None, text);
            }
            return judged.unbroken_to(end.lines);
        }
        Head::None | Head::Overwritten => return None,
        Head::Beyond => format!(
            "it ends before record {}, and {who} proves that it had {} records: lines were cut off, or an older file was put in its place",
            judged.end, end.lines
        ),
        Head::Held(_) | Head::Broken => format!(
            "record {last} is not the one that {who} names: it was altered, or the chain was computed anew"
        ),
    };
    report.add(Of::Log, Weight::Altered, Some(last), text);
    None
}
