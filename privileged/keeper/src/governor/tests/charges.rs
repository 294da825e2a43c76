//! What adjustments and run steps cost, and what is given back.

use super::*;

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
