//! With other implementations, both ways. None of them is able to set the clock.

use bench::daemon::{Setup, source};
use bench::peers::{FencedNtpd, NO_CHRONYD, NO_NTPD, chronyd_measures, chronyd_server};
use bench::programs::{free_port, has_ipv6};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// Follows these sources from 0.9 s and 30 ppm wrong until the clock is right to a millisecond.
fn follow(sources: &str, wrapper: &[&str]) {
    let client =
        Setup::new("follow", sources).with_virtual_clock(-900_000_000, 30.0).with_wrapper(wrapper).start();
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms", PATIENCE, |client| {
        client.is_synchronised() && clock.error_ns().abs() < 1_000_000
    });
    for source in client.sources() {
        let reasons = source["rejected"].as_object().expect("counts by reason");
        // A server may ask for less (ntpd does, by default); nothing else may be wrong with its replies.
        assert!(reasons.keys().all(|reason| reason == "kiss"), "{source:#}");
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
