//! The server on real sockets: which requests are answered, from which address, with which timestamps.

mod support;

use bench::process::state_of;
use bench::programs::{has_ipv6, wait_for};
use bench::role::{Numbers, Role, in_millis};
use ipc::clock_page::ClockPage;
use ipc::list::Bounded;
use ipc::message::Shortfall;
use ipc::message::server::{
    Access, Counters, FromServer, MAX_RATE, MAX_TOTAL, Rule, ServerPolicy, ServerState, ToServer,
};
use ipc::process::Process;
use ipc::units::{Leap, RawInstant, Span, WallTime};
use network::clock::{self, Pair};
use network::ending::Ending;
use network::interfaces::Served;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, sendto, setsockopt, socket,
    sockopt,
};
use nix::unistd::Pid;
use protocol::header::Header;
use protocol::request::minimal;
use protocol::timestamp::Timestamp;
use server::{listen, run, start_threads};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use support::{counters_when, wait_until_in_force, wait_until_read};

type Server = Role<ToServer, FromServer, Ending>;

const NONCE: u64 = 0x0123_4567_89ab_cdef;
/// Short enough to wait for silence often. What a server does not answer also shows in its counters.
const SILENCE: Duration = Duration::from_millis(100);
/// For events that must happen.
const DEADLINE: Duration = Duration::from_secs(20);

fn bound(address: &str) -> (OwnedFd, u16) {
    let address: SocketAddr = address.parse().unwrap();
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(family, SockType::Datagram, flags, None).unwrap();
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true).unwrap();
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    let socket = UdpSocket::from(fd);
    let port = socket.local_addr().unwrap().port();
    (socket.into(), port)
}

fn serve(address: &str, clock: Option<OwnedFd>) -> (Server, u16) {
    let (socket, port) = bound(address);
    let threads =
        start_threads(listen(vec![socket]).unwrap(), (Served::default(), None), clock.as_ref(), None)
            .unwrap();
    let mut server = Server::in_thread(move |link| run(link, Shortfall::NONE, threads));
    assert!(matches!(server.hear(), FromServer::Hello(_)));
    (server, port)
}

fn rule(text: &str, allow: bool) -> Rule {
    let (ip, bits) = text.split_once('/').unwrap();
    let mut prefix = [0; 16];
    match ip.parse().unwrap() {
        IpAddr::V4(v4) => prefix[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => prefix = v6.octets(),
    }
    Rule { prefix, bits: bits.parse().unwrap(), ipv6: ip.contains(':'), allow }
}

fn access(rules: &[Rule]) -> ToServer {
    let rules = Bounded::new(rules.iter().copied()).unwrap();
    ToServer::Access(Access { begins: true, ends: true, rules })
}

fn state() -> ServerState {
    ServerState {
        leap: Leap::None,
        stratum: 2,
        precision: -24,
        root_delay: Span::from_millis(20),
        root_dispersion: Span::from_millis(5),
        as_of: clock::raw(),
        reference_id: 0x7f00_0001,
        reference_time: WallTime::saturating(1_800_000_000_000_000_000),
        valid_until: in_millis(3_600_000),
    }
}

/// Limits that no test reaches unintentionally.
fn generous() -> ToServer {
    let (address_rate, network_rate, total_rate) = (MAX_RATE, MAX_RATE, MAX_TOTAL);
    ToServer::Policy(ServerPolicy { address_rate, network_rate, total_rate, ..ServerPolicy::DEFAULT })
}

/// Serves the loopback addresses, synchronised.
fn open_to_loopback(address: &str) -> (Server, u16) {
    open_under(&generous(), address)
}

/// The same under a policy, which is in force on return.
fn open_under(policy: &ToServer, address: &str) -> (Server, u16) {
    let (mut server, port) = serve(address, None);
    server.send(policy);
    server.send(&ToServer::State(state()));
    server.send(&access(&[rule("127.0.0.0/8", true), rule("::1/128", true), rule("127.0.0.9/32", false)]));
    wait_until_in_force(&mut server);
    (server, port)
}

/// Sends octets from a socket that accepts replies only from this address, and returns the reply.
fn ask(target: &str, octets: &[u8]) -> Option<Vec<u8>> {
    ask_from(if target.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" }, target, octets)
}

fn ask_from(source: &str, target: &str, octets: &[u8]) -> Option<Vec<u8>> {
    ask_within(SILENCE, source, target, octets)
}

fn ask_within(time: Duration, source: &str, target: &str, octets: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind(source).unwrap();
    socket.connect(target).unwrap();
    socket.set_read_timeout(Some(time)).unwrap();
    socket.send(octets).unwrap();
    let mut reply = vec![0; 70_000];
    let length = socket.recv(&mut reply).ok()?;
    reply.truncate(length);
    Some(reply)
}

/// The reply, which must come.
fn answer(target: &str, octets: &[u8]) -> Vec<u8> {
    let source = if target.starts_with('[') { "[::1]:0" } else { "127.0.0.1:0" };
    ask_within(DEADLINE, source, target, octets).expect("an answer")
}

fn header(target: &str) -> Header {
    let reply = answer(target, &minimal(NONCE).encode());
    assert_eq!(reply.len(), 48);
    Header::decode(&reply).unwrap()
}

fn nanos(stamp: u64) -> i64 {
    Timestamp::from_bits(stamp).unix_nanos(0)
}

#[test]
fn a_reply_carries_the_state_and_two_times_in_order() {
    for (address, target) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]"), ("[::]:0", "[::1]")] {
        if address.starts_with('[') && !has_ipv6() {
            continue;
        }
        let (server, port) = open_to_loopback(address);
        let before = clock::realtime();
        let reply = header(&format!("{target}:{port}"));
        let after = clock::realtime();
        assert_eq!((reply.leap, reply.version, reply.mode, reply.stratum), (0, 4, 4, 2));
        assert_eq!(reply.origin_timestamp, NONCE);
        let (t2, t3) = (nanos(reply.receive_timestamp), nanos(reply.transmit_timestamp));
        // A wire timestamp is rounded down by up to a quarter of a nanosecond, then to the nearest.
        assert!(before - 1 <= t2 && t2 <= t3 && t3 <= after + 1, "{before} {t2} {t3} {after}");
        assert_eq!(server.hang_up(), Ending::EngineGone);
    }
}

#[test]
fn the_reply_leaves_from_the_address_that_was_asked() {
    let (_server, port) = open_to_loopback("0.0.0.0:0");
    for target in ["127.0.0.1", "127.0.0.5", "127.1.2.3"] {
        // The asking socket is connected: an answer from another address would not arrive.
        assert_eq!(answer(&format!("{target}:{port}"), &minimal(NONCE).encode()).len(), 48, "{target}");
    }
}

#[test]
fn a073_random_octets_get_no_answer_that_is_longer() {
    let (_server, port) = open_to_loopback("127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    let mut numbers = Numbers(0x73);
    // On a busy machine a reply may arrive only after the next request: its origin timestamp tells which one it answers.
    let mut lengths = std::collections::HashMap::new();
    let mut answered = 0;
    let heard = || {
        let mut reply = [0; 2_000];
        let got = socket.recv(&mut reply).ok()?;
        Some((got, reply[24..32].to_vec()))
    };
    for round in 0..600 {
        let length = if round % 3 == 0 { 48 } else { numbers.draw() as usize % 1_400 };
        let mut request: Vec<u8> = (0..length).map(|_| numbers.draw() as u8).collect();
        if round % 2 == 0 && length > 0 {
            request[0] = 0x23;
        }
        if length >= 48 {
            lengths.insert(request[40..48].to_vec(), length);
        }
        socket.send(&request).unwrap();
        while let Some((got, origin)) = heard() {
            let length = lengths[&origin];
            assert!(got <= length, "{got} octets for {length}");
            answered += 1;
        }
    }
    wait_until_read(port);
    while heard().is_some() {
        answered += 1;
    }
    assert!(answered > 50, "{answered}");
}

#[test]
fn a074_a075_a076_a093_what_is_no_request_is_silent_and_counted() {
    let (mut server, port) = open_to_loopback("0.0.0.0:0");
    let target = format!("127.0.0.1:{port}");
    let request = minimal(NONCE);
    for mode in [0, 2, 4, 5] {
        assert_eq!(ask(&target, &Header { mode, ..request }.encode()), None, "mode {mode}");
    }
    for version in [0, 5, 6, 7] {
        assert_eq!(ask(&target, &Header { version, ..request }.encode()), None, "version {version}");
    }
    for length in [0, 1, 47, 49] {
        assert_eq!(ask(&target, &[0x23; 64][..length]), None, "length {length}");
    }
    for mode in [0x16u8, 0x17, 0x26, 0x27] {
        let mut octets = vec![0; 12];
        octets[0] = mode;
        assert_eq!(ask(&target, &octets), None);
    }
    assert_eq!(ask_from("127.0.0.9:0", &target, &request.encode()), None, "denied");
    // Broadcast on the loopback network.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket.send_to(&request.encode(), ("127.255.255.255", port)).unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err(), "a broadcast was answered");
    assert_eq!(answer(&target, &request.encode()).len(), 48);
    // One control request more is that of `counters_after_all`.
    let counters = counters_after_all(&mut server, port, 4);
    assert_eq!((counters.malformed, counters.control, counters.denied), (13, 5, 1), "{counters:?}");
    assert_eq!((counters.answered, counters.limited, counters.failed), (1, 0, 0), "{counters:?}");
    assert_eq!(counters.received, 20);
}

/// The counters after everything that was sent has been counted, including a control request that this sends last.
/// `control`: how many control requests were sent before.
fn counters_after_all(server: &mut Server, port: u16, control: u64) -> Counters {
    wait_until_read(port);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&[0x16; 12], ("127.0.0.1", port)).unwrap();
    let counters = counters_when(server, |counters| counters.control > control);
    assert_eq!(counters.control, control + 1, "{counters:?}");
    counters
}

#[test]
fn a076_a_sender_with_port_0_is_not_answered() {
    let (mut server, port) = open_to_loopback("127.0.0.1:0");
    let flags = SockFlag::SOCK_CLOEXEC;
    let Ok(raw) = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Udp) else {
        return bench::skip("not root: no raw socket to send from port 0");
    };
    // Source port 0, the server's port, length, no checksum.
    let mut datagram = vec![0, 0];
    datagram.extend(port.to_be_bytes());
    datagram.extend([0, 56, 0, 0]);
    datagram.extend(minimal(NONCE).encode());
    let to: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let none = nix::sys::socket::MsgFlags::empty();
    sendto(raw.as_raw_fd(), &datagram, &SockaddrStorage::from(to), none).unwrap();
    let counters = counters_after_all(&mut server, port, 0);
    assert_eq!((counters.malformed, counters.failed), (1, 0), "{counters:?}");
}

#[test]
fn a075_two_servers_that_are_forged_at_each_other_fall_silent() {
    let (mut one, port) = open_to_loopback("127.0.0.1:0");
    let (mut other, other_port) = open_to_loopback("127.0.0.1:0");
    // The reply of one, sent to the other as if from the first.
    let reply = header(&format!("127.0.0.1:{port}"));
    assert_eq!(ask(&format!("127.0.0.1:{other_port}"), &reply.encode()), None);
    assert_eq!(counters_after_all(&mut other, other_port, 0).malformed, 1);
    assert_eq!(counters_after_all(&mut one, port, 0).malformed, 0);
}

#[test]
fn a092_without_a_valid_state_a_reply_says_unsynchronised() {
    let (mut server, port) = serve("127.0.0.1:0", None);
    server.send(&generous());
    let target = format!("127.0.0.1:{port}");
    assert_eq!(ask(&target, &minimal(NONCE).encode()), None, "without a rule no request is answered");
    server.send(&access(&[rule("127.0.0.0/8", true)]));
    wait_until_in_force(&mut server);
    let reply = header(&target);
    assert_eq!((reply.leap, reply.stratum), (3, 0));
    let valid_until = in_millis(2_000);
    server.send(&ToServer::State(ServerState { valid_until, ..state() }));
    wait_until_in_force(&mut server);
    assert_eq!(header(&target).stratum, 2);
    let reply =
        wait_for(DEADLINE, || Some(header(&target)).filter(|reply| reply.stratum == 0)).expect("an end");
    assert!(clock::raw() >= valid_until, "the state was dropped while it was valid");
    assert_eq!((reply.leap, reply.stratum, reply.reference_id), (3, 0, 0));
}

#[test]
fn with_a_virtual_clock_replies_carry_its_time() {
    let pair = Pair::read();
    let ahead = 7_200_000_000_000;
    let page = ClockPage {
        tai: 37,
        ..ClockPage::free_running(WallTime::saturating(pair.realtime + ahead), pair.raw)
    };
    let path = std::env::temp_dir().join(format!("truechimer-server-clock-{}", std::process::id()));
    std::fs::write(&path, page.to_octets()).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let (mut server, port) = serve("127.0.0.1:0", Some(file.into()));
    server.send(&access(&[rule("127.0.0.0/8", true)]));
    server.send(&ToServer::State(state()));
    wait_until_in_force(&mut server);
    let now = |raw: RawInstant| page.wall_at(raw).nanos();
    let before = now(clock::raw());
    let reply = header(&format!("127.0.0.1:{port}"));
    let after = now(clock::raw());
    let (t2, t3) = (nanos(reply.receive_timestamp), nanos(reply.transmit_timestamp));
    // T2 goes through a pair of clock readings, which are a few microseconds apart at worst.
    assert!(before - 20_000 <= t2 && t2 <= t3 && t3 <= after + 1, "{before} {t2} {t3} {after}");
}

#[test]
fn a122_counters_come_once_a_second_with_traffic_and_never_without() {
    let begin = Instant::now();
    let (mut server, port) = open_to_loopback("127.0.0.1:0");
    let target = format!("127.0.0.1:{port}");
    for _ in 0..4 {
        let report = wait_for(DEADLINE, || {
            ask(&target, &minimal(NONCE).encode());
            server.next_within(Duration::ZERO)
        });
        assert!(report.is_some(), "no report beside requests");
    }
    assert!(begin.elapsed() > Duration::from_secs(3), "four reports in {:?}", begin.elapsed());
    // What was counted since the last report is still told, and then nothing.
    counters_after_all(&mut server, port, 0);
    assert_eq!(
        server.next_within(Duration::from_millis(1_500)),
        None,
        "without requests there are no reports"
    );
}

#[test]
fn a_flood_from_one_host_is_limited_and_never_silenced() {
    let (mut server, port) = open_under(&ToServer::Policy(ServerPolicy::DEFAULT), "127.0.0.1:0");
    let socket = UdpSocket::bind("127.0.0.7:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    for _ in 0..200 {
        for _ in 0..50 {
            socket.send(&minimal(NONCE).encode()).unwrap();
        }
        while socket.set_nonblocking(true).is_ok() && socket.recv(&mut [0; 100]).is_ok() {}
    }
    let counters = counters_after_all(&mut server, port, 0);
    assert!(counters.limited > 1_000, "{counters:?}");
    assert!(counters.spared > 500, "{counters:?}");
    assert!(counters.kissed > 10, "{counters:?}");
    assert_eq!(counters.received, counters.answered + counters.limited + counters.control, "{counters:?}");
}

#[test]
fn access_rules_with_impossible_numbers_end_the_role() {
    let (mut server, _) = serve("127.0.0.1:0", None);
    server.send(&access(&[Rule { bits: 33, ..Rule::NONE }]));
    assert!(matches!(server.ending(), Ending::Rule(_)));
}

#[test]
fn the_real_program_answers_on_the_sockets_that_it_is_given() {
    let second = if has_ipv6() { "[::1]" } else { "127.0.0.2" };
    let ((one, port), (two, other_port)) = (bound("127.0.0.1:0"), bound(&format!("{second}:0")));
    let served = format!("served=127.0.0.1:{port},{second}:{other_port}");
    let words = format!("sockets={},{} {served}", one.as_raw_fd(), two.as_raw_fd());
    let mut server = Server::in_process(Process::Server, "exec", &words, &[&one, &two]);
    drop((one, two));
    assert!(matches!(server.hear(), FromServer::Hello(_)));
    server.send(&access(&[rule("127.0.0.0/8", true), rule("::1/128", true)]));
    server.send(&ToServer::State(state()));
    wait_until_in_force(&mut server);
    assert_eq!(header(&format!("127.0.0.1:{port}")).stratum, 2);
    assert_eq!(header(&format!("{second}:{other_port}")).stratum, 2);
    assert_eq!(server.status(true).code(), Some(0));
}

#[test]
fn what_has_arrived_when_the_engine_ends_is_still_answered() {
    let (socket, port) = bound("127.0.0.1:0");
    let words = format!("sockets={} served=127.0.0.1:{port}", socket.as_raw_fd());
    let mut server = Server::in_process(Process::Server, "exec", &words, &[&socket]);
    drop(socket);
    assert!(matches!(server.hear(), FromServer::Hello(_)));
    server.send(&generous());
    server.send(&access(&[rule("127.0.0.0/8", true)]));
    server.send(&ToServer::State(state()));
    wait_until_in_force(&mut server);
    let here = UdpSocket::bind("127.0.0.1:0").unwrap();
    here.connect(("127.0.0.1", port)).unwrap();
    here.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let process = Pid::from_raw(server.process_id() as i32);
    kill(process, Signal::SIGSTOP).unwrap();
    wait_for(DEADLINE, || (state_of(server.process_id()) == Some('T')).then_some(())).expect("it stops");
    for _ in 0..200 {
        here.send(&minimal(NONCE).encode()).unwrap();
    }
    // It goes on when the requests have arrived and the engine is gone.
    let status = server.status_after_hanging_up(|| kill(process, Signal::SIGCONT).unwrap());
    assert_eq!(status.code(), Some(0));
    let answered = (0..200).filter(|_| here.recv(&mut [0; 100]).is_ok()).count();
    assert_eq!(answered, 200);
}
