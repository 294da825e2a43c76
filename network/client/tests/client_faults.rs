//! The client under faults: floods, forged ICMP, a host without descriptors or network, an
//! engine that does not read or breaks the rules.

mod support;

use bench::process;
use bench::programs::{unread, wait_for};
use bench::role::{cpu_time, in_millis, pair};
use ipc::message::Shortfall;
use ipc::message::client::{FromClient, Query, QueryId, Silence, ToClient};
use ipc::packet::Packet;
use ipc::process::Process;
use network::ending::{BROKEN, Ending};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, setsockopt, socket,
    sockopt,
};
use protocol::header::Header;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::*;

#[test]
fn a044_a_closed_port_is_told_soon_and_costs_no_time() {
    let closed = Server::here().address();
    let mut client = greeted(Client::in_process(Process::Client, "exec", "", &[]));
    let begin = Instant::now();
    client.send(&query(1, closed, 8_000));
    expect_sent(&mut client, 1);
    assert_eq!(expect_unanswered(&mut client, 1).reason, Silence::PortUnreachable);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(cpu_time(client.process_id()) <= Duration::from_millis(50));
    assert_eq!(client.status(true).code(), Some(0));
}

#[test]
fn a046_a_flood_to_one_query_neither_starves_the_others_nor_tells_more_than_one_reply() {
    let (mut client, flooded, quiet) = (client(), Server::here(), Server::here());
    client.send(&query(1, flooded.address(), 6_000));
    let (request, victim) = flooded.request();
    let is_over = AtomicBool::new(false);
    let flood = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bad = Header { origin_timestamp: 1, ..honest(&request) }.encode();
            while !is_over.load(Relaxed) {
                let _ = flooded.0.send_to(&bad, victim);
                flood.fetch_add(1, Relaxed);
            }
        });
        while flood.load(Relaxed) < 10_000 {
            std::thread::sleep(Duration::from_millis(1));
        }
        for id in 2..=50 {
            client.send(&query(id, quiet.address(), 2_000));
            let (request, from) = quiet.request();
            quiet.send(&honest(&request).encode(), from);
            expect_sent(&mut client, id);
            // Within its deadline, or this would be an unanswered query.
            expect_reply(&mut client, id);
        }
        let genuine = honest(&request).encode();
        let mut ends = Vec::new();
        while ends.is_empty() {
            // Beside the flood, the genuine reply may find the queue full; the server may say it again.
            let _ = flooded.0.send_to(&genuine, victim);
            let told = client.next_within(Duration::from_millis(20));
            ends.extend(told.filter(|told| !matches!(told, FromClient::Sent(_))));
        }
        is_over.store(true, Relaxed);
        match ends[0] {
            FromClient::PlainReply(reply) => assert!(reply.rejected.origin > 1_000, "{:?}", reply.rejected),
            FromClient::Unanswered(end) => assert!(end.rejected.origin > 1_000, "{:?}", end.rejected),
            ref other => panic!("{other:?}"),
        }
        assert_eq!(client.next_within(Duration::from_millis(200)), None);
    });
}

/// Waits until the client's process is asleep and every request has been answered, so that it does nothing before the
/// next message or deadline; returns how many were answered.
fn answered_at_rest(client: &Client, server: &Server, answered: &AtomicU32) -> u32 {
    let (client, port) = (client.process_id(), server.address().port());
    let seen = || {
        let switches =
            process::Process::read(client).and_then(|process| process.wake_ups()).expect("it runs");
        (switches, process::state_of(client), unread(port))
    };
    let mut last = None;
    // Twice the same: a process is also shown as asleep in the moment before it sleeps.
    let at_rest = || {
        let before = last.replace(seen());
        (before == last && last.is_some_and(|(_, state, unread)| state == Some('S') && unread == 0))
            .then_some(())
    };
    wait_for(Duration::from_secs(20), at_rest).expect("it comes to rest");
    answered.load(Relaxed)
}

#[test]
fn a107_an_engine_that_does_not_read_stops_the_role_and_loses_nothing() {
    let server = Server::here();
    let link = pair();
    // The smallest send buffer that the kernel permits.
    setsockopt(&link.1, sockopt::SndBuf, &0).unwrap();
    let mut client = greeted(Client::in_process_on(link, Process::Client, "exec", "", &[]));
    let address = server.address();
    let answered = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..69 {
                // A request stays in the queue until it has been answered and counted.
                let mut octets = [0; 48];
                let (_, from) = server.0.peek_from(&mut octets).unwrap();
                server.send(&honest(&Header::decode(&octets).unwrap()).encode(), from);
                answered.fetch_add(1, Relaxed);
                server.0.recv(&mut octets).unwrap();
            }
        });
        for id in 1..=59 {
            client.send(&query(id, address, 30_000));
        }
        let before = answered_at_rest(&client, &server, &answered);
        for id in 60..=69 {
            client.send(&query(id, address, 30_000));
        }
        // How many left before that depends on how replies and queries alternated.
        let requests = answered_at_rest(&client, &server, &answered);
        assert!((25..=59).contains(&requests), "while many records wait, no query is taken: {requests}");
        assert_eq!(requests, before, "while many records wait, no query is taken");
        let cpu = cpu_time(client.process_id());
        assert!(cpu <= Duration::from_millis(100), "no spinning: {cpu:?}");
        let (mut sent, mut ended) = (HashSet::new(), HashSet::new());
        while ended.len() < 69 {
            match client.hear() {
                FromClient::Sent(record) => assert!(sent.insert(record.id.0)),
                FromClient::PlainReply(reply) => {
                    assert!(sent.contains(&reply.id.0), "sent before its end");
                    assert!(ended.insert(reply.id.0));
                }
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(client.status(true).code(), Some(0));
}

#[test]
fn an_engine_that_breaks_a_rule_ends_the_role() {
    let server = Server::here();
    let bad = |octets: &[u8]| {
        let packet = Packet::from_octets(octets).unwrap();
        let destination = server.address().into();
        ToClient::Query(Query {
            id: QueryId(9),
            destination,
            deadline: in_millis(100),
            packet,
            protected: false,
            departure: ipc::departure::Departure::USUAL,
        })
    };
    let good = |id| query(id, server.address(), 5_000);
    let group: SocketAddr = "224.0.1.1:123".parse().unwrap();
    let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    for breach in [
        vec![good(5), good(5)],
        vec![good(5), good(4)],
        vec![query(1, group, 5_000)],
        vec![query(1, nowhere, 5_000)],
        vec![bad(&[0x23; 47])],
        vec![bad(&[])],
        vec![bad(&[0x23; 50])],
        (1..=61).map(good).collect(),
    ] {
        let mut client = client();
        for order in &breach {
            client.send(order);
        }
        let ending = client.ending();
        assert!(matches!(ending, Ending::Rule(_)) && ending.code() == BROKEN, "{ending:?}");
    }
}

#[test]
fn a096_octets_that_are_no_record_end_the_program_with_its_code() {
    let (ours, theirs) = pair();
    let client = std::thread::spawn(move || client::run(ipc_link::Link::new(theirs), Shortfall::NONE, None));
    nix::unistd::write(&ours, b"nonsense").unwrap();
    let ending = client.join().unwrap();
    assert!(matches!(ending, Ending::Link(_)) && ending.code() == BROKEN, "{ending:?}");
    let mut client = greeted(Client::in_process(Process::Client, "exec", "", &[]));
    client.send(&query(1, "224.0.1.1:123".parse().unwrap(), 1_000));
    assert_eq!(client.status(false).code(), Some(BROKEN));
}

#[test]
fn a168_without_descriptors_a_query_is_unanswered_and_the_next_one_is_not() {
    let server = Server::here();
    let mut client = greeted(Client::in_process(Process::Client, "ulimit -n 9; exec", "", &[]));
    for id in 1..=20 {
        client.send(&query(id, server.address(), 1_000));
    }
    let mut local = 0;
    let mut ended = 0;
    while ended < 20 {
        match client.hear() {
            FromClient::Sent(_) => {}
            FromClient::Unanswered(end) => {
                ended += 1;
                local += u32::from(end.reason == Silence::Local);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((10..20).contains(&local), "{local}");
    let cpu = cpu_time(client.process_id());
    assert!(cpu <= Duration::from_millis(100), "no spinning: {cpu:?}");
    // The queries that left are still in the server's queue.
    server.0.set_nonblocking(true).unwrap();
    while server.0.recv(&mut [0; 100]).is_ok() {}
    server.0.set_nonblocking(false).unwrap();
    client.send(&query(21, server.address(), 5_000));
    let (request, from) = server.request();
    server.send(&honest(&request).encode(), from);
    expect_sent(&mut client, 21);
    expect_reply(&mut client, 21);
    assert_eq!(client.status(true).code(), Some(0));
}

#[test]
fn a168_a169_without_a_network_a_query_is_unreachable_and_the_role_lives() {
    let is_possible = std::process::Command::new("unshare").args(["-rn", "true"]).status();
    if !is_possible.is_ok_and(|status| status.success()) {
        return bench::skip("no network namespace to be had here (user namespaces are off)");
    }
    // The shell started by "before" runs the rest of the line in a separate network namespace without a route out.
    let mut client = greeted(Client::in_process(Process::Client, "exec unshare -rn", "", &[]));
    for (id, destination) in [(1, "192.0.2.1:123"), (2, "[2001:db8::1]:123"), (3, "127.0.0.1:123")] {
        client.send(&query(id, destination.parse().unwrap(), 2_000));
        let reason = expect_unanswered(&mut client, id).reason;
        assert!(matches!(reason, Silence::Unreachable | Silence::Local), "{destination}: {reason:?}");
    }
    assert_eq!(client.status(true).code(), Some(0));
}

/// An ICMP message of this type and code about a datagram from `of` to `to`, as a router on the way would send it;
/// `None` if this process lacks the privilege.
fn forge_icmp(kind: u8, code: u8, of: SocketAddr, to: SocketAddr) -> Option<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let raw = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp).ok()?;
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 68];
    message.extend([0x45, 0, 0, 76, 0, 0, 0, 0, 64, 17, 0, 0]);
    for address in [of, to] {
        let std::net::IpAddr::V4(v4) = address.ip() else { return None };
        message.extend(v4.octets());
    }
    message.extend(of.port().to_be_bytes());
    message.extend(to.port().to_be_bytes());
    message.extend([0, 56, 0, 0]);
    let sum: u32 = message.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let target = SockaddrStorage::from(SocketAddr::new(of.ip(), 0));
    sendto(raw.as_raw_fd(), &message, &target, MsgFlags::empty()).ok().map(drop)
}

#[test]
fn a044_forged_icmp_costs_at_most_one_poll_and_no_time() {
    let server = Server::here();
    let mut client = greeted(Client::in_process(Process::Client, "exec", "", &[]));
    client.send(&query(1, server.address(), 5_000));
    let (request, from) = server.request();
    // As many as there are in a third of a second: on a busy host a thousand of each take longer than the doubt lasts.
    let first = Instant::now();
    let enough = Duration::from_millis(300);
    for forged in 0..1_000 {
        for (kind, code) in [(3, 1), (3, 4), (11, 0), (3, 13)] {
            if forge_icmp(kind, code, from, server.address()).is_none() {
                return bench::skip("not root: no raw socket to forge ICMP with");
            }
        }
        if forged > 0 && first.elapsed() > enough {
            break;
        }
    }
    // Within a second of doubt the genuine reply is still taken.
    server.send(&honest(&request).encode(), from);
    expect_sent(&mut client, 1);
    expect_reply(&mut client, 1);
    client.send(&query(2, server.address(), 5_000));
    let (_, from) = server.request();
    let begin = Instant::now();
    forge_icmp(3, 10, from, server.address()).unwrap();
    expect_sent(&mut client, 2);
    assert_eq!(expect_unanswered(&mut client, 2).reason, Silence::Prohibited);
    // After the second of doubt, and not only at the deadline.
    assert!((990..5_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    let cpu = cpu_time(client.process_id());
    assert!(cpu <= Duration::from_millis(300), "no spinning: {cpu:?}");
    // A claimed path MTU of 68 octets does not change the next query.
    client.send(&query(3, server.address(), 5_000));
    let (request, from) = server.request();
    server.send(&honest(&request).encode(), from);
    expect_sent(&mut client, 3);
    expect_reply(&mut client, 3);
    assert_eq!(client.status(true).code(), Some(0));
}
