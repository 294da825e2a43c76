//! A build with the feature `fips`, as it is installed: which methods work in it, beside whom, and that all others are refused.
//! `cargo xtask fips` builds it and runs this.

use bench::chronyd_client::ChronydClient;
use bench::daemon::{Daemon, Setup, source};
use bench::nts::{NtsPeer, NtsServer, chronyd_client, counts};
use bench::peers::{NO_CHRONYD, chronyd_server_with_keys};
use bench::programs::{Place, free_port, wait_for};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

const MODULE: &str = "AWS-LC FIPS";

const KEYS: &str = "10 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3C\n\
    11 AES256 HEX:000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n\
    12 SHA256 ASCII:secretkey0123456\n\
    13 MD5 ASCII:secretkey0123456\n";

const APPROVED: [u32; 2] = [10, 11];
const OTHERS: [u32; 2] = [12, 13];

const ALLOWS_MD5: &str = "[keys]\nallow-md5 = true\n";

fn server_configuration(port: u16) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 4\nrate-limit = false\n"
    )
}

fn is_right(client: &Daemon) -> bool {
    client.is_synchronised() && client.setup().virtual_clock().error_ns().abs() < 1_000_000
}

fn starts_wrong(name: &str, configuration: &str) -> Setup {
    Setup::new(name, configuration).with_virtual_clock(-900_000_000, 30.0)
}

#[test]
fn nts_between_ourselves_uses_gcm_without_a_word_about_it_and_status_names_the_module() {
    let server = NtsServer::new("fips-nts", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let client = starts_wrong("fips-client", &server.source("127.0.0.1", "")).start();
    client.wait_until("right to 1 ms", TIMEOUT, is_right);
    // More than the first cookies: those of replies open too.
    client.wait_until("served for a while", TIMEOUT, |client| {
        let nts = &client.sources()[0]["nts"];
        nts["cookies"].as_u64() >= Some(7) && nts["naks"] == 0
    });
    assert_eq!(client.sources()[0]["nts"]["aead"], 2);
    daemon.wait_until("replies to cookies of replies", TIMEOUT, |daemon| {
        counts(daemon)["server"]["protected"].as_u64() > Some(8)
    });
    for daemon in [&daemon, &client] {
        let status = daemon.ask("status").expect("it answers");
        assert_eq!(status["fips_module"], MODULE, "{status:#}");
    }
    assert_eq!(client.stop().code, Some(0));
    // A restart of both with the keys that were kept.
    assert_eq!(daemon.stop().code, Some(0));
    let daemon = server.setup.start();
    let client = starts_wrong("fips-client", &server.source("127.0.0.1", "")).start();
    client.wait_until("right to 1 ms", TIMEOUT, is_right);
    assert!(counts(&daemon)["server"]["protected"].as_u64() > Some(0));
}

#[test]
fn chronyd_is_a_good_source_with_a_key_of_aes_and_follows_us_with_one() {
    let Some(chronyd) = chronyd_server_with_keys(KEYS) else { return bench::skip(NO_CHRONYD) };
    let port = free_port();
    let server = Setup::new("fips-server", &format!("{}keys = {APPROVED:?}\n", server_configuration(port)))
        .with_keys(KEYS)
        .start();
    let place = Place::new("keys");
    let file = place.join("keys");
    std::fs::write(&file, KEYS).expect("a new folder can be written");
    for number in APPROVED {
        let configuration = format!("{}key = {number}\n", source(format!("127.0.0.1:{}", chronyd.port)));
        let client = starts_wrong("fips-keyed", &configuration).with_keys(KEYS).start();
        client.wait_until("right to 1 ms", TIMEOUT, is_right);
        assert_eq!(client.sources()[0]["authenticated"], true);

        let sources = format!(
            "server 127.0.0.1 port {port} key {number} minpoll -2 maxpoll -2 iburst\nkeyfile {}",
            file.display()
        );
        let Some(mut chronyd) = ChronydClient::start(&sources, &[]) else { return bench::skip(NO_CHRONYD) };
        let follows =
            wait_for(TIMEOUT, || chronyd.tracking().is_some_and(|it| it.synchronised).then_some(()));
        assert!(follows.is_some(), "{number}: {}", chronyd.log());
    }
    let keyed = server.ask("server").and_then(|reply| reply["server"]["keyed"].as_u64());
    assert!(keyed > Some(0), "{keyed:?}");
}

#[test]
fn what_is_not_approved_ends_the_start_with_the_remedy() {
    let server = NtsServer::new("fips-nts", &["127.0.0.1"], "");
    let line = |more: &str| server.source("127.0.0.1", more);
    let keyed = |number: u32| format!("{}key = {number}\n{ALLOWS_MD5}", source("127.0.0.1:1"));
    let mut refused = vec![
        (line("aead = \"siv\""), "not approved by FIPS 140"),
        (line("aead = [\"gcm\", \"siv-512\"]"), "not approved by FIPS 140"),
        (line("aead = \"gcm-siv\""), "not approved by FIPS 140"),
        (format!("{}[roughtime]\n", source("127.0.0.1:1")), "leave it out"),
    ];
    refused.extend(OTHERS.map(|number| (keyed(number), "use AES128 or AES256")));
    for (configuration, said) in refused {
        let exit = Setup::new("fips-refused", &configuration).with_keys(KEYS).run_to_end();
        assert_eq!(exit.code, Some(78), "{configuration}\n{}", exit.log);
        assert!(exit.log.contains(said), "{configuration}\n{}", exit.log);
    }
    let served = NtsServer::new("fips-refused", &["127.0.0.1"], "aead = [\"siv\"]");
    let exit = served.setup.run_to_end();
    assert!(exit.code == Some(78) && exit.log.contains("not approved by FIPS 140"), "{}", exit.log);
}

/// chronyd has no AEAD that FIPS 140 approves: neither side may agree to another one.
#[test]
fn chronyd_and_we_agree_to_no_nts_in_either_direction() {
    let Some(peer) = NtsPeer::chronyd("chronyd") else { return bench::skip(NO_CHRONYD) };
    let client = starts_wrong("fips-chronyd", &peer.source("127.0.0.1", "")).start();
    client.wait_until("an exchange has failed for its algorithms", TIMEOUT, |client| {
        let last = client.sources()[0]["nts"]["last_exchange"].clone();
        last.as_str().is_some_and(|why| why.contains("none of the offered algorithms"))
    });
    assert!(!client.is_synchronised(), "{:#}", client.sources()[0]);

    let server = NtsServer::new("fips-served", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let Some(chronyd) = chronyd_client("chronyd", &server, "127.0.0.1", "") else {
        return bench::skip(NO_CHRONYD);
    };
    let refused = wait_for(TIMEOUT, || {
        let counters = &counts(&daemon)["key_exchange"]["counters"];
        (counters["refused"].as_u64() > Some(0) || counters["tls"].as_u64() > Some(0)).then_some(())
    });
    assert!(refused.is_some(), "{:#}\n{}", counts(&daemon), chronyd.log());
    // Null where no request came at all.
    assert_eq!(counts(&daemon)["server"]["protected"].as_u64().unwrap_or_default(), 0);
}
