//! Measurements and corrections by their numbers, as somebody asks for them who writes each of them down.

use super::world::*;
use crate::measured::{Measured, MeasuredSince};
use ipc::units::Leap;
use report::{MeasurementOutcome, RejectReason};
use std::collections::BTreeMap;
use std::vec::Vec;

/// Asks every half minute, in several requests, for `seconds`.
fn follow(world: &mut World, seconds: f64) -> Vec<MeasuredSince> {
    let (mut all, mut after) = (Vec::new(), world.engine.measured(u64::MAX, 1, world.now()).counted);
    let mut left = seconds;
    while left > 0.0 {
        world.run(30.0);
        left -= 30.0;
        loop {
            let since = world.engine.measured(after, 3, world.now());
            let numbers = since.measured.iter().map(|it| it.known.number);
            let last = numbers.chain(since.corrections.iter().map(|it| it.number)).max();
            let Some(last) = last else { break };
            after = last;
            all.push(since);
        }
    }
    assert_eq!(all.last().map(|since| since.counted), Some(after), "all were told");
    all
}

fn measured(all: &[MeasuredSince]) -> impl Iterator<Item = &Measured> {
    all.iter().flat_map(|since| &since.measured)
}

#[test]
fn each_measurement_and_each_correction_is_told_once_and_in_order() {
    let mut world = Setup::of(wan(4)).start();
    let all = follow(&mut world, 3600.0);
    let mut numbers: Vec<u64> = measured(&all).map(|it| it.known.number).collect();
    let of_measured = numbers.len();
    numbers.extend(all.iter().flat_map(|since| &since.corrections).map(|it| it.number));
    assert!(of_measured > 60 && numbers.len() > of_measured + 60, "{of_measured} {}", numbers.len());
    assert!(measured(&all).is_sorted_by_key(|it| it.known.wall.nanos()));
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let valid: u64 = world.status().sources.iter().map(|source| source.valid).sum();
    assert_eq!(of_measured as u64, valid);
    for since in &all {
        assert!(since.measured.len() + since.corrections.len() <= 3);
        assert!(since.next_query_s.is_some_and(|seconds| seconds <= 300.0), "{:?}", since.next_query_s);
        for it in &since.corrections {
            assert!(
                (1..=4).contains(&it.used)
                    && it.offset_s.abs() <= it.error_bound_s
                    && it.estimated_error_s > 0.0,
                "{it:?}"
            );
            assert!(it.address.is_some() && it.stratum < 16 && it.leap == Leap::None, "{it:?}");
        }
    }
}

#[test]
fn a_measurement_is_told_with_what_its_reply_said_and_with_what_was_learned() {
    let mut world = Setup::of(wan(3)).start();
    // It runs fast by 50 ppm.
    world.servers[2].drift = 50e-6;
    let all = follow(&mut world, 3600.0);
    let mut last = BTreeMap::new();
    for it in measured(&all) {
        let known = it.known;
        let [offset, delay, dispersion, _] = known.measured.expect("it was measured");
        assert!((known.outcome, known.test) != (MeasurementOutcome::Failed, None));
        assert!(offset.is_finite() && (0.001..0.5).contains(&delay) && (1e-8..1e-4).contains(&dispersion));
        assert!(
            known.stamps.is_some() && known.said.leap == Leap::None && (1..16).contains(&known.said.stratum)
        );
        last.insert(it.address, known);
    }
    let frequencies: Vec<f64> =
        last.values().map(|known| known.learned.expect("learned").frequency).collect();
    assert!(frequencies[0].abs() < 2e-6 && frequencies[1].abs() < 2e-6, "{frequencies:?}");
    assert!((frequencies[2] - 50e-6).abs() < 2e-6, "{frequencies:?}");
    for known in last.values() {
        let learned = known.learned.expect("learned");
        let apart = (learned.offset - known.measured.expect("measured")[0]).abs();
        assert!(apart < 0.1 && learned.samples > 8 && learned.deviation > 0.0, "{learned:?}");
    }
    world.servers[2].edit = Some(std::boxed::Box::new(|header| header.leap = Leap::Unknown));
    let all = follow(&mut world, 1800.0);
    let failed = measured(&all).find(|it| it.known.test.is_some()).expect("some failed").known;
    assert_eq!((failed.outcome, failed.test), (MeasurementOutcome::Failed, Some(RejectReason::LeapUnknown)));
    assert_eq!((failed.measured, failed.learned, failed.said.leap), (None, None, Leap::Unknown));
}
