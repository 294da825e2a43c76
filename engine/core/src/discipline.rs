//! What to do about an offset: which frequency, how much slew, how fast, or a step.

use ipc::units::{Offset, RawInstant, Span, TimeConstant};

/// The kernel's limit of a slew, seconds.
const MOST_SLEW: f64 = 0.5;

/// Small offsets are slewed no faster than this, so that nothing that runs on the clock notices, and
/// the governor's frequency band is never left.
const SMALL_SLEW_RATE: f64 = 25e-6;

/// The part of the estimate's variance that may come on top because slews take their time.
const LAG: f64 = 0.18;

/// Seconds over which the lag that a single large correction causes is spread.
const LAG_TIME: f64 = 8192.0;

/// Corrections older than this many seconds count little.
const RESIDUALS_TIME: f64 = 7200.0;

/// Up to here an offset is small.
const SMALL: f64 = 1e-3;

/// Largest total frequency, a little below what the governor grants at most, unless the base frequency leaves less than this
/// for slews. s/s.
pub(crate) const MOST_FREQUENCY: f64 = 499.9e-6;
pub(crate) const BESIDE_BASE: f64 = 199.9e-6;

/// A slew against the base frequency's sign needs no room there; along it there is always some.
fn room(offset: f64, frequency: f64) -> f64 {
    (MOST_FREQUENCY - frequency * offset.signum()).max(BESIDE_BASE)
}

/// A slew with a longer time constant than this hardly decays before the next order, seconds.
const RENEWED: f64 = 512.0;

/// Above this an offset is not slewed: it would take weeks (RFC 5905's panic threshold).
pub(crate) const PANIC_THRESHOLD: f64 = 1000.0;

/// All sources were silent if none was heard for so many of the poll intervals.
const SILENCE: f64 = 4.0;

/// An offset of more deviations is an error of the clock, and not of the estimate.
const SIGNIFICANT: f64 = 3.0;

/// After a silence such an offset decays in no more than this, seconds: the usual time constant, which may be an hour, is that of
/// an estimate which is corrected all the time.
const RESUMING: f64 = 256.0;

/// So long at least the estimate becomes better.
const SETTLING: Span = Span::from_secs(300);

/// How restless the estimate is: what corrections move it by, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Residuals {
    /// Sum of the squares of corrections (s²) in so many seconds, both fading.
    squares: f64,
    /// Sum of the estimate's variances times how long each held.
    variances: f64,
    seconds: f64,
}

impl Residuals {
    pub(crate) const NONE: Self = Self { squares: 0.0, variances: 0.0, seconds: 0.0 };

    /// A correction moved the estimate by `change` seconds, `elapsed` seconds after the one before; the
    /// estimate has this `variance`.
    pub(crate) fn learn(&mut self, change: f64, variance: f64, elapsed: f64) {
        let kept = libm::exp(-elapsed / RESIDUALS_TIME);
        self.squares = self.squares * kept + change * change;
        self.variances = self.variances * kept + variance * elapsed;
        self.seconds = self.seconds * kept + elapsed;
    }

    /// How fast to follow, in seconds, where the estimate has now moved by `change`.
    ///
    /// A slew that decays in τ lags behind the estimate by a variance of τ/2 times the squares of
    /// corrections in a second, and costs a frequency error of the same squares over 2τ. So as slow as the lag
    /// remains a small part of the estimate's own error is best for both.
    pub(crate) fn time_constant(&self, change: f64, interval: f64) -> f64 {
        let half = interval / 2.0;
        if self.seconds < 4.0 * interval {
            return half;
        }
        let rate = (self.squares / self.seconds).max(change * change / LAG_TIME);
        if rate > 0.0 { 2.0 * LAG * (self.variances / self.seconds) / rate } else { half }
    }
}

/// The samples that the clock is corrected by, and the last silence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Silence {
    /// When the newest sample of the last correction was taken, and the poll interval then, seconds.
    heard: Option<(RawInstant, f64)>,
    /// When a source was heard again, until the clock is right again.
    resumed: Option<RawInstant>,
}

impl Silence {
    pub(crate) const NONE: Self = Self { heard: None, resumed: None };

    /// A correction by samples of which the newest was taken at `heard`, polled each `interval` seconds. Returns the seconds
    /// since the newest of the correction before; 0: none is newer.
    pub(crate) fn heard(&mut self, heard: RawInstant, interval: f64) -> f64 {
        let (before, usual) = self.heard.unwrap_or((heard, interval));
        // The newest survivor may have gone.
        self.heard = Some((heard.max(before), interval));
        let elapsed = seconds_between(before, heard);
        if elapsed > SILENCE * usual {
            self.resumed = Some(heard);
        }
        elapsed
    }

    /// The machine stood still or slept, which its raw clock may not have counted.
    pub(crate) fn stood_still(&mut self, now: RawInstant) {
        self.resumed = Some(now);
    }

    /// The time constant for an offset of this standard deviation (seconds) where `usual` would do without a silence.
    pub(crate) fn time_constant(&mut self, offset: f64, deviation: f64, usual: f64, now: RawInstant) -> f64 {
        let is_late = offset.abs() > SIGNIFICANT * deviation;
        self.resumed.take_if(|at| !is_late && at.after(SETTLING) <= now);
        if is_late && self.resumed.is_some() { usual.min(RESUMING) } else { usual }
    }
}

/// A slew: how much and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slew {
    pub(crate) amount: Offset,
    pub(crate) time_constant: TimeConstant,
}

/// How fast a clock comes nearer that is slewed at `slewed` and whose base frequency `lacks` so much; all in s/s. The lack of it
/// may help, but nothing that is ordered moves a clock faster than the largest total frequency.
pub(crate) fn approach(slewed: f64, lacks: f64, offset: f64) -> f64 {
    (slewed - lacks * offset.signum()).min(MOST_FREQUENCY)
}

/// The slew for `offset` (seconds), which should decay in `wanted` seconds, where the base frequency will be
/// `frequency` and no more than `most` (both s/s) is allowed. `finds`: the clock has only just been
/// found, so it is as fast as allowed.
pub(crate) fn slew(offset: f64, wanted: f64, frequency: f64, most: f64, finds: bool) -> Slew {
    let most = most.min(room(offset, frequency));
    let limit = if finds || offset.abs() > SMALL { most } else { most.min(SMALL_SLEW_RATE) };
    let mut amount = offset.clamp(-MOST_SLEW, MOST_SLEW);
    let wanted = if finds { 4.0 } else { wanted.clamp(4.0, 4096.0) };
    let seconds = |constant: u8| libm::ldexp(1.0, 2 + i32::from(constant));
    let whole = (0..=10).find(|c| seconds(*c) >= wanted && amount.abs() <= limit * seconds(*c));
    // A part of it at the full rate, and the rest with the next order, is faster than all of it at half the rate.
    let in_parts = |c: u8| if c > 0 && seconds(c - 1) >= RENEWED.max(wanted) { c - 1 } else { c };
    let constant = whole.map_or(10, in_parts);
    // What does not fit is for the next correction.
    let fits = limit * seconds(constant);
    amount = amount.clamp(-fits, fits);
    Slew {
        amount: Offset::saturating(libm::round(amount * 1e9) as i64),
        time_constant: TimeConstant::saturating(constant),
    }
}

/// Seconds from one instant to another; 0 if that is earlier.
fn seconds_between(from: RawInstant, to: RawInstant) -> f64 {
    to.since(from).nanos().max(0) as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(slew: &Slew) -> f64 {
        slew.amount.nanos() as f64 * 1e-9 / libm::ldexp(1.0, 2 + i32::from(slew.time_constant.exponent()))
    }

    #[test]
    fn no_slew_is_faster_than_allowed_and_small_ones_are_gentle() {
        for offset in [1e-7, 1e-5, 5e-4, 1e-3, 0.005, 0.08, 0.5, 30.0] {
            for sign in [1.0, -1.0] {
                for (most, frequency) in
                    [(200e-6, 0.0), (500e-6, 400e-6), (1e-6, -50e-6), (500e-6, 500e-6), (500e-6, -990e-6)]
                {
                    let ordered = slew(offset * sign, 64.0, frequency, most, false);
                    assert!(rate(&ordered).abs() <= most * 1.000_001, "{offset} {ordered:?}");
                    let total = (rate(&ordered) + frequency) * sign;
                    assert!(total < (frequency * sign + 200e-6).max(500e-6), "{offset} {ordered:?}");
                    assert!(ordered.amount.nanos().signum() as f64 == sign);
                    assert!(ordered.amount.nanos().abs() <= 500_000_000);
                    if offset <= SMALL {
                        assert!(rate(&ordered).abs() <= SMALL_SLEW_RATE * 1.000_001);
                    }
                }
            }
        }
    }

    #[test]
    fn no_clock_is_said_to_come_nearer_faster_than_a_slew_can_move_it() {
        for sign in [1.0, -1.0] {
            assert_eq!(approach(200e-6, -1_132e-6 * sign, 59.0 * sign), MOST_FREQUENCY);
            assert_eq!(approach(200e-6, 0.0, sign), 200e-6);
            // What is lacking in the other direction takes from it, and more than all.
            assert!((approach(200e-6, 50e-6 * sign, sign) - 150e-6).abs() < 1e-12);
            assert!(approach(200e-6, 250e-6 * sign, sign) < 0.0);
        }
    }

    #[test]
    fn a_restless_estimate_is_followed_faster_than_a_calm_one() {
        let after = |change: f64| {
            let mut residuals = Residuals::NONE;
            (0..40).for_each(|_| residuals.learn(change, 100e-6 * 100e-6, 256.0));
            residuals.time_constant(change, 256.0)
        };
        assert!(after(100e-6) < 0.5 * after(50e-6) && after(50e-6) < 0.5 * after(20e-6));
        // Followed with τ, the lag's variance is τ/2 of the squares a second.
        let lag = after(100e-6) / 2.0 * 100e-6 * 100e-6 / 256.0;
        assert!((lag / (100e-6 * 100e-6) / LAG - 1.0).abs() < 0.05, "{lag}");
        // One that is far out of the ordinary is not left for later.
        let mut calm = Residuals::NONE;
        (0..40).for_each(|_| calm.learn(10e-6, 100e-6 * 100e-6, 256.0));
        assert!(calm.time_constant(10e-3, 256.0) < 4.0);
    }

    #[test]
    fn a_small_offset_is_ordered_whole() {
        let ordered = slew(10e-6, 128.0, 20e-6, 200e-6, false);
        assert_eq!(ordered.amount.nanos(), 10_000);
        assert_eq!(ordered.time_constant.exponent(), 5);
    }

    #[test]
    fn a_large_offset_is_slewed_as_fast_as_allowed() {
        for offset in [0.11, 0.2, 0.3, 0.45, 0.5, 3.0] {
            for sign in [1.0, -1.0] {
                let ordered = slew(offset * sign, 4.0, 0.0, 200e-6, false);
                assert!(rate(&ordered) * sign > 199e-6, "{offset} {ordered:?}");
            }
        }
    }

    #[test]
    fn the_first_correction_is_as_fast_as_allowed() {
        let ordered = slew(0.008, 64.0, 0.0, 200e-6, true);
        assert_eq!(ordered.amount.nanos(), 8_000_000);
        assert!(rate(&ordered) > 100e-6);
    }
}
