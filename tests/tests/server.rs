//! The server from a client's point of view: right answers to valid requests, silence otherwise, and never an
//! unknown time that looks valid.

use bench::client::{query, send};
use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::key_load::KeyLoad;
use bench::load::nts::{Association, Keys};
use bench::nts::NtsServer;
use bench::packet::{HEADER, Header};
use bench::programs::free_port;
use nix::sys::signal::Signal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Long enough for an answer on loopback, short enough to wait for silence often.
const SILENCE: Duration = Duration::from_millis(300);

fn serve(more: &str) -> (Daemon, SocketAddr) {
    let address = SocketAddr::new(HERE, free_port());
    let configuration = format!("{more}\n[server]\nlisten = [\"{address}\"]\nallow = [\"127.0.0.0/8\"]\n");
    (answering(&configuration, address), address)
}

/// A daemon that answers: the server learns the access rules a moment after the control socket exists.
fn answering(configuration: &str, address: SocketAddr) -> Daemon {
    let daemon = Setup::new("serve", configuration).start();
    daemon.wait_until("answering", Duration::from_secs(10), |_| query(address, SILENCE).is_some());
    daemon
}

fn serve_own_time() -> (Daemon, SocketAddr) {
    let address = SocketAddr::new(HERE, free_port());
    let configuration = format!(
        "[server]\nlisten = [\"{address}\"]\nallow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.9/32\"]\nlocal-stratum = 5\n"
    );
    let daemon = answering(&configuration, address);
    daemon.wait_until("serving its own time", TIMEOUT, |_| {
        query(address, SILENCE).is_some_and(|answer| answer.header.leap == 0)
    });
    (daemon, address)
}

#[test]
fn a_reply_has_the_fields_of_the_standard() {
    let (_daemon, address) = serve_own_time();
    let request = Header::query(0x1234_5678_9abc_def0);
    let (reply, _) = send(address, &request.octets(), TIMEOUT).expect("an answer");
    assert_eq!(reply.len(), HEADER);
    let header = Header::from_octets(&reply).expect("48 octets");
    assert_eq!((header.leap, header.version, header.mode, header.stratum), (0, 4, 4, 5), "{header:?}");
    assert_eq!(header.origin, request.transmit);
    assert_eq!(header.poll, request.poll);
    assert!((-30..=-10).contains(&header.precision), "{header:?}");
    assert!(header.receive != 0 && header.receive <= header.transmit, "{header:?}");
    assert!(header.transmit - header.receive < 1 << 32, "more than a second inside the server: {header:?}");
    let offset = query(address, TIMEOUT).expect("an answer").offset_ns;
    assert!(offset.abs() < 2_000_000, "{offset} ns");
}

#[test]
fn an_older_version_is_answered_in_its_own() {
    let (_daemon, address) = serve_own_time();
    for version in 1..=4 {
        let request = Header { version, ..Header::query(77) };
        let (reply, _) = send(address, &request.octets(), TIMEOUT).expect("an answer");
        assert_eq!(Header::from_octets(&reply).expect("48 octets").version, version);
    }
}

#[test]
fn a092_before_the_first_synchronisation_no_reply_has_a_time_that_looks_good() {
    let silent = Forger::start(HERE, 0, |_| Vec::new());
    let (_daemon, address) = serve(&source(silent.address()));
    let header = query(address, TIMEOUT).expect("an answer").header;
    assert_eq!(header.leap, 3, "{header:?}");
    assert!(header.stratum == 0 || header.stratum == 16, "{header:?}");
}

#[test]
fn a074_a075_a093_what_is_not_a_query_is_not_answered() {
    let (_daemon, address) = serve_own_time();
    for mode in [0, 2, 4, 5, 6, 7] {
        let request = Header { mode, ..Header::query(99) };
        let answer = send(address, &request.octets(), SILENCE).map(|(reply, _)| reply);
        assert_eq!(answer, None, "mode {mode} was answered");
    }
    for version in [0, 5, 6, 7] {
        let request = Header { version, ..Header::query(99) };
        assert_eq!(
            send(address, &request.octets(), SILENCE).map(|(reply, _)| reply),
            None,
            "version {version}"
        );
    }
    assert!(query(address, TIMEOUT).is_some(), "a query is still answered");
    // What Windows sends in its default configuration: version 3, symmetric active.
    let request = Header { version: 3, mode: 1, ..Header::query(99) };
    let (reply, _) = send(address, &request.octets(), TIMEOUT).expect("a symmetric peer is answered");
    assert_eq!((reply.len(), reply[0] & 0x3f), (48, 3 << 3 | 2), "{reply:?}");
    assert_eq!(reply[24..32], 99_u64.to_be_bytes(), "{reply:?}");
}

#[test]
fn a015_a073_no_length_gets_an_answer_longer_than_itself() {
    let (_daemon, address) = serve_own_time();
    let header = Header::query(0xfeed_beef).octets();
    for length in [0, 1, 12, 47, 49, 51, 52, 56, 64, 68, 72, 76, 100, 228, 468, 1000, 1400] {
        let mut request = header.to_vec();
        request.resize(length, 0xa5);
        let timeout = if length < HEADER { SILENCE } else { SILENCE / 2 };
        if let Some((reply, _)) = send(address, &request, timeout) {
            assert!(reply.len() <= length, "{} octets for {length}", reply.len());
            assert!(length >= HEADER, "an answer to {length} octets");
        }
    }
    assert!(query(address, TIMEOUT).is_some(), "a query is still answered");
    // What Windows sends in its default configuration: version 3, symmetric active.
    let request = Header { version: 3, mode: 1, ..Header::query(99) };
    let (reply, _) = send(address, &request.octets(), TIMEOUT).expect("a symmetric peer is answered");
    assert_eq!((reply.len(), reply[0] & 0x3f), (48, 3 << 3 | 2), "{reply:?}");
    assert_eq!(reply[24..32], 99_u64.to_be_bytes(), "{reply:?}");
}

#[test]
fn a094_the_longest_prefix_decides_who_is_answered() {
    let (_daemon, address) = serve_own_time();
    let ask_from = |from: [u8; 4]| {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::from(from), 0)).expect("all of 127/8 is ours");
        socket.set_read_timeout(Some(SILENCE)).expect("a socket takes a time-out");
        socket.send_to(&Header::query(1).octets(), address).expect("loopback");
        socket.recv(&mut [0; 100]).ok()
    };
    assert_eq!(ask_from([127, 0, 0, 8]), Some(HEADER));
    assert_eq!(ask_from([127, 0, 0, 9]), None, "a denied address was answered");
}

#[test]
fn a_synchronised_server_passes_its_source_on_one_stratum_lower() {
    let upstream = Forger::honest(HERE, 0);
    let (daemon, address) = serve(&source(upstream.address()));
    daemon.wait_until("serving its source", Duration::from_secs(20), |_| {
        query(address, TIMEOUT).is_some_and(|answer| answer.header.leap == 0)
    });
    let header = query(address, TIMEOUT).expect("an answer").header;
    assert_eq!(header.stratum, 3, "one more than its source: {header:?}");
    assert_eq!(header.reference_id, [127, 0, 0, 1], "{header:?}");
    assert!(header.root_dispersion > 0, "{header:?}");
}

#[test]
fn a088_beside_a_flood_of_key_exchanges_all_plain_and_protected_requests_are_answered() {
    // No client is limited: more than these limits permit cannot arrive.
    let server = NtsServer::unlimited("serve-beside-exchanges", 2, "");
    let daemon = server.setup.start();
    let [time, exchange] = [server.port, server.key_port].map(|port| SocketAddr::new(HERE, port));
    // Keys are exchanged before the time that is served is its source's.
    daemon.wait_until("serving its source", Duration::from_secs(20), |_| {
        query(time, TIMEOUT).is_some_and(|answer| answer.header.leap == 0)
    });
    let associations = [15, 30].map(|algorithm| {
        let roots = server.trust.roots();
        Association::new(&Keys::Exchanged { server: exchange, roots, algorithm }).expect("an exchange")
    });
    let flood = KeyLoad { address: exchange, clients: 8, seconds: 2.0, algorithm: 15 };
    let flood = std::thread::spawn(move || flood.run());
    let mut asked = 0;
    while !flood.is_finished() {
        asked += 1;
        assert!(query(time, TIMEOUT).is_some_and(|answer| answer.header.leap == 0), "plain, number {asked}");
        for association in &associations {
            let (mut reply, _) = send(time, &association.request(asked), TIMEOUT)
                .unwrap_or_else(|| panic!("protected, number {asked}"));
            assert_eq!(association.verify(&mut reply, asked), Ok(()), "number {asked}");
        }
    }
    let flood = flood.join().expect("the flood ends");
    println!("{asked} of each kind beside {} exchanges, {} failed", flood.exchanged, flood.failed);
    assert!(asked > 0 && flood.exchanged > 0, "{flood:?}");
}

#[test]
fn requests_that_came_before_the_end_of_the_daemon_are_answered_and_then_the_port_is_free() {
    const REQUESTS: u64 = 64;
    let (mut daemon, address) = serve_own_time();
    let client = UdpSocket::bind((HERE, 0)).expect("a loopback socket can be made");
    client.connect(address).expect("loopback");
    client.set_read_timeout(Some(SILENCE)).expect("a socket takes a time-out");
    let server = daemon.process("server").pid;
    // While it is stopped, requests can only wait.
    daemon.signal(server, Signal::SIGSTOP);
    for number in 1..=REQUESTS {
        client.send(&Header::query(number).octets()).expect("loopback");
    }
    daemon.signal(daemon.pid(), Signal::SIGTERM);
    daemon.signal(server, Signal::SIGCONT);
    let end = daemon.wait_for_end(Duration::from_secs(10));
    assert_eq!(end.code, Some(0), "{}", end.log);
    let again = UdpSocket::bind(address);
    assert!(again.is_ok(), "{again:?}");
    let mut reply = [0; 100];
    let answered = (0..REQUESTS).filter(|_| client.recv(&mut reply).is_ok()).count() as u64;
    assert_eq!(answered, REQUESTS);
}
