//! The link to the client: a pipe that timestamps.

use super::Shortfall;
use crate::address::Address;
use crate::codec::{Decode, Encode};
use crate::departure::Departure;
use crate::list::Bounded;
use crate::packet::{FilterOctets, Packet};
use crate::units::{Leap, RawInstant};

/// Most queries that are open at a time.
pub const MAX_OPEN: usize = 60;

/// Engine to client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum ToClient {
    /// Send this packet now and wait for its reply until the deadline. The id was never used before;
    /// the destination is unicast; at most [`MAX_OPEN`] queries are open.
    Query(Query),
    /// Forget this query (open or not).
    Cancel(QueryId),
    /// Answer with `Pong`; sent only if the service manager's watchdog is on.
    Ping,
}

/// Client role to engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum FromClient {
    /// First message, once: the process is confined.
    Hello(Shortfall),
    /// The packet of this query has left; once for each query, before its end.
    Sent(Sent),
    /// End of a query: a reply from the address that was asked, with the origin that was sent.
    PlainReply(PlainReply),
    /// The same of a query of NTP version 5.
    Version5Reply(Version5Reply),
    /// A packet that may be the reply to a protected query: from the address that was asked, with the origin
    /// that was sent. Not the end of the query; at most [`MAX_CANDIDATES`] for each.
    ProtectedReply(ProtectedReply),
    /// End of a query: no such reply (after the candidates, if it was protected).
    Unanswered(Unanswered),
    /// Answers `Ping`: the loop still turns.
    Pong,
    /// Once after the hello, if the kernel tells, and whenever the network of this host has changed, at most once a second.
    Network(OwnAddresses),
}

/// Most addresses of this host that are told.
pub const MAX_OWN: usize = 64;

/// The addresses of this host, with port 0, without loopback; if there are [`MAX_OWN`], there may be others.
pub type OwnAddresses = Bounded<Address, MAX_OWN>;

/// A query's name: the engine counts up and never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct QueryId(pub u64);

/// One packet to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Query {
    /// Its name.
    pub id: QueryId,
    /// Where to.
    pub destination: Address,
    /// When to stop waiting.
    pub deadline: RawInstant,
    /// Whether replies are protected by NTS: they are passed on whole, since only the engine can judge
    /// them, and the query stays open until it is cancelled or its deadline passes.
    pub protected: bool,
    /// How it leaves this host.
    pub departure: Departure,
    /// All octets of the packet; the transmit timestamp (octets 40 to 47) is the nonce that a reply
    /// must return as its origin timestamp; of version 5 the client cookie (octets 24 to 31).
    pub packet: Packet,
}

/// A packet has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Sent {
    /// Its query.
    pub id: QueryId,
    /// T1.
    pub t1: RawInstant,
    /// Where T1 comes from.
    pub stamp: Stamp,
    /// The address of this host that it was sent from: a source that gives it as its reference id follows us.
    pub local: Address,
}

/// Where a timestamp comes from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Stamp {
    /// The network interface.
    Hardware,
    /// The kernel, next to the driver.
    Kernel,
    /// This process, next to its system call.
    User,
}

/// A reply without authentication, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct PlainReply {
    /// Its query.
    pub id: QueryId,
    /// Where it came from: the destination of the query.
    pub source: Address,
    /// T4.
    pub t4: RawInstant,
    /// Where T4 comes from.
    pub stamp: Stamp,
    /// The header's fields.
    pub header: ReplyHeader,
    /// What else arrived for this query and was thrown away.
    pub rejected: Rejected,
}

/// A reply of the draft of NTP version 5 without authentication, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Version5Reply {
    /// Its query.
    pub id: QueryId,
    /// Where it came from: the destination of the query.
    pub source: Address,
    /// T4.
    pub t4: RawInstant,
    /// Where T4 comes from.
    pub stamp: Stamp,
    /// The header's fields.
    pub header: Version5Header,
    /// The reference ids of all servers that its time comes from.
    pub filter: Option<FilterOctets>,
    /// How long the query and the reply were held up on the path, as devices there say; nanoseconds, not negative.
    pub held_up: Option<(i64, i64)>,
    /// What else arrived for this query and was thrown away.
    pub rejected: Rejected,
}

/// The fields of a header of the draft of NTP version 5 (draft-ietf-ntp-ntpv5 section 5), as they stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Version5Header {
    /// Leap indicator; `Unknown`: the server knows nothing of leap seconds.
    pub leap: Leap,
    /// Stratum.
    pub stratum: u8,
    /// Exponent of the shortest interval that the server allows, log2 s; 127: never again.
    pub poll: i8,
    /// Precision, log2 s.
    pub precision: i8,
    /// Root delay, 2^-28 s.
    pub root_delay: u32,
    /// Root dispersion, 2^-28 s.
    pub root_dispersion: u32,
    /// Number of the timescale.
    pub timescale: u8,
    /// Era of T2.
    pub era: u8,
    /// Flags.
    pub flags: u16,
    /// The nonce of the query.
    pub client_cookie: u64,
    /// T2, NTP 64-bit format.
    pub receive_timestamp: u64,
    /// T3, NTP 64-bit format.
    pub transmit_timestamp: u64,
}

/// Most packets that are passed on for one protected query.
pub const MAX_CANDIDATES: u8 = 4;

/// A packet that may be the reply to a protected query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ProtectedReply {
    /// Its query.
    pub id: QueryId,
    /// Where it came from: the destination of the query.
    pub source: Address,
    /// T4.
    pub t4: RawInstant,
    /// Where T4 comes from.
    pub stamp: Stamp,
    /// All octets, as they came.
    pub packet: Packet,
}

/// The fields of an NTP header (RFC 5905 section 7.3), as they stand on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct ReplyHeader {
    /// Leap indicator.
    pub leap: Leap,
    /// Version number, 1 to 7.
    pub version: u8,
    /// Mode, 0 to 7.
    pub mode: u8,
    /// Stratum.
    pub stratum: u8,
    /// Poll exponent, log2 s.
    pub poll: i8,
    /// Precision, log2 s.
    pub precision: i8,
    /// Root delay, 2^-16 s.
    pub root_delay: u32,
    /// Root dispersion, 2^-16 s.
    pub root_dispersion: u32,
    /// Reference id.
    pub reference_id: u32,
    /// Reference timestamp, NTP 64-bit format.
    pub reference_timestamp: u64,
    /// Origin timestamp: the nonce of the query.
    pub origin_timestamp: u64,
    /// T2, NTP 64-bit format.
    pub receive_timestamp: u64,
    /// T3, NTP 64-bit format.
    pub transmit_timestamp: u64,
}

/// The query ended without a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Unanswered {
    /// Its name.
    pub id: QueryId,
    /// Why.
    pub reason: Silence,
    /// What arrived and was thrown away.
    pub rejected: Rejected,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub enum Silence {
    /// The deadline passed.
    Deadline,
    /// ICMP: port unreachable.
    PortUnreachable,
    /// No route, or ICMP: host or network unreachable.
    Unreachable,
    /// ICMP or the local policy: forbidden.
    Prohibited,
    /// No socket, port or buffer is available on this host.
    Local,
    /// There is no interface of the name over which it is to be sent.
    NoInterface,
    /// No interface of this host has the address from which it is to be sent.
    NoAddress,
}

impl Silence {
    /// The query has not left this host, for something that it lacks.
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Local | Self::NoInterface | Self::NoAddress)
    }
}

/// Datagrams that came to a query's socket and were thrown away there, by reason (saturating).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cfg_attr(test, derive(wincode::SchemaWrite, wincode::SchemaRead, proptest_derive::Arbitrary))]
pub struct Rejected {
    /// Shorter than 48 octets, longer than asked for, not a multiple of 4, or broken extension fields.
    pub malformed: u32,
    /// A mode other than 4 (server).
    pub mode: u32,
    /// A version that wasn't asked for.
    pub version: u32,
    /// An origin timestamp that isn't the nonce of the query (or is zero).
    pub origin: u32,
    /// From another address than was asked.
    pub source: u32,
    /// A MAC or crypto-NAK where no key is shared.
    pub unexpected_mac: u32,
}

impl Rejected {
    /// Nothing was thrown away.
    pub const NONE: Self =
        Self { malformed: 0, mode: 0, version: 0, origin: 0, source: 0, unexpected_mac: 0 };
}
