//! Numbers and times as C's printf and strftime write them.

/// The first second that has five digits in its year.
const YEAR_10_000: f64 = 253_402_300_800.0;

/// `%WIDTH.DIGITSe`: an exponent of two digits at least, with its sign.
pub fn scientific(value: f64, width: usize, digits: usize) -> String {
    let written = format!("{value:.digits$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{:>width$}", format!("{mantissa}e{sign}{exponent:0>2}"))
}

/// `%Y-%m-%d %H:%M:%S` in UTC, of seconds since 1970; what chronyd writes where there is no such date.
pub fn time(seconds: f64) -> String {
    if !(0.0..YEAR_10_000).contains(&seconds) {
        return "INVALID    INVALID ".to_owned();
    }
    let seconds = seconds as u64;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years begin in March here, so that the leap day is
/// their last one.
fn date(day: u64) -> (u64, u64, u64) {
    // Days from March of the year 0 to 1970.
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_printf() {
        for (value, written) in [
            (0.0, " 0.000e+00"),
            (-4.966e-3, "-4.966e-03"),
            (1.0, " 1.000e+00"),
            (0.000_999_96, " 1.000e-03"),
            (-1.5e-123, "-1.500e-123"),
            (9.999_6e99, "1.000e+100"),
        ] {
            assert_eq!(scientific(value, 10, 3), written);
        }
        assert_eq!(scientific(0.078, 7, 1), "7.8e-02");
    }

    #[test]
    fn times_are_those_of_strftime() {
        for (seconds, written) in [
            (0.0, "1970-01-01 00:00:00"),
            (951_782_399.999, "2000-02-28 23:59:59"),
            (951_782_400.0, "2000-02-29 00:00:00"),
            (951_868_800.0, "2000-03-01 00:00:00"),
            (1_709_164_800.0, "2024-02-29 00:00:00"),
            (4_107_542_399.0, "2100-02-28 23:59:59"),
            (4_107_542_400.0, "2100-03-01 00:00:00"),
            (253_402_300_799.0, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(time(seconds), written);
        }
        for beyond in [-1.0, 253_402_300_800.0, f64::NAN, f64::INFINITY] {
            assert_eq!(time(beyond), "INVALID    INVALID ");
            assert_eq!(time(beyond).len(), "1970-01-01 00:00:00".len());
        }
    }
}
