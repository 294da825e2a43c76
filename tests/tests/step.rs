//! `chimerctl step` with the processes of the product: within the governor's rows, and beyond them with an operator's leave,
//! which only who may signal the keeper can give.

use bench::daemon::{Daemon, Setup, source};
use bench::forger::Forger;
use bench::programs::program;
use bench::terminal::Terminal;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A daemon whose clock is behind by 40 s, which this profile does not make up for at the start, and its sources.
fn held() -> (Daemon, [Forger; 3]) {
    let forgers = [2, 3, 4].map(|n| Forger::honest(IpAddr::from([127, 0, 0, n]), 0));
    let sources: String = forgers.iter().map(|forger| source(forger.address())).collect();
    let text = format!("{sources}[governor]\nprofile = \"strict\"\n");
    let daemon = Setup::new("step", &text).with_virtual_clock(-40_000_000_000, 0.0).start();
    daemon.wait_until("a refusal", TIMEOUT, |daemon| daemon.lines("run chimerctl step --approve 42") > 0);
    (daemon, forgers)
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

fn is_right(daemon: &Daemon) -> bool {
    daemon.setup().virtual_clock().error_ns().abs() < 5_000_000
}

#[test]
fn a_step_within_the_rows_of_the_start_needs_no_leave() {
    let forger = Forger::honest(IpAddr::from([127, 0, 0, 2]), 0);
    let text = format!("{}[clock]\nstart-step-threshold = 10\n", source(forger.address()));
    let daemon = Setup::new("step-rows", &text).with_virtual_clock(-5_000_000_000, 0.0).start();
    daemon.wait_until("the first slew", TIMEOUT, |daemon| daemon.status()["first_update_s"].is_number());
    assert!(!is_right(&daemon));
    let output = daemon.chimerctl(&["step"]);
    assert_eq!(
        (output.status.code(), text_of(&output).contains("stepped 5.0")),
        (Some(0), true),
        "{output:?}"
    );
    daemon.wait_until("the time", TIMEOUT, is_right);
    let output = daemon.chimerctl(&["step", "--json"]);
    let reply: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(output.status.success() && reply["moved_s"].is_null() && reply["reason"].is_string(), "{reply}");
    assert!(!daemon.setup().audit_log().contains("event=approved"));
}

#[test]
fn beyond_them_the_operator_permits_one_step_of_the_size_that_was_said() {
    let (daemon, _forgers) = held();
    let refused = daemon.chimerctl(&["step"]);
    let said = text_of(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("40.000 s slow") && said.contains("chimerctl step --approve 42"), "{said}");
    let json = daemon.chimerctl(&["step", "--json"]);
    let reply: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(
        (json.status.code(), &reply["approve_s"], &reply["moved_s"]),
        (Some(1), &42.into(), &Value::Null)
    );
    let little = daemon.chimerctl(&["step", "--approve", "5"]);
    assert_eq!(little.status.code(), Some(1), "{little:?}");
    assert!(text_of(&little).contains("as root: chimerctl step --approve 42"), "{little:?}");
    assert!(!is_right(&daemon));
    let made = daemon.chimerctl(&["step", "--approve", "60"]);
    assert!(made.status.success() && text_of(&made).contains("forward"), "{made:?}");
    daemon.wait_until("the time", TIMEOUT, is_right);
    daemon.wait_until("synchronised", TIMEOUT, Daemon::is_synchronised);
    assert_eq!(daemon.lines("an operator permitted it"), 1, "{}", daemon.log());
    let steps = text_of(&daemon.chimerctl(&["audit", "--steps"]));
    assert!(steps.contains("approved") && steps.contains("42000000000"), "{steps}");
    let log = daemon.setup().audit_log() + &steps;
    assert!(
        log.contains("approval-ended") && log.contains("by_leave=true"),
        "what is needed is permitted, and the rest taken back: {log}"
    );
    let whole = daemon.chimerctl(&["audit", "--verify"]);
    assert!(whole.status.success(), "{whole:?}");
}

#[test]
fn a_clock_that_is_held_without_a_refusal_is_stepped_too() {
    // A daemon that is started again when the start window of the boot is used up.
    let (mut daemon, _forgers) = held();
    let setup = daemon.setup().clone();
    assert!(daemon.chimerctl(&["step", "--approve", "60"]).status.success());
    daemon.wait_until("synchronised", TIMEOUT, Daemon::is_synchronised);
    daemon.signal(daemon.pid(), Signal::SIGTERM);
    daemon.wait_for_end(TIMEOUT);
    let clock = setup.virtual_clock();
    clock.meddle(|page| *page = page.set_to(page.wall.before(ipc::units::Span::from_secs(2_000))));
    let daemon = setup.start();
    daemon.wait_until("it is held", TIMEOUT, |daemon| daemon.lines("and stays so") > 0);
    let made = daemon.chimerctl(&["step", "--approve", "2500"]);
    assert!(made.status.success(), "{made:?}\n{}", daemon.log());
    daemon.wait_until("the time", TIMEOUT, is_right);
}

#[test]
fn who_sits_at_a_terminal_is_asked_and_no_is_no() {
    let (daemon, _forgers) = held();
    for (said, code) in [("n\n", 1), ("\n", 1), ("y\n", 0)] {
        let mut command = Command::new(program("chimerctl"));
        command.arg("--socket").arg(daemon.socket()).arg("step");
        let mut terminal = Terminal::start(&mut command, 80, 24);
        terminal.wait_for("permit one step of at most 42 s now? [y/N]");
        assert!(!is_right(&daemon));
        terminal.press(said);
        let (status, _, text) = terminal.end();
        assert_eq!(status.code(), Some(code), "{said:?}: {text}");
    }
    daemon.wait_until("the time", TIMEOUT, is_right);
}

#[test]
fn a190_nobody_but_who_may_signal_the_keeper_permits_anything() {
    let (daemon, _forgers) = held();
    let keeper = Pid::from_raw(daemon.pid() as i32);
    // Without a value it is no leave, whoever sends it.
    kill(keeper, Signal::SIGUSR1).expect("we started it");
    if !bench::is_root() {
        return bench::skip("not root: all processes are of one user");
    }
    // The users of the other processes, and anybody.
    let users = daemon
        .processes()
        .into_iter()
        .filter(|process| process.pid != daemon.pid())
        .map(|process| process.uid);
    let users: Vec<u32> = users.chain([65_534]).collect();
    assert!(users.len() > 2, "{users:?}");
    for user in users {
        let output =
            Command::new("kill").args(["-s", "USR1", &keeper.to_string()]).uid(user).gid(user).output();
        let output = output.expect("kill can be executed");
        assert!(!output.status.success(), "as user {user}: {output:?}");
        let mut asks = Command::new(program("chimerctl"));
        asks.arg("--socket").arg(daemon.socket()).args(["step", "--approve", "60"]).uid(user).gid(user);
        assert_ne!(asks.output().expect("it can be executed").status.code(), Some(0), "user {user}");
    }
    // None of it counted: the order of an engine is refused as before.
    assert_eq!(daemon.chimerctl(&["step"]).status.code(), Some(1));
    assert!(!daemon.setup().audit_log().contains("event=approved"));
    assert!(!is_right(&daemon));
    // The same from root is a leave, so it was the kernel that kept the others out.
    assert_eq!(daemon.chimerctl(&["step", "--approve", "60"]).status.code(), Some(0));
    daemon.wait_until("the time", TIMEOUT, is_right);
}
