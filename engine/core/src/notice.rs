//! Events for the log, as typed values. The process that runs the engine makes the lines of the log from them.
//!
//! Names are those of the configuration and never come from the network, except an organisation, of which everything is
//! escaped that is not printable.

use crate::orders::OrderKind;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use ipc::message::client::Silence;
use ipc::message::exchange::{Heard, LookupFailure, MeasureFailure, Organisation};
use ipc::message::privileged::Refusal;
use ipc::message::refclock::Discarded;
use ipc::units::Span;
use protocol::kiss::KissCode;
use report::RejectReason;

pub use crate::nts::{KeyExchangeFailure, Kinship};
pub use crate::select::Impasse;
pub use crate::selective_loss::Chosen;

/// Which limits apply to a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// An ordinary line: suppressed if there are many of its kind.
    Line,
    /// What is found again and again while it lasts: an ordinary line, and ever more rarely.
    Fault,
    /// A change of the overall state: suppressed only in a flood.
    Change,
    /// The clock itself: a step, a change by another program, a refusal. Lines about other things never displace it.
    Clock,
}

/// An event for the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Of an entry of the configuration, with its name.
    Entry(String, EntryNotice),
    /// Of a source, with its name and address.
    Source(String, SocketAddr, SourceNotice),
    /// Of a Roughtime server, with its name.
    Signer(String, SignerNotice),
    /// Of the system as a whole.
    System(SystemNotice),
    /// Of the clock.
    Clock(ClockNotice),
}

/// An event of an entry of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryNotice {
    /// Another entry names the same server.
    Duplicate,
    /// A look-up of its name failed.
    Unresolved(LookupFailure),
    /// It is not resolved, and this many addresses are used that worked in an earlier run.
    KeptAddresses(usize),
    /// Its name has addresses, but none that a server can have.
    NoUsableAddress,
    /// One of its addresses belongs to another entry, with this name, from now on.
    AddressTaken(SocketAddr, String),
    /// Its name has this many addresses, and each was tried in vain.
    NoneAnswers(usize),
    /// An address that does not answer, or not usefully, was replaced by another one.
    Replaced(SocketAddr, SocketAddr),
    /// An NTS NAK was received: the server cannot open its cookies.
    CookiesRejected,
    /// A key exchange succeeded.
    KeysExchanged,
    /// A key exchange succeeded, but the certificate cannot be judged by this clock.
    KeysProvisional,
    /// Its certificate and those of other sources show one operator, and before they did not.
    OneOperator {
        /// The names of the other sources.
        with: Vec<String>,
        /// By what.
        kinship: Kinship,
        /// The organisation that its own certificate names.
        organisation: Organisation,
    },
    /// It announces a leap second for today that the list of leap seconds does not have.
    LeapNotListed,
    /// A key exchange failed.
    NoKeys {
        /// The reason.
        failure: KeyExchangeFailure,
        /// Of a member of a pool: the address at which keys were to be exchanged.
        at: Option<IpAddr>,
        /// The previous keys are still valid.
        keeps: bool,
        /// The clock was just set by sources whose certificates could not be judged.
        after_setting: bool,
    },
}

/// An event of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceNotice {
    /// Its replies are not used.
    Unused(RejectReason),
    /// A kiss-o'-death.
    Kissed(KissCode),
    /// Its first valid reply.
    Heard,
    /// Its first valid reply, which is the first of any source, after this time.
    FirstHeard(Span),
    /// Its replies are used again.
    UsableAgain,
    /// Its offset changed by more than its noise explains; its filter was restarted.
    Restarted,
    /// Its last eight queries were not answered; the number of the symmetric key that they have.
    Silent(Silence, Option<u32>),
    /// It has not answered any of its queries, which were four at least.
    NeverHeard {
        /// Why not, if more is known than that no reply came in time.
        obstacle: Option<Silence>,
        /// The most frequent reason for which replies were discarded.
        cause: Option<RejectReason>,
        /// The number of the symmetric key that they have.
        key: Option<u32>,
    },
    /// Eight consecutive replies had a wrong authentication tag.
    UnderAttack,
    /// The replies that arrive seem to be chosen by their offset.
    Chosen(Chosen),
    /// That is over.
    ChosenNoMore,
    /// Signed answers of Roughtime servers exclude its time.
    Refuted,
    /// A reference clock that has said nothing of use in its last eight intervals.
    ClockSilent,
    /// What came from a reference clock was no sample.
    ClockDiscarded(Discarded),
}

/// An event of a Roughtime server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerNotice {
    /// It answers, and agrees with the others, after something else was told of it.
    Sound,
    /// It gave no valid answer.
    Unheard(Heard),
    /// It has signed a time that most of the others exclude.
    Outside,
    /// It has signed times that exclude each other.
    Contradictory,
    /// It has signed, with most of the others, a time that excludes what was signed before, which is upheld.
    Reversed,
}

/// Why a round of Roughtime says nothing of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSignedTime {
    /// No round could be made.
    Failed(MeasureFailure),
    /// The answers are not valid, though the process that asked said so.
    Unverified,
    /// No time is one that more than half of the servers support.
    NoMajority,
    /// It would be before the earliest plausible time.
    Implausible,
    /// It excludes what was signed before, which another server and the sources support.
    Reversed,
}

/// An event of the system as a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SystemNotice {
    /// The estimate was clamped to the hard bounds.
    Bounded,
    /// The sources agree again.
    Agreed,
    /// No source can be followed.
    NoSelection(NoSelection),
    /// The votes of sources that were not heard no longer count, and the others are followed.
    Excused(Missing),
    /// No source could be followed for this time.
    StillNoSelection(Span, NoSelection),
    /// No source has answered for this time.
    NoReplies(Span, EntryCounts),
    /// The first correction was made.
    Following,
    /// The host was suspended.
    Suspended,
    /// The machine was paused for about this time.
    Paused(Span),
    /// The machine was migrated or restored, as its hypervisor says.
    Disrupted,
    /// Signed answers of Roughtime servers limit the time, to plus or minus this, for the first time or again.
    SignedTime(Span),
    /// A round of Roughtime came to nothing, as the first one or after one that did not.
    NoSignedTime(NoSignedTime),
    /// Signed answers exclude each other: a Roughtime server has signed a wrong time.
    Malfeasance,
    /// A leap second has occurred.
    LeapSecond,
    /// The list of leap seconds has one today that no source announces.
    LeapByList,
    /// What has become of that list.
    LeapList(ListNotice),
    /// The recording of the engine ended early.
    RecordingEnded(RecordingFailure),
}

/// What has become of the list of leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListNotice {
    /// It ends in this many days.
    Ending(i64),
    /// It has ended.
    Expired,
    /// It was written in the future.
    Future,
    /// It has a word again.
    Renewed,
}

/// An event of the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClockNotice {
    /// It was stepped by this many seconds.
    Stepped(f64),
    /// It was stepped forward by this many seconds, with the operator's leave and on its sources' word alone.
    SteppedForward(f64),
    /// Another program stepped it by this many seconds.
    SteppedByOther(f64),
    /// The step of another program, of this many seconds, is kept: this many sources agree with the new time.
    Kept(f64, usize),
    /// Another program changed its frequency.
    FrequencyChangedByOther,
    /// The governor's band has narrowed, and the base frequency was outside it.
    BandNarrowed,
    /// The governor received no order for hours.
    NoOrders,
    /// The governor refused an order.
    Refused(OrderKind, Refusal, AfterRefusal),
    /// It may be neither stepped nor slewed.
    Held(Hold),
    /// It may not be stepped, and is slewed for long.
    Slewing(Slewing),
    /// It is off by this many seconds according to sources whose certificates it finds invalid, which is too little to
    /// ignore the certificates.
    CertificatesInvalid(f64),
    /// It is off by this many seconds and is set by this many sources that agree and whose certificates it cannot judge.
    SetProvisionally(f64, usize),
}

/// What follows a refusal, unless another event reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRefusal {
    /// Nothing to report.
    Nothing,
    /// A step will be ordered again in a quarter of an hour.
    StepRetried,
    /// The same step will be ordered again after this time.
    StepAwaited(Span),
    /// The offset is slewed.
    Slewed,
}

/// The clock may be neither stepped nor slewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// Its offset, in seconds; positive: the clock is behind.
    pub offset: f64,
    /// The row that refused the step; none: no step is due.
    pub refusal: Option<Refusal>,
    /// It fell behind while running, and the configuration could allow a step forward and does not, or none of this size.
    pub is_unallowed: bool,
}

/// The clock is off, and slewed for long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slewing {
    /// Its offset, in seconds; positive: the clock is behind.
    pub offset: f64,
    /// How fast it comes nearer at most, in ppm; negative: it goes away, since its base frequency may not be what its
    /// oscillator needs.
    pub rate_ppm: f64,
    /// How long it takes at this rate; none: it does not come nearer.
    pub left: Option<Span>,
    /// The base frequency is not what the oscillator needs.
    pub short: Option<Short>,
    /// The governor's allowance was used up in the last day: slews are gentle.
    pub is_reduced: bool,
    /// It fell behind while running, and the configuration could allow a step forward and does not, or none of this size.
    pub is_unallowed: bool,
}

impl Slewing {
    /// It goes away, since its oscillator needs a base frequency that is not granted.
    pub fn is_runaway(&self) -> bool {
        self.left.is_none() && self.short.is_some()
    }
}

/// The governor's band does not reach the base frequency that the oscillator needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Short {
    /// What it needs, in ppm.
    pub needed_ppm: f64,
    /// What is nearest to it inside the band, in ppm.
    pub granted_ppm: f64,
    /// The profile is the strict one: the other one's band is wider.
    pub is_strict: bool,
}

/// No source can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSelection {
    /// The reason.
    pub impasse: Impasse,
    /// How many sources must agree, according to the configuration.
    pub minimum: u8,
    /// How many sources are configured.
    pub of: usize,
    /// Without a quorum: the votes.
    pub missing: Missing,
    /// Where none can be followed: some answer, but not with a time that could be.
    pub answered: bool,
}

/// The votes of the sources that may vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Of sources that were heard.
    pub heard: usize,
    /// Of sources that were not.
    pub absent: usize,
    /// How long the latter count at most; none: for ever.
    pub left: Option<Span>,
    /// The profile is the strict one.
    pub strict: bool,
}

/// The entries of the configuration, counted by what has become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryCounts {
    /// All entries.
    pub of: usize,
    /// Entries to which a query was sent.
    pub queried: usize,
    /// Why the first of those was not answered of which more is known than that no reply came in time.
    pub obstacle: Option<Silence>,
    /// How many of them were not answered for that reason.
    pub obstructed: usize,
    /// Of those: entries whose replies cannot be used.
    pub unusable: usize,
    /// Entries whose names have no address.
    pub unresolved: usize,
    /// Why the first of those names has none.
    pub why: Option<LookupFailure>,
    /// Entries without keys, for other reasons.
    pub keyless: usize,
}

/// Why a recording ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingFailure {
    /// There are no random numbers.
    NoEntropy,
    /// It has its largest size.
    Full,
    /// It could not be written.
    Unwritable,
}

impl Notice {
    /// Which limits apply to its line.
    pub const fn weight(&self) -> Weight {
        self.rank().0
    }

    /// The severity of its line, as in syslog: 1 alert, 3 error, 4 warning, 5 notice, 6 info.
    pub const fn severity(&self) -> u8 {
        self.rank().1
    }

    /// Weight and severity.
    const fn rank(&self) -> (Weight, u8) {
        use Weight::{Change, Clock, Fault, Line};
        match self {
            Self::Entry(_, notice) => match notice {
                EntryNotice::NoKeys { after_setting: true, .. } => (Line, 1),
                EntryNotice::Unresolved(_) | EntryNotice::NoUsableAddress => (Fault, 4),
                EntryNotice::Duplicate
                | EntryNotice::KeptAddresses(_)
                | EntryNotice::NoneAnswers(_)
                | EntryNotice::KeysProvisional
                | EntryNotice::OneOperator { .. }
                | EntryNotice::LeapNotListed
                | EntryNotice::NoKeys { after_setting: false, .. } => (Line, 4),
                EntryNotice::AddressTaken(..) | EntryNotice::Replaced(..) => (Line, 5),
                EntryNotice::CookiesRejected | EntryNotice::KeysExchanged => (Line, 6),
            },
            Self::Source(_, _, notice) => match notice {
                SourceNotice::UnderAttack | SourceNotice::Refuted => (Line, 3),
                SourceNotice::Kissed(_)
                | SourceNotice::Restarted
                | SourceNotice::Silent(..)
                | SourceNotice::Chosen(_)
                | SourceNotice::ClockSilent
                | SourceNotice::ClockDiscarded(_)
                | SourceNotice::NeverHeard { .. } => (Line, 4),
                SourceNotice::FirstHeard(_) => (Change, 5),
                SourceNotice::Unused(_) | SourceNotice::UsableAgain | SourceNotice::ChosenNoMore => (Line, 5),
                SourceNotice::Heard => (Line, 6),
            },
            Self::Signer(_, notice) => match notice {
                SignerNotice::Outside | SignerNotice::Contradictory | SignerNotice::Reversed => (Change, 3),
                SignerNotice::Unheard(_) => (Line, 4),
                SignerNotice::Sound => (Line, 6),
            },
            Self::System(notice) => match notice {
                SystemNotice::Malfeasance => (Change, 1),
                SystemNotice::NoSelection(NoSelection {
                    impasse: Impasse::NoMajority | Impasse::NoQuorum | Impasse::Refuted,
                    ..
                }) => (Change, 3),
                SystemNotice::NoSelection(_)
                | SystemNotice::Excused(_)
                | SystemNotice::StillNoSelection(..)
                | SystemNotice::NoReplies(..) => (Change, 4),
                SystemNotice::Bounded | SystemNotice::NoSignedTime(_) | SystemNotice::RecordingEnded(_) => {
                    (Line, 4)
                }
                SystemNotice::Agreed
                | SystemNotice::SignedTime(_)
                | SystemNotice::Following
                | SystemNotice::Suspended
                | SystemNotice::Paused(_)
                | SystemNotice::Disrupted
                | SystemNotice::LeapSecond
                | SystemNotice::LeapList(ListNotice::Renewed) => (Change, 5),
                SystemNotice::LeapByList | SystemNotice::LeapList(_) => (Change, 4),
            },
            Self::Clock(notice) => match notice {
                ClockNotice::CertificatesInvalid(_) => (Clock, 1),
                ClockNotice::NoOrders | ClockNotice::Held(_) => (Clock, 3),
                ClockNotice::SteppedByOther(_)
                | ClockNotice::FrequencyChangedByOther
                | ClockNotice::BandNarrowed
                | ClockNotice::SteppedForward(_)
                | ClockNotice::Refused(..)
                | ClockNotice::Slewing(_)
                | ClockNotice::SetProvisionally(..) => (Clock, 4),
                ClockNotice::Stepped(_) | ClockNotice::Kept(..) => (Clock, 5),
            },
        }
    }
}
