//! Interleaved mode as a client (RFC 9769), with chronyd and with our own server.

use bench::daemon::{Daemon, Setup, source};
use bench::nts::{NO_NEWEST_CHRONYD, NtsPeer, NtsServer};
use bench::peers::{NO_CHRONYD, chronyd_server, chronyd_server_with_keys};
use bench::programs::free_port;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);
const KEY: &str = "10 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3C\n";
const ASKS: &str = "interleaved = true\n";

/// Measurements of the last ones that came in interleaved mode, and were used.
fn in_mode(client: &Daemon) -> usize {
    let reply = client.measured(0).expect("it answers");
    let all = reply["measured"].as_array().expect("a list");
    all.iter().filter(|it| it["interleaved"] == true && it["outcome"] == "used").count()
}

/// Comes right by this source, in interleaved mode.
fn follows(configuration: &str, keys: &str) {
    let setup = Setup::new("interleaved", configuration).with_virtual_clock(-900_000_000, 30.0);
    let client = if keys.is_empty() { setup.start() } else { setup.with_keys(keys).start() };
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms", TIMEOUT, |client| {
        client.is_synchronised() && clock.error_ns().abs() < 1_000_000
    });
    client
        .wait_until("eight of the last replies in interleaved mode", TIMEOUT, |client| in_mode(client) >= 8);
    let found = &client.sources()[0];
    let reasons = found["rejected"].as_object().expect("counts by reason");
    assert!(reasons.keys().all(|reason| reason == "discontinuity"), "{found:#}");
    assert!(clock.error_ns().abs() < 1_000_000, "{} ns\n{found:#}", clock.error_ns());
    client.wait_until("the last one, with the time that it took", TIMEOUT, |client| {
        let last = &client.sources()[0]["last_reply"];
        last["interleaved"] == true && last["response_s"].as_f64().is_some_and(|it| (0.0..1.0).contains(&it))
    });
    let page = client.chimerctl(&["source", found["name"].as_str().expect("a name")]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.lines().any(|line| line.starts_with("mode") && line.ends_with("interleaved")), "{page}");
}

#[test]
fn chronyd_of_debian_tells_us_when_its_replies_left() {
    let Some(chronyd) = chronyd_server() else { return bench::skip(NO_CHRONYD) };
    follows(&(source(format!("127.0.0.1:{}", chronyd.port)) + ASKS), "");
}

#[test]
fn chronyd_of_debian_tells_us_so_with_a_key() {
    let Some(chronyd) = chronyd_server_with_keys(KEY) else { return bench::skip(NO_CHRONYD) };
    follows(&format!("{}key = 10\n{ASKS}", source(format!("127.0.0.1:{}", chronyd.port))), KEY);
}

#[test]
fn chronyd_of_debian_tells_us_so_with_nts() {
    let Some(peer) = NtsPeer::chronyd("chronyd") else { return bench::skip(NO_CHRONYD) };
    follows(&peer.source("127.0.0.1", ASKS), "");
}

#[test]
fn newest_chronyd_tells_us_so_with_nts() {
    let Some(peer) = NtsPeer::chronyd("chronyd-newest") else { return bench::skip(NO_NEWEST_CHRONYD) };
    follows(&peer.source("127.0.0.1", ASKS), "");
}

#[test]
fn our_server_tells_us_so_plain_with_a_key_and_with_nts() {
    let port = free_port();
    let plain = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 4\nrate-limit = false\n"
    );
    let keyed = Setup::new("interleaving", &plain).with_keys(KEY).start();
    let nts = NtsServer::new("interleaving-nts", &["127.0.0.1"], "");
    let protected = nts.setup.start();
    follows(&(source(format!("127.0.0.1:{port}")) + ASKS), "");
    follows(&format!("{}key = 10\n{ASKS}", source(format!("127.0.0.1:{port}"))), KEY);
    follows(&nts.source("127.0.0.1", ASKS), "");
    let told =
        |server: &Daemon, name: &str| server.ask("server").expect("it answers")["server"][name].as_u64();
    assert!(told(&keyed, "interleaved") >= Some(16) && told(&protected, "interleaved") >= Some(8));
    assert_eq!((told(&keyed, "malformed"), told(&protected, "malformed")), (Some(0), Some(0)));
}

#[test]
fn a_server_without_interleaved_mode_is_followed_and_said_to_be_in_basic_mode() {
    let port = free_port();
    let server = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 4\n\
         interleaved = false\nrate-limit = false\n"
    );
    let _server = Setup::new("basic", &server).start();
    let setup = Setup::new("asks", &(source(format!("127.0.0.1:{port}")) + ASKS));
    let client = setup.with_virtual_clock(-900_000_000, 30.0).start();
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms, by ten replies", TIMEOUT, |client| {
        let valid = client.sources()[0]["valid"].as_u64();
        client.is_synchronised() && clock.error_ns().abs() < 1_000_000 && valid >= Some(10)
    });
    assert_eq!((in_mode(&client), &client.sources()[0]["last_reply"]["interleaved"]), (0, &false.into()));
}
