//! Typed reading of a parsed TOML document, with the line of everything that is wrong.

mod lists;

use super::words::{nearest, shorten};
use super::{keys, unquoted};
use ipc::calendar::Date;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A fault in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of the file, escaped.
    pub name: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Key, what was expected, what was found, what to write: one line.
    pub text: String,
}

/// Collects what is wrong and what is doubtful while files are read. Their octets are counted through all of them, so that
/// an octet says which file it is of.
#[derive(Debug)]
pub struct Faults<'t> {
    /// Name and text of each file.
    files: Vec<(&'t str, &'t str)>,
    /// With the number of the file.
    faults: Vec<(usize, Fault)>,
    warnings: Vec<(usize, Fault)>,
}

impl<'t> Faults<'t> {
    /// Nothing found yet in these files, each with its name and its text.
    pub fn new(files: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        Self { files: files.into_iter().collect(), faults: Vec::new(), warnings: Vec::new() }
    }

    /// The octet at which a file begins; between two files there is one, so that the end of each is its own.
    fn begin(&self, file: usize) -> usize {
        self.files.iter().take(file).map(|(_, text)| text.len() + 1).sum()
    }

    /// The number of the file that has this octet.
    pub fn file_of(&self, offset: usize) -> usize {
        let last = self.files.len().saturating_sub(1);
        (0..last).find(|file| offset < self.begin(file + 1)).unwrap_or(last)
    }

    /// File and line of an octet, for messages.
    pub fn place(&self, offset: usize) -> String {
        let (_, Fault { name, line, .. }) = self.fault(offset, "");
        format!("{name}:{line}")
    }

    fn fault(&self, offset: usize, text: &str) -> (usize, Fault) {
        let file = self.file_of(offset);
        let (name, whole) = self.files.get(file).copied().unwrap_or_default();
        let before = whole.as_bytes().iter().take(offset.saturating_sub(self.begin(file)));
        let line = before.filter(|octet| **octet == b'\n').count() + 1;
        (file, Fault { name: ipc::text::escape(name), line, text: ipc::text::escape(text) })
    }

    /// A fault at this octet.
    pub fn add(&mut self, offset: usize, text: impl Display) {
        let fault = self.fault(offset, &text.to_string());
        self.faults.push(fault);
    }

    /// Something at this octet is lawful but doubtful.
    pub fn warn(&mut self, offset: usize, text: impl Display) {
        let fault = self.fault(offset, &text.to_string());
        self.warnings.push(fault);
    }

    /// How many faults were found so far.
    pub fn count(&self) -> usize {
        self.faults.len()
    }

    /// Takes back all but the first of them; the first of those that are taken.
    pub fn forget_after(&mut self, count: usize) -> Option<Fault> {
        self.faults.drain(count.min(self.faults.len())..).next().map(|(_, fault)| fault)
    }

    /// Whether no fault was found so far.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// The faults in the order of files and lines, then the warnings.
    pub fn into_lists(self) -> (Vec<Fault>, Vec<Fault>) {
        let Self { mut faults, warnings, .. } = self;
        faults.sort_by_key(|(file, fault)| (*file, fault.line));
        let bare = |list: Vec<(usize, Fault)>| list.into_iter().map(|(_, fault)| fault).collect();
        (bare(faults), bare(warnings))
    }
}

/// Parses the text of a file as TOML (nesting is bounded by the parser); a fault if it is not TOML.
pub fn parse<'t>(file: usize, faults: &mut Faults<'t>) -> Option<DeTable<'t>> {
    let (_, text) = faults.files.get(file).copied()?;
    match DeTable::parse(text) {
        Ok(table) => Some(shift_table(table.into_inner(), faults.begin(file))),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            let said = match error.message() {
                said if said.contains("recursion limit") => {
                    "nested too deeply; no key here holds more than a list of texts".to_owned()
                }
                said if said.contains("duplicate key") => {
                    "this key or table is there twice; keep one of them (a list of sources is written [[source]])"
                        .to_owned()
                }
                said => {
                    let line = line_at(text, offset);
                    match foreign::instead_of_line(line) {
                        Some((word, ours)) => {
                            format!("{word}: as in another daemon's file, but this is another format; {ours}")
                        }
                        None => format!("not TOML: {}", unquoted::remedy(line, said)),
                    }
                }
            };
            faults.add(faults.begin(file).saturating_add(offset), said);
            None
        }
    }
}

/// The same with all octets counted from this one on.
fn shift_table<'t>(table: DeTable<'t>, by: usize) -> DeTable<'t> {
    if by == 0 {
        return table;
    }
    let mut shifted = DeTable::new();
    for (key, value) in table {
        let key = Spanned::new(shift(key.span(), by), key.into_inner());
        shifted.insert(key, shift_value(value, by));
    }
    shifted
}

fn shift_value<'t>(value: Spanned<DeValue<'t>>, by: usize) -> Spanned<DeValue<'t>> {
    let span = shift(value.span(), by);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shift_table(table, by)),
        DeValue::Array(array) => {
            let mut shifted = DeArray::new();
            array.into_iter().for_each(|value| shifted.push(shift_value(value, by)));
            DeValue::Array(shifted)
        }
        other => other,
    };
    Spanned::new(span, value)
}

fn shift(span: Range<usize>, by: usize) -> Range<usize> {
    span.start.saturating_add(by)..span.end.saturating_add(by)
}

/// One table of the file, under the name that messages give it.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// As a person writes it: `[clock]`, `[[source]]`, or nothing for the file itself.
    pub title: &'static str,
    /// Offset of its first octet.
    pub at: usize,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub fn root(table: &'a DeTable<'a>) -> Self {
        Self { title: "", at: 0, table }
    }

    fn entry(&self, key: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'a>>)> {
        let (name, value) = self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
        Some((name.span(), value))
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether an unknown key is there that is probably meant to be this one.
    pub fn misspells(&self, key: &str, known: &[&str]) -> bool {
        let names = self.table.iter().map(|(name, _)| name.get_ref().as_ref());
        names.filter(|name| !known.contains(name)).any(|name| nearest(name, known) == Some(key))
    }

    /// Offset of the key in octets, or of the section if the key is absent.
    pub fn place_of(&self, key: &str) -> usize {
        self.entry(key).map_or(self.at, |(span, _)| span.start)
    }

    /// Every key that is not known is a fault, with the nearest one that is.
    pub fn refuse_unknown(&self, known: &[&str], faults: &mut Faults<'_>) {
        let (kind, place) = match self.title {
            "" => ("section", String::new()),
            title => ("key", format!(" in {title}")),
        };
        for (name, _) in self.table.iter().filter(|(name, _)| !known.contains(&name.get_ref().as_ref())) {
            let found = name.get_ref().as_ref();
            let theirs = foreign::instead_of(found);
            if let (None, Some(home)) = (theirs, keys::home(found)) {
                let here = if place.is_empty() { " here" } else { &place };
                faults.add(name.span().start, format!("{found}: not known{here}; it belongs under {home}"));
                continue;
            }
            let remedy = match (nearest(found, known), theirs) {
                (Some(near), _) => format!("did you mean {near}?"),
                (None, Some(ours)) => ours.to_owned(),
                (None, None) => format!("what is known there: {}", known.join(", ")),
            };
            faults.add(name.span().start, format!("{found}: no such {kind}{place}; {remedy}"));
        }
    }

    /// The table `[key]`, `None` if it is absent; a fault if it has another type.
    pub fn table(&self, key: &str, title: &'static str, faults: &mut Faults<'_>) -> Option<Section<'a>> {
        let (span, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section { title, at: span.start, table }),
            other => {
                let found = describe(other);
                let theirs = foreign::instead_of(key).map_or(String::new(), |ours| format!("; {ours}"));
                faults.add(
                    span.start,
                    format!("{key}: expected a table, found {found}; write {title}{theirs}"),
                );
                None
            }
        }
    }

    /// The tables `[[key]]`, empty if there are none; a fault if the key has another type.
    pub fn tables(&self, key: &str, title: &'static str, faults: &mut Faults<'_>) -> Vec<Section<'a>> {
        let Some((span, value)) = self.entry(key) else { return Vec::new() };
        let DeValue::Array(array) = value.get_ref() else {
            let found = describe(value.get_ref());
            faults.add(span.start, format!("{key}: expected a list of tables, found {found}; write {title}"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => {
                    // The span of a [[table]] covers its head only, or nothing: its first key is near enough.
                    let first = table.iter().map(|(name, _)| name.span().start).min();
                    let at =
                        if item.span().is_empty() { first.unwrap_or(span.start) } else { item.span().start };
                    sections.push(Section { title, at, table });
                }
                other => {
                    let found = describe(other);
                    faults.add(
                        item.span().start,
                        format!("{key}: expected a table, found {found}; write {title}"),
                    );
                }
            }
        }
        sections
    }

    /// A text, `None` if the key is absent.
    pub fn text(&self, key: &str, example: &str, faults: &mut Faults<'_>) -> Option<(usize, &'a str)> {
        let (_, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((value.span().start, text.as_ref())),
            other => {
                let found = describe(other);
                faults.add(
                    value.span().start,
                    format!("{key}: expected a text, found {found}; write {key} = \"{example}\""),
                );
                None
            }
        }
    }

    /// `true` or `false`, `None` if the key is absent.
    pub fn boolean(&self, key: &str, faults: &mut Faults<'_>) -> Option<bool> {
        let (_, value) = self.entry(key)?;
        match value.get_ref() {
            DeValue::Boolean(boolean) => Some(*boolean),
            other => {
                let found = describe(other);
                faults.add(
                    value.span().start,
                    format!(
                        "{key}: expected true or false, found {found}; write {key} = true, without quotes"
                    ),
                );
                None
            }
        }
    }

    /// A whole number in `range`, `None` if the key is absent.
    pub fn whole(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        example: i64,
        faults: &mut Faults<'_>,
    ) -> Option<i64> {
        let (_, value) = self.entry(key)?;
        let found = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        within(value, found, &range, (key, "a whole number", &example), faults)
    }

    /// A number in `range`, whole or not, `None` if the key is absent. `unit` follows the range in messages.
    pub fn number(
        &self,
        key: &str,
        range: RangeInclusive<f64>,
        unit: &str,
        example: &str,
        faults: &mut Faults<'_>,
    ) -> Option<f64> {
        let (_, value) = self.entry(key)?;
        let found = match value.get_ref() {
            DeValue::Integer(number) => {
                // A configured number is small; what loses digits here is out of range anyway.
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
            }
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => None,
        };
        within(value, found, &range, (key, &format!("a number of {unit}"), &example), faults)
    }

    /// A day, as a date or as text, in days since 1970; `None` if the key is absent.
    pub fn day(&self, key: &str, faults: &mut Faults<'_>) -> Option<u32> {
        let (_, value) = self.entry(key)?;
        let found = match value.get_ref() {
            DeValue::Datetime(moment) if moment.time.is_none() => {
                moment.date.and_then(|date| day_number(date.year.into(), date.month.into(), date.day.into()))
            }
            DeValue::String(text) => parse_day(text),
            _ => None,
        };
        if found.is_none() {
            let found = describe(value.get_ref());
            faults.add(
                value.span().start,
                format!("{key}: expected a day from 1970 on, found {found}; write {key} = \"2026-11-01\""),
            );
        }
        found
    }

    /// Whether the value of the key is a text (and not a number, for keys that take either).
    pub fn is_text(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|(_, value)| value.get_ref().is_str())
    }
}

fn parse_day(text: &str) -> Option<u32> {
    let digits = |part: &str, length: usize| {
        let good = part.len() == length && part.bytes().all(|octet| octet.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| good)
    };
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let date = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    parts.next().is_none().then_some(())?;
    day_number(date.0, date.1, date.2)
}

/// Counted from 1970-01-01; `None` if there is no such day, or if it is earlier.
fn day_number(year: u32, month: u32, day: u32) -> Option<u32> {
    u32::try_from(Date::try_new(year, month, day)?.number()).ok()
}

/// The value, if it lies in `range`; otherwise a fault that says what was expected, with an example.
fn within<N: PartialOrd + Display>(
    value: &Spanned<DeValue<'_>>,
    found: Option<N>,
    range: &RangeInclusive<N>,
    (key, expected, example): (&str, &str, &dyn Display),
    faults: &mut Faults<'_>,
) -> Option<N> {
    let good = found.filter(|number| range.contains(number));
    if good.is_none() {
        let (least, most, found) = (range.start(), range.end(), describe(value.get_ref()));
        faults.add(
            value.span().start,
            format!(
                "{key}: expected {expected} from {least} to {most}, found {found}; write {key} = {example}"
            ),
        );
    }
    good
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{}\"", shorten(text)),
        DeValue::Integer(number) => shorten(&number.to_string()),
        DeValue::Float(number) => shorten(number.as_str()),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The line that this octet is in.
fn line_at(text: &str, offset: usize) -> &str {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let end = offset.saturating_add(after.find('\n').unwrap_or(after.len()));
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, day) in [
            ("1970-01-01", 0),
            ("1970-12-31", 364),
            ("2000-02-29", 11_016),
            ("2026-11-01", 20_758),
            ("2100-03-01", 47_541),
        ] {
            assert_eq!(parse_day(text), Some(day), "{text}");
        }
        for bad in [
            "",
            "2026",
            "2026-11",
            "2026-11-1",
            "2026-11-31",
            "2100-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "1969-12-31",
            "26-11-01",
            "2026-11-01-",
            "+026-11-01",
            "2026-11-01T00:00",
            "12026-11-01",
        ] {
            assert_eq!(parse_day(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        let known = ["address", "min-poll", "max-poll"];
        assert_eq!(nearest("adress", &known), Some("address"));
        assert_eq!(nearest("MIN_POLL", &known), Some("min-poll"));
        assert_eq!(nearest("iburst", &known), None);
    }
}
