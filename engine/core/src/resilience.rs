//! What the clock would survive: how many of the sources that decide now may fall silent, and how many may lie.

use crate::independence::{Allegiance, Seat, independent, seated};
use crate::select::{Candidate, Standing, electorate, outvotes, select};
use crate::system::{Rules, Voter, candidates};
use alloc::vec::Vec;

/// How many of the sources that decide may fail at the same time, whichever these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resilience {
    /// Sources with a vote that answer and agree.
    pub deciding: usize,
    /// So many of them may fall silent, and the others are followed.
    pub silent: usize,
    /// So many of them may say a wrong time, and are outvoted.
    pub lying: usize,
}

/// None: there is no majority to follow.
///
/// Both numbers hold whichever sources fail, and are therefore the least: where a name or an operator has several, more may
/// fail.
pub(crate) fn resilience(voters: &[Voter<'_>], rules: Rules) -> Option<Resilience> {
    let heard = voters.iter().filter(|voter| voter.opinion.is_some());
    let aside: Vec<bool> = heard.map(|voter| voter.is_aside).collect();
    of(&candidates(voters, rules), &aside, rules)
}

/// `aside`: of the candidates that were heard, which come first, those that are not used though they agree.
fn of(candidates: &[Candidate], aside: &[bool], rules: Rules) -> Option<Resilience> {
    let (standings, agreement) = select(candidates, rules.awaits_unheard, rules.minimum, rules.require);
    agreement.ok()?;
    let votes = electorate(candidates);
    let is_followed = |standing: &Standing| matches!(standing, Standing::Survivor | Standing::Spare);
    let followed: Vec<&Candidate> = standings
        .iter()
        .zip(aside)
        .zip(candidates)
        .filter_map(|((standing, aside), candidate)| (is_followed(standing) && !aside).then_some(candidate))
        .collect();
    let deciding = followed.iter().filter(|candidate| votes(candidate)).count();
    let operators: Vec<(Seat, Allegiance)> =
        followed.iter().map(|it| (it.seat, (it.operator, it.upstream))).collect();
    let spare = spare(&operators, rules.minimum);
    let required = followed.iter().filter(|candidate| candidate.require).count();
    let required = if rules.require { required.saturating_sub(1) } else { usize::MAX };
    let silent = deciding.saturating_sub(1).min(spare).min(required);
    let outvotes = outvotes(candidates, &standings, rules.awaits_unheard);
    let lying = (1..=silent).take_while(|lying| outvotes(*lying)).last().unwrap_or(0);
    Some(Resilience { deciding, silent, lying })
}

/// Of more sources than this it is not tried which of them may fail.
const TRIED: usize = 10;

/// How many of these may fail, whichever, so that there are as many operators left as `minimum-sources` asks for.
fn spare(operators: &[(Seat, Allegiance)], minimum: usize) -> usize {
    let all = operators.len();
    if minimum <= 1 {
        return all.saturating_sub(1);
    }
    // Each that fails takes no more than one operator away; where several are of one, or name one upstream, it may take none.
    let least = independent(&seated(operators)).saturating_sub(minimum);
    if all > TRIED {
        return least;
    }
    let is_enough = |failed: u32| {
        let left = operators.iter().enumerate().filter(|(place, _)| failed >> place & 1 == 0);
        independent(&seated(&left.map(|(_, it)| *it).collect::<Vec<_>>())) >= minimum
    };
    let choices = |count: usize| (0..1_u32 << all).filter(move |it| it.count_ones() as usize == count);
    (least + 1..all).take_while(|count| choices(*count).all(is_enough)).last().unwrap_or(least)
}

#[cfg(test)]
mod tests;
