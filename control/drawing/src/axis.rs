//! Where an axis has its marks, and what stands there.

use ipc::calendar::Rfc3339;
use ipc::units::WallTime;

/// Most marks of an axis.
const MOST: f64 = 5.0;

/// Seconds between marks of time.
const OF_TIME: [f64; 13] = [
    10.0, 30.0, 60.0, 300.0, 600.0, 1_200.0, 3_600.0, 7_200.0, 14_400.0, 21_600.0, 43_200.0, 86_400.0,
    172_800.0,
];

/// The distance of marks: 1, 2 or 5 of a power of ten, at most [`MOST`] of them in `range`, which is above 0.
pub fn step(range: f64) -> f64 {
    let rough = range / MOST;
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power)
}

/// The marks from `low` to `high`.
pub fn marks(low: f64, high: f64) -> Vec<f64> {
    let step = step((high - low).max(f64::MIN_POSITIVE));
    let first = (low / step).ceil();
    // A few more than MOST, whatever rounding does.
    let all = (0..9).map(|at| (first + f64::from(at)) * step);
    all.take_while(|mark| *mark <= high + step * 1e-9).collect()
}

/// The unit that fits a number of seconds: how many of it a second has, and its name.
pub fn unit(size: f64) -> (f64, &'static str) {
    match size {
        _ if size < 1e-6 => (1e9, "ns"),
        _ if size < 1e-3 => (1e6, "µs"),
        _ if size < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    }
}

/// A mark of an axis of seconds whose largest value is `largest`.
pub fn seconds(mark: f64, largest: f64, step: f64) -> String {
    let (scale, name) = unit(largest);
    format!("{} {name}", signed(mark * scale, step * scale))
}

/// A mark of an axis with this distance of marks, with its sign.
pub fn signed(mark: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    match mark.abs() < step / 2.0 {
        true => "0".to_owned(),
        false => format!("{mark:+.digits$}"),
    }
}

/// The powers of ten from below `low` to above `high`, with their names in plain units.
pub fn decades(low: f64, high: f64) -> Vec<(f64, String)> {
    let first = low.max(1e-12).log10().floor() as i32;
    let last = (high.max(1e-12).log10().ceil() as i32).max(first + 1);
    let all = (first..=last).map(|power| {
        let value = 10_f64.powi(power);
        // A power of ten is not exact.
        let (scale, name) = unit(value * 1.000_001);
        (value, format!("{:.0} {name}", value * scale))
    });
    all.collect()
}

/// Marks of time in `period` for this width in pixels, with what stands there, in UTC.
pub fn times((begin, end): (f64, f64), width: f64) -> Vec<(f64, String)> {
    let most = (width / 90.0).max(2.0);
    let range = (end - begin).max(1.0);
    let fits = |step: &f64| range / step <= most;
    let step = OF_TIME.into_iter().find(fits).unwrap_or_else(|| (range / most / 86_400.0).ceil() * 86_400.0);
    let first = (begin / step).ceil();
    let all = (0..40).map(|at| (first + f64::from(at)) * step).take_while(|mark| *mark <= end);
    all.map(|mark| (mark, time(mark, step))).collect()
}

fn time(mark: f64, step: f64) -> String {
    let text = rfc3339(mark);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or("").to_owned();
    match step {
        _ if step < 60.0 => part(11, 19),
        _ if step < 43_200.0 => part(11, 16),
        _ if step < 86_400.0 => part(5, 10) + " " + &part(11, 16),
        _ => part(5, 10),
    }
}

/// A moment in UTC, `YYYY-MM-DD HH:MM:SS`.
pub fn moment(unix: f64) -> String {
    rfc3339(unix).get(..19).unwrap_or("").replace('T', " ")
}

fn rfc3339(unix: f64) -> String {
    Rfc3339(WallTime::saturating((unix * 1e9) as i64)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        assert_eq!(marks(-24.0, 24.0), [-20.0, -10.0, 0.0, 10.0, 20.0]);
        assert_eq!(marks(0.0, 3.0), [0.0, 1.0, 2.0, 3.0]);
        for exponent in -12..9 {
            for factor in [1.0, 1.7, 3.3, 9.9] {
                let high = factor * 10_f64.powi(exponent);
                let marks = marks(-high, high);
                assert!((3..=6).contains(&marks.len()), "{high}: {marks:?}");
            }
        }
    }

    #[test]
    fn marks_are_said_in_plain_units() {
        assert_eq!(seconds(-0.000_02, 24e-6, 10e-6), "-20 µs");
        assert_eq!(seconds(0.0, 24e-6, 10e-6), "0 µs");
        assert_eq!(seconds(2.5e-3, 3e-3, 0.5e-3), "+2.5 ms");
        assert_eq!(signed(-12.34, 0.02), "-12.34");
        let names: Vec<String> = decades(0.5e-6, 0.02).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]);
        assert_eq!(decades(1.0, 16.0).last().map(|(_, name)| name.clone()).unwrap(), "100 s");
    }

    #[test]
    fn times_are_those_of_utc_at_round_moments() {
        let texts = |begin: f64, end: f64, width: f64| -> Vec<String> {
            times((begin, end), width).into_iter().map(|(_, text)| text).collect()
        };
        let at = 1_800_000_000.0;
        assert_eq!(
            texts(at - 3_600.0, at, 900.0),
            ["07:00", "07:10", "07:20", "07:30", "07:40", "07:50", "08:00"]
        );
        assert_eq!(texts(at - 60.0, at, 300.0), ["07:59:00", "07:59:30", "08:00:00"]);
        assert_eq!(texts(at - 604_800.0, at, 900.0).first().unwrap(), "01-09");
        assert_eq!(moment(at), "2027-01-15 08:00:00");
        for (begin, end) in [(0.0, 1e12), (-1e12, 1e12), (0.0, 0.0), (5.0, 4.0)] {
            assert!(times((begin, end), 900.0).len() <= 40);
        }
    }
}
