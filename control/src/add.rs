//! `chimerctl add`: one more source, of the words on the command line. What they mean, the engine judges.

use crate::screen::Form;
use crate::{Failure, done, exit};
use std::path::Path;

/// Keys of `[[source]]` whose value is a list of texts.
const LISTS: [&str; 2] = ["aead", "send-from"];

/// Asks one more source.
pub fn add(socket: &Path, name: &str, words: &[String], form: Form) -> Result<String, Failure> {
    let source = table(name, words).map_err(|text| Failure { text, code: exit::UNABLE })?;
    let reply = control_socket::add(socket, &source)?;
    Ok(done(&reply, &format!("added {name}"), form))
}

/// The `[[source]]` of these words. A key of a list may be there several times, or have several values between commas.
fn table(name: &str, words: &[String]) -> Result<String, String> {
    let mut keys: Vec<(&str, Vec<&str>)> = Vec::new();
    for word in words {
        let is_key = |key: &str| {
            !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-')
        };
        let Some((key, value)) = word.split_once('=').filter(|(key, _)| is_key(key)) else {
            return Err(format!(
                "{word}: expected KEY=VALUE with a key of [[source]], such as mode=nts or min-poll=4"
            ));
        };
        let known = keys.iter_mut().find(|(known, _)| *known == key);
        match known {
            None if LISTS.contains(&key) => keys.push((key, value.split(',').collect())),
            None => keys.push((key, vec![value])),
            Some((_, values)) if LISTS.contains(&key) => values.extend(value.split(',')),
            Some(_) => {
                return Err(format!(
                    "{word}: {key} is there twice, and has one value; leave one of them out"
                ));
            }
        }
    }
    let lines = keys.iter().map(|(key, values)| match values.as_slice() {
        [value] if !LISTS.contains(key) => format!("{key} = {}\n", bare(value)),
        values => {
            format!("{key} = [{}]\n", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", "))
        }
    });
    Ok(format!("[[source]]\naddress = {}\n{}", quoted(name), lines.collect::<String>()))
}

/// A basic string of TOML may have all that one of JSON has.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A number or a truth value as it is, and everything else as a text.
fn bare(value: &str) -> String {
    let is_bare = matches!(value, "true" | "false") || value.parse::<f64>().is_ok_and(f64::is_finite);
    if is_bare { value.to_owned() } else { quoted(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<String, String> {
        table("a.example", &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_keys_and_lists_are_lists_however_they_are_written() {
        let text = of(&["mode=nts", "min-poll=4", "prefer=true", "aead=gcm-siv,siv"]).unwrap();
        let expected = "mode = \"nts\"\nmin-poll = 4\nprefer = true\naead = [\"gcm-siv\", \"siv\"]\n";
        assert_eq!(text, format!("[[source]]\naddress = \"a.example\"\n{expected}"));
        let one = of(&["send-from=192.0.2.7"]).unwrap();
        assert!(one.ends_with("\nsend-from = [\"192.0.2.7\"]\n"), "{one}");
        let two = of(&["send-from=192.0.2.7", "send-from=2001:db8::7"]).unwrap();
        assert!(two.ends_with("\nsend-from = [\"192.0.2.7\", \"2001:db8::7\"]\n"), "{two}");
        assert_eq!(Ok(two), of(&["send-from=192.0.2.7,2001:db8::7"]));
    }

    #[test]
    fn what_is_no_key_with_a_value_or_is_there_twice_is_refused() {
        for (words, said) in [
            (&["mode"][..], "expected KEY=VALUE"),
            (&["Mode=nts"], "expected KEY=VALUE"),
            (&["=nts"], "expected KEY=VALUE"),
            (&["mode=nts", "mode=ntp"], "is there twice"),
        ] {
            let refused = of(words).unwrap_err();
            assert!(refused.contains(said), "{words:?}: {refused}");
        }
        // Whatever is in a value stays a value.
        assert!(of(&["mode=\"\\n[[source]]"]).unwrap().ends_with("mode = \"\\\"\\\\n[[source]]\"\n"));
    }
}
