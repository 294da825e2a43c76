//! The pictures of the book: `chimerctl plot` and `chimerctl top` of a daemon that really runs, on a virtual clock.

use crate::cargo;
use bench::daemon::{Daemon, Setup, end_all_when_interrupted};
use bench::forger::Forger;
use bench::terminal::Terminal;
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

const ERROR_NS: i64 = -3_700_000_000;
const OSCILLATOR_PPM: f64 = -40.0;
/// How long the daemon runs, unless another time is asked for.
pub const SECONDS: u64 = 300;
/// Columns and rows of the live screen.
const SCREEN: (u16, u16) = (100, 26);
/// In place of the name of this machine.
const HOST: &str = "clock.example";
/// The largest picture, in octets.
const MOST: usize = 60_000;

/// Writes docs/pictures.
///
/// # Errors
/// If the daemon is not synchronised, or a picture cannot be made or is too large.
pub fn run(seconds: u64) -> Result<(), String> {
    end_all_when_interrupted();
    let programs = cargo::build_release()?;
    // The last one falls silent, and comes back.
    let forgers: Vec<Forger> = (1..=3).map(|last| Forger::honest([127, 0, 0, last].into(), 0)).collect();
    let source = |forger: &Forger| {
        format!("[[source]]\naddress = \"{}\"\nmin-poll = 1\nmax-poll = 4\n\n", forger.address())
    };
    let sources: String = forgers.iter().map(source).collect();
    let setup = Setup::new("pictures", &sources).with_programs(programs.clone());
    let daemon = setup.with_virtual_clock(ERROR_NS, OSCILLATOR_PPM).start();
    println!("a daemon runs for {seconds} s, with three sources on loopback and a clock that was 3.7 s slow");
    let begun = Instant::now();
    let until = |share: f64| {
        let at = Duration::from_secs_f64(seconds as f64 * share);
        std::thread::sleep(at.saturating_sub(begun.elapsed()));
    };
    until(0.5);
    if let Some(forger) = forgers.last() {
        forger.change(|_| Vec::new());
    }
    until(1.0);
    if !daemon.is_synchronised() {
        return Err(format!("the daemon is not synchronised:\n{}", daemon.log()));
    }
    let chimerctl = || {
        let mut command = Command::new(programs.join("chimerctl"));
        command.arg("--socket").arg(daemon.socket());
        command
    };
    let plot = cargo::read(chimerctl().arg("plot"))?;
    write("plot.svg", &anonymous(&plot))?;
    write("top.svg", &screen(&daemon, &mut chimerctl())?)
}

/// Without the name of this machine.
fn anonymous(text: &str) -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => text.to_owned(),
        name => text.replace(name, HOST),
    }
}

fn write(name: &str, text: &str) -> Result<(), String> {
    if text.len() > MOST {
        return Err(format!("{name} has {} octets, and may have {MOST}", text.len()));
    }
    let folder = cargo::workspace().join("docs/pictures");
    let file = folder.join(name);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&file, text))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!("docs/pictures/{name}: {} octets", text.len());
    Ok(())
}

/// The live screen as it is after a few answers.
fn screen(daemon: &Daemon, chimerctl: &mut Command) -> Result<String, String> {
    let command = chimerctl.args(["top", "--interval", "2"]).env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
    let mut terminal = Terminal::start(command.env_remove("NO_COLOR"), SCREEN.0, SCREEN.1);
    std::thread::sleep(Duration::from_secs(7));
    terminal.press("q");
    let (status, _, text) = terminal.end();
    if !status.success() {
        return Err(format!("chimerctl top: {status}: {text}\n{}", daemon.log()));
    }
    Ok(svg(&Cells::of(&text)))
}

/// One character, and the numbers of its look.
type Cell = (char, String);

/// What a terminal shows after what it was sent, as far as chimerctl sends it.
struct Cells {
    rows: Vec<Vec<Cell>>,
}

impl Cells {
    fn of(text: &str) -> Self {
        let blank = vec![(' ', "0".to_owned()); usize::from(SCREEN.0)];
        let mut cells = Self { rows: vec![blank; usize::from(SCREEN.1)] };
        let (mut row, mut column, mut look) = (0, 0, "0".to_owned());
        // The screen is left at the end.
        let shown = text.split("\u{1b}[?1049l").next().unwrap_or("");
        let mut rest = shown.chars();
        while let Some(sign) = rest.next() {
            if sign != '\u{1b}' {
                if let Some(cell) = cells.rows.get_mut(row).and_then(|row| row.get_mut(column)) {
                    *cell = (sign, look.clone());
                }
                column += 1;
                continue;
            }
            let sequence: String =
                rest.by_ref().skip(1).take_while(|sign| !sign.is_ascii_alphabetic()).collect();
            // The letter is gone with it: a place has one semicolon and no look of ours is two numbers above 0.
            let numbers: Vec<usize> = sequence.split(';').filter_map(|number| number.parse().ok()).collect();
            match numbers.as_slice() {
                [to_row, to_column] if *to_row > 0 && *to_column > 0 => {
                    (row, column) = (to_row - 1, to_column - 1);
                }
                [0, ..] => look = sequence,
                _ => {}
            }
        }
        cells
    }
}

/// The screen as a picture.
fn svg(cells: &Cells) -> String {
    let (width, height) = (f64::from(SCREEN.0) * 8.0 + 16.0, f64::from(SCREEN.1) * 17.0 + 16.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>chimerctl top</title>\n<style>text{{font:13.3px monospace;fill:#ddd;white-space:pre}}\
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
                "0;1" => "b",
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
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
            // Each character in its column, whatever the font.
            let wide = text_width(&text);
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

fn text_width(text: &str) -> usize {
    let plain = text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    plain.chars().count() * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_was_sent_is_what_is_drawn() {
        let sent =
            "\u{1b}[?1049h\u{1b}[?25l\u{1b}[0m\u{1b}[2J\u{1b}[2;3H\u{1b}[0;1;36mab\u{1b}[0m<c\u{1b}[?1049lx";
        let cells = Cells::of(sent);
        let row: String = cells.rows[1].iter().map(|(sign, _)| *sign).collect();
        assert_eq!(row.trim_end(), "  ab<c");
        assert_eq!((cells.rows[1][2].1.as_str(), cells.rows[1][4].1.as_str()), ("0;1;36", "0"));
        assert!(svg(&cells).contains(">ab</text>") && svg(&cells).contains(">&lt;c</text>"));
    }
}
