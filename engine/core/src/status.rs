//! The state of the engine at one moment, as typed values. The process that runs the engine makes the documents of
//! `ipc/report` from it, and the sentences for the reasons.

pub use crate::authentication::Authentication;
pub use crate::last_reply::LastReply;
use crate::notice::{EntryCounts, Hold, NoSelection, Slewing};
use crate::nts::KeyExchangeFailure;
pub use crate::resilience::Resilience;
use crate::settings::Marks;
pub use crate::signed::SignedStatus;
pub use crate::source_reason::{PathDoubt, SourceReason};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use ipc::message::exchange::Organisation;
use ipc::message::privileged::{ClockKind, ForwardSteps, Pauses, Refusal};
use ipc::symmetric_key::{MacKind, SymmetricKey};
use ipc::units::Leap;
use report::{
    AssociationState, MeasurementOutcome, RejectReason, SourceActivity, SourceState, StampOrigin, SystemState,
};

/// The clock, and the sources in the order of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The clock.
    pub system: SystemStatus,
    /// The sources. An entry without an address is one of them.
    pub sources: Vec<SourceStatus>,
}

/// The clock. The units and signs are those of [`report::SystemReport`].
#[derive(Clone, Debug, PartialEq)]
pub struct SystemStatus {
    /// The clock that is steered.
    pub clock: ClockKind,
    /// Whether the clock follows its sources.
    pub synchronised: bool,
    /// The state, with its reason.
    pub reason: SystemReason,
    /// The leap indicator.
    pub leap: Leap,
    /// Stratum of this host; 16: unsynchronised.
    pub stratum: u8,
    /// The reference id; 0: none.
    pub reference_id: u32,
    /// Name of the source that the reference id denotes.
    pub reference: Option<String>,
    /// Estimated offset of the clock now, in seconds; positive: the clock is behind.
    pub offset_s: f64,
    /// Standard deviation of the offset, in seconds.
    pub estimated_error_s: f64,
    /// Bound of the offset's error, in seconds, provided that the survivors are truechimers.
    pub error_bound_s: f64,
    /// By the model, the offset's error is above this with a probability of 1e-6, in seconds; infinite: nothing is likely yet.
    pub likely_error_s: f64,
    /// Remaining slew, in seconds.
    pub slew_left_s: f64,
    /// Base frequency in force, in ppm.
    pub frequency_ppm: f64,
    /// Standard deviation of the frequency, in ppm.
    pub frequency_error_ppm: f64,
    /// Root delay, in seconds.
    pub root_delay_s: f64,
    /// Root dispersion, in seconds.
    pub root_dispersion_s: f64,
    /// Seconds since the last correction; none: never, or not since the host was suspended: no offset is known.
    pub last_update_s: Option<f64>,
    /// Seconds from the start of the engine to the first correction; none: there was none.
    pub first_update_s: Option<f64>,
    /// Number of discontinuities of the clock so far.
    pub epoch: u32,
    /// Number of steps.
    pub steps: u32,
    /// Number of orders that the governor refused.
    pub refusals: u32,
    /// The last refusal.
    pub last_refusal: Option<Refusal>,
    /// Names of sources whose certificates show the operator of another source.
    pub one_operator: Vec<String>,
    /// What can show that the machine was paused; none: no clock is steered.
    pub pauses: Option<Pauses>,
    /// Whether steps forward are allowed that nothing shows.
    pub forward_steps: ForwardSteps,
    /// What the selection would survive (`Engine::resilience`, which fills it in for who wants it); none: there is no majority to
    /// follow.
    pub resilience: Option<Resilience>,
    /// How far the time is authenticated; none: no source is followed.
    pub authentication: Option<Authentication>,
    /// TAI − UTC as the kernel has it, in seconds; none: it was not told, or that is not known right now.
    pub tai_offset: Option<u8>,
    /// The list of leap seconds; none: none is used, or the time is not known.
    pub leap_list: Option<ListStatus>,
}

/// The list of leap seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListStatus {
    /// What it is worth.
    pub state: ListState,
    /// When it ends, seconds since 1970.
    pub expires: i64,
    /// Whole days until then; negative: since.
    pub days: i64,
}

/// What a list of leap seconds is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListState {
    /// It has a word.
    Good,
    /// It has one, and ends within 28 days.
    Ending,
    /// It has ended, and has none.
    Expired,
    /// It was written in the future, and has none.
    Future,
}

impl SystemStatus {
    /// The state.
    pub const fn state(&self) -> SystemState {
        self.reason.state()
    }
}

/// Why the clock is in its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SystemReason {
    /// The offset may be neither stepped nor slewed.
    Held(Hold),
    /// No order to change the clock is carried out, whatever it is, for this row.
    Obstructed(Refusal),
    /// No source is configured, and the host serves its own time.
    Local {
        /// The stratum at which it does.
        stratum: u8,
        /// There are sources, but none with more than its own time, and others follow this host (`orphan`).
        leads: bool,
    },
    /// No source is configured.
    NoSources,
    /// There is no clock to steer.
    Unsteered,
    /// The sources do not agree.
    NoMajority(NoSelection),
    /// No certificate can be judged by this clock, and too few sources of that kind agree.
    AwaitingQuorum,
    /// No source has answered.
    NoReplies(EntryCounts),
    /// Before the first correction: sources answer, but the time of none can be followed.
    Unusable {
        /// Entries of the configuration.
        of: usize,
    },
    /// Sources have answered, but the first correction has not been made.
    Gathering {
        /// Sources that have answered.
        heard: usize,
        /// Sources, or entries if there are more of them.
        of: usize,
        /// How many sources must agree, according to the configuration.
        minimum: u8,
    },
    /// No source can be followed any longer.
    Holdover(NoSelection),
    /// The clock is being corrected.
    Correcting {
        /// How long it takes, if it is far off.
        slewing: Option<Slewing>,
        /// It followed its sources before.
        again: bool,
    },
    /// The clock follows its sources, but may be off by too much.
    Uncertain {
        /// By how much it may be off, in seconds.
        most: f64,
        /// From how much on it is not synchronised, in seconds.
        limit: f64,
    },
    /// No source with more than its own time answers, and the clock follows an orphan: what true time is, is not known.
    FollowingOrphan {
        /// The stratum at which clients are served.
        stratum: u8,
    },
    /// The clock follows its sources.
    Following {
        /// The survivors.
        used: usize,
        /// All sources, or entries if there are more of them.
        of: usize,
        /// Votes that are missing since the start: with them there would be no quorum.
        missing: usize,
        /// It is still slewed, for long.
        slewing: Option<Slewing>,
        /// None of the survivors has answered its last four queries: seconds since the last valid reply of one of them.
        silent: Option<f64>,
    },
}

impl SystemReason {
    /// The state to which the reason belongs.
    pub const fn state(&self) -> SystemState {
        match self {
            Self::Held(_) | Self::Obstructed(_) => SystemState::Refused,
            Self::Local { .. } => SystemState::Local,
            Self::NoSources => SystemState::NoSources,
            Self::Unsteered => SystemState::Unsteered,
            Self::NoMajority(_) => SystemState::NoMajority,
            Self::AwaitingQuorum
            | Self::NoReplies(_)
            | Self::Unusable { .. }
            | Self::Gathering { .. }
            | Self::Correcting { again: false, .. } => SystemState::Starting,
            Self::Correcting { again: true, .. } | Self::Uncertain { .. } | Self::FollowingOrphan { .. } => {
                SystemState::Unsynchronised
            }
            Self::Holdover(_) => SystemState::Holdover,
            Self::Following { .. } => SystemState::Synchronised,
        }
    }
}

/// One source. The units and signs are those of [`report::SourceReport`].
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStatus {
    /// The name as configured.
    pub name: String,
    /// The address that is queried; none: it is not known yet.
    pub address: Option<SocketAddr>,
    /// The state, with its reason.
    pub reason: SourceReason,
    /// Whether replies are authenticated.
    pub authenticated: bool,
    /// The association; none for a plain source.
    pub nts: Option<AssociationStatus>,
    /// The symmetric key that authenticates its replies; none: none does.
    pub key: Option<SymmetricKeyStatus>,
    /// Stratum of the last valid reply; none: none yet.
    pub stratum: Option<u8>,
    /// Reference id of the last valid reply; none: none yet.
    pub reference_id: Option<u32>,
    /// The reach register: the last eight polls, the newest in the lowest bit.
    pub reach: u8,
    /// Poll exponent, log2 s.
    pub poll: i8,
    /// Seconds until the next query; none: no query is scheduled.
    pub next_poll_s: Option<f64>,
    /// Estimated offset of the clock against this source, in seconds; none, like the next four fields, if the source has
    /// never replied.
    pub offset_s: Option<f64>,
    /// Standard deviation of the offset, in seconds.
    pub offset_error_s: Option<f64>,
    /// Delay of the best recent sample, in seconds.
    pub delay_s: Option<f64>,
    /// Jitter of the samples, in seconds.
    pub jitter_s: Option<f64>,
    /// Root distance, in seconds.
    pub root_distance_s: Option<f64>,
    /// Number of queries sent.
    pub sent: u64,
    /// Number of valid replies.
    pub valid: u64,
    /// Seconds since the last valid reply; none: never.
    pub last_valid_s: Option<f64>,
    /// Number of replies that were discarded or not used; only reasons that occurred.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Whether it is asked.
    pub activity: SourceActivity,
    /// Measurements on which the estimate rests.
    pub samples: u32,
    /// Seconds from the first measurement by which its frequency is known to the last one; none, like the next field, if the
    /// source has never replied.
    pub span_s: Option<f64>,
    /// Standard deviation of a single measurement, in seconds.
    pub deviation_s: Option<f64>,
    /// Frequency of its time relative to the estimate that the clock follows, and the standard deviation of that, in ppm; none
    /// before the second measurement, or while no estimate is followed.
    pub frequency_ppm: Option<(f64, f64)>,
    /// What the configuration says of its use.
    pub marks: Marks,
    /// What its last valid reply was like; none: there was none.
    pub last_reply: Option<LastReply>,
}

/// The last measurements of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceMeasurements {
    /// The name as configured.
    pub name: String,
    /// The address that is queried; none: it is not known yet.
    pub address: Option<SocketAddr>,
    /// The newest first.
    pub measurements: Vec<MeasurementStatus>,
}

/// One measurement. The units and signs are those of [`report::MeasurementReport`].
#[derive(Clone, Debug, PartialEq)]
pub struct MeasurementStatus {
    /// Seconds since the reply came.
    pub ago_s: f64,
    /// Offset of the clock then, in seconds.
    pub offset_s: Option<f64>,
    /// Round trip, in seconds.
    pub delay_s: Option<f64>,
    /// Root distance, in seconds.
    pub root_distance_s: Option<f64>,
    /// What became of it.
    pub outcome: MeasurementOutcome,
    /// The test that it failed.
    pub test: Option<RejectReason>,
    /// Who took its times.
    pub stamps: Option<StampOrigin>,
}

/// What may be said of a symmetric key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymmetricKeyStatus {
    /// The key id.
    pub number: u32,
    /// What is done with it.
    pub kind: MacKind,
    /// Its length in bits.
    pub bits: u16,
}

impl SymmetricKeyStatus {
    pub(crate) fn of(key: &SymmetricKey) -> Self {
        let bits = u16::try_from(8 * key.octets().len()).unwrap_or(u16::MAX);
        Self { number: key.number(), kind: key.kind(), bits }
    }
}

impl SourceStatus {
    /// The state.
    pub const fn state(&self) -> SourceState {
        self.reason.state()
    }
}

/// The keys of a source that has none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyStatus {
    /// Why the last key exchange failed; none: it did not fail, or there was none.
    pub failure: Option<KeyExchangeFailure>,
    /// Seconds until the next key exchange; none: one is in progress.
    pub next_s: Option<f64>,
}

/// The association with an NTS source. The units are those of [`report::NtsReport`].
#[derive(Clone, Debug, PartialEq)]
pub struct AssociationStatus {
    /// The state.
    pub state: AssociationState,
    /// The result of the last key exchange; none: there was none in this run.
    pub last_exchange: Option<Result<(), KeyExchangeFailure>>,
    /// Seconds until the next key exchange; none: none is scheduled.
    pub next_exchange_s: Option<f64>,
    /// Number of successful key exchanges in this run.
    pub exchanges: u64,
    /// Number of failed key exchanges in this run.
    pub failures: u64,
    /// Number of the AEAD algorithm in the IANA registry; none: no keys.
    pub aead: Option<u16>,
    /// Seconds since the keys were exchanged; none: no keys.
    pub key_age_s: Option<f64>,
    /// Whether the keys are from before the last restart.
    pub restored: bool,
    /// Number of unused cookies.
    pub cookies: u8,
    /// Whether the key exchange named another NTP server.
    pub redirected: bool,
    /// Number of NTS NAKs received, authentic or not.
    pub naks: u64,
    /// End of validity of the certificates of the key exchange that brought the keys, in seconds since 1970; none: there are
    /// no keys.
    pub certificate_until: Option<i64>,
    /// The organisation that the certificate of the last key exchange names.
    pub organisation: Organisation,
    /// Other sources whose certificates show the same operator, by name.
    pub one_operator: Vec<String>,
}
