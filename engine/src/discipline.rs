//! What to do about an offset: which frequency, how much slew, how fast, or a step.

use ipc::units::{Offset, TimeConstant};

/// The kernel's limit of a slew, seconds.
const MOST_SLEW: f64 = 0.5;

/// Small offsets are slewed no faster than this, so that nothing that runs on the clock notices, and
/// the governor's frequency band is never left.
const GENTLE: f64 = 25e-6;

/// Up to here an offset is small.
const SMALL: f64 = 1e-3;

/// Largest total frequency, a little below where the kernel clamps.
const MOST_FREQUENCY: f64 = 495e-6;

/// Above this an offset is not slewed: it would take weeks (RFC 5905's panic threshold).
pub(crate) const PANIC: f64 = 1000.0;

/// A slew: how much and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slew {
    pub(crate) amount: Offset,
    pub(crate) time_constant: TimeConstant,
}

/// The slew for `offset` (seconds), where the next correction is expected in `interval` seconds, the base
/// frequency will be `frequency` and no more than `most` (both s/s) is allowed. `first`: there was none
/// before, so it is as fast as allowed.
pub(crate) fn slew(offset: f64, interval: f64, frequency: f64, most: f64, first: bool) -> Slew {
    let most = most.min(MOST_FREQUENCY - frequency.abs()).max(1e-6);
    let limit = if first || offset.abs() > SMALL { most } else { most.min(GENTLE) };
    let mut amount = offset.clamp(-MOST_SLEW, MOST_SLEW);
    // Half of the interval: mostly done before the next correction, and yet without a jerk.
    let wanted = if first { 4.0 } else { (interval / 2.0).clamp(4.0, 128.0) };
    let seconds = |constant: u8| libm::ldexp(1.0, 2 + i32::from(constant));
    let constant =
        (0..10).find(|c| seconds(*c) >= wanted && amount.abs() <= limit * seconds(*c)).unwrap_or(10);
    // What doesn't fit is for the next correction.
    let fits = limit * seconds(constant);
    amount = amount.clamp(-fits, fits);
    Slew {
        amount: Offset::saturating(libm::round(amount * 1e9) as i64),
        time_constant: TimeConstant::saturating(constant),
    }
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
                for (most, frequency) in [(200e-6, 0.0), (500e-6, 400e-6), (1e-6, -50e-6)] {
                    let ordered = slew(offset * sign, 64.0, frequency, most, false);
                    assert!(rate(&ordered).abs() <= most * 1.000_001, "{offset} {ordered:?}");
                    assert!(rate(&ordered).abs() + f64::abs(frequency) < 500e-6, "{offset} {ordered:?}");
                    assert!(ordered.amount.nanos().signum() as f64 == sign);
                    assert!(ordered.amount.nanos().abs() <= 500_000_000);
                    if offset <= SMALL {
                        assert!(rate(&ordered).abs() <= GENTLE * 1.000_001);
                    }
                }
            }
        }
    }

    #[test]
    fn a_small_offset_is_ordered_whole_and_ends_before_the_next_correction() {
        let ordered = slew(10e-6, 256.0, 20e-6, 200e-6, false);
        assert_eq!(ordered.amount.nanos(), 10_000);
        assert_eq!(ordered.time_constant.exponent(), 5);
    }

    #[test]
    fn the_first_correction_is_as_fast_as_allowed() {
        let ordered = slew(0.008, 64.0, 0.0, 200e-6, true);
        assert_eq!(ordered.amount.nanos(), 8_000_000);
        assert!(rate(&ordered) > 100e-6);
    }
}
