//! How many connections there are at a time, and how many handshakes a second: in total, and from one network, an
//! IPv4 /24 or IPv6 /48.
//!
//! A connection costs a descriptor and little memory, so it is counted from the start. A handshake is the most
//! expensive part, so it is counted when the client's first message is complete and before anything is computed: idle
//! connections use none of that budget. The table of networks has a fixed size and a hash keyed at start; if all
//! candidate entries are in use, the one whose bucket empties first is replaced.

use ipc::message::key_service::{KeyPolicy, MAX_CONNECTIONS, MAX_HANDSHAKES};
use ipc::units::RawInstant;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

const WAYS: usize = 8;
const BUCKETS: usize = 1 << 10;

const SECOND: i64 = 1_000_000_000;

/// The network that a client belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(u64);

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(u32::from(v4) >> 8)),
            IpAddr::V6(v6) => Self(1 << 48 | (u128::from(v6) >> 80) as u64),
        }
    }
}

/// The verdict on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// There is room.
    Free,
    /// There is room if another one is closed.
    Full,
    /// Its network has enough connections.
    Refused,
}

/// A bucket that is filled by requests and drains within a second.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// 0: unused.
    tag: u64,
    dry_at: i64,
}

impl Bucket {
    /// Counts one more if the rate of `rate` a second permits it; returns whether it does.
    fn has_room(&self, rate: u32, now: i64) -> bool {
        let waiting = self.dry_at.saturating_sub(now).clamp(0, SECOND);
        waiting <= SECOND - share(rate)
    }

    fn fill(&mut self, rate: u32, now: i64) {
        self.dry_at = self.dry_at.clamp(now, now.saturating_add(SECOND)).saturating_add(share(rate));
    }
}

fn share(rate: u32) -> i64 {
    SECOND / i64::from(rate.clamp(1, MAX_HANDSHAKES))
}

/// The counts that all threads share.
#[derive(Debug)]
pub(super) struct Limits(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    open: HashMap<Network, u16>,
    total: u16,
    all: Bucket,
    networks: Box<[Bucket]>,
    seed: RandomState,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Counted {
            // Allocated for the highest possible limit: it never grows.
            open: HashMap::with_capacity(2 * usize::from(MAX_CONNECTIONS)),
            total: 0,
            all: Bucket::default(),
            networks: vec![Bucket::default(); WAYS * BUCKETS].into(),
            seed: RandomState::new(),
        }))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a new connection unless its network has enough, including one for which another must be closed.
    pub(super) fn enter(&self, network: Network, policy: &KeyPolicy) -> Entry {
        let mut counted = self.counted();
        let open = counted.open.get(&network).copied().unwrap_or(0);
        if open >= policy.network_connections {
            return Entry::Refused;
        }
        counted.open.insert(network, open.saturating_add(1));
        counted.total = counted.total.saturating_add(1);
        if counted.total > policy.connections { Entry::Full } else { Entry::Free }
    }

    /// A counted connection is closed.
    pub(super) fn leave(&self, network: Network) {
        let mut counted = self.counted();
        let Some(open) = counted.open.get(&network).copied() else { return };
        counted.total = counted.total.saturating_sub(1);
        let left = open.saturating_sub(1);
        if left == 0 {
            counted.open.remove(&network);
        } else {
            counted.open.insert(network, left);
        }
    }

    /// Whether a handshake may begin; if so, counts it.
    pub(super) fn begins(&self, network: Network, policy: &KeyPolicy, now: RawInstant) -> bool {
        let now = now.nanos();
        let mut counted = self.counted();
        let hash = counted.seed.hash_one(network) | 1;
        let first = (hash >> 32) as usize % BUCKETS * WAYS;
        let Some(ways) = counted.networks.get_mut(first..first + WAYS) else { return false };
        let known = ways.iter().position(|bucket| bucket.tag == hash);
        let driest =
            || ways.iter().enumerate().min_by_key(|(_, bucket)| bucket.dry_at).map_or(0, |(at, _)| at);
        let at = known.unwrap_or_else(driest);
        let mut bucket = ways.get(at).copied().filter(|_| known.is_some()).unwrap_or_default();
        bucket.tag = hash;
        if !bucket.has_room(policy.network_rate, now) || !counted.all.has_room(policy.rate, now) {
            return false;
        }
        bucket.fill(policy.network_rate, now);
        counted.all.fill(policy.rate, now);
        if let Some(place) = counted.networks.get_mut(first + at) {
            *place = bucket;
        }
        true
    }
}

/// Whether a policy is valid.
pub(super) fn is_possible(policy: &KeyPolicy) -> bool {
    (1..=MAX_CONNECTIONS).contains(&policy.connections)
        && (1..=policy.connections).contains(&policy.network_connections)
        && [policy.rate, policy.network_rate].iter().all(|rate| (1..=MAX_HANDSHAKES).contains(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(third: u8) -> Network {
        Network::of([192, 0, third, 7].into())
    }

    fn at(nanos: i64) -> RawInstant {
        RawInstant::saturating(1_000 * SECOND + nanos)
    }

    #[test]
    fn a_network_is_a_24_or_a_48_whichever_way_it_is_written() {
        assert_eq!(network(1), Network::of("::ffff:192.0.1.200".parse().unwrap()));
        assert_ne!(network(1), network(2));
        let six = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(six("2001:db8:1::1"), six("2001:db8:1:ffff:ffff::9"));
        assert_ne!(six("2001:db8:1::1"), six("2001:db8:2::1"));
        assert_ne!(six("::192.0.1.0"), network(1));
    }

    #[test]
    fn a087_connections_are_counted_in_all_and_by_network() {
        let policy = KeyPolicy { connections: 10, network_connections: 3, ..KeyPolicy::DEFAULT };
        let limits = Limits::new();
        for third in 0..3 {
            for _ in 0..3 {
                assert_eq!(limits.enter(network(third), &policy), Entry::Free);
            }
            assert_eq!(limits.enter(network(third), &policy), Entry::Refused);
        }
        assert_eq!(limits.enter(network(3), &policy), Entry::Free);
        assert_eq!(limits.enter(network(4), &policy), Entry::Full);
        limits.leave(network(0));
        limits.leave(network(0));
        assert_eq!(limits.enter(network(4), &policy), Entry::Free);
        for _ in 0..20 {
            limits.leave(network(9));
        }
        assert_eq!(limits.counted().open.len(), 5);
    }

    #[test]
    fn a088_handshakes_are_counted_by_network_and_in_all() {
        let policy = KeyPolicy { rate: 250, network_rate: 100, ..KeyPolicy::DEFAULT };
        let limits = Limits::new();
        let begun = |third: u8, nanos: i64| {
            (0..1_000).filter(|_| limits.begins(network(third), &policy, at(nanos))).count()
        };
        assert_eq!((begun(0, 0), begun(1, 0), begun(2, 0), begun(3, 0)), (100, 100, 50, 0));
        assert_eq!(begun(0, SECOND / 2), 50, "half a second makes room for half of its rate");
        assert_eq!(begun(1, SECOND / 2), 50);
        assert_eq!(begun(2, SECOND / 2), 25, "and in all for half of that");
        assert_eq!(begun(2, 10 * SECOND), 100);
    }

    #[test]
    fn a088_a_flood_of_networks_costs_history_and_no_memory() {
        let policy = KeyPolicy { rate: MAX_HANDSHAKES, network_rate: 1, ..KeyPolicy::DEFAULT };
        let limits = Limits::new();
        for number in 0..50_000u32 {
            limits.begins(Network(u64::from(number)), &policy, at(0));
        }
        assert_eq!(limits.counted().networks.len(), WAYS * BUCKETS);
        assert!(limits.begins(Network(1 << 40), &policy, at(0)), "a new network is let in all the same");
    }
}
