//! The picture as a page for a browser: in two widths, of which the browser shows the one that fits, and nothing is loaded
//! from anywhere.

use super::Drawing;
use super::svg::{Picture, STYLE};
use crate::status::{bound, offset};
use crate::text::{plain, ppm};
use drawing::shape::xml;

/// The pictures' widths in pixels, and names.
const WIDTHS: [(f64, &str); 2] = [(380.0, "narrow"), (1120.0, "wide")];

/// Of the page around them.
const PAGE: &str = "\
:root{color-scheme:light dark}body{margin:0 auto;padding:8px;max-width:1136px;font:16px/1.45 system-ui,sans-serif;\
background:#fff;color:#1b1b1b}h1{font-size:1.3em;margin:.3em 0}p{margin:.3em 0}svg{display:block;width:100%;height:auto}\
table{border-collapse:collapse}th{text-align:left;font-weight:normal;color:#555;padding:.1em 1em .1em 0;vertical-align:top}\
svg.wide{display:none}@media(min-width:760px){svg.wide{display:block}svg.narrow{display:none}}\
@media(prefers-color-scheme:dark){body{background:#14171a;color:#eee}th{color:#aaa}}";

impl Drawing {
    pub(super) fn page(&self) -> String {
        let clock = &self.clock;
        let known = |text: String| if clock.last_update_s.is_some() { text } else { "-".to_owned() };
        let rows = [
            ("state", plain(clock.state.as_ref())),
            ("offset now", known(offset(clock.offset_s))),
            ("error bound", known(bound(clock))),
            (
                "frequency",
                format!("{} ± {}", ppm(clock.frequency_ppm, false), ppm(clock.frequency_error_ppm, false)),
            ),
            ("reference", plain(clock.reference.as_ref())),
            ("steps", plain(clock.steps.as_ref())),
            ("refusals", plain(clock.refusals.as_ref())),
        ];
        let rows: String = rows
            .iter()
            .map(|(name, value)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", xml(value)))
            .collect();
        let pictures: String = WIDTHS
            .into_iter()
            .map(|(width, id)| Picture { width, id, title: None, lines: &[], course: &self.course }.draw())
            .collect();
        let (title, sentence, since) = (xml(&self.title), xml(&self.sentence), xml(&self.since));
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n\
             <title>{title}</title>\n<style>\n{PAGE}\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{sentence}</p>\n\
             {pictures}<table>\n{rows}</table>\n<p>{since}</p>\n</body>\n</html>\n"
        )
    }
}
