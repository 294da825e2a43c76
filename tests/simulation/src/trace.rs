//! Paths that were measured: what packets took on real networks, a sample after the other (`data/README.md`).

use crate::random::Random;
use std::sync::LazyLock;

/// The traces by their names.
const FILES: [(&str, &str); 9] = [
    ("lan_direct", include_str!("../data/lan_direct.txt")),
    ("wifi_5ghz", include_str!("../data/wifi_5ghz.txt")),
    ("wifi_2ghz", include_str!("../data/wifi_2ghz.txt")),
    ("home_near", include_str!("../data/home_near.txt")),
    ("home_busy", include_str!("../data/home_busy.txt")),
    ("far_filtered", include_str!("../data/far_filtered.txt")),
    ("access_busy", include_str!("../data/access_busy.txt")),
    ("cellular_drive", include_str!("../data/cellular_drive.txt")),
    ("satellite_drive", include_str!("../data/satellite_drive.txt")),
];

static TRACES: LazyLock<Vec<Trace>> = LazyLock::new(|| {
    let read = |&(name, text)| {
        Trace::parse(name, text).unwrap_or_else(|error| panic!("the trace {name} is broken: {error}"))
    };
    FILES.iter().map(read).collect()
});

/// No sample takes longer, one way, seconds.
const LONGEST: f64 = 10.0;

/// So many samples stand in for one that was used.
const AROUND: usize = 8;

/// What became of one packet and its reply.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    /// Seconds from the beginning.
    at: f64,
    /// The way there and the way back, seconds; `None`: lost.
    ways: Option<(f64, f64)>,
}

/// A path as it was measured. It begins anew where it ends.
#[derive(Debug)]
pub struct Trace {
    name: &'static str,
    /// In their order; more than [`AROUND`].
    samples: Vec<Sample>,
    /// After so long it begins anew, seconds.
    period: f64,
}

impl Trace {
    /// The trace of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TRACES.iter().find(|trace| trace.name == name)
    }

    /// The names of all.
    pub fn names() -> Vec<&'static str> {
        FILES.iter().map(|(name, _)| *name).collect()
    }

    /// From lines of `seconds there back` (the latter two in µs) or `seconds lost`; `#` begins a remark.
    fn parse(name: &'static str, text: &str) -> Result<Self, String> {
        let mut samples: Vec<Sample> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let sample = Self::sample(line).ok_or_else(|| format!("no sample: {line}"))?;
            if samples.last().is_some_and(|last| last.at >= sample.at) {
                return Err(format!("not after the one before it: {line}"));
            }
            samples.push(sample);
        }
        match samples.as_slice() {
            [first, .., last] if samples.len() > AROUND && first.at >= 0.0 => {
                let interval = (last.at - first.at) / (samples.len() - 1) as f64;
                Ok(Self { name, period: last.at + interval, samples })
            }
            _ => Err(format!("{} samples", samples.len())),
        }
    }

    fn sample(line: &str) -> Option<Sample> {
        let (at, rest) = line.split_once(' ')?;
        let way = |micros: &str| {
            micros.parse().ok().map(|micros: f64| micros * 1e-6).filter(|way| (0.0..LONGEST).contains(way))
        };
        let ways = match rest {
            "lost" => None,
            _ => {
                let (there, back) = rest.split_once(' ')?;
                Some((way(there)?, way(back)?))
            }
        };
        Some(Sample { at: at.parse().ok().filter(|at: &f64| at.is_finite())?, ways })
    }

    /// The place of the last sample that is not later than this many seconds from the beginning.
    fn place(&self, seconds: f64) -> usize {
        let now = seconds.rem_euclid(self.period);
        let later = self.samples.partition_point(|sample| sample.at <= now);
        later.checked_sub(1).unwrap_or(self.samples.len() - 1)
    }

    /// One of the [`AROUND`] samples that are nearest to this one in time, so that none is from beyond a gap where there is
    /// another.
    fn around(&self, place: usize, which: usize) -> usize {
        let count = self.samples.len();
        let beside = |steps: usize| [(place + count - steps) % count, (place + steps) % count];
        let apart = |one: usize, other: usize| {
            (self.samples[other].at - self.samples[one].at).rem_euclid(self.period)
        };
        let (mut before, mut after, mut found) = (1, 1, place);
        for _ in 0..=which {
            let ([earlier, _], [_, later]) = (beside(before), beside(after));
            if apart(earlier, place) < apart(place, later) {
                (before, found) = (before + 1, earlier);
            } else {
                (after, found) = (after + 1, later);
            }
        }
        found
    }
}

/// Where a server is in its trace.
#[derive(Debug)]
pub struct Replay {
    trace: &'static Trace,
    /// The sample of the last query.
    last: Option<usize>,
}

impl Replay {
    /// At the beginning of it.
    pub fn new(trace: &'static Trace) -> Self {
        Self { trace, last: None }
    }

    /// What the two ways of a query take that leaves so many seconds after the day began, `None` if it is lost: as long as
    /// those of the last sample before it. Where queries are closer together than samples, each further one has one of the
    /// eight samples nearest to that one, by chance: two queries are not delayed by the same to the microsecond.
    pub fn ways(&mut self, seconds: f64, random: &mut Random) -> Option<(f64, f64)> {
        let place = self.trace.place(seconds);
        let is_used = self.last.replace(place) == Some(place);
        let drawn = (random.uniform() * AROUND as f64) as usize;
        self.trace.samples[if is_used { self.trace.around(place, drawn) } else { place }].ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen samples, ten seconds apart; the way there tells which one it is, in µs.
    fn ten_seconds() -> &'static Trace {
        let lines = (0..16).map(|n| match n {
            5 => "50 lost\n".to_owned(),
            n => format!("{} {} 7\n", 10 * n, 100 + n),
        });
        let text = format!("# a remark\n{}", lines.collect::<String>());
        Box::leak(Box::new(Trace::parse("ten", &text).unwrap()))
    }

    fn micros(ways: Option<(f64, f64)>) -> Option<(i64, i64)> {
        ways.map(|(there, back)| ((there * 1e6).round() as i64, (back * 1e6).round() as i64))
    }

    #[test]
    fn a_query_takes_as_long_as_the_last_sample_before_it_and_a_trace_begins_anew() {
        let mut replay = Replay::new(ten_seconds());
        let mut random = Random::new(1, 1);
        for (seconds, there) in
            [(0.0, 100), (19.9, 101), (20.0, 102), (159.9, 115), (160.0, 100), (1_771.0, 101)]
        {
            assert_eq!(micros(replay.ways(seconds, &mut random)), Some((there, 7)), "{seconds}");
        }
        assert_eq!(replay.ways(55.0, &mut random), None);
    }

    #[test]
    fn further_queries_of_one_sample_have_one_of_the_eight_nearest_to_it_and_all_of_these() {
        let mut replay = Replay::new(ten_seconds());
        let mut random = Random::new(1, 1);
        assert_eq!(micros(replay.ways(20.0, &mut random)), Some((102, 7)));
        let drawn: std::collections::BTreeSet<_> =
            (0..1_000).map(|n| micros(replay.ways(20.0 + f64::from(n) * 0.009, &mut random))).collect();
        let around = [114, 115, 100, 101, 103, 104, 106].map(|there| Some((there, 7)));
        assert_eq!(drawn, around.into_iter().chain([None]).collect());
    }

    #[test]
    fn what_was_measured_beyond_a_gap_stands_in_for_nothing() {
        let lines = (0..30).map(|n| format!("{} {} 7\n", n + 1_000 * (n / 10), 100 + n / 10));
        let trace = Trace::parse("gaps", &lines.collect::<String>()).unwrap();
        let mut replay = Replay::new(Box::leak(Box::new(trace)));
        let mut random = Random::new(1, 1);
        for (second, there) in [(9, 100), (500, 100), (1_010, 101), (2_000, 101), (2_020, 102), (2_029, 102)]
        {
            for _ in 0..100 {
                assert_eq!(micros(replay.ways(f64::from(second), &mut random)), Some((there, 7)), "{second}");
            }
        }
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        let lines = |last: &str| (0..9).map(|n| format!("{n} 1 1\n")).collect::<String>() + last;
        assert!(Trace::parse("good", &lines("9 0 9999999.9\n")).is_ok());
        for last in
            ["9 1", "9 1 -1", "9 1 x", "9 1 1 1", "8 1 1", "x 1 1", "9 1 1e7", "9 lots", "", "inf 1 1"]
        {
            assert!(Trace::parse("bad", &lines(&format!("{last}\n"))).is_err(), "{last}");
        }
        assert!(Trace::parse("short", "0 1 1\n1 1 1\n").is_err());
    }

    #[test]
    fn all_traces_are_read() {
        for name in Trace::names() {
            assert!(Trace::find(name).is_some_and(|trace| trace.period > 300.0), "{name}");
        }
        assert!(Trace::find("none").is_none());
    }
}
