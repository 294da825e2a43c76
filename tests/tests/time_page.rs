//! The page of shared memory from which programs compute the time, with the real processes under their filters: what a program
//! reads there is true whatever becomes of the daemon.

use bench::clock;
use bench::clockbound::{Answer, Client, NO_CLIENTS, counts_with_the_kernel};
use bench::daemon::{Daemon, Setup, source, spawn};
use bench::forger::Forger;
use bench::programs::wait_for;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use truechimer_time::{Interval, TimePage, Unknown};

const TIMEOUT: Duration = Duration::from_secs(60);

/// What the servers are ahead of the host's clock, which is the truth here.
const AHEAD: i64 = 40_000_000;

fn here(host: u8) -> IpAddr {
    [127, 0, 0, host].into()
}

fn servers() -> Vec<Forger> {
    (1..=3).map(|host| Forger::honest(here(host), AHEAD)).collect()
}

fn configuration(servers: &[Forger], more: &str) -> String {
    servers.iter().map(|server| source(server.address())).collect::<String>() + more
}

fn path(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.setup().place().join("run").join(name)
}

fn open(daemon: &Daemon) -> TimePage {
    TimePage::open_at(&path(daemon, "time")).expect("the launch makes it")
}

/// What a program computes, which has to contain the truth at some moment of the call.
#[track_caller]
fn read(page: &mut TimePage) -> Result<Interval, Unknown> {
    let before = clock::wall() + AHEAD;
    let said = page.now();
    let after = clock::wall() + AHEAD;
    if let Ok(it) = said {
        assert!(it.earliest <= after && before <= it.latest, "{it:?}: {before} to {after}");
        assert!(it.earliest <= it.estimate && it.estimate <= it.latest, "{it:?}");
    }
    said
}

#[track_caller]
fn wait_until_known(page: &mut TimePage) -> Interval {
    wait_for(TIMEOUT, || read(page).ok().filter(|it| it.synchronised)).expect("three honest servers")
}

/// Answers of a ClockBound client: each with the truth in it, or of a status that promises nothing. Their statuses, and the widest.
#[track_caller]
fn judge(answers: Option<Vec<Result<Answer, String>>>) -> (Vec<String>, i64) {
    let (mut statuses, mut widest) = (Vec::new(), 0);
    for answer in answers.expect("it has ended") {
        let answer = answer.expect("an answer");
        let (before, after) = (answer.before + AHEAD, answer.after + AHEAD);
        if answer.is_promise() {
            assert!(answer.earliest <= after && before <= answer.latest, "{answer:?}");
            widest = widest.max(answer.latest - answer.earliest);
        }
        statuses.push(answer.status);
    }
    (statuses, widest)
}

#[test]
fn the_page_is_true_while_the_daemon_runs_is_stopped_is_killed_and_starts_again() {
    let servers = servers();
    let setup = Setup::new("time-page", &configuration(&servers, "")).with_virtual_clock(-700_000_000, 30.0);
    let mut daemon = setup.start();
    let mut page = open(&daemon);
    let known = wait_until_known(&mut page);
    assert!(!known.mark.authenticated && (1..=3).contains(&known.mark.sources));
    let facts = std::fs::metadata(path(&daemon, "time")).expect("it is there");
    assert_eq!(facts.permissions().mode() & 0o7777, 0o644);

    // Nobody is left who could write: the last page holds, and widens.
    let engine = daemon.process("engine").pid;
    daemon.signal(engine, Signal::SIGSTOP);
    let narrow = read(&mut page).expect("it says until when");
    std::thread::sleep(Duration::from_secs(3));
    let wider = read(&mut page).expect("it still says so");
    assert!(wider.latest - wider.earliest > narrow.latest - narrow.earliest);
    let keeper = daemon.pid();
    daemon.signal(keeper, Signal::SIGKILL);
    daemon.signal(engine, Signal::SIGKILL);
    daemon.wait_for_end(TIMEOUT);
    for _ in 0..1_000 {
        read(&mut page).expect("it still says so");
    }
    // Nobody would have said by now that the sources are silent.
    let until = page.page().expect("a page").synchronised_until;
    assert!(wait_for(TIMEOUT, || (clock::raw() > until).then_some(())).is_some());
    assert!(!read(&mut page).expect("it still says so").synchronised);
    let inode = facts.ino();
    drop(daemon);

    // The same file, which programs have mapped: nothing is known, and then it is.
    let daemon = setup.start();
    assert_eq!(std::fs::metadata(path(&daemon, "time")).expect("it is there").ino(), inode);
    wait_until_known(&mut page);
    // A time before this start is not to be had, one since then is.
    let raw = page.page().expect("a page").as_of;
    let past = page.at(raw).expect("just now");
    assert!(past.latest < page.now().expect("now").latest);
    let since = page.page().expect("a page").continuous_since;
    assert_eq!(page.at(since - 1), Err(Unknown::TooEarly));
    // A virtual clock is not the system's.
    assert!(!page.now().expect("now").mark.system_clock);
}

#[test]
fn sources_that_contradict_each_other_leave_no_time() {
    let servers = [(1, 0), (2, 30_000_000_000)].map(|(host, more)| Forger::honest(here(host), AHEAD + more));
    let configuration = configuration(&servers, "");
    let daemon = Setup::new("time-page-none", &configuration).with_virtual_clock(0, 0.0).start();
    let mut page = open(&daemon);
    daemon.wait_until("divided", TIMEOUT, |daemon| {
        daemon.report().is_some_and(|report| report["state"] == "no-majority")
    });
    assert_eq!(read(&mut page), Err(Unknown::NoTime));
    let answer = daemon.chimerctl(&["now"]);
    assert_eq!(answer.status.code(), Some(1));
    let text = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(
        text.contains("the time is not known: too few sources have answered, or they contradict"),
        "{text}"
    );
}

#[test]
fn chimerctl_now_and_assert_answer_from_the_page_alone() {
    let servers = servers();
    let setup = Setup::new("time-page-chimerctl", &configuration(&servers, "")).with_virtual_clock(0, 20.0);
    let mut daemon = setup.start();
    let before = daemon.chimerctl(&["assert", "--max-error", "10s", "--wait", "60"]);
    assert!(before.status.success(), "{before:?}");
    wait_until_known(&mut open(&daemon));
    daemon.wait_until_synchronised(TIMEOUT);
    let socket = daemon.socket();
    let engine = daemon.process("engine").pid;
    daemon.signal(engine, Signal::SIGKILL);
    daemon.wait_for_end(TIMEOUT);
    let ask = |words: &[&str]| {
        let program = bench::programs::folder().join("chimerctl");
        Command::new(program).arg("--socket").arg(&socket).args(words).output().expect("it is there")
    };
    let now = ask(&["--json", "now"]);
    assert!(now.status.success(), "{now:?}");
    let now: Value = serde_json::from_slice(&now.stdout).expect("JSON");
    let at = |end: &str| {
        let part = |key: String| now[key].as_i64().expect("whole");
        part(format!("{end}_unix_s")) * 1_000_000_000 + part(format!("{end}_ns"))
    };
    assert!(at("earliest") <= at("estimate") && at("estimate") <= at("latest"));
    assert!(now["most_error_s"].as_f64().is_some_and(|error| error > 0.0 && error < 1.0), "{now}");
    let text = ask(&["now"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("wrong by at most"), "{text:?}");
    for (words, code, part) in [
        (&["assert"][..], 0, "holds: known to "),
        (&["assert", "--max-error", "1s", "--synchronised"], 0, "synchronised"),
        (&["assert", "--system-clock"], 1, "system's clock does not follow"),
        (&["assert", "--max-error", "1ns"], 1, "only, and --max-error is 1"),
        (&["assert", "--authenticated"], 1, "NTS"),
        (&["assert", "--max-error", "1ns", "--wait", "0.3"], 1, "only"),
        (&["assert", "--max-error", "soon"], 2, "expected a number of seconds"),
    ] {
        let said = ask(words);
        let all = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert_eq!(said.status.code(), Some(code), "{words:?}: {all}");
        assert!(all.contains(part), "{words:?}: {all}");
    }
}

#[test]
fn assert_watch_tells_the_manager_and_ends_when_it_holds_no_longer() {
    use std::os::unix::net::UnixDatagram;
    let servers = servers();
    let setup = Setup::new("time-page-watch", &configuration(&servers, "")).with_virtual_clock(0, 20.0);
    let daemon = setup.start();
    let place = setup.place().join("notify");
    let notify = UnixDatagram::bind(&place).expect("a socket");
    notify.set_read_timeout(Some(TIMEOUT)).expect("a time limit");
    let mut command = Command::new(bench::programs::folder().join("chimerctl"));
    command
        .arg("--socket")
        .arg(daemon.socket())
        .args(["assert", "--max-error", "1s", "--synchronised", "--watch"])
        .env("NOTIFY_SOCKET", &place)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // It ends with this process, whatever becomes of the test.
    let mut watch = spawn(&mut command);
    let mut said = [0; 1024];
    let mut receive = || {
        let length = notify.recv(&mut said).expect("it says how it is");
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    let mut text = receive();
    if text.starts_with("STATUS=waiting: ") {
        text = receive();
    }
    assert!(text.starts_with("READY=1\nSTATUS=the time is known to "), "{text}");
    assert_eq!(watch.try_wait().expect("a child"), None);
    // The sources fall silent.
    assert!(daemon.chimerctl(&["offline"]).status.success());
    drop(servers);
    let ended = wait_for(Duration::from_secs(300), || watch.try_wait().expect("a child"));
    let code = ended.map(|status| status.code());
    let _ = watch.kill();
    let _ = watch.wait();
    assert_eq!(code, Some(Some(1)));
}

#[test]
fn clockbounds_clients_read_the_time_unchanged() {
    let servers = servers();
    let more = "[clock]\nclockbound = true\n";
    let setup =
        Setup::new("time-page-clockbound", &configuration(&servers, more)).with_virtual_clock(0, 20.0);
    let daemon = setup.start();
    let mut page = open(&daemon);
    let segment = path(&daemon, "clockbound/shm1");
    wait_until_known(&mut page);
    let Some(mut client) = Client::start("3", &segment, 200, None) else {
        return bench::skip(NO_CLIENTS);
    };
    let counts = counts_with_the_kernel();
    judge(client.answers());
    let known = wait_for(TIMEOUT, || {
        let (statuses, widest) = judge(client.ask());
        statuses.iter().all(|status| status == "Synchronized").then_some(widest)
    });
    assert_eq!(known.is_some(), counts, "its counter is what the kernel keeps time by, or it is not used");
    let Some(widest) = known else {
        return bench::skip("the kernel does not keep time by a counter that programs can read");
    };
    let ours = read(&mut page).expect("known");
    println!("ClockBound's client: {widest} ns wide; ours: {} ns", ours.latest - ours.earliest);
    assert!(widest < 2 * (ours.latest - ours.earliest) + 1_000_000, "{widest} {ours:?}");
    // A virtual clock is not CLOCK_REALTIME: of that nothing is said, and nothing wrong.
    let older = Client::start("2", &path(&daemon, "clockbound/shm0"), 200, None);
    let (statuses, _) = judge(older.expect("the same program").answers());
    assert!(statuses.iter().all(|status| status == "Unknown"), "{statuses:?}");
    // Killed: true until its end.
    let engine = daemon.process("engine").pid;
    daemon.signal(engine, Signal::SIGKILL);
    for _ in 0..10 {
        let (statuses, _) = judge(client.ask());
        assert!(statuses.iter().all(|status| status == "Synchronized"), "{statuses:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
