//! A process that confines itself exactly as a role does and then tries one action that the role never performs.
//!
//! Arguments, as for the children of truechimerd: `role=ROLE case=NAME [uid=N gid=N] [insecure]`, and
//! - `without=PART`: first installs a filter that imitates a kernel without that part;
//! - `victim=PID`: the process to signal, trace or read; by default one that does not exist;
//! - `server-port=N`: the port of a key exchange, for the exchange process's child;
//! - `peek=PID` instead of a role: no confinement; tries to inspect another process.
//!
//! Standard output gets the line `confined …` with the shortfalls, then `returned RESULT ERRNO` if the action
//! returned. A signal that kills the exchange process's child kills the probe.

#[path = "probe/as_keeper.rs"]
mod as_keeper;
#[path = "probe/connection.rs"]
mod connection;
#[path = "probe/in_a_child.rs"]
mod in_a_child;
#[path = "probe/in_threads.rs"]
mod in_threads;
#[path = "probe/of_its_own.rs"]
mod of_its_own;

use as_keeper::as_keeper;
use connection::connect;
use in_a_child::in_a_child;
use ipc::message::Shortfall;
use policies::{Inherited, Role};
use std::ffi::{CStr, c_long};
use std::net::ToSocketAddrs;
use std::process::ExitCode;

/// A call and its arguments.
type Attempt = (c_long, [usize; 6]);

/// The bit of x32.
const X32: c_long = 0x4000_0000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::from(71)
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let inherited = Inherited::from_args()?;
    inherited.close_others();
    if let Some(process) = inherited.number("peek")? {
        peek(process);
        return Ok(());
    }
    let named = |role: &Role| inherited.text("role") == Some(role.name());
    let role = Role::ALL.into_iter().find(named).ok_or("role=… is missing, or there is no such role")?;
    let case = inherited.text("case").unwrap_or("hold").to_owned();
    if let Some(part) = inherited.text("without").filter(|_| !inherited.flag("executed")) {
        put_on_a_kernel_without(part)?;
    }
    // The call is prepared before: the system calls of the preparation are not under test.
    let thing = prepare(role, &case, inherited.number("victim")?.unwrap_or(0x3fff_fff0));
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let started = std::time::Instant::now();
    let shortfall = match role {
        Role::Privileged | Role::PrivilegedVirtual => as_keeper(role, &inherited)?,
        Role::ExchangeChild => policies::confine(Role::Exchange, &inherited)?,
        Role::Server | Role::KeyService if case.ends_with("a_thread") => {
            let thread = || {
                let (ready, started) = std::sync::mpsc::channel::<()>();
                let thread = std::thread::spawn(move || {
                    let _ = ready.send(());
                    let _ = receive.recv();
                    thing.run();
                });
                let _ = started.recv();
                thread
            };
            let (shortfall, thread) = policies::confine_then(role, &inherited, thread)?;
            report_shortfall(shortfall, started);
            send.send(())?;
            if case == "exit_of_a_thread" {
                in_threads::leave_too();
            }
            if thread.join().is_ok() {
                say("returned 0 0\n");
            }
            return Ok(());
        }
        _ => policies::confine(role, &inherited)?,
    };
    report_shortfall(shortfall, started);
    of_its_own::end_on_panic(role);
    if role == Role::ExchangeChild {
        return in_a_child(&inherited, &thing);
    }
    thing.run();
    Ok(())
}

/// What is tried once the probe is confined.
enum Thing {
    /// Nothing at all.
    Nothing,
    /// A panic.
    Panic(Role),
    /// Buffers that grow.
    Grow(Role),
    /// Nothing, until standard input ends.
    Hold,
    /// The end of the process, which takes a while.
    Exit,
    /// Much memory of the thread's own arena, and back.
    Arena,
    /// Addresses of a name.
    Resolve(String),
    /// A connection over TCP to this port of the loopback interface; whether with the first data (TCP Fast Open).
    Connect(u16, bool),
    /// A system call.
    Call(Attempt),
    /// A system call through the 32-bit entry point, by its number there.
    CallAsI386(u32),
}

fn prepare(role: Role, case: &str, victim: u32) -> Thing {
    match case.split_once(':') {
        _ if case == "end_of_a_thread" => Thing::Nothing,
        _ if case == "exit_of_a_thread" => Thing::Exit,
        _ if case == "arena_of_a_thread" => Thing::Arena,
        _ if case == "panic" => Thing::Panic(role),
        _ if case == "grow" => Thing::Grow(role),
        _ if case == "hold" => Thing::Hold,
        _ if case == "from_a_thread" => Thing::Call(call("execve", 0)),
        Some(("resolve", name)) => Thing::Resolve(name.to_owned()),
        Some(("tcp", port)) => Thing::Connect(port.parse().unwrap_or_default(), false),
        Some(("fastopen", port)) => Thing::Connect(port.parse().unwrap_or_default(), true),
        Some(("x32", name)) => {
            let (number, arguments) = call(name, victim);
            Thing::Call((number | X32, arguments))
        }
        Some(("i386", name)) => Thing::CallAsI386(number_of_i386(name)),
        Some(("openat", path)) if path.starts_with("own:/") => {
            let path = std::ffi::CString::new(&path[4..]).unwrap_or_default().into_raw() as usize;
            let now = libc::AT_FDCWD as usize;
            Thing::Call((libc::SYS_openat, [now, path, libc::O_RDONLY as usize, 0, 0, 0]))
        }
        _ => Thing::Call(call(case, victim)),
    }
}

impl Thing {
    fn run(&self) {
        match self {
            Self::Nothing => {}
            Self::Exit => in_threads::leave_slowly(),
            Self::Arena => in_threads::use_arena(),
            Self::Panic(role) => of_its_own::panic_at_length(*role),
            Self::Grow(role) => of_its_own::grow(*role),
            Self::Hold => {
                let mut octet = 0u8;
                // SAFETY: the buffer is one live octet.
                unsafe { libc::read(0, (&raw mut octet).cast(), 1) };
            }
            Self::Resolve(name) => match (name.as_str(), 123).to_socket_addrs() {
                Ok(addresses) => say(&format!("resolved {:?}\n", addresses.collect::<Vec<_>>())),
                Err(error) => say(&format!("unresolved {error}\n")),
            },
            Self::Connect(port, is_fast) => connect(*port, *is_fast),
            Self::Call(call) => attempt(*call),
            Self::CallAsI386(number) => call_as_i386(*number),
        }
    }
}

fn attempt((number, [a, b, c, d, e, f]): Attempt) {
    // SAFETY: the arguments are valid for their calls or refused by the kernel; one that succeeds is a
    // failure of the sandbox that the line shows.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    let errno = if result == -1 { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 };
    say(&format!("returned {result} {errno}\n"));
}

fn say(line: &str) {
    // SAFETY: the pointer and the length are the line's.
    unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
}

fn report_shortfall(shortfall: Shortfall, started: std::time::Instant) {
    let Shortfall { namespaces, file_view, landlock, ports, write_execute, user, insecure } = shortfall;
    let took = started.elapsed().as_micros();
    say(&format!(
        "confined namespaces={namespaces} file_view={file_view} landlock={landlock} ports={ports} \
         write_execute={write_execute} user={user} insecure={insecure} took={took}us\n"
    ));
}

/// Calls by name, with arguments that an escape would use. Each is `name` or `name:variant`.
fn call(case: &str, victim: u32) -> Attempt {
    let at = |text: &'static CStr| text.as_ptr() as usize;
    let memory = || Box::leak(Box::new([0u64; 64])).as_mut_ptr() as usize;
    let victim = victim as usize;
    let nothing: usize = 0;
    let now = libc::AT_FDCWD as usize;
    let flags = |flags: libc::c_int| flags as usize;
    let whole = |number: c_long, first: &[usize]| {
        let mut arguments = [0; 6];
        arguments[..first.len()].copy_from_slice(first);
        (number, arguments)
    };
    let page = || {
        // SAFETY: an anonymous mapping at no particular address.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        page as usize
    };
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let code = (call as fn(&str, u32) -> Attempt as usize) & !4095;
    let (read, write, execute) = (libc::PROT_READ, libc::PROT_WRITE, libc::PROT_EXEC);
    match case {
        // Standard input is a file that is open for writing.
        "pwrite64:far" => whole(libc::SYS_pwrite64, &[0, memory(), 8, 1 << 40]),
        "write:file" => whole(libc::SYS_write, &[0, memory(), 8]),
        // A112
        "execve" => whole(libc::SYS_execve, &[at(c"/bin/true"), nothing, nothing]),
        "execveat" => whole(libc::SYS_execveat, &[now, at(c"/bin/true"), nothing, nothing, 0]),
        #[cfg(target_arch = "x86_64")]
        "fork" => whole(libc::SYS_fork, &[]),
        #[cfg(target_arch = "x86_64")]
        "vfork" => whole(libc::SYS_vfork, &[]),
        "clone" => whole(libc::SYS_clone, &[flags(libc::SIGCHLD)]),
        "clone:thread" => {
            let kind = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND;
            whole(libc::SYS_clone, &[flags(kind | libc::CLONE_THREAD), page() + 4096])
        }
        "clone:user_namespace" => whole(libc::SYS_clone, &[flags(libc::CLONE_NEWUSER | libc::SIGCHLD)]),
        "clone:network_namespace" => whole(libc::SYS_clone, &[flags(libc::CLONE_NEWNET | libc::SIGCHLD)]),
        "clone3" => whole(libc::SYS_clone3, &[memory(), 88]),
        "ptrace" => whole(libc::SYS_ptrace, &[flags(libc::PTRACE_ATTACH as i32), victim]),
        "ptrace:traceme" => whole(libc::SYS_ptrace, &[0]),
        "process_vm_readv" => whole(libc::SYS_process_vm_readv, &[victim, memory(), 1, memory(), 1, 0]),
        "process_vm_writev" => whole(libc::SYS_process_vm_writev, &[victim, memory(), 1, memory(), 1, 0]),
        "kill" => whole(libc::SYS_kill, &[victim, flags(libc::SIGTERM)]),
        // No group has this number: if a filter fails the test, the machine must survive.
        "kill:group" => whole(libc::SYS_kill, &[flags(-0x4000_0010), flags(libc::SIGKILL)]),
        "kill:now" => whole(libc::SYS_kill, &[victim, flags(libc::SIGKILL)]),
        "tgkill" => whole(libc::SYS_tgkill, &[victim, victim, flags(libc::SIGTERM)]),
        "tkill" => whole(libc::SYS_tkill, &[victim, flags(libc::SIGTERM)]),
        "rt_sigqueueinfo" => whole(libc::SYS_rt_sigqueueinfo, &[victim, flags(libc::SIGTERM), memory()]),
        "pidfd_open" => whole(libc::SYS_pidfd_open, &[victim, 0]),
        "pidfd_getfd" => whole(libc::SYS_pidfd_getfd, &[3, 0, 0]),
        "pidfd_send_signal" => whole(libc::SYS_pidfd_send_signal, &[3, flags(libc::SIGTERM), 0, 0]),
        // A113
        #[cfg(target_arch = "x86_64")]
        "open" => whole(libc::SYS_open, &[at(c"/etc/passwd"), flags(libc::O_RDONLY)]),
        "openat" => whole(libc::SYS_openat, &[now, at(c"/etc/passwd"), flags(libc::O_RDONLY)]),
        "openat:truechimer" => {
            whole(libc::SYS_openat, &[now, at(c"/etc/truechimer/truechimer.toml"), flags(libc::O_RDONLY)])
        }
        "openat:proc" => whole(libc::SYS_openat, &[now, at(c"/proc/1/status"), flags(libc::O_RDONLY)]),
        "openat:out" => {
            whole(libc::SYS_openat, &[now, at(c"/../../proc/1/../../root/.."), flags(libc::O_RDONLY)])
        }
        "openat:write" => whole(libc::SYS_openat, &[now, at(c"/etc/hosts"), flags(libc::O_WRONLY)]),
        "openat:create" => {
            whole(libc::SYS_openat, &[now, at(c"/tmp/escaped"), flags(libc::O_CREAT | libc::O_RDONLY), 0o600])
        }
        "openat:temporary" => {
            whole(libc::SYS_openat, &[now, at(c"/tmp"), flags(libc::O_TMPFILE | libc::O_RDWR), 0o600])
        }
        "openat2" => whole(libc::SYS_openat2, &[now, at(c"/etc/passwd"), memory(), 24]),
        #[cfg(target_arch = "x86_64")]
        "creat" => whole(libc::SYS_creat, &[at(c"/tmp/escaped"), 0o600]),
        "name_to_handle_at" => whole(libc::SYS_name_to_handle_at, &[now, at(c"/"), memory(), memory(), 0]),
        "open_by_handle_at" => whole(libc::SYS_open_by_handle_at, &[now, memory(), 0]),
        "readlinkat" => whole(libc::SYS_readlinkat, &[now, at(c"/proc/1/exe"), memory(), 64]),
        "newfstatat" => whole(libc::SYS_newfstatat, &[now, at(c"/proc/1"), memory(), 0]),
        "statx" => whole(libc::SYS_statx, &[now, at(c"/proc/1"), 0, 0xfff, memory()]),
        "unlinkat" => whole(libc::SYS_unlinkat, &[now, at(c"/tmp/escaped"), 0]),
        "chdir" => whole(libc::SYS_chdir, &[at(c"/")]),
        "chroot" => whole(libc::SYS_chroot, &[at(c"/")]),
        "mount" => whole(libc::SYS_mount, &[at(c"none"), at(c"/"), at(c"proc"), 0, 0]),
        "move_mount" => whole(libc::SYS_move_mount, &[now, at(c"/"), now, at(c"/"), 0]),
        "pivot_root" => whole(libc::SYS_pivot_root, &[at(c"/"), at(c"/")]),
        "setns" => whole(libc::SYS_setns, &[0, 0]),
        "unshare" => whole(libc::SYS_unshare, &[flags(libc::CLONE_NEWUSER)]),
        // A114
        "io_uring_setup" => whole(libc::SYS_io_uring_setup, &[8, memory()]),
        "io_uring_enter" => whole(libc::SYS_io_uring_enter, &[3, 1, 0, 0]),
        "bpf" => whole(libc::SYS_bpf, &[0, memory(), 48]),
        "userfaultfd" => whole(libc::SYS_userfaultfd, &[1]),
        "keyctl" => whole(libc::SYS_keyctl, &[0, usize::MAX, 0]),
        "add_key" => whole(libc::SYS_add_key, &[at(c"user"), at(c"k"), memory(), 8, usize::MAX - 1]),
        "perf_event_open" => whole(libc::SYS_perf_event_open, &[memory(), 0, usize::MAX, usize::MAX, 0]),
        "memfd_create" => whole(libc::SYS_memfd_create, &[at(c"m"), 0]),
        "memfd_secret" => whole(libc::SYS_memfd_secret, &[0]),
        "landlock_create_ruleset" => whole(libc::SYS_landlock_create_ruleset, &[0, 0, 1]),
        "seccomp" => whole(libc::SYS_seccomp, &[1, 0, memory()]),
        "prctl" => whole(libc::SYS_prctl, &[flags(libc::PR_SET_DUMPABLE), 1]),
        "prctl:name" => whole(libc::SYS_prctl, &[flags(libc::PR_SET_NAME), memory()]),
        "capset" => whole(libc::SYS_capset, &[memory(), memory()]),
        "setuid" => whole(libc::SYS_setuid, &[0]),
        "prlimit64" => whole(libc::SYS_prlimit64, &[0, 7, memory(), 0]),
        "prlimit64:other" => whole(libc::SYS_prlimit64, &[victim, 7, memory(), 0]),
        // A115
        "clock_settime" => whole(libc::SYS_clock_settime, &[0, memory()]),
        "clock_adjtime" => whole(libc::SYS_clock_adjtime, &[0, memory()]),
        "clock_adjtime:tai" => whole(libc::SYS_clock_adjtime, &[11, memory()]),
        "adjtimex" => whole(libc::SYS_adjtimex, &[memory()]),
        "settimeofday" => whole(libc::SYS_settimeofday, &[memory(), 0]),
        // A116
        "mmap:rwx" => {
            whole(libc::SYS_mmap, &[0, 4096, flags(read | write | execute), flags(anonymous), usize::MAX])
        }
        "mmap:rx" => whole(libc::SYS_mmap, &[0, 4096, flags(read | execute), flags(anonymous), usize::MAX]),
        "mmap:over_code" => whole(
            libc::SYS_mmap,
            &[code, 4096, flags(read | write), flags(anonymous | libc::MAP_FIXED), usize::MAX],
        ),
        "mmap:file" => whole(libc::SYS_mmap, &[0, 4096, flags(read | execute), flags(libc::MAP_PRIVATE), 0]),
        "mmap:shared" => whole(
            libc::SYS_mmap,
            &[0, 4096, flags(read | write), flags(libc::MAP_SHARED | libc::MAP_ANONYMOUS), usize::MAX],
        ),
        "mprotect:exec" => whole(libc::SYS_mprotect, &[page(), 4096, flags(read | execute)]),
        "mprotect:code" => whole(libc::SYS_mprotect, &[code, 4096, flags(read | write | execute)]),
        "pkey_mprotect" => whole(libc::SYS_pkey_mprotect, &[page(), 4096, flags(read | execute), usize::MAX]),
        "mremap:fixed" => whole(
            libc::SYS_mremap,
            &[page(), 4096, 4096, flags(libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED), code],
        ),
        "remap_file_pages" => whole(libc::SYS_remap_file_pages, &[page(), 4096, 0, 0, 0]),
        "personality" => whole(libc::SYS_personality, &[0x0040_0000]),
        "shmget" => whole(libc::SYS_shmget, &[0, 4096, 0o1777]),
        #[cfg(target_arch = "x86_64")]
        "modify_ldt" => whole(libc::SYS_modify_ldt, &[1, memory(), 16]),
        // A117, A118
        "socket:inet" => whole(libc::SYS_socket, &[flags(libc::AF_INET), flags(libc::SOCK_DGRAM), 0]),
        "socket:tcp" => whole(libc::SYS_socket, &[flags(libc::AF_INET), flags(libc::SOCK_STREAM), 0]),
        "socket:unix" => whole(libc::SYS_socket, &[flags(libc::AF_UNIX), flags(libc::SOCK_STREAM), 0]),
        "socket:netlink" => whole(libc::SYS_socket, &[flags(libc::AF_NETLINK), flags(libc::SOCK_RAW), 0]),
        "socket:packet" => whole(libc::SYS_socket, &[flags(libc::AF_PACKET), flags(libc::SOCK_RAW), 0x300]),
        "socket:alg" => whole(libc::SYS_socket, &[flags(libc::AF_ALG), flags(libc::SOCK_SEQPACKET), 0]),
        "socket:vsock" => whole(libc::SYS_socket, &[flags(libc::AF_VSOCK), flags(libc::SOCK_STREAM), 0]),
        "socket:bluetooth" => whole(libc::SYS_socket, &[flags(libc::AF_BLUETOOTH), flags(libc::SOCK_RAW), 0]),
        "socket:raw" => whole(libc::SYS_socket, &[flags(libc::AF_INET), flags(libc::SOCK_RAW), 1]),
        "socket:raw6" => whole(libc::SYS_socket, &[flags(libc::AF_INET6), flags(libc::SOCK_RAW), 58]),
        "socket:ping" => whole(
            libc::SYS_socket,
            &[flags(libc::AF_INET), flags(libc::SOCK_DGRAM), flags(libc::IPPROTO_ICMP)],
        ),
        "socket:udplite" => whole(
            libc::SYS_socket,
            &[flags(libc::AF_INET6), flags(libc::SOCK_DGRAM), flags(libc::IPPROTO_UDPLITE)],
        ),
        "socket:mptcp" => whole(
            libc::SYS_socket,
            &[flags(libc::AF_INET), flags(libc::SOCK_STREAM), flags(libc::IPPROTO_MPTCP)],
        ),
        "socket:sctp" => whole(
            libc::SYS_socket,
            &[flags(libc::AF_INET), flags(libc::SOCK_STREAM), flags(libc::IPPROTO_SCTP)],
        ),
        "socketpair" => {
            whole(libc::SYS_socketpair, &[flags(libc::AF_UNIX), flags(libc::SOCK_STREAM), 0, memory()])
        }
        "connect" => whole(libc::SYS_connect, &[3, memory(), 16]),
        "bind" => whole(libc::SYS_bind, &[3, memory(), 16]),
        "listen" => whole(libc::SYS_listen, &[3, 1]),
        "accept4" => whole(libc::SYS_accept4, &[3, 0, 0, 0]),
        "sendto:address" => whole(libc::SYS_sendto, &[3, memory(), 8, 0, memory(), 16]),
        "recvmsg" => whole(libc::SYS_recvmsg, &[3, memory(), 0]),
        "sendmsg" => whole(libc::SYS_sendmsg, &[3, memory(), 0]),
        "setsockopt:device" => whole(
            libc::SYS_setsockopt,
            &[3, flags(libc::SOL_SOCKET), flags(libc::SO_BINDTODEVICE), at(c"lo"), 2],
        ),
        "setsockopt:filter" => whole(
            libc::SYS_setsockopt,
            &[3, flags(libc::SOL_SOCKET), flags(libc::SO_ATTACH_FILTER), memory(), 16],
        ),
        "setsockopt:transparent" => whole(
            libc::SYS_setsockopt,
            &[3, flags(libc::IPPROTO_IP), flags(libc::IP_TRANSPARENT), memory(), 4],
        ),
        "ioctl:hardware_stamps" => whole(libc::SYS_ioctl, &[3, 0x89b0, memory()]),
        "ioctl:type_for_terminal" => whole(libc::SYS_ioctl, &[0, 0x5412, memory()]),
        "fcntl:own" => whole(libc::SYS_fcntl, &[3, flags(libc::F_SETOWN), victim]),
        "fcntl:dup" => whole(libc::SYS_fcntl, &[0, flags(libc::F_DUPFD), 1000]),
        other => panic!("the probe knows no case {other}"),
    }
}

fn number_of_i386(name: &str) -> u32 {
    match name {
        "execve" => 11,
        "stime" => 25,
        "settimeofday" => 79,
        "adjtimex" => 124,
        "clock_settime" => 264,
        "clock_adjtime" => 343,
        other => panic!("the probe knows no i386 call {other}"),
    }
}

#[cfg(target_arch = "x86_64")]
fn call_as_i386(number: u32) {
    let mut result = number;
    // SAFETY: the i386 gate of the kernel; all arguments are null, which every one of these calls refuses.
    // rbx is put back.
    unsafe {
        std::arch::asm!(
            "push rbx", "xor ebx, ebx", "int 0x80", "pop rbx",
            inout("eax") result, in("ecx") 0u32, in("edx") 0u32, in("esi") 0u32, in("edi") 0u32,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    say(&format!("returned {} 0\n", result.cast_signed()));
}

#[cfg(not(target_arch = "x86_64"))]
fn call_as_i386(number: u32) {
    panic!("call {number}: there is no i386 here");
}

/// Inspects a process of the same user, in every way that does not need a capability.
fn peek(process: u32) {
    let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(0);
    for file in ["environ", "mem", "maps", "auxv", "root"] {
        let outcome = std::fs::File::open(format!("/proc/{process}/{file}"));
        say(&format!("{file} {}\n", outcome.map_or_else(errno, |_| 0)));
    }
    let process = process.cast_signed();
    let mut octet = 0u8;
    let local = libc::iovec { iov_base: (&raw mut octet).cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 };
    // SAFETY: the local vector is one live octet; the remote address concerns only the other process.
    let read = unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    let outcome = if read < 0 { errno(std::io::Error::last_os_error()) } else { 0 };
    say(&format!("process_vm_readv {outcome}\n"));
    // SAFETY: no memory is read or written; a trace ends when this process does.
    let traced = unsafe { libc::ptrace(libc::PTRACE_SEIZE, process, 0usize, 0usize) };
    let outcome = if traced < 0 { errno(std::io::Error::last_os_error()) } else { 0 };
    say(&format!("ptrace {outcome}\n"));
}

/// Installs a filter that answers like a kernel (or a container's profile) without a part.
fn put_on_a_kernel_without(part: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (number, first, errno) = match part {
        "seccomp" => (libc::SYS_seccomp, None, libc::ENOSYS),
        "no_new_privs" => (libc::SYS_prctl, Some(libc::PR_SET_NO_NEW_PRIVS), libc::EINVAL),
        "write_execute" => (libc::SYS_prctl, Some(65), libc::EINVAL),
        "landlock" => (libc::SYS_landlock_create_ruleset, None, libc::ENOSYS),
        "namespaces" => (libc::SYS_unshare, None, libc::EPERM),
        "file_view" => (libc::SYS_pivot_root, None, libc::EINVAL),
        "setresuid" => (libc::SYS_setresuid, None, libc::EPERM),
        "close_range" => (libc::SYS_close_range, None, libc::ENOSYS),
        other => return Err(format!("the probe knows no kernel without {other}").into()),
    };
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let equals = |k: u32, skip: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: skip,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let end = libc::BPF_RET | libc::BPF_K;
    let refusal = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    let number = u32::try_from(number)?;
    let mut lines = match first {
        None => vec![statement(load, 0), equals(number, 1), statement(end, refusal)],
        Some(first) => vec![
            statement(load, 0),
            equals(number, 3),
            statement(load, 16),
            equals(first.cast_unsigned(), 1),
            statement(end, refusal),
        ],
    };
    lines.push(statement(end, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: u16::try_from(lines.len())?, filter: lines.as_mut_ptr() };
    // SAFETY: the program and its lines live until the calls return; the kernel copies them. Without
    // no_new_privs the second needs CAP_SYS_ADMIN, and says so.
    let outcome = unsafe {
        if part != "setresuid" && part != "no_new_privs" {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        }
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}
