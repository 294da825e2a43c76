//! What the round trips of a source say about its measurements.

/// How many delays are remembered.
const REMEMBERED: usize = 256;

/// This many in a row above all earlier ones mean another path.
const CONVINCED: usize = 8;

/// The last round trips, seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Delays {
    ring: [f64; REMEMBERED],
    /// Where the next one goes.
    next: usize,
    count: usize,
    changed: bool,
}

/// What may be wrong with one measurement, seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    /// Delay beyond the minimum.
    pub(super) excess: f64,
    /// Mean excess of one way.
    pub(super) scale: f64,
    /// How much longer than the true minimum the observed one may be.
    pub(super) unknown: f64,
    /// Stamps and precision, standard deviation.
    pub(super) floor: f64,
}

impl Noise {
    /// Variance, where the quieter way has `share` of the other one's jitter (in variance). If both are
    /// alike (1), the excess is spread over them by chance, the offset's error is uniform within ± half of
    /// it, and that gives excess²/12. If one is quiet, the asymmetry explains the excess, and what is left
    /// is the quiet way's own jitter, or less where there was hardly any excess.
    pub(super) fn variance(&self, share: f64) -> f64 {
        let whole = self.excess + self.unknown;
        let alike = whole * whole / 12.0;
        // Mean and deviation of an exponential are the same: twice its variance is its mean square.
        let spread = if share < 1.0 { alike.min(2.0 * share * self.scale * self.scale) } else { alike };
        spread + self.unknown * self.unknown / 12.0 + self.floor * self.floor
    }
}

impl Delays {
    pub(super) const fn new() -> Self {
        Self { ring: [0.0; REMEMBERED], next: 0, count: 0, changed: false }
    }

    pub(super) fn learn(&mut self, delay: f64) {
        self.ring[self.next] = delay;
        self.next = (self.next + 1) % REMEMBERED;
        self.count = (self.count + 1).min(REMEMBERED);
        if self.count < 2 * CONVINCED {
            return;
        }
        // By age: the newest first.
        let aged = |age: usize| self.ring[(self.next + REMEMBERED - 1 - age) % REMEMBERED];
        let newest = (0..CONVINCED).map(aged).fold(f64::INFINITY, f64::min);
        let older = (CONVINCED..self.count).map(aged).fold(f64::INFINITY, f64::min);
        let scale = self.scale();
        if newest > older + 6.0 * scale.max(0.02 * older) {
            self.count = CONVINCED;
            self.changed = true;
        } else if self.count == REMEMBERED {
            self.changed = false;
        }
    }

    fn known(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.count).map(|age| self.ring[(self.next + REMEMBERED - 1 - age) % REMEMBERED])
    }

    pub(super) fn minimum(&self) -> Option<f64> {
        self.known().reduce(f64::min)
    }

    pub(super) fn path_changed(&self) -> bool {
        self.changed
    }

    /// Mean excess of one way, from the median of both, which heavy tails don't move (1.678 is the median
    /// of a sum of two exponentials of mean 1). A single delay tells nothing: a fortieth of it then.
    fn scale(&self) -> f64 {
        let minimum = self.minimum().unwrap_or(0.0);
        if self.count < 2 {
            return minimum / 40.0 + 1e-6;
        }
        let mut sorted = [0.0; REMEMBERED];
        for (place, delay) in sorted.iter_mut().zip(self.known()) {
            *place = delay - minimum;
        }
        let sorted = &mut sorted[..self.count];
        sorted.sort_unstable_by(f64::total_cmp);
        let median = sorted[self.count / 2] / 1.678;
        // The median of a few is little; what one delay tells fades slowly.
        let count = self.count as f64;
        (median * (count - 1.0) + minimum / 40.0) / count + 1e-8
    }

    pub(super) fn noise(&self, delay: f64, floor: f64) -> Noise {
        let minimum = self.minimum().unwrap_or(delay);
        // The least of n sums of two exponentials is above the true minimum by 1.25/√n, in the mean.
        let scale = self.scale();
        let unknown = 1.25 * scale / libm::sqrt(self.count.max(1) as f64);
        Noise { excess: (delay - minimum).max(0.0), scale, unknown, floor }
    }

    pub(super) fn typical_variance(&self) -> f64 {
        let scale = self.scale();
        // Half of all measurements have less excess than 1.678 scales.
        Noise { excess: 1.678 * scale, scale, unknown: 0.0, floor: 0.0 }.variance(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_path_is_noticed_after_eight_replies() {
        let mut delays = Delays::new();
        for n in 0..40 {
            delays.learn(0.010 + 0.0001 * f64::from(n % 7));
        }
        for n in 0..7 {
            delays.learn(0.030 + 0.0001 * f64::from(n));
            assert_eq!(delays.minimum(), Some(0.010));
        }
        delays.learn(0.030);
        assert_eq!(delays.minimum(), Some(0.030));
        assert!(delays.path_changed());
    }

    #[test]
    fn one_spike_does_not_move_the_scale() {
        let mut delays = Delays::new();
        for n in 0..63 {
            delays.learn(0.010 + 0.0001 * f64::from(n % 9));
        }
        let before = delays.scale();
        delays.learn(1.0);
        assert!((delays.scale() / before - 1.0).abs() < 0.2);
        assert!(delays.noise(1.0, 0.0).variance(1.0) > 0.08);
    }

    #[test]
    fn the_variance_is_a_twelfth_of_the_excess_squared() {
        let noise = Noise { excess: 0.012, scale: 0.004, unknown: 0.0, floor: 0.0 };
        assert!((noise.variance(1.0) - 0.012 * 0.012 / 12.0).abs() < 1e-15);
    }
}
