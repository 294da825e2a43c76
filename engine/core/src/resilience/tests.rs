//! Whatever is said to be survived is survived, by the selection itself.

use super::*;
use crate::independence::Identity;
use crate::select::{Absence, Agreement, Claim};
use ipc::units::Span;

fn rules(minimum: usize, require: bool) -> Rules {
    Rules {
        awaits_unheard: false,
        minimum,
        require,
        require_nts: false,
        attested: false,
        max_distance: Span::from_secs(3),
        max_jitter: None,
    }
}

fn candidate(number: usize, middle: f64) -> Candidate {
    Candidate {
        claim: Some(Claim { low: middle - 0.01, middle: Some(middle), high: middle + 0.01 }),
        absence: Absence::Counted,
        live: true,
        authenticated: false,
        keyed: false,
        group: number,
        operator: number,
        seat: Seat { entry: number as u32, seats: 1, leaving: false },
        upstream: None,
        survived: true,
        prefer: false,
        trust: false,
        require: false,
    }
}

fn silent(number: usize) -> Candidate {
    let claim = Claim { low: -0.02, middle: None, high: 0.02 };
    Candidate { claim: Some(claim), live: false, ..candidate(number, 0.0) }
}

fn missing(number: usize) -> Candidate {
    Candidate { claim: None, live: false, ..candidate(number, 0.0) }
}

/// The agreement of these, if the clock is corrected by it.
fn agreed(candidates: &[Candidate], rules: Rules) -> Option<Agreement> {
    let (standings, agreement) = select(candidates, rules.awaits_unheard, rules.minimum, rules.require);
    assert_eq!(standings.len(), candidates.len());
    agreement.ok()
}

/// The agreements after each choice of `count` of the first `of` has become what `failed` makes of it.
fn after_failures(
    candidates: &[Candidate],
    (count, of): (usize, usize),
    rules: Rules,
    failed: impl Fn(usize, &Candidate) -> Candidate,
) -> Vec<Option<Agreement>> {
    let choices = (0_u32..1 << of).filter(|choice| choice.count_ones() as usize == count);
    let after = |choice: u32| {
        let each = candidates.iter().enumerate().map(|(place, candidate)| {
            if choice >> place & 1 == 1 { failed(place, candidate) } else { *candidate }
        });
        agreed(&each.collect::<Vec<_>>(), rules)
    };
    choices.map(after).collect()
}

#[test]
fn what_is_said_to_be_survived_is_and_one_more_is_not() {
    for live in 1..=6 {
        for (quiet, gone) in [(0, 0), (1, 0), (0, 1), (2, 1), (0, 2)] {
            for minimum in 1..=live {
                let mut all: Vec<Candidate> =
                    (0..live).map(|n| candidate(n, 0.001 * (n as f64 - 2.0))).collect();
                all.extend((live..live + quiet).map(silent));
                all.extend((live + quiet..live + quiet + gone).map(missing));
                let rules = rules(minimum, false);
                let found = of(&all, &alloc::vec![false; live + quiet], rules);
                let Some(Resilience { deciding, silent: mute, lying }) = found else {
                    assert_eq!(agreed(&all, rules), None);
                    continue;
                };
                assert_eq!((deciding, mute), (live, live - minimum), "{live} {quiet} {gone} {minimum}");
                let lie =
                    |place: usize, it: &Candidate| Candidate { group: it.group, ..candidate(place, 50.0) };
                for count in 0..=mute + 1 {
                    let all_go_on = after_failures(&all, (count, live), rules, |place, _| silent(place))
                        .iter()
                        .all(Option::is_some);
                    assert_eq!(all_go_on, count <= mute, "{count} of {live}, {quiet}, {gone}, {minimum}");
                }
                for count in 0..=lying {
                    let outvoted = after_failures(&all, (count, live), rules, lie)
                        .iter()
                        .all(|it| it.is_some_and(|it| it.low < 0.02 && it.high < 1.0));
                    assert!(outvoted, "{count} liars of {live}, {quiet}, {gone}, {minimum}");
                }
                let more = after_failures(&all, (lying + 1, live), rules, lie);
                let outvoted = more.iter().all(|it| it.is_some_and(|it| it.high < 1.0));
                assert!(!outvoted, "{lying} and one more of {live}, {quiet}, {gone}, {minimum}");
            }
        }
    }
}

#[test]
fn sources_that_name_one_upstream_are_counted_as_the_selection_counts_them() {
    // Of each source the upstream that it names; 0: none.
    for named in [&[7_u32, 7, 7][..], &[7, 7, 8, 9], &[7, 7, 8, 8], &[7, 7, 7, 0], &[0, 7, 7, 8, 8], &[7, 7]]
    {
        for minimum in 1..=named.len() {
            let identity = |reference_id: u32| Identity {
                name: "",
                ip: core::net::IpAddr::from([10, 0, 0, 1]),
                port: 123,
                stratum: 2,
                reference_id,
            };
            let all: Vec<Candidate> = named
                .iter()
                .enumerate()
                .map(|(n, id)| Candidate { upstream: identity(*id).upstream(), ..candidate(n, 0.0) })
                .collect();
            let rules = rules(minimum, false);
            let Some(found) = of(&all, &alloc::vec![false; named.len()], rules) else {
                assert_eq!(agreed(&all, rules), None);
                continue;
            };
            assert_eq!(found.deciding, named.len());
            let upstream = |place: usize| all[place].upstream;
            let mute = |place: usize, _: &Candidate| Candidate { upstream: upstream(place), ..silent(place) };
            for count in 0..=found.silent + 1 {
                let go_on =
                    after_failures(&all, (count, named.len()), rules, mute).iter().all(Option::is_some);
                assert_eq!(go_on, count <= found.silent, "{named:?}, {minimum}: {count} of {found:?}");
            }
            let lie = |place: usize, _: &Candidate| Candidate {
                upstream: upstream(place),
                ..candidate(place, 50.0)
            };
            let after = after_failures(&all, (found.lying, named.len()), rules, lie);
            assert!(
                after.iter().all(|it| it.is_some_and(|it| it.high < 1.0)),
                "{named:?}, {minimum}: {found:?}"
            );
        }
    }
    let three: Vec<Candidate> = (0..3).map(|n| candidate(n, 0.0)).collect();
    assert_eq!(
        of(&three, &[false; 3], rules(1, false)),
        Some(Resilience { deciding: 3, silent: 2, lying: 1 })
    );
}

#[test]
fn sources_of_one_operator_and_a_required_one_are_counted_as_the_selection_counts_them() {
    // Three of one operator, and one of another; `minimum-sources` of two.
    let all: Vec<Candidate> =
        (0..4).map(|n| Candidate { operator: n / 3, group: n / 3, ..candidate(n, 0.0) }).collect();
    let found = of(&all, &[false; 4], rules(2, false));
    assert_eq!(found, Some(Resilience { deciding: 4, silent: 0, lying: 0 }));
    let mut all: Vec<Candidate> = (0..4).map(|n| candidate(n, 0.0)).collect();
    all[1].require = true;
    let found = of(&all, &[false; 4], rules(1, true));
    assert_eq!(found, Some(Resilience { deciding: 4, silent: 0, lying: 0 }));
    // One that drifts stands in for nobody.
    let found = of(&all, &[false, false, true, false], rules(1, false));
    assert_eq!(found.map(|it| (it.deciding, it.silent)), Some((3, 2)));
    // Plain ones beside authenticated ones neither.
    let all: Vec<Candidate> =
        (0..4).map(|n| Candidate { authenticated: n < 2, ..candidate(n, 0.0) }).collect();
    let found = of(&all, &[false; 4], rules(1, false));
    assert_eq!(found, Some(Resilience { deciding: 2, silent: 1, lying: 0 }));
}
