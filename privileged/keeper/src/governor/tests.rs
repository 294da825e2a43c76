//! The governor's table, row by row: at the limit less one, at the limit, at the limit and one.

mod any_record;
mod band;
mod disruption;
mod flight;
mod last_good;
mod leave;
mod pause;
mod set_rtc;

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
fn a143_start_steps_are_judged_at_their_limits() {
    for (profile, delta, refusal) in [
        (Profile::Standard, -1000 * SECOND + 1, OK),
        (Profile::Standard, 86_400 * SECOND - 1, OK),
        (Profile::Standard, 86_400 * SECOND, OK),
        (Profile::Standard, -90_000 * SECOND, Some(Refusal::StartBack)),
        (Profile::Standard, 86_400 * SECOND + 1, Some(Refusal::StartForward)),
        (Profile::Standard, -1000 * SECOND, OK),
        (Profile::Standard, -1000 * SECOND - 1, Some(Refusal::StartBack)),
        (Profile::Strict, 16 * SECOND, OK),
        (Profile::Strict, 16 * SECOND + 1, Some(Refusal::StartForward)),
        (Profile::Strict, -16 * SECOND, OK),
        (Profile::Strict, -16 * SECOND - 1, Some(Refusal::StartBack)),
    ] {
        let mut world = World::of(profile);
        world.pass(10 * DAY);
        // Without the one of any size.
        if profile == Profile::Standard {
            assert!(world.step(StepReason::Start, 86_401 * SECOND).unwrap().any_size);
        }
        assert_eq!(world.step(StepReason::Start, delta).err(), refusal, "{profile:?} {delta}");
    }
}

/// The first boot of a machine whose clock is at `wall`.
fn found_at(wall: i64, profile: Profile) -> World {
    let now = moment(100 * SECOND, wall);
    let record = Record::born(BOOT, now.boot);
    World { governor: Governor::new(terms(profile), record, BOOT, now), now, base: Frequency::ZERO }
}

#[test]
fn one_start_step_in_a_boot_brings_a_clock_right_from_anywhere() {
    let true_time = today() + 100 * DAY;
    for (name, wall) in [
        ("an RTC in local time, east", true_time + 14 * HOUR),
        ("an RTC in local time, west", true_time - 12 * HOUR),
        ("five weeks behind", true_time - 35 * DAY),
        ("1970", 0),
        ("2038", (1 << 31) * SECOND + HOUR),
        ("2106", (1 << 32) * SECOND + HOUR),
        ("the last that a clock can show", WallTime::MAX.nanos() - DAY),
    ] {
        let mut world = found_at(wall, Profile::Standard);
        world.pass(60 * SECOND);
        // The small steps of a cold start do not use it up.
        let before = world.step(StepReason::Start, SECOND);
        if (limits::BUILD_TIME.nanos()..world.governor.latest().nanos()).contains(&wall) {
            assert!(!before.unwrap().any_size, "{name}");
        }
        let delta = true_time - world.now.clock.wall.nanos();
        let grant = world.step(StepReason::Start, delta).unwrap_or_else(|row| panic!("{name}: {row:?}"));
        assert_eq!(grant.any_size, wall < true_time - DAY || wall > true_time, "{name}");
        assert_eq!(world.step(StepReason::Start, SECOND).err(), OK, "{name}");
        let mut strict = found_at(wall, Profile::Strict);
        strict.pass(60 * SECOND);
        let delta = true_time - strict.now.clock.wall.nanos();
        assert!(strict.step(StepReason::Start, delta).is_err(), "{name}: strict");
    }
}

#[test]
fn a130_a_hostile_engine_makes_one_start_step_of_any_size_in_a_boot() {
    let mut world = found_at(today() + 100 * DAY, Profile::Standard);
    assert!(world.step(StepReason::Start, 300 * DAY).unwrap().any_size);
    for _ in 0..20 {
        world.pass(10 * SECOND);
        world.restart(BOOT, Profile::Standard);
        assert_eq!(world.step(StepReason::Start, -300 * DAY).err(), Some(Refusal::StartBack));
        assert_eq!(world.step(StepReason::Start, 2 * DAY).err(), Some(Refusal::StartForward));
    }
    world.step(StepReason::Start, DAY).unwrap();
    world.step(StepReason::Start, DAY).unwrap();
    assert_eq!(world.step(StepReason::Start, DAY).err(), Some(Refusal::StartWindow));
    world.restart([2; 16], Profile::Standard);
    assert!(world.step(StepReason::Start, -100 * DAY).unwrap().any_size, "in the next boot");
}

#[test]
fn a143_the_start_window_closes_after_its_time_and_its_steps() {
    for (wait, refusal) in [(899, OK), (900, OK), (901, Some(Refusal::StartWindow))] {
        for by_step in [false, true] {
            let mut world = World::standard();
            world.pass(10 * HOUR);
            let first = match by_step {
                true => world.step(StepReason::Start, SECOND).err(),
                false => world.adjust(0.0, 0, 0).err(),
            };
            assert_eq!(first, OK);
            world.pass(wait * SECOND);
            assert_eq!(world.step(StepReason::Start, SECOND).err(), refusal, "{wait} s after {first:?}");
        }
    }
    for (profile, steps) in [(Profile::Standard, 3), (Profile::Strict, 1)] {
        let mut world = World::of(profile);
        for _ in 0..steps {
            world.step(StepReason::Start, SECOND).unwrap();
            world.pass(2 * SECOND);
        }
        assert_eq!(world.step(StepReason::Start, SECOND).err(), Some(Refusal::StartWindow));
    }
}

#[test]
fn the_start_window_is_open_until_something_is_granted_and_no_restart_opens_it_again() {
    let mut world = World::standard();
    // A network that comes after a day, with restarts and refused orders meanwhile.
    for _ in 0..24 {
        world.pass(HOUR);
        world.restart(BOOT, Profile::Standard);
        assert_eq!(world.step(StepReason::Run, 2 * SECOND).err(), Some(Refusal::RunStep));
        assert_eq!(world.governor.start_steps(&world.now), 3);
    }
    assert!(!world.governor.is_unwritten());
    assert_eq!(world.step(StepReason::Start, 1_000 * SECOND).err(), OK);
    assert!(world.governor.is_unwritten(), "a kill after it must not open the window again");
    world.pass(900 * SECOND);
    world.restart(BOOT, Profile::Standard);
    assert_eq!(world.governor.start_steps(&world.now), 2);
    world.pass(1);
    world.restart(BOOT, Profile::Standard);
    assert_eq!(world.governor.start_steps(&world.now), 0);
    assert_eq!(world.step(StepReason::Start, SECOND).err(), Some(Refusal::StartWindow));
    world.restart([2; 16], Profile::Standard);
    assert_eq!(world.governor.start_steps(&world.now), 3, "in the next boot");
}

#[test]
fn a130_a_restart_neither_refills_the_start_window_nor_the_budget() {
    let mut world = World::standard();
    let mut steps = 0;
    let mut slewed = 0;
    for _ in 0..1000 {
        world.restart(BOOT, Profile::Standard);
        world.pass(2 * SECOND);
        steps += i64::from(world.step(StepReason::Start, SECOND / 10).is_ok());
        world.pass(2 * SECOND);
        slewed += world.adjust(0.0, SECOND / 10, 6).map_or(0, |grant| grant.charged.nanos());
        world.pass(400 * SECOND / 1000);
    }
    assert_eq!(steps, 3);
    assert!(slewed <= 2 * SECOND, "{slewed}");
}

#[test]
fn a124_no_step_leads_before_the_floor_or_after_the_latest_time() {
    let mut world = World::standard();
    let floor = world.governor.floor().nanos();
    let latest = world.governor.latest().nanos();
    let to = |world: &World, target: i64| target - world.now.clock.wall.nanos();
    for target in [0, floor - 1, 0x8000_0000 * SECOND + SECOND * 8, 9_214_646_400 * SECOND / 2] {
        let refusal = if target < floor { Refusal::Floor } else { Refusal::Latest };
        for reason in [StepReason::Start, StepReason::Run, StepReason::Restore, StepReason::Resume] {
            world.pass(2 * SECOND);
            let delta = to(&world, target);
            assert_eq!(world.step(reason, delta).err(), Some(refusal), "{target} {reason:?}");
        }
    }
    // With the size of the step out of the way, the limits are the nanosecond.
    for (target, refusal) in
        [(floor - 1, Some(Refusal::Floor)), (floor, OK), (latest, OK), (latest + 1, Some(Refusal::Latest))]
    {
        let mut world = World::standard();
        world.governor.terms.approved_step = Some(Span::MAX);
        let delta = to(&world, target);
        assert_eq!(world.step(StepReason::Run, delta).err(), refusal, "{target}");
    }
    let mut world = World::standard();
    assert_eq!(world.step(StepReason::Start, i64::MIN).err(), Some(Refusal::Floor));
}

#[test]
fn a173_a_clock_below_the_floor_is_set_once_in_a_boot() {
    let wrong = moment(100 * SECOND, 86_400 * SECOND);
    let record = Record::born(BOOT, wrong.boot);
    let mut world = World {
        governor: Governor::new(terms(Profile::Standard), record, BOOT, wrong),
        now: wrong,
        base: Frequency::ZERO,
    };
    let delta = today() - wrong.clock.wall.nanos();
    world.step(StepReason::Start, delta).unwrap();
    // Set there once more by another program, it is not set again without an operator.
    world.pass(2 * SECOND);
    world.now.clock.wall = wrong.clock.wall;
    world.governor.observe(&world.now, false);
    assert_eq!(world.step(StepReason::Start, delta).err(), Some(Refusal::StartWindow));
    let record = Record::born(BOOT, wrong.boot);
    let strict = Governor::new(terms(Profile::Strict), record, BOOT, wrong);
    let mut world = World { governor: strict, now: wrong, base: Frequency::ZERO };
    assert_eq!(
        world.step(StepReason::Start, delta).err(),
        Some(Refusal::StartWindow),
        "strict: launch flag only"
    );
    world.governor.terms.approved_step = Some(Span::saturating(delta));
    world.step(StepReason::Start, delta).unwrap();
}

#[test]
fn a125_run_steps_keep_their_distance_and_end_with_the_budget() {
    let mut world = World::standard();
    world.pass(HOUR);
    assert_eq!(world.step(StepReason::Run, SECOND + 1).err(), Some(Refusal::RunStep));
    let mut moved = 0;
    let mut last = Refusal::Rate;
    for _ in 0..80_000 {
        match world.step(StepReason::Run, 900_000_000) {
            Ok(grant) => moved += grant.charged.nanos(),
            Err(refusal) => last = refusal,
        }
        world.pass(SECOND);
    }
    assert_eq!(moved, 1_800_000_000, "two in 24 hours");
    assert_eq!(last, Refusal::Budget);
    let mut strict = World::of(Profile::Strict);
    assert_eq!(strict.step(StepReason::Run, 1).err(), Some(Refusal::RunStep), "strict: none");
    for (wait, refusal) in [(899, Some(Refusal::TooSoon)), (900, OK)] {
        let mut world = World::standard();
        world.step(StepReason::Run, SECOND).unwrap();
        world.pass(wait * SECOND);
        assert_eq!(world.step(StepReason::Run, 1).err(), refusal, "{wait}");
    }
}

#[test]
fn a126_there_and_back_again_is_charged_twice() {
    let mut world = World::standard();
    for (delta, refusal) in [(900_000_000, OK), (-900_000_000, OK), (900_000_000, Some(Refusal::Budget))] {
        assert_eq!(world.step(StepReason::Run, delta).err(), refusal);
        world.pass(HOUR);
    }
}

#[test]
fn a143_the_base_frequency_is_judged_at_the_edge_of_its_band() {
    let unit = 1.0 / 65_536.0;
    for (profile, edge) in [(Profile::Standard, 200.0), (Profile::Strict, 100.0)] {
        for sign in [1.0, -1.0] {
            let searched = || {
                let mut world = World::of(profile);
                world.adjust(0.0, 0, 0).unwrap();
                world.pass_under_orders(2 * HOUR, 0.0);
                world
            };
            assert_eq!(searched().adjust(sign * (edge - unit), 0, 0).err(), OK);
            assert_eq!(searched().adjust(sign * edge, 0, 0).err(), OK);
            assert_eq!(searched().adjust(sign * (edge + unit), 0, 0).err(), Some(Refusal::Band));
        }
    }
    assert_eq!(World::standard().adjust(1_000.0, 0, 0).err(), OK);
    assert_eq!(World::standard().adjust(-1_000.0 - unit, 0, 0).err(), Some(Refusal::Band));
    assert_eq!(World::of(Profile::Strict).adjust(200.0, 0, 0).err(), OK);
    assert_eq!(World::of(Profile::Strict).adjust(200.0 + unit, 0, 0).err(), Some(Refusal::Band));
    for (profile, band) in [(Profile::Standard, 50.0), (Profile::Strict, 20.0)] {
        let mut world = World::commissioned(profile, 31.0);
        let width = Frequency::saturating(band as i32 * 65_536);
        assert_eq!(world.governor.band(), Band { centre: Frequency::saturating(31 * 65_536), width });
        assert_eq!(world.adjust(31.0 + band, 0, 0).err(), OK);
        assert_eq!(world.adjust(31.0 + band + 0.01, 0, 0).err(), Some(Refusal::Band));
        assert_eq!(world.adjust(31.0 - band, 0, 0).err(), OK);
        assert_eq!(world.adjust(31.0 - band - 0.01, 0, 0).err(), Some(Refusal::Band));
    }
}

#[test]
fn a127_half_a_thousand_ppm_ends_with_the_budget() {
    let mut world = World::commissioned(Profile::Standard, 0.0);
    let start = world.now;
    let mut last = Refusal::Rate;
    // The band's edge, and slews on top of it as large as the total allows, for a day.
    for _ in 0..86_400 / 20 {
        let left = world.now.clock.slew_left;
        if let Err(refusal) = world.adjust(50.0, 7_000_000, 2) {
            last = refusal;
            world.now.clock.slew_left = left;
            world.adjust(50.0, 0, 0).unwrap();
        }
        world.pass(20 * SECOND);
    }
    let gained = world.now.clock.wall.minus(start.clock.wall).nanos()
        - world.now.clock.raw.since(start.clock.raw).nanos();
    assert_eq!(last, Refusal::Budget);
    assert!(gained <= 6_320_000_000 && gained > 6_000_000_000, "{gained}");
}

#[test]
fn a143_slew_and_frequency_together_stay_below_the_total() {
    // 4 ms at constant 0: 1 ms in the first second, 1000 ppm.
    let mut world = World::standard();
    assert_eq!(world.adjust(0.0, 4_000_000, 0).err(), Some(Refusal::Total));
    assert_eq!(world.adjust(0.0, 1_999_000, 0).err(), OK);
    assert_eq!(world.adjust(200.0, 1_999_000, 0).err(), Some(Refusal::Total));
    assert_eq!(world.adjust(-200.0, 1_999_000, 0).err(), OK);
    assert_eq!(World::standard().adjust(0.0, SECOND / 2, 10).err(), OK);
    assert_eq!(World::standard().adjust(0.0, SECOND / 2 + 1, 10).err(), Some(Refusal::Range));
    assert_eq!(World::standard().adjust(0.0, -SECOND / 2 - 1, 10).err(), Some(Refusal::Range));
}

#[test]
fn a_slew_inside_the_band_costs_nothing_and_an_unused_rest_is_given_back() {
    let mut world = World::standard();
    assert_eq!(world.adjust(0.0, 3_000_000, 2).unwrap().charged.nanos(), 0, "187 ppm at most");
    world.pass(64 * SECOND);
    assert_eq!(world.adjust(100.0, 3_000_000, 2).unwrap().charged.nanos(), 3_000_000, "287 ppm");
    world.pass(64 * SECOND);
    world.adjust(100.0, 3_000_000, 2).unwrap();
    // Replaced before it has moved anything: nothing was spent but what a part of it that may be under way, a fifteenth of
    // the rest, moves the clock beyond the free 200 ppm.
    let left = world.governor.budget_left().nanos();
    world.now.clock.slew_left = Offset::try_new(3_000_000).unwrap();
    assert_eq!(world.adjust(100.0, 0, 0).unwrap().charged.nanos(), 100_001);
    assert_eq!(world.governor.budget_left().nanos(), left + 3_000_000 - 101_000);
}

#[test]
fn what_is_in_flight_of_a_replaced_slew_is_paid_for() {
    // The kernel finishes the part of a second that it has begun: base at one edge with a slew back over the
    // whole band, then base at the other edge, gains twice the band unless that second is charged.
    let mut world = World::commissioned(Profile::Standard, 0.0);
    let before = world.governor.budget_left().nanos();
    for _ in 0..10 {
        world.adjust(-49.0, 196_000, 1).unwrap();
        world.now.clock.slew_left = Offset::try_new(196_000).unwrap();
        world.pass(SECOND);
        world.now.clock.slew_left = Offset::try_new(171_500).unwrap();
        world.adjust(49.0, 0, 0).unwrap();
        world.pass(SECOND);
    }
    let charged = before - world.governor.budget_left().nanos();
    assert!(charged >= 10 * 21_000, "{charged}");
}

#[test]
fn a_sleep_is_nobodys_step_and_can_not_be_restored_away() {
    for millis in [500, 5_000, 8 * 3_600_000] {
        let (mut world, nanos) = (World::standard(), millis * 1_000_000);
        world.adjust(0.0, 0, 0).unwrap();
        world.pass(SECOND);
        world.now.boot = booted(world.now.boot, nanos);
        world.now.asleep = world.now.asleep.plus(Span::saturating(nanos));
        world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + nanos).unwrap();
        let event = world.pass(SECOND);
        assert_eq!(event, (millis >= 1_000).then_some(ClockEventKind::Resume));
        assert_eq!(world.step(StepReason::Restore, -nanos).err(), Some(Refusal::Evidence));
    }
}

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
fn an_order_that_was_not_done_gives_nothing_back_of_the_slew_that_runs_on() {
    let mut world = World::standard();
    world.adjust(0.0, 400_000_000, 8).unwrap();
    world.now.clock.slew_left = Offset::try_new(400_000_000).unwrap();
    let left = world.governor.budget_left().nanos();
    let order = Adjust {
        epoch: 1,
        frequency: Frequency::ZERO,
        slew: Offset::ZERO,
        time_constant: TimeConstant::MIN,
        asked_at: world.now.clock.raw,
    };
    world.governor.judge_adjust(&order, &world.now).unwrap();
    assert!(world.governor.budget_left().nanos() <= left, "while it is written both are reserved");
    world.governor.not_done();
    // What was charged for the overlap stays charged.
    assert!((left - 400_000..=left).contains(&world.governor.budget_left().nanos()));
}

#[test]
fn an_order_that_was_not_done_leaves_the_pace_of_the_slew_that_runs_on() {
    let mut world = World::standard();
    // 3 ms at constant 2: 187.5 ppm in the first second, at most the free 200.
    world.adjust(100.0, 3_000_000, 2).unwrap();
    world.now.clock.slew_left = Offset::try_new(3_000_000).unwrap();
    let order = Adjust {
        epoch: 1,
        frequency: Frequency::ZERO,
        slew: Offset::ZERO,
        time_constant: TimeConstant::MAX,
        asked_at: world.now.clock.raw,
    };
    world.governor.judge_adjust(&order, &world.now).unwrap();
    world.governor.not_done();
    // What is in flight of it is charged at its own pace, and not at that of the order that was not done.
    assert_eq!(world.adjust(100.0, 0, 0).unwrap().charged.nanos(), 100_001);
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
fn a133_leap_seconds_only_on_their_days_and_not_too_soon() {
    let at = |text: &str, seconds: i64| {
        let wall = seconds * SECOND;
        assert!(
            ipc::calendar::Rfc3339(WallTime::try_new(wall).unwrap()).to_string().starts_with(text),
            "{text}"
        );
        let mut world = World::standard();
        world.governor.built = WallTime::MIN;
        world.now.clock.wall = WallTime::try_new(wall).unwrap();
        world
    };
    for (text, seconds, refusal) in [
        ("2027-03-01", 1_803_900_000, Some(Refusal::LeapDate)),
        ("2027-06-29T23:59:59", 1_814_313_599, Some(Refusal::LeapDate)),
        ("2027-06-30T00:00:00", 1_814_313_600, OK),
        ("2027-06-30T23:59:59", 1_814_399_999, OK),
        ("2027-07-01T00:00:00", 1_814_400_000, Some(Refusal::LeapDate)),
        ("2027-12-31", 1_830_211_200, OK),
    ] {
        assert_eq!(at(text, seconds).status(Leap::Insert, false).err(), refusal, "{text}");
    }
    let mut world = at("2027-06-30", 1_814_313_600);
    world.status(Leap::Insert, false).unwrap();
    assert_eq!(world.status(Leap::Insert, false).err(), OK, "asked again on the same day");
    let armed = world.now.clock.wall.nanos();
    // A lie of ten years was followed on such a day, and armed one there: the true one now must not be refused until then.
    world.governor.record().leap_at = Some(WallTime::try_new(armed + 3_653 * DAY).unwrap());
    assert_eq!(world.status(Leap::Insert, false).err(), OK, "after a false future");
    // The next 30 June or 31 December is always 184 days away; a clock that was set back meets the rule.
    world.governor.record().leap_at = Some(WallTime::try_new(armed - 149 * DAY).unwrap());
    assert_eq!(world.status(Leap::Delete, false).err(), Some(Refusal::LeapTooSoon));
    world.governor.record().leap_at = Some(WallTime::try_new(armed - 150 * DAY).unwrap());
    assert_eq!(world.status(Leap::Delete, false).err(), OK);
    world.governor.terms.leap_seconds = false;
    assert_eq!(world.status(Leap::Delete, false).err(), Some(Refusal::LeapDate), "not configured");
}

#[test]
fn a163_the_kernels_own_leap_second_is_not_a_foreign_step() {
    // From 2027-06-30 23:59:30 on; the kernel inserts or deletes at midnight. Without an armed leap second it is a step
    // by another program.
    for (leap, moved, event) in [
        (Leap::Insert, -SECOND, None),
        (Leap::Delete, SECOND, None),
        (Leap::Insert, SECOND, Some(ClockEventKind::ForeignStep)),
        (Leap::None, -SECOND, Some(ClockEventKind::ForeignStep)),
    ] {
        let mut world = World::standard();
        world.now.clock.wall = WallTime::try_new(1_814_399_970 * SECOND).unwrap();
        world.adjust(0.0, 0, 0).unwrap();
        world.status(leap, true).unwrap();
        assert_eq!(world.pass(20 * SECOND), None);
        world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + moved).unwrap();
        assert_eq!(world.pass(20 * SECOND), event, "{leap:?} {moved}");
        assert_eq!(world.pass(20 * SECOND), None, "once: {leap:?} {moved}");
    }
}

#[test]
fn a135_a_claimed_suspend_or_foreign_step_needs_the_governors_own_evidence() {
    let mut world = World::standard();
    assert_eq!(world.step(StepReason::Resume, SECOND).err(), Some(Refusal::Evidence));
    assert_eq!(world.step(StepReason::Restore, SECOND).err(), Some(Refusal::Evidence));
}

#[test]
fn a160_a_foreign_step_is_seen_and_undone_towards_the_governors_own_line() {
    let mut world = World::standard();
    world.adjust(20.0, 0, 0).unwrap();
    world.pass(60 * SECOND);
    world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + HOUR).unwrap();
    assert_eq!(world.pass(SECOND), Some(ClockEventKind::ForeignStep));
    assert_eq!(world.governor.epoch(), 2);
    assert_eq!(world.pass(SECOND), None, "said once: orders that follow must not be stale");
    assert_eq!(world.governor.epoch(), 2);
    world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + HOUR).unwrap();
    assert_eq!(world.pass(SECOND), Some(ClockEventKind::ForeignStep), "a second one is another");
    world.pass(10 * SECOND);
    for beside in [-HOUR, -2 * HOUR - SECOND / 2 - 1, -2 * HOUR + SECOND / 2 + 1] {
        assert_eq!(world.step(StepReason::Restore, beside).err(), Some(Refusal::Evidence), "{beside}");
    }
    assert_eq!(world.step(StepReason::Restore, -2 * HOUR).err(), OK);
    assert_eq!(world.pass(SECOND), None);
    assert_eq!(world.step(StepReason::Restore, SECOND / 10).err(), Some(Refusal::Evidence), "once");
}

#[test]
fn a161_a_suspend_is_seen_and_its_step_is_judged_at_its_limits() {
    for (profile, limit, count) in [(Profile::Standard, 10 * SECOND, 4), (Profile::Strict, 2 * SECOND, 2)] {
        let mut world = World::of(profile);
        let nap = |world: &mut World, millis: i64| {
            let nanos = millis * 1_000_000;
            world.now.boot = booted(world.now.boot, nanos);
            world.now.asleep = world.now.asleep.plus(Span::saturating(nanos));
            world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + nanos).unwrap();
            world.pass(SECOND)
        };
        let sleep = |world: &mut World, seconds: i64| nap(world, seconds * 1_000);
        assert_eq!(nap(&mut world, 900), None);
        assert_eq!(world.step(StepReason::Resume, SECOND).err(), Some(Refusal::Evidence));
        assert_eq!(sleep(&mut world, 1), Some(ClockEventKind::Resume));
        assert_eq!(world.step(StepReason::Resume, limit + 1).err(), Some(Refusal::RunStep));
        assert_eq!(world.step(StepReason::Resume, limit).err(), OK);
        assert_eq!(world.step(StepReason::Resume, 1).err(), Some(Refusal::Evidence), "one for each");
        for _ in 1..count {
            sleep(&mut world, 100);
            world.step(StepReason::Resume, limit).unwrap();
        }
        sleep(&mut world, 100);
        assert_eq!(world.step(StepReason::Resume, limit).err(), Some(Refusal::TooSoon));
        assert_eq!(world.step(StepReason::Resume, 1_000).err(), Some(Refusal::TooSoon), "all together");
        // It comes back, and many small ones are as lawful as few large ones.
        world.pass_under_orders(25 * HOUR, 0.0);
        let most = limit * count;
        for _ in 0..40 {
            sleep(&mut world, 2);
            world.step(StepReason::Resume, most / 40).unwrap();
            world.pass(SECOND);
        }
        sleep(&mut world, 2);
        world.pass(SECOND);
        assert_eq!(world.step(StepReason::Resume, 1_000).err(), Some(Refusal::TooSoon));
        world.restart(BOOT, profile);
        sleep(&mut world, 2);
        assert_eq!(
            world.step(StepReason::Resume, 1_000).err(),
            Some(Refusal::TooSoon),
            "a restart refills nothing"
        );
    }
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
fn a143_neither_a_reboot_nor_another_profile_refunds() {
    let mut world = World::of(Profile::Strict);
    world.governor.record().hours[0] = 500_000;
    world.governor.record().days[0] = 500_000;
    assert_eq!(world.governor.budget_left().nanos(), 0);
    world.restart(BOOT, Profile::Standard);
    assert_eq!(world.governor.budget_left().nanos(), 1_500_000_000, "what was spent stays spent");
    world.restart(BOOT, Profile::Strict);
    assert_eq!(world.governor.budget_left().nanos(), 0);
    // A boot a year later earns a day's credit in the standard profile, none in the strict one.
    world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + 365 * DAY).unwrap();
    world.restart([3; 16], Profile::Strict);
    assert_eq!(world.governor.budget_left().nanos(), 0);
    world.restart([4; 16], Profile::Standard);
    assert_eq!(
        world.governor.budget_left().nanos(),
        1_500_000_000,
        "a day is not yet out of the window of 25 hours"
    );
    assert_eq!(world.governor.start_steps(&world.now), 3);
}

#[test]
fn a165_a_lost_record_leaves_nothing_to_spend() {
    let now = moment(100 * SECOND, today());
    let record = spent(limits::of(Profile::Standard), &now);
    let mut world = World {
        governor: Governor::new(terms(Profile::Standard), record, BOOT, now),
        now,
        base: Frequency::ZERO,
    };
    assert_eq!(world.governor.budget_left().nanos(), 0);
    assert_eq!(world.step(StepReason::Start, SECOND).err(), Some(Refusal::StartWindow));
    assert_eq!(world.step(StepReason::Run, SECOND / 10).err(), Some(Refusal::TooSoon));
    assert_eq!(world.adjust(0.0, 100_000_000, 6).err(), Some(Refusal::Budget));
    assert_eq!(world.adjust(10.0, 100_000, 4).err(), OK, "the frequency is still kept");
    assert_eq!(world.adjust(201.0, 0, 0).err(), Some(Refusal::Band), "and there is no search again");
}

#[test]
fn a165_after_a_lost_record_budgets_are_earned_back_in_a_day_and_in_thirty() {
    for profile in [Profile::Standard, Profile::Strict] {
        let mut world = World::of(profile);
        let limits = limits::of(profile);
        let now = world.now;
        let record = spent(limits, &now);
        world.governor = Governor::new(terms(profile), record, BOOT, now);
        let spend = |world: &mut World| {
            let left = world.governor.budget_left().nanos();
            budget::charge(world.governor.record(), Span::saturating(left));
            left
        };
        world.pass(DAY - SECOND);
        assert_eq!(spend(&mut world), 0, "on day 0");
        world.pass(SECOND);
        assert_eq!(spend(&mut world), limits.phase_day.nanos(), "on day 1");
        world.pass(DAY);
        assert_eq!(spend(&mut world), 0, "a day is not yet out of the window of 25 hours");
        world.pass(HOUR);
        assert_eq!(spend(&mut world), limits.phase_day.nanos(), "on day 2");
        let mut spent = 2 * limits.phase_day.nanos();
        for _ in 3..28 {
            world.pass(25 * HOUR);
            spent += spend(&mut world);
        }
        assert_eq!(spent, limits.phase_month.nanos() - limits.phase_day.nanos(), "in the first 30 days");
        world.pass(2 * DAY);
        assert_eq!(spend(&mut world), limits.phase_day.nanos(), "after 30 days");
    }
}

#[test]
fn a165_after_a_lost_record_a_foreign_step_is_undone_as_well_as_it_is_measured() {
    let mut world = World::standard();
    let now = world.now;
    let record = spent(limits::of(Profile::Standard), &now);
    world.governor = Governor::new(terms(Profile::Standard), record, BOOT, now);
    for (day, beside) in [
        (0, limits::RESTORE_FREE.nanos()),
        (0, -limits::RESTORE_FREE.nanos()),
        (1, 2_000_000),
        (2, 2_000_000),
    ] {
        world.pass(day * DAY + 60 * SECOND);
        world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() + HOUR).unwrap();
        assert_eq!(world.pass(SECOND), Some(ClockEventKind::ForeignStep));
        let dear = limits::RESTORE_FREE.nanos() + 1;
        if day == 0 {
            assert_eq!(
                world.step(StepReason::Restore, dear - HOUR).err(),
                Some(Refusal::Budget),
                "day {day}"
            );
        }
        let charged = world.step(StepReason::Restore, beside - HOUR).map(|grant| grant.charged.nanos());
        assert_eq!(charged, Ok(if day == 0 { 0 } else { beside }), "day {day}");
    }
}

#[test]
fn an_operators_leave_counts_once_in_a_boot_and_never_before_the_build() {
    let mut world = World::standard();
    world.pass(10 * DAY);
    world.adjust(0.0, 0, 0).unwrap();
    world.status(Leap::None, true).unwrap();
    world.pass_under_orders(DAY + HOUR, 0.0);
    let approve = |world: &mut World, boot: [u8; 16]| {
        let record = Record::from_octets(&world.governor.record().to_octets()).unwrap();
        world.governor = Governor::new(
            Terms { approved_step: Some(Span::saturating(2 * DAY)), ..terms(Profile::Standard) },
            record,
            boot,
            world.now,
        );
    };
    // The last good time was a lie: two days back is below its floor, and the operator says so.
    assert_eq!(world.step(StepReason::Start, -2 * DAY).err(), Some(Refusal::Floor));
    approve(&mut world, BOOT);
    assert_eq!(world.governor.floor(), limits::BUILD_TIME);
    assert_eq!(world.governor.start_steps(&world.now), 1, "the window is long closed");
    let before_the_build = limits::BUILD_TIME.nanos() - 1 - world.now.clock.wall.nanos();
    assert_eq!(world.step(StepReason::Run, before_the_build).err(), Some(Refusal::Floor));
    assert_eq!(world.step(StepReason::Run, -2 * DAY).err(), OK);
    assert!(world.governor.floor() < world.now.clock.wall, "the floor has followed");
    world.pass(HOUR);
    assert_eq!(world.step(StepReason::Run, -2 * DAY).err(), Some(Refusal::Floor));
    // Restarted with the same words by a service manager: that was the one use.
    approve(&mut world, BOOT);
    assert_eq!(world.step(StepReason::Run, -2 * DAY).err(), Some(Refusal::Floor));
    approve(&mut world, [9; 16]);
    world.pass(HOUR);
    assert_eq!(world.step(StepReason::Run, -2 * DAY).err(), OK, "another boot, another word");
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
