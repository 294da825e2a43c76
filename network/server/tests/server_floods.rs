//! The real program under floods: memory, honest clients, stamps, log.

mod support;

use ipc::message::server::ServerPolicy;
use protocol::header::Header;
use protocol::request::minimal;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use support::{counters_when, send_as, start, wait_until_read};

const TIMEOUT: Duration = Duration::from_millis(300);

fn client(address: [u8; 4], port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::from(address), 0)).unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket
}

fn ask(socket: &UdpSocket, request: &Header) -> Option<Header> {
    socket.send(&request.encode()).unwrap();
    let mut reply = [0; 100];
    let length = socket.recv(&mut reply).ok()?;
    Header::decode(&reply[..length]).ok()
}

fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a077_a_hundred_thousand_sources_leave_memory_as_it_was_and_an_honest_client_served() {
    let (mut server, port, log) = start(ServerPolicy::DEFAULT);
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let honest = client([127, 99, 0, 1], port);
    let flood = UdpSocket::bind("0.0.0.0:0").unwrap();
    flood.set_nonblocking(true).unwrap();
    let request = minimal(77).encode();
    let first = u32::from(Ipv4Addr::new(127, 66, 0, 1));
    let wave = |count: u32| {
        let (mut asked, mut answered) = (0, 0);
        for n in 0..count {
            send_as(&flood, first + n, to, &request);
            if n % 10_000 == 0 {
                asked += 1;
                // A datagram may be lost beside a flood on a busy machine; a client asks again.
                answered += u32::from((0..3).any(|_| ask(&honest, &minimal(u64::from(n) + 1)).is_some()));
            }
            while n % 64 == 0 && flood.recv(&mut [0; 100]).is_ok() {}
        }
        (asked, answered)
    };
    // The first wave touches all memory that is ever touched.
    wave(20_000);
    let before = resident_kib(server.process_id());
    let (asked, answered) = wave(100_000);
    assert_eq!(answered, asked, "the honest client");
    let after = resident_kib(server.process_id());
    assert!(after <= before + 256, "{before} KiB before, {after} after");
    let counters = counters_when(&mut server, |counters| counters.limited > 20_000);
    assert!(counters.limited > 20_000, "{counters:?}");
    assert_eq!(server.status(true).code(), Some(0));
    let _ = std::fs::remove_file(log);
}

#[test]
fn a078_a_victim_of_a_flood_in_its_name_is_served_one_time_in_four_and_in_full_afterwards() {
    let (_server, port, log) = start(ServerPolicy { kiss: false, ..ServerPolicy::DEFAULT });
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let victim = client([127, 77, 0, 1], port);
    let spoofer = UdpSocket::bind("0.0.0.0:0").unwrap();
    spoofer.set_nonblocking(true).unwrap();
    let request = minimal(78).encode();
    let name = u32::from(Ipv4Addr::new(127, 77, 0, 1));
    victim.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (mut asked, mut answered) = (0, 0);
    // About two thousand a second, for four seconds.
    let begin = Instant::now();
    for n in 0..8_000u32 {
        send_as(&spoofer, name, to, &request);
        while spoofer.recv(&mut [0; 100]).is_ok() {}
        if n > 1_000 && n % 20 == 0 {
            asked += 1;
            answered += u32::from(ask(&victim, &minimal(u64::from(n))).is_some());
        }
        while begin.elapsed() < Duration::from_micros(500) * n {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    assert!(answered * 8 > asked, "{answered} of {asked}: a quarter is expected");
    assert!(answered * 2 < asked, "{answered} of {asked}: there is no limit");
    // Only the passage of time refills the bucket of an address.
    std::thread::sleep(Duration::from_secs(1));
    for n in 0..8 {
        assert!(ask(&victim, &minimal(1_000_000 + n)).is_some(), "after the flood");
    }
    let _ = std::fs::remove_file(log);
}

#[test]
fn a090_interleaved_replies_say_when_the_one_before_left_to_that_client_alone() {
    let policy = ServerPolicy { limited: false, ..ServerPolicy::DEFAULT };
    let (mut server, port, log) = start(policy);
    let (one, other) = (client([127, 0, 0, 21], port), client([127, 0, 0, 22], port));
    let mut last = ask(&one, &minimal(1)).unwrap();
    let mut seen = std::collections::HashSet::new();
    for n in 2..50u64 {
        let request =
            Header { origin_timestamp: last.receive_timestamp, receive_timestamp: n, ..minimal(n << 20) };
        // Another client that knows the timestamp gets a basic reply, and removes nothing.
        let stolen = ask(&other, &request).unwrap();
        assert_eq!(stolen.origin_timestamp, n << 20);
        let reply = ask(&one, &request).unwrap();
        if n > 2 {
            assert_eq!(reply.origin_timestamp, n, "interleaved from the second such request on");
            // It left after it came, and before anything else happened.
            let stay = reply.transmit_timestamp.wrapping_sub(last.receive_timestamp) as i64;
            assert!((0..1 << 30).contains(&stay), "{stay}");
            assert!(seen.insert(reply.transmit_timestamp), "stamps are unique");
        }
        last = reply;
    }
    assert_eq!(counters_when(&mut server, |counters| counters.interleaved >= 47).interleaved, 47);
    let _ = std::fs::remove_file(log);
}

#[test]
fn a095_a_hundred_thousand_bad_requests_are_counted_and_not_a_line_is_logged() {
    let (mut server, port, log) = start(ServerPolicy::DEFAULT);
    let socket = client([127, 0, 0, 31], port);
    let bad: [&[u8]; 5] = [&[], &[0x16; 12], &[0x17; 200], &[0xff; 48], &[0x23; 47]];
    for n in 0..100_000usize {
        socket.send(bad[n % bad.len()]).unwrap();
        // More at once may exceed the receive buffer.
        if n % 100 == 99 {
            wait_until_read(port);
        }
    }
    let counters = counters_when(&mut server, |counters| counters.malformed + counters.control >= 100_000);
    assert_eq!((counters.malformed, counters.control), (40_000, 60_000), "{counters:?}");
    assert_eq!(counters.answered, 0);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "", "nothing that strangers do is worth a line");
    let _ = std::fs::remove_file(log);
}

#[test]
fn requests_that_came_before_the_end_are_answered() {
    let (server, port, log) = start(ServerPolicy { limited: false, ..ServerPolicy::DEFAULT });
    let socket = client([127, 0, 0, 41], port);
    for n in 1..=200 {
        socket.send(&minimal(n).encode()).unwrap();
    }
    assert_eq!(server.status(true).code(), Some(0));
    let answered = (0..200).filter(|_| socket.recv(&mut [0; 100]).is_ok()).count();
    assert_eq!(answered, 200);
    let _ = std::fs::remove_file(log);
}
