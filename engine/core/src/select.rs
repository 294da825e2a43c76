//! Selection: the intersection of the correctness intervals (RFC 5905 section 11.2.1), with a majority rule that a denial
//! of service does not weaken.
//!
//! **Who votes.** Each configured source has a vote, whether it answers or not. One that was ever usable since
//! the engine started keeps it when it falls silent: its last estimate goes on voting, with an interval that
//! widens as the local oscillator may have drifted. So truechimers that an attacker silences still outvote the
//! remaining falsetickers, as far as holdover allows. If all but one source have failed for good, the last one is still
//! followed, because it remains inside the intervals of the failed ones. The vote of one that was
//! *never* usable is missing: it agrees with none of the others. Sources that name the same upstream count once among
//! those that agree on a point, and once among those that do not: a source that copies what another one says of itself takes
//! nothing from it. If all name the same upstream, each counts.
//!
//! **What wins.** The interval of RFC 5905 section 11.2.1 that more than half of the votes share that were
//! ever heard, and at least half of all: falsetickers that are fewer than half of all sources can never win, whichever
//! others they silence. (More than half of all would gain nothing against them, and a host with two sources
//! could not start without one of them.) For the first seconds it is more than half of all, because the
//! missing ones may still answer. Dead ones must not stop a host for ever: in time a missing vote counts for less
//! ([`Absence`]), against two that agree sooner than against one.
//!
//! Where any configured source is authenticated, only authenticated ones vote; where any of those is marked
//! `trust`, only these. While they are silent, no others replace them: the clock runs on. Sources with NTS and with symmetric keys vote
//! together; but where those with NTS agree among themselves, no number of keys leads out of their agreement. Sources of one
//! operator have one vote together ([`crate::independence`]): what the same rule finds among *them*.

use crate::independence::{Allegiance, Seat, Upstream, groups_of, independent, seated};

/// How far outside the agreed interval, in parts of its width, a source may stray that was inside before:
/// a source on the edge must not alternate.
const HYSTERESIS: f64 = 0.05;

/// Least difference, in seconds, that keeps a degenerate interval a proper one.
const MIN_WIDTH: f64 = 1e-9;

/// The claim of one source: the true offset lies in [low, high]; seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Claim {
    pub(crate) low: f64,
    /// Centre; none for a source that is silent: its interval counts, its centre does not.
    pub(crate) middle: Option<f64>,
    pub(crate) high: f64,
}

impl Claim {
    /// How far from zero the true offset may be at most.
    pub(crate) fn farthest(&self) -> f64 {
        self.low.abs().max(self.high.abs())
    }
}

/// The interval on which the majority agrees.
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

/// How much a missing vote counts, from the least to the most that it is excused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Absence {
    /// Fully.
    Counted,
    /// Not against [`TOGETHER`] that agree.
    Doubted,
    /// Not any more.
    Excused,
}

/// So many votes that agree are more than one server's word.
const TOGETHER: usize = 2;

/// Votes that no claim stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Others {
    /// Groups that were heard and whose members contradict each other.
    divided: usize,
    /// Sources, or groups, that were never usable.
    missing: usize,
    /// The same, but their absence is [`Absence::Doubted`].
    doubted: usize,
}

impl Others {
    const NONE: Self = Self { divided: 0, missing: 0, doubted: 0 };

    /// Whether this many of `claims` are enough.
    fn are_outvoted_by(&self, agreeing: usize, claims: usize) -> bool {
        let heard = claims + self.divided;
        let doubted = if agreeing < TOGETHER { self.doubted } else { 0 };
        2 * agreeing > heard && 2 * agreeing >= heard + self.missing + doubted
    }

    /// While missing votes may still come, they count as if they disagreed.
    fn awaited(self, awaits_unheard: bool) -> Self {
        if !awaits_unheard {
            return self;
        }
        Self { divided: self.divided + self.missing + self.doubted, ..Self::NONE }
    }

    fn add_missing(&mut self, absence: Absence) {
        match absence {
            Absence::Counted => self.missing += 1,
            Absence::Doubted => self.doubted += 1,
            Absence::Excused => {}
        }
    }
}

/// The intersection algorithm, with votes that agree with no claim. `votes`: how many votes claims at these places are.
fn intersect(claims: &[Claim], others: Others, votes: &dyn Fn(&[usize]) -> usize) -> Option<Agreement> {
    let count = |is_one: &dyn Fn(&Claim) -> bool| {
        let places: alloc::vec::Vec<usize> = (0..claims.len()).filter(|at| is_one(&claims[*at])).collect();
        votes(&places)
    };
    let end = |claim: &Claim| claim.high.max(claim.low + MIN_WIDTH);
    // An edge of a claim, with its votes, where they are a majority.
    let support = |edge: f64| {
        let covers = |claim: &Claim| claim.low <= edge && edge <= end(claim);
        let (agreeing, opposed) = (count(&covers), count(&|claim| !covers(claim)));
        others.are_outvoted_by(agreeing, agreeing + opposed).then_some((edge, agreeing))
    };
    let lows: alloc::vec::Vec<(f64, usize)> = claims.iter().filter_map(|claim| support(claim.low)).collect();
    let highs: alloc::vec::Vec<(f64, usize)> =
        claims.iter().filter_map(|claim| support(end(claim))).collect();
    let all = count(&|_| true);
    for needed in (1..=all).rev().take_while(|needed| others.are_outvoted_by(*needed, all)) {
        let reached = |edges: &[(f64, usize)]| -> alloc::vec::Vec<f64> {
            edges.iter().filter(|(_, agreeing)| *agreeing >= needed).map(|(edge, _)| *edge).collect()
        };
        let low = reached(&lows).into_iter().min_by(f64::total_cmp);
        let high = reached(&highs).into_iter().max_by(f64::total_cmp);
        let (Some(low), Some(high)) = (low, high) else { continue };
        let found = Agreement { low, high };
        if low < high && count(&|claim| claim.middle.is_none_or(|middle| found.holds(middle, 0.0))) >= needed
        {
            return Some(found);
        }
    }
    None
}

/// The input of the selection for a source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// None: it was never usable since the start.
    pub(crate) claim: Option<Claim>,
    /// Of one without a claim.
    pub(crate) absence: Absence,
    /// It answers, its last reply was usable, and its filter is not in doubt.
    pub(crate) live: bool,
    /// Its replies are authenticated.
    pub(crate) authenticated: bool,
    /// Not by NTS but by a symmetric key, which whoever shares it can use in its server's name.
    pub(crate) keyed: bool,
    /// Sources of one number have one vote.
    pub(crate) group: usize,
    /// Sources of one number count once for `minimum-sources`: as `group`, but for those that one name gave.
    pub(crate) operator: usize,
    /// Those of one entry count for no more operators than it is to have sources.
    pub(crate) seat: Seat,
    /// What it says of its own source.
    pub(crate) upstream: Option<Upstream>,
    /// It was a survivor the last time.
    pub(crate) survived: bool,
    pub(crate) prefer: bool,
    pub(crate) trust: bool,
    pub(crate) require: bool,
}

/// The result of the selection for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its time is used.
    Survivor,
    /// It agrees with the majority, but a preferred source is used instead.
    Spare,
    /// It agrees; but it is not answering now.
    Silent,
    /// It does not agree with the majority.
    Falseticker,
    /// It agrees, but its clock runs at another rate than those of all others.
    Drifting,
    /// It is new.
    Probation,
    /// Signed time excludes it.
    Refuted,
    /// It does not agree with the authenticated or the trusted sources.
    Outvoted,
    /// There is no majority to agree with.
    NoMajority,
}

/// The verdict of a selection on one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) source: crate::source_id::SourceId,
    pub(crate) standing: Standing,
    /// Consecutive selections in which its frequency differed from that of the others.
    pub(crate) strays: u8,
}

/// Why no source can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impasse {
    /// No source has ever been usable.
    NoSources,
    /// No interval is shared by more than half of the votes that were heard.
    NoMajority,
    /// One is, but by fewer than half of all that are configured.
    NoQuorum,
    /// Fewer agree than `minimum-sources` asks for.
    TooFew,
    /// Signed time excludes sources, and the others are not enough.
    Refuted,
    /// No source marked `require` agrees.
    RequiredMissing,
    /// NTS is required, and no source with NTS agrees now.
    Unauthenticated,
    /// There is a majority, but none of its members answers now.
    Silent,
}

/// One claim for each group.
struct Poll {
    claims: alloc::vec::Vec<Claim>,
    /// What each of these claims is worth: the members that agree with it.
    allegiances: alloc::vec::Vec<alloc::vec::Vec<Allegiance>>,
    /// The votes of groups that have no claim.
    others: Others,
}

impl Poll {
    fn of<'a>(voters: impl Iterator<Item = &'a Candidate>, awaits_unheard: bool) -> Self {
        let voters: alloc::vec::Vec<&Candidate> = voters.collect();
        let (claims, allegiances) = (alloc::vec::Vec::new(), alloc::vec::Vec::new());
        let mut poll = Self { claims, allegiances, others: Others::NONE };
        for (place, voter) in voters.iter().enumerate() {
            if voters[..place].iter().all(|earlier| earlier.group != voter.group) {
                let members = voters.iter().filter(|other| other.group == voter.group);
                poll.add_group(&members.copied().collect::<alloc::vec::Vec<_>>(), awaits_unheard);
            }
        }
        poll
    }

    fn add_group(&mut self, members: &[&Candidate], awaits_unheard: bool) {
        let group: alloc::vec::Vec<Claim> = members.iter().filter_map(|member| member.claim).collect();
        let mut within = Others::NONE;
        let absent = members.iter().filter(|member| member.claim.is_none()).map(|member| member.absence);
        absent.clone().for_each(|absence| within.add_missing(absence));
        let within = within.awaited(awaits_unheard);
        let claim = if let ([claim], true) = (group.as_slice(), within.are_outvoted_by(1, 1)) {
            *claim
        } else if let Some(agreed) = intersect(&group, within, &<[usize]>::len) {
            let mut middles: alloc::vec::Vec<f64> = group.iter().filter_map(|claim| claim.middle).collect();
            middles.retain(|middle| agreed.holds(*middle, 0.0));
            middles.sort_unstable_by(f64::total_cmp);
            let middle = middles.get(middles.len() / 2).copied();
            Claim { low: agreed.low, middle, high: agreed.high }
        } else if group.is_empty() {
            self.others.add_missing(absent.min().unwrap_or(Absence::Counted));
            return;
        } else if intersect(&group, Others::NONE, &<[usize]>::len).is_some() {
            self.others.missing += 1;
            return;
        } else {
            self.others.divided += 1;
            return;
        };
        let agrees = |member: &&&Candidate| {
            member.claim.is_some_and(|own| own.low <= claim.high && own.high >= claim.low)
        };
        let agreeing = members.iter().filter(agrees).map(|member| (member.group, member.upstream)).collect();
        self.claims.push(claim);
        self.allegiances.push(agreeing);
    }

    fn intersect(&self, others: Others) -> Option<Agreement> {
        // Where all name one upstream, none is more independent than another: each group counts.
        let all: alloc::vec::Vec<Allegiance> = self.allegiances.iter().flatten().copied().collect();
        if independent(&all) <= 1 {
            return intersect(&self.claims, others, &<[usize]>::len);
        }
        let votes = |places: &[usize]| {
            let some: alloc::vec::Vec<Allegiance> =
                places.iter().flat_map(|place| &self.allegiances[*place]).copied().collect();
            independent(&some)
        };
        intersect(&self.claims, others, &votes)
    }
}

/// Who has a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Electorate {
    authenticated: bool,
    trusted: bool,
}

impl Electorate {
    /// Among sources of which each is authenticated or not, and marked `trust` or not.
    pub(crate) fn of(marks: impl Iterator<Item = (bool, bool)> + Clone) -> Self {
        let authenticated = marks.clone().any(|(authenticated, _)| authenticated);
        let trusted = marks.clone().any(|(is_one, trust)| trust && (is_one || !authenticated));
        Self { authenticated, trusted }
    }

    /// Whether such a source has a vote.
    pub(crate) fn includes(self, authenticated: bool, trust: bool) -> bool {
        (authenticated || !self.authenticated) && (trust || !self.trusted)
    }
}

/// Whether a candidate has a vote beside these.
pub(crate) fn electorate(candidates: &[Candidate]) -> impl Fn(&Candidate) -> bool + use<> {
    let all = Electorate::of(candidates.iter().map(|candidate| (candidate.authenticated, candidate.trust)));
    move |candidate| all.includes(candidate.authenticated, candidate.trust)
}

/// Selects. The standings are in the order of `candidates`, all that are configured. `awaits_unheard`: it is so early
/// that the missing may only be slow.
pub(crate) fn select(
    candidates: &[Candidate],
    awaits_unheard: bool,
    minimum: usize,
    require: bool,
) -> (alloc::vec::Vec<Standing>, Result<Agreement, Impasse>) {
    let mut standings = alloc::vec![Standing::NoMajority; candidates.len()];
    if candidates.iter().all(|candidate| candidate.claim.is_none()) {
        return (standings, Err(Impasse::NoSources));
    }
    let votes = electorate(candidates);
    let poll = Poll::of(candidates.iter().filter(|candidate| votes(candidate)), awaits_unheard);
    let agreed = poll.intersect(poll.others.awaited(awaits_unheard));
    let Some(agreement) = prevailing(candidates, awaits_unheard, agreed) else {
        let of_the_heard = Others { missing: 0, doubted: 0, ..poll.others };
        let lacks_votes =
            poll.claims.is_empty() && poll.others.divided == 0 || poll.intersect(of_the_heard).is_some();
        return (standings, Err(if lacks_votes { Impasse::NoQuorum } else { Impasse::NoMajority }));
    };
    for (standing, candidate) in standings.iter_mut().zip(candidates) {
        let Some(claim) = &candidate.claim else { continue };
        let margin = if candidate.survived { HYSTERESIS * (agreement.high - agreement.low) } else { 0.0 };
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
    let operators: alloc::vec::Vec<(Seat, Allegiance)> = standings
        .iter()
        .zip(candidates)
        .filter(|(standing, _)| survives(standing))
        .map(|(_, candidate)| (candidate.seat, (candidate.operator, candidate.upstream)))
        .collect();
    let survivors = independent(&seated(&operators));
    let required = standings.iter().zip(candidates).any(|(s, c)| survives(s) && c.require);
    // Who has no vote may refine what the voters agree on, but does not stand in for them.
    if !standings.iter().zip(candidates).any(|(s, c)| survives(s) && votes(c)) {
        return (standings, Err(Impasse::Silent));
    }
    if survivors < minimum {
        return (standings, Err(Impasse::TooFew));
    }
    if require && !required {
        return (standings, Err(Impasse::RequiredMissing));
    }
    let prefers = |candidate: &Candidate| candidate.prefer && votes(candidate);
    if standings.iter().zip(candidates).any(|(s, c)| survives(s) && prefers(c)) {
        for (standing, candidate) in standings.iter_mut().zip(candidates) {
            if survives(standing) && !prefers(candidate) {
                *standing = Standing::Spare;
            }
        }
    }
    (standings, Ok(agreement))
}

/// Whether a candidate has a vote that a symmetric key cannot have.
fn is_above_keys(candidates: &[Candidate]) -> impl Fn(&Candidate) -> bool + use<> {
    let votes = electorate(candidates);
    move |candidate| votes(candidate) && candidate.authenticated && !candidate.keyed
}

/// What those with NTS agree on, where that contradicts what they and those with keys have `agreed` on; else the latter. A key may be in
/// many hands, and whoever has it can speak for its server: so a majority of keys may be one of a single intruder.
fn prevailing(
    candidates: &[Candidate],
    awaits_unheard: bool,
    agreed: Option<Agreement>,
) -> Option<Agreement> {
    let votes = electorate(candidates);
    let is_above = is_above_keys(candidates);
    if !candidates.iter().any(|candidate| votes(candidate) && candidate.keyed) {
        return agreed;
    }
    let poll = Poll::of(candidates.iter().filter(|candidate| is_above(candidate)), awaits_unheard);
    let Some(above) = poll.intersect(poll.others.awaited(awaits_unheard)) else { return agreed };
    let meet = agreed.is_some_and(|agreed| agreed.low <= above.high && agreed.high >= above.low);
    if meet { agreed } else { Some(above) }
}

/// Whether the agreement of a selection with these standings stands if so many of the votes that made it contradict it.
pub(crate) fn outvotes(
    candidates: &[Candidate],
    standings: &[Standing],
    awaits_unheard: bool,
) -> impl Fn(usize) -> bool + use<> {
    let (all_votes, is_above) = (electorate(candidates), is_above_keys(candidates));
    // Where those with NTS prevail, keys add nothing against a lie.
    let has_above = candidates.iter().any(|candidate| is_above(candidate) && candidate.claim.is_some());
    let votes = |candidate: &Candidate| all_votes(candidate) && (!has_above || !candidate.keyed);
    let agrees = |standing: &Standing| {
        !matches!(
            standing,
            Standing::Falseticker | Standing::Refuted | Standing::Outvoted | Standing::NoMajority
        )
    };
    let of = |agreeing: bool| {
        let those = standings.iter().zip(candidates).filter(|(it, _)| agrees(it) == agreeing);
        let those = those.map(|(_, it)| it).filter(|it| votes(it) && it.claim.is_some());
        those.map(|it| (it.group, it.upstream)).collect::<alloc::vec::Vec<_>>()
    };
    // Where all name one upstream, each group counts, as in `Poll::intersect`.
    let (agreeing, opposed) = (of(true), of(false));
    let all: alloc::vec::Vec<Allegiance> = agreeing.iter().chain(&opposed).copied().collect();
    let count = |some: &[Allegiance]| match independent(&all) <= 1 {
        true => groups_of(some).len(),
        false => independent(some),
    };
    let others = Poll::of(candidates.iter().filter(|it| votes(it)), awaits_unheard).others;
    let (agreeing, opposed) = (count(&agreeing), count(&opposed));
    let others = others.awaited(awaits_unheard);
    move |lying| {
        let left = agreeing.saturating_sub(lying);
        left > 0 && others.are_outvoted_by(left, left + opposed + lying)
    }
}

#[cfg(test)]
mod tests;
