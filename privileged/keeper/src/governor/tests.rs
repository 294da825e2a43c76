//! The governor's table, row by row: at the limit less one, at the limit, at the limit and one.

mod any_record;
mod band;
mod charges;
mod disruption;
mod evidence;
mod flight;
mod last_good;
mod leap;
mod leave;
mod lost_record;
mod pause;
mod set_rtc;
mod start_steps;
mod tai;

use super::limits;
use super::*;
use ipc::message::privileged::{Profile, Status, Step, StepReason};
use ipc::units::FrequencySum;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
const BOOT: [u8; 16] = [1; 16];

fn terms(profile: Profile) -> Terms {
    let forward_step = Span::from_secs(86_400);
    Terms { profile, run_step: Span::from_secs(10), forward_step, leap_seconds: true, approved_step: None }
}

/// What is left after the loss of both slots.
fn spent(limits: &Limits, now: &Moment) -> Record {
    Record::spent(BOOT, now.boot, limits.phase_day, limits::SEARCH)
}

/// A governor, its clocks and a perfect clock that follows every order.
struct World {
    governor: Governor,
    now: Moment,
    base: Frequency,
}

fn booted(earlier: BootInstant, nanos: i64) -> BootInstant {
    BootInstant::try_new(earlier.nanos() + nanos).unwrap()
}

/// A day after the build.
fn today() -> i64 {
    limits::BUILD_TIME.nanos() + DAY
}

fn moment(raw: i64, wall: i64) -> Moment {
    Moment {
        clock: ClockReading {
            wall: WallTime::try_new(wall).unwrap(),
            raw: RawInstant::try_new(raw).unwrap(),
            frequency: Frequency::ZERO,
            slew_left: Offset::ZERO,
            tai: 0,
        },
        boot: BootInstant::try_new(raw).unwrap(),
        asleep: Span::ZERO,
    }
}

impl World {
    fn of(profile: Profile) -> Self {
        let now = moment(100 * SECOND, today());
        let record = Record::born(BOOT, now.boot);
        Self { governor: Governor::new(terms(profile), record, BOOT, now), now, base: Frequency::ZERO }
    }

    fn standard() -> Self {
        Self::of(Profile::Standard)
    }

    fn pass(&mut self, nanos: i64) -> Option<ClockEventKind> {
        self.now.clock.raw = self.now.clock.raw.after(Span::try_new(nanos).unwrap());
        self.now.boot = booted(self.now.boot, nanos);
        let moved = nanos + self.base.gain(nanos) + self.now.clock.slew_left.nanos();
        self.now.clock.wall = WallTime::try_new(self.now.clock.wall.nanos() + moved).unwrap();
        self.now.clock.slew_left = Offset::ZERO;
        let seen = self.governor.observe(&self.now, false).map(|seen| seen.kind);
        // As the keeper does.
        if let Some(edge) = self.governor.bring_into_band() {
            self.base = edge;
            self.now.clock.slew_left = Offset::ZERO;
        }
        seen
    }

    /// Time in pieces, with an order each, as an engine gives them.
    fn pass_under_orders(&mut self, nanos: i64, ppm: f64) {
        for _ in 0..nanos / HOUR {
            self.pass(HOUR);
            self.adjust(ppm, 0, 0).unwrap();
        }
    }

    fn adjust(&mut self, ppm: f64, slew: i64, constant: u8) -> Result<Grant, Refusal> {
        let order = Adjust {
            epoch: self.governor.epoch(),
            frequency: Frequency::saturating((ppm * 65_536.0) as i32),
            slew: Offset::try_new(slew).unwrap(),
            time_constant: TimeConstant::try_new(constant).unwrap(),
            asked_at: self.now.clock.raw,
        };
        let outcome = self.governor.judge_adjust(&order, &self.now);
        if outcome.is_ok() {
            self.base = order.frequency;
            self.now.clock.slew_left = order.slew;
            self.governor.applied(&self.now);
        }
        outcome.map_err(|refused| refused.code)
    }

    fn step(&mut self, reason: StepReason, delta: i64) -> Result<Grant, Refusal> {
        let order = Step {
            epoch: self.governor.epoch(),
            delta: Offset::saturating(delta),
            reason,
            asked_at: self.now.clock.raw,
        };
        let outcome = self.governor.judge_step(&order, &self.now);
        if outcome.is_ok() {
            self.now.clock.wall = WallTime::saturating(self.now.clock.wall.nanos() + delta);
            self.governor.applied(&self.now);
        }
        outcome.map_err(|refused| refused.code)
    }

    fn status(&mut self, leap: Leap, synchronised: bool) -> Result<Status, Refusal> {
        let status = Status {
            epoch: self.governor.epoch(),
            leap,
            synchronised,
            maxerror: Span::ZERO,
            esterror: Span::ZERO,
        };
        self.governor.judge_status(&status, &self.now).map_err(|refused| refused.code)
    }

    fn restart(&mut self, boot: [u8; 16], profile: Profile) {
        let record = Record::from_octets(&self.governor.record().to_octets()).unwrap();
        self.take_up(record, boot, profile);
    }

    /// The daemon starts with this record, and finds the clock as it is.
    fn take_up(&mut self, record: Record, boot: [u8; 16], profile: Profile) {
        self.now.clock.frequency = self.base;
        self.governor = Governor::new(terms(profile), record, boot, self.now);
    }

    /// Time in pieces with orders that change nothing.
    fn applied_forever(&mut self, nanos: i64) {
        for _ in 0..nanos / HOUR {
            self.governor.applied(&self.now);
            self.pass(HOUR);
        }
    }

    fn commissioned(profile: Profile, ppm: f64) -> Self {
        let mut world = Self::of(profile);
        world.adjust(ppm, 0, 0).unwrap();
        world.pass_under_orders(limits::COMMISSIONING.nanos() + HOUR, ppm);
        world
    }
}

const OK: Option<Refusal> = None;

#[test]
fn a129_every_refused_order_costs_a_token() {
    let mut world = World::standard();
    let mut refusals = Vec::new();
    for _ in 0..10 {
        let order = Adjust {
            epoch: 0,
            frequency: Frequency::ZERO,
            slew: Offset::ZERO,
            time_constant: TimeConstant::MIN,
            asked_at: world.now.clock.raw,
        };
        refusals.push(world.governor.judge_adjust(&order, &world.now).unwrap_err().code);
    }
    assert_eq!(refusals.iter().filter(|code| **code == Refusal::StaleEpoch).count(), 8);
    assert_eq!(refusals.iter().filter(|code| **code == Refusal::Rate).count(), 2);
}

#[test]
fn a132_orders_of_an_earlier_epoch_or_too_old_or_from_the_future_are_stale() {
    for (age, refusal) in
        [(0, OK), (2 * SECOND, OK), (2 * SECOND + 1, Some(Refusal::Stale)), (-1, Some(Refusal::Stale))]
    {
        let mut world = World::standard();
        let order = Adjust {
            epoch: 1,
            frequency: Frequency::ZERO,
            slew: Offset::ZERO,
            time_constant: TimeConstant::MIN,
            asked_at: RawInstant::try_new(world.now.clock.raw.nanos() - age).unwrap(),
        };
        assert_eq!(
            world.governor.judge_adjust(&order, &world.now).err().map(|refused| refused.code),
            refusal,
            "{age}"
        );
        let old = Adjust { epoch: 0, asked_at: world.now.clock.raw, ..order };
        let outcome = world.governor.judge_adjust(&old, &world.now);
        assert_eq!(outcome.err().map(|refused| refused.code), Some(Refusal::StaleEpoch));
    }
}

#[test]
fn a129_one_order_a_second_and_eight_at_once() {
    let mut world = World::standard();
    for _ in 0..8 {
        world.adjust(0.0, 0, 0).unwrap();
    }
    assert_eq!(world.adjust(0.0, 0, 0).err(), Some(Refusal::Rate));
    world.pass(SECOND - 1);
    assert_eq!(world.adjust(0.0, 0, 0).err(), Some(Refusal::Rate));
    world.pass(1);
    assert_eq!(world.adjust(0.0, 0, 0).err(), OK);
    assert_eq!(world.status(Leap::None, true).err(), Some(Refusal::Rate), "status counts too");
}

#[test]
fn a136_without_orders_for_three_hours_the_clock_is_unsynchronised() {
    let mut world = World::standard();
    assert_eq!(world.status(Leap::None, true).err(), Some(Refusal::Unproven), "a138: before any order");
    world.adjust(0.0, 0, 0).unwrap();
    world.status(Leap::None, true).unwrap();
    world.pass(3 * HOUR);
    assert!(!world.governor.died(&world.now));
    world.pass(1);
    assert!(world.governor.died(&world.now));
    assert!(!world.governor.died(&world.now), "said once");
    assert_eq!(world.status(Leap::None, true).err(), Some(Refusal::Unproven));
}

#[test]
fn a138_no_error_is_reported_below_a_microsecond() {
    let mut world = World::standard();
    let status = world.status(Leap::None, false).unwrap();
    assert_eq!((status.maxerror.nanos(), status.esterror.nanos()), (1_000, 1_000));
}

#[test]
fn honest_hosts_never_notice_the_governor() {
    // A daily swing of 10 ppm, 2.7 ppm RMS of frequency noise and 0.3 ms RMS of corrections each 64 s, for
    // 40 days; on day 20 the machine moves to a host whose counter runs 30 ppm faster.
    let mut world = World::standard();
    world.step(StepReason::Start, 3_700_000_000).unwrap();
    let mut seed = 1u64;
    let mut noise = || {
        // The sum of twelve uniform numbers, less six: close to a normal one.
        (0..12).fold(-6.0, |sum, _| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum + (seed >> 11) as f64 / (1u64 << 53) as f64
        })
    };
    for poll in 0..40 * 86_400 / 64 {
        world.pass(64 * SECOND);
        let day = f64::from(poll) * 64.0 / 86_400.0;
        let ppm = -17.0
            + 10.0 * (day * std::f64::consts::TAU).sin()
            + 2.7 * noise()
            + if day > 20.0 { 30.0 } else { 0.0 };
        let slew = (300_000.0 * noise()) as i64;
        // The engine's rule for small corrections: 25 ppm at most.
        let constant = (0..=10).find(|constant| (slew.abs() >> (2 + constant)) <= 25_000).unwrap();
        assert_eq!(world.adjust(ppm, slew, constant).err(), OK, "on day {day}: {ppm} ppm, {slew} ns");
    }
}

#[test]
fn a_status_that_was_not_done_takes_back_no_earlier_order() {
    let mut world = World::standard();
    world.adjust(40.0, 0, 0).unwrap();
    world.pass(1_000 * SECOND);
    world.status(Leap::None, true).unwrap();
    world.governor.not_done();
    assert_eq!(world.governor.record().base, world.base);
    assert_eq!(world.pass(SECOND), None, "nobody stepped the clock");
}
