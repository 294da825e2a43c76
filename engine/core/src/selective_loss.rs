//! Loss that is not by chance: whether the replies that arrive were chosen by their offset.
//!
//! Whoever drops those replies whose offset is too small, as seen from the path, leaves a clock that is ahead by as much as
//! the path scatters, with replies that are all genuine. What was lost cannot be seen, but what arrived can: how late a
//! query was says nothing of how late its reply is, so the delays there and back, exchanged among exchanges, give the same
//! differences as those that were measured. Where the differences were cut off, they give many that are beyond the edge,
//! one in six on a path of equal ways, whatever the law of its delays. It takes losses between the replies, an edge that
//! is sharp, on one side only, and that this lasts: bursts of jitter in both directions give differences beyond the edge
//! too, but no sharp one.

use ipc::units::Span;

/// Replies that are judged together.
const WINDOW: usize = 128;

/// They are judged whenever so many new ones came.
const EVERY: usize = 16;

/// So many verdicts in favour of a choice, with each one against it counted twice.
const CONVINCED: u8 = 6;

/// The edge: the third least difference. Two may lie beyond a cut, by the errors of the estimate.
const EDGE: usize = 2;

/// The share of exchanged differences beyond the edge from which on the delays there and back depend on each other.
const DEPENDENT: f64 = 0.08;

/// An edge is sharp if the distance from it to the thirteenth least difference is less than this share of that from there
/// to the median: of an exponential law that is cut off it is 0.14.
const SHARP: f64 = 0.25;
const BEHIND_EDGE: usize = 12;

/// One way may be later than the other by this factor on average. Above it, what both have in common appears as an edge.
const UNEQUAL: f64 = 5.0;

/// The replies were chosen only if at least one in so many came after queries without one.
const LOSSY: usize = 5;

/// What is known of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Only those replies arrive whose offsets are the larger ones; else the smaller ones.
    pub is_larger: bool,
    /// How many replies were judged.
    pub replies: u16,
    /// How many queries were sent for them.
    pub queries: u64,
    /// How wide the offsets of those replies scatter: as far as that, what was lost can have been elsewhere.
    pub spread: Span,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Arrival {
    /// Delay there and back beyond what the estimate says, each with an unknown constant; seconds.
    ways: [f64; 2],
    /// Queries up to it.
    sent: u64,
}

/// The last replies of a source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrivals {
    ring: [Arrival; WINDOW],
    /// Where the next one goes.
    next: usize,
    count: usize,
    score: u8,
    chosen: Option<Chosen>,
}

impl Arrivals {
    pub(crate) const fn new() -> Self {
        Self {
            ring: [Arrival { ways: [0.0; 2], sent: 0 }; WINDOW],
            next: 0,
            count: 0,
            score: 0,
            chosen: None,
        }
    }

    /// Takes a reply whose offset was larger than the estimate by `residual`, with a round trip of `delay` (seconds);
    /// `sent`: queries until then.
    pub(crate) fn take(&mut self, residual: f64, delay: f64, sent: u64) {
        self.ring[self.next] = Arrival { ways: [delay / 2.0 + residual, delay / 2.0 - residual], sent };
        self.next = (self.next + 1) % WINDOW;
        self.count = (self.count + 1).min(WINDOW);
        if self.count < WINDOW || !self.next.is_multiple_of(EVERY) {
            return;
        }
        match self.judge() {
            Some(chosen) => {
                self.score = (self.score + 1).min(CONVINCED);
                if self.score == CONVINCED || self.chosen.is_some() {
                    self.chosen = Some(chosen);
                }
            }
            None => {
                self.score = self.score.saturating_sub(2);
                if self.score == 0 {
                    self.chosen = None;
                }
            }
        }
    }

    /// Whether the replies seem to be chosen.
    pub(crate) const fn chosen(&self) -> Option<Chosen> {
        self.chosen
    }

    /// The earlier replies no longer compare with those to come.
    pub(crate) fn forget(&mut self) {
        self.count = 0;
        self.next = 0;
    }

    fn judge(&self) -> Option<Chosen> {
        // Oldest first.
        let aged = |age: usize| self.ring[(self.next + age) % WINDOW];
        let lossy = (1..WINDOW).filter(|age| aged(*age).sent > aged(age - 1).sent + 1).count();
        let excess = |way: usize| {
            let least = self.ring.iter().map(|arrival| arrival.ways[way]).fold(f64::INFINITY, f64::min);
            self.ring.iter().map(|arrival| arrival.ways[way] - least).sum::<f64>()
        };
        let (there, back) = (excess(0), excess(1));
        if lossy * LOSSY < WINDOW || there > UNEQUAL * back || back > UNEQUAL * there {
            return None;
        }
        let mut sorted = self.ring.map(|arrival| arrival.ways[0] - arrival.ways[1]);
        sorted.sort_unstable_by(f64::total_cmp);
        let (low, high) = (sorted[EDGE], sorted[WINDOW - 1 - EDGE]);
        let (mut below, mut above) = (0_u32, 0_u32);
        for (at, arrival) in self.ring.iter().enumerate() {
            for (other, exchanged) in self.ring.iter().enumerate() {
                let difference = arrival.ways[0] - exchanged.ways[1];
                below += u32::from(at != other && difference < low);
                above += u32::from(at != other && difference > high);
            }
        }
        let share = |count: u32| f64::from(count) / (WINDOW * (WINDOW - 1)) as f64;
        let (below, above) = (share(below), share(above));
        let is_larger = below > above;
        let (most, least) = if is_larger { (below, above) } else { (above, below) };
        // From the edge inwards.
        let inwards = |at: usize| if is_larger { sorted[at] } else { -sorted[WINDOW - 1 - at] };
        let middle = inwards(WINDOW / 2 - 1);
        let is_sharp = inwards(BEHIND_EDGE) - inwards(EDGE) < SHARP * (middle - inwards(BEHIND_EDGE));
        (most > DEPENDENT && least < most / 3.0 && is_sharp).then(|| Chosen {
            is_larger,
            replies: WINDOW as u16,
            queries: aged(WINDOW - 1).sent - aged(0).sent + 1,
            // A difference of both ways is twice an offset.
            spread: Span::saturating(libm::round((high - low) / 2.0 * 1e9) as i64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Random(u64);

    impl Random {
        fn uniform(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        }

        fn exponential(&mut self, mean: f64) -> f64 {
            -libm::log(self.uniform()) * mean
        }
    }

    /// One exchange, by the law of a path: the excess of both ways in ms. The number is kept from one to the next.
    type Law = fn(&mut Random, &mut f64) -> [f64; 2];

    fn burst(random: &mut Random, state: &mut f64) -> f64 {
        let changes = random.uniform() < if *state == 0.0 { 0.05 } else { 0.2 };
        *state = if changes { 1.0 - *state } else { *state };
        1.0 + 29.0 * *state
    }

    const PATHS: [(&str, Law); 8] = [
        ("equal", |random, _| [random.exponential(1.0), random.exponential(1.0)]),
        ("unequal", |random, _| [random.exponential(3.0), random.exponential(1.0)]),
        ("one queue", |random, _| [random.exponential(20.0), random.exponential(1.0)]),
        ("heavy", |random, _| [0; 2].map(|_| libm::pow(random.uniform(), -0.4))),
        ("bursts", |random, state| {
            let scale = burst(random, state);
            [random.exponential(scale), random.exponential(scale)]
        }),
        ("unequal bursts", |random, state| {
            let scale = burst(random, state);
            [random.exponential(3.0 * scale), random.exponential(scale)]
        }),
        ("very unequal bursts", |random, state| {
            let scale = burst(random, state);
            [random.exponential(10.0 * scale), random.exponential(scale)]
        }),
        ("power saving", |random, _| [random.exponential(1.0), 100.0 * random.uniform()]),
    ];

    /// After how many replies a choice is found, with `loss` of the packets by chance in each direction.
    fn found(law: Law, seed: u64, replies: u32, loss: f64, is_dropped: impl Fn(f64) -> bool) -> Option<u32> {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (mut arrivals, mut state, mut sent) = (Arrivals::new(), 0.0, 0);
        for reply in 1..=replies {
            loop {
                sent += 1;
                let [there, back] = law(&mut random, &mut state).map(|milli| milli * 1e-3);
                let residual = (there - back) / 2.0;
                let is_lost = random.uniform() < loss || random.uniform() < loss;
                // The attacker does not know the offset to the microsecond.
                if !is_lost && !is_dropped(residual + 25e-6 * (random.uniform() - 0.5)) {
                    arrivals.take(residual, there + back, sent);
                    break;
                }
            }
            if arrivals.chosen().is_some() {
                return Some(reply);
            }
        }
        None
    }

    #[test]
    fn a182_loss_by_chance_on_any_path_is_no_choice_in_a_week() {
        for (path, law) in PATHS {
            for seed in 1..=3 {
                // A week of queries each 32 s, of which half are answered.
                assert_eq!(found(law, seed, 9_450, 0.3, |_| false), None, "{path} {seed}");
            }
        }
    }

    #[test]
    fn a182_replies_chosen_by_their_offset_are_seen_within_300_half_of_the_time_and_1200_nearly_always() {
        for (path, law) in [PATHS[0], PATHS[1], PATHS[3], PATHS[4], PATHS[5]] {
            let mut after: [u32; 20] = core::array::from_fn(|seed| {
                let drop = |offset: f64| if seed % 2 == 0 { offset < 0.0 } else { offset > 0.0 };
                found(law, seed as u64 + 1, 2_000, 0.0, drop).unwrap_or(u32::MAX)
            });
            after.sort_unstable();
            // As docs/attacks.md says.
            assert!(after[0] >= 208 && after[10] <= 300 && after[18] <= 1_200, "{path}: {after:?}");
        }
    }

    #[test]
    fn a182_replies_that_are_no_longer_chosen_are_no_choice_after_as_many() {
        let (mut random, mut arrivals) = (Random(7), Arrivals::new());
        let mut sent = 0;
        for reply in 0..1_000 {
            let residual = loop {
                sent += 1;
                let residual = (random.exponential(1e-3) - random.exponential(1e-3)) / 2.0;
                if reply >= 500 || residual > 0.0 {
                    break residual;
                }
            };
            arrivals.take(residual, 2.0 * residual.abs() + random.exponential(1e-3), sent);
            match reply {
                499 => {
                    assert!(arrivals.chosen().is_some_and(|chosen| chosen.is_larger && chosen.queries > 200))
                }
                700.. => assert_eq!(arrivals.chosen(), None, "{reply}"),
                _ => {}
            }
        }
    }
}
