//! Estimates from the round trips of a source.

/// How many delays are stored.
const REMEMBERED: usize = 256;

/// This many consecutive delays above all earlier ones mean another path.
const CONVINCED: usize = 8;

/// The last round trips, seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Delays {
    ring: [f64; REMEMBERED],
    /// Where the next one goes.
    next: usize,
    count: usize,
    /// The newest of them, which came since the path changed; those before have a minimum of their own.
    since: usize,
    changed: bool,
}

impl Delays {
    pub(super) const fn new() -> Self {
        Self { ring: [0.0; REMEMBERED], next: 0, count: 0, since: 0, changed: false }
    }

    pub(super) fn learn(&mut self, delay: f64) {
        self.ring[self.next] = delay;
        self.next = (self.next + 1) % REMEMBERED;
        self.count = (self.count + 1).min(REMEMBERED);
        self.since = (self.since + 1).min(self.count);
        if self.count < 2 * CONVINCED {
            return;
        }
        // By age: the newest first.
        let aged = |age: usize| self.ring[(self.next + REMEMBERED - 1 - age) % REMEMBERED];
        let newest = (0..CONVINCED).map(aged).fold(f64::INFINITY, f64::min);
        let older = (CONVINCED..self.since.max(CONVINCED)).map(aged).fold(f64::INFINITY, f64::min);
        let scale = self.scale();
        if newest > older + 6.0 * scale.max(0.02 * older) {
            self.change_path(CONVINCED);
            self.changed = true;
        } else if self.count == REMEMBERED {
            self.changed = false;
        }
    }

    /// The path before has been back for the last `run` delays. Those of a path that was there for a few only have no minimum of
    /// their own: it would be one of them, and the jitter would seem to be less than it is.
    pub(super) fn return_to_path(&mut self, run: usize) {
        if self.since >= run + CONVINCED {
            self.change_path(run);
        }
    }

    /// The path has been another one for the last `run` delays: they have a minimum of their own from now on.
    pub(super) fn change_path(&mut self, run: usize) {
        // Those in between are of the path that was, and those before them of earlier ones.
        let (now, before) = (self.least(run..self.since), self.least(self.since..self.count));
        if (now - before).is_finite() {
            for age in self.since..self.count {
                self.ring[place(self.next, age)] += now - before;
            }
        }
        self.since = run.min(self.count);
    }

    /// The least of those of these ages (0: the newest).
    fn least(&self, ages: core::ops::Range<usize>) -> f64 {
        ages.map(|age| self.ring[place(self.next, age)]).fold(f64::INFINITY, f64::min)
    }

    pub(super) fn minimum(&self) -> Option<f64> {
        Some(self.least(0..self.since)).filter(|least| least.is_finite())
    }

    pub(super) fn path_changed(&self) -> bool {
        self.changed
    }

    /// Mean excess of one way, from the median of both, which heavy tails do not move (1.678 is the median
    /// of a sum of two exponentials of mean 1). A single delay gives no information; then it is a fortieth of it.
    pub(super) fn scale(&self) -> f64 {
        let minimum = self.minimum().unwrap_or(0.0);
        let before = self.least(self.since..self.count);
        if self.count < 2 {
            return minimum / 40.0 + 1e-6;
        }
        let mut sorted = [0.0; REMEMBERED];
        for (age, excess) in sorted.iter_mut().enumerate().take(self.count) {
            let least = if age < self.since { minimum } else { before };
            *excess = self.ring[place(self.next, age)] - least;
        }
        let sorted = &mut sorted[..self.count];
        sorted.sort_unstable_by(f64::total_cmp);
        let count = self.count as f64;
        // The least of a few is itself above what is possible: by 1.06/√n of the median's distance.
        let seen = (1.0 - 1.06 / libm::sqrt(count)).max(0.4);
        let median = sorted[self.count / 2] / 1.678 / seen;
        // The median of a few is little, but what one delay tells is less.
        (median * (count * count - 1.0) + minimum / 40.0) / (count * count) + 1e-8
    }

    /// Half of all measurements have less excess than 1.678 scales. Distributed at random over both directions, it makes
    /// the error of the middle uniform within ± half of it: a twelfth of its square.
    pub(super) fn typical_variance(&self) -> f64 {
        let excess = 1.678 * self.scale();
        excess * excess / 12.0
    }
}

/// Where the delay of this age is, if the next one goes to `next`.
fn place(next: usize, age: usize) -> usize {
    (next + REMEMBERED - 1 - age) % REMEMBERED
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
    fn the_jitter_is_that_of_each_path_however_often_they_change() {
        let mut delays = Delays::new();
        let jitter = |n: u32| -libm::log((f64::from(n * 29 % 64) + 0.5) / 64.0) * 0.001;
        for n in 0..1000 {
            let is_longer = n / 50 % 2 == 1;
            delays.learn(jitter(n) + jitter(n / 3) + if is_longer { 0.030 } else { 0.010 });
            // Longer is found after eight, shorter at once.
            match n % 100 {
                0 if n > 0 => delays.change_path(1),
                57 => delays.change_path(8),
                _ => {}
            }
            if n > 50 && n % 50 > 10 {
                let scale = delays.scale();
                assert!((0.5e-3..2e-3).contains(&scale), "{n}: {scale}");
            }
        }
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
    }

    #[test]
    fn the_scale_is_that_of_the_jitter_from_a_few_replies_on() {
        // Excesses of the median and around it: 1.678 scales, as of a sum of two exponentials.
        let mut delays = Delays::new();
        for n in 0..200 {
            delays.learn(0.010 + [0.0, 0.001, 0.001_678, 0.002_5, 0.005][n % 5]);
        }
        let scale = delays.scale();
        assert!((0.9e-3..1.2e-3).contains(&scale), "{scale}");
        assert!((delays.typical_variance() / (1.678 * scale * 1.678 * scale / 12.0) - 1.0).abs() < 1e-9);
    }
}
