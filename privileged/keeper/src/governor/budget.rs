//! The phase budget: what may be charged in any 24 hours and in any 30 days of governed time, kept in
//! hours and days so that no window of that length, wherever it starts, holds more than the limit.

use super::limits::{Limits, SECOND};
use super::record::Record;

const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// Forgets the hours and days that have left the window that ends at the record's age.
pub fn age_windows(record: &mut Record) {
    roll(&mut record.hours, &mut record.hour, record.age / HOUR);
    roll(&mut record.days, &mut record.day, record.age / DAY);
}

fn roll(bins: &mut [u32], reached: &mut i64, now: i64) {
    let length = bins.len() as i64;
    if now - *reached >= length {
        bins.fill(0);
    } else {
        for number in *reached + 1..=now {
            bins[(number % length) as usize] = 0;
        }
    }
    *reached = now.max(*reached);
}

/// What is left to spend, ns; never negative.
pub fn remaining(record: &Record, limits: &Limits) -> i64 {
    let spent = |bins: &[u32]| bins.iter().map(|micros| i64::from(*micros) * 1_000).sum::<i64>();
    (limits.phase_day - spent(&record.hours)).min(limits.phase_month - spent(&record.days)).max(0)
}

/// Charges `phase` ns, rounded up to a microsecond.
pub fn charge(record: &mut Record, phase: i64) {
    let micros = u32::try_from((phase + 999) / 1_000).unwrap_or(u32::MAX);
    for bin in current(record) {
        *bin = bin.saturating_add(micros);
    }
}

/// Gives back what a replaced slew did not use, at most what the current hour was charged.
pub fn refund(record: &mut Record, phase: i64) {
    let micros = u32::try_from(phase / 1_000).unwrap_or(0).min(*current(record)[0]);
    for bin in current(record) {
        *bin = bin.saturating_sub(micros);
    }
}

fn current(record: &mut Record) -> [&mut u32; 2] {
    let (hour, day) = ((record.hour % 25) as usize, (record.day % 31) as usize);
    [&mut record.hours[hour], &mut record.days[day]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governor::limits;
    use ipc::message::privileged::Profile;
    use ipc::units::WallTime;

    fn at(record: &mut Record, age: i64) {
        record.age = age;
        age_windows(record);
    }

    #[test]
    fn no_day_and_no_month_holds_more_than_its_limit() {
        let limits = limits::of(Profile::Standard);
        let mut record = Record::born([0; 16], 0, WallTime::MIN);
        let mut spent: Vec<(i64, i64)> = Vec::new();
        // A spender that takes 7 ms whenever there is room, every 53 seconds for 40 days.
        let mut now = 0;
        while now < 40 * DAY {
            at(&mut record, now);
            if remaining(&record, limits) >= 7_000_000 {
                charge(&mut record, 7_000_000);
                spent.push((now, 7_000_000));
            }
            now += 53 * SECOND;
        }
        for (window, limit) in [(DAY, limits.phase_day), (30 * DAY, limits.phase_month)] {
            let (mut first, mut sum, mut most) = (0, 0, 0);
            for (time, amount) in &spent {
                sum += amount;
                while spent[first].0 <= time - window {
                    sum -= spent[first].1;
                    first += 1;
                }
                most = most.max(sum);
            }
            assert!(most <= limit && most > limit * 9 / 10, "{most} of {limit}");
        }
    }

    #[test]
    fn a_refund_never_exceeds_the_charge_of_this_hour() {
        let limits = limits::of(Profile::Strict);
        let mut record = Record::born([0; 16], 0, WallTime::MIN);
        charge(&mut record, 100_000_000);
        at(&mut record, 2 * HOUR);
        refund(&mut record, 50_000_000);
        assert_eq!(remaining(&record, limits), 400_000_000);
        charge(&mut record, 30_000_000);
        refund(&mut record, 50_000_000);
        assert_eq!(remaining(&record, limits), 400_000_000);
    }
}
