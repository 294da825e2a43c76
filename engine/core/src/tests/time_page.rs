//! The page from which programs compute the time: true at each moment until its end, whatever becomes of the engine.

use super::world::*;
use crate::io::{Command, Input, Now};
use ipc::message::privileged::ClockKind;
use ipc::units::{Span, WallTime};
use std::boxed::Box;
use truechimer_time::{Interval, SPANS, State, Unknown};

/// What a program computes now from the page that was written last.
fn said(world: &World) -> Result<Interval, Unknown> {
    let (_, page) = world.pages.last().ok_or(Unknown::NotWritten)?;
    let now = world.now();
    let (raw, wall) = (now.raw.nanos(), now.wall.nanos());
    if page.agrees(raw, wall, raw, 0) { page.at(raw) } else { Err(Unknown::Disrupted) }
}

/// Whether true time is in what a program computes, if it computes anything.
fn holds(world: &World) -> bool {
    said(world).is_ok_and(|it| it.earliest <= world.time && world.time <= it.latest)
}

fn kernel(servers: std::vec::Vec<Server>) -> World {
    Setup { kind: ClockKind::Kernel, ..Setup::of(servers) }.start()
}

#[test]
fn it_says_nothing_before_the_sources_agree_and_the_truth_afterwards() {
    for servers in [lan(1), lan(4), wan(3), nts_lan(3)] {
        let mut world = kernel(servers);
        assert!(said(&world).is_err());
        let mut known = 0;
        for _ in 0..7_200 {
            world.run(1.0);
            let Ok(interval) = said(&world) else { continue };
            assert!(holds(&world), "{interval:?} {}", world.time);
            assert!(interval.earliest <= interval.estimate && interval.estimate <= interval.latest);
            known += 1;
        }
        assert!(known > 7_150, "{known}");
        assert!(said(&world).unwrap().synchronised);
    }
}

#[test]
fn the_last_page_of_an_engine_that_is_gone_holds_until_its_end_and_not_beyond() {
    for (seed, jump) in [(1, 0.0), (2, 1.9e-6), (3, -1.9e-6)] {
        let mut world = Setup { kind: ClockKind::Kernel, seed, ..Setup::of(wan(4)) }.start();
        world.run(3_000.0);
        let (_, page) = *world.pages.last().unwrap();
        let (from, raw) = (world.time, world.now().raw.nanos());
        assert!(page.void_after - raw > 10_000 * SECOND);
        world.frequency += jump;
        let mut last_width = 0;
        for seconds in (0..=10_700).step_by(7) {
            // Nobody writes another one: the clock goes on, and true time with it.
            let elapsed = seconds * SECOND;
            let counted = raw + elapsed + (elapsed as f64 * world.frequency) as i64;
            if counted > page.void_after {
                break;
            }
            let interval = page.at(counted).unwrap();
            let truth = from + elapsed;
            assert!(interval.earliest <= truth && truth <= interval.latest, "{seconds} {interval:?} {truth}");
            assert!(interval.latest - interval.earliest >= last_width, "{seconds}");
            last_width = interval.latest - interval.earliest;
        }
        assert_eq!(page.at(page.void_after + 1), Err(Unknown::Expired));
    }
}

#[test]
fn it_is_never_narrower_than_what_the_engine_would_say_then() {
    let mut seen = 0;
    for seed in 0..6 {
        let mut world = Setup { kind: ClockKind::Kernel, seed, ..Setup::of(wan(3)) }.start();
        for age in [40.0, 300.0, 5_000.0] {
            world.run(age - world.age());
            // The engine's guards are of any age.
            world.servers.iter_mut().for_each(|server| server.up = seed % 2 == 0);
            let Now { raw, wall } = world.now();
            let page = world.engine.page(Now { raw, wall });
            if page.state == State::Unknown {
                continue;
            }
            seen += 1;
            let mut random = Random::new(seed);
            let mut spans: std::vec::Vec<i64> = SPANS.iter().map(|span| *span as i64).collect();
            spans.extend((0..400).map(|_| (random.uniform() * 10_800e9) as i64));
            spans.extend((0..400).map(|_| (random.uniform() * 64e9) as i64));
            for span in spans {
                let later = Now {
                    raw: raw.after(Span::saturating(span)),
                    wall: WallTime::saturating(wall.nanos() + span),
                };
                let bounds = world.engine.bounds(later).unwrap();
                let interval = page.at(later.raw.nanos()).unwrap();
                let low = (interval.earliest - later.wall.nanos()) as f64 * 1e-9;
                let high = (interval.latest - later.wall.nanos()) as f64 * 1e-9;
                assert!(
                    low <= bounds.low + 2e-9 && bounds.high <= high + 2e-9,
                    "{seed} {age} {span}: {low} {high} {bounds:?}"
                );
            }
        }
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn sources_that_fall_silent_leave_an_interval_and_those_that_contradict_each_other_none() {
    let mut world = kernel(lan(4));
    world.run(2_000.0);
    world.servers.iter_mut().for_each(|server| server.up = false);
    for _ in 0..5_000 {
        world.run(1.0);
        assert!(holds(&world));
    }
    assert!(!said(&world).unwrap().synchronised);
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.run(600.0);
    assert!(said(&world).unwrap().synchronised);
    world.servers[..2].iter_mut().for_each(|server| server.error = 5.0);
    world.run(600.0);
    assert_eq!(said(&world), Err(Unknown::NoTime));
    // And the way back.
    world.servers.iter_mut().for_each(|server| server.error = 0.0);
    world.run(1_200.0);
    assert!(said(&world).unwrap().synchronised && holds(&world));
}

#[test]
fn who_is_told_to_ask_nobody_is_synchronised_for_ten_polls_and_no_longer() {
    let mut world = kernel(lan(3));
    world.run(2_000.0);
    world.alter(|engine, now| engine.handle_input(now, Input::Command(Command::Offline(None))));
    assert!(said(&world).unwrap().synchronised);
    world.run(2_600.0);
    assert!(!said(&world).unwrap().synchronised && holds(&world));
    world.alter(|engine, now| engine.handle_input(now, Input::Command(Command::Online(None))));
    world.run(60.0);
    assert!(said(&world).unwrap().synchronised && holds(&world));
}

#[test]
fn a_machine_that_slept_or_whose_clock_was_set_says_nothing_until_a_source_has_answered() {
    let mut world = kernel(lan(3));
    world.run(2_000.0);
    world.sleep(3_600);
    assert_eq!(world.pages.last().unwrap().1.state, State::Disrupted);
    assert!(said(&world).is_err());
    let mut wrong = 0;
    for _ in 0..100 {
        world.run(1.0);
        wrong += u32::from(said(&world).is_ok() && !holds(&world));
    }
    assert_eq!(wrong, 0);
    assert!(said(&world).is_ok());
    // A time before it cannot be had from a page of afterwards.
    let (_, page) = world.pages.last().unwrap();
    assert_eq!(page.at(page.continuous_since - 1), Err(Unknown::TooEarly));

    world.meddle(-3.0);
    assert_eq!(world.pages.last().unwrap().1.state, State::Disrupted);
    for _ in 0..100 {
        world.run(1.0);
        assert!(said(&world).is_err() || holds(&world));
    }
    assert!(said(&world).is_ok());
}

#[test]
fn a_reader_notices_what_the_engine_was_not_told() {
    let mut world = kernel(lan(3));
    world.run(2_000.0);
    assert!(said(&world).is_ok());
    let before = world.page;
    for moved in [-1.0, -0.1, 0.1, 3_600.0] {
        let now = world.page.advanced_to(world.now().raw);
        world.page =
            now.set_to(now.wall.checked_add(ipc::units::Offset::saturating((moved * 1e9) as i64)).unwrap());
        assert_eq!(said(&world), Err(Unknown::Disrupted), "{moved}");
        world.page = before;
    }
    assert!(holds(&world));
}

#[test]
fn a_slew_and_a_step_of_the_daemon_disturb_no_reader() {
    for (error, kind) in [(0.09, ClockKind::Kernel), (3.0, ClockKind::Kernel), (0.3, ClockKind::Virtual)] {
        let mut setup = Setup { kind, ..Setup::of(lan(3)) };
        setup.error = error;
        let mut world = setup.start();
        world.run(20.0);
        let mut silent = 0;
        for _ in 0..4_000 {
            world.run(0.5);
            assert!(said(&world).is_err() || holds(&world));
            silent += u32::from(said(&world).is_err());
        }
        assert!(silent <= 2, "{error} {kind:?}: {silent}");
    }
}

#[test]
fn before_a_leap_second_the_page_ends_and_after_it_there_is_another() {
    let noon = (1_814_356_800 * SECOND - BEGIN) as f64 * 1e-9;
    let mut setup = Setup { kind: ClockKind::Kernel, error: noon, ..Setup::of(lan(3)) };
    for server in &mut setup.servers {
        server.error = noon;
        server.edit = Some(Box::new(|header| header.leap = ipc::units::Leap::Insert));
    }
    let mut world = setup.start();
    world.run(11.0 * 3_600.0);
    let (_, page) = *world.pages.last().unwrap();
    let midnight = (1_814_356_800 + 12 * 3_600) * SECOND;
    let last = page.at(page.void_after).unwrap();
    assert!(last.latest <= midnight, "{last:?}");
    assert!(last.latest > midnight - 2 * SECOND, "no earlier than needed");
    assert_eq!(page.at(page.void_after + 1), Err(Unknown::Expired));
    // The servers here have no leap second; what counts is that a new page was written, about the time after it alone.
    world.run(3_600.0 + 5.0);
    let (_, after) = *world.pages.last().unwrap();
    assert!(after.continuous_since > page.void_after && after.at(page.void_after).is_err());
}

#[test]
fn it_is_authenticated_if_all_is_that_it_rests_on() {
    let mark = |world: &World| said(world).unwrap().mark;
    let mut world = kernel(nts_lan(3));
    world.run(600.0);
    assert!(mark(&world).authenticated && mark(&world).sources == 3 && mark(&world).system_clock);
    // They are silent: what they said is what it rests on.
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run(3_000.0);
    assert!(mark(&world).authenticated);
    let mut mixed = nts_lan(2);
    mixed.extend(lan(5).into_iter().skip(2));
    let mut world = kernel(mixed);
    world.run(600.0);
    assert!(!mark(&world).authenticated && mark(&world).sources > 2);
    let mut world = kernel(lan(3));
    world.run(600.0);
    assert!(!mark(&world).authenticated);
}

#[test]
fn for_clockbound_a_page_is_renewed_within_a_minute_and_otherwise_only_where_there_is_news() {
    for clockbound in [false, true] {
        let mut setup = Setup { kind: ClockKind::Kernel, ..Setup::of(lan(1)) };
        setup.settings.clock.clockbound = clockbound;
        let mut world = setup.start();
        world.run(8_000.0);
        let recent = world.pages.iter().skip_while(|(at, _)| *at < BEGIN + 4_000 * SECOND);
        let times: std::vec::Vec<i64> = recent.map(|(at, _)| *at).collect();
        let longest = times.windows(2).map(|two| two[1] - two[0]).max().unwrap();
        assert_eq!(longest <= 51 * SECOND, clockbound, "{longest}");
        if !clockbound {
            // A poll, the order that follows, and its outcome.
            assert!(times.len() <= 4 * 4_000 / 64, "{}", times.len());
        }
    }
}

/// Whether a program is told nothing, or an interval that contains `truth`.
fn is_true_or_nothing(world: &World, truth: i64) -> bool {
    said(world).is_err() || said(world).is_ok_and(|it| it.earliest <= truth && truth <= it.latest)
}

#[test]
fn a_sleep_of_which_nobody_tells_is_not_forgotten_by_the_next_page() {
    for clockbound in [false, true] {
        let mut setup = Setup { kind: ClockKind::Kernel, ..Setup::of(nts_lan(1)) };
        setup.settings.clock.clockbound = clockbound;
        let mut world = setup.start();
        world.run(20_000.0);
        let asked = world.queries.len();
        while world.queries.len() == asked {
            world.run(0.5);
        }
        world.run(5.0);
        // 0.9 s: the raw clock stands still, the kernel puts CLOCK_REALTIME ahead; the governor says nothing below a second.
        let slept = 900_000_000;
        let now = world.page.advanced_to(world.now().raw);
        world.page = now.set_to(now.wall.checked_add(ipc::units::Offset::saturating(slept)).unwrap());
        world.servers.iter_mut().for_each(|server| server.error += 0.9);
        assert!(said(&world).is_err(), "the reader sees it");
        for second in 0..3_000 {
            world.run(1.0);
            assert!(
                is_true_or_nothing(&world, world.time + slept),
                "{clockbound} {second}: {:?}",
                said(&world)
            );
        }
        assert!(said(&world).is_ok(), "a source has answered");
    }
}

#[test]
fn a_leap_second_is_not_taken_for_past_before_it_is_whatever_the_path_is_like() {
    let noon = (1_814_356_800 * SECOND - BEGIN) as f64 * 1e-9;
    // 90 ms there and 10 ms back: the estimate is 40 ms ahead.
    let mut servers = lan(3);
    for server in &mut servers {
        server.fixed = 0.05;
        server.error = noon + 0.04;
        server.edit = Some(Box::new(|header| header.leap = ipc::units::Leap::Insert));
    }
    let mut world = Setup { kind: ClockKind::Kernel, error: noon, ..Setup::of(servers) }.start();
    world.run(12.0 * 3_600.0 - 10.0);
    let midnight = (1_814_356_800 + 12 * 3_600) * SECOND;
    let truth = |world: &World| world.time + libm::round(noon * 1e9) as i64;
    while truth(&world) < midnight {
        assert!(
            is_true_or_nothing(&world, truth(&world)),
            "{} before it: {:?}",
            midnight - truth(&world),
            said(&world)
        );
        world.run(0.002);
    }
}

#[test]
fn stamps_of_before_a_pause_that_only_the_sources_showed_are_too_early() {
    let mut world = kernel(lan(3));
    world.run(3_000.0);
    let (raw, truth) = (world.now().raw.nanos(), world.time);
    world.run(10.0);
    world.servers.iter_mut().for_each(|server| server.error += 7.0);
    world.run(600.0);
    let (_, page) = *world.pages.last().unwrap();
    let past = page.at(raw);
    assert!(past.is_err() || past.is_ok_and(|it| it.earliest <= truth && truth <= it.latest), "{past:?}");
    assert!(said(&world).is_ok());
}

#[test]
fn under_a_daemon_that_lives_no_page_expires() {
    let mut world = kernel(lan(3));
    world.run(3_000.0);
    world.servers.iter_mut().for_each(|server| server.up = false);
    for _ in 0..200 {
        world.run(200.0);
        assert!(said(&world).is_ok() && holds(&world), "{:?}", said(&world));
    }
}
