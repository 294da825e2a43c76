use super::{
    Address, Aead, Cookie, Exchange, ExchangeFailed, Exchanged, Failed, FromExchange, Judged, KeyPair,
    KeyServer, MAX_ADDRESSES, Resolve, Resolved, Secret, ToExchange, judge,
};
use ipc::message::Shortfall;
use ipc::message::exchange::{AeadOffer, ExchangeFailure, ExchangeId, HostName, LookupFailure};
use ipc::packet::CookieOctets;
use ipc::units::WallTime;
use proptest::prelude::*;

const ID: ExchangeId = ExchangeId(7);
const OTHER: ExchangeId = ExchangeId(8);

fn address(text: &str) -> Address {
    text.parse::<std::net::SocketAddr>().unwrap().into()
}

fn addresses(texts: &[&str]) -> [Address; MAX_ADDRESSES] {
    let mut addresses = [Address::NONE; MAX_ADDRESSES];
    for (place, text) in addresses.iter_mut().zip(texts) {
        *place = address(text);
    }
    addresses
}

fn name() -> HostName {
    HostName::parse("time.example").unwrap()
}

fn look_up() -> ToExchange {
    ToExchange::Resolve(Resolve { id: ID, name: name(), port: 123 })
}

fn resolved(texts: &[&str]) -> Resolved {
    Resolved { id: ID, count: texts.len() as u8, addresses: addresses(texts) }
}

fn exchange() -> Exchange {
    Exchange {
        id: ID,
        server: KeyServer::Name(name()),
        port: 4460,
        roots: 0,
        now: at(1_000),
        not_before: None,
        offer: AeadOffer::GcmSivFirst,
    }
}

fn at(seconds: i64) -> WallTime {
    WallTime::saturating(seconds * 1_000_000_000)
}

fn keys(length: usize) -> KeyPair {
    let mut octets = [0; 32];
    octets[..length].fill(7);
    KeyPair { client_to_server: Secret::new(&octets), server_to_client: Secret::new(&octets) }
}

fn exchanged() -> Exchanged {
    Exchanged {
        id: ID,
        algorithm: Aead::Aes128GcmSiv,
        keys: keys(16),
        alternate: Some(keys(16)),
        cookies: 2,
        count: 1,
        addresses: addresses(&["192.0.2.1:123"]),
        redirected: false,
        valid_from: at(900),
        valid_until: at(1_100),
        deferred: false,
    }
}

/// What becomes of it after two cookies.
fn is_lawful(task: &Exchange, exchanged: Exchanged) -> bool {
    let said = FromExchange::Exchanged(exchanged);
    match judge(&ToExchange::Exchange(*task), 2, said.clone()) {
        Judged::End(end) => {
            assert_eq!(end, said);
            true
        }
        Judged::Unlawful => false,
        Judged::Cookie(_) => panic!("no cookie"),
    }
}

#[test]
fn addresses_for_the_name_are_passed_on() {
    let good = FromExchange::Resolved(resolved(&["192.0.2.1:123", "[2001:db8::1]:123"]));
    assert_eq!(judge(&look_up(), 0, good.clone()), Judged::End(good));
    let failed = FromExchange::Failed(Failed { id: ID, reason: LookupFailure::NoSuchName });
    assert_eq!(judge(&look_up(), 0, failed.clone()), Judged::End(failed));
}

#[test]
fn a176_a121_what_the_child_of_a_look_up_may_not_say_is_unlawful() {
    let good = resolved(&["192.0.2.1:123"]);
    let cookie = Cookie { id: ID, octets: CookieOctets::from_octets(&[1]).unwrap() };
    for said in [
        FromExchange::Resolved(Resolved { id: OTHER, ..good }),
        FromExchange::Failed(Failed { id: OTHER, reason: LookupFailure::NoSuchName }),
        FromExchange::Resolved(resolved(&[])),
        FromExchange::Resolved(resolved(&["192.0.2.1:53"])),
        FromExchange::Resolved(resolved(&["192.0.2.1:123", "224.0.1.1:123"])),
        FromExchange::Resolved(Resolved { count: 17, ..good }),
        FromExchange::Resolved(Resolved { count: 1, ..resolved(&["192.0.2.1:123"; 2]) }),
        FromExchange::Hello(Shortfall::NONE),
        FromExchange::Cookie(cookie),
        FromExchange::Exchanged(exchanged()),
        FromExchange::ExchangeFailed(ExchangeFailed { id: ID, reason: ExchangeFailure::Tls }),
    ] {
        assert_eq!(judge(&look_up(), 0, said.clone()), Judged::Unlawful, "{said:?}");
    }
}

#[test]
fn a176_a_child_cannot_say_what_its_parent_says_of_children() {
    let parents = [LookupFailure::NotStarted, LookupFailure::Deadline, LookupFailure::Broken];
    for reason in parents {
        let said = FromExchange::Failed(Failed { id: ID, reason });
        assert_eq!(judge(&look_up(), 0, said), Judged::Unlawful, "{reason:?}");
    }
    let task = ToExchange::Exchange(exchange());
    let parents = parents.map(ExchangeFailure::Lookup).into_iter();
    for reason in
        parents.chain([ExchangeFailure::NotStarted, ExchangeFailure::Deadline, ExchangeFailure::Broken])
    {
        let said = FromExchange::ExchangeFailed(ExchangeFailed { id: ID, reason });
        assert_eq!(judge(&task, 0, said), Judged::Unlawful, "{reason:?}");
    }
    for reason in [LookupFailure::TryAgain, LookupFailure::NoResolver].map(ExchangeFailure::Lookup) {
        let said = FromExchange::ExchangeFailed(ExchangeFailed { id: ID, reason });
        assert_eq!(judge(&task, 0, said.clone()), Judged::End(said));
    }
}

#[test]
fn keys_of_its_own_exchange_are_passed_on() {
    assert!(is_lawful(&exchange(), exchanged()));
    let siv = Exchanged { algorithm: Aead::AesSivCmac256, keys: keys(32), alternate: None, ..exchanged() };
    assert!(is_lawful(&exchange(), siv.clone()));
    assert!(is_lawful(&Exchange { offer: AeadOffer::SivOnly, ..exchange() }, siv));
    let elsewhere = ["192.0.2.1:4123", "[2001:db8::1]:4123"];
    let redirected =
        Exchanged { redirected: true, count: 2, addresses: addresses(&elsewhere), ..exchanged() };
    assert!(is_lawful(&exchange(), redirected));
    let failed = FromExchange::ExchangeFailed(ExchangeFailed { id: ID, reason: ExchangeFailure::Tls });
    assert_eq!(judge(&ToExchange::Exchange(exchange()), 3, failed.clone()), Judged::End(failed));
}

#[test]
fn a176_a121_an_outcome_that_the_exchange_cannot_have_is_unlawful() {
    let task = exchange();
    let with = |change: fn(&mut Exchanged)| {
        let mut outcome = exchanged();
        change(&mut outcome);
        outcome
    };
    for (outcome, why) in [
        (with(|it| it.id = OTHER), "another id"),
        (with(|it| it.cookies = 1), "fewer cookies than came"),
        (with(|it| it.cookies = 3), "more cookies than came"),
        (with(|it| it.count = 0), "no address"),
        (with(|it| it.count = 17), "seventeen addresses"),
        (with(|it| it.count = 2), "an address that is none"),
        (with(|it| it.addresses = addresses(&["192.0.2.1:123", "192.0.2.2:123"])), "one too many"),
        (with(|it| it.addresses = addresses(&["192.0.2.1:0"])), "port 0"),
        (with(|it| it.addresses = addresses(&["224.0.1.1:123"])), "multicast"),
        (
            with(|it| {
                it.count = 2;
                it.addresses = addresses(&["192.0.2.1:123", "192.0.2.2:123"]);
            }),
            "two addresses of the one server",
        ),
        (
            with(|it| {
                (it.redirected, it.count) = (true, 2);
                it.addresses = addresses(&["192.0.2.1:123", "192.0.2.2:124"]);
            }),
            "two ports",
        ),
        (with(|it| it.keys = keys(17)), "a key that is too long"),
        (with(|it| it.alternate = Some(keys(32))), "another key that is too long"),
        (with(|it| it.valid_until = at(800)), "no validity"),
        (with(|it| it.valid_until = at(999)), "expired"),
        (with(|it| it.valid_from = at(1_001)), "not yet valid"),
        (with(|it| it.deferred = true), "deferred unasked"),
        (
            with(|it| {
                it.algorithm = Aead::AesSivCmac256;
                it.keys = keys(32);
            }),
            "keys that this algorithm has no use for",
        ),
    ] {
        assert!(!is_lawful(&task, outcome), "{why}");
    }
    let siv_only = Exchange { offer: AeadOffer::SivOnly, ..task };
    assert!(!is_lawful(&siv_only, exchanged()), "an algorithm that was not offered");
}

#[test]
fn a176_deferred_validity_is_held_to_the_floor() {
    let task = Exchange { now: at(0), not_before: Some(at(1_000)), ..exchange() };
    assert!(is_lawful(&task, Exchanged { deferred: true, ..exchanged() }));
    assert!(!is_lawful(&task, exchanged()), "not valid now");
    assert!(!is_lawful(&task, Exchanged { deferred: true, valid_until: at(999), ..exchanged() }));
}

#[test]
fn a121_a_server_that_is_known_by_its_address_has_no_other_and_does_not_lead_to_this_host() {
    let task = Exchange { server: KeyServer::Address(address("192.0.2.1:4460")), ..exchange() };
    assert!(is_lawful(&task, exchanged()));
    let other = Exchanged { addresses: addresses(&["192.0.2.2:123"]), ..exchanged() };
    assert!(!is_lawful(&task, other.clone()));
    assert!(is_lawful(&task, Exchanged { redirected: true, ..other }));
    let sixteen = Exchanged {
        redirected: true,
        count: 16,
        addresses: addresses(&["127.0.0.1:123"; 16]),
        ..exchanged()
    };
    assert!(!is_lawful(&task, sixteen.clone()));
    let near = Exchange { server: KeyServer::Address(address("[::1]:4460")), ..task };
    assert!(is_lawful(&near, sixteen));
}

#[test]
fn a176_a_ninth_cookie_and_one_of_another_are_unlawful() {
    let task = ToExchange::Exchange(exchange());
    let cookie = Cookie { id: ID, octets: CookieOctets::from_octets(&[1; 100]).unwrap() };
    for before in 0..8 {
        assert_eq!(judge(&task, before, FromExchange::Cookie(cookie)), Judged::Cookie(cookie));
    }
    assert_eq!(judge(&task, 8, FromExchange::Cookie(cookie)), Judged::Unlawful);
    assert_eq!(judge(&task, 0, FromExchange::Cookie(Cookie { id: OTHER, ..cookie })), Judged::Unlawful);
    for said in [
        FromExchange::Hello(Shortfall::NONE),
        FromExchange::Resolved(resolved(&["192.0.2.1:123"])),
        FromExchange::Failed(Failed { id: ID, reason: LookupFailure::NoSuchName }),
        FromExchange::ExchangeFailed(ExchangeFailed { id: OTHER, reason: ExchangeFailure::Tls }),
    ] {
        assert_eq!(judge(&task, 0, said.clone()), Judged::Unlawful, "{said:?}");
    }
    // None at all.
    let none = Exchanged { cookies: 0, ..exchanged() };
    assert_eq!(judge(&task, 0, FromExchange::Exchanged(none)), Judged::Unlawful);
}

proptest! {
    #[test]
    fn no_count_or_time_panics(count: u8, cookies: u8, from in 0..WallTime::MAX.nanos(), until: i64) {
        let outcome = Exchanged {
            count,
            cookies,
            valid_from: WallTime::saturating(from),
            valid_until: WallTime::saturating(until),
            ..exchanged()
        };
        is_lawful(&exchange(), outcome);
    }
}
