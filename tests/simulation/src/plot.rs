//! A day as a picture: error, estimate and bound.

use crate::figures::Second;
use core::fmt::Write;

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 600.0;
const MARGIN: f64 = 60.0;
/// This many points are drawn of each line.
const POINTS: usize = 2_400;

/// An SVG of the seconds after `from`: the bound as a band, three standard deviations as a darker one, the
/// clock's true error as a line (all as errors of the clock, so that the truth is inside the band).
pub fn draw(name: &str, seconds: &[Second], from: f64) -> String {
    let step = (seconds.len() / POINTS).max(1);
    let shown: Vec<&Second> = seconds.iter().filter(|s| s.at >= from).step_by(step).collect();
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return String::new() };
    let mut high = 1e-9f64;
    for second in &shown {
        high = high.max(second.error.abs());
        if let Some(bounds) = second.bounds {
            high = high.max((bounds.offset.abs() + 3.0 * bounds.deviation).min(1.0));
        }
    }
    // The band may be far wider than everything in it; it is cut off at the picture's edge.
    high *= 1.5;
    let x = |at: f64| MARGIN + (at - first.at) / (last.at - first.at).max(1.0) * (WIDTH - 2.0 * MARGIN);
    let y = |error: f64| HEIGHT / 2.0 - error.clamp(-high, high) / high * (HEIGHT / 2.0 - MARGIN);
    let band = |low: &dyn Fn(&Second) -> Option<f64>, top: &dyn Fn(&Second) -> Option<f64>| {
        let mut points = String::new();
        for second in &shown {
            if let Some(error) = low(second) {
                let _ = write!(points, "{:.1},{:.1} ", x(second.at), y(error));
            }
        }
        for second in shown.iter().rev() {
            if let Some(error) = top(second) {
                let _ = write!(points, "{:.1},{:.1} ", x(second.at), y(error));
            }
        }
        points
    };
    let hard = band(&|s| Some(-s.bounds?.high), &|s| Some(-s.bounds?.low));
    let likely = band(&|s| s.bounds.map(|b| -b.offset - 3.0 * b.deviation), &|s| {
        s.bounds.map(|b| -b.offset + 3.0 * b.deviation)
    });
    let mut truth = String::new();
    for second in &shown {
        let _ = write!(truth, "{:.1},{:.1} ", x(second.at), y(second.error));
    }
    let unit = high * 1e6;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
         <polygon points=\"{hard}\" fill=\"#dbe9f6\"/>\n\
         <polygon points=\"{likely}\" fill=\"#9ecae1\"/>\n\
         <line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{}\" y2=\"{}\" stroke=\"#888\"/>\n\
         <polyline points=\"{truth}\" fill=\"none\" stroke=\"#b2182b\"/>\n\
         <text x=\"{MARGIN}\" y=\"24\">{name}: error of the clock (line), three standard deviations, hard bound</text>\n\
         <text x=\"4\" y=\"{}\">+{unit:.0} µs</text>\n<text x=\"4\" y=\"{}\">−{unit:.0} µs</text>\n\
         <text x=\"{MARGIN}\" y=\"{}\">{:.1} h</text>\n<text x=\"{}\" y=\"{}\">{:.1} h</text>\n</svg>\n",
        WIDTH - MARGIN,
        HEIGHT / 2.0,
        HEIGHT / 2.0,
        MARGIN - 6.0,
        HEIGHT - MARGIN + 16.0,
        HEIGHT - 20.0,
        first.at / 3600.0,
        WIDTH - 2.0 * MARGIN,
        HEIGHT - 20.0,
        last.at / 3600.0,
    )
}
