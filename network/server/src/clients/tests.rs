//! What is counted, of whom, and who stays.

use super::*;
use std::collections::BTreeSet;

const SECOND: i64 = 1_000_000_000;
const ANSWERED: Heard = Heard { version: 4, proof: Proof::None, fate: Fate::Answered };
const DROPPED: Heard = Heard { fate: Fate::Dropped, ..ANSWERED };
const DENIED: Heard = Heard { version: 3, fate: Fate::Denied, ..ANSWERED };

struct Bench {
    clients: Clients,
    memo: Memo,
}

impl Bench {
    fn new() -> Self {
        Self { clients: Clients::new(), memo: Memo::default() }
    }

    fn note(&mut self, ip: impl Into<IpAddr>, heard: Heard, nanos: i64) {
        let source = Source { ip: ip.into(), port: 4444 };
        self.clients.note(&mut self.memo, &source, heard, at(nanos));
    }

    /// All that are told, and how many are known and were replaced.
    fn told(&self, by: ClientOrder, most: u16, nanos: i64) -> (Vec<Client>, u32, u64) {
        let (mut all, mut counts, mut is_whole) = (Vec::new(), (0, 0), false);
        let take = |part: ClientsPart| {
            assert!(!is_whole, "a part after the last");
            assert!(part.ends || part.clients.len() == MAX_CLIENTS);
            all.extend(part.clients.iter().copied());
            (is_whole, counts) = (part.ends, (part.known, part.replaced));
            Ok::<(), ()>(())
        };
        self.clients.tell(ClientsWanted { by, most }, at(nanos), take).unwrap();
        assert!(is_whole && all.len() <= usize::from(most));
        (all, counts.0, counts.1)
    }

    /// Those with so many requests.
    fn networks(&self, least: u64) -> BTreeSet<(bool, [u8; 8])> {
        let all = self.clients.lines.iter().flat_map(|line| line.clients(0));
        all.filter(|client| client.requests >= least).map(|client| (client.ipv6, client.network)).collect()
    }
}

fn at(nanos: i64) -> RawInstant {
    RawInstant::saturating(1_000_000 * SECOND + nanos)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn host(number: u32) -> IpAddr {
    IpAddr::from((0xc612_0000 + number).to_be_bytes())
}

/// Pseudo-random, the same in every run.
fn draw(state: &mut u64) -> u32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 32) as u32
}

#[test]
fn what_a_client_did_is_counted_with_what_became_of_it() {
    let mut bench = Bench::new();
    bench.note(ip("192.0.2.7"), ANSWERED, 0);
    bench.note(ip("192.0.2.7"), DROPPED, 64 * SECOND);
    bench.note(ip("192.0.2.7"), Heard { proof: Proof::Nts, ..ANSWERED }, 80 * SECOND);
    let (all, known, replaced) = bench.told(ClientOrder::Requests, 10, 90 * SECOND);
    let [client] = all[..] else { panic!("{all:?}") };
    assert_eq!((known, replaced), (1, 0));
    assert_eq!((client.ipv6, client.network), (false, [192, 0, 2, 7, 0, 0, 0, 0]));
    assert_eq!((client.requests, client.dropped, client.version), (3, 1, 4));
    assert!(client.is_protected && !client.is_denied);
    // What is dropped is not opened, and does not say that it has no keys any more.
    bench.note(ip("192.0.2.7"), DROPPED, 90 * SECOND);
    assert!(bench.told(ClientOrder::Requests, 10, 90 * SECOND).0[0].is_protected);
    bench.note(ip("192.0.2.7"), ANSWERED, 90 * SECOND);
    assert!(!bench.told(ClientOrder::Requests, 10, 90 * SECOND).0[0].is_protected);
    // 64 s, then an eighth of the way to 16 s.
    assert_eq!(client.interval, Some(Span::from_secs(58)));
    assert_eq!(client.age, Span::from_secs(10));
}

#[test]
fn of_a_single_request_no_interval_is_known() {
    let mut bench = Bench::new();
    bench.note(ip("192.0.2.7"), ANSWERED, 0);
    assert_eq!(bench.told(ClientOrder::Last, 1, 0).0[0].interval, None);
}

#[test]
fn a_64_is_one_client_and_no_address_is_taken_for_another() {
    let mut bench = Bench::new();
    let all = ["2001:db8::1", "2001:db8:0:1::1", "::1", "fe80::1", "0.0.0.1", "255.255.255.254", "192.0.2.1"];
    for text in all {
        bench.note(ip(text), ANSWERED, 0);
    }
    bench.note(ip("2001:db8::2"), ANSWERED, 1);
    bench.note(ip("ff02::1"), ANSWERED, 1);
    let (told, known, _) = bench.told(ClientOrder::Requests, 100, 2);
    assert_eq!(known as usize, all.len());
    assert_eq!((told[0].ipv6, told[0].network), (true, [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0]));
    assert_eq!(told[0].requests, 2);
    assert!(told[1..].iter().all(|client| client.requests == 1));
    let four: BTreeSet<_> = told.iter().filter(|client| !client.ipv6).map(|client| client.network).collect();
    let expected = [[0, 0, 0, 1, 0, 0, 0, 0], [192, 0, 2, 1, 0, 0, 0, 0], [255, 255, 255, 254, 0, 0, 0, 0]];
    assert_eq!(four, BTreeSet::from(expected));
}

#[test]
fn a_client_that_is_no_longer_denied_begins_anew() {
    let mut bench = Bench::new();
    for second in 0..5 {
        bench.note(host(1), DENIED, second * SECOND);
    }
    let denied = bench.told(ClientOrder::Requests, 1, 5 * SECOND).0[0];
    assert_eq!((denied.requests, denied.dropped, denied.is_denied, denied.version), (5, 5, true, 3));
    bench.note(host(1), ANSWERED, 6 * SECOND);
    let allowed = bench.told(ClientOrder::Requests, 1, 6 * SECOND).0[0];
    assert_eq!((allowed.requests, allowed.dropped, allowed.is_denied), (1, 0, false));
}

#[test]
fn each_order_has_its_own_first_and_no_more_are_told_than_asked_for() {
    let mut bench = Bench::new();
    // Client n asks n times, every n seconds; client 3 is dropped.
    for number in 1..=200u32 {
        for turn in 0..number {
            let heard = if number == 3 { DROPPED } else { ANSWERED };
            bench.note(host(number), heard, i64::from(turn * number) * SECOND);
        }
    }
    let now = 200 * 200 * SECOND;
    let first = |by, most| {
        let (all, known, _) = bench.told(by, most, now);
        assert_eq!((all.len(), known), (usize::from(most.min(200)), 200));
        all.iter().map(|client| u32::from(client.network[3])).collect::<Vec<_>>()
    };
    assert_eq!(first(ClientOrder::Requests, 3), [200, 199, 198]);
    assert_eq!(first(ClientOrder::Dropped, 2), [3, 200]);
    // Client 1 asked once.
    assert_eq!(first(ClientOrder::Interval, 3), [2, 3, 4]);
    assert_eq!(first(ClientOrder::Last, 2), [200, 199]);
    let expected: Vec<u32> = (1..=200).rev().collect();
    for most in [1, 63, 64, 65, 128, 200, 1_000] {
        assert_eq!(first(ClientOrder::Requests, most), expected[..usize::from(most.min(200))], "{most}");
    }
    assert_eq!(Bench::new().told(ClientOrder::Last, 7, 0), (Vec::new(), 0, 0));
}

/// Clients that ask every 64 s, as they are after a few minutes.
fn regulars(count: u32) -> Bench {
    let mut bench = Bench::new();
    for turn in 0..5 {
        for number in 0..count {
            bench.note(host(number), ANSWERED, (turn * 64 - 320) * SECOND + i64::from(number) * 1_000);
        }
    }
    bench
}

#[test]
fn of_four_thousand_clients_nearly_all_are_known_and_of_too_many_as_many_as_there_is_room_for() {
    for (count, least) in [(400, 400), (4_000, 3_900), (20_000, 2_500)] {
        let mut bench = Bench::new();
        for turn in 0..30 {
            for number in 0..count {
                bench.note(host(number), ANSWERED, turn * 64 * SECOND + i64::from(number) * 1_000_000);
            }
        }
        // For at least a third of the time.
        let known = bench.networks(10).len();
        assert!(known >= least, "{known} of {count}");
    }
}

/// So many forged addresses, a hundred thousand a second, each of which comes a second time after so many others.
fn flood(bench: &mut Bench, count: i64, repeats: usize) {
    let (mut state, mut later) = (7, std::collections::VecDeque::new());
    for number in 0..count {
        let forged = IpAddr::from((draw(&mut state) & 0x3fff_ffff).to_be_bytes());
        bench.note(forged, ANSWERED, number * 10_000);
        later.push_back(forged);
        if later.len() > repeats
            && let Some(again) = later.pop_front().filter(|_| repeats > 0)
        {
            bench.note(again, ANSWERED, number * 10_000 + 5_000);
        }
    }
}

#[test]
fn a077_a_million_forged_addresses_replace_no_client_that_asks_again_and_again() {
    // Each once, each twice in a row, and each again after a thousand others.
    for repeats in [0, 1, 1_000] {
        let mut bench = regulars(400);
        let before = bench.networks(1);
        flood(&mut bench, 1_000_000, repeats);
        let left = bench.networks(1);
        let lost = before.difference(&left).count();
        assert_eq!((before.len(), lost), (400, 0), "each again after {repeats}");
        assert_eq!(left.len(), ROOM as usize);
        // Counts of those who stayed are their own.
        let counts = bench.clients.lines.iter().flat_map(|line| line.clients(0));
        let regular = counts.filter(|client| before.contains(&(client.ipv6, client.network)));
        assert!(regular.map(|client| client.requests).all(|requests| requests == 5));
    }
}

#[test]
fn a077_where_a_line_is_full_of_regular_clients_a_flood_costs_it_one() {
    for repeats in [0, 1, 1_000] {
        let mut bench = regulars(ROOM);
        // Those that have found a place at their second request of five.
        let before = bench.networks(4);
        let is_full =
            |line: &&Line| line.clients(0).iter().filter(|client| client.requests >= 4).count() == WAYS;
        let full = bench.clients.lines.iter().filter(is_full).count();
        assert!(full > 80 && before.len() > 5_000, "{full} lines are full, of {} clients", before.len());
        flood(&mut bench, 300_000, repeats);
        let lost = before.difference(&bench.networks(1)).count();
        assert_eq!(lost, full, "of {}, each again after {repeats}", before.len());
    }
}

#[test]
fn a080_two_tables_put_the_same_addresses_into_different_lines() {
    let (mut one, mut other) = (Bench::new(), Bench::new());
    let together = (0..1_000).filter(|number| {
        one.note(host(*number), ANSWERED, 0);
        other.note(host(*number), ANSWERED, 0);
        one.memo.line == other.memo.line
    });
    assert!(together.count() < 50);
}

#[test]
fn after_a_flood_new_clients_have_their_places_and_clients_that_are_gone_lose_theirs() {
    let mut bench = regulars(ROOM);
    // Two hours later others ask every 64 s.
    let new = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
    let later = 7_200 * SECOND;
    for turn in 0..5 {
        for number in 0..2_000 {
            bench.note(new(number), ANSWERED, later + turn * 64 * SECOND);
        }
    }
    let known = bench.told(ClientOrder::Last, 1_000, later + 300 * SECOND).0;
    assert!(known.iter().all(|client| client.network[0] == 10 && client.requests == 5));
    let all = bench.networks(5);
    let kept = (0..2_000).filter(|number| {
        let IpAddr::V4(v4) = new(*number) else { unreachable!() };
        let [a, b, c, d] = v4.octets();
        all.contains(&(false, [a, b, c, d, 0, 0, 0, 0]))
    });
    // Chance puts more than eight of them into a line here and there.
    assert!(kept.count() > 1_990);
}

#[test]
fn threads_lose_no_count_and_make_no_second_client_that_is_told() {
    let clients = Clients::new();
    std::thread::scope(|scope| {
        for thread in 0..4i64 {
            let clients = &clients;
            scope.spawn(move || {
                let mut memo = Memo::default();
                for turn in 0..20_000i64 {
                    let source = Source { ip: host((turn % 16) as u32), port: 1 };
                    let heard = if turn % 5 == 0 { DROPPED } else { ANSWERED };
                    clients.note(&mut memo, &source, heard, at(turn * 4 + thread));
                }
            });
        }
    });
    let bench = Bench { clients, memo: Memo::default() };
    let (all, known, replaced) = bench.told(ClientOrder::Requests, 100, SECOND);
    assert_eq!((all.len(), known, replaced), (16, 16, 0));
    let requests: u64 = all.iter().map(|client| client.requests).sum();
    let dropped: u64 = all.iter().map(|client| client.dropped).sum();
    // Two that enter the same client at the same moment may each lose the other's first few requests.
    assert!((79_000..=80_000).contains(&requests), "{requests}");
    assert!((15_800..=16_000).contains(&dropped), "{dropped}");
}

#[test]
fn times_at_both_ends_overflow_nothing() {
    let mut bench = Bench::new();
    let source = Source { ip: host(1), port: 1 };
    for now in [RawInstant::MIN, RawInstant::MAX] {
        bench.clients.note(&mut bench.memo, &source, ANSWERED, now);
    }
    let first = bench.told(ClientOrder::Interval, 1, 0).0[0];
    assert_eq!(first.interval, Some(Span::saturating(LONGEST << UNIT)), "the longest that is told apart");
    for now in [RawInstant::MAX, RawInstant::MIN, RawInstant::MAX, RawInstant::MIN] {
        bench.clients.note(&mut bench.memo, &source, ANSWERED, now);
    }
    for number in 0..100_000 {
        bench.clients.note(&mut bench.memo, &Source { ip: host(number), port: 1 }, ANSWERED, RawInstant::MAX);
    }
    assert_eq!(bench.told(ClientOrder::Interval, 5, 0).0.len(), 5);
}

/// `cargo test --release -p truechimer-server what_a_request_costs -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn what_a_request_costs() {
    const TIMES: u32 = 10_000_000;
    let measure = |what: &str, client: &dyn Fn(u32) -> IpAddr| {
        let mut bench = Bench::new();
        for number in 0..100_000 {
            bench.note(client(number), ANSWERED, i64::from(number));
        }
        let begun = std::time::Instant::now();
        for number in 0..TIMES {
            bench.note(client(number), ANSWERED, i64::from(number));
        }
        println!("{what}: {:.1} ns", begun.elapsed().as_nanos() as f64 / f64::from(TIMES));
    };
    measure("one client", &|_| host(1));
    measure("128 clients in turn", &|number| host(number % 128));
    measure("4000 clients in turn", &|number| host(number.wrapping_mul(0x9e37_79b9) % 4_000));
    measure("forged addresses", &|number| IpAddr::from(number.wrapping_mul(0x9e37_79b9).to_be_bytes()));
}
