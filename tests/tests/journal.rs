//! What the real daemon writes to its log, to whom, and when it stops.

use bench::daemon::{Setup, source};
use bench::forger::Forger;
use bench::manager::Manager;
use bench::programs::{free_port, wait_for};
use nix::sys::signal::Signal;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(60);

/// All roles that a plain daemon has.
fn configuration(forger: &Forger) -> String {
    format!(
        "{}[[source]]\naddress = \"time.invalid\"\n[server]\nlisten = [\"127.0.0.1:{}\"]\nallow = [\"127.0.0.0/8\"]\n",
        source(forger.address()),
        free_port()
    )
}

#[test]
fn an_orderly_stop_leaves_no_process_to_be_killed_and_says_one_line() {
    let forger = Forger::honest(HERE, 0);
    for round in 0..5 {
        let setup = Setup::new("stop", &configuration(&forger)).with_virtual_clock(0, 0.0);
        let daemon = setup.start();
        daemon.wait_until_synchronised(PATIENCE);
        // Else its line may come beside that of the stop.
        daemon.wait_until("a look-up that failed", PATIENCE, |daemon| {
            daemon.log().contains("source time.invalid: its name is not resolved: ")
        });
        let processes = daemon.processes();
        assert!(processes.len() >= 5, "{processes:?}");
        let before = daemon.log();
        let exit = daemon.stop();
        assert_eq!(exit.code, Some(0), "{exit:?}");
        // Where truechimerd is gone, none of the others is left for a service manager to find: each one was a zombie
        // of it, or is gone altogether.
        for process in &processes {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
            let state = state.rsplit(") ").next().and_then(|rest| rest.chars().next());
            assert!(matches!(state, None | Some('Z')), "round {round}: {process:?} is {state:?}");
        }
        let said: Vec<&str> = exit.log.strip_prefix(&before).expect("the log goes on").lines().collect();
        let said: Vec<_> = said.into_iter().filter(|line| !line.contains(" s ago: ")).collect();
        assert_eq!(said, ["truechimer-engine: truechimerd has ended; this process follows"], "{}", exit.log);
    }
}

#[test]
fn a_process_that_does_not_end_within_the_grace_is_named() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("grace", &configuration(&forger)).with_virtual_clock(0, 0.0);
    let daemon = setup.start();
    let stopped = daemon.process("client").pid;
    daemon.signal(stopped, Signal::SIGSTOP);
    let exit = daemon.stop();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let line = "the network process (client role) did not end within 3000 ms and is killed with this process";
    assert!(exit.log.contains(line), "{}", exit.log);
    assert!(!exit.log.contains("server role) did not end"), "{}", exit.log);
}

#[test]
fn a_severity_stands_before_a_line_only_where_journal_stream_names_standard_error() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("stream", &source(forger.address())).with_virtual_clock(2_000_000_000, 0.0);
    // The file is kept when it is opened again for the next start, so its inode is known before.
    let file = setup.place().join("stderr");
    std::fs::write(&file, "").expect("ours");
    let metadata = std::fs::metadata(&file).expect("it was just written");
    let own = format!("{}:{}", metadata.dev(), metadata.ino());
    for (stream, is_journal) in [("9:4711".to_owned(), false), (own, true)] {
        let daemon = setup.clone().with_environment("JOURNAL_STREAM", &stream).start();
        daemon.wait_until_synchronised(PATIENCE);
        let log = daemon.stop().log;
        assert!(log.contains("the clock follows its sources"), "{log}");
        // Of both processes that decide it.
        let all = log.lines().filter(|line| line.contains("stepped")).collect::<Vec<_>>();
        assert!(is_journal || all.len() >= 2, "{log}");
        assert!(log.lines().all(|line| line.starts_with('<') == is_journal), "{stream}: {log}");
    }
}

#[test]
fn a_name_that_is_not_resolved_is_told_with_its_cause_to_everybody_who_asks() {
    let setup = Setup::new("name", "[[source]]\naddress = \"time.invalid\"\n");
    let setup = setup.with_virtual_clock(0, 0.0);
    let manager = Manager::listen(setup.place());
    let daemon = manager.watch(setup).start();
    let says = "source time.invalid: its name is not resolved: ";
    daemon.wait_until("a look-up that failed", PATIENCE, |daemon| daemon.log().contains(says));
    let cause = daemon.log();
    let cause =
        cause.split(says).nth(1).and_then(|rest| rest.split(';').next()).expect("it was found").to_owned();
    let heard = wait_for(PATIENCE, || {
        let heard = manager.heard();
        heard
            .contains(&format!("waiting for the resolver: the name of 1 source is not resolved ({cause})"))
            .then_some(())
    });
    assert!(heard.is_some(), "{cause}: {}", manager.heard());
    assert!(!manager.heard().contains("no reply yet"), "nobody was asked: {}", manager.heard());
    for verb in ["status", "sources"] {
        let page = daemon.chimerctl(&[verb]);
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        assert!(page.contains(&cause) && page.contains("not resolved"), "{page}");
    }
}
