//! A real Prometheus that scrapes an exporter, and its answers to a dashboard's queries.

use super::HOST;
use bench::daemon::spawn;
use bench::programs::{Place, find_peer, free_port, wait_for};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds between scrapes: the exporter asks the daemon once a second at most.
pub const SCRAPE: u64 = 2;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running Prometheus; killed when dropped.
pub struct Prometheus {
    child: Child,
    _place: Place,
    address: SocketAddr,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    /// Times in seconds since 1970, and values.
    pub points: Vec<(f64, f64)>,
}

/// The times of a range.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub from: f64,
    pub until: f64,
    pub step: u64,
}

impl Range {
    /// The last seconds, in at most this many points, as Grafana chooses the step.
    pub fn last(seconds: u64, points: u64) -> Self {
        let until = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs() as f64);
        Self { from: until - seconds as f64, until, step: seconds.div_ceil(points).max(SCRAPE) }
    }

    /// Grafana's `$__rate_interval`.
    pub fn rate_interval(&self) -> String {
        format!("{}s", (self.step + SCRAPE).max(4 * SCRAPE))
    }
}

impl Prometheus {
    /// Of an exporter, whose address is not shown; `None`: Prometheus is not there.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(exporter: SocketAddr) -> Result<Option<Self>, String> {
        let Some(program) = find_peer("prometheus") else { return Ok(None) };
        let place = Place::new("prometheus");
        let file = place.join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: {SCRAPE}s, scrape_timeout: {SCRAPE}s }}\nscrape_configs:\n  - job_name: truechimer\n    \
             static_configs: [{{ targets: [\"{exporter}\"], labels: {{ instance: \"{HOST}:9975\" }} }}]\n"
        );
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", place.join("data").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--log.level=error");
        let child = spawn(command.current_dir(place.path()).stdin(Stdio::null()).stdout(Stdio::null()));
        let prometheus = Self { child, _place: place, address };
        let is_ready = || prometheus.get("/-/ready").is_ok().then_some(());
        wait_for(TIMEOUT, is_ready).ok_or("Prometheus is not ready after 30 s")?;
        Ok(Some(prometheus))
    }

    /// The values of a label of these series.
    ///
    /// # Errors
    /// If it does not understand the question.
    pub fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>, String> {
        let data = self.ask(&format!("label/{label}/values"), &[("match[]", selector)])?;
        let words = data.as_array().into_iter().flatten();
        Ok(words.filter_map(|word| word.as_str().map(str::to_owned)).collect())
    }

    /// What a query gives over a time.
    ///
    /// # Errors
    /// If it does not understand the query.
    pub fn over(&self, query: &str, range: Range) -> Result<Vec<Series>, String> {
        let (from, until, step) = (range.from.to_string(), range.until.to_string(), range.step.to_string());
        let parameters = [("query", query), ("start", &from), ("end", &until), ("step", &step)];
        series(&self.ask("query_range", &parameters)?)
    }

    /// What it gives at a time.
    ///
    /// # Errors
    /// As [`Self::over`].
    pub fn at(&self, query: &str, time: f64) -> Result<Vec<Series>, String> {
        series(&self.ask("query", &[("query", query), ("time", &time.to_string())])?)
    }

    fn ask(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        let text = self.get(&format!("/api/v1/{what}?{}", parameters.join("&")))?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(format!("{what}: {text}")) }
    }

    fn get(&self, path: &str) -> Result<String, String> {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            // HTTP/1.0: the answer comes in one piece.
            stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        let answer = ask().map_err(|error| format!("Prometheus: {error}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("Prometheus gives no answer")?;
        let is_right = head.split(' ').nth(1) == Some("200");
        if is_right { Ok(body.to_owned()) } else { Err(format!("Prometheus: {path}: {head}\n{body}")) }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For a URL.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => out.push(octet.into()),
            _ => drop(write!(out, "%{octet:02X}")),
        }
    }
    out
}

/// The series of an answer's `data`: `values` of a matrix, `value` of a vector.
fn series(data: &Value) -> Result<Vec<Series>, String> {
    let result = data["result"].as_array().ok_or_else(|| format!("no result: {data}"))?;
    let point = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse::<f64>().ok()?));
    let one = |entry: &Value| {
        let labels = entry["metric"].as_object().into_iter().flatten();
        let labels =
            labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let points = match entry["values"].as_array() {
            Some(values) => values.iter().map(point).collect(),
            None => Some(vec![point(&entry["value"])?]),
        };
        // What is not a number is not drawn.
        let points = points?.into_iter().filter(|(_, value)| value.is_finite()).collect();
        Some(Series { labels: labels.collect(), points })
    };
    let all: Option<Vec<Series>> = result.iter().map(one).collect();
    all.ok_or_else(|| format!("not understood: {data}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_and_vectors_are_read_and_what_is_no_number_is_left_out() {
        let data = |text: &str| series(&serde_json::from_str(text).expect("JSON"));
        let matrix = data(
            r#"{"resultType":"matrix","result":[{"metric":{"job":"j"},"values":[[1,"2"],[3.5,"NaN"],[4,"-1e-6"]]}]}"#,
        )
        .expect("understood");
        assert_eq!(matrix[0].labels["job"], "j");
        assert_eq!(matrix[0].points, [(1.0, 2.0), (4.0, -1e-6)]);
        let vector = data(r#"{"resultType":"vector","result":[{"metric":{},"value":[7,"16"]}]}"#);
        assert_eq!(vector.expect("understood")[0].points, [(7.0, 16.0)]);
        assert_eq!(data(r#"{"result":[]}"#), Ok(vec![]));
        assert!(data(r#"{"result":[{"metric":{},"value":[7]}]}"#).is_err() && data("{}").is_err());
    }

    #[test]
    fn a_query_is_escaped_for_a_url() {
        assert_eq!(escaped("a{b=~\"c\"} + 1"), "a%7Bb%3D~%22c%22%7D%20%2B%201".replace('~', "%7E"));
    }

    #[test]
    fn the_step_and_the_interval_of_rates_are_those_that_grafana_takes() {
        let day = Range { from: 0.0, until: 86_400.0, step: 60 };
        assert_eq!(day.rate_interval(), "62s");
        let minutes = Range::last(300, 150);
        assert_eq!((minutes.step, minutes.rate_interval().as_str()), (2, "8s"));
        assert_eq!((minutes.until - minutes.from, Range::last(900, 100).step), (300.0, 9));
    }
}
