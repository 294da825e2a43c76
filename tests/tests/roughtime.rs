//! Signed time from end to end: the real daemon in its real sandboxes, three real Roughtime servers, a virtual clock.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::nts::NtsServer;
use bench::programs::{Place, find_peer, free_port, wait_for};
use ipc::anchor::{Anchor, Exchange, SLOT};
use roughtime::double::Server as Double;
use roughtime::{Signed, Version, contradictions, request, verify, verify_anchor, verify_chain};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(40);
const MISSING: &str = "roughenough_server is missing; `cargo xtask peers --more` builds it";
const NO_LIBRARY: &str = "roughenough-report is missing; `cargo xtask peers --more` builds it";
const HOUR: i64 = 3_600_000_000_000;

/// roughenough-server with a key of its own; killed when dropped.
struct Signer {
    child: Child,
    _place: Place,
    port: u16,
    key: [u8; 32],
}

impl Signer {
    /// Whose time is so many seconds ahead; none: the program is not there.
    fn start(number: u8, ahead: i16) -> Option<Self> {
        Self::start_at(free_port(), number, ahead)
    }

    fn start_at(port: u16, number: u8, ahead: i16) -> Option<Self> {
        let program = find_peer("roughenough_server")?;
        let place = Place::new("roughtime");
        let seed = place.join("seed");
        std::fs::write(&seed, format!("{number:02x}").repeat(32)).expect("a new folder can be written");
        std::fs::set_permissions(&seed, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("ours");
        let mut command = Command::new(program);
        command.args(["--interface", "127.0.0.1", "--num-threads", "1", "--quiet"]);
        command.args(["--port", &port.to_string(), &format!("--fixed-offset={ahead}")]);
        command
            .arg("--seed-file")
            .arg(&seed)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("it can be executed");
        let signer = Self { child, _place: place, port, key: Double::new(number).public_key() };
        let up = wait_for(Duration::from_secs(10), || signer.ask());
        assert!(up.is_some(), "no valid answer of a Roughtime server");
        Some(signer)
    }

    /// The same server, of which the time is so many seconds ahead from now on.
    fn turned(self, number: u8, ahead: i16) -> Self {
        let port = self.port;
        drop(self);
        Self::start_at(port, number, ahead).expect("it was there before")
    }

    /// Three, of which the last one's time is so many seconds ahead.
    fn three(ahead: i16) -> Option<[Self; 3]> {
        Some([Self::start(1, 0)?, Self::start(2, 0)?, Self::start(3, ahead)?])
    }

    fn ask(&self) -> Option<Signed> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a duration");
        socket.connect(("127.0.0.1", self.port)).expect("loopback");
        let nonce = [7; 32];
        socket.send(&request(&nonce, &self.key, Version::One)).ok()?;
        let mut packet = [0; 2048];
        let length = socket.recv(&mut packet).ok()?;
        Some(verify(&packet[..length], &nonce, &self.key, Version::One).expect("it is valid"))
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The section that names them.
fn section(signers: &[Signer]) -> String {
    let entry = |(number, signer): (usize, &Signer)| {
        format!(
            "[[roughtime.server]]\naddress = \"127.0.0.1:{}\"\nkey = \"{}\"\noperator = \"operator {number}\"\n",
            signer.port,
            STANDARD.encode(signer.key)
        )
    };
    signers.iter().enumerate().map(entry).collect()
}

fn reasons(daemon: &Daemon) -> Vec<String> {
    daemon.sources().iter().map(|source| source["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a191_sources_that_lie_together_move_nothing_and_a_roughtime_server_that_lies_is_named_with_proof() {
    let Some(signers) = Signer::three(900) else { return bench::skip(MISSING) };
    let sources = [Forger::honest(HERE, HOUR), Forger::honest(HERE, HOUR), Forger::honest(HERE, 0)];
    let listed: String = sources.iter().map(|forger| source(forger.address())).collect();
    let setup = Setup::new("roughtime", &format!("{listed}{}", section(&signers)))
        .with_virtual_clock(50_000_000, 10.0);
    let daemon = setup.start();
    daemon.wait_until("sure that two sources lie", TIMEOUT, |daemon| {
        reasons(daemon).iter().filter(|reason| reason.contains("Roughtime")).count() == 2
    });
    assert!(!daemon.is_synchronised());
    assert!(setup.virtual_clock().error_ns().abs() < 200_000_000, "the clock was led astray");
    assert_eq!(daemon.sources()[0]["state"], "falseticker");
    let log = daemon.log();
    let liar = format!(
        "Roughtime server 127.0.0.1:{} has signed a time that most of the others exclude",
        signers[2].port
    );
    assert!(log.contains(&liar), "{log}");
    assert!(log.contains("at least one of them has signed a wrong time"), "{log}");

    let report = std::fs::read(setup.place().join("state/engine.malfeasance")).expect("the proof was kept");
    let report: Value = serde_json::from_slice(&report).expect("it is JSON");
    let octets = |value: &Value| STANDARD.decode(value.as_str().expect("a text")).expect("base64");
    let responses = report["responses"].as_array().expect("a list");
    let first: [u8; 32] = octets(&responses[0]["request"])[88..120].try_into().expect("a nonce");
    let exchange = |entry: &Value| Exchange {
        public_key: octets(&entry["publicKey"]).try_into().expect("a key"),
        rand: entry.get("rand").map_or([0; 32], |rand| octets(rand).try_into().expect("32 octets")),
        version: 1,
        response: octets(&entry["response"]),
    };
    let exchanges: Vec<Exchange> = responses.iter().map(exchange).collect();
    let signed: Vec<_> = verify_chain(&first, &exchanges)
        .into_iter()
        .map(|it| it.expect("each is valid"))
        .enumerate()
        .collect();
    let caught = contradictions(&signed);
    assert!(!caught.is_empty(), "{signed:?}");
    let is_liar = |at: usize| exchanges[at].public_key == signers[2].key;
    assert!(caught.iter().all(|(one, other)| is_liar(*one) || is_liar(*other)), "{caught:?}");
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a204_two_real_servers_of_three_that_begin_to_lie_stop_no_clock_and_are_named() {
    let Some([first, second, third]) = Signer::three(0) else { return bench::skip(MISSING) };
    let forger = Forger::honest(HERE, 0);
    let signers = [first, second, third];
    let setup = Setup::new("roughtime-turned", &format!("{}{}", source(forger.address()), section(&signers)));
    let daemon = setup.with_virtual_clock(-700_000_000, 10.0).start();
    daemon.wait_until_synchronised(TIMEOUT);
    daemon.wait_until("told of signed time", TIMEOUT, |daemon| {
        daemon.log().contains("Roughtime servers have signed what time it is")
    });
    let [first, second, third] = signers;
    let (first, second) = (first.turned(1, 900), second.turned(2, 900));
    // The next round is the one that anchors the first note of the history, after a minute.
    let ports = [first.port, second.port];
    let are_both = |daemon: &Daemon, what: &str| {
        let line = |port: &u16| format!("Roughtime server 127.0.0.1:{port} {what}");
        ports.iter().all(|port| daemon.log().contains(&line(port)))
    };
    daemon.wait_until("told of two liars", Duration::from_secs(150), |daemon| {
        are_both(daemon, "has signed a time that excludes what was signed before")
    });
    assert!(daemon.is_synchronised(), "{}", daemon.log());
    assert!(reasons(&daemon).iter().all(|reason| !reason.contains("Roughtime")), "{:?}", reasons(&daemon));
    assert!(daemon.setup().virtual_clock().error_ns().abs() < 10_000_000);
    let honest = format!("127.0.0.1:{} has signed", third.port);
    assert!(!daemon.log().contains(&honest), "{}", daemon.log());
    let lying = &daemon.ask("status").expect("it answers")["roughtime"]["lying"];
    assert_eq!(lying.as_array().map(Vec::len), Some(2), "{lying}");
    // The way back.
    let _honest = (first.turned(1, 0), second.turned(2, 0));
    daemon.wait_until("at peace with both", Duration::from_secs(90), |daemon| {
        are_both(daemon, "answers and agrees with the others again")
    });
    assert!(daemon.is_synchronised());
    assert_eq!(daemon.stop().code, Some(0));
}

/// What roughenough's client library makes of a report: the pairs that contradict each other, or why it is none.
fn judged_by_roughenough(report: &[u8]) -> Option<Result<Vec<(usize, usize)>, String>> {
    let place = Place::new("report");
    let file = place.join("report.json");
    std::fs::write(&file, report).expect("a new folder can be written");
    let output = Command::new(find_peer("roughenough-report")?).arg(&file).output();
    let output = output.expect("it can be executed");
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let pair = |line: &str| {
        let (one, other) = line.split_once(' ').expect("two places");
        (one.parse().expect("a place"), other.parse().expect("a place"))
    };
    Some(Ok(String::from_utf8_lossy(&output.stdout).lines().map(pair).collect()))
}

#[test]
fn roughenoughs_library_verifies_our_report_of_a_server_that_lies_and_none_that_was_altered() {
    let Some(signers) = Signer::three(900) else { return bench::skip(MISSING) };
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("roughtime-report", &format!("{}{}", source(forger.address()), section(&signers)));
    let daemon = setup.with_virtual_clock(0, 0.0).start();
    let file = daemon.setup().place().join("state/engine.malfeasance");
    let read = || std::fs::read(&file).ok().filter(|octets| octets.ends_with(b"\n"));
    let report = wait_for(TIMEOUT, read).unwrap_or_else(|| panic!("no report: {}", daemon.log()));
    let Some(judged) = judged_by_roughenough(&report) else { return bench::skip(NO_LIBRARY) };
    let document: Value = serde_json::from_slice(&report).expect("it is JSON");
    let count = document["responses"].as_array().expect("a list").len();
    let is_liar = |at: usize| document["responses"][at]["publicKey"] == STANDARD.encode(signers[2].key);
    let pairs = judged.expect("it is a proof");
    assert!(
        !pairs.is_empty() && pairs.iter().all(|(one, other)| is_liar(*one) || is_liar(*other)),
        "{pairs:?}"
    );
    // Each part counts: any answer, what it was asked by, what its nonce was made of, the key; and their order.
    for at in 0..count {
        for name in ["rand", "request", "response", "publicKey"] {
            // The first nonce was made of nothing that is there.
            let Some(text) = document["responses"][at][name].as_str() else { continue };
            let mut octets = STANDARD.decode(text).expect("base64");
            let middle = octets.len() / 2;
            octets[middle] ^= 1;
            let mut altered = document.clone();
            altered["responses"][at][name] = STANDARD.encode(octets).into();
            let said = judged_by_roughenough(altered.to_string().as_bytes()).expect("it is there");
            assert!(said.is_err(), "{name} of answer {at} was altered: {said:?}");
        }
        let mut shorter = document.clone();
        let responses = shorter["responses"].as_array_mut().expect("a list");
        responses.remove(at);
        if at > 0 && at < responses.len() {
            let said = judged_by_roughenough(shorter.to_string().as_bytes()).expect("it is there");
            assert!(said.is_err(), "answer {at} was taken out: {said:?}");
        }
    }
}

#[test]
fn a_minute_after_the_start_audit_log_and_history_are_anchored_and_others_can_verify_it() {
    let Some(signers) = Signer::three(0) else { return bench::skip(MISSING) };
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("roughtime-anchor", &format!("{}{}", source(forger.address()), section(&signers)));
    let setup = setup.with_virtual_clock(50_000_000, 10.0);
    let daemon = setup.start();
    let file = setup.place().join("state/engine.anchors");
    let first = || std::fs::read(&file).ok()?.first_chunk::<SLOT>().and_then(Anchor::decode);
    // The first note of the history comes after a minute.
    daemon.wait_until("anchored", Duration::from_secs(120), |_| first().is_some());
    let anchor = first().expect("it is there");
    let verified = verify_anchor(&anchor);
    assert!(verified.len() == 6 && verified.iter().all(Result::is_ok), "{verified:?}");
    let keys: Vec<[u8; 32]> = signers.iter().map(|signer| signer.key).collect();
    assert!(anchor.exchanges.iter().all(|exchange| keys.contains(&exchange.public_key)));
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    assert!(verified.iter().flatten().all(|signed| signed.earliest() <= now && now - 60 <= signed.latest()));
    // What was anchored is in the audit log: the line that says where the history ends is its last one then.
    let hash = |octets: &[u8]| ipc::text::Hex(octets).to_string();
    let log = setup.audit_log();
    let noted = format!("event=history records={} hash={}", anchor.history.lines, hash(&anchor.history.hash));
    let line = log.lines().find(|line| line.contains(&noted)).unwrap_or_else(|| panic!("{noted}: {log}"));
    assert!(line.contains(&format!("sequence={} ", anchor.audit.lines - 1)), "{line}");
    assert!(line.ends_with(&hash(&anchor.audit.hash)), "{line}");
    // With the servers' public keys alone.
    let list = setup.place().join("keys.json");
    let server = |(number, key): (usize, &[u8; 32])| {
        let addresses = [serde_json::json!({ "protocol": "udp", "address": "192.0.2.1:2002" })];
        serde_json::json!({
            "name": format!("signer-{number}"),
            "version": 1,
            "publicKeyType": "ed25519",
            "publicKey": STANDARD.encode(key),
            "addresses": addresses,
        })
    };
    let servers: Vec<Value> = keys.iter().enumerate().map(server).collect();
    std::fs::write(&list, serde_json::json!({ "servers": servers }).to_string()).expect("ours");
    let said = daemon.chimerctl(&["audit", "--verify", "--keys", &list.display().to_string()]);
    let said = (said.status.code(), String::from_utf8_lossy(&said.stdout).into_owned());
    let (line, record) = (anchor.audit.lines - 1, anchor.history.lines - 1);
    let proven = format!(
        "\nproven: records 0 to {line} of the audit log and records 0 to {record} of the history existed at the latest at "
    );
    assert!(
        said.0 == Some(0) && said.1.contains(&proven) && said.1.contains("signed by signer-"),
        "{said:?}"
    );
    let again = daemon.stop();
    assert_eq!(again.code, Some(0));
}

#[test]
fn signed_time_that_agrees_changes_nothing_and_two_of_three_servers_are_enough() {
    let Some(signers) = Signer::three(0) else { return bench::skip(MISSING) };
    let forger = Forger::honest(HERE, 0);
    let [first, second, third] = signers;
    let section = section(&[first, second, third]);
    // All are gone by now: sources are followed without them, and each is named.
    let setup = Setup::new("roughtime-gone", &format!("{}{section}", source(forger.address())));
    let setup = setup.with_virtual_clock(-700_000_000, 10.0);
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    daemon.wait_until("aware of three dead servers", TIMEOUT, |daemon| {
        daemon.log().matches("gave no valid answer").count() == 3
    });
    assert!(daemon.log().contains("no signed time of Roughtime servers"), "{}", daemon.log());
    assert_eq!(daemon.stop().code, Some(0));

    let Some(signers) = Signer::three(0) else { return bench::skip(MISSING) };
    let dead = free_port().to_string();
    let section = self::section(&signers).replace(&format!(":{}\"", signers[1].port), &format!(":{dead}\""));
    let setup = Setup::new("roughtime-two", &format!("{}{section}", source(forger.address())));
    let daemon = setup.with_virtual_clock(-700_000_000, 10.0).start();
    daemon.wait_until_synchronised(TIMEOUT);
    daemon.wait_until("told of signed time", TIMEOUT, |daemon| {
        daemon.log().contains("Roughtime servers have signed what time it is")
    });
    assert_eq!(daemon.log().matches("gave no valid answer").count(), 1, "{}", daemon.log());
}

#[test]
fn a051_a_clock_in_1970_is_set_by_one_nts_server_and_signed_time() {
    let Some(signers) = Signer::three(0) else { return bench::skip(MISSING) };
    let server = NtsServer::new("roughtime-1970", &["127.0.0.1"], "");
    let _daemon = server.setup.start();
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() as i64;
    let configuration = format!("{}{}", server.source("127.0.0.1", ""), section(&signers));
    let client =
        Setup::new("roughtime-1970", &configuration).with_virtual_clock(-now * 1_000_000_000, 20.0).start();
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms", TIMEOUT, |client| {
        client.is_synchronised() && clock.error_ns().abs() < 1_000_000
    });
    println!(
        "from 1970 by one NTS server and signed time: right after {:.2} s",
        client.started().elapsed().as_secs_f64()
    );
    assert_eq!(client.sources()[0]["nts"]["state"], "ready");
}
