//! Rate limits per host, per network and in total, applied before a reply is built.
//!
//! One table of fixed size for all threads: eight entries in a cache line, found by a hash keyed at start, so that an
//! attacker cannot choose addresses that share a line. An entry is the time at which the leaky bucket of its key will
//! be empty. If all eight are in use, the one that empties first is replaced: a flood of sources costs other clients
//! their history, never their answers.
//!
//! Of the requests above the limit, one in four is answered, but no more than [`LEAKED`] a second in total. A flood of
//! up to a few thousand requests a second from a client's forged address thus leaves a quarter of the client's own
//! requests answered, and a larger flood draws only a trickle of replies from this server. The client is answered in
//! full within eight seconds of the flood's end.
//!
//! An authenticated NTS client is limited by its association instead, which no other client can use up and which floods
//! of plain requests do not affect. Authentication costs opening a cookie, which is wasted on a forged request: beyond
//! the limits of the claimed address, at most [`TRIED`] requests a second are opened.
//!
//! A client with a symmetric key is limited by key and address, and its network by key and network: a request that somebody has
//! recorded and sends again is as good as the first, under any address. Such requests have a total of their own, so that they
//! reduce nobody else's rate. Digests of forged requests are wasted work too, with a budget of the same size.

use super::source::Source;
use ipc::message::server::{MAX_RATE, MAX_TOTAL, ServerPolicy};
use ipc::units::RawInstant;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

const WAYS: usize = 8;
const BUCKETS: usize = 1 << 14;

/// The depth of a bucket, in seconds of its rate.
const SECONDS: i32 = 8;

/// Of the requests above a limit, one in this many is still answered.
const LEAK: u64 = 4;

/// The most of those in a second, for all clients together.
pub const LEAKED: i64 = 1024;

/// Of the requests that are not answered, one in this many receives a kiss code.
const KISS: u64 = 16;

/// The most of those in a second, for all clients together.
pub const KISSED: i64 = 64;

/// The most NTS NAKs in a second, for all clients together.
pub const REFUSED: i64 = 1024;

/// The most cookies in a second that are opened for addresses above their limits, and the most digests that are verified.
pub const TRIED: i64 = 65_536;

/// While there are too many requests in total, the weight of a request doubles each period, up to 2 to this power:
/// a host is then answered once in eight seconds. After each period without excess, the weight is halved.
const NARROWEST: u32 = 7;

/// Length of a period, nanoseconds.
const PERIOD: i64 = SECOND / 4;

const SECOND: i64 = 1_000_000_000;

/// Unit of time in the table: 2^16 ns, of which 32 bits wrap after 78 hours.
const TICK: u32 = 16;

/// The verdict on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer.
    Within,
    /// Above the limit; answer all the same.
    Spared,
    /// Above the limit; answer with a kiss code.
    Kiss,
    /// Above the limit; do not answer.
    Over,
}

/// A leaky bucket's size, in ticks.
#[derive(Clone, Copy, Debug)]
struct Limit {
    interval: i32,
    depth: i32,
    /// The requests that it holds.
    most: i32,
}

impl Limit {
    fn new(rate: u32) -> Self {
        let rate = i64::from(rate.clamp(1, MAX_RATE));
        // At most 15,259 ticks, eight seconds of which are far below what 31 bits hold.
        let interval = ((SECOND >> TICK) / rate).max(1) as i32;
        let most = rate as i32 * SECONDS;
        Self { interval, depth: interval * most, most }
    }

    /// The ticks that one request of this weight uses; never so many that none fits.
    fn share(&self, weight: i32) -> i32 {
        self.interval * weight.min(self.most)
    }
}

/// The table and the shared buckets. It never grows.
#[derive(Debug)]
pub struct Limiter {
    address: Limit,
    network: Limit,
    kisses: bool,
    seed: RandomState,
    /// Key (upper half) and the time at which the bucket is empty (lower half).
    entries: Box<[AtomicU64]>,
    plain: Crowd,
    protected: Crowd,
    keyed: Crowd,
    leak: Bucket,
    kiss: Bucket,
    refusal: Bucket,
    trial: Bucket,
    digest_trial: Bucket,
}

/// The total of all requests of one kind.
#[derive(Debug)]
struct Crowd {
    total: Bucket,
    narrowness: Narrowness,
}

impl Crowd {
    fn new(rate: u32) -> Self {
        let total = Bucket::new(i64::from(rate.clamp(1, MAX_TOTAL)));
        Self { total, narrowness: Narrowness::default() }
    }

    /// The current weight of a request.
    fn weight(&self, now: i64) -> i32 {
        1 << self.narrowness.now(now)
    }

    /// Counts one answered request.
    fn count(&self, now: i64) {
        if !self.total.takes(now) {
            self.narrowness.too_many();
        }
    }
}

/// A leaky bucket of one second's depth that all threads share. Two threads may both take the last token.
#[derive(Debug)]
struct Bucket {
    interval: i64,
    dry_at: AtomicI64,
}

impl Bucket {
    fn new(rate: i64) -> Self {
        Self { interval: SECOND / rate.max(1), dry_at: AtomicI64::new(0) }
    }

    /// Takes a token; returns whether there was one.
    fn takes(&self, now: i64) -> bool {
        let dry_at = self.dry_at.load(Relaxed);
        // A clock never goes back by more than the bucket is deep.
        let dry_at = if dry_at > now.saturating_add(2 * SECOND) { now } else { dry_at.max(now) };
        let room = dry_at.saturating_sub(now) <= SECOND - self.interval.min(SECOND);
        if room {
            self.dry_at.store(dry_at.saturating_add(self.interval), Relaxed);
        }
        room
    }
}

/// How far all rates are reduced, as a power of two.
#[derive(Debug, Default)]
struct Narrowness {
    power: AtomicU64,
    /// Not 0: too many requests were answered in this period.
    excess: AtomicU64,
    period_ends: AtomicI64,
}

impl Narrowness {
    /// More were answered in this period than the total allows.
    fn too_many(&self) {
        self.excess.store(1, Relaxed);
    }

    /// The power now.
    fn now(&self, now: i64) -> u32 {
        let power = self.power.load(Relaxed) as u32;
        let ends = self.period_ends.load(Relaxed);
        if (ends.saturating_sub(PERIOD)..ends).contains(&now) {
            return power;
        }
        // After a silence, several periods are made up for at once.
        let idle = u32::try_from(now.saturating_sub(ends).max(0) / PERIOD).unwrap_or(u32::MAX);
        let next = match self.excess.swap(0, Relaxed) {
            0 => power.saturating_sub(idle.saturating_add(1)),
            _ => power.saturating_sub(idle).saturating_add(1).min(NARROWEST),
        };
        self.power.store(u64::from(next), Relaxed);
        self.period_ends.store(now.saturating_add(PERIOD), Relaxed);
        next
    }
}

/// Random numbers that a client cannot predict, one state for each thread.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// Seeded by the system.
    pub fn new() -> Self {
        Self(RandomState::new().hash_one(0u8))
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// Each bit of the result depends on each bit given (the finalizer of splitmix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

impl Default for SplitMix64 {
    fn default() -> Self {
        Self::new()
    }
}

impl Limiter {
    /// A table with its own hash key; `None` if the policy has no limits.
    pub fn new(policy: &ServerPolicy) -> Option<Self> {
        policy.limited.then(|| Self {
            address: Limit::new(policy.address_rate),
            network: Limit::new(policy.network_rate),
            kisses: policy.kiss,
            seed: RandomState::new(),
            entries: (0..WAYS * BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            plain: Crowd::new(policy.total_rate),
            protected: Crowd::new(policy.total_rate),
            keyed: Crowd::new(policy.total_rate),
            leak: Bucket::new(LEAKED),
            kiss: Bucket::new(KISSED),
            refusal: Bucket::new(REFUSED),
            trial: Bucket::new(TRIED),
            digest_trial: Bucket::new(TRIED),
        })
    }

    /// Counts a request of this sender and returns the verdict.
    pub fn judge(&self, source: &Source, now: RawInstant, rng: &mut SplitMix64) -> Verdict {
        if self.admits(source, now) { Verdict::Within } else { self.judge_excess(now, rng) }
    }

    /// Counts a request under this association's key and returns the verdict.
    pub fn judge_association(&self, association: &[u8], now: RawInstant, rng: &mut SplitMix64) -> Verdict {
        let nanos = now.nanos();
        let ticks = (nanos >> TICK) as u32;
        let place = self.place(self.seed.hash_one(association), &self.address, ticks);
        let share = self.address.share(self.protected.weight(nanos));
        if place.waiting + share > self.address.depth {
            return self.judge_excess(now, rng);
        }
        self.charge(&place, share, ticks);
        self.protected.count(nanos);
        Verdict::Within
    }

    /// Counts a request that the key of this number has authenticated, and returns the verdict.
    pub fn judge_keyed(
        &self,
        number: u32,
        source: &Source,
        now: RawInstant,
        rng: &mut SplitMix64,
    ) -> Verdict {
        let (network, host) = split(source.ip);
        let hashes = (self.seed.hash_one((number, network, host)), self.seed.hash_one((number, network)));
        let seen = self.seen(hashes, &self.keyed, now);
        if self.counts(&seen, &self.keyed, now) { Verdict::Within } else { self.judge_excess(now, rng) }
    }

    /// Whether this sender's cookie may be opened. The request is not yet counted against the sender.
    pub fn tries(&self, source: &Source, now: RawInstant) -> bool {
        self.look_up(source, now).has_room(self) || self.trial.takes(now.nanos())
    }

    /// The same of its digest.
    pub fn tries_digest(&self, source: &Source, now: RawInstant) -> bool {
        self.look_up(source, now).has_room(self) || self.digest_trial.takes(now.nanos())
    }

    /// Counts a request that failed authentication, and returns whether its sender may receive an NTS NAK.
    pub fn refuses(&self, source: &Source, now: RawInstant) -> bool {
        self.admits(source, now) && self.refusal.takes(now.nanos())
    }

    /// Counts a request whose digest was wrong, and which is not answered.
    pub fn note_failure(&self, source: &Source, now: RawInstant) {
        self.admits(source, now);
    }

    /// Counts a request if neither its sender nor the sender's network is over the limit.
    fn admits(&self, source: &Source, now: RawInstant) -> bool {
        self.counts(&self.look_up(source, now), &self.plain, now)
    }

    fn look_up(&self, source: &Source, now: RawInstant) -> Seen {
        let (network, host) = split(source.ip);
        let hash = self.seed.hash_one(network);
        // A network's hash is secret, so its hosts can be spread from it with less work.
        self.seen((mix(hash ^ (host + 1)), hash), &self.plain, now)
    }

    /// The buckets of a host and a network with these hashes, and what a request among those of this kind takes of each.
    fn seen(&self, (host, network): (u64, u64), crowd: &Crowd, now: RawInstant) -> Seen {
        let nanos = now.nanos();
        let ticks = (nanos >> TICK) as u32;
        let weight = crowd.weight(nanos);
        Seen {
            host: self.place(host, &self.address, ticks),
            network: self.place(network, &self.network, ticks),
            by_host: self.address.share(weight),
            by_network: self.network.share(weight),
            ticks,
        }
    }

    fn judge_excess(&self, now: RawInstant, rng: &mut SplitMix64) -> Verdict {
        let (drawn, nanos) = (rng.next_u64(), now.nanos());
        if drawn.is_multiple_of(LEAK) && self.leak.takes(nanos) {
            Verdict::Spared
        } else if self.kisses && (drawn / LEAK).is_multiple_of(KISS) && self.kiss.takes(nanos) {
            Verdict::Kiss
        } else {
            Verdict::Over
        }
    }

    /// The entry of a key with this hash, existing or new, and the fill level of its bucket.
    fn place(&self, hash: u64, limit: &Limit, now: u32) -> Place {
        // Zero marks an unused entry.
        let tag = (hash >> 32) as u32 | 1;
        let first = (hash as usize % BUCKETS) * WAYS;
        let mut place = Place { at: first, tag, waiting: 0 };
        let mut least = i32::MAX;
        for (at, entry) in (first..).zip(self.entries.get(first..first + WAYS).unwrap_or_default()) {
            let entry = entry.load(Relaxed);
            let waiting = (entry as u32).wrapping_sub(now) as i32;
            if (entry >> 32) as u32 == tag {
                // Longer than a bucket is deep: left from another turn of the clock.
                let waiting = if waiting > limit.depth.saturating_add(1) { 0 } else { waiting.max(0) };
                return Place { at, tag, waiting };
            }
            // The bucket that has been empty longest, or an unused one: negative up to half a wrap of the clock.
            let waiting = if entry == 0 { i32::MIN } else { waiting };
            if waiting < least {
                least = waiting;
                place.at = at;
            }
        }
        place
    }

    /// Charges both buckets of a sender, and counts its request, if they have room for it.
    fn counts(&self, seen: &Seen, crowd: &Crowd, now: RawInstant) -> bool {
        let has_room = seen.has_room(self);
        if has_room {
            self.charge(&seen.host, seen.by_host, seen.ticks);
            self.charge(&seen.network, seen.by_network, seen.ticks);
            crowd.count(now.nanos());
        }
        has_room
    }

    fn charge(&self, place: &Place, ticks: i32, now: u32) {
        let dry_at = now.wrapping_add_signed(place.waiting).wrapping_add_signed(ticks);
        if let Some(entry) = self.entries.get(place.at) {
            entry.store(u64::from(place.tag) << 32 | u64::from(dry_at), Relaxed);
        }
    }
}

/// A network and a host in it, as one number each; those of IPv6 are above all of IPv4's.
fn split(ip: IpAddr) -> (u64, u64) {
    match ip {
        IpAddr::V4(v4) => {
            let v4 = u64::from(u32::from(v4));
            (v4 >> 8, v4 & 0xff)
        }
        IpAddr::V6(v6) => {
            let upper = (u128::from(v6) >> 64) as u64;
            (1 << 48 | upper >> 16, upper & 0xffff)
        }
    }
}

/// A sender's two buckets, and the ticks that a request uses of each.
struct Seen {
    host: Place,
    network: Place,
    by_host: i32,
    by_network: i32,
    ticks: u32,
}

impl Seen {
    fn has_room(&self, limiter: &Limiter) -> bool {
        self.host.waiting + self.by_host <= limiter.address.depth
            && self.network.waiting + self.by_network <= limiter.network.depth
    }
}

struct Place {
    at: usize,
    tag: u32,
    /// Ticks until the bucket is empty.
    waiting: i32,
}

#[cfg(test)]
mod tests;
