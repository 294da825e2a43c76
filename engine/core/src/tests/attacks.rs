//! Cases of the attack catalogue that the engine itself must withstand.

use super::world::*;
use crate::io::Input;
use crate::notice::{Impasse, NoSelection, SystemNotice};
use crate::status::SourceReason;
use ipc::message::client::{PlainReply, Rejected, ReplyHeader, Unanswered};
use ipc::message::exchange::{Addresses, HostName, MAX_ADDRESSES, Resolved};
use ipc::message::privileged::Refusal;
use ipc::units::Leap;
use protocol::kiss::KissCode;
use protocol::timestamp::Timestamp;
use report::RejectReason;
use std::boxed::Box;
use std::format;
use std::string::ToString;

fn synchronised(servers: std::vec::Vec<Server>) -> World {
    let mut world = Setup::of(servers).start();
    world.run(1800.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    world
}

fn state(world: &World, source: usize) -> &'static str {
    world.status().sources[source].state().name()
}

fn kiss(code: [u8; 4]) -> Option<Edit> {
    Some(Box::new(move |header| {
        header.stratum = 0;
        header.reference_id = u32::from_be_bytes(code);
        header.poll = -1;
    }))
}

#[test]
fn a001_a_flood_of_forged_replies_is_a_count_and_nothing_else() {
    let mut flooded = synchronised(lan(2));
    let mut quiet = synchronised(lan(2));
    // The client keeps them to itself and tells how many there were.
    flooded.servers[0].forged = Rejected { origin: 1_000_000, ..Rejected::NONE };
    flooded.run(600.0);
    quiet.run(600.0);
    assert!(flooded.status().sources[0].rejected[&RejectReason::Origin] >= 1_000_000);
    assert_eq!(flooded.status().sources[0].valid, quiet.status().sources[0].valid);
    assert_eq!(format!("{:?}", flooded.queries), format!("{:?}", quiet.queries), "to the nanosecond");
    assert_eq!(format!("{:?}", flooded.adjusts), format!("{:?}", quiet.adjusts));
}

/// Every field of the reply to the query that is now under way is hostile; afterwards the engine must be
/// as if the query had never been answered.
fn rejected_changes_nothing(edit: impl Fn(&mut ReplyHeader), reason: RejectReason) {
    let mut world = synchronised(lan(2));
    // Up to the next query, whose reply we make ourselves.
    let before = world.queries.len();
    world.servers[0].address = address("198.51.100.1:123");
    world.servers[1].address = address("198.51.100.2:123");
    while world.queries.len() == before {
        world.run(0.1);
    }
    world.run(0.01);
    let query = world.queries.last().unwrap().1;
    let request = protocol::header::Header::decode(query.packet.octets()).unwrap();
    let t = Timestamp::from_unix_nanos(world.time).bits();
    let mut header = ReplyHeader {
        leap: Leap::Insert,
        version: 4,
        mode: 4,
        stratum: 1,
        poll: 6,
        precision: -20,
        root_delay: 0x000f_0000,
        root_dispersion: 0x0001_0000,
        reference_id: 0x4750_5300,
        reference_timestamp: t,
        origin_timestamp: request.transmit_timestamp,
        receive_timestamp: t,
        transmit_timestamp: t,
    };
    edit(&mut header);
    let reply = PlainReply {
        id: query.id,
        source: query.destination,
        t4: world.now().raw,
        stamp: ipc::message::client::Stamp::Kernel,
        header,
        rejected: Rejected::NONE,
    };
    let mut never = world.engine.clone();
    let now = world.now();
    let silence = ipc::message::client::Silence::Deadline;
    never.handle_input(
        now,
        Input::Unanswered(Unanswered { id: query.id, reason: silence, rejected: Rejected::NONE }),
    );
    world.engine.handle_input(now, Input::Reply(reply));
    // Log lines are no state.
    while world.engine.poll_output().is_some() {}
    while never.poll_output().is_some() {}
    let count: u64 = world.status().sources.iter().filter_map(|source| source.rejected.get(&reason)).sum();
    assert_eq!(count, 1, "{reason:?}");
    world.engine.forget_counts();
    never.forget_counts();
    assert_eq!(*world.engine, never, "{reason:?}");
}

#[test]
fn a002_a007_a013_a014_a018_a019_a021_a_rejected_reply_changes_no_field_of_the_engine() {
    rejected_changes_nothing(|h| h.origin_timestamp = 0, RejectReason::Origin);
    rejected_changes_nothing(|h| h.origin_timestamp ^= 1, RejectReason::Origin);
    for mode in [1, 2, 3, 5, 6, 7] {
        rejected_changes_nothing(|h| h.mode = mode, RejectReason::Mode);
    }
    for version in [1, 2, 5, 7] {
        rejected_changes_nothing(|h| h.version = version, RejectReason::Version);
    }
    rejected_changes_nothing(|h| h.receive_timestamp = 0, RejectReason::BadInterval);
    rejected_changes_nothing(|h| h.transmit_timestamp = 0, RejectReason::BadInterval);
    rejected_changes_nothing(|h| h.receive_timestamp += 1 << 20, RejectReason::BadInterval);
    rejected_changes_nothing(|h| h.transmit_timestamp += 1 << 32, RejectReason::NegativeDelay);
    rejected_changes_nothing(
        |h| {
            h.receive_timestamp = Timestamp::from_unix_nanos(0).bits();
            h.transmit_timestamp = h.receive_timestamp;
        },
        RejectReason::Date,
    );
}

#[test]
fn a008_a_denial_is_marked_and_the_source_comes_back_with_its_first_good_reply() {
    let mut world = synchronised(lan(3));
    world.servers[0].edit = kiss(*b"DENY");
    world.run(600.0);
    let report = world.status();
    assert_eq!((report.sources[0].state().name(), report.sources[0].poll), ("denied", 10));
    assert_eq!(report.sources[0].reason, SourceReason::Denied { code: KissCode::Deny, retry_s: None });
    assert_eq!(report.system.state().name(), "synchronised");
    world.servers[0].edit = None;
    world.run(1100.0);
    assert!(matches!(state(&world, 0), "selected" | "combined"), "{}", state(&world, 0));
}

#[test]
fn a009_a_denial_with_a_wrong_nonce_does_not_even_mark() {
    rejected_changes_nothing(
        |h| {
            h.stratum = 0;
            h.reference_id = u32::from_be_bytes(*b"DENY");
            h.origin_timestamp ^= 4;
        },
        RejectReason::Origin,
    );
}

#[test]
fn a010_rate_kisses_slow_down_by_one_step_each_and_are_forgiven() {
    let mut world = synchronised(lan(3));
    let mut poll = world.status().sources[0].poll;
    world.servers[0].edit = kiss(*b"RATE");
    for _ in 0..5 {
        let kisses =
            |world: &World| world.status().sources[0].rejected.get(&RejectReason::Kiss).copied().unwrap_or(0);
        let before = kisses(&world);
        while kisses(&world) == before {
            world.run(1.0);
        }
        let next = world.status().sources[0].poll;
        assert!(next == (poll + 1).min(10), "{poll} {next}");
        poll = next;
    }
    assert_eq!(poll, 10);
    world.servers[0].edit = None;
    world.run(12.0 * 3600.0);
    assert!(world.status().sources[0].poll <= 8);
}

#[test]
fn a011_an_unknown_kiss_costs_its_source_its_opinion_until_the_next_time_and_nothing_else() {
    let mut world = synchronised(lan(3));
    let code = KissCode::Other(*b"\n\x1b\xffA");
    let poll = world.status().sources[0].poll;
    world.servers[0].edit = kiss(*b"\n\x1b\xffA");
    world.run(300.0);
    assert_eq!(world.status().sources[0].reason, SourceReason::Kissed(code));
    assert_eq!(world.status().system.state().name(), "synchronised");
    world.servers[0].edit = None;
    world.run(300.0);
    assert!(matches!(state(&world, 0), "selected" | "combined"), "{}", state(&world, 0));
    assert!((poll - 1..=8).contains(&world.status().sources[0].poll));
    assert!(world.error().abs() < 1e-3, "{}", world.error());
}

#[test]
fn a016_a_source_that_says_it_is_not_synchronised_is_not_used_and_the_status_says_why() {
    for edit in [
        Box::new(|h: &mut ReplyHeader| h.leap = Leap::Unknown) as Edit,
        Box::new(|h: &mut ReplyHeader| h.stratum = 16),
        Box::new(|h: &mut ReplyHeader| h.stratum = 255),
        Box::new(|h: &mut ReplyHeader| h.root_dispersion = u32::MAX),
    ] {
        let mut world = synchronised(lan(3));
        world.servers[1].edit = Some(edit);
        world.run(600.0);
        let report = world.status();
        assert_eq!(report.sources[1].state().name(), "unusable");
        assert!(report.sources[1].reach != 0);
        assert_eq!(report.system.state().name(), "synchronised");
    }
}

#[test]
fn a020_the_end_of_the_era_passes_unnoticed() {
    let mut setup = Setup::of(lan(3));
    let to_the_end = 2_085_978_496 * SECOND - BEGIN - 1000 * SECOND;
    // The world's servers and clock live a few years later, the engine measures as always.
    setup.error = to_the_end as f64 * 1e-9;
    setup.servers.iter_mut().for_each(|server| server.error = to_the_end as f64 * 1e-9);
    let mut world = setup.start();
    world.run(2000.0);
    assert!(world.steps.is_empty(), "{:?}", world.steps);
    assert!((world.error() - to_the_end as f64 * 1e-9).abs() < 50e-6);
    assert_eq!(world.status().system.state().name(), "synchronised");
}

#[test]
fn a021_an_impossible_date_is_never_applied_whatever_the_vote() {
    // Impossible to the end of the run.
    for date in [0, FLOOR / SECOND - 901, 4_233_462_144] {
        let mut setup = Setup::of(lan(3));
        let error = (date - BEGIN / SECOND) as f64;
        setup.servers.iter_mut().for_each(|server| server.error = error);
        let mut world = setup.start();
        world.run(900.0);
        assert!(world.steps.is_empty() && world.adjusts.is_empty(), "{date}");
        assert!(
            world.status().sources.iter().all(|source| source.rejected.contains_key(&RejectReason::Date))
        );
    }
}

#[test]
fn a022_one_of_four_that_steps_is_a_falseticker_within_two_polls() {
    let mut world = synchronised(lan(4));
    let worst_before = world.worst(1200.0);
    world.servers[2].error = 10.0;
    let valid = world.status().sources[2].valid;
    while world.status().sources[2].valid == valid {
        world.run(1.0);
    }
    world.run(2.0);
    assert_eq!(state(&world, 2), "falseticker", "with the first burst that contradicts what was before");
    world.run(2.0 * 260.0);
    assert_eq!(state(&world, 2), "falseticker");
    world.run(3600.0);
    assert_eq!(state(&world, 2), "falseticker");
    assert!(world.worst(1200.0) < worst_before.max(30e-6), "{}", world.worst(1200.0));
    assert!(world.steps.len() <= 1);
}

#[test]
fn a022_a_falseticker_of_a_quarter_second_is_outvoted_from_the_start() {
    let mut setup = Setup { error: 3.7, ..Setup::of(lan(4)) };
    setup.servers[0].error = 0.25;
    let mut world = setup.start();
    world.run(2.0);
    assert!(world.error().abs() < 1e-3, "{}", world.error());
    assert_eq!(state(&world, 0), "falseticker");
    world.run(3600.0);
    assert_eq!(state(&world, 0), "falseticker");
    assert!(world.worst(600.0) < 50e-6);
}

#[test]
fn a023_two_against_two_at_the_start_is_no_majority_and_moves_nothing() {
    let mut setup = Setup { error: 3.7, ..Setup::of(lan(4)) };
    setup.servers[0].error = 10.0;
    setup.servers[1].error = 10.0;
    let mut world = setup.start();
    world.run(3600.0);
    assert!(world.steps.is_empty() && world.adjusts.is_empty());
    let report = world.status();
    assert_eq!(report.system.state().name(), "no-majority");
    assert!(!report.system.synchronised);
    assert!(report.sources.iter().all(|source| source.state().name() == "no-majority"));
    assert_eq!(world.served.last().unwrap().stratum, 16);
}

#[test]
fn a023_two_of_four_that_begin_to_lie_move_nothing() {
    let mut world = synchronised(lan(4));
    world.servers[0].error = 10.0;
    world.servers[1].error = 10.0;
    let steps = world.steps.len();
    world.run(3600.0);
    assert_eq!(world.steps.len(), steps);
    assert_eq!(world.status().system.state().name(), "no-majority");
    assert!(world.error().abs() < 5e-3, "{}", world.error());
    assert!(tells(&world, |notice| matches!(
        notice,
        SystemNotice::NoSelection(NoSelection { impasse: Impasse::NoMajority, .. })
    )));
}

#[test]
fn a025_liars_that_remain_when_the_honest_are_knocked_out_move_nothing() {
    let mut world = synchronised(lan(5));
    world.servers[..3].iter_mut().for_each(|server| server.up = false);
    world.servers[3..].iter_mut().for_each(|server| server.error = 10.0);
    world.run(6.0 * 3600.0);
    assert!(world.error().abs() < 20e-3, "{}", world.error());
    assert_eq!(world.status().system.state().name(), "holdover");
    assert_eq!((state(&world, 3), state(&world, 4)), ("falseticker", "falseticker"));
    // And the honest are believed at once when they are back.
    world.servers[..3].iter_mut().for_each(|server| server.up = true);
    world.run(1100.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
}

#[test]
fn a025_the_last_source_is_followed_after_the_others_died() {
    let mut world = synchronised(lan(4));
    world.servers[..3].iter_mut().for_each(|server| server.up = false);
    world.run(24.0 * 3600.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
    assert!(world.worst(1200.0) < 100e-6, "{}", world.worst(1200.0));
}

#[test]
fn a026_all_sources_two_days_ahead_are_refused_and_held_without_the_step_of_any_size() {
    let mut setup = Setup::of(lan(3));
    setup.servers.iter_mut().for_each(|server| server.error = 2.0 * 86_400.0);
    let mut world = setup.start();
    world.any_start = false;
    world.run(3600.0);
    assert_eq!(world.refused, [Refusal::StartForward]);
    assert!(world.adjusts.is_empty(), "nothing is slewed towards it");
    assert_eq!(world.status().system.state().name(), "refused");
    assert!(!world.status().system.synchronised);
}

#[test]
fn a026_what_may_not_be_stepped_is_not_crept_to() {
    let mut setup = Setup { error: 2000.0, ..Setup::of(lan(3)) };
    setup.settings.clock.max_slew_ppm = 500.0;
    let mut world = setup.start();
    world.any_start = false;
    world.run(3600.0);
    assert_eq!(world.refused, [Refusal::StartBack]);
    assert!(world.adjusts.is_empty());
    assert_eq!(world.status().system.state().name(), "refused");
    assert_eq!(world.served.last().unwrap().stratum, 16);
}

#[test]
fn a031_a_one_way_delay_on_one_of_four_does_not_move_the_clock() {
    for more in [1e-3f64, 20e-3, 200e-3] {
        let mut world = synchronised(lan(4));
        // Half of it shows as an offset; nothing shows which way it is.
        world.servers[3].fixed += more / 2.0;
        world.servers[3].error = more / 2.0;
        world.run(2.0 * 3600.0);
        assert!(world.worst(1200.0) < (more / 4.0).min(2e-3), "{more}: {}", world.worst(1200.0));
    }
}

#[test]
fn a036_a_source_that_follows_one_of_our_addresses_is_a_loop() {
    let mut world = synchronised(lan(3));
    // One is served on, the other is what queries were seen to leave from; loopback is no host's own.
    world.give(Input::OwnAddresses(std::vec!["203.0.113.9".parse().unwrap()]));
    world.local = "[2001:db8::1]:40000".parse::<core::net::SocketAddr>().unwrap().into();
    world.run(64.0);
    for id in [0xcb00_7109, 0x39ab_9b37u32] {
        world.servers[0].edit = Some(Box::new(move |header| {
            header.stratum = 3;
            header.reference_id = id;
        }));
        world.run(600.0);
        let report = world.status();
        assert_eq!(report.sources[0].state().name(), "unusable");
        assert!(report.sources[0].rejected.contains_key(&RejectReason::Loop));
    }
}

#[test]
fn a036_a_client_role_that_names_a_hundred_addresses_as_ours_hides_none_that_we_serve_on() {
    let mut world = synchronised(lan(3));
    world.give(Input::OwnAddresses(std::vec!["203.0.113.9".parse().unwrap()]));
    let told = world.queries.len();
    for last in 0..100u8 {
        world.local = core::net::SocketAddr::from(([198, 51, 100, last], 40_000)).into();
        let sent = world.queries.len();
        while world.queries.len() == sent {
            world.run(1.0);
        }
    }
    assert!(world.queries.len() >= told + 100);
    world.servers[0].edit = Some(Box::new(|header| {
        header.stratum = 3;
        header.reference_id = 0xcb00_7109;
    }));
    world.run(3600.0);
    assert!(world.status().sources[0].rejected.contains_key(&RejectReason::Loop));
}

#[test]
fn a037_a_source_that_copies_what_we_serve_is_ourselves() {
    let mut world = synchronised(lan(3));
    let sent = world.status().sources[1].sent;
    while world.status().sources[1].sent < sent + 3 {
        // What was served last may change between two of its queries.
        let served = *world.served.last().unwrap();
        let reference_time = Timestamp::from_unix_nanos(served.reference_time.nanos()).bits();
        let root_delay = protocol::timestamp::short_from_nanos(served.root_delay.nanos());
        world.servers[1].edit = Some(Box::new(move |header| {
            header.stratum = served.stratum;
            header.reference_id = served.reference_id;
            header.reference_timestamp = reference_time;
            header.root_delay = root_delay;
        }));
        world.run(0.1);
    }
    let report = world.status();
    assert!(report.sources[1].rejected[&RejectReason::Itself] >= 2, "{:?}", report.sources[1].rejected);
    assert_eq!(report.sources[1].state().name(), "unusable");
}

#[test]
fn a039_a040_a_poisoned_answer_gives_four_addresses_at_most_and_none_of_ours() {
    let mut setup = Setup::of(lan(0));
    let template = source(address("192.0.2.1:123"));
    let place = crate::settings::Place::Name(HostName::parse("pool.example").unwrap(), 123);
    setup.settings.sources = std::vec![crate::settings::SourceSettings { place, members: 16, ..template }];
    let mut world = setup.start();
    world.give(Input::OwnAddresses(std::vec!["198.51.100.7".parse().unwrap()]));
    let mut addresses = [address("127.0.0.1:123"); MAX_ADDRESSES];
    addresses[1] = address("198.51.100.7:123");
    addresses[2] = address("[::1]:123");
    for (n, place) in addresses.iter_mut().enumerate().skip(3) {
        *place = address(&format!("203.0.113.{n}:123"));
    }
    let id = world.resolves[0].id;
    let addresses = Addresses::new(addresses).unwrap();
    world.give(Input::Resolved(Resolved { id, addresses }));
    let report = world.status();
    assert_eq!(report.sources.len(), 4);
    assert!(
        report.sources.iter().all(|source| source
            .address
            .is_some_and(|address| address.to_string().starts_with("203.0.113.")))
    );
    // A literal loopback address in the configuration is asked.
    let mut setup = Setup::of(lan(1));
    setup.servers[0].address = address("127.0.0.1:11123");
    setup.settings = settings(&setup.servers);
    let mut world = setup.start();
    world.run(5.0);
    assert_eq!(world.status().system.state().name(), "synchronised");
}
