//! Clocks that others move, with the real governor: what is undone, and when.

use engine_core::notice::{ClockNotice, Notice, SystemNotice};
use engine_core::status::SystemReason;
use ipc::message::privileged::Refusal;
use simulation::scenario::parse;
use simulation::world::World;

/// A synchronised host with an RTC, and these events.
fn world(events: &str) -> World {
    bare("rtc = true\nsource = [{ count = 3, kind = \"lan\" }]", events)
}

fn bare(machine: &str, events: &str) -> World {
    let text = format!(
        r#"
        [[scenario]]
        name = "disturbed"
        {machine}
        days = 4
        event = [{events}]
        "#
    );
    let [scenario] = parse(&text).unwrap().try_into().unwrap();
    World::new(&scenario, 1)
}

fn is_right(world: &World) -> bool {
    world.error().abs() < 1e-3 && world.status().system.synchronised
}

#[test]
fn a160_a_clock_that_others_set_over_and_over_is_right_a_minute_after_the_last_time() {
    let events: Vec<String> =
        (0..7).map(|time| format!("{{ at = {}, meddle = 2.0 }}", 3_600 + 5 * time)).collect();
    let mut world = world(&events.join(", "));
    world.run_until(3_599.0);
    assert!(is_right(&world));
    world.run_until(3_630.0 + 62.0);
    assert!(world.refused().contains(&Refusal::TooSoon), "{:?}", world.refused());
    assert!(is_right(&world), "{}", world.error());
    let told = |notice: &Notice| matches!(notice, Notice::Clock(ClockNotice::Refused(..)));
    assert!(world.notices.iter().filter(|(_, notice)| told(notice)).count() <= 2, "{:?}", world.notices);
    // It cost nothing of the budget: the same is possible without end.
    world.run_until(86_400.0);
    assert!(is_right(&world));
}

fn count(world: &World, of: impl Fn(&ClockNotice) -> bool) -> usize {
    let fits = |notice: &Notice| matches!(notice, Notice::Clock(notice) if of(notice));
    world.notices.iter().filter(|(_, notice)| fits(notice)).count()
}

/// An oscillator that is so far off, ppm, and nothing else.
fn far_off(ppm: i32, strict: bool) -> World {
    let machine =
        format!("frequency-ppm = {ppm}\nstrict = {strict}\nsource = [{{ count = 3, kind = \"lan\" }}]");
    bare(&machine, "")
}

#[test]
fn an_oscillator_beyond_what_the_governor_grants_is_said_at_once_and_never_called_synchronised() {
    let runs_away = |notice: &ClockNotice| matches!(notice, ClockNotice::Slewing(it) if it.is_runaway());
    let is_told = |notice: &ClockNotice, strict| matches!(notice, ClockNotice::Slewing(it) if it.short.is_some_and(|short| short.is_strict == strict));
    // Beyond the search by more than a slew makes up for, in both profiles and directions.
    for (ppm, strict) in [(1_500, false), (-1_500, false), (700, true), (-400, true)] {
        let mut world = far_off(ppm, strict);
        world.run_until(600.0);
        // Twice at most: what the first measurements say of it changes by much. Later, refusals repeat it.
        assert!((1..=2).contains(&count(&world, runs_away)), "{:?}", world.notices);
        assert!(count(&world, |notice| is_told(notice, strict)) >= 1, "{:?}", world.notices);
        for hour in 1..24 {
            assert!(!world.status().system.synchronised, "{ppm} {strict}: {} s off", world.error());
            assert!(
                matches!(world.status().system.reason, SystemReason::Correcting { slewing: Some(it), .. } if it.is_runaway()),
                "{:?}",
                world.status().system.reason
            );
            world.run_until(f64::from(hour) * 3_600.0);
        }
    }
}

#[test]
fn an_oscillator_within_what_the_governor_grants_is_as_good_as_any_other_over_a_restart_and_a_boot() {
    for ppm in [-985, -700, -501, 500, 700, 985] {
        let mut world = bare(
            &format!("frequency-ppm = {ppm}\nsource = [{{ count = 3, kind = \"lan\" }}]"),
            "{ at = 7200, restart = true }, { at = 14400, reboot = 300.0 }, { at = 90000, reboot = 60.0 }",
        );
        for at in [300.0, 7_190.0, 7_260.0, 14_390.0, 14_760.0, 89_990.0, 90_120.0, 180_000.0] {
            world.run_until(at);
            assert!(
                is_right(&world),
                "{ppm} ppm, {at} s: {} {:?}",
                world.error(),
                world.status().system.reason
            );
        }
        assert_eq!(world.refused(), [], "{ppm} ppm: {:?}", world.notices);
    }
}

#[test]
fn a160_a_step_of_another_program_that_the_sources_confirm_is_kept() {
    // The machine was paused for a minute, and an agent sets its clock right.
    for (late, pause) in [(0.5, 60.0), (1.0, 60.0), (2.0, 3_600.0), (2.0, 3.0 * 86_400.0)] {
        let begin = 3_600.0 + pause;
        let at = begin + late;
        let mut world =
            world(&format!("{{ at = 3600, pause = {pause} }}, {{ at = {at}, meddle = {pause} }}"));
        world.run_until(at + 0.03);
        assert!(!world.status().system.synchronised, "until the sources have answered");
        world.run_until(at + 5.0);
        assert!(is_right(&world), "{pause}: {}", world.error());
        assert_eq!(
            count(&world, |notice| matches!(notice, ClockNotice::Kept(_, 3))),
            1,
            "{:?}",
            world.notices
        );
        let steps = world.steps();
        world.run_until(at + 1_800.0);
        assert!(is_right(&world) && world.steps() == steps, "{pause}: {}", world.error());
    }
}

#[test]
fn a160_an_agent_is_believed_soon_after_a_start_as_well() {
    for begin in [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 20.0, 33.0, 64.0, 100.0, 200.0, 500.0] {
        for (pause, late) in [(60.0, 0.2), (60.0, 1.0), (60.0, 3.0), (3_600.0, 1.0)] {
            let at = begin + pause + late;
            let mut world =
                world(&format!("{{ at = {begin}, pause = {pause} }}, {{ at = {at}, meddle = {pause} }}"));
            world.run_until(at + 12.0);
            let error = world.error();
            assert!(error.abs() < 0.01, "{begin} {pause} {late}: {error} {:?}", world.notices);
        }
    }
}

#[test]
fn a160_an_agent_that_sets_a_wrong_time_is_overruled_by_the_hardware_clock() {
    // It takes the pause for longer, or shorter, than it was.
    for (pause, moved) in [(46.0, 60.0), (60.0, 46.0), (3_600.0, 7_200.0)] {
        for begin in [100.0, 3_600.0] {
            let at = begin + pause + 0.5;
            let mut world =
                world(&format!("{{ at = {begin}, pause = {pause} }}, {{ at = {at}, meddle = {moved} }}"));
            world.run_until(at + 45.0);
            let error = world.error();
            assert!(error.abs() < 0.01, "{begin} {pause} {moved}: {error} {:?}", world.notices);
        }
    }
}

#[test]
fn a160_a_step_of_another_program_that_the_sources_do_not_confirm_is_undone_within_seconds() {
    for moved in [-3.0, 3_600.0, -86_400.0, 0.3] {
        let mut world = world(&format!("{{ at = 3600, meddle = {moved} }}"));
        world.run_until(3_599.0);
        world.run_until(3_605.0);
        assert!(is_right(&world), "{moved}: {}", world.error());
        assert_eq!(count(&world, |notice| matches!(notice, ClockNotice::Kept(..))), 0);
    }
}

#[test]
fn a160_a_step_of_another_program_is_undone_without_sources_as_well() {
    let mut world = world("{ at = 3599, up = false }, { at = 3600, meddle = 60.0 }");
    world.run_until(3_608.0);
    assert!(!world.status().system.synchronised);
    world.run_until(3_612.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert_eq!(count(&world, |notice| matches!(notice, ClockNotice::Stepped(_))), 2, "{:?}", world.notices);
}

#[test]
fn a160_one_of_three_that_confirms_a_false_step_keeps_nothing() {
    let mut world = world("{ at = 3599.9, source = 0, error = 60 }, { at = 3600, meddle = 60.0 }");
    world.run_until(3_615.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a160_whoever_moves_the_clock_without_end_does_not_flood_the_sources() {
    let events: Vec<String> =
        (0..120).map(|time| format!("{{ at = {}, meddle = 0.7 }}", 3_600 + time)).collect();
    let mut world = world(&events.join(", "));
    world.run_until(3_600.0);
    let before: u64 = world.status().sources.iter().map(|source| source.sent).sum();
    world.run_until(3_720.0);
    let after: u64 = world.status().sources.iter().map(|source| source.sent).sum();
    assert!(after - before <= 3 * 40, "{}", after - before);
    world.run_until(3_720.0 + 62.0);
    assert!(is_right(&world), "{}", world.error());
}

fn pauses(world: &World) -> Vec<i64> {
    let size = |notice: &Notice| match notice {
        Notice::System(SystemNotice::Paused(size)) => Some(size.seconds()),
        _ => None,
    };
    world.notices.iter().filter_map(|(_, notice)| size(notice)).collect()
}

#[test]
fn a161_a_clock_that_stood_still_is_right_within_a_minute_of_the_resume_and_the_log_says_by_how_much() {
    for pause in [60, 3_600, 3 * 86_400] {
        let resumed = 3_607.0 + f64::from(pause);
        let mut world = world(&format!("{{ at = 3607, pause = {pause} }}"));
        world.run_until(resumed + 0.1);
        assert!(world.error() < 1.0 - f64::from(pause), "nothing else tells: {}", world.error());
        world.run_until(resumed + 30.0);
        assert!(is_right(&world), "{pause}: {} {:?}", world.error(), world.notices);
        let [told] = pauses(&world).try_into().unwrap();
        assert!((told - i64::from(pause)).abs() <= 1, "{told}");
        world.run_until(resumed + 3_600.0);
        assert!(is_right(&world) && pauses(&world).len() == 1, "{}", world.error());
    }
}

#[test]
fn a161_a_clock_that_stands_still_over_and_over_comes_right_whenever_a_step_is_left() {
    // Each half hour: twice as often as there are steps.
    let events: Vec<String> =
        (1..=48).map(|time| format!("{{ at = {}, pause = 60 }}", time * 1_800 + 60 * (time - 1))).collect();
    let mut world = world(&events.join(", "));
    for time in 1..=20 {
        world.run_until(f64::from(time * 1_860) + 60.0);
        assert!(is_right(&world), "{time}: {}", world.error());
    }
    world.run_until(48.0 * 1_860.0 + 60.0);
    assert!(world.refused().contains(&Refusal::TooSoon));
    assert!(!is_right(&world), "{}", world.error());
    let told = |notice: &ClockNotice| matches!(notice, ClockNotice::Refused(_, Refusal::TooSoon, _));
    assert!(count(&world, told) >= 1, "{:?}", world.notices);
    assert!(!world.status().system.synchronised);
    world.run_until(48.0 * 1_860.0 + 26.0 * 3_600.0);
    assert!(is_right(&world), "what the RTC has shown is not lost: {}", world.error());
    world.run_until(48.0 * 1_860.0 + 40.0 * 3_600.0);
    assert!(is_right(&world), "{}", world.error());
}

fn disruptions(world: &World) -> usize {
    world
        .notices
        .iter()
        .filter(|(_, notice)| matches!(notice, Notice::System(SystemNotice::Disrupted)))
        .count()
}

#[test]
fn a161_without_an_rtc_a_machine_that_was_restored_is_right_within_a_minute_where_its_hypervisor_tells_by_vmclock()
 {
    for (pause, source) in
        [(2, "lan"), (60, "wan"), (3_600, "lan"), (3 * 86_400, "wan"), (400 * 86_400, "lan")]
    {
        let sources = format!("source = [{{ count = 3, kind = \"{source}\" }}]");
        let resumed = 7_207.0 + f64::from(pause);
        let paused = |machine: &str| bare(machine, &format!("{{ at = 7207, pause = {pause} }}"));
        let mut world = paused(&sources);
        world.run_until(resumed + 0.1);
        assert!(world.error() < 1.0 - f64::from(pause), "nothing else tells: {}", world.error());
        let mut world = paused(&format!("vmclock = true\n{sources}"));
        world.run_until(resumed + 10.0);
        assert!(world.error().abs() < 0.01, "{pause}: {} {:?}", world.error(), world.notices);
        assert_eq!(disruptions(&world), 1, "{:?}", world.notices);
        world.run_until(resumed + 3_600.0);
        assert!(is_right(&world) && disruptions(&world) == 1, "{}", world.error());
        assert!(world.refused().is_empty(), "{:?}", world.refused());
    }
}

#[test]
fn a161_a_migration_that_cost_no_time_costs_nothing_but_the_questions() {
    let machine = "vmclock = true\nsource = [{ count = 3, kind = \"lan\" }]";
    let mut world = bare(machine, "{ at = 7207, pause = 0.001 }, { at = 14407, pause = 60 }");
    world.run_until(7_250.0);
    assert!(is_right(&world) && disruptions(&world) == 1, "{} {:?}", world.error(), world.notices);
    let steps = world.steps();
    // The next one is not taken for it.
    world.run_until(14_467.0 + 45.0);
    assert!(world.error().abs() < 0.01 && world.steps() == steps + 1, "{}", world.error());
    assert!(world.refused().is_empty(), "{:?}", world.refused());
}

#[test]
fn a161_a_machine_that_is_migrated_over_and_over_stays_synchronised() {
    let machine = "vmclock = true\nsource = [{ count = 3, kind = \"lan\" }]";
    let events: Vec<String> =
        (0..400).map(|time| format!("{{ at = {}, pause = 0.000001 }}", 7_200 + 20 * time)).collect();
    let mut world = bare(machine, &events.join(", "));
    world.run_until(15_300.0);
    assert!(is_right(&world) && disruptions(&world) <= 7, "{} {}", world.error(), disruptions(&world));
    assert!(world.status().system.synchronised);
}

#[test]
fn a161_without_an_rtc_the_operators_leave_makes_up_for_a_pause_within_two_polls() {
    for (pause, source) in [(60, "lan"), (3_600, "lan"), (3 * 86_400, "lan"), (60, "wan"), (3_600, "wan")] {
        let machine = format!("forward = 300000.0\nsource = [{{ count = 3, kind = \"{source}\" }}]");
        let resumed = 7_207.0 + f64::from(pause);
        let mut world = bare(&machine, &format!("{{ at = 7207, pause = {pause} }}"));
        world.run_until(resumed + 0.1);
        assert!(world.error() < 1.0 - f64::from(pause));
        let longest = world.status().sources.iter().map(|source| source.poll).max().unwrap();
        world.run_until(resumed + 2.0 * f64::from(1 << longest));
        assert!(world.error().abs() < 0.01, "{pause}: {} {:?}", world.error(), world.notices);
        let told = count(&world, |notice| matches!(notice, ClockNotice::SteppedForward(_)));
        assert_eq!(told, 1, "{:?}", world.notices);
        world.run_until(resumed + 7_200.0);
        assert!(is_right(&world) && world.refused().iter().all(|row| *row == Refusal::Evidence));
    }
}

#[test]
fn a024_one_source_that_is_ahead_moves_no_clock_that_the_operator_allows_to_be_stepped() {
    let machine = "forward = 300000.0\nsource = [{ count = 3, kind = \"lan\" }]";
    let mut world = bare(machine, "{ at = 7207, source = 0, error = 60.0 }");
    world.run_until(86_400.0);
    assert!(is_right(&world), "{}", world.error());
    assert_eq!(count(&world, |notice| matches!(notice, ClockNotice::SteppedForward(_))), 0);
}

#[test]
fn a161_more_than_the_operator_allows_is_not_stepped() {
    let machine = "forward = 30.0\nsource = [{ count = 3, kind = \"lan\" }]";
    let mut world = bare(machine, "{ at = 7207, pause = 60 }, { at = 14467, pause = 20 }");
    world.run_until(14_000.0);
    assert!(world.error() < -58.0 && world.steps() == 1, "{}", world.error());
    assert!(!world.refused().contains(&Refusal::Forward), "{:?}", world.refused());
}

#[test]
fn a161_without_an_rtc_and_without_leave_the_log_and_status_say_that_the_clock_is_behind_and_what_helps() {
    let mut world = bare("source = [{ count = 3, kind = \"lan\" }]", "{ at = 7207, pause = 60 }");
    world.run_until(7_267.0 + 512.0);
    let said = |notice: &ClockNotice| matches!(notice, ClockNotice::Slewing(slewing) if slewing.is_unallowed);
    assert_eq!(count(&world, said), 1, "{:?}", world.notices);
    let is_said = |world: &World| match world.status().system.reason {
        SystemReason::Correcting { slewing: Some(slewing), .. } => {
            slewing.is_unallowed && (slewing.offset + world.error()).abs() < 0.1
        }
        _ => false,
    };
    assert!(is_said(&world), "{:?}", world.status().system.reason);
    // It is not said over and over, and the clock comes nearer.
    world.run_until(7_267.0 + 2.0 * 86_400.0);
    assert!(world.error() > -59.0 && world.error() < -20.0 && is_said(&world), "{}", world.error());
    assert!(count(&world, said) <= 4, "{:?}", world.notices);
    assert_eq!(world.steps(), 1);
}
