//! The Gregorian calendar, in UTC, also before it was in use; leap seconds are not counted.

use crate::units::WallTime;
use core::fmt;

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

/// A day that exists. Years may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: i64,
    month: u8,
    day: u8,
}

impl Date {
    /// The date of the day with this number, counted from 1970-01-01, which is 0; saturating 10^9 days from there.
    pub const fn of_day(days_since_1970: i64) -> Self {
        // From 0000-03-01 on, so that a leap day is the last of its year; 400 years have 146,097 days.
        const FAR: i64 = 1_000_000_000;
        let near = if days_since_1970 > FAR {
            FAR
        } else if days_since_1970 < -FAR {
            -FAR
        } else {
            days_since_1970
        };
        let days = near + 719_468;
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * from_march + 2) / 5 + 1) as u8;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 } as u8;
        Self { year: era * 400 + year + if month <= 2 { 1 } else { 0 }, month, day }
    }

    /// The date of an instant.
    pub const fn of(instant: WallTime) -> Self {
        Self::of_day(instant.nanos() / DAY)
    }

    /// A date of the years 1 to 9999; `None` if there is no such day. `month` and `day` count from 1.
    pub const fn try_new(year: u32, month: u32, day: u32) -> Option<Self> {
        if year < 1 || year > 9_999 || month < 1 || month > 12 || day < 1 || day > 31 {
            return None;
        }
        let date = Self { year: year as i64, month: month as u8, day: day as u8 };
        // A day that its month lacks is, by its number, one of the next month.
        if Self::of_day(date.number()).day == date.day { Some(date) } else { None }
    }

    /// The number of this day, counted from 1970-01-01.
    pub const fn number(self) -> i64 {
        let (month, day) = (self.month as i64, self.day as i64);
        let (year, from_march) = if month > 2 { (self.year, month - 3) } else { (self.year - 1, month + 9) };
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        year * 365 + leap_days + (153 * from_march + 2) / 5 + day - 1 - 719_468
    }

    /// Year.
    pub const fn year(self) -> i64 {
        self.year
    }

    /// Whether a leap second may be at the end of this day: 30 June and 31 December.
    pub const fn may_end_with_leap_second(self) -> bool {
        matches!((self.month, self.day), (6, 30) | (12, 31))
    }
}

/// As `2026-11-28`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// An instant as RFC 3339 writes it, in UTC with nanoseconds: `2026-11-28T08:45:58.000000001Z`.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(pub WallTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.nanos();
        let (second, part) = (nanos / 1_000_000_000 % 86_400, nanos % 1_000_000_000);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}.{part:09}Z", Date::of(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let lengths = |year: u32| {
            let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut expected = Date::try_new(1600, 1, 1).unwrap().number();
        for year in 1600..2400 {
            for (month, length) in (1..).zip(lengths(year)) {
                for day in 1..=length {
                    let date = Date::try_new(year, month, day).unwrap();
                    assert_eq!((date.number(), Date::of_day(expected)), (expected, date));
                    expected += 1;
                }
                assert_eq!(Date::try_new(year, month, length + 1), None, "{year}-{month}");
            }
        }
    }

    #[test]
    fn a174_the_calendar_is_right_also_around_2100() {
        for (day, expected) in [
            (-1, "1969-12-31"),
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (20_758, "2026-11-01"),
            (20_999, "2027-06-30"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Date::of_day(day).to_string(), expected);
            assert_eq!(Date::of_day(day).number(), day);
        }
        assert!(Date::of_day(20_999).may_end_with_leap_second());
        assert!(!Date::of_day(20_998).may_end_with_leap_second());
    }

    #[test]
    fn what_is_no_day_is_no_date() {
        for (year, month, day) in
            [(0, 1, 1), (10_000, 1, 1), (2026, 0, 1), (2026, 13, 1), (2026, 1, 0), (2026, 11, 31)]
        {
            assert_eq!(Date::try_new(year, month, day), None, "{year}-{month}-{day}");
        }
        assert_eq!(Date::try_new(2026, 2, 29), None);
        for far in [i64::MIN, i64::MAX] {
            assert!(!(1..=9_999).contains(&Date::of_day(far).year()));
        }
    }

    #[test]
    fn an_instant_is_written_as_rfc_3339_has_it() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_799, "2000-02-29T23:59:59"),
            (1_793_491_200, "2026-11-01T00:00:00"),
            (4_107_542_399, "2100-02-28T23:59:59"),
        ] {
            let instant = WallTime::try_new(seconds * 1_000_000_000).unwrap();
            assert_eq!(Rfc3339(instant).to_string(), std::format!("{text}.000000000Z"));
        }
    }
}
