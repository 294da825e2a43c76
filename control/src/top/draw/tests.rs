use super::*;
use crate::top::keys::Stance;
use report::Word;

fn app(board: Option<Board>) -> App {
    App {
        board,
        silence: None,
        stance: Stance::default(),
        screen: Screen::WIDE,
        is_coloured: true,
        interval: 2.0,
        host: "a-host".to_owned(),
    }
}

fn drawn(app: &App, width: usize, height: usize) -> Grid {
    let mut grid = Grid::new(width, height);
    draw(app, &mut grid);
    grid
}

fn rows(grid: &Grid) -> Vec<String> {
    grid.text()
}

fn signs(grid: &Grid) -> impl Iterator<Item = char> {
    grid.rows().flatten().map(|cell| cell.sign)
}

#[test]
fn a_small_screen_has_the_state_the_course_the_sources_and_the_processes() {
    let page = rows(&drawn(&app(Some(Board::example())), 80, 24));
    let text = page.join("\n");
    assert!(page[0].starts_with("truechimer 0.1.0 on a-host  2027-01-15 08:00:00 UTC"), "{text}");
    assert!(
        page[1]
            .starts_with("SYNCHRONISED by a.example: offset +15.000 µs (slow) ± 6.100 ms, likely 3.700 ms"),
        "{text}"
    );
    assert_eq!(page[2], "why       the clock follows 1 of 2 sources");
    assert!(page[3].starts_with("frequency -12.500 ± 0.030 ppm, slew left -10.000 µs, stratum 3"), "{text}");
    assert_eq!(page[4], "governor  1 step, 2 refusals, the last one by budget");
    assert_eq!(page[5], "server    received 13.0/s, answered 12.5/s");
    assert!(page[6].starts_with("offset    from 07:00 to 08:00 UTC"), "{text}");
    assert!(text.contains('●') && text.contains('░') && text.contains('S'), "{text}");
    let sources: Vec<&String> =
        page.iter().filter(|row| row.contains(".example") && !row.contains("by ")).collect();
    assert_eq!(sources.len(), 2, "{text}");
    assert!(
        sources[0].starts_with("> a.example")
            && sources[0].contains("selected")
            && sources[0].contains("-2.000 µs")
    );
    assert!(sources[1].starts_with("  b.example") && sources[1].contains("waiting"), "{text}");
    assert!(
        page[23].contains("engine") && page[22].contains("0.1 %") && page[22].contains("712 KiB"),
        "{text}"
    );
}

#[test]
fn a_large_screen_has_more_of_the_graph_and_longer_names_and_bars() {
    let small = rows(&drawn(&app(Some(Board::example())), 80, 24));
    let page = rows(&drawn(&app(Some(Board::example())), 120, 40));
    let graph = |page: &[String]| page.iter().filter(|row| row.contains(['●', '│'])).count();
    assert!(graph(&page) > graph(&small), "{}", page.join("\n"));
    let bar = page.iter().find(|row| row.starts_with("> a.example")).unwrap();
    assert!(bar.ends_with(['●', '─', '│', '┼']), "{bar}");
    assert!(page[0].ends_with("each 2 s  h: help  q: end"), "{}", page[0]);
}

#[test]
fn no_size_is_too_small_and_no_view_panics() {
    let many = Board { sources: vec![SourceReport::default(); 60], ..Board::example() };
    for board in [None, Some(Board::default()), Some(Board::example()), Some(many)] {
        for view in [View::Overview, View::Source(0), View::Source(usize::MAX), View::Help] {
            for is_utf8 in [true, false] {
                for (width, height) in [(10, 3), (1, 1), (20, 8), (80, 9), (200, 4), (40, 60), (300, 100)] {
                    let screen = Screen { width: 80, is_utf8 };
                    let stance = Stance { view, chosen: 55 };
                    drawn(&App { screen, stance, ..app(board.clone()) }, width, height);
                }
            }
        }
    }
    let tiny = rows(&drawn(&app(Some(Board::example())), 10, 3));
    assert_eq!(tiny, ["truechimer", "SYNCHRONIS", "why       "].map(|row| row.trim_end().to_owned()));
}

#[test]
fn the_chosen_source_is_on_the_screen() {
    let named = |at: usize| SourceReport { name: Some(format!("s{at}.example")), ..SourceReport::default() };
    let board = Board { sources: (0..60).map(named).collect(), ..Board::example() };
    for chosen in [0, 7, 30, 59] {
        let stance = Stance { chosen, ..Stance::default() };
        let page = rows(&drawn(&App { stance, ..app(Some(board.clone())) }, 80, 24));
        assert!(
            page.iter().any(|row| row.starts_with(&format!("> s{chosen}.example"))),
            "{}",
            page.join("\n")
        );
    }
}

#[test]
fn without_colour_and_without_utf_8_everything_is_said_all_the_same() {
    let screen = Screen { width: 80, is_utf8: false };
    let grid = drawn(&App { screen, ..app(Some(Board::example())) }, 80, 24);
    assert!(signs(&grid).all(|sign| sign.is_ascii()), "{:?}", rows(&grid));
    let text = rows(&grid).join("\n");
    for part in ["SYNCHRONISED", "+15.000 us (slow) +- 6.100 ms", "> a.example", "selected", "*", "S"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let is_of_colour = |sent: String| sent.contains(";36m") || sent.contains(";33m");
    assert!(is_of_colour(grid.changes(None, true)) && !is_of_colour(grid.changes(None, false)));
}

#[test]
fn a141_what_the_daemon_says_moves_nothing_on_the_screen() {
    let hostile = "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{202e}".to_owned();
    let mut board = Board::example();
    board.clock.reason = Some(hostile.clone());
    board.clock.state = Some(Word::Other(hostile.clone()));
    board.sources[0].name = Some(hostile.clone());
    board.processes[0].name = hostile.clone();
    board.version = Some(hostile);
    for view in [View::Overview, View::Source(0)] {
        let stance = Stance { view, chosen: 0 };
        let grid = drawn(&App { stance, ..app(Some(board.clone())) }, 120, 40);
        assert!(signs(&grid).all(|sign| !sign.is_control() && sign != '\u{202e}'), "{:?}", rows(&grid));
    }
}

#[test]
fn a_daemon_that_is_gone_is_said_and_what_it_said_last_stays() {
    let gone = Some("no truechimer daemon answers at /run/x; start it".to_owned());
    let page = rows(&drawn(&App { silence: gone.clone(), ..app(Some(Board::example())) }, 80, 24));
    assert!(page[0].starts_with("NO ANSWER: ") && page[1].starts_with("SYNCHRONISED"), "{page:?}");
    let page = rows(&drawn(&App { silence: gone, ..app(None) }, 80, 24));
    assert_eq!(page[2], "no truechimer daemon answers at /run/x; start it");
}

#[test]
fn the_page_of_a_source_and_the_keys_are_shown() {
    let stance = Stance { view: View::Source(2), chosen: 0 };
    let page = rows(&drawn(&App { stance, ..app(Some(Board::example())) }, 80, 24));
    assert!(page[1].starts_with("state ") && page[1].ends_with("selected"), "{page:?}");
    let stance = Stance { view: View::Help, chosen: 0 };
    let page = rows(&drawn(&App { stance, ..app(None) }, 80, 24)).join("\n");
    assert!(page.contains("Enter     show the chosen source"), "{page}");
}
