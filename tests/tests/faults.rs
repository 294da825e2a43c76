//! Faults of a real machine: processes that die, damaged files, other programs that interfere.

use bench::daemon::{Daemon, Exit, Setup, source};
use bench::forger::Forger;
use bench::nts::NtsServer;
use bench::programs::{self, free_port};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(20);

/// A daemon with all roles: a source, a name to look up (never found), and a server.
fn all_roles(forger: &Forger) -> Setup {
    let configuration = format!(
        "{}[[source]]\naddress = \"time.invalid\"\n[server]\nlisten = [\"127.0.0.1:{}\"]\nallow = [\"127.0.0.0/8\"]\n",
        source(forger.address()),
        free_port()
    );
    Setup::new("roles", &configuration).with_virtual_clock(2_000_000, 10.0)
}

/// Kills this process of a synchronised daemon and returns the daemon's exit.
fn kill(role: &str) -> Exit {
    let forger = Forger::honest(HERE, 0);
    kill_in(&all_roles(&forger), role)
}

fn kill_in(setup: &Setup, role: &str) -> Exit {
    let mut daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    let others = daemon.processes();
    daemon.signal(daemon.process(role).pid, Signal::SIGKILL);
    let exit = daemon.wait_for_end(Duration::from_secs(5));
    for process in others {
        let gone = programs::wait_for(Duration::from_secs(5), || {
            bench::process::Process::read(process.pid).is_none_or(|now| now.resident == 0).then_some(())
        });
        assert!(gone.is_some(), "{} outlived the daemon", process.role);
    }
    exit
}

#[test]
fn a110_the_death_of_the_engine_ends_all_with_81() {
    let exit = kill("engine");
    assert_eq!(exit.code, Some(81), "{exit:?}");
    assert!(exit.log.contains("engine"), "{exit:?}");
}

#[test]
fn a110_the_death_of_the_client_role_ends_all_with_82() {
    let exit = kill("client");
    assert_eq!(exit.code, Some(82), "{exit:?}");
    assert!(exit.log.contains("client"), "{exit:?}");
}

#[test]
fn a110_the_death_of_the_server_role_ends_all_with_83() {
    let exit = kill("server");
    assert_eq!(exit.code, Some(83), "{exit:?}");
    assert!(exit.log.contains("server"), "{exit:?}");
}

#[test]
fn a110_the_death_of_the_exchange_role_ends_all_with_84() {
    let exit = kill("exchange");
    assert_eq!(exit.code, Some(84), "{exit:?}");
    assert!(exit.log.contains("exchange"), "{exit:?}");
}

#[test]
fn the_log_names_the_process_that_died_first_and_what_ended_it() {
    let server = NtsServer::new("deaths", &["127.0.0.1"], "");
    for (role, name) in [
        ("key-holder", "the key holder"),
        ("key-service", "the key exchange service"),
        ("client", "the client"),
        ("engine", "the engine"),
    ] {
        for (signal, what) in
            [(Signal::SIGKILL, "killed by signal 9"), (Signal::SIGSYS, "its system call filter")]
        {
            let mut daemon = server.setup.start();
            let pid = daemon.process(role).pid;
            daemon.signal(pid, signal);
            let exit = daemon.wait_for_end(Duration::from_secs(5));
            let line = format!("{name} (process {pid}) was killed by ");
            let told: Vec<&str> = exit.log.lines().filter(|line| line.contains(" was killed by ")).collect();
            assert!(told.len() == 1 && told[0].contains(&line) && told[0].contains(what), "{role}: {exit:?}");
        }
    }
}

#[test]
fn a_keeper_that_is_killed_takes_processes_along_that_are_stopped() {
    let server = NtsServer::new("stopped", &["127.0.0.1"], "");
    let mut daemon = server.setup.start();
    let others: Vec<_> =
        daemon.processes().into_iter().filter(|process| process.role != "privileged").collect();
    assert_eq!(others.len(), 5, "{others:?}");
    for process in &others {
        daemon.signal(process.pid, Signal::SIGSTOP);
    }
    daemon.signal(daemon.pid(), Signal::SIGKILL);
    daemon.wait_for_end(Duration::from_secs(5));
    for process in others {
        let is_gone = || matches!(bench::process::state_of(process.pid), None | Some('Z')).then_some(());
        let gone = programs::wait_for(Duration::from_secs(5), is_gone);
        if gone.is_none() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.pid as i32), Signal::SIGKILL);
        }
        assert!(gone.is_some(), "{} outlived the daemon", process.role);
    }
}

#[test]
fn an_end_that_was_asked_for_is_not_told_as_a_death() {
    let server = NtsServer::new("no-deaths", &["127.0.0.1"], "");
    let mut daemon = server.setup.start();
    daemon.signal(daemon.pid(), Signal::SIGTERM);
    let exit = daemon.wait_for_end(Duration::from_secs(5));
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(!exit.log.contains("(process "), "{exit:?}");
}

#[test]
fn the_death_of_the_privileged_process_ends_all_and_the_slew_ends_by_itself() {
    let forger = Forger::honest(HERE, 0);
    let setup = all_roles(&forger);
    let exit = kill_in(&setup, "privileged");
    assert_eq!(exit.signal, Some(Signal::SIGKILL as i32), "{exit:?}");
    assert!(setup.virtual_clock().error_ns().abs() < 4_000_000);
    // And a new one starts as if nothing had happened.
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
}

#[test]
fn asked_to_end_it_ends_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let forger = Forger::honest(HERE, 0);
        let mut daemon = all_roles(&forger).start();
        daemon.signal(daemon.pid(), signal);
        let exit = daemon.wait_for_end(Duration::from_secs(5));
        assert_eq!(exit.code, Some(0), "{signal}: {exit:?}");
    }
}

#[test]
fn a150_a151_a_configuration_that_is_not_in_order_is_refused_with_its_line() {
    let deep = format!("a = {}1{}", "[".repeat(5000), "]".repeat(5000));
    for (configuration, line) in [
        ("[[source]]\naddress = \"192.0.2.1\"\nadress = \"x\"\n", "3"),
        ("[[source]]\naddress = \"192.0.2.1\"\nmin-poll = 99\n", "3"),
        ("\n\n[clock]\nminimum-sources = \"many\"\n", "4"),
        ("[[source]\n", "1"),
        ("[governor]\nprofile = \"lax\"\n", "2"),
        ("[[source]]\naddress = \"192.0.2.1\"\nmode = \"nst\"\n", "3"),
        ("[[source]]\naddress = \"192.0.2.1\"\naddress = \"192.0.2.2\"\n", "3"),
        ("", "1"),
        (&deep, "1"),
    ] {
        let shown = &configuration[..configuration.len().min(60)];
        let exit = Setup::new("disorder", configuration).run_to_end();
        assert_eq!(exit.code, Some(78), "{shown}: {exit:?}");
        assert!(exit.log.contains(line), "no line {line} for {shown}: {exit:?}");
    }
}

#[test]
fn a151_a_configuration_that_is_missing_or_endless_is_refused() {
    let setup = Setup::new("missing", "x");
    fs::remove_file(setup.place().join("truechimer.toml")).expect("it was there");
    let exit = setup.run_to_end();
    assert_eq!(exit.code, Some(78), "{exit:?}");
    assert!(exit.log.contains("truechimer.toml"), "{exit:?}");

    let setup = Setup::new("endless", "x");
    let file = fs::OpenOptions::new().write(true).open(setup.place().join("truechimer.toml")).expect("ours");
    file.set_len(100 << 20).expect("a sparse file");
    let exit = setup.run_to_end();
    assert_eq!(exit.code, Some(78), "{exit:?}");
}

#[test]
fn check_looks_at_the_configuration_and_ends() {
    let good = Setup::new("check", &source("192.0.2.1")).with_argument("--check").run_to_end();
    assert_eq!(good.code, Some(0), "{good:?}");
    let bad = Setup::new("check", "[clock]\nspeed = 3\n").with_argument("--check").run_to_end();
    assert_eq!(bad.code, Some(78), "{bad:?}");
}

#[test]
fn a166_without_control_of_the_clock_it_ends_with_77_and_the_remedy() {
    if !bench::lacks_clock_control() {
        return bench::skip("this run has power over the clock; `cargo xtask test` gives it up first");
    }
    let exit = Setup::new("powerless", &source("192.0.2.1")).with_kernel_clock().run_to_end();
    assert_eq!(exit.code, Some(77), "{exit:?}");
    assert!(exit.log.contains("CAP_SYS_TIME") && exit.log.contains("--clock none"), "{exit:?}");
}

#[test]
fn an_address_in_use_is_named_and_ends_with_85() {
    let taken = UdpSocket::bind((HERE, free_port())).expect("a free port");
    let address = taken.local_addr().expect("bound");
    let configuration =
        format!("[server]\nlisten = [\"{address}\"]\nallow = [\"127.0.0.0/8\"]\nlocal-stratum = 3\n");
    let exit = Setup::new("taken", &configuration).run_to_end();
    assert_eq!(exit.code, Some(85), "{exit:?}");
    assert!(exit.log.contains(&address.to_string()), "{exit:?}");
    assert!(!exit.log.contains("has ended; this process follows"), "the cause alone: {exit:?}");
}

#[test]
fn a_missing_program_is_named_and_ends_with_86_and_check_says_so() {
    let server = NtsServer::new("program", &["127.0.0.1"], "");
    let file = server.setup.place().join("truechimer.toml");
    let configuration = fs::read_to_string(file).expect("it was written");
    // All programs are needed: it serves keys, asks Samba, has a name to look up, and a reference clock.
    let stratum = "local-stratum = 1\n";
    assert!(configuration.contains(stratum), "{configuration}");
    let configuration =
        configuration.replace(stratum, &format!("{stratum}samba-signd = \"/var/lib/samba/ntp_signd\"\n"));
    let socket = server.setup.place().join("clock.sock").display().to_string();
    let clock = format!("[[refclock]]\nsocket = \"{socket}\"\nrefid = \"GPS\"\n");
    server.setup.configure(&format!("{}{clock}{configuration}", source("time.invalid")));
    let all = programs::names();
    // The keeper of the kernel's clock is another program than the one for no clock.
    for missing in all.iter().filter(|name| !["truechimerd", "truechimer-keeper"].contains(name)) {
        let place = programs::Place::new("programs");
        for present in all.iter().filter(|name| *name != missing) {
            symlink(programs::program(present), place.join(present)).expect("ours");
        }
        let folder = place.path().display().to_string();
        let exit = server.setup.clone().with_argument("--programs").with_argument(&folder).run_to_end();
        assert_eq!(exit.code, Some(86), "{missing}: {exit:?}");
        assert!(exit.log.contains(missing), "{missing}: {exit:?}");
        let check =
            server.setup.clone().with_argument("--programs").with_argument(&folder).with_argument("--check");
        let checked = check.run_to_end();
        assert_eq!(checked.code, Some(86), "{missing}: {checked:?}");
        assert!(checked.log.contains(missing), "{missing}: {checked:?}");
    }
}

#[test]
fn a146_a_state_directory_that_another_user_prepared_is_refused_by_name() {
    let configuration = source("192.0.2.1");
    let refused = |prepare: &dyn Fn(&Setup), named: &str| {
        let setup = Setup::new("prepared", &configuration);
        prepare(&setup);
        let exit = setup.run_to_end();
        assert_eq!(exit.code, Some(78), "{named}: {exit:?}");
        assert!(exit.log.contains(named), "{named} isn't named: {exit:?}");
    };
    let state = |setup: &Setup| setup.place().join("state");
    refused(&|setup| fs::remove_dir(state(setup)).expect("empty"), "state");
    refused(
        &|setup| {
            fs::remove_dir(state(setup)).expect("empty");
            fs::create_dir(setup.place().join("elsewhere")).expect("ours");
            symlink(setup.place().join("elsewhere"), state(setup)).expect("ours");
        },
        "state",
    );
    refused(
        &|setup| fs::set_permissions(state(setup), PermissionsExt::from_mode(0o777)).expect("ours"),
        "state",
    );
    for name in ["governor", "audit.log", "engine.state"] {
        let victim = |setup: &Setup| setup.place().join("victim");
        refused(
            &|setup| {
                fs::write(victim(setup), "precious").expect("ours");
                symlink(victim(setup), state(setup).join(name)).expect("ours");
            },
            name,
        );
        // Only root can write there, so this is an accident: the obstacle is moved aside unchanged.
        let aside = |prepare: &dyn Fn(&Setup)| {
            let setup = Setup::new("prepared", &configuration);
            prepare(&setup);
            let daemon = setup.start();
            assert!(daemon.log().contains(&format!("{name}.distrusted")), "{}", daemon.log());
            assert_eq!(daemon.stop().code, Some(0));
            setup
        };
        let setup = aside(&|setup| {
            fs::write(victim(setup), "precious").expect("ours");
            fs::hard_link(victim(setup), state(setup).join(name)).expect("ours");
        });
        assert_eq!(fs::read(victim(&setup)).expect("ours"), b"precious");
        aside(&|setup| {
            nix::unistd::mkfifo(&state(setup).join(name), nix::sys::stat::Mode::S_IRUSR).expect("ours");
        });
    }
}

#[test]
fn a157_a_second_instance_is_refused_and_the_first_goes_on() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("first", &source(forger.address())).with_virtual_clock(0, 0.0);
    let first = setup.start();
    first.wait_until_synchronised(TIMEOUT);
    let second = setup.command().output().expect("it can be executed");
    // It may just be ending: the unit must try again.
    assert_eq!(second.status.code(), Some(75), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("another truechimerd"), "{second:?}");
    assert!(first.is_synchronised());
    assert_eq!(first.stop().code, Some(0));
}

#[test]
fn a153_a_hostile_environment_reaches_no_child() {
    let forger = Forger::honest(HERE, 0);
    let mut setup = Setup::new("hostile", &source(forger.address())).with_virtual_clock(1_000_000, 0.0);
    let keys = setup.place().join("keys");
    for (name, value) in [
        ("RUST_LOG", "trace"),
        ("SSLKEYLOGFILE", keys.to_str().expect("plain")),
        ("TZ", "/etc/shadow"),
        ("MALLOC_PERTURB_", "255"),
        ("NOTIFY_SOCKET", "@nobody-listens"),
        ("LD_LIBRARY_PATH", "/nonexistent"),
        ("HUGE", &"x".repeat(100_000)),
    ] {
        setup = setup.with_environment(name, value);
    }
    let daemon = setup.start();
    daemon.wait_until_synchronised(TIMEOUT);
    if bench::is_root() {
        for process in daemon.processes().iter().filter(|process| process.role != "privileged") {
            let environment = fs::read(format!("/proc/{}/environ", process.pid)).expect("root may");
            assert!(environment.is_empty(), "{}: {}", process.role, String::from_utf8_lossy(&environment));
        }
    }
    assert!(!keys.exists());
}

#[test]
fn a154_an_odd_start_is_a_start_or_a_clean_end() {
    let forger = Forger::honest(HERE, 0);
    let odd = |script: &str| {
        let setup = Setup::new("odd", &source(forger.address())).with_virtual_clock(1_000_000, 0.0);
        let setup = setup.with_wrapper(&["sh", "-c", &format!("{script} exec \"$0\" \"$@\"")]);
        let mut daemon = setup.launch();
        let came = programs::wait_for(TIMEOUT, || {
            daemon.has_ended().map(Some).or_else(|| daemon.is_synchronised().then_some(None))
        });
        match came {
            Some(None) => {}
            Some(Some(exit)) => {
                assert!(exit.code.is_some_and(|code| (70..=86).contains(&code)), "{script}: {exit:?}");
            }
            None => panic!("{script}: neither started nor ended; {}", daemon.log()),
        }
    };
    odd("exec 0<&- 1>&-;");
    odd("exec 0<&- 1>&- 2>&-;");
    // With 3 the loader itself cannot open a library, before any code of the daemon.
    odd("ulimit -n 4;");
    odd("trap '' PIPE TERM INT;");
    odd("umask 0;");
    odd("cd /; umask 777;");
}

#[test]
fn a160_another_program_that_sets_the_clock_is_noticed_and_logged() {
    let forger = Forger::honest(HERE, 0);
    let daemon = Setup::new("foreign", &source(forger.address())).with_virtual_clock(1_000_000, 0.0).start();
    daemon.wait_until_synchronised(TIMEOUT);
    let clock = daemon.setup().virtual_clock();
    let before = daemon.status()["epoch"].as_u64();
    clock.meddle(|page| {
        page.wall =
            page.wall.checked_add(ipc::units::Offset::saturating(3_600_000_000_000)).expect("in range");
    });
    daemon.wait_until("aware of it", TIMEOUT, |daemon| daemon.status()["epoch"].as_u64() > before);
    assert!(daemon.setup().audit_log().contains("event=foreign-step"));
    daemon.wait_until("put right", TIMEOUT, |_| clock.error_ns().abs() < 2_000_000);
}

/// The number of steps in the audit log.
fn steps(setup: &Setup) -> usize {
    setup.audit_log().matches("event=applied asked=step").count()
}

#[test]
fn a130_restarts_do_not_refill_the_start_window() {
    let forger = Forger::honest(HERE, 0);
    let setup = Setup::new("window", &source(forger.address())).with_virtual_clock(700_000_000, 0.0);
    let clock = setup.virtual_clock();
    for round in 0..7 {
        let daemon = setup.start();
        let start = Instant::now();
        // If no step is left, six seconds are the time in which it could still try one.
        while start.elapsed() < Duration::from_secs(6) && clock.error_ns().abs() > 2_000_000 {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(matches!(daemon.stop().code, Some(0)), "round {round}");
        clock.meddle(|page| {
            page.wall = page.wall.checked_add(ipc::units::Offset::saturating(700_000_000)).expect("in range");
        });
        // Three in this boot from the start window, and one at run time in 15 minutes.
        assert!(steps(&setup) <= 4, "round {round}: {} steps", steps(&setup));
    }
    assert!(steps(&setup) >= 3, "only {} steps", steps(&setup));
}

#[test]
fn a148_a_saved_frequency_that_cannot_be_is_ignored() {
    let forger = Forger::honest(HERE, 0);
    for octets in [b"1e308\n".to_vec(), b"NaN".to_vec(), vec![0xff; 4096], vec![b'9'; 1 << 20]] {
        let setup = Setup::new("drift", &source(forger.address())).with_virtual_clock(1_000_000, 0.0);
        let file = setup.place().join("state/engine.state");
        fs::write(&file, &octets).expect("ours");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("ours");
        let daemon = setup.start();
        daemon.wait_until_synchronised(TIMEOUT);
        let frequency = bench::clock::ppm(setup.virtual_clock().page().frequency);
        // What it measured in its first second on a busy machine may be far off, but not as far as the invalid value.
        assert!(frequency.abs() < 450.0, "{frequency} ppm from nonsense");
    }
}

#[test]
fn a145_many_control_connections_disturb_no_other() {
    let forger = Forger::honest(HERE, 0);
    let daemon = Setup::new("control", &source(forger.address())).with_virtual_clock(5_000_000, 0.0).start();
    let mut open: Vec<UnixStream> = Vec::new();
    for number in 0..300 {
        // The kernel's queue of 16 is sometimes full; a blocking connection would wait forever.
        let Ok(mut stream) = connect_at_once(&daemon) else { continue };
        match number % 3 {
            0 => drop(stream.write_all(b"{\"verb\":")),
            1 => drop(stream.write_all(b"{\"verb\":\"status\"}\n")),
            _ => {}
        }
        open.push(stream);
    }
    let heard = forger.heard();
    daemon.wait_until("still polling", TIMEOUT, |_| forger.heard() > heard + 2);
    drop(open);
    daemon.wait_until("answering again", TIMEOUT, |daemon| daemon.ask("status").is_some());
}

fn connect_at_once(daemon: &Daemon) -> nix::Result<UnixStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(&daemon.socket())?)?;
    Ok(fd.into())
}

#[test]
fn a144_what_is_no_request_is_refused_in_one_line() {
    let forger = Forger::honest(HERE, 0);
    let daemon = Setup::new("verbs", &source(forger.address())).start();
    assert!(daemon.ask("shutdown").is_some_and(|answer| answer["error"].is_string()));
    let mode = fs::metadata(daemon.socket()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o7, 0, "others may connect: {mode:o}");
    let mut stream = UnixStream::connect(daemon.socket()).expect("it listens");
    // Longer than any request; the daemon may close the connection before all of it is written.
    let _ = stream.write_all(&vec![b'x'; 100_000]);
    drop(stream);
    assert!(daemon.ask("status").is_some());
}
