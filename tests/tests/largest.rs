//! The most that a configuration, a stranger or an administrator can ask for at once, of fresh daemons under their filters:
//! nobody dies, and each answer is whole or says why there is none.

use bench::authority::Order;
use bench::client;
use bench::daemon::{Daemon, Setup, source};
use bench::key_client;
use bench::nts::NtsServer;
use bench::programs::{free_port, wait_for};
use bench::seen::pids;
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use protocol::header::Header;
use protocol::nts::MAX_PACKET;
use protocol::nts::aead::{Algorithm, SessionKeys};
use protocol::nts::client::{Awaited, ProtectedRequest, Reply, read_reply};
use protocol::request::minimal;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Sources of a configuration.
const SOURCES: usize = 32;

/// Addresses that one server's `listen` takes, of `[server]` and of `[server.nts]`.
const LISTEN: u8 = 16;
const KEY_LISTEN: u8 = 8;

/// The addresses 127.0.`network`.1 to 127.0.`network`.`count`.
fn addresses(network: u8, count: u8) -> Vec<String> {
    (1..=count).map(|host| format!("127.0.{network}.{host}")).collect()
}

/// A server with NTS at as many addresses as it takes, for clients that are all at one address.
fn nts_server(word: &str, network: u8) -> NtsServer {
    let all = addresses(network, KEY_LISTEN);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let server = NtsServer::new(word, &all, "network-connections = 64");
    server.trust.replace(&Order::new(&[&all[..], &["localhost"]].concat()));
    let text = text(&server.setup).replace("local-stratum = 1\n", "local-stratum = 1\nrate-limit = false\n");
    server.setup.configure(&text);
    server
}

fn text(setup: &Setup) -> String {
    std::fs::read_to_string(setup.place().join("truechimer.toml")).expect("it was written")
}

/// Each process is that of the start, and no filter has denied anything.
fn lives(daemon: &Daemon, began: &[u32]) {
    assert_eq!(pids(daemon), began, "{}", daemon.log());
    assert!(!daemon.log().contains("SIGSYS"), "{}", daemon.log());
}

/// What `chimerctl` prints, as text and as JSON, which is whole.
fn ask(daemon: &Daemon, words: &[&str]) -> Value {
    let page = daemon.chimerctl(words);
    assert!(page.status.success() && !page.stdout.is_empty(), "{words:?}: {page:?}");
    let page = daemon.chimerctl(&[&["--json"], words].concat());
    assert!(page.status.success(), "{words:?}: {page:?}");
    serde_json::from_slice(&page.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn is_ready(source: &Value) -> bool {
    source["reach"] != 0 && (source["nts"].is_null() || source["nts"]["state"] == "ready")
}

fn cookies(daemon: &Daemon) -> Vec<u64> {
    daemon.sources().iter().filter_map(|source| source["nts"]["cookies"].as_u64()).collect()
}

#[test]
fn as_many_sources_as_there_may_be_of_all_kinds_are_followed_and_shown() {
    let servers = [nts_server("largest-a", 1), nts_server("largest-b", 2)];
    let daemons = servers.each_ref().map(|server| server.setup.start());
    let port = free_port();
    let listen: Vec<String> =
        addresses(3, LISTEN).iter().map(|address| format!("{address}:{port}")).collect();
    let plain = Setup::new(
        "largest-plain",
        &format!(
            "[server]\nlisten = {listen:?}\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 1\nrate-limit = false\n"
        ),
    )
    .start();
    let mut text = String::new();
    for (network, server) in [1, 2].into_iter().zip(&servers) {
        for (at, address) in addresses(network, KEY_LISTEN).iter().enumerate() {
            // The longer cookies are those of AES-SIV-CMAC-256.
            text += &server.source(address, if at % 2 == 0 { "aead = \"siv\"" } else { "" });
        }
    }
    listen.iter().for_each(|address| text += &source(address));
    let one_more = Setup::new("largest-more", &format!("{text}{}", source("127.0.9.9"))).run_to_end();
    assert_eq!(one_more.code, Some(78), "{}", one_more.log);
    assert!(one_more.log.contains(&format!("more than {SOURCES} sources")), "{}", one_more.log);

    let daemon = Setup::new("largest", &text).with_virtual_clock(3_000_000, 5.0).start();
    let began = pids(&daemon);
    assert_eq!(ask(&daemon, &["sources"])["sources"].as_array().map(Vec::len), Some(SOURCES));
    daemon.wait_until("in contact with all", TIMEOUT, |daemon| {
        daemon.is_synchronised() && daemon.sources().iter().all(is_ready)
    });
    assert_eq!(daemon.sources().iter().filter(|source| !source["nts"].is_null()).count(), 16);

    // Without replies the cookies of each source go down to the last one; the next request asks for all others.
    let silent: Vec<u32> = daemons.iter().map(|daemon| daemon.process("server").pid).collect();
    for (daemon, pid) in daemons.iter().zip(&silent) {
        daemon.signal(*pid, Signal::SIGSTOP);
    }
    daemon.wait_until("down to the last cookies", TIMEOUT, |daemon| {
        cookies(daemon).iter().min().is_some_and(|least| *least <= 1)
    });
    for (daemon, pid) in daemons.iter().zip(&silent) {
        daemon.signal(*pid, Signal::SIGCONT);
    }
    daemon.wait_until("with all cookies again", TIMEOUT, |daemon| {
        let all = cookies(daemon);
        all.len() == 16 && all.iter().all(|count| *count >= 7) && daemon.sources().iter().all(is_ready)
    });

    for words in ["status", "keys", "server"] {
        ask(&daemon, &[words]);
    }
    let shown = ask(&daemon, &["sources"]);
    let shown = shown["sources"].as_array().expect("a list");
    assert_eq!(shown.len(), SOURCES);
    for source in shown {
        ask(&daemon, &["source", source["name"].as_str().expect("a name")]);
    }
    // As many at once as are taken, and more that wait.
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..40).map(|_| scope.spawn(|| ask(&daemon, &["sources"]))).collect();
        for one in all {
            let answer = one.join().expect("an answer");
            assert_eq!(answer["sources"].as_array().map(Vec::len), Some(SOURCES));
        }
    });
    lives(&daemon, &began);
    assert_eq!(daemon.stop().code, Some(0));
    for daemon in daemons.into_iter().chain([plain]) {
        assert!(!daemon.log().contains("SIGSYS"), "{}", daemon.log());
        assert_eq!(daemon.stop().code, Some(0));
    }
}

/// A request with this many placeholders, and how many cookies the reply has.
fn refill(server: &NtsServer, algorithm: u16, placeholders: usize) -> Option<usize> {
    let config = server.trust.authority.client_config();
    let address = ([127, 0, 1, 1], server.key_port).into();
    let keys = key_client::exchange(address, "localhost", &config, &[algorithm]).ok()?;
    let algorithm = Algorithm::from_id(keys.algorithm)?;
    let session = SessionKeys::from_octets(algorithm, &keys.client_to_server, &keys.server_to_client)?;
    let identifier = [0x1d; 32];
    let request = ProtectedRequest {
        header: Header { transmit_timestamp: 77, ..minimal(0) },
        unique_identifier: &identifier,
        cookie: keys.cookies.first()?,
        placeholders,
        key: &session.client_to_server,
        nonce: &[0x33; 16],
    };
    let mut packet = [0; MAX_PACKET];
    let length = request.encode(&mut packet).ok()?;
    let time = ([127, 0, 1, 1], server.port).into();
    let (mut reply, _) = client::send(time, &packet[..length], TIMEOUT)?;
    let awaited = Awaited { unique_identifier: &identifier, origin: 77, key: &session.server_to_client };
    match read_reply(&mut reply, &awaited) {
        Ok(Reply::Protected(reply)) => Some(reply.cookies().count()),
        _ => None,
    }
}

#[test]
fn a_server_gives_eight_cookies_at_once_in_its_first_reply() {
    for (algorithm, first) in [(15, 7), (30, 7), (15, 0)] {
        let server = nts_server("largest-cookies", 1);
        let daemon = server.setup.start();
        let began = pids(&daemon);
        for placeholders in [first, 0, 7] {
            let given = wait_for(TIMEOUT, || refill(&server, algorithm, placeholders));
            assert_eq!(given, Some(placeholders + 1), "{algorithm}: {}", daemon.log());
        }
        lives(&daemon, &began);
        assert_eq!(daemon.stop().code, Some(0));
    }
}

/// An address of the loopback network for each number, few of them in one network of 256.
fn stranger(number: u32) -> Ipv4Addr {
    let [_, a, b, c] = (number.wrapping_mul(0x9e37_79b1) >> 8).to_be_bytes();
    Ipv4Addr::new(127, a, b, c.max(1))
}

#[test]
fn a_server_that_knows_as_many_clients_as_it_can_goes_on() {
    let server = nts_server("largest-crowd", 1);
    // With the limit, whose table is what fills.
    server.setup.configure(&text(&server.setup).replace("rate-limit = false\n", ""));
    let daemon = server.setup.start();
    let began = pids(&daemon);
    let time: SocketAddr = ([127, 0, 1, 1], server.port).into();
    daemon.wait_until("answering", TIMEOUT, |_| client::query(time, Duration::from_secs(1)).is_some());
    let request = bench::packet::Header::query(7).octets();
    // More addresses than the table has entries (131,072).
    for number in 0..160_000 {
        let socket = UdpSocket::bind((stranger(number), 0)).expect("an address of loopback");
        socket.send_to(&request, time).expect("loopback takes it");
        if number % 256 == 0 {
            wait_for(TIMEOUT, || client::query(time, Duration::from_secs(1)).map(drop));
        }
    }
    let counted = || daemon.ask("server").expect("it answers")["server"]["received"].as_u64();
    daemon.wait_until("told of them", TIMEOUT, |_| counted() >= Some(150_000));
    // Connections of as many networks as may be open, and more.
    let connections: Vec<OwnedFd> =
        (0..700).filter_map(|number| connected(stranger(number), server.key_port)).collect();
    assert_eq!(connections.len(), 700);
    let asked = || {
        let config = server.trust.authority.client_config();
        let address = ([127, 0, 1, 2], server.key_port).into();
        key_client::exchange(address, "localhost", &config, &[30, 15]).ok()
    };
    assert!(wait_for(TIMEOUT, asked).is_some(), "{}", daemon.log());
    drop(connections);
    for words in ["status", "keys", "server"] {
        ask(&daemon, &[words]);
    }
    lives(&daemon, &began);
    assert_eq!(daemon.stop().code, Some(0));
}

/// A connection from this address to the key exchange.
fn connected(from: Ipv4Addr, port: u16) -> Option<OwnedFd> {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).ok()?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(std::net::SocketAddrV4::new(from, 0))).ok()?;
    let to = std::net::SocketAddrV4::new(Ipv4Addr::new(127, 0, 1, 1), port);
    connect(fd.as_raw_fd(), &SockaddrIn::from(to)).ok()?;
    Some(fd)
}

#[test]
fn a_reload_of_the_longest_file_with_all_rules_is_taken_and_a_longer_one_is_refused() {
    let port = free_port();
    let configuration = |rules: usize, comment: usize| {
        let mut text = format!("[server]\nlisten = [\"127.0.0.1:{port}\"]\nlocal-stratum = 3\nallow = [\n");
        for rule in 0..rules {
            let _ = writeln!(text, "\"127.{}.{}.0/24\",", rule / 256, rule % 256);
        }
        text += "]\n";
        while text.len() < comment {
            text += "# A line that only makes the file longer, as many others do in a file that was made by a program: äöü.\n";
        }
        text
    };
    let setup = Setup::new("largest-file", &configuration(1, 0));
    let daemon = setup.start();
    let began = pids(&daemon);
    let file = setup.place().join("truechimer.toml").display().to_string();
    let reload = |rules, length| {
        setup.configure(&configuration(rules, length));
        daemon.chimerctl(&["reload", "--config", &file])
    };
    for (rules, length) in [(4_096, 0), (1, 0), (4_096, 262_000)] {
        let output = reload(rules, length);
        assert!(output.status.success(), "{rules} {length}: {output:?}\n{}", daemon.log());
        assert!(String::from_utf8_lossy(&output.stdout).contains("in force now"), "{output:?}");
    }
    // What is behind the end of what is read must not be missing without a word.
    for (rules, length, word) in [
        (4_097, 0, "4096"),
        (1, 263_000, "longer than"),
        (1, 320_000, "longer than"),
        (1, 1_100_000, "longer than"),
    ] {
        let output = reload(rules, length);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(1 | 2)) && said.contains(word), "{output:?}");
    }
    let time = ([127, 0, 0, 1], port).into();
    assert!(wait_for(TIMEOUT, || client::query(time, Duration::from_secs(1))).is_some(), "{}", daemon.log());
    lives(&daemon, &began);
    assert_eq!(daemon.stop().code, Some(0));
}
