//! The draft of NTP version 5 between daemons of ours, and with ntpd-rs in both directions. As installed: with the roles' own users
//! (as root) and filters.

use bench::daemon::{Daemon, Setup, source};
use bench::ntpv5::{NO_NTPD_RS, OnPath, ask, ntpd_rs_client, ntpd_rs_server, request};
use bench::programs::free_port;
use protocol::ntpv5::client::{self, Wanted};
use protocol::ntpv5::{Filter, UPGRADE};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Long enough for an answer on loopback, where none is expected.
const SILENCE: Duration = Duration::from_millis(500);

const ALL: Wanted = Wanted { reference_ids: true, correction: true };

const ON: &str = "experimental-ntpv5 = true\n";

fn server(port: u16, more: &str) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nrate-limit = false\n{more}"
    )
}

fn host_time(port: u16, more: &str) -> Daemon {
    Setup::new("v5-server", &server(port, &format!("local-stratum = 4\n{more}"))).start()
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn count(server: &Daemon, name: &str) -> u64 {
    server.ask("server").and_then(|reply| reply["server"][name].as_u64()).unwrap_or(0)
}

/// Follows what the configuration says from 0.9 s and 30 ppm wrong until the clock is right to a millisecond and its source speaks
/// this version.
fn follow(configuration: &str, version: u64) -> Daemon {
    let client = Setup::new("v5-client", configuration).with_virtual_clock(-900_000_000, 30.0).start();
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms, in the version", TIMEOUT, |client| {
        client.is_synchronised()
            && clock.error_ns().abs() < 1_000_000
            && client.sources()[0]["last_reply"]["version"] == version
    });
    for source in client.sources() {
        let reasons = source["rejected"].as_object().expect("counts by reason");
        assert!(reasons.keys().all(|reason| reason == "discontinuity"), "{source:#}");
    }
    client
}

#[test]
fn a_client_and_a_server_with_the_key_speak_version_5() {
    let port = free_port();
    let server = host_time(port, ON);
    let client = follow(&format!("{}{ON}", source(at(port))), 5);
    let said = client.chimerctl(&["source", &at(port).to_string()]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("NTP version") && said.contains("5 (draft-ietf-ntp-ntpv5-09)"), "{said}");
    let clients = server.chimerctl(&["--json", "clients"]);
    let clients: serde_json::Value = serde_json::from_slice(&clients.stdout).expect("a document");
    assert_eq!(clients["clients"][0]["version"], 5, "{clients:#}");
    assert_eq!(count(&server, "malformed"), 0);
}

#[test]
fn without_the_key_a_server_is_silent_in_version_5_and_shows_no_sign() {
    let port = free_port();
    let server = host_time(port, "");
    assert_eq!(ask(at(port), &request(7, ALL, &[]), SILENCE), None);
    server.wait_until("counted", TIMEOUT, |server| count(server, "malformed") == 1);
    let mut version4 = protocol::request::minimal(9);
    version4.reference_timestamp = UPGRADE;
    let answer = ask(at(port), &version4.encode(), TIMEOUT).expect("an answer in version 4");
    assert_ne!(answer[16..24], UPGRADE.to_be_bytes());
    // A client with the key stays with what works.
    follow(&format!("{}{ON}", source(at(port))), 4);
}

#[test]
fn a_client_without_the_key_asks_a_server_with_it_as_ever() {
    let port = free_port();
    let _server = host_time(port, ON);
    follow(&source(at(port)), 4);
    let mut version4 = protocol::request::minimal(9);
    version4.reference_timestamp = UPGRADE;
    let answer = ask(at(port), &version4.encode(), TIMEOUT).expect("an answer in version 4");
    assert_eq!(answer[16..24], UPGRADE.to_be_bytes());
}

#[test]
fn a216_no_answer_of_a_server_is_longer_or_shorter_than_what_was_asked() {
    let port = free_port();
    let server = host_time(port, ON);
    server.wait_until("ready with its reference ids", TIMEOUT, |_| {
        let answer = ask(at(port), &request(7, ALL, &[]), SILENCE);
        answer.is_some_and(|it| client::read(&it, 7).is_ok_and(|reply| reply.filter.is_some()))
    });
    let nothing = Wanted { reference_ids: false, correction: false };
    let padding =
        |octets: usize| [vec![0xf5, 1, (octets >> 8) as u8, octets as u8], vec![0; octets - 4]].concat();
    for fields in [vec![], padding(4), padding(400), padding(1_100), vec![0xf5, 5, 0, 8, 0, 0, 0, 0]] {
        let asked = request(7, nothing, &fields);
        let answer = ask(at(port), &asked, TIMEOUT).expect("an answer");
        assert_eq!(answer.len(), asked.len());
        assert!(client::read(&answer, 7).is_ok());
    }
    // Lengths that lie, and what is longer than a packet: silence.
    let mut lies = vec![padding(1_300)];
    lies.extend([0u16, 3, 9, 255, 65_535].map(|lie| [&[0xf5, 3][..], &lie.to_be_bytes(), &[0; 4]].concat()));
    for lie in lies {
        assert_eq!(ask(at(port), &request(7, nothing, &lie), SILENCE), None, "{:?}", &lie[..4]);
    }
}

#[test]
fn a218_a_host_that_follows_us_is_known_by_our_id_in_what_it_says() {
    let (one, other) = (free_port(), free_port());
    let first = Setup::new(
        "loop-one",
        &format!("{}{}{ON}", server(one, &format!("local-stratum = 4\n{ON}")), source(at(other))),
    )
    .with_virtual_clock(0, 0.0)
    .start();
    let second = Setup::new("loop-other", &format!("{}{}{ON}", server(other, ON), source(at(one))))
        .with_virtual_clock(0, 0.0)
        .start();
    second.wait_until("following in version 5", TIMEOUT, |it| {
        it.is_synchronised() && it.sources()[0]["last_reply"]["version"] == 5
    });
    first.wait_until("aware of the loop", TIMEOUT, |it| {
        it.sources()[0]["rejected"]["loop"].as_u64() >= Some(2)
    });
    let filter = |port| {
        let answer = ask(at(port), &request(7, ALL, &[]), TIMEOUT).expect("an answer");
        client::read(&answer, 7).expect("in order").filter.expect("it has one")
    };
    // What the second one says is what the first one says, and its own id.
    second.wait_until("telling what the first one tells", TIMEOUT, |_| {
        let (of_one, of_other): (Filter, Filter) = (filter(one), filter(other));
        let mut both = of_one;
        both.join(&of_other);
        of_one.count() >= 10 && of_other.count() > of_one.count() && both == of_other
    });
}

fn is_version5(packet: &[u8]) -> bool {
    packet[0] >> 3 & 7 == 5
}

/// Where the value of the first field of this type is.
fn field(packet: &[u8], kind: u16) -> Option<std::ops::Range<usize>> {
    let mut at = 48;
    while at + 4 <= packet.len() {
        let length = usize::from(u16::from_be_bytes([packet[at + 2], packet[at + 3]]));
        if packet[at..at + 2] == kind.to_be_bytes() {
            return Some(at + 4..at + length);
        }
        at += length.next_multiple_of(4);
    }
    None
}

#[test]
fn a220_who_strips_the_sign_or_drops_version_5_on_the_path_leaves_a_source_that_works() {
    let port = free_port();
    let _server = host_time(port, ON);
    let strips = OnPath::start(
        at(port),
        Box::new(|packet, is_reply| {
            let mut packet = packet.to_vec();
            if is_reply && packet[16..24] == UPGRADE.to_be_bytes() {
                packet[16..24].fill(0);
            }
            vec![packet]
        }),
    );
    follow(&format!("{}{ON}", source(strips.address())), 4);
    let drops = OnPath::start(
        at(port),
        Box::new(|packet, _| if is_version5(packet) { Vec::new() } else { vec![packet.to_vec()] }),
    );
    let client = follow(&format!("{}{ON}", source(drops.address())), 4);
    client.wait_until("answered further, in version 4", TIMEOUT, |client| {
        client.sources()[0]["valid"].as_u64() >= Some(8)
    });
}

#[test]
fn a219_what_is_sent_twice_or_again_later_counts_once() {
    let port = free_port();
    let _server = host_time(port, ON);
    let mut before = Vec::new();
    let again = OnPath::start(
        at(port),
        Box::new(move |packet, is_reply| {
            if !is_reply {
                return vec![packet.to_vec()];
            }
            let older = std::mem::replace(&mut before, packet.to_vec());
            let older = if older.is_empty() { packet.to_vec() } else { older };
            vec![older.clone(), packet.to_vec(), packet.to_vec(), older]
        }),
    );
    let configuration = format!("{}{ON}", source(again.address()));
    let client = Setup::new("v5-again", &configuration).with_virtual_clock(-900_000_000, 30.0).start();
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms, and some were thrown away", TIMEOUT, |client| {
        let first = &client.sources()[0];
        clock.error_ns().abs() < 1_000_000
            && first["last_reply"]["version"] == 5
            && first["rejected"]["bad_origin"].as_u64() > Some(2)
    });
    let first = &client.sources()[0];
    assert!(first["valid"].as_u64() <= first["sent"].as_u64(), "{first:#}");
}

#[test]
fn a217_a_correction_of_ten_seconds_on_the_path_moves_nothing() {
    let port = free_port();
    let _server = host_time(port, ON);
    let lies = OnPath::start(
        at(port),
        Box::new(|packet, is_reply| {
            let mut packet = packet.to_vec();
            if is_reply && is_version5(&packet) {
                let place = field(&packet, 0xf506).expect("it was asked for");
                let ten_seconds = 10_000_000_000i64 << 16;
                packet[place.start + 12..place.start + 20].copy_from_slice(&ten_seconds.to_be_bytes());
            }
            vec![packet]
        }),
    );
    follow(&format!("{}{ON}", source(lies.address())), 5);
}

#[test]
fn a218_a_filter_of_everything_on_the_path_costs_its_source_version_5_and_no_more() {
    let port = free_port();
    let _server = host_time(port, ON);
    let lying = Arc::new(AtomicBool::new(true));
    let lies = Arc::clone(&lying);
    let on_path = OnPath::start(
        at(port),
        Box::new(move |packet, is_reply| {
            let mut packet = packet.to_vec();
            if is_reply
                && lies.load(Ordering::Relaxed)
                && let Some(place) = field(&packet, 0xf504).filter(|_| is_version5(&packet))
            {
                packet[place].fill(0xff);
            }
            vec![packet]
        }),
    );
    let own = free_port();
    let configuration = format!("{}{}{ON}", server(own, ON), source(on_path.address()));
    let client = Setup::new("v5-all", &configuration).with_virtual_clock(0, 0.0).start();
    client.wait_until("refused", TIMEOUT, |client| {
        client.sources()[0]["rejected"]["bad_reference_ids"].as_u64() >= Some(2)
    });
    client.wait_until("following in version 4", TIMEOUT, |client| {
        client.is_synchronised() && client.sources()[0]["last_reply"]["version"] == 4
    });
    let answer = ask(at(own), &request(7, ALL, &[]), TIMEOUT).expect("an answer");
    let served = client::read(&answer, 7).expect("in order").filter.expect("it has one");
    assert!(served.count() <= Filter::HALF, "what we serve is not full of it");
    lying.store(false, Ordering::Relaxed);
}

#[test]
fn ntpd_rs_is_a_good_source_in_version_5() {
    let Some((ntpd_rs, _reference)) = ntpd_rs_server() else { return bench::skip(NO_NTPD_RS) };
    // With a server of our own, where its servers came from is asked for too.
    for more in [String::new(), server(free_port(), ON)] {
        let client = follow(&format!("{}{ON}{more}", source(at(ntpd_rs.port))), 5);
        let valid = client.sources()[0]["valid"].as_u64();
        client.wait_until("measured further", TIMEOUT, |client| {
            client.sources()[0]["valid"].as_u64() >= valid.map(|valid| valid + 5)
        });
        assert_eq!(client.sources()[0]["last_reply"]["version"], 5);
    }
}

#[test]
fn ntpd_rs_follows_our_server_in_version_5() {
    for version in ["5", "\"auto\""] {
        let port = free_port();
        let server = host_time(port, ON);
        let Some(ntpd_rs) = ntpd_rs_client(port, version) else { return bench::skip(NO_NTPD_RS) };
        let asked = |server: &Daemon| {
            let clients = server.chimerctl(&["--json", "clients"]);
            let clients: serde_json::Value = serde_json::from_slice(&clients.stdout).unwrap_or_default();
            let first = clients["clients"][0].clone();
            (first["version"].as_u64(), first["requests"].as_u64())
        };
        // After two requests without an answer that it takes it would speak version 4 again, or give up.
        server.wait_until("asked ten times in version 5", TIMEOUT, |server| {
            asked(server).0 == Some(5) && asked(server).1 >= Some(10)
        });
        let log = ntpd_rs.log();
        assert!(!log.contains("invalid packet") && !log.contains("unexpected"), "{log}");
        assert_eq!(count(&server, "malformed"), 0, "{log}");
    }
}
