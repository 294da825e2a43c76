//! The course of the clock that is reported, beside what the world knows of it.

use super::world::*;
use crate::Engine;
use crate::chronicle::HistoryPoint;
use crate::io::{Command, Input, Now};
use proptest::prelude::*;
use report::HistorySpan;
use std::vec::Vec;

/// That points are in the order of time, finite, and no more than there may be.
pub fn is_in_order(engine: &Engine, now: Now) -> Result<(), TestCaseError> {
    for (span, most) in HistorySpan::ALL.into_iter().zip([241, 241, 169]) {
        let (_, points) = engine.history(span, now);
        prop_assert!(points.len() <= most, "{}", points.len());
        prop_assert!(points.windows(2).all(|two| two[0].until.raw <= two[1].until.raw));
        for point in points {
            let offset = point.offset.map_or([0.0; 3], |(mean, least, largest)| [mean, least, largest]);
            let all = [point.bound, point.likely, point.frequency, point.stepped];
            prop_assert!(all.into_iter().flatten().chain(offset).all(f64::is_finite), "{point:?}");
            prop_assert!(offset[1] <= offset[0] && offset[0] <= offset[2], "{point:?}");
        }
    }
    Ok(())
}

fn points(world: &World, span: HistorySpan) -> Vec<HistoryPoint> {
    is_in_order(&world.engine, world.now()).unwrap();
    world.engine.history(span, world.now()).1
}

/// The points whose bound does not hold the clock's true errors while they lasted: how many seconds of how many.
fn untrue(world: &World, points: &[HistoryPoint]) -> (usize, usize) {
    let (mut untrue, mut all) = (0, 0);
    for two in points.windows(2) {
        let (Some(bound), false) = (two[1].bound, two[1].gap || two[1].stepped.is_some()) else { continue };
        let during = world.errors.iter().filter(|(time, _)| {
            let raw = world.raw_at(*time);
            raw > two[0].until.raw && raw < two[1].until.raw
        });
        for (_, error) in during {
            all += 1;
            untrue += usize::from(error.abs() > bound * 1.0001);
        }
    }
    (untrue, all)
}

#[test]
fn a_day_is_told_as_it_was() {
    let mut world = Setup { error: 3.7, ..Setup::of(lan(3)) }.start();
    world.run(1800.0);
    let hour = points(&world, HistorySpan::Hour);
    assert!((119..=121).contains(&hour.len()), "{}", hour.len());
    let steps: Vec<f64> = hour.iter().filter_map(|point| point.stepped).collect();
    assert!(steps.len() == 1 && (steps[0] + 3.7).abs() < 0.01, "{steps:?}");
    assert!(hour[0].offset.unwrap().1 < -3.6, "it was fast: {:?}", hour[0]);
    assert!(!hour[0].synchronised && hour[5..].iter().all(|point| point.synchronised));
    assert!(hour[5..].iter().all(|point| point.used == 3 && !point.gap), "{hour:?}");
    let ppm = hour.last().unwrap().frequency.unwrap();
    assert!((ppm + 50.0).abs() < 0.5, "{ppm}");

    world.run(22.0 * 3600.0);
    let (day, hour) = (points(&world, HistorySpan::Day), points(&world, HistorySpan::Hour));
    assert!((225..=227).contains(&day.len()), "{}", day.len());
    assert_eq!(points(&world, HistorySpan::Week).len(), 23);
    assert!(hour.len() >= 240 && hour.iter().all(|point| point.synchronised && point.stepped.is_none()));
    // It says what the clock really did, and its bound is one: by the second, not by the update.
    for two in hour.windows(2) {
        let length = two[1].until.raw.since(two[0].until.raw).nanos();
        assert!(length <= 15 * SECOND, "{length}");
    }
    for course in [&day, &hour] {
        let (untrue, all) = untrue(&world, course);
        assert!(untrue == 0 && all > 3_000, "{untrue} of {all}");
    }
    let errors: Vec<f64> = world.errors.iter().rev().take(3_600).map(|(_, error)| *error).collect();
    let worst = errors.iter().fold(0.0_f64, |worst, error| worst.max(error.abs()));
    let told = hour
        .iter()
        .filter_map(|point| point.offset)
        .fold(0.0_f64, |most, (_, least, largest)| most.max(least.abs()).max(largest.abs()));
    assert!(told < 10.0 * worst.max(1e-6) && told > 0.0, "told {told}, true {worst}");
}

#[test]
fn between_two_updates_the_offset_is_that_of_the_slew_and_the_bound_grows() {
    let mut setup = Setup { error: 0.08, frequency: 10e-6, ..Setup::of(lan(3)) };
    setup.settings.clock.start_step_threshold = ipc::units::Span::from_secs(1);
    for source in &mut setup.settings.sources {
        (source.min_poll, source.max_poll) = (8, 8);
    }
    let mut world = setup.start();
    world.run(3600.0);
    // A slew of minutes in intervals of minutes: each point has the error of its own time.
    let hour = points(&world, HistorySpan::Hour);
    for point in &hour[10..] {
        let (mean, ..) = point.offset.unwrap();
        let until = world.errors.iter().find(|(time, _)| world.raw_at(*time) >= point.until.raw);
        let Some((_, error)) = until else { continue };
        assert!((mean + error).abs() < 3e-3, "{mean} at an error of {error}");
    }
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run(3600.0);
    let hour = points(&world, HistorySpan::Hour);
    let bounds: Vec<f64> = hour.iter().filter_map(|point| point.bound).collect();
    let risen = bounds.windows(2).filter(|two| two[1] > two[0]).count();
    assert!(risen > 200 && bounds.len() >= 240, "{risen} of {}", bounds.len());
    assert_eq!(untrue(&world, &hour).0, 0);
    assert_eq!(hour.last().unwrap().used, 0);
}

#[test]
fn a_suspend_and_a_step_by_another_program_are_marked_where_they_were() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1800.0);
    world.sleep(3600);
    world.run(900.0);
    let hour = points(&world, HistorySpan::Hour);
    // The counter stood still too: an hour of it has the time before and after.
    assert!((179..=181).contains(&hour.len()), "{}", hour.len());
    let gaps: Vec<usize> = (0..hour.len()).filter(|at| hour[*at].gap).collect();
    assert!(gaps.len() == 1 && (119..=121).contains(&gaps[0]), "{gaps:?}");
    assert!(hour[gaps[0]].stepped.is_some_and(|step| (step - 3600.0).abs() < 1.0), "{:?}", hour[gaps[0]]);
    world.meddle(7.0);
    world.run(600.0);
    let hour = points(&world, HistorySpan::Hour);
    let moved: f64 = hour[gaps[0] + 10..].iter().filter_map(|point| point.stepped).sum();
    assert!(moved.abs() < 0.01, "there and back: {moved}");
    let largest = hour[gaps[0] + 10..].iter().filter_map(|point| point.offset);
    let largest = largest.fold(0.0_f64, |most, (_, least, _)| most.min(least));
    assert!((largest + 7.0).abs() < 0.1, "{largest}");
}

#[test]
fn a_host_that_asks_nobody_has_a_course_too() {
    let mut world = Setup::of(lan(2)).start();
    world.run(1200.0);
    world.give(Input::Command(Command::Offline(None)));
    world.run(3.0 * 3600.0);
    let hour = points(&world, HistorySpan::Hour);
    assert!(hour.len() >= 240, "{}", hour.len());
    let bound = |point: &HistoryPoint| point.bound.unwrap();
    assert!(bound(hour.last().unwrap()) > bound(&hour[0]));
    assert!(hour.iter().all(|point| !point.gap));
}
