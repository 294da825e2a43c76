//! ntp.toml of ntpd-rs.
//!
//! ```text
//!   source  [[source]]
//!   server  [[server]], [[nts-ke-server]]
//! ```

mod server;
mod source;

use crate::plan::{Part, Plan};
use crate::words::Line;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table of theirs, of which each key is looked at.
struct Reading<'t> {
    path: &'t str,
    text: &'t str,
}

type Entry<'t> = (&'t str, &'t Spanned<DeValue<'t>>);

impl<'t> Reading<'t> {
    /// The line of a key with its value, as one line.
    fn line(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Line {
        let before = self.text.get(..value.span().start).unwrap_or_default();
        let number = 1 + before.matches('\n').count();
        Line { file: self.path.to_owned(), number, text: format!("{key} = {}", self.said(value)) }
    }

    /// A value as it is written, in one line; a table with a head of its own, as one without.
    fn said(&self, value: &Spanned<DeValue<'_>>) -> String {
        let said = self.text.get(value.span()).unwrap_or_default();
        match value.get_ref().as_table() {
            Some(table) if !said.starts_with('{') => {
                let inner: Vec<String> = table
                    .iter()
                    .map(|(key, value)| format!("{} = {}", key.get_ref(), self.said(value)))
                    .collect();
                format!("{{ {} }}", inner.join(", "))
            }
            _ => said.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    fn entries(&self, table: &'t DeTable<'t>) -> impl Iterator<Item = Entry<'t>> + use<'t> {
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), value))
    }
}

/// A text.
fn text<'t>(value: &'t Spanned<DeValue<'t>>) -> Option<&'t str> {
    value.get_ref().as_str()
}

/// A number, whole or not.
fn amount(value: &Spanned<DeValue<'_>>) -> Option<f64> {
    let said = match value.get_ref() {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        _ => return None,
    };
    said.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite())
}

/// Reads a file.
pub fn read(plan: &mut Plan, path: &str, text: &str) {
    let reading = Reading { path, text };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let number = 1 + before.matches('\n').count();
            for line in crate::files::lines(path, text).filter(|line| !line.text.trim().is_empty()) {
                if !line.text.trim_start().starts_with('#') {
                    let why = if line.number == number {
                        "the file is not TOML from here on"
                    } else {
                        "not carried: the file is not TOML"
                    };
                    plan.explain(&line, why, line.number == number);
                }
            }
            return plan.lose(&format!("{path}:{number}: not TOML, and nothing of it is carried"));
        }
    };
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return plan.lose(&format!(
            "{path}: there is something in it that is no text in UTF-8, and nothing of it is carried"
        ));
    }
    let mut defaults = source::Defaults::default();
    if let Some((_, value)) = reading.entries(&table).find(|(key, _)| *key == "source-defaults") {
        defaults = source::defaults(plan, &reading, value);
    }
    for (key, value) in reading.entries(&table) {
        let list = value.get_ref().as_array();
        match (key, value.get_ref(), list) {
            ("source-defaults", ..) => {}
            ("source", _, Some(list)) => {
                list.iter().for_each(|one| source::read(plan, &reading, one, &defaults))
            }
            ("server", _, Some(list)) => server::read(plan, &reading, list),
            ("nts-ke-server", _, Some(list)) => server::key_exchange(plan, &reading, list),
            ("synchronization", DeValue::Table(table), _) => synchronization(plan, &reading, table),
            ("observability" | "keyset", ..) => all(plan, &reading, key, value),
            _ => explain(plan, &reading, key, value, None),
        }
    }
    server::settle(plan);
    if plan.value(Part::Clock, "minimum-sources").is_none() {
        let seats: usize = plan.sources.iter().map(|source| usize::from(source.members.unwrap_or(1))).sum();
        plan.remark(
            Part::Clock,
            "ntpd-rs asks for 3 sources that agree unless minimum-agreeing-sources says otherwise; here that is minimum-sources.",
        );
        // With fewer, which never synchronise there, more than half have to agree here.
        if seats >= 3 && !plan.items.is_empty() {
            plan.set(Part::Clock, "minimum-sources", "3".to_owned(), 0);
        }
    }
}

/// What is in a section without anything like it here.
fn all<'t>(plan: &mut Plan, reading: &Reading<'t>, key: &str, value: &'t Spanned<DeValue<'t>>) {
    match value.get_ref().as_table() {
        Some(table) if !table.is_empty() => {
            let whole = foreign::instead_of(key);
            for (name, value) in reading.entries(table) {
                let why = foreign::instead_of(name).or(whole);
                explain(plan, reading, &format!("{key}.{name}"), value, why);
            }
        }
        _ => explain(plan, reading, key, value, foreign::instead_of(key)),
    }
}

/// A key that is not carried.
fn explain(
    plan: &mut Plan,
    reading: &Reading<'_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    why: Option<&str>,
) {
    let line = reading.line(key, value);
    match why {
        Some(why) => plan.explain(&line, why, false),
        None => plan.explain(&line, "no key that is known here, and not carried", true),
    }
}

fn synchronization<'t>(plan: &mut Plan, reading: &Reading<'t>, table: &'t DeTable<'t>) {
    for (key, value) in reading.entries(table) {
        match (key, amount(value)) {
            ("minimum-agreeing-sources", Some(count)) if (1.0..=1e6).contains(&count) => {
                let item = plan.item(Part::Clock, &reading.line(key, value));
                plan.set(Part::Clock, "minimum-sources", format!("{}", count as u32), item);
            }
            ("local-stratum", Some(stratum)) if (1.0..=15.0).contains(&stratum) => {
                let item = plan.item(Part::Server, &reading.line(key, value));
                plan.set(Part::Server, "local-stratum", format!("{}", stratum as u8), item);
            }
            ("local-stratum", Some(_)) => {
                explain(
                    plan,
                    reading,
                    key,
                    value,
                    Some("as here without local-stratum: unsynchronised while no source is selected"),
                );
            }
            ("algorithm", _) => all(plan, reading, key, value),
            _ => explain(
                plan,
                reading,
                key,
                value,
                foreign::instead_of(key).filter(|why| why.starts_with("nothing")),
            ),
        }
    }
}
