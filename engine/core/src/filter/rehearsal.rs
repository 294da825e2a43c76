//! The first measurements of a source, processed again with each that follows.
//!
//! A single measurement gives only a guess of the jitter, and a bank that began with a wrong guess, or with a packet that was
//! late in one direction, needs dozens of measurements to recover. So the first measurements are stored, and with each new
//! one a bank is started again: around the fastest of them, with the jitter of all of them. The direction of the jitter is
//! not known at that time. Three hypotheses (neither direction, one, the other) are tried, and the likeliest bank is kept.
//! Packets of a burst of delay that is over ([`calm`]) take no part.

use super::bank::Bank;
use super::calm;
use super::delays::Delays;
use crate::measurement::Measurement;
use alloc::vec::Vec;

/// How many measurements are processed again; after that, a wrong beginning has no effect any more.
const LENGTH: usize = 16;

/// The jitter of each way as a share of their mean, while it cannot be learnt yet.
const LEANINGS: [[f64; 2]; 3] = [[1.0, 1.0], [1.8, 0.2], [0.2, 1.8]];

/// How much likelier it is beforehand that both ways are alike, a logarithm: of eight packets, chance makes one way look
/// still every few starts.
const EVEN: f64 = 4.5;

/// The measurements so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rehearsal {
    seen: Vec<Measurement>,
    /// See [`calm::longest`].
    longest: Option<f64>,
    /// The prior frequency (mean, standard deviation).
    prior: (f64, f64),
}

/// A bank that has seen all, and how likely it finds all of them and the last one (logarithms).
struct Play {
    bank: Bank,
    all: f64,
    last: f64,
}

impl Rehearsal {
    pub(super) fn new(first: &Measurement, prior: (f64, f64)) -> Self {
        let mut seen = Vec::with_capacity(LENGTH);
        seen.push(*first);
        Self { seen, longest: None, prior }
    }

    pub(super) fn is_over(&self) -> bool {
        self.seen.len() >= LENGTH
    }

    /// One more measurement. The round trips without those of a burst of delay that is over, if there was one.
    pub(super) fn add(&mut self, measurement: &Measurement) -> Option<Delays> {
        self.seen.push(*measurement);
        self.longest = calm::longest(&self.seen, self.longest.is_some());
        let (mut delays, mut of_bursts) = (Delays::new(), 0);
        for place in 0..self.seen.len() {
            if self.is_of_burst(place) {
                of_bursts += 1;
            } else {
                delays.learn(self.seen[place].delay);
            }
        }
        (of_bursts > 0).then_some(delays)
    }

    fn is_of_burst(&self, place: usize) -> bool {
        self.longest.is_some_and(|longest| calm::is_of_burst(&self.seen, place, longest))
    }

    /// The bank that explains all of them best, and the log of the last one's likelihood in it. `jitter`: as
    /// estimated from the round trips, in seconds.
    pub(super) fn learn(&self, jitter: f64) -> (Bank, f64) {
        let [even, there, back] = LEANINGS.map(|leaning| self.play(leaning, jitter));
        let even = Play { all: even.all + EVEN, ..even };
        let likelier = |one: Play, other: Play| if other.all > one.all { other } else { one };
        let Play { bank, last, .. } = likelier(likelier(even, there), back);
        (bank, last)
    }

    fn play(&self, leaning: [f64; 2], jitter: f64) -> Play {
        let fastest = self.seen.iter().fold(self.seen[0], |fastest, measurement| {
            if measurement.delay < fastest.delay { *measurement } else { fastest }
        });
        let mut bank = Bank::again(self.seen[0].at, &fastest, self.prior, jitter, leaning);
        let (mut all, mut last) = (0.0, 0.0);
        for (place, measurement) in self.seen.iter().enumerate() {
            if self.is_of_burst(place) {
                continue;
            }
            bank.advance(measurement.at);
            last = bank.learn(measurement, jitter);
            all += last;
        }
        Play { bank, all, last }
    }

    pub(super) fn shift(&mut self, nanos: i64) {
        for measurement in &mut self.seen {
            measurement.offset = measurement.offset.saturating_add(nanos);
        }
    }
}
