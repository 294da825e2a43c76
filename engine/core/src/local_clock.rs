//! What the steered clock does between two orders.
//!
//! The engine estimates true time against CLOCK_MONOTONIC_RAW. To steer, it must know how the steered clock runs against
//! the same counter. For the kernel's clock this is almost exactly the ordered frequency; a virtual clock has an oscillator
//! of its own. So the difference, the *natural frequency*, is measured from readings of both clocks, less the orders.

use crate::io::Now;
use ipc::message::privileged::{ClockKind, ClockReading};
use ipc::units::{Frequency, RawInstant, TimeConstant, WallTime};

/// The steered clock since its last order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LocalClock {
    anchor: ClockReading,
    time_constant: u8,
    /// Mean and variance of the natural frequency, s/s.
    natural: (f64, f64),
    /// Standard deviation of one reading, seconds.
    reading: f64,
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
        // A slew that was found in progress: its rate is not known.
        Self { anchor: found, time_constant: 0, natural: (0.0, prior * prior), reading }
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
        self.with(raw, wall, self.slew_left(raw))
    }

    fn with(&self, raw: RawInstant, wall: WallTime, slew_left: f64) -> (f64, f64) {
        let elapsed = raw.since(self.anchor.raw).nanos() as f64 * 1e-9;
        if elapsed < 0.05 {
            return self.natural;
        }
        let slewed = self.anchor.slew_left.nanos() as f64 * 1e-9 - slew_left;
        let gained =
            (wall.minus(self.anchor.wall).nanos() - raw.since(self.anchor.raw).nanos()) as f64 * 1e-9;
        let seen = (gained - slewed) / elapsed - self.frequency();
        // Within a second, the progress of the kernel's slew is not known.
        let share = libm::ldexp(1.0, -2 - i32::from(self.time_constant));
        let unknown = self.anchor.slew_left.nanos().unsigned_abs() as f64 * 1e-9 * share;
        let deviation = (2.0 * self.reading + unknown) / elapsed;
        // A step by another program is not a frequency.
        if seen.abs() > 1e-2 {
            return self.natural;
        }
        let (mean, variance) = self.natural;
        let gain = variance / (variance + deviation * deviation);
        // A minimum of the variance lets it keep learning.
        (mean + gain * (seen - mean), ((1.0 - gain) * variance).max(1e-20))
    }

    /// An order was carried out: learns from what the clock did until then, and continues from `after`.
    pub(crate) fn ordered(&mut self, before: &ClockReading, after: ClockReading, tc: Option<TimeConstant>) {
        self.natural = self.with(before.raw, before.wall, before.slew_left.nanos() as f64 * 1e-9);
        self.restart(after);
        if let Some(time_constant) = tc {
            self.time_constant = time_constant.exponent();
        }
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

/// From s/s, at most ±500 ppm.
pub(crate) fn to_scaled(frequency: f64) -> Frequency {
    Frequency::saturating(libm::round(frequency * 1e6 * f64::from(Frequency::PER_PPM)) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::clock_page::ClockPage;
    use ipc::units::Offset;

    fn page(oscillator_ppm: i32, slew: i64) -> ClockPage {
        ClockPage {
            since: RawInstant::saturating(1_000_000_000),
            wall: WallTime::saturating(1_800_000_000_000_000_000),
            frequency: Frequency::saturating(-7 * Frequency::PER_PPM),
            oscillator: Frequency::saturating(oscillator_ppm * Frequency::PER_PPM),
            slew: Offset::saturating(slew),
            under_way: Offset::ZERO,
            time_constant: TimeConstant::saturating(2),
            status: 0,
            maxerror: 0,
            esterror: 0,
            tai: 0,
            generation: 1,
        }
    }

    fn reading(page: &ClockPage, at: f64) -> ClockReading {
        let raw = RawInstant::saturating((at * 1e9) as i64);
        ClockReading {
            wall: page.wall_at(raw),
            raw,
            frequency: page.frequency,
            slew_left: page.slew_left_at(raw),
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

    #[test]
    fn the_kernels_clock_is_known_to_run_as_ordered() {
        let page = page(0, 0);
        let clock = LocalClock::new(ClockKind::Kernel, reading(&page, 1.0));
        let now = reading(&page, 1.5);
        assert!(clock.natural(now.raw, now.wall).0.abs() < 1e-9);
    }
}
