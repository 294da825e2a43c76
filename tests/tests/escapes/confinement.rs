//! What stands besides the syscall filter, under good and bad circumstances, as the kernel sees it from outside.

use crate::attempt::{NOBODY, Start, Victim, holding, probe, program, release, run, starts};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};

#[test]
fn a116_without_the_filter_the_kernel_refuses_memory_that_was_writable() {
    for start in starts() {
        for case in ["mprotect:exec", "mmap:rwx"] {
            let ending = run(probe(start, &["role=engine", &format!("case={case}"), "insecure"]));
            if ending.fell_short_of("write_execute") {
                return bench::skip("the kernel has no PR_SET_MDWE: use Linux 6.3 or newer");
            }
            assert_eq!(ending.returned, Some((-1, libc::EACCES)), "{start:?} {case}: {ending:?}");
        }
    }
}

#[test]
fn the_walls_behind_the_filter_stand_without_it() {
    // What the kernel answers where only the filter is away.
    let cases = [
        ("openat", &[libc::ENOENT, libc::EACCES][..]),
        ("openat:create", &[libc::ENOENT, libc::EACCES, libc::EROFS]),
        ("setuid", &[libc::EPERM, libc::EINVAL]),
        ("mount", &[libc::EPERM, libc::EACCES]),
        ("clone", &[libc::EAGAIN]),
        ("kill:now", &[libc::EPERM]),
        ("socket:packet", &[libc::EPERM]),
        ("socket:raw", &[libc::EPERM]),
        ("clock_settime", &[libc::EPERM]),
        ("fcntl:dup", &[libc::EINVAL]),
    ];
    let victim = Victim::start();
    for start in starts() {
        for role in ["engine", "client", "server"] {
            for (case, errors) in cases {
                let words = [&format!("role={role}"), &format!("case={case}"), &*victim.word(), "insecure"];
                let ending = run(probe(start, &words));
                if ["namespaces", "file_view", "landlock"].iter().any(|part| ending.fell_short_of(part)) {
                    return bench::skip("namespaces or Landlock are not permitted here");
                }
                let (result, error) = ending.returned.unwrap_or_else(|| panic!("{role} {case}: {ending:?}"));
                assert!(result == -1 && errors.contains(&error), "{start:?} {role} {case}: {ending:?}");
            }
        }
    }
}

fn peek_at(process: u32) -> BTreeMap<String, i32> {
    let ending = run(probe(Start::WithoutRoot, &[&format!("peek={process}")]));
    let outcome = |line: &str| {
        let (what, error) = line.split_once(' ')?;
        Some((what.to_owned(), error.parse().ok()?))
    };
    ending.text.lines().filter_map(outcome).collect()
}

#[test]
fn a156_a_process_of_the_same_user_looks_into_none_of_ours() {
    let ordinary = Victim::start();
    let seen = peek_at(ordinary.0.id());
    assert_eq!(seen.get("environ"), Some(&0), "the probe can look into an ordinary process: {seen:?}");

    for start in starts() {
        for role in ["privileged", "engine", "client", "server", "exchange"] {
            let ours = holding(start, role);
            let seen = peek_at(ours.id());
            release(ours);
            assert_eq!(seen.len(), 7, "{seen:?}");
            for (what, error) in seen {
                assert!(
                    [libc::EPERM, libc::EACCES].contains(&error),
                    "{start:?} {role}: {what} gave {error}"
                );
            }
        }
    }
}

#[test]
fn what_the_kernel_says_of_each_process_is_what_was_promised() {
    for start in starts() {
        for role in ["privileged", "engine", "client", "server", "exchange"] {
            let ours = holding(start, role);
            let status = std::fs::read_to_string(format!("/proc/{}/status", ours.id())).expect("it lives");
            let limits = std::fs::read_to_string(format!("/proc/{}/limits", ours.id()));
            release(ours);
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
            };
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                assert_eq!(field(set), "0000000000000000", "{start:?} {role}: {set}");
            }
            if start == Start::AsRoot {
                assert_eq!(field("CapBnd"), "0000000000000000", "{role}");
                assert_eq!(field("Uid"), format!("{NOBODY} {NOBODY} {NOBODY} {NOBODY}"), "{role}");
                assert_eq!(field("Gid"), format!("{NOBODY} {NOBODY} {NOBODY} {NOBODY}"), "{role}");
                assert_eq!(field("Groups"), "", "{role}");
            }
            assert_eq!(field("NoNewPrivs"), "1", "{start:?} {role}");
            assert_eq!(field("Seccomp"), "2", "{start:?} {role}");
            // The file is root's, for a process that can't be dumped.
            if let Ok(limits) = limits {
                let limit =
                    |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap_or_default();
                assert!(limit("Max core file size").contains(" 0 "), "{start:?} {role}");
                assert_eq!(limit("Max processes").contains(" 0 "), role != "exchange", "{start:?} {role}");
            }
        }
    }
}

#[test]
fn a_process_that_keeps_the_clock_holds_one_capability_in_no_user_namespace() {
    if bench::lacks_clock_control() || !bench::is_root() {
        return bench::skip("CAP_SYS_TIME is missing: run the tests as root");
    }
    let mut command = probe(Start::AsRoot, &["role=privileged", "case=hold", "clock"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the probe starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it says so");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it lives");
    let user = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/user")).ok();
    let (theirs, ours) = (user(&child.id().to_string()), user("self"));
    release(child);
    assert!(line.starts_with("confined "), "{line}");
    assert_eq!(theirs, ours);
    for (set, value) in
        [("CapPrm", 1u64 << 25), ("CapEff", 1 << 25), ("CapBnd", 0), ("CapInh", 0), ("CapAmb", 0)]
    {
        assert!(status.contains(&format!("{set}:\t{value:016x}\n")), "{set}: {status}");
    }
}

/// The capabilities that the unit leaves to root, as a set of bits.
fn capabilities_of_the_unit() -> u64 {
    let unit = bench::programs::workspace().join("packaging/systemd/truechimer.service");
    let unit = std::fs::read_to_string(unit).expect("the unit is in the tree");
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("it has one");
    let bit = |name: &str| match name {
        "CAP_SETGID" => 1u64 << 6,
        "CAP_SETUID" => 1 << 7,
        "CAP_SETPCAP" => 1 << 8,
        "CAP_NET_BIND_SERVICE" => 1 << 10,
        "CAP_SYS_ADMIN" => 1 << 21,
        "CAP_SYS_TIME" => 1 << 25,
        other => panic!("{other}: add its number here"),
    };
    line.split_whitespace().fold(0, |set, name| set | bit(name))
}

/// Root under the unit is refused what its mode and owner don't give it.
#[test]
fn with_the_capabilities_that_the_unit_leaves_nothing_falls_short_in_any_role() {
    if !bench::is_root() {
        return bench::skip("needs root: run the tests as root too");
    }
    let left = capabilities_of_the_unit();
    let place = bench::programs::Place::new("unit");
    let own = place.join("own.pem");
    std::fs::write(&own, "a file of its own").expect("the folder is ours");
    let starting = |role: &str, is_bounded: bool| {
        let own = own.display();
        let words =
            [&format!("role={role}"), "case=execve", &format!("certificate={own}"), &format!("key={own}")];
        let mut command = probe(Start::AsRoot, &words);
        if is_bounded {
            let drop_others = move || {
                for capability in (0..64).filter(|bit| left >> bit & 1 == 0) {
                    // SAFETY: reads no memory; a number that is no capability is refused.
                    unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
                }
                Ok(())
            };
            // SAFETY: the closure makes system calls only.
            unsafe { command.pre_exec(drop_others) };
        }
        run(command)
    };
    for role in [
        "privileged",
        "engine",
        "client",
        "server",
        "exchange",
        "key_service",
        "key_holder",
        "samba",
        "refclock",
    ] {
        let (at_large, bounded) = (starting(role, false), starting(role, true));
        assert!(bounded.was_killed_by_the_filter(), "{role}: {bounded:?}");
        for part in ["namespaces", "file_view", "landlock", "write_execute", "user", "insecure"] {
            // What the kernel of this host doesn't have is missing either way.
            assert_eq!(bounded.fell_short_of(part), at_large.fell_short_of(part), "{role}: {part}");
        }
    }
}

#[test]
fn a_parent_that_ends_takes_its_children_along() {
    for start in starts() {
        // The test's own thread is the parent: it starts the probe, and ends.
        let child = std::thread::spawn(move || holding(start, "client")).join().expect("it starts");
        let output = child.wait_with_output().expect("it is ours");
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{start:?}");
    }
}

#[test]
fn a_parent_that_ended_before_is_noticed() {
    for start in starts() {
        let ending = run(probe(start, &["role=client", "case=hold", "parent=4194305"]));
        assert!(!ending.confined && ending.code == Some(71), "{start:?}: {ending:?}");
    }
}

#[test]
fn a154_bad_circumstances_end_in_confinement_or_in_a_clean_exit() {
    type Circumstance = fn() -> std::io::Result<()>;
    let circumstances: [(&str, Circumstance); 5] = [
        ("standard streams closed", || {
            for fd in [0, 2] {
                // SAFETY: the standard streams of the child, before its program starts.
                unsafe { libc::close(fd) };
            }
            Ok(())
        }),
        ("four descriptors at most", || {
            let limit = libc::rlimit { rlim_cur: 4, rlim_max: 4 };
            // SAFETY: the pointer is to a live limit.
            unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
            Ok(())
        }),
        ("every signal blocked", || {
            // SAFETY: the set is filled before it is used.
            unsafe {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
            }
            Ok(())
        }),
        ("broken pipes and file limits ignored", || {
            for signal in [libc::SIGPIPE, libc::SIGSYS, libc::SIGCHLD] {
                // SAFETY: no handler is installed.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            Ok(())
        }),
        ("no mask for new files", || {
            // SAFETY: reads and writes no memory.
            unsafe { libc::umask(0) };
            Ok(())
        }),
    ];
    for start in starts() {
        for (what, circumstance) in circumstances {
            for role in ["engine", "client", "server", "exchange"] {
                let mut command = probe(start, &[&format!("role={role}"), "case=execve"]);
                // SAFETY: the closures make system calls only.
                unsafe { command.pre_exec(circumstance) };
                let ending = run(command);
                let is_clean = !ending.confined && ending.code.is_some_and(|code| (71..=78).contains(&code));
                assert!(ending.was_killed_by_the_filter() || is_clean, "{start:?} {what}: {ending:?}");
            }
        }
    }
}

#[test]
fn a154_an_empty_command_line_is_a_clean_refusal() {
    let mut ending = Command::new(program());
    ending.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    let ending = run(ending);
    assert!(!ending.confined && ending.code == Some(71), "{ending:?}");
}

#[test]
fn descriptors_that_leaked_into_a_child_are_closed() {
    for without in [&[][..], &["without=close_range"]] {
        let mut command = probe(Start::WithoutRoot, &["role=engine", "case=hold"]);
        command.args(without).stdin(Stdio::piped());
        // SAFETY: the closure makes system calls only.
        unsafe {
            command.pre_exec(|| {
                for fd in [277, 300, 301] {
                    libc::dup2(2, fd);
                }
                Ok(())
            })
        };
        let mut child = command.spawn().expect("the probe starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it says so");
        let open: Option<Vec<String>> = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
            .ok()
            .map(|fds| fds.flatten().map(|fd| fd.file_name().to_string_lossy().into_owned()).collect());
        release(child);
        assert!(line.starts_with("confined "), "{line}");
        match open {
            Some(open) => assert!(open.iter().all(|fd| ["0", "1", "2"].contains(&fd.as_str())), "{open:?}"),
            None => {
                bench::skip("/proc of a process that can't be dumped is root's: run the tests as root too")
            }
        }
    }
}

#[test]
fn a167_without_the_filter_or_no_new_privs_it_refuses_to_start() {
    for start in starts() {
        for role in ["privileged", "engine", "client", "server", "exchange"] {
            let role = format!("role={role}");
            let ending = run(probe(start, &[&role, "case=execve", "without=seccomp"]));
            assert!(!ending.confined && ending.code == Some(71), "{start:?} {role}: {ending:?}");
            assert!(ending.text.contains("CONFIG_SECCOMP_FILTER"), "{ending:?}");
        }
    }
    if bench::is_root() {
        let ending = run(probe(Start::AsRoot, &["role=engine", "case=execve", "without=no_new_privs"]));
        assert!(!ending.confined && ending.code == Some(71), "{ending:?}");
        assert!(ending.text.contains("no_new_privs"), "{ending:?}");
    }
}

#[test]
fn a167_without_the_other_parts_it_starts_and_says_what_is_missing() {
    for start in starts() {
        for role in ["privileged", "engine", "client", "server", "exchange"] {
            for part in ["landlock", "write_execute", "namespaces", "file_view"] {
                let words = [&format!("role={role}"), "case=execve", &format!("without={part}")];
                let ending = run(probe(start, &words));
                assert!(ending.was_killed_by_the_filter(), "{start:?} {role} {part}: {ending:?}");
                assert!(ending.fell_short_of(part), "{start:?} {role} {part}: {ending:?}");
            }
        }
    }
}

#[test]
fn a_user_that_cannot_be_become_is_an_error_and_with_insecure_a_shortfall() {
    if !bench::is_root() {
        return bench::skip("needs root: run the tests as root too");
    }
    let words = ["role=engine", "case=hold", "without=setresuid"];
    let ending = run(probe(Start::AsRoot, &words));
    assert!(!ending.confined && ending.code == Some(71), "{ending:?}");
    assert!(ending.text.contains("cannot become user 65534"), "{ending:?}");
    let mut insecure = probe(Start::AsRoot, &words);
    insecure.arg("insecure");
    let ending = run(insecure);
    assert!(
        ending.confined && ending.fell_short_of("user") && ending.fell_short_of("insecure"),
        "{ending:?}"
    );

    let mut nobody_to_become = Command::new(program());
    nobody_to_become.args(["role=engine"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ending = run(nobody_to_become);
    assert!(!ending.confined && ending.text.contains("--first-uid"), "{ending:?}");
}

/// The kernel keeps a socket of a process that moved to an empty network namespace where it was made.
#[test]
fn descriptors_from_before_work_after_confinement() {
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    for start in starts() {
        let mut command = probe(start, &["role=server", "case=hold"]);
        // SAFETY: a copy of our own descriptor, owned from here on.
        let input = unsafe { OwnedFd::from_raw_fd(libc::dup(theirs.as_raw_fd())) };
        let mut child = command.stdin(Stdio::from(input)).spawn().expect("the probe starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it says so");
        assert!(child.try_wait().expect("it is ours").is_none(), "{line}");
        nix::unistd::write(&ours, b"x").unwrap();
        assert!(child.wait().expect("it is ours").success(), "{start:?}");
    }
}
