//! A child from its parent's point of view: a process id, a socket for its results, a deadline.

use super::fork::fork_into;
use super::key_exchange::exchange_keys;
use super::lawful::{Judged, judge};
use super::lookup::look_up;
use super::roots::RootFiles;
use ipc::message::exchange::{
    Asked, Cookie, ExchangeFailed, ExchangeFailure, Failed, FromExchange, LookupFailure, ToExchange,
};
use ipc::units::{RawInstant, Span};
use ipc_link::Link;
use network::clock;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, close};
use policies::Inherited;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::exit;

/// Time limit of a look-up: longer than a resolver's own retries to a name server that answers.
const LOOKUP: Span = Span::from_secs(10);

/// Time limit of a key exchange, including its look-ups.
const EXCHANGE: Span = Span::from_secs(16);

/// First descriptor that is not a standard stream, and one above the highest that this role may have
/// (its limit of open files).
const OTHERS: std::ops::Range<RawFd> = 3..64;

/// Exit code of a child that could not confine itself.
const UNCONFINED: i32 = 70;

/// What a child runs.
type Body = dyn Fn(&ToExchange, Link<FromExchange, ToExchange>);

/// The work of children, and its time limits.
pub struct Work {
    body: Box<Body>,
    lookup: Span,
    exchange: Span,
}

/// A look-up or key exchange that is under way.
#[derive(Debug)]
pub(super) struct Child {
    task: ToExchange,
    pid: Pid,
    result: Link<ToExchange, FromExchange>,
    deadline: RawInstant,
    asked: Asked,
    /// Kept until the exchange is known to have succeeded.
    cookies: Vec<Cookie>,
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
            },
        }),
        ToExchange::Exchange(exchange) => FromExchange::ExchangeFailed(ExchangeFailed {
            id: exchange.id,
            reason: match trouble {
                Trouble::NotStarted => ExchangeFailure::NotStarted,
                Trouble::Deadline => ExchangeFailure::Deadline,
                Trouble::Broken => ExchangeFailure::Broken,
            },
        }),
        ToExchange::Ping => FromExchange::Pong,
    }
}

/// The port that a task connects to over TCP, beside those of resolvers.
const fn port_of(task: &ToExchange) -> Option<u16> {
    match task {
        ToExchange::Exchange(exchange) => Some(exchange.port),
        ToExchange::Resolve(_) | ToExchange::Ping => None,
    }
}

/// Looks a name up, or exchanges keys.
fn carry_out(task: &ToExchange, roots: &RootFiles) -> Vec<FromExchange> {
    match task {
        ToExchange::Resolve(resolve) => vec![look_up(resolve)],
        ToExchange::Exchange(exchange) => exchange_keys(exchange, roots),
        ToExchange::Ping => Vec::new(),
    }
}

impl Work {
    /// Performs the requested task; narrows the filter first.
    pub fn confined(inherited: Inherited) -> Self {
        let roots = RootFiles::from_words(&inherited);
        let body = move |task: &ToExchange, mut result: Link<FromExchange, ToExchange>| {
            if policies::confine_child(&inherited, port_of(task)).is_err() {
                exit(UNCONFINED);
            }
            for message in carry_out(task, &roots) {
                // If the parent is gone, there is no process to report to.
                if result.send(&message).is_err() {
                    break;
                }
            }
        };
        Self { body: Box::new(body), lookup: LOOKUP, exchange: EXCHANGE }
    }

    /// Other work: how a test plays a child that misbehaves.
    pub fn other(
        body: impl Fn(&ToExchange, Link<FromExchange, ToExchange>) + 'static,
        deadline: Span,
    ) -> Self {
        Self { body: Box::new(body), lookup: deadline, exchange: deadline }
    }

    fn deadline(&self, task: &ToExchange) -> Span {
        match task {
            ToExchange::Resolve(_) | ToExchange::Ping => self.lookup,
            ToExchange::Exchange(_) => self.exchange,
        }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("lookup", &self.lookup).finish_non_exhaustive()
    }
}

impl Child {
    /// Forks.
    pub(super) fn start(task: &ToExchange, asked: Asked, work: &Work) -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let deadline = clock::raw().after(work.deadline(task));
        let pid = fork_into(|| {
            close_all_but(&theirs);
            (work.body)(task, Link::new(theirs));
            0
        })?;
        Ok(Self { task: *task, pid, result: Link::new(ours), deadline, asked, cookies: Vec::new() })
    }

    pub(super) fn task(&self) -> &ToExchange {
        &self.task
    }

    pub(super) fn deadline(&self) -> RawInstant {
        self.deadline
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
                Judged::Cookie(cookie) => self.cookies.push(cookie),
                Judged::End(end @ FromExchange::Exchanged(_)) => {
                    let cookies = self.cookies.drain(..).map(FromExchange::Cookie);
                    return Some(cookies.chain([end]).collect());
                }
                Judged::End(end) => return Some(vec![end]),
                Judged::Unlawful => return Some(vec![failed(&self.task, Trouble::Broken)]),
            }
        }
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

/// In the child: it must not have the link to the engine or the results of other children. Their owners in
/// this copy of the parent's memory never run again: a child ends in `exit`.
fn close_all_but(kept: &OwnedFd) {
    for fd in OTHERS.filter(|fd| *fd != kept.as_raw_fd()) {
        let _ = close(fd);
    }
}
