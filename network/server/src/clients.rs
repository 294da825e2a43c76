//! Who asks how often: one record for each of the clients that asked of late, for the administrator.
//!
//! A table of fixed size that all threads share, without locks: eight clients in a line, found by a hash keyed at start,
//! so that nobody can choose addresses that share a line. A client is an IPv4 address or an IPv6 /64, as for the rate
//! limit. What is counted decides nothing: not who is answered, and not how often.
//!
//! A newcomer takes a free place, else that of a client that is gone, else that of any client that is known for less than
//! two minutes. Only where there is none of these, one that is known for longer has to go, and of
//! them the one that is overdue the most by its own interval. A flood of forged addresses therefore replaces its own
//! records, and costs a line that is full of regular clients one of them.
//!
//! Counts are exact, also where several threads count one client, except for the requests of the moment in which its
//! place is taken by another.

use super::source::Source;
use ipc::list::Bounded;
use ipc::message::server::{Client, ClientOrder, ClientsPart, ClientsWanted, MAX_CLIENTS};
use ipc::units::{RawInstant, Span};
use std::cmp::Reverse;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{
    AtomicI64, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence,
};

const WAYS: usize = 8;
const LINES: usize = 1 << 10;

/// The most clients that are known at a time.
pub const ROOM: u32 = (WAYS * LINES) as u32;

/// The key of a place that nobody has.
const FREE: u64 = 0;

/// The key of a place that is just being taken.
const TAKEN: u64 = u64::MAX;

/// The upper half of an IPv4 address's key: as an IPv6 /64 it would be multicast, which no sender is.
const IPV4: u64 = 0xff << 56;

/// Of a new interval, one in this many parts goes into the average.
const WEIGHT: i64 = 8;

/// Unit of intervals, 2^7 ns, and the longest interval that is told apart in it: 19 hours.
const UNIT: u32 = 7;
const LONGEST: i64 = (1 << 39) - 1;

/// Unit of how long a client is known, 2^36 ns (69 s), of which 19 bits turn after 416 days; and after how many of them it
/// counts as a regular one.
const TICK: u32 = 36;
const TICKS: u64 = (1 << 19) - 1;
const REGULAR: u64 = 2;

/// A client is gone that has been silent for so many of its intervals, and for so many nanoseconds.
const MISSED: i64 = 8;
const GONE: i64 = 3_600 * 1_000_000_000;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was answered, or is about to be.
    Answered,
    /// It was above the rate limit: no answer, or a RATE kiss. Or its MAC was wrong.
    Dropped,
    /// The access rules deny its sender.
    Denied,
}

/// By what a request is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not at all.
    None,
    /// NTS.
    Nts,
    /// A symmetric key.
    Key,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// NTP version, 0 to 7.
    pub version: u8,
    /// By what it was authenticated.
    pub proof: Proof,
    /// What became of it.
    pub fate: Fate,
}

/// The table. It never grows.
#[derive(Debug)]
pub struct Clients {
    seed: RandomState,
    lines: Box<[Line]>,
    /// How often a newcomer has taken the place of another client.
    replaced: AtomicU64,
}

/// Keys in one cache line, and the records that belong to them.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line {
    keys: [AtomicU64; WAYS],
    records: [Record; WAYS],
}

/// Half a cache line.
#[derive(Debug, Default)]
#[repr(align(32))]
struct Record {
    requests: AtomicU64,
    dropped: AtomicU64,
    /// When the last one came, on the raw clock.
    last: AtomicI64,
    /// A [`Manner`].
    manner: AtomicU64,
}

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Manner {
    /// Average, in [`UNIT`]s; 0: only one request so far.
    interval: i64,
    /// When the first request came, in [`TICK`]s.
    since: u64,
    version: u8,
    proof: Proof,
    is_denied: bool,
}

impl Manner {
    const fn bits(self) -> u64 {
        (self.interval as u64) << 25
            | (self.since & TICKS) << 6
            | (self.version & 7) as u64
            | (self.proof as u64) << 3
            | (self.is_denied as u64) << 5
    }

    const fn of(bits: u64) -> Self {
        Self {
            interval: (bits >> 25) as i64,
            since: bits >> 6 & TICKS,
            version: (bits & 7) as u8,
            proof: match bits >> 3 & 3 {
                1 => Proof::Nts,
                2 => Proof::Key,
                _ => Proof::None,
            },
            is_denied: bits >> 5 & 1 == 1,
        }
    }
}

/// Where the last request's client has its line; one of each thread. Requests of one client often come in a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memo {
    key: u64,
    line: usize,
}

/// How expendable a place is; the greatest is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expendable {
    /// Known for long; it asked so many sixteenths of its own interval ago.
    Regular(i64),
    /// Known for a short time, or by one request. One by chance: where the oldest had to go, nine clients that ask in turn
    /// would never be known for long.
    New(u64),
    /// Has stopped asking, so many nanoseconds ago.
    Gone(i64),
    Free,
}

impl Record {
    /// The first request of a client.
    fn begin(&self, heard: Heard, now: i64) {
        let Heard { version, proof, fate } = heard;
        let (since, is_denied) = (now as u64 >> TICK, fate == Fate::Denied);
        let manner = Manner { interval: 0, since, version, proof, is_denied };
        self.requests.store(1, Relaxed);
        self.dropped.store(u64::from(fate != Fate::Answered), Relaxed);
        self.last.store(now, Relaxed);
        self.manner.store(manner.bits(), Relaxed);
    }

    /// Another request. A client of which the access rules now say something else begins anew, so that what was dropped
    /// was dropped for one reason.
    fn count(&self, heard: Heard, now: i64) {
        let Heard { version, proof, fate } = heard;
        let before = Manner::of(self.manner.load(Relaxed));
        if before.is_denied != (fate == Fate::Denied) {
            return self.begin(heard, now);
        }
        self.requests.fetch_add(1, Relaxed);
        if fate != Fate::Answered {
            self.dropped.fetch_add(1, Relaxed);
        }
        // Many are dropped before they are opened.
        let proof = if proof == Proof::None && fate == Fate::Dropped { before.proof } else { proof };
        // Another thread may have counted a later one already.
        let passed = (now.saturating_sub(self.last.load(Relaxed)) >> UNIT).clamp(1, LONGEST);
        let interval = match before.interval {
            0 => passed,
            average => average + (passed - average) / WEIGHT,
        };
        self.last.store(now, Relaxed);
        self.manner.store(Manner { interval, version, proof, ..before }.bits(), Relaxed);
    }

    fn expendable(&self, now: i64, chance: u64) -> Expendable {
        let last = self.last.load(Relaxed);
        let age = now.saturating_sub(last).max(0);
        let Manner { interval, since, .. } = Manner::of(self.manner.load(Relaxed));
        let known = (last as u64 >> TICK).wrapping_sub(since) & TICKS;
        match interval << UNIT {
            interval if age >= GONE.max(interval.saturating_mul(MISSED)) => Expendable::Gone(age),
            0 => Expendable::New(chance),
            _ if known < REGULAR => Expendable::New(chance),
            interval => Expendable::Regular(age.saturating_mul(16) / interval),
        }
    }
}

impl Clients {
    /// A table with its own hash key.
    pub fn new() -> Self {
        let lines = (0..LINES).map(|_| Line::default()).collect();
        Self { seed: RandomState::new(), lines, replaced: AtomicU64::new(0) }
    }

    /// Counts a request.
    pub fn note(&self, memo: &mut Memo, source: &Source, heard: Heard, now: RawInstant) {
        let Some(key) = key(source.ip) else { return };
        if memo.key != key {
            *memo = Memo { key, line: self.seed.hash_one(key) as usize % LINES };
        }
        let Some(line) = self.lines.get(memo.line) else { return };
        let mut places = line.keys.iter().zip(&line.records);
        match places.find(|(place, _)| place.load(Relaxed) == key) {
            Some((_, record)) => record.count(heard, now.nanos()),
            None => self.enter(line, key, heard, now.nanos()),
        }
    }

    /// A newcomer takes the most expendable place.
    fn enter(&self, line: &Line, key: u64, heard: Heard, now: i64) {
        let chance = (key ^ now as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let places = line.keys.iter().zip(&line.records).zip(chance..).map(|((place, record), chance)| {
            let owner = place.load(Relaxed);
            let expendable = match owner {
                FREE => Expendable::Free,
                _ => record.expendable(now, chance % WAYS as u64),
            };
            (expendable, owner, place, record)
        });
        let free = places.filter(|(_, owner, ..)| *owner != TAKEN);
        let Some((_, owner, place, record)) = free.max_by_key(|(expendable, ..)| *expendable) else { return };
        // Where another thread is faster, this request is not counted.
        if place.compare_exchange(owner, TAKEN, Relaxed, Relaxed).is_err() {
            return;
        }
        // Who reads what comes now sees that the place has changed hands.
        fence(Release);
        record.begin(heard, now);
        place.store(key, Release);
        if owner != FREE {
            self.replaced.fetch_add(1, Relaxed);
        }
    }

    /// The first clients in this order, in parts, the last of which says so. Meanwhile it uses memory for twice as many.
    pub fn tell<E>(
        &self,
        wanted: ClientsWanted,
        now: RawInstant,
        mut tell: impl FnMut(ClientsPart) -> Result<(), E>,
    ) -> Result<(), E> {
        let most = usize::from(wanted.most);
        let mut first: Vec<Client> = Vec::with_capacity(2 * most + WAYS);
        let mut known = 0u32;
        let narrow = |first: &mut Vec<Client>| {
            first.sort_by_cached_key(|client| Reverse(rank(client, wanted.by)));
            first.truncate(most);
        };
        for line in &self.lines {
            for client in line.clients(now.nanos()) {
                known = known.saturating_add(1);
                first.push(client);
            }
            if first.len() > 2 * most {
                narrow(&mut first);
            }
        }
        narrow(&mut first);
        let replaced = self.replaced.load(Relaxed);
        let mut rest = first.as_slice();
        loop {
            let (part, later) = rest.split_at(rest.len().min(MAX_CLIENTS));
            rest = later;
            // A part of this length fits.
            let clients = Bounded::new(part.iter().copied()).unwrap_or_else(|_| Bounded::none());
            tell(ClientsPart { ends: rest.is_empty(), known, room: ROOM, replaced, clients })?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// The clients of this line; two threads may have entered the same one.
    fn clients(&self, now: i64) -> Vec<Client> {
        let mut clients: Vec<Client> = Vec::with_capacity(WAYS);
        for (place, record) in self.keys.iter().zip(&self.records) {
            let key = place.load(Acquire);
            let (requests, dropped) = (record.requests.load(Relaxed), record.dropped.load(Relaxed));
            let (last, manner) = (record.last.load(Relaxed), Manner::of(record.manner.load(Relaxed)));
            fence(Acquire);
            if [FREE, TAKEN].contains(&key) || place.load(Relaxed) != key {
                continue;
            }
            let (ipv6, network) = network(key);
            let client = Client {
                ipv6,
                network,
                requests,
                dropped: dropped.min(requests),
                is_denied: manner.is_denied,
                is_protected: manner.proof == Proof::Nts,
                is_keyed: manner.proof == Proof::Key,
                version: manner.version,
                interval: (manner.interval != 0).then(|| Span::saturating(manner.interval << UNIT)),
                age: Span::saturating(now.saturating_sub(last).max(0)),
            };
            match clients.iter_mut().find(|other| (other.ipv6, other.network) == (ipv6, network)) {
                Some(other) => *other = merged(*other, client),
                None => clients.push(client),
            }
        }
        clients
    }
}

/// One client of two records.
fn merged(one: Client, other: Client) -> Client {
    let later = if one.age <= other.age { one } else { other };
    let requests = one.requests.saturating_add(other.requests);
    Client { requests, dropped: one.dropped.saturating_add(other.dropped).min(requests), ..later }
}

/// What comes first is greater; of equals, who asks more.
fn rank(client: &Client, by: ClientOrder) -> (u64, u64) {
    let soonest = |span: Span| u64::MAX - span.nanos() as u64;
    let first = match by {
        ClientOrder::Requests => client.requests,
        ClientOrder::Dropped => client.dropped,
        ClientOrder::Interval => client.interval.map_or(0, soonest),
        ClientOrder::Last => soonest(client.age),
    };
    (first, client.requests)
}

/// The key of a client, neither [`FREE`] nor [`TAKEN`]; none of an address that no sender has.
fn key(ip: IpAddr) -> Option<u64> {
    let key = match ip {
        IpAddr::V4(v4) => IPV4 | u64::from(v4.to_bits()),
        IpAddr::V6(v6) if v6.is_multicast() => return None,
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    };
    Some(key + 1)
}

/// Whose key it is: whether that is IPv6, and the octets.
fn network(key: u64) -> (bool, [u8; 8]) {
    let key = key - 1;
    match key & IPV4 == IPV4 {
        true => (false, (key << 32).to_be_bytes()),
        false => (true, key.to_be_bytes()),
    }
}

#[cfg(test)]
mod tests;
