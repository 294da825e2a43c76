//! Whether a measurement is consistent with the earlier paths: a route may have changed, or the server may have been stepped.
//!
//! A packet can be late, but never early. So an *early* packet is significant: if the round trip is below its minimum, a
//! path became shorter; otherwise the offset has changed. A *late* packet is not, but a run of packets of which none is on
//! time in one direction is: that n packets are all later than m, with a mean jitter of s, has a chance of e^(−nm/s). So the
//! path of this direction became longer as soon as nm/s is large enough, be it after few packets that are very late or after
//! many that are a little.

use super::bank::Fit;

/// Earlier than this is impossible. In standard deviations.
const GATE: f64 = 4.5;

/// What is later than this has been late beyond doubt. In standard deviations; it takes a run of them, not one.
const LATE_GATE: f64 = 3.5;

/// This many consecutive late packets at least mean a longer path,
const CONVINCED: usize = 8;

/// And at most so many are looked at.
const LONGEST_RUN: usize = 64;

/// The logarithm of the chance of a run beyond which it is no chance.
const EVIDENT: f64 = 20.0;

/// A packet that is later than this in one direction and early in the other does not say which of both has changed. In mean
/// rests.
const LATE: f64 = 4.0;

/// The result of a measurement for the paths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// No change.
    Fits,
    /// This way (0: there, 1: back) is shorter by so many seconds (negative).
    Shorter(usize, f64),
    /// So it is with the ways (there, back) that are longer.
    Longer([Option<Longer>; 2]),
    /// The offset has changed, or this way is shorter by so many seconds (negative).
    Contradicts(usize, f64),
}

/// A way that has been longer for so many measurements, this one included, by so many seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Longer {
    pub(super) run: usize,
    pub(super) by: f64,
}

/// What is remembered of a measurement, for one direction. Seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rest {
    rest: f64,
    /// By how much it was late beyond doubt.
    late: f64,
    /// Mean rest before.
    scale: f64,
}

/// The last residuals of each direction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Paths {
    ring: [[Rest; 2]; LONGEST_RUN],
    next: usize,
    /// So many of each direction.
    counts: [usize; 2],
}

impl Paths {
    pub(super) const fn new() -> Self {
        const NONE: Rest = Rest { rest: 0.0, late: 0.0, scale: 0.0 };
        Self { ring: [[NONE; 2]; LONGEST_RUN], next: 0, counts: [0; 2] }
    }

    pub(super) fn compare(&mut self, fit: &Fit) -> Verdict {
        self.ring[self.next] = [0, 1].map(|way| Rest {
            rest: fit.rests[way],
            late: fit.rests[way] - LATE_GATE * fit.deviations[way],
            scale: fit.scales[way],
        });
        self.next = (self.next + 1) % LONGEST_RUN;
        self.counts = self.counts.map(|count| (count + 1).min(LONGEST_RUN));
        let early = |way: usize| -fit.rests[way] > GATE * fit.deviations[way];
        for way in 0..2 {
            if early(way) {
                let other = 1 - way;
                let together = fit.rests[way] + fit.rests[other];
                let deviation = libm::hypot(fit.deviations[way], fit.deviations[other]);
                if together < -GATE * deviation && fit.rests[other] < LATE * fit.scales[other] {
                    self.counts = [0; 2];
                    return Verdict::Shorter(way, fit.rests[way]);
                }
                return Verdict::Contradicts(way, fit.rests[way]);
            }
        }
        let longer = [0, 1].map(|way| self.longer(way));
        for (count, longer) in self.counts.iter_mut().zip(longer) {
            *count = if longer.is_some() { 0 } else { *count };
        }
        if longer.iter().any(Option::is_some) {
            return Verdict::Longer(longer);
        }
        Verdict::Fits
    }

    /// The run of late measurements that is the least likely by chance, and the least of it.
    fn longer(&self, way: usize) -> Option<Longer> {
        let (mut least, mut latest, mut sum) = (f64::INFINITY, f64::INFINITY, 0.0);
        let mut found = None;
        let mut most = EVIDENT;
        for age in 0..self.counts[way] {
            let Rest { rest, late, scale } =
                self.ring[(self.next + LONGEST_RUN - 1 - age) % LONGEST_RUN][way];
            (least, latest, sum) = (least.min(rest), latest.min(late), sum + rest);
            if latest <= 0.0 {
                break;
            }
            let run = age + 1;
            if run < CONVINCED {
                continue;
            }
            // The jitter may have become larger as well.
            let jitter = (sum - run as f64 * least) / (run as f64 - 1.0);
            let evidence = run as f64 * latest / jitter.max(scale);
            if evidence > most {
                most = evidence;
                found = Some(Longer { run, by: least });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first measurement at which a longer path is found, of which `rests` are those of the way there, in jitters, and
    /// those of the way back are the same without `more`.
    fn found(more: f64, jitter: impl Fn(usize) -> f64) -> Option<(usize, Longer)> {
        let mut paths = Paths::new();
        (0..400).find_map(|n| {
            // Exponential rests of mean 1, in an order that repeats after 64.
            let quantile = ((n * 29 % 64) as f64 + 0.5) / 64.0;
            let rest = -libm::log(quantile) * jitter(n);
            let longer = if n < 100 { 0.0 } else { more };
            let fit = Fit { rests: [rest + longer, rest], deviations: [0.01; 2], scales: [1.0; 2] };
            match paths.compare(&fit) {
                Verdict::Longer([Some(longer), None]) => Some((n - 100 + 1, longer)),
                Verdict::Fits => None,
                other => panic!("{other:?}"),
            }
        })
    }

    #[test]
    fn a_way_is_found_to_be_longer_the_later_the_less_it_is() {
        for (more, packets) in [(20.0, 8), (4.0, 8), (2.0, 12), (1.0, 22), (0.5, 45)] {
            let (after, Longer { run, by }) = found(more, |_| 1.0).unwrap();
            assert!(after <= packets && run >= after, "{more}: after {after}, a run of {run}");
            assert!((more..more + 0.3).contains(&by), "{more}: {by}");
        }
        assert_eq!(found(0.0, |_| 1.0), None);
    }

    #[test]
    fn more_jitter_is_no_longer_way() {
        assert_eq!(found(0.0, |n| if n < 100 { 1.0 } else { 8.0 }), None);
    }

    #[test]
    fn both_ways_can_be_longer_at_once() {
        let mut paths = Paths::new();
        let fit = Fit { rests: [10.0, 12.0], deviations: [0.01; 2], scales: [1.0; 2] };
        for _ in 1..CONVINCED {
            assert_eq!(paths.compare(&fit), Verdict::Fits);
        }
        let longer = |by| Some(Longer { run: CONVINCED, by });
        assert_eq!(paths.compare(&fit), Verdict::Longer([longer(10.0), longer(12.0)]));
    }
}
