//! Compromised processes among real ones: groups 4 and 5 of the attack catalogue.
//!
//! The double is the program `rogue`; the process that it attacks is the real one, in its full confinement,
//! on a virtual clock.

use bench::daemon::{Daemon, Exit, Setup, source};
use bench::nts::{NtsServer, counts};
use bench::programs::{folder, names, wait_for};
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A daemon in which `program` is the double, with this script.
fn setup(program: &str, script: &str, configuration: &str) -> Setup {
    let setup = Setup::new("rogue", configuration).with_virtual_clock(0, 0.0);
    let programs = setup.place().join("programs");
    fs::create_dir(&programs).unwrap();
    for name in names() {
        let real = if name == program { "rogue" } else { name };
        symlink(folder().join(real), programs.join(name)).unwrap();
    }
    fs::write(programs.join("script"), script).unwrap();
    let argument = programs.display().to_string();
    setup.with_argument("--programs").with_argument(&argument)
}

fn engine(script: &str) -> Setup {
    setup("truechimer-engine", script, "# the double does not read it\n")
}

fn client(script: &str) -> Setup {
    setup("truechimer-client", script, &source("127.0.0.1:9"))
}

/// Plays a script to its last line and returns the double's output.
fn play(setup: &Setup) -> (Daemon, String) {
    let mut daemon = setup.launch();
    let done = wait_for(TIMEOUT, || {
        let ended = daemon.has_ended();
        assert!(ended.is_none(), "{ended:?}");
        daemon.log().contains("rogue: done").then_some(())
    });
    assert!(done.is_some(), "{}", daemon.log());
    let log = daemon.log();
    (daemon, log)
}

/// The daemon must end with this code and message, and its clock must show the host's time.
fn must_end(setup: &Setup, code: i32, sentence: &str) -> Exit {
    let exit = setup.launch().wait_for_end(TIMEOUT);
    assert_eq!(exit.code, Some(code), "{}", exit.log);
    assert!(exit.log.contains(sentence), "{}", exit.log);
    clock_is_right(setup);
    exit
}

fn clock_is_right(setup: &Setup) {
    let error = setup.virtual_clock().error_ns();
    assert!(error.abs() < 1_000_000, "the clock is {error} ns off");
}

#[test]
fn a096_a_frame_that_is_none_from_the_engine_ends_the_daemon_with_81() {
    for frame in ["empty", "one", "short", "long", "huge", "version", "kind"] {
        must_end(&engine(&format!("frame-{frame}")), 81, "the engine is gone or broke its protocol");
    }
}

#[test]
fn a098_a_record_of_the_engine_out_of_sequence_ends_the_daemon_with_81() {
    for frame in ["sequence-back", "sequence-skip"] {
        must_end(&engine(&format!("frame-{frame}")), 81, "record");
    }
    // A message of the launch is not permitted on this link.
    must_end(&engine("hello-again"), 81, "broke the protocol");
}

#[test]
fn a096_a_frame_that_is_none_from_the_network_ends_the_daemon_with_82() {
    for frame in
        ["empty", "one", "short", "long", "huge", "version", "kind", "sequence-back", "sequence-skip"]
    {
        must_end(&client(&format!("frame-{frame}")), 82, "the client");
    }
}

#[test]
fn a099_a100_a101_records_that_break_the_order_of_a_query_end_the_daemon_with_82() {
    for script in [
        "hello-again",
        "unknown-id",
        "reply-before-sent",
        "sent-twice",
        "reply-twice",
        "other-source",
        "t1-early",
        "t4-late",
        "t4-before-t1",
    ] {
        let exit = client(script).launch().wait_for_end(TIMEOUT);
        assert_eq!(exit.code, Some(82), "{script}: {}", exit.log);
    }
}

#[test]
fn a103_a064_a_client_role_in_the_wrong_hands_forges_no_measurement_of_an_nts_source() {
    let server = NtsServer::new("forged", &["127.0.0.1"], "");
    let daemon = server.setup.start();
    let setup = setup("truechimer-client", "forge-protected", &server.source("127.0.0.1", ""));
    let (client, log) = play(&setup);
    // Counters come once a second.
    daemon.wait_until("asked itself, in vain", TIMEOUT, |daemon| {
        counts(daemon)["server"]["protected"].as_u64() >= Some(3)
    });
    assert!(!client.is_synchronised(), "a forgery was taken:\n{log}");
    let source = &client.sources()[0];
    assert_eq!(source["nts"]["state"], "ready", "{source:#}");
    assert_eq!(source["valid"], 0, "{source:#}");
    clock_is_right(&setup);
}

#[test]
fn a108_a_flood_of_records_ends_the_daemon_with_82() {
    must_end(&client("flood"), 82, "the client");
}

#[test]
fn a110_a_network_process_that_exits_or_aborts_ends_the_daemon_with_82() {
    must_end(&client("exit"), 82, "the client");
    must_end(&client("abort"), 82, "the client");
}

#[test]
fn the_log_names_the_call_that_the_filter_of_a_network_process_denied() {
    let exit = must_end(&client("denied-call"), 82, "the call execve (");
    assert!(exit.log.contains("the client (process "), "{}", exit.log);
}

#[test]
fn a106_a_network_process_that_never_answers_leaves_the_clock_alone() {
    let setup = client("silent");
    let daemon = setup.start();
    daemon.wait_until("noticed", TIMEOUT, |daemon| {
        daemon.sources().iter().all(|source| source["reach"] == 0 && source["sent"].as_u64() > Some(1))
    });
    clock_is_right(&setup);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a026_all_sources_two_days_off_are_refused_in_the_strict_profile_and_the_daemon_holds() {
    let configuration = format!("{}[governor]\nprofile = \"strict\"\n", source("127.0.0.1:9"));
    let setup = setup("truechimer-client", "lie-by-two-days", &configuration);
    let daemon = setup.start();
    daemon.wait_until("refused", TIMEOUT, |daemon| daemon.status()["refusals"].as_u64() > Some(0));
    clock_is_right(&setup);
    assert!(setup.audit_log().contains("code=StartForward"), "{}", setup.audit_log());
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a124_no_order_leads_to_an_implausible_time() {
    let setup = engine("far-steps");
    let (daemon, log) = play(&setup);
    for (name, code) in [
        ("1970", "Floor"),
        ("before the floor", "Floor"),
        ("2038", "Latest"),
        ("2116", "Latest"),
        ("the least number", "Floor"),
    ] {
        assert!(log.contains(&format!("rogue: {name}: refused {code}")), "{log}");
    }
    clock_is_right(&setup);
    // One line for each kind of refusal in a minute.
    assert_eq!(setup.audit_log().matches("event=refused asked=step").count(), 2);
    assert_eq!(setup.audit_log().matches("event=applied").count(), 0);
    drop(daemon);
}

#[test]
fn a135_a138_what_is_claimed_without_evidence_is_refused() {
    let setup = engine("false-evidence");
    let (_daemon, log) = play(&setup);
    for line in ["restore: refused Evidence", "resume: refused Evidence", "synchronised: refused Unproven"] {
        assert!(log.contains(line), "{log}");
    }
    clock_is_right(&setup);
}

#[test]
fn a132_old_orders_are_stale() {
    let setup = engine("stale");
    let (_daemon, log) = play(&setup);
    for line in [
        "five seconds old: refused Stale",
        "from the future: refused Stale",
        "earlier epoch: refused StaleEpoch",
    ] {
        assert!(log.contains(line), "{log}");
    }
}

#[test]
fn a129_a_flood_of_orders_is_answered_one_a_second_and_fills_no_log() {
    let setup = engine("flood");
    let (_daemon, log) = play(&setup);
    let line = log.lines().find(|line| line.contains("flood: applied=")).unwrap();
    let applied: u32 = line.split(['=', ' ']).nth(3).unwrap().parse().unwrap();
    assert!((1..=40).contains(&applied), "{line}");
    assert!(setup.audit_log().lines().count() <= 60, "{}", setup.audit_log().lines().count());
    clock_is_right(&setup);
}

#[test]
fn a130_restarts_do_not_refill_the_start_window() {
    let setup = engine("start-steps");
    let (daemon, log) = play(&setup);
    assert!(
        log.contains("start step 3: applied") && log.contains("start step 4: refused StartWindow"),
        "{log}"
    );
    drop(daemon);
    for _ in 0..3 {
        let (daemon, log) = play(&setup);
        assert!(log.contains("start step 1: refused StartWindow"), "{log}");
        drop(daemon);
    }
    let moved = setup.virtual_clock().error_ns();
    assert!((moved - 3_000_000_000).abs() < 5_000_000, "{moved}");
}

#[test]
fn a137_an_engine_that_exits_in_mid_slew_leaves_the_base_frequency_and_no_slew() {
    let setup = engine("slew-and-exit");
    let exit = setup.launch().wait_for_end(TIMEOUT);
    assert_eq!(exit.code, Some(81), "{}", exit.log);
    let page = setup.virtual_clock().page();
    assert_eq!((page.slew.nanos(), page.frequency.scaled()), (0, 30 * 65_536));
    assert!(setup.audit_log().contains("event=stop code=81 released=true"), "{}", setup.audit_log());
}

#[test]
fn an_engine_that_does_not_read_its_answers_ends_the_daemon_with_81() {
    let exit = engine("deaf").launch().wait_for_end(Duration::from_secs(40));
    assert_eq!(exit.code, Some(81), "{}", exit.log);
    assert!(exit.log.contains("does not read its answers"), "{}", exit.log);
}

#[test]
fn a131_truechimerd_killed_after_an_order_has_charged_it_and_moves_no_further() {
    let setup = engine("slew");
    let (daemon, _) = play(&setup);
    daemon.signal(daemon.pid(), nix::sys::signal::Signal::SIGKILL);
    let mut daemon = daemon;
    daemon.wait_for_end(TIMEOUT);
    let page = setup.virtual_clock().page();
    assert!(page.slew.nanos() <= 20_000_000, "{page:?}");
    assert_eq!(page.frequency.scaled(), 30 * 65_536);
    // The next run finds the charge, and ends the slew.
    let (daemon, log) = play(&setup);
    assert!(log.contains("slew: applied"), "{log}");
    assert!(setup.audit_log().contains("record=resumed log=whole"), "{}", setup.audit_log());
    drop(daemon);
}
