//! Symmetric keys with other implementations, in both directions, and what each side refuses.

use bench::chronyd_client::ChronydClient;
use bench::daemon::{Daemon, Setup, source};
use bench::peers::{FencedNtpd, NO_CHRONYD, NO_NTPD, chronyd_server_with_keys};
use bench::programs::{Place, free_port};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A key of each type that chronyd has, in chrony's format; the numbers are used below.
const KEYS: &str = "10 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3C\n\
    11 AES256 HEX:000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n\
    12 SHA1 ASCII:secretkey0123456\n\
    13 SHA256 secretkey0123456\n\
    14 SHA384 HEX:00112233445566778899AABBCCDDEEFF\n\
    15 SHA512 ASCII:a-longer-secret-than-the-others\n\
    16 MD5 ASCII:secretkey0123456\n";

const NUMBERS: std::ops::RangeInclusive<u32> = 10..=16;

const ALLOWS_MD5: &str = "[keys]\nallow-md5 = true\n";

fn count(server: &Daemon, name: &str) -> u64 {
    server.ask("server").and_then(|reply| reply["server"][name].as_u64()).unwrap_or(0)
}

fn server_configuration(port: u16) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 4\nrate-limit = false\n"
    )
}

#[test]
fn chronyd_is_a_good_source_with_a_key_of_each_type() {
    let Some(chronyd) = chronyd_server_with_keys(KEYS) else { return bench::skip(NO_CHRONYD) };
    // Each address is a source of its own.
    for number in NUMBERS {
        let address = format!("127.0.0.1:{}", chronyd.port);
        let configuration = format!("{}key = {number}\n{ALLOWS_MD5}", source(address));
        let client = Setup::new("keyed", &configuration)
            .with_keys(KEYS)
            .with_virtual_clock(-900_000_000, 30.0)
            .start();
        let clock = client.setup().virtual_clock();
        client.wait_until("right to 1 ms", TIMEOUT, |client| {
            client.is_synchronised() && clock.error_ns().abs() < 1_000_000
        });
        let found = &client.sources()[0];
        // 16 is of MD5.
        assert_eq!(found["authenticated"], number != 16, "{found:#}");
        assert_eq!(found["key"]["number"], number, "{found:#}");
        let reasons = found["rejected"].as_object().expect("counts by reason");
        assert!(reasons.keys().all(|reason| reason == "discontinuity"), "{found:#}");
    }
}

#[test]
fn a197_chronyd_with_another_key_of_the_same_number_is_never_followed() {
    let Some(chronyd) = chronyd_server_with_keys(KEYS) else { return bench::skip(NO_CHRONYD) };
    let address = format!("127.0.0.1:{}", chronyd.port);
    // Number 10 has another secret here, and 12 another type; 17 is unknown there. 13 is right.
    let keys = "10 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3D\n12 SHA256 ASCII:secretkey0123456\n\
        17 AES128 HEX:2B7E151628AED2A6ABF7158809CF4F3C\n13 SHA256 secretkey0123456\n";
    for (number, is_right) in [(10, false), (12, false), (17, false), (13, true)] {
        let configuration = format!("{}key = {number}\n", source(&address));
        let client = Setup::new("wrong", &configuration).with_keys(keys).with_virtual_clock(0, 0.0).start();
        client.wait_until("asked five times, or answered", TIMEOUT, |client| {
            let found = &client.sources()[0];
            found["sent"].as_u64() >= Some(5) || found["valid"].as_u64() >= Some(1)
        });
        let valid = client.sources()[0]["valid"].as_u64();
        assert_eq!(valid >= Some(1), is_right, "{number}: {:#}", client.sources()[0]);
        // What an administrator is shown of it.
        let page = String::from_utf8_lossy(&client.chimerctl(&["keys"]).stdout).into_owned();
        let row: Vec<&str> = page.lines().last().unwrap_or_default().split_whitespace().collect();
        assert_eq!(row.get(2), Some(&number.to_string().as_str()), "{page}");
        if !is_right {
            let cause = format!("the server does not have key {number} as it is here");
            client.wait_until("named", TIMEOUT, |client| {
                client.sources()[0]["reason"].as_str().is_some_and(|reason| reason.contains(&cause))
            });
        }
    }
}

#[test]
fn chronyd_follows_our_server_with_a_key_of_each_type_and_no_version_or_key_else() {
    let port = free_port();
    let configuration = format!("{}{ALLOWS_MD5}", server_configuration(port));
    let server = Setup::new("server", &configuration).with_keys(KEYS).start();
    let place = Place::new("keys");
    let file = place.join("keys");
    std::fs::write(&file, KEYS).expect("a new folder can be written");
    for number in NUMBERS {
        for version in [4, 3] {
            let before = count(&server, "keyed");
            let sources = format!(
                "server 127.0.0.1 port {port} key {number} version {version} minpoll -2 maxpoll -2 iburst\nkeyfile {}",
                file.display()
            );
            let Some(mut chronyd) = ChronydClient::start(&sources, &[]) else {
                return bench::skip(NO_CHRONYD);
            };
            let follows = bench::programs::wait_for(TIMEOUT, || {
                chronyd.tracking().is_some_and(|it| it.synchronised).then_some(())
            });
            assert!(follows.is_some(), "{number} {version}: {}", chronyd.log());
            server.wait_until("replies with a MAC", TIMEOUT, |server| count(server, "keyed") >= before + 4);
        }
    }
    assert_eq!(count(&server, "unauthenticated"), 0);
}

#[test]
fn a202_chronyd_with_a_key_that_our_server_does_not_have_gets_no_answer() {
    let port = free_port();
    let configuration = format!("{}keys = [10]\n", server_configuration(port));
    let server = Setup::new("server", &configuration).with_keys(KEYS).start();
    let place = Place::new("keys");
    let file = place.join("keys");
    // 12 is in our file and not allowed to clients; 10 has another secret.
    std::fs::write(&file, "10 AES128 HEX:00000000000000000000000000000000\n12 SHA1 ASCII:secretkey0123456\n")
        .expect("a new folder can be written");
    for number in [10, 12] {
        let before = count(&server, "unauthenticated");
        let sources = format!(
            "server 127.0.0.1 port {port} key {number} minpoll -2 maxpoll -2 iburst\nkeyfile {}",
            file.display()
        );
        let Some(mut chronyd) = ChronydClient::start(&sources, &[]) else { return bench::skip(NO_CHRONYD) };
        server
            .wait_until("silence, counted", TIMEOUT, |server| count(server, "unauthenticated") >= before + 4);
        assert!(!chronyd.tracking().expect("it answers").synchronised, "{number}");
    }
    assert_eq!((count(&server, "answered"), count(&server, "keyed")), (0, 0));
}

/// The generator of `cargo xtask bench nts methods`: it judges each reply, so no wrong one is counted.
#[test]
fn the_load_generator_takes_the_replies_to_its_own_key_only() {
    let port = free_port();
    let configuration = format!("{}{ALLOWS_MD5}", server_configuration(port));
    let server = Setup::new("server", &configuration).with_keys(KEYS).start();
    let load = |key: &str| {
        let words = [format!("127.0.0.1:{port}"), "seconds=0.2".into(), "outstanding=2".into(), key.into()];
        let (load, _) = bench::load::parse(&words).expect("known words");
        bench::load::run(&load).expect("it needs no exchange")
    };
    for line in KEYS.lines() {
        let key = format!("key={}", line.split_whitespace().collect::<Vec<_>>().join(":"));
        let before = count(&server, "keyed");
        let tally = load(&key);
        assert!(tally.good > 0 && tally.wrong.is_empty(), "{key}: {tally:?}");
        server.wait_until("replies with a MAC", TIMEOUT, |server| count(server, "keyed") > before);
    }
    let tally = load("key=12:SHA1:another");
    assert!(tally.good == 0 && tally.sent > 0, "{tally:?}");
}

#[test]
fn ntpd_of_ntpsec_is_a_good_source_with_a_key() {
    if !bench::is_root() {
        return bench::skip("entering ntpd's network namespace needs root");
    }
    // ntpd takes more than 20 characters for hexadecimal digits.
    let keys = "10 AES-128 2B7E151628AED2A6ABF7158809CF4F3C\n";
    let Some(ntpd) = FencedNtpd::start_with_keys(keys) else { return bench::skip(NO_NTPD) };
    let entrance = ntpd.entrance();
    let entrance: Vec<&str> = entrance.iter().map(String::as_str).collect();
    let client = Setup::new("keyed", &format!("{}key = 10\n", source("127.0.0.1")))
        .with_keys(KEYS)
        .with_virtual_clock(-900_000_000, 30.0)
        .with_wrapper(&entrance)
        .start();
    let clock = client.setup().virtual_clock();
    client.wait_until("right to 1 ms", TIMEOUT, |client| {
        client.is_synchronised() && clock.error_ns().abs() < 1_000_000
    });
    assert_eq!(client.sources()[0]["key"]["number"], 10);
}

#[test]
fn a_file_of_keys_that_others_may_read_ends_the_start_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new("exposed", &server_configuration(free_port())).with_keys(KEYS);
    let file = setup.place().join("truechimer.keys");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let exit = setup.run_to_end();
    assert_eq!(exit.code, Some(78), "{}", exit.log);
    assert!(exit.log.contains("chmod 0640"), "{}", exit.log);
    assert!(!exit.log.contains("secretkey"), "{}", exit.log);
}
