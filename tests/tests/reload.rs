//! A changed configuration is taken up while everything runs: sources come and go, and the clock stays synchronised.

use bench::client::query;
use bench::daemon::{Daemon, Setup, source};
use bench::programs::free_port;
use bench::seen::{all_answer, names, pids, server};
use std::net::SocketAddr;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

fn reload(daemon: &Daemon, text: &str) -> String {
    daemon.setup().configure(text);
    let output = daemon.chimerctl(&["reload"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn sources_of_a_changed_file_come_and_go_and_those_that_stay_keep_what_was_measured() {
    let (_server, places) = server(4);
    let of = |wanted: &[usize]| wanted.iter().map(|n| source(&places[*n])).collect::<String>();
    let client = Setup::new("sources", &of(&[0, 1, 2])).with_virtual_clock(-2_000_000_000, 30.0).start();
    client.wait_until_synchronised(TIMEOUT);
    client.wait_until("all of them measured", TIMEOUT, all_answer);
    let (began, stays) = (pids(&client), client.sources()[1]["sent"].as_u64());
    let said = reload(&client, &(of(&[1, 2, 3]) + "[clock]\nminimum-sources = 2\n"));
    let expected =
        format!("sources added: {}; sources removed: {}; [clock]: minimum-sources\n", places[3], places[0]);
    assert!(said.ends_with(&expected), "{said}");
    assert!(client.is_synchronised(), "{:#}", client.status());
    assert_eq!(names(&client), [&places[1], &places[2], &places[3]].map(String::clone));
    assert!(client.sources()[0]["sent"].as_u64() >= stays, "it was not begun anew");
    client.wait_until("the new one answers", TIMEOUT, all_answer);
    assert!(client.is_synchronised() && pids(&client) == began);
    // All of them at once.
    let said = reload(&client, &of(&[0]));
    assert!(said.contains("sources added: ") && said.contains("sources removed: "), "{said}");
    client.wait_until("that one alone", TIMEOUT, |client| {
        client.is_synchronised() && all_answer(client) && names(client) == [places[0].clone()]
    });
    let error = client.setup().virtual_clock().error_ns();
    assert!(error.abs() < 1_000_000 && pids(&client) == began, "{error} ns");
    // A name, where nobody was started to look names up.
    let said = reload(&client, &(of(&[0]) + &source("ntp.invalid")));
    assert!(
        said.contains("nothing new; not in force before a restart: sources: ntp.invalid (the process"),
        "{said}"
    );
    // A faulty file changes nothing.
    client.setup().configure("[[source]]\naddress = 5\n");
    assert!(!client.chimerctl(&["reload"]).status.success());
    assert_eq!(names(&client), [places[0].clone()]);
}

#[test]
fn a_host_serves_its_own_time_at_another_stratum_and_no_longer_without_a_restart() {
    let (_server, places) = server(1);
    let listen: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().expect("an address");
    let silent = source("127.0.0.9:9");
    let of = |source: &str, stratum: &str| {
        format!("{source}[server]\nlisten = [\"{listen}\"]\nallow = [\"127.0.0.0/8\"]\n{stratum}")
    };
    let daemon = Setup::new("local", &of(&silent, "local-stratum = 5\n")).with_virtual_clock(0, 0.0).start();
    let says = |stratum: u8| {
        daemon.wait_until("another stratum", TIMEOUT, |_| {
            query(listen, Duration::from_secs(1)).is_some_and(|answer| answer.header.stratum == stratum)
        });
    };
    says(5);
    let began = pids(&daemon);
    let said = reload(&daemon, &of(&silent, "local-stratum = 9\n"));
    assert!(said.contains("stratum of the server") && !said.contains("restart"), "{said}");
    says(9);
    let said = reload(&daemon, &of(&silent, ""));
    assert!(said.contains("stratum of the server") && !said.contains("restart"), "{said}");
    // 16 on the wire is 0: the time is of no use.
    says(0);
    let said = reload(&daemon, &of(&source(&places[0]), "local-stratum = 7\n"));
    assert!(said.contains("stratum of the server"), "{said}");
    daemon.wait_until("it follows its source", TIMEOUT, Daemon::is_synchronised);
    assert!(pids(&daemon) == began);
}

#[test]
fn a_source_is_added_and_removed_by_hand_and_the_next_reload_has_the_last_word() {
    let (_server, places) = server(3);
    let file = source(&places[0]);
    let client = Setup::new("by-hand", &file).with_virtual_clock(80_000_000, 0.0).start();
    client.wait_until_synchronised(TIMEOUT);
    let says = |words: &[&str]| {
        let output = client.chimerctl(words);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    assert_eq!(
        says(&["add", &places[1], "min-poll=4", "prefer=true"]),
        (true, format!("added {}\n", places[1]))
    );
    client.wait_until("it is used", TIMEOUT, |client| {
        client.sources().len() == 2
            && matches!(client.sources()[1]["state"].as_str(), Some("selected" | "combined"))
    });
    for (words, expected) in [
        (&["add", places[1].as_str()][..], "is asked already"),
        (&["add", "ntp.invalid"], "the process that looks up names and exchanges keys is not running"),
        (&["add", "192.0.2.1", "pool=maybe"], "pool"),
        (&["add", "192.0.2.1", "no-such-key=1"], "no-such-key"),
        (&["add", "192.0.2.1\"\n[server]\nlisten=[\"0.0.0.0:1\"]\n#"], "address"),
        (&["add", "192.0.2.1", "pool"], "expected KEY=VALUE"),
        (&["remove", "192.0.2.77"], "no source has this name; the sources: "),
    ] {
        let (is_done, said) = says(words);
        assert!(!is_done && said.contains(expected), "{words:?}: {said}");
        assert_eq!(client.sources().len(), 2, "{words:?}");
    }
    assert_eq!(says(&["remove", &places[0]]), (true, format!("removed {}\n", places[0])));
    assert_eq!(names(&client), [places[1].clone()]);
    client.wait_until("by the other", TIMEOUT, Daemon::is_synchronised);
    let said = reload(&client, &file);
    assert!(
        said.contains(&format!("sources added: {}; sources removed: {}", places[0], places[1])),
        "{said}"
    );
    assert_eq!(names(&client), [places[0].clone()]);
    let log = client.log();
    assert!(log.contains("source added by hand") && log.contains("source removed by hand"), "{log}");
}

#[test]
fn a_signal_does_not_bring_back_a_file_that_another_one_has_replaced() {
    let (_server, places) = server(2);
    let client = Setup::new("replaced", &source(&places[0])).with_virtual_clock(0, 0.0).start();
    client.wait_until_synchronised(TIMEOUT);
    let place = client.setup().place();
    std::fs::write(place.join("new"), source(&places[1])).expect("ours");
    std::fs::rename(place.join("new"), place.join("truechimer.toml")).expect("ours");
    assert!(client.chimerctl(&["reload"]).status.success());
    assert_eq!(names(&client), [places[1].clone()]);
    client.signal(client.pid(), nix::sys::signal::Signal::SIGHUP);
    client.wait_until("told what to do instead", TIMEOUT, |client| {
        client.log().contains(
            "has taken the place of the one that was opened at the start; chimerctl reload reads that one",
        )
    });
    assert_eq!(names(&client), [places[1].clone()]);
}

/// Resident memory of the engine, KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.process("engine").pid));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line of the kernel's");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_thousand_changes_disturb_neither_clock_nor_server_and_cost_no_memory() {
    let (_server, places) = server(8);
    let port = free_port();
    let serves = format!("[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\n");
    // The first source stays.
    let text = |seed: usize| {
        let others = (1..8).filter(|n| (seed >> n) & 1 == 1).map(|n| {
            let prefer = if (seed >> 9) & 1 == 1 { "prefer = true\n" } else { "" };
            source(&places[n]) + prefer
        });
        let clock = format!("[clock]\nmax-slew-ppm = {}\n", 100 + seed % 100);
        let rate = format!("address-rate = {}\n", 1 + seed % 7);
        source(&places[0]) + &others.collect::<String>() + &clock + &serves + &rate
    };
    let client = Setup::new("thousand", &text(0)).with_virtual_clock(500_000_000, -20.0).start();
    client.wait_until_synchronised(TIMEOUT);
    let began = pids(&client);
    let address = format!("127.0.0.1:{port}").parse().expect("an address");
    let (mut seed, mut after_a_hundred) = (1, 0);
    for round in 0..1_000 {
        seed = (seed * 75 + 74) % 65_537;
        reload(&client, &text(seed));
        assert!(client.is_synchronised(), "after {round} changes: {:#}", client.status());
        if round % 25 == 0 {
            // A wait of the rate limit is none of the server's.
            client.wait_until("it serves", TIMEOUT, |_| bench::client::query(address, TIMEOUT).is_some());
            let error = client.setup().virtual_clock().error_ns();
            assert!(error.abs() < 5_000_000, "{error} ns after {round} changes");
        }
        if round == 99 {
            after_a_hundred = resident(&client);
        }
    }
    let grown = resident(&client).saturating_sub(after_a_hundred);
    assert!(grown < 1024, "{grown} KiB more after nine hundred further changes");
    assert_eq!(pids(&client), began);
}
