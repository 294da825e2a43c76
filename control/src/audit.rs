//! `chimerctl audit`: the governor's log, two rings of lines of fixed width, each of which contains the hash of the
//! previous one.

use crate::screen::{Form, complain};
use crate::text::json;
use crate::{Failure, exit, file};
use ipc::audit_line::{self, LENGTH, LINE, ORDERS, Ring, STEPS, TEXT, chain};
use ipc::message::handover::LogIntegrity;
use ipc::text::escape;
use report::FORMAT;
use serde_json::{Map, Value, json};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record<'a> {
    sequence: u64,
    slot: usize,
    text: &'a [u8],
    hash: [u8; 32],
}

/// Why the log is not intact.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Break {
    /// The file is shorter or longer than a ring.
    Length(usize),
    /// A line is malformed.
    Line(usize),
    /// A record is stored in another record's slot.
    Misplaced(u64, usize),
    /// Records are missing between these two.
    Gap(u64, u64),
    /// Records before this one are missing although the ring is not full.
    Beginning(u64),
    /// This record, or the one before it, was changed.
    Hash(u64),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => {
                write!(f, "the file has {length} octets, an audit log has {}", LENGTH as usize)
            }
            Self::Line(slot) => write!(f, "line {} was altered or never finished", slot + 1),
            Self::Misplaced(sequence, slot) => {
                write!(f, "record {sequence} stands on line {}, where it does not belong", slot + 1)
            }
            Self::Gap(before, after) => {
                write!(
                    f,
                    "record {} is missing: after record {before} comes {after}",
                    before.saturating_add(1)
                )
            }
            Self::Beginning(first) => write!(f, "records 0 to {} are missing", first.saturating_sub(1)),
            Self::Hash(sequence) => {
                write!(f, "record {sequence} was altered, or the record before it: the chain breaks there")
            }
        }
    }
}

/// Prints the records of a ring, oldest first.
pub fn show(path: &Path, ring: Ring, last: Option<usize>, form: Form) -> Result<String, Failure> {
    let octets = read(path)?;
    // Not among the records, which programs read.
    complain(&format!("read {}", path.display()));
    let (records, broken) = records(&octets, ring);
    let skipped = last.map_or(0, |last| records.len().saturating_sub(last));
    let shown = records.iter().skip(skipped);
    if form == Form::Json {
        let records: Vec<Value> = shown.map(document).collect();
        let broken = broken.first().map(ToString::to_string);
        let document = json!({ "format": FORMAT, "file": path.display().to_string(), "broken": broken, "records": records });
        return Ok(json(&document));
    }
    let mut text: String =
        shown.map(|record| escape(String::from_utf8_lossy(record.text).trim_end()) + "\n").collect();
    if text.is_empty() {
        text.push_str("the audit log has no record\n");
    }
    if let Some(broken) = broken.first() {
        text.push_str(&format!("warning: {broken}; see chimerctl audit --verify\n"));
    }
    Ok(text)
}

/// Checks the whole log.
pub fn verify_file(path: &Path, form: Form) -> Result<String, Failure> {
    let octets = read(path)?;
    match verify(&octets, STEPS).and_then(|_| verify(&octets, ORDERS)) {
        Ok((first, count)) if form == Form::Json => {
            let file = path.display().to_string();
            Ok(json(
                &json!({ "format": FORMAT, "whole": true, "file": file, "records": count, "first": first }),
            ))
        }
        Ok((_, 0)) => Ok(format!("{}: the audit log is in order; it has no record yet\n", name(path))),
        Ok((first, count)) => {
            let last = first.saturating_add(count as u64).saturating_sub(1);
            let wrapped = if first > 0 { "; older ones were overwritten" } else { "" };
            let name = name(path);
            Ok(format!("{name}: the audit log is in order: records {first} to {last}{wrapped}\n"))
        }
        Err(broken) => Err(Failure { text: format!("{}: {broken}", path.display()), code: exit::NO }),
    }
}

fn name(path: &Path) -> String {
    escape(&path.display().to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    // One octet more than a ring shows that the file is something else.
    let limit = LENGTH + 1;
    let outcome = file::open(path).and_then(|file| file.take(limit).read_to_end(&mut octets));
    match outcome {
        Ok(_) => Ok(octets),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => "only root reads the audit log: use sudo",
                io::ErrorKind::NotFound => "has the daemon run on this host? Name its log with --file",
                _ => "name the audit log with --file",
            };
            Err(Failure { text: format!("{}: {error}; {remedy}", path.display()), code: exit::NO })
        }
    }
}

/// All well-formed records of a ring, by sequence, and the faults of the others.
fn records(octets: &[u8], ring: Ring) -> (Vec<Record<'_>>, Vec<Break>) {
    let mut records = Vec::new();
    let mut broken = Vec::new();
    if octets.len() != LENGTH as usize {
        broken.push(Break::Length(octets.len()));
    }
    let first = usize::try_from(ring.slot(0)).unwrap_or(usize::MAX) / LINE;
    let lines = usize::try_from(ring.lines).unwrap_or(usize::MAX);
    for (slot, line) in octets.chunks(LINE).enumerate().skip(first).take(lines) {
        if line.iter().all(|octet| *octet == 0) {
            continue;
        }
        match parse(slot, line) {
            Some(record) if record.sequence % ring.lines != (slot - first) as u64 => {
                broken.push(Break::Misplaced(record.sequence, slot));
            }
            Some(record) => records.push(record),
            None => broken.push(Break::Line(slot)),
        }
    }
    records.sort_by_key(|record| record.sequence);
    (records, broken)
}

/// The number of the first record and the count of records, if the chain is intact from there on.
fn verify(octets: &[u8], ring: Ring) -> Result<(u64, usize), Break> {
    let (records, broken) = records(octets, ring);
    if let Some(broken) = broken.into_iter().next() {
        return Err(broken);
    }
    let Some(first) = records.first() else { return Ok((0, 0)) };
    let is_full = records.len() as u64 == ring.lines;
    // A start after a power cut has cleared what lay behind the end.
    let is_cleared = || records.iter().any(tells_of_a_power_cut);
    if first.sequence > 0 && !is_full && !(gap(&records).is_none() && is_cleared()) {
        // If records follow each other without a gap, the beginning is missing.
        return Err(gap(&records).unwrap_or(Break::Beginning(first.sequence)));
    }
    if first.sequence == 0 && first.hash != chain(&[0; 32], first.text) {
        return Err(Break::Hash(0));
    }
    for pair in records.windows(2) {
        let [before, after] = pair else { continue };
        if before.sequence.checked_add(1) != Some(after.sequence) {
            return Err(Break::Gap(before.sequence, after.sequence));
        }
        if after.hash != chain(&before.hash, after.text) {
            return Err(Break::Hash(after.sequence));
        }
    }
    Ok((first.sequence, records.len()))
}

fn tells_of_a_power_cut(record: &Record<'_>) -> bool {
    audit_line::found_at_start(record.text) == Some(LogIntegrity::Torn.word().as_bytes())
}

fn gap(records: &[Record<'_>]) -> Option<Break> {
    let pairs =
        records.iter().zip(records.iter().skip(1)).map(|(before, after)| (before.sequence, after.sequence));
    let mut gaps = pairs.filter(|(before, after)| before.checked_add(1) != Some(*after));
    gaps.next().map(|(before, after)| Break::Gap(before, after))
}

fn parse(slot: usize, line: &[u8]) -> Option<Record<'_>> {
    let (sequence, hash) = audit_line::parse(line)?;
    Some(Record { sequence, slot, text: line.get(..TEXT)?, hash })
}

/// Words that are never numbers, whatever they look like.
const TEXTS: [&str; 4] = ["version", "at", "before", "after"];

/// A number as a number, yes and no as a truth value, and everything else as a text.
fn value_of(key: &str, value: &str) -> Value {
    match value {
        _ if TEXTS.contains(&key) => Value::from(value),
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from),
    }
}

fn document(record: &Record<'_>) -> Value {
    let text = String::from_utf8_lossy(record.text);
    // Of a line without a blank at its end, the last word may lack its end.
    let is_cut = !record.text.ends_with(b" ");
    let whole = text.rsplit_once(' ').filter(|_| is_cut).map_or(&*text, |(whole, _)| whole);
    let words = whole.split_whitespace().filter_map(|word| word.split_once('='));
    let mut document: Map<String, Value> = Map::new();
    for (key, value) in words {
        let value = value_of(key, value);
        // A word that occurs twice is a list.
        match document.get_mut(key) {
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                document.insert(key.to_owned(), value);
            }
        }
    }
    document.insert("sequence".to_owned(), Value::from(record.sequence));
    document.insert("line".to_owned(), Value::from(record.slot + 1));
    document.insert("cut".to_owned(), Value::Bool(is_cut));
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Screen;

    const TEXT_FORM: Form = Form::Text(Screen::WIDE);

    fn ring(count: u64) -> Vec<u8> {
        let mut octets = vec![0; LENGTH as usize];
        let mut before = [0; 32];
        for sequence in 0..count {
            let text = format!(
                "{:<313}",
                format!(
                    "sequence={sequence} at=2026-11-24T19:30:01.123456789Z raw={sequence} event=adjust asked=5"
                )
            );
            before = chain(&before, text.as_bytes());
            let digits: String = before.iter().map(|octet| format!("{octet:02x}")).collect();
            let line = format!("{text} hash={digits}\n");
            let place = ORDERS.place(sequence) as usize;
            octets[place..place + LINE].copy_from_slice(line.as_bytes());
        }
        octets
    }

    fn line(slot: usize) -> std::ops::Range<usize> {
        slot * LINE..(slot + 1) * LINE
    }

    #[test]
    fn a_chain_that_was_left_alone_is_whole_at_any_fill() {
        let most = ORDERS.lines;
        for (count, first) in [(0, 0), (1, 0), (2, 0), (most, 0), (most + 1, 1), (2 * most + 5, most + 5)] {
            let kept = usize::try_from(count.min(most)).unwrap();
            assert_eq!(verify(&ring(count), ORDERS), Ok((first, kept)), "{count} records");
        }
    }

    #[test]
    fn a140_an_edited_record_is_found_wherever_it_is() {
        for (count, slot) in [(10, 0), (10, 5), (10, 9), (10_243, 1), (10_243, 4000)] {
            let mut octets = ring(count);
            octets[slot * LINE + 200] ^= 1;
            let sequence = slot as u64 + if slot < 3 && count > 10_240 { 10_240 } else { 0 };
            assert_eq!(verify(&octets, ORDERS), Err(Break::Hash(sequence)), "{count} records, line {slot}");
        }
    }

    #[test]
    fn a140_a_record_with_a_hash_made_anew_breaks_the_next_one() {
        let mut octets = ring(10);
        let mut text = octets[5 * LINE..5 * LINE + TEXT].to_vec();
        text[300] = b'x';
        let (good, _) = records(&octets, ORDERS);
        let hash = chain(&good[4].hash, &text);
        let digits: String = hash.iter().map(|octet| format!("{octet:02x}")).collect();
        octets[5 * LINE..5 * LINE + TEXT].copy_from_slice(&text);
        octets[5 * LINE + TEXT + 6..5 * LINE + LINE - 1].copy_from_slice(digits.as_bytes());
        assert_eq!(verify(&octets, ORDERS), Err(Break::Hash(6)));
    }

    #[test]
    fn a140_a_record_that_was_taken_out_leaves_a_gap() {
        let mut middle = ring(10);
        middle[line(5)].fill(0);
        assert_eq!(verify(&middle, ORDERS), Err(Break::Gap(4, 6)));
        let mut start = ring(10);
        start[line(0)].fill(0);
        start[line(1)].fill(0);
        assert_eq!(verify(&start, ORDERS), Err(Break::Beginning(2)));
        let mut wrapped = ring(10_248);
        wrapped[line(3)].fill(0);
        assert!(
            matches!(verify(&wrapped, ORDERS), Err(Break::Gap(10_242, 10_244))),
            "{:?}",
            verify(&wrapped, ORDERS)
        );
    }

    #[test]
    fn what_a_power_cut_took_from_a_full_ring_is_no_gap_once_a_start_has_said_so() {
        let torn = |word: &str| {
            let mut octets = vec![0; LENGTH as usize];
            let mut before = [0; 32];
            for sequence in 0..ORDERS.lines + 50 {
                let mut line = [b' '; LINE];
                let text = match sequence == ORDERS.lines + 49 {
                    true => format!("sequence={sequence} event=start record=resumed log={word} x"),
                    false => format!("sequence={sequence} event=applied x"),
                };
                line[..text.len()].copy_from_slice(text.as_bytes());
                before = audit_line::finish(&mut line, &before);
                let place = ORDERS.place(sequence) as usize;
                octets[place..place + LINE].copy_from_slice(&line);
            }
            // What was cleared behind the end.
            octets[line(50).start..line(60).end].fill(0);
            verify(&octets, ORDERS)
        };
        assert_eq!(torn("torn"), Ok((61, ORDERS.lines as usize - 11)));
        assert_eq!(torn("whole"), Err(Break::Beginning(61)));
    }

    #[test]
    fn a140_an_edited_step_is_found_in_its_own_ring() {
        let mut octets = ring(10);
        let mut before = [0; 32];
        for sequence in 0..3 {
            let mut line = [b' '; LINE];
            let text = format!("sequence={sequence} event=permitted x");
            line[..text.len()].copy_from_slice(text.as_bytes());
            before = audit_line::finish(&mut line, &before);
            let place = STEPS.place(sequence) as usize;
            octets[place..place + LINE].copy_from_slice(&line);
        }
        assert_eq!((verify(&octets, STEPS), verify(&octets, ORDERS)), (Ok((0, 3)), Ok((0, 10))));
        octets[STEPS.place(1) as usize + 30] ^= 1;
        assert_eq!((verify(&octets, STEPS), verify(&octets, ORDERS)), (Err(Break::Hash(1)), Ok((0, 10))));
    }

    #[test]
    fn a140_records_in_another_order_are_found() {
        let mut octets = ring(10);
        let (third, fourth) = (octets[line(3)].to_vec(), octets[line(4)].to_vec());
        octets[line(3)].copy_from_slice(&fourth);
        octets[line(4)].copy_from_slice(&third);
        assert_eq!(verify(&octets, ORDERS), Err(Break::Misplaced(4, 3)));
    }

    #[test]
    fn a_log_that_is_cut_is_found_and_octets_that_are_no_log_are_refused() {
        let mut octets = ring(10);
        octets[7 * LINE + 200..8 * LINE].fill(0);
        assert_eq!(verify(&octets, ORDERS), Err(Break::Line(7)));
        octets.truncate(7 * LINE);
        assert_eq!(verify(&octets, ORDERS), Err(Break::Length(7 * LINE)));
        for garbage in
            [vec![0xff; LENGTH as usize], vec![b'\n'; LENGTH as usize], b"sequence=".repeat(400_000)]
        {
            assert!(verify(&garbage, ORDERS).is_err());
        }
    }

    #[test]
    fn records_are_printed_oldest_first_and_escaped() {
        let path = std::env::temp_dir().join(format!("chimerctl-audit-{}", std::process::id()));
        let mut octets = ring(10_241);
        octets[5 * LINE + 100] = 0x1b;
        std::fs::write(&path, octets).unwrap();
        let text = show(&path, ORDERS, None, TEXT_FORM).ok().unwrap();
        let last = show(&path, ORDERS, Some(2), TEXT_FORM).ok().unwrap();
        let json: Value =
            serde_json::from_str(&show(&path, ORDERS, Some(1), Form::Json).ok().unwrap()).unwrap();
        let verified = verify_file(&path, TEXT_FORM).err().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), ORDERS.lines as usize);
        assert!(text.starts_with("sequence=1 ") && !text.contains('\u{1b}') && text.contains("\\u{1b}"));
        assert!(text.ends_with("event=adjust asked=5\n"));
        assert!(last.starts_with("sequence=10239 ") && last.lines().count() == 2);
        let record = &json["records"][0];
        assert_eq!((&record["sequence"], &record["event"]), (&Value::from(10_240), &Value::from("adjust")));
        assert_eq!((&record["asked"], &json["format"]), (&Value::from(5), &Value::from(FORMAT)));
        assert!(json["broken"].is_null(), "{json}");
        assert_eq!(verified.code, 1);
        assert!(
            verified.text.ends_with("record 5 was altered, or the record before it: the chain breaks there")
        );
    }

    #[test]
    fn a_word_that_is_there_twice_is_a_list() {
        let record =
            Record { sequence: 3, slot: 3, text: b"sequence=3 frequency=1 frequency=2  ", hash: [0; 32] };
        let expected = json!({ "sequence": 3, "line": 4, "cut": false, "frequency": [1, 2] });
        assert_eq!(document(&record), expected);
    }

    #[test]
    fn numbers_are_numbers_and_times_and_versions_are_texts() {
        let text =
            b"sequence=7 at=2026-11-24T19:30:01.5Z version=1 slew_ns=-5 undone=false code=Budget before=1  ";
        let record = Record { sequence: 7, slot: 7, text, hash: [0; 32] };
        let expected = json!({
            "sequence": 7, "line": 8, "at": "2026-11-24T19:30:01.5Z", "version": "1", "slew_ns": -5, "undone": false,
            "code": "Budget", "before": "1", "cut": false,
        });
        assert_eq!(document(&record), expected);
        let cut = Record { text: b"sequence=7 was=3546089 is=35460", ..record };
        let expected = json!({ "sequence": 7, "line": 8, "was": 3_546_089, "cut": true });
        assert_eq!(document(&cut), expected, "half a number is none");
    }

    #[test]
    fn a_log_that_is_not_there_is_said_with_the_remedy() {
        let failure = show(Path::new("/nonexistent/audit.log"), ORDERS, None, TEXT_FORM).err().unwrap();
        assert!(failure.text.contains("--file") && failure.code == 1);
    }
}
