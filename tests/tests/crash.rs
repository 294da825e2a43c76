//! A kill at any moment, and the files that it leaves: the next start succeeds, and has no larger budget.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::programs::free_port;
use nix::sys::signal::Signal;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// Octets of the governor's record.
const LENGTH: usize = ipc::governor_record::LENGTH as usize;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Pseudo-random numbers, the same in every run.
struct Seeded(u64);

impl Seeded {
    /// From 0 to 1, more often small than large: a start takes only a fraction of a second.
    fn moment(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let even = (self.0 >> 11) as f64 / (1u64 << 53) as f64;
        even * even
    }
}

fn kill_in_the_first_second(setup: &Setup, moment: f64) {
    let mut daemon = setup.launch();
    // What the daemon does at this moment is random: it must survive a kill at any of them.
    std::thread::sleep(Duration::from_secs_f64(moment));
    daemon.signal(daemon.pid(), Signal::SIGKILL);
    daemon.wait_for_end(TIMEOUT);
}

#[test]
fn killed_at_any_moment_of_its_first_second_it_starts_again() {
    let forger = Forger::honest(HERE, 0);
    // One source answers, so orders are given; the other never does, so none is given.
    let addresses = [forger.address().to_string(), format!("127.0.0.1:{}", free_port())];
    std::thread::scope(|scope| {
        for (address, seed) in addresses.iter().zip([11, 12]) {
            scope.spawn(move || {
                let mut seeded = Seeded(seed);
                for number in 0..32 {
                    let setup = Setup::new("killed", &source(address)).with_virtual_clock(1_000_000, 0.0);
                    for _ in 0..1 + number % 2 {
                        kill_in_the_first_second(&setup, seeded.moment());
                    }
                    // Panics if it does not start, with its log.
                    let daemon = setup.start();
                    let log = daemon.log();
                    assert!(!log.contains("record is"), "{address}, number {number}: {log}");
                    assert_eq!(daemon.stop().code, Some(0), "{address}, number {number}");
                }
            });
        }
    });
}

/// A daemon whose clock was corrected once.
fn used(word: &str, forger: &Forger) -> Setup {
    let setup = Setup::new(word, &source(forger.address())).with_virtual_clock(1_000_000, 0.0);
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    assert_eq!(daemon.stop().code, Some(0));
    setup
}

/// Moves the clock so far that only a step corrects it in time.
fn displace(setup: &Setup) {
    let far = ipc::units::Offset::saturating(700_000_000);
    setup.virtual_clock().meddle(|page| page.wall = page.wall.checked_add(far).expect("in range"));
}

/// The clock's error is known, and no step removes it.
fn has_no_step(setup: &Setup, daemon: &Daemon) {
    daemon.wait_until("aware of its error", TIMEOUT, |daemon| {
        daemon.status()["error_bound_s"].as_f64().is_some_and(|bound| (0.6..1.0).contains(&bound))
    });
    let audit = setup.audit_log();
    let last = audit.rfind("event=start ").map(|at| &audit[at..]).expect("it has started");
    assert!(last.contains("budget_ns=0 start_steps=0 "), "{audit}");
    assert!(!audit.contains("event=applied asked=step"), "{audit}");
    assert!(setup.virtual_clock().error_ns().abs() > 600_000_000, "{audit}");
}

#[test]
fn a130_a_lost_or_damaged_record_is_not_taken_for_a_first_start() {
    let forger = Forger::honest(HERE, 0);
    type Loss = (&'static str, fn(&std::path::Path));
    let losses: [Loss; 4] = [
        ("lost", |record| fs::remove_file(record).expect("ours")),
        ("lost", |record| fs::write(record, "").expect("ours")),
        ("lost", |record| fs::write(record, [0; LENGTH]).expect("ours")),
        ("damaged", |record| fs::write(record, [7; LENGTH]).expect("ours")),
    ];
    for (word, lose) in losses {
        let setup = used("lost", &forger);
        lose(&setup.place().join("state/governor"));
        displace(&setup);
        let daemon = setup.start();
        assert!(daemon.log().contains("budgets start empty"), "{}", daemon.log());
        assert!(setup.audit_log().contains(&format!("record={word} ")), "{}", setup.audit_log());
        has_no_step(&setup, &daemon);
        assert_eq!(daemon.stop().code, Some(0));
        // Nor does another loss refund anything.
        fs::remove_file(setup.place().join("state/governor")).expect("ours");
        let daemon = setup.start();
        has_no_step(&setup, &daemon);
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn a_new_record_by_an_operator_is_new() {
    let forger = Forger::honest(HERE, 0);
    let setup = used("forgotten", &forger).with_argument("--new-record");
    let daemon = setup.start();
    assert!(!daemon.log().contains("record is"), "{}", daemon.log());
    assert!(setup.audit_log().contains("record=new-by-operator "), "{}", setup.audit_log());
}

#[test]
fn a_record_that_is_lost_before_anything_was_granted_is_a_first_start_again() {
    let unanswered = format!("127.0.0.1:{}", free_port());
    let setup = Setup::new("idle", &source(unanswered)).with_virtual_clock(0, 0.0);
    assert_eq!(setup.start().stop().code, Some(0));
    fs::remove_file(setup.place().join("state/governor")).expect("ours");
    let daemon = setup.start();
    assert!(!daemon.log().contains("record is"), "{}", daemon.log());
    assert_eq!(setup.audit_log().matches("record=first-start ").count(), 2, "{}", setup.audit_log());
}

#[test]
fn files_that_were_cut_short_or_overwritten_heal() {
    let forger = Forger::honest(HERE, 0);
    for name in ["governor", "audit.log", "engine.state", "engine.keys", "engine.malfeasance"] {
        for octets in [&[][..], &[0; 700], &[0xff; 5000], b"sequence=18446744073709551615 event=x"] {
            let setup = used("torn", &forger);
            let file = setup.place().join("state").join(name);
            fs::write(&file, octets).expect("ours");
            fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("ours");
            for round in 0..2 {
                let daemon = setup.start();
                daemon.wait_until_synchronised(TIMEOUT);
                let log = daemon.log();
                let said =
                    log.lines().filter(|line| line.contains("ignored") || line.contains("audit.log does"));
                // Reported once; the next start finds it repaired.
                assert!(said.count() <= 1 - round, "{name}, round {round}: {log}");
                assert_eq!(daemon.stop().code, Some(0), "{name}, round {round}");
            }
        }
    }
}

#[test]
fn what_an_engine_left_beyond_the_bound_of_its_files_is_cut_off_at_the_next_start() {
    let forger = Forger::honest(HERE, 0);
    let setup = used("long", &forger);
    for name in ["engine.state", "engine.keys", "engine.malfeasance"] {
        let file =
            fs::File::options().write(true).open(setup.place().join("state").join(name)).expect("ours");
        file.set_len(64 << 20).expect("a sparse file takes no room");
    }
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    for name in ["engine.state", "engine.keys", "engine.malfeasance"] {
        let length = fs::metadata(setup.place().join("state").join(name)).expect("ours").len();
        assert!(Some(length) <= policies::Role::Engine.confinement().largest_file, "{name}: {length}");
    }
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_socket_that_a_killed_daemon_left_prevents_no_start() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("left", &source(forger.address())).with_virtual_clock(0, 0.0);
    let mut daemon = setup.start();
    daemon.signal(daemon.pid(), Signal::SIGKILL);
    daemon.wait_for_end(TIMEOUT);
    assert!(setup.place().join("run/control.sock").exists());
    setup.start();
}
