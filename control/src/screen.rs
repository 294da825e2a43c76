//! What is written where: standard output with its width and characters, and standard error.

use crate::{Failure, exit};
use ipc::text::escape;
use std::io::{self, ErrorKind, Write};

/// The width where nothing says another, in columns.
const USUAL: usize = 80;

/// No width is taken to be less than this.
const LEAST: usize = 20;

/// How an answer is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON, for programs.
    Json,
    /// Text, for people.
    Text(Screen),
}

/// What text is laid out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// No line is longer, in columns.
    pub width: usize,
    /// Whether other characters than those of ASCII are shown as they are.
    pub is_utf8: bool,
}

impl Screen {
    /// Everything on one line.
    #[cfg(test)]
    pub const WIDE: Self = Self { width: usize::MAX, is_utf8: true };

    /// That of standard output: as wide as the terminal; where there is none, as `COLUMNS` says, or 80.
    pub fn of_standard_output() -> Self {
        let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        let variable = |name: &str| std::env::var(name).ok();
        let said = || variable("COLUMNS")?.parse::<usize>().ok().filter(|width| *width > 0);
        Self {
            width: terminal.filter(|width| *width > 0).or_else(said).unwrap_or(USUAL).max(LEAST),
            is_utf8: is_utf8(["LC_ALL", "LC_CTYPE", "LANG"].map(variable)),
        }
    }

    /// Text from outside, as it can be shown here.
    pub fn show(self, text: &str) -> String {
        let escaped = escape(text);
        if self.is_utf8 || escaped.is_ascii() {
            return escaped;
        }
        let mut ascii = String::with_capacity(escaped.len());
        for character in escaped.chars() {
            match character {
                'µ' => ascii.push('u'),
                '±' => ascii.push_str("+-"),
                '…' => ascii.push_str("..."),
                _ if character.is_ascii() => ascii.push(character),
                _ => ascii.extend(character.escape_unicode()),
            }
        }
        ascii
    }

    /// Words in lines that are no longer than the width, each line but the first with `indent` blanks before it.
    /// `used`: columns of the first line that are taken already. A word that is longer than a line is broken.
    pub fn wrap(self, text: &str, used: usize, indent: usize) -> String {
        let indent = if indent + LEAST <= self.width { indent } else { LEAST / 4 };
        let mut lines = String::new();
        let mut column = used;
        let mut is_begun = false;
        let next_line = |lines: &mut String| {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', indent));
            indent
        };
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let length = word.chars().count();
            let blank = usize::from(is_begun);
            if column.saturating_add(blank + length) <= self.width {
                lines.extend(is_begun.then_some(' '));
                lines.push_str(word);
                column += blank + length;
            } else {
                // A fresh line, unless this one is.
                if is_begun || column > indent {
                    column = next_line(&mut lines);
                }
                for character in word.chars() {
                    if column >= self.width {
                        column = next_line(&mut lines);
                    }
                    lines.push(character);
                    column += 1;
                }
            }
            is_begun = true;
        }
        lines
    }
}

/// Whether a locale of these variables (the first that is set decides) is one of UTF-8.
fn is_utf8(variables: [Option<String>; 3]) -> bool {
    let locale = variables.into_iter().flatten().find(|value| !value.is_empty());
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Writes to standard output. Whoever has stopped reading (`| head`) has what it wanted.
///
/// # Errors
/// Anything else: what reads the output would take a part of it for the whole.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure { text: format!("the answer cannot be written: {error}"), code: exit::UNWRITTEN })
        }
        _ => Ok(()),
    }
}

/// Most lines of one complaint: more than the engine names faults of a configuration.
const MOST_LINES: usize = 100;

/// Writes a line to standard error, or several if the text has several, as that of a configuration with faults has. Where that fails, there
/// is nobody to tell.
pub fn complain(text: &str) {
    let _ = io::stderr().write_all(complaint(text).as_bytes());
}

/// What is written.
fn complaint(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.is_empty()).take(MOST_LINES);
    lines.map(|line| format!("chimerctl: {}\n", escape(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_wrapped_between_them_and_broken_only_where_one_is_longer_than_a_line() {
        let screen = Screen { width: 20, is_utf8: true };
        assert_eq!(screen.wrap("it has never answered; check it", 0, 0), "it has never\nanswered; check it");
        assert_eq!(screen.wrap("a0123456789012345678901", 0, 0), "a0123456789012345678\n901");
        assert_eq!(Screen::WIDE.wrap("it has never answered", 7, 4), "it has never answered");
    }

    #[test]
    fn each_line_of_a_complaint_is_one_with_nothing_in_it_that_moves_a_terminal() {
        assert_eq!(complaint("a.toml:1: x"), "chimerctl: a.toml:1: x\n");
        assert_eq!(complaint("a:1: x\na:2: \u{1b}y\n"), "chimerctl: a:1: x\nchimerctl: a:2: \\u{1b}y\n");
        assert_eq!(complaint(&"x\n".repeat(1_000)).lines().count(), MOST_LINES);
    }

    #[test]
    fn a_locale_is_that_of_the_first_variable_that_is_set() {
        let of = |all: [&str; 3]| is_utf8(all.map(|value| Some(value.to_owned())));
        assert!(of(["", "", "de_DE.UTF-8"]) && of(["C.utf8", "C", "C"]));
        assert!(!of(["C", "", "de_DE.UTF-8"]) && !of(["", "", ""]) && !is_utf8([None, None, None]));
    }

    #[test]
    fn without_utf_8_each_character_is_one_of_ascii() {
        let ascii = Screen { width: 80, is_utf8: false };
        assert_eq!(ascii.show("12 µs ± 3…"), "12 us +- 3...");
        assert_eq!(ascii.show("Größe\u{1b}"), "Gr\\u{f6}\\u{df}e\\u{1b}");
        assert_eq!(Screen::WIDE.show("12 µs ± 3…"), "12 µs ± 3…");
    }

    proptest! {
        #[test]
        fn no_line_is_longer_than_the_width_and_no_letter_is_lost(
            text in "[a-z ;.]{0,300}",
            width in 20..90_usize,
            used in 0..20_usize,
            indent in 0..40_usize,
        ) {
            let screen = Screen { width, is_utf8: true };
            let wrapped = screen.wrap(&text, used, indent);
            for (at, line) in wrapped.lines().enumerate() {
                let before = if at == 0 { used } else { 0 };
                prop_assert!(before + line.chars().count() <= width, "{wrapped}");
            }
            let letters = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&wrapped), letters(&text));
        }
    }
}
