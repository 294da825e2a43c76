//! A guided search for the farthest that a hostile engine can move the clock: the daemon's governor, the kernel's clock,
//! sequences of moves that grow by mutation from a library of known attacks. The same seed finds the same.
//!
//! What is found is compared with what `docs/governor.md` claims. Start and resume steps, steps forward with the operator's
//! leave, and steps for which only vmclock is evidence are counted apart, as that page does: only what base frequency, slews and charged steps move is measured.

mod host;
mod moves;

use crate::random::Random;
use host::{DAY, HOUR, Host, LIFE, SECOND};
use ipc::governor_record::Record;
use ipc::message::privileged::Profile;
use ipc::units::{BootInstant, Span, WallTime};
use keeper::governor::limits::{self, BUILD_TIME};
pub use moves::{Events, Move};
use std::time::{Duration, Instant};

/// Orders in a life, at most; what is left of it then is spent at the edge of the band.
const ORDERS: u32 = 12_000;
/// Moves in a sequence, at most; it is repeated until the end of the life.
const MOVES: usize = 12;
/// Sequences that are kept of a generation.
const KEPT: usize = 6;
/// Of a claim: the kernel completes a slew to a thousandth.
const ROUNDING: f64 = 1.001;

/// What the record knows at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// Nothing: it is born.
    Born,
    /// An oscillator near 0, for 45 honest days.
    Commissioned,
}

/// A world of the table.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// What is known at the beginning.
    pub birth: Birth,
    /// What happens beside the engine's orders.
    pub events: Events,
}

/// All worlds.
pub const WORLDS: [World; 12] = [
    World { name: "commissioned", birth: Birth::Commissioned, events: Events::None },
    World { name: "birth of the record", birth: Birth::Born, events: Events::None },
    World { name: "suspends, pauses", birth: Birth::Commissioned, events: Events::Sleeps },
    World { name: "migrations", birth: Birth::Commissioned, events: Events::Migrations },
    World { name: "foreign steps", birth: Birth::Commissioned, events: Events::Foreign },
    World { name: "restarts, kills", birth: Birth::Commissioned, events: Events::Restarts },
    World { name: "kills at the birth", birth: Birth::Born, events: Events::Restarts },
    World { name: "reboots, crashes", birth: Birth::Commissioned, events: Events::Reboots },
    World { name: "other profile", birth: Birth::Commissioned, events: Events::Profiles },
    World { name: "lost record", birth: Birth::Commissioned, events: Events::Losses },
    World { name: "leap days", birth: Birth::Commissioned, events: Events::Leaps },
    World { name: "forward steps", birth: Birth::Commissioned, events: Events::Leave },
];

/// Where the operator allows steps forward without evidence: the largest one.
const LEAVE: Span = Span::from_secs(86_400);

/// An hour, a day, 30 days.
const LENGTHS: [i64; 3] = [HOUR, DAY, 30 * DAY];

impl World {
    /// What docs/governor.md says is the most, in an hour, a day and the first 30 days, s.
    fn claims(&self, profile: Profile, reboots: u32) -> [f64; 3] {
        // Of two profiles, the wider one.
        let profile = if self.events == Events::Profiles { Profile::Standard } else { profile };
        let limits = limits::of(profile);
        let ppm = |frequency: ipc::units::Frequency| f64::from(frequency.scaled()) / 65_536.0 * 1e-6;
        let (hour, day) = (3_600.0, 86_400.0);
        let base = match (self.birth, self.events) {
            (Birth::Commissioned, Events::Losses) => {
                let (first, later) = (ppm(limits.commissioning_band), ppm(limits.search_band));
                [hour * later, day * later, 30.0 * day * later].map(|most| most.max(first * hour))
            }
            (Birth::Commissioned, _) => {
                // 16 days at half of where the median is then, and 14 days there.
                let band = ppm(limits.band);
                [hour * band * 2.0, day * band * 2.0, day * band * (16.0 + 2.0 * 14.0)]
            }
            (Birth::Born, _) => [hour, day, 30.0 * day].map(|length| length * ppm(limits.search_band)),
        };
        let (of_day, of_month) =
            (limits.phase_day.nanos() as f64 * 1e-9, limits.phase_month.nanos() as f64 * 1e-9);
        // A boot may be credited with a day.
        let credit = if limits.refill > ipc::units::Span::ZERO { f64::from(reboots) * of_day } else { 0.0 };
        [base[0] + of_day + credit, base[1] + of_day + credit, base[2] + of_month + credit]
    }

    fn leave(&self) -> Span {
        if self.events == Events::Leave { LEAVE } else { Span::ZERO }
    }

    fn host(&self, profile: Profile, honest: &Record) -> Host {
        let today = BUILD_TIME.nanos() / DAY * DAY + DAY;
        // Two days before the end of a half-year, where a leap second may come.
        let begin = match self.events {
            Events::Leaps => crate::world::end_of_leap_day(today) - 2 * DAY,
            _ => today,
        };
        let record = match self.birth {
            Birth::Born => Record::born([1; 16], BootInstant::saturating(100 * SECOND)),
            Birth::Commissioned => honest.clone(),
        };
        Host::with(record, profile, self.leave(), WallTime::saturating(begin))
    }
}

/// The record of 45 honest days of an oscillator at 0.
fn honest(profile: Profile) -> Record {
    let record = Record::born([1; 16], BootInstant::saturating(100 * SECOND));
    let begin = WallTime::saturating(BUILD_TIME.nanos() / DAY * DAY + DAY);
    let mut host = Host::with(record, profile, Span::ZERO, begin);
    for _ in 0..45 * 24 {
        let _ = host.adjust(0.0, 0, 0);
        host.pass(HOUR);
    }
    host.record().clone()
}

/// What was found in a world: the worst in an hour, a day and 30 days, each with its claim and its sequence.
#[derive(Clone, Debug)]
pub struct Row {
    /// The world.
    pub world: World,
    /// The profile.
    pub profile: Profile,
    /// The worst of each length.
    pub worst: [Worst; 3],
    /// What is counted apart.
    pub apart: Apart,
    /// Sequences that were tried.
    pub tried: u32,
}

/// The most that steps moved which are counted apart, in a day, s.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apart {
    /// Resume steps.
    pub resumed: f64,
    /// Steps forward with the operator's leave.
    pub forwarded: f64,
    /// Pause steps, beside the pauses and without what is charged.
    pub paused: f64,
    /// Pause steps for which only vmclock is evidence, beside the pauses.
    pub disrupted: f64,
    /// The number of these.
    pub disruptions: i64,
    /// In the whole life: steps beyond a plausible time, or without a change of vmclock's marker.
    pub lawless: u32,
}

impl Apart {
    fn of(host: &Host) -> Self {
        let seconds = |nanos: i64| nanos as f64 * 1e-9;
        Self {
            resumed: seconds(host.resumed()),
            forwarded: seconds(host.forwarded()),
            paused: seconds(host.paused()),
            disrupted: seconds(host.disrupted()),
            disruptions: host.disruptions(),
            lawless: host.lawless(),
        }
    }

    fn most(self, other: Self) -> Self {
        Self {
            resumed: self.resumed.max(other.resumed),
            forwarded: self.forwarded.max(other.forwarded),
            paused: self.paused.max(other.paused),
            disrupted: self.disrupted.max(other.disrupted),
            disruptions: self.disruptions.max(other.disruptions),
            lawless: self.lawless.max(other.lawless),
        }
    }
}

/// The worst of one length.
#[derive(Clone, Debug, Default)]
pub struct Worst {
    /// How far the clock was moved, s.
    pub found: f64,
    /// What docs/governor.md claims, s.
    pub claimed: f64,
    /// By what.
    pub sequence: Vec<Move>,
}

impl Row {
    /// Whether more was found than claimed.
    pub fn exceeds(&self) -> bool {
        let limits = limits::of(self.profile);
        let resumes = limits.resume_day.nanos() as f64 * 1e-9;
        let pauses = f64::from(limits.pause_steps) * limits::PAUSE_WITHIN.nanos() as f64 * 1e-9;
        let forwards = f64::from(limits.forward_steps) * self.world.leave().nanos() as f64 * 1e-9;
        let disruptions = f64::from(limits.pause_steps) * limits.disruption_step.nanos() as f64 * 1e-9;
        self.worst.iter().any(|worst| worst.found > worst.claimed * ROUNDING)
            || self.apart.resumed > resumes
            || self.apart.forwarded > forwards
            || self.apart.paused > pauses
            || self.apart.disrupted > disruptions
            || self.apart.disruptions > i64::from(limits.pause_steps)
            || self.apart.lawless > 0
    }

    fn profile(&self) -> String {
        format!("{:?}", self.profile).to_lowercase()
    }

    /// A line for each length, and one for each kind of step that is counted apart.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for (worst, length) in self.worst.iter().zip(["hour", "day", "30 days"]) {
            let over = if worst.found > worst.claimed * ROUNDING { "  EXCEEDED" } else { "" };
            let sequence: Vec<String> = worst.sequence.iter().map(ToString::to_string).collect();
            text += &format!(
                "{:<20} {:<8} {:<7} {:>9.3} {:>9.3}{over}  {}\n",
                self.world.name,
                self.profile(),
                length,
                worst.found,
                worst.claimed,
                sequence.join(", "),
            );
        }
        for (what, most) in [
            ("resume steps", self.apart.resumed),
            ("forward steps", self.apart.forwarded),
            ("beside pauses", self.apart.paused),
            ("by vmclock", self.apart.disrupted),
        ] {
            if most > 0.0 {
                text +=
                    &format!("{:<20} {:<8} {what}, in a day: {most:.3} s\n", self.world.name, self.profile());
            }
        }
        if self.apart.disruptions > 0 {
            let (name, most) = (self.world.name, self.apart.disruptions);
            text += &format!("{name:<20} {:<8} steps by vmclock, in a day: {most}\n", self.profile());
        }
        if self.apart.lawless > 0 {
            let (name, most) = (self.world.name, self.apart.lawless);
            text += &format!("{name:<20} {:<8} steps that no row allows: {most}  EXCEEDED\n", self.profile());
        }
        text
    }
}

/// The head of the table.
pub const HEAD: &str = "world                profile  in        found/s claimed/s  sequence (repeated)";

/// How long to search in one world.
#[derive(Clone, Copy, Debug)]
pub enum Effort {
    /// So many sequences: always the same.
    Sequences(u32),
    /// So long.
    Time(Duration),
}

/// Searches one world.
pub fn search(world: World, profile: Profile, seed: u64, effort: Effort) -> Row {
    let mut random = Random::new(seed, world.name.len() as u64 + profile as u64 * 64);
    let honest = honest(profile);
    let begun = Instant::now();
    let mut row = Row { world, profile, worst: Default::default(), apart: Apart::default(), tried: 0 };
    // For each length the best sequences, by what they reach of the claim.
    let mut kept: [Vec<(f64, Vec<Move>)>; 3] = Default::default();
    let mut seeds = library(world).into_iter();
    loop {
        let goes_on = match effort {
            Effort::Sequences(most) => row.tried < most,
            Effort::Time(limit) => begun.elapsed() < limit,
        };
        if !goes_on {
            return row;
        }
        let sequence = seeds.next().unwrap_or_else(|| {
            let kept = &kept[(random.uniform() * 3.0) as usize];
            let parent = &kept[(random.uniform() * kept.len() as f64) as usize].1;
            mutated(parent, world, &mut random)
        });
        let (found, claims, apart) = live(world, profile, &honest, &sequence);
        row.tried += 1;
        row.apart = row.apart.most(apart);
        for length in 0..3 {
            let part = found[length] / claims[length];
            let worst = &mut row.worst[length];
            if worst.sequence.is_empty() || part > worst.found / worst.claimed {
                *worst = Worst { found: found[length], claimed: claims[length], sequence: sequence.clone() };
            }
            kept[length].push((part, sequence.clone()));
            kept[length].sort_by(|one, other| other.0.total_cmp(&one.0));
            kept[length].truncate(KEPT);
        }
    }
}

/// What the sequence, repeated for a life, moves: in each length, what is claimed for that, and what is counted apart.
fn live(world: World, profile: Profile, honest: &Record, sequence: &[Move]) -> ([f64; 3], [f64; 3], Apart) {
    let mut host = world.host(profile, honest);
    let (mut reboots, mut lost) = (0, false);
    // Each move costs something even if it takes no time.
    let mut made = 0;
    'life: loop {
        for step in sequence {
            if host.time >= LIFE || made > 2_000 || host.orders > ORDERS {
                break 'life;
            }
            made += 1;
            match step {
                Move::Lose if std::mem::replace(&mut lost, true) => continue,
                Move::Reboot { .. } if reboots >= 3 => continue,
                Move::Reboot { .. } => reboots += 1,
                _ => {}
            }
            step.make(&mut host);
        }
    }
    while host.time < LIFE {
        Move::Hold { part: 1.0, hours: 1 }.make(&mut host);
    }
    host.note();
    let found = LENGTHS.map(|length| host.worst(length) as f64 * 1e-9);
    (found, world.claims(profile, reboots), Apart::of(&host))
}

/// Known attacks, from which the search begins.
fn library(world: World) -> Vec<Vec<Move>> {
    let hold = |part, hours| Move::Hold { part, hours };
    let flip = |constant, times| Move::Flip { sign: 1, part: 0.999, constant, before: 10, after: 5, times };
    let burst = |slew, constant, seconds, times| Move::Burst { sign: 1, slew, constant, seconds, times };
    let mut all = vec![
        vec![hold(1.0, 1)],
        vec![hold(-1.0, 1)],
        vec![burst(7_000_000, 2, 20, 200), hold(1.0, 20)],
        vec![burst(500_000_000, 9, 1_200, 4), hold(1.0, 22)],
        // What was ordered late in one day moves in the next.
        vec![hold(1.0, 20), burst(250_000_000, 8, 600, 6), burst(500_000_000, 10, 60, 1), hold(1.0, 3)],
        vec![flip(0, 1_000), hold(1.0, 23)],
        vec![flip(4, 1_000), hold(1.0, 23)],
        vec![flip(0, 10), Move::Silence { hours: 4 }],
        vec![
            Move::Swap { sign: 1, slew: 2_000_000, constant: 0, after: 10, part: 1.0, times: 1_000 },
            hold(1.0, 12),
        ],
    ];
    let event = match world.events {
        Events::None => None,
        Events::Sleeps => Some(Move::Suspend { nanos: 11 * SECOND, beside: -SECOND / 2 }),
        Events::Migrations => Some(Move::Migrate { nanos: SECOND, beside: DAY, rtc: false, times: 2 }),
        Events::Foreign => Some(Move::Foreign { by: SECOND, beside: 499_000_000, rtc: false }),
        Events::Restarts => Some(Move::Kills { part: 1.0, times: 10 }),
        Events::Reboots => Some(Move::Reboot { nanos: 60 * SECOND, beside: DAY, killed: false }),
        Events::Profiles => Some(Move::Profile),
        Events::Losses => Some(Move::Lose),
        Events::Leaps => Some(Move::Leap { insert: true }),
        Events::Leave => Some(Move::Forward { delta: DAY, times: 5 }),
    };
    if world.events == Events::Sleeps {
        // As many pauses as a day has steps for, and one more, each overdone by what is free.
        let freeze = Move::Freeze { nanos: 60 * SECOND, beside: 2 * SECOND - SECOND / 100 };
        all.push(vec![freeze, hold(1.0, 1)]);
    }
    if matches!(world.events, Events::Sleeps | Events::Foreign) {
        // The kernel sets the RTC to what the clock was moved to: that shows no pause, whatever parts them afterwards.
        let set = |looks| Move::SetRtc { beside: SECOND / 2, looks, delta: HOUR };
        let parted = match world.events {
            Events::Sleeps => Move::Suspend { nanos: HOUR, beside: -SECOND / 2 },
            _ => Move::Foreign { by: HOUR, beside: 0, rtc: true },
        };
        all.splice(..0, [0, 1, 3].map(|looks| vec![hold(0.0, 1), parted, set(looks), parted, set(looks)]));
    }
    if world.events == Events::Migrations {
        // More often than a day has steps for, each as far as the rows allow, and once more for the same change.
        let by = |beside| Move::Migrate { nanos: 0, beside, rtc: false, times: 2 };
        let most = [DAY, 16 * SECOND - SECOND / 1_000].map(|beside| vec![by(beside), hold(1.0, 1)]);
        all.splice(..0, most);
    }
    if let Some(event) = event {
        let with: Vec<_> = all.iter().map(|sequence| [&[event], sequence.as_slice()].concat()).collect();
        all.extend(with);
    }
    all
}

fn mutated(parent: &[Move], world: World, random: &mut Random) -> Vec<Move> {
    let mut child = parent.to_vec();
    for _ in 0..1 + (random.uniform() * 3.0) as usize {
        let at = (random.uniform() * (child.len() + 1) as f64) as usize;
        let by_chance = match random.happens(0.4) {
            true => moves::events(random, world.events),
            false => None,
        };
        let new = by_chance.unwrap_or_else(|| moves::orders(random));
        match (random.uniform() * 4.0) as u32 {
            0 if child.len() > 1 && at < child.len() => {
                child.remove(at);
            }
            1 if at < child.len() => child[at] = new,
            2 if at < child.len() && child.len() > 1 => child.swap(0, at),
            _ if child.len() < MOVES => child.insert(at, new),
            _ => {}
        }
    }
    child
}
