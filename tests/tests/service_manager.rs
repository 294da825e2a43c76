//! The interface to the service manager: states, watchdog signals, a reload.

use bench::daemon::{Setup, source};
use bench::forger::Forger;
use bench::manager::Manager;
use bench::nts::NtsServer;
use bench::packet::Header;
use bench::process::state_of;
use bench::programs::{free_port, wait_for};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(60);

/// A watchdog interval in microseconds of which four ninths are longer than a busy machine keeps a process from
/// running: after that long without an answer it counts as hanging.
const CALM: &str = "18000000";

/// Whether systemd would start this unit of ours, as far as its conditions go, where `wrapper` runs a command.
fn is_started(unit: &str, wrapper: &[&str]) -> bool {
    let text = std::fs::read_to_string(bench::programs::workspace().join("packaging/systemd").join(unit));
    let text = text.expect("it is there");
    let conditions: Vec<&str> = text.lines().filter(|line| line.starts_with("Condition")).collect();
    assert!(!conditions.is_empty(), "{unit}");
    let words = [wrapper, &["systemd-analyze", "condition"], &conditions].concat();
    let output = Command::new(words[0]).args(&words[1..]).output().expect("found before");
    // 1 is the answer to a condition that does not hold, and to one that systemd does not know.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("Failed to parse") && !said.contains("Cannot parse"), "{said}");
    output.status.success()
}

#[test]
fn the_units_are_skipped_in_a_user_namespace_where_the_capability_sets_no_clock() {
    let is_there = |words: &[&str]| {
        Command::new(words[0]).args(&words[1..]).output().is_ok_and(|output| output.status.success())
    };
    let user = ["unshare", "--user", "--map-root-user"];
    let capable = ["systemd-analyze", "condition", "ConditionCapability=CAP_SYS_TIME"];
    if !is_there(&capable) || !is_there(&[&user[..], &capable[..]].concat()) {
        return bench::skip("it needs systemd-analyze, CAP_SYS_TIME and user namespaces");
    }
    for unit in ["truechimer.service", "truechimer-wait.service"] {
        assert!(!is_started(unit, &user), "{unit} would fail there");
        // This machine may itself be such a container.
        if is_there(&["systemd-analyze", "condition", "ConditionVirtualization=!private-users"]) {
            assert!(is_started(unit, &["env"]), "{unit}");
        }
    }
}

fn hears(manager: &Manager, what: &str) {
    let found = wait_for(TIMEOUT, || manager.heard().contains(what).then_some(()));
    assert!(found.is_some(), "never {what:?}: {}", manager.heard());
}

#[test]
fn its_status_follows_what_happens_until_the_end() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("status", &source(forger.address())).with_virtual_clock(2_000_000, 0.0);
    let manager = Manager::listen(setup.place());
    let daemon = manager.watch(setup).start();
    hears(&manager, "STATUS=waiting for the network: no reply yet from 1 source\n");
    hears(&manager, "STATUS=synchronised: stratum ");
    assert_eq!(daemon.stop().code, Some(0));
    hears(&manager, "STOPPING=1\nSTATUS=stopping: asked to stop");
    let heard = manager.heard();
    let states: Vec<&str> = heard.lines().filter(|line| line.starts_with("STATUS=")).collect();
    assert!(states.windows(2).all(|pair| pair[0] != pair[1]), "said twice: {heard}");
    let place = |what: &str| states.iter().position(|state| state.contains(what));
    assert!(place("waiting for the network") < place("synchronised"), "{heard}");
}

/// A daemon that is started with the writing end of a new fifo as descriptor 7, and the reading end, which does not block.
fn with_descriptor_7(setup: Setup) -> (Setup, File) {
    let fifo = setup.place().join("ready");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).expect("ours");
    let reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).expect("ours");
    let script = format!("exec \"$0\" \"$@\" 7>{}", fifo.display());
    (setup.with_wrapper(&["sh", "-c", &script]), reader)
}

#[test]
fn a_descriptor_is_told_once_that_everything_runs_and_no_process_keeps_it() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("ready", &source(forger.address())).with_virtual_clock(2_000_000, 0.0);
    let (setup, mut reader) = with_descriptor_7(setup.with_argument("--ready-fd").with_argument("7"));
    let daemon = setup.launch();
    let (mut said, mut octets) = (Vec::new(), [0; 16]);
    let mut read = || loop {
        match reader.read(&mut octets) {
            // Nobody has opened it yet, or everybody has closed it.
            Ok(0) => return (!said.is_empty()).then(|| said.clone()),
            Ok(length) => said.extend_from_slice(&octets[..length]),
            Err(_) => return None,
        }
    };
    let said = wait_for(TIMEOUT, &mut read).unwrap_or_else(|| panic!("not ready: {}", daemon.log()));
    assert_eq!(said, b"\n", "{}", daemon.log());
    // All processes answer, and none of them is left with the descriptor, whose closing was seen above.
    daemon.wait_until_synchronised(TIMEOUT);
    assert_eq!(daemon.stop().code, Some(0));
}

#[test]
fn a_start_that_fails_closes_the_descriptor_without_a_word_and_one_that_is_not_open_is_refused() {
    let setup = Setup::new("unready", "no = \"such key\"\n").with_argument("--ready-fd").with_argument("7");
    let (failing, mut reader) = with_descriptor_7(setup.clone());
    let exit = failing.run_to_end();
    assert_eq!(exit.code, Some(78), "{exit:?}");
    let mut said = Vec::new();
    reader.read_to_end(&mut said).expect("the other end is closed");
    assert!(said.is_empty(), "{said:?}");
    let exit = setup.run_to_end();
    assert_eq!(exit.code, Some(78), "{exit:?}");
    assert!(exit.log.contains("--ready-fd 7: nothing is open there"), "{exit:?}");
    // A check by the service's script has the same options and not the descriptor.
    setup.configure(&source(format!("127.0.0.1:{}", free_port())));
    let checked = setup.command().arg("--check").output().expect("it can be executed");
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[test]
fn states_without_a_clock_or_without_sources_are_told_too() {
    let unsteered = Setup::new("none", &source(format!("127.0.0.1:{}", free_port())));
    let served = format!(
        "[server]\nlisten = [\"127.0.0.1:{}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 3\n",
        free_port()
    );
    for (setup, state) in [
        (unsteered, "STATUS=clock none: "),
        (
            Setup::new("local", &served),
            "STATUS=no source configured: serving this host's own time at stratum 3",
        ),
    ] {
        let manager = Manager::listen(setup.place());
        let _daemon = manager.watch(setup).start();
        hears(&manager, state);
    }
}

/// The actual interval also depends on the scheduler: this tests the interval that the engine is given, and that
/// it continues to send watchdog signals.
#[test]
fn the_engine_is_asked_for_a_third_of_the_watchdogs_interval_and_goes_on_beating() {
    let setup = Setup::new("beat", &source(format!("127.0.0.1:{}", free_port())));
    let manager = Manager::listen(setup.place());
    let daemon = manager.watch(setup).with_environment("WATCHDOG_USEC", "6000000").start();
    let words = std::fs::read(format!("/proc/{}/cmdline", daemon.process("engine").pid)).expect("it runs");
    let words: Vec<_> = words.split(|octet| *octet == 0).map(String::from_utf8_lossy).collect();
    assert!(words.iter().any(|word| word == "heartbeat=2000"), "{words:?}");
    let beats = || manager.heard().matches("WATCHDOG=1").count();
    // At an interval of 70 s, as without a watchdog, this takes minutes.
    assert!(wait_for(TIMEOUT, || (beats() >= 4).then_some(())).is_some(), "{}", manager.heard());
}

#[test]
fn an_engine_that_is_stopped_gives_no_sign_of_life() {
    let setup = Setup::new("stopped", &source(format!("127.0.0.1:{}", free_port())));
    let manager = Manager::listen(setup.place());
    let daemon = manager.watch(setup).with_environment("WATCHDOG_USEC", "3000000").start();
    hears(&manager, "WATCHDOG=1");
    let stopped = daemon.process("engine").pid;
    daemon.signal(stopped, Signal::SIGSTOP);
    let is_stopped = || (state_of(stopped) == Some('T')).then_some(());
    wait_for(TIMEOUT, is_stopped).expect("the engine stops");
    let before = manager.heard().matches("WATCHDOG=1").count();
    // Four times the interval between two watchdog signals.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(manager.heard().matches("WATCHDOG=1").count(), before);
    daemon.signal(stopped, Signal::SIGCONT);
}

#[test]
fn with_a_watchdog_a_network_process_that_is_stopped_ends_the_daemon_with_its_own_code() {
    let forger = Forger::honest(HERE, 0);
    for (role, code) in [("client", 82), ("server", 83), ("exchange", 84)] {
        let configuration = format!(
            "{}[[source]]\naddress = \"time.invalid\"\n[server]\nlisten = [\"127.0.0.1:{}\"]\nallow = \
             [\"127.0.0.0/8\"]\n",
            source(forger.address()),
            free_port()
        );
        let setup = Setup::new("hang", &configuration).with_virtual_clock(0, 0.0);
        let mut daemon = setup.with_environment("WATCHDOG_USEC", CALM).start();
        daemon.wait_until_synchronised(TIMEOUT);
        let stopped = daemon.process(role).pid;
        daemon.signal(stopped, Signal::SIGSTOP);
        let exit = daemon.wait_for_end(TIMEOUT);
        assert_eq!(exit.code, Some(code), "{role}: {exit:?}");
        assert!(exit.log.contains("hangs, or was stopped"), "{role}: {exit:?}");
    }
}

#[test]
fn with_a_watchdog_a_key_service_or_key_holder_that_is_stopped_ends_the_daemon_and_is_named() {
    for (role, name) in [("key-service", "the key exchange service"), ("key-holder", "the key holder")] {
        let server = NtsServer::new("hang", &["127.0.0.1"], "");
        let mut daemon = server.setup.with_environment("WATCHDOG_USEC", CALM).start();
        daemon.signal(daemon.process(role).pid, Signal::SIGSTOP);
        let exit = daemon.wait_for_end(TIMEOUT);
        assert_eq!(exit.code, Some(83), "{role}: {exit:?}");
        assert!(exit.log.contains(&format!("{name} hangs, or was stopped")), "{role}: {exit:?}");
    }
}

/// The threads of a process except its main thread.
fn threads(process: u32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let all = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|thread| *thread != process.cast_signed()).collect()
}

/// Stops these threads of another process, wherever they are, while `meanwhile` runs.
fn hold<T>(threads: &[i32], meanwhile: impl FnOnce() -> T) -> T {
    let ask = |request, thread: i32| {
        // SAFETY: none of these requests reads or writes memory of this process.
        let outcome = unsafe { libc::ptrace(request, thread, 0usize, 0usize) };
        assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
    };
    for thread in threads {
        ask(libc::PTRACE_SEIZE, *thread);
        ask(libc::PTRACE_INTERRUPT, *thread);
        // SAFETY: no status is written.
        unsafe { libc::waitpid(*thread, std::ptr::null_mut(), libc::__WALL) };
    }
    let outcome = meanwhile();
    for thread in threads {
        // It may be gone by then.
        // SAFETY: as above.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, *thread, 0usize, 0usize) };
    }
    outcome
}

#[test]
fn with_a_watchdog_a_thread_that_hangs_at_work_ends_the_daemon_and_one_that_waits_does_not() {
    if !bench::is_root() {
        return bench::skip("holding threads of other users needs root");
    }
    let port = free_port();
    let configuration = format!(
        "[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 3\nthreads = 1\n\
         rate-limit = false\n"
    );
    let setup = Setup::new("thread", &configuration).with_environment("WATCHDOG_USEC", "6000000");
    let mut daemon = setup.start();
    let server = daemon.process("server").pid;
    let threads = threads(server);
    assert_eq!(threads.len(), 1);
    // Four pings and more.
    let long = Duration::from_secs(9);
    let ended = hold(&threads, || wait_for(long, || daemon.has_ended()));
    assert!(ended.is_none(), "a thread that waits for requests is taken for one that hangs: {ended:?}");

    // While it sends replies it is certainly working; if it was stopped elsewhere, it is tried again.
    let thread = threads[0];
    let is_sending = || {
        let call =
            std::fs::read_to_string(format!("/proc/{server}/task/{thread}/syscall")).unwrap_or_default();
        call.split(' ').next() == Some(libc::SYS_sendmmsg.to_string().as_str())
    };
    let end = AtomicBool::new(false);
    let exit = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let socket = UdpSocket::bind((HERE, 0)).expect("a loopback socket can be made");
                socket.connect((HERE, port)).expect("loopback");
                let request = Header::query(1).octets();
                while !end.load(Ordering::Relaxed) {
                    let _ = socket.send(&request);
                }
            });
        }
        let held =
            || hold(&threads, || is_sending().then(|| wait_for(TIMEOUT, || daemon.has_ended())).flatten());
        let exit = wait_for(TIMEOUT, held);
        end.store(true, Ordering::Relaxed);
        exit
    });
    let exit = exit.expect("a thread that hangs is never noticed");
    assert_eq!(exit.code, Some(83), "{exit:?}");
    assert!(exit.log.contains("the server hangs, or was stopped"), "{exit:?}");
}

#[test]
fn a_hangup_reads_the_configuration_again_and_does_not_end() {
    let port = free_port();
    let configuration = |networks: &str| {
        format!("[server]\nlisten = [\"127.0.0.1:{port}\"]\nallow = [{networks}]\nlocal-stratum = 3\n")
    };
    let setup = Setup::new("hangup", &configuration("\"127.0.0.0/8\""));
    let daemon = setup.start();
    let says = |what: &str| {
        daemon.signal(daemon.pid(), Signal::SIGHUP);
        daemon.wait_until(what, TIMEOUT, |daemon| daemon.log().contains(what));
    };
    says("configuration read again: nothing new for the server, 1 rule; if another file");
    setup.configure(&configuration("\"127.0.0.0/8\", \"10.0.0.0/8\""));
    says("configuration read again: new access rules, limits, keys or stratum, 2 rules");
    setup.configure("[server]\nlisten = 7\n");
    says("the configuration is not in order and stays as it was");
    // With the name of the file that was read.
    says("/truechimer.toml:2: ");
    assert!(daemon.ask("status").is_some());
    assert_eq!(daemon.stop().code, Some(0));
}
