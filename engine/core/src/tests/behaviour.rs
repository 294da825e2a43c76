//! Starting, following, losing and finding sources.

use super::world::*;
use crate::io::{Command, Input, Saved};
use crate::notice::SystemNotice;
use crate::settings::{Place, ServerSettings};
use ipc::message::exchange::{Failed, HostName, LookupFailure};
use ipc::message::privileged::{ClockKind, Refusal, StepReason};
use ipc::units::{Frequency, Leap, RawInstant, Span, WallTime};
use std::format;

fn first_update(world: &World) -> f64 {
    world.status().system.first_update_s.unwrap_or(f64::INFINITY)
}

#[test]
fn a_clock_that_is_seconds_off_is_right_within_two_seconds() {
    for (kind, frequency, oscillator) in
        [(ClockKind::Kernel, 40e-6, 0), (ClockKind::Virtual, 0.0, 40), (ClockKind::Virtual, 0.0, -40)]
    {
        let setup = Setup { error: -3.7, kind, frequency, oscillator, ..Setup::of(lan(4)) };
        let mut world = setup.start();
        world.run(2.0);
        assert_eq!(world.steps.len(), 1);
        assert_eq!(world.steps[0].reason, StepReason::Start);
        assert!(first_update(&world) < 2.0, "{}", first_update(&world));
        assert!(world.error().abs() < 1e-3, "{}", world.error());
        world.run(600.0);
        assert!(world.worst(2.0) < 1e-3, "{kind:?} {frequency}: {}", world.worst(2.0));
        assert!(world.worst(300.0) < 100e-6, "{}", world.worst(300.0));
        assert!(world.refused.is_empty());
        let report = world.status();
        assert_eq!(report.system.state().name(), "synchronised");
        assert!(report.system.synchronised);
        let used =
            report.sources.iter().filter(|s| matches!(s.state().name(), "selected" | "combined")).count();
        assert_eq!(used, 4);
        assert!(world.statuses.last().unwrap().synchronised);
    }
}

#[test]
fn one_source_is_enough_and_quick() {
    let mut world = Setup { error: 3.7, ..Setup::of(lan(1)) }.start();
    world.run(2.0);
    assert!(first_update(&world) < 1.0);
    assert!(world.error().abs() < 1e-3);
}

#[test]
fn a_small_offset_at_the_start_is_slewed_not_stepped() {
    let mut world = Setup { error: 0.008, ..Setup::of(lan(3)) }.start();
    world.run(2.0);
    assert!(world.steps.is_empty() && !world.adjusts.is_empty());
    world.run(600.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a_clock_that_is_hours_or_years_off_at_the_start_is_set_by_one_step_if_a_majority_agrees() {
    let year = 365.25 * 86_400.0;
    for error in [14.0 * 3600.0, -12.0 * 3600.0, -35.0 * 86_400.0, 11.05 * year, 79.2 * year, 200.0 * year] {
        let mut world = Setup { error, ..Setup::of(lan(4)) }.start();
        world.servers[0].error = -2.0 * 3600.0;
        world.run(600.0);
        assert!(world.error().abs() < 1e-3, "{error}: {}", world.error());
        assert_eq!((world.refused.len(), world.steps.len()), (0, 1), "{error}: {:?}", world.steps);
        assert!(world.status().system.synchronised, "{error}");
        // Two against two are no majority, however far the clock is off.
        let mut world = Setup { error, ..Setup::of(lan(4)) }.start();
        world.servers[..2].iter_mut().for_each(|server| server.error = -2.0 * 3600.0);
        world.run(3600.0);
        assert!(world.steps.is_empty() && world.adjusts.is_empty(), "{error}: {:?}", world.steps);
    }
}

#[test]
fn a_threshold_of_zero_steps_once_whatever_the_offset() {
    let mut setup = Setup { error: 0.001, ..Setup::of(lan(3)) };
    setup.settings.clock.start_step_threshold = Span::ZERO;
    let mut world = setup.start();
    world.run(600.0);
    assert_eq!(world.steps.len(), 1);
}

#[test]
fn a_large_offset_outside_the_start_window_is_slewed_to_the_end() {
    let mut setup = Setup { error: 0.08, frequency: 10e-6, ..Setup::of(lan(3)) };
    setup.settings.clock.start_step_threshold = Span::from_secs(1);
    let mut world = setup.start();
    world.run(3600.0);
    assert!(world.steps.is_empty());
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    let fastest =
        world.adjusts.iter().map(|a| a.slew.nanos().abs() >> (2 + a.time_constant.exponent())).max().unwrap();
    assert!(fastest <= 200_000, "{fastest} ns/s");
}

#[test]
fn a_saved_frequency_makes_a_warm_start_better() {
    let first_minute = |saved| {
        let mut world = Setup { saved, frequency: 30e-6, ..Setup::of(wan(1)) }.start();
        world.run(60.0);
        world.worst(2.0)
    };
    let frequency = Frequency::saturating(-30 * Frequency::PER_PPM);
    let at = WallTime::saturating(BEGIN);
    let warm = first_minute(Some(Saved { frequency, frequency_error_ppm: 0.1, at }));
    let cold = first_minute(None);
    assert!(warm < cold, "warm {warm}, cold {cold}");
    assert!(warm < 0.002, "{warm}");
}

#[test]
fn the_frequency_that_is_saved_is_the_one_that_is_known_whatever_is_in_force() {
    // Out of the band, so that what is in force is never right.
    let mut world = Setup { band: 20, frequency: 50e-6, error: 0.0, ..Setup::of(lan(2)) }.start();
    world.run(1200.0);
    for saved in &world.saved {
        let ppm = f64::from(saved.frequency.scaled()) / f64::from(Frequency::PER_PPM);
        assert!((ppm + 50.0).abs() < 6.0 * saved.frequency_error_ppm.max(0.1), "{saved:?}");
    }
    // Each time it was twice as certain, and no more often.
    assert!(world.saved.len() > 2, "{:?}", world.saved);
    assert!(world.saved.windows(2).all(|two| two[1].frequency_error_ppm <= two[0].frequency_error_ppm / 2.0));
}

#[test]
fn the_governors_own_record_of_the_frequency_is_nearly_as_good_as_a_saved_one() {
    let first_minute = |base| {
        let mut world = Setup { base, frequency: 100e-6, ..Setup::of(wan(1)) }.start();
        world.run(1.5);
        world.adjusts[0].frequency.scaled() / Frequency::PER_PPM
    };
    assert!((-105..=-95).contains(&first_minute(-100)), "{}", first_minute(-100));
    assert!(!(-80..=-30).contains(&first_minute(-10)), "believed as far as it goes: {}", first_minute(-10));
}

#[test]
fn the_base_frequency_stays_inside_the_governors_band() {
    let mut world = Setup { band: 20, frequency: 50e-6, error: 0.0, ..Setup::of(lan(2)) }.start();
    world.run(3600.0);
    assert!(world.adjusts.iter().all(|adjust| adjust.frequency.scaled().abs() < 20 * Frequency::PER_PPM));
    assert!(world.adjusts.iter().any(|adjust| adjust.frequency.scaled() < -19 * Frequency::PER_PPM));
    // What the band does not allow is slewed away again and again.
    assert!(world.worst(600.0) < 0.02, "{}", world.worst(600.0));
}

#[test]
fn a_filter_that_goes_wrong_is_held_at_the_hard_bounds() {
    let mut world = Setup::of(lan(2)).start();
    world.run(1800.0);
    world.engine.corrupt_filters(5_000_000);
    let adjusts = world.adjusts.len();
    world.run(20.0);
    assert!(world.adjusts.len() > adjusts);
    let slew = world.adjusts[adjusts].slew.nanos();
    assert!(slew > 50_000 && slew < 4_500_000, "moved, but only up to the bound: {slew}");
    assert!(tells(&world, |notice| *notice == SystemNotice::Bounded));
}

#[test]
fn what_is_learnt_is_saved_soon_after_the_start_and_at_least_each_half_hour() {
    let mut world = Setup::of(lan(2)).start();
    world.run(120.0);
    assert!((1..=4).contains(&world.saved.len()), "{}", world.saved.len());
    world.run(2.0 * 3600.0);
    // Four intervals, and each halving from 10 ppm down.
    assert!((4..=14).contains(&world.saved.len()), "{}", world.saved.len());
    let saved = world.saved.last().unwrap();
    let ppm = f64::from(saved.frequency.scaled()) / 65_536.0;
    assert!((ppm + 50.0).abs() < 0.5, "{ppm}");
    assert!(saved.frequency_error_ppm < 0.2);
}

#[test]
fn a_source_that_dies_and_returns_is_used_again() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1200.0);
    world.servers[1].up = false;
    world.run(4.0 * 3600.0);
    assert_eq!(world.status().sources[1].state().name(), "unreachable");
    assert!(world.status().sources[1].poll == 10);
    assert_eq!(world.status().system.state().name(), "synchronised");
    world.servers[1].up = true;
    world.run(1100.0);
    let report = world.status();
    assert!(matches!(report.sources[1].state().name(), "selected" | "combined"), "{:?}", report.sources[1]);
    assert!(report.sources[1].poll < 9);
    assert!(world.worst(1200.0) < 100e-6);
}

#[test]
fn an_outage_of_all_sources_is_held_over_and_ends() {
    let mut world = Setup::of(lan(3)).start();
    world.run(4.0 * 3600.0);
    world.servers.iter_mut().for_each(|server| server.up = false);
    let bound = world.status().system.error_bound_s;
    world.run(6.0 * 3600.0);
    let report = world.status();
    assert_eq!(report.system.state().name(), "holdover");
    assert!(report.system.error_bound_s > bound + 0.2, "the bound grows");
    assert!(report.system.error_bound_s > world.error().abs());
    assert!(world.statuses.len() > 20 && world.statuses.last().unwrap().synchronised);
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.run(1200.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert!(world.steps.len() <= 1);
    world.run(3600.0);
    assert!(world.error().abs() < 100e-6);
}

#[test]
fn dead_entries_in_the_configuration_do_not_keep_a_host_from_starting_while_half_are_alive() {
    let mut setup = Setup { error: 3.7, ..Setup::of(lan(4)) };
    setup.servers[2..].iter_mut().for_each(|server| server.up = false);
    let mut world = setup.start();
    world.run(5.0);
    assert!(world.steps.is_empty(), "two of four are no majority while the others may still answer");
    assert_eq!(world.status().system.state().name(), "starting");
    world.run(7.0);
    assert_eq!(world.steps.len(), 1);
    assert!(world.error().abs() < 1e-3);
}

#[test]
fn three_of_four_do_not_wait_for_the_fourth() {
    let mut setup = Setup { error: 3.7, ..Setup::of(lan(4)) };
    setup.servers[2].up = false;
    let mut world = setup.start();
    world.run(2.0);
    assert_eq!(world.steps.len(), 1);
    assert!(world.error().abs() < 1e-3);
}

#[test]
fn a_foreign_step_is_undone() {
    let mut world = Setup::of(lan(3)).start();
    world.run(1200.0);
    let steps = world.steps.len();
    world.meddle(3600.0);
    world.run(3.0);
    assert_eq!(world.steps.len(), steps + 1);
    assert_eq!(world.steps.last().unwrap().reason, StepReason::Restore);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    world.run(600.0);
    assert!(world.error().abs() < 50e-6, "{}", world.error());
    // One of a millisecond is not worth a step.
    world.meddle(-0.001);
    world.run(600.0);
    assert_eq!(world.steps.len(), steps + 1);
    assert!(world.error().abs() < 50e-6, "{}", world.error());
}

#[test]
fn after_sleep_the_clock_is_set_and_the_frequency_kept() {
    let mut world = Setup::of(lan(3)).start();
    world.run(3600.0);
    world.sleep(8 * 3600);
    assert!(world.error() < -28_000.0);
    world.run(3.0);
    assert_eq!(world.steps.last().unwrap().reason, StepReason::Resume);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    world.run(60.0);
    assert!(world.worst(world.age() - 50.0) < 100e-6);
}

#[test]
fn a_run_time_step_is_asked_for_only_where_configured() {
    for (threshold, expected) in [(None, 0), (Some(Span::from_millis(100)), 1)] {
        let mut setup = Setup { error: 0.0, ..Setup::of(lan(3)) };
        setup.settings.clock.run_step_threshold = threshold;
        let mut world = setup.start();
        world.run(1200.0);
        assert!(world.steps.is_empty());
        world.servers.iter_mut().for_each(|server| server.error = 0.5);
        world.run(1200.0);
        assert_eq!(world.steps.len(), expected);
    }
}

#[test]
fn a_server_is_told_what_it_may_say() {
    let mut world = Setup::of(lan(2)).start();
    let first = world.served[0];
    assert_eq!((first.stratum, first.leap), (16, Leap::Unknown), "a092: before the first correction");
    world.run(600.0);
    let last = world.served.last().unwrap();
    assert_eq!((last.stratum, last.leap), (2, Leap::None));
    assert!(matches!(last.reference_id, 0xc000_0201 | 0xc000_0202));
    assert!((150_000..300_000).contains(&last.root_delay.nanos()), "{:?}", last.root_delay);
    assert!(last.root_dispersion.nanos() < 1_000_000);
    assert!(last.valid_until.since(last.as_of).nanos() > 3600 * SECOND);
}

#[test]
fn a_server_without_sources_serves_its_own_time_where_configured() {
    let mut setup = Setup::of(lan(0));
    setup.settings.server = Some(ServerSettings {
        local: Some(crate::settings::LocalTime::of(10)),
        listen: std::vec![],
        nts: false,
        version5: false,
    });
    setup.kind = ClockKind::None;
    let mut world = setup.start();
    world.run(3.0 * 3600.0);
    let last = world.served.last().unwrap();
    assert_eq!((last.stratum, last.reference_id, last.leap), (10, 0x7f7f_0101, Leap::None));
    assert!(last.valid_until > world.now().raw);
    assert!((8..=14).contains(&world.served.len()), "{}", world.served.len());
}

#[test]
fn a_clock_that_is_known_to_be_wrong_or_in_question_is_not_served_as_the_hosts_own_either() {
    let local = Some(ServerSettings {
        local: Some(crate::settings::LocalTime::of(10)),
        listen: std::vec![],
        nts: false,
        version5: false,
    });
    let stratum = |world: &World| world.served.last().unwrap().stratum;
    let start = |setup: Setup| {
        let mut setup = setup;
        setup.settings.server = local.clone();
        setup.start()
    };
    // Minutes slow after a pause that nothing shows: slewed for days.
    let mut world = start(Setup::of(lan(3)));
    world.run(1200.0);
    assert_eq!(stratum(&world), 2);
    world.step_refusal = Some(Refusal::Evidence);
    // The machine stands still for five minutes.
    world.servers.iter_mut().for_each(|server| server.error += 300.0);
    world.run(1200.0);
    let system = world.status().system;
    assert!(system.offset_s > 200.0 && !system.synchronised, "{}", system.offset_s);
    assert_eq!(stratum(&world), 16);
    // While the sources are asked about another program's step, however small.
    let mut world = start(Setup::of(lan(3)));
    world.run(1200.0);
    world.meddle(2.0);
    assert_eq!(stratum(&world), 16);
    world.run(120.0);
    assert_eq!(stratum(&world), 2);
    // Sources that contradict each other by days, the clock being between them.
    let mut servers = lan(2);
    (servers[0].error, servers[1].error) = (-86_400.0, 86_400.0);
    let mut world = start(Setup::of(servers));
    world.run(600.0);
    assert_eq!(stratum(&world), 16);
    // Where no source says anything, the host's own time is what there is: before the first answer, and long after the last.
    let mut servers = lan(3);
    servers.iter_mut().for_each(|server| server.up = false);
    let mut world = start(Setup::of(servers));
    world.run(600.0);
    assert_eq!((stratum(&world), world.served.last().unwrap().root_dispersion.nanos()), (10, 10_000_000));
    world.servers.iter_mut().for_each(|server| server.up = true);
    world.run(3600.0);
    assert_eq!(stratum(&world), 2);
    world.servers.iter_mut().for_each(|server| server.up = false);
    world.run(20.0 * 86_400.0);
    assert_eq!(stratum(&world), 10);
    // One that is far away does not contradict the clock, and is not enough to follow.
    let mut servers = lan(2);
    servers[0].edit = Some(std::boxed::Box::new(|header| header.root_dispersion = 6 << 14));
    servers[1].up = false;
    let mut setup = Setup { error: 0.0, ..Setup::of(servers) };
    setup.settings.clock.minimum_sources = 2;
    let mut world = start(setup);
    world.run(600.0);
    assert_eq!(stratum(&world), 10, "{:?}", world.status().system.reason);
    // Two that disagree by little: as good as they are.
    let mut servers = lan(2);
    (servers[0].error, servers[1].error) = (-0.2, 0.2);
    let mut world = start(Setup { error: 0.0, ..Setup::of(servers) });
    world.run(600.0);
    let served = world.served.last().unwrap();
    assert!(served.stratum == 10 && served.root_dispersion.nanos() > 199_000_000, "{served:?}");
}

#[test]
fn a_clock_that_is_not_steered_gets_no_orders() {
    for (error, stratum) in [(0.001, 2), (0.5, 16)] {
        let mut world = Setup { kind: ClockKind::None, error, frequency: 0.0, ..Setup::of(lan(3)) }.start();
        world.run(1800.0);
        world.meddle(0.0);
        world.run(1800.0);
        assert!(world.adjusts.is_empty() && world.steps.is_empty() && world.statuses.is_empty());
        assert_eq!(world.served.last().unwrap().stratum, stratum);
        let report = world.status();
        assert_eq!(report.system.state().name(), "unsteered");
        assert!((report.system.offset_s + error).abs() < 1e-4);
    }
}

#[test]
fn names_are_looked_up_with_back_off_and_pool_members_that_died_are_replaced() {
    let mut setup = Setup { error: 3.7, ..Setup::of(lan(6)) };
    setup.settings.sources.truncate(1);
    setup.settings.sources[0].place = Place::Name(HostName::parse("pool.example").unwrap(), 123);
    setup.settings.sources[0].members = 4;
    let mut world = setup.start();
    assert_eq!(world.resolves.len(), 1);
    assert_eq!(world.status().sources[0].state().name(), "waiting");
    let failed = Failed { id: world.resolves[0].id, reason: LookupFailure::TryAgain };
    world.give(Input::LookupFailed(failed));
    world.run(9.9);
    assert_eq!(world.resolves.len(), 1);
    world.run(0.2);
    assert_eq!(world.resolves.len(), 2);
    answer(&mut world, 0..4);
    world.run(3.0);
    assert_eq!(world.status().sources.len(), 4);
    assert!(world.error().abs() < 1e-3);
    world.servers[2].up = false;
    world.run(4.0 * 3600.0);
    assert!(world.resolves.len() > 2);
    answer(&mut world, 2..6);
    world.run(30.0);
    let report = world.status();
    assert_eq!(report.sources.len(), 4);
    assert!(!report.sources.iter().any(|source| source.address == Some("192.0.2.3:123".parse().unwrap())));
    assert!(report.sources.iter().any(|source| source.address == Some("192.0.2.5:123".parse().unwrap())));
}

#[test]
fn the_same_facts_give_the_same_effects() {
    let run = || {
        let mut world = Setup::of(wan(3)).start();
        world.run(1000.0);
        (format!("{:?}", world.queries), format!("{:?}", world.adjusts))
    };
    assert_eq!(run(), run());
}

#[test]
fn nothing_happens_before_the_welcome() {
    let servers = lan(2);
    let mut engine = crate::Engine::new(crate::io::Start {
        settings: settings(&servers),
        saved: None,
        associations: std::vec::Vec::new(),
        addresses: std::vec::Vec::new(),
        seed: [0; 32],
        precision: -20,
    });
    let now = crate::io::Now { raw: RawInstant::MIN, wall: WallTime::saturating(BEGIN) };
    engine.handle_input(now, Input::Timeout);
    engine.handle_input(now, Input::Command(Command::Burst(None)));
    assert_eq!(engine.poll_output(), None);
    assert_eq!(engine.poll_timeout(), None);
    assert_eq!(engine.status(now).system.state().name(), "starting");
}

#[test]
fn quiet_hours_cost_few_wake_ups() {
    let mut world = Setup::of(lan(1)).start();
    world.run(2.0 * 3600.0);
    let (queries, adjusts, statuses) = (world.queries.len(), world.adjusts.len(), world.statuses.len());
    world.run(4.0 * 3600.0);
    let queries = world.queries.len() - queries;
    assert!(queries <= 4 * 3600 / 250 + 6, "{queries}");
    assert!(world.adjusts.len() - adjusts <= queries);
    assert!(world.statuses.len() - statuses <= queries + 4);
    assert!(world.refused.is_empty());
}
