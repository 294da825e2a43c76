//! The hypotheses that compete where measurements contradict all that came before.

use super::bank::Bank;
use crate::measurement::Measurement;
use alloc::boxed::Box;

/// What a contradiction can mean. The measurements after it decide.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Suspects {
    /// The frequency of the oscillator changed: the offset keeps changing.
    jumped: Bank,
    /// The server was stepped, or the counter stood still: the offset changed once.
    pub(super) moved: Bank,
    /// One way is shorter, and the other one was late.
    pub(super) shorter: Bank,
    /// No frequency explains it: the oscillator is not in question.
    pub(super) is_sudden: bool,
    /// How well each of them explains what came since; logarithms.
    logs: [f64; 3],
}

impl Suspects {
    /// `early`: the way that was early, and by how much (negative).
    pub(super) fn new(
        bank: &Bank,
        (way, early): (usize, f64),
        residual: f64,
        measurement: &Measurement,
        scale: f64,
        is_sudden: bool,
    ) -> Box<Self> {
        let (mut jumped, mut moved, mut shorter) = (bank.had_it_jumped(), bank.clone(), bank.clone());
        jumped.learn(measurement, scale);
        moved.doubt(if is_sudden { 0.0 } else { residual }, measurement);
        shorter.reroute(way, early);
        shorter.learn(measurement, scale);
        Box::new(Self { jumped, moved, shorter, is_sudden, logs: [0.0; 3] })
    }

    pub(super) fn banks(&mut self) -> [&mut Bank; 3] {
        [&mut self.jumped, &mut self.moved, &mut self.shorter]
    }

    pub(super) fn learn(&mut self, measurement: &Measurement, scale: f64) {
        let logs = self.banks().map(|bank| {
            bank.advance(measurement.at);
            bank.learn(measurement, scale)
        });
        for (sum, log) in self.logs.iter_mut().zip(logs) {
            *sum += log;
        }
    }

    /// Whether neither oscillator nor server are in question.
    pub(super) fn is_path(&self) -> bool {
        let [jumped, moved, shorter] = self.logs;
        !self.is_sudden && shorter > jumped.max(moved)
    }

    pub(super) fn likelier(self) -> Bank {
        if self.logs[0] > self.logs[1] { self.jumped } else { self.moved }
    }
}
