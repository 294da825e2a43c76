//! The syscall filters do what their tables say: tests generated from the rules themselves, each call tried in a
//! separate process under the real filter.

use filters::trap::{self, Tell};
use filters::{Condition, Network, Rule, Verdict};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use policies::Role;
use std::collections::BTreeSet;
use std::io::Read;

/// Beyond the newest call that any kernel has.
const LAST: i64 = 520;

/// uretprobe and uprobe of x86_64: since Linux 6.14 the kernel lets them pass every filter, and executes them
/// only in a page of its own.
const BEYOND_FILTERS: &[i64] = if cfg!(target_arch = "x86_64") { &[335, 336] } else { &[] };

/// Calls that wait for a signal, whatever their arguments.
const WAITING: &[i64] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_pause,
];

/// The bit that marks a number as one of x32, on x86_64; elsewhere it is no call at all.
const X32: i64 = 0x4000_0000;

/// How a forked child ended that installed a filter and made one call.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It survived, or died of the call's own effect (rt_sigreturn without a signal, exit).
    Lived,
    /// The call returned another result than expected.
    OtherResult,
    /// The filter killed it.
    Killed,
}

/// Runs `body` in a forked child under a role's filter.
fn under_filter(role: Role, body: impl FnOnce() -> bool) -> End {
    under_filter_after(role, || true, body)
}

/// The same, with something before the filter.
fn under_filter_after(role: Role, before: impl FnOnce() -> bool, body: impl FnOnce() -> bool) -> End {
    let set = role.rules();
    // SAFETY: the child only makes system calls and ends without returning into the test.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes two numbers, and no other thread of the child asks for it.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        let code = if !before() || set.install().is_err() {
            2
        } else if body() {
            0
        } else {
            1
        };
        // SAFETY: ends the process.
        unsafe { libc::_exit(code) };
    }
    match waitpid(Pid::from_raw(child), None).expect("the child is ours") {
        WaitStatus::Signaled(_, Signal::SIGSYS, _) => End::Killed,
        WaitStatus::Exited(_, 1) => End::OtherResult,
        WaitStatus::Exited(_, 2) => panic!("the filter of {role:?} cannot be installed"),
        _ => End::Lived,
    }
}

/// Makes one call; if the table prescribes an answer, checks it.
fn attempt(role: Role, number: i64, arguments: [u64; 6]) -> End {
    let verdict = role.rules().verdict(number, arguments);
    let nothing = vec![0_u128; 1 << 12];
    let before = || {
        if WAITING.contains(&number) {
            // SAFETY: takes a number; nothing of this process has a handler for the signal, which ends it.
            unsafe { libc::alarm(1) };
        }
        true
    };
    under_filter_after(role, before, || {
        if number == libc::SYS_rt_sigreturn {
            return_to_nowhere(&nothing);
        }
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: every argument that a rule does not fix is no valid pointer, descriptor, length or process.
        let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        match verdict {
            Verdict::Answered(error) => result == -1 && nix::errno::Errno::last_raw() == error,
            Verdict::Permitted | Verdict::Killed => true,
        }
    })
}

/// Returns from a signal that never came. What it returns to is read from the stack, where what this program left would
/// now and then lead to code that makes calls: it is given a stack of zeros, and dies at address 0, without the handler
/// that the standard library has for that.
fn return_to_nowhere(zeros: &[u128]) -> ! {
    let middle = &raw const zeros[zeros.len() / 2];
    // SAFETY: the call reads from within `zeros` and never comes back; the process has no other use for its stack.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!("mov rsp, {}", "syscall", in(reg) middle, in("rax") libc::SYS_rt_sigreturn, options(noreturn));
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("mov sp, {}", "svc 0", in(reg) middle, in("x8") libc::SYS_rt_sigreturn, options(noreturn));
    }
}

/// Arguments that a rule permits and that have no effect: those that are not fixed are all ones.
fn lawful(rule: &Rule) -> [u64; 6] {
    // A process that is started on a stack at the last address dies, but not by the filter.
    // No process and no group has the number for kill: if a filter fails the test, the machine must
    // survive.
    let filler = match rule.syscall {
        "clone" => 0,
        "kill" => 0x3fff_fff0,
        _ => u64::MAX,
    };
    let mut arguments = [filler; 6];
    for Condition { index, mask, value } in rule.conditions {
        arguments[*index] = (filler & !mask) | value;
    }
    arguments
}

/// Values next to a permitted one: one more, one less, each relevant bit inverted.
fn neighbours(condition: &Condition, lawful: u64) -> BTreeSet<u64> {
    let Condition { mask, value, .. } = *condition;
    let bits = (0..64).map(|bit| value ^ (1 << bit)).filter(|other| (other ^ value) & mask != 0);
    let mut others: BTreeSet<u64> = bits.map(|other| (lawful & !mask) | (other & mask)).collect();
    for other in [value.wrapping_add(1), value.wrapping_sub(1)] {
        others.insert((lawful & !mask) | (other & mask));
    }
    others
}

fn what_a_rule_names_is_not_killed(role: Role) {
    for rule in role.rules().rules {
        let end = attempt(role, rule.number, lawful(rule));
        assert_eq!(end, End::Lived, "{role:?}: {} ({})", rule.syscall, rule.reason);
    }
}

fn what_is_next_to_a_rule_is_killed(role: Role) {
    let set = role.rules();
    for rule in set.rules {
        for condition in rule.conditions {
            let mut arguments = lawful(rule);
            let mut tried = 0;
            for other in neighbours(condition, arguments[condition.index]) {
                arguments[condition.index] = other;
                if set.verdict(rule.number, arguments) == Verdict::Killed {
                    let end = attempt(role, rule.number, arguments);
                    let Condition { index, .. } = condition;
                    assert_eq!(
                        end,
                        End::Killed,
                        "{role:?}: {} with argument {index} {other:#x}",
                        rule.syscall
                    );
                    tried += 1;
                }
            }
            assert!(tried > 0, "{role:?}: {} has no unlawful neighbour", rule.syscall);
        }
    }
}

fn what_no_rule_names_is_killed(role: Role) {
    let named: BTreeSet<i64> = role.rules().rules.iter().map(|rule| rule.number).collect();
    for number in (0..=LAST).filter(|number| !named.contains(number) && !BEYOND_FILTERS.contains(number)) {
        assert_eq!(attempt(role, number, [u64::MAX; 6]), End::Killed, "{role:?}: call {number}");
    }
    for number in (0..=LAST).map(|number| number | X32) {
        assert_eq!(attempt(role, number, [u64::MAX; 6]), End::Killed, "{role:?}: x32 call {number:#x}");
    }
    // Above every table, where numbers wrap or are negative.
    for number in [LAST + 1, 0x7fff_ffff, 0xffff_ffff, -1] {
        assert_eq!(attempt(role, number, [u64::MAX; 6]), End::Killed, "{role:?}: call {number:#x}");
    }
}

#[test]
fn what_the_rules_of_a_role_name_is_not_killed() {
    Role::ALL.into_iter().for_each(what_a_rule_names_is_not_killed);
}

#[test]
fn what_is_next_to_a_rule_of_a_role_is_killed() {
    Role::ALL.into_iter().for_each(what_is_next_to_a_rule_is_killed);
}

#[test]
fn what_no_rule_of_a_role_names_is_killed() {
    Role::ALL.into_iter().for_each(what_no_rule_names_is_killed);
}

/// Runs `body` in a forked child under a role's filter that tells of a denied call; returns the records.
fn told(role: Role, body: impl FnOnce() -> bool) -> (End, Vec<i64>) {
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_CLOEXEC;
    let (read, write) = nix::unistd::pipe2(flags).expect("a pipe");
    let end = under_filter_after(role, || trap::tell(Tell::Record(write)).is_ok(), body);
    let mut octets = Vec::new();
    // A process that another test has just forked may still hold the other end: then the end is that nothing is there.
    let _ = std::fs::File::from(read).read_to_end(&mut octets);
    (end, octets.as_chunks().0.iter().map(|record| trap::number(*record)).collect())
}

fn make_denied_call() -> bool {
    // SAFETY: the call has no path, and every role's filter denies it.
    unsafe { libc::syscall(libc::SYS_execve, 0, 0, 0) == -1 }
}

#[test]
fn which_call_was_denied_is_told_once_and_the_process_ends_all_the_same() {
    for role in Role::ALL {
        assert_eq!(told(role, make_denied_call), (End::Killed, vec![libc::SYS_execve]), "{role:?}");
    }
}

#[test]
fn a_process_without_threads_may_tell_of_a_denied_call_in_its_own_words_and_ends_all_the_same() {
    for role in [Role::Privileged, Role::PrivilegedVirtual] {
        let after = |words| {
            under_filter_after(role, move || trap::tell(Tell::Words(words)).is_ok(), make_denied_call)
        };
        assert_eq!(after(|_| {}), End::Killed, "{role:?}");
        // SAFETY: ends the process.
        let heard = after(|number| unsafe { libc::_exit(i32::from(number != libc::SYS_execve)) });
        assert_eq!(heard, End::Lived, "{role:?}");
    }
}

#[test]
fn an_abort_under_a_filter_is_told_by_a_call_of_which_the_log_says_so() {
    for role in Role::ALL {
        let (end, calls) = told(role, || std::process::abort());
        assert_eq!(end, End::Killed, "{role:?}");
        let is_told = calls.len() == 1 && trap::is_of_an_abort(calls[0]);
        // musl blocks all signals first, where the role's filter lets it: then only the kernel's log names the call.
        let is_told_by_the_kernel = cfg!(target_env = "musl") && calls.is_empty();
        assert!(is_told || is_told_by_the_kernel, "{role:?}: {calls:?}");
    }
}

#[test]
fn a_process_that_blocks_the_signal_of_a_denied_call_ends_at_it() {
    let block = || {
        // SAFETY: the set is filled by the call.
        unsafe {
            let mut all = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
        }
        make_denied_call()
    };
    for role in Role::ALL.into_iter().filter(|role| !draws_nothing(*role)) {
        assert_eq!(told(role, block), (End::Killed, vec![]), "{role:?}");
    }
}

/// A call through the 32-bit entry point, where its number means another call.
#[cfg(target_arch = "x86_64")]
fn call_as_i386(number: u32) {
    // SAFETY: the arguments are zero, which these calls refuse or which has no effect; rbx is restored.
    unsafe {
        std::arch::asm!(
            "push rbx", "xor ebx, ebx", "int 0x80", "pop rbx",
            inout("eax") number => _, in("ecx") 0u32, in("edx") 0u32, in("esi") 0u32, in("edi") 0u32,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn no_call_through_the_gate_of_32_bit_programs_is_let_through() {
    const GETPID: u32 = 20;
    // SAFETY: the child makes one call and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        call_as_i386(GETPID);
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    if waitpid(Pid::from_raw(child), None) != Ok(WaitStatus::Exited(Pid::from_raw(child), 0)) {
        return bench::skip("this kernel has no gate for 32-bit programs; nothing to do");
    }
    for role in Role::ALL {
        for number in 0..=470 {
            let end = under_filter(role, || {
                call_as_i386(number);
                true
            });
            assert_eq!(end, End::Killed, "{role:?}: i386 call {number}");
        }
    }
}

/// glibc 2.41 does this when a thread requests random numbers for the first time, if the vdso makes them: it works
/// on any kernel with such mappings, and on the others it is refused and not killed.
#[test]
fn a_thread_gets_its_state_of_random_numbers_under_the_filter_of_every_role_that_uses_them() {
    for role in Role::ALL.into_iter().filter(|role| !draws_nothing(*role)) {
        let end = under_filter(role, || {
            // SAFETY: the sets are filled by the calls, the mapping is at no particular address, and of two pages.
            unsafe {
                let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
                libc::sigfillset(&raw mut all);
                let blocked = libc::sigprocmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
                let rights = libc::PROT_READ | libc::PROT_WRITE;
                let kind = libc::MAP_DROPPABLE | libc::MAP_ANONYMOUS;
                let state = libc::mmap(std::ptr::null_mut(), 8192, rights, kind, -1, 0);
                let unmapped = state == libc::MAP_FAILED || libc::munmap(state, 8192) == 0;
                let restored = libc::sigprocmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
                blocked == 0 && restored == 0 && unmapped
            }
        });
        assert_eq!(end, End::Lived, "{role:?}");
    }
}

/// Whether it requests no random numbers, and so has no call that blocks signals either.
fn draws_nothing(role: Role) -> bool {
    matches!(role, Role::Privileged | Role::PrivilegedVirtual | Role::Refclock)
}

fn names(role: Role) -> BTreeSet<&'static str> {
    role.rules().rules.iter().filter(|rule| rule.answer.is_none()).map(|rule| rule.syscall).collect()
}

#[test]
fn no_role_executes_traces_mounts_or_changes_its_user() {
    let never = [
        "execve",
        "execveat",
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "mount",
        "pivot_root",
        "setns",
        "unshare",
        "chroot",
        "bpf",
        "io_uring_setup",
        "userfaultfd",
        "perf_event_open",
        "keyctl",
        "add_key",
        "memfd_create",
        "pidfd_getfd",
        "setuid",
        "setresuid",
        "capset",
        "tgkill",
        "tkill",
        "clone3",
        "vfork",
        "personality",
        "init_module",
        "kexec_load",
        "clock_settime",
        "settimeofday",
        "adjtimex",
        // What tells of a denied call can be replaced by nobody.
        "rt_sigaction",
        "dup2",
        "dup3",
    ];
    for role in Role::ALL {
        for name in never {
            assert!(!names(role).contains(name), "{role:?} may {name}");
        }
    }
}

#[test]
fn only_privileged_may_ask_for_the_clock_and_it_knows_no_network_and_no_file() {
    for role in Role::ALL {
        assert_eq!(names(role).contains("clock_adjtime"), role == Role::Privileged, "{role:?}");
    }
    let privileged = names(Role::Privileged);
    assert!(privileged.len() <= 14 || cfg!(target_env = "musl"), "{privileged:?}");
    for name in ["socket", "connect", "bind", "sendto", "recvfrom", "recvmsg", "open", "openat", "clone"] {
        assert!(!privileged.contains(name), "privileged may {name}");
    }
}

#[test]
fn only_roles_that_query_others_make_sockets_and_only_roles_that_read_by_name_open_files() {
    for role in Role::ALL {
        let confinement = role.confinement();
        // It connects to Samba's socket, in the folder that it sees, and opens none.
        let is_samba = role == Role::Samba;
        for name in ["socket", "connect"] {
            let connects = confinement.network != Network::None || is_samba;
            assert_eq!(names(role).contains(name), connects, "{role:?}: {name}");
        }
        let reads = (confinement.looks_up || !confinement.sees.is_empty()) && !is_samba;
        let opens = role.rules().rules.iter().any(|rule| rule.syscall == "openat" && rule.answer.is_none());
        assert_eq!(opens, reads, "{role:?}");
        assert!(!names(role).contains("listen"), "{role:?}");
    }
}

#[test]
fn who_reads_reference_clocks_has_a_list_of_its_own_of_fourteen_calls_and_no_way_to_make_a_descriptor() {
    let calls = names(Role::Refclock);
    assert!(calls.len() <= 14, "{calls:?}");
    for name in [
        "socket", "connect", "bind", "open", "openat", "accept4", "dup", "clone", "ioctl", "sendto",
        "recvmsg",
    ] {
        assert!(!calls.contains(name), "{name}");
    }
}

/// A key of `[confinement]` that is left out is no limit: these are not left out.
#[test]
fn who_takes_what_strangers_send_is_limited_in_memory_and_the_child_of_an_exchange_in_time() {
    for role in [Role::Server, Role::KeyService] {
        assert_eq!(role.confinement().data, Some(512 << 20), "{role:?}");
    }
    assert_eq!(Role::ExchangeChild.confinement().cpu_time, Some(2));
}

#[test]
fn who_decides_acts_or_signs_makes_no_socket() {
    for role in [
        Role::Privileged,
        Role::PrivilegedVirtual,
        Role::Engine,
        Role::KeyHolder,
        Role::Samba,
        Role::Refclock,
    ] {
        assert_eq!(role.confinement().network, Network::None, "{role:?}");
    }
}

#[test]
fn only_engine_and_key_service_take_connections_and_the_key_holder_has_no_call_of_a_socket() {
    for role in Role::ALL {
        let takes_connections = matches!(role, Role::Engine | Role::KeyService);
        assert_eq!(names(role).contains("accept4"), takes_connections, "{role:?}");
    }
    for name in
        ["sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "accept4", "shutdown", "bind", "setsockopt"]
    {
        assert!(!names(Role::KeyHolder).contains(name), "the key holder may {name}");
    }
    for name in ["bind", "setsockopt", "sendmsg", "recvmsg"] {
        assert!(!names(Role::KeyService).contains(name), "the key exchange service may {name}");
    }
}

/// Which interface has a name, and over which one a connection came: nothing else is asked of a socket, and nothing is set.
#[test]
fn the_key_service_asks_its_sockets_of_interfaces_alone() {
    let asked = |name| {
        let rules = Role::KeyService.rules().rules.iter().filter(move |rule| rule.syscall == name);
        rules.map(|rule| rule.conditions.iter().map(|it| (it.index, it.value)).collect()).collect()
    };
    let ioctl: Vec<Vec<_>> = asked("ioctl");
    assert_eq!(ioctl, [[(1, u64::from(libc::SIOCGIFINDEX as u32))]]);
    let getsockopt: Vec<Vec<_>> = asked("getsockopt");
    let [v4, v6] = [(libc::IPPROTO_IP, libc::IP_PKTOPTIONS), (libc::IPPROTO_IPV6, libc::IPV6_2292PKTOPTIONS)];
    let options = [v4, v6].map(|(level, option)| [(1, level as u64), (2, option as u64)]);
    assert_eq!(getsockopt, options);
}

#[test]
fn a_rule_of_the_exchange_child_is_one_of_its_parents() {
    let parent = Role::Exchange.rules().rules;
    for rule in Role::ExchangeChild.rules().rules {
        assert!(parent.contains(rule), "{}", rule.syscall);
    }
    for name in ["clone", "wait4", "kill", "socketpair", "prctl", "seccomp", "prlimit64"] {
        assert!(!names(Role::ExchangeChild).contains(name), "the child may {name}");
    }
}
