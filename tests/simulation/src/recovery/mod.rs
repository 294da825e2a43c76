//! A search for states from which a host does not come right by itself. Random and mutated states of the record, the
//! clock, the sources and the machine ([`case`]); then a majority of honest, reachable sources; the daemon's engine and
//! governor in virtual time. Measured is how long it takes until the clock is within 10 ms of true time and stays there.
//! The worst cases of each outcome are kept and mutated. The same seed finds the same.

mod case;
mod report;

use crate::random::Random;
use crate::world::World;
pub use case::Case;
use case::Part;
use engine_core::status::SystemReason;
use ipc::message::privileged::Profile;
pub use report::{HEAD, Row, needs};
use sentence::Sentence;
use std::collections::BTreeMap;

/// The clock is right within this, seconds.
const RIGHT: f64 = 0.010;
/// And stays so for this long.
const STAYS: f64 = 7_200.0;
/// What takes longer is not waited for: the rest is computed from the rate of the slew.
const HORIZON: f64 = 3.0 * 86_400.0;
/// A clock that is held for this long is not going to be set.
const HELD: f64 = 4.0 * 3_600.0;
/// The movement of a slew that takes longer is measured between these.
const SLEWS: [f64; 2] = [6.0 * 3_600.0, 30.0 * 3_600.0];
/// Cases of each kind of outcome that are kept.
const KEPT: usize = 3;

/// What is varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The governor's record.
    Records,
    /// The clock, its oscillator, the drift file.
    Clocks,
    /// One of the sources lies.
    Liar,
    /// All sources lie for an hour.
    AllLie,
    /// Sources are late, come and go; names do not resolve, addresses change.
    Network,
    /// Pauses, suspends, steps by other programs, restarts, reboots.
    Machine,
    /// All of it.
    Everything,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Records,
        Self::Clocks,
        Self::Liar,
        Self::AllLie,
        Self::Network,
        Self::Machine,
        Self::Everything,
    ];

    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Clocks => "clocks",
            Self::Liar => "one liar",
            Self::AllLie => "all lie for an hour",
            Self::Network => "network, names",
            Self::Machine => "machine",
            Self::Everything => "everything",
        }
    }

    const fn parts(self) -> &'static [Part] {
        match self {
            Self::Records => &[Part::Record, Part::SmallOffset],
            Self::Clocks => &[Part::Offset, Part::Oscillator, Part::DriftFile],
            Self::Liar => &[Part::Liar, Part::SmallOffset],
            Self::AllLie => &[Part::AllLie],
            Self::Network => &[Part::Late, Part::Flaps, Part::Names, Part::Dead],
            Self::Machine => &[Part::Machine, Part::Machine],
            Self::Everything => &[
                Part::Record,
                Part::Offset,
                Part::Oscillator,
                Part::DriftFile,
                Part::Flaps,
                Part::Names,
                Part::AllLie,
                Part::Machine,
                Part::Liar,
                Part::Dead,
            ],
        }
    }
}

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The clock came right by itself, within the horizon.
    Right,
    /// It is being slewed at the rate that the status states, for longer than the horizon.
    Slewed,
    /// It is held, and the status says so: an operator is needed.
    Operator,
    /// Not right, but the status says why.
    Explained,
    /// Not right, and nothing says so.
    Unsaid,
}

/// A case and its outcome.
#[derive(Clone, Debug)]
pub struct Found {
    /// The case.
    pub case: Case,
    /// The outcome.
    pub outcome: Outcome,
    /// Seconds from the honest time until the clock is right: measured, or for a slew computed from its rate.
    pub seconds: f64,
    /// Whether the clock was stepped after the honest time.
    pub stepped: bool,
    /// Clock minus true time at the end, seconds.
    pub error: f64,
    /// What the administrator reads.
    pub sentence: String,
    /// The last line of the log.
    pub last_line: String,
}

/// Runs a case.
pub fn run(case: &Case) -> Found {
    let (scenario, seed) = case.scenario();
    let mut world = World::new(&scenario, seed);
    world.run_until(case.honest_at);
    let mut but = case.dead.clone();
    but.extend(case.liar_place());
    world.come_right(&but);
    let (begin, steps) = (world.age(), world.steps());
    let lines = world.notices.len();
    let far = world.error().abs() > 1.0;
    let (mut right, mut held, mut slews) = (None::<f64>, None::<f64>, [0.0; 2]);
    let (mut outcome, mut seconds) = (None, 0.0);
    while world.age() - begin < HORIZON || right.is_some() {
        world.run_until(world.age().floor() + 1.0);
        let age = world.age() - begin;
        right = if world.error().abs() < RIGHT { right.or(Some(age)) } else { None };
        if let Some(since) = right.filter(|since| age - since >= STAYS) {
            (outcome, seconds) = (Some(Outcome::Right), since);
            break;
        }
        if !(age as u64).is_multiple_of(60) || right.is_some() {
            continue;
        }
        let reason = world.status().system.reason;
        let slewing = match reason {
            SystemReason::Correcting { slewing, .. } | SystemReason::Following { slewing, .. } => slewing,
            _ => None,
        };
        let is_left = slewing.is_some_and(|it| it.left.is_none() && it.short.is_some());
        let is_held = matches!(reason, SystemReason::Held(_)) || is_left;
        held = if is_held { held.or(Some(age)) } else { None };
        if held.is_some_and(|since| age - since >= HELD) {
            outcome = Some(Outcome::Operator);
            break;
        }
        for (at, noted) in SLEWS.iter().zip(&mut slews) {
            if *noted == 0.0 && age >= *at {
                *noted = world.error();
            }
        }
        if let (Some(slewing), [before, after]) = (slewing, slews)
            && after != 0.0
            && after.abs() > 5.0
        {
            let stated = slewing.rate_ppm * 1e-6;
            let rate = (before.abs() - after.abs()) / (SLEWS[1] - SLEWS[0]);
            // The text says "at least": half as fast is still what it says.
            if stated > 0.0 && rate > 0.5 * stated {
                (outcome, seconds) = (Some(Outcome::Slewed), age + after.abs() / rate);
                break;
            }
        }
    }
    let status = world.status().system;
    let sentence = status.reason.sentence().into_owned();
    let is_told =
        !sentence.is_empty() && !matches!(status.reason, SystemReason::Following { slewing: None, .. });
    let missed = if is_told { Outcome::Explained } else { Outcome::Unsaid };
    let mut outcome = outcome.unwrap_or(missed);
    if outcome == Outcome::Right && far && world.notices.len() == lines {
        outcome = Outcome::Unsaid;
    }
    let last_line = world.notices.last().map_or(String::new(), |(_, notice)| notice.sentence().into_owned());
    Found {
        case: case.clone(),
        outcome,
        seconds: if seconds > 0.0 { seconds } else { HORIZON },
        stepped: world.steps() > steps,
        error: world.error(),
        sentence,
        last_line,
    }
}

/// A sentence without its numbers: cases with the same are of one kind.
fn kind(text: &str) -> String {
    let mut kind = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' | '.' if kind.ends_with('N') => {}
            '0'..='9' => kind.push('N'),
            _ => kind.push(letter),
        }
    }
    kind
}

/// Tries so many worlds of a class: half of them at random, the others mutated from the worst found so far.
pub fn search(class: Class, profile: Profile, seed: u64, worlds: usize) -> Row {
    let place = class as u64 * 2 + u64::from(profile == Profile::Strict);
    let mut random = Random::new(seed, 1_000 + place);
    let mut worst: BTreeMap<(Outcome, String), Vec<Found>> = BTreeMap::new();
    let mut all = Vec::new();
    for number in 0..worlds {
        let case = match worst.len() {
            kinds if kinds > 0 && number % 2 == 1 => {
                let of = worst.values().nth((random.uniform() * kinds as f64) as usize % kinds);
                let of = of.map_or(&[][..], Vec::as_slice);
                let parent = of.get((random.uniform() * of.len() as f64) as usize % of.len().max(1));
                match parent {
                    Some(found) => found.case.mutated(class, &mut random),
                    None => Case::random(class, profile, &mut random),
                }
            }
            _ => Case::random(class, profile, &mut random),
        };
        let found = run(&case);
        let kept = worst.entry((found.outcome, kind(&found.sentence))).or_default();
        kept.push(found.clone());
        kept.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        kept.truncate(KEPT);
        all.push(found);
    }
    Row { class, profile, found: all }
}
