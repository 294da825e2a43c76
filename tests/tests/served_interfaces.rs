//! Entries of `listen` that name an interface: served on that one alone, whenever it is there.

use bench::client::answers;
use bench::daemon::Setup;
use bench::netns::Network;
use bench::programs::{free_port, program};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

fn networks() -> Option<(Network, Network)> {
    let networks = Network::new().zip(Network::new());
    if networks.is_none() {
        bench::skip("network namespaces need root and the program ip");
    }
    networks
}

fn server(listen: &str, threads: u8) -> String {
    format!(
        "[server]\nlisten = [{listen}]\nallow = [\"0.0.0.0/0\", \"::/0\"]\nlocal-stratum = 3\nthreads = {threads}\n"
    )
}

/// A cable with this name in both networks: 10.77.N.1 and fe80::1 here, 10.77.N.2 and fe80::2 there.
fn plug(near: &Network, far: &Network, name: &str, number: u8) {
    let [here, there] = [1, 2].map(|host| Ipv4Addr::new(10, 77, number, host));
    assert!(near.connect(far, here, there));
    for (network, device, address) in [(near, "near", "fe80::1/64"), (far, "far", "fe80::2/64")] {
        assert!(network.ip(&["link", "set", device, "down", "addrgenmode", "none"]));
        assert!(network.ip(&["link", "set", device, "name", name]));
        assert!(network.ip(&["link", "set", name, "up"]));
        assert!(network.ip(&["address", "add", address, "dev", name, "nodad"]));
    }
}

/// fe80::1 as it is reached over this interface of the other network.
fn link_local(far: &Network, name: &str, port: u16) -> SocketAddr {
    let number = far.within(|| nix::net::if_::if_nametoindex(name).expect("it was made"));
    SocketAddrV6::new("fe80::1".parse().expect("an address"), port, 0, number).into()
}

const MISSING: &str = "there is no interface eth0 now; time is served on it as soon as there is one";
const IS_THERE: &str = "interface eth0 is there: time is served on it";

#[test]
fn what_is_to_arrive_on_an_interface_is_answered_there_alone_and_whenever_it_is_there() {
    let Some((near, far)) = networks() else { return };
    plug(&near, &far, "eth1", 8);
    let port = free_port();
    let other_port = free_port();
    for (threads, listen) in [
        (1, format!("\"0.0.0.0%eth0:{port}\", \"[::%eth0]:{port}\"")),
        (3, format!("\"0.0.0.0%eth0:{port}\", \"[fe80::1%eth0]:{port}\", \"[2001:db8::9]:{port}\"")),
    ] {
        let listen = format!("{listen}, \"0.0.0.0:{other_port}\"");
        let daemon = Setup::new("served", &server(&listen, threads)).within(&near).start();
        let v4 = |number: u8| SocketAddr::new(Ipv4Addr::new(10, 77, number, 1).into(), port);
        let is_serving = |address| far.within(|| answers(address));
        daemon.wait_until("serving elsewhere", TIMEOUT, |_| {
            is_serving(SocketAddr::new(v4(8).ip(), other_port))
        });
        assert_eq!((daemon.lines(MISSING), daemon.lines(IS_THERE)), (1, 0), "{}", daemon.log());
        // In `chimerctl status` each entry that names it.
        let unserved = || {
            let page = daemon.chimerctl(&["status"]);
            String::from_utf8_lossy(&page.stdout).lines().filter(|line| line.contains(MISSING)).count()
        };
        assert_eq!(unserved(), 2);
        for time in 1..=2 {
            plug(&near, &far, "eth0", 7);
            daemon.wait_until("serving over IPv4", TIMEOUT, |_| is_serving(v4(7)));
            let over_link = link_local(&far, "eth0", port);
            daemon.wait_until("serving the link", TIMEOUT, |_| is_serving(over_link));
            // The server tells of an interface at most once a second.
            daemon.wait_until("saying so", TIMEOUT, |daemon| daemon.lines(IS_THERE) == time);
            assert_eq!(unserved(), 0, "{}", daemon.log());
            // What has just been answered on the one is not on the other, with the address of either.
            for address in [v4(8), link_local(&far, "eth1", port)] {
                assert!(!is_serving(address), "{address}");
            }
            assert!(far.ip(&["route", "add", "10.77.7.1/32", "dev", "eth1"]));
            assert!(!is_serving(v4(7)), "the address of eth0, asked over eth1");
            assert!(far.ip(&["route", "del", "10.77.7.1/32", "dev", "eth1"]));
            assert!(!near.within(|| answers(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))));
            assert!(is_serving(v4(7)) || is_serving(v4(7)), "it was served all the time");
            assert!(near.ip(&["link", "del", "eth0"]));
            daemon.wait_until("missing it", TIMEOUT, |daemon| daemon.lines(MISSING) == time + 1);
        }
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn without_a_routing_socket_an_interface_that_comes_is_found_all_the_same() {
    let Some((near, far)) = networks() else { return };
    let port = free_port();
    let lacking = program("lacking").display().to_string();
    let entrance = near.entrance();
    let errno = libc::EAFNOSUPPORT.to_string();
    let words: Vec<&str> =
        entrance.iter().map(String::as_str).chain([&*lacking, &*errno, "socket:netlink"]).collect();
    let listen = format!("\"0.0.0.0%eth0:{port}\", \"[fe80::1%4242]:{port}\", \"192.0.2.1:{port}\"");
    let daemon = Setup::new("deaf", &server(&listen, 2)).with_wrapper(&words).start();
    daemon.wait_until("waiting", TIMEOUT, |daemon| daemon.lines(MISSING) == 1);
    let numbered = format!("listen: [fe80::1%4242]:{port}: there is no interface with the index 4242 now");
    assert_eq!(daemon.lines(&numbered), 1, "{}", daemon.log());
    // Its socket is bound to all addresses, which this host has.
    let absent =
        format!("192.0.2.1:{port}: no interface of this host has this address now; time is served there");
    assert_eq!(daemon.lines(&absent), 1, "{}", daemon.log());
    plug(&near, &far, "eth0", 7);
    let there = SocketAddr::new(Ipv4Addr::new(10, 77, 7, 1).into(), port);
    daemon.wait_until("serving", TIMEOUT, |_| far.within(|| answers(there)));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn check_accepts_an_interface_that_is_not_there_and_warns() {
    let Some((near, far)) = networks() else { return };
    plug(&near, &far, "eth1", 8);
    let listen = "\"0.0.0.0%eth0\", \"[fe80::1%4242]:123\", \"[::%eth1]\", \"192.0.2.1:123\"";
    let service =
        "[server.nts]\nlisten = [\"[fe80::1%4243]\"]\ncertificate = \"/dev/null\"\nkey = \"/dev/zero\"\n";
    let exit = Setup::new("look", &(server(listen, 1) + service))
        .within(&near)
        .with_argument("--check")
        .run_to_end();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    for words in [
        "listen: 0.0.0.0%eth0:123: there is no interface eth0 now; time is served on it as soon as there is one",
        "listen: [fe80::1%4242]:123: there is no interface with the index 4242 now",
        "[server.nts] listen: [fe80::1%4243]:4460: there is no interface with the index 4243 now",
    ] {
        assert!(exit.log.contains(words), "{words}: {}", exit.log);
    }
    assert_eq!(exit.log.matches("there is no interface").count(), 3, "{}", exit.log);
}

#[test]
fn where_another_server_has_the_port_the_entry_is_named_as_it_was_written() {
    let Some((near, _)) = networks() else { return };
    let port = free_port();
    let other = near.within(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("it is free"));
    let listen = format!("\"0.0.0.0%eth0:{port}\", \"192.0.2.1:{port}\"");
    let exit = Setup::new("taken", &server(&listen, 1)).within(&near).run_to_end();
    drop(other);
    assert_eq!(exit.code, Some(85), "{}", exit.log);
    let line =
        format!("0.0.0.0%eth0:{port}, 192.0.2.1:{port} (bound to 0.0.0.0:{port}): Address already in use");
    assert!(exit.log.contains(&line), "{}", exit.log);
}
