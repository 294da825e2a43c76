//! The dashboard for Grafana, without Grafana: its file is read as Grafana reads it, Prometheus is asked each of its queries, and
//! the panels are drawn in their places.

use super::panel;
use super::prometheus::{Prometheus, Range, Series};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Panels that have nothing to show although all that can be is configured: none.
const EMPTY: [&str; 0] = [];
/// As many points as a narrow panel has pixels for.
const POINTS: u64 = 150;

/// A row's title or a panel.
#[derive(Clone, Debug)]
pub struct Panel {
    pub title: String,
    pub kind: String,
    pub place: Place,
    pub targets: Vec<Target>,
    pub unit: String,
    pub decimals: Option<usize>,
    /// The value from which a colour counts, in order; the first has none.
    pub thresholds: Vec<(Option<f64>, String)>,
    /// Text and colour of a value.
    pub mappings: BTreeMap<String, (String, String)>,
    pub least: Option<f64>,
    pub most: Option<f64>,
}

/// In columns and rows of Grafana's grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub x: u64,
    pub y: u64,
    pub w: u64,
    pub h: u64,
}

/// A query, and the name of its lines.
#[derive(Clone, Debug)]
pub struct Target {
    pub query: String,
    pub legend: String,
    /// Asked for now alone, not over the time of the dashboard.
    pub is_instant: bool,
}

/// A line with its name.
pub type Line = (String, Vec<(f64, f64)>);

/// Asks everything, and draws it; `sentence` stands above.
///
/// # Errors
/// If a query is not understood, its variables or labels are not there, or a panel has no data.
pub fn draw(file: &str, prometheus: &Prometheus, seconds: u64, sentence: &str) -> Result<String, String> {
    let dashboard: Value = serde_json::from_str(file).map_err(|error| error.to_string())?;
    let panels = panels(&dashboard)?;
    let range = Range::last(seconds, POINTS);
    let mut values = variables(&dashboard, prometheus)?;
    let chosen: Vec<String> =
        values.iter().map(|(name, value)| format!("{name} {}", value.replace('\\', ""))).collect();
    values.push(("__rate_interval".to_owned(), range.rate_interval()));
    let (mut out, mut faults) = (String::new(), Vec::new());
    for one in &panels {
        let mut lines: Vec<Line> = Vec::new();
        for target in &one.targets {
            let query =
                substituted(&target.query, &values).map_err(|fault| format!("{}: {fault}", one.title))?;
            let answer = match target.is_instant {
                true => prometheus.at(&query, range.until),
                false => prometheus.over(&query, range),
            };
            let answer = answer.map_err(|fault| format!("{}: {fault}", one.title))?;
            if answer.iter().all(|series| series.points.is_empty()) && !EMPTY.contains(&one.title.as_str()) {
                faults.push(format!("{}: nothing for {query}", one.title));
            }
            for series in answer {
                let name =
                    named(&target.legend, &series).map_err(|fault| format!("{}: {fault}", one.title))?;
                lines.push((name, series.points));
            }
        }
        let _ = writeln!(out, "{}", panel::draw(one, &lines, (range.from, range.until)));
    }
    if !faults.is_empty() {
        return Err(format!("the dashboard:\n{}", faults.join("\n")));
    }
    let rows = panels.iter().map(|panel| panel.place.y + panel.place.h).max().unwrap_or(0);
    let title = dashboard["title"].as_str().unwrap_or_default();
    Ok(panel::whole(&format!("{title}: {}", chosen.join(", ")), sentence, rows, &out))
}

/// The panels, from the top to the bottom as the file has them.
fn panels(dashboard: &Value) -> Result<Vec<Panel>, String> {
    let all = dashboard["panels"].as_array().filter(|panels| !panels.is_empty());
    all.ok_or("no panels")?.iter().map(panel_of).collect()
}

fn panel_of(value: &Value) -> Result<Panel, String> {
    let title = value["title"].as_str().ok_or("a panel without a title")?.to_owned();
    let of_place =
        |name: &str| value["gridPos"][name].as_u64().ok_or_else(|| format!("{title}: gridPos has no {name}"));
    let place = Place { x: of_place("x")?, y: of_place("y")?, w: of_place("w")?, h: of_place("h")? };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = |target: &Value| Target {
        query: text(&target["expr"]),
        legend: text(&target["legendFormat"]),
        is_instant: target["instant"] == true,
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let of_field = &value["fieldConfig"]["defaults"];
    let steps = list(&of_field["thresholds"]["steps"]);
    let mut mappings = BTreeMap::new();
    for mapping in list(&of_field["mappings"]) {
        for (value, shown) in mapping["options"].as_object().into_iter().flatten() {
            mappings.insert(value.clone(), (text(&shown["text"]), text(&shown["color"])));
        }
    }
    Ok(Panel {
        kind: text(&value["type"]),
        place,
        targets: list(&value["targets"]).iter().map(target).collect(),
        unit: text(&of_field["unit"]),
        decimals: of_field["decimals"].as_u64().map(|count| count as usize),
        thresholds: steps.iter().map(|step| (step["value"].as_f64(), text(&step["color"]))).collect(),
        mappings,
        least: of_field["min"].as_f64(),
        most: of_field["max"].as_f64(),
        title,
    })
}

/// The variables of queries with all of their values, as Grafana puts them into a query for Prometheus.
fn variables(dashboard: &Value, prometheus: &Prometheus) -> Result<Vec<(String, String)>, String> {
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        if variable["type"] != "query" {
            continue;
        }
        let name = variable["name"].as_str().unwrap_or_default();
        let query = substituted(variable["query"]["query"].as_str().unwrap_or_default(), &known)?;
        let (selector, label) =
            label_values(&query).ok_or_else(|| format!("{name}: not understood: {query}"))?;
        let values = prometheus.label_values(selector, label)?;
        if values.is_empty() {
            return Err(format!("the variable {name} has no value: {query}"));
        }
        known.push((name.to_owned(), all_of(&values)));
    }
    Ok(known)
}

/// The parts of `label_values(series, label)`.
fn label_values(query: &str) -> Option<(&str, &str)> {
    let (selector, label) = query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(',')?;
    Some((selector.trim(), label.trim()))
}

/// A regular expression of these values, within a string.
fn all_of(values: &[String]) -> String {
    let escape = |value: &String| {
        let mut out = String::new();
        for sign in value.chars() {
            if "\\^$*+?.()|[]{}".contains(sign) {
                out.push_str("\\\\");
            }
            out.push(sign);
        }
        out
    };
    let values: Vec<String> = values.iter().map(escape).collect();
    if let [one] = values.as_slice() { one.clone() } else { format!("({})", values.join("|")) }
}

/// A query with the values of its variables, `$name` or `${name}`.
fn substituted(query: &str, variables: &[(String, String)]) -> Result<String, String> {
    let mut parts = query.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{') {
            Some(part) => part.split_once('}').ok_or_else(|| format!("a brace is open: {query}"))?,
            None => {
                let end = part.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
                part.split_at(end.unwrap_or(part.len()))
            }
        };
        match variables.iter().find(|(known, _)| known == name) {
            Some((_, value)) => out += value,
            None if name.is_empty() => out.push('$'),
            None => return Err(format!("there is no variable {name}: {query}")),
        }
        out += rest;
    }
    Ok(out)
}

/// The name of a line: its labels in a legend's `{{label}}`.
fn named(legend: &str, series: &Series) -> Result<String, String> {
    let mut parts = legend.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (label, rest) = part.split_once("}}").ok_or_else(|| format!("a brace is open: {legend}"))?;
        let value = series.labels.get(label.trim());
        out += value.ok_or_else(|| format!("the legend names {label}, and the answer has no such label"))?;
        out += rest;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Vec<Panel> {
        let file = bench::tree::read("packaging/monitoring/truechimer.dashboard.json");
        panels(&serde_json::from_str(&file).expect("it is JSON")).expect("it is a dashboard")
    }

    #[test]
    fn variables_are_put_into_a_query_and_an_unknown_one_is_a_fault() {
        let known = [("job", "j"), ("instance", "(a\\\\.b|c)"), ("__rate_interval", "8s")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let put = |query: &str| substituted(query, &known);
        assert_eq!(
            put("rate(m{job=~\"$job\",instance=~\"${instance}\",x=~\"a$\"}[$__rate_interval])").as_deref(),
            Ok("rate(m{job=~\"j\",instance=~\"(a\\\\.b|c)\",x=~\"a$\"}[8s])")
        );
        assert_eq!(put("m{job=\"$jobs\"}"), Err("there is no variable jobs: m{job=\"$jobs\"}".to_owned()));
        assert!(put("m{job=\"${job\"").is_err());
        assert_eq!(all_of(&["a.b:9".to_owned()]), "a\\\\.b:9");
        assert_eq!(all_of(&["a.b".to_owned(), "c".to_owned()]), "(a\\\\.b|c)");
        assert_eq!(label_values("label_values(up{a=\"b,c\"}, d)"), Some(("up{a=\"b,c\"}", "d")));
        assert_eq!(label_values("up"), None);
    }

    #[test]
    fn a_legend_has_the_labels_of_its_line_and_one_that_is_not_there_is_a_fault() {
        let labels = [("source".to_owned(), "a".to_owned()), ("reason".to_owned(), "b".to_owned())].into();
        let series = Series { labels, points: Vec::new() };
        assert_eq!(named("x {{source}} {{ reason }}!", &series).as_deref(), Ok("x a b!"));
        assert!(named("{{state}}", &series).is_err() && named("{{source", &series).is_err());
    }

    #[test]
    fn panels_of_our_dashboard_have_places_that_do_not_overlap_and_the_fields_that_are_drawn() {
        let panels = ours();
        assert!(panels.len() > 20);
        let mut taken = std::collections::BTreeSet::new();
        for panel in &panels {
            let Place { x, y, w, h } = panel.place;
            assert!(x + w <= 24, "{}", panel.title);
            let mut cells = (x..x + w).flat_map(|column| (y..y + h).map(move |row| (column, row)));
            assert!(cells.all(|cell| taken.insert(cell)), "{} overlaps another panel", panel.title);
            assert!(["row", "stat", "timeseries", "state-timeline"].contains(&panel.kind.as_str()));
            assert_eq!(panel.targets.is_empty(), panel.kind == "row", "{}", panel.title);
        }
        let find = |title: &str| panels.iter().find(|panel| panel.title == title).expect(title);
        assert_eq!(find("Synchronised").place, Place { x: 4, y: 1, w: 4, h: 4 });
        assert_eq!(find("Synchronised").mappings["0"], ("no".to_owned(), "red".to_owned()));
        assert_eq!(find("Stratum").thresholds, [(None, "green".to_owned()), (Some(16.0), "red".to_owned())]);
        assert_eq!((find("NTS cookies").least, find("NTS cookies").most), (Some(0.0), Some(8.0)));
        assert_eq!((find("Delay").unit.as_str(), find("Steps in 24 hours").decimals), ("s", Some(0)));
    }

    #[test]
    fn a_single_value_is_that_of_now_and_not_the_last_one_of_a_day_ago() {
        for panel in ours() {
            let is_stat = panel.kind == "stat";
            for target in &panel.targets {
                assert_eq!(target.is_instant, is_stat, "{}: {}", panel.title, target.query);
            }
        }
    }
}
