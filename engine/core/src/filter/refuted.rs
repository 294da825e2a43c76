//! Whether the packets refute what a filter says, although it takes them for strays.
//!
//! A filter may learn nothing from a packet: it may be a stray. But each exchange bounds the offset by itself: the server was
//! read after the query was sent, and before the reply was received. No estimate that has seen the exchange may lie outside. And
//! an exchange that took little longer than the fastest is off by little: an estimate that is far beside one such after
//! the other is wrong, however sure it is.

use super::bank::Bank;
use crate::measurement::Measurement;

/// Farther than this beside what the exchange can be off by, and outside of what it allows, in scales of the jitter.
const FAR: f64 = 8.0;

/// The same in standard deviations of its stamps.
const CERTAIN: f64 = 6.0;

/// So many in a row refute it.
const REFUTING: u8 = 3;

/// By how much the estimate lies where this exchange says that it cannot, whatever the delays were; seconds. Negative: it does
/// not.
fn outside(bank: &Bank, measurement: &Measurement) -> f64 {
    let estimate = bank.estimate(measurement.received);
    let beside = |offset: i64| offset.saturating_sub(estimate.base) as f64 * 1e-9 - estimate.rest;
    beside(measurement.low).max(-beside(measurement.high))
}

/// Whether it lies there, for certain.
pub(super) fn is_outside(bank: &Bank, measurement: &Measurement) -> bool {
    outside(bank, measurement) > CERTAIN * measurement.noise
}

/// How many packets in a row speak against the filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refuted {
    against: u8,
}

impl Refuted {
    pub(super) const fn new() -> Self {
        Self { against: 0 }
    }

    /// Whether a packet speaks against the filter.
    pub(super) fn is_contested(&self) -> bool {
        self.against > 0
    }

    /// Whether this measurement, from which `bank` has learnt, refutes it. `scale`: the jitter of one way, seconds.
    pub(super) fn judge(&mut self, bank: &Bank, measurement: &Measurement, scale: f64) -> bool {
        let [there, back] = bank.fit(measurement).rests;
        let (beside, excess) = (0.5 * (there - back).abs(), 0.5 * (there + back).max(0.0));
        let margin = FAR * scale + CERTAIN * measurement.noise;
        let is_far = !measurement.is_one_way() && beside > excess + margin;
        self.against = if is_far { self.against.saturating_add(1) } else { 0 };
        self.against >= REFUTING || outside(bank, measurement) > margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::RawInstant;

    fn measurement(offset_ms: f64, delay_ms: f64) -> Measurement {
        let (offset, half) = ((offset_ms * 1e6) as i64, (delay_ms * 0.5e6) as i64);
        Measurement {
            at: RawInstant::MIN,
            offset,
            low: offset - half,
            high: offset + half,
            received: RawInstant::MIN,
            delay: delay_ms * 1e-3,
            noise: 3e-7,
        }
    }

    /// What each of these does to an estimate of 0, with a round trip of 8 ms and a jitter of 0.1 ms.
    fn judged<const N: usize>(measurements: [Measurement; N]) -> [bool; N] {
        let bank = Bank::new(&measurement(0.0, 8.0), (0.0, 1e-9));
        let mut refuted = Refuted::new();
        measurements.map(|it| refuted.judge(&bank, &it, 0.1e-3))
    }

    #[test]
    fn an_estimate_outside_of_what_an_exchange_allows_is_refuted_at_once() {
        assert_eq!(judged([measurement(6.0, 8.5)]), [true]);
        assert_eq!(judged([measurement(-6.0, 8.5)]), [true]);
    }

    #[test]
    fn three_fast_packets_in_a_row_refute_what_lies_beside_them() {
        assert_eq!(judged([measurement(2.0, 8.1); 3]), [false, false, true]);
        let good = measurement(0.0, 8.1);
        let far = measurement(2.0, 8.1);
        assert_eq!(judged([far, far, good, far, far]), [false; 5]);
    }

    #[test]
    fn slow_packets_refute_nothing() {
        assert_eq!(judged([measurement(20.0, 48.0); 4]), [false; 4]);
        assert_eq!(judged([measurement(-2.0, 12.1); 4]), [false; 4]);
    }
}
