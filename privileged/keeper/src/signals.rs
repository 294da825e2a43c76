//! Signals through a signalfd: requests to this process, and deaths of the others.
//!
//! The kernel queues only one SIGCHLD at a time, and sends it only after it has torn down the namespaces of the dead
//! process: of several deaths the first signal is not always that of the first death. A signal therefore only triggers
//! a check, and an ended process stays unreaped until all of them are queried at the end.

use crate::ending::say;
use crate::kernel::{self, Child};
use filters::trap;
use ipc::leave::Permission;
use ipc::process::{PerProcess, Process};
use ipc::units::Span;
use ipc_clock::raw;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

/// How often a pipe of denied calls is read at most: more than it holds.
const MOST_READS: u32 = 256;

/// A received signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// SIGTERM or SIGINT: end.
    Stop,
    /// SIGHUP: reload the configuration.
    Reload,
    /// SIGUSR1 with a value (sigqueue(3)), as `control/leave` makes it: the operator permits one step. Only root and the
    /// keeper's own user may signal it.
    Permit(Permission),
    /// SIGUSR1 without a value: nothing is to be done.
    Nothing,
    /// SIGCHLD: a process has ended, stopped or continued.
    Child,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Which process.
    pub process: Process,
    /// Its pid.
    pub pid: u32,
    /// Its exit code, or the signal that ended it.
    pub end: Result<i32, i32>,
    /// The number of the system call that its filter denied, as the process said.
    pub call: Option<i64>,
}

/// The next pending signal.
pub fn caught(mut signals: &File) -> Option<Caught> {
    // A signalfd_siginfo, which begins with the signal.
    let mut information = [0; 128];
    let length = signals.read(&mut information).ok()?;
    let signal = information.first_chunk().filter(|_| length == information.len())?;
    Some(match i32::from_ne_bytes(*signal) {
        libc::SIGHUP => Caught::Reload,
        libc::SIGCHLD => Caught::Child,
        libc::SIGUSR1 => permitted(&information).map_or(Caught::Nothing, Caught::Permit),
        _ => Caught::Stop,
    })
}

/// The value that came with a signal: `ssi_ptr` where `ssi_code` is that of sigqueue(3).
fn permitted(information: &[u8; 128]) -> Option<Permission> {
    let code = i32::from_ne_bytes(*information.get(8..)?.first_chunk()?);
    let value = u64::from_ne_bytes(*information.get(48..)?.first_chunk()?);
    (code == libc::SI_QUEUE).then_some(Permission::from_value(value))
}

impl Death {
    /// Logs the death, since all processes end with this one. A process that only followed the others, or has logged
    /// its own reason, is not mentioned.
    fn tell(&self) {
        if self.is_news() {
            say(3, &format_args!("{} (process {}) {self}", self.process.title(), self.pid));
        }
    }

    /// Whether it must be logged here. The engine logs its own reason.
    fn is_news(&self) -> bool {
        match self.end {
            Ok(code) => code != 0 && self.process != Process::Engine,
            Err(_) => true,
        }
    }
}

/// Logs which process died first: one that was killed did not follow another, one that exited may have. Waits at most
/// `timeout` for a death that the kernel has not reported yet. `processes` has all pids; 0 if there is no
/// such process. `denied` has the pipes in which they leave the numbers of denied system calls.
pub fn tell_death(
    signals: &File,
    processes: &PerProcess<u32>,
    denied: &PerProcess<Option<File>>,
    timeout: Span,
) {
    let started = raw();
    let death = loop {
        let dead: Vec<Death> = others(processes).filter_map(dead).collect();
        let killed = dead.iter().find(|death| death.end.is_err()).copied();
        let left = timeout.less(raw().elapsed_since(started));
        if killed.is_some() || left == Span::ZERO {
            break killed.or_else(|| dead.into_iter().find(Death::is_news));
        }
        wait_for_signal(signals, left);
    };
    if let Some(mut death) = death {
        death.call = denied[death.process].as_ref().and_then(last_denied);
        death.tell();
    }
}

/// Waits until all processes have ended, for at most `timeout`, and returns the names of those still
/// running. A process whose link is closed may still exist while the kernel tears down its namespaces, and a service
/// manager that finds it then kills it and logs that.
pub fn await_ends(signals: &File, processes: &PerProcess<u32>, timeout: Span) -> Vec<&'static str> {
    let started = raw();
    loop {
        let running = others(processes).filter(|(_, pid)| kernel::child(*pid) == Child::Runs);
        let left: Vec<_> = running.map(|(process, _)| process.title()).collect();
        let rest = timeout.less(raw().elapsed_since(started));
        if left.is_empty() || rest == Span::ZERO {
            return left;
        }
        wait_for_signal(signals, rest);
    }
}

/// Logs which processes did not end within this time.
pub fn tell_left(left: &[&str], timeout: Span) {
    for name in left {
        say(4, &format_args!("{name} did not end within {} ms", timeout.nanos() / 1_000_000));
    }
}

/// The last record in such a pipe. A process that was taken over may have written anything: what is said about it is then
/// a lie of its own.
fn last_denied(mut pipe: &File) -> Option<i64> {
    let mut records = [0; trap::RECORD * 64];
    let mut last = None;
    for _ in 0..MOST_READS {
        let length = pipe.read(&mut records).ok().filter(|length| *length > 0);
        let Some(read) = length.and_then(|length| records.get(..length)) else { break };
        last = read.as_chunks().0.last().copied().or(last);
    }
    last.map(trap::number)
}

/// All except this process.
fn others(processes: &PerProcess<u32>) -> impl Iterator<Item = (Process, u32)> {
    processes
        .iter()
        .map(|(process, pid)| (process, *pid))
        .filter(|(process, _)| *process != Process::Privileged)
}

/// Takes the pending signals and waits for more, for at most `timeout` and at most 10 ms: a second SIGCHLD
/// merges with the first while that is pending.
fn wait_for_signal(signals: &File, timeout: Span) {
    while caught(signals).is_some() {}
    let _ = kernel::wait([(signals.as_fd(), libc::POLLIN)], timeout.min(Span::from_millis(10)));
}

/// How this process ended, if it has.
fn dead((process, pid): (Process, u32)) -> Option<Death> {
    match kernel::child(pid) {
        Child::Ended(end) => Some(Death { process, pid, end, call: None }),
        Child::Runs | Child::None => None,
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Ok(code) => write!(f, "ended with code {code}"),
            Err(libc::SIGSYS) => write!(
                f,
                "was killed by its system call filter (SIGSYS): {}; either it was taken over, or the filter is too narrow \
                 for this system: please report it",
                Call(self.call)
            ),
            Err(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

/// A denied system call, for messages.
pub struct Call(pub Option<i64>);

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.map(|number| (number, filters::name(number))) {
            Some((number, Some(name))) if trap::is_of_an_abort(number) => write!(
                f,
                "the call {name} ({number}) is not permitted, which is one of an abort: no memory was left within its \
                 limits, or what it had there was damaged"
            ),
            Some((number, Some(name))) => write!(f, "the call {name} ({number}) is not permitted"),
            Some((number, None)) => write!(f, "the call with the number {number} is not permitted"),
            None => f.write_str("the kernel's log may name the call (journalctl -k --grep type=1326)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SigSet, Signal};
    use nix::sys::signalfd::{SfdFlags, SignalFd};

    fn catch() -> File {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
            mask.add(signal);
        }
        mask.thread_block().unwrap();
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).unwrap();
        signals.as_fd().try_clone_to_owned().unwrap().into()
    }

    #[test]
    fn a_filter_is_told_from_another_signal() {
        let killed = Death { process: Process::Server, pid: 4_711, end: Err(libc::SIGSYS), call: None };
        assert!(killed.to_string().contains("system call filter"));
        let aborted = Death { call: Some(libc::SYS_tgkill), ..killed }.to_string();
        assert!(aborted.contains("the call tgkill") && aborted.contains("no memory was left"), "{aborted}");
        let other = Death { call: Some(libc::SYS_execve), ..killed }.to_string();
        assert!(other.contains("the call execve") && !other.contains("memory"), "{other}");
        assert_eq!(Death { end: Err(9), ..killed }.to_string(), "was killed by signal 9");
        assert_eq!(Death { end: Ok(70), ..killed }.to_string(), "ended with code 70");
    }

    #[test]
    fn the_others_are_waited_for_until_they_are_gone_and_named_where_they_are_not() {
        let sleeps = |seconds: &str| std::process::Command::new("sleep").arg(seconds).spawn().unwrap();
        let (mut short, mut long) = (sleeps("0.2"), sleeps("600"));
        let signals = catch();
        let mut all = PerProcess::default();
        (all[Process::Privileged], all[Process::Engine]) = (1, short.id());
        assert!(await_ends(&signals, &all, Span::from_secs(60)).is_empty());
        all[Process::KeyHolder] = long.id();
        assert_eq!(await_ends(&signals, &all, Span::from_millis(1)), ["the key holder"]);
        long.kill().unwrap();
        assert!(await_ends(&signals, &all, Span::from_secs(60)).is_empty());
        let _ = (short.wait(), long.wait());
    }

    #[test]
    fn who_ended_by_itself_and_said_so_is_no_news() {
        let is_news = |process, end| Death { process, pid: 10, end, call: None }.is_news();
        assert!(is_news(Process::KeyHolder, Err(libc::SIGSYS)));
        assert!(is_news(Process::Engine, Err(libc::SIGKILL)));
        assert!(is_news(Process::KeyService, Ok(70)));
        assert!(!is_news(Process::Engine, Ok(1)));
        assert!(!is_news(Process::KeyService, Ok(0)));
    }

    #[test]
    fn what_the_administrator_sends_is_told_apart() {
        let signals = catch();
        for (signal, meaning) in
            [(libc::SIGTERM, Caught::Stop), (libc::SIGINT, Caught::Stop), (libc::SIGHUP, Caught::Reload)]
        {
            // Sent to this thread only, which has blocked it.
            nix::sys::signal::raise(signal.try_into().unwrap()).unwrap();
            assert_eq!(caught(&signals), Some(meaning));
        }
        assert!(!matches!(caught(&signals), Some(Caught::Stop | Caught::Reload)));
    }
}
