use super::*;
use truechimer_time::{Mark, WallCheck, rate};

const NOW: i64 = 1_800_000_000 * SECOND;

fn page() -> Page {
    Page {
        as_of: 5_000 * SECOND,
        earliest: NOW - 300_000,
        latest: NOW + 500_000,
        estimate: NOW,
        frequency: rate(20e-6) as i64,
        void_after: 15_800 * SECOND,
        continuous_since: 1_000 * SECOND,
        synchronised_until: 10_000 * SECOND,
        state: State::Synchronised,
        mark: Mark { authenticated: true, attested: false, system_clock: true, sources: 4 },
        wall: Some(WallCheck {
            wall: NOW - 50_000,
            frequency: rate(19e-6) as i64,
            low: -BESIDE,
            high: BESIDE,
            rate: rate(50e-6),
        }),
        marker: None,
        rates: [2e-6, 3e-6, 5e-6, 9e-6, 15e-6, 16e-6].map(rate),
    }
}

fn counter(ticks: u64, raw: i64) -> Counter {
    Counter { ticks, raw: RawInstant::saturating(raw), gap: 40 }
}

fn words(body: &Body) -> &[u64] {
    match body {
        Body::SystemClock(words) => words,
        Body::Counter(words) => words,
    }
}

/// The two halves of a word.
fn split(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
}

#[test]
fn layout_2_bounds_the_system_clock_whatever_is_ordered_meanwhile() {
    let page = page();
    let body = by_system_clock(&page, 77 * SECOND + 5);
    let words = words(&body);
    assert_eq!(words[..4], [77, 5, 77 + 1_024, 5]);
    // True time is between 250 µs behind and 550 µs ahead of the clock; a correction may go anywhere in between.
    assert_eq!(words[4], 800_000 + 1_000);
    let (drifts, status) = split(words[6]);
    assert_eq!(status, Status::Synchronized as u32);
    assert!((6_000..6_010).contains(&drifts), "{drifts}");
    // A slew of a millisecond is under way, ordered by an estimate of before.
    let wall = WallCheck { high: BESIDE + 1_000_000, ..page.wall.unwrap() };
    let slewed = by_system_clock(&Page { wall: Some(wall), ..page }, 0);
    assert_eq!(self::words(&slewed)[4], 1_250_000 + 1_000);
}

#[test]
fn what_is_not_known_is_said_to_be_so() {
    let page = page();
    let status = |body: &Body| match body {
        Body::SystemClock(words) => split(words[6]).1,
        Body::Counter(words) => split(words[9]).1,
    };
    let counted = Some(Counted { at: counter(1, page.as_of), period: 1e-9, error: 1e-9 });
    for (state, expected) in [
        (State::Synchronised, Status::Synchronized),
        (State::FreeRunning, Status::FreeRunning),
        (State::Unknown, Status::Unknown),
        (State::Disrupted, Status::Disrupted),
    ] {
        let page = Page { state, ..page };
        assert_eq!(status(&by_system_clock(&page, 0)), expected as u32);
        assert_eq!(status(&by_counter(&page, counted)), expected as u32);
        let without = if expected.is_known() { Status::Unknown } else { expected };
        assert_eq!(status(&by_counter(&page, None)), without as u32);
        for unsteered in
            [Page { wall: None, ..page }, Page { mark: Mark { system_clock: false, ..page.mark }, ..page }]
        {
            assert_eq!(status(&by_system_clock(&unsteered, 0)), without as u32);
        }
    }
    // Nor does the counter say anything of a time for which the page does not hold.
    let late = Some(Counted { at: counter(1, page.void_after + 1), period: 1e-9, error: 1e-9 });
    assert_eq!(status(&by_counter(&page, late)), Status::Unknown as u32);
}

#[test]
fn clients_are_told_to_compare_the_marker_that_the_page_has_whether_or_not_anything_is_known() {
    let counted = |page: &Page| Some(Counted { at: counter(1, page.as_of), period: 1e-9, error: 1e-9 });
    for page in [page(), Page::unknown(5, State::Unknown), Page::unknown(5, State::Disrupted)] {
        for marker in [None, Some(7)] {
            let page = Page { marker, ..page };
            let told = |body: &Body, at: usize| {
                let [support, ..] = words(body)[at + 2].to_ne_bytes();
                (support == 1).then_some(words(body)[at])
            };
            assert_eq!(told(&by_system_clock(&page, 0), 5), marker);
            assert_eq!(told(&by_counter(&page, None), 8), marker);
            assert_eq!(told(&by_counter(&page, counted(&page)), 8), marker);
        }
    }
}

#[test]
fn layout_3_projects_true_time_from_the_counter() {
    let page = page();
    let period = 1.0 / 2_899_999_123.0;
    let at = counter(123_456_789, page.as_of + 10 * SECOND);
    let body = by_counter(&page, Some(Counted { at, period, error: 3e-9 }));
    let words = words(&body);
    let interval = page.at(at.raw.nanos()).unwrap();
    assert_eq!(words[0], at.ticks);
    let as_of = words[1] as i64 * SECOND + words[2] as i64;
    let bound = words[7] as i64;
    assert!(as_of - bound <= interval.earliest && interval.latest <= as_of + bound);
    assert!(bound < (interval.latest - interval.earliest) / 2 + 200);
    let [_, period_shift, error_shift, ..] = words[10].to_ne_bytes();
    let read = |fraction: u64, shift: u8| fraction as f64 / (64.0 + f64::from(shift)).exp2();
    let seconds = read(words[5], period_shift);
    assert!((seconds / (period * (1.0 + 20e-6)) - 1.0).abs() < 1e-12, "{seconds}");
    assert!((read(words[6], error_shift) / 3e-9 - 1.0).abs() < 1e-9);
    assert!(words[5] > 1 << 62, "no digit is lost");
    let (drifts, _) = split(words[9]);
    assert!((5_000..5_010).contains(&drifts), "{drifts}");
}

#[test]
fn a_fraction_keeps_its_digits_from_one_half_to_nothing() {
    for value in [0.999_999, 0.5, 0.25, 1e-3, 3.3e-10, 1e-15, 1e-19] {
        let (fraction, shift) = fraction(value);
        let back = fraction as f64 / (64.0 + f64::from(shift)).exp2();
        assert!((back / value - 1.0).abs() < 1e-9, "{value} {back}");
    }
    for nothing in [0.0, -1.0, f64::NAN] {
        assert_eq!(fraction(nothing), (0, 0));
    }
}

#[test]
fn a_tick_is_known_after_a_moment_and_ever_better_and_not_over_a_standstill() {
    let mut ratio = Ratio::new(true);
    let at = |seconds: f64| counter((seconds * 3e9) as u64, (seconds * 1e9) as i64);
    assert_eq!(ratio.look(at(1.0), 0), None);
    assert_eq!(ratio.look(at(1.05), 0), None, "too early");
    let mut error = 1.0;
    for seconds in [1.2, 2.0, 10.0, 1_000.0] {
        let found = ratio.look(at(seconds), 0).unwrap();
        assert!((found.period * 3e9 - 1.0).abs() <= found.error, "{seconds}: {found:?}");
        assert!(found.error < error);
        error = found.error;
    }
    assert_eq!(ratio.look(at(1_001.0), 7), None, "it stood still");
    assert!(ratio.look(at(1_002.0), 7).is_some());
    // Another counter: it jumped, runs at another rate, or backwards.
    for strange in [counter(9, 1_003 * SECOND), counter(3_006_300_000_000, 1_004 * SECOND)] {
        assert_eq!(ratio.look(strange, 7), None);
        assert_eq!(ratio.look(at(1_010.0), 7).map(|_| ()), None);
        ratio = Ratio::new(true);
        ratio.look(at(1.0), 7);
        ratio.look(at(1_002.0), 7);
    }
    assert_eq!(Ratio::new(false).look(at(1.0), 0), None);
    let unused = &mut Ratio::new(false);
    assert_eq!(unused.look(at(9.0), 0), None);
}

/// Words, and the generation at each change.
#[derive(Default)]
struct Traced {
    words: Vec<u64>,
    generations: Vec<u16>,
}

impl Place for Traced {
    fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(0)
    }

    fn set(&mut self, at: usize, word: u64) {
        self.words.resize(self.words.len().max(at + 1), 0);
        self.words[at] = word;
        self.generations.push(generation(self.words[1]));
    }
}

fn generation(word: u64) -> u16 {
    let [.., low, high] = word.to_ne_bytes();
    u16::from_ne_bytes([low, high])
}

#[test]
fn the_generation_is_odd_during_a_write_even_after_it_and_never_0_again() {
    let body = by_system_clock(&page(), 0);
    let mut segment = Segment::new(Traced::default());
    assert!(!segment.is_used());
    for turn in 0..70_000_u32 {
        segment.write(&body);
        assert!(segment.is_used());
        let (last, during) = segment.words.generations.split_last().unwrap();
        assert!(last % 2 == 0 && *last != 0, "{turn}");
        assert!(during.iter().all(|generation| generation % 2 == 1), "{turn}");
        segment.words.generations.clear();
    }
    // A run that goes on where another one was killed in the middle of a write.
    let mut words = segment.words;
    let before = words.words[1];
    let [a, b, c, d, e, f, low, _] = before.to_ne_bytes();
    words.words[1] = u64::from_ne_bytes([a, b, c, d, e, f, low | 1, 7]);
    let odd = generation(words.words[1]);
    let mut segment = Segment::new(words);
    segment.write(&body);
    assert_eq!(segment.words.generations.last(), Some(&(odd + 3)));
    assert!(
        segment.words.generations.iter().all(|it| *it != odd),
        "a reader that saw the old one sees a change"
    );
    let header = segment.words.words[1].to_ne_bytes();
    assert_eq!(u32::from_ne_bytes([header[0], header[1], header[2], header[3]]), 80);
    assert_eq!(u16::from_ne_bytes([header[4], header[5]]), VERSION_2);
}
