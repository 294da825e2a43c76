//! Numbers with a fraction as chrony's monitoring protocol has them.

/// Bits of the coefficient, its sign included.
const COEFFICIENT: i32 = 25;

/// The largest coefficient.
const MOST: i64 = (1 << (COEFFICIENT - 1)) - 1;

/// The exponents that fit into the other seven bits.
const EXPONENTS: (i32, i32) = (-64, 63);

/// 32 bits: a signed exponent, then a signed coefficient; the value is coefficient · 2^(exponent − 25). What is too large
/// becomes the largest number of its sign, what is too small, and what is no number, 0.
pub fn encode(value: f64) -> u32 {
    let magnitude = value.abs();
    // Of a normal number m · 2^e with m in [0.5, 1); what is smaller than normal numbers is 0 here.
    let exponent = ((magnitude.to_bits() >> 52) & 0x7ff) as i32 - 1022;
    let mut exponent = (exponent + 1).max(EXPONENTS.0);
    if value.is_nan() {
        return 0;
    }
    if exponent > EXPONENTS.1 {
        return pack(EXPONENTS.1, if value < 0.0 { -MOST } else { MOST });
    }
    let mut coefficient = (magnitude * 2_f64.powi(COEFFICIENT - exponent)).round() as i64;
    if coefficient > MOST {
        coefficient /= 2;
        exponent += 1;
    }
    match coefficient {
        0 => 0,
        _ if exponent > EXPONENTS.1 => pack(EXPONENTS.1, if value < 0.0 { -MOST } else { MOST }),
        _ => pack(exponent, if value < 0.0 { -coefficient } else { coefficient }),
    }
}

const fn pack(exponent: i32, coefficient: i64) -> u32 {
    (exponent as u32) << COEFFICIENT | (coefficient as u32 & ((1 << COEFFICIENT) - 1))
}

/// The value of such a number, as chronyc reads it.
#[cfg(test)]
pub fn decode(octets: u32) -> f64 {
    let exponent = (octets as i32) >> COEFFICIENT;
    let coefficient = ((octets << (32 - COEFFICIENT)) as i32) >> (32 - COEFFICIENT);
    f64::from(coefficient) * 2_f64.powi(exponent - COEFFICIENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_those_of_the_layout() {
        // Exponent 2, coefficient 2^23: 2^23 · 2^(2 - 25).
        assert_eq!(encode(1.0), 0x0480_0000);
        assert_eq!(encode(-1.0), 0x0580_0000);
        assert_eq!(encode(0.5), 0x0280_0000);
        assert_eq!(encode(0.25), 0x0080_0000);
        // Exponent -1 in seven bits is 127.
        assert_eq!(encode(0.125), 0xfe80_0000);
        assert_eq!(encode(3.0), 0x06c0_0000);
        for nothing in [0.0, -0.0, f64::NAN, 1e-60, -1e-60, f64::MIN_POSITIVE / 4.0] {
            assert_eq!(encode(nothing), 0, "{nothing}");
        }
    }

    #[test]
    fn what_is_too_large_is_the_largest_of_its_sign() {
        for (value, sign) in [(1e30, 1.0), (f64::INFINITY, 1.0), (-1e30, -1.0), (f64::NEG_INFINITY, -1.0)] {
            assert_eq!(decode(encode(value)), sign * MOST as f64 * 2_f64.powi(38));
        }
        // The last number below the limit that rounds up to it.
        let limit = 2_f64.powi(62);
        assert_eq!(decode(encode(limit * (1.0 - 1e-12))), MOST as f64 * 2_f64.powi(38));
    }

    proptest! {
        #[test]
        fn a_number_comes_back_to_seven_digits(value in -1e12..1e12_f64) {
            let read = decode(encode(value));
            prop_assert!((read - value).abs() <= value.abs() * 2_f64.powi(-23), "{value} {read}");
        }

        #[test]
        fn a_small_number_comes_back(exponent in -20..-1, digits in -9.0..9.0_f64) {
            let value = digits * 10_f64.powi(exponent);
            let read = decode(encode(value));
            prop_assert!((read - value).abs() <= (value.abs() * 2_f64.powi(-23)).max(2_f64.powi(-89)));
        }
    }
}
