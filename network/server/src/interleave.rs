//! Interleaved mode (RFC 9769): the reply to a client's next request contains the actual departure time of the previous
//! reply.
//!
//! The receive timestamps in our replies end in a one, the transmit timestamps in a zero (half a nanosecond at most). A
//! client that uses interleaved mode returns the former as its origin timestamp; any other client returns the latter or
//! zero. Clients in basic mode therefore cost neither a look-up nor a timestamp.
//!
//! The table is bounded and shared by all threads, since a client's next request may reach another one. Each entry is
//! two words: the timestamp, and the timestamp combined with a keyed hash of the reply's receive timestamp and the
//! client's address. Only a request with that receive timestamp from that address matches it (A090), and a partly
//! written entry matches no request.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const WAYS: usize = 4;
const BUCKETS: usize = 1024;

#[derive(Debug, Default)]
struct Entry {
    mixed: AtomicU64,
    stamp: AtomicU64,
}

/// The departure times of the last replies, by client.
#[derive(Debug)]
pub struct Departures {
    seed: RandomState,
    entries: Box<[Entry]>,
}

/// Identifies one reply to one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(u64);

impl Departures {
    /// An empty table of 64 KiB.
    pub fn new() -> Self {
        Self { seed: RandomState::new(), entries: (0..WAYS * BUCKETS).map(|_| Entry::default()).collect() }
    }

    /// The key of the reply to this address with this receive timestamp.
    pub fn name(&self, receive: u64, client: IpAddr) -> Name {
        Name(self.seed.hash_one((receive, client)))
    }

    /// The departure time of that reply; `None` if that is not, or no longer, known.
    pub fn find(&self, name: Name) -> Option<u64> {
        self.bucket(name).iter().find_map(|entry| {
            let stamp = entry.stamp.load(Relaxed);
            (stamp != 0 && entry.mixed.load(Relaxed) ^ stamp == name.0).then_some(stamp)
        })
    }

    /// Stores the departure time of a reply; `turn` selects the older entry to replace. A second call for the same
    /// reply replaces the timestamp.
    pub fn put(&self, name: Name, stamp: u64, turn: usize) {
        let bucket = self.bucket(name);
        let same =
            bucket.iter().find(|entry| entry.mixed.load(Relaxed) ^ entry.stamp.load(Relaxed) == name.0);
        if let Some(entry) = same.or_else(|| bucket.get(turn % WAYS)) {
            entry.mixed.store(name.0 ^ stamp, Relaxed);
            entry.stamp.store(stamp, Relaxed);
        }
    }

    fn bucket(&self, name: Name) -> &[Entry] {
        let first = (name.0 as usize % BUCKETS) * WAYS;
        self.entries.get(first..first + WAYS).unwrap_or_default()
    }
}

impl Default for Departures {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn a090_a_stamp_is_given_to_the_address_that_caused_it_and_to_no_other() {
        let table = Departures::new();
        table.put(table.name(77, client(1)), 1234, 0);
        assert_eq!(table.find(table.name(77, client(1))), Some(1234));
        assert_eq!(table.find(table.name(77, client(2))), None);
        assert_eq!(table.find(table.name(78, client(1))), None);
        table.put(table.name(77, client(1)), 1235, 1);
        assert_eq!(table.find(table.name(77, client(1))), Some(1235), "the kernel's stamp replaces ours");
    }

    #[test]
    fn a090_a_flood_of_stamps_evicts_others_and_grows_nothing() {
        let table = Departures::new();
        table.put(table.name(77, client(1)), 1234, 0);
        for n in 0..1_000_000u64 {
            table.put(table.name(n << 1, client(2)), n + 1, n as usize);
        }
        assert_eq!(table.find(table.name(77, client(1))), None);
        assert_eq!(table.entries.len(), WAYS * BUCKETS);
    }
}
