//! The inputs and outputs of the engine. The engine never acts itself: facts go in with the time at which they were
//! learned, and effects come out as values.

use crate::entries::EntryId;
use crate::notice::Notice;
pub use crate::orders::OrderKind;
use crate::settings::{Place, Settings};
pub use crate::signed::Proof;
use crate::violation::Violation;
use alloc::vec::Vec;
use ipc::address::Address;
use ipc::aead::Aead;
use ipc::anchor::Anchor;
use ipc::message::client::{PlainReply, ProtectedReply, Query, QueryId, Sent, Unanswered, Version5Reply};
use ipc::message::exchange::{
    Cookie, Exchange, ExchangeFailed, Exchanged, Failed, HostName, Measure, MeasureFailed, Measured,
    Operator, Resolve, Resolved, Signed,
};
use ipc::message::privileged::{
    Adjust, Applied, ClockEvent, HistoryNoted, Refused, SetTai, Status, Step, Welcome,
};
use ipc::message::refclock::{ClockSample, Discarded};
use ipc::message::server::ServerState;
use ipc::packet::{CookieOctets, FilterOctets};
use ipc::process::Process;
use ipc::secret::KeyPair;
use ipc::units::{Frequency, RawInstant, Span, WallTime};
use truechimer_time::Page;

/// Two clocks read in immediate succession (the closest pair of a few attempts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_MONOTONIC_RAW.
    pub raw: RawInstant,
    /// The clock that is steered.
    pub wall: WallTime,
}

/// A fact.
#[allow(clippy::large_enum_variant, reason = "passed by value once, never stored")]
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The time of `poll_timeout` has come. Harmless at any other time.
    Timeout,
    /// The privileged process is ready for orders; once, first.
    Welcome(Welcome),
    /// An order of this kind was carried out.
    Applied(OrderKind, Applied),
    /// An order of this kind was refused.
    Refused(OrderKind, Refused),
    /// Time was not continuous.
    ClockEvent(ClockEvent),
    /// A query has left.
    Sent(Sent),
    /// A query was answered.
    Reply(PlainReply),
    /// The same in the draft of NTP version 5.
    Version5(Version5Reply),
    /// A packet that may be the reply to a protected query.
    Protected(ProtectedReply),
    /// A query ended without a reply.
    Unanswered(Unanswered),
    /// A look-up ended with addresses.
    Resolved(Resolved),
    /// A look-up ended without addresses.
    LookupFailed(Failed),
    /// A cookie of a key exchange that is about to end with `Exchanged`.
    Cookie(Cookie),
    /// A key exchange ended with keys.
    Exchanged(Exchanged),
    /// A key exchange ended without keys.
    ExchangeFailed(ExchangeFailed),
    /// An answer of a round of Roughtime that is about to end with `Measured`.
    Signed(Signed),
    /// A round of Roughtime ended.
    Measured(Measured),
    /// A round of Roughtime ended without a result.
    MeasureFailed(MeasureFailed),
    /// A reference clock has said what time it is.
    Clock(ClockSample),
    /// What came from a reference clock was no sample.
    ClockDiscarded(Discarded),
    /// Audit log and history of minutes are on the disk up to there.
    HistoryNoted(HistoryNoted),
    /// A command of an administrator, already authorised.
    Command(Command),
    /// The network of this host has changed. Its addresses now, as far as they are known: they are never taken from a name
    /// server, and a source that follows one of them is a loop. Replaces those before; the first 64 count.
    OwnAddresses(Vec<core::net::IpAddr>),
}

/// The commands of an administrator to a running engine. Those about polling are about one entry; none: about all that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Poll now, a few times.
    Burst(Option<EntryId>),
    /// Stop polling.
    Offline(Option<EntryId>),
    /// Poll again.
    Online(Option<EntryId>),
    /// Step the clock to the time that is followed, if the governor grants it ([`crate::Engine::hand_step`]).
    Step,
}

/// An effect.
#[allow(clippy::large_enum_variant, reason = "a queue of a few, without an allocation for each query")]
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// To the client.
    Query(Query),
    /// To the client.
    Cancel(QueryId),
    /// To the exchange process.
    Resolve(Resolve),
    /// To the exchange process.
    Exchange(Exchange),
    /// To the exchange process: a round of Roughtime.
    Measure(Measure),
    /// To the file of reports: signed answers that exclude each other.
    Malfeasance(Proof),
    /// To the file of anchors, which numbers it: signed answers that prove where audit log and history ended.
    Anchor(Anchor),
    /// To the privileged process; at most one adjust or step is unanswered at a time.
    Adjust(Adjust),
    /// To the privileged process.
    Step(Step),
    /// To the privileged process.
    SetStatus(Status),
    /// To the privileged process.
    SetTai(SetTai),
    /// To the server, where there is one.
    Serve(ServerState),
    /// To the server, where there is one: the reference ids of all servers that the time comes from.
    ServeReferenceIds(FilterOctets),
    /// To the page of shared memory from which programs compute the time.
    Page(Page),
    /// To the state file, with what [`crate::Engine::kept_addresses`] says now.
    Save(Saved),
    /// To the file of keys, which is to hold what [`crate::Engine::associations`] says now. Carried out before the
    /// effects that follow: a query among them uses a cookie that must not be found there any more.
    SaveAssociations,
    /// To the log.
    Log(Notice),
    /// A process violated the protocol of its link: the daemon is to end, because of this process and this violation.
    Distrust(Process, Violation),
}

/// What survives a restart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saved {
    /// Frequency correction in force.
    pub frequency: Frequency,
    /// Standard deviation of it, ppm.
    pub frequency_error_ppm: f64,
    /// When, by the steered clock.
    pub at: WallTime,
}

/// The association with one NTS source, as it survives a restart: then no key exchange is needed. It belongs to the
/// source that names the same server and the same roots, and to no other.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedAssociation {
    /// The key exchange server and its TCP port, as configured.
    pub server: Place,
    /// Which roots vouched for it, as in [`ipc::message::exchange::Exchange`]: numbers of this run's configuration.
    pub roots: u8,
    /// Where the time is asked for, with the UDP port.
    pub address: Address,
    /// Of a member of a pool: at which address of its name keys are exchanged.
    pub at: Option<Address>,
    /// How a key exchange server that shares its clients out named the time server.
    pub named: Option<HostName>,
    /// The algorithm of the keys.
    pub algorithm: Aead,
    /// The keys. Wiped when dropped.
    pub keys: KeyPair,
    /// Cookies that were never sent, oldest first; at most 8.
    pub cookies: Vec<CookieOctets>,
    /// When the keys were exchanged, by the steered clock.
    pub made: WallTime,
    /// When the first of the certificates that vouched for them ends (notAfter).
    pub valid_until: WallTime,
    /// What the server's own certificate said of its operator.
    pub operator: Operator,
}

/// The addresses of the name of one plain source that worked, as they survive a restart. They are used where the name is
/// not resolved, and are believed no more than an answer of a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAddresses {
    /// The name, as configured.
    pub name: HostName,
    /// With the port that is configured; 1 to [`KeptAddresses::MOST`].
    pub addresses: Vec<Address>,
    /// When they worked last and were those of the name, by the steered clock.
    pub at: WallTime,
}

impl KeptAddresses {
    /// Most addresses of a name.
    pub const MOST: usize = 4;

    /// How long they may be used. A clock that says less than when they were kept cannot judge it, and then they are used.
    pub const LIFETIME: Span = Span::from_secs(30 * 86_400);
}

/// How an engine is created.
#[derive(Clone, Debug)]
pub struct Start {
    /// The configuration, validated.
    pub settings: Settings,
    /// From the state file, where there was one in order.
    pub saved: Option<Saved>,
    /// From the file of keys, as far as it was in order; what fits no configured source is ignored.
    pub associations: Vec<SavedAssociation>,
    /// From the state file, as far as it was in order; what fits no configured name is ignored.
    pub addresses: Vec<KeptAddresses>,
    /// Entropy for nonces, ports and poll jitter; a replay gives the same.
    pub seed: [u8; 32],
    /// Precision of the local clock, log2 s (−18 to −30), measured by the process at start.
    pub precision: i8,
}
