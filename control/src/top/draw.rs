//! The screen: from what is known to characters. Nothing here asks anybody.

use super::App;
use super::board::{Board, Usage};
use super::cells::{Grid, Look};
use super::graph;
use super::keys::View;
use crate::plot::moment;
use crate::screen::Screen;
use crate::status::offset;
use crate::text::{known, plain, ppm, seconds};
use report::read::SourceReport;
use report::{SourceState, SystemState};

/// Lines about the clock above all else, and the least of a graph worth its name.
const HEAD: usize = 6;
const LEAST_GRAPH: usize = 4;
const MOST_GRAPH: usize = 16;

/// Where the graph begins, beside its scale.
const SCALE: usize = 11;

const KEYS: &[(&str, &str)] = &[
    ("up, down", "choose a source; on its page: another line"),
    ("Enter", "show the chosen source, as chimerctl source NAME does; back"),
    ("h, ?", "this page"),
    ("q, Esc", "back; q on the first page: end"),
    ("Ctrl-Z", "stop, as any program; fg shows it again"),
    ("", ""),
    ("offset", "of the clock: above zero it is behind (slow)"),
    ("bound", "the clock is not farther off, if the selected sources are honest"),
    ("graph", "the mean, from the least to the largest offset; S: a step; ^ v: beyond"),
    ("bar", "offset and error of a source, around zero"),
    ("CPU", "share of one processor since the last answer"),
];

/// The grid, and how text is shown in it.
struct Page<'g> {
    grid: &'g mut Grid,
    screen: Screen,
}

impl Page<'_> {
    fn width(&self) -> usize {
        self.grid.width()
    }

    /// Writes what fits of this text; returns the column after it.
    fn put(&mut self, column: usize, row: usize, text: &str, look: Look) -> usize {
        let shown = self.screen.show(text);
        self.grid.put(column, row, &shown, look)
    }

    /// A line across the whole width.
    fn line(&mut self, row: usize, text: &str, look: Look) {
        let width = self.width();
        self.put(0, row, &format!("{text:<width$}"), look);
    }

    /// A name and what follows it.
    fn named(&mut self, row: usize, name: &str, text: &str) {
        let column = self.put(0, row, &format!("{name:<10}"), Look::Name);
        self.put(column, row, text, Look::Plain);
    }
}

/// Draws all of it.
pub fn draw(app: &App, grid: &mut Grid) {
    let screen = Screen { width: grid.width().max(20), ..app.screen };
    let mut page = Page { grid, screen };
    title(app, &mut page);
    match (&app.board, app.stance.view) {
        (_, View::Help) => help(&mut page),
        (None, _) => {
            let waiting = app.silence.as_deref().unwrap_or("the daemon is being asked");
            wrapped(&mut page, 2, waiting);
        }
        (Some(board), View::Source(line)) => source_page(app, board, line, &mut page),
        (Some(board), View::Overview) => overview(app, board, &mut page),
    }
}

fn title(app: &App, page: &mut Page) {
    let board = app.board.as_ref();
    let version = board.map_or_else(String::new, |board| format!(" {}", plain(board.version.as_ref())));
    let time = board.map_or_else(String::new, |board| format!("  {} UTC", moment(board.at_unix)));
    let left = format!("truechimer{version} on {}{time}", app.host);
    page.line(0, &left, Look::Title);
    let right = format!("each {} s  h: help  q: end", app.interval);
    let begin = page.width().saturating_sub(right.chars().count());
    if begin > page.screen.show(&left).chars().count() + 2 {
        page.put(begin, 0, &right, Look::Title);
    }
    if app.silence.is_some() && board.is_some() {
        let text = "NO ANSWER: the daemon is waited for; this is what it said last";
        page.line(0, text, Look::Title);
    }
}

/// Text in as many lines as it takes; returns the row below it.
fn wrapped(page: &mut Page, row: usize, text: &str) -> usize {
    let lines = page.screen.wrap(&page.screen.show(text), 0, 0);
    lines.lines().fold(row, |row, line| {
        page.put(0, row, line, Look::Plain);
        row + 1
    })
}

fn help(page: &mut Page) {
    for (at, (key, means)) in KEYS.iter().enumerate() {
        page.named(at + 2, key, means);
    }
}

fn source_page(app: &App, board: &Board, line: usize, page: &mut Page) {
    let text = board.detail(app.stance.chosen, page.screen);
    let rows = page.grid.height().saturating_sub(1);
    for (at, line) in text.lines().skip(line).take(rows).enumerate() {
        page.put(0, at + 1, line, Look::Plain);
    }
}

fn overview(app: &App, board: &Board, page: &mut Page) {
    clock(board, page);
    let height = page.grid.height();
    let rest = height.saturating_sub(HEAD);
    // The graph has what is left, and at least its own; then the sources, of which some may not fit, then the processes.
    let graph_least = if rest > LEAST_GRAPH + 5 { LEAST_GRAPH + 1 } else { 0 };
    let sources = (board.sources.len().max(1) + 1).min(rest.saturating_sub(graph_least).max(2));
    let left = rest.saturating_sub(graph_least + sources);
    let processes = if left >= 2 { (board.processes.len() + 1).min(left) } else { 0 };
    let graph = rest.saturating_sub(sources + processes).min(MOST_GRAPH + 1);
    let mut row = HEAD;
    if graph > LEAST_GRAPH {
        course(board, row, graph, page);
        row += graph;
    }
    list(app, board, row, sources, page);
    row += sources;
    if processes > 1 {
        list_processes(&board.processes, row, processes, page);
    }
}

fn clock(board: &Board, page: &mut Page) {
    let clock = &board.clock;
    let (is_right, state) = (clock.synchronised == Some(true), plain(clock.state.as_ref()));
    let look = match known(clock.state.as_ref()) {
        _ if is_right => Look::Good,
        Some(SystemState::Starting | SystemState::Holdover) => Look::Doubtful,
        _ => Look::Bad,
    };
    let column = page.put(0, 1, &state.to_uppercase(), look);
    let is_known = clock.last_update_s.is_some();
    let by = clock.reference.as_deref().filter(|name| is_right && !name.is_empty());
    let by = by.map_or_else(String::new, |name| format!(" by {name}"));
    let said = match is_known {
        true => {
            let likely = clock.likely_error_s.map(|likely| seconds(Some(likely), false));
            let likely = likely.map_or_else(String::new, |likely| format!(", likely {likely}"));
            let bound = seconds(clock.error_bound_s, false);
            format!("{by}: offset {} ± {bound}{likely}", offset(clock.offset_s))
        }
        false => by,
    };
    page.put(column, 1, &said, Look::Plain);
    page.named(2, "why", &plain(clock.reason.as_ref()));
    let frequency = format!(
        "{} ± {}, slew left {}, stratum {}, updated {} ago",
        ppm(clock.frequency_ppm, true).trim_end_matches(" ppm"),
        ppm(clock.frequency_error_ppm, false),
        seconds(clock.slew_left_s, true),
        plain(clock.stratum.as_ref()),
        seconds(clock.last_update_s, false)
    );
    page.named(3, "frequency", &frequency);
    let refusals = clock.refusals.unwrap_or(0);
    let last = match clock.last_refusal.as_deref() {
        Some(name) if refusals > 0 && !name.is_empty() => format!(", the last one by {name}"),
        _ => String::new(),
    };
    let count = |count: u32, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let steps = clock.steps.map_or_else(|| "- steps".to_owned(), |steps| count(steps, "step"));
    let governor = format!("{steps}, {}{last}", count(refusals, "refusal"));
    page.named(4, "governor", &governor);
    page.named(5, "server", &server(board));
}

fn server(board: &Board) -> String {
    let Some(rates) = &board.rates else {
        return if board.has_server { "is counted" } else { "off, or nobody has asked yet" }.to_owned();
    };
    let of = |name: &str| rates.get(name).map(|rate| format!("{name} {rate:.1}/s"));
    let told = ["received", "answered", "protected", "limited", "denied", "malformed"];
    told.into_iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

/// The graph with its scale, below its title.
fn course(board: &Board, row: usize, rows: usize, page: &mut Page) {
    let (most, period) = (board.course.scale() * 1.1, board.course.period());
    let Some((begin, end)) = period else {
        page.named(row, "offset", "no history yet");
        return;
    };
    if !board.course.spots.iter().any(|spot| spot.offset.is_some()) {
        page.named(row, "offset", "nothing measured yet");
        return;
    }
    let clock = |unix: f64| moment(unix).get(11..16).unwrap_or("").to_owned();
    let text = format!("from {} to {} UTC; above zero: the clock is behind", clock(begin), clock(end));
    page.named(row, "offset", &text);
    let height = rows.saturating_sub(1);
    let width = page.width().saturating_sub(SCALE);
    let drawn = graph::course(&board.course, most, width, height, page.screen.is_utf8);
    let mark = |value: f64| seconds(Some(value), true);
    for (at, line) in drawn.iter().enumerate() {
        let scale = match at {
            0 => mark(most),
            _ if at == height / 2 => "0".to_owned(),
            _ if at + 1 == height => mark(-most),
            _ => String::new(),
        };
        let short = scale.replace(".000", "");
        page.put(0, row + 1 + at, &format!("{short:>width$}", width = SCALE - 1), Look::Plain);
        page.put(SCALE, row + 1 + at, line, Look::Plain);
    }
}

fn list(app: &App, board: &Board, row: usize, rows: usize, page: &mut Page) {
    if board.sources.is_empty() {
        page.named(row, "sources", "none is configured");
        return;
    }
    let name_width = if page.width() >= 110 { 32 } else { 20 };
    let head = format!(
        "  {:<name_width$} {:<12} {:>5} {:>12} {:>11}  ",
        "SOURCE", "STATE", "REACH", "OFFSET", "± ERROR"
    );
    let begin = page.put(0, row, &head, Look::Name);
    let most =
        board.sources.iter().filter_map(|source| Some(source.offset_s?.abs() + source.offset_error_s?));
    let most = most.filter(|size| size.is_finite()).fold(0.0, f64::max);
    let width = page.width().saturating_sub(begin + 1).min(60);
    let has_bar = width >= 11;
    if has_bar && most > 0.0 {
        page.put(begin, row, &format!("0 ± {}", seconds(Some(most), false)), Look::Name);
    }
    let room = rows.saturating_sub(1);
    // The chosen one is among those that are shown.
    let skipped = app.stance.chosen.saturating_sub(room.saturating_sub(1));
    for (at, (number, source)) in board.sources.iter().enumerate().skip(skipped).take(room).enumerate() {
        let is_chosen = number == app.stance.chosen;
        let row = row + 1 + at;
        let (name, state) = (cut(&plain(source.name.as_ref()), name_width), plain(source.state.as_ref()));
        let sign = if is_chosen { ">" } else { " " };
        let look = if is_chosen { Look::Chosen } else { Look::Plain };
        let column = page.put(0, row, &format!("{sign} {name:<name_width$} "), look);
        let column = page.put(column, row, &format!("{state:<12} "), look_of(source));
        let reach = source.reach.map_or_else(|| "-".to_owned(), |reach| format!("{reach:o}"));
        let measured = format!(
            "{reach:>5} {:>12} {:>11}  ",
            seconds(source.offset_s, true),
            seconds(source.offset_error_s, false)
        );
        page.put(column, row, &measured, Look::Plain);
        if let (true, Some(offset), Some(error)) =
            (has_bar && most > 0.0, source.offset_s, source.offset_error_s)
        {
            let bar = graph::bar(offset, error.abs(), most, width, page.screen.is_utf8);
            page.put(begin, row, &bar, Look::Plain);
        }
    }
}

fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        Some((end, _)) => text.get(..end).unwrap_or("").to_owned(),
        None => text.to_owned(),
    }
}

fn look_of(source: &SourceReport) -> Look {
    match known(source.state.as_ref()) {
        Some(state) if state.is_used() => Look::Good,
        Some(
            SourceState::Waiting | SourceState::Probation | SourceState::Spare | SourceState::Provisional,
        ) => Look::Doubtful,
        Some(SourceState::Noselect) => Look::Plain,
        _ => Look::Bad,
    }
}

fn list_processes(processes: &[Usage], row: usize, rows: usize, page: &mut Page) {
    let head = format!("  {:<20} {:>8} {:<26} {:>7} {:>10}", "PROCESS", "PID", "USER", "CPU", "MEMORY");
    page.put(0, row, &head, Look::Name);
    for (at, process) in processes.iter().take(rows.saturating_sub(1)).enumerate() {
        let Usage { name, pid, user, cpu, memory_kib } = process;
        let cpu = cpu.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
        let memory = memory_kib.map_or_else(|| "-".to_owned(), |kib| format!("{kib} KiB"));
        let (name, user) = (cut(name, 20), cut(user.as_deref().unwrap_or("-"), 26));
        let text = format!("  {name:<20} {pid:>8} {user:<26} {cpu:>7} {memory:>10}");
        page.put(0, row + 1 + at, &text, Look::Plain);
    }
}

#[cfg(test)]
mod tests;
