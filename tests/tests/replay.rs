//! A day of the daemon as a file: recorded by the real processes, replayed by chimerctl.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::programs::program;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

fn recorded(word: &str, forger: &Forger) -> (Setup, PathBuf) {
    let setup = Setup::new(word, &source(forger.address())).with_virtual_clock(-700_000_000, 25.0);
    let file = setup.place().join("state/record");
    (setup.with_argument("--record").with_argument(&file.display().to_string()), file)
}

fn run(setup: &Setup, replies: u64) -> Daemon {
    let daemon = setup.start();
    daemon.wait_until("informed", TIMEOUT, |daemon| {
        daemon.is_synchronised() && daemon.sources()[0]["valid"].as_u64() >= Some(replies)
    });
    daemon
}

fn replay(file: &Path, arguments: &[&str]) -> Output {
    Command::new(program("chimerctl"))
        .args(["replay".as_ref(), file.as_os_str()])
        .args(arguments)
        .output()
        .expect("chimerctl can be executed")
}

fn found(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_recorded_daemon_is_replayed_to_the_last_bit() {
    let forger = Forger::honest([127, 0, 0, 1].into(), 0);
    let (setup, file) = recorded("recorded", &forger);
    let daemon = run(&setup, 5);
    let facts = std::fs::metadata(&file).expect("the recording is there");
    assert_eq!(facts.mode() & 0o777, 0o600, "others may read the recording");
    assert_eq!(daemon.stop().code, Some(0));

    let output = replay(&file, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    let found = found(&output);
    assert_eq!((&found["verdict"], &found["end"]), (&"equal".into(), &"orderly".into()), "{found:#}");
    assert_eq!(found["state"], "synchronised", "{found:#}");
    assert_eq!(found["outputs"]["step"], 1, "{found:#}");
    assert!(found["inputs"]["reply"].as_u64() >= Some(5), "{found:#}");
    let plain = replay(&file, &[]);
    let text = String::from_utf8(plain.stdout).expect("plain text");
    assert!(plain.status.success() && text.contains("every output is as it was"), "{text}");

    // The next run keeps the previous recording.
    assert_eq!(run(&setup, 1).stop().code, Some(0));
    let before = setup.place().join("state/record.1");
    for file in [&file, &before] {
        assert!(replay(file, &[]).status.success(), "{}", file.display());
    }
}

#[test]
fn one_changed_octet_of_a_recording_is_named_and_the_recording_of_a_killed_engine_replays() {
    let forger = Forger::honest([127, 0, 0, 1].into(), 0);
    let (setup, file) = recorded("killed", &forger);
    let mut daemon = run(&setup, 3);
    daemon.signal(daemon.process("engine").pid, Signal::SIGKILL);
    daemon.wait_for_end(TIMEOUT);
    let output = replay(&file, &["--json"]);
    let cut = found(&output);
    assert_eq!((&cut["verdict"], &cut["end"]), (&"equal".into(), &"cut".into()), "{cut:#}");

    let mut octets = std::fs::read(&file).expect("it is ours");
    // The check of the last input.
    let last = octets.len() - 1;
    octets[last] ^= 1;
    let bad = setup.place().join("bad");
    std::fs::write(&bad, octets).expect("a folder of ours");
    let output = replay(&bad, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("damaged at input"), "{complaint}");
}

#[test]
fn what_is_not_a_recording_is_refused_with_2() {
    let setup = Setup::new("no-record", "");
    let output = replay(&setup.place().join("truechimer.toml"), &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a recording"), "{output:?}");
    assert_eq!(replay(&setup.place().join("absent"), &[]).status.code(), Some(2));
}
