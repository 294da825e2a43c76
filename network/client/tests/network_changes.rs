//! What the client tells the engine of the network of its host, in its full confinement and in a network of the test's.

mod support;

use bench::netns::Network;
use ipc::message::client::{FromClient, MAX_OWN, OwnAddresses};
use ipc::process::Process;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket, sockopt,
};
use std::io::Write;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Client, Server, expect_reply, expect_sent, honest, query};

/// Interfaces, addresses and routes of both families, as the launch asks for them.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

fn routing(buffer: Option<usize>) -> OwnedFd {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).unwrap();
    if let Some(size) = buffer {
        setsockopt(&fd, sockopt::RcvBuf, &size).unwrap();
    }
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS)).unwrap();
    fd
}

fn network() -> Option<Network> {
    let network = Network::new();
    if network.is_none() {
        bench::skip("network namespaces need root and the program ip");
    }
    network
}

fn client(network: &Network, buffer: Option<usize>) -> Client {
    let fd = network.within(|| routing(buffer));
    let words = format!("network={}", fd.as_raw_fd());
    support::greeted(Client::confined_in(network, Process::Client, &words, &[&fd]))
}

fn told(client: &mut Client) -> OwnAddresses {
    match client.hear() {
        FromClient::Network(addresses) => addresses,
        other => panic!("{other:?}"),
    }
}

fn ips(addresses: &OwnAddresses) -> Vec<String> {
    addresses.iter().map(|address| address.ip().to_string()).collect()
}

/// Hears until these addresses are told.
fn hear_until(client: &mut Client, expected: &[&str]) {
    let mut expected: Vec<IpAddr> = expected.iter().map(|ip| ip.parse().unwrap()).collect();
    expected.sort();
    let mut last = told(client);
    loop {
        let mut found: Vec<IpAddr> = last.iter().map(ipc::address::Address::ip).collect();
        found.sort();
        if found == expected {
            return;
        }
        last = told(client);
    }
}

#[test]
fn addresses_routes_and_interfaces_that_come_and_go_are_told_at_once_under_the_filter() {
    let (Some(near), Some(far)) = (network(), network()) else { return };
    assert!(near.ip(&["address", "add", "192.0.2.1/32", "dev", "lo"]));
    let mut client = client(&near, None);
    assert_eq!(ips(&told(&mut client)), ["192.0.2.1"], "loopback is everybody's");
    for (address, more) in [("198.51.100.7/32", "noprefixroute"), ("2001:db8::7/128", "nodad")] {
        let ip = address.split('/').next().unwrap();
        assert!(near.ip(&["address", "add", address, "dev", "lo", more]));
        hear_until(&mut client, &["192.0.2.1", ip]);
        assert!(near.ip(&["address", "del", address, "dev", "lo"]));
        hear_until(&mut client, &["192.0.2.1"]);
    }
    assert!(near.connect(&far, [10, 77, 9, 1].into(), [10, 77, 9, 2].into()));
    while !ips(&told(&mut client)).contains(&"10.77.9.1".to_owned()) {}
    // The link-local address of the new interface comes when no other host has it.
    while client.next_within(Duration::from_secs(4)).is_some() {}
    for change in [
        ["route", "add", "203.0.113.0/24", "via", "10.77.9.2"],
        ["route", "del", "203.0.113.0/24", "via", "10.77.9.2"],
    ] {
        assert!(near.ip(&change));
        assert!(ips(&told(&mut client)).contains(&"10.77.9.1".to_owned()), "{change:?}");
    }
    assert!(far.ip(&["link", "set", "far", "down"]));
    told(&mut client);
    // It is still a client, and the socket of the kernel took nothing of its queries.
    let server = near.within(Server::here);
    client.send(&query(1, server.address(), 5_000));
    let (request, from) = server.request();
    server.send(&honest(&request).encode(), from);
    let mut next = || client.hear();
    let mut first = next();
    while matches!(first, FromClient::Network(_)) {
        first = next();
    }
    assert!(matches!(first, FromClient::Sent(_)), "{first:?}");
    expect_reply(&mut client, 1);
    assert_eq!(client.status(true).code(), Some(0));
}

#[test]
fn another_lifetime_of_an_address_is_no_change() {
    let Some(network) = network() else { return };
    let change = |lifetime| {
        let words = ["address", "replace", "2001:db8::1/128", "dev", "lo", "valid_lft", lifetime];
        assert!(network.ip(&[&words[..], &["preferred_lft", lifetime, "nodad"]].concat()));
    };
    change("3600");
    let mut client = client(&network, None);
    assert_eq!(ips(&told(&mut client)), ["2001:db8::1"]);
    change("7200");
    assert!(network.ip(&["address", "add", "192.0.2.1/32", "dev", "lo"]));
    assert_eq!(
        ips(&told(&mut client)),
        ["192.0.2.1", "2001:db8::1"],
        "the next that is told is the next change"
    );
}

#[test]
fn a_flood_of_changes_is_told_once_a_second_and_ends_with_what_is_true() {
    let Some(network) = network() else { return };
    // So small that the kernel has to drop most of it.
    let mut client = client(&network, Some(2048));
    assert!(told(&mut client).is_empty());
    let begin = Instant::now();
    let [enter, place, end] = network.entrance();
    let mut batch =
        Command::new(enter).args([&place, &end, "ip", "-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = String::new();
    for n in 0..4000u32 {
        let ip = format!("10.{}.{}.1/32", 100 + n % 7, n % 200);
        lines += &format!("address add {ip} dev lo\naddress del {ip} dev lo\n");
    }
    for n in 0..100 {
        lines += &format!("address add 192.0.2.{}/32 dev lo\n", 100 + n);
    }
    batch.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(batch.wait().unwrap().success());
    let mut count = 0u64;
    let is_last = |told: &OwnAddresses| {
        told.len() == MAX_OWN && told.iter().all(|address| address.ip().to_string().starts_with("192.0.2."))
    };
    loop {
        count += 1;
        if is_last(&told(&mut client)) {
            break;
        }
    }
    assert!(count <= begin.elapsed().as_secs() + 2, "{count} in {:?}", begin.elapsed());
    let server = network.within(Server::here);
    client.send(&query(1, server.address(), 5_000));
    let (request, from) = server.request();
    server.send(&honest(&request).encode(), from);
    expect_sent(&mut client, 1);
    expect_reply(&mut client, 1);
    assert_eq!(client.status(true).code(), Some(0));
}
