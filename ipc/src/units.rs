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
    /// ±32,768,000 (±500 ppm), where the kernel itself clamps.
    Frequency(i32), -32_768_000, 32_768_000, scaled
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
}

impl WallTime {
    /// Moved by `offset`, or nothing when the result is out of range.
    pub const fn checked_add(self, offset: Offset) -> Option<Self> {
        match Self::try_new(self.0.saturating_add(offset.0)) {
            Ok(time) => Some(time),
            Err(_) => None,
        }
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
}

impl Offset {
    /// No offset.
    pub const ZERO: Self = Self(0);

    /// The distance from zero.
    pub const fn magnitude(self) -> Span {
        Span(self.0.abs())
    }
}

impl Frequency {
    /// The nominal rate.
    pub const ZERO: Self = Self(0);
    /// One part per million, in this unit.
    pub const PER_PPM: i32 = 65_536;

    /// Extra nanoseconds that the clock gains in `elapsed` nanoseconds; rounded toward zero.
    pub const fn gain(self, elapsed: i64) -> i64 {
        // elapsed ≤ 2^63 and |scaled| < 2^25, so the product fits i128; 2^16 ppm = 65,536,000,000 units a unit.
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
        assert!(Frequency::try_new(32_768_000).is_ok());
        assert_eq!(Frequency::try_new(32_768_001), Err(OutOfRange));
        assert_eq!(Frequency::try_new(-32_768_001), Err(OutOfRange));
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
}
