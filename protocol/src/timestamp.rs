//! Times on the wire: the 64-bit timestamp, its era, and the 32-bit short format (RFC 5905 section 6).

/// Seconds from 1900-01-01, the epoch of NTP, to 1970-01-01, that of Unix.
pub const UNIX_EPOCH: i64 = 2_208_988_800;

const ERA: i64 = 1 << 32;
const SECOND: i64 = 1_000_000_000;

/// A 64-bit timestamp: seconds since 1900 modulo 2^32, and 2^-32 s. It says nothing about its era; zero
/// means "unknown".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(u64);

impl Timestamp {
    /// "Unknown".
    pub const UNKNOWN: Self = Self(0);

    /// From the wire.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// To the wire.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// From nanoseconds since 1970, any era. The instant that would be encoded as "unknown" (the start of an
    /// era) is encoded a quarter of a nanosecond later.
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        let seconds = nanos.div_euclid(SECOND).wrapping_add(UNIX_EPOCH) as u32;
        // Rounded down, so that it never carries into the seconds.
        let fraction = ((nanos.rem_euclid(SECOND) as u64) << 32) / SECOND as u64;
        let bits = (seconds as u64) << 32 | fraction;
        Self(if bits == 0 { 1 } else { bits })
    }

    /// Nanoseconds since 1970, in the era that puts the timestamp into the 2^32 seconds from `pivot` on
    /// (seconds since 1970; the date of the build less some decades is a good choice). Rounded to the nearest
    /// nanosecond, and saturated where i64 ends (year 2262).
    pub const fn unix_nanos(self, pivot: i64) -> i64 {
        let seconds = (self.0 >> 32) as i64 - UNIX_EPOCH;
        // At most 2^63 - 2^32 here, so the window itself cannot overflow.
        let pivot = if pivot > i64::MAX - ERA { i64::MAX - ERA } else { pivot };
        let seconds = pivot + seconds.wrapping_sub(pivot).rem_euclid(ERA);
        let fraction = (self.0 & 0xffff_ffff) * SECOND as u64;
        // Half a unit added: a fraction of 2^32 - 1 carries into the next second as it should.
        let nanos = ((fraction + (1 << 31)) >> 32) as i64;
        seconds.saturating_mul(SECOND).saturating_add(nanos)
    }

    /// `self` minus `earlier` in units of 2^-32 s; right across the end of an era as long as the two are within
    /// 68 years of each other.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0) as i64
    }
}

/// A short-format value (root delay or dispersion), 2^-16 s, as nanoseconds rounded up: at most 65,536 s.
pub const fn short_to_nanos(short: u32) -> i64 {
    ((short as u64 * SECOND as u64 + 0xffff) >> 16) as i64
}

/// Nanoseconds as a short-format value, rounded up so that an error is never understated, saturated at
/// both ends (a negative value is sent as 0).
pub const fn short_from_nanos(nanos: i64) -> u32 {
    if nanos <= 0 {
        return 0;
    }
    let short = ((nanos as i128) << 16).unsigned_abs().div_ceil(SECOND as u128);
    if short > u32::MAX as u128 { u32::MAX } else { short as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any date well before the packets and after 1970.
    const PIVOT: i64 = 200_000_000;

    /// A difference in 2^-32 s as nanoseconds, rounded to the nearest.
    fn units_to_nanos(units: i64) -> i64 {
        ((units as i128 * SECOND as i128 + (1 << 31)) >> 32) as i64
    }

    #[test]
    fn a020_dates_in_both_eras_have_the_known_fields() {
        for (unix, field) in [
            (63_072_000i64, 0x876c_e580u32),
            (1_704_067_200, 0xe93c_7f00),
            (1_784_462_400, 0xee07_3ac0),
            (2_085_978_495, 0xffff_ffff),
            (3_400_126_901, 0x4e54_5035),
            (4_233_462_144, 0x8000_0000),
        ] {
            let stamp = Timestamp::from_unix_nanos(unix * SECOND);
            assert_eq!((stamp.bits() >> 32) as u32, field, "{unix}");
            assert_eq!(stamp.bits() as u32, 0, "{unix}");
            assert_eq!(stamp.unix_nanos(0), unix * SECOND, "{unix}");
        }
        assert_eq!(Timestamp::from_unix_nanos(0).bits(), 0x83aa_7e80 << 32);
        // The same field one era earlier, for a host in that era.
        assert_eq!(Timestamp::from_bits(0x4e54_5035 << 32).unix_nanos(-UNIX_EPOCH), -894_840_395 * SECOND);
    }

    #[test]
    fn a174_the_window_starts_at_the_pivot_and_is_one_era_long() {
        let stamp = Timestamp::from_unix_nanos(PIVOT * SECOND);
        assert_eq!(stamp.unix_nanos(PIVOT), PIVOT * SECOND);
        assert_eq!(stamp.unix_nanos(PIVOT + 1), (PIVOT + ERA) * SECOND);
        let last = Timestamp::from_unix_nanos((PIVOT + ERA - 1) * SECOND);
        assert_eq!(last.unix_nanos(PIVOT), (PIVOT + ERA - 1) * SECOND);
        // 2^31 in Unix time is nothing special.
        let sign_bit = Timestamp::from_unix_nanos((1 << 31) * SECOND);
        assert_eq!(sign_bit.unix_nanos(PIVOT), (1 << 31) * SECOND);
    }

    #[test]
    fn the_start_of_an_era_is_never_sent_as_unknown() {
        let start = Timestamp::from_unix_nanos(2_085_978_496 * SECOND);
        assert_ne!(start.bits(), 0);
        assert_eq!(start.unix_nanos(PIVOT), 2_085_978_496 * SECOND);
    }

    #[test]
    fn fractions_round_down_and_never_carry() {
        for (nanos, fraction) in [
            (0i64, 0u32),
            (1, 4),
            (250_000_000, 0x4000_0000),
            (500_000_000, 0x8000_0000),
            (123_456_789, 0x1f9a_dd37),
            (999_999_999, 0xffff_fffb),
        ] {
            let stamp = Timestamp::from_unix_nanos(1_784_462_400 * SECOND + nanos);
            assert_eq!(stamp.bits() as u32, fraction, "{nanos}");
            assert_eq!(stamp.bits() >> 32, 0xee07_3ac0, "{nanos}");
        }
    }

    #[test]
    fn short_values_round_up_and_saturate() {
        for (nanos, short) in [
            (15_625_000i64, 0x400u32),
            (SECOND, 0x1_0000),
            (16 * SECOND, 0x10_0000),
            (1, 1),
            (0, 0),
            (-5, 0),
            (65_536 * SECOND, u32::MAX),
            (i64::MAX, u32::MAX),
        ] {
            assert_eq!(short_from_nanos(nanos), short, "{nanos}");
        }
        assert_eq!(short_to_nanos(0x400), 15_625_000);
        assert_eq!(short_to_nanos(1), 15_259);
        assert_eq!(short_to_nanos(u32::MAX), 65_535_999_984_742);
    }

    #[test]
    fn an_exchange_across_the_end_of_an_era_has_small_differences() {
        // Vector O2: T1, T4 before 2036-02-07 06:28:16, T2, T3 after.
        let [t1, t2, t3, t4] = [0xffff_fffe_8000_0000, 0x4000_0000, 0x4010_0000, 0xffff_ffff_0000_0000]
            .map(Timestamp::from_bits);
        let theta = (units_to_nanos(t2.since(t1)) + units_to_nanos(t3.since(t4))) / 2;
        let delta = units_to_nanos(t4.since(t1)) - units_to_nanos(t3.since(t2));
        assert_eq!(theta, 1_500_122_070);
        assert_eq!(delta, 499_755_859);
    }

    proptest! {
        #[test]
        fn nanoseconds_survive_the_wire(nanos in (PIVOT * SECOND)..((PIVOT + ERA) * SECOND)) {
            prop_assert_eq!(Timestamp::from_unix_nanos(nanos).unix_nanos(PIVOT), nanos);
        }

        #[test]
        fn any_bits_and_any_pivot_give_a_time(bits: u64, pivot: i64, nanos: i64) {
            let _ = Timestamp::from_bits(bits).unix_nanos(pivot);
            let _ = Timestamp::from_unix_nanos(nanos);
            let _ = units_to_nanos(bits as i64);
        }

        #[test]
        fn a_short_value_never_understates(nanos in 0i64..(65_535 * SECOND)) {
            prop_assert!(short_to_nanos(short_from_nanos(nanos)) >= nanos);
            prop_assert!(short_to_nanos(short_from_nanos(nanos)) < nanos + 30_519);
        }
    }
}
