//! The client on real sockets: what it sends, and which datagrams it accepts as replies.

mod support;

use bench::programs::has_ipv6;
use ipc::message::client::{
    FromClient, MAX_CANDIDATES, PlainReply, QueryId, Rejected, Sent, Silence, Stamp, ToClient,
};
use ipc::units::RawInstant;
use network::clock;
use network::ending::Ending;
use protocol::header::Header;
use protocol::request::minimal;
use std::collections::HashSet;
use std::time::Duration;
use support::*;

fn exchange(address: &str) -> (Sent, PlainReply, RawInstant, RawInstant) {
    let (mut client, server) = (client(), Server::at(address));
    let before = clock::raw();
    client.send(&query(1, server.address(), 5_000));
    let (request, from) = server.request();
    assert_eq!(request, minimal(nonce(1)), "the engine's packet leaves as it is");
    server.send(&honest(&request).encode(), from);
    let sent = expect_sent(&mut client, 1);
    let reply = expect_reply(&mut client, 1);
    let after = clock::raw();
    assert_eq!(reply.source, server.address().into());
    assert_eq!((reply.header.stratum, reply.header.origin_timestamp), (1, nonce(1)));
    assert_eq!((reply.header.receive_timestamp, reply.header.transmit_timestamp), (0x1111, 0x2222));
    assert_eq!(reply.rejected, NONE_REJECTED);
    assert_eq!(client.hang_up(), Ending::EngineGone);
    (sent, reply, before, after)
}

#[test]
fn both_stamps_are_the_kernels_and_lie_in_order_within_the_exchange() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if address.starts_with('[') && !has_ipv6() {
            continue;
        }
        // The first packet after stamps are turned on may come without one.
        let attempts: Vec<_> = (0..5).map(|_| exchange(address)).collect();
        for (sent, reply, before, after) in &attempts {
            assert!(*before <= sent.t1 && sent.t1 <= reply.t4 && reply.t4 <= *after, "{sent:?} {reply:?}");
        }
        let (sent, reply, ..) = attempts.last().unwrap();
        assert_eq!((sent.stamp, reply.stamp), (Stamp::Kernel, Stamp::Kernel));
    }
}

#[test]
fn a002_a012_a013_a014_a015_what_is_no_reply_is_counted_and_the_reply_after_it_is_taken() {
    let (mut client, server) = (client(), Server::here());
    client.send(&query(1, server.address(), 10_000));
    let (request, from) = server.request();
    let honest = honest(&request);
    for origin_timestamp in [0, nonce(1) ^ 1, u64::MAX] {
        server.send(&Header { origin_timestamp, ..honest }.encode(), from);
    }
    for mode in [0, 1, 2, 3, 5, 6, 7] {
        server.send(&Header { mode, ..honest }.encode(), from);
    }
    for version in [0, 1, 2, 5, 6, 7] {
        server.send(&Header { version, ..honest }.encode(), from);
    }
    let long = [&honest.encode()[..], &[0; 65_507 - 48]].concat();
    for length in [0, 1, 47, 49, 50, 51, 1233, 1236, 65_507] {
        server.send(&long[..length], from);
    }
    for length in [0u8, 1, 3, 15, 17, 32] {
        server.send(&[&honest.encode()[..], &[1, 4, 0, length], &[0; 24]].concat(), from);
    }
    server.send(&[&honest.encode()[..], &[0; 4]].concat(), from);
    server.send(&[&honest.encode()[..], &[7; 20]].concat(), from);
    assert_eq!(client.next_within(Duration::from_millis(200)), None, "nothing of it is told");
    server.send(&honest.encode(), from);
    expect_sent(&mut client, 1);
    let reply = expect_reply(&mut client, 1);
    let rejected = Rejected { malformed: 15, mode: 7, version: 6, origin: 3, source: 0, unexpected_mac: 2 };
    assert_eq!(reply.rejected, rejected);
}

#[test]
fn a003_a006_after_the_reply_nothing_more_is_told() {
    let (mut client, server) = (client(), Server::here());
    client.send(&query(1, server.address(), 5_000));
    let (request, from) = server.request();
    for stratum in [1, 1, 2] {
        server.send(&Header { stratum, ..honest(&request) }.encode(), from);
    }
    expect_sent(&mut client, 1);
    assert_eq!(expect_reply(&mut client, 1).header.stratum, 1);
    assert_eq!(client.next_within(Duration::from_millis(200)), None);
}

#[test]
fn a004_a_reply_from_an_older_query_is_silent() {
    let (mut client, server) = (client(), Server::here());
    client.send(&query(1, server.address(), 300));
    let (old, _) = server.request();
    expect_sent(&mut client, 1);
    assert_eq!(expect_unanswered(&mut client, 1).reason, Silence::Deadline);
    client.send(&query(2, server.address(), 300));
    let (_, from) = server.request();
    server.send(&honest(&old).encode(), from);
    expect_sent(&mut client, 2);
    let end = expect_unanswered(&mut client, 2);
    assert_eq!((end.reason, end.rejected.origin), (Silence::Deadline, 1));
}

#[test]
fn a005_a_reply_from_another_address_or_port_is_silent() {
    let (mut client, server) = (client(), Server::here());
    client.send(&query(1, server.address(), 400));
    let (request, from) = server.request();
    let reply = honest(&request).encode();
    Server::here().send(&reply, from);
    let same_port = format!("127.0.0.2:{}", server.address().port());
    Server::at(&same_port).send(&reply, from);
    expect_sent(&mut client, 1);
    let end = expect_unanswered(&mut client, 1);
    assert_eq!((end.reason, end.rejected), (Silence::Deadline, NONE_REJECTED));
}

#[test]
fn a_kiss_is_passed_on_for_the_engine_to_judge() {
    let (mut client, server) = (client(), Server::here());
    client.send(&query(1, server.address(), 5_000));
    let (request, from) = server.request();
    let kiss = Header { stratum: 0, leap: 3, reference_id: 0x4445_4e59, ..honest(&request) };
    server.send(&kiss.encode(), from);
    expect_sent(&mut client, 1);
    assert_eq!(expect_reply(&mut client, 1).header.reference_id, 0x4445_4e59);
}

#[test]
fn a045_each_query_has_a_port_of_its_own_that_closes_with_it() {
    let (mut client, server) = (client(), Server::here());
    let mut ports = HashSet::new();
    let mut last = None;
    for id in 1..=40 {
        client.send(&query(id, server.address(), 5_000));
        let (request, from) = server.request();
        server.send(&honest(&request).encode(), from);
        expect_sent(&mut client, id);
        expect_reply(&mut client, id);
        ports.insert(from.port());
        last = Some(from);
    }
    assert!(ports.len() >= 35, "{ports:?}");
    server.0.connect(last.unwrap()).unwrap();
    server.0.send(b"not a request").unwrap();
    let refused = server.0.recv(&mut [0; 10]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "nothing is open between polls");
}

#[test]
fn a_cancelled_query_is_never_heard_of_again() {
    let (mut client, server) = (client(), Server::here());
    client.send(&query(1, server.address(), 300));
    let (request, from) = server.request();
    client.send(&ToClient::Cancel(QueryId(1)));
    client.send(&ToClient::Cancel(QueryId(77)));
    client.send(&query(2, server.address(), 500));
    let (next, next_from) = server.request();
    server.send(&honest(&request).encode(), from);
    server.send(&honest(&next).encode(), next_from);
    expect_sent(&mut client, 2);
    expect_reply(&mut client, 2);
    assert_eq!(client.next_within(Duration::from_millis(500)), None);
}

#[test]
fn when_it_left_is_told_with_the_reply_and_wakes_nobody_before() {
    let (mut client, server) = (client(), Server::here());
    client.send(&query(1, server.address(), 5_000));
    let (request, from) = server.request();
    let answered = clock::raw();
    assert_eq!(client.next_within(Duration::from_millis(200)), None, "the engine needs it no sooner");
    server.send(&honest(&request).encode(), from);
    assert!(expect_sent(&mut client, 1).t1 <= answered, "it is of the moment when it left");
    expect_reply(&mut client, 1);
}

#[test]
fn a_query_that_comes_after_its_deadline_does_not_leave() {
    let (mut client, server) = (client(), Server::here());
    client.send(&query(1, server.address(), -1));
    assert_eq!(expect_unanswered(&mut client, 1).reason, Silence::Deadline);
    client.send(&query(2, server.address(), 5_000));
    assert_eq!(server.request().0.transmit_timestamp, nonce(2));
}

#[test]
fn what_may_be_a_protected_reply_is_passed_on_whole_and_the_query_stays_open_until_it_is_cancelled() {
    let (mut client, server) = (client(), Server::here());
    client.send(&protected_query(1, server.address(), 10_000));
    let (request, from) = server.request();
    let mut reply = honest(&request).encode().to_vec();
    server.send(&Header { origin_timestamp: nonce(2), ..honest(&request) }.encode(), from);
    for fill in 0..MAX_CANDIDATES + 3 {
        reply.truncate(48);
        reply.extend([1, 4, 0, 28]);
        reply.extend([fill; 24]);
        server.send(&reply, from);
    }
    expect_sent(&mut client, 1);
    for fill in 0..MAX_CANDIDATES {
        let FromClient::ProtectedReply(candidate) = client.hear() else { panic!("no candidate {fill}") };
        assert_eq!((candidate.id, candidate.source), (QueryId(1), server.address().into()));
        assert_eq!(candidate.packet.octets().len(), 48 + 28);
        assert_eq!(candidate.packet.octets()[52..], [fill; 24], "as it came, in the order of arrival");
    }
    assert_eq!(client.next_within(Duration::from_millis(200)), None, "four and no more");
    client.send(&ToClient::Cancel(QueryId(1)));
    client.send(&protected_query(2, server.address(), 200));
    expect_sent(&mut client, 2);
    let end = expect_unanswered(&mut client, 2);
    assert_eq!(end.reason, Silence::Deadline, "a protected query ends at its deadline");
    assert_eq!(client.hang_up(), Ending::EngineGone);
}
