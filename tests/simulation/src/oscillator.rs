//! CLOCK_MONOTONIC_RAW as a function of true time: a frequency that walks, swings with the day, and jumps.

use crate::random::Random;
use crate::scenario::Scenario;
use ipc::units::RawInstant;

const SECOND: i64 = 1_000_000_000;

/// The counter. Within one second of true time its frequency is constant.
#[derive(Debug)]
pub struct Oscillator {
    random: Random,
    /// True time and counter at the last full second.
    since: i64,
    raw: f64,
    /// In force in this second, s/s.
    frequency: f64,
    base: f64,
    wander: f64,
    /// Amplitude (s/s) and angular frequency (1/s).
    swing: (f64, f64),
    begin: i64,
}

impl Oscillator {
    /// At the beginning of a day, true time in nanoseconds since 1970; the same seed gives the same walk.
    pub fn new(scenario: &Scenario, seed: u64, begin: i64) -> Self {
        let base = scenario.frequency_ppm * 1e-6;
        Self {
            random: Random::new(seed, 1),
            since: begin,
            raw: 5_000.0e9,
            frequency: base,
            base,
            wander: scenario.wander,
            swing: (
                scenario.swing_ppm * 1e-6,
                2.0 * core::f64::consts::PI / (scenario.swing_hours.max(0.01) * 3600.0),
            ),
            begin,
        }
    }

    /// The counter at a moment of true time, within a second after the last [`turn`](Self::turn).
    pub fn raw_at(&self, time: i64) -> RawInstant {
        RawInstant::saturating((self.raw + (time - self.since) as f64 * (1.0 + self.frequency)) as i64)
    }

    /// The first nanosecond at which the counter has reached `raw`, if nothing changes until then.
    pub fn time_of(&self, raw: RawInstant) -> i64 {
        let ahead = ((raw.nanos() as f64 - self.raw) / (1.0 + self.frequency)).ceil() as i64;
        let time = self.since + ahead;
        if self.raw_at(time) < raw { time + 1 } else { time }
    }

    /// A full second has come.
    pub fn turn(&mut self, time: i64) {
        self.raw += (time - self.since) as f64 * (1.0 + self.frequency);
        self.since = time;
        self.base += self.wander * self.random.normal();
        let age = (time - self.begin) as f64 / SECOND as f64;
        self.frequency = self.base + self.swing.0 * (age * self.swing.1).sin();
    }

    /// The frequency jumps.
    pub fn jump(&mut self, by: f64) {
        self.base += by;
        self.frequency += by;
    }

    /// The frequency error in force, s/s; positive: the counter runs fast.
    pub fn frequency(&self) -> f64 {
        self.frequency
    }

    /// The machine sleeps until `time`: the counter stands still.
    pub fn sleep(&mut self, from: i64, until: i64) {
        self.raw += (from - self.since) as f64 * (1.0 + self.frequency);
        self.since = until;
    }
}
