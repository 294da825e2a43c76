use super::*;
use std::vec::Vec;

pub(crate) const SEC: i64 = 1_000_000_000;
pub(crate) const NOW: i64 = 1_800_000_000 * SEC;

/// A page of a clock that runs 20 ppm slow, known to 1 ms.
pub(crate) fn page() -> Page {
    Page {
        as_of: 5_000 * SEC,
        earliest: NOW - 1_000_000,
        latest: NOW + 1_000_000,
        estimate: NOW + 100,
        frequency: rate(20e-6) as i64,
        void_after: 15_000 * SEC,
        continuous_since: 1_000 * SEC,
        synchronised_until: 14_000 * SEC,
        state: State::Synchronised,
        mark: Mark { authenticated: true, attested: false, system_clock: false, sources: 4 },
        wall: Some(WallCheck {
            wall: NOW + 3 * SEC,
            frequency: -(rate(7e-6) as i64),
            low: -5_000_000,
            high: 6_000_000,
            rate: rate(100e-6),
        }),
        marker: None,
        rates: [2e-6, 3e-6, 5e-6, 9e-6, 15e-6, 16e-6].map(rate),
    }
}

#[test]
fn words_are_read_back_and_what_is_no_page_is_refused() {
    let virtually = Page { wall: None, state: State::FreeRunning, ..page() };
    for page in
        [page(), virtually, Page::unknown(7, State::Disrupted), Page::unknown(i64::MAX, State::Unknown)]
    {
        let words = page.to_words();
        assert_eq!(Page::from_words(&words), Ok(page));
        // A later version may say more in words that are unused today.
        let mut more = words;
        more[WORDS - 1] = 5;
        assert_eq!(Page::from_words(&more), Ok(page));
        for (at, word) in
            [(0, 0), (0, words[0] ^ 1), (1, 4), (9, MOST_RATE + 1), (6, u64::MAX / 2), (19, u64::MAX)]
        {
            let mut other = words;
            other[at] = word;
            assert_eq!(Page::from_words(&other), Err(Unreadable), "{at}");
        }
    }
    assert_eq!(Page::from_words(&[0; WORDS]), Err(Unreadable));
}

#[test]
fn an_interval_moves_with_the_frequency_and_widens_on_both_sides() {
    let page = page();
    let exact = page.at(page.as_of).unwrap();
    assert_eq!((exact.earliest, exact.latest), (page.earliest - 2, page.latest + 2));
    assert_eq!((exact.estimate, exact.synchronised, exact.mark), (page.estimate, true, page.mark));
    for (seconds, ppm) in [
        (1, 2.0),
        (64, 2.0),
        (65, 3.0),
        (256, 3.0),
        (1_000, 5.0),
        (3_000, 9.0),
        (7_200, 15.0),
        (10_000, 16.0),
    ] {
        let later = page.at(page.as_of + seconds * SEC).unwrap();
        let moved = seconds * SEC + seconds * 20_000;
        let wider = seconds as f64 * ppm * 1e3;
        let is_near = |left: i64, right: i64| assert!((left - right).abs() <= 4, "{seconds}: {left} {right}");
        is_near(later.estimate, page.estimate + moved);
        is_near(later.earliest, page.earliest + moved - wider as i64);
        is_near(later.latest, page.latest + moved + wider as i64);
        assert!(later.most_error().abs_diff(1_000_100 + wider as u64) <= 4);
        // In the past as in the future.
        if seconds <= 4_000 {
            let before = page.at(page.as_of - seconds * SEC).unwrap();
            is_near(before.estimate, page.estimate - moved);
            is_near(before.latest - before.earliest, later.latest - later.earliest);
        }
    }
}

#[test]
fn what_was_synchronised_is_so_until_another_page_would_have_been_written() {
    let page = page();
    let synchronised = Page { mark: Mark { system_clock: true, ..page.mark }, ..page };
    for (raw, expected) in [(page.synchronised_until, true), (page.synchronised_until + 1, false)] {
        let interval = synchronised.at(raw).unwrap();
        assert_eq!((interval.synchronised, interval.mark.system_clock), (expected, expected), "{raw}");
        assert!(interval.mark.authenticated, "what it rests on stays");
    }
}

#[test]
fn what_is_certainly_before_and_after() {
    let interval =
        Interval { earliest: 10, latest: 20, estimate: 12, synchronised: true, mark: Mark::default() };
    assert_eq!([9, 10, 20, 21].map(|time| interval.before(time)), [false, false, false, true]);
    assert_eq!([9, 10, 20, 21].map(|time| interval.after(time)), [true, false, false, false]);
    assert_eq!(interval.most_error(), 8);
}

#[test]
fn outside_of_its_time_a_page_says_nothing() {
    let page = page();
    for (raw, expected) in [
        (page.void_after, None),
        (page.void_after + 1, Some(Unknown::Expired)),
        (page.continuous_since, None),
        (page.continuous_since - 1, Some(Unknown::TooEarly)),
        (i64::MIN, Some(Unknown::TooEarly)),
        (i64::MAX, Some(Unknown::Expired)),
    ] {
        assert_eq!(page.at(raw).err(), expected, "{raw}");
    }
    // The last rate ends too.
    let forever = Page { void_after: i64::MAX, continuous_since: i64::MIN, ..page };
    assert_eq!(forever.at(page.as_of + 10_800 * SEC + 1), Err(Unknown::Expired));
    assert_eq!(forever.at(page.as_of - 10_800 * SEC - 1), Err(Unknown::TooEarly));
    for raw in [i64::MIN, i64::MAX] {
        assert!(forever.at(raw).is_err());
        assert_eq!(Page { state: State::Unknown, ..forever }.at(raw), Err(Unknown::NoTime));
        assert_eq!(Page { state: State::Disrupted, ..forever }.at(raw), Err(Unknown::Disrupted));
    }
}

#[test]
fn the_largest_numbers_saturate() {
    let largest = Page {
        earliest: i64::MIN,
        latest: i64::MAX,
        estimate: i64::MAX,
        frequency: MOST_RATE as i64,
        rates: [MOST_RATE; SEGMENTS],
        ..page()
    };
    let interval = largest.at(largest.as_of + 9_000 * SEC).unwrap();
    assert_eq!((interval.latest, interval.estimate), (i64::MAX, i64::MAX));
    assert!(interval.earliest < i64::MIN + 9_100 * SEC && interval.most_error() == i64::MAX as u64);
    let smallest = Page { as_of: i64::MIN, continuous_since: i64::MIN, ..largest };
    assert!(smallest.at(i64::MIN).is_ok() && smallest.at(i64::MAX).is_err());
}

#[test]
fn a_clock_that_was_set_or_a_machine_that_slept_is_noticed() {
    let page = page();
    let check = page.wall.unwrap();
    let expected = |seconds: i64| check.wall + seconds * (SEC - 7_000);
    for seconds in [0, 1, 100, 3_000] {
        let raw = page.as_of + seconds * SEC;
        let wider = seconds * 100_000;
        let says = |beside: i64, behind: i64| page.agrees(raw, expected(seconds) + beside, raw, behind);
        assert!(
            says(0, 0) && says(6_000_000 + wider - 10, 0) && says(-5_000_000 - wider + 10, 0),
            "{seconds}"
        );
        assert!(!says(6_000_000 + wider + 10, 0) && !says(-5_000_000 - wider - 10, 0), "{seconds}");
        // The coarse clock is older, never newer.
        assert!(says(-5_000_000 - wider - 10, 20_000_000) && !says(6_000_000 + wider + 10, 20_000_000));
        // Suspended for as long as a second, or set back by one.
        assert!(!says(SEC, 20_000_000) && !says(-SEC, 20_000_000), "{seconds}");
        // What this program waited for the processor between two readings is no suspend.
        assert!(page.agrees(raw, expected(seconds) + SEC, raw + SEC, 0));
    }
    assert!(Page { wall: None, ..page }.agrees(0, 0, 0, 0));
    for raw in [i64::MIN, i64::MAX] {
        assert!(!page.agrees(raw, i64::MIN, raw, 0) || !page.agrees(raw, i64::MAX, raw, 0));
    }
}

#[test]
fn a_rate_is_rounded_up_and_limited() {
    let scaled: Vec<u64> = [0.0, 1e-6, 0.01, 1.0, f64::INFINITY, f64::NAN, -1.0].map(rate).to_vec();
    assert_eq!(scaled[0], 1);
    assert!(scaled[1] as f64 >= 1e-6 * (1_u64 << 48) as f64);
    assert_eq!(scaled[2..6], [MOST_RATE; 4]);
    assert_eq!(scaled[6], 1);
}
