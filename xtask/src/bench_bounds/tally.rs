//! What was read, and what it was worth.

use serde_json::{Value, json};

/// Of one daemon in one scenario.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers of all kinds.
    pub reads: u64,
    /// Intervals with true time in them.
    pub held: u64,
    /// Intervals without it.
    pub wrong: u64,
    /// Answers that promise nothing.
    pub none: u64,
    /// Of the intervals, nanoseconds.
    widths: Vec<i64>,
    /// How far true time was outside of one at most, nanoseconds.
    farthest: i64,
    /// Seconds after the event of the first and the last wrong one.
    when: Option<(f64, f64)>,
}

impl Tally {
    /// An interval, and true time before and after it was read, all in nanoseconds since 1970.
    pub fn interval(&mut self, (earliest, latest): (i64, i64), (before, after): (i64, i64), at_s: f64) {
        self.reads += 1;
        self.widths.push(latest - earliest);
        let outside = (earliest - after).max(before - latest);
        if outside <= 0 {
            self.held += 1;
            return;
        }
        self.wrong += 1;
        self.farthest = self.farthest.max(outside);
        self.when = Some((self.when.map_or(at_s, |(first, _)| first), at_s));
    }

    /// An answer that promises nothing.
    pub fn nothing(&mut self) {
        self.reads += 1;
        self.none += 1;
    }

    /// The width that this share of the intervals does not exceed, microseconds; 0 if there was none.
    pub fn width(&self, share: f64) -> f64 {
        let mut sorted = self.widths.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((last as f64 * share) as usize).map_or(0.0, |width| *width as f64 * 1e-3)
    }

    /// How far off the wrong ones were, and when; empty if none was wrong.
    pub fn fault(&self) -> String {
        self.when.map_or_else(String::new, |(first, last)| {
            format!("{:.3} ms, {first:.1} s to {last:.1} s", self.farthest as f64 * 1e-6)
        })
    }

    /// All of it.
    pub fn json(&self) -> Value {
        json!({
            "reads": self.reads,
            "held": self.held,
            "wrong": self.wrong,
            "none": self.none,
            "width_us": { "median": self.width(0.5), "most": self.width(1.0) },
            "farthest_ms": self.farthest as f64 * 1e-6,
            "wrong_s": self.when,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_if_true_time_was_in_it_at_some_moment_of_the_read() {
        let mut tally = Tally::default();
        tally.interval((100, 200), (150, 160), 0.0);
        tally.interval((100, 200), (200, 210), 0.0);
        tally.interval((100, 200), (90, 100), 0.0);
        assert_eq!((tally.held, tally.wrong, tally.fault()), (3, 0, String::new()));
        tally.interval((100, 200), (201, 210), 1.0);
        tally.interval((100, 300), (60, 70), 2.0);
        tally.nothing();
        assert_eq!((tally.reads, tally.held, tally.wrong, tally.none), (6, 3, 2, 1));
        assert_eq!((tally.farthest, tally.when), (30, Some((1.0, 2.0))));
        assert_eq!((tally.width(0.5), tally.width(1.0)), (0.1, 0.2));
    }
}
