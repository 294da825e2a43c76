//! Interleaved mode (RFC 9769): the answer to a client's next request tells when its last answer really left.
//!
//! The receive timestamps in our replies end in a one, the transmit timestamps in a zero (half a nanosecond at
//! most). A client that wants interleaved answers returns the former as its origin timestamp, any other client
//! the latter or nothing: so it costs those others nothing, neither a look-up nor a stamp.
//!
//! The table is bounded and shared by all threads, for a client's next request may reach another one. Each entry
//! is two words: the stamp, and the stamp combined with a keyed hash of the reply's receive timestamp and the
//! client's address. Only who returns that timestamp from that address makes sense of it (A090), and an entry
//! that is being written makes no sense to anybody.

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

/// When the last answers left, by client.
#[derive(Debug)]
pub struct Departures {
    seed: RandomState,
    entries: Box<[Entry]>,
}

/// Names one reply to one client; of no use to anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name(u64);

impl Departures {
    /// An empty table of 64 KiB.
    pub fn new() -> Self {
        Self { seed: RandomState::new(), entries: (0..WAYS * BUCKETS).map(|_| Entry::default()).collect() }
    }

    /// The name of the reply to this address with this receive timestamp.
    pub fn name(&self, receive: u64, client: IpAddr) -> Name {
        Name(self.seed.hash_one((receive, client)))
    }

    /// When that reply left; nothing where that isn't known (any more).
    pub fn find(&self, name: Name) -> Option<u64> {
        self.bucket(name).iter().find_map(|entry| {
            let stamp = entry.stamp.load(Relaxed);
            (stamp != 0 && entry.mixed.load(Relaxed) ^ stamp == name.0).then_some(stamp)
        })
    }

    /// Remembers when a reply left; `turn` says which older entry gives way. Called again for the same reply it
    /// replaces the stamp.
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
