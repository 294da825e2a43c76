//! The link to the server role: state goes down, counts come up; no time ever comes up.

use super::Shortfall;
use crate::codec::{Decode, Encode};
use crate::units::{Leap, RawInstant, Span, WallTime};

/// Most access rules.
pub const MAX_RULES: usize = 64;

/// Engine to server role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToServer {
    /// What replies say until the next one or until it is no longer valid.
    State(ServerState),
    /// Who is answered; replaces the rules before.
    Access(Access),
}

/// Server role to engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromServer {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// At most one a second, and only when a count has changed.
    Counters(Counters),
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

/// Access rules; the longest prefix that matches decides, nobody is answered without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Access {
    /// How many of `rules` count, 0 to 64.
    pub count: u8,
    /// The rules, in any order.
    pub rules: [Rule; MAX_RULES],
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

/// What the server role did, since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Counters {
    /// Datagrams read.
    pub received: u64,
    /// Replies sent.
    pub answered: u64,
    /// Silent: not an NTP client request (length, version, mode).
    pub malformed: u64,
    /// Silent: mode 6 or 7.
    pub control: u64,
    /// Silent: the access rules say so.
    pub denied: u64,
    /// Silent: too many requests from there.
    pub limited: u64,
    /// The kernel would not take the reply.
    pub failed: u64,
}

impl Rule {
    /// Filler of unused places.
    pub const NONE: Self = Self { prefix: [0; 16], bits: 0, ipv6: false, allow: false };
}
