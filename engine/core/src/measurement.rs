//! One exchange, four times: how far true time is from CLOCK_MONOTONIC_RAW, and how far it can be at most.
//!
//! The client that took T1 and T4 may be malicious. Three rules ensure that it gains no more than an attacker on
//! the path (PRIVILEGES.md section 3): T1 and T4 lie within the engine's own readings; the hard bounds come
//! from the engine's own readings alone; and time that those readings hold and the claim does not explain
//! counts as delay, twice (the shortfall rule): T1 claimed late by L shifts the offset by L/2, and somebody
//! on the path who shifts it by L/2 has to add L to the round trip, on top of the rest.

use crate::version5::path_correction;
use ipc::message::client::Stamp;
use ipc::units::RawInstant;
use report::RejectReason;

/// Least and most that the path between the engine and its client may take without being counted as
/// delay.
const SLACK: core::ops::RangeInclusive<i64> = 200_000..=2_000_000;

/// How many link latencies the median is taken of.
const REMEMBERED: usize = 16;

/// Who took T1 and T4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    pub(crate) sent: Stamp,
    pub(crate) received: Stamp,
}

impl Stamps {
    /// The worse of the two.
    pub(crate) const fn worse(self) -> Stamp {
        match (self.sent, self.received) {
            (Stamp::User, _) | (_, Stamp::User) => Stamp::User,
            (Stamp::Kernel, _) | (_, Stamp::Kernel) => Stamp::Kernel,
            (Stamp::Hardware, Stamp::Hardware) => Stamp::Hardware,
        }
    }
}

/// The times of one exchange. T2 and T3 in nanoseconds since 1970 by the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times {
    /// The engine's clock when it handed the query out.
    pub(crate) sent: RawInstant,
    pub(crate) t1: RawInstant,
    pub(crate) t2: i64,
    pub(crate) t3: i64,
    pub(crate) t4: RawInstant,
    /// The engine's clock when it got the reply.
    pub(crate) received: RawInstant,
    pub(crate) stamps: Stamps,
}

/// What one exchange says, or one pulse of a reference clock. Offsets are *true time minus CLOCK_MONOTONIC_RAW*, in
/// nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measurement {
    /// Middle of the exchange, or the moment of the pulse.
    pub(crate) at: RawInstant,
    /// Best guess.
    pub(crate) offset: i64,
    /// Lowest possible offset at `received`, if the server's time is right.
    pub(crate) low: i64,
    /// Highest possible offset at `received`, if the server's time is right.
    pub(crate) high: i64,
    /// When the bounds hold.
    pub(crate) received: RawInstant,
    /// Round trip in seconds, by the shortfall rule, and positive; 0: there was none, it came one way only.
    pub(crate) delay: f64,
    /// Standard deviation of what stamps and precision add to each way, seconds.
    pub(crate) noise: f64,
}

impl Measurement {
    /// With so many nanoseconds added to the offset: the bounds are those of what is measured then.
    pub(crate) const fn corrected(mut self, by: i64) -> Self {
        self.offset = self.offset.saturating_add(by);
        self.low = self.low.saturating_add(by);
        self.high = self.high.saturating_add(by);
        self
    }

    /// With what devices on the path say of the time that query and reply have spent in them. What that moves the offset by is added to
    /// the delay on both sides: offset ± delay / 2 holds all that it held before, so a false word costs weight and no truth.
    pub(crate) fn held_up(mut self, held_up: Option<(i64, i64)>) -> Self {
        let by = path_correction(held_up, (self.delay * 1e9) as i64);
        self.offset = self.offset.saturating_add(by);
        self.delay += 2e-9 * by.unsigned_abs() as f64;
        self
    }

    /// Whether there was no round trip.
    pub(crate) fn is_one_way(&self) -> bool {
        self.delay == 0.0
    }
}

/// How long records take between the engine and its client, the last sixteen times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LinkLatency {
    spans: [i64; REMEMBERED],
    count: usize,
}

impl LinkLatency {
    pub(crate) const fn new() -> Self {
        Self { spans: [0; REMEMBERED], count: 0 }
    }

    /// Learns from an exchange: what its window holds beyond T4 − T1.
    pub(crate) fn learn(&mut self, times: &Times) {
        let window = times.received.since(times.sent).nanos();
        let claimed = times.t4.since(times.t1).nanos();
        self.spans[self.count % REMEMBERED] = window.saturating_sub(claimed);
        self.count = self.count.wrapping_add(1);
    }

    /// Nanoseconds of a window that need no explanation: four times the median, 200 µs to 2 ms.
    pub(crate) fn slack(&self) -> i64 {
        let known = self.count.min(REMEMBERED);
        let mut sorted = self.spans;
        sorted[..known].sort_unstable();
        let median = if known == 0 { 0 } else { sorted[known / 2] };
        median.saturating_mul(4).clamp(*SLACK.start(), *SLACK.end())
    }
}

impl Measurement {
    /// Judges the times of an exchange. `precision` is the coarser of the two precisions in seconds.
    ///
    /// # Errors
    /// `BadInterval`, `NegativeDelay`: the times are impossible.
    pub(crate) fn try_new(times: &Times, precision: f64, slack: i64) -> Result<Self, RejectReason> {
        let turnaround = i128::from(times.t3) - i128::from(times.t2);
        if !(0..=4_000_000_000).contains(&turnaround) {
            return Err(RejectReason::BadInterval);
        }
        let claimed = i128::from(times.t4.since(times.t1).nanos());
        let window = i128::from(times.received.since(times.sent).nanos());
        let bare = claimed - turnaround;
        if (bare as f64) < -(precision * 1e9) {
            return Err(RejectReason::NegativeDelay);
        }
        let shortfall = (window - i128::from(slack) - claimed).max(0);
        let delay = bare + 2 * shortfall;
        let (t1, t2, t3, t4) = (
            i128::from(times.t1.nanos()),
            i128::from(times.t2),
            i128::from(times.t3),
            i128::from(times.t4.nanos()),
        );
        let narrow = |wide: i128| i64::try_from(wide).map_err(|_| RejectReason::BadInterval);
        // Nobody but the engine itself says when these were.
        let low = narrow(t3 - i128::from(times.received.nanos()))?;
        let high = narrow(t2 - i128::from(times.sent.nanos()))?;
        Ok(Self {
            at: RawInstant::saturating(narrow((t1 + t4) / 2)?),
            offset: narrow(((t2 - t1) + (t3 - t4)).div_euclid(2))?,
            low: low.min(high),
            high: high.max(low),
            received: times.received,
            delay: (delay as f64 * 1e-9).max(precision),
            noise: libm::hypot(
                precision * 0.3,
                match times.stamps.worse() {
                    Stamp::Hardware => 50e-9,
                    Stamp::Kernel => 300e-9,
                    Stamp::User => 5e-6,
                },
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a217_what_an_offset_is_moved_by_is_in_its_delay() {
        let at = RawInstant::saturating(1_000_000_000);
        let plain = Measurement {
            at,
            offset: 5,
            low: -20_000,
            high: 20_010,
            received: at,
            delay: 40e-6,
            noise: 1e-6,
        };
        let ends = |of: &Measurement| {
            let half = (of.delay * 5e8).round() as i64;
            (of.offset - half, of.offset + half)
        };
        for (there, back) in [(0, 0), (0, 40_000), (40_000, 0), (10_000, 25_000), (0, 41_000)] {
            let moved = plain.held_up(Some((there, back)));
            let ((low, high), (before, behind)) = (ends(&moved), ends(&plain));
            assert!(low <= before && behind <= high, "{there} {back}: {moved:?}");
            assert_eq!((moved.low, moved.high), (plain.low, plain.high));
        }
    }

    const SECOND: f64 = 1e9;

    fn raw(seconds: f64) -> RawInstant {
        RawInstant::saturating(libm::round(seconds * SECOND) as i64)
    }

    fn times(t: [f64; 4]) -> Times {
        Times {
            sent: raw(t[0]),
            t1: raw(t[0]),
            t2: libm::round(t[1] * SECOND) as i64,
            t3: libm::round(t[2] * SECOND) as i64,
            t4: raw(t[3]),
            received: raw(t[3]),
            stamps: Stamps { sent: Stamp::Kernel, received: Stamp::Kernel },
        }
    }

    #[test]
    fn the_offset_is_positive_when_the_local_clock_is_behind() {
        // Vector O1.
        let found = Measurement::try_new(&times([100.0, 100.060, 100.061, 100.041]), 1e-6, 0).unwrap();
        assert_eq!(found.offset, 40_000_000);
        assert!((found.delay - 0.040).abs() < 1e-9);
        assert_eq!((found.low, found.high), (20_000_000, 60_000_000));
    }

    #[test]
    fn a018_impossible_intervals_are_refused() {
        for t in [[10.0, 20.0, 19.999_999_999, 10.5], [10.0, 20.0, 24.000_000_001, 14.5]] {
            assert_eq!(Measurement::try_new(&times(t), 1e-6, 0), Err(RejectReason::BadInterval), "{t:?}");
        }
    }

    #[test]
    fn a019_a_negative_delay_is_clamped_within_the_precision_and_refused_beyond() {
        let by_a_nanosecond = times([10.0, 20.0, 20.100_000_001, 10.1]);
        let found = Measurement::try_new(&by_a_nanosecond, 1e-6, 0).unwrap();
        assert_eq!(found.delay, 1e-6);
        let by_a_second = times([10.0, 20.0, 21.1, 10.1]);
        assert_eq!(Measurement::try_new(&by_a_second, 1e-6, 0), Err(RejectReason::NegativeDelay));
    }

    #[test]
    fn a102_a_claim_of_a_tiny_delay_inside_a_wide_window_gains_no_weight() {
        // The engine waited 40 ms; the client claims that the packet was under way for 0.1 ms.
        let honest = Times { sent: raw(10.0), received: raw(10.040), ..times([10.0, 20.02, 20.02, 10.040]) };
        let liar = Times { t1: raw(10.0399), ..honest };
        let slack = 200_000;
        let (honest, liar) = (
            Measurement::try_new(&honest, 1e-6, slack).unwrap(),
            Measurement::try_new(&liar, 1e-6, slack).unwrap(),
        );
        assert!(liar.delay >= honest.delay + 0.039, "{}", liar.delay);
        assert_eq!((liar.low, liar.high), (honest.low, honest.high), "the bounds are the engine's own");
        let gain = liar.offset.abs_diff(honest.offset) as f64 * 1e-9;
        assert!(gain > 0.019, "the lie is there");
        let shown = (liar.delay - honest.delay) / 2.0;
        assert!(gain <= shown + 0.000_201, "and its delay shows it, but for the slack: {gain} {shown}");
    }

    #[test]
    fn the_slack_follows_the_median_within_its_limits() {
        let mut latency = LinkLatency::new();
        assert_eq!(latency.slack(), 200_000);
        for span in [1.0e-4, 1.0e-4, 5.0e-3, 1.0e-4, 0.5] {
            latency.learn(&Times { received: raw(10.5 + span), ..times([10.0, 20.0, 20.0, 10.5]) });
        }
        assert_eq!(latency.slack(), 400_000);
        for _ in 0..16 {
            latency.learn(&Times { received: raw(11.5), ..times([10.0, 20.0, 20.0, 10.5]) });
        }
        assert_eq!(latency.slack(), 2_000_000, "a liar can't buy more than 2 ms");
    }
}
