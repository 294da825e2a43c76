//! A page of samples, in the two text formats that monitoring systems read.

use crate::metric::{Kind, Metric};
use ipc::text::escape;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The longest value of a label in characters. A host name has 253.
const MAX_LABEL: usize = 300;

/// The most samples of one metric: 32 sources with all reasons why a reply is not used. What comes behind them is left out.
const MAX_SAMPLES: usize = 1024;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of Content-Type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Labels and their values. Values may be anything.
pub type Labels<'l> = [(&'static str, &'l str)];

/// The samples of one moment. No two of them have the same name and labels, whatever is put in: a monitoring system would
/// refuse the whole page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    samples: BTreeMap<Metric, Vec<(String, String)>>,
    labels: BTreeSet<(Metric, String)>,
}

impl Page {
    /// Adds a number. What is unknown (`None`) or no number was never measured, and is left out.
    pub fn number(&mut self, metric: Metric, labels: &Labels<'_>, value: Option<f64>) {
        // -0 is 0.
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.add(metric, labels, (value + 0.0).to_string());
        }
    }

    /// Adds a count.
    pub fn count(&mut self, metric: Metric, labels: &Labels<'_>, value: Option<u64>) {
        if let Some(value) = value {
            self.add(metric, labels, value.to_string());
        }
    }

    /// Adds 1 for what is so, 0 for what is not.
    pub fn flag(&mut self, metric: Metric, labels: &Labels<'_>, value: Option<bool>) {
        self.count(metric, labels, value.map(u64::from));
    }

    /// Adds 1 for what the labels say.
    pub fn says(&mut self, metric: Metric, labels: &Labels<'_>) {
        self.count(metric, labels, Some(1));
    }

    fn add(&mut self, metric: Metric, labels: &Labels<'_>, value: String) {
        let labels = written(labels);
        let samples = self.samples.entry(metric).or_default();
        if samples.len() < MAX_SAMPLES && self.labels.insert((metric, labels.clone())) {
            samples.push((labels, value));
        }
    }

    /// The page as text.
    pub fn write(&self, format: Format) -> String {
        let mut text = String::new();
        for (metric, samples) in &self.samples {
            let (name, help) = (metric.name(), metric.help());
            // In OpenMetrics a family has the name of its samples without their suffix.
            let (family, kind) = match (format, metric.kind()) {
                (Format::OpenMetrics, Kind::Info) => (metric.family(), "info"),
                (Format::OpenMetrics, Kind::Counter) => (metric.family(), "counter"),
                (_, Kind::Counter) => (name, "counter"),
                (_, Kind::Gauge | Kind::Info) => (name, "gauge"),
            };
            let _ = writeln!(text, "# HELP {family} {help}");
            let _ = writeln!(text, "# TYPE {family} {kind}");
            if let (Format::OpenMetrics, Some(unit)) = (format, metric.unit()) {
                let _ = writeln!(text, "# UNIT {family} {unit}");
            }
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

/// `{name="value",…}`; empty without labels.
fn written(labels: &Labels<'_>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        text.push(if text.is_empty() { '{' } else { ',' });
        let _ = write!(text, "{name}=\"");
        // On one line and printable; what that leaves of these two would end the value.
        for character in escape(value).chars().take(MAX_LABEL) {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::default();
        page.count(Metric::Steps, &[], Some(2));
        page.flag(Metric::Up, &[], Some(true));
        page.number(Metric::Frequency, &[], Some(-12.5 / 1e6));
        page.says(Metric::Build, &[("version", "0.1.0")]);
        page
    }

    #[test]
    fn both_formats_are_written_in_the_order_of_the_list() {
        assert_eq!(
            page().write(Format::Text),
            "# HELP truechimer_up Whether the daemon answered: 1 or 0\n\
             # TYPE truechimer_up gauge\n\
             truechimer_up 1\n\
             # HELP truechimer_build_info The version of the daemon\n\
             # TYPE truechimer_build_info gauge\n\
             truechimer_build_info{version=\"0.1.0\"} 1\n\
             # HELP truechimer_frequency_ratio Correction of the oscillator that is in force; positive: the clock is made faster\n\
             # TYPE truechimer_frequency_ratio gauge\n\
             truechimer_frequency_ratio -0.0000125\n\
             # HELP truechimer_steps_total Steps that the daemon made\n\
             # TYPE truechimer_steps_total counter\n\
             truechimer_steps_total 2\n"
        );
        assert_eq!(
            page().write(Format::OpenMetrics),
            "# HELP truechimer_up Whether the daemon answered: 1 or 0\n\
             # TYPE truechimer_up gauge\n\
             truechimer_up 1\n\
             # HELP truechimer_build The version of the daemon\n\
             # TYPE truechimer_build info\n\
             truechimer_build_info{version=\"0.1.0\"} 1\n\
             # HELP truechimer_frequency_ratio Correction of the oscillator that is in force; positive: the clock is made faster\n\
             # TYPE truechimer_frequency_ratio gauge\n\
             # UNIT truechimer_frequency_ratio ratio\n\
             truechimer_frequency_ratio -0.0000125\n\
             # HELP truechimer_steps Steps that the daemon made\n\
             # TYPE truechimer_steps counter\n\
             truechimer_steps_total 2\n\
             # EOF\n"
        );
    }

    #[test]
    fn what_was_never_measured_is_not_there() {
        let mut page = Page::default();
        for value in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
            page.number(Metric::Offset, &[], value);
        }
        page.count(Metric::Steps, &[], None);
        page.flag(Metric::Up, &[], None);
        assert_eq!(page.write(Format::Text), "");
        page.number(Metric::Offset, &[], Some(-0.0));
        assert!(page.write(Format::Text).ends_with("\ntruechimer_offset_seconds 0\n"));
    }

    #[test]
    fn no_value_of_a_label_ends_it_or_begins_a_line() {
        for (value, expected) in [
            ("plain.example:123", "plain.example:123"),
            ("say \"hello\"", "say \\\"hello\\\""),
            ("c:\\new", "c:\\\\new"),
            ("\\\"", "\\\\\\\""),
            ("a\nb", "a\\\\nb"),
            ("\u{1b}[2J\u{202e}", "\\\\u{1b}[2J\\\\u{202e}"),
            ("größe", "größe"),
            ("", ""),
        ] {
            assert_eq!(written(&[("name", value)]), format!("{{name=\"{expected}\"}}"));
        }
        assert_eq!(written(&[("a", "1"), ("b", "2")]), "{a=\"1\",b=\"2\"}");
        assert_eq!(written(&[]), "");
        let long = written(&[("name", &"é".repeat(10_000))]);
        assert_eq!(long.chars().count(), MAX_LABEL + "{name=\"\"}".len());
    }

    #[test]
    fn no_sample_is_there_twice_and_there_are_not_endlessly_many() {
        let mut page = Page::default();
        page.count(Metric::SourceReach, &[("source", "a")], Some(1));
        page.count(Metric::SourceReach, &[("source", "a")], Some(2));
        page.count(Metric::SourceQueries, &[("source", "a")], Some(3));
        let text = page.write(Format::Text);
        assert_eq!(text.matches("{source=\"a\"}").count(), 2, "{text}");
        assert!(text.contains("truechimer_source_reach{source=\"a\"} 1\n"), "the first: {text}");
        for number in 0..5000 {
            page.count(Metric::SourceReach, &[("source", &number.to_string())], Some(1));
        }
        assert_eq!(page.write(Format::Text).matches("truechimer_source_reach{").count(), MAX_SAMPLES);
    }
}
