//! The launch in bad environments: kernels and filters without this or that call.

use bench::daemon::{Setup, source};
use bench::forger::Forger;
use bench::manager::Manager;
use bench::programs::{Place, free_port, program, put_script, scripts};
use nix::sys::signal::Signal;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is started for [`all_roles`].
const STARTED: [&str; 4] =
    ["truechimer-engine", "truechimer-client", "truechimer-server", "truechimer-exchange"];

/// A daemon with all roles but those of NTS.
fn all_roles(forger: &Forger) -> Setup {
    let configuration = format!(
        "{}[[source]]\naddress = \"time.invalid\"\n[server]\nlisten = [\"127.0.0.1:{}\"]\nallow = [\"127.0.0.0/8\"]\n",
        source(forger.address()),
        free_port()
    );
    Setup::new("launch", &configuration).with_virtual_clock(2_000_000, 10.0)
}

/// The same on a kernel that answers these calls with this errno.
fn lacking(setup: Setup, errno: i32, calls: &str) -> Setup {
    let lacking = program("lacking").display().to_string();
    setup.with_wrapper(&[&lacking, &errno.to_string(), calls])
}

#[test]
fn it_starts_where_a_filter_or_an_older_kernel_lacks_a_call() {
    let forger = Forger::honest(HERE, 0);
    for calls in [
        "openat2",
        "close_range",
        "fallocate",
        "flock",
        "fchownat,fchmodat2",
        "unshare",
        "mount",
        "mount_setattr",
        "pivot_root,umount2",
        "landlock_create_ruleset",
        "clone3",
        "pidfd_open,memfd_create",
        "prlimit64",
        "openat2,close_range,fallocate,flock,fchmodat2,unshare,mount_setattr,landlock_create_ruleset",
    ] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            // The C library itself needs clone3 or ENOSYS for threads: with EPERM there is no server.
            let setup = if calls == "clone3" && errno == libc::EPERM {
                Setup::new("launch", &source(forger.address())).with_virtual_clock(2_000_000, 10.0)
            } else {
                all_roles(&forger)
            };
            let daemon = lacking(setup, errno, calls).launch();
            daemon.wait_until(&format!("up without {calls} ({errno})"), TIMEOUT, |daemon| {
                daemon.ask("status").is_some()
            });
            assert_eq!(daemon.stop().code, Some(0), "{calls} {errno}");
        }
    }
}

#[test]
fn where_a_unit_forbids_more_ipc_namespaces_its_own_serves_and_the_hosts_own_is_told_of() {
    if !bench::is_root() {
        return bench::skip("namespaces need root");
    }
    let forger = Forger::honest(HERE, 0);
    let lacking = program("lacking").display().to_string();
    let forbids = [lacking.as_str(), &libc::EPERM.to_string(), "unshare:ipc"];
    for (outer, is_short) in [(&["unshare", "--ipc", "--uts"][..], false), (&[], true)] {
        let daemon = all_roles(&forger).with_wrapper(&[outer, &forbids].concat()).start();
        daemon.wait_until_synchronised(TIMEOUT);
        assert_eq!(daemon.log().contains("no namespaces of its own"), is_short, "{}", daemon.log());
        assert_eq!(daemon.stop().code, Some(0));
    }
}

#[test]
fn where_proc_shows_processes_alone_the_number_of_the_boot_is_what_the_environment_says() {
    if !bench::is_root() {
        return bench::skip("mounts need root");
    }
    let forger = Forger::honest(HERE, 0);
    let script = "mount -t proc -o subset=pid proc /proc && exec \"$@\"";
    let hidden = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    let exit = all_roles(&forger).with_wrapper(&hidden).run_to_end();
    assert_eq!(exit.code, Some(86), "{exit:?}");
    assert!(exit.log.contains("TRUECHIMER_BOOT_ID=%b"), "{exit:?}");
    // A clock that is wrong again at each start: start steps are counted per boot.
    let setup = all_roles(&forger).with_wrapper(&hidden);
    for boot in [1, 1, 2] {
        setup.virtual_clock().meddle(|page| {
            page.wall = page.wall.checked_add(ipc::units::Offset::saturating(700_000_000)).expect("in range");
        });
        let daemon = setup.clone().with_environment("TRUECHIMER_BOOT_ID", &format!("{boot:032x}")).start();
        daemon.wait_until_synchronised(TIMEOUT);
        assert_eq!(daemon.stop().code, Some(0));
    }
    let audit = fs::read(setup.place().join("state/audit.log")).expect("ours");
    let audit = String::from_utf8_lossy(&audit).into_owned();
    let left: Vec<u32> = audit
        .lines()
        .filter_map(|line| line.split(' ').find_map(|word| word.strip_prefix("start_steps="))?.parse().ok())
        .collect();
    assert_eq!(left, [left[0], left[0] - 1, left[0]], "{audit}");
}

#[test]
fn a117_without_a_filter_it_does_not_go_on_and_says_what_to_do() {
    let forger = Forger::honest(HERE, 0);
    for errno in [libc::ENOSYS, libc::EPERM] {
        let exit = lacking(all_roles(&forger), errno, "seccomp").run_to_end();
        assert!(exit.code.is_some_and(|code| code != 0), "{exit:?}");
        assert!(exit.log.contains("--insecure"), "{exit:?}");
    }
}

#[test]
fn a167_where_landlock_is_there_and_refused_it_does_not_go_on_and_says_what_to_do() {
    let forger = Forger::honest(HERE, 0);
    let daemon = all_roles(&forger).start();
    let log = daemon.log();
    assert_eq!(daemon.stop().code, Some(0));
    if log.contains("landlock") {
        return bench::skip("the kernel has no Landlock");
    }
    for calls in ["landlock_restrict_self", "landlock_add_rule"] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            let exit = lacking(all_roles(&forger), errno, calls).run_to_end();
            assert!(exit.code.is_some_and(|code| code != 0), "{calls}: {exit:?}");
            assert!(exit.log.contains("permit landlock_add_rule and landlock_restrict_self"), "{exit:?}");
        }
    }
}

#[test]
fn a146_without_openat2_a_symbolic_link_on_the_way_is_refused_as_well() {
    let forger = Forger::honest(HERE, 0);
    for name in ["state", "run"] {
        let setup = lacking(all_roles(&forger), libc::ENOSYS, "openat2");
        let place = setup.place();
        std::fs::rename(place.join(name), place.join("elsewhere")).expect("ours");
        std::os::unix::fs::symlink(place.join("elsewhere"), place.join(name)).expect("ours");
        let exit = setup.run_to_end();
        assert_eq!(exit.code, Some(78), "{exit:?}");
        assert!(exit.log.contains("symbolic link"), "{exit:?}");
    }
    let setup = lacking(all_roles(&forger), libc::ENOSYS, "openat2");
    std::fs::write(setup.place().join("victim"), "precious").expect("ours");
    std::os::unix::fs::symlink(setup.place().join("victim"), setup.place().join("state/governor"))
        .expect("ours");
    let exit = setup.run_to_end();
    assert_eq!(exit.code, Some(78), "{exit:?}");
    assert!(exit.log.contains("governor: is a symbolic link"), "{exit:?}");
}

#[test]
fn passing_trouble_with_the_state_directory_ends_with_75_and_lasting_with_78() {
    let forger = Forger::honest(HERE, 0);
    let passing = [
        libc::ENOSPC,
        libc::EDQUOT,
        libc::EROFS,
        libc::EIO,
        libc::ENOMEM,
        libc::ENFILE,
        libc::EMFILE,
        libc::ETIMEDOUT,
        libc::ESTALE,
    ];
    let lasting = [libc::EACCES, libc::ENOTDIR, libc::EINVAL];
    let endings = passing.map(|errno| (errno, 75)).into_iter().chain(lasting.map(|errno| (errno, 78)));
    for (errno, code) in endings {
        // Where a directory is opened, and where space for a file is allocated.
        for call in ["openat2", "fallocate"] {
            let exit = lacking(all_roles(&forger), errno, call).run_to_end();
            assert_eq!(exit.code, Some(code), "{call} {errno}: {exit:?}");
            assert!(exit.log.contains("/state"), "{call} {errno}: {exit:?}");
        }
    }
}

#[test]
fn a157_a_second_instance_is_refused_where_a_filter_denies_flock_to_one_of_them() {
    let forger = Forger::honest(HERE, 0);
    for first_lacks in [false, true] {
        let mut setup = all_roles(&forger);
        if first_lacks {
            setup = lacking(setup, libc::EPERM, "flock");
        }
        let first = setup.start();
        let wrapper = [&program("lacking").display().to_string(), &libc::EPERM.to_string(), "flock"];
        let setup = setup.with_wrapper(if first_lacks { &[] } else { &wrapper });
        let second = setup.command().output().expect("it can be executed");
        assert_eq!(second.status.code(), Some(75), "{second:?}");
        assert!(String::from_utf8_lossy(&second.stderr).contains("another truechimerd"), "{second:?}");
        assert_eq!(first.stop().code, Some(0));
    }
}

#[test]
fn processes_that_take_their_time_are_waited_for_and_the_service_manager_is_told() {
    let forger = Forger::honest(HERE, 0);
    let slow = scripts("slow", &STARTED, "/bin/sleep 7");
    let setup = all_roles(&forger).with_programs(slow.path().into());
    let manager = Manager::listen(setup.place());
    let daemon = manager.watch(setup).launch();
    // Questions asked meanwhile are answered when there is something to report.
    let early = daemon.chimerctl(&["wait-sync", "--timeout", "60"]);
    assert!(early.status.success(), "{early:?}; {}", daemon.log());
    let heard = manager.heard();
    let (start, _) = heard.split_once("READY=1").unwrap_or_else(|| panic!("it is never ready: {heard}"));
    for awaited in ["waiting for the engine to read the configuration", "waiting for the other processes"] {
        assert!(start.contains(awaited), "{heard}");
    }
    // At the beginning of each wait, and again after five of its seven seconds.
    assert!(start.matches("EXTEND_TIMEOUT_USEC=20000000").count() >= 4, "{heard}");
    assert_eq!(daemon.stop().code, Some(0));
}

/// In front of an engine: starts the real one as its own child, whose pid it writes to `PID`, and ends with 78
/// in any case.
const ENGINE_THAT_ENDS_WITH_78: &str = "for word do case $word in parent=*) word=parent=$$ ;; esac; set -- \"$@\" \"$word\"; \
    shift; done; REAL \"$@\" & echo $! > PID; wait $!; exit 78";

#[test]
fn an_engine_that_ends_after_its_plan_is_never_a_configuration_that_is_not_in_order() {
    let forger = Forger::honest(HERE, 0);
    let (engine, pid) = (program("truechimer-engine").display().to_string(), Place::new("pid"));
    let pid_file = pid.join("pid").display().to_string();
    // The client is started after the plan, and never sends a hello.
    let kill = format!(
        "until [ -s {pid_file} ]; do /bin/sleep 0.1; done; read pid < {pid_file}; kill -9 $pid; /bin/sleep 60"
    );
    let programs = scripts("late", &["truechimer-client"], &kill);
    let script = ENGINE_THAT_ENDS_WITH_78.replace("REAL", &engine).replace("PID", &pid_file);
    fs::remove_file(programs.join("truechimer-engine")).expect("ours");
    put_script(&programs.join("truechimer-engine"), &script);
    let exit = all_roles(&forger).with_programs(programs.path().into()).run_to_end();
    assert_eq!(exit.code, Some(81), "{exit:?}");
}

#[test]
fn programs_that_others_can_change_are_refused_by_name() {
    if !bench::is_root() {
        return bench::skip("what belongs to others can be made by root only: run the tests as root too");
    }
    let refused = |place: &Place, named: &str| {
        let setup = Setup::new("changeable", &source("192.0.2.1")).with_programs(place.path().into());
        let exit =
            setup.with_argument("--programs").with_argument(&place.path().display().to_string()).run_to_end();
        assert_eq!(exit.code, Some(78), "{named}: {exit:?}");
        assert!(
            exit.log.contains(named) && exit.log.contains("can be changed by others"),
            "{named}: {exit:?}"
        );
    };
    let open = scripts("open", &[], "");
    fs::set_permissions(open.path(), PermissionsExt::from_mode(0o777)).expect("ours");
    refused(&open, &open.path().display().to_string());
    for name in ["truechimer-keeper", "truechimer-keeper-virtual", "truechimer-engine", "truechimer-client"] {
        let place = scripts("foreign", &[], "");
        std::os::unix::fs::chown(place.join(name), Some(65_534), None).expect("we are root");
        refused(&place, name);
    }
}

#[test]
fn a_parent_that_ignored_the_end_of_children_hides_no_death() {
    let forger = Forger::honest(HERE, 0);
    let careless = ["/bin/sh", "-c", "trap '' CHLD; exec \"$0\" \"$@\""];
    let mut daemon = all_roles(&forger).with_wrapper(&careless).start();
    daemon.signal(daemon.process("client").pid, Signal::SIGKILL);
    let exit = daemon.wait_for_end(Duration::from_secs(20));
    assert_eq!(exit.code, Some(82), "{exit:?}");
    assert!(exit.log.contains("was killed by signal 9"), "{exit:?}");
}

#[test]
fn a_process_that_dies_at_its_start_ends_the_daemon_at_once() {
    let forger = Forger::honest(HERE, 0);
    for name in STARTED {
        let dying = scripts("dying", &[name], "exit 1");
        let start = Instant::now();
        let exit = all_roles(&forger).with_programs(dying.path().into()).run_to_end();
        assert!(exit.code.is_some_and(|code| code != 0 && code != 78), "{exit:?}");
        assert!(start.elapsed() < Duration::from_secs(20), "{exit:?}");
    }
}

#[test]
fn a_second_instance_leaves_the_control_socket_of_the_first_alone() {
    let forger = Forger::honest(HERE, 0);
    let first = Setup::new("socket", &source(forger.address())).start();
    let other = Setup::new("socket", &source(forger.address()));
    // The last word counts: a separate state directory, the run directory of the first.
    let run = first.setup().place().join("run").display().to_string();
    let exit = other.with_argument("--run-dir").with_argument(&run).run_to_end();
    assert_eq!(exit.code, Some(75), "{exit:?}");
    assert!(exit.log.contains("another truechimerd is using this directory"), "{exit:?}");
    assert!(first.ask("status").is_some(), "the first daemon does not answer any more");
}
