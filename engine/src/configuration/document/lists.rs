//! Lists of texts and of numbers.

use super::{Faults, Section, describe, within};
use std::ops::RangeInclusive;
use toml::de::{DeArray, DeValue};

impl<'a> Section<'a> {
    /// The texts of a list, each with its octet; `None` if the key is absent.
    pub fn texts(&self, key: &str, example: &str, faults: &mut Faults<'_>) -> Option<Vec<(usize, &'a str)>> {
        let (_, value) = self.entry(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            let found = describe(value.get_ref());
            let text =
                format!("{key}: expected a list of texts, found {found}; write {key} = [\"{example}\"]");
            faults.add(value.span().start, text);
            return None;
        };
        Some(read_texts(key, array, example, faults))
    }

    /// The whole numbers of a list, each with its octet; `None` if the key is absent.
    pub fn wholes(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        example: i64,
        faults: &mut Faults<'_>,
    ) -> Option<Vec<(usize, i64)>> {
        let (_, value) = self.entry(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            let found = describe(value.get_ref());
            let text =
                format!("{key}: expected a list of whole numbers, found {found}; write {key} = [{example}]");
            faults.add(value.span().start, text);
            return None;
        };
        let mut numbers = Vec::new();
        for item in array.iter() {
            let found = match item.get_ref() {
                DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
                _ => None,
            };
            let found = within(item, found, &range, (key, "a whole number", &example), faults);
            numbers.extend(found.map(|number| (item.span().start, number)));
        }
        Some(numbers)
    }
}

fn read_texts<'a>(
    key: &str,
    array: &'a DeArray<'a>,
    example: &str,
    faults: &mut Faults<'_>,
) -> Vec<(usize, &'a str)> {
    let mut texts = Vec::new();
    for item in array.iter() {
        match item.get_ref() {
            DeValue::String(text) => texts.push((item.span().start, text.as_ref())),
            other => {
                let found = describe(other);
                let text = format!("{key}: expected texts in the list, found {found}; write \"{example}\"");
                faults.add(item.span().start, text);
            }
        }
    }
    texts
}
