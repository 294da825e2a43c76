//! Text for terminals: nothing unescaped, columns aligned, no line too long, durations readable.

use crate::screen::{Form, Screen};
use ipc::calendar::Date;
use ipc::text::escape;
use report::{Word, Words};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Blanks before what does not fit on the line of a table.
const INDENT: usize = 4;

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

/// A sentence, in lines of the screen; where there is none, in one.
pub fn said(text: &str, form: Form) -> String {
    match form {
        Form::Text(screen) => screen.wrap(&screen.show(text), 0, 0) + "\n",
        Form::Json => escape(text) + "\n",
    }
}

/// A table with a header; columns as wide as their widest cell, all cells escaped. Where it would be too wide, the last
/// columns of each row stand below it with their names, without those that are empty or unknown.
pub fn table(screen: Screen, head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| screen.show(cell)).collect();
    let shown = rows.iter().map(|row| row.iter().map(|cell| screen.show(cell)).collect::<Vec<_>>());
    let lines: Vec<Vec<String>> = [head.clone()].into_iter().chain(shown).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let ends = widths.iter().scan(0_usize, |end, width| {
        let here = *end + width;
        *end = here + 2;
        Some(here)
    });
    let fitting = ends.take_while(|end| *end <= screen.width).count().max(1);
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let mut out = String::new();
        for (cell, width) in line.iter().zip(&widths).take(fitting) {
            let _ = write!(out, "{cell:<width$}  ");
        }
        let out = out.trim_end();
        match out.chars().count() > screen.width {
            true => text.push_str(&screen.wrap(out, 0, INDENT)),
            false => text.push_str(out),
        }
        text.push('\n');
        let rest = head.iter().zip(line).skip(fitting).filter(|(_, cell)| at > 0 && is_told(cell));
        let rest: Vec<String> = rest.map(|(name, cell)| format!("{name} {cell}")).collect();
        if !rest.is_empty() {
            let _ = writeln!(text, "{:INDENT$}{}", "", screen.wrap(&rest.join(", "), INDENT, INDENT));
        }
    }
    text
}

fn is_told(cell: &str) -> bool {
    !cell.is_empty() && cell != UNKNOWN
}

/// A table of counters with their meanings; a counter that the daemon does not have is `-`.
pub fn counts(
    screen: Screen,
    head: &str,
    counts: &BTreeMap<String, u64>,
    meanings: &[(&str, &str)],
) -> String {
    let rows = meanings
        .iter()
        .map(|(name, means)| vec![(*name).to_owned(), plain(counts.get(*name)), (*means).to_owned()]);
    table(screen, &[head, "SINCE START", "MEANING"], &rows.collect::<Vec<_>>())
}

/// Lines of `name: value`, all escaped; a value that is too long goes on below its beginning.
pub fn list(screen: Screen, rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        let value = screen.wrap(&screen.show(value), width + 2, width + 2);
        let line = match value.starts_with('\n') {
            true => format!("{name}{value}"),
            false => format!("{name:<width$}  {value}"),
        };
        let _ = writeln!(text, "{}", line.trim_end());
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

/// A frequency, with a sign if `signed`; `-` if unknown.
pub fn ppm(value: Option<f64>, signed: bool) -> String {
    match value {
        None => UNKNOWN.to_owned(),
        Some(ppm) if signed => format!("{ppm:+.3} ppm"),
        Some(ppm) => format!("{ppm:.3} ppm"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a141_nothing_that_a_terminal_obeys_is_printed() {
        let hostile = "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{9b}1m\u{202e}\u{200b}\0";
        let table = table(Screen::WIDE, &["A"], &[vec![hostile.to_owned()]]);
        assert!(table.chars().all(|character| character.is_ascii_graphic() || "\n ".contains(character)));
        let list = list(Screen::WIDE, &[("a", hostile.to_owned())]);
        assert_eq!(list.lines().count(), 1);
        let text = json(&json!({ "a": hostile, "ü\u{7f}": "😀" }));
        assert!(text.chars().all(|character| character == '\n' || (' '..='~').contains(&character)));
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "a": hostile, "ü\u{7f}": "😀" }));
    }

    #[test]
    fn columns_are_aligned_and_have_no_trailing_blanks() {
        let rows = [vec!["a".into(), "1".into()], vec!["longer".into(), String::new()]];
        let table = table(Screen::WIDE, &["NAME", "N"], &rows);
        assert_eq!(table, "NAME    N\na       1\nlonger\n");
    }

    #[test]
    fn what_is_too_wide_for_a_table_stands_below_its_row_with_the_name_of_its_column() {
        let row = |name: &str, delay: &str, why: &str| vec![name.into(), delay.into(), why.into()];
        let rows = [
            row("a.example", "1.000 ms", ""),
            row("b.example", "-", "it has never answered: there is no route to it"),
        ];
        let narrow = Screen { width: 30, is_utf8: true };
        let expected = "NAME       DELAY\n\
            a.example  1.000 ms\n\
            b.example  -\n\
            \u{20}   WHY it has never answered:\n\
            \u{20}   there is no route to it\n";
        assert_eq!(table(narrow, &["NAME", "DELAY", "WHY"], &rows), expected);
        let value = "it has never answered: there is no route to it".to_owned();
        assert_eq!(
            list(narrow, &[("why", value)]),
            "why  it has never answered:\n     there is no route to it\n"
        );
        let long = vec!["n".repeat(253), "x".to_owned()];
        let page = table(narrow, &["NAME", "A"], &[long]);
        assert!(page.lines().all(|line| line.chars().count() <= 30) && page.contains("A x"), "{page}");
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
}
