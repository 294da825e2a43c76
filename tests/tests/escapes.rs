//! Each process, taken over by somebody, tries what the attack catalogue lists: a probe confines itself exactly as the
//! role does, as root with a user to become and without root, and then tries one thing.

#[path = "escapes/attempt.rs"]
mod attempt;
#[path = "escapes/confinement.rs"]
mod confinement;
#[path = "escapes/look_ups.rs"]
mod look_ups;

use attempt::{Victim, probe, run, starts, try_in};
use bench::programs::Place;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use policies::Role;
use std::fs::File;
use std::io::{IoSlice, Seek, SeekFrom};
use std::net::TcpListener;
use std::os::fd::AsRawFd;

/// Processes that read data of others or hold secrets: they write to no file.
fn silent_roles() -> Vec<&'static str> {
    let silent = Role::ALL.into_iter().filter(|role| role.confinement().largest_file.is_none());
    silent.map(Role::name).collect()
}

const A112: &[&str] = &[
    "execve",
    "execveat",
    "clone",
    "clone:thread",
    "clone:user_namespace",
    "clone:network_namespace",
    "clone3",
    "ptrace",
    "ptrace:traceme",
    "process_vm_readv",
    "process_vm_writev",
    "kill",
    "kill:group",
    "kill:now",
    "tgkill",
    "tkill",
    "rt_sigqueueinfo",
    "pidfd_open",
    "pidfd_getfd",
    "pidfd_send_signal",
];
const A113: &[&str] = &[
    "openat",
    "openat:write",
    "openat:create",
    "openat:temporary",
    "openat2",
    "name_to_handle_at",
    "open_by_handle_at",
    "readlinkat",
    "newfstatat",
    "statx",
    "unlinkat",
    "chdir",
    "chroot",
    "mount",
    "move_mount",
    "pivot_root",
    "setns",
    "unshare",
];
const A114: &[&str] = &[
    "io_uring_setup",
    "io_uring_enter",
    "bpf",
    "userfaultfd",
    "keyctl",
    "add_key",
    "perf_event_open",
    "memfd_create",
    "memfd_secret",
    "landlock_create_ruleset",
    "seccomp",
    "prctl",
    "prctl:name",
    "capset",
    "setuid",
    "prlimit64",
    "prlimit64:other",
];
const A115: &[&str] = &["clock_settime", "clock_adjtime", "clock_adjtime:tai", "adjtimex", "settimeofday"];
const A116: &[&str] = &[
    "mmap:rwx",
    "mmap:rx",
    "mmap:over_code",
    "mmap:file",
    "mmap:shared",
    "mprotect:exec",
    "mprotect:code",
    "pkey_mprotect",
    "mremap:fixed",
    "remap_file_pages",
    "personality",
    "shmget",
];
const A117: &[&str] = &[
    "socket:unix",
    "socket:netlink",
    "socket:packet",
    "socket:alg",
    "socket:vsock",
    "socket:bluetooth",
    "socket:raw",
    "socket:raw6",
    "socket:ping",
    "socket:udplite",
    "socket:mptcp",
    "socket:sctp",
    "setsockopt:device",
    "setsockopt:filter",
    "setsockopt:transparent",
    "ioctl:hardware_stamps",
    "ioctl:type_for_terminal",
    "fcntl:own",
    "fcntl:dup",
    "listen",
];
const ANY_SOCKET: &[&str] = &["socket:inet", "socket:tcp", "socketpair", "connect", "bind"];
#[cfg(target_arch = "x86_64")]
const ONLY_HERE: &[&str] = &["fork", "vfork", "open", "creat", "modify_ldt"];
#[cfg(not(target_arch = "x86_64"))]
const ONLY_HERE: &[&str] = &[];

/// How /etc/passwd is opened: musl makes the older call where there is one.
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
const OPENINGS: &[&str] = &["openat", "open"];
#[cfg(not(all(target_env = "musl", target_arch = "x86_64")))]
const OPENINGS: &[&str] = &["openat"];

/// What musl does where glibc makes a newer call, or none, with the reason in the role's rules. What [`OPENINGS`] opens is
/// tested where it matters, and descriptors come over no link of these two: theirs are read by another call.
fn is_lawful_with_musl(role: &str, case: &str) -> bool {
    let looks_up = matches!(role, "exchange" | "exchange_child");
    match case {
        "open" => looks_up || matches!(role, "key_service" | "key_holder"),
        "fork" => role == "exchange",
        "bind" | "recvmsg" => looks_up,
        _ => false,
    }
}

/// What a role may do of these, with the reason in its rules.
fn is_lawful(role: &str, case: &str) -> bool {
    if cfg!(target_env = "musl") && is_lawful_with_musl(role, case) {
        return true;
    }
    let look_up = ["socket:inet", "socket:tcp", "connect", "openat", "openat:truechimer", "newfstatat"];
    match role {
        "privileged" => case == "clock_adjtime",
        "engine" => case == "accept4",
        // From which address and over which interface a source is asked: send-from, send-over.
        "client" => matches!(case, "socket:inet" | "connect" | "bind" | "setsockopt:device"),
        "key_service" => matches!(case, "accept4" | "openat" | "openat:truechimer"),
        "key_holder" => matches!(case, "openat" | "openat:truechimer"),
        // Samba's socket, and its folder.
        "samba" => matches!(case, "connect" | "newfstatat"),
        "exchange_child" => look_up.contains(&case) || matches!(case, "bind" | "setsockopt:device"),
        "exchange" => {
            look_up.contains(&case)
                || matches!(
                    case,
                    "clone"
                        | "prlimit64"
                        | "kill:now"
                        | "landlock_create_ruleset"
                        | "bind"
                        | "setsockopt:device"
                )
        }
        _ => false,
    }
}

/// The answers that stand for killing: what the C library asks for and can do without.
fn is_answered(role: &str, case: &str) -> Option<i32> {
    match (role, case) {
        ("exchange" | "exchange_child", "socket:unix" | "socket:netlink") => Some(libc::EPERM),
        ("exchange", "clone3") => Some(libc::ENOSYS),
        ("server", "openat" | "openat:truechimer" | "openat:proc" | "openat:out") => Some(libc::EPERM),
        _ => None,
    }
}

/// Every case kills every role, but for what the role's rules name.
fn none_gets_through(roles: &[&str], cases: &[&str]) {
    for start in starts() {
        for role in roles {
            for case in cases.iter().filter(|case| !is_lawful(role, case)) {
                let ending = try_in(start, role, case);
                if let Some(error) = is_answered(role, case) {
                    assert_eq!(ending.returned, Some((-1, error)), "{start:?} {role} {case}: {ending:?}");
                } else {
                    assert!(ending.was_killed_by_the_filter(), "{start:?} {role} {case}: {ending:?}");
                }
            }
        }
    }
}

#[test]
fn no_role_that_was_taken_over_fills_a_disk_through_a_file_that_it_may_write() {
    let place = Place::new("filled");
    for start in starts() {
        for role in Role::ALL {
            let (most, role) = (role.confinement().largest_file.unwrap_or(0), role.name());
            for case in ["pwrite64:far", "write:file"] {
                let mut file = File::create(place.join("file")).unwrap();
                file.seek(SeekFrom::Start(most)).unwrap();
                let mut command = probe(start, &[&format!("role={role}"), &format!("case={case}")]);
                command.stdin(file.try_clone().unwrap());
                let ending = run(command);
                let is_answered = ending.returned == Some((-1, libc::EFBIG));
                // Who has no file to write ends of it: by the filter, or by the signal of that limit.
                let has_ended = ending.confined && ending.returned.is_none() && ending.code != Some(0);
                assert!(is_answered || (most == 0 && has_ended), "{start:?} {role} {case}: {ending:?}");
                assert_eq!(file.metadata().unwrap().len(), 0, "{start:?} {role} {case}");
            }
        }
    }
}

#[test]
fn no_engine_or_keeper_that_was_taken_over_fills_a_disk_through_a_recording_or_a_log_in_a_file() {
    let place = Place::new("filled-log");
    let history = ipc::history::LARGEST;
    let full = |start, role: &str, record: Option<&str>, log: Option<u64>, at: u64| {
        let mut file = File::create(place.join("file")).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        let mut command = probe(start, &[&format!("role={role}"), "case=write:file"]);
        command.args(record).stdin(file.try_clone().unwrap());
        if let Some(length) = log {
            let log = File::create(place.join("log")).unwrap();
            log.set_len(length).unwrap();
            command.stderr(log);
        }
        let ending = run(command);
        (ending.returned == Some((-1, libc::EFBIG)), ending)
    };
    for start in starts() {
        for (role, record, log, most) in [
            ("engine", Some("record=/recording"), None, 65 << 20),
            ("engine", Some("history=5"), None, history),
            ("engine", None, Some(5 << 20), (1 << 30) + (5 << 20)),
            ("engine", Some("record=/recording"), Some(0), 1 << 30),
            ("privileged", None, Some(0), 1 << 30),
        ] {
            let (is_refused, ending) = full(start, role, record, log, most);
            assert!(is_refused, "{start:?} {role} {record:?} {log:?}: {ending:?}");
            let (_, ending) = full(start, role, record, log, most - 1);
            assert_eq!(ending.returned, Some((1, 0)), "{start:?} {role} {record:?} {log:?}: {ending:?}");
        }
    }
}

#[test]
fn a109_descriptors_that_a_peer_passes_are_never_received() {
    use ipc::message::privileged::{FromPrivileged, ToPrivileged};
    use ipc_link::Link;
    let (peer, ours) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_NONBLOCK).unwrap();
    let mut link: Link<FromPrivileged, ToPrivileged> = Link::new(ours);
    // Other tests of this process open descriptors meanwhile, none of them this file.
    let place = Place::new("passed");
    let passed = File::create(place.join("passed")).unwrap();
    let copies = || {
        let target = place.join("passed");
        let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path == target)).count()
    };
    assert_eq!(copies(), 1);
    for sequence in 0..20 {
        let mut frame = [0; ipc::MAX_FRAME];
        let length = ipc::encode(sequence, &ToPrivileged::Heartbeat, &mut frame);
        let rights = [passed.as_raw_fd(); 253];
        let control = [ControlMessage::ScmRights(&rights)];
        let record = [IoSlice::new(&frame[..length])];
        sendmsg::<()>(peer.as_raw_fd(), &record, &control, MsgFlags::empty(), None).unwrap();
        assert_eq!(link.receive(), Ok(Some((sequence, ToPrivileged::Heartbeat))));
        assert_eq!(copies(), 1, "a descriptor came with record {sequence}");
    }
    // A compromised process that only has links cannot receive one (with musl, whose resolver reads answers by this call, those
    // that look names up could, had a peer of theirs one to pass).
    none_gets_through(&["privileged", "engine", "exchange", "exchange_child"], &["recvmsg"]);
}

#[test]
fn a112_no_process_is_started_traced_or_signalled() {
    none_gets_through(&["client", "server"], A112);
}

#[test]
fn a113_no_file_is_opened_or_looked_at() {
    none_gets_through(&["client", "server"], A113);
}

#[test]
fn a114_no_other_way_into_the_kernel_is_open() {
    none_gets_through(&["client", "server"], A114);
}

#[test]
fn a115_the_clock_is_out_of_reach_through_any_abi() {
    none_gets_through(
        &[
            "client",
            "server",
            "engine",
            "exchange",
            "exchange_child",
            "key_service",
            "key_holder",
            "samba",
            "refclock",
        ],
        A115,
    );
    none_gets_through(
        &["privileged", "privileged_virtual"],
        &["clock_settime", "clock_adjtime:tai", "adjtimex", "settimeofday"],
    );
    if cfg!(target_arch = "x86_64") {
        let x32: Vec<String> = A115.iter().map(|case| format!("x32:{case}")).collect();
        none_gets_through(&Role::ALL.map(Role::name), &x32.iter().map(String::as_str).collect::<Vec<_>>());
        let i386 = ["clock_settime", "clock_adjtime", "adjtimex", "settimeofday", "stime", "execve"];
        let i386 = i386.map(|case| format!("i386:{case}"));
        none_gets_through(&Role::ALL.map(Role::name), &i386.each_ref().map(String::as_str));
    }
}

#[test]
fn a116_no_memory_becomes_executable() {
    none_gets_through(&Role::ALL.map(Role::name), A116);
}

#[test]
fn a117_no_socket_of_another_kind_and_no_option_out_of_the_ordinary() {
    none_gets_through(&["client", "server"], A117);
    none_gets_through(&["client"], &["socket:tcp", "socketpair", "accept4"]);
}

#[test]
fn a118_the_server_makes_no_socket_connects_none_and_binds_none() {
    none_gets_through(&["server"], ANY_SOCKET);
}

#[test]
fn a142_a_rogue_engine_has_no_call_of_these_and_no_socket() {
    for cases in [A112, A113, A114, A115, A116, A117, ANY_SOCKET, ONLY_HERE] {
        none_gets_through(&["engine"], cases);
    }
    none_gets_through(&["engine"], &["recvmsg", "sendmsg", "sendto:address"]);
}

#[test]
fn privileged_itself_has_no_call_of_these_but_the_clock() {
    for cases in [A112, A113, A114, A116, A117, ANY_SOCKET, ONLY_HERE] {
        none_gets_through(&["privileged", "privileged_virtual"], cases);
    }
}

#[test]
fn older_calls_of_this_architecture_are_killed_like_the_newer() {
    none_gets_through(&silent_roles(), ONLY_HERE);
}

#[test]
fn a235_a_rogue_process_at_the_reference_clocks_starts_nothing_and_reaches_nothing() {
    for cases in [A112, A113, A114, A116, A117, ANY_SOCKET, ONLY_HERE] {
        none_gets_through(&["refclock"], cases);
    }
    none_gets_through(&["refclock"], &["accept4", "recvmsg", "sendmsg", "sendto:address", "connect"]);
}

#[test]
fn a179_a_rogue_key_service_or_key_holder_starts_nothing_makes_no_socket_and_reaches_nobody() {
    for cases in [A112, A113, A114, A116, A117, ANY_SOCKET, ONLY_HERE] {
        none_gets_through(&["key_service", "key_holder"], cases);
    }
    none_gets_through(&["key_service", "key_holder"], &["recvmsg", "sendmsg", "sendto:address"]);
    none_gets_through(&["key_holder"], &["accept4"]);
}

#[test]
fn a225_a_rogue_process_at_samba_starts_nothing_and_reaches_nothing_but_its_folder() {
    for cases in [A112, A113, A114, A116, A117, ANY_SOCKET, ONLY_HERE] {
        none_gets_through(&["samba"], cases);
    }
    none_gets_through(&["samba"], &["accept4", "recvmsg", "sendmsg", "sendto:address"]);
}

#[test]
fn a179_a_rogue_key_service_or_key_holder_reads_its_own_folder_and_nothing_else() {
    let place = Place::new("own-folder");
    let own = place.join("own.pem");
    std::fs::write(&own, "what is in it").unwrap();
    for start in starts() {
        for (role, word) in [("key_service", "certificate"), ("key_holder", "key")] {
            let attempt = |case: &str| {
                let word = format!("{word}={}", own.display());
                run(probe(start, &[&format!("role={role}"), &format!("case={case}"), &word]))
            };
            let other = attempt("openat");
            if other.fell_short_of("file_view") && other.fell_short_of("landlock") {
                return bench::skip("neither namespaces nor Landlock are permitted here");
            }
            for case in OPENINGS.iter().chain(&["openat:proc", "openat:out", "openat:truechimer"]) {
                let ending = attempt(case);
                let (result, error) =
                    ending.returned.unwrap_or_else(|| panic!("{start:?} {role} {case}: {ending:?}"));
                assert_eq!(result, -1, "{start:?} {role} {case}: {ending:?}");
                assert!([libc::ENOENT, libc::EACCES].contains(&error), "{start:?} {role}: {ending:?}");
            }
            let opened = attempt(&format!("openat:own:{}", own.display()));
            assert!(opened.returned.is_some_and(|(fd, _)| fd >= 0), "{start:?} {role}: {opened:?}");
        }
    }
}

#[test]
fn a_thread_that_was_started_before_the_filter_is_under_it() {
    for start in starts() {
        let ending = try_in(start, "server", "from_a_thread");
        assert!(ending.was_killed_by_the_filter(), "{start:?}: {ending:?}");
    }
}

#[test]
fn a_thread_that_was_started_before_the_filter_may_end_under_it() {
    for start in starts() {
        for role in ["server", "key_service"] {
            let ending = try_in(start, role, "end_of_a_thread");
            assert_eq!(ending.returned, Some((0, 0)), "{start:?} {role}: {ending:?}");
        }
    }
}

#[test]
fn a_thread_that_gives_much_memory_back_does_it_under_the_filter() {
    for start in starts() {
        for role in ["server", "key_service"] {
            let ending = try_in(start, role, "arena_of_a_thread");
            assert_eq!(ending.returned, Some((0, 0)), "{start:?} {role}: {ending:?}");
        }
    }
}

#[test]
fn two_threads_that_end_the_process_at_once_do_it_under_the_filter() {
    for start in starts() {
        for role in ["server", "key_service"] {
            let ending = try_in(start, role, "exit_of_a_thread");
            assert_eq!((ending.code, ending.signal), (Some(0), None), "{start:?} {role}: {ending:?}");
        }
    }
}

#[test]
fn a_panic_ends_each_process_with_its_own_words_and_not_by_its_filter() {
    for start in starts() {
        for role in Role::ALL {
            let mut command = probe(start, &[&format!("role={}", role.name()), "case=panic"]);
            // The hooks make no backtrace, whatever asks for one.
            command.env("RUST_BACKTRACE", "full").env("RUST_LIB_BACKTRACE", "full");
            let ending = run(command);
            let words = match role {
                Role::Privileged | Role::PrivilegedVirtual => Some("internal error, ending"),
                // What reads untrusted input has nowhere to say it: the others tell of its exit code.
                _ if silent_roles().contains(&role.name()) => None,
                _ => Some("a fault of its own"),
            };
            let (signal, code) = (ending.signal, ending.code);
            assert!(ending.confined && signal.is_none(), "{start:?} {role:?}: {signal:?} {code:?}");
            assert_eq!(ending.text.contains("of no use, of no use"), words.is_some(), "{start:?} {role:?}");
            assert!(words.is_none_or(|words| ending.text.contains(words)), "{start:?} {role:?}");
            assert!(!ending.text.contains("stack backtrace"), "{start:?} {role:?}");
            assert_ne!(ending.code, Some(0), "{start:?} {role:?}");
        }
    }
}

#[test]
fn buffers_of_each_process_grow_to_their_largest_and_are_given_back_under_its_filter() {
    for start in starts() {
        for role in Role::ALL {
            let ending = try_in(start, role.name(), "grow");
            let outcome = (ending.confined, ending.signal, ending.code);
            assert_eq!(outcome, (true, None, Some(0)), "{start:?} {role:?}: {ending:?}");
        }
    }
}
