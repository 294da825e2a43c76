//! A state that faults and lies leave behind: what the record knows, what the clock shows, what the sources did, and what
//! happened to the machine. All of it is data that can be mutated.

use super::Class;
use crate::keeper::BOOT;
use crate::random::Random;
use crate::scenario::{Event, Path, Scenario};
use crate::world::begin_of;
use ipc::governor_record::{MEANS, Record};
use ipc::message::privileged::Profile;
use ipc::units::{BootInstant, Frequency, FrequencySum, Span, WallTime};
use keeper::governor::limits::SEARCH;

const DAY: f64 = 86_400.0;
/// Nanoseconds.
const HOUR: i64 = 3_600_000_000_000;
const YEAR: f64 = 365.25 * DAY;
/// CLOCK_BOOTTIME at the start of a simulated day, seconds.
const BOOTED: i64 = 5_000;

/// What the governor's record knows at the start.
#[derive(Clone, Debug)]
pub(super) enum Prior {
    /// Nothing: it is born.
    Born,
    /// It was lost.
    Lost,
    /// It is resumed.
    Kept(Kept),
}

/// A record that is resumed.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// Time under orders, days.
    under_orders: f64,
    /// The median of the daily means, from what the oscillator needs; ppm.
    median: f64,
    /// The base frequency, from the same; ppm.
    base: f64,
    /// How long ago the last good time is, seconds.
    last_good: f64,
    /// In the boot in which it was written; otherwise the machine was off for so many seconds.
    off: Option<f64>,
    /// Start steps made in this boot, and whether one of them had any size.
    start_steps: u8,
    any_size: bool,
    /// How long before the start the first order of this boot was granted, seconds.
    first_change: Option<f64>,
    /// Charged in this hour, and in days before, seconds.
    spent: (f64, f64),
}

/// A case: a state, and how it came about.
#[derive(Clone, Debug)]
pub struct Case {
    pub(super) profile: Profile,
    seed: u64,
    pub(super) prior: Prior,
    offset: f64,
    frequency: f64,
    wander: f64,
    swing: f64,
    saved: Option<[f64; 2]>,
    sources: usize,
    named: bool,
    kind: &'static str,
    rtc: bool,
    /// Sources that never answer: a minority.
    pub(super) dead: Vec<usize>,
    /// A source that lies until the end: by how much, s, and how fast that grows, ppm.
    pub(super) liar: Option<(f64, f64)>,
    /// Until the honest time.
    pub(super) events: Vec<Event>,
    /// From here on the other sources are honest and reachable, seconds.
    pub(super) honest_at: f64,
}

/// With either sign; its logarithm is uniform.
fn size(random: &mut Random, low: f64, high: f64) -> f64 {
    let size = low * (high / low).powf(random.uniform());
    if random.happens(0.5) { size } else { -size }
}

fn within(random: &mut Random, limit: f64) -> f64 {
    (2.0 * random.uniform() - 1.0) * limit
}

fn of<T: Copy>(random: &mut Random, choice: &[T]) -> T {
    choice[(random.uniform() * choice.len() as f64) as usize % choice.len()]
}

impl Case {
    /// A random one.
    pub(super) fn random(class: Class, profile: Profile, random: &mut Random) -> Self {
        let mut case = Self {
            profile,
            seed: (random.uniform() * 1e9) as u64,
            prior: ordinary(random),
            offset: within(random, 2.0),
            frequency: within(random, 60.0),
            wander: 1e-9,
            swing: 0.0,
            saved: None,
            sources: 3 + usize::from(random.happens(0.5)),
            named: false,
            kind: of(random, &["lan", "wan", "wan", "bad"]),
            rtc: random.happens(0.5),
            dead: Vec::new(),
            liar: None,
            events: Vec::new(),
            honest_at: 0.0,
        };
        for part in class.parts() {
            case.renew(*part, random);
        }
        case.sort();
        case
    }

    /// One that resembles this one.
    pub(super) fn mutated(&self, class: Class, random: &mut Random) -> Self {
        let mut case = self.clone();
        for _ in 0..=usize::from(random.happens(0.4)) {
            match (random.uniform() * 6.0) as u32 {
                0 => case.seed = (random.uniform() * 1e9) as u64,
                1 => case.offset *= 0.25 + 2.0 * random.uniform(),
                2 => case.frequency = (case.frequency + within(random, 40.0)).clamp(-300.0, 300.0),
                3 if !case.events.is_empty() => {
                    let at = (random.uniform() * case.events.len() as f64) as usize % case.events.len();
                    case.events[at].at *= 0.5 + random.uniform();
                }
                4 if case.events.len() > 1 => {
                    let at = (random.uniform() * case.events.len() as f64) as usize % case.events.len();
                    case.events.remove(at);
                }
                _ => case.renew(of(random, class.parts()), random),
            }
        }
        case.sort();
        case
    }

    fn sort(&mut self) {
        self.offset = self.offset.clamp(-50.0 * YEAR, 11.0 * YEAR);
        self.events.truncate(16);
        if !self.has_majority() {
            self.dead.clear();
        }
        self.events.sort_by(|a, b| a.at.total_cmp(&b.at));
        // Nobody lies or is away for longer than the honest time allows, nor for longer than the class.
        let last = self.events.last().map_or(0.0, |event| event.at + 1.0);
        self.honest_at = self.honest_at.max(last).min(1.1 * DAY);
        self.events.retain(|event| event.at < self.honest_at);
    }

    fn renew(&mut self, part: Part, random: &mut Random) {
        match part {
            Part::Record => self.prior = prior(random),
            Part::Offset => self.offset = size(random, 0.010, 10.0 * YEAR),
            Part::SmallOffset => self.offset = size(random, 0.010, DAY),
            Part::Oscillator => {
                self.frequency = within(random, 300.0);
                self.wander = of(random, &[1e-10, 1e-9, 1e-8]);
                self.swing = of(random, &[0.0, 0.5, 5.0]);
            }
            Part::DriftFile => {
                self.saved = Some([within(random, 1_000.0), size(random, 0.001, 10.0).abs()]);
            }
            Part::Liar if random.happens(0.5) => {
                self.liar = Some((size(random, 0.010, 10.0 * YEAR), within(random, 500.0)));
            }
            // One that stops lying.
            Part::Liar => {
                let (error, drift_ppm) =
                    (Some(size(random, 0.010, 10.0 * YEAR)), Some(within(random, 500.0)));
                let at = 3_600.0 * random.uniform();
                self.events.push(Event { at, source: Some(0), error, drift_ppm, ..Event::default() });
                self.honest_at = at + 3_600.0 * random.uniform();
            }
            Part::Dead => self.dead = vec![(random.uniform() * self.sources as f64) as usize],
            Part::AllLie => {
                let begin = if random.happens(0.5) { 0.0 } else { 1_800.0 * random.uniform() };
                for _ in 0..1 + (random.uniform() * 3.0) as usize {
                    let at = begin + 3_590.0 * random.uniform() * random.uniform();
                    let error = Some(size(random, 0.010, 10.0 * YEAR)).filter(|_| random.happens(0.7));
                    let drift_ppm = Some(within(random, 600.0)).filter(|_| error.is_none());
                    self.events.push(Event { at, error, drift_ppm, ..Event::default() });
                }
                self.honest_at = begin + 3_600.0;
            }
            Part::Late => {
                let late = size(random, 1.0, DAY).abs();
                self.events.push(Event { up: Some(false), ..Event::default() });
                self.honest_at = late;
            }
            Part::Flaps => {
                let mut at = 0.0;
                for _ in 0..1 + (random.uniform() * 4.0) as usize {
                    at += size(random, 5.0, 7_200.0).abs();
                    let source = Some((random.uniform() * 3.0) as usize).filter(|_| random.happens(0.4));
                    self.events.push(Event { at, source, up: Some(false), ..Event::default() });
                    at += size(random, 5.0, 7_200.0).abs();
                    self.events.push(Event { at, source, up: Some(true), ..Event::default() });
                }
            }
            Part::Names => {
                self.named = true;
                let at = if random.happens(0.5) { 0.0 } else { 3_600.0 * random.uniform() };
                self.events.push(Event { at, names: Some(false), ..Event::default() });
                for _ in 0..(random.uniform() * 4.0) as usize {
                    let source = Some((random.uniform() * 3.0) as usize).filter(|_| random.happens(0.6));
                    let at = at + 7_200.0 * random.uniform();
                    self.events.push(Event { at, source, moved: true, ..Event::default() });
                }
            }
            Part::Machine => {
                for _ in 0..1 + (random.uniform() * 3.0) as usize {
                    let mut event = Event { at: 7_200.0 * random.uniform(), ..Event::default() };
                    let long = size(random, 1.0, 7_200.0).abs();
                    match (random.uniform() * 6.0) as u32 {
                        0 => event.pause = Some(long),
                        1 => event.sleep = Some(long),
                        2 => event.meddle = Some(size(random, 0.006, 2.0 * YEAR)),
                        3 => event.restart = true,
                        4 => event.frequency_ppm = Some(within(random, 60.0)),
                        _ => {
                            event.reboot = Some(long);
                            event.clock =
                                Some(size(random, 0.010, 10.0 * YEAR)).filter(|_| random.happens(0.6));
                        }
                    }
                    self.events.push(event);
                }
                // A foreign step that is right: the clock was off, and another program puts it right.
                if random.happens(0.2) {
                    let (at, by) = (3_600.0 * random.uniform(), size(random, 0.1, 3_600.0));
                    self.events.push(Event { at, pause: Some(by.abs()), ..Event::default() });
                    self.events.push(Event { at: at + 2.0, meddle: Some(by.abs()), ..Event::default() });
                }
            }
        }
    }

    /// As a scenario of the simulator, and its seed.
    pub(super) fn scenario(&self) -> (Scenario, u64) {
        let path = || Path { name: self.named, kind: self.kind.into(), ..plain() };
        let mut source: Vec<Path> = (0..self.sources).map(|_| path()).collect();
        for dead in &self.dead {
            source[*dead].silent = true;
        }
        let liar = self.liar_place();
        if let (Some((error, ppm)), Some(liar)) = (self.liar, liar) {
            (source[liar].error, source[liar].drift_ppm) = (error, ppm);
        }
        let text = "name = \"recovery\"\nfrom = 0";
        let mut scenario: Scenario = toml::from_str(text).expect("a scenario with every default");
        scenario.strict = self.profile == Profile::Strict;
        (scenario.offset, scenario.frequency_ppm) = (self.offset, self.frequency);
        (scenario.wander, scenario.swing_ppm, scenario.saved_ppm) = (self.wander, self.swing, self.saved);
        (scenario.rtc, scenario.honest) = (self.rtc, false);
        scenario.lost_record = matches!(self.prior, Prior::Lost);
        // What is dead stays dead, and who lies does so by itself.
        scenario.event = self.events.clone();
        scenario.source = source;
        scenario.record = self.record(begin_of(&scenario)).map(Box::new);
        (scenario, self.seed)
    }

    /// The source that lies: one that is not dead.
    pub(super) fn liar_place(&self) -> Option<usize> {
        self.liar.and_then(|_| (0..self.sources).find(|place| !self.dead.contains(place)))
    }

    /// The honest, reachable sources are more than half.
    pub(super) fn has_majority(&self) -> bool {
        2 * (self.dead.len() + usize::from(self.liar.is_some())) < self.sources
    }

    fn record(&self, begin: i64) -> Option<Record> {
        let Prior::Kept(kept) = &self.prior else { return None };
        let ppm = |ppm: f64| Frequency::saturating((ppm.clamp(-1_000.0, 1_000.0) * 65_536.0) as i32);
        let span = |seconds: f64| Span::saturating((seconds * 1e9) as i64);
        let need = -self.frequency;
        let median = ppm(need + kept.median);
        let (boot_id, boot) = match kept.off {
            None => (BOOT, BOOTED - 10),
            Some(_) => ([0; 16], 1_000_000),
        };
        let mut record = Record::born(boot_id, BootInstant::saturating(boot * 1_000_000_000));
        // So that hours and days have numbers that are not 0.
        record.age = span((60.0 + kept.under_orders) * DAY);
        if kept.off.is_none() {
            record.start_steps = kept.start_steps;
            record.any_start_used = kept.any_size;
            let granted =
                |ago: f64| BootInstant::saturating((BOOTED - 10 - ago as i64).max(0) * 1_000_000_000);
            record.first_change = kept.first_change.map(granted);
        }
        record.last_good = WallTime::saturating(begin - (kept.last_good * 1e9) as i64);
        let wall = begin + (self.offset * 1e9) as i64 - (kept.off.unwrap_or(10.0) * 1e9) as i64;
        record.wall = WallTime::saturating(wall.max(0));
        record.base = ppm(need + kept.base);
        record.under_orders = span(kept.under_orders * DAY);
        record.day_count = kept.under_orders as u32;
        record.day_time = span(kept.under_orders.fract() * DAY);
        record.day_sum = FrequencySum::ZERO.with(median, record.day_time);
        if record.under_orders >= SEARCH {
            record.means = [median; MEANS];
        }
        let hour = (record.age.nanos() / HOUR) as usize;
        record.hours[hour % 25] = (kept.spent.0 * 1e6) as u32;
        record.days[hour / 24 % 31] = (kept.spent.0 * 1e6) as u32;
        record.days[(hour / 24 + 30) % 31] = (kept.spent.1 * 1e6) as u32;
        Some(record)
    }

    /// In one line.
    pub fn describe(&self) -> String {
        let mut text = format!(
            "seed {}, clock {:+.3} s, oscillator {:+.0} ppm (drift file {}), {} {} sources{}{}",
            self.seed,
            self.offset,
            self.frequency,
            self.saved.map_or("none".to_owned(), |[ppm, error]| format!("{ppm:.0}±{error:.3}")),
            self.sources,
            self.kind,
            if self.dead.is_empty() { "" } else { ", one dead" },
            self.liar
                .map_or(String::new(), |(error, ppm)| format!(", one lies by {error:.3} s and {ppm:.0} ppm")),
        );
        text += &match &self.prior {
            Prior::Born => ", record born".to_owned(),
            Prior::Lost => ", record lost".to_owned(),
            Prior::Kept(kept) => format!(
                ", record {:.2} d under orders, median {:+.0} and base {:+.0} ppm beside the oscillator, last good {:.0} s ago, {}, \
                 spent {:?} s",
                kept.under_orders,
                kept.median,
                kept.base,
                kept.last_good,
                match kept.off {
                    Some(off) => format!("new boot after {off:.0} s"),
                    None => format!(
                        "same boot, {} start steps made, first order {:?} s ago",
                        kept.start_steps, kept.first_change
                    ),
                },
                kept.spent
            ),
        };
        for event in &self.events {
            text += &format!("; at {:.0}:", event.at);
            let mut add = |word: &str, value: Option<f64>| {
                if let Some(value) = value {
                    text += &format!(" {word} {value:.3}");
                }
            };
            add("source", event.source.map(|source| source as f64));
            add("lies by", event.error);
            add("drifts ppm", event.drift_ppm);
            add("pause", event.pause);
            add("suspend", event.sleep);
            add("foreign step", event.meddle);
            add("oscillator ppm", event.frequency_ppm);
            add("reboot after", event.reboot);
            add("with the clock", event.clock);
            for (is, word) in [
                (event.up == Some(false), " unreachable"),
                (event.up == Some(true), " reachable"),
                (event.names == Some(false), " no names"),
                (event.moved, " new address"),
                (event.restart, " restart"),
            ] {
                text += if is { word } else { "" };
            }
        }
        format!("{text}; honest from {:.0} s on", self.honest_at)
    }
}

fn plain() -> Path {
    toml::from_str("").expect("a path with every default")
}

/// A record as most hosts have it.
fn ordinary(random: &mut Random) -> Prior {
    if random.happens(0.3) {
        return Prior::Born;
    }
    Prior::Kept(Kept {
        under_orders: of(random, &[0.02, 0.5, 5.0, 13.99, 30.0, 60.0]),
        median: within(random, 3.0),
        base: within(random, 1.0),
        last_good: size(random, 60.0, YEAR).abs(),
        off: Some(size(random, 10.0, YEAR).abs()),
        start_steps: 0,
        any_size: false,
        first_change: None,
        spent: (0.0, 0.0),
    })
}

/// A record as anything can have left it.
fn prior(random: &mut Random) -> Prior {
    match (random.uniform() * 10.0) as u32 {
        0 => Prior::Born,
        1 => Prior::Lost,
        _ => {
            let under_orders = of(random, &[0.001, 0.04, 0.9, 5.0, 13.99, 14.0, 31.0, 60.0]);
            // Hours of lies at the birth leave the whole search behind, days of them half a band each 16.
            let median = if under_orders < 14.0 { 1_000.0 } else { 110.0 };
            let off = Some(size(random, 10.0, YEAR).abs()).filter(|_| random.happens(0.5));
            Prior::Kept(Kept {
                under_orders,
                median: of(random, &[0.0, 0.1, 0.5, 1.0]) * within(random, median),
                base: of(random, &[0.0, 0.1, 1.0]) * within(random, 100.0),
                last_good: if random.happens(0.3) { 0.0 } else { size(random, 1.0, 10.0 * YEAR).abs() },
                off,
                start_steps: of(random, &[0, 1, 3, u8::MAX]),
                any_size: random.happens(0.5),
                first_change: Some(size(random, 1.0, 4_900.0).abs()).filter(|_| random.happens(0.8)),
                spent: of(
                    random,
                    &[(0.0, 0.0), (0.5, 0.0), (2.0, 0.0), (2.0, 8.0), (0.5, 2.5), (4.0, 4_000.0)],
                ),
            })
        }
    }
}

/// What a class varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Record,
    Offset,
    SmallOffset,
    Oscillator,
    DriftFile,
    Liar,
    Dead,
    AllLie,
    Late,
    Flaps,
    Names,
    Machine,
}
