//! Text for terminals: nothing unescaped, columns aligned, durations readable.

use ipc::calendar::Date;
use ipc::text::escape;
use report::{Word, Words};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

/// For an unknown value: there never was one, or the daemon is of a version that does not report it.
pub const UNKNOWN: &str = "-";

/// JSON on several lines, in ASCII only.
pub fn json(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut ascii = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        match character {
            '\n' | ' '..='~' => ascii.push(character),
            _ => {
                // Outside of strings JSON is ASCII, so any other character is in a string.
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(ascii, "\\u{unit:04x}");
                }
            }
        }
    }
    ascii.push('\n');
    ascii
}

/// Writes to standard output. A closed pipe (`| head`) is not an error.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// A table with a header; columns as wide as their widest cell, all cells escaped.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines: Vec<Vec<String>> = vec![head.iter().map(|cell| (*cell).to_owned()).collect()];
    lines.extend(rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()));
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut out = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(out, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", out.trim_end());
    }
    text
}

/// A table of counters with their meanings; a counter that the daemon does not have is `-`.
pub fn counts(head: &str, counts: &BTreeMap<String, u64>, meanings: &[(&str, &str)]) -> String {
    let rows = meanings
        .iter()
        .map(|(name, means)| vec![(*name).to_owned(), plain(counts.get(*name)), (*means).to_owned()]);
    table(&[head, "SINCE START", "MEANING"], &rows.collect::<Vec<_>>())
}

/// Lines of `name: value`, all escaped.
pub fn list(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<width$}  {}", escape(value));
    }
    text
}

/// A number of seconds with a fitting unit, with a sign if `signed`; `-` if unknown.
pub fn seconds(value: Option<f64>, signed: bool) -> String {
    let Some(seconds) = value.filter(|seconds| seconds.is_finite()) else { return UNKNOWN.to_owned() };
    let (scale, unit) = match seconds.abs() {
        size if size < 1e-6 => (1e9, "ns"),
        size if size < 1e-3 => (1e6, "µs"),
        size if size < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    let scaled = seconds * scale;
    match signed {
        true => format!("{scaled:+.3} {unit}"),
        false => format!("{scaled:.3} {unit}"),
    }
}

/// A duration in whole numbers of a fitting unit, for hours or weeks; `-` if unknown.
pub fn length(value: Option<f64>) -> String {
    let Some(seconds) = value.filter(|seconds| seconds.is_finite()) else { return UNKNOWN.to_owned() };
    let (scale, unit) = match seconds.abs() {
        size if size < 120.0 => (1.0, "s"),
        size if size < 7_200.0 => (60.0, "min"),
        size if size < 172_800.0 => (3_600.0, "h"),
        _ => (86_400.0, "d"),
    };
    format!("{:.0} {unit}", seconds / scale)
}

/// The day (UTC) of an instant in seconds since 1970, as `YYYY-MM-DD`; `-` beyond the years 1 to 9999.
pub fn day(unix_seconds: i64) -> String {
    let date = Date::of_day(unix_seconds.div_euclid(86_400));
    if (1..=9999).contains(&date.year()) { date.to_string() } else { "-".to_owned() }
}

/// A word, a sentence or a number of the daemon's as it is; `-` if it is unknown or empty.
pub fn plain(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).filter(|text| !text.is_empty()).unwrap_or_else(|| UNKNOWN.to_owned())
}

/// The value of a word, if it is one of this version.
pub fn known<T: Words>(word: Option<&Word<T>>) -> Option<T> {
    word.and_then(Word::known)
}

/// For the command line: 0 or more.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds, 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a141_nothing_that_a_terminal_obeys_is_printed() {
        let hostile = "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{9b}1m\u{202e}\u{200b}\0";
        let table = table(&["A"], &[vec![hostile.to_owned()]]);
        assert!(table.chars().all(|character| character.is_ascii_graphic() || "\n ".contains(character)));
        let list = list(&[("a", hostile.to_owned())]);
        assert_eq!(list.lines().count(), 1);
        let text = json(&json!({ "a": hostile, "ü\u{7f}": "😀" }));
        assert!(text.chars().all(|character| character == '\n' || (' '..='~').contains(&character)));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "a": hostile, "ü\u{7f}": "😀" }));
    }

    #[test]
    fn columns_are_aligned_and_have_no_trailing_blanks() {
        let table =
            table(&["NAME", "N"], &[vec!["a".into(), "1".into()], vec!["longer".into(), String::new()]]);
        assert_eq!(table, "NAME    N\na       1\nlonger\n");
    }

    #[test]
    fn a_length_of_time_has_the_unit_that_fits() {
        assert_eq!(seconds(Some(0.0), false), "0.000 ns");
        assert_eq!(seconds(Some(-0.000_012_345), true), "-12.345 µs");
        assert_eq!(seconds(Some(0.25), true), "+250.000 ms");
        assert_eq!(seconds(Some(12.0), false), "12.000 s");
        assert_eq!(seconds(None, true), "-");
    }

    #[test]
    fn hours_and_weeks_are_whole_numbers() {
        for (seconds, text) in
            [(0.4, "0 s"), (119.0, "119 s"), (600.0, "10 min"), (90_000.0, "25 h"), (1e6, "12 d")]
        {
            assert_eq!(length(Some(seconds)), text);
        }
        assert_eq!(length(None), "-");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_793_491_199, "2026-10-31"),
            (1_793_491_200, "2026-11-01"),
            (4_107_542_400, "2100-03-01"),
            (i64::MAX, "-"),
            (i64::MIN, "-"),
        ] {
            assert_eq!(day(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn seconds_on_the_command_line_are_checked() {
        assert_eq!(parse_seconds("0.5"), Ok(0.5));
        for bad in ["-1", "nan", "inf", "x", ""] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
