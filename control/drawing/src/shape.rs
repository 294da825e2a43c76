//! Octets of an SVG: numbers, text that nothing obeys, paths.

use ipc::text::escape;
use std::fmt::Write as _;

/// A coordinate, to the tenth of a pixel.
pub fn number(value: f64) -> String {
    let text = format!("{:.1}", if value.is_finite() { value } else { 0.0 });
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Text from outside, as the content of an element or an attribute.
pub fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in escape(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

/// The outline of lines and areas.
#[derive(Debug, Default)]
pub struct Shape {
    path: String,
}

impl Shape {
    /// A line through these points.
    pub fn line(&mut self, points: impl Iterator<Item = (f64, f64)>) {
        for (at, (x, y)) in points.enumerate() {
            let _ = write!(self.path, "{}{},{}", if at == 0 { 'M' } else { 'L' }, number(x), number(y));
        }
    }

    /// What these points surround.
    pub fn area(&mut self, points: impl Iterator<Item = (f64, f64)>) {
        self.line(points);
        self.path.push('Z');
    }

    /// As an attribute `d`.
    pub fn path(self) -> String {
        self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a141_nothing_in_a_text_is_markup() {
        let hostile = "</text><script>alert('x')</script>&\"\u{1b}[31m\n\u{202e}";
        let text = xml(hostile);
        assert!(!text.contains(['<', '>', '"', '\'', '\n', '\u{1b}', '\u{202e}']), "{text}");
        assert!(text.starts_with("&lt;/text&gt;&lt;script&gt;") && text.contains("&amp;&quot;"), "{text}");
    }

    #[test]
    fn a_path_is_short() {
        let mut shape = Shape::default();
        shape.line([(1.0, 2.04), (3.25, 4.0)].into_iter());
        shape.area([(0.0, 0.0), (1.0, 0.0)].into_iter());
        assert_eq!(shape.path(), "M1,2L3.2,4M0,0L1,0Z");
        assert_eq!((number(f64::NAN), number(-0.04)), ("0".to_owned(), "-0".to_owned()));
    }
}
