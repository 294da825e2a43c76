//! Lengths of time and times on the command line.

/// A time on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Year, month, day, and seconds of this day of UTC, below 86400. Whether there is such a day is not looked at.
    At(u32, u32, u32, u32),
    /// So many seconds before the end of what is shown.
    Before(u32),
}

/// What spans may be written as, for messages.
const SPANS: &str = "a number of seconds, or one with ns, us, ms, s, min, h or d, such as 250us, 90s or 1.5h";

/// The units of a span, with their lengths in seconds. Of two that end alike, the longer word comes first.
const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("min", 60.0), ("s", 1.0), ("h", 3_600.0), ("d", 86_400.0)];

/// Where a unit is meant that could be another one, which of ours is to be written.
fn hint(text: &str) -> String {
    let is_number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    match text.strip_suffix('m').filter(|number| is_number(number)) {
        Some(number) => {
            format!(", and m alone is no unit: {number}min for minutes, {number}ms for milliseconds")
        }
        None => String::new(),
    }
}

/// A length of time in seconds, 0 to 1e9: a number of them, or a number with a unit. All options that take one read it here.
pub(crate) fn parse_span(text: &str) -> Result<f64, String> {
    let unit = UNITS.iter().find_map(|(unit, length)| Some((text.strip_suffix(unit)?, *length)));
    let (number, length) = unit.unwrap_or((text, 1.0));
    // Neither a sign nor a word that stands for a number.
    let is_number = number.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    match number.parse::<f64>().map(|number| number * length) {
        Ok(seconds) if is_number && (0.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err(format!("expected {SPANS}{}", hint(text))),
    }
}

/// The same in whole seconds, 1 or more.
pub(crate) fn parse_whole_span(text: &str) -> Result<u32, String> {
    let seconds = parse_span(text)?;
    if seconds >= 1.0 && seconds.fract() == 0.0 {
        return Ok(seconds as u32);
    }
    Err("expected whole seconds, 1 or more, such as 20, 90s or 2min".to_owned())
}

/// A date of UTC, alone or with a time of day, or a span with its unit.
pub(crate) fn parse_time(text: &str) -> Result<Time, String> {
    const EXPECTED: &str = "expected a time of UTC such as 2026-11-30 or 2026-11-30T12:00:00Z, or a length before the end of the history such as \
                            90s, 5min, 12h or 7d";
    let wrong = || format!("{EXPECTED}{}", hint(text));
    // A number without a unit is a year that lacks its day.
    let is_span = text.ends_with(|last: char| last.is_ascii_lowercase());
    if is_span {
        let seconds = parse_span(text).map_err(|_| wrong())?;
        return Ok(Time::Before(seconds.round() as u32));
    }
    let number = |digits: &str, most: u32| {
        let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
        digits.parse::<u32>().ok().filter(|number| is_number && *number <= most)
    };
    let (date, of_day) = text.trim_end_matches('Z').split_once('T').unwrap_or((text, "00:00"));
    let parts = |text: &str, between: char, most: [u32; 3]| -> Option<Vec<u32>> {
        text.split(between).zip(most).map(|(digits, most)| number(digits, most)).collect()
    };
    let date = parts(date, '-', [9_999, 12, 31]).filter(|_| date.split('-').count() == 3);
    let of_day = parts(of_day, ':', [23, 59, 59]).filter(|_| matches!(of_day.split(':').count(), 2 | 3));
    match (date.as_deref(), of_day.as_deref()) {
        (Some([year, month, day]), Some([hour, minute, rest @ ..])) => {
            let seconds = hour * 3_600 + minute * 60 + rest.first().copied().unwrap_or(0);
            Ok(Time::At(*year, *month, *day, seconds))
        }
        _ => Err(wrong()),
    }
}

/// From a fifth of a second to an hour.
pub(crate) fn parse_interval(text: &str) -> Result<f64, String> {
    match parse_span(text) {
        Ok(seconds) if (0.2..=3600.0).contains(&seconds) => Ok(seconds),
        Ok(_) => Err("expected from 0.2 seconds to an hour, such as 2, 500ms or 1min".to_owned()),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::Parser;

    #[test]
    fn times_are_of_utc_or_so_long_before_the_end() {
        for (text, time) in [
            ("2026-11-30", Time::At(2026, 11, 30, 0)),
            ("2026-11-30T12:34", Time::At(2026, 11, 30, 45_240)),
            ("2026-11-30T12:34:56Z", Time::At(2026, 11, 30, 45_296)),
            ("12h", Time::Before(43_200)),
            ("30min", Time::Before(1_800)),
            ("90s", Time::Before(90)),
            ("0.5h", Time::Before(1_800)),
            ("7d", Time::Before(604_800)),
        ] {
            assert_eq!(parse_time(text), Ok(time), "{text}");
        }
        for bad in [
            "",
            "h",
            "+1h",
            "2026",
            "2026-11",
            "2026-13-01",
            "2026-11-30T",
            "2026-11-30T24:00",
            "1w",
            "2026-1-1-1",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_option_that_takes_a_span_takes_the_same_units() {
        for (text, seconds) in [
            ("0", 0.0),
            ("0.5", 0.5),
            (".5s", 0.5),
            ("1e-3", 1e-3),
            ("250us", 250e-6),
            ("3ns", 3e-9),
            ("20ms", 0.02),
            ("90s", 90.0),
            ("2min", 120.0),
            ("1.5h", 5_400.0),
            ("7d", 604_800.0),
        ] {
            let read = parse_span(text).unwrap();
            assert!((read - seconds).abs() <= seconds * 1e-12, "{text}: {read}");
        }
        for bad in ["-1", "+1", "nan", "inf", "x", "", "s", "1w", "1 s", "2e9", "1m"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        for line in ["history --since 5m", "wait-sync --timeout 5m", "step --approve 5m", "top --interval 5m"]
        {
            let refused = Cli::try_parse_from(["chimerctl"].into_iter().chain(line.split(' ')));
            let said = refused.expect_err(line).to_string();
            assert!(said.contains("5min for minutes"), "{line}: {said}");
        }
        assert_eq!(parse_whole_span("2min"), Ok(120));
        assert!(parse_whole_span("0").is_err() && parse_whole_span("1.5").is_err());
        for line in [
            "wait-sync --timeout 2min --max-error 1ms",
            "assert --max-error 1ms --wait 1min",
            "step --approve 2min",
            "top --interval 500ms",
            "history --since 30min --until 90s",
            "evidence --rule stig --from 7d --to 90s --limit 1ms --outage 2min",
        ] {
            let words = ["chimerctl"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
