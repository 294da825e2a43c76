//! The highest rate of an action.

use ipc::units::{RawInstant, Span};

/// A bucket that holds `burst` tokens, and receives one after each `interval`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    interval: Span,
    burst: i64,
    /// When the bucket is full again.
    full_at: RawInstant,
}

impl Rate {
    pub(super) const fn new(interval: Span, burst: i64) -> Self {
        Self { interval, burst, full_at: RawInstant::MIN }
    }

    /// Takes a token; returns whether there was one.
    pub(super) fn takes(&mut self, now: RawInstant) -> bool {
        let full_at = self.full_at.max(now);
        let missing = full_at.since(now).nanos();
        if missing > self.interval.nanos().saturating_mul(self.burst - 1) {
            return false;
        }
        self.full_at = full_at.after(self.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a179_a_burst_then_one_an_interval_however_often_it_is_asked() {
        let mut rate = Rate::new(Span::from_millis(1), 5);
        let start = RawInstant::saturating(1 << 40);
        let within = |rate: &mut Rate, from: i64, to: i64| {
            let times = (from..to).step_by(1000);
            times.filter(|nanos| rate.takes(RawInstant::saturating((1 << 40) + nanos))).count()
        };
        assert_eq!((0..10).filter(|_| rate.takes(start)).count(), 5);
        assert_eq!(within(&mut rate, 0, 10_000_000), 9);
        assert_eq!(within(&mut rate, 1_000_000_000, 1_000_000_001), 1);
        assert_eq!(within(&mut rate, 1_000_000_001, 1_000_900_000), 4, "no more than the burst is saved up");
    }
}
