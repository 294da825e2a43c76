//! The period as pictures, on one line of time: the offset with its bound; how far the clock can be off, with the limit; the sources
//! with their authentication. Drawn for paper: nothing is told by its colour alone.

mod bins;

use crate::course::Course;
use crate::figure::length;
use crate::judge::Terms;
use bins::{Bin, bins};
use drawing::axis;
use drawing::panel::{Panel, sample};
use drawing::shape::{Shape, number, xml};
use std::fmt::Write as _;

/// Of the whole picture, in pixels.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 12.0;
const LINE: f64 = 18.0;
const BETWEEN: f64 = 12.0;
/// About the width of a letter.
const LETTER: f64 = 6.8;
/// The scale of the offset is for what is usual: this much room beside it.
const ROOM: f64 = 1.15;

/// More steps than these have no lines.
const FEW: usize = 20;

/// For the page that it is in.
pub(crate) const STYLE: &str = "\
svg text{font:13px system-ui,'DejaVu Sans',sans-serif}.ink{fill:#1b1b1b}.faint{fill:#555}.grid{stroke:#ddd}.zero{stroke:#888}\
.range{fill:#0072b2}.bound-area{fill:#e69f00;fill-opacity:.3}.bound{stroke:#b85000;fill:none;stroke-width:1.6}\
.measured{stroke:#0072b2;fill:none;stroke-width:1.6}.limit{stroke:#c00;stroke-width:1.4;stroke-dasharray:7 4}\
.with{fill:#009e73}.without{fill:#fff;stroke:#b85000;stroke-width:1}.right{fill:#0072b2}.wrong{fill:#fff;stroke:#c00;stroke-width:1.4}\
.gap{fill:#999;fill-opacity:.25}.slash{stroke:#666;stroke-width:1}.step{stroke:#a0407a;stroke-width:1.4;stroke-dasharray:2 2}\
.mark{fill:#a0407a}.note{paint-order:stroke;stroke:#fff;stroke-width:4px}";

struct Picture<'a> {
    course: &'a Course,
    terms: &'a Terms,
    /// Seconds since 1970.
    period: (f64, f64),
    bins: Vec<Bin>,
    /// Where the panels are: their upper and lower edges.
    panels: Vec<(f64, f64)>,
    out: String,
}

/// The picture of a period.
pub(crate) fn picture(course: &Course, terms: &Terms) -> String {
    let seconds = |at: ipc::units::WallTime| at.nanos() as f64 / 1e9;
    let period = (seconds(course.period.from), seconds(course.period.to));
    let mut picture =
        Picture { course, terms, period, bins: bins(course), panels: Vec::new(), out: String::new() };
    let mut y = 2.0;
    for panel in [Picture::offset, Picture::error, Picture::sources, Picture::states] {
        y = panel(&mut picture, y) + BETWEEN;
    }
    picture.times(y - BETWEEN + 4.0);
    picture.holes();
    picture.steps();
    let height = number(y + LINE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>the clock in the period</title>\n\
         <defs><pattern id=\"gap\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <line class=\"slash\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\"/></pattern></defs>\n{}</svg>\n",
        picture.out
    )
}

impl Picture<'_> {
    fn x(&self, seconds: f64) -> f64 {
        let (from, to) = self.period;
        let share = (seconds - from) / (to - from).max(f64::MIN_POSITIVE);
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// The name of a panel and what its shapes mean; returns where it ends.
    fn legend(&mut self, top: f64, name: &str, shapes: &[(&str, bool, &str)]) -> f64 {
        let y = top + LINE - 5.0;
        let _ = writeln!(self.out, "<text class=\"ink\" x=\"4\" y=\"{}\">{}</text>", number(y), xml(name));
        let mut x = 4.0 + LETTER * (name.chars().count() as f64 + 3.0);
        for (class, is_area, means) in shapes {
            let sample = sample(class, *is_area, x, y);
            let text = number(x + 25.0);
            let _ = writeln!(
                self.out,
                "{sample}<text class=\"faint\" x=\"{text}\" y=\"{}\">{}</text>",
                number(y),
                xml(means)
            );
            x += 25.0 + LETTER * (means.chars().count() as f64 + 3.0);
        }
        y + 10.0
    }

    fn grid(&mut self, panel: &Panel, marks: &[(f64, String)]) {
        panel.grid(&mut self.out, (LEFT, WIDTH - RIGHT), marks);
    }

    /// Runs of neighbouring bins for which this is known, with its value.
    fn runs<T: Copy>(&self, of: impl Fn(&Bin) -> Option<T>) -> Vec<Vec<(f64, f64, T)>> {
        let mut all: Vec<Vec<(f64, f64, T)>> = Vec::new();
        let mut is_next = false;
        for bin in &self.bins {
            let Some(value) = of(bin) else {
                is_next = false;
                continue;
            };
            let point = (self.x(bin.from), self.x(bin.to), value);
            match all.last_mut().filter(|_| is_next) {
                Some(run) => run.push(point),
                None => all.push(vec![point]),
            }
            is_next = true;
        }
        all
    }

    fn line(&mut self, class: &str, panel: &Panel, of: impl Fn(&Bin) -> Option<f64>) {
        let mut shape = Shape::default();
        for run in self.runs(of) {
            shape.line(run.iter().flat_map(|(left, right, value)| {
                let y = panel.y(*value);
                [(*left, y), (*right, y)]
            }));
        }
        let _ = writeln!(self.out, "<path class=\"{class}\" d=\"{}\"/>", shape.path());
    }

    fn band(&mut self, class: &str, panel: &Panel, of: impl Fn(&Bin) -> Option<(f64, f64)>) {
        let mut shape = Shape::default();
        for run in self.runs(of) {
            // At least as high as a line.
            let upper = run.iter().flat_map(|(left, right, (_, high))| {
                let y = panel.y(*high) - 0.6;
                [(*left, y), (*right, y)]
            });
            let lower = run.iter().rev().flat_map(|(left, right, (low, _))| {
                let y = panel.y(*low) + 0.6;
                [(*right, y), (*left, y)]
            });
            shape.area(upper.chain(lower));
        }
        let _ = writeln!(self.out, "<path class=\"{class}\" d=\"{}\"/>", shape.path());
    }

    fn offset(&mut self, top: f64) -> f64 {
        // What nineteen of twenty bins have.
        let mut usual: Vec<f64> = self.bins.iter().filter_map(|bin| bin.bound.or(bin.far())).collect();
        usual.sort_by(f64::total_cmp);
        let most =
            usual.get(usual.len() * 19 / 20).or(usual.last()).copied().unwrap_or(1e-3).max(1e-7) * ROOM;
        let shapes = [
            ("range", true, "offset, from the least to the largest"),
            ("bound-area", true, "within the bound"),
        ];
        let top = self.legend(top, "Offset (above 0: the clock is behind)", &shapes);
        let panel = Panel { top, height: 150.0, low: -most, high: most };
        let step = axis::step(2.0 * most);
        let marks = axis::marks(-most, most).into_iter().map(|mark| (mark, axis::seconds(mark, most, step)));
        self.grid(&panel, &marks.collect::<Vec<_>>());
        self.band("bound-area", &panel, |bin| bin.bound.map(|bound| (-bound, bound)));
        self.band("range", &panel, |bin| bin.offset);
        let all = self.bins.iter().filter_map(|bin| bin.offset);
        let (low, high) = all.fold((0.0_f64, 0.0_f64), |(low, high), one| (low.min(one.0), high.max(one.1)));
        if low < -most || high > most {
            let nanos = |seconds: f64| (seconds * 1e9) as i64;
            let text = format!("cut off; it was from {} to {}", length(nanos(low)), length(nanos(high)));
            let (x, y) = (number(LEFT + 6.0), number(panel.top + 14.0));
            let _ = writeln!(self.out, "<text class=\"ink note\" x=\"{x}\" y=\"{y}\">{}</text>", xml(&text));
        }
        self.panels.push((panel.top, panel.bottom()));
        panel.bottom()
    }

    fn error(&mut self, top: f64) -> f64 {
        let limit = self.terms.limit.nanos() as f64 / 1e9;
        let all = || self.bins.iter().flat_map(|bin| [bin.bound, bin.likely]).flatten();
        let low = all().filter(|value| *value > 0.0).fold(limit, f64::min);
        let high = all().chain(self.bins.iter().filter_map(Bin::far)).fold(limit, f64::max);
        let means = format!("limit, {}", length(self.terms.limit.nanos()));
        let shapes = [
            ("bound", false, "bound"),
            ("measured", false, "likely (by the model, 1e-6)"),
            ("limit", false, means.as_str()),
        ];
        let top = self.legend(top, "How far it can be off", &shapes);
        let decades = axis::decades(low, high);
        let edge = |mark: Option<&(f64, String)>| mark.map_or(0.0, |(value, _)| value.log10());
        let panel = Panel { top, height: 120.0, low: edge(decades.first()), high: edge(decades.last()) };
        let every = decades.len().div_ceil(7);
        // Not the line of a zero: it is a power.
        let marks = decades.iter().step_by(every).map(|(value, name)| (value.log10() + 1e-9, name.clone()));
        self.grid(&panel, &marks.collect::<Vec<_>>());
        let log = |value: Option<f64>| value.map(|value| value.max(1e-12).log10());
        self.line("measured", &panel, |bin| log(bin.likely));
        self.line("bound", &panel, |bin| log(bin.bound));
        let _ = writeln!(
            self.out,
            "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{0}\" y1=\"{1}\" y2=\"{1}\"/>",
            number(WIDTH - RIGHT),
            number(panel.y(limit.log10()))
        );
        self.panels.push((panel.top, panel.bottom()));
        panel.bottom()
    }

    fn sources(&mut self, top: f64) -> f64 {
        let most = self.bins.iter().filter_map(|bin| bin.used).map(|used| used.0).fold(1.0, f64::max);
        let shapes = [
            ("with", true, "used and authenticated: the least of the time"),
            ("without", true, "used, not authenticated"),
        ];
        let top = self.legend(top, "Sources", &shapes);
        let panel = Panel { top, height: 46.0, low: 0.0, high: most };
        self.grid(&panel, &[(0.0, "0".to_owned()), (most, number(most))]);
        let (mut with, mut without) = (Shape::default(), Shape::default());
        for run in self.runs(|bin| bin.used) {
            for part in run.chunk_by(|one, other| one.2 == other.2) {
                let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
                let (left, right, (used, authenticated)) = (first.0, last.1, first.2);
                let rectangle = |shape: &mut Shape, low: f64, high: f64| {
                    if high > low {
                        let (low, high) = (panel.y(low), panel.y(high));
                        shape.area([(left, low), (left, high), (right, high), (right, low)].into_iter());
                    }
                };
                rectangle(&mut with, 0.0, authenticated);
                rectangle(&mut without, authenticated, used);
            }
        }
        let _ = writeln!(self.out, "<path class=\"with\" d=\"{}\"/>", with.path());
        let _ = writeln!(self.out, "<path class=\"without\" d=\"{}\"/>", without.path());
        self.panels.push((panel.top, panel.bottom()));
        panel.bottom()
    }

    /// A strip: whether it was synchronised. One that was not is hollow.
    fn states(&mut self, top: f64) -> f64 {
        let shapes = [
            ("right", true, "all the time"),
            ("wrong", true, "not all the time"),
            ("gap", true, "no minute was kept"),
            ("step", false, "step"),
        ];
        let top = self.legend(top, "Synchronised", &shapes) + 2.0;
        for run in self.runs(|bin| bin.used.map(|_| bin.synchronised)) {
            for part in run.chunk_by(|one, other| one.2 == other.2) {
                let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
                let (left, width) = (number(first.0), number((last.1 - first.0).max(2.0)));
                let class = if first.2 { "right" } else { "wrong" };
                let top = number(top);
                let _ = writeln!(
                    self.out,
                    "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"9\"/>"
                );
            }
        }
        self.panels.push((top - 1.0, top + 10.0));
        top + 10.0
    }

    fn times(&mut self, top: f64) {
        let mut ends = 0.0;
        for (time, text) in axis::times(self.period, WIDTH - LEFT - RIGHT) {
            let (x, half) = (self.x(time), LETTER * text.chars().count() as f64 / 2.0);
            if x - half < ends || x + half > WIDTH {
                continue;
            }
            ends = x + half + 4.0;
            let _ = writeln!(
                self.out,
                "<line class=\"zero\" x1=\"{0}\" x2=\"{0}\" y1=\"{1}\" y2=\"{2}\"/>\
                 <text class=\"faint\" x=\"{0}\" y=\"{3}\" text-anchor=\"middle\">{4}</text>",
                number(x),
                number(top),
                number(top + 4.0),
                number(top + LINE),
                xml(&text)
            );
        }
        let _ = writeln!(self.out, "<text class=\"faint\" x=\"4\" y=\"{}\">UTC</text>", number(top + LINE));
    }

    /// Across each panel.
    fn holes(&mut self) {
        let mut last = f64::NEG_INFINITY;
        for hole in self.course.missing(self.terms.outage.nanos()) {
            let x = |at: ipc::units::WallTime| self.x(at.nanos() as f64 / 1e9);
            let (left, right) = (x(hole.from), x(hole.to));
            // One for those that cannot be told apart.
            if right - last < 0.5 {
                continue;
            }
            last = right;
            let (left, width) = (number(left), number((right - left).max(1.0)));
            for (top, bottom) in &self.panels {
                let (top, height) = (number(*top), number(bottom - top));
                let _ = writeln!(
                    self.out,
                    "<rect class=\"gap\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>\
                     <rect fill=\"url(#gap)\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/>"
                );
            }
        }
    }

    /// A mark for each, and a line across the panels where they are few.
    fn steps(&mut self) {
        let has_lines = self.course.steps.len() <= FEW;
        let mut last = f64::NEG_INFINITY;
        for step in &self.course.steps {
            let x = self.x(step.at.nanos() as f64 / 1e9);
            // One mark for those that cannot be told apart.
            if x - last < 1.0 {
                continue;
            }
            last = x;
            let first = self.panels.first().map_or(0.0, |(top, _)| *top);
            let (left, top) = (number(x - 4.0), number(first));
            let _ = writeln!(self.out, "<path class=\"mark\" d=\"M{left},{top}h8l-4,7z\"/>");
            for (top, bottom) in self.panels.iter().filter(|_| has_lines) {
                let (x, top, bottom) = (number(x), number(*top), number(*bottom));
                let _ = writeln!(
                    self.out,
                    "<line class=\"step\" x1=\"{x}\" x2=\"{x}\" y1=\"{top}\" y2=\"{bottom}\"/>"
                );
            }
        }
    }
}
