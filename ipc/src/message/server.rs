//! The link to the server: state goes down, counts come up, and on request what is known of clients. No time of day ever
//! comes up: how long ago a client asked, and in which intervals, is for people, and nothing is decided by it.

pub use super::counters::Counters;

use super::Shortfall;
use crate::codec::{Decode, Encode};
use crate::list::{Bounded, Empty};
use crate::packet::FilterOctets;
use crate::secret::Secret;
use crate::symmetric_key::SymmetricKey;
use crate::units::{Leap, RawInstant, Span, WallTime};

/// Most access rules in one record.
pub const MAX_RULES: usize = 64;

/// Most access rules in a list.
pub const MAX_LIST: usize = 4096;

/// Most clients in one record.
pub const MAX_CLIENTS: usize = 64;

/// Most clients that one question asks for.
pub const MAX_WANTED: u16 = 1_000;

/// Most cookie keys at a time: of two epochs before, the current one, and the next.
pub const MAX_EPOCH_KEYS: usize = 4;

/// Most symmetric keys in one record.
pub const MAX_KEYS: usize = 16;

/// Most symmetric keys that clients may use.
pub const MAX_KEY_RING: usize = 512;

/// Engine to server.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToServer {
    /// What replies say until the next one or until it is no longer valid.
    State(ServerState),
    /// A part of the access list. The new list replaces the previous one when its last part arrives.
    Access(Access),
    /// How often, and with which time. At any moment; until the first one a server answers as
    /// [`ServerPolicy::DEFAULT`] says.
    Policy(ServerPolicy),
    /// The keys that open and seal cookies, in place of those before. Until the first ones, requests with
    /// NTS fields are not answered.
    CookieKeys(CookieKeys),
    /// A part of the symmetric keys that clients may use. The new ones replace the previous ones when their last part arrives. Until the
    /// first ones, requests with a MAC are not answered.
    SymmetricKeys(SymmetricKeys),
    /// The reference ids of NTP version 5 of all servers that the time comes from, in place of those before. Until the first ones,
    /// clients who ask for them get none.
    ReferenceIds(FilterOctets),
    /// Answer with `Pong`; sent only if the service manager's watchdog is on.
    Ping,
    /// Answer with `Clients`; not again before that answer is whole.
    Clients(ClientsWanted),
}

/// Server role to engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromServer {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// At most one a second, and only when a count has changed.
    Counters(Counters),
    /// An interface that `listen` names is missing, or is there again. Only what differs from the message before, and of an
    /// interface that was there from the start, nothing until it is gone.
    Interface(Interface),
    /// Answers `Ping`: the loop still turns, and no thread has been at the same batch since the `Ping` before.
    /// Outstanding pings are answered once the thread continues.
    Pong,
    /// A part of the answer to `Clients`, and nothing else: all parts but the last are full.
    Clients(ClientsPart),
}

/// Which clients an administrator asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ClientsWanted {
    /// The first ones by this.
    pub by: ClientOrder,
    /// No more than so many; 1 to [`MAX_WANTED`].
    pub most: u16,
}

/// Which clients come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ClientOrder {
    /// Those with the most requests.
    Requests,
    /// Those of whom the most requests were not answered.
    Dropped,
    /// Those with the shortest interval.
    Interval,
    /// Those who asked last.
    Last,
}

/// Clients of the server, as many as one record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ClientsPart {
    /// With this part the answer is whole.
    pub ends: bool,
    /// Clients that are known, also those that are not told.
    pub known: u32,
    /// Clients that can be known at a time.
    pub room: u32,
    /// How often a client has taken the place of another one.
    pub replaced: u64,
    /// In the order that was asked for.
    pub clients: Bounded<Client, MAX_CLIENTS>,
}

/// What is known of one client: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Client {
    /// Which family.
    pub ipv6: bool,
    /// Network order: the upper half of an IPv6 address, or IPv4 in the first four octets.
    pub network: [u8; 8],
    /// Requests since it is known.
    pub requests: u64,
    /// Those of them that were not answered: denied by the access rules, above the rate limit, or with a wrong MAC.
    pub dropped: u64,
    /// The access rules deny it.
    pub is_denied: bool,
    /// Its last request that was not dropped was authenticated by NTS.
    pub is_protected: bool,
    /// The same by a symmetric key.
    pub is_keyed: bool,
    /// NTP version of its last request, as it claims; 0 to 7.
    pub version: u8,
    /// Between requests, on average of late; none: there was one.
    pub interval: Option<Span>,
    /// Since its last request.
    pub age: Span,
}

/// Whether the interface of an entry of `listen` is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Interface {
    /// The first entry of the plan that names it, counted from 0.
    pub entry: u8,
    /// Whether this host has it now.
    pub is_there: bool,
}

/// The system variables that a reply carries (RFC 5905 section 11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ServerState {
    /// Leap indicator; `Unknown` also when the clock isn't synchronised.
    pub leap: Leap,
    /// 1 to 15; 16: unsynchronised (sent as 0).
    pub stratum: u8,
    /// log2 s.
    pub precision: i8,
    /// Round trip to the reference clock.
    pub root_delay: Span,
    /// Error bound at `as_of`; grows by 15 ppm from then on.
    pub root_dispersion: Span,
    /// Instant to which `root_dispersion` belongs.
    pub as_of: RawInstant,
    /// Reference id, network order.
    pub reference_id: u32,
    /// When the clock was last corrected.
    pub reference_time: WallTime,
    /// After this instant replies say "unsynchronised".
    pub valid_until: RawInstant,
}

/// Access rules: the longest matching prefix decides, and an address without a match is not answered. A list of more
/// than 64 rules is sent in several records, at most [`MAX_LIST`] rules in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Access {
    /// This part begins a new list; what came of an unfinished one is forgotten.
    pub begins: bool,
    /// With this part the list is whole and in force.
    pub ends: bool,
    /// The rules, in any order.
    pub rules: Bounded<Rule, MAX_RULES>,
}

/// One access rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Rule {
    /// Network order; IPv4 in the first four octets.
    pub prefix: [u8; 16],
    /// Bits of the prefix that count: 0 to 32, or 0 to 128.
    pub bits: u8,
    /// Which family.
    pub ipv6: bool,
    /// Answer or keep silent.
    pub allow: bool,
}

/// Symmetric keys, each of another number. More than 16 are sent in several records, at most [`MAX_KEY_RING`] keys in all.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct SymmetricKeys {
    /// This part begins new ones; what came of unfinished ones is forgotten.
    pub begins: bool,
    /// With this part they are whole and in force.
    pub ends: bool,
    /// The keys, in any order.
    pub keys: Bounded<SymmetricKey, MAX_KEYS>,
}

/// Keys for cookies (protocol::nts::ratchet says where they come from).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct CookieKeys {
    /// The epoch whose key seals; it is among `keys`.
    pub current: u32,
    /// Each of another epoch, oldest first; one at least.
    pub keys: Bounded<EpochKey, MAX_EPOCH_KEYS>,
}

/// The key of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct EpochKey {
    /// Its epoch.
    pub epoch: u32,
    /// The key (AES-256).
    pub key: Secret<32>,
}

/// How the server answers, as the configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ServerPolicy {
    /// Whether requests are limited at all.
    pub limited: bool,
    /// Answers a second to one address (IPv6: one /64); 1 to [`MAX_RATE`].
    pub address_rate: u32,
    /// Answers a second to one network, an IPv4 /24 or IPv6 /48; 1 to [`MAX_RATE`].
    pub network_rate: u32,
    /// Requests a second within those limits from which on all limits are narrowed; 1 to [`MAX_TOTAL`].
    pub total_rate: u32,
    /// Whether some of the clients that exceed the rate limit receive a kiss code (RATE).
    pub kiss: bool,
    /// Whether clients may have interleaved answers (RFC 9769).
    pub interleaved: bool,
    /// Whether no client is answered while the clock is not synchronised.
    pub silent: bool,
    /// How a leap second is served.
    pub smear: Smear,
    /// Whether the draft of NTP version 5 is spoken.
    pub version5: bool,
}

/// How a leap second is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Smear {
    /// As a leap second.
    Off,
    /// Spread evenly over the day from noon to noon (UTC) around it.
    Linear,
    /// The same day, slow at its ends.
    Cosine,
}

/// Highest rate of one address or network.
pub const MAX_RATE: u32 = 10_000;

/// Highest total rate.
pub const MAX_TOTAL: u32 = 100_000_000;

impl ServerPolicy {
    /// What is in force without a word about it: 16 answers a second to one address, and as many to one network,
    /// in the long run, eight seconds' worth at once, and less where 20,000 are wanted a second in all.
    pub const DEFAULT: Self = Self {
        limited: true,
        address_rate: 16,
        network_rate: 16,
        total_rate: 20_000,
        kiss: true,
        interleaved: true,
        silent: false,
        smear: Smear::Off,
        version5: false,
    };
}

impl Rule {
    /// No address of IPv4 is allowed.
    pub const NONE: Self = Self { prefix: [0; 16], bits: 0, ipv6: false, allow: false };
}

impl Empty for Rule {
    fn empty() -> Self {
        Self::NONE
    }
}

impl Empty for Client {
    fn empty() -> Self {
        Self {
            ipv6: false,
            network: [0; 8],
            requests: 0,
            dropped: 0,
            is_denied: false,
            is_protected: false,
            is_keyed: false,
            version: 0,
            interval: None,
            age: Span::ZERO,
        }
    }
}

impl Empty for EpochKey {
    fn empty() -> Self {
        Self { epoch: 0, key: Secret::new(&[0; 32]) }
    }
}
