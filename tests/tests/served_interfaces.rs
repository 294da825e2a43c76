//! Entries of `listen`, of `[server]` and of `[server.nts]`, that name an interface: time is served and keys are exchanged on
//! that one alone, whenever it is there.

use bench::client::answers;
use bench::daemon::{Daemon, Setup};
use bench::key_client;
use bench::netns::Network;
use bench::nts::Trust;
use bench::programs::{free_port, program};
use bench::seen::pids;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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

/// Keys are exchanged at these.
fn keys(trust: &Trust, listen: &str, threads: u8) -> String {
    let (chain, key) = (trust.chain().display(), trust.key().display());
    format!(
        "[server.nts]\nlisten = [{listen}]\nthreads = {threads}\ncertificate = \"{chain}\"\nkey = \"{key}\"\n"
    )
}

/// Whether a client in this network gets keys and cookies.
fn exchanges(network: &Network, trust: &Trust, address: SocketAddr) -> bool {
    let config = trust.authority.client_config();
    let exchanged = network.within(|| key_client::exchange(address, "localhost", &config, &[30, 15]));
    exchanged.is_ok_and(|keys| keys.cookies.len() == 8)
}

/// How many lines of `chimerctl status` say this.
fn status_lines(daemon: &Daemon, words: &str) -> usize {
    let page = daemon.chimerctl(&["status"]);
    String::from_utf8_lossy(&page.stdout).lines().filter(|line| line.contains(words)).count()
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
        let unserved = || status_lines(&daemon, MISSING);
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

const NO_KEYS: &str = "there is no interface eth0 now; keys are exchanged on it as soon as there is one";
const KEYS: &str = "interface eth0 is there: keys are exchanged on it";

/// How often all threads of a process have been scheduled.
fn switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let of_one = |status: String| -> u64 {
        let lines = status.lines().filter(|line| line.contains("ctxt_switches:"));
        lines.filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok()).sum()
    };
    tasks.filter_map(|task| Some(of_one(fs::read_to_string(task.ok()?.path().join("status")).ok()?))).sum()
}

#[test]
fn keys_are_exchanged_on_an_interface_alone_and_whenever_it_is_there() {
    let Some((near, far)) = networks() else { return };
    plug(&near, &far, "eth1", 8);
    let [port, key_port, other_port] = [(); 3].map(|()| free_port());
    let trust = Trust::new("late-keys");
    for (threads, listen) in [
        (1, format!("\"0.0.0.0%eth0:{key_port}\", \"[::%eth0]:{key_port}\"")),
        (3, format!("\"0.0.0.0%eth0:{key_port}\", \"[fe80::1%eth0]:{key_port}\", \"10.77.8.9:{key_port}\"")),
    ] {
        let service = keys(&trust, &format!("{listen}, \"0.0.0.0:{other_port}\""), threads);
        let time = server(&format!("\"0.0.0.0:{port}\""), 1);
        let daemon = Setup::new("late-keys", &(time + &service)).within(&near).start();
        let v4 = |number: u8| SocketAddr::new(Ipv4Addr::new(10, 77, number, 1).into(), key_port);
        let exchanges = |address| exchanges(&far, &trust, address);
        let elsewhere = SocketAddr::new(v4(8).ip(), other_port);
        daemon.wait_until("exchanging keys elsewhere", TIMEOUT, |_| exchanges(elsewhere));
        assert_eq!((daemon.lines(NO_KEYS), daemon.lines(KEYS)), (1, 0), "{}", daemon.log());
        assert_eq!(status_lines(&daemon, NO_KEYS), 2, "each entry that names it");
        assert!(far.within(|| answers(SocketAddr::new(v4(8).ip(), port))), "time is served meanwhile");
        for time in 1..=2 {
            assert!(!exchanges(v4(8)), "before it is there");
            let service = daemon.process("key-service").pid;
            let before = switches(service);
            std::thread::sleep(Duration::from_secs(2));
            let idle = switches(service) - before;
            assert!(idle < 20, "{idle} times scheduled without an interface or a client");
            plug(&near, &far, "eth0", 7);
            daemon.wait_until("exchanging over IPv4", TIMEOUT, |_| exchanges(v4(7)));
            let over_link = link_local(&far, "eth0", key_port);
            daemon.wait_until("exchanging over the link", TIMEOUT, |_| exchanges(over_link));
            daemon.wait_until("saying so", TIMEOUT, |daemon| daemon.lines(KEYS) == time);
            assert_eq!(status_lines(&daemon, NO_KEYS), 0, "{}", daemon.log());
            for address in [v4(8), link_local(&far, "eth1", key_port)] {
                assert!(!exchanges(address), "{address}");
            }
            assert!(far.ip(&["route", "add", "10.77.7.1/32", "dev", "eth1"]));
            assert!(!exchanges(v4(7)), "the address of eth0, asked over eth1");
            assert!(far.ip(&["route", "del", "10.77.7.1/32", "dev", "eth1"]));
            let own = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), key_port);
            assert!(!self::exchanges(&near, &trust, own));
            assert!(exchanges(v4(7)) && exchanges(elsewhere), "all the time");
            match time {
                1 => assert!(near.ip(&["link", "del", "eth0"])),
                _ => {
                    assert!(near.ip(&["link", "set", "eth0", "down"]));
                    assert!(near.ip(&["link", "set", "eth0", "name", "was0"]));
                    assert!(near.ip(&["link", "set", "was0", "up"]));
                }
            }
            daemon.wait_until("missing it", TIMEOUT, |daemon| daemon.lines(NO_KEYS) == time + 1);
        }
        assert!(!exchanges(v4(7)), "it has another name now");
        assert!(near.ip(&["link", "del", "was0"]));
        let counted = &daemon.ask("keys").expect("it answers")["key_exchange"]["counters"];
        let of = |name: &str| counted[name].as_u64().unwrap_or_default();
        assert!(of("denied") >= 6 && of("accepted") >= of("denied") + of("exchanged"), "{counted}");
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn keys_are_exchanged_at_an_address_that_comes_late_or_is_tentative_and_comes_back() {
    let Some((near, far)) = networks() else { return };
    let [port, key_port] = [(); 2].map(|()| free_port());
    let trust = Trust::new("late-address");
    let service = keys(&trust, &format!("\"10.77.7.1:{key_port}\", \"[2001:db8:77::1]:{key_port}\""), 2);
    let time = server(&format!("\"0.0.0.0:{port}\""), 1);
    let daemon = Setup::new("late-address", &(time + &service)).within(&near).start();
    let there = [format!("10.77.7.1:{key_port}"), format!("[2001:db8:77::1]:{key_port}")];
    for address in &there {
        let words = format!(
            "{address}: no interface of this host has this address now; keys are exchanged there as soon as one has"
        );
        assert_eq!(daemon.lines(&words), 1, "{}", daemon.log());
    }
    for _ in 0..2 {
        plug(&near, &far, "eth0", 7);
        // It is tentative for its first second.
        assert!(near.ip(&["address", "add", "2001:db8:77::1/64", "dev", "eth0"]));
        assert!(far.ip(&["address", "add", "2001:db8:77::2/64", "dev", "eth0", "nodad"]));
        for address in &there {
            let address = address.parse().expect("an address");
            daemon.wait_until("exchanging keys", TIMEOUT, |_| exchanges(&far, &trust, address));
        }
        assert!(near.ip(&["link", "del", "eth0"]));
    }
    assert_eq!(daemon.stop().code, Some(0));
}

/// Runs `meanwhile` while an interface eth0 comes and goes in this network; how often it came.
fn flapping(network: &Network, meanwhile: impl FnOnce()) -> usize {
    let (is_over, mut times) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        let flap = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                assert!(network.ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "end0"]));
                assert!(network.ip(&["link", "del", "eth0"]));
                times += 1;
            }
        });
        meanwhile();
        is_over.store(true, Ordering::Relaxed);
        flap.join().expect("an interface can be made");
    });
    times
}

/// How many descriptors each process of a daemon has open.
fn descriptors(daemon: &Daemon) -> Vec<(String, usize)> {
    let count = |pid| fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there").count();
    daemon.processes().into_iter().map(|process| (process.role, count(process.pid))).collect()
}

#[test]
fn an_interface_that_flaps_during_reloads_and_the_stop_costs_nothing() {
    let Some((near, far)) = networks() else { return };
    let [port, key_port] = [(); 2].map(|()| free_port());
    let trust = Trust::new("flaps");
    let listen = |port: u16| format!("\"0.0.0.0%eth0:{port}\", \"[::%eth0]:{port}\"");
    let text = server(&listen(port), 2) + &keys(&trust, &listen(key_port), 2);
    let setup = Setup::new("flaps", &text).within(&near);
    let daemon = setup.start();
    let file = setup.place().join("truechimer.toml").display().to_string();
    let time = SocketAddr::new(Ipv4Addr::new(10, 77, 7, 1).into(), port);
    let key = SocketAddr::new(time.ip(), key_port);
    let is_served = || {
        plug(&near, &far, "eth0", 7);
        daemon.wait_until("serving", TIMEOUT, |_| far.within(|| answers(time)));
        daemon.wait_until("exchanging keys", TIMEOUT, |_| exchanges(&far, &trust, key));
        // Each process tells of an interface at most once a second.
        daemon.wait_until("saying so", TIMEOUT, |daemon| status_lines(daemon, "there is no interface") == 0);
        // What was served last may still be open.
        std::thread::sleep(Duration::from_millis(2_500));
        descriptors(&daemon)
    };
    let before = is_served();
    let began = pids(&daemon);
    assert!(near.ip(&["link", "del", "eth0"]));
    let begun = Instant::now();
    let times = flapping(&near, || {
        for round in 0..6 {
            std::thread::sleep(Duration::from_secs(1));
            // Every other one changes something.
            let rate = format!("threads = 2\naddress-rate = {}\n", 10 + round / 2);
            setup.configure(&text.replacen("threads = 2\n", &rate, 1));
            let output = daemon.chimerctl(&["reload", "--config", &file]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
    });
    let seconds = begun.elapsed().as_secs() as usize;
    assert!(times > 5 * seconds, "it came {times} times in {seconds} s");
    let said = daemon.lines("interface eth0");
    // Of each `listen` once a second at most.
    assert!((2..=2 * (seconds + 4)).contains(&said), "{said} in {seconds} s: {}", daemon.log());
    assert_eq!(is_served(), before);
    assert_eq!(pids(&daemon), began);
    assert!(near.ip(&["link", "del", "eth0"]));
    let mut exit = None;
    flapping(&near, || {
        std::thread::sleep(Duration::from_secs(1));
        exit = Some(daemon.stop());
    });
    let exit = exit.expect("it was stopped");
    assert_eq!((exit.code, exit.signal), (Some(0), None), "{}", exit.log);
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
    let (trust, key_port) = (Trust::new("deaf"), free_port());
    let service = keys(&trust, &format!("\"0.0.0.0%eth0:{key_port}\""), 1);
    let daemon = Setup::new("deaf", &(server(&listen, 2) + &service)).with_wrapper(&words).start();
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
    let there = SocketAddr::new(there.ip(), key_port);
    daemon.wait_until("exchanging keys", TIMEOUT, |_| exchanges(&far, &trust, there));
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn check_accepts_an_interface_that_is_not_there_and_warns() {
    let Some((near, far)) = networks() else { return };
    plug(&near, &far, "eth1", 8);
    let listen = "\"0.0.0.0%eth0\", \"[fe80::1%4242]:123\", \"[::%eth1]\", \"192.0.2.1:123\"";
    let service = "[server.nts]\nlisten = [\"[fe80::1%4243]\", \"0.0.0.0%eth0\"]\ncertificate = \"/dev/null\"\nkey = \"/dev/zero\"\n";
    let exit = Setup::new("look", &(server(listen, 1) + service))
        .within(&near)
        .with_argument("--check")
        .run_to_end();
    assert_eq!(exit.code, Some(0), "{}", exit.log);
    for words in [
        "listen: 0.0.0.0%eth0:123: there is no interface eth0 now; time is served on it as soon as there is one",
        "listen: [fe80::1%4242]:123: there is no interface with the index 4242 now",
        "[server.nts] listen: [fe80::1%4243]:4460: there is no interface with the index 4243 now; keys are exchanged on it",
        "[server.nts] listen: 0.0.0.0%eth0:4460: there is no interface eth0 now; keys are exchanged on it as soon as",
    ] {
        assert!(exit.log.contains(words), "{words}: {}", exit.log);
    }
    assert_eq!(exit.log.matches("there is no interface").count(), 4, "{}", exit.log);
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
