//! The band of the base frequency: what an honest host needs, and what a hostile engine gains.

use super::*;

const PPM: i32 = Frequency::PER_PPM;

/// Lowest and highest base frequency, ppm.
fn edges(world: &World) -> (f64, f64) {
    let Band { centre, width } = world.governor.band();
    let ppm = |scaled: i32| f64::from(scaled) / f64::from(PPM);
    (ppm(centre.scaled() - width.scaled()), ppm(centre.scaled() + width.scaled()))
}

/// An engine that wants `ppm`, and stays at the edge while it may not have it.
fn want(world: &mut World, ppm: f64) -> f64 {
    let (low, high) = edges(world);
    let base = ppm.clamp(low, high);
    world.adjust(base, 0, 0).unwrap();
    base
}

/// The same, with an order an hour, for so many days. Returns what the clock gained by its base frequency, s.
fn want_for(world: &mut World, days: i64, ppm: f64) -> f64 {
    let mut gained = 0.0;
    for _ in 0..days * 24 {
        gained += want(world, ppm) * 3_600e-6;
        world.pass(HOUR);
    }
    gained
}

/// Days under orders until an engine may have `ppm`.
fn days_until(world: &mut World, ppm: f64) -> i64 {
    let mut hours = 0;
    while want(world, ppm) != ppm {
        world.pass(HOUR);
        hours += 1;
        assert!(hours < 24 * 365, "never");
    }
    hours / 24
}

#[test]
fn a128_the_search_ends_after_an_hour_under_orders_and_the_band_takes_in_what_it_found() {
    let mut world = World::standard();
    // Without orders nothing is learnt, however long it takes.
    world.pass(30 * DAY);
    world.adjust(-950.0, 0, 0).unwrap();
    for _ in 0..60 {
        assert_eq!(edges(&world), (-1_000.0, 1_000.0));
        assert_eq!(world.adjust(-950.0, 0, 0).err(), OK);
        world.pass(60 * SECOND);
    }
    assert_eq!(edges(&world), (-1_000.0, 200.0), "1150 below, but never more than in the search");
    let mut world = World::standard();
    world.adjust(40.0, 0, 0).unwrap();
    world.pass(HOUR);
    assert_eq!(edges(&world), (-200.0, 240.0));
    assert_eq!(world.adjust(240.1, 0, 0).err(), Some(Refusal::Band));
    // Half of the days move nothing.
    want_for(&mut world, 7, 40.0);
    want_for(&mut world, 6, 500.0);
    assert_eq!(edges(&world).1.round(), 240.0);
    want_for(&mut world, 2, 40.0);
    let (low, high) = edges(&world);
    assert_eq!((low.round(), high.round()), (-10.0, 90.0), "after 14 days it is narrow");
}

#[test]
fn a128_creeping_stops_at_the_edge_of_the_band() {
    let mut world = World::commissioned(Profile::Standard, 0.0);
    let mut reached = 0.0f64;
    for day in 1..=15 {
        world.pass_under_orders(DAY, reached);
        let wish = f64::from(day) * 9.0;
        if world.adjust(wish, 0, 0).is_ok() {
            reached = wish;
        }
    }
    assert_eq!(reached, 45.0);
}

#[test]
fn an_hour_of_lies_at_the_birth_costs_an_honest_host_nothing_afterwards() {
    for (profile, lie) in [(Profile::Standard, -1_000.0), (Profile::Strict, -200.0)] {
        for days in [0, 3, 6] {
            let mut world = World::of(profile);
            world.adjust(lie, 0, 0).unwrap();
            world.pass(HOUR);
            want_for(&mut world, days, lie);
            assert_eq!(want(&mut world, 20.0), 20.0, "at once, after an hour and {days} days of {lie}");
            for _ in 0..60 {
                assert_eq!(want(&mut world, 20.0), 20.0);
                want_for(&mut world, 1, 20.0);
            }
            let (low, high) = edges(&world);
            assert_eq!(((low + high) / 2.0).round(), 20.0);
        }
    }
}

#[test]
fn a_record_that_a_hostile_engine_kept_for_a_month_comes_back_in_the_time_that_the_page_states() {
    // The median needs 16 days of 31 for each step of half the band: docs/governor.md has these numbers.
    for (profile, lie, days) in [(Profile::Standard, -1_000.0, 320), (Profile::Strict, -200.0, 160)] {
        let mut world = World::of(profile);
        want_for(&mut world, 30, lie);
        assert_eq!(days_until(&mut world, 20.0), days, "{profile:?}");
    }
}

#[test]
fn an_oscillator_of_any_rate_of_the_search_is_followed_in_all_phases() {
    for off in [300.0, -500.0, 700.0, -985.0] {
        let mut world = World::standard();
        for day in 0..60 {
            // It swings by 10 ppm and is 5 ppm off now and then.
            let ppm = off + f64::from(day % 7) * 3.0 - 10.0;
            assert_eq!(want(&mut world, ppm), ppm, "on day {day}");
            want_for(&mut world, 1, ppm);
        }
    }
    // Its slews are free of charge in the first days too.
    let mut world = World::standard();
    want_for(&mut world, 1, 300.0);
    assert_eq!(world.adjust(300.0, 3_000_000, 2).unwrap().charged.nanos(), 0, "487 ppm at most");
}

#[test]
fn a028_a_hostile_engine_walks_with_the_median_in_the_steps_that_the_page_states() {
    for (profile, first_day, month, walked) in
        [(Profile::Standard, 4.32, 190.1, 100.0), (Profile::Strict, 1.73, 76.0, 40.0)]
    {
        let mut world = World::commissioned(profile, 0.0);
        want_for(&mut world, 31, 0.0);
        let day = want_for(&mut world, 1, 1_000.0);
        assert!((day - first_day).abs() < 0.01, "{profile:?}: {day} s in a day");
        let rest = want_for(&mut world, 29, 1_000.0);
        assert!((day + rest - month).abs() < 0.5, "{profile:?}: {} s in 30 days", day + rest);
        assert_eq!(edges(&world).1.round(), walked, "{profile:?}");
    }
    // At the birth of a record there is nothing to hold on to.
    for (profile, month) in [(Profile::Standard, 2_592.0), (Profile::Strict, 518.4)] {
        let gained = want_for(&mut World::of(profile), 30, 1_000.0);
        assert!((gained - month).abs() < 1.0, "{profile:?}: {gained} s in 30 days");
    }
}

#[test]
fn a128_a_frequency_of_a_wider_band_does_not_outlive_it() {
    let mut world = World::standard();
    want_for(&mut world, 13, 0.0);
    world.adjust(200.0, 0, 0).unwrap();
    let epoch = world.governor.epoch();
    // No order any more, only time: the last one of the engine is at the edge of the band of the first days.
    world.applied_forever(DAY);
    let (_, high) = edges(&world);
    assert_eq!(high.round(), 50.0);
    assert_eq!(f64::from(world.base.scaled()) / f64::from(PPM), high);
    assert_eq!(world.governor.epoch(), epoch + 1, "orders from before are stale");
    assert_eq!(world.governor.bring_into_band(), None, "once");
}

#[test]
fn a143_a_base_frequency_outside_a_stricter_profiles_band_is_brought_to_its_edge() {
    for days in [1, 40] {
        let mut world = World::standard();
        want_for(&mut world, days, 300.0);
        world.restart(BOOT, Profile::Strict);
        // Before the keeper has done so: an order may move it towards the band, and nowhere else.
        assert_eq!(world.adjust(301.0, 0, 0).err(), Some(Refusal::Band));
        assert_eq!(world.adjust(-300.0, 0, 0).err(), Some(Refusal::Band));
        assert_eq!(world.adjust(300.0, 0, 0).err(), Some(Refusal::Band));
        assert_eq!(world.adjust(299.0, 2_000_000, 2).err(), Some(Refusal::Total), "125 ppm beside it");
        assert_eq!(world.adjust(299.0, 0, 0).err(), OK);
        let edge = world.governor.bring_into_band().unwrap();
        assert_eq!(edge.scaled(), 200 * PPM, "after {days} days");
        assert_eq!(world.governor.record().base, edge);
        world.base = edge;
        assert_eq!(world.pass(HOUR), None);
        assert_eq!(world.adjust(190.0, 0, 0).err(), OK);
    }
}

#[test]
fn a143_a_slew_has_room_beside_any_base_frequency_and_no_more_than_the_page_says() {
    // At constant 0 the first second takes a quarter.
    let slew = |ppm: f64| (ppm * 4_000.0) as i64;
    for (profile, base, most) in [
        (Profile::Standard, 1_000.0, 200.0),
        (Profile::Standard, 700.0, 200.0),
        (Profile::Standard, 250.0, 250.0),
        (Profile::Standard, 0.0, 500.0),
        (Profile::Standard, -1_000.0, 1_500.0),
        (Profile::Strict, 200.0, 100.0),
        (Profile::Strict, 50.0, 150.0),
        (Profile::Strict, -200.0, 400.0),
    ] {
        for sign in [1.0, -1.0] {
            let asked = |ppm: f64| World::of(profile).adjust(sign * base, sign as i64 * slew(ppm), 0).err();
            assert_eq!(asked(most - 0.1), OK, "{profile:?} {base} + {most}");
            assert_eq!(asked(most + 0.1), Some(Refusal::Total), "{profile:?} {base} + {most}");
        }
    }
}

#[test]
fn after_a_boot_the_clock_runs_at_the_frequency_with_which_it_was_found() {
    let mut world = World::standard();
    want_for(&mut world, 1, -985.0);
    let record = world.governor.record().base;
    // The kernel begins without a correction, and the sources are silent for ten minutes.
    world.base = Frequency::ZERO;
    world.restart([2; 16], Profile::Standard);
    for _ in 0..10 {
        assert_eq!(world.pass(60 * SECOND), None);
    }
    assert_eq!(world.governor.record().base, record, "it is still what the oscillator needed");
    assert_eq!(world.adjust(-985.0, 0, 0).err(), OK);
    assert_eq!(world.pass(HOUR), None);
}

#[test]
fn a_virtual_clocks_own_oscillator_is_no_step_of_another_program() {
    for (runs_by_itself, seen) in [(false, Some(ClockEventKind::ForeignStep)), (true, None)] {
        let mut world = World::standard();
        world.adjust(0.0, 0, 0).unwrap();
        if runs_by_itself {
            world.governor.runs_by_itself();
        }
        world.base = Frequency::saturating(1_500 * PPM);
        assert_eq!(world.pass(240 * SECOND), seen);
        world.base = Frequency::ZERO;
        world.now.clock.wall = world.now.clock.wall.moved_by(Offset::saturating(SECOND));
        assert_eq!(
            world.pass(240 * SECOND),
            Some(ClockEventKind::ForeignStep),
            "a second in four minutes is one"
        );
    }
}
