//! Which clients ask the server how often, and whom it answers: `chimerctl clients` and `chimerctl access` beside real clients.

use bench::bridge::Bridge;
use bench::chronyd_client::chronyc;
use bench::client::{SILENCE, answers};
use bench::daemon::{Daemon, Setup, source};
use bench::nts::NtsServer;
use bench::packet::{HEADER, Header};
use bench::peers::NO_CHRONYD;
use bench::programs::free_port;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Two answers a second to one address. Clients are of different /24s, so that each has its own limit.
fn serve() -> (Daemon, SocketAddr) {
    let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_port());
    let configuration = format!(
        "[server]\nlisten = [\"{address}\"]\nallow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.9.0/24\"]\nlocal-stratum = 5\n\
         address-rate = 2\nnetwork-rate = 1000\n"
    );
    let daemon = Setup::new("clients", &configuration).start();
    daemon.wait_until("answering", TIMEOUT, |_| answers(address));
    (daemon, address)
}

/// Sends so many requests from this address, and returns how many were answered.
fn ask(server: SocketAddr, from: [u8; 4], requests: usize, every: Duration) -> usize {
    let socket = UdpSocket::bind((Ipv4Addr::from(from), 0)).expect("all of 127/8 is ours");
    socket.connect(server).expect("loopback");
    for _ in 0..requests {
        socket.send(&Header::query(1).octets()).expect("loopback");
        std::thread::sleep(every);
    }
    socket.set_read_timeout(Some(SILENCE)).expect("a socket takes a time-out");
    let replies = std::iter::from_fn(|| socket.recv(&mut [0; 2 * HEADER]).ok());
    // A kiss is no answer: it has stratum 0.
    replies.take(requests).count()
}

fn clients(daemon: &Daemon, words: &[&str]) -> Value {
    let output = daemon.chimerctl(&[&["--json", "clients"], words].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn addresses(reply: &Value) -> Vec<&str> {
    let all = reply["clients"].as_array().expect("a list");
    all.iter().map(|client| client["address"].as_str().expect("a text")).collect()
}

fn of<'r>(reply: &'r Value, address: &str) -> &'r Value {
    let all = reply["clients"].as_array().expect("a list");
    all.iter()
        .find(|client| client["address"] == address)
        .unwrap_or_else(|| panic!("no {address}: {reply:#}"))
}

#[test]
fn who_asks_too_often_is_seen_at_one_glance_and_nobody_else_is_blamed() {
    let (daemon, server) = serve();
    ask(server, [127, 0, 1, 1], 4, Duration::from_millis(600));
    let answered = ask(server, [127, 0, 2, 1], 80, Duration::from_millis(5));
    assert!((16..80).contains(&answered), "{answered}");
    // A burst within the limit.
    assert_eq!(ask(server, [127, 0, 3, 1], 10, Duration::from_millis(2)), 10);
    assert_eq!(ask(server, [127, 0, 9, 9], 6, Duration::from_millis(2)), 0);

    let reply = clients(&daemon, &[]);
    assert_eq!(
        (&reply["configured"], &reply["known"], &reply["replaced"]),
        (&true.into(), &5.into(), &0.into())
    );
    assert_eq!(reply["shortest_interval_s"], 0.5);
    let counts = |address: &str| {
        let client = of(&reply, address);
        assert_eq!(client["version"], 4);
        assert_eq!(client["authenticated"], false);
        let marks = [&client["too_often"], &client["denied"]].map(|mark| *mark == true);
        (client["requests"].as_u64().unwrap(), client["dropped"].as_u64().unwrap(), marks)
    };
    assert_eq!(counts("127.0.1.1"), (4, 0, [false, false]));
    assert_eq!(counts("127.0.3.1"), (10, 0, [false, false]));
    assert_eq!(counts("127.0.9.9"), (6, 6, [false, true]));
    let (requests, dropped, marks) = counts("127.0.2.1");
    assert_eq!((requests, marks), (80, [true, false]));
    // What arrives is an answer or a RATE kiss; kisses count as dropped.
    assert!((1..=64).contains(&dropped) && dropped as usize + answered >= 80, "{dropped} {answered}");
    let interval = of(&reply, "127.0.1.1")["interval_s"].as_f64().unwrap();
    assert!((0.6..5.0).contains(&interval), "{interval}");
    assert!(of(&reply, "127.0.2.1")["interval_s"].as_f64().unwrap() < 0.5);
    // The totals of the server are of the same requests.
    daemon.wait_until("counted", TIMEOUT, |daemon| {
        let total = &daemon.ask("server").expect("an answer")["server"];
        total["limited"] == dropped && total["denied"] == 6
    });

    for (sort, first) in [("requests", "127.0.2.1"), ("dropped", "127.0.2.1"), ("last", "127.0.9.9")] {
        let reply = clients(&daemon, &["--sort", sort, "--limit", "2"]);
        assert_eq!((addresses(&reply).len(), addresses(&reply)[0]), (2, first), "{sort}: {reply:#}");
        assert_eq!(reply["known"], 5);
    }
    assert_eq!(addresses(&clients(&daemon, &["--sort", "dropped", "--limit", "2"]))[1], "127.0.9.9");
    let by_interval = clients(&daemon, &["--sort", "interval"]);
    let slowest = ["127.0.1.1", "127.0.0.1"];
    assert!(slowest.contains(&addresses(&by_interval)[4]), "{by_interval:#}");

    let output = daemon.chimerctl(&["clients"]);
    let page = String::from_utf8(output.stdout).unwrap();
    let notes: Vec<(&str, &str)> = page
        .lines()
        .filter(|line| line.starts_with("127."))
        .map(|line| (line.split(' ').next().unwrap(), line.rsplit("  ").next().unwrap()))
        .filter(|(_, note)| ["too often", "denied"].contains(note))
        .collect();
    assert_eq!(notes, [("127.0.2.1", "too often"), ("127.0.9.9", "denied")], "{page}");
    assert!(page.starts_with("5 clients are known, of at most 8192; none was replaced"), "{page}");
}

#[test]
fn what_is_said_of_an_address_is_what_becomes_of_its_requests() {
    let (daemon, server) = serve();
    for (host, allowed, rule) in [
        ([127, 0, 8, 255], true, "127.0.0.0/8"),
        ([127, 0, 9, 0], false, "127.0.9.0/24"),
        ([127, 0, 9, 255], false, "127.0.9.0/24"),
        ([127, 0, 10, 1], true, "127.0.0.0/8"),
    ] {
        let address = IpAddr::from(host).to_string();
        let output = daemon.chimerctl(&["--json", "access", &address]);
        let reply: Value = serde_json::from_slice(&output.stdout).expect("one document");
        assert_eq!((&reply["allowed"], &reply["rule"]), (&allowed.into(), &rule.into()), "{address}");
        assert_eq!((&reply["address_rate_per_s"], &reply["network_rate_per_s"]), (&2.into(), &1_000.into()));
        assert_eq!(ask(server, host, 1, Duration::ZERO), usize::from(allowed), "{address}");
    }
    let said = |words: &[&str]| String::from_utf8(daemon.chimerctl(words).stdout).unwrap();
    assert_eq!(said(&["access", "192.0.2.1"]), "192.0.2.1 is denied: no network of allow has it\n");
    assert!(said(&["access", "127.0.9.1"]).starts_with("127.0.9.1 is denied, by deny = 127.0.9.0/24"));
    // As a reload has it.
    let place = daemon.setup().place().join("truechimer.toml");
    let text = std::fs::read_to_string(&place).unwrap().replace("127.0.9.0/24", "127.0.10.0/24");
    daemon.setup().configure(&text);
    assert!(daemon.chimerctl(&["reload", "--config", &place.display().to_string()]).status.success());
    assert!(said(&["access", "127.0.9.1"]).starts_with("127.0.9.1 is allowed, by allow = 127.0.0.0/8"));
    assert!(said(&["access", "127.0.10.1"]).contains("is denied"));
}

#[test]
fn a_client_with_nts_is_shown_as_one() {
    let server = NtsServer::new("clients-nts", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let client = Setup::new("clients-of", &server.source("127.0.0.1", "")).with_virtual_clock(0, 0.0).start();
    client.wait_until_synchronised(TIMEOUT);
    let reply = clients(&daemon, &["--sort", "last"]);
    let client = of(&reply, "127.0.0.1");
    assert_eq!((&client["authenticated"], &client["too_often"]), (&true.into(), &false.into()), "{reply:#}");
    assert!(client["requests"].as_u64() > Some(2), "{reply:#}");
}

#[test]
fn a_host_that_serves_nobody_says_so() {
    let daemon = Setup::new("serves-nobody", &source("127.0.0.1:9")).start();
    for words in [&["clients"][..], &["access", "127.0.0.1"]] {
        let output = daemon.chimerctl(words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.starts_with("the server is off"), "{words:?}: {output:?}");
    }
    let reply = clients(&daemon, &[]);
    assert_eq!(
        (&reply["configured"], &reply["known"], &reply["room"]),
        (&false.into(), &Value::Null, &Value::Null)
    );
}

#[test]
fn a_server_that_does_not_answer_delays_no_other_answer_and_is_said_so() {
    let (daemon, _) = serve();
    let server = daemon.process("server").pid;
    daemon.signal(server, Signal::SIGSTOP);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (daemon.chimerctl(&["clients"]), begun.elapsed()))).collect();
        while waiting.iter().any(|thread| !thread.is_finished()) {
            let asked = Instant::now();
            assert!(daemon.ask("status").is_some());
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
            std::thread::sleep(Duration::from_millis(50));
        }
        for thread in waiting {
            let (output, after) = thread.join().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("the server did not answer in time"), "{said}");
            assert!((3..15).contains(&after.as_secs()), "{after:?}");
        }
    });
    daemon.signal(server, Signal::SIGCONT);
    // The late answer to the first question comes too; nobody waits for it, and it is no breach.
    daemon.wait_until("answering again", TIMEOUT, |daemon| daemon.chimerctl(&["clients"]).status.success());
    assert!(daemon.ask("status").is_some());
}

#[test]
fn chronyc_lists_the_clients_and_may_not_begin_their_counts_anew() {
    let (daemon, server) = serve();
    let bridge = Bridge::start(&daemon.socket());
    if chronyc(&bridge.socket(), &["activity"]).is_none() {
        return bench::skip(NO_CHRONYD);
    }
    for host in 1..=20 {
        ask(server, [127, 0, 100, host], usize::from(host), Duration::ZERO);
    }
    ask(server, [127, 0, 9, 9], 3, Duration::ZERO);
    std::thread::sleep(Duration::from_millis(1_100));
    let rows = bridge.table(&["clients"]);
    // Address; requests, dropped ones, intervals, age; the same of commands.
    let row = |address: &str| rows.iter().find(|row| row[0] == address).unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!(rows.len(), 22, "{rows:?}");
    for host in 1..=10 {
        assert_eq!(row(&format!("127.0.100.{host}"))[1..3], [host.to_string(), "0".to_owned()]);
    }
    assert_eq!(row("127.0.9.9")[1..3], ["3", "3"]);
    assert_eq!(row("127.0.100.1")[3], "127", "one request has no interval: {rows:?}");
    assert_eq!(bridge.table(&["clients", "-p", "15"]).len(), 6, "{rows:?}");
    let (is_content, said) = bridge.chronyc(&["clients", "-r"]);
    assert!(!is_content && said.contains("501 Not authorised"), "{said}");
}
