//! What a terminal shows, as a picture: the live screen, and commands with what they print.

use super::{anonymous, xml};
use bench::terminal::Terminal;
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

/// Columns and rows of the live screen.
const SCREEN: (usize, usize) = (106, 26);
/// The same for what a command prints; its picture ends with the text.
const PAGE: (usize, usize) = (100, 120);
/// The look of a prompt and its command.
const BOLD: &str = "0;1";

/// The live screen as it is after a few answers.
///
/// # Errors
/// If it does not end as it should.
pub fn live(chimerctl: &mut Command) -> Result<String, String> {
    let mut terminal = start(chimerctl.args(["top", "--interval", "2"]), SCREEN);
    std::thread::sleep(Duration::from_secs(7));
    terminal.press("q");
    Ok(svg(&Cells::of(&ended("top", terminal)?, SCREEN), "chimerctl top"))
}

/// A command of one word behind its prompt, and what it prints.
///
/// # Errors
/// If it fails.
pub fn printed(chimerctl: &mut Command, word: &str) -> Result<String, String> {
    let said = ended(word, start(chimerctl.arg(word), PAGE))?;
    let title = format!("chimerctl {word}");
    let mut cells = Cells::of(&format!("\u{1b}[{BOLD}m$ {title}\u{1b}[0m\r\n{said}"), PAGE);
    cells.end_with_the_text();
    Ok(svg(&cells, &title))
}

fn start(chimerctl: &mut Command, (columns, rows): (usize, usize)) -> Terminal {
    let command = chimerctl.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
    Terminal::start(command, columns as u16, rows as u16)
}

fn ended(word: &str, terminal: Terminal) -> Result<String, String> {
    let (status, _, text) = terminal.end();
    if status.success() { Ok(text) } else { Err(format!("chimerctl {word}: {status}: {text}")) }
}

/// One character, and the numbers of its look.
type Cell = (char, String);

/// What a terminal shows after what it was sent, as far as chimerctl sends it.
struct Cells {
    columns: usize,
    rows: Vec<Vec<Cell>>,
}

impl Cells {
    fn of(text: &str, (columns, rows): (usize, usize)) -> Self {
        let blank = vec![(' ', "0".to_owned()); columns];
        let mut cells = Self { columns, rows: vec![blank; rows] };
        let (mut row, mut column, mut look) = (0, 0, "0".to_owned());
        // The screen is left at the end.
        let shown = text.split("\u{1b}[?1049l").next().unwrap_or("");
        let mut rest = shown.chars();
        while let Some(sign) = rest.next() {
            match sign {
                '\r' => column = 0,
                '\n' => row += 1,
                '\u{1b}' => {
                    let sequence: String =
                        rest.by_ref().skip(1).take_while(|sign| !sign.is_ascii_alphabetic()).collect();
                    // The letter is gone with it: a place has one semicolon and no look of ours is two numbers above 0.
                    let numbers: Vec<usize> =
                        sequence.split(';').filter_map(|number| number.parse().ok()).collect();
                    match numbers.as_slice() {
                        [to_row, to_column] if *to_row > 0 && *to_column > 0 => {
                            (row, column) = (to_row - 1, to_column - 1);
                        }
                        [0, ..] => look = sequence,
                        _ => {}
                    }
                }
                _ => {
                    if let Some(cell) = cells.rows.get_mut(row).and_then(|row| row.get_mut(column)) {
                        *cell = (sign, look.clone());
                    }
                    column += 1;
                }
            }
        }
        cells
    }

    /// Without the blank rows below.
    fn end_with_the_text(&mut self) {
        let is_blank = |row: &Vec<Cell>| row.iter().all(|(sign, _)| *sign == ' ');
        while self.rows.last().is_some_and(is_blank) {
            self.rows.pop();
        }
    }
}

/// The screen as a picture.
fn svg(cells: &Cells, title: &str) -> String {
    let (width, height) = (cells.columns * 8 + 16, cells.rows.len() * 17 + 16);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>text{{font:13.3px monospace;fill:#ddd;white-space:pre}}\
         .b{{font-weight:bold}}.c{{fill:#4cc;font-weight:bold}}.y{{fill:#ec4;font-weight:bold}}.r{{fill:#f66;font-weight:bold}}\
         .i{{fill:#111}}</style>\n<rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#16191c\"/>\n"
    );
    for (number, row) in cells.rows.iter().enumerate() {
        let mut column = 0;
        for run in row.chunk_by(|one, other| one.1 == other.1) {
            let (x, y) = (8 + column * 8, 21 + number * 17);
            column += run.len();
            let text: String = run.iter().map(|(sign, _)| *sign).collect();
            let class = match run.first().map_or("0", |(_, look)| look.as_str()) {
                "0;7" => "i",
                "0;1;36" => "c",
                "0;1;33" => "y",
                "0;1;31" => "r",
                BOLD => "b",
                _ => "",
            };
            if class == "i" {
                let (top, wide) = (y - 13, run.len() * 8);
                let _ = writeln!(
                    out,
                    "<rect x=\"{x}\" y=\"{top}\" width=\"{wide}\" height=\"17\" fill=\"#bbb\"/>"
                );
            }
            let text = in_place(text.trim_end());
            if text.trim().is_empty() {
                continue;
            }
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            // Each character in its column, whatever the font.
            let (wide, text) = (text.chars().count() * 8, xml(&text));
            let _ = writeln!(
                out,
                "<text x=\"{x}\" y=\"{y}\"{class} xml:space=\"preserve\" textLength=\"{wide}\" \
                 lengthAdjust=\"spacingAndGlyphs\">{text}</text>"
            );
        }
    }
    out + "</svg>\n"
}

/// The same on a screen: what is to the right of it stays where it was, where there are blanks before it.
fn in_place(text: &str) -> String {
    let other = anonymous(text);
    let more = other.chars().count().saturating_sub(text.chars().count());
    if more == 0 { other } else { other.replacen(&" ".repeat(more + 2), "  ", 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &Cells, number: usize) -> String {
        let text: String = cells.rows[number].iter().map(|(sign, _)| *sign).collect();
        text.trim_end().to_owned()
    }

    #[test]
    fn what_a_terminal_was_sent_is_what_is_drawn() {
        let sent =
            "\u{1b}[?1049h\u{1b}[?25l\u{1b}[0m\u{1b}[2J\u{1b}[2;3H\u{1b}[0;1;36mab\u{1b}[0m<c\u{1b}[?1049lx";
        let cells = Cells::of(sent, SCREEN);
        assert_eq!(row(&cells, 1), "  ab<c");
        assert_eq!((cells.rows[1][2].1.as_str(), cells.rows[1][4].1.as_str()), ("0;1;36", "0"));
        let picture = svg(&cells, "t");
        assert!(picture.contains(">ab</text>") && picture.contains(">&lt;c</text>"));
    }

    #[test]
    fn what_a_command_prints_stands_below_its_prompt_and_the_picture_ends_with_it() {
        let mut cells = Cells::of("$ one\r\ntwo\r\n\r\n  three\r\n", PAGE);
        cells.end_with_the_text();
        let rows: Vec<String> = (0..cells.rows.len()).map(|number| row(&cells, number)).collect();
        assert_eq!(rows, ["$ one", "two", "", "  three"]);
        let picture = svg(&cells, "t");
        assert!(picture.contains("viewBox=\"0 0 816 84\"") && picture.contains("y=\"72\""), "{picture}");
    }
}
