//! The processes together, on the loopback interface and a virtual clock: a wrong clock is corrected, and
//! the reports about it are true.

use bench::clock::ppm;
use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::programs::{free_port, has_ipv6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(20);

/// A daemon that serves the host's own time on these loopback addresses, and the sources for a client.
fn server(addresses: &[&str]) -> (Daemon, String) {
    let port = free_port();
    let places: Vec<_> = addresses.iter().map(|address| format!("{address}:{port}")).collect();
    let listen = places.iter().map(|place| format!("\"{place}\"")).collect::<Vec<_>>().join(", ");
    let configuration =
        format!("[server]\nlisten = [{listen}]\nallow = [\"127.0.0.0/8\", \"::1/128\"]\nlocal-stratum = 3\n");
    (Setup::new("server", &configuration).start(), places.iter().map(source).collect())
}

/// Waits until the daemon reports that it is synchronised and its clock is right to a millisecond.
fn wait_until_right(daemon: &Daemon) {
    let clock = daemon.setup().virtual_clock();
    daemon.wait_until("right to 1 ms", TIMEOUT, |daemon| {
        daemon.is_synchronised() && clock.error_ns().abs() < 1_000_000
    });
}

#[test]
fn four_sources_set_a_cold_clock_right_and_keep_it_so() {
    let (_server, sources) = server(&["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let client = Setup::new("cold", &sources).with_virtual_clock(-3_700_000_000, 40.0).start();
    wait_until_right(&client);
    let clock = client.setup().virtual_clock();
    let took = client.started().elapsed();
    // Never worse again, at any instant of six seconds.
    let (mut worst, start) = (0, Instant::now());
    while start.elapsed() < Duration::from_secs(6) {
        worst = worst.max(clock.error_ns().abs());
        assert!(worst < 1_000_000, "{worst} ns, {:.1} s after it was right", start.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_millis(20));
    }
    println!(
        "cold start: right to 1 ms {:.2} s after the start, then never worse than {worst} ns",
        took.as_secs_f64()
    );
    let status = client.status();
    assert_eq!(status["state"], "synchronised", "{status:#}");
    assert_eq!(status["stratum"], 4, "{status:#}");
    assert_eq!(status["clock"], "virtual", "{status:#}");
}

#[test]
fn a_clock_whose_oscillator_is_farther_off_than_the_kernels_frequency_reaches_is_set_right() {
    let (_server, sources) = server(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let off = [700.0, -900.0];
    let clients = off.map(|ppm| Setup::new("far", &sources).with_virtual_clock(80_000_000, ppm).start());
    for (client, off) in clients.iter().zip(off) {
        wait_until_right(client);
        let clock = client.setup().virtual_clock();
        client.wait_until("at its frequency", TIMEOUT, |_| (ppm(clock.page().frequency) + off).abs() < 20.0);
    }
    // No keeper takes its own clock's oscillator for another program.
    std::thread::sleep(Duration::from_secs(6));
    for client in clients {
        assert!(client.setup().virtual_clock().error_ns().abs() < 1_000_000 && client.is_synchronised());
        let log = client.setup().audit_log();
        assert!(!log.contains("event=foreign"), "{log}");
    }
}

#[test]
fn the_error_that_is_told_bounds_the_error_that_is() {
    let (_server, sources) = server(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let client = Setup::new("bounds", &sources).with_virtual_clock(150_000_000, -25.0).start();
    wait_until_right(&client);
    let clock = client.setup().virtual_clock();
    // At forty instants of four seconds, in which the bound grows and shrinks several times.
    for _ in 0..40 {
        let bound = client.status()["error_bound_s"].as_f64().expect("a number");
        let error = clock.error_ns().abs() as f64 * 1e-9;
        // The bench's own two readings are not simultaneous either: 50 µs.
        assert!(error < bound + 50e-6, "error {error} s, told bound {bound} s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn sources_over_ipv6_count_like_others() {
    if !has_ipv6() {
        return bench::skip("no ::1 on this machine");
    }
    let (_server, sources) = server(&["[::1]"]);
    let client = Setup::new("ipv6", &sources).with_virtual_clock(400_000_000, 10.0).start();
    wait_until_right(&client);
    assert!(client.sources()[0]["address"].as_str().is_some_and(|address| address.starts_with("[::1]:")));
}

#[test]
fn a_source_a_quarter_of_a_second_off_is_named_a_falseticker() {
    let honest: Vec<_> = (0..3).map(|_| Forger::honest(HERE, 0)).collect();
    let liar = Forger::honest(HERE, 250_000_000);
    let sources: String = honest.iter().chain([&liar]).map(|forger| source(forger.address())).collect();
    let client = Setup::new("liar", &sources).with_virtual_clock(-80_000_000, 0.0).start();
    client.wait_until("aware of the liar", TIMEOUT, |client| {
        client.is_synchronised() && client.sources()[3]["state"] == "falseticker"
    });
    let error = client.setup().virtual_clock().error_ns();
    assert!(error.abs() < 20_000_000, "the liar moved the clock by {error} ns");
    let sources = client.sources();
    assert!(!sources[3]["reason"].as_str().unwrap_or_default().is_empty(), "{sources:#?}");
    for honest in &sources[..3] {
        assert_ne!(honest["state"], "falseticker", "{sources:#?}");
    }
}

#[test]
fn a_source_that_falls_silent_is_missed_and_used_again_when_it_returns() {
    let forger = Forger::honest(HERE, 0);
    let client = Setup::new("returns", &source(forger.address())).with_virtual_clock(30_000_000, 5.0).start();
    client.wait_until_synchronised(TIMEOUT);
    forger.change(|_| Vec::new());
    // Eight polls of at most four seconds each.
    client.wait_until("unreachable", Duration::from_secs(60), |client| {
        client.sources()[0]["state"] == "unreachable" && client.sources()[0]["reach"] == 0
    });
    client.wait_until("running on its own", TIMEOUT, |client| client.status()["state"] != "synchronised");
    forger.change(|request| vec![request.with(|_| ())]);
    client.wait_until("used again", Duration::from_secs(30), |client| {
        client.is_synchronised() && client.sources()[0]["state"] == "selected"
    });
}

#[test]
fn each_process_is_confined_as_the_kernel_sees_it() {
    let (server, sources) = server(&["127.0.0.1"]);
    let client = Setup::new("confined", &sources).with_virtual_clock(0, 0.0).start();
    client.wait_until_synchronised(TIMEOUT);
    for (daemon, roles) in
        [(&client, vec!["privileged", "engine", "client"]), (&server, vec!["privileged", "engine", "server"])]
    {
        for role in roles {
            let process = daemon.process(role);
            assert_eq!(process.seccomp, 2, "{process:?}");
            assert_eq!(process.no_new_privileges, 1, "{process:?}");
            // A virtual clock needs no capability; for the kernel's see kernel_clock.rs.
            assert_eq!(process.effective | process.permitted, 0, "{process:?}");
        }
    }
    if !bench::is_root() {
        return;
    }
    let mut users: Vec<_> =
        client.processes().iter().chain(&server.processes()).map(|process| process.uid).collect();
    let all = users.len();
    users.sort_unstable();
    users.dedup();
    assert_eq!(users.len(), all, "two processes share a user");
    assert!(!users.contains(&0), "a process is still root");
}

/// The standard deviation of the frequency as the daemon states it, ppm.
fn certainty(client: &Daemon) -> f64 {
    client.status()["frequency_error_ppm"].as_f64().expect("a number")
}

#[test]
fn a_restart_is_synchronised_again_and_remembers_the_frequency() {
    let (_server, sources) = server(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let setup = Setup::new("restart", &sources).with_virtual_clock(20_000_000, -40.0);
    let clock = setup.virtual_clock();
    let client = setup.start();
    wait_until_right(&client);
    // The frequency alone is not enough: on a busy machine it passes the right one while it is still uncertain.
    client.wait_until("certain of the frequency", Duration::from_secs(300), |client| {
        certainty(client) < 1.0 && (ppm(clock.page().frequency) - 40.0).abs() < 4.0
    });
    // The state is saved at intervals, and at the end.
    assert_eq!(client.stop().code, Some(0));
    let left = ppm(clock.page().frequency);
    assert!((left - 40.0).abs() < 6.0, "the clock was left at {left} ppm");

    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    let took = client.started().elapsed();
    // What a start makes of it is judged in virtual time (`behaviour.rs`): on a busy machine three measurements of a second
    // may well deny it.
    let log = client.log();
    let rest = log.split("frequency of the last run ").nth(1).unwrap_or_else(|| panic!("forgotten: {log}"));
    let mut words = rest.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    let [found, error] = [words.next(), words.next()].map(|number| number.expect("a number"));
    assert!((found - 40.0).abs() < 6.0 && error < 2.0, "{found} ± {error} ppm");
    println!("warm start: synchronised after {:.2} s", took.as_secs_f64());
    wait_until_right(&client);
}

#[test]
fn chimerctl_waits_for_the_clock_and_says_when_it_waited_in_vain() {
    let forger = Forger::start(HERE, 0, |_| Vec::new());
    let client = Setup::new("wait", &source(forger.address())).with_virtual_clock(1_000_000, 0.0).start();
    let vain = client.chimerctl(&["wait-sync", "--timeout", "1"]);
    assert_eq!(vain.status.code(), Some(1), "{vain:?}");
    forger.change(|request| vec![request.with(|_| ())]);
    let waited = client.chimerctl(&["wait-sync", "--timeout", "30"]);
    assert!(waited.status.success(), "{waited:?}");
    assert!(client.is_synchronised());
}

#[test]
fn chimerctl_shows_people_what_it_gives_programs() {
    let (_server, sources) = server(&["127.0.0.1", "127.0.0.2"]);
    let client = Setup::new("shows", &sources).with_virtual_clock(5_000_000, 0.0).start();
    client.wait_until_synchronised(TIMEOUT);
    for word in ["status", "sources"] {
        let plain = client.chimerctl(&[word]);
        let text = String::from_utf8(plain.stdout).expect("plain text");
        assert!(plain.status.success() && text.lines().count() >= 2, "{text}");
        assert!(!text.contains('\u{1b}'), "escapes where no terminal is: {text}");
        let json = client.chimerctl(&[word, "--json"]);
        serde_json::from_slice::<serde_json::Value>(&json.stdout).expect("one JSON document");
    }
}

#[test]
fn a140_the_audit_log_verifies_and_an_edited_one_does_not() {
    let (_server, sources) = server(&["127.0.0.1", "127.0.0.2"]);
    let setup = Setup::new("audit", &sources).with_virtual_clock(-2_000_000_000, 0.0);
    let client = setup.start();
    client.wait_until_synchronised(TIMEOUT);
    let log = setup.place().join("state/audit.log");
    let verify =
        |client: &Daemon| client.chimerctl(&["audit", "--verify", "--file", &log.display().to_string()]);
    let whole = verify(&client);
    assert!(whole.status.success(), "{whole:?}");
    assert_eq!(client.stop().code, Some(0));

    let octets = std::fs::read(&log).expect("it is there");
    let text = String::from_utf8_lossy(&octets).into_owned();
    let step = text.find("asked=step").unwrap_or_else(|| panic!("the step of 2 s is in the log: {text}"));
    let mut edited = octets;
    // Another digit of the recorded step.
    let digit =
        (step..edited.len()).find(|at| (b'1'..=b'8').contains(&edited[*at])).expect("a step has digits");
    edited[digit] += 1;
    std::fs::write(&log, edited).expect("root or owner may");
    let client = setup.launch();
    let cut = verify(&client);
    assert!(!cut.status.success(), "an edited log verified: {cut:?}");
}

#[test]
fn both_families_are_served_alike() {
    if !has_ipv6() {
        return bench::skip("no ::1 on this machine");
    }
    let (server, _) = server(&["127.0.0.1", "[::1]"]);
    let text = std::fs::read_to_string(server.setup().place().join("truechimer.toml")).expect("written");
    let port: u16 =
        text.split(':').nth(1).and_then(|rest| rest.split('"').next()?.parse().ok()).expect("a port");
    let of = |address: IpAddr| {
        let ask = || {
            bench::client::query((address, port).into(), Duration::from_millis(300))
                .filter(|answer| answer.header.leap == 0)
        };
        bench::programs::wait_for(Duration::from_secs(5), ask).expect("an answer")
    };
    let (four, six) = (of(HERE), of(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    assert_eq!((four.header.stratum, four.header.leap), (six.header.stratum, six.header.leap));
    // On a busy machine either process may be interrupted between two stamps: then the delay shows it.
    let is_right = |answer: &bench::client::Answer| answer.offset_ns.abs() < 2_000_000 + answer.delay_ns / 2;
    assert!(is_right(&four) && is_right(&six), "{four:?} {six:?}");
}
