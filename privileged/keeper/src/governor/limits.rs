//! The governor's table: one row a line, one column a profile. Compiled in: configuration can choose a
//! column and narrow some rows, nothing can widen one.

use ipc::message::privileged::Profile;
use ipc::units::{Frequency, WallTime};

/// A second in nanoseconds.
pub const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const YEAR: i64 = 365 * 24 * HOUR + 6 * HOUR;

/// One column of the table. Times and offsets in nanoseconds, frequencies in 2^-16 ppm.
#[derive(Debug)]
pub struct Limits {
    /// Years after the build that a step may lead to.
    pub latest_after_build: i64,
    /// Start steps in one boot.
    pub start_steps: u8,
    /// Largest start step back.
    pub start_back: i64,
    /// Largest start step forward.
    pub start_forward: i64,
    /// Whether a clock below the floor may be set without the operator's word.
    pub below_floor: bool,
    /// Largest run-time step; 0: none.
    pub run_step: i64,
    /// Largest step after a suspend.
    pub resume_step: i64,
    /// Such steps in 24 hours.
    pub resume_steps: u8,
    /// Phase budget in any 24 hours.
    pub phase_day: i64,
    /// Phase budget in any 30 days.
    pub phase_month: i64,
    /// Frequency and slew together.
    pub total: i32,
    /// Base frequency while nothing is known of the oscillator, around 0.
    ///
    /// NTP's own tolerance: an oscillator that needs more than the rows below would let the clock run away by
    /// tens of seconds a day, and its host could not be served at all. What a wider row can cost is bounded by
    /// [`SEARCH`]: 1.1 s more, once in the life of a record.
    pub search_band: i32,
    /// Base frequency during the commissioning, around the mean of the search.
    pub commissioning_band: i32,
    /// Base frequency afterwards, around the commissioned mean.
    pub band: i32,
    /// How far the middle of the band may move in 30 days.
    pub centre_month: i32,
    /// Credit for the time between two boots, at most.
    pub refill: i64,
}

const fn ppm(value: i32) -> i32 {
    value * Frequency::PER_PPM
}

static STANDARD: Limits = Limits {
    latest_after_build: 20 * YEAR,
    start_steps: 3,
    start_back: 1_000 * SECOND,
    start_forward: 86_400 * SECOND,
    below_floor: true,
    run_step: SECOND,
    resume_step: 10 * SECOND,
    resume_steps: 4,
    phase_day: 2 * SECOND,
    phase_month: 10 * SECOND,
    total: ppm(500),
    search_band: ppm(500),
    commissioning_band: ppm(200),
    band: ppm(50),
    centre_month: ppm(1),
    refill: 24 * HOUR,
};

static STRICT: Limits = Limits {
    latest_after_build: 10 * YEAR,
    start_steps: 1,
    start_back: 16 * SECOND,
    start_forward: 16 * SECOND,
    below_floor: false,
    run_step: 0,
    resume_step: 2 * SECOND,
    resume_steps: 2,
    phase_day: SECOND / 2,
    phase_month: 3 * SECOND,
    total: ppm(200),
    search_band: ppm(200),
    commissioning_band: ppm(100),
    band: ppm(20),
    centre_month: ppm(1) * 3 / 10,
    refill: 0,
};

/// Rows that are the same in both columns.
pub const START_WINDOW: i64 = 900 * SECOND;
/// Between two run-time steps.
pub const RUN_STEP_SPACING: i64 = ipc::message::privileged::RUN_STEP_SPACING.nanos();
/// A restoring step ends within this of the governor's own line.
pub const RESTORE_WITHIN: i64 = SECOND / 2;
/// One that ends within this of the line costs nothing: so well the line is known.
pub const RESTORE_FREE: i64 = SECOND / 1_000;
/// Between two restoring steps.
pub const RESTORE_SPACING: i64 = 60 * SECOND;
/// Growth of BOOTTIME − MONOTONIC that counts as a suspend.
pub const SUSPEND: i64 = 10 * SECOND;
/// The largest slew of one order, where the kernel clamps it.
pub const SLEW: i64 = SECOND / 2;
/// Time under orders until the oscillator is known to within the commissioning's band.
pub const SEARCH: i64 = HOUR;
/// Time under orders until the band narrows for good.
pub const COMMISSIONING: i64 = 7 * 24 * HOUR;
/// Orders that may come at once.
pub const BURST: i64 = 8;
/// Age of an order.
pub const ORDER_AGE: i64 = 2 * SECOND;
/// Without an applied order for this long the clock is marked unsynchronised.
pub const DEAD_MAN: i64 = 3 * HOUR;
/// Between two leap seconds.
pub const LEAP_SPACING: i64 = 150 * 24 * HOUR;
/// Least distance of the floor from the last good time.
pub const FLOOR_BEHIND_LAST_GOOD: i64 = HOUR;

/// When this program was built.
pub const BUILD_TIME: WallTime = {
    let text = env!("TRUECHIMER_BUILD_TIME").as_bytes();
    let (mut value, mut at) = (0i64, 0);
    while at < text.len() {
        value = value * 10 + (text[at] - b'0') as i64;
        at += 1;
    }
    WallTime::saturating(value * SECOND)
};

/// The column of a profile.
pub fn of(profile: Profile) -> &'static Limits {
    match profile {
        Profile::Standard => &STANDARD,
        Profile::Strict => &STRICT,
    }
}

/// The latest time that a step may lead to: some years after the build, before 2106-02-07, and not across
/// 2^31 s (2038-01-19) unless this was built within two years of it.
pub fn latest(limits: &Limits, built: WallTime) -> WallTime {
    let turn_32 = (1i64 << 31) * SECOND;
    let built = built.nanos();
    let plain = built.saturating_add(limits.latest_after_build).min((1i64 << 32) * SECOND - 1);
    WallTime::saturating(if built < turn_32 - 2 * YEAR { plain.min(turn_32 - 1) } else { plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a174_the_latest_time_stops_at_2038_until_the_build_is_near_it() {
        let turn = 1i64 << 31;
        let built = |seconds: i64| WallTime::try_new(seconds * SECOND).unwrap();
        assert_eq!(latest(&STANDARD, built(1_800_000_000)).nanos(), turn * SECOND - 1);
        assert!(latest(&STANDARD, built(turn - 86_400 * 700)).nanos() > turn * SECOND);
        assert!(latest(&STANDARD, built(4_294_000_000)).nanos() < (1i64 << 32) * SECOND);
    }

    #[test]
    fn strict_is_nowhere_wider_than_standard() {
        let (a, b) = (&STRICT, &STANDARD);
        assert!(a.latest_after_build <= b.latest_after_build && a.start_steps <= b.start_steps);
        assert!(
            a.start_back <= b.start_back && a.start_forward <= b.start_forward && a.run_step <= b.run_step
        );
        assert!(a.resume_step <= b.resume_step && a.resume_steps <= b.resume_steps);
        assert!(a.phase_day <= b.phase_day && a.phase_month <= b.phase_month && a.total <= b.total);
        assert!(a.search_band <= b.search_band && a.commissioning_band <= b.commissioning_band);
        assert!(a.band <= b.band);
        assert!([a, b].iter().all(|limits| limits.search_band <= limits.total));
        assert!(
            a.centre_month <= b.centre_month && a.refill <= b.refill && (!a.below_floor || b.below_floor)
        );
    }
}
