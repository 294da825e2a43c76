//! Lists of texts and of numbers.

use super::{Faults, Section, describe};
use toml::Spanned;
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

    /// The number of a symmetric key, with its octet; `None` if the key is absent. What is none is never shown: it may be the key itself.
    pub fn key_number(&self, key: &str, faults: &mut Faults<'_>) -> Option<(usize, u32)> {
        let (_, value) = self.entry(key)?;
        key_number(key, value, faults)
    }

    /// The same of a list.
    pub fn key_numbers(&self, key: &str, faults: &mut Faults<'_>) -> Option<Vec<(usize, u32)>> {
        let (_, value) = self.entry(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            let text =
                format!("{key}: expected a list of numbers of keys, such as [10, 11]; {WHERE_KEYS_ARE}");
            faults.add(value.span().start, text);
            return None;
        };
        Some(array.iter().filter_map(|item| key_number(key, item, faults)).collect())
    }
}

/// Where what belongs to a number is written.
const WHERE_KEYS_ARE: &str =
    "the key itself stands behind its number in the file of keys (truechimer.keys beside truechimer.toml)";

fn key_number(key: &str, value: &Spanned<DeValue<'_>>, faults: &mut Faults<'_>) -> Option<(usize, u32)> {
    let at = value.span().start;
    let number = match value.get_ref() {
        DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    match number.filter(|number| *number > 0) {
        Some(number) => Some((at, number)),
        None => {
            let text =
                format!("{key}: expected the number of a key, from 1 to {}; {WHERE_KEYS_ARE}", u32::MAX);
            faults.add(at, text);
            None
        }
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
