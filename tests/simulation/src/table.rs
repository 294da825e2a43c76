//! Many days as one line each.

use crate::figures::{Figures, Standstill, median};
use crate::scenario::Scenario;
use core::fmt::Write;
use serde::Serialize;

/// The error may be larger than three published deviations for this share of the day.
const MOST_BEYOND: f64 = 0.01;

/// The results of several seeds of one scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario.
    pub scenario: Scenario,
    /// One result for each seed.
    pub figures: Vec<Figures>,
}

/// As JSON, one object a scenario; medians over seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its name.
    pub scenario: String,
    /// Microseconds.
    pub time_rms_us: f64,
    /// Of the estimate, microseconds.
    pub estimate_rms_us: f64,
    /// Parts per million.
    pub freq_rms_ppm: f64,
    /// In total.
    pub packets: f64,
    /// Seconds; a day without such a second gives 1e9.
    pub first_s: f64,
    /// Seconds.
    pub bound_violations: f64,
    /// Median width of the bound, microseconds.
    pub bound_width_us: f64,
    /// Seconds outside of the likely interval, most of all seeds.
    pub unlikely: f64,
    /// Its median width, microseconds.
    pub likely_width_us: f64,
    /// Seconds outside of what it would be if both ways of each path took equally long, most of all seeds.
    pub not_symmetric: f64,
    /// Its median width, microseconds.
    pub symmetric_width_us: f64,
    /// The same by the rule of root distance.
    pub rule_width_us: f64,
    /// Largest error after the start, microseconds.
    pub worst_us: f64,
    /// Number of seeds.
    pub seeds: usize,
}

impl Row {
    /// Median over the seeds.
    pub fn median(&self, value: impl Fn(&Figures) -> f64) -> f64 {
        median(self.figures.iter().map(value).collect())
    }

    /// Lowest and highest.
    pub fn range(&self, value: impl Fn(&Figures) -> f64) -> (f64, f64) {
        self.figures
            .iter()
            .map(value)
            .fold((f64::INFINITY, 0.0), |(low, high), value| (low.min(value), high.max(value)))
    }

    /// For programs.
    pub fn summary(&self) -> Summary {
        Summary {
            scenario: self.scenario.name.clone(),
            time_rms_us: self.median(|f| f.time_rms_us),
            estimate_rms_us: self.median(|f| f.estimate_rms_us),
            freq_rms_ppm: self.median(|f| f.freq_rms_ppm),
            packets: self.median(|f| f.packets),
            first_s: self.median(|f| f.first_s).min(1e9),
            bound_violations: self.median(|f| f.bound_violations),
            bound_width_us: self.median(|f| f.bound_width_us),
            unlikely: self.range(|f| f.unlikely).1,
            likely_width_us: self.median(|f| f.likely_width_us),
            not_symmetric: self.range(|f| f.not_symmetric).1,
            symmetric_width_us: self.median(|f| f.symmetric_width_us),
            rule_width_us: self.median(|f| f.rule_width_us),
            worst_us: self.median(|f| f.worst_us),
            seeds: self.figures.len(),
        }
    }

    /// The requirements that are not met; empty: all are met.
    pub fn misses(&self) -> Vec<String> {
        let mut misses = Vec::new();
        let scenario = &self.scenario;
        let time = self.median(|f| f.time_rms_us);
        let goal = scenario.goal.or(scenario.chrony.map(|[time, ..]| time / 2.0));
        if let Some(goal) = goal.filter(|goal| time > *goal) {
            misses.push(format!("time {:.2} × the goal of {goal:.1} µs", time / goal));
        }
        if let Some([_, frequency, packets]) = scenario.chrony.filter(|_| scenario.poll.is_none()) {
            let sources = self.median(|f| f.sources as f64);
            let (ours, most) = (self.median(|f| f.packets), packets.max(360.0 * sources));
            if ours > most {
                misses.push(format!("{ours:.0} packets instead of {most:.0}"));
            }
            let ours = self.median(|f| f.freq_rms_ppm);
            if ours > frequency {
                misses.push(format!("frequency {:.2} × chrony's", ours / frequency));
            }
            if self.median(|f| f.first_s) > 2.0 {
                misses.push("first after more than 2 s".into());
            }
        }
        let violations = self.range(|f| f.bound_violations).1;
        if scenario.honest && violations > 0.0 {
            let first = self.figures.iter().map(|f| f.violated_at).fold(f64::INFINITY, f64::min);
            misses.push(format!("{violations:.0} s outside the bound, first after {first:.0} s"));
        }
        let unlikely = self.range(|f| f.unlikely).1;
        if scenario.honest && unlikely > 0.0 {
            misses.push(format!("{unlikely:.0} s outside the likely interval"));
        }
        // One source alone cannot show that its path is asymmetric.
        let beyond = self.median(|f| f.beyond_three);
        if scenario.honest && self.median(|f| f.sources as f64) > 1.0 && beyond > MOST_BEYOND {
            misses.push(format!("{:.1} % of the day beyond three deviations", 100.0 * beyond));
        }
        let worst = self.range(|f| f.worst_us).1;
        if let Some(most) = scenario.worst.filter(|most| worst > most * 1e6) {
            misses.push(format!("an error of {worst:.0} µs, more than {:.0}", most * 1e6));
        }
        if !scenario.states.is_empty() {
            let wrong = self.figures.iter().find(|f| !alike(&f.states, &scenario.states));
            if let Some(wrong) = wrong {
                misses.push(format!("states {:?}", wrong.states));
            }
        }
        misses
    }

    /// What followed the machine's standing still: medians and worst over all of them.
    fn standstills(&self) -> Option<String> {
        let all: Vec<&Standstill> = self.figures.iter().flat_map(|f| &f.standstills).collect();
        let of = |value: fn(&Standstill) -> f64| -> String {
            let values: Vec<f64> = all.iter().map(|it| value(it)).collect();
            let worst = values.iter().copied().fold(0.0, f64::max);
            format!("{:.0} ({worst:.0})", median(values))
        };
        (!all.is_empty()).then(|| {
            format!(
                "stood still: first reply after {} s, within 10 ms after {} s, 1 ms {} s; outside {} s before it, {} s after",
                of(|it| it.shown),
                of(|it| it.within_10_ms),
                of(|it| it.within_1_ms),
                of(|it| it.outside[0].into()),
                of(|it| it.outside[1].into()),
            )
        })
    }

    /// For people: one line, and another one if a requirement is missed.
    pub fn line(&self) -> String {
        let mut line = String::new();
        let (low, high) = self.range(|f| f.time_rms_us);
        let time = self.median(|f| f.time_rms_us);
        let _ = write!(
            line,
            "{:<34} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>8.3} {:>6.0} {:>6.1} {:>5.0} {:>9.0} {:>5.0} {:>9.0} {:>5.0} {:>9.0} {:>9.0} {:>5.1}",
            self.scenario.name,
            time,
            low,
            high,
            self.median(|f| f.estimate_rms_us),
            self.median(|f| f.freq_rms_ppm),
            self.median(|f| f.packets),
            self.median(|f| f.first_s).min(9_999.0),
            self.range(|f| f.bound_violations).1,
            self.median(|f| f.bound_width_us),
            self.range(|f| f.unlikely).1,
            self.median(|f| f.likely_width_us),
            self.range(|f| f.not_symmetric).1,
            self.median(|f| f.symmetric_width_us),
            self.median(|f| f.rule_width_us),
            100.0 * self.median(|f| f.beyond_three),
        );
        if let Some([chrony, frequency, packets]) = self.scenario.chrony {
            let _ = write!(line, "  {chrony:>7.1} {frequency:>6.3} {packets:>5.0} {:>5.2}", time / chrony);
        }
        if let Some(standstills) = self.standstills() {
            let _ = write!(line, "\n    {standstills}");
        }
        for miss in self.misses() {
            let _ = write!(line, "\n    misses: {miss}");
        }
        line
    }
}

/// `selected` and `combined` differ only by which source is nearest.
fn alike(found: &[String], asked: &[String]) -> bool {
    let plain = |state: &String| if state == "selected" { "combined".to_owned() } else { state.clone() };
    found.iter().map(plain).eq(asked.iter().map(plain))
}

/// The names of the columns.
pub const HEAD: &str = "\
scenario                              time µs       min       max  estimate  freq ppm  pkts  first  viol  bound µs   out likely µs   out if symm µs   rule µs  >3σ%   chrony   freq  pkts ratio";
