use super::*;
use core::net::SocketAddr;
use ipc::units::WallTime;

const OF: (SourceId, Group) = (SourceId::of(7), Group::Deciding);

fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().unwrap().into()
}

fn at(micros: i64) -> RawInstant {
    RawInstant::saturating(1_000_000_000 + micros * 1000)
}

fn now(micros: i64) -> Now {
    Now { raw: at(micros), wall: WallTime::MIN }
}

fn opened() -> (Exchanges, QueryId) {
    let mut exchanges = Exchanges::new();
    let id = exchanges.begin(
        OF,
        (1, Speech::Version4, None),
        address("192.0.2.1:123"),
        at(0),
        at(1_000_000),
        None,
    );
    (exchanges, id)
}

fn sent(id: QueryId, t1: i64) -> Sent {
    Sent { id, t1: at(t1), stamp: Stamp::User, local: Address::NONE }
}

fn read(exchange: &Exchange, t4: i64, received: i64) -> Result<Readings, Violation> {
    exchange.readings(address("192.0.2.1:123"), at(t4), Stamp::Kernel, now(received))
}

#[test]
fn a099_a_reply_to_a_query_that_is_not_open_is_a_breach() {
    let (mut exchanges, id) = opened();
    assert!(exchanges.end(QueryId(id.0 + 1)).is_err());
    assert!(exchanges.end(id).unwrap().is_some());
    assert!(exchanges.end(id).is_err(), "closed");
}

#[test]
fn a099_a_reply_from_an_address_that_was_not_asked_is_a_breach() {
    let (mut exchanges, id) = opened();
    exchanges.sent(&sent(id, 10)).unwrap();
    let exchange = exchanges.end(id).unwrap().unwrap();
    for stranger in ["192.0.2.2:123", "192.0.2.1:124"] {
        assert!(exchange.readings(address(stranger), at(90), Stamp::Kernel, now(100)).is_err());
    }
    assert!(read(&exchange, 90, 100).is_ok());
}

#[test]
fn a100_nothing_is_said_twice_or_before_its_time() {
    let (mut exchanges, id) = opened();
    let early = exchanges.open[0].clone();
    assert!(read(&early, 90, 100).is_err(), "a reply before Sent");
    exchanges.sent(&sent(id, 10)).unwrap();
    assert!(exchanges.sent(&sent(id, 10)).is_err());
    assert!(exchanges.sent(&sent(QueryId(99), 10)).is_err());
}

#[test]
fn a101_stamps_outside_the_engines_own_readings_are_a_breach() {
    for (t1, t4, received) in [(-5_000, 90, 100), (10, 5_200, 100), (50_000, 40_000, 60_000)] {
        let (mut exchanges, id) = opened();
        exchanges.sent(&sent(id, t1)).unwrap();
        let exchange = exchanges.end(id).unwrap().unwrap();
        assert!(read(&exchange, t4, received).is_err(), "{t1} {t4}");
    }
    // By a little it is bad luck: the sample is lost, nothing else.
    for (t1, t4) in [(-100, 90), (10, 200), (95, 90)] {
        let (mut exchanges, id) = opened();
        exchanges.sent(&sent(id, t1)).unwrap();
        let exchange = exchanges.end(id).unwrap().unwrap();
        assert_eq!(read(&exchange, t4, 100), Ok(Readings::Useless), "{t1} {t4}");
    }
}

#[test]
fn a101_equal_stamps_are_left_to_the_shortfall_rule() {
    let (mut exchanges, id) = opened();
    exchanges.sent(&sent(id, 50)).unwrap();
    let exchange = exchanges.end(id).unwrap().unwrap();
    assert!(matches!(read(&exchange, 50, 100), Ok(Readings::Inside(_))));
}

#[test]
fn what_was_given_up_may_still_end_once() {
    let (mut exchanges, id) = opened();
    assert!(exchanges.expire(at(2_000_000), Group::Deciding, |_| false).is_empty());
    assert_eq!(exchanges.expire(at(3_000_001), Group::Deciding, |_| false), [id]);
    assert_eq!(exchanges.end(id), Ok(None));
    assert!(exchanges.end(id).is_err());
}

#[test]
fn a_query_that_decides_nothing_makes_room_for_one_that_does() {
    let mut exchanges = Exchanges::new();
    let mut begin = |group| {
        let of = (SourceId::of(7), group);
        exchanges.begin(of, (1, Speech::Version4, None), address("192.0.2.1:123"), at(0), at(1_000_000), None)
    };
    let (observed, first) = (begin(Group::Observed), begin(Group::Deciding));
    let _: Vec<QueryId> = (3..MAX_OPEN).map(|_| begin(Group::Deciding)).collect();
    assert_eq!(exchanges.make_room(), None, "there is room");
    exchanges.begin(OF, (1, Speech::Version4, None), address("192.0.2.1:123"), at(0), at(1_000_000), None);
    assert!(exchanges.is_full());
    assert_eq!(exchanges.make_room(), Some(observed));
    assert!(!exchanges.is_full() && exchanges.is_observed(observed) && !exchanges.is_observed(first));
    exchanges.begin(OF, (1, Speech::Version4, None), address("192.0.2.1:123"), at(0), at(1_000_000), None);
    assert_eq!((exchanges.is_full(), exchanges.make_room()), (true, None));
    assert_eq!(exchanges.end(observed), Ok(None), "its end may still come");
}

#[test]
fn an_exchange_across_a_discontinuity_is_useless() {
    let (mut exchanges, id) = opened();
    exchanges.sent(&sent(id, 10)).unwrap();
    exchanges.cut_all();
    let exchange = exchanges.end(id).unwrap().unwrap();
    assert_eq!(read(&exchange, 9_000_000, 100), Ok(Readings::Useless));
}

#[test]
fn a046_a064_no_more_than_four_packets_are_passed_on_for_one_query() {
    let mut exchanges = Exchanges::new();
    let (sent, deadline) = (at(0), at(1_000_000));
    let id = exchanges.begin(
        OF,
        (1, Speech::Version4, None),
        address("192.0.2.1:123"),
        sent,
        deadline,
        Some(Proof::Nts([9; 32])),
    );
    let plain =
        exchanges.begin(OF, (1, Speech::Version4, None), address("192.0.2.1:123"), sent, deadline, None);
    assert!(exchanges.candidate(plain).is_err(), "its replies are judged by the client");
    for _ in 0..4 {
        assert!(matches!(exchanges.candidate(id), Ok(Some((_, Proof::Nts([9, ..]))))));
    }
    assert!(exchanges.candidate(id).is_err());
    assert!(exchanges.candidate(QueryId(99)).is_err());
}

#[test]
fn a067_what_comes_after_the_reply_was_found_is_silent() {
    let mut exchanges = Exchanges::new();
    let id = exchanges.begin(
        OF,
        (1, Speech::Version4, None),
        address("192.0.2.1:123"),
        at(0),
        at(1_000_000),
        Some(Proof::Nts([9; 32])),
    );
    exchanges.note_nak(id);
    assert!(exchanges.candidate(id).unwrap().unwrap().0.has_nak());
    exchanges.accept(id);
    for _ in 0..9 {
        assert_eq!(exchanges.candidate(id), Ok(None));
    }
    assert_eq!(exchanges.end(id), Ok(None), "its end may cross our cancellation");
}
