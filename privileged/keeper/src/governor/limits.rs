//! The governor's table: one row a line, one column a profile. Compiled in: configuration can choose a
//! column and narrow some rows, and nothing goes beyond the column. `run-step-threshold` and `allow-forward-steps` open a
//! row that is closed by default.

use ipc::message::privileged::Profile;
use ipc::units::{Frequency, Span, WallTime};

/// One column of the table.
#[derive(Debug)]
pub struct Limits {
    /// A step may lead to a time this long after the build.
    pub latest_after_build: Span,
    /// Start steps in one boot.
    pub start_steps: u8,
    /// Largest other start step back.
    pub start_back: Span,
    /// Largest other start step forward.
    pub start_forward: Span,
    /// Whether one start step in a boot may have any size, also from below the floor.
    ///
    /// RTCs in local time, in 1970 or in 2038 are found on real hosts, and a governor that does not know the time
    /// cannot tell a far step that is right from one that is wrong. The floor, the latest time and the number bound it.
    pub any_start: bool,
    /// Largest run-time step; zero: none.
    pub run_step: Span,
    /// Largest step after a suspend.
    pub resume_step: Span,
    /// All of them together in 24 hours.
    ///
    /// A sum, not a number: what a suspend leaves is a second at most, the rounding of the RTC, and a machine that sleeps ten
    /// times a day is as common as one that sleeps twice.
    pub resume_day: Span,
    /// Steps after a pause of the machine in 24 hours.
    pub pause_steps: u8,
    /// Largest of them where only vmclock shows that there was one, and not for how long.
    ///
    /// As the start step of any size: a saved state may be restored after years. Strict as its start steps.
    pub disruption_step: Span,
    /// Largest step forward without evidence, where the operator allows one; zero: none.
    pub forward_step: Span,
    /// Such steps in 24 hours.
    pub forward_steps: u8,
    /// Phase budget in any 24 hours.
    pub phase_day: Span,
    /// Phase budget in any 30 days.
    pub phase_month: Span,
    /// Frequency and slew together, unless the next row allows more.
    pub total: Frequency,
    /// A slew may be this fast beside any base frequency, also along it.
    ///
    /// Otherwise an oscillator that needs all of the row above has a clock that cannot be corrected.
    pub beside: Frequency,
    /// Base frequency while nothing is known of the oscillator, around 0.
    ///
    /// Twice NTP's own tolerance, since a TSC that was calibrated wrong is farther off than any quartz: an oscillator that
    /// needs more than the rows below would let the clock run away by tens of seconds a day, and its host could not be
    /// served at all. The cost of a wider row is bounded by [`SEARCH`]: 2.9 s more, once in the life of a record, in which an
    /// engine may also make a start step of any size.
    pub search_band: Frequency,
    /// Base frequency during the commissioning, around 0 and around the median so far, and all between.
    ///
    /// Around 0 too, so that an hour of false time at the birth of a record locks no ordinary oscillator out.
    pub commissioning_band: Frequency,
    /// Base frequency afterwards, around the median of the daily means of the last 31 days under orders.
    pub band: Frequency,
    /// Credit for the time between two boots, at most.
    pub refill: Span,
}

const fn ppm(value: i32) -> Frequency {
    Frequency::saturating(value * Frequency::PER_PPM)
}

const fn millis(value: i64) -> Span {
    Span::from_millis(value)
}

const fn seconds(value: i64) -> Span {
    Span::from_secs(value)
}

const fn hours(value: i64) -> Span {
    seconds(value * 3_600)
}

const fn days(value: i64) -> Span {
    hours(value * 24)
}

const fn years(value: i64) -> Span {
    hours(value * (365 * 24 + 6))
}

static STANDARD: Limits = Limits {
    latest_after_build: years(20),
    start_steps: 3,
    start_back: seconds(1_000),
    start_forward: seconds(86_400),
    any_start: true,
    run_step: seconds(1),
    resume_step: seconds(10),
    resume_day: seconds(40),
    pause_steps: 24,
    disruption_step: years(20),
    forward_step: days(30),
    forward_steps: 4,
    phase_day: seconds(2),
    phase_month: seconds(10),
    total: ppm(500),
    beside: ppm(200),
    search_band: ppm(1_000),
    commissioning_band: ppm(200),
    band: ppm(50),
    refill: hours(24),
};

static STRICT: Limits = Limits {
    latest_after_build: years(10),
    start_steps: 1,
    start_back: seconds(16),
    start_forward: seconds(16),
    any_start: false,
    run_step: seconds(0),
    resume_step: seconds(2),
    resume_day: seconds(4),
    pause_steps: 4,
    disruption_step: seconds(16),
    forward_step: days(0),
    forward_steps: 0,
    phase_day: millis(500),
    phase_month: seconds(3),
    total: ppm(200),
    beside: ppm(100),
    search_band: ppm(200),
    commissioning_band: ppm(100),
    band: ppm(20),
    refill: hours(0),
};

pub(super) const HOUR: Span = hours(1);
pub(super) const DAY: Span = days(1);

/// Rows that are the same in both columns. Start steps are made until this long after the first granted change of a boot.
pub const START_WINDOW: Span = seconds(900);
/// Between two run-time steps.
pub const RUN_STEP_SPACING: Span = ipc::message::privileged::RUN_STEP_SPACING;
/// A restoring step ends within this of the governor's own line.
pub const RESTORE_WITHIN: Span = millis(500);
/// A restoring step that ends within this of the line costs nothing: the line itself is known no better.
pub const RESTORE_FREE: Span = millis(1);
/// Between two restoring steps.
pub const RESTORE_SPACING: Span = seconds(60);
/// How long the operator's leave for a step holds that is given while the daemon runs.
pub const LEAVE: Span = ipc::leave::HOLDS;
/// Growth of BOOTTIME − MONOTONIC that counts as a suspend.
pub const SUSPEND: Span = seconds(1);
/// A step after a pause is larger than the RTC shows the pause to have been by at most this.
pub const PAUSE_WITHIN: Span = seconds(2);
/// How long evidence of a pause counts.
pub const PAUSE_KNOWN: Span = hours(1);
/// The largest slew of one order, where the kernel clamps it.
pub const SLEW: Span = millis(500);
/// Time under orders until the oscillator is known to within the commissioning's band.
pub const SEARCH: Span = hours(1);
/// Time under orders until the band narrows for good.
pub const COMMISSIONING: Span = days(14);
/// Disruptions are told to the engine at once, which then forgets what it has measured, four times and then once in this time.
pub const DISRUPTION_TOLD: Span = hours(1);
/// Orders that may come at once.
pub const BURST: u8 = 8;
/// Age of an order.
pub const ORDER_AGE: Span = seconds(2);
/// Without an applied order for this long the clock is marked unsynchronised.
pub const DEAD_MAN: Span = hours(3);
/// The least TAI − UTC, seconds: ten leap seconds of one kind away from that of 2017.
pub const TAI_LEAST: u8 = 27;
/// The greatest one.
pub const TAI_MOST: u8 = 47;
/// Changes of TAI − UTC in one boot, of which the first may be from none.
pub const TAI_CHANGES: u8 = 4;
/// Between two leap seconds.
pub const LEAP_SPACING: Span = days(150);
/// The clock is kept this long under orders until a jump of it counts for the last good time.
pub const KEPT: Span = hours(24);
/// Least distance of the floor from the last good time.
pub const FLOOR_BEHIND_LAST_GOOD: Span = hours(1);

/// When this program was built.
pub const BUILD_TIME: WallTime = {
    let text = env!("TRUECHIMER_BUILD_TIME").as_bytes();
    let (mut value, mut at) = (0i64, 0);
    while at < text.len() {
        value = value * 10 + (text[at] - b'0') as i64;
        at += 1;
    }
    WallTime::MIN.after(seconds(value))
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
    /// The last nanosecond before this second.
    const fn before(second: i64) -> WallTime {
        WallTime::MIN.after(Span::saturating(seconds(second).nanos() - 1))
    }
    let turn = before(1 << 31);
    let plain = built.after(limits.latest_after_build).min(before(1 << 32));
    if built.after(years(2)) <= turn { plain.min(turn) } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a174_the_latest_time_stops_at_2038_until_the_build_is_near_it() {
        const SECOND: i64 = 1_000_000_000;
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
        assert!(a.resume_step <= b.resume_step && a.resume_day <= b.resume_day);
        assert!(a.pause_steps <= b.pause_steps && a.disruption_step <= b.disruption_step);
        assert!(a.forward_step <= b.forward_step && a.forward_steps <= b.forward_steps);
        assert!(a.phase_day <= b.phase_day && a.phase_month <= b.phase_month && a.total <= b.total);
        assert!(a.search_band <= b.search_band && a.commissioning_band <= b.commissioning_band);
        assert!(a.band <= b.band);
        assert!(a.beside <= b.beside && [a, b].iter().all(|limits| limits.beside <= limits.total));
        assert!(a.refill <= b.refill && (!a.any_start || b.any_start));
    }
}
