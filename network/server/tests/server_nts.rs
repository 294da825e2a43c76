//! Requests under NTS: which are answered, which receive an NTS NAK, and which nothing.

mod support;

use bench::memory;
use bench::programs::wait_for;
use bench::role::Numbers;
use ipc::message::server::ServerPolicy;
use protocol::header::Header;
use protocol::nts::aead::Algorithm;
use protocol::timestamp::Timestamp;
use server::{Refusal, ReplyKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;
use support::bench::{Bench, RECEIVE, SECOND, TRANSMIT};
use support::nts::{BOTH, Client, TODAY, Told, cookie_keys, message, todays_key};
use support::{Server, counters_when, send_as, start, start_with};

/// Long enough for an answer on a busy machine, and short enough to wait for silence.
const TIMEOUT: Duration = Duration::from_secs(3);
const SILENCE: Duration = Duration::from_millis(300);
const VICTIM: &str = "198.51.100.7:123";

fn client(algorithm: Algorithm) -> Client {
    Client::new(algorithm, 9, &cookie_keys(1, TODAY))
}

/// Replaces the cookie of the request by another one of the same length; the tag is wrong then, too.
fn with_cookie(client: &Client, number: u64, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut request = client.request(number, 0);
    let at = 48 + 36 + 4;
    change(&mut request[at..at + client.cookie.len()]);
    request
}

#[test]
fn a_client_with_the_key_gets_time_and_as_many_cookies_as_it_asked_for() {
    for algorithm in BOTH {
        let (mut bench, mut client) = (Bench::limited(), client(algorithm));
        for placeholders in 0..8 {
            let number = placeholders as u64 + 1;
            let request = client.request(number, placeholders);
            let (kind, reply) = bench.answer_to(&request, VICTIM).unwrap();
            assert_eq!((kind, reply.len()), (ReplyKind::Basic, request.len()));
            let Told::Time(header, cookies) = client.read(&reply, number, number) else { panic!("a NAK") };
            assert_eq!((header.stratum, header.mode, header.origin_timestamp), (2, 4, number));
            assert_eq!((header.receive_timestamp, header.transmit_timestamp), (RECEIVE, TRANSMIT));
            assert_eq!(cookies.len(), placeholders + 1);
            // A new cookie is as good as the old one, and different.
            assert_ne!(client.cookie, cookies[placeholders]);
            client.cookie.clone_from(&cookies[placeholders]);
        }
    }
}

#[test]
fn a082_cookies_that_can_not_be_opened_are_answered_with_a_nak_that_is_shorter() {
    for algorithm in BOTH {
        let (mut bench, client) = (Bench::new(None), client(algorithm));
        let other_server = Client::new(algorithm, 9, &cookie_keys(2, TODAY));
        let rotated_out = Client::new(algorithm, 9, &cookie_keys(1, TODAY - 3));
        let mut requests = vec![
            other_server.request(5, 0),
            rotated_out.request(5, 7),
            with_cookie(&client, 5, |cookie| cookie[..4].copy_from_slice(&[0xff; 4])),
            with_cookie(&client, 5, |cookie| cookie.fill(0)),
        ];
        let bits = 8 * client.cookie.len();
        requests
            .extend((0..bits).map(|bit| with_cookie(&client, 5, |cookie| cookie[bit / 8] ^= 1 << (bit % 8))));
        for request in requests {
            let (kind, reply) = bench.answer_to(&request, VICTIM).unwrap();
            assert_eq!((kind, reply.len()), (ReplyKind::Nak, 48 + 36));
            assert!(reply.len() < request.len());
            assert_eq!(client.read(&reply, 5, 5), Told::Nak);
            assert_eq!(reply[48..84], request[48..84], "the unique identifier comes back");
        }
    }
}

#[test]
fn a082_cookies_of_a_few_octets_are_no_harm() {
    let mut bench = Bench::new(None);
    for length in 1..12 {
        let stub = Client { cookie: vec![7; length], ..client(Algorithm::AesSivCmac256) };
        let request = stub.request(5, 0);
        assert_eq!(bench.answer_to(&request, VICTIM).map(|(kind, _)| kind), Ok(ReplyKind::Nak), "{length}");
    }
}

#[test]
fn a085_cookies_of_two_days_back_and_of_the_next_day_are_opened_at_the_turn_of_the_keys() {
    for algorithm in BOTH {
        let mut bench = Bench::new(None);
        for (sealed_on, kind) in [
            (TODAY - 3, ReplyKind::Nak),
            (TODAY - 2, ReplyKind::Basic),
            (TODAY - 1, ReplyKind::Basic),
            (TODAY, ReplyKind::Basic),
            (TODAY + 1, ReplyKind::Basic),
        ] {
            let client = Client::new(algorithm, 9, &cookie_keys(1, sealed_on));
            let answered = bench.answer_to(&client.request(1, 0), VICTIM).map(|(kind, _)| kind);
            assert_eq!(answered, Ok(kind), "{sealed_on}");
        }
    }
}

#[test]
fn a078_a_client_with_the_key_is_answered_beside_any_flood_in_its_name() {
    let (mut bench, client) = (Bench::limited(), client(Algorithm::Aes128GcmSiv));
    let plain = protocol::request::minimal(3).encode();
    let forged = with_cookie(&client, 4, |cookie| cookie[20] ^= 1);
    let (mut answered, mut naks, mut times) = (0, 0, 0);
    for turn in 0..10_000u64 {
        bench.now += SECOND / 1_000;
        let request = if turn.is_multiple_of(2) { &plain[..] } else { &forged };
        match bench.answer_to(request, VICTIM) {
            Ok((ReplyKind::Nak, _)) => naks += 1,
            Ok((ReplyKind::Basic, _)) => times += 1,
            _ => {}
        }
        if turn % 500 == 250 {
            answered += u32::from(bench.answer_to(&client.request(turn, 0), VICTIM).is_ok());
        }
    }
    assert_eq!(answered, 20, "of 20 in ten seconds");
    // The address has room for 128 at once and 16 a second, of either kind; a quarter of the plain rest leaks,
    // and of the forged rest nothing.
    assert!(naks < 288, "{naks}");
    assert!(times > 1_000, "{times}");
}

#[test]
fn a078_another_clients_key_spends_nothing_of_the_victims_bucket() {
    let (mut bench, victim) = (Bench::limited(), client(Algorithm::AesSivCmac256));
    let rogue = Client::new(Algorithm::AesSivCmac256, 10, &cookie_keys(1, TODAY));
    let mut answered = 0;
    for turn in 0..1_000 {
        answered += u32::from(bench.answer_to(&rogue.request(turn, 0), VICTIM).is_ok_and(is_time));
    }
    assert!((128..600).contains(&answered), "{answered} of the rogue's");
    for turn in 0..100 {
        let reply = bench.answer_to(&victim.request(turn, 0), VICTIM);
        assert!(reply.is_ok_and(is_time), "{turn}");
    }
}

fn is_time((kind, _): (ReplyKind, Vec<u8>)) -> bool {
    kind == ReplyKind::Basic
}

#[test]
fn a078_floods_of_plain_requests_from_everywhere_do_not_narrow_what_is_protected() {
    let mut bench = Bench::limited();
    let client = client(Algorithm::AesSivCmac256);
    let plain = protocol::request::minimal(3).encode();
    for turn in 0..300_000u32 {
        bench.now += SECOND / 100_000;
        let [_, a, b, c] = turn.to_be_bytes();
        let _ = bench.answer_to(&plain, &format!("{}.{b}.{c}.1:123", 20 + a));
    }
    for turn in 0..100 {
        assert!(bench.answer_to(&client.request(turn, 0), VICTIM).is_ok_and(is_time), "{turn}");
    }
}

#[test]
fn an_association_that_asks_too_often_is_told_so_under_its_key() {
    let (mut bench, client) = (Bench::limited(), client(Algorithm::AesSivCmac256));
    let mut kisses = 0;
    for number in 1..2_000 {
        match bench.answer_to(&client.request(number, 0), VICTIM) {
            Ok((ReplyKind::Kiss, reply)) => {
                let Told::Time(header, cookies) = client.read(&reply, number, number) else {
                    panic!("a NAK")
                };
                assert_eq!((header.stratum, header.reference_id.to_be_bytes()), (0, *b"RATE"));
                assert_eq!(cookies.len(), 1, "the cookie that was spent is made up for");
                kisses += 1;
            }
            Ok(_) | Err(Refusal::Limited) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!((1..=65).contains(&kisses), "{kisses}");
}

#[test]
fn a_protected_reply_is_interleaved_where_the_client_wants_it() {
    let (mut bench, mut client) = (Bench::new(None), client(Algorithm::AesSivCmac256));
    let address = VICTIM.parse::<SocketAddr>().unwrap().ip();
    let left = 0xee07_3abf_0000_0002;
    bench.departures.put(bench.departures.name(RECEIVE - 2, address), left, 0);
    client.header = Header { origin_timestamp: RECEIVE - 2, receive_timestamp: 0x77, ..client.header };
    let (kind, reply) = bench.answer_to(&client.request(5, 0), VICTIM).unwrap();
    assert_eq!(kind, ReplyKind::Interleaved);
    let Told::Time(header, _) = client.read(&reply, 5, 0x77) else { panic!("a NAK") };
    assert_eq!((header.origin_timestamp, header.transmit_timestamp), (0x77, left));
}

#[test]
fn a073_no_change_of_a_protected_request_gets_a_reply_that_is_longer_than_it() {
    let mut bench = Bench::new(None);
    let mut numbers = Numbers(0x73);
    for turn in 0..4_000u64 {
        let algorithm = BOTH[turn as usize % 2];
        let mut request = client(algorithm).request(turn, (numbers.draw() % 9) as usize);
        for _ in 0..numbers.draw() % 4 {
            let at = (numbers.draw() % request.len() as u64) as usize;
            match numbers.draw() % 4 {
                0 => request.truncate(at.max(1)),
                1 => request.extend_from_within(at.saturating_sub(at % 4)..),
                _ => request[at] ^= 1 << (numbers.draw() % 8),
            }
        }
        request.truncate(1_344);
        // The bench compares the lengths.
        let _ = bench.answer_to(&request, VICTIM);
    }
}

fn socket(address: &str, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

fn ask(socket: &UdpSocket, request: &[u8]) -> Option<Vec<u8>> {
    socket.send(request).unwrap();
    let mut reply = vec![0; 2_000];
    let length = socket.recv(&mut reply).ok()?;
    reply.truncate(length);
    Some(reply)
}

fn start_with_keys(policy: ServerPolicy, epoch: u32) -> (Server, u16) {
    let (server, port, log) = start_with(policy, &[message(1, epoch)]);
    let _ = std::fs::remove_file(log);
    let (here, client) = (socket("127.0.0.1", port), Client::new(BOTH[1], 99, &cookie_keys(1, epoch)));
    assert!(ask(&here, &client.request(0, 0)).is_some(), "no keys");
    (server, port)
}

#[test]
fn over_the_network_time_is_protected_and_its_two_stamps_are_in_order() {
    let (mut server, port) = start_with_keys(ServerPolicy::DEFAULT, TODAY);
    let here = socket("127.0.0.1", port);
    for algorithm in BOTH {
        let client = client(algorithm);
        for number in 1..20 {
            let before = network::clock::realtime();
            let reply = ask(&here, &client.request(number, 2)).expect("an answer");
            let after = network::clock::realtime();
            let Told::Time(header, cookies) = client.read(&reply, number, number) else { panic!("a NAK") };
            assert_eq!(cookies.len(), 3);
            let nanos = |bits| Timestamp::from_bits(bits).unix_nanos(0);
            let (t2, t3) = (nanos(header.receive_timestamp), nanos(header.transmit_timestamp));
            // The server converts readings of another clock: a pair of readings that was interrupted is wrong by this much.
            let slack = 20_000;
            assert!(before - slack <= t2 && t2 <= t3 && t3 <= after + slack, "{before} {t2} {t3} {after}");
        }
    }
    let counters = counters_when(&mut server, |counters| counters.protected >= 39);
    assert_eq!((counters.answered, counters.nak), (counters.protected, 0), "{counters:?}");
}

#[test]
fn a085_over_the_network_keys_turn_between_one_request_and_the_next() {
    let (mut server, port) = start_with_keys(ServerPolicy::DEFAULT, TODAY);
    let (here, client) = (socket("127.0.0.1", port), client(Algorithm::AesSivCmac256));
    let mut number = 0;
    let mut told = || {
        number += 1;
        let reply = ask(&here, &client.request(number, 0)).expect("an answer");
        client.read(&reply, number, number)
    };
    for epoch in [TODAY + 1, TODAY + 2] {
        server.send(&message(1, epoch));
        for _ in 0..5 {
            assert!(matches!(told(), Told::Time(..)), "{epoch}");
        }
    }
    server.send(&message(1, TODAY + 3));
    assert!((0..60).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        told() == Told::Nak
    }));
    assert_eq!(counters_when(&mut server, |counters| counters.nak > 0).nak, 1);
}

#[test]
fn an_idle_thread_has_no_keys_of_days_that_are_over() {
    if !bench::is_root() {
        return bench::skip("looking into memory needs root");
    }
    let (mut server, port) = start_with_keys(ServerPolicy::DEFAULT, TODAY);
    let (here, client) = (socket("127.0.0.1", port), client(Algorithm::Aes128GcmSiv));
    // With this the thread has adopted the keys, and waits from then on.
    assert!(ask(&here, &client.request(1, 0)).is_some());
    let pid = server.process_id();
    if memory::count(pid, &todays_key(1)) == 0 {
        return bench::skip("a cipher that does not keep its key as it was given");
    }
    server.send(&message(2, TODAY));
    let is_gone = || (memory::count(pid, &todays_key(1)) == 0).then_some(());
    wait_for(TIMEOUT, is_gone).expect("the old key is wiped");
    assert!(memory::count(pid, &todays_key(2)) > 0, "the new one is there");
}

#[test]
fn a083_over_the_network_a_server_without_keys_is_silent_and_lives() {
    let (mut server, port, log) = start(ServerPolicy::DEFAULT);
    let here = socket("127.0.0.1", port);
    here.set_read_timeout(Some(SILENCE)).unwrap();
    assert_eq!(ask(&here, &client(Algorithm::AesSivCmac256).request(1, 0)), None);
    here.set_read_timeout(Some(TIMEOUT)).unwrap();
    assert!(ask(&here, &protocol::request::minimal(1).encode()).is_some());
    let counters = counters_when(&mut server, |counters| counters.answered > 0);
    assert_eq!((counters.answered, counters.malformed, counters.protected), (1, 1, 0), "{counters:?}");
    let _ = std::fs::remove_file(log);
}

#[test]
fn a078_over_the_network_a_flood_in_a_clients_name_does_not_silence_it() {
    let (mut server, port) = start_with_keys(ServerPolicy::DEFAULT, TODAY);
    let (here, client) = (socket("127.50.0.1", port), client(Algorithm::Aes128GcmSiv));
    let flood = UdpSocket::bind("0.0.0.0:0").unwrap();
    let plain = protocol::request::minimal(3).encode();
    let forged = with_cookie(&client, 4, |cookie| cookie[20] ^= 1);
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let victim = u32::from(std::net::Ipv4Addr::new(127, 50, 0, 1));
    let mut answered = 0;
    for turn in 0..40u64 {
        for _ in 0..250 {
            send_as(&flood, victim, to, &plain);
            send_as(&flood, victim, to, &forged);
        }
        // A datagram may be lost beside a flood on a busy machine; a client asks again.
        answered += u32::from((0..3).any(|_| ask(&here, &client.request(turn, 0)).is_some()));
    }
    assert_eq!(answered, 40);
    let counters =
        counters_when(&mut server, |counters| counters.protected >= 40 && counters.limited > 5_000);
    assert!(counters.protected >= 40 && counters.limited > 5_000, "{counters:?}");
    assert!(counters.nak < 1_000, "{counters:?}");
}

#[test]
fn a_batch_of_many_associations_and_strangers_is_answered_each_with_its_own() {
    let policy = ServerPolicy { limited: false, ..ServerPolicy::DEFAULT };
    let (mut server, port) = start_with_keys(policy, TODAY);
    let keys = cookie_keys(1, TODAY);
    let sockets: Vec<_> = (1..=40u8).map(|n| socket(&format!("127.0.0.{n}"), port)).collect();
    let clients: Vec<_> = (1..=40u8).map(|n| Client::new(BOTH[usize::from(n) % 2], n, &keys)).collect();
    for number in 1..=6u64 {
        for (socket, client) in sockets.iter().zip(&clients) {
            let plain = protocol::request::minimal(number).encode();
            socket.send(&client.request(number, (number % 8) as usize)).unwrap();
            socket.send(if number % 3 == 0 { &plain } else { &plain[..40] }).unwrap();
        }
        for (socket, client) in sockets.iter().zip(&clients) {
            let mut seen = 0;
            for _ in 0..1 + u32::from(number % 3 == 0) {
                let mut reply = [0; 2_000];
                let length = socket.recv(&mut reply).expect("an answer");
                if length > 48 {
                    let told = client.read(&reply[..length], number, number);
                    let Told::Time(_, cookies) = told else { panic!("a NAK") };
                    assert_eq!(cookies.len(), (number % 8) as usize + 1);
                    seen += 1;
                }
            }
            assert_eq!(seen, 1);
        }
    }
    let counters = counters_when(&mut server, |counters| counters.protected >= 241);
    assert_eq!(counters.protected, 241, "{counters:?}");
}

#[test]
fn nonces_are_never_the_same_twice() {
    let (mut bench, client) = (Bench::new(None), client(Algorithm::AesSivCmac256));
    let mut seen = std::collections::HashSet::new();
    for number in 0..500 {
        let (_, reply) = bench.answer_to(&client.request(number, 0), VICTIM).unwrap();
        let Told::Time(_, cookies) = client.read(&reply, number, number) else { panic!("a NAK") };
        assert!(seen.insert(cookies[0][4..16].to_vec()), "a cookie's nonce");
        assert!(seen.insert(reply[92..108].to_vec()), "a reply's nonce");
    }
}

/// The means of two sets of durations and Welch's t, without the slowest tenth (interruptions) of both.
fn welch(mut lots: [Vec<f64>; 2]) -> ([f64; 2], f64) {
    let mut edge: Vec<f64> = lots.concat();
    edge.sort_by(f64::total_cmp);
    let edge = edge[edge.len() * 9 / 10];
    let [(m1, v1), (m2, v2)] = lots.each_mut().map(|lot| {
        lot.retain(|duration| *duration <= edge);
        let count = lot.len() as f64;
        let mean = lot.iter().sum::<f64>() / count;
        (mean, lot.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / count / count)
    });
    ([m1, m2], (m1 - m2) / (v1 + v2).sqrt())
}

#[test]
#[ignore = "needs a build with optimisation and a quiet machine: cargo test --release -- --ignored a086"]
fn a086_how_a_cookie_or_tag_is_wrong_does_not_show_in_the_time() {
    let keys = cookie_keys(1, TODAY);
    for algorithm in BOTH {
        let client = client(algorithm);
        let good = client.request(5, 0);
        // Nothing is encrypted, so the tag is all that follows the nonce.
        let tag = good.len() - 1;
        let flipped = |at: usize| {
            let mut request = good.clone();
            request[at] ^= 1;
            request
        };
        let cookie = 48 + 36 + 4;
        let last = cookie + client.cookie.len() - 1;
        let known_epoch = flipped(cookie + 20);
        let mut unknown_epoch = known_epoch.clone();
        unknown_epoch[cookie] ^= 0x80;
        for (what, pair) in [
            ("the first and the last octet of the tag", [flipped(tag - 15), flipped(tag)]),
            ("known and unknown epoch", [known_epoch, unknown_epoch]),
            ("the first and the last octet of the cookie's tag", [flipped(last - 15), flipped(last)]),
        ] {
            let mut numbers = Numbers(0x86);
            let mut lots = [Vec::new(), Vec::new()];
            for _ in 0..200_000 {
                let which = (numbers.draw() >> 40 & 1) as usize;
                let mut packet = [0; 1_232];
                let packet = &mut packet[..good.len()];
                packet.copy_from_slice(&pair[which]);
                let begun = std::time::Instant::now();
                let refused = protocol::nts::server::read_request(packet, &keys);
                let took = begun.elapsed().as_nanos() as f64;
                assert!(matches!(refused, Ok(protocol::nts::server::Request::Refused(_))), "{what}");
                lots[which].push(took);
            }
            let (means, t) = welch(lots);
            eprintln!("AEAD {}, {what}: {means:.1?} ns, t = {t:.1}", algorithm.id());
            // The usual threshold is 4.5; a shared machine needs some margin.
            assert!(t.abs() < 10.0, "{what}: {t}");
        }
    }
}
