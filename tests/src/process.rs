//! The kernel's view of a process.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

/// One process of a daemon, as `/proc` shows it, and not as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// `privileged`, `engine`, `client`, `server`, `exchange`, `key-service`, `key-holder` or `samba`; else the program's name.
    pub role: String,
    /// Effective user id.
    pub uid: u32,
    /// Permitted capabilities, one bit each.
    pub permitted: u64,
    /// Effective capabilities.
    pub effective: u64,
    /// Bounding set.
    pub bounding: u64,
    /// 2: system calls are filtered.
    pub seccomp: u64,
    /// 1: no program that it executes gains rights.
    pub no_new_privileges: u64,
    /// Octets of resident memory.
    pub resident: u64,
    /// Threads.
    pub threads: u64,
}

/// The role of a process, from the name of the program that was started; the kernel's own name is truncated.
fn role(pid: u32) -> Option<String> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let path = std::str::from_utf8(arguments.split(|octet| *octet == 0).next()?).ok()?;
    named_role(path.rsplit('/').next()?).map(str::to_owned)
}

/// The role of a program of ours.
fn named_role(program: &str) -> Option<&'static str> {
    if ipc::process::KEEPERS.contains(&program) {
        return Some(ipc::process::Process::Privileged.name());
    }
    let process = ipc::process::Process::ALL.into_iter().find(|process| process.program() == program)?;
    Some(process.word())
}

/// The state of a process's main thread, a letter as in proc(5): `S` asleep, `T` stopped, `Z` ended; `None` if there is
/// no such process.
pub fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// CAP_SYS_TIME alone.
pub const SYS_TIME: u64 = 1 << 25;

impl Process {
    /// Kills it, if it is still there.
    pub fn kill(&self) {
        let _ = kill(Pid::from_raw(self.pid as i32), Signal::SIGKILL);
    }

    /// Reads `/proc/PID`; `None` if the process is gone.
    pub fn read(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let role = role(pid).or_else(|| field(&status, "Name").map(str::to_owned))?;
        Some(Self {
            pid,
            role,
            uid: field(&status, "Uid")?.split_whitespace().nth(1)?.parse().ok()?,
            permitted: hexadecimal(&status, "CapPrm")?,
            effective: hexadecimal(&status, "CapEff")?,
            bounding: hexadecimal(&status, "CapBnd")?,
            seccomp: field(&status, "Seccomp")?.parse().ok()?,
            no_new_privileges: field(&status, "NoNewPrivs")?.parse().ok()?,
            resident: kibibytes(&status, "VmRSS").unwrap_or(0) * 1024,
            threads: field(&status, "Threads")?.parse().ok()?,
        })
    }

    /// Octets of memory with shared pages divided by their users; `None` if the kernel will not tell us
    /// (another user's process, or one that is not dumpable, unless we are root).
    pub fn proportional(&self) -> Option<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).ok()?;
        Some(kibibytes(&rollup, "Pss")? * 1024)
    }

    /// How often its threads were scheduled so far.
    pub fn wake_ups(&self) -> Option<u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?;
        let of_thread = |status: String| {
            let number = |name| field(&status, name)?.parse::<u64>().ok();
            Some(number("voluntary_ctxt_switches")? + number("nonvoluntary_ctxt_switches")?)
        };
        threads
            .flatten()
            .map(|thread| of_thread(fs::read_to_string(thread.path().join("status")).ok()?))
            .sum()
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let may = match self.effective {
            0 => "no capability".to_owned(),
            SYS_TIME => "CAP_SYS_TIME".to_owned(),
            other => format!("capabilities {other:x}"),
        };
        let filter = if self.seccomp == 2 { "system calls filtered" } else { "NO FILTER" };
        let sealed = if self.no_new_privileges == 1 { "can gain nothing by exec" } else { "exec NOT sealed" };
        format!("{:<10} pid {:<7} uid {:<6} {may}, {filter}, {sealed}", self.role, self.pid, self.uid)
    }
}

/// The processes that `pid` started and that are alive, in order of their ids.
pub fn children(pid: u32) -> Vec<Process> {
    let mut found: Vec<_> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|child| parent(*child) == Some(pid))
        .filter_map(Process::read)
        .collect();
    found.sort_by_key(|process| process.pid);
    found
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // A zombie has an end, but no memory and no rights any more.
    let alive = !field(&status, "State")?.starts_with('Z');
    field(&status, "PPid")?.parse().ok().filter(|_| alive)
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix("kB")?.trim().parse().ok()
}

/// A field of `/proc/PID/status` that is written in hexadecimal.
pub(crate) fn hexadecimal(text: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(field(text, name)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_wake_ups_and_a_user() {
        let me = Process::read(std::process::id()).unwrap();
        assert!(me.resident > 100_000 && me.wake_ups().unwrap() > 0);
        assert_eq!(me.uid, nix::unistd::geteuid().as_raw());
        assert!(me.proportional().unwrap() <= me.resident * 2);
    }

    #[test]
    fn a_child_is_found_and_an_ended_one_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = || children(std::process::id()).iter().any(|process| process.pid == child.id());
        assert!(found());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children(std::process::id()).iter().any(|process| process.pid == child.id()));
    }
}
