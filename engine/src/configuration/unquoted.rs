//! What to write instead of a line that is not TOML.

use super::words::shorten;
use std::net::{IpAddr, SocketAddr};

/// The end of the sentence on this line, of which the parser says `found`.
pub fn remedy(line: &str, found: &str) -> String {
    let (key, value) = line.split_once('=').unwrap_or_default();
    let (key, value) = (key.trim(), value.split('#').next().unwrap_or_default().trim());
    if ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word)) {
        return "a line reads key = value, with true and false in small letters and without quotes"
            .to_owned();
    }
    match is_text(value) {
        // A message is read by more people than the file.
        true if key.contains("secret") => format!("a text stands in quotes; write {} = \"…\"", shorten(key)),
        true => format!("a text stands in quotes; write {} = \"{}\"", shorten(key), shorten(value)),
        false => format!("{found}; a line reads key = value, and a text stands in \" \""),
    }
}

/// Whether it can only be meant as a text: a name, an address or a path, in one word.
fn is_text(value: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || ".:-_/%".contains(character);
    let is_number = value.parse::<IpAddr>().is_ok() || value.parse::<SocketAddr>().is_ok();
    is_number
        || (value.starts_with(|first: char| first.is_alphabetic() || first == '/')
            && value.chars().all(is_word))
}
