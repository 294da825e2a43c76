//! The results of a load.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts, and the times of some of the replies.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests that the kernel accepted.
    pub sent: u64,
    /// Requests that it refused.
    pub refused: u64,
    /// Valid replies.
    pub good: u64,
    /// The interleaved ones among them.
    pub interleaved: u64,
    /// Kisses: RATE.
    pub kisses: u64,
    /// Requests without an answer in time.
    pub lost: u64,
    /// Datagrams that do not answer a request of ours (any more).
    pub strange: u64,
    /// Invalid replies, by fault.
    pub wrong: BTreeMap<&'static str, u64>,
    /// The duration.
    pub elapsed: Duration,
    latencies: Vec<i64>,
    stamp_errors: Vec<i64>,
    departures: Vec<i64>,
    turn: u64,
}

/// Most times that are kept of each kind.
const KEPT: usize = 1 << 20;

impl Tally {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            sent: 0,
            refused: 0,
            good: 0,
            interleaved: 0,
            kisses: 0,
            lost: 0,
            strange: 0,
            wrong: BTreeMap::new(),
            elapsed: Duration::ZERO,
            latencies: Vec::new(),
            stamp_errors: Vec::new(),
            departures: Vec::new(),
            turn: 0,
        }
    }

    pub(super) fn bad(&mut self, what: &'static str) {
        *self.wrong.entry(what).or_default() += 1;
    }

    pub(super) fn latency(&mut self, nanos: i64) {
        self.turn += 1;
        if self.latencies.len() < KEPT {
            self.latencies.push(nanos);
        } else {
            let place = (self.turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44) as usize;
            self.latencies[place] = nanos;
        }
    }

    pub(super) fn stamp_error(&mut self, nanos: i64) {
        if self.stamp_errors.len() < KEPT {
            self.stamp_errors.push(nanos);
        } else {
            let place = (self.turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44) as usize;
            self.stamp_errors[place] = nanos;
        }
    }

    pub(super) fn departure(&mut self, left: i64, arrived: u64) {
        if self.departures.len() < KEPT {
            self.departures.push(arrived as i64 - left);
        }
    }

    /// Replies a second.
    pub fn rate(&self) -> f64 {
        self.good as f64 / self.elapsed.as_secs_f64()
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let micros = |list: &[i64], part: f64| percentile(list, part).map(|nanos| nanos as f64 / 1e3);
        json!({
            "sent": self.sent,
            "refused": self.refused,
            "good": self.good,
            "interleaved": self.interleaved,
            "kisses": self.kisses,
            "lost": self.lost,
            "strange": self.strange,
            "wrong": self.wrong,
            "seconds": self.elapsed.as_secs_f64(),
            "replies_per_s": self.rate(),
            "p50_us": micros(&self.latencies, 0.5),
            "p99_us": micros(&self.latencies, 0.99),
            "p999_us": micros(&self.latencies, 0.999),
            "t3_early_us": {
                "p01": micros(&self.stamp_errors, 0.01),
                "p50": micros(&self.stamp_errors, 0.5),
                "p99": micros(&self.stamp_errors, 0.99),
            },
            "interleaved_t3_early_us": {
                "p01": micros(&self.departures, 0.01),
                "p50": micros(&self.departures, 0.5),
                "p99": micros(&self.departures, 0.99),
            },
        })
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// The value at this fraction of all sorted values.
pub fn percentile(list: &[i64], part: f64) -> Option<i64> {
    let mut sorted = list.to_vec();
    let last = sorted.len().checked_sub(1)?;
    let at = ((last as f64) * part).round() as usize;
    Some(*sorted.select_nth_unstable(at.min(last)).1)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_of_the_list() {
        let list: Vec<i64> = (0..=1000).rev().collect();
        assert_eq!(percentile(&list, 0.5), Some(500));
        assert_eq!(percentile(&list, 0.999), Some(999));
        assert_eq!(percentile(&list, 1.0), Some(1000));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
