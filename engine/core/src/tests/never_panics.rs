//! Whatever the other processes say, and whenever: the engine goes on, or distrusts them.

use super::world::{BEGIN, FLOOR, SECOND, Setup, lan, settings};
use crate::io::{Command, Input, Now, OrderKind, Output, Saved, Start};
use crate::settings::{NtsSettings, Place, SourceSettings};
use crate::{Engine, EntryId};
use ipc::aead::AeadOffer;
use ipc::message::client::*;
use ipc::message::exchange::Addresses;
use ipc::message::exchange::*;
use ipc::message::privileged::*;
use ipc::units::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::vec;

fn raw() -> impl Strategy<Value = RawInstant> {
    prop_oneof![0..=RawInstant::MAX.nanos(), 5_000 * SECOND..9_000 * SECOND].prop_map(RawInstant::saturating)
}

fn wall() -> impl Strategy<Value = WallTime> {
    prop_oneof![0..=WallTime::MAX.nanos(), FLOOR..FLOOR + 86_400 * SECOND].prop_map(WallTime::saturating)
}

fn reading() -> impl Strategy<Value = ClockReading> {
    (wall(), raw(), any::<i32>(), any::<i64>()).prop_map(|(wall, raw, frequency, slew)| ClockReading {
        wall,
        raw,
        frequency: Frequency::saturating(frequency),
        slew_left: Offset::saturating(slew),
        tai: (slew % 256) as u8,
    })
}

fn header() -> impl Strategy<Value = ReplyHeader> {
    let small = (0u8..4, 3u8..6, 3u8..6, any::<u8>(), any::<i8>());
    let bits = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>());
    (small, bits).prop_map(|((leap, version, mode, stratum, precision), (a, b, c, d, e))| ReplyHeader {
        leap: [Leap::None, Leap::Insert, Leap::Delete, Leap::Unknown][usize::from(leap)],
        version,
        mode,
        stratum,
        poll: precision,
        precision,
        root_delay: a,
        root_dispersion: b,
        reference_id: c,
        reference_timestamp: d,
        origin_timestamp: e,
        receive_timestamp: d,
        transmit_timestamp: e,
    })
}

#[allow(clippy::large_enum_variant, reason = "a test's queue")]
#[derive(Clone, Debug)]
enum Say {
    Plain(Input),
    /// The last query's own id and nonce, with these fields.
    Answer(ReplyHeader, RawInstant, RawInstant, bool),
    /// The last look-up's own id.
    Resolve(u8),
    /// The last key exchange's own id.
    FailKeys,
    /// A new entry, of one of several kinds.
    Add(u8),
    /// The n-th entry is removed.
    Remove(usize),
    /// The n-th entry becomes another.
    Change(usize, u8),
}

/// Settings of an entry: by address, by name, with NTS, each with other limits and marks.
fn entry(kind: u8) -> SourceSettings {
    let written = super::world::address(&std::format!("192.0.2.{}:123", kind % 4 + 1));
    let name = HostName::parse(["a.example", "b.example"][usize::from(kind & 1)]).unwrap();
    let mut settings = super::world::source(written);
    if kind & 4 != 0 {
        settings.place = Place::Name(name, 123);
        settings.members = kind >> 5;
    }
    settings.nts = (kind & 24 == 24).then_some(NtsSettings {
        roots: kind & 1,
        offer: AeadOffer::GCM_SIV_FIRST,
        shares_out: kind & 2 != 0,
    });
    settings.min_poll = (kind >> 4) as i8;
    settings.max_poll = (kind >> 3) as i8;
    // A program has left it.
    settings.offered = settings.nts.is_none() && kind & 2 != 0;
    settings.noselect = kind & 9 == 9;
    settings.min_stratum = kind >> 4;
    settings.correction = ipc::units::Offset::saturating((i64::from(kind) - 128) * 7_000_000);
    (settings.burst, settings.trust, settings.require) = (kind & 32 != 0, kind & 64 != 0, kind & 128 != 0);
    settings
}

fn nth(engine: &Engine, n: usize) -> Option<EntryId> {
    let count = engine.entries().count();
    engine.entries().nth(n % count.max(1)).map(|(id, _)| id)
}

/// That nothing is left of entries that are gone.
fn is_bare(engine: &mut Engine, now: Now) -> Result<(), TestCaseError> {
    while let Some(id) = nth(engine, 0) {
        prop_assert_eq!(engine.remove_entry(now, id), Ok(()));
    }
    prop_assert!(engine.status(now).sources.is_empty() && engine.associations().is_empty());
    prop_assert_eq!((engine.open_exchanges(), engine.open_look_ups()), (0, 0));
    while engine.poll_output().is_some() {}
    engine.handle_input(now, Input::Timeout);
    let asks = |output| matches!(output, Output::Query(_) | Output::Resolve(_) | Output::Exchange(_));
    while let Some(output) = engine.poll_output() {
        prop_assert!(!asks(output));
    }
    Ok(())
}

fn say() -> impl Strategy<Value = Say> {
    let order = prop_oneof![
        Just(OrderKind::Adjust),
        Just(OrderKind::Step),
        Just(OrderKind::Status),
        Just(OrderKind::Tai)
    ];
    let refusals = prop_oneof![
        Just(Refusal::Floor),
        Just(Refusal::Rate),
        Just(Refusal::Band),
        Just(Refusal::Budget),
        Just(Refusal::StaleEpoch),
        Just(Refusal::NoClock),
        Just(Refusal::StartForward),
    ];
    let events = prop_oneof![
        Just(ClockEventKind::ForeignStep),
        Just(ClockEventKind::ForeignFrequency),
        Just(ClockEventKind::BandNarrowed),
        Just(ClockEventKind::Resume),
        Just(ClockEventKind::Pause),
        Just(ClockEventKind::Disruption),
        Just(ClockEventKind::DeadMan),
    ];
    prop_oneof![
        8 => (header(), raw(), raw(), any::<bool>()).prop_map(|(h, t1, t4, near)| Say::Answer(h, t1, t4, near)),
        4 => Just(Say::Plain(Input::Timeout)),
        2 => (order.clone(), reading(), reading()).prop_map(|(kind, before, after)| {
            Say::Plain(Input::Applied(kind, Applied { answers: 0, before, after }))
        }),
        2 => (order, refusals, any::<i64>()).prop_map(|(kind, code, limit)| {
            Say::Plain(Input::Refused(kind, Refused { answers: 0, code, limit, remaining: limit }))
        }),
        1 => (any::<u32>(), events, any::<i64>(), reading()).prop_map(|(epoch, kind, moved, now)| {
            Say::Plain(Input::ClockEvent(ClockEvent { epoch, kind, moved: Offset::saturating(moved), now, marker: None }))
        }),
        1 => any::<u8>().prop_map(Say::Resolve),
        1 => Just(Say::FailKeys),
        1 => any::<u8>().prop_map(Say::Add),
        1 => any::<usize>().prop_map(Say::Remove),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(n, kind)| Say::Change(n, kind)),
        2 => (0..4u8, proptest::option::of(0..6u32)).prop_map(|(kind, of)| {
            let of = of.map(EntryId::from_number);
            let command = match kind {
                0 => Command::Burst(of),
                1 => Command::Offline(of),
                2 => Command::Step,
                _ => Command::Online(of),
            };
            Say::Plain(Input::Command(command))
        }),
    ]
}

/// That nothing was left undone that is due, and that the next timeout brings an effect or another deadline: an engine
/// that is woken for nothing would be woken for ever.
pub fn rests(engine: &Engine, now: Now) -> Result<(), TestCaseError> {
    let mut engine = engine.clone();
    while engine.poll_output().is_some() {}
    let due = engine.poll_timeout();
    if due.is_none_or(|due| due > now.raw) {
        engine.handle_input(now, Input::Timeout);
        let output = engine.poll_output();
        prop_assert!(output.is_none(), "left undone: {output:?}");
        let again = engine.poll_timeout();
        prop_assert!(due.is_none_or(|due| again.is_none_or(|again| again >= due)), "{due:?}, then {again:?}");
        prop_assert!(due.is_some() || again.is_none(), "no deadline, then {again:?}");
    }
    let Some(due) = engine.poll_timeout() else { return Ok(()) };
    let raw = due.max(now.raw);
    let now =
        Now { raw, wall: WallTime::saturating(now.wall.nanos().saturating_add(raw.since(now.raw).nanos())) };
    for _ in 0..100 {
        engine.handle_input(now, Input::Timeout);
        let mut effects = 0;
        while engine.poll_output().is_some() {
            effects += 1;
        }
        let next = engine.poll_timeout();
        if next.is_none_or(|next| next > raw) {
            return Ok(());
        }
        prop_assert!(effects > 0, "woken for nothing at {raw:?}, and again at {next:?}");
    }
    Err(TestCaseError::fail("a hundred timeouts at one instant"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a017_a097_hostile_facts_at_any_time_leave_an_engine_that_reports(
        says in vec((say(), raw(), wall()), 1..60),
        found in reading(),
        frequency_error_ppm: f64,
    ) {
        let servers = lan(3);
        let mut settings = settings(&servers);
        settings.sources[2].place =
            Place::Name(HostName::parse("pool.example").unwrap(), 123);
        let at = WallTime::saturating(BEGIN);
        let saved = Some(Saved { frequency: Frequency::MAX, frequency_error_ppm, at });
        let mut engine = Engine::new(Start { settings, saved, associations: std::vec::Vec::new(), addresses: std::vec::Vec::new(), seed: [7; 32], precision: i8::MAX });
        let welcome = Welcome {
            epoch: u32::MAX,
            clock: ClockKind::Virtual,
            found,
            floor: WallTime::saturating(FLOOR),
            latest: WallTime::MAX,
            start_steps: 3,
            base_frequency: Frequency::MIN,
            band: Frequency::MIN,
            band_centre: Frequency::MAX,
            processes: ipc::process::PerProcess::default(),
            pauses: Default::default(),
            marker: None,
        };
        let begin = Now { raw: found.raw, wall: found.wall };
        engine.handle_input(begin, Input::Welcome(welcome));
        let (mut query, mut resolve, mut exchange) = (None, None, None);
        let mut end = begin;
        for (say, raw, wall) in says {
            let mut now = Now { raw, wall };
            match say {
                Say::Plain(input) => engine.handle_input(now, input),
                Say::Answer(mut header, t1, t4, near) => {
                    let Some(Query { id, destination, packet, .. }) = query.take() else { continue };
                    let request = protocol::header::Header::decode(packet.octets()).unwrap();
                    header.origin_timestamp = request.transmit_timestamp;
                    let (t1, t4) = if near {
                        // Inside the readings, so that the estimators get something to do.
                        now.raw = RawInstant::saturating(t1.nanos() + 1_000_000);
                        (t1, now.raw)
                    } else {
                        (t1, t4)
                    };
                    engine.handle_input(now, Input::Sent(Sent { id, t1, stamp: Stamp::User, local: ipc::address::Address::NONE }));
                    let rejected = Rejected { origin: u32::MAX, ..Rejected::NONE };
                    let reply =
                        PlainReply { id, source: destination, t4, stamp: Stamp::User, header, rejected };
                    engine.handle_input(now, Input::Reply(reply));
                }
                Say::Resolve(count) => {
                    let Some(Resolve { id, .. }) = resolve.take() else { continue };
                    let address = |last: u8| super::world::address(&std::format!("203.0.113.{last}:123"));
                    let addresses = Addresses::new((0..=count % 16).map(address)).unwrap();
                    engine.handle_input(now, Input::Resolved(Resolved { id, addresses }));
                }
                Say::FailKeys => {
                    let Some(Exchange { id, .. }) = exchange.take() else { continue };
                    let reason = ExchangeFailure::Expired;
                    engine.handle_input(now, Input::ExchangeFailed(ExchangeFailed { id, reason }));
                }
                Say::Add(kind) => _ = engine.add_entry(now, entry(kind)),
                Say::Remove(n) => _ = nth(&engine, n).map(|id| engine.remove_entry(now, id)),
                Say::Change(n, kind) => {
                    _ = nth(&engine, n).map(|id| engine.change_entry(now, id, entry(kind)));
                }
            }
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::Query(new) => query = Some(new),
                    Output::Resolve(new) => resolve = Some(new),
                    Output::Exchange(new) => exchange = Some(new),
                    _ => {}
                }
            }
            let report = engine.status(now);
            prop_assert!(report.system.offset_s.is_finite() && report.system.error_bound_s.is_finite());
            prop_assert!(report.system.frequency_ppm.abs() <= 5000.0);
            for source in &report.sources {
                let told = [source.offset_s, source.root_distance_s, source.delay_s, source.jitter_s];
                prop_assert!(told.into_iter().flatten().all(f64::is_finite));
            }
            super::chronicle::is_in_order(&engine, now)?;
            prop_assert_eq!(super::agreement::contradiction(&report, &engine.condition(now)), None);
            rests(&engine, now)?;
            end = now;
        }
        is_bare(&mut engine, end)?;
    }
}

#[test]
fn any_day_of_a_simulated_world_ends_with_a_finite_report() {
    let mut world = Setup { wander: 1e-6, error: 900.0, ..Setup::of(lan(2)) }.start();
    world.run(86_400.0);
    let report = world.status();
    assert!(report.system.offset_s.is_finite() && report.system.error_bound_s < 1.0);
}
