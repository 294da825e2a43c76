//! One offset and one frequency from the survivors: the mean, weighted by inverse variance.

/// The estimate of one survivor. Seconds and s/s; variances are squares of these.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Survivor {
    pub(crate) offset: f64,
    pub(crate) variance: f64,
    /// Variance of its systematic error: the asymmetry of its path and the error of its own clock. More sources reduce it,
    /// more samples do not.
    pub(crate) systematic: f64,
    pub(crate) frequency: f64,
    pub(crate) frequency_variance: f64,
}

/// The combined estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Combined {
    pub(crate) offset: f64,
    /// Variance of the offset, systematic part included.
    pub(crate) total: f64,
    /// The part of it that more samples reduce.
    pub(crate) variance: f64,
    /// Variance of the offset as the survivors show it. All of them are measured with one oscillator, so their errors are
    /// alike and more sources do not reduce them; and what they disagree in, at least one of them is wrong by.
    pub(crate) shown: f64,
    pub(crate) frequency: f64,
    pub(crate) frequency_variance: f64,
}

/// Combines the survivors; none: there are none.
pub(crate) fn combine(survivors: &[Survivor]) -> Option<Combined> {
    let mean = |value: fn(&Survivor) -> f64, variance: fn(&Survivor) -> f64| {
        let (mut sum, mut weights) = (0.0, 0.0);
        for survivor in survivors {
            // A variance of zero would be an infinite weight.
            let weight = 1.0 / variance(survivor).max(1e-24);
            sum += weight * value(survivor);
            weights += weight;
        }
        (weights > 0.0).then(|| (sum / weights, 1.0 / weights))
    };
    let (offset, total) = mean(|s| s.offset, |s| s.variance + s.systematic)?;
    let (frequency, frequency_variance) = mean(|s| s.frequency, |s| s.frequency_variance)?;
    let (_, variance) = mean(|s| s.offset, |s| s.variance)?;
    let shown = shown(survivors, offset, total);
    Some(Combined { offset, total, variance, shown, frequency, frequency_variance })
}

/// See [`Combined::shown`]. The disagreement is that of one of them with the others, not that of their mean: of a few, it is
/// not known well enough to be divided by their number.
fn shown(survivors: &[Survivor], offset: f64, total: f64) -> f64 {
    let (mut alike, mut apart) = (0.0, 0.0);
    for survivor in survivors {
        let weight = total / (survivor.variance + survivor.systematic).max(1e-24);
        alike += weight * libm::sqrt(survivor.variance);
        apart += weight * (survivor.offset - offset) * (survivor.offset - offset);
    }
    let count = survivors.len() as f64;
    alike * alike + apart * count / (count - 1.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survivor(offset: f64, variance: f64) -> Survivor {
        Survivor { offset, variance, systematic: 0.0, frequency: offset, frequency_variance: variance }
    }

    #[test]
    fn the_better_source_weighs_more_and_two_are_better_than_one() {
        let found = combine(&[survivor(0.0, 1.0), survivor(1.0, 3.0)]).unwrap();
        assert!((found.offset - 0.25).abs() < 1e-12);
        assert!((found.variance - 0.75).abs() < 1e-12);
        assert_eq!(found.frequency, found.offset);
    }

    #[test]
    fn more_samples_do_not_remove_a_systematic_error() {
        let sure = Survivor { systematic: 1e-6, ..survivor(0.0, 1e-12) };
        let near = Survivor { systematic: 1e-8, ..survivor(1.0, 1e-12) };
        let found = combine(&[sure, near]).unwrap();
        assert!(found.offset > 0.98);
        assert!(found.total > 1e-9 && found.variance < 1e-12);
    }

    #[test]
    fn what_the_survivors_disagree_in_and_have_in_common_is_part_of_the_error() {
        let of = |offset| Survivor { systematic: 4.0, ..survivor(offset, 0.01) };
        let deviation = |survivors: &[Survivor]| libm::sqrt(combine(survivors).unwrap().shown);
        // One alone has only its own deviation, and so have any that agree: their oscillator is the same.
        assert!((deviation(&[of(7.0)]) - 0.1).abs() < 1e-12);
        assert!((deviation(&[of(7.0), of(7.0), of(7.0)]) - 0.1).abs() < 1e-12);
        // Either of two may be right.
        assert!((deviation(&[of(0.0), of(2.0)]) - libm::sqrt(2.0)).abs() < 0.01);
        // One of three is 3 off, and the mean by 1.
        assert!(deviation(&[of(0.0), of(0.0), of(3.0)]) > 1.0);
        // A far source that disagrees with a near one says nothing of it.
        let near = Survivor { systematic: 1e-6, ..survivor(0.0, 1e-8) };
        assert!(deviation(&[near, of(1.0)]) < 1e-3);
    }

    #[test]
    fn nobody_says_nothing() {
        assert_eq!(combine(&[]), None);
        assert!(combine(&[survivor(1.0, 0.0)]).unwrap().offset.is_finite());
    }
}
