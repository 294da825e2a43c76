use super::*;
use crate::page::tests::{NOW, SEC};
use crate::page::{self, State, Unknown, WallCheck};
use std::vec::Vec;

const BEHIND: i64 = 20_000_000;

/// Of a clock that runs fast, known to be synchronised for a while only.
fn page() -> Page {
    let usual = page::tests::page();
    Page {
        frequency: -usual.frequency,
        synchronised_until: 5_700 * SEC,
        mark: Mark { authenticated: true, attested: true, system_clock: true, sources: 4 },
        wall: usual.wall.map(|wall| WallCheck { frequency: -wall.frequency, ..wall }),
        ..usual
    }
}

/// Raw times around all at which something changes, and between.
fn moments(page: &Page) -> Vec<i64> {
    let spans = SPANS.map(|span| page.as_of.saturating_add(span as i64));
    let edges = [page.as_of, page.void_after, page.continuous_since, page.synchronised_until];
    let beside = |edge: i64| [-SEC, -2, -1, 0, 1, 2, SEC].map(|by| edge.saturating_add(by));
    spans.into_iter().chain(edges).flat_map(beside).collect()
}

#[test]
fn a_window_says_what_its_page_says_wherever_it_says_anything_and_always_around_the_moment_it_was_made_for() {
    let page = page();
    let pages = [
        page,
        Page { state: State::FreeRunning, ..page },
        Page { synchronised_until: 4_000 * SEC, ..page },
        Page { synchronised_until: i64::MAX, wall: None, ..page },
        Page { void_after: 5_100 * SEC, ..page },
        Page { void_after: i64::MAX, continuous_since: 5_300 * SEC, ..page },
        Page { state: State::Unknown, ..page },
        Page { state: State::Disrupted, ..page },
        Page { mark: Mark { system_clock: false, ..page.mark }, continuous_since: i64::MIN, ..page },
    ];
    let mut found = 0;
    for page in pages {
        for raw in moments(&page) {
            let window = Window::around(&page, raw, BEHIND);
            let is_there = raw >= page.as_of && page.at(raw).is_ok();
            assert_eq!(window.at(raw).is_some(), is_there, "{page:?} {raw}");
            for other in moments(&page) {
                if let Some(said) = window.at(other) {
                    assert_eq!(Ok(said), page.at(other), "{page:?} {raw} {other}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 1_000, "{found}");
    assert_eq!(Window::EMPTY.at(0), None);
}

#[test]
fn where_a_window_agrees_its_page_does_and_it_agrees_with_a_clock_that_is_where_it_should_be() {
    let page = page();
    for age in [0, 1, 63 * SEC, 300 * SEC, 9_000 * SEC] {
        let raw = page.as_of + age;
        let window = Window::around(&page, raw, BEHIND);
        let expected = NOW + 3 * SEC + age + (age as f64 * 7e-6) as i64;
        let agrees = |beside: i64| {
            let is_sure = window.agrees(raw, expected + beside);
            assert!(!is_sure || page.agrees(raw, expected + beside, raw, BEHIND), "{age} {beside}");
            is_sure
        };
        // Of the age the wider limits of the page are not used.
        for beside in [0, -4_000_000, -24_999_000, 5_999_000] {
            assert!(agrees(beside), "{age} {beside}");
        }
        for beside in [-25_001_000, 6_001_000, -SEC, SEC, i64::MIN / 2, i64::MAX / 2] {
            assert!(!agrees(beside), "{age} {beside}");
        }
    }
}

#[test]
fn there_is_no_window_of_numbers_at_the_ends_of_their_type_though_the_page_speaks() {
    let page = page();
    let check = page.wall.expect("there is one");
    let far = i64::MAX - 5;
    for odd in [
        Page { latest: far, ..page },
        Page { earliest: i64::MIN, ..page },
        Page { as_of: far, void_after: far, synchronised_until: far, ..page },
        Page { wall: Some(WallCheck { wall: far, ..check }), ..page },
        Page { wall: Some(WallCheck { low: i64::MIN, high: i64::MAX, ..check }), ..page },
        Page { wall: Some(WallCheck { low: 2, high: -BEHIND, ..check }), ..page },
    ] {
        assert!(odd.at(odd.as_of).is_ok());
        assert_eq!(Window::around(&odd, odd.as_of, BEHIND).at(odd.as_of), None, "{odd:?}");
    }
    assert_eq!(page.at(far), Err(Unknown::Expired));
    assert_eq!(Window::around(&page, far, BEHIND).at(far), None);
}
