//! Certificates that cannot be judged, because the clock that would judge them is wrong.
//!
//! A host that starts in 1970 finds no certificate valid. Then, and only then, keys may be exchanged with a
//! certificate that is valid at *some* instant from the floor on; such keys are provisional, and the source has no
//! vote. If more than half of the operators that were heard, at least half of all NTS sources (in the standard profile for
//! the first ten minutes only, lest dead ones stop the host for ever), and at least two give times that agree within ten seconds and lie within the validity of each one's own certificates, the clock
//! is stepped there, once, as far as the governor allows. All provisional keys end with that step, and everything
//! is exchanged again by a clock that can judge certificates. (An attacker needs a majority of certificates that were
//! valid once, and their private keys.)
//!
//! Where Roughtime servers have signed what time it is, they are the second word: times outside of their limits are not sound, and
//! one operator inside of them is enough. The profile attested asks for two whatever they say, and for two whose certificates, judged
//! or not, do not show one operator.

use crate::independence::{Allegiance, independent};
use alloc::vec::Vec;
use ipc::units::RawInstant;

/// Times that agree differ by no more than this, seconds.
const TOGETHER: f64 = 10.0;

/// The least number of operators that must agree, and where the time is signed.
const FEWEST: usize = 2;
const FEWEST_SIGNED: usize = 1;

/// The state of the one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deferred {
    /// It may be made; since when a provisional source has been heard.
    Possible(Option<RawInstant>),
    /// It is ordered.
    Ordered,
    /// It was made: from now on certificates are judged by the clock.
    Done,
    /// It was refused, or the clock turned out to be right: certificates are judged by the clock.
    Over,
}

/// The time of one NTS source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Witness {
    /// The number of its entry.
    pub(crate) entry: u32,
    /// The numbers of the entries whose certificates show its operator, where that is asked for.
    pub(crate) kin: Vec<u32>,
    /// Its group, and what it says of its own source: sources that share either have one vote.
    pub(crate) allegiance: Allegiance,
    /// Its time minus the clock's, seconds.
    pub(crate) offset: f64,
    /// Its time lies within the validity of its certificates, and not before the floor.
    pub(crate) is_sound: bool,
}

/// Who has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// Two operators, as their names and networks show them.
    Two,
    /// Two operators, as their certificates show them too (the profile attested).
    TwoByCertificate,
    /// One: only those are sound whose time Roughtime servers confirm.
    OneSigned,
}

/// What the members of one name say together, of which so many run: those that agree, if they are more than half of these; if so many
/// were heard and they do not agree, all of them, as unsound; none if fewer were heard. So no single member of a pool, for whose
/// certificate nobody vouches but the pool, speaks for the others.
pub(crate) fn of_one_name(running: usize, mut heard: Vec<Witness>) -> Option<Vec<Witness>> {
    let is_more_than_half = |count: usize| count.saturating_mul(2) > running;
    let with = |first: &Witness| {
        let near =
            |other: &&Witness| other.is_sound && (0.0..=TOGETHER).contains(&(other.offset - first.offset));
        heard.iter().filter(near).cloned().collect::<Vec<_>>()
    };
    let most = heard.iter().map(with).max_by_key(Vec::len).unwrap_or_default();
    if is_more_than_half(most.len()) {
        return Some(most);
    }
    heard.iter_mut().for_each(|witness| witness.is_sound = false);
    is_more_than_half(heard.len()).then_some(heard)
}

/// The offset that the witnesses agree on: the middle one of those that do. `missing` more votes have no time.
pub(crate) fn agree(witnesses: &[Witness], missing: usize, needed: Needed) -> Option<f64> {
    let count = |some: &[&Witness]| {
        let some: Vec<Allegiance> = some.iter().map(|witness| witness.allegiance).collect();
        independent(&some)
    };
    let mut sound: Vec<&Witness> =
        witnesses.iter().filter(|witness| witness.is_sound && witness.offset.is_finite()).collect();
    sound.sort_unstable_by(|one, other| one.offset.total_cmp(&other.offset));
    let together = |first: usize| {
        let rest = sound.get(first..).unwrap_or_default();
        let count = rest.partition_point(|other| {
            rest.first().is_some_and(|first| other.offset - first.offset <= TOGETHER)
        });
        rest.get(..count).unwrap_or_default()
    };
    let most = (0..sound.len()).map(together).max_by_key(|some| count(some))?;
    let votes = count(most);
    // Who agrees with them by one of its sources is not against them by another.
    let speaks = |other: &Witness| most.iter().any(|witness| witness.allegiance.0 == other.allegiance.0);
    let rest: Vec<&Witness> = witnesses.iter().filter(|witness| !speaks(witness)).collect();
    let opposed = count(&rest);
    let fewest = if needed == Needed::OneSigned { FEWEST_SIGNED } else { FEWEST };
    let known = needed != Needed::TwoByCertificate || has_strangers(most);
    let enough = known && votes >= fewest && votes > opposed && votes >= opposed + missing;
    most.get(most.len() / 2).filter(|_| enough).map(|witness| witness.offset)
}

/// Whether two of these are of different operators. A certificate that claims kinship with others takes nothing from them.
fn has_strangers(agreeing: &[&Witness]) -> bool {
    let stranger = |one: &Witness, other: &Witness| {
        one.allegiance.0 != other.allegiance.0 && !one.kin.contains(&other.entry)
    };
    agreeing.iter().any(|one| agreeing.iter().any(|other| stranger(one, other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(witnesses: &[Witness], missing: usize) -> Option<f64> {
        super::agree(witnesses, missing, Needed::Two)
    }

    #[test]
    fn a051_where_the_time_is_signed_one_operator_is_enough_and_a_majority_stays_one() {
        let year = 31_536_000.0;
        let signed = |witnesses: &[Witness], missing| super::agree(witnesses, missing, Needed::OneSigned);
        assert_eq!(signed(&[witness(0, year)], 0), Some(year));
        assert_eq!(signed(&[witness(0, year)], 1), Some(year));
        assert_eq!(signed(&[witness(0, year)], 2), None);
        assert_eq!(signed(&[witness(0, year), witness(1, 2.0 * year)], 0), None);
        assert_eq!(signed(&[Witness { is_sound: false, ..witness(0, year) }], 0), None);
        assert_eq!(signed(&[], 0), None);
    }

    fn witness(group: usize, offset: f64) -> Witness {
        Witness { entry: 0, kin: Vec::new(), allegiance: (group, None), offset, is_sound: true }
    }

    #[test]
    fn a051_two_operators_that_agree_within_ten_seconds_are_believed_and_one_is_not() {
        let year = 31_536_000.0;
        assert_eq!(agree(&[witness(0, year)], 0), None);
        assert_eq!(agree(&[witness(0, year), witness(0, year)], 0), None, "one operator");
        assert_eq!(agree(&[witness(0, year), witness(1, year + 10.5)], 0), None);
        assert_eq!(agree(&[witness(0, year), witness(1, year + 9.5)], 0), Some(year + 9.5));
        assert_eq!(agree(&[], 0), None);
        assert_eq!(agree(&[witness(0, f64::NAN), witness(1, f64::INFINITY)], 0), None);
    }

    #[test]
    fn a051_no_single_member_of_a_pool_speaks_for_the_others() {
        let year = 31_536_000.0;
        let all = [witness(0, year), witness(0, year + 3.0), witness(0, 9e9), witness(0, year + 9.0)];
        let count = |running, heard: &[Witness]| {
            of_one_name(running, heard.to_vec())
                .map(|said| (said.len(), said.iter().filter(|witness| witness.is_sound).count()))
        };
        assert_eq!(count(4, &all), Some((3, 3)));
        assert_eq!(count(4, &all[1..3]), None, "too few are heard");
        assert_eq!(count(3, &all[1..3]), Some((2, 0)), "they contradict each other");
        assert_eq!(count(1, &all[..1]), Some((1, 1)));
        assert_eq!(count(1, &[Witness { is_sound: false, ..witness(0, year) }]), Some((1, 0)));
        assert_eq!(count(1, &[witness(0, f64::NAN)]), Some((1, 0)));
        assert_eq!(count(4, &[]), None);
    }

    #[test]
    fn a051_a_minority_is_not_believed() {
        let all = [witness(0, 1e9), witness(1, 1e9), witness(2, 2e9), witness(3, 2e9)];
        assert_eq!(agree(&all, 0), None);
        assert_eq!(agree(&all[..3], 0), Some(1e9));
        assert_eq!(agree(&all[..2], 2), Some(1e9));
        assert_eq!(agree(&all[..2], 3), None, "too many say nothing");
    }

    #[test]
    fn a052_who_is_outside_its_own_certificate_counts_against_the_others() {
        let outside = |group| Witness { is_sound: false, ..witness(group, 1e9) };
        assert_eq!(agree(&[witness(0, 1e9), outside(1)], 0), None);
        assert_eq!(agree(&[witness(0, 1e9), witness(1, 1e9), outside(2), outside(3)], 0), None);
        assert_eq!(agree(&[witness(0, 1e9), witness(1, 1e9), outside(2)], 0), Some(1e9));
    }
}
