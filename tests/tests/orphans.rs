//! Servers that ask each other and have no better time agree on one of them (`local-orphan`), and leave it for a better one.

use bench::daemon::{Daemon, Setup, source};
use bench::netns::Network;
use bench::programs::free_port;
use std::net::Ipv4Addr;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(120);

/// Three networks, each with a cable to both others. The addresses of the first one are the smaller ones, those of the last one
/// the larger.
fn networks() -> Option<[Network; 3]> {
    let all = [Network::new()?, Network::new()?, Network::new()?];
    let cable = |number: u8, host: u8| Ipv4Addr::new(10, 77, number, host);
    // Each has an end that is called near and one that is called far.
    let [a, b, c] = &all;
    let is_done = a.connect(b, cable(1, 1), cable(1, 2))
        && b.connect(c, cable(2, 1), cable(2, 2))
        && c.connect(a, cable(0, 2), cable(0, 1));
    is_done.then_some(all)
}

/// One of the fleet; `better`: a source that has real time.
fn member(
    network: &Network,
    (port, others, better): (u16, [&str; 2], Option<&str>),
    error_ms: i64,
) -> Daemon {
    let sources: String =
        others.iter().copied().chain(better).map(|other| source(format!("{other}:{port}"))).collect();
    let configuration = format!(
        "{sources}[server]\nlisten = [\"0.0.0.0:{port}\"]\nallow = [\"10.77.0.0/16\"]\nthreads = 1\nlocal-stratum = 10\n\
         local-orphan = true\nlocal-wait-unsynchronised = 5\nlocal-distance = 0.1\n"
    );
    Setup::new("orphan", &configuration).with_virtual_clock(error_ms * 1_000_000, 0.0).within(network).start()
}

/// The state of the clock, its stratum and the source that is followed.
fn seen(daemon: &Daemon) -> (String, u64, Option<String>) {
    let system = daemon.status();
    let sources = daemon.sources();
    let followed = sources.iter().find(|source| source["state"] == "selected");
    let name = followed.and_then(|source| source["address"].as_str()).map(str::to_owned);
    let word = |key: &str| system[key].as_str().unwrap_or_default().to_owned();
    (word("state"), system["stratum"].as_u64().unwrap_or_default(), name)
}

/// Why it is in that state.
fn reason(daemon: &Daemon) -> String {
    daemon.status()["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_fleet_without_better_time_follows_the_smallest_of_it_then_the_next_and_then_real_time() {
    let Some(all) = networks() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    let [a, b, c] = &all;
    let port = free_port();
    let at = |address: &str| Some(format!("{address}:{port}"));
    // Seconds apart from each other.
    let mut first = Some(member(a, (port, ["10.77.1.2", "10.77.0.2"], None), 0));
    let second = member(b, (port, ["10.77.1.1", "10.77.2.2"], None), 3_000);
    let third = member(c, (port, ["10.77.0.1", "10.77.2.1"], None), -2_000);
    // Which does not make them synchronised: nobody knows true time.
    let follow = |daemon: &Daemon, leader: &str| {
        daemon.wait_until(&format!("following {leader}"), TIMEOUT, |daemon| {
            let (state, _, followed) = seen(daemon);
            state == "unsynchronised"
                && followed == at(leader)
                && reason(daemon).contains("served at stratum 11")
        });
        assert_eq!(daemon.status()["synchronised"].as_bool(), Some(false), "{}", daemon.status());
    };
    let leader = first.as_ref().expect("it runs");
    follow(&second, "10.77.1.1");
    follow(&third, "10.77.0.1");
    leader.wait_until("leading", TIMEOUT, |daemon| seen(daemon).0 == "local");
    for daemon in [&second, &third] {
        // The other one of the fleet follows too, and has no vote.
        let orphans = daemon.sources();
        let orphans = orphans.iter().filter(|source| source["state"] == "unusable");
        assert_eq!(orphans.count(), 1, "{:#?}", daemon.sources());
    }
    let clock = |daemon: &Daemon| daemon.setup().virtual_clock().error_ns();
    for daemon in [&second, &third] {
        daemon.wait_until("agreeing", TIMEOUT, |daemon| (clock(daemon) - clock(leader)).abs() < 20_000_000);
    }
    // Without the first one, the next follows nobody, and the last one follows it.
    assert_eq!(first.take().expect("it runs").stop().code, Some(0));
    second.wait_until("leading", TIMEOUT, |daemon| seen(daemon).0 == "local");
    follow(&third, "10.77.2.1");
    assert!((clock(&third) - clock(&second)).abs() < 20_000_000);
    // One of them gets real time: all have it.
    let origin = Setup::new(
        "origin",
        &format!(
            "[server]\nlisten = [\"10.77.1.1:{port}\"]\nallow = [\"10.77.0.0/16\"]\nthreads = 1\nlocal-stratum = 1\n"
        ),
    );
    let origin = origin.within(a).start();
    second.wait_until("following real time", TIMEOUT, |daemon| {
        let (state, stratum, followed) = seen(daemon);
        state == "synchronised" && stratum == 2 && followed == at("10.77.1.1")
    });
    third.wait_until("following real time", TIMEOUT, |daemon| {
        let (state, stratum, followed) = seen(daemon);
        state == "synchronised" && stratum == 3 && followed == at("10.77.2.1")
    });
    for daemon in [second, third, origin] {
        assert_eq!(daemon.stop().code, Some(0));
    }
}
