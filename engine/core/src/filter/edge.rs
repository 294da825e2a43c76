//! A measurement with a one-sided error: no packet is faster than its path.
//!
//! The delay of a packet is a fixed part and a residual that is never negative. So the forward direction bounds the offset
//! from above and the backward direction bounds it from below, each with an error that is exponential in the simplest case.
//! The product of a Gaussian and such a one-sided distribution is a truncated Gaussian, whose mean and variance are known
//! in closed form.

/// Beyond this the asymptotic expansion is exact to what a double holds, and the closed form is not.
const FAR: f64 = 5.0;

/// ln Φ(b), and φ(b) / Φ(b), of the standard normal distribution.
fn tail(b: f64) -> (f64, f64) {
    let log_density = -0.5 * b * b - 0.918_938_533_204_672_7;
    if b > -FAR {
        let below = 0.5 * libm::erfc(-b * core::f64::consts::FRAC_1_SQRT_2);
        let log = libm::log(below);
        return (log, libm::exp(log_density - log));
    }
    let t = -b;
    // Mills' ratio as a continued fraction.
    let ratio = 1.0 / (t + 1.0 / (t + 2.0 / (t + 3.0 / (t + 4.0 / (t + 5.0 / t)))));
    (log_density + libm::log(ratio), 1.0 / ratio)
}

/// The effect of a bound on a Gaussian.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lesson {
    /// The change of the mean.
    pub(super) shift: f64,
    /// The factor of the variance, in (0, 1].
    pub(super) left: f64,
    /// Logarithm of the likelihood.
    pub(super) log: f64,
}

/// A value of mean 0 and this variance (that of the bound's own stamps included) lies below `bound`, by an
/// exponential distance of mean `scale`.
pub(super) fn bounded_above(bound: f64, variance: f64, scale: f64) -> Lesson {
    let deviation = libm::sqrt(variance);
    let lift = variance / scale;
    let b = (bound - lift) / deviation;
    let (log, hazard) = tail(b);
    let shift = lift - deviation * hazard;
    let left = if b < -30.0 { 1.0 / (b * b) } else { 1.0 - hazard * (b + hazard) };
    Lesson {
        shift,
        left: left.clamp(1e-9, 1.0),
        log: -bound / scale + 0.5 * lift / scale - libm::log(scale) + log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by summing.
    fn summed(bound: f64, variance: f64, scale: f64) -> Lesson {
        let deviation = libm::sqrt(variance);
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        let steps = 400_000;
        let low = -12.0 * deviation + bound.min(0.0) - 40.0 * scale.min(deviation);
        for step in 0..steps {
            let z = low + (bound - low) * (f64::from(step) + 0.5) / f64::from(steps);
            let density = libm::exp(-0.5 * z * z / variance - (bound - z) / scale)
                / scale
                / libm::sqrt(2.0 * core::f64::consts::PI * variance);
            sum += density;
            first += density * z;
            second += density * z * z;
        }
        let mean = first / sum;
        let width = (bound - low) / f64::from(steps);
        Lesson { shift: mean, left: (second / sum - mean * mean) / variance, log: libm::log(sum * width) }
    }

    #[test]
    fn the_closed_form_is_the_sum() {
        for (bound, variance, scale) in [
            (0.0, 1.0, 1.0),
            (1.0, 1.0, 0.3),
            (3.0, 1.0, 2.0),
            (-2.0, 1.0, 1.0),
            (-4.0, 0.5, 0.7),
            (0.2, 9.0, 0.1),
        ] {
            let (found, expected) = (bounded_above(bound, variance, scale), summed(bound, variance, scale));
            assert!(
                (found.shift - expected.shift).abs() < 1e-4,
                "{bound} {variance} {scale}: {found:?} {expected:?}"
            );
            assert!(
                (found.left - expected.left).abs() < 1e-3,
                "{bound} {variance} {scale}: {found:?} {expected:?}"
            );
            assert!(
                (found.log - expected.log).abs() < 1e-3,
                "{bound} {variance} {scale}: {found:?} {expected:?}"
            );
        }
    }

    #[test]
    fn the_far_tail_joins_on_and_stays_finite() {
        let (near, far) = (tail(-FAR + 1e-9), tail(-FAR - 1e-9));
        assert!((near.0 - far.0).abs() < 1e-4 && (near.1 - far.1).abs() < 1e-4, "{near:?} {far:?}");
        for bound in [-1e9, -1e3, 1e9] {
            let lesson = bounded_above(bound, 1e-6, 1e-3);
            assert!(lesson.shift.is_finite() && lesson.left > 0.0 && lesson.log.is_finite());
        }
    }
}
