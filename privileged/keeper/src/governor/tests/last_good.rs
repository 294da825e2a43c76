//! The last good time, and the floor below which it lets no step lead.

use super::*;

/// Marks the clock synchronised, and keeps it so under orders.
fn keep(world: &mut World, nanos: i64) {
    world.adjust(0.0, 0, 0).unwrap();
    world.status(Leap::None, true).unwrap();
    for _ in 0..nanos / HOUR {
        world.pass(HOUR);
        world.adjust(0.0, 0, 0).unwrap();
    }
    world.pass(nanos % HOUR);
}

/// The machine was off for this long; its clock shows `wall` then.
fn reboot(world: &mut World, boot: u8, wall: i64) {
    world.now.clock.wall = WallTime::try_new(wall).unwrap();
    world.base = Frequency::ZERO;
    world.restart([boot; 16], Profile::Standard);
}

fn good(world: &mut World) -> i64 {
    world.governor.record().last_good.nanos()
}

#[test]
fn a021_a_time_that_was_kept_for_a_day_raises_the_floor_to_an_hour_before_it() {
    let mut world = World::standard();
    world.pass(10 * DAY);
    let begin = world.now.clock.wall.nanos();
    keep(&mut world, DAY);
    assert_eq!(world.governor.floor(), limits::BUILD_TIME, "not for a claim");
    keep(&mut world, HOUR);
    assert_eq!(world.governor.floor().nanos(), begin + DAY, "as far as it was kept");
    keep(&mut world, 5 * HOUR);
    assert_eq!(world.governor.floor().nanos(), begin + DAY + 5 * HOUR, "and from then on with the time");
    let wall = world.now.clock.wall.nanos();
    reboot(&mut world, 2, wall);
    assert_eq!(world.governor.floor().nanos(), wall - HOUR, "also in the next boot");
    assert_eq!(world.step(StepReason::Start, -HOUR - 1).err(), Some(Refusal::Floor));
}

#[test]
fn only_time_that_is_marked_synchronised_under_orders_counts() {
    let mut world = World::standard();
    keep(&mut world, DAY + HOUR);
    let before = good(&mut world);
    world.status(Leap::None, false).unwrap();
    world.pass_under_orders(DAY, 0.0);
    assert_eq!(good(&mut world), before, "not synchronised");
    world.status(Leap::None, true).unwrap();
    world.pass(10 * DAY);
    assert_eq!(good(&mut world), before, "no orders");
}

#[test]
fn a026_an_hour_in_the_future_and_a_reboot_leave_an_honest_host_its_time() {
    let mut world = World::standard();
    world.pass(10 * DAY);
    keep(&mut world, 2 * DAY);
    let before = good(&mut world);
    world.restart([2; 16], Profile::Standard);
    // All that a hostile engine can do to a date, and claims of it without end.
    for days in [3_000, 1, 1] {
        world.step(StepReason::Start, days * DAY).unwrap();
        world.pass(10 * SECOND);
    }
    for _ in 0..23 {
        keep(&mut world, HOUR);
    }
    let raised = good(&mut world) - before;
    assert!(raised <= DAY + HOUR, "{raised}");
    let honest = before + 2 * DAY;
    reboot(&mut world, 3, honest);
    assert!(world.governor.floor().nanos() < honest, "the true time is above the floor");
    assert_eq!(world.step(StepReason::Start, SECOND).err(), OK);
    keep(&mut world, 2 * DAY);
    assert!((honest..honest + 3 * DAY).contains(&good(&mut world)), "and the good time follows it");
}

#[test]
fn a_day_in_the_future_raises_the_floor_until_an_operator_lowers_it() {
    let mut world = World::standard();
    let begin = world.now.clock.wall.nanos();
    world.step(StepReason::Start, 1_000 * DAY).unwrap();
    keep(&mut world, 2 * DAY);
    assert!(good(&mut world) > begin + 1_000 * DAY);
    reboot(&mut world, 2, begin + 2 * DAY);
    // The way up is the only one.
    assert_eq!(world.step(StepReason::Start, SECOND).err(), Some(Refusal::Floor));
    world.governor.terms.approved_step = Some(Span::saturating(DAY));
    assert_eq!(world.step(StepReason::Start, SECOND).err(), OK);
    assert_eq!(good(&mut world), world.now.clock.wall.nanos());
    assert!(world.governor.record().kept.is_none());
}

#[test]
fn a_host_that_is_off_most_of_the_day_falls_behind_by_days_and_no_more() {
    let mut world = World::standard();
    world.pass(10 * DAY);
    for boot in 0..60 {
        keep(&mut world, 8 * HOUR);
        let wall = world.now.clock.wall.nanos();
        if boot > 6 {
            let behind = wall - good(&mut world);
            assert!(behind <= 6 * DAY, "boot {boot}: {} h", behind / HOUR);
        }
        reboot(&mut world, 100 + boot, wall + 16 * HOUR);
    }
}

#[test]
fn a_clock_that_is_set_back_is_not_good_at_the_later_time() {
    let mut world = World::standard();
    world.pass(10 * DAY);
    keep(&mut world, 23 * HOUR);
    // By another program; the engine accepts it.
    world.now.clock.wall = WallTime::try_new(world.now.clock.wall.nanos() - 2 * HOUR).unwrap();
    assert_eq!(world.pass(SECOND), Some(ClockEventKind::ForeignStep));
    let wall = world.now.clock.wall.nanos();
    keep(&mut world, 2 * HOUR);
    assert!(good(&mut world) <= wall + 2 * HOUR);
}
