//! What the answers of a round say together: true time by a majority of the servers, who is outside of it, and whose answers
//! contradict each other, which is proof that somebody signed a wrong time (RFC 10049 sections 6 and 8.2).

use crate::response::Signed;
use alloc::vec::Vec;
use ipc::units::{RawInstant, WallTime};

/// How far CLOCK_MONOTONIC_RAW may run from true time, in ppm: ten times what computers' crystals do.
pub const MAX_DRIFT_PPM: i64 = 500;

const SECOND: i128 = 1_000_000_000;

/// What a server says of true time at a raw instant, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which of the servers, from 0.
    pub server: usize,
    /// Not before.
    pub earliest: i128,
    /// Not after.
    pub latest: i128,
}

impl Claim {
    /// What was signed at some moment between `sent` and `received`, carried to `at`, which is not before `received`; wider by what
    /// the raw clock may have drifted meanwhile.
    pub fn carried(
        server: usize,
        signed: &Signed,
        (sent, received): (RawInstant, RawInstant),
        at: RawInstant,
    ) -> Self {
        let elapsed = |since: RawInstant| i128::from(at.nanos()) - i128::from(since.nanos());
        let (least, most) = (elapsed(received), elapsed(sent));
        let drift = |elapsed: i128| elapsed.abs() * i128::from(MAX_DRIFT_PPM) / 1_000_000 + 1;
        let earliest = i128::from(signed.earliest()) * SECOND + least - drift(least);
        let latest = i128::from(signed.latest()) * SECOND + most + drift(most);
        Self { server, earliest, latest }
    }
}

/// What a round says of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It gave no valid answer.
    Silent,
    /// Its time is one that the majority supports.
    Inside,
    /// The majority has another time.
    Outside,
    /// Its own answers exclude each other.
    Contradictory,
    /// It answered, and there is no majority.
    Undecided,
}

/// What a round says of true time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// True time is in it, ends included, if the majority of all servers of the round is honest; none: no majority agrees.
    pub interval: Option<(WallTime, WallTime)>,
    /// Of each server.
    pub standings: Vec<Standing>,
}

/// What `servers` servers say together of true time, by claims for one instant. A majority is one of all that were asked: who
/// silences honest servers makes no majority of the others.
pub fn judge(servers: usize, claims: &[Claim]) -> Verdict {
    let own: Vec<Own> = (0..servers).map(|server| Own::of(server, claims)).collect();
    let majority = servers / 2 + 1;
    let depth = |at: i128| own.iter().filter(|own| own.holds(at)).count();
    let supported = |at: &i128| depth(*at) >= majority;
    let intervals = || own.iter().filter_map(Own::interval);
    // Between two instants that a majority supports, true time may be anywhere: the honest ones may be in either.
    let earliest = intervals().map(|(earliest, _)| earliest).filter(supported).min();
    let latest = intervals().map(|(_, latest)| latest).filter(supported).max();
    let interval = earliest.zip(latest);
    let standings =
        own.iter().map(|own| match (own, interval) {
            (Own::Nothing, _) => Standing::Silent,
            (Own::Contradiction, _) => Standing::Contradictory,
            (Own::Interval(..), None) => Standing::Undecided,
            (Own::Interval(earliest, latest), Some((from, until))) => {
                if *earliest <= until && from <= *latest { Standing::Inside } else { Standing::Outside }
            }
        });
    let standings = standings.collect();
    Verdict { interval: interval.map(|(from, until)| (wall(from), wall(until))), standings }
}

/// Pairs of answers of one round, each the earlier before the later by their places, that exclude each other: the later one was
/// signed after the earlier one, and says that it was before.
pub fn contradictions(signed: &[(usize, Signed)]) -> Vec<(usize, usize)> {
    let later = |at: usize| signed.iter().skip(at + 1);
    let pairs = signed.iter().enumerate().flat_map(|(at, earlier)| later(at).map(move |one| (earlier, one)));
    let pairs = pairs.filter(|(earlier, later)| earlier.1.earliest() > later.1.latest());
    pairs.map(|(earlier, later)| (earlier.0, later.0)).collect()
}

/// What all claims of one server leave.
enum Own {
    Nothing,
    Contradiction,
    Interval(i128, i128),
}

impl Own {
    fn of(server: usize, claims: &[Claim]) -> Self {
        let own = || claims.iter().filter(|claim| claim.server == server);
        let earliest = own().map(|claim| claim.earliest).max();
        let latest = own().map(|claim| claim.latest).min();
        match earliest.zip(latest) {
            None => Self::Nothing,
            Some((earliest, latest)) if earliest > latest => Self::Contradiction,
            Some((earliest, latest)) => Self::Interval(earliest, latest),
        }
    }

    fn interval(&self) -> Option<(i128, i128)> {
        match self {
            Self::Interval(earliest, latest) => Some((*earliest, *latest)),
            _ => None,
        }
    }

    fn holds(&self, at: i128) -> bool {
        self.interval().is_some_and(|(earliest, latest)| (earliest..=latest).contains(&at))
    }
}

fn wall(nanos: i128) -> WallTime {
    WallTime::saturating(i64::try_from(nanos.max(0)).unwrap_or(i64::MAX))
}
