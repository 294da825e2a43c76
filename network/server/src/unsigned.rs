//! Replies to clients of an Active Directory domain, on their way to a signature.
//!
//! The threads at the sockets put them here, and the thread at the links takes them out. The lock between them is held for the
//! moment in which one is moved, and only requests for a signature ever come to it.

use super::control_message::Target;
use super::source::Source;
use ipc::units::{RawInstant, Span};
use protocol::header::LENGTH;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Most replies that wait.
pub(super) const MOST: usize = 64;

/// Most of them to one address (IPv6: one /64): so one host alone does not take all the places.
const MOST_OF_ONE: usize = 4;

/// How long one may wait. Its client asks again.
const LONGEST: Span = Span::from_millis(1_000);

/// Longest socket address.
pub(super) const NAME: usize = 28;

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Unsigned {
    /// Over which it leaves.
    pub socket: Arc<OwnedFd>,
    /// To whom, as the kernel wrote it.
    pub name: [u8; NAME],
    pub name_length: usize,
    pub source: Source,
    /// From where; `None` if the socket is bound to it.
    pub target: Option<Target>,
    pub account: u32,
    /// Without its transmit timestamp.
    pub header: [u8; LENGTH],
    /// Added to the times that it says, nanoseconds.
    pub smear: i64,
    pub since: RawInstant,
}

/// Those that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<VecDeque<Unsigned>>);

impl Queue {
    /// Adds one; returns whether another one had to go for it, the oldest of its client or of all.
    pub(super) fn push(&self, unsigned: Unsigned) -> bool {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = |other: &&Unsigned| host(other.source.ip) == host(unsigned.source.ip);
        let is_greedy = queue.iter().filter(of_one).count() >= MOST_OF_ONE;
        let oldest = if is_greedy { queue.iter().position(|other| of_one(&other)) } else { None };
        let oldest = oldest.or((queue.len() >= MOST).then_some(0));
        let dropped = oldest.and_then(|at| queue.remove(at));
        queue.push_back(unsigned);
        dropped.is_some()
    }

    /// Takes the oldest one that has not waited too long, and tells how many have.
    pub(super) fn take(&self, now: RawInstant) -> (Option<Unsigned>, usize) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut late = 0;
        while let Some(unsigned) = queue.pop_front() {
            if unsigned.since.after(LONGEST) > now {
                return (Some(unsigned), late);
            }
            late += 1;
        }
        (None, late)
    }
}

/// What counts as one client.
fn host(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn unsigned(host: u32, account: u32, millis: i64) -> Unsigned {
        Unsigned {
            socket: Arc::new(std::fs::File::open("/dev/null").unwrap().into()),
            name: [0; NAME],
            name_length: 16,
            source: Source { ip: Ipv4Addr::from(0x0a00_0000 + host).into(), port: 123 },
            target: None,
            account,
            header: [0; LENGTH],
            smear: 0,
            since: at(millis),
        }
    }

    fn at(millis: i64) -> RawInstant {
        RawInstant::saturating(1 << 40).after(Span::from_millis(millis))
    }

    fn accounts(queue: &Queue) -> Vec<u32> {
        std::iter::from_fn(|| queue.take(at(0)).0).map(|unsigned| unsigned.account).collect()
    }

    #[test]
    fn a_full_queue_loses_its_oldest_and_is_never_longer() {
        let queue = Queue::default();
        let dropped = (0..100).filter(|number| queue.push(unsigned(*number, *number, 0))).count();
        assert_eq!(dropped, 100 - MOST);
        assert_eq!(accounts(&queue), (36..100).collect::<Vec<_>>());
    }

    #[test]
    fn a221_one_host_that_floods_loses_its_own_replies_and_takes_no_place_of_others() {
        let queue = Queue::default();
        assert!(!queue.push(unsigned(1, 1, 0)));
        for flood in 0..10_000 {
            assert_eq!(queue.push(unsigned(2, 1_000 + flood, 0)), flood >= 4);
        }
        assert!(!queue.push(unsigned(3, 3, 0)));
        assert_eq!(accounts(&queue), [1, 10_996, 10_997, 10_998, 10_999, 3]);
    }

    #[test]
    fn what_has_waited_for_a_second_is_not_signed_any_more() {
        let queue = Queue::default();
        for millis in [0, 500, 1_500] {
            assert!(!queue.push(unsigned(millis as u32, 7, millis)));
        }
        let (next, late) = queue.take(at(1_499));
        assert_eq!((next.unwrap().since, late), (at(500), 1));
        assert_eq!(queue.take(at(2_500)).1, 1);
        assert!(queue.take(at(2_500)).0.is_none());
    }
}
