//! A panel of a picture: its scale, the lines across it, and the samples of its legend.

use crate::shape::{number, xml};
use std::fmt::Write as _;

/// A panel's place and scale, in pixels from the top of the picture: the value at its lower and upper edge.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Its upper edge.
    pub top: f64,
    /// From there to the lower edge.
    pub height: f64,
    /// The value at the lower edge.
    pub low: f64,
    /// The value at the upper edge.
    pub high: f64,
}

impl Panel {
    /// Where a value stands; one beyond an edge, at that edge.
    pub fn y(&self, value: f64) -> f64 {
        let share =
            (value.clamp(self.low, self.high) - self.low) / (self.high - self.low).max(f64::MIN_POSITIVE);
        self.top + self.height * (1.0 - share)
    }

    /// Its lower edge.
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// A line across it at each mark, from `left` to `right`, with its text before it.
    pub fn grid(&self, out: &mut String, (left, right): (f64, f64), marks: &[(f64, String)]) {
        for (value, text) in marks {
            let y = self.y(*value);
            let class = if *value == 0.0 { "zero" } else { "grid" };
            let _ = writeln!(
                out,
                "<line class=\"{class}\" x1=\"{0}\" x2=\"{1}\" y1=\"{2}\" y2=\"{2}\"/>\
                 <text class=\"faint\" x=\"{3}\" y=\"{4}\" text-anchor=\"end\">{5}</text>",
                number(left),
                number(right),
                number(y),
                number(left - 6.0),
                number(y + 4.0),
                xml(text)
            );
        }
    }
}

/// What a class looks like, twenty pixels wide, before a text of the legend whose base line is at `y`.
pub fn sample(class: &str, is_area: bool, x: f64, y: f64) -> String {
    match is_area {
        true => format!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"20\" height=\"10\"/>",
            number(x),
            number(y - 9.0)
        ),
        false => format!(
            "<line class=\"{class}\" x1=\"{0}\" y1=\"{2}\" x2=\"{1}\" y2=\"{2}\"/>",
            number(x),
            number(x + 20.0),
            number(y - 4.0)
        ),
    }
}
