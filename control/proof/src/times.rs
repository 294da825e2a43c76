//! By when an anchor was there, as distinct servers say together: no server is believed alone, for one of them may lie, and whoever
//! keeps the file chooses who is asked.

use crate::anchors::Signature;
use std::fmt;

/// Servers that were asked in one round are this far apart at most, in seconds, besides their radii.
const APART: u64 = 300;

/// Why signatures by known keys do not show a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// All of them are by one key.
    Alone,
    /// No majority of these many keys signed times that can all be true.
    Apart(usize),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => {
                f.write_str("one server alone has signed it, which could have signed a wrong time")
            }
            Self::Apart(keys) => write!(f, "of {keys} servers that have signed it, no majority agrees"),
        }
    }
}

/// What all signatures of one key leave, in Unix seconds.
#[derive(Clone, Copy, Debug)]
struct Said {
    earliest: u64,
    latest: u64,
}

impl Said {
    const fn end(&self) -> u64 {
        self.latest.saturating_add(APART)
    }
}

fn of_each_key(signatures: &[Signature]) -> Vec<Said> {
    let mut keys: Vec<[u8; 32]> = signatures.iter().map(|signature| signature.public_key).collect();
    keys.sort_unstable();
    keys.dedup();
    let said = |key: [u8; 32]| {
        let own = || signatures.iter().filter(move |signature| signature.public_key == key);
        let earliest = own().map(Signature::earliest).max().unwrap_or(0);
        Said { earliest, latest: own().map(Signature::latest).min().unwrap_or(u64::MAX) }
    };
    keys.into_iter().map(said).collect()
}

/// What the signatures of an anchor come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// A majority of the keys says that the ends were there at the latest then, so at least one that does not lie as long as a majority
    /// does not. Of a single key: its own time.
    pub latest: u64,
    /// How many keys say so.
    pub by: usize,
    /// Of so many.
    pub of: usize,
    /// Why this shows nothing.
    pub doubt: Option<Doubt>,
}

impl Time {
    pub(crate) fn of(signatures: &[Signature]) -> Self {
        let all = of_each_key(signatures);
        let (of, majority) = (all.len(), all.len() / 2 + 1);
        let mut latest: Vec<u64> = all.iter().map(|said| said.latest).collect();
        latest.sort_unstable();
        let latest = latest.get(majority - 1).copied().unwrap_or(u64::MAX);
        let holds = |at: u64| all.iter().filter(|said| said.earliest <= at && at <= said.end()).count();
        let agree = all.iter().map(|said| holds(said.earliest)).max().unwrap_or(0);
        let doubt = match of {
            0 | 1 => Some(Doubt::Alone),
            _ => (agree < majority).then_some(Doubt::Apart(of)),
        };
        Self { latest, by: all.iter().filter(|said| said.latest <= latest).count(), of, doubt }
    }
}

/// The first two signatures, by different keys, that are farther apart than a round takes.
pub(crate) fn apart(signatures: &[Signature]) -> Option<(usize, usize)> {
    let is_behind =
        |one: &Signature, other: &Signature| other.earliest() > one.latest().saturating_add(APART);
    let all = || signatures.iter().enumerate();
    let mut pairs = all().flat_map(|one| all().skip(one.0 + 1).map(move |other| (one, other)));
    let excluding = pairs.find(|((_, one), (_, other))| {
        one.public_key != other.public_key && (is_behind(one, other) || is_behind(other, one))
    });
    excluding.map(|((one, _), (other, _))| (one, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_796_000_000;

    fn signed(key: u8, midpoint: u64) -> Signature {
        Signature { name: format!("server-{key}"), public_key: [key; 32], midpoint, radius: 3 }
    }

    fn time(signatures: &[Signature]) -> (u64, usize, usize, Option<Doubt>) {
        let Time { latest, by, of, doubt } = Time::of(signatures);
        (latest, by, of, doubt)
    }

    #[test]
    fn it_is_the_time_of_the_majority_of_distinct_keys() {
        let (past, future) = (NOW - 31_536_000, NOW + 31_536_000);
        assert_eq!(time(&[signed(1, NOW), signed(2, NOW + 1), signed(3, NOW + 2)]), (NOW + 4, 2, 3, None));
        // A key that signs twice counts once.
        let usual = [1, 2, 3, 1, 2, 3].map(|key| signed(key, NOW));
        assert_eq!(time(&usual), (NOW + 3, 3, 3, None));
        for liar in [past, future] {
            let (latest, .., doubt) =
                time(&[signed(1, liar), signed(2, NOW), signed(3, NOW), signed(1, liar)]);
            assert_eq!((latest, doubt), (NOW + 3, None), "one liar of three, {liar}");
            let five = [1, 2, 3, 4, 5].map(|key| signed(key, if key < 3 { liar } else { NOW }));
            assert_eq!((time(&five).0, time(&five).3), (NOW + 3, None), "two liars of five, {liar}");
            let four = [1, 2, 3, 4].map(|key| signed(key, if key < 3 { liar } else { NOW }));
            assert_eq!((time(&four).0, time(&four).3), (NOW.max(liar) + 3, Some(Doubt::Apart(4))));
            assert_eq!(apart(&five), Some((0, 2)));
        }
    }

    #[test]
    fn one_key_and_keys_that_exclude_each_other_show_nothing() {
        let past = NOW - 31_536_000;
        assert_eq!(time(&[]), (u64::MAX, 0, 0, Some(Doubt::Alone)));
        assert_eq!(time(&[signed(1, NOW), signed(1, NOW)]), (NOW + 3, 1, 1, Some(Doubt::Alone)));
        assert_eq!(time(&[signed(1, past), signed(2, NOW)]), (NOW + 3, 2, 2, Some(Doubt::Apart(2))));
        // A server that excludes itself agrees with nobody.
        let split = [signed(1, past), signed(1, NOW), signed(2, NOW)];
        assert_eq!(time(&split), (NOW + 3, 2, 2, Some(Doubt::Apart(2))));
        // As long as a round may take.
        assert_eq!(time(&[signed(1, NOW), signed(2, NOW + 306)]).3, None);
        assert_eq!(time(&[signed(1, NOW), signed(2, NOW + 307)]).3, Some(Doubt::Apart(2)));
        assert_eq!(apart(&[signed(1, NOW), signed(2, NOW + 306), signed(1, past)]), Some((1, 2)));
        let most = Signature { radius: u32::MAX, ..signed(1, u64::MAX) };
        assert_eq!(time(&[most.clone(), Signature { public_key: [2; 32], ..most }]).0, u64::MAX);
    }
}
