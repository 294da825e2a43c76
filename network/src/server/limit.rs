//! How often a host or its neighbourhood is answered.
//!
//! A table of fixed size, indexed by a hash whose key is drawn at start: who doesn't know the key can't choose
//! addresses that share a place. Each entry holds one time (the leaky bucket as a "theoretical arrival time");
//! a host and its neighbourhood have one entry each. When all eight ways of a bucket are taken, the entry that
//! leaks empty first gives way, so a flood of sources costs others their history, never their answers.

use ipc::units::RawInstant;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

const WAYS: usize = 8;
const BUCKETS: usize = 1024;

/// Of the requests above a limit, one in this many is answered all the same: a flood in a victim's name can't
/// silence the victim.
const LEAK: u64 = 4;

/// What is answered without doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a host: an IPv4 address, or an IPv6 /64.
    pub host: Limit,
    /// Of its neighbourhood: an IPv4 /24, or an IPv6 /48.
    pub neighbourhood: Limit,
}

/// A leaky bucket's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Nanoseconds from one request to the next in the long run; positive.
    pub interval: i64,
    /// Requests at once.
    pub burst: i64,
}

impl Limits {
    /// 256 a second for a host (an office behind one address has some thousand clients, each with a request
    /// in 16 s to 1024 s), four times that for a neighbourhood.
    pub const DEFAULT: Self = Self {
        host: Limit { interval: 1_000_000_000 / 256, burst: 1024 },
        neighbourhood: Limit { interval: 1_000_000_000 / 1024, burst: 4096 },
    };
}

/// When the bucket of one key will have leaked empty.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    key: u64,
    empty_at: i64,
}

/// The table. It never grows.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    seed: RandomState,
    entries: Vec<Entry>,
    over: u64,
}

/// What a key stands for; hashed, never stored.
#[derive(Hash)]
enum Key {
    Host(u128),
    Neighbourhood(u128),
    Count(u64),
}

impl Limiter {
    /// A table with a key of its own.
    pub fn new(limits: Limits) -> Self {
        // All zero: the pages are not there before they are written to.
        let entries = vec![Entry::default(); WAYS * BUCKETS];
        Self { limits, seed: RandomState::new(), entries, over: 0 }
    }

    /// Counts a request of this address and tells whether it is answered.
    pub fn admits(&mut self, source: IpAddr, now: RawInstant) -> bool {
        let (host, neighbourhood) = match source.to_canonical() {
            IpAddr::V4(v4) => {
                // Apart from all of IPv6: no such address is ever a source.
                let clothed = u128::from(v4.to_ipv6_mapped());
                (clothed, clothed & !0xff)
            }
            IpAddr::V6(v6) => (u128::from(v6) >> 64 << 64, u128::from(v6) >> 80 << 80),
        };
        let Limits { host: by_host, neighbourhood: by_neighbourhood } = self.limits;
        // Both are counted, whatever the other says.
        let host = self.charge(Key::Host(host), by_host, now);
        let neighbourhood = self.charge(Key::Neighbourhood(neighbourhood), by_neighbourhood, now);
        if host && neighbourhood {
            return true;
        }
        self.over = self.over.wrapping_add(1);
        self.seed.hash_one(Key::Count(self.over)).is_multiple_of(LEAK)
    }

    fn charge(&mut self, key: Key, limit: Limit, now: RawInstant) -> bool {
        let hash = self.seed.hash_one(key);
        // Zero marks a place that nobody had yet.
        let key = hash.max(1);
        let first = (hash as usize % BUCKETS) * WAYS;
        let Some(bucket) = self.entries.get_mut(first..first + WAYS) else { return true };
        let known = bucket.iter().position(|entry| entry.key == key);
        let oldest = || bucket.iter().enumerate().min_by_key(|(_, entry)| entry.empty_at).map(|(at, _)| at);
        let Some(entry) = known.or_else(oldest).and_then(|at| bucket.get_mut(at)) else { return true };
        if entry.key != key {
            *entry = Entry { key, empty_at: 0 };
        }
        let empty_at = entry.empty_at.max(now.nanos());
        let waiting = empty_at.saturating_sub(now.nanos());
        if waiting > limit.interval.saturating_mul(limit.burst.saturating_sub(1)) {
            return false;
        }
        entry.empty_at = empty_at.saturating_add(limit.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: i64 = 1_000_000;

    const LIMITS: Limits = Limits {
        host: Limit { interval: 1_000 * MILLISECOND, burst: 8 },
        neighbourhood: Limit { interval: 250 * MILLISECOND, burst: 32 },
    };

    fn limiter() -> Limiter {
        Limiter::new(LIMITS)
    }

    fn at(milliseconds: i64) -> RawInstant {
        RawInstant::saturating(1_000_000 * MILLISECOND + milliseconds * MILLISECOND)
    }

    fn admitted(limiter: &mut Limiter, sources: impl Iterator<Item = IpAddr>, now: RawInstant) -> usize {
        sources.filter(|source| limiter.admits(*source, now)).count()
    }

    fn same(source: &str, times: usize) -> impl Iterator<Item = IpAddr> + use<> {
        std::iter::repeat_n(source.parse().unwrap(), times)
    }

    #[test]
    fn a_burst_is_answered_and_then_one_for_each_interval() {
        let mut limiter = limiter();
        assert_eq!(admitted(&mut limiter, same("192.0.2.1", 8), at(0)), 8);
        let mut answered = 0;
        for second in 1..=1_000 {
            answered += admitted(&mut limiter, same("192.0.2.1", 2), at(second * 1_000));
        }
        // One of two is within the limit, and a quarter of the others is answered all the same.
        assert!((1_150..1_350).contains(&answered), "{answered}");
    }

    #[test]
    fn a_host_that_keeps_to_the_interval_is_always_answered() {
        let mut limiter = limiter();
        for second in 0..10_000 {
            assert!(limiter.admits("192.0.2.1".parse().unwrap(), at(second * 1_000)));
        }
    }

    #[test]
    fn a078_a_flood_in_a_victims_name_leaves_it_one_answer_in_four() {
        let mut limiter = limiter();
        let answered = admitted(&mut limiter, same("192.0.2.1", 100_008), at(0));
        assert!((24_000..26_100).contains(&answered), "{answered}");
    }

    #[test]
    fn a079_hopping_through_a_64_or_a_48_is_one_host_or_one_neighbourhood() {
        let hosts = |shift: u32| {
            (0..10_000u128).map(move |n| IpAddr::from((0x2001_0db8_u128 << 96 | n << shift).to_be_bytes()))
        };
        let within_64 = admitted(&mut limiter(), hosts(0), at(0));
        assert!(within_64 < 8 + 2_800, "{within_64}");
        let within_48 = admitted(&mut limiter(), hosts(64), at(0));
        assert!((32..32 + 2_800).contains(&within_48), "{within_48}");
        let within_24 = admitted(&mut limiter(), (0..=255).map(|n| IpAddr::from([192, 0, 2, n])), at(0));
        assert!(within_24 < 32 + 90, "{within_24}");
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_the_same_host() {
        let mut limiter = limiter();
        assert_eq!(admitted(&mut limiter, same("192.0.2.1", 8), at(0)), 8);
        let clothed = admitted(&mut limiter, same("::ffff:192.0.2.1", 4_000), at(0));
        assert!((800..1_200).contains(&clothed), "{clothed}");
    }

    #[test]
    fn a077_a080_a_million_sources_neither_grow_the_table_nor_silence_a_client() {
        let mut limiter = limiter();
        let capacity = limiter.entries.capacity();
        let client: IpAddr = "198.51.100.1".parse().unwrap();
        let mut served = 0;
        for n in 0..1_000_000u32 {
            limiter.admits(IpAddr::from((0x0a00_0000 + n).to_be_bytes()), at(i64::from(n) / 100));
            if n % 100_000 == 0 {
                served += u32::from(limiter.admits(client, at(i64::from(n) / 100)));
            }
        }
        assert_eq!(served, 10);
        assert_eq!((limiter.entries.len(), limiter.entries.capacity()), (WAYS * BUCKETS, capacity));
    }

    #[test]
    fn a080_two_tables_put_the_same_addresses_into_different_places() {
        let (one, other) = (limiter(), limiter());
        let place = |limiter: &Limiter, n: u128| limiter.seed.hash_one(Key::Host(n)) as usize % BUCKETS;
        let together = (0..1_000).filter(|n| place(&one, *n) == place(&other, *n)).count();
        assert!(together < 50, "{together}");
    }

    #[test]
    fn times_at_both_ends_do_not_overflow() {
        let mut limiter = limiter();
        for now in [RawInstant::MIN, RawInstant::MAX, RawInstant::MIN] {
            limiter.admits("192.0.2.1".parse().unwrap(), now);
        }
    }
}
