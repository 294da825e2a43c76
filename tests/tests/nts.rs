//! NTS from end to end: our client and our server, real processes in their real sandboxes, a virtual clock.

use bench::authority::{DAY, KeyKind, Order, Period};
use bench::daemon::{Daemon, Setup};
use bench::memory;
use bench::nts::{NAMES, NtsServer, counts, loopbacks};
use bench::programs::free_port;
use ipc::calendar::Date;
use protocol::nts::aead::SessionKeys;
use protocol::nts::cookie::CookieKeys;
use protocol::nts::ratchet::{Ratchet, epoch_at};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one server at these addresses, more than a second wrong.
fn client_of(server: &NtsServer, addresses: &[&str], more: &str) -> Setup {
    let sources: Vec<_> = addresses.iter().map(|address| server.source(address, more)).collect();
    Setup::new("nts-client", &sources.concat()).with_virtual_clock(-1_300_000_000, 30.0)
}

fn wait_until_right(client: &Daemon) {
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms", TIMEOUT, |client| {
        client.is_synchronised() && clock.error_ns().abs() < 1_000_000
    });
}

fn nts(client: &Daemon, word: &str) -> Vec<u64> {
    client.sources().iter().map(|source| source["nts"][word].as_u64().unwrap_or_default()).collect()
}

#[test]
fn nts_sources_set_a_cold_clock_right_over_both_families() {
    let addresses = loopbacks();
    let server = NtsServer::new("nts-cold", &addresses, "");
    let _daemon = server.setup.start();
    for aead in ["", "aead = \"siv\""] {
        let client = client_of(&server, &addresses, aead).start();
        client.wait_until_synchronised(TIMEOUT);
        println!("cold start over NTS: synchronised after {:.2} s", client.started().elapsed().as_secs_f64());
        wait_until_right(&client);
        let expected = if aead.is_empty() { 30 } else { 15 };
        for source in client.sources() {
            assert_eq!(source["nts"]["state"], "ready", "{source:#}");
            assert_eq!(source["nts"]["aead"], expected, "{source:#}");
            assert_eq!(source["nts"]["exchanges"], 1, "{source:#}");
        }
        client.wait_until("supplied with eight cookies", TIMEOUT, |client| {
            nts(client, "cookies").iter().all(|cookies| *cookies >= 7)
        });
    }
}

#[test]
fn nts_keys_and_cookies_outlive_a_restart_of_the_client() {
    let server = NtsServer::new("nts-warm", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let setup = client_of(&server, &["127.0.0.1"], "");
    let client = setup.start();
    wait_until_right(&client);
    assert_eq!(client.stop().code, Some(0));
    let exchanged = |daemon: &Daemon| counts(daemon)["key_exchange"]["counters"]["exchanged"].as_u64();
    daemon.wait_until("told of the exchange", TIMEOUT, |daemon| exchanged(daemon) == Some(1));

    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    println!("warm start over NTS: synchronised after {:.2} s", client.started().elapsed().as_secs_f64());
    wait_until_right(&client);
    assert_eq!(client.sources()[0]["nts"]["restored"], true);
    assert_eq!(nts(&client, "exchanges"), [0]);
    let protected = |daemon: &Daemon| counts(daemon)["server"]["protected"].as_u64() >= Some(12);
    daemon.wait_until("asked for a while", TIMEOUT, protected);
    assert_eq!(exchanged(&daemon), Some(1), "keys were exchanged again");
}

#[test]
fn a085_nts_cookies_outlive_a_restart_of_the_server_and_its_lost_keys_cost_one_exchange() {
    let server = NtsServer::new("nts-restart", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let client = client_of(&server, &["127.0.0.1"], "").start();
    wait_until_right(&client);
    assert_eq!(daemon.stop().code, Some(0));
    let daemon = server.setup.start();
    let protected = |daemon: &Daemon| counts(daemon)["server"]["protected"].as_u64().unwrap_or_default();
    daemon.wait_until("asked with the old cookies", TIMEOUT, |daemon| protected(daemon) > 2);
    assert_eq!(nts(&client, "exchanges"), [1]);
    assert_eq!(daemon.stop().code, Some(0));

    // Everything that opens those cookies is gone: a NAK, another exchange, and time continues.
    std::fs::write(server.setup.place().join("state/engine.keys"), b"").expect("a file of ours");
    let daemon = server.setup.start();
    client.wait_until("with new keys", TIMEOUT, |client| nts(client, "exchanges") == [2]);
    daemon.wait_until("asked with the new cookies", TIMEOUT, |daemon| protected(daemon) > 2);
    assert!(nts(&client, "naks")[0] > 0);
    assert!(client.is_synchronised(), "synchronisation was lost meanwhile");
}

#[test]
fn a063_nts_sources_never_fall_back_to_plain_time() {
    // A server of plain time at the address that the key exchange would name, and no key exchange server.
    let plain = bench::forger::Forger::honest([127, 0, 0, 1].into(), 0);
    let configuration = format!(
        "[[source]]\naddress = \"127.0.0.1:{}\"\nmode = \"nts\"\nmin-poll = 0\nmax-poll = 0\n",
        plain.address().port()
    );
    let client = Setup::new("nts-only", &configuration).with_virtual_clock(-1_300_000_000, 0.0).start();
    client.wait_until("aware that there are no keys", TIMEOUT, |client| nts(client, "failures")[0] > 0);
    // A fallback would ask immediately and then every second: the poll interval is one second.
    std::thread::sleep(Duration::from_secs(2));
    assert!(!client.is_synchronised());
    assert_eq!(plain.heard(), 0, "plain time was asked for");
}

#[test]
fn a049_nts_the_status_says_what_is_wrong_with_a_certificate() {
    let server = NtsServer::new("nts-wrong-name", &["127.0.0.1"], "");
    server.trust.replace(&Order::new(&["elsewhere.example"]));
    let _daemon = server.setup.start();
    let client = client_of(&server, &["127.0.0.1"], "").start();
    client.wait_until("told", TIMEOUT, |client| nts(client, "failures")[0] > 0);
    let said = client.sources()[0]["nts"]["last_exchange"].to_string();
    assert!(said.contains("name"), "{said}");
    assert!(!client.is_synchronised());
}

#[test]
fn nts_a_new_certificate_is_taken_without_a_restart() {
    let server = NtsServer::new("nts-reload", &["127.0.0.1"], "");
    server.trust.replace(&Order::new(&["elsewhere.example"]));
    let daemon = server.setup.start();
    server.trust.replace(&Order::new(&NAMES));
    let configuration = server.setup.place().join("truechimer.toml").display().to_string();
    let reload = || daemon.chimerctl(&["reload", "--config", &configuration]);
    let refused = reload();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && said.contains("lacks a name that the one in use has"),
        "{said}"
    );
    assert_eq!(reload().status.code(), Some(1), "a hook asks twice, too");
    let reloaded = daemon.chimerctl(&["reload", "--config", &configuration, "--drop-names"]);
    assert!(reloaded.status.success(), "who says so means it: {reloaded:?}");
    let now = bench::authority::now();
    let period = Period { from: now - 2 * DAY, until: now - DAY };
    server.trust.replace(&Order { period, ..Order::new(&NAMES) });
    let refused = reload();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && said.contains("has expired; the one before stays in use"),
        "{said}"
    );
    assert!(daemon.log().contains("has expired; the one before stays in use: renew it"), "{}", daemon.log());
    let client = client_of(&server, &["127.0.0.1"], "").start();
    wait_until_right(&client);
}

#[test]
fn nts_a_certificate_that_lacks_a_name_is_taken_when_the_one_in_use_ends() {
    let mut server = NtsServer::new("nts-ends", &["127.0.0.1"], "");
    server.setup = server.setup.clone().with_virtual_clock(0, 0.0);
    let now = bench::authority::now();
    let period = Period { from: now - DAY, until: now + DAY };
    server.trust.replace(&Order { period, ..Order::new(&["elsewhere.example"]) });
    let daemon = server.setup.start();
    server.trust.replace(&Order::new(&NAMES));
    let refused = daemon.chimerctl(&["reload"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let ahead = ipc::units::Offset::saturating(2 * DAY * 1_000_000_000);
    server.setup.virtual_clock().meddle(|page| page.wall = page.wall.checked_add(ahead).expect("in range"));
    // It is looked at once a minute.
    let readings = |daemon: &Daemon| daemon.ask("keys")?["key_exchange"]["certificate"]["readings"].as_u64();
    daemon.wait_until("in possession of the new one", Duration::from_secs(120), |daemon| {
        readings(daemon) >= Some(3)
    });
    let said = String::from_utf8_lossy(&daemon.chimerctl(&["keys"]).stdout).into_owned();
    assert!(said.contains("in use until") && !said.contains("expired"), "{said}");
    let client = client_of(&server, &["127.0.0.1"], "").start();
    client.wait_until("in possession of keys", TIMEOUT, |client| nts(client, "exchanges") == [1]);
}

#[test]
fn nts_certificates_of_every_kind_of_key_follow_each_other_without_a_restart() {
    let server = NtsServer::new("nts-kinds", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let configuration = server.setup.place().join("truechimer.toml").display().to_string();
    for kind in [KeyKind::Ed25519, KeyKind::Rsa, KeyKind::P256] {
        server.trust.replace(&Order { key: kind, ..Order::new(&NAMES) });
        let reloaded = daemon.chimerctl(&["reload", "--config", &configuration]);
        assert!(reloaded.status.success(), "{kind:?}: {reloaded:?}");
        let client = client_of(&server, &["127.0.0.1"], "").start();
        wait_until_right(&client);
        assert_eq!(nts(&client, "exchanges"), [1], "{kind:?}");
    }
}

#[test]
fn a051_nts_a_clock_in_1970_is_set_by_two_servers_that_agree_and_then_judged_strictly() {
    let servers =
        [NtsServer::new("nts-1970-a", &["127.0.0.1"], ""), NtsServer::new("nts-1970-b", &["127.0.0.2"], "")];
    let _daemons = servers.each_ref().map(|server| server.setup.start());
    let sources = [servers[0].source("127.0.0.1", ""), servers[1].source("127.0.0.2", "")].concat();
    let now = bench::authority::now();
    let client = Setup::new("nts-1970", &sources).with_virtual_clock(-now * 1_000_000_000, 20.0).start();
    let started = Instant::now();
    wait_until_right(&client);
    println!("from 1970: right after {:.2} s", started.elapsed().as_secs_f64());
    client.wait_until("with keys that were exchanged strictly", TIMEOUT, |client| {
        client.sources().iter().all(|source| source["nts"]["state"] == "ready")
    });
    assert!(nts(&client, "exchanges").iter().all(|exchanges| *exchanges == 2), "{:#?}", client.sources());
}

#[test]
fn a051_nts_a_clock_in_1970_is_not_set_by_one_server() {
    let server = NtsServer::new("nts-1970-one", &["127.0.0.1"], "");
    let _daemon = server.setup.start();
    let now = bench::authority::now();
    let client = Setup::new("nts-1970", &server.source("127.0.0.1", ""))
        .with_virtual_clock(-now * 1_000_000_000, 0.0)
        .start();
    client.wait_until("in possession of provisional keys", TIMEOUT, |client| {
        client.sources()[0]["nts"]["state"] == "provisional"
    });
    client.wait_until("well informed", TIMEOUT, |client| client.sources()[0]["valid"].as_u64() >= Some(8));
    assert_eq!(client.sources()[0]["nts"]["state"], "provisional");
    assert!(!client.is_synchronised());
    assert!(client.setup().virtual_clock().error_ns() < -1_000_000_000_000_000, "the clock was set");
}

/// A relay between a client and its server that stores what the client sends.
fn listen_in(front: u16, server: u16) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    let socket = UdpSocket::bind(("127.0.0.1", front)).unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut packet) {
            kept.lock().unwrap().push(packet[..length].to_vec());
            let onward = UdpSocket::bind("127.0.0.1:0").unwrap();
            onward.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            onward.send_to(&packet[..length], ("127.0.0.1", server)).unwrap();
            if let Ok(length) = onward.recv(&mut packet) {
                socket.send_to(&packet[..length], client).unwrap();
            }
        }
    });
    heard
}

/// The association's keys, from a cookie that was intercepted.
fn open_cookie(request: &[u8], secret: &str) -> SessionKeys {
    let today = epoch_at(bench::authority::now() as u64);
    let mut ratchet = Ratchet::from_fleet_secret(secret.as_bytes(), today).unwrap();
    ratchet.turn(today).unwrap();
    let keys = CookieKeys::new(today, ratchet.keys()).unwrap();
    // The unique identifier is the first field, 36 octets; the cookie the second.
    let length = usize::from(u16::from_be_bytes([request[86], request[87]]));
    keys.open(&request[88..84 + length]).expect("a cookie of this server").keys
}

#[test]
fn a119_nts_keys_are_in_the_engine_and_the_private_key_in_its_holder_and_nowhere_else() {
    if !bench::is_root() {
        return bench::skip("looking into memory needs root");
    }
    let secret = "a secret that a fleet of one shares with a test";
    let (port, front) = (free_port(), free_port());
    let date = today();
    let more = format!("fleet-secret = \"{secret}\"\nfleet-since = \"{date}\"");
    let server = NtsServer::announcing("nts-memory", &["127.0.0.1"], port, front, &more);
    let file = server.setup.place().join("truechimer.toml");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let heard = listen_in(front, port);
    let daemon = server.setup.start();
    for aead in ["gcm-siv", "siv"] {
        heard.lock().unwrap().clear();
        let client = client_of(&server, &["127.0.0.1"], &format!("aead = \"{aead}\"")).start();
        client.wait_until("polled ten times", TIMEOUT, |client| {
            client.sources()[0]["valid"].as_u64() >= Some(10)
        });
        let request = heard.lock().unwrap().last().cloned().unwrap();
        let keys = open_cookie(&request, secret);
        for key in [keys.client_to_server.octets(), keys.server_to_client.octets()] {
            let engine = client.process("engine").pid;
            assert!(
                memory::count(engine, key) > 0,
                "the engine does not have its key: the search finds nothing"
            );
            // The server's own network processes open cookies: with the cookie keys they have the keys of all
            // its clients, whether or not any of the last client's are left.
            let opens_cookies = [daemon.process("server").pid, daemon.process("key-service").pid];
            let others = client.processes().into_iter().chain(daemon.processes());
            for process in others.filter(|one| one.pid != engine && !opens_cookies.contains(&one.pid)) {
                assert_eq!(
                    memory::count(process.pid, key),
                    0,
                    "{aead}: a key is left in {}",
                    process.sentence()
                );
            }
        }
    }
    // As in the file, and as in the library: the limbs of a number, the lowest first.
    let private = server.trust.private_scalar();
    let limbs: Vec<u8> = private.iter().rev().copied().collect();
    let found = |pid: u32| memory::count(pid, &private) + memory::count(pid, &limbs);
    let holder = daemon.process("key-holder").pid;
    assert!(found(holder) > 0, "the holder does not have the key: the search finds nothing");
    for process in daemon.processes().iter().filter(|process| process.pid != holder) {
        assert_eq!(found(process.pid), 0, "the private key is in {}", process.sentence());
    }
}

/// In the form of `fleet-since`.
fn today() -> String {
    let days = bench::authority::now() / 86_400;
    Date::of_day(days).to_string()
}
