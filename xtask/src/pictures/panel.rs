//! A panel of the dashboard as a picture, nearly as Grafana draws it.

use super::dashboard::{Line, Panel};
use super::xml;
use std::fmt::Write;

/// A column and a row of the grid, the space between panels, and the head of the picture, in pixels.
const COLUMN: f64 = 50.0;
const ROW: f64 = 32.0;
const GAP: f64 = 8.0;
const HEAD: f64 = 56.0;
/// Of lines, in turn.
const LINES: [&str; 8] =
    ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#c0d8ff"];
/// A character of a legend is about as wide.
const SIGN: f64 = 5.7;
/// A legend has no more rows.
const LEGEND: usize = 3;
const STYLE: &str = "\
text{font:11px system-ui,sans-serif;fill:#ccccdc}.t{font-size:12.5px;font-weight:600}.h{font-size:16px;font-weight:600}\
.v{font-weight:600;fill:#111217}.d{fill:#8e8e99}.p{fill:#181b1f;stroke:#2c3235}.g{stroke:#2c3235}polyline{fill:none;\
stroke-width:1.5}";

/// Left, top, width and height in pixels.
type Frame = (f64, f64, f64, f64);

fn frame(panel: &Panel) -> Frame {
    let place = panel.place;
    (
        place.x as f64 * COLUMN + GAP,
        place.y as f64 * ROW + HEAD,
        place.w as f64 * COLUMN - GAP,
        place.h as f64 * ROW - GAP,
    )
}

/// The picture with all panels.
pub fn whole(title: &str, sentence: &str, rows: u64, panels: &str) -> String {
    let (width, height) = (24.0 * COLUMN + GAP, rows as f64 * ROW + HEAD);
    let (title, sentence) = (xml(title), xml(sentence));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#111217\"/>\n\
         <text x=\"12\" y=\"24\" class=\"h\">{title}</text>\n<text x=\"12\" y=\"43\" class=\"d\">{sentence}</text>\n\
         {panels}</svg>\n"
    )
}

/// A panel with its lines, of these times.
pub fn draw(panel: &Panel, lines: &[Line], times: (f64, f64)) -> String {
    let (x, y, w, h) = frame(panel);
    let title = xml(&panel.title);
    if panel.kind == "row" {
        return format!("<text x=\"{}\" y=\"{}\" class=\"t\">⌄ {title}</text>", x + 4.0, y + 17.0);
    }
    let mut out = format!(
        "<rect class=\"p\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"2\"/>\
         <text x=\"{}\" y=\"{}\" class=\"t\">{title}</text>\n",
        x + 8.0,
        y + 18.0
    );
    if lines.iter().all(|(_, points)| points.is_empty()) {
        let (x, y) = (x + w / 2.0, y + h / 2.0 + 8.0);
        let _ = write!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" class=\"d\">No data</text>");
        return out;
    }
    match panel.kind.as_str() {
        "stat" => stat(&mut out, panel, lines, (x, y, w, h)),
        "state-timeline" => timeline(&mut out, lines, times, (x, y, w, h)),
        _ => chart(&mut out, panel, lines, times, (x, y, w, h)),
    }
    out
}

/// The last value of each line, on its colour.
fn stat(out: &mut String, panel: &Panel, lines: &[Line], (x, y, w, h): Frame) {
    let wide = (w - 16.0) / lines.len() as f64;
    for (number, (name, points)) in lines.iter().enumerate() {
        let Some((_, value)) = points.last() else { continue };
        let (text, colour) = judged(panel, *value);
        let (left, top, high) = (x + 8.0 + number as f64 * wide, y + 28.0, h - 36.0);
        let (middle, base) = (left + wide / 2.0, top + high / 2.0 + 9.0);
        let text = xml(&text);
        let _ = write!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{high}\" fill=\"{colour}\"/>\
             <text x=\"{middle}\" y=\"{base}\" text-anchor=\"middle\" class=\"v\" style=\"font-size:26px\">{text}</text>"
        );
        if lines.len() > 1 {
            let (name, below) = (xml(name), base + 16.0);
            let _ = write!(
                out,
                "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\" class=\"v\">{name}</text>"
            );
        }
    }
}

/// Text and colour of a value: those of its mapping, else by unit and thresholds.
fn judged(panel: &Panel, value: f64) -> (String, &'static str) {
    if let Some((text, named)) = panel.mappings.get(&value.to_string()) {
        return (text.clone(), colour(named));
    }
    let is_reached = |(from, _): &&(Option<f64>, String)| from.is_none_or(|from| value >= from);
    let reached = panel.thresholds.iter().rfind(is_reached).map_or("green", |(_, named)| named);
    (shown(value, &panel.unit, panel.decimals), colour(reached))
}

fn colour(named: &str) -> &'static str {
    match named {
        "green" => "#73bf69",
        "orange" => "#ff9830",
        "red" => "#f2495c",
        _ => "#8e8e99",
    }
}

/// A bar for each line, where it has a value.
fn timeline(out: &mut String, lines: &[Line], times: (f64, f64), (x, y, w, h): Frame) {
    let names = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let begin = x + 16.0 + (names as f64 * SIGN).min(w / 2.0);
    let (wide, high) = (x + w - 12.0 - begin, (h - 54.0) / lines.len() as f64);
    let at = |time: f64| begin + (time - times.0) / (times.1 - times.0) * wide;
    for (number, (name, points)) in lines.iter().enumerate() {
        let top = y + 30.0 + number as f64 * high;
        let (base, tall) = (top + high / 2.0 + 4.0, (high - 4.0).max(2.0));
        let (name, fill) = (xml(name), LINES[number % LINES.len()]);
        let _ = write!(out, "<text x=\"{}\" y=\"{base:.1}\">{name}</text>", x + 8.0);
        // A value holds until the next one; without one the bar ends.
        let step = points.windows(2).map(|two| two[1].0 - two[0].0).fold(f64::INFINITY, f64::min);
        for run in points.chunk_by(|one, other| other.0 - one.0 < 1.5 * step) {
            let (first, last) = (at(run[0].0), at(run[run.len() - 1].0));
            let wide = (last - first).max(1.0);
            let _ = write!(
                out,
                "<rect x=\"{first:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\" fill=\"{fill}\"/>"
            );
        }
        out.push('\n');
    }
    clock(out, times, (begin, wide), y + h - 8.0);
}

/// Lines with their scale and their names.
fn chart(out: &mut String, panel: &Panel, lines: &[Line], times: (f64, f64), (x, y, w, h): Frame) {
    let rows = legend(lines, w - 16.0);
    let bottom = y + h - 26.0 - rows.len() as f64 * 15.0;
    let ticks = ticks(panel, lines);
    let (least, most) = (ticks[0], ticks[ticks.len() - 1]);
    let (left, top) = (x + 66.0, y + 30.0);
    let wide = x + w - 12.0 - left;
    let at = |time: f64| left + (time - times.0) / (times.1 - times.0) * wide;
    let over = |value: f64| bottom - (value.clamp(least, most) - least) / (most - least) * (bottom - top);
    for tick in &ticks {
        let (high, text) = (over(*tick), xml(&shown(*tick, &panel.unit, panel.decimals)));
        let _ = write!(
            out,
            "<path class=\"g\" d=\"M{left} {high:.1}h{wide}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" class=\"d\">{text}</text>",
            left - 6.0,
            high + 4.0
        );
    }
    for (number, (_, points)) in lines.iter().enumerate() {
        let places: Vec<(i64, i64)> = points
            .iter()
            .map(|(time, value)| (at(*time).round() as i64, over(*value).round() as i64))
            .collect();
        let points: Vec<String> = thinned(&places).iter().map(|(x, y)| format!("{x},{y}")).collect();
        let _ = write!(
            out,
            "\n<polyline stroke=\"{}\" points=\"{}\"/>",
            LINES[number % LINES.len()],
            points.join(" ")
        );
    }
    clock(out, times, (left, wide), bottom + 15.0);
    for (number, row) in rows.iter().enumerate() {
        let (base, mut place) = (y + h - 8.0 - (rows.len() - 1 - number) as f64 * 15.0, x + 10.0);
        for (line, name) in row {
            if let Some(line) = line {
                let (bar, fill) = (base - 5.0, LINES[line % LINES.len()]);
                let _ = write!(
                    out,
                    "<rect x=\"{place:.0}\" y=\"{bar}\" width=\"12\" height=\"3\" fill=\"{fill}\"/>"
                );
            }
            let _ = write!(out, "<text x=\"{:.0}\" y=\"{base}\">{}</text>", place + 16.0, xml(name));
            place += entry_width(name);
        }
    }
}

/// Without points between two of the same height.
fn thinned(places: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let is_needed = |number: &usize| {
        let around =
            number.checked_sub(1).and_then(|before| Some((places.get(before)?, places.get(number + 1)?)));
        around.is_none_or(|(before, after)| !(before.1 == places[*number].1 && after.1 == before.1))
    };
    (0..places.len()).filter(is_needed).map(|number| places[number]).collect()
}

fn entry_width(name: &str) -> f64 {
    name.chars().count() as f64 * SIGN + 28.0
}

/// The rows of a legend: lines by their numbers, with their names, and how many have no place.
fn legend(lines: &[Line], width: f64) -> Vec<Vec<(Option<usize>, String)>> {
    let more = |count: usize| format!("… {count} more");
    let mut rows = Vec::new();
    let mut left = lines.iter().enumerate().peekable();
    while rows.len() < LEGEND && left.peek().is_some() {
        // The last row keeps a place for what is left over.
        let kept = if rows.len() + 1 == LEGEND { entry_width(&more(lines.len())) } else { 0.0 };
        let (mut row, mut used) = (Vec::new(), 0.0);
        while let Some((number, (name, _))) = left.next_if(|(number, (name, _))| {
            let is_last = number + 1 == lines.len();
            used == 0.0 || used + entry_width(name) + if is_last { 0.0 } else { kept } <= width
        }) {
            used += entry_width(name);
            row.push((Some(number), name.clone()));
        }
        rows.push(row);
    }
    let count = left.count();
    if let Some(row) = rows.last_mut().filter(|_| count > 0) {
        row.push((None, more(count)));
    }
    rows
}

/// Round numbers around all values.
fn ticks(panel: &Panel, lines: &[Line]) -> Vec<f64> {
    let values = || lines.iter().flat_map(|(_, points)| points).map(|(_, value)| *value);
    let least = panel.least.unwrap_or_else(|| values().fold(f64::INFINITY, f64::min));
    let most = panel.most.unwrap_or_else(|| values().fold(f64::NEG_INFINITY, f64::max));
    // All the same: as much to both sides.
    let (least, most) = match most - least {
        width if width > 0.0 => (least, most),
        _ if least == 0.0 => (0.0, 1.0),
        _ => (least - least.abs() / 2.0, least + least.abs() / 2.0),
    };
    let rough = (most - least) / 4.0;
    let ten = 10f64.powi(rough.log10().floor() as i32);
    let step = [1.0, 2.0, 2.5, 5.0].into_iter().map(|part| part * ten).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * ten);
    let (first, last) = ((least / step + 1e-9).floor() as i64, (most / step - 1e-9).ceil() as i64);
    (first..=last.max(first + 1)).map(|number| number as f64 * step).collect()
}

/// Times below an axis, UTC.
fn clock(out: &mut String, times: (f64, f64), (left, wide): (f64, f64), base: f64) {
    let step = [1u64, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600]
        .into_iter()
        .find(|step| (times.1 - times.0) / (*step as f64) <= wide / 60.0)
        .unwrap_or(7200);
    let mut time = (times.0 as u64).next_multiple_of(step);
    while (time as f64) < times.1 {
        let place = left + (time as f64 - times.0) / (times.1 - times.0) * wide;
        let (hour, minute, second) = (time / 3600 % 24, time / 60 % 60, time % 60);
        let _ = write!(
            out,
            "<text x=\"{place:.0}\" y=\"{base:.0}\" text-anchor=\"middle\" class=\"d\">{hour:02}:{minute:02}:{second:02}</text>"
        );
        time += step;
    }
}

/// A value with its unit, as Grafana names them.
fn shown(value: f64, unit: &str, decimals: Option<usize>) -> String {
    let (scaled, word) = match unit {
        "s" => seconds(value),
        "percentunit" => (value * 100.0, "%"),
        "cps" => (value, " c/s"),
        "reqps" => (value, " req/s"),
        "short" if value.abs() >= 1e6 => (value / 1e6, " Mil"),
        "short" if value.abs() >= 1e3 => (value / 1e3, " K"),
        _ => (value, ""),
    };
    // Three digits that count, unless the panel says how many stand behind the point.
    let whole = scaled.abs().max(1e-9).log10().floor() as i32;
    let digits = decimals.unwrap_or(usize::try_from(2 - whole).unwrap_or(0).min(6));
    let mut text = format!("{scaled:.digits$}");
    if text.contains('.') && decimals.is_none() {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    let text = if text == "-0" { "0".to_owned() } else { text };
    format!("{text}{word}")
}

fn seconds(value: f64) -> (f64, &'static str) {
    const SCALES: [(f64, &str, f64); 8] = [
        (1e-6, " ns", 1e-9),
        (1e-3, " µs", 1e-6),
        (1.0, " ms", 1e-3),
        (60.0, " s", 1.0),
        (3600.0, " min", 60.0),
        (86_400.0, " hour", 3600.0),
        (604_800.0, " day", 86_400.0),
        (31_536_000.0, " week", 604_800.0),
    ];
    if value == 0.0 {
        return (0.0, " s");
    }
    let scale = SCALES.into_iter().find(|(below, _, _)| value.abs() < *below);
    scale.map_or((value / 31_536_000.0, " year"), |(_, word, one)| (value / one, word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pictures::dashboard::Place;
    use std::collections::BTreeMap;

    fn panel(kind: &str, unit: &str) -> Panel {
        Panel {
            title: "a < b".to_owned(),
            kind: kind.to_owned(),
            place: Place { x: 12, y: 5, w: 12, h: 8 },
            targets: Vec::new(),
            unit: unit.to_owned(),
            decimals: None,
            thresholds: Vec::new(),
            mappings: BTreeMap::new(),
            least: None,
            most: None,
        }
    }

    #[test]
    fn a_place_in_the_grid_is_one_in_the_picture() {
        assert_eq!(frame(&panel("stat", "s")), (608.0, 216.0, 592.0, 248.0));
        let whole = whole("t", "s", 13, &draw(&panel("row", ""), &[], (0.0, 1.0)));
        assert!(whole.contains("viewBox=\"0 0 1208 472\"") && whole.contains("⌄ a &lt; b</text>"), "{whole}");
    }

    #[test]
    fn a_single_value_has_the_colour_of_its_threshold_or_of_its_mapping() {
        let mut stat = panel("stat", "s");
        assert_eq!(judged(&stat, 5.0), ("5 s".to_owned(), "#73bf69"), "green without thresholds");
        stat.thresholds = [(None, "green"), (Some(0.1), "orange"), (Some(1.0), "red")]
            .map(|(from, colour)| (from, colour.to_owned()))
            .into();
        for (value, text, colour) in [
            (0.0016, "1.6 ms", "#73bf69"),
            (0.1, "100 ms", "#ff9830"),
            (0.999, "999 ms", "#ff9830"),
            (90.0, "1.5 min", "#f2495c"),
        ] {
            assert_eq!(judged(&stat, value), (text.to_owned(), colour), "{value}");
        }
        stat.mappings = [("1".to_owned(), ("yes".to_owned(), "green".to_owned()))].into();
        assert_eq!(judged(&stat, 1.0), ("yes".to_owned(), "#73bf69"));
        let picture = draw(&stat, &[("one".to_owned(), vec![(0.0, 7.0), (1.0, 1.0)])], (0.0, 1.0));
        assert!(picture.contains(">yes</text>") && !picture.contains(">one</text>"), "{picture}");
        let picture = draw(&stat, &[("one".to_owned(), Vec::new())], (0.0, 1.0));
        assert!(picture.contains(">No data</text>"), "{picture}");
    }

    #[test]
    fn values_have_their_units() {
        for (value, unit, decimals, text) in [
            (-1.23456e-6, "s", None, "-1.23 µs"),
            (0.0, "s", None, "0 s"),
            (12.9 * 604_800.0, "s", None, "12.9 week"),
            (0.625, "percentunit", None, "62.5%"),
            (0.25, "cps", None, "0.25 c/s"),
            (1234.0, "short", None, "1.23 K"),
            (1.003, "short", Some(0), "1"),
            (-1e-12, "none", None, "0"),
            (40.013, "none", None, "40"),
            (100.0, "reqps", None, "100 req/s"),
        ] {
            assert_eq!(shown(value, unit, decimals), text);
        }
    }

    #[test]
    fn ticks_are_round_and_around_all_values() {
        let line = |values: &[f64]| [("a".to_owned(), values.iter().map(|value| (0.0, *value)).collect())];
        let of = |values: &[f64]| ticks(&panel("timeseries", "s"), &line(values));
        assert_eq!(of(&[0.1, 7.9]), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!((of(&[0.0, 0.0]), of(&[5.0]).len() > 1), (vec![0.0, 0.25, 0.5, 0.75, 1.0], true));
        let mut share = panel("timeseries", "percentunit");
        (share.least, share.most) = (Some(0.0), Some(1.0));
        assert_eq!(ticks(&share, &line(&[0.5])), [0.0, 0.25, 0.5, 0.75, 1.0]);
    }

    #[test]
    fn a_line_keeps_its_corners_and_a_legend_says_what_it_has_no_place_for() {
        assert_eq!(
            thinned(&[(0, 5), (1, 5), (2, 5), (3, 7), (4, 5)]),
            [(0, 5), (2, 5), (3, 7), (4, 5)],
            "what is level needs two points"
        );
        let lines: Vec<Line> = (0..40).map(|number| (format!("source {number:02}"), Vec::new())).collect();
        let rows = legend(&lines, 400.0);
        assert_eq!(rows.len(), LEGEND);
        let shown = rows.iter().flatten().filter(|(line, _)| line.is_some()).count();
        let (_, last) = rows[LEGEND - 1].last().expect("there is one");
        assert_eq!(last, &format!("… {} more", 40 - shown));
        for row in &rows {
            assert!(row.iter().map(|(_, name)| entry_width(name)).sum::<f64>() <= 400.0, "{row:?}");
        }
    }
}
