//! Interoperability with other implementations, in both directions. None of them can set the clock.

use bench::chronyd_client::ChronydClient;
use bench::daemon::{Daemon, Setup, source};
use bench::other_clients::{self, CLIENT, SERVER, cable};
use bench::peers::{FencedNtpd, NO_CHRONYD, NO_NTPD, chronyd_measures, chronyd_server};
use bench::programs::{free_port, has_ipv6};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Follows these sources from 0.9 s and 30 ppm wrong until the clock is right to a millisecond.
fn follow(sources: &str, wrapper: &[&str]) {
    let client =
        Setup::new("follow", sources).with_virtual_clock(-900_000_000, 30.0).with_wrapper(wrapper).start();
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms", TIMEOUT, |client| {
        client.is_synchronised() && clock.error_ns().abs() < 1_000_000
    });
    for source in client.sources() {
        let reasons = source["rejected"].as_object().expect("counts by reason");
        // A server may ask for less (ntpd does, by default), and the step at the start cuts a query that is under way;
        // nothing else may be wrong with its replies.
        let lawful = |reason: &String| ["kiss", "discontinuity"].contains(&reason.as_str());
        assert!(reasons.keys().all(lawful), "{source:#}");
    }
}

#[test]
fn chronyd_is_a_good_source_over_ipv4() {
    let Some(chronyd) = chronyd_server() else { return bench::skip(NO_CHRONYD) };
    follow(&source(format!("127.0.0.1:{}", chronyd.port)), &[]);
}

#[test]
fn chronyd_is_a_good_source_over_ipv6() {
    if !has_ipv6() {
        return bench::skip("no ::1 on this machine");
    }
    let Some(chronyd) = chronyd_server() else { return bench::skip(NO_CHRONYD) };
    follow(&source(format!("[::1]:{}", chronyd.port)), &[]);
}

#[test]
fn ntpd_of_ntpsec_is_a_good_source() {
    if !bench::is_root() {
        return bench::skip("entering ntpd's network namespace needs root");
    }
    let Some(ntpd) = FencedNtpd::start() else { return bench::skip(NO_NTPD) };
    let entrance = ntpd.entrance();
    let entrance: Vec<&str> = entrance.iter().map(String::as_str).collect();
    follow(&format!("{}{}", source("127.0.0.1"), source("[::1]")), &entrance);
}

#[test]
fn chronyd_measures_our_server_right() {
    let port = free_port();
    let mut addresses = vec!["127.0.0.1"];
    if has_ipv6() {
        addresses.push("::1");
    }
    let listen: Vec<_> = addresses
        .iter()
        .map(|address| std::net::SocketAddr::new(address.parse().expect("an address"), port))
        .map(|address| format!("\"{address}\""))
        .collect();
    let configuration = format!(
        "[server]\nlisten = [{}]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\nlocal-stratum = 4\n",
        listen.join(", ")
    );
    let _server = Setup::new("measured", &configuration).start();
    for address in addresses {
        let Some((wrong_by, said)) = chronyd_measures(address, port) else { return bench::skip(NO_CHRONYD) };
        let wrong_by = wrong_by.unwrap_or_else(|| panic!("chronyd didn't take our answers:\n{said}"));
        assert!(wrong_by.abs() < 0.001, "{address}: {wrong_by} s\n{said}");
    }
}

/// Serves the host's own time here, with counters.
fn serve(address: &str, wrapper: &[&str]) -> Daemon {
    let configuration = format!(
        "[server]\nlisten = [\"{address}\"]\nallow = [\"127.0.0.0/8\", \"{CLIENT}/32\"]\nlocal-stratum = 4\n"
    );
    Setup::new("clients", &configuration).with_wrapper(wrapper).start()
}

fn count(server: &Daemon, name: &str) -> u64 {
    server.ask("server").and_then(|reply| reply["server"][name].as_u64()).unwrap_or(0)
}

#[test]
fn chronyd_follows_our_server_interleaved() {
    let port = free_port();
    let server = serve(&format!("127.0.0.1:{port}"), &[]);
    let sources = format!("server 127.0.0.1 port {port} minpoll -2 maxpoll -2 xleave iburst");
    let Some(mut chronyd) = ChronydClient::start(&sources, &[]) else { return bench::skip(NO_CHRONYD) };
    server.wait_until("twelve interleaved replies", TIMEOUT, |server| count(server, "interleaved") >= 12);
    let tracking = chronyd.tracking().expect("it answers");
    assert!(tracking.synchronised, "{}", chronyd.log());
    assert_eq!(count(&server, "malformed"), 0);
}

/// A client in a separate network beside the server's, until it is synchronised.
fn follows(
    start: impl FnOnce(&bench::netns::Network) -> Option<bench::peers::Peer>,
    is_content: impl Fn(&bench::peers::Peer) -> bool,
    missing: &str,
) {
    let Some((near, far)) = cable() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let entrance = near.entrance();
    let server = serve(&format!("{SERVER}:123"), &entrance.each_ref().map(String::as_str));
    let Some(client) = start(&far) else { return bench::skip(missing) };
    let outcome = bench::programs::wait_for(Duration::from_secs(60), || is_content(&client).then_some(()));
    assert!(outcome.is_some(), "{:?}\n{}", server.ask("server"), client.log());
    assert!(count(&server, "answered") >= 1);
    assert_eq!(count(&server, "malformed"), 0);
}

#[test]
fn ntpd_of_ntpsec_follows_our_server() {
    follows(other_clients::ntpsec, other_clients::ntpsec_follows, NO_NTPD);
}

#[test]
fn openntpd_follows_our_server() {
    let missing = "OpenNTPD is missing; `cargo xtask peers` fetches it on Debian";
    follows(other_clients::openntpd, |client| client.log().contains("now valid"), missing);
}

#[test]
fn busybox_measures_our_server() {
    let missing = "no busybox with ntpd (Debian's has none)";
    follows(other_clients::busybox, |client| client.log().contains("offset:"), missing);
}

#[test]
fn ntpdig_measures_our_server_right() {
    let Some((near, far)) = cable() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let entrance = near.entrance();
    let server = serve(&format!("{SERVER}:123"), &entrance.each_ref().map(String::as_str));
    let missing = || bench::skip("ntpdig or its Python is missing; `cargo xtask peers` fetches it on Debian");
    if other_clients::ntpdig(&far).is_none() {
        return missing();
    }
    server.wait_until("answering", TIMEOUT, |server| {
        let _ = other_clients::ntpdig(&far);
        count(server, "answered") > 0
    });
    let Some((offset, said)) = other_clients::ntpdig(&far) else { return missing() };
    assert!(offset.is_some_and(|offset| offset.abs() < 0.01), "{said}");
}
