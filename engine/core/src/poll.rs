//! The poll interval: as long as the predicted error allows.
//!
//! Another query is useful when the estimate would otherwise lose what the last measurement gained. So an interval is right
//! if the error that grows in it is about that of a single measurement. The part of that growth that is the wander of the
//! oscillator cannot be reduced by learning, so its limit is lower.

use crate::filter::Estimate;
use ipc::units::Span;

/// Longer intervals than 2^8 s save little and increase the error. They are for servers that request them (RATE) and for
/// sources that do not answer.
const LONGEST_BY_CHOICE: i8 = 8;

/// Error that may grow in an interval, in variances of a typical measurement; the part of it that is the
/// oscillator's wander, which no measurement before could have told.
const GROWTH: f64 = 8.0;
const WANDER_GROWTH: f64 = 0.5;

/// The most by which one reply changes an interval, in octaves.
const PACE: f64 = 0.5;

/// Intervals below 2^4 s are configured for a fast start, so they grow slowly: by one octave in sixteen replies.
const SHORT: f64 = 4.0;
const SHORT_PACE: f64 = 1.0 / 16.0;

/// No measurement counts as better than 2 µs here; otherwise the interval on a perfect network would never grow.
const BEST_VARIANCE: f64 = 4e-12;

/// The shortest interval of all, 2^-4 s: as often as a server answers one client that has not raised its limit.
pub const SHORTEST: i8 = -4;

/// Intervals below a second are for a source on the same network: one whose last reply took no longer, seconds.
const NEAR: f64 = 0.01;

/// The poll interval of one source, as exponents of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Poll {
    shortest: i8,
    longest: i8,
    /// The present interval; not always a whole number.
    exponent: f64,
    /// The shortest interval, as raised by RATE kisses.
    floor: i8,
    /// Valid replies since the shortest interval was changed.
    good: u8,
    /// Its last reply was as quick as that of a source on the same network.
    near: bool,
}

impl Poll {
    pub(crate) fn new(shortest: i8, longest: i8) -> Self {
        let shortest = shortest.clamp(SHORTEST, 17);
        Self {
            shortest,
            longest: longest.clamp(shortest, 17),
            exponent: f64::from(shortest),
            floor: shortest,
            good: 0,
            near: false,
        }
    }

    /// Other limits, log2 s; what RATE kisses have asked for stays, as far as it lies between them.
    pub(crate) fn limit(&mut self, shortest: i8, longest: i8) {
        let slowed = self.floor > self.shortest;
        let Self { shortest, longest, .. } = Self::new(shortest, longest);
        self.floor = if slowed { self.floor.clamp(shortest, longest) } else { shortest };
        self.exponent = self.exponent.clamp(f64::from(self.floor), f64::from(longest));
        (self.shortest, self.longest) = (shortest, longest);
    }

    /// What is in force, log2 seconds.
    fn present(&self) -> f64 {
        if self.near { self.exponent } else { self.exponent.max(0.0) }
    }

    /// A reply took so long, in seconds; none: several queries have brought none.
    pub(crate) fn note_delay(&mut self, delay: Option<f64>) {
        self.near = delay.is_some_and(|delay| delay < NEAR);
    }

    /// Log2 seconds, rounded down.
    pub(crate) fn exponent(&self) -> i8 {
        libm::floor(self.present()) as i8
    }

    /// Seconds.
    pub(crate) fn interval(&self) -> f64 {
        libm::exp2(self.present())
    }

    /// After a usable reply: moves towards the interval that suits the estimate. `tested`: seconds over which measurements have
    /// tested its frequency; what it says of a longer time is a guess.
    pub(crate) fn choose(&mut self, estimate: &Estimate, typical_variance: f64, tested: f64) {
        let typical = typical_variance.max(BEST_VARIANCE);
        let suits = |exponent: f64| {
            let ahead = libm::exp2(exponent);
            estimate.variance_after(ahead) - estimate.variance <= GROWTH * typical
                && estimate.wander_growth(ahead) <= WANDER_GROWTH * typical
        };
        let (mut low, mut high) = (f64::from(self.shortest), f64::from(self.longest.min(LONGEST_BY_CHOICE)));
        let mut wish = low;
        if suits(high) {
            wish = high;
        } else if suits(low) {
            for _ in 0..6 {
                wish = 0.5 * (low + high);
                if suits(wish) { low = wish } else { high = wish }
            }
        }
        let wish = wish.min(libm::log2(tested.max(0.0625))).max(f64::from(self.shortest));
        let rise = if self.exponent < SHORT { SHORT_PACE } else { PACE };
        self.exponent = wish.clamp(self.exponent - PACE, self.exponent + rise);
        if self.floor > self.shortest {
            self.good += 1;
            if self.good == 8 {
                self.floor -= 1;
                self.good = 0;
            }
        }
        self.exponent = self.exponent.max(f64::from(self.floor));
    }

    /// A RATE kiss: one step slower than now, for a while.
    pub(crate) fn slow_down(&mut self) {
        self.floor = self.exponent().saturating_add(1).min(self.longest);
        self.exponent = f64::from(self.floor);
        self.good = 0;
    }

    /// What its last reply allows, log2 s: not asked more often for a while, though never less often than configured.
    pub(crate) fn at_least(&mut self, exponent: i8) {
        self.floor = exponent.min(self.longest).max(self.floor);
        self.exponent = self.exponent.max(f64::from(self.floor));
    }

    /// No answer: one step slower.
    pub(crate) fn back_off(&mut self) {
        self.exponent = (self.exponent + 1.0).min(f64::from(self.longest));
    }

    /// Refused for good: the longest interval.
    pub(crate) fn slowest(&mut self) {
        self.exponent = f64::from(self.longest);
    }

    /// The source answers again, or everything has changed: the shortest interval.
    pub(crate) fn fastest(&mut self) {
        self.exponent = f64::from(self.floor);
    }
}

/// Seconds, 0 to 2^17, as a span.
pub(crate) fn span(seconds: f64) -> Span {
    Span::saturating((seconds * 1e9) as i64)
}

/// Seconds as a span of whole milliseconds, rounded down.
pub(crate) fn whole_millis(seconds: f64) -> Span {
    Span::from_millis((seconds * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::RawInstant;

    fn estimate(deviation: f64, frequency: f64, wander: f64) -> Estimate {
        Estimate {
            at: RawInstant::MIN,
            base: 0,
            rest: 0.0,
            variance: deviation * deviation,
            frequency: 0.0,
            frequency_variance: frequency * frequency,
            covariance: 0.0,
            wander,
            most_wander: wander,
            beforehand: 0.0,
        }
    }

    fn settled(estimate: &Estimate, typical: f64) -> i8 {
        let mut poll = Poll::new(6, 10);
        for _ in 0..20 {
            poll.choose(estimate, typical * typical, f64::INFINITY);
        }
        poll.exponent()
    }

    #[test]
    fn an_interval_suits_the_oscillator_and_the_network() {
        assert_eq!(settled(&estimate(5e-6, 0.02e-6, 1e-9), 7e-6), 8, "LAN, good oscillator");
        assert_eq!(settled(&estimate(5e-6, 0.02e-6, 1e-8), 7e-6), 6, "LAN, bad oscillator");
        assert_eq!(settled(&estimate(2e-4, 0.2e-6, 1e-8), 6e-4), 8, "WAN");
        assert_eq!(settled(&estimate(5e-6, 20e-6, 1e-9), 7e-6), 6, "frequency not known yet");
    }

    #[test]
    fn an_estimate_is_not_relied_on_for_longer_than_it_was_tested() {
        // A busy host: its measurements are worth little, so nothing seems to be lost by a long interval.
        let young = estimate(1e-3, 5e-6, 1e-9);
        let mut poll = Poll::new(6, 10);
        let after = [1.0, 30.0, 100.0, 180.0, 300.0, 600.0].map(|tested| {
            (0..8).for_each(|_| poll.choose(&young, 1e-4, tested));
            poll.interval()
        });
        assert_eq!(after.map(f64::round), [64.0, 64.0, 100.0, 180.0, 256.0, 256.0]);
    }

    #[test]
    fn short_intervals_are_left_slowly() {
        let good = estimate(5e-6, 0.02e-6, 1e-9);
        let mut poll = Poll::new(0, 10);
        let mut replies = 0;
        while poll.exponent() < 2 {
            poll.choose(&good, 49e-12, f64::INFINITY);
            replies += 1;
        }
        assert_eq!(replies, 32);
        (0..60).for_each(|_| poll.choose(&good, 49e-12, f64::INFINITY));
        assert_eq!(poll.exponent(), 8);
    }

    #[test]
    fn a010_each_rate_kiss_slows_by_one_step_and_eight_good_replies_undo_it() {
        let good = estimate(5e-6, 20e-6, 1e-9);
        let mut poll = Poll::new(6, 10);
        for expected in [7, 8, 9, 10, 10, 10] {
            poll.slow_down();
            assert_eq!(poll.exponent(), expected);
        }
        for expected in [9, 8, 7, 6] {
            for _ in 0..9 {
                poll.choose(&good, 1e-12, f64::INFINITY);
            }
            assert!((expected..=expected + 1).contains(&poll.exponent()), "{expected}: {poll:?}");
        }
        for _ in 0..8 {
            poll.choose(&good, 1e-12, f64::INFINITY);
        }
        assert_eq!(poll.exponent(), 6);
    }

    #[test]
    fn limits_from_outside_are_kept() {
        let mut poll = Poll::new(-9, 127);
        poll.note_delay(Some(0.001));
        assert_eq!(poll.exponent(), -4);
        for _ in 0..40 {
            poll.back_off();
        }
        assert_eq!(poll.exponent(), 17);
        poll.fastest();
        assert_eq!(poll.exponent(), -4);
    }

    #[test]
    fn a_second_is_fallen_below_only_while_replies_come_from_the_same_network() {
        let mut poll = Poll::new(-4, 10);
        assert_eq!((poll.exponent(), poll.interval()), (0, 1.0), "before the first reply");
        poll.note_delay(Some(0.000_2));
        assert_eq!((poll.exponent(), poll.interval()), (-4, 0.0625));
        for (delay, exponent) in [(Some(0.009), -4), (Some(0.01), 0), (Some(0.001), -4), (None, 0)] {
            poll.note_delay(delay);
            assert_eq!(poll.exponent(), exponent, "{delay:?}");
        }
        let mut usual = Poll::new(0, 10);
        usual.note_delay(Some(0.000_2));
        assert_eq!(usual.exponent(), 0);
    }
}
