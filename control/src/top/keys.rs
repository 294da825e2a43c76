//! What a key changes of what is shown.

use super::board::Board;
use report::read::SourceReport;
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTSTP};

/// A page of details, in lines.
const PAGE: usize = 10;

/// A key, as far as it means anything here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    Left,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    /// A character of ASCII.
    Letter(char),
    /// With Ctrl.
    Control(char),
}

/// The keys that a terminal reports by these octets; what is not known is left out.
pub fn decode(mut octets: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((first, mut rest)) = octets.split_first() {
        let key = match (*first, rest) {
            (0x1b, [b'[' | b'O', tail @ ..]) => {
                // Numbers, and a letter or a tilde at the end.
                let length =
                    tail.iter().position(|octet| (0x40..=0x7e).contains(octet)).unwrap_or(tail.len());
                let (sequence, after) = tail.split_at(tail.len().min(length + 1));
                rest = after;
                match sequence {
                    b"A" => Some(Key::Up),
                    b"B" => Some(Key::Down),
                    b"D" => Some(Key::Left),
                    b"H" | b"1~" | b"7~" => Some(Key::Home),
                    b"F" | b"4~" | b"8~" => Some(Key::End),
                    b"5~" => Some(Key::PageUp),
                    b"6~" => Some(Key::PageDown),
                    _ => None,
                }
            }
            (0x1b, _) => Some(Key::Escape),
            (b'\r' | b'\n', _) => Some(Key::Enter),
            (control @ 1..=0x1a, _) => Some(Key::Control(char::from(control + 0x60))),
            (0x1c, _) => Some(Key::Control('\\')),
            (letter @ b' '..=b'~', _) => Some(Key::Letter(char::from(letter))),
            _ => None,
        };
        keys.extend(key);
        octets = rest;
    }
    keys
}

/// Whether more octets of the last key may be under way.
pub fn is_cut(octets: &[u8]) -> bool {
    let last = octets.iter().rposition(|octet| *octet == 0x1b);
    last.is_some_and(|at| {
        let tail = octets.get(at + 1..).unwrap_or_default();
        matches!(tail, [] | [b'[' | b'O']) || tail.iter().skip(1).all(|octet| !(0x40..=0x7e).contains(octet))
    })
}

/// What is shown of the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// Everything in short.
    #[default]
    Overview,
    /// One source, from this line on.
    Source(usize),
    /// The keys.
    Help,
}

/// The view, and the source that is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stance {
    pub view: View,
    pub chosen: usize,
}

/// What comes after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing but another picture.
    Stay,
    /// The end.
    Leave,
    /// What the key means everywhere else.
    Signal(i32),
}

impl Stance {
    /// A key was pressed.
    pub fn press(&mut self, key: Key, board: Option<&Board>) -> Next {
        match key {
            Key::Control('c') => return Next::Signal(SIGINT),
            Key::Control('z') => return Next::Signal(SIGTSTP),
            Key::Control('\\') => return Next::Signal(SIGQUIT),
            _ => {}
        }
        let last = board.map_or(0, |board| board.sources.len().saturating_sub(1));
        let lines = board.map_or(0, |board| board.detail_lines(self.chosen));
        self.view = match (self.view, key) {
            (View::Overview, Key::Letter('q')) => return Next::Leave,
            (_, Key::Letter('q') | Key::Escape) => View::Overview,
            (View::Help, Key::Letter('h' | '?') | Key::Enter) => View::Overview,
            (_, Key::Letter('h' | '?')) => View::Help,
            (View::Overview, Key::Enter) if board.is_some_and(|board| !board.sources.is_empty()) => {
                View::Source(0)
            }
            (View::Source(_), Key::Enter | Key::Left) => View::Overview,
            (View::Source(line), code) => {
                let moved = match code {
                    Key::Down | Key::Letter('j') => line.saturating_add(1),
                    Key::Up | Key::Letter('k') => line.saturating_sub(1),
                    Key::PageDown | Key::Letter(' ') => line.saturating_add(PAGE),
                    Key::PageUp => line.saturating_sub(PAGE),
                    Key::Home => 0,
                    Key::End => usize::MAX,
                    _ => line,
                };
                View::Source(moved.min(lines.saturating_sub(1)))
            }
            (View::Overview, code) => {
                self.chosen = match code {
                    Key::Down | Key::Letter('j') => self.chosen.saturating_add(1),
                    Key::Up | Key::Letter('k') => self.chosen.saturating_sub(1),
                    Key::Home => 0,
                    Key::End => usize::MAX,
                    _ => self.chosen,
                }
                .min(last);
                View::Overview
            }
            (view, _) => view,
        };
        Next::Stay
    }

    /// Sources may have come and gone: the one that is chosen stays so, or its page ends.
    pub fn follow(&mut self, before: &Board, now: &Board) {
        let name = |source: &SourceReport| (source.name.clone(), source.address.clone());
        let chosen = before.sources.get(self.chosen).map(name);
        match chosen.and_then(|chosen| now.sources.iter().position(|source| name(source) == chosen)) {
            Some(place) => self.chosen = place,
            None if matches!(self.view, View::Source(_)) => self.view = View::Overview,
            None => {}
        }
    }

    /// Sources may have gone.
    pub fn keep_within(&mut self, board: &Board) {
        self.chosen = self.chosen.min(board.sources.len().saturating_sub(1));
        if board.sources.is_empty() && matches!(self.view, View::Source(_)) {
            self.view = View::Overview;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(stance: &mut Stance, key: Key, board: &Board) -> Next {
        stance.press(key, Some(board))
    }

    #[test]
    fn arrows_choose_a_source_and_enter_shows_it_and_q_ends_what_is_shown() {
        let board = Board::example();
        let mut stance = Stance::default();
        for _ in 0..9 {
            assert_eq!(press(&mut stance, Key::Down, &board), Next::Stay);
        }
        assert_eq!(stance.chosen, board.sources.len() - 1);
        press(&mut stance, Key::Up, &board);
        press(&mut stance, Key::Enter, &board);
        assert_eq!((stance.view, stance.chosen), (View::Source(0), board.sources.len() - 2));
        press(&mut stance, Key::End, &board);
        let View::Source(line) = stance.view else { panic!("{stance:?}") };
        assert!(line > 10 && line < 200, "{line}");
        press(&mut stance, Key::Up, &board);
        assert_eq!(stance.view, View::Source(line - 1));
        press(&mut stance, Key::Letter('h'), &board);
        assert_eq!(stance.view, View::Help);
        assert_eq!(press(&mut stance, Key::Letter('q'), &board), Next::Stay);
        assert_eq!(stance.view, View::Overview);
        assert_eq!(press(&mut stance, Key::Letter('q'), &board), Next::Leave);
    }

    #[test]
    fn a_source_that_is_chosen_stays_so_and_the_page_of_one_that_is_gone_ends() {
        let before = Board::example();
        let last = before.sources.len() - 1;
        let mut stance = Stance { view: View::Source(3), chosen: last };
        let mut now = Board::example();
        now.sources.remove(0);
        stance.follow(&before, &now);
        assert_eq!((stance.view, stance.chosen), (View::Source(3), last - 1));
        let before = now;
        let mut now = Board::example();
        now.sources.remove(last);
        stance.follow(&before, &now);
        assert_eq!(stance.view, View::Overview);
    }

    #[test]
    fn without_an_answer_keys_do_no_harm_and_those_of_the_terminal_are_its_own() {
        let mut stance = Stance::default();
        for key in [Key::Enter, Key::Down, Key::End, Key::PageUp, Key::Letter('x')] {
            assert_eq!(stance.press(key, None), Next::Stay);
        }
        assert_eq!(stance, Stance::default());
        assert_eq!(stance.press(Key::Control('c'), None), Next::Signal(SIGINT));
        assert_eq!(stance.press(Key::Control('z'), None), Next::Signal(SIGTSTP));
        assert_eq!(stance.press(Key::Control('q'), None), Next::Stay);
    }

    #[test]
    fn keys_are_what_terminals_of_all_kinds_send_for_them() {
        let all = b"q\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[1~\x1bOF\x1b[1;5C\x03\x1a\x1c\r\xc3\xa9h\x1b";
        let expected = [
            Key::Letter('q'),
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Control('c'),
            Key::Control('z'),
            Key::Control('\\'),
            Key::Enter,
            Key::Letter('h'),
            Key::Escape,
        ];
        assert_eq!(decode(all), expected);
        assert!(
            is_cut(b"\x1b")
                && is_cut(b"x\x1b[")
                && is_cut(b"\x1b[1;5")
                && !is_cut(b"\x1b[A")
                && !is_cut(b"q")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_octets_make_a_key_that_panics(octets in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let mut stance = Stance::default();
            for key in decode(&octets) {
                stance.press(key, None);
            }
            is_cut(&octets);
        }
    }

    #[test]
    fn a_source_that_goes_takes_its_page_along() {
        let mut stance = Stance { view: View::Source(7), chosen: 2 };
        stance.keep_within(&Board::default());
        assert_eq!(stance, Stance::default());
    }
}
