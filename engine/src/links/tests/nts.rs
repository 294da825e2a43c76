use super::*;
use engine_core::io::Now;
use ipc::aead::{Aead, AeadOffer};
use ipc::message::exchange::{
    Addresses, AssociationKeys, Cookie, Denied, ExchangeFailed, ExchangeFailure, Exchanged, Families,
    HostName, KeyServer, Validity,
};
use ipc::message::key_service::KeyPolicy;
use ipc::packet::CookieOctets;
use ipc::secret::{KeyPair, MAX_KEY, Secret};
use ipc::served_at::ServedAt;
use std::net::SocketAddr;
use std::os::fd::AsFd;

fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().unwrap().into()
}

fn exchange(id: u64, offer: AeadOffer) -> Exchange {
    Exchange {
        id: ExchangeId(id),
        server: KeyServer::Name(HostName::parse("a.example").unwrap()),
        port: 4460,
        roots: 0,
        now: WallTime::MIN,
        not_before: None,
        offer,
        turn: 0,
        at: None,
        denied: Denied::NONE,
        departure: ipc::departure::Departure::USUAL,
        families: Families::Both,
    }
}

fn keys(octets: usize) -> KeyPair {
    let mut key = [0; MAX_KEY];
    key[..octets].fill(7);
    KeyPair { client_to_server: Secret::new(&key), server_to_client: Secret::new(&key) }
}

fn exchanged(id: u64) -> Exchanged {
    Exchanged {
        id: ExchangeId(id),
        keys: AssociationKeys::new(Aead::AesSivCmac256, keys(32), None).unwrap(),
        cookies: 2,
        addresses: Addresses::new([address("192.0.2.1:123")]).unwrap(),
        redirected: false,
        named: None,
        validity: Validity::new(WallTime::MIN, WallTime::MAX).unwrap(),
        deferred: false,
        operator: ipc::message::exchange::Operator::NONE,
    }
}

fn cookie(id: u64) -> FromExchange {
    FromExchange::Cookie(Cookie { id: ExchangeId(id), octets: CookieOctets::from_octets(&[1; 100]).unwrap() })
}

fn failed(id: u64) -> FromExchange {
    FromExchange::ExchangeFailed(ExchangeFailed { id: ExchangeId(id), reason: ExchangeFailure::Tls })
}

/// What the links say of these records of the exchange process after key exchange 1 was asked for.
fn exchange_says(offer: AeadOffer, records: &[FromExchange]) -> Result<usize, String> {
    let mut bench = bench();
    assert_eq!(bench.links.send_exchange(at(1), exchange(1, offer)), Ok(Taken::Yes));
    bench.exchange.send(&FromExchange::Hello(Shortfall::NONE)).unwrap();
    bench.links.receive(at(1), Process::Exchange).unwrap();
    for record in records {
        bench.exchange.send(record).unwrap();
        if let Err(breach) = bench.links.receive(at(2), Process::Exchange) {
            assert_eq!(breach.process, Process::Exchange);
            return Err(breach.violation);
        }
    }
    Ok(records.len())
}

#[test]
fn a121_a_key_exchange_ends_once_and_with_the_cookies_that_came() {
    let says = |records: &[FromExchange]| exchange_says(AeadOffer::GCM_SIV_FIRST, records);
    let good = [cookie(1), cookie(1), FromExchange::Exchanged(exchanged(1))];
    assert_eq!(says(&good), Ok(3));
    assert_eq!(says(&[cookie(1), failed(1)]), Ok(2));
    for (records, violation) in [
        (vec![cookie(2)], "that is not open"),
        (vec![failed(2)], "that is not open"),
        (vec![failed(1), failed(1)], "that is not open"),
        (vec![failed(1), cookie(1)], "that is not open"),
        ([&good[..], &good[2..]].concat(), "that is not open"),
        (good[1..].to_vec(), "another number of cookies"),
        (good[2..].to_vec(), "another number of cookies"),
        (vec![cookie(1); 9], "more than 8 cookies"),
    ] {
        let said = says(&records).unwrap_err();
        assert!(said.contains(violation), "{said} is not {violation}");
    }
}

#[test]
fn a120_a121_keys_that_no_honest_exchange_ends_with_are_a_breach() {
    type Edit = fn(&mut Exchanged);
    let says = |offer, edit: Edit| {
        let mut ended = exchanged(1);
        edit(&mut ended);
        exchange_says(offer, &[cookie(1), cookie(1), FromExchange::Exchanged(ended)])
    };
    let gcm: Edit = |ended| {
        ended.keys = AssociationKeys::new(Aead::Aes128GcmSiv, keys(16), Some(keys(16))).unwrap();
    };
    assert_eq!(says(AeadOffer::GCM_SIV_FIRST, gcm), Ok(3));
    assert_eq!(says(AeadOffer::only(Aead::AesSivCmac256), |_| ()), Ok(3));
    assert!(says(AeadOffer::only(Aead::AesSivCmac256), gcm).unwrap_err().contains("not offered"));
    assert!(
        says(AeadOffer::only(Aead::AesSivCmac256), |ended| ended.deferred = true)
            .unwrap_err()
            .contains("without leave")
    );
}

#[test]
fn a121_keys_of_a_form_that_no_message_has_are_a_breach() {
    let mut bench = bench();
    bench.links.send_exchange(at(1), exchange(1, AeadOffer::only(Aead::AesSivCmac256))).unwrap();
    let record = |sequence, said: FromExchange| {
        let mut frame = [0; ipc::MAX_FRAME];
        let length = ipc::encode(sequence, &said, &mut frame);
        frame[..length].to_vec()
    };
    let mut ended = record(2, FromExchange::Exchanged(exchanged(1)));
    // Behind head, kind, id, algorithm, both keys, the absent other ones and the number of cookies.
    let count = 6 + 4 + 8 + 4 + 2 * MAX_KEY + 1 + 1;
    assert_eq!(ended[count], 1);
    ended[count] = 17;
    let raw = bench.exchange.as_fd();
    for octets in [record(0, FromExchange::Hello(Shortfall::NONE)), record(1, cookie(1)), ended] {
        nix::unistd::write(raw, &octets).unwrap();
    }
    for _ in 0..2 {
        assert!(matches!(bench.links.receive(at(2), Process::Exchange), Ok(Some(_))));
    }
    let breach = bench.links.receive(at(2), Process::Exchange).unwrap_err();
    assert!(breach.violation.contains("out of range"), "{breach}");
}

#[test]
fn validity_may_be_put_off_where_that_was_asked_for() {
    let mut bench = bench();
    let asked =
        Exchange { not_before: Some(WallTime::MIN), ..exchange(1, AeadOffer::only(Aead::AesSivCmac256)) };
    bench.links.send_exchange(at(1), asked).unwrap();
    let ended = Exchanged { deferred: true, cookies: 1, ..exchanged(1) };
    for record in [FromExchange::Hello(Shortfall::NONE), cookie(1), FromExchange::Exchanged(ended)] {
        bench.exchange.send(&record).unwrap();
        assert!(matches!(bench.links.receive(at(1), Process::Exchange), Ok(Some(_))));
    }
}

#[test]
fn a_ninth_key_exchange_waits_for_one_of_the_others() {
    let mut bench = bench();
    for id in 1..=8 {
        assert_eq!(
            bench.links.send_exchange(at(1), exchange(id, AeadOffer::only(Aead::AesSivCmac256))),
            Ok(Taken::Yes)
        );
    }
    assert_eq!(
        bench.links.send_exchange(at(1), exchange(9, AeadOffer::only(Aead::AesSivCmac256))),
        Ok(Taken::Skipped)
    );
    bench.exchange.send(&FromExchange::Hello(Shortfall::NONE)).unwrap();
    bench.exchange.send(&failed(4)).unwrap();
    bench.links.receive(at(1), Process::Exchange).unwrap();
    bench.links.receive(at(1), Process::Exchange).unwrap();
    assert_eq!(
        bench.links.send_exchange(at(1), exchange(10, AeadOffer::only(Aead::AesSivCmac256))),
        Ok(Taken::Yes)
    );
}

fn in_use(not_before: i64, not_after: i64) -> FromKeyService {
    FromKeyService::Certificate(0, Loaded::InUse { not_before, not_after })
}

/// What the links say of these records of the key exchange service.
fn key_service_says(reloads: u32, records: &[FromKeyService]) -> Result<usize, String> {
    let mut bench = bench();
    for _ in 0..reloads {
        bench.links.key_service.send_reload(Now { raw: at(1), wall: WallTime::MIN }, true).unwrap();
    }
    for record in records {
        bench.key_service.send(record).unwrap();
        if let Err(breach) = bench.links.receive(at(1), Process::KeyService) {
            assert_eq!(breach.process, Process::KeyService);
            return Err(breach.to_string());
        }
    }
    Ok(records.len())
}

#[test]
fn a122_the_key_exchange_service_says_what_it_may_in_its_order() {
    let hello = FromKeyService::Hello(Shortfall::NONE);
    let holder = FromKeyService::HolderHello(Shortfall::NONE);
    let counts = |accepted| FromKeyService::Counters(KeyCounters { accepted, ..KeyCounters::ZERO });
    assert_eq!(key_service_says(0, &[hello, holder, in_use(1, 2), counts(1), counts(2)]), Ok(5));
    assert_eq!(key_service_says(1, &[hello, in_use(1, 2), in_use(5, 5)]), Ok(3));
    for (records, violation) in [
        (vec![holder], "before its hello"),
        (vec![hello, hello], "said hello twice"),
        (vec![hello, holder, holder], "the key holder's hello twice"),
        (vec![hello, in_use(2, 1)], "ends before it begins"),
        (vec![hello, in_use(1, 2), in_use(1, 2)], "without being asked"),
        (vec![hello, counts(2), counts(1)], "counters that fell"),
        ([&[hello][..], &[counts(1); 600]].concat(), "more than once a second"),
    ] {
        let said = key_service_says(0, &records).unwrap_err();
        assert!(
            said.contains(violation) && said.contains("the key exchange service"),
            "{said} is not {violation}"
        );
    }
}

#[test]
fn cookie_keys_go_to_whoever_is_there_to_use_them() {
    let mut source = crate::cookie_keys::CookieSource::new(None, None).0;
    let now = engine_core::io::Now { raw: at(1), wall: WallTime::MIN };
    source.look(now, true, WallTime::MIN, || Some(zeroize::Zeroizing::new([7; 32])));
    let keys = source.keys().unwrap();

    let mut unlinked = bench();
    unlinked.links.send_plan(at(1), plan()).unwrap();
    unlinked.links.send_cookie_keys(at(1), &keys).unwrap();
    drop(unlinked.links);
    assert!(unlinked.server.receive().is_err() && unlinked.key_service.receive().is_err());

    let mut both = bench();
    let path = ipc::file_path::FilePath::parse("/a").unwrap();
    let service = ipc::message::launch::KeyService {
        listen: Bounded::new([ServedAt::anywhere(address("127.0.0.1:4460"))]).unwrap(),
        threads: 0,
        first: ipc::message::launch::Pair { certificate: path, key: path },
        further: Default::default(),
    };
    let plan = LaunchPlan {
        listen: Bounded::new([ServedAt::anywhere(address("127.0.0.1:123"))]).unwrap(),
        key_service: Some(service),
        ..plan()
    };
    both.links.send_plan(at(1), plan).unwrap();
    assert!(both.links.expects(Process::KeyService) && both.links.expects(Process::KeyHolder));
    both.links.send_cookie_keys(at(1), &keys).unwrap();
    both.links.key_service.send_policy(at(1), KeyPolicy::DEFAULT).unwrap();
    assert_eq!(both.server.receive(), Ok(Some((0, ToServer::CookieKeys(keys.clone())))));
    assert_eq!(both.key_service.receive(), Ok(Some((0, ToKeyService::CookieKeys(keys)))));
    assert_eq!(both.key_service.receive(), Ok(Some((1, ToKeyService::Policy(KeyPolicy::DEFAULT)))));
}
