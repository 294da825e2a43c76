//! What the governor grants of slews, as its refusals show it.
//!
//! A slew inside the band of the base frequency costs nothing; one that is faster is paid from a budget, and base frequency
//! and slew together have a limit. The engine knows the band, but neither budget nor limit before a refusal names them.

use crate::discipline::{BESIDE_BASE, MOST_FREQUENCY};
use ipc::units::{RawInstant, Span};

/// Where even a slew inside the band as far as it is known was refused: the fastest rate, s/s.
const REDUCED_RATE: f64 = 10e-6;

/// So long slews stay inside the band after the budget was found to be used up.
const REDUCED_RATE_PERIOD: Span = Span::from_secs(3600);

/// A budget that is used up is tried again after the period above, and earned back far more slowly.
const REDUCED_RATE_KNOWN: Span = Span::from_secs(86_400);

/// Of the way to the edge of the band, the part that a free slew takes at most.
const OF_THE_BAND: f64 = 0.9;

/// What is under way of a slew that is replaced is paid for, too. Seconds.
const UNDER_WAY: f64 = 0.002;

/// Less is not worth an order, seconds.
const WORTH_SPENDING: f64 = 0.005;

/// A larger offset takes long, seconds; and so much of the fastest rate is not much slower.
const LONG: f64 = 0.1;
const NOT_MUCH_SLOWER: f64 = 0.6;

/// The frequencies are rounded, s/s.
const ROUNDING: f64 = 0.1e-6;

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Allowance {
    /// Until then slews stay inside the band.
    reduced_until: RawInstant,
    /// And are no faster than this, s/s.
    reduced_rate: f64,
    /// The largest slew that the rest of the budget pays for, seconds.
    largest: f64,
    /// The limit of base frequency and slew together, s/s, and what is left for slews beside any base frequency.
    total: f64,
    beside: f64,
    /// It was reported that all of it does not keep the clock at the time of its sources.
    pub(crate) runaway_told: bool,
}

impl Allowance {
    /// Nothing was refused yet.
    pub(crate) const UNKNOWN: Self = Self {
        reduced_until: RawInstant::MIN,
        reduced_rate: f64::INFINITY,
        largest: f64::INFINITY,
        total: MOST_FREQUENCY,
        beside: BESIDE_BASE,
        runaway_told: false,
    };

    /// Whether slews stay inside the band now.
    pub(crate) fn is_reduced(&self, now: RawInstant) -> bool {
        self.reduced_until > now
    }

    /// Whether the budget was used up in the last day.
    pub(crate) fn is_scarce(&self, now: RawInstant) -> bool {
        self.reduced_until != RawInstant::MIN && self.reduced_until.after(REDUCED_RATE_KNOWN) > now
    }

    /// A slew was refused of which the budget would have paid for `left` seconds. True: another one is worth asking for at
    /// once.
    pub(crate) fn exceed_budget(&mut self, left: f64, now: RawInstant) -> bool {
        let affordable = left - UNDER_WAY;
        if !self.is_reduced(now) && affordable >= WORTH_SPENDING && affordable < self.largest {
            self.largest = affordable;
            return true;
        }
        self.reduce(now)
    }

    /// A slew was refused since it exceeds, with the base frequency, `limit` (s/s). True: as above.
    pub(crate) fn exceed_total(&mut self, limit: f64, now: RawInstant) -> bool {
        let limit = limit - ROUNDING;
        let is_news = limit > 0.0 && (limit < self.total || self.beside > 0.0);
        // It names the limit at that base frequency only.
        (self.total, self.beside) = (if limit > 0.0 { limit } else { self.total }, 0.0);
        is_news || self.reduce(now)
    }

    fn reduce(&mut self, now: RawInstant) -> bool {
        let is_first = !self.is_reduced(now);
        let is_gentler = is_first || self.reduced_rate > REDUCED_RATE;
        self.reduced_rate = if is_first { f64::INFINITY } else { REDUCED_RATE };
        self.largest = f64::INFINITY;
        self.reduced_until = now.after(REDUCED_RATE_PERIOD);
        is_gentler
    }

    /// The rate for an offset, s/s; the rest as for [`Self::rate`]. What takes hours uses the budget up, so it is slewed for
    /// nothing if that is not much slower.
    pub(crate) fn rate_for(&self, offset: f64, most: f64, beside: f64, inside: f64, is_reduced: bool) -> f64 {
        let [fastest, free] =
            [is_reduced, true].map(|is_reduced| self.rate(most, beside, inside, is_reduced));
        if offset.abs() > LONG && free > NOT_MUCH_SLOWER * fastest { free } else { fastest }
    }

    /// The fastest rate of a slew in one direction, s/s; no faster than `most`. `beside`: the base frequency, with the sign of
    /// that direction; `inside`: from there to the edge of the band.
    pub(crate) fn rate(&self, most: f64, beside: f64, inside: f64, is_reduced: bool) -> f64 {
        let most = most.min((self.total - beside).max(self.beside)).max(0.0);
        // The frequency, which comes with the same order, must not be refused for the sake of a slew.
        if is_reduced { most.min(self.reduced_rate).min((OF_THE_BAND * inside).max(0.0)) } else { most }
    }

    /// The largest slew, seconds: free inside the band, otherwise what the rest of the budget pays for.
    pub(crate) fn largest(&self, now: RawInstant) -> f64 {
        if self.is_reduced(now) { f64::INFINITY } else { self.largest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: RawInstant = RawInstant::MIN.after(Span::from_secs(1_000_000));

    #[test]
    fn the_rest_of_a_budget_is_spent_before_slews_stay_inside_the_band() {
        let mut allowance = Allowance::UNKNOWN;
        assert!(allowance.exceed_budget(0.4, NOW) && !allowance.is_reduced(NOW));
        assert!((allowance.largest(NOW) - 0.398).abs() < 1e-9);
        assert!(allowance.exceed_budget(0.1, NOW) && allowance.largest(NOW) < 0.1);
        assert!(allowance.exceed_budget(0.001, NOW) && allowance.is_reduced(NOW));
        assert_eq!(allowance.largest(NOW), f64::INFINITY);
        // What is refused even so is asked for gently, and once more only.
        assert!(allowance.exceed_budget(0.0, NOW) && !allowance.exceed_budget(0.0, NOW));
        assert_eq!(allowance.rate(200e-6, 0.0, 100e-6, true), REDUCED_RATE);
        let later = NOW.after(REDUCED_RATE_PERIOD);
        assert!(!allowance.is_reduced(later) && allowance.is_scarce(later));
        assert!(!allowance.is_scarce(later.after(REDUCED_RATE_KNOWN)));
    }

    #[test]
    fn a_limit_that_a_refusal_names_is_kept_to_and_reduces_nothing_else() {
        let mut allowance = Allowance::UNKNOWN;
        assert!(allowance.exceed_total(200e-6, NOW) && !allowance.is_reduced(NOW));
        // Along the base frequency there is as much less room, against it as much more.
        assert!((allowance.rate(200e-6, 150e-6, 0.0, false) - 49.9e-6).abs() < 1e-9);
        assert!((allowance.rate(200e-6, -150e-6, 0.0, false) - 200e-6).abs() < 1e-9);
        assert_eq!(allowance.rate(200e-6, 250e-6, 0.0, false), 0.0);
        // The same again is not for lack of room.
        assert!(allowance.exceed_total(200e-6, NOW) && allowance.is_reduced(NOW));
    }

    #[test]
    fn at_the_edge_of_what_a_frequency_can_be_slews_have_room_until_a_refusal_says_otherwise() {
        let mut allowance = Allowance::UNKNOWN;
        for beside in [490e-6, 500e-6, 990e-6] {
            assert_eq!(allowance.rate(200e-6, beside, 0.0, false), BESIDE_BASE);
        }
        // The strict profile grants 100 ppm beside 190 ppm.
        assert!(allowance.exceed_total(290e-6, NOW) && !allowance.is_reduced(NOW));
        assert!((allowance.rate(200e-6, 190e-6, 0.0, false) - 99.9e-6).abs() < 1e-9);
    }

    #[test]
    fn a_long_slew_costs_nothing_where_that_is_not_much_slower() {
        let rate = |offset, inside| Allowance::UNKNOWN.rate_for(offset, 200e-6, 0.0, inside, false);
        assert!((rate(3.0, 150e-6) - 135e-6).abs() < 1e-9);
        assert!((rate(0.05, 150e-6) - 200e-6).abs() < 1e-9, "a short one is paid for");
        assert!((rate(3.0, 50e-6) - 200e-6).abs() < 1e-9, "what would take four times as long as well");
        assert!((rate(3.0, 400e-6) - 200e-6).abs() < 1e-9);
    }

    #[test]
    fn inside_the_band_most_of_it_is_used() {
        let rate = Allowance::UNKNOWN.rate(200e-6, 0.0, 50e-6, true);
        assert!((rate - 45e-6).abs() < 1e-9);
        assert_eq!(Allowance::UNKNOWN.rate(200e-6, 0.0, -1e-6, true), 0.0);
    }
}
