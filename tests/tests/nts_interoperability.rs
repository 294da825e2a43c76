//! NTS interoperability with other implementations, in both directions. None of them can set the clock.

use bench::daemon::{Daemon, Setup};
use bench::nts::{
    NO_NEWEST_CHRONYD, NO_NTPD_RS, NtsPeer, NtsServer, chronyd_client, counts, loopbacks, ntpd_rs_client,
};
use bench::peers::NO_CHRONYD;
use bench::programs::wait_for;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(40);

/// Follows a peer at each loopback address, with each choice of algorithms that it supports.
fn follow(peer: &NtsPeer, choices: &[(&str, u64)]) {
    for (choice, aead) in choices {
        let sources: Vec<_> = loopbacks().iter().map(|address| peer.source(address, choice)).collect();
        let client =
            Setup::new("nts-follow", &sources.concat()).with_virtual_clock(-900_000_000, 30.0).start();
        let clock = client.setup().virtual_clock();
        client.wait_until("right to 1 ms", TIMEOUT, |client| {
            client.is_synchronised() && clock.error_ns().abs() < 1_000_000
        });
        client.wait_until("served at each address", TIMEOUT, |client| {
            client.sources().iter().all(|source| source["nts"]["cookies"].as_u64() >= Some(7))
        });
        for source in client.sources() {
            assert_eq!(source["nts"]["aead"], *aead, "{source:#}");
            assert_eq!(source["nts"]["naks"], 0, "{source:#}");
        }
    }
}

const SIV_ONLY: [(&str, u64); 2] = [("", 15), ("aead = \"siv\"", 15)];
const BOTH: [(&str, u64); 2] = [("", 30), ("aead = \"siv\"", 15)];

#[test]
fn nts_chronyd_of_debian_is_a_good_source() {
    let Some(peer) = NtsPeer::chronyd("chronyd") else { return bench::skip(NO_CHRONYD) };
    follow(&peer, &SIV_ONLY);
}

#[test]
fn nts_newest_chronyd_is_a_good_source_with_both_algorithms() {
    let Some(peer) = NtsPeer::chronyd("chronyd-newest") else { return bench::skip(NO_NEWEST_CHRONYD) };
    follow(&peer, &BOTH);
}

#[test]
fn nts_ntpd_rs_is_a_good_source() {
    let Some(peer) = NtsPeer::ntpd_rs() else { return bench::skip(NO_NTPD_RS) };
    follow(&peer, &SIV_ONLY);
    follow(&peer, &[("aead = \"siv-512\"", 17), ("aead = [\"gcm\", \"siv-512\"]", 17)]);
}

/// Whether a daemon with this choice comes right by a server of ours, and with which algorithm.
fn algorithm_between_ourselves(server: &NtsServer, choice: &str) -> Option<u64> {
    let source = server.source("127.0.0.1", choice);
    let client = Setup::new("nts-ours", &source).with_virtual_clock(-900_000_000, 30.0).start();
    client.wait_until("an exchange has ended", TIMEOUT, |client| {
        client.sources().iter().any(|source| {
            let nts = &source["nts"];
            nts["failures"].as_u64() >= Some(1) || nts["exchanges"].as_u64() >= Some(1)
        })
    });
    if client.sources()[0]["nts"]["failures"].as_u64() >= Some(1) {
        return None;
    }
    client.wait_until("synchronised", TIMEOUT, Daemon::is_synchronised);
    client.wait_until("eight cookies again and again", TIMEOUT, |client| {
        let nts = &client.sources()[0]["nts"];
        nts["cookies"].as_u64() >= Some(7) && nts["naks"] == 0
    });
    client.sources()[0]["nts"]["aead"].as_u64()
}

#[test]
fn a194_nts_each_algorithm_serves_between_ourselves_and_gcm_where_the_server_is_told_to() {
    let usual = NtsServer::new("nts-aeads", &["127.0.0.1"], "");
    let approved = NtsServer::new("nts-aeads", &["127.0.0.1"], "aead = \"gcm\"");
    let (_usual, _approved) = (usual.setup.start(), approved.setup.start());
    for (choice, by_usual, by_approved) in [
        ("", Some(30), None),
        ("aead = \"siv\"", Some(15), None),
        ("aead = \"siv-512\"", Some(17), None),
        ("aead = \"gcm\"", None, Some(2)),
        ("aead = [\"gcm\", \"siv\"]", Some(15), Some(2)),
    ] {
        assert_eq!(algorithm_between_ourselves(&usual, choice), by_usual, "{choice}");
        assert_eq!(algorithm_between_ourselves(&approved, choice), by_approved, "{choice}");
    }
}

fn count(server: &Daemon, word: &str) -> u64 {
    counts(server)["server"][word].as_u64().unwrap_or_default()
}

fn exchanged(server: &Daemon) -> u64 {
    counts(server)["key_exchange"]["counters"]["exchanged"].as_u64().unwrap_or_default()
}

/// A chronyd as client: served with protected time; over a restart with kept keys without another exchange; after
/// the loss of all keys with one more.
fn serve_chronyd(program: &str, missing: &str, algorithms: &str) {
    for address in loopbacks() {
        let server = NtsServer::new("nts-serve", &[address], "");
        let daemon = server.setup.start();
        let Some(client) = chronyd_client(program, &server, address, algorithms) else {
            return bench::skip(missing);
        };
        let served = |daemon: &Daemon, least: u64| {
            let said = || format!("{:#}\n{}", counts(daemon), client.log());
            let done = wait_for(TIMEOUT, || (count(daemon, "protected") >= least).then_some(()));
            assert!(done.is_some(), "{program} isn't served: {}", said());
        };
        served(&daemon, 6);
        assert_eq!((exchanged(&daemon), count(&daemon, "nak")), (1, 0), "{}", client.log());
        assert_eq!(daemon.stop().code, Some(0));

        let daemon = server.setup.start();
        served(&daemon, 4);
        assert_eq!((exchanged(&daemon), count(&daemon, "nak")), (0, 0), "a restart costs an exchange");
        assert_eq!(daemon.stop().code, Some(0));

        std::fs::write(server.setup.place().join("state/engine.keys"), b"").expect("a file of ours");
        let daemon = server.setup.start();
        let renewed = wait_for(TIMEOUT, || (exchanged(&daemon) >= 1).then_some(()));
        assert!(renewed.is_some() && count(&daemon, "nak") > 0, "no new keys:\n{}", client.log());
        served(&daemon, 3);
        // chronyd logs a line for each measurement that it accepts.
        let taken = client.file("measurements.log").lines().filter(|line| line.contains(address)).count();
        assert!(taken >= 8, "{taken} measurements were taken:\n{}", client.log());
    }
}

#[test]
fn nts_chronyd_of_debian_is_served_over_restarts_and_lost_keys() {
    serve_chronyd("chronyd", NO_CHRONYD, "");
}

#[test]
fn nts_newest_chronyd_is_served_with_aead_30_over_restarts_and_lost_keys() {
    serve_chronyd("chronyd-newest", NO_NEWEST_CHRONYD, "ntsaeads 30");
}

#[test]
fn nts_newest_chronyd_is_served_with_aead_15() {
    serve_chronyd("chronyd-newest", NO_NEWEST_CHRONYD, "ntsaeads 15");
}

#[test]
fn nts_ntpd_rs_is_served() {
    let server = NtsServer::new("nts-serve", &loopbacks(), "");
    let daemon = server.setup.start();
    let Some(client) = ntpd_rs_client(&server) else { return bench::skip(NO_NTPD_RS) };
    let done = wait_for(TIMEOUT, || (count(&daemon, "protected") >= 1).then_some(()));
    assert!(done.is_some(), "ntpd-rs is not served: {:#}\n{}", counts(&daemon), client.log());
    assert_eq!(count(&daemon, "nak"), 0);
}
