//! Readings of one client in one round, and the figures computed from them.

use serde_json::{Value, json};
use std::time::Duration;

/// A client's clock at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Seconds since its start.
    pub at_s: f64,
    /// Its clock minus true time, seconds.
    pub clock_s: f64,
    /// Its estimate of true time minus true time, seconds.
    pub estimate_s: f64,
    /// The error bound that it reports, seconds.
    pub bound_s: f64,
    /// Whether it reports that it is synchronised.
    pub synchronised: bool,
}

/// The results of a client in one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    pub clock_rms_us: f64,
    pub clock_worst_us: f64,
    pub estimate_rms_us: f64,
    /// When its clock was right for the first time, seconds after its start; infinite: never.
    pub first_s: f64,
    pub packets: u64,
    /// Mean lateness of its relay; 0: there is none.
    pub relay_late_us: f64,
    pub bound_us: f64,
    /// Readings at which the error was larger than the reported bound.
    pub outside: usize,
    pub readings: usize,
}

/// Both clients.
pub struct Round {
    pub ours: Figures,
    pub theirs: Option<Figures>,
}

/// The bench reads two clocks one after the other.
const READING_ERROR_S: f64 = 20e-6;

impl Figures {
    /// From readings in order; those of the first third of `seconds` count only for `first_s`.
    pub fn of(readings: &[Reading], seconds: f64, right_s: f64, (packets, late): (u64, Duration)) -> Self {
        let settled: Vec<_> = readings.iter().filter(|reading| reading.at_s > seconds / 3.0).collect();
        let rms = |error: &dyn Fn(&Reading) -> f64| {
            let sum: f64 = settled.iter().map(|reading| error(reading).powi(2)).sum();
            (sum / settled.len().max(1) as f64).sqrt() * 1e6
        };
        let mut bounds: Vec<_> = settled.iter().map(|reading| reading.bound_s * 1e6).collect();
        bounds.sort_by(f64::total_cmp);
        let outside = |reading: &&Reading| {
            reading.synchronised && reading.clock_s.abs() > reading.bound_s + READING_ERROR_S
        };
        Self {
            clock_rms_us: rms(&|reading| reading.clock_s),
            clock_worst_us: settled.iter().map(|reading| reading.clock_s.abs() * 1e6).fold(0.0, f64::max),
            estimate_rms_us: rms(&|reading| reading.estimate_s),
            first_s: readings
                .iter()
                .find(|reading| reading.synchronised && reading.clock_s.abs() < right_s)
                .map_or(f64::INFINITY, |reading| reading.at_s),
            packets,
            relay_late_us: late.as_secs_f64() * 1e6,
            bound_us: middle(&bounds),
            outside: readings.iter().filter(outside).count(),
            readings: readings.len(),
        }
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        json!({
            "clock_rms_us": self.clock_rms_us,
            "clock_worst_us": self.clock_worst_us,
            "estimate_rms_us": self.estimate_rms_us,
            "first_s": self.first_s.is_finite().then_some(self.first_s),
            "packets": self.packets,
            "relay_late_us": self.relay_late_us,
            "bound_us": self.bound_us,
            "outside": self.outside,
            "readings": self.readings,
        })
    }
}

/// The median of sorted figures; 0 if there are none.
pub fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at_s: f64, clock_s: f64) -> Reading {
        Reading { at_s, clock_s, estimate_s: clock_s / 2.0, bound_s: 1e-3, synchronised: at_s > 1.0 }
    }

    #[test]
    fn what_has_not_settled_counts_for_the_start_alone() {
        let readings = [
            reading(0.5, 0.0),
            reading(1.5, 5e-3),
            reading(2.0, 1e-4),
            reading(20.0, 3e-5),
            reading(25.0, -4e-5),
        ];
        let figures = Figures::of(&readings, 30.0, 1e-3, (9, Duration::from_micros(3)));
        assert_eq!(figures.first_s, 2.0);
        assert!((figures.clock_rms_us - 35.355).abs() < 0.01, "{figures:?}");
        assert!((figures.estimate_rms_us - 17.678).abs() < 0.01, "{figures:?}");
        assert_eq!((figures.outside, figures.readings, figures.packets), (1, 5, 9));
    }
}
