//! `lacking ERRNO CALL[,CALL…] PROGRAM ARGUMENT…`: runs a program, and everything it starts, as if on a kernel that
//! answers these calls with this errno: an older kernel, or the filter of a service manager or of a container.
//! `socket:inet6` means sockets of IPv6 only, `socket:netlink` those of netlink, `unshare:ipc` namespaces that include IPC.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [errno, calls, program, arguments @ ..] = words.as_slice() else {
        fail("lacking ERRNO CALL,CALL PROGRAM ARGUMENT…")
    };
    if let Err(error) = forbid(errno, calls) {
        fail(&format!("lacking: {error}"));
    }
    let error = Command::new(program).args(arguments).exec();
    fail(&format!("lacking: {program}: {error}"));
}

fn forbid(errno: &str, calls: &str) -> Result<(), Box<dyn std::error::Error>> {
    let numbers = calls.split(',').map(rule).collect::<Result<Vec<_>, _>>()?;
    let rules: BTreeMap<i64, Vec<SeccompRule>> = numbers.into_iter().collect();
    let answer = SeccompAction::Errno(errno.parse()?);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}

fn rule(call: &str) -> Result<(i64, Vec<SeccompRule>), Box<dyn std::error::Error>> {
    let family = match call {
        "socket:inet6" => Some(libc::AF_INET6),
        "socket:netlink" => Some(libc::AF_NETLINK),
        _ => None,
    };
    if let Some(family) = family {
        let family = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family as u64)?;
        return Ok((libc::SYS_socket, vec![SeccompRule::new(vec![family])?]));
    }
    if call == "unshare:ipc" {
        let ipc = libc::CLONE_NEWIPC as u64;
        let flags = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(ipc), ipc)?;
        return Ok((libc::SYS_unshare, vec![SeccompRule::new(vec![flags])?]));
    }
    Ok((number(call)?, Vec::new()))
}

fn number(call: &str) -> Result<libc::c_long, String> {
    Ok(match call {
        "openat2" => libc::SYS_openat2,
        "close_range" => libc::SYS_close_range,
        "fallocate" => libc::SYS_fallocate,
        "flock" => libc::SYS_flock,
        "fchownat" => libc::SYS_fchownat,
        "fchmodat2" => libc::SYS_fchmodat2,
        "unshare" => libc::SYS_unshare,
        "mount" => libc::SYS_mount,
        "mount_setattr" => libc::SYS_mount_setattr,
        "pivot_root" => libc::SYS_pivot_root,
        "umount2" => libc::SYS_umount2,
        "landlock_create_ruleset" => libc::SYS_landlock_create_ruleset,
        "landlock_add_rule" => libc::SYS_landlock_add_rule,
        "landlock_restrict_self" => libc::SYS_landlock_restrict_self,
        "clone3" => libc::SYS_clone3,
        "pidfd_open" => libc::SYS_pidfd_open,
        "memfd_create" => libc::SYS_memfd_create,
        "timerfd_create" => libc::SYS_timerfd_create,
        "seccomp" => libc::SYS_seccomp,
        "prlimit64" => libc::SYS_prlimit64,
        other => return Err(format!("the call {other} is not known here")),
    })
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    exit(2)
}
