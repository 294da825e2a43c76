//! The configuration as the engine sees it: validated values, no text to parse.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use ipc::address::Address;
use ipc::aead::AeadOffer;
use ipc::departure::Departure;
use ipc::message::exchange::{Families, HostName, RoundServer, is_one_name};
use ipc::symmetric_key::{MacKind, SymmetricKey};
use ipc::units::{Offset, Span};
use protocol::leap_list::LeapList;

/// Octets of the shortest key that makes a source authenticated: 80 bits.
const SHORTEST_STRONG_KEY: usize = 10;

/// Everything that a configuration file decides for the engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Sources in the order of the file; 0 to 32 entries.
    pub sources: Vec<SourceSettings>,
    /// The part that may change while the engine runs.
    pub clock: ClockSettings,
    /// While running, the sources are followed forward by a step of at most this where nothing on this host shows why the
    /// clock is behind; none: never.
    pub forward_step: Option<Span>,
    /// Whether leap seconds announced by the sources reach the kernel.
    pub leap_seconds: bool,
    /// The list of leap seconds that sources are checked against; none: there is none, or it is not used.
    pub leap_list: Option<LeapList>,
    /// Plain sources that were never heard count for ever against those that were, and authenticated ones for longer
    /// (the strict profile).
    pub strict_quorum: bool,
    /// The server, where one is configured.
    pub server: Option<ServerSettings>,
    /// Roughtime, where it is configured.
    pub roughtime: Option<RoughtimeSettings>,
}

/// `[roughtime]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RoughtimeSettings {
    /// Three to sixteen of different operators, with different keys.
    pub servers: Vec<Signer>,
    /// About how long a round is after the one before.
    pub interval: Span,
    /// Rounds also prove where the audit log and the history of minutes ended.
    pub anchor: bool,
}

/// A Roughtime server.
#[derive(Clone, Debug, PartialEq)]
pub struct Signer {
    /// As the configuration calls it.
    pub name: String,
    /// How it is asked, and by which key it is known.
    pub server: RoundServer,
}

impl Settings {
    /// The largest root distance where none is configured.
    pub const MAX_DISTANCE: Span = Span::from_secs(3);
}

/// What of the clock's settings an engine takes up while it runs ([`Engine::change_clock`](crate::Engine::change_clock)): what
/// the governor knows too is fixed at its start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockSettings {
    /// How many sources must agree before the clock is moved; at least 1.
    pub minimum_sources: u8,
    /// At start, an offset above this is stepped, not slewed. 0: always step once.
    pub start_step_threshold: Span,
    /// While running, an offset above this is stepped where the governor allows it, which it does only if it was told so at
    /// the start; none: never.
    pub run_step_threshold: Option<Span>,
    /// Largest rate of a slew in ppm, 1 to 500.
    pub max_slew_ppm: f64,
    /// A source with a larger root distance is not used; at most 16 s. Where it is more than
    /// [`MAX_DISTANCE`](Settings::MAX_DISTANCE), a clock whose error has no larger bound counts as synchronised.
    pub max_distance: Span,
    /// A source whose measurements differ by more (standard deviation) is not used; none: it weighs less by itself.
    pub max_jitter: Option<Span>,
    /// Whether the clock is moved only while a source with NTS is among those that agree.
    pub require_nts: bool,
    /// Whether ClockBound's pages are written: readers of them take a page that is a minute old for one of a clock that runs
    /// freely, so that pages are then renewed in time.
    pub clockbound: bool,
    /// A clock that may be off by more than this is not synchronised, and programs are told no time that is known less well; none: it
    /// follows from `max_distance` alone, and programs judge for themselves.
    pub max_error: Option<Span>,
    /// The configuration lets only authenticated sources of at least two operators decide (the profile attested).
    pub attested: bool,
}

impl ClockSettings {
    /// What holds where the configuration says nothing.
    pub const DEFAULT: Self = Self {
        minimum_sources: 1,
        start_step_threshold: Span::from_millis(10),
        run_step_threshold: None,
        max_slew_ppm: 200.0,
        max_distance: Settings::MAX_DISTANCE,
        max_jitter: None,
        require_nts: false,
        clockbound: false,
        max_error: None,
        attested: false,
    };
}

/// One `[[source]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceSettings {
    /// As written in the file.
    pub name: String,
    /// Where it is; with NTS, the key exchange server and its TCP port.
    pub place: Place,
    /// How its replies are authenticated by NTS; none: they are not.
    pub nts: Option<NtsSettings>,
    /// The symmetric key that its replies have a MAC of instead; never beside NTS.
    pub key: Option<SymmetricKey>,
    /// `pool = true`: up to this many addresses of the name are used, each a source of its own; 1 for a
    /// plain source.
    pub members: u8,
    /// Shortest poll interval, log2 s, -4 to 17 (default 6; 4 and below only where the administrator runs
    /// the server, and below 0 only while it answers within 10 ms).
    pub min_poll: i8,
    /// Longest poll interval, log2 s, `min_poll` to 17 (default 10).
    pub max_poll: i8,
    /// Four queries in short succession at start and after an outage.
    pub burst: bool,
    /// And at each poll.
    pub burst_always: bool,
    /// Preferred among equals.
    pub prefer: bool,
    /// Sources without this mark must agree with it.
    pub trust: bool,
    /// Without it (or another one so marked) the clock is not moved.
    pub require: bool,
    /// It is asked and measured, and nothing else: it has no vote, nobody misses it, and it changes no order.
    pub noselect: bool,
    /// A sample of a longer round trip is not used. Default 3 s.
    pub max_delay: Span,
    /// A usable reply of a lower stratum counts as one of this. Default 1.
    pub min_stratum: u8,
    /// Added to each measured offset, and to its bounds: what is known to be wrong with this source or its path. At most a
    /// second either way; default 0.
    pub correction: Offset,
    /// A reply of a stratum above this is not used. Default 15.
    pub max_stratum: u8,
    /// Addresses of its name may be link-local ones of IPv4 (RFC 3927), as those of a cloud's own time servers are.
    pub allow_link_local: bool,
    /// A program has left it, or a lease has named it: it stands back where a configured source has its address.
    pub offered: bool,
    /// Which addresses of its name are asked; with NTS, also those of another server that the key exchange names.
    pub families: Families,
    /// How its queries and key exchanges leave this host.
    pub departure: Departure,
    /// It is asked in the draft of NTP version 5 if it speaks it.
    pub version5: bool,
    /// It is asked in interleaved mode (RFC 9769).
    pub interleaved: bool,
    /// It is a reference clock of this host, and is not asked at all; its place is [`ReferenceClock::place`].
    pub refclock: Option<ReferenceClock>,
}

/// One `[[refclock]]`, beside what it has in common with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceClock {
    /// Which of those that are read: its place in the plan of the launch.
    pub device: u8,
    /// What it is called, up to four letters of ASCII from the left, then zeros (RFC 5905 section 7.3).
    pub reference_id: u32,
    /// The stratum of the clock itself, 0 to 14: time from it is served as of one more.
    pub stratum: u8,
    /// What its delay may be wrong by, both ways together: half of it is part of the root distance.
    pub delay: Span,
    /// How finely it tells the time.
    pub precision: Span,
    /// How many of what came in an interval are used, the newest ones; 1 to 64.
    pub filter: u8,
    /// What came in an interval is not used where it differs by more; none: it weighs less by itself.
    pub max_dispersion: Option<Span>,
    /// Pulses are numbered by the reference clock of this reference id; none: by the time that is followed.
    pub lock: Option<u32>,
}

impl ReferenceClock {
    /// A clock of which nothing is said but its number and its name.
    pub const fn of(device: u8, name: [u8; 4]) -> Self {
        Self {
            device,
            reference_id: u32::from_be_bytes(name),
            stratum: 0,
            delay: Span::saturating(1),
            precision: Span::saturating(1_000),
            filter: 64,
            max_dispersion: None,
            lock: None,
        }
    }

    /// The address that stands for it where a source has one. Nobody is at port 0, so that it is no server's.
    pub fn place(&self) -> Place {
        Place::Address(SocketAddr::from(([127, 127, 46, self.device], 0)).into())
    }

    pub(crate) fn precision_s(&self) -> f64 {
        self.precision.nanos() as f64 * 1e-9
    }
}

impl SourceSettings {
    /// A source of which nothing is said but its name and where it is.
    pub const fn of(name: String, place: Place) -> Self {
        Self {
            name,
            place,
            nts: None,
            key: None,
            members: 1,
            min_poll: 6,
            max_poll: 10,
            burst: true,
            burst_always: false,
            prefer: false,
            trust: false,
            require: false,
            noselect: false,
            max_delay: Span::from_secs(3),
            min_stratum: 1,
            correction: Offset::ZERO,
            max_stratum: 15,
            allow_link_local: false,
            offered: false,
            families: Families::Both,
            departure: Departure::USUAL,
            version5: false,
            interleaved: false,
            refclock: None,
        }
    }

    /// Whether both name the same server, asked in the same way: then one may take the other's place with all that was
    /// measured, if that was the same in all else.
    pub fn is_same_server(&self, other: &Self) -> bool {
        self.place.is_same(&other.place)
            && self.nts.is_some() == other.nts.is_some()
            && self.key.is_some() == other.key.is_some()
    }

    /// Whether it is a pool whose members have keys of their own each.
    pub const fn is_nts_pool(&self) -> bool {
        self.nts.is_some() && self.members > 1
    }

    /// Whether it is such a pool whose key exchange server shares its clients out among time servers: its name is that of this server
    /// alone.
    pub fn is_shared_out(&self) -> bool {
        self.is_nts_pool() && self.nts.is_some_and(|nts| nts.shares_out)
    }

    /// Whether its replies count as authenticated, by NTS or by a symmetric key. One of MD5, or one that is short enough to be found
    /// by trying from a single packet, proves nothing: such a source is asked with its MAC, and decides what a plain one does.
    pub fn is_authenticated(&self) -> bool {
        let is_strong =
            |key: &SymmetricKey| key.kind() != MacKind::Md5 && key.octets().len() >= SHORTEST_STRONG_KEY;
        self.nts.is_some() || self.key.as_ref().is_some_and(is_strong)
    }

    pub(crate) fn marks(&self) -> Marks {
        let Self { noselect, prefer, trust, require, min_stratum, families, departure, .. } = *self;
        let correction_s = self.correction.nanos() as f64 * 1e-9;
        Marks { noselect, prefer, trust, require, correction_s, min_stratum, families, departure }
    }
}

/// What the configuration says of the use of a source, for reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marks {
    /// See [`SourceSettings::noselect`].
    pub noselect: bool,
    /// See [`SourceSettings::prefer`].
    pub prefer: bool,
    /// See [`SourceSettings::trust`].
    pub trust: bool,
    /// See [`SourceSettings::require`].
    pub require: bool,
    /// See [`SourceSettings::correction`]; seconds.
    pub correction_s: f64,
    /// See [`SourceSettings::min_stratum`].
    pub min_stratum: u8,
    /// See [`SourceSettings::families`].
    pub families: Families,
    /// See [`SourceSettings::departure`].
    pub departure: Departure,
}

/// What a source of `mode = "nts"` needs for its key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NtsSettings {
    /// Which roots vouch for its certificate, as in [`ipc::message::exchange::Exchange`].
    pub roots: u8,
    /// Which algorithms are offered.
    pub offer: AeadOffer,
    /// The key exchange server shares its clients out among time servers, and is asked for another one for each member of the pool
    /// (`experimental-nts-pool`).
    pub shares_out: bool,
}

/// Where a source is.
#[allow(clippy::large_enum_variant, reason = "32 of them at most, built once")]
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// An address: never looked up.
    Address(Address),
    /// A name, looked up by the exchange process; the port for each address.
    Name(HostName, u16),
}

impl Place {
    /// Whether both denote the same: names do not differ by case or by a dot at the end (RFC 4343, RFC 1034 section 3.1).
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one, port), Self::Name(other, other_port)) => {
                port == other_port && is_one_name(one.as_str(), other.as_str())
            }
            _ => self == other,
        }
    }

    /// Whether both denote one host, whatever the port.
    pub fn is_same_host(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(one, _), Self::Name(other, _)) => is_one_name(one.as_str(), other.as_str()),
            (Self::Address(one), Self::Address(other)) => {
                one.socket_address().ip().to_canonical() == other.socket_address().ip().to_canonical()
            }
            _ => false,
        }
    }

    /// Whether it is an address on an interface that is named (`fe80::1%eth0`), which is looked up as a name is.
    pub fn is_scoped(&self) -> bool {
        matches!(self, Self::Name(name, _) if name.scoped().is_some())
    }
}

/// When the host's own time is served, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The stratum, 1 to 15.
    pub stratum: u8,
    /// It takes the place of the sources' time where the clock may be off by more than this; none: where it is not synchronised.
    pub distance: Option<Span>,
    /// Not before the clock was known better than this once; none: from the start on.
    pub activate: Option<Span>,
    /// So long after the clock was synchronised last.
    pub wait_synchronised: Span,
    /// So long after the start, where it never was.
    pub wait_unsynchronised: Span,
    /// Several such hosts ask each other, and without any other source all of them follow the one with the smallest reference id.
    pub orphan: bool,
}

impl LocalTime {
    /// Nothing but a stratum.
    pub const fn of(stratum: u8) -> Self {
        let (distance, activate, orphan) = (None, None, false);
        Self {
            stratum,
            distance,
            activate,
            wait_synchronised: Span::ZERO,
            wait_unsynchronised: Span::ZERO,
            orphan,
        }
    }
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSettings {
    /// Serve the host's own time while no source is followed; none: unsynchronised then.
    pub local: Option<LocalTime>,
    /// Where it listens, at most 16; unspecified: on all addresses of the host.
    pub listen: Vec<Address>,
    /// Whether it answers NTS clients (`[server.nts]`).
    pub nts: bool,
    /// Whether it answers in the draft of version 5 (`experimental-ntpv5`).
    pub version5: bool,
}
