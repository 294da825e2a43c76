//! A child from its parent's point of view: a process id, and a socket for its results.

use super::fork::fork_into;
use super::key_exchange::exchange_keys;
use super::lawful::{Judged, judge};
use super::lookup::look_up;
use super::roots::RootFiles;
use super::round::measure;
use ipc::message::exchange::{
    Addresses, Asked, ExchangeFailed, ExchangeFailure, Failed, Families, FromExchange, LookupFailure,
    MeasureFailed, MeasureFailure, ToExchange,
};
use ipc::units::{RawInstant, Span};
use ipc_link::Link;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, close};
use policies::Inherited;
use policies::denied::{RECORD, number};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::exit;

/// Time limit of a look-up: the C library's own retries fit in, also where some name servers are dead or a list of domains
/// is searched behind a dead one (5 s each with glibc), or where it waits for the addresses of one family only (15 s).
const LOOKUP: Span = Span::from_secs(30);

/// Time limit of a key exchange after the look-up of the server's name, including that of another name that the server gives.
const EXCHANGE: Span = Span::from_secs(16);

/// Time limit of a round of Roughtime with all its look-ups, which are bounded by themselves (`round.rs`).
const ROUND: Span = Span::from_secs(100);

/// First descriptor that is not a standard stream, and one above the highest that this role may have
/// (its limit of open files).
const OTHERS: std::ops::Range<RawFd> = 3..64;

/// Exit code of a child that could not confine itself.
const UNCONFINED: i32 = 70;

/// What a child runs.
type Body = dyn Fn(&Part, Link<FromExchange, ToExchange>, OwnedFd);

/// The work of children, and its time limits.
pub struct Work {
    body: Box<Body>,
    pub(super) lookup: Span,
    exchange: Span,
    round: Span,
}

/// What one child does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// It looks this name up, exchanges keys with this server, or makes this round.
    pub(super) task: ToExchange,
    /// Of which families it asks for addresses.
    pub(super) families: Families,
    /// The addresses of the server's name.
    pub(super) known: Option<Addresses>,
}

/// A process that works on a look-up or key exchange.
#[derive(Debug)]
pub(super) struct Child {
    part: Part,
    pid: Pid,
    result: Link<ToExchange, FromExchange>,
    asked: Asked,
    /// Where it leaves the number of a system call that its filter denied.
    denied: File,
    /// Cookies or answers, kept until the whole is known to have succeeded.
    parts: Vec<FromExchange>,
}

/// Why a child itself reported nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The child process cannot be started now.
    NotStarted,
    /// It took longer than its deadline.
    Deadline,
    /// It died, or sent a message that it may not send.
    Broken,
    /// Its filter ended it at the system call with this number.
    Denied(u16),
}

/// The result of a task whose child reported nothing.
pub(super) const fn failed(task: &ToExchange, trouble: Trouble) -> FromExchange {
    match task {
        ToExchange::Resolve(resolve) => FromExchange::Failed(Failed {
            id: resolve.id,
            reason: match trouble {
                Trouble::NotStarted => LookupFailure::NotStarted,
                Trouble::Deadline => LookupFailure::Deadline,
                Trouble::Broken => LookupFailure::Broken,
                Trouble::Denied(call) => LookupFailure::Denied(call),
            },
        }),
        ToExchange::Exchange(exchange) => FromExchange::ExchangeFailed(ExchangeFailed {
            id: exchange.id,
            reason: match trouble {
                Trouble::NotStarted => ExchangeFailure::NotStarted,
                Trouble::Deadline => ExchangeFailure::Deadline,
                Trouble::Broken => ExchangeFailure::Broken,
                Trouble::Denied(call) => ExchangeFailure::Denied(call),
            },
        }),
        ToExchange::Measure(measure) => FromExchange::MeasureFailed(MeasureFailed {
            id: measure.id,
            reason: match trouble {
                Trouble::NotStarted => MeasureFailure::NotStarted,
                Trouble::Deadline => MeasureFailure::Deadline,
                Trouble::Broken => MeasureFailure::Broken,
                Trouble::Denied(call) => MeasureFailure::Denied(call),
            },
        }),
        ToExchange::Ping => FromExchange::Pong,
    }
}

/// The port that a task connects to over TCP, beside those of resolvers.
const fn port_of(task: &ToExchange) -> Option<u16> {
    match task {
        ToExchange::Exchange(exchange) => Some(exchange.port),
        ToExchange::Resolve(_) | ToExchange::Measure(_) | ToExchange::Ping => None,
    }
}

/// Looks a name up, exchanges keys, or makes a round.
fn carry_out(part: &Part, roots: &RootFiles) -> Vec<FromExchange> {
    match &part.task {
        ToExchange::Resolve(resolve) => vec![look_up(resolve, part.families)],
        ToExchange::Exchange(exchange) => exchange_keys(exchange, part.known, part.families, roots),
        ToExchange::Measure(round) => measure(round),
        ToExchange::Ping => Vec::new(),
    }
}

impl Work {
    /// Performs the requested task; narrows the filter first.
    pub fn confined(inherited: Inherited) -> Self {
        let roots = RootFiles::from_words(&inherited);
        let body = move |part: &Part, mut result: Link<FromExchange, ToExchange>, denied: OwnedFd| {
            if policies::confine_child(&inherited, denied, port_of(&part.task)).is_err() {
                exit(UNCONFINED);
            }
            for message in carry_out(part, &roots) {
                // If the parent is gone, there is no process to report to.
                if result.send(&message).is_err() {
                    break;
                }
            }
        };
        Self { body: Box::new(body), lookup: LOOKUP, exchange: EXCHANGE, round: ROUND }
    }

    /// Other work: how a test plays a child that misbehaves.
    pub fn other(
        body: impl Fn(&ToExchange, Link<FromExchange, ToExchange>) + 'static,
        deadline: Span,
    ) -> Self {
        let body = move |part: &Part, result: Link<FromExchange, ToExchange>, denied: OwnedFd| {
            // It has no filter of its own.
            drop(denied);
            body(&part.task, result);
        };
        Self { body: Box::new(body), lookup: deadline, exchange: deadline, round: deadline }
    }

    /// When the child of this task must have ended that has no name to look up, or has looked it up.
    pub(super) fn deadline(&self, task: &ToExchange, now: RawInstant) -> RawInstant {
        now.after(match task {
            ToExchange::Measure(_) => self.round,
            ToExchange::Exchange(_) | ToExchange::Resolve(_) | ToExchange::Ping => self.exchange,
        })
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("lookup", &self.lookup).finish_non_exhaustive()
    }
}

impl Child {
    /// Forks.
    pub(super) fn start(part: Part, work: &Work) -> Result<Self, Errno> {
        let asked = Asked::of(&part.task).ok_or(Errno::EINVAL)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let (denied, last_words) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let pid = fork_into(|| {
            close_all_but([&theirs, &last_words]);
            (work.body)(&part, Link::new(theirs), last_words);
            0
        })?;
        Ok(Self { part, pid, result: Link::new(ours), asked, denied: denied.into(), parts: Vec::new() })
    }

    /// Of which families it asks for addresses.
    pub(super) fn families(&self) -> Families {
        self.part.families
    }

    /// The complete report once the child has ended: its messages if they are permitted, otherwise a failure. Nothing
    /// is forwarded before that.
    pub(super) fn outcome(&mut self) -> Option<Vec<FromExchange>> {
        loop {
            let judged = match self.result.receive() {
                Ok(None) => return None,
                Ok(Some((_, said))) => judge(&mut self.asked, said),
                Err(_) => Judged::Unlawful,
            };
            match judged {
                Judged::Part(part) => self.parts.push(part),
                Judged::End(end @ (FromExchange::Exchanged(_) | FromExchange::Measured(_))) => {
                    return Some(self.parts.drain(..).chain([end]).collect());
                }
                Judged::End(end) => return Some(vec![end]),
                Judged::Unlawful => {
                    let trouble = self.denied_call().map_or(Trouble::Broken, Trouble::Denied);
                    return Some(vec![failed(&self.part.task, trouble)]);
                }
            }
        }
    }

    /// The number of the system call that its filter denied, as it says. It may have been taken over, and this a lie: no
    /// more than a sentence depends on it.
    fn denied_call(&mut self) -> Option<u16> {
        let mut record = [0; RECORD];
        self.denied.read_exact(&mut record).ok()?;
        u16::try_from(number(record)).ok()
    }

    /// Kills the process; it must still be waited for.
    pub(super) fn kill(self) -> Pid {
        // It has not been waited for yet, so the kernel cannot have reused the pid.
        let _ = kill(self.pid, Signal::SIGKILL);
        self.pid
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.result.as_fd()
    }
}

/// Checks without blocking whether a child has ended; returns whether it must be waited for again.
pub(super) fn is_alive(pid: Pid) -> bool {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => true,
        Ok(_) | Err(_) => false,
    }
}

/// In the child: it must not have the link to the engine or the results of other children, only its own two ways out. Their owners in
/// this copy of the parent's memory never run again: a child ends in `exit`.
fn close_all_but(kept: [&OwnedFd; 2]) {
    for fd in OTHERS.filter(|fd| kept.iter().all(|kept| *fd != kept.as_raw_fd())) {
        let _ = close(fd);
    }
}
