//! Signals as something to read: what this process is asked to do, and which of the others has ended.
//!
//! The kernel keeps one word of a death at a time, and signals a death only after it has taken the namespaces of the
//! dead apart: of several deaths the first signal is not always that of the first death. So a process that ended stays
//! as it is, unreaped, until at the end all of them are asked after.

use crate::clock::nanos;
use crate::ending::say;
use ipc::process::{PerProcess, Process};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

/// What was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// SIGTERM or SIGINT: to end.
    Stop,
    /// SIGHUP: to read the configuration again.
    Reload,
    /// SIGCHLD: a process has ended.
    Death(Death),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// Which one.
    pub pid: u32,
    /// Its exit code, or the signal that ended it.
    pub end: Result<i32, i32>,
}

/// SIGTERM, SIGINT, SIGHUP and SIGCHLD become readable; SIGPIPE is ignored already.
///
/// # Errors
/// The kernel's.
pub fn catch() -> Result<OwnedFd, Errno> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let owned = signals.as_fd().try_clone_to_owned();
    owned.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

/// The next signal that waits and means something.
pub fn caught(signals: &OwnedFd) -> Option<Caught> {
    loop {
        let mut information = [0; 128];
        let length = nix::unistd::read(signals, &mut information).ok()?;
        let read = Some(&information).filter(|_| length == information.len())?;
        if let Some(caught) = understand(read) {
            return Some(caught);
        }
    }
}

/// A signalfd_siginfo: numbers of 32 bits, signal, errno, code, process, user, descriptor, timer, band, overrun, trap,
/// status.
fn understand(information: &[u8; 128]) -> Option<Caught> {
    let number = |at: usize| {
        let octets = information.get(at * 4..)?.first_chunk()?;
        Some(i32::from_ne_bytes(*octets))
    };
    match number(0)? {
        libc::SIGHUP => Some(Caught::Reload),
        libc::SIGCHLD => {
            let end = match number(2)? {
                libc::CLD_EXITED => Ok(number(10)?),
                libc::CLD_KILLED | libc::CLD_DUMPED => Err(number(10)?),
                // Stopped, or goes on.
                _ => return None,
            };
            Some(Caught::Death(Death { pid: number(3)?.cast_unsigned(), end }))
        }
        _ => Some(Caught::Stop),
    }
}

impl Death {
    /// Tells the administrator, for all end with this one. Who ended because the others did, or has said why by
    /// itself, is no news. `processes` are all of them; 0 where there is none.
    pub fn tell(&self, processes: &PerProcess<u32>) {
        if let Some(process) = self.is_news(processes) {
            say(3, &format_args!("{} (process {}) {self}", process.title(), self.pid));
        }
    }

    /// Which process it was, where it is news. The engine says by itself why it ends.
    fn is_news(&self, processes: &PerProcess<u32>) -> Option<Process> {
        let (process, _) = processes.iter().find(|(_, pid)| **pid == self.pid)?;
        let is_told = match self.end {
            Ok(code) => code != 0 && process != Process::Engine,
            Err(_) => true,
        };
        is_told.then_some(process)
    }
}

/// At the end, tells which process died: one that was killed did not follow another, one that only ended may have. Waits
/// at most `patience` nanoseconds for a death that the kernel has not made known yet.
pub fn tell_death(signals: &OwnedFd, processes: &PerProcess<u32>, patience: i64) {
    let started = nanos(ClockId::CLOCK_MONOTONIC);
    let death = loop {
        let dead: Vec<Death> = others(processes).filter_map(|(_, pid)| dead(pid)).collect();
        let killed = dead.iter().find(|death| death.end.is_err()).copied();
        let left = patience - (nanos(ClockId::CLOCK_MONOTONIC) - started);
        if killed.is_some() || left <= 0 {
            break killed.or_else(|| dead.into_iter().find(|death| death.is_news(processes).is_some()));
        }
        wait_for_signal(signals, left);
    };
    if let Some(death) = death {
        death.tell(processes);
    }
}

/// Waits until all processes have ended, at most `patience` nanoseconds, and names those that haven't. One whose link is
/// closed is not gone yet: the kernel still takes its namespaces apart, and a service manager that finds it then kills it
/// and says so.
pub fn await_ends(signals: &OwnedFd, processes: &PerProcess<u32>, patience: i64) -> Vec<&'static str> {
    let started = nanos(ClockId::CLOCK_MONOTONIC);
    loop {
        let running = others(processes).filter(|(_, pid)| is_running(*pid));
        let left: Vec<_> = running.map(|(process, _)| process.title()).collect();
        let rest = patience - (nanos(ClockId::CLOCK_MONOTONIC) - started);
        if left.is_empty() || rest <= 0 {
            return left;
        }
        wait_for_signal(signals, rest);
    }
}

/// All but this one.
fn others(processes: &PerProcess<u32>) -> impl Iterator<Item = (Process, u32)> {
    processes
        .iter()
        .map(|(process, pid)| (process, *pid))
        .filter(|(process, _)| *process != Process::Privileged)
}

/// Takes what has been signalled, and waits for more, at most `patience` nanoseconds and a hundredth of a second: a second
/// death is signalled together with the first one where that signal still waits.
fn wait_for_signal(signals: &OwnedFd, patience: i64) {
    while caught(signals).is_some() {}
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let _ = ppoll(&mut fds, Some(TimeSpec::new(0, patience.min(10_000_000))), None);
}

/// What the kernel says of a child of this process, which stays as it is; nothing where this is none.
fn status(pid: u32) -> Option<WaitStatus> {
    let id = Id::Pid(Pid::from_raw(i32::try_from(pid).ok().filter(|pid| *pid > 0)?));
    waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT).ok()
}

/// Whether it is a child of this process that has not ended.
fn is_running(pid: u32) -> bool {
    status(pid) == Some(WaitStatus::StillAlive)
}

/// How this process ended, where it has.
fn dead(pid: u32) -> Option<Death> {
    let end = match status(pid)? {
        WaitStatus::Exited(_, code) => Ok(code),
        WaitStatus::Signaled(_, signal, _) => Err(signal as i32),
        _ => return None,
    };
    Some(Death { pid, end })
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Ok(code) => write!(f, "ended with code {code}"),
            Err(libc::SIGSYS) => f.write_str(
                "was killed by its system call filter (SIGSYS): either it was taken over, or the filter is too narrow \
                 for this system; the kernel's log names the call (journalctl -k --grep type=1326)",
            ),
            Err(signal) => write!(f, "was killed by signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn information(numbers: &[(usize, i32)]) -> [u8; 128] {
        let mut information = [0; 128];
        for (at, number) in numbers {
            information[at * 4..at * 4 + 4].copy_from_slice(&number.to_ne_bytes());
        }
        information
    }

    #[test]
    fn a_death_is_told_from_a_stop_and_a_filter_from_another_signal() {
        let child = |code, status| {
            understand(&information(&[(0, libc::SIGCHLD), (2, code), (3, 4_711), (10, status)]))
        };
        assert_eq!(child(libc::CLD_STOPPED, libc::SIGSTOP), None);
        assert_eq!(child(libc::CLD_EXITED, 70), Some(Caught::Death(Death { pid: 4_711, end: Ok(70) })));
        let killed = Death { pid: 4_711, end: Err(libc::SIGSYS) };
        assert_eq!(child(libc::CLD_KILLED, libc::SIGSYS), Some(Caught::Death(killed)));
        assert!(killed.to_string().contains("system call filter"));
        assert_eq!(Death { end: Err(9), ..killed }.to_string(), "was killed by signal 9");
    }

    #[test]
    fn the_others_are_waited_for_until_they_are_gone_and_named_where_they_are_not() {
        let sleeps = |seconds: &str| std::process::Command::new("sleep").arg(seconds).spawn().unwrap();
        let (mut short, mut long) = (sleeps("0.2"), sleeps("600"));
        let signals = catch().unwrap();
        let mut all = PerProcess::default();
        (all[Process::Privileged], all[Process::Engine]) = (1, short.id());
        assert!(await_ends(&signals, &all, 60_000_000_000).is_empty());
        all[Process::KeyHolder] = long.id();
        assert_eq!(await_ends(&signals, &all, 1_000_000), ["the key holder"]);
        long.kill().unwrap();
        assert!(await_ends(&signals, &all, 60_000_000_000).is_empty());
        let _ = (short.wait(), long.wait());
    }

    #[test]
    fn who_ended_by_itself_and_said_so_is_no_news() {
        let all =
            PerProcess::from_fn(|process| if process == Process::Server { 0 } else { 10 + process as u32 });
        let news = |pid, end| Death { pid, end }.is_news(&all);
        assert_eq!(news(16, Err(libc::SIGSYS)), Some(Process::KeyHolder));
        assert_eq!(news(11, Err(libc::SIGKILL)), Some(Process::Engine));
        assert_eq!(news(15, Ok(70)), Some(Process::KeyService));
        assert_eq!(news(11, Ok(1)), None);
        assert_eq!(news(15, Ok(0)), None);
        assert_eq!(news(99, Err(libc::SIGKILL)), None);
    }

    #[test]
    fn what_the_administrator_sends_is_told_apart() {
        for (signal, meaning) in
            [(libc::SIGTERM, Caught::Stop), (libc::SIGINT, Caught::Stop), (libc::SIGHUP, Caught::Reload)]
        {
            assert_eq!(understand(&information(&[(0, signal)])), Some(meaning));
        }
    }
}
