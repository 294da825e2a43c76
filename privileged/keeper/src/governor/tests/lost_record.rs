//! A record that is lost, of another boot, or of another profile.

use super::*;

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
