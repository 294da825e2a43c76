use super::*;
use crate::address::Address;
use crate::aead::{Aead, AeadOffer};
use crate::message::Shortfall;
use crate::message::exchange::{
    Addresses, AssociationKeys, Cookie, Denied, ExchangeFailed, ExchangeFailure, Failed, Families, HeardOf,
    HostName, LookupFailure, MeasureFailed, MeasureFailure, Operator, Response, RoundServer, RoundServers,
    Validity,
};
use crate::packet::CookieOctets;
use crate::secret::{KeyPair, MAX_KEY, Secret};
use crate::units::WallTime;
use std::vec::Vec;

const ID: ExchangeId = ExchangeId(7);
const OTHER: ExchangeId = ExchangeId(8);

fn address(text: &str) -> Address {
    text.parse::<core::net::SocketAddr>().unwrap().into()
}

fn addresses(texts: &[&str]) -> Addresses {
    Addresses::new(texts.iter().map(|text| address(text))).unwrap()
}

fn name() -> HostName {
    HostName::parse("time.example").unwrap()
}

fn look_up() -> ToExchange {
    ToExchange::Resolve(Resolve { id: ID, name: name(), port: 123, families: Families::Both })
}

fn resolved(texts: &[&str]) -> Resolved {
    Resolved { id: ID, addresses: addresses(texts) }
}

fn exchange() -> Exchange {
    Exchange {
        id: ID,
        server: KeyServer::Name(name()),
        port: 4460,
        roots: 0,
        now: at(1_000),
        not_before: None,
        offer: AeadOffer::GCM_SIV_FIRST,
        turn: 0,
        at: None,
        denied: Denied::NONE,
        departure: crate::departure::Departure::USUAL,
        families: Families::Both,
    }
}

fn at(seconds: i64) -> WallTime {
    WallTime::saturating(seconds * 1_000_000_000)
}

fn validity(from: i64, until: i64) -> Validity {
    Validity::new(at(from), at(until)).unwrap()
}

fn keys(length: usize) -> KeyPair {
    let mut octets = [0; MAX_KEY];
    octets[..length].fill(7);
    KeyPair { client_to_server: Secret::new(&octets), server_to_client: Secret::new(&octets) }
}

fn exchanged() -> Exchanged {
    Exchanged {
        id: ID,
        keys: AssociationKeys::new(Aead::Aes128GcmSiv, keys(16), Some(keys(16))).unwrap(),
        cookies: 2,
        addresses: addresses(&["192.0.2.1:123"]),
        redirected: false,
        named: None,
        validity: validity(900, 1_100),
        deferred: false,
        operator: Operator::NONE,
    }
}

fn cookie(id: ExchangeId) -> FromExchange {
    FromExchange::Cookie(Cookie { id, octets: CookieOctets::from_octets(&[1; 100]).unwrap() })
}

fn failed(id: ExchangeId) -> FromExchange {
    FromExchange::ExchangeFailed(ExchangeFailed { id, reason: ExchangeFailure::Tls })
}

/// The result of a record after this many cookies.
fn judge(task: ToExchange, cookies: u8, said: &FromExchange) -> Result<Progress, Violation> {
    let mut asked = Asked::of(&task).unwrap();
    assert_eq!(asked.id(), ID);
    for _ in 0..cookies {
        assert_eq!(asked.judge(&cookie(ID)), Ok(Progress::Part));
    }
    asked.judge(said)
}

/// What becomes of it after two cookies.
fn end(task: &Exchange, exchanged: Exchanged) -> Result<Progress, Violation> {
    judge(ToExchange::Exchange(*task), 2, &FromExchange::Exchanged(exchanged))
}

#[test]
fn addresses_for_the_name_end_its_look_up() {
    let good = FromExchange::Resolved(resolved(&["192.0.2.1:123", "[2001:db8::1]:123"]));
    assert_eq!(judge(look_up(), 0, &good), Ok(Progress::Ended));
    let failed = FromExchange::Failed(Failed { id: ID, reason: LookupFailure::NoSuchName });
    assert_eq!(judge(look_up(), 0, &failed), Ok(Progress::Ended));
    assert_eq!(Asked::of(&ToExchange::Ping), None);
}

#[test]
fn a176_a121_what_a_look_up_cannot_end_with_is_unlawful() {
    let good = resolved(&["192.0.2.1:123"]);
    for (said, violation) in [
        (FromExchange::Resolved(Resolved { id: OTHER, ..good }), "something else"),
        (FromExchange::Failed(Failed { id: OTHER, reason: LookupFailure::NoSuchName }), "something else"),
        (FromExchange::Resolved(resolved(&["192.0.2.1:53"])), "another port"),
        (FromExchange::Hello(Shortfall::NONE), "something else"),
        (FromExchange::Pong, "something else"),
        (cookie(ID), "as if it were something else"),
        (FromExchange::Exchanged(exchanged()), "as if it were something else"),
        (failed(ID), "as if it were something else"),
    ] {
        let broken = judge(look_up(), 0, &said).unwrap_err();
        assert!(broken.contains(violation), "{broken} is not {violation}: {said:?}");
    }
}

#[test]
fn keys_of_its_own_exchange_end_it() {
    assert_eq!(end(&exchange(), exchanged()), Ok(Progress::Ended));
    let siv = AssociationKeys::new(Aead::AesSivCmac256, keys(32), None).unwrap();
    let siv = Exchanged { keys: siv, ..exchanged() };
    assert_eq!(end(&exchange(), siv.clone()), Ok(Progress::Ended));
    assert_eq!(
        end(&Exchange { offer: AeadOffer::only(Aead::AesSivCmac256), ..exchange() }, siv),
        Ok(Progress::Ended)
    );
    let elsewhere = addresses(&["192.0.2.1:4123", "[2001:db8::1]:4123"]);
    let redirected = Exchanged { redirected: true, addresses: elsewhere, ..exchanged() };
    assert_eq!(end(&exchange(), redirected), Ok(Progress::Ended));
    assert_eq!(judge(ToExchange::Exchange(exchange()), 3, &failed(ID)), Ok(Progress::Ended));
}

#[test]
fn a176_a121_an_outcome_that_the_exchange_cannot_have_is_unlawful() {
    type Edit = fn(&mut Exchanged);
    let cases: [(Edit, &str); 9] = [
        (|it| it.id = OTHER, "something else"),
        (|it| it.cookies = 1, "another number of cookies"),
        (|it| it.cookies = 3, "another number of cookies"),
        (|it| it.addresses = addresses(&["192.0.2.1:123", "192.0.2.2:123"]), "can't lead to"),
        (|it| it.validity = validity(800, 999), "not valid at the time"),
        (|it| it.validity = validity(1_001, 1_100), "not valid at the time"),
        (|it| it.deferred = true, "without leave"),
        (|it| it.addresses = addresses(&["192.0.2.1:123"; 2]), "can't lead to"),
        (|it| it.cookies = 0, "another number of cookies"),
    ];
    for (number, (edit, violation)) in cases.into_iter().enumerate() {
        let mut outcome = exchanged();
        edit(&mut outcome);
        let broken = end(&exchange(), outcome).unwrap_err();
        assert!(broken.contains(violation), "{number}: {broken} is not {violation}");
    }
    let siv_only = Exchange { offer: AeadOffer::only(Aead::AesSivCmac256), ..exchange() };
    assert!(end(&siv_only, exchanged()).unwrap_err().contains("not offered"));
    // None at all.
    let none = FromExchange::Exchanged(Exchanged { cookies: 0, ..exchanged() });
    assert!(judge(ToExchange::Exchange(exchange()), 0, &none).is_err());
}

#[test]
fn a176_deferred_validity_is_held_to_the_floor() {
    let task = Exchange { now: at(0), not_before: Some(at(1_000)), ..exchange() };
    assert_eq!(end(&task, Exchanged { deferred: true, ..exchanged() }), Ok(Progress::Ended));
    assert!(end(&task, exchanged()).is_err(), "not valid now");
    assert!(end(&task, Exchanged { deferred: true, validity: validity(900, 999), ..exchanged() }).is_err());
}

#[test]
fn a121_a_server_that_is_known_by_its_address_has_no_other_and_does_not_lead_to_this_host() {
    let task = Exchange { server: KeyServer::Address(address("192.0.2.1:4460")), ..exchange() };
    assert!(end(&task, exchanged()).is_ok());
    let other = Exchanged { addresses: addresses(&["192.0.2.2:123"]), ..exchanged() };
    assert!(end(&task, other.clone()).is_err());
    assert!(end(&task, Exchanged { redirected: true, ..other }).is_ok());
    let sixteen = Exchanged { redirected: true, addresses: addresses(&["127.0.0.1:123"; 16]), ..exchanged() };
    assert!(end(&task, sixteen.clone()).is_err());
    let near = Exchange { server: KeyServer::Address(address("[::1]:4460")), ..task };
    assert!(end(&near, sixteen).is_ok());
}

#[test]
fn a176_a_ninth_cookie_and_what_is_of_another_are_unlawful() {
    let task = ToExchange::Exchange(exchange());
    assert_eq!(judge(task, 8, &cookie(ID)), Err("sent more than 8 cookies of one key exchange"));
    let others: Vec<FromExchange> = [
        cookie(OTHER),
        FromExchange::Hello(Shortfall::NONE),
        FromExchange::Resolved(resolved(&["192.0.2.1:123"])),
        FromExchange::Failed(Failed { id: ID, reason: LookupFailure::NoSuchName }),
        failed(OTHER),
    ]
    .into();
    for said in others {
        assert!(judge(task, 0, &said).is_err(), "{said:?}");
    }
}

fn measure() -> Measure {
    let server = |key: u8| RoundServer {
        public_key: [key; 32],
        version: 1,
        host: KeyServer::Name(name()),
        port: 5_319,
    };
    let servers = RoundServers::new([1, 2, 3].map(server)).unwrap();
    Measure { id: ID, first_nonce: [9; 32], seed: [8; 32], servers }
}

/// From this server, between these raw seconds.
fn signed(server: u8, sent: i64, received: i64) -> Signed {
    let raw = |seconds: i64| RawInstant::saturating(seconds * 1_000_000_000);
    let response = Response::from_octets(&[1; 400]).unwrap();
    Signed { id: ID, server, rand: [0; 32], sent: raw(sent), received: raw(received), response }
}

fn measured(answers: u8, heard: [Heard; 3]) -> FromExchange {
    FromExchange::Measured(Measured { id: ID, answers, heard: HeardOf::new(heard).unwrap() })
}

/// What becomes of a round with these answers, and this end.
fn round(answers: &[Signed], end: &FromExchange) -> Result<Progress, Violation> {
    let mut asked = Asked::of(&ToExchange::Measure(measure())).unwrap();
    for answer in answers {
        assert_eq!(asked.judge(&FromExchange::Signed(*answer))?, Progress::Part);
    }
    asked.judge(end)
}

#[test]
fn a_round_ends_with_what_each_server_said() {
    let all = [signed(0, 1, 2), signed(2, 2, 3), signed(0, 3, 3), signed(1, 4, 5), signed(2, 6, 7)];
    let end = measured(5, [Heard::Answer; 3]);
    assert_eq!(round(&all, &end), Ok(Progress::Ended));
    let none = [Heard::Nothing, Heard::Invalid, Heard::NoAddress(LookupFailure::TryAgain)];
    assert_eq!(round(&[], &measured(0, none)), Ok(Progress::Ended));
    let failed = MeasureFailed { id: ID, reason: MeasureFailure::Broken };
    assert_eq!(round(&all[..2], &FromExchange::MeasureFailed(failed)), Ok(Progress::Ended));
}

#[test]
fn a176_what_no_round_can_say_is_unlawful() {
    let end = measured(2, [Heard::Answer, Heard::Answer, Heard::Nothing]);
    let good = [signed(0, 1, 2), signed(1, 2, 3)];
    assert_eq!(round(&good, &end), Ok(Progress::Ended));
    let with_rand = Signed { rand: [1; 32], ..signed(0, 1, 2) };
    let unlawful: [(&[Signed], &str); 6] = [
        (&[signed(3, 1, 2)], "not to be asked"),
        (&[signed(0, 1, 2), signed(0, 2, 3), signed(0, 3, 4)], "another order"),
        (&[signed(2, 1, 2), signed(1, 2, 3), signed(0, 3, 4)], "another order"),
        (&[signed(0, 2, 1)], "overlap"),
        (&[signed(0, 1, 3), signed(1, 2, 4)], "overlap"),
        (&[with_rand], "random octets"),
    ];
    for (answers, violation) in unlawful {
        let broken = round(answers, &end).unwrap_err();
        assert!(broken.contains(violation), "{broken} is not {violation}");
    }
    for (end, violation) in [
        (measured(1, [Heard::Answer, Heard::Answer, Heard::Nothing]), "another number"),
        (measured(2, [Heard::Answer; 3]), "against its answers"),
        (measured(2, [Heard::Answer, Heard::Nothing, Heard::Nothing]), "against its answers"),
        (failed(ID), "as if it were something else"),
        (FromExchange::Signed(Signed { id: OTHER, ..signed(2, 4, 5) }), "something else"),
    ] {
        let broken = round(&good, &end).unwrap_err();
        assert!(broken.contains(violation), "{broken} is not {violation}: {end:?}");
    }
    let two = HeardOf::new([Heard::Answer; 2]).unwrap();
    let two = FromExchange::Measured(Measured { id: ID, answers: 2, heard: two });
    assert!(round(&good, &two).is_err());
}

#[test]
fn a_round_has_three_to_five_servers_with_keys_of_their_own() {
    let server = measure().servers[0];
    let of = |keys: &[u8]| {
        RoundServers::new(keys.iter().map(|key| RoundServer { public_key: [*key; 32], ..server }))
    };
    assert!(of(&[1, 2, 3]).is_ok() && of(&[1, 2, 3, 4, 5]).is_ok());
    for bad in [&[][..], &[1, 2], &[1, 2, 1], &[1, 2, 3, 4, 5, 6]] {
        assert!(of(bad).is_err(), "{bad:?}");
    }
    for bad in [RoundServer { port: 0, ..server }, RoundServer { version: 0, ..server }] {
        let others = [2, 3].map(|key| RoundServer { public_key: [key; 32], ..server });
        assert!(RoundServers::new([bad].into_iter().chain(others)).is_err());
    }
}

#[test]
fn an_address_of_a_family_that_was_not_asked_for_is_unlawful() {
    let (v4, v6) = (&["192.0.2.1:123"][..], &["[2001:db8::1]:123"][..]);
    let both = &["192.0.2.1:123", "[2001:db8::1]:123"][..];
    for (families, lawful, unlawful) in [(Families::V4, v4, [v6, both]), (Families::V6, v6, [v4, both])] {
        let asked = Resolve { id: ID, name: name(), port: 123, families };
        let judged = |texts| {
            Asked::of(&ToExchange::Resolve(asked)).unwrap().judge(&FromExchange::Resolved(resolved(texts)))
        };
        assert_eq!(judged(lawful), Ok(Progress::Ended));
        unlawful.iter().for_each(|texts| assert!(judged(texts).is_err(), "{families:?} {texts:?}"));
        // Of a key exchange too, whoever names the server.
        for (texts, is_lawful) in [(lawful, true), (unlawful[0], false)] {
            for redirected in [false, true] {
                let asked = Exchange { families, ..exchange() };
                let mut asked = Asked::of(&ToExchange::Exchange(asked)).unwrap();
                assert_eq!(asked.judge(&cookie(ID)), Ok(Progress::Part));
                let ended = Exchanged { cookies: 1, addresses: addresses(texts), redirected, ..exchanged() };
                assert_eq!(asked.judge(&FromExchange::Exchanged(ended)).is_ok(), is_lawful, "{families:?}");
            }
        }
    }
}
