//! What the configuration says about a source's stratum and offset.

use super::world::*;
use crate::settings::SourceSettings;
use ipc::units::Offset;

fn corrected(settings: &SourceSettings, nanos: i64) -> SourceSettings {
    SourceSettings { correction: Offset::saturating(nanos), ..settings.clone() }
}

#[test]
fn a_correction_makes_a_source_right_that_is_wrong_by_what_is_known() {
    for (error, correction) in [(0.005, -5_000_000), (-0.3, 300_000_000)] {
        let mut setup = Setup::of(lan(1));
        setup.servers[0].error = error;
        setup.settings.sources[0].correction = Offset::saturating(correction);
        let mut world = setup.start();
        world.run(1_800.0);
        assert!(world.error().abs() < 1e-4, "{error}: {}", world.error());
        let status = world.status();
        assert!(status.sources[0].offset_s.unwrap().abs() < 1e-4);
        // The interval is that of the corrected measurement: what the clock is off by is in it.
        assert!(status.system.error_bound_s >= world.error().abs() && status.system.error_bound_s < 2e-3);
        assert!((status.sources[0].marks.correction_s - correction as f64 * 1e-9).abs() < 1e-12);
        let last = world.engine.measurements(world.now())[0].measurements[0].offset_s.unwrap();
        assert!(last.abs() < 1e-3, "{last}");
    }
    // Without it, the clock is as wrong as its source.
    let mut setup = Setup::of(lan(1));
    setup.servers[0].error = 0.005;
    let mut world = setup.start();
    world.run(1_800.0);
    assert!((world.error() - 0.005).abs() < 1e-4, "{}", world.error());
}

#[test]
fn another_correction_shifts_what_was_measured_and_loses_nothing() {
    let mut setup = Setup::of(lan(1));
    setup.servers[0].error = 0.005;
    let mut world = setup.start();
    world.run(3_600.0);
    let (id, settings) = world.engine.entries().map(|(id, it)| (id, it.clone())).next().unwrap();
    let before = world.status().sources.remove(0);
    world.alter(|engine, now| engine.change_entry(now, id, corrected(&settings, -5_000_000))).unwrap();
    let after = world.status().sources.remove(0);
    assert_eq!((after.samples, after.valid), (before.samples, before.valid));
    let moved = after.offset_s.unwrap() - before.offset_s.unwrap();
    assert!((moved + 0.005).abs() < 1e-6, "{moved}");
    world.run(3_600.0);
    let source = world.status().sources.remove(0);
    assert!(world.error().abs() < 1e-4, "{}", world.error());
    assert!(source.samples > before.samples && source.state().name() == "selected", "{source:?}");
}

#[test]
fn a_lower_stratum_counts_as_the_least_that_is_configured() {
    let served = |least: u8, stratum: u8| {
        let mut setup = Setup::of(lan(1));
        setup.settings.sources[0].min_stratum = least;
        setup.servers[0].edit = Some(std::boxed::Box::new(move |header| header.stratum = stratum));
        let mut world = setup.start();
        world.run(600.0);
        let status = world.status();
        assert_eq!((status.sources[0].stratum, status.sources[0].marks.min_stratum), (Some(stratum), least));
        (status.system.stratum, world.served.last().unwrap().stratum)
    };
    assert_eq!(served(1, 1), (2, 2));
    assert_eq!(served(5, 1), (6, 6));
    assert_eq!(served(5, 9), (10, 10));
}

#[test]
fn primaries_with_a_least_stratum_stay_independent_of_each_other() {
    let mut setup = Setup::of(lan(3));
    setup.settings.clock.minimum_sources = 3;
    for (settings, server) in setup.settings.sources.iter_mut().zip(&mut setup.servers) {
        settings.min_stratum = 2;
        server.edit = Some(std::boxed::Box::new(|header| {
            header.stratum = 1;
            header.reference_id = u32::from_be_bytes(*b"GPS\0");
        }));
    }
    let mut world = setup.start();
    world.run(600.0);
    let system = world.status().system;
    assert!(system.synchronised, "{:?}", system.reason);
    assert_eq!(system.stratum, 3);
}
