//! The likely interval: by the model, true time is outside of it with a probability of a millionth.
//!
//! The hard interval ([`crate::guard`]) holds whatever the delays of the packets were, if the survivors are truechimers. This
//! one also believes what the filters have learnt, and what is assumed of paths ([`ASYMMETRY`]) and oscillators ([`JUMP`]). It
//! is never wider than the hard one, and where nothing is learnt yet, or something contradicts what was, it is as wide.
//!
//! Each survivor has such an interval, and true time is in all of them: that their errors are independent is not assumed, as
//! paths have a part in common. What they disagree in narrows it.

use crate::filter::Estimate;

/// So many standard deviations to either side leave a probability of 1.2e-7: of up to eight survivors, none is farther off but
/// with one of 1e-6.
const DEVIATIONS: f64 = 5.3;

/// The assumption on paths: neither way takes more than four times as long as the other, at the least. Then the middle of an
/// exchange is off by no more than this share of half of the round trip. Nor by more than so many mean excesses of one way,
/// because a way that became longer, or a frequency that changed, does not show in the jitter at once.
const ASYMMETRY: f64 = 0.6;
const UNNOTICED: f64 = 2.5;

/// The assumption on oscillators: beside its wander, the frequency has not changed by more than this since the last
/// measurement, s/s; and after so many seconds without one, by no more than the second.
const JUMP: f64 = 1e-6;
const ELSEWHERE: f64 = 2e-6;
const LONG: f64 = 7200.0;

/// How far true time can be from the estimate of one source, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reach {
    /// If both ways take equally long.
    pub(crate) symmetric: f64,
    /// What their difference adds.
    pub(crate) asymmetry: f64,
}

impl Reach {
    /// Of an estimate whose last measurement is `age` seconds old, of a server that says that it may be off by `root_dispersion`,
    /// over a path whose ways take equally long.
    pub(crate) fn of(estimate: &Estimate, age: f64, root_dispersion: f64) -> Self {
        let growth = estimate.most_wander * estimate.most_wander * age * age * age / 3.0;
        let symmetric = DEVIATIONS * libm::sqrt(estimate.variance + growth) + drift(age) + root_dispersion;
        Self { symmetric, asymmetry: 0.0 }
    }

    /// The ways do not take equally long. `half`: of the round trip to the primary source, at the least; `excess`: the mean of what
    /// one way takes beyond that.
    pub(crate) fn by_asymmetry(self, half: f64, excess: f64) -> Self {
        Self { asymmetry: (ASYMMETRY * half).max(UNNOTICED * excess), ..self }
    }

    /// It may be wrong by so many seconds more.
    pub(crate) fn widened(self, by: f64) -> Self {
        Self { symmetric: self.symmetric + by, ..self }
    }
}

/// What a frequency that changed since the last measurement, `age` seconds ago, adds at most; seconds.
fn drift(age: f64) -> f64 {
    let share = (age / LONG).clamp(0.0, 1.0);
    age.max(0.0) * (JUMP + share * (ELSEWHERE - JUMP))
}

/// How far true time can be from the combined estimate, at the time of the selection, seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Likely {
    low: f64,
    high: f64,
    /// To either side, if both ways of all survivors take equally long.
    symmetric: f64,
}

impl Likely {
    /// Of survivors with these offsets, around `offset`; none: they exclude each other, or there are none. `shown`: variance of the
    /// combined offset as they show it; `root_dispersion`: that of the nearest.
    pub(crate) fn of(
        survivors: impl Iterator<Item = (f64, Reach)>,
        offset: f64,
        shown: f64,
        root_dispersion: f64,
    ) -> Option<Self> {
        let (mut low, mut high, mut least) = (f64::NEG_INFINITY, f64::INFINITY, f64::INFINITY);
        for (own, Reach { symmetric, asymmetry }) in survivors {
            let reach = symmetric + asymmetry;
            (low, high) = (low.max(own - reach - offset), high.min(own + reach - offset));
            least = least.min(symmetric);
        }
        let symmetric = least.max(DEVIATIONS * libm::sqrt(shown) + root_dispersion);
        (low.is_finite() && low <= high).then_some(Self { low, high, symmetric })
    }

    /// Bounds of the offset `age` seconds after the selection, where `estimate` (of that time) says that it is `offset`: the likely
    /// interval, and the one if both ways take equally long. Neither goes beyond the `hard` one.
    pub(crate) fn within(
        &self,
        hard: (f64, f64),
        offset: f64,
        estimate: &Estimate,
        age: f64,
    ) -> [(f64, f64); 2] {
        let growth = estimate.variance_after(age) - estimate.variance - estimate.wander_growth(age)
            + estimate.most_wander * estimate.most_wander * age * age * age / 3.0;
        let more = DEVIATIONS * libm::sqrt(growth.max(0.0)) + drift(age);
        let likely = cut(hard, (offset + self.low - more, offset + self.high + more));
        let symmetric = self.symmetric + more;
        [likely, cut(likely, (offset - symmetric, offset + symmetric))]
    }
}

/// The part of an interval that is inside of another one; where there is none, the other one.
fn cut(outer: (f64, f64), inner: (f64, f64)) -> (f64, f64) {
    let both = (outer.0.max(inner.0), outer.1.min(inner.1));
    if both.0 <= both.1 { both } else { outer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::units::RawInstant;

    /// Of a deviation of 1 ms.
    fn estimate() -> Estimate {
        Estimate {
            at: RawInstant::MIN,
            base: 0,
            rest: 0.0,
            variance: 1e-6,
            frequency: 0.0,
            frequency_variance: 0.0,
            covariance: 0.0,
            wander: 0.0,
            most_wander: 0.0,
            beforehand: 0.0,
        }
    }

    fn is_near(interval: (f64, f64), low: f64, high: f64) {
        assert!((interval.0 - low).abs() < 1e-9 && (interval.1 - high).abs() < 1e-9, "{interval:?}");
    }

    fn likely(survivors: &[(f64, Reach)], offset: f64, shown: f64) -> Option<Likely> {
        Likely::of(survivors.iter().copied(), offset, shown, 0.0)
    }

    const ANY: (f64, f64) = (-1.0, 1.0);

    #[test]
    fn a_source_reaches_as_far_as_its_deviation_its_server_and_its_path() {
        let reach = Reach::of(&estimate(), 0.0, 0.002).by_asymmetry(0.020, 0.001);
        assert!((reach.symmetric - (0.0053 + 0.002)).abs() < 1e-12);
        assert!((reach.asymmetry - 0.012).abs() < 1e-12, "neither way is four times as long: 32 and 8 ms");
        let jittery = reach.by_asymmetry(0.001, 0.010);
        assert!((jittery.asymmetry - 0.025).abs() < 1e-12, "a change of five jitters does not show at once");
        assert!((reach.widened(0.1).symmetric - reach.symmetric - 0.1).abs() < 1e-12);
    }

    #[test]
    fn time_without_a_measurement_adds_what_the_frequency_may_do_and_its_largest_wander() {
        let still = Reach::of(&estimate(), 0.0, 0.0).symmetric;
        let drifting = Reach::of(&estimate(), 100.0, 0.0).symmetric - still;
        assert!((100e-6..102e-6).contains(&drifting), "{drifting}");
        let hours = Reach::of(&estimate(), 36_000.0, 0.0).symmetric - still;
        assert!((hours - 0.072).abs() < 1e-9, "{hours}");
        // The wander alone: 1e-8 · √(3600³ / 3) is 1.25 ms.
        let restless = Estimate { variance: 0.0, most_wander: 1e-8, wander: 1e-9, ..estimate() };
        let wandered = Reach::of(&restless, 3600.0, 0.0).symmetric - drift(3600.0);
        assert!((6.5e-3..6.7e-3).contains(&wandered), "{wandered}");
        let found = likely(&[(0.0, Reach::of(&restless, 0.0, 0.0))], 0.0, 0.0).unwrap();
        let [interval, _] = found.within(ANY, 0.0, &restless, 3600.0);
        is_near(interval, -wandered - drift(3600.0), wandered + drift(3600.0));
    }

    #[test]
    fn true_time_is_within_the_reach_of_each_survivor() {
        let near = Reach { symmetric: 0.001, asymmetry: 0.001 };
        let far = Reach { symmetric: 0.001, asymmetry: 0.019 };
        let found = likely(&[(0.0, near), (0.021, far)], 0.0005, 1e-8).unwrap();
        let [interval, symmetric] = found.within(ANY, 0.0105, &estimate(), 0.0);
        // The near one says −2 to 2 ms, the far one 1 to 41, and all of it is 10 ms later on this clock.
        is_near(interval, 0.011, 0.012);
        assert!(interval.0 <= symmetric.0 && symmetric.1 <= interval.1);
    }

    #[test]
    fn survivors_that_exclude_each_other_say_nothing_and_neither_does_nobody() {
        let near = Reach { symmetric: 0.001, asymmetry: 0.001 };
        assert_eq!(likely(&[(0.0, near), (0.005, near)], 0.0025, 1e-6), None);
        assert_eq!(likely(&[], 0.0, 1e-6), None);
    }

    #[test]
    fn it_is_never_wider_than_the_hard_interval() {
        let wide = Reach { symmetric: 1.0, asymmetry: 1.0 };
        let found = likely(&[(0.0, wide)], 0.0, 1e-6).unwrap();
        assert_eq!(found.within((-0.1, 0.2), 0.0, &estimate(), 0.0)[0], (-0.1, 0.2));
        let narrow = Reach { symmetric: 0.001, asymmetry: 0.0 };
        let found = likely(&[(0.0, narrow)], 0.0, 1e-8).unwrap();
        is_near(found.within((0.0, 0.2), 0.0, &estimate(), 0.0)[0], 0.0, 0.001);
        assert_eq!(found.within((0.1, 0.2), 0.0, &estimate(), 0.0)[0], (0.1, 0.2), "beside it");
    }
}
