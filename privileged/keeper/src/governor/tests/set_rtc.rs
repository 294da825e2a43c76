//! An RTC that was set, by the kernel or by another program, is no evidence of a pause.

use super::pause::Machine;
use super::*;

#[test]
fn a135_the_time_that_an_engine_has_brought_about_never_becomes_evidence_through_the_rtc() {
    // The engine sets the clock an hour ahead, the kernel sets the RTC to it, whenever it may.
    for moment in 0..4 {
        let mut machine = Machine::new(Profile::Standard);
        assert_eq!(machine.world.step(StepReason::Start, HOUR).err(), OK);
        for second in 0..4 {
            if second == moment {
                machine.rtc = machine.world.now.clock.wall.nanos() - SECOND / 2;
            }
            machine.run(2);
        }
        assert_eq!(machine.step(HOUR), Some(Refusal::Evidence), "{moment}");
        // And back, with an RTC that stays, and is set again right before another step.
        assert_eq!(machine.world.step(StepReason::Start, -900 * SECOND).err(), OK);
        machine.run(20);
        machine.rtc = machine.world.now.clock.wall.nanos();
        assert_eq!(machine.world.step(StepReason::Start, 900 * SECOND).err(), OK);
        machine.run(20);
        machine.rtc = machine.world.now.clock.wall.nanos();
        machine.run(20);
        assert_eq!(machine.step(900 * SECOND), Some(Refusal::Evidence), "{moment}");
    }
}

#[test]
fn a135_what_parts_the_clock_from_an_rtc_that_the_kernel_has_set_makes_no_evidence_of_it() {
    // Ahead of the RTC, by a step; the kernel sets the RTC to it; and soon before or after the next looks the clock moves on.
    type Parts = fn(&mut Machine);
    let step: Parts = |machine| {
        for seconds in [1, 5] {
            assert_eq!(machine.world.step(StepReason::Start, seconds * SECOND).err(), OK);
        }
    };
    let suspend: Parts = |machine| {
        machine.world.now.boot = booted(machine.world.now.boot, HOUR);
        machine.world.now.asleep = machine.world.now.asleep.plus(Span::saturating(HOUR));
        // The kernel rounds what it adds to the clock.
        machine.move_wall(HOUR - SECOND);
        machine.rtc += HOUR;
    };
    let leap: Parts = |machine| {
        machine.move_wall(-SECOND);
        let now = &machine.world.now;
        assert!(machine.world.governor.was_leap(now, Offset::saturating(-SECOND), Span::from_millis(5)));
    };
    for parts in [step, suspend, leap] {
        for looks in 0..4 {
            let mut machine = Machine::new(Profile::Standard);
            let to_midnight = DAY - machine.world.now.clock.wall.nanos().rem_euclid(DAY);
            assert_eq!(machine.world.step(StepReason::Start, to_midnight).err(), OK);
            machine.run(60);
            machine.world.governor.leap = Leap::Insert;
            machine.rtc = machine.world.now.clock.wall.nanos() - SECOND / 2;
            assert!(machine.run(2 * looks).is_empty());
            parts(&mut machine);
            assert!(machine.run(60).is_empty(), "after {looks} looks");
        }
    }
}

#[test]
fn a135_an_rtc_that_was_set_to_what_another_program_set_is_no_evidence_once_that_is_undone() {
    for by in [60 * SECOND, HOUR, DAY] {
        for (before, after) in [(0, 0), (1, 0), (3, 0), (0, 1), (1, 1), (7, 1)] {
            let mut machine = Machine::new(Profile::Standard);
            machine.move_wall(by);
            machine.world.pass(1_000_000);
            machine.run(2 * before);
            machine.rtc = machine.world.now.clock.wall.nanos() - SECOND / 2;
            machine.run(2 * after);
            assert_eq!(machine.world.step(StepReason::Restore, -by).err(), OK);
            assert!(machine.run(60).is_empty(), "{by} {before} {after}");
            assert_eq!(machine.step(by), Some(Refusal::Evidence), "{by} {before} {after}");
            // A true pause still shows.
            machine.rtc += 10 * SECOND;
            assert_eq!(machine.run(60).len(), 1, "{by} {before} {after}");
        }
    }
}

#[test]
fn a135_a_true_pause_right_after_the_kernel_has_set_the_rtc_makes_no_evidence_of_what_was_set() {
    for looks in 0..4 {
        for pause in [SECOND, 3 * SECOND, 60 * SECOND] {
            let mut machine = Machine::new(Profile::Standard);
            assert_eq!(machine.world.step(StepReason::Start, HOUR).err(), OK);
            machine.run(20);
            machine.rtc = machine.world.now.clock.wall.nanos() + SECOND / 2;
            assert!(machine.run(2 * looks).is_empty());
            machine.rtc += pause;
            let found = machine.run(60);
            assert!(
                found.iter().all(|found| *found <= pause + SECOND * 13 / 10),
                "{looks} {pause} {found:?}"
            );
            assert_eq!(machine.step(HOUR), Some(Refusal::Evidence), "{looks} {pause}");
        }
    }
}

#[test]
fn a135_more_steps_between_two_looks_than_can_be_noted_end_the_comparison() {
    let mut machine = Machine::new(Profile::Standard);
    machine.rtc += HOUR;
    for second in 1..20 {
        machine.move_wall(second * SECOND);
        machine.world.pass(1_000_000);
    }
    assert!(machine.run(60).is_empty());
    machine.rtc += HOUR;
    assert_eq!(machine.run(60).len(), 1, "and the next pause shows");
}
