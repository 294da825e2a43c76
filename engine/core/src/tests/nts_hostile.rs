//! Whatever a network process says of keys, cookies and protected replies, and whenever: the engine goes on, or
//! distrusts it.

use super::world::*;
use crate::Engine;
use crate::io::{Command, Input, Now, Output, SavedAssociation, Start};
use ipc::aead::Aead;
use ipc::message::client::*;
use ipc::message::exchange::*;
use ipc::message::exchange::{Addresses, AssociationKeys, Validity};
use ipc::message::privileged::*;
use ipc::packet::{CookieOctets, MAX_PACKET, Packet};
use ipc::secret::{KeyPair, Secret};
use ipc::units::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::IpAddr;

fn raw() -> impl Strategy<Value = RawInstant> {
    prop_oneof![0..=RawInstant::MAX.nanos(), 5_000 * SECOND..9_000 * SECOND].prop_map(RawInstant::saturating)
}

fn wall() -> impl Strategy<Value = WallTime> {
    prop_oneof![0..=WallTime::MAX.nanos(), FLOOR..FLOOR + 86_400 * SECOND].prop_map(WallTime::saturating)
}

fn aead() -> impl Strategy<Value = Aead> {
    proptest::sample::select(Aead::ALL.to_vec())
}

fn keys() -> impl Strategy<Value = KeyPair> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(one, other)| KeyPair {
        client_to_server: Secret::of(&one).unwrap(),
        server_to_client: Secret::of(&other).unwrap(),
    })
}

fn cookie() -> impl Strategy<Value = CookieOctets> {
    vec(any::<u8>(), 1..=1024).prop_map(|octets| CookieOctets::from_octets(&octets).unwrap())
}

fn place() -> impl Strategy<Value = ipc::address::Address> {
    prop_oneof![
        3 => (1u8..9).prop_map(|n| address(&std::format!("192.0.2.{n}:123"))),
        1 => (any::<[u8; 4]>(), any::<u16>())
            .prop_map(|(octets, port)| std::net::SocketAddr::from((octets, port)).into()),
        1 => (any::<[u8; 16]>(), any::<u16>())
            .prop_map(|(octets, port)| std::net::SocketAddr::from((octets, port)).into()),
    ]
}

#[allow(clippy::large_enum_variant, reason = "a test's queue")]
#[derive(Clone, Debug)]
enum Say {
    Plain(Input),
    Cookies(std::vec::Vec<CookieOctets>),
    /// The last exchange's own id.
    Exchanged(Exchanged),
    Failed(ExchangeFailure),
    /// To the last query: octets of its own, or its own octets back, changed here and there.
    Protected(std::vec::Vec<u8>, bool, RawInstant),
    Unanswered,
}

fn exchanged() -> impl Strategy<Value = Exchanged> {
    let addresses =
        vec(place(), 1..MAX_ADDRESSES).prop_filter_map("no server's", |all| Addresses::new(all).ok());
    let operator =
        (".{0,20}", 0u8..3, vec(prop::sample::select(&["nts0.example", "*.example", "x"][..]), 0..3));
    let all = (aead(), keys(), proptest::option::of(keys()), 0u8..10, addresses, operator);
    (all, wall(), wall(), any::<bool>(), any::<bool>()).prop_map(
        |(
            (algorithm, keys, alternate, cookies, addresses, (organisation, fingerprint, names)),
            from,
            until,
            deferred,
            redirected,
        )| Exchanged {
            id: ExchangeId(0),
            keys: AssociationKeys::cut(algorithm, keys, alternate),
            cookies,
            addresses,
            redirected,
            named: None,
            validity: Validity::new(from.min(until), from.max(until)).unwrap(),
            deferred,
            operator: Operator {
                organisation: Organisation::of(&organisation),
                names: CertifiedNames::of(names.iter().map(|name| name.as_bytes())),
                fingerprint: [fingerprint; FINGERPRINT],
            },
        },
    )
}

fn say() -> impl Strategy<Value = Say> {
    let failures = prop_oneof![
        Just(ExchangeFailure::Expired),
        Just(ExchangeFailure::NotYetValid),
        Just(ExchangeFailure::Lookup(LookupFailure::TryAgain)),
        any::<u16>().prop_map(ExchangeFailure::ServerError),
    ];
    prop_oneof![
        4 => Just(Say::Plain(Input::Timeout)),
        3 => vec(cookie(), 0..9).prop_map(Say::Cookies),
        3 => exchanged().prop_map(Say::Exchanged),
        2 => failures.prop_map(Say::Failed),
        4 => (vec(any::<u8>(), 0..=MAX_PACKET), any::<bool>(), raw())
            .prop_map(|(octets, own, t4)| Say::Protected(octets, own, t4)),
        1 => Just(Say::Unanswered),
        1 => vec(any::<[u8; 4]>(), 0..3)
            .prop_map(|own| Say::Plain(Input::OwnAddresses(own.into_iter().map(IpAddr::from).collect()))),
        1 => prop_oneof![Just(Command::Burst(None)), Just(Command::Offline(None)), Just(Command::Online(None)), Just(Command::Step)]
            .prop_map(|command| Say::Plain(Input::Command(command))),
    ]
}

/// The query's octets, changed at some of the places that `octets` name.
fn echo(query: &Query, octets: &[u8]) -> std::vec::Vec<u8> {
    let mut packet = query.packet.octets().to_vec();
    packet.copy_within(40..48, 24);
    packet[0] = 0x24;
    for pair in octets.chunks_exact(2).take(8) {
        let at = usize::from(pair[0]) % packet.len();
        packet[at] = pair[1];
    }
    packet
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn a057_a064_a097_a176_hostile_keys_and_replies_leave_an_engine_that_reports(
        says in vec((say(), raw(), wall()), 1..60),
        begin in (raw(), wall()),
        saved in vec((aead(), keys(), vec(cookie(), 0..10), place(), (wall(), wall())), 0..3),
    ) {
        let servers = nts_lan(3);
        let settings = settings(&servers);
        let associations = saved.into_iter().enumerate().map(|(n, (algorithm, keys, cookies, address, (made, valid_until)))| {
            let server = settings.sources[n].place.clone();
            SavedAssociation { server, roots: 0, address, at: None, named: None, algorithm, keys, cookies, made, valid_until, operator: Operator::NONE }
        });
        let associations = associations.collect();
        let mut engine =
            Engine::new(Start { settings, saved: None, associations, addresses: std::vec::Vec::new(), seed: [7; 32], precision: -20 });
        let found = ClockReading {
            wall: begin.1,
            raw: begin.0,
            frequency: Frequency::ZERO,
            slew_left: Offset::ZERO,
            tai: 0,
        };
        let welcome = Welcome {
            epoch: 1,
            clock: ClockKind::Virtual,
            found,
            floor: WallTime::saturating(FLOOR),
            latest: WallTime::MAX,
            start_steps: 3,
            base_frequency: Frequency::ZERO,
            band: Frequency::MAX,
            band_centre: Frequency::ZERO,
            processes: ipc::process::PerProcess::default(),
            pauses: Default::default(),
            marker: None,
        };
        engine.handle_input(Now { raw: begin.0, wall: begin.1 }, Input::Welcome(welcome));
        let (mut query, mut exchange) = (None::<Query>, None::<Exchange>);
        for (say, raw, wall) in says {
            let now = Now { raw, wall };
            while let Some(output) = engine.poll_output() {
                match output {
                    Output::Query(new) => {
                        prop_assert!(new.protected && new.destination.is_unicast());
                        query = Some(new);
                    }
                    Output::Exchange(new) => exchange = Some(new),
                    _ => {}
                }
            }
            match say {
                Say::Plain(input) => engine.handle_input(now, input),
                Say::Cookies(cookies) => {
                    let Some(Exchange { id, .. }) = exchange else { continue };
                    for octets in cookies {
                        engine.handle_input(now, Input::Cookie(Cookie { id, octets }));
                    }
                }
                Say::Exchanged(exchanged) => {
                    let Some(Exchange { id, .. }) = exchange.take() else { continue };
                    if exchanged.cookies < 9 {
                        // A lawful number, most of the time.
                        for number in 1..=exchanged.cookies {
                            let octets = CookieOctets::from_octets(&[number; 68]).unwrap();
                            engine.handle_input(now, Input::Cookie(Cookie { id, octets }));
                        }
                    }
                    engine.handle_input(now, Input::Exchanged(Exchanged { id, ..exchanged }));
                }
                Say::Failed(reason) => {
                    let Some(Exchange { id, .. }) = exchange.take() else { continue };
                    engine.handle_input(now, Input::ExchangeFailed(ExchangeFailed { id, reason }));
                }
                Say::Protected(octets, own, t4) => {
                    let Some(query) = query else { continue };
                    let local = address("198.51.100.1:5000");
                    let sent = Sent { id: query.id, t1: t4, stamp: Stamp::User, local };
                    engine.handle_input(now, Input::Sent(sent));
                    let octets = if own { echo(&query, &octets) } else { octets };
                    let packet = Packet::from_octets(&octets).unwrap();
                    let (id, source, stamp) = (query.id, query.destination, Stamp::Kernel);
                    let reply = ProtectedReply { id, source, t4, stamp, packet };
                    engine.handle_input(now, Input::Protected(reply));
                }
                Say::Unanswered => {
                    let Some(Query { id, .. }) = query.take() else { continue };
                    let (reason, rejected) = (Silence::Deadline, Rejected::NONE);
                    engine.handle_input(now, Input::Unanswered(Unanswered { id, reason, rejected }));
                }
            }
            let report = engine.status(now);
            prop_assert!(report.system.offset_s.is_finite());
            for source in &report.sources {
                prop_assert_eq!(source.valid, 0, "nobody has a key");
                if let Some(nts) = &source.nts {
                    prop_assert!(nts.cookies <= 8);
                    prop_assert!(nts.next_exchange_s.is_none_or(f64::is_finite));
                    prop_assert!(nts.key_age_s.is_none_or(f64::is_finite));
                }
            }
            prop_assert!(engine.associations().len() <= 3);
            super::never_panics::rests(&engine, now)?;
        }
    }
}
