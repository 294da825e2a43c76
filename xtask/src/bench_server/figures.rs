//! Figures of one server over all runs.

use super::Measured;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All runs of one server, in their order: those of two servers can be compared run by run.
#[derive(Debug)]
pub struct Figures {
    /// The server.
    pub name: String,
    values: BTreeMap<&'static str, Vec<f64>>,
}

const PLAIN: [&str; 6] = ["replies_per_s", "p50_us", "p99_us", "p999_us", "lost", "interleaved"];

impl Figures {
    /// None yet.
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), values: BTreeMap::new() }
    }

    /// One more run.
    pub fn add(&mut self, run: &Measured) {
        let mut put = |name, value| self.values.entry(name).or_default().push(value);
        put("cpu", run.cpu_us_per_reply);
        for name in PLAIN {
            put(name, run.number(name));
        }
        for name in ["p01", "p50", "p99"] {
            put(name, run.said["t3_early_us"][name].as_f64().unwrap_or(f64::NAN));
        }
        put("interleaved_p50", run.said["interleaved_t3_early_us"]["p50"].as_f64().unwrap_or(f64::NAN));
    }

    fn list(&self, name: &str) -> &[f64] {
        self.values.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Median of one figure.
    pub fn median_of(&self, name: &str) -> f64 {
        median(self.list(name))
    }

    fn spread(&self, name: &str) -> [f64; 3] {
        spread(self.list(name))
    }

    /// Replies a second, in thousands: least, median, most.
    pub fn rates(&self) -> String {
        let [least, median, most] = self.spread("replies_per_s").map(|rate| rate / 1e3);
        format!("{least:.0}k/{median:.0}k/{most:.0}k")
    }

    /// CPU time a reply, microseconds: least, median, most.
    pub fn cpus(&self) -> String {
        let [least, median, most] = self.spread("cpu");
        format!("{least:.2}/{median:.2}/{most:.2}")
    }

    fn ratio(&self, other: &Self, name: &str) -> f64 {
        let pairs = self.list(name).iter().zip(other.list(name));
        median(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
    }

    /// CPU time a reply against another server's, run by run; the median.
    pub fn cpu_ratio(&self, other: &Self) -> f64 {
        self.ratio(other, "cpu")
    }

    /// Replies a second against another server's, run by run; the median.
    pub fn rate_ratio(&self, other: &Self) -> f64 {
        self.ratio(other, "replies_per_s")
    }

    /// One object.
    pub fn json(&self, floor: &Self) -> Value {
        json!({
            "server": self.name,
            "runs": self.list("cpu").len(),
            "replies_per_s": self.median_of("replies_per_s"),
            "replies_per_s_min_med_max": self.spread("replies_per_s"),
            "cpu_us_per_reply": self.median_of("cpu"),
            "cpu_us_min_med_max": self.spread("cpu"),
            "ratio_to_floor": self.cpu_ratio(floor),
            "rate_to_floor": self.rate_ratio(floor),
            "p99_us": self.median_of("p99_us"),
        })
    }
}

/// The least, the middle one and the most.
pub fn spread(list: &[f64]) -> [f64; 3] {
    let least = list.iter().copied().fold(f64::INFINITY, f64::min);
    let most = list.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [least, median(list), most]
}

/// The middle one; not a number for none.
pub fn median(list: &[f64]) -> f64 {
    let mut sorted = list.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert!(median(&[]).is_nan());
    }
}
