//! What the steered clock does between two orders.
//!
//! The engine estimates true time against CLOCK_MONOTONIC_RAW. To steer, it must know how the steered clock runs against
//! the same counter. For the kernel's clock this is almost exactly the ordered frequency; a virtual clock has an oscillator
//! of its own. So the difference, the *natural frequency*, is measured from readings of both clocks, less the orders.

use crate::io::Now;
use ipc::message::privileged::{Adjust, ClockKind, ClockReading};
use ipc::units::{Frequency, Offset, RawInstant, TimeConstant, WallTime};

/// No clock runs faster or slower by itself, s/s: what moved it is not a frequency. The kernel's is kept at its frequency; a
/// virtual one has an oscillator.
const ANY: f64 = 1e-3;
const ANY_VIRTUAL: f64 = 1.7e-3;

/// A reading that is farther from what is known than so many standard deviations, and this much, s/s, is not believed alone.
const SURPRISING: (f64, f64) = (5.0, 1e-6);

/// The steered clock since its last order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LocalClock {
    anchor: ClockReading,
    time_constant: u8,
    /// Mean and variance of the natural frequency, s/s.
    natural: (f64, f64),
    /// What the last reading said, if it was too far from that. A sleep of a few seconds, of which nobody tells, or a small step
    /// by another program is seen once; a changed tick is seen again.
    doubted: Option<f64>,
    /// Standard deviation of one reading, seconds.
    reading: f64,
    /// The largest natural frequency, s/s.
    any: f64,
}

impl LocalClock {
    pub(crate) fn new(kind: ClockKind, found: ClockReading) -> Self {
        let (prior, reading) = match kind {
            // An adjtimex tick that another program set is learned, slowly.
            ClockKind::Kernel => (1e-8, 200e-9),
            ClockKind::Virtual => (500e-6, 20e-9),
            // Another program may be steering it.
            ClockKind::None => (500e-6, 200e-9),
        };
        let any = if kind == ClockKind::Kernel { ANY } else { ANY_VIRTUAL };
        // A slew that was found in progress: its rate is not known.
        Self { anchor: found, time_constant: 0, natural: (0.0, prior * prior), doubted: None, reading, any }
    }

    /// When the last order was carried out.
    pub(crate) fn since(&self) -> RawInstant {
        self.anchor.raw
    }

    /// Base frequency in force, s/s.
    pub(crate) fn frequency(&self) -> f64 {
        from_scaled(self.anchor.frequency)
    }

    /// The remaining slew at `at`, in seconds.
    pub(crate) fn slew_left(&self, at: RawInstant) -> f64 {
        let elapsed = at.since(self.anchor.raw).nanos().max(0) as f64 * 1e-9;
        self.anchor.slew_left.nanos() as f64 * 1e-9 * libm::exp(elapsed * self.log_decay())
    }

    /// Natural logarithm of what a second leaves of a slew.
    fn log_decay(&self) -> f64 {
        libm::log1p(-libm::ldexp(1.0, -2 - i32::from(self.time_constant)))
    }

    /// The natural frequency and its variance, with what the clock's reading now adds.
    pub(crate) fn natural(&self, raw: RawInstant, wall: WallTime) -> (f64, f64) {
        self.with(raw, wall, self.slew_left(raw)).0
    }

    /// The natural frequency with the clock's reading, and what is doubted of it.
    fn with(&self, raw: RawInstant, wall: WallTime, slew_left: f64) -> ((f64, f64), Option<f64>) {
        let elapsed = raw.since(self.anchor.raw).nanos() as f64 * 1e-9;
        if elapsed < 0.05 {
            return (self.natural, self.doubted);
        }
        let slewed = self.anchor.slew_left.nanos() as f64 * 1e-9 - slew_left;
        let gained =
            (wall.minus(self.anchor.wall).nanos() - raw.since(self.anchor.raw).nanos()) as f64 * 1e-9;
        let seen = (gained - slewed) / elapsed - self.frequency();
        // Within a second, the progress of the kernel's slew is not known.
        let share = libm::ldexp(1.0, -2 - i32::from(self.time_constant));
        let unknown = self.anchor.slew_left.nanos().unsigned_abs() as f64 * 1e-9 * share;
        let deviation = (2.0 * self.reading + unknown) / elapsed;
        let (mean, variance) = self.natural;
        if seen.abs() > self.any {
            return (self.natural, None);
        }
        let differs = |from: f64, variance: f64| {
            (seen - from).abs() > SURPRISING.0 * libm::sqrt(variance + deviation * deviation) + SURPRISING.1
        };
        if differs(mean, variance) {
            return match self.doubted {
                Some(before) if !differs(before, 0.0) => ((seen, deviation * deviation), None),
                _ => (self.natural, Some(seen)),
            };
        }
        let gain = variance / (variance + deviation * deviation);
        // A minimum of the variance lets it keep learning.
        ((mean + gain * (seen - mean), ((1.0 - gain) * variance).max(1e-20)), None)
    }

    /// What the clock shows at `raw`, by its last order and by what it showed at `from`.
    pub(crate) fn reading_at(&self, from: Now, raw: RawInstant) -> Now {
        let elapsed = raw.since(from.raw).nanos();
        let (natural, _) = self.natural(from.raw, from.wall);
        let gained = elapsed as f64 * 1e-9 * (self.frequency() + natural) + self.slew_left(from.raw)
            - self.slew_left(raw);
        let wall = from.wall.nanos().saturating_add(elapsed);
        Now { raw, wall: WallTime::saturating(wall.saturating_add((gained * 1e9) as i64)) }
    }

    /// An order was carried out: learns from what the clock did until then, and continues from `after`.
    pub(crate) fn ordered(&mut self, before: &ClockReading, after: ClockReading, tc: Option<TimeConstant>) {
        let slew_left = before.slew_left.nanos() as f64 * 1e-9;
        (self.natural, self.doubted) = self.with(before.raw, before.wall, slew_left);
        self.restart(after);
        if let Some(time_constant) = tc {
            self.time_constant = time_constant.exponent();
        }
    }

    /// The clock as it will be once this is carried out: what is told of it together with the order holds afterwards.
    pub(crate) fn after(&self, adjust: &Adjust, now: Now) -> Self {
        let slew_left = Offset::saturating(libm::round(self.slew_left(now.raw) * 1e9) as i64);
        let before = ClockReading { wall: now.wall, raw: now.raw, slew_left, ..self.anchor };
        let mut then = self.clone();
        let after = ClockReading { frequency: adjust.frequency, slew_left: adjust.slew, ..before };
        then.ordered(&before, after, Some(adjust.time_constant));
        then
    }

    /// Whether the clock took part in a leap second of `moved` nanoseconds, by what it shows.
    pub(crate) fn has_leapt(&self, now: Now, moved: i64) -> bool {
        let elapsed = now.raw.since(self.anchor.raw).nanos();
        let gained = now.wall.minus(self.anchor.wall).nanos().saturating_sub(elapsed);
        gained.saturating_sub(moved).saturating_abs() < gained.saturating_abs()
    }

    /// The clock itself took part in a leap second: `moved` nanoseconds.
    pub(crate) fn shift(&mut self, moved: i64) {
        self.anchor.wall = WallTime::saturating(self.anchor.wall.nanos().saturating_add(moved));
    }

    /// Time was not continuous: nothing can be learned from what the clock did until then.
    pub(crate) fn restart(&mut self, now: ClockReading) {
        self.anchor = now;
    }
}

/// As s/s.
pub(crate) fn from_scaled(frequency: Frequency) -> f64 {
    f64::from(frequency.scaled()) / f64::from(Frequency::PER_PPM) * 1e-6
}

/// From s/s, at most what a frequency can be.
pub(crate) fn to_scaled(frequency: f64) -> Frequency {
    Frequency::saturating(libm::round(frequency * 1e6 * f64::from(Frequency::PER_PPM)) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::clock_page::ClockPage;

    fn page(oscillator_ppm: i32, slew: i64) -> ClockPage {
        ClockPage {
            frequency: Frequency::saturating(-7 * Frequency::PER_PPM),
            oscillator: Frequency::saturating(oscillator_ppm * Frequency::PER_PPM),
            slew: Offset::saturating(slew),
            time_constant: TimeConstant::saturating(2),
            ..ClockPage::free_running(
                WallTime::saturating(1_800_000_000_000_000_000),
                RawInstant::saturating(1_000_000_000),
            )
        }
    }

    fn reading(page: &ClockPage, at: f64) -> ClockReading {
        let raw = RawInstant::saturating((at * 1e9) as i64);
        ClockReading {
            wall: page.wall_at(raw),
            raw,
            frequency: page.frequency,
            slew_left: page.slew_left_at(raw),
            tai: 0,
        }
    }

    #[test]
    fn the_oscillator_of_a_virtual_clock_is_measured_within_half_a_second() {
        let page = page(40, 0);
        let clock = LocalClock::new(ClockKind::Virtual, reading(&page, 1.0));
        let now = reading(&page, 1.5);
        let (natural, variance) = clock.natural(now.raw, now.wall);
        assert!((natural - 40e-6).abs() < 0.2e-6, "{natural}");
        assert!(libm::sqrt(variance) < 0.2e-6);
    }

    #[test]
    fn a_slew_is_not_taken_for_the_oscillator() {
        let page = page(40, 20_000_000);
        let mut clock = LocalClock::new(ClockKind::Virtual, reading(&page, 1.0));
        clock.ordered(&reading(&page, 1.0), reading(&page, 1.0), Some(TimeConstant::saturating(2)));
        for t in [5.0, 65.3, 200.0] {
            let now = reading(&page, t);
            assert!((clock.slew_left(now.raw) - now.slew_left.nanos() as f64 * 1e-9).abs() < 50e-6, "{t}");
        }
        clock.ordered(&reading(&page, 200.0), reading(&page, 200.0), None);
        let now = reading(&page, 1200.0);
        let (natural, _) = clock.natural(now.raw, now.wall);
        assert!((natural - 40e-6).abs() < 0.01e-6, "{natural}");
    }

    /// A clock that has been steered for `count` intervals of 1024 s; in the last ones it moved by what `beside` says, in
    /// seconds, of the number of the interval.
    fn steered(kind: ClockKind, count: i64, beside: impl Fn(i64) -> f64) -> LocalClock {
        let mut page = page(0, 0);
        let mut clock = LocalClock::new(kind, reading(&page, 1.0));
        for number in 1..=count {
            page.wall = page.wall.moved_by(Offset::saturating((beside(number) * 1e9) as i64));
            let now = reading(&page, (1 + 1024 * number) as f64);
            clock.ordered(&now, now, None);
        }
        clock
    }

    #[test]
    fn a_clock_that_was_put_ahead_once_runs_as_before() {
        for kind in [ClockKind::Kernel, ClockKind::Virtual] {
            for moved in [-20.0, -2.2, -0.004, 0.004, 0.3, 2.2, 5.3, 9.9] {
                for later in 0..3 {
                    let clock = steered(kind, 4 + later, |number| if number == 4 { moved } else { 0.0 });
                    assert!(clock.natural.0.abs() < 1e-9, "{kind:?} {moved} {later}: {:?}", clock.natural);
                }
                // Twice, at different times, is no frequency either.
                let clock = steered(kind, 5, |number| moved * [0.0, 1.0, 1.5][(number - 3).max(0) as usize]);
                assert!(clock.natural.0.abs() < 1e-9, "{kind:?} {moved}: {:?}", clock.natural);
            }
        }
    }

    #[test]
    fn a_tick_that_another_program_set_is_learnt_from_the_second_reading_on() {
        for kind in [ClockKind::Kernel, ClockKind::Virtual] {
            // It was set in the middle of an interval.
            let ppm = |number: i64| [0.0, 50.0, 100.0][(number - 3).clamp(0, 2) as usize] * 1e-6;
            let clock = steered(kind, 6, |number| 1024.0 * ppm(number));
            assert!((clock.natural.0 - 100e-6).abs() < 1e-9, "{kind:?} {:?}", clock.natural);
        }
    }

    #[test]
    fn the_kernels_clock_is_known_to_run_as_ordered() {
        let page = page(0, 0);
        let clock = LocalClock::new(ClockKind::Kernel, reading(&page, 1.0));
        let now = reading(&page, 1.5);
        assert!(clock.natural(now.raw, now.wall).0.abs() < 1e-9);
    }
}
