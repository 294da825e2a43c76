//! What a reference clock said since the last sample was made of it.
//!
//! A reference clock is not asked: its samples come when they come, once a second as a rule. At each poll interval one sample is
//! made of those that came since the last one, as a median filter does it: they are brought to one moment, the fifth of them that
//! is highest and the fifth that is lowest are left out, and what the others differ in is their error.

use crate::poll::span;
use crate::sample::Sample;
use crate::sanity::Facts;
use crate::settings::ReferenceClock;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use ipc::message::client::ReplyHeader;
use ipc::message::refclock::LONGEST_AGE;
use ipc::units::{Leap, RawInstant, Span};
use protocol::header::MODE_SERVER;

/// The shortest interval of which a sample is made, where the poll interval is not shorter.
pub(crate) const SHORTEST: Span = Span::from_secs(2);

/// By so much CLOCK_REALTIME, by which a sample is placed, can run faster or slower than CLOCK_MONOTONIC_RAW: what the kernel
/// permits of a frequency, and the largest slew.
const RATE: f64 = 1e-3;

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) at: RawInstant,
    /// True time minus CLOCK_MONOTONIC_RAW, nanoseconds.
    pub(crate) offset: i64,
    /// Seconds between the moment of the reading and that at which it came here.
    pub(crate) age: f64,
    pub(crate) leap: Leap,
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Feed {
    /// The oldest first.
    readings: VecDeque<Reading>,
    /// When the interval began.
    pub(crate) since: RawInstant,
    /// What was read before is not used: CLOCK_REALTIME was set, by which it was placed.
    pub(crate) not_before: RawInstant,
}

/// Of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Closed {
    /// Nothing came.
    Nothing,
    /// What came differs by more than the configuration permits (`max-dispersion`).
    Dispersed(Facts),
    /// A sample.
    Sample(Sample),
}

impl Feed {
    pub(crate) const fn new(now: RawInstant) -> Self {
        Self { readings: VecDeque::new(), since: now, not_before: RawInstant::MIN }
    }

    /// Takes a reading; of more than are wanted the newest stay.
    pub(crate) fn take(&mut self, reading: Reading, clock: &ReferenceClock) {
        while self.readings.len() >= usize::from(clock.filter.max(1)) {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
    }

    /// Whether nothing came in this interval.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Time was not continuous: what was read is void, and what was taken before now is too when it comes.
    pub(crate) fn break_off(&mut self, now: RawInstant) {
        self.readings.clear();
        self.not_before = now.after(LONGEST_AGE);
    }

    /// The configured correction moved by `nanos`. Where UTC itself moves, what was read is void ([`Self::break_off`]).
    pub(crate) fn shift(&mut self, nanos: i64) {
        for reading in &mut self.readings {
            reading.offset = reading.offset.saturating_add(nanos);
        }
    }

    /// Ends the interval. `frequency`: how much faster true time runs than CLOCK_MONOTONIC_RAW, s/s.
    pub(crate) fn close(&mut self, clock: &ReferenceClock, frequency: f64, now: RawInstant) -> Closed {
        self.since = now;
        let Some(newest) = self.readings.back().copied() else { return Closed::Nothing };
        let age = self.readings.iter().map(|reading| reading.age).fold(0.0, f64::max);
        // Beside the newest one, nanoseconds, as if all were of its moment.
        let mut beside: Vec<f64> = self
            .readings
            .drain(..)
            .map(|reading| {
                let elapsed = newest.at.since(reading.at).nanos() as f64;
                reading.offset.saturating_sub(newest.offset) as f64 + frequency * elapsed
            })
            .collect();
        beside.sort_unstable_by(f64::total_cmp);
        let left_out = beside.len() / 5;
        let kept = beside.get(left_out..beside.len().saturating_sub(left_out)).unwrap_or_default();
        let mean = kept.iter().sum::<f64>() / kept.len().max(1) as f64;
        let spread = kept.iter().map(|one| (one - mean).abs()).fold(0.0, f64::max) * 1e-9;
        let bound = spread + clock.precision_s() + RATE * age;
        let facts = Facts {
            leap: newest.leap,
            stratum: clock.stratum,
            reference_id: clock.reference_id,
            root_delay: clock.delay.nanos() as f64 * 1e-9,
            root_dispersion: 0.0,
        };
        if clock.max_dispersion.is_some_and(|most| bound > most.nanos() as f64 * 1e-9) {
            return Closed::Dispersed(Facts { root_dispersion: bound, ..facts });
        }
        let offset = newest.offset.saturating_add(libm::round(mean) as i64);
        Closed::Sample(Sample::one_way(newest.at, offset, bound, facts))
    }
}

/// The moment from which on a sample is made of what came.
pub(crate) fn earliest_end(feed: &Feed, interval: f64) -> RawInstant {
    feed.since.after(SHORTEST.min(span(interval)))
}

/// What a server would say that is this clock, for reports.
pub(crate) fn header(facts: &Facts, poll: i8) -> ReplyHeader {
    let short = |seconds: f64| libm::ceil(seconds.clamp(0.0, 65_535.0) * 65_536.0) as u32;
    ReplyHeader {
        leap: facts.leap,
        version: 4,
        mode: MODE_SERVER,
        stratum: facts.stratum,
        poll,
        precision: -20,
        root_delay: short(facts.root_delay),
        root_dispersion: short(facts.root_dispersion),
        reference_id: facts.reference_id,
        reference_timestamp: 0,
        origin_timestamp: 0,
        receive_timestamp: 0,
        transmit_timestamp: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: ReferenceClock = ReferenceClock::of(0, *b"GPS\0");

    fn at(seconds: i64) -> RawInstant {
        RawInstant::saturating(seconds * 1_000_000_000)
    }

    fn feed(offsets: &[i64]) -> Feed {
        let mut feed = Feed::new(at(0));
        for (second, offset) in (1..).zip(offsets) {
            feed.take(Reading { at: at(second), offset: *offset, age: 0.0, leap: Leap::None }, &CLOCK);
        }
        feed
    }

    fn sample(feed: &mut Feed, frequency: f64) -> Sample {
        match feed.close(&CLOCK, frequency, at(100)) {
            Closed::Sample(sample) => sample,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_extreme_fifths_are_left_out_and_the_others_say_how_sure_they_are() {
        let offsets = [1_000, 1_200, 900, 50_000_000, 1_100, -70_000_000, 1_000, 800, 1_000, 1_000];
        let mut all = feed(&offsets);
        let made = sample(&mut all, 0.0);
        assert_eq!(made.measurement.at, at(10));
        assert!((made.measurement.offset - 1_000).abs() <= 20, "{made:?}");
        let spread = made.facts.root_dispersion - CLOCK.precision_s();
        assert!(spread > 0.0 && spread < 200e-9, "{spread}");
        assert!(matches!(all.close(&CLOCK, 0.0, at(101)), Closed::Nothing), "each is used once");
    }

    #[test]
    fn a_clock_that_runs_fast_does_not_widen_what_is_said_at_different_moments() {
        // 100 ppm: 100 µs a second.
        let offsets: Vec<i64> = (0..16).map(|second| second * 100_000).collect();
        let made = sample(&mut feed(&offsets), 100e-6);
        assert!((made.measurement.offset - 1_500_000).abs() <= 1, "{made:?}");
        assert!(made.facts.root_dispersion < 2.0 * CLOCK.precision_s());
        assert!(sample(&mut feed(&offsets), 0.0).facts.root_dispersion > 400e-6);
    }

    #[test]
    fn a229_no_more_are_kept_than_the_filter_has_and_what_was_before_a_step_is_void() {
        let mut flooded = feed(&[7; 1_000]);
        assert_eq!(flooded.readings.len(), usize::from(CLOCK.filter));
        flooded.break_off(at(1_000));
        assert!(flooded.is_empty() && flooded.not_before == at(1_002));
    }

    #[test]
    fn what_differs_by_more_than_is_permitted_is_no_sample() {
        let strict = ReferenceClock { max_dispersion: Some(Span::from_millis(1)), ..CLOCK };
        let wild = [0, 9_000_000, -9_000_000, 5_000_000, -5_000_000];
        assert!(matches!(feed(&wild).close(&strict, 0.0, at(9)), Closed::Dispersed(_)));
        assert!(matches!(feed(&[0; 5]).close(&strict, 0.0, at(9)), Closed::Sample(_)));
    }
}
