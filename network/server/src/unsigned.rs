//! Replies to clients of an Active Directory domain, on their way to a signature.
//!
//! The threads at the sockets put them here, and the thread at the links takes them out. The lock between them is held for the
//! moment in which one is moved, and only requests for a signature ever come to it.
//!
//! Networks of clients take turns: one that asks for more than others waits longer by itself, and where there is no room, the one with
//! the most places loses one. So who floods, from however many addresses of a network, takes no signature from another network.

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

/// Most of them to one address (IPv6: one /64): so one host alone does not take all the turns of its network.
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

/// Those that wait.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Oldest first; at most [`MOST`].
    places: VecDeque<Place>,
    /// That of the one that was taken last.
    round: u64,
}

/// One that waits.
#[derive(Debug)]
struct Place {
    unsigned: Unsigned,
    network: u64,
    /// Those of an earlier round go first, and a network has one place in each round.
    round: u64,
}

impl Queue {
    /// Adds one; returns whether another one had to go for it: the oldest of its client, or of the network with the most.
    pub(super) fn push(&self, unsigned: Unsigned) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (host, network) = (host(unsigned.source.ip), network(unsigned.source.ip));
        let is_of_host = |place: &&Place| self::host(place.unsigned.source.ip) == host;
        let is_greedy = waiting.places.iter().filter(is_of_host).count() >= MOST_OF_ONE;
        let of_host =
            if is_greedy { waiting.places.iter().position(|place| is_of_host(&place)) } else { None };
        let last = waiting.places.iter().rev().find(|place| place.network == network);
        let round = last.map_or(waiting.round, |last| last.round.saturating_add(1));
        let is_full = waiting.places.len() >= MOST && of_host.is_none();
        waiting.places.push_back(Place { unsigned, network, round });
        let gone = if is_full { waiting.most_greedy() } else { of_host };
        gone.and_then(|at| waiting.places.remove(at)).is_some()
    }

    /// Takes the oldest one of the network whose turn it is, and tells how many have waited too long.
    pub(super) fn take(&self, now: RawInstant) -> (Option<Unsigned>, usize) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.places.len();
        waiting.places.retain(|place| place.unsigned.since.after(LONGEST) > now);
        let late = before.saturating_sub(waiting.places.len());
        let turn = waiting.places.iter().enumerate().min_by_key(|(_, place)| place.round).map(|(at, _)| at);
        let Some(place) = turn.and_then(|at| waiting.places.remove(at)) else { return (None, late) };
        waiting.round = place.round;
        (Some(place.unsigned), late)
    }
}

impl Waiting {
    /// The oldest one of the network that has the most.
    fn most_greedy(&self) -> Option<usize> {
        let of = |network: u64| self.places.iter().filter(|place| place.network == network).count();
        // Of several the first one is the oldest.
        self.places.iter().enumerate().rev().max_by_key(|(_, place)| of(place.network)).map(|(at, _)| at)
    }
}

/// What counts as one client.
fn host(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => (u128::from(v6) >> 64) as u64,
    }
}

/// What counts as one network, as for the rate limits: IPv4 /24, IPv6 /48.
fn network(ip: IpAddr) -> u64 {
    match ip {
        // Apart from those of IPv6, which have 48 bits.
        IpAddr::V4(v4) => 1 << 63 | u64::from(u32::from(v4) >> 8),
        IpAddr::V6(v6) => (u128::from(v6) >> 80) as u64,
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
        let dropped = (0..100).filter(|number| queue.push(unsigned(number << 8, *number, 0))).count();
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

    fn of_ip(ip: IpAddr, account: u32) -> Unsigned {
        Unsigned { source: Source { ip, port: 123 }, ..unsigned(0, account, 0) }
    }

    /// From as many addresses as it has, before the others and after them.
    #[test]
    fn a221_one_network_that_floods_takes_no_place_and_no_turn_of_others() {
        let of_v4 = |number: u32| IpAddr::from(Ipv4Addr::from(0xc633_6400 + number % 256));
        let of_v6 = |number: u32| {
            IpAddr::from((0x2001_0db8_0007_u128 << 80 | u128::from(number) << 64).to_be_bytes())
        };
        for flood in [&of_v4 as &dyn Fn(u32) -> IpAddr, &of_v6] {
            let queue = Queue::default();
            let dropped = (0..1_000).filter(|number| queue.push(of_ip(flood(*number), 1_000)));
            assert_eq!(dropped.count(), 1_000 - MOST);
            for client in 1..=20 {
                assert!(queue.push(unsigned(client << 8, client, 0)), "one of the flood goes");
            }
            (0..1_000).for_each(|number| assert!(queue.push(of_ip(flood(number), 1_000))));
            let taken = accounts(&queue);
            assert_eq!(taken.len(), MOST);
            let place =
                |account| taken.iter().position(|taken| *taken == account).expect("it was not dropped");
            for client in 1..=20 {
                assert!(place(client) <= 21, "{client} waits for {} others", place(client));
            }
        }
    }

    /// Those of one network take their turns in the order in which they came, and so do networks with one each.
    #[test]
    fn networks_take_turns_and_each_is_served_in_order() {
        let queue = Queue::default();
        let clients = [(0x000, 1), (0x001, 2), (0x002, 3), (0x100, 11), (0x101, 12), (0x200, 21)];
        let dropped = clients.iter().filter(|(client, account)| queue.push(unsigned(*client, *account, 0)));
        assert_eq!(dropped.count(), 0);
        let first: Vec<_> = (0..2).map(|_| queue.take(at(0)).0.unwrap().account).collect();
        assert_eq!(first, [1, 11]);
        // Who comes now waits for nobody's second reply.
        queue.push(unsigned(0x300, 31, 0));
        assert_eq!(accounts(&queue), [21, 31, 2, 12, 3]);
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
