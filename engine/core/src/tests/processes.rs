//! A compromised network or exchange process, as the engine sees it.

use super::world::*;
use crate::io::Input;
use ipc::message::client::{PlainReply, QueryId, Rejected, ReplyHeader, Sent, Silence, Stamp, Unanswered};
use ipc::message::exchange::{Addresses, ExchangeId, Failed, HostName, LookupFailure, Resolved};
use ipc::process::Process;
use ipc::units::{Leap, RawInstant};
use protocol::timestamp::Timestamp;

/// A world whose network is ours to play: one query is under way, its packet has left.
fn played() -> (World, PlainReply) {
    let mut setup = Setup { error: 0.0, frequency: 0.0, ..Setup::of(lan(1)) };
    setup.settings.sources[0].burst = false;
    setup.servers.clear();
    let mut world = setup.start();
    world.run(0.02);
    let query = world.queries[0].1;
    let request = protocol::header::Header::decode(query.packet.octets()).unwrap();
    let t = Timestamp::from_unix_nanos(world.time - SECOND / 100).bits();
    let header = ReplyHeader {
        leap: Leap::None,
        version: 4,
        mode: 4,
        stratum: 1,
        poll: 6,
        precision: -20,
        root_delay: 0,
        root_dispersion: 0,
        reference_id: 0x4750_5300,
        reference_timestamp: t,
        origin_timestamp: request.transmit_timestamp,
        receive_timestamp: t,
        transmit_timestamp: t,
    };
    let reply = PlainReply {
        id: query.id,
        source: query.destination,
        t4: world.now().raw,
        stamp: Stamp::Kernel,
        header,
        rejected: Rejected::NONE,
    };
    (world, reply)
}

fn is_distrusted(world: &World, who: Process) -> bool {
    world.distrust.is_some_and(|(found, _)| found == who)
}

fn earlier(raw: RawInstant, nanos: i64) -> RawInstant {
    RawInstant::saturating(raw.nanos() - nanos)
}

#[test]
fn an_honest_client_role_is_trusted() {
    let (mut world, reply) = played();
    world.give(Input::Reply(reply));
    assert_eq!(world.distrust, None);
    assert_eq!(world.status().sources[0].valid, 1);
}

#[test]
fn a003_a006_a100_a_second_reply_to_one_query_ends_the_trust_and_changes_no_sample() {
    let (mut world, reply) = played();
    world.give(Input::Reply(reply));
    let before = world.status().sources[0].clone();
    let mut other = reply;
    other.header.receive_timestamp += 1 << 33;
    other.header.transmit_timestamp += 1 << 33;
    world.give(Input::Reply(other));
    assert!(is_distrusted(&world, Process::Client));
    assert_eq!(world.status().sources[0], before);
    assert_eq!(world.engine.poll_timeout(), None, "nothing is done after that");
}

#[test]
fn a099_replies_to_queries_that_are_not_open_end_the_trust() {
    for id in [0, 77, u64::MAX] {
        let (mut world, reply) = played();
        world.give(Input::Reply(PlainReply { id: QueryId(id), ..reply }));
        assert!(is_distrusted(&world, Process::Client), "{id}");
    }
    let (mut world, reply) = played();
    world.give(Input::Reply(PlainReply { source: address("192.0.2.77:123"), ..reply }));
    assert!(is_distrusted(&world, Process::Client), "another source's");
    let (mut world, reply) = played();
    let (reason, rejected) = (Silence::Deadline, Rejected::NONE);
    world.give(Input::Unanswered(Unanswered { id: reply.id, reason, rejected }));
    assert_eq!(world.distrust, None);
    world.give(Input::Unanswered(Unanswered { id: reply.id, reason, rejected }));
    assert!(is_distrusted(&world, Process::Client), "ended twice");
}

#[test]
fn a100_sent_twice_or_never_ends_the_trust() {
    let (mut world, reply) = played();
    let t1 = earlier(world.now().raw, 1000);
    world.give(Input::Sent(Sent {
        id: reply.id,
        t1,
        stamp: Stamp::User,
        local: ipc::address::Address::NONE,
    }));
    assert!(is_distrusted(&world, Process::Client));
    let mut setup = Setup::of(lan(1));
    setup.servers.clear();
    let mut world = setup.start();
    let id = world.queries[0].1.id;
    world.give(Input::Reply(PlainReply { id, t4: world.now().raw, ..reply }));
    assert!(is_distrusted(&world, Process::Client));
}

#[test]
fn a101_stamps_outside_the_engines_readings_end_the_trust() {
    let (mut world, reply) = played();
    let t4 = RawInstant::saturating(world.now().raw.nanos() + 5_000_000);
    world.give(Input::Reply(PlainReply { t4, ..reply }));
    assert!(is_distrusted(&world, Process::Client), "T4 in the future");
    let (mut world, reply) = played();
    world.give(Input::Reply(PlainReply { t4: earlier(world.now().raw, SECOND), ..reply }));
    assert!(is_distrusted(&world, Process::Client), "T4 before T1");
}

#[test]
fn a102_a_lie_inside_the_window_gains_no_more_than_an_attacker_on_the_path() {
    let after_the_attack = |attack: fn(&mut World), moment: f64, seconds: f64| {
        let mut world = Setup::of(wan(1)).start();
        world.run(4.0 * 3600.0 + moment);
        attack(&mut world);
        world.run(seconds);
        assert_eq!(world.distrust, None);
        world.worst(4.0 * 3600.0 + moment)
    };
    // T1 claimed late by the whole round trip of 40 ms; and a packet that really is delayed by as much. Where between two
    // polls it begins makes the most difference, so the worst of several moments counts.
    for seconds in [1500.0, 7200.0] {
        let [mut lies, mut delays, mut one_ways] = [0.0f64; 3];
        for moment in (0..6).map(|tenth| f64::from(tenth) * 700.0) {
            let lie = after_the_attack(|world| world.late_t1 = true, moment, seconds);
            let delay = after_the_attack(|world| world.servers[0].fixed += 0.040, moment, seconds);
            let one_way = after_the_attack(
                |world| {
                    world.servers[0].fixed += 0.020;
                    world.servers[0].error = 0.020;
                },
                moment,
                seconds,
            );
            lies = lies.max(lie);
            delays = delays.max(delay);
            one_ways = one_ways.max(one_way);
        }
        // Half of what it adds is what anybody on the path gains who does it from the start: 20 ms.
        assert!(lies <= 0.020 / 5.0, "lie {lies}, one way {one_ways}");
        assert!(delays < 0.002 && one_ways < 0.002, "symmetric {delays}, one way {one_ways}");
        // For a while, until the path counts as changed, neither moves the clock.
        assert!(seconds > 1500.0 || lies < 0.003, "{lies}");
    }
}

/// That it cannot come is the rule of its link; nothing hangs on it here.
#[test]
fn an_answer_to_a_look_up_that_is_not_open_changes_nothing() {
    let mut setup = Setup::of(lan(1));
    setup.settings.sources[0].place =
        crate::settings::Place::Name(HostName::parse("ntp.example").unwrap(), 123);
    let mut world = setup.start();
    let id = world.resolves[0].id;
    let addresses = |last| Addresses::new([address(&std::format!("203.0.113.{last}:123"))]).unwrap();
    world.give(Input::Resolved(Resolved { id: ExchangeId(id.0 + 1), addresses: addresses(1) }));
    assert_eq!(world.status().sources[0].address, None);
    world.give(Input::Resolved(Resolved { id, addresses: addresses(2) }));
    assert_eq!(world.status().sources[0].address, Some("203.0.113.2:123".parse().unwrap()));
    world.give(Input::Resolved(Resolved { id, addresses: addresses(3) }));
    world.give(Input::LookupFailed(Failed { id, reason: LookupFailure::Broken }));
    assert_eq!((world.status().sources.len(), world.distrust), (1, None));
}

#[test]
fn a106_a_client_role_that_never_answers_makes_sources_unreachable_and_nothing_grows() {
    let mut setup = Setup::of(lan(3));
    setup.servers.clear();
    let mut world = setup.start();
    world.run(6.0 * 3600.0);
    assert_eq!(world.distrust, None);
    assert!(world.status().sources.iter().all(|source| source.state().name() == "unreachable"));
    assert!(world.engine.open_exchanges() <= 60);
    // One in 32 s each, as long as nothing has ever answered.
    assert!(world.queries.len() < 3 * (6 * 3600 / 31 + 8), "{}", world.queries.len());
}
