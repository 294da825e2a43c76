//! Reference clocks among servers: followed by the same rules, told of, and believed no more than others.

use super::world::*;
use crate::io::Input;
use crate::notice::{Notice, SourceNotice};
use crate::settings::{ReferenceClock, SourceSettings};
use crate::status::SourceReason;
use crate::violation::Violation;
use ipc::message::refclock::{ClockSample, Discarded};
use ipc::process::Process;
use ipc::units::{Leap, RawInstant, WallTime};

const GPS: ReferenceClock = ReferenceClock::of(0, *b"GPS\0");

fn entry(clock: ReferenceClock) -> SourceSettings {
    let settings = SourceSettings::of("GPS".into(), clock.place());
    SourceSettings { min_poll: 4, max_poll: 4, refclock: Some(clock), ..settings }
}

/// Servers, and a reference clock behind them.
fn world(servers: usize, clock: SourceSettings) -> World {
    let mut setup = Setup::of(lan(servers));
    setup.settings.sources.push(clock);
    setup.start()
}

/// A sample of what the clock says now, `error` seconds ahead of true time.
fn sample(world: &World, error: f64) -> ClockSample {
    let now = world.raw_at(world.time);
    let utc = WallTime::saturating(world.time + (error * 1e9) as i64);
    ClockSample { device: 0, read: now, at: now, utc, is_pulse: false, leap: Leap::None }
}

/// The clock speaks once a second.
fn speak(world: &mut World, seconds: u32, error: f64) {
    for _ in 0..seconds {
        world.run(1.0);
        let sample = sample(world, error);
        world.give(Input::Clock(sample));
    }
}

fn reason(world: &World) -> SourceReason {
    world.status().sources.iter().find(|source| source.name == "GPS").unwrap().reason
}

fn is_falseticker(world: &World) -> bool {
    matches!(reason(world), SourceReason::Falseticker { .. })
}

fn is_followed(world: &World) -> bool {
    matches!(reason(world), SourceReason::Survivor { .. } | SourceReason::Reference { .. })
}

fn told(world: &World, is_it: impl Fn(&SourceNotice) -> bool) -> bool {
    world.notices.iter().any(|notice| matches!(notice, Notice::Source(_, _, news) if is_it(news)))
}

#[test]
fn a_clock_alone_is_followed_and_its_name_and_stratum_are_served() {
    let mut setup = Setup::of(std::vec![]);
    setup.settings.sources.push(entry(GPS));
    setup.error = 0.004;
    let mut world = setup.start();
    speak(&mut world, 240, 0.0);
    assert!(world.error().abs() < 20e-6, "{}", world.error());
    let served = world.served.last().unwrap();
    assert_eq!((served.stratum, served.reference_id), (1, u32::from_be_bytes(*b"GPS\0")));
    assert!(served.root_dispersion.nanos() > 0);
    assert!(told(&world, |news| *news == SourceNotice::Heard));
}

#[test]
fn a231_a_clock_that_contradicts_most_servers_is_a_falseticker_and_changes_nothing() {
    let mut world = world(3, entry(GPS));
    speak(&mut world, 300, 0.5);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert!(is_falseticker(&world), "{:?}", reason(&world));
}

#[test]
fn a231_a_clock_that_jumps_is_left_and_said_to_have_jumped() {
    let mut world = world(3, entry(GPS));
    speak(&mut world, 300, 0.0);
    assert!(is_followed(&world), "{:?}", reason(&world));
    speak(&mut world, 300, -30.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert!(told(&world, |news| *news == SourceNotice::Restarted));
    assert!(is_falseticker(&world), "{:?}", reason(&world));
}

#[test]
fn a232_a_clock_that_falls_silent_is_told_of_and_no_longer_followed() {
    let mut world = world(3, entry(GPS));
    speak(&mut world, 300, 0.0);
    world.run(400.0);
    assert!(told(&world, |news| *news == SourceNotice::ClockSilent));
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    speak(&mut world, 200, 0.0);
    assert!(is_followed(&world), "{:?}", reason(&world));
}

#[test]
fn a233_samples_before_the_floor_from_the_future_or_of_no_clock_have_no_effect() {
    let mut world = world(3, entry(GPS));
    world.run(60.0);
    let lawful = sample(&world, 0.0);
    for _ in 0..100 {
        world.run(1.0);
        let old = ClockSample { utc: WallTime::saturating(FLOOR - 1), ..sample(&world, 0.0) };
        world.give(Input::Clock(old));
        world.give(Input::Clock(ClockSample { utc: WallTime::MAX, ..sample(&world, 0.0) }));
        world.give(Input::Clock(ClockSample { device: 3, ..sample(&world, 9.0) }));
    }
    assert!(!told(&world, |news| *news == SourceNotice::Restarted));
    assert_eq!(world.distrust, None);
    let counts =
        Discarded { device: 0, at: lawful.at, malformed: 7, untimely: 0, unsynchronised: 9, excess: 1 };
    world.give(Input::ClockDiscarded(counts));
    assert!(told(&world, |news| *news == SourceNotice::ClockDiscarded(counts)));
    let later = RawInstant::saturating(world.now().raw.nanos() + 1);
    world.give(Input::Clock(ClockSample { read: later, ..lawful }));
    assert_eq!(world.distrust, Some((Process::Refclock, Violation::SampleOfTheFuture)));
}

#[test]
fn a234_pulses_are_numbered_by_the_time_that_is_followed_and_by_none_before() {
    let mut alone = Setup::of(std::vec![]);
    alone.settings.sources.push(entry(GPS));
    let pulse = |world: &World, error: f64| {
        // Which second it is, it does not know: it says one long ago.
        let utc = WallTime::saturating(world.time + (error * 1e9) as i64 - 86_400 * SECOND);
        ClockSample { utc, is_pulse: true, ..sample(world, 0.0) }
    };
    let mut alone = alone.start();
    for _ in 0..100 {
        alone.run(1.0);
        let sample = pulse(&alone, 0.0);
        alone.give(Input::Clock(sample));
    }
    assert!(!told(&alone, |news| *news == SourceNotice::Heard), "nothing says which second it is");
    let mut world = world(3, entry(GPS));
    for _ in 0..300 {
        world.run(1.0);
        let sample = pulse(&world, 0.0);
        world.give(Input::Clock(sample));
    }
    assert!(is_followed(&world), "{:?}", reason(&world));
    assert!(world.error().abs() < 100e-6, "{}", world.error());
}

#[test]
fn a_clock_that_is_only_measured_changes_no_order() {
    let mut with = world(3, SourceSettings { noselect: true, ..entry(GPS) });
    let mut without = Setup::of(lan(3)).start();
    for _ in 0..300 {
        with.run(1.0);
        without.run(1.0);
        let sample = sample(&with, 0.2);
        with.give(Input::Clock(sample));
    }
    assert_eq!(with.adjusts, without.adjusts);
    assert!(told(&with, |news| *news == SourceNotice::Heard));
}
