//! Whether a measurement is consistent with the earlier paths: a route may have changed, or the server may have been stepped.
//!
//! A packet can be late, but never early. So an *early* packet is significant: if the round trip is below its minimum, a
//! path became shorter; otherwise the offset has changed. *Late* packets are significant only if all replies are late in
//! one direction for some time.

use super::bank::Fit;

/// Earlier than this is impossible. In standard deviations.
const GATE: f64 = 4.5;

/// This many consecutive late packets mean a longer path.
const CONVINCED: usize = 8;

/// What late means, in mean rests; and of the whole path nothing below this is worth the name.
const LATE: f64 = 4.0;

/// The result of a measurement for the paths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// No change.
    Fits,
    /// This way (0: there, 1: back) is longer by so many seconds (or shorter, where negative).
    Rerouted(usize, f64),
    /// The offset has changed.
    Contradicts,
}

/// The last residuals of each direction, if all of them were late.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Paths {
    late: [(usize, f64); 2],
}

impl Paths {
    pub(super) const fn new() -> Self {
        Self { late: [(0, f64::INFINITY); 2] }
    }

    pub(super) fn compare(&mut self, fit: &Fit) -> Verdict {
        let early = |way: usize| -fit.rests[way] > GATE * fit.deviations[way];
        for way in 0..2 {
            let (count, least) = self.late[way];
            self.late[way] = if fit.rests[way] > LATE * fit.scales[way] + GATE * fit.deviations[way] {
                (count + 1, least.min(fit.rests[way]))
            } else {
                (0, f64::INFINITY)
            };
        }
        for way in 0..2 {
            if early(way) {
                let other = 1 - way;
                let together = fit.rests[way] + fit.rests[other];
                let deviation = libm::hypot(fit.deviations[way], fit.deviations[other]);
                if together < -GATE * deviation && fit.rests[other] < LATE * fit.scales[other] {
                    return Verdict::Rerouted(way, fit.rests[way]);
                }
                return Verdict::Contradicts;
            }
        }
        for way in 0..2 {
            if self.late[way].0 >= CONVINCED {
                let longer = self.late[way].1;
                self.late[way] = (0, f64::INFINITY);
                return Verdict::Rerouted(way, longer);
            }
        }
        Verdict::Fits
    }
}
