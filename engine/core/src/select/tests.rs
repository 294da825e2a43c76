//! Votes, one by one.

use super::*;

fn claim((middle, half): (f64, f64)) -> Claim {
    Claim { low: middle - half, middle: Some(middle), high: middle + half }
}

fn candidate(middle: f64, half: f64) -> Candidate {
    Candidate {
        claim: Some(claim((middle, half))),
        absence: Absence::Counted,
        live: true,
        authenticated: false,
        keyed: false,
        group: 0,
        operator: 0,
        seat: Seat { entry: 0, seats: usize::MAX, leaving: false },
        upstream: None,
        survived: false,
        prefer: false,
        trust: false,
        require: false,
    }
}

/// Selects among sources of which each is in a group of its own.
fn choose(
    all: &[Candidate],
    awaits_unheard: bool,
    minimum: usize,
    require: bool,
) -> (alloc::vec::Vec<Standing>, Result<Agreement, Impasse>) {
    let apart =
        |(place, candidate): (usize, &Candidate)| Candidate { group: place, operator: place, ..*candidate };
    let all: alloc::vec::Vec<Candidate> = all.iter().enumerate().map(apart).collect();
    select(&all, awaits_unheard, minimum, require)
}

/// An honest source that fell silent.
fn silent(middle: f64, half: f64) -> Candidate {
    let claim = Claim { middle: None, ..claim((middle, half)) };
    Candidate { claim: Some(claim), live: false, ..candidate(middle, half) }
}

/// A configured source that has never answered.
fn missing() -> Candidate {
    Candidate { claim: None, live: false, ..candidate(0.0, 0.0) }
}

fn agrees(claims: &[(f64, f64)], expected: Option<(f64, f64)>) {
    let claims: alloc::vec::Vec<_> = claims.iter().copied().map(claim).collect();
    match (intersect(&claims, Others::NONE, &<[usize]>::len), expected) {
        (Some(found), Some((low, high))) => {
            assert!((found.low - low).abs() < 1e-12 && (found.high - high).abs() < 1e-12, "{found:?}");
        }
        (found, expected) => assert_eq!(found.is_some(), expected.is_some(), "{claims:?}"),
    }
}

#[test]
fn the_intersection_is_that_of_the_standard() {
    agrees(&[(0.001, 0.010), (0.002, 0.012), (-0.001, 0.015)], Some((-0.009, 0.011)));
    agrees(&[(0.001, 0.010), (0.002, 0.012), (0.5, 0.015)], Some((-0.009, 0.011)));
    agrees(&[(0.0, 0.01), (0.1, 0.01)], None);
    agrees(&[(0.0, 0.01), (0.001, 0.01), (0.1, 0.01), (0.101, 0.01)], None);
    agrees(&[(0.0, 0.01), (0.001, 0.01), (0.002, 0.01), (0.1, 0.01), (0.101, 0.01)], Some((-0.008, 0.010)));
    agrees(&[(0.0, 0.03), (0.04, 0.03), (0.08, 0.1)], Some((-0.02, 0.07)));
    agrees(&[(0.25, 0.05)], Some((0.2, 0.3)));
    agrees(&[], None);
}

#[test]
fn a023_two_against_two_is_no_majority() {
    let all = [candidate(0.0, 0.01), candidate(0.001, 0.01), candidate(10.0, 0.01), candidate(10.0, 0.01)];
    let (standings, agreement) = choose(&all, false, 1, false);
    assert_eq!(agreement, Err(Impasse::NoMajority));
    assert!(standings.iter().all(|standing| *standing == Standing::NoMajority));
}

#[test]
fn a025_sources_that_were_knocked_out_still_outvote_the_liars_that_remain() {
    // A day of silence at 15 ppm: the dead ones are sure to 1.3 s.
    let mut all = alloc::vec![silent(0.1, 1.3), silent(-0.2, 1.3), silent(0.3, 1.3)];
    all.extend([candidate(10.0, 0.01), candidate(10.0, 0.01)]);
    let (standings, agreement) = choose(&all, false, 1, false);
    assert_eq!(agreement, Err(Impasse::Silent));
    assert_eq!(standings[3], Standing::Falseticker);
    // Without their memory the liars would have had it.
    assert!(choose(&all[3..], false, 1, false).1.is_ok());
}

#[test]
fn a025_the_last_honest_source_is_followed_when_the_others_died() {
    let all = [silent(0.1, 1.3), silent(-0.2, 1.3), silent(0.3, 1.3), candidate(0.02, 0.01)];
    let (standings, agreement) = choose(&all, false, 1, false);
    assert!(agreement.is_ok());
    assert_eq!(standings[3], Standing::Survivor);
}

#[test]
fn a025_liars_that_are_fewer_than_half_of_the_configured_never_win() {
    for configured in 1..=9usize {
        for liars in 1..=configured {
            // Whoever is honest was silenced before the start.
            let mut all = alloc::vec![candidate(10.0, 0.01); liars];
            all.resize(configured, missing());
            let (standings, agreement) = choose(&all, false, 1, false);
            assert_eq!(agreement.is_ok(), 2 * liars >= configured, "{liars} of {configured}");
            if agreement.is_err() {
                assert_eq!(agreement, Err(Impasse::NoQuorum));
                assert!(standings.iter().all(|standing| *standing == Standing::NoMajority));
            }
        }
    }
}

#[test]
fn half_of_the_configured_are_enough_once_the_others_had_their_time() {
    let both = [candidate(0.0, 0.01), missing()];
    assert_eq!(choose(&both, true, 1, false).1, Err(Impasse::NoQuorum));
    assert!(choose(&both, false, 1, false).1.is_ok());
    assert!(choose(&[both[0], both[0], both[1]], true, 1, false).1.is_ok());
    // Of those that were heard it is still more than half.
    let torn = [candidate(0.0, 0.01), candidate(1.0, 0.01), missing(), missing()];
    assert_eq!(choose(&torn, false, 1, false).1, Err(Impasse::NoMajority));
    assert_eq!(choose(&[missing(), missing()], false, 1, false).1, Err(Impasse::NoSources));
}

#[test]
fn a025_while_the_authenticated_and_the_trusted_are_silent_nobody_stands_in_for_them() {
    let plain = candidate(1.0, 0.01);
    for absent in [Candidate { authenticated: true, ..missing() }, Candidate { trust: true, ..missing() }] {
        for awaits_unheard in [true, false] {
            let (standings, agreement) = choose(&[plain, plain, plain, absent], awaits_unheard, 1, false);
            assert_eq!(agreement, Err(Impasse::NoQuorum));
            assert!(standings.iter().all(|standing| *standing != Standing::Survivor));
        }
        // One of two is half of them; the plain ones do not count for or against it.
        let present = Candidate { claim: Some(claim((0.0, 0.01))), live: true, ..absent };
        let (standings, agreement) = choose(&[plain, plain, plain, absent, present], false, 1, false);
        assert!(agreement.is_ok());
        assert_eq!(standings[..3], [Standing::Outvoted; 3]);
        assert_eq!(choose(&[plain, absent, absent, present], false, 1, false).1, Err(Impasse::NoQuorum));
    }
}

#[test]
fn within_a_group_the_silent_count_as_well() {
    let member = |candidate: Candidate| Candidate { group: 0, operator: 0, ..candidate };
    let pool = |answer: usize, silent: usize| {
        let mut all = alloc::vec![member(candidate(0.0, 0.01)); answer];
        all.extend((0..silent).map(|_| member(missing())));
        select(&all, false, 1, false).1
    };
    assert!(pool(4, 0).is_ok() && pool(2, 2).is_ok() && pool(1, 1).is_ok());
    assert_eq!(pool(1, 3), Err(Impasse::NoQuorum));
}

#[test]
fn an_untrusted_majority_does_not_outvote_a_trusted_source() {
    let trusted = Candidate { trust: true, ..candidate(0.0, 0.01) };
    let all = [candidate(1.0, 0.01), candidate(1.0, 0.01), trusted, candidate(0.001, 0.01)];
    let (standings, agreement) = choose(&all, false, 1, false);
    assert!(agreement.is_ok());
    assert_eq!(standings, [Standing::Outvoted, Standing::Outvoted, Standing::Survivor, Standing::Survivor]);
}

#[test]
fn a201_where_those_with_nts_agree_no_number_of_keys_leads_out_of_it() {
    let nts = Candidate { authenticated: true, ..candidate(0.0, 0.01) };
    let keyed = |middle: f64| Candidate { keyed: true, authenticated: true, ..candidate(middle, 0.01) };
    let (standings, agreement) =
        choose(&[keyed(1.0), keyed(1.0), keyed(1.0), nts, keyed(0.001)], false, 1, false);
    let agreement = agreement.unwrap();
    assert!(agreement.low >= -0.011 && agreement.high <= 0.011, "{agreement:?}");
    assert_eq!(standings[..3], [Standing::Falseticker; 3]);
    assert_eq!(standings[3..], [Standing::Survivor; 2]);
    // Among themselves, and where no NTS contradicts, they decide.
    let (standings, agreement) = choose(&[keyed(1.0), keyed(0.0), keyed(0.001)], false, 1, false);
    assert!(agreement.is_ok() && standings[0] == Standing::Falseticker);
    // Two with NTS that contradict each other: the key that agrees with one of them makes a majority of all.
    let other = Candidate { claim: Some(claim((1.0, 0.01))), ..nts };
    let (standings, agreement) = choose(&[nts, other, keyed(0.001)], false, 1, false);
    assert!(agreement.is_ok() && standings[1] == Standing::Falseticker, "{standings:?}");
    // One with NTS that was never heard is missed as any other authenticated one, and excludes none.
    let absent = Candidate { authenticated: true, ..missing() };
    let (standings, agreement) = choose(&[absent, keyed(0.0), keyed(0.001)], false, 1, false);
    assert!(agreement.is_ok() && standings[1..] == [Standing::Survivor; 2], "{standings:?}");
}

#[test]
fn a024_no_number_of_plain_sources_outvotes_an_authenticated_one() {
    let authenticated = Candidate { authenticated: true, ..candidate(0.0, 0.01) };
    for trust in [false, true] {
        let liar = Candidate { trust, ..candidate(1.0, 0.01) };
        let all = [liar, liar, liar, authenticated, candidate(0.001, 0.01)];
        let (standings, agreement) = choose(&all, false, 1, false);
        assert!(agreement.is_ok());
        assert_eq!(standings[..3], [Standing::Outvoted; 3]);
        assert_eq!(standings[3..], [Standing::Survivor; 2], "who agrees may refine");
    }
    // Two authenticated ones that disagree: the plain ones do not decide between them.
    let all =
        [authenticated, Candidate { claim: Some(claim((1.0, 0.01))), ..authenticated }, candidate(1.0, 0.01)];
    assert_eq!(choose(&all, false, 1, false).1, Err(Impasse::NoMajority));
}

#[test]
fn a038_sources_of_one_group_have_one_vote() {
    let of = |group: usize, middle: f64| Candidate { group, operator: group, ..candidate(middle, 0.01) };
    let all = [of(0, 1.0), of(0, 1.0), of(0, 1.001), of(0, 1.0), of(4, 0.0), of(5, 0.001)];
    let (standings, agreement) = select(&all, false, 1, false);
    assert!(agreement.is_ok());
    assert_eq!(standings[..4], [Standing::Falseticker; 4]);
    assert_eq!(standings[4..], [Standing::Survivor; 2]);
    assert_eq!(select(&all[..4], false, 2, false).1, Err(Impasse::TooFew), "and they count once");
    // Within a group the majority speaks for it; one that is divided has a vote and no opinion.
    assert!(select(&[of(0, 1.0), of(0, 0.0), of(0, 0.001)], false, 1, false).1.is_ok());
    assert_eq!(select(&[of(0, 1.0), of(0, 0.0), of(5, 0.0)], false, 1, false).1, Err(Impasse::NoMajority));
}

#[test]
fn who_survived_before_does_not_fall_out_at_the_edge() {
    let edge = Candidate { survived: true, ..candidate(0.0104, 0.05) };
    let all = [candidate(0.0, 0.01), candidate(0.0, 0.01), edge];
    assert_eq!(choose(&all, false, 1, false).0[2], Standing::Survivor);
    let stranger = Candidate { survived: false, ..edge };
    assert_ne!(choose(&[all[0], all[1], stranger], false, 1, false).0[2], Standing::Survivor);
}

#[test]
fn required_and_minimum_and_preferred_are_obeyed() {
    let all = [candidate(0.0, 0.01), candidate(0.001, 0.01), candidate(0.002, 0.01)];
    assert_eq!(choose(&all, false, 4, false).1, Err(Impasse::TooFew));
    assert_eq!(choose(&all, false, 3, true).1, Err(Impasse::RequiredMissing));
    let mut marked = all;
    marked[1].require = true;
    marked[2].prefer = true;
    let (standings, agreement) = choose(&marked, false, 3, true);
    assert!(agreement.is_ok());
    assert_eq!(standings, [Standing::Spare, Standing::Spare, Standing::Survivor]);
}

#[test]
fn a038_sources_of_one_upstream_have_one_vote_and_whoever_copies_an_upstream_takes_none() {
    let upstream = |id: u32| {
        let ip = core::net::IpAddr::from([192, 0, 2, 1]);
        crate::independence::Identity { name: "", ip, port: 123, stratum: 2, reference_id: id }.upstream()
    };
    let of = |group: usize, middle: f64, id: u32| Candidate {
        group,
        operator: group,
        upstream: upstream(id),
        ..candidate(middle, 0.01)
    };
    // Three that follow one server that lies, and two others.
    let lied_to = [of(0, 1.0, 7), of(1, 1.0, 7), of(2, 1.0, 7), of(3, 0.0, 8), of(4, 0.0, 0)];
    let (standings, agreement) = select(&lied_to, false, 1, false);
    assert!(agreement.is_ok());
    assert_eq!(standings[..3], [Standing::Falseticker; 3]);
    assert_eq!(select(&lied_to[..4], false, 1, false).1, Err(Impasse::NoMajority), "one against one");
    assert_eq!(select(&lied_to[..3], false, 2, false).1, Err(Impasse::TooFew));
    // Where all follow one server, the majority of them decides.
    let one = [of(0, 0.0, 7), of(1, 0.0, 7), of(2, 0.0, 7), of(3, 1.0, 7)];
    let (standings, agreement) = select(&one, false, 1, false);
    assert!(agreement.is_ok());
    assert_eq!(standings[3], Standing::Falseticker);
    assert_eq!(select(&one[2..], false, 1, false).1, Err(Impasse::NoMajority));
    // A liar at any distance that says what an honest one says; far off, and just overlapping it.
    for middle in [1.0, 0.0195, 0.0105, -0.0195, -1.0] {
        for id in [7, 8, 0, 9] {
            for honest in 2..=4usize {
                let mut all: alloc::vec::Vec<Candidate> =
                    (0..honest).map(|n| of(n, 0.001 * n as f64, [7, 8, 0, 10][n])).collect();
                all.insert(0, of(9, middle, id));
                let (standings, agreement) = select(&all, false, 1, false);
                let agreement = agreement.expect("the honest are more");
                assert!(agreement.low <= 0.01 && agreement.high >= -0.01, "{middle} {id}: {agreement:?}");
                assert!(standings[1..].iter().all(|standing| *standing == Standing::Survivor));
                // As many liars as honest sources never win, whatever they say.
                let liars = (0..honest).map(|n| of(20 + n, 1.0, [id, 7, 8, 10][n]));
                let torn: alloc::vec::Vec<Candidate> = all[1..].iter().copied().chain(liars).collect();
                let found = select(&torn, false, 1, false).1;
                assert!(found.is_err() || found.is_ok_and(|found| found.high < 0.9), "{id} {honest}");
            }
        }
    }
}
