//! Paths of known delays between the daemon and its server: what cannot be known stays inside the error
//! bound, and what can be known is corrected.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::relay::{Path, Relay, RelayConfig, Way};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(20);

/// The largest difference between the bench's own two clock readings.
const READING_NS: i64 = 50_000;

fn follow(path: Path, error_ns: i64) -> (Daemon, Relay, Forger) {
    let server = Forger::honest(HERE, 0);
    let config = RelayConfig { front: (HERE, 0).into(), from: HERE, server: server.address(), network: None };
    let relay = Relay::start(config, path, 4);
    let client = Setup::new("path", &source(relay.address())).with_virtual_clock(error_ns, 12.0).start();
    client.wait_until_synchronised(TIMEOUT);
    (client, relay, server)
}

/// The clock's error, which is within the bound that the daemon reports.
fn bounded_error_ns(client: &Daemon) -> i64 {
    let bound = client.status()["error_bound_s"].as_f64().expect("a number") * 1e9;
    let error = client.setup().virtual_clock().error_ns();
    assert!(error.abs() < bound as i64 + READING_NS, "error {error} ns, told bound {bound} ns");
    error
}

#[test]
fn a030_a_path_that_was_always_longer_one_way_shifts_the_clock_inside_its_bound() {
    let path = Path { there: Way::micros(20_000, 200), back: Way::micros(2_000, 200) };
    let (client, _relay, _server) = follow(path, -60_000_000);
    client.wait_until("well informed", Duration::from_secs(60), |client| {
        bounded_error_ns(client);
        client.sources()[0]["valid"].as_u64() >= Some(12)
    });
    let last = bounded_error_ns(&client);
    // Half of the asymmetry: no client can know better, and a bound below it would be wrong.
    assert!(last.abs() > 4_000_000, "the path of the relay is not asymmetric: {last} ns");
}

#[test]
fn a031_a_path_that_becomes_longer_one_way_is_seen_and_does_not_move_the_clock() {
    let way = Way::micros(4_000, 100);
    let (client, relay, _server) = follow(Path { there: way, back: way }, 25_000_000);
    let valid = |client: &Daemon| client.sources()[0]["valid"].as_u64().unwrap_or(0);
    client.wait_until("well informed", Duration::from_secs(60), |client| valid(client) >= 12);
    let told = |client: &Daemon, word: &str| client.sources()[0][word].as_f64().unwrap_or(0.0);
    let (before, error_before) = (told(&client, "delay_s"), bounded_error_ns(&client));
    relay.change(Path { there: Way::micros(34_000, 100), back: way });
    let asked = valid(&client);
    client.wait_until("aware of the longer path", Duration::from_secs(90), |client| {
        // Half of the change is 15 ms: the error of a client that assumes symmetric round trips.
        let error = bounded_error_ns(client);
        assert!((error - error_before).abs() < 7_500_000, "from {error_before} to {error} ns");
        // A longer path first shows as jitter, and later as delay.
        let is_seen = told(client, "jitter_s") > 0.005 || told(client, "delay_s") > before + 0.02;
        is_seen && valid(client) >= asked + 16
    });
    let error = bounded_error_ns(&client);
    assert!((error - error_before).abs() < 7_500_000, "from {error_before} to {error} ns");
    assert!(client.is_synchronised() && client.sources()[0]["state"] == "selected");
}
