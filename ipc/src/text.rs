//! Text from outside, as it can be shown.

use alloc::string::String;
use core::fmt;

/// One line of printable characters: what a terminal obeys, what begins a line, and what is invisible or changes the
/// direction of writing stands as an escape (A141, A152). What was escaped before stays as it is.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => escaped.push(character),
            // Lets only printable characters pass.
            _ => escaped.extend(character.escape_debug()),
        }
    }
    escaped
}

/// Octets as hexadecimal digits, two for each.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a141_a152_what_a_terminal_obeys_or_what_begins_a_line_is_escaped() {
        let hostile =
            "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\t\u{9b}1m\u{200e}\u{202e}\u{2066}\u{2028}\u{200b}\u{feff}\0";
        assert!(escape(hostile).chars().all(|character| character.is_ascii_graphic()));
        assert_eq!(escape("a\u{1b}[31m\nb\u{202e}"), "a\\u{1b}[31m\\nb\\u{202e}");
    }

    #[test]
    fn what_people_read_stays_and_nothing_is_escaped_twice() {
        let readable = "/etc/größe 7 \"ü\" 'x' 1 µs C:\\";
        assert_eq!(escape(readable), readable);
        let escaped = escape("a\u{1b}\n");
        assert_eq!(escape(&escaped), escaped);
    }
}
