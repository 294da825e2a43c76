//! What a round says of true time.

use super::NOW;
use crate::{Claim, Signed, Standing, Verdict, contradictions, judge};
use ipc::units::{RawInstant, WallTime};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn claim(server: usize, earliest: i128, latest: i128) -> Claim {
    Claim { server, earliest, latest }
}

fn interval(verdict: &Verdict) -> Option<(i64, i64)> {
    verdict.interval.map(|(from, until)| (from.nanos(), until.nanos()))
}

#[test]
fn what_was_signed_is_carried_on_and_widened_by_round_trip_and_drift() {
    let at = |seconds: i64| RawInstant::try_new(seconds * 1_000_000_000).unwrap();
    let carried = Claim::carried(4, &NOW, (at(100), at(102)), at(1_102));
    let second = 1_000_000_000;
    let midpoint = i128::from(NOW.midpoint) * second;
    assert_eq!(carried.server, 4);
    assert_eq!(carried.earliest, midpoint - 3 * second + 1_000 * second - second / 2 - 1);
    assert_eq!(carried.latest, midpoint + 3 * second + 1_002 * second + 501_000_000 + 1);
    // The farthest that can be signed is an interval too.
    let end = Signed { midpoint: u64::MAX, radius: u32::MAX };
    let end = Claim::carried(0, &end, (at(0), at(0)), RawInstant::MAX);
    assert!(end.earliest < end.latest);
    assert_eq!(judge(1, &[end]).interval.unwrap().1, WallTime::MAX);
    let begin = Signed { midpoint: 0, radius: 1 };
    assert_eq!(begin.earliest(), 0);
}

#[test]
fn two_of_three_outvote_the_third_which_is_named() {
    let verdict = judge(3, &[claim(0, 10, 20), claim(1, 1_000, 1_010), claim(2, 15, 25)]);
    assert_eq!(interval(&verdict), Some((15, 20)));
    assert_eq!(verdict.standings, [Standing::Inside, Standing::Outside, Standing::Inside]);
}

#[test]
fn servers_that_are_silent_count_as_asked() {
    let verdict = judge(3, &[claim(0, 10, 20), claim(1, 1_000, 1_010)]);
    assert_eq!(interval(&verdict), None);
    assert_eq!(verdict.standings, [Standing::Undecided, Standing::Undecided, Standing::Silent]);
    assert_eq!(interval(&judge(5, &[claim(0, 1, 2), claim(1, 1, 2)])), None);
    assert_eq!(interval(&judge(0, &[])), None);
}

#[test]
fn a_server_whose_own_answers_exclude_each_other_supports_nothing() {
    let verdict = judge(3, &[claim(0, 10, 20), claim(0, 30, 40), claim(1, 10, 20), claim(2, 10, 12)]);
    assert_eq!(interval(&verdict), Some((10, 12)));
    assert_eq!(verdict.standings[0], Standing::Contradictory);
    // Both answers of a server limit it.
    let verdict = judge(3, &[claim(0, 10, 20), claim(0, 15, 30), claim(1, 0, 17), claim(2, 0, 99)]);
    assert_eq!(interval(&verdict), Some((0, 20)));
}

#[test]
fn between_two_places_that_a_majority_supports_true_time_may_be_anywhere() {
    // The first and the second, the second and the third: any of the three may be the liar.
    let verdict = judge(3, &[claim(0, 0, 10), claim(1, 8, 32), claim(2, 30, 40)]);
    assert_eq!(interval(&verdict), Some((8, 32)));
    assert_eq!(verdict.standings, [Standing::Inside; 3]);
}

fn at(midpoint: u64, radius: u32) -> Signed {
    Signed { midpoint, radius }
}

#[test]
fn an_answer_before_another_one_that_is_earlier_beyond_both_radii_is_a_contradiction() {
    let honest = [(0, at(100, 3)), (1, at(95, 2)), (2, at(101, 1))];
    assert_eq!(contradictions(&honest), []);
    let by_one = [(0, at(100, 3)), (1, at(95, 1))];
    assert_eq!(contradictions(&by_one), [(0, 1)]);
    // One that is ahead is only caught by what comes after it: so all are asked twice.
    let ahead = [(0, at(100, 3)), (2, at(1_000, 3)), (3, at(101, 3)), (5, at(1_001, 3))];
    assert_eq!(contradictions(&ahead), [(2, 3)]);
    assert_eq!(contradictions(&[]), []);
}

proptest! {
    /// Whatever a minority says: true time is inside, and no honest server is called a liar.
    #[test]
    fn a_minority_of_liars_leads_nobody_away_from_true_time(
        truth in 1_000i128..2_000,
        honest in proptest::collection::vec((0i128..100, 0i128..100), 3..5),
        liars in proptest::collection::vec((0i128..3_000, 0i128..3_000), 0..3),
    ) {
        let all = honest.len() + liars.len();
        prop_assume!(honest.len() > all / 2);
        let mut claims: Vec<Claim> = vec![];
        claims.extend(honest.iter().enumerate().map(|(at, (below, above))| claim(at, truth - below, truth + above)));
        let first = honest.len();
        claims.extend(liars.iter().enumerate().map(|(at, (one, other))| claim(first + at, *one.min(other), *one.max(other))));
        let verdict = judge(all, &claims);
        let (from, until) = interval(&verdict).unwrap();
        prop_assert!((i128::from(from)..=i128::from(until)).contains(&truth));
        prop_assert!(verdict.standings[..first].iter().all(|standing| *standing == Standing::Inside));
    }
}
