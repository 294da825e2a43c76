//! Clocks that stood still, with the real governor: how soon the clock is right again, and what is said meanwhile.

use simulation::figures::{Figures, Standstill};
use simulation::scenario::{find, parse};
use simulation::table::Row;
use simulation::world::{World, run};

/// The first day of it; its goals are met, and no second after the first reply is outside the published interval.
fn holds(name: &str) -> Figures {
    let [scenario] = find(name).try_into().unwrap_or_else(|found: Vec<_>| panic!("{name}: {}", found.len()));
    let row = Row { figures: vec![run(&scenario, 1)], scenario };
    assert!(row.misses().is_empty(), "{}", row.line());
    let [figures] = row.figures.try_into().expect("it is one");
    figures
}

fn slowest(figures: &Figures, of: fn(&Standstill) -> f64) -> f64 {
    figures.standstills.iter().map(of).fold(0.0, f64::max)
}

#[test]
fn a161_once_a_reply_shows_that_the_counter_stood_still_the_published_interval_covers_it() {
    for name in [
        "still_0_05_once_none",
        "still_0_3_hourly_none",
        "still_3_once_none",
        "still_3_once_none_four",
        "still_3_hourly_none_four",
        "still_3_once_none_p10",
        "still_60_once_none",
        "still_3600_once_none",
    ] {
        holds(name);
    }
}

#[test]
fn a161_a_pause_that_the_rtc_shows_is_made_up_for_within_a_minute_of_the_first_reply() {
    for name in [
        "still_1_once_rtc",
        "still_3_once_rtc",
        "still_3_once_rtc_four",
        "still_3_once_rtc_p10",
        "still_3_once_rtc_strict",
        "still_3_hourly_rtc",
        "still_3_ten_rtc",
        "still_60_once_rtc",
    ] {
        let figures = holds(name);
        let late = slowest(&figures, |it| it.within_10_ms - it.shown);
        assert!(late < 60.0, "{name}: {late}");
    }
}

#[test]
fn a161_a_pause_that_vmclock_shows_costs_its_seconds_and_no_more() {
    for name in ["still_3_once_vm", "still_3_hourly_vm", "still_3600_once_vm"] {
        let late = slowest(&holds(name), |it| it.within_10_ms);
        assert!(late < 30.0, "{name}: {late}");
    }
}

#[test]
fn a161_ten_short_suspends_a_day_cost_milliseconds() {
    for name in ["slept_2_ten", "slept_8_ten", "slept_30_ten", "slept_8_ten_strict"] {
        let late = slowest(&holds(name), |it| it.within_10_ms);
        assert!(late < 10.0, "{name}: {late}");
    }
}

/// A host with one source, an RTC and vmclock if asked for, for which this happens.
fn world(machine: &str, events: &str) -> World {
    let text = format!("[[scenario]]\nname = \"still\"\n{machine}\ndays = 2\nevent = [{events}]");
    let [scenario] = parse(&text).unwrap().try_into().unwrap();
    World::new(&scenario, 1)
}

#[test]
fn a161_the_frequency_is_the_same_before_and_after_a_standstill() {
    for (machine, pause) in [("", 0.3), ("", 3.0), ("rtc = true", 3.0), ("vmclock = true", 60.0)] {
        let mut world = world(machine, &format!("{{ at = 43207, pause = {pause} }}"));
        world.run_until(43_200.0);
        let before = world.status().system.frequency_ppm;
        // As soon as it is known what happened, and no later.
        world.run_until(43_207.0 + pause + 300.0);
        let after = world.status().system.frequency_ppm;
        assert!((after - before).abs() < 0.3, "{machine} {pause}: {before} {after}");
    }
}

#[test]
fn a161_a_pause_of_which_nothing_tells_is_found_in_one_burst_of_queries() {
    let mut world = world("source = [{ count = 4 }]", "{ at = 43207, pause = 0.5 }");
    world.run_until(43_207.0);
    let offset = |world: &World| world.status().system.offset_s;
    while world.status().system.error_bound_s < 0.4 {
        assert!(world.age() < 43_600.0, "{:?}", world.status());
        world.run_until(world.age() + 0.1);
    }
    // The first reply has come, and the others are asked.
    world.run_until(world.age() + 2.0);
    assert!((offset(&world) - 0.5).abs() < 0.01, "{}", offset(&world));
}

#[test]
fn a022_one_of_four_that_steps_opens_the_interval_for_a_burst_of_queries_and_moves_nothing() {
    let mut world = world("source = [{ count = 4 }]", "{ at = 43207, source = 3, error = 0.5 }");
    world.run_until(43_207.0);
    let mut open = 0;
    while world.age() < 45_000.0 {
        open += i32::from(world.status().system.error_bound_s > 0.3);
        assert!(world.error().abs() < 2e-3, "{}", world.error());
        world.run_until(world.age() + 0.05);
    }
    assert!((1..=20).contains(&open), "{open} twentieths of a second");
}
