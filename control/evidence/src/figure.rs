//! Lengths and moments of time, as they are written.

use drawing::axis;
use ipc::calendar::Rfc3339;
use ipc::units::WallTime;

/// A length of time in nanoseconds, in a unit that fits it: `1.5 s`, `86.4 µs`; of more than two minutes `1 d 2 h 3 min`.
pub fn length(nanos: i64) -> String {
    let seconds = nanos as f64 / 1e9;
    if seconds.abs() >= 120.0 {
        let minutes = (seconds.abs() / 60.0).round() as u64;
        let parts = [(minutes / 1_440, "d"), (minutes / 60 % 24, "h"), (minutes % 60, "min")];
        let parts =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}"));
        return parts.collect::<Vec<_>>().join(" ");
    }
    if nanos == 0 {
        return "0 s".to_owned();
    }
    let (scale, unit) = axis::unit(seconds.abs());
    let text = format!("{:.3}", seconds * scale);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} {unit}")
}

/// A moment to the second: `2026-11-05 10:00:00`, in UTC.
pub fn moment(at: WallTime) -> String {
    Rfc3339(at).to_string().get(..19).unwrap_or_default().replace('T', " ")
}

/// Whole seconds since 1970.
pub const fn unix(at: WallTime) -> i64 {
    at.nanos().div_euclid(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_the_unit_that_fits_them() {
        for (nanos, text) in [
            (0, "0 s"),
            (7, "7 ns"),
            (-1_500, "-1.5 µs"),
            (100_000, "100 µs"),
            (1_000_000, "1 ms"),
            (1_234_567, "1.235 ms"),
            (1_000_000_000, "1 s"),
            (119_000_000_000, "119 s"),
            (120_000_000_000, "2 min"),
            (3_600_000_000_000, "1 h"),
            (93_780_000_000_000, "1 d 2 h 3 min"),
        ] {
            assert_eq!(length(nanos), text);
        }
    }

    #[test]
    fn moments_are_written_to_the_second() {
        let at = WallTime::try_new(1_793_491_201_999_999_999).unwrap();
        assert_eq!((moment(at), unix(at)), ("2026-11-01 00:00:01".to_owned(), 1_793_491_201));
    }
}
