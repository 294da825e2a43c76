//! Why a source is used, or not.

use crate::notice::Chosen;
use crate::status::KeyStatus;
use ipc::message::client::Silence;
use ipc::message::exchange::LookupFailure;
use ipc::units::Span;
use protocol::kiss::KissCode;
use report::{RejectReason, SourceState};

/// Why a source is in its state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SourceReason {
    /// The engine has not been welcomed yet.
    Starting,
    /// Another entry has the same address.
    SameAddress,
    /// Another entry has the same key exchange server.
    SameKeyServer,
    /// All addresses of its name belong to other entries.
    AddressesTaken,
    /// Its name has no address yet; why the last look-up failed.
    Unresolved(Option<LookupFailure>),
    /// It has no keys yet.
    AwaitingKeys(KeyStatus),
    /// It has no cookies left and does not answer.
    NoCookies(KeyStatus),
    /// Its last replies had wrong authentication tags.
    UnderAttack,
    /// Its certificate cannot be judged, because the clock may be wrong.
    Provisional,
    /// A kiss-o'-death that denies access.
    Denied {
        /// The kiss code.
        code: KissCode,
        /// Seconds until the next query, if the kiss is authenticated.
        retry_s: Option<f64>,
    },
    /// It answers with this kiss code, which does not deny access, and not with the time.
    Kissed(KissCode),
    /// Its address is one of this host.
    Oneself,
    /// Its last reply was not used.
    Unused(RejectReason),
    /// No reply to the first queries yet; why not, if more is known than that none came in time.
    NoReplyYet(Option<Silence>),
    /// It has never replied.
    NeverReplied {
        /// Why not, if more is known than that no reply came in time.
        obstacle: Option<Silence>,
        /// The most frequent reason for which replies were discarded.
        cause: Option<RejectReason>,
    },
    /// It has not replied to its last eight queries.
    Silent {
        /// As for one that has never replied.
        obstacle: Option<Silence>,
        /// Its last estimate still counts. It does not after the host was suspended.
        has_estimate: bool,
    },
    /// No usable reply yet; the most frequent reason for which replies were discarded.
    NoUsableReply(Option<RejectReason>),
    /// Its root distance is too large.
    TooDistant {
        /// The root distance, in seconds.
        distance: f64,
        /// The largest that the configuration allows.
        most: Span,
    },
    /// Its measurements differ too much.
    Unsteady {
        /// What they differ by, in seconds.
        jitter: f64,
        /// The most that the configuration allows.
        most: Span,
    },
    /// Its last reply contradicts its earlier ones.
    Contradictory {
        /// The offset according to the last reply, in seconds.
        offset: f64,
    },
    /// Its last reply differs from the prediction.
    Doubtful {
        /// The offset according to the last reply, in seconds.
        offset: f64,
    },
    /// It is measured, and decides nothing, as configured.
    Noselect {
        /// Its offset, in seconds.
        offset: f64,
    },
    /// Its stratum says that it has no time but its own, or that of another orphan.
    Orphan,
    /// Not compared with the others yet.
    NotCompared,
    /// It is the reference.
    Reference {
        /// What is known against its path.
        doubt: PathDoubt,
    },
    /// It is a survivor.
    Survivor {
        /// What is known against its path.
        doubt: PathDoubt,
    },
    /// It agrees, but a source marked `prefer` is used instead.
    Spare,
    /// It agrees, but does not answer.
    NotReachable,
    /// It agrees, but those that do are too few to be followed, or not the right ones.
    NotFollowed,
    /// It contradicts the majority.
    Falseticker {
        /// Its offset, in seconds.
        offset: f64,
        /// Its root distance, in seconds.
        distance: f64,
        /// Its frequency suggests that it is smearing a leap second.
        smears: bool,
    },
    /// Signed answers of Roughtime servers exclude its time.
    Refuted {
        /// Its offset, in seconds.
        offset: f64,
    },
    /// Its frequency contradicts that of all others.
    Drifting {
        /// The difference, in ppm.
        ppm: f64,
        /// Its frequency suggests that it is smearing a leap second.
        smears: bool,
    },
    /// It is new, or was begun anew.
    Probation,
    /// It contradicts the authenticated sources.
    OutvotedByAuthenticated,
    /// It contradicts the sources marked `trust`.
    OutvotedByTrusted,
    /// No majority agrees on anything.
    NoMajority {
        /// Its offset, in seconds.
        offset: f64,
    },
}

/// What is known against the path of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathDoubt {
    /// Nothing.
    None,
    /// The delay has increased, perhaps in one direction only.
    Longer,
    /// The replies that arrive seem to be chosen by their offset.
    Chosen(Chosen),
}

impl SourceReason {
    /// The state to which the reason belongs.
    pub const fn state(&self) -> SourceState {
        match self {
            Self::Starting
            | Self::SameAddress
            | Self::SameKeyServer
            | Self::AddressesTaken
            | Self::Unresolved(_)
            | Self::AwaitingKeys(_)
            | Self::NoReplyYet(_)
            | Self::NoUsableReply(_)
            | Self::Doubtful { .. }
            | Self::NotCompared
            | Self::NotReachable => SourceState::Waiting,
            Self::NoCookies(_) | Self::NeverReplied { .. } | Self::Silent { .. } => SourceState::Unreachable,
            Self::Noselect { .. } => SourceState::Noselect,
            Self::UnderAttack => SourceState::UnderAttack,
            Self::Provisional => SourceState::Provisional,
            Self::Denied { .. } => SourceState::Denied,
            Self::Kissed(_)
            | Self::Oneself
            | Self::Unused(_)
            | Self::TooDistant { .. }
            | Self::Unsteady { .. }
            | Self::Orphan => SourceState::Unusable,
            Self::Reference { .. } => SourceState::Selected,
            Self::Survivor { .. } => SourceState::Combined,
            Self::Spare | Self::NotFollowed => SourceState::Spare,
            Self::Contradictory { .. }
            | Self::Falseticker { .. }
            | Self::Refuted { .. }
            | Self::Drifting { .. } => SourceState::Falseticker,
            Self::Probation => SourceState::Probation,
            Self::OutvotedByAuthenticated | Self::OutvotedByTrusted => SourceState::Outvoted,
            Self::NoMajority { .. } => SourceState::NoMajority,
        }
    }
}
