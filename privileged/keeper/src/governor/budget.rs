//! The phase budget: what may be charged in any 24 hours and in any 30 days of governed time. It is kept in hours and
//! days, so that no window of that length, wherever it starts, holds more than the limit.

use super::limits::{DAY, HOUR, Limits};
use ipc::governor_record::Record;
use ipc::units::Span;

/// Lets the record grow older by `elapsed`, and forgets the hours and days that have left their windows.
pub fn pass(record: &mut Record, elapsed: Span) {
    let age = record.age.plus(elapsed);
    roll(&mut record.hours, number(record.age, HOUR), number(age, HOUR));
    roll(&mut record.days, number(record.age, DAY), number(age, DAY));
    roll(&mut record.resumed, number(record.age, HOUR), number(age, HOUR));
    roll(&mut record.pauses, number(record.age, HOUR), number(age, HOUR));
    roll(&mut record.forwards, number(record.age, HOUR), number(age, HOUR));
    record.age = age;
}

/// The hour or day of its life that a record of this age is in.
const fn number(age: Span, length: Span) -> usize {
    (age.nanos() / length.nanos()) as usize
}

fn roll<T: Default>(bins: &mut [T], before: usize, now: usize) {
    let length = bins.len();
    for number in (before + 1..=now).take(length) {
        bins[number % length] = T::default();
    }
}

/// What is left to spend: neither spent nor reserved for the slew in progress.
pub fn remaining(record: &Record, limits: &Limits) -> Span {
    unspent(record, limits).less(record.reserved)
}

/// What is not spent, whatever is reserved for the slew in progress.
pub fn unspent(record: &Record, limits: &Limits) -> Span {
    left(limits.phase_day, &record.hours).min(left(limits.phase_month, &record.days))
}

/// What is left of the row for steps after a suspend.
pub fn resume_left(record: &Record, limits: &Limits) -> Span {
    left(limits.resume_day, &record.resumed)
}

fn left(limit: Span, bins: &[u32]) -> Span {
    bins.iter().fold(limit, |left, micros| left.less(Span::saturating(i64::from(*micros) * 1_000)))
}

/// Rounded up.
fn micros(phase: Span) -> u32 {
    u32::try_from(phase.nanos().saturating_add(999) / 1_000).unwrap_or(u32::MAX)
}

/// Charges `phase`, which has moved the clock or is about to, rounded up to a microsecond.
pub fn charge(record: &mut Record, phase: Span) {
    for bin in current(record) {
        *bin = bin.saturating_add(micros(phase));
    }
}

/// Counts a step after a suspend.
pub fn count_resume(record: &mut Record, size: Span) {
    let bin = &mut record.resumed[number(record.age, HOUR) % 25];
    *bin = bin.saturating_add(micros(size));
}

fn current(record: &mut Record) -> [&mut u32; 2] {
    let (hour, day) = (number(record.age, HOUR), number(record.age, DAY));
    [&mut record.hours[hour % 25], &mut record.days[day % 31]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governor::limits;
    use ipc::message::privileged::Profile;
    use ipc::units::BootInstant;

    fn at(record: &mut Record, age: Span) {
        let elapsed = age.less(record.age);
        pass(record, elapsed);
    }

    #[test]
    fn no_day_and_no_month_holds_more_than_its_limit() {
        let limits = limits::of(Profile::Standard);
        let mut record = Record::born([0; 16], BootInstant::MIN);
        let mut spent: Vec<(Span, Span)> = Vec::new();
        // A spender that takes 7 ms whenever there is room, every 53 seconds for 40 days.
        let (mut now, bite) = (Span::ZERO, Span::from_millis(7));
        while now.seconds() < 40 * 86_400 {
            at(&mut record, now);
            if remaining(&record, limits) >= bite {
                charge(&mut record, bite);
                spent.push((now, bite));
            }
            now = now.plus(Span::from_secs(53));
        }
        for (window, limit) in [(DAY, limits.phase_day), (Span::from_secs(30 * 86_400), limits.phase_month)] {
            let (mut first, mut sum, mut most) = (0, Span::ZERO, Span::ZERO);
            for (time, amount) in &spent {
                sum = sum.plus(*amount);
                while spent[first].0.plus(window) <= *time {
                    sum = sum.less(spent[first].1);
                    first += 1;
                }
                most = most.max(sum);
            }
            assert!(most <= limit && most.nanos() > limit.nanos() * 9 / 10, "{most:?} of {limit:?}");
        }
    }

    #[test]
    fn what_is_reserved_is_not_left_and_leaves_no_window_before_it_is_spent() {
        let limits = limits::of(Profile::Strict);
        let mut record = Record::born([0; 16], BootInstant::MIN);
        record.reserved = Span::from_millis(100);
        at(&mut record, Span::from_secs(40 * 86_400));
        assert_eq!(remaining(&record, limits), Span::from_millis(400));
    }
}
