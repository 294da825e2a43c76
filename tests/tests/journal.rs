//! The real daemon's log: its contents, its destination, and its end.

use bench::daemon::{Setup, source};
use bench::forger::Forger;
use bench::manager::Manager;
use bench::netns::Network;
use bench::own_files;
use bench::programs::{free_port, wait_for};
use nix::sys::signal::Signal;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(60);

/// All roles of a plain daemon.
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
        daemon.wait_until_synchronised(TIMEOUT);
        // Otherwise its line may come next to that of the stop.
        daemon.wait_until("a look-up that failed", TIMEOUT, |daemon| {
            daemon.log().contains("source time.invalid: its name is not resolved: ")
        });
        let processes = daemon.processes();
        assert!(processes.len() >= 5, "{processes:?}");
        let before = daemon.log();
        let exit = daemon.stop();
        assert_eq!(exit.code, Some(0), "{exit:?}");
        // When truechimerd is gone, no process is left for a service manager to find: each one is a zombie
        // of it, or is gone.
        for process in &processes {
            let state = bench::process::state_of(process.pid);
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
    let line = "the client did not end within 3000 ms";
    assert!(exit.log.contains(line), "{}", exit.log);
    assert!(!exit.log.contains("the server did not end"), "{}", exit.log);
}

#[test]
fn a_severity_stands_before_a_line_only_where_journal_stream_names_standard_error() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("stream", &source(forger.address())).with_virtual_clock(2_000_000_000, 0.0);
    // The file is kept when it is opened again for the next start, so its inode is known beforehand.
    let file = setup.place().join("stderr");
    std::fs::write(&file, "").expect("ours");
    let metadata = std::fs::metadata(&file).expect("it was just written");
    let own = format!("{}:{}", metadata.dev(), metadata.ino());
    for (stream, is_journal) in [("9:4711".to_owned(), false), (own, true)] {
        let daemon = setup.clone().with_environment("JOURNAL_STREAM", &stream).start();
        daemon.wait_until_synchronised(TIMEOUT);
        let log = daemon.stop().log;
        assert!(log.contains("the clock follows its sources"), "{log}");
        // Of both processes that are involved.
        let all = log.lines().filter(|line| line.contains("stepped")).collect::<Vec<_>>();
        assert!(is_journal || all.len() >= 2, "{log}");
        assert!(log.lines().all(|line| line.starts_with('<') == is_journal), "{stream}: {log}");
    }
}

#[test]
fn a_name_that_is_not_resolved_is_told_with_its_cause_in_the_log_and_the_status() {
    let setup = Setup::new("name", "[[source]]\naddress = \"time.invalid\"\n");
    let setup = setup.with_virtual_clock(0, 0.0);
    let manager = Manager::listen(setup.place());
    let daemon = manager.watch(setup).start();
    let says = "source time.invalid: its name is not resolved: ";
    daemon.wait_until("a look-up that failed", TIMEOUT, |daemon| daemon.log().contains(says));
    let cause = daemon.log();
    let cause =
        cause.split(says).nth(1).and_then(|rest| rest.split(';').next()).expect("it was found").to_owned();
    let heard = wait_for(TIMEOUT, || {
        let heard = manager.heard();
        heard
            .contains(&format!("waiting for the resolver: the name of 1 source is not resolved ({cause})"))
            .then_some(())
    });
    assert!(!cause.contains("the process that looked it up failed"), "{}", daemon.log());
    assert!(heard.is_some(), "{cause}: {}", manager.heard());
    assert!(!manager.heard().contains("no reply yet"), "no query was sent: {}", manager.heard());
    for verb in ["status", "sources"] {
        let page = daemon.chimerctl(&[verb]);
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        assert!(page.contains(&cause) && page.contains("not resolved"), "{page}");
    }
}

/// The cause that the daemon reports for a name, with this file as /etc/resolv.conf, in a separate network.
fn cause_with(network: &Network, resolver_file: &str) -> String {
    let setup = Setup::new("resolver", "[[source]]\naddress = \"time.example\"\n");
    let file = setup.place().join("resolv.conf");
    own_files::write(&file, resolver_file);
    let mounts = format!("mount --bind '{}' /etc/resolv.conf", file.display());
    let daemon = setup.with_virtual_clock(0, 0.0).with_mounts(network, &mounts).start();
    let says = "source time.example: its name is not resolved: ";
    daemon.wait_until("a look-up that failed", TIMEOUT, |daemon| daemon.log().contains(says));
    let log = daemon.log();
    log.split(says).nth(1).and_then(|rest| rest.lines().next()).expect("it was found").to_owned()
}

#[test]
fn a_confined_look_up_tells_a_missing_name_server_from_one_that_fails() {
    let Some(network) = Network::new() else {
        return bench::skip("network namespaces need root and the program ip");
    };
    for without in ["", "# nameserver 127.0.0.1\nsearch example.org\n"] {
        let cause = cause_with(&network, without);
        assert!(cause.starts_with("no name server is configured (/etc/resolv.conf names none);"), "{cause}");
    }
    // Over UDP alone: a host that accepts no connection may still be a name server.
    let server = network.within(|| UdpSocket::bind("127.0.0.1:53")).expect("root may, in an empty network");
    server.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket can be told how long to wait");
    let has_ended = AtomicBool::new(false);
    let cause = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut octets = [0; 512];
            while !has_ended.load(Ordering::Relaxed) {
                let Ok((length, client)) = server.recv_from(&mut octets) else { continue };
                // The question with QR, RD and RA set, and the code of a server that fails (RFC 1035 section 4.1.1).
                octets[2..4].copy_from_slice(&[0x81, 0x82]);
                let _ = server.send_to(&octets[..length], client);
            }
        });
        let cause = std::panic::catch_unwind(|| cause_with(&network, "nameserver 127.0.0.1\n"));
        has_ended.store(true, Ordering::Relaxed);
        cause
    });
    let cause = cause.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(
        cause.starts_with("no name server answers, or it fails (also DNSSEC with a wrong clock);"),
        "{cause}"
    );
}
