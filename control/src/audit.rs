//! `chimerctl audit`: the governor's log, two rings of lines of fixed width, each of which contains the hash of the
//! previous one: shown here, and verified by `verified`.

mod verified;

pub use verified::{Gathered, Named, verify};

use crate::screen::{Form, complain};
use crate::text::json;
use crate::{Failure, exit, file};
use ipc::audit_line::{LENGTH, ORDERS, Ring, STEPS};
use ipc::text::escape;
use proof::{Line, Log};
use report::FORMAT;
use serde_json::{Map, Value, json};
use std::io::{self, Read};
use std::path::Path;

/// Prints the records of a ring, oldest first.
pub fn show(path: &Path, ring: Ring, last: Option<usize>, form: Form) -> Result<String, Failure> {
    let octets = read(path, OPTION)?;
    // Not among the records, which programs read.
    complain(&format!("read {}", path.display()));
    let Log { lines: records, faults: broken, .. } = Log::read(&octets, ring);
    refuse_foreign(path, &octets, OPTION)?;
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

/// What of the command line of `audit` names another log.
pub const OPTION: &str = "--file";

/// Refuses what is no audit log at all: neither ring has a line, and the file is not blank. A log has its whole length from its first
/// moment, so that an empty file is none.
///
/// # Errors
/// It is none.
fn refuse_foreign(path: &Path, octets: &[u8], option: &str) -> Result<(), Failure> {
    let has_line = [ORDERS, STEPS].into_iter().any(|ring| !Log::read(octets, ring).lines.is_empty());
    if has_line || (!octets.is_empty() && octets.iter().all(|octet| *octet == 0)) {
        return Ok(());
    }
    let text = format!(
        "{}: is no audit log; name audit.log of the state directory, or a copy of it, with {option}",
        path.display()
    );
    Err(Failure { text, code: exit::UNABLE })
}

/// `option`: what of the command line names another one.
fn read(path: &Path, option: &str) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    // One octet more than a ring shows that the file is something else.
    let limit = LENGTH + 1;
    let outcome = file::open(path).and_then(|file| file.take(limit).read_to_end(&mut octets));
    match outcome {
        Ok(_) => Ok(octets),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => "only root reads the audit log: use sudo".to_owned(),
                io::ErrorKind::NotFound => {
                    format!("has the daemon run on this host? Name its log with {option}")
                }
                _ => format!("name the audit log with {option}"),
            };
            Err(Failure { text: format!("{}: {error}; {remedy}", path.display()), code: exit::UNABLE })
        }
    }
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

fn document(record: &Line<'_>) -> Value {
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
    use ipc::audit_line::LINE;
    use proof::testing::ring;

    const TEXT_FORM: Form = Form::Text(Screen::WIDE);

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
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), ORDERS.lines as usize);
        assert!(text.starts_with("sequence=1 ") && !text.contains('\u{1b}') && text.contains("\\u{1b}"));
        assert!(text.ends_with("event=adjust asked=5\n"));
        assert!(last.starts_with("sequence=10239 ") && last.lines().count() == 2);
        let record = &json["records"][0];
        assert_eq!((&record["sequence"], &record["event"]), (&Value::from(10_240), &Value::from("adjust")));
        assert_eq!((&record["asked"], &json["format"]), (&Value::from(5), &Value::from(FORMAT)));
        assert!(json["broken"].is_null(), "{json}");
    }

    #[test]
    fn a_word_that_is_there_twice_is_a_list() {
        let record =
            Line { sequence: 3, slot: 3, text: b"sequence=3 frequency=1 frequency=2  ", hash: [0; 32] };
        let expected = json!({ "sequence": 3, "line": 4, "cut": false, "frequency": [1, 2] });
        assert_eq!(document(&record), expected);
    }

    #[test]
    fn numbers_are_numbers_and_times_and_versions_are_texts() {
        let text =
            b"sequence=7 at=2026-11-24T19:30:01.5Z version=1 slew_ns=-5 undone=false code=Budget before=1  ";
        let record = Line { sequence: 7, slot: 7, text, hash: [0; 32] };
        let expected = json!({
            "sequence": 7, "line": 8, "at": "2026-11-24T19:30:01.5Z", "version": "1", "slew_ns": -5, "undone": false,
            "code": "Budget", "before": "1", "cut": false,
        });
        assert_eq!(document(&record), expected);
        let cut = Line { text: b"sequence=7 was=3546089 is=35460", ..record };
        let expected = json!({ "sequence": 7, "line": 8, "was": 3_546_089, "cut": true });
        assert_eq!(document(&cut), expected, "half a number is none");
    }

    #[test]
    fn a_log_that_is_not_there_is_said_with_the_remedy() {
        let failure = show(Path::new("/nonexistent/audit.log"), ORDERS, None, TEXT_FORM).err().unwrap();
        assert!(failure.text.contains("--file") && failure.code == exit::UNABLE);
    }

    #[test]
    fn another_file_is_no_audit_log_and_a_blank_one_is_an_empty_log() {
        let path = std::env::temp_dir().join(format!("chimerctl-foreign-{}", std::process::id()));
        std::fs::write(&path, [b'x'; 4 * LINE]).unwrap();
        let failure = show(&path, ORDERS, None, TEXT_FORM).err().unwrap();
        assert!(failure.text.contains("is no audit log") && failure.code == exit::UNABLE, "{}", failure.text);
        std::fs::write(&path, [0; 4 * LINE]).unwrap();
        let text = show(&path, ORDERS, None, TEXT_FORM).ok().unwrap();
        assert!(text.starts_with("the audit log has no record\n"), "{text}");
        std::fs::remove_file(&path).unwrap();
    }
}
