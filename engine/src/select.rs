//! Which sources tell the truth: the intersection of what they claim, and a majority that a denial of
//! service can't shrink.
//!
//! **Who votes.** Each source that was ever usable since the engine started has a vote, and keeps it when
//! it falls silent: its last estimate goes on voting, with an interval that widens as the local oscillator
//! may have drifted. So honest sources that are knocked out still outvote the liars that remain, exactly as
//! far as holdover can know; and where all but one source have died for good, the last one is still
//! followed, because it stays inside what the dead ones allow. A configured source that has *never*
//! answered counts against a majority for the first seconds only (the caller passes their number as
//! `unheard`): a host with one dead entry in its configuration must be able to start.
//!
//! Where any source is authenticated, only authenticated ones vote; among those, `trust` narrows further.
//! Sources of one operator have one vote together ([`crate::independence`]): what more than half of *them*
//! agree on.
//!
//! **What wins.** The interval of RFC 5905 section 11.2.1 that more than half of all votes share.

/// How far outside the agreed interval, in parts of its width, a source may stray that was inside before:
/// who is on the edge must not go in and out.
const LOYALTY: f64 = 0.05;

/// Least difference, in seconds, that keeps a degenerate interval a proper one.
const HAIR: f64 = 1e-9;

/// The claim of one source: the true offset lies in [low, high]; seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Claim {
    pub(crate) low: f64,
    /// Centre; none for a source that is silent: its interval counts, its centre doesn't.
    pub(crate) middle: Option<f64>,
    pub(crate) high: f64,
}

/// What the majority agrees on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Agreement {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Agreement {
    fn holds(&self, middle: f64, margin: f64) -> bool {
        (self.low - margin..=self.high + margin).contains(&middle)
    }
}

/// The intersection algorithm. `unheard` more votes exist that agree with nobody.
pub(crate) fn intersect(claims: &[Claim], unheard: usize) -> Option<Agreement> {
    let mut edges = alloc::vec::Vec::with_capacity(claims.len() * 3);
    for claim in claims {
        edges.push((claim.low, -1i32));
        edges.extend(claim.middle.map(|middle| (middle, 0)));
        edges.push((claim.high.max(claim.low + HAIR), 1));
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let votes = claims.len() + unheard;
    for falsetickers in 0..claims.len() {
        let needed = claims.len() - falsetickers;
        if 2 * needed <= votes {
            return None;
        }
        let scan = |edges: &mut dyn Iterator<Item = (f64, i32)>, enters: i32| {
            let (mut depth, mut middles) = (0, 0);
            for (value, kind) in edges {
                if kind == 0 {
                    middles += 1;
                    continue;
                }
                depth += kind * enters;
                if depth >= needed as i32 {
                    return Some((value, middles));
                }
            }
            None
        };
        let low = scan(&mut edges.iter().copied(), -1);
        let high = scan(&mut edges.iter().rev().copied(), 1);
        if let (Some((low, below)), Some((high, above))) = (low, high)
            && below + above <= falsetickers
            && low < high
        {
            return Some(Agreement { low, high });
        }
    }
    None
}

/// What selection knows of a source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) claim: Claim,
    /// It answers, its last reply was usable, and its filter isn't in doubt.
    pub(crate) live: bool,
    /// Its replies are authenticated.
    pub(crate) authenticated: bool,
    /// Sources of one number have one vote.
    pub(crate) group: usize,
    /// Sources of one number count once for `minimum-sources`: as `group`, but for those that one name gave.
    pub(crate) operator: usize,
    /// It was a survivor the last time.
    pub(crate) survived: bool,
    pub(crate) prefer: bool,
    pub(crate) trust: bool,
    pub(crate) require: bool,
}

/// What selection says of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its time is used.
    Survivor,
    /// It agrees with the majority, but a preferred source is used instead.
    Spare,
    /// It agrees; but it isn't answering now.
    Silent,
    /// It doesn't agree with the majority.
    Falseticker,
    /// It agrees, but its clock runs at another rate than those of all others.
    Drifting,
    /// It is new, and nobody knows it yet.
    Probation,
    /// It doesn't agree with the authenticated or the trusted sources.
    Outvoted,
    /// There is no majority to agree with.
    NoMajority,
}

/// Why the clock isn't moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impasse {
    /// No source has ever been usable.
    NoSources,
    /// No interval is shared by more than half of the votes.
    NoMajority,
    /// Fewer agree than `minimum-sources` asks for.
    TooFew,
    /// No source marked `require` agrees.
    RequiredMissing,
    /// The majority stands, but nobody in it answers now.
    Silent,
}

/// One claim for each group, and how many groups are divided in themselves: those have a vote that agrees
/// with nobody.
fn poll_groups<'a>(voters: impl Iterator<Item = &'a Candidate>) -> (alloc::vec::Vec<Claim>, usize) {
    let voters: alloc::vec::Vec<&Candidate> = voters.collect();
    let (mut claims, mut split) = (alloc::vec::Vec::new(), 0);
    for (place, voter) in voters.iter().enumerate() {
        if voters[..place].iter().any(|earlier| earlier.group == voter.group) {
            continue;
        }
        let group: alloc::vec::Vec<Claim> =
            voters.iter().filter(|other| other.group == voter.group).map(|other| other.claim).collect();
        if let [claim] = group.as_slice() {
            claims.push(*claim);
        } else if let Some(agreed) = intersect(&group, 0) {
            let mut middles: alloc::vec::Vec<f64> = group.iter().filter_map(|claim| claim.middle).collect();
            middles.retain(|middle| agreed.holds(*middle, 0.0));
            middles.sort_unstable_by(f64::total_cmp);
            let middle = middles.get(middles.len() / 2).copied();
            claims.push(Claim { low: agreed.low, middle, high: agreed.high });
        } else {
            split += 1;
        }
    }
    (claims, split)
}

/// Selects. The standings are in the order of `candidates`.
pub(crate) fn select(
    candidates: &[Candidate],
    unheard: usize,
    minimum: usize,
    require: bool,
) -> (alloc::vec::Vec<Standing>, Result<Agreement, Impasse>) {
    let mut standings = alloc::vec![Standing::NoMajority; candidates.len()];
    if candidates.is_empty() {
        return (standings, Err(Impasse::NoSources));
    }
    let authenticated = candidates.iter().any(|candidate| candidate.authenticated);
    let eligible = |candidate: &Candidate| candidate.authenticated || !authenticated;
    let trusting = candidates.iter().any(|candidate| candidate.trust && eligible(candidate));
    let votes = |candidate: &Candidate| eligible(candidate) && (candidate.trust || !trusting);
    let (voters, split) = poll_groups(candidates.iter().filter(|candidate| votes(candidate)));
    // A vote that was never heard belongs to nobody who is trusted, as far as is known.
    let unheard = if trusting || authenticated { 0 } else { unheard };
    let Some(agreement) = intersect(&voters, unheard + split) else {
        return (standings, Err(Impasse::NoMajority));
    };
    for (standing, candidate) in standings.iter_mut().zip(candidates) {
        let claim = &candidate.claim;
        let margin = if candidate.survived { LOYALTY * (agreement.high - agreement.low) } else { 0.0 };
        let agrees = match claim.middle {
            Some(middle) => agreement.holds(middle, margin),
            None => claim.low < agreement.high && claim.high > agreement.low,
        };
        *standing = match (agrees, candidate.live) {
            (true, true) => Standing::Survivor,
            (true, false) => Standing::Silent,
            (false, _) if !votes(candidate) => Standing::Outvoted,
            (false, _) => Standing::Falseticker,
        };
    }
    let survives = |standing: &Standing| *standing == Standing::Survivor;
    let mut operators: alloc::vec::Vec<usize> = standings
        .iter()
        .zip(candidates)
        .filter(|(standing, _)| survives(standing))
        .map(|(_, candidate)| candidate.operator)
        .collect();
    operators.sort_unstable();
    operators.dedup();
    let survivors = operators.len();
    let required = standings.iter().zip(candidates).any(|(s, c)| survives(s) && c.require);
    if survivors == 0 {
        return (standings, Err(Impasse::Silent));
    }
    if survivors < minimum {
        return (standings, Err(Impasse::TooFew));
    }
    if require && !required {
        return (standings, Err(Impasse::RequiredMissing));
    }
    if standings.iter().zip(candidates).any(|(s, c)| survives(s) && c.prefer) {
        for (standing, candidate) in standings.iter_mut().zip(candidates) {
            if survives(standing) && !candidate.prefer {
                *standing = Standing::Spare;
            }
        }
    }
    (standings, Ok(agreement))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim((middle, half): (f64, f64)) -> Claim {
        Claim { low: middle - half, middle: Some(middle), high: middle + half }
    }

    fn candidate(middle: f64, half: f64) -> Candidate {
        Candidate {
            claim: claim((middle, half)),
            live: true,
            authenticated: false,
            group: 0,
            operator: 0,
            survived: false,
            prefer: false,
            trust: false,
            require: false,
        }
    }

    /// Selects among sources of which each is in a group of its own.
    fn choose(
        all: &[Candidate],
        unheard: usize,
        minimum: usize,
        require: bool,
    ) -> (alloc::vec::Vec<Standing>, Result<Agreement, Impasse>) {
        let apart = |(place, candidate): (usize, &Candidate)| Candidate {
            group: place,
            operator: place,
            ..*candidate
        };
        let all: alloc::vec::Vec<Candidate> = all.iter().enumerate().map(apart).collect();
        select(&all, unheard, minimum, require)
    }

    /// An honest source that fell silent.
    fn silent(middle: f64, half: f64) -> Candidate {
        let mut candidate = candidate(middle, half);
        candidate.claim.middle = None;
        Candidate { live: false, ..candidate }
    }

    fn agrees(claims: &[(f64, f64)], expected: Option<(f64, f64)>) {
        let claims: alloc::vec::Vec<_> = claims.iter().copied().map(claim).collect();
        match (intersect(&claims, 0), expected) {
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
        agrees(
            &[(0.0, 0.01), (0.001, 0.01), (0.002, 0.01), (0.1, 0.01), (0.101, 0.01)],
            Some((-0.008, 0.010)),
        );
        agrees(&[(0.0, 0.03), (0.04, 0.03), (0.08, 0.1)], Some((-0.02, 0.07)));
        agrees(&[(0.25, 0.05)], Some((0.2, 0.3)));
        agrees(&[], None);
    }

    #[test]
    fn a023_two_against_two_is_no_majority() {
        let all =
            [candidate(0.0, 0.01), candidate(0.001, 0.01), candidate(10.0, 0.01), candidate(10.0, 0.01)];
        let (standings, agreement) = choose(&all, 0, 1, false);
        assert_eq!(agreement, Err(Impasse::NoMajority));
        assert!(standings.iter().all(|standing| *standing == Standing::NoMajority));
    }

    #[test]
    fn a025_sources_that_were_knocked_out_still_outvote_the_liars_that_remain() {
        // A day of silence at 15 ppm: the dead ones are sure to 1.3 s.
        let mut all = alloc::vec![silent(0.1, 1.3), silent(-0.2, 1.3), silent(0.3, 1.3)];
        all.extend([candidate(10.0, 0.01), candidate(10.0, 0.01)]);
        let (standings, agreement) = choose(&all, 0, 1, false);
        assert_eq!(agreement, Err(Impasse::Silent));
        assert_eq!(standings[3], Standing::Falseticker);
        // Without their memory the liars would have had it.
        assert!(choose(&all[3..], 0, 1, false).1.is_ok());
    }

    #[test]
    fn a025_the_last_honest_source_is_followed_when_the_others_died() {
        let all = [silent(0.1, 1.3), silent(-0.2, 1.3), silent(0.3, 1.3), candidate(0.02, 0.01)];
        let (standings, agreement) = choose(&all, 0, 1, false);
        assert!(agreement.is_ok());
        assert_eq!(standings[3], Standing::Survivor);
    }

    #[test]
    fn sources_that_were_never_heard_count_while_they_are_counted() {
        let one = [candidate(0.0, 0.01)];
        assert_eq!(choose(&one, 3, 1, false).1, Err(Impasse::NoMajority));
        assert!(choose(&one, 0, 1, false).1.is_ok());
        assert!(choose(&[one[0]; 3], 1, 1, false).1.is_ok());
    }

    #[test]
    fn an_untrusted_majority_does_not_outvote_a_trusted_source() {
        let trusted = Candidate { trust: true, ..candidate(0.0, 0.01) };
        let all = [candidate(1.0, 0.01), candidate(1.0, 0.01), trusted, candidate(0.001, 0.01)];
        let (standings, agreement) = choose(&all, 0, 1, false);
        assert!(agreement.is_ok());
        assert_eq!(
            standings,
            [Standing::Outvoted, Standing::Outvoted, Standing::Survivor, Standing::Survivor]
        );
    }

    #[test]
    fn a024_no_number_of_plain_sources_outvotes_an_authenticated_one() {
        let authenticated = Candidate { authenticated: true, ..candidate(0.0, 0.01) };
        for trust in [false, true] {
            let liar = Candidate { trust, ..candidate(1.0, 0.01) };
            let all = [liar, liar, liar, authenticated, candidate(0.001, 0.01)];
            let (standings, agreement) = choose(&all, 5, 1, false);
            assert!(agreement.is_ok());
            assert_eq!(standings[..3], [Standing::Outvoted; 3]);
            assert_eq!(standings[3..], [Standing::Survivor; 2], "who agrees may refine");
        }
        // Two authenticated ones that disagree: the plain ones don't decide between them.
        let all =
            [authenticated, Candidate { claim: claim((1.0, 0.01)), ..authenticated }, candidate(1.0, 0.01)];
        assert_eq!(choose(&all, 0, 1, false).1, Err(Impasse::NoMajority));
    }

    #[test]
    fn a038_sources_of_one_group_have_one_vote() {
        let of = |group: usize, middle: f64| Candidate { group, operator: group, ..candidate(middle, 0.01) };
        let all = [of(0, 1.0), of(0, 1.0), of(0, 1.001), of(0, 1.0), of(4, 0.0), of(5, 0.001)];
        let (standings, agreement) = select(&all, 0, 1, false);
        assert!(agreement.is_ok());
        assert_eq!(standings[..4], [Standing::Falseticker; 4]);
        assert_eq!(standings[4..], [Standing::Survivor; 2]);
        assert_eq!(select(&all[..4], 0, 2, false).1, Err(Impasse::TooFew), "and they count once");
        // Within a group the majority speaks for it; one that is divided has a vote and no opinion.
        assert!(select(&[of(0, 1.0), of(0, 0.0), of(0, 0.001)], 0, 1, false).1.is_ok());
        assert_eq!(select(&[of(0, 1.0), of(0, 0.0), of(5, 0.0)], 0, 1, false).1, Err(Impasse::NoMajority));
    }

    #[test]
    fn who_survived_before_does_not_fall_out_at_the_edge() {
        let edge = Candidate { survived: true, ..candidate(0.0104, 0.05) };
        let all = [candidate(0.0, 0.01), candidate(0.0, 0.01), edge];
        assert_eq!(choose(&all, 0, 1, false).0[2], Standing::Survivor);
        let stranger = Candidate { survived: false, ..edge };
        assert_ne!(choose(&[all[0], all[1], stranger], 0, 1, false).0[2], Standing::Survivor);
    }

    #[test]
    fn required_and_minimum_and_preferred_are_obeyed() {
        let all = [candidate(0.0, 0.01), candidate(0.001, 0.01), candidate(0.002, 0.01)];
        assert_eq!(choose(&all, 0, 4, false).1, Err(Impasse::TooFew));
        assert_eq!(choose(&all, 0, 3, true).1, Err(Impasse::RequiredMissing));
        let mut marked = all;
        marked[1].require = true;
        marked[2].prefer = true;
        let (standings, agreement) = choose(&marked, 0, 3, true);
        assert!(agreement.is_ok());
        assert_eq!(standings, [Standing::Spare, Standing::Spare, Standing::Survivor]);
    }
}
