//! What a number means. Integers with the unit in the type, checked when built.
//!
//! **The sign of an offset, stated once**: positive means that the local clock is behind and must be
//! advanced. **The sign of a frequency**: positive makes the clock run faster.

use crate::codec::{Decode, Encode};
use core::fmt;

/// A value that is outside the range of the unit it was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value out of the range of its unit")
    }
}

impl core::error::Error for OutOfRange {}

macro_rules! unit {
    ($(#[$meta:meta])* $name:ident($inner:ty), $low:expr, $high:expr, $reader:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
        #[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead))]
        pub struct $name($inner);

        impl $name {
            /// Smallest value.
            pub const MIN: Self = Self($low);
            /// Largest value.
            pub const MAX: Self = Self($high);

            /// Checks the range.
            ///
            /// # Errors
            /// [`OutOfRange`] below [`Self::MIN`] or above [`Self::MAX`].
            #[allow(unused_comparisons, reason = "the lower limit of an unsigned unit is its type's")]
            pub const fn try_new(value: $inner) -> Result<Self, OutOfRange> {
                if value < $low || value > $high { Err(OutOfRange) } else { Ok(Self(value)) }
            }

            /// The nearest value in range.
            #[allow(unused_comparisons, reason = "the lower limit of an unsigned unit is its type's")]
            pub const fn saturating(value: $inner) -> Self {
                if value < $low { Self($low) } else if value > $high { Self($high) } else { Self(value) }
            }

            /// The number, in the unit of the type.
            pub const fn $reader(self) -> $inner {
                self.0
            }
        }

        decode_checked!($name, $inner);

        #[cfg(test)]
        impl proptest::arbitrary::Arbitrary for $name {
            type Parameters = ();
            type Strategy = proptest::strategy::BoxedStrategy<Self>;
            fn arbitrary_with((): ()) -> Self::Strategy {
                use proptest::strategy::Strategy;
                ($low..=$high).prop_map($name).boxed()
            }
        }
    };
}

const LIMIT: i64 = 1 << 62;

unit! {
    /// An instant on CLOCK_MONOTONIC_RAW, in nanoseconds since an arbitrary start. Never steps, never
    /// steered; stands still during suspend.
    RawInstant(i64), 0, LIMIT, nanos
}

unit! {
    /// An instant on CLOCK_BOOTTIME, in nanoseconds since this boot began. Never steps; time asleep is counted.
    BootInstant(i64), 0, LIMIT, nanos
}

unit! {
    /// An instant of the clock that is steered (CLOCK_REALTIME, or a virtual clock): nanoseconds since
    /// 1970-01-01 00:00 UTC, leap seconds not counted. Years 1970 to 2116.
    WallTime(i64), 0, LIMIT, nanos
}

unit! {
    /// A signed difference in nanoseconds. As a clock offset: positive, the local clock is behind.
    Offset(i64), -LIMIT, LIMIT, nanos
}

unit! {
    /// A length of time, an error bound or a dispersion, in nanoseconds; never negative.
    Span(i64), 0, LIMIT, nanos
}

unit! {
    /// A frequency in units of 2^-16 ppm, the kernel's own; positive makes the clock run faster.
    /// ±327,680,000 (±5000 ppm). The kernel's two parts of it reach farther: `freq` ±500 ppm, `tick` ±100,000 ppm.
    Frequency(i32), -327_680_000, 327_680_000, scaled
}

unit! {
    /// A rate of the clock with a slew in it, in units of 2^-16 ppm; not limited to what a [`Frequency`] can be.
    Rate(i64), -LIMIT, LIMIT, scaled
}

unit! {
    /// The sum of a frequency over time, in units of 2^-16 ppm × seconds; divided by the time it is the mean frequency.
    FrequencySum(i64), -LIMIT, LIMIT, scaled_seconds
}

unit! {
    /// Time constant of a slew: each second corrects 2^-(2 + value) of what is left, as the kernel's
    /// phase-locked loop does. 0 to 10.
    TimeConstant(u8), 0u8, 10u8, exponent
}

impl RawInstant {
    /// Later by `span`, at most [`Self::MAX`].
    pub const fn after(self, span: Span) -> Self {
        Self::saturating(self.0.saturating_add(span.0))
    }

    /// Time from `earlier` to `self`; negative where `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Offset {
        Offset::saturating(self.0.saturating_sub(earlier.0))
    }

    /// Time that has passed since `earlier`; zero where `earlier` is the later one.
    pub const fn elapsed_since(self, earlier: Self) -> Span {
        Span::saturating(self.0.saturating_sub(earlier.0))
    }
}

impl BootInstant {
    /// Time that has passed since `earlier`; zero where `earlier` is the later one.
    pub const fn elapsed_since(self, earlier: Self) -> Span {
        Span::saturating(self.0.saturating_sub(earlier.0))
    }
}

impl WallTime {
    /// Moved by `offset`, or nothing when the result is out of range.
    pub const fn checked_add(self, offset: Offset) -> Option<Self> {
        match Self::try_new(self.0.saturating_add(offset.0)) {
            Ok(time) => Some(time),
            Err(_) => None,
        }
    }

    /// Later by `span`, at most [`Self::MAX`].
    pub const fn after(self, span: Span) -> Self {
        Self::saturating(self.0.saturating_add(span.0))
    }

    /// Earlier by `span`, at least [`Self::MIN`].
    pub const fn before(self, span: Span) -> Self {
        Self::saturating(self.0 - span.0)
    }

    /// Moved by `offset`, or the nearest time in range.
    pub const fn moved_by(self, offset: Offset) -> Self {
        Self::saturating(self.0.saturating_add(offset.0))
    }

    /// `self` minus `other`.
    pub const fn minus(self, other: Self) -> Offset {
        Offset::saturating(self.0.saturating_sub(other.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A whole number of seconds, saturating.
    pub const fn from_secs(seconds: i64) -> Self {
        Self::saturating(seconds.saturating_mul(1_000_000_000))
    }

    /// A whole number of milliseconds, saturating.
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self::saturating(milliseconds.saturating_mul(1_000_000))
    }

    /// Whole seconds in it.
    pub const fn seconds(self) -> i64 {
        self.0 / 1_000_000_000
    }

    /// Both together, saturating.
    pub const fn plus(self, other: Self) -> Self {
        Self::saturating(self.0.saturating_add(other.0))
    }

    /// What is left after `other` is taken away; zero where nothing is left.
    pub const fn less(self, other: Self) -> Self {
        Self::saturating(self.0 - other.0)
    }

    /// As a difference forward.
    pub const fn forward(self) -> Offset {
        Offset(self.0)
    }
}

impl Offset {
    /// No offset.
    pub const ZERO: Self = Self(0);

    /// The distance from zero.
    pub const fn magnitude(self) -> Span {
        Span(self.0.abs())
    }

    /// The sum, saturating.
    pub const fn plus(self, other: Self) -> Self {
        Self::saturating(self.0.saturating_add(other.0))
    }

    /// The difference, saturating.
    pub const fn minus(self, other: Self) -> Self {
        Self::saturating(self.0.saturating_sub(other.0))
    }
}

impl Rate {
    /// No rate.
    pub const ZERO: Self = Self(0);

    /// The distance from zero, 2^-16 ppm.
    pub const fn magnitude(self) -> i64 {
        self.0.abs()
    }

    /// The sum, saturating.
    pub const fn plus(self, other: Self) -> Self {
        Self::saturating(self.0.saturating_add(other.0))
    }
}

impl FrequencySum {
    /// Over no time.
    pub const ZERO: Self = Self(0);

    /// With `frequency` for another `span`, counted in whole milliseconds; saturating.
    pub const fn with(self, frequency: Frequency, span: Span) -> Self {
        Self::saturating(
            self.0.saturating_add((frequency.0 as i64).saturating_mul(span.0 / 1_000_000) / 1_000),
        )
    }

    /// The mean over `span`; a span below a second counts as one.
    pub const fn mean_over(self, span: Span) -> Frequency {
        let seconds = span.seconds();
        let mean = self.0 / if seconds < 1 { 1 } else { seconds };
        // The limits of a frequency fit both types.
        if mean > Frequency::MAX.0 as i64 {
            Frequency::MAX
        } else if mean < Frequency::MIN.0 as i64 {
            Frequency::MIN
        } else {
            Frequency(mean as i32)
        }
    }
}

impl Frequency {
    /// The nominal rate.
    pub const ZERO: Self = Self(0);
    /// One part per million, in this unit.
    pub const PER_PPM: i32 = 65_536;

    /// As a rate without a slew.
    pub const fn rate(self) -> Rate {
        Rate(self.0 as i64)
    }

    /// Extra nanoseconds that the clock gains in `elapsed` nanoseconds; rounded toward zero.
    pub const fn gain(self, elapsed: i64) -> i64 {
        // elapsed ≤ 2^63 and |scaled| < 2^29, so the product fits i128; 2^16 ppm = 65,536,000,000 units a unit.
        ((elapsed as i128 * self.0 as i128) / 65_536_000_000) as i64
    }
}

/// The leap indicator of RFC 5905 section 7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Leap {
    /// No warning.
    None,
    /// The last minute of this day has 61 seconds.
    Insert,
    /// The last minute of this day has 59 seconds.
    Delete,
    /// Not synchronised.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_takes_its_limits_and_refuses_one_beyond() {
        assert!(Frequency::try_new(327_680_000).is_ok());
        assert_eq!(Frequency::try_new(327_680_001), Err(OutOfRange));
        assert_eq!(Frequency::try_new(-327_680_001), Err(OutOfRange));
        assert_eq!(Span::try_new(-1), Err(OutOfRange));
        assert_eq!(TimeConstant::try_new(11), Err(OutOfRange));
        assert_eq!(WallTime::try_new(-1), Err(OutOfRange));
        assert_eq!(RawInstant::saturating(i64::MAX), RawInstant::MAX);
    }

    #[test]
    fn a_positive_frequency_gains_time() {
        let one_ppm = Frequency::try_new(Frequency::PER_PPM).unwrap();
        assert_eq!(one_ppm.gain(1_000_000_000), 1_000);
        let slow = Frequency::try_new(-500 * Frequency::PER_PPM).unwrap();
        assert_eq!(slow.gain(86_400_000_000_000), -43_200_000_000);
    }

    #[test]
    fn no_time_passes_backwards() {
        let (early, late) = (RawInstant::saturating(5), RawInstant::saturating(8));
        assert_eq!((late.elapsed_since(early).nanos(), early.elapsed_since(late).nanos()), (3, 0));
        assert_eq!(Span::from_secs(1).less(Span::from_secs(2)), Span::ZERO);
        assert_eq!(Span::MAX.plus(Span::MAX), Span::MAX);
    }

    #[test]
    fn a_sum_of_frequencies_gives_their_mean_and_never_leaves_the_range() {
        let (slow, fast) = (Frequency::saturating(-600), Frequency::saturating(1_000));
        let sum = FrequencySum::ZERO.with(slow, Span::from_secs(3)).with(fast, Span::from_secs(1));
        assert_eq!(sum.mean_over(Span::from_secs(4)).scaled(), -200);
        assert_eq!(FrequencySum::MAX.with(Frequency::MAX, Span::MAX), FrequencySum::MAX);
        assert_eq!(FrequencySum::MAX.mean_over(Span::ZERO), Frequency::MAX);
        assert_eq!(FrequencySum::MIN.mean_over(Span::ZERO), Frequency::MIN);
    }
}
