//! A grid of characters, and what a terminal is sent for one grid to become the next: only what has changed.
//!
//! Each character is one column wide: of others than those of European scripts and of our own pictures a question mark is shown.

use std::fmt::Write as _;

/// No screen is taken to be larger.
const MOST: (usize, usize) = (1_000, 500);

/// Characters of pictures, beside those up to U+02FF.
pub const SIGNS: &str = "●│─┼░…";

/// What a character looks like. Everything is said by words and signs too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Look {
    #[default]
    Plain,
    Title,
    Name,
    Good,
    Doubtful,
    Bad,
    Chosen,
}

impl Look {
    /// The numbers that a terminal has for it (ECMA-48, SGR).
    fn numbers(self, is_coloured: bool) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Title | Self::Chosen => "0;7",
            Self::Good if is_coloured => "0;1;36",
            Self::Doubtful if is_coloured => "0;1;33",
            Self::Bad if is_coloured => "0;1;31",
            Self::Name | Self::Good | Self::Doubtful | Self::Bad => "0;1",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub sign: char,
    pub look: Look,
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grid {
    width: usize,
    height: usize,
    cells: Vec<Cell>,
}

impl Grid {
    /// An empty one.
    pub fn new(width: usize, height: usize) -> Self {
        let (width, height) = (width.min(MOST.0), height.min(MOST.1));
        Self { width, height, cells: vec![Cell { sign: ' ', look: Look::Plain }; width * height] }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Writes what fits of this text; returns the column after it.
    pub fn put(&mut self, column: usize, row: usize, text: &str, look: Look) -> usize {
        if row >= self.height || column >= self.width {
            return column;
        }
        let begin = row * self.width + column;
        let room = self.width - column;
        let mut written = 0;
        for (cell, sign) in self.cells.iter_mut().skip(begin).take(room).zip(text.chars()) {
            *cell = Cell { sign: narrow(sign), look };
            written += 1;
        }
        column + written
    }

    /// The cells of each row.
    pub fn rows(&self) -> impl Iterator<Item = &[Cell]> {
        self.cells.chunks(self.width.max(1))
    }

    /// What turns `before` into this one; without it, or where it has another size, all of it.
    pub fn changes(&self, before: Option<&Self>, is_coloured: bool) -> String {
        let before = before.filter(|it| (it.width, it.height) == (self.width, self.height));
        let mut out = String::new();
        if before.is_none() {
            out.push_str("\u{1b}[0m\u{1b}[2J");
        }
        let blank = Cell { sign: ' ', look: Look::Plain };
        let mut look = None;
        for (row, cells) in self.rows().enumerate() {
            let mut at = None;
            for (column, cell) in cells.iter().enumerate() {
                let was = before.map_or(Some(&blank), |it| it.cells.get(row * self.width + column));
                if was == Some(cell) {
                    continue;
                }
                if at != Some(column) {
                    let _ = write!(out, "\u{1b}[{};{}H", row + 1, column + 1);
                }
                if look != Some(cell.look) {
                    let _ = write!(out, "\u{1b}[{}m", cell.look.numbers(is_coloured));
                    look = Some(cell.look);
                }
                out.push(cell.sign);
                at = Some(column + 1);
            }
        }
        if look.is_some_and(|look| look != Look::Plain) {
            out.push_str("\u{1b}[0m");
        }
        out
    }
}

fn narrow(sign: char) -> char {
    match sign {
        ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{2ff}' => sign,
        _ if SIGNS.contains(sign) => sign,
        _ => '?',
    }
}

#[cfg(test)]
impl Grid {
    /// Its rows as text, without blanks at their ends.
    pub fn text(&self) -> Vec<String> {
        let row =
            |cells: &[Cell]| cells.iter().map(|cell| cell.sign).collect::<String>().trim_end().to_owned();
        self.rows().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_the_edge_and_nothing_is_written_beside_the_grid() {
        let mut grid = Grid::new(5, 2);
        assert_eq!(grid.put(3, 1, "abc", Look::Name), 5);
        assert_eq!((grid.put(5, 0, "x", Look::Plain), grid.put(0, 2, "x", Look::Plain)), (5, 0));
        assert_eq!(grid.text(), ["", "   ab"]);
        assert_eq!(Grid::new(0, 7).text(), Vec::<String>::new());
        assert_eq!(Grid::new(usize::MAX, usize::MAX).rows().count(), MOST.1);
    }

    #[test]
    fn a_terminal_is_sent_only_what_has_changed() {
        let mut first = Grid::new(4, 2);
        first.put(0, 0, "abcd", Look::Plain);
        assert_eq!(first.changes(None, true), "\u{1b}[0m\u{1b}[2J\u{1b}[1;1H\u{1b}[0mabcd");
        assert_eq!(first.changes(Some(&first), true), "");
        let mut second = first.clone();
        second.put(1, 0, "B", Look::Good);
        second.put(2, 1, "xy", Look::Plain);
        let changes = second.changes(Some(&first), true);
        assert_eq!(changes, "\u{1b}[1;2H\u{1b}[0;1;36mB\u{1b}[2;3H\u{1b}[0mxy");
        assert!(!second.changes(Some(&first), false).contains(";36m"));
        assert!(second.changes(Some(&Grid::new(9, 9)), true).contains("[2J"));
    }

    #[test]
    fn a141_whatever_is_wider_than_a_column_or_is_obeyed_is_a_question_mark() {
        let mut grid = Grid::new(20, 1);
        grid.put(0, 0, "µ±é●│漢\u{1b}\u{7}\u{9b}\u{ad}\u{202e}\u{301}x", Look::Plain);
        assert_eq!(grid.text(), ["µ±é●│???????x"]);
    }
}
