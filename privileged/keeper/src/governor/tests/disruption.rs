//! Migrations and restored states, as vmclock tells them.

use super::*;
use crate::governor::Marker;

struct Machine {
    world: World,
    marker: u64,
}

impl Machine {
    fn new(profile: Profile) -> Self {
        let mut machine = Self { world: World::of(profile), marker: 7 };
        assert!(!machine.look(), "the first marker is what later ones are compared with");
        machine.world.adjust(0.0, 0, 0).unwrap();
        assert!(!machine.run(60));
        machine
    }

    fn look(&mut self) -> bool {
        let marker = Marker { disruption: self.marker, generation: None };
        self.world.governor.look_at_vmclock(marker, &self.world.now)
    }

    /// Seconds, with a look each 10 s. True: a disruption was told.
    fn run(&mut self, seconds: i64) -> bool {
        let mut told = false;
        for _ in 0..seconds / 10 {
            self.world.pass(10 * SECOND);
            told |= self.look();
        }
        told
    }

    /// Migrated or restored: the hypervisor tells no more.
    fn disrupt(&mut self) -> bool {
        self.marker += 1;
        self.run(10)
    }

    fn step(&mut self, delta: i64) -> Option<Refusal> {
        self.world.pass(SECOND);
        self.world.step(StepReason::Pause, delta).err()
    }

    fn move_wall(&mut self, by: i64) {
        let wall = self.world.now.clock.wall.nanos() + by;
        self.world.now.clock.wall = WallTime::try_new(wall).unwrap();
    }
}

#[test]
fn a161_a_changed_marker_gives_one_step_forward_of_whatever_the_sources_say() {
    for pause in [SECOND / 2, 60 * SECOND, HOUR, 3 * DAY, 400 * DAY] {
        let mut machine = Machine::new(Profile::Standard);
        assert_eq!(machine.step(pause), Some(Refusal::Evidence), "before it");
        let epoch = machine.world.governor.epoch();
        assert!(machine.disrupt());
        assert_eq!(machine.world.governor.epoch(), epoch + 1, "what was ordered before it is void");
        assert!(machine.step(-pause).is_some(), "back");
        let left = machine.world.governor.budget_left();
        assert_eq!(machine.step(pause), OK, "{pause}");
        assert!(machine.world.governor.budget_left() >= left, "nothing is charged");
        assert_eq!(machine.step(pause), Some(Refusal::Evidence), "once");
        assert!(!machine.run(3_600));
        assert_eq!(machine.step(pause), Some(Refusal::Evidence));
    }
}

#[test]
fn a161_a_changed_marker_allows_the_strict_profile_no_more_than_a_start_does() {
    for (delta, expected) in
        [(16 * SECOND, OK), (16 * SECOND + 1, Some(Refusal::Evidence)), (HOUR, Some(Refusal::Evidence))]
    {
        let mut machine = Machine::new(Profile::Strict);
        assert!(machine.disrupt());
        assert_eq!(machine.step(delta), expected, "{delta}");
    }
}

#[test]
fn a135_a_marker_that_stays_or_was_changed_before_this_run_is_no_evidence() {
    let mut machine = Machine::new(Profile::Standard);
    assert!(!machine.run(600));
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
    // Neither what was not used before a restart nor what was changed meanwhile.
    assert!(machine.disrupt());
    machine.world.restart(BOOT, Profile::Standard);
    assert!(!machine.look());
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
    machine.marker += 1;
    machine.world.restart(BOOT, Profile::Standard);
    assert!(!machine.run(60));
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
    // A step that was not made takes it away no more than another.
    assert!(machine.disrupt());
    let order = Step {
        epoch: machine.world.governor.epoch(),
        delta: Offset::saturating(HOUR),
        reason: StepReason::Pause,
        asked_at: machine.world.now.clock.raw,
    };
    let grant = machine.world.governor.judge_step(&order, &machine.world.now).unwrap();
    assert!(grant.by_vmclock && grant.charged == Span::ZERO);
    machine.world.governor.not_done();
    assert_eq!(machine.step(HOUR), OK);
}

#[test]
fn a161_a_generation_that_changes_alone_counts_and_one_that_appears_does_not() {
    let mut world = World::of(Profile::Standard);
    let mut look = |disruption, generation| {
        world.pass(2 * SECOND);
        world.governor.look_at_vmclock(Marker { disruption, generation }, &world.now)
    };
    assert!(!look(1, None) && !look(1, Some(5)) && !look(1, Some(5)));
    assert!(look(1, Some(6)));
    assert!(!look(1, None) && look(2, None));
}

#[test]
fn a161_evidence_by_vmclock_counts_for_an_hour_or_until_there_is_a_step_for_it() {
    for (seconds, expected) in [(3_570, OK), (3_610, Some(Refusal::Evidence))] {
        let mut machine = Machine::new(Profile::Standard);
        assert!(machine.disrupt());
        machine.run(seconds);
        assert_eq!(machine.step(HOUR), expected, "{seconds}");
    }
    for (profile, most) in [(Profile::Standard, 24), (Profile::Strict, 4)] {
        let mut machine = Machine::new(profile);
        for time in 0..most {
            machine.disrupt();
            assert_eq!(machine.step(10 * SECOND), OK, "{time}");
        }
        machine.disrupt();
        assert_eq!(machine.step(10 * SECOND), Some(Refusal::TooSoon));
        machine.run(90_000);
        assert_eq!(machine.step(10 * SECOND), OK, "it was kept");
        assert_eq!(machine.step(10 * SECOND), Some(Refusal::Evidence), "once");
    }
}

#[test]
fn a161_what_an_agent_has_made_up_for_after_a_migration_is_not_made_up_for_again() {
    let mut machine = Machine::new(Profile::Standard);
    assert!(machine.disrupt());
    machine.move_wall(HOUR);
    assert_eq!(machine.world.pass(SECOND), Some(ClockEventKind::ForeignStep));
    machine.world.adjust(0.0, 0, 0).unwrap();
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
    // Nor is what a step of another kind has.
    let mut machine = Machine::new(Profile::Standard);
    assert!(machine.disrupt());
    assert_eq!(machine.world.step(StepReason::Start, HOUR).err(), OK);
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
    // One that has set it too far, and was not accepted: the step is counted from the governor's line.
    let mut machine = Machine::new(Profile::Strict);
    assert!(machine.disrupt());
    machine.move_wall(30 * SECOND);
    assert_eq!(machine.world.pass(SECOND), Some(ClockEventKind::ForeignStep));
    assert_eq!(machine.step(10 * SECOND), Some(Refusal::Evidence));
    assert_eq!(machine.step(-20 * SECOND), OK);
}

#[test]
fn a161_where_the_rtc_shows_the_pause_as_well_there_is_still_one_step() {
    let mut machine = Machine::new(Profile::Standard);
    let mut rtc = today() + 300_000_000;
    let mut look = |machine: &mut Machine, gained: i64| {
        machine.world.pass(2 * SECOND);
        rtc += 2 * SECOND + gained;
        let now = machine.world.now;
        machine.world.governor.look_at_rtc(rtc / SECOND, &now, now.boot)
    };
    look(&mut machine, 0);
    machine.marker += 1;
    look(&mut machine, HOUR);
    assert!(machine.look());
    // The RTC is not believed yet; the sources have answered.
    assert_eq!(machine.step(HOUR), OK);
    for _ in 0..5 {
        assert_eq!(look(&mut machine, 0), None);
    }
    assert_eq!(machine.step(HOUR), Some(Refusal::Evidence));
}

#[test]
fn a135_a_marker_that_changes_all_the_time_neither_keeps_the_engine_from_measuring_nor_gives_more_steps() {
    let mut machine = Machine::new(Profile::Standard);
    let (mut told, mut steps) = (0, 0);
    for _ in 0..8_640 {
        told += i32::from(machine.disrupt());
        steps += i32::from(machine.step(SECOND) == OK);
    }
    // It is 26.4 hours.
    assert!((26..=32).contains(&told), "{told}");
    assert!((24..=50).contains(&steps), "{steps}");
}

#[test]
fn a161_a_disruption_that_was_not_told_at_once_is_told_as_soon_as_one_may_be_and_gives_no_second_step() {
    let mut machine = Machine::new(Profile::Standard);
    let known = |machine: &Machine| machine.world.governor.marker() == Some(machine.marker);
    assert!(known(&machine));
    for _ in 0..4 {
        assert!(machine.disrupt() && known(&machine));
    }
    // Readers of the page know nothing from now on.
    assert!(!machine.disrupt() && !known(&machine));
    assert_eq!(machine.step(SECOND), OK);
    assert!(!machine.run(600) && !known(&machine));
    assert!(machine.run(3_600) && known(&machine));
    assert_eq!(machine.step(SECOND), Some(Refusal::Evidence));
    assert!(!machine.run(7_200));
}
