use super::*;

/// The first measurement at which a longer path is found, of which `rests` are those of the way there, in jitters, and
/// those of the way back are the same without `more`.
fn found(more: f64, jitter: impl Fn(usize) -> f64) -> Option<(usize, Longer)> {
    let mut paths = Paths::new();
    (0..400).find_map(|n| {
        // Exponential rests of mean 1, in an order that repeats after 64.
        let quantile = ((n * 29 % 64) as f64 + 0.5) / 64.0;
        let rest = -libm::log(quantile) * jitter(n);
        let longer = if n < 100 { 0.0 } else { more };
        let fit = Fit {
            rests: [rest + longer, rest],
            deviations: [0.01; 2],
            trip_deviation: 0.01,
            scales: [1.0; 2],
            before: [None; 2],
        };
        match paths.compare(&fit) {
            Verdict::Longer([Some(longer), None]) => Some((n - 100 + 1, longer)),
            Verdict::Fits => None,
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn a_way_is_found_to_be_longer_the_later_the_less_it_is() {
    for (more, packets) in [(20.0, 8), (4.0, 8), (2.0, 12), (1.0, 22), (0.5, 45)] {
        let (after, Longer { run, by }) = found(more, |_| 1.0).unwrap();
        assert!(after <= packets && run >= after, "{more}: after {after}, a run of {run}");
        assert!((more..more + 0.3).contains(&by), "{more}: {by}");
    }
    assert_eq!(found(0.0, |_| 1.0), None);
}

/// The first measurement at which round trips are found to be longer, of which each way is `more` longer than before and has
/// this jitter, while the offset is hardly known: no way by itself is late beyond doubt.
fn found_together(more: f64, jitter: f64) -> Option<(usize, Longer)> {
    let mut paths = Paths::new();
    (0..400).find_map(|n| {
        let quantile = |shift: usize| (((n * 29 + shift) % 64) as f64 + 0.5) / 64.0;
        let (longer, jitter) = if n < 100 { (0.0, 1.0) } else { (more, jitter) };
        let rests = [0, 23].map(|shift| longer - jitter * libm::log(quantile(shift)));
        let deviations = [more / 3.0 + 0.01; 2];
        let fit = Fit { rests, deviations, trip_deviation: 0.05, scales: [1.0; 2], before: [None; 2] };
        match paths.compare(&fit) {
            Verdict::LongerTogether(longer) => Some((n - 100 + 1, longer)),
            Verdict::Fits => None,
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn round_trips_are_found_to_be_longer_where_no_way_by_itself_is() {
    for (more, packets) in [(20.0, 8), (4.0, 8), (2.0, 12), (1.0, 40)] {
        let (after, Longer { run, by }) = found_together(more, 1.0).unwrap();
        assert!(after <= packets && run >= after, "{more}: after {after}, a run of {run}");
        assert!((2.0 * more - 0.7..2.0 * more + 0.7).contains(&by), "{more}: {by}");
    }
    assert_eq!(found_together(0.0, 1.0), None);
    assert_eq!(found_together(0.0, 8.0), None);
}

#[test]
fn a_way_that_is_late_as_well_is_longer_as_well() {
    // What is found of eight packets, of which one is late by so much on the way back and the others by 20.
    let found = |least: f64| {
        let mut paths = Paths::new();
        let mut compare = |n: usize| {
            let rests = [20.0, if n == 5 { least } else { 20.0 }];
            let deviations = [0.01, 0.5];
            paths.compare(&Fit {
                rests,
                deviations,
                trip_deviation: 0.01,
                scales: [5.0; 2],
                before: [None; 2],
            })
        };
        (0..CONVINCED).map(&mut compare).last()
    };
    assert!(matches!(found(6.0), Some(Verdict::Longer([Some(_), None]))), "{:?}", found(6.0));
    assert!(matches!(found(12.0), Some(Verdict::Longer([Some(_), Some(_)]))), "{:?}", found(12.0));
}

#[test]
fn more_jitter_is_no_longer_way() {
    assert_eq!(found(0.0, |n| if n < 100 { 1.0 } else { 8.0 }), None);
}

#[test]
fn both_ways_can_be_longer_at_once() {
    let mut paths = Paths::new();
    let fit = Fit {
        rests: [10.0, 12.0],
        deviations: [0.01; 2],
        trip_deviation: 0.01,
        scales: [1.0; 2],
        before: [None; 2],
    };
    for _ in 1..CONVINCED {
        assert_eq!(paths.compare(&fit), Verdict::Fits);
    }
    let longer = |by| Some(Longer { run: CONVINCED, by });
    assert_eq!(paths.compare(&fit), Verdict::Longer([longer(10.0), longer(12.0)]));
}

/// The same where the path before is `longer` by so much than the present one: after how many packets of a change by
/// `more` it is taken for the one before.
fn restored(longer: f64, more: f64) -> Option<usize> {
    let mut paths = Paths::new();
    (0..400).find_map(|n| {
        let quantile = |shift: usize| (((n * 29 + shift) % 64) as f64 + 0.5) / 64.0;
        let rest = -libm::log(quantile(0)) + if n < 100 { 0.0 } else { more };
        let before = [Some((rest - longer, 0.01)), None];
        let rests = [rest, -libm::log(quantile(23))];
        let fit = Fit { rests, deviations: [0.01; 2], trip_deviation: 0.01, scales: [1.0; 2], before };
        match paths.compare(&fit) {
            Verdict::Restored([Some(run), None]) => {
                assert!(n >= 100 && run <= n - 100 + 6, "{n}: a run of {run}");
                Some(n - 100 + 1)
            }
            _ => None,
        }
    })
}

#[test]
fn the_path_before_is_known_again_after_few_packets_whether_it_is_longer_or_shorter() {
    // Back to a shorter one it takes a packet whose round trip is shorter, too.
    for (change, packets, back) in
        [(20.0, 2, Some(4)), (5.0, 3, Some(4)), (2.0, 6, Some(4)), (1.0, 11, Some(8)), (0.5, 22, None)]
    {
        let after = restored(change, change).unwrap();
        assert!(after <= packets, "{change}: after {after}");
        let after = back.map(|_| restored(-change, -change).unwrap());
        assert!(after <= back, "-{change}: after {after:?}");
    }
}

#[test]
fn a_path_that_did_not_change_is_not_taken_for_the_one_before() {
    for longer in [20.0, 5.0, 2.0, 1.0, 0.5, -0.5, -1.0, -2.0, -5.0, -20.0] {
        assert_eq!(restored(longer, 0.0), None, "{longer}");
    }
}

#[test]
fn a_step_of_the_offset_by_what_the_path_before_was_longer_or_shorter_is_none_of_the_path() {
    for (longer, step) in [(3.0, 3.0), (3.0, 4.0), (20.0, 20.0), (-3.0, -2.5), (-3.0, -3.0), (-20.0, -19.0)] {
        let mut paths = Paths::new();
        for n in 0..200_u32 {
            let quantile = |shift: u32| (f64::from((n * 29 + shift) % 64) + 0.5) / 64.0;
            let step = if n < 100 { 0.0 } else { step };
            let rests = [-libm::log(quantile(0)) + step, -libm::log(quantile(17)) - step];
            let before = [Some((rests[0] - longer, 0.01)), None];
            let verdict = paths.compare(&Fit {
                rests,
                deviations: [0.01; 2],
                trip_deviation: 0.01,
                scales: [1.0; 2],
                before,
            });
            assert!(!matches!(verdict, Verdict::Restored(_)), "{longer}, {step}: {n}");
        }
    }
}

#[test]
fn a_path_that_is_longer_than_the_one_before_is_another_one() {
    assert_eq!(restored(-20.0, -8.0), None);
    assert_eq!(restored(5.0, 3.0), None);
}
