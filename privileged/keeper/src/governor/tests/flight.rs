//! Slews on a clock that is exactly the kernel's: what they move beyond the band is paid for.

use super::*;
use ipc::clock_page::ClockPage;

const MILLI: i64 = SECOND / 1_000;

/// A governor in front of the kernel's clock.
struct Kernel {
    governor: Governor,
    page: ClockPage,
    asleep: i64,
}

impl Kernel {
    /// After the commissioning of an oscillator at 0, at a whole second of the clock.
    fn of(profile: Profile) -> Self {
        let mut world = World::commissioned(profile, 0.0);
        let raw = world.now.clock.raw;
        let wall = WallTime::saturating((world.now.clock.wall.nanos() / SECOND + 1) * SECOND);
        world.now.clock.wall = wall;
        world.governor.line.wall = wall;
        Self { governor: world.governor, page: ClockPage::free_running(wall, raw), asleep: 0 }
    }

    fn now(&self) -> Moment {
        let clock = ClockReading {
            wall: self.page.wall,
            raw: self.page.since,
            frequency: self.page.frequency,
            slew_left: self.page.slew,
            tai: 0,
        };
        let asleep = Span::saturating(self.asleep);
        Moment { clock, boot: BootInstant::saturating(self.page.since.nanos() + self.asleep), asleep }
    }

    /// To a moment of the clock's second: so many milliseconds after the next whole one.
    fn pass_to(&mut self, millis: i64) {
        let whole = (self.page.wall.nanos() / SECOND + 1) * SECOND;
        for _ in 0..3 {
            let lacks = whole + millis * MILLI - self.page.wall.nanos();
            self.page = self.page.advanced_to(self.page.since.after(Span::saturating(lacks.max(0))));
        }
    }

    fn order(&self, ppm: f64, slew: i64, constant: u8) -> Adjust {
        Adjust {
            epoch: self.governor.epoch(),
            frequency: Frequency::saturating((ppm * 65_536.0) as i32),
            slew: Offset::saturating(slew),
            time_constant: TimeConstant::saturating(constant),
            asked_at: self.page.since,
        }
    }

    fn adjust(&mut self, ppm: f64, slew: i64, constant: u8) -> Result<Grant, Refusal> {
        let now = self.now();
        self.governor.observe(&now, false);
        let order = self.order(ppm, slew, constant);
        let grant = self.governor.judge_adjust(&order, &now).map_err(|refused| refused.code)?;
        self.governor.replaced(&now.clock).unwrap();
        self.page = self.page.adjusted(order.frequency, order.slew, order.time_constant);
        self.governor.applied(&self.now());
        Ok(grant)
    }

    /// Beside CLOCK_MONOTONIC_RAW since `start`, ns.
    fn moved_since(&self, start: &ClockPage) -> i64 {
        self.page.wall.minus(start.wall).nanos() - self.page.since.since(start.since).nanos()
    }
}

fn edge(profile: Profile) -> f64 {
    f64::from(limits::of(profile).band.scaled()) / 65_536.0
}

#[test]
fn a127_orders_on_both_sides_of_the_whole_second_gain_no_more_than_the_budget() {
    for profile in [Profile::Standard, Profile::Strict] {
        for constant in [0, 1, 4, 10] {
            for sign in [1.0, -1.0] {
                let mut world = Kernel::of(profile);
                let (start, edge) = (world.page, edge(profile) * sign);
                // At one edge of the band, with a slew over the whole width of it that is free there; and at the other
                // edge as soon as its part of a second is under way.
                let whole = ((2.0 * edge.abs() * 1_000.0) as i64) << (2 + constant);
                let slew = (whole - whole / 1_000).min(SECOND / 2) * sign as i64;
                let mut refused = 0;
                for _ in 0..86_400 / 2 {
                    world.pass_to(990);
                    refused += i64::from(world.adjust(-edge, slew, constant).is_err());
                    world.pass_to(5);
                    refused += i64::from(world.adjust(edge, 0, constant).is_err());
                }
                let of_base = edge.abs() * 86_400.0 * 1e-6;
                let beyond = world.moved_since(&start) as f64 * 1e-9 * sign - of_base;
                let budget = limits::of(profile).phase_day.nanos() as f64 * 1e-9;
                assert!(beyond <= budget * 1.001, "{profile:?} {constant} {sign}: {beyond} s of {budget}");
                assert!(refused > 0 || beyond < budget, "{profile:?} {constant} {sign}");
            }
        }
    }
}

#[test]
fn the_part_under_way_is_what_the_kernel_takes_out_first() {
    let mut world = Kernel::of(Profile::Standard);
    world.pass_to(500);
    // 99.9 ppm in the first second, from −50 to just inside the band.
    world.adjust(-50.0, 399_600, 0).unwrap();
    world.pass_to(10);
    let left = world.governor.budget_left().nanos();
    assert_eq!(world.now().clock.slew_left.nanos(), 299_700, "99.9 µs are under way");
    let start = world.page;
    let charged = world.adjust(50.0, 0, 0).unwrap().charged.nanos();
    world.pass_to(0);
    let beyond = world.moved_since(&start) - 50 * 990;
    assert!(beyond > 98_000 && charged >= beyond, "{beyond} moved, {charged} charged");
    assert!(left - world.governor.budget_left().nanos() >= beyond);
}

#[test]
fn a_second_replacement_in_the_same_second_forgets_neither_direction_of_what_is_under_way() {
    let mut world = Kernel::of(Profile::Standard);
    world.pass_to(500);
    world.adjust(49.0, -390_000, 0).unwrap();
    world.pass_to(10);
    // −97.5 ppm are under way; the slew that replaces this one is faster, in the other direction, and has not begun.
    assert_eq!(world.adjust(0.0, 199_000, 0).unwrap().charged.nanos() / 1_000, 47);
    world.pass_to(-900);
    let start = world.page;
    let charged = world.adjust(-50.0, 0, 0).unwrap().charged.nanos();
    world.pass_to(0);
    let beyond = -world.moved_since(&start) - 50 * 900;
    assert!(beyond > 80_000 && charged >= beyond, "{beyond} moved, {charged} charged");
}

#[test]
fn what_a_slew_moves_while_the_record_is_written_is_not_given_back() {
    let mut world = Kernel::of(Profile::Standard);
    world.pass_to(500);
    world.adjust(50.0, 1_600_000, 0).unwrap();
    world.pass_to(500);
    let before = world.governor.budget_left().nanos();
    let now = world.now();
    let order = world.order(0.0, 0, 0);
    let left = now.clock.slew_left.nanos();
    let grant = world.governor.judge_adjust(&order, &now).unwrap();
    // A slow disk: three more parts of the slew are taken out meanwhile.
    (0..3).for_each(|_| world.pass_to(500));
    let moved = left - world.now().clock.slew_left.nanos();
    assert!(moved > left / 2);
    world.governor.replaced(&world.now().clock).unwrap();
    let returned = world.governor.budget_left().nanos() + grant.charged.nanos() - before;
    assert!(returned <= left - moved && returned >= left - moved - 3_000, "{returned}");
}

#[test]
fn a127_a_disk_that_takes_seconds_buys_no_phase() {
    let mut world = Kernel::of(Profile::Strict);
    let limit = limits::of(Profile::Strict).phase_day.nanos();
    let edge = 20.0;
    let start = world.page;
    let (mut asked, mut granted) = (limit, 0);
    for _ in 0..300 {
        world.pass_to(500);
        let now = world.now();
        world.governor.observe(&now, false);
        let order = world.order(edge, asked, 4);
        if world.governor.judge_adjust(&order, &now).is_err() {
            asked = (asked * 9 / 10).max(1_000_000);
            continue;
        }
        // Writing the record takes seconds, in which the slew that is replaced goes on.
        (0..5).for_each(|_| world.pass_to(500));
        if world.governor.replaced(&world.now().clock).is_err() {
            world.governor.not_done();
            continue;
        }
        world.page = world.page.adjusted(order.frequency, order.slew, order.time_constant);
        world.governor.applied(&world.now());
        granted += 1;
    }
    let seconds = (world.page.since.nanos() - start.since.nanos()) as f64 * 1e-9;
    let beyond = world.moved_since(&start) - (edge * 1_000.0 * seconds) as i64;
    assert!(granted > 3 && beyond > limit / 2, "{granted} {beyond}");
    assert!(beyond <= limit + 1_000_000, "{beyond} of {limit}");
}

#[test]
fn a127_a_kill_while_the_record_is_written_buys_no_phase() {
    let mut world = Kernel::of(Profile::Standard);
    let spent =
        |record: &Record| -> i64 { record.hours.iter().map(|micros| i64::from(*micros) * 1_000).sum() };
    let before = spent(world.governor.record());
    world.pass_to(500);
    let start = world.page;
    world.adjust(0.0, SECOND * 9 / 20, 8).unwrap();
    let now = world.now();
    world.governor.observe(&now, false);
    let order = world.order(0.0, 0, 0);
    world.governor.judge_adjust(&order, &now).unwrap();
    // This is what the disk has; writing it takes a minute, and then the keeper is killed.
    let disk = Record::from_octets(&world.governor.record().to_octets()).unwrap();
    (0..60).for_each(|_| world.pass_to(500));
    world.governor.replaced(&world.now().clock).unwrap();
    world.page = world.page.adjusted(order.frequency, order.slew, order.time_constant);
    world.governor.applied(&world.now());
    let moved = world.moved_since(&start);
    assert!(moved > 20_000_000, "{moved}");
    let mut governor = Governor::new(terms(Profile::Standard), disk, BOOT, world.now());
    let charged = spent(governor.record()) - before;
    assert!(charged >= moved, "{charged} charged, {moved} moved");
    // Without a kill no more than what moved is spent.
    let charged = spent(world.governor.record()) - before;
    assert!(charged >= moved && charged <= moved + 2_000_000, "{charged} {moved}");
    assert_eq!(world.governor.record().reserved, Span::ZERO);
}

#[test]
fn a_charge_leaves_its_window_a_day_after_the_movement_and_not_after_the_order() {
    let mut world = Kernel::of(Profile::Standard);
    // 0.5 s at the slowest pace: a third of it has not moved after an hour and a quarter.
    world.pass_to(0);
    world.adjust(0.0, SECOND / 2, 10).unwrap();
    let look = |world: &mut Kernel, seconds: i64| {
        world.page = world.page.advanced_to(world.page.since.after(Span::from_secs(seconds)));
        let now = world.now();
        world.governor.observe(&now, false);
        world.governor.budget_left().nanos()
    };
    let hours = |record: &Record| record.hours.iter().filter(|hour| **hour > 0).count();
    for _ in 0..6 * 15 {
        assert!(look(&mut world, 240) <= 1_500_000_000, "what is reserved is not left");
    }
    assert!(hours(world.governor.record()) >= 6, "each part counts in the hour in which it moved");
    let moved = world.page.slew.nanos() - SECOND / 2;
    let spent: u32 = world.governor.record().hours.iter().sum();
    assert!(i64::from(spent) * 1_000 >= -moved);
}

#[test]
fn a_restart_does_not_forget_what_is_under_way() {
    let mut world = Kernel::of(Profile::Strict);
    world.pass_to(500);
    world.adjust(-20.0, 159_000, 0).unwrap();
    world.pass_to(10);
    let record = Record::from_octets(&world.governor.record().to_octets()).unwrap();
    world.page.slew = Offset::ZERO;
    world.governor = Governor::new(terms(Profile::Strict), record, BOOT, world.now());
    let start = world.page;
    let charged = world.adjust(20.0, 0, 0).unwrap().charged.nanos();
    world.pass_to(0);
    let beyond = world.moved_since(&start) - 20 * 990;
    assert!(beyond > 38_000 && charged >= beyond, "{beyond} moved, {charged} charged");
    // A second and a bit after a restart nothing is.
    let record = Record::from_octets(&world.governor.record().to_octets()).unwrap();
    world.governor = Governor::new(terms(Profile::Strict), record, BOOT, world.now());
    (0..2).for_each(|_| world.pass_to(500));
    assert_eq!(world.adjust(20.0, 0, 0).unwrap().charged.nanos(), 0);
}

#[test]
fn a128_a_slew_that_was_free_inside_a_wider_band_ends_with_it() {
    let mut world = World::standard();
    world.adjust(0.0, 0, 0).unwrap();
    world.pass_under_orders(limits::COMMISSIONING.nanos() - HOUR, 0.0);
    // 122 ppm, free inside ±200.
    assert_eq!(world.adjust(0.0, SECOND / 2, 10).unwrap().charged.nanos(), 0);
    let epoch = world.governor.epoch();
    world.now.clock.raw = world.now.clock.raw.after(Span::saturating(HOUR));
    world.now.boot = booted(world.now.boot, HOUR);
    world.now.clock.slew_left = Offset::saturating(SECOND / 2 - SECOND / 10);
    world.now.clock.wall = WallTime::saturating(world.now.clock.wall.nanos() + HOUR + SECOND / 10);
    assert_eq!(world.governor.observe(&world.now, false).map(|seen| seen.kind), None);
    assert_eq!(world.governor.bring_into_band(), Some(Frequency::ZERO));
    assert_eq!(world.governor.epoch(), epoch + 1);
    assert_eq!(world.governor.bring_into_band(), None, "once");
}

#[test]
fn a128_kills_right_before_a_write_do_not_keep_the_first_bands() {
    let mut world = World::standard();
    world.adjust(500.0, 0, 0).unwrap();
    let mut record = world.governor.record().clone();
    for _ in 0..6 {
        // Nothing of these ten minutes is on the disk.
        world.pass(WRITE.nanos());
        world.take_up(record, BOOT, Profile::Standard);
        record = world.governor.record().clone();
    }
    assert!(!world.governor.is_searching());
}

#[test]
fn a128_a_base_frequency_that_a_kill_kept_from_the_disk_is_judged_by_the_band() {
    for ppm in [950.0, -950.0] {
        let mut world = World::standard();
        world.adjust(0.0, 0, 0).unwrap();
        for _ in 0..59 {
            world.pass(60 * SECOND);
            world.adjust(0.0, 0, 0).unwrap();
        }
        let written = world.governor.record().clone();
        // Lawful in the search; and before it is on the disk, the engine falls silent, and the service manager kills the keeper.
        world.adjust(ppm, 0, 0).unwrap();
        world.pass(60 * SECOND);
        world.take_up(written, BOOT, Profile::Standard);
        assert!(!world.governor.is_searching());
        let edge = world.governor.bring_into_band().expect("what is in force is outside the band");
        // Around 0, or around the mean of an hour of which it had a minute.
        assert!((200..=204).contains(&(edge.scaled() / Frequency::PER_PPM).abs()), "{edge:?}");
        world.base = edge;
        for _ in 0..10 {
            assert_eq!(world.pass(60 * SECOND), None, "nobody else has moved the clock");
        }
    }
}
