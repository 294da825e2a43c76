//! The picture: panels on one line of time.

use super::course::{Course, Spot};
use drawing::axis;
use drawing::panel::{Panel, sample};
use drawing::shape::{Shape, number, xml};
use std::fmt::Write as _;

/// Colours that people who see few of them tell apart (Okabe and Ito), for a light and a dark page; shape and dashes tell the
/// same.
pub const STYLE: &str = "\
.page{fill:#fff}.ink{fill:#1b1b1b}.faint{fill:#555}.grid{stroke:#ddd}.zero{stroke:#888}\
.mean{stroke:#0072b2;fill:none;stroke-width:1.6}.range{fill:#0072b2;fill-opacity:.28}.likely{fill:#e69f00;fill-opacity:.2}\
.likely-line{stroke:#e69f00;fill:none;stroke-width:1.6}.bound{stroke:#d55e00;fill:none;stroke-width:1.6;stroke-dasharray:6 3}\
.frequency{stroke:#009e73;fill:none;stroke-width:1.6}.used{fill:#56b4e9;fill-opacity:.55}.right{fill:#0072b2}.wrong{fill:#e69f00}\
.step{stroke:#cc79a7;stroke-width:1.4;stroke-dasharray:2 2}.mark{fill:#cc79a7}.gap{fill:#999;fill-opacity:.25}\
.slash{stroke:#666;stroke-width:1}text{font:13px system-ui,sans-serif}.title{font-weight:600;font-size:16px}\
@media(prefers-color-scheme:dark){.page{fill:#14171a}.ink{fill:#eee}.faint{fill:#aaa}.grid{stroke:#33383d}.zero{stroke:#777}\
.mean{stroke:#56b4e9}.range{fill:#56b4e9}.right{fill:#56b4e9}.step{stroke:#e3a5c7}.mark{fill:#e3a5c7}.slash{stroke:#999}}";

/// Pixels at the sides of the panels, between them, and of a line of text.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 12.0;
const BETWEEN: f64 = 14.0;
const LINE: f64 = 18.0;
/// About the width of a letter.
const LETTER: f64 = 6.9;

/// A panel's scale is for what is usual: this much room beside it.
const ROOM: f64 = 1.15;
/// The likely interval may make it this much wider; one that is wider still is only in the panel below.
const WIDER: f64 = 4.0;

/// What is drawn.
#[derive(Debug)]
pub struct Picture<'a> {
    /// Of the whole picture, in pixels.
    pub width: f64,
    /// Apart from others on one page.
    pub id: &'a str,
    /// One line each; none, where a page has them.
    pub title: Option<&'a str>,
    /// Lines below the title.
    pub lines: &'a [String],
    pub course: &'a Course,
}

impl Picture<'_> {
    /// The whole of it.
    pub fn draw(&self) -> String {
        let mut out = String::new();
        let mut y = 4.0;
        if let Some(title) = self.title {
            y += 20.0;
            let _ =
                writeln!(out, "<text class=\"ink title\" x=\"8\" y=\"{}\">{}</text>", number(y), xml(title));
        }
        for line in self.lines {
            y += LINE;
            let _ = writeln!(out, "<text class=\"faint\" x=\"8\" y=\"{}\">{}</text>", number(y), xml(line));
        }
        let Some(period) = self.course.period().filter(|(begin, end)| end > begin) else {
            y += 2.0 * LINE;
            let _ = writeln!(
                out,
                "<text class=\"ink\" x=\"8\" y=\"{}\">no history yet: the daemon has just started</text>",
                number(y)
            );
            return self.frame(&out, y + LINE);
        };
        let top = y + BETWEEN;
        let mut bottom = top;
        for panel in [Self::offset, Self::error, Self::frequency, Self::used] {
            bottom = panel(self, &mut out, bottom, period) + BETWEEN;
        }
        self.states(&mut out, bottom, period);
        bottom += 10.0;
        self.marks_of_time(&mut out, bottom, period);
        self.events(&mut out, (top, bottom), period);
        self.frame(&out, bottom + 2.0 * LINE)
    }

    fn frame(&self, body: &str, height: f64) -> String {
        let (width, height, id) = (number(self.width), number(height), self.id);
        let style = if self.title.is_some() { format!("<style>{STYLE}</style>\n") } else { String::new() };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
             role=\"img\" class=\"{id}\">\n<title>{}</title>\n{style}\
             <defs><pattern id=\"{id}-gap\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
             <line class=\"slash\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\"/></pattern></defs>\n\
             <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n{body}</svg>\n",
            xml(self.title.unwrap_or("the course of the clock")),
        )
    }

    fn x(&self, time: f64, (begin, end): (f64, f64)) -> f64 {
        LEFT + (time - begin) / (end - begin) * (self.width - LEFT - RIGHT)
    }

    /// The name of a panel and what its shapes mean; returns where it ends.
    fn legend(&self, out: &mut String, top: f64, name: &str, shapes: &[(&str, &str)]) -> f64 {
        let mut y = top + LINE - 5.0;
        let _ = writeln!(out, "<text class=\"ink\" x=\"8\" y=\"{}\">{}</text>", number(y), xml(name));
        let mut x = 8.0 + LETTER * (name.chars().count() as f64 + 3.0);
        for (class, means) in shapes {
            let length = 26.0 + LETTER * (means.chars().count() as f64 + 2.0);
            if x + length > self.width && x > 30.0 {
                (x, y) = (24.0, y + LINE);
            }
            let is_area = class.ends_with("range") || matches!(*class, "likely" | "used");
            let sample = sample(class, is_area, x, y);
            let text = number(x + 24.0);
            let _ = writeln!(
                out,
                "{sample}<text class=\"faint\" x=\"{text}\" y=\"{}\">{}</text>",
                number(y),
                xml(means)
            );
            x += length;
        }
        y + 12.0
    }

    fn grid(&self, out: &mut String, panel: &Panel, marks: &[(f64, String)]) {
        panel.grid(out, (LEFT, self.width - RIGHT), marks);
    }

    fn line(&self, panel: &Panel, period: (f64, f64), value: impl Fn(&Spot) -> Option<f64>) -> String {
        let mut shape = Shape::default();
        for run in self.runs(|spot| value(spot).is_some()) {
            shape.line(self.outline(run, period, |spot| panel.y(value(spot).unwrap_or(0.0))).into_iter());
        }
        shape.path()
    }

    fn band(&self, panel: &Panel, period: (f64, f64), of: impl Fn(&Spot) -> Option<(f64, f64)>) -> String {
        let mut shape = Shape::default();
        for run in self.runs(|spot| of(spot).is_some()) {
            let edges = |spot: &Spot| of(spot).unwrap_or((0.0, 0.0));
            let lower = self.outline(run, period, |spot| panel.y(edges(spot).0));
            let upper = self.outline(run, period, |spot| panel.y(edges(spot).1));
            shape.area(lower.into_iter().chain(upper.into_iter().rev()));
        }
        shape.path()
    }

    /// The middle of each of these, and both ends.
    fn outline(&self, run: &[Spot], period: (f64, f64), y: impl Fn(&Spot) -> f64) -> Vec<(f64, f64)> {
        let begin = run.first().map(|spot| (spot.time.0, y(spot)));
        let end = run.last().map(|spot| (spot.time.1, y(spot)));
        let middle = run.iter().map(|spot| ((spot.time.0 + spot.time.1) / 2.0, y(spot)));
        begin.into_iter().chain(middle).chain(end).map(|(time, y)| (self.x(time, period), y)).collect()
    }

    /// The stretches in which this holds without a gap.
    fn runs(&self, holds: impl Fn(&Spot) -> bool) -> impl Iterator<Item = &[Spot]> {
        let is_whole = |one: &Spot, other: &Spot| other.time.0 - one.time.1 < 1.0;
        let parts = self.course.spots.chunk_by(is_whole);
        parts.flat_map(move |part| {
            part.split(|spot| !holds(spot)).filter(|run| !run.is_empty()).collect::<Vec<_>>()
        })
    }

    fn offset(&self, out: &mut String, top: f64, period: (f64, f64)) -> f64 {
        let spots = &self.course.spots;
        let most = self.course.scale();
        let likely = self.course.usual().filter_map(|spot| spot.likely).fold(0.0, f64::max);
        let fits = likely <= WIDER * most;
        let most = ROOM * if fits { most.max(likely) } else { most };
        let shapes = [
            ("mean", "mean"),
            ("range", "least to largest"),
            ("likely", if fits { "likely interval" } else { "likely interval: wider than this" }),
        ];
        let top = self.legend(out, top, "Offset (above 0: the clock is behind)", &shapes);
        let panel = Panel { top, height: 170.0, low: -most, high: most };
        let step = axis::step(2.0 * most);
        let marks = axis::marks(-most, most).into_iter().map(|mark| (mark, axis::seconds(mark, most, step)));
        self.grid(out, &panel, &marks.collect::<Vec<_>>());
        let likely = |spot: &Spot| spot.likely.filter(|_| fits).map(|likely| (-likely, likely));
        let likely = self.band(&panel, period, likely);
        let range = self.band(&panel, period, |spot| spot.offset.map(|(_, least, largest)| (least, largest)));
        let mean = self.line(&panel, period, |spot| spot.offset.map(|(mean, ..)| mean));
        let _ = writeln!(out, "<path class=\"likely\" d=\"{likely}\"/>");
        let _ = writeln!(out, "<path class=\"range\" d=\"{range}\"/>\n<path class=\"mean\" d=\"{mean}\"/>");
        let beyond = spots
            .iter()
            .filter_map(|spot| spot.offset)
            .fold((0.0_f64, 0.0_f64), |(low, high), it| (low.min(it.1), high.max(it.2)));
        if beyond.0 < -most * 1.001 || beyond.1 > most * 1.001 {
            let text = |value| crate::text::seconds(Some(value), true);
            let _ = writeln!(
                out,
                "<text class=\"faint\" x=\"{}\" y=\"{}\">cut off; it was from {} to {}</text>",
                number(LEFT + 6.0),
                number(panel.top + 14.0),
                xml(&text(beyond.0)),
                xml(&text(beyond.1))
            );
        }
        panel.bottom()
    }

    fn error(&self, out: &mut String, top: f64, period: (f64, f64)) -> f64 {
        let all = || self.course.spots.iter().flat_map(|spot| [spot.bound, spot.likely]).flatten();
        let low = all().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        let high = all().fold(0.0, f64::max);
        let shapes = [("bound", "bound"), ("likely-line", "likely (by the model, 1e-6)")];
        let top = self.legend(out, top, "How far it can be off", &shapes);
        let decades =
            axis::decades(if low.is_finite() { low } else { 1e-3 }, if high > 0.0 { high } else { 1.0 });
        let edge = |mark: Option<&(f64, String)>| mark.map_or(0.0, |(value, _)| value.log10());
        let panel = Panel { top, height: 110.0, low: edge(decades.first()), high: edge(decades.last()) };
        let every = decades.len().div_ceil(6);
        let marks = decades.iter().step_by(every).map(|(value, name)| (value.log10(), name.clone()));
        // Not the line of a zero: it is a power.
        let marks: Vec<(f64, String)> = marks.map(|(power, name)| (power + 1e-9, name)).collect();
        self.grid(out, &panel, &marks);
        let log = |value: Option<f64>| value.map(|value| value.max(1e-12).log10());
        let likely = self.line(&panel, period, |spot| log(spot.likely));
        let bound = self.line(&panel, period, |spot| log(spot.bound));
        let _ = writeln!(
            out,
            "<path class=\"likely-line\" d=\"{likely}\"/>\n<path class=\"bound\" d=\"{bound}\"/>"
        );
        panel.bottom()
    }

    fn frequency(&self, out: &mut String, top: f64, period: (f64, f64)) -> f64 {
        let all = || self.course.spots.iter().filter_map(|spot| spot.frequency);
        let (low, high) =
            all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ppm| (low.min(ppm), high.max(ppm)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 0.0) };
        let room = ((high - low) * 0.1).max(0.005);
        let top = self.legend(out, top, "Frequency in force, ppm", &[]);
        let panel = Panel { top, height: 80.0, low: low - room, high: high + room };
        let step = axis::step(panel.high - panel.low);
        let marks =
            axis::marks(panel.low, panel.high).into_iter().map(|mark| (mark, axis::signed(mark, step)));
        self.grid(out, &panel, &marks.collect::<Vec<_>>());
        let line = self.line(&panel, period, |spot| spot.frequency);
        let _ = writeln!(out, "<path class=\"frequency\" d=\"{line}\"/>");
        panel.bottom()
    }

    fn used(&self, out: &mut String, top: f64, period: (f64, f64)) -> f64 {
        let most = self.course.spots.iter().map(|spot| spot.used).max().unwrap_or(0).max(1);
        let top = self.legend(out, top, "Sources used", &[]);
        let panel = Panel { top, height: 40.0, low: 0.0, high: f64::from(most) };
        self.grid(out, &panel, &[(0.0, "0".to_owned()), (f64::from(most), most.to_string())]);
        let mut shape = Shape::default();
        for run in
            self.course.spots.chunk_by(|one, other| one.used == other.used && other.time.0 - one.time.1 < 1.0)
        {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (left, right) = (self.x(first.time.0, period), self.x(last.time.1, period));
            let (upper, lower) = (panel.y(f64::from(first.used)), panel.bottom());
            if first.used > 0 {
                shape.area([(left, lower), (left, upper), (right, upper), (right, lower)].into_iter());
            }
        }
        let _ = writeln!(out, "<path class=\"used\" d=\"{}\"/>", shape.path());
        panel.bottom()
    }

    /// A strip: whether it was synchronised. One that was not is half as high, too.
    fn states(&self, out: &mut String, top: f64, period: (f64, f64)) {
        let is_next = |one: &Spot, other: &Spot| {
            one.is_synchronised == other.is_synchronised && other.time.0 - one.time.1 < 1.0
        };
        for run in self.course.spots.chunk_by(is_next) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (left, right) = (self.x(first.time.0, period), self.x(last.time.1, period));
            let (class, means, height) = match first.is_synchronised {
                true => ("right", "synchronised", 8.0),
                false => ("wrong", "not synchronised", 4.0),
            };
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\"><title>{means}</title></rect>",
                number(left),
                number(top),
                number(right - left)
            );
        }
    }

    fn marks_of_time(&self, out: &mut String, top: f64, period: (f64, f64)) {
        let mut ends = 0.0;
        for (time, text) in axis::times(period, self.width - LEFT - RIGHT) {
            let (x, half) = (self.x(time, period), LETTER * text.chars().count() as f64 / 2.0);
            if x - half < ends || x + half > self.width {
                continue;
            }
            ends = x + half + 4.0;
            let _ = writeln!(
                out,
                "<line class=\"zero\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/>\
                 <text class=\"faint\" x=\"{0}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>",
                number(x),
                number(top),
                number(top + 4.0),
                number(top + LINE),
                xml(&text)
            );
        }
        let _ = writeln!(out, "<text class=\"faint\" x=\"8\" y=\"{}\">UTC</text>", number(top + LINE));
    }

    /// Steps and gaps, across all panels.
    fn events(&self, out: &mut String, (top, bottom): (f64, f64), period: (f64, f64)) {
        let height = number(bottom - top);
        for (begin, end) in &self.course.gaps {
            let (left, right) = (self.x(*begin, period), self.x(*end, period));
            let width = (right - left).max(3.0);
            let means = if end > begin { "nothing is known" } else { "the clock stood still" };
            let _ = writeln!(
                out,
                "<g><title>{means}</title><rect class=\"gap\" x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{height}\"/>\
                 <rect fill=\"url(#{3}-gap)\" x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{height}\"/></g>",
                number(left),
                number(top),
                number(width),
                self.id
            );
        }
        let steps: Vec<(f64, f64)> = self
            .course
            .spots
            .iter()
            .filter_map(|spot| Some((self.x((spot.time.0 + spot.time.1) / 2.0, period), spot.stepped?)))
            .collect();
        for (x, seconds) in &steps {
            let text = format!("step {}", crate::text::seconds(Some(*seconds), true));
            let (at, end) = (number(*x), number(bottom));
            let _ = writeln!(
                out,
                "<g><title>{0}</title><line class=\"step\" x1=\"{at}\" x2=\"{at}\" y1=\"{1}\" y2=\"{end}\"/>\
                 <path class=\"mark\" d=\"M{2},{1}h8l-4,7z\"/></g>",
                xml(&text),
                number(top),
                number(x - 4.0)
            );
            if steps.len() <= 3 {
                // On the side where there is room.
                let is_left = *x < self.width / 2.0;
                let (at, anchor) = if is_left { (x + 8.0, "start") } else { (x - 8.0, "end") };
                let _ = writeln!(
                    out,
                    "<text class=\"ink\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                    number(at),
                    number(top + 2.0 * LINE + 26.0),
                    xml(&text)
                );
            }
        }
    }
}
