//! Pauses of the machine, as the RTC shows them.

use super::*;

/// A machine whose RTC shows true time, or is set to something else.
pub(super) struct Machine {
    pub(super) world: World,
    /// What the RTC shows, ns since 1970.
    pub(super) rtc: i64,
}

impl Machine {
    pub(super) fn new(profile: Profile) -> Self {
        let mut machine = Self { world: World::of(profile), rtc: today() + 300_000_000 };
        machine.world.adjust(0.0, 0, 0).unwrap();
        machine.run(60);
        machine
    }

    pub(super) fn look(&mut self) -> Option<i64> {
        let now = &self.world.now;
        self.world.governor.look_at_rtc(self.rtc / SECOND, now, now.boot).map(|size| size.nanos())
    }

    /// Seconds, with a look each 2 s; the sizes of the pauses that were found.
    pub(super) fn run(&mut self, seconds: i64) -> Vec<i64> {
        let mut found = Vec::new();
        for _ in 0..seconds / 2 {
            self.world.pass(2 * SECOND);
            self.rtc += 2 * SECOND;
            found.extend(self.look());
        }
        found
    }

    pub(super) fn step(&mut self, delta: i64) -> Option<Refusal> {
        self.world.pass(SECOND);
        self.rtc += SECOND;
        self.world.step(StepReason::Pause, delta).err()
    }

    pub(super) fn move_wall(&mut self, by: i64) {
        let wall = self.world.now.clock.wall.nanos() + by;
        self.world.now.clock.wall = WallTime::try_new(wall).unwrap();
    }
}

#[test]
fn a161_a_pause_that_the_rtc_shows_gives_one_step_of_its_size() {
    for pause in [4 * SECOND, 60 * SECOND, HOUR, 3 * DAY] {
        let mut machine = Machine::new(Profile::Standard);
        assert_eq!(machine.step(pause), Some(Refusal::Evidence), "before it");
        machine.rtc += pause;
        let epoch = machine.world.governor.epoch();
        let [found] = machine.run(10).try_into().unwrap();
        assert!((found - pause).abs() <= SECOND, "{found}");
        assert_eq!(machine.world.governor.epoch(), epoch + 1);
        assert!(machine.step(-found).is_some());
        let wrong = found + 2 * SECOND + 1;
        assert_eq!(machine.step(wrong), Some(Refusal::Evidence), "{wrong} of {found}");
        assert_eq!(machine.step(pause), OK);
        assert_eq!(machine.step(pause), Some(Refusal::Evidence), "once");
    }
}

#[test]
fn a161_evidence_of_a_pause_counts_for_an_hour() {
    for (seconds, expected) in [(3_580, OK), (3_610, Some(Refusal::Evidence))] {
        let mut machine = Machine::new(Profile::Standard);
        machine.rtc += HOUR;
        machine.run(seconds);
        assert_eq!(machine.step(HOUR), expected, "{seconds}");
    }
}

#[test]
fn a161_a_second_pause_before_the_step_adds_to_the_first() {
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += 60 * SECOND;
    machine.run(10);
    machine.rtc += 30 * SECOND;
    machine.run(2);
    machine.rtc += 10 * SECOND;
    machine.run(10);
    assert_eq!(machine.step(100 * SECOND), OK);
}

/// A machine that is looked at as the keeper does it: where the RTC's next second says most, whatever else wakes it.
struct Watched {
    machine: Machine,
    /// The engine's heartbeats, ns apart, and when the next one comes.
    heartbeat: i64,
    beats_at: i64,
}

impl Watched {
    /// `phase`: where in a second the RTC is when the clock is at its beginning, ns.
    fn new(phase: i64) -> Self {
        // As under the shipped unit.
        Self::with_heartbeat(phase, 10 * SECOND)
    }

    fn with_heartbeat(phase: i64, heartbeat: i64) -> Self {
        let mut machine = Machine::new(Profile::Standard);
        machine.rtc += phase - 300_000_000;
        let beats_at = machine.world.now.boot.nanos();
        let mut watched = Self { machine, heartbeat, beats_at };
        watched.run(120);
        watched
    }

    fn run(&mut self, seconds: i64) -> Vec<i64> {
        let (end, mut found) = (self.machine.world.now.boot.nanos() + seconds * SECOND, Vec::new());
        while self.machine.world.now.boot.nanos() < end {
            let Machine { world, rtc } = &mut self.machine;
            let now = world.now.boot;
            while self.beats_at <= now.nanos() {
                self.beats_at += self.heartbeat;
            }
            let wait = world.governor.rtc_look_in(now).nanos().min(self.beats_at - now.nanos());
            world.pass(wait);
            // The RTC of a machine is no better than its other clocks.
            *rtc += wait + wait / 10_000;
            if world.governor.is_rtc_due(world.now.boot) {
                found.extend(self.machine.look());
            }
        }
        found
    }
}

#[test]
fn a161_a_pause_of_a_second_is_evidence_wherever_in_a_second_the_rtc_is_looked_at() {
    for phase in (0..20).map(|part| part * SECOND / 20) {
        for pause in [SECOND, SECOND * 13 / 10, 2 * SECOND, 3 * SECOND] {
            // Half a second off, as the kernel may have set it; a second later it must not look as if it had been set again.
            let least = if pause == SECOND { -SECOND / 4 } else { -SECOND / 2 };
            let phase = (phase - SECOND / 2).max(least);
            let mut watched = Watched::new(phase);
            watched.machine.rtc += pause;
            let [found] =
                watched.run(60).try_into().unwrap_or_else(|found| panic!("{phase} {pause}: {found:?}"));
            assert!((found - pause).abs() < SECOND / 5, "{phase} {pause}: {found}");
            assert_eq!(watched.machine.step(pause), OK);
        }
    }
}

#[test]
fn a135_less_than_three_quarters_of_a_second_and_what_the_kernel_sets_is_no_evidence() {
    for phase in (0..20).map(|part| part * SECOND / 20) {
        let mut watched = Watched::new(phase);
        for little in [SECOND / 10, SECOND / 3, SECOND * 7 / 10, -SECOND * 2] {
            watched.machine.rtc += little;
            assert!(watched.run(60).is_empty(), "{phase} {little}");
        }
        // An RTC that the kernel sets each eleven minutes, half a second off or less, to a clock that is slewed as fast as may
        // be: to it, and not to true time.
        let mut watched = Watched::new(phase);
        for off in [0, SECOND / 2, -SECOND / 2, SECOND / 4, 0, SECOND / 2] {
            watched.machine.rtc = watched.machine.world.now.clock.wall.nanos() + off;
            assert!(watched.run(330).is_empty(), "{phase} {off}");
            watched.machine.rtc -= 330_000_000;
            assert!(watched.run(330).is_empty(), "{phase} {off}");
        }
    }
}

#[test]
fn a161_what_wakes_the_keeper_beside_its_looks_makes_them_no_worse() {
    for heartbeat in [SECOND * 7 / 10, 3 * SECOND, 10 * SECOND, 14 * SECOND] {
        for phase in (0..20).map(|part| part * SECOND / 20 - SECOND / 2) {
            let mut watched = Watched::with_heartbeat(phase, heartbeat);
            for pause in [SECOND * 13 / 10, SECOND * 2] {
                watched.machine.rtc += pause;
                let found = watched.run(60);
                assert!(
                    matches!(found[..], [found] if (found - pause).abs() < SECOND / 5),
                    "{heartbeat} {phase} {pause}: {found:?}"
                );
                assert_eq!(watched.machine.step(pause), OK);
                watched.run(60);
            }
        }
    }
}

#[test]
fn a_lead_that_is_known_well_needs_few_looks() {
    let mut watched = Watched::new(0);
    assert!(!watched.machine.world.governor.awaits_rtc());
    watched.machine.rtc += 60 * SECOND;
    let before = watched.machine.world.now.boot.nanos();
    while watched.run(1).is_empty() {}
    let took = watched.machine.world.now.boot.nanos() - before;
    assert!(took < 16 * SECOND + 3 * 3 * SECOND, "{took}");
}

#[test]
fn a161_an_rtc_that_is_set_or_wrong_is_no_evidence() {
    // By the kernel or by hwclock, to the steered clock, which it was far from before.
    for behind in [60 * SECOND, HOUR, DAY] {
        let mut machine = Machine::new(Profile::Standard);
        machine.rtc -= behind;
        assert!(machine.run(10).is_empty(), "back is nothing");
        for set in [-SECOND, -SECOND / 2, 0, SECOND / 2] {
            machine.rtc = machine.world.now.clock.wall.nanos() + set;
            assert!(machine.run(20).is_empty());
            assert_eq!(machine.step(behind), Some(Refusal::Evidence));
            machine.rtc -= behind;
            machine.run(20);
        }
    }
    // One that stops after it has jumped, jumps back, or runs too fast.
    for (at_once, each) in [(HOUR, -2 * SECOND), (0, 4 * SECOND), (HOUR, 2 * SECOND)] {
        let mut machine = Machine::new(Profile::Standard);
        machine.rtc += at_once;
        for _ in 0..100 {
            machine.rtc += each;
            assert!(machine.run(2).is_empty(), "{at_once} {each}");
        }
    }
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += HOUR;
    machine.run(2);
    machine.rtc -= HOUR;
    assert!(machine.run(20).is_empty());
}

#[test]
fn a161_a_short_pause_right_after_a_long_one_leaves_its_evidence() {
    for pause in [SECOND, SECOND * 17 / 10, 5 * SECOND] {
        for seconds in [2, 4] {
            let mut machine = Machine::new(Profile::Standard);
            machine.rtc += HOUR;
            machine.run(seconds);
            machine.rtc += pause;
            machine.run(60);
            assert_eq!(machine.step(HOUR), OK, "{pause} {seconds}");
        }
    }
}

#[test]
fn a161_a_suspend_is_not_counted_as_a_pause_as_well() {
    let mut machine = Machine::new(Profile::Standard);
    machine.world.now.boot = booted(machine.world.now.boot, HOUR);
    machine.world.now.asleep = machine.world.now.asleep.plus(Span::saturating(HOUR));
    machine.move_wall(HOUR);
    machine.rtc += HOUR;
    assert!(machine.run(20).is_empty());
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
}

#[test]
fn a161_what_an_agent_has_made_up_for_is_not_made_up_for_again() {
    // The agent comes after the RTC was looked at, and is accepted.
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += HOUR;
    machine.run(10);
    machine.move_wall(HOUR);
    machine.run(2);
    machine.world.adjust(0.0, 0, 0).unwrap();
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
    // It comes before.
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += HOUR;
    machine.move_wall(HOUR);
    assert!(machine.run(20).is_empty());
    // It is wrong, and not accepted: the step leads where the governor's line and the RTC say.
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += HOUR;
    machine.run(10);
    machine.move_wall(60 * SECOND);
    machine.run(2);
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
    assert_eq!(machine.step(HOUR - 60 * SECOND), OK);
    // It is accepted by a step of another kind.
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += HOUR;
    machine.run(10);
    machine.move_wall(HOUR);
    machine.run(2);
    assert_eq!(machine.world.step(StepReason::Start, 1).err(), OK);
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
    // It is accepted before the RTC, which is not set by the kernel, was looked at again.
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc -= 10 * SECOND;
    machine.run(10);
    machine.rtc += HOUR;
    machine.move_wall(HOUR);
    assert_eq!(machine.world.pass(1_000_000), Some(ClockEventKind::ForeignStep));
    machine.world.adjust(0.0, 0, 0).unwrap();
    assert!(machine.run(20).is_empty());
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
}

#[test]
fn a135_the_rounding_of_the_rtc_counts_once_however_many_pauses_there_are() {
    let mut machine = Machine::new(Profile::Standard);
    let (mut paused, mut found) = (0, 0);
    for _ in 0..90 {
        // A look right before the RTC's next second, and one right after it.
        let wait = 2 * SECOND + (SECOND * 95 / 100 - machine.rtc % SECOND).rem_euclid(SECOND);
        machine.world.pass(wait);
        machine.rtc += wait;
        machine.look();
        let pause = 4 * SECOND + SECOND * 6 / 100;
        machine.rtc += pause;
        paused += pause;
        found = machine.run(8).last().copied().unwrap_or(found);
    }
    assert!(found > paused - SECOND && found <= paused + SECOND, "{found} of {paused}");
}

#[test]
fn a161_steps_after_a_pause_are_counted_and_come_back() {
    for (profile, most) in [(Profile::Standard, 24), (Profile::Strict, 4)] {
        let mut machine = Machine::new(profile);
        for time in 0..=most {
            machine.run(4);
            machine.rtc += 60 * SECOND;
            machine.run(10);
            // Not a restart either.
            if time == most {
                assert_eq!(machine.step(60 * SECOND), Some(Refusal::TooSoon));
            } else {
                assert_eq!(machine.step(60 * SECOND), OK, "{time}");
            }
        }
        machine.world.restart(BOOT, profile);
        machine.run(10);
        machine.rtc += 60 * SECOND;
        machine.run(10);
        assert_eq!(machine.step(60 * SECOND), Some(Refusal::TooSoon), "a restart refills nothing");
        machine.world.pass_under_orders(25 * HOUR, 0.0);
        machine.rtc += 25 * HOUR;
        machine.run(10);
        machine.rtc += 60 * SECOND;
        machine.run(10);
        assert_eq!(machine.step(60 * SECOND), OK);
    }
}

#[test]
fn a161_an_adjustment_that_was_not_made_takes_no_evidence_away() {
    // An agent has made up for a part of it, and the order that would accept that cannot be recorded.
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += HOUR;
    machine.run(10);
    machine.move_wall(60 * SECOND);
    machine.run(2);
    let order = Adjust {
        epoch: machine.world.governor.epoch(),
        frequency: Frequency::ZERO,
        slew: Offset::ZERO,
        time_constant: TimeConstant::MIN,
        asked_at: machine.world.now.clock.raw,
    };
    machine.world.governor.judge_adjust(&order, &machine.world.now).unwrap();
    machine.world.governor.not_done();
    assert_eq!(machine.step(HOUR - 60 * SECOND), OK);
}

#[test]
fn a_step_that_was_not_made_takes_no_right_away() {
    let mut machine = Machine::new(Profile::Standard);
    machine.world.governor.terms.approved_step = None;
    machine.rtc += HOUR;
    machine.run(10);
    let order = |machine: &Machine, reason, delta| Step {
        epoch: machine.world.governor.epoch(),
        delta: Offset::saturating(delta),
        reason,
        asked_at: machine.world.now.clock.raw,
    };
    // The disk is full for some minutes.
    for reason in [StepReason::Pause, StepReason::Start] {
        for _ in 0..6 {
            machine.run(30);
            let step = order(&machine, reason, HOUR);
            assert!(machine.world.governor.judge_step(&step, &machine.world.now).is_ok(), "{reason:?}");
            machine.world.governor.not_done();
        }
    }
    // A restoring step, and one after a suspend.
    machine.move_wall(60 * SECOND);
    machine.run(2);
    for _ in 0..3 {
        let step = order(&machine, StepReason::Restore, -60 * SECOND);
        assert!(machine.world.governor.judge_step(&step, &machine.world.now).is_ok());
        machine.world.governor.not_done();
        machine.run(2);
    }
    machine.world.now.boot = booted(machine.world.now.boot, 20 * SECOND);
    machine.world.now.asleep = machine.world.now.asleep.plus(Span::saturating(20 * SECOND));
    machine.move_wall(20 * SECOND);
    machine.run(2);
    for _ in 0..6 {
        let step = order(&machine, StepReason::Resume, SECOND);
        assert!(machine.world.governor.judge_step(&step, &machine.world.now).is_ok());
        machine.world.governor.not_done();
        machine.run(2);
    }
}

#[test]
fn a135_a_step_forward_without_evidence_needs_the_operators_leave_and_is_counted() {
    let of = |forward_step: i64, profile| {
        let mut world = World::of(profile);
        world.governor.terms.forward_step =
            Span::from_secs(forward_step).min(limits::of(profile).forward_step);
        world.adjust(0.0, 0, 0).unwrap();
        world.pass(2 * SECOND);
        world
    };
    let forward = |world: &mut World, delta: i64| {
        world.pass(2 * SECOND);
        world.step(StepReason::Forward, delta).err()
    };
    for (leave, profile) in [(0, Profile::Standard), (86_400, Profile::Strict)] {
        let mut world = of(leave, profile);
        for delta in [1, SECOND, HOUR] {
            assert_eq!(forward(&mut world, delta), Some(Refusal::Forward));
        }
    }
    let mut world = of(3_600, Profile::Standard);
    for wrong in [-1, -SECOND, HOUR + 1, DAY] {
        assert_eq!(forward(&mut world, wrong), Some(Refusal::Forward), "{wrong}");
    }
    let left = world.governor.budget_left();
    for _ in 0..4 {
        assert_eq!(forward(&mut world, HOUR), OK);
    }
    assert_eq!(forward(&mut world, SECOND), Some(Refusal::TooSoon));
    world.restart(BOOT, Profile::Standard);
    assert_eq!(forward(&mut world, SECOND), Some(Refusal::TooSoon), "a restart refills nothing");
    assert!(world.governor.budget_left() >= left, "nothing is charged");
    world.pass_under_orders(25 * HOUR, 0.0);
    assert_eq!(forward(&mut world, HOUR), OK);
}

#[test]
fn a161_a_step_with_the_operators_leave_uses_up_what_the_rtc_shows() {
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += HOUR;
    machine.run(10);
    assert_eq!(machine.world.step(StepReason::Forward, HOUR).err(), OK);
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
}

#[test]
fn a161_evidence_for_which_no_step_is_left_is_kept_and_added_up_until_there_is_one() {
    for (profile, most) in [(Profile::Standard, 24), (Profile::Strict, 4)] {
        let mut machine = Machine::new(profile);
        for time in 0..most {
            machine.run(4);
            machine.rtc += 60 * SECOND;
            machine.run(10);
            assert_eq!(machine.step(60 * SECOND), OK, "{time}");
        }
        machine.run(4);
        for _ in 0..30 {
            machine.rtc += 10 * SECOND;
            machine.run(1_800);
        }
        assert_eq!(machine.step(300 * SECOND), Some(Refusal::TooSoon));
        machine.run(36_060);
        // Slews have made up for some of it meanwhile.
        assert_eq!(machine.step(303 * SECOND), Some(Refusal::Evidence));
        assert_eq!(machine.step(295 * SECOND), OK);
        assert_eq!(machine.step(10 * SECOND), Some(Refusal::Evidence), "once");
        machine.rtc += 60 * SECOND;
        machine.run(4_000);
        assert_eq!(
            machine.step(60 * SECOND),
            Some(Refusal::Evidence),
            "where there is a step, it counts for an hour"
        );
    }
}
