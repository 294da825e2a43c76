//! A child as its parent knows it: a process id, a socket that may bring one record, a deadline.

use super::fork::fork_into;
use super::lookup::look_up;
use crate::clock;
use ipc::address::Address;
use ipc::link::Link;
use ipc::message::exchange::{
    ExchangeId, Failed, FromExchange, LookupFailure, Resolve, Resolved, ToExchange,
};
use ipc::units::{RawInstant, Span};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, close};
use policies::{Inherited, Role};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::process::exit;

/// How long a look-up may take: longer than a resolver's own retries to a name server that answers.
const DEADLINE: Span = Span::from_secs(10);

/// First descriptor that isn't a standard stream, and one above the highest that this role may have
/// (its limit of open files).
const OTHERS: std::ops::Range<RawFd> = 3..64;

/// Exit code of a child that could not confine itself.
const UNCONFINED: i32 = 70;

/// What a child runs.
type Body = dyn Fn(&Resolve, Link<FromExchange, ToExchange>);

/// What children do, and how long they may take.
pub struct Work {
    body: Box<Body>,
    deadline: Span,
}

/// A look-up that is under way.
#[derive(Debug)]
pub(super) struct Child {
    id: ExchangeId,
    port: u16,
    pid: Pid,
    result: Link<ToExchange, FromExchange>,
    deadline: RawInstant,
}

impl Work {
    /// Looks the name up: narrows the filter first.
    pub fn look_up(inherited: Inherited) -> Self {
        let body = move |resolve: &Resolve, mut result: Link<FromExchange, ToExchange>| {
            if policies::confine(Role::ExchangeChild, &inherited).is_err() {
                exit(UNCONFINED);
            }
            // Where the parent is gone, there is nobody to tell.
            let _ = result.send(&look_up(resolve));
        };
        Self { body: Box::new(body), deadline: DEADLINE }
    }

    /// Something else instead: how a test plays a child that misbehaves.
    pub fn other(body: impl Fn(&Resolve, Link<FromExchange, ToExchange>) + 'static, deadline: Span) -> Self {
        Self { body: Box::new(body), deadline }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Child {
    /// Forks.
    pub(super) fn start(resolve: &Resolve, work: &Work) -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let deadline = clock::raw().after(work.deadline);
        let pid = fork_into(|| {
            close_all_but(&theirs);
            (work.body)(resolve, Link::new(theirs));
            0
        })?;
        Ok(Self { id: resolve.id, port: resolve.port, pid, result: Link::new(ours), deadline })
    }

    pub(super) fn id(&self) -> ExchangeId {
        self.id
    }

    pub(super) fn deadline(&self) -> RawInstant {
        self.deadline
    }

    /// The look-up's end, if it has come: what the child says where that is lawful, else that it is broken.
    pub(super) fn result(&mut self) -> Option<FromExchange> {
        let lawful = match self.result.receive() {
            Ok(None) => return None,
            Ok(Some((_, FromExchange::Resolved(resolved)))) => {
                self.owns(&resolved).then_some(FromExchange::Resolved(resolved))
            }
            Ok(Some((_, FromExchange::Failed(failed)))) => {
                (failed.id == self.id).then_some(FromExchange::Failed(failed))
            }
            Ok(Some((
                _,
                FromExchange::Hello(_)
                | FromExchange::Cookie(_)
                | FromExchange::Exchanged(_)
                | FromExchange::ExchangeFailed(_),
            )))
            | Err(_) => None,
        };
        let broken = Failed { id: self.id, reason: LookupFailure::Broken };
        Some(lawful.unwrap_or(FromExchange::Failed(broken)))
    }

    /// Whether these are addresses for the name that this child was started for, and nothing else.
    fn owns(&self, resolved: &Resolved) -> bool {
        let Some((used, unused)) = resolved.addresses.split_at_checked(usize::from(resolved.count)) else {
            return false;
        };
        resolved.id == self.id
            && !used.is_empty()
            && used.iter().all(|address| address.port() == self.port && address.is_unicast())
            && unused.iter().all(|address| *address == Address::NONE)
    }

    /// Ends the process, whatever it is doing; it is still to be waited for.
    pub(super) fn kill(self) -> Pid {
        // It was not waited for yet, so the number is its own and of nobody else.
        let _ = kill(self.pid, Signal::SIGKILL);
        self.pid
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.result.as_fd()
    }
}

/// Waits for a child without waiting; whether it has to be waited for again.
pub(super) fn is_alive(pid: Pid) -> bool {
    match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => true,
        Ok(_) | Err(_) => false,
    }
}

/// In the child: the link to the engine and the results of siblings are not its business. Their owners in
/// this copy of the parent's memory never run again: a child ends in `exit`.
fn close_all_but(kept: &OwnedFd) {
    for fd in OTHERS.filter(|fd| *fd != kept.as_raw_fd()) {
        let _ = close(fd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::message::exchange::MAX_ADDRESSES;

    fn address(text: &str) -> Address {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    fn resolved(id: u64, texts: &[&str]) -> Resolved {
        let mut addresses = [Address::NONE; MAX_ADDRESSES];
        for (place, text) in addresses.iter_mut().zip(texts) {
            *place = address(text);
        }
        Resolved { id: ExchangeId(id), count: texts.len() as u8, addresses }
    }

    fn says(message: &FromExchange) -> Option<FromExchange> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        Link::<FromExchange, ToExchange>::new(theirs).send(message).unwrap();
        // Never killed or waited for here: it is no process.
        let pid = Pid::from_raw(i32::MAX);
        let deadline = RawInstant::MAX;
        Child { id: ExchangeId(7), port: 123, pid, result: Link::new(ours), deadline }.result()
    }

    fn is_broken(message: FromExchange) {
        let broken = Failed { id: ExchangeId(7), reason: LookupFailure::Broken };
        assert_eq!(says(&message), Some(FromExchange::Failed(broken)), "{message:?}");
    }

    #[test]
    fn addresses_for_the_name_are_passed_on() {
        let good = FromExchange::Resolved(resolved(7, &["192.0.2.1:123", "[2001:db8::1]:123"]));
        assert_eq!(says(&good), Some(good));
        let failed = FromExchange::Failed(Failed { id: ExchangeId(7), reason: LookupFailure::NoSuchName });
        assert_eq!(says(&failed), Some(failed));
    }

    #[test]
    fn a176_what_a_child_may_not_say_is_a_broken_look_up() {
        is_broken(FromExchange::Resolved(resolved(8, &["192.0.2.1:123"])));
        is_broken(FromExchange::Failed(Failed { id: ExchangeId(8), reason: LookupFailure::NoSuchName }));
        is_broken(FromExchange::Resolved(resolved(7, &[])));
        is_broken(FromExchange::Resolved(resolved(7, &["192.0.2.1:53"])));
        is_broken(FromExchange::Resolved(resolved(7, &["192.0.2.1:123", "224.0.1.1:123"])));
        is_broken(FromExchange::Resolved(Resolved { count: 17, ..resolved(7, &["192.0.2.1:123"]) }));
        is_broken(FromExchange::Resolved(Resolved { count: 1, ..resolved(7, &["192.0.2.1:123"; 2]) }));
        is_broken(FromExchange::Hello(ipc::message::Shortfall::NONE));
    }
}
