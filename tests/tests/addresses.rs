//! Addresses and families that are missing, appear, disappear and reappear: the daemon works with those that exist.

use bench::client::{SILENCE, answers};
use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::netns::Network;
use bench::nts::Trust;
use bench::programs::{free_port, program};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(30);
const ALLOWED: &str = "\"127.0.0.0/8\", \"10.77.0.0/16\", \"::1/128\", \"2001:db8::/32\"";

fn network() -> Option<Network> {
    let network = Network::new();
    if network.is_none() {
        bench::skip("network namespaces need root and the program ip");
    }
    network
}

/// The kernel has no route there, not even one that refuses.
fn is_absent(address: SocketAddr) -> bool {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("a socket can be made");
    let absent = [ErrorKind::NetworkUnreachable, ErrorKind::HostUnreachable, ErrorKind::AddrNotAvailable];
    socket.connect(address).is_err_and(|error| absent.contains(&error.kind()))
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, SILENCE).is_ok()
}

#[test]
fn addresses_to_listen_on_that_come_late_go_and_come_back_are_served_while_they_are_there() {
    let Some(network) = network() else { return };
    let (port, key_port, trust) = (free_port(), free_port(), Trust::new("late"));
    let late = ["10.77.1.1", "2001:db8:77::1"];
    let at = |ip: &str, port| SocketAddr::new(ip.parse().expect("an address"), port);
    let list = |port| ["127.0.0.1", late[0], late[1]].map(|ip| format!("\"{}\"", at(ip, port))).join(", ");
    for threads in [1, 3] {
        let configuration = format!(
            "[server]\nlisten = [{}]\nallow = [{ALLOWED}]\nlocal-stratum = 3\nthreads = {threads}\n\
             [server.nts]\nlisten = [{}]\ncertificate = \"{}\"\nkey = \"{}\"\nthreads = 1\n",
            list(port),
            list(key_port),
            trust.chain().display(),
            trust.key().display()
        );
        let daemon = Setup::new("late", &configuration).within(&network).start();
        let is_served = |ip: &str| network.within(|| answers(at(ip, port)) && listens(at(ip, key_port)));
        daemon.wait_until("serving what is there", TIMEOUT, |_| is_served("127.0.0.1"));
        for ip in late {
            for (port, what) in [(port, "time is served there"), (key_port, "keys are exchanged there")] {
                let line =
                    format!("{}: no interface of this host has this address now; {what}", at(ip, port));
                assert_eq!(daemon.lines(&line), 1, "{line}: {}", daemon.log());
            }
        }
        for _ in 0..2 {
            for ip in late {
                assert!(network.within(|| is_absent(at(ip, port))), "{ip} is there before it was added");
                let prefix = if ip.contains(':') { format!("{ip}/128") } else { format!("{ip}/32") };
                let more = if ip.contains(':') { "nodad" } else { "noprefixroute" };
                assert!(network.ip(&["address", "add", &prefix, "dev", "lo", more]));
                daemon.wait_until("serving what has come", TIMEOUT, |_| is_served(ip));
                assert!(network.ip(&["address", "del", &prefix, "dev", "lo"]));
            }
        }
        daemon.wait_until("still serving what was there all the time", TIMEOUT, |_| is_served("127.0.0.1"));
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn without_ipv6_all_else_is_served_and_synchronised() {
    let forger = Forger::honest(HERE, 0);
    let lacking = program("lacking").display().to_string();
    let example = include_str!("../../packaging/truechimer.toml");
    let example = example.lines().find_map(|line| line.strip_prefix("#listen = [")?.strip_suffix(']'));
    let example = example.expect("the example serves").replace(":123", ":PORT");
    for listen in [&*example, "\"127.0.0.1:PORT\", \"[::]:PORT\"", "\"[::]:PORT\""] {
        let port = free_port();
        let listen = listen.replace("PORT", &port.to_string());
        let configuration = format!(
            "{}{}[server]\nlisten = [{listen}]\nallow = [{ALLOWED}]\nthreads = 2\n",
            source(forger.address()),
            source("[2001:db8:77::9]:123"),
        );
        let setup = Setup::new("ipv4", &configuration).with_virtual_clock(2_000_000, 0.0);
        let setup = setup.with_wrapper(&[&lacking, &libc::EAFNOSUPPORT.to_string(), "socket:inet6"]);
        let daemon = setup.start();
        daemon.wait_until_synchronised(TIMEOUT);
        assert_eq!(daemon.lines(&format!("[::]:{port}: ")), 1, "{}", daemon.log());
        if listen.contains("127.0.0.1") || listen.contains("0.0.0.0") {
            daemon.wait_until("serving", TIMEOUT, |_| answers(SocketAddr::new(HERE, port)));
        }
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn an_address_that_another_program_uses_is_named_and_the_others_are_served() {
    let (port, other_port) = (free_port(), free_port());
    let taken = UdpSocket::bind((HERE, other_port)).expect("a free port");
    let taken_for_keys = TcpListener::bind((HERE, free_port())).expect("a free port");
    let key_port = taken_for_keys.local_addr().expect("bound").port();
    let server = |listen: &str| {
        format!("[server]\nlisten = [{listen}]\nallow = [{ALLOWED}]\nlocal-stratum = 3\nthreads = 2\n")
    };
    let both = server(&format!("\"127.0.0.1:{port}\", \"127.0.0.1:{other_port}\""));
    let daemon = Setup::new("partly", &both).start();
    daemon.wait_until("serving", TIMEOUT, |_| answers(SocketAddr::new(HERE, port)));
    let sentence = format!("127.0.0.1:{other_port}: Address already in use; another time server uses it");
    assert_eq!(daemon.lines(&sentence), 1, "{}", daemon.log());
    assert_eq!(daemon.stop().code, Some(0));

    let trust = Trust::new("partly");
    let with_keys = format!(
        "{}[server.nts]\nlisten = [\"127.0.0.1:{key_port}\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        server(&format!("\"127.0.0.1:{port}\"")),
        trust.chain().display(),
        trust.key().display()
    );
    // Any program may use it: this stops neither the clock nor the time server.
    let daemon = Setup::new("keys", &with_keys).start();
    daemon.wait_until("serving", TIMEOUT, |_| answers(SocketAddr::new(HERE, port)));
    let sentence = "another key exchange server uses it (ss -tlpn shows which)";
    assert_eq!(daemon.lines(sentence), 1, "{}", daemon.log());
    assert_eq!(daemon.stop().code, Some(0));
    drop((taken, taken_for_keys));
}

/// The last eight polls of the second source, newest in the lowest bit.
fn reach(daemon: &Daemon) -> u64 {
    daemon.sources()[1]["reach"].as_u64().expect("a number")
}

#[test]
fn a_source_of_a_family_that_is_absent_is_unreachable_and_asked_again_when_the_family_comes() {
    let Some(network) = network() else { return };
    let ipv6 = |is_there: bool| {
        network.within(|| {
            let file = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
            std::fs::write(file, if is_there { "0" } else { "1" })
                .expect("root may change a network of its own");
        });
    };
    let address = ["address", "add", "2001:db8:77::9/128", "dev", "lo", "nodad"];
    assert!(network.ip(&address));
    let near = network.within(|| Forger::honest(HERE, 0));
    let far = network.within(|| Forger::honest("2001:db8:77::9".parse().expect("an address"), 0));
    ipv6(false);
    let configuration = format!("{}{}", source(near.address()), source(far.address()));
    let setup = Setup::new("family", &configuration).with_virtual_clock(2_000_000, 0.0);
    let daemon = setup.within(&network).start();
    daemon.wait_until_synchronised(TIMEOUT);
    assert_eq!((reach(&daemon), far.heard()), (0, 0), "{}", daemon.log());
    for _ in 0..2 {
        ipv6(true);
        assert!(network.ip(&address));
        daemon.wait_until("heard by the source that came", TIMEOUT, |daemon| reach(daemon) & 1 == 1);
        ipv6(false);
        daemon.wait_until("without it again", TIMEOUT, |daemon| reach(daemon) & 1 == 0);
    }
    assert!(daemon.is_synchronised());
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn whatever_the_kernel_says_of_the_way_to_a_source_it_is_asked_again() {
    let (Some(near), Some(far)) = (network(), network()) else { return };
    let (a, b) = (Ipv4Addr::new(10, 77, 2, 1), Ipv4Addr::new(10, 77, 2, 2));
    assert!(near.connect(&far, a, b));
    let here = near.within(|| Forger::honest(HERE, 0));
    let there = far.within(|| Forger::honest(b.into(), 0));
    let configuration = format!("{}{}", source(here.address()), source(there.address()));
    let setup = Setup::new("way", &configuration).with_virtual_clock(2_000_000, 0.0);
    let daemon = setup.within(&near).start();
    let is_heard = |daemon: &Daemon| reach(daemon) & 1 == 1;
    daemon.wait_until("heard by both", TIMEOUT, is_heard);
    let route = |verb, kind| near.ip(&["route", verb, kind, "10.77.2.2/32"]);
    // EACCES, EINVAL, EHOSTUNREACH, ENETUNREACH.
    for kind in ["prohibit", "blackhole", "unreachable", "throw"] {
        assert!(route("add", kind), "{kind}");
        if kind == "throw" {
            assert!(near.ip(&["link", "set", "near", "down"]));
        }
        daemon.wait_until(&format!("cut off ({kind})"), TIMEOUT, |daemon| !is_heard(daemon));
        if kind == "throw" {
            assert!(near.ip(&["link", "set", "near", "up"]));
        }
        assert!(route("del", kind), "{kind}");
        daemon.wait_until(&format!("heard again ({kind})"), TIMEOUT, is_heard);
    }
    // Its source address is removed, and another one added.
    assert!(near.ip(&["address", "del", "10.77.2.1/24", "dev", "near"]));
    daemon.wait_until("cut off (no address)", TIMEOUT, |daemon| !is_heard(daemon));
    assert!(near.ip(&["address", "add", "10.77.2.3/24", "dev", "near"]));
    daemon.wait_until("heard again (another address)", TIMEOUT, is_heard);
    assert!(daemon.is_synchronised());
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_way_to_a_source_that_comes_is_noticed_though_its_next_query_is_far_away() {
    let (Some(near), Some(far)) = (network(), network()) else { return };
    let (a, b) = (Ipv4Addr::new(10, 77, 3, 1), Ipv4Addr::new(10, 77, 3, 2));
    assert!(near.connect(&far, a, b));
    let here = near.within(|| Forger::honest(HERE, 0));
    let there = far.within(|| Forger::honest(b.into(), 0));
    let rarely = format!("[[source]]\naddress = \"{}\"\nmin-poll = 10\nmax-poll = 10\n", there.address());
    let configuration = format!("{}{rarely}", source(here.address()));
    let setup = Setup::new("comes", &configuration).with_virtual_clock(2_000_000, 0.0);
    assert!(near.ip(&["route", "add", "blackhole", "10.77.3.2/32"]));
    let daemon = setup.within(&near).start();
    daemon.wait_until_synchronised(TIMEOUT);
    // After these the next one is more than half a minute away.
    let sent = |daemon: &Daemon| daemon.sources()[1]["sent"].as_u64().expect("a number");
    daemon.wait_until("silent for long", 4 * TIMEOUT, |daemon| sent(daemon) >= 8);
    assert_eq!(there.heard(), 0);
    assert!(near.ip(&["route", "del", "blackhole", "10.77.3.2/32"]));
    daemon.wait_until("heard", TIMEOUT, |daemon| reach(daemon) & 1 == 1);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_source_on_an_interface_that_is_named_is_heard_when_it_comes_and_when_it_comes_back_with_another_number()
{
    let (Some(near), Some(far)) = (network(), network()) else { return };
    let there = far.within(|| Forger::honest("::".parse().expect("an address"), 0));
    let connect = || {
        assert!(near.connect(&far, Ipv4Addr::new(10, 77, 4, 1), Ipv4Addr::new(10, 77, 4, 2)));
        assert!(far.ip(&["link", "set", "far", "down", "addrgenmode", "none"]));
        assert!(far.ip(&["link", "set", "far", "up"]));
        assert!(far.ip(&["address", "add", "fe80::2/64", "dev", "far", "nodad"]));
        assert!(near.ip(&["link", "set", "near", "down"]));
        assert!(near.ip(&["link", "set", "near", "name", "eth0"]));
        assert!(near.ip(&["link", "set", "eth0", "up"]));
    };
    let configuration = source(format!("[fe80::2%eth0]:{}", there.address().port()));
    let setup = Setup::new("named", &configuration).with_virtual_clock(2_000_000, 0.0);
    let daemon = setup.within(&near).start();
    let absent = "no network interface of that name now; it is waited for";
    daemon.wait_until("without the interface", TIMEOUT, |daemon| daemon.lines(absent) == 1);
    let first_reach = |daemon: &Daemon| daemon.sources()[0]["reach"].as_u64().expect("a number");
    let mut numbers = Vec::new();
    for _ in 0..2 {
        connect();
        daemon.wait_until("heard on the interface", 2 * TIMEOUT, |daemon| first_reach(daemon) & 1 == 1);
        let address = daemon.sources()[0]["address"].as_str().expect("a text").to_owned();
        assert!(!numbers.contains(&address), "{address}: another interface has another number");
        numbers.push(address);
        assert!(near.ip(&["link", "del", "eth0"]));
        daemon.wait_until("silent without it", 2 * TIMEOUT, |daemon| first_reach(daemon) & 1 == 0);
    }
    assert!(daemon.is_synchronised());
    assert!(!daemon.log().contains("a system call"), "{}", daemon.log());
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn where_the_routing_socket_is_forbidden_one_line_says_so_and_all_else_works() {
    let forger = Forger::honest(HERE, 0);
    let lacking = program("lacking").display().to_string();
    let setup = Setup::new("unrouted", &source(forger.address())).with_virtual_clock(2_000_000, 0.0);
    // As RestrictAddressFamilies= of a unit, and as containers.
    for errno in [libc::EAFNOSUPPORT, libc::EPERM] {
        let daemon = setup.clone().with_wrapper(&[&lacking, &errno.to_string(), "socket:netlink"]).start();
        daemon.wait_until_synchronised(TIMEOUT);
        assert_eq!(daemon.lines("no routing socket"), 1, "{}", daemon.log());
        assert_eq!(daemon.stop().code, Some(0));
    }
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    assert_eq!(daemon.lines("no routing socket"), 0, "{}", daemon.log());
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn an_address_whose_uniqueness_is_still_examined_is_served_as_soon_as_it_is_the_hosts() {
    let (Some(near), Some(far)) = (network(), network()) else { return };
    let (a, b) = (Ipv4Addr::new(10, 77, 4, 1), Ipv4Addr::new(10, 77, 4, 2));
    assert!(near.connect(&far, a, b));
    let forger = near.within(|| Forger::honest(HERE, 0));
    let port = free_port();
    let tentative = SocketAddr::new("2001:db8:4::1".parse().expect("an address"), port);
    let configuration = format!(
        "{}[server]\nlisten = [\"127.0.0.1:{port}\", \"{tentative}\"]\nallow = [{ALLOWED}]\nthreads = 2\n",
        source(forger.address())
    );
    // A hundred solicitations, a second apart: until this is shortened the address stays tentative.
    let probes = |count: &str| {
        near.within(|| {
            for (file, value) in [("accept_dad", "1"), ("dad_transmits", count)] {
                std::fs::write(format!("/proc/sys/net/ipv6/conf/near/{file}"), value)
                    .expect("root may change a network of its own");
            }
        });
    };
    probes("100");
    assert!(near.ip(&["address", "add", "2001:db8:4::1/64", "dev", "near"]));
    let is_tentative = || {
        let words = near.entrance();
        let shown = std::process::Command::new(&words[0])
            .args([&words[1], &words[2], "ip", "-6", "address", "show", "dev", "near", "tentative"])
            .output()
            .expect("nsenter is there");
        String::from_utf8_lossy(&shown.stdout).contains("2001:db8:4::1")
    };
    assert!(is_tentative());
    let setup = Setup::new("tentative", &configuration).with_virtual_clock(2_000_000, 0.0);
    let daemon = setup.within(&near).start();
    daemon.wait_until_synchronised(TIMEOUT);
    assert!(is_tentative(), "it was examined for too short a time");
    let line = format!("{tentative}: no interface of this host has this address now; time is served there");
    assert_eq!(daemon.lines(&line), 1, "{}", daemon.log());
    daemon.wait_until("serving the other one", TIMEOUT, |_| {
        near.within(|| answers(SocketAddr::new(HERE, port)))
    });
    // The examination begins anew, and is short.
    assert!(near.ip(&["address", "del", "2001:db8:4::1/64", "dev", "near"]));
    probes("1");
    assert!(near.ip(&["address", "add", "2001:db8:4::1/64", "dev", "near"]));
    daemon.wait_until("serving it", TIMEOUT, |_| near.within(|| answers(tentative)));
    assert!(daemon.is_synchronised());
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn an_interface_that_gets_another_name_changes_nothing_for_long() {
    let (Some(near), Some(far)) = (network(), network()) else { return };
    let (a, b) = (Ipv4Addr::new(10, 77, 5, 1), Ipv4Addr::new(10, 77, 5, 2));
    assert!(near.connect(&far, a, b));
    let here = near.within(|| Forger::honest(HERE, 0));
    let there = far.within(|| Forger::honest(b.into(), 0));
    let port = free_port();
    let configuration = format!(
        "{}{}[server]\nlisten = [\"{a}:{port}\"]\nallow = [{ALLOWED}]\nthreads = 2\n",
        source(here.address()),
        source(there.address())
    );
    let setup = Setup::new("renamed", &configuration).with_virtual_clock(2_000_000, 0.0);
    let daemon = setup.within(&near).start();
    let is_right =
        |daemon: &Daemon| reach(daemon) & 1 == 1 && far.within(|| answers(SocketAddr::new(a.into(), port)));
    daemon.wait_until("heard and serving", TIMEOUT, is_right);
    for name in ["uplink", "near"] {
        let before = if name == "near" { "uplink" } else { "near" };
        assert!(near.ip(&["link", "set", before, "down"]));
        daemon.wait_until("cut off", TIMEOUT, |daemon| reach(daemon) & 1 == 0);
        assert!(near.ip(&["link", "set", before, "name", name]));
        assert!(near.ip(&["link", "set", name, "up"]));
        daemon.wait_until(&format!("right again as {name}"), TIMEOUT, is_right);
    }
    assert!(daemon.is_synchronised());
    assert_eq!(daemon.stop().code, Some(0));
}
