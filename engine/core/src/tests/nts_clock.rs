//! Certificates and a clock that cannot judge them (RFC 8915 section 8.5).

use super::nts::failures;
use super::world::*;
use crate::notice::{ClockNotice, EntryNotice, KeyExchangeFailure, Notice};
use crate::settings::SourceSettings;
use crate::status::{SourceReason, SystemReason};
use ipc::message::exchange::Exchange;
use ipc::message::exchange::ExchangeFailure;
use ipc::message::privileged::{Refusal, StepReason};
use ipc::units::WallTime;
use report::RejectReason;
use std::vec::Vec;

const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25 * DAY;

/// The host has no battery for its clock: it begins a minute after 1970.
fn in_1970(servers: Vec<Server>) -> World {
    Setup { error: -(BEGIN as f64 * 1e-9) + 60.0, ..Setup::of(servers) }.start()
}

fn asked(world: &World) -> Vec<Exchange> {
    world.exchanges.iter().map(|(_, exchange)| *exchange).collect()
}

#[test]
fn a051_two_sources_that_agree_set_a_clock_of_1970_once_and_everything_is_exchanged_anew() {
    let mut world = in_1970(nts_lan(3));
    world.run(0.1);
    assert!(world.kept.is_empty() && world.steps.is_empty(), "nothing of that is kept");
    world.run(1800.0);
    assert_eq!(world.status().system.state().name(), "synchronised", "{:?}", world.status().system.reason);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    let far = |delta: i64| delta.abs() > 86_400 * SECOND;
    let steps: Vec<bool> = world.steps.iter().map(|step| far(step.delta.nanos())).collect();
    assert_eq!(steps.iter().filter(|far| **far).count(), 1, "{:?}", world.steps);
    assert!(world.steps.iter().all(|step| step.reason == StepReason::Start));
    // Strictly, then with leave, then strictly again.
    let exchanges = asked(&world);
    assert_eq!(exchanges.iter().filter(|exchange| exchange.not_before.is_some()).count(), 3);
    assert!(exchanges[..3].iter().all(|exchange| exchange.not_before.is_none()));
    assert!(exchanges.iter().all(|exchange| exchange.now.nanos() >= FLOOR), "never judged before the floor");
    let last = &exchanges[exchanges.len() - 3..];
    assert!(last.iter().all(|e| e.not_before.is_none() && e.now.nanos() >= BEGIN));
    assert!(world.status().sources.iter().all(|source| source.nts.as_ref().unwrap().state.name() == "ready"));
    assert_eq!(world.kept.len(), 3);
}

#[test]
fn a051_one_source_alone_sets_no_clock_of_1970_and_the_reason_says_what_to_do() {
    let mut world = in_1970(nts_lan(1));
    world.run(3600.0);
    assert!(world.steps.is_empty() && world.adjusts.is_empty() && world.kept.is_empty());
    let report = world.status();
    assert!(!report.system.synchronised);
    assert!(report.system.reason == SystemReason::AwaitingQuorum, "{:?}", report.system.reason);
    let source = &report.sources[0];
    assert_eq!(source.state().name(), "provisional");
    assert!(source.reason == SourceReason::Provisional, "{:?}", source.reason);
    assert_eq!(source.nts.as_ref().unwrap().state.name(), "provisional");
}

#[test]
fn a051_sources_that_share_a_name_an_operator_or_an_address_are_one() {
    let mut servers = nts_lan(2);
    share_keys(&mut servers);
    let first = servers[0].address;
    servers[1].nts().addresses = std::vec![first];
    let mut world = in_1970(servers);
    world.run(3600.0);
    assert!(world.steps.is_empty());
}

#[test]
fn a051_a_majority_is_needed_and_it_must_agree() {
    let mut servers = nts_lan(3);
    servers[2].error = 20.0;
    let mut world = in_1970(servers);
    world.run(1800.0);
    assert!(world.error().abs() < 1e-3, "two of three: {}", world.error());
    let mut servers = nts_lan(2);
    servers[1].error = 20.0;
    let mut world = in_1970(servers);
    world.run(1800.0);
    assert!(world.steps.is_empty(), "one against one");
}

#[test]
fn a052_times_outside_the_certificates_validity_set_nothing() {
    let mut servers = nts_lan(3);
    servers.iter_mut().for_each(|server| server.error = 90.0 * DAY);
    let mut world = in_1970(servers);
    world.run(3600.0);
    assert!(world.steps.is_empty() && world.adjusts.is_empty());
    let source = &world.status().sources[0];
    assert!(source.rejected[&RejectReason::Certificate] > 3, "{source:?}");
    // The same for a clock that is right: a new server's first time has to fit its certificate.
    let mut servers = nts_lan(2);
    servers[0].error = 90.0 * DAY;
    let mut world = Setup::of(servers).start();
    world.run(1800.0);
    assert!(world.status().sources[0].rejected[&RejectReason::Certificate] > 3);
    assert!(world.error().abs() < 1e-3);
}

#[test]
fn a050_a_clock_that_was_set_back_does_not_bring_an_expired_certificate_to_life() {
    // Two years ago it was valid; it ended before the floor.
    let mut servers = nts_lan(3);
    for server in &mut servers {
        server.nts().valid = (BEGIN - 3 * 365 * 86_400 * SECOND, BEGIN - 365 * 86_400 * SECOND);
        server.error = -2.0 * YEAR;
    }
    let mut world = Setup { error: -2.0 * YEAR, ..Setup::of(servers) }.start();
    world.run(3600.0);
    assert!(world.steps.is_empty() && world.adjusts.is_empty());
    let report = world.status();
    assert!(
        report.sources.iter().all(|source| source.nts.as_ref().unwrap().state.name() == "none"),
        "{report:?}"
    );
    let failure = KeyExchangeFailure::Failed(ExchangeFailure::Expired);
    let SourceReason::AwaitingKeys(keys) = report.sources[0].reason else { panic!("{report:?}") };
    assert_eq!(keys.failure, Some(failure));
    let told = failures(&world, ExchangeFailure::Expired);
    assert_eq!(told, 3, "each source once: {:?}", world.notices);
}

#[test]
fn a050_the_last_good_time_is_a_floor_too() {
    let mut servers = nts_lan(3);
    servers.iter_mut().for_each(|server| server.nts().valid.1 = BEGIN - 3 * 86_400 * SECOND);
    let floor = BEGIN - 86_400 * SECOND;
    let mut world = Setup { error: -100.0 * DAY, floor, ..Setup::of(servers) }.start();
    world.run(3600.0);
    assert!(world.steps.is_empty());
    assert!(asked(&world).iter().all(|exchange| exchange.now.nanos() >= BEGIN - 86_400 * SECOND));
}

#[test]
fn a_clock_below_the_floor_trusts_no_single_certificate_that_was_valid_there() {
    // Good at the floor, ended since: only a clock that is right would know.
    let mut servers = nts_lan(2);
    servers[0].nts().valid = (FLOOR - SECOND, FLOOR + 5 * 86_400 * SECOND);
    servers[0].error = FLOOR as f64 * 1e-9 - BEGIN as f64 * 1e-9 + 2.0 * DAY;
    servers[1].up = false;
    let mut world = in_1970(servers);
    world.run(3600.0);
    assert!(world.steps.is_empty() && world.kept.is_empty());
}

#[test]
fn a050_the_date_of_a_state_file_that_was_written_in_a_false_future_locks_no_host_out() {
    // A lie of two years was followed for minutes; then the clock was put right.
    let mut setup = Setup { error: 0.0, ..Setup::of(nts_lan(3)) };
    setup.saved = Some(crate::io::Saved {
        frequency: ipc::units::Frequency::ZERO,
        frequency_error_ppm: 1.0,
        at: WallTime::saturating(BEGIN + 2 * 365 * 86_400 * SECOND),
    });
    let mut world = setup.start();
    world.run(600.0);
    assert!(asked(&world).iter().all(|exchange| exchange.now.nanos() < BEGIN + 86_400 * SECOND));
    assert_eq!(world.status().system.state().name(), "synchronised", "{:?}", world.status().system.reason);
}

#[test]
fn a_clock_that_is_a_little_behind_the_last_good_time_judges_as_usual() {
    let mut setup = Setup { error: -30.0, frequency: 0.0, ..Setup::of(nts_lan(1)) };
    setup.saved = Some(crate::io::Saved {
        frequency: ipc::units::Frequency::ZERO,
        frequency_error_ppm: 1.0,
        at: WallTime::saturating(BEGIN - SECOND),
    });
    let mut world = setup.start();
    world.run(60.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert_eq!((world.exchanges.len(), world.kept.len()), (1, 1));
}

/// A pool is one operator, and one that is silent is one missing vote, however many members it has.
#[test]
fn a051_a_pool_counts_as_one_in_1970_whether_it_is_heard_or_not() {
    for (others, up, sets) in
        [(0, true, false), (1, true, true), (2, true, true), (2, false, true), (1, false, false)]
    {
        let mut servers: Vec<Server> =
            lan(4).into_iter().map(|server| server.with_nts("pool.example")).collect();
        servers.iter_mut().for_each(|server| server.up = up);
        servers.extend(
            (4..4 + others)
                .map(|n| server(n, 90e-6, 10e-6).with_nts(["", "", "", "", "a.example", "b.example"][n])),
        );
        let pool = SourceSettings { members: 4, ..nts_source(&servers[0]) };
        let mut setup = Setup { error: -(BEGIN as f64 * 1e-9) + 60.0, ..Setup::of(servers) };
        setup.settings.sources.drain(..4);
        setup.settings.sources.insert(0, pool);
        // Dead ones are not left out after ten minutes either.
        setup.settings.strict_quorum = true;
        let mut world = setup.start();
        super::nts_pools::resolve(&mut world, 0..4);
        world.run(3600.0);
        let is_set = !world.steps.is_empty();
        assert_eq!(is_set, sets, "{others} {up}: {:?}", world.status().system.reason);
        if !sets {
            // The way back of a host that has nothing else.
            assert_eq!(world.status().system.reason, SystemReason::AwaitingQuorum);
            world.meddle(BEGIN as f64 * 1e-9 - 60.0);
            world.servers.iter_mut().for_each(|server| server.up = true);
            world.run(1200.0);
        }
        assert_eq!(
            world.status().system.state().name(),
            "synchronised",
            "{others} {up}: {:?}",
            world.status().system.reason
        );
    }
}

#[test]
fn a_clock_that_is_set_by_hand_judges_provisional_keys_soon() {
    let mut world = in_1970(nts_lan(1));
    world.run(60.0);
    assert_eq!(world.status().sources[0].state().name(), "provisional");
    world.meddle(BEGIN as f64 * 1e-9 - 60.0);
    world.run(1200.0);
    assert_eq!(world.status().system.state().name(), "synchronised", "{:?}", world.status().system.reason);
    assert_eq!(world.kept.len(), 1);
}

#[test]
fn a_certificate_that_is_good_at_any_plausible_time_needs_no_clock() {
    let mut servers = nts_lan(1);
    servers[0].nts().valid = (0, i64::MAX >> 1);
    let mut world = in_1970(servers);
    world.run(1800.0);
    assert_eq!(world.status().system.state().name(), "synchronised", "{:?}", world.status().system.reason);
    assert!(world.error().abs() < 1e-3);
    assert_eq!(asked(&world).len(), 1);
}

#[test]
fn certificates_that_are_bad_by_a_right_clock_are_bad() {
    let mut servers = nts_lan(3);
    servers.iter_mut().for_each(|server| server.nts().valid.1 = BEGIN - 86_400 * SECOND);
    let mut world = Setup::of(servers).start();
    world.run(3600.0);
    assert!(world.steps.is_empty() && world.adjusts.is_empty() && world.kept.is_empty());
    assert!(world.status().sources.iter().all(|source| source.nts.as_ref().unwrap().state.name() != "ready"));
}

#[test]
fn a_clock_that_is_less_than_a_day_wrong_is_not_set_by_unjudged_certificates() {
    let mut servers = nts_lan(2);
    servers.iter_mut().for_each(|server| server.nts().valid.0 = BEGIN - 6 * 3600 * SECOND);
    let mut world = Setup { error: -0.5 * DAY, ..Setup::of(servers) }.start();
    world.run(1800.0);
    assert!(world.steps.is_empty() && world.kept.is_empty());
    let alarms = world
        .notices
        .iter()
        .filter(|notice| matches!(notice, Notice::Clock(ClockNotice::CertificatesInvalid(_))));
    assert_eq!(alarms.count(), 1);
    // They are valid by our own clock six hours later.
    world.run(8.0 * 3600.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
}

#[test]
fn a_clock_that_was_right_once_is_never_set_by_unjudged_certificates() {
    let mut servers = nts_lan(4);
    servers[1].nts().failure = Some(ipc::message::exchange::ExchangeFailure::Expired);
    servers[2].nts().failure = Some(ipc::message::exchange::ExchangeFailure::NotYetValid);
    let mut world = Setup::of(servers).start();
    world.run(40.0);
    let settled = world.exchanges.len();
    world.run(6.0 * 3600.0);
    assert!(asked(&world)[settled..].iter().all(|exchange| exchange.not_before.is_none()));
    let mut closed = Setup::of(nts_lan(2));
    closed.servers.iter_mut().for_each(|server| server.nts().valid.1 = BEGIN - 86_400 * SECOND);
    closed.kind = ipc::message::privileged::ClockKind::None;
    let mut world = closed.start();
    world.run(600.0);
    assert!(asked(&world).iter().all(|exchange| exchange.not_before.is_none()), "no clock to set");
}

#[test]
fn a_step_that_the_governor_refuses_is_not_asked_for_again() {
    let mut world = in_1970(nts_lan(2));
    world.start_steps = 0;
    world.run(3600.0);
    assert_eq!(world.refused, [Refusal::StartWindow]);
    assert!(world.steps.is_empty() && world.kept.is_empty());
    assert!(!world.status().system.synchronised);
}

#[test]
fn certificates_that_stay_bad_after_the_step_raise_an_alarm() {
    let mut world = in_1970(nts_lan(2));
    while world.steps.is_empty() {
        // So finely that the engine does not know of the step yet.
        world.run(1e-5);
    }
    for server in &mut world.servers {
        server.nts().failure = Some(ipc::message::exchange::ExchangeFailure::Expired);
    }
    world.run(600.0);
    assert!(!world.status().system.synchronised);
    assert!(
        world.notices.iter().any(|notice| matches!(
            notice,
            Notice::Entry(_, EntryNotice::NoKeys { after_setting: true, .. })
        ))
    );
    assert!(world.kept.is_empty());
}

#[test]
fn a132_a_step_that_crosses_a_move_of_the_clock_by_somebody_else_is_asked_for_again() {
    let mut world = in_1970(nts_lan(2));
    while !world
        .notices
        .iter()
        .any(|notice| matches!(notice, Notice::Clock(ClockNotice::SetProvisionally(..))))
    {
        // So finely that the order is still on its way.
        world.run(1e-5);
    }
    world.meddle(1.0);
    world.run(1800.0);
    assert_eq!(world.refused[0], Refusal::StaleEpoch);
    assert_eq!(world.status().system.state().name(), "synchronised", "{:?}", world.status().system.reason);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}
